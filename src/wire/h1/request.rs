// SPDX-License-Identifier: Apache-2.0
//! Hot. A request's head from bytes (RFC 9112 sections 2, 3 and 5).
//!
//! Decisions where the RFC leaves one, or where an edge must be stricter than it:
//! - One empty line before the request line is skipped (section 2.2); a second is refused.
//! - Absolute-form names the host, and a Host field that names another is ignored (section 3.2.2): routes see, and the
//!   origin gets, the target's.
//! - HTTP/1.1 needs exactly one valid, non-empty Host. HTTP/1.0 may leave it out.
//! - A later HTTP/1.x is read as HTTP/1.1 (RFC 9110 section 2.5). Other major versions are 505.
//! - CONNECT and TRACE are 501: this is a gateway, not a tunnel, and TRACE reflects secrets.
//! - `get` is not GET, but some origin will take it for that: a known method in the wrong case is 501.
//! - Fields that must be single and decide something (`Content-Type`, `Authorization`, …) are refused when sent twice.
//! - A name like `Content_Length` is refused; see `Known::Underscored`.

use crate::base::ascii::push_encoded;
use crate::base::limits::{FIELDS_MAX, HEAD_BYTES_MAX, METHOD_BYTES_MAX};
use crate::base::{FaultKind, Span};
use crate::wire::authority;
use crate::wire::field::{Known, Seen};
use crate::wire::h1::lines::Lines;
use crate::wire::h1::strict::{self, Offence, Reading};
use crate::wire::h1::{Caps, Parsed, RawUtf8, framing};
use crate::wire::head::{Method, RequestHead, Version};
use crate::wire::{hop, rules, upgrade};

/// Reads a head from the front of `bytes` into `head`.
///
/// Call it again with more bytes after `Partial` (`HeadScan` says when that is worth it). The verdict does not depend
/// on how the bytes were split. After an error the connection has to be closed: where the next message would start is
/// unknown.
///
/// Errors: `BadRequest`, `TargetTooLong`, `HeadTooLarge`, `NotImplemented`, `VersionNotSupported`, `ExpectationFailed`.
pub fn parse(bytes: &[u8], caps: &Caps, head: &mut RequestHead) -> Result<Parsed, FaultKind> {
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let head_bytes = caps.head_bytes.min(HEAD_BYTES_MAX);
    let window = &bytes[..bytes.len().min(start + head_bytes)];
    let Some(seen) = ordinary(window, start, caps, head) else { return unusual(bytes, caps, head) };
    understand(window, seen, head)?;
    Ok(Parsed::Complete)
}

/// Reads a complete head of HTTP/1.0 or 1.1 that is right by the grammar. `None` for anything else.
fn ordinary(bytes: &[u8], start: usize, caps: &Caps, head: &mut RequestHead) -> Option<Seen> {
    let mut lines = Lines::new(bytes, start);
    head.method_text = lines.method(METHOD_BYTES_MAX)?;
    head.target = lines.target()?;
    lines.take(b"HTTP/1.")?;
    head.version = match lines.digit()? {
        0 => Version::H10,
        1 => Version::H11,
        _ => return None,
    };
    if lines.at - start > caps.request_line_bytes {
        return None;
    }
    lines.take(b"\r\n")?;
    let seen = lines.fields(caps.fields.min(FIELDS_MAX), &mut head.fields)?;
    head.len = lines.at;
    Some(seen)
}

/// The head was refused, or is not complete, or has a later version.
#[cold]
fn unusual(bytes: &[u8], caps: &Caps, head: &mut RequestHead) -> Result<Parsed, FaultKind> {
    let caps = Caps { head_bytes: caps.head_bytes.min(HEAD_BYTES_MAX), fields: caps.fields.min(FIELDS_MAX), ..*caps };
    match strict::request(bytes, &caps) {
        Ok(None) => Ok(Parsed::Partial),
        Ok(Some(reading)) => later_minor(bytes, reading, head),
        Err(Offence::Syntax) => Err(FaultKind::BadRequest),
        Err(Offence::LongLine) => Err(FaultKind::TargetTooLong),
        Err(Offence::LongHead | Offence::ManyFields) => Err(FaultKind::HeadTooLarge),
        Err(Offence::Version) => Err(FaultKind::VersionNotSupported),
    }
}

/// A head that is right by the grammar, with a later HTTP/1.x.
fn later_minor(bytes: &[u8], reading: Reading, head: &mut RequestHead) -> Result<Parsed, FaultKind> {
    let window = &bytes[..reading.len];
    let mut lines = Lines::new(window, reading.start);
    let line = lines.method(METHOD_BYTES_MAX).zip(lines.target());
    let (method, target) = line.ok_or(FaultKind::BadRequest)?;
    let mut lines = Lines::new(window, reading.fields);
    let seen = lines.fields(FIELDS_MAX, &mut head.fields).ok_or(FaultKind::BadRequest)?;
    head.method_text = method;
    head.target = target;
    head.version = Version::H11;
    head.len = reading.len;
    understand(window, seen, head)?;
    Ok(Parsed::Complete)
}

/// `bytes` with the UTF-8 in the request target percent-encoded (RFC 3986 section 2.1), where that may make a head of
/// them that `parse` accepts. Ask for it after `BadRequest`, and parse what it gives: the caps hold for that. `None`
/// where something else is wrong, and for UTF-8 in an authority, which would be another name.
#[cold]
pub fn encode_target(bytes: &[u8], caps: &Caps) -> Option<Vec<u8>> {
    if caps.raw_utf8 == RawUtf8::Reject {
        return None;
    }
    let caps = Caps { head_bytes: caps.head_bytes.min(HEAD_BYTES_MAX), fields: caps.fields.min(FIELDS_MAX), ..*caps };
    let reading = strict::request(bytes, &caps).ok().flatten()?;
    let line = &bytes[reading.start..reading.fields];
    let start = reading.start + line.iter().position(|byte| *byte == b' ')? + 1;
    let end = reading.start + line.iter().rposition(|byte| *byte == b' ')?;
    let target = bytes.get(start..end).filter(|target| !target.is_ascii())?;
    let authority_end = match target {
        [b'/', ..] => 0,
        absolute => {
            let authority = 3 + absolute.windows(3).position(|text| text == b"://")?;
            authority + absolute[authority..].iter().position(|byte| matches!(byte, b'/' | b'?'))?
        }
    };
    if !target[..authority_end].is_ascii() {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() + 2 * target.len());
    out.extend_from_slice(&bytes[..start]);
    push_encoded(&mut out, target);
    out.extend_from_slice(&bytes[end..]);
    Some(out)
}

/// The rule that a refused head breaks, and the byte that breaks it where it is a rule of the grammar. Reads the head
/// once more.
#[cold]
pub(crate) fn broken_rule(bytes: &[u8], caps: &Caps) -> (&'static str, Option<usize>) {
    let caps = Caps { head_bytes: caps.head_bytes.min(HEAD_BYTES_MAX), fields: caps.fields.min(FIELDS_MAX), ..*caps };
    if let Some((rule, at)) = strict::broken(bytes, &caps) {
        return (rule, Some(at));
    }
    (broken_meaning(bytes, &caps), None)
}

/// The rule that a head breaks which is right by the grammar.
fn broken_meaning(bytes: &[u8], caps: &Caps) -> &'static str {
    let mut head = RequestHead::default();
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let Some(seen) = ordinary(bytes, start, caps, &mut head) else {
        return "the headers are larger or more than the listener's limits";
    };
    if rules::is_ambiguous(seen) {
        return "a header that must be single is repeated, or a header of framing is spelled with `_`";
    }
    match rules::method(head.method_text.of(bytes)) {
        Ok(method) => head.method = method,
        Err(_) => return "the method is CONNECT, TRACE or a known one in the wrong case",
    }
    let Ok(named) = target(bytes, &mut head) else {
        return "the request target is neither a path nor an `http` or `https` URI (RFC 9112 section 3.2)";
    };
    if authority(bytes, named, &mut head).is_err() {
        return "Host is missing, or names no host and port (RFC 9112 section 3.2)";
    }
    match framing::request(seen.once, &head.fields, bytes, head.version) {
        Ok(_) => "Expect is not `100-continue` (RFC 9110 section 10.1.1)",
        Err(FaultKind::NotImplemented) => "a transfer coding is not `chunked` (RFC 9112 section 6.1)",
        Err(_) => "Content-Length and Transfer-Encoding do not give one length (RFC 9112 section 6.3)",
    }
}

/// Everything that takes the whole head to decide.
fn understand(bytes: &[u8], seen: Seen, head: &mut RequestHead) -> Result<(), FaultKind> {
    if rules::is_ambiguous(seen) {
        return Err(FaultKind::BadRequest);
    }
    head.method = rules::method(head.method_text.of(bytes))?;
    // The memory of a head may have held one of HTTP/2 before.
    head.protocol = Span::EMPTY;
    let named = target(bytes, head)?;
    authority(bytes, named, head)?;
    head.body = framing::request(seen.once, &head.fields, bytes, head.version)?;
    let options = match seen.once.has(Known::Connection) {
        true => hop::options(&head.fields, bytes),
        false => hop::Options::default(),
    };
    head.keep_alive = !options.close && (head.version == Version::H11 || options.keep_alive);
    head.upgrade = options.upgrade && head.version == Version::H11 && upgrade::is_offered(bytes, head);
    head.accepts_trailers = seen.once.has(Known::Te) && accepts_trailers(bytes, head);
    head.expects_continue = seen.once.has(Known::Expect) && expects_continue(bytes, head)?;
    Ok(())
}

/// Splits the target (RFC 9112 section 3.2) into path and query, and finds the authority of absolute-form.
fn target(bytes: &[u8], head: &mut RequestHead) -> Result<Option<Span>, FaultKind> {
    let text = head.target.of(bytes);
    let start = usize::from(head.target.start);
    head.absolute_https = false;
    match text {
        [b'/', ..] => {
            rules::split(text, start, head);
            Ok(None)
        }
        b"*" if head.method == Method::Options => {
            head.path = Span::EMPTY;
            head.query = None;
            Ok(None)
        }
        _ => absolute(text, start, head),
    }
}

/// `http://host[:port][/path][?query]`, or the same with `https`.
#[cold]
fn absolute(text: &[u8], start: usize, head: &mut RequestHead) -> Result<Option<Span>, FaultKind> {
    let scheme_len = text.iter().position(|byte| *byte == b':').ok_or(FaultKind::BadRequest)?;
    let scheme = &text[..scheme_len];
    head.absolute_https = scheme.eq_ignore_ascii_case(b"https");
    if !head.absolute_https && !scheme.eq_ignore_ascii_case(b"http") {
        return Err(FaultKind::BadRequest);
    }
    let rest = text[scheme_len + 1..].strip_prefix(b"//").ok_or(FaultKind::BadRequest)?;
    let authority_start = scheme_len + 3;
    let authority_len = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    authority::parse(&rest[..authority_len]).ok_or(FaultKind::BadRequest)?;
    let after = authority_start + authority_len;
    rules::split(&text[after..], start + after, head);
    if head.path.is_empty() {
        head.path = if head.method == Method::Options && head.query.is_none() {
            // RFC 9112 section 3.2.4: this is how asterisk-form is written to a proxy.
            Span::EMPTY
        } else {
            // An empty path is `/` (RFC 9110 section 4.2.3); the scheme's second slash lends one.
            Span::new(start + authority_start - 1, start + authority_start)
        };
    }
    Ok(Some(Span::new(start + authority_start, start + after)))
}

/// Settles which host the request is for (RFC 9112 section 3.2): `named` by the target, or by the Host field. That
/// there is at most one is known.
fn authority(bytes: &[u8], named: Option<Span>, head: &mut RequestHead) -> Result<(), FaultKind> {
    let Some(host) = head.fields.list.iter_mut().find(|field| field.known == Known::Host) else {
        if head.version != Version::H10 {
            return Err(FaultKind::BadRequest);
        }
        head.authority = named.unwrap_or(Span::EMPTY);
        return Ok(());
    };
    authority::parse(host.value.of(bytes)).ok_or(FaultKind::BadRequest)?;
    if let Some(named) = named {
        // Rules about the field see what the origin gets.
        host.value = named;
    }
    head.authority = host.value;
    Ok(())
}

fn accepts_trailers(bytes: &[u8], head: &RequestHead) -> bool {
    head.version == Version::H11 && head.fields.values(bytes, Known::Te).any(hop::names_trailers)
}

fn expects_continue(bytes: &[u8], head: &RequestHead) -> Result<bool, FaultKind> {
    // RFC 9110 section 10.1.1: to be ignored in HTTP/1.0.
    Ok(rules::expects_continue(bytes, head)? && head.version == Version::H11)
}

#[cfg(test)]
pub(in crate::wire::h1) mod tests;
