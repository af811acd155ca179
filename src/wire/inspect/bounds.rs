// SPDX-License-Identifier: Apache-2.0
//! Hot. What content may be, and what may be wrong with it.

/// What content may be. Lengths are in bytes as sent, with escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Objects, arrays or elements inside one another.
    pub depth: u32,
    /// Members of one object; attributes of one element.
    pub members: u32,
    /// Values of one array; elements directly in one element.
    pub items: u32,
    /// Values or elements in all.
    pub values: u32,
    /// Bytes of a name.
    pub name_bytes: u32,
    /// Bytes of a string, a text, an attribute's value or a comment.
    pub text_bytes: u32,
    /// Bytes of a number.
    pub number_bytes: u32,
}

/// What is wrong with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offence {
    /// It is not JSON (RFC 8259) in UTF-8.
    Json,
    /// It is not well-formed XML 1.0 in UTF-8, ASCII or ISO 8859-1.
    Xml,
    /// It declares a document type, or names an entity that only such a declaration can define.
    Entity,
    /// It is above a bound.
    Bound(Bound),
}

/// A field of `Bounds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// `depth`
    Depth,
    /// `members`
    Members,
    /// `items`
    Items,
    /// `values`
    Values,
    /// `name_bytes`
    Name,
    /// `text_bytes`
    Text,
    /// `number_bytes`
    Number,
}

/// One more of what `counter` counts, unless that is more than `max`.
pub(super) fn count(counter: &mut u32, max: u32, bound: Bound) -> Result<(), Offence> {
    if *counter >= max {
        return Err(Offence::Bound(bound));
    }
    *counter += 1;
    Ok(())
}
