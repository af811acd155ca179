// SPDX-License-Identifier: Apache-2.0
//! Messages as Python's protobuf shows them in JSON: `oracle.jsonl`, made by `oracle.py`.

use prost_reflect::DynamicMessage;
use serde::Deserialize;
use serde_json::Value;

use super::sample;
use crate::wire::grpc::json::{Defaults, Enums, Incoming, Lookup, Names, Options, Transcoder};
use crate::wire::grpc::{Code, End, message};

#[derive(Deserialize)]
struct Row {
    bytes: String,
    shown: Value,
    named: Value,
}

fn rows() -> Vec<Row> {
    include_str!("oracle.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a line holds: the message's JSON or its bytes.
pub(crate) fn payload(line: &str, shown: bool) -> Vec<u8> {
    let row: Row = serde_json::from_str(line).unwrap();
    if shown { row.shown.to_string().into_bytes() } else { bytes(&row.bytes) }
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn shown(transcoder: &Transcoder, payload: &[u8]) -> Value {
    let Lookup::Found(route) = transcoder.find(b"GET", b"/v1/everything") else { panic!("no rule") };
    let (mut framed, mut out) = (Vec::new(), Vec::new());
    message::write(payload, &mut framed);
    let answer = transcoder.answer(&route, &framed, &End::plain(Code::Ok, ""), &mut out);
    assert_eq!(answer.status, 200, "{}", out.escape_ascii());
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn messages_are_shown_alike() {
    let transcoder = sample::transcoder(Options::default());
    let options =
        Options { names: Names::Proto, enums: Enums::Numbers, defaults: Defaults::Print, ..Options::default() };
    let named = sample::transcoder(options);
    for row in rows() {
        let payload = bytes(&row.bytes);
        assert_eq!(numbers(shown(&transcoder, &payload)), numbers(row.shown));
        assert_eq!(numbers(shown(&named, &payload)), numbers(row.named));
    }
}

#[test]
fn json_is_read_alike() {
    let transcoder = sample::transcoder(Options::default());
    let Lookup::Found(route) = transcoder.find(b"POST", b"/v1/everything") else { panic!("no rule") };
    let input = transcoder.call(&route).input.clone();
    for row in rows() {
        let theirs = DynamicMessage::decode(input.clone(), bytes(&row.bytes).as_slice()).unwrap();
        for text in [row.shown, row.named].map(|value| serde_json::to_vec(&value).unwrap()) {
            let mut out = Vec::new();
            transcoder.request(&route, &Incoming::default(), &text, &mut out).unwrap();
            let ours = DynamicMessage::decode(input.clone(), &out[message::PREFIX_BYTES..]).unwrap();
            // By text, because a number that is none is not equal to itself.
            assert_eq!(serde_json::to_value(&ours).unwrap(), serde_json::to_value(&theirs).unwrap());
        }
    }
}

/// All numbers as doubles: one writer says `1`, the other `1.0`.
fn numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(list) => list.into_iter().map(numbers).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, numbers(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}
