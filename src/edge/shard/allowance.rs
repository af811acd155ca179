// SPDX-License-Identifier: Apache-2.0
//! How often a shard may send a notice about clients: so many a second, and a count of those that were left out.

use std::cell::Cell;

use crate::base::Tick;
use crate::base::limits::CLIENT_NOTICES_A_SECOND;

const SECOND_MS: u64 = 1_000;

/// The allowance of one kind of notice.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    /// When the current second ends.
    until: Cell<Tick>,
    used: Cell<u32>,
    left_out: Cell<u64>,
}

impl Allowance {
    /// May a notice be sent now? Then: how many were left out since the last one.
    pub(crate) fn take(&self, now: Tick) -> Option<u64> {
        self.take_of(now, CLIENT_NOTICES_A_SECOND)
    }

    /// The same where `a_second` may be sent in a second.
    pub(crate) fn take_of(&self, now: Tick, a_second: u32) -> Option<u64> {
        if now >= self.until.get() {
            self.until.set(now.after_ms(SECOND_MS));
            self.used.set(0);
        }
        if self.used.get() >= a_second {
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
        assert_eq!(allowance.take(now.after_ms(SECOND_MS - 1)), None);
        assert_eq!(allowance.take(now.after_ms(SECOND_MS)), Some(101 - u64::from(CLIENT_NOTICES_A_SECOND)));
        assert_eq!(allowance.take(now.after_ms(SECOND_MS)), Some(0));
    }
}
