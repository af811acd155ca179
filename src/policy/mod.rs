//! Decisions about a request: who may, how often, from where, with which fields. One policy a file, each pure.
//!
//! A `Policy` is a plan (immutable, the same on every shard) that looks at `Facts`, changes its own state on this shard
//! (`Own`) and the request's `Effects`, and returns a `Decision`: pass, answer, or ask the edge for something that
//! takes time and then `resume`. Nothing here reads a clock, waits, or knows a connection. Phases are fixed (`Phase`);
//! within a phase the order is the user's.

pub mod api_key;
pub mod cors;
pub mod decision;
pub mod external_auth;
pub mod facts;
pub mod gcra;
pub mod headers;
pub mod lease;
pub mod network;
pub mod phase;
pub mod rate_limit;
mod table;
mod text;

#[cfg(test)]
mod fixture;

pub use decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
pub use facts::{Effects, Facts, Response};
pub use phase::{Own, Phase, Policy};
