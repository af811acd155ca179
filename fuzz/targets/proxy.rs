// SPDX-License-Identifier: Apache-2.0
//! PROXY protocol headers of both versions.
//! Seeds are in `seeds/proxy`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::proxy(bytes));
