// SPDX-License-Identifier: Apache-2.0
//! Hot. Fields into blocks (RFC 7541 section 6).
//!
//! What is worth a place in the table is decided by name (`names`), and for most names by whether the same field was
//! sent before: a value that never comes again then costs no place. Secrets never get one. Strings are coded where
//! that makes them shorter. What this writes of a message depends on nothing but that message and those before it.

use crate::base::ascii::push_decimal;
use crate::wire::field::Known;
use crate::wire::h2::hpack::lookup::{Chain, Lookup};
use crate::wire::h2::hpack::names::{Name, Policy};
use crate::wire::h2::hpack::{ENTRY_OVERHEAD, Mark, TABLE_BYTES, integer, statics};
use crate::wire::h2::huffman;

/// Fields that were sent once, by half of a hash: a second time they get a place in the table.
const RECENT: usize = 64;

/// A cookie shorter than this is marked as never to be indexed: it could be guessed (RFC 7541 section 7.1.3).
const COOKIE_SHORT: usize = 20;

/// Longest name that is brought to lower case on the stack.
const NAME_SHORT: usize = 64;

/// Strings up to this length have a length of one byte, coded or not.
const SHORT_STRING: usize = 126;

/// The encoder of one direction of one connection.
#[derive(Clone, Debug)]
pub struct Encoder {
    lookup: Lookup,
    recent: [u16; RECENT],
    /// A change of the table's size that the next block must begin with: the least it was in between, and what it is.
    update: Option<(usize, usize)>,
    scratch: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl Encoder {
    /// An encoder with the table that holds before the peer's SETTINGS.
    pub fn new() -> Encoder {
        Encoder { lookup: Lookup::new(), recent: [0; RECENT], update: None, scratch: Vec::new() }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE is `bytes`. Of a larger table than we want, we use as much as we want.
    pub fn set_table_max(&mut self, bytes: usize) {
        let size = bytes.min(TABLE_BYTES);
        let least = self.update.map_or(size, |(least, _)| least.min(size));
        let changes = least != self.lookup.size_max() || size != self.lookup.size_max();
        self.update = changes.then_some((least, size));
    }

    /// Begins a block. Must be called before its first field.
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some((least, size)) = self.update.take() {
            self.resize(out, least, size);
        }
    }

    /// Appends a field. `name` is in lower case, and goes by `known`.
    #[inline]
    pub fn field(&mut self, out: &mut Vec<u8>, known: Known, name: &[u8], value: &[u8], mark: Mark) {
        let found = Name::of(known, name);
        let repeats = matches!(found.policy, Policy::Index | Policy::Repeated);
        if repeats
            && mark == Mark::Ordinary
            && let Some(index) = self.lookup.latest(found.index, value)
        {
            return integer::write(out, INDEXED, 7, index + DYNAMIC);
        }
        self.field_anew(out, known, found, (name, value), mark);
    }

    /// Appends a field that has not the value that it had the time before.
    fn field_anew(&mut self, out: &mut Vec<u8>, known: Known, found: Name, (name, value): (&[u8], &[u8]), mark: Mark) {
        let Name { index, policy } = found;
        let index = usize::from(index);
        let guessable = known == Known::Cookie && value.len() < COOKIE_SHORT;
        if policy == Policy::Never || mark == Mark::NeverIndexed || guessable {
            return literal(out, Literal::Never, index, name, value);
        }
        if known == Known::AcceptEncoding && value == statics::ENTRIES[index - 1].1.as_bytes() {
            return integer::write(out, INDEXED, 7, index);
        }
        self.by_policy(out, policy, index, name, value);
    }

    /// As `field`, for a name in any case that was not recognised yet.
    pub fn field_in_any_case(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], mark: Mark) {
        match Known::of(name) {
            Known::Other | Known::Underscored => self.other_in_any_case(out, name, value, mark),
            known => self.field(out, known, known.name().as_bytes(), value, mark),
        }
    }

    /// As `field`, for a name in any case that is none of the known.
    pub fn other_in_any_case(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], mark: Mark) {
        let mut lower = [0; NAME_SHORT];
        let Some(room) = lower.get_mut(..name.len()) else { return self.long_in_any_case(out, name, value, mark) };
        room.copy_from_slice(name);
        // All of it, because a fixed length compiles to a few vector instructions.
        lower.make_ascii_lowercase();
        self.field(out, Known::Other, &lower[..name.len()], value, mark);
    }

    #[cold]
    fn long_in_any_case(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], mark: Mark) {
        let mut lower = std::mem::take(&mut self.scratch);
        lower.clear();
        lower.extend_from_slice(name);
        lower.make_ascii_lowercase();
        self.field(out, Known::Other, &lower, value, mark);
        self.scratch = lower;
    }

    /// Appends a field whose value is a number.
    pub fn number(&mut self, out: &mut Vec<u8>, known: Known, number: u64) {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        push_decimal(&mut text, number);
        self.field(out, known, known.name().as_bytes(), &text, Mark::Ordinary);
        self.scratch = text;
    }

    /// Appends a field whose value is made of parts.
    pub fn field_of(&mut self, out: &mut Vec<u8>, known: Known, parts: &[&[u8]]) {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        parts.iter().for_each(|part| text.extend_from_slice(part));
        self.field(out, known, known.name().as_bytes(), &text, Mark::Ordinary);
        self.scratch = text;
    }

    /// Appends `:status`.
    pub fn status(&mut self, out: &mut Vec<u8>, status: u16) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8);
                return self.by_policy(out, Policy::Index, STATUS, b":status", &digits);
            }
        };
        out.push(INDEXED | index);
    }

    /// Appends `:method`.
    pub fn method(&mut self, out: &mut Vec<u8>, method: &[u8]) {
        match method {
            b"GET" => out.push(INDEXED | 2),
            b"POST" => out.push(INDEXED | 3),
            _ => self.by_policy(out, Policy::Repeated, METHOD, b":method", method),
        }
    }

    /// Appends `:scheme`, which is `http` or `https`.
    pub fn scheme(&mut self, out: &mut Vec<u8>, scheme: &[u8]) {
        match scheme {
            b"http" => out.push(INDEXED | 6),
            b"https" => out.push(INDEXED | 7),
            _ => self.by_policy(out, Policy::Repeated, SCHEME, b":scheme", scheme),
        }
    }

    /// Appends `:authority`.
    pub fn authority(&mut self, out: &mut Vec<u8>, authority: &[u8]) {
        self.by_policy(out, Policy::Index, AUTHORITY, b":authority", authority);
    }

    /// Appends `:path`. One with a query hardly comes twice, and may hold what must not be guessed.
    pub fn path(&mut self, out: &mut Vec<u8>, path: &[u8]) {
        match path {
            b"/" => return out.push(INDEXED | 4),
            b"/index.html" => return out.push(INDEXED | 5),
            _ => {}
        }
        let policy = if path.contains(&b'?') { Policy::Plain } else { Policy::Repeated };
        self.by_policy(out, policy, PATH, b":path", path);
    }

    /// Appends `:protocol` (RFC 8441 section 4).
    pub fn protocol(&mut self, out: &mut Vec<u8>, protocol: &[u8]) {
        self.by_policy(out, Policy::Index, 0, b":protocol", protocol);
    }

    #[inline]
    fn by_policy(&mut self, out: &mut Vec<u8>, policy: Policy, index: usize, name: &[u8], value: &[u8]) {
        match policy {
            Policy::Never => literal(out, Literal::Never, index, name, value),
            // A name that the static table has needs no looking for.
            Policy::Plain if index != 0 => literal(out, Literal::Plain, index, name, value),
            Policy::Plain | Policy::Index | Policy::Repeated => self.indexed(out, policy, index, name, value),
        }
    }

    fn indexed(&mut self, out: &mut Vec<u8>, policy: Policy, index: usize, name: &[u8], value: &[u8]) {
        let chain = Chain::of(index, name);
        let found = self.lookup.find(chain, name, value);
        if let Some(found) = found.field {
            return integer::write(out, INDEXED, 7, found + DYNAMIC);
        }
        let named = match index {
            0 => found.name.map_or(0, |found| found + DYNAMIC),
            index => index,
        };
        if self.enters(policy, chain, name, value) {
            literal(out, Literal::Indexed, named, name, value);
            self.lookup.insert(chain, name, value);
        } else {
            literal(out, Literal::Plain, named, name, value);
        }
    }

    /// Does a field that neither table has get a place?
    fn enters(&mut self, policy: Policy, chain: Chain, name: &[u8], value: &[u8]) -> bool {
        // One entry must not push out most of the others.
        let fits = name.len() + value.len() + ENTRY_OVERHEAD <= self.lookup.size_max() / 4;
        match policy {
            Policy::Index => fits,
            Policy::Repeated => {
                let hash = chain.hash(value);
                let upper = (hash >> 16) as u16;
                fits && std::mem::replace(&mut self.recent[hash as usize % RECENT], upper) == upper
            }
            Policy::Plain | Policy::Never => false,
        }
    }

    /// Goes on as if so many entries had been made.
    #[cfg(test)]
    pub(super) fn lookup_from(&mut self, insertions: u32) {
        self.lookup.count_from(insertions);
    }

    #[cold]
    fn resize(&mut self, out: &mut Vec<u8>, least: usize, size: usize) {
        for step in [least, size] {
            self.lookup.resize(step);
        }
        if least < size {
            integer::write(out, RESIZE, 5, least);
        }
        integer::write(out, RESIZE, 5, size);
    }
}

/// Marks of the representations (section 6).
const INDEXED: u8 = 0x80;
const RESIZE: u8 = 0x20;

/// The index of the dynamic table's newest entry.
const DYNAMIC: usize = statics::LEN + 1;

const AUTHORITY: usize = 1;
const METHOD: usize = 2;
const PATH: usize = 4;
const SCHEME: usize = 6;
const STATUS: usize = 8;

/// The kinds of literal fields (section 6.2).
#[derive(Clone, Copy)]
enum Literal {
    Indexed,
    Plain,
    Never,
}

fn literal(out: &mut Vec<u8>, literal: Literal, index: usize, name: &[u8], value: &[u8]) {
    match literal {
        Literal::Indexed => integer::write(out, 0x40, 6, index),
        Literal::Plain => integer::write(out, 0x00, 4, index),
        Literal::Never => integer::write(out, 0x10, 4, index),
    }
    if index == 0 {
        string(out, name);
    }
    string(out, value);
}

/// Appends a string (section 5.2), coded where that makes it shorter.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    const CODED: u8 = 0x80;
    if text.len() > SHORT_STRING {
        return long_string(out, text);
    }
    let start = out.len();
    out.push(text.len() as u8);
    if huffman::encode(text, out) {
        out[start] = CODED | (out.len() - start - 1) as u8;
    } else {
        out.extend_from_slice(text);
    }
}

#[cold]
fn long_string(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    integer::write(out, 0x80, 7, huffman::coded_len(text));
    if !huffman::encode(text, out) {
        out.truncate(start);
        integer::write(out, 0, 7, text.len());
        out.extend_from_slice(text);
    }
}
