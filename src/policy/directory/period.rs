// SPDX-License-Identifier: Apache-2.0
//! The time that a limit of a plan counts in.

use std::time::Duration;

/// The time that a limit of a plan counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// Any span of this length.
    Rolling(Duration),
    /// A unit of the calendar, from its first moment in UTC to its last.
    Calendar(Unit),
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// From second 0.
    Minute,
    /// From minute 0.
    Hour,
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
}

impl Unit {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Unit); 5] = [
        ("minute", Unit::Minute),
        ("hour", Unit::Hour),
        ("day", Unit::Day),
        ("week", Unit::Week),
        ("month", Unit::Month),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Minute => "minute",
            Unit::Hour => "hour",
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::Month => "month",
        }
    }
}

/// So many in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// How many requests or tokens.
    pub count: u64,
    /// In which time.
    pub per: Period,
}
