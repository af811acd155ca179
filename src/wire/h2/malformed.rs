// SPDX-License-Identifier: Apache-2.0
//! Why an HTTP/2 message is malformed (RFC 9113 section 8.1.1), and how the gateway reacts.
//!
//! The field block was decoded to its end in every case, so the connection goes on and only the stream fails.

use crate::base::FaultKind;

/// The rule that a message broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A field name that is empty, not a token, or has upper-case letters (section 8.2.1).
    FieldName,
    /// A field value with a control character, or with whitespace around it (section 8.2.1).
    FieldValue,
    /// A field about a connection, which HTTP/2 does not have (section 8.2.2).
    ConnectionSpecific,
    /// `te` with something else than `trailers` (section 8.2.2).
    Te,
    /// A pseudo-field that is not defined for this message (section 8.3).
    PseudoUnknown,
    /// A pseudo-field behind a regular one (section 8.3).
    PseudoLate,
    /// A pseudo-field twice (section 8.3).
    PseudoTwice,
    /// A pseudo-field that this message must have is missing (sections 8.3.1 and 8.3.2).
    PseudoMissing,
    /// A pseudo-field in a trailer section (section 8.1).
    PseudoInTrailers,
    /// A field that a trailer section must not hold (RFC 9110 section 6.5.1).
    Trailer,
    /// A method that is no token, or too long.
    Method,
    /// A scheme that is neither `http` nor `https`.
    Scheme,
    /// A path that does not start with `/`, or holds what a target must not.
    Path,
    /// An empty `:path` (section 8.3.1).
    PathEmpty,
    /// An authority that names no place, or user information (section 8.3.1).
    Authority,
    /// `host` and `:authority` name two places (section 8.3.1).
    HostDiffers,
    /// A single field twice, or one that looks like framing to an origin that takes `_` for `-`.
    Ambiguous,
    /// `content-length` that is no length, or not that of the content (section 8.1.1).
    ContentLength,
    /// A status that is not three digits, or 101, which HTTP/2 does not have (section 8.6).
    Status,
    /// More fields, or more bytes of them, than the caps allow.
    TooLarge,
    /// A method that is not served.
    NotImplemented,
    /// An `expect` that is not `100-continue`.
    Expectation,
}

impl Malformed {
    /// The rule, in words.
    pub const fn rule(self) -> &'static str {
        match self {
            Malformed::FieldName => "a field name is a token in lower case (RFC 9113 section 8.2.1)",
            Malformed::FieldValue => "a field value has no control characters or outer spaces (RFC 9113 section 8.2.1)",
            Malformed::ConnectionSpecific => "no field is about the connection (RFC 9113 section 8.2.2)",
            Malformed::Te => "`te` is `trailers` or absent (RFC 9113 section 8.2.2)",
            Malformed::PseudoUnknown => "only defined pseudo-headers are sent (RFC 9113 section 8.3)",
            Malformed::PseudoLate => "pseudo-headers stand before other fields (RFC 9113 section 8.3)",
            Malformed::PseudoTwice => "a pseudo-header is sent once (RFC 9113 section 8.3)",
            Malformed::PseudoMissing => "`:method`, `:scheme` and `:path` are sent (RFC 9113 section 8.3.1)",
            Malformed::PseudoInTrailers => "trailers have no pseudo-headers (RFC 9113 section 8.1)",
            Malformed::Trailer => "the field may not stand in trailers (RFC 9110 section 6.5.1)",
            Malformed::Method => "the method is a token of at most 32 bytes (RFC 9110 section 9.1)",
            Malformed::Scheme => "the scheme is `http` or `https` (RFC 9113 section 8.3.1)",
            Malformed::PathEmpty => "`:path` is not empty (RFC 9113 section 8.3.1)",
            Malformed::Path => "`:path` begins with `/` and holds only visible ASCII (RFC 9113 section 8.3.1)",
            Malformed::Authority => "`:authority` is a host and port without user (RFC 9113 section 8.3.1)",
            Malformed::HostDiffers => "`host` and `:authority` are the same (RFC 9113 section 8.3.1)",
            Malformed::Ambiguous => "a field that must be single is repeated, or one of framing is spelled with `_`",
            Malformed::ContentLength => "`content-length` is the length of the content (RFC 9113 section 8.1.1)",
            Malformed::Status => "the status has three digits and is not 101 (RFC 9113 section 8.6)",
            Malformed::TooLarge => "the headers are larger or more than the listener's limits",
            Malformed::NotImplemented => "the method is CONNECT, TRACE or a known one in the wrong case",
            Malformed::Expectation => "Expect is `100-continue` or absent (RFC 9110 section 10.1.1)",
        }
    }

    /// The fault whose response the client gets; `None` where the stream is reset with `PROTOCOL_ERROR`.
    ///
    /// Reset is what breaks HTTP/2 itself. What any version would refuse for its meaning is answered, as h1 does.
    pub const fn answer(self) -> Option<FaultKind> {
        match self {
            Malformed::FieldName
            | Malformed::FieldValue
            | Malformed::ConnectionSpecific
            | Malformed::Te
            | Malformed::PseudoUnknown
            | Malformed::PseudoLate
            | Malformed::PseudoTwice
            | Malformed::PseudoMissing
            | Malformed::PseudoInTrailers
            | Malformed::PathEmpty
            | Malformed::Trailer
            | Malformed::Status
            | Malformed::ContentLength => None,
            Malformed::Method
            | Malformed::Scheme
            | Malformed::Path
            | Malformed::Authority
            | Malformed::HostDiffers
            | Malformed::Ambiguous => Some(FaultKind::BadRequest),
            Malformed::TooLarge => Some(FaultKind::HeadTooLarge),
            Malformed::NotImplemented => Some(FaultKind::NotImplemented),
            Malformed::Expectation => Some(FaultKind::ExpectationFailed),
        }
    }
}
