// SPDX-License-Identifier: Apache-2.0
//! What would overflow the stack or the memory, and any bytes at all.

use proptest::prelude::*;

use super::{oracle, sample, sent};
use crate::wire::grpc::json::{Defaults, Lookup, Options};
use crate::wire::grpc::{Code, End, check, message};

fn answer(options: Options, payload: &[u8]) -> (u16, String) {
    let transcoder = sample::transcoder(options);
    let Lookup::Found(route) = transcoder.find(b"GET", b"/v1/everything") else { panic!("no rule") };
    let mut body = Vec::new();
    message::write(payload, &mut body);
    let mut out = Vec::new();
    let answer = transcoder.answer(&route, &body, &End::plain(Code::Ok, ""), &mut out);
    (answer.status, String::from_utf8(out).unwrap())
}

/// A field with the given number around `inner`.
fn wrapped(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::bytes::encode(number, &inner.to_vec(), &mut out);
    out
}

#[test]
fn deep_json() {
    let transcoder = sample::transcoder(Options::default());
    let nested = |levels: usize| format!("{}{}", r#"{"child":"#.repeat(levels), "{}".to_owned() + &"}".repeat(levels));
    assert!(sent(&transcoder, "POST /v1/everything", &nested(60)).is_ok());
    for levels in [64, 100, 100_000] {
        let refusal = sent(&transcoder, "POST /v1/everything", &nested(levels)).unwrap_err();
        assert_eq!(refusal.http_status(), 400);
    }
    for levels in [63, 64, 300_000] {
        let lists = format!("{{\"value\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(sent(&transcoder, "POST /v1/everything", &lists).unwrap_err().http_status(), 400);
    }
    let any = r#"{"any":{"value":"#.to_owned() + &r#"{"value":"#.repeat(50) + "1";
    assert!(sent(&transcoder, "POST /v1/everything", &any).is_err());
}

#[test]
fn full_json() {
    let transcoder = sample::transcoder(Options::default());
    let many = format!("{{\"numbers\":[{}1]}}", "1,".repeat(200_000));
    assert_eq!(sent(&transcoder, "POST /v1/everything", &many).unwrap_err().http_status(), 413);
    let large = format!("{{\"aString\":\"{}\"}}", "x".repeat(2_000_000));
    assert_eq!(sent(&transcoder, "POST /v1/everything", &large).unwrap_err().http_status(), 413);
    let query = "tags=x&".repeat(300);
    let refusal = sent(&transcoder, &format!("GET /v1/shelves/a/books?{query}"), "").unwrap_err();
    assert_eq!(refusal.http_status(), 413);
    let deep = format!("GET /v1/everything?{}an_int32=1", "child.".repeat(70));
    assert_eq!(sent(&transcoder, &deep, "").unwrap_err().http_status(), 400);
}

#[test]
fn deep_messages() {
    let nested = |levels: usize| (0..levels).fold(Vec::new(), |inner, _| wrapped(35, &inner));
    assert_eq!(answer(Options::default(), &nested(60)).0, 200);
    for levels in [64, 101, 5_000] {
        let (status, text) = answer(Options::default(), &nested(levels));
        assert_eq!(status, 500);
        assert!(text.contains("nested deeper than allowed"), "{text}");
    }
    // Groups that nobody declared.
    assert_eq!(answer(Options::default(), &[0xa3, 0x06].repeat(50_000)).0, 500);
}

#[test]
fn any_in_any() {
    let url = b"type.googleapis.com/google.protobuf.Any";
    let any = |levels: usize| (0..levels).fold(Vec::new(), |inner, _| [wrapped(1, url), wrapped(2, &inner)].concat());
    let (status, text) = answer(Options::default(), &wrapped(23, &any(20_000)));
    assert_eq!(status, 500);
    assert!(text.contains("too many Any in a row"), "{text}");
    let book = [wrapped(1, b"x/library.v1.Book"), wrapped(2, &wrapped(1, b"n"))].concat();
    let inner = (0..3).fold(book, |inner, _| [wrapped(1, url), wrapped(2, &inner)].concat());
    let (status, text) = answer(Options::default(), &wrapped(23, &inner));
    assert!(status == 200 && text.contains(r#"{"@type":"x/library.v1.Book","name":"n"}"#), "{text}");
    // Cut in two, so that only together they are a chain.
    let split = [wrapped(23, &wrapped(1, url)), wrapped(23, &wrapped(2, &any(20_000)))].concat();
    assert_eq!(answer(Options::default(), &split).0, 500);
    let unknown = [wrapped(1, b"x/y.Z"), wrapped(2, b"n")].concat();
    let text = r#"{"any":{"@type":"x/y.Z","value":"bg=="}}"#.to_owned();
    assert_eq!(answer(Options::default(), &wrapped(23, &unknown)), (200, text));
    // Bytes without a type, and bytes that are not of their type.
    let text = r#"{"any":{"@type":"","value":"bg=="}}"#.to_owned();
    assert_eq!(answer(Options::default(), &wrapped(23, &wrapped(2, b"n"))), (200, text));
    let malformed = [wrapped(1, b"x/library.v1.Book"), wrapped(2, b"n")].concat();
    assert_eq!(answer(Options::default(), &wrapped(23, &malformed)).0, 500);
}

#[test]
fn full_messages() {
    let packed = wrapped(32, &[0; 200_000]);
    let (status, text) = answer(Options::default(), &packed);
    assert_eq!(status, 500);
    assert!(text.contains("more values than allowed"), "{text}");
    assert_eq!(answer(Options::default(), &wrapped(34, &[]).repeat(200_000)).0, 500);
    assert_eq!(answer(Options::default(), &[0xc0, 0x3e, 1].repeat(200_000)).0, 500);
    // Small on the wire, large in JSON.
    let options = Options { defaults: Defaults::Print, ..Options::default() };
    let (status, text) = answer(options, &wrapped(34, &[]).repeat(90_000));
    assert_eq!(status, 500);
    assert!(text.contains("larger than allowed"), "{text}");
}

proptest! {
    #[test]
    fn any_payload(payload in proptest::collection::vec(prop_oneof![0u8..40, any::<u8>()], 0..60)) {
        check::transcoded(&payload);
    }

    #[test]
    fn almost_a_message(
        row in any::<proptest::sample::Index>(),
        shown in any::<bool>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<proptest::sample::Index>(),
    ) {
        let rows: Vec<&str> = include_str!("oracle.jsonl").lines().collect();
        let mut bytes = oracle::payload(rows[row.index(rows.len())], shown);
        for (place, byte) in changes {
            let len = bytes.len().max(1);
            bytes.resize(len, 0);
            bytes[place.index(len)] = byte;
        }
        check::transcoded(&bytes);
        check::transcoded(&bytes[..cut.index(bytes.len() + 1)]);
    }

    #[test]
    fn any_text(text in r#"[{}\[\]:,"0-9a-z@. ]{0,60}"#) {
        check::transcoded(text.as_bytes());
    }

    #[test]
    fn any_path(path in "(/(v1|shelves|a|books|files|%2F|b:publish|everything)?){0,7}", query in ".{0,40}") {
        let target = format!("{path}\n{query}");
        check::transcoded(target.as_bytes());
    }
}
