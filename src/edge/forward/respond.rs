// SPDX-License-Identifier: Apache-2.0
//! Hot. Reads an upstream's response and sends it to the client: interim heads, the changed head, the body.
//!
//! Until the final head is sent to the client, a failure is a fault that may be retried. After that a failure aborts
//! the connection, so that the client never takes a short body for a complete one.

use std::cell::Cell;
use std::io::ErrorKind;

use crate::balance::Outcome;
use crate::base::{Buf, Fault, FaultKind, Tick, limits};
use crate::edge::adapt::grpc::call;
use crate::edge::exchange::context::Context;
use crate::edge::exchange::policies;
use crate::edge::flow::relay::{Continuation, GRACE_MS, Transfer, encode, enlarged};
use crate::edge::flow::stream::{BodySource, Client, Ending, Form, Outgoing, Remote};
use crate::edge::forward::destination::{self, Destination};
use crate::edge::forward::failures::{self, Came};
use crate::edge::forward::retry::{Attempt, Attempts, Why};
use crate::edge::forward::slowed::Slowed;
use crate::edge::forward::upgrade;
use crate::edge::shard::scratch::{Read, RequestBody, RequestState};
use crate::edge::upstream::load::InFlight;
use crate::link::UpstreamCounter;
use crate::net::Net;
use crate::policy::throttle::Direction;
use crate::wire::grpc::End;
use crate::wire::h1::{Parsed, response};
use crate::wire::head::{BodyLength, Response, Version};
use crate::wire::patch::Patch;
use crate::wire::upgrade::Protocol;
use crate::wire::ws::frame::Extensions;

/// Most interim responses before a final one; more are a fault of the upstream.
const INTERIM_MAX: u32 = 16;

/// What came of waiting for an answer.
#[derive(Debug)]
pub(crate) struct Received {
    /// The upstream's connection stands at a message boundary.
    pub reusable: bool,
    /// Another attempt is made because of the status or the code; nothing was sent to the client.
    pub again: bool,
    /// The upstream switched to this, and so did we.
    pub upgraded: Option<Protocol>,
    /// Bytes after the response: the start of the new protocol.
    pub behind: Buf,
}

/// How far an upload is that runs beside the answer.
#[derive(Clone, Copy)]
pub(crate) struct Progress<'a> {
    /// When it ended.
    pub sent_at: &'a Cell<Option<Tick>>,
    /// It ended with the end of the body.
    pub complete: &'a Cell<bool>,
    /// Content bytes of it.
    pub received: &'a Cell<u64>,
    /// All that was sent of it is kept for another attempt.
    pub whole: &'a Cell<bool>,
    /// The client waits for `100 Continue`.
    pub continuation: Option<&'a Continuation>,
}

/// The answer's side of a conversation.
pub(crate) struct Answering<'a, N: Net, K, R> {
    /// What it is about.
    pub context: Context<'a, N>,
    /// Which way.
    pub destination: &'a Destination<'a, N>,
    /// Where it comes from.
    pub remote: &'a R,
    /// The attempt.
    pub flight: &'a mut InFlight,
    /// The request's attempts, this one included.
    pub attempts: &'a mut Attempts,
    /// Where it goes.
    pub client: &'a mut K,
    /// The memory.
    pub state: &'a mut RequestState,
    /// The connection carried requests before this one.
    pub reused: bool,
    /// The progress of an upload that runs at the same time.
    pub upload: Option<Progress<'a>>,
    /// When the last head was there.
    pub headed: Tick,
    /// Something in a head was only tolerated.
    deviates: bool,
}

impl<'a, N: Net, K: Client, R: Remote> Answering<'a, N, K, R> {
    /// A response on a new connection, without an upload at the same time.
    pub(crate) fn new(
        context: Context<'a, N>,
        destination: &'a Destination<'a, N>,
        attempt: Attempt<'a, R>,
        client: &'a mut K,
        state: &'a mut RequestState,
    ) -> Answering<'a, N, K, R> {
        let Attempt { remote, flight, attempts, .. } = attempt;
        Answering {
            context,
            destination,
            remote,
            flight,
            attempts,
            client,
            state,
            reused: false,
            upload: None,
            headed: Tick::ZERO,
            deviates: false,
        }
    }

    /// Reads the answer with `buf` and passes it on.
    pub(crate) async fn run(&mut self, buf: Buf) -> Result<Received, Fault> {
        let (buf, outcome) = self.head(buf).await;
        if let Err(fault) = outcome {
            self.context.shard.thread.pool.put(buf);
            return Err(fault);
        }
        if self.state.attributes.caller.is_some() {
            let response = Response { bytes: buf.filled(), head: &self.state.response };
            let whole = self.state.response.body == BodyLength::None;
            // What an earlier attempt said is not what this one says.
            self.state.record.grpc = if whole { call::code_of(response) } else { None };
        }
        self.note_head();
        let status = self.state.response.status;
        if status == 101 || self.context.request.head.upgrade {
            match upgrade::switched(self.context, self.destination, self.state, buf.filled(), R::VERSION) {
                Ok(Some(protocol)) => return Box::pin(self.upgrade(buf, protocol)).await,
                Ok(None) => {}
                Err(fault) => {
                    self.context.shard.thread.pool.put(buf);
                    return Err(fault);
                }
            }
        }
        if self.is_retried(status) {
            self.context.shard.thread.pool.put(buf);
            return Ok(Received { reusable: false, again: true, upgraded: None, behind: Buf::empty() });
        }
        self.pass_on(buf).await
    }

    /// Reads up to a final head and forwards interim ones. The head is at the front of the buffer's window.
    async fn head(&mut self, mut buf: Buf) -> (Buf, Result<(), Fault>) {
        buf.reset(limits::HEADROOM);
        // On a keep-alive connection no time has passed since the attempt began.
        let began = if self.reused { self.flight.began() } else { self.context.shard.thread.net.now() };
        let mut interim = 0;
        loop {
            let (returned, outcome) = self.one_head(buf, began).await;
            buf = returned;
            if outcome.is_err() {
                return (buf, outcome);
            }
            let status = self.state.response.status;
            if status >= 200 || status == 101 {
                return (buf, Ok(()));
            }
            interim += 1;
            if interim > INTERIM_MAX {
                return (buf, Err(Fault::last(FaultKind::UpstreamProtocol)));
            }
            if self.client.takes_interim() && (status != 100 || self.context.request.head.expects_continue) {
                let passed = Box::pin(self.interim(&buf)).await;
                if passed.is_err() {
                    return (buf, passed);
                }
            }
            buf.consume(self.state.response.len);
        }
    }

    async fn one_head(&mut self, mut buf: Buf, began: Tick) -> (Buf, Result<(), Fault>) {
        let caps = self.destination.plan.response;
        let method = self.context.request.head.method;
        loop {
            if !buf.is_empty() {
                match self.remote.parse(&buf, &caps, method, &mut self.state.response) {
                    Ok(Parsed::Complete) => {
                        self.state.response.keep_alive &= !self.deviates;
                        return (buf, Ok(()));
                    }
                    Ok(Parsed::Partial) => {}
                    Err(kind) => {
                        match failures::completed(buf, &caps, kind) {
                            Ok(whole) => {
                                (buf, self.deviates) = (whole, true);
                                continue;
                            }
                            Err(as_it_was) => buf = as_it_was,
                        }
                        if kind == FaultKind::UpstreamProtocol && R::VERSION != Version::H2 {
                            let rule = response::broken_rule(buf.filled(), &caps, &self.state.response);
                            self.state.record.rule = Some(rule);
                        }
                        let fault = failures::of_head(kind, buf.filled());
                        return (buf, Err(fault));
                    }
                }
            }
            if buf.spare() == 0 {
                match enlarged(&self.context.shard.thread.pool, buf, limits::HEADROOM) {
                    Ok(larger) => buf = larger,
                    Err(full) => return (full, Err(Fault::last(FaultKind::UpstreamHeadTooLarge))),
                }
            }
            let nothing_yet = buf.is_empty();
            let (returned, outcome) = self.read(buf, began).await;
            buf = returned;
            match outcome {
                Err(ErrorKind::TimedOut) => return (buf, Err(self.too_late())),
                // The endpoint refused the stream: it certainly was not processed.
                Err(ErrorKind::ConnectionRefused) => return (buf, Err(Fault::refused(FaultKind::UpstreamClosed))),
                Err(ErrorKind::FileTooLarge) => return (buf, Err(Fault::last(FaultKind::UpstreamHeadTooLarge))),
                Err(ErrorKind::ArgumentListTooLong) => {
                    return (buf, Err(Fault::last(FaultKind::UpstreamTooManyFields)));
                }
                Err(ErrorKind::InvalidData) => return (buf, Err(Fault::last(FaultKind::UpstreamProtocol))),
                Ok(0) | Err(_) => {
                    let came = if nothing_yet { Came::Nothing } else { Came::Part };
                    let closed = failures::without_head(outcome, came);
                    return (buf, Err(if self.reused && nothing_yet { closed.on_reused() } else { closed }));
                }
                Ok(_) => {}
            }
        }
    }

    /// Reads once, under the deadline for a first byte, which does not run while the endpoint is being sent a body.
    async fn read(&mut self, mut buf: Buf, began: Tick) -> (Buf, Result<usize, ErrorKind>) {
        let net = &self.context.shard.thread.net;
        let proxy = self.destination.proxy;
        let allowed = proxy.retry.per_try.unwrap_or(proxy.first_byte).min(proxy.first_byte);
        let Some(Progress { sent_at, continuation, .. }) = self.upload else {
            let until = began.after(allowed).min(self.destination.deadline);
            if self.flight.is_long() && buf.is_empty() {
                let waited = self.remote_ready(&mut buf, until).await;
                if let Err(error) = waited {
                    return (buf, Err(error.kind()));
                }
            }
            let (read, buf) = self.remote.read(buf, until).await;
            return (buf, read.map_err(|error| error.kind()));
        };
        // An endpoint that still takes what the kernel has of the request cannot respond yet.
        let mut left = usize::MAX;
        loop {
            // One that is asked for `100 Continue` has all that it gets for now.
            let asked = continuation.filter(|continuation| !continuation.over.get()).map(|_| began);
            let since = sent_at.get().or(asked);
            let from = since.unwrap_or_else(|| net.now());
            let until = from.after(allowed).min(self.destination.deadline);
            let mut read = Ok(0);
            if self.flight.is_long() && buf.is_empty() {
                read = self.remote_ready(&mut buf, until).await.map(|()| 0);
            }
            if read.is_ok() {
                (read, buf) = self.remote.read_idle(buf, until).await;
            }
            match read {
                Ok(count) => return (buf, Ok(count)),
                Err(error) if error.kind() != ErrorKind::TimedOut => return (buf, Err(error.kind())),
                Err(error) => {
                    let now = net.now();
                    let waited = since.is_some_and(|at| now >= at.after(allowed));
                    if waited && asked.is_none() && now < self.destination.deadline {
                        let before = std::mem::replace(&mut left, self.remote.undelivered());
                        if left > 0 && left < before {
                            sent_at.set(Some(now));
                            continue;
                        }
                    }
                    // A read after a timed-out read times out at once.
                    if waited || now < until || now >= self.destination.deadline {
                        return (buf, Err(error.kind()));
                    }
                }
            }
        }
    }

    /// Waits without a buffer. This costs one operation more than a wait with one, so it is done where the wait will
    /// probably be long.
    async fn remote_ready(&self, buf: &mut Buf, until: Tick) -> std::io::Result<()> {
        let pool = &self.context.shard.thread.pool;
        pool.put(std::mem::take(buf));
        self.remote.readable(until).await?;
        *buf = pool.take(limits::BUF_CLASSES[1]);
        buf.reset(limits::HEADROOM);
        Ok(())
    }

    fn too_late(&self) -> Fault {
        let total = self.context.shard.thread.net.now() >= self.destination.deadline;
        Fault::last(if total { FaultKind::TotalTimeout } else { FaultKind::FirstByteTimeout })
    }

    fn note_head(&mut self) {
        let now = self.context.shard.thread.net.now();
        self.headed = now;
        let first_byte = now.micros_since(self.flight.began());
        self.state.record.first_byte_us = Some(first_byte);
        let counters = &self.context.bound.counters;
        counters.add_upstream(self.destination.id.0, UpstreamCounter::MicrosFirstByte, first_byte);
        let response = &self.state.response;
        match self.state.record.grpc {
            Some(code) => self.flight.judge(call::outcome(code), now),
            // How the call ended is said behind its messages.
            None if self.state.attributes.caller.is_some() && response.body != BodyLength::None => {}
            None => self.flight.judge(Outcome::of_status(response.status), now),
        }
    }

    /// Is another attempt made in the place of this response? Asked while the response is whole, so that it can be
    /// passed on where the answer is no.
    fn is_retried(&mut self, status: u16) -> bool {
        let mut read = Read::Whole;
        if let Some(Progress { complete, whole, .. }) = self.upload {
            self.state.body = if whole.get() { RequestBody::Kept } else { RequestBody::Passed };
            read = if complete.get() { Read::Whole } else { Read::Partly };
        }
        let resend = self.state.resend(self.context.request.head.body, read);
        let why = Why::Response { status, code: self.state.record.grpc, from: self.flight.index() };
        self.attempts.may_follow(&self.destination.bounds(self.context, resend), why, self.headed)
    }

    async fn interim(&mut self, buf: &Buf) -> Result<(), Fault> {
        self.headed = self.context.shard.thread.net.now();
        let head = &self.state.response;
        let mut patch = Patch::default();
        let response = Response { bytes: buf.filled(), head };
        self.client.compose(Outgoing { response, patch: &mut patch, length: BodyLength::None, upgrades: false });
        let (sent, _) = self.client.commit(Buf::empty(), Ending::More, self.client_until()).await;
        if let (100, Some(Progress { continuation: Some(continuation), .. })) =
            (self.state.response.status, self.upload)
        {
            continuation.over.set(true);
        }
        sent
    }

    fn client_until(&self) -> Tick {
        self.destination.deadline.after_ms(GRACE_MS)
    }

    async fn upgrade(&mut self, mut buf: Buf, protocol: Protocol) -> Result<Received, Fault> {
        debug_assert!(self.upload.is_none(), "an offer with a body is none");
        if R::VERSION == Version::H2 {
            buf = upgrade::bridge(self.context, self.state, buf)?;
        }
        let response = Response { bytes: buf.filled(), head: &self.state.response };
        self.state.extensions = Extensions::of(response.head.fields.named(response.bytes, b"sec-websocket-extensions"));
        self.note_usage();
        self.adapt(&buf);
        self.compose_switch(&buf);
        self.client.close_after();
        buf.consume(self.state.response.len);
        let until = self.client_until();
        self.state.record.status = self.state.response.status;
        let behind = Buf::copied(buf.filled());
        buf.reset(limits::HEADROOM);
        let (sent, buf) = self.client.commit(buf, Ending::More, until).await;
        self.context.shard.thread.pool.put(buf);
        sent?;
        Ok(Received { reusable: false, again: false, upgraded: Some(protocol), behind })
    }

    /// Tells a client that bills what was seen of the request.
    fn note_usage(&mut self) {
        let received = match self.upload {
            Some(Progress { received, .. }) => received.get(),
            None => self.state.record.received.get(),
        };
        self.client.note(received, self.state.record.first_byte_us.unwrap_or(0));
    }

    /// Policies and rules change the head.
    fn adapt(&mut self, buf: &Buf) {
        policies::adapt(self.context, self.state, buf.filled());
        destination::stick(self.context, self.destination, self.state);
        self.attempts.respond();
    }

    fn compose(&mut self, buf: &Buf, length: BodyLength) {
        let response = Response { bytes: buf.filled(), head: &self.state.response };
        let patch = &mut self.state.effects.to_client;
        self.client.compose(Outgoing { response, patch, length, upgrades: false });
    }

    /// The head after which both sides speak another protocol.
    fn compose_switch(&mut self, buf: &Buf) {
        let response = Response { bytes: buf.filled(), head: &self.state.response };
        let patch = &mut self.state.effects.to_client;
        self.client.compose(Outgoing { response, patch, length: BodyLength::None, upgrades: true });
    }

    /// The final head and its body.
    async fn pass_on(&mut self, mut buf: Buf) -> Result<Received, Fault> {
        let length = self.state.response.body;
        let (framed, form) = self.client.framing(length);
        let mut reader = self.remote.body(length);
        // The beginning of the body is checked before the head is sent, so that an error still gets a response.
        let portion = match reader.accept(&mut buf, self.state.response.len) {
            Ok(portion) => portion,
            Err(fault) => {
                self.context.shard.thread.pool.put(buf);
                return Err(fault);
            }
        };
        self.note_usage();
        self.adapt(&buf);
        self.compose(&buf, framed);
        buf.consume(self.state.response.len);
        let bodiless = length == BodyLength::None;
        let ending = if portion.done { Ending::Last(reader.trailers()) } else { Ending::More };
        let encodes = form == Form::Chunked && !bodiless;
        if encodes && (portion.done || !buf.is_empty()) {
            encode(&mut buf, ending, &self.context.shard.thread.pool);
        }
        let sent = Cell::new(portion.content);
        self.state.record.status = self.state.response.status;
        let slowed = Slowed::new(self.context.shard, &self.state.effects, Direction::Download);
        if let Some(slowed) = &slowed {
            // tidy(hot): only where a body is slowed down; no other response should be larger for it.
            Box::pin(slowed.begin(portion.content, self.destination.deadline)).await;
        }
        let until = self.client_until();
        let (committed, buf) = self.client.commit(buf, ending, until).await;
        let outcome = match committed {
            Ok(()) if portion.done || bodiless => {
                self.context.shard.thread.pool.put(buf);
                Ok(())
            }
            Ok(()) => self.rest(&mut reader, buf, (form, &sent), slowed.as_deref()).await,
            Err(fault) => {
                self.context.shard.thread.pool.put(buf);
                Err(fault)
            }
        };
        self.state.record.sent.set(sent.get());
        outcome?;
        if self.state.attributes.caller.is_some() {
            let said = End::read_lines(reader.trailers()).map(|end| end.code);
            self.state.record.grpc = said.or(self.state.record.grpc);
        }
        let reusable = self.state.response.keep_alive && self.remote.stands(&reader);
        Ok(Received { reusable, again: false, upgraded: None, behind: Buf::empty() })
    }

    async fn rest(
        &mut self,
        reader: &mut R::Body,
        buf: Buf,
        (form, sent): (Form, &Cell<u64>),
        slowed: Option<&Slowed<'a, N>>,
    ) -> Result<(), Fault> {
        if K::HOLDS_BACK
            && let Err(fault) = self.client.flush(self.client_until()).await
        {
            self.context.shard.thread.pool.put(buf);
            return Err(fault);
        }
        let transfer = Transfer {
            net: &self.context.shard.thread.net,
            pool: &self.context.shard.thread.pool,
            encode: form == Form::Chunked,
            source_idle: self.destination.idle,
            deadline: self.destination.deadline,
            content: sent,
            content_max: u64::MAX,
            // A head that comes alone, before a body of unknown length, usually begins a stream of events.
            begins_quiet: sent.get() == 0 && !matches!(self.state.response.body, BodyLength::Exact(_)),
            least: None,
            late: FaultKind::TotalTimeout,
            continuation: None,
            throttle: slowed,
        };
        if transfer.begins_quiet {
            self.state.shed();
            self.client.shed();
        }
        let (outcome, buf) = transfer.run(reader, &mut *self.client, buf).await;
        self.context.shard.thread.pool.put(buf);
        outcome
    }
}
