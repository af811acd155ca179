// SPDX-License-Identifier: Apache-2.0
//! Which windows of plans are counted in a database, and what they are called there.

use std::hash::{Hash, Hasher};

use crate::policy::directory::InForce;
use crate::policy::limit::calendar::{Calendar, Unit};
use crate::policy::limit::{Basis, LimitId};
use crate::policy::limit_key::{Lasting, seeded};
use crate::policy::plan::{Plan, key_of, place};
use crate::policy::rate_limit::{Database, Quota, Window};

impl Plan {
    /// Its windows that are counted in a database.
    pub fn quotas(&self) -> impl Iterator<Item = Quota> {
        let first = self.limit_id();
        (0..).zip(self.slots()).filter_map(move |(at, (rate, unit))| {
            let unit = unit.filter(|_| rate.is_leased())?;
            Some(Quota {
                limit: first.of_window(at),
                // tidy(hot): once for a plan, by the control plane.
                policy: std::sync::Arc::clone(&self.name),
                window: unit.name(),
                // tidy(hot): once for a plan, by the control plane.
                name: format!("{}/plan/{}/UTC", self.name, unit.name()),
                rate,
                basis: Basis::Key,
                calendar: Calendar { unit, zone: jiff::tz::TimeZone::UTC },
                kept: self.kept?,
                keys_max: self.keys_max,
            })
        })
    }

    /// The windows that hold for somebody, with what each is counted by: its limit, the key and, where that is one, the
    /// database. For administrators.
    pub fn counted<'p>(&self, of: &InForce<'p>) -> Vec<(&'p Window, LimitId, u64, Option<Database>)> {
        let (first, subscriber) = (self.limit_id(), self.subscriber(of.consumer, of.app, of.product));
        let windows = of.plan.windows.iter().map(|window| {
            let unit = window.calendar().map(|calendar| calendar.unit);
            let database = unit.filter(|unit| self.is_kept(*unit)).and(self.kept).map(|kept| kept.database);
            (window, first.of_window(place(window) as u64), key_of(subscriber, window), database)
        });
        // tidy(hot): when an administrator asks.
        windows.collect()
    }

    /// Is this unit of the calendar counted in a database? The store of a gateway has to write each lease to its disk,
    /// which is not worth it for a minute.
    pub(super) fn is_kept(&self, unit: Unit) -> bool {
        match self.kept.map(|kept| kept.database) {
            None => false,
            Some(Database::Store) => !matches!(unit, Unit::Second | Unit::Minute),
            Some(Database::Redis) => true,
        }
    }

    /// What is counted for whoever has subscribed. By name: numbers are other ones in the next process.
    pub(super) fn subscriber(&self, consumer: &str, app: &str, product: &str) -> u64 {
        match self.kept {
            None => hashed(seeded(self.hash_seed), (consumer, app, product)),
            Some(_) => hashed(Lasting::default(), (consumer, app, product)),
        }
    }
}

fn hashed(mut hasher: impl Hasher, who: impl Hash) -> u64 {
    who.hash(&mut hasher);
    hasher.finish()
}
