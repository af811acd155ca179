// SPDX-License-Identifier: Apache-2.0
//! One shard: its plan, open connections, counters and queues. Shards share nothing but the plan. All tasks that serve
//! clients hold an `Rc<Shard>`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::base::Tick;
use crate::edge::adapt::encoders::Encoders;
use crate::edge::flow::thread::Thread;
use crate::edge::shard::allowance::Allowance;
use crate::edge::shard::bound::Bound;
use crate::edge::shard::discarded::Discarded;
use crate::edge::shard::log::LogSink;
use crate::edge::shard::peers::{self, Peers};
use crate::edge::shard::questions::Questions;
use crate::edge::shard::registry::Registry;
use crate::edge::shard::scratch::ScratchPool;
use crate::edge::shard::tracer::Tracer;
use crate::edge::shard::usage::{METER, Meter};
use crate::edge::shard::waiters::Subject;
use crate::link::{Counter, FromShard, Mesh, Outbox, ToPeer};
use crate::net::Net;
use crate::policy::directory::Directory;

/// A draining shard still serves a request that arrives within this time on a keep-alive connection, because the client
/// may have sent it before the drain began.
const DRAIN_IDLE_MS: u64 = 1_000;

/// The operator is told of lacking descriptors once in this time.
const DESCRIPTOR_NOTICE: Duration = Duration::from_secs(10);

/// Longest wait of a shard that ends for the exchanges that it broke off.
const CUT_OFF_MS: u64 = 200;
/// The interval at which it looks whether they have ended.
const CUT_OFF_LOOK_MS: u64 = 2;

/// What all tasks of a shard share.
pub(crate) struct Shard<N: Net> {
    /// The thread that runs it.
    pub thread: Rc<Thread<N>>,
    /// Free exchange scratch.
    pub scratch: ScratchPool,
    /// Encoders of content codings.
    pub encoders: Encoders,
    /// Open client connections.
    pub registry: Rc<Registry<N>>,
    /// Access-log lines on their way.
    pub log: LogSink,
    /// Notices about failed handshakes.
    pub handshake_notices: Allowance,
    /// Notices about malformed requests.
    pub malformed_notices: Allowance,
    /// Which requests an operator wants to see.
    pub tracer: Tracer,
    /// Notices about file descriptors that have run out.
    pub descriptor_notices: Allowance,
    /// How many were lacking since the last notice.
    pub unsaid_descriptors: Cell<u64>,
    /// To the control plane.
    pub outbox: Outbox,
    /// To and from the other shards.
    pub peers: Peers<N>,
    /// Who may call, whatever the plan.
    pub directory: RefCell<Directory>,
    /// What policies ask the control plane.
    pub questions: Questions,
    /// Who called what, until the control plane takes it.
    pub meter: Meter,
    /// Where replaced plans leave their states.
    pub discarded: Rc<Discarded<N>>,
    /// When a draining shard closes connections that wait for a request.
    drain_idle_until: Cell<Tick>,
    /// Requests being served now.
    active: Cell<u64>,
    /// Requests whose serving began so far.
    begun: Cell<u64>,
    /// Open tunnels.
    pub tunnels: Cell<u64>,
    bound: RefCell<Option<Rc<Bound<N>>>>,
    drained_told: Cell<bool>,
}

/// Counts a request as being served, also where serving it panics.
pub(crate) struct Serving<'a> {
    active: &'a Cell<u64>,
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.active.set(self.active.get() - 1);
    }
}

impl<N: Net> Shard<N> {
    /// A shard without a plan.
    pub(crate) fn new(thread: Thread<N>, outbox: Outbox, mesh: Mesh<ToPeer>) -> Shard<N> {
        Shard {
            thread: Rc::new(thread),
            scratch: ScratchPool::default(),
            encoders: Encoders::default(),
            registry: Rc::default(),
            log: LogSink::default(),
            handshake_notices: Allowance::default(),
            malformed_notices: Allowance::default(),
            tracer: Tracer::default(),
            descriptor_notices: Allowance::once_in(DESCRIPTOR_NOTICE),
            unsaid_descriptors: Cell::new(0),
            peers: Peers::new(mesh, outbox.clone()),
            outbox,
            directory: RefCell::default(),
            questions: Questions::default(),
            meter: Meter::default(),
            discarded: Rc::default(),
            drain_idle_until: Cell::new(Tick::NEVER),
            active: Cell::new(0),
            begun: Cell::new(0),
            tunnels: Cell::new(0),
            bound: RefCell::default(),
            drained_told: Cell::new(false),
        }
    }

    /// The plan in use. Only called from tasks, which begin after the first commit.
    pub(crate) fn bound(&self) -> Rc<Bound<N>> {
        self.bound_already().expect("tasks are spawned by acceptors, which open with the first plan")
    }

    /// The plan in use; `None` before the first commit.
    pub(crate) fn bound_already(&self) -> Option<Rc<Bound<N>>> {
        self.bound.borrow().clone()
    }

    /// Replaces the plan in use, by none where the shard ends. Returns the previous one.
    pub(crate) fn bind(&self, bound: Option<Rc<Bound<N>>>) -> Option<Rc<Bound<N>>> {
        self.bound.replace(bound)
    }

    /// Counts a request as active until the guard is dropped.
    pub(crate) fn serving(&self) -> Serving<'_> {
        self.active.set(self.active.get() + 1);
        self.begun.set(self.begun.get() + 1);
        Serving { active: &self.active }
    }

    /// Requests being served now.
    pub(crate) fn active(&self) -> u64 {
        self.active.get()
    }

    /// Requests whose serving began so far.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// When a connection that waits for a request is closed because the shard drains; never while it does not.
    pub(crate) fn drain_idle_until(&self) -> Tick {
        self.drain_idle_until.get()
    }

    /// Finishes what runs and takes nothing new.
    pub(crate) fn drain(&self) {
        self.drain_idle_until.set(self.thread.net.now().after_ms(DRAIN_IDLE_MS));
        self.thread.draining.raise();
        self.registry.interrupt();
        self.tell_drained();
    }

    /// Breaks off the exchanges that still run, and waits until they are recorded. What waits for something else than a
    /// client or an endpoint may miss that.
    pub(crate) async fn cut_off(&self) {
        self.registry.cut_off();
        let net = &self.thread.net;
        let until = net.now().after_ms(CUT_OFF_MS);
        while self.active.get() > 0 && net.now() < until {
            net.sleep_until(net.now().after_ms(CUT_OFF_LOOK_MS)).await;
        }
    }

    /// Reports to the control plane. Nothing else fills their queue: a full one means a control plane that is gone.
    pub(crate) fn tell(&self, message: FromShard) {
        if self.outbox.send(message).is_err()
            && let Some(bound) = &*self.bound.borrow()
        {
            bound.counters.add(Counter::LinkDropped, 1);
        }
    }

    /// Sends usage to be recorded, unless some is on its way already.
    pub(crate) fn send_usage(&self) {
        let net = &self.thread.net;
        if let Some(batch) = self.meter.batch(net.now(), net.wall()) {
            self.tell(FromShard::Usage(Box::new(batch)));
        }
    }

    /// The usage up to the batch of this number is recorded: billed responses that wait for it go on, and those that
    /// were counted meanwhile are sent at once.
    pub(crate) fn usage_recorded(&self, sequence: u64) {
        self.meter.recorded(sequence);
        self.peers.wake(Subject { owner: METER, key: sequence });
        if self.meter.is_urgent() {
            self.send_usage();
        }
    }

    /// Sends what is left of usage, before the shard ends.
    pub(crate) fn send_last_usage(&self) {
        let net = &self.thread.net;
        if let Some(batch) = self.meter.last_batch(net.now(), net.wall()) {
            self.tell(FromShard::Usage(Box::new(batch)));
        }
    }

    /// Reports the end of a drain, once.
    pub(crate) fn tell_drained(&self) {
        let empty = self.thread.draining.is_raised() && self.registry.open() == 0;
        if empty && !self.drained_told.replace(true) {
            self.check();
            self.flush();
            self.tell(FromShard::Drained);
        }
    }

    /// Sends log lines on and publishes everything.
    pub(crate) fn flush(&self) {
        if let Some(bound) = &*self.bound.borrow() {
            self.log.flush(&self.outbox, &bound.counters);
            self.publish(bound);
        }
    }

    /// Do the counts of everything on this shard agree? They do whenever no task of it runs.
    fn agrees(&self) -> Result<(), &'static str> {
        self.registry.check()?;
        self.peers.check()?;
        let Some(bound) = &*self.bound.borrow() else { return Ok(()) };
        bound.upstreams().try_for_each(|(_, upstream)| {
            if self.active.get() == 0 && !upstream.load.is_unused() {
                return Err("an upstream has requests of a shard that serves none");
            }
            upstream.check()
        })
    }

    /// In the simulator, fails the run where counts do not agree.
    pub(crate) fn check(&self) {
        self.thread.net.check(|| self.agrees());
    }

    /// Sends log lines on and publishes the levels of the shard itself.
    pub(crate) fn flush_own(&self) {
        if let Some(bound) = &*self.bound.borrow() {
            self.log.flush(&self.outbox, &bound.counters);
            self.publish_own(bound);
        }
    }

    /// Writes all levels to the counters, where the control plane sees them.
    pub(crate) fn publish(&self, bound: &Bound<N>) {
        self.publish_own(bound);
        for (id, upstream) in bound.upstreams() {
            bound.publish(id, upstream);
        }
        bound.policies().for_each(|(id, state)| peers::publish_limit(&bound.counters, id.0, state));
    }

    /// Writes the levels of the shard itself.
    pub(crate) fn publish_own(&self, bound: &Bound<N>) {
        let counters = &bound.counters;
        counters.set(Counter::Connections, self.registry.open() as u64);
        counters.set(Counter::IdleConnections, self.registry.idle() as u64);
        counters.set(Counter::Active, self.active.get());
        counters.set(Counter::Tunnels, self.tunnels.get());
        counters.set(Counter::Panics, self.thread.net.panics());
        counters.set(Counter::KeptBodyBytes, self.scratch.kept.now() as u64);
        counters.add(Counter::KeptBodiesLacking, self.scratch.kept.take_lacking());
        counters.set(Counter::UsageSeries, self.meter.series() as u64);
        self.peers.publish(counters);
    }
}
