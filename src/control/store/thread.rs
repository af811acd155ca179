// SPDX-License-Identifier: Apache-2.0
//! The thread of a store: does one job after the other, looks whether others have written, and opens the store again
//! where it failed.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::config::plan::StoreTarget;
use crate::control::store::changes::{self, Changed};
use crate::control::store::command::{self, Command, Done};
use crate::control::store::database::{Database, Dialect};
use crate::control::store::effect::Effect;
use crate::control::store::fault::StoreFault;
use crate::control::store::{file, load, server};
use crate::net::machine::BusErrors;

/// How often a file is looked at for changes of others. Another process uses it during a binary upgrade only.
const FILE_LOOKED_AT: Duration = Duration::from_secs(1);
/// How often a database is: other gateways must know of a write within a second.
const SERVER_LOOKED_AT: Duration = Duration::from_millis(250);
/// The first wait before a store is opened again that could not be; each next one is twice as long.
const OPEN_AGAIN_MIN: Duration = Duration::from_millis(250);
/// The longest.
const OPEN_AGAIN_MAX: Duration = Duration::from_secs(5);

/// A store that has worked for so long and fails then is opened again soon. One that fails earlier, as on a disk that
/// has room for small writes only, is left alone for longer each time, and so is the log.
const STEADY: Duration = Duration::from_secs(60);

/// How long a store that fails is left alone, by the wait before and by how long it has worked.
fn wait_after(before: Duration, worked: Duration) -> Duration {
    if worked >= STEADY { OPEN_AGAIN_MIN } else { longer(before) }
}

fn longer(wait: Duration) -> Duration {
    (wait * 2).min(OPEN_AGAIN_MAX)
}

/// What the store tells the control plane, in the order in which it happened on disk.
#[derive(Debug)]
pub(crate) enum StoreEvent {
    /// A write was done or refused; by the number that `Store::write` gave.
    Written(u64, Result<Done, StoreFault>),
    /// What is asked for by `Store::effects_of`.
    Known(Vec<Effect>),
    /// Another gateway wrote to the same store.
    Changed(Vec<Effect>),
    /// The store can be read and written again. This is what has changed since it was read.
    Up(Vec<Effect>),
    /// The store cannot be read or written.
    Down(StoreFault),
}

/// What is run with the open file; returns the fault, if there was one.
pub(super) type Run = Box<dyn FnOnce(Result<&mut Database, StoreFault>) -> Option<StoreFault> + Send>;

/// A job.
pub(super) enum Job {
    /// A write, and its number.
    Write(u64, Box<Command>),
    /// See `Store::effects_of`.
    EffectsOf(Vec<String>),
    /// Something that reads, or writes without a part in the directory.
    Other(Run),
}

/// Opens the database of a store, and brings its tables to this version.
pub(super) fn open(target: &StoreTarget) -> Result<Database, StoreFault> {
    match target {
        StoreTarget::File(path) => file::open(path),
        StoreTarget::Server(server) => server::open(server),
    }
}

/// What the thread has.
pub(super) struct StoreThread {
    /// Where the store is.
    pub target: StoreTarget,
    /// The store, while it is open.
    pub database: Option<Database>,
    /// The last change that shards know. `None` where the store was never read.
    pub seen: Option<u64>,
    /// To the control plane.
    pub events: mpsc::UnboundedSender<StoreEvent>,
    /// What was said last: the store can be read and written.
    pub was_up: bool,
    /// Since when it works, if it does.
    pub up_since: Instant,
    /// When to look for changes of others, or to open the store again.
    pub look_at: Instant,
    /// The wait before the store is opened again.
    pub open_again: Duration,
}

impl StoreThread {
    /// For a store that was read up to the change `seen`, or not, and that can be written, or not.
    pub(super) fn new(
        target: StoreTarget,
        (database, seen): (Option<Database>, Option<u64>),
        fault: Option<&StoreFault>,
        events: mpsc::UnboundedSender<StoreEvent>,
    ) -> StoreThread {
        let (was_up, look_at) = (fault.is_none(), Instant::now());
        let (open_again, up_since) = (OPEN_AGAIN_MIN, Instant::now());
        StoreThread { target, database, seen, events, was_up, up_since, look_at, open_again }
    }

    /// Until nobody can ask any more. What was asked before is done.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let _watch = BusErrors::watch();
        loop {
            match jobs.recv_timeout(self.look_at.saturating_duration_since(Instant::now())) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= self.look_at {
                self.look();
            }
            // What SQLite shares with other processes is in a mapped file, of which it would lose sight.
            if BusErrors::take() {
                self.failed(StoreFault::Unavailable("its shared memory is gone: the disk may have failed".to_owned()));
            }
        }
    }

    fn take(&mut self, job: Job) {
        let fault = match job {
            Job::Write(number, command) => {
                let outcome = self.opened().and_then(|database| command::execute(database, &command));
                if let Ok(done) = &outcome {
                    self.see_own(done.effects.len());
                }
                let fault = outcome.as_ref().err().cloned();
                let _ = self.events.send(StoreEvent::Written(number, outcome));
                fault
            }
            Job::EffectsOf(consumers) => {
                let outcome = self.opened().and_then(|database| load::effects_of(database, &consumers));
                let fault = outcome.as_ref().err().cloned();
                // What cannot be read now is read when the store is opened again.
                let _ = self.events.send(StoreEvent::Known(outcome.unwrap_or_default()));
                fault
            }
            Job::Other(run) => run(self.opened()),
        };
        if let Some(fault) = fault {
            self.failed(fault);
        }
    }

    fn opened(&mut self) -> Result<&mut Database, StoreFault> {
        self.database.as_mut().ok_or_else(|| StoreFault::Unavailable("it is not open".to_owned()))
    }

    /// A write of our own is known. Where others wrote since, it is read once more together with theirs.
    fn see_own(&mut self, count: usize) {
        let Some(seen) = self.seen else { return };
        let last = self.opened().and_then(changes::last);
        if last.is_ok_and(|last| last == seen + count as u64) {
            self.seen = Some(seen + count as u64);
        }
    }

    /// A store that failed is closed: what became of the last write is not known before it is read again.
    fn failed(&mut self, fault: StoreFault) {
        if !fault.is_of_file() || !self.was_up {
            return;
        }
        (self.database, self.was_up) = (None, false);
        self.open_again = wait_after(self.open_again, self.up_since.elapsed());
        self.look_at = Instant::now() + self.open_again;
        let _ = self.events.send(StoreEvent::Down(fault));
    }

    fn look(&mut self) {
        if self.was_up {
            self.look_for_changes();
        } else {
            self.open_again();
        }
        let wait = match &self.database {
            Some(database) if self.was_up && database.dialect() == Dialect::Sqlite => FILE_LOOKED_AT,
            Some(_) if self.was_up => SERVER_LOOKED_AT,
            Some(_) | None => self.open_again,
        };
        self.look_at = Instant::now() + wait;
    }

    fn look_for_changes(&mut self) {
        let seen = self.seen;
        match self.opened().and_then(|database| changed(database, seen)) {
            Ok((effects, last)) => {
                self.seen = Some(last);
                if !effects.is_empty() {
                    let _ = self.events.send(StoreEvent::Changed(effects));
                }
            }
            Err(fault) => self.failed(fault),
        }
    }

    /// Opens the store again, and tells what nobody knows.
    fn open_again(&mut self) {
        self.database = None;
        let seen = self.seen;
        let opened = open(&self.target).and_then(|mut database| {
            changes::probe(&mut database)?;
            let (effects, last) = changed(&mut database, seen)?;
            Ok((database, effects, last))
        });
        match opened {
            Ok((database, effects, last)) => {
                (self.database, self.seen, self.was_up) = (Some(database), Some(last), true);
                self.up_since = Instant::now();
                let _ = self.events.send(StoreEvent::Up(effects));
            }
            Err(fault) => {
                tracing::debug!(%fault, "the store cannot be opened again");
                self.open_again = longer(self.open_again);
                // A file that cannot be written may still be read, for whoever asks what stands in it.
                if let StoreTarget::File(path) = &self.target {
                    self.database = file::open_to_read(path).ok();
                }
            }
        }
    }
}

/// What was changed behind `seen`; all that there is, where nothing was seen.
fn changed(database: &mut Database, seen: Option<u64>) -> Result<(Vec<Effect>, u64), StoreFault> {
    let Some(seen) = seen else {
        // What is changed while it is read is read again.
        let last = changes::last(database)?;
        return Ok((load::effects(database)?, last));
    };
    Ok(match changes::since(database, seen)? {
        Changed::Effects(effects, last) => (effects, last),
        Changed::Everything(effects, last) => {
            tracing::error!(
                "the store was out of reach for too long: what was removed from it is known after a restart"
            );
            (effects, last)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_fails_again_and_again_is_left_alone_for_longer() {
        let (soon, late) = (Duration::from_secs(1), STEADY);
        let mut waits = vec![OPEN_AGAIN_MIN];
        for _ in 0..6 {
            waits.push(wait_after(waits[waits.len() - 1], soon));
        }
        let seconds: Vec<f64> = waits.iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]);
        assert_eq!(wait_after(OPEN_AGAIN_MAX, late), OPEN_AGAIN_MIN);
    }
}
