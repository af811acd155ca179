// SPDX-License-Identifier: Apache-2.0
//! Hot. Forwards a request: chooses the upstream, the endpoint and the connection, and decides about retries.
//!
//! ```text
//! choose -> admit (queue) -> [ pick -> connect -> converse ] -> answered
//!                               ^---- again? (unsent, or idempotent and nothing sent to the client) ----'
//! ```

use crate::balance::{Outcome, hash_key};
use crate::base::canary::{self, Flaw};
use crate::base::{Buf, Fault, FaultKind, Pace, Retry, Tick, UpstreamId};
use crate::config::plan::{HashKey, LeastRate, ProxyPlan, RoutePlan};
use crate::edge::adapt::grpc::call;
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::switched::{Switched, TunnelLimits};
use crate::edge::flow::stream::{BodySource, Client, Remote};
use crate::edge::forward::converse::{self, Ended};
use crate::edge::forward::destination::Destination;
use crate::edge::forward::failures;
use crate::edge::forward::retry::{Attempt, Attempts, Why};
use crate::edge::forward::slowed::Slowed;
use crate::edge::forward::upgrade;
use crate::edge::shard::scratch::{Read, RequestState, WhyFailed};
use crate::edge::upstream::acquire::{Acquired, Affinity, outcome_of};
use crate::edge::upstream::carrier::{Purpose, UpstreamStream};
use crate::edge::upstream::load::InFlight;
use crate::link::UpstreamCounter;
use crate::net::Net;
use crate::policy::throttle::Direction;
use crate::route;
use crate::wire::grpc::{Code, End};
use crate::wire::head::{BodyLength, Version};
use crate::wire::upgrade::Protocol;

/// How one attempt ended.
pub(crate) enum AttemptOutcome {
    /// The client has its response, or the exchange cannot be retried.
    Done,
    /// The upstream answered with a status for which another attempt is made: it is counted already.
    Retry,
}

/// Forwards the request to the upstream that `choose` returned, and sends the response back.
pub(crate) async fn forward<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
    proxy: &ProxyPlan,
    id: UpstreamId,
) -> Result<(), Fault> {
    let context = exchange.context;
    let plan = context.bound.plan.upstream(id);
    let upstream = context.bound.upstream(id);
    let started = exchange.state.record.started;
    let mut deadline = proxy.total.map_or(Tick::NEVER, |total| started.after(total));
    if exchange.state.attributes.caller.is_some() {
        deadline = deadline.min(asked_deadline(exchange)?);
    }
    let upgrade = upgrade::offered(context, proxy);
    let timeouts = &context.listener_plan().timeouts;
    // Within a call, both sides may have nothing to say for a long time, and messages are bounded one by one.
    let bounded =
        proxy.grpc.as_ref().zip(exchange.state.attributes.caller).is_some_and(|(plan, caller)| caller.is_bounded(plan));
    let (client_idle, idle, body_bytes_max) = match bounded {
        true => (proxy.tunnel_idle, proxy.tunnel_idle, u64::MAX),
        false => (timeouts.body_idle, proxy.idle, route.body_bytes_max),
    };
    let (upload, late) = match exchange.state.attributes.caller {
        // A call may be quiet, and its deadline is the caller's own.
        Some(_) => (LeastRate::NONE, FaultKind::TotalTimeout),
        None => (timeouts.upload, FaultKind::RequestTimeout),
    };
    let destination =
        Destination { proxy, id, plan, upstream, deadline, client_idle, idle, upload, late, body_bytes_max, upgrade };
    let forwarded = match destination.acquire(context).admit().await {
        Ok(()) => tries(exchange, &destination).await,
        Err(fault) => Err(fault),
    };
    forwarded.map_err(|fault| if context.shard.thread.net.now() >= deadline { beyond_deadline(fault) } else { fault })
}

/// Turns a timeout that fired at the total deadline into `TotalTimeout`.
fn beyond_deadline(fault: Fault) -> Fault {
    let waited = matches!(
        fault.kind,
        FaultKind::QueueTimeout | FaultKind::ConnectTimeout | FaultKind::FirstByteTimeout | FaultKind::IdleTimeout
    );
    if waited { Fault { kind: FaultKind::TotalTimeout, known: None, ..fault } } else { fault }
}

/// When a caller of gRPC wants it to be over.
fn asked_deadline<N: Net, S, K>(exchange: &mut Exchange<'_, N, S, K>) -> Result<Tick, Fault> {
    call::deadline(exchange.context.request, exchange.state.record.started).map_err(|error| {
        exchange.state.said = Some(End::plain(Code::Internal, error.text()));
        Fault::last(FaultKind::BadRequest)
    })
}

async fn tries<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    destination: &Destination<'_, N>,
) -> Result<(), Fault> {
    let context = exchange.context;
    if exchange.state.effects.slows() {
        // tidy(hot): only where a body is slowed down; no other exchange should be larger for it.
        Box::pin(pass_first(context, exchange.state, destination.deadline)).await;
    }
    let mut attempts = Attempts::NONE;
    loop {
        exchange.state.record.tries = attempts.begin();
        let outcome = once(exchange, destination, &mut attempts).await;
        if let Ok(AttemptOutcome::Done) = outcome {
            return Ok(());
        }
        if let Err(fault) = outcome {
            failures::note(context, destination.id, exchange.state.record.endpoint, fault);
            let now = context.shard.thread.net.now();
            exchange.state.note_failure(WhyFailed::Fault(fault), now);
            let read = if exchange.source.done() { Read::Whole } else { Read::Partly };
            let resend = exchange.state.resend(context.request.head.body, read);
            // A reset is a code, too.
            let why = Why::Fault { fault, code: exchange.state.said.map(|end| end.code) };
            if !attempts.may_follow(&destination.bounds(context, resend), why, now) {
                return Err(fault);
            }
        } else {
            context.bound.counters.add_upstream(destination.id.0, UpstreamCounter::Failures, 1);
            let status = WhyFailed::Status(exchange.state.response.status);
            exchange.state.note_failure(status, context.shard.thread.net.now());
        }
        // The attempt that failed gave its place to whoever waited longest.
        destination.acquire(context).admit().await?;
    }
}

/// Waits until what came of a body with its head may pass of the rates that the body shares with others.
async fn pass_first<N: Net>(context: Context<'_, N>, state: &RequestState, until: Tick) {
    let Some(slowed) = Slowed::new(context.shard, &state.effects, Direction::Upload) else { return };
    let here = match context.request.head.body {
        BodyLength::None => 0,
        _ if state.body.is_begun() => state.replay.len() as u64,
        // What comes behind a request may be the next one.
        BodyLength::Exact(length) => length.min(context.behind.len() as u64),
        _ => context.behind.len() as u64,
    };
    slowed.begin_shared(here, until).await;
}

/// Which upstream: by weight, where the route names several.
pub(crate) fn choose<N: Net>(
    context: Context<'_, N>,
    state: &RequestState,
    proxy: &ProxyPlan,
) -> Result<UpstreamId, Fault> {
    if let [only] = proxy.upstreams[..]
        && !proxy.split.is_empty()
    {
        return Ok(only);
    }
    let sticky = proxy.stick.as_ref().and_then(|stick| {
        let source = state.attributes.client.address.unwrap_or(context.peer.ip);
        let wanted = route::RouteQuery {
            request: context.request,
            host: &state.attributes.host,
            path: &state.attributes.path,
            source,
            body: route::BodyView::Unread,
        };
        stick.key(&wanted, |key| proxy.split.target_for(key, proxy.stick_salt))
    });
    let target = sticky.unwrap_or_else(|| proxy.split.target(context.shard.thread.rng.borrow_mut().next_u64()));
    target.map(|at| proxy.upstreams[at]).ok_or(Fault::last(FaultKind::NoEndpoint))
}

/// One attempt: an endpoint, a connection, a conversation.
async fn once<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    destination: &Destination<'_, N>,
    attempts: &mut Attempts,
) -> Result<AttemptOutcome, Fault> {
    let context = exchange.context;
    let now = context.shard.thread.net.now();
    // What the attempt before said is not why this one fails.
    exchange.state.said = None;
    (exchange.state.record.attempted, exchange.state.record.rule) = (now, None);
    let acquire = destination.acquire(context);
    let mut flight = acquire.place(affinity(exchange, destination), &mut attempts.tried, now).await?;
    exchange.state.record.endpoint = Some(flight.index());
    let purpose = match upgrade::asked(context, destination, Version::H2) {
        Some(_) => Purpose::Upgrade,
        None => Purpose::Exchange,
    };
    let connect_us = &mut exchange.state.record.connect_us;
    let trust = attempts.trust(context.request.head.method.idempotent());
    let Acquired { carrier, origin_use } = acquire.carrier(&mut flight, trust, purpose, connect_us).await?;
    match carrier {
        UpstreamStream::Connection(mut origin) => {
            origin.requests = origin.requests.saturating_add(1);
            let attempt = Attempt { remote: &origin, flight: &mut flight, origin_use, attempts };
            let mut ended = converse::converse(exchange, destination, attempt).await;
            let upgraded = ended.as_mut().ok().and_then(|ended| ended.upgraded.take());
            let concluded = conclude(exchange, destination, &mut flight, &origin, ended);
            if let Some(upgraded) = upgraded {
                switch(context, destination, UpstreamStream::Connection(origin), flight, upgraded);
                return Ok(AttemptOutcome::Done);
            }
            if concluded.as_ref().map_or(canary::has(Flaw::UnreadResponse), |(_, reusable)| *reusable) {
                destination.upstream.keep(origin, destination.plan, exchange.state.record.ended.unwrap_or(now));
            }
            concluded.map(|(verdict, _)| verdict)
        }
        UpstreamStream::Stream(stream) => {
            let attempt = Attempt { remote: &stream, flight: &mut flight, origin_use, attempts };
            let mut ended = converse::converse(exchange, destination, attempt).await;
            let upgraded = ended.as_mut().ok().and_then(|ended| ended.upgraded.take());
            let concluded = conclude(exchange, destination, &mut flight, &stream, ended);
            if let Some(upgraded) = upgraded {
                switch(context, destination, UpstreamStream::Stream(stream), flight, upgraded);
            }
            concluded.map(|(verdict, _)| verdict)
        }
    }
}

/// Leaves the tunnel to whoever serves the client, so that it holds nothing of the plan.
fn switch<N: Net>(
    context: Context<'_, N>,
    destination: &Destination<'_, N>,
    carrier: UpstreamStream<N>,
    flight: InFlight,
    (protocol, behind): (Protocol, Buf),
) {
    let proxy = destination.proxy;
    let limits = TunnelLimits {
        idle: proxy.tunnel_idle,
        lifetime: proxy.tunnel_lifetime,
        write: [context.listener_plan().timeouts.write, Pace::idle(proxy.idle)],
        messages: proxy.websocket.messages,
    };
    // tidy(hot): once per tunnel, which lasts for minutes.
    let switched = Box::new(Switched { carrier, flight, behind, protocol, limits });
    let set = context.switched.set(switched);
    debug_assert!(set.is_ok(), "an exchange switches once");
}

/// Reports the outcome of an exchange to the endpoint's health. True where its connection may be reused.
fn conclude<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    destination: &Destination<'_, N>,
    flight: &mut InFlight,
    remote: &impl Remote,
    ended: Result<Ended, Fault>,
) -> Result<(AttemptOutcome, bool), Fault> {
    let context = exchange.context;
    let client_gone = context.watch.end();
    let now = context.shard.thread.net.now();
    exchange.state.record.ended = Some(now);
    match ended {
        Ok(Ended { reusable, again, .. }) => {
            let RequestState { record, response, .. } = &*exchange.state;
            flight.judge(record.grpc.map_or(Outcome::of_status(response.status), call::outcome), now);
            Ok((if again { AttemptOutcome::Retry } else { AttemptOutcome::Done }, reusable))
        }
        Err(fault) => {
            let fault = match fault.kind {
                // Its connection was closed for that.
                FaultKind::ClientTooSlow => fault,
                _ if client_gone => Fault::last(FaultKind::ClientClosed),
                _ => fault,
            };
            let outcome = outcome_of(fault);
            flight.judge(outcome, now);
            if exchange.state.attributes.caller.is_some()
                && (outcome == Outcome::Reset || fault.retry == Retry::Refused)
            {
                exchange.state.said = remote.reset_code().map(|error| match now < destination.deadline {
                    true => End::plain(Code::of_reset(error.number()), "the service reset the call"),
                    false => End::of_fault(FaultKind::TotalTimeout),
                });
            }
            // A reset tells the endpoint that nobody waits for the rest.
            if !canary::has(Flaw::UnreadResponse) {
                remote.abort();
            }
            Err(fault)
        }
    }
}

/// What the request says of the endpoint.
fn affinity<N: Net, S, K>(exchange: &Exchange<'_, N, S, K>, destination: &Destination<'_, N>) -> Affinity {
    let context = exchange.context;
    let plan = destination.plan;
    let seed = plan.cluster.hash_seed;
    let key = match &plan.hash_key {
        HashKey::None => None,
        HashKey::Source => Some(hash_key(seed, &exchange.state.attributes.client_text)),
        HashKey::Path => Some(hash_key(seed, &exchange.state.attributes.path)),
        HashKey::Header(name) => context.request.named(name.as_bytes()).map(|value| hash_key(seed, value)),
        HashKey::Cookie(name) => context.request.cookie(name.as_bytes()).map(|value| hash_key(seed, value)),
    };
    let sticky = plan.sticky.as_ref().and_then(|plan| {
        let cookie = context.request.cookie(plan.cookie.as_bytes())?;
        u64::from_str_radix(std::str::from_utf8(cookie).ok()?, 16).ok()
    });
    Affinity { key, sticky }
}
