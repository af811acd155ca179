// SPDX-License-Identifier: Apache-2.0
//! The whole directory at one revision: immutable, one for all shards, and as small as it can be made.

use std::sync::Arc;

use ahash::{AHashMap, RandomState};

use crate::base::{AppId, ConsumerId};
use crate::policy::directory::catalogue::Catalogue;
use crate::policy::directory::change::Revision;
use crate::policy::directory::consumer::{App, Consumer};
use crate::policy::directory::credential::{Credential, CredentialKind};
use crate::policy::directory::key::{KeyEntry, KeyHash, KeyTable};

/// The whole directory at one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    revision: Revision,
    keys: KeyTable,
    consumers: Box<[Consumer]>,
    numbers: Places,
    names: Places,
    credentials: [AHashMap<Box<[u8]>, Arc<Credential>>; CredentialKind::ALL.len()],
    apps: AHashMap<AppId, Arc<App>>,
    catalogue: Arc<Catalogue>,
}

/// What a snapshot is made of.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Consumers; each name and each number once.
    pub consumers: Vec<Consumer>,
    /// Keys; where a hash comes twice, the first counts.
    pub keys: Vec<KeyEntry>,
    /// Other credentials; where a name comes twice, the first counts.
    pub credentials: Vec<Arc<Credential>>,
    /// Apps.
    pub apps: Vec<Arc<App>>,
    /// Plans, products and tenants.
    pub catalogue: Arc<Catalogue>,
}

impl Snapshot {
    /// The directory at this revision.
    pub fn new(revision: Revision, parts: Parts) -> Snapshot {
        let consumers: Box<[Consumer]> = parts.consumers.into();
        let mut credentials: [AHashMap<Box<[u8]>, Arc<Credential>>; CredentialKind::ALL.len()] = Default::default();
        for credential in parts.credentials {
            credentials[credential.kind as usize].entry(credential.lookup.clone()).or_insert(credential);
        }
        Snapshot {
            revision,
            keys: KeyTable::new(parts.keys),
            numbers: Places::new(consumers.iter().map(|consumer| hash_number(consumer.number))),
            names: Places::new(consumers.iter().map(|consumer| hash_name(&consumer.name))),
            consumers,
            credentials,
            apps: parts.apps.into_iter().map(|app| (app.number, app)).collect(),
            catalogue: parts.catalogue,
        }
    }

    /// Its revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many keys it holds.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// How many consumers it holds.
    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// The key with this hash.
    pub(super) fn key(&self, hash: &KeyHash) -> Option<&KeyEntry> {
        self.keys.find(hash)
    }

    /// The consumer of this number.
    pub(super) fn consumer(&self, number: ConsumerId) -> Option<&Consumer> {
        self.numbers.find(hash_number(number), |at| &self.consumers[at], |consumer| consumer.number == number)
    }

    /// The consumer of this name.
    pub(super) fn by_name(&self, name: &str) -> Option<&Consumer> {
        self.names.find(hash_name(name), |at| &self.consumers[at], |consumer| *consumer.name == *name)
    }

    /// The credential that is found by this name.
    pub(super) fn credential(&self, kind: CredentialKind, lookup: &[u8]) -> Option<&Arc<Credential>> {
        self.credentials[kind as usize].get(lookup)
    }

    /// The app of this number.
    pub(super) fn app(&self, number: AppId) -> Option<&Arc<App>> {
        self.apps.get(&number)
    }

    /// Plans, products and tenants.
    pub(super) fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// All keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &KeyEntry> {
        self.keys.iter()
    }

    /// All consumers.
    pub(super) fn consumers(&self) -> &[Consumer] {
        &self.consumers
    }

    /// All other credentials.
    pub(super) fn credentials(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.credentials.iter().flat_map(|named| named.values())
    }

    /// All apps.
    pub(super) fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.values()
    }
}

/// Finds places in an array by a hash: open addressing with linear probing, at most half full.
#[derive(Clone, Debug, Default)]
struct Places {
    slots: Box<[u32]>,
}

/// A slot without a place.
const FREE: u32 = u32::MAX;

impl Places {
    /// Over the hashes of all items, in their order.
    fn new(hashes: impl ExactSizeIterator<Item = u64>) -> Places {
        let mut slots = vec![FREE; (hashes.len() * 2).next_power_of_two()].into_boxed_slice();
        let mask = slots.len() - 1;
        for (place, hash) in (0..).zip(hashes) {
            let mut at = hash as usize & mask;
            while slots[at] != FREE {
                at = (at + 1) & mask;
            }
            slots[at] = place;
        }
        Places { slots }
    }

    fn find<'a, T>(&self, hash: u64, item: impl Fn(usize) -> &'a T, wanted: impl Fn(&T) -> bool) -> Option<&'a T> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        // Half of the slots are free, so this ends.
        loop {
            let place = *self.slots.get(at)?;
            if place == FREE {
                return None;
            }
            let found = item(place as usize);
            if wanted(found) {
                return Some(found);
            }
            at = (at + 1) & mask;
        }
    }
}

/// Spreads numbers that follow each other.
fn hash_number(number: ConsumerId) -> u64 {
    (u64::from(number.0) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

/// Names come from administrators, who gain nothing by collisions.
fn hash_name(name: &str) -> u64 {
    RandomState::with_seeds(1, 2, 3, 4).hash_one(name)
}
