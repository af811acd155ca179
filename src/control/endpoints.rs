// SPDX-License-Identifier: Apache-2.0
//! The state of upstreams and endpoints, put together from the reports of all shards, for the metrics page and the
//! status document.
//!
//! Every shard ejects endpoints and opens breakers by itself, so such states are shown as the number of shards on which
//! they hold. Counts are sums.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{BreakerPhase, ClusterState, EndpointState, Totals};
use crate::control::exposition::{Exposition, Kind, Label};
use crate::control::upstreams::Known;

/// All upstreams by name.
#[derive(Debug, Default)]
pub(crate) struct UpstreamStates {
    by_name: BTreeMap<Arc<str>, UpstreamState>,
    /// Age of the oldest report.
    pub age: Duration,
    /// Shards that have reported.
    pub shards: u64,
    left_out: u64,
}

/// One upstream on all shards.
#[derive(Debug, Default)]
pub(crate) struct UpstreamState {
    /// Requests in flight.
    pub requests: u64,
    /// Requests that wait for room.
    pub pending: u64,
    /// Its breaker, where it has one.
    pub breaker: Option<BreakerState>,
    /// Shards that ignore health, because too few endpoints are available.
    pub panicking: u64,
    /// Its endpoints by address.
    pub endpoints: BTreeMap<String, EndpointSums>,
}

/// A breaker on all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BreakerState {
    /// Shards where it is open.
    pub open: u64,
    /// Shards where it lets trials pass.
    pub half_open: u64,
    /// Until trials may pass on all shards.
    pub open_for: Duration,
}

/// One endpoint on all shards.
#[derive(Debug)]
pub(crate) struct EndpointSums {
    /// Its name.
    pub name: Arc<str>,
    /// Its share.
    pub weight: u32,
    /// Used only while no other is available.
    pub backup: bool,
    /// Is it still in the list of some shard?
    pub listed: bool,
    /// Shards that send requests to it.
    pub serving: u64,
    /// Shards that ejected it.
    pub ejected: u64,
    /// Until it is ejected on none.
    pub ejected_for: Duration,
    /// The smallest share that slow start allows on any shard, in per mille of its weight.
    pub ramp_per_mille: u32,
    /// Requests in flight.
    pub requests: u64,
    /// Connections open or being opened.
    pub connections: u64,
    /// The highest moving latency of any shard, where the algorithm measures it.
    pub latency: Option<Duration>,
    /// What has happened.
    pub totals: Totals,
}

impl UpstreamStates {
    /// Puts reports together.
    pub(crate) fn of(known: &Known) -> UpstreamStates {
        let shards = known.reports.len() as u64;
        let mut states = UpstreamStates { age: known.age, shards, ..UpstreamStates::default() };
        for state in known.reports.iter().flat_map(|report| &report.upstreams) {
            states.left_out += state.left_out as u64;
            states.by_name.entry(Arc::clone(&state.name)).or_default().add(state);
        }
        states
    }

    /// The upstream of that name.
    pub(crate) fn upstream(&self, name: &str) -> Option<&UpstreamState> {
        self.by_name.get(name)
    }

    /// Writes the metrics. Endpoints appear once something happened to them: with thousands of endpoints most are idle.
    pub(crate) fn expose(&self, out: &mut Exposition) {
        let help = "Age of the oldest shard's report on its upstreams and endpoints.";
        out.single("turnpike_upstream_report_age_seconds", Kind::Gauge, help, self.age.as_secs_f64());
        let help = "Endpoints that shards left out of their reports, because they have too many.";
        out.single("turnpike_upstream_report_endpoints_left_out", Kind::Gauge, help, self.left_out as f64);
        for (name, help, value) in UPSTREAM_FAMILIES {
            let mut family = out.family(name, Kind::of_name(name), help);
            for (upstream, state) in &self.by_name {
                if let Some(value) = value(state) {
                    family.count(&[Label("upstream", upstream)], value);
                }
            }
        }
        for (name, help, value) in ENDPOINT_FAMILIES {
            let mut family = out.family(name, Kind::of_name(name), help);
            for (upstream, address, endpoint) in self.used() {
                family.count(&[Label("upstream", upstream), Label("endpoint", address)], value(endpoint));
            }
        }
        let help = "Attempts at an endpoint by outcome.";
        let mut family = out.family("turnpike_upstream_endpoint_outcomes_total", Kind::Counter, help);
        for (upstream, address, endpoint) in self.used() {
            for (outcome, count) in endpoint.totals.outcomes().into_iter().filter(|(_, count)| *count > 0) {
                let labels = [Label("upstream", upstream), Label("endpoint", address), Label("outcome", outcome)];
                family.count(&labels, count);
            }
        }
        let help = "Moving peak latency of an endpoint, the highest of any shard, where `balance` is \"ewma\".";
        let mut family = out.family("turnpike_upstream_endpoint_latency_seconds", Kind::Gauge, help);
        for (upstream, address, endpoint) in self.used() {
            if let Some(latency) = endpoint.latency {
                family.sample(&[Label("upstream", upstream), Label("endpoint", address)], latency.as_secs_f64());
            }
        }
    }

    fn used(&self) -> impl Iterator<Item = (&str, &str, &EndpointSums)> {
        self.by_name.iter().flat_map(|(upstream, state)| {
            let used = state.endpoints.iter().filter(|(_, endpoint)| endpoint.totals != Totals::default());
            used.map(|(address, endpoint)| (&**upstream, address.as_str(), endpoint))
        })
    }
}

type Family<T, V> = (&'static str, &'static str, fn(&T) -> V);

/// Without a breaker there are no samples of one.
const UPSTREAM_FAMILIES: [Family<UpstreamState, Option<u64>>; 4] = [
    ("turnpike_upstream_requests_active", "Requests in flight.", |state| Some(state.requests)),
    ("turnpike_upstream_breaker_open", "Shards on which the circuit breaker is open.", |state| {
        state.breaker.map(|breaker| breaker.open)
    }),
    ("turnpike_upstream_breaker_half_open", "Shards on which the circuit breaker is half-open.", |state| {
        state.breaker.map(|breaker| breaker.half_open)
    }),
    (
        "turnpike_upstream_panic",
        "Shards that ignore the health of endpoints, because too few are available (panic mode).",
        |state| Some(state.panicking),
    ),
];

const ENDPOINT_FAMILIES: [Family<EndpointSums, u64>; 6] = [
    ("turnpike_upstream_endpoint_serving", "Shards that send requests to the endpoint.", |sums| sums.serving),
    ("turnpike_upstream_endpoint_ejected", "Shards on which outlier detection has ejected the endpoint.", |sums| {
        sums.ejected
    }),
    ("turnpike_upstream_endpoint_ejections_total", "Times the endpoint was ejected.", |sums| sums.totals.ejections),
    ("turnpike_upstream_endpoint_requests_active", "Requests in flight at the endpoint.", |sums| sums.requests),
    ("turnpike_upstream_endpoint_requests_total", "Attempts at the endpoint.", |sums| sums.totals.requests),
    ("turnpike_upstream_endpoint_connections", "Connections to the endpoint.", |sums| sums.connections),
];

impl UpstreamState {
    fn add(&mut self, state: &ClusterState) {
        self.requests += u64::from(state.requests);
        self.pending += u64::from(state.pending);
        self.panicking += u64::from(state.panicking);
        if let Some(phase) = state.breaker {
            let breaker = self.breaker.get_or_insert_default();
            match phase {
                BreakerPhase::Closed => {}
                BreakerPhase::Open(until) => {
                    breaker.open += 1;
                    breaker.open_for = breaker.open_for.max(until.since(state.at));
                }
                BreakerPhase::HalfOpen => breaker.half_open += 1,
            }
        }
        for endpoint in &state.endpoints {
            let address = endpoint.address.to_string();
            self.endpoints.entry(address).or_insert_with(|| EndpointSums::new(endpoint)).add(endpoint);
        }
    }
}

impl EndpointSums {
    fn new(state: &EndpointState) -> EndpointSums {
        EndpointSums {
            name: Arc::clone(&state.name),
            weight: state.weight,
            backup: state.backup,
            listed: false,
            serving: 0,
            ejected: 0,
            ejected_for: Duration::ZERO,
            ramp_per_mille: u32::MAX,
            requests: 0,
            connections: 0,
            latency: None,
            totals: Totals::default(),
        }
    }

    fn add(&mut self, state: &EndpointState) {
        self.listed |= state.listed;
        self.serving += u64::from(state.serving);
        self.ejected += u64::from(state.ejected_for.is_some());
        self.ejected_for = self.ejected_for.max(state.ejected_for.unwrap_or_default());
        self.ramp_per_mille = self.ramp_per_mille.min(state.ramp_per_mille);
        self.requests += u64::from(state.in_flight);
        self.connections += u64::from(state.connections);
        self.latency = self.latency.max(state.latency_micros.map(Duration::from_micros));
        self.totals.add(&state.totals);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Algorithm, BreakerPlan, Cluster, ClusterPlan, Endpoint, Outcome, OutlierPlan, Tried};
    use crate::base::{Address, Rng, Tick};
    use crate::control::exposition::strict;
    use crate::link::UpstreamReport;

    /// A shard whose first endpoint had one request, and was ejected where that failed.
    fn report(fails: bool, endpoints_max: usize) -> Arc<UpstreamReport> {
        let outlier = OutlierPlan { consecutive_connect_failures: 1, ..OutlierPlan::default() };
        let breaker = BreakerPlan { consecutive_failures: 1, ..BreakerPlan::default() };
        let plan = ClusterPlan {
            name: "pool".into(),
            algorithm: Algorithm::RoundRobin,
            outlier: Some(outlier),
            breaker: Some(breaker),
            ..ClusterPlan::default()
        };
        let endpoint = |port: u16| Endpoint {
            address: Address::Inet(([127, 0, 0, 1], port).into()),
            name: "one".into(),
            weight: 1,
            backup: false,
        };
        let (mut cluster, now) = (Cluster::new(&plan, &[endpoint(1), endpoint(2), endpoint(3)]), Tick::ZERO);
        let mut rng = Rng::new(1);
        let first = cluster.pick(None, None, &Tried::NONE, now, &mut rng).expect("one");
        let flight = cluster.begin(first, now);
        let outcome = if fails { Outcome::ConnectFailed } else { Outcome::Ok };
        cluster.end(flight, outcome, Duration::ZERO, now);
        Arc::new(UpstreamReport { upstreams: vec![cluster.state(now.after_ms(1), endpoints_max)] })
    }

    #[test]
    fn shards_are_summed() {
        let known = Known { reports: vec![report(true, 9), report(false, 9)], age: Duration::from_millis(500) };
        let states = UpstreamStates::of(&known);
        let pool = states.upstream("pool").expect("known");
        let breaker = pool.breaker.expect("one");
        assert_eq!((breaker.open, breaker.half_open, breaker.open_for > Duration::ZERO), (1, 0, true));
        let ejected = &pool.endpoints["127.0.0.1:1"];
        assert_eq!((ejected.ejected, ejected.serving, ejected.totals.requests), (1, 1, 2));
        assert!(ejected.ejected_for > Duration::ZERO && ejected.listed);
        let mut out = Exposition::new();
        states.expose(&mut out);
        let parsed = strict::parse(&out.finish()).expect("well formed");
        let value = |key: &str| *parsed.samples.get(key).unwrap_or_else(|| panic!("{key}"));
        let endpoint = "{upstream=\"pool\",endpoint=\"127.0.0.1:1\"}";
        assert_eq!(value(&format!("turnpike_upstream_endpoint_ejected{endpoint}")), 1.0);
        assert_eq!(value(&format!("turnpike_upstream_endpoint_ejections_total{endpoint}")), 1.0);
        let outcome = "{upstream=\"pool\",endpoint=\"127.0.0.1:1\",outcome=\"connect_failure\"}";
        assert_eq!(value(&format!("turnpike_upstream_endpoint_outcomes_total{outcome}")), 1.0);
        assert_eq!(value("turnpike_upstream_breaker_open{upstream=\"pool\"}"), 1.0);
        assert_eq!(value("turnpike_upstream_report_age_seconds"), 0.5);
        assert!(!parsed.samples.keys().any(|key| key.contains("127.0.0.1:3")), "idle endpoints have no series");
    }

    #[test]
    fn endpoints_above_the_cap_are_counted() {
        let states = UpstreamStates::of(&Known { reports: vec![report(false, 1)], age: Duration::ZERO });
        assert_eq!((states.left_out, states.upstream("pool").expect("known").endpoints.len()), (2, 1));
    }
}
