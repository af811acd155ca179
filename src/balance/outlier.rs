// SPDX-License-Identifier: Apache-2.0
//! Hot. Outlier detection: counts one endpoint's recent failures and decides whether to eject it.
//!
//! This file looks at one endpoint only; the cluster sees to it that not too many are ejected at a time.

use std::time::Duration;

use crate::balance::breaker::doubled;
use crate::balance::outcome::Outcome;
use crate::balance::plan::OutlierPlan;
use crate::balance::window::Window;
use crate::base::Tick;

/// Recent failures and ejections of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Outlier {
    errors_in_row: u32,
    gateway_errors_in_row: u32,
    connect_failures_in_row: u32,
    recent: Window,
    until: Option<Tick>,
    /// Ejections that still count towards the length of the next.
    times: u32,
    last_end: Tick,
    last_length: Duration,
}

impl Default for Outlier {
    fn default() -> Outlier {
        Outlier {
            errors_in_row: 0,
            gateway_errors_in_row: 0,
            connect_failures_in_row: 0,
            recent: Window::new(OutlierPlan::default().window),
            until: None,
            times: 0,
            last_end: Tick::ZERO,
            last_length: Duration::ZERO,
        }
    }
}

impl Outlier {
    /// Restarts the counts for `plan`; a current ejection goes on.
    pub(crate) fn configure(&mut self, plan: &OutlierPlan) {
        self.recent = Window::new(plan.window);
    }

    /// Adds one outcome. True where the endpoint should be ejected; the caller decides whether it is.
    pub(crate) fn observe(&mut self, outcome: Outcome, plan: &OutlierPlan, now: Tick) -> bool {
        let (error, gateway, connect) = match outcome {
            Outcome::Cancelled => return false,
            Outcome::Ok => (Row::Ends, Row::Ends, Row::Ends),
            Outcome::ServerError => (Row::Grows, Row::Ends, Row::Ends),
            Outcome::GatewayError | Outcome::Reset | Outcome::Timeout => (Row::Grows, Row::Grows, Row::Ends),
            Outcome::ConnectFailed => (Row::Grows, Row::Grows, Row::Grows),
        };
        count(&mut self.errors_in_row, error);
        count(&mut self.gateway_errors_in_row, gateway);
        count(&mut self.connect_failures_in_row, connect);
        let error = error == Row::Grows;
        self.recent.add(u32::from(!error), u32::from(error), now);
        // Only a failure may eject, although a success can bring the number of requests in the window to its minimum.
        error && self.verdict(plan, now)
    }

    /// Ejects the endpoint and returns until when. Repeated ejections last longer, unless the last one was long ago.
    pub(crate) fn eject(&mut self, plan: &OutlierPlan, now: Tick) -> Tick {
        let healthy = now.since(self.last_end).as_nanos();
        let forgiven = healthy.checked_div(self.last_length.as_nanos()).unwrap_or(u128::MAX);
        self.times = self.times.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        let length = doubled(plan.base_ejection, self.times, plan.max_ejection);
        let until = now.after(length);
        self.times = self.times.saturating_add(1);
        self.last_length = length;
        self.last_end = until;
        self.until = Some(until);
        self.forget();
        until
    }

    /// Ends an ejection whose time is up, and returns when that was.
    pub(crate) fn release_due(&mut self, now: Tick) -> Option<Tick> {
        let until = self.until.filter(|until| now >= *until)?;
        self.until = None;
        self.forget();
        Some(until)
    }

    /// The end of the current ejection.
    pub(crate) fn until(&self) -> Option<Tick> {
        self.until
    }

    pub(crate) fn ejected(&self) -> bool {
        self.until.is_some()
    }

    fn verdict(&mut self, plan: &OutlierPlan, now: Tick) -> bool {
        let [successes, failures] = self.recent.sums(now);
        let total = successes + failures;
        let reached = |threshold: u32, in_row: u32| threshold > 0 && in_row >= threshold;
        reached(plan.consecutive_errors, self.errors_in_row)
            || reached(plan.consecutive_gateway_errors, self.gateway_errors_in_row)
            || reached(plan.consecutive_connect_failures, self.connect_failures_in_row)
            || (plan.failure_per_cent > 0
                && total >= u64::from(plan.requests_min.max(1))
                && failures * 100 >= total * u64::from(plan.failure_per_cent))
    }

    fn forget(&mut self) {
        self.errors_in_row = 0;
        self.gateway_errors_in_row = 0;
        self.connect_failures_in_row = 0;
        self.recent.clear();
    }
}

/// What an outcome does to the count of consecutive failures of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// It adds one.
    Grows,
    /// It resets the count.
    Ends,
}

fn count(in_row: &mut u32, row: Row) {
    *in_row = match row {
        Row::Grows => in_row.saturating_add(1),
        Row::Ends => 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.after_ms(seconds * 1_000)
    }

    #[test]
    fn rows_are_counted_by_kind() {
        let plan = OutlierPlan { consecutive_errors: 4, ..OutlierPlan::default() };
        let run = |outcomes: &[Outcome]| {
            let mut outlier = Outlier::default();
            outcomes.iter().filter(|outcome| outlier.observe(**outcome, &plan, at(1))).count()
        };
        use Outcome::{Cancelled, ConnectFailed, GatewayError, Ok, ServerError};
        assert_eq!(run(&[ConnectFailed, ConnectFailed]), 1);
        assert_eq!(run(&[ConnectFailed, Cancelled, ConnectFailed]), 1);
        assert_eq!(run(&[ConnectFailed, GatewayError, ConnectFailed]), 0);
        assert_eq!(run(&[GatewayError, GatewayError, GatewayError, Ok, GatewayError]), 0);
        assert_eq!(run(&[ServerError; 4]), 1);
    }

    #[test]
    fn a_share_of_failures_ejects() {
        let plan = OutlierPlan { failure_per_cent: 30, requests_min: 10, ..OutlierPlan::default() };
        let mut outlier = Outlier::default();
        outlier.configure(&plan);
        let mut ejected_at = None;
        for number in 1..=20 {
            let outcome = if number % 3 == 0 { Outcome::ServerError } else { Outcome::Ok };
            if outlier.observe(outcome, &plan, at(1)) {
                ejected_at.get_or_insert(number);
            }
        }
        assert_eq!(ejected_at, Some(12), "at ten requests 3 of 10 had failed, but the tenth was a success");
    }

    #[test]
    fn rests_double_are_capped_and_forgiven() {
        let plan = OutlierPlan {
            base_ejection: Duration::from_secs(10),
            max_ejection: Duration::from_secs(35),
            ..OutlierPlan::default()
        };
        let mut outlier = Outlier::default();
        let mut now = at(100);
        let mut lengths = Vec::new();
        for _ in 0..4 {
            let until = outlier.eject(&plan, now);
            lengths.push(until.since(now).as_secs());
            assert_eq!(outlier.release_due(now), None);
            assert_eq!(outlier.release_due(until), Some(until));
            now = until.after_ms(1_000);
        }
        assert_eq!(lengths, [10, 20, 35, 35]);
        let much_later = now.after_ms(1_000_000);
        assert_eq!(outlier.eject(&plan, much_later).since(much_later).as_secs(), 10);
    }
}
