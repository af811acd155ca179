// SPDX-License-Identifier: Apache-2.0
//! Responses accepted and refused.

use proptest::prelude::*;

use super::*;
use crate::wire::check;

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
    assert_eq!(fault("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"), Some(FaultKind::UpstreamHeadTooLarge));
    assert_eq!(fault(&format!("HTTP/1.1 200 {}", "x".repeat(60))), Some(FaultKind::UpstreamHeadTooLarge));
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
