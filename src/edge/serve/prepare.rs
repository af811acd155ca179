// SPDX-License-Identifier: Apache-2.0
//! Hot. Prepares the upstream request: target, forwarding headers, and the route's changes to headers.

use crate::base::{Fault, FaultKind};
use crate::config::plan::{ProxyPlan, RoutePlan};
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::fields;
use crate::edge::exchange::vars::Vars;
use crate::edge::forward::upgrade;
use crate::edge::shard::attributes::Attributes;
use crate::edge::shard::scratch::RequestState;
use crate::net::Net;
use crate::route::rewrite::Original;
use crate::wire::field::Known;
use crate::wire::patch::Patch;
use crate::wire::target::{self, Slashes};
use crate::wire::trace::Trace;

/// Fills `state.target` and `state.effects.to_upstream`.
pub(crate) fn prepare<N: Net, S, K>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
    proxy: &ProxyPlan,
) -> Result<(), Fault> {
    let context = exchange.context;
    write_target(context, exchange.state, proxy)?;
    let listener = context.listener_plan();
    let RequestState { effects, attributes, .. } = &mut *exchange.state;
    let Attributes { client, request_id, .. } = attributes;
    let patch = &mut effects.to_upstream;
    listener.forwarded.apply(&context.peer.inbound, client, context.request, patch);
    if listener.ids.request_id && context.request.value(Known::XRequestId) != Some(request_id) {
        patch.remove_known(&context.request.head.fields, Known::XRequestId);
        patch.add_known(Known::XRequestId, b"X-Request-Id: ", |value| value.extend_from_slice(request_id));
    }
    if listener.ids.traceparent {
        trace_context(context, patch);
    }
    fields::request_fields(context, exchange.state, &route.request_fields);
    if context.request.head.upgrade {
        upgrade::prepare(context, exchange.state);
    }
    Ok(())
}

/// Continues the client's trace with a span of ours, or begins one.
fn trace_context<N: Net>(context: Context<'_, N>, patch: &mut Patch) {
    let net = &context.shard.thread.net;
    let received = context.request.value(Known::Traceparent).and_then(Trace::parse);
    let ours = match received {
        Some(trace) => trace.child(net.random()),
        None => Trace::start([net.random(), net.random(), net.random()]),
    };
    patch.remove_known(&context.request.head.fields, Known::Traceparent);
    patch.add_known(Known::Traceparent, b"traceparent: ", |value| value.extend_from_slice(&ours.text()));
}

/// The target for the upstream: the normalised path, so that the upstream sees the path that was routed (with the
/// repeated slashes that rules ignore), and the query as received.
fn write_target<N: Net>(context: Context<'_, N>, state: &mut RequestState, proxy: &ProxyPlan) -> Result<(), Fault> {
    let RequestState { attributes, record, effects, target: out, value, .. } = state;
    out.clear();
    value.clear();
    let has_query = effects.append_query(context.request, value);
    let query = has_query.then_some(&value[..]);
    let mut written = true;
    match &proxy.rewrite {
        Some(rewrite) => {
            let original = Original { path: &attributes.path, query };
            written = rewrite.write(original, &Vars::new(context, attributes, record), out);
        }
        None => {
            let rules = &context.listener_plan().path_rules;
            let merged = attributes.merged && rules.slashes == Slashes::Match;
            if !merged || !target::with_slashes(context.request.path(), rules, &attributes.path, out) {
                out.extend_from_slice(&attributes.path);
            }
            if let Some(query) = query {
                out.push(b'?');
                out.extend_from_slice(query);
            }
        }
    }
    if written { Ok(()) } else { Err(Fault::last(FaultKind::BadRequest)) }
}
