// SPDX-License-Identifier: Apache-2.0
//! Where the process is in its life.
//!
//! ```text
//!  Starting ──► Serving ──► Leaving ──► Draining ──────────────► Ending ──────────────────► Ended
//!                  │      (drain_delay)  (all drained, too late,    ▲  (all threads over, too late)
//!                  │                      or asked again)           │
//!                  └────────────────────────────────────────────────┘ asked to stop at once
//! ```

use crate::base::Tick;

/// Where the process is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No plan is in use yet.
    Starting,
    /// As it should be.
    Serving,
    /// To be stopped: `/readyz` fails, and everything else goes on, so that load balancers can look elsewhere first.
    Leaving {
        /// Until then.
        until: Tick,
    },
    /// Nothing new is accepted; what runs may end.
    Draining {
        /// Until then.
        until: Tick,
        /// Shards without connections.
        drained: Vec<bool>,
        /// What the process will exit with.
        code: u8,
    },
    /// `Stop` was sent to the shards.
    Ending {
        /// They are waited for until then.
        until: Tick,
        /// What the process will exit with.
        code: u8,
    },
    /// Nothing is left to do.
    Ended {
        /// What the process exits with.
        code: u8,
    },
}

impl State {
    /// When something must be done even if nothing happens.
    pub(super) fn deadline(&self) -> Tick {
        match self {
            State::Starting | State::Serving => Tick::NEVER,
            State::Leaving { until } | State::Draining { until, .. } | State::Ending { until, .. } => *until,
            State::Ended { .. } => Tick::ZERO,
        }
    }

    /// Its name in the status document.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Serving => "running",
            State::Leaving { .. } | State::Draining { .. } => "draining",
            State::Ending { .. } | State::Ended { .. } => "stopping",
        }
    }
}
