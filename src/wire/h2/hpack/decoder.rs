// SPDX-License-Identifier: Apache-2.0
//! Hot. Field blocks into sections (RFC 7541 section 3).
//!
//! A block is read to its end whatever its fields say and however many there are, so that the table stays in step
//! (section 2.2); what is above the caller's cap is not kept. A few bytes can name a field of kilobytes, so what a
//! block decodes to is bounded: above `limits::HPACK_LIST_BYTES_MAX` the block is refused and the connection with it.

use crate::base::limits::{HEAD_BYTES_MAX, HPACK_LIST_BYTES_MAX};
use crate::wire::h2::hpack::table::Table;
use crate::wire::h2::hpack::{HpackError, Mark, TABLE_BYTES, integer, statics};
use crate::wire::h2::huffman;
use crate::wire::h2::section::{Section, Traits};

/// The decoder of one direction of one connection.
#[derive(Clone, Debug)]
pub struct Decoder {
    table: Table<Traits>,
    /// The largest table that the peer may use now.
    allowed: usize,
    /// What our SETTINGS say; the peer knows once it has acknowledged them.
    announced: usize,
    /// The table became smaller than it is: the next block must begin with a change of its size (section 4.2).
    update_due: bool,
}

impl Decoder {
    /// A decoder whose table may be of `table_max` bytes: what SETTINGS_HEADER_TABLE_SIZE says, in our first SETTINGS.
    ///
    /// Until `acknowledged` is called, the peer may go by the size that holds without any SETTINGS.
    pub fn new(table_max: usize) -> Decoder {
        let allowed = table_max.max(TABLE_BYTES);
        Decoder { table: Table::new(TABLE_BYTES), allowed, announced: table_max, update_due: false }
    }

    /// The peer acknowledged our SETTINGS.
    pub fn acknowledged(&mut self) {
        self.allowed = self.announced;
        self.update_due |= self.table.size_max() > self.allowed;
    }

    /// Decodes a whole block into `section`, which is cleared. Above `list_max` bytes (RFC 9113 section 6.5.2), and
    /// above `limits::FIELDS_MAX` fields, the section is `oversized`, and the table in step all the same.
    pub fn decode(&mut self, block: &[u8], section: &mut Section, list_max: usize) -> Result<(), HpackError> {
        section.clear();
        let list_max = list_max.min(HEAD_BYTES_MAX);
        let mut rest = block;
        while let Some((first, behind)) = rest.split_first()
            && first & 0xE0 == 0x20
        {
            rest = behind;
            let size = integer::read(*first, 5, &mut rest)?;
            self.resize(size)?;
        }
        if self.update_due {
            return Err(HpackError::TableSize);
        }
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            if first & 0x80 != 0 {
                let index = integer::read(*first, 7, &mut rest)?;
                let start = section.bytes.len();
                let (text, name_len, traits) = self.entry(index)?;
                section.bytes.extend_from_slice(text);
                section.take(start, name_len, traits, Mark::Ordinary, list_max);
            } else {
                self.literal(*first, &mut rest, section, list_max)?;
            }
            if section.size > HPACK_LIST_BYTES_MAX {
                return Err(HpackError::Flood);
            }
        }
        Ok(())
    }

    fn resize(&mut self, size: usize) -> Result<(), HpackError> {
        if size > self.allowed {
            return Err(HpackError::TableSize);
        }
        self.table.resize(size);
        self.update_due = false;
        Ok(())
    }

    #[inline]
    fn entry(&self, index: usize) -> Result<(&[u8], usize, Traits), HpackError> {
        match index {
            0 => Err(HpackError::Index),
            1..=statics::LEN => Ok(statics::entry(index)),
            _ => self.table.entry(index - statics::LEN - 1).ok_or(HpackError::Index),
        }
    }

    /// A literal field (section 6.2): `01` with indexing, `0001` never indexed, `0000` not indexed.
    fn literal(
        &mut self,
        first: u8,
        rest: &mut &[u8],
        section: &mut Section,
        list_max: usize,
    ) -> Result<(), HpackError> {
        let indexes = first & 0x40 != 0;
        if !indexes && first & 0x20 != 0 {
            return Err(HpackError::TableSize);
        }
        let index = integer::read(first, if indexes { 6 } else { 4 }, rest)?;
        let start = section.bytes.len();
        let mut traits = if index == 0 {
            string(rest, &mut section.bytes)?;
            Traits::of_name(&section.bytes[start..])
        } else {
            let (text, name_len, traits) = self.entry(index)?;
            section.bytes.extend_from_slice(&text[..name_len]);
            traits.without_value()
        };
        let name_len = section.bytes.len() - start;
        string(rest, &mut section.bytes)?;
        traits = traits.and_value(&section.bytes[start + name_len..]);
        if indexes {
            let (name, value) = section.bytes[start..].split_at(name_len);
            self.table.insert(name, value, traits);
        }
        let mark = if first & 0xF0 == 0x10 { Mark::NeverIndexed } else { Mark::Ordinary };
        section.take(start, name_len, traits, mark, list_max);
        Ok(())
    }
}

/// Appends a string literal (section 5.2) from the front of `rest`.
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let (first, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
    *rest = behind;
    let len = integer::read(*first, 7, rest)?;
    let (text, behind) = rest.split_at_checked(len).ok_or(HpackError::Truncated)?;
    *rest = behind;
    if first & 0x80 == 0 {
        out.extend_from_slice(text);
        return Ok(());
    }
    if huffman::decode(text, out) { Ok(()) } else { Err(HpackError::Huffman) }
}
