// SPDX-License-Identifier: Apache-2.0
//! An HTTP/1.1 client: opens connections, sends requests (sometimes pipelined) and checks every byte of every response.
//!
//! Each connection has a writing and a reading task, so that an upload and a response can run at the same time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::Rng;
use crate::net::sim::Latch;
use crate::net::sim::{Sim, SimStream};
use crate::net::{Net, Stream};
use crate::sim::body::{self, Outgoing};
use crate::sim::coded::Content;
use crate::sim::common::Common;
use crate::sim::grpc;
use crate::sim::h2;
use crate::sim::ledger::{Outcome, PlannedRequest};
use crate::sim::message_io::{ConversationError, Framing, Head, HttpReader, HttpWriter};
use crate::sim::request::{HopField, head};
use crate::sim::spoken::HttpVersion;
use crate::sim::tag::{Check, Tag};
use crate::sim::websocket;

/// Runs one client to its end.
pub(super) async fn run(common: Rc<Common>, sim: Sim, spoken: HttpVersion, mut rng: Rng) {
    for _ in 0..common.scenario.connections {
        sim.sleep_until(sim.now().after_ms(rng.below(2_000))).await;
        let until = sim.now().after(common.scenario.patience());
        let to = match spoken {
            HttpVersion::One => &common.gateway,
            HttpVersion::Two => &common.gateway_two,
        };
        match (sim.connect(to, until).await, spoken) {
            (Ok(stream), HttpVersion::One) if rng.chance(common.scenario.talks) => {
                websocket::client::one(&common, &sim, Rc::new(stream), &mut rng).await;
            }
            (Ok(stream), HttpVersion::One) if !common.scenario.direct && rng.chance(common.scenario.calls) => {
                grpc::client::one(&common, &sim, Rc::new(stream), &mut rng).await;
            }
            (Ok(stream), HttpVersion::One) => connection(&common, &sim, Rc::new(stream), &mut rng).await,
            (Ok(stream), HttpVersion::Two) => h2::client::connection(&common, &sim, Rc::new(stream), &mut rng).await,
            (Err(error), _) if common.demands.all_answered && !common.drains() => {
                sim.fail(format!("a client could not connect: {error}"));
            }
            (Err(_), _) => {}
        }
    }
}

/// What the two tasks of one connection share.
struct Shared {
    common: Rc<Common>,
    sim: Sim,
    /// Asked and not yet answered, in order.
    outstanding: RefCell<VecDeque<u64>>,
    latch: Latch,
    /// The exchange for which a 100, a 101 or a final response has arrived.
    go_on: Cell<u64>,
    /// No more requests.
    closing: Cell<bool>,
    writer_done: Cell<bool>,
}

impl Shared {
    /// Records an event; fails the run where it breaks a rule of the ledger.
    fn held<T>(&self, result: Result<T, String>) -> Option<T> {
        result.map_err(|broken| self.sim.fail(broken)).ok()
    }
}

async fn connection(common: &Rc<Common>, sim: &Sim, stream: Rc<SimStream>, rng: &mut Rng) {
    let scenario = &common.scenario;
    let shared = Rc::new(Shared {
        common: common.clone(),
        sim: sim.clone(),
        outstanding: RefCell::default(),
        latch: Latch::default(),
        go_on: Cell::new(0),
        closing: Cell::new(false),
        writer_done: Cell::new(false),
    });
    let speak = HttpWriter::new(sim, stream.clone(), scenario.pace(rng), scenario.patience());
    let listen = HttpReader::new(sim, stream.clone(), scenario.pace(rng), scenario.patience());
    let writer = Writer { shared: shared.clone(), speak, rng: Rng::new(rng.next_u64()) };
    sim.spawn(writer.run());
    let mut reader = Reader { shared: shared.clone(), listen, rng: Rng::new(rng.next_u64()) };
    reader.run(&stream).await;
    shared.closing.set(true);
    shared.latch.notify();
    let left = shared.outstanding.take();
    for id in left {
        // These requests get no response: the connection is closed.
        shared.held(common.ledger.borrow_mut().end(id, reader.rest_is()));
    }
    if !shared.writer_done.get() {
        // This wakes a writer that is blocked, so that it sees that the peer no longer reads.
        stream.abort();
        shared.latch.wait(|| shared.writer_done.get().then_some(())).await;
    }
}

/// Which of a client's requests one is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Earlier,
    Last,
}

struct Writer {
    shared: Rc<Shared>,
    speak: HttpWriter,
    rng: Rng,
}

impl Writer {
    async fn run(mut self) {
        let count = 1 + self.rng.below(self.shared.common.scenario.requests);
        for number in 1..=count {
            let depth = self.shared.common.scenario.depth;
            let shared = self.shared.clone();
            let room = || (shared.outstanding.borrow().len() < depth || shared.closing.get()).then_some(());
            shared.latch.wait(room).await;
            if shared.closing.get() {
                break;
            }
            let ask = self.draw(if number == count { Turn::Last } else { Turn::Earlier });
            let ends = ask.upgrades || ask.last;
            let id = shared.common.ledger.borrow_mut().begin(ask.clone());
            shared.outstanding.borrow_mut().push_back(id);
            shared.latch.notify();
            if self.rng.chance(shared.common.scenario.stalls) {
                self.stall(id, &ask).await;
                break;
            }
            let leaves = self.rng.chance(shared.common.scenario.leaves);
            let leaves_at = leaves.then(|| self.rng.below(ask.length + 1));
            let asked = self.ask(id, &ask, leaves_at).await;
            if leaves {
                self.leave();
            }
            if asked.is_err() || leaves || ends {
                break;
            }
            if number == count && !shared.common.demands.all_answered && self.rng.chance(100) {
                // The client shuts down its writing side and goes on reading. The gateway may treat that as a
                // disconnect, but must not send a response that looks complete and is not.
                self.speak.stream().finish();
            }
        }
        self.shared.writer_done.set(true);
        self.shared.latch.notify();
    }

    fn draw(&mut self, turn: Turn) -> PlannedRequest {
        let rng = &mut self.rng;
        let scenario = &self.shared.common.scenario;
        let method = ["GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS"][rng.below(8) as usize];
        let with_body = matches!(method, "POST" | "PUT") || (method == "DELETE" && rng.chance(300));
        let to = if rng.chance(500) && !scenario.direct { HttpVersion::Two } else { HttpVersion::One };
        let upgrades = method == "GET" && to == HttpVersion::One && rng.chance(50);
        let old = rng.chance(60) && !upgrades && !scenario.direct;
        // A POST is not idempotent, even without content.
        let bare = with_body && rng.chance(300);
        let length = if (with_body && !bare) || upgrades { 1 + rng.below(scenario.body_max) } else { 0 };
        let framing = match (with_body && !bare, old || rng.chance(500)) {
            (false, _) if bare => Framing::Length(0),
            (false, _) => Framing::Empty,
            (true, true) => Framing::Length(length),
            (true, false) => Framing::Chunked,
        };
        let expects = with_body && !bare && !old && rng.chance(200);
        let last = old || (!upgrades && ((turn == Turn::Last && rng.chance(500)) || rng.chance(30)));
        let trailers = framing == Framing::Chunked && rng.chance(200);
        // A draining gateway closes idle connections, and a request may be on its way at that moment.
        let entitled = !scenario.drains_early;
        let accepts_gzip = rng.chance(600);
        PlannedRequest {
            by: HttpVersion::One,
            to,
            method,
            length,
            framing,
            old,
            expects,
            upgrades,
            last,
            trailers,
            accepts_gzip,
            entitled,
        }
    }

    /// Sends one request. A client that disconnects half-way sends `leaves_at` bytes of the body.
    async fn ask(&mut self, id: u64, ask: &PlannedRequest, leaves_at: Option<u64>) -> Result<(), ConversationError> {
        let hops = !self.shared.common.scenario.direct && self.rng.chance(200);
        let hop = if hops { HopField::Present } else { HopField::Absent };
        let mut head = head(id, ask, hop).into_bytes();
        if ask.framing == Framing::Length(ask.length) && ask.length < 4_000 && leaves_at.is_none() && !ask.expects {
            // One write, so that the gateway reads head and body together.
            let from = head.len();
            head.resize(from + ask.length as usize, 0);
            Tag { exchange: id, attempt: 0 }.fill(0, &mut head[from..]);
            self.speak.say(&head).await?;
            let told = self.shared.common.ledger.borrow_mut().sent(id, ask.length);
            self.shared.held(told);
            return Ok(());
        }
        self.speak.say(&head).await?;
        if ask.upgrades || ask.expects {
            // RFC 9110 section 10.1.1: a client must not wait indefinitely for a 100.
            let sim = self.shared.sim.clone();
            let wait = if ask.upgrades { self.shared.common.scenario.patience().as_secs() } else { 1 };
            let until = sim.now().after_ms(wait * 1_000);
            let shared = self.shared.clone();
            let told = || (shared.go_on.get() == id || shared.closing.get()).then_some(());
            shared.latch.wait_until(&sim, until, told).await;
        }
        if ask.upgrades && (self.shared.closing.get() || !self.shared.common.tunnels.borrow().contains(&id)) {
            return Ok(());
        }
        let framing = if ask.upgrades { Framing::Close } else { ask.framing };
        let end = leaves_at.unwrap_or(ask.length);
        let tag = Tag { exchange: id, attempt: 0 };
        let (shared, mut rng) = (self.shared.clone(), Rng::new(self.rng.next_u64()));
        let mut sent = |bytes| {
            let told = shared.common.ledger.borrow_mut().sent(id, bytes);
            shared.held(told);
        };
        let piece = Outgoing { tag, length: ask.length, end, framing, trailers: ask.trailers };
        body::send(&mut self.speak, &piece, &mut rng, &mut sent).await?;
        if ask.upgrades && leaves_at.is_none() {
            self.speak.stream().finish();
        }
        Ok(())
    }

    /// Sends the beginning of a request and then nothing: the gateway must time out.
    async fn stall(&mut self, id: u64, ask: &PlannedRequest) {
        let head = head(id, ask, HopField::Absent);
        // Includes the whole head only where a body would follow; otherwise the request would be complete.
        let most = head.len() as u64 - u64::from(ask.length == 0 || ask.upgrades);
        let begun = 1 + self.rng.below(most) as usize;
        if self.speak.say(&head.as_bytes()[..begun]).await.is_ok() {
            let shared = self.shared.clone();
            // An origin may respond without reading the body, which never arrives.
            let over = || shared.closing.get() || !shared.outstanding.borrow().contains(&id);
            shared.latch.wait(|| over().then_some(())).await;
        }
    }

    /// Disconnects: by closing, by a half-close or by a reset.
    fn leave(&mut self) {
        for id in self.shared.outstanding.borrow().iter() {
            self.shared.common.ledger.borrow_mut().give_up(*id);
        }
        self.shared.closing.set(true);
        let stream = self.speak.stream();
        if self.rng.chance(500) {
            stream.abort();
        } else {
            stream.finish();
            stream.stop_reading();
        }
    }
}

struct Reader {
    shared: Rc<Shared>,
    listen: HttpReader,
    rng: Rng,
}

/// Content that is to be taken.
struct Part {
    /// The exchange.
    id: u64,
    /// The origin's attempt.
    number: u32,
    framing: Framing,
    /// Where the client goes away.
    leaves_at: u64,
}

/// What the connection may be used for after a response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Next,
    Ends,
    Broken,
}

impl Reader {
    /// How requests without a response ended.
    fn rest_is(&self) -> Outcome {
        if self.shared.go_on.get() == ANNOUNCED { Outcome::Unserved } else { Outcome::Broken }
    }

    async fn run(&mut self, stream: &SimStream) {
        loop {
            let shared = self.shared.clone();
            let next = || match shared.outstanding.borrow().front() {
                Some(id) => Some(Some(*id)),
                None if shared.writer_done.get() => Some(None),
                None => None,
            };
            let Some(id) = shared.latch.wait(next).await else { break };
            match self.answer(id).await {
                Ok(After::Next) => {}
                Ok(After::Broken) => return,
                Ok(After::Ends) => {
                    self.shared.go_on.set(ANNOUNCED);
                    self.shared.closing.set(true);
                    self.shared.latch.notify();
                    return self.expect_end().await;
                }
                Err(trouble) => return self.report(id, trouble),
            }
        }
        let lingers = self.rng.chance(self.shared.common.scenario.lingers);
        if lingers && !self.shared.closing.get() {
            // The gateway must close an idle connection.
            self.expect_end().await;
        } else if self.rng.chance(200) {
            stream.finish();
            self.expect_end().await;
        }
    }

    /// Nothing more may come but the end.
    async fn expect_end(&mut self) {
        loop {
            match self.listen.more().await {
                Ok(false) | Err(ConversationError::Reset) => break,
                Ok(true) => {}
                Err(trouble) => return self.report(0, trouble),
            }
        }
        let behind = String::from_utf8_lossy(self.listen.behind()).into_owned();
        if !behind.is_empty() {
            self.shared.sim.fail(format!("bytes that nobody asked for: {behind:?}"));
        }
    }

    fn report(&self, id: u64, trouble: ConversationError) {
        match trouble {
            ConversationError::Cut | ConversationError::Reset | ConversationError::Enough => {}
            ConversationError::Late => {
                self.shared.sim.fail(format!("exchange {id}: the gateway let its client wait for ever"))
            }
            ConversationError::Malformed(what) => {
                self.shared.sim.fail(format!("exchange {id}: the gateway sent {what}"))
            }
        }
    }

    /// Reads the response to the first outstanding request.
    async fn answer(&mut self, id: u64) -> Result<After, ConversationError> {
        let ask = self.shared.held(self.shared.common.ledger.borrow().ask(id)).ok_or(ConversationError::Enough)?;
        let head = loop {
            let Some(head) = self.listen.head().await? else { return Ok(After::Broken) };
            let status = status(&head)?;
            match status {
                101 if ask.upgrades => return self.tunnel(id, &head).await,
                100..=199 => self.interim(id, &head, &ask)?,
                _ => break head,
            }
        };
        let status = status(&head)?;
        // A 408 is sent before the whole head was read, so its sender may not know that the method is HEAD.
        let unread = status == 408 && head.value("x-exchange")?.is_none();
        let bare = (ask.method == "HEAD" && !unread) || status == 204 || status == 304;
        let framing = if bare { Framing::Empty } else { head.framing(Framing::Close)? };
        if ask.old && framing == Framing::Chunked {
            return Err(ConversationError::Malformed("a chunked answer for an HTTP/1.0 client".to_owned()));
        }
        self.shared.go_on.set(id);
        self.shared.latch.notify();
        match head.number("x-exchange")? {
            Some(other) if other != id => {
                return Err(ConversationError::Malformed(format!("the answer of exchange {other}")));
            }
            Some(_) => self.passed_on(id, &head, (!bare).then_some(framing)).await?,
            None => {
                self.listen.body(framing, &mut |_| Ok(())).await?;
                self.shared.held(self.shared.common.ledger.borrow_mut().end(id, Outcome::Refused(status)));
            }
        }
        self.shared.outstanding.borrow_mut().pop_front();
        self.shared.latch.notify();
        let last = head.connection_says("close") || ask.old || ask.last || framing == Framing::Close;
        Ok(if last { After::Ends } else { After::Next })
    }

    fn interim(&self, id: u64, head: &Head, ask: &PlannedRequest) -> Result<(), ConversationError> {
        if ask.old {
            return Err(ConversationError::Malformed("an interim answer for an HTTP/1.0 client".to_owned()));
        }
        if head.number("x-exchange")?.is_some_and(|other| other != id) {
            return Err(ConversationError::Malformed(format!("an interim answer of another exchange: {head:?}")));
        }
        self.shared.go_on.set(id);
        self.shared.latch.notify();
        Ok(())
    }

    /// A response from an origin. `framing` is none where the response has no body whatever its fields say.
    async fn passed_on(&mut self, id: u64, head: &Head, framed: Option<Framing>) -> Result<(), ConversationError> {
        let framing = framed.unwrap_or(Framing::Empty);
        let common = self.shared.common.clone();
        if head.value("x-hop")?.is_some() {
            return Err(ConversationError::Malformed("a field that concerned another connection".to_owned()));
        }
        let number = head.number("x-attempt")?.unwrap_or(0) as u32;
        let told = common.ledger.borrow_mut().answering(id, number, status(head)?);
        let reply = self.shared.held(told).ok_or(ConversationError::Enough)?;
        let ask = self.shared.held(common.ledger.borrow().ask(id)).ok_or(ConversationError::Enough)?;
        let content = Content::of(head, &ask, Some(reply))?;
        let leaves = self.rng.chance(common.scenario.leaves);
        let leaves_at = if leaves { self.rng.below(reply.length + 1) } else { u64::MAX };
        let part = Part { id, number, framing, leaves_at };
        let trailers = self.take(part, framed.is_some().then_some(content)).await?;
        if reply.trailers && framing == Framing::Chunked && reply.framing == Framing::Chunked && trailers.is_empty() {
            return Err(ConversationError::Malformed("a chunked answer without its trailers".to_owned()));
        }
        let done = match framed {
            None => common.ledger.borrow_mut().end(id, Outcome::Answered(reply.status)),
            Some(framing) => common.ledger.borrow_mut().complete(id, number, framing),
        };
        self.shared.held(done);
        Ok(())
    }

    /// Takes content to its end, out of its coding where `content` knows one.
    async fn take(
        &mut self,
        part: Part,
        mut content: Option<Content>,
    ) -> Result<Vec<(String, String)>, ConversationError> {
        let shared = self.shared.clone();
        let Part { id, number, framing, leaves_at } = part;
        let mut check = Check::new(Tag { exchange: id, attempt: number });
        let mut take = |bytes: &[u8]| {
            check.take(bytes).map_err(ConversationError::Malformed)?;
            shared.held(shared.common.ledger.borrow_mut().delivered(id, bytes.len() as u64));
            if check.seen() < leaves_at {
                return Ok(());
            }
            shared.outstanding.borrow().iter().for_each(|id| shared.common.ledger.borrow_mut().give_up(*id));
            Err(ConversationError::Enough)
        };
        let mut decode = |bytes: &[u8]| match &mut content {
            Some(content) => content.take(bytes, &mut take),
            None => take(bytes),
        };
        let trailers = self.listen.body(framing, &mut decode).await?;
        if let Some(content) = content
            && content.finish()?
        {
            self.shared.held(self.shared.common.ledger.borrow_mut().coded(id));
        }
        Ok(trailers)
    }

    /// After a 101: bytes both ways until both have ended.
    async fn tunnel(&mut self, id: u64, head: &Head) -> Result<After, ConversationError> {
        let common = self.shared.common.clone();
        let number = head.number("x-attempt")?.unwrap_or(0) as u32;
        let told = common.ledger.borrow_mut().answering(id, number, 101);
        self.shared.held(told).ok_or(ConversationError::Enough)?;
        common.tunnels.borrow_mut().insert(id);
        self.shared.go_on.set(id);
        self.shared.latch.notify();
        self.take(Part { id, number, framing: Framing::Close, leaves_at: u64::MAX }, None).await?;
        if common.demands.all_answered {
            self.shared.held(common.ledger.borrow_mut().complete(id, number, Framing::Close));
        } else {
            self.shared.held(common.ledger.borrow_mut().end(id, Outcome::Answered(101)));
        }
        self.shared.outstanding.borrow_mut().pop_front();
        // The other direction may still be on its way.
        let shared = self.shared.clone();
        shared.latch.wait(|| shared.writer_done.get().then_some(())).await;
        Ok(After::Broken)
    }
}

/// In `go_on`: a response said `Connection: close`, so later requests on this connection are not served.
const ANNOUNCED: u64 = u64::MAX;

fn status(head: &Head) -> Result<u16, ConversationError> {
    let mut words = head.start.splitn(3, ' ');
    let version = words.next() == Some("HTTP/1.1");
    let status = words.next().filter(|word| version && word.len() == 3).and_then(|word| word.parse().ok());
    status.ok_or_else(|| ConversationError::Malformed(format!("the status line {:?}", head.start)))
}
