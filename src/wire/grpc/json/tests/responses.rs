// SPDX-License-Identifier: Apache-2.0
//! gRPC to JSON.

use super::{framed, sample};
use crate::wire::grpc::json::{Defaults, Enums, Flow, LargeIntegers, Names, Options, Responses, StreamForm};
use crate::wire::grpc::message::Offence;
use crate::wire::grpc::{Code, End, message};

const OK: End<'static> = End::plain(Code::Ok, "");

fn answered(options: Options, line: &str, json: &str) -> (u16, String) {
    let transcoder = sample::transcoder(options);
    let (route, body) = framed(&transcoder, line, json);
    let mut out = b"before ".to_vec();
    let answer = transcoder.answer(&route, &body, &OK, &mut out);
    (answer.status, String::from_utf8(out.split_off(7)).unwrap())
}

#[test]
fn messages_and_fields_of_them() {
    let answer = |line: &str, json: &str| answered(Options::default(), line, json);
    let ok = |text: &str| (200, text.to_owned());
    let book = r#"{"name":"a","pageTitle":"b","pages":"7","kind":"KIND_NOVEL"}"#;
    assert_eq!(answer("GET /v1/books/x", book), ok(book));
    assert_eq!(answer("POST /v1/shelves/a/books/b:publish", "{}"), ok("{}"));
    assert_eq!(answer("GET /v1/shelves/a/titles", r#"{"titles":["a","\"b"]}"#), ok(r#"["a","\"b"]"#));
    assert_eq!(answer("GET /v1/shelves/a/titles", "{}"), ok("[]"));
    assert_eq!(answer("GET /v1/shelves/a/first", r#"{"first":{"pages":"1"}}"#), ok(r#"{"pages":"1"}"#));
    assert_eq!(answer("GET /v1/shelves/a/first", "{}"), ok("null"));
}

#[test]
fn what_options_change() {
    let options = Options {
        names: Names::Proto,
        enums: Enums::Numbers,
        large_integers: LargeIntegers::Numbers,
        ..Options::default()
    };
    let (_, text) = answered(options, "GET /v1/books/x", r#"{"pageTitle":"b","pages":"7","kind":"KIND_NOVEL"}"#);
    assert_eq!(text, r#"{"page_title":"b","pages":7,"kind":1}"#);
    let options = Options { defaults: Defaults::Print, ..Options::default() };
    let (_, text) = answered(options.clone(), "GET /v1/books/x", "{}");
    assert_eq!(text, r#"{"name":"","pageTitle":"","pages":"0","kind":"KIND_UNSPECIFIED"}"#);
    // A message that holds itself ends where it is not set.
    let (status, text) = answered(options, "GET /v1/everything", r#"{"child":{}}"#);
    assert!(status == 200 && text.matches("anInt32").count() == 2, "{text}");
}

#[test]
fn bytes_with_their_media_type() {
    let transcoder = sample::transcoder(Options::default());
    let (route, body) = framed(&transcoder, "GET /v1/files/x", r#"{"contentType":"image/png","data":"AAEC"}"#);
    let mut out = Vec::new();
    let answer = transcoder.answer(&route, &body, &OK, &mut out);
    assert_eq!((answer.content_type.as_ref(), out.as_slice()), ("image/png", &[0, 1, 2][..]));
    for named in ["", "a\\r\\nSet-Cookie: x", "\u{e9}"] {
        let json = format!(r#"{{"contentType":"{named}"}}"#);
        let (route, body) = framed(&transcoder, "GET /v1/files/x", &json);
        let answer = transcoder.answer(&route, &body, &OK, &mut out);
        assert_eq!(answer.content_type, "application/octet-stream");
    }
    let (route, body) = framed(&transcoder, "GET /v1/follow/x", r#"{"contentType":"text/css","data":"YQ=="}"#);
    let mut responses = Responses::new(&transcoder, &route, StreamForm::Array);
    let mut out = Vec::new();
    responses.push(&transcoder, &body, &mut out).unwrap();
    responses.push(&transcoder, &body, &mut out).unwrap();
    responses.finish(&transcoder, &OK, &mut out);
    assert_eq!((responses.content_type(), out.as_slice()), ("text/css", &b"aa"[..]));
}

#[test]
fn answers_that_are_none() {
    let transcoder = sample::transcoder(Options { response_bytes_max: 20, ..Options::default() });
    let (route, body) = framed(&transcoder, "GET /v1/books/x", r#"{"name":"a"}"#);
    let mut compressed = body.clone();
    compressed[0] = 1;
    let mut large = Vec::new();
    message::write(&[b'x'; 21], &mut large);
    for (body, what) in [
        (Vec::new(), "the server did not answer with exactly one message"),
        ([body.clone(), body.clone()].concat(), "the server did not answer with exactly one message"),
        (compressed, "the server compressed what was not to be"),
        (body[..6].to_vec(), Offence::Truncated.text()),
        (large, Offence::TooLarge.text()),
        (vec![0, 0, 0, 0, 2, 10, 5], "the message is not what its descriptor says"),
        (vec![0, 0, 0, 0, 3, 10, 1, 0xFF], "the message is not what its descriptor says"),
    ] {
        let mut out = Vec::new();
        let answer = transcoder.answer(&route, &body, &OK, &mut out);
        let text = format!(r#"{{"code":13,"message":"{what}","details":[]}}"#);
        assert_eq!((answer.status, String::from_utf8(out).unwrap()), (500, text));
    }
}

#[test]
fn errors() {
    let transcoder = sample::transcoder(Options::default());
    let text = |end: &End<'_>| {
        let mut out = Vec::new();
        let answer = transcoder.error(end, &mut out);
        (answer.status, String::from_utf8(out).unwrap())
    };
    let end = End { code: Code::NotFound, message: b"no %22x%22 %C3%A9 %FF", details: b"" };
    let json = "{\"code\":5,\"message\":\"no \\\"x\\\" \u{e9} \u{fffd}\",\"details\":[]}".to_owned();
    assert_eq!(text(&end), (404, json));
    // google.rpc.Status with three details: a known message, a well-known one, one that is not known.
    let detail = |name: &str, value: &[u8]| {
        let url = format!("type.googleapis.com/{name}");
        let mut any = vec![0x0a, url.len() as u8];
        any.extend_from_slice(url.as_bytes());
        any.extend_from_slice(&[0x12, value.len() as u8]);
        any.extend_from_slice(value);
        [&[0x1a, any.len() as u8], any.as_slice()].concat()
    };
    let mut status = vec![0x08, 5];
    status.extend(detail("library.v1.Book", &[0x0a, 1, b'n']));
    status.extend(detail("google.protobuf.Duration", &[0x08, 3]));
    status.extend(detail("library.v1.Book", &[]));
    status.extend(detail("some.Other", &[1, 2]));
    status.extend(detail("library.v1.Book", &[0xFF]));
    let mut details = Vec::new();
    let mut encoder = crate::wire::grpc::base64::Encoder::new();
    encoder.push(&status, &mut details);
    encoder.flush(&mut details);
    let expected = concat!(
        r#"{"code":5,"message":"","details":["#,
        r#"{"@type":"type.googleapis.com/library.v1.Book","name":"n"},"#,
        r#"{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"},"#,
        r#"{"@type":"type.googleapis.com/library.v1.Book"},"#,
        r#"{"@type":"type.googleapis.com/some.Other","value":"AQI="}]}"#,
    );
    let unpadded = details.iter().position(|byte| *byte == b'=').unwrap_or(details.len());
    for details in [&details[..], &details[..unpadded]] {
        let end = End { code: Code::NotFound, message: b"", details };
        assert_eq!(text(&end), (404, expected.to_owned()));
    }
    let end = End { code: Code::Internal, message: b"", details: b"!" };
    assert_eq!(text(&end), (500, r#"{"code":13,"message":"","details":[]}"#.to_owned()));
}

fn streamed(form: StreamForm, count: usize, end: &End<'_>, step: usize) -> String {
    let transcoder = sample::transcoder(Options::default());
    let (route, body) = framed(&transcoder, "GET /v1/shelves/a/watch", r#"{"name":"a"}"#);
    assert_eq!(transcoder.call(&route).responses, Flow::Many);
    let mut responses = Responses::new(&transcoder, &route, form);
    let mut out = Vec::new();
    for piece in body.repeat(count).chunks(step) {
        responses.push(&transcoder, piece, &mut out).unwrap();
    }
    assert_eq!(responses.is_empty(), count == 0);
    responses.finish(&transcoder, end, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn servers_that_stream() {
    let error = End { code: Code::Aborted, message: b"lost", details: b"" };
    let lost = r#"{"error":{"code":10,"message":"lost","details":[]}}"#;
    for step in 1..12 {
        let lines = "{\"name\":\"a\"}\n{\"name\":\"a\"}\n";
        assert_eq!(streamed(StreamForm::Lines, 2, &OK, step), lines);
        assert_eq!(streamed(StreamForm::Lines, 2, &error, step), format!("{lines}{lost}\n"));
        let events = "data: {\"name\":\"a\"}\n\n";
        assert_eq!(streamed(StreamForm::Events, 1, &OK, step), events);
        assert_eq!(streamed(StreamForm::Events, 1, &error, step), format!("{events}event: error\ndata: {lost}\n\n"));
        assert_eq!(streamed(StreamForm::Array, 2, &OK, step), r#"[{"name":"a"},{"name":"a"}]"#);
        assert_eq!(streamed(StreamForm::Array, 1, &error, step), format!(r#"[{{"name":"a"}},{lost}]"#));
        assert_eq!(streamed(StreamForm::Array, 0, &OK, step), "[]");
        assert_eq!(streamed(StreamForm::Array, 0, &error, step), format!("[{lost}]"));
    }
}

#[test]
fn streams_that_break() {
    let transcoder = sample::transcoder(Options::default());
    let (route, body) = framed(&transcoder, "GET /v1/shelves/a/watch", r#"{"name":"a"}"#);
    let mut responses = Responses::new(&transcoder, &route, StreamForm::Lines);
    let mut out = Vec::new();
    responses.push(&transcoder, &body, &mut out).unwrap();
    responses.push(&transcoder, &body[..6], &mut out).unwrap();
    responses.finish(&transcoder, &OK, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with(
        "{\"error\":{\"code\":13,\"message\":\"the server's answer ended inside a message\",\"details\":[]}}\n"
    ));
    let mut responses = Responses::new(&transcoder, &route, StreamForm::Array);
    let mut out = Vec::new();
    let refusal = responses.push(&transcoder, &[0, 0, 0, 0, 1, 0xFF], &mut out).unwrap_err();
    assert_eq!((refusal.http_status(), out.len(), responses.is_empty()), (500, 0, true));
    responses.break_off(&transcoder, &refusal, &mut out);
    assert!(out.starts_with(b"[{\"error\":") && out.ends_with(b"}]"));
}

#[test]
fn the_form_that_is_accepted() {
    let form = |accept: &str| StreamForm::accepted(accept.as_bytes(), StreamForm::Array);
    assert_eq!(form("text/event-stream"), StreamForm::Events);
    assert_eq!(form("application/json, Application/X-NDJSON;q=0.5"), StreamForm::Lines);
    assert_eq!(form("*/*"), StreamForm::Array);
}
