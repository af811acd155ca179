//! Frames of HTTP/2 to either role of a connection: any split of the input gives the same events and output, and what
//! comes out is made of frames. Seeds are in `seeds/frames`; the unit test `fuzz_seeds` runs them through the same
//! function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::wire::check::frames(bytes));
