//! Paths and queries: normal forms are normal.
//! Seeds are in `seeds/target`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::wire::check::target(bytes));
