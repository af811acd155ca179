// SPDX-License-Identifier: Apache-2.0
//! The tree against a plain list: sort the rules by precedence, take the first that matches. The list matches paths by
//! expressions made from the patterns, so it shares no code with the tree.

use proptest::prelude::*;
use regex::bytes::Regex;

use super::{Sample, pattern, rule, shuffle};
use crate::base::{Rng, RouteId};
use crate::route::pattern::Part;
use crate::route::precedence::{Precedence, order};
use crate::route::rule::FieldMatch;
use crate::route::{HostPattern, PathPattern, Report, RouteMatch, Rule, Table, ValueMatch};

const PATHS: [&str; 29] = [
    "/",
    "/a",
    "/a/b",
    "/ab",
    "/a/b/c",
    "= /",
    "= /a",
    "= /a/",
    "= /a/b",
    "= /ab",
    "/{x}",
    "/a/{x}",
    "/{x}/b",
    "/{x}/{y}",
    "/a/{x}/c",
    "/{x}/b/{*r}",
    "/a/{*r}",
    "/{*r}",
    "/a{x}",
    "/{x}b",
    "/a/{x}.js",
    "/{x}/",
    "^ /",
    "^ /a",
    "^ /a/b",
    "~ /a.*",
    "~ /[a-z]+",
    "~ .*b",
    "~ /a/(b|c)",
];
const HOSTS: [&str; 6] = ["*", "h.x", "g.h.x", "*.x", "*.h.x", "*.y"];
const REQUEST_HOSTS: [&str; 6] = ["h.x", "g.h.x", "f.g.h.x", "x", "z.y", ""];
const REQUEST_PATHS: [&str; 18] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/a/b/c",
    "/ab",
    "/b",
    "/b/b",
    "/b/b/b",
    "/a/x.js",
    "/a/.js",
    "/x/",
    "/abc",
    "/a/c",
    "//",
    "/a//c",
    "/bb/c/d/e",
];
const METHODS: [&str; 4] = ["GET", "POST", "PURGE", "HEAD"];

fn values() -> impl Strategy<Value = FieldMatch> {
    let value = prop_oneof![
        Just(ValueMatch::Exact("1".into())),
        Just(ValueMatch::Prefix("1".into())),
        Just(ValueMatch::Contains("2".into())),
        Just(ValueMatch::Present),
        Just(ValueMatch::Absent),
    ];
    (prop::sample::select(vec!["x", "y"]), value).prop_map(|(name, value)| FieldMatch { name: name.into(), value })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let one = (
        prop::sample::select(PATHS.to_vec()),
        prop::collection::vec(prop::sample::select(HOSTS.to_vec()), 0..3),
        prop::collection::vec(prop::sample::select(METHODS[..3].to_vec()), 0..3),
        prop::collection::vec(values(), 0..2),
        prop::collection::vec(values(), 0..2),
        prop_oneof![8 => Just(0), 1 => -1..3],
        prop::option::weighted(0.2, prop::sample::select(vec!["10.0.0.0/8", "10.1.0.0/16"])),
    );
    prop::collection::vec(one, 1..14).prop_map(|list| {
        let made =
            list.into_iter().zip(0..).map(|((path, hosts, methods, headers, query, priority, source), number)| {
                let mut one = rule(number, path);
                one.hosts = hosts.into_iter().map(|host| HostPattern::parse(host).unwrap()).collect();
                one.methods = methods.into_iter().map(Into::into).collect();
                (one.headers, one.query, one.priority) = (headers, query, priority);
                one.sources = source.into_iter().map(|network| network.parse().unwrap()).collect();
                one
            });
        made.collect()
    })
}

#[derive(Clone, Debug)]
struct Ask {
    method: &'static str,
    host: &'static str,
    path: &'static str,
    header: Option<&'static str>,
    query: Option<&'static str>,
    source: &'static str,
}

fn asks() -> impl Strategy<Value = Ask> {
    (
        prop::sample::select(METHODS.to_vec()),
        prop::sample::select(REQUEST_HOSTS.to_vec()),
        prop::sample::select(REQUEST_PATHS.to_vec()),
        prop::option::of(prop::sample::select(vec!["1", "12", "3"])),
        prop::option::of(prop::sample::select(vec!["1", "12", "3"])),
        prop::sample::select(vec!["10.1.0.1", "10.2.0.1", "192.0.2.1"]),
    )
        .prop_map(|(method, host, path, header, query, source)| Ask { method, host, path, header, query, source })
}

impl Ask {
    fn sample(&self) -> Sample {
        let target = self.query.map_or(self.path.to_owned(), |value| format!("{}?x={value}", self.path));
        let sample = Sample::new(self.method, self.host, &target).from(self.source);
        if let Some(value) = self.header { sample.header("X", value) } else { sample }
    }
}

/// The plain list.
struct List {
    entries: Vec<(Precedence, HostPattern, Rule, Regex)>,
}

impl List {
    fn new(rules: &[Rule]) -> List {
        let mut entries = Vec::new();
        for rule in rules {
            let any = [HostPattern::Any];
            for host in if rule.hosts.is_empty() { &any[..] } else { &rule.hosts } {
                entries.push((Precedence::of(rule, host), host.clone(), rule.clone(), expression(&rule.path)));
            }
        }
        entries.sort_by(|one, two| order((&one.0, &one.2), (&two.0, &two.2)));
        List { entries }
    }

    fn find(&self, ask: &Ask) -> Option<(u32, Vec<String>)> {
        let (_, _, rule, regex) = self.entries.iter().find(|(_, host, rule, regex)| {
            let methods = rule.methods.is_empty() || rule.methods.iter().any(|token| **token == *ask.method);
            methods && self::host(host, ask.host) && regex.is_match(ask.path.as_bytes()) && rest(rule, ask)
        })?;
        let captures = regex.captures(ask.path.as_bytes()).unwrap();
        let params = (1..=rule.params.len()).map(|group| String::from_utf8(captures[group].to_vec()).unwrap());
        Some((rule.route.0, params.collect()))
    }

    fn allowed(&self, ask: &Ask) -> Vec<String> {
        let fits = self.entries.iter().filter(|(_, host, rule, regex)| {
            self::host(host, ask.host) && regex.is_match(ask.path.as_bytes()) && rest(rule, ask)
        });
        let mut methods: Vec<String> =
            fits.flat_map(|(_, _, rule, _)| &rule.methods).map(ToString::to_string).collect();
        methods.sort();
        methods.dedup();
        methods
    }
}

fn expression(path: &PathPattern) -> Regex {
    let text = match path {
        PathPattern::Exact(text) => regex::escape(text),
        PathPattern::Prefix(text) => format!("{}(?:/.*)?", regex::escape(text)),
        PathPattern::TextPrefix(text) => format!("{}.*", regex::escape(text)),
        PathPattern::Regex(regex) => format!("(?:{})", regex.text()),
        PathPattern::Template(template) => {
            let part = |part: &Part| match part {
                Part::Literal(bytes) => regex::escape(std::str::from_utf8(bytes).unwrap()),
                Part::Param { suffix } => format!("([^/]+){}", regex::escape(std::str::from_utf8(suffix).unwrap())),
                Part::Tail => "(.+)".to_owned(),
            };
            template.parts().iter().map(part).collect()
        }
    };
    Regex::new(&format!("^{text}$")).unwrap()
}

fn host(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Any => true,
        HostPattern::Exact(name) => **name == *host,
        HostPattern::Suffix(suffix) => host.strip_suffix(&**suffix).is_some_and(|label| !label.is_empty()),
    }
}

fn rest(rule: &Rule, ask: &Ask) -> bool {
    let holds = |field: &FieldMatch, value: Option<&str>| {
        let value = value.filter(|_| &*field.name == "x");
        match &field.value {
            ValueMatch::Exact(text) => value == Some(text),
            ValueMatch::Prefix(text) => value.is_some_and(|value| value.starts_with(&**text)),
            ValueMatch::Contains(text) => value.is_some_and(|value| value.contains(&**text)),
            ValueMatch::Present => value.is_some(),
            ValueMatch::Absent => value.is_none(),
            ValueMatch::Suffix(_) | ValueMatch::Regex(_) => unreachable!("not generated"),
        }
    };
    let source: std::net::IpAddr = ask.source.parse().unwrap();
    rule.headers.iter().all(|field| holds(field, ask.header))
        && rule.query.iter().all(|field| holds(field, ask.query))
        && (rule.sources.is_empty() || rule.sources.iter().any(|network| network.contains(&source)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn agrees_with_a_list(rules in rules(), asks in prop::collection::vec(asks(), 1..20), seed in any::<u64>()) {
        let list = List::new(&rules);
        let built = Table::build(rules.clone());
        let mut other = rules;
        shuffle(&mut other, &mut Rng::new(seed));
        let shuffled = Table::build(other);
        prop_assert_eq!(&built.reports, &shuffled.reports);
        for ask in &asks {
            let sample = ask.sample();
            let expected = list.find(ask);
            prop_assert_eq!(&sample.route(&built.table), &expected, "{:?}", ask);
            prop_assert_eq!(&sample.route(&shuffled.table), &expected, "shuffled, {:?}", ask);
            let explained = built.table.explain(&sample.wanted(), &crate::cel::Nobody);
            prop_assert_eq!(explained.chosen.is_some(), expected.is_some());
            prop_assert_eq!(explained.found, sample.found(&built.table));
            prop_assert!(explained.others.iter().all(|other| !other.reasons.is_empty()));
            if expected.is_none() {
                let mut allowed: Vec<String> = match sample.found(&built.table) {
                    RouteMatch::MethodNotAllowed(set) => built.table.method_names(set).map(Into::into).collect(),
                    RouteMatch::Route(_) | RouteMatch::None => Vec::new(),
                };
                allowed.sort();
                prop_assert_eq!(allowed, list.allowed(ask), "{:?}", ask);
            }
        }
    }

    #[test]
    fn what_is_reported_unreachable_is_never_reached(rules in rules(), asks in prop::collection::vec(asks(), 1..60)) {
        let built = Table::build(rules.clone());
        for report in &built.reports {
            let (loser, host) = match report {
                Report::Unreachable { rule, host, .. } => (rule, Some(host)),
                Report::Conflict { second, .. } => (second, None),
                Report::Overlap { .. } | Report::TooManyMethods { .. } | Report::TooManyParams { .. } => continue,
            };
            for ask in &asks {
                let sample = ask.sample();
                let Some(chosen) = built.table.explain(&sample.wanted(), &crate::cel::Nobody).chosen else { continue };
                let RouteMatch::Route(route) = sample.found(&built.table) else { continue };
                let name = rules.iter().find(|rule| rule.route == route).map(|rule| &rule.name);
                let reached = name == Some(loser) && host.is_some_and(|host| *host == chosen.host);
                prop_assert!(!reached, "{:?} reached {:?}", ask, report);
            }
        }
    }
}

#[test]
fn route_ids_play_no_part() {
    let mut rules = vec![rule(0, "/{a}"), rule(1, "/{b}")];
    let sample = Sample::new("GET", "", "/x");
    assert_eq!(sample.found(&Table::build(rules.clone()).table), RouteMatch::Route(RouteId(0)));
    rules[0].route = RouteId(7);
    rules.reverse();
    assert_eq!(sample.found(&Table::build(rules).table), RouteMatch::Route(RouteId(7)));
    assert!(pattern("/{a}").takes(b"/x"));
}
