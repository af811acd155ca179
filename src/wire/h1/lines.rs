//! Hot. Field lines as `httparse` found them, made into spans, with the checks that it leaves out.
//!
//! `httparse` accepts a bare LF as a line end. Here every line must start exactly where the one before ended and end in
//! CRLF, which also makes runs of lines safe to copy as they are.

use crate::base::Span;
use crate::wire::field::{Class, Known, KnownSet};
use crate::wire::head::{Field, Fields};

/// Which known names a head has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// At least once.
    pub once: KnownSet,
    /// At least twice.
    pub twice: KnownSet,
    /// In a form with `_` for `-`.
    pub underscored: KnownSet,
}

/// Fills `fields` from `headers`, which `httparse` found in `bytes` between `from` and `head_end`. `None` where the lines
/// are not what RFC 9112 section 5 writes.
pub(super) fn collect(
    bytes: &[u8],
    headers: &[httparse::Header<'_>],
    from: usize,
    head_end: usize,
    fields: &mut Fields,
) -> Option<Seen> {
    let origin = bytes.as_ptr() as usize;
    let mut seen = Seen::default();
    let mut line = from;
    fields.list.clear();
    fields.list.reserve(headers.len());
    for header in headers {
        let name = header.name.as_ptr() as usize - origin;
        let value = header.value.as_ptr() as usize - origin;
        if name != line {
            return None;
        }
        line = line_end(bytes, value + header.value.len())?;
        let known = match Known::class(header.name.as_bytes()) {
            Class::Name(known) => {
                if known != Known::Other {
                    seen.twice = seen.twice.or(seen.once.and(KnownSet::of(&[known])));
                    seen.once.insert(known);
                }
                known
            }
            Class::Underscored(known) => {
                seen.underscored.insert(known);
                Known::Underscored
            }
        };
        fields.list.push(Field {
            name: Span::new(name, name + header.name.len()),
            value: Span::new(value, value + header.value.len()),
            known,
        });
    }
    (line + 2 == head_end && bytes[line..head_end] == *b"\r\n").then_some(seen)
}

/// Where the line that has its last visible byte before `at` ends: behind optional whitespace and CRLF.
fn line_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(b' ' | b'\t') = bytes.get(at) {
        at += 1;
    }
    (bytes.get(at..at + 2)? == b"\r\n").then_some(at + 2)
}
