// SPDX-License-Identifier: Apache-2.0
//! Points in time and durations of CEL, in nanoseconds, with the calendar (proleptic Gregorian, without leap seconds).

use std::fmt::Write;

/// A point in time from the year 1 to the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Since 1970-01-01T00:00:00Z.
    seconds: i64,
    nanos: u32,
}

/// A duration of up to ten thousand years, forwards or backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    seconds: i64,
    /// Always forwards.
    nanos: u32,
}

const BILLION: i128 = 1_000_000_000;
/// 0001-01-01T00:00:00Z.
const SECONDS_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const SECONDS_MAX: i64 = 253_402_300_799;
/// The range of durations in protobuf.
const SPAN_MAX: i128 = 315_576_000_000 * BILLION;

impl Instant {
    /// The beginning of 1970.
    pub const EPOCH: Instant = Instant { seconds: 0, nanos: 0 };

    /// That many microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Instant {
        // A count of microseconds has fewer than 45 bits of seconds.
        Instant { seconds: (micros / 1_000_000) as i64, nanos: (micros % 1_000_000) as u32 * 1_000 }
    }

    /// That many seconds after the epoch; `None` outside of the range.
    pub(super) fn from_seconds(seconds: i64) -> Option<Instant> {
        (SECONDS_MIN..=SECONDS_MAX).contains(&seconds).then_some(Instant { seconds, nanos: 0 })
    }

    pub(super) const fn seconds(self) -> i64 {
        self.seconds
    }

    fn nanos(self) -> i128 {
        i128::from(self.seconds) * BILLION + i128::from(self.nanos)
    }

    fn from_nanos(nanos: i128) -> Option<Instant> {
        let seconds = i64::try_from(nanos.div_euclid(BILLION)).ok()?;
        Instant::from_seconds(seconds).map(|whole| Instant { nanos: nanos.rem_euclid(BILLION) as u32, ..whole })
    }

    pub(super) fn plus(self, span: Span) -> Option<Instant> {
        Instant::from_nanos(self.nanos() + span.nanos())
    }

    pub(super) fn minus(self, span: Span) -> Option<Instant> {
        Instant::from_nanos(self.nanos() - span.nanos())
    }

    pub(super) fn since(self, other: Instant) -> Option<Span> {
        Span::from_nanos(self.nanos() - other.nanos())
    }

    /// Reads RFC 3339: `2026-11-30T20:00:00Z`, with a fraction and an offset where they are there.
    pub(super) fn parse(text: &str) -> Option<Instant> {
        let bytes = text.as_bytes();
        let number = |from: usize, len: usize| -> Option<i64> {
            let digits = bytes.get(from..from + len)?;
            digits
                .iter()
                .all(u8::is_ascii_digit)
                .then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
        };
        let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) || !matches!(bytes.get(10)?, b'T' | b't') {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        let days = days_of_month(year, month)?;
        if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 || year == 0 {
            return None;
        }
        let mut rest = &text[19..];
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&len) {
                return None;
            }
            nanos = fraction[..len].parse::<u32>().ok()? * 10_u32.pow(9 - len as u32);
            rest = &fraction[len..];
        }
        let offset = if matches!(rest, "Z" | "z") { 0 } else { offset(rest).filter(|_| rest.len() == 6)? };
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
        Instant::from_seconds(seconds).map(|whole| Instant { nanos, ..whole })
    }

    /// Its calendar at that offset from UTC in seconds.
    pub(super) fn civil(self, offset: i64) -> Civil {
        let local = self.seconds + offset;
        let (days, second_of_day) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            day_of_week: (days + 4).rem_euclid(7),
            day_of_year: days - days_from_civil(year, 1, 1),
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            milli: i64::from(self.nanos / 1_000_000),
        }
    }

    /// Writes RFC 3339 in UTC.
    pub(super) fn write(self, out: &mut impl Write) -> std::fmt::Result {
        let Civil { year, month, day, hour, minute, second, .. } = self.civil(0);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        fraction(self.nanos, out)?;
        out.write_char('Z')
    }
}

impl Span {
    pub(super) fn nanos(self) -> i128 {
        i128::from(self.seconds) * BILLION + i128::from(self.nanos)
    }

    pub(super) fn from_nanos(nanos: i128) -> Option<Span> {
        if !(-SPAN_MAX..=SPAN_MAX).contains(&nanos) {
            return None;
        }
        let seconds = i64::try_from(nanos.div_euclid(BILLION)).ok()?;
        Some(Span { seconds, nanos: nanos.rem_euclid(BILLION) as u32 })
    }

    /// Reads `1h30m`, `1.5s`, `-20ms`: numbers with `h`, `m`, `s`, `ms`, `us` or `ns`.
    pub(super) fn parse(text: &str) -> Option<Span> {
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Span::from_nanos(0);
        }
        if rest.is_empty() || text.len() > 64 {
            return None;
        }
        let mut nanos = 0_i128;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let whole: i128 = if digits == 0 { 0 } else { rest[..digits].parse::<u64>().ok()?.into() };
            let behind = &rest[digits..];
            let fraction = behind.strip_prefix('.').unwrap_or("");
            let fraction = &fraction[..fraction.bytes().take_while(u8::is_ascii_digit).count()];
            if digits == 0 && fraction.is_empty() {
                return None;
            }
            let behind = behind.strip_prefix('.').map_or(behind, |behind| &behind[fraction.len()..]);
            let (name, unit) = UNITS.iter().find(|(name, _)| behind.starts_with(name))?;
            let mut part = *unit;
            nanos += whole * unit;
            for digit in fraction.bytes() {
                part /= 10;
                nanos += i128::from(digit - b'0') * part;
            }
            rest = &behind[name.len()..];
        }
        Span::from_nanos(if negative { -nanos } else { nanos })
    }

    /// Writes it in seconds: `5400s`, `0.25s`.
    pub(super) fn write(self, out: &mut impl Write) -> std::fmt::Result {
        let nanos = self.nanos();
        if nanos < 0 {
            out.write_char('-')?;
        }
        let nanos = nanos.unsigned_abs();
        write!(out, "{}", nanos / 1_000_000_000)?;
        fraction((nanos % 1_000_000_000) as u32, out)?;
        out.write_char('s')
    }
}

/// `m` after those that begin with it.
const UNITS: [(&str, i128); 7] = [
    ("h", 3_600 * BILLION),
    ("ms", 1_000_000),
    ("m", 60 * BILLION),
    ("s", BILLION),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// A point in time on the calendar.
pub(super) struct Civil {
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// From Sunday, which is 0.
    pub day_of_week: i64,
    /// From 0.
    pub day_of_year: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub milli: i64,
}

/// The offset from UTC in seconds that a time zone names: `UTC`, `+02:00`, `-08:00`, `02:00`.
pub(super) fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "UTC" | "Z" | "") {
        return Some(0);
    }
    let (sign, rest) = match zone.as_bytes()[0] {
        b'-' => (-1, &zone[1..]),
        b'+' => (1, &zone[1..]),
        _ => (1, zone),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str| {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<i64>().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn fraction(nanos: u32, out: &mut impl Write) -> std::fmt::Result {
    if nanos == 0 {
        return Ok(());
    }
    let (mut digits, mut width) = (nanos, 9);
    while digits % 10 == 0 {
        digits /= 10;
        width -= 1;
    }
    write!(out, ".{digits:0width$}")
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    })
}

/// Days since 1970-01-01 of a date, with years that begin in March so that the leap day is the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The reverse: year, month and day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    fn shown(instant: Instant) -> String {
        let mut out = String::new();
        instant.write(&mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn instants_are_read_as_written(seconds in SECONDS_MIN..=SECONDS_MAX, nanos in 0_u32..1_000_000_000) {
            let instant = Instant { seconds, nanos };
            prop_assert_eq!(Instant::parse(&shown(instant)), Some(instant));
        }

        #[test]
        fn garbage_is_no_time(text in "[0-9TZ:.+-]{0,30}") {
            if let Some(instant) = Instant::parse(&text) {
                prop_assert_eq!(Instant::parse(&shown(instant)), Some(instant));
            }
            if let Some(span) = Span::parse(&text) {
                prop_assert_eq!(span, Span::from_nanos(span.nanos()).unwrap());
            }
        }
    }

    #[test]
    fn odd_dates_are_refused() {
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00",
            "0000-01-01T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0200",
            "2026-01-01T00:00:00é",
        ] {
            assert_eq!(Instant::parse(text), None, "{text}");
        }
        assert_eq!(Instant::parse("2024-02-29T01:00:00.5+01:00"), Instant::parse("2024-02-29T00:00:00.500Z"));
    }
}
