// SPDX-License-Identifier: Apache-2.0
//! Hot. One endpoint: its state, its index as other folders hold it, and the set of endpoints that a request has tried.
//!
//! `EndpointIndex` is a slot and the slot's generation. An old index, whose slot another endpoint has by now, is
//! recognised by its generation and has no effect.

use std::sync::Arc;

use crate::balance::ewma::Ewma;
use crate::balance::outcome::Totals;
use crate::balance::outlier::Outlier;
use crate::balance::plan::SlowStartPlan;
use crate::base::limits::TRIED_MAX;
use crate::base::{Address, Tick};

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to connect; also its identity within the upstream.
    pub address: Address,
    /// Its name: for TLS, for the Host field where that is replaced, and for logs.
    pub name: Arc<str>,
    /// Its share of requests. Zero drains it: only requests with its sticky cookie still go there.
    pub weight: u32,
    /// Used only while no primary is available.
    pub backup: bool,
}

/// Names an endpoint of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EndpointIndex {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl EndpointIndex {
    /// A small number that no other endpoint has while this one is listed or has requests. Arrays may be indexed by it.
    pub(crate) const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// A request under way, from `Cluster::begin` to `Cluster::end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a request that does not end counts as in flight for ever"]
pub(crate) struct Flight {
    /// Where it went.
    pub index: EndpointIndex,
    /// The breaker's epoch when it began. The outcome counts for the breaker only in the same epoch.
    pub(super) epoch: u32,
    /// When it began, a long wait for the response was to be expected.
    pub long: bool,
}

/// What active checks say of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// Not checked yet, or not at all: used.
    #[default]
    Unknown,
    /// Passed: used.
    Up,
    /// Failed: not used.
    Down,
}

/// The endpoints that one request has tried. Above `TRIED_MAX`, the oldest is forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    slots: [u32; TRIED_MAX],
    count: u32,
}

impl Tried {
    /// None yet.
    pub(crate) const NONE: Tried = Tried { slots: [0; TRIED_MAX], count: 0 };

    /// Remembers one.
    pub(crate) fn insert(&mut self, index: EndpointIndex) {
        self.slots[self.count as usize % TRIED_MAX] = index.slot;
        self.count = self.count.wrapping_add(1).max(1);
    }

    /// How many it remembers, of `TRIED_MAX` at most.
    pub(crate) fn count(&self) -> usize {
        (self.count as usize).min(TRIED_MAX)
    }

    /// True before the first attempt.
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the request has tried it.
    #[cfg(test)]
    pub(crate) fn contains(&self, index: EndpointIndex) -> bool {
        self.has_slot(index.slot)
    }

    pub(super) fn has_slot(&self, slot: u32) -> bool {
        self.slots[..self.count()].contains(&slot)
    }
}

/// What a cluster keeps of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub endpoint: Endpoint,
    /// The same for the same address on every shard and machine with the same seed.
    pub id: u64,
    pub generation: u32,
    /// It is in the current list. Otherwise the slot is kept until its last request and connection have ended.
    pub listed: bool,
    /// May be picked: in the tier that serves now.
    pub serving: bool,
    pub health: Health,
    pub in_flight: u32,
    pub connections: u32,
    /// Requests and connections that this shard may have there, of the caps of the process.
    pub requests_max: u32,
    pub connections_max: u32,
    /// A permit of its cap on requests stays here for a request that waits for a connection.
    pub holds: bool,
    /// Requests that one connection to it carries at a time, as far as it has said.
    pub carries: u32,
    /// The requests that fit both.
    pub room: u32,
    /// The endpoint in the keys of caps: the same on every shard.
    pub cap_id: u64,
    /// Smooth weighted round robin's running weight.
    pub current: i64,
    pub ewma: Ewma,
    /// The last response was long in coming.
    pub slow: bool,
    pub outlier: Outlier,
    /// Slow start counts from here.
    pub ramp_from: Option<Tick>,
    pub totals: Totals,
}

impl Slot {
    pub(crate) fn new(endpoint: Endpoint, id: u64, generation: u32) -> Slot {
        Slot {
            endpoint,
            id,
            generation,
            listed: true,
            serving: false,
            health: Health::Unknown,
            in_flight: 0,
            connections: 0,
            requests_max: 0,
            connections_max: 0,
            holds: false,
            carries: u32::MAX,
            room: 0,
            cap_id: 0,
            current: 0,
            ewma: Ewma::default(),
            slow: false,
            outlier: Outlier::default(),
            ramp_from: None,
            totals: Totals::default(),
        }
    }

    /// Not listed, no requests, no connections: another endpoint may take the slot.
    pub(crate) fn vacant(&self) -> bool {
        !self.listed && self.in_flight == 0 && self.connections == 0
    }

    /// Listed, not down, not ejected.
    pub(crate) fn available(&self) -> bool {
        self.listed && self.health != Health::Down && !self.outlier.ejected()
    }

    /// The share of its weight that slow start grants now, in 1/1024, at least 1.
    pub(crate) fn ramp(&self, plan: Option<&SlowStartPlan>, now: Tick) -> u32 {
        let (Some(from), Some(plan)) = (self.ramp_from, plan) else { return RAMP_FULL };
        let window = plan.window.as_nanos();
        let elapsed = now.since(from).as_nanos();
        if elapsed >= window {
            return RAMP_FULL;
        }
        let grown = (elapsed * u128::from(RAMP_FULL) / window) as u32;
        let least = RAMP_FULL * u32::from(plan.start_per_cent) / 100;
        grown.max(least).clamp(1, RAMP_FULL)
    }

    /// Its weight in units of 1/1024, slow start applied.
    pub(crate) fn weight(&self, plan: Option<&SlowStartPlan>, now: Tick) -> i64 {
        i64::from(self.endpoint.weight) * i64::from(self.ramp(plan, now))
    }
}

/// The whole of a weight; a power of two, so that full weights stay exact.
pub(super) const RAMP_FULL: u32 = 1_024;
