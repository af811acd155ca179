// SPDX-License-Identifier: Apache-2.0
//! Messages between the planes: a pair of bounded queues per shard. Neither plane imports the other; both import this.
//!
//! A full queue towards a shard makes the control plane keep the message and try again. Towards the control plane there
//! are two: what comes in floods (log lines, leases) shares one queue with all shards, and where it is full the sender
//! keeps or drops and counts the message; what somebody waits for (`FromShard::is_report`) has a queue of
//! each shard's own, which no flood can fill.

pub(crate) mod counters;
pub(crate) mod ends;
pub mod mesh;
pub(crate) mod message;
pub(crate) mod notice;
pub(crate) mod trace;
pub(crate) mod usage;

pub use counters::Counters;
pub(crate) use counters::{Counter, LimitCounter, RouteCounter, UpstreamCounter};
pub use ends::{FROM_SHARD_MAX, Outbox, REPORTS_MAX, ShardEnd, TO_SHARD_MAX};
pub use mesh::mesh;
pub(crate) use mesh::{Mesh, Sent};
pub use message::{FromShard, ListeningSocket, ToShard};
pub(crate) use message::{ToPeer, UpstreamKey, UpstreamReport};
pub(crate) use notice::Notice;
pub(crate) use trace::{Selection, Trace, TraceOrder};
pub(crate) use usage::{Measures, Series, UsageBatch};
