//! All counter sets of all shards and plans, summed by name.
//!
//! Each plan comes with a fresh set a shard, because its routes and upstreams have other places. Exchanges that began
//! under an old plan go on counting there, so an old set is summed along until its shard has let go of it; then its
//! values are folded into the totals. Names that no living plan knows leave the totals, so that series do not pile up
//! over many reloads; for the summary on stop they are kept as one sum.
//!
//! Levels (open connections, for example) are not sums: a shard writes them to the set of its current plan only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::plan::Plan;
use crate::link::counters::LATENCY_BOUNDS_US;
use crate::link::{Counter, Counters, RouteCounter, UpstreamCounter};
use crate::wire::grpc::Code;

const SHARD_WIDTH: usize = Counter::ALL.len();
const ROUTE_WIDTH: usize = RouteCounter::ALL.len();
const UPSTREAM_WIDTH: usize = UpstreamCounter::ALL.len();
/// Buckets of a latency histogram: one more than bounds.
pub const BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;

/// The names behind the places of one plan's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// By `RouteId`.
    pub routes: Vec<Arc<str>>,
    /// By `UpstreamId`.
    pub upstreams: Vec<Arc<str>>,
}

impl Names {
    /// Those of a plan.
    pub fn of(plan: &Plan) -> Names {
        Names {
            routes: plan.routes.iter().map(|route| Arc::clone(&route.name)).collect(),
            upstreams: plan.upstreams.iter().map(|upstream| Arc::clone(&upstream.name)).collect(),
        }
    }
}

/// Sums over shards and plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    shard: [u64; SHARD_WIDTH],
    routes: BTreeMap<Arc<str>, RouteSums>,
    upstreams: BTreeMap<Arc<str>, UpstreamSums>,
}

impl Default for Sums {
    fn default() -> Sums {
        Sums { shard: [0; SHARD_WIDTH], routes: BTreeMap::new(), upstreams: BTreeMap::new() }
    }
}

impl Sums {
    /// A counter of the shards.
    pub fn value(&self, counter: Counter) -> u64 {
        self.shard[counter as usize]
    }

    /// Routes by name.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &RouteSums)> {
        self.routes.iter().map(|(name, sums)| (&**name, sums))
    }

    /// Upstreams by name.
    pub fn upstreams(&self) -> impl Iterator<Item = (&str, &UpstreamSums)> {
        self.upstreams.iter().map(|(name, sums)| (&**name, sums))
    }

    /// A counter summed over all routes.
    pub fn over_routes(&self, counter: RouteCounter) -> u64 {
        self.routes.values().map(|route| route.value(counter)).sum()
    }

    fn add_set(&mut self, names: &Names, counters: &Counters, age: Age) {
        let counted = |counter: &&Counter| age == Age::Current || is_count(counter.name());
        for counter in Counter::ALL.iter().filter(counted) {
            self.shard[*counter as usize] += counters.value(*counter);
        }
        for (place, name) in (0..).zip(&names.routes) {
            self.route_mut(name).add_set(counters, place);
        }
        for (place, name) in (0..).zip(&names.upstreams) {
            let sums = self.upstream_mut(name);
            let counted = |counter: &&UpstreamCounter| age == Age::Current || is_count(counter.name());
            for counter in UpstreamCounter::ALL.iter().filter(counted) {
                sums.counters[*counter as usize] += counters.upstream_value(place, *counter);
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
pub struct RouteSums {
    counters: [u64; ROUTE_WIDTH],
    grpc: [u64; Code::ALL.len()],
    latencies: [u64; BUCKETS],
}

impl RouteSums {
    /// A counter.
    pub fn value(&self, counter: RouteCounter) -> u64 {
        self.counters[counter as usize]
    }

    /// Calls of gRPC that ended with this code.
    pub fn grpc(&self, code: Code) -> u64 {
        self.grpc[usize::from(code.number())]
    }

    /// Counts by latency bucket, not cumulative.
    pub fn latencies(&self) -> &[u64; BUCKETS] {
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamSums {
    counters: [u64; UPSTREAM_WIDTH],
}

impl UpstreamSums {
    /// A counter.
    pub fn value(&self, counter: UpstreamCounter) -> u64 {
        self.counters[counter as usize]
    }
}

/// The counters of all plans that still count.
#[derive(Debug, Default)]
pub struct Tally {
    folded: Sums,
    gone: RouteSums,
    sets: Vec<Set>,
    current: u64,
}

#[derive(Debug)]
struct Set {
    generation: u64,
    names: Names,
    shards: Vec<Arc<Counters>>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new() -> Tally {
        Tally::default()
    }

    /// Fresh counters for a plan, one a shard. They count from now on.
    pub fn begin(&mut self, generation: u64, names: Names, shards: usize) -> Vec<Arc<Counters>> {
        let fresh = || Arc::new(Counters::new(names.routes.len(), names.upstreams.len()));
        let counters: Vec<Arc<Counters>> = (0..shards).map(|_| fresh()).collect();
        self.sets.push(Set { generation, names, shards: counters.clone() });
        counters
    }

    /// The plan of that generation is in use; older ones only finish.
    pub fn commit(&mut self, generation: u64) {
        self.current = generation;
    }

    /// The plan of that generation will not be used.
    pub fn discard(&mut self, generation: u64) {
        self.sets.retain(|set| set.generation != generation);
    }

    /// The sums by now.
    pub fn sums(&mut self) -> Sums {
        self.fold();
        let mut sums = self.folded.clone();
        for set in &self.sets {
            let age = if set.generation == self.current { Age::Current } else { Age::Past };
            set.shards.iter().for_each(|counters| sums.add_set(&set.names, counters, age));
        }
        sums.shard[Counter::Panics as usize] = self.panics();
        sums
    }

    /// Shards write this one as their own sum since the start, into the set of their current plan.
    fn panics(&self) -> u64 {
        let shards = self.sets.iter().map(|set| set.shards.len()).max().unwrap_or(0);
        let of_shard = |shard: usize| {
            let values = self.sets.iter().filter_map(|set| Some(set.shards.get(shard)?.value(Counter::Panics)));
            values.max().unwrap_or(0)
        };
        (0..shards).map(of_shard).sum()
    }

    /// A route counter summed over everything since the start, also over routes that are gone.
    pub fn since_start(&self, sums: &Sums, counter: RouteCounter) -> u64 {
        sums.over_routes(counter) + self.gone.value(counter)
    }

    /// Moves the sets that no shard holds any more into the totals, and names that nobody knows any more out of them.
    fn fold(&mut self) {
        let Tally { folded, sets, current, .. } = self;
        let before = sets.len();
        sets.retain_mut(|set| {
            // `get_mut` succeeds only for the last holder, and then sees all that the others wrote.
            let idle = set.generation < *current && set.shards.iter_mut().all(|shard| Arc::get_mut(shard).is_some());
            if idle {
                set.shards.iter().for_each(|counters| folded.add_set(&set.names, counters, Age::Past));
            }
            !idle
        });
        if sets.len() != before {
            self.forget_unknown();
        }
    }

    fn forget_unknown(&mut self) {
        let known: BTreeSet<&Arc<str>> = self.sets.iter().flat_map(|set| &set.names.routes).collect();
        let gone = &mut self.gone;
        self.folded.routes.retain(|name, sums| {
            let keep = known.contains(name);
            if !keep {
                gone.merge(sums);
            }
            keep
        });
        let known: BTreeSet<&Arc<str>> = self.sets.iter().flat_map(|set| &set.names.upstreams).collect();
        self.folded.upstreams.retain(|name, _| known.contains(name));
    }
}

/// Does a name count something, and not say how many there are now?
fn is_count(name: &str) -> bool {
    name.ends_with("_total") || name.ends_with("_micros")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(routes: &[&str], upstreams: &[&str]) -> Names {
        let arcs = |list: &[&str]| list.iter().map(|name| Arc::from(*name)).collect();
        Names { routes: arcs(routes), upstreams: arcs(upstreams) }
    }

    fn route(sums: &Sums, name: &str) -> Option<RouteSums> {
        sums.routes().find(|(route, _)| *route == name).map(|(_, sums)| sums.clone())
    }

    #[test]
    fn a_replaced_plan_keeps_counting_until_it_is_let_go() {
        let mut tally = Tally::new();
        let old = tally.begin(1, names(&["a", "b"], &["u"]), 2);
        tally.commit(1);
        old[0].add_route(1, RouteCounter::Status2xx, 5);
        old[1].add_route(1, RouteCounter::Status2xx, 6);
        old[1].add_upstream(0, UpstreamCounter::Requests, 3);
        old[0].observe(1, 100);
        let new = tally.begin(2, names(&["b", "c"], &["u"]), 2);
        tally.commit(2);
        new[0].add_route(0, RouteCounter::Status2xx, 1);
        old[0].add_route(1, RouteCounter::Status2xx, 1);
        let both = tally.sums();
        assert_eq!(route(&both, "b").expect("known").value(RouteCounter::Status2xx), 13);
        assert_eq!(tally.sets.len(), 2);
        drop(old);
        let folded = tally.sums();
        assert_eq!(tally.sets.len(), 1);
        assert_eq!(route(&folded, "b"), route(&both, "b"));
        assert_eq!(route(&folded, "b").expect("known").latencies()[0], 1);
        assert!(route(&folded, "a").is_none() && route(&folded, "c").is_some());
    }

    #[test]
    fn what_is_gone_still_counts_in_the_summary() {
        let mut tally = Tally::new();
        tally.begin(1, names(&["a"], &[]), 1)[0].add_route(0, RouteCounter::Status5xx, 7);
        tally.commit(1);
        let _held = tally.begin(2, names(&["b"], &[]), 1);
        tally.commit(2);
        let sums = tally.sums();
        assert!(route(&sums, "a").is_none());
        assert_eq!(tally.since_start(&sums, RouteCounter::Status5xx), 7);
    }

    #[test]
    fn levels_and_sums_of_shards_are_those_of_the_plan_in_use() {
        let mut tally = Tally::new();
        let old = tally.begin(1, names(&[], &["u"]), 2);
        tally.commit(1);
        old.iter().for_each(|shard| shard.set(Counter::Connections, 5));
        old[0].set(Counter::Panics, 3);
        old[0].set_upstream(0, UpstreamCounter::Open, 4);
        let new = tally.begin(2, names(&[], &["u"]), 2);
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
        let mut tally = Tally::new();
        let counters = tally.begin(1, names(&["a"], &[]), 1);
        counters[0].add_route(0, RouteCounter::Status2xx, 1);
        tally.discard(1);
        assert_eq!(tally.sums(), Sums::default());
    }

    #[test]
    fn a_prepared_plan_is_not_folded() {
        let mut tally = Tally::new();
        drop(tally.begin(1, names(&["a"], &[]), 1));
        assert!(route(&tally.sums(), "a").is_some());
        assert_eq!(tally.sets.len(), 1);
    }
}
