// SPDX-License-Identifier: Apache-2.0
//! Hot. UTF-8 (RFC 3629), checked byte by byte, so that a character may be cut between two portions.

/// How far into a character the bytes have come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    /// Bytes that the character still needs.
    needed: u8,
    /// The range of the next one, where it is narrower than 0x80 to 0xBF: no overlong form, no surrogate, nothing above
    /// U+10FFFF.
    range: (u8, u8),
}

impl Utf8 {
    /// Takes one byte. False where it cannot stand here.
    pub(super) fn step(&mut self, byte: u8) -> bool {
        if self.needed > 0 {
            let (low, high) = std::mem::replace(&mut self.range, CONTINUATION);
            self.needed -= 1;
            return (low..=high).contains(&byte);
        }
        (self.needed, self.range) = match byte {
            0..=0x7F => (0, CONTINUATION),
            0xC2..=0xDF => (1, CONTINUATION),
            0xE0 => (2, (0xA0, 0xBF)),
            0xED => (2, (0x80, 0x9F)),
            0xE1..=0xEF => (2, CONTINUATION),
            0xF0 => (3, (0x90, 0xBF)),
            0xF1..=0xF3 => (3, CONTINUATION),
            0xF4 => (3, (0x80, 0x8F)),
            _ => return false,
        };
        true
    }

    /// Is no character cut here?
    pub(super) fn is_between(self) -> bool {
        self.needed == 0
    }
}

const CONTINUATION: (u8, u8) = (0x80, 0xBF);
