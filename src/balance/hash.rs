// SPDX-License-Identifier: Apache-2.0
//! Hot. A hash that is the same in all versions, machines and shards, so that a key finds the same endpoint everywhere.
//!
//! It is fast and well mixed, but not collision-resistant. An attacker who chooses keys can at most choose which
//! endpoint gets the attacker's own requests.

/// Hashes `bytes`; equal seeds and bytes give equal hashes for ever (a test pins values).
pub(crate) fn hash_key(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = mix(seed ^ (bytes.len() as u64).wrapping_mul(FACTOR));
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of exactly eight"));
        state = fold(state ^ word);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        state = fold(state ^ u64::from_le_bytes(last));
    }
    mix(state)
}

/// Hashes a number that belongs to `seed`: the points of a ring.
pub(super) fn hash_number(seed: u64, number: u64) -> u64 {
    mix(seed ^ mix(number.wrapping_add(FACTOR)))
}

fn fold(value: u64) -> u64 {
    let product = u128::from(value) * u128::from(FACTOR);
    ((product as u64) ^ (product >> 64) as u64).wrapping_add(INCREMENT)
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    value = (value ^ (value >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    value ^ (value >> 32)
}

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
const INCREMENT: u64 = 0xA076_1D64_78BD_642F;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_pinned_and_spread() {
        // Computed by a second implementation. A change here moves every key of every user.
        assert_eq!(hash_key(0, b""), 0);
        assert_eq!(hash_key(0, b"a"), 0x24d0_ea19_09e8_e4c4);
        assert_eq!(hash_key(7, b"10.0.0.1:8080"), 0xfa42_9015_3b71_a44b);
        let keys: Vec<u64> = (0..4_096).map(|number: u32| hash_key(7, format!("user-{number}").as_bytes())).collect();
        for bit in 0..64 {
            let ones = keys.iter().filter(|key| *key >> bit & 1 == 1).count();
            assert!((1_850..=2_250).contains(&ones), "bit {bit} is set in {ones} of 4096");
        }
        let distinct: std::collections::HashSet<u64> = keys.iter().copied().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_ne!(hash_key(0, b"a"), hash_key(0, b"a\0"));
        assert_ne!(hash_key(0, b"a"), hash_key(1, b"a"));
    }
}
