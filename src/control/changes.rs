// SPDX-License-Identifier: Apache-2.0
//! Changes of the directory, from whoever wants them to the shards: what a plan declares, and what is written to the
//! store.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::task::{spawn_blocking, spawn_local};

use crate::config::plan::Plan;
use crate::control::directory::WriteResponder;
use crate::control::events::Events;
use crate::control::plane::Plane;
use crate::control::store::command::{Actor, Command, Done, Write};
use crate::control::store::response::Idempotency;
use crate::control::store::{Opened, StoreEvent};
use crate::link::ToShard;
use crate::net::machine;
use crate::policy::directory::{Change, Revision, Snapshot};

impl Plane {
    /// Writes to the store, tells all shards, and answers when they know. A refusal is answered at once.
    pub(super) fn write(&mut self, write: Write, by: Actor, idempotency: Option<Idempotency>, reply: WriteResponder) {
        let declared = Arc::clone(self.registry.declared());
        let command = Command { write, by, idempotency, declared, now: seconds() };
        match self.registry.store().and_then(|store| store.write(command)) {
            Ok(number) => self.registry.expect(number, reply),
            Err(fault) => {
                // Whoever asked may have left.
                let _ = reply.send(Err(fault));
            }
        }
    }

    /// The store was opened: its directory is the first that shards get.
    pub(super) fn begin_store(&mut self, mut opened: Opened, events: &mut Events) {
        match &opened.fault {
            Some(fault) if opened.read => tracing::error!(%fault, "the store can be read, but not written"),
            Some(fault) => {
                tracing::error!(%fault, "the store cannot be read; only what the configuration declares is known");
            }
            None => {}
        }
        events.store = opened.events.take();
        let revoked = std::mem::take(&mut opened.revoked);
        let snapshot = self.registry.begin(opened);
        let (keys, consumers) = (snapshot.key_count(), snapshot.consumer_count());
        tracing::info!(keys, consumers, "the store was read");
        self.shards.send_all(|_| ToShard::Directory(Arc::clone(&snapshot)));
        self.revoke(&revoked);
    }

    /// Tells all shards what a plan declares, before they commit it.
    pub(super) fn declare(&mut self, plan: &Plan) {
        let (change, consumers) = self.registry.declare(&plan.declared);
        self.tell_change(change);
        // Where too much waits for the disk, what the configuration uncovered is known after a restart.
        if let Ok(store) = self.registry.store()
            && !consumers.is_empty()
            && let Err(fault) = store.effects_of(consumers)
        {
            tracing::warn!(%fault, "the store cannot be asked for what the configuration does not declare any more");
        }
    }

    /// The store did something.
    pub(super) fn stored(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::Written(number, Ok(Done { written, effects })) => {
                let change = self.registry.written(number, (written, effects), machine::now());
                self.tell_change(change);
                self.registry.answer(machine::now());
            }
            StoreEvent::Written(number, Err(fault)) => self.registry.refused(number, fault),
            StoreEvent::Known(effects) => {
                let change = self.registry.learn(effects);
                self.tell_change(change);
            }
            StoreEvent::Changed(effects) => {
                let change = self.registry.follow(effects);
                self.tell_change(change);
            }
            StoreEvent::Up(effects) => {
                tracing::info!("the store can be read and written again");
                self.registry.set_fault(None);
                self.remember_revoked();
                let change = self.registry.learn(effects);
                self.tell_change(change);
            }
            StoreEvent::Down(fault) => {
                tracing::error!(%fault, "the store fails; the gateway goes on with what it knows");
                self.registry.set_fault(Some(fault));
            }
        }
    }

    /// A shard has applied all changes up to this one.
    pub(super) fn applied(&mut self, shard: usize, revision: Revision) {
        self.registry.applied(shard, revision);
        self.registry.answer(machine::now());
    }

    /// A snapshot in the place of many changes was made.
    pub(super) fn merged(&mut self, snapshot: &Arc<Snapshot>) {
        self.registry.merged(snapshot);
        self.shards.send_all(|_| ToShard::Directory(Arc::clone(snapshot)));
    }

    /// Frees snapshots that no shard holds any more, away from this thread.
    pub(super) fn free_snapshots(&mut self) {
        let free = self.registry.free();
        if !free.is_empty() {
            spawn_blocking(move || drop(free));
        }
    }

    fn tell_change(&mut self, change: Option<Change>) {
        let Some(change) = change.map(Arc::new) else { return };
        self.shards.send_all(|_| ToShard::Change(Arc::clone(&change)));
        let Some(directory) = self.registry.merge() else { return };
        let merged = self.setup.merged.clone();
        spawn_local(async move {
            let snapshot = spawn_blocking(move || Arc::new(directory.merged())).await;
            if let Ok(snapshot) = snapshot {
                // The receiver is gone only where the process ends.
                let _ = merged.send(snapshot).await;
            }
        });
    }
}

/// Whole seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
