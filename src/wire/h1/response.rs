//! Hot. A response's head from bytes (RFC 9112 sections 4 and 5), with the strictness that requests get.
//!
//! An origin that can be made to write a bare CR, a folded line or two lengths must not get that past us: all of it is
//! `UpstreamProtocol`. Decisions: nothing before the status line; the space before an empty reason may be missing; only
//! HTTP/1.0 and HTTP/1.1.

use std::mem::MaybeUninit;

use memchr::memchr;

use crate::base::limits::{FIELDS_MAX, HEAD_BYTES_MAX};
use crate::base::{FaultKind, Span};
use crate::wire::field::{Known, Seen};
use crate::wire::h1::lines::collect;
use crate::wire::h1::strict::{self, Offence};
use crate::wire::h1::{Caps, Parsed, framing};
use crate::wire::head::{BodyLength, Method, ResponseHead, Version};
use crate::wire::{hop, rules};

/// `HTTP/1.1 200`
const STATUS_END: usize = 12;

/// Reads a head from the front of `bytes` into `head`, as the answer to a request with `method`.
///
/// An interim response (1xx) is a head like any other: read on behind its `len`. After 101 the bytes behind it are no
/// longer HTTP.
///
/// Errors: `UpstreamProtocol`, `UpstreamHeadTooLarge`.
pub fn parse(bytes: &[u8], caps: &Caps, method: Method, head: &mut ResponseHead) -> Result<Parsed, FaultKind> {
    let window = &bytes[..bytes.len().min(caps.head_bytes.min(HEAD_BYTES_MAX))];
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let slots = &mut slots[..caps.fields.min(FIELDS_MAX)];
    let mut found = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut found, window, slots) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) | Err(_) => return unusual(bytes, caps),
    };
    let (Some(status @ 100..), Some(minor)) = (found.code, found.version) else { return unusual(bytes, caps) };
    let Some(reason) = reason(window) else { return unusual(bytes, caps) };
    let Some(seen) = collect(window, found.headers, len, &mut head.fields) else { return unusual(bytes, caps) };
    head.status = status;
    head.reason = reason;
    head.version = if minor == 0 { Version::H10 } else { Version::H11 };
    head.len = len;
    understand(window, method, seen, head)?;
    Ok(Parsed::Complete)
}

/// The reason phrase of a status line that `httparse` accepted. `None` where the line does not start the bytes or does
/// not end in CRLF.
fn reason(bytes: &[u8]) -> Option<Span> {
    let rest = bytes.get(STATUS_END..)?;
    let line_feed = STATUS_END + memchr(b'\n', rest)?;
    if bytes[0] != b'H' || bytes[line_feed - 1] != b'\r' {
        return None;
    }
    let start = STATUS_END + usize::from(rest[0] == b' ');
    Some(Span::new(start, line_feed - 1))
}

#[cold]
fn unusual(bytes: &[u8], caps: &Caps) -> Result<Parsed, FaultKind> {
    let caps = Caps { head_bytes: caps.head_bytes.min(HEAD_BYTES_MAX), fields: caps.fields.min(FIELDS_MAX), ..*caps };
    match strict::response(bytes, &caps) {
        Ok(None) => Ok(Parsed::Partial),
        Ok(Some(_)) | Err(Offence::Syntax | Offence::Version | Offence::LongLine) => Err(FaultKind::UpstreamProtocol),
        Err(Offence::LongHead) => Err(FaultKind::UpstreamHeadTooLarge),
    }
}

fn understand(bytes: &[u8], method: Method, seen: Seen, head: &mut ResponseHead) -> Result<(), FaultKind> {
    if !seen.twice.and(rules::SINGLE_IN_RESPONSES).is_empty() {
        return Err(FaultKind::UpstreamProtocol);
    }
    head.body = framing::response(seen.once, &head.fields, bytes, head.version, head.status, method)?;
    head.keep_alive = head.version == Version::H11;
    if seen.once.has(Known::Connection) {
        let options = hop::options(&head.fields, bytes);
        head.keep_alive = !options.close && (head.keep_alive || options.keep_alive);
    }
    // RFC 9110 sections 15.2 and 15.3.5 forbid these to have a length. An origin that sends one may send a body too,
    // and that would be taken for the next response.
    let lengthless = head.status < 200 || head.status == 204;
    if head.body == BodyLength::UntilClose || (lengthless && !seen.once.and(framing::LENGTHS).is_empty()) {
        head.keep_alive = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
