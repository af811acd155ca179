// SPDX-License-Identifier: Apache-2.0
//! The types of CEL, as far as they are known before an expression runs.

use std::fmt;

/// A type; what is inside of lists and maps is known where it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Known only when it runs.
    Dyn,
    Plain(Kind),
    /// A list of these.
    List(Box<Type>),
    /// A map of these, by text or by whatever key.
    Map(Box<Type>),
    /// Such a value, or none.
    Optional(Box<Type>),
}

/// The kind of a value, as `type()` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Time,
    Span,
    Type,
    List,
    Map,
    Optional,
}

impl Kind {
    /// All that have a name in expressions.
    pub(super) const NAMED: [(&'static str, Kind); 10] = [
        ("null_type", Kind::Null),
        ("bool", Kind::Bool),
        ("int", Kind::Int),
        ("uint", Kind::Uint),
        ("double", Kind::Double),
        ("string", Kind::Text),
        ("bytes", Kind::Bytes),
        ("type", Kind::Type),
        ("list", Kind::List),
        ("map", Kind::Map),
    ];

    /// As messages say it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Uint => "uint",
            Kind::Double => "double",
            Kind::Text => "string",
            Kind::Bytes => "bytes",
            Kind::Time => "timestamp",
            Kind::Span => "duration",
            Kind::Type => "type",
            Kind::List => "list",
            Kind::Map => "map",
            Kind::Optional => "optional",
        }
    }

    /// Is it a number?
    pub(super) const fn is_number(self) -> bool {
        matches!(self, Kind::Int | Kind::Uint | Kind::Double)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds(u16);

impl Kinds {
    pub(super) const ANY: Kinds = Kinds(u16::MAX);

    pub(super) const fn of(kinds: &[Kind]) -> Kinds {
        let (mut set, mut at) = (0, 0);
        while at < kinds.len() {
            set |= 1 << kinds[at] as u16;
            at += 1;
        }
        Kinds(set)
    }

    pub(super) const fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }
}

impl Type {
    pub(super) const TEXT: Type = Type::Plain(Kind::Text);
    pub(super) const BOOL: Type = Type::Plain(Kind::Bool);
    pub(super) const INT: Type = Type::Plain(Kind::Int);

    /// Its kind; `None` where that is known only when it runs.
    pub(super) const fn kind(&self) -> Option<Kind> {
        match self {
            Type::Dyn => None,
            Type::Plain(kind) => Some(*kind),
            Type::List(_) => Some(Kind::List),
            Type::Map(_) => Some(Kind::Map),
            Type::Optional(_) => Some(Kind::Optional),
        }
    }

    /// May it be of one of these kinds?
    pub(super) fn may_be(&self, kinds: Kinds) -> bool {
        self.kind().is_none_or(|kind| kinds.has(kind))
    }

    /// What both are; `Dyn` where they differ.
    pub(super) fn joined(self, other: &Type) -> Type {
        if self == *other { self } else { Type::Dyn }
    }

    /// Can values of both be equal?
    pub(super) fn meets(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(one), Type::List(two))
            | (Type::Map(one), Type::Map(two))
            | (Type::Optional(one), Type::Optional(two)) => one.meets(two),
            (Type::Plain(one), Type::Plain(two)) => one == two || (one.is_number() && two.is_number()),
            _ => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn => out.write_str("dyn"),
            Type::Plain(kind) => out.write_str(kind.name()),
            Type::List(inner) => write!(out, "list({inner})"),
            Type::Map(inner) => write!(out, "map(string, {inner})"),
            Type::Optional(inner) => write!(out, "optional({inner})"),
        }
    }
}
