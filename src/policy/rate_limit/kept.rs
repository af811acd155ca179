// SPDX-License-Identifier: Apache-2.0
//! Limits that are counted in a database: their quotas outlive the process, or hold for several gateways together.

use std::sync::Arc;

use crate::policy::limit::calendar::Calendar;
use crate::policy::limit::gcra::Rate;
use crate::policy::limit::parent::OnOutage;
use crate::policy::limit::{Basis, LimitId};

/// Where a limit is counted, and what happens while that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub database: Database,
    /// What happens while it is away.
    pub on_outage: OnOutage,
}

/// A database that quotas are leased from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Database {
    /// The store of this gateway.
    Store,
    /// A server that speaks the protocol of Redis.
    Redis,
}

/// One window that is counted in a database.
#[derive(Clone, Debug)]
pub struct Quota {
    /// Which limit of the process.
    pub limit: LimitId,
    /// The policy that it is of.
    pub policy: Arc<str>,
    /// The unit of time of its window.
    pub window: &'static str,
    /// What it is called in the database: the same in every process that counts the same things in the same windows.
    pub name: String,
    /// How much; of keys with a quota of their own, one of it.
    pub rate: Rate,
    /// Whether keys have that.
    pub basis: Basis,
    /// In which windows.
    pub calendar: Calendar,
    /// Where, and what happens while that is away.
    pub kept: Kept,
    /// Keys that are known at once.
    pub keys_max: usize,
}
