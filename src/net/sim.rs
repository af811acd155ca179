// SPDX-License-Identifier: Apache-2.0
//! The simulator's network: the seam `Net` on virtual time, with seeded faults, in one thread and without sockets.
//!
//! A `Simulation` owns a world of hosts; a `Sim` is one host's handle and implements `Net`. Tasks of all hosts (the
//! gateway's shards, clients, origins) run on one executor and talk through in-memory connections of bounded size.
//! Nothing depends on anything but the seed: equal seeds give equal runs, event for event.
//!
//! A run fails, with its seed and its last events, when a task misuses a stream, panics, spins, when nothing can happen
//! any more (deadlock), when it takes longer than its virtual time, or when something is left over at its end.

mod accept_queue;
pub mod faults;
mod host;
mod latch;
mod listener;
mod pipe;
mod settings;
mod stream;
mod tasks;
mod timers;
mod trace;
mod world;

use std::cell::RefCell;
use std::fmt::{self, Display, Write};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Poll;

use crate::base::{Address, Tick, Wall};
use crate::net::{Bell, BellWaiter, Net};

pub use faults::Faults;
pub use host::Sim;
pub use latch::Latch;
pub use listener::{SimListener, SimSocket};
#[cfg(any(test, feature = "sim"))]
pub use settings::PanicRule;
pub use settings::Settings;
pub use stream::SimStream;
pub use trace::Depth;

use accept_queue::AcceptQueue;
use tasks::HostId;
use world::{HeardBell, Host, Turn, World};

/// Why a run failed, with what is needed to run it again.
#[derive(Clone)]
pub struct Failure {
    /// The seed that gives the same again.
    pub seed: u64,
    /// Each of what went wrong.
    pub reasons: Vec<String>,
    /// The events that led there.
    pub trace: String,
}

impl Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "the simulation failed with seed {}", self.seed)?;
        out.write_str(&self.trace)?;
        for reason in &self.reasons {
            writeln!(out, "seed {}: {reason}", self.seed)?;
        }
        Ok(())
    }
}

/// The same as `Display`, so that an `unwrap` shows the trace line by line.
impl fmt::Debug for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, out)
    }
}

/// A world of hosts and its executor. Dropping it ends every task.
pub struct Simulation {
    world: Rc<World>,
    doors: Rc<RefCell<Vec<Rc<AcceptQueue>>>>,
}

impl Simulation {
    /// A world at time zero, with no hosts but the one that runs `run`'s future.
    pub fn new(settings: Settings) -> Simulation {
        let simulation = Simulation { world: Rc::new(World::new(settings)), doors: Rc::default() };
        simulation.host("main", [127, 0, 0, 1]);
        simulation
    }

    /// A new host.
    pub fn host(&self, name: &str, address: impl Into<IpAddr>) -> Sim {
        let host =
            Host { name: name.into(), address: address.into(), panics: 0, last_port: 32_767, descriptors: usize::MAX };
        let mut hosts = self.world.hosts.borrow_mut();
        hosts.push(host);
        self.sim(HostId(hosts.len() - 1))
    }

    /// Connections to `address` have these faults from now on.
    pub fn set_faults(&self, address: &Address, faults: Faults) {
        self.world.faults.borrow_mut().insert(address.clone(), faults);
    }

    /// Runs `main` to its end, and everything else while it runs.
    pub fn run<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> Result<T, Failure> {
        let result = Rc::new(RefCell::new(None));
        let slot = result.clone();
        let store = async move {
            let value = main.await;
            *slot.borrow_mut() = Some(value);
        };
        self.world.spawn(HostId(0), Box::pin(store));
        let time_max = Tick::ZERO.after(self.world.settings.time_max);
        loop {
            let turn = self.world.turn();
            self.failures()?;
            if let Some(value) = result.take() {
                return Ok(value);
            }
            if turn == Turn::Stuck {
                self.world.fail(HostId(0), format!("deadlock: no task is ready and no timer is set; {}", self.left()));
            }
            if self.world.now.get() > time_max {
                let text =
                    format!("not at its end after {:?} of virtual time; {}", time_max.since(Tick::ZERO), self.left());
                self.world.fail(HostId(0), text);
            }
        }
    }

    /// Runs everything until `at`.
    #[cfg(any(test, feature = "sim"))]
    pub fn run_until(&self, at: Tick) -> Result<(), Failure> {
        let clock = self.sim(HostId(0));
        self.run(async move { clock.sleep_exactly_until(at).await })
    }

    /// Fails where tasks, streams or listeners are left.
    #[cfg(any(test, feature = "sim"))]
    pub fn check_nothing_left(&self) -> Result<(), Failure> {
        let left = self.left();
        if !left.is_empty() {
            self.world.fail(HostId(0), format!("left at the end: {left}"));
        }
        self.failures()
    }

    /// Fails where something was reported already.
    pub fn failures(&self) -> Result<(), Failure> {
        if self.world.failures.borrow().is_empty() {
            return Ok(());
        }
        let reasons = self.world.failures.borrow().clone();
        Err(Failure { seed: self.world.settings.seed, reasons, trace: self.world.trace.borrow().text() })
    }

    /// A failure for a reason that was found outside of the run.
    #[cfg(any(test, feature = "sim"))]
    pub fn failure(&self, reason: String) -> Failure {
        Failure { seed: self.world.settings.seed, reasons: vec![reason], trace: self.trace() }
    }

    /// Virtual time.
    #[cfg(any(test, feature = "sim"))]
    pub fn now(&self) -> Tick {
        self.world.now.get()
    }

    /// A number that is equal for two runs only if they were equal, event for event.
    #[cfg(any(test, feature = "sim"))]
    pub fn digest(&self) -> u64 {
        self.world.trace.borrow().digest()
    }

    /// The events so far, as text.
    #[cfg(any(test, feature = "sim"))]
    pub fn trace(&self) -> String {
        self.world.trace.borrow().text()
    }

    fn sim(&self, host: HostId) -> Sim {
        Sim { world: self.world.clone(), host, doors: self.doors.clone() }
    }

    /// What exists: tasks, streams and listeners, host by host.
    fn left(&self) -> String {
        let hosts: Vec<Rc<str>> = self.world.hosts.borrow().iter().map(|host| host.name.clone()).collect();
        let mut text = String::new();
        for (number, name) in hosts.iter().enumerate() {
            let tasks = self.world.tasks_of(HostId(number));
            if !tasks.is_empty() {
                let _ = write!(text, "{name}: tasks {tasks:?}; ");
            }
        }
        for (host, what) in self.world.live.borrow().values() {
            let _ = write!(text, "{}: {what}; ", hosts[host.0]);
        }
        text
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // Tasks hold handles to the world that holds them.
        self.world.clear();
    }
}

impl Net for Sim {
    type Stream = SimStream;
    type Listener = SimListener;
    type Socket = SimSocket;
    type BellWaiter = SimBellWaiter;

    fn now(&self) -> Tick {
        self.world.operation(self.host);
        self.world.now.get()
    }

    fn wall(&self) -> Wall {
        Wall(self.world.settings.start.0 + self.now().nanos() / 1_000)
    }

    fn random(&self) -> u64 {
        self.world.rng.borrow_mut().next_u64()
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.world.spawn(self.host, Box::pin(task));
    }

    async fn sleep_until(&self, at: Tick) {
        self.sleep_exactly_until(self.world.late(at)).await;
    }

    fn connect(&self, to: &Address, until: Tick) -> impl Future<Output = io::Result<SimStream>> {
        listener::connect(self, to, until)
    }

    fn listener(&self, socket: SimSocket) -> io::Result<SimListener> {
        Ok(listener::listen(self, socket))
    }

    fn bell_waiter(&self, bell: &Bell) -> io::Result<SimBellWaiter> {
        Ok(SimBellWaiter { heard: self.world.hear(bell) })
    }

    fn panics(&self) -> u64 {
        self.world.hosts.borrow()[self.host.0].panics
    }

    fn give_memory_back(&self) {}

    fn check(&self, holds: impl FnOnce() -> Result<(), &'static str>) {
        if self.world.settings.checks
            && let Err(broken) = holds()
        {
            self.fail(broken);
        }
    }
}

/// Hears a bell: rings take effect when no task is ready, before time moves.
pub struct SimBellWaiter {
    heard: Rc<HeardBell>,
}

impl BellWaiter for SimBellWaiter {
    async fn rung(&self) {
        poll_fn(|context| {
            if self.heard.rung.take() || self.heard.bell.take() {
                return Poll::Ready(());
            }
            *self.heard.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests;
