// SPDX-License-Identifier: Apache-2.0
//! Hot. Makes message heads of field sections (RFC 9113 section 8).
//!
//! What h1 refuses is refused here too, by the same rules (`wire::rules`, `wire::authority`), and what HTTP/2 adds on
//! top: pseudo-fields, no fields about a connection, lower-case names. A head that came through says the same in both
//! versions, so it can be written as either. Decisions where RFC 9113 leaves one:
//! - `:authority` may be missing where there is a `host`; where there are both they must name the same place. A request
//!   with `:authority` alone gets a `host` field, so that rules about fields hold in every version.
//! - `content-length` is one number without sign or leading zeros, and is compared with the content by the connection.
//! - CONNECT is 501 as in h1, but for the extended CONNECT of RFC 8441. That is an offer like `Upgrade`, and is
//!   understood as the GET without a body that it would be in h1, so that rules about methods hold in every version;
//!   `RequestHead::protocol` tells the two apart.

use crate::base::ascii::{decimal, is_name, is_token};
use crate::base::limits::{FIELDS_MAX, METHOD_BYTES_MAX};
use crate::base::{Side, Span};
use crate::wire::authority;
use crate::wire::field::{Known, KnownSet};
use crate::wire::field_set::FieldSet;
use crate::wire::h1::framing;
use crate::wire::h2::malformed::Malformed;
use crate::wire::h2::section::{Pseudo, SEPARATOR, Section};
use crate::wire::head::{BodyLength, Field, Method, RequestHead, ResponseHead, Version};
use crate::wire::rules;
use crate::wire::upgrade;

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing: END_STREAM came with the head.
    Ended,
    /// DATA, or trailers.
    Follows,
}

/// Fields about a connection, and about the coding of a body on it (RFC 9113 section 8.2.2).
const CONNECTION_SPECIFIC: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
]);

const PLAIN_PSEUDO: u8 = Pseudo::Method.bit() | Pseudo::Scheme.bit() | Pseudo::Path.bit();
const REQUEST_PSEUDO: u8 = PLAIN_PSEUDO | Pseudo::Authority.bit() | Pseudo::Protocol.bit();

/// Understands a section as a request's head. The section's fields move into `head`; its bytes stay where they are,
/// and the head's spans point into them.
///
/// After `BodyLength::None` no content may follow, after `Exact` exactly that much: the connection counts it. Behind an
/// upgrade anything may.
pub fn request(section: &mut Section, content: Content, head: &mut RequestHead) -> Result<(), Malformed> {
    accept(section)?;
    if section.pseudo_seen & !REQUEST_PSEUDO != 0 {
        return Err(Malformed::PseudoUnknown);
    }
    check_te(section)?;
    if rules::is_ambiguous(section.seen) {
        return Err(Malformed::Ambiguous);
    }
    let length = content_length(section, Leading::Refused)?;
    method(section, head)?;
    scheme(section, head)?;
    path(section, head)?;
    authority(section, head)?;
    join_cookies(section)?;

    std::mem::swap(&mut head.fields, &mut section.fields);
    head.fields.names = section.seen.once;
    let bytes = &section.bytes;
    head.len = bytes.len();
    head.version = Version::H2;
    head.keep_alive = true;
    head.upgrade = !head.protocol.is_empty();
    head.accepts_trailers = section.seen.once.has(Known::Te);
    head.body = match (content, length) {
        // What follows is not a body, and its length cannot be known.
        (_, Some(_)) if head.upgrade => return Err(Malformed::ContentLength),
        (_, None) if head.upgrade => BodyLength::None,
        (Content::Ended, None | Some(0)) | (Content::Follows, Some(0)) => BodyLength::None,
        (Content::Ended, Some(_)) => return Err(Malformed::ContentLength),
        (Content::Follows, Some(length)) => BodyLength::Exact(length),
        (Content::Follows, None) => BodyLength::Chunked,
    };
    head.expects_continue = section.seen.once.has(Known::Expect)
        && !head.upgrade
        && rules::expects_continue(bytes, head).map_err(|_| Malformed::Expectation)?;
    Ok(())
}

/// Understands a section as the head of an answer to a request with `method`. The section's fields move into `head`.
pub fn response(
    section: &mut Section,
    content: Content,
    method: Method,
    head: &mut ResponseHead,
) -> Result<(), Malformed> {
    accept(section)?;
    if section.pseudo_seen & !Pseudo::Status.bit() != 0 {
        return Err(Malformed::PseudoUnknown);
    }
    if !section.seen.twice.and(rules::SINGLE_IN_RESPONSES).is_empty() {
        return Err(Malformed::Ambiguous);
    }
    head.status = status(section)?;
    let length = content_length(section, Leading::Allowed)?;
    let interim = head.status < 200;
    if interim && content == Content::Ended {
        // RFC 9113 section 8.1: a final response must follow.
        return Err(Malformed::Status);
    }
    head.body = match (content, length) {
        _ if framing::is_bodiless(head.status, method) => BodyLength::None,
        (Content::Ended, None | Some(0)) | (Content::Follows, Some(0)) => BodyLength::None,
        (Content::Ended, Some(_)) => return Err(Malformed::ContentLength),
        (Content::Follows, Some(length)) => BodyLength::Exact(length),
        (Content::Follows, None) => BodyLength::Chunked,
    };
    std::mem::swap(&mut head.fields, &mut section.fields);
    head.fields.names = section.seen.once;
    head.reason = Span::EMPTY;
    head.version = Version::H2;
    head.keep_alive = true;
    head.len = section.bytes.len();
    Ok(())
}

/// Checks the trailer section that `side` sent: a request's must not hold certain fields, and either loses those that
/// would harm a recipient.
pub fn trailers(section: &mut Section, side: Side) -> Result<(), Malformed> {
    if section.pseudo_seen != 0 {
        return Err(Malformed::PseudoInTrailers);
    }
    accept(section)?;
    let Section { bytes, fields, .. } = section;
    match side {
        Side::Client => {
            if fields.list.iter().any(|field| rules::is_forbidden_in_trailers(field.name.of(bytes))) {
                return Err(Malformed::Trailer);
            }
            // Some origins read `_` as `-`.
            fields.list.retain(|field| !field.name.of(bytes).contains(&b'_'));
        }
        Side::Upstream | Side::Gateway => {
            fields.list.retain(|field| !rules::is_dropped_from_trailers(field.name.of(bytes)));
        }
    }
    // Trailers leave as lines, which have no marks.
    fields.never_indexed = FieldSet::default();
    section.fields.names = section.seen.once;
    Ok(())
}

/// What holds of every section.
fn accept(section: &Section) -> Result<(), Malformed> {
    if let Some(fault) = section.fault {
        return Err(fault);
    }
    if section.oversized {
        return Err(Malformed::TooLarge);
    }
    if !section.seen.once.and(CONNECTION_SPECIFIC).is_empty() {
        return Err(Malformed::ConnectionSpecific);
    }
    Ok(())
}

fn check_te(section: &Section) -> Result<(), Malformed> {
    if section.seen.once.has(Known::Te) {
        let mut values = values(section, Known::Te);
        if !values.all(|value| is_name(value.of(&section.bytes), b"trailers")) {
            return Err(Malformed::Te);
        }
    }
    Ok(())
}

fn values(section: &Section, known: Known) -> impl Iterator<Item = Span> {
    section.fields.list.iter().filter(move |field| field.known == known).map(|field| field.value)
}

/// Are leading zeros in a length allowed?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leading {
    /// They are harmless: the length is written anew.
    Allowed,
    /// Another reader may take them for octal.
    Refused,
}

/// The value of `content-length`, as strict as `framing` is in h1.
fn content_length(section: &Section, leading: Leading) -> Result<Option<u64>, Malformed> {
    if !section.seen.once.has(Known::ContentLength) {
        return Ok(None);
    }
    let mut values = values(section, Known::ContentLength).map(|value| value.of(&section.bytes));
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Malformed::ContentLength) };
    if leading == Leading::Refused && value.len() > 1 && value[0] == b'0' {
        return Err(Malformed::ContentLength);
    }
    let length = decimal(value).filter(|length| i64::try_from(*length).is_ok());
    length.map(Some).ok_or(Malformed::ContentLength)
}

fn method(section: &mut Section, head: &mut RequestHead) -> Result<(), Malformed> {
    head.method_text = section.pseudo(Pseudo::Method).ok_or(Malformed::PseudoMissing)?;
    head.protocol = section.pseudo(Pseudo::Protocol).unwrap_or(Span::EMPTY);
    let text = head.method_text.of(&section.bytes);
    let extended = section.pseudo_seen & Pseudo::Protocol.bit() != 0;
    head.method = match rules::method(text) {
        Ok(Method::Other) if !is_token(text) || text.len() > METHOD_BYTES_MAX => return Err(Malformed::Method),
        Ok(_) if extended => return Err(Malformed::PseudoUnknown),
        Ok(method) => method,
        Err(_) if extended && text == b"CONNECT" => {
            let protocol = head.protocol.of(&section.bytes);
            if !is_token(protocol) || upgrade::is_refused(protocol) {
                return Err(Malformed::NotImplemented);
            }
            head.method_text = append(section, b"GET")?;
            Method::Get
        }
        Err(_) => return Err(Malformed::NotImplemented),
    };
    match section.pseudo_seen & PLAIN_PSEUDO {
        PLAIN_PSEUDO => Ok(()),
        _ => Err(Malformed::PseudoMissing),
    }
}

fn scheme(section: &Section, head: &mut RequestHead) -> Result<(), Malformed> {
    let scheme = section.pseudo(Pseudo::Scheme).ok_or(Malformed::PseudoMissing)?;
    let scheme = scheme.of(&section.bytes);
    head.absolute_https = is_name(scheme, b"https");
    if head.absolute_https || is_name(scheme, b"http") { Ok(()) } else { Err(Malformed::Scheme) }
}

/// Splits the path as h1 does the target: visible ASCII without a fragment, starting with `/`, or `*` for OPTIONS.
fn path(section: &Section, head: &mut RequestHead) -> Result<(), Malformed> {
    let target = section.pseudo(Pseudo::Path).ok_or(Malformed::PseudoMissing)?;
    let text = target.of(&section.bytes);
    head.target = target;
    match text {
        [b'/', ..] => {
            let odd = text.iter().fold(false, |odd, byte| odd | (*byte <= b' ') | (*byte >= 0x7F) | (*byte == b'#'));
            if odd {
                return Err(Malformed::Path);
            }
            rules::split(text, usize::from(target.start), head);
            Ok(())
        }
        b"*" if head.method == Method::Options => {
            head.path = Span::EMPTY;
            head.query = None;
            Ok(())
        }
        b"" => Err(Malformed::PathEmpty),
        _ => Err(Malformed::Path),
    }
}

/// Settles which host the request is for (RFC 9113 section 8.3.1). That there is at most one `host` is known.
fn authority(section: &mut Section, head: &mut RequestHead) -> Result<(), Malformed> {
    let host = if section.seen.once.has(Known::Host) { values(section, Known::Host).next() } else { None };
    let parse = |span: Span| authority::parse(span.of(&section.bytes)).ok_or(Malformed::Authority);
    let default_port = if head.absolute_https { 443 } else { 80 };
    match (section.pseudo(Pseudo::Authority), host) {
        (None, None) => return Err(Malformed::Authority),
        (None, Some(host)) => {
            parse(host)?;
            head.authority = host;
        }
        (Some(authority), Some(host)) => {
            if !parse(authority)?.same(parse(host)?, default_port) {
                return Err(Malformed::HostDiffers);
            }
            head.authority = authority;
        }
        (Some(authority), None) => {
            parse(authority)?;
            head.authority = authority;
            add_host(section, authority)?;
        }
    }
    Ok(())
}

/// Adds the `host` field that h1 would have.
fn add_host(section: &mut Section, value: Span) -> Result<(), Malformed> {
    let name = append(section, b"host")?;
    if section.fields.list.len() == FIELDS_MAX {
        return Err(Malformed::TooLarge);
    }
    section.seen.once.insert(Known::Host);
    section.fields.list.push(Field { name, value, known: Known::Host });
    Ok(())
}

fn append(section: &mut Section, text: &[u8]) -> Result<Span, Malformed> {
    let start = section.bytes.len();
    let end = start + text.len();
    if end > usize::from(u16::MAX) {
        return Err(Malformed::TooLarge);
    }
    section.bytes.extend_from_slice(text);
    Ok(Span::new(start, end))
}

/// Makes one field of those crumbs of `cookie` that other fields stood between (RFC 9113 section 8.2.3).
fn join_cookies(section: &mut Section) -> Result<(), Malformed> {
    if section.seen.twice.has(Known::Cookie) { join_apart(section) } else { Ok(()) }
}

#[cold]
fn join_apart(section: &mut Section) -> Result<(), Malformed> {
    let start = section.bytes.len();
    let mut first = None;
    let mut never_indexed = FieldSet::default();
    let mut kept = 0;
    for at in 0..section.fields.list.len() {
        let field = section.fields.list[at];
        let marked = section.fields.never_indexed.has(at);
        if field.known == Known::Cookie {
            let index = *first.get_or_insert(kept);
            if marked {
                never_indexed.insert(index);
            }
            let value = usize::from(field.value.start)..usize::from(field.value.end);
            if section.bytes.len() > start && !value.is_empty() {
                append(section, SEPARATOR)?;
            }
            if section.bytes.len() + value.len() > usize::from(u16::MAX) {
                return Err(Malformed::TooLarge);
            }
            section.bytes.extend_from_within(value);
            if index < kept {
                continue;
            }
        }
        if marked {
            never_indexed.insert(kept);
        }
        section.fields.list[kept] = field;
        kept += 1;
    }
    section.fields.list.truncate(kept);
    section.fields.never_indexed = never_indexed;
    if let Some(index) = first {
        section.fields.list[index].value = Span::new(start, section.bytes.len());
    }
    Ok(())
}

/// Exactly three digits, and neither 101 nor below 100 (RFC 9113 sections 8.3.2 and 8.6).
fn status(section: &Section) -> Result<u16, Malformed> {
    let text = section.pseudo(Pseudo::Status).ok_or(Malformed::PseudoMissing)?;
    match text.of(&section.bytes) {
        digits @ [b'1'..=b'9', _, _] => {
            let status = decimal(digits).and_then(|status| u16::try_from(status).ok());
            status.filter(|status| *status != 101).ok_or(Malformed::Status)
        }
        _ => Err(Malformed::Status),
    }
}

#[cfg(test)]
mod tests;
