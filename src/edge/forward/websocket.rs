// SPDX-License-Identifier: Apache-2.0
//! Hot. Relays a WebSocket between client and endpoint: parses frames as far as limits need it, sends pings, and closes
//! it in order.
//!
//! ```text
//! talk: bytes pass as they come ---- a farewell of ours stands between two frames ----.
//!        |                                                                            v
//!        '-- the sender's own farewell passed, or its end -----------------> listen: until the sender has said
//!                                                                             its last, too; then the end
//! ```
//! Each direction has its own scanner and writes only to its own sink. The direction that finds a reason to close
//! stores it in `close_reason` and nudges the other one. An incomplete frame header is never forwarded, so that the
//! gateway can insert a frame of its own at any time.

use std::cell::Cell;
use std::io::ErrorKind;
use std::time::Duration;

use crate::base::{Buf, Fault, FaultKind, Tick};
use crate::config::plan::MessageLimits;
use crate::edge::exchange::context::Context;
use crate::edge::exchange::switched::TunnelLimits;
use crate::edge::flow::relay::fitting;
use crate::edge::flow::stream::{BodySink, BodySource, Ending, Stop};
use crate::edge::flow::throttle::Slows;
use crate::edge::forward::close_reason::CloseReason;
use crate::edge::forward::slowed::Slowed;
use crate::edge::shard::state::Shard;
use crate::net::Net;
use crate::policy::limit::gcra::Meter;
use crate::wire::ws::frame::{Extensions, Frame, HEADER_BYTES_MAX, Kind, ScanStep, Scanner, Sender};
use crate::wire::ws::own::{self, Mask};

/// How long an end may take to answer a close frame, and to end what the other end has ended.
const LEAVE_MS: u64 = 5_000;
/// How long after a tunnel's lifetime a write to one of its ends may take.
const LAST_WRITE_MS: u64 = 5_000;

/// What the two directions share.
pub(crate) struct WebSocketRelay<'a, N: Net, A, B> {
    shard: &'a Shard<N>,
    messages: MessageLimits,
    extensions: Extensions,
    idle: Duration,
    over: Tick,
    stops: (&'a A, &'a B),
    failed: &'a Cell<bool>,
    close_reason: Cell<Option<CloseReason>>,
    /// When nothing more is waited for.
    close_deadline: Cell<Tick>,
    ends: [End; 2],
    /// What keeps the client's bytes, and the endpoint's, to rates that others share.
    slowed: Rates<'a, N>,
}

/// The shared rates of what comes from the client, and of what comes from the endpoint.
pub(crate) type Rates<'a, N> = [Option<Box<Slowed<'a, N>>>; 2];

/// What is known of one end.
struct End {
    heard: Cell<Tick>,
    /// When it was sent a ping and has not answered since; later, where writes to it took time behind the ping.
    asked: Cell<Tick>,
    /// A write to it is under way. Its pace is watched then, and it cannot answer a ping that waits behind the write.
    writing: Cell<bool>,
    /// Its close frame, or the gateway's instead, was sent.
    closed: Cell<bool>,
}

/// One direction's own state.
struct Direction {
    sender: Sender,
    scanner: Scanner,
    meter: Meter,
    /// What was passed on ends with a frame.
    between: bool,
    /// The sender's close frame is being forwarded, or has arrived after the gateway sent its own.
    closing: bool,
    /// The sender has ended.
    ended: bool,
}

/// How many received bytes may be forwarded, and how many were parsed.
struct Passable {
    pass: usize,
    taken: usize,
}

const fn place(sender: Sender) -> usize {
    match sender {
        Sender::Client => 0,
        Sender::Server => 1,
    }
}

const fn other(sender: Sender) -> Sender {
    match sender {
        Sender::Client => Sender::Server,
        Sender::Server => Sender::Client,
    }
}

impl<'a, N: Net, A: Stop, B: Stop> WebSocketRelay<'a, N, A, B> {
    /// A WebSocket that was just opened. `stops` nudge those who read from the client and from the endpoint.
    pub(crate) fn new(
        context: Context<'a, N>,
        (limits, extensions): (&TunnelLimits, Extensions),
        stops: (&'a A, &'a B),
        failed: &'a Cell<bool>,
        slowed: Rates<'a, N>,
    ) -> WebSocketRelay<'a, N, A, B> {
        let now = context.shard.thread.net.now();
        let end = || End {
            heard: Cell::new(now),
            asked: Cell::new(Tick::NEVER),
            writing: Cell::new(false),
            closed: Cell::new(false),
        };
        WebSocketRelay {
            shard: context.shard,
            messages: limits.messages,
            extensions,
            idle: limits.idle,
            over: limits.lifetime.map_or(Tick::NEVER, |lifetime| now.after(lifetime)),
            stops,
            failed,
            close_reason: Cell::new(None),
            close_deadline: Cell::new(Tick::NEVER),
            ends: [end(), end()],
            slowed,
        }
    }

    /// Why the gateway ended it, where it did, for the log.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.close_reason.get().map(CloseReason::name)
    }

    /// Relays the frames of `sender`, beginning with the bytes in `first`, until that direction ends.
    pub(crate) async fn carry(
        &self,
        sender: Sender,
        source: &mut impl BodySource,
        sink: &mut impl BodySink,
        first: Buf,
        count: &Cell<u64>,
    ) -> Result<(), Fault> {
        let meter = self.messages.rate.map_or(Meter::EMPTY, |rate| Meter::full(&rate, self.shard.thread.net.now()));
        let scanner = Scanner::new(sender, self.extensions);
        let mut passage = Direction { sender, scanner, meter, between: true, closing: false, ended: false };
        count.set(first.len() as u64);
        if let Some(slowed) = &self.slowed[place(sender)] {
            slowed.pass(first.len() as u64, self.over).await;
        }
        let buf = self.talk(&mut passage, source, sink, first, count).await?;
        let buf = self.listen(&mut passage, source, buf).await?;
        self.shard.thread.pool.put(buf);
        sink.finish();
        self.hurry();
        Ok(())
    }

    /// Relays frames until nothing more may follow in this direction.
    async fn talk(
        &self,
        passage: &mut Direction,
        source: &mut impl BodySource,
        sink: &mut impl BodySink,
        mut buf: Buf,
        count: &Cell<u64>,
    ) -> Result<Buf, Fault> {
        let receiver = other(passage.sender);
        let mut full = false;
        loop {
            let now = self.shard.thread.net.now();
            self.look_at_clock(now);
            let passable = self.judge(passage, buf.filled());
            buf = self.pass(sink, receiver, buf, passable).await?;
            if passage.closing && passage.between {
                self.note_closed(passage.sender);
                return Ok(buf);
            }
            if passage.between {
                if let Some(close_reason) = self.close_reason.get() {
                    let (code, reason) = close_reason.close_frame(receiver);
                    self.say(sink, receiver, |out, mask| own::close(out, code, reason, mask)).await?;
                    self.note_closed(passage.sender);
                    return Ok(buf);
                }
                if now >= self.ask_at(receiver) {
                    self.say(sink, receiver, own::ping).await?;
                    self.end(receiver).asked.set(self.shard.thread.net.now());
                }
            }
            if now >= self.close_deadline.get() {
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
            if let Some(slowed) = &self.slowed[place(passage.sender)] {
                full &= buf.capacity() < slowed.buffer_bytes();
                // tidy(hot): only where a key shares a rate; no other tunnel should be larger for it.
                Box::pin(slowed.pass(read as u64, self.over)).await;
            }
        }
    }

    /// Drops received bytes until the sender's close frame or end.
    async fn listen(&self, passage: &mut Direction, source: &mut impl BodySource, mut buf: Buf) -> Result<Buf, Fault> {
        let ours = !passage.closing;
        loop {
            if self.close_deadline.get() == Tick::NEVER {
                // The other direction may wait for an end that never answers a close frame.
                self.look_at_clock(self.shard.thread.net.now());
            }
            let mut at = 0;
            while !passage.closing || !passage.scanner.is_between_frames() {
                match passage.scanner.step(&buf.filled()[at..]) {
                    Ok(ScanStep::Frame(frame)) => {
                        at += frame.header;
                        passage.closing = frame.kind == Kind::Close;
                    }
                    Ok(ScanStep::Payload(count)) => at += count,
                    // After a protocol error no frame can be parsed, so this only waits for the end.
                    Ok(ScanStep::Partial) | Err(_) => break,
                }
            }
            let said = ours && passage.closing && passage.scanner.is_between_frames();
            if said || passage.ended || self.shard.thread.net.now() >= self.until(passage) {
                return Ok(buf);
            }
            buf.consume(at);
            if passage.closing || buf.len() >= HEADER_BYTES_MAX {
                buf.reset(0);
            }
            (_, buf) = self.read(passage, source, self.roomy(buf)).await?;
        }
    }

    /// How much of `bytes` may be forwarded. A frame that breaks a rule closes the WebSocket and is not forwarded.
    fn judge(&self, passage: &mut Direction, bytes: &[u8]) -> Passable {
        let mut at = 0;
        loop {
            let last = passage.between && (passage.closing || self.close_reason.get().is_some());
            if last {
                return Passable { pass: at, taken: at };
            }
            match passage.scanner.step(&bytes[at..]) {
                Ok(ScanStep::Partial) => return Passable { pass: at, taken: at },
                Ok(ScanStep::Payload(count)) => at += count,
                Ok(ScanStep::Frame(frame)) => {
                    if let Some(close_reason) = self.violation(passage, frame) {
                        self.close_with(close_reason);
                        return Passable { pass: at, taken: at + frame.header };
                    }
                    passage.closing = frame.kind == Kind::Close;
                    at += frame.header;
                }
                Err(_) => {
                    self.close_with(CloseReason::Rule(passage.sender));
                    return Passable { pass: at, taken: at };
                }
            }
            passage.between = passage.scanner.is_between_frames();
        }
    }

    fn violation(&self, passage: &mut Direction, frame: Frame) -> Option<CloseReason> {
        if !frame.kind.is_control() && frame.message > self.messages.bytes_max {
            return Some(CloseReason::Size(passage.sender));
        }
        let counts = match frame.kind {
            Kind::Message | Kind::Ping | Kind::Pong | Kind::OtherControl => true,
            // Otherwise a message without an end would be a flood that no limit counts.
            Kind::Continuation => frame.payload == 0,
            Kind::Close => false,
        };
        let rate = self.messages.rate.filter(|_| counts && passage.sender == Sender::Client)?;
        let allowed = passage.meter.take(&rate, 1, self.shard.thread.net.now());
        (!allowed).then_some(CloseReason::Rate(passage.sender))
    }

    /// Writes what may pass and keeps what was not understood yet.
    async fn pass(
        &self,
        sink: &mut impl BodySink,
        receiver: Sender,
        mut buf: Buf,
        passable: Passable,
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
        let (written, mut returned) = self.write(sink, receiver, buf).await;
        if rest.capacity() == 0 {
            returned.reset(0);
            rest = returned;
        } else {
            self.shard.thread.pool.put(returned);
        }
        written?;
        Ok(self.roomy(rest))
    }

    /// The same bytes in a buffer with room for the rest of a header.
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
    async fn read(
        &self,
        passage: &mut Direction,
        source: &mut impl BodySource,
        buf: Buf,
    ) -> Result<(usize, Buf), Fault> {
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
            // After the close frames nobody owes an end in order.
            Err(_) if self.close_deadline.get() != Tick::NEVER && !self.failed.get() => {
                passage.ended = true;
                Ok((0, buf))
            }
            Err(_) => Err(Fault::last(FaultKind::ClientClosed)),
        }
    }

    /// Says something of our own to `receiver`.
    async fn say(
        &self,
        sink: &mut impl BodySink,
        receiver: Sender,
        make: impl FnOnce(&mut Vec<u8>, Mask),
    ) -> Result<(), Fault> {
        let mut out = Vec::with_capacity(own::FRAME_BYTES_MAX);
        make(&mut out, Mask::of(other(receiver), self.shard.thread.net.random()));
        self.write(sink, receiver, Buf::copied(&out)).await.0
    }

    /// Sends bytes to `receiver`.
    async fn write(&self, sink: &mut impl BodySink, receiver: Sender, buf: Buf) -> (Result<(), Fault>, Buf) {
        let end = self.end(receiver);
        end.writing.set(true);
        let (written, buf) = sink.write(buf, Ending::More, self.write_until()).await;
        end.writing.set(false);
        if end.asked.get() != Tick::NEVER {
            end.asked.set(self.shard.thread.net.now());
        }
        (written, buf)
    }

    /// Finds out whether it is time to end.
    fn look_at_clock(&self, now: Tick) {
        let silent = |sender| self.silent_until(sender) <= now;
        let close_reason = match now {
            _ if self.shard.thread.draining.is_raised() => CloseReason::Drain,
            _ if now >= self.over => CloseReason::Lifetime,
            _ if now >= self.last_heard().after(self.idle) => CloseReason::Idle,
            _ if silent(Sender::Client) => CloseReason::Silent(Sender::Client),
            _ if silent(Sender::Server) => CloseReason::Silent(Sender::Server),
            _ => return,
        };
        self.close_with(close_reason);
    }

    fn close_with(&self, close_reason: CloseReason) {
        if self.close_reason.get().is_none() {
            self.close_reason.set(Some(close_reason));
            self.leave_soon();
            self.hurry();
        }
    }

    /// The close frame of `sender`, or the gateway's instead, has been sent.
    fn note_closed(&self, sender: Sender) {
        self.end(sender).closed.set(true);
        if self.ends.iter().all(|end| end.closed.get()) {
            self.leave_soon();
            self.hurry();
        }
    }

    fn leave_soon(&self) {
        self.close_deadline.set(self.close_deadline.get().min(self.shard.thread.net.now().after_ms(LEAVE_MS)));
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

    /// When an end is to be sent a ping.
    fn ask_at(&self, end: Sender) -> Tick {
        let asked = self.end(end).asked.get() != Tick::NEVER || self.end(other(end)).closed.get();
        self.messages.ping.filter(|_| !asked).map_or(Tick::NEVER, |wait| self.end(end).heard.get().after(wait))
    }

    /// When an end that was asked counts as dead.
    fn silent_until(&self, end: Sender) -> Tick {
        let end = self.end(end);
        match (self.messages.ping, end.asked.get()) {
            _ if end.writing.get() => Tick::NEVER,
            (None, _) | (_, Tick::NEVER) => Tick::NEVER,
            (Some(wait), asked) => asked.after(wait),
        }
    }

    /// The next time at which the reading task has something to check.
    fn until(&self, passage: &Direction) -> Tick {
        if self.close_reason.get().is_some() {
            return self.close_deadline.get();
        }
        let idle = self.last_heard().after(self.idle).min(self.over).min(self.close_deadline.get());
        let asks = if passage.between { self.ask_at(other(passage.sender)) } else { Tick::NEVER };
        idle.min(asks).min(self.silent_until(Sender::Client)).min(self.silent_until(Sender::Server))
    }

    /// By when a write must be done, whatever the pace: a peer that drips may outlast its lifetime by this.
    fn write_until(&self) -> Tick {
        match self.over {
            Tick::NEVER => Tick::NEVER,
            over => over.max(self.shard.thread.net.now()).after_ms(LAST_WRITE_MS),
        }
    }
}
