//! A limit that holds exactly over all shards, without a lock: slots of it (see `gcra`) are leased to shards.
//!
//! The `Accounts` of the control plane hold, for every key of every limit, the slots that no shard holds. A shard's
//! `Holder` asks for slots when it needs tokens, before it needs them where it can foresee it; returns them when idle;
//! and gives back what the account recalls because another shard starves. Invariant: the slots at the account, at all
//! shards and in all messages under way are together never more than the limit has. Tokens travel only inside slots,
//! and slots refill where they are, also in a message; so nothing is ever admitted twice, and a message delays tokens
//! but does not lose them.
//!
//! ```text
//!  shard A                     account                     shard B
//!    │ ── LeaseRequest: Ask ──────►│                           │
//!    │ ◄────────────── Grant ──────│  (all free slots, while nobody else wants any)
//!    │                             │ ◄────── LeaseRequest: Ask ─│
//!    │ ◄───────────── Recall ──────│  (only where no free slot has a token)
//!    │ ── LeaseRequest: Recalled ─►│ ─────── Grant ───────────►│
//!    │ ── LeaseRequest: Idle ─────►│  (all of it, after IDLE)
//! ```
//! Rules for whoever carries the messages (`link`): in order between one shard and the account, each exactly once, and
//! never dropped: a full queue leaves them where they are (`Holder::message` peeks, `Holder::sent` pops). All `Tick`s
//! come from one clock.

pub mod account;
pub mod gcra;
pub mod holder;
mod table;

use std::time::Duration;

use crate::base::Tick;
use crate::policy::limit::gcra::Meter;

pub use account::Accounts;
pub use holder::{Holder, HolderCounters, Standing, Taken};

/// A limit's identity: equal on all shards, and equal after a reload that did not change the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LimitId(pub u64);

/// A shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardId(pub u32);

/// From a shard to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Which limit.
    pub limit: LimitId,
    /// Which key of it.
    pub key: u64,
    /// From whom.
    pub shard: ShardId,
    /// Why it is sent.
    pub cause: Cause,
    /// Slots given back; empty for `Ask`.
    pub returned: Meter,
    /// Tokens asked for on this shard within about the last `EPOCH`, admitted or not.
    pub demand: u32,
    /// Tokens spent on this shard since its last message about this key. For reports; no decision rests on it.
    pub spent: u32,
}

/// Why a shard sends a `LeaseRequest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It needs tokens.
    Ask {
        /// Tokens without which requests wait or are refused, at least 1.
        need: u32,
    },
    /// It answers a `Recall`, perhaps with nothing.
    Recalled,
    /// It has not used the key for a while, or has no room for it.
    Idle,
}

/// From the account to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseReply {
    /// The answer to an `Ask`.
    Grant(Grant),
    /// Another shard starves: answer with what can be spared.
    Recall(Recall),
}

/// Slots for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which limit.
    pub limit: LimitId,
    /// Which key of it.
    pub key: u64,
    /// The slots; empty where there are none to be had.
    pub piece: Meter,
}

/// A request for slots that another shard needs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recall {
    /// Which limit.
    pub limit: LimitId,
    /// Which key of it.
    pub key: u64,
    /// Tokens that the starving shard needs at once.
    pub need: u32,
    /// Demand of the starving shard, as in `LeaseRequest::demand`.
    pub asking: u32,
    /// Demand of all other shards together, the starving one included.
    pub others: u32,
}

impl LeaseReply {
    /// Which limit it is about.
    pub const fn limit(&self) -> LimitId {
        match self {
            LeaseReply::Grant(grant) => grant.limit,
            LeaseReply::Recall(recall) => recall.limit,
        }
    }
}

/// Recent demand: attempts of this epoch and the one before, weighed to one epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    epoch: u64,
    current: u32,
    previous: u32,
}

impl Demand {
    pub fn count(&mut self, cost: u32, now: Tick) {
        self.turn(now);
        self.current = self.current.saturating_add(cost);
    }

    /// Tokens asked for in the last epoch's length, rounded up; zero only after a whole epoch without any.
    pub fn estimate(&mut self, now: Tick) -> u32 {
        self.turn(now);
        let part = now.nanos() % EPOCH_NANOS;
        let weighed = u128::from(self.previous) * u128::from(EPOCH_NANOS - part);
        self.current.saturating_add(weighed.div_ceil(u128::from(EPOCH_NANOS)) as u32)
    }

    fn turn(&mut self, now: Tick) {
        let epoch = now.nanos() / EPOCH_NANOS;
        if epoch <= self.epoch {
            return;
        }
        self.previous = if epoch == self.epoch + 1 { self.current } else { 0 };
        self.current = 0;
        self.epoch = epoch;
    }
}

/// The length over which demand is measured. Longer follows a shift of load later, shorter makes shares jump.
pub const EPOCH: Duration = Duration::from_nanos(EPOCH_NANOS);
const EPOCH_NANOS: u64 = 1 << 26;

#[cfg(test)]
mod tests;
