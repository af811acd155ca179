// SPDX-License-Identifier: Apache-2.0
//! A gRPC origin: reads messages strictly, responds in any order that gRPC allows, and misbehaves.

use std::rc::Rc;

use crate::base::Rng;
use crate::net::Net;
use crate::net::sim::Sim;
use crate::sim::common::Common;
use crate::sim::grpc::GrpcProtocol;
use crate::sim::grpc::caller::message;
use crate::sim::grpc::client::length;
use crate::sim::grpc::ledger::{CallLedger, PlannedResponse, UNAVAILABLE, exchange_of, path};
use crate::sim::grpc::messages::{Reading, Row};
use crate::sim::h2::message as section;
use crate::sim::h2::peer::{Peer, StreamEvent};
use crate::sim::message_io::{ConversationError, Head};
use crate::sim::tag::Tag;
use crate::wire::h2::connection::Ending;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::hpack::Encoder;
use crate::wire::h2::stream::Key;

/// The call that a head makes.
pub(crate) fn called(head: &Head) -> Option<u64> {
    head.start.split(' ').nth(1).and_then(exchange_of)
}

/// What an origin does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// Reads all messages, then responds.
    Right,
    /// Answers message by message.
    Duplex,
    /// Responds before it has read all messages.
    Early,
    /// Sends a status without messages.
    TrailersOnly,
    /// Takes very long.
    Slow,
    /// Sends a message that is too large.
    TooLarge,
    /// Resets the stream, perhaps within its response.
    Reset,
    /// Breaks the connection.
    Abort,
    /// Never answers.
    Silent,
    /// Ends in order, without a status.
    NoStatus,
    /// Sends a response that is not gRPC.
    Other,
}

impl Behaviour {
    fn draw(common: &Common, rng: &mut Rng) -> Behaviour {
        let scenario = &common.scenario;
        if rng.chance(scenario.misdeeds) && !scenario.direct {
            let deeds = [
                Behaviour::Reset,
                Behaviour::Reset,
                Behaviour::Abort,
                Behaviour::Silent,
                Behaviour::NoStatus,
                Behaviour::Other,
            ];
            return deeds[rng.below(6) as usize];
        }
        match rng.below(20) {
            0..=3 => Behaviour::Duplex,
            4 | 5 => Behaviour::Early,
            6 | 7 => Behaviour::TrailersOnly,
            8 if !scenario.direct => Behaviour::Slow,
            9 if !scenario.direct => Behaviour::TooLarge,
            _ => Behaviour::Right,
        }
    }
}

/// One call.
struct Served<'a> {
    common: &'a Rc<Common>,
    sim: &'a Sim,
    peer: &'a Rc<Peer>,
    key: Key,
    tag: Tag,
    reading: Reading,
    /// The caller's messages have ended.
    heard: bool,
    rng: Rng,
}

/// Serves a call to its end.
pub(crate) async fn serve(common: &Rc<Common>, sim: &Sim, peer: &Rc<Peer>, key: Key, head: &Head, rng: &mut Rng) {
    let served = match begin(common, sim, peer, key, head, rng) {
        Ok(mut served) => served.run().await,
        Err(trouble) => Err(trouble),
    };
    match served {
        Ok(()) | Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {}
        Err(ConversationError::Late) => sim.fail("a call at an origin was left waiting for ever"),
        Err(ConversationError::Malformed(what)) => sim.fail(format!("the gateway sent an origin {what}")),
    }
}

fn begin<'a>(
    common: &'a Rc<Common>,
    sim: &'a Sim,
    peer: &'a Rc<Peer>,
    key: Key,
    head: &Head,
    rng: &mut Rng,
) -> Result<Served<'a>, ConversationError> {
    let id = called(head).unwrap_or(0);
    let right = head.start == format!("POST {} HTTP/1.1", path(id))
        && head.number("x-exchange")? == Some(id)
        && head.value("host")? == Some("origin.test")
        && head.value("content-type")? == Some(GrpcProtocol::Plain.content_type())
        && head.value("te")? == Some("trailers")
        && head.value("x-grpc-web")?.is_none()
        && head.value("content-length")?.is_none();
    if !right {
        return Err(ConversationError::Malformed(format!("a call that nobody made: {head:?}")));
    }
    let told_ms = head.value("grpc-timeout")?.map(millis).transpose()?;
    let mut ledger = common.calls.borrow_mut();
    let number = ledger.arrive(id, told_ms, sim.now()).map_err(ConversationError::Malformed)?;
    let most = ledger.limits().request_max;
    let reading = Reading::new(ledger.requests(id).map_err(ConversationError::Malformed)?, most);
    drop(ledger);
    let tag = Tag { exchange: id, attempt: number };
    Ok(Served { common, sim, peer, key, tag, reading, heard: false, rng: Rng::new(rng.next_u64()) })
}

/// The value of a `grpc-timeout`.
fn millis(value: &str) -> Result<f64, ConversationError> {
    let malformed = || ConversationError::Malformed(format!("grpc-timeout {value:?}"));
    let (digits, unit) = value.split_at_checked(value.len().saturating_sub(1)).ok_or_else(malformed)?;
    let nanos = match unit {
        "n" => 1.0,
        "u" => 1e3,
        "m" => 1e6,
        "S" => 1e9,
        "M" => 60e9,
        "H" => 3_600e9,
        _ => return Err(malformed()),
    };
    let number: u32 = digits.parse().map_err(|_| malformed())?;
    if digits.len() > 8 { Err(malformed()) } else { Ok(f64::from(number) * nanos / 1e6) }
}

impl Served<'_> {
    fn write<T>(&self, write: impl FnOnce(&mut CallLedger) -> Result<T, String>) -> Result<T, ConversationError> {
        write(&mut self.common.calls.borrow_mut()).map_err(ConversationError::Malformed)
    }

    async fn run(&mut self) -> Result<(), ConversationError> {
        let behaviour = Behaviour::draw(self.common, &mut self.rng);
        self.sim.note(format!("call {} try {}: {behaviour:?}", self.tag.exchange, self.tag.attempt));
        match behaviour {
            Behaviour::Right | Behaviour::TooLarge => self.hear_all().await?,
            Behaviour::Slow => {
                self.hear_all().await?;
                self.dawdle().await?;
            }
            Behaviour::TrailersOnly | Behaviour::Other | Behaviour::NoStatus | Behaviour::Reset
                if self.rng.chance(600) =>
            {
                self.hear_all().await?;
            }
            Behaviour::Silent => while self.hear().await? {},
            Behaviour::Duplex
            | Behaviour::Early
            | Behaviour::TrailersOnly
            | Behaviour::Reset
            | Behaviour::Abort
            | Behaviour::NoStatus
            | Behaviour::Other => {}
        }
        match behaviour {
            Behaviour::Silent => {
                while !matches!(self.peer.hear(self.key).await?, StreamEvent::Reset(_) | StreamEvent::Lost) {}
                self.cut()
            }
            Behaviour::Abort => {
                self.peer.abort();
                Ok(())
            }
            _ => self.answer(behaviour).await,
        }
    }

    async fn hear_all(&mut self) -> Result<(), ConversationError> {
        while self.hear().await? {}
        Ok(())
    }

    /// Reads the next bytes. False at the end.
    async fn hear(&mut self) -> Result<bool, ConversationError> {
        if self.heard {
            return Ok(false);
        }
        match self.peer.hear(self.key).await? {
            StreamEvent::Data(bytes) => {
                self.reading.take(&bytes).map_err(ConversationError::Malformed)?;
                self.peer.release(self.key, bytes.len());
                Ok(true)
            }
            StreamEvent::End(trailers) => {
                self.heard = true;
                let (id, count) = (self.tag.exchange, self.reading.count());
                if !trailers.is_empty() || !self.reading.is_between() || self.reading.trailers().is_some() {
                    return Err(ConversationError::Malformed(format!(
                        "call {id}, which ends within a message or in trailers"
                    )));
                }
                self.write(|ledger| ledger.received_all(id, count))?;
                Ok(false)
            }
            StreamEvent::Reset(_) | StreamEvent::Lost => {
                self.cut()?;
                Err(ConversationError::Reset)
            }
            StreamEvent::Head(..) | StreamEvent::Interim(_) => {
                Err(ConversationError::Malformed("a second head".to_owned()))
            }
        }
    }

    /// The gateway gave it up.
    fn cut(&self) -> Result<(), ConversationError> {
        let (id, now) = (self.tag.exchange, self.sim.now());
        self.write(|ledger| ledger.in_time(id, now))
    }

    /// Takes longer than most callers wait.
    async fn dawdle(&mut self) -> Result<(), ConversationError> {
        let until = self.sim.now().after_ms(self.rng.below(900_000));
        let over = || self.peer.is_over(self.key).then_some(());
        match self.peer.latch.wait_until(self.sim, until, over).await {
            Some(()) => {
                self.cut()?;
                Err(ConversationError::Reset)
            }
            None => Ok(()),
        }
    }

    fn reply(&mut self, behaviour: Behaviour) -> PlannedResponse {
        let most = self.common.calls.borrow().limits().response_max;
        let rng = &mut self.rng;
        let count = if behaviour == Behaviour::TrailersOnly { 0 } else { [1, 1, rng.below(8)][rng.below(3) as usize] };
        let mut responses: Vec<u64> = (0..count).map(|_| length(most, rng)).collect();
        if behaviour == Behaviour::TooLarge {
            let at = rng.below(responses.len() as u64 + 1) as usize;
            responses.insert(at, most + 1 + rng.below(2_000));
        }
        let code = match behaviour {
            Behaviour::TrailersOnly if rng.chance(500) => UNAVAILABLE,
            _ if rng.chance(300) => rng.below(17) as u8,
            _ => 0,
        };
        let wrong = matches!(behaviour, Behaviour::NoStatus | Behaviour::Other | Behaviour::Reset);
        PlannedResponse { responses, code, trailers_only: behaviour == Behaviour::TrailersOnly, wrong }
    }

    async fn answer(&mut self, behaviour: Behaviour) -> Result<(), ConversationError> {
        let reply = self.reply(behaviour);
        let Tag { exchange: id, attempt: number } = self.tag;
        self.write(|ledger| ledger.reply(id, number, reply.clone()))?;
        if behaviour == Behaviour::Reset && self.rng.chance(500) {
            return self.reset();
        }
        let mut fields = vec![
            ("x-exchange".to_owned(), id.to_string()),
            ("x-attempt".to_owned(), number.to_string()),
            ("content-type".to_owned(), GrpcProtocol::Plain.content_type().to_owned()),
        ];
        if behaviour == Behaviour::TrailersOnly {
            fields.extend(status(id, reply.code));
            self.write(|ledger| ledger.replied(id, number))?;
            return self.head(200, &fields, Ending::Last);
        }
        if behaviour == Behaviour::Other {
            fields.truncate(2);
            let http = [500, 404, 200][self.rng.below(3) as usize];
            return self.head(http, &fields, Ending::Last);
        }
        self.head(200, &fields, Ending::More)?;
        let row = Row { tag: self.tag, lengths: reply.responses };
        for index in 0..row.lengths.len() {
            if behaviour == Behaviour::Duplex {
                self.hear().await?;
            }
            self.say(&row.message(index)).await?;
            if behaviour == Behaviour::Reset && self.rng.chance(400) {
                return self.reset();
            }
        }
        match behaviour {
            Behaviour::Reset => return self.reset(),
            Behaviour::NoStatus => return self.peer.send(self.key, &[], Ending::Last).await,
            Behaviour::Duplex => self.hear_all().await?,
            _ => {}
        }
        self.end(reply.code)?;
        if self.rng.chance(500) && !self.heard {
            // RFC 9113 section 8.1: the rest of the request is not needed.
            self.peer.reset(self.key, ErrorCode::NoError);
            return Ok(());
        }
        self.hear_all().await
    }

    fn head(&self, http: u16, fields: &[(String, String)], ending: Ending) -> Result<(), ConversationError> {
        let block = |out: &mut Vec<u8>, encoder: &mut Encoder| section::response(out, encoder, http, fields);
        self.peer.act(|machine| machine.send_head(self.key, ending, block)).map_err(|_| ConversationError::Reset)
    }

    async fn say(&mut self, message: &[u8]) -> Result<(), ConversationError> {
        let mut rest = message;
        while !rest.is_empty() {
            let most = [6, 500, 20_000][self.rng.below(3) as usize].max(message.len() as u64 / 20);
            let (piece, behind) = rest.split_at((1 + self.rng.below(most) as usize).min(rest.len()));
            rest = behind;
            self.peer.send(self.key, piece, Ending::More).await?;
        }
        Ok(())
    }

    fn end(&self, code: u8) -> Result<(), ConversationError> {
        if self.peer.is_over(self.key) {
            return Err(ConversationError::Reset);
        }
        let Tag { exchange: id, attempt: number } = self.tag;
        self.write(|ledger| ledger.replied(id, number))?;
        let mut fields = status(id, code);
        fields.push(("x-trailer".to_owned(), number.to_string()));
        let block = |out: &mut Vec<u8>, encoder: &mut Encoder| section::last(out, encoder, &fields);
        self.peer.act(|machine| machine.send_trailers(self.key, block)).map_err(|_| ConversationError::Reset)
    }

    fn reset(&mut self) -> Result<(), ConversationError> {
        let codes = [ErrorCode::Internal, ErrorCode::Cancel, ErrorCode::NoError, ErrorCode::EnhanceYourCalm];
        self.peer.reset(self.key, codes[self.rng.below(4) as usize]);
        Ok(())
    }
}

fn status(id: u64, code: u8) -> Vec<(String, String)> {
    vec![("grpc-status".to_owned(), code.to_string()), ("grpc-message".to_owned(), message(id))]
}
