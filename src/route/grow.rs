// SPDX-License-Identifier: Apache-2.0
//! Builds the arena of `route::tree`: patterns are grown into a loose tree first, then laid out so that the children
//! of a node stand side by side.

use std::collections::BTreeMap;

use crate::route::host::TreeId;
use crate::route::pattern::{Part, PathPattern};
use crate::route::tree::{Edge, Forest, Leaf, NO_CHILD, NONE, Node};

/// Trees that still grow.
#[derive(Debug, Default)]
pub(crate) struct TreeBuilder {
    nodes: Vec<Sprout>,
    roots: Vec<usize>,
}

#[derive(Debug, Default)]
struct Sprout {
    label: Vec<u8>,
    children: BTreeMap<u8, usize>,
    /// Suffix and node.
    edges: Vec<(Box<[u8]>, usize)>,
    lists: [Vec<u32>; 4],
}

/// Which of a node's four lists; the order in `Leaf`.
#[derive(Clone, Copy)]
enum List {
    Exact = 0,
    Tail = 1,
    Prefix = 2,
    Open = 3,
}

impl TreeBuilder {
    /// A new empty tree.
    pub(crate) fn plant(&mut self) -> TreeId {
        self.roots.push(self.nodes.len());
        self.nodes.push(Sprout::default());
        TreeId(self.roots.len() as u32 - 1)
    }

    /// Adds the rule of that rank. Ranks must come in ascending order.
    pub(crate) fn add(&mut self, tree: TreeId, path: &PathPattern, rank: u32) {
        let root = self.roots[tree.0 as usize];
        let (node, list) = match path {
            PathPattern::Exact(text) => (self.literal(root, text.as_bytes()), List::Exact),
            PathPattern::Prefix(text) => (self.literal(root, text.as_bytes()), List::Prefix),
            PathPattern::Regex(regex) => (self.literal(root, regex.literal_prefix()), List::Open),
            PathPattern::TextPrefix(text) => (self.literal(root, text.as_bytes()), List::Open),
            PathPattern::Template(template) => self.template(root, template.parts()),
        };
        self.nodes[node].lists[list as usize].push(rank);
    }

    fn template(&mut self, root: usize, parts: &[Part]) -> (usize, List) {
        let mut node = root;
        for part in parts {
            match part {
                Part::Literal(bytes) => node = self.literal(node, bytes),
                Part::Param { suffix } => node = self.param(node, suffix),
                Part::Tail => return (node, List::Tail),
            }
        }
        (node, List::Exact)
    }

    /// The node that `bytes` lead to from `node`, grown where it is not there.
    fn literal(&mut self, mut node: usize, mut bytes: &[u8]) -> usize {
        while let Some(first) = bytes.first() {
            let Some(child) = self.nodes[node].children.get(first).copied() else {
                let leaf = self.sprout(bytes.to_vec());
                self.nodes[node].children.insert(*first, leaf);
                return leaf;
            };
            let label = &self.nodes[child].label;
            let common = label.iter().zip(bytes).take_while(|(one, two)| one == two).count();
            let next = if common < label.len() { self.split(node, child, common) } else { child };
            bytes = &bytes[common..];
            node = next;
        }
        node
    }

    /// Puts a node between `parent` and `child` that takes the first `len` bytes of the child's label.
    fn split(&mut self, parent: usize, child: usize, len: usize) -> usize {
        let rest = self.nodes[child].label.split_off(len);
        let label = std::mem::replace(&mut self.nodes[child].label, rest);
        let (upper, lower) = (label[0], self.nodes[child].label[0]);
        let middle = self.sprout(label);
        self.nodes[middle].children.insert(lower, child);
        self.nodes[parent].children.insert(upper, middle);
        middle
    }

    fn param(&mut self, node: usize, suffix: &[u8]) -> usize {
        if let Some((_, known)) = self.nodes[node].edges.iter().find(|(known, _)| **known == *suffix) {
            return *known;
        }
        let next = self.sprout(Vec::new());
        let edges = &mut self.nodes[node].edges;
        edges.push((suffix.into(), next));
        // The longest suffix is the most specific. Tried first, it most often has the best rank, so that the others are
        // skipped.
        edges.sort_by(|one, two| two.0.len().cmp(&one.0.len()).then_with(|| one.0.cmp(&two.0)));
        next
    }

    fn sprout(&mut self, label: Vec<u8>) -> usize {
        self.nodes.push(Sprout { label, ..Sprout::default() });
        self.nodes.len() - 1
    }

    /// Lays all trees out.
    pub(crate) fn harvest(self) -> Forest {
        let mut forest = Forest::default();
        // The sprout that each laid-out node came from; children are appended when their parent is reached.
        let mut sprouts = Vec::with_capacity(self.nodes.len());
        for root in &self.roots {
            forest.roots.push(sprouts.len() as u32);
            let first = sprouts.len();
            sprouts.push(*root);
            let mut next = first;
            while next < sprouts.len() {
                let sprout = &self.nodes[sprouts[next]];
                forest.lay(sprout, sprouts.len() as u32);
                sprouts.extend(sprout.children.values());
                sprouts.extend(sprout.edges.iter().map(|(_, node)| node));
                next += 1;
            }
        }
        forest.bound();
        forest
    }
}

impl Forest {
    /// Appends one node whose children, then the targets of its edges, will stand at `first`.
    fn lay(&mut self, sprout: &Sprout, first: u32) {
        let label = sprout.label.get(1..).unwrap_or_default();
        let label_start = self.intern(label);
        let edge_first = self.edges.len() as u32;
        let target_first = first + sprout.children.len() as u32;
        for (offset, (suffix, _)) in sprout.edges.iter().enumerate() {
            let suffix_start = self.intern(suffix);
            let node = target_first + offset as u32;
            self.edges.push(Edge { node, suffix_start, suffix_len: suffix.len() as u16 });
        }
        let [exact, open @ ..] = &sprout.lists;
        let leaf = self.leaf(sprout);
        let (slot_first, low, width) = self.slots(sprout);
        self.nodes.push(Node {
            best: NONE,
            label_start,
            child_first: first,
            slot_first,
            edge_first,
            label_len: label.len() as u16,
            edge_count: sprout.edges.len() as u16,
            low,
            width,
            forks: !sprout.edges.is_empty() || open.iter().any(|list| !list.is_empty()),
            leaf: if exact.is_empty() && open.iter().all(Vec::is_empty) { NONE } else { leaf },
        });
    }

    /// Appends the slots of a node: where they are, their lowest byte, how many.
    fn slots(&mut self, sprout: &Sprout) -> (u32, u8, u8) {
        let start = self.slots.len();
        let (Some((low, _)), Some((high, _))) = (sprout.children.first_key_value(), sprout.children.last_key_value())
        else {
            return (start as u32, 0, 0);
        };
        let width = high - low + 1;
        self.slots.resize(start + usize::from(width), NO_CHILD);
        for (number, byte) in sprout.children.keys().enumerate() {
            self.slots[start + usize::from(byte - low)] = number as u8;
        }
        (start as u32, *low, width)
    }

    /// Appends the four lists of a node; the number of their leaf.
    fn leaf(&mut self, sprout: &Sprout) -> u32 {
        let start = self.ranks.len() as u32;
        let [exact_end, tail_end, prefix_end, open_end] = sprout.lists.each_ref().map(|list| {
            self.ranks.extend_from_slice(list);
            self.ranks.len() as u32
        });
        if open_end > start {
            self.leaves.push(Leaf { start, exact_end, tail_end, prefix_end, open_end });
        }
        (self.leaves.len() as u32).wrapping_sub(1)
    }

    fn intern(&mut self, bytes: &[u8]) -> u32 {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        start
    }

    /// Fills in the best rank at and below each node. Children stand behind their parents, so from the end to the
    /// front.
    fn bound(&mut self) {
        for id in (0..self.nodes.len()).rev() {
            let node = self.nodes[id];
            let leaf = self.leaves.get(node.leaf as usize);
            let own = leaf.and_then(|leaf| self.ranks[leaf.start as usize..leaf.open_end as usize].iter().min());
            let slots = &self.slots[node.slot_first as usize..][..usize::from(node.width)];
            let children = slots.iter().filter(|slot| **slot != NO_CHILD);
            let children = children.map(|slot| self.nodes[node.child_first as usize + usize::from(*slot)].best);
            let edges = &self.edges[node.edge_first as usize..][..usize::from(node.edge_count)];
            let targets = edges.iter().map(|edge| self.nodes[edge.node as usize].best);
            self.nodes[id].best = own.copied().into_iter().chain(children).chain(targets).min().unwrap_or(NONE);
        }
    }
}
