// SPDX-License-Identifier: Apache-2.0
//! Accounts of keys with a number of slots of their own. One that gets fewer asks shards once for theirs, and loses
//! full ones as they come home and refill.

use crate::base::Tick;
use crate::policy::limit::account::{Account, Accounts};
use crate::policy::limit::gcra::{Meter, Rate};
use crate::policy::limit::ids::ShardId;
use crate::policy::limit::message::Body;
use crate::policy::limit::terms::{Basis, History, Terms};

impl Accounts {
    /// From now on each key has a rate of its own (`Basis::Key`).
    pub(crate) fn by_key(&mut self) {
        self.terms.basis = Basis::Key;
    }
}

impl Account {
    /// The terms that it is under, once it was renewed.
    pub(super) fn terms(&self, history: &History) -> Terms {
        match (&self.rare, history.basis) {
            (Some(rare), Basis::Key) => history.of_key(self.version, rare.own),
            (_, Basis::Limit) | (None, _) => history.current,
        }
    }

    /// Takes over the terms of one key, where keys have their own and these are newer.
    pub(super) fn learn(&mut self, history: &History, terms: &Terms, now: Tick) {
        let total = self.free.slots() + self.lent();
        let Some(rare) = self.rare.as_mut().filter(|_| history.basis == Basis::Key) else { return };
        let slots = terms.rate.burst();
        if terms.version <= self.version {
            return;
        }
        self.version = terms.version;
        if slots == rare.own.slots {
            return;
        }
        rare.shrinks = slots < rare.own.slots;
        rare.own = terms.rate.own();
        let rate = self.terms(history).rate;
        let more = slots.saturating_sub(total);
        self.free.merge(&rate, Meter::partly(&rate, more, more, now), now);
    }

    /// Slots beyond its own number, where that has become smaller.
    pub(super) fn excess(&self) -> u32 {
        let Some(own) = self.rare.as_ref().map(|rare| rare.own.slots).filter(|slots| *slots > 0) else { return 0 };
        (self.free.slots() + self.lent()).saturating_sub(own)
    }

    /// Loses full slots until it has no more than its number, as far as full ones are free.
    pub(super) fn trim(&mut self, rate: &Rate, now: Tick) {
        let excess = self.excess();
        if excess > 0 {
            let full = excess.min(self.free.tokens(rate, now));
            let _gone = self.free.split(rate, full, 0, now);
        }
    }

    /// Where it has fewer slots than before, asks all shards once for theirs. Is there nothing to grant before they
    /// have answered?
    pub(super) fn shrinks(&mut self, rate: &Rate, now: Tick, mut send: impl FnMut(ShardId, Body)) -> bool {
        let Some(rare) = self.rare.as_mut().filter(|rare| rare.own.slots > 0) else { return false };
        if std::mem::take(&mut rare.shrinks) && self.excess() > 0 {
            for share in self.shares.iter_mut().filter(|share| share.slots > 0 && !share.recalled) {
                share.recalled = true;
                send(share.shard, Body::Recall { need: u32::MAX, asking: u32::MAX, others: u32::MAX });
            }
        }
        if self.excess() == 0 {
            return false;
        }
        if self.shares.iter().any(|share| share.recalled) {
            return true;
        }
        self.trim(rate, now);
        false
    }
}
