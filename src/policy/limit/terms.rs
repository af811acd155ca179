// SPDX-License-Identifier: Apache-2.0
//! The rates that a limit has had: slots are counted under the terms under which they were made.

use crate::base::Tick;
use crate::policy::limit::gcra::{Own, Rate};

/// A limit's rate, numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Grows with each change of the rate; the same number means the same rate on all shards.
    pub version: u64,
    /// The rate.
    pub rate: Rate,
}

/// Whose terms those of a limit are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// All keys have the same.
    Limit,
    /// Each key has its own: a number of slots, which are the same slots whatever their number. Versions are those of
    /// what the number follows from. A key that gets more gains full slots; one that gets fewer loses full ones, at
    /// once as far as there are any, and the others as they refill. So what was used stays used.
    Key,
}

/// The terms in force, and older ones that entries may still be under.
#[derive(Debug)]
pub(super) struct History {
    pub current: Terms,
    pub basis: Basis,
    older: Vec<Terms>,
}

impl History {
    pub(super) fn new(current: Terms) -> History {
        History { current, basis: Basis::Limit, older: Vec::new() }
    }

    /// Takes newer terms over; false where these are not newer.
    pub(super) fn adopt(&mut self, terms: Terms) -> bool {
        if self.basis == Basis::Key || terms.version <= self.current.version {
            return false;
        }
        self.older.push(self.current);
        self.current = Terms { rate: terms.rate.in_window_of(&self.current.rate), ..terms };
        true
    }

    /// A window began: the rate in force counts in it.
    pub(super) fn turn(&mut self, began: Tick) {
        self.current.rate.turn(began);
    }

    /// Are there so many older terms that all entries should be brought under the current ones?
    pub(super) fn is_long(&self) -> bool {
        self.older.len() > OLDER_MAX
    }

    /// No entry is under older terms any more.
    pub(super) fn forget_older(&mut self) {
        self.older.clear();
    }

    /// The terms of that version; the current ones where it is not known.
    pub(super) fn of(&self, version: u64) -> Terms {
        self.older.iter().find(|terms| terms.version == version).copied().unwrap_or(self.current)
    }

    /// The terms with that version of a key, which are its own ones where keys have such.
    pub(super) fn of_key(&self, version: u64, own: Own) -> Terms {
        match self.basis {
            Basis::Limit => self.of(version),
            Basis::Key => Terms { version, rate: self.current.rate.of_key(own) },
        }
    }
}

/// Above it, all entries are brought under the current terms at once, which takes a few milliseconds for each 100 000
/// keys. Below it, an entry is brought under them when it is next looked at.
const OLDER_MAX: usize = 8;
