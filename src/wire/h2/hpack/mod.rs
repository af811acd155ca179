// SPDX-License-Identifier: Apache-2.0
//! Header compression for HTTP/2 (RFC 7541): a decoder and an encoder, each with its dynamic table.
//!
//! The decoder puts up with nothing that RFC 7541 calls an error, and its work is bounded whatever a block says. The
//! encoder decides by name what is worth a place in the table and what must never have one.

pub mod decoder;
pub mod encoder;

mod integer;
mod lookup;
mod names;
mod statics;
mod table;

pub use decoder::Decoder;
pub use encoder::Encoder;

/// The size of a dynamic table before either side said anything (RFC 9113 section 6.5.2).
pub const TABLE_BYTES: usize = 4_096;

/// What an entry counts besides its name and value (RFC 7541 section 4.1).
const ENTRY_OVERHEAD: usize = 32;

/// What is known of how a field came, or must leave, besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    Ordinary,
    /// It came as a never-indexed literal, and must leave as one (RFC 7541 section 6.2.3).
    NeverIndexed,
}

/// Why a block cannot be decoded. The connection is lost: the tables are no longer in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackError {
    /// The block ends within a field.
    Truncated,
    /// An integer above what anything here can be.
    Integer,
    /// An index that neither table has.
    Index,
    /// A string whose Huffman code is not one, or not padded as it must be.
    Huffman,
    /// A change of the table's size that is too large, not at the start of a block, or missing.
    TableSize,
    /// The block decodes to more than `limits::HPACK_LIST_BYTES_MAX`.
    Flood,
}

impl HpackError {
    /// True where the connection ends with `ENHANCE_YOUR_CALM` in place of `COMPRESSION_ERROR`.
    pub const fn is_flood(self) -> bool {
        match self {
            HpackError::Flood => true,
            HpackError::Truncated
            | HpackError::Integer
            | HpackError::Index
            | HpackError::Huffman
            | HpackError::TableSize => false,
        }
    }
}

#[cfg(test)]
mod tests;
