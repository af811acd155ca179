// SPDX-License-Identifier: Apache-2.0
//! An HTTP/2 origin: serves many streams at once and misbehaves as the scenario says. It refuses, resets, sends GOAWAY
//! at any time, responds early, opens windows late and cuts connections.
//!
//! A request that it refuses, by RST_STREAM or by a GOAWAY that does not cover it, is not an attempt. So the ledger
//! finds a gateway that does not retry it, and one that retries a request that was not refused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::Rng;
use crate::net::Net;
use crate::net::sim::{Sim, SimStream};
use crate::sim::common::Common;
use crate::sim::grpc;
use crate::sim::h2::behaviour::Behaviour;
use crate::sim::h2::message;
use crate::sim::h2::peer::{EndProfile, Peer, StreamEvent};
use crate::sim::ledger::{Ledger, PlannedRequest, PlannedResponse};
use crate::sim::message_io::{ConversationError, Framing, Head};
use crate::sim::recognise::recognise;
use crate::sim::tag::{Check, Tag};
use crate::sim::websocket;
use crate::wire::h2::connection::{self, Connection, Ending};
use crate::wire::h2::frame::{self, ErrorCode, Kind};
use crate::wire::h2::hpack::Encoder;
use crate::wire::h2::stream::Key;

/// One connection.
struct Served {
    common: Rc<Common>,
    sim: Sim,
    number: usize,
    peer: Rc<Peer>,
    /// The last stream of the GOAWAY: streams above it are not processed.
    last: Cell<u32>,
    /// The highest stream that is processed.
    highest: Cell<u32>,
    going: Cell<bool>,
    running: Cell<usize>,
}

/// One request.
struct Exchange {
    served: Rc<Served>,
    key: Key,
    tag: Tag,
    ask: PlannedRequest,
    rng: RefCell<Rng>,
}

/// Serves a connection to its end.
pub(crate) async fn serve(common: Rc<Common>, sim: Sim, number: usize, stream: Rc<SimStream>, mut rng: Rng) {
    let scenario = &common.scenario;
    let manner = EndProfile {
        reads: scenario.pace_two(&mut rng),
        writes: scenario.pace_two(&mut rng),
        patience: scenario.patience(),
        calm: common.demands.all_answered,
    };
    let config = Rc::new(connection::Config { connect_protocol: true, ..scenario.http2(&mut rng) });
    let peer = Peer::start(&sim, stream, Connection::server(config, sim.now()), manner);
    let served = Rc::new(Served {
        common: common.clone(),
        sim: sim.clone(),
        number,
        peer: peer.clone(),
        last: Cell::new(u32::MAX),
        highest: Cell::new(0),
        going: Cell::new(false),
        running: Cell::new(0),
    });
    while let Some(key) = peer.arrival().await {
        if key.id() > served.last.get() {
            continue;
        }
        served.running.set(served.running.get() + 1);
        sim.spawn(served.clone().request(key, Rng::new(rng.next_u64())));
        if rng.chance(scenario.goaways) && !served.going.replace(true) {
            sim.spawn(served.clone().go_away());
        }
    }
    peer.latch.wait(|| (served.running.get() == 0).then_some(())).await;
    peer.over().await;
}

impl Served {
    /// Closes gracefully (RFC 9113 section 6.8): GOAWAY with the highest identifier, a round trip, GOAWAY with the last
    /// stream, then the end of the connection.
    async fn go_away(self: Rc<Self>) {
        self.sim.note("goes away");
        self.peer.act(Connection::announce_going);
        self.peer.round_trip().await;
        self.peer.act(|machine| machine.go_away(ErrorCode::NoError));
        let drained = || (self.peer.is_ended() || self.peer.ask(Connection::is_drained)).then_some(());
        self.peer.latch.wait(drained).await;
        self.peer.finish();
    }

    async fn request(self: Rc<Self>, key: Key, rng: Rng) {
        match self.clone().answer(key, rng).await {
            Ok(()) | Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {}
            Err(ConversationError::Late) => self.sim.fail("a stream to an origin was left waiting for ever"),
            Err(ConversationError::Malformed(what)) => self.sim.fail(format!("the gateway sent an origin {what}")),
        }
        self.peer.forget(key);
        self.running.set(self.running.get() - 1);
        self.peer.latch.notify();
    }

    async fn answer(self: Rc<Self>, key: Key, mut rng: Rng) -> Result<(), ConversationError> {
        let StreamEvent::Head(head, ending) = self.peer.hear(key).await? else { return Err(ConversationError::Reset) };
        if let Some(id) = websocket::origin::offered(&head) {
            let earlier = self.common.talks.borrow().refusals(id);
            if self.turns_away(key, earlier, &mut rng) {
                self.common.talks.borrow_mut().refuse(id).map_err(ConversationError::Malformed)?;
                return self.turn_away(key).await;
            }
            websocket::origin::two(&self.common, &self.sim, &self.peer, key, &head, &mut rng).await;
            return Ok(());
        }
        if let Some(id) = grpc::origin::called(&head) {
            // A gateway that has not kept the messages cannot retry.
            let borne = if self.common.demands.all_answered { REFUSALS_BORNE } else { 0 };
            if self.turns_away(key, borne, &mut rng) {
                self.common.calls.borrow_mut().refuse(id).map_err(ConversationError::Malformed)?;
                return self.turn_away(key).await;
            }
            grpc::origin::serve(&self.common, &self.sim, &self.peer, key, &head, &mut rng).await;
            return Ok(());
        }
        let framing = head.framing(if ending == Ending::Last { Framing::Empty } else { Framing::Chunked })?;
        let (id, ask, framing) = recognise(&self.common, &head, framing)?;
        if key.id() > self.last.get() {
            return self.ignore(id, key).await;
        }
        let coming = if ending == Ending::Last { 0 } else { ask.length };
        if self.refuses(id, coming, &mut rng)? {
            self.peer.reset(key, ErrorCode::RefusedStream);
            return Ok(());
        }
        let behaviour = match Behaviour::draw(&self.common.scenario, framing, &mut rng) {
            Behaviour::Disown if key.id() < self.highest.get() || self.going.get() => Behaviour::Reset,
            behaviour => behaviour,
        };
        if behaviour == Behaviour::Disown {
            self.disown(key, &mut rng);
            return self.ignore(id, key).await;
        }
        self.highest.set(key.id().max(self.highest.get()));
        let attempt = self.tell(|ledger| ledger.attempt(id, self.number))?;
        let tag = Tag { exchange: id, attempt };
        let exchange = Exchange { served: self, key, tag, ask, rng: RefCell::new(rng) };
        exchange.run(behaviour, framing, &head).await
    }

    /// Should the origin refuse this WebSocket or call? It has refused it `earlier` times.
    fn turns_away(&self, key: Key, earlier: u32, rng: &mut Rng) -> bool {
        let borne = !self.common.demands.all_answered || earlier < REFUSALS_BORNE;
        if key.id() > self.last.get() || (borne && rng.chance(self.common.scenario.refusals)) {
            return true;
        }
        self.highest.set(key.id().max(self.highest.get()));
        false
    }

    async fn turn_away(&self, key: Key) -> Result<(), ConversationError> {
        if key.id() <= self.last.get() {
            self.peer.reset(key, ErrorCode::RefusedStream);
            return Ok(());
        }
        while !matches!(self.peer.hear(key).await?, StreamEvent::Lost | StreamEvent::Reset(_)) {}
        Ok(())
    }

    /// Records an event in the ledger. Fails the run where it breaks a rule.
    fn tell<T>(&self, write: impl FnOnce(&mut Ledger) -> Result<T, String>) -> Result<T, ConversationError> {
        write(&mut self.common.ledger.borrow_mut()).map_err(ConversationError::Malformed)
    }

    /// Should the origin refuse this request? In a calm world only one that the gateway can retry, also while `coming`
    /// bytes of its body are still to arrive, and only a few times.
    fn refuses(&self, id: u64, coming: u64, rng: &mut Rng) -> Result<bool, ConversationError> {
        let calm = self.common.demands.all_answered;
        let bearable = !calm || (coming <= KEPT && self.common.ledger.borrow().refusals(id) < REFUSALS_BORNE);
        if !bearable || !rng.chance(self.common.scenario.refusals) {
            return Ok(false);
        }
        self.tell(|ledger| ledger.refuse(id)).map(|_| true)
    }

    /// Sends GOAWAY with the stream before this one as the last. Earlier streams go on, or are cut.
    fn disown(&self, key: Key, rng: &mut Rng) {
        self.sim.note(format!("disowns stream {}", key.id()));
        self.going.set(true);
        let last = key.id().saturating_sub(2).min(self.last.get());
        self.last.set(last);
        self.peer.say_raw(|out| frame::go_away(out, last, ErrorCode::NoError));
        if rng.chance(300) {
            self.peer.finish();
        }
    }

    /// A GOAWAY did not cover this stream. The gateway must end the connection when its last stream has ended.
    async fn ignore(&self, id: u64, key: Key) -> Result<(), ConversationError> {
        self.tell(|ledger| ledger.refuse(id))?;
        while !matches!(self.peer.hear(key).await?, StreamEvent::Lost | StreamEvent::Reset(_)) {}
        Ok(())
    }
}

/// Largest content for which the gateway can retry a request that is refused during its upload.
const KEPT: u64 = 60_000;
/// Most refusals of one exchange that must get a response.
const REFUSALS_BORNE: u32 = 2;

impl Exchange {
    async fn run(&self, behaviour: Behaviour, framing: Framing, head: &Head) -> Result<(), ConversationError> {
        match behaviour {
            Behaviour::Early | Behaviour::EarlyReset => {
                self.answer(behaviour).await?;
                if behaviour == Behaviour::EarlyReset {
                    self.served.peer.reset(self.key, ErrorCode::NoError);
                    return Ok(());
                }
                return self.take(framing, &mut None).await;
            }
            Behaviour::Duplex => return self.duplex(framing).await,
            Behaviour::Right
            | Behaviour::Reset
            | Behaviour::Close
            | Behaviour::Abort
            | Behaviour::Silent
            | Behaviour::BreakOff
            | Behaviour::Nonsense
            | Behaviour::Violation
            | Behaviour::Unavailable
            | Behaviour::Disown => {}
        }
        if head.value("expect")?.is_some() {
            self.interim(100)?;
        }
        if behaviour != Behaviour::Right && self.rng.borrow_mut().chance(300) {
            // Misbehaves before it has read the body.
            return self.misbehave(behaviour).await;
        }
        self.take(framing, &mut None).await?;
        match behaviour {
            Behaviour::Right | Behaviour::Unavailable => self.answer(behaviour).await,
            Behaviour::Early
            | Behaviour::EarlyReset
            | Behaviour::Duplex
            | Behaviour::Reset
            | Behaviour::Close
            | Behaviour::Abort
            | Behaviour::Silent
            | Behaviour::BreakOff
            | Behaviour::Nonsense
            | Behaviour::Violation
            | Behaviour::Disown => self.misbehave(behaviour).await,
        }
    }

    /// Reads the request's body, and sends the response in pieces meanwhile where there is something `to_send`.
    async fn take(&self, framing: Framing, to_send: &mut Option<Sending>) -> Result<(), ConversationError> {
        let peer = &self.served.peer;
        let Tag { exchange, attempt } = self.tag;
        let mut check = Check::new(Tag { attempt: 0, ..self.tag });
        let trailers = loop {
            match peer.hear(self.key).await? {
                StreamEvent::Data(bytes) => {
                    check.take(&bytes).map_err(ConversationError::Malformed)?;
                    let count = bytes.len() as u64;
                    self.served.tell(|ledger| ledger.received(exchange, attempt, count))?;
                    self.dawdle().await;
                    peer.release(self.key, bytes.len());
                    if let Some(sending) = to_send {
                        self.send_some(sending, sending.reply.length).await?;
                    }
                }
                StreamEvent::End(trailers) => break trailers,
                StreamEvent::Reset(_) => return Err(ConversationError::Reset),
                StreamEvent::Lost => return Err(ConversationError::Cut),
                StreamEvent::Head(..) | StreamEvent::Interim(_) => {
                    return Err(ConversationError::Malformed("a second head".to_owned()));
                }
            }
        };
        if framing == Framing::Empty {
            return Ok(());
        }
        if self.ask.trailers && framing == Framing::Chunked && trailers.is_empty() {
            return Err(ConversationError::Malformed("a request without its trailers".to_owned()));
        }
        self.served.tell(|ledger| ledger.received_all(exchange, attempt))
    }

    /// Lets a window wait.
    async fn dawdle(&self) {
        let pause = {
            let mut rng = self.rng.borrow_mut();
            if rng.chance(self.served.common.scenario.pauses) { rng.below(2_000) } else { 0 }
        };
        if pause > 0 {
            let sim = &self.served.sim;
            sim.sleep_until(sim.now().after_ms(pause)).await;
        }
    }

    fn interim(&self, status: u16) -> Result<(), ConversationError> {
        let fields = [("x-exchange".to_owned(), self.tag.exchange.to_string())];
        let block = |out: &mut Vec<u8>, encoder: &mut Encoder| message::response(out, encoder, status, &fields);
        self.served.peer.act(|machine| machine.send_interim(self.key, block)).map_err(|_| ConversationError::Reset)
    }

    fn reply(&self, behaviour: Behaviour) -> PlannedResponse {
        let mut rng = self.rng.borrow_mut();
        let status = match behaviour {
            Behaviour::Unavailable => 503,
            _ if rng.chance(100) => [204, 304, 404, 500][rng.below(4) as usize],
            _ => 200,
        };
        let bodiless = self.ask.method == "HEAD" || status == 204 || status == 304;
        let length = rng.below(self.served.common.scenario.body_max + 1);
        let (length, framing) = match rng.below(2) {
            _ if bodiless => (0, Framing::Empty),
            0 if length > 0 => (length, Framing::Chunked),
            _ => (length, Framing::Length(length)),
        };
        let trailers = framing == Framing::Chunked && rng.chance(300);
        PlannedResponse { status, framing, length, trailers }
    }

    /// Sends a head, and says what follows it.
    fn begin(&self, behaviour: Behaviour) -> Result<Sending, ConversationError> {
        let mut reply = self.reply(behaviour);
        if matches!(behaviour, Behaviour::BreakOff | Behaviour::Duplex) && reply.length == 0 {
            reply = PlannedResponse { status: 200, framing: Framing::Length(1), length: 1, trailers: false };
        }
        self.served.tell(|ledger| ledger.reply(self.tag.exchange, self.tag.attempt, reply))?;
        if self.rng.borrow_mut().chance(100) && !self.ask.old {
            self.interim(103)?;
        }
        let fields = message::response_fields(self.tag, &self.ask, reply, &mut self.rng.borrow_mut());
        let ends = reply.length == 0 && !reply.trailers && self.rng.borrow_mut().chance(700);
        let ending = if ends { Ending::Last } else { Ending::More };
        let block = |out: &mut Vec<u8>, encoder: &mut Encoder| message::response(out, encoder, reply.status, &fields);
        let sent = self.served.peer.act(|machine| machine.send_head(self.key, ending, block));
        sent.map_err(|_| ConversationError::Reset)?;
        Ok(Sending { reply, at: 0, ended: ends })
    }

    /// Answers as it should, but for `deed`.
    async fn answer(&self, behaviour: Behaviour) -> Result<(), ConversationError> {
        let mut sending = self.begin(behaviour)?;
        self.send_all(&mut sending).await
    }

    async fn duplex(&self, framing: Framing) -> Result<(), ConversationError> {
        let mut sending = Some(self.begin(Behaviour::Duplex)?);
        self.take(framing, &mut sending).await?;
        match &mut sending {
            Some(sending) => self.send_all(sending).await,
            None => Ok(()),
        }
    }

    /// Sends all that is left of a response, and its end.
    async fn send_all(&self, sending: &mut Sending) -> Result<(), ConversationError> {
        while sending.at < sending.reply.length {
            self.send_some(sending, sending.reply.length).await?;
        }
        if !sending.ended {
            let peer = &self.served.peer;
            match sending.reply.trailers && !peer.is_over(self.key) {
                true => peer.act(|machine| machine.send_trailers(self.key, message::trailers)).is_ok(),
                false => peer.send(self.key, &[], Ending::Last).await.is_ok(),
            }
            .then_some(())
            .ok_or(ConversationError::Reset)?;
        }
        self.replied_all()
    }

    fn replied_all(&self) -> Result<(), ConversationError> {
        self.served.tell(|ledger| ledger.replied_all(self.tag.exchange, self.tag.attempt))
    }

    /// Sends one piece of a response's body, up to `end`; never its end.
    async fn send_some(&self, sending: &mut Sending, end: u64) -> Result<(), ConversationError> {
        let count = (1 + self.rng.borrow_mut().below(PIECE_MAX)).min(end - sending.at);
        if count == 0 {
            return Ok(());
        }
        let mut piece = vec![0; count as usize];
        self.tag.fill(sending.at, &mut piece);
        self.served.peer.send(self.key, &piece, Ending::More).await?;
        sending.at += count;
        self.served.tell(|ledger| ledger.replied(self.tag.exchange, self.tag.attempt, sending.at))
    }

    async fn misbehave(&self, behaviour: Behaviour) -> Result<(), ConversationError> {
        let Served { peer, sim, .. } = &*self.served;
        sim.note(format!("exchange {} attempt {}: {behaviour:?}", self.tag.exchange, self.tag.attempt));
        match behaviour {
            Behaviour::Reset => {
                let codes = [ErrorCode::Internal, ErrorCode::Cancel, ErrorCode::NoError, ErrorCode::EnhanceYourCalm];
                peer.reset(self.key, codes[self.rng.borrow_mut().below(4) as usize]);
            }
            Behaviour::Close => peer.finish(),
            Behaviour::Abort => peer.abort(),
            Behaviour::Silent => {
                while !matches!(peer.hear(self.key).await?, StreamEvent::Reset(_) | StreamEvent::Lost) {}
            }
            Behaviour::BreakOff => {
                let mut sending = self.begin(behaviour)?;
                let end = self.rng.borrow_mut().below(sending.reply.length);
                while sending.at < end {
                    self.send_some(&mut sending, end).await?;
                }
                match self.rng.borrow_mut().below(3) {
                    0 => peer.reset(self.key, ErrorCode::Internal),
                    1 => peer.finish(),
                    _ => peer.abort(),
                }
            }
            Behaviour::Nonsense => {
                let block = |out: &mut Vec<u8>, encoder: &mut Encoder| {
                    encoder.begin(out);
                    encoder.field_in_any_case(out, b"x-no-status", b"here", crate::wire::h2::hpack::Mark::Ordinary);
                };
                // The gateway resets the stream, which is allowed here.
                let sent = peer.act(|machine| machine.send_head(self.key, Ending::More, block));
                sent.map_err(|_| ConversationError::Reset)?;
                while !matches!(peer.hear(self.key).await?, StreamEvent::Reset(_) | StreamEvent::Lost) {}
            }
            Behaviour::Violation => {
                peer.forgive();
                match self.rng.borrow_mut().below(3) {
                    0 => peer.say_raw(|out| frame::header(out, 0, Kind::Data, 0, 0)),
                    1 => peer.say_raw(|out| frame::header(out, 60_000, Kind::Headers, 0, 1)),
                    _ => peer.say_raw(|out| {
                        frame::header(out, 4, Kind::WindowUpdate, 0, 0);
                        out.extend_from_slice(&[0; 4]);
                    }),
                }
                // The gateway ends the connection.
                while !matches!(peer.hear(self.key).await?, StreamEvent::Lost) {}
            }
            Behaviour::Right
            | Behaviour::Early
            | Behaviour::EarlyReset
            | Behaviour::Duplex
            | Behaviour::Unavailable
            | Behaviour::Disown => {}
        }
        Ok(())
    }
}

/// A response on its way.
struct Sending {
    reply: PlannedResponse,
    /// Bytes of the body that were sent.
    at: u64,
    /// The stream was ended with its head.
    ended: bool,
}

/// Bytes of one piece of a body at most.
const PIECE_MAX: u64 = 12_000;
