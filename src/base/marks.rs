// SPDX-License-Identifier: Apache-2.0
//! Hot. Finds certain bytes by examining sixteen at a time, with one bit for each byte.
//!
//! `HeadSearch` keeps the bits of the 64 bytes that it examined last. So each byte of a head is examined once, and each
//! of the many short lines in it costs a few bit operations.

/// Bytes that are examined at once.
pub(crate) const PART: usize = 16;
/// Bytes whose bits a `HeadSearch` keeps.
const BLOCK: usize = 64;

/// Certain bytes.
pub(crate) trait ByteClass {
    /// One bit for each byte of the class, the first byte's lowest.
    fn marks(part: &[u8; PART]) -> u16;
}

/// Control characters (RFC 5234 `CTL`), the tab among them.
pub(crate) struct Controls;
/// Colons.
pub(crate) struct Colons;
/// All but visible ASCII, and the number sign: what ends or spoils a request target.
pub(crate) struct OutsideTarget;
/// All but printable ASCII, and the quotation mark and the backslash: what a quoted text of a log escapes.
pub(crate) struct Escaped;

/// The position of the first byte of the class.
#[inline]
pub(crate) fn find<C: ByteClass>(bytes: &[u8]) -> Option<usize> {
    let (parts, rest) = bytes.as_chunks::<PART>();
    for (number, part) in parts.iter().enumerate() {
        let marks = C::marks(part);
        if marks != 0 {
            return Some(number * PART + marks.trailing_zeros() as usize);
        }
    }
    if rest.is_empty() {
        return None;
    }
    let start = bytes.len() - rest.len();
    let marks = match bytes.last_chunk() {
        // The last bytes, with some that were examined before in front of them.
        Some(part) => C::marks(part) >> (PART - rest.len()),
        None => C::marks(&padded(rest)) & ((1 << rest.len()) - 1),
    };
    (marks != 0).then(|| start + marks.trailing_zeros() as usize)
}

/// Fewer bytes than a part, and zeros behind them.
#[inline]
fn padded(bytes: &[u8]) -> [u8; PART] {
    let len = bytes.len();
    let word = |low: u64, high: u64, high_at: usize| u128::from(low) | u128::from(high) << (8 * high_at);
    let all = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        word(u64::from_le_bytes(*first), u64::from_le_bytes(*last), len - 8)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        word(u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into(), len - 4)
    } else {
        bytes.iter().rev().fold(0, |all, byte| all << 8 | u128::from(*byte))
    };
    all.to_le_bytes()
}

/// A search for colons and control characters from the front of a head to its end.
pub(crate) struct HeadSearch<'a> {
    bytes: &'a [u8],
    /// Start and end of the block that was examined last.
    block: usize,
    end: usize,
    colons: u64,
    controls: u64,
}

impl<'a> HeadSearch<'a> {
    /// A search of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> HeadSearch<'a> {
        HeadSearch { bytes, block: 0, end: 0, colons: 0, controls: 0 }
    }

    /// The position of the next colon at or after `from`. `from` must not be smaller than in any call before.
    #[inline]
    pub(crate) fn colon(&mut self, from: usize) -> Option<usize> {
        let mut from = from;
        loop {
            if from < self.end {
                let marks = self.colons >> (from - self.block);
                if marks != 0 {
                    return Some(from + marks.trailing_zeros() as usize);
                }
                from = self.end;
            }
            self.look(from)?;
        }
    }

    /// The position of the next control character at or after `from`. `from` must not be smaller than in any call
    /// before.
    #[inline]
    pub(crate) fn control(&mut self, from: usize) -> Option<usize> {
        let mut from = from;
        loop {
            if from < self.end {
                let marks = self.controls >> (from - self.block);
                if marks != 0 {
                    return Some(from + marks.trailing_zeros() as usize);
                }
                from = self.end;
            }
            self.look(from)?;
        }
    }

    /// Examines the block that begins at `from`; `None` where there are no bytes left.
    #[inline(never)]
    fn look(&mut self, from: usize) -> Option<()> {
        let rest = self.bytes.get(from..).filter(|rest| !rest.is_empty())?;
        self.block = from;
        self.end = from + rest.len().min(BLOCK);
        match (rest.first_chunk(), self.bytes.last_chunk()) {
            (Some(block), _) => self.examine(block, 0),
            // The last bytes, with some that were examined before in front of them.
            (None, Some(block)) => self.examine(block, BLOCK - rest.len()),
            (None, None) => {
                let mut block = [b' '; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                self.examine(&block, 0);
            }
        }
        Some(())
    }

    /// Notes what is in `block` behind its first `skipped` bytes.
    #[inline]
    fn examine(&mut self, block: &[u8; BLOCK], skipped: usize) {
        let (mut colons, mut controls) = (0, 0);
        for (at, part) in block.as_chunks::<PART>().0.iter().enumerate() {
            colons |= u64::from(Colons::marks(part)) << (PART * at);
            controls |= u64::from(Controls::marks(part)) << (PART * at);
        }
        self.colons = colons >> skipped;
        self.controls = controls >> skipped;
    }
}

#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(not(target_arch = "x86_64"))]
mod portable {
    use super::{ByteClass, Colons, Controls, Escaped, OutsideTarget, PART, words};

    impl ByteClass for Controls {
        fn marks(part: &[u8; PART]) -> u16 {
            words::each(part, words::controls)
        }
    }

    impl ByteClass for Colons {
        fn marks(part: &[u8; PART]) -> u16 {
            words::each(part, |word| words::equal(word, b':'))
        }
    }

    impl ByteClass for OutsideTarget {
        fn marks(part: &[u8; PART]) -> u16 {
            words::each(part, words::outside_target)
        }
    }

    impl ByteClass for Escaped {
        fn marks(part: &[u8; PART]) -> u16 {
            words::each(part, words::escaped)
        }
    }
}

/// Eight bytes in a register, for processors without vectors that we know.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::PART;

    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;

    /// The high bits of the bytes that are below `limit`, which is at most 0x80.
    fn below(word: u64, limit: u8) -> u64 {
        !(word | HIGH).wrapping_sub(ONES * u64::from(limit)) & !word & HIGH
    }

    /// The high bits of the bytes that are control characters.
    pub(super) fn controls(word: u64) -> u64 {
        below(word, 0x20) | equal(word, 0x7F)
    }

    /// The high bits of the bytes that no request target holds.
    pub(super) fn outside_target(word: u64) -> u64 {
        below(word, 0x21) | equal(word, 0x7F) | equal(word, b'#') | word & HIGH
    }

    /// The high bits of the bytes that a log escapes.
    pub(super) fn escaped(word: u64) -> u64 {
        controls(word) | equal(word, b'"') | equal(word, b'\\') | word & HIGH
    }

    /// The high bits of the bytes that equal `byte`.
    pub(super) fn equal(word: u64, byte: u8) -> u64 {
        let differ = word ^ (ONES * u64::from(byte));
        !(((differ & !HIGH) + !HIGH) | differ) & HIGH
    }

    /// One bit a byte of what `marks` says by high bits.
    pub(super) fn each(part: &[u8; PART], marks: impl Fn(u64) -> u64) -> u16 {
        let words = part.as_chunks::<8>().0.iter().enumerate();
        words.fold(0, |all, (at, word)| {
            let high = marks(u64::from_le_bytes(*word));
            all | (((high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u16) << (8 * at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Is = fn(u8) -> bool;
    type Find = fn(&[u8]) -> Option<usize>;

    const CLASSES: [(Is, Find); 4] = [
        (|byte| byte == b':', find::<Colons>),
        (|byte| byte.is_ascii_control(), find::<Controls>),
        (|byte| !(0x21..0x7F).contains(&byte) || byte == b'#', find::<OutsideTarget>),
        (|byte| !(0x20..0x7F).contains(&byte) || byte == b'"' || byte == b'\\', find::<Escaped>),
    ];

    /// All that `next` finds, one behind the other.
    fn all(mut next: impl FnMut(usize) -> Option<usize>) -> Vec<usize> {
        let mut from = 0;
        std::iter::from_fn(|| {
            let at = next(from)?;
            from = at + 1;
            Some(at)
        })
        .collect()
    }

    #[test]
    fn every_byte_is_found_wherever_it_is() {
        for len in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 100, 127, 128, 129, 300] {
            for byte in 0..=255 {
                let mut bytes = vec![b'a'; len];
                bytes.iter_mut().step_by(usize::from(byte) % 13 + 1).for_each(|place| *place = byte);
                let wanted = |is: fn(u8) -> bool| (0..len).filter(|at| is(bytes[*at])).collect::<Vec<_>>();
                for (is, find) in CLASSES {
                    let found = all(|from| find(&bytes[from..]).map(|at| from + at));
                    assert_eq!(found, wanted(is), "{byte} in {len}");
                }
                let mut search = HeadSearch::new(&bytes);
                assert_eq!(all(|from| search.colon(from)), wanted(|byte| byte == b':'), "{byte} in {len}");
                let mut search = HeadSearch::new(&bytes);
                assert_eq!(all(|from| search.control(from)), wanted(|byte| byte.is_ascii_control()), "{byte} in {len}");
            }
        }
    }

    #[test]
    fn words_and_vectors_agree() {
        for byte in 0..=255 {
            let mut part = [b'a'; PART];
            (0..PART).step_by(5).for_each(|at| part[at] = byte);
            assert_eq!(words::each(&part, words::controls), Controls::marks(&part));
            assert_eq!(words::each(&part, |word| words::equal(word, b':')), Colons::marks(&part));
            assert_eq!(words::each(&part, words::outside_target), OutsideTarget::marks(&part));
            assert_eq!(words::each(&part, words::escaped), Escaped::marks(&part));
        }
    }
}
