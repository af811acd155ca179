// SPDX-License-Identifier: Apache-2.0
//! Decides about upgrades in every combination of HTTP versions: whether the route allows one, what is requested from
//! the endpoint, and whether its response switches.
//!
//! ```text
//!             client HTTP/1.1: GET + Upgrade        client HTTP/2: extended CONNECT (seen as GET)
//! to HTTP/1.1  passed on, proof by the two ends      GET + Upgrade with a key of ours; the proof is checked here
//! to HTTP/2    extended CONNECT; proof made here     passed on
//! ```
//! A switch is always a 101 in rules, logs and metrics, and the 200 of HTTP/2 is made at its border. To a client of
//! HTTP/2, whose offer any 2xx accepts, none goes that is not a switch.

use crate::base::{Buf, Fault, FaultKind, Span, limits};
use crate::config::plan::{Action, ProxyPlan, RoutePlan};
use crate::edge::exchange::context::{Context, Exchange, Filtered};
use crate::edge::exchange::local_response;
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::forward::destination::Destination;
use crate::edge::shard::scratch::RequestState;
use crate::net::Net;
use crate::policy::{LocalBody, LocalResponse, Problem};
use crate::wire::field::Known;
use crate::wire::head::{Field, Response, Version};
use crate::wire::upgrade::{self, Protocol};
use crate::wire::ws::handshake;

/// `Sec-WebSocket-Accept`, which proves that the endpoint has processed the key.
const ACCEPT: &[u8] = b"Sec-WebSocket-Accept";

/// What the client offers and the route lets pass.
pub(crate) fn offered<N: Net>(context: Context<'_, N>, proxy: &ProxyPlan) -> Option<Protocol> {
    let head = context.request.head;
    if !head.upgrade || !proxy.upgrade {
        return None;
    }
    upgrade::protocol(context.request.bytes, head)
}

/// Refuses a handshake that cannot succeed on this route: from an origin that is not allowed, or an extended CONNECT
/// where upgrades are off. An HTTP/1.1 upgrade may be ignored instead, so it is.
pub(crate) async fn admit<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
) -> Result<Filtered, Fault> {
    let context = exchange.context;
    let extended = is_extended(context);
    let proxy = match &route.action {
        Action::Proxy(proxy) if proxy.upgrade => proxy,
        Action::Answer(answer) if extended && (200..300).contains(&answer.status) => {
            return Err(Fault::last(FaultKind::NotImplemented));
        }
        Action::Proxy(_) | Action::Echo if extended => return Err(Fault::last(FaultKind::NotImplemented)),
        Action::Proxy(_) | Action::Echo | Action::Answer(_) | Action::Redirect(_) => return Ok(Filtered::Continue),
    };
    let origins = &proxy.websocket.origins;
    let listed = |origin: &[u8]| origins.iter().any(|rule| rule.fits(origin));
    if origins.is_empty()
        || offered(context, proxy) != Some(Protocol::WebSocket)
        || context.request.head.fields.named(context.request.bytes, b"origin").all(listed)
    {
        return Ok(Filtered::Continue);
    }
    let detail = "Pages of this origin may not open a WebSocket here.";
    let problem = Problem { kind: "", title: "Forbidden", detail, violated_policy: "" };
    let response = LocalResponse { status: 403, reason: "websocket_origin_denied", body: LocalBody::Problem(problem) };
    local_response::refuse(exchange, response).await
}

/// Adds the fields that HTTP/1.1 needs and an HTTP/2 client does not send: `Sec-WebSocket-Key` and `-Version`.
pub(crate) fn prepare<N: Net>(context: Context<'_, N>, state: &mut RequestState) {
    let request = context.request;
    if !is_extended(context) || upgrade::protocol(request.bytes, request.head) != Some(Protocol::WebSocket) {
        return;
    }
    let net = &context.shard.thread.net;
    let key = handshake::key([net.random(), net.random()]);
    let (fields, patch) = (&request.head.fields, &mut state.effects.to_upstream);
    patch.set(fields, request.bytes, b"Sec-WebSocket-Key", &key);
    if request.named(b"sec-websocket-version").is_none() {
        patch.add(b"Sec-WebSocket-Version", b"13");
    }
}

/// The protocol to request from an endpoint with this HTTP version. HTTP/2 can carry only WebSocket.
pub(crate) fn asked<N: Net>(
    context: Context<'_, N>,
    destination: &Destination<'_, N>,
    version: Version,
) -> Option<Protocol> {
    let protocol = destination.upgrade?;
    match (version, protocol) {
        (Version::H2, Protocol::Other) if !is_extended(context) => None,
        (Version::H10 | Version::H11 | Version::H2, protocol) => Some(protocol),
    }
}

/// Does the response in `state.response`, whose head is at the front of `bytes`, switch to the requested protocol?
///
/// # Errors
/// It switches to another protocol, `Sec-WebSocket-Accept` is wrong, or the client would take it for a switch by
/// mistake.
pub(crate) fn switched<N: Net>(
    context: Context<'_, N>,
    destination: &Destination<'_, N>,
    state: &RequestState,
    bytes: &[u8],
    version: Version,
) -> Result<Option<Protocol>, Fault> {
    let asked = asked(context, destination, version);
    let response = Response { bytes, head: &state.response };
    let wrong = Err(Fault::last(FaultKind::UpstreamProtocol));
    match (version, state.response.status) {
        (Version::H2, 200) if asked.is_some() => Ok(asked),
        (Version::H10 | Version::H11, 101) => {
            let chosen = asked.and_then(|_| upgrade::accepted(context.request, response));
            let proven = !is_extended(context) || chosen != Some(Protocol::WebSocket) || is_proven(state, response);
            if chosen.is_some() && proven { Ok(chosen) } else { wrong }
        }
        (Version::H2, 101) => wrong,
        (Version::H10 | Version::H11 | Version::H2, 200..300) if is_extended(context) => wrong,
        (Version::H10 | Version::H11 | Version::H2, _) => Ok(None),
    }
}

/// Did the endpoint answer the key that we made?
fn is_proven(state: &RequestState, response: Response<'_>) -> bool {
    let key = state.effects.to_upstream.added().find(|(name, _)| name.eq_ignore_ascii_case(b"sec-websocket-key"));
    let mut proofs = response.head.fields.named(response.bytes, ACCEPT);
    let (Some((_, key)), Some(proof), None) = (key, proofs.next(), proofs.next()) else { return false };
    proof == handshake::accept(key)
}

/// Turns the 200 of an HTTP/2 endpoint into the 101 for an HTTP/1.1 client. `buf` holds the head only.
pub(crate) fn bridge<N: Net>(context: Context<'_, N>, state: &mut RequestState, mut buf: Buf) -> Result<Buf, Fault> {
    state.response.status = 101;
    let request = context.request;
    if is_extended(context) {
        return Ok(buf);
    }
    if let Some(key) = request.value(Known::SecWebsocketKey) {
        let patch = &mut state.effects.to_client;
        patch.set(&state.response.fields, buf.filled(), ACCEPT, &handshake::accept(key));
    }
    const LINE: &[u8] = b"upgradewebsocket";
    const NAME_LEN: usize = b"upgrade".len();
    if buf.spare() < LINE.len() {
        let mut larger = context.shard.thread.pool.take(buf.len() + LINE.len() + limits::HEADROOM);
        larger.reset(limits::HEADROOM);
        if !larger.append(buf.filled()) {
            return Err(Fault::last(FaultKind::UpstreamHeadTooLarge));
        }
        context.shard.thread.pool.put(std::mem::replace(&mut buf, larger));
    }
    let start = buf.len();
    if start + LINE.len() > usize::from(u16::MAX) || !buf.append(LINE) {
        return Err(Fault::last(FaultKind::UpstreamHeadTooLarge));
    }
    let name = Span::new(start, start + NAME_LEN);
    let value = Span::new(start + NAME_LEN, buf.len());
    state.response.fields.push(Field { name, value, known: Known::Upgrade });
    state.response.len = buf.len();
    Ok(buf)
}

fn is_extended<N: Net>(context: Context<'_, N>) -> bool {
    !context.request.head.protocol.is_empty()
}
