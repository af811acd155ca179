// SPDX-License-Identifier: Apache-2.0
//! How a simulated network misbehaves, and what of it strikes one connection.
//!
//! `Faults` are chances for a whole network or for everything that connects to one address; `Course` is what was drawn
//! from them for one direction of one connection. Chances are in per mille.

use crate::base::{Rng, Tick};

/// Chances and sizes. `Faults::none()` is a perfect network with a little latency; `Faults::drawn` is a random mixture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// One-way latency of a connection, in microseconds, both ends included.
    pub latency_us: (u64, u64),
    /// Bytes that one direction holds at most, in flight and unread, both ends included.
    pub window: (usize, usize),
    /// The small pieces of split reads and short writes: bytes at least, which is half of the draws, and at most.
    pub pieces: (usize, usize),
    /// Directions whose reads give only a few bytes each.
    pub split_reads: u64,
    /// Directions that accept only a few bytes of a write at a time.
    pub short_writes: u64,
    /// Directions that sometimes carry nothing for a while.
    pub stalls: u64,
    /// Longest stall, in milliseconds.
    pub stall_ms_max: u64,
    /// Directions of a few bytes per millisecond.
    pub slow: u64,
    /// Connections that are reset somewhere in their course.
    pub resets: u64,
    /// A reset comes before this many bytes of its direction.
    pub reset_bytes_max: u64,
    /// Connects that are refused.
    pub refused: u64,
    /// Connects that are never answered.
    pub unanswered: u64,
    /// Accepts that report an exhausted process (`EMFILE`) first.
    pub accept_errors: u64,
    /// Connections that wait and are then accepted together with others.
    pub bursts: u64,
}

impl Faults {
    /// Nothing goes wrong; latency is 50 µs, windows are 64 KiB.
    pub fn none() -> Faults {
        Faults {
            latency_us: (50, 50),
            window: (65_536, 65_536),
            pieces: (1, 1_000),
            split_reads: 0,
            short_writes: 0,
            stalls: 0,
            stall_ms_max: 0,
            slow: 0,
            resets: 0,
            reset_bytes_max: 0,
            refused: 0,
            unanswered: 0,
            accept_errors: 0,
            bursts: 0,
        }
    }

    /// Splits, short writes, small windows and short stalls, but nothing that ends a connection.
    #[cfg(any(test, feature = "sim"))]
    pub fn rough(rng: &mut Rng) -> Faults {
        let mut faults = Faults::none();
        faults.latency_us = (rng.below(100), 100 + rng.below(20_000));
        faults.window = (1 + rng.below(4_096) as usize, 4_096 + rng.below(262_144) as usize);
        faults.split_reads = some(rng, 500);
        faults.short_writes = some(rng, 500);
        faults.stalls = some(rng, 300);
        faults.stall_ms_max = 1 + rng.below(200);
        faults.slow = some(rng, 50);
        faults.bursts = some(rng, 500);
        faults
    }

    /// As `rough`, and connections break, are refused or hang.
    #[cfg(any(test, feature = "sim"))]
    pub fn drawn(rng: &mut Rng) -> Faults {
        let mut faults = Faults::rough(rng);
        faults.resets = some(rng, 200);
        faults.reset_bytes_max = 1 + rng.below(100_000);
        faults.refused = some(rng, 100);
        faults.unanswered = some(rng, 100);
        faults.accept_errors = some(rng, 100);
        faults.stall_ms_max += some(rng, 1_000).saturating_mul(5);
        faults
    }
}

/// Zero in half of the draws, so that a run has some kinds of faults and not others: that finds more than all at once.
#[cfg(any(test, feature = "sim"))]
fn some(rng: &mut Rng, max: u64) -> u64 {
    if rng.chance(500) { 1 + rng.below(max) } else { 0 }
}

/// What strikes one direction of one connection.
#[derive(Clone, Debug)]
pub struct Course {
    /// One-way latency in nanoseconds.
    pub latency: u64,
    /// Bytes in flight and unread at most.
    pub window: usize,
    /// A read gives at most this many bytes.
    pub read_max: usize,
    /// A write accepts at most this many bytes at a time, then pauses for `pause`.
    pub write_max: usize,
    /// Nanoseconds between two pieces of a write.
    pub pause: u64,
    /// Chance in per mille that a piece arrives late.
    pub stall: u64,
    /// By how many nanoseconds at most.
    pub stall_max: u64,
    /// Nanoseconds that a byte takes.
    pub byte_cost: u64,
    /// The connection is reset when this many bytes were written.
    pub cut: Option<u64>,
    /// After a reset, may the reader still have what had arrived before it?
    pub keeps_unread: bool,
}

impl Course {
    /// Draws one direction's fate.
    pub fn draw(faults: &Faults, rng: &mut Rng) -> Course {
        let (low, high) = faults.latency_us;
        let (narrow, wide) = faults.window;
        let window = narrow + rng.below((wide - narrow) as u64 + 1) as usize;
        let short = rng.chance(faults.short_writes);
        Course {
            latency: (low + rng.below(high - low + 1)) * 1_000,
            window: window.max(1),
            read_max: if rng.chance(faults.split_reads) { small(faults.pieces, rng) } else { usize::MAX },
            write_max: if short { small(faults.pieces, rng) } else { usize::MAX },
            pause: if short { rng.below(1_000_000) } else { 0 },
            stall: if rng.chance(faults.stalls) { 1 + rng.below(200) } else { 0 },
            stall_max: faults.stall_ms_max * 1_000_000,
            byte_cost: if rng.chance(faults.slow) { 1_000 + rng.below(300_000) } else { 0 },
            cut: rng.chance(faults.resets).then(|| rng.below(faults.reset_bytes_max + 1)),
            keeps_unread: rng.chance(500),
        }
    }

    /// When a piece of `count` bytes that is sent now arrives.
    pub fn arrival(&self, now: Tick, count: usize, rng: &mut Rng) -> Tick {
        let stall = if self.stall > 0 && rng.chance(self.stall) { rng.below(self.stall_max + 1) } else { 0 };
        let on_the_way = self.latency.saturating_add(stall).saturating_add(self.byte_cost.saturating_mul(count as u64));
        Tick::from_nanos(now.nanos().saturating_add(on_the_way))
    }
}

/// Half of the draws are the least, one byte being the hardest case; the others lie between.
fn small((least, most): (usize, usize), rng: &mut Rng) -> usize {
    if rng.chance(500) { least } else { least + rng.below((most - least) as u64 + 1) as usize }
}
