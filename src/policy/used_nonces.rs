// SPDX-License-Identifier: Apache-2.0
//! Nonces that were used, as the one who answers for all shards keeps them.

use std::collections::HashMap;
use std::time::Duration;

use crate::base::Tick;
use crate::base::limits::NONCES_MAX;
use crate::policy::question::{Freshness, NonceQuestion};

/// Nonces that were used, `NONCES_MAX` at most, with the time until which they must be known.
#[derive(Debug, Default)]
pub(crate) struct UsedNonces {
    until: HashMap<u128, Tick>,
    /// When to look next for those that are too old.
    sweep: Tick,
}

impl UsedNonces {
    /// Notes that a nonce is used; says whether it was before. `None` where there is no room: nobody could say later.
    pub(crate) fn note(&mut self, NonceQuestion { nonce, keep }: NonceQuestion, now: Tick) -> Option<Freshness> {
        if now >= self.sweep {
            self.until.retain(|_, until| now < *until);
            self.sweep = now.after(SWEEP);
        }
        if self.until.get(&nonce).is_some_and(|until| now < *until) {
            return Some(Freshness::Seen);
        }
        if self.until.len() >= NONCES_MAX {
            return None;
        }
        self.until.insert(nonce, now.after(keep));
        Some(Freshness::Fresh)
    }
}

/// How often nonces that are too old are dropped.
const SWEEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_fresh_once_while_it_is_kept() {
        let (mut nonces, now) = (UsedNonces::default(), Tick::ZERO);
        let question = |nonce| NonceQuestion { nonce, keep: Duration::from_secs(10) };
        assert_eq!(nonces.note(question(1), now), Some(Freshness::Fresh));
        assert_eq!(nonces.note(question(1), now.after(Duration::from_secs(9))), Some(Freshness::Seen));
        assert_eq!(nonces.note(question(2), now), Some(Freshness::Fresh));
        let later = now.after(Duration::from_secs(11));
        assert_eq!(nonces.note(question(1), later), Some(Freshness::Fresh));
        assert_eq!(nonces.until.len(), 1, "what is too old is dropped");
        nonces.until.extend((10..10 + NONCES_MAX as u128).map(|nonce| (nonce, Tick::NEVER)));
        assert_eq!(nonces.note(question(2), later), None);
        assert_eq!(nonces.note(question(1), later), Some(Freshness::Seen));
    }
}
