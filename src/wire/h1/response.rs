// SPDX-License-Identifier: Apache-2.0
//! Hot. A response's head from bytes (RFC 9112 sections 4 and 5), with the strictness that requests get.
//!
//! An origin that can be made to write a bare CR, a folded line or two lengths must not get that past us: all of it is
//! `UpstreamProtocol`. Decisions: nothing before the status line; the space before an empty reason may be missing; only
//! HTTP/1.0 and HTTP/1.1.

use crate::base::FaultKind;
use crate::base::limits::{FIELDS_MAX, HEAD_BYTES_MAX};
use crate::wire::field::{Known, Seen};
use crate::wire::h1::lines::Lines;
use crate::wire::h1::strict::{self, Offence};
use crate::wire::h1::{Caps, Parsed, Tolerance, framing};
use crate::wire::head::{BodyLength, Method, ResponseHead, Version};
use crate::wire::{hop, rules};

/// Reads a head from the front of `bytes` into `head`, as the answer to a request with `method`.
///
/// An interim response (1xx) is a head like any other: read on behind its `len`. After 101 the bytes behind it are no
/// longer HTTP.
///
/// Errors: `UpstreamProtocol`, `UpstreamHeadTooLarge`, `UpstreamTooManyFields`.
pub fn parse(bytes: &[u8], caps: &Caps, method: Method, head: &mut ResponseHead) -> Result<Parsed, FaultKind> {
    let window = &bytes[..bytes.len().min(caps.head_bytes.min(HEAD_BYTES_MAX))];
    let Some(seen) = ordinary(window, caps, head) else { return unusual(bytes, caps) };
    understand(window, (method, caps.tolerance), seen, head)?;
    Ok(Parsed::Complete)
}

/// Reads a complete head that is right by the grammar. `None` for anything else.
fn ordinary(bytes: &[u8], caps: &Caps, head: &mut ResponseHead) -> Option<Seen> {
    let mut lines = Lines::new(bytes, 0);
    lines.take(b"HTTP/1.")?;
    head.version = match lines.digit()? {
        0 => Version::H10,
        1 => Version::H11,
        _ => return None,
    };
    lines.take(b" ")?;
    let status = [lines.digit()?, lines.digit()?, lines.digit()?];
    head.status = status.iter().fold(0, |status, digit| status * 10 + u16::from(*digit));
    if head.status < 100 {
        return None;
    }
    if lines.peek()? == b' ' {
        lines.at += 1;
    } else if lines.peek()? != b'\r' {
        return None;
    }
    head.reason = lines.text()?;
    let seen = lines.fields(caps.fields.min(FIELDS_MAX), &mut head.fields)?;
    head.len = lines.at;
    Some(seen)
}

/// The rule that a head broke which `parse` refused with `UpstreamProtocol`, for the log.
#[cold]
pub fn broken_rule(bytes: &[u8], caps: &Caps, head: &ResponseHead) -> &'static str {
    let caps = Caps { head_bytes: caps.head_bytes.min(HEAD_BYTES_MAX), fields: caps.fields.min(FIELDS_MAX), ..*caps };
    match strict::response(bytes, &caps) {
        Err(_) | Ok(None) => strict::broken_response(bytes, &caps),
        Ok(Some(reading)) => framing::broken_rule(&head.fields, &bytes[..reading.len]),
    }
}

#[cold]
fn unusual(bytes: &[u8], caps: &Caps) -> Result<Parsed, FaultKind> {
    let caps = Caps { head_bytes: caps.head_bytes.min(HEAD_BYTES_MAX), fields: caps.fields.min(FIELDS_MAX), ..*caps };
    match strict::response(bytes, &caps) {
        Ok(None) => Ok(Parsed::Partial),
        Ok(Some(_)) | Err(Offence::Syntax | Offence::Version | Offence::LongLine) => Err(FaultKind::UpstreamProtocol),
        Err(Offence::LongHead) => Err(FaultKind::UpstreamHeadTooLarge),
        Err(Offence::ManyFields) => Err(FaultKind::UpstreamTooManyFields),
    }
}

fn understand(
    bytes: &[u8],
    (method, tolerance): (Method, Tolerance),
    seen: Seen,
    head: &mut ResponseHead,
) -> Result<(), FaultKind> {
    if !seen.twice.and(rules::SINGLE_IN_RESPONSES).is_empty() {
        return Err(FaultKind::UpstreamProtocol);
    }
    let body = framing::response(seen.once, &head.fields, bytes, head.version, head.status, method);
    head.keep_alive = head.version == Version::H11;
    let mut deviates = false;
    head.body = match body {
        Ok(body) => body,
        Err(fault) => {
            deviates = true;
            let length = framing::tolerated(&head.fields, bytes, head.version, tolerance).ok_or(fault)?;
            if framing::is_bodiless(head.status, method) { BodyLength::None } else { length }
        }
    };
    if seen.once.has(Known::Connection) {
        let options = hop::options(&head.fields, bytes);
        head.keep_alive = !options.close && (head.keep_alive || options.keep_alive);
    }
    // RFC 9110 sections 15.2 and 15.3.5 forbid these to have a length. An origin that sends one may send a body too,
    // and that would be taken for the next response.
    let lengthless = head.status < 200 || head.status == 204;
    if deviates || head.body == BodyLength::UntilClose || (lengthless && !seen.once.and(framing::LENGTHS).is_empty()) {
        head.keep_alive = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
