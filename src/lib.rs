//! Turnpike: edge proxy, API gateway and AI gateway on one data plane.
//!
//! The folders are layers; each imports only from layers below it (`src/tidy.rs` proves it). The map is in
//! `docs/architecture.md`. Files that may contain `unsafe` say `#![allow(unsafe_code)]`-style attributes here,
//! next to their `mod` line, and nowhere else.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod balance;
pub mod base;
pub mod command;
pub mod config;
pub mod control;
pub mod edge;
pub mod link;
pub mod net;
pub mod policy;
pub mod route;
pub mod wire;

#[cfg(any(test, feature = "sim"))]
pub mod sim;
#[cfg(test)]
mod tidy;
