// SPDX-License-Identifier: Apache-2.0
//! The load-balancing settings of an upstream, checked, immutable, and the same on every shard.
//!
//! Counts are one shard's: where a user gives a number for the whole machine, the compiler divides it by the number
//! of shards (rounded down so that the sum never exceeds it, but at least one; queues are rounded up). Every
//! `Duration` may be any length; every `*_per_cent` is `0..=100` unless it says otherwise.

use std::sync::Arc;
use std::time::Duration;

/// One upstream's balancing.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    /// The upstream's name.
    pub name: Arc<str>,
    /// How an endpoint is chosen.
    pub algorithm: Algorithm,
    /// Goes into ring positions and sticky ids. Gateways that must agree on them need the same one.
    pub hash_seed: u64,
    /// The panic threshold: where fewer than this many per cent of the primaries are available, health is ignored and
    /// all primaries are used. When most endpoints look down, the check is more often wrong than the servers, and the
    /// few that are left would be overloaded. 0 is off.
    pub panic_below_per_cent: u8,
    /// How much may be in flight.
    pub caps: Caps,
    /// Slow start of an endpoint that is new or has recovered; `None` is off.
    pub slow_start: Option<SlowStartPlan>,
    /// Outlier detection; `None` is off.
    pub outlier: Option<OutlierPlan>,
    /// Circuit breaker of the whole upstream; `None` is off.
    pub breaker: Option<BreakerPlan>,
    /// How many retries may be made.
    pub retry_budget: RetryBudgetPlan,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Algorithm {
    /// Smooth weighted round robin: exact shares, spread evenly within a cycle.
    RoundRobin,
    /// The fewest requests in flight per weight; equals take turns by weight.
    LeastRequests,
    /// Of two endpoints drawn by weight, the one with fewer requests in flight per weight.
    TwoChoices,
    /// Of two endpoints drawn by weight, the one with the lower recent latency, counting what is in flight.
    PeakEwma(EwmaPlan),
    /// The same key goes to the same endpoint. Requests without a key are placed by `TwoChoices`. Slow start does not
    /// apply.
    Hash(HashPlan),
}

/// Peak EWMA: the average follows a rise at once and a fall slowly.
#[derive(Clone, Debug, PartialEq)]
pub struct EwmaPlan {
    /// After this long, a measurement weighs 1/e of what it did.
    pub decay: Duration,
    /// The latency that is assumed for an endpoint without a measurement.
    pub initial: Duration,
    /// A failure counts as a response after at least this long, so that an endpoint that fails fast does not attract
    /// requests.
    pub failure: Duration,
}

/// Consistent hashing.
#[derive(Clone, Debug, PartialEq)]
pub struct HashPlan {
    /// Points on the ring for each unit of weight, at least 1; weights are first divided by their common divisor.
    pub points: u32,
    /// No endpoint holds more than this per cent (above 100) of its fair share of requests in flight; what is above
    /// goes to the next on the ring. `None`: no bound.
    pub load_max_per_cent: Option<u32>,
}

/// Caps on what is in flight, each at least 1. A request above them waits or is refused with 503 (`overloaded`).
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// Requests to the whole upstream.
    pub requests: u32,
    /// Requests that wait for room; 0 refuses at once.
    pub pending: u32,
    /// Requests to one endpoint.
    pub endpoint_requests: u32,
    /// Connections to one endpoint.
    pub endpoint_connections: u32,
    /// Requests that one connection carries at a time: 1 for HTTP/1.1.
    pub requests_per_connection: u32,
}

/// The share of an endpoint that recovered grows linearly over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowStartPlan {
    /// How long until it has its full share.
    pub window: Duration,
    /// The per cent of its weight that it starts with, at least 1.
    pub start_per_cent: u8,
}

/// Outlier detection: which failures eject an endpoint, and for how long. Reaching one threshold suffices; 0 turns a
/// threshold off.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierPlan {
    /// Failures of any kind in a row (every 5xx, connect failure, reset, timeout).
    pub consecutive_errors: u32,
    /// Gateway failures in a row (502, 503, 504, connect failure, reset, timeout).
    pub consecutive_gateway_errors: u32,
    /// Connect failures in a row.
    pub consecutive_connect_failures: u32,
    /// Per cent of failures of any kind within `window`.
    pub failure_per_cent: u8,
    /// `failure_per_cent` needs at least this many requests in the window, at least 1.
    pub requests_min: u32,
    /// The window of `failure_per_cent`.
    pub window: Duration,
    /// The first ejection lasts this long; each further one twice as long as the one before.
    pub base_ejection: Duration,
    /// No ejection lasts longer.
    pub max_ejection: Duration,
    /// No more than this per cent of the endpoints are ejected at a time (rounded down), and never the last available
    /// one.
    pub ejected_max_per_cent: u8,
}

/// When the breaker opens for the whole upstream. Reaching one threshold suffices; 0 turns a threshold off.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPlan {
    /// Failures in a row that open it.
    pub consecutive_failures: u32,
    /// Per cent of failures within `window` that opens it.
    pub failure_per_cent: u8,
    /// `failure_per_cent` needs at least this many requests in the window, at least 1.
    pub requests_min: u32,
    /// The window of `failure_per_cent`.
    pub window: Duration,
    /// How long it stays open the first time; doubles while trials keep failing.
    pub open: Duration,
    /// No opening lasts longer.
    pub open_max: Duration,
    /// Requests let through at a time while half-open, at least 1.
    pub trials: u32,
    /// Successful trials that close it, at least 1.
    pub closes_after: u32,
}

/// Retries within the last ten seconds are at most `per_second_min` × 10 + `per_cent` of the requests in them.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryBudgetPlan {
    /// Retries for every hundred requests.
    pub per_cent: u8,
    /// Retries that are always possible, per second.
    pub per_second_min: u32,
}

impl Default for ClusterPlan {
    fn default() -> ClusterPlan {
        ClusterPlan {
            name: Arc::from("upstream"),
            algorithm: Algorithm::RoundRobin,
            hash_seed: 0,
            panic_below_per_cent: 0,
            caps: Caps::default(),
            slow_start: None,
            outlier: Some(OutlierPlan::default()),
            breaker: None,
            retry_budget: RetryBudgetPlan::default(),
        }
    }
}

impl Default for EwmaPlan {
    fn default() -> EwmaPlan {
        EwmaPlan { decay: Duration::from_secs(10), initial: Duration::from_millis(30), failure: Duration::from_secs(2) }
    }
}

impl Default for HashPlan {
    fn default() -> HashPlan {
        HashPlan { points: 160, load_max_per_cent: None }
    }
}

impl Default for Caps {
    fn default() -> Caps {
        Caps {
            requests: 65_536,
            pending: 1_024,
            endpoint_requests: 65_536,
            endpoint_connections: 4_096,
            requests_per_connection: 1,
        }
    }
}

impl Default for SlowStartPlan {
    fn default() -> SlowStartPlan {
        SlowStartPlan { window: Duration::from_secs(30), start_per_cent: 10 }
    }
}

impl Default for OutlierPlan {
    fn default() -> OutlierPlan {
        OutlierPlan {
            consecutive_errors: 0,
            consecutive_gateway_errors: 5,
            consecutive_connect_failures: 2,
            failure_per_cent: 0,
            requests_min: 20,
            window: Duration::from_secs(10),
            base_ejection: Duration::from_secs(10),
            max_ejection: Duration::from_secs(300),
            ejected_max_per_cent: 50,
        }
    }
}

impl Default for BreakerPlan {
    fn default() -> BreakerPlan {
        BreakerPlan {
            consecutive_failures: 0,
            failure_per_cent: 50,
            requests_min: 20,
            window: Duration::from_secs(10),
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            trials: 1,
            closes_after: 3,
        }
    }
}

impl Default for RetryBudgetPlan {
    fn default() -> RetryBudgetPlan {
        RetryBudgetPlan { per_cent: 20, per_second_min: 3 }
    }
}
