// SPDX-License-Identifier: Apache-2.0
//! `smuggling-h2.jsonl`: hostile messages of HTTP/2. Every one that must be rejected is, by its head, its trailers, or
//! because its content is not as long as its head says; and what is forwarded of the others has one reading.

use std::rc::Rc;

use serde::Deserialize;

use super::cases::{bytes, data};
use crate::base::{Side, Tick};
use crate::wire::check;
use crate::wire::h2::connection::{Config, Connection, Event, Input};
use crate::wire::h2::frame::{self, ErrorCode, Kind, PREFACE};
use crate::wire::h2::malformed::Malformed;
use crate::wire::h2::message::{self, Content};
use crate::wire::h2::raw::{self, Literal};
use crate::wire::head::RequestHead;

#[derive(Deserialize)]
struct Case {
    id: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<String>>,
    trailers: Option<Vec<(String, String)>>,
    expect: Option<String>,
}

/// Why a message is not forwarded.
#[derive(Debug)]
enum Refusal {
    Malformed(#[allow(dead_code, reason = "for the message of a failure")] Malformed),
    Reset(#[allow(dead_code, reason = "for the message of a failure")] ErrorCode),
}

#[test]
fn hostile_messages_are_refused_or_have_one_meaning() {
    let Some(text) = data("smuggling-h2.jsonl") else { return };
    let cases: Vec<Case> = text.lines().map(|line| serde_json::from_str(line).expect("a message")).collect();
    assert!(cases.len() > 100);
    let mut wrong = Vec::new();
    let mut refused = 0;
    for case in &cases {
        let verdict = taken(case);
        refused += usize::from(verdict.is_err());
        match (case.expect.as_deref(), verdict) {
            (Some("reject"), Ok(())) => wrong.push(format!("accepted: {}", case.id)),
            (Some("accept"), Err(refusal)) => wrong.push(format!("refused: {} {refusal:?}", case.id)),
            _ => {}
        }
    }
    println!("{refused} of {} refused", cases.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Sends a message as frames to a connection, as an edge would take it.
fn taken(case: &Case) -> Result<(), Refusal> {
    let mut stream = [PREFACE, &frame(Kind::Settings, 0, 0, &[])[..]].concat();
    let pieces = case.body.as_deref().unwrap_or_default();
    let end = |last: bool| if last && case.trailers.is_none() { frame::END_STREAM } else { 0 };
    stream.extend(frame(Kind::Headers, frame::END_HEADERS | end(pieces.is_empty()), 1, &block(&case.headers)));
    for (at, piece) in pieces.iter().enumerate() {
        stream.extend(frame(Kind::Data, end(at + 1 == pieces.len()), 1, &bytes(piece)));
    }
    if let Some(trailers) = &case.trailers {
        stream.extend(frame(Kind::Headers, frame::END_HEADERS | frame::END_STREAM, 1, &block(trailers)));
    }

    let mut connection = Connection::server(Rc::new(Config::default()), Tick::ZERO);
    let mut input = Input::new(&stream);
    let (mut head, mut arena) = (RequestHead::default(), Vec::new());
    while let Some(event) = connection.next(&mut input, Tick::ZERO).expect("only the stream is malformed") {
        let end = match event {
            Event::Head { key, end } => {
                let content = if end { Content::Ended } else { Content::Follows };
                message::request(connection.section(), content, &mut head).map_err(Refusal::Malformed)?;
                connection.expect(key, head.content());
                arena.clone_from(&connection.section().bytes);
                end
            }
            Event::Trailers { .. } => {
                message::trailers(connection.section(), Side::Client).map_err(Refusal::Malformed)?;
                true
            }
            Event::Data { end, .. } => end,
            Event::Reset { code, .. } => return Err(Refusal::Reset(code)),
            Event::Settings => false,
            event => panic!("{}: {event:?}", case.id),
        };
        if end {
            check::rewritten(&arena, &head);
            return Ok(());
        }
    }
    panic!("{}: neither taken nor refused", case.id);
}

fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::header(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

fn block(fields: &[(String, String)]) -> Vec<u8> {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    raw::block(Literal::Plain, &fields)
}
