// SPDX-License-Identifier: Apache-2.0
//! The access log as shards write it: where to, in which form, and for which requests.

use std::path::PathBuf;

use crate::config::spec::scalar::Share;
use crate::config::spec::server::LogEscape;
use crate::wire::template::Template;

/// Where and how the access log is written.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLogPlan {
    /// Where to.
    pub to: LogTarget,
    /// One line's form.
    pub format: LogFormat,
    /// The share of requests without a route that get a line.
    pub sample: Share,
    /// Failures get a line whatever the share is.
    pub errors: bool,
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, reopened on SIGUSR1.
    File(PathBuf),
}

/// One access-log line's form.
#[derive(Clone, Debug, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line with all fields, and these behind them.
    Json(Vec<LogField>),
    /// Apache/nginx "combined".
    Combined,
    /// A template; see `wire::template`, plus the log-only variables listed in `docs/config.md`.
    Template(LogTemplate),
}

/// The names of the fields that JSON lines have by themselves.
pub(crate) const JSON_FIELDS: &str = "time client method host target protocol status grpc_status duration_ms \
    bytes_received bytes_sent route upstream endpoint tries connect_ms first_byte_ms request_id consumer \
    version client_certificate reason detail reported aborted user_agent referer";

/// A field of one's own in a JSON line.
#[derive(Clone, Debug, PartialEq)]
pub struct LogField {
    /// Comma, name, colon and quotation mark, as they stand in the line.
    pub opening: Box<[u8]>,
    /// The content of its text.
    pub value: LogTemplate,
}

/// A compiled log template: pieces of text and facts of an access record.
#[derive(Clone, Debug, PartialEq)]
pub struct LogTemplate {
    /// In order.
    pub pieces: Vec<LogPiece>,
    /// How the values of variables are written.
    pub escape: LogEscape,
}

/// One piece of a log template.
#[derive(Clone, Debug, PartialEq)]
pub enum LogPiece {
    /// Fixed text or request variables.
    Text(Template),
    /// Total time in seconds with millisecond digits.
    Duration,
    /// Time to the first byte from the upstream, seconds; `-` without one.
    FirstByte,
    /// Time to connect to the upstream, seconds; `-` where a connection was reused.
    Connect,
    /// Body bytes sent to the client.
    BytesSent,
    /// Body bytes received from the client.
    BytesReceived,
    /// The name of the code that a gRPC call ended with, or `-`.
    GrpcStatus,
    /// The reason of a failure or refusal, or `-`.
    Reason,
    /// What exactly an upstream's failure was, or `-`.
    Detail,
    /// What a policy that only reports would have refused.
    Reported,
    /// Time of the request's end, RFC 3339.
    Time,
    /// Time of the request's end, common log format.
    TimeCommon,
    /// Attempts made.
    Tries,
}
