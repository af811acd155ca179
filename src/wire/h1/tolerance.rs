// SPDX-License-Identifier: Apache-2.0
//! Deviations from RFC 9112 in responses that an operator may accept. Each has one reading only, and the connection
//! that showed one is not used again.

/// One deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Deviation {
    /// `Content-Length` beside `Transfer-Encoding: chunked`; the length is ignored (RFC 9112 section 6.3 item 3).
    LengthWithChunked,
    /// The same `Content-Length` several times, in several lines or as a list (section 6.3 item 5).
    RepeatedLength,
    /// Spaces and tabs behind the size of a chunk (section 7.1.1).
    ChunkSizeSpaces,
    /// Lines of a head that end in LF alone (section 2.2).
    LineFeeds,
}

/// The deviations that are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tolerance(u8);

impl Tolerance {
    /// Accepts nothing.
    pub const NONE: Tolerance = Tolerance(0);

    /// Is this one accepted?
    pub const fn has(self, deviation: Deviation) -> bool {
        self.0 >> deviation as u8 & 1 != 0
    }
}

impl FromIterator<Deviation> for Tolerance {
    fn from_iter<I: IntoIterator<Item = Deviation>>(deviations: I) -> Tolerance {
        Tolerance(deviations.into_iter().fold(0, |set, deviation| set | 1 << deviation as u8))
    }
}
