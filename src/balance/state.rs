// SPDX-License-Identifier: Apache-2.0
//! What one shard knows of an upstream at a moment, for the status document and the metrics page. Made when the control
//! plane asks; allocates.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::breaker::BreakerPhase;
use crate::balance::cluster::Cluster;
use crate::balance::endpoint::{RAMP_FULL, Slot};
use crate::balance::outcome::Totals;
use crate::base::{Address, Tick};

/// One shard's view of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterState {
    /// The upstream's name.
    pub name: Arc<str>,
    /// When it was so, on the shard's clock.
    pub at: Tick,
    /// Requests in flight.
    pub requests: u32,
    /// Requests that wait for room.
    pub pending: u32,
    /// The phase of the breaker, where there is one.
    pub breaker: Option<BreakerPhase>,
    /// Health is being ignored, because too few primaries are available.
    pub panicking: bool,
    /// The listed endpoints, and those that left but still have requests or connections.
    pub endpoints: Vec<EndpointState>,
    /// Endpoints for which there was no room in `endpoints`.
    pub left_out: usize,
}

/// One shard's view of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointState {
    /// Where it is.
    pub address: Address,
    /// Its name.
    pub name: Arc<str>,
    /// Its share.
    pub weight: u32,
    /// Used only when no primary is available.
    pub backup: bool,
    /// Still in the list.
    pub listed: bool,
    /// Gets requests now.
    pub serving: bool,
    /// What is left of its current ejection.
    pub ejected_for: Option<Duration>,
    /// The per mille of its weight that slow start grants.
    pub ramp_per_mille: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Connections open or being opened.
    pub connections: u32,
    /// The moving peak latency in microseconds, where the algorithm measures it.
    pub latency_micros: Option<u64>,
    /// What has happened.
    pub totals: Totals,
}

impl Cluster {
    /// What this shard knows now, with at most `endpoints_max` endpoints.
    pub(crate) fn state(&mut self, now: Tick, endpoints_max: usize) -> ClusterState {
        self.refresh(now);
        let used = || self.slots.iter().filter(|slot| !slot.vacant());
        let endpoints: Vec<EndpointState> =
            used().take(endpoints_max).map(|slot| self.endpoint_state(slot, now)).collect();
        let phase = self.breaker.as_ref().map(|breaker| match breaker.phase() {
            // The breaker itself finds out with the next request, which is a trial.
            BreakerPhase::Open(until) if now >= until => BreakerPhase::HalfOpen,
            phase => phase,
        });
        ClusterState {
            name: self.plan.name.clone(),
            at: now,
            requests: self.requests,
            pending: self.pending,
            breaker: phase,
            panicking: self.panicking,
            left_out: used().count() - endpoints.len(),
            endpoints,
        }
    }

    fn endpoint_state(&self, slot: &Slot, now: Tick) -> EndpointState {
        let ramp = slot.ramp(self.plan.slow_start.as_ref(), now);
        EndpointState {
            address: slot.endpoint.address.clone(),
            name: slot.endpoint.name.clone(),
            weight: slot.endpoint.weight,
            backup: slot.endpoint.backup,
            listed: slot.listed,
            serving: slot.serving,
            ejected_for: slot.outlier.until().map(|until| until.since(now)),
            ramp_per_mille: ramp * 1_000 / RAMP_FULL,
            in_flight: slot.in_flight,
            connections: slot.connections,
            latency_micros: self.ewma_plan().map(|plan| (slot.ewma.cost(plan, now) / 1e3) as u64),
            totals: slot.totals,
        }
    }
}
