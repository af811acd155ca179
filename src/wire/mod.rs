//! Parsers and writers of the protocols, without I/O: message heads, request targets, framing, hop-by-hop fields, the
//! PROXY protocol, HTTP/2, gRPC and WebSocket frames.
//!
//! Nothing here waits, reads a clock or uses a socket. Parsers give the same result for any split of their input and
//! never panic.

pub mod authority;
pub mod change;
pub mod coding;
pub mod field;
pub mod forwarded;
pub mod grpc;
pub mod h1;
pub mod h2;
pub mod head;
pub mod hop;
pub mod ip;
pub mod outgoing;
pub mod patch;
pub mod problem;
pub mod proxy;
mod rules;
pub mod status;
pub mod target;
pub mod template;
pub mod trace;
pub mod upgrade;
pub mod ws;

#[cfg(any(test, feature = "fuzz"))]
pub mod check;
#[cfg(test)]
mod fuzz_seeds;
#[cfg(test)]
pub(crate) mod published;
