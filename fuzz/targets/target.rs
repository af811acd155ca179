// SPDX-License-Identifier: Apache-2.0
//! Paths and queries: normalising twice gives the same as once. Seeds are in `seeds/target`; the unit test `fuzz_seeds`
//! runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::target(bytes));
