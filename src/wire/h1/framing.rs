// SPDX-License-Identifier: Apache-2.0
//! Hot. Where a body ends: the one place that decides it (RFC 9112 section 6).
//!
//! Stricter than the RFC where it leaves a choice, because every choice is one that another parser may make
//! differently: a request with both lengths, with a length twice (even an equal one), with a length list or with
//! leading zeros is refused; so is every transfer coding but one `chunked`.

use crate::base::FaultKind;
use crate::base::ascii::{decimal, is_name, is_token};
use crate::wire::field::{Known, KnownSet};
use crate::wire::h1::{Deviation, Tolerance};
use crate::wire::head::{BodyLength, Fields, Method, Version};
use crate::wire::hop;

/// The fields that say how long a body is.
pub(super) const LENGTHS: KnownSet = KnownSet::of(&[Known::ContentLength, Known::TransferEncoding]);

/// How long a request's body is. `names` is what `fields` holds.
///
/// - Both `Content-Length` and `Transfer-Encoding`: `BadRequest` (section 6.3 item 3 allows to refuse).
/// - `Transfer-Encoding` in HTTP/1.0: `BadRequest` (section 6.1).
/// - A last coding that is not `chunked`, `chunked` twice, or several field lines: `BadRequest` (section 6.3 item 4).
/// - Another well-formed coding: `NotImplemented` (section 6.1).
pub fn request(names: KnownSet, fields: &Fields, bytes: &[u8], version: Version) -> Result<BodyLength, FaultKind> {
    match find(names, fields, bytes) {
        Found { transfer_encoding: Lines::None, content_length: Lines::None } => Ok(BodyLength::None),
        Found { transfer_encoding: Lines::None, content_length: Lines::One(value) } => {
            if value.len() > 1 && value[0] == b'0' {
                return Err(FaultKind::BadRequest);
            }
            exact(value).ok_or(FaultKind::BadRequest)
        }
        Found { transfer_encoding: Lines::One(value), content_length: Lines::None } if version == Version::H11 => {
            match coding(value) {
                Coding::Chunked => Ok(BodyLength::Chunked),
                Coding::Unknown => Err(FaultKind::NotImplemented),
                Coding::Malformed => Err(FaultKind::BadRequest),
            }
        }
        Found { .. } => Err(FaultKind::BadRequest),
    }
}

/// How long a response's body is, when `method` was asked for. `names` is what `fields` holds.
///
/// The rules of requests hold, except that leading zeros in a length are harmless here (the length is written anew),
/// and that without any length the body ends with the connection. What is refused is `UpstreamProtocol`.
pub fn response(
    names: KnownSet,
    fields: &Fields,
    bytes: &[u8],
    version: Version,
    status: u16,
    method: Method,
) -> Result<BodyLength, FaultKind> {
    let length = match find(names, fields, bytes) {
        Found { transfer_encoding: Lines::None, content_length: Lines::None } => BodyLength::UntilClose,
        Found { transfer_encoding: Lines::None, content_length: Lines::One(value) } => {
            exact(value).ok_or(FaultKind::UpstreamProtocol)?
        }
        Found { transfer_encoding: Lines::One(value), content_length: Lines::None }
            if version == Version::H11 && coding(value) == Coding::Chunked =>
        {
            BodyLength::Chunked
        }
        Found { .. } => return Err(FaultKind::UpstreamProtocol),
    };
    Ok(if is_bodiless(status, method) { BodyLength::None } else { length })
}

/// How long a response's body is that `response` refused, where `tolerance` accepts what is wrong with it.
#[cold]
pub(super) fn tolerated(fields: &Fields, bytes: &[u8], version: Version, tolerance: Tolerance) -> Option<BodyLength> {
    let found = find(LENGTHS, fields, bytes);
    match (found.transfer_encoding, found.content_length) {
        (Lines::One(value), Lines::One(_) | Lines::Many)
            if version == Version::H11
                && coding(value) == Coding::Chunked
                && tolerance.has(Deviation::LengthWithChunked) =>
        {
            Some(BodyLength::Chunked)
        }
        (Lines::None, Lines::One(_) | Lines::Many) if tolerance.has(Deviation::RepeatedLength) => {
            let mut lengths = fields.values(bytes, Known::ContentLength).flat_map(hop::members).map(exact);
            let first = lengths.next()??;
            lengths.all(|length| length == Some(first)).then_some(first)
        }
        (Lines::None | Lines::One(_) | Lines::Many, _) => None,
    }
}

/// The rule about lengths that the fields of a response break, for the log.
#[cold]
pub(super) fn broken_rule(fields: &Fields, bytes: &[u8]) -> &'static str {
    match find(LENGTHS, fields, bytes) {
        Found { transfer_encoding: Lines::One(_) | Lines::Many, content_length: Lines::One(_) | Lines::Many } => {
            "RFC 9112 section 6.3: Content-Length beside Transfer-Encoding"
        }
        Found { transfer_encoding: Lines::One(_) | Lines::Many, .. } => {
            "RFC 9112 section 6.1: a transfer coding other than one `chunked`, or in HTTP/1.0"
        }
        Found { content_length: Lines::Many, .. } => "RFC 9112 section 6.3: Content-Length several times",
        Found { content_length: Lines::One(value), .. } if exact(value).is_none() => {
            "RFC 9110 section 8.6: a Content-Length that is not one number"
        }
        Found { .. } => "RFC 9110 section 5.3: a field several times that may be there once",
    }
}

/// Does a response with this status to this method end with its head, whatever its fields say (RFC 9112 section 6.3
/// items 1 and 2)?
pub const fn is_bodiless(status: u16, method: Method) -> bool {
    matches!(method, Method::Head) || is_status_bodiless(status)
}

/// Does a response with this status never have a body?
pub const fn is_status_bodiless(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}

/// How a response body that came as `length` goes to a client of `version`.
///
/// HTTP/1.0 knows no chunks, so there it ends with the connection. A body that ended with the upstream's connection is
/// chunked for HTTP/1.1, so that the client can tell a complete body from a cut one and the connection lives on.
pub const fn to_client(length: BodyLength, version: Version) -> BodyLength {
    match (length, version) {
        (BodyLength::None, _) => BodyLength::None,
        (BodyLength::Exact(bytes), _) => BodyLength::Exact(bytes),
        (BodyLength::Chunked | BodyLength::UntilClose, Version::H10) => BodyLength::UntilClose,
        (BodyLength::Chunked | BodyLength::UntilClose, Version::H11 | Version::H2) => BodyLength::Chunked,
    }
}

struct Found<'a> {
    transfer_encoding: Lines<'a>,
    content_length: Lines<'a>,
}

/// The lines of one name.
enum Lines<'a> {
    None,
    One(&'a [u8]),
    Many,
}

impl<'a> Lines<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Lines::None => Lines::One(value),
            Lines::One(_) | Lines::Many => Lines::Many,
        };
    }
}

fn find<'a>(names: KnownSet, fields: &Fields, bytes: &'a [u8]) -> Found<'a> {
    let mut found = Found { transfer_encoding: Lines::None, content_length: Lines::None };
    if names.and(LENGTHS).is_empty() {
        return found;
    }
    for field in &fields.list {
        if field.known == Known::ContentLength {
            found.content_length.add(field.value.of(bytes));
        } else if field.known == Known::TransferEncoding {
            found.transfer_encoding.add(field.value.of(bytes));
        }
    }
    found
}

/// A length as one number that other parsers can hold in 63 bits.
fn exact(value: &[u8]) -> Option<BodyLength> {
    match decimal(value)? {
        0 => Some(BodyLength::None),
        bytes if i64::try_from(bytes).is_ok() => Some(BodyLength::Exact(bytes)),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// `chunked`, once and alone.
    Chunked,
    /// Well-formed, but with a coding that we do not decode.
    Unknown,
    /// `chunked` twice or not last, or not a list of codings.
    Malformed,
}

fn coding(value: &[u8]) -> Coding {
    if is_name(value, b"chunked") {
        return Coding::Chunked;
    }
    unusual_coding(value)
}

#[cold]
fn unusual_coding(value: &[u8]) -> Coding {
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut chunked_before = false;
    let well_formed = codings.all(|coding| {
        let follows_chunked = std::mem::replace(&mut chunked_before, is_name(coding, b"chunked"));
        is_token(coding) && !follows_chunked
    });
    let single = !value.contains(&b',');
    // A list that does not end in `chunked` has no end that could be found; a single unknown coding is just unknown.
    if well_formed && (chunked_before || single) { Coding::Unknown } else { Coding::Malformed }
}

#[cfg(test)]
mod tests;
