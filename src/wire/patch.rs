//! Hot. Changes to a head, kept beside it until it is serialised: fields removed by index, fields added in an arena.
//!
//! A head is never edited in place, so its spans stay true. One `Patch` a direction is reused by an exchange.

use smallvec::SmallVec;

use crate::base::Span;
use crate::base::limits::FIELDS_MAX;
use crate::wire::head::Fields;

const _: () = assert!(FIELDS_MAX <= 128, "removed fields are a set of 128 bits");

/// Removed and added fields of one head.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    removed: u128,
    arena: Vec<u8>,
    added: SmallVec<[(Span, Span); 12]>,
}

impl Patch {
    /// Forgets everything; keeps its memory.
    pub fn clear(&mut self) {
        self.removed = 0;
        self.arena.clear();
        self.added.clear();
    }

    /// Removes the received field at `index`.
    pub fn remove_at(&mut self, index: usize) {
        self.removed |= 1 << index;
    }

    /// Was the received field at `index` removed?
    pub fn is_removed(&self, index: usize) -> bool {
        self.removed & (1 << index) != 0
    }

    /// Removes every field of that name (any case), received or added before.
    pub fn remove(&mut self, fields: &Fields, bytes: &[u8], name: &[u8]) {
        for (index, field) in fields.list.iter().enumerate() {
            if field.name.of(bytes).eq_ignore_ascii_case(name) {
                self.remove_at(index);
            }
        }
        let arena = &self.arena;
        self.added.retain(|(added, _)| !added.of(arena).eq_ignore_ascii_case(name));
    }

    /// Adds a field. False, and nothing done, where the arena would pass 64 KiB.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.add_with(name, |arena| arena.extend_from_slice(value))
    }

    /// Adds a field whose value `write` appends to the arena. False, and nothing done, where the arena would pass 64 KiB.
    pub fn add_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = self.arena.len();
        self.arena.extend_from_slice(name);
        let middle = self.arena.len();
        write(&mut self.arena);
        let end = self.arena.len();
        if end > usize::from(u16::MAX) {
            self.arena.truncate(start);
            return false;
        }
        self.added.push((Span::new(start, middle), Span::new(middle, end)));
        true
    }

    /// Replaces every field of that name by one.
    pub fn set(&mut self, fields: &Fields, bytes: &[u8], name: &[u8], value: &[u8]) -> bool {
        self.remove(fields, bytes, name);
        self.add(name, value)
    }

    /// The added fields in order: name, value.
    pub fn added(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.added.iter().map(|(name, value)| (name.of(&self.arena), value.of(&self.arena)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_replaces_received_and_added() {
        let bytes = b"a: 1";
        let mut fields = Fields::default();
        let known = crate::wire::field::Known::Other;
        fields.list.push(crate::wire::head::Field { name: Span::new(0, 1), value: Span::new(3, 4), known });
        let mut patch = Patch::default();
        assert!(patch.add(b"A", b"2"));
        assert!(patch.set(&fields, bytes, b"a", b"3"));
        assert!(patch.is_removed(0));
        assert_eq!(patch.added().collect::<Vec<_>>(), [(&b"a"[..], &b"3"[..])]);
        assert!(!patch.add(b"big", &vec![0; 70_000]));
        assert_eq!(patch.added().count(), 1);
    }
}
