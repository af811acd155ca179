// SPDX-License-Identifier: Apache-2.0
//! Hot. Finds certain bytes by examining sixteen at a time, with one bit for each byte.
//!
//! `ControlSearch` keeps the bits of the 64 bytes that it examined last. So each byte of a head is examined once, and
//! each of the many short lines in it costs a few bit operations.

/// Bytes that are examined at once.
pub(crate) const PART: usize = 16;
/// Bytes whose bits a `ControlSearch` keeps.
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
/// All but letters and the hyphen: what ends nearly every name of a field.
pub(crate) struct OutsideName;
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

/// The position of the first byte of the class among sixteen.
#[inline]
pub(crate) fn find_in<C: ByteClass>(part: &[u8; PART]) -> Option<usize> {
    let marks = C::marks(part);
    (marks != 0).then(|| marks.trailing_zeros() as usize)
}

/// Appends `text`, if no byte of it is of the class. Else nothing, and the position of the first such byte.
///
/// It copies what it examines, so a short text costs no call, and what is written behind it is cut off again.
#[inline]
pub(crate) fn append_without<C: ByteClass>(out: &mut Vec<u8>, text: &[u8]) -> Result<(), usize> {
    let start = out.len();
    let (parts, rest) = text.as_chunks::<PART>();
    let mut marks = 0;
    for part in parts {
        marks |= C::marks(part);
        out.extend_from_slice(part);
    }
    if !rest.is_empty() {
        let last = match text.last_chunk() {
            // The last bytes, with some that were copied before in front of them.
            Some(part) => {
                out.truncate(start + text.len() - PART);
                marks |= C::marks(part);
                *part
            }
            None => {
                let part = padded(rest);
                marks |= C::marks(&part) & ((1 << rest.len()) - 1);
                part
            }
        };
        out.extend_from_slice(&last);
        out.truncate(start + text.len());
    }
    if marks == 0 {
        return Ok(());
    }
    out.truncate(start);
    Err(find::<C>(text).unwrap_or(text.len()))
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

/// A search for control characters from the front of a head to its end.
pub(crate) struct ControlSearch<'a> {
    bytes: &'a [u8],
    /// Start of the block that was examined last.
    block: usize,
    /// Where its control characters are. What lies behind the last byte is marked too.
    controls: u64,
}

impl<'a> ControlSearch<'a> {
    /// A search of `bytes` from `start` on.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], start: usize) -> ControlSearch<'a> {
        ControlSearch { bytes, block: start, controls: controls(bytes, start) }
    }

    /// The position of the CRLF behind what a field value may hold, which begins at `from`. `None` where another
    /// control character than a tab is in front of it, or none at all. `from` must not be smaller than in any call
    /// before.
    #[inline(always)]
    pub(crate) fn text_end(&mut self, from: usize) -> Option<usize> {
        let mut from = from;
        loop {
            let skipped = from - self.block;
            let left = if skipped < BLOCK { self.controls >> skipped } else { 0 };
            if left == 0 {
                from = from.max(self.block + BLOCK);
                self.block = from;
                self.controls = controls(self.bytes, from);
                continue;
            }
            let end = from + left.trailing_zeros() as usize;
            match self.bytes.get(end..)? {
                [b'\r', b'\n', ..] => return Some(end),
                [b'\t', ..] => from = end + 1,
                _ => return None,
            }
        }
    }
}

/// Where the control characters of the block that begins at `from` are; what lies behind the last byte counts as such.
#[inline]
fn controls(bytes: &[u8], from: usize) -> u64 {
    let rest = bytes.get(from..).unwrap_or_default();
    match (rest.first_chunk(), bytes.last_chunk()) {
        (Some(block), _) => controls_in(block),
        (None, _) if rest.is_empty() => !0,
        // The last bytes, with some that were examined before in front of them.
        (None, Some(block)) => controls_in(block) >> (BLOCK - rest.len()) | !0 << rest.len(),
        (None, None) => {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            controls_in(&block)
        }
    }
}

#[inline]
fn controls_in(block: &[u8; BLOCK]) -> u64 {
    let parts = block.as_chunks::<PART>().0.iter().enumerate();
    parts.fold(0, |all, (at, part)| all | u64::from(Controls::marks(part)) << (PART * at))
}

#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(not(target_arch = "x86_64"))]
mod portable {
    use super::{ByteClass, Colons, Controls, Escaped, OutsideName, OutsideTarget, PART, words};

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

    impl ByteClass for OutsideName {
        fn marks(part: &[u8; PART]) -> u16 {
            words::each(part, words::outside_name)
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

    /// The high bits of the bytes that few names of fields hold.
    pub(super) fn outside_name(word: u64) -> u64 {
        let lower = word | (ONES * 0x20);
        let letters = below(lower, b'z' + 1) & !below(lower, b'a');
        HIGH & !(letters | equal(word, b'-'))
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

    const CLASSES: [(Is, Find); 5] = [
        (|byte| byte == b':', find::<Colons>),
        (|byte| byte.is_ascii_control(), find::<Controls>),
        (|byte| !byte.is_ascii_alphabetic() && byte != b'-', find::<OutsideName>),
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
            }
        }
    }

    #[test]
    fn texts_end_with_crlf_wherever_it_is() {
        for len in [3, 16, 17, 63, 64, 65, 66, 127, 128, 129, 130, 300] {
            for byte in 0..=255 {
                let mut bytes = vec![b'a'; len];
                bytes.iter_mut().step_by(usize::from(byte) % 13 + 1).for_each(|place| *place = byte);
                for end in [0, 1, len / 2, len - 2] {
                    bytes[end..].iter_mut().zip(b"\r\n").for_each(|(place, byte)| *place = *byte);
                    let mut search = ControlSearch::new(&bytes, 0);
                    for from in [0, end / 2, end] {
                        let text = bytes[from..end].iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
                        assert_eq!(
                            search.text_end(from).is_some_and(|at| at == end),
                            text,
                            "{byte} {from} {end} {len}"
                        );
                    }
                }
            }
        }
        assert_eq!(ControlSearch::new(b"", 0).text_end(0), None);
        assert_eq!(ControlSearch::new(&[b'a'; 100], 0).text_end(99), None);
        assert_eq!(ControlSearch::new(b"a\r", 0).text_end(0), None);
    }

    #[test]
    fn a_text_is_appended_whole_or_not_at_all() {
        for len in 0..70 {
            let plain = vec![b'a'; len];
            let mut out = b"before".to_vec();
            assert_eq!(append_without::<Escaped>(&mut out, &plain), Ok(()));
            assert_eq!(out, [b"before", &plain[..]].concat());
            for at in 0..len {
                let mut spoilt = plain.clone();
                spoilt[at] = b'"';
                spoilt[len - 1] = b'"';
                let mut out = b"before".to_vec();
                assert_eq!(append_without::<Escaped>(&mut out, &spoilt), Err(at));
                assert_eq!(out, b"before");
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
            assert_eq!(words::each(&part, words::outside_name), OutsideName::marks(&part));
            assert_eq!(words::each(&part, words::outside_target), OutsideTarget::marks(&part));
            assert_eq!(words::each(&part, words::escaped), Escaped::marks(&part));
        }
    }
}
