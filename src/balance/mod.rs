// SPDX-License-Identifier: Apache-2.0
//! Load balancing: which endpoint of an upstream gets the next request, if any may.
//!
//! A `Cluster` is one shard's view of one upstream: algorithm, health, passive ejection, slow start, caps, circuit
//! breaker and retry budget. Everything is pure: time (`Tick`) and chance (`Rng`) are arguments. `Probe` is the state
//! machine of active health checks; the control plane runs it, and shards take in its changes with
//! `Cluster::set_health`.

mod breaker;
mod budget;
mod caps;
mod cluster;
mod endpoint;
mod ewma;
mod hash;
mod health;
mod outcome;
mod outlier;
mod pick;
mod plan;
mod quota;
mod ring;
mod state;
mod window;

#[cfg(test)]
mod tests;

pub(crate) use breaker::BreakerPhase;
pub(crate) use caps::{Left, Owed};
pub(crate) use cluster::{Admission, Cluster};
pub(crate) use endpoint::{Endpoint, EndpointIndex, Flight, Health, Tried};
pub(crate) use hash::hash_key;
pub(crate) use health::{Probe, ProbePlan, ProbeResult};
pub(crate) use outcome::{Outcome, Totals};
pub(crate) use plan::{
    Algorithm, BreakerPlan, Caps, ClusterPlan, EwmaPlan, HashPlan, OutlierPlan, RetryBudgetPlan, SlowStartPlan,
};
pub(crate) use quota::Part;
pub(crate) use quota::QuotaMessage;
pub(crate) use state::{ClusterState, EndpointState};
