// SPDX-License-Identifier: Apache-2.0
//! One listening socket as its connections see it.

use std::cell::Cell;

use crate::base::{Address, ListenerId};
use crate::edge::flow::signal::Signal;

/// A listening socket, and which listener of the plan it is now.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// Its address.
    pub address: Address,
    listener: Cell<Option<ListenerId>>,
    /// Raised when no more connections are taken.
    pub closed: Signal,
    /// Raised when the listening socket was given up after that.
    pub gone: Signal,
}

impl Acceptor {
    /// An open one.
    pub(crate) fn new(address: Address, listener: ListenerId) -> Acceptor {
        let (closed, gone) = (Signal::default(), Signal::default());
        Acceptor { address, listener: Cell::new(Some(listener)), closed, gone }
    }

    /// Which listener of the plan in use it is; `None` where the plan has none any more.
    pub(crate) fn listener(&self) -> Option<ListenerId> {
        self.listener.get()
    }

    /// A new plan assigns it to a listener; without one it closes.
    pub(crate) fn set_listener(&self, listener: Option<ListenerId>) {
        self.listener.set(listener);
        if listener.is_none() {
            self.close();
        }
    }

    /// Takes no more connections. Those that are open go on.
    pub(crate) fn close(&self) {
        self.closed.raise();
    }
}
