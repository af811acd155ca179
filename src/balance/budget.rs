// SPDX-License-Identifier: Apache-2.0
//! Hot. The retry budget: allows retries up to a fraction of the recent requests plus a small constant. A failing
//! upstream then receives a little more than its ordinary load, and not a multiple of it.

use std::time::Duration;

use crate::balance::plan::RetryBudgetPlan;
use crate::balance::window::Window;
use crate::base::Tick;

/// Attempts and retries of the last ten seconds.
#[derive(Clone, Debug)]
pub(super) struct RetryBudget {
    /// First count: attempts of any kind; second: retries granted.
    recent: Window,
}

impl RetryBudget {
    pub(crate) fn new() -> RetryBudget {
        RetryBudget { recent: Window::new(Duration::from_secs(WINDOW_SECONDS)) }
    }

    /// Counts an attempt, whether it is the first one of its request or a retry.
    pub(crate) fn count_try(&mut self, now: Tick) {
        self.recent.add(1, 0, now);
    }

    /// Takes one retry from the budget: `per_cent` of the recent requests and `least` beside them. False where it is
    /// used up.
    pub(crate) fn take(&mut self, per_cent: u8, least: u32, now: Tick) -> bool {
        let [tries, retries] = self.recent.sums(now);
        let requests = tries.saturating_sub(retries);
        if retries >= u64::from(least) + requests * u64::from(per_cent) / 100 {
            return false;
        }
        self.recent.add(0, 1, now);
        true
    }

    /// Recent retries beyond `per_cent` of the requests.
    pub(crate) fn beyond(&mut self, per_cent: u8, now: Tick) -> u32 {
        let [tries, retries] = self.recent.sums(now);
        let requests = tries.saturating_sub(retries);
        u32::try_from(retries.saturating_sub(requests * u64::from(per_cent) / 100)).unwrap_or(u32::MAX)
    }
}

impl RetryBudgetPlan {
    /// The retries of a window that do not depend on the number of requests.
    pub(super) fn least(&self) -> u32 {
        self.per_second_min.saturating_mul(WINDOW_SECONDS as u32)
    }
}

const WINDOW_SECONDS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_origin_gets_a_fraction_more() {
        let plan = RetryBudgetPlan { per_cent: 20, per_second_min: 1 };
        let mut budget = RetryBudget::new();
        let mut tries = 0;
        for request in 0..100_000_u64 {
            let now = Tick::from_nanos(request * 1_000_000);
            budget.count_try(now);
            tries += 1;
            for _ in 0..3 {
                if budget.take(plan.per_cent, plan.least(), now) {
                    budget.count_try(now);
                    tries += 1;
                }
            }
        }
        // 1000 requests a second for 100 s: 20 per cent, one a second, and the first window's rounding.
        assert!((119_000..=121_000).contains(&tries), "{tries}");
    }

    #[test]
    fn few_requests_may_still_be_retried() {
        let plan = RetryBudgetPlan { per_cent: 0, per_second_min: 1 };
        let mut budget = RetryBudget::new();
        let granted = (0..100).filter(|_| budget.take(plan.per_cent, plan.least(), Tick::ZERO)).count();
        assert_eq!(granted, 10);
        assert!(budget.take(plan.per_cent, plan.least(), Tick::ZERO.after_ms(11_000)));
        let none = RetryBudgetPlan { per_cent: 0, per_second_min: 0 };
        assert!(!RetryBudget::new().take(none.per_cent, none.least(), Tick::ZERO));
    }
}
