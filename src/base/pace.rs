// SPDX-License-Identifier: Apache-2.0
//! Hot. Tells a peer that takes what is written, however slowly, from one that does not.
//!
//! Pure: time and counts are arguments. Nothing is looked at while the peer keeps up. While one write is pending, a
//! look comes now and then (`Pace::interval`). It counts only the time since the look before it at the same write, so a
//! connection on which nothing is to be written is never judged.

use std::cell::Cell;
use std::time::Duration;

use crate::base::tick::Tick;

/// What is demanded of a peer that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Longest time without progress, in milliseconds; zero demands nothing at all.
    idle_ms: u32,
    /// Bytes a second at least; zero demands none.
    rate: u32,
    /// How far the peer may fall behind that rate, in milliseconds.
    grace_ms: u32,
}

impl Pace {
    /// Nothing is demanded.
    pub const NONE: Pace = Pace { idle_ms: 0, rate: 0, grace_ms: 0 };

    /// Some progress within each `idle`, at least a millisecond.
    pub fn idle(idle: Duration) -> Pace {
        Pace { idle_ms: millis(idle).max(1), ..Pace::NONE }
    }

    /// The same, and `rate` bytes a second, which the peer may be behind by `grace`. A rate of zero demands none.
    #[must_use]
    pub fn with_rate(self, rate: u32, grace: Duration) -> Pace {
        Pace { rate, grace_ms: millis(grace).max(1), ..self }
    }

    /// The least rate in bytes a second, and how far the peer may fall behind it.
    pub fn rate(self) -> Option<(u32, Duration)> {
        (self.rate > 0).then_some((self.rate, Duration::from_millis(self.grace_ms.into())))
    }

    /// Is anything demanded?
    pub fn is_any(self) -> bool {
        self.idle_ms > 0
    }

    /// The time between two looks: short enough that a timeout is late by a quarter at most.
    pub fn interval(self) -> Duration {
        let shortest = if self.rate > 0 { self.idle_ms.min(self.grace_ms) } else { self.idle_ms };
        Duration::from_millis((shortest / 4).max(1).into())
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The peer may go on.
    GoesOn,
    /// It stood still for too long, or fell behind by too much.
    TooSlow,
}

/// What was seen of a peer.
#[derive(Debug)]
pub(crate) struct Judge {
    /// The last look at any write; `NEVER` before the first.
    looked: Cell<Tick>,
    /// Nobody has looked at the pending write yet.
    begun: Cell<bool>,
    /// The last look that saw progress.
    moved: Cell<Tick>,
    /// Bytes delivered at the last look.
    seen: Cell<i64>,
    /// How far the peer is behind the least rate, in microseconds.
    behind: Cell<u64>,
}

impl Default for Judge {
    fn default() -> Judge {
        Judge {
            looked: Cell::new(Tick::NEVER),
            begun: Cell::new(true),
            moved: Cell::new(Tick::NEVER),
            seen: Cell::new(0),
            behind: Cell::new(0),
        }
    }
}

impl Judge {
    /// Another write begins: the peer took the one before.
    pub(crate) fn begin(&self) {
        self.begun.set(true);
    }

    /// Looks at a pending write. `delivered` counts the bytes that reached the peer, from any beginning.
    pub(crate) fn look(&self, pace: Pace, now: Tick, delivered: i64) -> Verdict {
        let before = self.looked.replace(now);
        let fresh = delivered.saturating_sub(self.seen.replace(delivered)).max(0);
        let first = self.begun.replace(false) || before == Tick::NEVER;
        if first || fresh > 0 {
            self.moved.set(now);
        }
        let rate = u64::from(pace.rate.max(1));
        let earned = (fresh as u64).saturating_mul(1_000_000) / rate;
        if first {
            // The peer took the write before. Where it also left the time of a look with nothing to look at, it has
            // caught up; otherwise what it took meanwhile counts for it.
            let caught_up = before == Tick::NEVER || now.since(before) >= pace.interval() * 2;
            self.behind.set(if caught_up { 0 } else { self.behind.get().saturating_sub(earned) });
            return Verdict::GoesOn;
        }
        if now.since(self.moved.get()) >= Duration::from_millis(pace.idle_ms.into()) {
            return Verdict::TooSlow;
        }
        let Some((_, grace)) = pace.rate() else { return Verdict::GoesOn };
        let behind = (self.behind.get() + now.micros_since(before)).saturating_sub(earned);
        self.behind.set(behind);
        if Duration::from_micros(behind) > grace { Verdict::TooSlow } else { Verdict::GoesOn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks as often as is due at a write of which `deliver` says how much was taken in the interval; when it is cut.
    fn cut_after(pace: Pace, most: Duration, mut deliver: impl FnMut(u64) -> i64) -> Option<Duration> {
        let (judge, mut now, mut delivered, mut number) = (Judge::default(), Tick::ZERO, 0, 0);
        judge.begin();
        while now.since(Tick::ZERO) <= most {
            if judge.look(pace, now, delivered) == Verdict::TooSlow {
                return Some(now.since(Tick::ZERO));
            }
            delivered += deliver(number);
            number += 1;
            now = now.after(pace.interval());
        }
        None
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    fn usual() -> Pace {
        Pace::idle(Duration::from_secs(30)).with_rate(240, Duration::from_secs(30))
    }

    #[test]
    fn who_moves_at_the_least_rate_is_never_cut() {
        let interval = usual().interval().as_secs_f64();
        assert_eq!(cut_after(usual(), HOUR, |_| (240.0 * interval) as i64), None);
        // In gulps that come every twenty seconds.
        assert_eq!(cut_after(usual(), HOUR, |number| if number % 3 == 0 { 5_400 } else { 0 }), None);
    }

    #[test]
    fn who_stands_still_is_cut_in_time_and_who_drips_by_the_rate() {
        assert_eq!(cut_after(usual(), HOUR, |_| 0), Some(Duration::from_secs(30)));
        let drips = cut_after(usual(), HOUR, |_| 60).expect("eight bytes a second");
        assert!((30..=40).contains(&drips.as_secs()), "{drips:?}");
        let without = Pace::idle(Duration::from_secs(30));
        assert_eq!(cut_after(without, HOUR, |_| 1), None, "without a rate one byte is progress");
        // What was taken fast is no credit for later.
        let spent = cut_after(usual(), HOUR, |number| if number == 0 { 100_000_000 } else { 1 }).expect("it drips");
        assert!(spent.as_secs() <= 50, "{spent:?}");
    }

    /// Ten pauses, each shorter than the longest one allowed, between stretches in which `between` bytes are taken in
    /// `writes` writes of `each_ms`; is it cut?
    fn is_cut_by_pauses(writes: u64, each_ms: u64, between: i64) -> bool {
        let (judge, pace) = (Judge::default(), usual());
        let (mut now, mut delivered, mut look_at) = (Tick::ZERO, 0, Tick::ZERO);
        for _ in 0..10 {
            for write in 0..=writes {
                let long = if write == 0 { 20_000 } else { each_ms };
                judge.begin();
                let end = now.after_ms(long);
                if look_at < now {
                    // Nothing was pending then.
                    look_at = now.after(pace.interval());
                }
                while look_at <= end {
                    if judge.look(pace, look_at, delivered) == Verdict::TooSlow {
                        return true;
                    }
                    look_at = look_at.after(pace.interval());
                }
                now = end;
                delivered += between / writes.max(1) as i64;
            }
        }
        false
    }

    #[test]
    fn pauses_of_one_that_catches_up_between_them_do_not_add_up() {
        assert!(!is_cut_by_pauses(10_000, 10, 100_000_000), "it takes a megabyte a second between them");
        assert!(!is_cut_by_pauses(100, 1_000, 100_000), "a thousand bytes a second, and no write takes long");
        assert!(is_cut_by_pauses(0, 0, 1_000), "a thousand bytes in twenty seconds");
    }

    #[test]
    fn time_between_writes_does_not_count() {
        let (judge, pace) = (Judge::default(), usual());
        for second in (0..10_000).step_by(100) {
            judge.begin();
            let now = Tick::ZERO.after_ms(second * 1_000);
            assert_eq!(judge.look(pace, now, second as i64), Verdict::GoesOn);
        }
    }
}
