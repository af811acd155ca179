// SPDX-License-Identifier: Apache-2.0
//! What every task of a shard's thread uses, independent of the plan: the network, buffers, random numbers, clocks, and
//! the signals of drain and stop.

use std::cell::{Cell, RefCell};

use crate::base::date::DateCache;
use crate::base::{BufPool, Fault, FaultKind, Rng, Tick, Wall};
use crate::edge::flow::descriptors::Descriptors;
use crate::edge::flow::signal::Signal;
use crate::net::Net;

/// What every task of a thread uses.
pub(crate) struct Thread<N: Net> {
    /// The machine.
    pub net: N,
    /// Free buffers.
    pub pool: BufPool,
    /// Chance, seeded from the machine.
    pub rng: RefCell<Rng>,
    /// The current second as text.
    pub dates: RefCell<DateCache>,
    /// The calendar at some tick not long ago.
    clock: Cell<(Tick, Wall)>,
    /// Bytes of HTTP/2 streams that came and were not read yet, of clients.
    pub unread: Cell<usize>,
    /// File descriptors that were lacking.
    pub descriptors: Descriptors,
    /// Raised when the thread drains.
    pub draining: Signal,
    /// Raised when the thread should end at once.
    pub stopping: Signal,
}

impl<N: Net> Thread<N> {
    /// A thread that runs on `net`.
    pub(crate) fn new(net: N) -> Thread<N> {
        Thread {
            pool: BufPool::new(),
            rng: RefCell::new(Rng::new(net.random())),
            dates: RefCell::default(),
            clock: Cell::new((net.now(), net.wall())),
            unread: Cell::new(0),
            descriptors: Descriptors::default(),
            draining: Signal::default(),
            stopping: Signal::default(),
            net,
        }
    }

    /// The fault as it is recorded: on a thread that was stopped, exchanges fail because of that.
    pub(crate) fn or_stopped(&self, fault: Fault) -> Fault {
        if self.stopping.is_raised() { Fault::last(FaultKind::Stopped) } else { fault }
    }

    /// Asks the machine for the calendar at `now`.
    pub(crate) fn set_clock(&self, now: Tick) {
        self.clock.set((now, self.net.wall()));
    }

    /// The calendar at `tick`, without asking the machine: the two clocks run together for as long as housekeeping
    /// takes.
    pub(crate) fn wall_at(&self, tick: Tick) -> Wall {
        let (then, wall) = self.clock.get();
        Wall(wall.0 + tick.micros_since(then))
    }

    /// The calendar at the last housekeeping: right to a fraction of a second, for `Date` fields.
    pub(crate) fn wall_lately(&self) -> Wall {
        self.clock.get().1
    }
}
