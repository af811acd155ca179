// SPDX-License-Identifier: Apache-2.0
//! A caller's reading of a response over any HTTP version: head, content, trailers, and how the call ended.

use std::rc::Rc;

use crate::net::Net;
use crate::net::sim::Sim;
use crate::sim::common::Common;
use crate::sim::grpc::GrpcProtocol;
use crate::sim::grpc::ledger::{CallLedger, Moment, Outcome};
use crate::sim::grpc::messages::{Reading, Text};
use crate::sim::message_io::{ConversationError, Head};

/// A caller's side of one call.
pub(super) struct Caller {
    common: Rc<Common>,
    sim: Sim,
    /// The call.
    pub id: u64,
    words: GrpcProtocol,
    http: u16,
    /// The origin's try, and its messages.
    reading: Option<(u32, Reading)>,
    text: Text,
    /// The status in the head.
    headed: Option<Outcome>,
    /// The response is no call's.
    other: bool,
}

impl Caller {
    /// Nothing has come.
    pub(super) fn new(common: &Rc<Common>, sim: &Sim, id: u64, words: GrpcProtocol) -> Caller {
        Caller {
            common: common.clone(),
            sim: sim.clone(),
            id,
            words,
            http: 0,
            reading: None,
            text: Text::default(),
            headed: None,
            other: false,
        }
    }

    fn write<T>(&self, write: impl FnOnce(&mut CallLedger) -> Result<T, String>) -> Result<T, ConversationError> {
        write(&mut self.common.calls.borrow_mut()).map_err(ConversationError::Malformed)
    }

    /// Takes the final head.
    pub(super) fn head(&mut self, head: &Head) -> Result<(), ConversationError> {
        let http = head.start.split(' ').nth(1).and_then(|status| status.parse().ok());
        self.http = http.ok_or_else(|| ConversationError::Malformed(format!("the status in {:?}", head.start)))?;
        let number = head.number("x-attempt")?.map(|number| number as u32);
        if let Some(number) = number {
            if head.number("x-exchange")? != Some(self.id) {
                return Err(ConversationError::Malformed(format!("an answer of another call: {head:?}")));
            }
            let (id, most) = (self.id, self.common.calls.borrow().limits().response_max);
            let row = self.write(|ledger| ledger.responses(id, number))?;
            self.reading = Some((number, Reading::new(row, most)));
        }
        self.other = self.http != 200 || head.value("content-type")? != Some(self.words.content_type());
        if self.other {
            return Ok(());
        }
        self.headed = self.status(head, number.is_some())?;
        if number.is_none() && self.headed.is_none() {
            return Err(ConversationError::Malformed(format!("a head of the gateway without a status: {head:?}")));
        }
        Ok(())
    }

    /// The status among these fields, and whether an origin said it.
    // tidy(bool): it is whether the fields have the origin's mark.
    fn status(&self, fields: &Head, by_origin: bool) -> Result<Option<Outcome>, ConversationError> {
        let Some(code) = fields.number("grpc-status")? else { return Ok(None) };
        let code = code as u8;
        let (Some((number, reading)), true) = (&self.reading, by_origin) else { return Ok(Some(Outcome::Told(code))) };
        if fields.value("grpc-message")? != Some(&message(self.id)) {
            return Err(ConversationError::Malformed(format!("a status with other words: {fields:?}")));
        }
        let (id, count) = (self.id, reading.count());
        self.write(|ledger| ledger.said(id, *number, code, count))?;
        Ok(Some(Outcome::Said(code)))
    }

    /// Takes content.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), ConversationError> {
        if self.other {
            return Ok(());
        }
        let decoded;
        let bytes = match self.words {
            GrpcProtocol::Plain | GrpcProtocol::Web => bytes,
            GrpcProtocol::Text => {
                decoded = self.text.take(bytes).map_err(ConversationError::Malformed)?;
                &decoded[..]
            }
        };
        match &mut self.reading {
            Some((_, reading)) if self.headed.is_none() => reading.take(bytes).map_err(ConversationError::Malformed),
            _ if bytes.is_empty() => Ok(()),
            _ => Err(ConversationError::Malformed("content behind a head that was the whole answer".to_owned())),
        }
    }

    /// Decides how the call ended, from a complete response with these trailers.
    pub(super) fn end(&self, trailers: Vec<(String, String)>) -> Result<Outcome, ConversationError> {
        if self.other {
            return Ok(Outcome::Other(self.http));
        }
        let frame = self.reading.as_ref().and_then(|(_, reading)| reading.trailers());
        let framed = frame.map(lines).transpose()?;
        let said = match (self.words, framed, trailers.is_empty()) {
            (GrpcProtocol::Plain, None, _) => trailers,
            (GrpcProtocol::Web | GrpcProtocol::Text, Some(framed), true) => framed,
            (GrpcProtocol::Web | GrpcProtocol::Text, None, true) => Vec::new(),
            (_, framed, _) => {
                return Err(ConversationError::Malformed(format!(
                    "trailers {trailers:?} and a frame of them {framed:?}"
                )));
            }
        };
        let said = Head { start: String::new(), fields: said };
        let number = self.reading.as_ref().map(|(number, _)| u64::from(*number));
        let trailed = self.status(&said, number.is_some() && said.number("x-trailer")? == number)?;
        let whole = self.reading.as_ref().is_none_or(|(_, reading)| reading.is_between()) && self.text.is_between();
        match (self.headed, trailed) {
            (Some(outcome), None) | (None, Some(outcome @ Outcome::Told(_)))
                if whole || self.words == GrpcProtocol::Plain =>
            {
                Ok(outcome)
            }
            (None, Some(outcome)) if whole => Ok(outcome),
            (None, None) => Err(ConversationError::Malformed("a clean end without a status".to_owned())),
            (headed, trailed) => Err(ConversationError::Malformed(format!(
                "ended by {headed:?} and {trailed:?}, between messages: {whole}"
            ))),
        }
    }

    /// The call is over.
    pub(super) fn conclude(&self, heard: Result<Outcome, ConversationError>) {
        let outcome = match heard {
            Ok(outcome) => outcome,
            Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => Outcome::Broken,
            Err(ConversationError::Late) => {
                return self.sim.fail(format!("call {}: its caller waits for ever", self.id));
            }
            Err(ConversationError::Malformed(what)) => return self.sim.fail(format!("call {}: {what}", self.id)),
        };
        let moment = Moment { now: self.sim.now(), drains: self.common.drains() };
        if let Err(broken) = self.common.calls.borrow_mut().end(self.id, outcome, moment) {
            self.sim.fail(broken);
        }
    }
}

/// What origins say with their status.
pub(super) fn message(id: u64) -> String {
    format!("said in {id}")
}

/// The lines of a frame of trailers.
fn lines(frame: &[u8]) -> Result<Vec<(String, String)>, ConversationError> {
    let text = String::from_utf8_lossy(frame);
    let line = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let proper = !name.is_empty() && !name.contains(|letter: char| letter.is_ascii_uppercase());
        proper.then(|| (name.to_owned(), value.trim().to_owned()))
    };
    let lines: Option<Vec<_>> = text.strip_suffix("\r\n").and_then(|text| text.split("\r\n").map(line).collect());
    lines.ok_or_else(|| ConversationError::Malformed(format!("a frame of trailers {text:?}")))
}
