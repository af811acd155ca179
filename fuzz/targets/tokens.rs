// SPDX-License-Identifier: Apache-2.0
//! Tokens, sets of keys, PEM keys and URLs: a token has one form and none verifies that nobody has signed; a set holds
//! usable keys only. Seeds are in `seeds/tokens`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::tokens(bytes));
