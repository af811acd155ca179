// SPDX-License-Identifier: Apache-2.0
//! Values of X-Forwarded-For, Forwarded and X-Real-IP.
//! Seeds are in `seeds/forwarded`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::forwarded(bytes));
