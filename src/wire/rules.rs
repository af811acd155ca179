// SPDX-License-Identifier: Apache-2.0
//! Hot. Rules for heads of all HTTP versions: which fields may occur only once, which methods are supported.
//!
//! HTTP/1 and HTTP/2 parse heads differently and report errors differently. The rules for their content are here, once,
//! so that no version accepts a request that the other refuses.

use memchr::memchr;

use crate::base::ascii::is_name;
use crate::base::limits::METHOD_BYTES_MAX;
use crate::base::{FaultKind, Span};
use crate::wire::field::{Class, Known, KnownSet, Seen};
use crate::wire::head::{BodyLength, Method, RequestHead};

/// Fields of a request of which two lines would leave open which one counts.
pub(crate) const SINGLE: KnownSet = KnownSet::of(&[
    Known::Host,
    Known::ContentType,
    Known::Authorization,
    Known::ProxyAuthorization,
    Known::Origin,
    Known::Range,
    Known::MaxForwards,
    Known::Upgrade,
]);

/// Fields of a response of which two lines would leave open where the client goes next: a sign of an injected line.
pub(crate) const SINGLE_IN_RESPONSES: KnownSet = KnownSet::of(&[Known::Location, Known::Upgrade]);

/// Fields that a request's trailer section must not hold (RFC 9110 section 6.5.1): framing, routing, authentication,
/// what decides how the body is read, and what a hop before us vouches for.
const FORBIDDEN_IN_TRAILERS: KnownSet = KnownSet::of(&[
    Known::Host,
    Known::Connection,
    Known::ContentLength,
    Known::TransferEncoding,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::ProxyAuthorization,
    Known::ProxyAuthenticate,
    Known::Te,
    Known::Trailer,
    Known::Upgrade,
    Known::Expect,
    Known::Http2Settings,
    Known::MaxForwards,
    Known::Via,
    Known::Forwarded,
    Known::XForwardedFor,
    Known::XForwardedProto,
    Known::XForwardedHost,
    Known::XForwardedPort,
    Known::XRealIp,
    Known::XRequestId,
    Known::Authorization,
    Known::Cookie,
    Known::SetCookie,
    Known::Origin,
    Known::Vary,
    Known::Location,
    Known::ContentType,
    Known::ContentEncoding,
    Known::Range,
]);

/// Forbidden likewise, but not `Known`.
const FORBIDDEN_IN_TRAILERS_BESIDES: [&[u8]; 4] =
    [b"cache-control", b"content-range", b"www-authenticate", b"set-cookie2"];

/// Fields that a response's trailer section loses on its way: a recipient that merges trailers into the head would
/// frame or decode the content otherwise, or keep a cookie. Servers of gRPC put any other name there, such as
/// `x-request-id` or `cache-control`.
const DROPPED_FROM_TRAILERS: KnownSet = KnownSet::of(&[
    Known::Host,
    Known::Connection,
    Known::ContentLength,
    Known::TransferEncoding,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::ProxyAuthenticate,
    Known::ProxyAuthorization,
    Known::Te,
    Known::Trailer,
    Known::Upgrade,
    Known::Http2Settings,
    Known::SetCookie,
    Known::ContentType,
    Known::ContentEncoding,
]);

/// Dropped likewise, but not `Known`.
const DROPPED_FROM_TRAILERS_BESIDES: [&[u8]; 2] = [b"content-range", b"set-cookie2"];

/// Names that must not come with `_` for `-`.
const NEVER_UNDERSCORED: KnownSet = KnownSet::of(&[Known::ContentLength, Known::TransferEncoding]);

/// Do the fields of this request leave open which one counts, or look like framing to an origin that takes `_` for `-`?
pub(crate) const fn is_ambiguous(seen: Seen) -> bool {
    !seen.twice.and(SINGLE).is_empty() || !seen.underscored.and(NEVER_UNDERSCORED).is_empty()
}

/// Must a request's trailer section not hold this field?
pub(crate) fn is_forbidden_in_trailers(name: &[u8]) -> bool {
    let (Class::Name(known) | Class::Underscored(known)) = Known::class(name);
    FORBIDDEN_IN_TRAILERS.has(known) || FORBIDDEN_IN_TRAILERS_BESIDES.iter().any(|other| is_name(name, other))
}

/// Does a response's trailer section lose this field on its way?
pub(crate) fn is_dropped_from_trailers(name: &[u8]) -> bool {
    let (Class::Name(known) | Class::Underscored(known)) = Known::class(name);
    DROPPED_FROM_TRAILERS.has(known) || DROPPED_FROM_TRAILERS_BESIDES.iter().any(|other| is_name(name, other))
}

/// The method of a token.
///
/// Errors: `NotImplemented` for CONNECT and TRACE, because this is a gateway and not a tunnel, and because TRACE
/// reflects secrets; and for a known method in the wrong case, which some origin will take for the known one.
pub(crate) fn method(text: &[u8]) -> Result<Method, FaultKind> {
    match Method::of(text) {
        Method::Connect | Method::Trace => Err(FaultKind::NotImplemented),
        Method::Other if is_miscased(text) => Err(FaultKind::NotImplemented),
        method => Ok(method),
    }
}

#[cold]
fn is_miscased(text: &[u8]) -> bool {
    let mut upper = [0; METHOD_BYTES_MAX];
    let upper = &mut upper[..text.len().min(METHOD_BYTES_MAX)];
    upper.copy_from_slice(&text[..upper.len()]);
    upper.make_ascii_uppercase();
    Method::of(upper) != Method::Other
}

/// Sets path and query from `text`, which lies at `start`.
pub(crate) fn split(text: &[u8], start: usize, head: &mut RequestHead) {
    let end = start + text.len();
    match memchr(b'?', text) {
        None => {
            head.path = Span::new(start, end);
            head.query = None;
        }
        Some(mark) => {
            head.path = Span::new(start, start + mark);
            head.query = Some(Span::new(start + mark + 1, end));
        }
    }
}

/// Does the client wait for `100 Continue`? Without a body there is nothing to wait for (RFC 9110 section 10.1.1).
///
/// Errors: `ExpectationFailed` for any other expectation.
pub(crate) fn expects_continue(bytes: &[u8], head: &RequestHead) -> Result<bool, FaultKind> {
    let mut values = head.fields.values(bytes, Known::Expect);
    if !values.all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        return Err(FaultKind::ExpectationFailed);
    }
    Ok(head.body != BodyLength::None)
}
