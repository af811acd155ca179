// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 (RFC 9113): frames and connections, field sections and message heads.
//!
//! ```text
//!   field block ── hpack::Decoder ──► Section ── message ──► RequestHead / ResponseHead (the same as h1's)
//!                     (huffman)                     │ malformed: which rule, and what is to be done
//!   field block ◄── hpack::Encoder ◄── write ◄── head + patch + BodyLength
//! ```
//! `connection` is the state machine around both: streams, windows, limits, and the order of frames.
//!
//! The decoder always reads a block to its end, so that its dynamic table agrees with the peer's whatever the fields
//! say. Only then is the message checked.

pub mod connection;
pub mod flood;
pub mod flow;
pub mod frame;
pub mod hpack;
pub mod huffman;
pub mod malformed;
pub mod message;
pub mod priority;
pub mod scheduler;
pub mod section;
pub mod settings;
pub mod stream;
pub mod write;

#[cfg(test)]
pub(crate) mod raw;

pub use section::Section;
