// SPDX-License-Identifier: Apache-2.0
//! What quotas did since the start: tokens leased from a database, granted to shards, returned and refused; and how the
//! databases did.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Tick, Wall};
use crate::control::exposition::{Exposition, Kind, Label};
use crate::control::quotas::job::Job;
use crate::policy::limit::parent::{Outcome, Parent, Replies};
use crate::policy::limit::{Body, Message};
use crate::policy::rate_limit::Database;

/// What one window of a limit did, in tokens of its quota.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LeaseStatus {
    /// The window, by its unit of time.
    pub window: String,
    /// Where it is counted: `store` or `redis`.
    pub counted_in: String,
    /// Tokens leased from the database since the start.
    pub leased: u64,
    /// Tokens that went back to the database.
    pub given_back: u64,
    /// Tokens given to shards, those without a lease (`on_outage = "local_share"`) among them.
    pub granted: u64,
    /// Tokens that shards returned.
    pub returned: u64,
    /// Times that a shard was told that there are none now, because the database is away.
    pub refused: u64,
}

/// The window of a limit with the limit's name.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuotaShown {
    /// The policy.
    pub policy: Arc<str>,
    /// What it did.
    pub leases: LeaseStatus,
}

/// How a database did since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DatabaseShown {
    /// Which.
    pub name: &'static str,
    /// Whether the last batch of orders was done.
    pub up: bool,
    /// Times that it went away.
    pub outages: u64,
    /// Batches of orders that were done or failed.
    pub batches: u64,
    /// How long they took together.
    pub took: Duration,
}

impl LeaseStatus {
    /// What a message of a shard says, before the parent hears it.
    pub(super) fn hear(&mut self, parent: &mut Parent, message: &Message, (now, wall): (Tick, Wall)) {
        if let Body::Return { mut piece, .. } = message.body {
            let mut rate = message.terms.rate;
            rate.turn(parent.window(wall).began());
            self.returned += u64::from(piece.tokens(&rate, now));
        }
    }

    /// What the parent says to shards.
    pub(super) fn tell(&mut self, out: &Replies) {
        for (_, message) in out {
            match message.body {
                Body::Grant { piece } => self.granted += u64::from(piece.slots()),
                Body::NoRoom => self.refused += 1,
                Body::Ask { .. } | Body::Return { .. } | Body::Recall { .. } | Body::Banned => {}
            }
        }
    }

    /// What became of an order.
    pub(super) fn settle(&mut self, job: &Job, outcome: Outcome) {
        if let Outcome::Leased { count, .. } = outcome {
            self.leased += u64::from(count);
            self.given_back += job.order.owed.min(0).unsigned_abs();
        }
    }
}

/// A database's name in metrics, logs and the API.
pub(in crate::control) const fn name(database: Database) -> &'static str {
    match database {
        Database::Store => "store",
        Database::Redis => "redis",
    }
}

/// What one number of a window is called.
type Counter = (&'static str, &'static str, fn(&LeaseStatus) -> u64);

const COUNTERS: [Counter; 5] = [
    ("turnpike_quota_leased_total", "Tokens of quotas leased from a database.", |leases| leases.leased),
    ("turnpike_quota_given_back_total", "Tokens of quotas that went back to a database.", |leases| leases.given_back),
    (
        "turnpike_quota_granted_total",
        "Tokens of quotas given to threads, those given without a lease among them.",
        |leases| leases.granted,
    ),
    ("turnpike_quota_returned_total", "Tokens of quotas that threads returned.", |leases| leases.returned),
    (
        "turnpike_quota_refused_total",
        "Times that a thread was told that no token can be had now, because the database is away.",
        |leases| leases.refused,
    ),
];

/// Writes them. The labels are names of the configuration, whatever clients send.
pub(in crate::control) fn expose(out: &mut Exposition, quotas: &[QuotaShown], databases: &[DatabaseShown]) {
    if quotas.is_empty() {
        return;
    }
    for (name, help, value) in COUNTERS {
        let mut family = out.family(name, Kind::Counter, help);
        for QuotaShown { policy, leases } in quotas {
            let labels =
                [Label("policy", policy), Label("window", &leases.window), Label("database", &leases.counted_in)];
            family.count(&labels, value(leases));
        }
    }
    let help = "1 where the database of quotas did what was last ordered, else 0.";
    let mut family = out.family("turnpike_quota_database_up", Kind::Gauge, help);
    databases.iter().for_each(|database| family.count(&[Label("database", database.name)], u64::from(database.up)));
    let help = "Times that the database of quotas went away.";
    let mut family = out.family("turnpike_quota_outages_total", Kind::Counter, help);
    databases.iter().for_each(|database| family.count(&[Label("database", database.name)], database.outages));
    let help = "Batches of orders to the database of quotas.";
    let mut family = out.family("turnpike_quota_batches_total", Kind::Counter, help);
    databases.iter().for_each(|database| family.count(&[Label("database", database.name)], database.batches));
    let help = "Seconds that batches of orders to the database of quotas took.";
    let mut family = out.family("turnpike_quota_batch_seconds_total", Kind::Counter, help);
    for database in databases {
        family.sample(&[Label("database", database.name)], database.took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::exposition::strict;
    use crate::policy::limit::calendar::Window;
    use crate::policy::limit::gcra::{Meter, Rate};
    use crate::policy::limit::parent::Order;
    use crate::policy::limit::{LimitId, ShardId, Terms};

    fn message(body: Body) -> Message {
        let terms = Terms { version: 0, rate: Rate::leased(100).expect("a rate") };
        Message { limit: LimitId(1), key: 1, terms, body }
    }

    #[test]
    fn tokens_are_counted_as_they_go_and_come() {
        let mut leases = LeaseStatus::default();
        let piece = Meter::partly(&Rate::leased(100).expect("a rate"), 7, 7, Tick::ZERO);
        leases.tell(&vec![
            (ShardId(0), message(Body::Grant { piece })),
            (ShardId(1), message(Body::NoRoom)),
            (ShardId(0), message(Body::Grant { piece })),
        ]);
        let order =
            Order { number: 1, key: 1, window: Window::default(), owed: -4, total: 9, want: 9, quota: 100, units: 100 };
        let job = Job { limit: LimitId(1), quota: "q".into(), order };
        leases.settle(&job, Outcome::Leased { count: 6, used: 10 });
        leases.settle(&job, Outcome::Failed);
        let LeaseStatus { leased, given_back, granted, refused, .. } = leases;
        assert_eq!((leased, given_back, granted, refused), (6, 4, 14, 1));
    }

    #[test]
    fn each_window_and_database_has_its_samples_and_without_quotas_there_are_none() {
        let leases =
            LeaseStatus { window: "day".into(), counted_in: "redis".into(), leased: 9, ..LeaseStatus::default() };
        let quotas = [QuotaShown { policy: "daily".into(), leases }];
        let took = Duration::from_millis(1_500);
        let databases = [DatabaseShown { name: "redis", up: false, outages: 2, batches: 3, took }];
        let mut out = Exposition::new();
        expose(&mut out, &quotas, &databases);
        let parsed = strict::parse(&out.finish()).expect("well formed");
        let value = |key: &str| *parsed.samples.get(key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!(value("turnpike_quota_leased_total{policy=\"daily\",window=\"day\",database=\"redis\"}"), 9.0);
        assert_eq!(value("turnpike_quota_database_up{database=\"redis\"}"), 0.0);
        assert_eq!(value("turnpike_quota_outages_total{database=\"redis\"}"), 2.0);
        assert_eq!(value("turnpike_quota_batch_seconds_total{database=\"redis\"}"), 1.5);
        let mut none = Exposition::new();
        expose(&mut none, &[], &databases);
        assert!(!none.finish().contains("quota"));
    }
}
