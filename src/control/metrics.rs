// SPDX-License-Identifier: Apache-2.0
//! The metrics page: every number that the process knows, in the Prometheus text format.
//!
//! Pure: it is given the sums and facts and writes them down. Units are seconds and bytes; names and meanings of shard,
//! upstream and limit counters come from the table in `link::counters`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::balance::Health;
use crate::base::Address;
use crate::config::plan::CertificatePlan;
use crate::control::discovery::EndpointUpdate;
use crate::control::endpoints::UpstreamStates;
use crate::control::exposition::{Exposition, Family, Kind, Label};
use crate::control::probe::Target;
use crate::control::process::Process;
use crate::control::quotas::counts::{self, DatabaseShown, QuotaShown};
use crate::control::tally::{RouteSums, Sums};
use crate::control::usage::UsageShown;
use crate::link::counters::LATENCY_BOUNDS_US;
use crate::link::{Counter, LimitCounter, RouteCounter, UpstreamCounter};
use crate::wire::grpc::Code;

/// What stands on the page besides the shards' counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Calendar time of the start, seconds since 1970.
    pub started_seconds: f64,
    /// The plan in use.
    pub generation: u64,
    /// Data-plane threads.
    pub shards: usize,
    /// Whether the store can be read and written; `None` where there is none.
    pub store_up: Option<bool>,
    /// How usage stands on its way to the store; `None` where it is not counted.
    pub usage: Option<UsageShown>,
    /// What limits did that are counted in a database.
    pub quotas: Vec<QuotaShown>,
    /// How their databases did.
    pub databases: Vec<DatabaseShown>,
    /// Configurations taken into use, the first one included.
    pub reloads_done: u64,
    /// Configurations that were refused.
    pub reloads_refused: u64,
    /// Plans that are in use, on their way into use, or still held by something that began under them.
    pub plans: usize,
    /// Access-log lines that the writer dropped.
    pub log_dropped: u64,
    /// Lines of the process' own messages that standard error did not take.
    pub messages_dropped: u64,
    /// The endpoints of all upstreams.
    pub listed: Vec<EndpointUpdate>,
    /// The certificates of all listeners.
    pub certificates: Vec<ListenerCertificate>,
    /// The results of active health checks.
    pub health: HashMap<Target, Health>,
}

/// A certificate of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerCertificate {
    /// The listener's name.
    pub listener: String,
    /// The certificate.
    pub certificate: CertificatePlan,
}

impl Facts {
    /// What active checks say of an endpoint.
    pub(crate) fn health(&self, upstream: &Arc<str>, address: &Address) -> Health {
        if self.health.is_empty() {
            return Health::Unknown;
        }
        let target = Target { upstream: Arc::clone(upstream), address: address.clone() };
        self.health.get(&target).copied().unwrap_or(Health::Unknown)
    }
}

/// The whole page.
pub(crate) fn render(sums: &Sums, facts: &Facts, states: &UpstreamStates, process: &Process) -> String {
    let mut out = Exposition::new();
    build(&mut out, facts);
    for counter in Counter::ALL {
        shard_counter(&mut out, *counter, sums, facts);
    }
    routes(&mut out, sums);
    for counter in UpstreamCounter::ALL {
        upstream_counter(&mut out, *counter, sums);
    }
    failures(&mut out, sums);
    for counter in LimitCounter::ALL {
        limit_counter(&mut out, *counter, sums);
    }
    counts::expose(&mut out, &facts.quotas, &facts.databases);
    versions(&mut out, sums);
    certificates(&mut out, facts);
    endpoints(&mut out, facts);
    states.expose(&mut out);
    process.expose(&mut out);
    out.single("process_start_time_seconds", Kind::Gauge, "Start, seconds since 1970.", facts.started_seconds);
    out.finish()
}

fn build(out: &mut Exposition, facts: &Facts) {
    let help = "Always 1; the label says which build runs.";
    out.family("turnpike_build_info", Kind::Gauge, help).count(&[Label("version", env!("CARGO_PKG_VERSION"))], 1);
    out.family("turnpike_plan_generation", Kind::Gauge, "The plan in use.").count(&[], facts.generation);
    out.family("turnpike_shards", Kind::Gauge, "Data-plane threads.").count(&[], facts.shards as u64);
    let help = "Plans in use, on their way into use, or held by connections that began under them.";
    out.family("turnpike_plans", Kind::Gauge, help).count(&[], facts.plans as u64);
    if let Some(up) = facts.store_up {
        let help = "1 where the store can be read and written, 0 where the gateway goes on with what it knows.";
        out.family("turnpike_store_up", Kind::Gauge, help).count(&[], u64::from(up));
    }
    if let Some(shown) = &facts.usage {
        usage(out, shown);
    }
    let help = "Lines of the process' own messages dropped because standard error did not take them.";
    out.family("turnpike_message_lines_dropped_total", Kind::Counter, help).count(&[], facts.messages_dropped);
    let mut reloads = out.family("turnpike_reloads_total", Kind::Counter, "Configurations compiled, by outcome.");
    reloads.count(&[Label("outcome", "done")], facts.reloads_done);
    reloads.count(&[Label("outcome", "refused")], facts.reloads_refused);
}

fn shard_counter(out: &mut Exposition, counter: Counter, sums: &Sums, facts: &Facts) {
    let name = format!("turnpike_{}", counter.name());
    let mut family = out.family(&name, Kind::of_name(&name), counter.help());
    if counter == Counter::LogLinesDropped {
        family.count(&[Label("at", "shard")], sums.value(counter));
        family.count(&[Label("at", "writer")], facts.log_dropped);
    } else {
        family.count(&[], sums.value(counter));
    }
}

fn certificates(out: &mut Exposition, facts: &Facts) {
    let help = "The end of a listener's certificate, seconds since 1970.";
    let mut family = out.family("turnpike_certificate_not_after_seconds", Kind::Gauge, help);
    for ListenerCertificate { listener, certificate } in &facts.certificates {
        let labels = [Label("listener", listener), Label("certificate", &certificate.file)];
        family.count(&labels, certificate.not_after.seconds());
    }
}

fn routes(out: &mut Exposition, sums: &Sums) {
    let help = "Responses by route and class of status.";
    let mut family = out.family("turnpike_requests_total", Kind::Counter, help);
    for (route, of_route) in sums.routes() {
        for class in RouteCounter::STATUSES {
            family.count(&[Label("route", route), Label("class", class.name())], of_route.value(class));
        }
    }
    for (counter, name) in ROUTE_COUNTS {
        let mut family = out.family(name, Kind::Counter, counter.help());
        each_route(&mut family, sums, |of_route| of_route.value(counter));
    }
    let help = "Calls of gRPC by route and the code that they ended with, those that the gateway ended among them.";
    let mut family = out.family("turnpike_grpc_responses_total", Kind::Counter, help);
    for (route, of_route) in sums.routes() {
        // Most routes have no calls, and most codes never come.
        for code in Code::ALL.into_iter().filter(|code| of_route.grpc(*code) > 0) {
            family.count(&[Label("route", route), Label("code", code.name())], of_route.grpc(code));
        }
    }
    let bounds = LATENCY_BOUNDS_US.map(|micros| (micros as f64 / MICROS).to_string());
    let help = "From the first byte of a request to the last of its response.";
    let mut family = out.family("turnpike_request_duration_seconds", Kind::Histogram, help);
    for (route, of_route) in sums.routes() {
        let sum = of_route.value(RouteCounter::MicrosTotal) as f64 / MICROS;
        family.histogram(&[Label("route", route)], &bounds, of_route.latencies(), sum);
    }
}

fn each_route(family: &mut Family<'_>, sums: &Sums, value: impl Fn(&RouteSums) -> u64) {
    for (route, of_route) in sums.routes() {
        family.count(&[Label("route", route)], value(of_route));
    }
}

fn upstream_counter(out: &mut Exposition, counter: UpstreamCounter, sums: &Sums) {
    // Sums of microseconds are shown in seconds, as the format asks for base units.
    let seconds = counter.name().strip_suffix("_micros");
    let name =
        seconds.map_or_else(|| format!("turnpike_{}", counter.name()), |what| format!("turnpike_{what}_seconds_total"));
    let help =
        if seconds.is_some() { counter.help().replace("Microseconds", "Seconds") } else { counter.help().into() };
    let mut family = out.family(&name, Kind::of_name(&name), &help);
    for (upstream, of_upstream) in sums.upstreams() {
        let labels = [Label("upstream", upstream)];
        let value = of_upstream.value(counter);
        match seconds {
            Some(_) => family.sample(&labels, value as f64 / MICROS),
            None => family.count(&labels, value),
        }
    }
}

fn failures(out: &mut Exposition, sums: &Sums) {
    let help = "Attempts that ended in a fault of the upstream, by reason (the access log's `reason`).";
    let mut family = out.family("turnpike_upstream_failures_by_reason_total", Kind::Counter, help);
    for (upstream, of_upstream) in sums.upstreams() {
        // Most reasons never come.
        for (reason, count) in of_upstream.failures().filter(|(_, count)| *count > 0) {
            family.count(&[Label("upstream", upstream), Label("reason", reason)], count);
        }
    }
}

fn limit_counter(out: &mut Exposition, counter: LimitCounter, sums: &Sums) {
    let name = format!("turnpike_{}", counter.name());
    let mut family = out.family(&name, Kind::of_name(&name), counter.help());
    for (policy, of_limit) in sums.limits() {
        family.count(&[Label("policy", policy)], of_limit.value(counter));
    }
}

fn usage(out: &mut Exposition, shown: &UsageShown) {
    let counters = [
        ("turnpike_usage_record_failures_total", shown.failures, "Times that usage could not be recorded; it is kept."),
        ("turnpike_usage_store_other_total", shown.together, "Requests that the store counted as `(other)`."),
        ("turnpike_usage_exports_total", shown.exported, "Parts of exports of usage that have arrived."),
        ("turnpike_usage_export_failures_total", shown.export_failures, "Parts of exports that were sent in vain."),
    ];
    for (name, value, help) in counters {
        out.family(name, Kind::Counter, help).count(&[], value);
    }
    let help = "Seconds for which the oldest usage waits to be recorded.";
    out.single("turnpike_usage_lag_seconds", Kind::Gauge, help, shown.lag);
}

/// The labels are names of the configuration, whatever clients send.
fn versions(out: &mut Exposition, sums: &Sums) {
    let help = "Requests for a version of an API, by the policy that found it out; also those that it refused.";
    let mut family = out.family("turnpike_api_version_requests_total", Kind::Counter, help);
    for (policy, version, requests) in sums.versions() {
        family.count(&[Label("policy", policy), Label("version", version)], requests);
    }
}

fn endpoints(out: &mut Exposition, facts: &Facts) {
    let help = "1 where active checks call the endpoint up or do not look, else 0.";
    let mut family = out.family("turnpike_upstream_endpoint_up", Kind::Gauge, help);
    for EndpointUpdate { upstream, endpoints } in &facts.listed {
        for endpoint in &**endpoints {
            let up = facts.health(upstream, &endpoint.address) != Health::Down;
            let address = endpoint.address.to_string();
            family.count(&[Label("upstream", upstream), Label("endpoint", &address)], u64::from(up));
        }
    }
}

const MICROS: f64 = 1_000_000.0;

/// Counters of a route that are families of their own.
const ROUTE_COUNTS: [(RouteCounter, &str); 6] = [
    (RouteCounter::Aborted, "turnpike_requests_aborted_total"),
    (RouteCounter::BytesReceived, "turnpike_request_body_bytes_total"),
    (RouteCounter::BytesSent, "turnpike_response_body_bytes_total"),
    (RouteCounter::Limited, "turnpike_requests_limited_total"),
    (RouteCounter::Reported, "turnpike_requests_reported_total"),
    (RouteCounter::Denied, "turnpike_requests_denied_total"),
];

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Endpoint;
    use crate::base::Cause;
    use crate::control::exposition::strict;
    use crate::control::tally::{CounterSet, Names, Tally};

    #[test]
    fn the_page_is_well_formed_and_complete() {
        let tally = Tally::default();
        let names = Names {
            routes: vec![Arc::from("api \"v1\"")],
            upstreams: vec![Arc::from("pool")],
            limits: vec![None, Some(Arc::from("per-minute"))],
            versions: vec![(Arc::from("orders"), Arc::from("v1"))],
        };
        let set = CounterSet::named(1, names, 2);
        tally.begin(set.clone());
        tally.commit(1);
        for shard in set.shards() {
            shard.add(Counter::Accepted, 3);
            shard.add(Counter::LogLinesDropped, 1);
            shard.add_route(0, RouteCounter::Status2xx, 10);
            shard.add_grpc(0, Code::NotFound);
            shard.observe(0, 300);
            shard.observe(0, 90_000_000);
            shard.add_upstream(0, UpstreamCounter::MicrosConnect, 500_000);
            shard.add_cause(0, Cause::CertificateExpired);
            shard.add_cause(0, Cause::CertificateName);
            shard.add_limit(1, LimitCounter::Reported, 4);
            shard.set_limit(1, LimitCounter::Held, 7);
            shard.add_version(0);
            shard.add_version(1);
        }
        let address = Address::Inet("127.0.0.1:1".parse().expect("an address"));
        let endpoint = Endpoint { address: address.clone(), name: "one".into(), weight: 1, backup: false };
        let upstream: Arc<str> = "pool".into();
        let facts = Facts {
            shards: 2,
            plans: 3,
            reloads_done: 1,
            log_dropped: 5,
            messages_dropped: 6,
            listed: vec![EndpointUpdate { upstream: Arc::clone(&upstream), endpoints: [endpoint].into() }],
            health: [(Target { upstream, address }, Health::Down)].into(),
            ..Facts::default()
        };
        let parsed = strict::parse(&render(&tally.sums(), &facts, &UpstreamStates::default(), &Process::read()))
            .expect("well formed");
        let value = |key: &str| *parsed.samples.get(key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!((value("turnpike_plans"), value("turnpike_message_lines_dropped_total")), (3.0, 6.0));
        assert_eq!(value("turnpike_connections_accepted_total"), 6.0);
        assert_eq!(value("turnpike_log_lines_dropped_total{at=\"shard\"}"), 2.0);
        assert_eq!(value("turnpike_log_lines_dropped_total{at=\"writer\"}"), 5.0);
        assert_eq!(value("turnpike_requests_total{route=\"api \\\"v1\\\"\",class=\"2xx\"}"), 20.0);
        assert_eq!(value("turnpike_grpc_responses_total{route=\"api \\\"v1\\\"\",code=\"NOT_FOUND\"}"), 2.0);
        assert_eq!(parsed.samples.keys().filter(|key| key.starts_with("turnpike_grpc_responses_total")).count(), 1);
        assert_eq!(value("turnpike_request_duration_seconds_bucket{route=\"api \\\"v1\\\"\",le=\"0.0005\"}"), 2.0);
        assert_eq!(value("turnpike_request_duration_seconds_count{route=\"api \\\"v1\\\"\"}"), 4.0);
        assert_eq!(value("turnpike_upstream_connect_seconds_total{upstream=\"pool\"}"), 1.0);
        assert_eq!(value("turnpike_upstream_endpoint_up{upstream=\"pool\",endpoint=\"127.0.0.1:1\"}"), 0.0);
        assert_eq!(value("turnpike_limit_reported_total{policy=\"per-minute\"}"), 8.0);
        assert_eq!(value("turnpike_limit_keys_held{policy=\"per-minute\"}"), 14.0);
        assert_eq!(value("turnpike_api_version_requests_total{policy=\"orders\",version=\"v1\"}"), 2.0);
        let by_reason = "turnpike_upstream_failures_by_reason_total{upstream=\"pool\",reason=\"tls_certificate\"}";
        assert_eq!(value(by_reason), 4.0);
        for counter in LimitCounter::ALL {
            assert!(parsed.families.contains_key(&format!("turnpike_{}", counter.name())), "{counter:?}");
        }
        for counter in Counter::ALL {
            assert!(parsed.families.contains_key(&format!("turnpike_{}", counter.name())), "{counter:?}");
        }
    }

    #[test]
    fn every_route_counter_is_shown() {
        let shown: Vec<RouteCounter> =
            RouteCounter::STATUSES.into_iter().chain(ROUTE_COUNTS.map(|(counter, _)| counter)).collect();
        for counter in RouteCounter::ALL {
            assert!(shown.contains(counter) || *counter == RouteCounter::MicrosTotal, "{counter:?}");
        }
    }
}
