//! Messages between the planes: a pair of bounded queues per shard. Neither plane imports the other; both import this.
//!
//! A full queue towards a shard makes the control plane keep the message and try again. Towards the control plane there
//! are two: what comes in floods (log lines, leases) shares one queue with all shards, and where it is full the sender
//! keeps or drops and counts the message; what somebody waits for (`FromShard::is_report`) has a queue of
//! each shard's own, which no flood can fill.

pub mod counters;
pub mod ends;
pub mod mesh;
pub mod message;

pub use counters::{Counter, Counters, LimitCounter, RouteCounter, UpstreamCounter};
pub use ends::{FROM_SHARD_MAX, Outbox, REPORTS_MAX, ShardEnd, TO_SHARD_MAX};
pub use mesh::{Mesh, Sent, mesh};
pub use message::{FromShard, ListeningSocket, ToPeer, ToShard, UpstreamReport};
