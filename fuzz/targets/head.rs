//! Request heads: two readings agree, splits do not matter, what is written has one reading.
//! Seeds are in `seeds/head`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::wire::check::head(bytes));
