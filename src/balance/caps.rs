// SPDX-License-Identifier: Apache-2.0
//! Hot. The caps of a cluster: which part of them this shard may use, and what is asked of other shards.

use crate::balance::cluster::Cluster;
use crate::balance::endpoint::{Endpoint, EndpointIndex};
use crate::balance::plan::ClusterPlan;
use crate::balance::quota::{CapKey, Capped, Demand, Part, QuotaMessage, Quotas, Use};
use crate::base::Tick;

/// Connections that another shard wants to have of an endpoint's cap, and that are not free here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The endpoint.
    pub index: EndpointIndex,
    /// How many.
    pub connections: u32,
}

/// How a request left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It was told to go on.
    Admitted,
    /// It waited too long.
    Late,
}

impl Cluster {
    /// A cluster as one of several shards sees it. The caps of its plan are those of all shards together.
    pub(crate) fn shared(plan: &ClusterPlan, endpoints: &[Endpoint], part: Part) -> Cluster {
        let mut cluster = Cluster::new(plan, endpoints);
        if part.count > 1 {
            // tidy(hot): once for each upstream.
            cluster.quotas = Some(Box::new(Quotas::new(part)));
            cluster.fit_all();
        }
        cluster
    }

    /// True where one more request may wait.
    pub(crate) fn may_queue(&self) -> bool {
        self.pending < self.plan.caps.pending
    }

    /// Counts a request that begins to wait. Call `queue_leave` exactly once when it stops waiting, for any reason.
    pub(crate) fn queue_enter(&mut self) {
        self.pending += 1;
    }

    /// The request that has waited longest is told to go on: its room is kept until it leaves the queue.
    pub(crate) fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// Counts a request that has stopped waiting. Where room was kept for it, it begins before anything else happens.
    pub(crate) fn queue_leave(&mut self, left: Left) {
        debug_assert!(self.pending > 0, "left a queue that is empty");
        self.pending = self.pending.saturating_sub(1);
        if left == Left::Admitted {
            debug_assert!(self.reserved > 0, "room was kept for it");
            self.reserved = self.reserved.saturating_sub(1);
        }
        if self.holds {
            self.holds = false;
            self.slots.iter_mut().for_each(|slot| slot.holds = false);
        }
    }

    /// Works out what this shard may use of all caps.
    pub(super) fn fit_all(&mut self) {
        self.requests_max = self.allowed(self.key(Capped::Requests), self.plan.caps.requests);
        for at in 0..self.slots.len() {
            self.fit(at);
        }
    }

    /// A request that waits may go on: the upstream has room, and so has an endpoint, beside the requests that were
    /// told so already. Where no endpoint serves, it may find out.
    pub(crate) fn may_admit(&self) -> bool {
        if !self.has_room() {
            return false;
        }
        if self.stale || self.serving.is_empty() {
            return true;
        }
        let mut room = 0;
        self.serving.iter().any(|number| {
            let slot = &self.slots[*number as usize];
            room += slot.room.saturating_sub(slot.in_flight);
            room > self.reserved
        })
    }

    /// A connection to the endpoint carries so many requests at a time, whatever the plan allows.
    pub(crate) fn learn(&mut self, index: EndpointIndex, carries: u32) {
        let Some(at) = self.place_of(index) else { return };
        self.slots[at].carries = carries.max(1);
        self.fit(at);
    }

    /// `waiting` requests wait for room: asks the other shards for what is missing.
    ///
    /// A request may need permits of three caps: of the upstream, of the endpoint, for a connection. They are taken in
    /// this order, and while it waits for one, those before stay here. Without an order, two shards would give each
    /// other what the other one waits for, again and again.
    #[cold]
    pub(crate) fn ask_for_room(&mut self, waiting: u32) {
        if self.quotas.is_none() || waiting == 0 {
            return;
        }
        let caps = self.plan.caps.clone();
        if !self.has_room() {
            if self.requests_max < caps.requests {
                self.want(self.key(Capped::Requests), waiting);
            }
            return;
        }
        self.holds = true;
        let each = waiting.div_ceil(self.serving.len().max(1) as u32);
        for at in 0..self.serving.len() {
            let slot = &self.slots[self.serving[at] as usize];
            if slot.in_flight < slot.room {
                continue;
            }
            let of = slot.cap_id;
            let by_requests = slot.in_flight >= slot.requests_max && slot.requests_max < caps.endpoint_requests;
            let carries = slot.carries.min(caps.requests_per_connection).max(1);
            let carried = slot.connections_max.saturating_mul(carries);
            let by_connections = slot.in_flight >= carried && slot.connections_max < caps.endpoint_connections;
            self.slots[self.serving[at] as usize].holds = by_connections && !by_requests;
            if by_requests {
                self.want(CapKey { capped: Capped::EndpointRequests, of }, each);
            }
            if by_connections {
                let connections = each.div_ceil(carries);
                self.want(CapKey { capped: Capped::Connections, of }, connections);
            }
        }
    }

    /// Takes a message of another shard about a cap. Connections that it wants and that are idle here should be closed.
    #[cold]
    pub(crate) fn take_mail(&mut self, from: u32, message: QuotaMessage) -> Option<Owed> {
        let of = self.use_of(message.key);
        let quotas = self.quotas.as_mut()?;
        quotas.receive(from, message, of);
        let connections = match message.key.capped {
            Capped::Connections => quotas.owed(message.key),
            Capped::Requests | Capped::EndpointRequests | Capped::Retries => 0,
        };
        self.fit_key(message.key);
        let at = self.at_cap_id(message.key.of).filter(|_| connections > 0)?;
        Some(Owed { index: self.index_at(at), connections })
    }

    /// Those who waited for permits of a cap have taken them: what is left goes to the shards that wait.
    #[cold]
    pub(crate) fn settle(&mut self, key: CapKey) {
        let of = self.use_of(key);
        if let Some(quotas) = &mut self.quotas {
            quotas.freed(key, of);
        }
        self.fit_key(key);
    }

    /// Does another shard wait for a connection to this endpoint that this shard has? Then none is kept idle.
    pub(crate) fn owes_connection(&self, index: EndpointIndex) -> bool {
        self.is_pressed() && self.place_of(index).is_some_and(|at| self.owed_to(at) > 0)
    }

    /// Connections that other shards wait for, by endpoint.
    pub(crate) fn owed(&self) -> Vec<Owed> {
        if !self.is_pressed() {
            return Vec::new();
        }
        let slots = (0..self.slots.len()).map(|at| (at, self.owed_to(at))).filter(|(_, connections)| *connections > 0);
        slots.map(|(at, connections)| Owed { index: self.index_at(at), connections }).collect()
    }

    fn owed_to(&self, at: usize) -> u32 {
        let key = CapKey { capped: Capped::Connections, of: self.slots[at].cap_id };
        self.quotas.as_ref().map_or(0, |quotas| quotas.owed(key))
    }

    fn index_at(&self, at: usize) -> EndpointIndex {
        EndpointIndex { slot: at as u32, generation: self.slots[at].generation }
    }

    /// The next message about a cap, and the shard that it is for.
    pub(crate) fn next_mail(&mut self) -> Option<(u32, QuotaMessage)> {
        self.quotas.as_mut()?.next_mail()
    }

    /// Is there a message to send?
    pub(crate) fn has_mail(&self) -> bool {
        self.quotas.as_ref().is_some_and(|quotas| quotas.has_mail())
    }

    /// Does another shard wait for permits of this one?
    pub(crate) fn is_pressed(&self) -> bool {
        self.quotas.as_ref().is_some_and(|quotas| quotas.is_pressed())
    }

    /// A request has begun that was told to go on: what was kept for it and is not needed goes to the shards that wait.
    #[cold]
    pub(crate) fn settle_all(&mut self) {
        let keys = self.quotas.as_ref().map(|quotas| quotas.keys()).unwrap_or_default();
        keys.into_iter().for_each(|key| self.settle(key));
    }

    /// A request or connection to an endpoint has ended: other shards may wait for its permits.
    pub(super) fn permits_freed(&mut self, index: EndpointIndex) {
        if self.is_pressed() {
            self.give_permits(index);
        }
    }

    /// Housekeeping of caps. `waiting`: requests that wait for room.
    pub(crate) fn sweep_caps(&mut self, waiting: u32, now: Tick) {
        self.retries_used = self.retry_budget.beyond(self.plan.retry_budget.per_cent, now);
        let keys = self.quotas.as_ref().map(|quotas| quotas.keys()).unwrap_or_default();
        let demand = if waiting > 0 { Demand::Some } else { Demand::None };
        for key in keys {
            let of = self.use_of(key);
            if let Some(quotas) = &mut self.quotas {
                quotas.sweep(key, demand, of);
            }
            self.fit_key(key);
        }
        self.ask_for_room(waiting);
    }

    /// Takes one retry from the budget; false where the budget is used up. Call it before every retry.
    ///
    /// The part of the budget that does not depend on the load is a cap of the process: the last permit of it makes
    /// this shard ask for another one, so that the next retry does not wait for other shards.
    pub(crate) fn may_retry(&mut self, now: Tick) -> bool {
        let key = self.key(Capped::Retries);
        let least = self.allowed(key, self.plan.retry_budget.least());
        let per_cent = self.plan.retry_budget.per_cent;
        let granted = self.retry_budget.take(per_cent, least, now);
        if self.quotas.is_some() {
            self.retries_used = self.retry_budget.beyond(per_cent, now);
            if self.retries_used >= least {
                self.want(key, 1);
            }
        }
        granted
    }

    /// The plan has other caps.
    pub(super) fn caps_changed(&mut self) {
        self.fit_all();
        let keys = self.quotas.as_ref().map(|quotas| quotas.keys()).unwrap_or_default();
        for key in keys {
            let of = self.use_of(key);
            if let Some(quotas) = &mut self.quotas {
                quotas.cap_changed(key, of);
            }
            self.fit_key(key);
        }
    }

    /// Is a shard to answer that was asked for permits?
    pub(super) fn awaits_permits(&self) -> bool {
        self.quotas.as_ref().is_some_and(|quotas| quotas.awaits())
    }

    #[cold]
    fn give_permits(&mut self, index: EndpointIndex) {
        let slot = self.place_of(index).map(|at| self.slots[at].cap_id);
        let of_slot = |capped| slot.map(|of| CapKey { capped, of });
        let keys = [
            Some(self.key(Capped::Requests)),
            of_slot(Capped::EndpointRequests),
            of_slot(Capped::Connections),
            Some(self.key(Capped::Retries)),
        ];
        for key in keys.into_iter().flatten() {
            let of = self.use_of(key);
            if let Some(quotas) = &mut self.quotas {
                quotas.freed(key, of);
            }
            self.fit_key(key);
        }
    }

    fn want(&mut self, key: CapKey, count: u32) {
        let of = self.use_of(key);
        if let Some(quotas) = &mut self.quotas {
            quotas.want(key, count, of);
        }
        self.fit_key(key);
    }

    fn allowed(&self, key: CapKey, cap: u32) -> u32 {
        self.quotas.as_ref().map_or(cap, |quotas| quotas.allowed(key, cap))
    }

    /// The key of a cap of the upstream as a whole.
    fn key(&self, capped: Capped) -> CapKey {
        CapKey { capped, of: self.cap_id }
    }

    fn fit(&mut self, at: usize) {
        let (caps, of) = (&self.plan.caps, self.slots[at].cap_id);
        let requests = self.allowed(CapKey { capped: Capped::EndpointRequests, of }, caps.endpoint_requests);
        let connections = self.allowed(CapKey { capped: Capped::Connections, of }, caps.endpoint_connections);
        let slot = &mut self.slots[at];
        let room = requests.min(connections.saturating_mul(slot.carries.min(caps.requests_per_connection)));
        (slot.requests_max, slot.connections_max, slot.room) = (requests, connections, room);
    }

    fn fit_key(&mut self, key: CapKey) {
        match key.capped {
            Capped::Requests => self.requests_max = self.allowed(key, self.plan.caps.requests),
            Capped::EndpointRequests | Capped::Connections => {
                if let Some(at) = self.at_cap_id(key.of) {
                    self.fit(at);
                }
            }
            Capped::Retries => {}
        }
    }

    fn use_of(&self, key: CapKey) -> Use {
        let caps = &self.plan.caps;
        let slot = self.at_cap_id(key.of).map(|at| &self.slots[at]);
        let held = |holds: bool| u32::from(holds && self.pending > self.reserved);
        match key.capped {
            Capped::Requests => Use { cap: caps.requests, used: self.requests + self.reserved + held(self.holds) },
            Capped::EndpointRequests => {
                // A request that was told to go on may go there.
                let used = slot.map_or(0, |slot| slot.in_flight + self.reserved + held(slot.holds));
                Use { cap: caps.endpoint_requests, used }
            }
            Capped::Connections => {
                // A request that has no connection yet will need one.
                let used = slot.map_or(0, |slot| {
                    let carries = slot.carries.min(caps.requests_per_connection).max(1);
                    slot.connections.max((slot.in_flight + self.reserved).div_ceil(carries))
                });
                Use { cap: caps.endpoint_connections, used }
            }
            Capped::Retries => Use { cap: self.plan.retry_budget.least(), used: self.retries_used },
        }
    }

    fn at_cap_id(&self, of: u64) -> Option<usize> {
        self.slots.iter().position(|slot| slot.cap_id == of && !slot.vacant())
    }
}
