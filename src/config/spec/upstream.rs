//! `[upstream.NAME]`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::place::Placed;
use crate::config::spec::scalar::{Count, Limit, PerCent, Size, Statuses, Time};
use crate::config::spec::server::{UpstreamLimits, UpstreamTimeouts};
use crate::config::spec::shape::{Many, Short, ShortOr, table};

/// A group of servers that serve the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSpec {
    /// The servers: `"10.0.0.1:80"`, `"api.internal:8080"` (resolved again and again), `"unix:/run/api.sock"`,
    /// `"srv:_http._tcp.api.internal"`, or tables with a weight.
    pub endpoints: Many<Placed<ShortOr<EndpointSpec>>>,
    /// How an endpoint is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// What `balance = "hash"` looks at: `"source"` (the client's address), `"path"`, `"header:NAME"` or
    /// `"cookie:NAME"`.
    #[serde(default)]
    #[schemars(extend("x-default" = "source"))]
    pub hash: Option<Placed<String>>,
    /// The versions of HTTP that it is spoken to in: `"1.1"`, `"2"` (over TLS or, by prior knowledge, without), or
    /// `"auto"`, where the endpoint chooses by ALPN and without TLS it is 1.1.
    #[serde(default)]
    pub http: HttpVersions,
    /// HTTP/2 towards the endpoints.
    #[serde(default)]
    pub http2: Placed<UpstreamHttp2Spec>,
    /// TLS towards the endpoints: `true`, or a table.
    #[serde(default)]
    pub tls: Option<Placed<ShortOr<UpstreamTlsSpec>>>,
    /// Ask every endpoint whether it is well.
    #[serde(default)]
    pub health: Option<Placed<HealthSpec>>,
    /// Give an endpoint a rest whose answers show that it is ill. `false` switches it off.
    #[serde(default)]
    pub outlier: ShortOr<OutlierSpec>,
    /// Leave the whole upstream alone for a while when most of it fails.
    #[serde(default)]
    pub breaker: Option<BreakerSpec>,
    /// How long an endpoint that is new or recovered takes until it has its full share.
    #[serde(default)]
    pub slow_start: Option<Time>,
    /// Keep a client on the endpoint that it had, by a cookie of ours.
    #[serde(default)]
    pub sticky: Option<StickySpec>,
    /// Where fewer than this share of the endpoints is well, health is ignored: then the check is more often wrong
    /// than the servers.
    #[serde(default)]
    #[schemars(extend("x-default" = "0%"))]
    pub panic_below: Option<PerCent>,
    /// Limits towards the upstream.
    #[serde(default)]
    pub limits: UpstreamLimits,
    /// Connections that are kept for the next request.
    #[serde(default)]
    pub pool: PoolSpec,
    /// How many retries there may be, so that a dead upstream is not hammered.
    #[serde(default)]
    pub retry_budget: RetryBudgetSpec,
    /// Waits for connections.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
    /// Send a PROXY header in front of each connection. Connections are then not shared between clients.
    #[serde(default)]
    pub proxy_protocol: ProxyVersion,
}

table! {
    /// One server.
    pub struct EndpointSpec {
        /// Where it is.
        address: Placed<String> = Placed::nowhere(String::new()),
        /// Its share; 0 gives it nothing new.
        weight: u16 = 1,
        /// Used only while no other is well.
        backup: bool = false,
    }
}

impl Short for EndpointSpec {
    const EXPECTED: &'static str = "an address such as \"10.0.0.1:80\", or a table with `address` and `weight`";

    fn of_text(text: &str) -> Result<EndpointSpec, String> {
        Ok(EndpointSpec { address: Placed::nowhere(text.to_owned()), ..EndpointSpec::default() })
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Balance {
    /// In turns, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastRequests,
    /// The better of two drawn by chance.
    P2c,
    /// The faster of two drawn by chance, by recent latency.
    Ewma,
    /// The same key to the same endpoint; see `hash`.
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
    /// HTTP/2 (RFC 9113) towards the endpoints. A connection holds at most `streams` times `stream_window` of answers
    /// that clients have not read yet, `streams` times 64KiB where they never read; none of its streams stops another.
    pub struct UpstreamHttp2Spec {
        /// Streams on one connection, 1 to 1024, where the endpoint allows as many; for more, another is opened.
        streams: u32 = 128,
        /// Bytes of one answer that may be on their way or wait for the client, 64KiB to 16MiB. An answer begins with
        /// 64KiB, and gets more while its client keeps up.
        stream_window: Size = Size(256 * 1024),
        /// An endpoint that says nothing for this long, while requests wait for it, is asked for a sign of life
        /// (PING). Where it gives signs of life and nothing else, it is asked again after five minutes, since servers
        /// of gRPC turn away those who ask more often.
        ping: Limit<Time> = Limit::At(Time(Duration::from_secs(20))),
        /// How long that may take. Then the connection is closed, and its requests are tried elsewhere as after any
        /// connection that broke.
        ping_timeout: Time = Time(Duration::from_secs(10)),
    }
}

table! {
    /// TLS towards the endpoints.
    pub struct UpstreamTlsSpec {
        /// PEM files with the authorities that are believed, relative to this configuration file; without it those of
        /// the system.
        ca: Many<Placed<PathBuf>> = Many::default(),
        /// The name to ask for (SNI) and to verify; without it the endpoint's own.
        server_name: Option<Placed<String>> = None,
        /// Verify the certificate. `false` is for tests: anybody could answer.
        verify: bool = true,
        /// A PEM file with our own certificate, relative to this configuration file.
        client_cert: Option<Placed<PathBuf>> = None,
        /// A PEM file with its private key.
        client_key: Option<Placed<PathBuf>> = None,
    }
}

impl Short for UpstreamTlsSpec {
    const EXPECTED: &'static str = "`true`, or a table such as { ca = \"ca.pem\" }";

    fn of_text(_: &str) -> Result<UpstreamTlsSpec, String> {
        Err("this is a text".to_owned())
    }

    // tidy(bool): it is the value that was written.
    fn of_truth(truth: bool) -> Option<UpstreamTlsSpec> {
        truth.then(UpstreamTlsSpec::default)
    }
}

table! {
    /// Active health checks: a `GET` to every endpoint, or a call of gRPC, in the version of HTTP that requests use.
    pub struct HealthSpec {
        /// What is asked for.
        path: Placed<String> = Placed::nowhere("/".to_owned()),
        /// Ask `grpc.health.v1.Health/Check` for this service instead of `path`; `""` is the server as a whole. Well is
        /// who says `SERVING`.
        grpc: Option<Placed<String>> = None,
        /// The Host to ask with; without it the endpoint's own.
        host: Option<Placed<String>> = None,
        /// Between two checks of one endpoint.
        interval: Placed<Time> = Placed::nowhere(Time(Duration::from_secs(5))),
        /// Longest wait for an answer.
        timeout: Time = Time(Duration::from_secs(2)),
        /// Successes in a row until it counts as well.
        rise: u32 = 2,
        /// Failures in a row until it counts as ill.
        fall: u32 = 3,
        /// Statuses that count as success.
        status: Many<Statuses> = Many(vec![Statuses((200, 399))]),
        /// The first 64KiB of the answer must hold this.
        body_contains: Option<String> = None,
    }
}

table! {
    /// When answers alone show that an endpoint is ill, and for how long it rests. The conditions are alternatives; 0
    /// switches one off.
    pub struct OutlierSpec {
        /// Look at answers at all.
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
        /// The first rest; each further one is twice as long.
        rest: Time = Time(Duration::from_secs(10)),
        /// The longest rest.
        rest_max: Time = Time(Duration::from_secs(300)),
        /// Share of the endpoints that rests at most; the last one never does.
        ejected_max: PerCent = PerCent(50),
    }
}

impl Short for OutlierSpec {
    const EXPECTED: &'static str = "`true`, `false`, or a table such as { gateway_errors = 5 }";

    fn of_text(_: &str) -> Result<OutlierSpec, String> {
        Err("this is a text".to_owned())
    }

    // tidy(bool): it is the value that was written.
    fn of_truth(truth: bool) -> Option<OutlierSpec> {
        Some(OutlierSpec { enabled: truth, ..OutlierSpec::default() })
    }
}

table! {
    /// When a whole upstream is left alone. The conditions are alternatives; 0 switches one off.
    pub struct BreakerSpec {
        /// Failures in a row.
        failures: u32 = 0,
        /// Share of failures within `window`.
        failure_rate: PerCent = PerCent(50),
        /// Requests that `failure_rate` needs within `window`.
        requests_min: u32 = 20,
        /// Over which time `failure_rate` is taken.
        window: Time = Time(Duration::from_secs(10)),
        /// How long it stays open the first time: requests get 503 at once. Doubles while trials fail.
        open: Time = Time(Duration::from_secs(5)),
        /// The longest it stays open.
        open_max: Time = Time(Duration::from_secs(60)),
        /// Requests let through at a time to try again.
        trials: u32 = 1,
        /// Successful trials that close it.
        closes_after: u32 = 3,
    }
}

table! {
    /// Sticky sessions by a cookie of ours.
    pub struct StickySpec {
        /// The cookie's name.
        cookie: Placed<String> = Placed::nowhere("turnpike".to_owned()),
        /// Its path.
        path: Placed<String> = Placed::nowhere("/".to_owned()),
        /// How long a browser keeps it; without it until it is closed.
        max_age: Option<Time> = None,
        /// Only over HTTPS.
        secure: bool = false,
        /// Hidden from scripts.
        http_only: bool = true,
        /// When other sites may cause it to be sent.
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
    /// Connections that are kept for the next request.
    pub struct PoolSpec {
        /// Idle connections of the whole process; each thread keeps its share, at least one.
        idle: u32 = 1_024,
        /// How long one is kept. Should be shorter than the upstream's own keep-alive timeout.
        idle_timeout: Time = Time(Duration::from_secs(60)),
        /// Requests on one connection before it is closed.
        requests_per_connection: Limit<Count> = Limit::Off,
        /// Age after which a connection is not used again.
        age_max: Limit<Time> = Limit::Off,
    }
}

table! {
    /// How many retries there may be within any ten seconds.
    pub struct RetryBudgetSpec {
        /// Retries as a share of the requests.
        share: PerCent = PerCent(20),
        /// Retries that are always possible, per second and thread.
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
