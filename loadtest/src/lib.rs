// SPDX-License-Identifier: Apache-2.0
//! Load tests of Turnpike: an origin, a load generator, and a comparison with nginx and HAProxy on the same machine.
//!
//! This crate knows turnpike only as a binary with a command line and a configuration file, like any other proxy.
//!
//! - `origin`, `client`, `stream`, `hold`: the two ends of a test, each one thread and one epoll;
//! - `h2`: the two ends of tests of HTTP/2, which are other programs;
//! - `reload`: reloads of large configurations, and what they hold up;
//! - `keys`, `stored`: keys that come and go, and a store with many of them;
//! - `copier`: a proxy that only copies bytes, the floor of all others;
//! - `peer`: how each proxy is configured, started and stopped;
//! - `probe`, `process`, `machine`, `debian`: what is read of the machine, and how its state is told;
//! - `workload`, `slice`, `idle`, `compare`: what is measured, and in which order;
//! - `record`, `summary`, `plot`, `gate`: raw figures, and what is made of them.

#![deny(unsafe_code)]

pub mod certificate;
pub mod client;
pub mod command;
pub mod compare;
pub mod connection;
pub mod copier;
pub mod debian;
pub mod failure;
pub mod gate;
pub mod guard;
pub mod h2;
pub mod histogram;
pub mod hold;
pub mod idle;
pub mod keys;
pub mod machine;
pub mod message;
pub mod multiplexed;
pub mod origin;
pub mod peer;
pub mod plot;
pub mod probe;
pub mod process;
pub mod record;
pub mod reload;
pub mod report;
pub mod schedule;
pub mod slice;
pub mod socket;
pub mod stored;
pub mod stream;
pub mod summary;
pub mod workload;
