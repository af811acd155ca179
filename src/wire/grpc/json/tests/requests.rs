// SPDX-License-Identifier: Apache-2.0
//! JSON to gRPC.

use super::{sample, sent, shown};
use crate::wire::grpc::json::{Flow, Incoming, Lookup, Options, Refusal, Requests, Unannotated, Unknown};

fn request(line: &str, body: &str) -> (String, String) {
    sent(&sample::transcoder(Options::default()), line, body).unwrap_or_else(|refusal| panic!("{line}: {refusal}"))
}

fn refused(line: &str, body: &str) -> String {
    sent(&sample::transcoder(Options::default()), line, body).unwrap_err().to_string()
}

#[test]
fn path_query_and_body() {
    let table = [
        ("GET /v1/shelves/a/books/b", "", "GetBook", r#"{"name":"shelves/a/books/b"}"#),
        ("GET /v1/books/a%2Fb%20c", "", "GetBook", r#"{"name":"a/b c"}"#),
        ("HEAD /v1/books/x?full_text=true", "", "GetBook", r#"{"name":"x","fullText":true}"#),
        ("GET /v1/shelves/a%2Fb%20c/books/%64", "", "GetBook", r#"{"name":"shelves/a%2Fb c/books/d"}"#),
        (
            "GET /v1/shelves/a/books?pageSize=3&filter.author=x+y&filter.kind=KIND_ATLAS&tags=1&tags=2",
            "ignored",
            "ListBooks",
            r#"{"parent":"shelves/a","pageSize":3,"filter":{"author":"x y","kind":"KIND_ATLAS"},"tags":["1","2"]}"#,
        ),
        (
            "GET /v1/shelves/a/books?filter.years=1&filter.inner.inner.years=-2&filter.years=3",
            "",
            "ListBooks",
            r#"{"parent":"shelves/a","filter":{"years":["1","3"],"inner":{"inner":{"years":["-2"]}}}}"#,
        ),
        (
            "POST /v1/shelves/a/books?dry_run=true",
            r#"{"name":"n","page_title":"t","pages":"5"}"#,
            "CreateBook",
            r#"{"parent":"shelves/a","book":{"name":"n","pageTitle":"t","pages":"5"},"dryRun":true}"#,
        ),
        (
            "PATCH /v1/shelves/a/books/b?mask=pageTitle,pages",
            r#"{"name":"from the body","pages":7}"#,
            "UpdateBook",
            r#"{"book":{"name":"shelves/a/books/b","pages":"7"},"mask":"pageTitle,pages"}"#,
        ),
        (
            "POST /v1/shelves/a/books/b:publish",
            r#"{"comment":"now","name":"from the body"}"#,
            "PublishBook",
            r#"{"name":"shelves/a/books/b","comment":"now"}"#,
        ),
        ("POST /v1/shelves/a/books/b:publish", " ", "PublishBook", r#"{"name":"shelves/a/books/b"}"#),
        ("GET /v1/files/a/b/c", "", "Download", r#"{"path":"a/b/c"}"#),
        ("GET /v1/files", "", "Download", "{}"),
        (
            "PUT /v1/files/a?revision=2",
            "bytes",
            "Upload",
            r#"{"path":"a","content":{"contentType":"text/plain","data":"Ynl0ZXM="},"revision":2}"#,
        ),
        (
            "GET /v1/everything/2026-11-20T10:00:00.5Z/-9/2",
            "",
            "Echo",
            r#"{"kind":"KIND_ATLAS","stamp":"2026-11-20T10:00:00.500Z","numberWrapper":"-9"}"#,
        ),
        (
            "GET /v1/everything?aDouble=1.5&aFloat=Infinity&someBytes=_-8&span=1.5s&boolWrapper=true&other=o",
            "",
            "Echo",
            concat!(
                r#"{"aDouble":1.5,"aFloat":"Infinity","someBytes":"/+8=","span":"1.500s","boolWrapper":true,"#,
                r#""other":"o"}"#
            ),
        ),
        ("GET /v1/everything?left=a&right.name=b", "", "Echo", r#"{"right":{"name":"b"}}"#),
    ];
    for (line, body, method, message) in table {
        let (path, json) = request(line, body);
        assert_eq!(path, format!("/library.v1.Library/{method}"), "{line}");
        assert_eq!(json, message, "{line}");
    }
}

#[test]
fn what_is_refused() {
    let table = [
        ("GET /v1/books/x?nothing=1", "", "query parameter `nothing`: `library.v1.GetBookRequest` has no field"),
        ("GET /v1/books/x?name=y", "", "query parameter `name`: it is set by the path"),
        ("GET /v1/books/x?full_text=true&fullText=false", "", "query parameter `fullText` stands twice"),
        ("GET /v1/books/x?full_text=yes", "", "query parameter `full_text`: `yes` is no value of `full_text`"),
        ("GET /v1/books/%FF", "", "the path is not UTF-8"),
        ("GET /v1/books/x?%FF=1", "", "the query is not UTF-8"),
        ("GET /v1/shelves/a/books?filter=1", "", "query parameter `filter`: `filter` is a message"),
        ("GET /v1/shelves/a/books?tags.x=1", "", "query parameter `tags.x`: a part of a repeated field"),
        ("GET /v1/shelves/a/books?parent.x=1", "", "query parameter `parent.x`: `x` is named inside something"),
        ("POST /v1/shelves/a/books?book.name=1", "{}", "query parameter `book.name`: it is set by the body"),
        ("POST /v1/shelves/a/books/b:publish?comment=1", "{}", "query parameter `comment`: it is set by the body"),
        ("GET /v1/everything?counts=1", "", "query parameter `counts`: `counts` is a map"),
        ("GET /v1/everything?children.an_int32=1", "", "query parameter `children.an_int32`: a part of a repeated"),
        ("GET /v1/everything?a_double=inf", "", "query parameter `a_double`: `inf` is no value"),
        ("GET /v1/everything?a_float=1e99", "", "query parameter `a_float`: `1e99` is no value"),
        ("GET /v1/everything?stamp=now", "", "query parameter `stamp`: `stamp`: invalid rfc3339"),
        ("GET /v1/everything/now/1/2", "", "`stamp`: invalid rfc3339"),
        ("POST /v1/shelves/a/books", r#"{}, "dryRun":true"#, "the body is not the JSON that is expected"),
        (
            "POST /v1/shelves/a/books",
            r#"{"nothing":1}"#,
            "the body is not the JSON that is expected: `library.v1.Book` has no",
        ),
        ("POST /v1/shelves/a/books", "{", "the body is not the JSON that is expected: EOF"),
        ("POST /v1/shelves/a/books", "[]", "the body is not the JSON that is expected"),
        ("POST /v1/everything", "{} {}", "the body is not the JSON that is expected: trailing characters"),
        ("POST /v1/everything", r#"{"anInt32":1e10}"#, "the body is not the JSON that is expected"),
    ];
    for (line, body, what) in table {
        let text = refused(line, body);
        assert!(text.starts_with(&format!("INVALID_ARGUMENT: {what}")), "{line}: {text}");
    }
}

#[test]
fn what_options_change() {
    let options = Options {
        unknown_query: Unknown::Ignore,
        unknown_fields: Unknown::Ignore,
        unannotated: Unannotated::Post,
        ..Options::default()
    };
    let transcoder = sample::transcoder(options);
    let (_, json) = sent(&transcoder, "GET /v1/books/x?nothing=1&name=y", "").unwrap();
    assert_eq!(json, r#"{"name":"x"}"#);
    let (path, json) = sent(&transcoder, "POST /library.v1.Library/Plain", r#"{"name":"x","nothing":1}"#).unwrap();
    assert_eq!((path.as_str(), json.as_str()), ("/library.v1.Library/Plain", r#"{"name":"x"}"#));
    let ignored = Options { ignored_query: vec!["key".to_owned()], ..Options::default() };
    assert!(sent(&sample::transcoder(ignored), "GET /v1/books/x?key=1", "").is_ok());
    let strict = sample::transcoder(Options::default());
    assert_eq!(strict.find(b"PUT", b"/v1/books/x"), Lookup::OtherMethod);
    assert_eq!(strict.find(b"POST", b"/library.v1.Library/Plain"), Lookup::None);
}

fn streamed(path: &str, body: &[u8], step: usize) -> Result<String, Refusal> {
    let transcoder = sample::transcoder(Options::default());
    let Lookup::Found(route) = transcoder.find(b"POST", path.as_bytes()) else { panic!("no rule for {path}") };
    assert_eq!(transcoder.call(&route).requests, Flow::Many);
    let incoming = Incoming { path: path.as_bytes(), ..Incoming::default() };
    let mut requests = Requests::new(&transcoder, &route, &incoming);
    let mut out = Vec::new();
    for mut piece in body.chunks(step) {
        while !piece.is_empty() {
            let mut sent = Vec::new();
            let read = requests.push(&transcoder, piece, &mut sent)?;
            assert!(read > 0 && sent.len() < 150_000);
            out.extend_from_slice(&sent);
            piece = &piece[read..];
        }
    }
    requests.finish(&transcoder, &mut out)?;
    Ok(shown(transcoder.call(&route), &out))
}

#[test]
fn clients_that_stream() {
    let messages = r#"{"parent":"shelves/a","dryRun":true} {"parent":"shelves/a","book":{"name":"b"}}"#;
    for body in [
        "{\"dryRun\":true}\n{\"book\":{\"name\":\"b\"}}\n",
        r#"[{"dryRun":true}, {"book":{"name":"b"}}]"#,
        r#"{"dryRun":true}{"book":{"name":"b"}}"#,
    ] {
        for step in 1..30 {
            assert_eq!(streamed("/v1/shelves/a/import", body.as_bytes(), step).unwrap(), messages);
        }
    }
    let messages = r#"{"parent":"shelves/a","book":{"name":"1"}} {"parent":"shelves/a","book":{"name":"2"}}"#;
    let body = br#"{"name":"1"}{"name":"2"}"#;
    assert_eq!(streamed("/v1/shelves/a/import-books", body, 4).unwrap(), messages);
    assert_eq!(streamed("/v1/chat", b"[]", 1).unwrap(), "");
    for body in [&b"[{}"[..], b"{", b"[{},]", b"{}x", b"{\"nothing\":1}"] {
        assert_eq!(streamed("/v1/chat", body, 2).unwrap_err().http_status(), 400, "{}", body.escape_ascii());
    }
}

#[test]
fn short_texts_with_a_long_path() {
    let path = format!("/v1/shelves/{}/import-books", "x".repeat(8_000));
    let transcoder = sample::transcoder(Options::default());
    let Lookup::Found(route) = transcoder.find(b"POST", path.as_bytes()) else { panic!("no rule") };
    let incoming = Incoming { path: path.as_bytes(), query: b"dry_run=true", content_type: b"" };
    let mut requests = Requests::new(&transcoder, &route, &incoming);
    let body = "{}".repeat(1_000);
    let (mut at, mut calls, mut total) = (0, 0, 0);
    while at < body.len() {
        let mut out = Vec::new();
        at += requests.push(&transcoder, &body.as_bytes()[at..], &mut out).unwrap();
        let first = shown(transcoder.call(&route), &out);
        assert_eq!(first.matches("dryRun").count(), usize::from(calls == 0));
        assert!(out.len() < 80_000);
        calls += 1;
        total += out.len();
    }
    assert!(calls > 100 && total > 8_000_000, "{calls} calls");
}
