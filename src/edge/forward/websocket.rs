// SPDX-License-Identifier: Apache-2.0
//! Hot. Carries a WebSocket between two ends, frame by frame as far as rules need it, and ends it in order.
//!
//! ```text
//! talk: bytes pass as they come ---- a farewell of ours stands between two frames ----.
//!        |                                                                            v
//!        '-- the sender's own farewell passed, or its end -----------------> listen: until the sender has said
//!                                                                             its last, too; then the end
//! ```
//! Each direction has its own scanner and writes only to its own sink; whatever one finds out that ends both, it leaves
//! in `farewell` and nudges the other. An incomplete header is never passed on, so that a frame of ours can always be
//! put behind what was.

use std::cell::Cell;
use std::io::ErrorKind;
use std::time::Duration;

use crate::base::{Buf, Fault, FaultKind, Tick};
use crate::config::plan::WebSocketPlan;
use crate::edge::exchange::context::Context;
use crate::edge::flow::relay::fitting;
use crate::edge::flow::stream::{Ending, Sink, Source, Stop};
use crate::edge::forward::destination::Destination;
use crate::edge::shard::state::Shard;
use crate::net::Net;
use crate::policy::limit::gcra::Meter;
use crate::wire::ws::frame::{Frame, HEADER_BYTES_MAX, Kind, Scanner, Sender, Step};
use crate::wire::ws::own::{self, Code, Mask};

/// How long an end may take to answer a farewell, and to end what the other end has ended.
const LEAVE_MS: u64 = 5_000;

/// Why the gateway ends a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// The gateway stops.
    Drain,
    /// It has lived long enough.
    Lifetime,
    /// Neither end said anything.
    Idle,
    /// This end does not answer.
    Silent(Sender),
    /// This end says too much.
    Rate(Sender),
    /// This end's message is too large.
    Size(Sender),
    /// This end's frames break a rule.
    Rule(Sender),
}

impl Farewell {
    /// What `to` hears: of what the other end did, only that it is over.
    fn words(self, to: Sender) -> (Code, &'static str) {
        match self {
            Farewell::Drain => (Code::GoingAway, "the gateway stops"),
            Farewell::Lifetime => (Code::GoingAway, "open for long enough"),
            Farewell::Idle => (Code::GoingAway, "silent for too long"),
            Farewell::Silent(end) if end == to => (Code::GoingAway, "no answer to a ping"),
            Farewell::Rate(end) if end == to => (Code::Policy, "too many messages"),
            Farewell::Size(end) if end == to => (Code::TooBig, "a message is too large"),
            Farewell::Rule(end) if end == to => (Code::Protocol, "a frame breaks a rule"),
            Farewell::Silent(_) | Farewell::Rate(_) | Farewell::Size(_) | Farewell::Rule(_) => {
                (Code::GoingAway, "the other end was closed")
            }
        }
    }

    /// The name in logs.
    const fn name(self) -> &'static str {
        match self {
            Farewell::Drain => "websocket_drained",
            Farewell::Lifetime => "websocket_lifetime",
            Farewell::Idle => "websocket_idle",
            Farewell::Silent(_) => "websocket_silent",
            Farewell::Rate(_) => "websocket_rate",
            Farewell::Size(_) => "websocket_message_too_large",
            Farewell::Rule(_) => "websocket_malformed",
        }
    }
}

/// What the two directions share.
pub(crate) struct Talk<'a, N: Net, A, B> {
    shard: &'a Shard<N>,
    plan: &'a WebSocketPlan,
    idle: Duration,
    /// How long a write to an end may take, by the end.
    write: [Duration; 2],
    over: Tick,
    stops: (&'a A, &'a B),
    failed: &'a Cell<bool>,
    farewell: Cell<Option<Farewell>>,
    /// When nothing more is waited for.
    leaves: Cell<Tick>,
    ends: [End; 2],
}

/// What is known of one end.
struct End {
    heard: Cell<Tick>,
    /// When it was asked for a sign of life and gave none since.
    asked: Cell<Tick>,
    /// Its farewell, or ours in its place, has passed.
    closed: Cell<bool>,
}

/// One direction's own state.
struct Passage {
    sender: Sender,
    scanner: Scanner,
    meter: Meter,
    /// What was passed on ends with a frame.
    between: bool,
    /// The sender's farewell is being passed on, or has come while we listen.
    leaving: bool,
    /// The sender has ended.
    ended: bool,
}

/// How much of what has come goes on, and how much was understood.
struct Passable {
    pass: usize,
    taken: usize,
}

const fn other(sender: Sender) -> Sender {
    match sender {
        Sender::Client => Sender::Server,
        Sender::Server => Sender::Client,
    }
}

impl<'a, N: Net, A: Stop, B: Stop> Talk<'a, N, A, B> {
    /// A WebSocket that was just opened. `stops` nudge those who read from the client and from the endpoint.
    pub(crate) fn new(
        context: Context<'a, N>,
        destination: &'a Destination<'a, N>,
        stops: (&'a A, &'a B),
        failed: &'a Cell<bool>,
    ) -> Talk<'a, N, A, B> {
        let now = context.shard.thread.net.now();
        let end = || End { heard: Cell::new(now), asked: Cell::new(Tick::NEVER), closed: Cell::new(false) };
        Talk {
            shard: context.shard,
            plan: &destination.proxy.websocket,
            idle: destination.proxy.tunnel_idle,
            write: [context.listener_plan().timeouts.write, destination.proxy.idle],
            over: destination.proxy.tunnel_lifetime.map_or(Tick::NEVER, |lifetime| now.after(lifetime)),
            stops,
            failed,
            farewell: Cell::new(None),
            leaves: Cell::new(Tick::NEVER),
            ends: [end(), end()],
        }
    }

    /// Why the gateway ended it, where it did, for the log.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.farewell.get().map(Farewell::name)
    }

    /// Carries what `sender` says, from `first` on, to the end of that direction.
    pub(crate) async fn carry(
        &self,
        sender: Sender,
        source: &mut impl Source,
        sink: &mut impl Sink,
        first: Buf,
        count: &Cell<u64>,
    ) -> Result<(), Fault> {
        let meter = self.plan.message_rate.map_or(Meter::EMPTY, |rate| Meter::full(&rate, self.shard.thread.net.now()));
        let scanner = Scanner::new(sender);
        let mut passage = Passage { sender, scanner, meter, between: true, leaving: false, ended: false };
        count.set(first.len() as u64);
        let buf = self.talk(&mut passage, source, sink, first, count).await?;
        let buf = self.listen(&mut passage, source, buf).await?;
        self.shard.thread.pool.put(buf);
        sink.finish();
        self.hurry();
        Ok(())
    }

    /// Passes on what comes, until nothing more may follow in this direction.
    async fn talk(
        &self,
        passage: &mut Passage,
        source: &mut impl Source,
        sink: &mut impl Sink,
        mut buf: Buf,
        count: &Cell<u64>,
    ) -> Result<Buf, Fault> {
        let receiver = other(passage.sender);
        let mut full = false;
        loop {
            let now = self.shard.thread.net.now();
            self.look_at_clock(now);
            let passable = self.judge(passage, buf.filled());
            buf = self.pass(sink, buf, passable, receiver).await?;
            if passage.leaving && passage.between {
                self.note_closed(passage.sender);
                return Ok(buf);
            }
            if passage.between {
                if let Some(farewell) = self.farewell.get() {
                    let (code, reason) = farewell.words(receiver);
                    self.say(sink, receiver, |out, mask| own::close(out, code, reason, mask)).await?;
                    self.note_closed(passage.sender);
                    return Ok(buf);
                }
                if now >= self.ask_at(receiver) {
                    self.say(sink, receiver, own::ping).await?;
                    self.end(receiver).asked.set(now);
                }
            }
            if now >= self.leaves.get() {
                return Ok(buf);
            }
            if buf.is_empty() {
                buf = fitting(&self.shard.thread.pool, buf, full);
            }
            let read;
            (read, buf) = self.read(passage, source, buf).await?;
            if passage.ended {
                self.leave_soon();
                self.hurry();
                return Ok(buf);
            }
            full = read > 0 && buf.spare() == 0;
            count.set(count.get() + read as u64);
        }
    }

    /// Drops what still comes, until the sender's farewell or end.
    async fn listen(&self, passage: &mut Passage, source: &mut impl Source, mut buf: Buf) -> Result<Buf, Fault> {
        let ours = !passage.leaving;
        loop {
            if self.leaves.get() == Tick::NEVER {
                // The other direction may wait for an end that answers no farewell, and is not told of a drain.
                self.look_at_clock(self.shard.thread.net.now());
            }
            let mut at = 0;
            while !passage.leaving || !passage.scanner.is_between_frames() {
                match passage.scanner.step(&buf.filled()[at..]) {
                    Ok(Step::Frame(frame)) => {
                        at += frame.header;
                        passage.leaving = frame.kind == Kind::Close;
                    }
                    Ok(Step::Payload(count)) => at += count,
                    // Behind a broken rule nothing can be understood: then it is the end that is waited for.
                    Ok(Step::Partial) | Err(_) => break,
                }
            }
            let said = ours && passage.leaving && passage.scanner.is_between_frames();
            if said || passage.ended || self.shard.thread.net.now() >= self.until(passage) {
                return Ok(buf);
            }
            buf.consume(at);
            if passage.leaving || buf.len() >= HEADER_BYTES_MAX {
                buf.reset(0);
            }
            (_, buf) = self.read(passage, source, self.roomy(buf)).await?;
        }
    }

    /// How much of `bytes` may go on. What breaks a rule ends the WebSocket, and does not.
    fn judge(&self, passage: &mut Passage, bytes: &[u8]) -> Passable {
        let mut at = 0;
        loop {
            let last = passage.between && (passage.leaving || self.farewell.get().is_some());
            if last {
                return Passable { pass: at, taken: at };
            }
            match passage.scanner.step(&bytes[at..]) {
                Ok(Step::Partial) => return Passable { pass: at, taken: at },
                Ok(Step::Payload(count)) => at += count,
                Ok(Step::Frame(frame)) => {
                    if let Some(farewell) = self.objection(passage, frame) {
                        self.say_farewell(farewell);
                        return Passable { pass: at, taken: at + frame.header };
                    }
                    passage.leaving = frame.kind == Kind::Close;
                    at += frame.header;
                }
                Err(_) => {
                    self.say_farewell(Farewell::Rule(passage.sender));
                    return Passable { pass: at, taken: at };
                }
            }
            passage.between = passage.scanner.is_between_frames();
        }
    }

    fn objection(&self, passage: &mut Passage, frame: Frame) -> Option<Farewell> {
        if !frame.kind.is_control() && frame.message > self.plan.message_bytes_max {
            return Some(Farewell::Size(passage.sender));
        }
        let counts = match frame.kind {
            Kind::Message | Kind::Ping | Kind::Pong | Kind::OtherControl => true,
            // Else a message that never ends would be a flood that nothing counts.
            Kind::Continuation => frame.payload == 0,
            Kind::Close => false,
        };
        let rate = self.plan.message_rate.filter(|_| counts && passage.sender == Sender::Client)?;
        let allowed = passage.meter.take(&rate, 1, self.shard.thread.net.now());
        (!allowed).then_some(Farewell::Rate(passage.sender))
    }

    /// Writes what may pass and keeps what was not understood yet.
    async fn pass(
        &self,
        sink: &mut impl Sink,
        mut buf: Buf,
        passable: Passable,
        receiver: Sender,
    ) -> Result<Buf, Fault> {
        let Passable { pass, taken } = passable;
        if pass == 0 {
            buf.consume(taken);
            return Ok(self.roomy(buf));
        }
        let mut rest = Buf::empty();
        if taken < buf.len() {
            rest = self.shard.thread.pool.take(buf.len());
            if !rest.append(&buf.filled()[taken..]) {
                // Above the largest class there is no pooled buffer; this one is freed after use.
                rest = Buf::copied(&buf.filled()[taken..]);
            }
            buf.truncate(pass);
        }
        let (written, mut returned) = sink.write(buf, Ending::More, self.write_until(receiver)).await;
        if rest.capacity() == 0 {
            returned.reset(0);
            rest = returned;
        } else {
            self.shard.thread.pool.put(returned);
        }
        written?;
        Ok(self.roomy(rest))
    }

    /// The same bytes with room for what completes a header.
    fn roomy(&self, buf: Buf) -> Buf {
        if buf.spare() >= HEADER_BYTES_MAX {
            return buf;
        }
        let mut roomy = self.shard.thread.pool.take(buf.len() + HEADER_BYTES_MAX);
        if !roomy.append(buf.filled()) || roomy.spare() < HEADER_BYTES_MAX {
            roomy = Buf::with_capacity(buf.len() + HEADER_BYTES_MAX);
            let copied = roomy.append(buf.filled());
            debug_assert!(copied, "it was made for them");
        }
        self.shard.thread.pool.put(buf);
        roomy
    }

    /// Reads more into `buf`; a wait that ends without anything gives zero bytes, as an end does besides its mark.
    async fn read(&self, passage: &mut Passage, source: &mut impl Source, buf: Buf) -> Result<(usize, Buf), Fault> {
        let (read, buf) = source.read_open(buf, self.until(passage)).await;
        match read {
            Ok(0) if self.failed.get() => Err(Fault::last(FaultKind::ClientClosed)),
            Ok(0) => {
                passage.ended = true;
                Ok((0, buf))
            }
            Ok(count) => {
                let end = self.end(passage.sender);
                end.heard.set(self.shard.thread.net.now());
                end.asked.set(Tick::NEVER);
                Ok((count, buf))
            }
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => Ok((0, buf)),
            // After the farewells nobody owes an end in order.
            Err(_) if self.leaves.get() != Tick::NEVER && !self.failed.get() => {
                passage.ended = true;
                Ok((0, buf))
            }
            Err(_) => Err(Fault::last(FaultKind::ClientClosed)),
        }
    }

    /// Says something of our own to `receiver`.
    async fn say(
        &self,
        sink: &mut impl Sink,
        receiver: Sender,
        make: impl FnOnce(&mut Vec<u8>, Mask),
    ) -> Result<(), Fault> {
        let mut out = Vec::with_capacity(own::FRAME_BYTES_MAX);
        make(&mut out, Mask::of(other(receiver), self.shard.thread.net.random()));
        let (written, _) = sink.write(Buf::copied(&out), Ending::More, self.write_until(receiver)).await;
        written
    }

    /// Finds out whether it is time to end.
    fn look_at_clock(&self, now: Tick) {
        let silent = |sender| self.silent_until(sender) <= now;
        let farewell = match now {
            _ if self.shard.thread.draining.is_raised() => Farewell::Drain,
            _ if now >= self.over => Farewell::Lifetime,
            _ if now >= self.last_heard().after(self.idle) => Farewell::Idle,
            _ if silent(Sender::Client) => Farewell::Silent(Sender::Client),
            _ if silent(Sender::Server) => Farewell::Silent(Sender::Server),
            _ => return,
        };
        self.say_farewell(farewell);
    }

    fn say_farewell(&self, farewell: Farewell) {
        if self.farewell.get().is_none() {
            self.farewell.set(Some(farewell));
            self.leave_soon();
            self.hurry();
        }
    }

    /// The last word of `sender`, or ours in its place, has gone out.
    fn note_closed(&self, sender: Sender) {
        self.end(sender).closed.set(true);
        if self.ends.iter().all(|end| end.closed.get()) {
            self.leave_soon();
            self.hurry();
        }
    }

    fn leave_soon(&self) {
        self.leaves.set(self.leaves.get().min(self.shard.thread.net.now().after_ms(LEAVE_MS)));
    }

    /// Makes both directions look up.
    fn hurry(&self) {
        self.stops.0.nudge();
        self.stops.1.nudge();
    }

    const fn end(&self, sender: Sender) -> &End {
        match sender {
            Sender::Client => &self.ends[0],
            Sender::Server => &self.ends[1],
        }
    }

    /// Silence in both directions counts, not in one.
    fn last_heard(&self) -> Tick {
        self.ends[0].heard.get().max(self.ends[1].heard.get())
    }

    /// When an end is to be asked for a sign of life.
    fn ask_at(&self, end: Sender) -> Tick {
        let asked = self.end(end).asked.get() != Tick::NEVER || self.end(other(end)).closed.get();
        self.plan.ping.filter(|_| !asked).map_or(Tick::NEVER, |wait| self.end(end).heard.get().after(wait))
    }

    /// When an end that was asked counts as dead.
    fn silent_until(&self, end: Sender) -> Tick {
        match (self.plan.ping, self.end(end).asked.get()) {
            (None, _) | (_, Tick::NEVER) => Tick::NEVER,
            (Some(wait), asked) => asked.after(wait),
        }
    }

    /// When a read looks up at the latest: at what it can do something about.
    fn until(&self, passage: &Passage) -> Tick {
        if self.farewell.get().is_some() {
            return self.leaves.get();
        }
        let idle = self.last_heard().after(self.idle).min(self.over).min(self.leaves.get());
        let asks = if passage.between { self.ask_at(other(passage.sender)) } else { Tick::NEVER };
        idle.min(asks).min(self.silent_until(Sender::Client)).min(self.silent_until(Sender::Server))
    }

    fn write_until(&self, receiver: Sender) -> Tick {
        let wait = match receiver {
            Sender::Client => self.write[0],
            Sender::Server => self.write[1],
        };
        self.shard.thread.net.now().after(wait)
    }
}
