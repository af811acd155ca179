// SPDX-License-Identifier: Apache-2.0
//! The data plane: shards, connections, exchanges. Async, generic over `Net`, blind to the control plane.
//!
//! ```text
//!  run ──► client ──► serve ──► forward ──► exchange ──► shard ──► upstream ──► protocol ──► flow
//!                                   └───────► adapt ◄──── exchange, shard, serve       adapt ──► flow
//! ```
//! `serve/path` is the path of a request on one screen. `flow/stream` is the seam to the protocol versions: an exchange
//! sees a head, a body source and a client to answer, and does not know what carries them. Which room may import which
//! is a law of `tidy`.

pub(crate) mod adapt;
pub(crate) mod client;
pub(crate) mod exchange;
pub(crate) mod flow;
pub(crate) mod forward;
pub(crate) mod protocol;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod shard;
pub(crate) mod upstream;
