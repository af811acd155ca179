//! Hot. Ticks in the time of the runtime.

use std::time::Duration;

use crate::base::Tick;
use crate::net::machine;

/// A tick as the runtime's own time, at most `SLEEP_MAX` away.
pub(super) fn instant(at: Tick) -> monoio::time::Instant {
    monoio::time::Instant::now() + at.since(machine::now()).min(SLEEP_MAX)
}

/// Further away than any sleep has to be exact: whoever sleeps longer looks again.
pub(super) const SLEEP_MAX: Duration = Duration::from_secs(24 * 3600);
