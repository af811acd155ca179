// SPDX-License-Identifier: Apache-2.0
//! Hot. From a host to the trees that hold its rules, most specific first: exact, then wildcards by length, then any.
//!
//! A lookup costs one hash for the exact name and one for each label where a wildcard of that length exists, however
//! many hosts there are.

use std::collections::HashMap;

use ahash::RandomState;

use crate::route::rule::HostPattern;

/// A tree in the table's arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeId(pub u32);

/// Hosts to trees.
#[derive(Debug)]
pub(crate) struct Hosts {
    exact: HashMap<Box<[u8]>, TreeId, RandomState>,
    suffixes: HashMap<Box<[u8]>, TreeId, RandomState>,
    /// Lengths of suffixes that exist, so that other labels of a host are not even hashed.
    lengths: [u64; 4],
    any: Option<TreeId>,
}

impl Default for Hosts {
    fn default() -> Hosts {
        // The keys are the operator's own, so nobody can choose them to collide, and fixed seeds keep counts
        // repeatable.
        let state = RandomState::with_seeds(1, 2, 3, 4);
        Hosts {
            exact: HashMap::with_hasher(state.clone()),
            suffixes: HashMap::with_hasher(state),
            lengths: [0; 4],
            any: None,
        }
    }
}

impl Hosts {
    /// The tree of that pattern, made by `make` where it is new.
    pub(crate) fn tree_for(&mut self, host: &HostPattern, make: impl FnOnce() -> TreeId) -> TreeId {
        match host {
            HostPattern::Exact(name) => *self.exact.entry(name.as_bytes().into()).or_insert_with(make),
            HostPattern::Suffix(suffix) => {
                let len = suffix.len().min(255);
                self.lengths[len / 64] |= 1 << (len % 64);
                *self.suffixes.entry(suffix.as_bytes().into()).or_insert_with(make)
            }
            HostPattern::Any => *self.any.get_or_insert_with(make),
        }
    }

    /// Calls `visit` with every tree that has rules for `host` (lower case, no port), most specific first.
    pub(crate) fn each(&self, host: &[u8], mut visit: impl FnMut(TreeId)) {
        let host = host.strip_suffix(b".").unwrap_or(host);
        if !self.exact.is_empty()
            && let Some(tree) = self.exact.get(host)
        {
            visit(*tree);
        }
        if !self.suffixes.is_empty() {
            self.each_suffix(host, &mut visit);
        }
        if let Some(tree) = self.any {
            visit(tree);
        }
    }

    fn each_suffix(&self, host: &[u8], visit: &mut impl FnMut(TreeId)) {
        // A suffix needs at least one byte before it.
        for dot in memchr::memchr_iter(b'.', host).filter(|dot| *dot > 0) {
            let suffix = &host[dot..];
            let len = suffix.len().min(255);
            if self.lengths[len / 64] & (1 << (len % 64)) != 0
                && let Some(tree) = self.suffixes.get(suffix)
            {
                visit(*tree);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_come_most_specific_first() {
        let mut hosts = Hosts::default();
        for (number, text) in ["*", "*.b", "*.a.b", "x.a.b", "[::1]"].iter().enumerate() {
            hosts.tree_for(&HostPattern::parse(text).unwrap(), || TreeId(number as u32));
        }
        assert_eq!(hosts.tree_for(&HostPattern::Any, || TreeId(99)), TreeId(0));
        let found = |host: &str| {
            let mut trees = Vec::new();
            hosts.each(host.as_bytes(), |tree| trees.push(tree.0));
            trees
        };
        assert_eq!(found("x.a.b"), [3, 2, 1, 0]);
        assert_eq!(found("x.a.b."), [3, 2, 1, 0]);
        assert_eq!(found("y.x.a.b"), [2, 1, 0]);
        assert_eq!(found("a.b"), [1, 0]);
        assert_eq!(found("b"), [0]);
        assert_eq!(found(".b"), [0]);
        assert_eq!(found(""), [0]);
        assert_eq!(found("[::1]"), [4, 0]);
    }
}
