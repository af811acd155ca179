//! Runs a route's policies in the order of their phases, and does for them what takes time: subrequests and waits for
//! leases.

use crate::base::{Fault, Tick};
use crate::config::plan::{PolicyId, RoutePlan};
use crate::edge::exchange::context::{Exchange, Scene};
use crate::edge::exchange::reply;
use crate::edge::exchange::vars::Vars;
use crate::edge::flow::stream::{Client, Source};
use crate::edge::forward::attempts::Way;
use crate::edge::forward::subrequest;
use crate::edge::serve::prepare;
use crate::edge::shard::scratch::Work;
use crate::link::RouteCounter;
use crate::net::Net;
use crate::policy::{self, Answer, Ask, Body, Decision, Effects, Facts, Own, Phase, Policy, Problem, Reply};
use crate::wire::problem;

/// What the policies made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may go on.
    Open,
    /// One of them answered it.
    Answered,
}

/// Asks every policy up to the fetch.
pub async fn pass<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
) -> Result<Gate, Fault> {
    let scene = exchange.scene;
    for (phase, id) in &route.policies {
        match phase {
            Phase::Screen | Phase::Identify | Phase::Admit | Phase::Shape => {}
            Phase::Adapt | Phase::Settle => continue,
        }
        let plan = scene.bound.plan.policy(*id);
        let mut decision = consult(scene, exchange.work, *id, |policy, own, facts, effects, now| {
            policy.decide(own, facts, effects, now)
        });
        loop {
            scene.shard.leases.send(scene.bound, *id, &scene.shard.outbox);
            match decision {
                Decision::Pass => break,
                Decision::Answer(answer) => return refuse(exchange, answer).await,
                Decision::Ask(Ask::Lease { key, until }) => {
                    let granted = scene.shard.leases.wait(&scene.shard.net, &plan.name, key, until).await;
                    let reply = if granted { Reply::Granted } else { Reply::Expired };
                    decision = resume(scene, exchange.work, *id, reply);
                }
                Decision::Ask(Ask::Subrequest { upstream, timeout, .. }) => {
                    decision = subrequest::ask(scene, exchange.work, *id, upstream, timeout).await;
                }
            }
        }
    }
    Ok(Gate::Open)
}

/// Gives a policy what it asked for.
pub fn resume<'p, N: Net>(scene: Scene<'p, N>, work: &mut Work, id: PolicyId, reply: Reply<'_>) -> Decision<'p> {
    consult(scene, work, id, |policy, own, facts, effects, now| policy.resume(own, facts, reply, effects, now))
}

/// Calls into a policy with everything that it may look at and change.
fn consult<'p, N: Net, T>(
    scene: Scene<'p, N>,
    work: &mut Work,
    id: PolicyId,
    call: impl FnOnce(&'p Policy, &mut Own, &Facts<'_, Vars<'_, N>>, &mut Effects, Tick) -> T,
) -> T {
    let mut effects = std::mem::take(&mut work.effects);
    let words = Vars::new(scene, work);
    let facts = Facts {
        request: scene.request,
        host: &work.host,
        path: &work.path,
        client: work.client.address.unwrap_or(scene.peer.ip),
        scheme: if work.https() { policy::Scheme::Https } else { policy::Scheme::Http },
        listener: policy::ListenerId(scene.listener.0),
        route: work.record.route.map(|route| policy::RouteId(route.0)),
        consumer: effects.consumer,
        wall: scene.shard.net.wall(),
        words: &words,
    };
    let policy = &scene.bound.plan.policy(id).policy;
    let now = scene.shard.net.now();
    let outcome = call(policy, &mut scene.bound.own(id).borrow_mut(), &facts, &mut effects, now);
    work.consumer = effects.consumer;
    work.effects = effects;
    outcome
}

/// Sends a policy's answer.
pub async fn refuse<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    answer: Answer<'_>,
) -> Result<Gate, Fault> {
    exchange.work.record.refused = Some(answer.reason);
    let counter = if answer.status == 429 { RouteCounter::Limited } else { RouteCounter::Denied };
    if let Some(route) = exchange.work.record.route
        && answer.status >= 400
    {
        exchange.scene.bound.counters.add_route(route.0, counter, 1);
    }
    if let Some(caller) = exchange.work.caller
        && answer.status >= 400
    {
        let words = match answer.body {
            Body::Problem(Problem { detail: "", title, .. }) => title,
            Body::Problem(Problem { detail, .. }) => detail,
            Body::Empty => "",
        };
        reply::refuse_call(exchange, caller, answer.status, words).await?;
        return Ok(Gate::Answered);
    }
    match answer.body {
        Body::Empty => reply::send(exchange, answer.status, None, b"").await?,
        Body::Problem(problem) => {
            let mut body = std::mem::take(&mut exchange.work.value);
            body.clear();
            problem.append_json(answer.status, &mut body);
            let sent = reply::send(exchange, answer.status, Some(problem::CONTENT_TYPE), &body).await;
            exchange.work.value = body;
            sent?;
        }
    }
    Ok(Gate::Answered)
}

/// The response phase, also for answers of our own: policies first, then the route's own changes. `bytes` are those
/// of the response's head.
pub fn adapt<N: Net>(scene: Scene<'_, N>, work: &mut Work, bytes: &[u8]) {
    if let Some(server) = &scene.listener_plan().server_field {
        work.effects.to_client.set(&work.response.fields, bytes, b"Server", server.as_bytes());
    }
    let Some(route) = work.record.route else { return };
    let route = scene.bound.plan.route(route);
    for (_, id) in &route.policies {
        let policy = &scene.bound.plan.policy(*id).policy;
        let mut effects = std::mem::take(&mut work.effects);
        let words = Vars::with_response(scene, work, bytes);
        policy.adapt(policy::Response { bytes, head: &work.response }, &words, &mut effects);
        work.effects = effects;
    }
    prepare::response_fields(scene, work, &route.response_fields, bytes);
}

/// Tells the client which endpoint to come back to, where it does not know.
pub fn stick<N: Net>(scene: Scene<'_, N>, way: &Way<'_, N>, work: &mut Work) {
    if let Some(sticky) = &way.plan.sticky
        && let Some(index) = work.record.endpoint
        && let Some(id) = way.upstream.cluster.borrow().sticky_id(index)
        && !scene.request.cookie(sticky.cookie.as_bytes()).is_some_and(|sent| is_id(sent, id))
    {
        work.effects.to_client.add_with(b"Set-Cookie", |value| {
            // Writing to a `Vec` cannot fail.
            let _ = std::io::Write::write_fmt(value, format_args!("{}={id:016x}{}", sticky.cookie, sticky.attributes));
        });
    }
}

fn is_id(sent: &[u8], id: u64) -> bool {
    std::str::from_utf8(sent).ok().and_then(|sent| u64::from_str_radix(sent, 16).ok()) == Some(id)
}
