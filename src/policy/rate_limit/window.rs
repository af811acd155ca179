// SPDX-License-Identifier: Apache-2.0
//! Hot. One window of a rate limit, and where a request stands in it.

use std::time::Duration;

use smallvec::SmallVec;

use crate::base::ascii::push_decimal;
use crate::policy::limit::LimitState;
use crate::policy::limit::calendar::{Calendar, Unit};
use crate::policy::limit::gcra::Rate;
use crate::policy::text::append_field_string;

/// So many in some time. What `RateLimit-Policy` says of it is made once, so that no request has to: `item` follows
/// from `name`, `rate` and `calendar`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    name: Box<str>,
    rate: Rate,
    calendar: Option<Calendar>,
    /// The unit of time whose name it has in fields that are named by one.
    pub unit: Option<Unit>,
    item: Item,
}

/// `"name";q=100;w=60`
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    text: Box<[u8]>,
    /// How much of it is the name with its quotes.
    name_len: usize,
}

/// Where a request stands in the windows that were tried.
pub(crate) type Standings = SmallVec<[Standing; 4]>;

/// Where a request stands in one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// The window's place in the plan.
    pub at: usize,
    /// What one unit of the cost is in it.
    pub units: u32,
    /// What is left of it.
    pub state: LimitState,
}

impl Standing {
    /// How many may come at once.
    pub(super) fn quota(&self, windows: &[Window]) -> u64 {
        u64::from(windows[self.at].rate.burst() / self.units)
    }
}

impl Window {
    /// So many in some time; `calendar` where it is counted in windows of one.
    pub fn new(name: Box<str>, rate: Rate, calendar: Option<Calendar>, unit: Option<Unit>) -> Window {
        let mut text = Vec::new();
        append_field_string(&name, &mut text);
        let name_len = text.len();
        append_policy(rate.burst().into(), length(&rate, calendar.as_ref()), &mut text);
        Window { name, rate, calendar, unit, item: Item { text: text.into(), name_len } }
    }

    /// The same under another name.
    pub fn named(self, name: Box<str>) -> Window {
        Window::new(name, self.rate, self.calendar, self.unit)
    }

    /// The same, of which there are so many.
    pub fn with_rate(self, rate: Rate) -> Window {
        Window::new(self.name, rate, self.calendar, self.unit)
    }

    /// Its name in `RateLimit`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many, and how many at once.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Where it is counted in windows of the calendar: which.
    pub fn calendar(&self) -> Option<&Calendar> {
        self.calendar.as_ref()
    }

    /// Appends its name, as `RateLimit` has it.
    pub(super) fn append_name(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.item.text[..self.item.name_len]);
    }

    /// Appends what `RateLimit-Policy` says of it where one unit of the cost is so many units.
    pub(super) fn append_policy(&self, units: u32, out: &mut Vec<u8>) {
        if units == 1 {
            out.extend_from_slice(&self.item.text);
            return;
        }
        self.append_name(out);
        append_policy(u64::from(self.rate.burst() / units), length(&self.rate, self.calendar.as_ref()), out);
    }
}

/// The quota is what can be had at once; its window is the time until that much has come again.
fn append_policy(quota: u64, length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b";q=");
    push_decimal(out, quota);
    out.extend_from_slice(b";w=");
    push_decimal(out, length);
}

/// How many seconds until all of a window has come again.
fn length(rate: &Rate, calendar: Option<&Calendar>) -> u64 {
    calendar.map_or_else(|| seconds(rate.fill_time()), |calendar| calendar.unit.seconds())
}

/// Whole seconds, rounded up, at least 1: no field knows fractions, and a client that comes too early is refused again.
pub(super) fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}
