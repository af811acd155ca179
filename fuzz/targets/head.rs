// SPDX-License-Identifier: Apache-2.0
//! Request heads: two parsers agree, any split of the input gives the same result, and a written head reads back the
//! same. Seeds are in `seeds/head`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::head(bytes));
