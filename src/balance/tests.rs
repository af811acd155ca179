// SPDX-License-Identifier: Apache-2.0
//! What a cluster promises, by example and by simulation: shares, disruption, caps, ejection, recovery.

use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

use crate::balance::{
    Admission, Algorithm, BreakerPhase, BreakerPlan, Caps, Cluster, ClusterPlan, Endpoint, EndpointIndex, EwmaPlan,
    Flight, HashPlan, Health, Left, Outcome, OutlierPlan, Part, RetryBudgetPlan, SlowStartPlan, Tried, hash_key,
};
use crate::base::{Address, FaultKind, Rng, Tick};

fn endpoint(number: u16, weight: u32) -> Endpoint {
    let address = Address::Inet(([10, 0, 0, 1], 1_000 + number).into());
    Endpoint { address, name: "origin".into(), weight, backup: false }
}

fn backup(number: u16) -> Endpoint {
    Endpoint { backup: true, ..endpoint(number, 1) }
}

fn endpoints(weights: &[u32]) -> Vec<Endpoint> {
    weights.iter().zip(0..).map(|(weight, number)| endpoint(number, *weight)).collect()
}

fn plan(algorithm: Algorithm) -> ClusterPlan {
    ClusterPlan { algorithm, outlier: None, ..ClusterPlan::default() }
}

fn hash_plan(load_max_per_cent: Option<u32>) -> ClusterPlan {
    plan(Algorithm::Hash(HashPlan { load_max_per_cent, ..HashPlan::default() }))
}

fn at(millis: u64) -> Tick {
    Tick::ZERO.after_ms(millis)
}

/// Tests name endpoints by their port, as `endpoint` gives them.
fn number_of(cluster: &Cluster, index: EndpointIndex) -> usize {
    match &cluster.endpoint(index).unwrap().address {
        Address::Inet(address) => usize::from(address.port()) - 1_000,
        Address::Unix(path) => panic!("no test has a path: {path:?}"),
    }
}

struct Caller {
    cluster: Cluster,
    rng: Rng,
}

impl Caller {
    fn new(plan: &ClusterPlan, endpoints: &[Endpoint]) -> Caller {
        Caller { cluster: Cluster::new(plan, endpoints), rng: Rng::new(42) }
    }

    fn pick(&mut self, now: Tick) -> Result<EndpointIndex, FaultKind> {
        self.cluster.pick(None, None, &Tried::NONE, now, &mut self.rng)
    }

    fn hashed(&mut self, key: u64) -> usize {
        let index = self.cluster.pick(Some(key), None, &Tried::NONE, at(0), &mut self.rng).unwrap();
        number_of(&self.cluster, index)
    }

    /// Picks and begins; the endpoint's number and the flight.
    fn begin(&mut self, now: Tick) -> (usize, Flight) {
        let index = self.pick(now).unwrap();
        (number_of(&self.cluster, index), self.cluster.begin(index, now))
    }

    fn request(&mut self, outcome: Outcome, now: Tick) -> usize {
        let (number, flight) = self.begin(now);
        self.cluster.end(flight, outcome, Duration::from_millis(1), now);
        number
    }

    /// How often each of `count` endpoints is chosen in `requests` that all succeed at once.
    fn shares(&mut self, count: usize, requests: usize, now: Tick) -> Vec<usize> {
        let mut shares = vec![0; count];
        for _ in 0..requests {
            shares[self.request(Outcome::Ok, now)] += 1;
        }
        shares
    }

    fn fail(&mut self, number: u16, outcome: Outcome, times: usize, now: Tick) {
        let address = endpoint(number, 1).address;
        let state = self.cluster.state(now, usize::MAX);
        let slot = state.endpoints.iter().position(|endpoint| endpoint.address == address).unwrap();
        let index = EndpointIndex { slot: slot as u32, generation: 0 };
        for _ in 0..times {
            let flight = self.cluster.begin(index, now);
            self.cluster.end(flight, outcome, Duration::from_millis(1), now);
        }
    }
}

/// A long wait is expected after a slow response, until one is quick again, and in a crowd.
#[test]
fn long_waits_are_expected_where_they_were_seen() {
    let mut caller = Caller::new(&plan(Algorithm::RoundRobin), &endpoints(&[1]));
    let mut after = |outcome, millis| {
        let (_, flight) = caller.begin(at(0));
        caller.cluster.end(flight, outcome, Duration::from_millis(millis), at(0));
        let (_, next) = caller.begin(at(0));
        caller.cluster.end(next, Outcome::Cancelled, Duration::ZERO, at(0));
        next.long
    };
    assert_eq!([after(Outcome::Ok, 19), after(Outcome::Ok, 20), after(Outcome::Cancelled, 0)], [false, true, true]);
    assert!(!after(Outcome::Ok, 1));
    let crowd: Vec<Flight> = (0..513).map(|_| caller.begin(at(0)).1).collect();
    assert_eq!(crowd.iter().map(|flight| flight.long).collect::<Vec<_>>(), [&[false; 512][..], &[true]].concat());
}

proptest! {
    #[test]
    fn round_robin_is_exact(weights in prop::collection::vec(0_u32..20, 1..8), seed in any::<u64>()) {
        let total: u32 = weights.iter().sum();
        let mut caller = Caller::new(&plan(Algorithm::RoundRobin), &endpoints(&weights));
        if total == 0 {
            prop_assert_eq!(caller.pick(at(0)), Err(FaultKind::NoEndpoint));
        } else {
            caller.cluster.desynchronise(&mut Rng::new(seed), at(0));
            let shares = caller.shares(weights.len(), total as usize * 3, at(0));
            let expected: Vec<usize> = weights.iter().map(|weight| *weight as usize * 3).collect();
            prop_assert_eq!(shares, expected);
        }
    }

    #[test]
    fn counts_and_ejections_stay_within_bounds(steps in prop::collection::vec(step(), 1..300), seed in any::<u64>()) {
        let outlier = OutlierPlan {
            consecutive_connect_failures: 1,
            base_ejection: Duration::from_secs(2),
            ejected_max_per_cent: 40,
            ..OutlierPlan::default()
        };
        let caps = Caps { requests: 12, endpoint_requests: 5, ..Caps::default() };
        let wanted = ClusterPlan { outlier: Some(outlier), caps, ..plan(Algorithm::TwoChoices) };
        let mut caller = Caller::new(&wanted, &endpoints(&[1, 2, 3, 4, 5, 6]));
        caller.rng = Rng::new(seed);
        let mut flights: Vec<Flight> = Vec::new();
        let mut now = at(0);
        for step in steps {
            now = now.after_ms(200);
            match step {
                Step::Begin => match caller.pick(now) {
                    Ok(index) => flights.push(caller.cluster.begin(index, now)),
                    Err(kind) => prop_assert!(matches!(kind, FaultKind::Overloaded | FaultKind::NoEndpoint)),
                },
                Step::End(which, outcome) if !flights.is_empty() => {
                    let flight = flights.swap_remove(which % flights.len());
                    caller.cluster.end(flight, outcome, Duration::from_millis(3), now);
                }
                Step::End(..) => {}
                Step::Health(number, health) => caller.cluster.set_health(&endpoint(number, 1).address, health, now),
            }
            let state = caller.cluster.state(now, usize::MAX);
            prop_assert_eq!(state.requests as usize, flights.len());
            prop_assert!(state.requests <= 12);
            prop_assert_eq!(state.endpoints.iter().map(|endpoint| endpoint.in_flight).sum::<u32>(), state.requests);
            prop_assert!(state.endpoints.iter().all(|endpoint| endpoint.in_flight <= 5));
            prop_assert!(state.endpoints.iter().filter(|endpoint| endpoint.ejected_for.is_some()).count() <= 2);
            prop_assert!(caller.cluster.slots.iter().all(|slot| !slot.serving || slot.health != Health::Down));
        }
    }

    #[test]
    fn lists_may_change_under_flights(
        lists in prop::collection::vec(prop::collection::btree_set(0_u16..12, 0..8), 1..30),
    ) {
        let mut caller = Caller::new(&plan(Algorithm::LeastRequests), &[]);
        let mut flights = Vec::new();
        for (list, round) in lists.iter().zip(0..) {
            let wanted: Vec<Endpoint> = list.iter().map(|number| endpoint(*number, 1)).collect();
            prop_assert_eq!(caller.cluster.set_endpoints(&wanted, at(round)), 0);
            for _ in 0..5 {
                let picked = caller.pick(at(round));
                prop_assert_eq!(picked.is_err(), list.is_empty());
                if let Ok(index) = picked {
                    let number = number_of(&caller.cluster, index);
                    prop_assert!(list.contains(&(number as u16)));
                    flights.push((number, caller.cluster.begin(index, at(round))));
                }
            }
            // Requests outlive their endpoint's place in the list, and still name the right one.
            for (number, flight) in flights.drain(..flights.len() / 2) {
                prop_assert_eq!(number_of(&caller.cluster, flight.index), number);
                caller.cluster.end(flight, Outcome::Ok, Duration::ZERO, at(round));
            }
            prop_assert_eq!(caller.cluster.state(at(round), 0).requests as usize, flights.len());
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Begin,
    End(usize, Outcome),
    Health(u16, Health),
}

fn step() -> impl Strategy<Value = Step> {
    use proptest::prelude::{Just, prop_oneof};
    let outcome = prop_oneof![Just(Outcome::Ok), Just(Outcome::ConnectFailed), Just(Outcome::Cancelled)];
    let health = prop_oneof![Just(Health::Up), Just(Health::Down)];
    prop_oneof![
        5 => Just(Step::Begin),
        4 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::End(which, outcome)),
        1 => (0_u16..6, health).prop_map(|(number, health)| Step::Health(number, health)),
    ]
}

#[test]
fn round_robin_spreads_within_a_cycle() {
    let mut caller = Caller::new(&plan(Algorithm::RoundRobin), &endpoints(&[5, 1, 1]));
    let order: Vec<usize> = (0..7).map(|_| caller.request(Outcome::Ok, at(0))).collect();
    assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn least_requests_fills_by_weight_and_takes_turns_when_idle() {
    let mut caller = Caller::new(&plan(Algorithm::LeastRequests), &endpoints(&[1, 3]));
    assert_eq!(caller.shares(2, 400, at(0)), [100, 300]);
    let flights: Vec<(usize, Flight)> = (0..40).map(|_| caller.begin(at(0))).collect();
    assert_eq!(flights.iter().filter(|(number, _)| *number == 0).count(), 10);
}

#[test]
fn two_choices_follow_weights_when_idle() {
    let mut caller = Caller::new(&plan(Algorithm::TwoChoices), &endpoints(&[1, 1, 2]));
    let shares = caller.shares(3, 8_000, at(0));
    assert!((3_700..=4_300).contains(&shares[2]), "{shares:?}");
}

/// A closed loop of `clients` against servers that take `millis` each: how many requests each server gets in a minute,
/// and the mean latency in milliseconds.
fn simulate(algorithm: Algorithm, millis: &[u64], clients: usize) -> (Vec<usize>, u64) {
    let mut caller = Caller::new(&plan(algorithm), &endpoints(&vec![1; millis.len()]));
    let mut ends = BinaryHeap::new();
    let mut flights = HashMap::new();
    let mut shares = vec![0; millis.len()];
    let (mut sum, mut ended) = (0, 0);
    let mut start = |caller: &mut Caller, ends: &mut BinaryHeap<_>, flights: &mut HashMap<_, _>, client, now| {
        let (number, flight) = caller.begin(now);
        shares[number] += 1;
        let end = now.after_ms(millis[number]);
        ends.push((std::cmp::Reverse(end), client));
        flights.insert(client, (flight, now));
    };
    for client in 0..clients {
        start(&mut caller, &mut ends, &mut flights, client, at(0));
    }
    while let Some((std::cmp::Reverse(now), client)) = ends.pop() {
        let (flight, began) = flights.remove(&client).unwrap();
        caller.cluster.end(flight, Outcome::Ok, now.since(began), now);
        sum += now.since(began).as_millis() as u64;
        ended += 1;
        if now < at(60_000) {
            start(&mut caller, &mut ends, &mut flights, client, now);
        }
    }
    (shares, sum / ended)
}

#[test]
fn the_fast_server_is_preferred() {
    let (robin, robin_mean) = simulate(Algorithm::RoundRobin, &[5, 5, 100], 8);
    assert!(robin[2] * 2 > robin[0], "{robin:?}");
    for algorithm in [Algorithm::TwoChoices, Algorithm::LeastRequests, Algorithm::PeakEwma(EwmaPlan::default())] {
        let (shares, mean) = simulate(algorithm.clone(), &[5, 5, 100], 8);
        assert!(shares[2] * 4 < shares[0], "{algorithm:?}: {shares:?}");
        assert!(mean * 2 < robin_mean, "{algorithm:?}: {mean} ms against {robin_mean} ms");
    }
    // Even one request at a time, where nothing is ever in flight at a pick, latency alone decides.
    let (shares, _) = simulate(Algorithm::PeakEwma(EwmaPlan::default()), &[5, 100], 1);
    assert!(shares[1] * 20 < shares[0], "{shares:?}");
    assert!(shares[1] > 2, "a slow server is tried again some day: {shares:?}");
}

#[test]
fn failing_fast_does_not_attract() {
    let mut caller = Caller::new(&plan(Algorithm::PeakEwma(EwmaPlan::default())), &endpoints(&[1, 1]));
    let mut shares = [0, 0];
    for round in 0..1_000 {
        let now = at(round * 20);
        let (number, flight) = caller.begin(now);
        shares[number] += 1;
        let (outcome, millis) = if number == 0 { (Outcome::GatewayError, 0) } else { (Outcome::Ok, 20) };
        caller.cluster.end(flight, outcome, Duration::from_millis(millis), now);
    }
    assert!(shares[0] < 100, "{shares:?}");
}

#[test]
fn a_hash_moves_only_what_it_must() {
    let mut caller = Caller::new(&hash_plan(None), &endpoints(&[1; 8]));
    let keys: Vec<u64> = (0..4_000_u32).map(|key| hash_key(0, &key.to_le_bytes())).collect();
    let before: Vec<usize> = keys.iter().map(|key| caller.hashed(*key)).collect();

    caller.cluster.set_health(&endpoint(3, 1).address, Health::Down, at(0));
    let down: Vec<usize> = keys.iter().map(|key| caller.hashed(*key)).collect();
    assert!(before.iter().zip(&down).all(|(old, new)| (*old == 3) == (old != new)));
    let heirs: std::collections::HashSet<usize> =
        before.iter().zip(&down).filter(|(old, _)| **old == 3).map(|(_, new)| *new).collect();
    assert!(heirs.len() >= 6, "the keys of one that is down spread over the others: {heirs:?}");

    caller.cluster.set_health(&endpoint(3, 1).address, Health::Up, at(0));
    assert_eq!(before, keys.iter().map(|key| caller.hashed(*key)).collect::<Vec<_>>());

    caller.cluster.set_endpoints(&endpoints(&[1; 9]), at(0));
    let grown: Vec<usize> = keys.iter().map(|key| caller.hashed(*key)).collect();
    assert!(before.iter().zip(&grown).all(|(old, new)| old == new || *new == 8));

    // Another shard, with another history, agrees.
    let mut other = Caller::new(&hash_plan(None), &[]);
    let mut reversed = endpoints(&[1; 9]);
    reversed.reverse();
    other.cluster.set_endpoints(&reversed, at(0));
    assert_eq!(grown, keys.iter().map(|key| other.hashed(*key)).collect::<Vec<_>>());
}

#[test]
fn a_bounded_hash_never_overfills_one() {
    let mut caller = Caller::new(&hash_plan(Some(125)), &endpoints(&[1; 10]));
    for _ in 0..100 {
        let index = caller.cluster.pick(Some(7), None, &Tried::NONE, at(0), &mut caller.rng).unwrap();
        let _flight = caller.cluster.begin(index, at(0));
    }
    let state = caller.cluster.state(at(0), usize::MAX);
    assert!(state.endpoints.iter().all(|endpoint| endpoint.in_flight <= 13), "{state:?}");
}

#[test]
fn backups_serve_only_without_primaries() {
    let mut list = endpoints(&[1, 1]);
    list.extend([backup(2), backup(3)]);
    for algorithm in [Algorithm::RoundRobin, Algorithm::TwoChoices, Algorithm::Hash(HashPlan::default())] {
        let mut caller = Caller::new(&plan(algorithm), &list);
        let used = |caller: &mut Caller| {
            let mut used: Vec<usize> = (0..100).map(|key| caller.hashed(hash_key(1, &[key]))).collect();
            used.sort_unstable();
            used.dedup();
            used
        };
        assert_eq!(used(&mut caller), [0, 1]);
        caller.cluster.set_health(&endpoint(0, 1).address, Health::Down, at(0));
        assert_eq!(used(&mut caller), [1]);
        caller.cluster.set_health(&endpoint(1, 1).address, Health::Down, at(0));
        assert_eq!(used(&mut caller), [2, 3]);
        for number in [2, 3] {
            caller.cluster.set_health(&endpoint(number, 1).address, Health::Down, at(0));
        }
        assert_eq!(caller.pick(at(0)), Err(FaultKind::NoEndpoint));
        caller.cluster.set_health(&endpoint(1, 1).address, Health::Up, at(0));
        assert_eq!(used(&mut caller), [1]);
    }
}

#[test]
fn panic_uses_all_primaries_again() {
    let panic_plan = ClusterPlan { panic_below_per_cent: 50, ..plan(Algorithm::RoundRobin) };
    let mut caller = Caller::new(&panic_plan, &endpoints(&[1; 4]));
    for number in 0..2 {
        caller.cluster.set_health(&endpoint(number, 1).address, Health::Down, at(0));
    }
    assert_eq!(caller.shares(4, 8, at(0)), [0, 0, 4, 4]);
    caller.cluster.set_health(&endpoint(2, 1).address, Health::Down, at(0));
    assert_eq!(caller.shares(4, 8, at(0)), [2; 4]);
    assert!(caller.cluster.state(at(0), usize::MAX).panicking);
}

#[test]
fn a_cookie_sticks_while_its_endpoint_can_serve() {
    let mut list = endpoints(&[1, 1, 0]);
    list.push(backup(3));
    let mut caller = Caller::new(&plan(Algorithm::RoundRobin), &list);
    let stuck = |caller: &mut Caller, number: u16, tried: &Tried| {
        let index = EndpointIndex { slot: u32::from(number), generation: 0 };
        let id = caller.cluster.sticky_id(index).unwrap();
        let picked = caller.cluster.pick(None, Some(id), tried, at(0), &mut caller.rng).unwrap();
        number_of(&caller.cluster, picked)
    };
    assert!((0..10).all(|_| stuck(&mut caller, 1, &Tried::NONE) == 1));
    assert_eq!(stuck(&mut caller, 2, &Tried::NONE), 2, "a drained endpoint keeps its sessions");
    assert_ne!(stuck(&mut caller, 3, &Tried::NONE), 3, "a backup does not, once primaries are back");
    let mut tried = Tried::default();
    tried.insert(EndpointIndex { slot: 1, generation: 0 });
    assert_eq!(stuck(&mut caller, 1, &tried), 0);
    caller.cluster.set_health(&endpoint(1, 1).address, Health::Down, at(0));
    assert_eq!(stuck(&mut caller, 1, &Tried::NONE), 0);
    assert!(caller.cluster.pick(None, Some(12_345), &Tried::NONE, at(0), &mut caller.rng).is_ok());
}

#[test]
fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
    for algorithm in
        [Algorithm::RoundRobin, Algorithm::LeastRequests, Algorithm::TwoChoices, Algorithm::Hash(HashPlan::default())]
    {
        let mut caller = Caller::new(&plan(algorithm), &endpoints(&[1; 3]));
        let mut tried = Tried::default();
        for _ in 0..3 {
            let index = caller.cluster.pick(Some(9), None, &tried, at(0), &mut caller.rng).unwrap();
            assert!(!tried.contains(index));
            tried.insert(index);
        }
        assert!(caller.cluster.pick(Some(9), None, &tried, at(0), &mut caller.rng).is_ok());
    }
}

#[test]
fn slow_start_ramps_the_share() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::TwoChoices, Algorithm::LeastRequests] {
        let slow = SlowStartPlan { window: Duration::from_secs(10), start_per_cent: 10 };
        let mut caller =
            Caller::new(&ClusterPlan { slow_start: Some(slow), ..plan(algorithm.clone()) }, &endpoints(&[1, 1]));
        assert_eq!(
            caller.cluster.state(at(0), usize::MAX).endpoints[1].ramp_per_mille,
            1_000,
            "a fresh upstream does not ramp"
        );
        caller.cluster.set_health(&endpoint(1, 1).address, Health::Down, at(0));
        caller.cluster.set_health(&endpoint(1, 1).address, Health::Up, at(0));
        let mut share = |second: u64| caller.shares(2, 2_000, at(second * 1_000))[1];
        let shares = [share(0), share(3), share(6), share(10)];
        // With a ramp r the share of two equal endpoints is r / (1 + r): 9, 23, 37, 50 per cent.
        for (found, expected) in shares.into_iter().zip([182, 461, 750, 1_000]) {
            assert!(found.abs_diff(expected) < 110, "{algorithm:?}: {shares:?}");
        }
    }
}

#[test]
fn an_ejected_endpoint_rests_and_comes_back_slowly() {
    let eject_plan = ClusterPlan {
        outlier: Some(OutlierPlan::default()),
        slow_start: Some(SlowStartPlan::default()),
        ..plan(Algorithm::RoundRobin)
    };
    let mut caller = Caller::new(&eject_plan, &endpoints(&[1, 1, 1]));
    caller.fail(0, Outcome::GatewayError, 5, at(0));
    caller.fail(1, Outcome::GatewayError, 50, at(0));
    let state = caller.cluster.state(at(1), usize::MAX);
    assert_eq!(state.endpoints[0].ejected_for, Some(Duration::from_millis(9_999)));
    assert_eq!(state.endpoints[1].ejected_for, None, "half of three is one");
    assert_eq!(caller.shares(3, 10, at(9_999)), [0, 5, 5]);
    let back = caller.shares(3, 2_100, at(10_000));
    assert!((50..=150).contains(&back[0]), "{back:?}");
    assert_eq!(caller.shares(3, 30, at(60_000)), [10, 10, 10]);
}

#[test]
fn the_last_one_is_never_ejected() {
    let outlier = OutlierPlan { ejected_max_per_cent: 100, ..OutlierPlan::default() };
    let mut caller =
        Caller::new(&ClusterPlan { outlier: Some(outlier), ..plan(Algorithm::RoundRobin) }, &endpoints(&[1, 1]));
    caller.fail(0, Outcome::ConnectFailed, 10, at(0));
    caller.fail(1, Outcome::ConnectFailed, 10, at(0));
    assert_eq!(caller.shares(2, 4, at(0)), [0, 4]);
}

#[test]
fn caps_refuse_and_the_queue_is_not_overtaken() {
    let caps =
        Caps { requests: 3, pending: 2, endpoint_requests: 2, endpoint_connections: 1, requests_per_connection: 2 };
    let mut caller = Caller::new(&ClusterPlan { caps, ..plan(Algorithm::RoundRobin) }, &endpoints(&[1]));
    let (_, first) = caller.begin(at(0));
    caller.cluster.connection_opened(first.index);
    assert!(!caller.cluster.may_connect(first.index));
    let (_, _second) = caller.begin(at(0));
    assert_eq!(caller.pick(at(0)), Err(FaultKind::Overloaded), "the endpoint is full");

    caller.cluster.set_endpoints(&endpoints(&[1, 1]), at(0));
    let (number, _third) = caller.begin(at(0));
    assert_eq!(number, 1);
    assert_eq!(caller.pick(at(0)), Err(FaultKind::Overloaded), "the upstream is full");
    for _ in 0..2 {
        assert_eq!(caller.cluster.admission(), Admission::Wait);
        caller.cluster.queue_enter();
    }
    assert_eq!(caller.cluster.admission(), Admission::Refuse(FaultKind::Overloaded));
    caller.cluster.end(first, Outcome::Ok, Duration::ZERO, at(1));
    assert!(caller.cluster.has_room());
    assert_eq!(caller.cluster.admission(), Admission::Refuse(FaultKind::Overloaded), "others wait already");
    caller.cluster.queue_leave(Left::Late);
    caller.cluster.queue_leave(Left::Late);
    assert_eq!(caller.cluster.admission(), Admission::Go);
}

#[test]
fn a_connection_carries_no_more_than_its_endpoint_takes() {
    let caps =
        Caps { requests: 99, pending: 9, endpoint_requests: 99, endpoint_connections: 2, requests_per_connection: 128 };
    let plan = ClusterPlan { caps, ..plan(Algorithm::RoundRobin) };
    let mut caller = Caller::new(&plan, &endpoints(&[1]));
    let (_, first) = caller.begin(at(0));
    caller.cluster.learn(first.index, 3);
    for _ in 1..6 {
        let _flight = caller.begin(at(0));
    }
    caller.cluster.set_plan(&plan);
    assert_eq!(caller.pick(at(0)), Err(FaultKind::Overloaded), "two connections carry six");
    assert!(!caller.cluster.may_admit());
    caller.cluster.learn(first.index, 4);
    assert!(caller.cluster.may_admit());
    for _ in 6..8 {
        let _flight = caller.begin(at(0));
    }
    assert_eq!(caller.pick(at(0)), Err(FaultKind::Overloaded));
}

/// How many requests two shards serve in so many rounds, where one always waits on each. All messages of a round
/// arrive in the next one.
fn served_by_two(caps: &Caps, number: u16, rounds: usize) -> [u32; 2] {
    let plan = ClusterPlan { caps: caps.clone(), ..plan(Algorithm::RoundRobin) };
    let shard = |own| Cluster::shared(&plan, &[endpoint(number, 1)], Part { own, count: 2 });
    let mut shards = [shard(0), shard(1)];
    let (mut served, mut admitted) = ([0; 2], [false; 2]);
    let look = |cluster: &mut Cluster, admitted: &mut bool| match *admitted {
        true => {}
        false if cluster.may_admit() => {
            cluster.reserve();
            *admitted = true;
        }
        false => cluster.ask_for_room(1),
    };
    for (own, cluster) in shards.iter_mut().enumerate() {
        cluster.queue_enter();
        look(cluster, &mut admitted[own]);
    }
    for _ in 0..rounds {
        for (own, cluster) in shards.iter_mut().enumerate() {
            if std::mem::take(&mut admitted[own]) {
                cluster.queue_leave(Left::Admitted);
                if let Ok(index) = cluster.pick(None, None, &Tried::NONE, at(0), &mut Rng::new(1)) {
                    let flight = cluster.begin(index, at(0));
                    cluster.connection_opened(index);
                    cluster.settle_all();
                    cluster.end(flight, Outcome::Ok, Duration::ZERO, at(0));
                    cluster.connection_closed(index);
                    served[own] += 1;
                }
                cluster.queue_enter();
                look(cluster, &mut admitted[own]);
            }
        }
        let mut mail = Vec::new();
        for (own, cluster) in (0..).zip(&mut shards) {
            mail.extend(std::iter::from_fn(|| cluster.next_mail()).map(|(to, message)| (own, to as usize, message)));
        }
        for (from, to, message) in mail {
            shards[to].take_mail(from, message);
            look(&mut shards[to], &mut admitted[to]);
            shards[to].settle(message.key);
        }
    }
    served
}

#[test]
fn shards_do_not_give_each_other_what_the_other_one_waits_for() {
    let one =
        Caps { requests: 1, pending: 9, endpoint_requests: 9, endpoint_connections: 1, requests_per_connection: 1 };
    let two = Caps { requests: 2, endpoint_requests: 1, ..one.clone() };
    let three = Caps { requests: 1, endpoint_requests: 1, ..one.clone() };
    // The shard that looks after a cap follows from the address.
    for (caps, number) in [one, two, three].iter().flat_map(|caps| (0..16).map(move |number| (caps, number))) {
        let served = served_by_two(caps, number, 400);
        assert!(served.iter().all(|count| *count >= 20), "{served:?} at {number} with {caps:?}");
    }
}

#[test]
fn a_late_end_after_the_slot_was_given_away_does_nothing() {
    let mut caller = Caller::new(&plan(Algorithm::RoundRobin), &endpoints(&[1]));
    let (_, flight) = caller.begin(at(0));
    caller.cluster.set_endpoints(&[endpoint(5, 1)], at(0));
    assert!(!caller.cluster.is_listed(flight.index));
    assert_eq!(caller.cluster.state(at(0), usize::MAX).endpoints.len(), 2, "it waits for its last request");
    // Back before its request ended: the same slot with its count.
    caller.cluster.set_endpoints(&endpoints(&[1]), at(0));
    assert!(caller.cluster.is_listed(flight.index));
    caller.cluster.set_endpoints(&[endpoint(5, 1)], at(0));
    caller.cluster.end(flight, Outcome::Ok, Duration::ZERO, at(0));
    caller.cluster.set_endpoints(&[endpoint(6, 1), endpoint(7, 1), endpoint(7, 1)], at(0));
    assert_eq!(caller.cluster.endpoint(flight.index), None);
    caller.cluster.connection_closed(flight.index);
    assert!(!caller.cluster.may_connect(flight.index));
    assert_eq!(
        caller.cluster.state(at(0), usize::MAX).endpoints.iter().map(|endpoint| endpoint.in_flight).sum::<u32>(),
        0
    );
}

#[test]
fn the_breaker_guards_the_whole_upstream() {
    let breaker = BreakerPlan { consecutive_failures: 5, closes_after: 1, ..BreakerPlan::default() };
    let mut caller =
        Caller::new(&ClusterPlan { breaker: Some(breaker), ..plan(Algorithm::RoundRobin) }, &endpoints(&[1, 1]));
    for _ in 0..5 {
        caller.request(Outcome::Timeout, at(0));
    }
    assert_eq!(caller.pick(at(4_999)), Err(FaultKind::BreakerOpen));
    assert_eq!(caller.cluster.state(at(4_999), 0).breaker, Some(BreakerPhase::Open(at(5_000))));
    assert_eq!(caller.cluster.state(at(5_000), 0).breaker, Some(BreakerPhase::HalfOpen), "the next request is a trial");
    let (_, trial) = caller.begin(at(5_000));
    assert_eq!(caller.pick(at(5_000)), Err(FaultKind::BreakerOpen), "one trial at a time");
    // A long stream is judged by its head, while it is still in flight.
    caller.cluster.observe(trial, Outcome::Ok, Duration::from_millis(1), at(5_010));
    assert_eq!(caller.cluster.state(at(5_010), 0).breaker, Some(BreakerPhase::Closed));
    assert_eq!((caller.cluster.take_openings(), caller.cluster.take_openings()), (1, 0));
    assert_eq!(caller.cluster.state(at(5_010), 0).requests, 1);
    caller.cluster.finish(trial);
    assert_eq!(caller.cluster.state(at(5_010), 0).requests, 0);
}

#[test]
fn another_attempt_is_possible_only_where_pick_would_name_an_endpoint() {
    let one = Caps { endpoint_requests: 1, ..Caps::default() };
    let mut caller = Caller::new(&ClusterPlan { caps: one, ..plan(Algorithm::RoundRobin) }, &endpoints(&[1]));
    assert!(caller.cluster.may_pick_again(None, at(0)));
    let (_, flight) = caller.begin(at(0));
    assert!(!caller.cluster.may_pick_again(None, at(0)), "the endpoint is full");
    assert!(caller.cluster.may_pick_again(Some(flight.index), at(0)), "the attempt that ends makes room");
    caller.cluster.set_endpoints(&[], at(0));
    assert!(!caller.cluster.may_pick_again(Some(flight.index), at(0)), "no endpoint is left");

    let breaker = BreakerPlan { consecutive_failures: 1, ..BreakerPlan::default() };
    let mut caller =
        Caller::new(&ClusterPlan { breaker: Some(breaker), ..plan(Algorithm::RoundRobin) }, &endpoints(&[1, 1]));
    let (_, flight) = caller.begin(at(0));
    caller.cluster.observe(flight, Outcome::GatewayError, Duration::from_millis(1), at(0));
    assert!(!caller.cluster.may_pick_again(Some(flight.index), at(0)), "the breaker is open");
}

#[test]
fn retries_come_out_of_the_budget() {
    let retry_budget = RetryBudgetPlan { per_cent: 10, per_second_min: 0 };
    let mut caller = Caller::new(&ClusterPlan { retry_budget, ..plan(Algorithm::RoundRobin) }, &endpoints(&[1]));
    let granted = (0..1_000).filter(|_| {
        caller.request(Outcome::ConnectFailed, at(0));
        caller.cluster.may_retry(at(0)) && caller.request(Outcome::ConnectFailed, at(0)) == 0
    });
    assert_eq!(granted.count(), 100);
}

#[test]
fn nothing_grows_after_warm_up() {
    let mut caller =
        Caller::new(&ClusterPlan { outlier: Some(OutlierPlan::default()), ..hash_plan(None) }, &endpoints(&[1; 50]));
    let before = (caller.cluster.serving.capacity(), caller.cluster.weights.capacity());
    for round in 0..2_000_u64 {
        let outcome = if round % 3 == 0 { Outcome::ConnectFailed } else { Outcome::Ok };
        caller.request(outcome, at(round * 50));
    }
    assert_eq!(before, (caller.cluster.serving.capacity(), caller.cluster.weights.capacity()));
}
