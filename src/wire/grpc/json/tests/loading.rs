// SPDX-License-Identifier: Apache-2.0
//! Descriptor sets that load, and what is said of those that do not.

use super::{sample, sent, shown};
use crate::wire::grpc::json::{Incoming, LoadError, Lookup, Options, Requests, Transcoder, Unannotated};

const BROKEN: &[(&str, &str)] = &[
    (
        "broken.proto",
        r#"
        syntax = "proto3";
        package broken;
        import "google/api/annotations.proto";
        service Broken {
          rpc A(M) returns (M) { option (google.api.http) = { get: "/v1/{nothing}" }; }
          rpc B(M) returns (M) { option (google.api.http) = { get: "v1" }; }
          rpc C(M) returns (M) { option (google.api.http) = { get: "/v1/{many}" }; }
          rpc D(M) returns (M) { option (google.api.http) = { get: "/v1/{inner}" }; }
          rpc E(M) returns (M) { option (google.api.http) = { post: "/v1/e" body: "nothing" }; }
          rpc F(M) returns (M) { option (google.api.http) = { get: "/v1/f" response_body: "nothing" }; }
          rpc G(M) returns (M) { option (google.api.http) = { get: "/v1/g/{text}" }; }
          rpc H(M) returns (M) { option (google.api.http) = { get: "/v1/g/{number}" }; }
          rpc I(M) returns (M) { option (google.api.http) = { body: "*" }; }
          rpc J(M) returns (M) { option (google.api.http) = { get: "/v1/{many.text}" }; }
        }
        message M { string text = 1; int32 number = 2; repeated string many = 3; M inner = 4; }
        "#,
    ),
    (
        "edges.proto",
        r#"
        syntax = "proto3";
        package edges;
        import "google/api/annotations.proto";
        import "google/api/httpbody.proto";
        service Edges {
          rpc Home(M) returns (M) { option (google.api.http) = { get: "/" }; }
          rpc Slash(M) returns (M) { option (google.api.http) = { get: "/v1/{text}/" }; }
          rpc More(M) returns (M) { option (google.api.http) = {
            additional_bindings { get: "/v1/more/{text}" }
            additional_bindings { post: "/v1/more" body: "*" }
          }; }
          rpc Upload(stream Piece) returns (M) { option (google.api.http) = { post: "/v1/up/{name}" body: "content" }; }
        }
        message M { string text = 1; }
        message Piece { string name = 1; google.api.HttpBody content = 2; bool last = 3; }
        "#,
    ),
    (
        "google/protobuf/wrappers.proto",
        "syntax = \"proto3\"; package google.protobuf; message Int32Value { Int32Value value = 1; }",
    ),
    (
        "endless.proto",
        r#"
        syntax = "proto3";
        import "google/protobuf/wrappers.proto";
        service Endless { rpc A(M) returns (M); }
        message M { google.protobuf.Int32Value n = 1; }
        "#,
    ),
    ("plain.proto", "syntax = \"proto3\"; service Plain { rpc A(M) returns (M); } message M {}"),
];

fn faults(bytes: &[u8], options: Options) -> Vec<String> {
    let errors = Transcoder::from_descriptor_set(bytes, options).expect_err("a set with faults");
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn every_fault_is_told() {
    let expected = [
        "broken.Broken.A: rule `/v1/{nothing}`: `nothing`: `broken.M` has no field `nothing`",
        "broken.Broken.B: rule `v1`: a template starts with `/` (at byte 0)",
        "broken.Broken.C: rule `/v1/{many}`: `many` is repeated and cannot be in the path",
        "broken.Broken.D: rule `/v1/{inner}`: `inner` is a message and cannot be in the path",
        "broken.Broken.E: rule `/v1/e`: `broken.M` has no field `nothing`, which is its body",
        "broken.Broken.F: rule `/v1/f`: `broken.M` has no field `nothing`, which is its response_body",
        "broken.Broken.H: rule `/v1/g/{number}`: `/broken.Broken/G` has the same path and method",
        "broken.Broken.I: rule ``: a template starts with `/` (at byte 0)",
        "broken.Broken.J: rule `/v1/{many.text}`: `many.text`: a part of a repeated field cannot be named",
    ];
    assert_eq!(faults(&sample::compiled("broken.proto", BROKEN), Options::default()), expected);
}

#[test]
fn good_rules_are_served_beside_faulty_ones() {
    let set = sample::compiled("broken.proto", BROKEN);
    let (transcoder, faults) = Transcoder::of_good_rules(&set, Options::default()).unwrap();
    assert_eq!(faults.len(), 9);
    assert_eq!(transcoder.rules().collect::<Vec<_>>(), [("GET", "/v1/g/{text}")]);
    assert_eq!(transcoder.calls().len(), 1);
    assert_eq!(sent(&transcoder, "GET /v1/g/x", "").unwrap().0, "/broken.Broken/G");
    // None is left, or what was asked for is not there.
    let absent = Options { services: vec!["broken.Broken".to_owned(), "a.B".to_owned()], ..Options::default() };
    assert!(Transcoder::of_good_rules(&set, absent).is_err());
    let plain = sample::compiled("plain.proto", BROKEN);
    assert_eq!(Transcoder::of_good_rules(&plain, Options::default()).unwrap_err(), [LoadError::Nothing]);
}

fn edges() -> Transcoder {
    Transcoder::from_descriptor_set(&sample::compiled("edges.proto", BROKEN), Options::default()).unwrap()
}

#[test]
fn the_root_a_slash_at_the_end_and_additional_bindings_only() {
    let transcoder = edges();
    let called = |line: &str, body: &str| sent(&transcoder, line, body).unwrap();
    assert_eq!(called("GET /?text=a", ""), ("/edges.Edges/Home".to_owned(), r#"{"text":"a"}"#.to_owned()));
    assert_eq!(called("GET /v1/a/", ""), ("/edges.Edges/Slash".to_owned(), r#"{"text":"a"}"#.to_owned()));
    assert_eq!(called("GET /v1/more/a", ""), ("/edges.Edges/More".to_owned(), r#"{"text":"a"}"#.to_owned()));
    assert_eq!(called("POST /v1/more", r#"{"text":"a"}"#).0, "/edges.Edges/More");
    assert_eq!(transcoder.find(b"GET", b"/v1/a"), Lookup::None);
    assert_eq!(transcoder.find(b"GET", b"/v1/more"), Lookup::OtherMethod);
    assert_eq!((transcoder.allowed(b"/v1/more").as_str(), transcoder.allowed(b"/").as_str()), ("POST", "GET, HEAD"));
    assert_eq!(called("HEAD /?text=a", ""), called("GET /?text=a", ""));
    assert_eq!(transcoder.find(b"HEAD", b"/v1/more"), Lookup::OtherMethod, "there is no GET");
}

#[test]
fn bytes_beside_path_and_query() {
    let transcoder = edges();
    let Lookup::Found(route) = transcoder.find(b"POST", b"/v1/up/x") else { panic!("no rule") };
    let incoming = Incoming { path: b"/v1/up/x", query: b"last=1", content_type: b"a/b" };
    for (pieces, messages) in [
        (&[][..], r#"{"name":"x","content":{"contentType":"a/b"},"last":true}"#),
        (
            &[b"a", b"b"][..],
            concat!(
                r#"{"name":"x","content":{"contentType":"a/b","data":"YQ=="},"last":true} "#,
                r#"{"name":"x","content":{"contentType":"a/b","data":"Yg=="}}"#
            ),
        ),
    ] {
        let mut requests = Requests::new(&transcoder, &route, &incoming);
        let mut out = Vec::new();
        for piece in pieces {
            requests.push(&transcoder, *piece, &mut out).unwrap();
        }
        requests.finish(&transcoder, &mut out).unwrap();
        assert_eq!(shown(transcoder.call(&route), &out), messages);
    }
}

#[test]
fn a_wrapper_that_holds_itself_has_an_end() {
    let post = Options { unannotated: Unannotated::Post, ..Options::default() };
    let transcoder = Transcoder::from_descriptor_set(&sample::compiled("endless.proto", BROKEN), post).unwrap();
    let request = |line: &str, body: &str| {
        let (method, path) = line.split_once(' ').unwrap();
        let Lookup::Found(route) = transcoder.find(method.as_bytes(), path.as_bytes()) else { panic!("no rule") };
        transcoder.request(&route, &Incoming::default(), body.as_bytes(), &mut Vec::new())
    };
    assert!(request("POST /Endless/A", r#"{"n":{"value":{}}}"#).is_ok());
    assert!(request("POST /Endless/A", r#"{"n":1}"#).is_err());
}

#[test]
fn sets_that_lack_something() {
    let plain = sample::compiled("plain.proto", BROKEN);
    assert_eq!(faults(&plain, Options::default()), ["no method of the descriptor set has a `google.api.http` rule"]);
    let post = Options { unannotated: Unannotated::Post, ..Options::default() };
    assert_eq!(Transcoder::from_descriptor_set(&plain, post).unwrap().calls()[0].path, "/Plain/A");
    let named = Options { services: vec!["a.B".to_owned()], ..Options::default() };
    assert_eq!(faults(&sample::descriptor_set(), named)[0], "the descriptor set has no service `a.B`");
    assert!(faults(b"\x0a\xff", Options::default())[0].starts_with("the descriptor set cannot be read: "));
    let edition = b"\x0a\x16\x0a\x07a.proto\x62\x08editions\x70\xe8\x07";
    let expected =
        "the descriptor set cannot be read: `a.proto` has the syntax `editions`: only proto2 and proto3 are known";
    assert_eq!(faults(edition, Options::default()), [expected]);
    // Only the file itself, without what it imports.
    let set = sample::descriptor_set();
    let mut files: Vec<Vec<u8>> = Vec::new();
    let mut rest = set.as_slice();
    while !rest.is_empty() {
        rest = &rest[1..];
        let len = prost::decode_length_delimiter(&mut rest).unwrap();
        files.push(rest[..len].to_vec());
        rest = &rest[len..];
    }
    let with = |names: &[&str]| {
        let held = |file: &&Vec<u8>| names.iter().any(|name| file[2..].starts_with(name.as_bytes()));
        let mut out = Vec::new();
        for file in files.iter().filter(held) {
            prost::encoding::bytes::encode(1, file, &mut out);
        }
        out
    };
    let lacking = faults(&with(&["library.proto"]), Options::default());
    let what = "it imports `google/api/annotations.proto` and does not hold it: make it with all imports";
    assert!(lacking[0].contains(what), "{lacking:?}");
    // Those of google/protobuf are known.
    let enough = with(&["library.proto", "google/api/"]);
    assert!(Transcoder::from_descriptor_set(&enough, Options::default()).is_ok());
}

#[test]
fn rules_are_listed() {
    let transcoder = sample::transcoder(Options::default());
    let rules: Vec<_> = transcoder.rules().collect();
    assert_eq!(rules[0], ("GET", "/v1/{name=shelves/*/books/*}"));
    assert_eq!(rules[2], ("HEAD", "/v1/books/{name}"));
    let one = Options { services: vec!["library.v1.Library".to_owned()], ..Options::default() };
    assert_eq!(sample::transcoder(one).rules().count(), rules.len());
}

#[test]
fn a_transcoder_can_be_made_elsewhere() {
    fn sent<T: Send + Sync>(_: &T) {}
    sent(&sample::transcoder(Options::default()));
}
