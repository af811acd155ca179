// SPDX-License-Identifier: Apache-2.0
//! What shards want the operator to know: failing endpoints, clients whose handshakes fail, malformed requests.
//!
//! A shard sends few of them whatever happens: once in an interval for an endpoint, and a few a second about clients.
//! Each says how many were left out before it.

use std::sync::Arc;

use crate::base::Cause;

/// A message for the process log.
#[derive(Debug)]
pub enum Notice {
    /// Requests to an endpoint fail.
    EndpointFails {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The endpoint's name.
        endpoint: Arc<str>,
        /// Why the last one failed.
        cause: Cause,
        /// Failures since the last notice, this one included.
        failures: u64,
    },
    /// The process has no free file descriptor.
    Descriptors {
        /// How often one was lacking since the last notice.
        lacking: u64,
    },
    /// The TLS handshake of a client failed.
    Handshake {
        /// The listener's name.
        listener: Arc<str>,
        /// The client's address.
        client: Box<str>,
        /// The name that it asked for (SNI).
        server_name: Option<Box<str>>,
        /// Why, in words.
        cause: Box<str>,
        /// Notices of this kind that were left out before.
        left_out: u64,
    },
    /// A client sent what is not HTTP.
    Malformed {
        /// The listener's name.
        listener: Arc<str>,
        /// The client's address.
        client: Box<str>,
        /// `HTTP/1.1` or `HTTP/2.0`.
        protocol: &'static str,
        /// The rule that the request broke.
        rule: &'static str,
        /// The bytes around the offending one, escaped.
        bytes: Box<str>,
        /// Notices of this kind that were left out before.
        left_out: u64,
    },
}
