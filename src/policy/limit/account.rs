// SPDX-License-Identifier: Apache-2.0
//! The homes' part: who holds which slots of every key, and who gets them next. Pure; one owner, no lock.

mod own;

use smallvec::SmallVec;

use crate::base::Tick;
use crate::base::canary::{self, Flaw};
use crate::policy::limit::demand::EPOCH;
use crate::policy::limit::forgotten::Forgotten;
use crate::policy::limit::gcra::{FILL_BITS, Meter, Own, Rate};
use crate::policy::limit::ids::{LimitId, ShardId};
use crate::policy::limit::message::{Body, Cause, Message};
use crate::policy::limit::table::Table;
use crate::policy::limit::terms::{Basis, History, Terms};

/// The accounts of one limit's keys whose home is one shard.
#[derive(Debug)]
pub(crate) struct Accounts {
    limit: LimitId,
    terms: History,
    table: Table<Account>,
    accounts_max: usize,
    /// What is left of keys that were given up, where that is remembered.
    forgotten: Option<Forgotten>,
    counts: AccountCounts,
}

/// What happened since the counts were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccountCounts {
    /// Accounts that were forgotten before they were full again.
    pub given_up: u64,
}

/// Messages to shards.
pub(crate) type Replies = Vec<(ShardId, Message)>;

/// One key.
#[derive(Debug)]
struct Account {
    /// Slots that no shard has.
    free: Meter,
    /// Under which terms they are.
    version: u64,
    questions: u32,
    shares: SmallVec<[Share; 2]>,
    /// What most accounts have not.
    rare: Option<Box<Rare>>,
}

/// What most accounts have not.
#[derive(Debug, Default)]
struct Rare {
    /// Slots that shards had under older terms and have not returned.
    older: Box<[OlderShare]>,
    /// What its rate has of its own, where keys have such.
    own: Own,
    /// It has fewer slots than before, and shards have not been asked for theirs yet.
    shrinks: bool,
}

/// What the account knows of one shard.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// As of `heard`.
    demand: u32,
    heard: Tick,
    shard: ShardId,
    /// Slots that it has, under the account's terms.
    slots: u32,
    /// An `Ask` that is not answered yet: the number of the question, and what is needed. 0: none.
    question: u32,
    need: u32,
    /// So many of the other shards were asked to spare something for it.
    disturbed: u16,
    /// It was asked to spare something and has not answered.
    recalled: bool,
}

/// Slots that a shard had under older terms. They count as their part of the limit until they are returned.
#[derive(Clone, Copy, Debug)]
struct OlderShare {
    shard: ShardId,
    version: u64,
    burst: u32,
    slots: u32,
}

impl Accounts {
    /// No keys yet. `accounts_max` bounds them: above it, the fullest of those that no shard has slots of are given up.
    /// Only accounts that shards have slots of may exceed it, by `LENT_MAX`.
    pub(crate) fn new(limit: LimitId, terms: Terms, accounts_max: usize) -> Accounts {
        let accounts_max = accounts_max.max(1);
        Accounts {
            limit,
            terms: History::new(terms),
            table: Table::new(accounts_max),
            accounts_max,
            forgotten: None,
            counts: AccountCounts::default(),
        }
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
        if !self.terms.is_long() {
            return;
        }
        let history = &self.terms;
        self.table.iter_mut().for_each(|(_, account)| account.renew(history, now));
        self.terms.forget_older();
    }

    /// From now on it remembers what is left of keys that are given up.
    pub(crate) fn remember_forgotten(&mut self) {
        self.forgotten = Some(Forgotten::default());
    }

    /// A window of a counted rate began.
    pub(crate) fn turn(&mut self, began: Tick) {
        self.terms.turn(began);
    }

    /// Takes in a shard's message; appends the answers, each with the shard that it is for.
    pub(crate) fn receive(&mut self, from: ShardId, message: &Message, now: Tick, out: &mut Replies) {
        self.set_terms(message.terms, now);
        let asks = matches!(message.body, Body::Ask { .. });
        let at = match self.table.locate(message.key) {
            Some(at) => at,
            // Nothing was lent of a key without account, so there is nothing to take back.
            None if !asks => return,
            None if self.has_room(now) => {
                let terms = match self.terms.basis {
                    Basis::Limit => self.terms.current,
                    Basis::Key => self.terms.of_key(message.terms.version, message.terms.rate.own()),
                };
                let free = match &self.forgotten {
                    Some(forgotten) => forgotten.start(message.key, &terms.rate, now),
                    None => Meter::full(&terms.rate, now),
                };
                let account = Account::new(free, &terms, self.terms.basis);
                self.table.insert(message.key, account)
            }
            None => return out.push((from, self.message(message.key, Body::NoRoom))),
        };
        let account = self.table.at(at);
        account.renew(&self.terms, now);
        account.learn(&self.terms, &message.terms, now);
        let terms = account.terms(&self.terms);
        account.note((&terms, self.terms.basis), from, message, now);
        self.settle(message.key, at, now, out);
    }

    /// Looks at up to `count` accounts and forgets those that are as good as new: all slots home and full.
    pub(crate) fn sweep(&mut self, count: usize, now: Tick) {
        for _ in 0..count.min(self.table.len()) {
            let Some((key, at)) = self.table.step() else { break };
            let account = self.table.at(at);
            account.renew(&self.terms, now);
            let rate = account.terms(&self.terms).rate;
            account.trim(&rate, now);
            if account.is_home() && account.free.is_full(&rate, now) {
                self.table.remove(key);
            }
        }
        self.table.shrink();
    }

    /// A key may have its whole limit again: what is here of it is full.
    pub(crate) fn reset(&mut self, key: u64, now: Tick) {
        let Some(account) = self.table.find(key) else { return };
        account.renew(&self.terms, now);
        let rate = account.terms(&self.terms).rate;
        account.free.fill_up(&rate, now);
    }

    /// How many keys have an account.
    pub(crate) fn keys(&self) -> usize {
        self.table.len()
    }

    /// What happened since the last call.
    pub(crate) fn take_counts(&mut self) -> AccountCounts {
        std::mem::take(&mut self.counts)
    }

    /// Does each key have at most the limit's slots, free and lent together? Does `own`, the shard of these accounts,
    /// hold what was lent to it, under whatever terms? `held` says what it holds of a key. Nothing is under way between
    /// the two, because they talk without messages.
    pub(crate) fn check(&self, own: ShardId, held: impl Fn(u64) -> u32) -> Result<(), &'static str> {
        for (key, account) in self.table.iter() {
            let burst = match self.terms.basis {
                Basis::Limit => self.terms.of(account.version),
                Basis::Key => account.terms(&self.terms),
            };
            let burst = burst.rate.burst();
            let lent: u64 = account.shares.iter().map(|share| u64::from(share.slots)).sum();
            let free = u64::from(account.free.slots());
            // What is still lent under older terms may stand for more than a smaller burst; then nothing is free.
            if self.terms.basis == Basis::Key {
                // One with fewer slots than before has more until they are full.
                if free + lent < u64::from(burst) {
                    return Err("an account has fewer slots than its limit");
                }
            } else if free > 0 && free + lent + u64::from(account.reserved(burst)) > u64::from(burst) {
                return Err("an account has more slots than its limit");
            }
            let shares = account.shares.iter().map(|share| (share.shard, share.slots));
            let older = account.older().iter().map(|share| (share.shard, share.slots));
            let lent = shares.chain(older).filter(|(shard, _)| *shard == own);
            if lent.map(|(_, slots)| u64::from(slots)).sum::<u64>() != u64::from(held(*key)) {
                return Err("an account lent its own shard other slots than that has");
            }
        }
        Ok(())
    }

    /// Slots that are free, and lent under the account's own terms; and how many of the limit's slots those stand for
    /// that were lent under older terms.
    #[cfg(test)]
    pub(crate) fn slots(&mut self, key: u64, now: Tick) -> (u64, u64, u64) {
        let burst = self.terms.current.rate.burst();
        let Some(account) = self.table.find(key) else { return (0, 0, 0) };
        account.renew(&self.terms, now);
        let lent = account.shares.iter().map(|share| u64::from(share.slots)).sum();
        (account.free.slots().into(), lent, account.reserved(burst).into())
    }

    /// Is there room for another account, perhaps for one that is given up?
    fn has_room(&mut self, now: Tick) -> bool {
        // One more than the newcomer needs, so that lent accounts above the cap come back to it.
        for _ in 0..2 {
            if !self.table.is_at_cap() || !self.give_up_one(now) {
                break;
            }
        }
        self.table.len() < self.accounts_max + LENT_MAX
    }

    /// Gives up the fullest account of those under the hand: its loss lets the fewest requests pass that the limit
    /// would refuse.
    fn give_up_one(&mut self, now: Tick) -> bool {
        let mut fullest: Option<(u128, u64, u64)> = None;
        for _ in 0..LOOKS.min(self.table.len()) {
            let Some((key, at)) = self.table.step() else { break };
            let account = self.table.at(at);
            account.renew(&self.terms, now);
            if !account.is_home() {
                continue;
            }
            let rate = account.terms(&self.terms).rate;
            let missing = account.free.missing(&rate, now);
            if fullest.is_none_or(|(least, ..)| missing < least) {
                fullest = Some((missing, account.free.fill(&rate, now), key));
            }
        }
        let Some((missing, fill, key)) = fullest else { return false };
        // Few have a rate of their own, so that none need be forgotten that has used something.
        if missing > 0 && self.terms.basis == Basis::Key {
            return false;
        }
        let rate = self.terms.current.rate;
        // Where most accounts are lent, the only one to give up may be used up. It stays while there is space.
        if fill < USED_UP && self.table.len() < self.accounts_max + LENT_MAX / 2 {
            return false;
        }
        self.counts.given_up += u64::from(missing > 0);
        if let (Some(account), Some(forgotten)) = (self.table.remove(key), &mut self.forgotten) {
            forgotten.note(key, account.free, &rate, now);
        }
        true
    }

    /// Answers questions in order, as far as it can now.
    fn settle(&mut self, key: u64, at: usize, now: Tick, out: &mut Replies) {
        let limit = self.limit;
        let account = self.table.at(at);
        let terms = account.terms(&self.terms);
        let message = |body| Message { limit, key, terms, body };
        if account.shrinks(&terms.rate, now, |shard, body| out.push((shard, message(body)))) {
            return;
        }
        while let Some(asker) = account.oldest_question() {
            let need = account.shares[asker].need;
            let enough = account.free.tokens(&terms.rate, now) >= need.min(terms.rate.burst());
            if !enough {
                account.recall(asker, now, |shard, body| out.push((shard, message(body))));
                if account.shares.iter().any(|share| share.recalled) {
                    return;
                }
            }
            let piece = account.cut(&terms.rate, need, now);
            let share = &mut account.shares[asker];
            share.question = 0;
            share.slots += piece.slots();
            out.push((share.shard, message(Body::Grant { piece })));
        }
    }

    fn message(&self, key: u64, body: Body) -> Message {
        Message { limit: self.limit, key, terms: self.terms.current, body }
    }
}

impl Account {
    fn new(free: Meter, terms: &Terms, basis: Basis) -> Account {
        let own = terms.rate.own();
        let rare = (basis == Basis::Key).then(|| Box::new(Rare { own, ..Rare::default() }));
        Account { free, version: terms.version, questions: 0, shares: SmallVec::new(), rare }
    }

    /// Slots that shards had under older terms and have not returned.
    fn older(&self) -> &[OlderShare] {
        self.rare.as_ref().map_or(&[], |rare| &rare.older)
    }

    fn set_older(&mut self, older: Box<[OlderShare]>) {
        self.rare = (!older.is_empty()).then(|| Box::new(Rare { older, ..Rare::default() }));
    }

    /// Slots that shards have, under the account's terms.
    fn lent(&self) -> u32 {
        self.shares.iter().map(|share| share.slots).sum()
    }

    /// Has no shard any of its slots, and does nobody ask for them?
    fn is_home(&self) -> bool {
        self.older().is_empty()
            && self.shares.iter().all(|share| share.slots == 0 && share.question == 0 && !share.recalled)
    }

    /// Brings it under the current terms: what is free becomes slots of the new rate, as full as before; what is lent
    /// does so when it comes back.
    fn renew(&mut self, history: &History, now: Tick) {
        let terms = history.current;
        if self.version == terms.version || history.basis == Basis::Key {
            return;
        }
        let old = history.of(self.version);
        let lent = self.shares.iter_mut().filter(|share| share.slots > 0).map(|share| OlderShare {
            shard: share.shard,
            version: old.version,
            burst: old.rate.burst(),
            slots: std::mem::take(&mut share.slots),
        });
        let before = self.rare.take().map(|rare| rare.older);
        let older = before.into_iter().flatten().chain(lent).collect();
        self.set_older(older);
        let fill = self.free.fill(&old.rate, now);
        let slots = terms.rate.burst().saturating_sub(self.reserved(terms.rate.burst()));
        self.free = Meter::filled(&terms.rate, slots, fill, now);
        self.version = terms.version;
    }

    /// How many slots of a burst those lent under older terms stand for.
    fn reserved(&self, burst: u32) -> u32 {
        let shares = self.older().iter();
        let parts =
            shares.map(|share| (u64::from(share.slots) * u64::from(burst)).div_ceil(u64::from(share.burst.max(1))));
        u32::try_from(parts.sum::<u64>()).unwrap_or(u32::MAX)
    }

    fn note(&mut self, (terms, basis): (&Terms, Basis), from: ShardId, message: &Message, now: Tick) {
        let at = self.shares.iter().position(|share| share.shard == from).unwrap_or_else(|| {
            self.shares.push(Share::new(from, now));
            self.shares.len() - 1
        });
        match message.body {
            Body::Ask { need, demand } => {
                // Wraps after 2^32 questions that one account outlived; 0 is no question.
                self.questions = self.questions.wrapping_add(1).max(1);
                let share = &mut self.shares[at];
                (share.question, share.need, share.disturbed) = (self.questions, need, 0);
                (share.demand, share.heard) = (demand, now);
            }
            Body::Return { piece, demand, cause } => {
                if basis == Basis::Key || message.terms.version == terms.version {
                    let share = &mut self.shares[at];
                    (share.demand, share.heard) = (demand, now);
                    // Slots that this account never lent do not count: they would be created.
                    if piece.slots() <= share.slots {
                        share.slots -= if canary::has(Flaw::LentSlots) { 0 } else { piece.slots() };
                        self.free.merge(&terms.rate, piece, now);
                    }
                } else {
                    self.take_back(terms, from, piece, message.terms, now);
                }
                if cause == Cause::Recalled {
                    self.shares[at].recalled = false;
                }
            }
            // These are for holders, and for bans.
            Body::Grant { .. } | Body::Recall { .. } | Body::NoRoom | Body::Banned => {}
        }
    }

    /// Slots of older terms came back: they become slots of the rate in force, as full as they were.
    fn take_back(&mut self, terms: &Terms, from: ShardId, mut piece: Meter, old: Terms, now: Tick) {
        let Some(older) = self.rare.as_mut().map(|rare| &mut rare.older) else { return };
        let of = |share: &&mut OlderShare| share.shard == from && share.version == old.version;
        let Some(share) = older.iter_mut().find(of) else { return };
        let Some(rest) = share.slots.checked_sub(piece.slots()) else { return };
        share.slots = rest;
        if rest == 0 {
            let kept = older.iter().filter(|share| share.slots > 0).copied().collect();
            self.set_older(kept);
        }
        let burst = terms.rate.burst();
        let lent = self.lent();
        let free = burst.saturating_sub(lent).saturating_sub(self.reserved(burst));
        let gained = free.saturating_sub(self.free.slots());
        let fill = piece.fill(&old.rate, now);
        self.free.merge(&terms.rate, Meter::filled(&terms.rate, gained, fill, now), now);
    }

    fn oldest_question(&self) -> Option<usize> {
        let asking = (0..self.shares.len()).filter(|at| self.shares[*at].question != 0);
        // Numbers wrap, so the oldest is the one farthest behind the newest.
        asking.max_by_key(|at| self.questions.wrapping_sub(self.shares[*at].question))
    }

    /// Asks the next of those that may have something to spare, each once for a question, and only once those that were
    /// asked before have answered.
    fn recall(&mut self, asker: usize, now: Tick, mut send: impl FnMut(ShardId, Body)) {
        let Share { need, demand: asking, disturbed, .. } = self.shares[asker];
        if disturbed > 0 && self.shares.iter().any(|share| share.recalled) {
            return;
        }
        let total: u64 = self.shares.iter().map(|share| u64::from(share.demand_at(now))).sum();
        let mut sent = 0;
        for at in usize::from(disturbed)..self.shares.len() {
            if sent == RECALLS_MAX {
                break;
            }
            self.shares[asker].disturbed += 1;
            let shard = self.shares[at].shard;
            let has_older = self.older().iter().any(|share| share.shard == shard);
            let share = &mut self.shares[at];
            if at == asker || share.recalled || (share.slots == 0 && !has_older) {
                continue;
            }
            sent += 1;
            share.recalled = true;
            let others = total.saturating_sub(u64::from(share.demand_at(now)));
            let others = u32::try_from(others).unwrap_or(u32::MAX);
            send(shard, Body::Recall { need, asking, others });
        }
    }

    /// All that is free for the only one that asks: what it does not use, others get by asking. Else a part for each.
    fn cut(&mut self, rate: &Rate, need: u32, now: Tick) -> Meter {
        let free = self.free.slots().saturating_sub(self.excess());
        let asking = self.shares.iter().filter(|share| share.question != 0).count() as u32;
        let slots = free.div_ceil(asking.max(1)).max(need).min(free);
        self.free.split(rate, slots, 0, now)
    }
}

impl Share {
    fn new(shard: ShardId, now: Tick) -> Share {
        Share { demand: 0, heard: now, shard, slots: 0, question: 0, need: 0, disturbed: 0, recalled: false }
    }

    /// Its demand; what was heard long ago no longer counts.
    fn demand_at(&self, now: Tick) -> u32 {
        if now >= self.heard.after(EPOCH.saturating_mul(2)) { 0 } else { self.demand }
    }
}

// Beside its key and its place in the table, which take about 30 bytes more.
const _: () = assert!(size_of::<Account>() <= 128);

/// Shards that are asked at once to spare something.
const RECALLS_MAX: usize = 16;
/// Below a quarter of what `Meter::fill` says of a full one, an account counts as used up.
const USED_UP: u64 = 1 << (FILL_BITS - 2);
/// Accounts looked at to find one that can go.
const LOOKS: usize = 32;
/// Accounts above the cap, all of keys that shards have slots of; above it newcomers get `NoRoom`. As many as messages
/// with slots may be on their way.
pub(crate) const LENT_MAX: usize = 4_096;
