// SPDX-License-Identifier: Apache-2.0
//! Field blocks for tests: fields written as they are given, with nothing decided.

use crate::wire::h2::hpack::Decoder;
use crate::wire::h2::section::Section;

/// How `block` writes fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    /// With a place in the table.
    Indexed = 0x40,
    /// Without one.
    Plain = 0x00,
}

/// A block of literal fields, without the Huffman code.
pub(crate) fn block(literal: Literal, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(literal as u8);
        for text in [name, value] {
            let len = text.len();
            if len < 127 {
                out.push(len as u8);
            } else {
                let left = len - 127;
                assert!(left < 1 << 14, "a short field");
                out.extend([127, left as u8 | 0x80, (left >> 7) as u8]);
            }
            out.extend_from_slice(text);
        }
    }
    out
}

/// What a decoder makes of such fields.
pub(crate) fn section(fields: &[(&[u8], &[u8])]) -> Section {
    let mut section = Section::default();
    Decoder::new(4096).decode(&block(Literal::Plain, fields), &mut section, 48 * 1024).expect("a block");
    section
}

/// Fields as bytes.
pub(crate) fn lines<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}
