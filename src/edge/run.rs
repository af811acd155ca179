// SPDX-License-Identifier: Apache-2.0
//! The main task of a shard's thread: takes messages from the control plane, binds plans, opens and closes acceptors,
//! and keeps house about once a second, until it receives `Stop`.

use std::rc::Rc;

use crate::balance::Health;
use crate::base::{Address, ListenerId};
use crate::config::plan::Plan;
use crate::edge::client::accept;
use crate::edge::client::acceptor::Acceptor;
use crate::edge::client::relief;
use crate::edge::flow::signal::unless;
use crate::edge::flow::thread::Thread;
use crate::edge::shard::bound::{Bound, Owner, Parts};
use crate::edge::shard::peers::publish_limit;
use crate::edge::shard::report;
use crate::edge::shard::slices::Slices;
use crate::edge::shard::state::Shard;
use crate::edge::upstream::pool::Upstream;
use crate::link::{FromShard, ListeningSocket, ShardEnd, ToShard};
use crate::net::{BellWaiter, Net};
use crate::policy::PolicyState;
use crate::policy::directory::Revision;
use crate::policy::limit::{ShardId, Shards};

/// The interval of housekeeping on a busy shard.
const HOUSEKEEPING_MS: u64 = 250;
/// And while it has nothing to do.
const HOUSEKEEPING_IDLE_MS: u64 = 1_000;
/// Longest wait for listening sockets to be closed before a shard ends.
const CLOSE_MS: u64 = 200;
/// So long the ring takes at most to close a socket that was given up.
const RING_MS: u64 = 2;

/// Runs a shard until it receives `Stop`. `driver` names the I/O driver in the first message.
pub async fn run<N: Net>(net: N, end: ShardEnd<N::Socket>, ear: N::BellWaiter, driver: &'static str) {
    let shard = Rc::new(Shard::new(Thread::new(net), end.outbox.clone(), end.mesh));
    // The first message has an empty queue before it, so it cannot be refused.
    let _ = shard.outbox.send(FromShard::Started { driver });
    let thread = shard.thread.clone();
    thread.net.spawn(keep_house(shard.clone()));
    thread.net.spawn(ring_peers(shard.clone()));
    thread.net.spawn(free_discarded(shard.clone()));
    thread.net.spawn(relief::run(shard.clone()));
    let mut main = Main { shard, prepared: None, acceptors: Vec::new(), applied: Revision::default() };
    while !thread.stopping.is_raised() {
        while let Ok(message) = end.inbox.try_recv() {
            main.take(message).await;
        }
        main.tell_applied();
        main.shard.peers.hear(&thread.net);
        if unless(&thread.stopping, ear.rung()).await.is_none() {
            break;
        }
    }
    main.close_sockets().await;
    main.shard.cut_off().await;
    main.shard.peers.surrender(thread.net.now());
    main.shard.send_last_usage();
    main.shard.discarded.close();
    main.shard.flush();
    if let Some(bound) = main.shard.bind(None) {
        bound.upstreams().for_each(|(_, upstream)| upstream.close_idle());
    }
}

/// What only the main task needs.
struct Main<N: Net> {
    shard: Rc<Shard<N>>,
    prepared: Option<Prepared<N>>,
    acceptors: Vec<Rc<Acceptor>>,
    /// The revision of the directory that the control plane was told of.
    applied: Revision,
}

/// A plan that waits for its commit.
struct Prepared<N: Net> {
    bound: Rc<Bound<N>>,
    sockets: Vec<ListeningSocket<N::Socket>>,
}

impl<N: Net> Main<N> {
    /// Calls `each` with the states of all policies: of the plan in use, and of the one that is being prepared.
    fn each_state(&self, each: impl Fn(&mut PolicyState)) {
        let coming = self.prepared.as_ref().map(|prepared| prepared.bound.clone());
        let bounds = self.shard.bound_already().into_iter().chain(coming);
        bounds.for_each(|bound| bound.policies().for_each(|(_, state)| each(&mut state.borrow_mut())));
    }

    async fn take(&mut self, message: ToShard<N::Socket>) {
        let shard = &self.shard;
        match message {
            ToShard::Prepare { plan, counters, sockets, transcoders } => {
                self.prepare(Parts { plan, counters, transcoders }, sockets).await;
            }
            ToShard::Commit { generation } => self.commit(generation).await,
            ToShard::Discard { generation } => {
                let discarded = self.prepared.take_if(|prepared| prepared.bound.plan.generation == generation);
                if discarded.is_some() {
                    self.retire_limits();
                }
            }
            ToShard::Endpoints { upstream: name, endpoints, generation } => {
                let now = shard.thread.net.now();
                for upstream in self.named(&name) {
                    upstream.load.cluster.borrow_mut().set_endpoints(&endpoints, now);
                    upstream.load.admit_waiting();
                }
                if let Some(Prepared { bound, .. }) = &self.prepared
                    && bound.plan.generation == generation
                {
                    bound.has_endpoints(&name);
                }
            }
            ToShard::Health { upstream, address, up } => {
                self.set_health(&upstream, &address, if up { Health::Up } else { Health::Down });
            }
            ToShard::Transcoders { source, transcoders } => {
                let fresh: Vec<_> = transcoders.into_iter().map(Rc::new).collect();
                let coming = self.prepared.as_ref().map(|prepared| prepared.bound.clone());
                let bounds = shard.bound_already().into_iter().chain(coming);
                bounds.for_each(|bound| bound.transcoders.learn(&bound.plan.transcoders, &source, &fresh));
            }
            ToShard::Directory(snapshot) => {
                // The control plane frees the one before, when no shard has it.
                drop(shard.directory.borrow_mut().rebase(snapshot));
            }
            ToShard::Change(change) => shard.directory.borrow_mut().apply(&change),
            ToShard::Lease(message) => shard.peers.hear_parent(&message, &shard.thread.net),
            ToShard::ResetLimit { limit, key } => shard.peers.reset(limit, key, shard.thread.net.now()),
            ToShard::Answer(ticket, answer) => {
                shard.questions.take(ticket, answer, &shard.peers, shard.thread.net.now());
            }
            ToShard::Keys(keys) => self.each_state(|state| state.learn(&keys)),
            ToShard::Revoked(revoked) => {
                let wall = shard.thread.net.wall();
                self.each_state(|state| state.revoke(&revoked, wall));
            }
            ToShard::UsageRecorded { sequence } => shard.usage_recorded(sequence),
            ToShard::Trace(orders) => shard.tracer.follow(orders),
            ToShard::ReportUpstreams => shard.thread.net.spawn(report::send(shard.clone())),
            ToShard::StopAccepting => self.close_acceptors(),
            ToShard::Drain => {
                self.close_acceptors();
                self.shard.drain();
            }
            ToShard::Stop => shard.thread.stopping.raise(),
        }
    }

    /// Tells which revision the directory is at, once for all changes that came together.
    fn tell_applied(&mut self) {
        let revision = self.shard.directory.borrow().revision();
        if revision > self.applied {
            self.applied = revision;
            self.shard.tell(FromShard::Applied { revision });
        }
    }

    /// The upstream of that name in the plan in use and in the one being prepared.
    fn named(&self, name: &str) -> Vec<Rc<Upstream<N>>> {
        let current = self.shard.bound_already().and_then(|bound| bound.upstream_named(name));
        let coming = self.prepared.as_ref().and_then(|prepared| prepared.bound.upstream_named(name));
        match (current, coming) {
            (Some(current), Some(coming)) if Rc::ptr_eq(&current, &coming) => vec![current],
            (current, coming) => current.into_iter().chain(coming).collect(),
        }
    }

    fn set_health(&self, upstream: &str, address: &Address, health: Health) {
        for upstream in self.named(upstream) {
            upstream.load.cluster.borrow_mut().set_health(address, health, self.shard.thread.net.now());
            upstream.load.admit_waiting();
        }
    }

    async fn prepare(&mut self, parts: Parts, sockets: Vec<ListeningSocket<N::Socket>>) {
        let shard = &self.shard;
        let generation = parts.plan.generation;
        let before = shard.bound_already();
        let own = ShardId(shard.outbox.shard as u32);
        let shards = Shards { own, count: parts.plan.process.shards as u32 };
        let Shard { thread, peers, discarded, .. } = &**shard;
        let bound = Bound::new(parts, before.as_deref(), Owner { thread, peers, discarded, shards }).await;
        self.prepared = Some(Prepared { bound: Rc::new(bound), sockets });
        shard.tell(FromShard::Prepared { generation });
    }

    async fn commit(&mut self, generation: u64) {
        let taken = self.prepared.take_if(|prepared| prepared.bound.plan.generation == generation);
        let Some(Prepared { bound, sockets }) = taken else { return };
        let shard = self.shard.clone();
        let thread = &shard.thread;
        // What was counted under the old plan is written to its counters: a breaker whose plan changes starts anew.
        shard.flush();
        drop(shard.bind(Some(bound.clone())));
        bound.take_effect(thread, &shard.peers).await;
        self.retire_limits();
        shard.log.configure(&bound.plan);
        shard.scratch.kept.limit(bound.plan.process.kept_bodies_max);
        self.rename_acceptors(&bound.plan);
        for ListeningSocket { listener, address, socket } in sockets {
            match thread.net.listener(socket) {
                Ok(listening) => {
                    let acceptor = Rc::new(Acceptor::new(address, listener));
                    self.acceptors.push(acceptor.clone());
                    thread.net.spawn(accept::run(shard.clone(), acceptor, listening));
                }
                Err(error) => shard.tell(FromShard::Failed { reason: format!("listening on {address}: {error}") }),
            }
        }
        shard.publish(&bound);
        shard.check();
        shard.tell(FromShard::Committed { generation });
    }

    /// Limits that neither the plan in use nor the one being prepared has go, after a while.
    fn retire_limits(&self) {
        let coming = self.prepared.as_ref().map(|prepared| prepared.bound.clone());
        let bounds: Vec<Rc<Bound<N>>> = self.shard.bound_already().into_iter().chain(coming).collect();
        let used = bounds.iter().flat_map(|bound| &bound.plan.policies).flat_map(|plan| plan.policy.limits());
        self.shard.peers.retire_others(used.map(|terms| terms.id), self.shard.thread.net.now());
    }

    /// Acceptors are assigned to the listener that now has their address; those without one close.
    fn rename_acceptors(&mut self, plan: &Plan) {
        self.acceptors.retain(|acceptor| {
            let named = (0..).zip(&plan.listeners).find(|(_, listener)| listener.bind.contains(&acceptor.address));
            acceptor.set_listener(named.map(|(id, _)| ListenerId(id)));
            named.is_some()
        });
    }

    /// Closes the acceptors and waits until their sockets are closed. A socket that a ring still holds when the shard
    /// ends stays open until the kernel has freed the ring, and a process that is started meanwhile could not bind.
    async fn close_sockets(&mut self) {
        let net = self.shard.thread.net.clone();
        let acceptors = self.acceptors.clone();
        self.close_acceptors();
        let until = net.now().after_ms(CLOSE_MS);
        while acceptors.iter().any(|acceptor| !acceptor.gone.is_raised()) && net.now() < until {
            net.sleep_until(net.now().after_ms(1)).await;
        }
        net.sleep_until(net.now().after_ms(RING_MS)).await;
    }

    fn close_acceptors(&mut self) {
        for acceptor in self.acceptors.drain(..) {
            acceptor.close();
        }
    }
}

/// Rings the bells of other shards that something was sent to.
async fn ring_peers<N: Net>(shard: Rc<Shard<N>>) {
    unless(&shard.thread.stopping, shard.peers.ring()).await;
}

/// Frees what replaced plans leave.
async fn free_discarded<N: Net>(shard: Rc<Shard<N>>) {
    let mut slices = Slices::new(&shard.thread, &shard.peers);
    unless(&shard.thread.stopping, shard.discarded.free(&mut slices)).await;
}

async fn keep_house<N: Net>(shard: Rc<Shard<N>>) {
    let thread = shard.thread.clone();
    let (mut busy, mut begun, mut tidy) = (true, 0, false);
    let mut slices = Slices::new(&thread, &shard.peers);
    while !thread.stopping.is_raised() {
        let wait = if busy { HOUSEKEEPING_MS } else { HOUSEKEEPING_IDLE_MS };
        let at = thread.net.now().after_ms(wait);
        unless(&thread.stopping, thread.net.sleep_until(at)).await;
        busy = shard.registry.open() > 0 || thread.draining.is_raised();
        let Some(bound) = shard.bound_already() else { continue };
        let now = thread.net.now();
        thread.set_clock(now);
        shard.check();
        for (id, upstream) in bound.upstreams() {
            upstream.sweep(bound.plan.upstream(id), now);
            busy |= upstream.load.open_count() > 0;
            bound.publish(id, upstream);
            slices.step(1).await;
        }
        // Frees spare memory of a burst once the shard is idle.
        let calm = shard.active() == 0 && shard.begun() == begun;
        if calm && !tidy {
            thread.pool.trim();
            shard.scratch.trim();
            shard.encoders.trim();
            thread.net.give_memory_back();
        }
        (begun, tidy) = (shard.begun(), calm);
        shard.registry.look_for_leavers(now);
        look_after_limits(&shard, &mut slices).await;
        for (id, state) in bound.policies() {
            publish_limit(&bound.counters, id.0, state);
            slices.step(1).await;
        }
        if shard.meter.is_due(now) {
            shard.send_usage();
        }
        shard.flush_own();
        shard.tell_drained();
        shard.check();
    }
}

/// Gives up what is idle of all limits, and frees those that no plan has any more.
async fn look_after_limits<N: Net>(shard: &Shard<N>, slices: &mut Slices<'_, N>) {
    let (gone, limits) = shard.peers.take_retired(shard.thread.net.now());
    for state in gone {
        drop(state);
        slices.step(1).await;
    }
    for state in limits {
        shard.peers.sweep(&state, &shard.thread.net);
        slices.step(1).await;
    }
}
