// SPDX-License-Identifier: Apache-2.0
//! What a shard gives up at once because somebody says so: all that it leased, or what it knows of one key.

use crate::base::Tick;
use crate::policy::limit::gcra::Meter;
use crate::policy::limit::holder::Holder;

impl Holder {
    /// Gives all slots back to where they came from.
    pub(crate) fn surrender(&mut self, now: Tick) {
        for at in 0..self.table.len() {
            self.renew(at, now);
            let piece = std::mem::replace(&mut self.table.at(at).meter, Meter::EMPTY);
            let (key, terms) = (self.table.key(at), self.terms.current);
            self.send_back(key, piece, terms);
        }
    }

    /// A key may have its whole limit again. Slots that are here are full; those that were leased are void, because the
    /// parent leases new ones for the whole limit.
    pub(crate) fn reset(&mut self, key: u64, now: Tick) {
        let Some(at) = self.table.locate(key) else { return };
        self.renew(at, now);
        let rate = self.rate_at(at);
        let entry = self.table.at(at);
        (entry.debt, entry.ask_after) = (0, now);
        if rate.is_leased() {
            entry.meter = Meter::EMPTY;
        } else {
            entry.meter.fill_up(&rate, now);
        }
    }
}
