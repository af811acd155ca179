//! `[server]`, `[admin]`, `[log]`, `[metrics]`, `[defaults]`, and the limits and timeouts that many sections share.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::place::Placed;
use crate::config::spec::scalar::{Bind, Count, Limit, Shards, Size, Time};
use crate::config::spec::shape::{Many, layers, table};

table! {
    /// The process as a whole.
    pub struct ServerSpec {
        /// Data-plane threads, each with its own sockets, connections and caches. `"auto"` takes one for each core
        /// that the process may use. A change needs a restart or a binary upgrade.
        shards: Shards = Shards(None),
        /// Pin each thread to a core. A change needs a restart or a binary upgrade.
        pin: bool = true,
        /// How long a graceful stop waits for requests to end.
        drain_timeout: Time = Time(Duration::from_secs(30)),
        /// Client connections of the whole process; each thread holds its share of them. Above it the newest is
        /// closed.
        connections_max: u32 = 100_000,
        /// Reload when one of the files changes: includes, certificates and secret files too. A file that is wrong
        /// changes nothing.
        watch: bool = true,
        /// A Unix socket for `turnpike reload` and `turnpike stop`. Without it they send signals.
        control_socket: Option<PathBuf> = None,
    }
}

/// The admin listener: `/healthz`, `/readyz`, `/metrics`. Keep it away from the public.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSpec {
    /// Where it listens, e.g. `"127.0.0.1:9180"` or `"unix:/run/turnpike-admin.sock"`.
    pub bind: Placed<Bind>,
}

/// How much the process says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// Also what somebody should look at.
    Warn,
    /// Also starts, reloads, changes of health.
    #[default]
    Info,
    /// Also single connections.
    Debug,
    /// Everything.
    Trace,
}

table! {
    /// What is written where.
    pub struct LogSpec {
        /// How much the process says of itself, on standard error.
        level: LogLevel = LogLevel::Info,
        /// One line for each request.
        access: AccessLogSpec = AccessLogSpec::default(),
    }
}

table! {
    /// One line for each request.
    pub struct AccessLogSpec {
        /// Where to: a file (relative to the working directory, reopened on SIGUSR1), `"stdout"` or `"off"`.
        path: Placed<String> = Placed::nowhere("off".to_owned()),
        /// `"json"` (one object a line, all fields), `"combined"` (as Apache and nginx write it) or a text with
        /// variables such as `"{client.ip} {method} {target} {status} {duration}"`.
        format: Placed<String> = Placed::nowhere("json".to_owned()),
    }
}

table! {
    /// Metrics, which `[admin]` serves at `/metrics`, each with a line of help. A call of gRPC counts in
    /// `turnpike_requests_total` as the status that says the same as its code, and in `turnpike_grpc_responses_total`
    /// by its code.
    pub struct MetricsSpec {
        /// Collect them.
        enabled: bool = true,
    }
}

table! {
    /// What listeners, upstreams and routes take where they say nothing else.
    pub struct DefaultsSpec {
        /// Limits.
        limits: LimitDefaults = LimitDefaults::default(),
        /// Timeouts.
        timeouts: TimeoutDefaults = TimeoutDefaults::default(),
        /// Policies of every route, before those that it names itself.
        policies: Many<Placed<String>> = Many::default(),
    }
}

layers! {
    /// Timeouts of everything that says nothing else.
    pub struct TimeoutDefaults;
    /// Timeouts after all layers were laid over each other.
    pub struct Timeouts;

    /// Waits on the client's side. Where one ends, the connection is closed, with 408 where a request was half read.
    pub struct ListenerTimeouts {
        /// TLS handshake and PROXY header.
        handshake: Time = "10s",
        /// From the first byte of a request's head to its end.
        head: Time = "10s",
        /// Silence within a request's body.
        body: Time = "30s",
        /// Silence between two requests.
        keep_alive: Time = "75s",
        /// A client that takes nothing of its answer.
        write: Time = "30s",
    }

    /// Waits for an upstream's connections.
    pub struct UpstreamTimeouts {
        /// TCP connect and TLS handshake; above it 504.
        connect: Time = "3s",
        /// Waiting for a free slot where the upstream is at its limits; above it 503.
        queue: Time = "3s",
    }

    /// Waits for an upstream's answer.
    pub struct RouteTimeouts {
        /// From the request's head to the end of the answer; above it 504, or the answer is cut off.
        total: Limit<Time> = "off",
        /// From the request's end to the answer's head; above it 504.
        first_byte: Time = "60s",
        /// Silence within the answer's body, or an upstream that takes nothing of a request's body.
        idle: Time = "60s",
        /// Silence in a WebSocket or another upgraded connection; then a WebSocket is closed with 1001, another is cut.
        tunnel: Time = "1h",
        /// The whole life of a WebSocket or another upgraded connection; ends as silence does.
        tunnel_lifetime: Limit<Time> = "off",
    }
}

layers! {
    /// Limits of everything that says nothing else.
    pub struct LimitDefaults;
    /// Limits after all layers were laid over each other.
    pub struct Limits;

    /// Limits on the client's side.
    pub struct ListenerLimits {
        /// A request's line with its target, at most 48KiB; above it 414.
        request_line: Size = "8KiB",
        /// A request's whole head, at most 48KiB; above it 431.
        head: Size = "16KiB",
        /// Fields of a request's head, at most 128; above it 431.
        fields: Count = "100",
        /// Requests on one connection before it is closed.
        requests_per_connection: Limit<Count> = "off",
        /// Connections of one client address to one data-plane thread; above it the newest is closed.
        connections_per_address: Limit<Count> = "off",
    }

    /// Limits towards an upstream, for the whole process; each thread has its share, at least one.
    pub struct UpstreamLimits {
        /// Connections to one endpoint.
        connections: Count = "16384",
        /// Requests in flight to the whole upstream; above it they wait.
        requests: Count = "262144",
        /// Requests in flight to one endpoint.
        endpoint_requests: Count = "262144",
        /// Requests that wait for a free slot; above it 503 at once.
        queue: Count = "4096",
    }

    /// Limits of a route.
    pub struct RouteLimits {
        /// A request's body; above it 413.
        body: Limit<Size> = "1MiB",
    }
}
