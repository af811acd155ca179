// SPDX-License-Identifier: Apache-2.0
//! Which stream may send next, by its priority (RFC 9218 section 10).
//!
//! A more urgent stream always goes first. Streams of equal urgency share the connection by bytes: sending bytes
//! advances a stream's virtual time, and the stream with the smallest virtual time is next. The virtual time of a
//! stream that is not incremental advances more slowly, so it finishes sooner, but it never blocks small responses.

use crate::wire::h2::priority::Priority;
use crate::wire::h2::stream::Key;

/// How much slower the virtual time of a stream passes that is not incremental.
const WHOLE_SHIFT: u32 = 2;

/// Streams that have something to send, and who is next.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    ready: Vec<Ready>,
    /// The virtual time of the stream served last: a newcomer starts here and not at zero.
    time: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ready {
    key: Key,
    urgency: u8,
    pass: u64,
}

impl Scheduler {
    /// Adds a stream that stands at `pass`, unless it is there. Its new virtual time.
    pub fn offer(&mut self, key: Key, priority: Priority, pass: u64) -> u64 {
        let pass = pass.max(self.time);
        match self.ready.iter_mut().find(|ready| ready.key == key) {
            Some(ready) => ready.urgency = priority.urgency,
            None => self.ready.push(Ready { key, urgency: priority.urgency, pass }),
        }
        pass
    }

    /// Changes the urgency of a stream, where it is there.
    pub fn hurry(&mut self, key: Key, priority: Priority) {
        if let Some(ready) = self.ready.iter_mut().find(|ready| ready.key == key) {
            ready.urgency = priority.urgency;
        }
    }

    /// Takes out the stream that should send next among those that `may` send.
    pub fn pick(&mut self, may: impl Fn(Key) -> bool) -> Option<Key> {
        let able = self.ready.iter().enumerate().filter(|(_, ready)| may(ready.key));
        let (at, _) = able.min_by_key(|(_, ready)| (ready.urgency, ready.pass, ready.key.id()))?;
        let ready = self.ready.swap_remove(at);
        self.time = self.time.max(ready.pass);
        Some(ready.key)
    }

    /// Forgets a stream.
    pub fn remove(&mut self, key: Key) {
        self.ready.retain(|ready| ready.key != key);
    }

    /// Is there one that may?
    pub fn any(&self, may: impl Fn(Key) -> bool) -> bool {
        self.ready.iter().any(|ready| may(ready.key))
    }

    /// True where no stream waits.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Frees memory that is not needed for the waiting streams.
    pub fn shrink(&mut self) {
        self.ready.shrink_to_fit();
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        self.ready.capacity() * size_of::<Ready>()
    }
}

/// The virtual time of a stream at `pass` after it has sent `count` bytes.
pub const fn charged(pass: u64, priority: Priority, count: usize) -> u64 {
    let cost = if priority.incremental { count as u64 } else { count as u64 >> WHOLE_SHIFT };
    pass.saturating_add(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(urgency: u8, incremental: bool) -> Priority {
        Priority { urgency, incremental }
    }

    /// Serves streams, all of which always have more, for `rounds` frames of 1 000 bytes; the bytes of each.
    fn served(priorities: &[Priority], rounds: usize) -> Vec<usize> {
        let mut scheduler = Scheduler::default();
        let keys: Vec<Key> = (0..priorities.len()).map(|at| Key::new(at as u32 * 2 + 1, at)).collect();
        let mut pass = vec![0; keys.len()];
        let mut bytes = vec![0; keys.len()];
        for _ in 0..rounds {
            for key in &keys {
                pass[key.slot()] = scheduler.offer(*key, priorities[key.slot()], pass[key.slot()]);
            }
            let slot = scheduler.pick(|_| true).expect("they all have more").slot();
            bytes[slot] += 1_000;
            pass[slot] = charged(pass[slot], priorities[slot], 1_000);
        }
        bytes
    }

    /// RFC 9218 section 10: by urgency first.
    #[test]
    fn the_urgent_go_first_and_equals_share() {
        assert_eq!(served(&[of(4, true), of(3, true)], 10), [0, 10_000]);
        assert_eq!(served(&[of(3, true), of(3, true)], 10), [5_000, 5_000]);
        assert_eq!(served(&[of(3, true), of(3, false)], 50), [10_000, 40_000]);
    }

    #[test]
    fn who_waits_may_become_urgent() {
        let mut scheduler = Scheduler::default();
        let (first, second) = (Key::new(1, 0), Key::new(3, 1));
        scheduler.offer(first, of(3, true), 0);
        scheduler.offer(second, of(7, true), 0);
        scheduler.hurry(second, of(0, true));
        assert_eq!([scheduler.pick(|_| true), scheduler.pick(|_| true)], [Some(second), Some(first)]);
    }

    #[test]
    fn a_newcomer_is_not_behind_what_a_download_has_had() {
        let mut scheduler = Scheduler::default();
        let (large, small) = (Key::new(1, 0), Key::new(3, 1));
        let mut pass = 0;
        for _ in 0..1_000 {
            pass = scheduler.offer(large, Priority::default(), pass);
            assert_eq!(scheduler.pick(|_| true), Some(large));
            pass = charged(pass, Priority::default(), 16_384);
        }
        scheduler.offer(large, Priority::default(), pass);
        scheduler.offer(small, Priority::default(), 0);
        assert_eq!(scheduler.pick(|_| true), Some(small));
        scheduler.offer(small, Priority::default(), 0);
        assert_eq!(scheduler.pick(|key| key != small), Some(large));
        scheduler.remove(small);
        assert!(scheduler.is_empty() && scheduler.pick(|_| true).is_none());
    }
}
