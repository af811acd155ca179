// SPDX-License-Identifier: Apache-2.0
//! Hot. Keys that were refused too often and are refused everything for a while.
//!
//! Each shard counts the refusals that it makes itself; a ban holds on all shards, because the one that makes it tells
//! the others. So a client that comes to all of several shards is banned after so many refusals on one of them.

use std::time::Duration;

use crate::base::Tick;
use crate::policy::limit::table::Table;

/// When a key is banned, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BanRule {
    /// After so many refusals, at least 1,
    pub after: u32,
    /// within this time,
    pub within: Duration,
    /// for so long.
    pub lasts: Duration,
}

/// The keys of one limit that were refused lately.
#[derive(Debug)]
pub(super) struct Bans {
    rule: BanRule,
    table: Table<Refusals>,
}

#[derive(Debug)]
struct Refusals {
    count: u32,
    /// When the count begins anew, or when the ban ends.
    until: Tick,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Counted,
    Banned,
}

impl Bans {
    /// Nobody yet. At most `keys_max` are remembered; above it those go that would go first anyway.
    pub(super) fn new(rule: BanRule, keys_max: usize) -> Bans {
        Bans { rule, table: Table::new(keys_max.max(1)) }
    }

    /// How much longer a key is banned, if it is.
    pub(super) fn banned(&self, key: u64, now: Tick) -> Option<Duration> {
        if self.table.len() == 0 {
            return None;
        }
        let refusals = self.table.look(self.table.locate(key)?);
        (refusals.state == State::Banned && now < refusals.until).then(|| refusals.until.since(now))
    }

    /// A key was refused. True where it is banned from now on.
    pub(super) fn note(&mut self, key: u64, now: Tick) -> bool {
        let rule = self.rule;
        let refusals = self.entry(key, now);
        if now >= refusals.until {
            *refusals = Refusals { count: 0, until: now.after(rule.within), state: State::Counted };
        }
        if refusals.state == State::Banned {
            return false;
        }
        refusals.count += 1;
        let banned = refusals.count >= rule.after;
        if banned {
            (refusals.state, refusals.until) = (State::Banned, now.after(rule.lasts));
        }
        banned
    }

    /// Another shard banned a key.
    pub(super) fn ban(&mut self, key: u64, now: Tick) {
        let until = now.after(self.rule.lasts);
        let refusals = self.entry(key, now);
        (refusals.state, refusals.until) = (State::Banned, until.max(refusals.until));
    }

    /// A key is not banned any more, and its refusals are forgotten.
    pub(super) fn lift(&mut self, key: u64) {
        self.table.remove(key);
    }

    /// Looks at up to `count` keys and forgets those whose time is over.
    pub(super) fn sweep(&mut self, count: usize, now: Tick) {
        for _ in 0..count.min(self.table.len()) {
            let Some((key, at)) = self.table.step() else { break };
            if now >= self.table.look(at).until {
                self.table.remove(key);
            }
        }
        self.table.shrink();
    }

    pub(super) fn keys(&self) -> usize {
        self.table.len()
    }

    fn entry(&mut self, key: u64, now: Tick) -> &mut Refusals {
        let at = self.table.locate(key).unwrap_or_else(|| {
            if self.table.is_at_cap() {
                self.make_room();
            }
            let fresh = Refusals { count: 0, until: now.after(self.rule.within), state: State::Counted };
            self.table.insert(key, fresh)
        });
        self.table.at(at)
    }

    /// Forgets the key under the hand whose time is over first; one that is banned only where all are.
    fn make_room(&mut self) {
        let mut first: Option<((State, Tick), u64)> = None;
        for _ in 0..LOOKS.min(self.table.len()) {
            let Some((key, at)) = self.table.step() else { break };
            let refusals = self.table.look(at);
            let order = (refusals.state, refusals.until);
            if first.is_none_or(|(least, _)| order < least) {
                first = Some((order, key));
            }
        }
        if let Some((_, key)) = first {
            self.table.remove(key);
        }
    }
}

/// Keys looked at to find one that can go.
const LOOKS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: BanRule = BanRule { after: 3, within: Duration::from_secs(10), lasts: Duration::from_secs(60) };

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.after_ms(1_000 * seconds)
    }

    #[test]
    fn a_key_is_banned_after_so_many_refusals_in_time_and_only_for_a_while() {
        let mut bans = Bans::new(RULE, 10);
        assert!(!bans.note(1, at(0)) && !bans.note(1, at(9)), "two are not three");
        assert!(!bans.note(1, at(10)) && !bans.note(1, at(11)), "and count anew after a while");
        assert!(!bans.note(2, at(12)), "another key counts for itself");
        assert!(bans.note(1, at(12)));
        assert_eq!(bans.banned(1, at(13)), Some(Duration::from_secs(59)));
        assert_eq!(bans.banned(2, at(13)), None);
        assert!(!bans.note(1, at(20)), "a ban is not made longer by who tries all the same");
        assert_eq!(bans.banned(1, at(72)), None);
        bans.sweep(10, at(72));
        assert_eq!(bans.keys(), 0);
    }

    #[test]
    fn what_another_shard_banned_is_banned_here() {
        let mut bans = Bans::new(RULE, 10);
        bans.note(1, at(0));
        bans.ban(1, at(1));
        bans.ban(2, at(1));
        assert!(bans.banned(1, at(60)).is_some() && bans.banned(2, at(60)).is_some());
        assert_eq!(bans.banned(1, at(61)), None);
    }

    #[test]
    fn a_flood_of_keys_displaces_those_that_are_not_banned() {
        let mut bans = Bans::new(RULE, 8);
        (0..3).for_each(|_| {
            bans.note(1, at(0));
        });
        (100..1_100).for_each(|key| {
            bans.note(key, at(1));
        });
        assert_eq!(bans.keys(), 8);
        assert!(bans.banned(1, at(2)).is_some());
    }
}
