// SPDX-License-Identifier: Apache-2.0
//! Hot. One shard's view of one upstream: its endpoints, the requests in flight, and which endpoints may be picked now.
//!
//! The order of calls for a request is `admission` → `pick` → `begin` → (`observe` → `finish`, or `end`), without
//! waiting between `pick` and `begin`. Invariant: `requests` is the number of flights begun and not finished. It holds
//! across `set_endpoints`, because a slot is not reused before its last request and connection have ended.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::balance::breaker::Breaker;
use crate::balance::budget::RetryBudget;
use crate::balance::endpoint::{Endpoint, EndpointIndex, Flight, Health, Slot};
use crate::balance::hash::hash_key;
use crate::balance::outcome::Outcome;
use crate::balance::plan::{Algorithm, ClusterPlan, EwmaPlan, HashPlan};
use crate::balance::quota::{Quotas, id_of_endpoint, id_of_upstream};
use crate::balance::ring::{Ring, RingMember};
use crate::base::canary::{self, Flaw};
use crate::base::limits::{ENDPOINTS_MAX, TRIED_MAX};
use crate::base::{Address, FaultKind, Rng, Tick};

/// A response that took longer is slow: the next of its endpoint will probably be slow as well.
const SLOW: Duration = Duration::from_millis(20);
/// Requests in flight above which each probably waits for long.
const CROWD: u32 = 512;

/// One shard's view of one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(super) plan: ClusterPlan,
    pub(super) slots: Vec<Slot>,
    /// Slots that may be picked now, in slot order, with the running sum of their weights.
    pub(super) serving: Vec<u32>,
    pub(super) weights: Vec<u64>,
    /// Empty unless the algorithm hashes.
    pub(super) ring: Ring,
    /// Sticky ids in order, with their slots.
    sticky: Vec<(u64, u32)>,
    pub(super) requests: u32,
    /// Requests that this shard may have in flight, of the cap of the process.
    pub(super) requests_max: u32,
    /// Requests that were told to go on and have not begun yet.
    pub(super) reserved: u32,
    pub(super) pending: u32,
    /// A permit of the upstream's cap on requests stays here for a request that waits for room at an endpoint.
    pub(super) holds: bool,
    /// The parts of caps that moved between shards; `None` where there is one shard.
    pub(super) quotas: Option<Box<Quotas>>,
    /// The upstream in the keys of caps.
    pub(super) cap_id: u64,
    /// Retries of late beyond the per cent of requests.
    pub(super) retries_used: u32,
    pub(super) breaker: Option<Breaker>,
    pub(super) retry_budget: RetryBudget,
    pub(super) panicking: bool,
    listed: u32,
    ejected: u32,
    available: u32,
    /// Ejections since they were last taken.
    ejections: u64,
    /// `serving` must be rebuilt: at once where `stale` is set, otherwise from `refresh_at` on.
    pub(super) stale: bool,
    refresh_at: Tick,
}

/// Whether a request that has just arrived may proceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may: the upstream is below its limits.
    Go,
    /// It must wait (`queue_enter`, `queue_leave`): the upstream is at a limit, or other requests wait already.
    Wait,
    /// It is refused with this fault: the queue is full as well.
    Refuse(FaultKind),
}

impl Cluster {
    /// A cluster with these endpoints, all of unknown health.
    pub(crate) fn new(plan: &ClusterPlan, endpoints: &[Endpoint]) -> Cluster {
        let mut cluster = Cluster {
            plan: plan.clone(),
            slots: Vec::new(),
            serving: Vec::new(),
            weights: Vec::new(),
            ring: Ring::default(),
            sticky: Vec::new(),
            requests: 0,
            requests_max: 0,
            reserved: 0,
            pending: 0,
            holds: false,
            quotas: None,
            cap_id: id_of_upstream(&plan.name),
            retries_used: 0,
            breaker: plan.breaker.as_ref().map(Breaker::new),
            retry_budget: RetryBudget::new(),
            panicking: false,
            listed: 0,
            ejected: 0,
            available: 0,
            ejections: 0,
            stale: true,
            refresh_at: Tick::NEVER,
        };
        cluster.set_endpoints(endpoints, Tick::ZERO);
        cluster
    }

    /// Moves the round robin to a random position, so that shards do not all begin with the same endpoint.
    pub(crate) fn desynchronise(&mut self, rng: &mut Rng, now: Tick) {
        self.refresh(now);
        let cycle = self.weights.last().copied().unwrap_or(0).min(1_000);
        for _ in 0..rng.below(cycle) {
            self.smooth(now, |_, _| true);
        }
    }

    /// Switches to a new plan and keeps the state of the endpoints. A breaker whose plan changed starts closed.
    pub(crate) fn set_plan(&mut self, plan: &ClusterPlan) {
        if self.plan.breaker != plan.breaker {
            self.breaker = plan.breaker.as_ref().map(Breaker::new);
        }
        if let Some(outlier) = &plan.outlier
            && self.plan.outlier.as_ref() != Some(outlier)
        {
            self.slots.iter_mut().for_each(|slot| slot.outlier.configure(outlier));
        }
        let seed_changed = self.plan.hash_seed != plan.hash_seed;
        self.plan = plan.clone();
        self.caps_changed();
        if seed_changed {
            self.slots.iter_mut().for_each(|slot| slot.id = endpoint_id(plan.hash_seed, &slot.endpoint.address));
        }
        self.index();
    }

    /// Replaces the list of endpoints. An endpoint whose address was listed before keeps its state; one that is no
    /// longer listed gets no new requests. Returns how many were left out: duplicates, and those above `ENDPOINTS_MAX`.
    pub(crate) fn set_endpoints(&mut self, endpoints: &[Endpoint], now: Tick) -> usize {
        let had_any = self.listed > 0;
        let mut seen = HashSet::with_capacity(endpoints.len());
        let mut wanted: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| seen.insert(&endpoint.address)).collect();
        wanted.truncate(ENDPOINTS_MAX);
        self.listed = wanted.len() as u32;
        let left_out = endpoints.len() - wanted.len();

        let mut known = HashMap::with_capacity(self.slots.len());
        for (slot, at) in self.slots.iter_mut().zip(0..) {
            slot.listed = false;
            known.insert(slot.endpoint.address.clone(), at);
        }
        // Known endpoints first: only then is it certain which slots are free for new ones.
        wanted.retain(|endpoint| {
            let Some(at) = known.get(&endpoint.address) else { return true };
            let slot: &mut Slot = &mut self.slots[*at];
            slot.listed = true;
            slot.endpoint = (*endpoint).clone();
            false
        });
        let vacant: Vec<usize> = (0..self.slots.len()).filter(|at| self.slots[*at].vacant()).collect();
        let mut vacant = vacant.into_iter();
        for endpoint in wanted {
            self.place(vacant.next(), endpoint, had_any.then_some(now));
        }
        self.index();
        self.fit_all();
        left_out
    }

    /// Stores the result of active health checks. An unknown address is ignored, because lists and results arrive in
    /// separate messages.
    pub(crate) fn set_health(&mut self, address: &Address, health: Health, now: Tick) {
        let mut slots = self.slots.iter_mut();
        let Some(slot) = slots.find(|slot| slot.listed && slot.endpoint.address == *address) else { return };
        if slot.health == health {
            return;
        }
        if slot.health == Health::Down {
            slot.ramp_from = Some(now);
        }
        slot.health = health;
        self.stale = true;
    }

    /// Whether a request that has just arrived may go on to `pick`. It never overtakes requests that wait.
    pub(crate) fn admission(&self) -> Admission {
        if self.pending == 0 && self.has_room() {
            return Admission::Go;
        }
        if self.pending < self.plan.caps.pending { Admission::Wait } else { Admission::Refuse(FaultKind::Overloaded) }
    }

    /// True where the upstream as a whole has room for one more request, so that the first in the queue may `pick`.
    pub(crate) fn has_room(&self) -> bool {
        self.requests + self.reserved < self.requests_max
    }

    /// Counts an attempt that goes to the endpoint that `pick` has just returned.
    pub(crate) fn begin(&mut self, index: EndpointIndex, now: Tick) -> Flight {
        self.requests += 1;
        self.retry_budget.count_try(now);
        let epoch = self.breaker.as_mut().map_or(0, |breaker| breaker.begin(now));
        let mut long = self.requests > CROWD;
        if let Some(slot) = self.slot_mut(index) {
            slot.in_flight += 1;
            slot.totals.requests += 1;
            long |= slot.slow;
        }
        Flight { index, epoch, long }
    }

    /// Reports the outcome of an attempt and ends it: `observe` and `finish` in one.
    #[cfg(test)]
    pub(crate) fn end(&mut self, flight: Flight, outcome: Outcome, latency: Duration, now: Tick) {
        self.observe(flight, outcome, latency, now);
        self.finish(flight);
    }

    /// Reports the outcome of an attempt, at most once: for a long stream or a tunnel as soon as the response's head
    /// has arrived. `latency` is the time to that head, or to the failure.
    pub(crate) fn observe(&mut self, flight: Flight, outcome: Outcome, latency: Duration, now: Tick) {
        if let Some(breaker) = &mut self.breaker {
            breaker.observe(flight.epoch, outcome, now);
        }
        let Some(at) = self.place_of(flight.index) else { return };
        let slot = &mut self.slots[at];
        slot.totals.count(outcome);
        if outcome != Outcome::Cancelled {
            slot.slow = latency >= SLOW;
        }
        if let Algorithm::PeakEwma(ewma) = &self.plan.algorithm
            && outcome != Outcome::Cancelled
        {
            let latency = if outcome.failed() { latency.max(ewma.failure) } else { latency };
            slot.ewma.observe(latency, ewma, now);
        }
        if let Some(outlier) = &self.plan.outlier
            && slot.listed
            && !slot.outlier.ejected()
            && slot.outlier.observe(outcome, outlier, now)
        {
            self.eject(at, now);
        }
    }

    /// Ends an attempt: its request and response are complete or given up, and no longer count as in flight.
    pub(crate) fn finish(&mut self, flight: Flight) {
        debug_assert!(self.requests > 0, "more flights ended than began");
        self.requests = self.requests.saturating_sub(1);
        if let Some(slot) = self.slot_mut(flight.index) {
            slot.in_flight = slot.in_flight.saturating_sub(u32::from(!canary::has(Flaw::EndpointLoad)));
        }
        self.permits_freed(flight.index);
    }

    /// Endpoints that requests may go to, of `TRIED_MAX` at most.
    pub(crate) fn serving(&self) -> usize {
        self.serving.len().min(TRIED_MAX)
    }

    /// True where one more connection to the endpoint may be opened.
    pub(crate) fn may_connect(&self, index: EndpointIndex) -> bool {
        let slot = self.place_of(index).map(|at| &self.slots[at]);
        slot.is_some_and(|slot| slot.listed && slot.connections < slot.connections_max)
    }

    /// Counts a connection that is being opened. Call `connection_closed` exactly once for it, also if it fails.
    pub(crate) fn connection_opened(&mut self, index: EndpointIndex) {
        if let Some(slot) = self.slot_mut(index) {
            slot.connections += 1;
        }
    }

    /// Counts a connection that has closed or could not be opened.
    pub(crate) fn connection_closed(&mut self, index: EndpointIndex) {
        if let Some(slot) = self.slot_mut(index) {
            slot.connections = slot.connections.saturating_sub(1);
        }
        self.permits_freed(index);
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.requests
    }

    /// Is no request in flight, and none waiting?
    pub(crate) fn is_unused(&self) -> bool {
        self.requests == 0 && self.pending == 0
    }

    /// Do the counts agree with each other, with the `open` connections, and with the `waiting` requests that were not
    /// admitted yet?
    pub(crate) fn check(&self, open: usize, waiting: usize) -> Result<(), &'static str> {
        let sum = |count: fn(&Slot) -> u32| self.slots.iter().map(|slot| count(slot) as usize).sum::<usize>();
        if sum(|slot| slot.in_flight) != self.requests as usize {
            return Err("an upstream has other requests in flight than its endpoints together");
        }
        if sum(|slot| slot.connections) != open {
            return Err("an upstream has other open connections than its endpoints together");
        }
        let admitted = (self.pending as usize).checked_sub(waiting).ok_or("more requests queue than are counted")?;
        if admitted != self.reserved as usize {
            return Err("room is kept for other requests than were told to go on");
        }
        if waiting > 0 && admitted == 0 && self.requests == 0 && !self.awaits_permits() {
            return Err("requests queue for an upstream that has none in flight");
        }
        if self.serving.len() != self.weights.len() {
            return Err("endpoints that serve and their weights differ in number");
        }
        Ok(())
    }

    /// Is no endpoint listed? Then no name of the upstream resolves.
    pub(crate) fn is_empty(&self) -> bool {
        !self.slots.iter().any(|slot| slot.listed)
    }

    /// The endpoint; `None` for an old index, whose slot another endpoint has by now.
    pub(crate) fn endpoint(&self, index: EndpointIndex) -> Option<&Endpoint> {
        self.place_of(index).map(|at| &self.slots[at].endpoint)
    }

    /// False where the endpoint is no longer listed; its idle connections should then be closed.
    pub(crate) fn is_listed(&self, index: EndpointIndex) -> bool {
        self.place_of(index).is_some_and(|at| self.slots[at].listed)
    }

    /// The endpoint's sticky id: the cookie carries it, and `pick` takes it. Without the seed, nobody can tell the
    /// address from it.
    pub(crate) fn sticky_id(&self, index: EndpointIndex) -> Option<u64> {
        self.place_of(index).map(|at| self.slots[at].id)
    }

    /// Times the breaker opened since this was last called.
    pub(crate) fn take_openings(&mut self) -> u64 {
        self.breaker.as_mut().map_or(0, Breaker::take_openings)
    }

    /// Endpoints ejected since this was last called.
    pub(crate) fn take_ejections(&mut self) -> u64 {
        std::mem::take(&mut self.ejections)
    }

    pub(super) fn slot_of_sticky(&self, id: u64) -> Option<u32> {
        let at = self.sticky.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.sticky[at].1)
    }

    pub(super) fn ewma_plan(&self) -> Option<&EwmaPlan> {
        match &self.plan.algorithm {
            Algorithm::PeakEwma(plan) => Some(plan),
            Algorithm::RoundRobin | Algorithm::LeastRequests | Algorithm::TwoChoices | Algorithm::Hash(_) => None,
        }
    }

    pub(super) fn hash_plan(&self) -> Option<&HashPlan> {
        match &self.plan.algorithm {
            Algorithm::Hash(plan) => Some(plan),
            Algorithm::RoundRobin | Algorithm::LeastRequests | Algorithm::TwoChoices | Algorithm::PeakEwma(_) => None,
        }
    }

    /// Brings `serving` up to date. Allocates nothing: both vectors have room for every slot.
    pub(super) fn refresh(&mut self, now: Tick) {
        if !self.stale && now < self.refresh_at {
            return;
        }
        self.stale = false;
        self.refresh_at = Tick::NEVER;
        self.ejected = 0;
        let (mut primaries, mut primaries_available, mut backups_available) = (0_u32, 0_u32, 0_u32);
        for slot in self.slots.iter_mut().filter(|slot| slot.listed) {
            if let Some(ended) = slot.outlier.release_due(now) {
                slot.ramp_from = Some(ended);
            }
            if let Some(until) = slot.outlier.until() {
                self.ejected += 1;
                self.refresh_at = self.refresh_at.min(until);
            }
            let (weighs, available) = (slot.endpoint.weight > 0, u32::from(slot.available()));
            match slot.endpoint.backup {
                true => backups_available += u32::from(weighs) * available,
                false => {
                    primaries += u32::from(weighs);
                    primaries_available += u32::from(weighs) * available;
                }
            }
        }
        self.available = primaries_available + backups_available;
        let threshold = u32::from(self.plan.panic_below_per_cent);
        self.panicking = primaries > 0 && primaries_available * 100 < primaries * threshold;
        let backups = primaries_available == 0 && !self.panicking;
        let panicking = self.panicking;
        self.serve(|slot| slot.endpoint.backup == backups && (slot.available() || panicking));
    }

    fn serve(&mut self, serves: impl Fn(&Slot) -> bool) {
        self.serving.clear();
        self.weights.clear();
        let mut sum = 0;
        for (slot, number) in self.slots.iter_mut().zip(0..) {
            let before = slot.serving;
            slot.serving = slot.listed && slot.endpoint.weight > 0 && serves(slot);
            if !slot.serving {
                continue;
            }
            if !before {
                // An old running weight would give the endpoint a share that the others have received meanwhile.
                slot.current = 0;
            }
            sum += u64::from(slot.endpoint.weight);
            self.serving.push(number);
            self.weights.push(sum);
        }
    }

    fn eject(&mut self, at: usize, now: Tick) {
        self.refresh(now);
        let Some(plan) = &self.plan.outlier else { return };
        let within = (self.ejected + 1) * 100 <= self.listed * u32::from(plan.ejected_max_per_cent);
        let others = self.available > u32::from(self.slots[at].available());
        if within && others {
            self.slots[at].outlier.eject(plan, now);
            self.slots[at].totals.ejections += 1;
            self.ejections += 1;
            self.stale = true;
        }
    }

    fn place(&mut self, vacant: Option<usize>, endpoint: &Endpoint, ramp_from: Option<Tick>) {
        let id = endpoint_id(self.plan.hash_seed, &endpoint.address);
        let generation = vacant.map_or(0, |at| self.slots[at].generation.wrapping_add(1));
        let mut slot = Slot::new(endpoint.clone(), id, generation);
        slot.cap_id = id_of_endpoint(&endpoint.address);
        slot.ramp_from = ramp_from;
        if let Some(outlier) = &self.plan.outlier {
            slot.outlier.configure(outlier);
        }
        match vacant {
            Some(at) => self.slots[at] = slot,
            None => self.slots.push(slot),
        }
    }

    /// Builds what depends on list and plan only.
    fn index(&mut self) {
        self.stale = true;
        self.serving.reserve(self.slots.len());
        self.weights.reserve(self.slots.len());
        let listed = || self.slots.iter().zip(0..).filter(|(slot, _)| slot.listed);
        self.sticky = listed().map(|(slot, number)| (slot.id, number)).collect();
        self.sticky.sort_unstable();
        self.ring = match self.hash_plan() {
            Some(plan) => {
                let member = |(slot, number): (&Slot, u32)| RingMember {
                    id: slot.id,
                    slot: number,
                    weight: slot.endpoint.weight,
                };
                Ring::build(&listed().map(member).collect::<Vec<_>>(), plan.points)
            }
            None => Ring::default(),
        };
    }

    fn slot_mut(&mut self, index: EndpointIndex) -> Option<&mut Slot> {
        self.place_of(index).map(|at| &mut self.slots[at])
    }

    pub(super) fn place_of(&self, index: EndpointIndex) -> Option<usize> {
        let at = index.slot as usize;
        (self.slots.get(at)?.generation == index.generation).then_some(at)
    }
}

fn endpoint_id(seed: u64, address: &Address) -> u64 {
    // tidy(hot): an id is made when an endpoint is added or the seed changes.
    hash_key(seed, address.to_string().as_bytes())
}
