// SPDX-License-Identifier: Apache-2.0
//! Hot. Who may call: a shard's view of consumers, their credentials and apps, and of plans, products and tenants.
//!
//! It is a snapshot that all shards share, and what has changed since. The control plane sends changes in the order of
//! their revisions, and at times a newer snapshot, which takes the place of the changes that it contains. Look-ups take
//! no lock and allocate nothing. The directory belongs to the shard and not to a plan, so it survives reloads.

mod apply;
mod catalogue;
mod change;
mod consumer;
mod credential;
mod key;
mod period;
mod snapshot;

use std::sync::Arc;

use ahash::AHashMap;

use crate::base::{AppId, ConsumerId, Wall};
use crate::policy::identity::Identity;

pub(crate) use catalogue::{Catalogue, Plan, Product, Tenant};
pub(crate) use change::Item;
pub(crate) use change::{Change, Revision};
pub(crate) use consumer::{App, Consumer, Own, Profile, Standing, Subscription};
pub(crate) use credential::{Credential, CredentialKind, certificate_lookup, jwt_lookup};
pub(crate) use key::{Expiry, KeyEntry, KeyHash};
pub(crate) use period::{Allowance, Period};
pub(crate) use snapshot::Parts;
pub(crate) use snapshot::Snapshot;

/// One shard's view.
#[derive(Debug, Default)]
pub struct Directory {
    base: Arc<Snapshot>,
    /// What has changed since the snapshot; `None` for what is gone. Keys are found by the first half of their hash.
    keys: AHashMap<u128, Changed<KeyEntry>>,
    consumers: AHashMap<ConsumerId, Changed<Arc<Consumer>>>,
    names: AHashMap<Box<str>, Changed<ConsumerId>>,
    credentials: [NamedChanges; CredentialKind::ALL.len()],
    apps: AHashMap<AppId, Changed<Arc<App>>>,
    catalogue: Arc<Catalogue>,
    catalogue_since: Revision,
    revision: Revision,
    counts: Counts,
}

/// Changes of credentials of one kind, by what they are found by.
type NamedChanges = AHashMap<Box<[u8]>, Changed<Arc<Credential>>>;

/// A plan that holds.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The product that it was subscribed to for; empty where that was none.
    pub product: &'a str,
    /// The app whose plan it is; empty where it is the consumer's, or its tenant's.
    pub app: &'a str,
    /// The consumer's name.
    pub consumer: &'a str,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    consumers: usize,
    keys: usize,
}

/// The last change of something.
#[derive(Clone, Debug)]
struct Changed<T> {
    revision: Revision,
    value: Option<T>,
}

impl Directory {
    /// The state that it is in.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The key with this hash, whether it has expired or not. It is compared in constant time but for its first bytes,
    /// which tell nothing of a key.
    pub fn key(&self, hash: &KeyHash) -> Option<&KeyEntry> {
        if let Some(changed) = self.keys.get(&half(hash)) {
            return changed.value.as_ref().filter(|entry| entry.has(hash));
        }
        self.base.key(hash)
    }

    /// The consumer of this number; `None` where it was removed.
    pub fn consumer(&self, number: ConsumerId) -> Option<&Consumer> {
        match self.consumers.get(&number) {
            Some(changed) => changed.value.as_deref(),
            None => self.base.consumer(number),
        }
    }

    /// The consumer of this name.
    pub fn by_name(&self, name: &str) -> Option<&Consumer> {
        match self.names.get(name) {
            Some(changed) => self.consumer(changed.value?),
            None => self.base.by_name(name),
        }
    }

    /// The credential of this kind that is found by this name and has not expired.
    pub fn credential(&self, kind: CredentialKind, lookup: &[u8], now: Wall) -> Option<&Credential> {
        let found = match self.credentials[kind as usize].get(lookup) {
            Some(changed) => changed.value.as_ref(),
            None => self.base.credential(kind, lookup),
        };
        found.map(|credential| &**credential).filter(|credential| credential.is_valid(now))
    }

    /// The app of this number.
    pub fn app(&self, number: AppId) -> Option<&App> {
        match self.apps.get(&number) {
            Some(changed) => changed.value.as_deref(),
            None => self.base.app(number).map(|app| &**app),
        }
    }

    /// Plans, products and tenants.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The tenant of a consumer.
    pub fn tenant(&self, consumer: &Consumer) -> Option<&Tenant> {
        self.catalogue.tenant(consumer.profile.tenant?)
    }

    /// Is a consumer, one of its apps or its tenant suspended, or was it removed? Whoever is not known is not.
    pub fn is_suspended(&self, identity: &Identity) -> bool {
        let Some(number) = identity.consumer else { return false };
        let Some(consumer) = self.consumer(number) else { return true };
        let app = identity.app.map(|app| self.app(app).map_or(Standing::Suspended, |app| app.standing));
        let tenant = self.tenant(consumer).map(|tenant| tenant.standing);
        [Some(consumer.standing), app, tenant].contains(&Some(Standing::Suspended))
    }

    /// The plan that holds for somebody on a route: of the app's subscriptions where it has any, else of the
    /// consumer's, else of the tenant's.
    pub fn in_force(&self, identity: &Identity, route: &str) -> Option<InForce<'_>> {
        let consumer = self.consumer(identity.consumer?)?;
        let app = self.subscribed_app(identity);
        let (plan, product) = self.catalogue.in_force(self.subscriptions(consumer, app)?, route)?;
        Some(InForce { plan, product, app: app.map_or("", |app| &app.name), consumer: &consumer.name })
    }

    /// The product as a part of which somebody calls a route: the first one of their subscriptions that contains it.
    pub fn product(&self, identity: &Identity, route: &str) -> Option<&Product> {
        let consumer = self.consumer(identity.consumer?)?;
        self.catalogue.sold(self.subscriptions(consumer, self.subscribed_app(identity))?, route)
    }

    /// What counts for somebody: what the app has subscribed to, or else the consumer, or else the tenant.
    fn subscriptions<'a>(&'a self, consumer: &'a Consumer, app: Option<&'a App>) -> Option<&'a [Subscription]> {
        if let Some(app) = app {
            return Some(&app.subscriptions);
        }
        let own = &consumer.profile.subscriptions;
        if own.is_empty() { Some(&self.tenant(consumer)?.subscriptions) } else { Some(own) }
    }

    /// The app that somebody calls with, where it has subscriptions of its own.
    fn subscribed_app(&self, identity: &Identity) -> Option<&App> {
        identity.app.and_then(|app| self.app(app)).filter(|app| !app.subscriptions.is_empty())
    }
}

/// The first half of a hash.
fn half(hash: &KeyHash) -> u128 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = *hash;
    u128::from_le_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
}

#[cfg(test)]
mod tests;
