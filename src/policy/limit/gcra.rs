// SPDX-License-Identifier: Apache-2.0
//! Hot. The generic cell rate algorithm (GCRA) in exact integer arithmetic, for limits that can be cut in pieces.
//!
//! GCRA and the token bucket are one algorithm seen from two sides; here it is written as a level. A limit of `count`
//! per period with a burst of B is B *slots*. Each slot holds at most one token and refills in `B × period / count`. A
//! `Meter` holds some of the slots and their tokens: k slots are a limit with the burst k and k/B of the rate. Meters
//! can be split and merged; that moves slots and tokens and creates neither. So all meters of one limit together admit
//! at most `burst + rate × T` in any time T. The tests of `limit` compare that with a single meter.
//!
//! One token is `period_nanos × burst` units, because then k slots gain `count × k` units a nanosecond: no rounding
//! anywhere.
//!
//! A *counted* rate is so many in a window of the calendar: all its slots refill when a window begins, and none within
//! it. It is the same arithmetic on a clock that stands still: `stands_at` is the beginning of the window, and it only
//! moves when the next one begins. A meter then gains all that it can hold. Windows only follow each other, so each
//! slot gives at most one token in a window, wherever it is when the window begins.
//!
//! Where keys have limits of their own (`terms::Basis::Key`), a slot refills in the same time whatever the number of
//! slots: so a key whose limit changes gains or loses slots, and those that stay are as they were.
//!
//! A *leased* rate is a counted one of which somebody else keeps account (`parent`): its tokens come in slots of their
//! own, made for one window, and slots of a window that is over are gone.

use std::time::Duration;

use crate::base::Tick;

/// A limit: so many per period, so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    /// A slot refills in `period × scale / count`.
    scale: u32,
    slots: u32,
    period_nanos: u64,
    /// Where the clock of a counted rate stands; `REFILLS` of any other.
    stands_at: Tick,
}

impl Rate {
    /// `count` per `period`, at most `burst` at once. `None` where one of them is zero or the period is above 366 days.
    pub fn new(count: u32, period: Duration, burst: u32) -> Option<Rate> {
        let period_nanos = u64::try_from(period.as_nanos()).ok()?;
        let sane = count > 0 && burst > 0 && (1..=PERIOD_NANOS_MAX).contains(&period_nanos);
        sane.then_some(Rate { count, scale: burst, slots: burst, period_nanos, stands_at: REFILLS })
    }

    /// `count` in each window, from whose beginning on all of them may come at once. `None` where it is zero.
    pub fn counted(count: u32) -> Option<Rate> {
        let rate = Rate { count, scale: count, slots: count, period_nanos: WINDOW_NANOS_MIN, stands_at: NO_WINDOW };
        (count > 0).then_some(rate)
    }

    /// This rate, of which a key has so many slots. It stands for one slot (`Rate::new(1, period, 1)`, `counted(1)`,
    /// `in_flight(1)`). `None` for none.
    pub fn with_slots(self, slots: u32) -> Option<Rate> {
        debug_assert!(self.count == 1 && self.scale == 1, "slots of another kind");
        (slots > 0).then_some(Rate { slots, ..self })
    }

    /// The slots of a key's own rate, in the window that this one is in.
    pub(super) fn of_key(&self, own: Own) -> Rate {
        Rate { slots: own.slots, period_nanos: own.period_nanos, ..*self }
    }

    /// What a key's own rate has that other keys' may not have.
    pub(super) fn own(&self) -> Own {
        Own { slots: self.slots, period_nanos: self.period_nanos }
    }

    /// `count` at once: nothing ever refills, what is taken comes back. `None` where it is zero.
    pub fn in_flight(count: u32) -> Option<Rate> {
        // The period does not matter to what is in a window that never ends; it says how soon another shard is asked
        // again, and places are free again at any moment.
        Rate::counted(count).map(|rate| Rate { period_nanos: IN_FLIGHT_NANOS, ..rate })
    }

    /// `count` in each window, of which every token is leased from a parent. `None` where it is zero.
    pub fn leased(count: u32) -> Option<Rate> {
        Rate::counted(count).map(|rate| Rate { period_nanos: LEASED_NANOS, ..rate })
    }

    /// Are its tokens leased from a parent?
    pub fn is_leased(&self) -> bool {
        self.is_counted() && self.period_nanos == LEASED_NANOS
    }

    /// Which window a leased rate is in, as a number that differs from that of the window before; `None` of any other.
    pub fn leased_window(&self) -> Option<u64> {
        self.is_leased().then_some(self.stands_at.nanos() / WINDOW_NANOS_MIN)
    }

    /// Is it how many at once? Then a slot that nobody holds is full.
    fn is_in_flight(&self) -> bool {
        self.is_counted() && self.period_nanos == IN_FLIGHT_NANOS
    }

    /// Is it counted in windows?
    pub fn is_counted(&self) -> bool {
        self.stands_at != REFILLS
    }

    /// A counted rate is in the window that began then, if it is not in a later one. Says whether that is news.
    pub fn turn(&mut self, began: Tick) -> bool {
        let turns = self.is_counted() && began > self.stands_at;
        if turns {
            self.stands_at = began;
        }
        turns
    }

    /// In the window of `other` as well, if that is a later one.
    pub fn in_window_of(mut self, other: &Rate) -> Rate {
        if other.is_counted() {
            self.turn(other.stands_at);
        }
        self
    }

    /// Do they allow the same? The windows that they are in do not matter.
    pub fn allows_as(&self, other: &Rate) -> bool {
        let terms = |rate: &Rate| (rate.count, rate.scale, rate.slots, rate.period_nanos, rate.is_counted());
        terms(self) == terms(other)
    }

    /// Requests per period.
    #[cfg(test)]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Requests at once; also the number of slots.
    pub const fn burst(&self) -> u32 {
        self.slots
    }

    /// How long an empty meter needs to be full, whatever its number of slots. Saturates.
    pub fn fill_time(&self) -> Duration {
        nanos(ceil(self.token(), u128::from(self.count)))
    }

    /// Tokens that the whole limit gains in `time`, rounded down.
    #[cfg(test)]
    pub fn tokens_in(&self, time: Duration) -> u64 {
        u64::try_from(time.as_nanos().saturating_mul(u128::from(self.count)) / u128::from(self.period_nanos))
            .unwrap_or(u64::MAX)
    }

    /// So many tokens, in the measure of `Meter::missing`.
    pub fn worth(&self, tokens: u32) -> u128 {
        self.token() * u128::from(tokens)
    }

    /// What a meter's clock shows.
    fn clock(&self, now: Tick) -> Tick {
        if self.is_counted() { self.stands_at } else { now }
    }

    /// Units in one token; below 2^87.
    const fn token(&self) -> u128 {
        self.period_nanos as u128 * self.scale as u128
    }
}

/// What a key's own rate has that other keys' of the limit may not have.
// Packed, so that it finds room in what a shard keeps of each key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, packed(4))]
pub(super) struct Own {
    /// How many slots; 0 where the limit has one rate for all keys.
    pub slots: u32,
    period_nanos: u64,
}

/// Some slots of a limit and the tokens in them. The invariant is `level <= slots × token`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    level: u128,
    at: Tick,
    slots: u32,
}

impl Meter {
    /// No slots.
    pub const EMPTY: Meter = Meter { level: 0, at: Tick::ZERO, slots: 0 };

    /// The whole of a limit, nothing used.
    pub fn full(rate: &Rate, now: Tick) -> Meter {
        Meter { level: rate.token() * u128::from(rate.slots), at: rate.clock(now), slots: rate.slots }
    }

    /// So many slots, of which `full` are full and the others empty.
    pub fn partly(rate: &Rate, slots: u32, full: u32, now: Tick) -> Meter {
        Meter { level: rate.token() * u128::from(full.min(slots)), at: rate.clock(now), slots }
    }

    /// How many slots.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Whole tokens now.
    pub fn tokens(&mut self, rate: &Rate, now: Tick) -> u32 {
        self.advance(rate, now);
        // At most `slots`, by the invariant.
        floor(self.level, rate.token()) as u32
    }

    /// Takes `cost` tokens; false, and nothing taken, where there are not so many.
    #[must_use]
    pub fn take(&mut self, rate: &Rate, cost: u32, now: Tick) -> bool {
        self.advance(rate, now);
        let Some(rest) = self.level.checked_sub(rate.token() * u128::from(cost)) else { return false };
        self.level = rest;
        true
    }

    /// Puts tokens back that were taken at this very moment, so that nothing can have refilled for them.
    pub fn put_back(&mut self, rate: &Rate, cost: u32, now: Tick) {
        self.advance(rate, now);
        self.level = (self.level + rate.token() * u128::from(cost)).min(self.capacity(rate));
    }

    /// Fills all slots.
    pub fn fill_up(&mut self, rate: &Rate, now: Tick) {
        self.advance(rate, now);
        self.level = self.capacity(rate);
    }

    /// True where all slots are full.
    pub fn is_full(&mut self, rate: &Rate, now: Tick) -> bool {
        self.advance(rate, now);
        self.level == self.capacity(rate)
    }

    /// How much it lacks to be full. Only good for comparing meters of one rate.
    pub fn missing(&mut self, rate: &Rate, now: Tick) -> u128 {
        self.advance(rate, now);
        self.capacity(rate) - self.level
    }

    /// How full it is, in parts of 2^32, rounded down; 0 where it has no slots and could be less than full.
    pub fn fill(&mut self, rate: &Rate, now: Tick) -> u64 {
        self.advance(rate, now);
        let capacity = self.capacity(rate);
        if rate.is_in_flight() {
            return 1 << FILL_BITS;
        }
        match self.level {
            0 => 0,
            level if level == capacity => 1 << FILL_BITS,
            level if level < SMALL => ((level << FILL_BITS) / capacity) as u64,
            level => (level / ((capacity >> FILL_BITS) + 1)) as u64,
        }
    }

    /// So many slots of a limit, as full as `fill` says (in parts of 2^32), rounded down.
    pub fn filled(rate: &Rate, slots: u32, fill: u64, now: Tick) -> Meter {
        let capacity = rate.token() * u128::from(slots);
        let level = match u128::from(fill) {
            fill if fill >> FILL_BITS > 0 => capacity,
            fill if capacity < SMALL => (capacity * fill) >> FILL_BITS,
            fill => (capacity >> FILL_BITS) * fill,
        };
        Meter { level, at: rate.clock(now), slots }
    }

    /// How long until there are `cost` tokens, if all slots of the limit refilled this meter and nobody else took any.
    /// Not for a counted rate, which only knows when its window began.
    pub fn wait(&mut self, rate: &Rate, cost: u32, now: Tick) -> Duration {
        self.advance(rate, now);
        let missing = (rate.token() * u128::from(cost)).saturating_sub(self.level);
        nanos(ceil(missing, u128::from(rate.count) * u128::from(rate.slots)))
    }

    /// How long until it lacks no more than its slots' part of `free + 1` tokens.
    pub fn delay(&mut self, rate: &Rate, free: u32, now: Tick) -> Duration {
        let slots = u128::from(self.slots);
        // The share of `k` slots of `(free + 1)` tokens, in units: `period × burst × (free + 1) × k / burst`.
        let allowed = u128::from(rate.period_nanos) * (u128::from(free) + 1) * slots;
        let excess = self.missing(rate, now).saturating_sub(allowed);
        if excess == 0 { Duration::ZERO } else { nanos(excess.div_ceil(u128::from(rate.count) * slots.max(1))) }
    }

    /// Whole tokens now, and how long until there is one more, if all slots of the limit refilled this meter.
    pub fn next_token(&mut self, rate: &Rate, now: Tick) -> (u32, Duration) {
        let whole = self.tokens(rate, now);
        (whole, self.wait(rate, whole.saturating_add(1), now))
    }

    /// Cuts off `slots` of the slots (all, where it has fewer) with as many of the tokens as fit into them; but leaves
    /// `reserve` tokens here, as far as the slots that stay can hold them.
    #[must_use]
    pub fn split(&mut self, rate: &Rate, slots: u32, reserve: u32, now: Tick) -> Meter {
        self.advance(rate, now);
        let slots = slots.min(self.slots);
        let token = rate.token();
        let fits_there = token * u128::from(slots);
        let fits_here = token * u128::from(self.slots - slots);
        let wanted = self.level.saturating_sub(token * u128::from(reserve));
        let moved = wanted.max(self.level.saturating_sub(fits_here)).min(fits_there);
        self.level -= moved;
        self.slots -= slots;
        Meter { level: moved, at: self.at, slots }
    }

    /// Takes another piece of the same limit in.
    pub fn merge(&mut self, rate: &Rate, mut piece: Meter, now: Tick) {
        // Both are brought to the same moment: a piece from a sender whose clock reads ahead must not refill twice.
        let moment = rate.clock(now).max(self.at).max(piece.at);
        self.advance_to(rate, moment);
        piece.advance_to(rate, moment);
        self.slots += piece.slots;
        self.level += piece.level;
        if rate.is_leased() {
            // A key that was reset may meet slots that were leased before.
            self.slots = self.slots.min(rate.slots);
            self.level = self.level.min(self.capacity(rate));
        }
        debug_assert!(self.level <= self.capacity(rate));
    }

    fn advance(&mut self, rate: &Rate, now: Tick) {
        self.advance_to(rate, rate.clock(now));
    }

    fn advance_to(&mut self, rate: &Rate, now: Tick) {
        let passed = now.nanos().saturating_sub(self.at.nanos());
        if passed == 0 {
            return;
        }
        self.at = now;
        if rate.is_leased() {
            (self.slots, self.level) = (0, 0);
            return;
        }
        // The product of two 32-bit numbers and a 64-bit one fits; the sum may not, and is then far above the capacity.
        let gained = u128::from(rate.count) * u128::from(self.slots) * u128::from(passed);
        self.level = self.level.saturating_add(gained).min(self.capacity(rate));
    }

    fn capacity(&self, rate: &Rate) -> u128 {
        rate.token() * u128::from(self.slots)
    }
}

/// `Rate::stands_at` of a rate that refills all the time.
const REFILLS: Tick = Tick::ZERO;
/// A counted rate before its first window; every window begins later.
const NO_WINDOW: Tick = Tick::from_nanos(1);
/// No window is shorter, so a meter that sees another window begin is full.
const WINDOW_NANOS_MIN: u64 = 1_000_000_000;

/// The period of a rate that is how many at once; no other counted rate has it.
const IN_FLIGHT_NANOS: u64 = 1;

/// The period of a leased rate; no other counted rate has it. It says how soon a parent that had nothing is asked
/// again.
const LEASED_NANOS: u64 = WINDOW_NANOS_MIN + 1;

/// Bounds every product: token < 2^87, level < 2^119.
const PERIOD_NANOS_MAX: u64 = 366 * 24 * 3_600 * 1_000_000_000;

/// Precision of a fill: a level loses less than a part in 2^31 when it is carried over to another rate.
pub(crate) const FILL_BITS: u32 = 32;
/// A level below this can be shifted by `FILL_BITS` without overflow.
const SMALL: u128 = 1 << (u128::BITS - FILL_BITS);

/// The quotient, rounded down. Most fit into 64 bits, in which the processor divides; anything wider is a call.
#[inline]
fn floor(amount: u128, part: u128) -> u128 {
    match (u64::try_from(amount), u64::try_from(part)) {
        (Ok(amount), Ok(part)) => u128::from(amount / part),
        _ => amount / part,
    }
}

/// The quotient, rounded up.
#[inline]
fn ceil(amount: u128, part: u128) -> u128 {
    let whole = floor(amount, part);
    whole + u128::from(whole * part < amount)
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
