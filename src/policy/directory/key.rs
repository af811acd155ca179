// SPDX-License-Identifier: Apache-2.0
//! Hot. API keys by their SHA-256, in memory that is small and found at once: entries in order of their hash, and where
//! each range of hashes begins. SHA-256 spreads evenly, so a range holds about one entry however many there are.

use subtle::{Choice, ConstantTimeEq};

use crate::base::{AppId, ConsumerId, CredentialId, Wall};

/// The SHA-256 of a key.
pub(crate) type KeyHash = [u8; 32];

/// One key of one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// SHA-256 of the key.
    pub hash: KeyHash,
    /// Whose.
    pub consumer: ConsumerId,
    /// Which of its credentials.
    pub credential: CredentialId,
    /// The app that it belongs to, as its number and one; zero where it belongs to none.
    app: u32,
    /// Not valid from then on.
    pub expires: Expiry,
}

impl KeyEntry {
    /// Is this its hash? Compared in constant time, eight bytes at a time.
    pub(super) fn has(&self, hash: &KeyHash) -> bool {
        let word = |word: &[u8; 8]| u64::from_ne_bytes(*word);
        let words = self.hash.as_chunks().0.iter().zip(hash.as_chunks().0);
        words.map(|(own, other)| word(own).ct_eq(&word(other))).fold(Choice::from(1), |all, same| all & same).into()
    }

    /// A key.
    pub fn new(
        hash: KeyHash,
        (consumer, app): (ConsumerId, Option<AppId>),
        credential: CredentialId,
        expires: Expiry,
    ) -> KeyEntry {
        KeyEntry { hash, consumer, credential, app: app.map_or(0, |app| app.0 + 1), expires }
    }

    /// The app that it belongs to.
    pub fn app(&self) -> Option<AppId> {
        self.app.checked_sub(1).map(AppId)
    }
}

// A process holds a million of them.
const _: () = assert!(size_of::<KeyEntry>() == 48);

/// When something ceases to be valid, in whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry(u32);

impl Expiry {
    /// It stays valid.
    pub const NEVER: Expiry = Expiry(u32::MAX);

    /// From this moment on, rounded down to a second. What lies behind the year 2106 never comes.
    pub fn at(wall: Wall) -> Expiry {
        Expiry(u32::try_from(wall.seconds()).unwrap_or(u32::MAX))
    }

    /// At this moment, where there is one.
    pub fn of(wall: Option<Wall>) -> Expiry {
        wall.map_or(Expiry::NEVER, Expiry::at)
    }

    /// Whole seconds since 1970; `None` where it stays valid.
    pub fn seconds(self) -> Option<u32> {
        (self != Expiry::NEVER).then_some(self.0)
    }

    /// Has it come?
    pub fn is_over(self, now: Wall) -> bool {
        self != Expiry::NEVER && now.seconds() >= u64::from(self.0)
    }
}

/// Keys, in order of their hash.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyTable {
    entries: Box<[KeyEntry]>,
    /// Where the entries of each range of hashes begin, and at last where all end.
    starts: Box<[u32]>,
    /// How many bits of a hash name its range.
    bits: u32,
}

impl KeyTable {
    /// A table of these keys. Where a hash comes twice, the first counts.
    pub(crate) fn new(mut entries: Vec<KeyEntry>) -> KeyTable {
        entries.sort_by_key(|entry| entry.hash);
        entries.dedup_by_key(|entry| entry.hash);
        // A range for each entry, and for a million entries four megabytes of them.
        let bits = usize::BITS - entries.len().leading_zeros();
        let ranges = 1_u64 << bits;
        let mut starts = Vec::with_capacity(ranges as usize + 1);
        let mut at = 0;
        for range in 0..=ranges {
            while entries.get(at).is_some_and(|entry| range_of(&entry.hash, bits) < range) {
                at += 1;
            }
            starts.push(at as u32);
        }
        KeyTable { entries: entries.into(), starts: starts.into(), bits }
    }

    /// The entry with this hash. Where to look is told by its first bytes, which tell nothing of a key; the whole is
    /// compared in constant time.
    pub(crate) fn find(&self, hash: &KeyHash) -> Option<&KeyEntry> {
        let range = range_of(hash, self.bits) as usize;
        let (start, end) = (*self.starts.get(range)?, *self.starts.get(range + 1)?);
        let entries = self.entries.get(start as usize..end as usize)?;
        entries.iter().find(|entry| entry.has(hash))
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &KeyEntry> {
        self.entries.iter()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The range of a hash: its first bits.
fn range_of(hash: &KeyHash, bits: u32) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    let first = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    first.checked_shr(u64::BITS - bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn hash(number: u32) -> KeyHash {
        Sha256::digest(number.to_le_bytes()).into()
    }

    fn entry(number: u32) -> KeyEntry {
        let app = number.is_multiple_of(3).then_some(AppId(number));
        KeyEntry::new(hash(number), (ConsumerId(number), app), CredentialId(number), Expiry::NEVER)
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 64, 1_000] {
            let table = KeyTable::new((0..count).map(entry).collect());
            assert_eq!(table.len(), count as usize);
            for number in 0..count {
                let found = table.find(&hash(number)).unwrap();
                assert_eq!((found.consumer.0, found.app()), (number, entry(number).app()));
            }
            assert!((count..count + 500).all(|number| table.find(&hash(number)).is_none()));
        }
    }

    #[test]
    fn the_ends_of_the_range_are_found() {
        let at = |byte: u8| KeyEntry { hash: [byte; 32], ..entry(1) };
        let table = KeyTable::new(vec![at(0xFF), at(0), at(0xFF)]);
        assert_eq!(table.len(), 2);
        assert!(table.find(&[0xFF; 32]).is_some() && table.find(&[0; 32]).is_some());
        let mut other = [0xFF; 32];
        other[31] = 0;
        assert!(table.find(&other).is_none(), "the last byte counts");
    }

    #[test]
    fn an_expiry_is_a_second() {
        let at = Expiry::at(Wall(10_900_000));
        assert!(!at.is_over(Wall(9_999_999)) && at.is_over(Wall(10_000_000)));
        assert!(!Expiry::NEVER.is_over(Wall(u64::MAX)) && Expiry::at(Wall(u64::MAX)) == Expiry::NEVER);
    }
}
