// SPDX-License-Identifier: Apache-2.0
//! The directory of the process: what shards are told, in which order, and which of them has applied it.
//!
//! ```text
//!  write ─► on disk ─► a change with the next revision ─► all shards ─► all have applied it ─► the answer
//! ```
//! A second after the change was sent, the answer goes out even if a shard has not applied it, and says so. Pure but
//! for the thread that makes snapshots: messages and times are arguments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::limits::DIRECTORY_CHANGES_MAX;
use crate::base::{AppId, ConsumerId, CredentialId, Tick};
use crate::config::directory::{CredentialObject, Declared, KeyObject, Numbers, credential, put};
use crate::control::declared::Differences;
use crate::control::store::command::Written;
use crate::control::store::effect::Effect;
use crate::control::store::fault::StoreFault;
use crate::control::store::object::{Body, ObjectKind};
use crate::control::store::{Opened, Store};
use crate::policy::directory::{Catalogue, Change, Directory, Item, KeyEntry, KeyHash, Revision, Snapshot};

/// Longest wait for the shards before a write is answered.
const APPLIED_MAX: Duration = Duration::from_secs(1);

/// What became of a write.
#[derive(Debug)]
pub(crate) struct WriteOutcome {
    /// What was written.
    pub written: Written,
    /// Whether all shards know it.
    pub reach: Reach,
}

/// Whether all shards know a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// They do.
    Everywhere,
    /// Some do not yet; they will be at this revision.
    Pending(Revision),
}

/// Gets what became of a write.
pub(crate) type WriteResponder = oneshot::Sender<Result<WriteOutcome, StoreFault>>;

/// Who may call.
#[derive(Debug, Default)]
pub(super) struct Registry {
    numbers: Numbers,
    /// What every shard has when it has applied all that it was sent.
    directory: Directory,
    /// What the plan in use declares.
    declared: Arc<Declared>,
    declared_keys: HashSet<KeyHash>,
    /// Names that the configuration declares no more; the store is asked whether it has them.
    gone: Vec<(ObjectKind, Box<str>)>,
    /// The revision that each shard is at.
    applied: Vec<Revision>,
    store: Option<Store>,
    /// Why the store cannot be read or written now.
    fault: Option<StoreFault>,
    writes: HashMap<u64, WriteResponder>,
    waiting: Vec<Waiting>,
    /// A snapshot is being made.
    merging: bool,
    /// Snapshots that shards may still hold.
    retired: Vec<Arc<Snapshot>>,
}

/// A write that is answered when all shards know it.
#[derive(Debug)]
struct Waiting {
    revision: Revision,
    until: Tick,
    written: Written,
    reply: WriteResponder,
}

/// From where something comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The configuration, which wins by name.
    Configuration,
    /// The store.
    Store,
}

/// A change that is put together.
struct Draft<'a> {
    origin: Origin,
    numbers: &'a mut Numbers,
    directory: &'a Directory,
    catalogue: Option<Catalogue>,
    consumers: HashMap<String, Option<ConsumerId>>,
    apps: HashSet<AppId>,
    items: Vec<Item>,
}

impl Registry {
    /// Nobody, for so many shards.
    pub(super) fn new(shards: usize) -> Registry {
        Registry { applied: vec![Revision::default(); shards], ..Registry::default() }
    }

    /// Takes what was read at the start. Returns the first snapshot for the shards.
    pub(super) fn begin(&mut self, opened: Opened) -> Arc<Snapshot> {
        let Opened { store, snapshot, numbers, fault, declared, .. } = opened;
        (self.store, self.numbers, self.fault) = (Some(store), numbers, fault);
        self.declared_keys = declared.keys.iter().map(|key| key.hash).collect();
        self.declared = declared;
        let snapshot = Arc::new(snapshot);
        drop(self.directory.rebase(Arc::clone(&snapshot)));
        snapshot
    }

    /// The store, where there is one.
    pub(super) fn store(&mut self) -> Result<&mut Store, StoreFault> {
        self.store.as_mut().ok_or(StoreFault::None)
    }

    /// Why the store cannot be read or written; `None` where it can, and where there is none.
    pub(super) fn fault(&self) -> Option<&StoreFault> {
        self.fault.as_ref()
    }

    /// Whether the store can be read and written; `None` where there is none.
    pub(super) fn is_up(&self) -> Option<bool> {
        self.store.as_ref().map(|_| self.fault.is_none())
    }

    /// What the plan in use declares.
    pub(super) fn declared(&self) -> &Arc<Declared> {
        &self.declared
    }

    /// The app that has or had this name.
    pub(super) fn app_named(&self, name: &str) -> Option<AppId> {
        self.numbers.app_named(name)
    }

    /// The directory as all shards will have it.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Somebody waits for the write of this number.
    pub(super) fn expect(&mut self, number: u64, reply: WriteResponder) {
        self.writes.insert(number, reply);
    }

    /// The store can be read and written, or not.
    pub(super) fn set_fault(&mut self, fault: Option<StoreFault>) {
        self.fault = fault;
    }

    /// Follows what a plan declares. Returns what shards must know first, and the consumers that the store is to be
    /// asked for, where there is one.
    pub(super) fn declare(&mut self, declared: &Arc<Declared>) -> (Option<Change>, Vec<String>) {
        let differences = Differences::of(&self.declared, declared);
        self.declared = Arc::clone(declared);
        self.declared_keys = declared.keys.iter().map(|key| key.hash).collect();
        let Differences { effects, gone, mut consumers } = differences;
        let mut change = self.change(effects, Origin::Configuration);
        if self.store.is_some() && self.fault.is_none() {
            self.gone.extend(gone);
            return (change, consumers);
        }
        let gone = gone.into_iter().map(|(kind, name)| Effect::Gone(kind, name.into())).collect();
        let removed = self.change(gone, Origin::Configuration);
        consumers.clear();
        if let (Some(change), Some(removed)) = (&mut change, &removed) {
            change.items.extend(removed.items.iter().cloned());
            change.catalogue = removed.catalogue.clone().or(change.catalogue.take());
            change.revision = removed.revision;
        }
        (change.or(removed), consumers)
    }

    /// Learns what the store holds. Names that it was asked for in vain are gone.
    pub(super) fn learn(&mut self, mut effects: Vec<Effect>) -> Option<Change> {
        let held: HashSet<(ObjectKind, &str)> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Put(name, body) => Some((body.kind(), name.as_str())),
                _ => None,
            })
            .collect();
        let missing = self.gone.iter().filter(|(kind, name)| !held.contains(&(*kind, &**name)));
        let missing: Vec<Effect> = missing.map(|(kind, name)| Effect::Gone(*kind, name.to_string())).collect();
        self.gone.clear();
        effects.splice(0..0, missing);
        self.change(effects, Origin::Store)
    }

    /// Follows what another gateway wrote to the store.
    pub(super) fn follow(&mut self, effects: Vec<Effect>) -> Option<Change> {
        self.change(effects, Origin::Store)
    }

    /// A write is on disk. Returns the change that all shards must know before whoever asked is answered.
    pub(super) fn written(&mut self, number: u64, done: (Written, Vec<Effect>), now: Tick) -> Option<Change> {
        let (written, effects) = done;
        let change = self.change(effects, Origin::Store);
        if let Some(reply) = self.writes.remove(&number) {
            let revision = self.directory.revision();
            self.waiting.push(Waiting { revision, until: now.after(APPLIED_MAX), written, reply });
        }
        change
    }

    /// A write was refused.
    pub(super) fn refused(&mut self, number: u64, fault: StoreFault) {
        if let Some(reply) = self.writes.remove(&number) {
            // Whoever asked may have left.
            let _ = reply.send(Err(fault));
        }
    }

    /// A shard is at this revision.
    pub(super) fn applied(&mut self, shard: usize, revision: Revision) {
        if let Some(applied) = self.applied.get_mut(shard) {
            *applied = (*applied).max(revision);
        }
    }

    /// Answers writes that all shards know, and those that have waited long enough.
    pub(super) fn answer(&mut self, now: Tick) {
        let reached = self.reached();
        let due = |waiting: &mut Waiting| waiting.revision <= reached || now >= waiting.until;
        for Waiting { revision, written, reply, .. } in self.waiting.extract_if(.., due) {
            let reach = if revision <= reached { Reach::Everywhere } else { Reach::Pending(revision) };
            let _ = reply.send(Ok(WriteOutcome { written, reach }));
        }
    }

    /// The revision that all shards have reached.
    pub(super) fn reached(&self) -> Revision {
        self.applied.iter().copied().min().unwrap_or_default()
    }

    /// When `answer` must be called even if no shard says anything.
    pub(super) fn wake_at(&self) -> Tick {
        self.waiting.iter().map(|waiting| waiting.until).min().unwrap_or(Tick::NEVER)
    }

    /// What a new snapshot is made of, where so much has changed that one is needed.
    pub(super) fn merge(&mut self) -> Option<Directory> {
        let most = DIRECTORY_CHANGES_MAX.max(self.directory.base().key_count() / 32);
        if self.merging || self.directory.changed() <= most {
            return None;
        }
        self.merging = true;
        Some(self.directory.copied())
    }

    /// Takes the new snapshot, for all shards.
    pub(super) fn merged(&mut self, snapshot: &Arc<Snapshot>) {
        self.merging = false;
        self.numbers.prune();
        self.retired.push(self.directory.rebase(Arc::clone(snapshot)));
    }

    /// Snapshots that no shard holds any more, to be freed on another thread.
    pub(super) fn free(&mut self) -> Vec<Arc<Snapshot>> {
        self.retired.extract_if(.., |snapshot| Arc::strong_count(snapshot) == 1).collect()
    }

    /// Does it hold snapshots that wait to be freed?
    pub(super) fn holds_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Makes a change of effects and applies it. `None` where nothing changes.
    fn change(&mut self, effects: Vec<Effect>, origin: Origin) -> Option<Change> {
        let Registry { numbers, directory, declared, declared_keys, .. } = self;
        let mut draft = Draft {
            origin,
            numbers,
            directory,
            catalogue: None,
            consumers: HashMap::new(),
            apps: HashSet::new(),
            items: Vec::new(),
        };
        for effect in effects {
            let hidden = origin == Origin::Store
                && match &effect {
                    Effect::Put(name, body) => body.kind().is_declared(declared, name),
                    Effect::Gone(kind, name) => kind.is_declared(declared, name),
                    Effect::Key(KeyObject { hash, .. }, _) | Effect::KeyGone(hash) => declared_keys.contains(hash),
                    Effect::Credential(CredentialObject { kind, lookup, .. }, _)
                    | Effect::CredentialGone(kind, lookup) => {
                        declared.credentials.iter().any(|held| held.kind == *kind && held.lookup == *lookup)
                    }
                };
            if !hidden {
                draft.add(effect);
            }
        }
        let Draft { catalogue, items, .. } = draft;
        if items.is_empty() && catalogue.is_none() {
            return None;
        }
        let change = Change { revision: directory.revision().next(), items, catalogue: catalogue.map(Arc::new) };
        directory.apply(&change);
        Some(change)
    }
}

impl Draft<'_> {
    fn add(&mut self, effect: Effect) {
        match effect {
            Effect::Put(name, body) => self.put(name, &body),
            Effect::Gone(kind, name) => self.gone(kind, name),
            Effect::Key(key, number) => {
                let Some(owner) = self.owner(&key.consumer, key.app.as_deref()) else { return };
                let number = self.number(number);
                self.items.push(Item::Key(KeyEntry::new(key.hash, owner, number, key.expires)));
            }
            Effect::KeyGone(hash) => self.items.push(Item::KeyGone(hash)),
            Effect::Credential(object, number) => {
                let Some(owner) = self.owner(&object.consumer, object.app.as_deref()) else { return };
                let number = self.number(number);
                self.items.push(Item::Credential(Arc::new(credential(&object, owner, number))));
            }
            Effect::CredentialGone(kind, lookup) => self.items.push(Item::CredentialGone(kind, lookup)),
        }
    }

    /// The store numbers its credentials, and the registry those of the configuration.
    fn number(&mut self, number: CredentialId) -> CredentialId {
        match self.origin {
            Origin::Store => number,
            Origin::Configuration => self.numbers.new_credential(),
        }
    }

    fn put(&mut self, name: String, body: &Body) {
        match body {
            Body::Consumer(consumer) => {
                let number = self.consumer(&name).unwrap_or_else(|| self.numbers.new_consumer());
                let made = self.numbers.consumer(number, &name, consumer);
                self.items.push(Item::Consumer(Arc::new(made)));
                self.consumers.insert(name, Some(number));
            }
            Body::App(app) => {
                let Some(consumer) = self.consumer(&app.consumer) else { return };
                let made = self.numbers.app_of(&name, app, consumer);
                self.apps.insert(made.number);
                self.items.push(Item::App(Arc::new(made)));
            }
            Body::Tenant(tenant) => {
                let (numbers, catalogue) = self.catalogue();
                numbers.put_tenant(catalogue, &name, tenant);
            }
            Body::Plan(plan) => {
                let (numbers, catalogue) = self.catalogue();
                numbers.put_plan(catalogue, &name, plan);
            }
            Body::Product(product) => {
                let (numbers, catalogue) = self.catalogue();
                numbers.put_product(catalogue, &name, product);
            }
            // Consumers name their groups, whether they exist or not.
            Body::Group(_) => {}
        }
    }

    fn gone(&mut self, kind: ObjectKind, name: String) {
        match kind {
            ObjectKind::Consumer => {
                let Some(number) = self.consumer(&name) else { return };
                self.items.push(Item::ConsumerGone { number, name: name.as_str().into() });
                self.consumers.insert(name, None);
            }
            ObjectKind::App => {
                let number = self.numbers.app(&name);
                self.apps.remove(&number);
                self.items.push(Item::AppGone(number));
            }
            ObjectKind::Tenant => {
                let (numbers, catalogue) = self.catalogue();
                put(&mut catalogue.tenants, numbers.tenant(&name).0, None);
            }
            ObjectKind::Plan => {
                let (numbers, catalogue) = self.catalogue();
                put(&mut catalogue.plans, numbers.plan(&name).0, None);
            }
            ObjectKind::Product => {
                let (numbers, catalogue) = self.catalogue();
                put(&mut catalogue.products, numbers.product(&name).0, None);
            }
            ObjectKind::Group => {}
        }
    }

    fn catalogue(&mut self) -> (&mut Numbers, &mut Catalogue) {
        let catalogue = self.catalogue.get_or_insert_with(|| self.directory.catalogue().clone());
        (self.numbers, catalogue)
    }

    fn consumer(&self, name: &str) -> Option<ConsumerId> {
        match self.consumers.get(name) {
            Some(number) => *number,
            None => self.directory.by_name(name).map(|consumer| consumer.number),
        }
    }

    fn owner(&mut self, consumer: &str, app: Option<&str>) -> Option<(ConsumerId, Option<AppId>)> {
        let consumer = self.consumer(consumer)?;
        let Some(app) = app else { return Some((consumer, None)) };
        let number = self.numbers.app(app);
        let known = self.apps.contains(&number) || self.directory.app(number).is_some();
        known.then_some((consumer, Some(number)))
    }
}

#[cfg(test)]
mod tests;
