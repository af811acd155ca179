// SPDX-License-Identifier: Apache-2.0
//! Parsers and writers of the protocols, without I/O: message heads, request targets, framing, hop-by-hop fields, the
//! PROXY protocol, HTTP/2, gRPC, WebSocket frames and signed tokens.
//!
//! Nothing here waits, reads a clock or uses a socket. Parsers give the same result for any split of their input and
//! never panic.

pub(crate) mod authority;
pub(crate) mod certificate;
pub(crate) mod change;
pub(crate) mod coding;
pub(crate) mod content;
pub mod field;
pub(crate) mod field_set;
pub(crate) mod form;
pub(crate) mod forwarded;
pub(crate) mod grpc;
pub mod h1;
pub mod h2;
pub mod head;
pub(crate) mod hop;
pub(crate) mod inspect;
pub(crate) mod ip;
pub(crate) mod jose;
pub mod outgoing;
pub mod patch;
pub(crate) mod problem;
pub(crate) mod proxy;
pub(crate) mod query;
pub(crate) mod resp;
mod rules;
pub(crate) mod signature;
pub(crate) mod status;
pub(crate) mod structured;
pub mod target;
pub(crate) mod template;
pub(crate) mod trace;
pub(crate) mod upgrade;
pub(crate) mod url;
pub(crate) mod ws;

#[cfg(any(test, feature = "fuzz"))]
pub mod check;
#[cfg(test)]
mod fuzz_seeds;
#[cfg(test)]
pub(crate) mod published;
