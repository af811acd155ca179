// SPDX-License-Identifier: Apache-2.0
//! Descriptor sets and path templates of any bytes load or are refused.
//! Seeds are in `seeds/grpc_load`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::grpc::loaded(bytes));
