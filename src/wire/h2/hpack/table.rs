// SPDX-License-Identifier: Apache-2.0
//! Hot. A dynamic table (RFC 7541 section 2.3.2): entries in a ring, their text in one arena.
//!
//! Text is appended; when the arena is half as large again as the table may be, what still lives is moved to its front,
//! which happens at most once for every half table of text. So nothing is allocated after warm-up, an entry's name and
//! value lie in one piece, and a table that is hardly used is small. Decoder and encoder note different things with an
//! entry, and evict by the same rule.

use std::collections::VecDeque;

use crate::wire::h2::hpack::ENTRY_OVERHEAD;

#[derive(Clone, Copy, Debug)]
struct Entry<Note> {
    start: u32,
    name_len: u32,
    value_len: u32,
    note: Note,
}

impl<Note> Entry<Note> {
    const fn len(&self) -> usize {
        self.name_len as usize + self.value_len as usize
    }

    const fn size(&self) -> usize {
        self.len() + ENTRY_OVERHEAD
    }
}

/// A dynamic table whose entries carry a `Note`.
#[derive(Clone, Debug)]
pub(super) struct Table<Note> {
    /// The newest first.
    entries: VecDeque<Entry<Note>>,
    arena: Vec<u8>,
    size: usize,
    size_max: usize,
}

impl<Note: Copy> Table<Note> {
    pub(super) fn new(size_max: usize) -> Table<Note> {
        Table { entries: VecDeque::new(), arena: Vec::new(), size: 0, size_max }
    }

    pub(super) const fn size_max(&self) -> usize {
        self.size_max
    }

    /// Changes what the table may hold, and drops what no longer fits.
    pub(super) fn resize(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.make_room(0);
    }

    /// The entry at `index`, zero being the newest: its name and value in one piece, the length of its name, and what
    /// was noted with it.
    #[inline]
    pub(super) fn entry(&self, index: usize) -> Option<(&[u8], usize, Note)> {
        let entry = self.entries.get(index)?;
        let start = entry.start as usize;
        Some((&self.arena[start..start + entry.len()], entry.name_len as usize, entry.note))
    }

    /// The value of the entry at `index`, and what was noted with it.
    #[inline]
    pub(super) fn value(&self, index: usize) -> Option<(&[u8], Note)> {
        let entry = self.entries.get(index)?;
        let start = (entry.start + entry.name_len) as usize;
        Some((&self.arena[start..start + entry.value_len as usize], entry.note))
    }

    /// Adds an entry. One that is larger than the table empties it (section 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], note: Note) {
        let len = name.len() + value.len();
        let size = len + ENTRY_OVERHEAD;
        self.make_room(size);
        if size > self.size_max {
            return;
        }
        if self.arena.len() + len > self.size_max + self.size_max / 2 {
            self.compact();
        }
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(value);
        let (name_len, value_len) = (name.len() as u32, value.len() as u32);
        self.entries.push_front(Entry { start, name_len, value_len, note });
        self.size += size;
    }

    fn make_room(&mut self, size: usize) {
        while self.size + size > self.size_max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
        if self.entries.is_empty() {
            self.arena.clear();
        }
    }

    /// Moves the text of all entries, which is in their order, to the arena's front.
    fn compact(&mut self) {
        let Some(oldest) = self.entries.back() else { return self.arena.clear() };
        let dead = oldest.start;
        self.arena.drain(..dead as usize);
        for entry in &mut self.entries {
            entry.start -= dead;
        }
    }
}
