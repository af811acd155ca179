// SPDX-License-Identifier: Apache-2.0
//! Many keys, of which few have room. `TURNPIKE_FLOOD=1 cargo nextest run --lib flood` has two million of them.

use super::*;

const KEYS: u64 = if option_env!("TURNPIKE_FLOOD").is_some() { 2_000_000 } else { 200_000 };

/// A good hash of a number.
fn hash(number: u64) -> u64 {
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

#[test]
fn what_is_evicted_cannot_be_used_to_go_above_the_limit() {
    let keys_max = KEYS as usize / 40;
    let slow = Rate::new(3, Duration::from_secs(86_400), 3).unwrap();
    for counted in [Rate::counted(3).unwrap(), slow] {
        let mut part = Part::new(LIMIT, terms(0, counted), shards(0, 1), keys_max).remembering_forgotten();
        let now = Tick::ZERO.after_ms(1);
        let mut admitted = vec![0_u8; KEYS as usize];
        // Those at the front come again and again among all the others.
        for number in 0..KEYS {
            for key in [number, number % 64, number / 2] {
                if let Taken::Yes(_) = part.take(hash(key), 1, now) {
                    admitted[key as usize] += 1;
                }
            }
            if number % 10_000 == 0 {
                part.sweep(now);
            }
        }
        assert!(admitted.iter().all(|count| *count <= 3), "a key got above its limit");
        assert!(part.take_counts().held <= keys_max as u64, "the table is bounded");
        let served = admitted.iter().filter(|count| **count > 0).count();
        assert!(served >= keys_max * 2, "{served} keys were served, although they share what forgotten ones left");
    }
}
