// SPDX-License-Identifier: Apache-2.0
//! Hot. ASCII in HTTP: tables of character classes, reading and writing of numbers, comparison of names without regard
//! to case.
//!
//! Functions write only into the caller's buffer. The largest protocol element they know is a token.

/// `token` characters (RFC 9110 section 5.6.2).
pub(crate) const TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// What a field value may hold between its first and last character: `VCHAR`, `obs-text`, space and tab (RFC 9110
/// section 5.5).
pub(crate) const FIELD_VALUE: [bool; 256] = field_value();

/// The value of a hexadecimal digit; 255 for every other byte.
pub(crate) const HEX: [u8; 256] = hex();

const PAIRS: [u8; 200] = pairs();
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";

/// True if `text` is a `token`: at least one character, all of them token characters.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// True if `text` holds only characters that a field value may hold.
pub(crate) fn is_field_value(text: &[u8]) -> bool {
    text.iter().all(|byte| FIELD_VALUE[usize::from(*byte)])
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex_digit(byte: u8) -> Option<u8> {
    match HEX[byte as usize] {
        255 => None,
        value => Some(value),
    }
}

/// True if `name` equals `lower`, ignoring case. `lower` must hold only lower-case letters, digits and `-`.
///
/// It runs for every field of every head, so it compares eight bytes at a time; the last eight overlap those before.
#[inline]
pub(crate) fn is_name(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) else {
        return differing(short_word(name), short_word(lower)) == 0;
    };
    let (Some(first_lower), Some(last_lower)) = (lower.first_chunk::<8>(), lower.last_chunk::<8>()) else {
        return false;
    };
    let mut differ = differing(u64::from_le_bytes(*first), u64::from_le_bytes(*first_lower));
    differ |= differing(u64::from_le_bytes(*last), u64::from_le_bytes(*last_lower));
    if name.len() > 16 {
        let inner = name[8..].as_chunks::<8>().0.iter().zip(lower[8..].as_chunks::<8>().0);
        for (name, lower) in inner {
            differ |= differing(u64::from_le_bytes(*name), u64::from_le_bytes(*lower));
        }
    }
    differ == 0
}

/// Bits in which `name` differs from `lower` other than the case bit of a letter. Of the characters allowed in `lower`
/// only letters have bit 6, and their case bit is the one below it.
const fn differing(name: u64, lower: u64) -> u64 {
    (name ^ lower) & !((lower & 0x4040_4040_4040_4040) >> 1)
}

/// Up to eight bytes as a number that is different for every text of the same length.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Appends `text` with its upper-case letters made lower-case, eight bytes at a time.
pub(crate) fn push_lower(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        out.extend_from_slice(&lower_word(*word));
    }
    match text.last_chunk() {
        _ if rest.is_empty() => {}
        // The last eight bytes, of which some are there already.
        Some(last) => {
            out.truncate(start + text.len() - last.len());
            out.extend_from_slice(&lower_word(*last));
        }
        None => out.extend(rest.iter().map(u8::to_ascii_lowercase)),
    }
}

const fn lower_word(word: [u8; 8]) -> [u8; 8] {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let word = u64::from_le_bytes(word);
    // Without the high bits nothing carries from byte to byte.
    let low = word & (ONES * 0x7F);
    let from_a = low + ONES * (0x80 - b'A' as u64);
    let above_z = low + ONES * (0x7F - b'Z' as u64);
    let upper = from_a & !above_z & !word & (ONES << 7);
    (word | upper >> 2).to_le_bytes()
}

/// Reads `1*DIGIT`. `None` for anything else (signs, spaces, nothing) and above `u64::MAX`.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// Appends `number` in decimal.
#[inline]
pub(crate) fn push_decimal(out: &mut Vec<u8>, number: u64) {
    match number {
        0..10_000 => push_short_decimal(out, number as u32),
        _ => push_long_decimal(out, number),
    }
}

/// Appends a number below 10 000: four digits are copied from behind the zeros in front.
fn push_short_decimal(out: &mut Vec<u8>, number: u32) {
    let ([thousands, hundreds], [tens, ones]) = (two_digits(number / 100), two_digits(number));
    let zeros = usize::from(number < 1_000) + usize::from(number < 100) + usize::from(number < 10);
    let digits = u32::from_le_bytes([thousands, hundreds, tens, ones]) >> (8 * zeros);
    let end = out.len() + 4 - zeros;
    out.extend_from_slice(&digits.to_le_bytes());
    out.truncate(end);
}

fn push_long_decimal(out: &mut Vec<u8>, mut number: u64) {
    const LONGEST: usize = 20;
    // The digits are written from the end of the first half, so that a copy of fixed length begins with them.
    let mut digits = [0; 2 * LONGEST];
    let mut at = LONGEST;
    while number >= 10 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    // One digit is left, or none where there were pairs only.
    if number > 0 {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    let end = out.len() + LONGEST - at;
    if let Some(copied) = digits[at..].first_chunk::<LONGEST>() {
        out.extend_from_slice(copied);
    }
    out.truncate(end);
}

/// The two decimal digits of a number below 100.
pub(crate) const fn two_digits(number: u32) -> [u8; 2] {
    let pair = (number % 100) as usize * 2;
    [PAIRS[pair], PAIRS[pair + 1]]
}

/// Appends `number` in hexadecimal, upper case, without leading zeros.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn push_hex(out: &mut Vec<u8>, number: u64) {
    let digits = (64 - (number | 1).leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(HEX_UPPER[(number >> (4 * digit)) as usize & 15]);
    }
}

/// The sixteen digits of `number` in lower-case hexadecimal.
pub(crate) fn hex_digits(number: u64) -> [u8; 16] {
    let (high, low) = (eight_digits((number >> 32) as u32), eight_digits(number as u32));
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

/// Eight digits at once, the highest in the highest byte.
const fn eight_digits(number: u32) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let number = number as u64;
    let pairs = (number | number << 16) & 0x0000_FFFF_0000_FFFF;
    let bytes = (pairs | pairs << 8) & 0x00FF_00FF_00FF_00FF;
    let digits = (bytes | bytes << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    // A digit above nine is a letter: adding six carries into its fifth bit.
    let letters = (digits + 6 * ONES) >> 4 & ONES;
    digits + ONES * b'0' as u64 + letters * (b'a' - b'9' - 1) as u64
}

/// Writes `bytes` in lower-case hexadecimal into `out`, which is twice as long.
pub(crate) fn hex_lower(bytes: &[u8], out: &mut [u8]) {
    debug_assert_eq!(out.len(), 2 * bytes.len());
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = HEX_LOWER[usize::from(byte >> 4)];
        pair[1] = HEX_LOWER[usize::from(byte & 15)];
    }
}

/// Appends `%XX` for `byte`, in upper case as RFC 3986 section 2.1 prefers.
pub(crate) fn push_percent(out: &mut Vec<u8>, byte: u8) {
    let digits = [b'%', HEX_UPPER[usize::from(byte >> 4)], HEX_UPPER[usize::from(byte & 15)]];
    out.extend_from_slice(&digits);
}

/// Appends `text` with the bytes above ASCII percent-encoded.
pub(crate) fn push_encoded(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte.is_ascii() {
            true => out.push(*byte),
            false => push_percent(out, *byte),
        }
    }
}

/// A table of letters, digits and the listed characters.
pub(crate) const fn alphanumeric_and(listed: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < listed.len() {
        table[listed[at] as usize] = true;
        at += 1;
    }
    table
}

const fn field_value() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte == 0x09 || (byte >= 0x20 && byte != 0x7F);
        byte += 1;
    }
    table
}

const fn hex() -> [u8; 256] {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789ABCDEF"[value] as usize] = value as u8;
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    table
}

const fn pairs() -> [u8; 200] {
    let mut pairs = [0; 200];
    let mut number = 0;
    while number < 100 {
        pairs[number * 2] = b'0' + (number / 10) as u8;
        pairs[number * 2 + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    pairs
}

/// Are these names of fields the same for an origin that takes `_` for `-` (CGI, WSGI and their kin)? In any case.
///
/// Most names that are compared differ in length, so that much is inlined.
#[inline]
pub(crate) fn is_same_to_origin(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && is_same_folded(one, other)
}

#[inline(never)]
fn is_same_folded(one: &[u8], other: &[u8]) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.iter().zip(other).all(|(one, other)| folded(*one) == folded(*other))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn token_is_the_rfc_list() {
        let listed = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for byte in 0..=255_u8 {
            assert_eq!(TOKEN[usize::from(byte)], listed.contains(&byte), "{byte}");
        }
        assert!(!is_token(b""));
        assert!(is_field_value(b"a\tb \xFF"));
        assert!(!is_field_value(b"a\x7F") && !is_field_value(b"\0"));
    }

    #[test]
    fn decimal_refuses_what_is_not_digits() {
        for text in [&b""[..], b"+1", b"-0", b" 1", b"1 ", b"1_0", b"0x1", b"18446744073709551616"] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
    }

    #[test]
    fn names_compare_in_any_case_only() {
        assert!(is_name(b"Content-Length", b"content-length"));
        assert!(!is_name(b"Content_Length", b"content-length"));
        assert!(!is_name(b"Content\x0DLength", b"content-length"));
        assert!(!is_name(b"hTTp\x12-settings", b"http2-settings"));
        assert!(is_name(b"", b"") && is_name(b"Te", b"te") && !is_name(b"t", b"te"));
    }

    proptest! {
        #[test]
        fn decimal_round_trips(number: u64) {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            prop_assert_eq!(&out, &number.to_string().into_bytes());
            prop_assert_eq!(decimal(&out), Some(number));
        }

        #[test]
        fn lower_case_is_what_the_standard_library_makes(text: Vec<u8>, short in "[@A-Z\\[`a-z{]{0,20}") {
            for text in [&text[..], short.as_bytes()] {
                let mut out = b"Before".to_vec();
                push_lower(&mut out, text);
                prop_assert_eq!(&out[..6], b"Before");
                prop_assert_eq!(&out[6..], text.to_ascii_lowercase());
            }
        }

        #[test]
        fn sixteen_digits_are_what_format_writes(number: u64) {
            prop_assert_eq!(hex_digits(number).to_vec(), format!("{number:016x}").into_bytes());
        }

        #[test]
        fn short_decimals_are_what_format_writes(number in 0_u64..20_000) {
            let mut out = b"=".to_vec();
            push_decimal(&mut out, number);
            prop_assert_eq!(out, format!("={number}").into_bytes());
        }

        #[test]
        fn hex_is_what_format_writes(number: u64) {
            let mut out = Vec::new();
            push_hex(&mut out, number);
            prop_assert_eq!(out, format!("{number:X}").into_bytes());
        }

        #[test]
        fn is_name_agrees_with_the_plain_way(name: Vec<u8>, lower in "[a-z0-9-]{0,20}") {
            let lower = lower.as_bytes();
            prop_assert_eq!(is_name(&name, lower), name.eq_ignore_ascii_case(lower));
            prop_assert!(is_name(&lower.to_ascii_uppercase(), lower));
        }
    }
}
