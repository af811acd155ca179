// SPDX-License-Identifier: Apache-2.0
//! Hot. One shard's part of a limit: the slots that it has, and the accounts of those keys whose home it is.
//!
//! What the holder and the accounts of one shard say to each other needs no message: it is done at once. Everything
//! else lies in the outbox until the edge carries it to the other shard.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::Tick;
use crate::base::limits::LIMIT_KEPT_MAX;
use crate::policy::limit::account::{Accounts, Replies};
use crate::policy::limit::entry::LimitState;
use crate::policy::limit::holder::{Charge, Holder, Taken};
use crate::policy::limit::ids::{LimitId, ShardId, Shards};
use crate::policy::limit::message::{Body, Message};
use crate::policy::limit::terms::Terms;

/// A limit on one shard.
#[derive(Debug)]
pub struct Part {
    limit: LimitId,
    shards: Shards,
    holder: Holder,
    accounts: Accounts,
    outbox: VecDeque<(ShardId, Message)>,
    woken: VecDeque<u64>,
    replies: Replies,
    expired: u64,
    reported: u64,
}

/// What a limit did on one shard since the counts were last taken; the last two are levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that passed.
    pub admitted: u64,
    /// Requests that were refused because the limit is used up.
    pub refused: u64,
    /// Requests that would have been refused, had the limit not been told to report only.
    pub reported: u64,
    /// Requests that waited for another shard.
    pub waited: u64,
    /// Requests that could not be counted: no answer came in time, or there was no room for their key.
    pub uncounted: u64,
    /// Requests that passed and did not count in the end.
    pub returned: u64,
    /// Keys that were forgotten before they were full again, because there was no room.
    pub given_up: u64,
    /// Keys of which this shard has slots.
    pub held: u64,
    /// Keys whose account is on this shard.
    pub accounts: u64,
}

impl Part {
    /// Nothing counted yet. `keys_max` is how many keys all shards together remember: each keeps its part of the
    /// accounts, and slots of half as many keys, so that lent accounts, which cannot be given up, are at most half of
    /// all.
    pub fn new(limit: LimitId, terms: Terms, shards: Shards, keys_max: usize) -> Part {
        let accounts_max = keys_max.div_ceil(shards.count.max(1) as usize).max(KEYS_LEAST);
        let held_max = if shards.alone() { keys_max } else { (accounts_max / 2).max(KEYS_LEAST) };
        Part {
            limit,
            shards,
            holder: Holder::new(limit, terms, shards, held_max),
            accounts: Accounts::new(limit, terms, accounts_max),
            outbox: VecDeque::new(),
            woken: VecDeque::new(),
            replies: Vec::new(),
            expired: 0,
            reported: 0,
        }
    }

    /// Which limit.
    pub fn limit(&self) -> LimitId {
        self.limit
    }

    /// Tries to take `cost` tokens of `key` for a request that just came. A cost above the burst is never admitted.
    pub fn take(&mut self, key: u64, cost: u32, now: Tick) -> Taken {
        let taken = self.holder.take(key, cost, now);
        if self.holder.has_messages() { self.ask_home(taken, key, cost, now) } else { taken }
    }

    /// Tries again for a request that waited, after its key was woken.
    pub fn retake(&mut self, key: u64, cost: u32, now: Tick) -> Taken {
        let taken = self.holder.retake(key, cost, now);
        if self.holder.has_messages() { self.ask_home(taken, key, cost, now) } else { taken }
    }

    /// Takes what is here for a request whose wait has expired.
    pub fn take_here(&mut self, key: u64, cost: u32, now: Tick) -> Option<LimitState> {
        let taken = self.holder.take_here(key, cost, now);
        self.expired += u64::from(taken.is_none());
        taken
    }

    /// A request that should wait passed: the next grant pays for it, as far as it can.
    pub fn owe(&mut self, key: u64, cost: u32) {
        self.holder.owe(key, cost);
    }

    /// A request that should wait passed, and whether it counts is not known yet.
    pub fn forgo(&mut self, key: u64, cost: u32) {
        self.holder.forgo(key, cost);
    }

    /// Lets the request that just took one token hold its slot until `release`. The version of the terms that the slot
    /// is under.
    pub fn hold(&mut self, key: u64, now: Tick) -> Option<u32> {
        self.holder.hold(key, now)
    }

    /// Takes back the slot that a request held; `charge` says whether the request counts. A slot of older terms goes
    /// home.
    pub fn release(&mut self, key: u64, version: u32, charge: Charge, now: Tick) {
        self.holder.release(key, version, charge, now);
        self.settle(now);
    }

    /// A request passed that would have been refused.
    pub fn report(&mut self) {
        self.reported += 1;
    }

    /// Takes over the rate of a new plan, where its terms are newer.
    pub fn set_terms(&mut self, terms: Terms, now: Tick) {
        self.holder.set_terms(terms, now);
        self.accounts.set_terms(terms, now);
        self.settle(now);
    }

    /// The terms in force.
    pub fn terms(&self) -> Terms {
        self.holder.terms()
    }

    /// A message from another shard.
    pub fn receive(&mut self, from: ShardId, message: &Message, now: Tick) {
        match message.body {
            Body::Ask { .. } | Body::Return { .. } => {
                self.accounts.receive(from, message, now, &mut self.replies);
                self.holder.set_terms(message.terms, now);
            }
            Body::Grant { .. } | Body::Recall { .. } | Body::NoRoom => {
                self.accounts.set_terms(message.terms, now);
                if self.holder.receive(message, now) {
                    self.woken.push_back(message.key);
                }
            }
        }
        self.settle(now);
    }

    /// Is there a message to send, or a key to wake?
    pub fn has_news(&self) -> bool {
        !self.outbox.is_empty() || !self.woken.is_empty()
    }

    /// The next message to another shard.
    pub fn next_message(&mut self) -> Option<(ShardId, Message)> {
        self.outbox.pop_front()
    }

    /// The next key whose waiting requests should `retake` now.
    pub fn next_woken(&mut self) -> Option<u64> {
        self.woken.pop_front()
    }

    /// A message to `receiver` could not be sent yet, and so many wait with it. Where they are very many, slots that
    /// may stay here stay here for a while, so that what waits has a bound.
    pub fn kept(&mut self, receiver: ShardId, waiting: usize, now: Tick) {
        if waiting > LIMIT_KEPT_MAX {
            self.holder.spare_home(receiver, now.after(KEPT_PAUSE));
        }
    }

    /// Gives up what is idle, a part of the keys at a time. Call it a few times a second.
    pub fn sweep(&mut self, now: Tick) {
        let slice = |keys: usize| (keys / SWEEP_PARTS).clamp(SWEEP_SLICE.0, SWEEP_SLICE.1);
        self.holder.sweep(slice(self.holder.keys()), now);
        self.settle(now);
        self.accounts.sweep(slice(self.accounts.keys()), now);
    }

    /// What happened since the last call.
    pub fn take_counts(&mut self) -> Counts {
        let (holder, accounts) = (self.holder.take_counts(), self.accounts.take_counts());
        Counts {
            admitted: holder.admitted,
            refused: holder.refused,
            reported: std::mem::take(&mut self.reported) + holder.unpaid,
            waited: holder.waited,
            uncounted: holder.no_room + std::mem::take(&mut self.expired),
            returned: holder.returned,
            given_up: holder.given_up + accounts.given_up,
            held: self.holder.keys() as u64,
            accounts: self.accounts.keys() as u64,
        }
    }

    /// Do the accounts here give out at most the limit's slots, and do they know what this shard holds of them?
    pub fn check(&self) -> Result<(), &'static str> {
        if self.shards.alone() {
            return Ok(());
        }
        self.accounts.check(self.shards.own, |key, version| self.holder.held_under(key, version))
    }

    /// Slots that this shard has, and (free, lent, lent under older terms) at its account.
    #[cfg(test)]
    pub fn slots(&mut self, key: u64, now: Tick) -> (u64, (u64, u64, u64)) {
        (self.holder.slots(key).slots().into(), self.accounts.slots(key, now))
    }

    /// Settles with the accounts here; where that brought a grant, the request need not wait.
    fn ask_home(&mut self, mut taken: Taken, key: u64, cost: u32, now: Tick) -> Taken {
        for _ in 0..LOCAL_TURNS {
            self.settle(now);
            if taken != Taken::Wait || self.holder.is_asked(key) {
                break;
            }
            taken = self.holder.retake(key, cost, now);
            if !self.holder.has_messages() {
                break;
            }
        }
        self.settle(now);
        taken
    }

    /// Carries messages between the holder and the accounts of this shard until none is left, and puts those for others
    /// into the outbox.
    fn settle(&mut self, now: Tick) {
        loop {
            for (shard, message) in self.replies.drain(..) {
                if shard != self.shards.own {
                    self.outbox.push_back((shard, message));
                } else if self.holder.receive(&message, now) {
                    self.woken.push_back(message.key);
                }
            }
            let Some(message) = self.holder.message() else { return };
            let home = self.shards.home(message.key);
            if home == self.shards.own {
                self.accounts.receive(home, &message, now, &mut self.replies);
            } else {
                self.outbox.push_back((home, message));
            }
        }
    }
}

/// Fewest keys that a shard among several remembers, whatever the limit's cap.
const KEYS_LEAST: usize = 64;
/// Turns of asking and trying again that one request takes at its own shard; a grant of older terms takes two.
const LOCAL_TURNS: usize = 4;
/// A home that is far behind gets no slots back for this long, unless it asks for them.
const KEPT_PAUSE: Duration = Duration::from_millis(20);
/// Which part of the keys one call of `sweep` looks at, and fewest and most of them.
const SWEEP_PARTS: usize = 16;
const SWEEP_SLICE: (usize, usize) = (256, 8_192);
