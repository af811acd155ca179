// SPDX-License-Identifier: Apache-2.0
//! Hot. The radix tree over paths: compressed literal edges, parameter edges, and lists of rules at its nodes.
//!
//! Every node is reached in at most one way for a given path, because a literal edge takes fixed bytes and a
//! parameter edge takes the rest of its segment without the edge's suffix. So a search visits each node at most once.
//! Each node knows the best rank below it; a search never enters a part of the tree that cannot beat what it has
//! (branch and bound), so the answer is the rule of the smallest rank that matches, whatever shape the tree has.
//! `route::grow` builds it.

use crate::base::Span;
use crate::route::host::TreeId;
use crate::route::params::{Backtrack, Fork, Spans};

/// All trees of a table in one arena.
#[derive(Debug, Default)]
pub(super) struct Forest {
    pub(super) nodes: Vec<Node>,
    /// For each node, from the lowest first byte of its children to the highest: which child has it, or `NO_CHILD`.
    pub(super) slots: Vec<u8>,
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
    /// The label without its first byte, which is the slot that leads here.
    pub(super) label_start: u32,
    /// The children stand side by side.
    pub(super) child_first: u32,
    pub(super) slot_first: u32,
    pub(super) edge_first: u32,
    pub(super) leaf: u32,
    pub(super) label_len: u16,
    pub(super) edge_count: u16,
    /// The lowest first byte of a child.
    pub(super) low: u8,
    /// How many slots there are.
    pub(super) width: u8,
    /// It has other edges than literal ones, or other lists than `exact`.
    pub(super) forks: bool,
}

/// A parameter edge.
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
    /// Rules whose text prefix ends here, and those whose regular expression has a literal prefix that does.
    pub(super) open_end: u32,
}

/// No leaf.
pub(super) const NONE: u32 = u32::MAX;
/// No child for that byte. Patterns are UTF-8, in which 13 byte values never occur, so this is no child's number.
pub(super) const NO_CHILD: u8 = u8::MAX;

// A node is what a search loads at every step: two of them fit a cache line.
const _: () = assert!(size_of::<Node>() == 32);

/// Decides about the rules that a search finds.
pub(super) trait Judge {
    /// The search may skip rules whose rank is at or above this.
    fn bar(&self) -> u32;

    /// The paths of these rules match (of regular expressions only the literal prefix does); `spans` are what they
    /// take.
    fn judge(&mut self, ranks: &[u32], spans: &Spans);
}

impl Forest {
    /// Shows every rule of a tree whose pattern matches `path` to `judge`, as long as it is below the bar.
    pub(super) fn walk(&self, tree: TreeId, path: &[u8], trail: &mut Backtrack, judge: &mut impl Judge) {
        trail.spans.truncate(0);
        trail.forks.clear();
        let mut way = Some((self.roots[tree.0 as usize], 0));
        while let Some((node, at)) = way {
            self.down(node, at, path, trail, judge);
            way = self.back(path, trail, judge);
        }
    }

    /// Goes down along literals as far as they lead, leaving forks behind where nodes have other ways.
    fn down(&self, mut id: u32, at: usize, path: &[u8], trail: &mut Backtrack, judge: &mut impl Judge) {
        let bar = judge.bar();
        let mut node = &self.nodes[id as usize];
        let mut rest = &path[at..];
        while node.best < bar {
            if node.forks {
                let at = (path.len() - rest.len()) as u16;
                trail.forks.push(Fork { node: id, at, tried: 0, spans: trail.spans.len() });
            }
            let Some((byte, behind)) = rest.split_first() else {
                if let Some(leaf) = self.leaves.get(node.leaf as usize) {
                    judge.judge(self.list(leaf.start, leaf.exact_end), &trail.spans);
                }
                return;
            };
            let slot = byte.wrapping_sub(node.low);
            if slot >= node.width {
                return;
            }
            let child = self.slots[node.slot_first as usize + usize::from(slot)];
            if child == NO_CHILD {
                return;
            }
            id = node.child_first + u32::from(child);
            node = &self.nodes[id as usize];
            rest = behind;
            // The first byte of its label was the slot's; what follows is its label here.
            if node.label_len > 0 {
                let label = self.bytes(node.label_start, node.label_len);
                let Some(behind) = rest.strip_prefix(label) else { return };
                rest = behind;
            }
        }
    }

    /// Takes up the nearest fork that still has a way; at its end shows its lists, from the specific to the general.
    fn back(&self, path: &[u8], trail: &mut Backtrack, judge: &mut impl Judge) -> Option<(u32, usize)> {
        while let Some(fork) = trail.forks.last_mut() {
            let node = &self.nodes[fork.node as usize];
            if node.best >= judge.bar() {
                trail.forks.pop();
                continue;
            }
            let at = usize::from(fork.at);
            trail.spans.truncate(fork.spans);
            if fork.tried < node.edge_count {
                let edge = &self.edges[node.edge_first as usize + usize::from(fork.tried)];
                fork.tried += 1;
                let suffix = self.bytes(edge.suffix_start, edge.suffix_len);
                if let Some(end) = segment(path, at, suffix) {
                    trail.spans.push(Span::new(at, end));
                    return Some((edge.node, end + suffix.len()));
                }
                continue;
            }
            trail.forks.pop();
            if let Some(leaf) = self.leaves.get(node.leaf as usize) {
                self.open_lists(leaf, at, path, trail, judge);
            }
        }
        None
    }

    /// The lists of rules that do not need the path to end at `at`.
    fn open_lists(&self, leaf: &Leaf, at: usize, path: &[u8], trail: &mut Backtrack, judge: &mut impl Judge) {
        let next = path.get(at);
        if leaf.exact_end < leaf.tail_end && next.is_some() {
            let before = trail.spans.len();
            trail.spans.push(Span::new(at, path.len()));
            judge.judge(self.list(leaf.exact_end, leaf.tail_end), &trail.spans);
            trail.spans.truncate(before);
        }
        if leaf.tail_end < leaf.prefix_end && next.is_none_or(|byte| *byte == b'/') {
            judge.judge(self.list(leaf.tail_end, leaf.prefix_end), &trail.spans);
        }
        if leaf.prefix_end < leaf.open_end {
            judge.judge(self.list(leaf.prefix_end, leaf.open_end), &trail.spans);
        }
    }

    fn list(&self, start: u32, end: u32) -> &[u32] {
        &self.ranks[start as usize..end as usize]
    }

    fn bytes(&self, start: u32, len: u16) -> &[u8] {
        &self.bytes[start as usize..start as usize + usize::from(len)]
    }
}

/// Where a parameter that starts at `at` ends: at the end of its segment without `suffix`. `None` where it would be
/// empty.
fn segment(path: &[u8], at: usize, suffix: &[u8]) -> Option<usize> {
    let rest = &path[at..];
    let len = segment_len(rest);
    if suffix.is_empty() {
        return (len > 0).then_some(at + len);
    }
    let taken = len.checked_sub(suffix.len()).filter(|taken| *taken > 0)?;
    (rest[taken..len] == *suffix).then_some(at + taken)
}

/// Bytes before the first slash. Segments are short: eight bytes at a time beat a call to a wider search.
fn segment_len(rest: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut len = 0;
    let (words, tail) = rest.as_chunks::<8>();
    for word in words {
        let slashes = u64::from_le_bytes(*word) ^ (ONES * b'/' as u64);
        // The lowest byte that is zero has its high bit set here; bits above it may be wrong, which does no harm.
        let zeroes = slashes.wrapping_sub(ONES) & !slashes & (ONES << 7);
        if zeroes != 0 {
            return len + zeroes.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + tail.iter().take_while(|byte| **byte != b'/').count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn segments_end_at_the_first_slash(
            text in prop::collection::vec(prop::sample::select(b"a/.0\xaf\x2e\x30\x00\xff".to_vec()), 0..40),
        ) {
            prop_assert_eq!(segment_len(&text), text.iter().position(|byte| *byte == b'/').unwrap_or(text.len()));
        }

        #[test]
        fn long_segments_end_at_the_first_slash(len in 0..70_usize, other in any::<u8>()) {
            let mut text = vec![if other == b'/' { b'.' } else { other }; len];
            prop_assert_eq!(segment_len(&text), len);
            text.extend_from_slice(b"/x/");
            prop_assert_eq!(segment_len(&text), len);
        }
    }
}
