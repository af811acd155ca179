// SPDX-License-Identifier: Apache-2.0
//! Which template matches a path: a tree of segments. A literal wins over `*`, and `*` over `**`.
//!
//! The walk goes back where a literal led nowhere. It visits no node twice, because each node has one place in the
//! tree, so that its cost is bounded by the number of templates.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use crate::base::Span;
use crate::wire::grpc::json::template::{Segment, Template};

/// Segments of a path.
pub(crate) type Segments = SmallVec<[Span; 16]>;

/// The templates of all bindings.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: Node,
    verbs: BTreeSet<String>,
    methods: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<String, Node>,
    one: Option<Box<Node>>,
    leaves: Vec<Leaf>,
    /// Behind a `**`, with the segments that follow it.
    rests: Vec<(Vec<Segment>, Vec<Leaf>)>,
}

#[derive(Debug)]
struct Leaf {
    verb: Option<String>,
    method: String,
    binding: u32,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// This binding.
    Binding(u32),
    /// Only with other methods.
    OtherMethod,
    /// Nothing.
    None,
}

impl Match {
    fn or(self, other: impl FnOnce() -> Match) -> Match {
        match self {
            Match::Binding(_) => self,
            Match::None => other(),
            Match::OtherMethod => match other() {
                Match::None => Match::OtherMethod,
                found => found,
            },
        }
    }
}

impl Tree {
    /// Adds a binding. Where the same template with the same method is there already, its binding is returned.
    pub(crate) fn add(&mut self, template: &Template, method: &str, binding: u32) -> Result<(), u32> {
        let mut node = &mut self.root;
        let fixed = template.rest().unwrap_or(template.segments.len());
        for segment in &template.segments[..fixed] {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::One | Segment::Rest => node.one.get_or_insert_default(),
            };
        }
        let leaves = match template.rest() {
            None => &mut node.leaves,
            Some(rest) => node.rests_with(&template.segments[rest + 1..]),
        };
        let same = |leaf: &&Leaf| leaf.verb == template.verb && leaf.method == method;
        if let Some(leaf) = leaves.iter().find(same) {
            return Err(leaf.binding);
        }
        leaves.push(Leaf { verb: template.verb.clone(), method: method.to_owned(), binding });
        self.verbs.extend(template.verb.clone());
        self.methods.insert(method.to_owned());
        Ok(())
    }

    /// The methods that some binding has for this path, in the order of the alphabet.
    pub(crate) fn methods(&self, path: &[u8]) -> impl Iterator<Item = &str> {
        let takes = |method: &&String| matches!(self.find(method.as_bytes(), path).0, Match::Binding(_));
        self.methods.iter().filter(takes).map(String::as_str)
    }

    /// The binding for a method and a path, and the path's segments as it was matched. A `:verb` at the end that no
    /// rule has is part of the last segment.
    pub(crate) fn find(&self, method: &[u8], path: &[u8]) -> (Match, Segments) {
        let mut segments = Segments::new();
        if path.first() != Some(&b'/') || path.len() > usize::from(u16::MAX) {
            return (Match::None, segments);
        }
        let mut start = 1;
        for end in memchr::memchr_iter(b'/', &path[1..]).map(|at| at + 1).chain([path.len()]) {
            segments.push(Span::new(start, end));
            start = end + 1;
        }
        let mut wanted = Wanted { method, path, verb: None };
        let last = segments.len() - 1;
        let whole = segments[last];
        let colon = memchr::memrchr(b':', whole.of(path));
        let verb = colon.map(|at| Span::new(usize::from(whole.start) + at + 1, usize::from(whole.end)));
        let known = verb.filter(|verb| self.verbs.iter().any(|known| known.as_bytes() == verb.of(path)));
        let mut found = Match::None;
        if let Some(verb) = known {
            wanted.verb = Some(verb.of(path));
            segments[last].end = verb.start - 1;
            found = self.root.find(&wanted, &segments);
            if matches!(found, Match::Binding(_)) {
                return (found, segments);
            }
            wanted.verb = None;
            segments[last] = whole;
        }
        (found.or(|| self.root.find(&wanted, &segments)), segments)
    }
}

struct Wanted<'a> {
    method: &'a [u8],
    path: &'a [u8],
    verb: Option<&'a [u8]>,
}

impl Wanted<'_> {
    fn among(&self, leaves: &[Leaf]) -> Match {
        let with_verb = |leaf: &&Leaf| leaf.verb.as_deref().map(str::as_bytes) == self.verb;
        let mut found = Match::None;
        for leaf in leaves.iter().filter(with_verb) {
            if leaf.method.as_bytes() == self.method {
                return Match::Binding(leaf.binding);
            }
            if leaf.method == "*" {
                found = Match::Binding(leaf.binding);
            } else if found == Match::None {
                found = Match::OtherMethod;
            }
        }
        found
    }
}

impl Node {
    fn rests_with(&mut self, suffix: &[Segment]) -> &mut Vec<Leaf> {
        let at = self.rests.iter().position(|(known, _)| known == suffix).unwrap_or_else(|| {
            // Longer ends are tried first.
            let at = self.rests.partition_point(|(known, _)| known.len() > suffix.len());
            self.rests.insert(at, (suffix.to_vec(), Vec::new()));
            at
        });
        &mut self.rests[at].1
    }

    /// As deep as the longest template.
    fn find(&self, wanted: &Wanted<'_>, segments: &[Span]) -> Match {
        let Some((first, behind)) = segments.split_first() else {
            return wanted.among(&self.leaves).or(|| self.find_rest(wanted, segments));
        };
        let text = first.of(wanted.path);
        let literal = std::str::from_utf8(text).ok().and_then(|text| self.literals.get(text));
        let found = literal.map_or(Match::None, |node| node.find(wanted, behind));
        let one = self.one.as_deref().filter(|_| !text.is_empty());
        let found = found.or(|| one.map_or(Match::None, |node| node.find(wanted, behind)));
        found.or(|| self.find_rest(wanted, segments))
    }

    fn find_rest(&self, wanted: &Wanted<'_>, segments: &[Span]) -> Match {
        let fits = |(segment, span): (&Segment, &Span)| match segment {
            Segment::Literal(text) => text.as_bytes() == span.of(wanted.path),
            Segment::One | Segment::Rest => !span.is_empty(),
        };
        let mut found = Match::None;
        for (suffix, leaves) in &self.rests {
            let Some(split) = segments.len().checked_sub(suffix.len()) else { continue };
            if suffix.iter().zip(&segments[split..]).all(fits) {
                found = found.or(|| wanted.among(leaves));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(rules: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (number, (method, template)) in rules.iter().enumerate() {
            tree.add(&Template::parse(template).unwrap(), method, number as u32).unwrap();
        }
        tree
    }

    #[test]
    fn the_most_exact_wins() {
        let rules = [
            ("GET", "/v1/books"),
            ("GET", "/v1/*"),
            ("GET", "/v1/**"),
            ("GET", "/v1/books/*"),
            ("GET", "/v1/*/new"),
            ("POST", "/v1/books"),
            ("*", "/v1/books/any"),
            ("GET", "/v1/books/*:read"),
            ("GET", "/x/**/end"),
            ("GET", "/x/**/end:read"),
        ];
        let tree = tree(&rules);
        let find = |method: &str, path: &str| tree.find(method.as_bytes(), path.as_bytes()).0;
        for (method, path, found) in [
            ("GET", "/v1/books", Match::Binding(0)),
            ("POST", "/v1/books", Match::Binding(5)),
            ("PUT", "/v1/books", Match::OtherMethod),
            ("GET", "/v1/shelves", Match::Binding(1)),
            ("GET", "/v1", Match::Binding(2)),
            ("GET", "/v1/", Match::Binding(2)),
            ("GET", "/v1/books/7", Match::Binding(3)),
            ("GET", "/v1/a/new", Match::Binding(4)),
            ("GET", "/v1/books/new", Match::Binding(3)),
            ("GET", "/v1/books/7/pages", Match::Binding(2)),
            ("GET", "/v1/books/any", Match::Binding(6)),
            ("DELETE", "/v1/books/any", Match::Binding(6)),
            ("GET", "/v1/books/7:read", Match::Binding(7)),
            ("GET", "/v1/books/7:write", Match::Binding(3)),
            ("POST", "/v1/books/7:read", Match::OtherMethod),
            ("GET", "/x/end", Match::Binding(8)),
            ("GET", "/x/a/b/end", Match::Binding(8)),
            ("GET", "/x/a/b/end:read", Match::Binding(9)),
            ("GET", "/x/a/b", Match::None),
            ("GET", "/y", Match::None),
            ("GET", "", Match::None),
            ("GET", "v1", Match::None),
        ] {
            assert_eq!(find(method, path), found, "{method} {path}");
        }
    }

    #[test]
    fn an_empty_segment_at_the_end() {
        let tree = tree(&[("GET", "/"), ("GET", "/v1/"), ("POST", "/v1"), ("GET", "/v2/{a}"), ("GET", "/:go")]);
        let find = |path: &str| tree.find(b"GET", path.as_bytes()).0;
        for (path, found) in [
            ("/", Match::Binding(0)),
            ("/v1/", Match::Binding(1)),
            ("/v1", Match::OtherMethod),
            ("/v2/", Match::None),
            ("/v2/a/", Match::None),
            ("//", Match::None),
            ("/:go", Match::Binding(4)),
        ] {
            assert_eq!(find(path), found, "{path}");
        }
    }

    #[test]
    fn methods_of_a_path() {
        let tree = tree(&[("PUT", "/a/*"), ("GET", "/a/b"), ("DELETE", "/b"), ("POST", "/a/*:go")]);
        let methods = |path: &str| tree.methods(path.as_bytes()).collect::<Vec<_>>().join(", ");
        assert_eq!(methods("/a/b"), "GET, PUT");
        assert_eq!(methods("/a/c:go"), "POST, PUT");
        assert_eq!(methods("/c"), "");
    }

    #[test]
    fn the_same_template_twice() {
        let mut tree = tree(&[("GET", "/v1/{a}"), ("GET", "/v1/{a=**}")]);
        for (text, first) in [("/v1/{b}", 0), ("/v1/**", 1)] {
            assert_eq!(tree.add(&Template::parse(text).unwrap(), "GET", 9), Err(first));
        }
        assert_eq!(tree.add(&Template::parse("/v1/*:go").unwrap(), "GET", 9), Ok(()));
    }
}
