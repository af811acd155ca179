// SPDX-License-Identifier: Apache-2.0
//! A request that the gateway makes on its own behalf, with a body or without. Of the response the head is kept, and
//! the body up to a cap or not at all.
//!
//! It is balanced, queued, counted and repeated as a client's request is, all before one deadline.

use std::io::ErrorKind;

use crate::balance::{EndpointIndex, Outcome};
use crate::base::{Buf, Fault, FaultKind, Tick, UpstreamId, limits};
use crate::config::plan::RetryPlan;
use crate::edge::exchange::context::Context;
use crate::edge::flow::relay::enlarged;
use crate::edge::flow::stream::{BodySink, BodySource, Ending, Remote};
use crate::edge::forward::failures::{self, Came};
use crate::edge::forward::retry::{Attempts, Bounds, Why};
use crate::edge::shard::scratch::Resend;
use crate::edge::upstream::acquire::{Acquire, Acquired, Affinity, OriginUse, outcome_of};
use crate::edge::upstream::carrier::{Purpose, UpstreamStream};
use crate::edge::upstream::h1::Trust;
use crate::edge::upstream::load::InFlight;
use crate::link::UpstreamCounter;
use crate::net::Net;
use crate::wire::grpc::CodeSet;
use crate::wire::h1::Parsed;
use crate::wire::head::{BodyLength, Method, Request, RequestHead, ResponseHead};
use crate::wire::outgoing::{After, HostHeader, OutgoingRequest};
use crate::wire::patch::Patch;

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch<'a> {
    /// Where from.
    pub upstream: UpstreamId,
    /// Its method.
    pub method: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
    /// Its host; empty for the endpoint's own name.
    pub host: &'a [u8],
    /// Its body; without bytes there is none.
    pub body: &'a [u8],
    /// The most bytes of the response's body that are kept; with zero it is dropped. A longer one is a fault.
    pub kept_bytes_max: usize,
    /// Its fields, all added; those of the connection are not among them.
    pub fields: &'a Patch,
    /// When the head of the response has to be there.
    pub until: Tick,
}

/// One attempt after a failed one, as for a client's request on a route that says nothing of retries.
static RETRY: RetryPlan = RetryPlan {
    tries: 2,
    per_try: None,
    statuses: Vec::new(),
    grpc_statuses: CodeSet::of(&[]),
    non_idempotent: false,
    body_bytes_max: 0,
};

/// The gateway does not drain a body that is longer than this; it closes the connection.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// Fetches it. Serialises the request's head into `out`; returns the bytes of the response's head, which `head`
/// describes. What is kept of the body goes to `kept`.
///
/// # Errors
/// No attempt that may be made gave a response in time, with a body that could be kept.
pub(crate) async fn fetch<N: Net>(
    context: Context<'_, N>,
    fetch: &Fetch<'_>,
    out: &mut Vec<u8>,
    (head, kept): (&mut ResponseHead, &mut Vec<u8>),
) -> Result<Buf, Fault> {
    let acquire = Acquire {
        thread: &context.shard.thread,
        upstream: context.bound.upstream(fetch.upstream),
        plan: context.bound.plan.upstream(fetch.upstream),
        id: fetch.upstream,
        counters: &context.bound.counters,
        speaker: context.peer.speaker(),
        deadline: fetch.until,
    };
    let bounds = Bounds {
        plan: &RETRY,
        load: &acquire.upstream.load,
        counters: acquire.counters,
        upstream: fetch.upstream,
        idempotent: true,
        resend: Resend::Possible,
        deadline: fetch.until,
    };
    let mut attempts = Attempts::NONE;
    loop {
        acquire.admit().await?;
        attempts.begin();
        let mut conversation = Conversation { context, fetch, out, head, kept, endpoint: None };
        let fault = match conversation.attempt(&acquire, &mut attempts).await {
            Ok(bytes) => return Ok(bytes),
            Err(fault) => fault,
        };
        failures::note(context, fetch.upstream, conversation.endpoint, fault);
        if !attempts.may_follow(&bounds, Why::Fault { fault, code: None }, context.shard.thread.net.now()) {
            return Err(fault);
        }
    }
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stands at a message boundary.
    Keep,
    /// It does not.
    Close,
}

/// One attempt's side of a fetch.
struct Conversation<'a, N: Net> {
    context: Context<'a, N>,
    fetch: &'a Fetch<'a>,
    out: &'a mut Vec<u8>,
    head: &'a mut ResponseHead,
    kept: &'a mut Vec<u8>,
    /// The endpoint of the last attempt.
    endpoint: Option<EndpointIndex>,
}

impl<N: Net> Conversation<'_, N> {
    /// An endpoint, a connection, request and response. Returns the bytes of the head.
    async fn attempt(&mut self, acquire: &Acquire<'_, N>, attempts: &mut Attempts) -> Result<Buf, Fault> {
        let net = &acquire.thread.net;
        let mut flight = acquire.place(Affinity::default(), &mut attempts.tried, net.now()).await?;
        self.endpoint = Some(flight.index());
        let acquired = acquire.carrier(&mut flight, Trust::BUSY, Purpose::Exchange, &mut None).await;
        let Acquired { carrier, origin_use } = acquired?;
        match carrier {
            UpstreamStream::Connection(mut origin) => {
                origin.requests = origin.requests.saturating_add(1);
                let (bytes, fate) = self.exchange(&origin, &mut flight, origin_use).await?;
                if fate == Fate::Keep {
                    acquire.upstream.keep(origin, acquire.plan, net.now());
                }
                Ok(bytes)
            }
            UpstreamStream::Stream(stream) => Ok(self.exchange(&stream, &mut flight, origin_use).await?.0),
        }
    }

    /// Head out, head and body back; judges the endpoint.
    async fn exchange<R: Remote>(
        &mut self,
        remote: &R,
        flight: &mut InFlight,
        origin_use: OriginUse,
    ) -> Result<(Buf, Fate), Fault> {
        let name = self.context.bound.upstream(self.fetch.upstream).load.endpoint_name(flight.index());
        let host = if self.fetch.host.is_empty() { name.as_bytes() } else { self.fetch.host };
        self.compose(remote, host)?;
        let pool = &self.context.shard.thread.pool;
        let bytes = self.out.len() + self.fetch.body.len();
        let mut buf = pool.take(bytes.max(limits::BUF_CLASSES[1]));
        if buf.capacity() < bytes {
            // Above the largest class there is no pooled buffer; this one is freed after use.
            buf = Buf::with_capacity(bytes);
        }
        let copied = buf.append(self.out) && buf.append(self.fetch.body);
        debug_assert!(copied, "room was made above");
        let (buf, outcome) = self.converse(remote, buf, origin_use).await;
        let now = self.context.shard.thread.net.now();
        if let Err(fault) = outcome {
            pool.put(buf);
            flight.judge(outcome_of(fault), now);
            remote.abort();
            return Err(fault);
        }
        let first_byte = now.micros_since(flight.began());
        let counters = &self.context.bound.counters;
        counters.add_upstream(self.fetch.upstream.0, UpstreamCounter::MicrosFirstByte, first_byte);
        flight.judge(Outcome::of_status(self.head.status), now);
        let fate = match self.read_body(remote, &buf).await {
            Ok(fate) => fate,
            Err(fault) => {
                pool.put(buf);
                remote.abort();
                return Err(fault);
            }
        };
        Ok((buf, fate))
    }

    fn compose(&mut self, remote: &impl Remote, host: &[u8]) -> Result<(), Fault> {
        self.out.clear();
        let body = match self.fetch.body.len() as u64 {
            0 => BodyLength::None,
            length => BodyLength::Exact(length),
        };
        let request = RequestHead { method: self.method(), keep_alive: true, body, ..RequestHead::default() };
        remote.compose(
            self.out,
            &OutgoingRequest {
                request: Request { bytes: &[], head: &request },
                method: self.fetch.method,
                target: self.fetch.target,
                host: HostHeader::Is(host),
                patch: self.fetch.fields,
                body,
                after: After::KeepAlive,
                via: self.context.listener_plan().ids.via.map(str::as_bytes),
            },
        )
    }

    /// Sends `buf` and reads a final head, which then stands at the front of the buffer's window.
    async fn converse(&mut self, remote: &impl Remote, buf: Buf, origin_use: OriginUse) -> (Buf, Result<(), Fault>) {
        let until = self.fetch.until;
        let (written, mut buf) = remote.upload().write(buf, Ending::BARE, until).await;
        if let Err(fault) = written {
            return (buf, Err(on_kept(fault, origin_use)));
        }
        buf.reset(0);
        let caps = self.context.bound.plan.upstream(self.fetch.upstream).response;
        let (mut nothing_yet, mut deviates) = (true, false);
        loop {
            if buf.spare() == 0 {
                match enlarged(&self.context.shard.thread.pool, buf, 0) {
                    Ok(larger) => buf = larger,
                    Err(full) => return (full, Err(Fault::last(FaultKind::UpstreamHeadTooLarge))),
                }
            }
            let (read, returned) = remote.read(buf, until).await;
            buf = returned;
            let fault = match read.map_err(|error| error.kind()) {
                Ok(1..) => None,
                Err(ErrorKind::TimedOut) => Some(Fault::last(FaultKind::FirstByteTimeout)),
                // The endpoint refused the stream: it certainly was not processed.
                Err(ErrorKind::ConnectionRefused) => Some(Fault::refused(FaultKind::UpstreamClosed)),
                Err(ErrorKind::FileTooLarge) => Some(Fault::last(FaultKind::UpstreamHeadTooLarge)),
                Err(ErrorKind::ArgumentListTooLong) => Some(Fault::last(FaultKind::UpstreamTooManyFields)),
                Err(ErrorKind::InvalidData) => Some(Fault::last(FaultKind::UpstreamProtocol)),
                outcome if nothing_yet => Some(on_kept(failures::without_head(outcome, Came::Nothing), origin_use)),
                outcome => Some(failures::without_head(outcome, Came::Part)),
            };
            if let Some(fault) = fault {
                return (buf, Err(fault));
            }
            nothing_yet = false;
            while !buf.is_empty() {
                match remote.parse(&buf, &caps, self.method(), self.head) {
                    Ok(Parsed::Complete) if self.head.status >= 200 => {
                        self.head.keep_alive &= !deviates;
                        return (buf, Ok(()));
                    }
                    Ok(Parsed::Complete) => buf.consume(self.head.len),
                    Ok(Parsed::Partial) => break,
                    Err(kind) => match failures::completed(buf, &caps, kind) {
                        Ok(whole) => (buf, deviates) = (whole, true),
                        Err(refused) => {
                            let fault = failures::of_head(kind, refused.filled());
                            return (refused, Err(fault));
                        }
                    },
                }
            }
        }
    }

    fn method(&self) -> Method {
        Method::of(self.fetch.method)
    }

    /// Reads the body: keeps it where that is asked for, else drains it where that is cheap, so that the connection can
    /// be kept alive.
    async fn read_body(&mut self, remote: &impl Remote, bytes: &Buf) -> Result<Fate, Fault> {
        let keeps = self.fetch.kept_bytes_max > 0;
        let cut = Fault::last(FaultKind::UpstreamProtocol);
        let pool = &self.context.shard.thread.pool;
        let mut reader = remote.body(self.head.body);
        let mut rest = pool.take(bytes.len());
        if !rest.append(&bytes.filled()[self.head.len..]) {
            pool.put(rest);
            return if keeps { Err(cut) } else { Ok(Fate::Close) };
        }
        let mut seen = 0;
        let mut portion = reader.accept(&mut rest, 0);
        let whole = loop {
            let Ok(taken) = portion else { break false };
            seen += taken.content;
            if keeps {
                self.kept.extend_from_slice(rest.filled());
            }
            if seen > BODY_BYTES_MAX || (keeps && self.kept.len() > self.fetch.kept_bytes_max) {
                break false;
            }
            if taken.done {
                break true;
            }
            rest.reset(0);
            let (read, returned) = reader.read(rest, self.fetch.until).await;
            rest = returned;
            portion = read;
        };
        pool.put(rest);
        if keeps && !whole {
            return Err(cut);
        }
        Ok(if whole && self.head.keep_alive && remote.stands(&reader) { Fate::Keep } else { Fate::Close })
    }
}

/// A fault before the first byte of the response: on a kept connection, the endpoint may have closed it meanwhile.
fn on_kept(fault: Fault, origin_use: OriginUse) -> Fault {
    match origin_use {
        OriginUse::First => fault,
        OriginUse::Reused => fault.on_reused(),
    }
}
