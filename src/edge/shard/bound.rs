// SPDX-License-Identifier: Apache-2.0
//! A plan together with one shard's own state for it, in arrays that the plan's ids index.
//!
//! Requests hold an `Rc<Bound>`: those that began before a reload finish on the old one. State is carried over by name:
//! upstreams as they are, limits that did not change.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::{ListenerId, PolicyId, Rng, Tick, UpstreamId};
use crate::config::plan::Plan;
use crate::edge::shard::peers::Peers;
use crate::edge::shard::transcoders::Transcoders;
use crate::edge::upstream::pool::Upstream;
use crate::link::{Counters, UpstreamCounter};
use crate::net::Net;
use crate::policy::PolicyState;
use crate::policy::limit::{LimitId, Shards, Terms};
use crate::route::Table;
use crate::wire::grpc::json::Transcoder;
use crate::wire::h2::connection;

/// A plan bound to a shard.
pub(crate) struct Bound<N: Net> {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Where this shard counts under it.
    pub counters: Arc<Counters>,
    /// What turns JSON into messages and back.
    pub transcoders: Transcoders,
    tables: Vec<Table>,
    policies: Vec<Rc<RefCell<PolicyState>>>,
    upstreams: Vec<Rc<Upstream<N>>>,
    http2: Vec<Rc<connection::Config>>,
}

/// What a shard is given for a plan.
pub(crate) struct Parts {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Where to count under it.
    pub counters: Arc<Counters>,
    /// Transcoders by `TranscoderId`, where the shard has none that serves.
    pub transcoders: Vec<Option<Transcoder>>,
}

impl<N: Net> Bound<N> {
    /// Binds a plan, taking over what `before` has under the same names.
    pub(crate) fn new(
        Parts { plan, counters, transcoders }: Parts,
        before: Option<&Bound<N>>,
        peers: &Peers,
        shards: Shards,
        rng: &mut Rng,
        now: Tick,
    ) -> Bound<N> {
        let upstreams = plan.upstreams.iter().map(|upstream| {
            let kept = before.and_then(|before| before.upstream_named(&upstream.name));
            kept.unwrap_or_else(|| Upstream::new(upstream, rng, now))
        });
        let upstreams = upstreams.collect();
        let policies = plan.policies.iter().map(|policy| {
            // Generations count plans, so a limit that is new has the same version on all shards.
            let fresh = || policy.policy.state(shards, plan.generation as u32);
            match policy.policy.limit() {
                Some((id, _)) => peers.limit(id, before.and_then(|before| before.limit(id)), fresh),
                None => Rc::new(RefCell::new(fresh())),
            }
        });
        let policies = policies.collect();
        // Clones share the tree, but not the scratch memory of regular expressions, in which shards would meet at a
        // lock.
        let tables = plan.listeners.iter().map(|listener| listener.table.clone()).collect();
        let http2 = plan.listeners.iter().map(|listener| Rc::new(listener.http2.limits.clone())).collect();
        let held = before.map(|before| (&before.plan.transcoders[..], &before.transcoders));
        let transcoders = Transcoders::new(&plan.transcoders, transcoders, held);
        Bound { plan, counters, transcoders, tables, policies, upstreams, http2 }
    }

    /// Makes carried-over upstreams and limits follow this plan, and closes the connections of upstreams that `before`
    /// had and this has not. Called when the plan is committed, not when it is prepared.
    pub(crate) fn take_effect(&self, before: &Bound<N>, peers: &Peers, now: Tick) {
        for (plan, state) in self.plan.policies.iter().zip(&self.policies) {
            let Some((_, rate)) = plan.policy.limit() else { continue };
            if let Some(part) = state.borrow_mut().part()
                && part.terms().rate != rate
            {
                part.set_terms(Terms { version: self.plan.generation as u32, rate }, now);
            }
            peers.carry(state, || now);
        }
        for (plan, upstream) in self.plan.upstreams.iter().zip(&self.upstreams) {
            let Some(known) = before.plan.upstream_named(&plan.name) else { continue };
            let known = before.plan.upstream(known);
            let mut cluster = upstream.load.cluster.borrow_mut();
            cluster.set_plan(&plan.cluster);
            upstream.follow_tls(plan);
            // For upstreams with DNS names, the control plane sends the new list.
            if plan.names.is_empty() && (known.fixed != plan.fixed || !known.names.is_empty()) {
                cluster.set_endpoints(&plan.fixed, now);
            }
        }
        for (plan, upstream) in before.plan.upstreams.iter().zip(&before.upstreams) {
            if self.plan.upstream_named(&plan.name).is_none() {
                upstream.close_idle();
            }
        }
    }

    /// The routes of a listener.
    pub(crate) fn table(&self, id: ListenerId) -> &Table {
        &self.tables[id.0 as usize]
    }

    /// What a listener allows connections of HTTP/2.
    pub(crate) fn http2(&self, id: ListenerId) -> &Rc<connection::Config> {
        &self.http2[id.0 as usize]
    }

    /// The state of an upstream.
    pub(crate) fn upstream(&self, id: UpstreamId) -> &Rc<Upstream<N>> {
        &self.upstreams[id.0 as usize]
    }

    /// The state of the upstream of that name.
    pub(crate) fn upstream_named(&self, name: &str) -> Option<Rc<Upstream<N>>> {
        let id = self.plan.upstream_named(name)?;
        Some(self.upstream(id).clone())
    }

    /// The state of a policy.
    pub(crate) fn own(&self, id: PolicyId) -> &RefCell<PolicyState> {
        &self.policies[id.0 as usize]
    }

    /// Every policy's state with its id.
    pub(crate) fn policies(&self) -> impl Iterator<Item = (PolicyId, &RefCell<PolicyState>)> {
        (0..).map(PolicyId).zip(self.policies.iter().map(|state| &**state))
    }

    /// The state of the policy that is this limit.
    fn limit(&self, id: LimitId) -> Option<Rc<RefCell<PolicyState>>> {
        let policy = self.plan.policy_of_limit(id)?;
        Some(self.policies[policy.0 as usize].clone())
    }

    /// Writes an upstream's levels, and what happened to it since this was last called, to the counters.
    pub(crate) fn publish(&self, id: UpstreamId, upstream: &Upstream<N>) {
        let (counters, load) = (&self.counters, &upstream.load);
        counters.set_upstream(id.0, UpstreamCounter::Open, load.open_count() as u64);
        counters.set_upstream(id.0, UpstreamCounter::Idle, upstream.idle_count() as u64);
        counters.set_upstream(id.0, UpstreamCounter::Queued, load.queued() as u64);
        let mut cluster = load.cluster.borrow_mut();
        counters.add_upstream(id.0, UpstreamCounter::BreakerOpened, cluster.take_openings());
        counters.add_upstream(id.0, UpstreamCounter::Ejected, cluster.take_ejections());
    }

    /// Every upstream with its id.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = (UpstreamId, &Rc<Upstream<N>>)> {
        (0..).map(UpstreamId).zip(&self.upstreams)
    }
}
