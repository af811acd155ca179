// SPDX-License-Identifier: Apache-2.0
//! One host of a simulation, as whoever runs on it holds it.

use std::cell::RefCell;
use std::fmt::Display;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use crate::base::{Address, Tick};
use crate::net::sim::accept_queue::AcceptQueue;
use crate::net::sim::faults::Faults;
use crate::net::sim::tasks::HostId;
use crate::net::sim::world::{Timer, World};

/// One host's machine.
#[derive(Clone)]
pub struct Sim {
    pub(super) world: Rc<World>,
    pub(super) host: HostId,
    /// Where any host of the simulation listens.
    pub(super) doors: Rc<RefCell<Vec<Rc<AcceptQueue>>>>,
}

impl Sim {
    /// The host's address with a port.
    #[cfg(any(test, feature = "sim"))]
    pub fn address(&self, port: u16) -> Address {
        Address::Inet(SocketAddr::new(self.world.hosts.borrow()[self.host.0].address, port))
    }

    /// Adds a remark to the trace.
    #[cfg(any(test, feature = "sim"))]
    pub fn note(&self, note: impl Display) {
        self.world.note(self.host, note.to_string());
    }

    /// Fails the run.
    pub fn fail(&self, reason: impl Display) {
        self.world.fail(self.host, reason.to_string());
    }

    /// Ends all tasks of this host at once, as `kill -9` would: its listeners and connections close.
    #[cfg(any(test, feature = "sim"))]
    pub fn kill(&self) {
        self.world.drop_tasks(&self.world.tasks_of(self.host));
    }

    /// Streams of this host that are open.
    pub fn open_streams(&self) -> usize {
        let live = self.world.live.borrow();
        live.values().filter(|(host, what)| *host == self.host && what.starts_with("stream")).count()
    }

    /// From now on the host has at most so many connections; those above fail with `EMFILE`.
    #[cfg(any(test, feature = "sim"))]
    pub fn limit_descriptors(&self, count: usize) {
        self.world.hosts.borrow_mut()[self.host.0].descriptors = count;
    }

    /// Has it as many connections as it may have? Those that wait to be accepted take no descriptor.
    pub(super) fn lacks_descriptors(&self) -> bool {
        let limit = self.world.hosts.borrow()[self.host.0].descriptors;
        if limit == usize::MAX {
            return false;
        }
        let doors = self.doors.borrow();
        let own = doors.iter().filter(|acceptor| acceptor.host == self.host);
        let queued: usize = own.map(|acceptor| acceptor.queue.borrow().len()).sum();
        self.open_streams() - queued >= limit
    }

    /// Connections to `address` have these faults from now on.
    #[cfg_attr(not(any(test, feature = "sim")), expect(dead_code, reason = "for the simulator"))]
    pub fn set_faults(&self, address: &Address, faults: Faults) {
        self.world.faults.borrow_mut().insert(address.clone(), faults);
    }

    /// Sleeps until this very moment, where `Net::sleep_until` may be late.
    pub async fn sleep_exactly_until(&self, at: Tick) {
        let mut timer = Timer::new(self.world.clone());
        poll_fn(|context| {
            if self.world.now.get() >= at {
                return Poll::Ready(());
            }
            timer.set(at, context);
            Poll::Pending
        })
        .await;
    }

    /// Our end's address for a connection to `to`.
    pub(super) fn fresh_address(&self, to: &Address) -> Address {
        let mut hosts = self.world.hosts.borrow_mut();
        let host = &mut hosts[self.host.0];
        host.last_port = host.last_port.checked_add(1).unwrap_or(32_768);
        match to {
            Address::Inet(_) => Address::Inet(SocketAddr::new(host.address, host.last_port)),
            Address::Unix(path) => Address::Unix(path.clone()),
        }
    }
}
