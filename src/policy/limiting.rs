// SPDX-License-Identifier: Apache-2.0
//! Hot. What policies that limit by key have in common: who is not limited, and what becomes of a request that is above
//! the limit or that cannot be counted.

use crate::base::NetworkSet;
use crate::policy::facts::Facts;

/// Who is not limited.
#[derive(Clone, Debug, Default)]
pub struct Exempt {
    /// Clients from here.
    pub networks: NetworkSet,
    /// Consumers of these names, in order.
    pub consumers: Box<[Box<str>]>,
}

/// Whether routes that share the policy share the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// They do.
    Shared,
    /// Each route counts for itself.
    PerRoute,
}

/// Whether it refuses at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It counts, notes in `Effects::reported` what it would refuse, never makes a request wait, and lets everything
    /// pass. A refusal that would be known only after a wait is counted and not noted.
    Report,
}

/// What happens to a request that cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrouble {
    /// 503 with `Retry-After: 1`.
    Unavailable,
    /// Refused as if the limit were used up.
    Refuse,
    /// Let through uncounted.
    Admit,
}

/// What a key has that comes again after it had to make room for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// All of its limit.
    Forget,
    /// No more than it would have, had it been remembered; it shares that with others that were forgotten.
    Share,
}

impl OnTrouble {
    /// The same, where nothing is refused that only reports.
    pub const fn in_mode(self, mode: Mode) -> OnTrouble {
        match mode {
            Mode::Enforce => self,
            Mode::Report => OnTrouble::Admit,
        }
    }
}

impl Exempt {
    /// Is this one of them?
    pub fn has<L>(&self, facts: &Facts<'_, L>) -> bool {
        let known = || self.consumers.binary_search_by(|name| (**name).cmp(facts.consumer_name)).is_ok();
        (!self.networks.is_empty() && self.networks.contains(facts.client))
            || (!self.consumers.is_empty() && facts.identity.consumer.is_some() && known())
    }
}
