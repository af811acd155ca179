// SPDX-License-Identifier: Apache-2.0
//! Hot. The body of error responses: a problem document (RFC 9457) with one fixed text for each kind of fault.
//!
//! The text says what the client can do. It does not say which upstream, timer or limit failed; the access record has
//! that, under the request's id. The same holds of the `type`, so several kinds of fault share one. `docs/problems.md`
//! is generated from these rows and those of policies (`policy/problem`).

use crate::base::FaultKind;

/// The media type of a problem body.
pub(crate) const CONTENT_TYPE: &[u8] = b"application/problem+json";

/// How each `type` of ours begins; a word of `[a-z_]` follows. It is a name and no address: it stays the same wherever
/// the gateway runs, and nothing has to be served for it (RFC 9457 section 4.2 and RFC 8141).
pub(crate) const TYPE: &str = "urn:turnpike:problem:";

/// What clients are told of faults of one kind, or of several that they cannot tell apart.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultProblem {
    /// The end of its `type`, behind `TYPE`.
    pub word: &'static str,
    /// The status.
    pub status: u16,
    /// What happened, as the client reads it in `detail`.
    pub detail: &'static str,
    /// What the client can do about it.
    pub remedy: &'static str,
    /// The reasons in logs and metrics that stand behind it.
    pub kinds: &'static [FaultKind],
}

macro_rules! problems {
    ($($($Kind:ident)|+: $status:literal $word:literal, $title:literal, $detail:literal, $remedy:literal;)*) => {
        /// The body for a fault.
        pub(crate) const fn body(kind: FaultKind) -> &'static str {
            match kind {
                $($(FaultKind::$Kind)|+ => concat!(
                    r#"{"type":"urn:turnpike:problem:"#, $word,
                    r#"","title":"#, "\"", $title,
                    r#"","status":"#, $status,
                    r#","detail":"#, "\"", $detail, "\"}\n"
                ),)*
            }
        }

        /// All of them, for the reference.
        #[cfg(test)]
        pub(crate) const FAULTS: &[FaultProblem] = &[$(FaultProblem {
            word: $word,
            status: $status,
            detail: $detail,
            remedy: $remedy,
            kinds: &[$(FaultKind::$Kind),+],
        },)*];
    };
}

problems! {
    BadRequest: 400 "bad_request", "Bad Request", "The request is not valid HTTP.",
        "Correct the request; a client library of the field writes it as RFC 9112 says.";
    NoRoute: 404 "no_route", "Not Found", "Nothing is served at this address.",
        "Check host and path.";
    MethodNotAllowed: 405 "method_not_allowed", "Method Not Allowed", "The method is not allowed at this address.",
        "Use one of the methods in `Allow`.";
    RequestTimeout: 408 "request_timeout", "Request Timeout", "The request did not arrive in time.",
        "Send it again, without a pause in it.";
    ClientTooSlow: 408 "client_too_slow", "Request Timeout", "The request arrived too slowly.",
        "Send it again over a faster connection, or in smaller parts.";
    BodyTooLarge: 413 "content_too_large", "Content Too Large", "The request body is larger than allowed.",
        "Send less at once.";
    TargetTooLong: 414 "uri_too_long", "URI Too Long", "The request line is longer than allowed.",
        "Shorten the query, or send it as a body.";
    ExpectationFailed: 417 "expectation_failed", "Expectation Failed",
        "The only expectation that can be met is 100-continue.", "Send no other `Expect`.";
    Misdirected: 421 "misdirected", "Misdirected Request",
        "The host is not the one that this connection was opened for.", "Send it again over a connection of its own.";
    HeadTooLarge: 431 "header_fields_too_large", "Request Header Fields Too Large",
        "The header fields are larger or more than allowed.", "Send fewer and shorter fields; often it is cookies.";
    ClientClosed: 499 "client_closed", "Client Closed Request", "The client closed the connection.",
        "None: nobody reads it.";
    Internal: 500 "internal", "Internal Server Error", "The gateway failed to handle the request.",
        "Tell the operator, with the time and `X-Request-Id`.";
    NotImplemented: 501 "not_implemented", "Not Implemented", "The method or the transfer coding is not supported.",
        "Use another one.";
    ConnectFailed | UpstreamTls | UpstreamClosed | UpstreamProtocol | UpstreamHeadTooLarge | UpstreamTooManyFields
    | UpstreamTruncated: 502 "bad_gateway", "Bad Gateway", "The service did not give a valid answer.",
        "Try again later, where the method may be repeated.";
    NoEndpoint | Overloaded | BreakerOpen | QueueTimeout | KeptBodiesFull | NotRecorded | Stopped: 503 "unavailable",
        "Service Unavailable", "The service cannot answer right now. Try again later.",
        "Try again after `Retry-After`.";
    ConnectTimeout | FirstByteTimeout | IdleTimeout | TotalTimeout: 504 "gateway_timeout", "Gateway Timeout",
        "The service did not answer in time.", "Try again later, where the method may be repeated.";
    VersionNotSupported: 505 "version_not_supported", "HTTP Version Not Supported",
        "This version of HTTP is not spoken here.", "Use HTTP/1.1 or HTTP/2.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::reason;

    #[test]
    fn bodies_say_what_the_status_says() {
        let kinds = FAULTS.iter().flat_map(|fault| fault.kinds.iter().map(move |kind| (fault, *kind)));
        assert!(kinds.clone().count() > 25);
        for (fault, kind) in kinds {
            let problem: serde_json::Value = serde_json::from_str(body(kind)).unwrap();
            assert_eq!(problem["type"], format!("{TYPE}{}", fault.word), "{kind:?}");
            assert_eq!(problem["status"], kind.status(), "{kind:?}");
            assert_eq!(problem["title"], reason(kind.status()), "{kind:?}");
            assert_eq!(problem["detail"], fault.detail, "{kind:?}");
        }
    }
}
