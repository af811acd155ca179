// SPDX-License-Identifier: Apache-2.0
//! The cases that others published, as requests to a process (see `src/wire/published/cases.rs`).

#[path = "../../../../src/wire/published/cases.rs"]
mod cases;
mod gateway_api;
mod http11_cases;
mod readings;
mod smuggling_http1;
mod smuggling_http2;
