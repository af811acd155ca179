// SPDX-License-Identifier: Apache-2.0
//! A listening socket as those who connect see it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::Waker;

use crate::base::{Address, Tick};
use crate::net::sim::stream::SimStream;
use crate::net::sim::tasks::HostId;

/// A listening socket as those who connect see it.
pub(crate) struct AcceptQueue {
    /// Where it listens.
    pub address: Address,
    /// Who listens.
    pub host: HostId,
    /// Connections that may wait.
    pub backlog: usize,
    /// Connections that wait, each from its tick on.
    pub queue: RefCell<VecDeque<(Tick, SimStream)>>,
    /// Who waits for one.
    pub waker: RefCell<Option<Waker>>,
    /// Connections of a burst become visible together at this tick.
    pub burst: Cell<Tick>,
}
