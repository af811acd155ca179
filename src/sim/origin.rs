// SPDX-License-Identifier: Apache-2.0
//! An HTTP/1.1 origin: reads requests strictly, responds with tagged bodies, and misbehaves as the scenario says.
//!
//! It checks that each request begins at a message boundary, that none arrives while a response is unfinished, that a
//! body which looks complete is complete, and that no request is retried that must not be.

use std::rc::Rc;

use crate::base::{Address, Rng};
use crate::net::sim::{Sim, SimStream};
use crate::net::{Listener, Net, Peek, Stream};
use crate::sim::body::{self, Outgoing};
use crate::sim::common::Common;
use crate::sim::h2;
use crate::sim::ledger::{PlannedRequest, PlannedResponse};
use crate::sim::message_io::{ConversationError, Framing, Head, HttpReader, HttpWriter};
use crate::sim::recognise::recognise;
use crate::sim::spoken::HttpVersion;
use crate::sim::tag::{Check, Tag};
use crate::sim::websocket;
use crate::sim::websocket::origin::Offered;

/// Which origin it is.
#[derive(Clone, Debug)]
pub(super) struct OriginId {
    /// From zero.
    pub number: usize,
    /// Where it listens.
    pub address: Address,
    /// What it speaks.
    pub spoken: HttpVersion,
}

/// Accepts until its host is killed.
pub(super) async fn run(common: Rc<Common>, sim: Sim, place: OriginId, mut rng: Rng) {
    let listener = sim.listen(&place.address);
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let rng = Rng::new(rng.next_u64());
                match place.spoken {
                    HttpVersion::One => {
                        sim.spawn(serve(common.clone(), sim.clone(), place.number, Rc::new(stream), rng))
                    }
                    HttpVersion::Two => {
                        sim.spawn(h2::origin::serve(common.clone(), sim.clone(), place.number, Rc::new(stream), rng));
                    }
                }
            }
            Err(_) => sim.sleep_until(sim.now().after_ms(10)).await,
        }
    }
}

/// What an origin does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// Reads it, answers it.
    Right,
    /// Answers before it has read the body, then reads the rest.
    Early,
    /// Answers before it has read the body, then closes.
    EarlyClose,
    /// Closes instead of answering.
    Close,
    /// Resets instead of answering.
    Reset,
    /// Never answers.
    Silent,
    /// Breaks off in the middle of the response body: with a reset, or with an orderly close.
    BreakOff,
    /// Answers with something that is not HTTP.
    Nonsense,
    /// Answers 503, which the route tries again.
    Unavailable,
    /// Responds, then closes without `Connection: close`.
    CloseAfter,
}

/// Most of them close without a response, because whether to retry then is the hardest decision.
const MISDEEDS: [Behaviour; 10] = [
    Behaviour::EarlyClose,
    Behaviour::Close,
    Behaviour::Close,
    Behaviour::Reset,
    Behaviour::Reset,
    Behaviour::Silent,
    Behaviour::BreakOff,
    Behaviour::Nonsense,
    Behaviour::Unavailable,
    Behaviour::CloseAfter,
];

/// Can the connection take another request?
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Next,
    Close,
}

struct Connection {
    common: Rc<Common>,
    sim: Sim,
    /// Which origin.
    number: usize,
    stream: Rc<SimStream>,
    listen: HttpReader,
    speak: HttpWriter,
    rng: Rng,
}

async fn serve(common: Rc<Common>, sim: Sim, number: usize, stream: Rc<SimStream>, mut rng: Rng) {
    let scenario = &common.scenario;
    let listen = HttpReader::new(&sim, stream.clone(), scenario.pace(&mut rng), scenario.patience());
    let speak = HttpWriter::new(&sim, stream.clone(), scenario.pace(&mut rng), scenario.patience());
    let mut connection = Connection { common: common.clone(), sim: sim.clone(), number, stream, listen, speak, rng };
    loop {
        let mut told_to_close = false;
        let served = match connection.listen.head().await {
            Ok(Some(head)) if websocket::origin::offered(&head).is_some() => {
                let Connection { stream, listen, speak, mut rng, .. } = connection;
                let offered = Offered { stream, listen, speak };
                return websocket::origin::one(&common, &sim, offered, &head, &mut rng).await;
            }
            Ok(Some(head)) => {
                told_to_close = head.connection_says("close");
                connection.request(&head).await
            }
            Ok(None) => break,
            Err(trouble) => Err(trouble),
        };
        match served {
            Ok(After::Next) if !told_to_close => {}
            Ok(After::Next) => break,
            Ok(After::Close) | Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {
                break;
            }
            Err(ConversationError::Late) => return sim.fail("an origin's connection was left waiting for ever"),
            Err(ConversationError::Malformed(what)) => return sim.fail(format!("the gateway sent an origin {what}")),
        }
    }
}

impl Connection {
    /// Records an event; fails the run where it breaks a rule of the ledger.
    fn held<T>(&self, result: Result<T, String>) -> Result<T, ConversationError> {
        result.map_err(ConversationError::Malformed)
    }

    async fn request(&mut self, head: &Head) -> Result<After, ConversationError> {
        let (id, ask, framing) = recognise(&self.common, head, head.framing(Framing::Empty)?)?;
        let told = self.common.ledger.borrow_mut().attempt(id, self.number);
        let number = self.held(told)?;
        let tag = Tag { exchange: id, attempt: number };
        if ask.upgrades && head.connection_says("upgrade") && self.rng.chance(800) {
            return self.tunnel(tag, &ask).await;
        }
        let behaviour = self.draw(framing);
        match behaviour {
            Behaviour::Early | Behaviour::EarlyClose => {
                let after = self.answer(tag, &ask, behaviour).await?;
                if behaviour == Behaviour::EarlyClose {
                    return Ok(After::Close);
                }
                self.take(tag, framing).await?;
                return Ok(after);
            }
            Behaviour::Close
            | Behaviour::Reset
            | Behaviour::Silent
            | Behaviour::BreakOff
            | Behaviour::Nonsense
            | Behaviour::Unavailable
            | Behaviour::CloseAfter
            | Behaviour::Right => {}
        }
        if head.value("expect")?.is_some() {
            self.speak.say(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if behaviour != Behaviour::Right && self.rng.chance(300) {
            // Misbehaves before it has read the body.
            return self.misbehave(tag, &ask, behaviour).await;
        }
        self.take(tag, framing).await?;
        match behaviour {
            Behaviour::Right | Behaviour::Unavailable | Behaviour::CloseAfter => {
                self.answer(tag, &ask, behaviour).await
            }
            Behaviour::Early | Behaviour::EarlyClose => Ok(After::Close),
            Behaviour::Close | Behaviour::Reset | Behaviour::Silent | Behaviour::BreakOff | Behaviour::Nonsense => {
                self.misbehave(tag, &ask, behaviour).await
            }
        }
    }

    fn draw(&mut self, framing: Framing) -> Behaviour {
        let scenario = &self.common.scenario;
        if self.rng.chance(scenario.misdeeds) {
            let behaviour = MISDEEDS[self.rng.below(MISDEEDS.len() as u64) as usize];
            // Without a gateway there is no timeout to end this.
            let needs_gateway = matches!(behaviour, Behaviour::Silent | Behaviour::Nonsense);
            return if needs_gateway && scenario.direct { Behaviour::Reset } else { behaviour };
        }
        // An early response is allowed, but then the gateway need not send the rest of the body.
        let early = framing != Framing::Empty && !self.common.demands.all_answered && self.rng.chance(50);
        if early { Behaviour::Early } else { Behaviour::Right }
    }

    /// Reads the request's body.
    async fn take(&mut self, tag: Tag, framing: Framing) -> Result<(), ConversationError> {
        let mut check = Check::new(Tag { attempt: 0, ..tag });
        let common = self.common.clone();
        let mut take = |bytes: &[u8]| {
            check.take(bytes).map_err(ConversationError::Malformed)?;
            let told = common.ledger.borrow_mut().received(tag.exchange, tag.attempt, bytes.len() as u64);
            told.map_err(ConversationError::Malformed)
        };
        let trailers = self.listen.body(framing, &mut take).await?;
        let told = self.common.ledger.borrow().ask(tag.exchange);
        if framing == Framing::Chunked && self.held(told)?.trailers && trailers.is_empty() {
            return Err(ConversationError::Malformed("a chunked request without its trailers".to_owned()));
        }
        let told = self.common.ledger.borrow_mut().received_all(tag.exchange, tag.attempt);
        if framing == Framing::Empty { Ok(()) } else { self.held(told) }
    }

    fn reply(&mut self, ask: &PlannedRequest, behaviour: Behaviour) -> PlannedResponse {
        let rng = &mut self.rng;
        let status = match behaviour {
            Behaviour::Unavailable => 503,
            _ if rng.chance(100) => [204, 304, 404, 500][rng.below(4) as usize],
            _ => 200,
        };
        let bodiless = ask.method == "HEAD" || status == 204 || status == 304;
        let length = rng.below(self.common.scenario.body_max + 1);
        let framing = match rng.below(5) {
            0 => Framing::Close,
            1 | 2 => Framing::Chunked,
            _ => Framing::Length(length),
        };
        let (length, framing) = match framing {
            _ if bodiless => (0, Framing::Empty),
            Framing::Length(0) => (0, Framing::Length(0)),
            _ => (length, framing),
        };
        let trailers = framing == Framing::Chunked && rng.chance(300);
        PlannedResponse { status, framing, length, trailers }
    }

    /// Answers as it should, but for `deed`.
    async fn answer(
        &mut self,
        tag: Tag,
        ask: &PlannedRequest,
        behaviour: Behaviour,
    ) -> Result<After, ConversationError> {
        let early = matches!(behaviour, Behaviour::Early | Behaviour::EarlyClose);
        let reply = self.reply(ask, behaviour);
        let told = self.common.ledger.borrow_mut().reply(tag.exchange, tag.attempt, reply);
        self.held(told)?;
        let announces = behaviour == Behaviour::EarlyClose || self.rng.chance(50);
        let closes = announces || behaviour == Behaviour::CloseAfter || reply.framing == Framing::Close;
        if self.rng.chance(100) && !ask.old {
            let interim = format!("HTTP/1.1 103 Early Hints\r\nX-Exchange: {}\r\n\r\n", tag.exchange);
            self.speak.say(interim.as_bytes()).await?;
        }
        let head = self.head(tag, ask, reply, if announces { After::Close } else { After::Next });
        self.speak.say(head.as_bytes()).await?;
        if !early && reply.length > 0 {
            self.still_alone()?;
        }
        self.send(tag, reply, reply.length).await?;
        let told = self.common.ledger.borrow_mut().replied_all(tag.exchange, tag.attempt);
        self.held(told)?;
        if reply.framing == Framing::Close {
            self.stream.finish();
        }
        Ok(if closes { After::Close } else { After::Next })
    }

    /// No bytes may follow the request before its response is complete: the gateway does not pipeline.
    fn still_alone(&self) -> Result<(), ConversationError> {
        if self.listen.behind().is_empty() && self.stream.peek() != Peek::Readable {
            return Ok(());
        }
        Err(ConversationError::Malformed("a request while an answer was unfinished".to_owned()))
    }

    async fn send(&mut self, tag: Tag, reply: PlannedResponse, end: u64) -> Result<(), ConversationError> {
        let (common, sim) = (self.common.clone(), self.sim.clone());
        let mut rng = Rng::new(self.rng.next_u64());
        let mut sent = |bytes| {
            if let Err(broken) = common.ledger.borrow_mut().replied(tag.exchange, tag.attempt, bytes) {
                sim.fail(broken);
            }
        };
        let PlannedResponse { framing, length, trailers, .. } = reply;
        let outgoing = Outgoing { tag, length, end, framing, trailers };
        body::send(&mut self.speak, &outgoing, &mut rng, &mut sent).await
    }

    async fn misbehave(
        &mut self,
        tag: Tag,
        ask: &PlannedRequest,
        behaviour: Behaviour,
    ) -> Result<After, ConversationError> {
        self.sim.note(format!("exchange {} attempt {}: {behaviour:?}", tag.exchange, tag.attempt));
        match behaviour {
            Behaviour::Reset => self.stream.abort(),
            Behaviour::Silent => while self.listen.more().await? {},
            Behaviour::Nonsense => {
                let nonsense = ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 2x0 no\r\n\r\n", "HTTP/1.1 200 OK\r\nA B: c\r\n\r\n"];
                self.speak.say(nonsense[self.rng.below(3) as usize].as_bytes()).await?;
            }
            Behaviour::BreakOff => {
                let mut reply = self.reply(ask, behaviour);
                if reply.framing == Framing::Empty || reply.length == 0 {
                    return Ok(After::Close);
                }
                if reply.framing == Framing::Close {
                    // Here an orderly close would mark the end of the body, so it must be a reset.
                    reply.length += 1;
                }
                let told = self.common.ledger.borrow_mut().reply(tag.exchange, tag.attempt, reply);
                self.held(told)?;
                let head = self.head(tag, ask, reply, After::Next);
                self.speak.say(head.as_bytes()).await?;
                let end = self.rng.below(reply.length);
                self.send(tag, reply, end).await?;
                if reply.framing == Framing::Close || self.rng.chance(500) {
                    self.stream.abort();
                }
            }
            Behaviour::Right
            | Behaviour::Early
            | Behaviour::EarlyClose
            | Behaviour::Close
            | Behaviour::Unavailable
            | Behaviour::CloseAfter => {}
        }
        Ok(After::Close)
    }

    /// Switches protocols: tagged bytes both ways until both sides have ended.
    async fn tunnel(&mut self, tag: Tag, ask: &PlannedRequest) -> Result<After, ConversationError> {
        let length = self.rng.below(self.common.scenario.body_max + 1);
        let reply = PlannedResponse { status: 101, framing: Framing::Close, length, trailers: false };
        let told = self.common.ledger.borrow_mut().reply(tag.exchange, tag.attempt, reply);
        self.held(told)?;
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tagged\r\n\
             X-Exchange: {}\r\nX-Attempt: {}\r\n\r\n",
            tag.exchange, tag.attempt
        );
        self.speak.say(head.as_bytes()).await?;
        self.send(tag, reply, length).await?;
        let told = self.common.ledger.borrow_mut().replied_all(tag.exchange, tag.attempt);
        self.held(told)?;
        self.stream.finish();
        let mut check = Check::new(Tag { attempt: 0, ..tag });
        let common = self.common.clone();
        let mut take = |bytes: &[u8]| {
            check.take(bytes).map_err(ConversationError::Malformed)?;
            let told = common.ledger.borrow_mut().received(tag.exchange, tag.attempt, bytes.len() as u64);
            told.map_err(ConversationError::Malformed)
        };
        self.listen.body(Framing::Close, &mut take).await?;
        if self.common.demands.all_answered && check.seen() != ask.length {
            return Err(ConversationError::Malformed(format!(
                "{} of {} bytes through a tunnel",
                check.seen(),
                ask.length
            )));
        }
        Ok(After::Close)
    }

    /// A response's head, and what it `announces` of the connection.
    fn head(&self, tag: Tag, ask: &PlannedRequest, reply: PlannedResponse, announces: After) -> String {
        let mut head = format!("HTTP/1.1 {} Said\r\nX-Exchange: {}\r\n", reply.status, tag.exchange);
        head.push_str(&format!("X-Attempt: {}\r\n", tag.attempt));
        head.push_str(&format!("Content-Type: text/plain\r\nETag: \"{}\"\r\n", tag.exchange));
        match reply.framing {
            Framing::Length(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::Empty if ask.method == "HEAD" => head.push_str("Content-Length: 12345\r\n"),
            Framing::Empty | Framing::Close => {}
        }
        if announces == After::Close {
            head.push_str("Connection: close\r\n");
        } else if tag.exchange.is_multiple_of(3) && !self.common.scenario.direct {
            head.push_str("Connection: x-hop\r\nX-Hop: from an origin\r\n");
        }
        head + "\r\n"
    }
}
