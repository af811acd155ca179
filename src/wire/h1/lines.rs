//! Hot. Field lines as `httparse` found them, made into spans, with the check that it leaves out.
//!
//! `httparse` accepts a bare LF as a line end, and nothing else that RFC 9112 section 5 does not: names are tokens
//! with the colon directly behind them, values hold no control characters, no line is folded. So a line is right
//! exactly if CRLF comes before it and before the empty line, and then runs of lines can be copied as they are.

use crate::base::Span;
use crate::wire::field::{Known, Seen};
use crate::wire::head::{Field, Fields};

/// The line end as a number, so that it is compared at once.
const CRLF: u16 = u16::from_le_bytes(*b"\r\n");

/// Fills `fields` from `headers`, which `httparse` found in `bytes` up to `head_end`. `None` where a line ends in
/// something else than CRLF.
pub(super) fn collect(
    bytes: &[u8],
    headers: &[httparse::Header<'_>],
    head_end: usize,
    fields: &mut Fields,
) -> Option<Seen> {
    let origin = bytes.as_ptr() as usize;
    let mut seen = Seen::default();
    if fields.list.len() != headers.len() {
        fields.list.resize(headers.len(), Field::EMPTY);
    }
    for (header, field) in headers.iter().zip(&mut fields.list) {
        let name = header.name.as_ptr() as usize - origin;
        let value = header.value.as_ptr() as usize - origin;
        if !follows_crlf(bytes, name) {
            return None;
        }
        let known = seen.note(Known::class(header.name.as_bytes()));
        field.name = Span::new(name, name + header.name.len());
        field.value = Span::new(value, value + header.value.len());
        field.known = known;
    }
    fields.names = seen.once;
    fields.never_indexed = 0;
    (follows_crlf(bytes, head_end) && follows_crlf(bytes, head_end - 2)).then_some(seen)
}

/// Is CRLF directly before `at`?
#[inline]
fn follows_crlf(bytes: &[u8], at: usize) -> bool {
    bytes.get(..at).and_then(<[u8]>::last_chunk).is_some_and(|end| u16::from_le_bytes(*end) == CRLF)
}
