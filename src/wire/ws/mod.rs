// SPDX-License-Identifier: Apache-2.0
//! WebSocket (RFC 6455) as an intermediary sees it: where frames and messages begin and end, the opening handshake in
//! both versions of HTTP (RFC 8441), and the few frames that the gateway sends itself.
//!
//! The payload of messages is not examined: extensions, compression and text concern only the two ends.

pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod own;

#[cfg(any(test, feature = "fuzz"))]
pub mod check;
