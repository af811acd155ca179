//! Hot. The policies as one enum, their phases, and what each keeps on a shard. No `dyn`: the set is ours and closed.
//!
//! ```text
//!  listener's policies        route's policies
//!  Screen ──► (route) ──► Screen ─► Identify ─► Admit ─► Shape ──► (fetch) ──► Adapt ──► Settle
//! ```

use crate::base::Tick;
use crate::policy::decision::{AskOutcome, Decision, LocalBody, LocalResponse};
use crate::policy::facts::{Effects, Facts, Response};
use crate::policy::lease::{Holder, HolderCounters, LeaseReply, LeaseRequest, LimitId, ShardId};
use crate::policy::{api_key, cors, external_auth, headers, network, rate_limit};
use crate::wire::template::Lookup;

/// When a policy decides. The order is fixed and the same for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before we know who it is: source networks, CORS preflights, limits by address.
    Screen,
    /// Who is it?
    Identify,
    /// May this one do this, and how often?
    Admit,
    /// What the upstream gets to see.
    Shape,
    /// What the client gets to see.
    Adapt,
    /// What it cost, once that is known.
    Settle,
}

/// One policy's plan.
#[derive(Clone, Debug)]
pub enum Policy {
    /// Source networks allowed and denied.
    Network(network::Plan),
    /// Cross-origin resource sharing.
    Cors(cors::Plan),
    /// Consumers by API key.
    ApiKey(api_key::Plan),
    /// Consumers by the word of another server.
    ExternalAuth(external_auth::Plan),
    /// Requests per time.
    RateLimit(rate_limit::Plan),
    /// Request and response fields added, set, removed, renamed.
    Headers(headers::Plan),
}

/// What a policy keeps on one shard.
#[derive(Debug)]
pub enum Own {
    /// Nothing.
    Nothing,
    /// Slots of a rate limit, boxed because most policies have nothing.
    RateLimit(Box<Holder>),
}

impl Policy {
    /// When it decides.
    pub fn phase(&self) -> Phase {
        match self {
            Policy::Network(_) => Phase::Screen,
            // A preflight carries no credentials, and a page can only read a refusal that has its CORS fields: so
            // before all others.
            Policy::Cors(_) => Phase::Screen,
            Policy::ApiKey(_) | Policy::ExternalAuth(_) => Phase::Identify,
            Policy::RateLimit(plan) => plan.phase(),
            Policy::Headers(_) => Phase::Shape,
        }
    }

    /// Its name in logs, metrics and the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Policy::Network(_) => "network",
            Policy::Cors(_) => "cors",
            Policy::ApiKey(_) => "api_key",
            Policy::ExternalAuth(_) => "external_auth",
            Policy::RateLimit(_) => "rate_limit",
            Policy::Headers(_) => "headers",
        }
    }

    /// Fresh state for one shard. On a reload, a shard keeps the old `Own` where `limit_id` is equal.
    pub fn own(&self, shard: ShardId, shards: u32) -> Own {
        match self {
            // tidy(hot): once for a shard and a plan.
            Policy::RateLimit(plan) => Own::RateLimit(Box::new(plan.holder(shard, shards))),
            Policy::Network(_) | Policy::Cors(_) | Policy::ApiKey(_) | Policy::ExternalAuth(_) | Policy::Headers(_) => {
                Own::Nothing
            }
        }
    }

    /// The limit that its `Own` holds slots of; `None` where it keeps nothing.
    pub fn limit_id(&self) -> Option<LimitId> {
        match self {
            Policy::RateLimit(plan) => Some(plan.limit_id()),
            Policy::Network(_) | Policy::Cors(_) | Policy::ApiKey(_) | Policy::ExternalAuth(_) | Policy::Headers(_) => {
                None
            }
        }
    }

    /// Decides on a request.
    pub fn decide<L: Lookup>(
        &self,
        own: &mut Own,
        facts: &Facts<'_, L>,
        effects: &mut Effects,
        now: Tick,
    ) -> Decision<'_> {
        match self {
            Policy::Network(plan) => plan.decide(facts),
            Policy::Cors(plan) => plan.decide(facts, effects),
            Policy::ApiKey(plan) => plan.decide(facts, effects),
            Policy::ExternalAuth(plan) => plan.decide(facts, effects),
            Policy::RateLimit(plan) => match own {
                Own::RateLimit(holder) => plan.decide(holder, facts, effects, now),
                Own::Nothing => mismatch(),
            },
            Policy::Headers(plan) => plan.decide(facts, effects),
        }
    }

    /// Goes on after an `Ask`, with what came of it. May ask again; the first deadline stays.
    pub fn resume<L: Lookup>(
        &self,
        own: &mut Own,
        facts: &Facts<'_, L>,
        reply: AskOutcome<'_>,
        effects: &mut Effects,
        now: Tick,
    ) -> Decision<'_> {
        match self {
            Policy::ExternalAuth(plan) => plan.resume(facts, reply, effects),
            Policy::RateLimit(plan) => match own {
                Own::RateLimit(holder) => plan.resume(holder, facts, reply, effects, now),
                Own::Nothing => mismatch(),
            },
            // These never ask.
            Policy::Network(_) | Policy::Cors(_) | Policy::ApiKey(_) | Policy::Headers(_) => Decision::Pass,
        }
    }

    /// Changes the response on its way to the client, in the same order as the requests' decisions. Called for answers
    /// of the gateway too.
    pub fn adapt<L: Lookup>(&self, response: Response<'_>, words: &L, effects: &mut Effects) {
        match self {
            Policy::Cors(plan) => plan.adapt(response, effects),
            Policy::Headers(plan) => plan.adapt(response, words, effects),
            Policy::Network(_) | Policy::ApiKey(_) | Policy::ExternalAuth(_) | Policy::RateLimit(_) => {}
        }
    }
}

impl Own {
    /// The next message to the control plane, if any; `sent` once it is in the queue.
    pub fn message(&self) -> Option<LeaseRequest> {
        match self {
            Own::Nothing => None,
            Own::RateLimit(holder) => holder.message(),
        }
    }

    /// The message that `message` showed is in the queue.
    pub fn sent(&mut self) {
        match self {
            Own::Nothing => {}
            Own::RateLimit(holder) => holder.sent(),
        }
    }

    /// A message from the control plane. Returns the key whose waiting requests may resume.
    pub fn receive(&mut self, reply: LeaseReply, now: Tick) -> Option<u64> {
        let Own::RateLimit(holder) = self else { return None };
        match reply {
            LeaseReply::Grant(grant) => {
                holder.grant(grant, now);
                Some(grant.key)
            }
            LeaseReply::Recall(recall) => {
                holder.recall(recall, now);
                None
            }
        }
    }

    /// Gives up what is idle, looking at `count` entries. Call it a few times a second.
    pub fn sweep(&mut self, count: usize, now: Tick) {
        match self {
            Own::Nothing => {}
            Own::RateLimit(holder) => holder.sweep(count, now),
        }
    }

    /// What a limit did on this shard so far.
    pub fn counters(&self) -> Option<HolderCounters> {
        match self {
            Own::Nothing => None,
            Own::RateLimit(holder) => Some(holder.counters()),
        }
    }
}

/// A policy was given the state of another: a bug of the caller. A limit that cannot be checked is not passed.
fn mismatch<'p>() -> Decision<'p> {
    debug_assert!(false, "a policy was given another's state");
    Decision::Respond(LocalResponse { status: 500, reason: "internal", body: LocalBody::Empty })
}
