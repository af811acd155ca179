// SPDX-License-Identifier: Apache-2.0
//! What a parent knows of one key in the window.

use smallvec::SmallVec;

use crate::base::Tick;
use crate::policy::limit::calendar::Window;
use crate::policy::limit::ids::ShardId;
use crate::policy::limit::terms::Terms;

/// What is known of one key in the window.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) window: Window,
    /// How much there is of the key in the window.
    pub(super) quota: u32,
    /// Under which terms the key has it, where keys have their own.
    pub(super) version: u64,
    /// What everything here is counted in: parts of this. It is the quota, or 1 where keys have their own: then what
    /// was used stays as much as it was when the quota changes.
    pub(super) units: u32,
    /// Leased and not granted, or returned.
    pub(super) pool: u32,
    /// All that this process had of the window: leased or given without a lease, less what went back.
    pub(super) total: u64,
    /// What the database does not know yet (`Order::owed`).
    pub(super) owed: i64,
    /// The order that is under way.
    pub(super) ordered: Option<u64>,
    /// What was used or leased, by anybody, when the database last said it.
    pub(super) known: u64,
    /// What was given without a lease since then.
    pub(super) local: u32,
    /// The database had less than was wanted, or was away: it is not asked again before this.
    pub(super) again: Tick,
    pub(super) away: bool,
    pub(super) used: Tick,
    pub(super) waiting: SmallVec<[Question; 2]>,
}

/// A shard that asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) shard: ShardId,
    pub(super) need: u32,
    pub(super) terms: Terms,
}

impl Ledger {
    pub(super) fn new(window: Window, (quota, units): (u32, u32), now: Tick) -> Ledger {
        Ledger {
            window,
            quota,
            version: 0,
            units,
            pool: 0,
            total: 0,
            owed: 0,
            ordered: None,
            known: 0,
            local: 0,
            again: now,
            away: false,
            used: now,
            waiting: SmallVec::new(),
        }
    }

    /// In a new window nothing was used, whatever was ordered in the one before.
    pub(super) fn turn(&mut self, window: Window) {
        if self.window != window {
            let Ledger { used, quota, version, units, .. } = *self;
            let waiting = std::mem::take(&mut self.waiting);
            *self = Ledger { waiting, used, version, ..Ledger::new(window, (quota, units), Tick::ZERO) };
        }
    }

    /// All keys have this quota. Of another one, as large a part is used as was of the old one.
    pub(super) fn scale(&mut self, quota: u32) {
        self.quota = quota;
        if self.units != quota {
            let before = std::mem::replace(&mut self.units, quota);
            self.pool = scaled(self.pool.into(), before, quota) as u32;
            self.total = scaled_up(self.total, before, quota).max(self.pool.into());
            self.known = scaled_up(self.known, before, quota);
            self.local = scaled_up(self.local.into(), before, quota) as u32;
            let owed = self.owed.unsigned_abs();
            self.owed = match self.owed < 0 {
                true => -(scaled(owed, before, quota) as i64),
                false => scaled_up(owed, before, quota) as i64,
            };
        }
    }

    /// Takes over what a shard knows of the key's own quota, where that is newer.
    pub(super) fn learn(&mut self, terms: &Terms) {
        if terms.version >= self.version {
            let before = self.quota;
            (self.version, self.quota) = (terms.version, terms.rate.burst());
            if self.quota > before && !self.away {
                // What was too little of the old quota may be enough of this one.
                self.again = Tick::ZERO;
            }
        }
    }

    pub(super) fn give_back(&mut self) {
        if self.ordered.is_none() {
            let pool = std::mem::take(&mut self.pool);
            self.owed -= i64::from(pool);
            self.total = self.total.saturating_sub(pool.into());
        }
    }
}

/// So much of a quota of `from` is of one of `to`, rounded down.
pub(super) fn scaled(count: u64, from: u32, to: u32) -> u64 {
    match from == to {
        true => count,
        // Above 2^64 only where the count is far above its quota.
        false => u64::try_from(u128::from(count) * u128::from(to) / u128::from(from.max(1))).unwrap_or(u64::MAX),
    }
}

/// The same, rounded up.
pub(crate) fn scaled_up(count: u64, from: u32, to: u32) -> u64 {
    let whole = u128::from(count) * u128::from(to);
    u64::try_from(whole.div_ceil(u128::from(from.max(1)))).unwrap_or(u64::MAX)
}
