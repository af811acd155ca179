// SPDX-License-Identifier: Apache-2.0
//! Compiles `[[route]]`: the rules of the routing tables, and the actions of their requests.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::{PolicyId, RouteId};
use crate::config::compile::fields::Head;
use crate::config::compile::policy::CompiledPolicy;
use crate::config::compile::{Compiler, Section};
use crate::config::habits;
use crate::config::location::{Located, Location};
use crate::config::matching::{self, Misfit};
use crate::config::plan::{Action, Alternatives, RoutePlan, UsageMode};
use crate::config::report::Report;
use crate::config::spec::listener::ListenerSpec;
use crate::config::spec::route::{MatchSpec, MatcherSpec, RouteSpec};
use crate::config::spec::shape::{Many, Named, ShortOr};
use crate::policy::Phase;
use crate::route::{FieldMatch, HostError, HostPattern, PathPattern, PatternError, Rule, ValueMatch, WholeRegex};
use crate::wire::head::Method;
use crate::wire::target::{self, EncodedSlash, Normalised, PathRules};

/// A compiled route and where it came from.
pub(super) struct CompiledRoute {
    /// What happens.
    pub plan: RoutePlan,
    /// Which requests, at least one rule; not yet in a table.
    pub rules: Vec<Rule>,
    /// Names of the listeners that have it; empty for all.
    pub listeners: Vec<Located<String>>,
    /// Where reports about it point.
    pub location: Location,
}

impl CompiledRoute {
    /// Does the listener of that name have it?
    pub(super) fn is_of(&self, listener: &str) -> bool {
        is_of(&self.listeners, listener)
    }
}

/// Does the listener of that name have a route that names these?
pub(super) fn is_of(listeners: &[Located<String>], name: &str) -> bool {
    listeners.is_empty() || listeners.iter().any(|listener| listener.value == name)
}

/// The policies of a route, and which of them are alternatives.
type RoutePolicies = (Vec<(Phase, PolicyId)>, Alternatives);

impl Compiler<'_> {
    /// Compiles every route that is right so far.
    pub(super) fn routes(&mut self, policies: &[CompiledPolicy]) -> Vec<CompiledRoute> {
        let draft = self.draft;
        let explicit: Vec<Located<String>> =
            draft.spec.route.iter().filter_map(|route| route.value.name.clone()).collect();
        self.unique("route", &explicit);
        let mut taken: HashSet<String> = explicit.into_iter().map(|name| name.value).collect();
        let mut routes: Vec<CompiledRoute> = Vec::with_capacity(draft.spec.route.len());
        for spec in &draft.spec.route {
            let own = spec.value.name.as_ref().map(|name| name.value.clone());
            let name = own.unwrap_or_else(|| free_name(&spec.value, &mut taken));
            let id = RouteId(routes.len() as u32);
            routes.extend(self.route(spec, &name, id, policies));
        }
        routes
    }

    fn route(
        &mut self,
        spec: &Located<RouteSpec>,
        name: &str,
        id: RouteId,
        policies: &[CompiledPolicy],
    ) -> Option<CompiledRoute> {
        let (route, draft) = (&spec.value, self.draft);
        let rules = self.rules(spec, name, id);
        let first = rules.as_ref().and_then(|rules| rules.first());
        let names: Vec<Box<str>> = first.map(|rule| rule.params.clone()).unwrap_or_default();
        let params: Vec<&str> = names.iter().map(|name| &**name).collect();
        let action = self.action(spec, name, &params);
        let all = policies;
        let (policies, alternatives) = self.route_policies(route, all);
        let authenticate = route.authenticate.iter().flat_map(|spec| spec.value.any.iter());
        let named = draft.spec.defaults.policies.iter().chain(route.policies.iter()).chain(authenticate);
        let protected = self.protected_by(named, all);
        let mut plans = policies.iter().map(|(_, PolicyId(at))| &all[*at as usize].plan.policy);
        let compresses = plans.clone().any(|policy| policy.codes_content());
        let scanned = plans.clone().filter_map(|policy| policy.scans()).max();
        let allowed = plans.clone().map(|policy| policy.body_bytes_max()).min().unwrap_or(u64::MAX);
        let answers_preflights = plans.any(|policy| policy.answers_preflights());
        let request_fields = self.field_changes(&route.request_headers, Head::Request, &params);
        let response_fields = self.field_changes(&route.response_headers, Head::Response, &params);
        for listener in route.listeners.iter() {
            self.known(listener, Section::Listener);
        }
        let body = route.limits.over(&self.limits).body;
        let action = action?;
        let calls = matches!(&action, Action::Proxy(proxy) if proxy.grpc.is_some());
        let mut readers = policies.iter().map(|(_, PolicyId(at))| &all[*at as usize].plan);
        if let Some(reader) = readers.find(|plan| calls && plan.policy.reads_body()) {
            let title = format!("`{}` reads the body of a request, and that of a gRPC call is a stream", reader.name);
            self.error(spec.location, title);
        }
        let usage = self.usage_mode(route.usage.as_ref());
        let version = self.version_of_route(spec, policies.iter().map(|(_, PolicyId(at))| &all[*at as usize].plan));
        let plan = RoutePlan {
            name: name.into(),
            action,
            policies,
            alternatives,
            protected,
            request_fields,
            response_fields,
            body_bytes_max: body.some().map_or(u64::MAX, |size| size.0).min(allowed),
            params: names.iter().map(|name| Arc::from(&**name)).collect(),
            staged: calls || compresses || usage == UsageMode::Billed,
            usage,
            version,
            scanned,
            answers_preflights,
            logged: route.access_log.then(|| {
                let own = route.access_log_sample.as_ref();
                own.unwrap_or(&self.draft.spec.log.access.sample).clone()
            }),
        };
        let location = route.name.as_ref().map_or(spec.location, |name| name.location);
        Some(CompiledRoute { plan, rules: rules?, listeners: route.listeners.0.clone(), location })
    }

    /// The policies of a route by phase, then as written; those of `[defaults]` first.
    fn route_policies(&mut self, route: &RouteSpec, policies: &[CompiledPolicy]) -> RoutePolicies {
        let defaults = &self.draft.spec.defaults.policies;
        let mut list = self.named_policies(defaults.iter().chain(route.policies.iter()), policies, "route");
        let alternatives = self.alternatives(route.authenticate.as_ref(), &mut list, policies, "route");
        let mut listeners = self.draft.spec.listener.iter().map(|listener| &listener.value);
        let others = |listener: &ListenerSpec| !is_of(&route.listeners.0, &listener.shown_name());
        let identified = listeners.all(|listener| others(listener) || self.identifies(listener, policies));
        if !identified {
            self.check_identity(&route.policies, policies, &list, "route");
        }
        (list, alternatives)
    }

    /// The pattern for the path; `None` where no key names one, or what one names was reported.
    pub(super) fn path(&mut self, spec: &MatcherSpec) -> Option<PathPattern> {
        let MatcherSpec { path, path_prefix, path_text_prefix, path_exact, path_regex, .. } = spec;
        let all = [path, path_prefix, path_text_prefix, path_exact, path_regex];
        let given: Vec<&Located<String>> = all.into_iter().flatten().collect();
        if let [first, second, ..] = given.as_slice() {
            let report = Report::error(second.location, "a route has one pattern for the path");
            self.faults
                .push(report.other(first.location, "the first one").help("write a second route for a second pattern"));
            return None;
        }
        if let Some(text) = path_regex {
            return match WholeRegex::new(&text.value) {
                Ok(regex) => Some(PathPattern::Regex(regex)),
                Err(fault) => {
                    self.faults.push(Report::error(text.location, "not a regular expression").help(fault.to_string()));
                    None
                }
            };
        }
        let plain = path_prefix.as_ref().or(path_text_prefix.as_ref()).or(path_exact.as_ref());
        if let Some(text) = plain.filter(|text| text.value.contains(['{', '}'])) {
            let report = Report::error(text.location, "parameters stand in `path` only, and paths hold no braces");
            self.faults.push(report.help("`path = \"/users/{id}/{*rest}\"` takes all that stands below"));
            return None;
        }
        let text = *given.first()?;
        let made = match (path, path_prefix, path_text_prefix) {
            (Some(_), _, _) => PathPattern::template(&text.value),
            (_, Some(_), _) => PathPattern::prefix(&text.value),
            (_, _, Some(_)) => PathPattern::text_prefix(&text.value),
            (None, None, None) => PathPattern::exact(&text.value),
        };
        match made {
            Ok(pattern) => {
                if let Some((what, write)) = habits::foreign_path(&text.value) {
                    self.faults.push(Report::warning(text.location, what).label(format!("write {write}")));
                }
                self.check_normal(text);
                Some(pattern)
            }
            Err(fault) => {
                self.pattern_fault(text, &fault);
                None
            }
        }
    }

    /// Patterns are matched against normalised paths, so a pattern that is not normalised itself matches nothing.
    pub(super) fn check_normal(&mut self, text: &Located<String>) {
        let mut plain = String::new();
        let mut rest = text.value.as_str();
        while let Some((before, inner)) = rest.split_once('{') {
            plain.push_str(before);
            plain.push('x');
            rest = inner.split_once('}').map_or("", |(_, after)| after);
        }
        plain.push_str(rest);
        let rules = PathRules { encoded_slash: EncodedSlash::Keep, ..PathRules::default() };
        let mut normal = Vec::new();
        let report = match target::normalise(plain.as_bytes(), &rules, &mut normal) {
            Ok(Normalised::Unchanged) => return,
            Ok(_) => {
                let normal = String::from_utf8_lossy(&normal).into_owned();
                let report =
                    Report::warning(text.location, "requests are compared in their normal form, which this is not");
                if text.value.contains('{') { report } else { report.label(format!("write `{normal}`")) }
            }
            Err(_) => Report::warning(text.location, "requests with such a path are refused before they are routed"),
        };
        self.faults.push(report);
    }

    pub(super) fn pattern_fault(&mut self, text: &Located<String>, fault: &PatternError) {
        let (at, title, help) = match fault {
            PatternError::NotAbsolute => (0, "a path begins with `/`".to_owned(), ""),
            PatternError::TooLong => (0, "the path is too long".to_owned(), ""),
            PatternError::NotPath(at) => {
                (*at, "a path has no `?` or `#`".to_owned(), "`query = { name = \"value\" }` looks at the query")
            }
            PatternError::Unclosed(at) => (*at, "a `{` without `}`".to_owned(), "`{{` stands for the brace itself"),
            PatternError::Stray(at) => (*at, "a `}` without `{`".to_owned(), "`}}` stands for the brace itself"),
            PatternError::Name(at) => {
                let title = "a parameter's name has letters, digits, `_` and `-`, and does not begin with a digit";
                (*at, title.to_owned(), "")
            }
            PatternError::Duplicate(at, name) => (*at, format!("a second parameter is named `{name}`"), ""),
            PatternError::TooMany(at) => (*at, "too many parameters".to_owned(), "16 are allowed"),
            PatternError::TwoInSegment(at) => {
                (*at, "a second parameter in one segment".to_owned(), "`path_regex` can tell such paths apart")
            }
            PatternError::TailNotLast(at) => {
                (*at, "`{*name}` takes all the rest, so it is the whole last segment".to_owned(), "")
            }
        };
        let report = Report::error(self.inside(text, at, 1), title);
        self.faults.push(if help.is_empty() { report } else { report.help(help) });
    }

    pub(super) fn host(&mut self, host: &Located<String>) -> Option<HostPattern> {
        if host.value == "_" {
            let report = Report::error(host.location, "`_` is no host");
            self.faults.push(report.label("a route without `hosts` takes every host"));
            return None;
        }
        let fault = match HostPattern::parse(&host.value) {
            Ok(pattern) => return Some(pattern),
            Err(fault) => fault,
        };
        let label = match fault {
            HostError::EmptyLabel => "it is empty, or has two dots side by side".to_owned(),
            HostError::TooLong => "a name has at most 253 bytes".to_owned(),
            HostError::Wildcard => "a `*` is the whole first label: \"*.example.com\"".to_owned(),
            HostError::Port => "without port: listeners have ports, hosts have none".to_owned(),
            HostError::Character(letter) => format!("`{letter}` is not allowed; other scripts are written as `xn--…`"),
            HostError::Address => "no IPv6 address in the brackets".to_owned(),
        };
        self.faults.push(Report::error(host.location, format!("`{}` is not a valid host", host.value)).label(label));
        None
    }

    pub(super) fn method(&mut self, method: &Located<String>) -> bool {
        if !self.token(method, "method") {
            return false;
        }
        let upper = method.value.to_ascii_uppercase();
        let known = Method::of(upper.as_bytes());
        if matches!(known, Method::Connect | Method::Trace) {
            self.faults
                .push(Report::warning(method.location, format!("{upper} is refused before requests are routed")));
        } else if upper != method.value && known != Method::Other {
            let report = Report::error(method.location, format!("`{}` is not a valid method", method.value));
            self.faults.push(report.label(format!("did you mean `{upper}`?")));
            return false;
        }
        true
    }

    /// Compiles matchers of `what`, by name; reports those that are none.
    pub(super) fn matches(&mut self, specs: &Named<Located<ShortOr<MatchSpec>>>, what: &str) -> Vec<FieldMatch> {
        let mut list = Vec::new();
        for (name, spec) in specs.iter() {
            // Names of query parameters may be anything.
            let named = what == "query parameter" || self.token(name, what);
            let value = self.value_match(&Located { value: spec.value.0.clone(), location: spec.location });
            if let Some(value) = value.filter(|_| named) {
                list.push(FieldMatch { name: name.value.as_str().into(), value });
            }
        }
        list
    }

    pub(super) fn value_match(&mut self, spec: &Located<MatchSpec>) -> Option<ValueMatch> {
        let misfit = match matching::value_match(spec) {
            Ok(value) => return Some(value),
            Err(misfit) => *misfit,
        };
        match misfit {
            Misfit::Regex(report) => self.faults.push(report),
            Misfit::Keys(report) => self.absent(spec.location, report),
        }
        None
    }
}

/// A name for a route without one: its path (and methods), made unique by a number.
fn free_name(route: &RouteSpec, taken: &mut HashSet<String>) -> String {
    let RouteSpec { path, path_prefix, path_text_prefix, path_exact, path_regex, methods, hosts, .. } = route;
    let first = |list: &Many<Located<String>>| list.iter().next().map(|text| text.value.clone());
    let path = match (path.as_ref().or(path_exact.as_ref()), path_prefix, path_regex) {
        (Some(path), _, _) => path.value.clone(),
        (_, Some(prefix), _) => format!("{}/*", prefix.value.trim_end_matches('/')),
        (_, _, Some(regex)) => format!("~{}", regex.value),
        (None, None, None) => {
            path_text_prefix.as_ref().map_or_else(|| "/*".to_owned(), |prefix| format!("{}*", prefix.value))
        }
    };
    let parts = [first(methods).map(|method| format!("{method} ")), first(hosts), Some(path)];
    let name: String = parts.into_iter().flatten().collect();
    let mut unique = name.clone();
    let mut number = 1_usize;
    while !taken.insert(unique.clone()) {
        number += 1;
        unique = format!("{name} #{number}");
    }
    unique
}
