// SPDX-License-Identifier: Apache-2.0
//! What goes to a database of quotas, and what comes back.

use std::sync::Arc;

use crate::policy::limit::LimitId;
use crate::policy::limit::parent::{Order, Outcome};
use crate::policy::rate_limit::Database;

/// An order, and of which quota.
#[derive(Clone, Debug)]
pub(in crate::control) struct Job {
    /// Which limit of the process.
    pub limit: LimitId,
    /// What it is called in the database.
    pub quota: Arc<str>,
    /// The order.
    pub order: Order,
}

/// What became of a batch.
#[derive(Debug)]
pub(in crate::control) struct Settled {
    /// Who did it.
    pub database: Database,
    /// Each order with its outcome.
    pub outcomes: Vec<(Job, Outcome)>,
    /// Why it failed, if it did.
    pub fault: Option<String>,
}

impl Settled {
    /// Nothing of it was done, as far as anybody knows.
    pub(in crate::control) fn failed(database: Database, jobs: Vec<Job>, fault: String) -> Settled {
        let outcomes = jobs.into_iter().map(|job| (job, Outcome::Failed)).collect();
        Settled { database, outcomes, fault: Some(fault) }
    }
}
