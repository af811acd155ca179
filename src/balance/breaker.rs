// SPDX-License-Identifier: Apache-2.0
//! Hot. The circuit breaker of one upstream.
//!
//! ```text
//!            too many failures                 time is up (asked by the next pick)
//!  Closed ──────────────────────► Open(until) ────────────────────────► HalfOpen
//!    ▲                               ▲                                    │   │
//!    │                               └───────────── a trial failed ───────┘   │
//!    └────────────────────────────── enough trials succeeded ─────────────────┘
//! ```
//! Every change of phase starts a new epoch. The result of a request counts only in the epoch in which the request
//! began: a request that was sent before the breaker opened must neither close nor re-open it.

use std::time::Duration;

use crate::balance::outcome::Outcome;
use crate::balance::plan::BreakerPlan;
use crate::balance::window::Window;
use crate::base::Tick;

/// The phase of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerPhase {
    /// Requests pass.
    Closed,
    /// Requests are refused until then.
    Open(Tick),
    /// A few requests pass as trials, to find out whether the upstream works again.
    HalfOpen,
}

/// One breaker.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    plan: BreakerPlan,
    phase: BreakerPhase,
    epoch: u32,
    /// Successes and failures while closed.
    recent: Window,
    failures_in_row: u32,
    /// Trials that run, and trials that succeeded, while half-open.
    trials: u32,
    successes: u32,
    last_trial: Tick,
    /// How often it opened since it was last closed.
    openings_in_row: u32,
    /// Openings since they were last taken.
    openings: u64,
}

impl Breaker {
    pub(crate) fn new(plan: &BreakerPlan) -> Breaker {
        Breaker {
            plan: plan.clone(),
            phase: BreakerPhase::Closed,
            epoch: 0,
            recent: Window::new(plan.window),
            failures_in_row: 0,
            trials: 0,
            successes: 0,
            last_trial: Tick::ZERO,
            openings_in_row: 0,
            openings: 0,
        }
    }

    /// Whether a request may pass. Counts nothing; `begin` counts.
    pub(crate) fn allows(&mut self, now: Tick) -> bool {
        if let BreakerPhase::Open(until) = self.phase
            && now >= until
        {
            self.enter(BreakerPhase::HalfOpen);
        }
        match self.phase {
            BreakerPhase::Closed => true,
            BreakerPhase::Open(_) => false,
            // A trial that never ends (a tunnel, a stream) must not keep the breaker half-open for ever: after `open`,
            // another trial may start.
            BreakerPhase::HalfOpen => {
                self.trials < self.plan.trials.max(1) || now >= self.last_trial.after(self.plan.open)
            }
        }
    }

    /// Counts a request that begins. Returns the epoch, which `observe` takes when the request ends.
    pub(crate) fn begin(&mut self, now: Tick) -> u32 {
        if self.phase == BreakerPhase::HalfOpen {
            self.trials += 1;
            self.last_trial = now;
        }
        self.epoch
    }

    /// Takes in the outcome of a request that began in `epoch`.
    pub(crate) fn observe(&mut self, epoch: u32, outcome: Outcome, now: Tick) {
        if epoch != self.epoch {
            return;
        }
        match self.phase {
            BreakerPhase::Closed => self.observe_closed(outcome, now),
            // No request begins while the breaker is open, so none of this epoch can end.
            BreakerPhase::Open(_) => {}
            BreakerPhase::HalfOpen => self.observe_trial(outcome, now),
        }
    }

    pub(crate) fn phase(&self) -> BreakerPhase {
        self.phase
    }

    /// Times it opened since this was last called.
    pub(crate) fn take_openings(&mut self) -> u64 {
        std::mem::take(&mut self.openings)
    }

    fn observe_closed(&mut self, outcome: Outcome, now: Tick) {
        if outcome == Outcome::Cancelled {
            return;
        }
        if !outcome.failed() {
            self.failures_in_row = 0;
            self.recent.add(1, 0, now);
            return;
        }
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        self.recent.add(0, 1, now);
        let [successes, failures] = self.recent.sums(now);
        let in_row = self.plan.consecutive_failures > 0 && self.failures_in_row >= self.plan.consecutive_failures;
        let ratio = self.plan.failure_per_cent > 0
            && successes + failures >= u64::from(self.plan.requests_min.max(1))
            && failures * 100 >= (successes + failures) * u64::from(self.plan.failure_per_cent);
        if in_row || ratio {
            self.open(now);
        }
    }

    fn observe_trial(&mut self, outcome: Outcome, now: Tick) {
        self.trials = self.trials.saturating_sub(1);
        if outcome.failed() {
            return self.open(now);
        }
        if outcome == Outcome::Cancelled {
            return;
        }
        self.successes += 1;
        if self.successes >= self.plan.closes_after {
            self.openings_in_row = 0;
            self.enter(BreakerPhase::Closed);
        }
    }

    fn open(&mut self, now: Tick) {
        let wait = doubled(self.plan.open, self.openings_in_row, self.plan.open_max);
        self.openings_in_row = self.openings_in_row.saturating_add(1);
        self.openings += 1;
        self.enter(BreakerPhase::Open(now.after(wait)));
    }

    fn enter(&mut self, phase: BreakerPhase) {
        self.phase = phase;
        self.epoch = self.epoch.wrapping_add(1);
        self.recent.clear();
        self.failures_in_row = 0;
        self.trials = 0;
        self.successes = 0;
    }
}

/// `base` doubled `times` times, at most `max`.
pub(super) fn doubled(base: Duration, times: u32, max: Duration) -> Duration {
    base.saturating_mul(1 << times.min(24)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> BreakerPlan {
        BreakerPlan {
            consecutive_failures: 3,
            failure_per_cent: 50,
            requests_min: 10,
            trials: 2,
            closes_after: 2,
            ..BreakerPlan::default()
        }
    }

    fn at(millis: u64) -> Tick {
        Tick::ZERO.after_ms(millis)
    }

    fn one(breaker: &mut Breaker, outcome: Outcome, now: Tick) {
        assert!(breaker.allows(now));
        let epoch = breaker.begin(now);
        breaker.observe(epoch, outcome, now);
    }

    #[test]
    fn walks_the_whole_diagram() {
        let mut breaker = Breaker::new(&plan());
        let old = breaker.begin(at(0));
        for _ in 0..3 {
            one(&mut breaker, Outcome::GatewayError, at(1));
        }
        assert_eq!(breaker.phase(), BreakerPhase::Open(at(5_001)));
        assert!(!breaker.allows(at(5_000)));
        assert!(breaker.allows(at(5_001)));
        assert_eq!(breaker.phase(), BreakerPhase::HalfOpen);
        // What began before it opened changes nothing.
        breaker.observe(old, Outcome::Timeout, at(5_002));
        assert_eq!(breaker.phase(), BreakerPhase::HalfOpen);
        let trials = [breaker.begin(at(5_003)), breaker.begin(at(5_003))];
        assert!(!breaker.allows(at(5_004)), "no more than two trials at a time");
        breaker.observe(trials[0], Outcome::Reset, at(5_005));
        assert_eq!(breaker.phase(), BreakerPhase::Open(at(15_005)), "the second opening lasts twice as long");
        breaker.observe(trials[1], Outcome::Ok, at(5_006));
        assert_eq!(breaker.phase(), BreakerPhase::Open(at(15_005)));
        one(&mut breaker, Outcome::Ok, at(15_005));
        one(&mut breaker, Outcome::Cancelled, at(15_006));
        assert_eq!(breaker.phase(), BreakerPhase::HalfOpen);
        one(&mut breaker, Outcome::Ok, at(15_007));
        assert_eq!(breaker.phase(), BreakerPhase::Closed);
        assert_eq!((breaker.take_openings(), breaker.take_openings()), (2, 0));
    }

    #[test]
    fn opens_by_ratio_only_with_enough_requests() {
        let mut breaker = Breaker::new(&plan());
        for round in 0..4 {
            one(&mut breaker, Outcome::Ok, at(round));
            one(&mut breaker, Outcome::ServerError, at(round));
        }
        one(&mut breaker, Outcome::Ok, at(5));
        assert_eq!(breaker.phase(), BreakerPhase::Closed);
        one(&mut breaker, Outcome::ServerError, at(6));
        assert!(matches!(breaker.phase(), BreakerPhase::Open(_)));
    }

    #[test]
    fn an_endless_trial_does_not_keep_it_shut() {
        let mut breaker = Breaker::new(&BreakerPlan { trials: 1, ..plan() });
        for _ in 0..3 {
            one(&mut breaker, Outcome::ConnectFailed, at(0));
        }
        assert!(breaker.allows(at(5_000)));
        let _ = breaker.begin(at(5_000));
        assert!(!breaker.allows(at(9_999)));
        assert!(breaker.allows(at(10_000)));
    }

    #[test]
    fn waits_never_pass_the_cap() {
        assert_eq!(doubled(Duration::from_secs(5), 3, Duration::from_secs(60)), Duration::from_secs(40));
        assert_eq!(doubled(Duration::from_secs(5), u32::MAX, Duration::from_secs(60)), Duration::from_secs(60));
    }
}
