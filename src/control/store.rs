// SPDX-License-Identifier: Apache-2.0
//! The store: a file of SQLite or a database of PostgreSQL with what is created and changed while the gateway runs. It
//! has a thread of its own, so that the control plane never waits for a disk or a server. Without `[store]` there is
//! none, and nothing is written.
//!
//! A write is on disk before it is answered. Where the store cannot be read or written, the gateway goes on with what
//! the shards know, refuses writes, and opens it again and again.

pub(crate) mod command;
pub(crate) mod credential;
pub(crate) mod database;
pub(crate) mod effect;
pub(crate) mod export;
pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod object;
pub(crate) mod response;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod token;
pub(crate) mod usage;
pub(crate) mod usage_export;

mod changes;
mod load;
mod schema;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::base::limits::STORE_JOBS_MAX;
use crate::config::directory::{Declared, Numbers};
use crate::config::plan::StoreTarget;
use crate::control::store::command::Command;
use crate::control::store::database::Database;
use crate::control::store::fault::StoreFault;
pub(crate) use crate::control::store::thread::StoreEvent;
use crate::control::store::thread::{Job, StoreThread};
use crate::net::machine::{self, BusErrors};
use crate::policy::directory::Snapshot;
use crate::policy::login::Revocation;

/// The control plane's end.
#[derive(Debug)]
pub(crate) struct Store {
    jobs: SyncSender<Job>,
    /// Events that were sent and not taken; with the jobs that wait at most `STORE_JOBS_MAX`.
    open: Arc<AtomicUsize>,
    writes: u64,
    /// Has nothing, and ends with the thread.
    ended: Receiver<()>,
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
    /// Sessions of browsers that ended before their time.
    pub revoked: Vec<Revocation>,
    /// Was it read? Where it was not, only what the configuration declares is known.
    pub read: bool,
    /// Why it cannot be read, or can only be read.
    pub fault: Option<StoreFault>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Opened").field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// Longest wait for a file to be closed.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Opens a store and reads it. Takes as long as it is large: not for the control plane's thread. Fails where the store
/// must not be touched: another program or a newer version wrote it.
pub(crate) fn open(target: &StoreTarget, declared: &Arc<Declared>) -> Result<Opened, StoreFault> {
    let _watch = BusErrors::watch();
    let mut numbers = Numbers::default();
    let mut revoked = Vec::new();
    let mut read = |mut database: Database| {
        // What is changed while it is read is read again.
        let seen = changes::last(&mut database)?;
        revoked = session::revocations(&mut database, machine::wall())?;
        let snapshot = load::snapshot(&mut database, declared, &mut numbers)?;
        Ok((database, seen, snapshot))
    };
    let writable = thread::open(target).and_then(|mut database| changes::probe(&mut database).map(|()| database));
    let (read, fault) = match writable {
        Ok(database) => (read(database), None),
        Err(fault @ (StoreFault::Newer { .. } | StoreFault::Foreign)) => return Err(fault),
        // A file that cannot be written may still be read.
        Err(fault) => match target {
            StoreTarget::File(path) => (file::open_to_read(path).and_then(&mut read), Some(fault)),
            StoreTarget::Server(_) => (Err(fault), None),
        },
    };
    let (opened, snapshot, fault) = match read {
        Ok((database, seen, snapshot)) => ((Some(database), Some(seen)), snapshot, fault),
        Err(unread @ (StoreFault::Newer { .. } | StoreFault::Foreign)) => return Err(unread),
        Err(unread) => {
            let snapshot = load::declared_only(declared, &mut numbers);
            ((None, None), snapshot, Some(fault.unwrap_or(unread)))
        }
    };
    let read = opened.1.is_some();
    let (jobs, waiting) = sync_channel(STORE_JOBS_MAX);
    let (events_in, events) = mpsc::unbounded_channel();
    let open = Arc::new(AtomicUsize::new(0));
    let thread = StoreThread::new(target.clone(), opened, fault.as_ref(), events_in);
    let (running, ended) = sync_channel::<()>(1);
    let started = Builder::new().name("store".to_owned()).spawn(move || {
        let _running = running;
        thread.run(&waiting);
    });
    started.map_err(|error| StoreFault::Unavailable(error.to_string()))?;
    let store = Store { jobs, open: Arc::clone(&open), writes: 0, ended };
    let (events, declared) = (Some(StoreEvents { events, open }), Arc::clone(declared));
    Ok(Opened { store, events, declared, snapshot, numbers, revoked, read, fault })
}

impl Drop for Store {
    /// Waits until the file is closed: a process that ended meanwhile would leave a log behind that nobody can read
    /// where the folder is only read.
    fn drop(&mut self) {
        let (nobody, _) = sync_channel::<Job>(1);
        drop(std::mem::replace(&mut self.jobs, nobody));
        // An error says that the thread has ended. A disk that hangs must not hold up the end.
        let _ = self.ended.recv_timeout(CLOSE_WAIT);
    }
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

#[cfg(test)]
mod tests;
