// SPDX-License-Identifier: Apache-2.0
//! Hot. The fast parser of start lines and field lines: one pass, many bytes at a time.
//!
//! It accepts exactly the heads that `strict` accepts (RFC 9112 sections 3 to 5). For all others it returns `None`,
//! whether they are malformed or incomplete; `strict` then distinguishes the two. Lines have one reading only (CRLF
//! ends them, the colon is directly behind the name, nothing is folded), so runs of lines can be copied as they are.

use crate::base::Span;
use crate::base::ascii::{TOKEN, is_token};
use crate::base::marks::{self, Colons, ControlSearch, OutsideName, OutsideTarget, PART};
use crate::wire::field::{Class, Known, Seen};
use crate::wire::field_set::FieldSet;
use crate::wire::head::{Field, Fields};

/// Reads lines from the front of a head.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    /// Where the next byte is.
    pub at: usize,
}

impl<'a> Lines<'a> {
    /// Reads on from `at`.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Lines<'a> {
        Lines { bytes, at }
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
    pub(crate) fn text(&mut self) -> Option<Span> {
        let start = self.at;
        let end = ControlSearch::new(self.bytes, start).text_end(start)?;
        self.at = end + 2;
        Some(Span::new(start, end))
    }

    /// All field lines and the empty line, at most `max` lines.
    pub(crate) fn fields(&mut self, max: usize, fields: &mut Fields) -> Option<Seen> {
        let mut seen = Seen::default();
        let mut search = ControlSearch::new(self.bytes, self.at);
        let mut start = self.at;
        fields.list.clear();
        loop {
            let line = self.bytes.get(start..)?;
            if *line.first()? == b'\r' {
                break;
            }
            if fields.list.len() >= max {
                return None;
            }
            let (length, class) = match line.first_chunk() {
                Some(part) if let Some(found) = near_name(part) => found,
                Some(_) | None => name(line)?,
            };
            let known = seen.note(class);
            let (name, value) = (start + length, start + length + 1);
            let end = search.text_end(value)?;
            fields.list.push(Field { name: Span::new(start, name), value: self.trimmed(value, end)?, known });
            start = end + 2;
        }
        self.at = start;
        self.take(b"\r\n")?;
        fields.names = seen.once;
        fields.never_indexed = FieldSet::default();
        Some(seen)
    }

    /// Without spaces and tabs around it (RFC 9110 section 5.5). Nearly all values have one space in front of them.
    #[inline]
    fn trimmed(&self, start: usize, end: usize) -> Option<Span> {
        match self.bytes.get(start..end)? {
            [b' ', first, .., last] if *first > b' ' && *last > b' ' => Some(Span::new(start + 1, end)),
            _ => Some(self.trimmed_slowly(start, end)),
        }
    }

    #[cold]
    fn trimmed_slowly(&self, mut start: usize, mut end: usize) -> Span {
        while start < end && matches!(self.bytes[start], b' ' | b'\t') {
            start += 1;
        }
        while start < end && matches!(self.bytes[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        Span::new(start, end)
    }
}

/// A name that ends among the first sixteen bytes of a line, as nearly all do: its length, and what it is.
#[inline]
fn near_name(part: &[u8; PART]) -> Option<(usize, Class)> {
    let length = marks::find_in::<Colons>(part)?;
    let class = Known::class_in(part, length)?;
    // What a known name is made of is known too.
    let plain = class != Class::Name(Known::Other) || marks::find_in::<OutsideName>(part) == Some(length);
    (plain && length > 0).then_some((length, class))
}

/// The name that a line begins with.
#[cold]
fn name(line: &[u8]) -> Option<(usize, Class)> {
    let length = marks::find::<Colons>(line)?;
    let name = &line[..length];
    is_token(name).then(|| (length, Known::class(name)))
}
