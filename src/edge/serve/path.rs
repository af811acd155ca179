// SPDX-License-Identifier: Apache-2.0
//! Hot. The path of a request, on one screen: see -> the listener's policies -> route -> its policies -> act -> record.
//!
//! A failure before the response's head is sent becomes a local response; after that it aborts the connection.

use crate::base::ascii::push_lower;
use crate::base::{Fault, FaultKind, RouteId, Tick, UpstreamId};
use crate::config::plan::{AccessLogPlan, Action, ListenerPlan, Plan, ProxyPlan, RoutePlan, Share, UsageMode};
use crate::edge::adapt::coding::Coding;
use crate::edge::adapt::grpc::Caller;
use crate::edge::adapt::stage::Stage;
use crate::edge::adapt::staged::Staged;
use crate::edge::exchange::context::{Context, Exchange, Filtered};
use crate::edge::exchange::switched::Switched;
use crate::edge::exchange::usage::Billing;
use crate::edge::exchange::vars::Vars;
use crate::edge::exchange::{call_reply, local_response, policies as asking, response, usage};
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::forward::calls::Call;
use crate::edge::forward::{attempts, calls, scan, tunnel, upgrade};
use crate::edge::serve::trace::{self, Moment};
use crate::edge::serve::{echo, find, policies, prepare, redirect};
use crate::edge::shard::attributes::Attributes;
use crate::edge::shard::log::Line;
use crate::edge::shard::record::Record;
use crate::edge::shard::scratch::RequestState;
use crate::edge::shard::state::Shard;
use crate::link::{Counter, Counters, RouteCounter};
use crate::net::Net;
use crate::policy::Outcome;
use crate::route::BodyView;
use crate::wire;
use crate::wire::field::Known;
use crate::wire::grpc::Code;
use crate::wire::head::{BodyLength, Method, Version};
use crate::wire::target::{self, Normalised};
use crate::wire::{authority, ip};

/// Serves one request to its end and records it. Where the connection switches to another protocol, that is not the
/// end: a tunnel is left in the context, and `tunnel` is to be called next.
pub(crate) async fn serve<N: Net, S: BodySource, K: Client>(exchange: &mut Exchange<'_, N, S, K>) {
    let outcome = answer(exchange).await;
    if exchange.context.switched.get().is_none() {
        return conclude(exchange, outcome).await;
    }
    let (context, state) = (exchange.context, &mut *exchange.state);
    if context.shard.tracer.is_on() {
        trace::show(context, state, context.shard.thread.net.now(), Moment::Switched);
    }
    if context.bound.plan.usage.is_some() {
        usage::count_switch(context, state);
    }
    if state.effects.settles {
        // The plan that holds the policies is given up with the tunnel's beginning.
        let status = state.record.status;
        asking::settle(context, state, Outcome::Status(status));
    }
}

/// Relays a tunnel to its end and records the exchange that it began as. The context has the plan that `switched::keep`
/// made. What it counts is counted under the plan in use, where that still has the route.
pub(crate) async fn tunnel<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    switched: Box<Switched<N>>,
) {
    // Few exchanges become tunnels, and no other should be as large as one.
    Box::pin(tunnel::run(exchange, *switched)).await;
    let (context, state) = (exchange.context, &mut *exchange.state);
    let ended = context.shard.thread.net.now();
    let current = context.shard.bound();
    let route = state.attributes.route.and_then(|id| current.plan.route_named(&context.bound.plan.route(id).name));
    if let (true, Some(route)) = (current.plan.metrics, route) {
        count(&current.counters, route, state, ended);
        // Ids of versions are those of the plan that it began under.
        let version = |plan: &Plan| state.record.version.and_then(|id| plan.versions.get(id.0 as usize).cloned());
        if version(&current.plan) == version(&context.bound.plan) {
            count_version(&current.counters, state);
        }
    }
    if context.bound.plan.usage.is_some() {
        usage::count(context, state, status_of(state), ended);
    }
    if context.shard.tracer.is_on() {
        trace::show(context, state, ended, Moment::TunnelEnded);
    }
    log(context, state, &current.counters, ended);
}

/// Answers a head that could not be parsed, and records it.
pub(crate) async fn refuse<N: Net, S: BodySource, K: Client>(exchange: &mut Exchange<'_, N, S, K>, fault: Fault) {
    exchange.state.attributes.client_text.extend_from_slice(&exchange.context.peer.text);
    conclude(exchange, Err(fault)).await;
}

async fn answer<N: Net, S: BodySource, K: Client>(exchange: &mut Exchange<'_, N, S, K>) -> Result<(), Fault> {
    see(exchange.context, &mut exchange.state.attributes)?;
    let ListenerPlan { policies: before, alternatives, protected, .. } = exchange.context.listener_plan();
    if !protected.is_empty() {
        protected.remove(exchange.context.request, &mut exchange.state.effects.to_upstream);
    }
    if !before.is_empty() && policies::pass(exchange, before, *alternatives, 0).await? == Filtered::Responded {
        return Ok(());
    }
    let request = exchange.context.request;
    let last_hop = request.head.method == Method::Options && request.value(Known::MaxForwards) == Some(b"0");
    if request.path().is_empty() || last_hop {
        // An asterisk-form request is for the server itself (RFC 9112 section 3.2.4), and a request with `Max-Forwards:
        // 0` is for the gateway (RFC 9110 section 7.6.2).
        return response::send(exchange, 204, None, b"").await;
    }
    let id = match exchange.context.bound.table(exchange.context.listener).asks_body() {
        false => find::find(exchange.context, exchange.state, BodyView::Unread)?,
        true => match Box::pin(find::by_body(exchange)).await? {
            Some(id) => id,
            None => return Ok(()),
        },
    };
    let route = exchange.context.bound.plan.route(id);
    if route.version.is_some() {
        (exchange.state.effects.version, exchange.state.record.version) = (route.version, route.version);
    }
    if route.usage == UsageMode::Billed {
        usage::begin(exchange.context, exchange.state)?;
    }
    if exchange.state.attributes.caller.is_none() && route.takes_json() {
        exchange.state.attributes.caller = Some(Caller::Json);
    }
    if let BodyLength::Exact(length) = request.head.body
        && length > route.body_bytes_max
        && !measures_messages(exchange.state.attributes.caller, route)
    {
        // Before anything is done with it: no policy, no `100 Continue`, no upstream.
        return Err(Fault::last(FaultKind::BodyTooLarge));
    }
    if exchange.context.request.head.upgrade {
        match upgrade::admit(exchange, route).await? {
            Filtered::Responded => return Ok(()),
            Filtered::Continue => {}
        }
    }
    if !route.protected.is_empty() {
        route.protected.remove(request, &mut exchange.state.effects.to_upstream);
    }
    if !route.policies.is_empty()
        && policies::pass(exchange, &route.policies, route.alternatives, before.len()).await? == Filtered::Responded
    {
        return Ok(());
    }
    if route.staged { staged(exchange, route).await } else { act(exchange, route).await }
}

/// Are the messages of a request limited, and not its body as a whole?
fn measures_messages(caller: Option<Caller>, route: &RoutePlan) -> bool {
    match &route.action {
        Action::Proxy(proxy) => proxy.grpc.as_ref().zip(caller).is_some_and(|(plan, caller)| caller.is_bounded(plan)),
        Action::Redirect(_) | Action::Answer(_) | Action::Echo => false,
    }
}

/// What the route says, where the content of responses may be changed on the way to the client.
async fn staged<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
) -> Result<(), Fault> {
    let Exchange { context, source, client, state } = exchange;
    let Shard { thread, encoders, .. } = &**context.shard;
    let offer = asking::coding(*context, &state.memos, route);
    // A response of the gateway's own is billed before its head is made, so that another can take its place. What is
    // compressed is billed with the bytes that it then has.
    let billed = offer.is_some() || matches!(route.action, Action::Proxy(_));
    let billing = billed.then(|| Billing::of(*context, state, route)).flatten();
    let mut client = Staged::new(&mut **client, &thread.pool, billing);
    if let Some(offer) = offer {
        client.chain().append(Stage::Coding(Coding::new(offer, encoders)));
    }
    let mut adapted = Exchange { context: *context, source: &mut **source, client: &mut client, state };
    let outcome = match &route.action {
        Action::Proxy(proxy) if let Some(plan) = &proxy.grpc => {
            let upstream = choose(&mut adapted, route, proxy)?;
            // The stages of a call make it several times as large as an exchange without them.
            Box::pin(calls::forward(&mut adapted, Call { route, proxy, plan, upstream })).await
        }
        Action::Proxy(_) | Action::Redirect(_) | Action::Answer(_) | Action::Echo => act(&mut adapted, route).await,
    };
    let is_refused = |stage: &Stage<'_>| matches!(stage, Stage::Coding(coding) if coding.is_refused);
    let refused = client.chain().stages().any(is_refused);
    context.bound.counters.add(Counter::Uncompressed, u64::from(refused));
    if let Some(sent) = client.sent {
        state.record.sent.set(sent);
    }
    if let Some(billing) = client.hold() {
        state.bill = billing.state();
    }
    outcome
}

/// What the route says.
async fn act<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
) -> Result<(), Fault> {
    match &route.action {
        Action::Proxy(proxy) => {
            let upstream = choose(exchange, route, proxy)?;
            match route.scanned {
                None => attempts::forward(exchange, route, proxy, upstream).await,
                Some(_) => Box::pin(scan::forward(exchange, route, proxy, upstream)).await,
            }
        }
        Action::Redirect(redirect) => redirect::send(exchange, redirect).await,
        Action::Answer(answer) => local_response::fixed(exchange, answer).await,
        Action::Echo => echo::answer(exchange).await,
    }
}

/// Chooses the upstream and prepares the request for it.
fn choose<N: Net, S, K>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
    proxy: &ProxyPlan,
) -> Result<UpstreamId, Fault> {
    // Chosen first, because what is prepared may hold the upstream's name.
    let upstream = attempts::choose(exchange.context, exchange.state, proxy)?;
    exchange.state.record.upstream = Some(upstream);
    prepare::prepare(exchange, route, proxy)?;
    Ok(upstream)
}

/// Determines host, path, client address and ids, which all later steps read.
fn see<N: Net>(context: Context<'_, N>, attributes: &mut Attributes) -> Result<(), Fault> {
    let request = context.request;
    let listener = context.listener_plan();
    attributes.caller = Caller::of(request);
    push_lower(&mut attributes.host, authority::host_of(request.authority()));
    let client = listener.forwarded.client(&context.peer.inbound, request);
    attributes.client = client;
    match client.address {
        Some(address) if Some(address) != context.peer.inbound.peer => ip::push(&mut attributes.client_text, address),
        Some(_) | None => attributes.client_text.extend_from_slice(&context.peer.text),
    }
    if listener.ids.request_id {
        note_id(context, attributes);
    }
    if let (Some(tls), Some(session)) = (&listener.tls, &context.peer.tls)
        && !attributes.host.is_empty()
        && !tls.covers(session.server_name.as_deref(), &attributes.host)
    {
        return Err(Fault::last(FaultKind::Misdirected));
    }
    match request.head.method {
        Method::Trace | Method::Connect => return Err(Fault::last(FaultKind::MethodNotAllowed)),
        Method::Get
        | Method::Head
        | Method::Post
        | Method::Put
        | Method::Delete
        | Method::Patch
        | Method::Options
        | Method::Other => {}
    }
    let path = request.path();
    if path.is_empty() {
        return Ok(());
    }
    match target::normalise(path, &listener.path_rules, &mut attributes.path).map_err(Fault::last)? {
        Normalised::Unchanged => attributes.path.extend_from_slice(path),
        Normalised::Written => attributes.merged = path.windows(2).any(|pair| pair == b"//"),
    }
    Ok(())
}

/// The client's id where it is well formed, else one of ours.
fn note_id<N: Net>(context: Context<'_, N>, attributes: &mut Attributes) {
    match context.request.value(Known::XRequestId) {
        Some(sent) if wire::trace::is_request_id(sent) => attributes.request_id.extend_from_slice(sent),
        Some(_) | None => {
            let net = &context.shard.thread.net;
            attributes.request_id.extend_from_slice(&wire::trace::request_id([net.random(), net.random()]));
        }
    }
}

/// Turns a fault into a response where that is still possible, and records the exchange.
async fn conclude<N: Net, S: BodySource, K: Client>(exchange: &mut Exchange<'_, N, S, K>, outcome: Result<(), Fault>) {
    if let Err(fault) = outcome {
        let fault = exchange.context.shard.thread.or_stopped(fault);
        let begun = exchange.client.begun();
        if fault.kind == FaultKind::ClientTooSlow {
            let counter = if begun { Counter::SlowDownloads } else { Counter::SlowUploads };
            exchange.context.bound.counters.add(counter, 1);
        }
        let answered = if begun {
            exchange.state.record.fail(fault);
            Box::pin(call_reply::end_late(exchange, fault)).await
        } else {
            Box::pin(local_response::fault(exchange, fault)).await
        };
        if answered.is_err() {
            exchange.state.record.aborted = true;
            exchange.client.abort();
        }
    }
    if let Some(caller) = exchange.state.attributes.caller {
        let RequestState { record, response, .. } = &mut *exchange.state;
        record.grpc = record.call_ended(caller, response.status);
    }
    if exchange.state.effects.settles {
        let outcome = match exchange.state.record.fault {
            Some(FaultKind::ClientClosed) => Outcome::NoResponse,
            Some(_) | None if !exchange.client.begun() => Outcome::NoResponse,
            Some(_) | None => Outcome::Status(status_of(exchange.state)),
        };
        asking::settle(exchange.context, exchange.state, outcome);
    }
    record(exchange.context, exchange.state);
}

/// The status that a request counts as. A gRPC call counts as the status that says the same; in JSON it has one.
fn status_of(state: &RequestState) -> u16 {
    let code = state.record.grpc.filter(|_| state.attributes.caller != Some(Caller::Json));
    code.map_or(state.record.status, Code::http_status)
}

/// Counts and logs.
fn record<N: Net>(context: Context<'_, N>, state: &RequestState) {
    let Context { shard, bound, .. } = context;
    let ended = state.record.ended.unwrap_or_else(|| shard.thread.net.now());
    match (state.record.reported, state.attributes.route) {
        (Some(_), Some(route)) => bound.counters.add_route(route.0, RouteCounter::Reported, 1),
        (Some(_), None) => bound.counters.add(Counter::Reported, 1),
        (None, _) => {}
    }
    if let (true, Some(route)) = (bound.plan.metrics, state.attributes.route) {
        count(&bound.counters, route, state, ended);
    }
    if bound.plan.metrics {
        count_version(&bound.counters, state);
    }
    if bound.plan.usage.is_some() {
        usage::count(context, state, status_of(state), ended);
    }
    if shard.tracer.is_on() {
        trace::show(context, state, ended, Moment::Ended);
    }
    log(context, state, &bound.counters, ended);
}

/// Counts an exchange for its route.
fn count(counters: &Counters, route: RouteId, state: &RequestState, ended: Tick) {
    let record = &state.record;
    let status = match status_of(state) {
        ..200 => RouteCounter::Status1xx,
        200..300 => RouteCounter::Status2xx,
        300..400 => RouteCounter::Status3xx,
        400..500 => RouteCounter::Status4xx,
        500.. => RouteCounter::Status5xx,
    };
    counters.add_route(route.0, status, 1);
    counters.add_route(route.0, RouteCounter::Aborted, u64::from(record.aborted));
    counters.add_route(route.0, RouteCounter::BytesReceived, record.received.get());
    counters.add_route(route.0, RouteCounter::BytesSent, record.sent.get());
    counters.observe(route.0, ended.micros_since(record.started));
    if let Some(code) = record.grpc {
        counters.add_grpc(route.0, code);
    }
}

/// Counts an exchange for the version of an API that it is for.
fn count_version(counters: &Counters, state: &RequestState) {
    if let Some(version) = state.record.version {
        counters.add_version(version.0);
    }
}

/// Does an exchange get a line, where only this share of them does? Failures do by choice.
fn is_sampled<N: Net>(context: Context<'_, N>, record: &Record, log: &AccessLogPlan, share: &Share) -> bool {
    let failed = log.errors && (record.status >= 500 || record.aborted);
    failed || context.shard.thread.rng.borrow_mut().next_u64() % u64::from(Share::ALL.0) < u64::from(share.0)
}

/// Writes an exchange to the access log, if there is one.
fn log<N: Net>(context: Context<'_, N>, state: &RequestState, counters: &Counters, ended: Tick) {
    let Context { shard, bound, request, .. } = context;
    let record = &state.record;
    let Some(log) = &bound.plan.access_log else { return };
    let share = state.attributes.route.map_or(Some(&log.sample), |route| bound.plan.route(route).logged.as_ref());
    let Some(share) = share else { return };
    if *share != Share::ALL && !is_sampled(context, record, log, share) {
        return;
    }
    let cluster;
    let mut endpoint = "";
    if let (Some(upstream), Some(index)) = (record.upstream, record.endpoint) {
        cluster = bound.upstream(upstream).load.cluster.borrow();
        endpoint = cluster.endpoint(index).map_or("", |endpoint| &*endpoint.name);
    }
    let line = Line {
        record,
        client: &state.attributes.client_text,
        method: request.method_text(),
        target: request.head.target.of(request.bytes),
        protocol: match request.head.version {
            Version::H10 => "HTTP/1.0",
            Version::H11 => "HTTP/1.1",
            Version::H2 => "HTTP/2.0",
        },
        host: request.authority(),
        user_agent: request.value(Known::UserAgent).unwrap_or(b""),
        referer: request.value(Known::Referer).unwrap_or(b""),
        route: state.attributes.route.map_or("", |route| &*bound.plan.route(route).name),
        upstream: record.upstream.map_or("", |upstream| &*bound.plan.upstream(upstream).name),
        endpoint,
        request_id: &state.attributes.request_id,
        consumer: &state.attributes.consumer,
        version: state.record.version.and_then(|version| bound.plan.version(version)).unwrap_or_default(),
        client_certificate: context.peer.tls.as_ref().and_then(|tls| tls.peer_subject.as_deref()).unwrap_or(""),
        wall: shard.thread.wall_at(ended),
        micros: ended.micros_since(record.started),
    };
    shard.log.write(&log.format, &line, &Vars::new(context, &state.attributes, record));
    shard.log.flush_if_full(&shard.outbox, counters);
}
