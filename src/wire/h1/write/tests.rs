// SPDX-License-Identifier: Apache-2.0
//! Heads as they leave, line for line.

use super::*;
use crate::base::date::IMF_LEN;
use crate::wire::check;
use crate::wire::h1::{Caps, framing, request as reading, response as answers};
use crate::wire::head::{BodyLength, Method, Request, RequestHead, ResponseHead};

const DATE: &[u8; IMF_LEN] = b"Sun, 06 Nov 1994 08:49:37 GMT";

fn read(text: &str) -> RequestHead {
    let mut head = RequestHead::default();
    reading::parse(text.as_bytes(), &Caps::default(), &mut head).unwrap();
    head
}

/// What is written of `text` as `change` wants it.
fn forwarded(text: &str, change: impl FnOnce(&mut OutgoingRequest<'_>)) -> String {
    let head = read(text);
    let patch = Patch::default();
    let mut outgoing = check::outgoing(Request { bytes: text.as_bytes(), head: &head }, &patch);
    change(&mut outgoing);
    let mut out = Vec::new();
    request(&mut out, &outgoing);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request() {
    let text = "POST /x HTTP/1.1\r\nA: 1\r\nHost: a.example\r\nB:  2 \r\nConnection: keep-alive, X-Hop\r\nX-Hop: h\r\n\
        C: 3\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nContent-Length: 7\r\nTrailer: d\r\n\
        X_Real_IP: 6\r\nD: 4\r\n\r\n";
    let expected = "POST / HTTP/1.1\r\nHost: a.example\r\nA: 1\r\nB:  2 \r\nC: 3\r\nD: 4\r\nContent-Length: 7\r\n\
        Via: 1.1 turnpike\r\n\r\n";
    assert_eq!(forwarded(text, |_| {}), expected);
}

#[test]
fn nothing_to_copy() {
    assert_eq!(
        forwarded("GET / HTTP/1.0\r\n\r\n", |outgoing| outgoing.via = None),
        "GET / HTTP/1.1\r\nHost: origin.example\r\n\r\n"
    );
    let post = forwarded("POST / HTTP/1.1\r\nHost: a\r\n\r\n", |outgoing| {
        outgoing.via = None;
        outgoing.after = After::Close;
        outgoing.target = b"/other?x";
        outgoing.host = crate::wire::outgoing::HostHeader::Is(b"b:8080");
    });
    assert_eq!(post, "POST /other?x HTTP/1.1\r\nHost: b:8080\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

#[test]
fn patches_win_but_not_over_framing() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
    let head = read(text);
    let mut patch = Patch::default();
    patch.remove(&head.fields, text.as_bytes(), b"b");
    assert!(patch.set(&head.fields, text.as_bytes(), b"c", b"4"));
    for name in [&b"Content-Length"[..], b"transfer-encoding", b"Host", b"Connection", b"Te"] {
        assert!(patch.add(name, b"9"));
    }
    let mut out = Vec::new();
    let outgoing = check::outgoing(Request { bytes: text.as_bytes(), head: &head }, &patch);
    request(&mut out, &OutgoingRequest { via: None, ..outgoing });
    assert_eq!(String::from_utf8(out).unwrap(), "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nc: 4\r\n\r\n");
}

#[test]
fn trailers_chunks_and_expectations() {
    let text = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\
        Trailer: X\r\nExpect: 100-continue\r\n\r\n";
    let common = "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nExpect: 100-continue\r\n\
        Transfer-Encoding: chunked\r\nTE: trailers\r\n";
    let keep = forwarded(text, |outgoing| outgoing.via = None);
    assert_eq!(keep, format!("{common}Connection: TE\r\n\r\n"));
    let close = forwarded(text, |outgoing| {
        outgoing.via = None;
        outgoing.after = After::Close;
    });
    assert_eq!(close, format!("{common}Connection: close, TE\r\n\r\n"));
    let old = forwarded("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", |outgoing| {
        outgoing.via = None
    });
    assert_eq!(old, "PUT / HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 1\r\n\r\n");
}

#[test]
fn upgrades_are_made_anew() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let out = forwarded(text, |outgoing| outgoing.via = None);
    assert!(out.ends_with("Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"), "{out}");
    let h2c = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AA\r\n\r\n";
    assert_eq!(forwarded(h2c, |outgoing| outgoing.via = None), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn max_forwards_counts_down() {
    let out = forwarded("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 10\r\n\r\n", |outgoing| {
        outgoing.target = b"*";
        outgoing.via = None;
    });
    assert_eq!(out, "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\n\r\n");
}

#[test]
fn fields_from_a_decoder() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nA:1\r\nConnection: x\r\nB:2\r\n\r\n";
    let mut head = read(text);
    head.version = Version::H2;
    let patch = Patch::default();
    let mut out = Vec::new();
    request(&mut out, &check::outgoing(Request { bytes: text.as_bytes(), head: &head }, &patch));
    assert_eq!(out, b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nVia: 2.0 turnpike\r\n\r\n");
}

/// What a client of `client` gets of an origin's `text`.
fn answered(text: &str, method: Method, client: Version) -> String {
    let mut head = ResponseHead::default();
    answers::parse(text.as_bytes(), &Caps::default(), method, &mut head).unwrap();
    let body = framing::to_client(head.body, client);
    let after = if body == BodyLength::UntilClose { After::Close } else { After::KeepAlive };
    let patch = Patch::default();
    let response = Response { bytes: text.as_bytes(), head: &head };
    let mut out = Vec::new();
    super::response(
        &mut out,
        &OutgoingResponse { response, patch: &patch, body, method, client, after, date: DATE, via: None },
    );
    String::from_utf8(out).unwrap()
}

#[test]
fn a_response() {
    let text = "HTTP/1.1 200 Fine\r\nServer: o\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\
        Date: then\r\nContent-Length: 3\r\nA: 1\r\n\r\n";
    let expected = "HTTP/1.1 200 Fine\r\nServer: o\r\nDate: then\r\nA: 1\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(answered(text, Method::Get, Version::H11), expected);
    let old =
        "HTTP/1.1 200 Fine\r\nServer: o\r\nDate: then\r\nA: 1\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(answered(text, Method::Get, Version::H10), old);
}

#[test]
fn response_lengths() {
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let chunked = "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n";
    assert_eq!(
        answered(chunked, Method::Get, Version::H11),
        format!("HTTP/1.1 200 OK\r\nTrailer: X\r\n{date}Transfer-Encoding: chunked\r\n\r\n")
    );
    assert_eq!(
        answered(chunked, Method::Get, Version::H10),
        format!("HTTP/1.1 200 OK\r\n{date}Connection: close\r\n\r\n")
    );
    assert_eq!(answered(chunked, Method::Head, Version::H11), format!("HTTP/1.1 200 OK\r\n{date}\r\n"));
    let open = "HTTP/1.0 200 OK\r\n\r\n";
    assert_eq!(
        answered(open, Method::Get, Version::H11),
        format!("HTTP/1.1 200 OK\r\n{date}Transfer-Encoding: chunked\r\n\r\n")
    );
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 007\r\n\r\n";
    assert_eq!(
        answered(length, Method::Head, Version::H11),
        format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 7\r\n\r\n")
    );
    let empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        answered(empty, Method::Get, Version::H11),
        format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 0\r\n\r\n")
    );
    let none = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answered(none, Method::Get, Version::H11), format!("HTTP/1.1 204 No Content\r\n{date}\r\n"));
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    assert_eq!(answered(early, Method::Get, Version::H11), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

#[test]
fn protocols_that_would_do() {
    let text = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nDate: d\r\nContent-Length: 0\r\n\r\n";
    let expected = "HTTP/1.1 426 Upgrade Required\r\nDate: d\r\nContent-Length: 0\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(answered(text, Method::Get, Version::H11), expected);
}

#[test]
fn heads_of_our_own() {
    let head = ResponseHead { status: 404, ..ResponseHead::default() };
    let mut patch = Patch::default();
    assert!(patch.add(b"Content-Type", b"text/plain") && patch.add(b"date", b"x"));
    let response = Response { bytes: b"", head: &head };
    let (body, method, client) = (BodyLength::Exact(3), Method::Get, Version::H11);
    let after = After::Close;
    let mut out = Vec::new();
    super::response(
        &mut out,
        &OutgoingResponse { response, patch: &patch, body, method, client, after, date: DATE, via: None },
    );
    let expected = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\ndate: x\r\n\
        Content-Length: 3\r\nConnection: close\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
