// SPDX-License-Identifier: Apache-2.0
//! The one precedence of rules, as a key that sorts: the smaller key goes first, whatever the order of the file.
//!
//! The order of the fields below is the order of the rule in `route`'s front page; the derived `Ord` is the rule.

use std::cmp::{Ordering, Reverse};

use crate::cel::Program;
use crate::route::pattern::{Part, PathPattern};
use crate::route::rule::{HostPattern, Rule};

/// Where a rule stands with one of its hosts. Rules of equal precedence are told apart by name (`order`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Precedence {
    priority: Reverse<i32>,
    host: HostRank,
    path: PathRank,
    /// How many methods it names; any is last.
    methods: usize,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    cookies: Reverse<usize>,
    body: Reverse<usize>,
    /// Free bits of the widest network; any is last.
    sources: u8,
    further: Reverse<usize>,
}

/// What decides between two rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The user's explicit priority.
    Priority,
    /// The more specific host.
    Host,
    /// The more specific path.
    Path,
    /// Fewer methods.
    Methods,
    /// More header matchers.
    Headers,
    /// More query matchers.
    Query,
    /// More cookie matchers.
    Cookies,
    /// More matchers of the body.
    Body,
    /// The narrower network.
    Sources,
    /// More further conditions.
    Further,
    /// Nothing but the name.
    Name,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact,
    /// By length of the suffix, longest first.
    Suffix(Reverse<usize>),
    /// By length of the expression, longest first.
    Regex(Reverse<usize>),
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Exact,
    /// By length of the expression, longest first.
    Regex(Reverse<usize>),
    Segments(Vec<SegmentRank>),
}

/// Templates and prefixes are compared segment by segment; the first difference decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SegmentRank {
    /// The template ends: the path must, too.
    End,
    Literal,
    /// A parameter, by how much literal text stands before it and after it in its segment.
    Param(Reverse<usize>, Reverse<usize>),
    /// `{*rest}`
    Tail,
    /// A prefix ends: anything may follow.
    Open,
}

impl Precedence {
    /// The precedence of `rule` for requests to `host`, one of its hosts (or `Any` where it names none).
    pub(crate) fn of(rule: &Rule, host: &HostPattern) -> Precedence {
        Precedence {
            priority: Reverse(rule.priority),
            host: rule
                .host_regex
                .as_ref()
                .map_or_else(|| HostRank::of(host), |regex| HostRank::Regex(Reverse(regex.text().len()))),
            path: PathRank::of(&rule.path),
            methods: if rule.methods.is_empty() { usize::MAX } else { rule.methods.len() },
            headers: Reverse(rule.headers.len()),
            query: Reverse(rule.query.len()),
            cookies: Reverse(rule.cookies.len()),
            body: Reverse(rule.body.len()),
            sources: rule
                .sources
                .iter()
                .map(|network| network.max_prefix_len() - network.prefix_len())
                .max()
                .unwrap_or(255),
            further: Reverse(rule.further()),
        }
    }

    /// The first part in which two differ.
    pub(crate) fn decision(&self, other: &Precedence) -> Decision {
        let parts = [
            (self.priority == other.priority, Decision::Priority),
            (self.host == other.host, Decision::Host),
            (self.path == other.path, Decision::Path),
            (self.methods == other.methods, Decision::Methods),
            (self.headers == other.headers, Decision::Headers),
            (self.query == other.query, Decision::Query),
            (self.cookies == other.cookies, Decision::Cookies),
            (self.body == other.body, Decision::Body),
            (self.sources == other.sources, Decision::Sources),
            (self.further == other.further, Decision::Further),
        ];
        parts.iter().find(|(equal, _)| !equal).map_or(Decision::Name, |(_, decision)| *decision)
    }
}

/// The total order of rules: precedence, then name, then (for rules of one name) what they say, then the route.
pub(crate) fn order(one: (&Precedence, &Rule), two: (&Precedence, &Rule)) -> Ordering {
    let by_name = || one.1.name.cmp(&two.1.name);
    let by_text = || said(one.1).cmp(&said(two.1));
    one.0.cmp(two.0).then_with(by_name).then_with(by_text).then_with(|| one.1.route.cmp(&two.1.route))
}

/// What a rule says, in words that compare. Only rules of the same name and precedence are ever compared by it.
fn said(rule: &Rule) -> String {
    let Rule {
        hosts, path, params, methods, headers, query, cookies, body, sources, host_regex, condition, not, ..
    } = rule;
    let condition = condition.as_ref().map(Program::text);
    format!(
        "{path} {hosts:?} {params:?} {methods:?} {headers:?} {query:?} {cookies:?} {body:?} {sources:?} {host_regex:?} \
         {condition:?} {not:?}"
    )
}

impl HostRank {
    fn of(host: &HostPattern) -> HostRank {
        match host {
            HostPattern::Exact(_) => HostRank::Exact,
            HostPattern::Suffix(suffix) => HostRank::Suffix(Reverse(suffix.len())),
            HostPattern::Any => HostRank::Any,
        }
    }
}

impl PathRank {
    fn of(path: &PathPattern) -> PathRank {
        match path {
            PathPattern::Exact(_) => PathRank::Exact,
            PathPattern::Regex(regex) => PathRank::Regex(Reverse(regex.text().len())),
            PathPattern::Prefix(text) => {
                let slashes = text.bytes().filter(|byte| *byte == b'/').count();
                let mut segments = vec![SegmentRank::Literal; slashes];
                segments.push(SegmentRank::Open);
                PathRank::Segments(segments)
            }
            PathPattern::TextPrefix(text) => {
                let slashes = text.bytes().filter(|byte| *byte == b'/').count();
                let last = text.rsplit('/').next().unwrap_or_default();
                let mut segments = vec![SegmentRank::Literal; slashes - 1];
                segments.extend([SegmentRank::Param(Reverse(last.len()), Reverse(0)), SegmentRank::Open]);
                PathRank::Segments(segments)
            }
            PathPattern::Template(template) => PathRank::Segments(segments(template.parts())),
        }
    }
}

fn segments(parts: &[Part]) -> Vec<SegmentRank> {
    let mut ranks = Vec::new();
    // Literal bytes of the segment that is being read; the bytes before the first slash are none.
    let mut pending: Option<usize> = None;
    for part in parts {
        match part {
            Part::Literal(bytes) => {
                let mut pieces = bytes.split(|byte| *byte == b'/').map(<[u8]>::len);
                // What stands before the first slash belongs to the segment before, which a parameter has closed.
                pieces.next();
                for piece in pieces {
                    ranks.extend(pending.replace(piece).map(|_| SegmentRank::Literal));
                }
            }
            Part::Param { suffix } => {
                ranks.push(SegmentRank::Param(Reverse(pending.take().unwrap_or(0)), Reverse(suffix.len())));
            }
            Part::Tail => {
                pending = None;
                ranks.push(SegmentRank::Tail);
            }
        }
    }
    ranks.extend(pending.map(|_| SegmentRank::Literal));
    if ranks.last() != Some(&SegmentRank::Tail) {
        ranks.push(SegmentRank::End);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RouteId;
    use crate::route::whole_regex::WholeRegex;

    fn ranked(path: PathPattern) -> Precedence {
        Precedence::of(&Rule::new("", RouteId(0), path), &HostPattern::Any)
    }

    #[test]
    fn paths_go_from_specific_to_general() {
        let ladder = [
            PathPattern::exact("/a/b/c"),
            WholeRegex::new("/a/b/[a-z]+").map(PathPattern::Regex).map_err(|_| unreachable!()),
            WholeRegex::new("/a/.*").map(PathPattern::Regex).map_err(|_| unreachable!()),
            PathPattern::template("/a/b/{y}"),
            PathPattern::prefix("/a/b"),
            PathPattern::template("/a/long{x}"),
            PathPattern::text_prefix("/a/long"),
            PathPattern::template("/a/v{x}/c"),
            PathPattern::text_prefix("/a/v"),
            PathPattern::template("/a/{x}.json"),
            PathPattern::template("/a/{x}"),
            PathPattern::template("/a/{x}/c"),
            PathPattern::template("/a/{x}/{*rest}"),
            PathPattern::template("/a/{*rest}"),
            PathPattern::prefix("/a"),
            PathPattern::text_prefix("/a"),
            PathPattern::template("/{x}"),
            PathPattern::template("/{*rest}"),
            PathPattern::prefix("/"),
        ];
        for pair in ladder.windows(2) {
            let (first, second) = (pair[0].clone().unwrap(), pair[1].clone().unwrap());
            assert!(ranked(first.clone()) < ranked(second.clone()), "{first} before {second}");
        }
    }

    #[test]
    fn segments_are_counted_with_their_slashes() {
        let ranks = |text| match PathPattern::template(text).unwrap() {
            PathPattern::Template(template) => segments(template.parts()),
            _ => Vec::new(),
        };
        let param = |before, after| SegmentRank::Param(Reverse(before), Reverse(after));
        assert_eq!(ranks("/{a}"), [param(0, 0), SegmentRank::End]);
        assert_eq!(ranks("/{a}/"), [param(0, 0), SegmentRank::Literal, SegmentRank::End]);
        assert_eq!(ranks("/x/{a}.js/y"), [SegmentRank::Literal, param(0, 3), SegmentRank::Literal, SegmentRank::End]);
        assert_eq!(ranks("/x/v{a}/{*b}"), [SegmentRank::Literal, param(1, 0), SegmentRank::Tail]);
    }

    #[test]
    fn the_deciding_part_is_named() {
        let plain = Rule::new("a", RouteId(0), PathPattern::prefix("/").unwrap());
        let mut other = plain.clone();
        other.name = "b".into();
        let key = |rule: &Rule| Precedence::of(rule, &HostPattern::Any);
        assert_eq!(key(&plain).decision(&key(&other)), Decision::Name);
        assert_eq!(order((&key(&plain), &plain), (&key(&other), &other)), Ordering::Less);
        other.methods = vec!["GET".into()];
        assert_eq!(key(&plain).decision(&key(&other)), Decision::Methods);
        other.sources = vec!["10.0.0.0/8".parse().unwrap()];
        other.priority = -1;
        assert_eq!(key(&plain).decision(&key(&other)), Decision::Priority);
        assert!(key(&plain) < key(&other));
    }
}
