// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 for the simulator's clients and origins. They use the same state machine as the gateway
//! (`wire::h2::connection`) with a driver of their own, so that a fault in the gateway's sessions cannot hide behind
//! the same fault here.
//!
//! The state machine refuses protocol errors: data above a window, frames on closed streams, blocks that do not decode.
//! Here each one fails the run, because the gateway must not send them.

mod behaviour;
pub(super) mod client;
pub(super) mod message;
pub(super) mod origin;
pub(super) mod peer;
mod plan;
