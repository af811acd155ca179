// SPDX-License-Identifier: Apache-2.0
//! Apache's variant of MD5-crypt, `$apr1$`, as `htpasswd -m` makes it.

use md5::{Digest, Md5};

/// What such a hash begins with.
pub(super) const MAGIC: &str = "$apr1$";
/// A part of the algorithm.
const ROUNDS: usize = 1_000;
/// The digits of its base64, which is not that of RFC 4648.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// In which order the bytes of the digest are written, three at a time.
const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
/// Characters of the hash behind the salt.
const HASH_LEN: usize = 22;

/// Salt and hash of a text, where it is well formed.
pub(super) fn parts(text: &str) -> Option<(&str, &str)> {
    let (salt, hash) = text.strip_prefix(MAGIC)?.split_once('$')?;
    let formed = (1..=8).contains(&salt.len()) && salt.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    (formed && hash.len() == HASH_LEN && hash.bytes().all(|byte| DIGITS.contains(&byte))).then_some((salt, hash))
}

/// The hash of a password with this salt.
pub(super) fn hash(password: &[u8], salt: &[u8]) -> [u8; HASH_LEN] {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = Md5::new().chain_update(password).chain_update(MAGIC).chain_update(salt);
    for chunk in password.chunks(inner.len()) {
        first.update(&inner[..chunk.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        // A zero for each bit that is set, else the first byte of the password.
        first.update(if bits & 1 == 1 { &[0][..] } else { &password[..1] });
        bits >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..ROUNDS {
        let mut next = Md5::new();
        next.update(if round % 2 == 1 { password } else { &digest[..] });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if round % 2 == 1 { &digest[..] } else { password });
        digest = next.finalize();
    }
    let mut out = [0; HASH_LEN];
    let mut places = out.iter_mut();
    let mut write = |mut bits: usize, count: usize| {
        for place in places.by_ref().take(count) {
            *place = DIGITS[bits & 63];
            bits >>= 6;
        }
    };
    for [high, middle, low] in ORDER {
        write(usize::from(digest[high]) << 16 | usize::from(digest[middle]) << 8 | usize::from(digest[low]), 4);
    }
    write(usize::from(digest[11]), 2);
    out
}
