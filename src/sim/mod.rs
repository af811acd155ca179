//! The simulator: the gateway's own code between simulated clients and origins, on virtual time, with seeded faults.
//!
//! A run is a function of its seed. It fails where an invariant breaks: an exchange answered twice or not at all, a
//! byte in a foreign exchange, an upstream connection used in an unknown state, a request sent again that must not
//! be, a body that looks complete and is not, a wait that never ends, memory without bound, anything left over at the
//! end.

mod body;
mod client;
mod common;
mod gateway;
mod grpc;
mod h2;
mod hostile;
mod latch;
mod ledger;
mod limit;
mod mood;
mod origin;
mod recognise;
mod scenario;
mod spoken;
mod tag;
mod talk;
mod totals;
mod websocket;
mod world;

pub use limit::{Limited, run_limited};
pub use mood::Mood;
pub use scenario::Scenario;
pub use totals::Totals;
pub use world::{Report, run};

#[cfg(test)]
mod tests;
