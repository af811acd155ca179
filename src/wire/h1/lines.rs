// SPDX-License-Identifier: Apache-2.0
//! Hot. The fast parser of start lines and field lines: one pass, many bytes at a time.
//!
//! It accepts exactly the heads that `strict` accepts (RFC 9112 sections 3 to 5). For all others it returns `None`,
//! whether they are malformed or incomplete; `strict` then distinguishes the two. Lines have one reading only (CRLF
//! ends them, the colon is directly behind the name, nothing is folded), so runs of lines can be copied as they are.

use crate::base::Span;
use crate::base::ascii::TOKEN;
use crate::base::marks::{self, HeadSearch, OutsideTarget};
use crate::wire::field::{Known, Seen};
use crate::wire::field_set::FieldSet;
use crate::wire::head::{Field, Fields};

/// Reads lines from the front of a head.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    /// Where the next byte is.
    pub at: usize,
    search: HeadSearch<'a>,
}

impl<'a> Lines<'a> {
    /// Reads on from `at`.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Lines<'a> {
        Lines { bytes, at, search: HeadSearch::new(bytes) }
    }

    /// A method and the space behind it, not longer than `max`.
    pub(crate) fn method(&mut self, max: usize) -> Option<Span> {
        let start = self.at;
        let mut end = start;
        while TOKEN[usize::from(*self.bytes.get(end)?)] {
            end += 1;
        }
        self.at = end;
        self.take(b" ")?;
        (start < end && end - start <= max).then_some(Span::new(start, end))
    }

    /// A request target of visible ASCII without a fragment, and the space behind it.
    pub(crate) fn target(&mut self) -> Option<Span> {
        let start = self.at;
        let end = start + marks::find::<OutsideTarget>(self.bytes.get(start..)?)?;
        self.at = end;
        self.take(b" ")?;
        (start < end).then_some(Span::new(start, end))
    }

    /// Exactly these bytes.
    pub(crate) fn take<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let found: &[u8; N] = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        (found == expected).then_some(())
    }

    /// The next byte, which stays.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// A decimal digit.
    pub(crate) fn digit(&mut self) -> Option<u8> {
        let digit = self.peek()?.wrapping_sub(b'0');
        self.at += 1;
        (digit < 10).then_some(digit)
    }

    /// What a field value may hold, up to CRLF; the CRLF is taken too.
    #[inline]
    pub(crate) fn text(&mut self) -> Option<Span> {
        let start = self.at;
        let mut end = self.search.control(start)?;
        while self.bytes[end] == b'\t' {
            end = self.search.control(end + 1)?;
        }
        self.at = end;
        self.take(b"\r\n")?;
        Some(Span::new(start, end))
    }

    /// All field lines and the empty line, at most `max` lines.
    pub(crate) fn fields(&mut self, max: usize, fields: &mut Fields) -> Option<Seen> {
        let mut seen = Seen::default();
        fields.list.clear();
        while self.peek()? != b'\r' {
            if fields.list.len() >= max {
                return None;
            }
            let start = self.at;
            let end = self.search.colon(start)?;
            let name = &self.bytes[start..end];
            let known = seen.note(Known::class(name));
            // What a known name is made of is known too.
            if known == Known::Other && !is_token(name) {
                return None;
            }
            self.at = end + 1;
            let value = self.text()?;
            fields.list.push(Field { name: Span::new(start, end), value: self.trimmed(value), known });
        }
        self.take(b"\r\n")?;
        fields.names = seen.once;
        fields.never_indexed = FieldSet::default();
        Some(seen)
    }

    /// Without spaces and tabs around it (RFC 9110 section 5.5). Nearly all values have one space in front of them.
    #[inline]
    fn trimmed(&self, span: Span) -> Span {
        let text = span.of(self.bytes);
        match text {
            [b' ', first, .., last] if *first > b' ' && *last > b' ' => Span { start: span.start + 1, end: span.end },
            _ => self.trimmed_slowly(span),
        }
    }

    #[cold]
    fn trimmed_slowly(&self, span: Span) -> Span {
        let (mut start, mut end) = (usize::from(span.start), usize::from(span.end));
        while start < end && matches!(self.bytes[start], b' ' | b'\t') {
            start += 1;
        }
        while start < end && matches!(self.bytes[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        Span::new(start, end)
    }
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| TOKEN[usize::from(*byte)])
}
