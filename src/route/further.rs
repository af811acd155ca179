// SPDX-License-Identifier: Apache-2.0
//! Hot. The conditions of a rule beyond those of `condition`: the host as a regular expression, an expression over the
//! request and the caller, and what is excluded.

use regex::bytes::Regex;

use crate::cel::{Program, Subject};
use crate::route::condition::{FieldTest, RegexId, Sources, ValueLocation};
use crate::route::pattern::PathPattern;
use crate::route::query::{BodyView, RouteQuery};
use crate::route::rule::{BodyMatch, Exclusion, HostPattern, Rule, ValueMatch};

/// What else must hold.
#[derive(Debug)]
pub(super) struct Further {
    host: Option<RegexId>,
    program: Option<ProgramId>,
    exclusions: Box<[Excluded]>,
    body: Box<[BodyMatch]>,
}

/// An expression in the table's list. As with regular expressions, each clone of a table has its own.
#[derive(Clone, Copy, Debug)]
struct ProgramId(u32);

/// Requests that are not taken: those of which all of this holds.
#[derive(Debug)]
struct Excluded {
    hosts: Box<[HostPattern]>,
    paths: Box<[PathTest]>,
    methods: Box<[Box<str>]>,
    tests: Box<[FieldTest]>,
    sources: Option<Sources>,
    program: Option<ProgramId>,
}

#[derive(Debug)]
enum PathTest {
    Pattern(PathPattern),
    Regex(RegexId),
}

/// What a clone of a table has for itself.
type Own<'t> = (&'t [Regex], &'t [Program]);

impl ProgramId {
    fn add(program: &Program, programs: &mut Vec<Program>) -> ProgramId {
        programs.push(program.clone());
        ProgramId(programs.len() as u32 - 1)
    }

    fn of(self, programs: &[Program]) -> &Program {
        &programs[self.0 as usize]
    }
}

impl Further {
    /// Compiles what else `rule` asks; its expressions go to the ends of the lists. `None` where it asks nothing.
    pub(super) fn compile(rule: &Rule, regexes: &mut Vec<Regex>, programs: &mut Vec<Program>) -> Option<Further> {
        let Rule { host_regex, condition, not, body, .. } = rule;
        if host_regex.is_none() && condition.is_none() && not.is_empty() && body.is_empty() {
            return None;
        }
        Some(Further {
            host: host_regex.as_ref().map(|regex| RegexId::add(regex.regex(), regexes)),
            program: condition.as_ref().map(|program| ProgramId::add(program, programs)),
            exclusions: not.iter().map(|exclusion| Excluded::compile(exclusion, regexes, programs)).collect(),
            body: body.as_slice().into(),
        })
    }

    /// Does all of it hold?
    pub(super) fn hold(&self, wanted: &RouteQuery<'_>, own: Own<'_>, subject: &impl Subject) -> bool {
        self.host_holds(wanted.host, own.0)
            && self.condition_holds(own.1, subject)
            && self.excluding(wanted, own, subject).is_none()
            && self.body_miss(wanted.body).is_none()
    }

    /// Does it ask for values in the body?
    pub(super) fn asks_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// The first matcher of the body that does not hold.
    pub(super) fn body_miss(&self, body: BodyView<'_>) -> Option<&BodyMatch> {
        self.body.iter().find(|asked| !asked.holds(body))
    }

    /// Does the host match?
    pub(super) fn host_holds(&self, host: &[u8], regexes: &[Regex]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        self.host.is_none_or(|id| id.of(regexes).is_match(host))
    }

    /// Does the expression hold? One that fails does not.
    pub(super) fn condition_holds(&self, programs: &[Program], subject: &impl Subject) -> bool {
        self.program.is_none_or(|id| id.of(programs).holds(subject) == Ok(true))
    }

    /// The first entry that excludes the request. An expression that fails excludes: the request may be one of those
    /// that are meant.
    pub(super) fn excluding(&self, wanted: &RouteQuery<'_>, own: Own<'_>, subject: &impl Subject) -> Option<usize> {
        self.exclusions.iter().position(|exclusion| exclusion.holds(wanted, own, subject))
    }
}

impl BodyMatch {
    /// Is the body of its type, and are all values at its place as asked?
    fn holds(&self, body: BodyView<'_>) -> bool {
        let content = match body {
            BodyView::Unread => return true,
            BodyView::Other => return false,
            BodyView::Read(content) => content,
        };
        let mut found = false;
        let all = content.each(&self.place, |value| {
            found = true;
            self.value.takes(Some(value))
        });
        content.has(&self.place) && all && (found || self.value == ValueMatch::Absent)
    }
}

impl Excluded {
    fn compile(exclusion: &Exclusion, regexes: &mut Vec<Regex>, programs: &mut Vec<Program>) -> Excluded {
        let Exclusion { hosts, paths, methods, headers, query, cookies, sources, condition } = exclusion;
        let paths = paths.iter().map(|path| match path {
            PathPattern::Regex(regex) => PathTest::Regex(RegexId::add(regex.regex(), regexes)),
            PathPattern::Exact(_) | PathPattern::Prefix(_) | PathPattern::TextPrefix(_) | PathPattern::Template(_) => {
                PathTest::Pattern(path.clone())
            }
        });
        let paths = paths.collect();
        let lists = [(ValueLocation::Header, headers), (ValueLocation::Query, query), (ValueLocation::Cookie, cookies)];
        let tests = lists.into_iter().flat_map(|(location, list)| list.iter().map(move |field| (location, field)));
        Excluded {
            hosts: hosts.as_slice().into(),
            paths,
            methods: methods.as_slice().into(),
            tests: tests.map(|(location, field)| FieldTest::compile(location, field, regexes)).collect(),
            sources: (!sources.is_empty()).then(|| Sources::new(sources)),
            program: condition.as_ref().map(|program| ProgramId::add(program, programs)),
        }
    }

    fn holds(&self, wanted: &RouteQuery<'_>, own: Own<'_>, subject: &impl Subject) -> bool {
        let host = wanted.host.strip_suffix(b".").unwrap_or(wanted.host);
        let method = wanted.request.method_text();
        let of_path = |test: &PathTest| match test {
            PathTest::Pattern(pattern) => pattern.takes(wanted.path),
            PathTest::Regex(id) => id.of(own.0).is_match(wanted.path),
        };
        (self.hosts.is_empty() || self.hosts.iter().any(|own| own.takes(host)))
            && (self.paths.is_empty() || self.paths.iter().any(of_path))
            && (self.methods.is_empty() || self.methods.iter().any(|own| own.as_bytes() == method))
            && self.tests.iter().all(|test| test.holds(wanted.request, own.0))
            && self.sources.as_ref().is_none_or(|sources| sources.hold(wanted.source))
            && self.program.is_none_or(|id| id.of(own.1).holds(subject) != Ok(false))
    }
}
