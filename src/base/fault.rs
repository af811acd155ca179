// SPDX-License-Identifier: Apache-2.0
//! Why an exchange failed, as a small `Copy` value: what happened, who caused it, and whether a retry is safe.
//!
//! One table (`FaultKind::status`) maps a fault to a status. The access record, not this file, has the text for people.

use crate::base::cause::Cause;

/// Who caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client broke a rule or went away.
    Client,
    /// The upstream did.
    Upstream,
    /// We did, or the configuration did.
    Gateway,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// No: bytes may have been acted upon, or it would fail again.
    No,
    /// Yes: the request cannot have been processed.
    Yes,
    /// Yes, but only if it failed on a reused connection before any byte of the response arrived.
    IfReused,
    /// Yes: the endpoint said that it did not process the request. A few such refusals do not count as attempts.
    Refused,
}

/// What went wrong. Each kind has one status and one machine-readable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    // Client side.
    /// The head is not HTTP as RFC 9112 writes it.
    BadRequest,
    /// Head not complete in time, or body stalled.
    RequestTimeout,
    /// Body above the cap.
    BodyTooLarge,
    /// Request line above the cap.
    TargetTooLong,
    /// Head or field count above the cap.
    HeadTooLarge,
    /// `Transfer-Encoding` or method that we do not implement.
    NotImplemented,
    /// An HTTP version we do not speak.
    VersionNotSupported,
    /// An `Expect` that is not `100-continue`.
    ExpectationFailed,
    /// Request for a host that this connection is not for (TLS name and Host differ).
    Misdirected,
    /// The client closed or reset the connection before the response was complete.
    ClientClosed,
    /// The client sent the request's body, or read the response, below the least rate, or stopped reading.
    ClientTooSlow,
    // Routing and capacity.
    /// No route matches.
    NoRoute,
    /// A route matches but not with this method.
    MethodNotAllowed,
    /// Every endpoint is down, ejected or unresolved.
    NoEndpoint,
    /// Connections, requests or queue are at their cap.
    Overloaded,
    /// The circuit breaker is open.
    BreakerOpen,
    /// Waited too long in the queue.
    QueueTimeout,
    /// A body must be kept, and `kept_bodies_max` is reached.
    KeptBodiesFull,
    // Upstream side.
    /// TCP connect refused or unreachable.
    ConnectFailed,
    /// TCP connect took too long.
    ConnectTimeout,
    /// TLS to the upstream failed.
    UpstreamTls,
    /// The upstream closed or reset before a complete head.
    UpstreamClosed,
    /// The upstream sent something that is not HTTP.
    UpstreamProtocol,
    /// The upstream's head has more bytes than `limits.response_head` allows.
    UpstreamHeadTooLarge,
    /// The upstream's head has more fields than `limits.response_fields` allows.
    UpstreamTooManyFields,
    /// No response head in time.
    FirstByteTimeout,
    /// The body stalled.
    IdleTimeout,
    /// The whole exchange took too long.
    TotalTimeout,
    /// The upstream's body ended early.
    UpstreamTruncated,
    // Gateway.
    /// The process ended before the exchange did.
    Stopped,
    /// The response is billed and could not be recorded.
    NotRecorded,
    /// A bug of ours; the request ended, the process did not.
    Internal,
}

impl FaultKind {
    /// The status that a client sees where a head can still be sent (RFC 9110 section 15).
    pub const fn status(self) -> u16 {
        match self {
            FaultKind::BadRequest => 400,
            FaultKind::RequestTimeout | FaultKind::ClientTooSlow => 408,
            FaultKind::BodyTooLarge => 413,
            FaultKind::TargetTooLong => 414,
            FaultKind::HeadTooLarge => 431,
            FaultKind::NotImplemented => 501,
            FaultKind::VersionNotSupported => 505,
            FaultKind::ExpectationFailed => 417,
            FaultKind::Misdirected => 421,
            FaultKind::ClientClosed => 499,
            FaultKind::NoRoute => 404,
            FaultKind::MethodNotAllowed => 405,
            FaultKind::NoEndpoint
            | FaultKind::Overloaded
            | FaultKind::BreakerOpen
            | FaultKind::QueueTimeout
            | FaultKind::KeptBodiesFull
            | FaultKind::Stopped
            | FaultKind::NotRecorded => 503,
            FaultKind::ConnectFailed
            | FaultKind::UpstreamTls
            | FaultKind::UpstreamClosed
            | FaultKind::UpstreamProtocol
            | FaultKind::UpstreamHeadTooLarge
            | FaultKind::UpstreamTooManyFields
            | FaultKind::UpstreamTruncated => 502,
            FaultKind::ConnectTimeout
            | FaultKind::FirstByteTimeout
            | FaultKind::IdleTimeout
            | FaultKind::TotalTimeout => 504,
            FaultKind::Internal => 500,
        }
    }

    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::BadRequest => "bad_request",
            FaultKind::RequestTimeout => "request_timeout",
            FaultKind::BodyTooLarge => "body_too_large",
            FaultKind::TargetTooLong => "target_too_long",
            FaultKind::HeadTooLarge => "head_too_large",
            FaultKind::NotImplemented => "not_implemented",
            FaultKind::VersionNotSupported => "version_not_supported",
            FaultKind::ExpectationFailed => "expectation_failed",
            FaultKind::Misdirected => "misdirected",
            FaultKind::ClientClosed => "client_closed",
            FaultKind::ClientTooSlow => "client_too_slow",
            FaultKind::NoRoute => "no_route",
            FaultKind::MethodNotAllowed => "method_not_allowed",
            FaultKind::NoEndpoint => "no_endpoint",
            FaultKind::Overloaded => "overloaded",
            FaultKind::BreakerOpen => "breaker_open",
            FaultKind::QueueTimeout => "queue_timeout",
            FaultKind::KeptBodiesFull => "kept_bodies_full",
            FaultKind::ConnectFailed => "connect_failed",
            FaultKind::ConnectTimeout => "connect_timeout",
            FaultKind::UpstreamTls => "upstream_tls",
            FaultKind::UpstreamClosed => "upstream_closed",
            FaultKind::UpstreamProtocol => "upstream_protocol",
            FaultKind::UpstreamHeadTooLarge => "upstream_head_too_large",
            FaultKind::UpstreamTooManyFields => "upstream_too_many_fields",
            FaultKind::FirstByteTimeout => "first_byte_timeout",
            FaultKind::IdleTimeout => "idle_timeout",
            FaultKind::TotalTimeout => "total_timeout",
            FaultKind::UpstreamTruncated => "upstream_truncated",
            FaultKind::Stopped => "stopped",
            FaultKind::NotRecorded => "usage_not_recorded",
            FaultKind::Internal => "internal",
        }
    }

    /// The cause where no other is known; `None` where the upstream is not guilty.
    const fn cause(self) -> Option<Cause> {
        match self {
            FaultKind::ConnectFailed => Some(Cause::ConnectFailed),
            FaultKind::ConnectTimeout => Some(Cause::ConnectTimeout),
            FaultKind::UpstreamTls => Some(Cause::HandshakeFailed),
            FaultKind::UpstreamClosed => Some(Cause::Closed),
            FaultKind::UpstreamProtocol => Some(Cause::Malformed),
            FaultKind::UpstreamHeadTooLarge => Some(Cause::HeadTooLarge),
            FaultKind::UpstreamTooManyFields => Some(Cause::TooManyFields),
            FaultKind::FirstByteTimeout => Some(Cause::FirstByteTimeout),
            FaultKind::IdleTimeout => Some(Cause::IdleTimeout),
            FaultKind::UpstreamTruncated => Some(Cause::Truncated),
            FaultKind::BadRequest
            | FaultKind::RequestTimeout
            | FaultKind::BodyTooLarge
            | FaultKind::TargetTooLong
            | FaultKind::HeadTooLarge
            | FaultKind::NotImplemented
            | FaultKind::VersionNotSupported
            | FaultKind::ExpectationFailed
            | FaultKind::Misdirected
            | FaultKind::ClientClosed
            | FaultKind::ClientTooSlow
            | FaultKind::NoRoute
            | FaultKind::MethodNotAllowed
            | FaultKind::NoEndpoint
            | FaultKind::Overloaded
            | FaultKind::BreakerOpen
            | FaultKind::QueueTimeout
            | FaultKind::KeptBodiesFull
            | FaultKind::TotalTimeout
            | FaultKind::Stopped
            | FaultKind::NotRecorded
            | FaultKind::Internal => None,
        }
    }

    /// Who caused it.
    pub const fn side(self) -> Side {
        match self {
            FaultKind::BadRequest
            | FaultKind::RequestTimeout
            | FaultKind::BodyTooLarge
            | FaultKind::TargetTooLong
            | FaultKind::HeadTooLarge
            | FaultKind::NotImplemented
            | FaultKind::VersionNotSupported
            | FaultKind::ExpectationFailed
            | FaultKind::Misdirected
            | FaultKind::ClientClosed
            | FaultKind::ClientTooSlow
            | FaultKind::NoRoute
            | FaultKind::MethodNotAllowed => Side::Client,
            FaultKind::ConnectFailed
            | FaultKind::ConnectTimeout
            | FaultKind::UpstreamTls
            | FaultKind::UpstreamClosed
            | FaultKind::UpstreamProtocol
            | FaultKind::UpstreamHeadTooLarge
            | FaultKind::UpstreamTooManyFields
            | FaultKind::FirstByteTimeout
            | FaultKind::IdleTimeout
            | FaultKind::UpstreamTruncated
            | FaultKind::NoEndpoint => Side::Upstream,
            FaultKind::Overloaded
            | FaultKind::BreakerOpen
            | FaultKind::QueueTimeout
            | FaultKind::KeptBodiesFull
            | FaultKind::TotalTimeout
            | FaultKind::Stopped
            | FaultKind::NotRecorded
            | FaultKind::Internal => Side::Gateway,
        }
    }
}

/// One thing that went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What.
    pub kind: FaultKind,
    /// Whether the request may be retried.
    pub retry: Retry,
    /// Why, where more is known than `kind` says.
    pub known: Option<Cause>,
}

impl Fault {
    /// A fault that must not be retried.
    pub(crate) const fn last(kind: FaultKind) -> Fault {
        Fault { kind, retry: Retry::No, known: None }
    }

    /// A fault of an endpoint that said it did not process the request (RFC 9113 section 8.7).
    pub(crate) const fn refused(kind: FaultKind) -> Fault {
        Fault { kind, retry: Retry::Refused, known: Some(Cause::StreamRefused) }
    }

    /// A fault after which the request certainly was not processed.
    pub(crate) const fn unsent(kind: FaultKind) -> Fault {
        Fault { kind, retry: Retry::Yes, known: None }
    }

    /// The same, with its cause.
    #[must_use]
    pub(crate) const fn because(self, cause: Cause) -> Fault {
        Fault { known: Some(cause), ..self }
    }

    /// Why the upstream failed; `None` where it is not guilty.
    pub(crate) const fn cause(self) -> Option<Cause> {
        match self.known {
            Some(cause) => Some(cause),
            None => self.kind.cause(),
        }
    }

    /// The same on a kept connection before any byte of a response: the endpoint may have closed it meanwhile.
    #[must_use]
    pub(crate) const fn on_reused(self) -> Fault {
        match self.retry {
            Retry::No | Retry::IfReused => Fault { retry: Retry::IfReused, ..self },
            // It is known for certain.
            Retry::Yes | Retry::Refused => self,
        }
    }
}

#[cfg(test)]
mod tests {
    /// A fault of the kind `UpstreamTls` always has a cause, and then that is the reason.
    const NEVER_SHOWN: &str = "upstream_tls";

    #[test]
    fn the_operations_manual_lists_every_reason() {
        let manual = include_str!("../../docs/operations.md");
        let names = include_str!("fault.rs").lines().filter_map(|line| {
            let (_, name) = line.trim().strip_prefix("FaultKind::")?.split_once(" => \"")?;
            name.strip_suffix("\",").filter(|name| *name != NEVER_SHOWN)
        });
        let missing: Vec<&str> = names.clone().filter(|name| !manual.contains(&format!("| `{name}` | "))).collect();
        assert!(names.count() > 25 && missing.is_empty(), "docs/operations.md lacks {missing:?}");
    }
}
