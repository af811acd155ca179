// SPDX-License-Identifier: Apache-2.0
//! Hot. Evaluates a compiled expression: a walk over its nodes, with a number of steps and bytes that it may take.
//!
//! Recursion is as deep as the expression is nested, which its parser caps.

use std::net::IpAddr;

use bumpalo::Bump;
use regex::Regex;
use smallvec::SmallVec;

use crate::base::limits::EXPRESSION_MEMORY_MAX;
use crate::cel::arithmetic;
use crate::cel::attribute::Subject;
use crate::cel::budget::{Budget, Failure};
use crate::cel::calls;
use crate::cel::node::{Constant, Macro, MacroKind, Node};
use crate::cel::syntax::Binary;
use crate::cel::value::{Bag, List, Map, Value};

/// Evaluates `node` and gives its value to `look`, which cannot keep it.
pub(super) fn run<T>(
    node: &Node,
    regexes: &[Regex],
    subject: &impl Subject,
    look: impl FnOnce(Result<Value<'_>, Failure>) -> T,
) -> T {
    // It takes memory only where something is computed that is not borrowed.
    let arena = Bump::new();
    arena.set_allocation_limit(Some(EXPRESSION_MEMORY_MAX));
    let run = Run { subject, arena: &arena, regexes, budget: Budget::new() };
    look(run.value(node, None))
}

/// One run of an expression.
pub(super) struct Run<'v, S> {
    subject: &'v S,
    pub arena: &'v Bump,
    regexes: &'v [Regex],
    pub budget: Budget,
}

/// The variable of a macro and those around it.
#[derive(Clone, Copy)]
struct Frame<'f, 'v> {
    value: Value<'v>,
    outer: Option<&'f Frame<'f, 'v>>,
}

type Frames<'f, 'v> = Option<&'f Frame<'f, 'v>>;

impl<'v, S: Subject> Run<'v, S> {
    fn value(&self, node: &'v Node, frames: Frames<'_, 'v>) -> Result<Value<'v>, Failure> {
        self.budget.step()?;
        match node {
            Node::Constant(constant) => Ok(constant.value()),
            Node::Attribute(attribute) => self.subject.attribute(*attribute, self.arena),
            Node::Bag(bag) => Ok(Value::Map(Map::Bag(*bag))),
            Node::Member(bag, name) => self.member(*bag, name)?.ok_or(Failure::NoMember),
            Node::HasMember(bag, name) => Ok(Value::Bool(self.member(*bag, name)?.is_some())),
            Node::Variable(depth) => variable(frames, *depth),
            Node::Select(operand, name) => {
                let operand = self.value(operand, frames)?;
                self.entry(operand, Value::Text(name))?.ok_or(Failure::NoMember)
            }
            Node::Has(operand, name) => {
                let operand = self.value(operand, frames)?;
                Ok(Value::Bool(self.entry(operand, Value::Text(name))?.is_some()))
            }
            Node::Index(parts) => self.index(&parts[0], &parts[1], frames),
            Node::OptionalIndex(parts) => self.optional(&parts[0], &parts[1], frames),
            Node::Not(inner) => Ok(Value::Bool(!self.truth(inner, frames)?)),
            Node::Negate(inner) => arithmetic::negated(self.value(inner, frames)?),
            Node::All(sides) => self.sides(sides, false, frames),
            Node::Any(sides) => self.sides(sides, true, frames),
            Node::If(parts) => {
                let [condition, then, other] = &**parts;
                self.value(if self.truth(condition, frames)? { then } else { other }, frames)
            }
            Node::Binary(binary, parts) => {
                let (one, two) = (self.value(&parts[0], frames)?, self.value(&parts[1], frames)?);
                self.binary(*binary, one, two)
            }
            Node::OneOf(inner, texts) => match self.value(inner, frames)? {
                Value::Text(text) => Ok(Value::Bool(texts.binary_search_by(|own| (**own).cmp(text)).is_ok())),
                _ => Ok(Value::Bool(false)),
            },
            Node::List(items) => {
                let mut values: SmallVec<[Value<'v>; 8]> = SmallVec::new();
                for item in items {
                    values.push(self.value(item, frames)?);
                }
                Ok(Value::List(List::Values(self.kept(&values)?)))
            }
            Node::Map(pairs) => self.map(pairs, frames),
            Node::Call(function, arguments) => {
                let mut values = [Value::Null; calls::ARGUMENTS_MAX];
                for (slot, argument) in values.iter_mut().zip(arguments) {
                    *slot = self.value(argument, frames)?;
                }
                calls::call(*function, &values[..arguments.len()], self.arena, &self.budget, |bag| {
                    Ok(self.subject.names(bag, self.arena)?.len())
                })
            }
            Node::Matches(inner, at) => {
                let Value::Text(text) = self.value(inner, frames)? else { return Err(Failure::NoOverload) };
                self.budget.bytes(text.len())?;
                Ok(Value::Bool(self.regexes[*at].is_match(text)))
            }
            Node::Within(inner, set) => {
                let Value::Text(text) = self.value(inner, frames)? else { return Err(Failure::NoOverload) };
                let address: IpAddr = text.parse().map_err(|_| Failure::Unreadable)?;
                Ok(Value::Bool(set.contains(address)))
            }
            Node::Macro(inner) => self.fold(inner, frames),
        }
    }

    fn truth(&self, node: &'v Node, frames: Frames<'_, 'v>) -> Result<bool, Failure> {
        match self.value(node, frames)? {
            Value::Bool(truth) => Ok(truth),
            _ => Err(Failure::NoOverload),
        }
    }

    /// The sides of `&&` (of which `false` decides) or `||` (of which `true` does). A failure counts only where no side
    /// decides.
    // tidy(bool): it is the value that decides.
    fn sides(&self, sides: &'v [Node], decides: bool, frames: Frames<'_, 'v>) -> Result<Value<'v>, Failure> {
        let mut failed = None;
        for side in sides {
            match self.truth(side, frames) {
                Ok(truth) if truth == decides => return Ok(Value::Bool(decides)),
                Ok(_) => {}
                Err(failure) if failure.is_final() => return Err(failure),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        failed.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn binary(&self, binary: Binary, one: Value<'v>, two: Value<'v>) -> Result<Value<'v>, Failure> {
        let ordered = || one.compare(two);
        Ok(Value::Bool(match binary {
            Binary::Equal => one.equals(two, &self.budget)?,
            Binary::NotEqual => !one.equals(two, &self.budget)?,
            Binary::Less => ordered()?.is_some_and(|order| order.is_lt()),
            Binary::LessOrEqual => ordered()?.is_some_and(|order| order.is_le()),
            Binary::Greater => ordered()?.is_some_and(|order| order.is_gt()),
            Binary::GreaterOrEqual => ordered()?.is_some_and(|order| order.is_ge()),
            Binary::In => match two {
                Value::List(list) => list.contains(one, &self.budget)?,
                Value::Map(_) => self.entry(two, one)?.is_some(),
                _ => return Err(Failure::NoOverload),
            },
            Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
                return arithmetic::computed(binary, one, two, self.arena, &self.budget);
            }
        }))
    }

    fn member(&self, bag: Bag, name: &str) -> Result<Option<Value<'v>>, Failure> {
        self.subject.member(bag, name, self.arena)
    }

    /// The member of a map.
    fn entry(&self, map: Value<'v>, key: Value<'v>) -> Result<Option<Value<'v>>, Failure> {
        match (map, key) {
            (Value::Map(Map::Bag(bag)), Value::Text(name)) => self.member(bag, name),
            (Value::Map(map), key) => map.held(key, &self.budget),
            _ => Err(Failure::NoOverload),
        }
    }

    /// The item of a list, or the member of a map.
    fn found(&self, operand: Value<'v>, key: Value<'v>) -> Result<Option<Value<'v>>, Failure> {
        let Value::List(list) = operand else { return self.entry(operand, key) };
        let at = match key {
            Value::Int(at) => usize::try_from(at).ok(),
            Value::Uint(at) => usize::try_from(at).ok(),
            Value::Double(at) if at.fract() == 0.0 && at >= 0.0 => Some(at as usize),
            Value::Double(_) => None,
            _ => return Err(Failure::NoOverload),
        };
        Ok(at.and_then(|at| list.item(at)))
    }

    fn index(&self, operand: &'v Node, key: &'v Node, frames: Frames<'_, 'v>) -> Result<Value<'v>, Failure> {
        let (operand, key) = (self.value(operand, frames)?, self.value(key, frames)?);
        let absent = if matches!(operand, Value::List(_)) { Failure::NoItem } else { Failure::NoMember };
        self.found(operand, key)?.ok_or(absent)
    }

    fn optional(&self, operand: &'v Node, key: &'v Node, frames: Frames<'_, 'v>) -> Result<Value<'v>, Failure> {
        let (operand, key) = (self.value(operand, frames)?, self.value(key, frames)?);
        Ok(Value::Optional(match self.found(operand, key)? {
            Some(value) => Some(&self.kept(&[value])?[0]),
            None => None,
        }))
    }

    fn map(&self, pairs: &'v [(Node, Node)], frames: Frames<'_, 'v>) -> Result<Value<'v>, Failure> {
        let mut made: SmallVec<[(Value<'v>, Value<'v>); 4]> = SmallVec::new();
        for (key, value) in pairs {
            let key = self.value(key, frames)?;
            for (other, _) in &made {
                if other.equals(key, &self.budget)? {
                    return Err(Failure::Unreadable);
                }
            }
            made.push((key, self.value(value, frames)?));
        }
        let kept = self.arena.try_alloc_slice_copy(&made).map_err(|_| Failure::Memory)?;
        Ok(Value::Map(Map::Pairs(kept)))
    }

    fn kept(&self, values: &[Value<'v>]) -> Result<&'v [Value<'v>], Failure> {
        Ok(self.arena.try_alloc_slice_copy(values).map_err(|_| Failure::Memory)?)
    }

    fn fold(&self, inner: &'v Macro, frames: Frames<'_, 'v>) -> Result<Value<'v>, Failure> {
        let mut found = Found { failed: None, count: 0, values: SmallVec::new() };
        let mut visit = |value: Value<'v>| self.visit(inner, Frame { value, outer: frames }, &mut found);
        let over = self.value(&inner.over, frames)?;
        let decided = match over {
            Value::List(list) => first(list.iter(), &mut visit)?,
            Value::Map(Map::Bag(bag)) => first(self.subject.names(bag, self.arena)?.iter().copied(), &mut visit)?,
            Value::Map(map) => first(map.pairs().map(|(key, _)| key), &mut visit)?,
            _ => return Err(Failure::NoOverload),
        };
        if let Some(truth) = decided {
            return Ok(Value::Bool(truth));
        }
        if let Some(failure) = found.failed {
            return Err(failure);
        }
        Ok(match inner.kind {
            MacroKind::All => Value::Bool(true),
            MacroKind::Exists => Value::Bool(false),
            MacroKind::ExistsOne => Value::Bool(found.count == 1),
            MacroKind::Map | MacroKind::Filter => Value::List(List::Values(self.kept(&found.values)?)),
        })
    }

    /// One item of a macro; the truth that decides about the whole, if this item does.
    fn visit(&self, inner: &'v Macro, frame: Frame<'_, 'v>, found: &mut Found<'v>) -> Result<Option<bool>, Failure> {
        if let Some(filter) = &inner.filter
            && !self.truth(filter, Some(&frame))?
        {
            return Ok(None);
        }
        if inner.kind == MacroKind::Map {
            let value = self.value(&inner.body, Some(&frame))?;
            return found.push(value);
        }
        let holds = self.truth(&inner.body, Some(&frame));
        match (inner.kind, holds) {
            (MacroKind::All, Ok(false)) => Ok(Some(false)),
            (MacroKind::Exists, Ok(true)) => Ok(Some(true)),
            (MacroKind::All | MacroKind::Exists, Err(failure)) if !failure.is_final() => {
                found.failed = found.failed.or(Some(failure));
                Ok(None)
            }
            (_, Err(failure)) => Err(failure),
            (MacroKind::ExistsOne, Ok(holds)) => {
                found.count += usize::from(holds);
                Ok(None)
            }
            (MacroKind::Filter, Ok(true)) => found.push(frame.value),
            (MacroKind::All | MacroKind::Exists | MacroKind::Filter | MacroKind::Map, Ok(_)) => Ok(None),
        }
    }
}

/// What a macro found so far.
struct Found<'v> {
    failed: Option<Failure>,
    count: usize,
    values: SmallVec<[Value<'v>; 8]>,
}

impl<'v> Found<'v> {
    fn push(&mut self, value: Value<'v>) -> Result<Option<bool>, Failure> {
        if self.values.len() * size_of::<Value<'_>>() >= EXPRESSION_MEMORY_MAX {
            return Err(Failure::Memory);
        }
        self.values.push(value);
        Ok(None)
    }
}

fn first<'v>(
    values: impl Iterator<Item = Value<'v>>,
    visit: &mut impl FnMut(Value<'v>) -> Result<Option<bool>, Failure>,
) -> Result<Option<bool>, Failure> {
    for value in values {
        if let Some(truth) = visit(value)? {
            return Ok(Some(truth));
        }
    }
    Ok(None)
}

fn variable<'v>(mut frames: Frames<'_, 'v>, depth: usize) -> Result<Value<'v>, Failure> {
    for _ in 0..depth {
        frames = frames.and_then(|frame| frame.outer);
    }
    debug_assert!(frames.is_some(), "the checker counts the macros around a variable");
    frames.map(|frame| frame.value).ok_or(Failure::NoMember)
}

impl Constant {
    fn value(&self) -> Value<'_> {
        match self {
            Constant::Null => Value::Null,
            Constant::Bool(truth) => Value::Bool(*truth),
            Constant::Int(number) => Value::Int(*number),
            Constant::Uint(number) => Value::Uint(*number),
            Constant::Double(number) => Value::Double(*number),
            Constant::Text(text) => Value::Text(text),
            Constant::Bytes(bytes) => Value::Bytes(bytes),
            Constant::Time(time) => Value::Time(*time),
            Constant::Span(span) => Value::Span(*span),
            Constant::Type(kind) => Value::Type(*kind),
        }
    }
}
