// SPDX-License-Identifier: Apache-2.0
//! What shards say to each other about the keys of limits.

use crate::policy::limit::gcra::Meter;
use crate::policy::limit::ids::LimitId;
use crate::policy::limit::terms::Terms;

/// A message about one key of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which limit.
    pub limit: LimitId,
    /// Which key of it.
    pub key: u64,
    /// Under which terms its slots are counted; in a message without slots, those of the sender.
    pub terms: Terms,
    /// What is said.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// To the home: slots are needed. Answered by `Grant` or `NoRoom`.
    Ask {
        /// Tokens without which requests wait or are refused, at least 1.
        need: u32,
        /// Tokens asked for on this shard within about the last `EPOCH`, admitted or not.
        demand: u32,
    },
    /// To the home: slots come back.
    Return {
        /// The slots; none, where nothing could be spared.
        piece: Meter,
        /// As in `Ask`.
        demand: u32,
        /// Why.
        cause: Cause,
    },
    /// From the home: slots; none, where the limit is used up everywhere.
    Grant {
        /// The slots.
        piece: Meter,
    },
    /// From the home: another shard starves; answer with what can be spared (`Cause::Recalled`).
    Recall {
        /// Tokens that the starving shard needs at once.
        need: u32,
        /// Demand of the starving shard.
        asking: u32,
        /// Demand of all shards but the one that is asked, the starving one included.
        others: u32,
    },
    /// From the home: there is no room for an account of this key, so it cannot be counted now.
    NoRoom,
    /// From any shard to all others: the key was refused too often, and is refused everything for a while.
    Banned,
}

/// Why slots come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// They were recalled.
    Recalled,
    /// The key was not used for a while, has no room, or its terms are old.
    Idle,
}
