// SPDX-License-Identifier: Apache-2.0
//! Calls policies with everything that they may read and change.

use crate::base::PolicyId;
use crate::edge::exchange::context::Context;
use crate::edge::exchange::fields;
use crate::edge::exchange::vars::Vars;
use crate::edge::shard::scratch::RequestState;
use crate::net::Net;
use crate::policy::{self, AskOutcome, Call, Decision, Facts, Phase, Policy, PolicyMemo, PolicyState};
use crate::wire::head::Response;

/// A policy that is asked about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Which.
    pub id: PolicyId,
    /// Where in `Work::memos` it remembers.
    pub memo: usize,
}

/// Asks a policy what it makes of the request.
pub(crate) fn decide<'p, N: Net>(context: Context<'p, N>, state: &mut RequestState, asked: Asked) -> Decision<'p> {
    consult(context, state, asked, |policy, state, call| policy.decide(state, call))
}

/// Gives a policy what it asked for.
pub(crate) fn resume<'p, N: Net>(
    context: Context<'p, N>,
    state: &mut RequestState,
    asked: Asked,
    outcome: AskOutcome<'_>,
) -> Decision<'p> {
    consult(context, state, asked, |policy, state, call| policy.resume(state, call, outcome))
}

/// Calls a policy with everything that it may read and change.
fn consult<'p, N: Net, T>(
    context: Context<'p, N>,
    state: &mut RequestState,
    asked: Asked,
    ask: impl FnOnce(&'p Policy, &mut PolicyState, Call<'_, Vars<'_, N>, PolicyMemo>) -> T,
) -> T {
    let RequestState { attributes, record, effects, memos, .. } = state;
    if memos.len() <= asked.memo {
        memos.resize_with(asked.memo + 1, PolicyMemo::default);
    }
    let words = Vars::new(context, attributes, record);
    let plan = &context.bound.plan;
    let consumer_name = effects.consumer.map_or("", |consumer| &*plan.consumers[consumer.0 as usize]);
    let facts = Facts {
        request: context.request,
        path: &attributes.path,
        client: attributes.client.address.unwrap_or(context.peer.ip),
        scheme: attributes.client.scheme,
        route_name: attributes.route.map_or("", |route| &*plan.route(route).name),
        consumer: effects.consumer,
        consumer_name,
        wall: context.shard.thread.net.wall(),
        words: &words,
    };
    let policy = &context.bound.plan.policy(asked.id).policy;
    let now = context.shard.thread.net.now();
    let call = Call { facts: &facts, effects, memo: &mut memos[asked.memo], now };
    let outcome = ask(policy, &mut context.bound.own(asked.id).borrow_mut(), call);
    record.reported = effects.reported.or(record.reported);
    record.consumer = effects.consumer;
    outcome
}

/// The response phase, also for answers of our own: policies first, then the route's own changes, then the policies
/// that look at what came of it (`Phase::Adapt`). `bytes` are those of the response's head.
pub(crate) fn adapt<N: Net>(context: Context<'_, N>, state: &mut RequestState, bytes: &[u8]) {
    if let Some(server) = &context.listener_plan().server_field {
        state.effects.to_client.set(&state.response.fields, bytes, b"Server", server.as_bytes());
    }
    let route = state.attributes.route.map(|route| context.bound.plan.route(route));
    let of_route = route.map_or(&[][..], |route| &route.policies);
    let all = || context.listener_plan().policies.iter().chain(of_route).enumerate();
    for (memo, (_, id)) in all().filter(|(_, (phase, _))| *phase != Phase::Adapt) {
        adapt_by(context, state, Asked { id: *id, memo }, bytes);
    }
    if let Some(route) = route {
        fields::response_fields(context, state, &route.response_fields, bytes);
    }
    for (memo, (_, id)) in all().filter(|(_, (phase, _))| *phase == Phase::Adapt) {
        adapt_by(context, state, Asked { id: *id, memo }, bytes);
    }
}

fn adapt_by<N: Net>(context: Context<'_, N>, state: &mut RequestState, asked: Asked, bytes: &[u8]) {
    let policy = &context.bound.plan.policy(asked.id).policy;
    let RequestState { attributes, record, response, effects, memos, .. } = state;
    let words = Vars::with_response(context, attributes, record, Response { bytes, head: response });
    policy.adapt(memos.get_mut(asked.memo), policy::Response { bytes, head: response }, &words, effects);
}
