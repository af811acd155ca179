// SPDX-License-Identifier: Apache-2.0
//! Warns where requests can get around the policies of a route: a request that the route does not take goes to a wider
//! route without these policies, and so to the same upstream.
//!
//! Requests that are close to those of a route (another spelling of the path, another method, without the fields that
//! it asks for) are looked up in the listener's own table, so precedence and hosts count as they do for real requests.

use std::mem::discriminant;
use std::net::{IpAddr, Ipv4Addr};

use crate::base::{PolicyId, RouteId, limits};
use crate::config::compile::Compiler;
use crate::config::compile::policy::CompiledPolicy;
use crate::config::compile::route::CompiledRoute;
use crate::config::plan::{Action, ListenerPlan};
use crate::config::report::Report;
use crate::policy::Phase;
use crate::route::{BodyView, HostPattern, Params, PathPattern, RouteMatch, RouteQuery};
use crate::wire::h1::{Caps, Parsed, request};
use crate::wire::head::{Request, RequestHead};
use crate::wire::target::{self, Normalised};

/// Routes of one listener that are checked; those behind them are not, because each costs several look-ups.
const ROUTES_MAX: usize = 2_000;

/// A request that is close to those of a route.
struct Probe {
    method: String,
    path: String,
    /// How it differs.
    how: &'static str,
}

impl Compiler<'_> {
    /// Warns of each route of a listener whose policies can be got around.
    pub(super) fn check_bypasses(
        &mut self,
        listener: &ListenerPlan,
        routes: &[CompiledRoute],
        policies: &[CompiledPolicy],
    ) {
        let mine = routes.iter().filter(|route| route.is_of(&listener.name));
        let guarded = mine.filter(|route| !missing(route, listener, &[], policies).is_empty());
        for route in guarded.take(ROUTES_MAX) {
            let found = probes(route).into_iter().find_map(|probe| {
                let other = found(listener, route, &probe)?;
                let other = routes.iter().find(|route| route.rules[0].route == other)?;
                let missing = missing(route, listener, &other.plan.policies, policies);
                let first = *missing.first().filter(|_| same_upstream(route, other))?;
                Some((probe, other, &*policies[first.0 as usize].plan.name))
            });
            let Some((probe, other, policy)) = found else { continue };
            let Probe { method, path, how } = probe;
            let title = format!("policy `{policy}` of route `{}` can be got around {how}", route.plan.name);
            let report = Report::warning(route.location, title)
                .label(format!("`{method} {path}` goes to the same upstream without it"))
                .other(other.location, "by this route")
                .help("name the policy in that route too, or in `policies` of the listener");
            self.faults.push(match how {
                SPELLING => report.help("or refuse such paths: `paths = \"strict\"` on the listener"),
                _ => report,
            });
        }
    }
}

/// Policies of this route that refuse requests, where `others` and the listener have none of their kind.
fn missing(
    route: &CompiledRoute,
    listener: &ListenerPlan,
    others: &[(Phase, PolicyId)],
    policies: &[CompiledPolicy],
) -> Vec<PolicyId> {
    let policy = |id: &PolicyId| &policies[id.0 as usize].plan.policy;
    let same_kind = |one: &PolicyId, two: &PolicyId| discriminant(policy(one)) == discriminant(policy(two));
    let elsewhere = |id: &PolicyId| listener.policies.iter().chain(others).any(|(_, other)| same_kind(id, other));
    let own = route.plan.policies.iter().map(|(_, id)| id);
    own.filter(|id| policy(id).protects() && !elsewhere(id)).copied().collect()
}

/// Can both send a request to one upstream?
fn same_upstream(one: &CompiledRoute, two: &CompiledRoute) -> bool {
    let (Action::Proxy(one), Action::Proxy(two)) = (&one.plan.action, &two.plan.action) else { return false };
    one.upstreams.iter().any(|upstream| two.upstreams.contains(upstream))
}

const SPELLING: &str = "by another spelling of the path";

fn probes(route: &CompiledRoute) -> Vec<Probe> {
    let rule = &route.rules[0];
    let Some(path) = rule.path.sample() else { return Vec::new() };
    let method = rule.methods.first().map_or("GET", |method| &**method);
    let probe = |method: &str, path: &str, how| Probe { method: method.to_owned(), path: path.to_owned(), how };
    let mut probes = Vec::new();
    if !(rule.headers.is_empty() && rule.query.is_empty() && rule.cookies.is_empty() && rule.sources.is_empty())
        || rule.further() > 0
        || rule.host_regex.is_some()
    {
        probes.push(probe(method, &path, "by requests without what the route asks for besides the path"));
    }
    if !rule.methods.is_empty() {
        let others = ["GET", "POST", "PUT", "DELETE"].into_iter();
        let others = others.filter(|other| rule.methods.iter().all(|method| **method != **other));
        probes.extend(others.map(|other| probe(other, &path, "by another method")));
    }
    let bare = path.trim_end_matches('/');
    // Servers of gRPC compare paths byte by byte.
    let is_grpc = matches!(&route.plan.action, Action::Proxy(proxy) if proxy.grpc.is_some());
    if bare.is_empty() || is_grpc {
        return probes;
    }
    match rule.path {
        PathPattern::Exact(_) | PathPattern::Template(_) if !path.ends_with('/') => {
            probes.push(probe(method, &format!("{bare}/"), "by a slash at the end of the path"));
        }
        PathPattern::Exact(_)
        | PathPattern::Template(_)
        | PathPattern::Prefix(_)
        | PathPattern::TextPrefix(_)
        | PathPattern::Regex(_) => {}
    }
    for spelt in [format!("{bare};x"), format!("/;x{path}"), format!("{bare}%2Fx")] {
        probes.push(probe(method, &spelt, SPELLING));
    }
    probes
}

/// The other route that takes the probe; none where nobody does, or the request is refused before.
fn found(listener: &ListenerPlan, route: &CompiledRoute, probe: &Probe) -> Option<RouteId> {
    let host = match route.rules[0].hosts.first() {
        Some(HostPattern::Exact(name)) => name.to_string(),
        Some(HostPattern::Suffix(suffix)) => format!("x{suffix}"),
        Some(HostPattern::Any) | None => "x".to_owned(),
    };
    let bytes = format!("{} {} HTTP/1.1\r\nHost: x\r\n\r\n", probe.method, probe.path).into_bytes();
    let caps = Caps {
        head_bytes: limits::HEAD_BYTES_MAX,
        request_line_bytes: limits::HEAD_BYTES_MAX,
        fields: 1,
        ..Caps::default()
    };
    let mut head = RequestHead::default();
    let Ok(Parsed::Complete) = request::parse(&bytes, &caps, &mut head) else { return None };
    let request = Request { bytes: &bytes, head: &head };
    let mut normal = Vec::new();
    let path = match target::normalise(request.path(), &listener.path_rules, &mut normal) {
        Ok(Normalised::Unchanged) => request.path(),
        Ok(Normalised::Written) => &normal,
        Err(_) => return None,
    };
    let source = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let wanted = RouteQuery { request, host: host.as_bytes(), path, source, body: BodyView::Unread };
    match listener.table.find(&wanted, &mut Params::default()) {
        RouteMatch::Route(id) => (id != route.rules[0].route).then_some(id),
        RouteMatch::MethodNotAllowed(_) | RouteMatch::None => None,
    }
}
