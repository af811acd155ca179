// SPDX-License-Identifier: Apache-2.0
//! Resolves the names of an expression, checks its types as far as they are known, and makes nodes of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use crate::base::NetworkSet;
use crate::base::limits::{EXPRESSION_NODES_MAX, REGEX_PROGRAM_BYTES_MAX};
use crate::cel::attribute::{GLOBALS, Named, OBJECTS};
use crate::cel::functions::{Function, SIGNATURES, SPECIAL, Signature, Style};
use crate::cel::node::{Constant, Macro, MacroKind, Node, Uses};
use crate::cel::syntax::{Binary, Expr, Fault, Optional, Syntax};
use crate::cel::time;
use crate::cel::types::{Kind, Kinds, Type};
use crate::cel::value::Bag;

/// What expressions may name beside the request.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Sets of addresses, by name.
    pub sets: HashMap<String, Arc<NetworkSet>>,
}

/// What checks one expression.
pub(super) struct Checker<'e> {
    environment: &'e Environment,
    /// The variables of the macros around what is being checked; the last is the innermost.
    variables: Vec<(String, Type)>,
    nodes: usize,
    pub regexes: Vec<Regex>,
    pub uses: Uses,
}

type Checked = Result<(Node, Type), Fault>;

impl<'e> Checker<'e> {
    pub(super) fn new(environment: &'e Environment) -> Checker<'e> {
        Checker { environment, variables: Vec::new(), nodes: 0, regexes: Vec::new(), uses: Uses::default() }
    }

    /// Makes a node of `expr`, with its type.
    pub(super) fn check(&mut self, expr: &Expr) -> Checked {
        self.nodes += 1;
        if self.nodes > EXPRESSION_NODES_MAX {
            return Err(fault(expr, format!("an expression has at most {EXPRESSION_NODES_MAX} parts")));
        }
        let constant = |constant, kind| Ok((Node::Constant(constant), Type::Plain(kind)));
        match &expr.syntax {
            Syntax::Null => constant(Constant::Null, Kind::Null),
            Syntax::Bool(truth) => constant(Constant::Bool(*truth), Kind::Bool),
            Syntax::Int(number) => constant(Constant::Int(*number), Kind::Int),
            Syntax::Uint(number) => constant(Constant::Uint(*number), Kind::Uint),
            Syntax::Double(number) => constant(Constant::Double(*number), Kind::Double),
            Syntax::Text(text) => constant(Constant::Text(text.as_str().into()), Kind::Text),
            Syntax::Bytes(bytes) => constant(Constant::Bytes(bytes.as_slice().into()), Kind::Bytes),
            Syntax::Name(name) => self.name(expr, name),
            Syntax::Select { operand, name, optional } => self.select(expr, operand, name, *optional),
            Syntax::Index { operand, key, optional } => self.index(expr, operand, key, *optional),
            Syntax::Call { target, name, arguments } => self.call(expr, target.as_deref(), name, arguments),
            Syntax::Not(operand) => {
                let node = self.of_kind(operand, Kinds::of(&[Kind::Bool]), "`!` wants a bool")?.0;
                Ok((Node::Not(Box::new(node)).folded(), Type::BOOL))
            }
            Syntax::Negate(operand) => {
                let numbers = Kinds::of(&[Kind::Int, Kind::Double]);
                let (node, kind) = self.of_kind(operand, numbers, "`-` wants an int or a double")?;
                Ok((Node::Negate(Box::new(node)).folded(), kind))
            }
            Syntax::All(sides) => Ok((Node::All(self.sides(sides, "&&")?).folded(), Type::BOOL)),
            Syntax::Any(sides) => Ok((Node::Any(self.sides(sides, "||")?).folded(), Type::BOOL)),
            Syntax::Binary(binary, sides) => self.binary(expr, *binary, &sides[0], &sides[1]),
            Syntax::Conditional(parts) => {
                let [condition, then, other] = &**parts;
                let condition =
                    self.of_kind(condition, Kinds::of(&[Kind::Bool]), "what stands before `?` is a bool")?.0;
                let ((then, one), (other, two)) = (self.check(then)?, self.check(other)?);
                Ok((Node::If(Box::new([condition, then, other])).folded(), one.joined(&two)))
            }
            Syntax::List(items) => {
                let (nodes, kind) = self.items(items.iter())?;
                Ok((Node::List(nodes), Type::List(Box::new(kind))))
            }
            Syntax::Map(entries) => {
                let keys = Kinds::of(&[Kind::Bool, Kind::Int, Kind::Uint, Kind::Text]);
                let mut pairs = Vec::with_capacity(entries.len());
                let (mut keyed, mut kind) = (None, None);
                for (key, value) in entries {
                    let (key, key_kind) = self.of_kind(key, keys, "a key is a bool, int, uint or string")?;
                    let (value, value_kind) = self.check(value)?;
                    keyed = Some(keyed.map_or(key_kind.clone(), |before: Type| before.joined(&key_kind)));
                    kind = Some(kind.map_or(value_kind.clone(), |before: Type| before.joined(&value_kind)));
                    pairs.push((key, value));
                }
                // Only maps by text have a type of their own.
                let kind =
                    if keyed == Some(Type::TEXT) { Type::Map(Box::new(kind.unwrap_or(Type::Dyn))) } else { Type::Dyn };
                Ok((Node::Map(pairs.into()), kind))
            }
        }
    }

    fn items<'x>(&mut self, items: impl Iterator<Item = &'x Expr>) -> Result<(Box<[Node]>, Type), Fault> {
        let (mut nodes, mut kind) = (Vec::new(), None);
        for item in items {
            let (node, own) = self.check(item)?;
            kind = Some(kind.map_or(own.clone(), |before: Type| before.joined(&own)));
            nodes.push(node);
        }
        Ok((nodes.into(), kind.unwrap_or(Type::Dyn)))
    }

    fn sides(&mut self, sides: &[Expr], operator: &str) -> Result<Box<[Node]>, Fault> {
        let wanted = format!("`{operator}` wants a bool on each side");
        sides.iter().map(|side| Ok(self.of_kind(side, Kinds::of(&[Kind::Bool]), &wanted)?.0)).collect()
    }

    fn of_kind(&mut self, expr: &Expr, kinds: Kinds, wanted: &str) -> Checked {
        let (node, kind) = self.check(expr)?;
        if kind.may_be(kinds) { Ok((node, kind)) } else { Err(fault(expr, format!("{wanted}, and this is a {kind}"))) }
    }

    fn name(&mut self, expr: &Expr, name: &str) -> Checked {
        let mut variables = self.variables.iter().rev().enumerate();
        if let Some((depth, (_, kind))) = variables.find(|(_, (own, _))| own == name) {
            return Ok((Node::Variable(depth), kind.clone()));
        }
        if let Some((_, attribute)) = GLOBALS.iter().find(|(own, _)| *own == name) {
            return Ok(self.named(Named::Attribute(*attribute)));
        }
        if let Some((_, kind)) = Kind::NAMED.iter().find(|(own, _)| *own == name) {
            return Ok((Node::Constant(Constant::Type(*kind)), Type::Plain(Kind::Type)));
        }
        if let Some((_, fields)) = OBJECTS.iter().find(|(own, _)| *own == name) {
            let fields: Vec<String> = fields.iter().map(|(field, _)| format!("{name}.{field}")).collect();
            return Err(fault(expr, format!("`{name}` is no value by itself")).help(fields.join(", ")));
        }
        let known = OBJECTS.iter().map(|(name, _)| *name).chain(GLOBALS.iter().map(|(name, _)| *name));
        Err(Fault::unknown(expr.at, format!("nothing is called `{name}`"), name, known.collect()))
    }

    fn named(&mut self, named: Named) -> (Node, Type) {
        let kind = named.type_of();
        match named {
            Named::Attribute(attribute) => {
                self.uses.add(attribute);
                (Node::Attribute(attribute), kind)
            }
            Named::Bag(bag) => {
                self.uses.consumer |= bag == Bag::Attributes;
                (Node::Bag(bag), kind)
            }
        }
    }

    /// The field that `operand.name` is, if `operand` names one of the gateway's objects.
    fn field(&mut self, expr: &Expr, operand: &Expr, name: &str) -> Result<Option<(Node, Type)>, Fault> {
        let Syntax::Name(object) = &operand.syntax else { return Ok(None) };
        if self.variables.iter().any(|(variable, _)| variable == object) {
            return Ok(None);
        }
        let Some((_, fields)) = OBJECTS.iter().find(|(own, _)| own == object) else { return Ok(None) };
        match fields.iter().find(|(field, _)| *field == name) {
            Some((_, named)) => Ok(Some(self.named(*named))),
            None => {
                let known = fields.iter().map(|(field, _)| *field).collect();
                Err(Fault::unknown(expr.at, format!("`{object}` has no `{name}`"), name, known))
            }
        }
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, name: &str, optional: Optional) -> Checked {
        if let Some(field) = self.field(expr, operand, name)? {
            return match optional {
                Optional::No => Ok(field),
                Optional::Yes => Err(fault(expr, format!("`{name}` is always there, so it is written without `?`"))),
            };
        }
        let maps = Kinds::of(&[Kind::Map]);
        let (node, kind) = self.of_kind(operand, maps, "only maps and objects have members by name")?;
        let inner = if let Type::Map(inner) = kind { *inner } else { Type::Dyn };
        let name = Box::from(name);
        Ok(match (optional, node) {
            (Optional::No, Node::Bag(bag)) => (Node::Member(bag, lowered(bag, &name)), inner),
            (Optional::No, node) => (Node::Select(Box::new(node), name), inner),
            (Optional::Yes, node) => {
                let key = Node::Constant(Constant::Text(name));
                (Node::OptionalIndex(Box::new([node, key])), Type::Optional(Box::new(inner)))
            }
        })
    }

    fn index(&mut self, expr: &Expr, operand: &Expr, key: &Expr, optional: Optional) -> Checked {
        let (node, kind) =
            self.of_kind(operand, Kinds::of(&[Kind::List, Kind::Map]), "`[...]` wants a list or a map")?;
        let (key, key_kind) = self.check(key)?;
        let (inner, keys, wanted) = match kind {
            Type::List(inner) => {
                (*inner, Kinds::of(&[Kind::Int, Kind::Uint, Kind::Double]), "a list is indexed by a number")
            }
            Type::Map(inner) => (*inner, Kinds::of(&[Kind::Text]), "this map is indexed by a string"),
            Type::Dyn | Type::Plain(_) | Type::Optional(_) => (Type::Dyn, Kinds::ANY, ""),
        };
        if !key_kind.may_be(keys) {
            return Err(fault(expr, format!("{wanted}, and this is a {key_kind}")));
        }
        Ok(match (optional, node, key) {
            (Optional::No, Node::Bag(bag), Node::Constant(Constant::Text(name))) => {
                (Node::Member(bag, lowered(bag, &name)), inner)
            }
            (Optional::No, node, key) => (Node::Index(Box::new([node, key])).folded(), inner),
            (Optional::Yes, node, key) => (Node::OptionalIndex(Box::new([node, key])), Type::Optional(Box::new(inner))),
        })
    }

    fn binary(&mut self, expr: &Expr, binary: Binary, left: &Expr, right: &Expr) -> Checked {
        let ((left, one), (right, two)) = (self.check(left)?, self.check(right)?);
        let wrong = || fault(expr, format!("`{}` does not take {one} and {two}", binary.text()));
        let kind = match binary {
            Binary::Equal | Binary::NotEqual if one.meets(&two) => Type::BOOL,
            Binary::Equal | Binary::NotEqual => {
                return Err(fault(expr, format!("a {one} and a {two} are never equal")));
            }
            Binary::In => match &two {
                Type::Dyn => Type::BOOL,
                Type::List(inner) if inner.meets(&one) => Type::BOOL,
                Type::Map(_) if one.may_be(Kinds::of(&[Kind::Text])) => Type::BOOL,
                Type::List(_) | Type::Map(_) | Type::Plain(_) | Type::Optional(_) => return Err(wrong()),
            },
            Binary::Less | Binary::LessOrEqual | Binary::Greater | Binary::GreaterOrEqual => {
                let ordered = Kinds::of(&[
                    Kind::Bool,
                    Kind::Int,
                    Kind::Uint,
                    Kind::Double,
                    Kind::Text,
                    Kind::Bytes,
                    Kind::Time,
                    Kind::Span,
                ]);
                if !one.meets(&two) || !one.may_be(ordered) || !two.may_be(ordered) {
                    return Err(wrong());
                }
                Type::BOOL
            }
            Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Remainder => {
                sum(binary, &one, &two).ok_or_else(wrong)?
            }
        };
        let node = match (binary, left, right) {
            (Binary::In, Node::Constant(Constant::Text(name)), Node::Bag(bag)) => {
                Node::HasMember(bag, lowered(bag, &name))
            }
            (Binary::In, left, right) => match texts(&right) {
                Some(sorted) if one == Type::TEXT => Node::OneOf(Box::new(left), sorted),
                _ => Node::Binary(binary, Box::new([left, right])),
            },
            (binary, left, right) => Node::Binary(binary, Box::new([left, right])),
        };
        Ok((node.folded(), kind))
    }

    fn call(&mut self, expr: &Expr, target: Option<&Expr>, name: &str, arguments: &[Expr]) -> Checked {
        match (target, name, arguments) {
            (None, "has", [Expr { syntax: Syntax::Select { operand, name, optional: Optional::No }, at, .. }]) => {
                return self.has(expr, operand, name, *at);
            }
            (Some(text), "matches", [pattern]) | (None, "matches", [text, pattern]) => {
                return self.matches(text, pattern);
            }
            (Some(address), "inNetwork", [network]) | (None, "inNetwork", [address, network]) => {
                return self.in_network(address, network);
            }
            (Some(address), "inSet", [set]) | (None, "inSet", [address, set]) => return self.in_set(address, set),
            (Some(over), _, [variable, rest @ ..]) => {
                if let Some(kind) = macro_kind(name, rest.len()) {
                    return self.fold(over, kind, variable, rest);
                }
            }
            _ => {}
        }
        let style = if target.is_some() { Style::Method } else { Style::Global };
        let mut of_name =
            SIGNATURES.iter().filter(|signature| signature.name == name && signature.style == style).peekable();
        if of_name.peek().is_none() {
            return Err(self.no_function(expr, name, style));
        }
        let (mut nodes, mut kinds) = (Vec::new(), Vec::new());
        for argument in target.into_iter().chain(arguments) {
            let (node, kind) = self.check(argument)?;
            nodes.push(node);
            kinds.push(kind);
        }
        let takes = |signature: &&Signature| {
            let wanted = signature.arguments.iter();
            signature.arguments.len() == kinds.len() && wanted.zip(&kinds).all(|(wanted, kind)| kind.may_be(*wanted))
        };
        let Some(signature) = of_name.find(takes) else {
            let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
            return Err(fault(expr, format!("`{name}` does not take ({})", kinds.join(", "))));
        };
        let is_date = matches!(signature.arguments, [first, _] if first.has(Kind::Time));
        if is_date
            && let Some(Node::Constant(Constant::Text(zone))) = nodes.get(1)
            && time::offset(zone).is_none()
        {
            let report = fault(expr, format!("`{zone}` is no time zone that is known here"));
            return Err(report.help("`UTC`, or an offset such as `+02:00`"));
        }
        let kind = signature.type_of(&kinds);
        let constant = nodes.iter().all(|node| matches!(node, Node::Constant(_)));
        let node = Node::Call(signature.function, nodes.into()).folded();
        if constant
            && signature.function != Function::Dyn
            && !matches!(node, Node::Constant(_))
            && kind.kind() != Some(Kind::List)
        {
            return Err(fault(expr, format!("`{name}` cannot make anything of this")));
        }
        Ok((node, kind))
    }

    fn no_function(&self, expr: &Expr, name: &str, style: Style) -> Fault {
        let special = SPECIAL.iter().find(|(own, _)| *own == name);
        if let Some((_, usage)) = special {
            return fault(expr, format!("`{name}` is not called like this")).help((*usage).to_owned());
        }
        let other = SIGNATURES.iter().find(|signature| signature.name == name);
        if other.is_some() {
            let usage = if style == Style::Method { format!("{name}(VALUE)") } else { format!("VALUE.{name}(…)") };
            return fault(expr, format!("`{name}` is not called like this")).help(usage);
        }
        let known = SIGNATURES.iter().map(|signature| signature.name).chain(SPECIAL.iter().map(|(name, _)| *name));
        Fault::unknown(expr.at, format!("there is no function `{name}`"), name, known.collect())
    }

    fn has(&mut self, expr: &Expr, operand: &Expr, name: &str, at: usize) -> Checked {
        let named = Expr { at, len: name.len(), ..expr.clone() };
        if self.field(&named, operand, name)?.is_some() {
            // Fields of the gateway's objects always exist; whether they are empty is another question.
            return Err(fault(&named, format!("`{name}` always exists")).help("`!= \"\"` asks whether it is empty"));
        }
        let (node, _) = self.of_kind(operand, Kinds::of(&[Kind::Map]), "`has` asks for a member of a map")?;
        let node = match node {
            Node::Bag(bag) => Node::HasMember(bag, lowered(bag, name)),
            node => Node::Has(Box::new(node), name.into()),
        };
        Ok((node, Type::BOOL))
    }

    fn constant_text(&mut self, expr: &Expr, what: &str) -> Result<Box<str>, Fault> {
        match self.check(expr)?.0 {
            Node::Constant(Constant::Text(text)) => Ok(text),
            _ => Err(fault(expr, format!("{what} is a constant string, so that it can be compiled once"))),
        }
    }

    fn matches(&mut self, text: &Expr, pattern: &Expr) -> Checked {
        let node = self.of_kind(text, Kinds::of(&[Kind::Text]), "`matches` wants a string")?.0;
        let written = self.constant_text(pattern, "a pattern")?;
        let regex = RegexBuilder::new(&written).size_limit(REGEX_PROGRAM_BYTES_MAX).build();
        let regex = regex.map_err(|error| fault(pattern, "not a regular expression").help(error.to_string()))?;
        self.regexes.push(regex);
        Ok((Node::Matches(Box::new(node), self.regexes.len() - 1), Type::BOOL))
    }

    fn in_network(&mut self, address: &Expr, written: &Expr) -> Checked {
        let node = self.of_kind(address, Kinds::of(&[Kind::Text]), "an address is a string")?.0;
        let text = self.constant_text(written, "a network")?;
        let set = network(&text).ok_or_else(|| {
            fault(written, format!("`{text}` is no network")).help("10.0.0.0/8, 2001:db8::/32, or an address")
        })?;
        Ok((Node::Within(Box::new(node), set), Type::BOOL))
    }

    fn in_set(&mut self, address: &Expr, name: &Expr) -> Checked {
        let node = self.of_kind(address, Kinds::of(&[Kind::Text]), "an address is a string")?.0;
        let text = self.constant_text(name, "the name of a set")?;
        let set = self.environment.sets.get(&*text);
        let set = set.ok_or_else(|| fault(name, format!("no `[ip_set.{text}]` is there")))?;
        Ok((Node::Within(Box::new(node), set.clone()), Type::BOOL))
    }

    fn fold(&mut self, over: &Expr, kind: MacroKind, variable: &Expr, rest: &[Expr]) -> Checked {
        let Syntax::Name(name) = &variable.syntax else {
            return Err(fault(variable, "a macro begins with the name of its variable"));
        };
        let (node, over_kind) =
            self.of_kind(over, Kinds::of(&[Kind::List, Kind::Map]), "a macro wants a list or a map")?;
        let item = match &over_kind {
            Type::List(inner) => (**inner).clone(),
            Type::Map(_) => Type::TEXT,
            Type::Dyn | Type::Plain(_) | Type::Optional(_) => Type::Dyn,
        };
        self.variables.push((name.clone(), item.clone()));
        let made = self.bodies(kind, rest);
        self.variables.pop();
        let (filter, body, body_kind) = made?;
        let gives = match kind {
            MacroKind::All | MacroKind::Exists | MacroKind::ExistsOne => Type::BOOL,
            MacroKind::Map => Type::List(Box::new(body_kind)),
            MacroKind::Filter => Type::List(Box::new(item)),
        };
        Ok((Node::Macro(Box::new(Macro { over: node, kind, body, filter })), gives))
    }

    fn bodies(&mut self, kind: MacroKind, rest: &[Expr]) -> Result<(Option<Node>, Node, Type), Fault> {
        let truth = Kinds::of(&[Kind::Bool]);
        let (filter, body) = match rest {
            [filter, body] => (Some(self.of_kind(filter, truth, "the condition is a bool")?.0), body),
            [body, ..] => (None, body),
            [] => unreachable_body()?,
        };
        let kinds = if kind == MacroKind::Map { Kinds::ANY } else { truth };
        let (body, kind) = self.of_kind(body, kinds, "the condition is a bool")?;
        Ok((filter, body, kind))
    }
}

/// `macro_kind` admits no macro without a body.
fn unreachable_body<T>() -> Result<T, Fault> {
    Err(Fault::new(0, 1, "a macro without a body"))
}

/// The macro of that name with so many arguments behind its variable.
fn macro_kind(name: &str, arguments: usize) -> Option<MacroKind> {
    let kind = match name {
        "all" => MacroKind::All,
        "exists" => MacroKind::Exists,
        "exists_one" | "existsOne" => MacroKind::ExistsOne,
        "map" => MacroKind::Map,
        "filter" => MacroKind::Filter,
        _ => return None,
    };
    (arguments == 1 || (arguments == 2 && kind == MacroKind::Map)).then_some(kind)
}

/// The type of a sum, a difference, a product, a quotient or a remainder.
fn sum(binary: Binary, one: &Type, two: &Type) -> Option<Type> {
    let (Some(left), Some(right)) = (one.kind(), two.kind()) else { return Some(Type::Dyn) };
    let plain = |kind| Some(Type::Plain(kind));
    match (binary, left, right) {
        (Binary::Remainder, Kind::Double, _) => None,
        (_, left, right) if left == right && left.is_number() => plain(left),
        (Binary::Add, Kind::Text, Kind::Text) => plain(Kind::Text),
        (Binary::Add, Kind::Bytes, Kind::Bytes) => plain(Kind::Bytes),
        (Binary::Add, Kind::List, Kind::List) => Some(one.clone().joined(two)).map(|kind| match kind {
            Type::Dyn => Type::List(Box::new(Type::Dyn)),
            same => same,
        }),
        (Binary::Add, Kind::Time, Kind::Span) | (Binary::Add, Kind::Span, Kind::Time) => plain(Kind::Time),
        (Binary::Subtract, Kind::Time, Kind::Span) => plain(Kind::Time),
        (Binary::Subtract, Kind::Time, Kind::Time) => plain(Kind::Span),
        (Binary::Add | Binary::Subtract, Kind::Span, Kind::Span) => plain(Kind::Span),
        _ => None,
    }
}

/// The texts of a list of nothing else, sorted.
fn texts(node: &Node) -> Option<Box<[Box<str>]>> {
    let Node::List(items) = node else { return None };
    let text = |node: &Node| if let Node::Constant(Constant::Text(text)) = node { Some(text.clone()) } else { None };
    let mut texts: Vec<Box<str>> = items.iter().map(text).collect::<Option<_>>()?;
    texts.sort();
    texts.dedup();
    Some(texts.into())
}

/// Names of headers are compared in any case; `request.headers` has them in lower case.
fn lowered(bag: Bag, name: &str) -> Box<str> {
    if bag == Bag::Headers { name.to_ascii_lowercase().into() } else { name.into() }
}

fn fault(expr: &Expr, title: impl Into<String>) -> Fault {
    Fault::new(expr.at, expr.len, title)
}

/// The set of one network, as it is written.
fn network(text: &str) -> Option<Arc<NetworkSet>> {
    let address = |text: &str| text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = text.parse::<IpNet>().ok().or_else(|| address(text))?;
    Some(Arc::new(NetworkSet::new(&[network])))
}
