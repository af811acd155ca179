// SPDX-License-Identifier: Apache-2.0
//! gRPC and gRPC-Web bodies: any split of the input gives the same result, and decoded messages can be encoded again.
//! Seeds are in `seeds/grpc_body`; the unit test `fuzz_seeds` runs them through the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnpike::fuzz::grpc::body(bytes));
