// SPDX-License-Identifier: Apache-2.0
//! What shards last reported of their upstreams: which shards to ask, which to wait for, and how old a report is.
//!
//! A shard is asked when somebody wants a page, and not again before it answered. Whoever writes the page waits for the
//! answers a short while; then the page shows the last ones that came, and their age.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::base::Tick;
use crate::link::UpstreamReport;
use crate::net::machine;

/// A report that is younger than this is used without asking again.
const FRESH: Duration = Duration::from_millis(100);
/// The longest wait of a page for reports.
const WAIT: Duration = Duration::from_millis(250);
/// A shard that has not answered within this time is asked again.
const LOST: Duration = Duration::from_secs(10);

/// The last reports of all shards.
#[derive(Debug)]
pub(super) struct UpstreamReports {
    shards: RefCell<Vec<OfShard>>,
    answered: Notify,
}

#[derive(Clone, Debug, Default)]
struct OfShard {
    /// When it was asked what it has not answered yet.
    asked: Option<Tick>,
    last: Option<(Tick, Arc<UpstreamReport>)>,
}

/// What is known of upstreams at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Reports, one from each shard that ever sent one.
    pub reports: Vec<Arc<UpstreamReport>>,
    /// Age of the oldest of them.
    pub age: Duration,
}

impl UpstreamReports {
    /// Without reports yet, for this many shards.
    pub(super) fn new(shards: usize) -> UpstreamReports {
        UpstreamReports { shards: RefCell::new(vec![OfShard::default(); shards]), answered: Notify::new() }
    }

    /// The shards that must be asked now; they count as asked.
    pub(super) fn begin(&self, now: Tick) -> Vec<usize> {
        let mut shards = self.shards.borrow_mut();
        let due = (0..).zip(shards.iter_mut()).filter(|(_, of_shard)| of_shard.is_due(now));
        let asked = due.map(|(shard, of_shard)| {
            of_shard.asked = Some(now);
            shard
        });
        asked.collect()
    }

    /// A shard answered.
    pub(super) fn receive(&self, shard: usize, report: UpstreamReport, now: Tick) {
        if let Some(of_shard) = self.shards.borrow_mut().get_mut(shard) {
            *of_shard = OfShard { asked: None, last: Some((now, Arc::new(report))) };
            self.answered.notify_one();
        }
    }

    /// Waits until every shard that was asked lately has answered, for a short while. One caller at a time.
    pub(super) async fn settle(&self) {
        let all_answered = async {
            while self.is_open(machine::now()) {
                self.answered.notified().await;
            }
        };
        // Too late is no error: the page shows how old it is.
        let _ = timeout(WAIT, all_answered).await;
    }

    /// What is known by now.
    pub(super) fn known(&self, now: Tick) -> Known {
        let shards = self.shards.borrow();
        let reports = shards.iter().filter_map(|of_shard| of_shard.last.as_ref());
        let age = reports.clone().map(|(at, _)| now.since(*at)).max().unwrap_or_default();
        Known { reports: reports.map(|(_, report)| Arc::clone(report)).collect(), age }
    }

    fn is_open(&self, now: Tick) -> bool {
        self.shards.borrow().iter().any(|of_shard| of_shard.asked.is_some_and(|at| now.since(at) < WAIT))
    }
}

impl OfShard {
    fn is_due(&self, now: Tick) -> bool {
        match (self.asked, &self.last) {
            (Some(at), _) => now.since(at) >= LOST,
            (None, Some((at, _))) => now.since(*at) >= FRESH,
            (None, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_asked_again_after_its_answer_or_much_later() {
        let reports = UpstreamReports::new(2);
        let at = |millis| Tick::ZERO.after_ms(millis);
        assert_eq!(reports.begin(at(0)), [0, 1]);
        assert!(reports.begin(at(5)).is_empty() && reports.is_open(at(5)));
        reports.receive(1, UpstreamReport::default(), at(10));
        assert!(reports.begin(at(50)).is_empty(), "its answer is fresh");
        assert_eq!(reports.begin(at(200)), [1]);
        let known = reports.known(at(200));
        assert_eq!((known.reports.len(), known.age), (1, Duration::from_millis(190)));
        assert!(!reports.is_open(at(450)), "nobody waits for those who are silent");
        assert_eq!(reports.begin(at(10_000)), [0]);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let reports = UpstreamReports::new(1);
        reports.settle().await;
        reports.begin(machine::now());
        let began = machine::now();
        reports.settle().await;
        assert!(machine::now().since(began) >= WAIT / 2 && reports.known(began).reports.is_empty());
    }

    #[tokio::test]
    async fn an_answer_ends_the_wait() {
        let reports = UpstreamReports::new(1);
        reports.begin(machine::now());
        let answer = async { reports.receive(0, UpstreamReport::default(), machine::now()) };
        tokio::join!(reports.settle(), answer);
        assert!(!reports.is_open(machine::now()));
    }
}
