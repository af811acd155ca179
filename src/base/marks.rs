// SPDX-License-Identifier: Apache-2.0
//! Hot. Finds certain bytes by examining 64 bytes at a time, with one bit for each byte.
//!
//! A search keeps the bits of the block that it examined last. So each block of a head is examined once, and each of
//! the many short lines in it costs a few bit operations.

use std::marker::PhantomData;

/// Bytes of a block, one bit each.
pub(crate) const BLOCK: usize = 64;

/// What a search looks for.
pub(crate) trait ByteClass {
    /// One bit for each wanted byte of the block, the first byte's lowest.
    fn marks(block: &[u8; BLOCK]) -> u64;
}

/// Control characters (RFC 5234 `CTL`), the tab among them.
pub(crate) struct Controls;
/// Colons.
pub(crate) struct Colons;

/// A search from the front of some bytes to their end.
pub(crate) struct Search<'a, W> {
    bytes: &'a [u8],
    /// Start and end of the block that was examined last.
    block: usize,
    end: usize,
    marks: u64,
    wanted: PhantomData<W>,
}

impl<'a, W: ByteClass> Search<'a, W> {
    /// A search of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Search<'a, W> {
        Search { bytes, block: 0, end: 0, marks: 0, wanted: PhantomData }
    }

    /// The position of the next wanted byte at or after `from`. `from` must not be smaller than in the call before.
    #[inline]
    pub(crate) fn next(&mut self, from: usize) -> Option<usize> {
        let mut from = from;
        loop {
            if from < self.end {
                let marks = self.marks >> (from - self.block);
                if marks != 0 {
                    return Some(from + marks.trailing_zeros() as usize);
                }
                from = self.end;
            }
            self.look(from)?;
        }
    }

    /// Examines the block that begins at `from`; `None` where there are no bytes left.
    fn look(&mut self, from: usize) -> Option<()> {
        let rest = self.bytes.get(from..).filter(|rest| !rest.is_empty())?;
        self.block = from;
        self.marks = match (rest.first_chunk(), self.bytes.last_chunk()) {
            (Some(block), _) => W::marks(block),
            // The last bytes, with some that were seen before in front of them.
            (None, Some(block)) => W::marks(block) >> (BLOCK - rest.len()),
            (None, None) => {
                let mut block = [b' '; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                W::marks(&block)
            }
        };
        self.end = from + rest.len().min(BLOCK);
        Some(())
    }
}

#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(not(target_arch = "x86_64"))]
impl ByteClass for Controls {
    fn marks(block: &[u8; BLOCK]) -> u64 {
        words::each(block, words::controls)
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl ByteClass for Colons {
    fn marks(block: &[u8; BLOCK]) -> u64 {
        words::each(block, |word| words::equal(word, b':'))
    }
}

/// Eight bytes in a register, for processors without vectors that we know.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::BLOCK;

    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;

    /// The high bits of the bytes that are control characters.
    pub(super) fn controls(word: u64) -> u64 {
        let low = !(word | HIGH).wrapping_sub(ONES * 0x20) & !word & HIGH;
        low | equal(word, 0x7F)
    }

    /// The high bits of the bytes that equal `byte`.
    pub(super) fn equal(word: u64, byte: u8) -> u64 {
        let differ = word ^ (ONES * u64::from(byte));
        !(((differ & !HIGH) + !HIGH) | differ) & HIGH
    }

    /// One bit a byte of what `marks` says by high bits.
    pub(super) fn each(block: &[u8; BLOCK], marks: impl Fn(u64) -> u64) -> u64 {
        let words = block.as_chunks::<8>().0.iter().enumerate();
        words.fold(0, |all, (at, word)| {
            let high = marks(u64::from_le_bytes(*word));
            all | ((high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(bytes: &[u8], is: impl Fn(u8) -> bool) -> Vec<usize> {
        (0..bytes.len()).filter(|at| is(bytes[*at])).collect()
    }

    fn found<W: ByteClass>(bytes: &[u8]) -> Vec<usize> {
        let mut search = Search::<W>::new(bytes);
        let mut from = 0;
        std::iter::from_fn(|| {
            let at = search.next(from)?;
            from = at + 1;
            Some(at)
        })
        .collect()
    }

    #[test]
    fn every_byte_at_every_place() {
        for len in [0, 1, 2, 16, 63, 64, 65, 100, 127, 128, 129, 300] {
            for byte in 0..=255 {
                let mut bytes = vec![b'a'; len];
                bytes.iter_mut().step_by(usize::from(byte) % 13 + 1).for_each(|place| *place = byte);
                assert_eq!(found::<Colons>(&bytes), wanted(&bytes, |byte| byte == b':'), "{byte} in {len}");
                assert_eq!(
                    found::<Controls>(&bytes),
                    wanted(&bytes, |byte| byte.is_ascii_control()),
                    "{byte} in {len}"
                );
            }
        }
    }

    #[test]
    fn words_and_vectors_agree() {
        for byte in 0..=255 {
            let mut block = [b'a'; BLOCK];
            (0..BLOCK).step_by(5).for_each(|at| block[at] = byte);
            assert_eq!(words::each(&block, words::controls), Controls::marks(&block));
            assert_eq!(words::each(&block, |word| words::equal(word, b':')), Colons::marks(&block));
        }
    }
}
