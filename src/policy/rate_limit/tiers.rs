// SPDX-License-Identifier: Apache-2.0
//! Hot. Which windows of a limit hold for whom, and how much of each one request is.
//!
//! Tiers that count in the same window share it, with different numbers: the window then has a common multiple of them,
//! of which a request takes more where its tier has less. So whoever changes tier within a window goes on in it, as
//! used up as it was.

use crate::base::Tick;
use crate::policy::facts::{Effects, Facts};
use crate::policy::limit::{LimitState, Part};
use crate::policy::rate_limit::window::Standing;
use crate::wire::query::Decoded;
use crate::wire::template::{Lookup, Template};

/// Windows by the value of a text.
#[derive(Clone, Debug)]
pub struct Tiers {
    /// Its value names a tier.
    pub by: Template,
    /// The windows of each tier, in order of the names.
    pub list: Box<[NamedShares]>,
    /// Those of all others.
    pub others: TierShares,
}

/// The windows of one tier.
pub(crate) type TierShares = Box<[Share]>;
/// The windows of one tier, behind its name.
pub(crate) type NamedShares = (Box<[u8]>, TierShares);

/// One window, and what one unit of the cost is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The window's place in the plan.
    pub window: u32,
    /// So many of its slots, at least 1.
    pub units: u32,
}

impl Tiers {
    /// The windows that hold for a request.
    pub(super) fn shares_of<L: Lookup>(&self, facts: &Facts<'_, L>, effects: &mut Effects) -> &[Share] {
        let text = &mut effects.scratch;
        text.clear();
        self.by.render(&Decoded(facts.words), text);
        let found = self.list.binary_search_by(|(name, _)| (**name).cmp(text));
        found.map_or(&self.others, |at| &self.list[at].1)
    }
}

impl Share {
    /// A window that is nobody else's.
    pub(super) fn whole(at: usize) -> Share {
        Share { window: at as u32, units: 1 }
    }

    pub(super) fn at(self) -> usize {
        self.window as usize
    }

    /// So much of the cost, in slots of the window. Saturates; then the limit refuses it.
    pub(super) fn of(self, cost: u32) -> u32 {
        cost.saturating_mul(self.units)
    }

    /// Where a request stands, in units of the cost.
    pub(super) fn standing(self, part: &mut Part, key: u64, state: LimitState, now: Tick) -> Standing {
        if self.units == 1 {
            return Standing { at: self.at(), units: 1, state };
        }
        let left = state.left / self.units;
        let next = part.wait(key, self.of(left.saturating_add(1)), now);
        // In a window of the calendar there is more when the next one begins.
        let next = if next.is_zero() { state.next } else { next };
        Standing { at: self.at(), units: self.units, state: LimitState { left, next } }
    }
}
