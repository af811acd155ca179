// SPDX-License-Identifier: Apache-2.0
//! Hot. One shard's part of a limit: the slots that it has, and the accounts of those keys whose home it is.
//!
//! What the holder and the accounts of one shard say to each other needs no message: it is done at once. Everything
//! else lies in the outbox until the edge carries it to the other shard.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::limits::LIMIT_KEPT_MAX;
use crate::base::{Tick, Wall};
use crate::policy::limit::account::{Accounts, Replies};
use crate::policy::limit::bans::{BanRule, Bans};
use crate::policy::limit::calendar::{Calendar, Window};
use crate::policy::limit::entry::{LimitState, Taken};
use crate::policy::limit::holder::{Held, Holder};
use crate::policy::limit::ids::{LimitId, ShardId, Shards};
use crate::policy::limit::message::{Body, Message};
use crate::policy::limit::seat::{Seat, Vacated};
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
    calendar: Option<Calendar>,
    /// The window of a calendar that this is in.
    window: Window,
    /// When the calendar is to be looked at again.
    look_at: Tick,
    bans: Option<Box<Bans>>,
    vacated: Option<Vacated>,
    /// Slots that came back of seats, of which nobody asks whether they count.
    seats: u64,
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
            calendar: None,
            window: Window::default(),
            look_at: Tick::NEVER,
            bans: None,
            vacated: None,
            seats: 0,
            expired: 0,
            reported: 0,
        }
    }

    /// The same, in windows of a calendar. The rate is a counted one.
    pub fn in_windows(mut self, calendar: Calendar) -> Part {
        (self.calendar, self.look_at) = (Some(calendar), Tick::ZERO);
        self
    }

    /// The same, and each key has its own number of slots, of which the rate of the limit is one (`take_under`).
    pub fn by_key(mut self) -> Part {
        self.holder.by_key();
        self.accounts.by_key();
        self
    }

    /// The same, and no key exceeds its limit because it was forgotten (`forgotten`).
    pub fn remembering_forgotten(mut self) -> Part {
        self.holder.remember_forgotten();
        self.accounts.remember_forgotten();
        self
    }

    /// From now on, keys are banned by this rule.
    pub fn ban_by(&mut self, rule: BanRule, keys_max: usize) {
        // tidy(hot): once for a shard and a plan; most limits ban nobody.
        self.bans = Some(Box::new(Bans::new(rule, keys_max)));
    }

    /// How much longer a key is banned, if it is.
    pub fn banned(&self, key: u64, now: Tick) -> Option<Duration> {
        self.bans.as_ref()?.banned(key, now)
    }

    /// A request was refused. Where its key is banned for that, the other shards are told.
    pub fn note_refusal(&mut self, key: u64, now: Tick) {
        if self.bans.as_mut().is_none_or(|bans| !bans.note(key, now)) {
            return;
        }
        let message = Message { limit: self.limit, key, terms: self.holder.terms(), body: Body::Banned };
        let others = (0..self.shards.count).map(ShardId).filter(|shard| *shard != self.shards.own);
        self.outbox.extend(others.map(|shard| (shard, message)));
    }

    /// How long until there is so much, if nobody else takes any; nothing where a window has to end.
    pub fn wait(&mut self, key: u64, cost: u32, now: Tick) -> Duration {
        self.holder.wait(key, cost, now)
    }

    /// How long a request that just passed has to wait, so that those behind the first `free + 1` of a burst come at
    /// the rate. Each shard delays by the slots that it has.
    pub fn delay(&mut self, key: u64, free: u32, now: Tick) -> Duration {
        self.holder.delay(key, free, now)
    }

    /// Looks at the calendar, where it is time: call it before anything else, with the time of that. Until then, a
    /// window that is over goes on, in which nothing refills.
    pub fn look(&mut self, now: Tick, wall: impl FnOnce() -> Wall) {
        if now >= self.look_at {
            self.look_at_calendar(now, wall());
        }
    }

    /// Which limit.
    pub fn limit(&self) -> LimitId {
        self.limit
    }

    /// Are its tokens leased from a parent?
    pub fn is_leased(&self) -> bool {
        self.terms().rate.is_leased()
    }

    /// Tries to take `cost` tokens of `key` for a request that just came. A cost above the burst is never admitted.
    pub fn take(&mut self, key: u64, cost: u32, now: Tick) -> Taken {
        self.take_under(key, &self.holder.terms(), cost, now)
    }

    /// The same under terms of the key's own (`by_key`): so many slots (`Rate::with_slots`), of the limit's rate or of
    /// one with another period.
    pub fn take_under(&mut self, key: u64, terms: &Terms, cost: u32, now: Tick) -> Taken {
        self.take_vacated(now);
        let taken = self.holder.take(key, terms, cost, now);
        if self.holder.has_messages() { self.ask_home(taken, (key, terms), cost, now) } else { taken }
    }

    /// Tries again for a request that waited, after its key was woken.
    pub fn retake(&mut self, key: u64, cost: u32, now: Tick) -> Taken {
        self.retake_under(key, &self.holder.terms(), cost, now)
    }

    /// The same under terms of the key's own.
    pub fn retake_under(&mut self, key: u64, terms: &Terms, cost: u32, now: Tick) -> Taken {
        self.take_vacated(now);
        let taken = self.holder.retake(key, terms, cost, now);
        if self.holder.has_messages() { self.ask_home(taken, (key, terms), cost, now) } else { taken }
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

    /// Puts back what a request took at this very moment: it does not pass after all.
    pub fn give_back(&mut self, key: u64, cost: u32, now: Tick) {
        self.holder.give_back(key, cost, now);
    }

    /// A request used so much more than it took. What is not there is noted, and paid before anything else passes.
    pub fn charge(&mut self, key: u64, cost: u32, now: Tick) {
        self.holder.charge(key, cost, now);
        self.settle(now);
    }

    /// Lets the request that just took so many tokens hold their slots until `release`.
    pub fn hold(&mut self, key: u64, slots: u32, now: Tick) -> Option<Held> {
        self.holder.hold(key, slots, now).map(|version| Held { version, slots })
    }

    /// Lets the request that just took a token have its slot until the seat is dropped.
    pub fn seat(&mut self, key: u64, now: Tick) -> Option<Seat> {
        let held = self.hold(key, 1, now)?;
        Some(Seat::new(self.vacated.get_or_insert_default(), key, held.version))
    }

    /// Takes back what a request held, of which so much counts. Slots of older terms go home.
    pub fn release(&mut self, key: u64, held: Held, counted: u32, now: Tick) {
        self.holder.release(key, held, counted, now);
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
        self.take_vacated(now);
        match message.body {
            Body::Ask { .. } | Body::Return { .. } => {
                self.accounts.receive(from, message, now, &mut self.replies);
                self.holder.set_terms(message.terms, now);
            }
            Body::Banned => {
                if let Some(bans) = &mut self.bans {
                    bans.ban(message.key, now);
                }
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

    /// A message to the parent could not be sent. Whoever waits for the answer learns that there will be none; slots
    /// that were on their way back are lost.
    pub fn unsent(&mut self, message: &Message, now: Tick) {
        if let Body::Ask { .. } = message.body {
            let none = Message { body: Body::NoRoom, ..*message };
            if self.holder.receive(&none, now) {
                self.woken.push_back(message.key);
            }
        }
    }

    /// Gives all that was leased back: the process ends, or another one takes its place.
    pub fn surrender(&mut self, now: Tick) {
        if self.is_leased() {
            self.holder.surrender(now);
            self.settle(now);
        }
    }

    /// A key may have its whole limit again: what is here of it is full, and it is not banned.
    pub fn reset(&mut self, key: u64, now: Tick) {
        self.holder.reset(key, now);
        self.accounts.reset(key, now);
        if let Some(bans) = &mut self.bans {
            bans.lift(key);
        }
    }

    /// Gives up what is idle, a part of the keys at a time. Call it a few times a second.
    pub fn sweep(&mut self, now: Tick) {
        self.take_vacated(now);
        let slice = |keys: usize| (keys / SWEEP_PARTS).clamp(SWEEP_SLICE.0, SWEEP_SLICE.1);
        self.holder.sweep(slice(self.holder.keys()), now);
        self.settle(now);
        self.accounts.sweep(slice(self.accounts.keys()), now);
        if let Some(bans) = &mut self.bans {
            bans.sweep(slice(bans.keys()), now);
        }
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
            returned: holder.returned - std::mem::take(&mut self.seats),
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
        self.accounts.check(self.shards.own, |key| self.holder.slots_of(key))
    }

    /// Slots that this shard has, and (free, lent, lent under older terms) at its account.
    #[cfg(test)]
    pub fn slots(&mut self, key: u64, now: Tick) -> (u64, (u64, u64, u64)) {
        (self.holder.slots(key).slots().into(), self.accounts.slots(key, now))
    }

    fn look_at_calendar(&mut self, now: Tick, wall: Wall) {
        let Some(calendar) = &self.calendar else { return };
        if !self.window.contains(wall) {
            let window = calendar.window(wall);
            // A clock that was set back gives nothing: the window goes on until it is over by that clock.
            if window.start > self.window.start {
                self.window = window;
            }
        }
        let left = (self.window.end.saturating_mul(MICROS)).saturating_sub(wall.0);
        let ends = now.after(Duration::from_micros(left));
        // Clocks may be set at any time.
        self.look_at = ends.min(now.after(CALENDAR_LOOK));
        self.holder.turn(self.window.began(), ends);
        self.accounts.turn(self.window.began());
    }

    /// Takes back what seats left.
    fn take_vacated(&mut self, now: Tick) {
        let Some(vacated) = &self.vacated else { return };
        while let Some((key, version)) = vacated.borrow_mut().pop() {
            self.seats += 1;
            self.holder.release(key, Held { version, slots: 1 }, 0, now);
        }
        self.settle(now);
    }

    /// Settles with the accounts here; where that brought a grant, the request need not wait.
    fn ask_home(&mut self, mut taken: Taken, (key, terms): (u64, &Terms), cost: u32, now: Tick) -> Taken {
        for _ in 0..LOCAL_TURNS {
            self.settle(now);
            if taken != Taken::Wait || self.holder.is_asked(key) {
                break;
            }
            taken = self.holder.retake(key, terms, cost, now);
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
            let leased = message.terms.rate.is_leased();
            let home = if leased { ShardId::PARENT } else { self.shards.home(message.key) };
            if home == self.shards.own {
                self.accounts.receive(home, &message, now, &mut self.replies);
            } else {
                self.outbox.push_back((home, message));
            }
        }
    }
}

const MICROS: u64 = 1_000_000;
/// How often the calendar is compared with the clock, beside the ends of windows.
const CALENDAR_LOOK: Duration = Duration::from_secs(1);
/// Fewest keys that a shard among several remembers, whatever the limit's cap.
const KEYS_LEAST: usize = 64;
/// Turns of asking and trying again that one request takes at its own shard; a grant of older terms takes two.
const LOCAL_TURNS: usize = 4;
/// A home that is far behind gets no slots back for this long, unless it asks for them.
const KEPT_PAUSE: Duration = Duration::from_millis(20);
/// Which part of the keys one call of `sweep` looks at, and fewest and most of them.
const SWEEP_PARTS: usize = 16;
const SWEEP_SLICE: (usize, usize) = (256, 8_192);
