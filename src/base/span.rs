// SPDX-License-Identifier: Apache-2.0
//! A range inside a byte buffer, as two 16-bit offsets. They suffice because heads are capped below 64 KiB.

/// `start..end` inside a buffer that the holder of the span knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u16,
    /// One past the last byte; never below `start`.
    pub end: u16,
}

impl Span {
    /// The empty span at zero.
    pub const EMPTY: Span = Span { start: 0, end: 0 };

    /// `start..end`; both must lie below 64 KiB, which the cap on heads guarantees.
    pub fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= usize::from(u16::MAX));
        Span { start: start as u16, end: end as u16 }
    }

    /// The bytes that this span names.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[usize::from(self.start)..usize::from(self.end)]
    }

    /// How many bytes it covers.
    pub fn len(self) -> usize {
        usize::from(self.end - self.start)
    }

    /// True where it covers nothing.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}
