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

use std::time::Duration;

use crate::base::Tick;

/// A limit: so many per period, so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    burst: u32,
    period_nanos: u64,
}

impl Rate {
    /// `count` per `period`, at most `burst` at once. `None` where one of them is zero or the period is above 366 days.
    pub fn new(count: u32, period: Duration, burst: u32) -> Option<Rate> {
        let period_nanos = u64::try_from(period.as_nanos()).ok()?;
        let sane = count > 0 && burst > 0 && (1..=PERIOD_NANOS_MAX).contains(&period_nanos);
        sane.then_some(Rate { count, burst, period_nanos })
    }

    /// Requests per period.
    #[cfg(test)]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Requests at once; also the number of slots.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// How long an empty meter needs to be full, whatever its number of slots. Saturates.
    pub fn fill_time(&self) -> Duration {
        nanos(self.token().div_ceil(u128::from(self.count)))
    }

    /// Tokens that the whole limit gains in `time`, rounded down.
    #[cfg(test)]
    pub fn tokens_in(&self, time: Duration) -> u64 {
        u64::try_from(time.as_nanos().saturating_mul(u128::from(self.count)) / u128::from(self.period_nanos))
            .unwrap_or(u64::MAX)
    }

    /// Units in one token; below 2^87.
    const fn token(&self) -> u128 {
        self.period_nanos as u128 * self.burst as u128
    }
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
        Meter { level: rate.token() * u128::from(rate.burst), at: now, slots: rate.burst }
    }

    /// How many slots.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Whole tokens now.
    pub fn tokens(&mut self, rate: &Rate, now: Tick) -> u32 {
        self.advance(rate, now);
        // At most `slots`, by the invariant.
        (self.level / rate.token()) as u32
    }

    /// Takes `cost` tokens; false, and nothing taken, where there are not so many.
    #[must_use]
    pub fn take(&mut self, rate: &Rate, cost: u32, now: Tick) -> bool {
        self.advance(rate, now);
        let Some(rest) = self.level.checked_sub(rate.token() * u128::from(cost)) else { return false };
        self.level = rest;
        true
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

    /// How full it is, in parts of 2^32, rounded down; 0 where it has no slots.
    pub fn fill(&mut self, rate: &Rate, now: Tick) -> u64 {
        self.advance(rate, now);
        let capacity = self.capacity(rate);
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
        Meter { level, at: now, slots }
    }

    /// How long until there are `cost` tokens, if all slots of the limit refilled this meter and nobody else took any.
    pub fn wait(&mut self, rate: &Rate, cost: u32, now: Tick) -> Duration {
        self.advance(rate, now);
        let missing = (rate.token() * u128::from(cost)).saturating_sub(self.level);
        nanos(missing.div_ceil(u128::from(rate.count) * u128::from(rate.burst)))
    }

    /// How long until there is one whole token more than now, if all slots of the limit refilled this meter.
    pub fn next_token(&mut self, rate: &Rate, now: Tick) -> Duration {
        let whole = self.tokens(rate, now);
        self.wait(rate, whole.saturating_add(1), now)
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
        let moment = now.max(self.at).max(piece.at);
        self.advance(rate, moment);
        piece.advance(rate, moment);
        self.slots += piece.slots;
        self.level += piece.level;
        debug_assert!(self.slots <= rate.burst && self.level <= self.capacity(rate));
    }

    fn advance(&mut self, rate: &Rate, now: Tick) {
        let passed = now.nanos().saturating_sub(self.at.nanos());
        if passed == 0 {
            return;
        }
        self.at = now;
        // The product of two 32-bit numbers and a 64-bit one fits; the sum may not, and is then far above the capacity.
        let gained = u128::from(rate.count) * u128::from(self.slots) * u128::from(passed);
        self.level = self.level.saturating_add(gained).min(self.capacity(rate));
    }

    fn capacity(&self, rate: &Rate) -> u128 {
        rate.token() * u128::from(self.slots)
    }
}

/// Bounds every product: token < 2^87, level < 2^119.
const PERIOD_NANOS_MAX: u64 = 366 * 24 * 3_600 * 1_000_000_000;

/// Precision of a fill: a level loses less than a part in 2^31 when it is carried over to another rate.
pub(crate) const FILL_BITS: u32 = 32;
/// A level below this can be shifted by `FILL_BITS` without overflow.
const SMALL: u128 = 1 << (u128::BITS - FILL_BITS);

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::ZERO.after_ms(millis)
    }

    #[test]
    fn burst_then_rate() {
        let rate = Rate::new(10, Duration::from_secs(1), 3).unwrap();
        let mut meter = Meter::full(&rate, at(0));
        let admitted = |meter: &mut Meter, millis| meter.take(&rate, 1, at(millis));
        assert_eq!((0..5).filter(|_| admitted(&mut meter, 0)).count(), 3);
        assert_eq!(meter.wait(&rate, 1, at(0)), Duration::from_millis(100));
        assert!(!admitted(&mut meter, 99));
        assert!(admitted(&mut meter, 100));
        assert!(!admitted(&mut meter, 199));
        assert_eq!(meter.next_token(&rate, at(199)), Duration::from_millis(1));
        assert_eq!((0..5).filter(|_| admitted(&mut meter, 10_000)).count(), 3);
        // A clock that steps back gives nothing.
        assert!(!admitted(&mut meter, 0));
        assert!(meter.is_full(&rate, Tick::NEVER));
        assert_eq!(rate.fill_time(), Duration::from_millis(300));
    }

    #[test]
    fn nothing_overflows() {
        let year = Duration::from_nanos(PERIOD_NANOS_MAX);
        for (count, period) in
            [(1, year), (u32::MAX, year), (u32::MAX, Duration::from_nanos(1)), (1, Duration::from_nanos(1))]
        {
            let rate = Rate::new(count, period, u32::MAX).unwrap();
            let mut meter = Meter::full(&rate, Tick::ZERO);
            assert!(meter.take(&rate, u32::MAX, Tick::ZERO));
            assert!(!meter.take(&rate, 1, Tick::ZERO));
            let half = meter.split(&rate, u32::MAX / 2, 0, Tick::from_nanos(u64::MAX / 2));
            meter.merge(&rate, half, Tick::NEVER);
            assert!(meter.slots() == u32::MAX && meter.tokens(&rate, Tick::NEVER) > 0);
            let _ = (meter.wait(&rate, u32::MAX, Tick::ZERO), rate.tokens_in(year));
        }
        assert_eq!(Rate::new(0, year, 1), None);
        assert_eq!(Rate::new(1, year, 0), None);
        assert_eq!(Rate::new(1, year + Duration::from_nanos(1), 1), None);
    }

    proptest! {
        /// Against the textbook: the theoretical arrival time, in fractions of a nanosecond.
        #[test]
        fn agrees_with_the_textbook(
            count in 1_u32..1_000,
            period in 1_u64..10_000_000,
            burst in 1_u32..50,
            gaps in prop::collection::vec(0_u64..200_000, 1..200),
        ) {
            let rate = Rate::new(count, Duration::from_nanos(period), burst).unwrap();
            let mut meter = Meter::full(&rate, Tick::ZERO);
            // All times multiplied by `count`, so that the interval is the integer `period`.
            let (interval, tolerance) = (u128::from(period), u128::from(period) * u128::from(burst - 1));
            let mut arrival = 0_u128;
            let mut now = 0_u64;
            for gap in gaps {
                now += gap;
                let scaled = u128::from(now) * u128::from(count);
                let conforms = arrival <= scaled + tolerance;
                if conforms {
                    arrival = arrival.max(scaled) + interval;
                }
                prop_assert_eq!(meter.take(&rate, 1, Tick::from_nanos(now)), conforms);
            }
        }

        /// Carried over to another rate, a meter is as full as before and never fuller.
        #[test]
        fn a_fill_is_kept_over_a_change_of_rate(
            (old, new) in (1_u32..10_000, 1_u32..10_000),
            period in 1_u64..PERIOD_NANOS_MAX,
            used in 0_u32..10_000,
        ) {
            let before = Rate::new(7, Duration::from_nanos(period), old).unwrap();
            let after = Rate::new(9, Duration::from_millis(13), new).unwrap();
            let mut meter = Meter::full(&before, at(0));
            let used = used.min(old);
            prop_assert!(meter.take(&before, used, at(0)));
            let mut carried = Meter::filled(&after, new, meter.fill(&before, at(0)), at(0));
            let exact = u128::from(old - used) * after.token() * u128::from(new) / u128::from(old);
            prop_assert!(carried.level <= exact);
            let capacity = u128::from(new) * after.token();
            prop_assert!(carried.level + (capacity >> 29) + 1 >= exact);
            prop_assert_eq!(carried.is_full(&after, at(0)), used == 0);
        }

        #[test]
        fn pieces_hold_what_the_whole_held(
            burst in 1_u32..100,
            used in 0_u32..100,
            cuts in prop::collection::vec((any::<u32>(), 0_u32..100), 1..20),
        ) {
            let rate = Rate::new(7, Duration::from_millis(13), burst).unwrap();
            let mut rest = Meter::full(&rate, at(0));
            let _ = rest.take(&rate, used.min(burst), at(0));
            let mut whole = rest;
            let mut cut = |(slots, reserve): &(u32, u32)| rest.split(&rate, slots % (burst + 1), *reserve, at(1));
            let pieces: Vec<Meter> = cuts.iter().map(&mut cut).collect();
            prop_assert!(pieces.iter().all(|piece| piece.level <= piece.capacity(&rate)));
            for piece in pieces {
                rest.merge(&rate, piece, at(1));
            }
            let _ = whole.tokens(&rate, at(1));
            prop_assert_eq!(rest, whole);
        }
    }
}
