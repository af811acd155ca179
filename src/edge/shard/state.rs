//! One shard: a thread with its own listeners, connections, pools, buckets and counters, sharing nothing with others
//! but the plan.
//!
//! `run` is the thread's main task: it takes messages from the control plane, keeps house about once a second, and ends
//! when told to. Everything else on the shard are tasks that hold an `Rc<Shard>`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::balance::Health;
use crate::base::date::DateCache;
use crate::base::{Address, BufPool, Rng, Tick, Wall};
use crate::config::plan::{ListenerId, Plan};
use crate::edge::client::accept::{self, Door};
use crate::edge::flow::signal::{Signal, unless};
use crate::edge::shard::bound::{Bound, Parts};
use crate::edge::shard::leases::Leases;
use crate::edge::shard::record::LogSink;
use crate::edge::shard::registry::Registry;
use crate::edge::shard::scratch::ScratchPool;
use crate::link::{Counter, FromShard, ListeningSocket, Outbox, ShardEnd, ToShard, UpstreamCounter};
use crate::net::{Ear, Net};

/// How often a shard keeps house while it has something to do.
const HOUSEKEEPING_MS: u64 = 250;
/// And while it has nothing to do.
const HOUSEKEEPING_IDLE_MS: u64 = 1_000;
/// A draining shard still answers a request that comes this soon on a kept connection: it may have been on its way
/// when the drain began, and a close would lose it.
const DRAIN_IDLE_MS: u64 = 1_000;

/// What all tasks of a shard share.
pub struct Shard<N: Net> {
    /// The machine.
    pub net: N,
    /// Free buffers.
    pub pool: BufPool,
    /// Free exchange scratch.
    pub scratch: ScratchPool,
    /// Open client connections.
    pub registry: Rc<Registry<N>>,
    /// Access-log lines on their way.
    pub log: LogSink,
    /// To the control plane.
    pub outbox: Outbox,
    /// Tokens held and awaited.
    pub leases: Leases,
    /// Chance, seeded from the machine.
    pub rng: RefCell<Rng>,
    /// The current second as text.
    pub dates: RefCell<DateCache>,
    /// The calendar at some tick not long ago.
    clock: Cell<(Tick, Wall)>,
    /// Raised when the shard should finish what runs and take nothing new.
    pub draining: Signal,
    /// When a draining shard closes connections that wait for a request.
    drain_idle_until: Cell<Tick>,
    /// Requests being served now.
    active: Cell<u64>,
    /// Requests whose serving began so far.
    begun: Cell<u64>,
    /// Open tunnels.
    pub tunnels: Cell<u64>,
    /// Raised when the shard should end at once.
    pub stopping: Signal,
    bound: RefCell<Option<Rc<Bound<N>>>>,
    prepared: RefCell<Option<Prepared<N>>>,
    doors: RefCell<Vec<Rc<Door>>>,
    drained_told: Cell<bool>,
}

/// Counts a request as being served, also where serving it panics.
pub struct Serving<'a> {
    active: &'a Cell<u64>,
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.active.set(self.active.get() - 1);
    }
}

struct Prepared<N: Net> {
    bound: Rc<Bound<N>>,
    sockets: Vec<ListeningSocket<N::Socket>>,
}

/// Runs a shard until it is told to stop. `driver` names the I/O driver in the first message.
pub async fn run<N: Net>(net: N, end: ShardEnd<N::Socket>, ear: N::Ear, driver: &'static str) {
    let shard = Rc::new(Shard {
        pool: BufPool::new(),
        scratch: ScratchPool::default(),
        registry: Rc::default(),
        log: LogSink::default(),
        outbox: end.outbox.clone(),
        leases: Leases::default(),
        rng: RefCell::new(Rng::new(net.random())),
        dates: RefCell::default(),
        clock: Cell::new((net.now(), net.wall())),
        draining: Signal::default(),
        drain_idle_until: Cell::new(Tick::NEVER),
        active: Cell::new(0),
        begun: Cell::new(0),
        tunnels: Cell::new(0),
        stopping: Signal::default(),
        bound: RefCell::default(),
        prepared: RefCell::default(),
        doors: RefCell::default(),
        drained_told: Cell::new(false),
        net,
    });
    // The first message has an empty queue before it, so it cannot be refused.
    let _ = shard.outbox.send(FromShard::Started { driver });
    shard.net.spawn(keep_house(shard.clone()));
    while !shard.stopping.is_raised() {
        while let Ok(message) = end.inbox.try_recv() {
            shard.take(message);
        }
        if unless(&shard.stopping, ear.hear()).await.is_none() {
            break;
        }
    }
    shard.close_doors();
    shard.flush();
    if let Some(bound) = shard.bound.borrow_mut().take() {
        bound.upstreams().for_each(|(_, upstream)| upstream.close_idle());
    }
}

impl<N: Net> Shard<N> {
    /// The plan in use. Only called from tasks, which begin after the first commit.
    pub fn bound(&self) -> Rc<Bound<N>> {
        let bound = self.bound.borrow();
        bound.as_ref().expect("tasks are spawned by doors, which open with the first plan").clone()
    }

    /// A request is being served, until what this gives is dropped.
    pub fn serving(&self) -> Serving<'_> {
        self.active.set(self.active.get() + 1);
        self.begun.set(self.begun.get() + 1);
        Serving { active: &self.active }
    }

    /// When a connection that waits for a request is closed because the shard drains; never while it does not.
    pub fn drain_idle_until(&self) -> Tick {
        self.drain_idle_until.get()
    }

    /// The calendar at `tick`, without asking the machine: the two clocks run together for as long as housekeeping
    /// takes.
    pub fn wall_at(&self, tick: Tick) -> Wall {
        let (then, wall) = self.clock.get();
        Wall(wall.0 + tick.micros_since(then))
    }

    /// The calendar at the last housekeeping: right to a fraction of a second, for `Date` fields.
    pub fn wall_lately(&self) -> Wall {
        self.clock.get().1
    }

    fn take(self: &Rc<Self>, message: ToShard<N::Socket>) {
        match message {
            ToShard::Prepare { plan, counters, sockets, transcoders } => {
                self.prepare(Parts { plan, counters, transcoders }, sockets);
            }
            ToShard::Commit { generation } => self.commit(generation),
            ToShard::Discard { generation } => {
                self.prepared.borrow_mut().take_if(|prepared| prepared.bound.plan.generation == generation);
            }
            ToShard::Endpoints { upstream, endpoints } => {
                let found = self.named(&upstream);
                let now = self.net.now();
                found.iter().for_each(|upstream| {
                    upstream.cluster.borrow_mut().set_endpoints(&endpoints, now);
                });
            }
            ToShard::Health { upstream, address, up } => {
                self.set_health(&upstream, &address, if up { Health::Up } else { Health::Down });
            }
            ToShard::Transcoders { source, transcoders } => {
                let told: Vec<_> = transcoders.into_iter().map(Rc::new).collect();
                let current = self.bound.borrow().clone();
                let coming = self.prepared.borrow().as_ref().map(|prepared| prepared.bound.clone());
                let bounds = current.into_iter().chain(coming);
                bounds.for_each(|bound| bound.transcoders.learn(&bound.plan.transcoders, &source, &told));
            }
            ToShard::Lease(reply) => self.leases.receive(&self.bound(), reply, &self.outbox, self.net.now()),
            ToShard::StopAccepting => self.close_doors(),
            ToShard::Drain => {
                self.close_doors();
                self.drain_idle_until.set(self.net.now().after_ms(DRAIN_IDLE_MS));
                self.draining.raise();
                self.registry.interrupt();
                self.tell_drained();
            }
            ToShard::Stop => self.stopping.raise(),
        }
    }

    /// The upstream of that name in the plan in use and in the one being prepared.
    fn named(&self, name: &str) -> Vec<Rc<crate::edge::upstream::pool::Upstream<N>>> {
        let current = self.bound.borrow().as_ref().and_then(|bound| bound.upstream_named(name));
        let coming = self.prepared.borrow().as_ref().and_then(|prepared| prepared.bound.upstream_named(name));
        match (current, coming) {
            (Some(current), Some(coming)) if Rc::ptr_eq(&current, &coming) => vec![current],
            (current, coming) => current.into_iter().chain(coming).collect(),
        }
    }

    fn set_health(&self, upstream: &str, address: &Address, health: Health) {
        for upstream in self.named(upstream) {
            upstream.cluster.borrow_mut().set_health(address, health, self.net.now());
        }
    }

    fn prepare(&self, parts: Parts, sockets: Vec<ListeningSocket<N::Socket>>) {
        let generation = parts.plan.generation;
        let before = self.bound.borrow().clone();
        let now = self.net.now();
        let bound = Bound::new(parts, before.as_deref(), self.outbox.shard, &mut self.rng.borrow_mut(), now);
        *self.prepared.borrow_mut() = Some(Prepared { bound: Rc::new(bound), sockets });
        self.tell(FromShard::Prepared { generation });
    }

    fn commit(self: &Rc<Self>, generation: u64) {
        let taken = self.prepared.borrow_mut().take_if(|prepared| prepared.bound.plan.generation == generation);
        let Some(Prepared { bound, sockets }) = taken else { return };
        let before = self.bound.replace(Some(bound.clone()));
        if let Some(before) = before {
            bound.take_effect(&before, self.net.now());
        }
        self.log.configure(&bound.plan);
        self.rename_doors(&bound.plan);
        for ListeningSocket { listener, address, socket } in sockets {
            match self.net.listener(socket) {
                Ok(listening) => {
                    let door = Rc::new(Door::new(address, listener));
                    self.doors.borrow_mut().push(door.clone());
                    self.net.spawn(accept::run(self.clone(), door, listening));
                }
                Err(error) => self.tell(FromShard::Failed { reason: format!("listening on {address}: {error}") }),
            }
        }
        self.publish(&bound);
        self.tell(FromShard::Committed { generation });
    }

    /// Doors go on under the listener that now has their address; those without one close.
    fn rename_doors(&self, plan: &Plan) {
        self.doors.borrow_mut().retain(|door| {
            let named = (0..).zip(&plan.listeners).find(|(_, listener)| listener.bind.contains(&door.address));
            door.set_listener(named.map(|(id, _)| ListenerId(id)));
            named.is_some()
        });
    }

    fn close_doors(&self) {
        for door in self.doors.take() {
            door.close();
        }
    }

    /// Sends what must arrive: plan hand-shakes are few, so a full queue here means a control plane that is gone.
    fn tell(&self, message: FromShard) {
        if self.outbox.send(message).is_err()
            && let Some(bound) = &*self.bound.borrow()
        {
            bound.counters.add(Counter::LinkDropped, 1);
        }
    }

    /// Reports the end of a drain, once.
    pub fn tell_drained(&self) {
        let empty = self.draining.is_raised() && self.registry.open() == 0;
        if empty && !self.drained_told.replace(true) {
            self.flush();
            self.tell(FromShard::Drained);
        }
    }

    fn flush(&self) {
        if let Some(bound) = &*self.bound.borrow() {
            self.log.flush(&self.outbox, &bound.counters);
            self.publish(bound);
        }
    }

    /// Writes levels to the counters, where the control plane sees them.
    fn publish(&self, bound: &Bound<N>) {
        let counters = &bound.counters;
        counters.set(Counter::Connections, self.registry.open() as u64);
        counters.set(Counter::IdleConnections, self.registry.idle() as u64);
        counters.set(Counter::Active, self.active.get());
        counters.set(Counter::Tunnels, self.tunnels.get());
        counters.set(Counter::Panics, self.net.panics());
        for (id, upstream) in bound.upstreams() {
            counters.set_upstream(id.0, UpstreamCounter::Open, upstream.open_count() as u64);
            counters.set_upstream(id.0, UpstreamCounter::Idle, upstream.idle_count() as u64);
            counters.set_upstream(id.0, UpstreamCounter::Queued, upstream.queued() as u64);
        }
    }
}

async fn keep_house<N: Net>(shard: Rc<Shard<N>>) {
    let (mut busy, mut begun, mut tidy) = (true, 0, false);
    while !shard.stopping.is_raised() {
        let wait = if busy { HOUSEKEEPING_MS } else { HOUSEKEEPING_IDLE_MS };
        let at = shard.net.now().after_ms(wait);
        unless(&shard.stopping, shard.net.sleep_until(at)).await;
        busy = shard.registry.open() > 0 || shard.draining.is_raised();
        let Some(bound) = shard.bound.borrow().clone() else { continue };
        let now = shard.net.now();
        shard.clock.set((now, shard.net.wall()));
        for (id, upstream) in bound.upstreams() {
            upstream.sweep(bound.plan.upstream(id), now);
            busy |= upstream.open_count() > 0;
        }
        // What a burst has left behind goes back to the machine once nothing more comes.
        let calm = shard.active.get() == 0 && shard.begun.get() == begun;
        if calm && !tidy {
            shard.pool.trim();
            shard.scratch.trim();
            shard.net.give_memory_back();
        }
        (begun, tidy) = (shard.begun.get(), calm);
        shard.registry.look_for_leavers(now);
        shard.leases.keep_house(&bound, &shard.outbox, now);
        shard.flush();
        shard.tell_drained();
    }
}
