//! Hot. A shard's part of the limits of one policy: admits from the slots it holds, asks for more, gives back.
//!
//! With one shard there is nobody to share with: every key starts with all slots, and no message is ever sent.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::Tick;
use crate::base::limits::LEASE_OUTBOX_MAX;
use crate::policy::limit::gcra::{Meter, Rate};
use crate::policy::limit::table::Table;
use crate::policy::limit::{Cause, Demand, Grant, LeaseRequest, LimitId, Recall, ShardId};

/// One policy's keys on one shard.
#[derive(Debug)]
pub struct Holder {
    limit: LimitId,
    rate: Rate,
    shard: ShardId,
    alone: bool,
    pause: Duration,
    table: Table<Entry>,
    outbox: VecDeque<LeaseRequest>,
    counters: HolderCounters,
}

/// What happened on one shard since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HolderCounters {
    /// Keys held now.
    pub keys: usize,
    /// Tokens admitted.
    pub admitted: u64,
    /// Requests refused because the limit is used up.
    pub refused: u64,
    /// Requests that had to wait for a grant.
    pub waited: u64,
    /// Requests for whose key there was no room.
    pub table_full: u64,
    /// Messages sent.
    pub messages: u64,
}

/// What became of a try to take tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Admitted.
    Yes(Standing),
    /// The limit is used up.
    No(Standing),
    /// Other shards may have tokens: a grant for the key is on its way.
    Wait,
    /// There is no room for one more key, because every key in the table is still limited. The caller's plan says what
    /// then.
    TableFull,
}

/// Where a key stands after a try, as this shard knows it; other shards may hold more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whole tokens left here.
    pub left: u32,
    /// Until there is one more, if nobody else takes it.
    pub next: Duration,
}

#[derive(Debug)]
struct Entry {
    meter: Meter,
    demand: Demand,
    used: Tick,
    /// When it last got slots.
    granted: Tick,
    /// An `Ask` for so many tokens is under way.
    asked: Option<u32>,
    /// Not before this may it ask again.
    ask_after: Tick,
    /// Tokens that requests wait for since the last grant, and those that they waited for before it and have not tried
    /// for again.
    waiting: u32,
    retaking: u32,
    /// Not before this does it ask because it is half empty.
    look_after: Tick,
    spent: u32,
}

impl Holder {
    /// Nothing held yet. `keys_max` bounds the table.
    pub fn new(limit: LimitId, rate: Rate, shard: ShardId, shards: u32, keys_max: usize) -> Holder {
        Holder {
            limit,
            rate,
            shard,
            alone: shards <= 1,
            pause: (rate.fill_time() / PAUSE_PARTS).clamp(PAUSE_MIN, PAUSE_MAX),
            table: Table::new(keys_max.max(1)),
            outbox: VecDeque::new(),
            counters: HolderCounters::default(),
        }
    }

    /// Tries to take `cost` tokens of `key` for a request that just came. A cost above the burst is never admitted.
    pub fn take(&mut self, key: u64, cost: u32, now: Tick) -> Taken {
        if self.table.find(key).is_none() && !self.make_entry(key, now) {
            self.counters.table_full += 1;
            return Taken::TableFull;
        }
        let Some(entry) = self.table.find(key) else { return Taken::TableFull };
        entry.used = now;
        entry.demand.count(cost, now);
        self.settle(key, cost, now)
    }

    /// Tries again for a request that waited, after a grant arrived.
    pub fn retake(&mut self, key: u64, cost: u32, now: Tick) -> Taken {
        match self.table.find(key) {
            Some(entry) => entry.retaking = entry.retaking.saturating_sub(cost),
            None => return self.take(key, cost, now),
        }
        self.settle(key, cost, now)
    }

    /// Where the key stands, without taking anything.
    pub fn standing(&mut self, key: u64, now: Tick) -> Standing {
        let rate = self.rate;
        match self.table.find(key) {
            Some(entry) => standing(&mut entry.meter, &rate, now),
            None => Standing { left: 0, next: Duration::ZERO },
        }
    }

    /// A grant arrived. Requests that wait for the key should `retake` now.
    pub fn grant(&mut self, grant: Grant, now: Tick) {
        let (rate, pause) = (self.rate, self.pause);
        let Some(entry) = self.table.find(grant.key) else {
            // Only an entry that asked is granted to, and such entries stay; but slots must not get lost in any case.
            return self.send_back(grant.key, grant.piece);
        };
        entry.meter.merge(&rate, grant.piece, now);
        if grant.piece.slots() > 0 {
            entry.granted = now;
        }
        // Less than was needed is all there is, anywhere.
        let dry = entry.meter.tokens(&rate, now) < entry.asked.map_or(1, |need| need.min(rate.burst()));
        entry.ask_after = if dry { now.after(pause) } else { now };
        entry.asked = None;
        entry.retaking = std::mem::take(&mut entry.waiting);
    }

    /// The account wants slots back for a shard that starves. Always answered, if with nothing.
    pub fn recall(&mut self, recall: Recall, now: Tick) {
        let rate = self.rate;
        let mut answer = LeaseRequest {
            limit: self.limit,
            key: recall.key,
            shard: self.shard,
            cause: Cause::Recalled,
            returned: Meter::EMPTY,
            demand: 0,
            spent: 0,
        };
        if let Some(entry) = self.table.find(recall.key) {
            answer.returned = entry.spare(&rate, recall, now);
            answer.demand = entry.demand.estimate(now);
            answer.spent = std::mem::take(&mut entry.spent);
        }
        self.outbox.push_back(answer);
    }

    /// Looks at up to `count` keys and gives up those that are idle. Call it regularly, so that memory and slots come
    /// back.
    pub fn sweep(&mut self, count: usize, now: Tick) {
        let rate = self.rate;
        for _ in 0..count.min(self.table.len()) {
            let Some((key, entry)) = self.table.step() else { return };
            let idle = now >= entry.used.after(IDLE) && entry.asked.is_none();
            // With one shard, a key that is forgotten must be as good as new.
            if idle && (!self.alone || entry.meter.is_full(&rate, now)) && self.outbox.len() < LEASE_OUTBOX_MAX {
                self.forget(key);
            }
        }
    }

    /// The next message to the account, if any. `sent` removes it once it is on its way.
    pub fn message(&self) -> Option<LeaseRequest> {
        self.outbox.front().copied()
    }

    /// The message that `message` showed is on its way.
    pub fn sent(&mut self) {
        if self.outbox.pop_front().is_some() {
            self.counters.messages += 1;
        }
    }

    /// Slots held.
    #[cfg(test)]
    pub fn slots(&mut self, key: u64) -> u64 {
        self.table.find(key).map_or(0, |entry| entry.meter.slots().into())
    }

    /// What happened so far.
    pub fn counters(&self) -> HolderCounters {
        HolderCounters { keys: self.table.len(), ..self.counters }
    }

    fn settle(&mut self, key: u64, cost: u32, now: Tick) -> Taken {
        let rate = self.rate;
        let Some(entry) = self.table.find(key) else { return Taken::TableFull };
        let admitted = entry.meter.take(&rate, cost, now);
        let left = standing(&mut entry.meter, &rate, now);
        let elsewhere = entry.meter.slots() < rate.burst();
        if admitted {
            entry.spent = entry.spent.saturating_add(cost);
            self.counters.admitted += u64::from(cost);
            if elsewhere && entry.is_low(left.left, now) {
                self.ask(key, 1, now);
            }
            return Taken::Yes(left);
        }
        if elsewhere && cost <= rate.burst() && self.ask(key, cost, now) {
            self.counters.waited += 1;
            return Taken::Wait;
        }
        self.counters.refused += 1;
        Taken::No(left)
    }

    /// Asks for tokens. True where an answer is to come, to this or to an earlier question.
    fn ask(&mut self, key: u64, cost: u32, now: Tick) -> bool {
        let pause = self.pause;
        let Some(entry) = self.table.find(key) else { return false };
        if entry.asked.is_some() {
            entry.waiting = entry.waiting.saturating_add(cost);
            return true;
        }
        if now < entry.ask_after {
            return false;
        }
        // Those that waited with this one and will try again after it need theirs too.
        let need = cost.saturating_add(entry.retaking);
        entry.asked = Some(need);
        entry.waiting = cost;
        entry.look_after = now.after(pause);
        let demand = entry.demand.estimate(now);
        let request = LeaseRequest {
            limit: self.limit,
            key,
            shard: self.shard,
            cause: Cause::Ask { need },
            returned: Meter::EMPTY,
            demand,
            spent: std::mem::take(&mut entry.spent),
        };
        self.outbox.push_back(request);
        true
    }

    fn make_entry(&mut self, key: u64, now: Tick) -> bool {
        if self.table.is_at_cap() && !self.make_room(now) {
            return false;
        }
        let meter = if self.alone { Meter::full(&self.rate, now) } else { Meter::EMPTY };
        let entry = Entry {
            meter,
            demand: Demand::default(),
            used: now,
            granted: now,
            asked: None,
            ask_after: now,
            waiting: 0,
            retaking: 0,
            look_after: now,
            spent: 0,
        };
        self.table.insert(key, entry);
        true
    }

    /// Gives up one key. Those that are full again are as good as new, and go first; with several shards any key that
    /// does not wait may go, because the account remembers it. A limited key is never forgotten.
    fn make_room(&mut self, now: Tick) -> bool {
        let rate = self.rate;
        if self.outbox.len() >= LEASE_OUTBOX_MAX {
            return false;
        }
        let mut oldest: Option<(Tick, u64)> = None;
        for _ in 0..EVICTION_LOOKS.min(self.table.len()) {
            let Some((key, entry)) = self.table.step() else { break };
            if entry.asked.is_some() {
                continue;
            }
            if entry.meter.is_full(&rate, now) {
                self.forget(key);
                return true;
            }
            if !self.alone && oldest.is_none_or(|(used, _)| entry.used < used) {
                oldest = Some((entry.used, key));
            }
        }
        if let Some((_, key)) = oldest {
            self.forget(key);
        }
        oldest.is_some()
    }

    fn forget(&mut self, key: u64) {
        let Some(entry) = self.table.remove(key) else { return };
        if !self.alone && entry.meter.slots() > 0 {
            self.send_back(key, entry.meter);
        }
    }

    fn send_back(&mut self, key: u64, piece: Meter) {
        self.outbox.push_back(LeaseRequest {
            limit: self.limit,
            key,
            shard: self.shard,
            cause: Cause::Idle,
            returned: piece,
            demand: 0,
            spent: 0,
        });
    }
}

impl Entry {
    /// Should it ask before it runs dry? When what is left is soon used up; and now and then when it is half empty,
    /// because slots that are full elsewhere gain nothing while the tokens are used here.
    fn is_low(&mut self, left: u32, now: Tick) -> bool {
        let half_empty = left < self.meter.slots() / 2 && now >= self.look_after;
        half_empty || left < (self.demand.estimate(now) / LOW_WATER_PARTS).max(1)
    }

    /// Cuts off what it can spare: the asking shard's part of the tokens by demand, but as many as it needs at once, if
    /// there are so many; and slots beyond the share of the demand here, which is everything where nobody wants any.
    fn spare(&mut self, rate: &Rate, recall: Recall, now: Tick) -> Meter {
        let (slots, tokens) = (self.meter.slots(), self.meter.tokens(rate, now));
        let own = self.demand.estimate(now);
        let total = u64::from(own) + u64::from(recall.others.max(recall.asking).max(1));
        let exact = u64::from(rate.burst()) * u64::from(own);
        // A share is seldom whole. What is left over is kept for a while and then passed on, so that it goes round.
        let held_long = now >= self.granted.after(HOLD);
        let share = if held_long { exact / total } else { exact.div_ceil(total) };
        let over_share = slots.saturating_sub(u32::try_from(share).unwrap_or(u32::MAX));
        let part = u64::from(tokens) * u64::from(recall.asking) / total;
        // Below `tokens`, because `asking` is below `total`.
        let moved = (part as u32).max(recall.need.min(tokens));
        self.meter.split(rate, over_share.max(moved), tokens - moved, now)
    }
}

fn standing(meter: &mut Meter, rate: &Rate, now: Tick) -> Standing {
    Standing { left: meter.tokens(rate, now), next: meter.next_token(rate, now) }
}

/// A key that nobody used for this long goes back to the account.
const IDLE: Duration = Duration::from_secs(2);
/// After a grant that was less than needed, a shard refuses without asking for this part of the time in which a slot
/// fills. It bounds the messages about a key that is used up; longer lets slots elsewhere stand full for longer, which
/// loses what they would gain.
const PAUSE_PARTS: u32 = 16;
const PAUSE_MIN: Duration = Duration::from_micros(250);
const PAUSE_MAX: Duration = Duration::from_millis(64);
/// A shard asks in advance when what is left is less than what it needs in this part of an `EPOCH` (8 ms).
const LOW_WATER_PARTS: u32 = 8;
/// A fraction of a slot above the share is kept this long. Shorter loses more to messages, longer starves the other
/// shard longer.
const HOLD: Duration = Duration::from_millis(25);
/// Entries looked at to find one that can go.
const EVICTION_LOOKS: usize = 32;
