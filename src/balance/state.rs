//! A snapshot of a cluster for metrics, the admin interface and logs. Made on request; allocates.

use std::sync::Arc;

use crate::balance::breaker::BreakerPhase;
use crate::balance::cluster::Cluster;
use crate::balance::endpoint::{Health, Slot};
use crate::balance::outcome::Totals;
use crate::base::{Address, Tick};

/// One shard's view of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterState {
    /// The upstream's name.
    pub name: Arc<str>,
    /// Requests in flight.
    pub requests: u32,
    /// Requests that wait for room.
    pub pending: u32,
    /// The breaker, where there is one, and how often it opened.
    pub breaker: Option<(BreakerPhase, u64)>,
    /// Health is being ignored, because too few primaries are available.
    pub panicking: bool,
    /// Retries granted since the start.
    pub retries_granted: u64,
    /// Retries refused by the budget since the start.
    pub retries_refused: u64,
    /// The listed endpoints, and those that left but still have requests or connections.
    pub endpoints: Vec<EndpointState>,
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
    /// What active checks say.
    pub health: Health,
    /// The end of its current ejection.
    pub ejected_until: Option<Tick>,
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
    /// What this shard knows now.
    pub fn state(&mut self, now: Tick) -> ClusterState {
        self.refresh(now);
        let [retries_granted, retries_refused] = self.retry_budget.totals();
        let used = self.slots.iter().filter(|slot| !slot.vacant());
        ClusterState {
            name: self.plan.name.clone(),
            requests: self.requests,
            pending: self.pending,
            breaker: self.breaker.as_ref().map(|breaker| (breaker.phase(), breaker.openings())),
            panicking: self.panicking,
            retries_granted,
            retries_refused,
            endpoints: used.map(|slot| self.endpoint_state(slot, now)).collect(),
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
            health: slot.health,
            ejected_until: slot.outlier.until(),
            ramp_per_mille: ramp * 1_000 / super::endpoint::RAMP_FULL,
            in_flight: slot.in_flight,
            connections: slot.connections,
            latency_micros: self.ewma_plan().map(|plan| (slot.ewma.cost(plan, now) / 1e3) as u64),
            totals: slot.totals,
        }
    }
}
