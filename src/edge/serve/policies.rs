//! Runs a route's policies in the order of their phases, and does for them what takes time: subrequests and waits for
//! other shards.

use crate::base::Fault;
use crate::config::plan::RoutePlan;
use crate::edge::exchange::context::{Exchange, Filtered};
use crate::edge::exchange::policies::{self, Asked};
use crate::edge::exchange::reply;
use crate::edge::flow::stream::{Client, Source};
use crate::edge::forward::subrequest;
use crate::edge::shard::waiters::Subject;
use crate::net::Net;
use crate::policy::{Ask, AskOutcome, Decision, Phase};

/// Asks every policy up to the fetch.
pub async fn pass<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
) -> Result<Filtered, Fault> {
    let context = exchange.context;
    let (peers, net) = (&context.shard.peers, &context.shard.thread.net);
    for (memo, (phase, id)) in route.policies.iter().enumerate() {
        match phase {
            Phase::Screen | Phase::Identify | Phase::Admit | Phase::Shape => {}
            Phase::Adapt | Phase::Settle => continue,
        }
        let state = context.bound.own(*id);
        let mut deadline = None;
        let asked = Asked { id: *id, memo };
        let mut decision = policies::decide(context, exchange.work, asked);
        loop {
            peers.carry(state, || net.now());
            match decision {
                Decision::Pass => break,
                Decision::Respond(response) => return reply::refuse(exchange, response).await,
                Decision::Ask(Ask::Peer { key, until }) => {
                    let owner = state.borrow_mut().part().map_or(0, |part| part.limit().0);
                    // Where it asks again, the first deadline stays.
                    let until = *deadline.get_or_insert(until);
                    let woken = peers.wait(net, Subject { owner, key }, until).await;
                    let outcome = if woken { AskOutcome::Woken } else { AskOutcome::Expired };
                    decision = policies::resume(context, exchange.work, asked, outcome);
                }
                Decision::Ask(Ask::Subrequest { upstream, timeout, .. }) => {
                    decision = subrequest::ask(context, exchange.work, asked, upstream, timeout).await;
                }
            }
        }
    }
    Ok(Filtered::Continue)
}
