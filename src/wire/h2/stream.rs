// SPDX-License-Identifier: Apache-2.0
//! Hot. The streams of one connection: their states, in dense slots, and the most recently closed ones.
//!
//! A slot is occupied until the stream is closed *and* its exchange has ended, so that a peer that opens and resets
//! streams cannot have more exchanges running than the limit. A small table maps the ids of open streams to slots; a
//! closed stream leaves the table at once.

use crate::wire::h2::flow::{ReceiveWindow, SendWindow, WindowOverflow};
use crate::wire::h2::priority::Priority;

/// Names one stream of one connection: its identifier, and a slot by which holders may keep their own state densely.
/// A key outlives its stream harmlessly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    id: u32,
    slot: u32,
}

impl Key {
    /// The key of stream `id` in a slot.
    pub(crate) const fn new(id: u32, slot: usize) -> Key {
        Key { id, slot: slot as u32 }
    }

    /// The stream identifier.
    pub const fn id(self) -> u32 {
        self.id
    }

    /// The slot, which no other stream has before `Connection::forget`.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// How far one direction of a stream is (RFC 9113 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// Before the head, or behind interim heads only.
    Head,
    /// Behind the head.
    Body,
    /// END_STREAM, or a reset.
    Ended,
}

/// The content length that stands for "whatever comes".
pub(super) const ANY_LENGTH: u64 = u64::MAX;

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// Zero in a free slot.
    pub id: u32,
    pub send_window: SendWindow,
    pub receive_window: ReceiveWindow,
    /// The size of the window that the peer sends into, which grows to the largest that we give.
    pub window: u32,
    /// Bytes handed out and not released.
    pub held: u32,
    pub sending: Half,
    pub receiving: Half,
    pub priority: Priority,
    /// Interim heads so far.
    pub interims: u8,
    /// Content still to come by `content-length`, or `ANY_LENGTH`.
    pub expected: u64,
    /// The scheduler's virtual time.
    pub pass: u64,
}

const _: () = assert!(size_of::<Stream>() <= 64, "one cache line");

impl Stream {
    /// WINDOW_UPDATE, or a change of the initial window by `by`.
    pub(crate) fn shift_window(&mut self, by: i64) -> Result<(), WindowOverflow> {
        self.send_window.shift(by)
    }

    /// At least one direction is not over.
    pub(crate) fn is_open(&self) -> bool {
        self.sending != Half::Ended || self.receiving != Half::Ended
    }
}

/// How a stream ended (RFC 9113 section 5.1, "closed").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// END_STREAM both ways: nothing may follow.
    Ended,
    /// The peer reset it: nothing may follow.
    ByPeer,
    /// We reset or refused it: what was on its way is ignored.
    ByUs,
    /// It was open before what we remember: be lenient.
    Forgotten,
    /// It was skipped and never open.
    Never,
}

/// Closed streams that are remembered; of older ones we are lenient.
const REMEMBERED: usize = 128;

/// All streams of a connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    free: Vec<u32>,
    /// Open addressing by id, a power of two long; id zero is a free place.
    table: Vec<Key>,
    open: usize,
    /// Ids of closed streams without their lowest bit, and how they ended in the two highest. A ring.
    past: Vec<u32>,
    past_next: usize,
    /// The highest id that fell out of `past`.
    past_lost: u32,
}

impl Streams {
    /// Streams that are open.
    pub(crate) const fn open(&self) -> usize {
        self.open
    }

    /// Slots that are taken: open streams, and closed ones whose holders are not done.
    pub(crate) const fn taken(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds an open stream.
    pub(crate) fn insert(&mut self, stream: Stream) -> Key {
        if self.table.len() < 2 * (self.open + 1) {
            self.grow();
        }
        let slot = match self.free.pop() {
            Some(slot) => slot as usize,
            None => {
                // Whole cache lines at first, without doubling an idle connection's memory.
                self.slots.reserve(if self.slots.is_empty() { 4 } else { 1 });
                self.slots.len()
            }
        };
        let key = Key::new(stream.id, slot);
        if slot == self.slots.len() {
            self.slots.push(stream);
        } else {
            self.slots[slot] = stream;
        }
        self.enter(key);
        self.open += 1;
        key
    }

    /// The open stream of an id.
    pub(crate) fn find(&self, id: u32) -> Option<Key> {
        if self.table.is_empty() {
            return None;
        }
        let mut at = self.home(id);
        loop {
            match self.table[at] {
                Key { id: 0, .. } => return None,
                key if key.id == id => return Some(key),
                _ => at = (at + 1) & (self.table.len() - 1),
            }
        }
    }

    /// The stream of a key, unless its slot was freed. It may be closed.
    pub(crate) fn get(&self, key: Key) -> Option<&Stream> {
        self.slots.get(key.slot()).filter(|stream| stream.id == key.id && key.id != 0)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.slots.get_mut(key.slot()).filter(|stream| stream.id == key.id && key.id != 0)
    }

    /// Every taken slot from `from` on.
    pub(crate) fn iter_from(&self, from: usize) -> impl Iterator<Item = (Key, &Stream)> {
        let slots = self.slots.iter().enumerate().skip(from);
        slots.filter(|(_, stream)| stream.id != 0).map(|(slot, stream)| (Key::new(stream.id, slot), stream))
    }

    /// Every stream in a taken slot, to be changed.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().filter(|stream| stream.id != 0)
    }

    /// Closes an open stream; its slot stays taken.
    pub(crate) fn close(&mut self, key: Key, how: Closed) {
        let Some(stream) = self.get_mut(key) else { return };
        stream.sending = Half::Ended;
        stream.receiving = Half::Ended;
        if self.leave(key.id) {
            self.open -= 1;
            self.remember(key.id, how);
        }
    }

    /// Frees the slot of a closed stream.
    pub(crate) fn free(&mut self, key: Key) {
        let Some(stream) = self.get_mut(key) else { return };
        stream.id = 0;
        self.free.push(key.slot);
    }

    /// Remembers how a stream ended, or that it was refused.
    pub(crate) fn remember(&mut self, id: u32, how: Closed) {
        let entry = id >> 1 | (how as u32) << 30;
        if self.past.len() < REMEMBERED {
            self.past.push(entry);
            return;
        }
        let lost = std::mem::replace(&mut self.past[self.past_next], entry);
        self.past_lost = self.past_lost.max((lost & 0x3fff_ffff) << 1 | 1);
        self.past_next = (self.past_next + 1) % REMEMBERED;
    }

    /// How the stream of an odd id ended, which is not open but not above all that were.
    pub(crate) fn closed(&self, id: u32) -> Closed {
        let entry = self.past.iter().find(|entry| *entry & 0x3fff_ffff == id >> 1);
        match entry.map(|entry| entry >> 30) {
            Some(0) => Closed::Ended,
            Some(1) => Closed::ByPeer,
            Some(_) => Closed::ByUs,
            None if id <= self.past_lost => Closed::Forgotten,
            None => Closed::Never,
        }
    }

    /// Do the counts agree with the slots and with the table?
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let taken = || self.slots.iter().filter(|stream| stream.id != 0);
        if taken().count() != self.taken() {
            return Err("a slot is neither taken nor free");
        }
        let listed = || self.table.iter().filter(|key| key.id != 0);
        if listed().count() != self.open || taken().filter(|stream| stream.is_open()).count() != self.open {
            return Err("other streams are open than are counted");
        }
        if listed().any(|key| self.get(*key).is_none() || self.find(key.id) != Some(*key)) {
            return Err("the table leads to another stream");
        }
        Ok(())
    }

    /// Gives memory back where no slot is taken.
    pub(crate) fn shrink(&mut self) {
        if self.taken() == 0 {
            self.slots = Vec::new();
            self.free = Vec::new();
            self.table = Vec::new();
        }
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Stream>()
            + (self.free.capacity() + self.past.capacity()) * size_of::<u32>()
            + self.table.capacity() * size_of::<Key>()
    }

    fn home(&self, id: u32) -> usize {
        // Ids grow by two; the multiplication spreads them, and tables are small enough that no choice of ids hurts.
        (id.wrapping_mul(0x9E37_79B9) >> 16) as usize & (self.table.len() - 1)
    }

    fn enter(&mut self, key: Key) {
        let mut at = self.home(key.id);
        while self.table[at].id != 0 {
            at = (at + 1) & (self.table.len() - 1);
        }
        self.table[at] = key;
    }

    /// Takes an id out of the table. True where it was there.
    fn leave(&mut self, id: u32) -> bool {
        if self.table.is_empty() {
            return false;
        }
        let mask = self.table.len() - 1;
        let mut hole = self.home(id);
        while self.table[hole].id != id {
            if self.table[hole].id == 0 {
                return false;
            }
            hole = (hole + 1) & mask;
        }
        // Whoever was pushed beyond its home by this one moves up.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let key = self.table[at];
            if key.id == 0 {
                break;
            }
            let from_home = at.wrapping_sub(self.home(key.id)) & mask;
            if from_home >= at.wrapping_sub(hole) & mask {
                self.table[hole] = key;
                hole = at;
            }
        }
        self.table[hole] = Key::new(0, 0);
        true
    }

    fn grow(&mut self) {
        let len = (self.table.len() * 2).max(8);
        let old = std::mem::replace(&mut self.table, vec![Key::new(0, 0); len]);
        old.into_iter().filter(|key| key.id != 0).for_each(|key| self.enter(key));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn stream(id: u32) -> Stream {
        Stream {
            id,
            send_window: SendWindow::new(0),
            receive_window: ReceiveWindow::new(0),
            window: 0,
            held: 0,
            sending: Half::Head,
            receiving: Half::Head,
            priority: Priority::default(),
            interims: 0,
            expected: ANY_LENGTH,
            pass: 0,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The table is a map.
        #[test]
        fn like_a_map(steps in proptest::collection::vec((any::<bool>(), 0_usize..20), 0..200)) {
            let mut streams = Streams::default();
            let mut model: HashMap<u32, Key> = HashMap::new();
            let mut next = 1_u32;
            for (add, which) in steps {
                if add || model.is_empty() {
                    let key = streams.insert(stream(next));
                    prop_assert!(!model.values().any(|other| other.slot() == key.slot()));
                    model.insert(next, key);
                    next += 2 + 2 * which as u32;
                } else {
                    let mut ids: Vec<u32> = model.keys().copied().collect();
                    ids.sort_unstable();
                    let key = model.remove(&ids[which % ids.len()]).unwrap();
                    streams.close(key, Closed::ByUs);
                    prop_assert_eq!(streams.closed(key.id()), Closed::ByUs);
                    streams.free(key);
                    prop_assert!(streams.get(key).is_none());
                }
                prop_assert_eq!((streams.open(), streams.taken()), (model.len(), model.len()));
                for id in (1..next).step_by(2) {
                    prop_assert_eq!(streams.find(id), model.get(&id).copied());
                }
            }
        }
    }

    #[test]
    fn a_slot_stays_taken_until_it_is_freed() {
        let mut streams = Streams::default();
        let first = streams.insert(stream(1));
        streams.close(first, Closed::Ended);
        assert_eq!((streams.open(), streams.taken(), streams.find(1)), (0, 1, None));
        assert_ne!(streams.insert(stream(3)).slot(), first.slot());
        streams.free(first);
        let third = streams.insert(stream(5));
        assert_eq!(third.slot(), first.slot());
        assert!(streams.get(first).is_none() && streams.get(third).is_some());
    }

    #[test]
    fn the_past_is_remembered_for_a_while() {
        let mut streams = Streams::default();
        for (id, how) in [(1, Closed::Ended), (5, Closed::ByPeer), (7, Closed::ByUs)] {
            let key = streams.insert(stream(id));
            streams.close(key, how);
            assert_eq!(streams.closed(id), how);
        }
        assert_eq!(streams.closed(3), Closed::Never);
        for at in 0..REMEMBERED as u32 {
            streams.remember(101 + 2 * at, Closed::ByUs);
        }
        assert_eq!([1, 3, 5, 7, 9].map(|id| streams.closed(id)), {
            let gone = Closed::Forgotten;
            [gone, gone, gone, gone, Closed::Never]
        });
        assert!(streams.memory() < 2_048);
    }
}
