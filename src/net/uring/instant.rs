// SPDX-License-Identifier: Apache-2.0
//! Hot. Converts ticks to the runtime's instants.

use std::time::Duration;

use crate::base::Tick;
use crate::net::machine;

/// `at` as an instant of the runtime, at most `SLEEP_MAX` in the future.
pub(super) fn instant(at: Tick) -> monoio::time::Instant {
    monoio::time::Instant::now() + at.since(machine::now()).min(SLEEP_MAX)
}

/// The longest single sleep. A task with a later deadline wakes once in between.
pub(super) const SLEEP_MAX: Duration = Duration::from_secs(24 * 3600);
