// SPDX-License-Identifier: Apache-2.0
//! Hot. A sliding window of two counts, in eight buckets: O(1) to add and to sum, no allocation.
//!
//! The oldest bucket leaves as a whole, so the window covers between 7/8 and 8/8 of its length.

use std::time::Duration;

use crate::base::Tick;

/// Successes and failures (or any other pair) of the recent past.
#[derive(Clone, Debug)]
pub(super) struct Window {
    buckets: [[u32; 2]; BUCKETS],
    sums: [u64; 2],
    bucket_nanos: u64,
    /// The number of the newest bucket, counted from tick zero.
    newest: u64,
}

impl Window {
    pub(crate) fn new(length: Duration) -> Window {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let bucket_nanos = (nanos / BUCKETS as u64).max(1);
        Window { buckets: [[0; 2]; BUCKETS], sums: [0; 2], bucket_nanos, newest: 0 }
    }

    /// Adds to the first and the second count.
    pub(crate) fn add(&mut self, first: u32, second: u32, now: Tick) {
        self.advance(now);
        let bucket = &mut self.buckets[(self.newest % BUCKETS as u64) as usize];
        for (slot, count) in [first, second].into_iter().enumerate() {
            let before = bucket[slot];
            bucket[slot] = before.saturating_add(count);
            self.sums[slot] += u64::from(bucket[slot] - before);
        }
    }

    /// Both counts over the window.
    pub(crate) fn sums(&mut self, now: Tick) -> [u64; 2] {
        self.advance(now);
        self.sums
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.buckets = [[0; 2]; BUCKETS];
        self.sums = [0; 2];
    }

    fn advance(&mut self, now: Tick) {
        let number = now.nanos() / self.bucket_nanos;
        if number <= self.newest {
            return;
        }
        let passed = (number - self.newest).min(BUCKETS as u64);
        for step in 0..passed {
            let bucket = &mut self.buckets[((number - step) % BUCKETS as u64) as usize];
            self.sums[0] -= u64::from(bucket[0]);
            self.sums[1] -= u64::from(bucket[1]);
            *bucket = [0; 2];
        }
        self.newest = number;
    }
}

const BUCKETS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_leave_after_the_window() {
        let mut window = Window::new(Duration::from_secs(8));
        for second in 0..20 {
            window.add(1, 2, Tick::ZERO.after_ms(second * 1_000));
        }
        let now = Tick::ZERO.after_ms(19_000);
        assert_eq!(window.sums(now), [8, 16]);
        assert_eq!(window.sums(Tick::ZERO.after_ms(21_000)), [6, 12]);
        // A clock that steps back changes nothing.
        assert_eq!(window.sums(now), [6, 12]);
        assert_eq!(window.sums(Tick::ZERO.after_ms(60_000)), [0, 0]);
        window.add(1, 0, Tick::NEVER);
        window.clear();
        assert_eq!(window.sums(Tick::NEVER), [0, 0]);
    }
}
