// SPDX-License-Identifier: Apache-2.0
//! The simulator: runs the gateway's own code between simulated clients and origins, on virtual time, with faults drawn
//! from a seed.
//!
//! A run is a function of its seed. It fails where an invariant breaks: an exchange with two responses or none, a byte
//! in the wrong exchange, an upstream connection reused in an unknown state, a retry of a request that must not be
//! retried, a body that looks complete and is not, a wait without a timeout, unbounded memory, anything left over at
//! the end.

#[cfg(test)]
mod asked;
#[cfg(test)]
mod bandwidth;
#[cfg(test)]
mod billed;
mod body;
#[cfg(test)]
mod burst;
#[cfg(test)]
mod caps;
mod client;
mod coded;
mod common;
mod gateway;
mod grpc;
mod h2;
#[cfg(test)]
mod heads;
mod hostile;
mod ledger;
#[cfg(test)]
mod limit;
mod mesh;
mod message_io;
mod mood;
mod origin;
#[cfg(test)]
mod quotas;
mod recognise;
#[cfg(test)]
mod refused;
mod request;
#[cfg(test)]
mod revoked;
mod scenario;
#[cfg(test)]
mod slow;
mod spoken;
#[cfg(test)]
mod subscribed;
mod tag;
mod totals;
mod websocket;
mod world;

#[cfg(test)]
pub(crate) use burst::{Burst, run_burst};
#[cfg(test)]
pub(crate) use caps::{Capped, Seen, run_capped};
#[cfg(test)]
pub(crate) use limit::{Counted, Limited, Outcome, run_limited};
pub use scenario::Scenario;
pub use totals::Totals;
pub use world::run;

#[cfg(test)]
mod tests;
