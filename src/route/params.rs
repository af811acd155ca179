//! Hot. What a route's pattern took out of a path, and the memory that a search needs. Kept by an exchange and reused, so
//! that finding a route allocates nothing.

use smallvec::SmallVec;

use crate::base::Span;
use crate::base::limits::PARAMS_MAX;

/// The parameters of the route that was found, in the order of its pattern, as spans into the path that was searched.
///
/// They are not percent-decoded. Their names are the pattern's (`PathPattern::names`, `Table::params_of`).
#[derive(Clone, Debug, Default)]
pub struct Params {
    pub(super) found: Spans,
    pub(super) trail: Trail,
}

/// Spans in the order of a pattern.
pub(super) type Spans = SmallVec<[Span; PARAMS_MAX]>;

/// Where a search stands and where it may turn back to.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    pub(super) spans: Spans,
    pub(super) forks: SmallVec<[Fork; 16]>,
}

/// A node whose other ways were not tried yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    pub(super) node: u32,
    pub(super) at: u16,
    /// Spans taken before it.
    pub(super) spans: u16,
    /// The parameter edge to try next.
    pub(super) edge: u16,
}

impl Params {
    /// Their spans in order.
    pub fn spans(&self) -> &[Span] {
        &self.found
    }

    /// The value of the parameter at `position` of the pattern; `None` where the pattern has fewer.
    pub fn value<'a>(&self, position: u16, path: &'a [u8]) -> Option<&'a [u8]> {
        self.found.get(usize::from(position)).map(|span| span.of(path))
    }
}
