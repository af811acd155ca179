// SPDX-License-Identifier: Apache-2.0
//! Hot. What is known of tokens, until it expires.
//!
//! A token is found by a fast hash of 64 bits, whose key is random, and it is known only where all of its bytes are
//! those that were remembered. So a collision can make a token be forgotten, but never be taken for another. Nor does
//! time tell anything of a token: bytes are compared only where the hashes are equal. A cryptographic hash would spare
//! us the bytes, but for a long token it costs more than everything else that a known one needs, unless the processor
//! computes it. The bytes stay in memory for as long as the claims do, and are overwritten when they are forgotten.
//!
//! Bounded by entries and by the bytes of their tokens. Where it is full, what was used least recently is forgotten; it
//! is then found out again. Looking up allocates nothing. A caller that needs a token's SHA-256 anyway gives that in
//! place of the token.

use std::collections::HashMap;

use ahash::RandomState;
use sha2::{Digest, Sha256};

use crate::base::Wall;
use crate::base::limits::TOKENS_KEPT_BYTES_MAX;

/// The SHA-256 of a token.
pub(crate) type TokenHash = [u8; 32];

/// The SHA-256 of a token.
pub(crate) fn hash_of(token: &[u8]) -> TokenHash {
    Sha256::digest(token).into()
}

/// What is known, with the order in which it was used.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    /// Slots by the hash of their token.
    index: HashMap<u64, u32, RandomState>,
    slots: Vec<Slot<V>>,
    /// Free slots form a list by `older`.
    free: u32,
    newest: u32,
    oldest: u32,
    entries_max: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Slot<V> {
    /// `None` while it is free.
    entry: Option<Entry<V>>,
    newer: u32,
    older: u32,
}

#[derive(Debug)]
struct Entry<V> {
    token: Box<[u8]>,
    hash: u64,
    value: V,
    until: Wall,
    bytes: u32,
}

/// The end of a list.
const NONE: u32 = u32::MAX;

impl<V> Cache<V> {
    /// For at most so many entries; with zero nothing is kept.
    pub(crate) fn new(entries_max: usize) -> Cache<V> {
        Cache {
            index: HashMap::default(),
            slots: Vec::new(),
            free: NONE,
            newest: NONE,
            oldest: NONE,
            entries_max: entries_max.min(NONE as usize),
            bytes: 0,
        }
    }

    /// What is known of a token and has not expired.
    pub(crate) fn get(&mut self, token: &[u8], wall: Wall) -> Option<&V> {
        let at = *self.index.get(&self.hash(token))?;
        let entry = self.slots[at as usize].entry.as_ref().filter(|entry| *entry.token == *token)?;
        if wall >= entry.until {
            self.remove(at);
            return None;
        }
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
        self.slots[at as usize].entry.as_ref().map(|entry| &entry.value)
    }

    /// Remembers what is known of a token, which counts as so many bytes.
    pub(crate) fn insert(&mut self, token: &[u8], value: V, until: Wall, bytes: usize) {
        let hash = self.hash(token);
        if let Some(at) = self.index.get(&hash).copied() {
            self.remove(at);
        }
        if self.entries_max == 0 {
            return;
        }
        while self.index.len() >= self.entries_max || (self.bytes > TOKENS_KEPT_BYTES_MAX && self.oldest != NONE) {
            self.remove(self.oldest);
        }
        self.bytes += bytes;
        let entry = Some(Entry { token: token.into(), hash, value, until, bytes: bytes as u32 });
        let at = match self.slots.get_mut(self.free as usize) {
            Some(slot) => {
                let at = self.free;
                self.free = slot.older;
                slot.entry = entry;
                at
            }
            None => {
                self.slots.push(Slot { entry, newer: NONE, older: NONE });
                self.slots.len() as u32 - 1
            }
        };
        self.link(at);
        self.index.insert(hash, at);
    }

    /// Forgets what `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        for at in 0..self.slots.len() {
            if self.slots[at].entry.as_ref().is_some_and(|entry| !keep(&entry.value)) {
                self.remove(at as u32);
            }
        }
    }

    /// How many tokens are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Frees a slot that is in use.
    fn remove(&mut self, at: u32) {
        self.unlink(at);
        let slot = &mut self.slots[at as usize];
        if let Some(mut entry) = slot.entry.take() {
            entry.token.fill(0);
            self.index.remove(&entry.hash);
            self.bytes -= entry.bytes as usize;
        }
        slot.older = self.free;
        self.free = at;
    }

    fn hash(&self, token: &[u8]) -> u64 {
        self.index.hasher().hash_one(token)
    }

    fn unlink(&mut self, at: u32) {
        let Slot { newer, older, .. } = self.slots[at as usize];
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Makes it the newest.
    fn link(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
        let slot = &mut self.slots[at as usize];
        (slot.newer, slot.older) = (NONE, before);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;

    fn hash(number: u8) -> TokenHash {
        hash_of(&[number])
    }

    #[test]
    fn what_expired_is_not_known() {
        let mut cache = Cache::new(4);
        cache.insert(&hash(1), 'a', Wall(10), 1);
        assert_eq!(cache.get(&hash(1), Wall(9)), Some(&'a'));
        assert_eq!(cache.get(&hash(1), Wall(10)), None);
        assert_eq!(cache.len(), 0);
        let mut none = Cache::new(0);
        none.insert(&hash(1), 'a', Wall(10), 1);
        assert_eq!(none.get(&hash(1), Wall(0)), None);
    }

    #[test]
    fn large_tokens_make_room() {
        let mut cache = Cache::new(1_000);
        for number in 0..10 {
            cache.insert(&hash(number), number, Wall(10), TOKENS_KEPT_BYTES_MAX / 3);
        }
        assert_eq!(cache.len(), 4);
        assert_eq!(cache.get(&hash(9), Wall(0)), Some(&9));
    }

    #[test]
    fn a_token_with_the_hash_of_another_is_not_known_and_takes_its_place() {
        let mut cache = Cache::new(4);
        cache.insert(b"one", 1, Wall(10), 3);
        let (one, other) = (cache.hash(b"one"), cache.hash(b"other"));
        let at = cache.index.remove(&one).unwrap();
        cache.index.insert(other, at);
        cache.slots[at as usize].entry.as_mut().unwrap().hash = other;
        assert_eq!(cache.get(b"other", Wall(0)), None);
        cache.insert(b"other", 2, Wall(10), 5);
        assert_eq!((cache.len(), cache.bytes), (1, 5));
        assert_eq!(cache.get(b"other", Wall(0)), Some(&2));
    }

    proptest! {
        #[test]
        fn it_is_a_map_that_forgets_what_was_used_least_recently(
            steps in prop::collection::vec((0_u8..4, 0_u8..8), 1..200),
        ) {
            let mut cache = Cache::new(3);
            // The newest stands last.
            let mut model: Vec<(u8, usize)> = Vec::new();
            for (number, (what, key)) in steps.into_iter().enumerate() {
                let known = model.iter().position(|(of, _)| *of == key);
                match what {
                    0 | 1 => {
                        known.map(|at| model.remove(at));
                        if model.len() == 3 {
                            model.remove(0);
                        }
                        model.push((key, number));
                        cache.insert(&hash(key), number, Wall(1), 7);
                    }
                    2 => {
                        let expected = known.map(|at| model.remove(at));
                        model.extend(expected);
                        prop_assert_eq!(cache.get(&hash(key), Wall(0)).copied(), expected.map(|(_, value)| value));
                    }
                    _ => {
                        model.retain(|(_, value)| value % 3 != 0);
                        cache.retain(|value| value % 3 != 0);
                    }
                }
                prop_assert_eq!(cache.len(), model.len());
                prop_assert_eq!(cache.bytes, model.len() * 7);
            }
        }
    }
}
