// SPDX-License-Identifier: Apache-2.0
//! Hot. Chooses an endpoint. Every algorithm sees only the endpoints that serve now (`Cluster::refresh`), and skips
//! those that are full or that the request has tried before.

use crate::balance::cluster::Cluster;
use crate::balance::endpoint::{EndpointIndex, RAMP_FULL, Slot, Tried};
use crate::balance::plan::{Algorithm, HashPlan};
use crate::base::limits::RING_WALK_MAX;
use crate::base::{FaultKind, Rng, Tick};

impl Cluster {
    /// The endpoint for a request.
    ///
    /// `key` is the request's hash (`hash_key`) for `Algorithm::Hash`; `sticky` is the id from its cookie: that
    /// endpoint is taken while it serves (or is drained) and has room, otherwise the algorithm chooses. Endpoints in
    /// `tried` come again only where no other has room.
    ///
    /// # Errors
    /// `BreakerOpen`; `NoEndpoint` where none serves; `Overloaded` where the upstream or every endpoint is full: such a
    /// request may wait in the queue until another request ends.
    pub(crate) fn pick(
        &mut self,
        key: Option<u64>,
        sticky: Option<u64>,
        tried: &Tried,
        now: Tick,
        rng: &mut Rng,
    ) -> Result<EndpointIndex, FaultKind> {
        self.refresh(now);
        if let Some(breaker) = &mut self.breaker
            && !breaker.allows(now)
        {
            return Err(FaultKind::BreakerOpen);
        }
        if !self.has_room() {
            return Err(FaultKind::Overloaded);
        }
        let stuck = sticky.and_then(|id| self.stuck(id, tried));
        if let Some(slot) = stuck {
            return Ok(self.index_of(slot));
        }
        if self.serving.is_empty() {
            return Err(FaultKind::NoEndpoint);
        }
        let mut chosen = self.choose(key, tried, now, rng);
        if chosen.is_none() && !tried.is_empty() {
            chosen = self.choose(key, &Tried::NONE, now, rng);
        }
        chosen.map(|slot| self.index_of(slot)).ok_or(FaultKind::Overloaded)
    }

    /// Would `pick` name an endpoint for another attempt of a request, whose last attempt has ended, or ends just
    /// before at `leaving`? Room under the cap of the upstream as a whole is not looked at: `admission` waits for it.
    pub(crate) fn may_pick_again(&mut self, leaving: Option<EndpointIndex>, now: Tick) -> bool {
        self.refresh(now);
        if let Some(breaker) = &mut self.breaker
            && !breaker.allows(now)
        {
            return false;
        }
        self.serving.iter().any(|number| {
            let left = leaving.is_some_and(|index| index == self.index_of(*number));
            let slot = self.slot(*number);
            slot.in_flight.saturating_sub(u32::from(left)) < slot.room
        })
    }

    fn choose(&mut self, key: Option<u64>, tried: &Tried, now: Tick, rng: &mut Rng) -> Option<u32> {
        match &self.plan.algorithm {
            Algorithm::RoundRobin => self.smooth(now, |slot, number| free(slot, number, tried)),
            Algorithm::LeastRequests => self.least_requests(tried, now),
            Algorithm::TwoChoices | Algorithm::PeakEwma(_) => self.two_choices(tried, now, rng),
            Algorithm::Hash(plan) => match key {
                Some(key) => self.hashed(plan, key, tried, now),
                None => self.two_choices(tried, now, rng),
            },
        }
    }

    /// One step of smooth weighted round robin among the endpoints that `takes` accepts: each running weight grows by
    /// the endpoint's weight, the largest is chosen, and the sum of all weights is subtracted from it. Over a cycle,
    /// each endpoint is chosen exactly as often as its weight says.
    pub(super) fn smooth(&mut self, now: Tick, takes: impl Fn(&Slot, u32) -> bool) -> Option<u32> {
        let ramp = self.plan.slow_start.as_ref();
        let mut total = 0;
        let mut best: Option<(i64, u32)> = None;
        for number in &self.serving {
            let slot = &mut self.slots[*number as usize];
            if !takes(slot, *number) {
                continue;
            }
            let weight = slot.weight(ramp, now);
            slot.current += weight;
            total += weight;
            if best.is_none_or(|(current, _)| slot.current > current) {
                best = Some((slot.current, *number));
            }
        }
        let (_, number) = best?;
        self.slots[number as usize].current -= total;
        Some(number)
    }

    fn least_requests(&mut self, tried: &Tried, now: Tick) -> Option<u32> {
        let candidates = self.serving.iter().filter(|number| free(self.slot(**number), **number, tried));
        let least = candidates.map(|number| self.load(*number, now)).min_by(f64::total_cmp)?;
        let ramp = self.plan.slow_start.clone();
        let load = |slot: &Slot| f64::from(slot.in_flight) / slot.weight(ramp.as_ref(), now) as f64;
        self.smooth(now, |slot, number| free(slot, number, tried) && load(slot) <= least)
    }

    fn two_choices(&self, tried: &Tried, now: Tick, rng: &mut Rng) -> Option<u32> {
        let usable = |number: &u32| free(self.slot(*number), *number, tried);
        let first = self.draw(now, rng);
        let mut second = self.draw(now, rng);
        for _ in 0..REDRAWS {
            if second != first {
                break;
            }
            second = self.draw(now, rng);
        }
        match (usable(&first), usable(&second)) {
            (true, true) if self.load(second, now) < self.load(first, now) => Some(second),
            (true, _) => Some(first),
            (false, true) => Some(second),
            (false, false) => self.least_loaded(tried, now),
        }
    }

    /// An endpoint by chance, in proportion to its weight. `serving` is not empty.
    fn draw(&self, now: Tick, rng: &mut Rng) -> u32 {
        let total = self.weights.last().copied().unwrap_or(0);
        let ramp = self.plan.slow_start.as_ref();
        let mut number = 0;
        for _ in 0..REDRAWS {
            let ticket = rng.below(total);
            number = self.serving[self.weights.partition_point(|sum| *sum <= ticket)];
            let granted = self.slot(number).ramp(ramp, now);
            if granted == RAMP_FULL || rng.below(u64::from(RAMP_FULL)) < u64::from(granted) {
                break;
            }
        }
        number
    }

    fn hashed(&self, plan: &HashPlan, key: u64, tried: &Tried, now: Tick) -> Option<u32> {
        let weights = self.weights.last().copied().unwrap_or(0);
        let within_bound = |slot: &Slot| {
            let Some(per_cent) = plan.load_max_per_cent else { return true };
            // Rounded up, and with the new request counted, so that at least one endpoint always has room.
            let share =
                u128::from(self.requests + 1) * u128::from(slot.endpoint.weight) * u128::from(per_cent.max(100));
            u128::from(slot.in_flight) < share.div_ceil(u128::from(weights) * 100)
        };
        let takes = |number: &u32| {
            let slot = self.slot(*number);
            slot.serving && free(slot, *number, tried) && within_bound(slot)
        };
        let found = self.ring.walk(key).take(RING_WALK_MAX).find(takes);
        found.or_else(|| self.least_loaded(tried, now))
    }

    fn least_loaded(&self, tried: &Tried, now: Tick) -> Option<u32> {
        let candidates = self.serving.iter().filter(|number| free(self.slot(**number), **number, tried));
        candidates
            .map(|number| (self.load(*number, now), *number))
            .min_by(|one, other| one.0.total_cmp(&other.0))
            .map(|best| best.1)
    }

    /// What one more request would cost there: comparable only within one algorithm.
    fn load(&self, number: u32, now: Tick) -> f64 {
        let slot = self.slot(number);
        let ramp = self.plan.slow_start.as_ref();
        match &self.plan.algorithm {
            Algorithm::PeakEwma(plan) => {
                let weight = slot.weight(ramp, now) as f64 / f64::from(RAMP_FULL);
                slot.ewma.cost(plan, now) * (1.0 + f64::from(slot.in_flight) / weight)
            }
            Algorithm::RoundRobin | Algorithm::LeastRequests | Algorithm::TwoChoices | Algorithm::Hash(_) => {
                f64::from(slot.in_flight) / slot.weight(ramp, now) as f64
            }
        }
    }

    /// The endpoint of a sticky id, where it may have the request: it serves, or is a drained primary that is healthy.
    fn stuck(&self, id: u64, tried: &Tried) -> Option<u32> {
        let number = self.slot_of_sticky(id)?;
        let slot = self.slot(number);
        let drained = slot.endpoint.weight == 0 && !slot.endpoint.backup && slot.available();
        ((slot.serving || drained) && free(slot, number, tried)).then_some(number)
    }

    fn slot(&self, number: u32) -> &Slot {
        &self.slots[number as usize]
    }

    fn index_of(&self, number: u32) -> EndpointIndex {
        EndpointIndex { slot: number, generation: self.slot(number).generation }
    }
}

fn free(slot: &Slot, number: u32, tried: &Tried) -> bool {
    slot.in_flight < slot.room && !tried.has_slot(number)
}

/// Draws until two differ or slow start lets one pass; after that the last one drawn is taken.
const REDRAWS: u32 = 4;
