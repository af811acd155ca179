//! `smuggling-h2.jsonl`: hostile messages of HTTP/2. Every one that must be rejected is, by its head, its trailers, or
//! because its content is not as long as its head says; and what is forwarded of the others has one reading.

use serde::Deserialize;

use super::{bytes, data};
use crate::wire::check;
use crate::wire::h2::Malformed;
use crate::wire::h2::message::{self, Content};
use crate::wire::h2::raw;
use crate::wire::head::{BodyLength, RequestHead};

#[derive(Deserialize)]
struct Case {
    id: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<String>>,
    trailers: Option<Vec<(String, String)>>,
    expect: Option<String>,
}

impl Case {
    fn content_len(&self) -> usize {
        self.body.iter().flatten().map(|piece| bytes(piece).len()).sum()
    }
}

/// Why a message is not forwarded.
#[derive(Debug)]
enum Refusal {
    Malformed(#[allow(dead_code, reason = "for the message of a failure")] Malformed),
    ContentLength,
}

#[test]
fn messages() {
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

fn taken(case: &Case) -> Result<(), Refusal> {
    let mut section = section(&case.headers);
    let mut head = RequestHead::default();
    let content = if case.body.is_some() { Content::Follows } else { Content::Ended };
    message::request(&mut section, content, &mut head).map_err(Refusal::Malformed)?;
    let declared = match head.body {
        BodyLength::None => Some(0),
        BodyLength::Exact(bytes) => Some(bytes),
        BodyLength::Chunked | BodyLength::UntilClose => None,
    };
    if declared.is_some_and(|bytes| bytes != case.content_len() as u64) {
        return Err(Refusal::ContentLength);
    }
    if let Some(trailers) = &case.trailers {
        message::trailers(&mut self::section(trailers)).map_err(Refusal::Malformed)?;
    }
    check::rewritten(&section.bytes, &head);
    Ok(())
}

fn section(fields: &[(String, String)]) -> crate::wire::h2::Section {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    raw::section(&fields)
}
