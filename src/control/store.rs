// SPDX-License-Identifier: Apache-2.0
//! The store: one SQLite file with what is created and changed while the gateway runs. It has a thread of its own, so
//! that the control plane never waits for a disk. Without `[store]` there is none, and nothing is written.
//!
//! A write is on disk before it is answered: the log of the file is written through at each commit. Where the file
//! cannot be read or written, the gateway goes on with what the shards know, refuses writes, and opens the file again
//! and again.

pub(crate) mod command;
pub(crate) mod credential;
pub(crate) mod database;
pub(crate) mod effect;
pub(crate) mod export;
pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod object;
pub(crate) mod token;

mod load;
mod schema;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::base::limits::STORE_JOBS_MAX;
use crate::config::directory::{Declared, Numbers};
use crate::control::store::command::{Command, Done};
use crate::control::store::database::Database;
use crate::control::store::effect::Effect;
use crate::control::store::fault::StoreFault;
use crate::policy::directory::Snapshot;

/// How often a file is opened again that could not be.
const OPEN_AGAIN: Duration = Duration::from_secs(5);

/// What the store tells the control plane, in the order in which it happened on disk.
#[derive(Debug)]
pub(crate) enum StoreEvent {
    /// A write was done or refused; by the number that `Store::write` gave.
    Written(u64, Result<Done, StoreFault>),
    /// What is asked for by `Store::effects_of`.
    Known(Vec<Effect>),
    /// The file can be read and written again. This is what it holds, where that was not known before.
    Up(Vec<Effect>),
    /// The file cannot be read or written.
    Down(StoreFault),
}

/// The control plane's end.
#[derive(Debug)]
pub(crate) struct Store {
    jobs: SyncSender<Job>,
    /// Events that were sent and not taken; with the jobs that wait at most `STORE_JOBS_MAX`.
    open: Arc<AtomicUsize>,
    writes: u64,
}

/// The events of a store.
#[derive(Debug)]
pub(crate) struct StoreEvents {
    events: mpsc::UnboundedReceiver<StoreEvent>,
    open: Arc<AtomicUsize>,
}

impl StoreEvents {
    /// The next event; none where the store has ended. May be dropped.
    pub(crate) async fn next(&mut self) -> Option<StoreEvent> {
        let event = self.events.recv().await?;
        if matches!(event, StoreEvent::Written(..) | StoreEvent::Known(_)) {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        Some(event)
    }
}

/// A store that was opened, or not.
pub(crate) struct Opened {
    /// Its end.
    pub store: Store,
    /// Its events, until somebody takes them.
    pub events: Option<StoreEvents>,
    /// What the configuration declared when it was opened.
    pub declared: Arc<Declared>,
    /// The directory at the start: what the configuration declares and, where it could be read, what the store holds.
    pub snapshot: Snapshot,
    /// The numbers that it uses.
    pub numbers: Numbers,
    /// Why it could not be read.
    pub fault: Option<StoreFault>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Opened").field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// What is run with the open file; returns the fault, if there was one.
type Run = Box<dyn FnOnce(Result<&mut Database, StoreFault>) -> Option<StoreFault> + Send>;

enum Job {
    Write(u64, Box<Command>),
    EffectsOf(Vec<String>),
    /// Something that reads, or writes without a part in the directory.
    Other(Run),
}

/// Opens a store and reads it. Takes as long as it is large: not for the control plane's thread. Fails where the file
/// must not be touched: another program or a newer version wrote it.
pub(crate) fn open(path: PathBuf, declared: &Arc<Declared>) -> Result<Opened, StoreFault> {
    let mut numbers = Numbers::default();
    let (database, snapshot, fault) = match file::open(&path) {
        Ok(mut database) => match load::snapshot(&mut database, declared, &mut numbers) {
            Ok(snapshot) => (Some(database), snapshot, None),
            Err(fault) => (None, load::declared_only(declared, &mut numbers), Some(fault)),
        },
        Err(fault @ (StoreFault::Newer { .. } | StoreFault::Foreign)) => return Err(fault),
        Err(fault) => (None, load::declared_only(declared, &mut numbers), Some(fault)),
    };
    let (jobs, waiting) = sync_channel(STORE_JOBS_MAX);
    let (events_in, events) = mpsc::unbounded_channel();
    let open = Arc::new(AtomicUsize::new(0));
    let read = fault.is_none();
    let thread = StoreThread { path, database, read, was_up: read, events: events_in };
    let started = thread::Builder::new().name("store".to_owned()).spawn(move || thread.run(&waiting));
    started.map_err(|error| StoreFault::Unavailable(error.to_string()))?;
    let store = Store { jobs, open: Arc::clone(&open), writes: 0 };
    let (events, declared) = (Some(StoreEvents { events, open }), Arc::clone(declared));
    Ok(Opened { store, events, declared, snapshot, numbers, fault })
}

impl Store {
    /// Does a write; `StoreEvent::Written` with the number that this returns says what became of it.
    pub(crate) fn write(&mut self, command: Command) -> Result<u64, StoreFault> {
        self.writes += 1;
        self.send_counted(Job::Write(self.writes, Box::new(command)))?;
        Ok(self.writes)
    }

    /// Reads what the store holds of these consumers, and all else that is not a consumer: `StoreEvent::Known`.
    pub(crate) fn effects_of(&self, consumers: Vec<String>) -> Result<(), StoreFault> {
        self.send_counted(Job::EffectsOf(consumers))
    }

    /// Runs `read` with the open file, on the store's thread. The answer is an error where the file cannot be read, or
    /// where too much waits.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Database) -> Result<T, StoreFault> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StoreFault>> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Other(Box::new(move |database| {
            let outcome = database.and_then(read);
            let fault = outcome.as_ref().err().cloned();
            // Whoever asked may have left.
            let _ = reply.send(outcome);
            fault
        }));
        // Where the queue is full, the sender is dropped with the job, and the receiver learns that.
        let _ = self.jobs.try_send(job);
        answer
    }

    fn send_counted(&self, job: Job) -> Result<(), StoreFault> {
        if self.open.load(Ordering::Relaxed) >= STORE_JOBS_MAX {
            return Err(StoreFault::Busy);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        self.jobs.try_send(job).map_err(|refused| {
            self.open.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => StoreFault::Busy,
                TrySendError::Disconnected(_) => StoreFault::Unavailable("its thread has ended".to_owned()),
            }
        })
    }
}

struct StoreThread {
    path: PathBuf,
    database: Option<Database>,
    /// Shards know what the file holds. As long as it cannot be written, that does not change.
    read: bool,
    /// What was said last: the file can be read and written.
    was_up: bool,
    events: mpsc::UnboundedSender<StoreEvent>,
}

impl StoreThread {
    /// Until nobody can ask any more. What was asked before is done.
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(OPEN_AGAIN) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.database.is_none() || !self.was_up {
                self.open_again();
            }
        }
    }

    fn take(&mut self, job: Job) {
        let fault = match job {
            Job::Write(number, command) => {
                let outcome = match &mut self.database {
                    Some(database) => command::execute(database, &command),
                    None => Err(closed()),
                };
                let fault = outcome.as_ref().err().cloned();
                let _ = self.events.send(StoreEvent::Written(number, outcome));
                fault
            }
            Job::EffectsOf(consumers) => {
                let outcome = match &mut self.database {
                    Some(database) => load::effects_of(database, &consumers),
                    None => Err(closed()),
                };
                let fault = outcome.as_ref().err().cloned();
                // What cannot be read now is read when the file is opened again.
                let _ = self.events.send(StoreEvent::Known(outcome.unwrap_or_default()));
                fault
            }
            Job::Other(run) => run(self.database.as_mut().ok_or_else(closed)),
        };
        match fault {
            Some(fault) if fault.is_of_file() && self.was_up => {
                self.was_up = false;
                let _ = self.events.send(StoreEvent::Down(fault));
            }
            _ => {}
        }
    }

    /// Opens the file again, and tells what it holds where nobody knows that.
    fn open_again(&mut self) {
        self.database = None;
        let Ok(mut database) = file::open(&self.path) else { return };
        let known = self.read;
        let read = |database: &mut Database| if known { Ok(Vec::new()) } else { load::effects(database) };
        // It can be written, if a transaction can begin.
        if let Ok(effects) = database.transaction(|_| Ok(())).and_then(|()| read(&mut database)) {
            self.database = Some(database);
            (self.read, self.was_up) = (true, true);
            let _ = self.events.send(StoreEvent::Up(effects));
        }
    }
}

fn closed() -> StoreFault {
    StoreFault::Unavailable("it is not open".to_owned())
}

#[cfg(test)]
mod tests;
