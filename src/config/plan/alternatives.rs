// SPDX-License-Identifier: Apache-2.0
//! Policies of a list that are alternatives: one of them must identify the caller.

/// The places of a list of policies that are alternatives. They stand side by side; none are the usual case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alternatives {
    first: u16,
    end: u16,
}

impl Alternatives {
    /// From `first` on, before `end`. A list has `POLICIES_MAX` policies at most, or was reported.
    pub(crate) fn new(first: usize, end: usize) -> Alternatives {
        let place = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Alternatives { first: place(first), end: place(end) }
    }

    /// Is this place one of them?
    pub(crate) fn contains(self, at: usize) -> bool {
        (usize::from(self.first)..usize::from(self.end)).contains(&at)
    }

    /// Are there several?
    pub(crate) fn are_several(self) -> bool {
        self.end > self.first + 1
    }

    /// The place behind the last of them.
    pub(crate) fn end(self) -> usize {
        self.end.into()
    }
}
