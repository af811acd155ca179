// SPDX-License-Identifier: Apache-2.0
//! Turnpike: an edge proxy and API gateway in one binary.
//!
//! The folders are layers; each imports only from layers below it (`src/tidy.rs` proves it). The map is in
//! `docs/architecture.md`. Files that may contain `unsafe` say `#![allow(unsafe_code)]`-style attributes here,
//! next to their `mod` line, and nowhere else.
#![deny(unsafe_code)]
#![warn(missing_docs)]
// What only benches or fuzz targets see would count as unreachable in a build without them.
#![cfg_attr(all(feature = "bench", feature = "fuzz"), warn(unreachable_pub))]
// Tests may read clocks, wait, and keep files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod balance;
mod base;
mod cel;
// The process as a whole: it reads files and waits for its threads.
#[allow(clippy::disallowed_methods)]
mod command;
mod config;
// It has a thread of its own, reads its clocks, and opens the files that shards must not wait for.
#[allow(clippy::disallowed_methods)]
mod control;
mod edge;
mod link;
mod net;
mod policy;
mod route;
mod trial;
mod wire;

#[cfg(any(test, feature = "sim"))]
mod sim;
#[cfg(test)]
mod tidy;

pub use command::main;

/// What the benches measure. Not an interface to build upon: it changes with the code.
#[cfg(feature = "bench")]
pub mod bench;

/// What the program `sim` runs.
#[cfg(feature = "sim")]
pub mod simulator {
    pub use crate::net::sim::{Depth, Failure};
    pub use crate::sim::{Scenario, Totals, run};
}

/// The properties that the fuzz targets check, each over any bytes.
#[cfg(feature = "fuzz")]
pub mod fuzz {
    pub use crate::config::check_text;
    pub use crate::wire::check as wire;
    pub use crate::wire::grpc::check as grpc;
    pub use crate::wire::jose::check::tokens;
    pub use crate::wire::ws::check as websocket;
}
