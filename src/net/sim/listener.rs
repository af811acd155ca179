// SPDX-License-Identifier: Apache-2.0
//! Simulated listening sockets and connecting to them.
//!
//! Several listeners may share one address (SO_REUSEPORT): each connection goes to one of them, chosen by the seed.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::base::{Address, Tick};
use crate::net::sim::accept_queue::AcceptQueue;
use crate::net::sim::faults::Faults;
use crate::net::sim::host::Sim;
use crate::net::sim::stream::{Parties, SimStream, connection};
use crate::net::sim::trace::Subject;
use crate::net::sim::world::{Timer, World};
use crate::net::{Listener, Net, Stream};

/// A listening socket.
pub struct SimListener {
    sim: Sim,
    id: u64,
    acceptor: Rc<AcceptQueue>,
}

/// A socket to listen on, before a shard does.
#[derive(Clone, Debug)]
pub struct SimSocket {
    /// Where it listens.
    pub address: Address,
    /// Connections that wait to be accepted at most; more are not answered.
    pub backlog: usize,
}

/// Starts to listen.
pub(crate) fn listen(sim: &Sim, socket: SimSocket) -> SimListener {
    let world = &sim.world;
    let acceptor = Rc::new(AcceptQueue {
        address: socket.address,
        host: sim.host,
        backlog: socket.backlog.max(1),
        queue: RefCell::default(),
        waker: RefCell::default(),
        burst: Cell::new(Tick::ZERO),
    });
    let id = world.fresh_id();
    world.live.borrow_mut().insert(id, (sim.host, format!("listener {}", acceptor.address)));
    sim.doors.borrow_mut().push(acceptor.clone());
    SimListener { sim: sim.clone(), id, acceptor }
}

impl SimListener {
    fn poll_accept(&self, timer: &mut Timer, context: &mut Context<'_>) -> Poll<io::Result<SimStream>> {
        let world = &self.sim.world;
        let visible = self.acceptor.queue.borrow().front().map(|(at, _)| *at);
        match visible {
            Some(at) if at <= world.now.get() => {}
            waits => {
                *self.acceptor.waker.borrow_mut() = Some(context.waker().clone());
                timer.set(waits.unwrap_or(Tick::NEVER), context);
                return Poll::Pending;
            }
        }
        let chance = world.faults_of(&self.acceptor.address).accept_errors;
        if self.sim.lacks_descriptors() || world.rng.borrow_mut().chance(chance) {
            world.event(self.sim.host, Subject::World, "accept fails: EMFILE", 0);
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EMFILE)));
        }
        let taken = self.acceptor.queue.borrow_mut().pop_front();
        match taken {
            Some((_, stream)) => {
                world.event(self.sim.host, Subject::Stream(stream.connection(), true), "accepted", 0);
                Poll::Ready(Ok(stream))
            }
            None => Poll::Pending,
        }
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&self) -> io::Result<SimStream> {
        let mut timer = Timer::new(self.sim.world.clone());
        poll_fn(|context| self.poll_accept(&mut timer, context)).await
    }

    #[cfg(test)]
    fn local(&self) -> &Address {
        &self.acceptor.address
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let world = &self.sim.world;
        self.sim.doors.borrow_mut().retain(|acceptor| !Rc::ptr_eq(acceptor, &self.acceptor));
        world.live.borrow_mut().remove(&self.id);
        let waiting = self.acceptor.queue.take();
        for (_, stream) in waiting {
            stream.abort();
        }
    }
}

impl World {
    /// The faults of connections to `address`.
    pub(crate) fn faults_of(&self, address: &Address) -> Faults {
        self.faults.borrow().get(address).unwrap_or(&self.settings.faults).clone()
    }
}

impl Sim {
    /// Listens at `address`.
    pub fn listen(&self, address: &Address) -> SimListener {
        listen(self, SimSocket { address: address.clone(), backlog: 1_024 })
    }

    fn door_to(&self, address: &Address) -> Option<Rc<AcceptQueue>> {
        let doors: Vec<Rc<AcceptQueue>> =
            self.doors.borrow().iter().filter(|acceptor| acceptor.address == *address).cloned().collect();
        let chosen = self.world.rng.borrow_mut().below(doors.len() as u64) as usize;
        doors.get(chosen).cloned()
    }
}

/// Connects to whoever listens at `to`.
pub(crate) async fn connect(sim: &Sim, to: &Address, until: Tick) -> io::Result<SimStream> {
    let world = &sim.world;
    let until = world.late(until);
    let faults = world.faults_of(to);
    let (refused, unanswered, latency) = {
        let mut rng = world.rng.borrow_mut();
        let (low, high) = faults.latency_us;
        let latency = (low + rng.below(high - low + 1)) * 1_000;
        (rng.chance(faults.refused), rng.chance(faults.unanswered), latency)
    };
    if sim.lacks_descriptors() {
        world.event(sim.host, Subject::World, "connect fails: EMFILE", 0);
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    world.event(sim.host, Subject::World, "connects", 0);
    if unanswered {
        return timed_out(sim, until).await;
    }
    travel(sim, latency, until).await?;
    let mut patience = SYN_RETRY_NANOS;
    let acceptor = loop {
        let acceptor = sim.door_to(to).filter(|_| !refused);
        let Some(acceptor) = acceptor else {
            travel(sim, latency, until).await?;
            world.event(sim.host, Subject::World, "is refused", 0);
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        if acceptor.queue.borrow().len() < acceptor.backlog {
            break acceptor;
        }
        world.event(sim.host, Subject::World, "meets a full backlog", 0);
        travel(sim, patience, until).await?;
        patience *= 2;
    };
    let parties = Parties { opener: (sim.host, sim.fresh_address(to)), accepter: (acceptor.host, to.clone()) };
    let (opened, accepted) = connection(world, parties, &faults);
    world.event(sim.host, Subject::Stream(opened.connection(), false), "connected", 0);
    let visible = visible_at(world, &acceptor, &faults);
    acceptor.queue.borrow_mut().push_back((visible, accepted));
    if let Some(waker) = acceptor.waker.take() {
        waker.wake();
    }
    travel(sim, latency, until).await?;
    Ok(opened)
}

/// The kernel sends a lost SYN again after one second, then after twice as long each time.
const SYN_RETRY_NANOS: u64 = 1_000_000_000;
/// How long connections of a burst are held back at most.
const BURST_NANOS: u64 = 20_000_000;

fn visible_at(world: &World, acceptor: &AcceptQueue, faults: &Faults) -> Tick {
    let now = world.now.get();
    let mut rng = world.rng.borrow_mut();
    if acceptor.burst.get() <= now && rng.chance(faults.bursts) {
        acceptor.burst.set(Tick::from_nanos(now.nanos() + rng.below(BURST_NANOS)));
    }
    // The queue is first in, first out: what comes while a burst is held waits behind it.
    now.max(acceptor.burst.get())
}

async fn travel(sim: &Sim, nanos: u64, until: Tick) -> io::Result<()> {
    let arrival = Tick::from_nanos(sim.now().nanos() + nanos);
    if arrival > until {
        return timed_out(sim, until).await;
    }
    sim.sleep_exactly_until(arrival).await;
    Ok(())
}

async fn timed_out<T>(sim: &Sim, until: Tick) -> io::Result<T> {
    sim.sleep_exactly_until(until).await;
    sim.world.event(sim.host, Subject::World, "connect timed out", 0);
    Err(io::ErrorKind::TimedOut.into())
}
