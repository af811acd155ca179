// SPDX-License-Identifier: Apache-2.0
//! Why a request goes where it goes, for `turnpike explain`: the rule that takes it, and for the nearest others what
//! kept them from it. Compares rule by rule, so it is slow and independent of the tree.

use std::cmp::Reverse;
use std::fmt;

use crate::base::limits::EXPLAINED_MAX;
use crate::cel::Subject;
use crate::route::condition::{FieldTest, ValueLocation};
use crate::route::params::Params;
use crate::route::precedence::Decision;
use crate::route::query::RouteQuery;
use crate::route::rule::{BodyMatch, FieldMatch, HostPattern, Rule};
use crate::route::table::{NONE, RouteMatch, Table};

/// Where a request goes, and why not elsewhere.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What `Table::find` answers.
    pub found: RouteMatch,
    /// The rule that takes the request, if one does.
    pub chosen: Option<Chosen>,
    /// The nearest others, nearest first; at most `limits::EXPLAINED_MAX`.
    pub others: Vec<Other>,
}

/// The rule that takes a request.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The one of its hosts that matched.
    pub host: HostPattern,
    /// Its path pattern.
    pub path: String,
    /// The route's parameters with their values as sent.
    pub params: Vec<(Box<str>, String)>,
}

/// A rule that does not take a request.
#[derive(Clone, Debug)]
pub struct Other {
    /// Its name.
    pub name: Box<str>,
    /// Its path pattern.
    pub path: String,
    /// Everything that keeps it from the request; at least one.
    pub reasons: Vec<Reason>,
}

/// What keeps a rule from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is for these hosts.
    Host(Vec<HostPattern>),
    /// Its path pattern does not match.
    Path,
    /// It is for these methods.
    Method(Vec<Box<str>>),
    /// A named value is not as it asks.
    Field {
        /// Where the value stands.
        place: ValueLocation,
        /// What is asked.
        asked: FieldMatch,
        /// The values that are there.
        had: Vec<String>,
    },
    /// A value in the body is not as it asks, or the body is of another type.
    Body(BodyMatch),
    /// The client is not in its networks.
    Source,
    /// The host does not match this regular expression.
    HostRegex(Box<str>),
    /// This expression does not hold, or has no value.
    Condition(Box<str>),
    /// It excludes the request, by the entry of this number.
    Excluded(usize),
    /// It matches, but the chosen one goes first, by this.
    LessSpecific(Decision),
}

impl Table {
    /// Where a request goes, and why not elsewhere.
    pub fn explain(&self, wanted: &RouteQuery<'_>, subject: &impl Subject) -> Explanation {
        let mut params = Params::default();
        let found = self.find_as(wanted, subject, &mut params);
        let mut judged: Vec<Judged> = self.nearest(wanted.host).map(|rank| self.judge(rank, wanted, subject)).collect();
        let matching = judged.iter().filter(|judged| judged.other.reasons.is_empty());
        let best = matching.map(|judged| judged.rank).min();
        let chosen = best.map(|rank| self.chosen(rank, wanted, &params));
        judged.retain(|judged| Some(judged.rank) != best);
        for judged in judged.iter_mut().filter(|judged| judged.other.reasons.is_empty()) {
            let precedence = |rank: usize| &self.shared.origins[rank].precedence;
            let decision = best.map(|best| precedence(best).decision(precedence(judged.rank)));
            judged.other.reasons.extend(decision.map(Reason::LessSpecific));
        }
        judged.sort_by_key(|judged| (distance(&judged.other.reasons), Reverse(judged.common), judged.rank));
        let others = judged.into_iter().take(EXPLAINED_MAX).map(|judged| judged.other).collect();
        Explanation { found, chosen, others }
    }

    /// Every rule once, by rank: with the best of its hosts that takes `host`, or with its first where none does.
    fn nearest(&self, host: &[u8]) -> impl Iterator<Item = usize> {
        let mut nearest: Vec<Option<(usize, bool)>> = vec![None; self.shared.rules.len()];
        for (rank, origin) in self.shared.origins.iter().enumerate() {
            let (takes, slot) = (origin.host.takes(bare(host)), &mut nearest[origin.rule as usize]);
            if slot.is_none_or(|(_, taken)| takes && !taken) {
                *slot = Some((rank, takes));
            }
        }
        nearest.into_iter().flatten().map(|(rank, _)| rank)
    }

    fn judge(&self, rank: usize, wanted: &RouteQuery<'_>, subject: &impl Subject) -> Judged {
        let rule = self.rule(rank);
        let mut reasons = self.misses(rank, wanted);
        self.further_misses(rank, wanted, subject, &mut reasons);
        let other = Other { name: rule.name.clone(), path: rule.path.to_string(), reasons };
        Judged { other, rank, common: common(rule, wanted.path) }
    }

    fn rule(&self, rank: usize) -> &Rule {
        &self.shared.rules[self.shared.origins[rank].rule as usize]
    }

    fn chosen(&self, rank: usize, wanted: &RouteQuery<'_>, params: &Params) -> Chosen {
        let rule = self.rule(rank);
        let value = |position: usize| {
            let bytes = params.value(position as u16, wanted.path).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let params = rule.params.iter().enumerate().map(|(position, name)| (name.clone(), value(position))).collect();
        let host = self.shared.origins[rank].host.clone();
        Chosen { host, path: rule.path.to_string(), params }
    }

    /// The further conditions of a rule that do not hold.
    fn further_misses(&self, rank: usize, wanted: &RouteQuery<'_>, subject: &impl Subject, reasons: &mut Vec<Reason>) {
        let (rule, entry) = (self.rule(rank), &self.shared.entries[rank]);
        let Some(further) = self.shared.further.get(entry.further as usize) else { return };
        if let Some(regex) = rule.host_regex.as_ref().filter(|_| !further.host_holds(wanted.host, &self.regexes)) {
            reasons.push(Reason::HostRegex(regex.text().into()));
        }
        if let Some(program) = rule.condition.as_ref().filter(|_| !further.condition_holds(&self.programs, subject)) {
            reasons.push(Reason::Condition(program.text().into()));
        }
        reasons.extend(further.body_miss(wanted.body).cloned().map(Reason::Body));
        let excluding = further.excluding(wanted, (&self.regexes, &self.programs), subject);
        reasons.extend(excluding.map(|at| Reason::Excluded(at + 1)));
    }

    /// Everything of a rule that does not hold.
    fn misses(&self, rank: usize, wanted: &RouteQuery<'_>) -> Vec<Reason> {
        let (rule, mut reasons) = (self.rule(rank), Vec::new());
        if !self.shared.origins[rank].host.takes(bare(wanted.host)) {
            reasons.push(Reason::Host(rule.hosts.clone()));
        }
        if !rule.path.takes(wanted.path) {
            reasons.push(Reason::Path);
        }
        let method = wanted.request.method_text();
        if !rule.methods.is_empty() && !rule.methods.iter().any(|token| token.as_bytes() == method) {
            reasons.push(Reason::Method(rule.methods.clone()));
        }
        let entry = &self.shared.entries[rank];
        if entry.conditions == NONE {
            return reasons;
        }
        let conditions = &self.shared.conditions[entry.conditions as usize];
        let asked = rule.headers.iter().chain(&rule.query).chain(&rule.cookies);
        for (test, asked) in conditions.tests().iter().zip(asked) {
            if !test.holds(wanted.request, &self.regexes) {
                let had = values(test, wanted);
                reasons.push(Reason::Field { place: test.location, asked: asked.clone(), had });
            }
        }
        if !conditions.source_holds(wanted.source) {
            reasons.push(Reason::Source);
        }
        reasons
    }
}

/// A rule on its way into an explanation.
struct Judged {
    other: Other,
    rank: usize,
    /// How much of its path is right.
    common: usize,
}

/// The values that a matcher was shown.
fn values(test: &FieldTest, wanted: &RouteQuery<'_>) -> Vec<String> {
    let mut had = Vec::new();
    test.any(wanted.request, |value| {
        had.push(value.map_or_else(|| "(too long)".to_owned(), |text| String::from_utf8_lossy(text).into_owned()));
        false
    });
    had
}

fn bare(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

/// How far a rule is from a request: first by host and path, then by how much is amiss.
fn distance(reasons: &[Reason]) -> (usize, usize) {
    let far =
        reasons.iter().filter(|reason| matches!(reason, Reason::Host(_) | Reason::HostRegex(_) | Reason::Path)).count();
    (far, reasons.len())
}

/// Bytes that the written pattern and the path have in common at their beginning.
fn common(rule: &Rule, path: &[u8]) -> usize {
    let text = rule.path.to_string();
    let pattern = text.trim_start_matches(['=', '~', ' ', '^']);
    pattern.bytes().zip(path).take_while(|(one, two)| one == *two).count()
}

impl Reason {
    /// In words, without the values that are asked for and those that the request has.
    pub fn without_values(&self) -> String {
        match self {
            Reason::Field { place, asked, .. } => format!("its {} `{}` is not as asked", named(*place), asked.name),
            Reason::Condition(_) => "its condition does not hold".to_owned(),
            Reason::Body(asked) => format!("the body's {} is not as asked", asked.place),
            Reason::Host(_)
            | Reason::Path
            | Reason::Method(_)
            | Reason::Source
            | Reason::HostRegex(_)
            | Reason::Excluded(_)
            | Reason::LessSpecific(_) => self.to_string(),
        }
    }
}

/// What a value is called.
fn named(place: ValueLocation) -> &'static str {
    match place {
        ValueLocation::Header => "header",
        ValueLocation::Query => "query parameter",
        ValueLocation::Cookie => "cookie",
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Host(hosts) => {
                let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
                write!(out, "is for host {}", hosts.join(", "))
            }
            Reason::Path => out.write_str("its path does not match"),
            Reason::Method(methods) => write!(out, "is for method {}", methods.join(", ")),
            Reason::Field { place, asked, had } => {
                write!(out, "wants {} `{}` {}", named(*place), asked.name, asked.value)?;
                match &had[..] {
                    [] => out.write_str(", which is not there"),
                    values => write!(out, ", which is {values:?}"),
                }
            }
            Reason::Body(asked) => write!(out, "wants the body's {} {}", asked.place, asked.value),
            Reason::Source => out.write_str("is for other client addresses"),
            Reason::HostRegex(text) => write!(out, "is for hosts that match {text:?}"),
            Reason::Condition(text) => write!(out, "its condition does not hold: {text}"),
            Reason::Excluded(number) => write!(out, "excludes it, by entry {number} of `not`"),
            Reason::LessSpecific(decision) => write!(out, "matches, too, but comes later: {decision}"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Decision::Priority => "its priority is lower",
            Decision::Host => "its host is less specific",
            Decision::Path => "its path is less specific",
            Decision::Methods => "it names more methods, or none",
            Decision::Headers => "it asks for fewer headers",
            Decision::Query => "it asks for fewer query parameters",
            Decision::Cookies => "it asks for fewer cookies",
            Decision::Body => "it asks for less of the body",
            Decision::Sources => "its network is wider",
            Decision::Further => "it has fewer conditions on the caller and fewer exclusions",
            Decision::Name => "both are equally specific, and its name is the greater one",
        })
    }
}

#[cfg(test)]
#[path = "explain/tests.rs"]
mod tests;
