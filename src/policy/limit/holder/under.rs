// SPDX-License-Identifier: Apache-2.0
//! Hot. The terms that a shard's slots are under: those of the limit, or of each key its own.

use std::time::Duration;

use crate::base::Tick;
use crate::policy::limit::entry::pause;
use crate::policy::limit::gcra::{Meter, Rate};
use crate::policy::limit::holder::Holder;
use crate::policy::limit::lease::Lease;
use crate::policy::limit::terms::{Basis, Terms};

impl Holder {
    /// From now on each key has a rate of its own (`Basis::Key`).
    pub(crate) fn by_key(&mut self) {
        self.terms.basis = Basis::Key;
    }

    /// Takes over terms that are newer than its own.
    pub(crate) fn set_terms(&mut self, terms: Terms, now: Tick) {
        let before = self.terms.current.rate;
        if !self.terms.adopt(terms) {
            return;
        }
        if let Some(forgotten) = &mut self.forgotten {
            forgotten.follow(&before, &self.terms.current.rate, now);
        }
        self.pause = pause(&terms.rate);
        self.ahead = Lease::of(terms.rate.burst(), self.shards.count).ahead;
        if self.terms.is_long() {
            (0..self.table.len()).for_each(|at| self.renew(at, now));
            // Slots that requests hold come back under the terms that they had.
            if self.held == 0 {
                self.terms.forget_older();
            }
        }
    }

    /// Brings an entry under the current terms: slots of older ones go home, or are made anew where home is here.
    pub(super) fn renew(&mut self, at: usize, now: Tick) {
        let current = self.terms.current;
        let entry = self.table.at(at);
        if entry.version == current.version || self.terms.basis == Basis::Key {
            return;
        }
        let older = self.terms.of(entry.version);
        entry.version = current.version;
        if self.alone {
            let fill = entry.meter.fill(&older.rate, now);
            let slots = current.rate.burst().saturating_sub(entry.held);
            entry.meter = Meter::filled(&current.rate, slots, fill, now);
            return;
        }
        let piece = std::mem::replace(&mut entry.meter, Meter::EMPTY);
        entry.ask_after = now;
        let key = self.table.key(at);
        self.send_back(key, piece, older);
    }

    /// Takes over the terms of one key, where keys have their own and these are newer. Where they allow less, all slots
    /// go home, which knows how many are too many; with one shard, `Entry::trim` takes those.
    pub(super) fn learn(&mut self, at: usize, terms: &Terms, now: Tick) {
        let entry = self.table.at(at);
        let before = entry.own.slots;
        if self.terms.basis == Basis::Limit || terms.version <= entry.version {
            return;
        }
        // Also where they allow the same: whoever keeps account may have heard of other ones in between.
        entry.version = terms.version;
        if terms.rate.burst() == before {
            return;
        }
        entry.own = terms.rate.own();
        entry.ask_after = now;
        let terms = self.terms_at(at);
        let entry = self.table.at(at);
        let grows = terms.rate.burst() > before;
        if self.alone {
            let more = terms.rate.burst().saturating_sub(entry.meter.slots() + entry.held);
            entry.meter.merge(&terms.rate, Meter::partly(&terms.rate, more, more, now), now);
        } else if !grows {
            let piece = std::mem::replace(&mut entry.meter, Meter::EMPTY);
            let key = self.table.key(at);
            self.send_back(key, piece, terms);
        }
    }

    /// The terms that an entry is under.
    pub(super) fn terms_at(&self, at: usize) -> Terms {
        match self.terms.basis {
            Basis::Limit => self.terms.current,
            Basis::Key => {
                let entry = self.table.look(at);
                self.terms.of_key(entry.version, entry.own)
            }
        }
    }

    pub(super) fn rate_at(&self, at: usize) -> Rate {
        match self.terms.basis {
            Basis::Limit => self.terms.current.rate,
            Basis::Key => self.terms.current.rate.of_key(self.table.look(at).own),
        }
    }

    /// Of a leased rate: how many are left when it asks for more in advance.
    pub(super) fn asks_at(&self, rate: &Rate) -> Option<u32> {
        match self.terms.basis {
            Basis::Limit => self.ahead,
            Basis::Key => Lease::of(rate.burst(), self.shards.count).ahead,
        }
    }

    pub(super) fn pause_of(&self, rate: &Rate) -> Duration {
        match self.terms.basis {
            Basis::Limit => self.pause,
            Basis::Key => pause(rate),
        }
    }
}
