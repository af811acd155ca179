// SPDX-License-Identifier: Apache-2.0
//! Hot. The routing table of one listener: which route takes a request.
//!
//! A table is built once from rules and never changes. Ranks are positions in the order of precedence: the matching
//! rule of the smallest rank wins, and there is no other notion of "better" anywhere in a search.

use std::sync::Arc;

use regex::bytes::Regex;

use crate::base::{RouteId, Span};
use crate::cel::{Nobody, Program, Subject};
use crate::route::condition::Conditions;
use crate::route::further::Further;
use crate::route::host::{Hosts, TreeId};
use crate::route::methods::{MethodSet, Methods};
use crate::route::params::{Params, Spans};
use crate::route::precedence::Precedence;
use crate::route::query::RouteQuery;
use crate::route::rule::{HostPattern, Rule};
use crate::route::tree::{Forest, Judge};
use crate::wire::head::Method;

/// The result of `Table::find`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteMatch {
    /// This route takes the request.
    Route(RouteId),
    /// No rule takes it, but rules that name these methods take everything else of it.
    MethodNotAllowed(MethodSet),
    /// No rule takes it.
    None,
}

/// The compiled rules of one listener.
///
/// Clones share the tree. They do not share the scratch memory of regular expressions (also of those in conditions),
/// which is behind a lock when threads share it; so each shard keeps its own clone.
#[derive(Clone, Debug)]
pub struct Table {
    pub(super) shared: Arc<Shared>,
    pub(super) regexes: Box<[Regex]>,
    pub(super) programs: Box<[Program]>,
}

/// What clones of a table share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) hosts: Hosts,
    pub(super) forest: Forest,
    /// By rank.
    pub(super) entries: Box<[Entry]>,
    pub(super) conditions: Box<[Conditions]>,
    pub(super) further: Box<[Further]>,
    /// Some of them ask for the body.
    pub(super) asks_body: bool,
    pub(super) orders: Box<[Box<[u16]>]>,
    pub(super) methods: Methods,
    /// For explaining, by rank.
    pub(super) origins: Box<[Origin]>,
    /// For explaining.
    pub(super) rules: Box<[Rule]>,
}

/// A rule with one of its hosts, as a search needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) methods: MethodSet,
    pub(super) route: RouteId,
    /// In `conditions`, or `NONE`.
    pub(super) conditions: u32,
    /// In `further`, or `NONE`.
    pub(super) further: u32,
    /// In `orders`: where the route counts its parameters in another order than the pattern. Or `NONE`.
    pub(super) order: u32,
}

/// Where an entry comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) rule: u32,
    pub(super) host: HostPattern,
    pub(super) precedence: Precedence,
}

/// No conditions; no order of its own.
pub(super) const NONE: u32 = u32::MAX;

impl Table {
    /// The route for a request; its parameters are left in `params`. Conditions see a caller of whom nothing is known.
    pub fn find(&self, wanted: &RouteQuery<'_>, params: &mut Params) -> RouteMatch {
        self.find_as(wanted, &Nobody, params)
    }

    /// As `find`, for a caller whom conditions may ask about.
    pub fn find_as(&self, wanted: &RouteQuery<'_>, subject: &impl Subject, params: &mut Params) -> RouteMatch {
        let asked = self.shared.methods.of(wanted.request.head.method, wanted.request.method_text());
        self.find_method(asked, wanted, subject, params)
    }

    /// Has a rule a condition that asks a subject?
    pub fn asks_subject(&self) -> bool {
        !self.programs.is_empty()
    }

    /// Has a rule a matcher of the body?
    pub fn asks_body(&self) -> bool {
        self.shared.asks_body
    }

    /// Is the body of a request needed to find its route? It is where a rule that asks for it is the first that may
    /// take the request.
    pub fn needs_body(&self, wanted: &RouteQuery<'_>, subject: &impl Subject, params: &mut Params) -> bool {
        let asked = self.shared.methods.of(wanted.request.head.method, wanted.request.method_text());
        let (rank, _) = self.best(asked, wanted, subject, params);
        let entry = self.shared.entries.get(rank as usize);
        entry.and_then(|entry| self.shared.further.get(entry.further as usize)).is_some_and(Further::asks_body)
    }

    /// As `find_as`, for the method `text` in the place of the request's.
    pub fn find_for(
        &self,
        text: &[u8],
        wanted: &RouteQuery<'_>,
        subject: &impl Subject,
        params: &mut Params,
    ) -> RouteMatch {
        self.find_method(self.shared.methods.of(Method::of(text), text), wanted, subject, params)
    }

    /// The tokens of a set, in a fixed order: for an `Allow` field.
    pub fn method_names(&self, set: MethodSet) -> impl Iterator<Item = &str> {
        self.shared.methods.names(set)
    }

    fn find_method(
        &self,
        asked: MethodSet,
        wanted: &RouteQuery<'_>,
        subject: &impl Subject,
        params: &mut Params,
    ) -> RouteMatch {
        let (rank, missed_method) = self.best(asked, wanted, subject, params);
        if let Some(entry) = self.shared.entries.get(rank as usize) {
            self.reorder(entry, &mut params.found);
            return RouteMatch::Route(entry.route);
        }
        if missed_method { self.allowed(wanted, subject, params) } else { RouteMatch::None }
    }

    /// The rank of the rule that takes a request, or `NONE`; and whether one would take it with another method.
    fn best(
        &self,
        asked: MethodSet,
        wanted: &RouteQuery<'_>,
        subject: &impl Subject,
        params: &mut Params,
    ) -> (u32, bool) {
        let Params { found, trail } = params;
        found.truncate(0);
        if wanted.path.len() > usize::from(u16::MAX) {
            // Spans could not name its parts. Heads are capped well below.
            return (NONE, false);
        }
        let mut best = Best { table: self, wanted, subject, asked, rank: NONE, spans: found, missed_method: false };
        let forest = &self.shared.forest;
        self.shared.hosts.each(wanted.host, |tree| forest.walk(tree, wanted.path, trail, &mut best));
        (best.rank, best.missed_method)
    }

    /// The methods with which the request would have been taken.
    #[cold]
    fn allowed(&self, wanted: &RouteQuery<'_>, subject: &impl Subject, params: &mut Params) -> RouteMatch {
        let mut allowed = Allowed { table: self, wanted, subject, methods: MethodSet::EMPTY };
        let (forest, trail) = (&self.shared.forest, &mut params.trail);
        self.shared.hosts.each(wanted.host, |tree| forest.walk(tree, wanted.path, trail, &mut allowed));
        if allowed.methods.is_empty() { RouteMatch::None } else { RouteMatch::MethodNotAllowed(allowed.methods) }
    }

    fn reorder(&self, entry: &Entry, spans: &mut Spans) {
        let Some(order) = self.shared.orders.get(entry.order as usize) else { return };
        let taken = *spans;
        spans.truncate(0);
        for from in order {
            spans.push(taken.as_slice().get(usize::from(*from)).copied().unwrap_or(Span::EMPTY));
        }
    }

    fn conditions_hold(&self, entry: &Entry, wanted: &RouteQuery<'_>, subject: &impl Subject) -> bool {
        let conditions = self.shared.conditions.get(entry.conditions as usize);
        let further = self.shared.further.get(entry.further as usize);
        conditions.is_none_or(|all| all.hold(wanted.request, wanted.path, wanted.source, &self.regexes))
            && further.is_none_or(|further| further.hold(wanted, (&self.regexes, &self.programs), subject))
    }

    pub(super) fn trees(&self, host: &[u8], visit: impl FnMut(TreeId)) {
        self.shared.hosts.each(host, visit);
    }
}

/// Keeps the matching rule of the smallest rank.
struct Best<'a, S> {
    table: &'a Table,
    wanted: &'a RouteQuery<'a>,
    subject: &'a S,
    asked: MethodSet,
    rank: u32,
    spans: &'a mut Spans,
    missed_method: bool,
}

impl<S: Subject> Judge for Best<'_, S> {
    fn bar(&self) -> u32 {
        self.rank
    }

    fn judge(&mut self, ranks: &[u32], spans: &Spans) {
        for rank in ranks.iter().take_while(|rank| **rank < self.rank) {
            let entry = &self.table.shared.entries[*rank as usize];
            if !entry.methods.meets(self.asked) {
                self.missed_method = true;
            } else if entry.conditions & entry.further == NONE
                || self.table.conditions_hold(entry, self.wanted, self.subject)
            {
                self.rank = *rank;
                *self.spans = *spans;
                return;
            }
        }
    }
}

/// Adds up the methods of all rules that match but for the method.
struct Allowed<'a, S> {
    table: &'a Table,
    wanted: &'a RouteQuery<'a>,
    subject: &'a S,
    methods: MethodSet,
}

impl<S: Subject> Judge for Allowed<'_, S> {
    fn bar(&self) -> u32 {
        NONE
    }

    fn judge(&mut self, ranks: &[u32], _: &Spans) {
        for rank in ranks {
            let entry = &self.table.shared.entries[*rank as usize];
            if self.table.conditions_hold(entry, self.wanted, self.subject) {
                self.methods = self.methods.union(entry.methods);
            }
        }
    }
}
