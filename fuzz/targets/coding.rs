// SPDX-License-Identifier: Apache-2.0
//! Content codings: `Accept-Encoding`, media types, what a coding changes in a head, and the encoder.
//! Seeds are in `seeds/coding`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::coding(bytes));
