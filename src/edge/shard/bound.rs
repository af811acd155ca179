// SPDX-License-Identifier: Apache-2.0
//! A plan together with one shard's own state for it, in arrays that the plan's ids index.
//!
//! Requests hold an `Rc<Bound>`: those that began before a reload finish on the old one. State is carried over by name:
//! upstreams as they are, limits that did not change.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use ahash::RandomState;

use crate::balance::Part;
use crate::base::{ListenerId, PolicyId, UpstreamId};
use crate::cel::Program;
use crate::config::plan::{Condition, Plan, PolicyPlan, UpstreamPlan};
use crate::edge::flow::thread::Thread;
use crate::edge::shard::discarded::{Discarded, States};
use crate::edge::shard::peers::Peers;
use crate::edge::shard::slices::Slices;
use crate::edge::shard::transcoders::Transcoders;
use crate::edge::upstream::pool::{Shared, Upstream};
use crate::link::{Counters, UpstreamCounter};
use crate::net::Net;
use crate::policy::limit::{LimitId, Shards};
use crate::policy::{Phase, Policy, PolicyState};
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
    states: States<N>,
    http2: Vec<Rc<connection::Config>>,
    /// The conditions of policies, by `PolicyId`.
    conditions: Vec<Option<Program>>,
    /// Their own expressions, by `PolicyId`.
    expressions: Vec<Option<Program>>,
    changes: RefCell<Changes<N>>,
    discarded: Rc<Discarded<N>>,
}

impl<N: Net> Drop for Bound<N> {
    fn drop(&mut self) {
        self.discarded.add(std::mem::take(&mut self.states));
    }
}

/// What of a shard a plan is bound to.
pub(crate) struct Owner<'a, N: Net> {
    /// Its thread.
    pub thread: &'a Thread<N>,
    /// The other shards.
    pub peers: &'a Peers<N>,
    /// What frees the plan's states in the end.
    pub discarded: &'a Rc<Discarded<N>>,
    /// Which of the shards it is.
    pub shards: Shards,
}

/// What a plan changes in states that the plan before has as well.
struct Changes<N: Net> {
    upstreams: Vec<(usize, Following)>,
    limits: Vec<usize>,
    /// Upstreams that only the plan before has.
    gone: Vec<Rc<Upstream<N>>>,
}

impl<N: Net> Default for Changes<N> {
    fn default() -> Changes<N> {
        Changes { upstreams: Vec::new(), limits: Vec::new(), gone: Vec::new() }
    }
}

/// What of an upstream follows a new plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Following {
    Plan,
    PlanAndEndpoints,
}

impl Following {
    fn of(before: &UpstreamPlan, after: &UpstreamPlan) -> Option<Following> {
        // For upstreams with DNS names, the control plane sends the new list.
        let listed = after.names.is_empty() && (before.fixed != after.fixed || !before.names.is_empty());
        match (before.cluster == after.cluster, listed) {
            (_, true) => Some(Following::PlanAndEndpoints),
            (false, false) => Some(Following::Plan),
            (true, false) => None,
        }
    }
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
    /// Binds a plan, taking over what the plan in use has under the same names. Works in slices. The plan in use must
    /// stay the same until this one takes effect or is dropped.
    pub(crate) async fn new(
        Parts { plan, counters, transcoders }: Parts,
        before: Option<&Bound<N>>,
        Owner { thread, peers, discarded, shards }: Owner<'_, N>,
    ) -> Bound<N> {
        let mut slices = Slices::new(thread, peers);
        let part = Part { own: shards.own.0, count: shards.count };
        let home = Shared { part, generation: plan.generation, postbox: peers.postbox.clone() };
        let (mut changes, mut states) = (Changes::default(), States::default());
        for (at, upstream) in (0..).zip(&plan.upstreams) {
            let known = before.and_then(|before| Some((before, before.plan.upstream_named(&upstream.name)?)));
            let state = match known {
                Some((before, id)) => {
                    changes.upstreams.extend(Following::of(before.plan.upstream(id), upstream).map(|what| (at, what)));
                    before.upstream(id).clone()
                }
                None => {
                    let state = Upstream::new(upstream, &home, &mut thread.rng.borrow_mut(), thread.net.now());
                    peers.know(&state);
                    state
                }
            };
            states.upstreams.push(state);
            slices.step(1).await;
        }
        let inherited: HashMap<_, _, RandomState> = before.into_iter().flat_map(|before| before.asking()).collect();
        for (at, policy) in (0..).zip(&plan.policies) {
            // Generations count plans, so a limit that is new has the same version on all shards.
            let fresh = || policy.policy.state(shards, plan.generation as u32);
            let limits = policy.policy.limits();
            let state = match limits.first() {
                None if let Some(trap) = policy.policy.trap() => peers.traps(trap, fresh),
                Some(first) => {
                    let known = before.and_then(|before| before.limit(first.id));
                    let state = peers.limits(limits.iter().map(|terms| terms.id), known, fresh);
                    if state.borrow_mut().parts().is_some_and(|parts| parts.differs(limits.iter().copied())) {
                        changes.limits.push(at);
                    }
                    state
                }
                None => {
                    let known = inherited.get(&*policy.name).filter(|(before, _)| policy.policy.keeps_state_of(before));
                    known.map_or_else(|| Rc::new(RefCell::new(fresh())), |(_, state)| Rc::clone(state))
                }
            };
            states.policies.push(state);
            slices.step(1).await;
        }
        if let Some(before) = before {
            for (old, upstream) in before.plan.upstreams.iter().zip(&before.states.upstreams) {
                if plan.upstream_named(&old.name).is_none() {
                    changes.gone.push(upstream.clone());
                }
                slices.step(1).await;
            }
        }
        // Clones share the tree, but not the scratch memory of regular expressions, in which shards would meet at a
        // lock.
        let tables = plan.listeners.iter().map(|listener| listener.table.clone()).collect();
        let http2 = plan.listeners.iter().map(|listener| Rc::new(listener.http2.limits.clone())).collect();
        let conditions = plan.policies.iter().map(condition).collect();
        let expressions = plan.policies.iter().map(|policy| policy.policy.expression().cloned()).collect();
        let held = before.map(|before| (&before.plan.transcoders[..], &before.transcoders));
        let transcoders = Transcoders::new(&plan.transcoders, transcoders, held);
        let (changes, discarded) = (RefCell::new(changes), discarded.clone());
        Bound { plan, counters, transcoders, tables, states, changes, discarded, http2, conditions, expressions }
    }

    /// A plan without listeners and policies, for an exchange that lasts long (`Plan::kept`). Nothing is counted in it.
    pub(crate) fn kept(plan: Arc<Plan>, upstreams: Vec<Rc<Upstream<N>>>, discarded: &Rc<Discarded<N>>) -> Bound<N> {
        Bound {
            counters: Arc::new(Counters::new(0, 0, 0)),
            transcoders: Transcoders::new(&[], Vec::new(), None),
            tables: Vec::new(),
            states: States { policies: Vec::new(), upstreams },
            http2: Vec::new(),
            conditions: Vec::new(),
            expressions: Vec::new(),
            changes: RefCell::default(),
            discarded: discarded.clone(),
            plan,
        }
    }

    /// Makes carried-over upstreams and limits follow this plan, and closes the connections of upstreams that only the
    /// plan before had. Called once, when the plan is committed, not when it is prepared. What changes is done at once
    /// where it is little, in slices where it is much.
    pub(crate) async fn take_effect(&self, thread: &Thread<N>, peers: &Peers<N>) {
        let mut slices = Slices::new(thread, peers);
        let Changes { upstreams, limits, gone } = self.changes.take();
        for at in limits {
            let (state, now) = (&self.states.policies[at], thread.net.now());
            if let Some(parts) = state.borrow_mut().parts() {
                let terms = self.plan.policies[at].policy.limits().into_iter();
                parts.follow(terms, u64::from(self.plan.generation as u32), now);
            }
            peers.carry(state, || now);
            slices.step(1).await;
        }
        for (at, following) in upstreams {
            let plan = &self.plan.upstreams[at];
            let load = &self.states.upstreams[at].load;
            load.cluster.borrow_mut().set_plan(&plan.cluster);
            if following == Following::PlanAndEndpoints {
                load.cluster.borrow_mut().set_endpoints(&plan.fixed, thread.net.now());
            }
            load.admit_waiting();
            slices.step(1 + plan.fixed.len()).await;
        }
        for upstream in gone {
            upstream.close_idle();
            slices.step(1).await;
        }
    }

    /// The control plane has sent the endpoints of an upstream for this plan, which is not in use yet: those that stand
    /// in the plan are not to take their place.
    pub(crate) fn has_endpoints(&self, upstream: &str) {
        let Some(id) = self.plan.upstream_named(upstream) else { return };
        let mut changes = self.changes.borrow_mut();
        let of_upstream = changes.upstreams.iter_mut().filter(|(at, _)| *at == id.0 as usize);
        of_upstream.for_each(|(_, following)| *following = Following::Plan);
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
        &self.states.upstreams[id.0 as usize]
    }

    /// The state of the upstream of that name.
    pub(crate) fn upstream_named(&self, name: &str) -> Option<Rc<Upstream<N>>> {
        let id = self.plan.upstream_named(name)?;
        Some(self.upstream(id).clone())
    }

    /// The state of a policy.
    pub(crate) fn own(&self, id: PolicyId) -> &Rc<RefCell<PolicyState>> {
        &self.states.policies[id.0 as usize]
    }

    /// What must hold for a policy to be asked, where it is not always asked.
    pub(crate) fn when(&self, id: PolicyId) -> Option<&Program> {
        self.conditions.get(id.0 as usize)?.as_ref()
    }

    /// The copy of a policy's own expression, where it has one.
    pub(crate) fn expression(&self, id: PolicyId) -> Option<&Program> {
        self.expressions.get(id.0 as usize)?.as_ref()
    }

    /// Every policy's state with its id.
    pub(crate) fn policies(&self) -> impl Iterator<Item = (PolicyId, &RefCell<PolicyState>)> {
        (0..).map(PolicyId).zip(self.states.policies.iter().map(|state| &**state))
    }

    /// The state of the policy whose limits this one stands for.
    fn limit(&self, id: LimitId) -> Option<Rc<RefCell<PolicyState>>> {
        let policy = self.plan.policy_of_limit(id)?;
        Some(self.states.policies[policy.0 as usize].clone())
    }

    /// The policies that may ask the control plane, with their states, by name.
    fn asking(&self) -> impl Iterator<Item = (&str, (&Policy, &Rc<RefCell<PolicyState>>))> {
        let asking = self.plan.policies.iter().zip(&self.states.policies);
        let asking = asking.filter(|(plan, _)| plan.policy.phase() == Phase::Identify);
        asking.map(|(plan, state)| (&*plan.name, (&plan.policy, state)))
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
        (0..).map(UpstreamId).zip(&self.states.upstreams)
    }
}

/// A shard's copy of what must hold for a policy to be asked.
fn condition(policy: &PolicyPlan) -> Option<Program> {
    match &policy.condition {
        Condition::When(program) => Some(program.clone()),
        Condition::Always | Condition::Never => None,
    }
}
