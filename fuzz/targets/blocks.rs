// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 field blocks: encoder and decoder tables stay equal, and an accepted head reads back the same after it was
//! written in either HTTP version. Seeds are in `seeds/blocks`; the unit test `fuzz_seeds` runs them through the same
//! function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::blocks(bytes));
