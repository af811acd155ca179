// SPDX-License-Identifier: Apache-2.0
//! Hot. The tree that a compiled expression is: names are numbers, constants are computed, networks are compiled.

use std::sync::Arc;

use crate::base::network_set::NetworkSet;
use crate::cel::attribute::Attribute;
use crate::cel::functions::Function;
use crate::cel::syntax::Binary;
use crate::cel::time::{Instant, Span};
use crate::cel::types::Kind;
use crate::cel::value::Bag;

/// Which attributes an expression names, as bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uses {
    attributes: u32,
    pub consumer: bool,
}

impl Uses {
    pub(super) fn add(&mut self, attribute: Attribute) {
        self.attributes |= 1 << attribute as u32;
        self.consumer |= attribute.is_identity();
    }

    pub(super) const fn has(self, attribute: Attribute) -> bool {
        self.attributes & (1 << attribute as u32) != 0
    }
}

const _: () = assert!((Attribute::Now as u32) < u32::BITS);

/// A part of a compiled expression.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Constant(Constant),
    Attribute(Attribute),
    Bag(Bag),
    /// A member of the request's maps by a constant name.
    Member(Bag, Box<str>),
    /// Is there a member of that name?
    HasMember(Bag, Box<str>),
    /// The variable of a macro; 0 is the innermost.
    Variable(usize),
    Select(Box<Node>, Box<str>),
    Has(Box<Node>, Box<str>),
    Index(Box<[Node; 2]>),
    OptionalIndex(Box<[Node; 2]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    All(Box<[Node]>),
    Any(Box<[Node]>),
    If(Box<[Node; 3]>),
    Binary(Binary, Box<[Node; 2]>),
    /// Is the text one of these, which are sorted?
    OneOf(Box<Node>, Box<[Box<str>]>),
    List(Box<[Node]>),
    Map(Box<[(Node, Node)]>),
    Call(Function, Box<[Node]>),
    /// Does the text match that pattern?
    Matches(Box<Node>, usize),
    /// Is the address in these networks?
    Within(Box<Node>, Arc<NetworkSet>),
    Macro(Box<Macro>),
}

/// A macro over the items of a list or the keys of a map.
#[derive(Clone, Debug)]
pub(super) struct Macro {
    pub over: Node,
    pub kind: MacroKind,
    /// The condition, or what `map` makes of an item.
    pub body: Node,
    /// Of `map` with three arguments: which items.
    pub filter: Option<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MacroKind {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

/// A value that is known when the expression is compiled.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Time(Instant),
    Span(Span),
    Type(Kind),
}
