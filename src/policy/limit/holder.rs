// SPDX-License-Identifier: Apache-2.0
//! Hot. The slots of a limit that a shard has: admits from them, asks homes for more, gives back.
//!
//! With one shard there is nobody to share with: every key starts with all slots, and no message is ever sent.

mod given_up;
mod held;
mod under;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use smallvec::SmallVec;

use crate::base::Tick;
use crate::policy::limit::entry::{Entry, LimitState, Recall, Taken, pause, standing};
use crate::policy::limit::forgotten::Forgotten;
use crate::policy::limit::gcra::Meter;
use crate::policy::limit::ids::{LimitId, ShardId, Shards};
use crate::policy::limit::lease::Lease;
use crate::policy::limit::message::{Body, Cause, Message};
use crate::policy::limit::table::Table;
use crate::policy::limit::terms::{Basis, History, Terms};

pub(crate) use held::Held;

/// One limit's keys on one shard.
#[derive(Debug)]
pub(crate) struct Holder {
    limit: LimitId,
    shards: Shards,
    terms: History,
    pause: Duration,
    /// When the window of a counted rate ends.
    ends: Tick,
    table: Table<Entry>,
    outbox: VecDeque<Message>,
    /// Nobody else has slots: it is the only shard, and there is no parent.
    alone: bool,
    /// Of a leased rate, asks in advance when no more is left; `None`: never.
    ahead: Option<u32>,
    /// Homes that are far behind, and until when they get no slots back.
    behind: SmallVec<[(ShardId, Tick); 2]>,
    /// Slots that requests hold.
    held: usize,
    /// What is left of keys that were given up, where that is remembered.
    forgotten: Option<Forgotten>,
    counts: HolderCounts,
}

/// What happened since the counts were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HolderCounts {
    /// Tokens admitted.
    pub admitted: u64,
    /// Tries refused because the limit is used up.
    pub refused: u64,
    /// Tries that had to wait for a grant.
    pub waited: u64,
    /// Tries for whose key there was no room, here or at its home.
    pub no_room: u64,
    /// Keys that were forgotten before they were full again.
    pub given_up: u64,
    /// Tokens that were owed (`Holder::owe`) and then were not there.
    pub unpaid: u64,
    /// Tokens that came back because their request does not count.
    pub returned: u64,
}

impl Holder {
    /// Nothing held yet. `keys_max` bounds the table.
    pub(crate) fn new(limit: LimitId, terms: Terms, shards: Shards, keys_max: usize) -> Holder {
        Holder {
            limit,
            shards,
            terms: History::new(terms),
            pause: pause(&terms.rate),
            ends: Tick::NEVER,
            table: Table::new(keys_max.max(1)),
            outbox: VecDeque::new(),
            alone: shards.alone() && !terms.rate.is_leased(),
            ahead: Lease::of(terms.rate.burst(), shards.count).ahead,
            behind: SmallVec::new(),
            held: 0,
            forgotten: None,
            counts: HolderCounts::default(),
        }
    }

    /// From now on it remembers what is left of keys that are given up.
    pub(crate) fn remember_forgotten(&mut self) {
        self.forgotten = Some(Forgotten::default());
    }

    /// Tries to take `cost` tokens of `key` for a request that just came. A cost above the burst is never admitted.
    /// `terms` are the key's own, or those of the limit.
    pub(crate) fn take(&mut self, key: u64, terms: &Terms, cost: u32, now: Tick) -> Taken {
        let found = self.table.locate(key).or_else(|| self.make_entry(key, terms, now));
        let Some(at) = found else {
            self.counts.no_room += 1;
            return Taken::NoRoom;
        };
        self.learn(at, terms, now);
        let entry = self.table.at(at);
        entry.used = now;
        // With one shard nobody asks how much is wanted here.
        if !self.alone {
            entry.demand.count(cost, now);
        }
        self.settle(key, at, cost, now)
    }

    /// Tries again for a request that waited, after a grant arrived.
    pub(crate) fn retake(&mut self, key: u64, terms: &Terms, cost: u32, now: Tick) -> Taken {
        let Some(at) = self.table.locate(key) else { return self.take(key, terms, cost, now) };
        self.learn(at, terms, now);
        let entry = self.table.at(at);
        entry.retaking = entry.retaking.saturating_sub(cost);
        self.settle(key, at, cost, now)
    }

    /// Takes what is here for a request that has waited long enough. Slots refilled meanwhile, though no answer came.
    pub(crate) fn take_here(&mut self, key: u64, cost: u32, now: Tick) -> Option<LimitState> {
        let at = self.table.locate(key)?;
        let terms = self.terms_at(at);
        let rate = terms.rate;
        let entry = self.table.at(at);
        entry.waiting = entry.waiting.saturating_sub(cost);
        if entry.version != terms.version
            || !(entry.debt == 0 || entry.pay(&rate, now))
            || !entry.meter.take(&rate, cost, now)
        {
            return None;
        }
        self.counts.admitted += u64::from(cost);
        Some(standing(&mut entry.meter, &rate, self.ends, now))
    }

    /// Does somebody wait for the answer to an `Ask` for this key?
    pub(crate) fn is_asked(&self, key: u64) -> bool {
        self.table.locate(key).is_some_and(|at| self.table.look(at).asked.is_some())
    }

    /// A window of a counted rate began; it lasts until `ends`.
    pub(crate) fn turn(&mut self, began: Tick, ends: Tick) {
        self.terms.turn(began);
        self.ends = ends;
    }

    /// How long until there is so much of a key here, if nobody else takes any; nothing where a window has to end.
    pub(crate) fn wait(&mut self, key: u64, cost: u32, now: Tick) -> Duration {
        let Some(at) = self.table.locate(key) else { return Duration::ZERO };
        let rate = self.rate_at(at);
        let entry = self.table.at(at);
        if rate.is_counted() { Duration::ZERO } else { entry.meter.wait(&rate, cost.saturating_add(entry.debt), now) }
    }

    /// See `Part::delay`.
    pub(crate) fn delay(&mut self, key: u64, free: u32, now: Tick) -> Duration {
        let rate = self.terms.current.rate;
        self.table.find(key).map_or(Duration::ZERO, |entry| entry.meter.delay(&rate, free, now))
    }

    /// The terms in force.
    pub(crate) fn terms(&self) -> Terms {
        self.terms.current
    }

    /// A message from the home of its key. Returns true where requests that wait for the key should `retake` now.
    pub(crate) fn receive(&mut self, message: &Message, now: Tick) -> bool {
        self.set_terms(message.terms, now);
        match message.body {
            Body::Grant { piece } => {
                self.grant(message.key, piece, message.terms, now);
                true
            }
            Body::NoRoom => {
                self.refuse(message.key, now);
                true
            }
            Body::Recall { need, asking, others } => {
                self.recall(message.key, &message.terms, Recall { need, asking, others }, now);
                false
            }
            // These are for homes, and for bans.
            Body::Ask { .. } | Body::Return { .. } | Body::Banned => false,
        }
    }

    /// A home is far behind with its messages: until `until` no slots are sent back to it that can stay here.
    pub(crate) fn spare_home(&mut self, home: ShardId, until: Tick) {
        match self.behind.iter_mut().find(|(known, _)| *known == home) {
            Some((_, known)) => *known = until,
            None => self.behind.push((home, until)),
        }
    }

    /// Looks at up to `count` keys and gives up those that are idle. Call it regularly, so that memory and slots come
    /// back.
    pub(crate) fn sweep(&mut self, count: usize, now: Tick) {
        self.behind.retain(|(_, until)| now < *until);
        for _ in 0..count.min(self.table.len()) {
            let Some((key, at)) = self.table.step() else { break };
            self.renew(at, now);
            let rate = self.rate_at(at);
            let alone = self.alone;
            let trims = alone && self.terms.basis == Basis::Key;
            let entry = self.table.at(at);
            if trims {
                entry.trim(&rate, now);
            }
            let idle = now >= entry.used.after(IDLE) && entry.asked.is_none() && entry.held == 0;
            if entry.debt > 0 && !entry.pay(&rate, now) {
                if !alone {
                    self.ask(key, at, 0, now);
                }
                continue;
            }
            // With one shard, a key that is forgotten must be as good as new.
            if idle && (!alone || entry.meter.is_full(&rate, now)) && !self.is_behind(key, now) {
                self.forget(key);
            }
        }
        self.table.shrink();
    }

    /// The next message to the home of its key, if any.
    pub(crate) fn message(&mut self) -> Option<Message> {
        self.outbox.pop_front()
    }

    /// Is there a message?
    pub(crate) fn has_messages(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// How many keys it has slots of, or has asked for.
    pub(crate) fn keys(&self) -> usize {
        self.table.len()
    }

    /// What happened since the last call.
    pub(crate) fn take_counts(&mut self) -> HolderCounts {
        std::mem::take(&mut self.counts)
    }

    /// Slots of a key that it has or that requests hold, under whatever terms.
    pub(crate) fn slots_of(&self, key: u64) -> u32 {
        let entry = self.table.locate(key).map(|at| self.table.look(at));
        entry.map_or(0, |entry| entry.meter.slots() + entry.held)
    }

    /// Slots held of a key.
    #[cfg(test)]
    pub(crate) fn slots(&mut self, key: u64) -> Meter {
        self.table.find(key).map_or(Meter::EMPTY, |entry| entry.meter)
    }

    fn settle(&mut self, key: u64, at: usize, cost: u32, now: Tick) -> Taken {
        if self.table.at(at).version != self.terms.current.version {
            self.renew(at, now);
        }
        let rate = self.rate_at(at);
        let trims = self.alone && self.terms.basis == Basis::Key;
        let entry = self.table.at(at);
        if trims {
            entry.trim(&rate, now);
        }
        let admitted = (entry.debt == 0 || entry.pay(&rate, now)) && entry.meter.take(&rate, cost, now);
        let left = standing(&mut entry.meter, &rate, self.ends, now);
        let elsewhere = entry.lacks_slots(&rate);
        if admitted {
            self.counts.admitted += u64::from(cost);
            let low = match rate.is_leased() {
                true => self.asks_at(&rate).is_some_and(|ahead| left.left <= ahead),
                false => entry.is_low(left.left, now),
            };
            if elsewhere && low {
                self.ask(key, at, 0, now);
            }
            return Taken::Yes(left);
        }
        if elsewhere && cost <= rate.burst() && self.ask(key, at, cost, now) {
            self.counts.waited += 1;
            return Taken::Wait;
        }
        if elsewhere && self.table.at(at).crowded {
            self.counts.no_room += 1;
            return Taken::NoRoom;
        }
        self.counts.refused += 1;
        Taken::No(left)
    }

    /// Asks for tokens, of which a request waits for `waiting`. True where an answer is to come, to this or to an
    /// earlier question.
    fn ask(&mut self, key: u64, at: usize, waiting: u32, now: Tick) -> bool {
        let entry = self.table.at(at);
        if entry.asked.is_some() {
            entry.waiting = entry.waiting.saturating_add(waiting);
            return true;
        }
        if now < entry.ask_after {
            return false;
        }
        // Those that waited with this one and will try again after it need theirs too.
        let need = waiting.saturating_add(entry.retaking).max(entry.debt);
        let need = NonZeroU32::new(need).unwrap_or(NonZeroU32::MIN);
        entry.asked = Some(need);
        entry.waiting = waiting;
        let demand = entry.demand.estimate(now);
        let terms = self.terms_at(at);
        self.table.at(at).look_after = now.after(self.pause_of(&terms.rate));
        self.say(key, terms, Body::Ask { need: need.get(), demand });
        true
    }

    fn grant(&mut self, key: u64, piece: Meter, terms: Terms, now: Tick) {
        let Some(at) = self.table.locate(key) else {
            // Only an entry that asked is granted to, and such entries stay; but slots must not get lost in any case.
            return self.send_back(key, piece, terms);
        };
        self.renew(at, now);
        self.learn(at, &terms, now);
        let current = self.terms_at(at);
        let outdated = match self.terms.basis {
            Basis::Limit => terms.version != current.version,
            // Its slots are as good as any, where it may still have so many.
            Basis::Key => terms.version < current.version && terms.rate.burst() > current.rate.burst(),
        };
        if outdated {
            let known_by = if self.terms.basis == Basis::Key { current } else { terms };
            self.send_back(key, piece, known_by);
        }
        let rate = current.rate;
        let pause = self.pause_of(&rate);
        let entry = self.table.at(at);
        let asked = entry.asked.take();
        entry.crowded = false;
        entry.retaking = std::mem::take(&mut entry.waiting);
        entry.ask_after = now;
        if outdated {
            return;
        }
        entry.meter.merge(&rate, piece, now);
        if piece.slots() > 0 {
            entry.granted = now;
        }
        let tokens = entry.meter.tokens(&rate, now);
        // The home gives less than was needed only where no shard has more. A window that begins changes that.
        if tokens < asked.map_or(1, |need| need.get().min(rate.burst())) {
            entry.ask_after = now.after(pause).min(self.ends.max(now));
        }
        if entry.debt > 0 {
            entry.pay(&rate, now);
        }
        let owed = std::mem::take(&mut entry.owed);
        let paid = owed.min(entry.meter.tokens(&rate, now));
        if paid > 0 && entry.meter.take(&rate, paid, now) {
            self.counts.admitted += u64::from(paid);
        }
        self.counts.unpaid += u64::from(owed - paid);
    }

    /// The home has no room for the key: nobody asks again for a while.
    fn refuse(&mut self, key: u64, now: Tick) {
        let Some(entry) = self.table.find(key) else { return };
        entry.asked = None;
        entry.crowded = true;
        entry.ask_after = now.after(CROWDED_PAUSE);
        entry.retaking = std::mem::take(&mut entry.waiting);
        entry.owed = 0;
    }

    /// The home wants slots back for a shard that starves. It always gets an answer, even one without slots.
    fn recall(&mut self, key: u64, terms: &Terms, recall: Recall, now: Tick) {
        let (mut piece, mut demand, mut under) = (Meter::EMPTY, 0, self.terms.current);
        if self.terms.basis == Basis::Key {
            under = *terms;
        }
        if let Some(at) = self.table.locate(key) {
            self.renew(at, now);
            self.learn(at, terms, now);
            under = self.terms_at(at);
            let rate = under.rate;
            let entry = self.table.at(at);
            piece = entry.spare(&rate, recall, now);
            demand = entry.demand.estimate(now);
        }
        self.say(key, under, Body::Return { piece, demand, cause: Cause::Recalled });
    }

    fn make_entry(&mut self, key: u64, terms: &Terms, now: Tick) -> Option<usize> {
        if self.table.is_at_cap() && !self.make_room(now) {
            return None;
        }
        let terms = match self.terms.basis {
            Basis::Limit => self.terms.current,
            Basis::Key => self.terms.of_key(terms.version, terms.rate.own()),
        };
        let rate = terms.rate;
        let meter = match &self.forgotten {
            _ if !self.alone => Meter::EMPTY,
            Some(forgotten) => forgotten.start(key, &rate, now),
            None => Meter::full(&rate, now),
        };
        Some(self.table.insert(key, Entry::new(meter, &terms, now)))
    }

    /// Gives up one key of those under the hand. With one shard the fullest, whose loss lets the fewest requests pass
    /// that the limit would refuse; with several the one that was not used for longest and that nobody waits for,
    /// because its slots go home and nothing is lost.
    fn make_room(&mut self, now: Tick) -> bool {
        let alone = self.alone;
        let mut best: Option<(u128, u64)> = None;
        for _ in 0..LOOKS.min(self.table.len()) {
            let Some((key, at)) = self.table.step() else { break };
            self.renew(at, now);
            if self.is_behind(key, now) {
                continue;
            }
            let rate = self.rate_at(at);
            let entry = self.table.at(at);
            if entry.asked.is_some() || entry.held > 0 {
                continue;
            }
            let worth = if alone { entry.missing(&rate, now) } else { u128::from(entry.used.nanos()) };
            if best.is_none_or(|(least, _)| worth < least) {
                best = Some((worth, key));
            }
        }
        let Some((worth, key)) = best else { return false };
        // Few have a rate of their own, so that none need be forgotten that has used something.
        if alone && worth > 0 && self.terms.basis == Basis::Key {
            return false;
        }
        let rate = self.terms.current.rate;
        self.counts.given_up += u64::from(alone && worth > 0);
        if let (Some(forgotten), Some(entry)) = (&mut self.forgotten, self.table.find(key).filter(|_| alone)) {
            forgotten.note(key, entry.meter, &rate, now);
        }
        self.forget(key);
        true
    }

    fn is_behind(&self, key: u64, now: Tick) -> bool {
        !self.behind.is_empty() && {
            let home = self.shards.home(key);
            self.behind.iter().any(|(known, until)| *known == home && now < *until)
        }
    }

    fn forget(&mut self, key: u64) {
        let Some(entry) = self.table.remove(key) else { return };
        let terms = self.terms.of_key(entry.version, entry.own);
        self.send_back(key, entry.meter, terms);
    }

    fn send_back(&mut self, key: u64, piece: Meter, terms: Terms) {
        if !self.alone && piece.slots() > 0 {
            self.say(key, terms, Body::Return { piece, demand: 0, cause: Cause::Idle });
        }
    }

    fn say(&mut self, key: u64, terms: Terms, body: Body) {
        self.outbox.push_back(Message { limit: self.limit, key, terms, body });
    }
}

/// A key that nobody used for this long goes back to its home.
const IDLE: Duration = Duration::from_secs(2);
/// A home without room is asked again after this.
const CROWDED_PAUSE: Duration = Duration::from_millis(10);
/// Entries looked at to find one that can go.
const LOOKS: usize = 32;
