// SPDX-License-Identifier: Apache-2.0
//! Hot. The body of error responses: a problem document (RFC 9457) with one fixed text for each kind of fault.
//!
//! The text says what the client can do. It does not say which upstream, timer or limit failed; the access record has
//! that, under the request's id.

use crate::base::FaultKind;

/// The media type of a problem body.
pub(crate) const CONTENT_TYPE: &[u8] = b"application/problem+json";

macro_rules! problem {
    ($status:literal, $title:literal, $detail:literal) => {
        concat!(
            r#"{"type":"about:blank","title":""#,
            $title,
            r#"","status":"#,
            $status,
            r#","detail":""#,
            $detail,
            "\"}\n"
        )
    };
}

/// The body for a fault.
pub(crate) const fn body(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::BadRequest => problem!(400, "Bad Request", "The request is not valid HTTP."),
        FaultKind::RequestTimeout => problem!(408, "Request Timeout", "The request did not arrive in time."),
        FaultKind::ClientTooSlow => problem!(408, "Request Timeout", "The request arrived too slowly."),
        FaultKind::BodyTooLarge => problem!(413, "Content Too Large", "The request body is larger than allowed."),
        FaultKind::TargetTooLong => problem!(414, "URI Too Long", "The request line is longer than allowed."),
        FaultKind::HeadTooLarge => {
            problem!(431, "Request Header Fields Too Large", "The header fields are larger or more than allowed.")
        }
        FaultKind::NotImplemented => {
            problem!(501, "Not Implemented", "The method or the transfer coding is not supported.")
        }
        FaultKind::VersionNotSupported => {
            problem!(505, "HTTP Version Not Supported", "This version of HTTP is not spoken here.")
        }
        FaultKind::ExpectationFailed => {
            problem!(417, "Expectation Failed", "The only expectation that can be met is 100-continue.")
        }
        FaultKind::Misdirected => {
            problem!(421, "Misdirected Request", "The host is not the one that this connection was opened for.")
        }
        FaultKind::ClientClosed => problem!(499, "Client Closed Request", "The client closed the connection."),
        FaultKind::NoRoute => problem!(404, "Not Found", "Nothing is served at this address."),
        FaultKind::MethodNotAllowed => {
            problem!(405, "Method Not Allowed", "The method is not allowed at this address.")
        }
        FaultKind::NoEndpoint
        | FaultKind::Overloaded
        | FaultKind::BreakerOpen
        | FaultKind::QueueTimeout
        | FaultKind::Stopped => {
            problem!(503, "Service Unavailable", "The service cannot answer right now. Try again later.")
        }
        FaultKind::ConnectFailed
        | FaultKind::UpstreamTls
        | FaultKind::UpstreamClosed
        | FaultKind::UpstreamProtocol
        | FaultKind::UpstreamHeadTooLarge
        | FaultKind::UpstreamTooManyFields
        | FaultKind::UpstreamTruncated => {
            problem!(502, "Bad Gateway", "The service did not give a valid answer.")
        }
        FaultKind::ConnectTimeout | FaultKind::FirstByteTimeout | FaultKind::IdleTimeout | FaultKind::TotalTimeout => {
            problem!(504, "Gateway Timeout", "The service did not answer in time.")
        }
        FaultKind::Internal => problem!(500, "Internal Server Error", "The gateway failed to handle the request."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::reason;

    #[test]
    fn bodies_say_what_the_status_says() {
        let kinds = [
            FaultKind::BadRequest,
            FaultKind::RequestTimeout,
            FaultKind::ClientTooSlow,
            FaultKind::BodyTooLarge,
            FaultKind::TargetTooLong,
            FaultKind::HeadTooLarge,
            FaultKind::NotImplemented,
            FaultKind::VersionNotSupported,
            FaultKind::ExpectationFailed,
            FaultKind::Misdirected,
            FaultKind::ClientClosed,
            FaultKind::NoRoute,
            FaultKind::MethodNotAllowed,
            FaultKind::NoEndpoint,
            FaultKind::Overloaded,
            FaultKind::BreakerOpen,
            FaultKind::QueueTimeout,
            FaultKind::Stopped,
            FaultKind::ConnectFailed,
            FaultKind::ConnectTimeout,
            FaultKind::UpstreamTls,
            FaultKind::UpstreamClosed,
            FaultKind::UpstreamProtocol,
            FaultKind::UpstreamHeadTooLarge,
            FaultKind::UpstreamTooManyFields,
            FaultKind::FirstByteTimeout,
            FaultKind::IdleTimeout,
            FaultKind::TotalTimeout,
            FaultKind::UpstreamTruncated,
            FaultKind::Internal,
        ];
        for kind in kinds {
            let problem: serde_json::Value = serde_json::from_str(body(kind)).unwrap();
            assert_eq!(problem["status"], kind.status(), "{kind:?}");
            assert_eq!(problem["title"], reason(kind.status()), "{kind:?}");
        }
    }
}
