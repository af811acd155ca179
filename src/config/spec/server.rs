// SPDX-License-Identifier: Apache-2.0
//! `[server]`, `[admin]`, `[log]`, `[metrics]`, `[defaults]`, and the limits and timeouts that many sections share.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{AutoCount, Bind, Count, Limit, Moment, Shards, Share, Size, Time};
use crate::config::spec::shape::{Many, Named, Secret, layers, table};

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
        /// At a graceful stop `/readyz` fails at once, and listeners go on accepting for this long before the drain
        /// begins: as long as load balancers in front take to notice. A binary upgrade does not wait.
        drain_delay: Time = Time(Duration::ZERO),
        /// The account to run as where the process is started as root: `"turnpike"`, `"turnpike:www-data"` or
        /// numbers. The process changes to it before it opens sockets and logs, and keeps only the right to bind ports
        /// below 1024. It must be able to read certificates and to write the access log. A change needs a restart.
        user: Option<String> = None,
        /// Client connections of the whole process; each thread holds its share of them. Above it, a new connection
        /// takes the place of the one that is idle longest, if that is for a second at least; otherwise it is closed
        /// at once (without TLS, up to 16 at a time of each thread get a 503 before). Each needs two file descriptors,
        /// one of them for the upstream. `"auto"`: as many as fit the hard limit on open files with a reserve for logs,
        /// files and the admin listener, at most 100000. A larger number than fits is lowered to that, with a warning.
        connections_max: Located<AutoCount> = Located::nowhere(AutoCount(None)),
        /// Memory for request bodies that are kept: for policies that read a body, for JSON that becomes gRPC, and for
        /// another attempt (`retry.body`). It is for the whole process; each thread has its share. Where it is used up,
        /// a body that is only kept for another attempt is sent on without being kept, and a request whose body must be
        /// kept gets 503 with the reason `kept_bodies_full`. `turnpike_kept_bodies_lacking_total` counts both.
        kept_bodies_max: Size = Size(256 * 1024 * 1024),
        /// Reload when a file of the configuration changes, with its includes. Certificates, keys, secret files and
        /// descriptor sets are watched in any case, and a change of these alone reads nothing else again. A change
        /// counts when no file has changed for half a second; a file that is wrong changes nothing.
        watch: bool = true,
        /// The Unix socket for `turnpike reload`, `stop`, `status` and `trace`. Without it each process has its own,
        /// where they find it for the same user (`docs/operations.md`).
        control_socket: Option<PathBuf> = None,
    }
}

/// The admin listener: `/healthz`, `/readyz`, `/metrics`, `/status`, and the admin API below `/api/v1`
/// (`docs/admin-api.md`). Keep it away from the public.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSpec {
    /// Where it listens, e.g. `"127.0.0.1:9180"` or `"unix:/run/turnpike-admin.sock"`, which gets the mode 0660: the
    /// process' own user and group may connect.
    pub bind: Located<Bind>,
    /// Host names of its own, for example a DNS name under which it is scraped. A request whose `Host` is neither one
    /// of these, nor the address that it was sent to, nor `localhost`, gets 421: web pages can make names of their own
    /// resolve to this address. A published port of a container needs the address of the host here.
    #[serde(default)]
    pub names: Many<Located<String>>,
    /// A token with the role `admin`, which changes things, as `Authorization: Bearer TOKEN`: `POST /reload`,
    /// `POST /stop`, `POST /trace` and the admin API; best as `"${file:/run/secrets/admin}"`. Without any token changes
    /// are refused here, and only the control socket takes them.
    #[serde(default)]
    pub token: Option<Located<Secret>>,
    /// Further tokens, each with a name and a role.
    #[serde(default)]
    pub tokens: Many<Located<AdminTokenSpec>>,
}

/// A token of the admin API; exactly one of `sha256` and `token`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminTokenSpec {
    /// Whose it is, for the audit and the log.
    pub name: Located<String>,
    /// What it may do.
    pub role: AdminRole,
    /// The token's SHA-256, as 64 hexadecimal digits: `printf %s TOKEN | sha256sum`.
    #[serde(default)]
    pub sha256: Option<Located<String>>,
    /// The token itself; best as `"${file:/run/secrets/ci}"`. It is hashed when read.
    #[serde(default)]
    pub token: Option<Located<Secret>>,
    /// Not valid from then on: `"2027-01-31"` (from its first moment in UTC) or `"2027-01-31T12:00:00Z"`.
    #[serde(default)]
    pub expires: Option<Moment>,
}

/// What a token of the admin API may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AdminRole {
    /// Reads all but the audit.
    Viewer,
    /// Also runs the gateway: reload, drain of endpoints, log level, traces.
    Operator,
    /// Also reads the audit and stops the process.
    Admin,
}

impl AdminRole {
    /// Its word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            AdminRole::Viewer => "viewer",
            AdminRole::Operator => "operator",
            AdminRole::Admin => "admin",
        }
    }
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

/// How a text log writes the values of variables, which may come from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LogEscape {
    /// `\xXX` for quotation marks, backslashes and all but printable ASCII; `-` for an absent value.
    #[default]
    Default,
    /// As the inside of a JSON string; nothing for an absent value.
    Json,
    /// As they are; nothing for an absent value.
    None,
}

table! {
    /// What is written where.
    pub struct LogSpec {
        /// The level of the process log on standard error.
        level: LogLevel = LogLevel::Info,
        /// One line for each request.
        access: AccessLogSpec = AccessLogSpec::default(),
    }
}

table! {
    /// One line for each request.
    pub struct AccessLogSpec {
        /// Where to: a file (relative to the working directory, reopened on SIGUSR1; a FIFO needs a reader by then),
        /// `"stdout"` or `"off"`.
        path: Located<String> = Located::nowhere("off".to_owned()),
        /// `"json"` (one object a line, all fields), `"combined"` (as Apache and nginx write it) or a text with
        /// variables such as `"{client.ip} {method} {target} {status} {duration}"`.
        format: Located<String> = Located::nowhere("json".to_owned()),
        /// How a `format` of your own writes values from outside: `"default"` (as nginx does: `\xXX` for quotation
        /// marks, backslashes and all but printable ASCII, `-` for an absent value), `"json"` (for formats that are
        /// JSON themselves: as the inside of a JSON string; nothing for an absent value; bytes that are not UTF-8
        /// become `\u00XX`) or `"none"` (as they are). The format `"json"` always writes JSON, `"combined"` as
        /// `"default"`.
        escape: Option<Located<LogEscape>> = None,
        /// More fields of the format `"json"`, each a text with variables: `{ tenant = "{header.x-tenant}", sni =
        /// "{tls.sni}" }`. Their values are JSON strings, empty where a variable has no value.
        fields: Named<Located<String>> = Named::default(),
        /// The share of requests that get a line, chosen by chance; a route may have its own (`access_log_sample`).
        sample: Share = Share::ALL,
        /// Whatever the share is, write a line for each response with a status of 500 and above and for each exchange
        /// that broke off.
        errors: bool = true,
    }
}

table! {
    /// Prometheus metrics, which `[admin]` serves at `/metrics`, each with a line of help. A gRPC call counts in
    /// `turnpike_requests_total` as the HTTP status that corresponds to its code, and in
    /// `turnpike_grpc_responses_total` by its code. Every shard has its own circuit breakers and outlier detection:
    /// `turnpike_upstream_breaker_open`, `turnpike_upstream_endpoint_ejected` and the like say on how many shards they
    /// hold. Series of an endpoint begin with its first request, except `turnpike_upstream_endpoint_up`.
    pub struct MetricsSpec {
        /// Collect them.
        enabled: bool = true,
    }
}

table! {
    /// Defaults for listeners, upstreams and routes.
    pub struct DefaultsSpec {
        /// Limits.
        limits: LimitDefaults = LimitDefaults::default(),
        /// Timeouts.
        timeouts: TimeoutDefaults = TimeoutDefaults::default(),
        /// Policies of every route, before those that it names itself.
        policies: Many<Located<String>> = Many::default(),
    }
}

layers! {
    /// Default timeouts.
    pub struct TimeoutDefaults;
    /// Timeouts after all layers were merged.
    pub struct Timeouts;

    /// Timeouts on the client's side. A timeout closes the connection, with 408 where part of a request was read.
    pub struct ListenerTimeouts {
        /// TLS handshake and PROXY header.
        handshake: Time = "10s",
        /// From the first byte of a request's head to its end.
        head: Time = "10s",
        /// Silence within a request's body; above it 408.
        body: Time = "30s",
        /// Silence between two requests.
        keep_alive: Time = "75s",
        /// Time in which the client takes nothing of what is written to it. Every byte that reaches it is progress,
        /// also of what is in the kernel's buffer already. It is kept to within a quarter.
        write: Time = "30s",
        /// How far a client may fall behind `limits.min_upload_rate` and `limits.min_download_rate`: a client that
        /// sends or takes half of the least rate is cut off after twice this time, one that stands still after this
        /// time (or after `body` or `write`, where those are shorter).
        rate_grace: Time = "30s",
    }

    /// Waits for an upstream's connections.
    pub struct UpstreamTimeouts {
        /// TCP connect and TLS handshake; above it 504.
        connect: Time = "3s",
        /// Longest wait in the queue while the upstream is at its limits; above it 503.
        queue: Time = "3s",
    }

    /// Waits for an upstream's response.
    pub struct RouteTimeouts {
        /// From the request's headers to the end of the response; above it 504, or the response is cut off.
        total: Limit<Time> = "off",
        /// From the end of the request to the response's headers; above it 504.
        first_byte: Time = "60s",
        /// Silence within the response's body, or an upstream that reads nothing of a request's body.
        idle: Time = "60s",
        /// Idle timeout of a WebSocket or another upgraded connection. A WebSocket is closed with 1001, other protocols
        /// are cut.
        tunnel: Time = "1h",
        /// Longest lifetime of a WebSocket or another upgraded connection; it ends as after an idle timeout.
        tunnel_lifetime: Limit<Time> = "off",
    }
}

layers! {
    /// Default limits.
    pub struct LimitDefaults;
    /// Limits after all layers were merged.
    pub struct Limits;

    /// Limits on the client's side.
    pub struct ListenerLimits {
        /// The request line with its URL, at most 48KiB; above it 414.
        request_line: Size = "8KiB",
        /// All of a request's headers, at most 48KiB; above it 431.
        head: Size = "16KiB",
        /// The number of a request's headers, at most 256; above it 431.
        fields: Count = "100",
        /// Keep-alive requests on one connection before it is closed.
        requests_per_connection: Limit<Count> = "off",
        /// Connections of one client address to one data-plane thread; above it the newest is closed.
        connections_per_address: Limit<Count> = "off",
        /// The largest body that is read to find a route (`body` of routes), at most 8MiB; above it 413.
        routing_body: Size = "64KiB",
        /// Bytes a second at least of a request's body, while the gateway waits for it: not while the upstream holds
        /// the upload up, and not in gRPC calls and tunnels. A client that falls behind by `timeouts.rate_grace` gets
        /// 408 with the reason `client_too_slow`.
        min_upload_rate: Limit<Size> = "240B",
        /// Bytes a second at least that a client takes, while something waits to be written to it: a quiet stream is
        /// never too slow. A client that falls behind by `timeouts.rate_grace` is cut off with the reason
        /// `client_too_slow`.
        min_download_rate: Limit<Size> = "240B",
    }

    /// Limits towards an upstream. Numbers of connections and requests are for the whole process, and hold exactly
    /// whatever the number of threads: each begins with its share, and what one does not use others may. During a
    /// binary upgrade the old and the new process count for themselves.
    pub struct UpstreamLimits {
        /// Connections to one endpoint, idle ones included. Where all endpoints have as many, requests wait.
        connections: Count = "16384",
        /// Requests in flight to the whole upstream; above it they wait.
        requests: Count = "262144",
        /// Requests in flight to one endpoint. Where all endpoints have as many, requests wait.
        endpoint_requests: Count = "262144",
        /// Requests that wait in the queue, whichever limit they wait for; above it 503 at once. `0` refuses at once.
        /// Each thread has its share of it.
        queue: Count = "4096",
        /// All of a response's headers, 512 bytes to 48KiB; above it 502 with the reason `upstream_head_too_large`.
        /// HTTP/2 counts 32 bytes more for each header (RFC 9113 section 6.5.2).
        response_head: Size = "48KiB",
        /// The number of a response's headers, at most 256; above it 502 with the reason `upstream_too_many_fields`.
        response_fields: Count = "256",
    }

    /// Limits of a route.
    pub struct RouteLimits {
        /// A request's body; above it 413.
        body: Limit<Size> = "1MiB",
    }
}
