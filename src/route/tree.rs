//! Hot. The radix tree over paths: compressed literal edges, parameter edges, and lists of rules at its nodes.
//!
//! Every node is reached in at most one way for a given path, because a literal edge takes fixed bytes and a parameter edge takes
//! the rest of its segment without the edge's suffix. So a search visits each node at most once. Each node knows the best
//! rank below it; a search never enters a part of the tree that cannot beat what it has (branch and bound), so the
//! answer is the rule of the smallest rank that matches, whatever shape the tree has. `route::grow` builds it.

use crate::base::Span;
use crate::route::host::TreeId;
use crate::route::params::{Fork, Trail};

/// All trees of a table in one arena.
#[derive(Debug, Default)]
pub struct Forest {
    pub(super) nodes: Vec<Node>,
    /// The first byte of each node's label, by node; the children of a node stand side by side.
    pub(super) keys: Vec<u8>,
    pub(super) edges: Vec<Edge>,
    pub(super) leaves: Vec<Leaf>,
    /// Ranks of rules, ascending within each list.
    pub(super) ranks: Vec<u32>,
    /// Labels and suffixes.
    pub(super) bytes: Vec<u8>,
    pub(super) roots: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// The smallest rank at or below this node.
    pub(super) best: u32,
    pub(super) label_start: u32,
    pub(super) label_len: u16,
    pub(super) child_count: u16,
    pub(super) child_first: u32,
    pub(super) edge_first: u32,
    pub(super) edge_count: u16,
    /// It has ways besides its literal children: parameter edges, or lists other than `exact`.
    pub(super) forks: bool,
    pub(super) leaf: u32,
}

/// A way through a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) node: u32,
    pub(super) suffix_start: u32,
    pub(super) suffix_len: u16,
}

/// Where the four lists of a node end in `ranks`; each begins where the one before ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub(super) start: u32,
    /// Rules whose pattern ends here and so must the path.
    pub(super) exact_end: u32,
    /// Rules that take the rest of the path, which is not empty, as a parameter.
    pub(super) tail_end: u32,
    /// Rules whose prefix ends here; the path must end or go on with a slash.
    pub(super) prefix_end: u32,
    /// Rules whose regular expression has a literal prefix that ends here.
    pub(super) regex_end: u32,
}

/// No leaf.
pub(super) const NONE: u32 = u32::MAX;

// A node is what a search loads at every step: two of them fit a cache line.
const _: () = assert!(size_of::<Node>() <= 32);

/// Who is asked about the rules that a search comes by.
pub trait Judge {
    /// Ranks at or above this are of no interest any more.
    fn bar(&self) -> u32;

    /// The paths of these rules match (of regular expressions only the literal prefix does); `spans` are what they take.
    fn judge(&mut self, ranks: &[u32], spans: &[Span]);
}

impl Forest {
    /// Shows every rule of a tree whose pattern matches `path` to `judge`, as long as it is below the bar.
    pub(super) fn walk(&self, tree: TreeId, path: &[u8], trail: &mut Trail, judge: &mut impl Judge) {
        trail.spans.clear();
        trail.forks.clear();
        let mut node = self.roots[tree.0 as usize];
        let mut at = 0;
        loop {
            match self.down(node, at, path, trail, judge) {
                Some(child) => (node, at) = child,
                None => match self.back(path, trail, judge) {
                    Some(other) => (node, at) = other,
                    None => return,
                },
            }
        }
    }

    /// One literal step down, leaving a fork behind where the node has other ways.
    fn down(&self, id: u32, at: usize, path: &[u8], trail: &mut Trail, judge: &mut impl Judge) -> Option<(u32, usize)> {
        let node = &self.nodes[id as usize];
        if node.best >= judge.bar() {
            return None;
        }
        if node.forks {
            trail.forks.push(Fork { node: id, at: at as u16, spans: trail.spans.len() as u16, edge: 0 });
        }
        let Some(byte) = path.get(at) else {
            if node.leaf != NONE {
                let leaf = &self.leaves[node.leaf as usize];
                judge.judge(self.list(leaf.start, leaf.exact_end), &trail.spans);
            }
            return None;
        };
        let first = node.child_first as usize;
        let keys = &self.keys[first..first + usize::from(node.child_count)];
        let child = position(keys, *byte)? + first;
        let label = self.bytes(self.nodes[child].label_start, self.nodes[child].label_len);
        path[at..].starts_with(label).then(|| (child as u32, at + label.len()))
    }

    /// Takes up the nearest fork that still has a way; at its end shows its lists, from the specific to the general.
    fn back(&self, path: &[u8], trail: &mut Trail, judge: &mut impl Judge) -> Option<(u32, usize)> {
        while let Some(fork) = trail.forks.last_mut() {
            let node = &self.nodes[fork.node as usize];
            let at = usize::from(fork.at);
            trail.spans.truncate(usize::from(fork.spans));
            if node.best < judge.bar() && fork.edge < node.edge_count {
                let edge = &self.edges[node.edge_first as usize + usize::from(fork.edge)];
                fork.edge += 1;
                let suffix = self.bytes(edge.suffix_start, edge.suffix_len);
                if let Some(end) = segment(path, at, suffix) {
                    trail.spans.push(Span::new(at, end));
                    return Some((edge.node, end + suffix.len()));
                }
                continue;
            }
            trail.forks.pop();
            if node.leaf != NONE && node.best < judge.bar() {
                self.open_lists(&self.leaves[node.leaf as usize], at, path, trail, judge);
            }
        }
        None
    }

    /// The lists of rules that do not need the path to end at `at`.
    fn open_lists(&self, leaf: &Leaf, at: usize, path: &[u8], trail: &mut Trail, judge: &mut impl Judge) {
        let next = path.get(at);
        if leaf.exact_end < leaf.tail_end && next.is_some() {
            trail.spans.push(Span::new(at, path.len()));
            judge.judge(self.list(leaf.exact_end, leaf.tail_end), &trail.spans);
            trail.spans.pop();
        }
        if leaf.tail_end < leaf.prefix_end && next.is_none_or(|byte| *byte == b'/') {
            judge.judge(self.list(leaf.tail_end, leaf.prefix_end), &trail.spans);
        }
        if leaf.prefix_end < leaf.regex_end {
            judge.judge(self.list(leaf.prefix_end, leaf.regex_end), &trail.spans);
        }
    }

    fn list(&self, start: u32, end: u32) -> &[u32] {
        &self.ranks[start as usize..end as usize]
    }

    fn bytes(&self, start: u32, len: u16) -> &[u8] {
        &self.bytes[start as usize..start as usize + usize::from(len)]
    }
}

/// Where a parameter that starts at `at` ends: at the end of its segment without `suffix`. `None` where it would be empty.
fn segment(path: &[u8], at: usize, suffix: &[u8]) -> Option<usize> {
    let rest = &path[at..];
    let len = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    let taken = len.checked_sub(suffix.len()).filter(|taken| *taken > 0)?;
    (rest[taken..len] == *suffix).then_some(at + taken)
}

/// Where `byte` stands among `keys`. Most nodes have a few children, for which a plain loop beats a call.
fn position(keys: &[u8], byte: u8) -> Option<usize> {
    if keys.len() <= 8 { keys.iter().position(|key| *key == byte) } else { memchr::memchr(byte, keys) }
}
