// SPDX-License-Identifier: Apache-2.0
//! Hot. The encoder's dynamic table, found by what is in it.
//!
//! Every entry is the head of a chain when it is made: of the entries of its name, or of names that share a bucket with
//! it. Most fields have the value that they had the time before, so most are found at once. A chain leads from newer to
//! older entries and is simply cut off where an entry was evicted since then, so eviction costs nothing here. Entries
//! go by the number of their insertion, which may wrap around: a number says how old it is, and a chain that does not
//! get older has ended.

use crate::wire::h2::hpack::table::Table;
use crate::wire::h2::hpack::{TABLE_BYTES, statics};

/// Chains for names that the static table does not have.
const BUCKETS: usize = 64;

/// Chains for those that it has, by index, and these.
const CHAINS: usize = statics::LEN + 1 + BUCKETS;

/// Entries that a search looks at. With more values of one name in the table, those before are sent anew.
const STEPS: usize = 16;

/// Which chain a name is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Where it begins.
    at: u8,
    /// A hash of the name.
    hash: u32,
}

impl Chain {
    /// The chain of `name`, which the static table has at `index`, or does not have where that is zero.
    #[inline]
    pub(super) fn of(index: usize, name: &[u8]) -> Chain {
        if index != 0 {
            return Chain { at: index as u8, hash: index as u32 };
        }
        let hash = (mixed(SEED, name) >> 32) as u32;
        Chain { at: (statics::LEN + 1 + hash as usize % BUCKETS) as u8, hash }
    }

    /// A hash of the name and of `value`.
    pub(super) fn hash(self, value: &[u8]) -> u32 {
        (mixed(SEED ^ u64::from(self.hash), value) >> 32) as u32
    }
}

/// What is noted with an entry.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The number of the entry before this one in its chain.
    older: u32,
    /// Which chain that is. Numbers wrap around, so a chain that slept for long may lead to an entry of another.
    chain: u8,
}

/// What a search found, by index in the dynamic table, zero being the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The field.
    pub field: Option<usize>,
    /// A field of the same name.
    pub name: Option<usize>,
}

/// The encoder's dynamic table.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    table: Table<Link>,
    /// Number of the next insertion.
    next: u32,
    /// The number of the newest entry of each chain.
    chains: [u32; CHAINS],
}

impl Lookup {
    pub(super) fn new() -> Lookup {
        Lookup { table: Table::new(TABLE_BYTES), next: 1, chains: [0; CHAINS] }
    }

    pub(super) const fn size_max(&self) -> usize {
        self.table.size_max()
    }

    pub(super) fn resize(&mut self, size_max: usize) {
        self.table.resize(size_max);
    }

    /// Where the newest field is whose name the static table has at `index`, if it has this value.
    #[inline]
    pub(super) fn latest(&self, index: u8, value: &[u8]) -> Option<usize> {
        let newest = self.index_of(self.chains[usize::from(index)]);
        let (found, link) = self.table.value(newest)?;
        (found == value && link.chain == index).then_some(newest)
    }

    /// Looks for a field, and for its name.
    pub(super) fn find(&self, chain: Chain, name: &[u8], value: &[u8]) -> Found {
        let mut found = Found::default();
        let mut number = self.chains[usize::from(chain.at)];
        let mut before = None;
        for _ in 0..STEPS {
            let index = self.index_of(number);
            if before.is_some_and(|before| index <= before) {
                return found;
            }
            let Some((text, name_len, link)) = self.table.entry(index) else { return found };
            let (found_name, found_value) = text.split_at(name_len);
            // A chain of the static table's names holds no other.
            let same = link.chain == chain.at && (usize::from(chain.at) <= statics::LEN || found_name == name);
            if same && found_value == value {
                return Found { field: Some(index), ..found };
            }
            if same && found.name.is_none() {
                found.name = Some(index);
            }
            before = Some(index);
            number = link.older;
        }
        found
    }

    /// Adds a field that fits into the table.
    pub(super) fn insert(&mut self, chain: Chain, name: &[u8], value: &[u8]) {
        let older = std::mem::replace(&mut self.chains[usize::from(chain.at)], self.next);
        self.table.insert(name, value, Link { older, chain: chain.at });
        self.next = self.next.wrapping_add(1);
    }

    /// Goes on as if so many insertions had been made.
    #[cfg(test)]
    pub(super) fn count_from(&mut self, insertions: u32) {
        self.next = insertions;
    }

    /// The index of an insertion; beyond the table where it was evicted.
    fn index_of(&self, number: u32) -> usize {
        self.next.wrapping_sub(number).wrapping_sub(1) as usize
    }
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;

/// A hash of `bytes` that starts from `state`. Searches are short whatever it says, so it need not withstand those who
/// look for collisions.
#[inline]
fn mixed(state: u64, bytes: &[u8]) -> u64 {
    let mut state = state ^ bytes.len() as u64;
    let (words, _) = bytes.as_chunks::<8>();
    for word in words {
        state = folded(state ^ u64::from_le_bytes(*word));
    }
    let last = match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(last), _, _) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    folded(state ^ last)
}

#[inline]
const fn folded(value: u64) -> u64 {
    let product = value as u128 * FACTOR as u128;
    product as u64 ^ (product >> 64) as u64
}
