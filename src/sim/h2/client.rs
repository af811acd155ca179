// SPDX-License-Identifier: Apache-2.0
//! An HTTP/2 client: several requests at once on one connection, streams reset at any point, flow-control windows that
//! open late or never. It checks every byte of every response.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::base::Rng;
use crate::net::sim::{Sim, SimStream};
use crate::net::{Net, Stream};
use crate::sim::coded::Content;
use crate::sim::common::Common;
use crate::sim::grpc;
use crate::sim::h2::message::{self, Request};
use crate::sim::h2::peer::{EndProfile, Peer, StreamEvent};
use crate::sim::h2::plan::{self, Plan};
use crate::sim::ledger::{Outcome, PlannedRequest, PlannedResponse};
use crate::sim::message_io::{ConversationError, Framing, Head};
use crate::sim::tag::{Check, Tag, note};
use crate::sim::websocket;
use crate::wire::h2::connection::{Connection, Ending};
use crate::wire::h2::frame::{self, ErrorCode, Kind};
use crate::wire::h2::settings;
use crate::wire::h2::stream::Key;

/// Sends requests on one connection until it has sent enough or the connection closes.
pub(crate) async fn connection(common: &Rc<Common>, sim: &Sim, stream: Rc<SimStream>, rng: &mut Rng) {
    let scenario = &common.scenario;
    let config = Rc::new(scenario.http2(rng));
    let calm = common.demands.all_answered;
    let manner = EndProfile {
        reads: scenario.pace_two(rng),
        writes: scenario.pace_two(rng),
        patience: scenario.patience(),
        calm,
    };
    let peer = Peer::start(sim, stream, Connection::client(config, sim.now()), manner);
    let client = Rc::new(Client {
        common: common.clone(),
        sim: sim.clone(),
        peer: peer.clone(),
        outstanding: RefCell::default(),
        running: Cell::new(0),
        closing: Cell::new(false),
    });
    if calm || rng.chance(500) {
        peer.settle().await;
    }
    let count = 1 + rng.below(2 + scenario.requests);
    for _ in 0..count {
        let room = || {
            let full = client.running.get() >= scenario.streams;
            let never = client.closing.get() || peer.is_ended() || peer.ask(Connection::is_going);
            (never || (!full && peer.may_open())).then_some(())
        };
        peer.latch.wait(room).await;
        if client.closing.get() || !peer.may_open() {
            break;
        }
        let (to, machine, stream) = (common.clone(), sim.clone(), peer.clone());
        match rng.below(1_000) {
            chance if chance < scenario.calls => {
                client.run(grpc::client::two(to, machine, stream, Rng::new(rng.next_u64())));
            }
            chance if chance < scenario.calls + scenario.talks && may_talk(&peer) => {
                client.run(websocket::client::two(to, machine, stream, Rng::new(rng.next_u64())));
            }
            _ => client.begin(rng),
        }
        if rng.chance(300) {
            sim.sleep_until(sim.now().after_ms(rng.below(200))).await;
        }
        if rng.chance(100) {
            noise(&peer, rng);
        }
    }
    peer.latch.wait(|| (client.running.get() == 0).then_some(())).await;
    if !rng.chance(scenario.lingers) {
        send_goaway(&peer, rng);
    }
    // Otherwise the gateway must close the idle connection.
    peer.over().await;
}

/// Do the gateway's settings allow an extended CONNECT (RFC 8441 section 3)?
fn may_talk(peer: &Peer) -> bool {
    peer.ask(|machine| machine.peer().connect_protocol)
}

/// Frames that no response depends on.
fn noise(peer: &Peer, rng: &mut Rng) {
    let table = rng.below(5_000) as u32;
    match rng.below(4) {
        0 => peer.say_raw(|out| settings::write(out, &[(settings::HEADER_TABLE_SIZE, table), (0xAAAA, 7)])),
        1 => peer.say_raw(|out| frame::header(out, 0, Kind::Unknown, 0xFF, 0)),
        2 => peer.say_raw(|out| {
            frame::header(out, 4 + 3, Kind::PriorityUpdate, 0, 0);
            out.extend_from_slice(&[0, 0, 0, 1]);
            out.extend_from_slice(b"u=1");
        }),
        _ => peer.act(|machine| machine.ping(7)),
    }
}

fn send_goaway(peer: &Peer, rng: &mut Rng) {
    match rng.below(3) {
        0 => peer.abort(),
        1 => peer.finish(),
        _ => {
            peer.act(|machine| machine.go_away(ErrorCode::NoError));
            peer.finish();
        }
    }
}

/// What the tasks of one connection share.
struct Client {
    common: Rc<Common>,
    sim: Sim,
    peer: Rc<Peer>,
    /// Asked and not yet answered.
    outstanding: RefCell<BTreeSet<u64>>,
    running: Cell<usize>,
    /// No more requests.
    closing: Cell<bool>,
}

/// One exchange.
struct Exchange {
    client: Rc<Client>,
    id: u64,
    key: Key,
    ask: PlannedRequest,
    plan: Plan,
    rng: RefCell<Rng>,
    /// The gateway has sent a 100 or a response.
    go_on: Cell<bool>,
    uploading: Cell<bool>,
    over: Cell<bool>,
}

impl Client {
    /// Records an event; fails the run where it breaks a rule of the ledger.
    fn held<T>(&self, result: Result<T, String>) -> Option<T> {
        result.map_err(|broken| self.sim.fail(broken)).ok()
    }

    /// Opens a stream and lets its exchange run.
    fn begin(self: &Rc<Self>, rng: &mut Rng) {
        let scenario = &self.common.scenario;
        let ask = plan::ask(scenario, self.peer.is_settled(), rng);
        let plan = Plan::draw(scenario, &ask, rng);
        let id = self.common.ledger.borrow_mut().begin(ask.clone());
        let path = ask.to.path(id);
        let fields = message::request_fields(id, &ask, rng);
        let ends = ask.length == 0;
        let request = Request { method: ask.method, path: &path, fields: &fields };
        let ending = if ends { Ending::Last } else { Ending::More };
        let Some(key) = self.peer.open(ending, |out, encoder| request.write(out, encoder)) else {
            return self.sim.fail("a stream that may be opened was not");
        };
        self.outstanding.borrow_mut().insert(id);
        self.running.set(self.running.get() + 1);
        let exchange = Rc::new(Exchange {
            client: self.clone(),
            id,
            key,
            ask,
            plan,
            rng: RefCell::new(Rng::new(rng.next_u64())),
            go_on: Cell::new(false),
            uploading: Cell::new(!ends),
            over: Cell::new(false),
        });
        if !ends {
            self.sim.spawn(exchange.clone().upload());
        }
        if let Plan::LeavesAfter(millis) = plan {
            self.sim.spawn(exchange.clone().leave_after(millis));
        }
        self.sim.spawn(exchange.run());
    }

    /// Runs a task that opens a stream of its own and removes it afterwards.
    fn run(self: &Rc<Self>, what: impl Future<Output = ()> + 'static) {
        let client = self.clone();
        self.running.set(self.running.get() + 1);
        self.sim.spawn(async move {
            what.await;
            client.running.set(client.running.get() - 1);
            client.peer.latch.notify();
        });
    }
}

impl Exchange {
    async fn run(self: Rc<Self>) {
        let answered = self.answer().await;
        match answered {
            Ok(()) | Err(ConversationError::Enough) => {}
            Err(ConversationError::Cut | ConversationError::Reset) => self.end(Outcome::Broken),
            Err(ConversationError::Late) => {
                self.client.sim.fail(format!("exchange {}: the gateway let its client wait for ever", self.id));
            }
            Err(ConversationError::Malformed(what)) => {
                self.client.sim.fail(format!("exchange {}: the gateway sent {what}", self.id));
            }
        }
        self.go_on.set(true);
        self.over.set(true);
        let Client { peer, running, outstanding, .. } = &*self.client;
        peer.latch.notify();
        peer.latch.wait(|| (!self.uploading.get()).then_some(())).await;
        outstanding.borrow_mut().remove(&self.id);
        peer.forget(self.key);
        running.set(running.get() - 1);
        peer.latch.notify();
    }

    fn end(&self, outcome: Outcome) {
        let told = self.client.common.ledger.borrow_mut().end(self.id, outcome);
        self.client.held(told);
    }

    /// Reads the response to its end.
    async fn answer(&self) -> Result<(), ConversationError> {
        let head = loop {
            match self.client.peer.hear(self.key).await? {
                StreamEvent::Head(head, _) => break head,
                StreamEvent::Interim(head) => {
                    self.check_exchange(&head)?;
                    self.go_on();
                }
                StreamEvent::Reset(ErrorCode::RefusedStream) => {
                    if self.client.common.demands.all_answered && !self.client.common.drains() {
                        return Err(ConversationError::Malformed(
                            "REFUSED_STREAM to a client that keeps its limits".to_owned(),
                        ));
                    }
                    self.end(Outcome::Unserved);
                    return Ok(());
                }
                StreamEvent::Reset(ErrorCode::Protocol) => {
                    return Err(ConversationError::Malformed("PROTOCOL_ERROR".to_owned()));
                }
                StreamEvent::Reset(_) => return Err(ConversationError::Reset),
                StreamEvent::Lost => return Err(ConversationError::Cut),
                StreamEvent::Data(_) | StreamEvent::End(_) => {
                    return Err(ConversationError::Malformed("content without a head".to_owned()));
                }
            }
        };
        self.go_on();
        let status: Option<u16> = head.start.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| ConversationError::Malformed(format!("the status in {:?}", head.start)))?;
        if head.value("x-hop")?.is_some() {
            return Err(ConversationError::Malformed("a field that concerned another connection".to_owned()));
        }
        match self.check_exchange(&head)? {
            Some(_) => self.passed_on(&head, status).await,
            None => {
                self.take(None, &head, status).await?;
                self.end(Outcome::Refused(status));
                self.hear_out().await
            }
        }
    }

    fn check_exchange(&self, head: &Head) -> Result<Option<u64>, ConversationError> {
        let named = head.number("x-exchange")?;
        if named.is_some_and(|other| other != self.id) {
            return Err(ConversationError::Malformed(format!("an answer of another exchange: {head:?}")));
        }
        if head.value("x-note")?.is_some_and(|told| told != note(self.id)) {
            return Err(ConversationError::Malformed(format!("a field that changed on its way: {head:?}")));
        }
        Ok(named)
    }

    fn go_on(&self) {
        self.go_on.set(true);
        self.client.peer.latch.notify();
    }

    /// A response that an origin made.
    async fn passed_on(&self, head: &Head, status: u16) -> Result<(), ConversationError> {
        let ledger = &self.client.common.ledger;
        let number = head.number("x-attempt")?.unwrap_or(0) as u32;
        let told = ledger.borrow_mut().answering(self.id, number, status);
        let reply = self.client.held(told).ok_or(ConversationError::Enough)?;
        let trailers = self.take(Some((number, reply)), head, status).await?;
        if reply.trailers && reply.framing == Framing::Chunked && trailers.is_empty() {
            return Err(ConversationError::Malformed("an answer without its trailers".to_owned()));
        }
        let done = match self.is_bare(status) {
            true => ledger.borrow_mut().end(self.id, Outcome::Answered(status)),
            // END_STREAM marks the end as reliably as the last chunk does.
            false => ledger.borrow_mut().complete(self.id, number, Framing::Chunked),
        };
        self.client.held(done);
        self.hear_out().await
    }

    fn is_bare(&self, status: u16) -> bool {
        self.ask.method == "HEAD" || status == 204 || status == 304
    }

    /// Reads a body to its end, from an origin or from the gateway itself.
    async fn take(
        &self,
        made: Option<(u32, PlannedResponse)>,
        head: &Head,
        status: u16,
    ) -> Result<Vec<(String, String)>, ConversationError> {
        let Client { peer, common, .. } = &*self.client;
        let mut check = made.map(|(number, _)| Check::new(Tag { exchange: self.id, attempt: number }));
        let mut content = Content::of(head, &self.ask, made.map(|(_, reply)| reply))?;
        let mut seen = 0;
        let trailers = loop {
            let left = matches!(self.plan, Plan::LeavesReading(at) if seen >= at);
            if left {
                self.leave();
            }
            match peer.hear(self.key).await? {
                StreamEvent::Data(bytes) => {
                    seen += bytes.len() as u64;
                    content.take(&bytes, &mut |bytes| {
                        let Some(check) = &mut check else { return Ok(()) };
                        check.take(bytes).map_err(ConversationError::Malformed)?;
                        self.client.held(common.ledger.borrow_mut().delivered(self.id, bytes.len() as u64));
                        Ok(())
                    })?;
                    if !matches!(self.plan, Plan::StallsReading) {
                        self.dawdle().await;
                        peer.release(self.key, bytes.len());
                    }
                }
                StreamEvent::End(trailers) => break trailers,
                StreamEvent::Reset(ErrorCode::Protocol) => {
                    return Err(ConversationError::Malformed("PROTOCOL_ERROR".to_owned()));
                }
                StreamEvent::Reset(_) => return Err(ConversationError::Reset),
                StreamEvent::Lost => return Err(ConversationError::Cut),
                StreamEvent::Head(..) | StreamEvent::Interim(_) => {
                    return Err(ConversationError::Malformed("a second head".to_owned()));
                }
            }
        };
        if !self.is_bare(status) && content.finish()? {
            self.client.held(common.ledger.borrow_mut().coded(self.id));
        }
        let said = if self.is_bare(status) { Some(0) } else { head.number("content-length")? };
        if said.is_some_and(|length| length != seen) {
            return Err(ConversationError::Malformed(format!("{seen} bytes of content where {said:?} were said")));
        }
        Ok(trailers)
    }

    /// Lets a window wait.
    async fn dawdle(&self) {
        let pause = {
            let mut rng = self.rng.borrow_mut();
            let scenario = &self.client.common.scenario;
            if rng.chance(scenario.pauses) { rng.below(2_000) } else { 0 }
        };
        if pause > 0 {
            let sim = &self.client.sim;
            sim.sleep_until(sim.now().after_ms(pause)).await;
        }
    }

    /// The stream must end in both directions: with our last byte or with the gateway's reset.
    async fn hear_out(&self) -> Result<(), ConversationError> {
        let Client { peer, .. } = &*self.client;
        let stalls = matches!(self.plan, Plan::StallsSending(_));
        while self.uploading.get() || (stalls && !peer.is_over(self.key)) {
            let until = self.client.sim.now().after(self.client.common.scenario.patience());
            let over = || (peer.is_over(self.key) || !(self.uploading.get() || stalls)).then_some(());
            peer.latch.wait_until(&self.client.sim, until, over).await.ok_or(ConversationError::Late)?;
            if peer.is_over(self.key) {
                break;
            }
        }
        Ok(())
    }

    async fn upload(self: Rc<Self>) {
        match self.send_body().await {
            Ok(()) | Err(ConversationError::Cut | ConversationError::Reset | ConversationError::Enough) => {}
            Err(ConversationError::Late) => {
                self.client.sim.fail(format!("exchange {}: nobody takes its body, for ever", self.id));
            }
            Err(ConversationError::Malformed(what)) => self.client.sim.fail(what),
        }
        self.uploading.set(false);
        self.client.peer.latch.notify();
    }

    async fn send_body(&self) -> Result<(), ConversationError> {
        let Client { peer, common, sim, .. } = &*self.client;
        if self.ask.expects {
            // RFC 9110 section 10.1.1: a client must not wait indefinitely for a 100.
            peer.latch.wait_until(sim, sim.now().after_ms(1_000), || self.go_on.get().then_some(())).await;
        }
        let end = match self.plan {
            Plan::LeavesSending(at) | Plan::StallsSending(at) => at,
            Plan::Whole | Plan::LeavesReading(_) | Plan::LeavesAfter(_) | Plan::StallsReading => self.ask.length,
        };
        let whole = end == self.ask.length && !matches!(self.plan, Plan::LeavesSending(_));
        // The end may come with the last bytes, or alone.
        let apart = self.ask.trailers || self.rng.borrow_mut().chance(300);
        let tag = Tag { exchange: self.id, attempt: 0 };
        let mut at = 0;
        while at < end {
            let count = (1 + self.rng.borrow_mut().below(PIECE_MAX)).min(end - at);
            let mut piece = vec![0; count as usize];
            tag.fill(at, &mut piece);
            let last = whole && !apart && at + count == end;
            peer.send(self.key, &piece, if last { Ending::Last } else { Ending::More }).await?;
            at += count;
            let told = common.ledger.borrow_mut().sent(self.id, at);
            self.client.held(told);
            self.dawdle().await;
        }
        if matches!(self.plan, Plan::LeavesSending(_)) {
            self.leave();
        }
        if !whole || !apart {
            return Ok(());
        }
        match self.ask.trailers && !peer.is_over(self.key) {
            // A stream that is over needs no trailers.
            true => peer
                .act(|machine| machine.send_trailers(self.key, message::trailers))
                .map_err(|_| ConversationError::Reset),
            false => peer.send(self.key, &[], Ending::Last).await,
        }
    }

    async fn leave_after(self: Rc<Self>, millis: u64) {
        let sim = &self.client.sim;
        sim.sleep_until(sim.now().after_ms(millis)).await;
        if !self.over.get() {
            self.leave();
        }
    }

    /// Cancels this stream, or closes the connection with all its streams.
    fn leave(&self) {
        let Client { peer, common, outstanding, closing, .. } = &*self.client;
        if self.over.get() {
            return;
        }
        let way = self.rng.borrow_mut().below(8);
        if way > 1 {
            common.ledger.borrow_mut().give_up(self.id);
            return peer.reset(self.key, if way == 2 { ErrorCode::NoError } else { ErrorCode::Cancel });
        }
        outstanding.borrow().iter().for_each(|id| common.ledger.borrow_mut().give_up(*id));
        closing.set(true);
        if way == 0 {
            peer.abort();
        } else {
            peer.finish();
            peer.stream.stop_reading();
        }
    }
}

/// Bytes of one piece of a body at most.
const PIECE_MAX: u64 = 12_000;
