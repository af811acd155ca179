// SPDX-License-Identifier: Apache-2.0
//! What there is to say about the rules of a table: which are in conflict, and which can never be reached.
//!
//! Reports change nothing: conflicts are decided by name. Paths are compared by examples: a rule covers another's paths
//! if it takes a few chosen ones. That is exact but for regular expressions, which cannot be compared in reasonable
//! time.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::limits::{ROUTE_COMPARED_MAX, ROUTE_REPORTS_MAX};
use crate::route::condition::unmapped;
use crate::route::params::{Backtrack, Spans};
use crate::route::pattern::{Part, PathPattern};
use crate::route::rule::{FieldMatch, HostPattern, Rule, ValueMatch};
use crate::route::table::{Origin, Table};
use crate::route::tree::Judge;

/// One thing to say about the rules of a table. Rules are named by their routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Two rules of equal precedence take the same requests; `first` gets them all, because of its name.
    Conflict {
        /// The rule that wins.
        first: Box<str>,
        /// The rule that gets nothing.
        second: Box<str>,
    },
    /// Two rules of equal precedence both take some requests; `first` gets those, because of its name.
    Overlap {
        /// The rule that wins.
        first: Box<str>,
        /// The rule that gets the rest.
        second: Box<str>,
    },
    /// Every request for that host that `rule` would take goes to `by`, which has the higher precedence.
    Unreachable {
        /// The rule that gets nothing.
        rule: Box<str>,
        /// For which of its hosts.
        host: HostPattern,
        /// The rule that takes all.
        by: Box<str>,
    },
    /// A fault: the rule is not in the table, because the rules name too many unusual methods.
    TooManyMethods {
        /// The rule that was left out.
        rule: Box<str>,
    },
    /// A fault: the rule is not in the table, because its route counts more than `limits::PARAMS_MAX` parameters.
    TooManyParams {
        /// The rule that was left out.
        rule: Box<str>,
    },
}

impl Report {
    /// Must a configuration with it be refused? What is no fault is a warning.
    #[cfg(test)]
    pub const fn is_fault(&self) -> bool {
        match self {
            Report::TooManyMethods { .. } | Report::TooManyParams { .. } => true,
            Report::Conflict { .. } | Report::Overlap { .. } | Report::Unreachable { .. } => false,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Conflict { first, second } => write!(
                out,
                "routes `{first}` and `{second}` match the same requests with equal precedence; `{first}` \
                 takes them all, because its name is the smaller one"
            ),
            Report::Overlap { first, second } => write!(
                out,
                "some requests match both `{first}` and `{second}` with equal precedence; `{first}` \
                 takes those, because its name is the smaller one"
            ),
            Report::Unreachable { rule, host, by } => write!(
                out,
                "route `{rule}` is never reached for host `{host}`: `{by}` has the higher precedence and \
                 takes every such request"
            ),
            Report::TooManyMethods { rule } => {
                write!(out, "route `{rule}` names more unusual methods than one listener can tell apart")
            }
            Report::TooManyParams { rule } => {
                write!(out, "route `{rule}` has more path parameters, over all of its paths, than a route may have")
            }
        }
    }
}

/// All reports of a table, by the precedence of the rules that lose.
pub(super) fn report(table: &Table) -> Vec<Report> {
    let mut losers: BTreeMap<(u32, u32), Report> = BTreeMap::new();
    for group in groups(table) {
        conflicts(table, &group, &mut losers);
    }
    let mut trail = Backtrack::default();
    for rank in 0..table.shared.origins.len() as u32 {
        if losers.len() >= ROUTE_REPORTS_MAX {
            break;
        }
        if let Some(by) = shadow(table, rank, &mut trail) {
            let (rule, host) = (name(table, rank), table.shared.origins[rank as usize].host.clone());
            let report = Report::Unreachable { rule, host, by: name(table, by) };
            losers.entry((rank, by)).or_insert(report);
        }
    }
    losers.into_values().take(ROUTE_REPORTS_MAX).collect()
}

/// Ranks of entries with the same host and the same shape of path.
fn groups(table: &Table) -> Vec<Vec<u32>> {
    let mut groups: BTreeMap<(&HostPattern, String), Vec<u32>> = BTreeMap::new();
    for (rank, origin) in table.shared.origins.iter().enumerate() {
        let shape = match &rule(table, origin).path {
            PathPattern::Template(template) => format!("{:?}", template.parts()),
            path @ (PathPattern::Exact(_)
            | PathPattern::Prefix(_)
            | PathPattern::TextPrefix(_)
            | PathPattern::Regex(_)) => format!("{path:?}"),
        };
        groups.entry((&origin.host, shape)).or_default().push(rank as u32);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

fn conflicts(table: &Table, group: &[u32], losers: &mut BTreeMap<(u32, u32), Report>) {
    let origins = &table.shared.origins;
    for (position, first) in group.iter().enumerate() {
        for second in group[position + 1..].iter().take(ROUTE_COMPARED_MAX) {
            let (one, two) = (&origins[*first as usize], &origins[*second as usize]);
            // Ranks ascend within a group, so what differs in precedence here differs from all that follow.
            if one.precedence != two.precedence || losers.len() >= ROUTE_REPORTS_MAX {
                break;
            }
            let (one, two) = (rule(table, one), rule(table, two));
            if one.route == two.route || !overlap(one, two) {
                continue;
            }
            let (first_name, second_name) = (one.name.clone(), two.name.clone());
            let report = if covers(one, two) && covers(two, one) {
                Report::Conflict { first: first_name, second: second_name }
            } else {
                Report::Overlap { first: first_name, second: second_name }
            };
            losers.insert((*second, *first), report);
        }
    }
}

/// The rank of a rule that takes all requests of the rule of that rank.
fn shadow(table: &Table, rank: u32, trail: &mut Backtrack) -> Option<u32> {
    let origin = &table.shared.origins[rank as usize];
    let own = rule(table, origin);
    let host = match &origin.host {
        HostPattern::Exact(name) => name.to_string(),
        // No label of a real host, so only wildcards and `any` take it.
        HostPattern::Suffix(suffix) => format!("\u{1}{suffix}"),
        HostPattern::Any => String::new(),
    };
    let mut above = None;
    for path in probes(&own.path) {
        let mut collect = Collect { table, path: &path, bar: rank, ranks: Vec::new() };
        table.trees(host.as_bytes(), |tree| table.shared.forest.walk(tree, &path, trail, &mut collect));
        let seen = collect.ranks;
        let kept: Vec<u32> = match above {
            None => seen.into_iter().filter(|other| shadows(table, *other, own)).collect(),
            Some(before) => Vec::into_iter(before).filter(|other| seen.contains(other)).collect(),
        };
        if kept.is_empty() {
            return None;
        }
        above = Some(kept);
    }
    above?.into_iter().min()
}

fn shadows(table: &Table, other: u32, own: &Rule) -> bool {
    let other = rule(table, &table.shared.origins[other as usize]);
    other.route != own.route && covers(other, own)
}

/// Collects all rules above a bar whose path matches.
struct Collect<'a> {
    table: &'a Table,
    path: &'a [u8],
    bar: u32,
    ranks: Vec<u32>,
}

impl Judge for Collect<'_> {
    fn bar(&self) -> u32 {
        // Each would be compared with each, which is too much where many rules have one path.
        if self.ranks.len() < ROUTE_COMPARED_MAX { self.bar } else { 0 }
    }

    fn judge(&mut self, ranks: &[u32], _: &Spans) {
        for rank in ranks.iter().take(ROUTE_COMPARED_MAX).take_while(|rank| **rank < self.bar) {
            let entry = &self.table.shared.entries[*rank as usize];
            let conditions = self.table.shared.conditions.get(entry.conditions as usize);
            if conditions.is_none_or(|all| all.path_holds(self.path, &self.table.regexes)) {
                self.ranks.push(*rank);
            }
        }
    }
}

/// Example paths of a pattern. A pattern that takes all of them takes all its paths, but for odd expressions.
fn probes(path: &PathPattern) -> Vec<Vec<u8>> {
    let stem = match path {
        PathPattern::Exact(text) => return vec![text.as_bytes().to_vec()],
        PathPattern::Template(template) => {
            let probe = |word: &&str| template_probes(template.parts(), word.as_bytes());
            return WORDS.iter().flat_map(probe).collect();
        }
        PathPattern::Prefix(text) => format!("{text}/").into_bytes(),
        PathPattern::TextPrefix(text) => text.as_bytes().to_vec(),
        PathPattern::Regex(regex) if regex.literal_prefix().is_empty() => b"/".to_vec(),
        PathPattern::Regex(regex) => regex.literal_prefix().to_vec(),
    };
    let mut probes = vec![stem.clone()];
    if let PathPattern::Prefix(text) = path
        && !text.is_empty()
    {
        probes.push(text.as_bytes().to_vec());
    }
    for word in WORDS {
        probes.push([&stem, word.as_bytes()].concat());
        probes.push([&stem, word.as_bytes(), b"/", word.as_bytes()].concat());
    }
    probes
}

fn template_probes(parts: &[Part], word: &[u8]) -> Vec<Vec<u8>> {
    let mut probe = Vec::new();
    for part in parts {
        match part {
            Part::Literal(bytes) => probe.extend_from_slice(bytes),
            Part::Param { suffix } => probe.extend([word, suffix].concat()),
            Part::Tail => {
                let deep = [&probe, word, b"/", word].concat();
                let slash = [&probe[..], b"/"].concat();
                probe.extend_from_slice(word);
                return vec![probe, deep, slash];
            }
        }
    }
    vec![probe]
}

/// Values for parameters: the first is in no sane pattern, the others are what expressions are written for.
const WORDS: [&str; 5] = ["\u{1}", "a", "Z9", "0", "-"];

/// Host and path aside, does `wide` take every request that `narrow` takes?
fn covers(wide: &Rule, narrow: &Rule) -> bool {
    let lists = [(&wide.headers, &narrow.headers), (&wide.query, &narrow.query), (&wide.cookies, &narrow.cookies)];
    let methods = wide.methods.is_empty()
        || (!narrow.methods.is_empty() && narrow.methods.iter().all(|token| wide.methods.contains(token)));
    let sources = wide.sources.is_empty()
        || (!narrow.sources.is_empty()
            && narrow.sources.iter().all(|own| wide.sources.iter().any(|net| unmapped(net).contains(&unmapped(own)))));
    let implied = |asked: &FieldMatch, given: &[FieldMatch], place: usize| {
        given.iter().any(|other| same_name(place, asked, other) && implies(&other.value, &asked.value))
    };
    let fields = lists.iter().enumerate();
    // What expressions take cannot be compared; of equal ones one covers the other.
    let further =
        (wide.further() == 0 && wide.host_regex.is_none() && wide.body.is_empty()) || same_further(wide, narrow);
    methods
        && sources
        && further
        && fields.into_iter().all(|(place, (wide, narrow))| wide.iter().all(|one| implied(one, narrow, place)))
}

/// Host and path aside, can one request be taken by both?
fn overlap(one: &Rule, two: &Rule) -> bool {
    let lists = [(&one.headers, &two.headers), (&one.query, &two.query), (&one.cookies, &two.cookies)];
    let methods =
        one.methods.is_empty() || two.methods.is_empty() || one.methods.iter().any(|token| two.methods.contains(token));
    let meet = |left: &ipnet::IpNet, right: &ipnet::IpNet| {
        let (left, right) = (unmapped(left), unmapped(right));
        left.contains(&right) || right.contains(&left)
    };
    let sources = one.sources.is_empty()
        || two.sources.is_empty()
        || one.sources.iter().any(|left| two.sources.iter().any(|right| meet(left, right)));
    let apart = |(place, (one, two)): (usize, &(&Vec<FieldMatch>, &Vec<FieldMatch>))| {
        one.iter()
            .any(|left| two.iter().any(|right| same_name(place, left, right) && excludes(&left.value, &right.value)))
    };
    // Of conditions that differ nobody can say whether one request fulfils both.
    methods && sources && same_further(one, two) && !lists.iter().enumerate().any(apart)
}

fn same_further(one: &Rule, two: &Rule) -> bool {
    one.host_regex == two.host_regex && one.condition == two.condition && one.not == two.not && one.body == two.body
}

/// Names of fields (place 0) are the same in any case; those of query parameters and cookies are not.
fn same_name(place: usize, one: &FieldMatch, two: &FieldMatch) -> bool {
    if place == 0 { one.name.eq_ignore_ascii_case(&two.name) } else { one.name == two.name }
}

/// Does a value that `given` matches always match `asked`?
fn implies(given: &ValueMatch, asked: &ValueMatch) -> bool {
    let whole = exact(given).is_some_and(|value| asked.takes(Some(value.as_bytes())));
    let same = given == asked;
    same || match asked {
        ValueMatch::Present => *given != ValueMatch::Absent,
        ValueMatch::Absent => false,
        ValueMatch::Exact(_) | ValueMatch::Regex(_) => whole,
        ValueMatch::Prefix(text) => head(given).is_some_and(|head| head.starts_with(&**text)),
        ValueMatch::Suffix(text) => end(given).is_some_and(|end| end.ends_with(&**text)),
        ValueMatch::Contains(text) => inner(given).is_some_and(|inner| inner.contains(&**text)),
    }
}

/// Can no single value match both? Where a request has the name twice, both may hold all the same; that is no conflict
/// that anybody meant.
fn excludes(one: &ValueMatch, two: &ValueMatch) -> bool {
    let absent = (*one == ValueMatch::Absent) != (*two == ValueMatch::Absent);
    let refused =
        |exact: Option<&str>, other: &ValueMatch| exact.is_some_and(|value| !other.takes(Some(value.as_bytes())));
    let heads = head(one).zip(head(two)).is_some_and(|(one, two)| !one.starts_with(two) && !two.starts_with(one));
    let ends = end(one).zip(end(two)).is_some_and(|(one, two)| !one.ends_with(two) && !two.ends_with(one));
    absent || refused(exact(one), two) || refused(exact(two), one) || heads || ends
}

/// The only value that matches.
fn exact(asked: &ValueMatch) -> Option<&str> {
    match asked {
        ValueMatch::Exact(text) => Some(text),
        ValueMatch::Prefix(_) | ValueMatch::Suffix(_) | ValueMatch::Contains(_) | ValueMatch::Regex(_) => None,
        ValueMatch::Present | ValueMatch::Absent => None,
    }
}

/// What every value that matches begins with.
fn head(asked: &ValueMatch) -> Option<&str> {
    match asked {
        ValueMatch::Exact(text) | ValueMatch::Prefix(text) => Some(text),
        ValueMatch::Suffix(_) | ValueMatch::Contains(_) | ValueMatch::Regex(_) => None,
        ValueMatch::Present | ValueMatch::Absent => None,
    }
}

/// What every value that matches ends with.
fn end(asked: &ValueMatch) -> Option<&str> {
    match asked {
        ValueMatch::Exact(text) | ValueMatch::Suffix(text) => Some(text),
        ValueMatch::Prefix(_) | ValueMatch::Contains(_) | ValueMatch::Regex(_) => None,
        ValueMatch::Present | ValueMatch::Absent => None,
    }
}

/// What every value that matches contains.
fn inner(asked: &ValueMatch) -> Option<&str> {
    match asked {
        ValueMatch::Exact(text) | ValueMatch::Prefix(text) | ValueMatch::Suffix(text) | ValueMatch::Contains(text) => {
            Some(text)
        }
        ValueMatch::Regex(_) | ValueMatch::Present | ValueMatch::Absent => None,
    }
}

fn rule<'a>(table: &'a Table, origin: &Origin) -> &'a Rule {
    &table.shared.rules[origin.rule as usize]
}

fn name(table: &Table, rank: u32) -> Box<str> {
    rule(table, &table.shared.origins[rank as usize]).name.clone()
}

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
