// SPDX-License-Identifier: Apache-2.0
//! A configuration as a tree of TOML values with source locations, before it becomes a `Spec`.
//!
//! Keys are in file order. Includes are merged here, so the reader sees one tree.

use toml::de::{DeTable, DeValue};

use crate::config::location::Location;
use crate::config::report::{Faults, Report};

/// Deepest nesting; deeper values are refused, so that no walk over a tree can exhaust the stack.
const DEPTH_MAX: usize = 32;

/// One value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its location; for a table the range of everything that belongs to it.
    pub location: Location,
    /// What it is.
    pub kind: NodeKind,
    /// It is a text that came partly or wholly from a variable or a secret file.
    pub filled: bool,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    /// A string, after substitution.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A date or time: no key of ours wants one.
    Datetime,
    /// An array.
    Array(Vec<Node>),
    /// A table.
    Table(Vec<(Key, Node)>),
}

/// A key of a table.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// Its text.
    pub text: String,
    /// Where it stands.
    pub location: Location,
}

impl Node {
    /// A table without entries.
    pub(crate) fn empty() -> Node {
        Node { location: Location::default(), kind: NodeKind::Table(Vec::new()), filled: false }
    }

    /// The node of a key, where this is a table that has it.
    pub(crate) fn child(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name.text == key).map(|(_, node)| node)
    }

    /// The entries of a table; none for anything else.
    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        match &self.kind {
            NodeKind::Table(entries) => entries,
            NodeKind::Text(_)
            | NodeKind::Integer(_)
            | NodeKind::Float(_)
            | NodeKind::Boolean(_)
            | NodeKind::Datetime
            | NodeKind::Array(_) => &[],
        }
    }

    /// Its kind in words.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            NodeKind::Text(_) => "a string",
            NodeKind::Integer(_) => "a number",
            NodeKind::Float(_) => "a number with a fraction",
            NodeKind::Boolean(_) => "true or false",
            NodeKind::Datetime => "a date",
            NodeKind::Array(_) => "a list",
            NodeKind::Table(_) => "a table",
        }
    }
}

/// Parses one file. All syntax errors are collected, but for those that follow from another: on the same line or the
/// next, or of the same kind; what could be understood is returned.
pub(crate) fn parse(file: u16, text: &str, faults: &mut Faults) -> Node {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut last = None;
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let line = text.get(..span.start).map_or(0, |before| before.matches('\n').count());
        if last.is_some_and(|(last, message)| line <= last + 1 || message == error.message()) {
            continue;
        }
        last = Some((line, error.message()));
        faults.broken = true;
        faults.push(syntax_report(Location::new(file, span), error.message()));
    }
    let (span, table) = (root.span(), root.into_inner());
    Converter { file, faults }.table(table, Location::new(file, span), 0)
}

fn syntax_report(location: Location, message: &str) -> Report {
    let mut lines = message.lines();
    let first = lines.next().unwrap_or("not TOML");
    lines.fold(Report::error(location, format!("not TOML: {first}")), Report::help)
}

struct Converter<'f> {
    file: u16,
    faults: &'f mut Faults,
}

impl Converter<'_> {
    fn table(&mut self, table: DeTable<'_>, location: Location, depth: usize) -> Node {
        let mut entries: Vec<(Key, Node)> = Vec::with_capacity(table.len());
        for (key, value) in table {
            let key = Key { location: Location::new(self.file, key.span()), text: key.into_inner().into_owned() };
            let value_place = Location::new(self.file, value.span());
            let node = self.value(value.into_inner(), value_place, depth + 1);
            entries.push((key, node));
        }
        entries.sort_by_key(|(key, _)| key.location);
        let around = |all: Location, (key, node): &(Key, Node)| all.with(key.location).with(node.location);
        Node { location: entries.iter().fold(location, around), kind: NodeKind::Table(entries), filled: false }
    }

    fn value(&mut self, value: DeValue<'_>, location: Location, depth: usize) -> Node {
        if depth > DEPTH_MAX {
            self.faults.push(Report::error(location, format!("nested deeper than {DEPTH_MAX} levels")));
            return Node { location, kind: NodeKind::Boolean(false), filled: false };
        }
        let kind = match value {
            DeValue::String(text) => NodeKind::Text(text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => NodeKind::Integer(number),
                Err(_) => {
                    self.faults.push(Report::error(location, "a number that does not fit into 64 bits"));
                    NodeKind::Integer(0)
                }
            },
            DeValue::Float(number) => NodeKind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => NodeKind::Boolean(truth),
            DeValue::Datetime(_) => NodeKind::Datetime,
            DeValue::Table(table) => return self.table(table, location, depth),
            DeValue::Array(array) => {
                let items = array.into_iter().map(|item| {
                    let location = Location::new(self.file, item.span());
                    self.value(item.into_inner(), location, depth + 1)
                });
                let items: Vec<Node> = items.collect();
                let location = items.iter().fold(location, |all, item| all.with(item.location));
                return Node { location, kind: NodeKind::Array(items), filled: false };
            }
        };
        Node { location, kind, filled: false }
    }
}

/// Adds an included file's tree to `into`. Lists of tables are joined and tables merged key by key; a value that both
/// set is reported.
pub(crate) fn merge(into: &mut Node, from: Node, faults: &mut Faults) {
    let (NodeKind::Table(ours), NodeKind::Table(theirs)) = (&mut into.kind, from.kind) else { return };
    for (key, node) in theirs {
        let Some((first, present)) = ours.iter_mut().find(|(name, _)| name.text == key.text) else {
            ours.push((key, node));
            continue;
        };
        match (&mut present.kind, node) {
            (NodeKind::Table(_), node @ Node { kind: NodeKind::Table(_), .. }) => merge(present, node, faults),
            (NodeKind::Array(items), Node { kind: NodeKind::Array(more), .. }) if tables(items) && tables(&more) => {
                items.extend(more);
            }
            _ => faults.push(
                Report::error(key.location, format!("`{}` is set in two files", key.text))
                    .other(first.location, "the other one is here"),
            ),
        }
    }
}

fn tables(items: &[Node]) -> bool {
    items.iter().all(|item| matches!(item.kind, NodeKind::Table(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_syntax_errors_are_found_and_the_rest_is_kept() {
        let mut faults = Faults::default();
        let root = parse(0, "a = \nb = 1\nc = 'x\n[d]\ne = true", &mut faults);
        assert!(faults.errors() >= 2, "{faults:?}");
        assert!(matches!(root.child("b").unwrap().kind, NodeKind::Integer(1)));
        assert!(root.child("d").is_some());
    }

    #[test]
    fn merging_joins_lists_and_reports_doubles() {
        let mut faults = Faults::default();
        let mut first = parse(0, "[[route]]\nx = 1\n[upstream.a]\ny = 1\n[server]\npin = true", &mut faults);
        let second = parse(1, "[[route]]\nx = 2\n[upstream.b]\ny = 1\n[upstream.a]\ny = 2\n[log]\nz = 1", &mut faults);
        assert_eq!(faults.errors(), 0);
        merge(&mut first, second, &mut faults);
        assert_eq!(faults.errors(), 1);
        let NodeKind::Array(routes) = &first.child("route").unwrap().kind else { panic!("routes are a list") };
        assert_eq!(routes.len(), 2);
        assert_eq!(first.child("upstream").unwrap().entries().len(), 2);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut faults = Faults::default();
        parse(0, &format!("a = {}{}", "[".repeat(60), "]".repeat(60)), &mut faults);
        assert!(faults.errors() > 0);
    }
}
