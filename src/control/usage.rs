// SPDX-License-Identifier: Apache-2.0
//! Usage on its way from shards to the store: what waits, what is being recorded, and what failed.
//!
//! One order is recorded at a time, with the batches of all shards that have come by then: so many batches share one
//! wait for the disk. An order that failed is given again as it is, and the store leaves out what it has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::Tick;
use crate::control::store::fault::StoreFault;
use crate::control::store::usage::{Counts, Recorded};
use crate::control::store::usage_export::Part;
use crate::link::UsageBatch;

/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// The pause after the first of several failures to export; each further one is twice as long.
const EXPORT_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure to export.
const EXPORT_PAUSE_MAX: Duration = Duration::from_secs(300);
/// How often what is old is forgotten.
const FORGET: Duration = Duration::from_secs(600);

/// Something that was begun and has ended.
#[derive(Debug)]
pub(crate) enum UsageEvent {
    /// An order was recorded, or not.
    Recorded(Result<Recorded, StoreFault>),
    /// The next part of an export was read; `None` where nothing is to be exported.
    Read(Result<Option<Part>, StoreFault>),
    /// A part has arrived, or it may not have.
    Sent(Box<Part>, Result<(), String>),
    /// It is noted that a part has arrived.
    Noted(Result<(), StoreFault>),
}

/// Batches of shards, by their numbers.
pub(crate) type Batches = Arc<Vec<(usize, UsageBatch)>>;

/// Usage on its way to the store.
#[derive(Debug)]
pub(crate) struct Usage {
    /// A name of this process that no other has.
    pub process: Arc<str>,
    /// Where events go.
    pub events: mpsc::Sender<UsageEvent>,
    /// How many series the store has.
    pub counts: Counts,
    /// What is shown of it.
    pub shown: UsageShown,
    waiting: Vec<(usize, UsageBatch)>,
    order: Option<Batches>,
    /// The order is with the store.
    recording: bool,
    /// Since when something waits.
    since: Option<Tick>,
    retry_at: Tick,
    forget_at: Tick,
    export: Export,
}

/// What is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct UsageShown {
    /// How long the oldest batch waits to be recorded, in seconds.
    pub lag: f64,
    /// Orders that could not be recorded, and were given again.
    pub failures: u64,
    /// Requests that the store counted as `(other)`.
    pub together: u64,
    /// Parts of exports that have arrived.
    pub exported: u64,
    /// Parts of exports that may not have arrived, and were sent again.
    pub export_failures: u64,
}

/// Where exports stand.
#[derive(Debug)]
struct Export {
    busy: bool,
    at: Tick,
    pause: Duration,
}

impl Usage {
    /// Nothing yet, of a process with this name.
    pub(super) fn new(process: Arc<str>, events: mpsc::Sender<UsageEvent>, now: Tick) -> Usage {
        Usage {
            process,
            events,
            counts: Counts::new(),
            shown: UsageShown::default(),
            waiting: Vec::new(),
            order: None,
            recording: false,
            since: None,
            retry_at: Tick::ZERO,
            forget_at: now,
            export: Export { busy: false, at: now, pause: EXPORT_PAUSE },
        }
    }

    /// The same, of which nobody hears.
    #[cfg(test)]
    pub(crate) fn unheard(process: Arc<str>, now: Tick) -> Usage {
        Usage::new(process, mpsc::channel(1).0, now)
    }

    /// Takes a batch of a shard.
    pub(crate) fn take(&mut self, shard: usize, batch: UsageBatch, now: Tick) {
        self.since.get_or_insert(now);
        self.waiting.push((shard, batch));
    }

    /// The order that is to be recorded now. It is with the store from now on.
    pub(crate) fn next_order(&mut self, now: Tick) -> Option<Batches> {
        if self.recording || now < self.retry_at {
            return None;
        }
        if self.order.is_none() && !self.waiting.is_empty() {
            self.order = Some(Arc::new(std::mem::take(&mut self.waiting)));
        }
        self.recording = self.order.is_some();
        self.order.clone()
    }

    /// The order was recorded: whom to tell. What the store knows of series is kept for the next one.
    pub(crate) fn recorded(&mut self, recorded: Recorded, now: Tick) -> Option<Batches> {
        self.recording = false;
        self.counts = recorded.counts;
        self.shown.together += recorded.together;
        self.since = if self.waiting.is_empty() { None } else { Some(now) };
        self.order.take()
    }

    /// The order was not recorded, as far as is known. True for the first of several failures.
    pub(crate) fn failed(&mut self, now: Tick) -> bool {
        let first = self.retry_at == Tick::ZERO;
        self.recording = false;
        self.shown.failures += 1;
        self.retry_at = now.after(PAUSE);
        first
    }

    /// The order was recorded after failures.
    pub(crate) fn has_recovered(&mut self) -> bool {
        std::mem::replace(&mut self.retry_at, Tick::ZERO) != Tick::ZERO
    }

    /// Is everything recorded that has come?
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.order.is_none()
    }

    /// When something is due.
    pub(crate) fn wake_at(&self) -> Tick {
        if self.is_idle() || self.recording { Tick::NEVER } else { self.retry_at }
    }

    /// How it stands.
    pub(super) fn shown(&self, now: Tick) -> UsageShown {
        let lag = self.since.map_or(Duration::ZERO, |since| now.since(since));
        UsageShown { lag: lag.as_secs_f64(), ..self.shown }
    }

    /// Is it time to forget what is old? It is not again for a while.
    pub(super) fn forgets(&mut self, now: Tick) -> bool {
        let due = now >= self.forget_at;
        if due {
            self.forget_at = now.after(FORGET);
        }
        due
    }

    /// When it is time to forget what is old.
    pub(super) fn forget_at(&self) -> Tick {
        self.forget_at
    }

    /// When the next export is due; never while one is under way.
    pub(super) fn export_at(&self) -> Tick {
        if self.export.busy { Tick::NEVER } else { self.export.at }
    }

    /// Is it time for an export? One is under way from now on.
    pub(super) fn exports(&mut self, now: Tick) -> bool {
        let due = !self.export.busy && now >= self.export.at;
        self.export.busy |= due;
        due
    }

    /// An export has ended well: the next one is due after this time.
    pub(super) fn export_ended(&mut self, now: Tick, pause: Duration) {
        self.export = Export { busy: false, at: now.after(pause), pause: EXPORT_PAUSE };
    }

    /// An export has failed. True for the first of several failures.
    pub(super) fn export_failed(&mut self, now: Tick) -> bool {
        let Export { pause, .. } = self.export;
        self.shown.export_failures += 1;
        let longer = (pause * 2).min(EXPORT_PAUSE_MAX);
        self.export = Export { busy: false, at: now.after(pause), pause: longer };
        pause == EXPORT_PAUSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;

    fn batch(sequence: u64) -> UsageBatch {
        UsageBatch { sequence, at: Wall(0), rows: Vec::new() }
    }

    fn numbers(order: &Batches) -> Vec<(usize, u64)> {
        order.iter().map(|(shard, batch)| (*shard, batch.sequence)).collect()
    }

    #[test]
    fn an_order_that_failed_is_given_again_as_it_is() {
        let mut usage = Usage::unheard("p".into(), Tick::ZERO);
        let at = |ms| Tick::ZERO.after_ms(ms);
        assert!(usage.next_order(at(1)).is_none() && usage.is_idle() && usage.wake_at() == Tick::NEVER);
        usage.take(0, batch(1), at(1));
        usage.take(1, batch(1), at(1));
        let order = usage.next_order(at(2)).expect("both");
        usage.take(0, batch(2), at(3));
        assert!(usage.next_order(at(3)).is_none(), "one at a time");
        assert!(usage.failed(at(4)) && usage.next_order(at(5)).is_none());
        let again = usage.next_order(at(504)).expect("again");
        assert_eq!(numbers(&again), numbers(&order));
        assert!(!usage.failed(at(505)), "said once");
        assert!(usage.next_order(at(1_005)).is_some());
        let told = usage.recorded(Recorded::default(), at(1_006)).expect("both");
        assert_eq!(numbers(&told), [(0, 1), (1, 1)]);
        assert!(usage.has_recovered() && !usage.has_recovered());
        assert_eq!(usage.next_order(at(1_007)).map(|order| numbers(&order)), Some(vec![(0, 2)]));
        assert!((usage.shown(at(2_006)).lag - 1.0).abs() < 0.01);
    }

    #[test]
    fn pauses_after_failed_exports_grow_up_to_a_limit() {
        let mut usage = Usage::unheard("p".into(), Tick::ZERO);
        let mut now = Tick::ZERO;
        for _ in 0..12 {
            assert!(usage.exports(now) && !usage.exports(now));
            usage.export_failed(now);
            now = usage.export.at;
        }
        assert!(
            usage.export.at.since(Tick::ZERO) >= Duration::from_secs(1 + 2 + 4 + 8 + 16 + 32 + 64 + 128 + 256 + 300)
        );
        usage.exports(now);
        usage.export_ended(now, Duration::from_secs(60));
        assert_eq!((usage.export.pause, usage.shown.export_failures), (EXPORT_PAUSE, 12));
    }
}
