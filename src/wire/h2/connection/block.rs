// SPDX-License-Identifier: Apache-2.0
//! Hot. A header block that came in part: HEADERS, and CONTINUATION so far (RFC 9113 section 6.10).

/// A header block that is not complete.
#[derive(Debug)]
pub(super) struct Block {
    /// Zero where there is none.
    pub stream: u32,
    pub flags: u8,
    pub continuations: u32,
    pub fragments: Vec<u8>,
}

impl Block {
    pub(super) const NONE: Block = Block { stream: 0, flags: 0, continuations: 0, fragments: Vec::new() };

    pub(super) const fn is_open(&self) -> bool {
        self.stream != 0
    }

    pub(super) fn shrink(&mut self) {
        if !self.is_open() {
            self.fragments = Vec::new();
        }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.fragments.capacity()
    }
}
