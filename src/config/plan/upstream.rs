// SPDX-License-Identifier: Apache-2.0
//! What a shard knows of an upstream.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::{ClusterPlan, Endpoint};
use crate::wire::h1::Caps;
use crate::wire::h2::connection;

/// A group of endpoints that serve the same.
#[derive(Clone, Debug)]
pub struct UpstreamPlan {
    /// Its name; state is carried over a reload by it.
    pub name: Arc<str>,
    /// Endpoints known at compile time; names are resolved later.
    pub fixed: Vec<Endpoint>,
    /// Names that the control plane resolves.
    pub names: Vec<NamePlan>,
    /// Balancing, ejection, breaker, caps.
    pub cluster: ClusterPlan,
    /// TLS towards endpoints.
    pub tls: Option<UpstreamTlsPlan>,
    /// Which versions of HTTP are spoken.
    pub http: HttpVersions,
    /// What connections of HTTP/2 are like.
    pub http2: UpstreamHttp2Plan,
    /// What the head of a response may be like.
    pub response: Caps,
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Idle connections kept by one shard; `None` for as many as it used at once lately.
    pub idle_max: Option<usize>,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Requests on one connection; zero is no cap.
    pub requests_per_connection_max: u32,
    /// Age after which a connection is not used again; `None` is no cap.
    pub connection_age_max: Option<Duration>,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Send a PROXY header first.
    pub proxy_protocol: Option<ProxyVersion>,
    /// What balancing by hash looks at.
    pub hash_key: HashKey,
    /// Cookie for sticky sessions.
    pub sticky: Option<StickyPlan>,
    /// Active health check.
    pub health: Option<HealthPlan>,
}

/// Connections of HTTP/2 to endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamHttp2Plan {
    /// What endpoints are allowed.
    pub limits: connection::Config,
    /// The silence after which an endpoint gets a PING; `None` is never.
    pub ping: Option<Duration>,
    /// How long that may take.
    pub ping_timeout: Duration,
}

/// Versions of HTTP that an upstream is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersions {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// The endpoint chooses by ALPN.
    Both,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// The text line.
    V1,
    /// The binary header.
    V2,
}

/// A DNS name that the control plane resolves repeatedly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePlan {
    /// The host name, or the SRV name.
    pub name: Arc<str>,
    /// The port; for SRV it comes from the record.
    pub port: u16,
    /// Ask for SRV.
    pub srv: bool,
    /// Weight of each address.
    pub weight: u32,
    /// Backup endpoints.
    pub backup: bool,
}

/// TLS towards endpoints.
#[derive(Clone)]
pub struct UpstreamTlsPlan {
    /// What handshakes use.
    pub config: Arc<rustls::ClientConfig>,
    /// The server name to send (SNI) and verify; `None` takes the endpoint's.
    pub server_name: Option<rustls::pki_types::ServerName<'static>>,
}

impl std::fmt::Debug for UpstreamTlsPlan {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("UpstreamTlsPlan").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// What balancing by hash looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// Nothing: the algorithm needs no key.
    None,
    /// The client's address.
    Source,
    /// The normalised path.
    Path,
    /// A request field.
    Header(Arc<str>),
    /// A cookie.
    Cookie(Arc<str>),
}

/// Cookie for sticky sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyPlan {
    /// The cookie's name.
    pub cookie: Arc<str>,
    /// Attributes after the value, e.g. `; Path=/; HttpOnly`.
    pub attributes: Arc<str>,
}

/// Active health check of every endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPlan {
    /// Ask `grpc.health.v1` for this service instead; empty for the server as a whole.
    pub grpc: Option<Arc<str>>,
    /// What is asked for.
    pub path: Arc<str>,
    /// The Host to ask with; `None` takes the endpoint's.
    pub host: Option<Arc<str>>,
    /// Between two probes.
    pub interval: Duration,
    /// Longest wait for one response.
    pub timeout: Duration,
    /// Successes in a row until it counts as up.
    pub rise: u32,
    /// Failures in a row until it counts as down.
    pub fall: u32,
    /// Statuses that count as success: ranges, both ends included.
    pub statuses: Vec<(u16, u16)>,
    /// The response's first 64 KiB must hold this.
    pub body_contains: Option<Arc<str>>,
}
