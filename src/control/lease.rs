//! The machine-wide accounts of limits: answers shards that ask for tokens, and asks others to give back.
//!
//! A thin layer over `policy::limit::Accounts`, which holds all the arithmetic: here the limits come out of plans, and
//! replies become messages.

use crate::base::Tick;
use crate::config::plan::Plan;
use crate::link::ToShard;
use crate::net::sockets::ListenSocket;
use crate::policy::limit::{Accounts, LeaseReply, LeaseRequest, ShardId};

/// Keys over all limits that are remembered at most; above it, shards that ask for a new one are refused.
const ACCOUNTS_MAX: usize = 1_000_000;

/// All accounts.
#[derive(Debug)]
pub struct Leases {
    accounts: Accounts,
    replies: Vec<(ShardId, LeaseReply)>,
}

impl Default for Leases {
    fn default() -> Leases {
        Leases::new()
    }
}

impl Leases {
    /// No limits yet.
    pub fn new() -> Leases {
        Leases { accounts: Accounts::new(ACCOUNTS_MAX), replies: Vec::new() }
    }

    /// Takes the limits of these plans: the one in use and, while it is being prepared, the next. Accounts of other
    /// limits are forgotten.
    pub fn adopt<'p>(&mut self, plans: impl IntoIterator<Item = &'p Plan>) {
        let policies = plans.into_iter().flat_map(|plan| &plan.policies);
        self.accounts.set_limits(policies.filter_map(|plan| plan.policy.limit()));
    }

    /// A shard asks or reports: what to answer, and to whom.
    pub fn receive(
        &mut self,
        request: LeaseRequest,
        now: Tick,
    ) -> impl Iterator<Item = (usize, ToShard<ListenSocket>)> + use<> {
        self.accounts.receive(request, now, &mut self.replies);
        std::mem::take(&mut self.replies).into_iter().map(|(shard, reply)| (shard.0 as usize, ToShard::Lease(reply)))
    }

    /// Forgets accounts that are as good as new. To be called about once a second.
    pub fn sweep(&mut self, now: Tick) {
        self.accounts.sweep(now);
    }

    /// Is no key remembered?
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
}
