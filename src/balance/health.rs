// SPDX-License-Identifier: Apache-2.0
//! The state machine of one endpoint's active check: when the next probe is due, and which results change the health.
//!
//! ```text
//!            one pass                `fall` failures in a row
//!  Unknown ───────────► Up ─────────────────────────────────► Down
//!     │                  ▲                                      │
//!     │                  └────── `rise` passes in a row ────────┘
//!     └──────────────────── `fall` failures in a row ───────────►
//! ```
//! The control plane runs the probes and sends every change to every shard. Pure: it reads no clock and sends nothing.

use std::time::Duration;

use crate::balance::endpoint::Health;
use crate::base::{Rng, Tick};

/// How an endpoint is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbePlan {
    /// From the start of one probe to the next, while up.
    pub interval: Duration,
    /// The same while down or unknown; usually shorter.
    pub interval_down: Duration,
    /// Each interval is lengthened or shortened by up to this many per cent (at most 100), so that many gateways do not
    /// probe at the same moment.
    pub jitter_per_cent: u8,
    /// Passes in a row that bring it up, at least 1.
    pub rise: u32,
    /// Failures in a row that take it down, at least 1.
    pub fall: u32,
}

/// What one probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// The response was the expected one.
    Pass,
    /// Anything else, or no response in time.
    Fail,
}

/// A change of health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// What it was.
    pub from: Health,
    /// What it is.
    pub to: Health,
}

/// One endpoint's check.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    plan: ProbePlan,
    health: Health,
    /// Results in a row that contradict the current health.
    against: u32,
    due: Tick,
    rng: Rng,
}

impl Probe {
    /// A check whose first probe is due within one jitter of `now`, so that all endpoints of a fresh plan are not
    /// probed in one instant.
    pub(crate) fn new(plan: &ProbePlan, now: Tick, seed: u64) -> Probe {
        let mut rng = Rng::new(seed);
        let spread = nanos(plan.interval_down) / 100 * u64::from(plan.jitter_per_cent.min(100));
        let due = now.after(Duration::from_nanos(rng.below(spread)));
        Probe { plan: plan.clone(), health: Health::Unknown, against: 0, due, rng }
    }

    /// When the next probe should start.
    pub(crate) fn next_due(&self) -> Tick {
        self.due
    }

    /// The current health.
    pub(crate) fn health(&self) -> Health {
        self.health
    }

    /// Notes that a probe starts now: the next is due one interval later, however long this one takes. At most one
    /// probe runs at a time.
    pub(crate) fn start(&mut self, now: Tick) {
        let interval = match self.health {
            Health::Up => self.plan.interval,
            Health::Unknown | Health::Down => self.plan.interval_down,
        };
        let jitter = nanos(interval) / 100 * u64::from(self.plan.jitter_per_cent.min(100));
        let wait = (nanos(interval) - jitter).saturating_add(self.rng.below(jitter.saturating_mul(2)));
        self.due = now.after(Duration::from_nanos(wait));
    }

    /// Takes in the result of a probe. Returns the change of health, if there is one; after a change, the next probe is
    /// due by the interval of the new health.
    pub(crate) fn observe(&mut self, result: ProbeResult, now: Tick) -> Option<Change> {
        let (to, needed) = match (self.health, result) {
            (Health::Up, ProbeResult::Pass) | (Health::Down, ProbeResult::Fail) => {
                self.against = 0;
                return None;
            }
            (Health::Unknown, ProbeResult::Pass) => (Health::Up, 1),
            (Health::Down, ProbeResult::Pass) => (Health::Up, self.plan.rise),
            (Health::Up | Health::Unknown, ProbeResult::Fail) => (Health::Down, self.plan.fall),
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        let change = Change { from: self.health, to };
        self.health = to;
        self.against = 0;
        let due = self.due;
        self.start(now);
        self.due = self.due.min(due.max(now));
        Some(change)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Default for ProbePlan {
    fn default() -> ProbePlan {
        ProbePlan {
            interval: Duration::from_secs(5),
            interval_down: Duration::from_secs(2),
            jitter_per_cent: 10,
            rise: 2,
            fall: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(results: &str) -> String {
        let mut probe = Probe::new(&ProbePlan::default(), Tick::ZERO, 1);
        let mut verdicts = String::new();
        for letter in results.chars() {
            let result = if letter == 'p' { ProbeResult::Pass } else { ProbeResult::Fail };
            let before = probe.health();
            let change = probe.observe(result, Tick::ZERO);
            assert_eq!(change.is_some(), before != probe.health());
            verdicts.push(match probe.health() {
                Health::Unknown => '?',
                Health::Up => 'U',
                Health::Down => 'D',
            });
        }
        verdicts
    }

    #[test]
    fn thresholds_need_results_in_a_row() {
        assert_eq!(run("pffpfffpfpp"), "UUUUUUDDDDU");
        assert_eq!(run("ffpfff"), "??UUUD");
        assert_eq!(run("fff"), "??D");
    }

    #[test]
    fn intervals_jitter_and_differ_by_verdict() {
        let mut probe = Probe::new(&ProbePlan::default(), Tick::ZERO, 7);
        assert!(probe.next_due() < Tick::ZERO.after_ms(200));
        let mut waits = Vec::new();
        probe.observe(ProbeResult::Pass, Tick::ZERO);
        for _ in 0..200 {
            let now = probe.next_due();
            probe.start(now);
            waits.push(probe.next_due().since(now).as_millis());
        }
        assert!(waits.iter().all(|wait| (4_500..=5_500).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 4_700) && waits.iter().any(|wait| *wait > 5_300));
        for _ in 0..3 {
            probe.start(Tick::ZERO);
            probe.observe(ProbeResult::Fail, Tick::ZERO);
        }
        assert!(probe.next_due() <= Tick::ZERO.after_ms(2_200), "a change brings the next probe forward");
    }
}
