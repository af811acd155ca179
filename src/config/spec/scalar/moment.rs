// SPDX-License-Identifier: Apache-2.0
//! Moments of the calendar, in UTC.

use crate::base::Wall;
use crate::config::spec::scalar::{Moment, Scalar};

impl Scalar for Moment {
    const NAME: &'static str = "moment";
    const EXPECTED: &'static str = "a moment such as \"2027-01-31\" or \"2027-01-31T12:00:00Z\"";

    fn parse(text: &str) -> Result<Moment, String> {
        let text = text.trim();
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00Z"));
        let part = |text: Option<&str>, digits: usize| {
            let text = text.filter(|text| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()));
            text.and_then(|text| text.parse::<u64>().ok()).ok_or("it is not written like that")
        };
        let mut dates = date.split('-');
        let (year, month, day) = (part(dates.next(), 4)?, part(dates.next(), 2)?, part(dates.next(), 2)?);
        let time = time.strip_suffix('Z').ok_or("the time is given in UTC, with a `Z` at its end")?;
        let mut times = time.split(':');
        let (hour, minute, second) = (part(times.next(), 2)?, part(times.next(), 2)?, part(times.next(), 2)?);
        if dates.next().is_some() || times.next().is_some() {
            return Err("there is too much of it".to_owned());
        }
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days_of = |month: u64| match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let sane = year >= 1970 && (1..=12).contains(&month) && (1..=days_of(month)).contains(&day);
        if !sane || hour > 23 || minute > 59 || second > 59 {
            return Err("there is no such moment after 1970".to_owned());
        }
        let before = year - 1;
        let leaps = (before / 4 - before / 100 + before / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
        let days = (year - 1970) * 365 + leaps + (1..month).map(days_of).sum::<u64>() + day - 1;
        Ok(Moment(Wall((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000)))
    }

    fn show(&self) -> String {
        let seconds = self.0.seconds();
        let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
        let length = |year: u64| {
            365 + u64::from(year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)))
        };
        let mut year = 1970;
        while days >= length(year) {
            days -= length(year);
            year += 1;
        }
        let february = if length(year) == 366 { 29 } else { 28 };
        let mut month = 1;
        for of_month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if days < of_month {
                break;
            }
            days -= of_month;
            month += 1;
        }
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}
