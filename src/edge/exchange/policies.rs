//! Calls into policies with everything that they may look at and change.

use crate::base::{PolicyId, Tick};
use crate::edge::exchange::context::Context;
use crate::edge::exchange::fields;
use crate::edge::exchange::vars::Vars;
use crate::edge::shard::scratch::Work;
use crate::net::Net;
use crate::policy::{self, AskOutcome, Decision, Effects, Facts, Own, Policy};

/// Asks a policy what it makes of the request.
pub fn decide<'p, N: Net>(context: Context<'p, N>, work: &mut Work, id: PolicyId) -> Decision<'p> {
    consult(context, work, id, |policy, own, facts, effects, now| policy.decide(own, facts, effects, now))
}

/// Gives a policy what it asked for.
pub fn resume<'p, N: Net>(
    context: Context<'p, N>,
    work: &mut Work,
    id: PolicyId,
    outcome: AskOutcome<'_>,
) -> Decision<'p> {
    consult(context, work, id, |policy, own, facts, effects, now| policy.resume(own, facts, outcome, effects, now))
}

/// Calls into a policy with everything that it may look at and change.
fn consult<'p, N: Net, T>(
    context: Context<'p, N>,
    work: &mut Work,
    id: PolicyId,
    call: impl FnOnce(&'p Policy, &mut Own, &Facts<'_, Vars<'_, N>>, &mut Effects, Tick) -> T,
) -> T {
    let mut effects = std::mem::take(&mut work.effects);
    let words = Vars::new(context, work);
    let facts = Facts {
        request: context.request,
        host: &work.host,
        path: &work.path,
        client: work.client.address.unwrap_or(context.peer.ip),
        scheme: work.client.scheme,
        listener: context.listener,
        route: work.record.route,
        consumer: effects.consumer,
        wall: context.shard.thread.net.wall(),
        words: &words,
    };
    let policy = &context.bound.plan.policy(id).policy;
    let now = context.shard.thread.net.now();
    let outcome = call(policy, &mut context.bound.own(id).borrow_mut(), &facts, &mut effects, now);
    work.consumer = effects.consumer;
    work.effects = effects;
    outcome
}

/// The response phase, also for answers of our own: policies first, then the route's own changes. `bytes` are those
/// of the response's head.
pub fn adapt<N: Net>(context: Context<'_, N>, work: &mut Work, bytes: &[u8]) {
    if let Some(server) = &context.listener_plan().server_field {
        work.effects.to_client.set(&work.response.fields, bytes, b"Server", server.as_bytes());
    }
    let Some(route) = work.record.route else { return };
    let route = context.bound.plan.route(route);
    for (_, id) in &route.policies {
        let policy = &context.bound.plan.policy(*id).policy;
        let mut effects = std::mem::take(&mut work.effects);
        let words = Vars::with_response(context, work, bytes);
        policy.adapt(policy::Response { bytes, head: &work.response }, &words, &mut effects);
        work.effects = effects;
    }
    fields::response_fields(context, work, &route.response_fields, bytes);
}
