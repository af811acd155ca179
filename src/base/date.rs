// SPDX-License-Identifier: Apache-2.0
//! Hot. Writes calendar time as HTTP and logs do. The caller reads the clock and passes a `Wall`.
//!
//! `DateCache` keeps the text of the current second, so that a response costs a comparison and a copy of 29 bytes.
//! All times are UTC.

use crate::base::Wall;
use crate::base::ascii::two_digits;

/// Length of an IMF-fixdate (RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) const IMF_LEN: usize = 29;
/// Length of a common-log-format time without its brackets: `06/Nov/1994:08:49:37 +0000`.
pub(crate) const CLF_LEN: usize = 26;
/// Length of an RFC 3339 time with microseconds: `1994-11-06T08:49:37.000000Z`.
pub(crate) const RFC3339_LEN: usize = 27;

const SECONDS_A_DAY: u64 = 86_400;
const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
/// The last second whose year has four digits: 9999-12-31T23:59:59Z. Later times are written as this one.
const LAST_SECOND: u64 = 253_402_300_799;

/// The text of the current second, written anew only when the second changes.
#[derive(Clone, Debug)]
pub(crate) struct DateCache {
    second: u64,
    imf: [u8; IMF_LEN],
}

impl Default for DateCache {
    fn default() -> DateCache {
        DateCache { second: 0, imf: imf(Wall(0)) }
    }
}

impl DateCache {
    /// The IMF-fixdate of `now`, for a `Date` field.
    pub(crate) fn imf(&mut self, now: Wall) -> &[u8; IMF_LEN] {
        if now.seconds() != self.second {
            self.second = now.seconds();
            self.imf = imf(now);
        }
        &self.imf
    }
}

/// The text of the current second by RFC 3339, whose microseconds alone are written each time.
#[derive(Clone, Debug)]
pub(crate) struct Rfc3339Cache {
    second: u64,
    text: [u8; RFC3339_LEN],
}

impl Default for Rfc3339Cache {
    fn default() -> Rfc3339Cache {
        Rfc3339Cache { second: 0, text: rfc3339(Wall(0)) }
    }
}

impl Rfc3339Cache {
    /// `now` by RFC 3339, with microseconds.
    pub(crate) fn text(&mut self, now: Wall) -> &[u8; RFC3339_LEN] {
        if now.seconds() != self.second {
            self.second = now.seconds();
            self.text = rfc3339(now);
        } else {
            write_micros(&mut self.text, now);
        }
        &self.text
    }
}

/// `now` as an IMF-fixdate.
pub(crate) fn imf(now: Wall) -> [u8; IMF_LEN] {
    let date = Civil::of(now);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    out[0..3].copy_from_slice(DAYS[date.weekday]);
    out[5..7].copy_from_slice(&two_digits(date.day));
    out[8..11].copy_from_slice(MONTHS[date.month as usize - 1]);
    out[12..16].copy_from_slice(&date.year_digits());
    out[17..25].copy_from_slice(&date.clock());
    out
}

/// Reads an IMF-fixdate; the obsolete forms of RFC 9110 section 5.6.7 are not read.
pub(crate) fn parse_imf(text: &[u8]) -> Option<Wall> {
    let number = |at: std::ops::Range<usize>| -> Option<u64> {
        let digits = text.get(at)?;
        let plain = digits.iter().all(u8::is_ascii_digit);
        plain.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    };
    let month = MONTHS.iter().position(|name| text.get(8..11).is_some_and(|text| text == *name))? as u64 + 1;
    let (day, year) = (number(5..7)?, number(12..16)?);
    let (hour, minute, second) = (number(17..19)?, number(20..22)?, number(23..25)?);
    // As in `Civil::of`: years begin on 1 March.
    let shifted = if month > 2 { year } else { year.checked_sub(1)? };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = shifted % 400 * 365 + shifted % 400 / 4 - shifted % 400 / 100 + day_of_year;
    let days = (shifted / 400 * 146_097 + day_of_era).checked_sub(719_468)?;
    let wall = Wall((days * SECONDS_A_DAY + hour * 3_600 + minute * 60 + second) * 1_000_000);
    // What is written in another way, or is no date, is not what this moment is written as.
    (imf(wall) == text).then_some(wall)
}

/// `now` as the common log format writes it, without brackets.
pub(crate) fn clf(now: Wall) -> [u8; CLF_LEN] {
    let date = Civil::of(now);
    let mut out = *b"01/Jan/1970:00:00:00 +0000";
    out[0..2].copy_from_slice(&two_digits(date.day));
    out[3..6].copy_from_slice(MONTHS[date.month as usize - 1]);
    out[7..11].copy_from_slice(&date.year_digits());
    out[12..20].copy_from_slice(&date.clock());
    out
}

/// `now` by RFC 3339, with microseconds.
pub(crate) fn rfc3339(now: Wall) -> [u8; RFC3339_LEN] {
    let date = Civil::of(now);
    let mut out = *b"1970-01-01T00:00:00.000000Z";
    out[0..4].copy_from_slice(&date.year_digits());
    out[5..7].copy_from_slice(&two_digits(date.month));
    out[8..10].copy_from_slice(&two_digits(date.day));
    out[11..19].copy_from_slice(&date.clock());
    write_micros(&mut out, now);
    out
}

fn write_micros(text: &mut [u8; RFC3339_LEN], now: Wall) {
    let micros = now.subsec_micros();
    for (pair, part) in text[20..26].chunks_exact_mut(2).zip([micros / 10_000, micros / 100, micros]) {
        pair.copy_from_slice(&two_digits(part));
    }
}

/// A point in time by calendar and clock.
struct Civil {
    year: u32,
    month: u32,
    day: u32,
    /// Days after Thursday, as 1970-01-01 was one.
    weekday: usize,
    second_of_day: u32,
}

impl Civil {
    /// Counts in years that begin on 1 March, so that the leap day is a year's last and each five months from March
    /// take 153 days.
    fn of(now: Wall) -> Civil {
        let seconds = now.seconds().min(LAST_SECOND);
        let days = seconds / SECONDS_A_DAY;
        // 0000-03-01 lies 719 468 days before 1970-01-01; 146 097 days make 400 years.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = 400 * era + year_of_era + u64::from(month <= 2);
        Civil {
            year: year as u32,
            month: month as u32,
            day: day as u32,
            weekday: (days % 7) as usize,
            second_of_day: (seconds % SECONDS_A_DAY) as u32,
        }
    }

    fn year_digits(&self) -> [u8; 4] {
        let [thousands, hundreds] = two_digits(self.year / 100);
        let [tens, ones] = two_digits(self.year);
        [thousands, hundreds, tens, ones]
    }

    /// `hh:mm:ss`
    fn clock(&self) -> [u8; 8] {
        let mut out = *b"00:00:00";
        out[0..2].copy_from_slice(&two_digits(self.second_of_day / 3_600));
        out[3..5].copy_from_slice(&two_digits(self.second_of_day / 60 % 60));
        out[6..8].copy_from_slice(&two_digits(self.second_of_day % 60));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const LEN: usize>(bytes: [u8; LEN]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn known_points() {
        let rfc = Wall(784_111_777_000_042);
        assert_eq!(text(imf(rfc)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(clf(rfc)), "06/Nov/1994:08:49:37 +0000");
        assert_eq!(text(rfc3339(rfc)), "1994-11-06T08:49:37.000042Z");
        assert_eq!(text(imf(Wall(0))), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(rfc3339(Wall(951_782_400_000_000))), "2000-02-29T00:00:00.000000Z");
        assert_eq!(text(rfc3339(Wall(4_107_542_399_999_999))), "2100-02-28T23:59:59.999999Z");
        assert_eq!(text(rfc3339(Wall(u64::MAX))), "9999-12-31T23:59:59.551615Z");
        assert_eq!(text(imf(Wall(1_795_132_800_000_000))), "Fri, 20 Nov 2026 00:00:00 GMT");
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let lengths = |year: u32| {
            let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
            [31, 28 + u32::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..146_097_u64 {
            let date = Civil::of(Wall(days * SECONDS_A_DAY * 1_000_000));
            assert_eq!((date.year, date.month, date.day), (year, month, day));
            let late = Wall((days * SECONDS_A_DAY + 86_399) * 1_000_000);
            assert_eq!(parse_imf(&imf(late)), Some(late));
            day += 1;
            if day > lengths(year)[month as usize - 1] {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn what_is_no_date_is_not_read() {
        for text in [
            "",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:60 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Thu, 30 Feb 2023 00:00:00 GMT",
            "Sun, 06 Nov 0000 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_imf(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn cache_follows_the_second() {
        let mut cache = DateCache::default();
        assert_eq!(cache.imf(Wall(999_999)), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(cache.imf(Wall(1_000_000)), b"Thu, 01 Jan 1970 00:00:01 GMT");
        assert_eq!(cache.imf(Wall(5)), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
