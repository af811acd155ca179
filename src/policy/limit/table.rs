// SPDX-License-Identifier: Apache-2.0
//! Hot. A bounded table with keys that are already good hashes, and a hand that goes round its entries.
//!
//! Entries lie densely, so the hand can visit a few at a time; removing moves the last entry into the gap. `max` is
//! the caller's to keep: the table only says when it is reached.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// At most `max` entries by `u64`.
#[derive(Debug)]
pub(super) struct Table<V> {
    places: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    entries: Vec<(u64, V)>,
    hand: usize,
    max: usize,
}

impl<V> Table<V> {
    pub(super) fn new(max: usize) -> Table<V> {
        let max = max.min(u32::MAX as usize);
        Table { places: HashMap::default(), entries: Vec::new(), hand: 0, max }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_at_cap(&self) -> bool {
        self.entries.len() >= self.max
    }

    /// Where the entry of a key lies, until the next `insert` or `remove`.
    pub(super) fn locate(&self, key: u64) -> Option<usize> {
        Some(*self.places.get(&key)? as usize)
    }

    /// The entry that lies there.
    pub(super) fn at(&mut self, place: usize) -> &mut V {
        &mut self.entries[place].1
    }

    /// The same, only to look at.
    pub(super) fn look(&self, place: usize) -> &V {
        &self.entries[place].1
    }

    /// The key of the entry that lies there.
    pub(super) fn key(&self, place: usize) -> u64 {
        self.entries[place].0
    }

    pub(super) fn find(&mut self, key: u64) -> Option<&mut V> {
        let place = self.locate(key)?;
        Some(self.at(place))
    }

    /// Adds an entry for a key that has none. The caller looks after the cap.
    pub(super) fn insert(&mut self, key: u64, value: V) -> usize {
        debug_assert!(!self.places.contains_key(&key));
        let place = self.entries.len();
        self.places.insert(key, place as u32);
        self.entries.push((key, value));
        place
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<V> {
        let place = self.places.remove(&key)? as usize;
        let (_, value) = self.entries.swap_remove(place);
        if let Some((moved, _)) = self.entries.get(place) {
            self.places.insert(*moved, place as u32);
        }
        Some(value)
    }

    /// The key under the hand and where it lies; the hand moves on by one. `None` only where the table is empty.
    pub(super) fn step(&mut self) -> Option<(u64, usize)> {
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        let place = self.hand;
        let (key, _) = self.entries.get(place)?;
        self.hand += 1;
        Some((*key, place))
    }

    /// All entries, to look at.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(u64, V)> {
        self.entries.iter()
    }

    /// All entries.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (u64, V)> {
        self.entries.iter_mut()
    }

    /// Gives memory back where the table holds far less than it has room for.
    pub(super) fn shrink(&mut self) {
        let wanted = self.entries.len().max(SHRINK_LEAST);
        if self.entries.capacity() / SHRINK_PARTS > wanted {
            self.entries.shrink_to(2 * wanted);
            self.places.shrink_to(2 * wanted);
        }
    }
}

/// A table with room for this many times what it holds gives memory back.
const SHRINK_PARTS: usize = 8;
/// Room that a table keeps in any case.
const SHRINK_LEAST: usize = 256;

/// The key is its own hash.
#[derive(Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((0_u64..20, any::<bool>()), 1..300)) {
            let mut table = Table::new(8);
            let mut model = HashMap::new();
            for (key, insert) in steps {
                if !insert {
                    prop_assert_eq!(table.remove(key), model.remove(&key));
                } else if let Some(count) = model.get_mut(&key) {
                    *table.find(key).unwrap() += 1;
                    *count += 1;
                } else if !table.is_at_cap() {
                    table.insert(key, 0);
                    model.insert(key, 0);
                }
                prop_assert_eq!(table.len(), model.len());
                table.shrink();
                let mut seen: Vec<u64> = (0..table.len()).map(|_| table.step().unwrap().0).collect();
                seen.sort_unstable();
                seen.dedup();
                prop_assert_eq!(seen.len(), model.len(), "one round of the hand sees all");
            }
        }
    }
}
