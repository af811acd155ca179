// SPDX-License-Identifier: Apache-2.0
//! Windows of the calendar: seconds, minutes, hours, days, weeks and months, each beginning where the one before ends.
//!
//! A window is known by its beginning. Beginnings only grow with the time that is asked for, whatever the zone does to
//! its clocks: a day in which they change is an hour longer or shorter.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use crate::base::{Tick, Wall};

/// Which windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// How long one is.
    pub unit: Unit,
    /// Whose clocks say when hours, days, weeks and months begin.
    pub zone: TimeZone,
}

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week from Monday on.
    Week,
    /// A month.
    Month,
}

/// One window, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub start: u64,
    /// The first second behind it.
    pub end: u64,
}

impl Window {
    /// Its beginning as the clock of a counted rate shows it.
    pub fn began(&self) -> Tick {
        Tick::from_nanos(self.start.saturating_mul(NANOS))
    }

    /// Is this in it?
    pub fn contains(&self, wall: Wall) -> bool {
        (self.start..self.end).contains(&wall.seconds())
    }
}

impl Calendar {
    /// The window in which this is.
    pub fn window(&self, wall: Wall) -> Window {
        let seconds = wall.seconds();
        let found = match self.unit {
            Unit::Second | Unit::Minute => None,
            Unit::Hour | Unit::Day | Unit::Week | Unit::Month => self.of_zone(seconds),
        };
        // What no calendar knows any more, thousands of years from now, is counted from 1970.
        found.filter(|window| window.contains(wall)).unwrap_or_else(|| {
            let length = self.unit.seconds();
            let start = seconds - seconds % length;
            Window { start, end: start.saturating_add(length) }
        })
    }

    fn of_zone(&self, seconds: u64) -> Option<Window> {
        let now = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?.to_zoned(self.zone.clone());
        if self.unit == Unit::Hour {
            let start = seconds - u64::try_from(i64::from(now.minute()) * 60 + i64::from(now.second())).ok()?;
            return Some(Window { start, end: start + Unit::Hour.seconds() });
        }
        let (first, length) = self.days(&now)?;
        let start = self.begins(first)?;
        Some(Window { start, end: self.begins(first.checked_add(length).ok()?)? })
    }

    /// The first day of the window, and how long it is.
    fn days(&self, now: &Zoned) -> Option<(Date, Span)> {
        let date = now.date();
        match self.unit {
            Unit::Second | Unit::Minute | Unit::Hour => None,
            Unit::Day => Some((date, Span::new().days(1))),
            Unit::Week => {
                let since = date.weekday().since(Weekday::Monday);
                Some((date.checked_sub(Span::new().days(since)).ok()?, Span::new().days(7)))
            }
            Unit::Month => Some((date.first_of_month(), Span::new().months(1))),
        }
    }

    /// The first second of a day.
    fn begins(&self, date: Date) -> Option<u64> {
        let begins = date.to_zoned(self.zone.clone()).ok()?;
        u64::try_from(begins.timestamp().as_second()).ok()
    }
}

impl Unit {
    /// Its name, as in `"1000/day"`.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Second => "second",
            Unit::Minute => "minute",
            Unit::Hour => "hour",
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::Month => "month",
        }
    }

    /// How long one usually is.
    pub const fn seconds(self) -> u64 {
        match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3_600,
            Unit::Day => 24 * 3_600,
            Unit::Week => 7 * 24 * 3_600,
            Unit::Month => 30 * 24 * 3_600,
        }
    }
}

const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn calendar(unit: Unit, zone: &str) -> Calendar {
        Calendar { unit, zone: TimeZone::get(zone).unwrap() }
    }

    fn wall(text: &str) -> Wall {
        Wall(u64::try_from(text.parse::<Timestamp>().unwrap().as_microsecond()).unwrap())
    }

    #[test]
    fn windows_begin_and_end_where_people_expect_it() {
        const CASES: &[(Unit, &str, &str, &str, &str)] = &[
            (Unit::Second, "UTC", "2026-03-01T10:20:30.9Z", "2026-03-01T10:20:30Z", "2026-03-01T10:20:31Z"),
            (Unit::Minute, "Asia/Kolkata", "2026-03-01T10:20:30Z", "2026-03-01T10:20:00Z", "2026-03-01T10:21:00Z"),
            (Unit::Hour, "UTC", "2026-03-01T10:20:30Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"),
            (Unit::Hour, "Asia/Kolkata", "2026-03-01T10:20:30Z", "2026-03-01T09:30:00Z", "2026-03-01T10:30:00Z"),
            (Unit::Day, "UTC", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
            (Unit::Day, "America/New_York", "2026-01-01T04:59:59Z", "2025-12-31T05:00:00Z", "2026-01-01T05:00:00Z"),
            // Clocks go forward, and back.
            (Unit::Day, "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            (Unit::Day, "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            (Unit::Week, "UTC", "2026-03-01T23:59:59Z", "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z"),
            (Unit::Week, "UTC", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"),
            (Unit::Month, "UTC", "2028-02-29T23:59:59Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            (Unit::Month, "Europe/Berlin", "2026-03-31T22:00:00Z", "2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z"),
        ];
        for (unit, zone, at, start, end) in CASES {
            let window = calendar(*unit, zone).window(wall(at));
            let expected = Window { start: wall(start).seconds(), end: wall(end).seconds() };
            assert_eq!(window, expected, "{unit:?} in {zone} at {at}");
        }
    }

    proptest! {
        #[test]
        fn windows_hold_what_was_asked_for_and_only_follow_each_other(
            (first, gap) in (0_u64..20_000_000_000, 0_u64..4_000_000),
            (unit, zone) in (0_usize..6, 0_usize..4),
        ) {
            let units = [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month];
            let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo"];
            let calendar = calendar(units[unit], zones[zone]);
            let (before, after) = (Wall(first * 1_000_000), Wall((first + gap) * 1_000_000));
            let (early, late) = (calendar.window(before), calendar.window(after));
            prop_assert!(early.contains(before) && late.contains(after));
            prop_assert!(late.start >= early.start);
            prop_assert!(early.contains(after) || late.start > early.start, "{early:?} {late:?}");
        }
    }
}
