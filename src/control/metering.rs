// SPDX-License-Identifier: Apache-2.0
//! Usage from the shards to the store and to whoever is sent it, step by step.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::base::Tick;
use crate::base::limits::USAGE_EXPORT_ROWS_MAX;
use crate::config::plan::{UsageExportPlan, UsagePlan};
use crate::control::events::Events;
use crate::control::plane::Plane;
use crate::control::store::fault::StoreFault;
use crate::control::store::usage::{self, Exported, Order};
use crate::control::store::usage_export::{self, Part};
use crate::control::usage::UsageEvent;
use crate::control::usage_export::send;
use crate::link::{ToShard, UsageBatch};
use crate::net::machine;

/// Longest wait at the end of the process for usage to be recorded.
const CLOSE: Duration = Duration::from_secs(5);
/// How often it is looked meanwhile whether it may be tried again.
const LOOK: Duration = Duration::from_millis(100);

impl Plane {
    /// A shard tells of usage.
    pub(super) fn take_usage(&mut self, shard: usize, batch: UsageBatch) {
        let now = machine::now();
        self.usage.take(shard, batch, now);
        self.record_usage(now);
    }

    /// Does what is due.
    pub(super) fn step_usage(&mut self, now: Tick) {
        self.record_usage(now);
        let terms = self.usage_plan().map(|plan| (plan.keep, plan.export.is_some()));
        let Some((keep, exports)) = terms else { return };
        if self.usage.forgets(now) {
            let wall = machine::wall().seconds();
            if let Ok(store) = self.registry.store() {
                // What could not be forgotten now is forgotten later; the store says itself that it fails.
                drop(store.ask(move |database| usage::forget(database, keep, wall)));
            }
        }
        if exports && self.usage.exports(now) {
            self.read_export();
        }
    }

    /// When the next step is due.
    pub(super) fn usage_at(&self) -> Tick {
        let Some(plan) = self.usage_plan() else { return self.usage.wake_at() };
        let export = if plan.export.is_some() { self.usage.export_at() } else { Tick::NEVER };
        self.usage.wake_at().min(self.usage.forget_at()).min(export)
    }

    /// A step has ended.
    pub(super) fn usage_ended(&mut self, event: UsageEvent) {
        let now = machine::now();
        match event {
            UsageEvent::Recorded(Ok(recorded)) => {
                if self.usage.has_recovered() {
                    tracing::info!("usage is recorded again");
                }
                for (shard, batch) in self.usage.recorded(recorded, now).iter().flat_map(|told| told.iter()) {
                    self.shards.send(*shard, ToShard::UsageRecorded { sequence: batch.sequence });
                }
                self.record_usage(now);
            }
            UsageEvent::Recorded(Err(fault)) => {
                if self.usage.failed(now) {
                    tracing::error!(%fault, "usage cannot be recorded; it is kept and tried again");
                }
            }
            UsageEvent::Read(Ok(Some(part))) => self.send_export(part),
            UsageEvent::Read(Ok(None)) => {
                let every = self.usage_export().map_or(Duration::ZERO, |export| export.every);
                self.usage.export_ended(now, every);
            }
            UsageEvent::Sent(part, Ok(())) => {
                self.usage.shown.exported += 1;
                self.ask_store(move |database| usage_export::arrived(database, &part), UsageEvent::Noted);
            }
            // What is left of this export follows at once.
            UsageEvent::Noted(Ok(())) => self.read_export(),
            UsageEvent::Sent(_, Err(reason)) => self.export_failed(now, &reason),
            UsageEvent::Read(Err(fault)) | UsageEvent::Noted(Err(fault)) => {
                self.export_failed(now, &fault.to_string());
            }
        }
    }

    /// Records what has come, before the process ends.
    pub(super) async fn close_usage(&mut self, events: &mut Events) {
        let until = machine::now().after(CLOSE);
        while !self.usage.is_idle() {
            let now = machine::now();
            if now >= until {
                tracing::error!("usage of the last seconds could not be recorded and is lost");
                return;
            }
            self.record_usage(now);
            if let Ok(Some(event)) = tokio::time::timeout(LOOK, events.usage.recv()).await {
                self.usage_ended(event);
            }
        }
    }

    fn usage_plan(&self) -> Option<&UsagePlan> {
        self.current.as_ref()?.plan.usage.as_ref()
    }

    fn usage_export(&self) -> Option<Arc<UsageExportPlan>> {
        self.usage_plan()?.export.clone()
    }

    /// Gives the store what waits. What a plan that is not in use any more had counted is recorded as well.
    fn record_usage(&mut self, now: Tick) {
        let Some(batches) = self.usage.next_order(now) else { return };
        let plan = self.usage_plan();
        let order = Order {
            process: Arc::clone(&self.usage.process),
            batches,
            series_max: plan.map_or(u64::MAX, |plan| plan.series_max),
            exported: if plan.is_some_and(|plan| plan.export.is_some()) { Exported::Yes } else { Exported::No },
            now: machine::wall().seconds(),
        };
        let counts = std::mem::take(&mut self.usage.counts);
        self.ask_store(move |database| usage::record(database, &order, counts), UsageEvent::Recorded);
    }

    fn read_export(&mut self) {
        let seed = machine::wall().0 ^ u64::from(std::process::id()) << 40;
        let read = move |database: &mut _| usage_export::next_part(database, USAGE_EXPORT_ROWS_MAX, seed);
        self.ask_store(read, UsageEvent::Read);
    }

    fn send_export(&mut self, part: Part) {
        let Some(plan) = self.usage_export() else {
            return self.usage.export_ended(machine::now(), Duration::ZERO);
        };
        let events = self.usage.events.clone();
        spawn_local(async move {
            let sent = send(&part, &plan, machine::wall()).await;
            // The receiver is gone only where the process ends.
            let _ = events.send(UsageEvent::Sent(Box::new(part), sent)).await;
        });
    }

    fn export_failed(&mut self, now: Tick, reason: &str) {
        if self.usage.export_failed(now) {
            tracing::warn!(%reason, "an export of usage may not have arrived; it is sent again");
        }
    }

    /// Has something done on the store's thread; its outcome comes back as an event.
    fn ask_store<T: Send + 'static>(
        &mut self,
        ask: impl FnOnce(&mut crate::control::store::database::Database) -> Result<T, StoreFault> + Send + 'static,
        event: impl FnOnce(Result<T, StoreFault>) -> UsageEvent + 'static,
    ) {
        let answer: Result<oneshot::Receiver<Result<T, StoreFault>>, StoreFault> =
            self.registry.store().map(|store| store.ask(ask));
        let events = self.usage.events.clone();
        spawn_local(async move {
            let outcome = match answer {
                // Where too much waits for the disk, the job is dropped with its sender.
                Ok(answer) => answer.await.unwrap_or(Err(StoreFault::Busy)),
                Err(fault) => Err(fault),
            };
            let _ = events.send(event(outcome)).await;
        });
    }
}
