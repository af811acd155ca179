// SPDX-License-Identifier: Apache-2.0
//! All counter sets of all shards and plans, summed by name.
//!
//! Each plan comes with a fresh set a shard, because its routes and upstreams have other places. Exchanges that began
//! under an old plan go on counting there, so an old set is summed along until its shard has let go of it; then its
//! values are folded into the totals. Names that no living plan knows leave the totals, so that series do not pile up
//! over many reloads; for the summary on stop they are kept as one sum.
//!
//! Levels (open connections, for example) are not sums: a shard writes them to the set of its current plan only.
//!
//! Summing takes milliseconds, so the control plane's thread only says which sets there are. Other threads sum; they
//! hold the list of sets just long enough to copy it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::Cause;
use crate::config::plan::{Plan, PolicyPlan, VersionPlan};
use crate::link::counters::LATENCY_BOUNDS_US;
use crate::link::{Counter, Counters, LimitCounter, RouteCounter, UpstreamCounter};
use crate::wire::grpc::Code;

const SHARD_WIDTH: usize = Counter::ALL.len();
const ROUTE_WIDTH: usize = RouteCounter::ALL.len();
const UPSTREAM_WIDTH: usize = UpstreamCounter::ALL.len();
const LIMIT_WIDTH: usize = LimitCounter::ALL.len();
/// Buckets of a latency histogram: one more than bounds.
pub(super) const BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;

/// The names behind the places of one plan's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// By `RouteId`.
    pub routes: Vec<Arc<str>>,
    /// By `UpstreamId`.
    pub upstreams: Vec<Arc<str>>,
    /// By `PolicyId`, those that are limits.
    pub limits: Vec<Option<Arc<str>>>,
    /// By `VersionId`: the policy, and the version.
    pub versions: Vec<(Arc<str>, Arc<str>)>,
}

/// The counters of one plan, a set for each shard.
#[derive(Clone, Debug)]
pub(super) struct CounterSet {
    generation: u64,
    names: Arc<Names>,
    shards: Vec<Arc<Counters>>,
}

impl CounterSet {
    /// Zeroes for a plan.
    pub(super) fn new(plan: &Plan, shards: usize) -> CounterSet {
        let routes = plan.routes.iter().map(|route| Arc::clone(&route.name)).collect();
        let upstreams = plan.upstreams.iter().map(|upstream| Arc::clone(&upstream.name)).collect();
        let limit = |plan: &PolicyPlan| plan.policy.limit_id().map(|_| Arc::clone(&plan.name));
        let limits = plan.policies.iter().map(limit).collect();
        let version = |plan: &VersionPlan| (Arc::clone(&plan.policy), Arc::clone(&plan.name));
        let versions = plan.versions.iter().map(version).collect();
        CounterSet::named(plan.generation, Names { routes, upstreams, limits, versions }, shards)
    }

    /// Zeroes for a plan with these names.
    pub(super) fn named(generation: u64, names: Names, shards: usize) -> CounterSet {
        let fresh = || {
            let counters = Counters::new(names.routes.len(), names.upstreams.len(), names.limits.len());
            Arc::new(counters.with_versions(names.versions.len()))
        };
        CounterSet { generation, shards: (0..shards).map(|_| fresh()).collect(), names: Arc::new(names) }
    }

    /// For each shard where it counts.
    pub(super) fn shards(&self) -> &[Arc<Counters>] {
        &self.shards
    }

    /// A counter of the shards, summed over them.
    pub(super) fn value(&self, counter: Counter) -> u64 {
        self.shards.iter().map(|shard| shard.value(counter)).sum()
    }

    /// Does no shard hold a set any more?
    fn is_idle(&mut self) -> bool {
        // `get_mut` succeeds only for the last holder, and then sees all that the others wrote.
        self.shards.iter_mut().all(|shard| Arc::get_mut(shard).is_some())
    }
}

/// Sums over shards and plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    shard: [u64; SHARD_WIDTH],
    routes: BTreeMap<Arc<str>, RouteSums>,
    upstreams: BTreeMap<Arc<str>, UpstreamSums>,
    limits: BTreeMap<Arc<str>, LimitSums>,
    /// Requests, by policy and version.
    versions: BTreeMap<(Arc<str>, Arc<str>), u64>,
    /// Of routes that no living plan knows.
    gone: RouteSums,
}

impl Default for Sums {
    fn default() -> Sums {
        let (routes, upstreams, limits) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let versions = BTreeMap::new();
        Sums { shard: [0; SHARD_WIDTH], routes, upstreams, limits, versions, gone: RouteSums::default() }
    }
}

impl Sums {
    /// A counter of the shards.
    pub(crate) fn value(&self, counter: Counter) -> u64 {
        self.shard[counter as usize]
    }

    /// Routes by name.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (&str, &RouteSums)> {
        self.routes.iter().map(|(name, sums)| (&**name, sums))
    }

    /// Upstreams by name.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = (&str, &UpstreamSums)> {
        self.upstreams.iter().map(|(name, sums)| (&**name, sums))
    }

    /// Limits by name.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&str, &LimitSums)> {
        self.limits.iter().map(|(name, sums)| (&**name, sums))
    }

    /// Requests for versions of APIs: policy, version, requests.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.versions.iter().map(|((policy, version), requests)| (&**policy, &**version, *requests))
    }

    /// A counter summed over all routes since the start, also over those that are gone.
    pub(crate) fn since_start(&self, counter: RouteCounter) -> u64 {
        self.routes.values().chain([&self.gone]).map(|route| route.value(counter)).sum()
    }

    fn add_set(&mut self, names: &Names, counters: &Counters, age: Age) {
        let counted = |counter: &&Counter| age == Age::Current || is_count(counter.name());
        for counter in Counter::ALL.iter().filter(counted) {
            self.shard[*counter as usize] += counters.value(*counter);
        }
        for (place, name) in (0..).zip(&names.routes) {
            // Of a replaced plan most routes have nothing that is not in the totals.
            if age == Age::Current || counters.counts_route(place) {
                self.route_mut(name).add_set(counters, place);
            }
        }
        for (place, name) in (0..).zip(&names.upstreams) {
            if age == Age::Past && !counters.counts_upstream(place) {
                continue;
            }
            let sums = self.upstream_mut(name);
            let counted = |counter: &&UpstreamCounter| age == Age::Current || is_count(counter.name());
            for counter in UpstreamCounter::ALL.iter().filter(counted) {
                sums.counters[*counter as usize] += counters.upstream_value(place, *counter);
            }
            add(&mut sums.causes, &counters.cause_values(place));
        }
        self.add_versions(names, counters, age);
        for (place, name) in (0..).zip(&names.limits) {
            let Some(name) = name.as_ref().filter(|_| age == Age::Current || counters.counts_limit(place)) else {
                continue;
            };
            let sums = self.limits.entry(Arc::clone(name)).or_default();
            let counted = |counter: &&LimitCounter| age == Age::Current || is_count(counter.name());
            for counter in LimitCounter::ALL.iter().filter(counted) {
                sums.counters[*counter as usize] += counters.limit_value(place, *counter);
            }
        }
    }

    fn add_versions(&mut self, names: &Names, counters: &Counters, age: Age) {
        for (place, name) in (0..).zip(&names.versions) {
            let requests = counters.version_value(place);
            if age == Age::Current || requests > 0 {
                *self.versions.entry(name.clone()).or_default() += requests;
            }
        }
    }

    fn route_mut(&mut self, name: &Arc<str>) -> &mut RouteSums {
        self.routes.entry(Arc::clone(name)).or_default()
    }

    fn upstream_mut(&mut self, name: &Arc<str>) -> &mut UpstreamSums {
        self.upstreams.entry(Arc::clone(name)).or_default()
    }
}

/// Is a set the one that shards write levels to?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Past,
    Current,
}

/// One route's sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteSums {
    counters: [u64; ROUTE_WIDTH],
    grpc: [u64; Code::ALL.len()],
    latencies: [u64; BUCKETS],
}

impl RouteSums {
    /// A counter.
    pub(crate) fn value(&self, counter: RouteCounter) -> u64 {
        self.counters[counter as usize]
    }

    /// Calls of gRPC that ended with this code.
    pub(crate) fn grpc(&self, code: Code) -> u64 {
        self.grpc[usize::from(code.number())]
    }

    /// Counts by latency bucket, not cumulative.
    pub(crate) fn latencies(&self) -> &[u64; BUCKETS] {
        &self.latencies
    }

    fn add_set(&mut self, counters: &Counters, place: u32) {
        for counter in RouteCounter::ALL {
            self.counters[*counter as usize] += counters.route_value(place, *counter);
        }
        add(&mut self.grpc, &counters.grpc_values(place));
        add(&mut self.latencies, &counters.latencies(place));
    }

    fn merge(&mut self, other: &RouteSums) {
        add(&mut self.counters, &other.counters);
        add(&mut self.grpc, &other.grpc);
        add(&mut self.latencies, &other.latencies);
    }
}

fn add(sums: &mut [u64], counts: &[u64]) {
    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

/// One upstream's sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamSums {
    counters: [u64; UPSTREAM_WIDTH],
    causes: [u64; Cause::ALL.len()],
}

impl Default for UpstreamSums {
    fn default() -> UpstreamSums {
        UpstreamSums { counters: [0; UPSTREAM_WIDTH], causes: [0; Cause::ALL.len()] }
    }
}

impl UpstreamSums {
    /// Failed attempts by reason.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let same = |one: &Cause, other: &Cause| one.reason() == other.reason();
        Cause::ALL.chunk_by(same).map(|causes| {
            let sum = causes.iter().map(|cause| self.causes[*cause as usize]).sum();
            (causes[0].reason(), sum)
        })
    }

    /// A counter.
    pub(crate) fn value(&self, counter: UpstreamCounter) -> u64 {
        self.counters[counter as usize]
    }
}

/// One limit's sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitSums {
    counters: [u64; LIMIT_WIDTH],
}

impl LimitSums {
    /// A counter.
    pub(crate) fn value(&self, counter: LimitCounter) -> u64 {
        self.counters[counter as usize]
    }
}

/// The counters of all plans that still count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sets: Mutex<Sets>,
    totals: Mutex<Totals>,
}

/// What the control plane says of sets. Held for moments only.
#[derive(Debug, Default)]
struct Sets {
    all: Vec<CounterSet>,
    current: u64,
}

/// What is left of sets that nobody writes any more. Held while sums are made.
#[derive(Debug, Default)]
struct Totals {
    folded: Sums,
    gone: RouteSums,
}

impl Tally {
    /// These count from now on.
    pub(super) fn begin(&self, set: CounterSet) {
        lock(&self.sets).all.push(set);
    }

    /// The plan of that generation is in use; older ones only finish.
    pub(super) fn commit(&self, generation: u64) {
        lock(&self.sets).current = generation;
    }

    /// The plan of that generation will not be used.
    pub(super) fn discard(&self, generation: u64) {
        lock(&self.sets).all.retain(|set| set.generation != generation);
    }

    /// A counter of the shards of the plan in use.
    pub(super) fn current(&self, counter: Counter) -> u64 {
        let sets = lock(&self.sets);
        sets.all.iter().find(|set| set.generation == sets.current).map_or(0, |set| set.value(counter))
    }

    /// Folds the sets that no shard holds any more into the totals, so that they are freed even if nobody wants sums.
    /// Takes milliseconds with thousands of routes.
    pub(super) fn fold(&self) {
        let mut totals = lock(&self.totals);
        let (idle, living, _) = lock(&self.sets).split();
        totals.fold(&idle, &living);
    }

    /// How many plans have sets.
    #[cfg(test)]
    pub(super) fn sets(&self) -> usize {
        lock(&self.sets).all.len()
    }

    /// The sums by now. Takes milliseconds with thousands of routes.
    pub(super) fn sums(&self) -> Sums {
        // While sums are made elsewhere, copies of the sets are held there; nothing is idle then.
        let mut totals = lock(&self.totals);
        let (idle, living, current) = lock(&self.sets).split();
        totals.fold(&idle, &living);
        let mut sums = totals.folded.clone();
        sums.gone = totals.gone.clone();
        for set in &living {
            let age = if set.generation == current { Age::Current } else { Age::Past };
            set.shards.iter().for_each(|counters| sums.add_set(&set.names, counters, age));
        }
        sums.shard[Counter::Panics as usize] = panics(&living);
        sums
    }
}

impl Sets {
    /// Takes out the sets of replaced plans that no shard holds any more; gives them, all others, and the plan in use.
    fn split(&mut self) -> (Vec<CounterSet>, Vec<CounterSet>, u64) {
        let current = self.current;
        let idle = self.all.extract_if(.., |set| set.generation < current && set.is_idle()).collect();
        (idle, self.all.clone(), current)
    }
}

impl Totals {
    /// Folds the counters of released sets into the totals, and drops names that no plan knows.
    fn fold(&mut self, idle: &[CounterSet], living: &[CounterSet]) {
        for set in idle {
            set.shards.iter().for_each(|counters| self.folded.add_set(&set.names, counters, Age::Past));
        }
        if idle.is_empty() {
            return;
        }
        let known: HashSet<&Arc<str>> = living.iter().flat_map(|set| &set.names.routes).collect();
        let gone = &mut self.gone;
        self.folded.routes.retain(|name, sums| {
            let keep = known.contains(name);
            if !keep {
                gone.merge(sums);
            }
            keep
        });
        let known: HashSet<&Arc<str>> = living.iter().flat_map(|set| &set.names.upstreams).collect();
        self.folded.upstreams.retain(|name, _| known.contains(name));
        let known: HashSet<&Arc<str>> = living.iter().flat_map(|set| set.names.limits.iter().flatten()).collect();
        self.folded.limits.retain(|name, _| known.contains(name));
        let known: HashSet<&(Arc<str>, Arc<str>)> = living.iter().flat_map(|set| &set.names.versions).collect();
        self.folded.versions.retain(|name, _| known.contains(name));
    }
}

/// Shards write this one as their own sum since the start, into the set of their current plan.
fn panics(sets: &[CounterSet]) -> u64 {
    let shards = sets.iter().map(|set| set.shards.len()).max().unwrap_or(0);
    let of_shard = |shard: usize| {
        let values = sets.iter().filter_map(|set| Some(set.shards.get(shard)?.value(Counter::Panics)));
        values.max().unwrap_or(0)
    };
    (0..shards).map(of_shard).sum()
}

/// After a panic during summing the numbers may be too small, which is better than none.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Is this the name of a counter rather than of a gauge?
fn is_count(name: &str) -> bool {
    name.ends_with("_total") || name.ends_with("_micros")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(routes: &[&str], upstreams: &[&str]) -> Names {
        let arcs = |list: &[&str]| list.iter().map(|name| Arc::from(*name)).collect();
        Names { routes: arcs(routes), upstreams: arcs(upstreams), limits: Vec::new(), versions: Vec::new() }
    }

    fn begin(tally: &Tally, generation: u64, names: Names, shards: usize) -> Vec<Arc<Counters>> {
        let set = CounterSet::named(generation, names, shards);
        let counters = set.shards().to_vec();
        tally.begin(set);
        counters
    }

    fn sets(tally: &Tally) -> usize {
        lock(&tally.sets).all.len()
    }

    fn route(sums: &Sums, name: &str) -> Option<RouteSums> {
        sums.routes().find(|(route, _)| *route == name).map(|(_, sums)| sums.clone())
    }

    #[test]
    fn a_replaced_plan_keeps_counting_until_it_is_let_go() {
        let tally = Tally::default();
        let old = begin(&tally, 1, names(&["a", "b"], &["u"]), 2);
        tally.commit(1);
        old[0].add_route(1, RouteCounter::Status2xx, 5);
        old[1].add_route(1, RouteCounter::Status2xx, 6);
        old[1].add_upstream(0, UpstreamCounter::Requests, 3);
        old[0].observe(1, 100);
        let new = begin(&tally, 2, names(&["b", "c"], &["u"]), 2);
        tally.commit(2);
        new[0].add_route(0, RouteCounter::Status2xx, 1);
        old[0].add_route(1, RouteCounter::Status2xx, 1);
        let both = tally.sums();
        assert_eq!(route(&both, "b").expect("known").value(RouteCounter::Status2xx), 13);
        assert_eq!(sets(&tally), 2);
        drop(old);
        let folded = tally.sums();
        assert_eq!(sets(&tally), 1);
        assert_eq!(route(&folded, "b"), route(&both, "b"));
        assert_eq!(route(&folded, "b").expect("known").latencies()[0], 1);
        assert!(route(&folded, "a").is_none() && route(&folded, "c").is_some());
    }

    #[test]
    fn what_is_gone_still_counts_in_the_summary() {
        let tally = Tally::default();
        begin(&tally, 1, names(&["a"], &[]), 1)[0].add_route(0, RouteCounter::Status5xx, 7);
        tally.commit(1);
        let _held = begin(&tally, 2, names(&["b"], &[]), 1);
        tally.commit(2);
        let sums = tally.sums();
        assert!(route(&sums, "a").is_none());
        assert_eq!(sums.since_start(RouteCounter::Status5xx), 7);
    }

    #[test]
    fn levels_and_sums_of_shards_are_those_of_the_plan_in_use() {
        let tally = Tally::default();
        let old = begin(&tally, 1, names(&[], &["u"]), 2);
        tally.commit(1);
        old.iter().for_each(|shard| shard.set(Counter::Connections, 5));
        old[0].set(Counter::Panics, 3);
        old[0].set_upstream(0, UpstreamCounter::Open, 4);
        let new = begin(&tally, 2, names(&[], &["u"]), 2);
        tally.commit(2);
        new[0].set(Counter::Connections, 7);
        assert_eq!((tally.sums().value(Counter::Connections), tally.sums().value(Counter::Panics)), (7, 3));
        new[0].set(Counter::Panics, 4);
        assert_eq!(tally.sums().value(Counter::Panics), 4);
        drop(old);
        assert_eq!((tally.sums().value(Counter::Connections), tally.sums().value(Counter::Panics)), (7, 4));
        let open = tally.sums().upstreams().map(|(_, sums)| sums.value(UpstreamCounter::Open)).sum::<u64>();
        assert_eq!(open, 0);
    }

    #[test]
    fn a_discarded_plan_leaves_nothing() {
        let tally = Tally::default();
        let counters = begin(&tally, 1, names(&["a"], &[]), 1);
        counters[0].add_route(0, RouteCounter::Status2xx, 1);
        tally.discard(1);
        assert_eq!(tally.sums(), Sums::default());
    }

    #[test]
    fn a_prepared_plan_is_not_folded() {
        let tally = Tally::default();
        begin(&tally, 1, names(&["a"], &[]), 1)[0].add_route(0, RouteCounter::Status2xx, 1);
        assert!(route(&tally.sums(), "a").is_some());
        assert_eq!(sets(&tally), 1);
    }
}
