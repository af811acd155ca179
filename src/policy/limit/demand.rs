// SPDX-License-Identifier: Apache-2.0
//! Hot. How much a shard wanted of a key lately.

use std::time::Duration;

use crate::base::Tick;

/// Recent demand: attempts of this epoch and the one before, weighed to one epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    epoch: u64,
    current: u32,
    previous: u32,
}

impl Demand {
    pub(super) fn count(&mut self, cost: u32, now: Tick) {
        self.turn(now);
        self.current = self.current.saturating_add(cost);
    }

    /// Tokens asked for in the last epoch's length, rounded up; zero only after a whole epoch without any.
    pub(super) fn estimate(&mut self, now: Tick) -> u32 {
        self.turn(now);
        let part = now.nanos() % EPOCH_NANOS;
        let weighed = u128::from(self.previous) * u128::from(EPOCH_NANOS - part);
        self.current.saturating_add(weighed.div_ceil(u128::from(EPOCH_NANOS)) as u32)
    }

    fn turn(&mut self, now: Tick) {
        let epoch = now.nanos() / EPOCH_NANOS;
        if epoch <= self.epoch {
            return;
        }
        self.previous = if epoch == self.epoch + 1 { self.current } else { 0 };
        self.current = 0;
        self.epoch = epoch;
    }
}

/// The length over which demand is measured. Longer follows a shift of load later, shorter makes shares jump.
pub(super) const EPOCH: Duration = Duration::from_nanos(EPOCH_NANOS);
const EPOCH_NANOS: u64 = 1 << 26;
