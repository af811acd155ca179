// SPDX-License-Identifier: Apache-2.0
//! Points in time as plain numbers, handed in as arguments.
//!
//! `Tick` is monotonic and only its differences mean anything; `Wall` is calendar time. Only `net` and `control` read
//! clocks; all other code takes the time as an argument.

use std::time::Duration;

/// A point in monotonic time, in nanoseconds from an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// Before every other tick.
    pub const ZERO: Tick = Tick(0);
    /// A deadline that never passes.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// The tick that lies `nanos` after the start.
    pub const fn from_nanos(nanos: u64) -> Tick {
        Tick(nanos)
    }

    /// Nanoseconds from the start.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The tick `wait` later; saturates at `NEVER`.
    pub fn after(self, wait: Duration) -> Tick {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Tick(self.0.saturating_add(nanos))
    }

    /// The tick `millis` milliseconds later; saturates at `NEVER`.
    pub const fn after_ms(self, millis: u64) -> Tick {
        Tick(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole microseconds from `earlier` to here; zero if `earlier` is later.
    pub const fn micros_since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }
}

/// A point in calendar time, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

impl Wall {
    /// Whole seconds since 1970.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Microseconds within the second, `0..1_000_000`.
    pub const fn subsec_micros(self) -> u32 {
        (self.0 % 1_000_000) as u32
    }
}
