//! What `turnpike status` and `GET /status` show, as one JSON document.

use serde::{Deserialize, Serialize};

/// The whole document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
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
    /// Where the admin listener is.
    pub admin: Option<String>,
    /// Where the control socket is.
    pub control_socket: Option<String>,
    /// Where clients connect.
    pub listeners: Vec<ListenerStatus>,
    /// Where requests go.
    pub upstreams: Vec<UpstreamStatus>,
}

/// One listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Where it really listens.
    pub addresses: Vec<String>,
    /// Does it speak TLS?
    pub tls: bool,
}

/// One upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Its endpoints by now.
    pub endpoints: Vec<EndpointStatus>,
    /// Names that never resolved, or do not any more, and why.
    pub unresolved: Vec<String>,
}

/// One endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its address.
    pub address: String,
    /// Its name.
    pub name: String,
    /// Its share.
    pub weight: u32,
    /// Used only while no other is available.
    pub backup: bool,
    /// `up`, `down`, or `unknown` where nobody checks.
    pub health: String,
}
