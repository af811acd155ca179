// SPDX-License-Identifier: Apache-2.0
//! Hot. Where a request names the version that it is for.

use crate::base::ascii::is_token;
use crate::wire::head::Request;
use crate::wire::query;

/// A place for a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This segment of the path, from 0.
    Segment(usize),
    /// The value of this header.
    Header(Box<[u8]>),
    /// The value of this query parameter.
    Query(Box<[u8]>),
    /// This parameter of a media type in `Accept` or `Content-Type`: `application/json; v=2`.
    Parameter(Box<[u8]>),
    /// What stands behind this in a media type in `Accept` or `Content-Type`, up to a `+`:
    /// `application/vnd.acme.` of `application/vnd.acme.v2+json`.
    Vendor(Box<[u8]>),
}

/// What a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// No version.
    Nothing,
    /// This one.
    Version(usize),
    /// One that is not known.
    Unknown,
    /// More than one, where one is allowed.
    Several,
}

impl Place {
    /// What a request has here. `known` says which version has a name.
    pub(super) fn look(&self, request: Request<'_>, path: &[u8], known: impl Fn(&[u8]) -> Option<usize>) -> Named {
        let one = |name: &[u8]| known(name).map_or(Named::Unknown, Named::Version);
        match self {
            Place::Segment(at) => {
                let segment = path.split(|byte| *byte == b'/').nth(at + 1).unwrap_or_default();
                match known(segment) {
                    Some(at) => Named::Version(at),
                    // Any other segment is the name of a resource.
                    None if looks_like_version(segment) => Named::Unknown,
                    None => Named::Nothing,
                }
            }
            Place::Header(name) => sole(request.head.fields.named(request.bytes, name), one),
            Place::Query(name) => sole(query::values(request, name), one),
            Place::Parameter(_) | Place::Vendor(_) => self.look_at_types(request, one),
        }
    }

    /// A client may accept several versions: of those that it lists, the first that is known counts.
    fn look_at_types(&self, request: Request<'_>, one: impl Fn(&[u8]) -> Named) -> Named {
        let fields = &request.head.fields;
        let lines = fields.named(request.bytes, b"accept").chain(fields.named(request.bytes, b"content-type"));
        let mut seen = Named::Nothing;
        for media in lines.flat_map(|line| line.split(|byte| *byte == b',')) {
            let Some(name) = self.named_in(media.trim_ascii()) else { continue };
            seen = one(name);
            if let Named::Version(_) = seen {
                return seen;
            }
        }
        seen
    }

    /// The version in one media type.
    fn named_in<'m>(&self, media: &'m [u8]) -> Option<&'m [u8]> {
        let mut pieces = media.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let essence = pieces.next()?;
        match self {
            Place::Parameter(wanted) => pieces.find_map(|piece| {
                let at = memchr::memchr(b'=', piece)?;
                let (name, value) = (piece[..at].trim_ascii(), piece[at + 1..].trim_ascii());
                let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
                name.eq_ignore_ascii_case(wanted).then(|| quoted.unwrap_or(value))
            }),
            Place::Vendor(prefix) => {
                let start = essence.get(..prefix.len())?;
                let rest = &essence[prefix.len()..];
                let end = memchr::memchr(b'+', rest).unwrap_or(rest.len());
                (start.eq_ignore_ascii_case(prefix) && end > 0).then(|| &rest[..end])
            }
            Place::Segment(_) | Place::Header(_) | Place::Query(_) => None,
        }
    }
}

/// The version that the only value names; an empty one names none.
fn sole<V: AsRef<[u8]>>(mut values: impl Iterator<Item = V>, one: impl Fn(&[u8]) -> Named) -> Named {
    match (values.next(), values.next()) {
        (None, _) => Named::Nothing,
        (Some(value), None) if value.as_ref().is_empty() => Named::Nothing,
        (Some(value), None) => one(value.as_ref()),
        (Some(_), Some(_)) => Named::Several,
    }
}

/// `v2`, `2`, `v1.1`, `2024-10-01`: digits, perhaps behind a `v`, with dots or dashes between them.
fn looks_like_version(segment: &[u8]) -> bool {
    let digits = segment.strip_prefix(b"v").or(segment.strip_prefix(b"V")).unwrap_or(segment);
    let first = digits.first().is_some_and(u8::is_ascii_digit);
    let part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let behind_v = digits.len() < segment.len();
    // A bare number is mostly the id of something.
    first
        && is_token(digits)
        && digits.iter().all(part)
        && (behind_v || digits.contains(&b'-') || digits.contains(&b'.'))
}
