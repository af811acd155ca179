// SPDX-License-Identifier: Apache-2.0
//! Hot. Writes field blocks (RFC 9113 section 8) from the received head, a patch, and the gateway's own decisions.
//!
//! Which fields go on is decided in `wire::outgoing`, as for h1. Pseudo-fields come first, names are in lower case,
//! nothing about a connection is written, and a field that came as never-indexed leaves as such. The block is appended
//! to `out` whole; cutting it into frames is not done here.

use crate::base::Scheme;
use crate::wire::field::{Known, KnownSet};
use crate::wire::field_set::FieldSet;
use crate::wire::h2::hpack::{Encoder, Mark};
use crate::wire::h2::section::Section;
use crate::wire::head::{Field, Fields, Version};
use crate::wire::outgoing::{
    After, Kept, OutgoingRequest, OutgoingResponse, REQUEST_DROPS, RESPONSE_DROPS, lacks_date, via_version,
};
use crate::wire::patch::Patch;
use crate::wire::rules;

/// Appends the block of a request's head. With `After::Upgrade` it is an extended CONNECT (RFC 8441 section 4) for the
/// protocol that the received one asks for; of what `Upgrade` can offer, only WebSocket has such a form.
pub fn request(out: &mut Vec<u8>, encoder: &mut Encoder, scheme: Scheme, outgoing: &OutgoingRequest<'_>) {
    let OutgoingRequest { request, patch, .. } = *outgoing;
    let head = request.head;
    let upgrades = outgoing.after == After::Upgrade;
    encoder.begin(out);
    encoder.method(out, if upgrades { b"CONNECT" } else { outgoing.method });
    encoder.scheme(out, scheme.name().as_bytes());
    encoder.authority(out, outgoing.host());
    encoder.path(out, outgoing.target);
    let mut drops = outgoing.drops();
    let mut refused = REQUEST_DROPS;
    if upgrades {
        let extended = head.protocol.of(request.bytes);
        encoder.protocol(out, if extended.is_empty() { b"websocket" } else { extended });
        // RFC 8441 section 5: the key of a WebSocket is not used.
        drops.insert(Known::SecWebsocketKey);
        refused.insert(Known::SecWebsocketKey);
    }

    let kept = Kept::of(&head.fields, request.bytes, patch);
    Message { bytes: request.bytes, fields: &head.fields, version: head.version }.copy(out, encoder, drops, &kept);
    added(out, encoder, patch, refused);
    if let Some(hops) = outgoing.max_forwards() {
        encoder.number(out, Known::MaxForwards, hops);
    }
    if let Some(bytes) = outgoing.content_length()
        && !upgrades
    {
        encoder.number(out, Known::ContentLength, bytes);
    }
    if outgoing.accepts_trailers(&kept) {
        encoder.field(out, Known::Te, b"te", b"trailers", Mark::Ordinary);
    }
    via(out, encoder, outgoing.via, head.version);
}

/// Appends the block of a response's head. A 101 becomes the 200 that accepts an extended CONNECT.
pub fn response(out: &mut Vec<u8>, encoder: &mut Encoder, outgoing: &OutgoingResponse<'_>) {
    let OutgoingResponse { response, patch, .. } = *outgoing;
    let head = response.head;
    encoder.begin(out);
    let status = if head.status == 101 { 200 } else { head.status };
    encoder.status(out, status);

    let mut kept = Kept::of(&head.fields, response.bytes, patch);
    let message = Message { bytes: response.bytes, fields: &head.fields, version: head.version };
    if head.status == 101 {
        // RFC 8441 section 5: nor is the answer to the key.
        kept.removed |= message.named(b"sec-websocket-accept");
    }
    message.copy(out, encoder, outgoing.drops(), &kept);
    let names = kept.names.or(added(out, encoder, patch, RESPONSE_DROPS));
    if lacks_date(status, names) {
        encoder.field(out, Known::Date, b"date", outgoing.date, Mark::Ordinary);
    }
    if let Some(bytes) = outgoing.content_length() {
        encoder.number(out, Known::ContentLength, bytes);
    }
    via(out, encoder, outgoing.via, head.version);
}

/// Appends the block of a trailer section, without fields that must not be in one.
#[cfg(any(test, feature = "fuzz", feature = "bench"))]
pub fn trailers(out: &mut Vec<u8>, encoder: &mut Encoder, bytes: &[u8], fields: &Fields) {
    encoder.begin(out);
    for Field { name, value, .. } in &fields.list {
        trailer(out, encoder, name.of(bytes), value.of(bytes));
    }
}

/// Appends the block of a trailer section that came as lines of h1: each ends in CRLF, and was checked.
pub fn trailer_lines(out: &mut Vec<u8>, encoder: &mut Encoder, lines: &[u8]) {
    encoder.begin(out);
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        trailer(out, encoder, &line[..colon], line[colon + 1..].trim_ascii());
    }
}

/// Appends a trailer section as lines of h1, each with its CRLF.
pub fn lines(out: &mut Vec<u8>, section: &Section) {
    for Field { name, value, .. } in &section.fields.list {
        for part in [name.of(&section.bytes), b": ", value.of(&section.bytes), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

fn trailer(out: &mut Vec<u8>, encoder: &mut Encoder, name: &[u8], value: &[u8]) {
    if !rules::is_dropped_from_trailers(name) {
        encoder.field_in_any_case(out, name, value, Mark::Ordinary);
    }
}

/// A received head with its bytes.
struct Message<'a> {
    bytes: &'a [u8],
    fields: &'a Fields,
    version: Version,
}

impl Message<'_> {
    /// Appends the fields that are neither in `drops` nor removed.
    fn copy(&self, out: &mut Vec<u8>, encoder: &mut Encoder, drops: KnownSet, kept: &Kept) {
        // Most heads have neither.
        let (removes, marks) = (!kept.removed.is_empty(), !self.fields.never_indexed.is_empty());
        for (index, field) in self.fields.list.iter().enumerate() {
            let gone = removes && kept.removed.has(index);
            let marked = marks && self.fields.never_indexed.has(index);
            if !gone && !drops.has(field.known) {
                let mark = if marked { Mark::NeverIndexed } else { Mark::Ordinary };
                self.field(out, encoder, *field, mark);
            }
        }
    }

    /// The fields of that name (any case).
    #[cold]
    fn named(&self, name: &[u8]) -> FieldSet {
        let fields = self.fields.list.iter().enumerate();
        let named = fields.filter(|(_, field)| field.name.of(self.bytes).eq_ignore_ascii_case(name));
        named.map(|(index, _)| index).collect()
    }

    #[inline]
    fn field(&self, out: &mut Vec<u8>, encoder: &mut Encoder, field: Field, mark: Mark) {
        let Field { name, value, known } = field;
        let value = value.of(self.bytes);
        match (known, self.version) {
            (Known::Other | Known::Underscored, Version::H2) => {
                encoder.field(out, known, name.of(self.bytes), value, mark);
            }
            (Known::Other | Known::Underscored, Version::H10 | Version::H11) => {
                encoder.other_in_any_case(out, name.of(self.bytes), value, mark);
            }
            (known, Version::H10 | Version::H11 | Version::H2) => {
                encoder.field(out, known, known.name().as_bytes(), value, mark);
            }
        }
    }
}

/// Appends what a patch adds, but for names in `refused`: those are not a patch's to set. Returns the names it added.
fn added(out: &mut Vec<u8>, encoder: &mut Encoder, patch: &Patch, refused: KnownSet) -> KnownSet {
    let mut names = KnownSet::default();
    for (known, name, value) in patch.added_known() {
        if refused.has(known) {
            continue;
        }
        names.insert(known);
        match known {
            Known::Other | Known::Underscored => encoder.other_in_any_case(out, name, value, Mark::Ordinary),
            known => encoder.field(out, known, known.name().as_bytes(), value, Mark::Ordinary),
        }
    }
    names
}

fn via(out: &mut Vec<u8>, encoder: &mut Encoder, name: Option<&[u8]>, received: Version) {
    if let Some(name) = name {
        encoder.field_of(out, Known::Via, &[via_version(received), name]);
    }
}

#[cfg(test)]
mod tests;
