//! Messages between the planes: a pair of bounded queues per shard. Neither plane imports the other; both import this.
//!
//! A full queue towards a shard makes the control plane wait and try again; a full queue towards the control plane is
//! counted (`Counter::LinkDropped`) and the message dropped, except for what must not be lost, which its sender keeps.

pub mod counters;
pub mod ends;
pub mod message;

pub use counters::{Counter, Counters, RouteCounter, UpstreamCounter};
pub use ends::{FROM_SHARD_MAX, Outbox, ShardEnd, TO_SHARD_MAX};
pub use message::{FromShard, ListeningSocket, ToShard};
