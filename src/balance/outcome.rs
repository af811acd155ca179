//! Hot. How a request to an endpoint ended, and the counts of such ends.

/// How a request to an endpoint went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, with anything but a 5xx.
    Ok,
    /// A 5xx that the application made itself: all but 502, 503, 504.
    ServerError,
    /// 502, 503 or 504.
    GatewayError,
    /// Refused, unreachable, no TLS, or not connected in time.
    ConnectFailed,
    /// Closed, reset or malformed before the answer was complete.
    Reset,
    /// No answer in time.
    Timeout,
    /// We gave up for reasons of our own (the client left): says nothing of the endpoint.
    Cancelled,
}

impl Outcome {
    /// The outcome that a status stands for.
    pub const fn of_status(status: u16) -> Outcome {
        match status {
            502..=504 => Outcome::GatewayError,
            500..=599 => Outcome::ServerError,
            _ => Outcome::Ok,
        }
    }

    /// True for everything that speaks against the endpoint.
    pub const fn failed(self) -> bool {
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

/// What has happened since an endpoint was first listed.
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
    /// Could not connect.
    pub connect_failures: u64,
    /// Broke off.
    pub resets: u64,
    /// Took too long.
    pub timeouts: u64,
    /// Given up by us.
    pub cancelled: u64,
    /// Times it was ejected.
    pub ejections: u64,
}

impl Totals {
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
