// SPDX-License-Identifier: Apache-2.0
//! Shows the way of a request to an operator who asked for it (`turnpike trace`): connection, route and why, policies
//! with their verdicts, attempts with their times, outcome.
//!
//! It is told at the end, from what the exchange left: nothing is gathered on the way but failed attempts, which are
//! rare. What may be a secret is not shown: values of query parameters and of all headers but those in `PLAIN`, and
//! whatever came into the configuration from a variable or a file.

use std::fmt::Write;
use std::net::IpAddr;

use crate::balance::EndpointIndex;
use crate::base::limits::TRACED_BYTES_MAX;
use crate::base::{Tick, date};
use crate::config::plan::Action;
use crate::edge::exchange::context::Context;
use crate::edge::exchange::peer::Peer;
use crate::edge::exchange::policies as asking;
use crate::edge::shard::scratch::{FailedAttempt, RequestState, WhyFailed};
use crate::edge::shard::tracer::Shown;
use crate::link::{FromShard, Trace};
use crate::net::Net;
use crate::policy::PolicyMemo;
use crate::route::{BodyView, RouteMatch, RouteQuery};
use crate::wire::head::{Request, Version};

/// Headers whose values are shown: none of them carries a secret by its meaning.
const PLAIN: [&[u8]; 24] = [
    b"accept",
    b"accept-encoding",
    b"accept-language",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"expect",
    b"grpc-timeout",
    b"host",
    b"if-modified-since",
    b"if-none-match",
    b"origin",
    b"range",
    b"te",
    b"traceparent",
    b"transfer-encoding",
    b"upgrade",
    b"user-agent",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-request-id",
];
/// What stands in the place of a value that may be a secret.
const MASK: &str = "(hidden)";
/// Other routes that are named, the nearest ones, with what kept them from the request.
const OTHERS_MAX: usize = 3;

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It ended.
    Ended,
    /// Its connection switched to another protocol.
    Switched,
    /// The tunnel that it became ended. The rest was shown when it began.
    TunnelEnded,
}

/// Shows an exchange to those who want to see it.
#[cold]
pub(super) fn show<N: Net>(context: Context<'_, N>, state: &RequestState, at: Tick, moment: Moment) {
    let shard = context.shard;
    let addresses = [state.attributes.client.address.unwrap_or(context.peer.ip), context.peer.ip];
    let orders = shard.tracer.wanted_by(Shown::Request(addresses, &state.attributes.request_id));
    if orders.is_empty() {
        return;
    }
    let Some(left_out) = shard.tracer.take(at) else { return };
    let text = words(context, state, at, moment);
    // A request may still run under a plan before the one in use, with other secrets. A shard that ends has no plan any
    // more, and nobody to show anything to.
    let Some(current) = shard.bound_already() else { return };
    let text = current.plan.hidden.conceal(&context.bound.plan.hidden.conceal(&text)).into();
    shard.tell(FromShard::Trace(Box::new(Trace { orders, text, left_out })));
}

fn words<N: Net>(context: Context<'_, N>, state: &RequestState, at: Tick, moment: Moment) -> String {
    let (request, record) = (context.request, &state.record);
    let mut text = Text::begin(&date::rfc3339(context.shard.thread.wall_at(at)));
    let method =
        if request.method_text().is_empty() { "(no request)".to_owned() } else { plain(request.method_text()) };
    let version = match request.head.version {
        Version::H10 => "HTTP/1.0",
        Version::H11 => "HTTP/1.1",
        Version::H2 => "HTTP/2.0",
    };
    let outcome = match moment {
        Moment::Ended => "",
        Moment::Switched => ", switched to another protocol",
        Moment::TunnelEnded => ", tunnel ended",
    };
    text.add(&format!(
        "{method} {} {version}: {}{outcome} after {}",
        target(request),
        record.status,
        since(record.started, at)
    ));
    text.line("connection", &connection(context.peer, listener_name(context)));
    let https = if state.attributes.https() { "https" } else { "http" };
    text.line("client", &format!("{}, {https}", plain(&state.attributes.client_text)));
    if !state.attributes.request_id.is_empty() {
        text.line("id", &plain(&state.attributes.request_id));
    }
    if moment != Moment::TunnelEnded {
        if !request.head.fields.list.is_empty() {
            text.line("headers", &headers(request));
        }
        let before = context.listener_plan().policies.len();
        policies(&mut text, context, state, 0..before);
        route(&mut text, context, state);
        policies(&mut text, context, state, before..usize::MAX);
        attempts(&mut text, context, state);
    }
    text.line("outcome", &outcome_words(state));
    text.0
}

/// A connection as it was found: ends, listener, TLS.
pub(crate) fn connection(peer: &Peer, listener: &str) -> String {
    let from = match peer.inbound.peer {
        Some(IpAddr::V6(ip)) => format!("[{ip}]:{}", peer.port),
        Some(ip) => format!("{ip}:{}", peer.port),
        None => "a Unix socket".to_owned(),
    };
    let mut words = format!("from {from} to listener {listener}");
    if peer.local_port != 0 {
        let _ = write!(words, ", port {}", peer.local_port);
    }
    let Some(tls) = &peer.tls else { return words };
    let _ = write!(words, "; {}", tls.version.name());
    if let Some(name) = &tls.server_name {
        let _ = write!(words, ", SNI {}", plain(name.as_bytes()));
    }
    if let Some(alpn) = &tls.alpn {
        let _ = write!(words, ", ALPN {}", plain(alpn));
    }
    if let Some(subject) = &tls.peer_subject {
        let _ = write!(words, ", client certificate {}", plain(subject.as_bytes()));
    }
    if tls.resumed {
        words.push_str(", resumed");
    }
    words
}

fn listener_name<N: Net>(context: Context<'_, N>) -> &str {
    // The plan of a tunnel has no listeners.
    context.bound.plan.listeners.get(context.listener.0 as usize).map_or("-", |listener| &*listener.name)
}

/// The target without the values of its query.
fn target(request: Request<'_>) -> String {
    let mut words = plain(request.path());
    let names = request.query().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    for (index, pair) in names.enumerate() {
        words.push(if index == 0 { '?' } else { '&' });
        match pair.iter().position(|byte| *byte == b'=') {
            Some(end) => {
                let _ = write!(words, "{}={MASK}", plain(&pair[..end]));
            }
            // It may be a value as well as a name.
            None => words.push_str(MASK),
        }
    }
    words
}

fn headers(request: Request<'_>) -> String {
    let (bytes, fields) = (request.bytes, &request.head.fields);
    let shown = fields.list.iter().map(|field| {
        let name = field.name.of(bytes).to_ascii_lowercase();
        let value = match PLAIN.contains(&&*name) {
            true => plain(field.value.of(bytes)),
            false => MASK.to_owned(),
        };
        format!("{}: {value}", plain(&name))
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// Why the request went to its route, and what kept others from it.
fn route<N: Net>(text: &mut Text, context: Context<'_, N>, state: &RequestState) {
    let attributes = &state.attributes;
    if attributes.path.is_empty() {
        return;
    }
    let source = attributes.client.address.unwrap_or(context.peer.ip);
    // What was kept of it may be gone by now.
    let body = BodyView::Unread;
    let wanted = RouteQuery { request: context.request, host: &attributes.host, path: &attributes.path, source, body };
    let table = context.bound.table(context.listener);
    let explanation = asking::with_facts(context, attributes, &state.record, |facts| table.explain(&wanted, facts));
    let name = attributes.route.map(|id| (&*context.bound.plan.route(id).name, id));
    match (name, &explanation.chosen) {
        (Some((name, id)), Some(chosen)) if explanation.found == RouteMatch::Route(id) => {
            let mut words = format!("{name}: host {}, path {}", chosen.host, chosen.path);
            for (param, value) in &chosen.params {
                let _ = write!(words, ", {param} = {}", plain(value.as_bytes()));
            }
            text.line("route", &words);
        }
        (Some((name, _)), _) => text.line("route", &format!("{name}: for the method that the preflight names")),
        // Policies of the listener refused it before it was routed.
        (None, _) if state.record.refused.is_some() => return,
        (None, _) => {
            text.line("route", &format!("none for host {}, path {}", plain(&attributes.host), plain(&attributes.path)));
        }
    }
    for other in explanation.others.iter().take(OTHERS_MAX) {
        let reasons: Vec<String> = other.reasons.iter().map(|reason| reason.without_values()).collect();
        text.line("not", &format!("{} ({}): {}", other.name, other.path, reasons.join("; ")));
    }
}

/// The policies at these places, with their verdicts. They are asked one by one, and each that is asked gets a memo.
fn policies<N: Net>(text: &mut Text, context: Context<'_, N>, state: &RequestState, at: std::ops::Range<usize>) {
    let of_route = state.attributes.route.map_or(&[][..], |route| &context.bound.plan.route(route).policies);
    let all = context.listener_plan().policies.iter().chain(of_route);
    let asked = state.memos.len();
    let before = context.listener_plan().policies.len();
    let of_route = state.attributes.route.map(|route| context.bound.plan.route(route).alternatives).unwrap_or_default();
    let is_alternative = |place: usize| match place.checked_sub(before) {
        Some(place) => of_route.contains(place),
        None => context.listener_plan().alternatives.contains(place),
    };
    for (place, (_, id)) in all.enumerate().skip(at.start).take(at.len()) {
        let policy = context.bound.plan.policy(*id);
        let is_last = place + 1 == asked;
        let verdict = match (place < asked, state.record.refused) {
            (true, _) if matches!(state.memos[place], PolicyMemo::Unused) => "was not asked".to_owned(),
            (true, Some(reason)) if is_last => format!("responded: {reason}"),
            (true, _) if is_alternative(place) => "was asked, as one of several".to_owned(),
            (true, _) => "continued".to_owned(),
            (false, _) => "was not asked".to_owned(),
        };
        text.line("policy", &format!("{} ({}): {verdict}", policy.name, policy.policy.kind()));
    }
    if let (Some(reason), true) = (state.record.reported, at.end == usize::MAX) {
        text.line("policy", &format!("one that only reports, or admits in doubt, would have refused: {reason}"));
    }
}

/// Where the request was sent, and what came of it.
fn attempts<N: Net>(text: &mut Text, context: Context<'_, N>, state: &RequestState) {
    let record = &state.record;
    let Some(id) = record.upstream else { return };
    let plan = context.bound.plan.upstream(id);
    let proxy = match state.attributes.route.map(|id| &context.bound.plan.route(id).action) {
        Some(Action::Proxy(proxy)) => Some(proxy),
        Some(Action::Redirect(_) | Action::Answer(_) | Action::Echo) | None => None,
    };
    let of = proxy.map_or(1, |proxy| proxy.upstreams.len());
    let choice = if of > 1 { format!(", one of {of} of its route") } else { String::new() };
    text.line("upstream", &format!("{}{choice}", plan.cluster.name));
    let name = |endpoint: Option<EndpointIndex>| {
        let load = &context.bound.upstream(id).load;
        endpoint.map_or_else(|| "no endpoint".into(), |index| load.endpoint_name(index))
    };
    for (number, FailedAttempt { endpoint, why, began, ended }) in (1..).zip(&state.failed) {
        let why = match why {
            WhyFailed::Status(status) => format!("responded {status}, which is retried"),
            WhyFailed::Fault(fault) => match fault.cause() {
                Some(cause) => format!("{}: {}", cause.reason(), cause.detail()),
                None => fault.kind.name().to_owned(),
            },
        };
        let (from, to) = (since(record.started, *began), since(record.started, *ended));
        text.line("attempt", &format!("{number}: {} at {from}: {why}, at {to}", name(*endpoint)));
    }
    let failed = state.failed.len() as u32;
    if record.tries > failed {
        let mut words =
            format!("{}: {} at {}", record.tries, name(record.endpoint), since(record.started, record.attempted));
        match record.connect_us {
            Some(micros) => {
                let _ = write!(words, ": connected in {}", millis(micros));
            }
            None => words.push_str(": on a kept connection"),
        }
        if let Some(micros) = record.first_byte_us {
            let _ = write!(words, ", response headers at {}", millis(micros));
        }
        if let Some(ended) = record.ended {
            let _ = write!(words, ", over at {}", since(record.started, ended));
        }
        text.line("attempt", &words);
    }
}

fn outcome_words(state: &RequestState) -> String {
    let record = &state.record;
    let mut words =
        format!("{}, {} bytes sent, {} bytes received", record.status, record.sent.get(), record.received.get());
    if !state.attributes.consumer.is_empty() {
        let _ = write!(words, ", consumer {}", state.attributes.consumer);
    }
    if let Some(method) = state.attributes.identity.method {
        let _ = write!(words, ", identified by {method}");
    }
    if let Some(code) = record.grpc {
        let _ = write!(words, ", gRPC status {}", code.name());
    }
    if let Some(reason) = record.reason() {
        let _ = write!(words, ", {reason}");
    }
    if !record.detail().is_empty() {
        let _ = write!(words, ": {}", record.detail());
    }
    if record.aborted {
        words.push_str(", aborted");
    }
    words
}

/// The lines of a trace.
struct Text(String);

impl Text {
    fn begin(time: &[u8]) -> Text {
        Text(format!("{} ", String::from_utf8_lossy(time)))
    }

    fn add(&mut self, words: &str) {
        self.0.push_str(words);
        self.0.push('\n');
    }

    fn line(&mut self, label: &str, words: &str) {
        let _ = writeln!(self.0, "  {label:<10} {words}");
    }
}

/// What a peer sent, escaped and not longer than is useful.
fn plain(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(TRACED_BYTES_MAX)];
    let more = if shown.len() < bytes.len() { "..." } else { "" };
    format!("{}{more}", shown.escape_ascii())
}

fn since(start: Tick, at: Tick) -> String {
    millis(at.micros_since(start))
}

fn millis(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}
