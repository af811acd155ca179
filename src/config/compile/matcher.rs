// SPDX-License-Identifier: Apache-2.0
//! Which requests a route takes: its matchers, alternatives (`any`) and exclusions (`not`), as rules of a table.
//!
//! What is asked of the caller becomes an expression: it is asked in the order of the precedence like the rest, and
//! `explain` shows it.

use std::fmt::Write;

use crate::base::RouteId;
use crate::cel::{Attribute, Program};
use crate::config::compile::Compiler;
use crate::config::location::{Located, Location};
use crate::config::report::Report;
use crate::config::spec::route::{BodySpec, MatchSpec, MatcherSpec, RouteSpec};
use crate::config::spec::shape::{Many, ShortOr};
use crate::route::{BodyMatch, Exclusion, HostPattern, PathPattern, Rule, ValueMatch, WholeRegex};
use crate::wire::content::BodyPlace;

/// A matcher whose parts are compiled.
#[derive(Clone, Default)]
struct Matcher {
    parts: Exclusion,
    /// Values in the body.
    body: Vec<BodyMatch>,
    /// Hosts that are regular expressions.
    host_regexes: Vec<WholeRegex>,
    /// Expressions that must all hold.
    conditions: Vec<String>,
}

impl Compiler<'_> {
    /// The rules of a route, at least one; `None` where something was reported.
    pub(super) fn rules(&mut self, spec: &Located<RouteSpec>, name: &str, id: RouteId) -> Option<Vec<Rule>> {
        let before = self.faults.errors();
        let route = &spec.value;
        let own = self.matcher(&route.matcher());
        let mut matchers = Vec::new();
        for alternative in route.any.iter() {
            let other = self.matcher(&alternative.value);
            if alternative.value == MatcherSpec::default() {
                self.absent(
                    alternative.location,
                    Report::error(alternative.location, "an alternative without a matcher"),
                );
            }
            matchers.extend(self.joined(&own, other, alternative.location));
        }
        if route.any.is_empty() {
            matchers.push(own);
        }
        let not: Vec<Exclusion> = route.not.iter().filter_map(|exclusion| self.exclusion(exclusion)).collect();
        let mut rules = Vec::new();
        for matcher in matchers {
            rules.extend(self.rules_of(matcher, (name, id), spec.location));
        }
        let mut params: Vec<Box<str>> = Vec::new();
        for name in rules.iter().flat_map(|rule| rule.path.names()) {
            if !params.contains(name) {
                params.push(name.clone());
            }
        }
        for rule in &mut rules {
            rule.priority = route.priority;
            rule.not = not.clone();
            rule.params = params.clone();
        }
        (self.faults.errors() == before && !rules.is_empty()).then_some(rules)
    }

    /// One rule for the plain hosts of a matcher, and one for each of its regular expressions.
    fn rules_of(&mut self, matcher: Matcher, (name, id): (&str, RouteId), location: Location) -> Vec<Rule> {
        let Matcher { parts, body, host_regexes, conditions } = matcher;
        let condition = self.joined_conditions(&conditions, location);
        let path = parts.paths.into_iter().next().or_else(|| PathPattern::prefix("/").ok());
        let Some(path) = path else { return Vec::new() };
        let mut rule = Rule::new(name, id, path);
        rule.methods = parts.methods;
        (rule.headers, rule.query, rule.cookies) = (parts.headers, parts.query, parts.cookies);
        rule.body = body;
        rule.sources = parts.sources;
        rule.condition = condition;
        let mut rules = Vec::new();
        if host_regexes.is_empty() || !parts.hosts.is_empty() {
            rules.push(Rule { hosts: parts.hosts, ..rule.clone() });
        }
        rules.extend(host_regexes.into_iter().map(|regex| Rule { host_regex: Some(regex), ..rule.clone() }));
        rules
    }

    fn exclusion(&mut self, spec: &Located<MatcherSpec>) -> Option<Exclusion> {
        let Matcher { parts, body, host_regexes, mut conditions } = self.matcher(&spec.value);
        if !body.is_empty() {
            self.error(spec.location, "an exclusion cannot ask for values in the body");
        }
        if spec.value == MatcherSpec::default() {
            self.absent(
                spec.location,
                Report::error(spec.location, "an exclusion without a matcher would exclude all"),
            );
            return None;
        }
        if !host_regexes.is_empty() {
            // The expression has the request's host as it is compared.
            let matches =
                |regex: &WholeRegex| format!("request.host.matches({})", quoted(&format!("^(?:{})$", regex.text())));
            let plain = parts.hosts.iter().map(|host| match host {
                HostPattern::Exact(name) => format!("request.host == {}", quoted(name)),
                HostPattern::Suffix(suffix) => format!("request.host.endsWith({})", quoted(suffix)),
                HostPattern::Any => "true".to_owned(),
            });
            let all: Vec<String> = host_regexes.iter().map(matches).chain(plain).collect();
            conditions.push(format!("({})", all.join(" || ")));
            let condition = self.joined_conditions(&conditions, spec.location);
            return Some(Exclusion { hosts: Vec::new(), condition, ..parts });
        }
        let condition = self.joined_conditions(&conditions, spec.location);
        Some(Exclusion { condition, ..parts })
    }

    /// What a route and one of its alternatives ask together.
    fn joined(&mut self, own: &Matcher, other: Matcher, location: Location) -> Option<Matcher> {
        let mut whole = own.clone();
        let (mine, theirs) = (&mut whole.parts, other.parts);
        let hosts = (mine.hosts.len() + own.host_regexes.len(), theirs.hosts.len() + other.host_regexes.len());
        let twice = [
            ("hosts", hosts),
            ("path", (mine.paths.len(), theirs.paths.len())),
            ("methods", (mine.methods.len(), theirs.methods.len())),
            ("source", (mine.sources.len(), theirs.sources.len())),
        ];
        if let Some((what, _)) = twice.iter().find(|(_, (mine, theirs))| *mine > 0 && *theirs > 0) {
            let report = Report::error(location, format!("the route itself has `{what}`, too"));
            self.faults.push(report.help("name it in each alternative, or only in the route"));
            return None;
        }
        mine.hosts.extend(theirs.hosts);
        mine.paths.extend(theirs.paths);
        mine.methods.extend(theirs.methods);
        mine.sources.extend(theirs.sources);
        mine.headers.extend(theirs.headers);
        mine.query.extend(theirs.query);
        mine.cookies.extend(theirs.cookies);
        whole.body.extend(other.body);
        whole.host_regexes.extend(other.host_regexes);
        whole.conditions.extend(other.conditions);
        Some(whole)
    }

    fn matcher(&mut self, spec: &MatcherSpec) -> Matcher {
        let mut matcher = Matcher::default();
        for host in spec.hosts.iter() {
            let Some(text) = host.value.strip_prefix('~') else {
                matcher.parts.hosts.extend(self.host(host));
                continue;
            };
            match WholeRegex::new(text) {
                Ok(regex) => matcher.host_regexes.push(regex),
                Err(fault) => {
                    self.faults.push(Report::error(host.location, "not a regular expression").help(fault.to_string()));
                }
            }
        }
        matcher.parts.paths.extend(self.path(spec));
        let methods = spec.methods.iter().filter(|method| self.method(method));
        matcher.parts.methods = methods.map(|method| method.value.as_str().into()).collect();
        matcher.parts.headers = self.matches(&spec.headers, "field");
        matcher.parts.query = self.matches(&spec.query, "query parameter");
        matcher.parts.cookies = self.matches(&spec.cookies, "cookie");
        matcher.body = self.body(&spec.body);
        matcher.parts.sources = spec.source.iter().map(|network| network.0).collect();
        matcher.conditions = self.conditions(spec);
        matcher
    }

    fn body(&mut self, spec: &BodySpec) -> Vec<BodyMatch> {
        let mut found = Vec::new();
        for (name, asked) in spec.json.iter() {
            if !name.value.is_empty() && !name.value.starts_with('/') {
                self.error(name.location, "a JSON pointer begins with `/`, as in `/order/type`");
            }
            found.push((BodyPlace::Json(name.value.as_str().into()), asked));
        }
        for (name, asked) in spec.form.iter() {
            found.push((BodyPlace::Form(name.value.as_str().into()), asked));
        }
        for (name, asked) in spec.xml.iter() {
            let steps = name.value.strip_prefix('/').map(|path| path.split('/'));
            if steps.is_none_or(|mut steps| steps.any(|step| step.is_empty() || step.contains(':'))) {
                self.error(name.location, "a path of elements is written `/Envelope/Body`, without prefixes");
            }
            found.push((BodyPlace::Xml(name.value.as_str().into()), asked));
        }
        let value = |(place, asked): (BodyPlace, &Located<ShortOr<MatchSpec>>)| {
            let spec = Located { value: asked.value.0.clone(), location: asked.location };
            self.value_match(&spec).map(|value| BodyMatch { place, value })
        };
        found.into_iter().filter_map(value).collect()
    }

    /// What is asked of the caller and of the connection, as expressions.
    fn conditions(&mut self, spec: &MatcherSpec) -> Vec<String> {
        let mut conditions = Vec::new();
        let mut one_of = |list: &Many<Located<String>>, what: &str| {
            if !list.is_empty() {
                conditions.push(format!("{what} in {}", texts(list)));
            }
        };
        one_of(&spec.consumer, "consumer.name");
        one_of(&spec.tenant, "consumer.tenant");
        one_of(&spec.plan, "consumer.plan");
        if !spec.group.is_empty() {
            conditions.push(format!("consumer.groups.exists(group, group in {})", texts(&spec.group)));
        }
        if !spec.sni.is_empty() {
            let names = spec.sni.iter().filter_map(|name| self.host(name)).map(|name| match name {
                HostPattern::Exact(name) => format!("tls.sni == {}", quoted(&name)),
                HostPattern::Suffix(suffix) => format!("tls.sni.endsWith({})", quoted(&suffix)),
                HostPattern::Any => "tls.sni != \"\"".to_owned(),
            });
            let names: Vec<String> = names.collect();
            conditions.push(format!("({})", names.join(" || ")));
        }
        if !spec.country.is_empty() {
            let codes = self.country_codes(&spec.country);
            let codes = codes.iter().map(|code| quoted(&String::from_utf8_lossy(code.as_bytes())));
            conditions.push(format!("source.country in [{}]", codes.collect::<Vec<_>>().join(", ")));
        }
        for (name, claim) in spec.claims.iter() {
            let value = self.value_match(&Located { value: claim.value.0.clone(), location: claim.location });
            conditions.extend(value.map(|value| of_claim(&name.value, &value)));
        }
        if let Some(text) = &spec.when
            && let Some(program) = self.expression(text)
        {
            if program.names(Attribute::Route) {
                let report = Report::error(text.location, "`route` is not known before a route is found");
                self.faults.push(report);
            }
            conditions.push(format!("({})", text.value));
        }
        conditions
    }

    /// One expression of several that must all hold; `None` where there is none.
    fn joined_conditions(&mut self, conditions: &[String], location: Location) -> Option<Program> {
        if conditions.is_empty() {
            return None;
        }
        // A comment in one of them would swallow the rest of its line.
        let text = Located { value: conditions.join("\n&& "), location };
        let program = match Program::compile(&text.value, &self.expressions) {
            Ok(program) => Some(program),
            // Where a part is wrong, that was reported at its own place.
            Err(_) if self.faults.errors() > 0 => None,
            Err(fault) => {
                let report = Report::error(location, "the conditions of this route are too much together");
                self.faults.push(report.help(fault.title));
                None
            }
        };
        program.filter(|program| program.constant() != Some(true))
    }
}

/// The expression for a claim.
fn of_claim(name: &str, value: &ValueMatch) -> String {
    let (key, claim) = (quoted(name), format!("claims[{}]", quoted(name)));
    match value {
        ValueMatch::Exact(text) => {
            let text = quoted(text);
            format!("({key} in claims && (type({claim}) == list ? {text} in {claim} : {claim} == {text}))")
        }
        ValueMatch::Prefix(text) => format!("{claim}.startsWith({})", quoted(text)),
        ValueMatch::Suffix(text) => format!("{claim}.endsWith({})", quoted(text)),
        ValueMatch::Contains(text) => format!("{claim}.contains({})", quoted(text)),
        ValueMatch::Regex(regex) => format!("{claim}.matches({})", quoted(&format!("^(?:{})$", regex.text()))),
        ValueMatch::Present => format!("{key} in claims"),
        ValueMatch::Absent => format!("!({key} in claims)"),
    }
}

/// A list of texts as an expression has it.
fn texts(list: &Many<Located<String>>) -> String {
    let quoted: Vec<String> = list.iter().map(|text| quoted(&text.value)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A text as an expression has it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        // Writing to memory cannot fail.
        let _ = match letter {
            '"' | '\\' => write!(out, "\\{letter}"),
            letter if letter.is_control() => write!(out, "\\U{:08x}", u32::from(letter)),
            letter => write!(out, "{letter}"),
        };
    }
    out.push('"');
    out
}
