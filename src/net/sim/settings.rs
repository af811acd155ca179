// SPDX-License-Identifier: Apache-2.0
//! How a simulation runs.

use std::time::Duration;

use crate::base::Wall;
use crate::net::sim::faults::Faults;
use crate::net::sim::trace::Depth;

/// What a panic in a task means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanicRule {
    /// The run fails.
    Fail,
    /// It is counted for the task's host, as `Net::panics` says.
    #[cfg_attr(not(any(test, feature = "sim")), expect(dead_code, reason = "for the simulator"))]
    Count,
}

/// How a simulation runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// Faults of connections for which `Simulation::set_faults` said nothing.
    pub faults: Faults,
    /// Deadlines are kept up to so many milliseconds late; the seam allows 20.
    pub late_ms_max: u64,
    /// A poll takes up to so many nanoseconds of virtual time.
    pub poll_nanos_max: u64,
    /// Polls without a chance for timers, after which the run fails.
    pub polls_max: u64,
    /// Virtual time after which the run fails.
    pub time_max: Duration,
    /// What a panic in a task means.
    pub panics: PanicRule,
    /// Shards check their invariants (`Net::check`).
    pub checks: bool,
    /// How many events are kept.
    pub trace: Depth,
    /// The calendar's time when it begins.
    pub start: Wall,
}

impl Settings {
    /// A run on a perfect network.
    pub fn new(seed: u64) -> Settings {
        Settings {
            seed,
            faults: Faults::none(),
            late_ms_max: 0,
            poll_nanos_max: 2_000,
            polls_max: 200_000,
            time_max: Duration::from_secs(24 * 3_600),
            panics: PanicRule::Fail,
            checks: true,
            trace: Depth::Last(300),
            start: START,
        }
    }
}

/// 2026-01-01T00:00:00Z.
const START: Wall = Wall(1_767_225_600_000_000);
