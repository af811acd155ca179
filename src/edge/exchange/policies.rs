// SPDX-License-Identifier: Apache-2.0
//! Calls policies with everything that they may read and change.

use crate::base::{PolicyId, RouteId};
use crate::cel::Program;
use crate::config::plan::RoutePlan;
use crate::edge::exchange::context::Context;
use crate::edge::exchange::fields;
use crate::edge::exchange::vars::Vars;
use crate::edge::shard::attributes::Attributes;
use crate::edge::shard::record::Record;
use crate::edge::shard::scratch::{RequestBody, RequestState};
use crate::link::Counter;
use crate::net::Net;
use crate::policy::directory::Directory;
use crate::policy::{
    self, AskOutcome, Call, Decision, Facts, Identity, LocalBody, LocalResponse, Outcome, Phase, Policy, PolicyMemo,
    PolicyState, Problem,
};
use crate::wire::coding::Offer;
use crate::wire::head::Response;
use crate::wire::inspect::Scanner;

/// A policy that is asked about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Which.
    pub id: PolicyId,
    /// Where in `RequestState::memos` it remembers.
    pub memo: usize,
    /// For which phase.
    pub phase: Phase,
}

/// Asks a policy what it makes of the request, unless its condition does not hold: then it is left out.
pub(crate) fn decide<'p, N: Net>(context: Context<'p, N>, state: &mut RequestState, asked: Asked) -> Decision<'p> {
    if let Some(when) = context.bound.when(asked.id)
        && !holds(context, state, when)
    {
        make_room(&mut state.memos, asked.memo);
        state.memos[asked.memo] = PolicyMemo::Skipped;
        return Decision::Pass;
    }
    consult(context, state, asked, |policy, state, call| policy.decide_in(asked.phase, state, call))
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

/// Calls a policy with everything that it may read and change. Whoever it identifies is refused where suspended.
fn consult<'p, N: Net>(
    context: Context<'p, N>,
    state: &mut RequestState,
    asked: Asked,
    ask: impl FnOnce(&'p Policy, &mut PolicyState, Call<'_, Vars<'_, N>, PolicyMemo>) -> Decision<'p>,
) -> Decision<'p> {
    let RequestState { attributes, record, effects, memos, body, replay, .. } = state;
    make_room(memos, asked.memo);
    let words = Vars::new(context, attributes, record);
    let directory = &*context.shard.directory.borrow();
    // Before the request is forwarded, a body is only kept whole.
    let body = (*body == RequestBody::Kept).then_some(&replay[..]);
    let own_expression = context.bound.expression(asked.id);
    let facts = facts(context, attributes, (directory, body, own_expression), &words);
    let policy = &context.bound.plan.policy(asked.id).policy;
    let now = context.shard.thread.net.now();
    let call = Call { facts: &facts, effects, memo: &mut memos[asked.memo], now };
    let decision = ask(policy, &mut context.bound.own(asked.id).borrow_mut(), call);
    record.reported = effects.reported.or(record.reported);
    record.version = effects.version;
    match (effects.identified.take(), decision) {
        (Some(found), Decision::Pass) => match identify(directory, found, attributes) {
            Decision::Respond(response) if response.status == 401 && !policy.challenge().is_empty() => {
                effects.to_client.add(b"WWW-Authenticate", policy.challenge());
                Decision::Respond(response)
            }
            decision => decision,
        },
        // What refuses or has yet to ask has found nobody.
        (_, decision) => decision,
    }
}

/// Calls `look` with what is known of the request.
pub(crate) fn with_facts<N: Net, T>(
    context: Context<'_, N>,
    attributes: &Attributes,
    record: &Record,
    look: impl FnOnce(&Facts<'_, Vars<'_, N>>) -> T,
) -> T {
    let words = Vars::new(context, attributes, record);
    let directory = context.shard.directory.borrow();
    look(&facts(context, attributes, (&directory, None, None), &words))
}

/// What is known of the request.
#[inline]
fn facts<'f, 'a: 'f, N: Net>(
    context: Context<'a, N>,
    attributes: &'f Attributes,
    (directory, body, own_expression): (&'f Directory, Option<&'f [u8]>, Option<&'f Program>),
    words: &'f Vars<'a, N>,
) -> Facts<'f, Vars<'a, N>> {
    Facts {
        request: context.request,
        path: &attributes.path,
        client: attributes.client.address.unwrap_or(context.peer.ip),
        scheme: attributes.client.scheme,
        route_name: attributes.route.map_or("", |route| &*context.bound.plan.route(route).name),
        identity: &attributes.identity,
        consumer_name: &attributes.consumer,
        directory,
        certificate: context.peer.tls.as_ref().and_then(|tls| tls.client_certificate.as_deref()),
        body,
        own_expression,
        wall: context.shard.thread.net.wall(),
        words,
    }
}

/// Does the condition of a policy hold? One that has no value holds, so that nobody gets around a policy by a request
/// that its condition cannot judge.
fn holds<N: Net>(context: Context<'_, N>, state: &RequestState, when: &Program) -> bool {
    let held = with_facts(context, &state.attributes, &state.record, |facts| when.holds(facts));
    held.unwrap_or_else(|_| {
        context.bound.counters.add(Counter::ConditionFailures, 1);
        true
    })
}

fn make_room(memos: &mut Vec<PolicyMemo>, at: usize) {
    while memos.len() <= at {
        memos.push(PolicyMemo::default());
    }
}

/// Notes who a request comes from. Refuses whoever is suspended, whatever identified them, and a request whose
/// credentials belong to different consumers.
fn identify<'p>(directory: &Directory, found: Identity, attributes: &mut Attributes) -> Decision<'p> {
    if directory.is_suspended(&found) {
        return Decision::Respond(SUSPENDED);
    }
    let Ok(joined) = found.join(&attributes.identity) else { return Decision::Respond(DIFFERENT) };
    attributes.consumer.clear();
    if let Some(consumer) = joined.consumer.and_then(|number| directory.consumer(number)) {
        attributes.consumer.push_str(&consumer.name);
    }
    attributes.identity = joined;
    Decision::Pass
}

/// To a request of which one policy says that it comes from one consumer, and another policy that from another.
const DIFFERENT: LocalResponse<'static> = LocalResponse {
    status: 401,
    reason: "consumer_conflict",
    body: LocalBody::Problem(Problem {
        kind: "",
        title: "Unauthorized",
        detail: "The credentials of the request belong to different consumers.",
        violated_policy: "",
    }),
};

/// To a consumer that is suspended, whose tenant or app is, or that was removed in this moment.
const SUSPENDED: LocalResponse<'static> = LocalResponse {
    status: 403,
    reason: "consumer_suspended",
    body: LocalBody::Problem(Problem {
        kind: "",
        title: "Forbidden",
        detail: "The consumer is suspended.",
        violated_policy: "",
    }),
};

/// The response phase, also for local responses: policies first, then the route's own changes. `bytes` are those of the
/// response's head. The status of a gRPC call is not known yet; that of everything else is, so it is settled.
pub(crate) fn adapt<N: Net>(context: Context<'_, N>, state: &mut RequestState, bytes: &[u8]) {
    if let Some(server) = &context.listener_plan().server_field {
        state.effects.to_client.set(&state.response.fields, bytes, b"Server", server.as_bytes());
    }
    let id = state.attributes.route;
    for (memo, (phase, id)) in all(context, id).enumerate() {
        adapt_by(context, state, Asked { id: *id, memo, phase: *phase }, bytes);
    }
    if let Some(route) = id.map(|id| context.bound.plan.route(id)) {
        fields::response_fields(context, state, &route.response_fields, bytes);
    }
    if state.effects.settles && state.attributes.caller.is_none() {
        settle(context, state, Outcome::Status(state.response.status));
    }
}

/// Tells the policies that asked for it how the request ended. Only the first call of an exchange does something.
pub(crate) fn settle<N: Net>(context: Context<'_, N>, state: &mut RequestState, outcome: Outcome) {
    if !std::mem::take(&mut state.effects.settles) {
        return;
    }
    let net = &context.shard.thread.net;
    for ((_, id), memo) in all(context, state.attributes.route).zip(&mut state.memos) {
        let own = context.bound.own(*id);
        context.bound.plan.policy(*id).policy.settle(&mut own.borrow_mut(), memo, outcome, net.now());
        context.shard.peers.carry(own, || net.now());
    }
}

/// The policies of the listener and of the route, in the order in which they are asked.
fn all<N: Net>(context: Context<'_, N>, route: Option<RouteId>) -> impl Iterator<Item = &(Phase, PolicyId)> {
    let of_route = route.map_or(&[][..], |route| &context.bound.plan.route(route).policies);
    context.listener_plan().policies.iter().chain(of_route)
}

/// What looks at the request's body, where a policy of the route wants that.
pub(crate) fn scanner<N: Net>(context: Context<'_, N>, memos: &[PolicyMemo], route: &RoutePlan) -> Option<Scanner> {
    let mut asked = route.policies.iter().zip(memos.get(context.listener_plan().policies.len()..)?);
    asked.find_map(|((_, id), memo)| context.bound.plan.policy(*id).policy.scanner(memo))
}

/// The content coding that a policy of the route offers for the response.
pub(crate) fn coding<'p, N: Net>(
    context: Context<'p, N>,
    memos: &[PolicyMemo],
    route: &RoutePlan,
) -> Option<Offer<'p>> {
    let asked = route.policies.iter().zip(memos.get(context.listener_plan().policies.len()..)?);
    // Of several, of which all but the first have conditions, the last that was asked holds.
    asked.rev().find_map(|((_, id), memo)| context.bound.plan.policy(*id).policy.coding(memo))
}

fn adapt_by<N: Net>(context: Context<'_, N>, state: &mut RequestState, asked: Asked, bytes: &[u8]) {
    if let Some(when) = context.bound.when(asked.id) {
        let skipped = match state.memos.get(asked.memo) {
            Some(PolicyMemo::Skipped) => true,
            // It was not asked, because an earlier policy refused.
            Some(PolicyMemo::Unused) | None => !holds(context, state, when),
            Some(_) => false,
        };
        if skipped {
            return;
        }
    }
    let policy = &context.bound.plan.policy(asked.id).policy;
    let RequestState { attributes, record, response, effects, memos, .. } = state;
    let words = Vars::with_response(context, attributes, record, Response { bytes, head: response });
    policy.adapt(memos.get_mut(asked.memo), policy::Response { bytes, head: response }, &words, effects);
}
