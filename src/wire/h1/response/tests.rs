// SPDX-License-Identifier: Apache-2.0
//! Responses accepted and refused.

use proptest::prelude::*;

use super::*;
use crate::wire::check;
use crate::wire::h1::Deviation;

fn parsed(text: &str, method: Method) -> Result<ResponseHead, FaultKind> {
    check::response_head(text.as_bytes());
    let mut head = ResponseHead::default();
    match parse(text.as_bytes(), &Caps::default(), method, &mut head)? {
        Parsed::Complete => Ok(head),
        Parsed::Partial => panic!("partial: {text:?}"),
    }
}

fn get(text: &str) -> Result<ResponseHead, FaultKind> {
    parsed(text, Method::Get)
}

#[test]
fn usual_responses() {
    let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabc";
    let head = get(bytes).unwrap();
    assert_eq!((head.status, head.reason.of(bytes.as_bytes())), (200, &b"OK"[..]));
    assert_eq!((head.body, head.keep_alive, head.len), (BodyLength::Exact(3), true, bytes.len() - 3));
    assert!(get("HTTP/1.1 200\r\n\r\n").unwrap().reason.is_empty());
    assert!(get("HTTP/1.1 200 \r\n\r\n").unwrap().reason.is_empty());
    assert_eq!(
        get("HTTP/1.1 404 Nicht da: é\r\n\r\n").unwrap().reason.of("HTTP/1.1 404 Nicht da: é".as_bytes()).len(),
        12
    );
    assert_eq!(get("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n").unwrap().len, 25);
    assert_eq!(get("HTTP/1.1 999 x\r\n\r\n").unwrap().status, 999);
}

#[test]
fn keep_alive() {
    let keeps = |text: &str, method| parsed(text, method).unwrap().keep_alive;
    assert!(!keeps("HTTP/1.1 200 OK\r\n\r\n", Method::Get));
    assert!(keeps("HTTP/1.1 200 OK\r\n\r\n", Method::Head));
    assert!(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n", Method::Get));
    assert!(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", Method::Get));
    assert!(keeps("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", Method::Get));
    assert!(keeps("HTTP/1.1 204 No Content\r\n\r\n", Method::Get));
    assert!(!keeps("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Method::Get));
    assert!(keeps("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Method::Get));
}

#[test]
fn injected_lines_do_not_pass() {
    let bad = [
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\rZ: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "<html>",
        "HTTP/1.1 200 OK\r\nX: \u{7f}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 302 x\r\nLocation: a\r\nLocation: b\r\n\r\n",
    ];
    for bytes in bad {
        assert_eq!(get(bytes).err(), Some(FaultKind::UpstreamProtocol), "{bytes:?}");
    }
}

#[test]
fn caps() {
    let small = Caps { head_bytes: 64, request_line_bytes: 0, fields: 2, ..Caps::default() };
    let fault = |text: &str| parse(text.as_bytes(), &small, Method::Get, &mut ResponseHead::default()).err();
    assert_eq!(fault("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\r\n"), None);
    assert_eq!(fault("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"), Some(FaultKind::UpstreamTooManyFields));
    assert_eq!(fault(&format!("HTTP/1.1 200 {}", "x".repeat(60))), Some(FaultKind::UpstreamHeadTooLarge));
}

#[test]
fn as_many_fields_as_a_set_holds() {
    let lines = |count| (0..count).map(|index| format!("set-cookie: c{index}=1\r\n")).collect::<String>();
    let parsed = |count| {
        let bytes = format!("HTTP/1.1 200 OK\r\n{}\r\n", lines(count));
        parse(bytes.as_bytes(), &Caps::default(), Method::Get, &mut ResponseHead::default())
    };
    assert_eq!(parsed(FIELDS_MAX), Ok(Parsed::Complete));
    assert_eq!(parsed(FIELDS_MAX + 1), Err(FaultKind::UpstreamTooManyFields));
}

#[test]
fn lengths_are_tolerated_only_where_asked() {
    let both = "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n";
    let twice = "Content-Length: 2\r\nContent-Length: 2\r\n";
    let refused = [
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2, x\r\n",
        "Content-Length: 2,\r\n",
    ];
    let parsed = |version: &str, lines: &str, tolerance: &[Deviation]| {
        let bytes = format!("HTTP/{version} 200 OK\r\n{lines}\r\n");
        let caps = Caps { tolerance: tolerance.iter().copied().collect(), ..Caps::default() };
        let mut head = ResponseHead::default();
        parse(bytes.as_bytes(), &caps, Method::Get, &mut head).map(|_| (head.body, head.keep_alive))
    };
    let all = [Deviation::LengthWithChunked, Deviation::RepeatedLength, Deviation::ChunkSizeSpaces];
    let cases = [
        (both, Deviation::LengthWithChunked, BodyLength::Chunked),
        (twice, Deviation::RepeatedLength, BodyLength::Exact(2)),
        ("Content-Length: 2, 02\r\n", Deviation::RepeatedLength, BodyLength::Exact(2)),
    ];
    for (lines, deviation, length) in cases {
        assert_eq!(parsed("1.1", lines, &[]), Err(FaultKind::UpstreamProtocol), "{lines}");
        assert_eq!(parsed("1.1", lines, &[deviation]), Ok((length, false)), "{lines}");
        let others: Vec<_> = all.into_iter().filter(|other| *other != deviation).collect();
        assert_eq!(parsed("1.1", lines, &others), Err(FaultKind::UpstreamProtocol), "{lines}");
    }
    assert_eq!(parsed("1.0", both, &all), Err(FaultKind::UpstreamProtocol));
    for lines in refused {
        assert_eq!(parsed("1.1", lines, &all), Err(FaultKind::UpstreamProtocol), "{lines}");
    }
}

#[test]
fn the_broken_rule_is_named() {
    let rule = |lines: &str| {
        let bytes = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let mut head = ResponseHead::default();
        assert_eq!(parse(bytes.as_bytes(), &Caps::default(), Method::Get, &mut head), Err(FaultKind::UpstreamProtocol));
        broken_rule(bytes.as_bytes(), &Caps::default(), &head)
    };
    for (lines, part) in [
        ("A: 1\n", "ends with CRLF"),
        ("A : 1\r\n", "without space before the colon"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "beside"),
        ("Transfer-Encoding: gzip\r\n", "section 6.1"),
        ("Content-Length: 2\r\nContent-Length: 2\r\n", "several times"),
        ("Content-Length: x\r\n", "not one number"),
        ("Location: a\r\nLocation: b\r\n", "once"),
    ] {
        assert!(rule(lines).contains(part), "{lines}: {}", rule(lines));
    }
    for (bytes, part) in [("HTTP/2.0 200 OK\r\n\r\n", "version"), ("HTTP/1.1 20 OK\r\n\r\n", "three digits")] {
        assert!(broken_rule(bytes.as_bytes(), &Caps::default(), &ResponseHead::default()).contains(part), "{bytes}");
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        check::response_head(&bytes);
        check::response_head(&[b"HTTP/1.1 200 ", &bytes[..]].concat());
    }

    #[test]
    fn almost_responses(
        line in prop_oneof![
            4 => Just("HTTP/1.1 200 OK\r\n"), 1 => Just("HTTP/1.0 304 x\r\n"), 1 => Just("HTTP/1.1 204\r\n"),
            1 => Just("HTTP/1.1 101 Switching Protocols\r\n"), 1 => Just("HTTP/1.1 200 OK\n"),
            1 => Just("HTTP/1.1 103 é\r\n"),
            1 => Just("HTTP/1.1 426 \r\nUpgrade: x\r\n"),
        ],
        rest in crate::wire::h1::request::tests::pieces(),
    ) {
        check::response_head(&[line.as_bytes(), &rest].concat());
        check::response_head(&[line.as_bytes(), &rest, b"\r\n"].concat());
    }
}
