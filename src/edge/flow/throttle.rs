// SPDX-License-Identifier: Apache-2.0
//! Hot. Keeps a body to a rate: says when its next portion may pass.
//!
//! Each portion has to wait until those before it have taken their time. Time in which nothing came is no credit for
//! later. While a portion waits, nothing is read and nothing is written, so neither end is judged for it.

use std::cell::Cell;
use std::time::Duration;

use crate::base::{Tick, limits};
use crate::policy::throttle::Throttle;

/// What keeps a body to a rate.
pub(crate) trait Slows {
    /// The size of buffers for it.
    fn buffer_bytes(&self) -> usize;
    /// Waits until so many more bytes may pass, at most `until` then.
    fn pass(&self, bytes: u64, until: Tick) -> impl Future<Output = ()>;
}

/// What has passed of a body with a rate.
#[derive(Debug)]
pub(crate) struct Throttled {
    throttle: Throttle,
    passed: Cell<u64>,
    /// When the portions so far have taken their time.
    free: Cell<Tick>,
}

impl Throttled {
    /// Nothing has passed yet; `None` where there is no limit.
    pub(crate) fn new(throttle: Throttle) -> Option<Throttled> {
        (throttle.bytes_a_second > 0).then(|| Throttled { throttle, passed: Cell::new(0), free: Cell::new(Tick::ZERO) })
    }

    /// So many more bytes are there: when they may pass.
    pub(crate) fn pass(&self, bytes: u64, now: Tick) -> Tick {
        let before = self.passed.get();
        let after = before.saturating_add(bytes);
        self.passed.set(after);
        let counted = after.saturating_sub(before.max(self.throttle.after));
        if counted == 0 {
            return now;
        }
        let begins = self.free.get().max(now);
        let micros = u128::from(counted) * 1_000_000 / u128::from(self.throttle.bytes_a_second);
        self.free.set(begins.after(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))));
        begins
    }

    /// The size of buffers for it: about a tenth of what passes in a second, so that it flows evenly.
    pub(crate) fn buffer_bytes(&self) -> usize {
        Throttled::buffer_within(self.throttle.bytes_a_second / 10)
    }

    /// The same where others share the rate: a small part of what they may have at once, so that nobody has all of it.
    pub(crate) fn shared_buffer_bytes(&self) -> usize {
        Throttled::buffer_within(self.throttle.after / 8)
    }

    fn buffer_within(bytes: u64) -> usize {
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        let fitting = limits::BUF_CLASSES.iter().rev().find(|class| **class <= wanted);
        *fitting.unwrap_or(&limits::BUF_CLASSES[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttled(bytes_a_second: u64, after: u64) -> Throttled {
        Throttled::new(Throttle { bytes_a_second, after }).expect("a limit")
    }

    fn at(millis: u64) -> Tick {
        Tick::ZERO.after_ms(1_000 + millis)
    }

    #[test]
    fn portions_pass_at_the_rate_once_the_first_bytes_have_passed() {
        let body = throttled(1_000, 500);
        assert_eq!(body.pass(400, at(0)), at(0));
        assert_eq!(body.pass(200, at(0)), at(0), "a hundred of it count");
        assert_eq!(body.pass(300, at(0)), at(100));
        assert_eq!(body.pass(0, at(0)), at(0));
        assert_eq!(body.pass(100, at(400)), at(400));
        assert_eq!(body.pass(1, at(9_000)), at(9_000), "a pause is no credit");
        assert_eq!(body.pass(1_000, at(9_000)), at(9_001));
        assert_eq!(body.pass(1, at(9_000)), at(10_001));
    }

    #[test]
    fn buffers_are_small_where_little_passes() {
        assert!(Throttled::new(Throttle::default()).is_none());
        assert_eq!(throttled(1, 0).buffer_bytes(), limits::BUF_CLASSES[0]);
        assert_eq!(throttled(200_000, 0).buffer_bytes(), limits::BUF_CLASSES[1]);
        assert_eq!(throttled(u64::MAX, 0).buffer_bytes(), limits::BUF_CLASSES[3]);
    }
}
