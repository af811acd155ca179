// SPDX-License-Identifier: Apache-2.0
//! Hot. What a route's pattern took out of a path, and the memory that a search needs. Kept by an exchange and
//! reused, so that finding a route allocates nothing.

use crate::base::Span;
use crate::base::limits::PARAMS_MAX;

/// The parameters of the route that was found, in the order in which the route counts them, as spans into the path that
/// was searched.
///
/// They are not percent-decoded. Their names are those of the rule (`Rule::params`).
#[derive(Clone, Debug, Default)]
pub struct Params {
    pub(super) found: Spans,
    pub(super) trail: Backtrack,
}

/// Spans in order. A pattern has no more than `PARAMS_MAX`, so a way through the tree has no more either.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spans {
    list: [Span; PARAMS_MAX],
    len: u8,
}

/// Where a search stands and where it may turn back to.
#[derive(Clone, Debug, Default)]
pub(super) struct Backtrack {
    pub(super) spans: Spans,
    /// Grows to the depth of the deepest search, and keeps that memory.
    pub(super) forks: Vec<Fork>,
}

/// A node whose other ways were not tried yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    pub(super) node: u32,
    pub(super) at: u16,
    /// Parameter edges that were tried.
    pub(super) tried: u16,
    /// Spans taken before it.
    pub(super) spans: u8,
}

impl Params {
    /// Their spans in order.
    pub fn spans(&self) -> &[Span] {
        self.found.as_slice()
    }

    /// The value of the route's parameter at `position`; `None` where the route has fewer.
    pub fn value<'a>(&self, position: u16, path: &'a [u8]) -> Option<&'a [u8]> {
        self.spans().get(usize::from(position)).map(|span| span.of(path))
    }
}

impl Spans {
    pub(super) fn as_slice(&self) -> &[Span] {
        &self.list[..usize::from(self.len)]
    }

    pub(super) const fn len(&self) -> u8 {
        self.len
    }

    pub(super) fn push(&mut self, span: Span) {
        debug_assert!(usize::from(self.len) < PARAMS_MAX, "a pattern has more parameters than allowed");
        if let Some(slot) = self.list.get_mut(usize::from(self.len)) {
            *slot = span;
            self.len += 1;
        }
    }

    /// Keeps the first `len`; `len` must not be above what there is.
    pub(super) fn truncate(&mut self, len: u8) {
        debug_assert!(len <= self.len);
        self.len = len;
    }
}
