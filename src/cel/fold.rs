// SPDX-License-Identifier: Apache-2.0
//! Computes when an expression is compiled what does not depend on a request.

use crate::cel::attribute::Nobody;
use crate::cel::evaluate;
use crate::cel::node::{Constant, Node};
use crate::cel::value::Value;

impl Node {
    /// Computes it now where nothing of it depends on a request and it does not fail.
    pub(super) fn folded(self) -> Node {
        folded(self)
    }
}

fn folded(node: Node) -> Node {
    let is = |node: &Node, truth: bool| matches!(node, Node::Constant(Constant::Bool(own)) if *own == truth);
    // One side decides, whatever the others are and whether they fail.
    match &node {
        Node::All(sides) if sides.iter().any(|side| is(side, false)) => return Node::Constant(Constant::Bool(false)),
        Node::Any(sides) if sides.iter().any(|side| is(side, true)) => return Node::Constant(Constant::Bool(true)),
        _ => {}
    }
    if !is_constant(&node) {
        return node;
    }
    let made = evaluate::run(&node, &[], &Nobody, |value| value.ok().and_then(constant));
    made.map_or(node, Node::Constant)
}

/// Do all parts hold without a request? Only the parts of one node are looked at: those below were folded before.
fn is_constant(node: &Node) -> bool {
    let constant = |node: &Node| match node {
        Node::Constant(_) => true,
        Node::List(items) => items.iter().all(|item| matches!(item, Node::Constant(_))),
        _ => false,
    };
    match node {
        Node::Not(inner) | Node::Negate(inner) | Node::OneOf(inner, _) => constant(inner),
        Node::All(parts) | Node::Any(parts) | Node::Call(_, parts) => parts.iter().all(constant),
        Node::If(parts) => parts.iter().all(constant),
        Node::Binary(_, parts) | Node::Index(parts) => parts.iter().all(constant),
        Node::Constant(_)
        | Node::Attribute(_)
        | Node::Bag(_)
        | Node::Member(..)
        | Node::HasMember(..)
        | Node::Variable(_)
        | Node::Select(..)
        | Node::Has(..)
        | Node::OptionalIndex(_)
        | Node::List(_)
        | Node::Map(_)
        | Node::Matches(..)
        | Node::Within(..)
        | Node::Macro(_) => false,
    }
}

fn constant(value: Value<'_>) -> Option<Constant> {
    Some(match value {
        Value::Null => Constant::Null,
        Value::Bool(truth) => Constant::Bool(truth),
        Value::Int(number) => Constant::Int(number),
        Value::Uint(number) => Constant::Uint(number),
        Value::Double(number) => Constant::Double(number),
        Value::Text(text) => Constant::Text(text.into()),
        Value::Bytes(bytes) => Constant::Bytes(bytes.into()),
        Value::Time(time) => Constant::Time(time),
        Value::Span(span) => Constant::Span(span),
        Value::Type(kind) => Constant::Type(kind),
        Value::List(_) | Value::Map(_) | Value::Optional(_) => return None,
    })
}
