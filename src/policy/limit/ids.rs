// SPDX-License-Identifier: Apache-2.0
//! Hot. Names for limits and shards, and which shard is the home of a key.

/// A limit's identity: equal on all shards, and equal after a reload that only changed its rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LimitId(pub u64);

impl LimitId {
    /// The identity of one window of a limit of several.
    pub const fn of_window(self, window: u64) -> LimitId {
        LimitId(self.0.wrapping_add(window.wrapping_mul(WINDOW_STEP)))
    }
}

/// A shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardId(pub u32);

impl ShardId {
    /// Where the home of a leased limit's keys is: the control plane.
    pub const PARENT: ShardId = ShardId(u32::MAX);
}

/// One shard among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    /// Which one this is.
    pub own: ShardId,
    /// How many there are; at least 1.
    pub count: u32,
}

impl Shards {
    /// Is there only one?
    pub const fn alone(self) -> bool {
        self.count <= 1
    }

    /// The home of a key, which is a good hash. Other bits of it choose than those by which tables find their entries.
    pub const fn home(self, key: u64) -> ShardId {
        let bits = (key >> HOME_SHIFT) & 0xFFFF_FFFF;
        ShardId(((bits * self.count as u64) >> 32) as u32)
    }
}

/// Odd, so that no two windows of a limit are one.
const WINDOW_STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const HOME_SHIFT: u32 = 24;
