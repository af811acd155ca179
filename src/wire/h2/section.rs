// SPDX-License-Identifier: Apache-2.0
//! Hot. A decoded field section (RFC 9113 section 4.3): an arena, the fields in it, and their properties.
//!
//! Pseudo-fields are kept apart from fields, so that what becomes of a section is a list as h1 has it. Every name and
//! value is judged once (`Traits`); for fields from a table that was when the entry was made. A section never holds
//! more than its caps: what comes above them is counted, and forgotten.

use crate::base::Span;
use crate::base::ascii::{TOKEN, is_field_value, push_encoded};
use crate::base::limits::FIELDS_MAX;
use crate::wire::field::{Class, Known, Seen};
use crate::wire::field_set::FieldSet;
use crate::wire::h2::hpack::Mark;
use crate::wire::h2::malformed::Malformed;
use crate::wire::head::{Field, Fields};

/// What a field adds to the size of a list besides its name and value (RFC 9113 section 6.5.2).
pub const FIELD_OVERHEAD: usize = 32;

/// An arena that grew above this in one block is given back before the next.
const ARENA_KEPT: usize = 64 * 1024;

/// A pseudo-field (RFC 9113 section 8.3, RFC 8441 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Pseudo {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// `:status`
    Status,
    /// `:protocol`
    Protocol,
}

impl Pseudo {
    /// All of them, by number.
    pub const ALL: [(Pseudo, &'static [u8]); 6] = [
        (Pseudo::Method, b":method"),
        (Pseudo::Scheme, b":scheme"),
        (Pseudo::Authority, b":authority"),
        (Pseudo::Path, b":path"),
        (Pseudo::Status, b":status"),
        (Pseudo::Protocol, b":protocol"),
    ];

    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Pseudo(Pseudo),
    Field(Class),
}

/// What is known of a field once its name and value were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    pub label: Label,
    pub fault: Option<Malformed>,
}

impl Traits {
    /// Judges a name.
    pub(super) fn of_name(name: &[u8]) -> Traits {
        if name.first() == Some(&b':') {
            let known = Pseudo::ALL.iter().find(|(_, known)| *known == name);
            return match known {
                Some((pseudo, _)) => Traits { label: Label::Pseudo(*pseudo), fault: None },
                None => {
                    Traits { label: Label::Field(Class::Name(Known::Other)), fault: Some(Malformed::PseudoUnknown) }
                }
            };
        }
        let right = !name.is_empty() && name.iter().fold(true, |right, byte| right & NAME[usize::from(*byte)]);
        let fault = if right { None } else { Some(Malformed::FieldName) };
        Traits { label: Label::Field(Known::class(name)), fault }
    }

    /// What is known of the name alone, of a field that was judged with its value.
    pub(super) const fn without_value(self) -> Traits {
        match self.fault {
            Some(Malformed::FieldValue) => Traits { label: self.label, fault: None },
            Some(_) | None => self,
        }
    }

    /// With what is wrong with `value`, where nothing is wrong with the name.
    pub(super) fn and_value(self, value: &[u8]) -> Traits {
        match self.fault {
            None if !is_value(value) => Traits { fault: Some(Malformed::FieldValue), ..self },
            None | Some(_) => self,
        }
    }
}

/// A decoded field section. Reused from block to block.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The arena; all spans point into it.
    pub bytes: Vec<u8>,
    /// The regular fields, with adjoining crumbs of `cookie` joined (RFC 9113 section 8.2.3).
    pub fields: Fields,
    /// The list is over a cap; what is here is only its beginning.
    pub oversized: bool,
    /// Size of the whole list (RFC 9113 section 6.5.2), also of what is not here.
    pub size: usize,
    pub(super) seen: Seen,
    pub(super) fault: Option<Malformed>,
    pub(super) pseudo_seen: u8,
    pseudo: [Span; Pseudo::ALL.len()],
}

impl Section {
    /// Forgets everything; keeps its memory, unless a block made it unreasonably large.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ARENA_KEPT);
        self.fields.list.clear();
        self.fields.never_indexed = FieldSet::default();
        self.oversized = false;
        self.size = 0;
        self.seen = Seen::default();
        self.fault = None;
        self.pseudo_seen = 0;
    }

    /// The value of a pseudo-field.
    pub fn pseudo(&self, pseudo: Pseudo) -> Option<Span> {
        (self.pseudo_seen & pseudo.bit() != 0).then(|| self.pseudo[pseudo as usize])
    }

    /// Percent-encodes the UTF-8 in `:path`, as `h1::request::encode_target` does. False, and nothing done, where it is
    /// none, or where there is none.
    #[cold]
    pub fn encode_path(&mut self) -> bool {
        let Some(path) = self.pseudo(Pseudo::Path) else { return false };
        // tidy(hot): only for a path with bytes above ASCII, which clients should not send.
        let text = path.of(&self.bytes).to_vec();
        let start = self.bytes.len();
        if text.is_ascii() || std::str::from_utf8(&text).is_err() {
            return false;
        }
        push_encoded(&mut self.bytes, &text);
        let end = self.bytes.len();
        if end > usize::from(u16::MAX) {
            self.bytes.truncate(start);
            return false;
        }
        self.pseudo[Pseudo::Path as usize] = Span::new(start, end);
        true
    }

    /// Puts another `:path` in the place of the received one.
    #[cfg(test)]
    pub(super) fn set_path(&mut self, path: Span) {
        self.pseudo[Pseudo::Path as usize] = path;
    }

    /// Takes in the field that fills the arena from `start` on, or drops it where the list is full.
    #[inline]
    pub(super) fn take(&mut self, start: usize, name_len: usize, traits: Traits, mark: Mark, list_max: usize) {
        let end = self.bytes.len();
        let value_start = start + name_len;
        self.size += end - start + FIELD_OVERHEAD;
        if self.fault.is_none() {
            self.fault = traits.fault;
        }
        if (self.size > list_max) | (end > usize::from(u16::MAX)) | self.oversized {
            return self.drop_field(start);
        }
        let value = Span::new(value_start, end);
        let class = match traits.label {
            Label::Field(class) => class,
            Label::Pseudo(pseudo) => return self.take_pseudo(pseudo, value),
        };
        let joined = class == Class::Name(Known::Cookie) && self.join(start, value_start);
        let index = self.fields.list.len() - usize::from(joined);
        if index == FIELDS_MAX {
            return self.drop_field(start);
        }
        if mark == Mark::NeverIndexed {
            self.fields.never_indexed.insert(index);
        }
        if joined {
            return;
        }
        let known = self.seen.note(class);
        self.fields.list.push(Field { name: Span::new(start, value_start), value, known });
    }

    #[cold]
    fn drop_field(&mut self, start: usize) {
        self.oversized = true;
        self.bytes.truncate(start);
    }

    fn take_pseudo(&mut self, pseudo: Pseudo, value: Span) {
        let late = !self.fields.list.is_empty();
        let twice = self.pseudo_seen & pseudo.bit() != 0;
        if (late || twice) && self.fault.is_none() {
            self.fault = Some(if twice { Malformed::PseudoTwice } else { Malformed::PseudoLate });
        }
        self.pseudo_seen |= pseudo.bit();
        self.pseudo[pseudo as usize] = value;
    }

    /// Joins a crumb of `cookie` to the one that lies directly before it: between the two is nothing but the second
    /// name, which is longer than what separates them. An empty crumb adds nothing, and no space at an end.
    fn join(&mut self, start: usize, value_start: usize) -> bool {
        let Some(last) = self.fields.list.last_mut() else { return false };
        if last.known != Known::Cookie || usize::from(last.value.end) != start {
            return false;
        }
        if value_start == self.bytes.len() {
            self.bytes.truncate(start);
            return true;
        }
        if last.value.is_empty() {
            last.value = Span::new(value_start, self.bytes.len());
            return true;
        }
        self.bytes[start..start + SEPARATOR.len()].copy_from_slice(SEPARATOR);
        let moved = start + SEPARATOR.len();
        let len = self.bytes.len() - value_start;
        self.bytes.copy_within(value_start.., moved);
        self.bytes.truncate(moved + len);
        last.value = Span::new(usize::from(last.value.start), moved + len);
        true
    }
}

/// What stands between crumbs of `cookie` that were joined.
pub(super) const SEPARATOR: &[u8] = b"; ";

/// What a name may hold: a token without upper-case letters (RFC 9113 section 8.2.1, RFC 9110 section 5.1).
const NAME: [bool; 256] = name();

const fn name() -> [bool; 256] {
    let mut table = TOKEN;
    let mut byte = b'A';
    while byte <= b'Z' {
        table[byte as usize] = false;
        byte += 1;
    }
    table
}

/// Neither control characters nor whitespace around it. Eight bytes a step; only where a step has a control character,
/// which may be a tab, each byte is looked at.
fn is_value(value: &[u8]) -> bool {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return true };
    if matches!(first, b' ' | b'\t') || matches!(last, b' ' | b'\t') {
        return false;
    }
    let (words, _) = value.as_chunks::<8>();
    let Some(end) = value.last_chunk::<8>() else { return is_field_value(value) };
    let found = words.iter().fold(controls(*end), |found, word| found | controls(*word));
    found == 0 || is_field_value(value)
}

/// Not zero where one of the bytes is below a space or DEL.
const fn controls(word: [u8; 8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(word);
    let delete = word ^ (EACH * 0x7F);
    let below = word.wrapping_sub(EACH * 0x20) & !word;
    let equal = delete.wrapping_sub(EACH) & !delete;
    (below | equal) & (EACH * 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_judged_wherever_the_byte_stands() {
        for len in 1..40 {
            for at in 0..len {
                for byte in 0..=255_u8 {
                    let mut value = vec![b'x'; len];
                    value[at] = byte;
                    let outer = at == 0 || at + 1 == len;
                    let right = is_field_value(&[byte]) && !(outer && matches!(byte, b' ' | b'\t'));
                    assert_eq!(is_value(&value), right, "{byte} at {at} of {len}");
                }
            }
        }
        assert!(is_value(b"") && !is_value(b"a\tb\x01cdefgh") && is_value(b"abc\tdef\xFFghi"));
    }
}
