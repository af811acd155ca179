// SPDX-License-Identifier: Apache-2.0
//! Structured fields (RFC 9651): dictionaries with items and inner lists are read strictly and written canonically.
//! What breaks a rule of the grammar makes the whole field unreadable, as section 4.2 asks.

mod read;
mod write;

pub(crate) use read::dictionary;
pub(crate) use write::append_dictionary;

/// A bare item (RFC 9651 section 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bare {
    /// At most 15 digits.
    Integer(i64),
    /// In thousandths: at most 12 digits in front of the point and three behind it.
    Decimal(i64),
    /// Printable ASCII.
    String(String),
    /// A word.
    Token(String),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// `?1` or `?0`.
    Boolean(bool),
    /// Seconds since 1970.
    Date(i64),
    /// Any text.
    Display(String),
}

/// Parameters in their order; a name that came twice has its last value, at its first place.
pub(crate) type Parameters = Vec<(String, Bare)>;

/// An item with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The value.
    pub value: Bare,
    /// The parameters.
    pub parameters: Parameters,
}

/// An inner list with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InnerList {
    /// The items.
    pub items: Vec<Item>,
    /// The parameters of the list.
    pub parameters: Parameters,
}

/// A member of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// An item.
    Item(Item),
    /// An inner list.
    Inner(InnerList),
}

/// A dictionary in its order; a key that came twice has its last value, at its first place.
pub(crate) type Dictionary = Vec<(String, Member)>;

/// The value of a name.
pub(crate) fn find<'a, T>(entries: &'a [(String, T)], name: &str) -> Option<&'a T> {
    entries.iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

impl Bare {
    /// The text of a string.
    pub(crate) fn string(&self) -> Option<&str> {
        if let Bare::String(text) = self { Some(text) } else { None }
    }

    /// The number of an integer.
    pub(crate) fn integer(&self) -> Option<i64> {
        if let Bare::Integer(number) = self { Some(*number) } else { None }
    }
}

#[cfg(test)]
mod tests;
