// SPDX-License-Identifier: Apache-2.0
//! Hot. Changes to a head, kept beside it until it is serialised: fields removed by index, fields added in an arena.
//!
//! A head is never edited in place, so its spans stay true. One `Patch` a direction is reused by an exchange.

use crate::base::Span;
use crate::base::ascii::{is_same_to_origin, is_token};
use crate::wire::field::{Known, KnownSet};
use crate::wire::field_set::FieldSet;
use crate::wire::head::Fields;

/// Removed and added fields of one head.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    removed: FieldSet,
    arena: Vec<u8>,
    added: Vec<(Known, Span, Span)>,
    /// The arena holds lines that were removed again.
    gaps: bool,
    names: KnownSet,
}

/// A place among added fields. It holds until they are cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(usize);

/// What ends a line of the arena.
const LINE_END: &[u8; 2] = b"\r\n";

impl Patch {
    /// Forgets everything; keeps its memory.
    pub fn clear(&mut self) {
        self.removed = FieldSet::default();
        self.arena.clear();
        self.added.clear();
        self.gaps = false;
        self.names = KnownSet::default();
    }

    /// Removes the received field at `index`.
    pub fn remove_at(&mut self, index: usize) {
        self.removed.insert(index);
    }

    /// Was the received field at `index` removed?
    pub fn is_removed(&self, index: usize) -> bool {
        self.removed.has(index)
    }

    /// The removed fields.
    pub fn removed(&self) -> &FieldSet {
        &self.removed
    }

    /// Removes every received field of that name.
    pub fn remove_known(&mut self, fields: &Fields, known: Known) {
        if !fields.names.has(known) {
            return;
        }
        for (index, field) in fields.list.iter().enumerate() {
            if field.known == known {
                self.remove_at(index);
            }
        }
    }

    /// Removes every field of that name, received or added before, in any case and with `_` for `-`: many origins
    /// cannot tell the two apart.
    pub fn remove(&mut self, fields: &Fields, bytes: &[u8], name: &[u8]) {
        for (index, field) in fields.list.iter().enumerate() {
            // Most names have another length, so that few bytes are looked at.
            if field.name.len() == name.len() && is_same_to_origin(field.name.of(bytes), name) {
                self.remove_at(index);
            }
        }
        self.remove_added(name);
    }

    /// Removes every field of that name that was added before.
    pub fn remove_added(&mut self, name: &[u8]) {
        // There hardly ever is one, and looking costs less than sifting.
        let is_named = |added: &[u8]| is_same_to_origin(added, name);
        if self.added.iter().any(|(_, added, _)| added.len() == name.len() && is_named(added.of(&self.arena))) {
            self.remove_added_like(is_named);
        }
    }

    /// Removes the fields that were added under such names.
    pub(crate) fn remove_added_like(&mut self, is_named: impl Fn(&[u8]) -> bool) {
        let (arena, before) = (&self.arena, self.added.len());
        self.added.retain(|(_, added, _)| !is_named(added.of(arena)));
        self.gaps |= self.added.len() < before;
    }

    /// Adds a field. False, and nothing done, where the arena would pass 64 KiB or where the field could not be written
    /// as one line: values may come from templates, and a line end in one would be an injected field.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.add_with(name, |arena| arena.extend_from_slice(value))
    }

    /// As `add`, with a value that `write` appends to the arena.
    pub fn add_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> bool {
        is_token(name) && self.add_line(Known::of(name), name, write)
    }

    /// As `add_with`, for fields that we make of nothing but what was parsed before: neither name nor value is looked
    /// at again. `start` is the name with the colon and the space behind it; as an array it costs no call to copy.
    #[inline]
    pub fn add_known<const LEN: usize>(
        &mut self,
        known: Known,
        start: &'static [u8; LEN],
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        debug_assert!(start.strip_suffix(b": ").is_some_and(|name| is_token(name) && Known::of(name) == known));
        let line = self.arena.len();
        self.arena.extend_from_slice(start);
        write(&mut self.arena);
        debug_assert!(is_text(&self.arena[line..]), "what was parsed before is text");
        self.end_line(known, line, LEN - b": ".len())
    }

    /// As `add_known`, with a value that is looked at.
    #[inline]
    pub fn add_value<const LEN: usize>(&mut self, known: Known, start: &'static [u8; LEN], value: &[u8]) -> bool {
        is_text(value) && self.add_known(known, start, |arena| arena.extend_from_slice(value))
    }

    /// Keeps the field as the line that it will be, so that writing a head copies all added lines at once.
    fn add_line(&mut self, known: Known, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = self.arena.len();
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(b": ");
        let value_start = self.arena.len();
        write(&mut self.arena);
        if !is_text(&self.arena[value_start..]) {
            self.arena.truncate(start);
            return false;
        }
        self.end_line(known, start, name.len())
    }

    /// Ends the line from `start` on, whose name is so long. False where it is too long: then it is taken back.
    fn end_line(&mut self, known: Known, start: usize, name_len: usize) -> bool {
        let end = self.arena.len();
        if end + LINE_END.len() > usize::from(u16::MAX) {
            self.arena.truncate(start);
            return false;
        }
        self.arena.extend_from_slice(LINE_END);
        let name_end = start + name_len;
        self.added.push((known, Span::new(start, name_end), Span::new(name_end + b": ".len(), end)));
        self.names.insert(known);
        true
    }

    /// The place behind the fields that were added so far.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.arena.len())
    }

    /// Of the fields that were added between two places, keeps those whose name says so.
    pub(crate) fn keep_added(&mut self, (from, to): (Mark, Mark), keep: impl Fn(&[u8]) -> bool) {
        let (arena, before) = (&self.arena, self.added.len());
        self.added.retain(|(_, name, _)| !(from.0..to.0).contains(&usize::from(name.start)) || keep(name.of(arena)));
        self.gaps |= self.added.len() < before;
    }

    /// Drops what was added behind a place.
    pub(crate) fn drop_added_since(&mut self, mark: Mark) {
        self.keep_added((mark, self.mark()), |_| false);
    }

    /// Replaces every field of that name by one.
    pub fn set(&mut self, fields: &Fields, bytes: &[u8], name: &[u8], value: &[u8]) -> bool {
        self.remove(fields, bytes, name);
        self.add(name, value)
    }

    /// Names of added fields; possibly also of such as were removed again.
    pub fn names(&self) -> KnownSet {
        self.names
    }

    /// All added fields as lines of HTTP/1, where they lie one behind the other.
    pub fn lines(&self) -> Option<&[u8]> {
        (!self.gaps).then_some(&self.arena)
    }

    /// The added fields in order: name, value.
    pub fn added(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.added_known().map(|(_, name, value)| (name, value))
    }

    /// Those that were added behind a place.
    pub(crate) fn added_since(&self, mark: Mark) -> impl Iterator<Item = (&[u8], &[u8])> {
        let since = self.added.iter().filter(move |(_, name, _)| usize::from(name.start) >= mark.0);
        since.map(|(_, name, value)| (name.of(&self.arena), value.of(&self.arena)))
    }

    /// The same, with what each name is known as.
    pub(crate) fn added_known(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> {
        self.added.iter().map(|(known, name, value)| (*known, name.of(&self.arena), value.of(&self.arena)))
    }
}

/// As `ascii::is_field_value`, written so that it compiles to vector instructions.
fn is_text(value: &[u8]) -> bool {
    !value.iter().fold(false, |bad, byte| bad | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7F))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_origin_takes_for_the_same_name_is_removed_too() {
        let bytes = b"X_UserX-UserX-User-";
        let mut fields = Fields::default();
        for (start, end) in [(0, 6), (6, 12), (12, 19)] {
            let known = crate::wire::field::Known::Other;
            fields.push(crate::wire::head::Field { name: Span::new(start, end), value: Span::EMPTY, known });
        }
        let mut patch = Patch::default();
        assert!(patch.add(b"x_user", b"0") && patch.set(&fields, bytes, b"x-user", b"1"));
        assert_eq!(*patch.removed(), FieldSet::from_iter([0, 1]));
        assert_eq!(patch.added().collect::<Vec<_>>(), [(&b"x-user"[..], &b"1"[..])]);
    }

    #[test]
    fn set_replaces_received_and_added() {
        let bytes = b"a: 1";
        let mut fields = Fields::default();
        let known = crate::wire::field::Known::Other;
        fields.push(crate::wire::head::Field { name: Span::new(0, 1), value: Span::new(3, 4), known });
        let mut patch = Patch::default();
        assert!(patch.add(b"A", b"2"));
        assert!(patch.set(&fields, bytes, b"a", b"3"));
        assert!(patch.is_removed(0));
        assert_eq!(patch.added().collect::<Vec<_>>(), [(&b"a"[..], &b"3"[..])]);
        assert!(!patch.add(b"big", &vec![0; 70_000]));
        assert_eq!(patch.added().count(), 1);
        for (name, value) in [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\nb: y"), ("a", "\0"), ("a", "\x7F")] {
            assert!(!patch.add(name.as_bytes(), value.as_bytes()), "{name:?} {value:?}");
        }
        assert!(patch.add(b"b", "a\té".as_bytes()));
        assert_eq!(patch.added().count(), 2);
    }
}
