// SPDX-License-Identifier: Apache-2.0
//! Hot. A hierarchical timer wheel: many coarse deadlines, each armed and disarmed in constant time.
//!
//! The caller passes the time; the wheel reads no clock. A timer never fires early, and at most one unit (`UNIT`) after
//! the time that the caller passes. A timer is in at most one slot, so arming it again costs no memory, and removing it
//! leaves nothing behind. A holder whose deadline moves to a later time should leave the timer armed, and arm it again
//! when it fires.
//!
//! Seven levels of 64 slots; a slot of level `n` is 64^n units wide. A timer stands at the level of the highest group
//! of six bits in which its unit differs from `elapsed`, so that every occupied slot lies ahead of `elapsed` in its
//! level and nothing wraps: seven groups of six bits hold every unit of a 64-bit nanosecond clock.

#[cfg(test)]
use std::time::Duration;

use crate::base::Tick;

#[cfg(test)]
mod tests;

/// The width of the finest slot, about 8.4 ms: how late a timer may fire.
#[cfg(test)]
pub(crate) const UNIT: Duration = Duration::from_nanos(1 << UNIT_BITS);

/// A timer in a wheel. Belongs to whoever added it, until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer(u32);

/// A wheel of timers, each with a value.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// The unit up to which every slot was emptied.
    elapsed: u64,
    /// Which slots of each level have timers.
    occupied: [u64; LEVELS],
    /// First node of every slot, and of the list of what is due.
    heads: Box<[u32; PLACES]>,
    nodes: Vec<Node<T>>,
    /// First free node.
    free: u32,
    armed: usize,
}

#[derive(Debug)]
struct Node<T> {
    /// None in a free node.
    value: Option<T>,
    /// The unit at which it fires; meaningless while `place` is `NOWHERE`.
    due: u64,
    /// The list it is in, as an index of `heads`, or `NOWHERE`.
    place: u16,
    previous: u32,
    next: u32,
}

impl<T> Wheel<T> {
    /// An empty wheel that starts at `now`.
    pub(crate) fn new(now: Tick) -> Wheel<T> {
        Wheel {
            elapsed: now.nanos() >> UNIT_BITS,
            occupied: [0; LEVELS],
            // tidy(hot): once for a shard.
            heads: Box::new([NONE; PLACES]),
            nodes: Vec::new(),
            free: NONE,
            armed: 0,
        }
    }

    /// Adds a timer, not armed.
    pub(crate) fn add(&mut self, value: T) -> Timer {
        let node = Node { value: Some(value), due: 0, place: NOWHERE, previous: NONE, next: NONE };
        if self.free == NONE {
            self.nodes.push(node);
            return Timer(self.nodes.len() as u32 - 1);
        }
        let index = self.free;
        self.free = self.nodes[index as usize].next;
        self.nodes[index as usize] = node;
        Timer(index)
    }

    /// Removes a timer and gives its value; None where it was removed before.
    pub(crate) fn remove(&mut self, timer: Timer) -> Option<T> {
        self.disarm(timer);
        let node = self.nodes.get_mut(timer.0 as usize)?;
        let value = node.value.take()?;
        node.next = self.free;
        self.free = timer.0;
        Some(value)
    }

    /// The value of a timer; None where it was removed.
    pub(crate) fn value(&self, timer: Timer) -> Option<&T> {
        self.nodes.get(timer.0 as usize)?.value.as_ref()
    }

    /// The value of a timer, to change; None where it was removed.
    pub(crate) fn value_mut(&mut self, timer: Timer) -> Option<&mut T> {
        self.nodes.get_mut(timer.0 as usize)?.value.as_mut()
    }

    /// Is a timer armed? It is not once `pop` has given it.
    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.nodes.get(timer.0 as usize).is_some_and(|node| node.place != NOWHERE)
    }

    /// Arms a timer for `due`, or moves it there. A `due` in the past fires at the next `pop`; `Tick::NEVER` disarms.
    pub(crate) fn arm(&mut self, timer: Timer, due: Tick) {
        self.disarm(timer);
        if due == Tick::NEVER {
            return;
        }
        debug_assert!(self.value(timer).is_some(), "armed a timer that was removed");
        self.nodes[timer.0 as usize].due = due.nanos().div_ceil(1 << UNIT_BITS);
        self.armed += 1;
        self.link(timer.0);
    }

    /// Disarms a timer; a no-op where it is not armed.
    pub(crate) fn disarm(&mut self, timer: Timer) {
        if self.is_armed(timer) {
            self.unlink(timer.0);
            self.armed -= 1;
        }
    }

    /// How many timers are armed.
    #[cfg(test)]
    pub(crate) fn armed(&self) -> usize {
        self.armed
    }

    /// When `pop` should be called next: never later than one unit after the earliest deadline, and sometimes before it
    /// (the wheel then sorts a coarse slot into finer ones). None where no timer is armed.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        if self.heads[DUE] != NONE {
            return Some(Tick::from_nanos(self.elapsed << UNIT_BITS));
        }
        let (_, unit) = self.next_slot()?;
        // The last units of the 64-bit clock do not come back as nanoseconds; nobody lives to see them.
        Some(Tick::from_nanos(
            unit.checked_shl(UNIT_BITS).filter(|nanos| nanos >> UNIT_BITS == unit).unwrap_or(u64::MAX),
        ))
    }

    /// Takes one timer that is due at `now`; it is then disarmed. Call until None.
    pub(crate) fn pop(&mut self, now: Tick) -> Option<Timer> {
        let now = now.nanos() >> UNIT_BITS;
        loop {
            let index = self.heads[DUE];
            if index != NONE {
                self.disarm(Timer(index));
                return Some(Timer(index));
            }
            match self.next_slot() {
                Some((place, unit)) if unit <= now => self.empty(place, unit),
                Some(_) | None => {
                    self.elapsed = self.elapsed.max(now);
                    return None;
                }
            }
        }
    }

    /// The occupied slot that comes first, and the unit at which it starts.
    fn next_slot(&self) -> Option<(usize, u64)> {
        // A lower level shares more leading bits with `elapsed`, so its slots come first.
        let level = self.occupied.iter().position(|bits| *bits != 0)?;
        let slot = u64::from(self.occupied[level].trailing_zeros());
        let shift = SLOT_BITS * level as u32;
        let unit = ((self.elapsed >> shift) & !SLOT_MASK | slot) << shift;
        Some((level * SLOTS + slot as usize, unit))
    }

    /// Moves to `unit`, where the slot `place` starts, and sorts its timers into finer slots or the due list.
    fn empty(&mut self, place: usize, unit: u64) {
        debug_assert!(unit >= self.elapsed);
        self.elapsed = unit;
        while self.heads[place] != NONE {
            let index = self.heads[place];
            self.unlink(index);
            self.link(index);
        }
    }

    fn link(&mut self, index: u32) {
        let place = self.place_of(self.nodes[index as usize].due);
        let next = std::mem::replace(&mut self.heads[place], index);
        let node = &mut self.nodes[index as usize];
        node.place = place as u16;
        node.previous = NONE;
        node.next = next;
        if next != NONE {
            self.nodes[next as usize].previous = index;
        }
        if place != DUE {
            self.occupied[place / SLOTS] |= 1 << (place % SLOTS);
        }
    }

    fn unlink(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        let place = usize::from(std::mem::replace(&mut node.place, NOWHERE));
        let (previous, next) = (node.previous, node.next);
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous != NONE {
            self.nodes[previous as usize].next = next;
            return;
        }
        self.heads[place] = next;
        if next == NONE && place != DUE {
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
    }

    fn place_of(&self, due: u64) -> usize {
        if due <= self.elapsed {
            return DUE;
        }
        let highest = u64::BITS - 1 - (due ^ self.elapsed).leading_zeros();
        let level = highest / SLOT_BITS;
        let slot = (due >> (SLOT_BITS * level)) & SLOT_MASK;
        level as usize * SLOTS + slot as usize
    }
}

/// A unit is 2^23 ns: fine enough for deadlines that are kept to 20 ms, coarse enough that a shard wakes at most 120
/// times a second however many deadlines it has.
const UNIT_BITS: u32 = 23;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_MASK: u64 = SLOTS as u64 - 1;
/// Seven groups of six bits are 42; a unit has at most 64 - 23 = 41 bits, and one more from rounding up.
const LEVELS: usize = 7;
const _: () = assert!(LEVELS as u32 * SLOT_BITS > u64::BITS - UNIT_BITS);
const PLACES: usize = LEVELS * SLOTS + 1;
/// The list of what is due.
const DUE: usize = PLACES - 1;
const NOWHERE: u16 = u16::MAX;
const NONE: u32 = u32::MAX;
