// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 frames to either role of a connection: any split of the input gives the same events and output, and the
//! output consists of whole frames. Seeds are in `seeds/frames`; the unit test `fuzz_seeds` runs them through the same
//! function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::wire::frames(bytes));
