//! Hot. The decoder's dynamic table (RFC 7541 section 2.3.2): entries in a ring, their text in one arena.
//!
//! Text is appended; when the arena is half as large again as the table may be, what still lives is moved to its front,
//! which happens at most once for every half table of text. So nothing is allocated after warm-up, an entry's name and
//! value lie in one piece, and a table that is hardly used is small.

use std::collections::VecDeque;

use crate::wire::h2::hpack::ENTRY_OVERHEAD;
use crate::wire::h2::section::Traits;

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name_len: u32,
    value_len: u32,
    traits: Traits,
}

impl Entry {
    const fn len(self) -> usize {
        self.name_len as usize + self.value_len as usize
    }

    const fn size(self) -> usize {
        self.len() + ENTRY_OVERHEAD
    }
}

/// A dynamic table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    arena: Vec<u8>,
    size: usize,
    size_max: usize,
}

impl Table {
    pub(super) fn new(size_max: usize) -> Table {
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
    /// it is.
    pub(super) fn entry(&self, index: usize) -> Option<(&[u8], usize, Traits)> {
        let entry = self.entries.get(index)?;
        let start = entry.start as usize;
        Some((&self.arena[start..start + entry.len()], entry.name_len as usize, entry.traits))
    }

    /// Adds an entry of `text`, whose first `name_len` bytes are the name. One that is larger than the table empties it
    /// (section 4.4).
    pub(super) fn insert(&mut self, text: &[u8], name_len: usize, traits: Traits) {
        let size = text.len() + ENTRY_OVERHEAD;
        self.make_room(size);
        if size > self.size_max {
            return;
        }
        if self.arena.len() + text.len() > self.size_max + self.size_max / 2 {
            self.compact();
        }
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(text);
        let value_len = (text.len() - name_len) as u32;
        self.entries.push_front(Entry { start, name_len: name_len as u32, value_len, traits });
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
