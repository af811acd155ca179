// SPDX-License-Identifier: Apache-2.0
//! Changes of a directory: a change is applied, a newer snapshot takes the place of changes, and a snapshot is made of
//! a directory as it is.

use std::sync::Arc;

use ahash::AHashMap;

use crate::policy::directory::change::{Change, Item, Revision};
use crate::policy::directory::snapshot::{Parts, Snapshot};
use crate::policy::directory::{Changed, Counts, Directory, half};

impl Directory {
    /// A directory that is at a snapshot.
    #[cfg(test)]
    pub fn new(base: Arc<Snapshot>) -> Directory {
        let mut directory = Directory::default();
        directory.rebase(base);
        directory
    }

    /// Applies a change. One that is older than what is known is ignored.
    pub fn apply(&mut self, change: &Change) {
        let revision = change.revision;
        if revision <= self.revision {
            return;
        }
        self.revision = revision;
        for item in &change.items {
            self.apply_item(item, revision);
        }
        if let Some(catalogue) = &change.catalogue {
            self.catalogue = Arc::clone(catalogue);
            self.catalogue_since = revision;
        }
    }

    fn apply_item(&mut self, item: &Item, revision: Revision) {
        match item {
            Item::Key(entry) => {
                self.counts.keys += usize::from(self.key(&entry.hash).is_none());
                self.keys.insert(half(&entry.hash), Changed { revision, value: Some(*entry) });
            }
            Item::KeyGone(hash) => {
                self.counts.keys -= usize::from(self.key(hash).is_some());
                self.keys.insert(half(hash), Changed { revision, value: None });
            }
            Item::Consumer(consumer) => {
                self.counts.consumers += usize::from(self.consumer(consumer.number).is_none());
                let number = Changed { revision, value: Some(consumer.number) };
                self.names.insert(consumer.name.clone(), number);
                self.consumers.insert(consumer.number, Changed { revision, value: Some(Arc::clone(consumer)) });
            }
            Item::ConsumerGone { number, name } => {
                self.counts.consumers -= usize::from(self.consumer(*number).is_some());
                self.names.insert(name.clone(), Changed { revision, value: None });
                self.consumers.insert(*number, Changed { revision, value: None });
            }
            Item::Credential(credential) => {
                let value = Changed { revision, value: Some(Arc::clone(credential)) };
                self.credentials[credential.kind as usize].insert(credential.lookup.clone(), value);
            }
            Item::CredentialGone(kind, lookup) => {
                self.credentials[*kind as usize].insert(lookup.clone(), Changed { revision, value: None });
            }
            Item::App(app) => {
                self.apps.insert(app.number, Changed { revision, value: Some(Arc::clone(app)) });
            }
            Item::AppGone(number) => {
                self.apps.insert(*number, Changed { revision, value: None });
            }
        }
    }

    /// Takes a newer snapshot in the place of the changes that it contains; an older one is ignored. Returns the
    /// snapshot that is not needed any more.
    pub fn rebase(&mut self, base: Arc<Snapshot>) -> Arc<Snapshot> {
        let since = base.revision();
        if since < self.base.revision() {
            return base;
        }
        keep_newer(&mut self.keys, since);
        keep_newer(&mut self.consumers, since);
        keep_newer(&mut self.names, since);
        self.credentials.iter_mut().for_each(|changed| keep_newer(changed, since));
        keep_newer(&mut self.apps, since);
        if self.catalogue_since <= since {
            self.catalogue = Arc::clone(base.catalogue());
            self.catalogue_since = since;
        }
        self.revision = self.revision.max(since);
        // A snapshot of what was known already changes nothing but how it is found.
        if self.changed() == 0 {
            self.counts = Counts { consumers: base.consumer_count(), keys: base.key_count() };
        }
        std::mem::replace(&mut self.base, base)
    }

    /// How many changes a look-up may meet before it reaches the snapshot.
    pub fn changed(&self) -> usize {
        let credentials: usize = self.credentials.iter().map(|changed| changed.len()).sum();
        self.keys.len() + self.consumers.len() + credentials + self.apps.len()
    }

    /// How many consumers it holds.
    pub fn consumer_count(&self) -> usize {
        self.counts.consumers
    }

    /// How many keys it holds, expired ones among them.
    pub fn key_count(&self) -> usize {
        self.counts.keys
    }

    /// The snapshot without the changes.
    pub fn base(&self) -> &Arc<Snapshot> {
        &self.base
    }

    /// Copies what `merged` needs, so that another thread can make the snapshot.
    pub fn copied(&self) -> Directory {
        Directory {
            base: Arc::clone(&self.base),
            keys: self.keys.clone(),
            consumers: self.consumers.clone(),
            names: self.names.clone(),
            credentials: self.credentials.clone(),
            apps: self.apps.clone(),
            catalogue: Arc::clone(&self.catalogue),
            catalogue_since: self.catalogue_since,
            revision: self.revision,
            counts: self.counts,
        }
    }

    /// A snapshot of the directory as it is. Takes as long as the directory is large.
    pub fn merged(&self) -> Snapshot {
        let mut parts = Parts { catalogue: Arc::clone(&self.catalogue), ..Parts::default() };
        let kept = self.base.keys().filter(|entry| !self.keys.contains_key(&half(&entry.hash)));
        parts.keys = kept.copied().chain(self.keys.values().filter_map(|changed| changed.value)).collect();
        let kept = self.base.consumers().iter().filter(|consumer| !self.consumers.contains_key(&consumer.number));
        let changed = self.consumers.values().filter_map(|changed| changed.value.as_deref());
        parts.consumers = kept.chain(changed).cloned().collect();
        let kept =
            self.base.credentials().filter(|known| !self.credentials[known.kind as usize].contains_key(&known.lookup));
        let changed = self.credentials.iter().flat_map(|changed| changed.values());
        parts.credentials = kept.cloned().chain(changed.filter_map(|changed| changed.value.clone())).collect();
        let kept = self.base.apps().filter(|app| !self.apps.contains_key(&app.number)).cloned();
        parts.apps = kept.chain(self.apps.values().filter_map(|changed| changed.value.clone())).collect();
        Snapshot::new(self.revision, parts)
    }
}

fn keep_newer<K: Eq + std::hash::Hash, V>(changes: &mut AHashMap<K, Changed<V>>, since: Revision) {
    if changes.is_empty() {
        return;
    }
    changes.retain(|_, changed| changed.revision > since);
    let left = changes.len();
    changes.shrink_to(2 * left);
}
