// SPDX-License-Identifier: Apache-2.0
//! Makes a configuration ready for use, away from the control plane's thread: reads and compiles it, says what changed,
//! makes what each shard gets, opens the access log. Everything that may take long or hang has a deadline here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::plan::{LogTarget, Plan, ReflectionSource};
use crate::config::{Loaded, Report, Reports, Spec, diff};
use crate::control::log::Log;
use crate::control::store::{self, Opened};
use crate::control::tally::CounterSet;
use crate::control::transcode;
use crate::wire::grpc::json::Transcoder;

/// Longest wait for a configuration to be read and compiled.
const READ_MAX: Duration = Duration::from_secs(60);
/// Longest wait for the access log to be opened.
const LOG_OPEN_MAX: Duration = Duration::from_secs(5);
/// Most configurations that may be read at once; above it a reload is refused. Only reads that hang accumulate.
const READING_MAX: usize = 4;

/// The effect of a new plan on something that the process has at most one of.
#[derive(Debug)]
pub(super) enum Change<T> {
    /// It stays.
    Keep,
    /// This takes its place.
    Replace(T),
    /// It goes.
    Remove,
}

/// What runs while a configuration is read.
#[derive(Debug)]
pub(super) struct Running {
    /// The plan in use and what it was compiled from; none at the start.
    pub current: Option<(Arc<Plan>, Arc<Spec>)>,
    /// Where the access log goes.
    pub log: Option<LogTarget>,
    /// Descriptors received by server reflection.
    pub reflected: BTreeMap<Arc<ReflectionSource>, Arc<[u8]>>,
    /// Data-plane threads.
    pub shards: usize,
}

/// A configuration with everything that shards and the control plane need beside its plan.
#[derive(Debug)]
pub(super) struct Ready {
    /// The configuration.
    pub loaded: Loaded,
    /// What changed, in one line.
    pub changes: String,
    /// For each shard, by `TranscoderId`: those that no transcoder of the plan before serves.
    pub transcoders: Vec<Vec<Option<Transcoder>>>,
    /// Where shards count under the plan.
    pub counters: CounterSet,
    /// What becomes of the access log.
    pub log: Change<Log>,
    /// The store, which is opened with the first configuration.
    pub store: Option<Opened>,
}

/// Reads a configuration by `read`, which may block, and makes it ready.
pub(super) async fn load(
    read: impl FnOnce() -> Result<Loaded, Reports> + Send + 'static,
    running: Running,
) -> Result<Ready, Reports> {
    load_within(READ_MAX, read, running).await
}

async fn load_within(
    wait: Duration,
    read: impl FnOnce() -> Result<Loaded, Reports> + Send + 'static,
    running: Running,
) -> Result<Ready, Reports> {
    let turn = Reading::begin().ok_or_else(|| refusal("earlier attempts to read the configuration still hang"))?;
    let log = running.log.clone();
    let reading = spawn_blocking(move || {
        let _turn = turn;
        read().and_then(|loaded| complete(loaded, &running))
    });
    let mut ready = match timeout(wait, reading).await {
        Ok(Ok(read)) => read?,
        Ok(Err(error)) => return Err(refusal(&format!("the configuration could not be compiled: {error}"))),
        Err(_) => {
            return Err(refusal(&format!("the configuration was not read within {} seconds", wait.as_secs())));
        }
    };
    ready.log = log_change(&ready.loaded.plan, log.as_ref()).await.map_err(|words| refusal(&words))?;
    Ok(ready)
}

/// Everything that takes processor time.
fn complete(loaded: Loaded, running: &Running) -> Result<Ready, Reports> {
    let before = running.current.as_ref().map(|(plan, _)| &**plan);
    let changes = match &running.current {
        Some((plan, spec)) => {
            let changes = diff::describe(spec, &loaded.spec);
            plan.hidden.conceal(&loaded.plan.hidden.conceal(&changes))
        }
        None => "the first plan".to_owned(),
    };
    let transcoders = transcode::for_shards(&loaded.plan, before, &running.reflected, running.shards);
    let counters = CounterSet::new(&loaded.plan, running.shards);
    let target = loaded.plan.process.store.as_ref().filter(|_| running.current.is_none());
    let store = target.map(|target| store::open(target, &loaded.plan.declared).map_err(|fault| (target, fault)));
    let store =
        store.transpose().map_err(|(target, fault)| refusal(&format!("the store {target} cannot be used: {fault}")))?;
    Ok(Ready { loaded, changes, transcoders, counters, log: Change::Keep, store })
}

async fn log_change(plan: &Plan, running: Option<&LogTarget>) -> Result<Change<Log>, String> {
    let wanted = plan.access_log.as_ref().map(|log| &log.to);
    match wanted {
        None => Ok(Change::Remove),
        Some(target) if running == Some(target) => Ok(Change::Keep),
        Some(target) => match Log::open(target.clone(), LOG_OPEN_MAX).await {
            Ok(log) => Ok(Change::Replace(log)),
            Err(error) => Err(format!("the access log cannot be opened: {error}")),
        },
    }
}

fn refusal(words: &str) -> Reports {
    Reports::of(Report::placeless(words))
}

/// One of `READING_MAX` configurations that are being read.
struct Reading;

static READING: AtomicUsize = AtomicUsize::new(0);

impl Reading {
    fn begin() -> Option<Reading> {
        let one_more = |count| (count < READING_MAX).then_some(count + 1);
        READING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Reading)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
