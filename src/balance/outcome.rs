// SPDX-License-Identifier: Apache-2.0
//! Hot. How an attempt at an endpoint ended, and a counter for each outcome.

/// How an attempt at an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A response with any status but a 5xx.
    Ok,
    /// A 5xx that the application made itself: all but 502, 503, 504.
    ServerError,
    /// 502, 503 or 504.
    GatewayError,
    /// Refused, unreachable, no TLS, or not connected in time.
    ConnectFailed,
    /// The connection closed or was reset, or the response was malformed, before the response was complete.
    Reset,
    /// No response in time.
    Timeout,
    /// The gateway gave up for another reason (the client left): neither success nor failure of the endpoint.
    Cancelled,
}

impl Outcome {
    /// The outcome of a response with this status.
    pub(crate) const fn of_status(status: u16) -> Outcome {
        match status {
            502..=504 => Outcome::GatewayError,
            500..=599 => Outcome::ServerError,
            _ => Outcome::Ok,
        }
    }

    /// True for every failure of the endpoint.
    pub(crate) const fn failed(self) -> bool {
        match self {
            Outcome::Ok | Outcome::Cancelled => false,
            Outcome::ServerError
            | Outcome::GatewayError
            | Outcome::ConnectFailed
            | Outcome::Reset
            | Outcome::Timeout => true,
        }
    }
}

/// Counts since an endpoint was first listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests begun.
    pub requests: u64,
    /// Ended without a 5xx.
    pub ok: u64,
    /// Ended with a 5xx other than 502, 503, 504.
    pub server_errors: u64,
    /// Ended with 502, 503, 504.
    pub gateway_errors: u64,
    /// Failed connects.
    pub connect_failures: u64,
    /// Reset, closed or malformed responses.
    pub resets: u64,
    /// Timeouts.
    pub timeouts: u64,
    /// Cancelled by the gateway.
    pub cancelled: u64,
    /// Times it was ejected.
    pub ejections: u64,
}

impl Totals {
    /// Attempts by outcome, each with its name in metrics.
    pub const fn outcomes(&self) -> [(&'static str, u64); 7] {
        [
            ("ok", self.ok),
            ("server_error", self.server_errors),
            ("gateway_error", self.gateway_errors),
            ("connect_failure", self.connect_failures),
            ("reset", self.resets),
            ("timeout", self.timeouts),
            ("cancelled", self.cancelled),
        ]
    }

    /// Adds those of another shard.
    pub fn add(&mut self, other: &Totals) {
        self.requests += other.requests;
        self.ok += other.ok;
        self.server_errors += other.server_errors;
        self.gateway_errors += other.gateway_errors;
        self.connect_failures += other.connect_failures;
        self.resets += other.resets;
        self.timeouts += other.timeouts;
        self.cancelled += other.cancelled;
        self.ejections += other.ejections;
    }

    pub(super) fn count(&mut self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Ok => &mut self.ok,
            Outcome::ServerError => &mut self.server_errors,
            Outcome::GatewayError => &mut self.gateway_errors,
            Outcome::ConnectFailed => &mut self.connect_failures,
            Outcome::Reset => &mut self.resets,
            Outcome::Timeout => &mut self.timeouts,
            Outcome::Cancelled => &mut self.cancelled,
        };
        *counter += 1;
    }
}
