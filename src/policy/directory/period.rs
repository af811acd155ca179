// SPDX-License-Identifier: Apache-2.0
//! The time that a limit of a plan counts in.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::policy::limit::calendar::{Calendar, Unit};
use crate::policy::limit::gcra::Rate;
use crate::policy::rate_limit::Window;

/// The time that a limit of a plan counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// Any span of this length.
    Rolling(Duration),
    /// A unit of the calendar, from its first moment in UTC to its last.
    Calendar(Unit),
}

impl Period {
    /// The units of the calendar that plans count in, with their names.
    pub const UNITS: [Unit; 5] = [Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month];
}

/// So many in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// How many requests or tokens.
    pub count: u64,
    /// In which time.
    pub per: Period,
}

impl Allowance {
    /// The same as a window of the plan of that name, with slots of a key's own. `None` where there is no such rate,
    /// which no plan has that was checked.
    pub fn window(&self, plan: &str) -> Option<Window> {
        let slots = u32::try_from(self.count).ok()?;
        let (rate, calendar, name) = match self.per {
            Period::Rolling(span) if span.subsec_nanos() == 0 => {
                (Rate::new(1, span, 1)?, None, format!("{plan}-{}s", span.as_secs()))
            }
            Period::Rolling(span) => (Rate::new(1, span, 1)?, None, format!("{plan}-{}ms", span.as_millis())),
            Period::Calendar(unit) => {
                let calendar = Calendar { unit, zone: TimeZone::UTC };
                (Rate::counted(1)?, Some(calendar), format!("{plan}-{}", unit.name()))
            }
        };
        let unit = calendar.as_ref().map(|calendar| calendar.unit);
        Some(Window::new(name.into(), rate.with_slots(slots)?, calendar, unit))
    }
}
