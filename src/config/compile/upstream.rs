// SPDX-License-Identifier: Apache-2.0
//! `[upstream.NAME]` and upstreams that a route names by address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{
    Algorithm, BreakerPlan, Caps, ClusterPlan, Endpoint, EwmaPlan, HashPlan, OutlierPlan, RetryBudgetPlan,
    SlowStartPlan,
};
use crate::base::{Address, Scheme, UpstreamId, limits};
use crate::config::compile::listener::{HEAD_BYTES_MIN, STREAMS_MAX, WINDOW_MIN};
use crate::config::compile::{Compiler, Section};
use crate::config::location::{Located, Location};
use crate::config::plan::{self, HashKey, HealthPlan, NamePlan, StickyPlan, UpstreamHttp2Plan, UpstreamPlan};
use crate::config::report::Report;
use crate::config::spec::scalar::Scalar;
use crate::config::spec::scalar::Time;
use crate::config::spec::server::Limits;
use crate::config::spec::shape::ShortOr;
use crate::config::spec::upstream::{
    Balance, BreakerSpec, EndpointSpec, HealthSpec, HttpVersions, OutlierSpec, ProxyVersion, SameSite, StickySpec,
    Tolerable, UpstreamHttp2Spec, UpstreamSpec,
};
use crate::wire::h1::{self, Deviation};
use crate::wire::h2::{connection, frame};

/// What an endpoint gets, and how it is spoken to.
#[derive(Clone, Copy)]
struct EndpointDefaults {
    weight: u32,
    backup: bool,
    scheme: Scheme,
}

/// Where an endpoint's text leads.
enum EndpointAddress {
    Fixed(Address, Arc<str>),
    Name(NamePlan),
}

/// The first window of a response that no client reads yet. Few responses are longer, and those get the whole window
/// while they are read.
const FIRST_WINDOW: u32 = 64 * 1024;

impl Compiler<'_> {
    /// Compiles every `[upstream.NAME]`; ids are positions in the file.
    pub(super) fn named_upstreams(&mut self) {
        let draft = self.draft;
        for (name, spec) in draft.spec.upstream.iter() {
            let plan = self.upstream(name, spec);
            self.ids.insert(name.value.clone(), UpstreamId(self.upstreams.len() as u32));
            self.upstreams.push(plan);
        }
    }

    /// The upstream that a route or policy names: one of `[upstream.NAME]`, or an address with its scheme.
    pub(super) fn upstream_of(&mut self, name: &Located<String>) -> Option<UpstreamId> {
        let spec = &self.draft.spec;
        if let Some(found) = self.ids.get(&name.value).copied() {
            self.used.extend(spec.upstream.0.get(found.0 as usize).map(|(name, _)| name.location));
            return Some(found);
        }
        let (scheme, rest) = name.value.split_once("://").unwrap_or(("", ""));
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "h2c" | "grpc" | "grpcs" | "h2" => {
                let report = Report::error(name.location, format!("`{scheme}://` is no scheme here"));
                self.faults.push(report.label("http:// or https://").help(
                    "HTTP/2 without TLS: `[upstream.NAME]` with `endpoints` and `http = \"2\"`, and `to = \"NAME\"`",
                ));
                return None;
            }
            _ => {
                self.known(name, Section::Upstream);
                return None;
            }
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() {
            self.faults.push(
                Report::error(name.location, "an upstream's address has no path")
                    .help("`rewrite = { prefix = \"…\" }` puts one in front"),
            );
            return None;
        }
        let mut plan = self.bare_upstream(&name.value);
        let address = Located { value: authority.to_owned(), location: name.location };
        let terms = EndpointDefaults { weight: 1, backup: false, scheme };
        let way = self.way(&address, terms)?;
        add(&mut plan, way, terms);
        if scheme == Scheme::Https {
            plan.tls = self.upstream_tls(&Default::default(), plan.http, name.location);
        }
        let id = UpstreamId(self.upstreams.len() as u32);
        self.ids.insert(name.value.clone(), id);
        self.upstreams.push(plan);
        Some(id)
    }

    /// An upstream with all defaults and without endpoints.
    fn bare_upstream(&mut self, name: &str) -> UpstreamPlan {
        let spec = UpstreamSpec {
            endpoints: Default::default(),
            balance: Balance::default(),
            hash: None,
            http: HttpVersions::default(),
            http2: Located::nowhere(UpstreamHttp2Spec::default()),
            tls: None,
            health: None,
            outlier: ShortOr::default(),
            breaker: None,
            slow_start: None,
            sticky: None,
            panic_below: None,
            limits: Default::default(),
            pool: Default::default(),
            retry_budget: Default::default(),
            timeouts: Default::default(),
            tolerate: Default::default(),
            proxy_protocol: ProxyVersion::Off,
        };
        self.settings(&Located::nowhere(name.to_owned()), &spec)
    }

    fn upstream(&mut self, name: &Located<String>, spec: &UpstreamSpec) -> UpstreamPlan {
        let mut plan = self.settings(name, spec);
        if spec.endpoints.is_empty() {
            let node = self.draft.root.child("upstream").and_then(|section| section.child(&name.value));
            let around = node.map_or(name.location, |node| node.location);
            self.absent(around, Report::error(name.location, format!("upstream `{}` has no endpoints", name.value)));
        }
        if spec.endpoints.0.len() > limits::ENDPOINTS_MAX {
            self.error(name.location, format!("an upstream has at most {} endpoints", limits::ENDPOINTS_MAX));
        }
        let scheme = if spec.tls.is_some() { Scheme::Https } else { Scheme::Http };
        for endpoint in spec.endpoints.iter() {
            self.endpoint(&mut plan, endpoint, scheme);
        }
        self.check_doubles(spec);
        plan.tls = spec.tls.as_ref().and_then(|tls| self.upstream_tls(&tls.value.0, plan.http, tls.location));
        if plan.http != plan::HttpVersions::Http1 && plan.proxy_protocol.is_some() {
            self.error(name.location, "HTTP/2 shares a connection between clients, and `proxy_protocol` names one");
        }
        plan.hash_key = self.hash_key(spec, name.location);
        plan.sticky = spec.sticky.as_ref().map(|sticky| self.sticky(sticky));
        plan.health = spec.health.as_ref().map(|health| self.health(health));
        let asks_grpc = spec.health.as_ref().and_then(|health| health.value.grpc.as_ref());
        let speaks =
            plan.http == plan::HttpVersions::Http2 || (plan.http != plan::HttpVersions::Http1 && plan.tls.is_some());
        if let (Some(service), false) = (asks_grpc, speaks) {
            self.error(service.location, "gRPC needs `http = \"2\"`");
        }
        plan
    }

    fn settings(&mut self, name: &Located<String>, spec: &UpstreamSpec) -> UpstreamPlan {
        let limits = spec.limits.over(&self.limits);
        let timeouts = spec.timeouts.over(&self.timeouts);
        let tolerance = spec.tolerate.iter().map(|fault| deviation(*fault)).collect();
        let response = h1::Caps { tolerance, ..self.response_caps(&limits, name.location) };
        let shared_name: Arc<str> = name.value.as_str().into();
        let caps = Caps {
            requests: super::whole(limits.requests.0),
            pending: self.share_up(limits.queue.0),
            endpoint_requests: super::whole(limits.endpoint_requests.0),
            endpoint_connections: super::whole(limits.connections.0),
            requests_per_connection: match spec.http {
                HttpVersions::Http1 => 1,
                HttpVersions::Http2 | HttpVersions::Auto => spec.http2.value.streams,
            },
        };
        let cluster = ClusterPlan {
            name: Arc::clone(&shared_name),
            algorithm: algorithm(spec.balance),
            hash_seed: 0,
            panic_below_per_cent: spec.panic_below.as_ref().map_or(0, |share| share.0),
            caps,
            slow_start: spec.slow_start.as_ref().filter(|time| !time.0.is_zero()).map(slow_start),
            outlier: Some(&spec.outlier.0).filter(|outlier| outlier.enabled).map(outlier),
            breaker: spec.breaker.as_ref().map(breaker),
            retry_budget: RetryBudgetPlan {
                per_cent: spec.retry_budget.share.0,
                per_second_min: spec.retry_budget.per_second_min,
            },
        };
        UpstreamPlan {
            name: shared_name,
            fixed: Vec::new(),
            names: Vec::new(),
            cluster,
            tls: None,
            http: match spec.http {
                HttpVersions::Http1 => plan::HttpVersions::Http1,
                HttpVersions::Http2 => plan::HttpVersions::Http2,
                HttpVersions::Auto => plan::HttpVersions::Both,
            },
            http2: self.upstream_http2(&spec.http2, &response),
            response,
            connect: timeouts.connect.0,
            idle_max: spec.pool.idle.0.map(|idle| self.share_up(u64::from(idle)) as usize),
            idle_timeout: spec.pool.idle_timeout.0,
            requests_per_connection_max: count(spec.pool.requests_per_connection.clone().some().map_or(0, |max| max.0)),
            connection_age_max: spec.pool.age_max.clone().some().map(|time| time.0),
            queue_timeout: timeouts.queue.0,
            proxy_protocol: match spec.proxy_protocol {
                ProxyVersion::Off => None,
                ProxyVersion::V1 => Some(plan::ProxyVersion::V1),
                ProxyVersion::V2 => Some(plan::ProxyVersion::V2),
            },
            hash_key: HashKey::None,
            sticky: None,
            health: None,
        }
    }

    /// What the head of a response may be like, in every version.
    fn response_caps(&mut self, limits: &Limits, location: Location) -> h1::Caps {
        let (head, fields) = (limits.response_head.0, limits.response_fields.0);
        if !(HEAD_BYTES_MIN..=limits::HEAD_BYTES_MAX as u64).contains(&head) {
            self.error(location, "`limits.response_head` is 512 bytes to 48KiB");
        }
        if !(1..=limits::FIELDS_MAX as u64).contains(&fields) {
            self.error(location, format!("`limits.response_fields` is 1 to {}", limits::FIELDS_MAX));
        }
        h1::Caps { head_bytes: head as usize, fields: fields as usize, ..h1::Caps::default() }
    }

    fn upstream_http2(&mut self, spec: &Located<UpstreamHttp2Spec>, response: &h1::Caps) -> UpstreamHttp2Plan {
        let UpstreamHttp2Spec { streams, stream_window, ping, ping_timeout } = &spec.value;
        if !(1..=STREAMS_MAX).contains(streams) {
            self.error(spec.location, format!("`http2.streams` is 1 to {STREAMS_MAX}"));
        }
        if !(WINDOW_MIN..=16 << 20).contains(&stream_window.0) {
            self.error(spec.location, "`http2.stream_window` is 64KiB to 16MiB");
        }
        let ping = ping.clone().some().map(|silence| silence.0);
        if ping.is_some_and(|silence| silence.is_zero()) || ping_timeout.0.is_zero() {
            self.error(spec.location, "a ping needs some silence before it, and some time for its answer");
        }
        // A connection carries the requests of many clients. If its window were smaller than the sum of its streams'
        // windows, streams of slow clients would block all others.
        let connection_window = stream_window.0.saturating_mul(u64::from(*streams)).min(u64::from(frame::MAX_31));
        let limits = connection::Config {
            streams_max: *streams,
            stream_window: stream_window.0 as u32,
            stream_window_first: FIRST_WINDOW,
            connection_window: connection_window as u32,
            header_list_max: response.head_bytes as u32,
            ..connection::Config::default()
        };
        UpstreamHttp2Plan { limits, ping, ping_timeout: ping_timeout.0 }
    }

    fn endpoint(&mut self, plan: &mut UpstreamPlan, spec: &Located<ShortOr<EndpointSpec>>, scheme: Scheme) {
        let EndpointSpec { address, weight, backup } = &spec.value.0;
        let location = if address.location == Location::default() { spec.location } else { address.location };
        let address = Located { value: address.value.clone(), location };
        let terms = EndpointDefaults { weight: u32::from(*weight), backup: *backup, scheme };
        let Some(way) = self.way(&address, terms) else { return };
        add(plan, way, terms);
    }

    /// Reads `HOST:PORT`, `unix:PATH` or `srv:NAME`.
    fn way(&mut self, text: &Located<String>, terms: EndpointDefaults) -> Option<EndpointAddress> {
        let written = text.value.trim();
        if written.starts_with("unix:") {
            let fault = match crate::config::spec::scalar::Bind::parse(written) {
                Ok(bind) => return Some(EndpointAddress::Fixed(bind.0, "localhost".into())),
                Err(fault) => fault,
            };
            self.faults.push(Report::error(text.location, ENDPOINT_EXPECTED).label(fault));
            return None;
        }
        if let Some(name) = written.strip_prefix("srv:") {
            let name = self.host_name(text, name.trim_start_matches('/'))?;
            let EndpointDefaults { weight, backup, .. } = terms;
            return Some(EndpointAddress::Name(NamePlan { name, port: 0, srv: true, weight, backup }));
        }
        let written = match (written.split_once("://"), terms.scheme) {
            (Some(("http", rest)), Scheme::Http) | (Some(("https", rest)), Scheme::Https) => rest.trim_end_matches('/'),
            (Some((scheme, _)), _) => {
                let label = match scheme {
                    "https" => "`tls = true` switches TLS on",
                    "h2c" | "grpc" | "h2" => "without scheme; `http = \"2\"` speaks HTTP/2 without TLS",
                    _ => "without scheme",
                };
                self.faults.push(Report::error(text.location, ENDPOINT_EXPECTED).label(label));
                return None;
            }
            (None, _) => written,
        };
        self.host_and_port(text, written, terms)
    }

    fn host_and_port(
        &mut self,
        text: &Located<String>,
        written: &str,
        terms: EndpointDefaults,
    ) -> Option<EndpointAddress> {
        let usual = terms.scheme.default_port();
        if let Ok(address) = written.parse::<SocketAddr>() {
            return Some(EndpointAddress::Fixed(Address::Inet(address), written.into()));
        }
        if let Ok(ip) = written.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            let address = SocketAddr::new(ip, usual);
            return Some(EndpointAddress::Fixed(Address::Inet(address), address.to_string().into()));
        }
        let (host, port) = match written.rsplit_once(':') {
            Some((host, port)) => {
                let Some(port) = port.parse().ok().filter(|port| *port != 0) else {
                    let label = "a port is a number from 1 to 65535";
                    self.faults.push(Report::error(text.location, ENDPOINT_EXPECTED).label(label));
                    return None;
                };
                (host, port)
            }
            None => (written, usual),
        };
        let name = self.host_name(text, host)?;
        let EndpointDefaults { weight, backup, .. } = terms;
        Some(EndpointAddress::Name(NamePlan { name, port, srv: false, weight, backup }))
    }

    fn host_name(&mut self, text: &Located<String>, name: &str) -> Option<Arc<str>> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let labels = name.strip_suffix('.').unwrap_or(name);
        let fits = name.len() <= 253 && labels.split('.').all(|label| (1..=63).contains(&label.len()));
        if !fits || !name.bytes().all(good) {
            let report = Report::error(text.location, ENDPOINT_EXPECTED);
            self.faults.push(report.label(format!("`{name}` is neither an address nor a host name")));
            return None;
        }
        Some(name.to_ascii_lowercase().into())
    }

    /// Reports an address that stands twice: endpoints are told apart by their addresses.
    fn check_doubles(&mut self, spec: &UpstreamSpec) {
        let addresses: Vec<(&str, Location)> =
            spec.endpoints.iter().map(|endpoint| (endpoint.value.0.address.value.trim(), endpoint.location)).collect();
        for (index, (address, location)) in addresses.iter().enumerate() {
            if let Some((_, first)) = addresses[..index].iter().find(|(other, _)| other == address) {
                let report = Report::error(*location, format!("endpoint `{address}` is listed twice"));
                self.faults.push(report.other(*first, "first here").help("a larger `weight` gives it more"));
            }
        }
    }

    fn hash_key(&mut self, spec: &UpstreamSpec, at: Location) -> HashKey {
        match (spec.balance, &spec.hash) {
            (Balance::Hash, None) => HashKey::Source,
            (Balance::Hash, Some(hash)) => self.hash_text(hash).unwrap_or(HashKey::Source),
            (_, Some(hash)) => {
                let report = Report::error(hash.location, "`hash` is only used with `balance = \"hash\"`");
                self.faults.push(report.other(at, "this upstream balances in another way"));
                HashKey::None
            }
            (_, None) => HashKey::None,
        }
    }

    fn hash_text(&mut self, hash: &Located<String>) -> Option<HashKey> {
        let (kind, name) = hash.value.split_once(':').unwrap_or((&hash.value, ""));
        let named = Located { value: name.trim().to_owned(), location: hash.location };
        match kind {
            "source" if name.is_empty() => Some(HashKey::Source),
            "path" if name.is_empty() => Some(HashKey::Path),
            "header" => self.token(&named, "field").then(|| HashKey::Header(named.value.as_str().into())),
            "cookie" => self.token(&named, "cookie").then(|| HashKey::Cookie(named.value.as_str().into())),
            _ => {
                let report = Report::error(hash.location, format!("`{}` is not a key to hash by", hash.value));
                self.faults.push(report.suggest(kind, ["source", "path", "header:NAME", "cookie:NAME"]));
                None
            }
        }
    }

    fn sticky(&mut self, spec: &StickySpec) -> StickyPlan {
        self.token(&spec.cookie, "cookie");
        if spec.path.value.bytes().any(|byte| !(0x20..0x7f).contains(&byte) || byte == b';') {
            self.error(spec.path.location, "a cookie's path has no `;`, spaces or control characters");
        }
        let mut attributes = format!("; Path={}", spec.path.value);
        if let Some(age) = &spec.max_age {
            attributes.push_str(&format!("; Max-Age={}", age.0.as_secs()));
        }
        if spec.http_only {
            attributes.push_str("; HttpOnly");
        }
        if spec.secure {
            attributes.push_str("; Secure");
        }
        attributes.push_str(match spec.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        StickyPlan { cookie: spec.cookie.value.as_str().into(), attributes: attributes.into() }
    }

    fn health(&mut self, spec: &Located<HealthSpec>) -> HealthPlan {
        let health = &spec.value;
        let target_good = |text: &str| text.starts_with('/') && text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        if !target_good(&health.path.value) {
            self.error(health.path.location, "a path begins with `/` and has no spaces or control characters");
        }
        if let Some(host) = health.host.as_ref().filter(|host| !host.value.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            self.error(host.location, "a host has no spaces or control characters");
        }
        if health.interval.value.0 < INTERVAL_MIN {
            self.error(health.interval.location, "a health check's interval is at least 100ms");
        }
        if health.rise == 0 || health.fall == 0 {
            self.error(spec.location, "`rise` and `fall` are at least 1");
        }
        HealthPlan {
            grpc: health.grpc.as_ref().map(|service| service.value.as_str().into()),
            path: health.path.value.as_str().into(),
            host: health.host.as_ref().map(|host| host.value.as_str().into()),
            interval: health.interval.value.0,
            timeout: health.timeout.0,
            rise: health.rise,
            fall: health.fall,
            statuses: health.status.iter().map(|range| range.0).collect(),
            body_contains: health.body_contains.as_deref().map(Arc::from),
        }
    }
}

fn add(plan: &mut UpstreamPlan, way: EndpointAddress, terms: EndpointDefaults) {
    let EndpointDefaults { weight, backup, .. } = terms;
    match way {
        EndpointAddress::Fixed(address, name) => plan.fixed.push(Endpoint { address, name, weight, backup }),
        EndpointAddress::Name(name) => plan.names.push(name),
    }
}

fn algorithm(balance: Balance) -> Algorithm {
    match balance {
        Balance::RoundRobin => Algorithm::RoundRobin,
        Balance::LeastRequests => Algorithm::LeastRequests,
        Balance::P2c => Algorithm::TwoChoices,
        Balance::Ewma => Algorithm::PeakEwma(EwmaPlan::default()),
        Balance::Hash => Algorithm::Hash(HashPlan::default()),
    }
}

fn slow_start(window: &Time) -> SlowStartPlan {
    SlowStartPlan { window: window.0, ..SlowStartPlan::default() }
}

fn outlier(spec: &OutlierSpec) -> OutlierPlan {
    OutlierPlan {
        consecutive_errors: spec.errors,
        consecutive_gateway_errors: spec.gateway_errors,
        consecutive_connect_failures: spec.connect_failures,
        failure_per_cent: spec.failure_rate.0,
        requests_min: spec.requests_min.max(1),
        window: spec.window.0,
        base_ejection: spec.rest.0,
        max_ejection: spec.rest_max.0,
        ejected_max_per_cent: spec.ejected_max.0,
    }
}

fn breaker(spec: &BreakerSpec) -> BreakerPlan {
    BreakerPlan {
        consecutive_failures: spec.failures,
        failure_per_cent: spec.failure_rate.0,
        requests_min: spec.requests_min.max(1),
        window: spec.window.0,
        open: spec.open.0,
        open_max: spec.open_max.0,
        trials: spec.trials.max(1),
        closes_after: spec.closes_after.max(1),
    }
}

const fn deviation(fault: Tolerable) -> Deviation {
    match fault {
        Tolerable::LengthWithChunked => Deviation::LengthWithChunked,
        Tolerable::RepeatedLength => Deviation::RepeatedLength,
        Tolerable::ChunkSizeSpaces => Deviation::ChunkSizeSpaces,
        Tolerable::LineFeeds => Deviation::LineFeeds,
    }
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

const ENDPOINT_EXPECTED: &str = concat!(
    "expected an endpoint such as \"10.0.0.1:80\", \"api.internal:8080\", ",
    "\"unix:/run/api.sock\" or \"srv:_http._tcp.api\""
);
/// The shortest interval of health checks; more frequent checks would be a load of their own.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
