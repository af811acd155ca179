// SPDX-License-Identifier: Apache-2.0
//! Hot. Which responses may get a content coding, and what that changes in their heads (RFC 9110 sections 8.4, 8.8.3,
//! 12.5.5 and 14.3).
//!
//! A head is judged as it will leave: what was received, without what a patch removes, and what the patch adds.

use smallvec::SmallVec;

use crate::base::ascii::{decimal, is_name};
use crate::wire::coding::{ContentCoding, MediaRanges};
use crate::wire::field::Known;
use crate::wire::grpc::Media;
use crate::wire::head::{BodyLength, Fields, Method, Request, Response};
use crate::wire::patch::Patch;

/// Which responses get a content coding.
#[derive(Clone, Debug)]
pub struct Eligible {
    /// Of these media types.
    pub types: MediaRanges,
    /// With content of at least this length in bytes; a length that is not known beforehand is enough.
    pub bytes_min: u64,
}

impl Eligible {
    /// May the response to a request with `method` get a content coding, as far as this and HTTP itself say? A response
    /// to HEAD may where that to GET may.
    ///
    /// Never where the content has a coding already; where it is a part of something (206) or none is sent (204, 205,
    /// 304); where `Cache-Control: no-transform` forbids it (RFC 9111 section 5.2.2.6); where a digest of the content
    /// goes with it (RFC 9530), which the coding would make false; and for gRPC, whose messages have codings of their
    /// own.
    pub fn includes(&self, method: Method, response: Response<'_>, patch: &Patch) -> bool {
        let head = response.head;
        if head.status < 200 || matches!(head.status, 204 | 205 | 206 | 226 | 304) {
            return false;
        }
        let length = match (head.body, method) {
            (BodyLength::Exact(bytes), _) => Some(bytes),
            (BodyLength::None, Method::Head) => response.value(Known::ContentLength).and_then(decimal),
            (BodyLength::None, _) => return false,
            (BodyLength::Chunked | BodyLength::UntilClose, _) => None,
        };
        if length.is_some_and(|bytes| bytes < self.bytes_min.max(1)) {
            return false;
        }
        let mut content_type: &[u8] = b"";
        for (name, value) in leaving(&head.fields, response.bytes, patch) {
            match name.len() {
                12 if is_name(name, b"content-type") => content_type = value,
                13 if is_name(name, b"cache-control") && forbids_transform(value) => return false,
                16 if is_name(name, b"content-encoding") => return false,
                6 | 11 | 14 if DIGESTS.iter().any(|digest| is_name(name, digest)) => return false,
                _ => {}
            }
        }
        Media::of(content_type).is_none() && self.types.hold(content_type)
    }
}

/// Fields that hold a digest of the content as it is sent: RFC 9530 and its predecessors.
const DIGESTS: [&[u8]; 4] = [b"content-digest", b"repr-digest", b"digest", b"content-md5"];

/// Does the client ask for content as the origin made it (RFC 9111 section 5.2.1.6)?
pub(crate) fn wants_no_transform(request: Request<'_>) -> bool {
    request.head.fields.named(request.bytes, b"cache-control").any(forbids_transform)
}

/// Does a value of `Cache-Control` hold `no-transform`? A comma in a quoted string counts as one between directives,
/// which may only find too much.
fn forbids_transform(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Changes a head for content that gets `coding`. `Content-Length` goes, also to HEAD, since it was that of the
/// content before; so does `Accept-Ranges`, because no ranges of what is made here can be had; a strong `ETag` becomes
/// a weak one, because the bytes may differ the next time.
pub(crate) fn code(coding: ContentCoding, response: Response<'_>, patch: &mut Patch) {
    let Response { bytes, head } = response;
    patch.remove_known(&head.fields, Known::ContentLength);
    patch.remove(&head.fields, bytes, b"accept-ranges");
    let strong = |value: &&[u8]| !value.starts_with(b"W/");
    let etag = leaving(&head.fields, bytes, patch).find(|(name, _)| is_name(name, ETAG)).map(|(_, value)| value);
    if let Some(etag) = etag.filter(strong) {
        let etag: SmallVec<[u8; 64]> = etag.into();
        patch.remove(&head.fields, bytes, ETAG);
        patch.add_with(b"ETag", |value| {
            value.extend_from_slice(b"W/");
            value.extend_from_slice(&etag);
        });
    }
    patch.add(b"Content-Encoding", coding.name().as_bytes());
}

const ETAG: &[u8] = b"etag";

/// Says that the response depends on `Accept-Encoding`, in one `Vary` line with what is there already.
pub(crate) fn vary(response: Response<'_>, patch: &mut Patch) {
    let mut list: SmallVec<[u8; 128]> = SmallVec::new();
    for (_, value) in leaving(&response.head.fields, response.bytes, patch).filter(|(name, _)| is_name(name, b"vary")) {
        for member in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if member == b"*" || member.eq_ignore_ascii_case(ACCEPT_ENCODING) {
                return;
            }
        }
        if !value.is_empty() {
            list.extend_from_slice(value);
            list.extend_from_slice(b", ");
        }
    }
    list.extend_from_slice(ACCEPT_ENCODING);
    patch.set(&response.head.fields, response.bytes, b"Vary", &list);
}

const ACCEPT_ENCODING: &[u8] = b"Accept-Encoding";

/// Names and values of the received fields that stay, and of those that are added.
fn leaving<'a>(fields: &'a Fields, bytes: &'a [u8], patch: &'a Patch) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let stays = |index: &usize| !patch.is_removed(*index);
    let received = fields.list.iter().enumerate().filter(move |(index, _)| stays(index));
    received.map(|(_, field)| (field.name.of(bytes), field.value.of(bytes))).chain(patch.added())
}

#[cfg(test)]
mod tests;
