// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 on both sides: one machine (`wire::h2::connection`) a connection, one state a stream, and the pipeline above
//! them is the one of HTTP/1.
//!
//! ```text
//!   socket ──► session (read, events) ──► lane: inbox, heads, end ──► body: Source ─┐
//!                 │ a request's head                                                ├─ exchange (serve)
//!                 └────────────► client/h2: a task for each stream ────────────────►│
//!   socket ◄── session (write) ◄── machine: heads, small DATA ◄── lane: outgoing ◄──┘ Sink
//! ```
//! A connection has two tasks, one that reads and one that writes; a stream of the server's side has one more. All
//! share the session without a lock, since they run on one shard.

pub(crate) mod body;
pub(crate) mod reader;
pub(crate) mod session;
pub(crate) mod stream_state;
pub(crate) mod writer;
