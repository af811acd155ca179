// SPDX-License-Identifier: Apache-2.0
//! `[upstream.NAME]`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{AutoCount, Count, Limit, PerCent, Size, Statuses, Time};
use crate::config::spec::server::{UpstreamLimits, UpstreamTimeouts};
use crate::config::spec::shape::{Many, Short, ShortOr, table};

/// A group of servers (backends) that requests are load-balanced over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSpec {
    /// The servers: `"10.0.0.1:80"`, `"api.internal:8080"` (DNS is resolved again whenever its TTL ends),
    /// `"unix:/run/api.sock"`, `"srv:_http._tcp.api.internal"`, or tables with a weight.
    pub endpoints: Many<Located<ShortOr<EndpointSpec>>>,
    /// Load balancing: how an endpoint is chosen for a request.
    #[serde(default)]
    pub balance: Balance,
    /// The key of `balance = "hash"`: `"source"` (the client's address), `"path"`, `"header:NAME"` or `"cookie:NAME"`.
    #[serde(default)]
    #[schemars(extend("x-default" = "source"))]
    pub hash: Option<Located<String>>,
    /// The HTTP version towards the endpoints: `"1.1"`, `"2"` (over TLS, or h2c with prior knowledge), or `"auto"`: the
    /// endpoint chooses by ALPN, and without TLS it is 1.1.
    #[serde(default)]
    pub http: HttpVersions,
    /// HTTP/2 towards the endpoints.
    #[serde(default)]
    pub http2: Located<UpstreamHttp2Spec>,
    /// TLS towards the endpoints: `true`, or a table.
    #[serde(default)]
    pub tls: Option<Located<ShortOr<UpstreamTlsSpec>>>,
    /// Active health checks of every endpoint.
    #[serde(default)]
    pub health: Option<Located<HealthSpec>>,
    /// Outlier detection (passive health checks): eject an endpoint for a while when its responses show that it fails.
    /// `false` switches it off.
    #[serde(default)]
    pub outlier: ShortOr<OutlierSpec>,
    /// Circuit breaker: send nothing to the whole upstream for a while when most of its requests fail.
    #[serde(default)]
    pub breaker: Option<BreakerSpec>,
    /// Slow start: how long a new or recovered endpoint takes until it has its full share of requests.
    #[serde(default)]
    pub slow_start: Option<Time>,
    /// Sticky sessions: keep a client on the same endpoint by a cookie of the gateway.
    #[serde(default)]
    pub sticky: Option<StickySpec>,
    /// Panic threshold: where fewer than this share of the endpoints is healthy, health is ignored, because then the
    /// check is more often wrong than the servers.
    #[serde(default)]
    #[schemars(extend("x-default" = "0%"))]
    pub panic_below: Option<PerCent>,
    /// Limits towards the upstream.
    #[serde(default)]
    pub limits: UpstreamLimits,
    /// The keep-alive connection pool.
    #[serde(default)]
    pub pool: PoolSpec,
    /// A cap on retries, so that they do not overload a failing upstream.
    #[serde(default)]
    pub retry_budget: RetryBudgetSpec,
    /// Timeouts of connections.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
    /// Faults in responses over HTTP/1.1 that are accepted, because each has one reading only; the connection is closed
    /// behind it. Without them such a response is 502, and the access log says in `detail` which rule it breaks.
    #[serde(default)]
    pub tolerate: Many<Tolerable>,
    /// Send a PROXY protocol header at the start of each connection. Connections are then not shared between clients.
    #[serde(default)]
    pub proxy_protocol: ProxyVersion,
}

table! {
    /// One server.
    pub struct EndpointSpec {
        /// Where it is.
        address: Located<String> = Located::nowhere(String::new()),
        /// Its share; 0 gives it nothing new.
        weight: u16 = 1,
        /// Used only while no other is well.
        backup: bool = false,
    }
}

impl Short for EndpointSpec {
    const EXPECTED: &'static str = "an address such as \"10.0.0.1:80\", or a table with `address` and `weight`";

    fn of_text(text: &str) -> Result<EndpointSpec, String> {
        Ok(EndpointSpec { address: Located::nowhere(text.to_owned()), ..EndpointSpec::default() })
    }
}

/// A fault in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Tolerable {
    /// `Content-Length` beside `Transfer-Encoding: chunked`; the length is ignored.
    LengthWithChunked,
    /// The same `Content-Length` several times.
    RepeatedLength,
    /// Spaces and tabs behind the size of a chunk, also in front of its extensions.
    ChunkSizeSpaces,
    /// Header lines that end in LF alone.
    LineFeeds,
}

/// Load balancing: how an endpoint is chosen for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Balance {
    /// In turns, by weight (weighted round robin).
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastRequests,
    /// The one of two random endpoints with fewer requests in flight (power of two choices).
    P2c,
    /// The one of two random endpoints with the lower recent latency (peak EWMA).
    Ewma,
    /// Consistent hashing: the same key to the same endpoint; see `hash`.
    Hash,
}

/// Versions of HTTP towards the endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum HttpVersions {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "2")]
    Http2,
    /// What the endpoint prefers.
    #[serde(rename = "auto")]
    Auto,
}

table! {
    /// HTTP/2 (RFC 9113) towards the endpoints. A connection buffers at most `streams` times `stream_window` of
    /// responses that clients have not read yet, and `streams` times 64KiB where they never read. A slow client does
    /// not block the other streams of a connection.
    pub struct UpstreamHttp2Spec {
        /// Concurrent streams of one connection, 1 to 1024, where the endpoint allows as many. For more streams the
        /// gateway opens another connection.
        streams: u32 = 128,
        /// The flow-control window of one response, 64KiB to 16MiB: bytes in transit or waiting for the client. A
        /// response begins with 64KiB and gets more while its client keeps up.
        stream_window: Size = Size(256 * 1024),
        /// Keep-alive: an endpoint that sends nothing for this long while requests wait for it gets a PING. Where it
        /// answers only the PINGs, the next one follows after five minutes, because gRPC servers close connections that
        /// send PINGs more often.
        ping: Limit<Time> = Limit::At(Time(Duration::from_secs(20))),
        /// Longest wait for the answer to a PING. Then the connection is closed, and its requests are retried as after
        /// any broken connection.
        ping_timeout: Time = Time(Duration::from_secs(10)),
    }
}

table! {
    /// TLS towards the endpoints.
    pub struct UpstreamTlsSpec {
        /// PEM files with the trusted certificate authorities (CAs), relative to this configuration file; without it
        /// those of the system. A server's own certificate here is trusted for exactly itself.
        ca: Many<Located<PathBuf>> = Many::default(),
        /// The server name (SNI) to send and to verify; without it the endpoint's own.
        server_name: Option<Located<String>> = None,
        /// Verify the server's certificate. `false` is for tests: anybody could impersonate the server.
        verify: bool = true,
        /// A PEM file with our own certificate, relative to this configuration file.
        client_cert: Option<Located<PathBuf>> = None,
        /// A PEM file with its private key.
        client_key: Option<Located<PathBuf>> = None,
    }
}

impl Short for UpstreamTlsSpec {
    const EXPECTED: &'static str = "`true`, or a table such as { ca = \"ca.pem\" }";

    fn of_text(_: &str) -> Result<UpstreamTlsSpec, String> {
        Err("this is a text".to_owned())
    }

    // tidy(bool): it is the value in the file.
    fn of_truth(truth: bool) -> Option<UpstreamTlsSpec> {
        truth.then(UpstreamTlsSpec::default)
    }
}

table! {
    /// Active health checks: a `GET` to every endpoint, or a gRPC call, over the HTTP version that requests use.
    pub struct HealthSpec {
        /// What is asked for.
        path: Located<String> = Located::nowhere("/".to_owned()),
        /// Call `grpc.health.v1.Health/Check` for this service instead of `path`; `""` is the server as a whole.
        /// `SERVING` is healthy.
        grpc: Option<Located<String>> = None,
        /// The `Host` header of the check; without it the endpoint's own.
        host: Option<Located<String>> = None,
        /// Between two checks of one endpoint.
        interval: Located<Time> = Located::nowhere(Time(Duration::from_secs(5))),
        /// Longest wait for a response.
        timeout: Time = Time(Duration::from_secs(2)),
        /// Successes in a row until an endpoint counts as healthy.
        rise: u32 = 2,
        /// Failures in a row until an endpoint counts as unhealthy.
        fall: u32 = 3,
        /// Statuses that count as success.
        status: Many<Statuses> = Many(vec![Statuses((200, 399))]),
        /// The first 64KiB of the response must contain this text.
        body_contains: Option<String> = None,
    }
}

table! {
    /// Outlier detection: when responses show that an endpoint fails, and how long it is ejected. The conditions are
    /// alternatives; 0 switches one off.
    pub struct OutlierSpec {
        /// Eject endpoints at all; `false` switches outlier detection off.
        enabled: bool = true,
        /// Failures in a row: every 5xx, connect failure, reset, timeout.
        errors: u32 = 0,
        /// Gateway failures in a row: 502, 503, 504, connect failure, reset, timeout.
        gateway_errors: u32 = 5,
        /// Connect failures in a row.
        connect_failures: u32 = 2,
        /// Share of failures within `window`.
        failure_rate: PerCent = PerCent(0),
        /// Requests that `failure_rate` needs within `window`.
        requests_min: u32 = 20,
        /// Over which time `failure_rate` is taken.
        window: Time = Time(Duration::from_secs(10)),
        /// The first ejection; each further one is twice as long.
        rest: Time = Time(Duration::from_secs(10)),
        /// The longest rest.
        rest_max: Time = Time(Duration::from_secs(300)),
        /// The largest share of the endpoints that may be ejected at a time; the last one never is.
        ejected_max: PerCent = PerCent(50),
    }
}

impl Short for OutlierSpec {
    const EXPECTED: &'static str = "`true`, `false`, or a table such as { gateway_errors = 5 }";

    fn of_text(_: &str) -> Result<OutlierSpec, String> {
        Err("this is a text".to_owned())
    }

    // tidy(bool): it is the value in the file.
    fn of_truth(truth: bool) -> Option<OutlierSpec> {
        Some(OutlierSpec { enabled: truth, ..OutlierSpec::default() })
    }
}

table! {
    /// Circuit breaker of the whole upstream. The conditions are alternatives; 0 switches one off.
    pub struct BreakerSpec {
        /// Failures in a row.
        failures: u32 = 0,
        /// Share of failures within `window`.
        failure_rate: PerCent = PerCent(50),
        /// Requests that `failure_rate` needs within `window`.
        requests_min: u32 = 20,
        /// Over which time `failure_rate` is taken.
        window: Time = Time(Duration::from_secs(10)),
        /// How long the breaker stays open the first time: requests get 503 at once. Doubles while trial requests fail.
        open: Time = Time(Duration::from_secs(5)),
        /// The longest it stays open.
        open_max: Time = Time(Duration::from_secs(60)),
        /// Trial requests at a time while the breaker is half open.
        trials: u32 = 1,
        /// Successful trials that close it.
        closes_after: u32 = 3,
    }
}

table! {
    /// Sticky sessions by a cookie of ours.
    pub struct StickySpec {
        /// The cookie's name.
        cookie: Located<String> = Located::nowhere("turnpike".to_owned()),
        /// Its path.
        path: Located<String> = Located::nowhere("/".to_owned()),
        /// `Max-Age` of the cookie; without it the cookie lasts until the browser is closed.
        max_age: Option<Time> = None,
        /// Only over HTTPS.
        secure: bool = false,
        /// Hidden from scripts.
        http_only: bool = true,
        /// The cookie's `SameSite` attribute.
        same_site: SameSite = SameSite::Lax,
    }
}

/// When other sites may cause a cookie to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a person follows a link.
    #[default]
    Lax,
    /// Always; needs `secure`.
    None,
}

table! {
    /// The keep-alive connection pool.
    pub struct PoolSpec {
        /// Idle keep-alive connections of the whole process; each thread keeps its share, at least one. `"auto"`: each
        /// thread keeps as many as it used at once lately (within once or twice `idle_timeout`), so that a load which
        /// comes in waves does not open them anew each time.
        idle: AutoCount = AutoCount(None),
        /// How long an idle connection is kept. Should be shorter than the upstream's own keep-alive timeout.
        idle_timeout: Time = Time(Duration::from_secs(60)),
        /// Keep-alive requests on one connection before it is closed.
        requests_per_connection: Limit<Count> = Limit::Off,
        /// The age after which a connection is not reused.
        age_max: Limit<Time> = Limit::Off,
    }
}

table! {
    /// The cap on retries within any ten seconds.
    pub struct RetryBudgetSpec {
        /// Retries as a share of the requests.
        share: PerCent = PerCent(20),
        /// Retries that are always possible, per second, for the whole process.
        per_second_min: u32 = 3,
    }
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ProxyVersion {
    /// None.
    #[default]
    Off,
    /// The text form.
    V1,
    /// The binary form.
    V2,
}
