// SPDX-License-Identifier: Apache-2.0
//! Hot. What a shard has of one key: slots, and what it remembers of the requests for them.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::base::Tick;
use crate::policy::limit::demand::Demand;
use crate::policy::limit::gcra::{Meter, Own, Rate};
use crate::policy::limit::terms::Terms;

/// Where a key stands after a try, as this shard knows it; other shards may hold more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitState {
    /// Whole tokens left here.
    pub left: u32,
    /// Until there is one more, if nobody else takes it.
    pub next: Duration,
}

/// What became of a try to take tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Admitted.
    Yes(LimitState),
    /// The limit is used up.
    No(LimitState),
    /// Other shards may have tokens: a grant for the key is on its way.
    Wait,
    /// There is no room for one more key, here or at its home, or the parent is out of reach. The caller's plan says
    /// what then.
    NoRoom,
}

/// What a shard has of one key.
#[derive(Debug)]
pub(super) struct Entry {
    pub meter: Meter,
    pub demand: Demand,
    pub used: Tick,
    /// When it last got slots.
    pub granted: Tick,
    /// An `Ask` for so many tokens is under way.
    pub asked: Option<NonZeroU32>,
    /// It may not ask again before this.
    pub ask_after: Tick,
    /// Tokens that requests wait for since the last grant, and those that requests waited for before it and have not
    /// yet tried to take.
    pub waiting: u32,
    pub retaking: u32,
    /// Half empty, it does not ask before this.
    pub look_after: Tick,
    /// Tokens that the next grant pays for requests that passed already.
    pub owed: u32,
    /// Tokens that requests have used beyond what was taken for them. They are taken before anything else is.
    pub debt: u32,
    /// Slots that requests hold until it is known whether they count (`Holder::hold`).
    pub held: u32,
    /// Under which terms the meter's slots are.
    pub version: u64,
    /// What its rate has of its own, where keys have such.
    pub own: Own,
    /// The home had no room when it was last asked.
    pub crowded: bool,
}

/// What a home says of the shard that starves (`Body::Recall`).
#[derive(Clone, Copy)]
pub(super) struct Recall {
    pub need: u32,
    pub asking: u32,
    pub others: u32,
}

impl Entry {
    /// With these slots, under these terms.
    pub(super) fn new(meter: Meter, terms: &Terms, now: Tick) -> Entry {
        Entry {
            meter,
            demand: Demand::default(),
            used: now,
            granted: now,
            asked: None,
            ask_after: now,
            waiting: 0,
            retaking: 0,
            look_after: now,
            owed: 0,
            debt: 0,
            held: 0,
            version: terms.version,
            own: terms.rate.own(),
            crowded: false,
        }
    }

    /// Pays what it can of the debt. True where none is left.
    pub(super) fn pay(&mut self, rate: &Rate, now: Tick) -> bool {
        let paid = self.debt.min(self.meter.tokens(rate, now));
        if self.meter.take(rate, paid, now) {
            self.debt -= paid;
        }
        self.debt == 0
    }

    /// Loses full slots until it has no more than its rate, as far as it has full ones.
    pub(super) fn trim(&mut self, rate: &Rate, now: Tick) {
        let excess = (self.meter.slots() + self.held).saturating_sub(rate.burst());
        if excess > 0 {
            let full = excess.min(self.meter.tokens(rate, now));
            let _gone = self.meter.split(rate, full, 0, now);
        }
    }

    /// How much it lacks to be full and to owe nothing.
    pub(super) fn missing(&mut self, rate: &Rate, now: Tick) -> u128 {
        self.meter.missing(rate, now).saturating_add(rate.worth(self.debt))
    }

    /// May others have slots of the key? Of a leased rate, slots that requests hold may be those of an older window.
    pub(super) fn lacks_slots(&self, rate: &Rate) -> bool {
        let held = if rate.is_leased() { 0 } else { self.held };
        self.meter.slots() + held < rate.burst()
    }

    /// Should it ask before it runs dry? When what is left is soon used up; and now and then when it is half empty,
    /// because slots that are full elsewhere gain nothing while the tokens are used here.
    pub(super) fn is_low(&mut self, left: u32, now: Tick) -> bool {
        let half_empty = left < self.meter.slots() / 2 && now >= self.look_after;
        half_empty || left < (self.demand.estimate(now) / LOW_WATER_PARTS).max(1)
    }

    /// Cuts off what it can spare: the asking shard's part of the tokens by demand, but as many as it needs at once, if
    /// there are so many; and slots beyond the share of the demand here, which is everything where nobody wants any.
    /// What was granted to requests that have not tried again yet is theirs for a while.
    pub(super) fn spare(&mut self, rate: &Rate, recall: Recall, now: Tick) -> Meter {
        let held_long = now >= self.granted.after(HOLD);
        let promised = if held_long { 0 } else { self.retaking };
        let slots = self.meter.slots();
        let tokens = self.meter.tokens(rate, now);
        let promised = promised.min(tokens);
        let tokens = tokens - promised;
        let own = self.demand.estimate(now);
        let total = u64::from(own) + u64::from(recall.others.max(recall.asking).max(1));
        let exact = u64::from(rate.burst()) * u64::from(own);
        // A share is seldom whole. What is left over is kept for a while and then passed on, so that it goes round.
        let share = if held_long { exact / total } else { exact.div_ceil(total) };
        let over_share = slots.saturating_sub(u32::try_from(share).unwrap_or(u32::MAX));
        let part = u64::from(tokens) * u64::from(recall.asking) / total;
        // Below `tokens`, because `asking` is below `total`.
        let moved = (part as u32).max(recall.need.min(tokens));
        let slots = over_share.max(moved).min(slots - promised);
        self.meter.split(rate, slots, promised + tokens - moved, now)
    }
}

/// Where a key stands. `ends` is when the window of a counted rate does.
pub(super) fn standing(meter: &mut Meter, rate: &Rate, ends: Tick, now: Tick) -> LimitState {
    if rate.is_counted() {
        return LimitState { left: meter.tokens(rate, now), next: ends.since(now) };
    }
    let (left, next) = meter.next_token(rate, now);
    LimitState { left, next }
}

/// How long a shard goes without asking, after it got less than it needed.
pub(super) fn pause(rate: &Rate) -> Duration {
    (rate.fill_time() / PAUSE_PARTS).clamp(PAUSE_MIN, PAUSE_MAX)
}

// Beside its key and its place in the table, which take about 30 bytes more.
const _: () = assert!(size_of::<Entry>() <= 128);

/// A shard asks in advance when what is left is less than what it needs in this part of an `EPOCH` (8 ms).
const LOW_WATER_PARTS: u32 = 8;
/// A fraction of a slot above the share is kept this long. Shorter loses more to messages, longer starves the other
/// shard longer.
const HOLD: Duration = Duration::from_millis(25);
/// After a grant that was less than needed, a shard refuses without asking for this part of the time in which a slot
/// fills. It bounds the messages about a key that is used up; longer lets slots elsewhere stand full for longer, which
/// loses what they would gain.
const PAUSE_PARTS: u32 = 16;
const PAUSE_MIN: Duration = Duration::from_micros(250);
const PAUSE_MAX: Duration = Duration::from_millis(64);
