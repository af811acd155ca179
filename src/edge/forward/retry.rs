// SPDX-License-Identifier: Apache-2.0
//! Hot. Decides whether another attempt of a request follows one that failed. Nothing else decides that.
//!
//! An attempt that was no failure of the endpoint (a kept connection turned out closed, or the endpoint refused the
//! stream) is free, `STALE_MAX` times a request. One that did not reach its endpoint is free while there are endpoints
//! that were not tried, where the route allows retries at all. Every other one counts as an attempt of the route's
//! `retry` and takes one retry out of the upstream's budget.

use crate::balance::{EndpointIndex, Tried};
use crate::base::{Fault, FaultKind, Retry, Tick, UpstreamId};
use crate::config::plan::RetryPlan;
use crate::edge::shard::scratch::Resend;
use crate::edge::upstream::acquire::OriginUse;
use crate::edge::upstream::h1::Trust;
use crate::edge::upstream::load::{InFlight, Load};
use crate::link::{Counters, UpstreamCounter};
use crate::wire::grpc::Code;

/// Free attempts of one request. Behind the first of them connections are opened anew, so more is a sign of something
/// else.
const STALE_MAX: u32 = 3;

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Attempts {
    /// Attempts that began.
    attempts: u32,
    /// Those of them that were free because a connection had closed or a stream was refused.
    stale: u32,
    /// Those of them that were free because nothing reached the endpoint.
    unsent: u32,
    /// The endpoints of those that failed.
    pub tried: Tried,
    /// A final response goes to the client.
    responding: bool,
}

/// One attempt: with whom it is made, and as which of how many.
pub(crate) struct Attempt<'a, R> {
    /// The endpoint's side.
    pub remote: &'a R,
    /// Counts the request as in flight there.
    pub flight: &'a mut InFlight,
    /// Whether the connection carried requests before.
    pub origin_use: OriginUse,
    /// The request's attempts, this one included.
    pub attempts: &'a mut Attempts,
}

/// Why an attempt did not give the client its response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Why {
    /// It failed.
    Fault {
        /// How.
        fault: Fault,
        /// What a reset of the stream means to a caller of gRPC.
        code: Option<Code>,
    },
    /// The endpoint responded, and the request still is in flight there.
    Response {
        /// The status.
        status: u16,
        /// The code of a gRPC call which the head ends.
        code: Option<Code>,
        /// Which endpoint.
        from: EndpointIndex,
    },
}

/// Within which bounds a request may be sent again.
#[derive(Clone, Copy)]
pub(crate) struct Bounds<'a> {
    /// What the route says.
    pub plan: &'a RetryPlan,
    /// The upstream's endpoints and its retry budget.
    pub load: &'a Load,
    /// Where attempts are counted.
    pub counters: &'a Counters,
    /// Under which upstream.
    pub upstream: UpstreamId,
    /// Sending the request twice does what sending it once does (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// Whether the body can be sent once more.
    pub resend: Resend,
    /// When everything must be over.
    pub deadline: Tick,
}

/// What another attempt costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Price {
    /// One of the free ones; any endpoint may be asked again.
    Stale,
    /// One of the free ones.
    Refused,
    /// Free, because nothing was sent and there are endpoints that were not tried.
    Unsent,
    /// One of the route's attempts, and one retry of the budget.
    Attempt,
}

impl Attempts {
    /// None yet.
    pub(crate) const NONE: Attempts =
        Attempts { attempts: 0, stale: 0, unsent: 0, tried: Tried::NONE, responding: false };

    /// An attempt begins. How many that makes.
    pub(crate) fn begin(&mut self) -> u32 {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts
    }

    /// Which kept connections the next attempt may use. Where one had closed unnoticed, those beside it may have too.
    /// A request that cannot be repeated is not sent on a connection that nobody looked at.
    // tidy(bool): it is what the method says (RFC 9110 section 9.2.2).
    pub(crate) fn trust(&self, repeatable: bool) -> Trust {
        match (self.stale, repeatable) {
            (0, true) => Trust::BUSY,
            (0, false) => Trust::LOOKED_AT,
            _ => Trust::NONE,
        }
    }

    /// A final response goes to the client, and policies have changed its head: no other can take its place.
    pub(crate) fn respond(&mut self) {
        self.responding = true;
    }

    /// May another attempt follow? Where it may, it is counted, and its retry is taken out of the budget.
    pub(crate) fn may_follow(&mut self, bounds: &Bounds<'_>, why: Why, now: Tick) -> bool {
        let Some(price) = self.price(bounds, why) else { return false };
        let leaving = match why {
            Why::Fault { .. } => None,
            Why::Response { from, .. } => Some(from),
        };
        let Bounds { load, counters, upstream, .. } = *bounds;
        if self.responding
            || bounds.resend == Resend::Impossible
            || now >= bounds.deadline
            || !load.may_pick_again(leaving, now)
        {
            return false;
        }
        match price {
            Price::Stale => {
                self.stale += 1;
                self.tried = Tried::NONE;
            }
            Price::Refused => self.stale += 1,
            Price::Unsent => self.unsent += 1,
            Price::Attempt => {
                let allowed = load.may_retry(now);
                counters.add_upstream(upstream.0, UpstreamCounter::RetriesDenied, u64::from(!allowed));
                if !allowed {
                    return false;
                }
            }
        }
        counters.add_upstream(upstream.0, UpstreamCounter::Retries, 1);
        true
    }

    /// What another attempt costs; `None` where `why` is no reason for one, or it cannot be paid.
    fn price(&self, bounds: &Bounds<'_>, why: Why) -> Option<Price> {
        let plan = bounds.plan;
        let idempotent = bounds.idempotent || plan.non_idempotent;
        let by_code = |code: Option<Code>| code.is_some_and(|code| plan.grpc_statuses.has(code));
        let free = self.stale < STALE_MAX;
        let more = self.attempts.saturating_sub(self.stale + self.unsent) < plan.tries;
        let attempt = more.then_some(Price::Attempt);
        match why {
            Why::Response { status, code, .. } => {
                let asked = (idempotent && plan.statuses.contains(&status)) || by_code(code);
                attempt.filter(|_| asked)
            }
            Why::Fault { fault, code } => match fault.retry {
                Retry::Yes => {
                    let untried = self.tried.count() < bounds.load.cluster.borrow().serving();
                    if plan.tries > 1 && untried { Some(Price::Unsent) } else { attempt }
                }
                Retry::IfReused => (idempotent && free).then_some(Price::Stale),
                Retry::Refused => {
                    if free {
                        Some(Price::Refused)
                    } else {
                        attempt
                    }
                }
                Retry::No => attempt.filter(|_| (idempotent || by_code(code)) && repeats(fault.kind)),
            },
        }
    }
}

/// Faults of one endpoint that another may not have.
fn repeats(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::ConnectFailed
            | FaultKind::ConnectTimeout
            | FaultKind::UpstreamTls
            | FaultKind::UpstreamClosed
            | FaultKind::UpstreamProtocol
            | FaultKind::UpstreamTruncated
            | FaultKind::FirstByteTimeout
    )
}

#[cfg(test)]
mod tests;
