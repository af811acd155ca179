// SPDX-License-Identifier: Apache-2.0
//! `[[listener]]`, with the routing table of each.

use std::collections::{HashMap, HashSet};

use crate::base::limits::PARAMS_MAX;
use crate::base::{Address, Pace, PolicyId, limits};
use crate::cel::Program;
use crate::config::compile::Compiler;
use crate::config::compile::policy::CompiledPolicy;
use crate::config::compile::route::CompiledRoute;
use crate::config::location::{Located, Location};
use crate::config::plan::{Alternatives, ClientTimeouts, Http2Plan, IdPlan, LeastRate, ListenerPlan, Underscores};
use crate::config::report::{Report, Severity};
use crate::config::spec::listener as spec;
use crate::config::spec::listener::{Http2Spec, ListenerSpec};
use crate::config::spec::scalar::{Limit, Scalar, Size};
use crate::config::spec::server::{Limits, Timeouts};
use crate::policy::Phase;
use crate::policy::protected::Protected;
use crate::route::{self, Rule, Table};
use crate::wire::forwarded::{ClientSource, ForwardedPlan, Treatment};
use crate::wire::h1::{Caps, RawUtf8};
use crate::wire::h2::connection;
use crate::wire::target::{Backslash, EncodedSlash, PathRules, Semicolon, Slashes};

/// Our name in `Via`.
const VIA_NAME: &str = "turnpike";
/// Streams of one connection; each may have an exchange.
pub(super) const STREAMS_MAX: u32 = 1_024;
/// The window that RFC 9113 gives every connection and stream.
pub(super) const WINDOW_MIN: u64 = 64 << 10;

impl Compiler<'_> {
    /// Compiles every listener that is right so far.
    pub(super) fn listeners(&mut self, routes: &[CompiledRoute], policies: &[CompiledPolicy]) -> Vec<ListenerPlan> {
        let draft = self.draft;
        // A listener without a name is known by its address, which `check_binds` checks.
        let named: Vec<Located<String>> =
            draft.spec.listener.iter().filter_map(|listener| listener.value.name.clone()).collect();
        self.unique("listener", &named);
        if draft.root.child("listener").is_none() {
            let report = Report::placeless("no listener: nothing would be served");
            self.faults.push(report.help("[[listener]]\nbind = \"127.0.0.1:8080\""));
        }
        self.check_binds();
        let mut plans = Vec::new();
        let mut said = HashSet::new();
        for spec in &draft.spec.listener {
            let table = self.table(&spec.value.shown_name(), routes, &mut said);
            let name = spec.value.shown_name();
            let mut mine = routes.iter().filter(|route| route.is_of(&name));
            if mine.next().is_none() && self.faults.errors() == 0 {
                let location = spec.value.name.as_ref().map_or(spec.location, |name| name.location);
                let report = Report::warning(location, format!("listener `{name}` has no routes"));
                self.faults.push(report.label("every request would get 404"));
            }
            let alternatives = spec.value.authenticate.iter().flat_map(|spec| spec.value.any.iter());
            let names = spec.value.policies.iter().chain(alternatives);
            let (asked, alternatives) = self.listener_policies(&spec.value, policies);
            let mine = routes.iter().filter(|route| route.is_of(&name));
            for route in mine {
                self.check_named_once(names.clone(), route, policies);
                self.check_known_before(&name, &asked, route);
            }
            let protected = self.protected_by(names.clone(), policies);
            let plan = self.listener(spec, table);
            let plan = plan.map(|plan| ListenerPlan { policies: asked, alternatives, protected, ..plan });
            if let Some(plan) = &plan {
                self.check_bypasses(plan, routes, policies);
            }
            plans.extend(plan);
        }
        plans
    }

    fn listener(&mut self, spec: &Located<ListenerSpec>, table: Table) -> Option<ListenerPlan> {
        let listener = &spec.value;
        if listener.bind.is_empty() {
            self.absent(spec.location, Report::error(spec.location, "`bind` is empty"));
            return None;
        }
        let limits = listener.limits.value.over(&self.limits);
        let timeouts = listener.timeouts.over(&self.timeouts);
        let forwarded = self.forwarded(listener);
        let server_field = match &listener.server_header {
            Some(text) => self.field_value(text, &[]).map(|_| text.value.as_str().into()),
            None => None,
        };
        let proxy = listener.proxy_protocol.as_ref();
        Some(ListenerPlan {
            name: listener.shown_name().into(),
            bind: listener.bind.iter().map(|bind| bind.value.0.clone()).collect(),
            unix_mode: listener.unix_mode.as_ref().map(|mode| mode.0),
            backlog: listener.backlog.unwrap_or(BACKLOG),
            tls: listener.tls.as_ref().and_then(|tls| self.listener_tls(&listener.shown_name(), tls)),
            proxy_protocol_from: proxy.map_or_else(Vec::new, |proxy| proxy.from.iter().map(|from| from.0).collect()),
            policies: Vec::new(),
            alternatives: Alternatives::default(),
            protected: Protected::default(),
            table,
            forwarded,
            ids: IdPlan {
                request_id: listener.request_id,
                traceparent: listener.traceparent,
                via: listener.via.then_some(VIA_NAME),
            },
            path_rules: path_rules(&listener.paths.0),
            caps: Caps {
                raw_utf8: match listener.paths.0.raw_utf8 {
                    spec::RawUtf8::Encode => RawUtf8::Encode,
                    spec::RawUtf8::Reject => RawUtf8::Reject,
                },
                ..self.caps(&limits, listener.limits.location)
            },
            underscores: if listener.underscores_in_headers { Underscores::Kept } else { Underscores::Dropped },
            timeouts: client_timeouts(&timeouts, &limits),
            http2: self.http2(&listener.http2, &limits),
            routing_body_max: self.routing_body(&limits, listener.limits.location),
            requests_max: capped(limits.requests_per_connection.some().map_or(0, |count| count.0)),
            connections_per_address_max: capped(limits.connections_per_address.some().map_or(0, |count| count.0)),
            server_field,
        })
    }

    /// A route that asks who calls needs a policy of the listener that says so, because others are asked too late.
    fn check_known_before(&mut self, listener: &str, policies: &[(Phase, PolicyId)], route: &CompiledRoute) {
        let asks = |condition: &Option<Program>| condition.as_ref().is_some_and(Program::names_consumer);
        let asks = |rule: &Rule| asks(&rule.condition) || rule.not.iter().any(|not| asks(&not.condition));
        if !route.rules.iter().any(asks) || policies.iter().any(|(phase, _)| *phase == Phase::Identify) {
            return;
        }
        let title = format!("route `{}` asks who calls, which listener `{listener}` does not know", route.plan.name);
        let report = Report::error(route.location, title).label("routes are found before their own policies are asked");
        self.faults.push(
            report.help("name a policy that identifies callers, such as `api_key`, in `policies` of the listener"),
        );
    }

    /// A policy that a listener and one of its routes name would count a request twice, and change it twice.
    fn check_named_once<'n>(
        &mut self,
        names: impl Iterator<Item = &'n Located<String>>,
        route: &CompiledRoute,
        policies: &[CompiledPolicy],
    ) {
        for name in names {
            let named = |id: &PolicyId| *policies[id.0 as usize].plan.name == *name.value;
            if route.plan.policies.iter().any(|(_, id)| named(id)) {
                let title =
                    format!("`{}` is a policy of the listener and of its route `{}`", name.value, route.plan.name);
                let report = Report::error(name.location, title).label("each request would be asked twice");
                self.faults.push(report.other(route.location, "the route"));
            }
        }
    }

    /// The routing table of one listener's routes. A report about a pair of routes is made once, not for each listener.
    fn table(&mut self, listener: &str, routes: &[CompiledRoute], said: &mut HashSet<String>) -> Table {
        let mine: Vec<&CompiledRoute> = routes.iter().filter(|route| route.is_of(listener)).collect();
        let mut rules: Vec<Rule> = mine.iter().flat_map(|route| route.rules.iter().cloned()).collect();
        add_head(&mut rules);
        let locations: HashMap<&str, Location> = mine.iter().map(|route| (&*route.plan.name, route.location)).collect();
        let built = Table::build(rules);
        for report in built.reports {
            let report = table_report(&report, |name| locations.get(name).copied().unwrap_or_default());
            // After other errors this may be wrong: a route's matchers may not have been read.
            let certain = report.severity == Severity::Error || self.faults.errors() == 0;
            if certain && said.insert(report.title.clone()) {
                self.faults.push(report);
            }
        }
        built.table
    }

    /// No two listeners may have the same address. This includes port 0, because such an address is one socket, and
    /// only one listener would get it.
    fn check_binds(&mut self) {
        let mut seen: HashMap<&Address, Location> = HashMap::new();
        let draft = self.draft;
        for bind in draft.spec.listener.iter().flat_map(|listener| listener.value.bind.iter()) {
            if let Some(first) = seen.insert(&bind.value.0, bind.location) {
                let report = Report::error(bind.location, format!("`{}` has two listeners", bind.value.show()));
                self.faults.push(report.other(first, "first here"));
            }
        }
        self.check_wildcards();
        if let Some(bind) = draft.spec.admin.as_ref().map(|admin| &admin.bind)
            && let Some(listener) = seen.iter().find(|(address, _)| same_port(address, &bind.value.0))
        {
            let report = Report::error(bind.location, "the admin listener and a listener have the same port");
            self.faults.push(report.other(*listener.1, "the listener"));
        }
    }

    /// Warns where a listener is bound to all addresses of the machine and another to one of them with the same port:
    /// both can be bound (`SO_REUSEPORT`), and Linux gives a connection to the one that names its address.
    fn check_wildcards(&mut self) {
        let draft = self.draft;
        let binds = |listener: usize| draft.spec.listener[listener].value.bind.iter();
        let port_of = |address: &Address| match address {
            Address::Inet(inet) if inet.port() != 0 => Some((inet.port(), inet.is_ipv6())),
            Address::Inet(_) | Address::Unix(_) => None,
        };
        let mut wildcards = HashMap::new();
        for (listener, bind) in (0..draft.spec.listener.len()).flat_map(|at| binds(at).map(move |bind| (at, bind))) {
            if matches!(&bind.value.0, Address::Inet(inet) if inet.ip().is_unspecified()) {
                wildcards.extend(port_of(&bind.value.0).map(|port| (port, (listener, bind))));
            }
        }
        for (listener, bind) in (0..draft.spec.listener.len()).flat_map(|at| binds(at).map(move |bind| (at, bind))) {
            let Some((other, wide)) = port_of(&bind.value.0).and_then(|port| wildcards.get(&port)) else { continue };
            if *other == listener || wide.value == bind.value {
                continue;
            }
            let (narrow, wide_words) = (bind.value.show(), wide.value.show());
            let title = format!("`{wide_words}` of another listener includes `{narrow}`");
            let report = Report::warning(bind.location, title)
                .label("connections to this address come here, all others with this port go there");
            self.faults.push(report.other(wide.location, "the other listener"));
        }
    }

    /// The largest body that is read to find a route.
    fn routing_body(&mut self, limits: &Limits, location: Location) -> u64 {
        if !(1..=limits::ROUTING_BODY_BYTES_MAX).contains(&limits.routing_body.0) {
            self.error(location, "`limits.routing_body` is 1 byte to 8MiB");
        }
        limits.routing_body.0
    }

    fn caps(&mut self, limits: &Limits, location: Location) -> Caps {
        let head = limits.head.0;
        if !(HEAD_BYTES_MIN..=limits::HEAD_BYTES_MAX as u64).contains(&head) {
            self.error(location, "`limits.head` is 512 bytes to 48KiB");
        }
        if limits.request_line.0 > head {
            self.error(location, "`limits.request_line` is a part of the head, and cannot be above `limits.head`");
        }
        if !(1..=limits::FIELDS_MAX as u64).contains(&limits.fields.0) {
            self.error(location, format!("`limits.fields` is 1 to {}", limits::FIELDS_MAX));
        }
        Caps {
            head_bytes: head as usize,
            request_line_bytes: limits.request_line.0 as usize,
            fields: limits.fields.0 as usize,
            ..Caps::default()
        }
    }

    fn http2(&mut self, spec: &Located<Http2Spec>, limits: &Limits) -> Http2Plan {
        let Http2Spec { cleartext, streams, stream_window, connection_window } = &spec.value;
        let fallback = connection::Config::default();
        let streams_max = streams.unwrap_or(fallback.streams_max);
        if !(1..=STREAMS_MAX).contains(&streams_max) {
            self.error(spec.location, format!("`http2.streams` is 1 to {STREAMS_MAX}"));
        }
        let stream_window = stream_window.as_ref().map_or(u64::from(fallback.stream_window), |size| size.0);
        if !(WINDOW_MIN..=16 << 20).contains(&stream_window) {
            self.error(spec.location, "`http2.stream_window` is 64KiB to 16MiB");
        }
        let connection_window = connection_window.as_ref().map_or(u64::from(fallback.connection_window), |size| size.0);
        if !(WINDOW_MIN..=64 << 20).contains(&connection_window) {
            self.error(spec.location, "`http2.connection_window` is 64KiB to 64MiB");
        }
        let limits = connection::Config {
            streams_max,
            stream_window: stream_window as u32,
            connection_window: connection_window as u32,
            header_list_max: limits.head.0 as u32,
            connect_protocol: true,
            ..fallback
        };
        Http2Plan { cleartext: *cleartext, limits }
    }

    fn forwarded(&mut self, listener: &ListenerSpec) -> ForwardedPlan {
        let spec = &listener.forward;
        let source = match spec.client_from.value.to_ascii_lowercase().as_str() {
            "none" => ClientSource::None,
            "x-forwarded-for" => ClientSource::XForwardedFor,
            "forwarded" => ClientSource::Forwarded,
            "x-real-ip" => ClientSource::XRealIp,
            field => {
                self.token(&spec.client_from, "field");
                ClientSource::Field(field.as_bytes().into())
            }
        };
        ForwardedPlan {
            trusted: listener.trusted_proxies.iter().map(|network| network.0).collect(),
            trusts_unix: spec.trust_unix,
            source,
            x_forwarded_for: treatment(spec.x_forwarded_for),
            x_forwarded_proto: treatment(spec.x_forwarded_proto),
            x_forwarded_host: treatment(spec.x_forwarded_host),
            x_forwarded_port: treatment(spec.x_forwarded_port),
            x_real_ip: treatment(spec.x_real_ip),
            forwarded: treatment(spec.forwarded),
        }
    }
}

/// Can only one socket listen at both?
fn same_port(one: &Address, two: &Address) -> bool {
    match (one, two) {
        (Address::Inet(one), Address::Inet(two)) => {
            let any = one.ip().is_unspecified() || two.ip().is_unspecified();
            one.port() == two.port() && one.port() != 0 && (any || one.ip() == two.ip())
        }
        (Address::Unix(one), Address::Unix(two)) => one == two,
        (Address::Inet(_), Address::Unix(_)) | (Address::Unix(_), Address::Inet(_)) => false,
    }
}

/// HEAD is allowed where GET is (RFC 9110 section 9.3.2), unless another rule for the same hosts and path names it.
fn add_head(rules: &mut [Rule]) {
    let names = |rule: &Rule, method: &str| rule.methods.iter().any(|token| &**token == method);
    let place = |rule: &Rule| (rule.hosts.clone(), rule.path.to_string());
    let of_its_own: HashSet<_> = rules.iter().filter(|rule| names(rule, "HEAD")).map(place).collect();
    for rule in rules.iter_mut().filter(|rule| names(rule, "GET") && !names(rule, "HEAD")) {
        if of_its_own.is_empty() || !of_its_own.contains(&place(rule)) {
            rule.methods.push("HEAD".into());
        }
    }
}

fn table_report(report: &route::Report, location: impl Fn(&str) -> Location) -> Report {
    match report {
        route::Report::Conflict { first, second } => {
            let title = format!("route `{second}` gets nothing: `{first}` takes the same requests");
            Report::warning(location(second), title)
                .label("equal precedence; the smaller name wins")
                .other(location(first), "takes them all")
                .help("`priority` decides, or a matcher that tells them apart")
        }
        route::Report::Overlap { first, second } => {
            let title =
                format!("routes `{first}` and `{second}` both take some requests, and nothing but their names decides");
            Report::warning(location(second), title)
                .label("gets the rest")
                .other(location(first), "gets those")
                .help("`priority` decides, or a matcher that tells them apart")
        }
        route::Report::Unreachable { rule, host, by } => {
            let title = match host {
                route::HostPattern::Any => format!("route `{rule}` gets nothing: `{by}` takes all its requests"),
                route::HostPattern::Exact(_) | route::HostPattern::Suffix(_) => {
                    format!("route `{rule}` gets nothing for the host `{host}`: `{by}` takes all its requests")
                }
            };
            Report::warning(location(rule), title).other(location(by), "has the higher precedence")
        }
        route::Report::TooManyParams { rule } => {
            Report::error(location(rule), format!("a path has at most {PARAMS_MAX} parameters"))
        }
        route::Report::TooManyMethods { rule } => {
            Report::error(location(rule), "the routes of a listener name too many unusual methods")
        }
    }
}

fn path_rules(spec: &spec::PathsSpec) -> PathRules {
    PathRules {
        slashes: match spec.merge_slashes {
            None => Slashes::Match,
            Some(true) => Slashes::Merge,
            Some(false) => Slashes::Keep,
        },
        encoded_slash: match spec.encoded_slash {
            spec::EncodedSlash::Keep => EncodedSlash::Keep,
            spec::EncodedSlash::Decode => EncodedSlash::Decode,
            spec::EncodedSlash::Reject => EncodedSlash::Reject,
        },
        backslash: match spec.backslash {
            spec::Backslash::Reject => Backslash::Reject,
            spec::Backslash::Keep => Backslash::Keep,
            spec::Backslash::Slash => Backslash::Slash,
        },
        semicolon: match spec.semicolon {
            spec::Semicolon::Keep => Semicolon::Keep,
            spec::Semicolon::Reject => Semicolon::Reject,
        },
    }
}

fn treatment(spec: spec::Treatment) -> Treatment {
    match spec {
        spec::Treatment::Write => Treatment::Write,
        spec::Treatment::Keep => Treatment::Keep,
        spec::Treatment::Drop => Treatment::Drop,
    }
}

fn client_timeouts(timeouts: &Timeouts, limits: &Limits) -> ClientTimeouts {
    let rate = |limit: &Limit<Size>| capped(limit.clone().some().map_or(0, |size| size.0));
    let grace = timeouts.rate_grace.0;
    ClientTimeouts {
        handshake: timeouts.handshake.0,
        head: timeouts.head.0,
        body_idle: timeouts.body.0,
        keep_alive: timeouts.keep_alive.0,
        write: Pace::idle(timeouts.write.0).with_rate(rate(&limits.min_download_rate), grace),
        upload: LeastRate { bytes_a_second: rate(&limits.min_upload_rate), grace },
    }
}

fn capped(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// As the kernel's own default for `net.core.somaxconn`.
const BACKLOG: u32 = 4_096;
/// Below this no browser's request would fit.
pub(super) const HEAD_BYTES_MIN: u64 = 512;
