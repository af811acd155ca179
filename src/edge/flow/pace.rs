// SPDX-License-Identifier: Apache-2.0
//! Hot. The least rate of an upload, as the time that its sender has left.
//!
//! Waiting for the sender takes time away, what it sends gives time back, up to the grace. Time in which nobody waits
//! for it, because the other side holds the upload up, does not count.

use std::cell::Cell;
use std::time::Duration;

use crate::base::Tick;
use crate::config::plan::LeastRate;

/// What the sender of a body has left.
#[derive(Debug)]
pub(crate) struct SenderTime {
    rate: u64,
    grace_us: u64,
    left_us: Cell<u64>,
}

impl SenderTime {
    /// All of the grace; `None` where no rate is demanded.
    pub(crate) fn full(least: LeastRate) -> Option<SenderTime> {
        let grace_us = u64::try_from(least.grace.as_micros()).unwrap_or(u64::MAX);
        let rate = u64::from(least.bytes_a_second);
        (rate > 0).then_some(SenderTime { rate, grace_us, left_us: Cell::new(grace_us) })
    }

    /// What is left.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_micros(self.left_us.get())
    }

    /// Its sender was waited for from `from` to `to`, and sent `bytes`.
    pub(crate) fn spend(&self, from: Tick, to: Tick, bytes: u64) {
        let earned = bytes.saturating_mul(1_000_000) / self.rate;
        let left = self.left_us.get().saturating_sub(to.micros_since(from)).saturating_add(earned);
        self.left_us.set(left.min(self.grace_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes_a_second: u32) -> Option<SenderTime> {
        SenderTime::full(LeastRate { bytes_a_second, grace: Duration::from_secs(30) })
    }

    #[test]
    fn who_sends_at_the_rate_has_always_time_left_and_who_drips_has_not() {
        let (steady, drips) = (of(240).expect("a rate"), of(240).expect("a rate"));
        let mut now = Tick::ZERO;
        let mut gone_at = None;
        for second in 0..3_600 {
            let next = now.after_ms(1_000);
            steady.spend(now, next, 240);
            if drips.left() < Duration::from_secs(1) && gone_at.is_none() {
                // The next byte would come too late.
                gone_at = Some(second);
            }
            drips.spend(now, next, 120);
            now = next;
        }
        assert_eq!((steady.left(), gone_at), (Duration::from_secs(30), Some(59)));
        assert!(of(0).is_none());
    }

    #[test]
    fn what_came_fast_is_no_credit_for_later() {
        let time = of(240).expect("a rate");
        time.spend(Tick::ZERO, Tick::ZERO, 1 << 40);
        assert_eq!(time.left(), Duration::from_secs(30));
    }
}
