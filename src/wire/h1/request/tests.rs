// SPDX-License-Identifier: Apache-2.0
//! Requests accepted and refused, with the exact fault, and properties over any bytes.

use proptest::prelude::*;

use super::*;
use crate::wire::check;
use crate::wire::head::BodyLength;

fn parsed(text: &str) -> Result<RequestHead, FaultKind> {
    let mut head = RequestHead::default();
    let verdict = parse(text.as_bytes(), &Caps::default(), &mut head);
    check::head(text.as_bytes());
    match verdict? {
        Parsed::Complete => Ok(head),
        Parsed::Partial => panic!("partial: {text:?}"),
    }
}

fn text(span: Span, bytes: &str) -> &str {
    &bytes[usize::from(span.start)..usize::from(span.end)]
}

#[test]
fn nothing_of_an_earlier_head_stays() {
    let mut head = RequestHead { protocol: Span::new(3, 12), upgrade: true, ..RequestHead::default() };
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(parse(bytes, &Caps::default(), &mut head), Ok(Parsed::Complete));
    assert_eq!((head.protocol, head.upgrade), (Span::EMPTY, false));
}

#[test]
fn a_browsers_request() {
    let bytes = "GET /shop/item?id=7 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: x/1\r\nACCEPT:*/*\r\n\
        Cookie: \t a=b \t\r\nX-Empty:\r\nConnection: keep-alive\r\n\r\nbody";
    let head = parsed(bytes).unwrap();
    assert_eq!((head.method, text(head.method_text, bytes)), (Method::Get, "GET"));
    assert_eq!(text(head.target, bytes), "/shop/item?id=7");
    assert_eq!(text(head.path, bytes), "/shop/item");
    assert_eq!(text(head.query.unwrap(), bytes), "id=7");
    assert_eq!(text(head.authority, bytes), "shop.example:8080");
    assert_eq!((head.version, head.keep_alive, head.body), (Version::H11, true, BodyLength::None));
    assert_eq!(head.len, bytes.len() - 4);
    let fields: Vec<_> =
        head.fields.list.iter().map(|field| (text(field.name, bytes), text(field.value, bytes))).collect();
    assert_eq!(fields[2..5], [("ACCEPT", "*/*"), ("Cookie", "a=b"), ("X-Empty", "")]);
}

#[test]
fn one_empty_line_may_come_first() {
    let head = parsed("\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(head.method_text, Span::new(2, 5));
    assert_eq!(parsed("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").err(), Some(FaultKind::BadRequest));
    assert_eq!(parsed("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").err(), Some(FaultKind::BadRequest));
}

#[test]
fn utf8_in_a_target_is_encoded_and_nothing_else() {
    let encoded = |target: &[u8], caps: &Caps| {
        let bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\nX: \xC3\xB6\r\n\r\nbody"].concat();
        check::head(&bytes);
        let encoded = encode_target(&bytes, caps)?;
        let mut head = RequestHead::default();
        assert_eq!(parse(&encoded, caps, &mut head), Ok(Parsed::Complete));
        assert!(encoded.ends_with(b"\r\nX: \xC3\xB6\r\n\r\nbody"));
        Some(String::from_utf8(head.target.of(&encoded).to_vec()).unwrap())
    };
    let caps = Caps::default();
    assert_eq!(encoded("/ö".as_bytes(), &caps).unwrap(), "/%C3%B6");
    assert_eq!(encoded("/a%20?q=ö&r=%ff€".as_bytes(), &caps).unwrap(), "/a%20?q=%C3%B6&r=%ff%E2%82%AC");
    assert_eq!(encoded("http://b/ö".as_bytes(), &caps).unwrap(), "http://b/%C3%B6");
    // Overlong, a surrogate, cut, latin-1, a name, plain ASCII.
    for target in [&b"/\xC0\xAF"[..], b"/\xED\xA0\x80", b"/\xC3", b"/\xF6", "http://ö/".as_bytes(), b"/o"] {
        assert_eq!(encoded(target, &caps), None, "{}", target.escape_ascii());
    }
    assert_eq!(encoded("/ö".as_bytes(), &Caps { raw_utf8: RawUtf8::Reject, ..caps }), None);
}

#[test]
fn limits_hold_for_the_encoded_target() {
    let bytes = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "ö".repeat(10));
    let caps = Caps { request_line_bytes: 40, ..Caps::default() };
    let encoded = encode_target(bytes.as_bytes(), &caps).unwrap();
    assert_eq!(parse(&encoded, &caps, &mut RequestHead::default()), Err(FaultKind::TargetTooLong));
}

#[test]
fn versions() {
    let version = |version: &str| parsed(&format!("GET / {version}\r\nHost: a\r\n\r\n")).map(|head| head.version);
    assert_eq!(version("HTTP/1.1"), Ok(Version::H11));
    assert_eq!(version("HTTP/1.0"), Ok(Version::H10));
    assert_eq!(version("HTTP/1.2"), Ok(Version::H11));
    assert_eq!(version("HTTP/1.9"), Ok(Version::H11));
    for later in ["HTTP/2.0", "HTTP/0.9", "HTTP/9.9"] {
        assert_eq!(version(later), Err(FaultKind::VersionNotSupported), "{later}");
    }
    for bad in
        ["HTTP/1", "HTTP/1.", "HTTP/1.10", "HTTP/01.1", "http/1.1", "HTTP/ 1.1", "HTTP/1.1 ", "HTTP/1.1\t", "ICE/1.0"]
    {
        assert_eq!(version(bad), Err(FaultKind::BadRequest), "{bad}");
    }
    assert_eq!(parsed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").err(), Some(FaultKind::VersionNotSupported));
    assert_eq!(parsed("GET /\r\n\r\n").err(), Some(FaultKind::BadRequest));
}

#[test]
fn methods() {
    let method = |method: &str| parsed(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).map(|head| head.method);
    assert_eq!(method("PURGE"), Ok(Method::Other));
    assert_eq!(method("M-SEARCH"), Ok(Method::Other));
    assert_eq!(method("DELETE"), Ok(Method::Delete));
    for refused in ["TRACE", "get", "Post", "CONNECT", "trace"] {
        assert_eq!(method(refused), Err(FaultKind::NotImplemented), "{refused}");
    }
    for bad in ["", "G(T", "GET\t", "GE\u{7f}T", "é", &"A".repeat(METHOD_BYTES_MAX + 1)] {
        assert_eq!(method(bad), Err(FaultKind::BadRequest), "{bad}");
    }
    assert_eq!(parsed("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").err(), Some(FaultKind::NotImplemented));
}

#[test]
fn targets() {
    let parts = |method: &str, target: &str, host: &str| {
        let bytes = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let head = parsed(&bytes)?;
        let query = head.query.map(|query| text(query, &bytes).to_owned());
        Ok((text(head.path, &bytes).to_owned(), query, text(head.authority, &bytes).to_owned()))
    };
    let found = |path: &str, query: Option<&str>, authority: &str| {
        Ok((path.to_owned(), query.map(str::to_owned), authority.to_owned()))
    };
    assert_eq!(parts("GET", "//a/b?", "h"), found("//a/b", Some(""), "h"));
    assert_eq!(parts("GET", "/a?b?c", "h"), found("/a", Some("b?c"), "h"));
    assert_eq!(parts("OPTIONS", "*", "h"), found("", None, "h"));
    assert_eq!(parts("GET", "http://H:80/a?b", "h"), found("/a", Some("b"), "H:80"));
    assert_eq!(parts("GET", "HTTPS://h?b", "h:443"), found("/", Some("b"), "h"));
    assert_eq!(parts("GET", "http://h", "h"), found("/", None, "h"));
    assert_eq!(parts("OPTIONS", "http://h", "h"), found("", None, "h"));
    // RFC 9112 section 3.2.2: the target names the host, whatever the field says.
    assert_eq!(parts("GET", "http://other:81/", "h"), found("/", None, "other:81"));
    assert_eq!(parts("GET", "https://h:80/", "h"), found("/", None, "h:80"));
    let bad = [
        "*",
        "a",
        "h:80",
        "?a",
        "/a#b",
        "/a b",
        "/\u{1}",
        "/é",
        "http:/h/",
        "http://",
        "http:///a",
        "ftp://h/",
        "http://u@h/",
        "http://h:0/",
        "://h/",
        "http://h\\a/",
    ];
    for target in bad {
        assert_eq!(parts("GET", target, "h"), Err(FaultKind::BadRequest), "{target}");
    }
}

#[test]
fn hosts() {
    let fault = |lines: &str, version: &str| parsed(&format!("GET / HTTP/{version}\r\n{lines}\r\n")).err();
    assert_eq!(fault("", "1.0"), None);
    let bad = [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: u@a\r\n",
        "Host: a/b\r\n",
        "Host: a, b\r\n",
        "Host: a b\r\n",
        "Host: a:\r\n",
        "Host: a:x\r\n",
        "Host: a\0\r\n",
        "Host : a\r\n",
    ];
    for lines in bad {
        assert_eq!(fault(lines, "1.1"), Some(FaultKind::BadRequest), "{lines:?}");
        if !lines.is_empty() {
            assert_eq!(fault(lines, "1.0"), Some(FaultKind::BadRequest), "{lines:?}");
        }
    }
}

#[test]
fn lines_have_one_reading() {
    let bad = [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \u{7f}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\né: b\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\rHost: a\r\n\r\n",
        "GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "   \r\n\r\n",
    ];
    for bytes in bad {
        assert_eq!(parsed(bytes).err(), Some(FaultKind::BadRequest), "{bytes:?}");
    }
    assert!(parsed("GET / HTTP/1.1\r\nHost: a\r\nX: b\té\r\n\r\n").is_ok());
}

#[test]
fn fields_that_must_be_single() {
    for name in ["Content-Type", "authorization", "Origin", "Range", "Upgrade"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: a\r\n{name}: a\r\n\r\n");
        assert_eq!(parsed(&bytes).err(), Some(FaultKind::BadRequest), "{name}");
    }
    for name in ["Content_Length", "TRANSFER_ENCODING", "Transfer_encoding"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: 1\r\n\r\n");
        assert_eq!(parsed(&bytes).err(), Some(FaultKind::BadRequest), "{name}");
    }
    let bytes = "GET / HTTP/1.1\r\nHost: a\r\nX_Real_IP: 1\r\nMy_Own: 2\r\n\r\n";
    let known: Vec<_> = parsed(bytes).unwrap().fields.list.iter().map(|field| field.known).collect();
    assert_eq!(known, [Known::Host, Known::Underscored, Known::Other]);
}

#[test]
fn connection_and_expectations() {
    let head = |version: &str, lines: &str| parsed(&format!("PUT / HTTP/{version}\r\nHost: a\r\n{lines}\r\n"));
    let keep = |version, lines| head(version, lines).unwrap().keep_alive;
    assert!(keep("1.1", "") && !keep("1.0", ""));
    assert!(keep("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!keep("1.1", "Connection: x, CLOSE\r\n") && !keep("1.1", "Connection: x\r\nConnection: close\r\n"));
    assert!(!keep("1.0", "Connection: keep-alive, close\r\n"));
    let expect = |version, lines| head(version, lines).map(|head| head.expects_continue);
    assert_eq!(expect("1.1", "Expect: 100-Continue\r\nContent-Length: 3\r\n"), Ok(true));
    assert_eq!(expect("1.1", "Expect: 100-continue\r\n"), Ok(false));
    assert_eq!(expect("1.0", "Expect: 100-continue\r\nContent-Length: 3\r\n"), Ok(false));
    assert_eq!(expect("1.1", "Expect: 200-ok\r\n"), Err(FaultKind::ExpectationFailed));
    assert_eq!(expect("1.1", "Expect: 100-continue\r\nExpect: a\r\n"), Err(FaultKind::ExpectationFailed));
    let trailers = |version, lines| head(version, lines).unwrap().accepts_trailers;
    assert!(trailers("1.1", "TE: deflate;q=0.5, Trailers\r\n") && !trailers("1.0", "TE: trailers\r\n"));
}

#[test]
fn caps() {
    let small = Caps { head_bytes: 60, request_line_bytes: 24, fields: 2, ..Caps::default() };
    let fault = |text: &str| {
        let verdict = parse(text.as_bytes(), &small, &mut RequestHead::default());
        verdict.err()
    };
    assert_eq!(fault("GET /234567890 HTTP/1.1\r\nHost: a\r\n\r\n"), None);
    assert_eq!(fault("GET /2345678901 HTTP/1.1\r\nHost: a\r\n\r\n"), None);
    assert_eq!(fault("GET /23456789012 HTTP/1.1\r\nHost: a\r\n\r\n"), Some(FaultKind::TargetTooLong));
    assert_eq!(fault("GET /2345678901234567890123456789"), Some(FaultKind::TargetTooLong));
    assert_eq!(fault("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n"), None);
    assert_eq!(fault("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\n\r\n"), Some(FaultKind::HeadTooLarge));
    assert_eq!(fault(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "b".repeat(31))), None);
    assert_eq!(fault(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "b".repeat(32))), Some(FaultKind::HeadTooLarge));
    let long_method = "A".repeat(100_000);
    assert_eq!(parsed(&long_method).err(), Some(FaultKind::BadRequest));
}

#[test]
fn largest_head() {
    let caps = Caps { head_bytes: usize::MAX, request_line_bytes: usize::MAX, fields: usize::MAX, ..Caps::default() };
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    bytes.resize(HEAD_BYTES_MAX - 4, b'x');
    bytes.extend_from_slice(b"\r\n\r\n");
    let mut head = RequestHead::default();
    assert_eq!(parse(&bytes, &caps, &mut head), Ok(Parsed::Complete));
    bytes.insert(40, b'x');
    assert_eq!(parse(&bytes, &caps, &mut head), Err(FaultKind::HeadTooLarge));
}

/// Pieces that heads, good and bad, are made of.
pub(in crate::wire::h1) fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just(" "), 1 => Just("\t"),
        1 => Just(":"), 1 => Just("\0"),
        4 => Just("Host: a\r\n"), 2 => Just("Content-Length: 5\r\n"), 1 => Just("Content-Length: 6\r\n"),
        2 => Just("Transfer-Encoding: chunked\r\n"), 2 => Just("Connection: close, x-a\r\n"), 1 => Just("X-A: 1\r\n"),
        1 => Just("Expect: 100-continue\r\n"), 1 => Just("Upgrade: websocket\r\n"),
        1 => Just("Connection: upgrade\r\n"),
        1 => Just("X:  y \t\r\n"), 1 => Just("Via: 1.0 b\r\n"), 1 => Just("TE: trailers\r\n"),
        1 => Just("Content_Length: 1\r\n"),
        1 => Just("é"), 1 => Just("x-a: \u{7f}\r\n"), 1 => Just("Trailer: x\r\n"), 1 => Just("Date: now\r\n"),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        check::head(&bytes);
    }

    #[test]
    fn almost_requests(
        line in prop_oneof![
            4 => Just("GET / HTTP/1.1\r\n"), 1 => Just("POST /a?b HTTP/1.0\r\n"),
            1 => Just("\r\nPUT http://a/ HTTP/1.1\r\n"),
            1 => Just("OPTIONS * HTTP/1.3\r\n"), 1 => Just("GET / HTTP/1.1\n"), 1 => Just("POST /# HTTP/1.1\r\n"),
            1 => Just("\r\n\r\nGET / HTTP/1.1\r\n"), 1 => Just("OPTIONS http://a HTTP/1.1\r\nMax-Forwards: 3\r\n"),
        ],
        rest in pieces(),
    ) {
        check::head(&[line.as_bytes(), &rest].concat());
        check::head(&[line.as_bytes(), b"Host: a\r\n", &rest, b"\r\n"].concat());
    }
}
