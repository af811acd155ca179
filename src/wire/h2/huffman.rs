// SPDX-License-Identifier: Apache-2.0
//! Hot. The Huffman code of header compression (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols, and follow those
//! of the length before. So the lengths say everything, and all tables are made of them when the gateway is compiled.

/// The number of bits of each symbol's code; the last is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

/// EOS, which no string may hold.
const EOS: u16 = 256;
/// Bits of the longest code.
const LEN_MAX: usize = 30;
/// Codes up to this many bits are found by one lookup; they cover letters, digits and most punctuation.
const SHORT: u32 = 8;

/// Each byte's code in the high 32 bits, its length in the low.
static CODES: [u64; 256] = codes();

/// By the next eight bits: the length of the code there in the high byte, its symbol in the low; zero where the code is
/// longer.
static SHORT_CODES: [u16; 1 << SHORT] = short_codes();

/// Longer codes, by length.
static LONG_CODES: [Long; LEN_MAX + 1] = long_codes();

/// All symbols in the order of their codes.
static SYMBOLS: [u16; 257] = symbols();

/// The codes of one length.
#[derive(Clone, Copy)]
struct Long {
    /// The first code of any greater length, with the bits it starts with at the top of 32.
    end: u64,
    /// The first code of this length.
    first: u32,
    /// Where its symbol is in `SYMBOLS`.
    at: u16,
}

const _: () = assert!(kraft() == 1 << LEN_MAX, "the code is complete: every bit string starts with one code");

/// Length of `text` when coded, in bytes.
pub fn coded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Appends `text` coded, padded with ones (section 5.2), where that is shorter than `text`; otherwise false, and
/// nothing is appended.
#[must_use]
pub fn encode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.resize(start + text.len(), 0);
    let len = encode_into(text, &mut out[start..]);
    out.truncate(start + len.unwrap_or_default());
    len.is_some()
}

/// Writes `text` coded into `out`, which is as long as it. `None` where the code is not shorter.
fn encode_into(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut word: u64 = 0;
    let mut bits = 0;
    let mut at = 0;
    for byte in text {
        let code = CODES[usize::from(*byte)];
        // The length is in the low bits, and a shift looks at no more than six.
        let len = code as u32;
        word = word << (len & 63) | code >> 32;
        bits += len;
        if bits >= 32 {
            bits -= 32;
            *out.get_mut(at..)?.first_chunk_mut::<4>()? = ((word >> bits) as u32).to_be_bytes();
            at += 4;
        }
    }
    let padding = bits.next_multiple_of(8) - bits;
    let padded = word << padding | ((1 << padding) - 1);
    let last = ((bits + padding) / 8) as usize;
    let end = at + last;
    if end >= out.len() {
        return None;
    }
    out[at..end].copy_from_slice(&padded.to_be_bytes()[8 - last..]);
    Some(end)
}

/// Appends what `text` stands for. False where it is no code, contains EOS, or is not padded with at most seven bits of
/// one; what was appended until then is of no use.
#[must_use]
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    // No code is shorter than five bits.
    out.resize(start + text.len() * 8 / 5, 0);
    match decode_into(text, &mut out[start..]) {
        Some(len) => {
            out.truncate(start + len);
            true
        }
        None => false,
    }
}

/// Symbols that are looked up between two looks at the input: so many short codes are in what it holds at least.
const STEP: usize = 7;

fn decode_into(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut rest = text;
    // The next bits are the highest of `word`. `bits` of them, at most 63, are counted; what is below those is zero or
    // the bits that come next, which will be put there again.
    let mut word: u64 = 0;
    let mut bits: u32 = 0;
    let mut at = 0;
    while let Some(next) = rest.first_chunk::<8>()
        && let Some(slots) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<STEP>)
    {
        word |= u64::from_be_bytes(*next) >> bits;
        let taken = (63 - bits) >> 3;
        rest = &rest[taken as usize..];
        bits += taken * 8;
        let mut found = 0;
        for slot in slots {
            let entry = SHORT_CODES[(word >> (64 - SHORT)) as usize];
            if entry == 0 {
                break;
            }
            let len = u32::from(entry >> 8);
            *slot = entry as u8;
            word <<= len;
            bits -= len;
            found += 1;
        }
        at += found;
        if found < STEP && bits >= LEN_MAX as u32 {
            let (symbol, taken) = long(word)?;
            *out.get_mut(at)? = symbol;
            at += 1;
            word <<= taken;
            bits -= taken;
        }
    }
    loop {
        while bits < 56
            && let Some((byte, behind)) = rest.split_first()
        {
            word |= u64::from(*byte) << (56 - bits);
            bits += 8;
            rest = behind;
        }
        if rest.is_empty() {
            return finish(word, bits, out, at);
        }
        while bits >= LEN_MAX as u32 {
            let (symbol, taken) = first(word)?;
            *out.get_mut(at)? = symbol;
            at += 1;
            word <<= taken;
            bits -= taken;
        }
    }
}

/// Decodes what is left when all bytes were read.
fn finish(word: u64, mut bits: u32, out: &mut [u8], mut at: usize) -> Option<usize> {
    // The word with all its bits turned, so that what is shifted in from below stands for ones, as padding does.
    let mut turned = if bits == 0 { 0 } else { !word & !(u64::MAX >> bits) };
    while bits >= 8 || (bits > 0 && turned != 0) {
        let (symbol, taken) = first(!turned)?;
        bits = bits.checked_sub(taken)?;
        *out.get_mut(at)? = symbol;
        at += 1;
        turned <<= taken;
    }
    Some(at)
}

/// The symbol whose code `word` starts with, and the length of that code; `None` for EOS.
#[inline(always)]
fn first(word: u64) -> Option<(u8, u32)> {
    let entry = SHORT_CODES[(word >> (64 - SHORT)) as usize];
    if entry != 0 { Some((entry as u8, u32::from(entry >> 8))) } else { long(word) }
}

#[cold]
fn long(word: u64) -> Option<(u8, u32)> {
    let top = word >> 32;
    for len in SHORT + 1..=LEN_MAX as u32 {
        let Long { end, first, at } = LONG_CODES[len as usize];
        if top < end {
            let code = (top >> (32 - len)) as u32;
            let symbol = SYMBOLS[usize::from(at) + (code - first) as usize];
            return u8::try_from(symbol).ok().map(|symbol| (symbol, len));
        }
    }
    None
}

const fn kraft() -> u64 {
    let mut sum = 0;
    let mut symbol = 0;
    while symbol < LENGTHS.len() {
        sum += 1 << (LEN_MAX - LENGTHS[symbol] as usize);
        symbol += 1;
    }
    sum
}

const fn symbols() -> [u16; 257] {
    let mut symbols = [EOS; 257];
    let mut found = 0;
    let mut len = 1;
    while len <= LEN_MAX {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == len {
                symbols[found] = symbol as u16;
                found += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    symbols
}

const fn long_codes() -> [Long; LEN_MAX + 1] {
    let mut long = [Long { end: 0, first: 0, at: 0 }; LEN_MAX + 1];
    let mut code: u32 = 0;
    let mut at = 0;
    let mut len = 1;
    while len <= LEN_MAX {
        code <<= 1;
        let first = code;
        let start = at;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == len {
                code += 1;
                at += 1;
            }
            symbol += 1;
        }
        long[len] = Long { end: (code as u64) << (32 - len), first, at: start };
        len += 1;
    }
    long
}

const fn codes() -> [u64; 256] {
    let symbols = symbols();
    let long = long_codes();
    let mut codes = [0; 256];
    let mut at = 0;
    while at < symbols.len() {
        let symbol = symbols[at];
        if symbol != EOS {
            let len = LENGTHS[symbol as usize] as usize;
            let code = long[len].first + (at as u32 - long[len].at as u32);
            codes[symbol as usize] = (code as u64) << 32 | len as u64;
        }
        at += 1;
    }
    codes
}

const fn short_codes() -> [u16; 1 << SHORT] {
    let codes = codes();
    let mut short = [0; 1 << SHORT];
    let mut symbol = 0;
    while symbol < codes.len() {
        let len = codes[symbol] as u32;
        if len <= SHORT {
            let first = ((codes[symbol] >> 32) << (SHORT - len)) as usize;
            let mut at = 0;
            while at < 1 << (SHORT - len) {
                short[first + at] = (len as u16) << 8 | symbol as u16;
                at += 1;
            }
        }
        symbol += 1;
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        decode(text, &mut out).then(|| out.split_off(6))
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Some of each length, from appendix B.
        let listed: [(u8, u64, u64); 14] = [
            (b'0', 0x0, 5),
            (b't', 0x9, 5),
            (b' ', 0x14, 6),
            (b'u', 0x2D, 6),
            (b':', 0x5C, 7),
            (b'z', 0x7B, 7),
            (b'&', 0xF8, 8),
            (b'Z', 0xFD, 8),
            (b'!', 0x3F8, 10),
            (b'|', 0x7FC, 11),
            (b'@', 0x1FFA, 13),
            (b'\\', 0x7FFF0, 19),
            (249, 0xFFF_FFFE, 28),
            (22, 0x3FFF_FFFE, 30),
        ];
        for (symbol, code, len) in listed {
            assert_eq!(CODES[usize::from(symbol)], code << 32 | len, "{symbol}");
        }
    }

    #[test]
    fn padding_is_at_most_seven_ones() {
        assert_eq!(decoded(b""), Some(vec![]));
        assert_eq!(decoded(&[0x07]), Some(b"0".to_vec()));
        // Eight bits of padding, a zero in it, and EOS.
        assert_eq!(decoded(&[0xFF]), None);
        assert_eq!(decoded(&[0x07, 0xFF]), None);
        assert_eq!(decoded(&[0x06]), None);
        assert_eq!(decoded(&[0xFF, 0xFF, 0xFF, 0xFF]), None);
        assert_eq!(decoded(&[0xFF, 0xFF, 0xFF, 0xFC]), None);
        // A code that is cut off.
        assert_eq!(decoded(&[0xFE]), None);
        assert_eq!(decoded(&[0xFF, 0xC0]), None);
    }

    #[test]
    fn every_byte_round_trips() {
        // With enough of what has short codes, the code is shorter.
        let all: Vec<u8> = (0..=255).chain([b'e'; 2_000]).collect();
        let mut coded = Vec::new();
        assert!(encode(&all, &mut coded));
        assert_eq!(coded.len(), coded_len(&all));
        assert_eq!(decoded(&coded), Some(all));
    }

    /// Text that is mostly made of short codes, and bytes that are not.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![20 => prop::sample::select(b"aeiost012 -/x".to_vec()), 1 => any::<u8>()];
        prop_oneof![prop::collection::vec(byte, 0..120), prop::collection::vec(any::<u8>(), 0..40)]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in texts()) {
            let mut coded = b"before".to_vec();
            let shorter = encode(&text, &mut coded);
            prop_assert_eq!(shorter, coded_len(&text) < text.len());
            if shorter {
                let coded = coded.split_off(6);
                prop_assert_eq!(coded.len(), coded_len(&text));
                prop_assert_eq!(decoded(&coded), Some(text));
            } else {
                prop_assert_eq!(coded, b"before");
            }
        }

        #[test]
        fn what_is_decoded_has_one_code(coded: Vec<u8>) {
            // The code is prefix-free and its padding fixed.
            if let Some(text) = decoded(&coded) {
                prop_assert_eq!(coded.len(), coded_len(&text));
                let mut again = Vec::new();
                if encode(&text, &mut again) {
                    prop_assert_eq!(again, coded);
                }
            }
        }
    }
}
