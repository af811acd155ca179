// SPDX-License-Identifier: Apache-2.0
//! Perfect hash tables for a few names that are known at compile time. The owner of a table derives a key from each
//! name; the slot is that key times a multiplier.

/// Slots of a table.
pub(crate) const COUNT: usize = 256;

/// The slot of a key under a multiplier.
pub(crate) const fn slot(key: u32, seed: u32) -> usize {
    (key.wrapping_mul(seed) >> 24) as usize
}

/// The first multiplier under which no two of the keys share a slot. It does not end where two keys are equal.
pub(crate) const fn seed(keys: &[u32]) -> u32 {
    let mut seed: u32 = 0x9E37_79B1;
    loop {
        if distinct(keys, seed) {
            return seed;
        }
        seed = seed.wrapping_mul(0x0019_660D).wrapping_add(0x3C6E_F35F) | 1;
    }
}

const fn distinct(keys: &[u32], seed: u32) -> bool {
    let mut taken = [false; COUNT];
    let mut at = 0;
    while at < keys.len() {
        let slot = slot(keys[at], seed);
        if taken[slot] {
            return false;
        }
        taken[slot] = true;
        at += 1;
    }
    true
}
