//! The shard's open client connections: to count them, to wake the idle ones when the shard drains, to cap addresses.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use ahash::AHashMap;

use crate::net::{Net, Stream, Transport};

/// All open client connections of a shard.
pub struct Registry<N: Net> {
    entries: RefCell<Vec<Option<Rc<Transport<N::Stream>>>>>,
    vacant: RefCell<Vec<usize>>,
    by_address: RefCell<AHashMap<IpAddr, u32>>,
    open: Cell<usize>,
    idle: Cell<usize>,
}

impl<N: Net> Default for Registry<N> {
    fn default() -> Registry<N> {
        Registry {
            entries: RefCell::default(),
            vacant: RefCell::default(),
            by_address: RefCell::default(),
            open: Cell::new(0),
            idle: Cell::new(0),
        }
    }
}

/// A connection's place in the registry; leaving is its drop.
pub struct Place<N: Net> {
    registry: Rc<Registry<N>>,
    at: Option<usize>,
    address: Option<IpAddr>,
    idle: Cell<bool>,
}

impl<N: Net> Registry<N> {
    /// Counts one more connection.
    pub fn enter(self: &Rc<Self>) -> Place<N> {
        self.open.set(self.open.get() + 1);
        Place { registry: self.clone(), at: None, address: None, idle: Cell::new(false) }
    }

    /// Open connections.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Open connections between two requests.
    pub fn idle(&self) -> usize {
        self.idle.get()
    }

    /// Wakes every connection that waits for a request.
    pub fn interrupt(&self) {
        for stream in self.entries.borrow().iter().flatten() {
            stream.interrupt();
        }
    }
}

impl<N: Net> Place<N> {
    /// Makes the connection known, so that it can be interrupted.
    pub fn attach(&mut self, stream: &Rc<Transport<N::Stream>>) {
        let mut entries = self.registry.entries.borrow_mut();
        let at = self.registry.vacant.borrow_mut().pop().unwrap_or(entries.len());
        if at == entries.len() {
            entries.push(None);
        }
        entries[at] = Some(stream.clone());
        self.at = Some(at);
    }

    /// Counts the connection for `address`. False where that address has `max` already (zero is no cap).
    #[must_use]
    pub fn claim(&mut self, address: IpAddr, max: u32) -> bool {
        if max == 0 {
            return true;
        }
        let mut by_address = self.registry.by_address.borrow_mut();
        let count = by_address.entry(address).or_insert(0);
        if *count >= max {
            return false;
        }
        *count += 1;
        self.address = Some(address);
        true
    }

    /// Says whether the connection waits for a request.
    pub fn set_idle(&self, idle: bool) {
        if self.idle.replace(idle) == idle {
            return;
        }
        let count = self.registry.idle.get();
        self.registry.idle.set(if idle { count + 1 } else { count.saturating_sub(1) });
    }
}

impl<N: Net> Drop for Place<N> {
    fn drop(&mut self) {
        self.set_idle(false);
        self.registry.open.set(self.registry.open.get().saturating_sub(1));
        if let Some(at) = self.at {
            self.registry.entries.borrow_mut()[at] = None;
            self.registry.vacant.borrow_mut().push(at);
        }
        if let Some(address) = self.address {
            let mut by_address = self.registry.by_address.borrow_mut();
            if let Some(count) = by_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&address);
                }
            }
        }
    }
}
