// SPDX-License-Identifier: Apache-2.0
//! Heads as they leave: of h1 and of h2, into h2 and into h1.

use super::*;
use crate::base::Span;
use crate::wire::check;
use crate::wire::h1::{Caps, request as reading, response as answers, write as h1};
use crate::wire::h2::hpack::Decoder;
use crate::wire::h2::message::{self, Content};
use crate::wire::h2::raw::{lines as raw_lines, section};
use crate::wire::h2::section::Pseudo;
use crate::wire::head::{BodyLength, Method, Request, RequestHead, Response, ResponseHead};
use crate::wire::outgoing::HostHeader;

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// A block as lines of text.
fn text(block: &[u8]) -> Vec<String> {
    let mut section = Section::default();
    Decoder::new(4096).decode(block, &mut section, 48 * 1024).unwrap();
    assert_eq!(section.fault, None);
    let line = |name: &[u8], value: &[u8]| format!("{}: {}", name.escape_ascii(), value.escape_ascii());
    let pseudo = Pseudo::ALL.iter().filter_map(|(pseudo, name)| Some((name, section.pseudo(*pseudo)?)));
    let mut lines: Vec<String> = pseudo.map(|(name, value)| line(name, value.of(&section.bytes))).collect();
    let fields = section.fields.list.iter();
    lines.extend(fields.map(|field| line(field.name.of(&section.bytes), field.value.of(&section.bytes))));
    lines
}

/// What is written of a request in h1's text as `change` wants it.
fn forwarded(text_of_h1: &str, change: impl FnOnce(&mut OutgoingRequest<'_>)) -> Vec<String> {
    let mut head = RequestHead::default();
    reading::parse(text_of_h1.as_bytes(), &Caps::default(), &mut head).unwrap();
    let patch = Patch::default();
    let mut outgoing = check::outgoing(Request { bytes: text_of_h1.as_bytes(), head: &head }, &patch);
    change(&mut outgoing);
    let mut out = Vec::new();
    request(&mut out, &mut Encoder::new(), Scheme::Https, &outgoing);
    text(&out)
}

#[test]
fn a_request_of_h1() {
    let text = "POST /x HTTP/1.1\r\nA-B: 1\r\nHost: A.example\r\nConnection: keep-alive, X-Hop\r\nX-Hop: h\r\n\
        Accept: */*\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nContent-Length: 7\r\nX_Real_IP: 6\r\n\
        TE: trailers, gzip\r\nCookie: a=b\r\nMax-Forwards: 3\r\n\r\n";
    let expected = [
        ":method: POST",
        ":scheme: https",
        ":authority: A.example",
        ":path: /",
        "a-b: 1",
        "accept: */*",
        "cookie: a=b",
        "max-forwards: 3",
        "content-length: 7",
        "te: trailers",
        "via: 1.1 turnpike",
    ];
    assert_eq!(forwarded(text, |_| {}), expected);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n";
    let expected = [":method: POST", ":scheme: https", ":authority: b:8", ":path: /y?z", "trailer: X"];
    let written = forwarded(chunked, |outgoing| {
        outgoing.via = None;
        outgoing.host = HostHeader::Is(b"b:8");
        outgoing.target = b"/y?z";
    });
    assert_eq!(written, expected);
}

#[test]
fn patches_win_but_not_over_framing() {
    let text_of_h1 = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
    let mut head = RequestHead::default();
    reading::parse(text_of_h1.as_bytes(), &Caps::default(), &mut head).unwrap();
    let mut patch = Patch::default();
    patch.remove(&head.fields, text_of_h1.as_bytes(), b"b");
    assert!(patch.set(&head.fields, text_of_h1.as_bytes(), b"C", b"4"));
    for name in [&b"Content-Length"[..], b"transfer-encoding", b"Host", b"Connection", b"Te", b"Upgrade"] {
        assert!(patch.add(name, b"9"));
    }
    let outgoing = check::outgoing(Request { bytes: text_of_h1.as_bytes(), head: &head }, &patch);
    let mut out = Vec::new();
    request(&mut out, &mut Encoder::new(), Scheme::Http, &OutgoingRequest { via: None, ..outgoing });
    assert_eq!(text(&out), [":method: GET", ":scheme: http", ":authority: a", ":path: /", "a: 1", "c: 4"]);
}

#[test]
fn upgrades_become_connects_and_back() {
    let text_of_h1 = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let expected = [
        ":method: CONNECT",
        ":scheme: https",
        ":authority: a",
        ":path: /",
        ":protocol: websocket",
        "sec-websocket-version: 13",
        "via: 1.1 turnpike",
    ];
    assert_eq!(forwarded(text_of_h1, |_| {}), expected);

    let fields = [
        (":method", "CONNECT"),
        (":scheme", "https"),
        (":authority", "a"),
        (":path", "/chat"),
        (":protocol", "websocket"),
        ("sec-websocket-version", "13"),
    ];
    let mut section = section(&raw_lines(&fields));
    let mut head = RequestHead::default();
    message::request(&mut section, Content::Follows, &mut head).unwrap();
    let patch = Patch::default();
    let mut outgoing = check::outgoing(Request { bytes: &section.bytes, head: &head }, &patch);
    let mut out = Vec::new();
    request(&mut out, &mut Encoder::new(), Scheme::Https, &outgoing);
    let again = text(&out);
    assert_eq!(again[4..], [":protocol: websocket", "sec-websocket-version: 13", "via: 2.0 turnpike"]);
    outgoing.method = b"GET";
    outgoing.body = BodyLength::None;
    out.clear();
    h1::request(&mut out, &outgoing);
    let expected = "GET / HTTP/1.1\r\nHost: a\r\nsec-websocket-version: 13\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nVia: 2.0 turnpike\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

fn answered(text_of_h1: &str, change: impl FnOnce(&mut OutgoingResponse<'_>)) -> Vec<String> {
    let mut head = ResponseHead::default();
    answers::parse(text_of_h1.as_bytes(), &Caps::default(), Method::Get, &mut head).unwrap();
    let patch = Patch::default();
    let mut outgoing = OutgoingResponse {
        response: Response { bytes: text_of_h1.as_bytes(), head: &head },
        patch: &patch,
        body: head.body,
        method: Method::Get,
        client: Version::H2,
        after: After::KeepAlive,
        date: DATE,
        via: None,
    };
    change(&mut outgoing);
    let mut out = Vec::new();
    response(&mut out, &mut Encoder::new(), &outgoing);
    text(&out)
}

#[test]
fn responses() {
    let date = "date: Sun, 06 Nov 1994 08:49:37 GMT";
    let text_of_h1 = "HTTP/1.1 200 OK\r\nServer: x\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a=1\r\n\
        Set-Cookie: b=2\r\nContent-Length: 5\r\n\r\n";
    let expected = [":status: 200", "server: x", "set-cookie: a=1", "set-cookie: b=2", date, "content-length: 5"];
    assert_eq!(answered(text_of_h1, |_| {}), expected);
    let none = "HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n";
    assert_eq!(answered(none, |_| {}), [":status: 204", "date: now"]);
    let open = "HTTP/1.0 418 Teapot\r\n\r\n";
    let expected = [":status: 418", date, "via: 1.0 us"];
    assert_eq!(answered(open, |outgoing| outgoing.via = Some(b"us")), expected);
    let empty = "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answered(empty, |_| {}), [":status: 404", date, "content-length: 0"]);
    assert_eq!(answered("HTTP/1.1 103 x\r\nLink: a\r\n\r\n", |_| {}), [":status: 103", "link: a"]);
    let head = "HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\n";
    let written = answered(head, |outgoing| {
        outgoing.method = Method::Head;
        outgoing.body = BodyLength::None;
    });
    assert_eq!(written, [":status: 200", date, "content-length: 9"]);
    let switched = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: k\r\n\r\n";
    let written = answered(switched, |outgoing| outgoing.after = After::Upgrade);
    assert_eq!(written, [":status: 200", date]);
}

#[test]
fn trailers_both_ways() {
    let mut out = Vec::new();
    trailer_lines(&mut out, &mut Encoder::new(), b"Grpc-Status: 0\r\nX-B:  c \r\nHost: a\r\nEmpty:\r\n");
    assert_eq!(text(&out), ["grpc-status: 0", "x-b: c", "empty: "]);
    let section = section(&raw_lines(&[("grpc-status", "0"), ("x", "y")]));
    out.clear();
    trailers(&mut out, &mut Encoder::new(), &section.bytes, &section.fields);
    assert_eq!(text(&out), ["grpc-status: 0", "x: y"]);
    out.clear();
    lines(&mut out, &section);
    assert_eq!(out, b"grpc-status: 0\r\nx: y\r\n");
}

#[test]
fn a_head_of_ours_has_no_bytes() {
    let head = ResponseHead { status: 503, reason: Span::EMPTY, ..ResponseHead::default() };
    let patch = Patch::default();
    let outgoing = OutgoingResponse {
        response: Response { bytes: &[], head: &head },
        patch: &patch,
        body: BodyLength::Exact(3),
        method: Method::Get,
        client: Version::H2,
        after: After::KeepAlive,
        date: DATE,
        via: None,
    };
    let mut out = Vec::new();
    response(&mut out, &mut Encoder::new(), &outgoing);
    assert_eq!(text(&out)[..1], [":status: 503"]);
}
