//! HTTP/2 as the simulator's clients and origins speak it: on the same machine as the gateway (`wire::h2::connection`),
//! but with a driver of its own, so that mistakes of the gateway's sessions do not hide in their like.
//!
//! The machine refuses what breaks a rule of the protocol: data above a window, frames on streams that are over, blocks
//! that do not decode. Here that fails the run, because the gateway has no excuse for it.

pub mod client;
mod deed;
pub mod message;
pub mod origin;
pub mod peer;
mod plan;
