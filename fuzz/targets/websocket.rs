// SPDX-License-Identifier: Apache-2.0
//! WebSocket frames in both directions: any split of the input gives the same frames, and a second parser agrees. Seeds
//! are in `seeds/websocket`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::websocket::frames(bytes));
