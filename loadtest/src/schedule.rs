// SPDX-License-Identifier: Apache-2.0
//! When things are due: a fixed rate, counted from its start, never from when the last one was done.
//!
//! A latency measured from the due time includes the time a request had to wait because earlier ones were slow. That
//! is what a client of a loaded server sees, and what a closed loop hides ("coordinated omission").

/// The due times of a fixed rate on the monotonic clock.
#[derive(Debug, Clone)]
pub struct Schedule {
    start_ns: u64,
    per_second: u64,
    given: u64,
}

impl Schedule {
    /// `per_second` things a second, the first at `start_ns`.
    pub fn new(start_ns: u64, per_second: u64) -> Schedule {
        Schedule { start_ns, per_second: per_second.max(1), given: 0 }
    }

    /// When the next one is due.
    pub fn next_ns(&self) -> u64 {
        self.start_ns + (u128::from(self.given) * 1_000_000_000 / u128::from(self.per_second)) as u64
    }

    /// Takes the next one if it is due at `now_ns`, and returns when it was due.
    pub fn take(&mut self, now_ns: u64) -> Option<u64> {
        let due = self.next_ns();
        if due > now_ns {
            return None;
        }
        self.given += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn a_second_holds_exactly_the_rate() {
        for rate in [1, 3, 7, 15_000, 333_333] {
            let mut schedule = Schedule::new(5_000, rate);
            let mut taken = 0;
            while schedule.take(5_000 + 999_999_999).is_some() {
                taken += 1;
            }
            assert_eq!(taken, rate);
            assert_eq!(schedule.next_ns(), 5_000 + 1_000_000_000);
        }
    }

    #[test]
    fn a_late_taker_gets_the_due_times_not_the_present() {
        let mut schedule = Schedule::new(0, 1_000);
        assert_eq!(schedule.take(0), Some(0));
        assert_eq!(schedule.take(999_999), None);
        let late: Vec<_> = std::iter::from_fn(|| schedule.take(3_000_000)).collect();
        assert_eq!(late, [1_000_000, 2_000_000, 3_000_000]);
    }
}
