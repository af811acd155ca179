// SPDX-License-Identifier: Apache-2.0
//! Asks the policies of a listener or a route in the order of their phases, and does for them what takes time:
//! subrequests, waits for leases, and pauses.

use crate::base::{Fault, PolicyId};
use crate::config::plan::Alternatives;
use crate::edge::exchange::context::{Exchange, Filtered};
use crate::edge::exchange::local_response;
use crate::edge::exchange::policies::{self as asking, Asked};
use crate::edge::exchange::whole;
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::forward::subrequest;
use crate::edge::serve::alternatives::Tried;
use crate::edge::shard::questions::{Sending, owner_of};
use crate::edge::shard::waiters::Subject;
use crate::net::Net;
use crate::policy::{Ask, AskOutcome, Decision, Phase};

/// Asks `policies`, in their order; of the `alternatives` among them, until one identifies the caller. The first one
/// remembers at `first` of `RequestState::memos`, the others behind it.
pub(crate) async fn pass<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    policies: &[(Phase, PolicyId)],
    alternatives: Alternatives,
    first: usize,
) -> Result<Filtered, Fault> {
    let context = exchange.context;
    let (peers, net) = (&context.shard.peers, &context.shard.thread.net);
    let mut tried = Tried::new(alternatives);
    for (at, (phase, id)) in policies.iter().enumerate() {
        if let Some(response) = tried.refusal(at, &mut exchange.state.effects.to_client) {
            return local_response::refuse(exchange, response).await;
        }
        if tried.is_settled(at) {
            continue;
        }
        let asked = Asked { id: *id, memo: first + at, phase: *phase };
        let mark = tried.is_alternative(at).then(|| tried.begin(&exchange.state.effects.to_client));
        let before = exchange.state.effects.to_upstream.mark();
        let (state, mut deadline) = (context.bound.own(*id), None);
        let mut decision = asking::decide(context, exchange.state, asked);
        loop {
            peers.carry(state, || net.now());
            let woken = match decision {
                Decision::Pass => {
                    let skipped = exchange.state.memos[asked.memo].is_skipped();
                    tried.passed(mark.filter(|_| !skipped), &mut exchange.state.effects.to_client);
                    break;
                }
                Decision::Respond(response) if let Some(mark) = mark => {
                    tried.refused(response, mark, &mut exchange.state.effects.to_client);
                    exchange.state.effects.to_upstream.drop_added_since(before);
                    break;
                }
                Decision::Respond(response) => {
                    if let Some(trap) = context.bound.plan.policy(*id).policy.trap() {
                        peers.spread(trap, state);
                    }
                    return local_response::refuse(exchange, response).await;
                }
                Decision::Ask(Ask::Peer { limit, key, until }) => {
                    // Where it asks again, the first deadline stays.
                    let until = *deadline.get_or_insert(until);
                    peers.wait(net, Subject { owner: limit.0, key }, until).await
                }
                Decision::Ask(Ask::Pause { until }) => peers.pause(net, until).await,
                Decision::Ask(Ask::Body { bytes_max }) => {
                    Box::pin(whole::keep(exchange, bytes_max)).await?;
                    true
                }
                Decision::Ask(Ask::Control { key, until }) => {
                    let until = *deadline.get_or_insert(until);
                    let sending = context.shard.questions.send(state, &context.shard.outbox, net.now());
                    sending == Sending::All && peers.wait(net, Subject { owner: owner_of(state), key }, until).await
                }
                Decision::Ask(Ask::Subrequest { upstream, timeout, .. }) => {
                    decision = Box::pin(subrequest::ask(context, exchange.state, asked, upstream, timeout)).await;
                    continue;
                }
            };
            let outcome = if woken { AskOutcome::Woken } else { AskOutcome::Expired };
            decision = asking::resume(context, exchange.state, asked, outcome);
        }
    }
    match tried.refusal(policies.len(), &mut exchange.state.effects.to_client) {
        Some(response) => local_response::refuse(exchange, response).await,
        None => Ok(Filtered::Continue),
    }
}
