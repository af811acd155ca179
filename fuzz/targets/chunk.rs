// SPDX-License-Identifier: Apache-2.0
//! Chunked bodies: any split of the input gives the same result, and both modes and a second decoder agree. Seeds are
//! in `seeds/chunk`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::chunked(bytes));
