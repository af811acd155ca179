// SPDX-License-Identifier: Apache-2.0
//! What `turnpike status` and `GET /status` show, as one JSON document.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::quotas::counts::LeaseStatus;

/// The whole document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Status {
    /// The version that runs.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// `starting`, `running`, `draining` or `stopping`.
    pub state: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Where the configuration came from.
    pub config: String,
    /// The plan in use; counts up with every reload.
    pub generation: u64,
    /// Configurations taken into use, the first one included.
    pub reloads_done: u64,
    /// Configurations that were refused.
    pub reloads_refused: u64,
    /// Data-plane threads.
    pub shards: usize,
    /// What moves bytes: `io_uring` or `epoll`.
    pub driver: String,
    /// Open client connections.
    pub connections: u64,
    /// Requests being served.
    pub requests_active: u64,
    /// Requests answered since the start.
    pub requests: u64,
    /// Access-log lines lost since the start.
    pub log_lines_dropped: u64,
    /// Consumers that the directory holds, of the configuration and of the store.
    pub consumers: u64,
    /// API keys that the directory holds.
    pub keys: u64,
    /// The revision of the directory that all shards have.
    pub directory_revision: u64,
    /// `up`, or why the store cannot be read or written; `None` where there is none.
    pub store: Option<String>,
    /// Where the admin listener is.
    pub admin: Option<String>,
    /// Where the control socket is.
    pub control_socket: Option<String>,
    /// Where clients connect.
    pub listeners: Vec<ListenerStatus>,
    /// Shards that have reported the state of their upstreams.
    pub shards_reported: u64,
    /// Age of the oldest of these reports.
    pub reports_age_seconds: f64,
    /// Where requests go.
    pub upstreams: Vec<UpstreamStatus>,
    /// Rate limits, by name. Their counts are as old as the last push of the shards' counters.
    pub limits: Vec<LimitStatus>,
}

/// One rate limit, over all shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LimitStatus {
    /// The name of its policy.
    pub name: String,
    /// Keys that shards have slots of. A key that is used on several shards counts on each.
    pub keys_held: u64,
    /// Keys that have an account, which is so with several shards only.
    pub accounts: u64,
    /// Requests that passed since the start.
    pub admitted: u64,
    /// Of those, requests that did not count because of their response.
    pub returned: u64,
    /// Requests refused because the limit is used up.
    pub refused: u64,
    /// Requests that would have been refused, where it only reports.
    pub reported: u64,
    /// Requests that waited for another shard.
    pub waited: u64,
    /// Requests that could not be counted.
    pub uncounted: u64,
    /// Keys that were forgotten before they were full again.
    pub keys_given_up: u64,
    /// Its windows that are counted in a database.
    pub leases: Vec<LeaseStatus>,
}

/// One listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Where it really listens.
    pub addresses: Vec<String>,
    /// Does it speak TLS?
    pub tls: bool,
}

/// One upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Requests in flight.
    pub requests_active: u64,
    /// Requests that wait for room.
    pub requests_queued: u64,
    /// Its circuit breaker, where it has one.
    pub breaker: Option<BreakerStatus>,
    /// Shards that ignore the health of endpoints, because too few are available (panic mode).
    pub panic_shards: u64,
    /// Ejections by outlier detection since the start.
    pub ejections: u64,
    /// Retries since the start.
    pub retries: u64,
    /// Retries that the retry budget refused since the start.
    pub retries_denied: u64,
    /// Its endpoints by now, and those that left but still have requests or connections.
    pub endpoints: Vec<EndpointStatus>,
    /// Names that never resolved, or do not any more, and why.
    pub unresolved: Vec<String>,
}

/// A circuit breaker; each shard has its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct BreakerStatus {
    /// Shards where it is open and refuses requests.
    pub open_shards: u64,
    /// Shards where it lets trials pass.
    pub half_open_shards: u64,
    /// Seconds until trials may pass on all shards.
    pub open_seconds: f64,
    /// Times it opened since the start.
    pub opened: u64,
}

/// One endpoint. Every shard ejects by itself and counts its own requests and connections; these are sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EndpointStatus {
    /// Its address.
    pub address: String,
    /// Its name.
    pub name: String,
    /// Its share.
    pub weight: u32,
    /// The share that the configuration says, where an operator has set another one.
    #[serde(default)]
    pub configured_weight: Option<u32>,
    /// `true` where an operator drains it.
    #[serde(default)]
    pub draining: bool,
    /// Used only while no other is available.
    pub backup: bool,
    /// `up`, `down`, or `unknown` where nobody checks.
    pub health: String,
    /// False where it left the list.
    pub listed: bool,
    /// Shards that send requests to it.
    pub serving_shards: u64,
    /// Shards on which outlier detection has ejected it.
    pub ejected_shards: u64,
    /// Seconds until it is ejected on none.
    pub ejected_seconds: f64,
    /// The least per mille of its weight that slow start grants on any shard.
    pub slow_start_per_mille: u32,
    /// Requests in flight.
    pub requests_active: u64,
    /// Connections open or being opened.
    pub connections: u64,
    /// Highest moving latency of any shard, where `balance` is `ewma`.
    pub latency_seconds: Option<f64>,
    /// Attempts since it was first listed.
    pub requests: u64,
    /// Ejections since it was first listed.
    pub ejections: u64,
    /// Attempts by outcome since it was first listed.
    pub outcomes: BTreeMap<String, u64>,
}
