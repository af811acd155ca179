//! Runs a route's policies in the order of their phases, and does for them what takes time: subrequests and waits for
//! leases.

use crate::base::Fault;
use crate::config::plan::RoutePlan;
use crate::edge::exchange::context::{Exchange, Filtered};
use crate::edge::exchange::policies::{self, Asked};
use crate::edge::exchange::reply;
use crate::edge::flow::stream::{Client, Source};
use crate::edge::forward::subrequest;
use crate::net::Net;
use crate::policy::{Ask, AskOutcome, Decision, Phase};

/// Asks every policy up to the fetch.
pub async fn pass<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
) -> Result<Filtered, Fault> {
    let context = exchange.context;
    for (memo, (phase, id)) in route.policies.iter().enumerate() {
        match phase {
            Phase::Screen | Phase::Identify | Phase::Admit | Phase::Shape => {}
            Phase::Adapt | Phase::Settle => continue,
        }
        let plan = context.bound.plan.policy(*id);
        let asked = Asked { id: *id, memo };
        let mut decision = policies::decide(context, exchange.work, asked);
        loop {
            context.shard.leases.send(context.bound, *id, &context.shard.outbox);
            match decision {
                Decision::Pass => break,
                Decision::Respond(response) => return reply::refuse(exchange, response).await,
                Decision::Ask(Ask::Lease { key, until }) => {
                    let granted = context.shard.leases.wait(&context.shard.thread.net, &plan.name, key, until).await;
                    let outcome = if granted { AskOutcome::Granted } else { AskOutcome::Expired };
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
