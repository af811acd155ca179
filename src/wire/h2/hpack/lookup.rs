//! Hot. The encoder's dynamic table, found by what is in it.
//!
//! Every entry is the head of two chains when it is made: of the entries whose name and value hash into its bucket, and
//! of those whose name does. A chain leads from newer to older entries and is simply cut off where an entry was evicted
//! since then, so eviction costs nothing here. Entries go by the number of their insertion, which may wrap around: a
//! number says how old it is, and a chain that does not get older has ended.

use crate::wire::h2::hpack::TABLE_BYTES;
use crate::wire::h2::hpack::table::Table;

const BUCKETS: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Link {
    /// Of name and value.
    hash: u32,
    /// The entry before this one in the chain of its bucket.
    older: u32,
    /// The same in the chain of its name's bucket.
    older_name: u32,
}

/// Hashes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hashes {
    /// Of the name.
    pub name: u32,
    /// Of name and value.
    pub field: u32,
}

impl Hashes {
    #[inline]
    pub(super) fn of(name: &[u8], value: &[u8]) -> Hashes {
        let name = mixed(SEED, name);
        Hashes { name: (name >> 32) as u32, field: (mixed(name, value) >> 32) as u32 }
    }
}

/// The encoder's dynamic table.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    table: Table<Link>,
    /// Number of the next insertion.
    next: u32,
    /// The newest insertion of each bucket, by name and value.
    fields: [u32; BUCKETS],
    /// The same by name.
    names: [u32; BUCKETS],
}

impl Lookup {
    pub(super) fn new() -> Lookup {
        Lookup { table: Table::new(TABLE_BYTES), next: 1, fields: [0; BUCKETS], names: [0; BUCKETS] }
    }

    pub(super) const fn size_max(&self) -> usize {
        self.table.size_max()
    }

    pub(super) fn resize(&mut self, size_max: usize) {
        self.table.resize(size_max);
    }

    /// Where in the dynamic table the field is, zero being the newest.
    #[inline]
    pub(super) fn find(&self, hashes: Hashes, name: &[u8], value: &[u8]) -> Option<usize> {
        let mut index = self.index_of(self.fields[bucket(hashes.field)]);
        while let Some((text, name_len, link)) = self.table.entry(index) {
            if link.hash == hashes.field {
                let (found_name, found_value) = text.split_at(name_len);
                if found_value == value && found_name == name {
                    return Some(index);
                }
            }
            index = self.older(index, link.older)?;
        }
        None
    }

    /// Where in the dynamic table there is a field of that name.
    pub(super) fn find_name(&self, hashes: Hashes, name: &[u8]) -> Option<usize> {
        let mut index = self.index_of(self.names[bucket(hashes.name)]);
        while let Some((text, name_len, link)) = self.table.entry(index) {
            if text[..name_len] == *name {
                return Some(index);
            }
            index = self.older(index, link.older_name)?;
        }
        None
    }

    /// Adds a field that fits into the table.
    pub(super) fn insert(&mut self, hashes: Hashes, name: &[u8], value: &[u8]) {
        let field_head = &mut self.fields[bucket(hashes.field)];
        let older = std::mem::replace(field_head, self.next);
        let name_head = &mut self.names[bucket(hashes.name)];
        let older_name = std::mem::replace(name_head, self.next);
        self.table.insert(name, value, Link { hash: hashes.field, older, older_name });
        self.next = self.next.wrapping_add(1);
    }

    /// The index of an insertion; beyond the table where it was evicted.
    fn index_of(&self, number: u32) -> usize {
        self.next.wrapping_sub(number).wrapping_sub(1) as usize
    }

    /// The index of the next entry of a chain, if it is older than the one at `index`.
    fn older(&self, index: usize, number: u32) -> Option<usize> {
        let older = self.index_of(number);
        (older > index).then_some(older)
    }
}

const fn bucket(hash: u32) -> usize {
    hash as usize % BUCKETS
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;

/// A hash of `bytes` that starts from `state`. Chains are as short as the table is small, so it need not withstand
/// those who look for collisions.
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
