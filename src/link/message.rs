// SPDX-License-Identifier: Apache-2.0
//! The messages themselves.

use std::sync::Arc;

use crate::balance::{ClusterState, Endpoint, QuotaMessage};
use crate::base::{Address, ListenerId, Tick};
use crate::config::plan::{Plan, ReflectionSource};
use crate::link::counters::Counters;
use crate::link::notice::Notice;
use crate::link::trace::{Trace, TraceOrder};
use crate::link::usage::UsageBatch;
use crate::net::sockets::ListenSocket;
use crate::policy::directory::{Change, Revision, Snapshot};
use crate::policy::limit::{self, LimitId};
use crate::policy::login::Revocations;
use crate::policy::{Answer, Keys, Question, Ticket};
use crate::wire::grpc::json::Transcoder;

/// From the control plane to one shard.
#[derive(Debug)]
pub enum ToShard<S = ListenSocket> {
    /// Make this plan ready, without using it. `sockets` are those that the shard does not have yet.
    Prepare {
        /// The plan.
        plan: Arc<Plan>,
        /// The counters of the shard while this plan is in use.
        counters: Arc<Counters>,
        /// Listening sockets that are new with it.
        sockets: Vec<ListeningSocket<S>>,
        /// By `TranscoderId`, compiled for this shard alone; none where the shard already has it, or where the
        /// descriptors are not known.
        transcoders: Vec<Option<Transcoder>>,
    },
    /// Use the prepared plan of this generation from now on; close listening sockets that it does not name.
    Commit {
        /// The plan's generation.
        generation: u64,
    },
    /// Forget the prepared plan of this generation.
    Discard {
        /// The plan's generation.
        generation: u64,
    },
    /// An upstream's current endpoints: the fixed ones and those that its names resolve to.
    Endpoints {
        /// The upstream's name.
        upstream: Arc<str>,
        /// All of them.
        endpoints: Arc<[Endpoint]>,
        /// The generation of the plan that they were gathered for.
        generation: u64,
    },
    /// What active checks say of one endpoint.
    Health {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The endpoint.
        address: Address,
        /// Up or down.
        up: bool,
    },
    /// A server's descriptors by reflection, compiled for this shard alone: for the plan in use and the one being
    /// prepared.
    Transcoders {
        /// Who told.
        source: Arc<ReflectionSource>,
        /// One for each choice of options.
        transcoders: Vec<Transcoder>,
    },
    /// The whole directory, in the place of all changes that it contains.
    Directory(Arc<Snapshot>),
    /// A change of the directory.
    Change(Arc<Change>),
    /// What the parent of a limit says about a key.
    Lease(limit::Message),
    /// A key of a policy's limits may have all of them again.
    ResetLimit {
        /// Which limit; of a policy with several the first.
        limit: LimitId,
        /// Which key.
        key: u64,
    },
    /// What came of a policy's question.
    Answer(Ticket, Answer),
    /// The keys of an issuer, for the plan in use and the one being prepared.
    Keys(Keys),
    /// The usage up to the batch of this number is recorded.
    UsageRecorded {
        /// The batch's number.
        sequence: u64,
    },
    /// Sessions that ended before their time, for the plan in use and the one being prepared.
    Revoked(Arc<Revocations>),
    /// From now on show the way of the requests that these orders name, and of no others.
    Trace(Arc<[TraceOrder]>),
    /// Report the state of all upstreams and their endpoints (`FromShard::Upstreams`).
    ReportUpstreams,
    /// Drain: stop accepting, finish running exchanges, close idle connections, report `Drained` when none is left.
    Drain,
    /// Stop accepting only: a new process has taken the sockets over. Connections go on until `Drain`.
    StopAccepting,
    /// End now.
    Stop,
}

/// From one shard to the control plane.
#[derive(Debug)]
pub enum FromShard {
    /// The shard runs, with this I/O driver.
    Started {
        /// `io_uring` or `epoll`.
        driver: &'static str,
    },
    /// The plan of this generation is ready here.
    Prepared {
        /// The plan's generation.
        generation: u64,
    },
    /// The plan of this generation is in use here.
    Committed {
        /// The plan's generation.
        generation: u64,
    },
    /// The directory is at this revision here: whoever asks from now on gets what it says.
    Applied {
        /// The revision.
        revision: Revision,
    },
    /// Access-log lines, whole ones.
    LogLines(Vec<u8>),
    /// To the parent of a limit, about a key.
    Lease(limit::Message),
    /// A policy asks, and requests wait for the answer, for a while.
    Question(Ticket, Box<Question>),
    /// Something that the operator should know.
    Notice(Box<Notice>),
    /// The way of a request or connection, for those who asked for it.
    Trace(Box<Trace>),
    /// The state of all upstreams, as it was asked for.
    Upstreams(UpstreamReport),
    /// Usage since the batch before. It is answered with `UsageRecorded`; only the last one of a shard that ends is
    /// sent while another is on its way.
    Usage(Box<UsageBatch>),
    /// No connection is left.
    Drained,
    /// The shard could not go on.
    Failed {
        /// Why.
        reason: String,
    },
}

impl FromShard {
    /// Does somebody wait for this message? Then it must not be lost.
    pub const fn is_report(&self) -> bool {
        match self {
            FromShard::Started { .. }
            | FromShard::Prepared { .. }
            | FromShard::Committed { .. }
            | FromShard::Applied { .. }
            | FromShard::Upstreams(_)
            | FromShard::Usage(_)
            | FromShard::Drained
            | FromShard::Failed { .. } => true,
            FromShard::LogLines(_)
            | FromShard::Lease(_)
            | FromShard::Question(..)
            | FromShard::Notice(_)
            | FromShard::Trace(_) => false,
        }
    }
}

/// What one shard knows of its upstreams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamReport {
    /// All upstreams of the plan in use, with `ENDPOINT_STATES_MAX` endpoints at most.
    pub upstreams: Vec<ClusterState>,
}

/// A listening socket for one shard.
#[derive(Debug)]
pub struct ListeningSocket<S = ListenSocket> {
    /// The listener it belongs to, in the plan that comes with it.
    pub listener: ListenerId,
    /// Its address, for carrying it over a reload.
    pub address: Address,
    /// The socket, listening already. On the real machine it is a descriptor, in the simulator a number.
    pub socket: S,
}

/// From one shard to another.
#[derive(Debug)]
pub enum ToPeer {
    /// About a key of a limit.
    Limit(limit::Message),
    /// About a cap of an upstream.
    Cap {
        /// Which upstream.
        upstream: UpstreamKey,
        /// What.
        message: QuotaMessage,
    },
    /// A client sprang a trap: it is refused until then (`policy::honeypot`).
    Trapped {
        /// Of which policy.
        trap: u64,
        /// Which client.
        key: u64,
        /// Until when.
        until: Tick,
    },
}

/// An upstream, as all shards know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamKey {
    /// A hash of its name.
    pub name: u64,
    /// The generation of the plan that introduced it: one that was removed and comes back is another one.
    pub since: u64,
}
