// SPDX-License-Identifier: Apache-2.0
//! Hot. Outgoing messages: the received head, the patch to it, and the gateway's own decisions.
//!
//! This file decides, once for all HTTP versions, which fields are forwarded, removed or generated. `h1::write` and
//! `h2::write` serialise the result.

use crate::base::ascii::decimal;
use crate::base::date::IMF_LEN;
use crate::wire::field::{Known, KnownSet};
use crate::wire::field_set::FieldSet;
use crate::wire::h1::framing;
use crate::wire::head::{BodyLength, Fields, Method, Request, Response, Version};
use crate::wire::hop;
use crate::wire::patch::Patch;

/// What becomes of the connection behind a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It carries the next message.
    KeepAlive,
    /// It is closed.
    Close,
    /// It leaves HTTP; the received `Upgrade` field is passed on.
    Upgrade,
}

/// Which host a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader<'a> {
    /// The one the client named.
    Received,
    /// This one.
    Is(&'a [u8]),
}

/// A request as it goes to an upstream.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRequest<'a> {
    /// What was received. Its fields go on, but for those about the connection.
    pub request: Request<'a>,
    /// The method, nearly always `request.method_text()`.
    pub method: &'a [u8],
    /// The target: origin-form, or `*`. On HTTP/2 it is `:path`.
    pub target: &'a [u8],
    /// The host; on HTTP/2 it is `:authority`. A request of HTTP/1.0 may have named none, and then one must be given.
    pub host: HostHeader<'a>,
    /// Fields removed and added.
    pub patch: &'a Patch,
    /// How the body is sent; never `UntilClose`.
    pub body: BodyLength,
    /// What becomes of the connection; on HTTP/2, of the stream.
    pub after: After,
    /// Our name for `Via` (RFC 9110 section 7.6.3); `None` leaves it out.
    pub via: Option<&'a [u8]>,
}

/// A response as it goes to a client.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingResponse<'a> {
    /// What was received, or a head of ours with a status and no fields.
    pub response: Response<'a>,
    /// Fields removed and added.
    pub patch: &'a Patch,
    /// How the body is sent: what `framing::to_client` says.
    pub body: BodyLength,
    /// The request's method.
    pub method: Method,
    /// The client's version.
    pub client: Version,
    /// What becomes of the connection.
    pub after: After,
    /// Now, for a missing `Date`.
    pub date: &'a [u8; IMF_LEN],
    /// Our name for `Via`; `None` leaves it out.
    pub via: Option<&'a [u8]>,
}

/// Fields of a request that are never copied: those about the connection, those that are made anew, credentials for us,
/// and names that an origin could take for others. A patch cannot set them either.
pub(crate) const REQUEST_DROPS: KnownSet =
    hop::HOP_BY_HOP.or(KnownSet::of(&[Known::Host, Known::ProxyAuthorization, Known::Underscored]));

/// Fields of a response that are never copied, and that a patch cannot set.
pub(crate) const RESPONSE_DROPS: KnownSet = hop::HOP_BY_HOP;

impl<'a> OutgoingRequest<'a> {
    /// Names of received fields that do not go on.
    pub(crate) fn drops(&self) -> KnownSet {
        let head = self.request.head;
        let mut drops = REQUEST_DROPS;
        if !head.expects_continue {
            drops.insert(Known::Expect);
        }
        if self.body != BodyLength::Chunked {
            drops.insert(Known::Trailer);
        }
        if head.method == Method::Options {
            drops.insert(Known::MaxForwards);
        }
        drops
    }

    /// The host that the request is for.
    pub(crate) fn host(&self) -> &'a [u8] {
        match self.host {
            HostHeader::Received => self.request.authority(),
            HostHeader::Is(host) => host,
        }
    }

    /// What `Content-Length` says, where there is to be one.
    pub(crate) fn content_length(&self) -> Option<u64> {
        match self.body {
            BodyLength::Exact(bytes) => Some(bytes),
            // RFC 9110 section 8.6: where content is usual, its absence is said.
            BodyLength::None if matches!(self.method, b"POST" | b"PUT" | b"PATCH") => Some(0),
            BodyLength::None | BodyLength::Chunked | BodyLength::UntilClose => None,
        }
    }

    /// What `Max-Forwards` says now (RFC 9110 section 7.6.2). Whether the request may be forwarded at all, the caller
    /// decided.
    pub(crate) fn max_forwards(&self) -> Option<u64> {
        if self.request.head.method != Method::Options {
            return None;
        }
        let hops = self.request.value(Known::MaxForwards).and_then(decimal)?;
        Some(hops.saturating_sub(1))
    }

    /// Are trailers welcome, and did the patch not say otherwise?
    pub(crate) fn accepts_trailers(&self, kept: &Kept) -> bool {
        self.request.head.accepts_trailers && kept.names.has(Known::Te)
    }

    /// What is asked for instead of HTTP/1.1: by an extended CONNECT, or by `Upgrade`.
    pub(crate) fn protocol(&self) -> Option<&'a [u8]> {
        match self.request.head.protocol.of(self.request.bytes) {
            [] => self.request.value(Known::Upgrade),
            protocol => Some(protocol),
        }
    }
}

impl OutgoingResponse<'_> {
    /// Names of received fields that do not go on.
    pub(crate) fn drops(&self) -> KnownSet {
        let mut drops = RESPONSE_DROPS;
        if self.body != BodyLength::Chunked {
            drops.insert(Known::Trailer);
        }
        drops
    }

    /// What `Content-Length` says, where there is to be one.
    pub(crate) fn content_length(&self) -> Option<u64> {
        let status = self.response.head.status;
        match self.body {
            BodyLength::Exact(bytes) => Some(bytes),
            BodyLength::Chunked | BodyLength::UntilClose => None,
            BodyLength::None if forbids_length(status) => None,
            // To HEAD and with 304 the length is that of the body which is not sent.
            BodyLength::None if framing::is_bodiless(status, self.method) => self.received_length(),
            // From HTTP/2 to HTTP/2 the end of the stream says it, and callers of gRPC are shown every field.
            BodyLength::None if self.client == Version::H2 && self.response.head.version == Version::H2 => {
                self.received_length()
            }
            BodyLength::None => Some(0),
        }
    }

    /// The length that the received head gives, where the patch left it there.
    fn received_length(&self) -> Option<u64> {
        let Fields { list, .. } = &self.response.head.fields;
        let at = list.iter().position(|field| field.known == Known::ContentLength)?;
        if self.patch.is_removed(at) { None } else { decimal(list[at].value.of(self.response.bytes)) }
    }
}

/// Is a `Date` to be added to a response with `status` and these names (RFC 9110 section 6.6.1)?
pub(crate) const fn lacks_date(status: u16, names: KnownSet) -> bool {
    status >= 200 && !names.has(Known::Date)
}

/// RFC 9110 section 8.6: neither 1xx nor 204 may have a length.
const fn forbids_length(status: u16) -> bool {
    status < 200 || status == 204
}

/// What of the received fields goes on, as far as patch and `Connection` say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// Fields that do not.
    pub removed: FieldSet,
    /// The names of those that the patch did not remove, also of such as never go on.
    pub names: KnownSet,
}

impl Kept {
    /// What of `fields` goes on after `patch`.
    #[inline]
    pub(crate) fn of(fields: &Fields, bytes: &[u8], patch: &Patch) -> Kept {
        let mut removed = *patch.removed();
        let mut names = fields.names;
        if !removed.is_empty() {
            names = KnownSet::default();
            for (index, field) in fields.list.iter().enumerate() {
                if !removed.has(index) {
                    names.insert(field.known);
                }
            }
        }
        if names.has(Known::Connection) {
            removed |= hop::nominated(fields, bytes);
        }
        Kept { removed, names }
    }
}

/// The version in `Via` (RFC 9110 section 7.6.3), with the space behind it.
pub(crate) const fn via_version(received: Version) -> &'static [u8; 4] {
    match received {
        Version::H10 => b"1.0 ",
        Version::H11 => b"1.1 ",
        Version::H2 => b"2.0 ",
    }
}
