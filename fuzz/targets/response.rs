// SPDX-License-Identifier: Apache-2.0
//! Response heads, with the properties of request heads.
//! Seeds are in `seeds/response`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::response_head(bytes));
