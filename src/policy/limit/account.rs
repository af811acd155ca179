//! The control plane's part: who holds which slots of every key, and who gets them next. Pure; one owner, no lock.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::base::Tick;
use crate::policy::limit::gcra::{Meter, Rate};
use crate::policy::limit::{Cause, EPOCH, Grant, LeaseReply, LeaseRequest, LimitId, Recall, ShardId};

/// All accounts of a machine.
#[derive(Debug)]
pub struct Accounts {
    rates: HashMap<LimitId, Rate>,
    table: HashMap<(LimitId, u64), Account>,
    accounts_max: usize,
    swept: Tick,
    refused: u64,
    spent: u64,
}

/// One key of one limit.
#[derive(Debug)]
struct Account {
    free: Meter,
    shares: SmallVec<[Share; 4]>,
    questions: u64,
}

/// What the account knows of one shard.
#[derive(Clone, Copy, Debug)]
struct Share {
    shard: ShardId,
    slots: u32,
    /// As of `heard`.
    demand: u32,
    heard: Tick,
    recalled: bool,
    question: Option<Question>,
}

/// An `Ask` that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Question {
    number: u64,
    need: u32,
    /// The other shards were asked to spare something.
    recalled: bool,
}

impl Accounts {
    /// No limits yet. `accounts_max` bounds the keys over all limits that any shard has slots of, or that are not full
    /// again.
    pub fn new(accounts_max: usize) -> Accounts {
        Accounts {
            rates: HashMap::new(),
            table: HashMap::new(),
            accounts_max: accounts_max.max(1),
            swept: Tick::ZERO,
            refused: 0,
            spent: 0,
        }
    }

    /// The limits of a new plan. Accounts of limits that are gone are forgotten, the others stay. Tell it before the
    /// shards get the plan.
    pub fn set_limits(&mut self, limits: impl IntoIterator<Item = (LimitId, Rate)>) {
        self.rates = limits.into_iter().collect();
        let rates = &self.rates;
        self.table.retain(|(limit, _), _| rates.contains_key(limit));
    }

    /// Takes in a shard's message; appends the answers, each with the shard that it is for.
    pub fn receive(&mut self, request: LeaseRequest, now: Tick, out: &mut Vec<(ShardId, LeaseReply)>) {
        self.spent += u64::from(request.spent);
        let Some(rate) = self.rates.get(&request.limit).copied() else { return refuse(&request, out) };
        let id = (request.limit, request.key);
        if !self.table.contains_key(&id) && !self.has_room(now) {
            self.refused += 1;
            return refuse(&request, out);
        }
        let account = self.table.entry(id).or_insert_with(|| Account::new(&rate, now));
        account.note(&rate, &request, now);
        account.settle(&rate, id, now, out);
    }

    /// Forgets accounts that are as good as new: all slots home and full. Call it about once a second.
    pub fn sweep(&mut self, now: Tick) {
        self.swept = now;
        let rates = &self.rates;
        self.table.retain(|(limit, _), account| match rates.get(limit) {
            Some(rate) => !(account.free.slots() == rate.burst() && account.free.is_full(rate, now)),
            None => false,
        });
    }

    /// Keys that are remembered now.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True where no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Questions answered with nothing because there was no room for another account.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Tokens that shards reported as spent.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Slots that are free or lent, by its own books.
    #[cfg(test)]
    pub fn slots(&self, limit: LimitId, key: u64) -> (u64, u64) {
        let Some(account) = self.table.get(&(limit, key)) else { return (0, 0) };
        (account.free.slots().into(), account.shares.iter().map(|share| u64::from(share.slots)).sum())
    }

    fn has_room(&mut self, now: Tick) -> bool {
        if self.table.len() >= self.accounts_max && now >= self.swept.after_ms(SWEEP_PAUSE_MS) {
            self.sweep(now);
        }
        self.table.len() < self.accounts_max
    }
}

impl Account {
    fn new(rate: &Rate, now: Tick) -> Account {
        Account { free: Meter::full(rate, now), shares: SmallVec::new(), questions: 0 }
    }

    fn note(&mut self, rate: &Rate, request: &LeaseRequest, now: Tick) {
        let at = self.shares.iter().position(|share| share.shard == request.shard).unwrap_or_else(|| {
            self.shares.push(Share::new(request.shard, now));
            self.shares.len() - 1
        });
        let share = &mut self.shares[at];
        // Slots that this account never lent (it was forgotten by a reload in between) do not count: they would be
        // created.
        if request.returned.slots() <= share.slots {
            share.slots -= request.returned.slots();
            self.free.merge(rate, request.returned, now);
        }
        share.demand = request.demand;
        share.heard = now;
        match request.cause {
            Cause::Ask { need } => {
                self.questions += 1;
                share.question = Some(Question { number: self.questions, need, recalled: false });
            }
            Cause::Recalled => share.recalled = false,
            Cause::Idle => {}
        }
    }

    /// Answers questions in order, as far as it can now.
    fn settle(&mut self, rate: &Rate, id: (LimitId, u64), now: Tick, out: &mut Vec<(ShardId, LeaseReply)>) {
        while let Some((at, question)) = self.oldest_question() {
            let enough = self.free.tokens(rate, now) >= question.need;
            if !enough && !question.recalled {
                self.recall(id, at, now, out);
                self.shares[at].question = Some(Question { recalled: true, ..question });
            }
            if !enough && self.shares.iter().any(|share| share.recalled) {
                return;
            }
            let piece = self.cut(rate, question, now);
            let share = &mut self.shares[at];
            share.question = None;
            share.slots += piece.slots();
            let grant = Grant { limit: id.0, key: id.1, piece };
            out.push((share.shard, LeaseReply::Grant(grant)));
        }
    }

    fn oldest_question(&self) -> Option<(usize, Question)> {
        let questions =
            self.shares.iter().zip(0..).filter_map(|(share, at)| share.question.map(|question| (at, question)));
        questions.min_by_key(|(_, question)| question.number)
    }

    /// Asks those that may have something to spare.
    fn recall(&mut self, id: (LimitId, u64), asker: usize, now: Tick, out: &mut Vec<(ShardId, LeaseReply)>) {
        let total: u64 = self.shares.iter().map(|share| u64::from(share.demand_at(now))).sum();
        let Some(question) = self.shares[asker].question else { return };
        let (count, asking) = (self.shares.len(), self.shares[asker].demand);
        // Another starting point each time, so that with many shards everybody's turn comes.
        let turn = (question.number % count as u64) as usize;
        let mut sent = 0;
        for at in (turn..count).chain(0..turn) {
            let share = &mut self.shares[at];
            if at == asker || share.recalled || share.slots == 0 || sent == RECALLS_MAX {
                continue;
            }
            sent += 1;
            share.recalled = true;
            let others = total.saturating_sub(u64::from(share.demand_at(now)));
            let others = u32::try_from(others).unwrap_or(u32::MAX);
            let recall = Recall { limit: id.0, key: id.1, need: question.need, asking, others };
            out.push((share.shard, LeaseReply::Recall(recall)));
        }
    }

    /// All that is free for the only one that asks: what it does not use, others get by asking. Else a part for each.
    fn cut(&mut self, rate: &Rate, question: Question, now: Tick) -> Meter {
        let free = self.free.slots();
        let asking = self.shares.iter().filter(|share| share.question.is_some()).count() as u32;
        let slots = free.div_ceil(asking.max(1)).max(question.need).min(free);
        self.free.split(rate, slots, 0, now)
    }
}

impl Share {
    fn new(shard: ShardId, now: Tick) -> Share {
        Share { shard, slots: 0, demand: 0, heard: now, recalled: false, question: None }
    }

    /// Its demand; what was heard long ago no longer counts.
    fn demand_at(&self, now: Tick) -> u32 {
        if now >= self.heard.after(EPOCH.saturating_mul(2)) { 0 } else { self.demand }
    }
}

fn refuse(request: &LeaseRequest, out: &mut Vec<(ShardId, LeaseReply)>) {
    match request.cause {
        Cause::Ask { .. } => {
            let grant = Grant { limit: request.limit, key: request.key, piece: Meter::EMPTY };
            out.push((request.shard, LeaseReply::Grant(grant)));
        }
        Cause::Recalled | Cause::Idle => {}
    }
}

/// Shards that one question disturbs at most.
const RECALLS_MAX: usize = 16;
/// A full table is swept at most this often on behalf of newcomers.
const SWEEP_PAUSE_MS: u64 = 100;
