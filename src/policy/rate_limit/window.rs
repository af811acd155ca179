// SPDX-License-Identifier: Apache-2.0
//! Hot. One window of a rate limit, and where a request stands in it.

use std::time::Duration;

use smallvec::SmallVec;

use crate::policy::limit::LimitState;
use crate::policy::limit::calendar::{Calendar, Unit};
use crate::policy::limit::gcra::Rate;

/// So many in some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its name in `RateLimit`.
    pub name: Box<str>,
    /// How many, and how many at once.
    pub rate: Rate,
    /// Where it is counted in windows of the calendar: which.
    pub calendar: Option<Calendar>,
    /// The unit of time whose name it has in fields that are named by one.
    pub unit: Option<Unit>,
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
    /// How long until all of it has come again.
    pub(super) fn length(&self) -> u64 {
        match &self.calendar {
            Some(calendar) => calendar.unit.seconds(),
            None => seconds(self.rate.fill_time()),
        }
    }
}

/// Whole seconds, rounded up, at least 1: no field knows fractions, and a client that comes too early is refused again.
pub(super) fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}
