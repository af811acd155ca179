// SPDX-License-Identifier: Apache-2.0
//! Replies of a Redis.
//! Seeds are in `seeds/resp`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::resp(bytes));
