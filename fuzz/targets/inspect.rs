// SPDX-License-Identifier: Apache-2.0
//! JSON and XML that are looked at in passing: any split of the input gives the same verdict, and what passes as JSON
//! is JSON to another parser. Seeds are in `seeds/inspect`; the unit test `fuzz_seeds` runs them through the same
//! property.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::inspect(bytes));
