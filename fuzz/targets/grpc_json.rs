// SPDX-License-Identifier: Apache-2.0
//! JSON transcoding: any bytes as JSON, as a message, as a path with a query and as an error's details. Seeds are in
//! `seeds/grpc_json`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::grpc::transcoded(bytes));
