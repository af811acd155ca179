// SPDX-License-Identifier: Apache-2.0
//! How much of a quota is leased at a time. What is leased and not used is lost by a crash, and is of no use to others
//! when the quota runs out; so it is at most 1 % of the quota, wherever it lies.
//!
//! A quota that is too small for that is leased as requests need it: then a crash loses no more than what requests took
//! that were running.

/// How much of a quota is leased at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// What a parent leases from the database beyond what is needed; 0: nothing.
    pub portion: u32,
    /// What a shard gets beyond what it needs; 0: nothing.
    pub piece: u32,
    /// A shard asks for its next piece when no more than this is left; `None`: only when requests wait for it.
    pub ahead: Option<u32>,
}

impl Lease {
    /// For a quota of `count` that so many shards use.
    pub(super) fn of(count: u32, shards: u32) -> Lease {
        // A shard has at most a piece and a half, and the parent a portion and a half.
        let piece = count / PARTS / shards.max(1);
        match piece {
            0 => Lease { portion: count / PARTS_ALONE, piece, ahead: None },
            _ => Lease { portion: count / PARTS, piece, ahead: Some(piece / 2) },
        }
    }

    /// A parent leases the next portion when no more than this is left of one.
    pub(super) fn low(self) -> u32 {
        self.portion / 2
    }
}

/// A portion, and the pieces of all shards, are each so much of the quota: 1.5 × (1/300 + 1/300) is 1 %.
const PARTS: u32 = 300;
/// A portion where shards have no pieces: 1.5 × 1/150 is 1 %.
const PARTS_ALONE: u32 = 150;

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn what_lies_unused_is_at_most_one_percent(count in 1_u32..=u32::MAX, shards in 1_u32..=256) {
            let lease = Lease::of(count, shards);
            let of_shard = lease.ahead.map_or(0, |ahead| u64::from(ahead) + u64::from(lease.piece));
            let unused = u64::from(shards) * of_shard + u64::from(lease.low()) + u64::from(lease.portion);
            prop_assert!(unused * 100 <= u64::from(count), "{lease:?}");
            prop_assert!((lease.piece == 0) == lease.ahead.is_none());
        }
    }
}
