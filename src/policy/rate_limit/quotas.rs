// SPDX-License-Identifier: Apache-2.0
//! Which windows of a rate limit are counted in a database, and what they are called there.

use crate::policy::limit::Basis;
use crate::policy::limiting::Scope;
use crate::policy::rate_limit::{Plan, Quota};

impl Plan {
    /// Its windows that are counted in a database.
    pub fn quotas(&self) -> impl Iterator<Item = Quota> {
        let first = self.limit_id();
        let windows =
            (0..).zip(&self.windows).filter_map(|(at, window)| Some((at, window, window.calendar().cloned()?)));
        let leased = windows.filter(|(_, window, _)| window.rate().is_leased());
        leased.filter_map(move |(at, window, calendar)| {
            let scope = if self.scope == Scope::PerRoute { "/route" } else { "" };
            let (unit, zone) = (calendar.unit.name(), calendar.zone.iana_name().unwrap_or("UTC"));
            Some(Quota {
                limit: first.of_window(at),
                // tidy(hot): once for a plan, by the control plane.
                policy: std::sync::Arc::clone(&self.name),
                window: unit,
                // tidy(hot): once for a plan, by the control plane.
                name: format!("{}/{}{scope}/{unit}/{zone}", self.name, self.key.written),
                rate: window.rate(),
                basis: Basis::Limit,
                calendar,
                kept: self.kept?,
                keys_max: self.keys_max,
            })
        })
    }
}
