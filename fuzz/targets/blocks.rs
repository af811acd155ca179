//! Field blocks of HTTP/2: tables stay in step, what is accepted is written in both versions and read as the same.
//! Seeds are in `seeds/blocks`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::wire::check::blocks(bytes));
