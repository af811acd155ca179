// SPDX-License-Identifier: Apache-2.0
//! The parent of a limit whose quota outlives the process, or holds for several gateways: it stands on the control
//! plane, leases tokens of the window from a database, and grants them to shards. Pure: whoever owns it carries its
//! messages to shards and its orders to the database.
//!
//! ```text
//!  shard             parent                    database
//!    │ ── Ask ───────►│                            │
//!    │                │ ── Order { want } ────────►│  (one at a time for a key; written before it is answered)
//!    │                │ ◄──────── Leased { .. } ── │
//!    │ ◄───── Grant ──│                            │
//!    │ ── Return ────►│  (idle: into the pool, and later back to the database)
//! ```
//! Invariant: what shards were granted of a window, less what they returned, and the pool together are never more than
//! what the database gave. The only exception is a share that a gateway gives while its database is away, where it was
//! told to; that is reported with the next order, before anything else is leased.

mod ledger;

use std::time::Duration;

use crate::base::{Tick, Wall};
use crate::policy::limit::calendar::{Calendar, Window};
use crate::policy::limit::gcra::{Meter, Rate};
use crate::policy::limit::ids::{LimitId, ShardId};
use crate::policy::limit::lease::Lease;
use crate::policy::limit::message::{Body, Message};
use crate::policy::limit::parent::ledger::{Ledger, Question, scaled};

use crate::policy::limit::table::Table;
use crate::policy::limit::terms::{Basis, Terms};
pub(crate) use ledger::scaled_up;

/// What happens while the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnOutage {
    /// Requests that find nothing leased cannot be counted (`rate_limit::Plan::uncountable`).
    Closed,
    /// They pass uncounted.
    Open,
    /// Each of so many gateways gives its part of the quota.
    LocalShare {
        /// How many; at least 1.
        gateways: u32,
    },
}

/// Something for the database to do, wholly or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Which one.
    pub number: u64,
    /// Which key.
    pub key: u64,
    /// In which window.
    pub window: Window,
    /// What was used without a lease since the last order; below zero, what was leased and comes back. Counts whether
    /// or not anything is left.
    pub owed: i64,
    /// All that this process has had of the window, with `owed`: a database that forgot it learns it again.
    pub total: u64,
    /// How much is wanted. As much of it as there is left is leased.
    pub want: u32,
    /// How much there is in the window.
    pub quota: u32,
    /// What it and what was used are parts of: where this changes, what was used is converted (`Ledger::units`).
    pub units: u32,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done.
    Leased {
        /// So much was leased.
        count: u32,
        /// So much of the window is used now, or leased by anybody.
        used: u64,
    },
    /// It was not done, or nobody knows whether it was.
    Failed,
}

/// The parent of one limit's keys in one process.
#[derive(Debug)]
pub(crate) struct Parent {
    limit: LimitId,
    rate: Rate,
    /// Whose quota is counted: one of all keys, or of each its own, which shards tell with what they ask.
    basis: Basis,
    shards: u32,
    calendar: Calendar,
    window: Window,
    on_outage: OnOutage,
    table: Table<Ledger>,
    orders: Vec<Order>,
    ordered: u64,
    /// Shards end: nothing is granted any more.
    closing: bool,
}

/// Messages to shards.
pub(crate) type Replies = Vec<(ShardId, Message)>;

impl Parent {
    /// Of a leased rate in windows of this calendar, for so many shards. `keys_max` bounds the keys that are known.
    pub(crate) fn new(
        (limit, rate): (LimitId, Rate),
        calendar: Calendar,
        on_outage: OnOutage,
        (shards, keys_max): (u32, usize),
    ) -> Parent {
        let (window, table) = (Window::default(), Table::new(keys_max.max(1)));
        let (orders, ordered, closing, basis) = (Vec::new(), 0, false, Basis::Limit);
        Parent { limit, rate, basis, shards, calendar, window, on_outage, table, orders, ordered, closing }
    }

    /// The same, whose keys have quotas of this basis.
    pub(crate) fn based_on(mut self, basis: Basis) -> Parent {
        self.basis = basis;
        self
    }

    /// Which limit.
    pub(crate) fn limit(&self) -> LimitId {
        self.limit
    }

    /// What a new plan says.
    pub(crate) fn follow(&mut self, rate: Rate, on_outage: OnOutage) {
        (self.rate, self.on_outage) = (rate, on_outage);
    }

    /// What the database is to do next.
    pub(crate) fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// A message from a shard.
    pub(crate) fn receive(&mut self, from: ShardId, message: &Message, (now, wall): (Tick, Wall), out: &mut Replies) {
        self.look(wall);
        let key = message.key;
        match message.body {
            Body::Ask { need, .. } => {
                let question = Question { shard: from, need: need.max(1), terms: message.terms };
                let Some(at) = self.ledger(key, now) else {
                    return out.push((from, self.message(key, message.terms, Body::NoRoom)));
                };
                let basis = self.basis;
                let ledger = self.table.at(at);
                ledger.used = now;
                if basis == Basis::Key {
                    ledger.learn(&message.terms);
                }
                ledger.waiting.retain(|known| known.shard != from);
                ledger.waiting.push(question);
                self.serve(key, at, now, out);
            }
            Body::Return { mut piece, .. } => {
                let mut rate = message.terms.rate;
                rate.turn(self.window.began());
                let tokens = piece.tokens(&rate, now);
                let Some(at) = self.table.locate(key).filter(|_| tokens > 0) else { return };
                self.renew(at);
                let tokens = match self.basis {
                    Basis::Limit => scaled(tokens.into(), rate.burst(), self.rate.burst()) as u32,
                    Basis::Key => tokens,
                };
                let ledger = self.table.at(at);
                // What was never granted cannot come back.
                let granted = u32::try_from(ledger.total).unwrap_or(u32::MAX).saturating_sub(ledger.pool);
                ledger.pool += tokens.min(granted);
                self.serve(key, at, now, out);
            }
            // Shards say these to each other.
            Body::Grant { .. } | Body::Recall { .. } | Body::NoRoom | Body::Banned => {}
        }
    }

    /// What became of an order.
    pub(crate) fn settle(&mut self, order: &Order, outcome: Outcome, (now, wall): (Tick, Wall), out: &mut Replies) {
        self.look(wall);
        let Some(at) = self.table.locate(order.key) else { return };
        self.renew(at);
        let ledger = self.table.at(at);
        // What was leased in a window that is over, or before a reset, is of no use to anybody.
        if ledger.ordered != Some(order.number) {
            return self.serve(order.key, at, now, out);
        }
        ledger.ordered = None;
        match outcome {
            Outcome::Leased { count: leased, used } => {
                let count = scaled(leased.into(), order.units, ledger.units) as u32;
                let used = scaled_up(used, order.units, ledger.units);
                ledger.pool += count;
                ledger.total += u64::from(count);
                (ledger.known, ledger.local, ledger.away) = (used, 0, false);
                if leased < order.want {
                    ledger.again = now.after(EXHAUSTED_PAUSE);
                }
                self.serve(order.key, at, now, out);
                if self.closing {
                    self.hand_back(order.key, at);
                }
            }
            Outcome::Failed => {
                // Where nobody knows whether it was done, what was used is told again, and may count twice; what came
                // back is not.
                ledger.owed += order.owed.max(0);
                (ledger.again, ledger.away) = (now.after(OUTAGE_PAUSE), true);
                self.go_without(order.key, at, now, out);
            }
        }
    }

    /// Looks at up to `count` keys: what is idle goes back to the database, and what it does not know yet is told.
    pub(crate) fn sweep(&mut self, count: usize, (now, wall): (Tick, Wall)) {
        self.look(wall);
        for _ in 0..count.min(self.table.len()) {
            let Some((key, at)) = self.table.step() else { break };
            let ledger = self.table.at(at);
            if ledger.window != self.window && ledger.waiting.is_empty() {
                self.table.remove(key);
                continue;
            }
            if now >= ledger.used.after(IDLE) {
                ledger.give_back();
            }
            if ledger.owed != 0 && now >= ledger.again {
                self.order(key, at, 0);
            }
        }
        self.table.shrink();
    }

    /// The database may have forgotten what it was told: tells it again.
    pub(crate) fn tell_again(&mut self, wall: Wall) {
        self.look(wall);
        for at in 0..self.table.len() {
            let key = self.table.key(at);
            let ledger = self.table.at(at);
            if ledger.window == self.window && ledger.total > 0 {
                self.order(key, at, 0);
            }
        }
    }

    /// Grants nothing from now on: shards end, and what was on its way to one of them then would be lost.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Gives all back that is not granted, after `close`. What is being leased follows when it comes.
    pub(crate) fn surrender(&mut self, wall: Wall) {
        self.close();
        self.look(wall);
        for at in 0..self.table.len() {
            self.renew(at);
            self.hand_back(self.table.key(at), at);
        }
    }

    /// Brings a key into the window, and under the quota that all keys have.
    fn renew(&mut self, at: usize) {
        let ledger = self.table.at(at);
        ledger.turn(self.window);
        if self.basis == Basis::Limit {
            ledger.scale(self.rate.burst());
        }
    }

    fn hand_back(&mut self, key: u64, at: usize) {
        let ledger = self.table.at(at);
        ledger.give_back();
        if ledger.owed != 0 {
            self.order(key, at, 0);
        }
    }

    /// The database forgot what was used of a key: it has its whole quota again, and what is here of it is void.
    pub(crate) fn reset(&mut self, key: u64, now: Tick) {
        if let Some(ledger) = self.table.find(key) {
            let waiting = std::mem::take(&mut ledger.waiting);
            let Ledger { window, quota, units, version, .. } = *ledger;
            *ledger = Ledger { waiting, version, ..Ledger::new(window, (quota, units), now) };
        }
    }

    /// The window in which this is, for whoever looks a key up in the database.
    pub(crate) fn window(&mut self, wall: Wall) -> Window {
        self.look(wall);
        self.window
    }

    /// Leased of a key in this window, and not granted.
    #[cfg(test)]
    pub(crate) fn pool(&self, key: u64) -> u32 {
        self.table.locate(key).map_or(0, |at| self.table.look(at).pool)
    }

    fn look(&mut self, wall: Wall) {
        if !self.window.contains(wall) {
            let window = self.calendar.window(wall);
            // A clock that was set back gives nothing: the window goes on until it is over by that clock.
            if window.start > self.window.start {
                self.window = window;
                self.rate.turn(window.began());
            }
        }
    }

    /// The ledger of a key in this window, made where there is none. `None` where there is no room.
    fn ledger(&mut self, key: u64, now: Tick) -> Option<usize> {
        let at = match self.table.locate(key) {
            Some(at) => at,
            None => {
                if self.table.is_at_cap() && !self.make_room() {
                    return None;
                }
                let quota = self.rate.burst();
                // One of its own, the key is about to tell.
                let units = if self.basis == Basis::Key { UNITS_OF_KEYS } else { quota };
                self.table.insert(key, Ledger::new(self.window, (quota, units), now))
            }
        };
        self.renew(at);
        Some(at)
    }

    /// Forgets a key that nobody waits for and of which nothing is here. The database knows what was used of it.
    fn make_room(&mut self) -> bool {
        for _ in 0..LOOKS.min(self.table.len()) {
            let Some((key, at)) = self.table.step() else { break };
            self.renew(at);
            let ledger = self.table.at(at);
            if ledger.pool == 0 && ledger.owed == 0 && ledger.ordered.is_none() && ledger.waiting.is_empty() {
                self.table.remove(key);
                return true;
            }
        }
        false
    }

    /// Grants what it can to those that asked, and orders more where that is too little.
    fn serve(&mut self, key: u64, at: usize, now: Tick, out: &mut Replies) {
        if self.closing {
            return self.table.at(at).waiting.clear();
        }
        let quota = self.table.at(at).quota;
        let lease = Lease::of(quota, self.shards);
        let mut granted = false;
        loop {
            let ledger = self.table.at(at);
            let Some(question) = ledger.waiting.first().copied() else { break };
            if ledger.pool >= question.need {
                ledger.waiting.remove(0);
                let count = lease.piece.max(question.need).min(ledger.pool);
                ledger.pool -= count;
                granted = true;
                out.push(self.grant(key, question, count, now));
                continue;
            }
            if ledger.ordered.is_some() {
                return;
            }
            if now < ledger.again && ledger.away {
                return self.go_without(key, at, now, out);
            }
            if now < ledger.again {
                // What little there is may be enough together with what the shard has.
                ledger.waiting.remove(0);
                let count = std::mem::take(&mut ledger.pool);
                out.push(self.grant(key, question, count, now));
                continue;
            }
            let want = (question.need - ledger.pool).saturating_add(lease.portion).min(quota);
            return self.order(key, at, want);
        }
        let ledger = self.table.at(at);
        if granted && lease.portion > 0 && ledger.pool <= lease.low() && now >= ledger.again {
            self.order(key, at, lease.portion);
        }
    }

    /// The database is away: those that asked get what is here, or what they may have without it.
    fn go_without(&mut self, key: u64, at: usize, now: Tick, out: &mut Replies) {
        let quota = self.table.at(at).quota;
        let lease = Lease::of(quota, self.shards);
        let waiting = std::mem::take(&mut self.table.at(at).waiting);
        if self.closing {
            return;
        }
        for question in waiting {
            let ledger = self.table.at(at);
            let mut count = lease.piece.max(question.need).min(ledger.pool);
            ledger.pool -= count;
            if let OnOutage::LocalShare { gateways } = self.on_outage {
                // Neither more than its part of the quota, nor than its part of what was left.
                let (quota, gateways) = (u64::from(quota), u64::from(gateways.max(1)));
                let of_all = (quota / gateways).saturating_sub(ledger.total);
                let of_rest = (quota.saturating_sub(ledger.known) / gateways).saturating_sub(ledger.local.into());
                let left = of_all.min(of_rest);
                let wanted = u64::from(lease.piece.max(question.need).saturating_sub(count));
                // At most `wanted`, which has 32 bits.
                let local = wanted.min(left) as u32;
                ledger.total += u64::from(local);
                ledger.owed += i64::from(local);
                ledger.local += local;
                count += local;
            } else if count < question.need {
                ledger.pool += count;
                out.push((question.shard, self.message(key, question.terms, Body::NoRoom)));
                continue;
            }
            out.push(self.grant(key, question, count, now));
        }
    }

    fn order(&mut self, key: u64, at: usize, want: u32) {
        let ledger = self.table.at(at);
        if ledger.ordered.is_some() {
            return;
        }
        self.ordered += 1;
        let number = self.ordered;
        ledger.ordered = Some(number);
        let (window, owed, total) = (ledger.window, std::mem::take(&mut ledger.owed), ledger.total);
        let Ledger { quota, units, .. } = *ledger;
        self.orders.push(Order { number, key, window, owed, total, want, quota, units });
    }

    fn grant(&self, key: u64, question: Question, count: u32, now: Tick) -> (ShardId, Message) {
        let mut rate = question.terms.rate;
        rate.turn(self.window.began());
        let count = match self.basis {
            // While a plan comes into use, shards may be under another rate than this.
            Basis::Limit => scaled(count.into(), self.rate.burst(), rate.burst()) as u32,
            Basis::Key => count,
        };
        let piece = Meter::partly(&rate, count, count, now);
        (question.shard, self.message(key, question.terms, Body::Grant { piece }))
    }

    fn message(&self, key: u64, terms: Terms, body: Body) -> Message {
        Message { limit: self.limit, key, terms, body }
    }
}

/// `Order::units` where keys have quotas of their own.
pub(crate) const UNITS_OF_KEYS: u32 = 1;
/// What nobody asked for in this time goes back to the database.
const IDLE: Duration = Duration::from_secs(5);
/// A database that had less than was wanted is asked again for the key after this. It bounds the writes for keys that
/// are used up; longer lets what others give back lie for longer.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(500);
/// A database that is away is asked again for the key after this.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);
/// Keys looked at to find one that can go.
const LOOKS: usize = 32;

#[cfg(test)]
mod tests;
