// SPDX-License-Identifier: Apache-2.0
//! What may be coded, and what becomes of its head.

use crate::wire::coding::response::{Eligible, code, vary, wants_no_transform};
use crate::wire::coding::{ContentCoding, MediaRange, MediaRanges};
use crate::wire::h1::{Caps, Parsed, RawUtf8, Tolerance, request, response};
use crate::wire::head::{Method, Request, RequestHead, Response, ResponseHead};
use crate::wire::patch::Patch;

const CAPS: Caps = Caps {
    head_bytes: 4096,
    request_line_bytes: 1024,
    fields: 64,
    raw_utf8: RawUtf8::Encode,
    tolerance: Tolerance::NONE,
};

fn head_of(method: Method, text: &str) -> ResponseHead {
    let mut head = ResponseHead::default();
    assert_eq!(response::parse(text.as_bytes(), &CAPS, method, &mut head), Ok(Parsed::Complete), "{text}");
    head
}

fn message(status: u16, fields: &[&str]) -> String {
    let lines: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
    format!("HTTP/1.1 {status} X\r\n{lines}\r\n")
}

fn eligible() -> Eligible {
    let types = ["text/*", "application/json"].map(|text| MediaRange::parse(text).expect("well formed"));
    Eligible { types: MediaRanges::new(types.into()), bytes_min: 1000 }
}

fn includes(method: Method, status: u16, fields: &[&str]) -> bool {
    let text = message(status, fields);
    let head = head_of(method, &text);
    let response = Response { bytes: text.as_bytes(), head: &head };
    eligible().includes(method, response, &Patch::default())
}

#[test]
fn long_content_of_a_listed_type_may_be_coded() {
    for status in [200, 201, 403, 404, 500] {
        assert!(includes(Method::Get, status, &["Content-Type: text/html", "Content-Length: 1000"]), "{status}");
    }
    assert!(includes(Method::Post, 200, &["Content-Type: application/json", "Transfer-Encoding: chunked"]));
    assert!(includes(Method::Get, 200, &["Content-Type: text/html"]), "until the connection closes");
    assert!(includes(Method::Get, 200, &["Content-Type: text/html", "Cache-Control: max-age=1, no-store"]));
}

#[test]
fn what_is_short_or_of_another_type_stays() {
    assert!(!includes(Method::Get, 200, &["Content-Type: text/html", "Content-Length: 999"]));
    assert!(!includes(Method::Get, 200, &["Content-Type: text/html", "Content-Length: 0"]));
    assert!(!includes(Method::Get, 200, &["Content-Type: image/png", "Content-Length: 5000"]));
    assert!(!includes(Method::Get, 200, &["Content-Length: 5000"]));
    let all = Eligible { types: MediaRanges::new(vec![MediaRange::Any]), bytes_min: 0 };
    for fields in [&["Content-Type: a/b", "Content-Length: 0"][..], &["Content-Type: application/grpc+proto"]] {
        let text = message(200, fields);
        let head = head_of(Method::Get, &text);
        let response = Response { bytes: text.as_bytes(), head: &head };
        assert!(!all.includes(Method::Get, response, &Patch::default()), "{text}");
    }
}

#[test]
fn what_http_forbids_stays() {
    for status in [204, 205, 206, 226, 304] {
        assert!(!includes(Method::Get, status, &["Content-Type: text/html", "Content-Length: 5000"]), "{status}");
    }
    for line in [
        "Content-Encoding: br",
        "content-encoding: identity",
        "Cache-Control: no-transform",
        "Cache-Control: public, No-Transform ,max-age=5",
        "Content-Digest: sha-256=:AA==:",
        "Repr-Digest: sha-256=:AA==:",
        "Digest: sha-256=AA==",
        "Content-MD5: AA==",
    ] {
        assert!(!includes(Method::Get, 200, &["Content-Type: text/html", "Content-Length: 5000", line]), "{line}");
    }
}

#[test]
fn to_head_the_answer_is_that_for_get() {
    for fields in [
        &["Content-Type: text/html", "Content-Length: 1000"][..],
        &["Content-Type: text/html", "Content-Length: 999"],
        &["Content-Type: text/html", "Transfer-Encoding: chunked"],
        &["Content-Type: text/html"],
        &["Content-Type: text/html", "Content-Length: 0"],
    ] {
        assert_eq!(includes(Method::Head, 200, fields), includes(Method::Get, 200, fields), "{fields:?}");
    }
}

#[test]
fn what_policies_changed_counts() {
    let text = message(200, &["Content-Type: image/png", "Cache-Control: no-transform", "Content-Length: 5000"]);
    let head = head_of(Method::Get, &text);
    let response = Response { bytes: text.as_bytes(), head: &head };
    let mut patch = Patch::default();
    patch.set(&head.fields, response.bytes, b"content-type", b"text/html");
    assert!(!eligible().includes(Method::Get, response, &patch));
    patch.remove(&head.fields, response.bytes, b"cache-control");
    assert!(eligible().includes(Method::Get, response, &patch));
    patch.add(b"Content-Encoding", b"x");
    assert!(!eligible().includes(Method::Get, response, &patch));
}

/// What is left of these fields after `change`, sorted.
fn changed(fields: &[&str], change: impl FnOnce(Response<'_>, &mut Patch)) -> Vec<String> {
    let text = message(200, fields);
    let head = head_of(Method::Head, &text);
    let response = Response { bytes: text.as_bytes(), head: &head };
    let mut patch = Patch::default();
    change(response, &mut patch);
    let kept = head.fields.list.iter().enumerate().filter(|(index, _)| !patch.is_removed(*index));
    let kept = kept.map(|(_, field)| (field.name.of(response.bytes), field.value.of(response.bytes)));
    let line = |(name, value): (&[u8], &[u8])| {
        format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    };
    let mut lines: Vec<String> = kept.chain(patch.added()).map(line).collect();
    lines.sort();
    lines
}

#[test]
fn a_coded_head_says_so_and_nothing_of_the_content_before() {
    let before = ["Content-Length: 5000", "ETag: \"v1\"", "Accept-Ranges: bytes", "X: y"];
    let after = changed(&before, |response, patch| code(ContentCoding::Gzip, response, patch));
    assert_eq!(after, ["Content-Encoding: gzip", "ETag: W/\"v1\"", "X: y"]);
    let after = changed(&["ETag: W/\"v1\""], |response, patch| code(ContentCoding::Gzip, response, patch));
    assert_eq!(after, ["Content-Encoding: gzip", "ETag: W/\"v1\""]);
    let after = changed(&[], |response, patch| {
        patch.add(b"etag", b"\"ours\"");
        code(ContentCoding::Gzip, response, patch);
    });
    assert_eq!(after, ["Content-Encoding: gzip", "ETag: W/\"ours\""]);
}

#[test]
fn vary_is_one_line_that_names_the_field_once() {
    for (before, after) in [
        (&[][..], &["Vary: Accept-Encoding"][..]),
        (&["Vary: Origin"], &["Vary: Origin, Accept-Encoding"]),
        (&["Vary: Origin", "vary: Accept"], &["Vary: Origin, Accept, Accept-Encoding"]),
        (&["Vary:"], &["Vary: Accept-Encoding"]),
        (&["Vary: *"], &["Vary: *"]),
        (&["Vary: Origin , accept-encoding"], &["Vary: Origin , accept-encoding"]),
    ] {
        assert_eq!(changed(before, vary), after);
    }
    let twice = changed(&["Vary: Origin"], |response, patch| {
        patch.add(b"Vary", b"Cookie");
        vary(response, patch);
        vary(response, patch);
    });
    assert_eq!(twice, ["Vary: Origin, Cookie, Accept-Encoding"]);
}

#[test]
fn a_client_may_forbid_it_too() {
    for (line, wanted) in [("Cache-Control: no-transform", true), ("cache-control: no-cache", false), ("X: y", false)] {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
        let mut head = RequestHead::default();
        let parsed = request::parse(text.as_bytes(), &CAPS, &mut head);
        assert_eq!(parsed, Ok(Parsed::Complete));
        assert_eq!(wants_no_transform(Request { bytes: text.as_bytes(), head: &head }), wanted, "{line}");
    }
}
