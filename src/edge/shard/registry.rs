// SPDX-License-Identifier: Apache-2.0
//! The registry of a shard's client connections: counts them, wakes idle ones on a drain, caps connections per
//! address, and closes those that are idle longest where room is needed.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ahash::AHashMap;

use crate::base::Tick;
use crate::base::canary::{self, Flaw};
use crate::edge::flow::watch::Watch;
use crate::net::tls::Transport;
use crate::net::{Net, Peek, Stream};

/// All open client connections of a shard.
pub(crate) struct Registry<N: Net> {
    entries: RefCell<Vec<Option<Entry<N>>>>,
    vacant: RefCell<Vec<usize>>,
    by_address: RefCell<AHashMap<IpAddr, u32>>,
    open: Cell<usize>,
    idle: Cell<usize>,
    /// Idle connections that were told to close and have not yet.
    evicted: Cell<usize>,
    /// Connections above the cap that are being told so.
    refusals: Cell<usize>,
    /// Those that were idle longest when this was last looked for, the longest at the end.
    longest: RefCell<Vec<(Tick, usize)>>,
    /// No look for them before.
    look_at: Cell<Tick>,
}

/// So many connections are found with one look at all of them.
const LONGEST_MAX: usize = 64;
/// Where a look found none, the next one is made after this time.
const LOOK_AGAIN_MS: u64 = 10;

impl<N: Net> Default for Registry<N> {
    fn default() -> Registry<N> {
        Registry {
            entries: RefCell::default(),
            vacant: RefCell::default(),
            by_address: RefCell::default(),
            open: Cell::new(0),
            idle: Cell::new(0),
            evicted: Cell::new(0),
            refusals: Cell::new(0),
            longest: RefCell::default(),
            look_at: Cell::new(Tick::ZERO),
        }
    }
}

struct Entry<N: Net> {
    stream: Rc<Transport<N::Stream>>,
    watch: Rc<Watch>,
}

/// Whether one search for a connection to close has looked at all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    Not,
    Once,
}

/// A connection's entry in the registry; its drop removes it.
pub(crate) struct Registration<N: Net> {
    registry: Rc<Registry<N>>,
    at: Option<usize>,
    address: Option<IpAddr>,
    /// What its exchange waits for.
    pub watch: Rc<Watch>,
}

/// A connection that is being refused; its drop ends the count.
pub(crate) struct Refusal<N: Net> {
    registry: Rc<Registry<N>>,
}

impl<N: Net> Drop for Refusal<N> {
    fn drop(&mut self) {
        self.registry.refusals.set(self.registry.refusals.get() - 1);
    }
}

impl<N: Net> Registry<N> {
    /// Counts one more connection.
    pub(crate) fn enter(self: &Rc<Self>) -> Registration<N> {
        self.open.set(self.open.get() + 1);
        Registration { registry: self.clone(), at: None, address: None, watch: Rc::default() }
    }

    /// Open connections.
    pub(crate) fn open(&self) -> usize {
        self.open.get()
    }

    /// Open connections, without those that were told to close.
    pub(crate) fn staying(&self) -> usize {
        self.open.get() - self.evicted.get()
    }

    /// Open connections between two requests.
    pub(crate) fn idle(&self) -> usize {
        self.idle.get()
    }

    /// Connections above the cap that are being told so. They are not counted as open.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals.get()
    }

    /// Counts one more of them.
    pub(crate) fn refuse(self: &Rc<Self>) -> Refusal<N> {
        self.refusals.set(self.refusals.get() + 1);
        Refusal { registry: self.clone() }
    }

    /// Do the counts agree with what is listed?
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let entries = self.entries.borrow();
        let listed = entries.iter().flatten().count();
        if listed + self.vacant.borrow().len() != entries.len() {
            return Err("an entry of the registry is neither taken nor vacant");
        }
        let claimed: usize = self.by_address.borrow().values().map(|count| *count as usize).sum();
        if listed.max(claimed).max(self.idle.get()) > self.open.get() {
            return Err("more client connections are listed, idle or counted by address than are open");
        }
        if self.evicted.get() > self.idle.get() {
            return Err("more client connections were told to close than are idle");
        }
        Ok(())
    }

    /// Closes the connection that has waited longest for a request, if one has waited for `idle_min`. False where none
    /// has.
    #[cold]
    pub(crate) fn evict(&self, idle_min: Duration, now: Tick) -> bool {
        let mut looked = Looked::Not;
        loop {
            let Some((since, at)) = self.next_longest(idle_min, now, &mut looked) else { return false };
            let entries = self.entries.borrow();
            let Some(Some(entry)) = entries.get(at) else { continue };
            let watch = &entry.watch;
            let still = watch.idle.get() && !watch.evicted.get() && watch.idle_since.get() == since;
            if still && entry.stream.peek() != Peek::Readable {
                watch.evicted.set(true);
                self.evicted.set(self.evicted.get() + 1);
                entry.stream.interrupt();
                return true;
            }
        }
    }

    /// The next candidate. A look at all connections finds many of them, so that a flood of new connections does not
    /// look at all old ones again and again. Where none of those that a look found may be closed, because requests of
    /// theirs have arrived, another one would find the same: it comes later.
    fn next_longest(&self, idle_min: Duration, now: Tick, looked: &mut Looked) -> Option<(Tick, usize)> {
        let long = |since: Tick| now.since(since) >= idle_min;
        let mut longest = self.longest.borrow_mut();
        if longest.is_empty() && *looked == Looked::Once {
            self.look_at.set(now.after_ms(LOOK_AGAIN_MS));
        }
        if longest.is_empty() && now >= self.look_at.get() {
            *looked = Looked::Once;
            let entries = self.entries.borrow();
            let listed = (0..).zip(entries.iter()).filter_map(|(at, entry)| Some((at, &entry.as_ref()?.watch)));
            let idle = listed.filter(|(_, watch)| watch.idle.get() && !watch.evicted.get());
            longest.extend(idle.map(|(at, watch)| (watch.idle_since.get(), at)).filter(|(since, _)| long(*since)));
            if longest.len() > LONGEST_MAX {
                longest.select_nth_unstable(LONGEST_MAX);
                longest.truncate(LONGEST_MAX);
                longest.shrink_to(LONGEST_MAX);
            }
            longest.sort_unstable_by(|one, other| other.cmp(one));
            if longest.is_empty() {
                self.look_at.set(now.after_ms(LOOK_AGAIN_MS));
            }
        }
        longest.pop_if(|(since, _)| long(*since))
    }

    /// Wakes every connection that waits for a request.
    pub(crate) fn interrupt(&self) {
        for entry in self.entries.borrow().iter().flatten() {
            entry.stream.interrupt();
        }
    }

    /// Breaks off all exchanges, so that no client takes a part of a response for the whole. Connections between two
    /// requests are left alone: a reset could take a response from a client that has not read it yet.
    pub(crate) fn cut_off(&self) {
        for entry in self.entries.borrow().iter().flatten().filter(|entry| !entry.watch.idle.get()) {
            entry.watch.break_off();
            entry.stream.abort();
        }
    }

    /// Breaks off exchanges whose client has gone.
    pub(crate) fn look_for_leavers(&self, now: Tick) {
        for entry in self.entries.borrow().iter().flatten() {
            if entry.watch.is_due(now) && entry.stream.peek() == Peek::Closed {
                entry.watch.break_off();
            }
        }
    }
}

impl<N: Net> Registration<N> {
    /// Registers the connection, so that it can be interrupted.
    pub(crate) fn attach(&mut self, stream: &Rc<Transport<N::Stream>>) {
        let entry = Entry { stream: stream.clone(), watch: self.watch.clone() };
        let mut entries = self.registry.entries.borrow_mut();
        let at = self.registry.vacant.borrow_mut().pop().unwrap_or(entries.len());
        if at == entries.len() {
            entries.push(None);
        }
        entries[at] = Some(entry);
        self.at = Some(at);
    }

    /// Counts the connection for `address`. False where that address has `max` already (zero is no cap).
    #[must_use]
    pub(crate) fn claim(&mut self, address: IpAddr, max: u32) -> bool {
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

    /// The connection waits for a request, since then.
    pub(crate) fn set_idle(&self, since: Tick) {
        if !self.watch.idle.replace(true) {
            self.watch.idle_since.set(since);
            self.registry.idle.set(self.registry.idle.get() + 1);
        }
    }

    /// Is it to be closed, because others need its room?
    pub(crate) fn is_evicted(&self) -> bool {
        self.watch.evicted.get()
    }

    /// The connection does not wait for a request any more.
    pub(crate) fn set_busy(&self) {
        if self.watch.idle.replace(false) {
            self.registry.idle.set(self.registry.idle.get().saturating_sub(1));
            if self.watch.evicted.replace(false) {
                self.registry.evicted.set(self.registry.evicted.get().saturating_sub(1));
            }
        }
    }
}

impl<N: Net> Drop for Registration<N> {
    fn drop(&mut self) {
        self.set_busy();
        self.registry.open.set(self.registry.open.get().saturating_sub(1));
        if let Some(at) = self.at
            && !canary::has(Flaw::RegistryEntry)
        {
            let entry = self.registry.entries.borrow_mut()[at].take();
            drop(entry);
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
