// SPDX-License-Identifier: Apache-2.0
//! Hot. Writes HTTP/1.1 heads (RFC 9112 sections 2 to 6) from the received head, a patch, and the gateway's decisions.
//!
//! Invariants: the framing fields come from `BodyLength` and nowhere else; there is exactly one `Host` and it is
//! first; nothing about the connection a message came on is passed on (`hop`); runs of lines that stay are copied
//! whole, which is safe because the parsers only accept lines that have one reading.

use crate::base::Span;
use crate::base::ascii::{push_decimal, two_digits};
use crate::wire::field::{Known, KnownSet};
use crate::wire::field_set::FieldSet;
use crate::wire::head::{BodyLength, Field, Fields, Response, ResponseHead, Version};
use crate::wire::outgoing::{Kept, REQUEST_DROPS, RESPONSE_DROPS, lacks_date, via_version};
use crate::wire::patch::Patch;
use crate::wire::status;

pub use crate::wire::outgoing::{After, OutgoingRequest, OutgoingResponse};

const CRLF: &[u8; 2] = b"\r\n";

/// Room for the lines that we add to a head.
const OWN_LINES: usize = 256;

/// Appends a request's head.
pub fn request(out: &mut Vec<u8>, outgoing: &OutgoingRequest<'_>) {
    let OutgoingRequest { request, patch, .. } = *outgoing;
    let head = request.head;
    debug_assert_ne!(outgoing.body, BodyLength::UntilClose);
    out.reserve(head.len + outgoing.target.len() + OWN_LINES);
    out.extend_from_slice(outgoing.method);
    out.push(b' ');
    out.extend_from_slice(outgoing.target);
    field(out, b" HTTP/1.1\r\nHost: ", outgoing.host());

    let kept = Kept::of(&head.fields, request.bytes, patch);
    let message = Message { bytes: request.bytes, fields: &head.fields, len: head.len, version: head.version };
    message.copy(out, outgoing.drops(), &kept.removed);
    added(out, patch, REQUEST_DROPS);
    if let Some(hops) = outgoing.max_forwards() {
        number(out, b"Max-Forwards: ", hops);
    }
    match outgoing.content_length() {
        Some(bytes) => number(out, b"Content-Length: ", bytes),
        None if outgoing.body == BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        None => {}
    }
    let trailers = outgoing.accepts_trailers(&kept);
    match outgoing.after {
        After::KeepAlive if trailers => out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n"),
        After::KeepAlive => {}
        After::Close if trailers => out.extend_from_slice(b"TE: trailers\r\nConnection: close, TE\r\n"),
        After::Close => out.extend_from_slice(b"Connection: close\r\n"),
        After::Upgrade => upgrade(out, outgoing.protocol()),
    }
    via(out, outgoing.via, head.version);
    out.extend_from_slice(CRLF);
}

/// Appends a response's head.
pub fn response(out: &mut Vec<u8>, outgoing: &OutgoingResponse<'_>) {
    let OutgoingResponse { response, patch, .. } = *outgoing;
    let head = response.head;
    out.reserve(head.len + OWN_LINES);
    status_line(out, response);

    let kept = Kept::of(&head.fields, response.bytes, patch);
    let message = Message { bytes: response.bytes, fields: &head.fields, len: head.len, version: head.version };
    message.copy(out, outgoing.drops(), &kept.removed);
    let names = kept.names.or(added(out, patch, RESPONSE_DROPS));
    if lacks_date(head.status, names) {
        field(out, b"Date: ", outgoing.date);
    }
    match outgoing.content_length() {
        Some(bytes) => number(out, b"Content-Length: ", bytes),
        None if outgoing.body == BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        None => {}
    }
    // RFC 9110 section 15.5.22: 426 says which protocols would do.
    let lists_protocols = head.status == 426 && response.value(Known::Upgrade).is_some();
    match (outgoing.after, outgoing.client) {
        (After::Upgrade, _) => upgrade(out, response.value(Known::Upgrade)),
        (_, _) if lists_protocols => {
            upgrade(out, response.value(Known::Upgrade));
            if outgoing.after == After::Close {
                out.extend_from_slice(b"Connection: close\r\n");
            }
        }
        // An interim response says nothing about the connection.
        (After::Close, _) if head.status >= 200 => out.extend_from_slice(b"Connection: close\r\n"),
        (After::KeepAlive, Version::H10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (After::Close | After::KeepAlive, _) => {}
    }
    via(out, outgoing.via, head.version);
    out.extend_from_slice(CRLF);
}

/// A received head with its bytes.
struct Message<'a> {
    bytes: &'a [u8],
    fields: &'a Fields,
    len: usize,
    version: Version,
}

impl Message<'_> {
    /// Appends the fields that are neither in `drops` nor removed.
    fn copy(&self, out: &mut Vec<u8>, drops: KnownSet, removed: &FieldSet) {
        match self.version {
            Version::H10 | Version::H11 => self.copy_runs(out, drops, removed),
            Version::H2 => self.copy_each(out, drops, removed),
        }
    }

    /// Lines lie one behind the other, as the parsers made sure.
    fn copy_runs(&self, out: &mut Vec<u8>, drops: KnownSet, removed: &FieldSet) {
        let mut run = None;
        let removes = !removed.is_empty();
        for (index, field) in self.fields.list.iter().enumerate() {
            let start = usize::from(field.name.start);
            let gone = drops.has(field.known) || (removes && removed.has(index));
            match run {
                Some(from) if gone => {
                    out.extend_from_slice(&self.bytes[from..start]);
                    run = None;
                }
                None if !gone => run = Some(start),
                Some(_) | None => {}
            }
        }
        if let Some(from) = run {
            out.extend_from_slice(&self.bytes[from..self.len - CRLF.len()]);
        }
    }

    /// Names and values lie anywhere, as a field decoder left them.
    fn copy_each(&self, out: &mut Vec<u8>, drops: KnownSet, removed: &FieldSet) {
        let removes = !removed.is_empty();
        for (index, Field { name, value, known }) in self.fields.list.iter().enumerate() {
            if !(drops.has(*known) || removes && removed.has(index)) {
                line(out, name.of(self.bytes), value.of(self.bytes));
            }
        }
    }
}

fn status_line(out: &mut Vec<u8>, response: Response<'_>) {
    let head = response.head;
    if let Some(line) = received_status_line(response) {
        out.extend_from_slice(line);
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(head.status));
    out.push(b' ');
    match head.reason {
        Span { start, end } if start == end => out.extend_from_slice(status::reason(head.status).as_bytes()),
        reason => out.extend_from_slice(reason.of(response.bytes)),
    }
    out.extend_from_slice(CRLF);
}

/// The status line as it came, where that is the one to send.
fn received_status_line(response: Response<'_>) -> Option<&[u8]> {
    let &ResponseHead { status, reason, .. } = response.head;
    let line = response.bytes.get(..usize::from(reason.end) + CRLF.len())?;
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', hundreds, digits @ .., b' '] =
        line.first_chunk::<13>()?
    else {
        return None;
    };
    let same = *digits == two_digits(u32::from(status)) && u16::from(*hundreds) == u16::from(b'0') + status / 100;
    (same && reason.start == 13 && !reason.is_empty()).then_some(line)
}

#[inline]
fn number<const LEN: usize>(out: &mut Vec<u8>, name: &[u8; LEN], number: u64) {
    out.extend_from_slice(name);
    push_decimal(out, number);
    out.extend_from_slice(CRLF);
}

/// Appends what a patch adds, but for names in `refused`: those are not a patch's to set. Returns the names it added.
fn added(out: &mut Vec<u8>, patch: &Patch, refused: KnownSet) -> KnownSet {
    if patch.names().and(refused).is_empty()
        && let Some(lines) = patch.lines()
    {
        out.extend_from_slice(lines);
        return patch.names();
    }
    let mut names = KnownSet::default();
    for (known, name, value) in patch.added_known() {
        if !refused.has(known) {
            names.insert(known);
            line(out, name, value);
        }
    }
    names
}

fn upgrade(out: &mut Vec<u8>, protocol: Option<&[u8]>) {
    if let Some(protocol) = protocol {
        field(out, b"Connection: Upgrade\r\nUpgrade: ", protocol);
    }
}

fn via(out: &mut Vec<u8>, name: Option<&[u8]>, received: Version) {
    if let Some(name) = name {
        out.extend_from_slice(b"Via: ");
        out.extend_from_slice(via_version(received));
        out.extend_from_slice(name);
        out.extend_from_slice(CRLF);
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    field(out, b": ", value);
}

/// Ends a line that `start` begins or goes on with. As an array it costs no call to copy.
#[inline]
fn field<const LEN: usize>(out: &mut Vec<u8>, start: &[u8; LEN], value: &[u8]) {
    out.extend_from_slice(start);
    out.extend_from_slice(value);
    out.extend_from_slice(CRLF);
}

#[cfg(test)]
mod tests;
