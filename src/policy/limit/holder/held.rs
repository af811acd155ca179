// SPDX-License-Identifier: Apache-2.0
//! Hot. What a request does to a key after its first try: it holds slots until its response is known, gives back what
//! it does not use, and owes what it used beyond that.

use crate::base::Tick;
use crate::policy::limit::gcra::Meter;
use crate::policy::limit::holder::Holder;

/// Slots that a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Of terms with this version.
    pub version: u64,
    /// So many.
    pub slots: u32,
}

impl Holder {
    /// A request that would wait passed: the next grant pays for it, as far as it can.
    pub(crate) fn owe(&mut self, key: u64, cost: u32) {
        self.forgo(key, cost);
        if let Some(entry) = self.table.find(key) {
            entry.owed = entry.owed.saturating_add(cost);
        }
    }

    /// A request that would wait passed, and need not be paid for.
    pub(crate) fn forgo(&mut self, key: u64, cost: u32) {
        if let Some(entry) = self.table.find(key) {
            entry.waiting = entry.waiting.saturating_sub(cost);
        }
    }

    /// Puts back what a request took at this very moment: it does not pass after all.
    pub(crate) fn give_back(&mut self, key: u64, cost: u32, now: Tick) {
        if let Some(at) = self.table.locate(key) {
            let rate = self.rate_at(at);
            self.table.at(at).meter.put_back(&rate, cost, now);
            self.counts.admitted = self.counts.admitted.saturating_sub(u64::from(cost));
        }
    }

    /// A request used so much more than was taken for it. What is not there is a debt, which what refills pays first.
    pub(crate) fn charge(&mut self, key: u64, cost: u32, now: Tick) {
        let terms = self.terms.current;
        let found = self.table.locate(key).or_else(|| self.make_entry(key, &terms, now));
        let Some(at) = found else { return };
        self.renew(at, now);
        let rate = self.rate_at(at);
        self.counts.admitted += u64::from(cost);
        let entry = self.table.at(at);
        entry.debt = entry.debt.saturating_add(cost);
        if !entry.pay(&rate, now) && entry.lacks_slots(&rate) {
            self.ask(key, at, 0, now);
        }
    }

    /// Gives the slots of the tokens that a request just took to that request, until `release`: as long as nobody knows
    /// whether it counts, they neither refill nor are they used by another. Returns the version of the terms that they
    /// are under; of a leased rate the window that they are of.
    pub(crate) fn hold(&mut self, key: u64, slots: u32, now: Tick) -> Option<u64> {
        let at = self.table.locate(key)?;
        let rate = self.rate_at(at);
        let entry = self.table.at(at);
        // All tokens stay: the slots' own are those that were taken.
        if slots == 0 || entry.meter.slots() < slots {
            return None;
        }
        let _empty = entry.meter.split(&rate, slots, u32::MAX, now);
        entry.held += slots;
        self.held += slots as usize;
        Some(rate.leased_window().unwrap_or(entry.version))
    }

    /// Takes back slots that a request held: those that count come back empty, the others full.
    pub(crate) fn release(&mut self, key: u64, held: Held, counted: u32, now: Tick) {
        let Held { version, slots } = held;
        // Entries with held slots stay.
        let Some(at) = self.table.locate(key).filter(|at| self.table.look(*at).held >= slots) else { return };
        self.renew(at, now);
        let full = slots.saturating_sub(counted);
        self.held -= slots as usize;
        self.counts.returned += u64::from(full);
        let (current, alone) = (self.terms_at(at), self.alone);
        let entry = self.table.at(at);
        entry.held -= slots;
        entry.used = now;
        if current.rate.leased_window().is_some_and(|window| window != version) {
            return;
        }
        let version = if current.rate.is_leased() { current.version } else { version };
        if version != current.version && !alone {
            let older = self.terms.of_key(version, entry.own);
            return self.send_back(key, Meter::partly(&older.rate, slots, full, now), older);
        }
        // A lower rate may have fewer slots than were held.
        let room = current.rate.burst().saturating_sub(entry.meter.slots() + entry.held);
        entry.meter.merge(&current.rate, Meter::partly(&current.rate, slots.min(room), full, now), now);
        if entry.debt > 0 {
            entry.pay(&current.rate, now);
        }
    }
}
