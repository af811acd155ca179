// SPDX-License-Identifier: Apache-2.0
//! How often a shard may send a notice: so many in an interval, and a count of those that were left out.

use std::cell::Cell;
use std::time::Duration;

use crate::base::Tick;
use crate::base::limits::CLIENT_NOTICES_A_SECOND;

/// The allowance of one kind of notice.
#[derive(Debug)]
pub(crate) struct Allowance {
    interval: Duration,
    /// Notices in an interval.
    max: u32,
    /// When the current interval ends.
    until: Cell<Tick>,
    used: Cell<u32>,
    left_out: Cell<u64>,
}

/// That of notices about clients: a few a second.
impl Default for Allowance {
    fn default() -> Allowance {
        Allowance::a_second(CLIENT_NOTICES_A_SECOND)
    }
}

impl Allowance {
    /// So many in a second.
    pub(crate) fn a_second(max: u32) -> Allowance {
        Allowance { max, ..Allowance::once_in(Duration::from_secs(1)) }
    }

    /// One in an interval.
    pub(crate) fn once_in(interval: Duration) -> Allowance {
        Allowance { interval, max: 1, until: Cell::default(), used: Cell::new(0), left_out: Cell::new(0) }
    }

    /// May a notice be sent now? Then: how many were left out since the last one.
    pub(crate) fn take(&self, now: Tick) -> Option<u64> {
        if now >= self.until.get() {
            self.until.set(now.after(self.interval));
            self.used.set(0);
        }
        if self.used.get() >= self.max {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.used.set(self.used.get() + 1);
        Some(self.left_out.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gives_a_few_notices_a_second_and_is_counted() {
        let (allowance, now) = (Allowance::default(), Tick::ZERO.after_ms(7));
        let sent = (0..100).filter(|_| allowance.take(now).is_some()).count();
        assert_eq!(sent, CLIENT_NOTICES_A_SECOND as usize);
        assert_eq!(allowance.take(now.after_ms(999)), None);
        assert_eq!(allowance.take(now.after_ms(1_000)), Some(101 - u64::from(CLIENT_NOTICES_A_SECOND)));
        assert_eq!(allowance.take(now.after_ms(1_000)), Some(0));
    }
}
