// SPDX-License-Identifier: Apache-2.0
//! What an API key looks like that the gateway makes: `PREFIX_`, 27 characters of base62 (160 random bits) and 6
//! characters of base62 with the CRC-32 of all before them.
//!
//! Scanners for leaked secrets find such keys by their prefix and can tell them from other texts without asking
//! anybody, and a mistyped key is refused without a look-up. Keys are stored as SHA-256 only: a key is long and random,
//! so a fast hash suffices.

use sha2::{Digest, Sha256};

use crate::policy::directory::KeyHash;

/// A longer key is not even hashed.
pub(crate) const KEY_BYTES_MAX: usize = 1_024;
/// Longest prefix, in bytes.
pub(crate) const PREFIX_BYTES_MAX: usize = 16;
/// Random bytes of a key.
pub(crate) const RANDOM_BYTES: usize = 20;

const RANDOM_DIGITS: usize = 27;
const CHECKSUM_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyForm {
    /// Not as one that the gateway makes.
    Foreign,
    /// As one that the gateway makes.
    Sound,
    /// As one that the gateway makes, but with a wrong checksum: no such key was ever made.
    Broken,
}

/// What a key looks like. `prefix` is what the gateway's own keys begin with, without the `_`.
pub(crate) fn form_of(prefix: &[u8], key: &[u8]) -> KeyForm {
    let Some(digits) = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(b"_")) else {
        return KeyForm::Foreign;
    };
    if digits.len() != RANDOM_DIGITS + CHECKSUM_DIGITS || !digits.iter().all(u8::is_ascii_alphanumeric) {
        return KeyForm::Foreign;
    }
    let (body, checksum) = key.split_at(key.len() - CHECKSUM_DIGITS);
    if *checksum == checksum_of(body) { KeyForm::Sound } else { KeyForm::Broken }
}

/// Makes a key of random bytes.
pub(crate) fn make(prefix: &str, random: [u8; RANDOM_BYTES]) -> String {
    let mut key = Vec::with_capacity(prefix.len() + 1 + RANDOM_DIGITS + CHECKSUM_DIGITS);
    key.extend_from_slice(prefix.as_bytes());
    key.push(b'_');
    key.extend_from_slice(&base62::<RANDOM_DIGITS>(random.to_vec()));
    let checksum = checksum_of(&key);
    key.extend_from_slice(&checksum);
    String::from_utf8(key).expect("a text and letters and digits are a text")
}

/// May keys begin with this?
pub(crate) fn is_prefix(text: &str) -> bool {
    (1..=PREFIX_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The hash that is kept instead of a key.
pub(crate) fn hash_of(key: &[u8]) -> KeyHash {
    Sha256::digest(key).into()
}

/// Reads a hash as the configuration writes it: 64 hexadecimal digits.
pub(crate) fn parse_hash(text: &str) -> Option<KeyHash> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = (pair[0] as char).to_digit(16)?;
        let low = (pair[1] as char).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(hash)
}

fn checksum_of(body: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let mut digits = [0; CHECKSUM_DIGITS];
    let mut rest = crc32(body) as usize;
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[rest % 62];
        rest /= 62;
    }
    digits
}

/// A number of any length (the most significant byte first) in so many digits.
fn base62<const COUNT: usize>(mut number: Vec<u8>) -> [u8; COUNT] {
    let mut digits = [0; COUNT];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0;
        for byte in &mut number {
            let part = rest * 256 + usize::from(*byte);
            *byte = (part / 62) as u8;
            rest = part % 62;
        }
        *digit = DIGITS[rest];
    }
    digits
}

/// CRC-32 as in gzip (RFC 1952 section 8).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| CRC_TABLE[usize::from(crc as u8 ^ *byte)] ^ (crc >> 8))
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sound_and_every_change_of_one_letter_is_found() {
        for fill in [0, 1, 0x5A, 0xFF] {
            let key = make("tpk", [fill; RANDOM_BYTES]);
            assert_eq!((key.len(), form_of(b"tpk", key.as_bytes())), (4 + 33, KeyForm::Sound), "{key}");
            for at in 4..key.len() {
                let mut changed = key.clone().into_bytes();
                changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
                assert_eq!(form_of(b"tpk", &changed), KeyForm::Broken, "at {at}");
            }
        }
    }

    #[test]
    fn what_looks_otherwise_is_foreign() {
        let key = make("tpk", [7; RANDOM_BYTES]);
        const FOREIGN: &[&str] = &["", "tpk", "tpk_", "tpk_short", "tpx_", "TPK_", "tpk-"];
        for text in FOREIGN {
            assert_eq!(form_of(b"tpk", text.as_bytes()), KeyForm::Foreign, "{text}");
        }
        assert_eq!(form_of(b"tp", key.as_bytes()), KeyForm::Foreign);
        assert_eq!(form_of(b"tpk", format!("{key}0").as_bytes()), KeyForm::Foreign);
        assert_eq!(form_of(b"tpk", key.replace('0', "-").as_bytes()), KeyForm::Foreign);
    }

    #[test]
    fn known_values_hold() {
        // The check value that every catalogue of CRCs lists for CRC-32.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(&base62::<3>(vec![0, 61]), b"00z");
        assert_eq!(&base62::<3>(vec![1, 0]), b"048");
        // 2^160 - 1 has 27 digits.
        assert_eq!(&base62::<27>(vec![0xFF; 20])[..1], b"a");
        assert!(is_prefix("tpk") && !is_prefix("") && !is_prefix("a_b") && !is_prefix(&"a".repeat(17)));
    }

    #[test]
    fn hashes_are_read_as_written() {
        // The example of FIPS 180-2, appendix B.1.
        let text = "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(parse_hash(text), Some(hash_of(b"abc")));
        assert_eq!(parse_hash(&text[1..]), None);
        assert_eq!(parse_hash(&text.replace('B', "g")), None);
        assert_eq!(parse_hash(&"é".repeat(32)), None);
    }
}
