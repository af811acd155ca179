// SPDX-License-Identifier: Apache-2.0
//! Hot. Requests that wait until something about a key of theirs arrives on this shard.
//!
//! Whoever waits has a slot; slots of one key are a list, so that waking touches only them. At most `WAITERS_MAX` wait:
//! above it a wait ends at once, as if its time were over.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use ahash::RandomState;

use crate::base::Tick;
use crate::base::limits::WAITERS_MAX;
use crate::net::Net;

/// What is waited for: a key of something that has keys, by the identities of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    /// Whose key.
    pub owner: u64,
    /// Which key.
    pub key: u64,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The key was woken.
    Woken,
    /// The time is over.
    Expired,
    /// Too many wait.
    Refused,
}

/// All waiting requests of a shard.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    slots: RefCell<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    /// The first free slot; they form a list by `next`.
    free: u32,
    taken: usize,
    /// The first waiter of each key.
    first: HashMap<Subject, u32, RandomState>,
}

/// One waiter. `next` and `previous` are others of the same key.
#[derive(Debug)]
struct Slot {
    subject: Subject,
    next: u32,
    previous: u32,
    woken: bool,
    waker: Option<Waker>,
}

/// The end of a list.
const NONE: u32 = u32::MAX;

impl Waiters {
    /// Waits until `wake` is called for the subject. When the time is over, `last_look` may call it once more: what was
    /// to wake the waiter may be there and not be looked at yet.
    pub(crate) async fn wait<N: Net>(&self, net: &N, subject: Subject, until: Tick, last_look: impl Fn()) -> Waited {
        let Some(waiter) = self.enter(subject) else { return Waited::Refused };
        let mut timeout = std::pin::pin!(net.sleep_until(until));
        let woken = poll_fn(|context| {
            if waiter.is_woken(context.waker()) {
                return Poll::Ready(true);
            }
            timeout.as_mut().poll(context).map(|()| false)
        })
        .await;
        if woken {
            return Waited::Woken;
        }
        last_look();
        if waiter.was_woken() { Waited::Woken } else { Waited::Expired }
    }

    /// Wakes all that wait for it.
    pub(crate) fn wake(&self, subject: Subject) {
        let mut slots = self.slots.borrow_mut();
        let mut at = slots.first.remove(&subject).unwrap_or(NONE);
        while at != NONE {
            let slot = &mut slots.slots[at as usize];
            at = std::mem::replace(&mut slot.next, NONE);
            slot.previous = NONE;
            slot.woken = true;
            if let Some(waker) = slot.waker.take() {
                // Only marks the task as ready; it runs later and may borrow then.
                waker.wake();
            }
        }
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.slots.borrow().taken
    }

    fn enter(&self, subject: Subject) -> Option<Waiter<'_>> {
        let mut slots = self.slots.borrow_mut();
        (slots.taken < WAITERS_MAX).then(|| Waiter { waiters: self, at: slots.take(subject) })
    }
}

/// A taken slot, given back when dropped: a request whose client has gone stops waiting wherever it is.
struct Waiter<'a> {
    waiters: &'a Waiters,
    at: u32,
}

impl Waiter<'_> {
    fn was_woken(&self) -> bool {
        self.waiters.slots.borrow().slots[self.at as usize].woken
    }

    /// Was it woken? Otherwise it will wake this.
    fn is_woken(&self, waker: &Waker) -> bool {
        let mut slots = self.waiters.slots.borrow_mut();
        let slot = &mut slots.slots[self.at as usize];
        if !slot.woken && !slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            slot.waker = Some(waker.clone());
        }
        slot.woken
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiters.slots.borrow_mut().give_back(self.at);
    }
}

impl Slots {
    fn take(&mut self, subject: Subject) -> u32 {
        self.taken += 1;
        let next = self.first.get(&subject).copied().unwrap_or(NONE);
        let slot = Slot { subject, next, previous: NONE, woken: false, waker: None };
        let at = match self.slots.get(self.free as usize) {
            Some(free) => {
                let at = self.free;
                self.free = free.next;
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.free = self.slots.len() as u32;
                self.free - 1
            }
        };
        if next != NONE {
            self.slots[next as usize].previous = at;
        }
        self.first.insert(subject, at);
        at
    }

    fn give_back(&mut self, at: u32) {
        let Slot { subject, next, previous, woken, .. } = self.slots[at as usize];
        if !woken {
            match (previous, next) {
                (NONE, NONE) => {
                    self.first.remove(&subject);
                }
                (NONE, next) => {
                    self.first.insert(subject, next);
                    self.slots[next as usize].previous = NONE;
                }
                (previous, next) => {
                    self.slots[previous as usize].next = next;
                    if next != NONE {
                        self.slots[next as usize].previous = previous;
                    }
                }
            }
        }
        let slot = &mut self.slots[at as usize];
        slot.waker = None;
        slot.next = self.free;
        self.free = at;
        self.taken -= 1;
        if self.taken == 0 && self.slots.len() > KEEP {
            *self = Slots::default();
        }
    }
}

/// Slots that are kept when nobody waits; after a burst of more, all memory goes back.
const KEEP: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    fn subject(key: u64) -> Subject {
        Subject { owner: 1, key }
    }

    #[test]
    fn above_the_cap_nobody_waits() {
        let waiters = Waiters::default();
        let held: Vec<Waiter<'_>> =
            (0..WAITERS_MAX as u64).map(|key| waiters.enter(subject(key % 7)).unwrap()).collect();
        assert!(waiters.enter(subject(1)).is_none());
        drop(held);
        assert_eq!(waiters.count(), 0);
        assert!(waiters.slots.borrow().slots.is_empty() && waiters.enter(subject(1)).is_some());
    }

    proptest! {
        #[test]
        fn exactly_those_of_a_key_are_woken(
            steps in prop::collection::vec((0_u8..3, 0_u64..4, any::<usize>()), 1..300),
        ) {
            let waiters = Waiters::default();
            let mut held: Vec<(u64, Waiter<'_>)> = Vec::new();
            let mut woken = BTreeSet::new();
            for (what, key, at) in steps {
                match what {
                    0 => held.push((key, waiters.enter(subject(key)).unwrap())),
                    1 if !held.is_empty() => {
                        let (_, waiter) = held.swap_remove(at % held.len());
                        woken.remove(&waiter.at);
                    }
                    _ => {
                        waiters.wake(subject(key));
                        woken.extend(held.iter().filter(|(of, _)| *of == key).map(|(_, waiter)| waiter.at));
                    }
                }
                let seen = held.iter().filter(|(_, waiter)| waiter.was_woken()).map(|(_, waiter)| waiter.at);
                prop_assert_eq!(seen.collect::<BTreeSet<_>>(), woken.clone());
                prop_assert_eq!(waiters.count(), held.len());
            }
        }
    }
}
