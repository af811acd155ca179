// SPDX-License-Identifier: Apache-2.0
//! Turnpike as a process, with the clients and origins of the real world around it.
//!
//! One program of tests, so that the harness is built once. A test is one thing that a user would notice.

mod harness;

mod connections;
mod grpc;
mod http1;
mod http2;
mod policies;
mod process;
mod published;
mod routing;
mod upstreams;
mod websocket;
