// SPDX-License-Identifier: Apache-2.0
//! Hot. Acquires what one attempt needs of an upstream: room under its caps, an endpoint, and a connection or stream
//! to it, kept or new.
//!
//! ```text
//! admit (queue) -> pick -> carrier (kept | opened) -> the conversation
//! ```

use std::rc::Rc;

use crate::balance::{Outcome, Tried};
use crate::base::{Cause, Fault, FaultKind, Retry, Tick, UpstreamId};
use crate::config::plan::UpstreamPlan;
use crate::edge::flow::thread::Thread;
use crate::edge::upstream::carrier::{ConnectionRequest, Purpose, UpstreamStream};
use crate::edge::upstream::dial::ProxyPreface;
use crate::edge::upstream::h1::Trust;
use crate::edge::upstream::load::{End, InFlight, Load};
use crate::edge::upstream::pool::Upstream;
use crate::link::{Counters, UpstreamCounter};
use crate::net::Net;

/// Which upstream, and under which conditions.
pub(crate) struct Acquire<'a, N: Net> {
    /// The thread.
    pub thread: &'a Rc<Thread<N>>,
    /// This shard's side of the upstream.
    pub upstream: &'a Rc<Upstream<N>>,
    /// Its plan.
    pub plan: &'a UpstreamPlan,
    /// Its id, under which it is counted.
    pub id: UpstreamId,
    /// Where it is counted.
    pub counters: &'a Counters,
    /// Who the endpoint is told is speaking.
    pub speaker: ProxyPreface,
    /// When everything must be over.
    pub deadline: Tick,
}

/// What picks the endpoint, beside the balancer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Affinity {
    /// The hash of what the upstream hashes by.
    pub key: Option<u64>,
    /// The endpoint that a cookie names.
    pub sticky: Option<u64>,
}

/// Whether a connection to an endpoint carried requests before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OriginUse {
    /// It was opened for this request.
    First,
    /// It was kept, and the endpoint may have closed it meanwhile.
    Reused,
}

/// What carries an attempt.
pub(crate) struct Acquired<N: Net> {
    /// The connection or stream.
    pub carrier: UpstreamStream<N>,
    /// Whether it is new.
    pub origin_use: OriginUse,
}

impl<N: Net> Acquire<'_, N> {
    /// Waits for room under the upstream's caps.
    pub(crate) async fn admit(&self) -> Result<(), Fault> {
        let admitted = self.upstream.load.admit(&self.thread.net, self.plan.queue_timeout, self.deadline).await;
        self.counted(admitted)
    }

    fn counted(&self, admitted: Result<(), Fault>) -> Result<(), Fault> {
        admitted.inspect_err(|fault| {
            let timed_out = fault.kind == FaultKind::QueueTimeout;
            self.count(UpstreamCounter::QueueTimeouts, u64::from(timed_out));
        })
    }

    /// As `pick`, and where every endpoint is full, waits in the queue until one has room. Call it at once when
    /// `admit` has returned.
    pub(crate) async fn place(&self, affinity: Affinity, tried: &mut Tried, now: Tick) -> Result<InFlight, Fault> {
        match self.pick(affinity, tried, now) {
            Err(fault) if fault.kind == FaultKind::Overloaded && self.plan.cluster.caps.pending > 0 => {
                Box::pin(self.place_later(affinity, tried)).await
            }
            picked => picked,
        }
    }

    #[cold]
    async fn place_later(&self, affinity: Affinity, tried: &mut Tried) -> Result<InFlight, Fault> {
        let net = &self.thread.net;
        let until = net.now().after(self.plan.queue_timeout).min(self.deadline);
        let mut end = End::Back;
        loop {
            if !self.upstream.load.may_queue() {
                return Err(Fault::last(FaultKind::Overloaded));
            }
            let admitted = self.upstream.load.queue(net, end, until).await;
            // Another attempt would only wait again.
            self.counted(admitted).map_err(|fault| Fault { retry: Retry::No, ..fault })?;
            match self.pick(affinity, tried, net.now()) {
                Err(fault) if fault.kind == FaultKind::Overloaded => end = End::Front,
                picked => return picked,
            }
        }
    }

    /// Picks an endpoint, which becomes one of `tried`. The request is in flight there from now on.
    pub(crate) fn pick(&self, affinity: Affinity, tried: &mut Tried, now: Tick) -> Result<InFlight, Fault> {
        let Affinity { key, sticky } = affinity;
        let load = &self.upstream.load;
        let picked = load.cluster.borrow_mut().pick(key, sticky, tried, now, &mut self.thread.rng.borrow_mut());
        let index = picked.map_err(|kind| unpicked(load, kind)).inspect_err(|_| load.pass_on())?;
        tried.insert(index);
        self.count(UpstreamCounter::Requests, 1);
        Ok(load.begin(index, now))
    }

    /// A kept connection to the endpoint of `flight`, or a new one. How long connecting took is put into `connect_us`,
    /// also where it failed; then the endpoint is judged, too.
    pub(crate) async fn carrier(
        &self,
        flight: &mut InFlight,
        trust: Trust,
        purpose: Purpose,
        connect_us: &mut Option<u64>,
    ) -> Result<Acquired<N>, Fault> {
        let Acquire { thread, upstream, plan, speaker, deadline, .. } = *self;
        let began = flight.began();
        let wanted = ConnectionRequest { thread, upstream, plan, index: flight.index(), trust, purpose };
        let (carrier, origin_use) = match wanted.kept(began) {
            Some(carrier) => {
                self.count(UpstreamCounter::Reused, 1);
                (carrier, OriginUse::Reused)
            }
            None => {
                self.count(UpstreamCounter::Connects, 1);
                // What opens a connection is large, and a kept-alive exchange has no use for it.
                let opened = Box::pin(wanted.open(speaker, deadline)).await;
                let now = thread.net.now();
                let micros = now.micros_since(began);
                *connect_us = Some(micros);
                self.count(UpstreamCounter::MicrosConnect, micros);
                let opened = opened.inspect_err(|fault| {
                    self.count(UpstreamCounter::ConnectFailures, 1);
                    flight.judge(outcome_of(*fault), now);
                });
                (opened?, OriginUse::First)
            }
        };
        let carrier = match purpose {
            Purpose::Exchange => carrier,
            Purpose::Upgrade => Box::pin(wanted.fit(carrier, speaker, deadline)).await?,
        };
        Ok(Acquired { carrier, origin_use })
    }

    /// Adds to a counter of the upstream.
    pub(crate) fn count(&self, counter: UpstreamCounter, count: u64) {
        self.counters.add_upstream(self.id.0, counter, count);
    }
}

/// Why no endpoint was picked.
#[cold]
fn unpicked(load: &Load, kind: FaultKind) -> Fault {
    let fault = Fault::last(kind);
    match kind == FaultKind::NoEndpoint && load.cluster.borrow().is_empty() {
        true => fault.because(Cause::Dns),
        false => fault,
    }
}

/// What a fault says of the endpoint.
pub(crate) fn outcome_of(fault: Fault) -> Outcome {
    if fault.retry == Retry::Refused {
        // An orderly GOAWAY is no failure of the endpoint.
        return Outcome::Cancelled;
    }
    if fault.known == Some(Cause::Ports) {
        // This machine has no port left: every endpoint would seem to fail.
        return Outcome::Cancelled;
    }
    match fault.kind {
        FaultKind::ConnectFailed | FaultKind::ConnectTimeout | FaultKind::UpstreamTls => Outcome::ConnectFailed,
        FaultKind::UpstreamClosed
        | FaultKind::UpstreamProtocol
        | FaultKind::UpstreamHeadTooLarge
        | FaultKind::UpstreamTooManyFields
        | FaultKind::UpstreamTruncated => Outcome::Reset,
        FaultKind::FirstByteTimeout | FaultKind::IdleTimeout => Outcome::Timeout,
        FaultKind::BadRequest
        | FaultKind::RequestTimeout
        | FaultKind::BodyTooLarge
        | FaultKind::TargetTooLong
        | FaultKind::HeadTooLarge
        | FaultKind::NotImplemented
        | FaultKind::VersionNotSupported
        | FaultKind::ExpectationFailed
        | FaultKind::Misdirected
        | FaultKind::ClientClosed
        | FaultKind::ClientTooSlow
        | FaultKind::NoRoute
        | FaultKind::MethodNotAllowed
        | FaultKind::NoEndpoint
        | FaultKind::Overloaded
        | FaultKind::BreakerOpen
        | FaultKind::QueueTimeout
        | FaultKind::KeptBodiesFull
        | FaultKind::TotalTimeout
        | FaultKind::Stopped
        | FaultKind::NotRecorded
        | FaultKind::Internal => Outcome::Cancelled,
    }
}
