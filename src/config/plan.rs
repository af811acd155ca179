// SPDX-License-Identifier: Apache-2.0
//! What a shard runs: the configuration after it was read, checked and compiled. A `Plan` that exists is valid.
//!
//! Everything has a dense id; names are only for logs, metrics and for keeping state over a reload. A plan is immutable
//! and shared by `Arc`; what changes at run time (buckets, pools, health) is in `edge::shard`, in arrays indexed by
//! these ids.

mod admin;
mod alternatives;
mod condition;
mod grpc;
mod index;
mod log;
mod source;
mod store;
mod tls;
mod upstream;
mod usage;
mod version;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::base::{Address, ListenerId, Pace, PolicyId, RouteId, UpstreamId, VersionId};
use crate::config::directory::Declared;
use crate::config::hidden::Hidden;
pub(crate) use crate::config::spec::scalar::Share;
pub(crate) use crate::config::spec::server::LogEscape;
use crate::config::spec::server::LogLevel;
use crate::policy::cors::OriginRule;
use crate::policy::country::Countries;
use crate::policy::limit::LimitId;
use crate::policy::limit::gcra::Rate;
use crate::policy::protected::Protected;
use crate::policy::{Phase, Policy};
use crate::route::Table;
use crate::route::redirect::Redirect;
use crate::route::rewrite::{HostRewrite, PathRewrite};
use crate::route::split::{Split, Stick};
use crate::wire::change::Change;
use crate::wire::forwarded::ForwardedPlan;
use crate::wire::grpc::CodeSet;
use crate::wire::h1::Caps;
use crate::wire::h2::connection;
use crate::wire::target::PathRules;
use crate::wire::template::Template;

pub(crate) use admin::{AdminPlan, AdminTokenPlan};
pub(crate) use alternatives::Alternatives;
pub(crate) use condition::Condition;
pub(crate) use grpc::{
    Descriptors, GrpcPlan, ReflectionPlan, ReflectionSource, TranscoderId, TranscoderPlan, WebCalls,
};
pub(crate) use index::Index;
pub(crate) use log::{AccessLogPlan, JSON_FIELDS, LogField, LogFormat, LogPiece, LogTarget, LogTemplate};
pub(crate) use source::{
    AskedFor, ClientAuthentication, ClientCredentials, IntrospectionPlan, KeysPlace, KeysPlan, LoginPlan, RedisPlan,
    SourcePlan, Tokens, Userinfo,
};
pub(crate) use store::{StoreHost, StoreServer, StoreTarget, StoreTls};
pub(crate) use tls::{CertificatePlan, TlsPlan, Validity};
pub(crate) use upstream::{
    HashKey, HealthPlan, HttpVersions, NamePlan, ProxyVersion, StickyPlan, UpstreamHttp2Plan, UpstreamPlan,
    UpstreamTlsPlan,
};
pub(crate) use usage::{UsageExportPlan, UsageMode, UsagePlan};
pub(crate) use version::VersionPlan;

/// Everything that a process needs to serve.
#[derive(Debug)]
pub struct Plan {
    /// The number of this plan in this process; it only counts up.
    pub generation: u64,
    /// What concerns the process as a whole.
    pub process: ProcessPlan,
    /// What the keys begin with that the gateway makes.
    pub key_prefix: Arc<str>,
    /// The admin listener, if any.
    pub admin: Option<AdminPlan>,
    /// The access log, if any.
    pub access_log: Option<AccessLogPlan>,
    /// Are metrics collected?
    pub metrics: bool,
    /// Is usage counted, and how?
    pub usage: Option<UsagePlan>,
    /// By `ListenerId`.
    pub listeners: Vec<ListenerPlan>,
    /// By `RouteId`.
    pub routes: Vec<RoutePlan>,
    /// By `UpstreamId`.
    pub upstreams: Vec<UpstreamPlan>,
    /// By `TranscoderId`.
    pub transcoders: Vec<TranscoderPlan>,
    /// Servers outside that policies need, each once.
    pub sources: Vec<SourcePlan>,
    /// Where several gateways count quotas.
    pub redis: Option<Arc<RedisPlan>>,
    /// By `PolicyId`.
    pub policies: Vec<PolicyPlan>,
    /// Consumers and what else of the directory the configuration declares.
    pub(crate) declared: Arc<Declared>,
    /// Versions of APIs, by `VersionId`.
    pub versions: Vec<VersionPlan>,
    /// Where addresses are, if a database is there.
    pub countries: Option<Arc<Countries>>,
    /// What is found by name.
    pub index: Index,
    /// What is never shown.
    pub hidden: Hidden,
}

/// What concerns the process as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessPlan {
    /// Data-plane threads, at least one. Changing it needs a restart or a binary upgrade.
    pub shards: usize,
    /// Pin each shard to a core.
    pub pin: bool,
    /// How long a graceful stop waits for exchanges to end.
    pub drain: Duration,
    /// How long a graceful stop goes on accepting after `/readyz` has begun to fail.
    pub drain_delay: Duration,
    /// The account to run as, `NAME` or `NAME:GROUP`, where the process starts as root.
    pub user: Option<String>,
    /// Connections over all listeners that one shard holds; above it the longest idle one or the new one is closed.
    pub connections_max: usize,
    /// Bytes of request bodies that one shard keeps in memory.
    pub kept_bodies_max: usize,
    /// Reload also when a file of the configuration itself changes, not only one that it names.
    pub watch: bool,
    /// The path of the control socket; with `None` the process has one of its own in the user's folder.
    pub control_socket: Option<PathBuf>,
    /// Where the store is, if there is one. Changing it needs a restart.
    pub store: Option<StoreTarget>,
    /// How much the process says of itself.
    pub log_level: LogLevel,
}

/// A listener: sockets with the same protocol and the same routes.
#[derive(Debug)]
pub struct ListenerPlan {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens; at least one.
    pub bind: Vec<Address>,
    /// Unix socket mode, e.g. 0o660; `None` leaves the umask's.
    pub unix_mode: Option<u32>,
    /// Accept queue length.
    pub backlog: u32,
    /// TLS, if any.
    pub tls: Option<TlsPlan>,
    /// Connections from these networks must begin with a PROXY header (v1 or v2); others must not. Empty: none does.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Policies that are asked before routing, in order of phase, then as written.
    pub policies: Vec<(Phase, PolicyId)>,
    /// Which of them are alternatives.
    pub alternatives: Alternatives,
    /// The fields that its policies alone may set on the way to the upstream.
    pub protected: Protected,
    /// Its routes. Each shard uses a clone of its own (see `route::Table`).
    pub table: Table,
    /// How the client's address is found and forwarded.
    pub forwarded: ForwardedPlan,
    /// Request ids and trace context.
    pub ids: IdPlan,
    /// How paths are normalised.
    pub path_rules: PathRules,
    /// Caps on heads.
    pub caps: Caps,
    /// What becomes of header lines whose names have a `_`.
    pub underscores: Underscores,
    /// Waits on the client's side.
    pub timeouts: ClientTimeouts,
    /// Requests on one connection before it is closed; zero is no cap.
    pub requests_max: u32,
    /// The largest body that is read to find a route.
    pub routing_body_max: u64,
    /// Connections of one client address on one shard; zero is no cap.
    pub connections_per_address_max: u32,
    /// The `Server` field of responses; `None` keeps the origin's and adds none.
    pub server_field: Option<Arc<str>>,
    /// HTTP/2.
    pub http2: Http2Plan,
}

/// What becomes of a client's header lines whose names have a `_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// They are dropped: many origins take `_` for `-`, and so for a field that the gateway sets or removes.
    #[default]
    Dropped,
    /// They go on, but for those that the gateway itself acts upon.
    Kept,
}

/// HTTP/2 of a listener. Over TLS it is spoken where ALPN chose it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http2Plan {
    /// Without TLS, connections that begin with its preface speak it (RFC 9113 section 3.3).
    pub cleartext: bool,
    /// What clients may do.
    pub limits: connection::Config,
}

/// Request ids and trace context, to follow a request through all logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPlan {
    /// Keeps the client's `X-Request-Id` where it is well formed, and generates one otherwise.
    pub request_id: bool,
    /// Continues `traceparent` (W3C Trace Context) with a span of the gateway, or begins a trace.
    pub traceparent: bool,
    /// Our name in `Via` (RFC 9110 section 7.6.3); `None` adds no `Via`.
    pub via: Option<&'static str>,
}

/// Waits on the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// TLS handshake and PROXY header.
    pub handshake: Duration,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// Between two reads of a body.
    pub body_idle: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
    /// What is demanded of a client that is written to.
    pub write: Pace,
    /// What is demanded of a client that sends a body.
    pub upload: LeastRate,
}

/// The least rate of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeastRate {
    /// Bytes a second; zero demands none.
    pub bytes_a_second: u32,
    /// How far behind it may fall.
    pub grace: Duration,
}

impl LeastRate {
    /// None is demanded.
    pub const NONE: LeastRate = LeastRate { bytes_a_second: 0, grace: Duration::ZERO };
}

/// What happens to requests of one route.
#[derive(Debug)]
pub struct RoutePlan {
    /// Its name.
    pub name: Arc<str>,
    /// Where it ends.
    pub action: Action,
    /// Policies in order of phase, then as written; none that a listener of the route has.
    pub policies: Vec<(Phase, PolicyId)>,
    /// Which of them are alternatives.
    pub alternatives: Alternatives,
    /// The fields that its policies alone may set on the way to the upstream.
    pub protected: Protected,
    /// Changes to the request's headers before forwarding.
    pub request_fields: Vec<Change>,
    /// Changes to the response's fields before the client gets it.
    pub response_fields: Vec<Change>,
    /// Largest request body; `u64::MAX` is no cap.
    pub body_bytes_max: u64,
    /// Names of path parameters by index.
    pub params: Vec<Arc<str>>,
    /// Responses may pass through stages that change their content.
    pub staged: bool,
    /// A policy may have bodies looked at on their way to the upstream: so many bytes of one are read before any of it
    /// goes on.
    pub scanned: Option<usize>,
    /// A policy answers CORS preflights, so that those for one of its methods come here.
    pub answers_preflights: bool,
    /// The share of requests that get a line in the access log; `None` where not even failures do.
    pub logged: Option<Share>,
    /// What becomes of its usage.
    pub usage: UsageMode,
    /// The version of an API that it says it is.
    pub version: Option<VersionId>,
}

/// Where a route ends.
#[derive(Debug)]
pub enum Action {
    /// Sent to an upstream.
    Proxy(Box<ProxyPlan>),
    /// Answered with a `Location`.
    Redirect(Redirect),
    /// Answered with a fixed text.
    Answer(FixedAnswer),
    /// Answered with a description of the request itself.
    Echo,
}

/// How a request is sent to an upstream.
#[derive(Debug)]
pub struct ProxyPlan {
    /// The upstreams it may go to; one is the usual case.
    pub upstreams: Vec<UpstreamId>,
    /// Their weights.
    pub split: Split,
    /// What keeps a client on its upstream; `None` draws for each request.
    pub stick: Option<Stick>,
    /// The seed of this split, so that different splits choose different clients.
    pub stick_salt: u64,
    /// How the target is rewritten.
    pub rewrite: Option<PathRewrite>,
    /// Which Host the upstream sees.
    pub host: HostRewrite,
    /// From the first byte of the request's head to the last of the response; `None` is no cap.
    pub total: Option<Duration>,
    /// Request sent to response head.
    pub first_byte: Duration,
    /// Between two reads of the response's body, and writes of the request's.
    pub idle: Duration,
    /// When to try again.
    pub retry: RetryPlan,
    /// What the gateway does for gRPC calls beyond forwarding them.
    pub grpc: Option<GrpcPlan>,
    /// `Upgrade` is passed on.
    pub upgrade: bool,
    /// Longest silence in a tunnel.
    pub tunnel_idle: Duration,
    /// Longest life of a tunnel; `None` is no cap.
    pub tunnel_lifetime: Option<Duration>,
    /// What holds of WebSockets.
    pub websocket: WebSocketPlan,
}

/// What holds of WebSockets.
#[derive(Debug)]
pub struct WebSocketPlan {
    /// Pages of which origins may open one; empty allows all.
    pub origins: Vec<OriginRule>,
    /// Limits on its messages.
    pub messages: MessageLimits,
}

/// Limits on the messages of an open WebSocket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MessageLimits {
    /// Silence of an end after which it gets a ping; after the same time without a response the WebSocket is closed.
    pub ping: Option<Duration>,
    /// Most bytes of a message from either end, as sent; `u64::MAX` is no cap.
    pub bytes_max: u64,
    /// Messages of a client.
    pub rate: Option<Rate>,
}

/// When a failed attempt is retried on another endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPlan {
    /// Tries in all, at least one.
    pub tries: u32,
    /// Timeout of one attempt up to its response head; with `None` only `first_byte` applies.
    pub per_try: Option<Duration>,
    /// Statuses that are retried, for idempotent requests.
    pub statuses: Vec<u16>,
    /// Codes that are retried, for gRPC calls that end before their first message.
    pub grpc_statuses: CodeSet,
    /// Retry methods that are not idempotent too, even where the request may have been processed.
    pub non_idempotent: bool,
    /// Largest body that is kept for a retry, in bytes; a longer one is sent once.
    pub body_bytes_max: usize,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedAnswer {
    /// Its status; `444` closes the connection without a response, as in nginx.
    pub status: u16,
    /// Its `Content-Type`; `None` where there is no body.
    pub content_type: Option<Arc<str>>,
    /// Its body.
    pub body: Template,
}

/// One policy instance.
#[derive(Debug)]
pub struct PolicyPlan {
    /// Its name; state is carried over a reload by it.
    pub name: Arc<str>,
    /// When it is asked.
    pub condition: Condition,
    /// What it does.
    pub policy: Policy,
}

impl RoutePlan {
    /// A route that has nothing but what an exchange needs at its end.
    fn kept(&self) -> RoutePlan {
        RoutePlan {
            name: Arc::clone(&self.name),
            action: Action::Echo,
            policies: Vec::new(),
            alternatives: Alternatives::default(),
            protected: Protected::default(),
            request_fields: Vec::new(),
            response_fields: Vec::new(),
            body_bytes_max: u64::MAX,
            params: Vec::new(),
            scanned: None,
            answers_preflights: false,
            logged: self.logged.clone(),
            staged: false,
            usage: self.usage,
            version: None,
        }
    }

    /// Are requests that are not gRPC transcoded from JSON?
    pub fn takes_json(&self) -> bool {
        matches!(&self.action, Action::Proxy(proxy) if proxy.grpc.as_ref().is_some_and(|grpc| grpc.json.is_some()))
    }
}

impl Plan {
    /// The listener of that id.
    pub fn listener(&self, id: ListenerId) -> &ListenerPlan {
        &self.listeners[id.0 as usize]
    }

    /// The route of that id.
    pub fn route(&self, id: RouteId) -> &RoutePlan {
        &self.routes[id.0 as usize]
    }

    /// The upstream of that id.
    pub fn upstream(&self, id: UpstreamId) -> &UpstreamPlan {
        &self.upstreams[id.0 as usize]
    }

    /// The upstream of that name.
    pub fn upstream_named(&self, name: &str) -> Option<UpstreamId> {
        self.index.upstream(name).map(UpstreamId)
    }

    /// The route of that name.
    pub fn route_named(&self, name: &str) -> Option<RouteId> {
        self.index.route(name).map(RouteId)
    }

    /// A plan with nothing but the access log and the names of these, each with the id 0: for an exchange that lasts
    /// long and needs no more of this plan.
    pub fn kept(&self, route: Option<RouteId>, upstream: Option<UpstreamId>) -> Plan {
        Plan {
            generation: self.generation,
            process: self.process.clone(),
            key_prefix: Arc::clone(&self.key_prefix),
            admin: None,
            access_log: self.access_log.clone(),
            metrics: self.metrics,
            usage: self.usage.clone(),
            listeners: Vec::new(),
            routes: route.map(|id| self.route(id).kept()).into_iter().collect(),
            upstreams: upstream.map(|id| self.upstream(id).clone()).into_iter().collect(),
            transcoders: Vec::new(),
            sources: Vec::new(),
            redis: None,
            policies: Vec::new(),
            declared: Arc::default(),
            versions: self.versions.clone(),
            countries: None,
            index: Index::default(),
            hidden: Hidden::default(),
        }
    }

    /// The name of that version.
    pub fn version(&self, id: VersionId) -> Option<&str> {
        self.versions.get(id.0 as usize).map(|version| &*version.name)
    }

    /// The policy with that limit.
    pub fn policy_of_limit(&self, limit: LimitId) -> Option<PolicyId> {
        self.index.limit(limit).map(PolicyId)
    }

    /// The policy of that id.
    pub fn policy(&self, id: PolicyId) -> &PolicyPlan {
        &self.policies[id.0 as usize]
    }
}

/// Is `address` in one of `networks`?
pub(crate) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}
