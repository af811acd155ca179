// SPDX-License-Identifier: Apache-2.0
//! What is a message and what is none, and that the table stays in step either way.

use super::*;
use crate::base::FaultKind;
use crate::wire::field_set::FieldSet;
use crate::wire::h2::hpack::Decoder;
use crate::wire::h2::raw::{Literal, block, lines, section};
use crate::wire::head::Request;

type Lines<'a> = &'a [(&'a str, &'a str)];

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/x?y")];

fn understood(fields: Lines<'_>, content: Content) -> Result<(RequestHead, Vec<u8>), Malformed> {
    let mut section = section(&lines(fields));
    let mut head = RequestHead::default();
    request(&mut section, content, &mut head)?;
    Ok((head, section.bytes))
}

/// What becomes of a GET with more fields.
fn get(more: Lines<'_>) -> Result<(RequestHead, Vec<u8>), Malformed> {
    understood(&[&GET, more].concat(), Content::Ended)
}

/// What becomes of a POST with content and more fields.
fn post(more: Lines<'_>) -> Result<(RequestHead, Vec<u8>), Malformed> {
    let mut fields = [&GET, more].concat();
    fields[0].1 = "POST";
    understood(&fields, Content::Follows)
}

/// What becomes of a GET with another value for one pseudo-field; empty leaves it out.
fn changed(name: &str, value: &str) -> Result<(RequestHead, Vec<u8>), Malformed> {
    let fields = GET.iter().map(|(known, old)| (*known, if *known == name { value } else { *old }));
    let fields: Vec<_> = fields.filter(|(known, value)| *known != name || !value.is_empty()).collect();
    understood(&fields, Content::Ended)
}

#[test]
fn every_part_of_a_head() {
    let (head, bytes) = get(&[("te", "trailers"), ("accept", "*/*"), ("x_real_ip", "1")]).unwrap();
    let request = Request { bytes: &bytes, head: &head };
    assert_eq!((head.method, request.method_text()), (Method::Get, &b"GET"[..]));
    assert_eq!((head.target.of(&bytes), request.path(), request.query()), (&b"/x?y"[..], &b"/x"[..], &b"y"[..]));
    assert_eq!((request.authority(), head.absolute_https, head.version), (&b"a.example"[..], true, Version::H2));
    assert_eq!((head.body, head.keep_alive, head.upgrade), (BodyLength::None, true, false));
    assert_eq!((head.accepts_trailers, head.expects_continue, head.len), (true, false, bytes.len()));
    assert_eq!(request.value(Known::Host), Some(&b"a.example"[..]));
    assert_eq!(request.named(b"accept"), Some(&b"*/*"[..]));
    assert!(head.fields.names.has(Known::Underscored) && head.protocol.is_empty());
    let (head, bytes) = post(&[("expect", "100-continue"), ("content-length", "5")]).unwrap();
    assert_eq!((head.body, head.expects_continue), (BodyLength::Exact(5), true));
    assert_eq!(head.method_text.of(&bytes), b"POST");
}

#[test]
fn utf8_in_a_path_is_encoded_and_nothing_else() {
    let encoded = |path: &[u8]| {
        let mut section = section(&lines(&GET));
        let start = section.bytes.len();
        section.bytes.extend_from_slice(path);
        section.set_path(Span::new(start, start + path.len()));
        let mut head = RequestHead::default();
        assert_eq!(request(&mut section, Content::Ended, &mut head), Err(Malformed::Path));
        section.encode_path().then(|| {
            request(&mut section, Content::Ended, &mut head).unwrap();
            String::from_utf8(head.target.of(&section.bytes).to_vec()).unwrap()
        })
    };
    assert_eq!(encoded("/ö?q=€%2f".as_bytes()).unwrap(), "/%C3%B6?q=%E2%82%AC%2f");
    for path in [&b"/\xF6"[..], b"/\xC0\xAF", b"/a b"] {
        assert_eq!(encoded(path), None, "{}", path.escape_ascii());
    }
}

#[test]
fn an_empty_path_resets_the_stream() {
    let fields = GET.map(|(name, value)| (name, if name == ":path" { "" } else { value }));
    let refused = understood(&fields, Content::Ended).unwrap_err();
    assert_eq!((refused, refused.answer()), (Malformed::PathEmpty, None));
}

#[test]
fn fields_that_are_none() {
    for name in ["", "A", "a b", "a:", "a\0", "a\r\nb", "a\u{e9}", "a(", ":a", ":", ":Path"] {
        let expected = if name.starts_with(':') { Malformed::PseudoUnknown } else { Malformed::FieldName };
        assert_eq!(get(&[(name, "1")]).unwrap_err(), expected, "{name:?}");
    }
    for value in [" a", "a ", "\ta", "a\t", "a\rb", "a\nb", "a\0", "\x01", "\x7F"] {
        assert_eq!(get(&[("a", value)]).unwrap_err(), Malformed::FieldValue, "{value:?}");
        assert!(changed(":path", &format!("/{value}b")).is_err(), "{value:?}");
    }
    for value in ["", "a b", "a\tb", "\u{e9}"] {
        assert!(get(&[("a", value)]).is_ok(), "{value:?}");
    }
}

#[test]
fn fields_about_connections() {
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"] {
        assert_eq!(get(&[(name, "x")]).unwrap_err(), Malformed::ConnectionSpecific, "{name}");
    }
    for value in ["gzip", "trailers, gzip", ""] {
        assert_eq!(get(&[("te", value)]).unwrap_err(), Malformed::Te, "{value}");
    }
    assert_eq!(get(&[("content_length", "1")]).unwrap_err(), Malformed::Ambiguous);
    assert_eq!(get(&[("content-type", "a"), ("content-type", "a")]).unwrap_err(), Malformed::Ambiguous);
    assert_eq!(get(&[("host", "a.example"), ("host", "a.example")]).unwrap_err(), Malformed::Ambiguous);
    assert_eq!(get(&[("expect", "a")]).unwrap_err(), Malformed::Expectation);
}

#[test]
fn pseudo_fields() {
    for name in [":method", ":scheme", ":path"] {
        assert_eq!(changed(name, "").unwrap_err(), Malformed::PseudoMissing, "{name}");
    }
    assert_eq!(changed(":authority", "").unwrap_err(), Malformed::Authority);
    for (name, value) in [(":path", "/x?y"), (":method", "GET"), (":authority", "a.example")] {
        assert_eq!(get(&[(name, value)]).unwrap_err(), Malformed::PseudoTwice, "{name}");
    }
    assert_eq!(get(&[("a", "b"), (":protocol", "c")]).unwrap_err(), Malformed::PseudoLate);
    assert_eq!(get(&[(":status", "200")]).unwrap_err(), Malformed::PseudoUnknown);
    assert_eq!(get(&[(":protocol", "websocket")]).unwrap_err(), Malformed::PseudoUnknown);
    for (scheme, right) in [("http", true), ("HTTPS", true), ("ftp", false), ("http://a", false)] {
        assert_eq!(changed(":scheme", scheme).is_ok(), right, "{scheme}");
    }
    for path in ["x", "*", "http://a/", "/a b", "/a#b", "/\u{e9}", "?a", "/\x7F"] {
        assert!(changed(":path", path).is_err(), "{path}");
    }
}

#[test]
fn methods() {
    for (method, malformed) in [
        ("CONNECT", Malformed::NotImplemented),
        ("TRACE", Malformed::NotImplemented),
        ("get", Malformed::NotImplemented),
        ("G T", Malformed::Method),
        ("GET /smuggled HTTP/1.1", Malformed::Method),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Malformed::Method),
    ] {
        assert_eq!(changed(":method", method).unwrap_err(), malformed, "{method}");
    }
    let (head, _) = changed(":method", "QUERY").unwrap();
    assert_eq!(head.method, Method::Other);
    let options = [(":method", "OPTIONS"), (":scheme", "http"), (":authority", "a"), (":path", "*")];
    let (head, bytes) = understood(&options, Content::Ended).unwrap();
    assert_eq!((head.target.of(&bytes), head.path.is_empty(), head.query), (&b"*"[..], true, None));
}

#[test]
fn an_extended_connect_is_an_offer() {
    let mut fields = GET.to_vec();
    fields[0].1 = "CONNECT";
    fields.push((":protocol", "websocket"));
    let (head, bytes) = understood(&fields, Content::Follows).unwrap();
    assert_eq!((head.method, head.upgrade, head.protocol.of(&bytes)), (Method::Get, true, &b"websocket"[..]));
    assert_eq!((head.method_text.of(&bytes), head.body), (&b"GET"[..], BodyLength::None));
    fields.push(("content-length", "0"));
    assert_eq!(understood(&fields, Content::Follows).unwrap_err(), Malformed::ContentLength);
    fields.pop();
    for protocol in ["h2c", "HTTP", "tls"] {
        fields[4].1 = protocol;
        assert_eq!(understood(&fields, Content::Follows).unwrap_err(), Malformed::NotImplemented, "{protocol}");
    }
    fields[4].1 = "a b";
    assert_eq!(understood(&fields, Content::Follows).unwrap_err(), Malformed::NotImplemented);
    fields.truncate(2);
    fields.push((":protocol", "websocket"));
    assert_eq!(understood(&fields, Content::Follows).unwrap_err(), Malformed::PseudoMissing);
    // A CONNECT as RFC 9113 section 8.5 has it.
    let plain = [(":method", "CONNECT"), (":authority", "a:443")];
    assert_eq!(understood(&plain, Content::Follows).unwrap_err(), Malformed::NotImplemented);
}

#[test]
fn hosts() {
    for authority in ["a@b", "a/b", "a:0", "[::1", "a b"] {
        assert_eq!(changed(":authority", authority).unwrap_err(), Malformed::Authority, "{authority}");
    }
    let (head, bytes) = get(&[("host", "A.example:443")]).unwrap();
    assert_eq!((head.authority.of(&bytes), head.fields.list.len()), (&b"a.example"[..], 1));
    assert_eq!(get(&[("host", "a.example:80")]).unwrap_err(), Malformed::HostDiffers);
    assert_eq!(get(&[("host", "b.example")]).unwrap_err(), Malformed::HostDiffers);
    assert_eq!(get(&[("host", "")]).unwrap_err(), Malformed::Authority);
    let alone = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "b")];
    let (head, bytes) = understood(&alone, Content::Ended).unwrap();
    assert_eq!(head.authority.of(&bytes), b"b");
}

#[test]
fn lengths() {
    for value in ["", "-1", "+1", "1a", "1, 1", "01", "99999999999999999999", "9223372036854775808"] {
        assert_eq!(post(&[("content-length", value)]).unwrap_err(), Malformed::ContentLength, "{value}");
    }
    let twice = [("content-length", "1"), ("content-length", "1")];
    assert_eq!(post(&twice).unwrap_err(), Malformed::ContentLength);
    assert_eq!(get(&[("content-length", "1")]).unwrap_err(), Malformed::ContentLength);
    assert_eq!(get(&[("content-length", "0")]).unwrap().0.body, BodyLength::None);
    assert_eq!(post(&[("content-length", "0")]).unwrap().0.body, BodyLength::None);
    assert_eq!(post(&[]).unwrap().0.body, BodyLength::Chunked);
}

#[test]
fn crumbs_of_cookie_are_one_field() {
    let crumbs = [
        ("cookie", ""),
        ("cookie", "a=1"),
        ("cookie", ""),
        ("cookie", "b=2"),
        ("x", "y"),
        ("cookie", "c=3"),
        ("z", "z"),
        ("cookie", ""),
    ];
    let (head, bytes) = get(&crumbs).unwrap();
    let request = Request { bytes: &bytes, head: &head };
    assert_eq!(request.value(Known::Cookie), Some(&b"a=1; b=2; c=3"[..]));
    let names: Vec<_> = head.fields.list.iter().map(|field| field.name.of(&bytes)).collect();
    assert_eq!(names, [&b"cookie"[..], b"x", b"z", b"host"]);
    assert_eq!(request.cookie(b"c"), Some(&b"3"[..]));
    // More crumbs than a head may have fields.
    let many = vec![("cookie", "a=1"); 200];
    let (head, bytes) = get(&many).unwrap();
    assert_eq!(Request { bytes: &bytes, head: &head }.value(Known::Cookie).unwrap().len(), 200 * 5 - 2);
}

#[test]
fn marks_stay_with_their_fields() {
    let mut bytes = block(Literal::Plain, &lines(&GET));
    let crumbs = [(0x00, "cookie"), (0x10, "x"), (0x10, "cookie"), (0x00, "y"), (0x10, "z")];
    for (first, name) in crumbs {
        let start = bytes.len();
        bytes.extend(block(Literal::Plain, &[(name.as_bytes(), b"1")]));
        bytes[start] = first;
    }
    let (mut section, mut head) = (Section::default(), RequestHead::default());
    Decoder::new(4096).decode(&bytes, &mut section, 4096).unwrap();
    request(&mut section, Content::Ended, &mut head).unwrap();
    let marked = head.fields.list.iter().enumerate().filter(|(at, _)| head.fields.never_indexed.has(*at));
    let marked: Vec<_> = marked.map(|(_, field)| field.name.of(&section.bytes)).collect();
    assert_eq!(marked, [&b"cookie"[..], b"x", b"z"]);

    let mut bytes = block(Literal::Plain, &lines(&[("a", "b"), ("cookie", "c")]));
    let start = bytes.len();
    bytes.extend(block(Literal::Plain, &lines(&[("cookie", "d")])));
    bytes[start] = 0x10;
    Decoder::new(4096).decode(&bytes, &mut section, 4096).unwrap();
    assert_eq!((section.fields.list.len(), section.fields.never_indexed), (2, FieldSet::from_iter([1])));
}

#[test]
fn too_much_is_answered() {
    let many: Vec<(&str, &str)> = vec![("a", "b"); FIELDS_MAX];
    assert_eq!(get(&many).unwrap_err(), Malformed::TooLarge);
    assert!(get(&many[1..]).is_ok());
    let mut section = Section::default();
    Decoder::new(4096).decode(&block(Literal::Plain, &lines(&GET)), &mut section, 100).unwrap();
    let refused = request(&mut section, Content::Ended, &mut RequestHead::default()).unwrap_err();
    assert_eq!(refused.answer(), Some(FaultKind::HeadTooLarge));
}

#[test]
fn the_table_stays_in_step_whatever_is_refused() {
    let bad: [Lines<'_>; 12] = [
        &[("A", "1")],
        &[("a", " 1")],
        &[(":a", "1")],
        &[("connection", "close")],
        &[("a", "b"), (":path", "/")],
        &[(":method", "GET"), (":method", "GET")],
        &[("te", "gzip")],
        &[("content-length", "x")],
        &[(":method", "get"), (":path", "x")],
        &[("host", "a"), ("host", "b")],
        &[("", "")],
        &[(":status", "99")],
    ];
    let (mut decoder, mut section, mut head) = (Decoder::new(4096), Section::default(), RequestHead::default());
    for fields in bad {
        decoder.decode(&block(Literal::Indexed, &lines(fields)), &mut section, 4096).unwrap();
        assert!(request(&mut section, Content::Ended, &mut head).is_err(), "{fields:?}");
        decoder.decode(&block(Literal::Indexed, &lines(&GET)), &mut section, 4096).unwrap();
        request(&mut section, Content::Ended, &mut head).unwrap();
        // The same again by index, with the refused fields still behind it.
        decoder.decode(&[0xC1, 0xC0, 0xBF, 0xBE], &mut section, 4096).unwrap();
        request(&mut section, Content::Ended, &mut head).unwrap();
        assert_eq!(head.target.of(&section.bytes), b"/x?y");
        decoder.decode(&[0xC2], &mut section, 4096).unwrap();
        assert!(request(&mut section, Content::Ended, &mut head).is_err());
    }
}

fn answered(fields: Lines<'_>, content: Content, method: Method) -> Result<ResponseHead, Malformed> {
    let mut head = ResponseHead::default();
    response(&mut section(&lines(fields)), content, method, &mut head)?;
    Ok(head)
}

#[test]
fn responses() {
    let status = |status: &str| answered(&[(":status", status)], Content::Follows, Method::Get);
    assert_eq!(status("200").unwrap().body, BodyLength::Chunked);
    for (text, body) in [("204", BodyLength::None), ("304", BodyLength::None), ("103", BodyLength::None)] {
        assert_eq!(status(text).unwrap().body, body);
    }
    for text in ["", "20", "2000", "099", "101", "2x0", " 20"] {
        assert!(status(text).is_err(), "{text}");
    }
    assert_eq!(answered(&[("a", "b")], Content::Ended, Method::Get).unwrap_err(), Malformed::PseudoMissing);
    let with = |name, value, content, method| answered(&[(":status", "200"), (name, value)], content, method);
    let length = |value, content, method| with("content-length", value, content, method).map(|head| head.body);
    assert_eq!(length("7", Content::Follows, Method::Get), Ok(BodyLength::Exact(7)));
    assert_eq!(length("07", Content::Follows, Method::Get), Ok(BodyLength::Exact(7)));
    assert_eq!(length("7", Content::Ended, Method::Head), Ok(BodyLength::None));
    assert_eq!(length("7", Content::Ended, Method::Get), Err(Malformed::ContentLength));
    assert_eq!(length("x", Content::Ended, Method::Head), Err(Malformed::ContentLength));
    let refused = with("connection", "close", Content::Ended, Method::Get).unwrap_err();
    assert_eq!(refused, Malformed::ConnectionSpecific);
    assert!(with(":path", "/", Content::Ended, Method::Get).is_err());
    assert!(answered(&[(":status", "100")], Content::Ended, Method::Get).is_err());
}

#[test]
fn trailer_sections() {
    let checked = |fields: Lines<'_>| trailers(&mut section(&lines(fields)), Side::Client);
    assert_eq!(checked(&[("grpc-status", "0"), ("x", "")]), Ok(()));
    assert_eq!(checked(&[(":path", "/x")]), Err(Malformed::PseudoInTrailers));
    assert_eq!(checked(&[(":status", "200")]), Err(Malformed::PseudoInTrailers));
    assert_eq!(checked(&[("transfer-encoding", "chunked")]), Err(Malformed::ConnectionSpecific));
    assert_eq!(checked(&[("x", "a\r\nb: c")]), Err(Malformed::FieldValue));
    for name in ["content-length", "content_length", "host", "authorization", "x-forwarded-for", "set-cookie"] {
        assert!(checked(&[(name, "1")]).is_err(), "{name}");
    }
}

#[test]
fn a_response_loses_only_trailers_that_would_harm() {
    let mut answered = section(&lines(&[
        ("grpc-status", "0"),
        ("x-request-id", "7"),
        ("set-cookie", "a=b"),
        ("cache-control", "no-store"),
        ("content_length", "5"),
        ("authorization", "x"),
    ]));
    assert_eq!(trailers(&mut answered, Side::Upstream), Ok(()));
    let kept: Vec<&[u8]> = answered.fields.list.iter().map(|field| field.name.of(&answered.bytes)).collect();
    assert_eq!(kept, [&b"grpc-status"[..], b"x-request-id", b"cache-control", b"authorization"]);
}
