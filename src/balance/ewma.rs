// SPDX-License-Identifier: Apache-2.0
//! Hot. Peak EWMA: a moving average of latency that rises at once to the worst measurement and decays with time.
//!
//! It also decays without measurements, so that an endpoint that was slow once is tried again.

use std::time::Duration;

use crate::balance::plan::EwmaPlan;
use crate::base::Tick;

/// Recent latency of one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Ewma {
    /// Nanoseconds at `stamp`; `None` before the first measurement.
    nanos: Option<f64>,
    stamp: Tick,
}

impl Ewma {
    /// Adds a measurement.
    pub(crate) fn observe(&mut self, latency: Duration, plan: &EwmaPlan, now: Tick) {
        let measured = latency.as_nanos() as f64;
        let average = match self.nanos {
            Some(average) if measured <= average => {
                let kept = self.kept(plan, now);
                average * kept + measured * (1.0 - kept)
            }
            Some(_) | None => measured,
        };
        self.nanos = Some(average);
        self.stamp = now;
    }

    /// The expected latency of the next request in nanoseconds, at least 1.
    pub(crate) fn cost(&self, plan: &EwmaPlan, now: Tick) -> f64 {
        let Some(average) = self.nanos else { return (plan.initial.as_nanos() as f64).max(1.0) };
        (average * self.kept(plan, now)).max(1.0)
    }

    fn kept(&self, plan: &EwmaPlan, now: Tick) -> f64 {
        let decay = (plan.decay.as_nanos() as f64).max(1.0);
        (-(now.since(self.stamp).as_nanos() as f64) / decay).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_up_and_sinks() {
        let plan = EwmaPlan::default();
        let mut ewma = Ewma::default();
        assert_eq!(ewma.cost(&plan, Tick::ZERO), 30e6);
        ewma.observe(Duration::from_millis(5), &plan, Tick::ZERO);
        ewma.observe(Duration::from_millis(500), &plan, Tick::ZERO.after_ms(1));
        assert_eq!(ewma.cost(&plan, Tick::ZERO.after_ms(1)), 500e6);
        ewma.observe(Duration::from_millis(5), &plan, Tick::ZERO.after_ms(2));
        assert!(ewma.cost(&plan, Tick::ZERO.after_ms(2)) > 499e6);
        let later = ewma.cost(&plan, Tick::ZERO.after_ms(10_002));
        assert!((183e6..=185e6).contains(&later), "{later}");
        assert_eq!(ewma.cost(&plan, Tick::NEVER), 1.0);
    }
}
