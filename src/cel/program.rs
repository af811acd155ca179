// SPDX-License-Identifier: Apache-2.0
//! An expression that is compiled once and evaluated for each request.

use std::sync::Arc;

use regex::Regex;

use crate::cel::attribute::{Attribute, Subject};
use crate::cel::budget::Failure;
use crate::cel::check::{Checker, Environment};
use crate::cel::evaluate::run;
use crate::cel::node::{Constant, Node, Uses};
use crate::cel::parse::parse;
use crate::cel::syntax::Fault;
use crate::cel::types::Kind;
use crate::cel::value::Value;

/// A compiled expression. A clone has scratch memory for its patterns of its own, so each shard has a clone.
#[derive(Clone, Debug)]
pub struct Program {
    text: Arc<str>,
    root: Arc<Node>,
    regexes: Box<[Regex]>,
    uses: Uses,
}

impl Program {
    /// Compiles `text`, which is to give a bool.
    pub fn compile(text: &str, environment: &Environment) -> Result<Program, Fault> {
        Program::giving(&[Kind::Bool], "a bool", text, environment)
    }

    /// Compiles `text`, which is to give a number.
    pub fn compile_number(text: &str, environment: &Environment) -> Result<Program, Fault> {
        Program::giving(&[Kind::Int, Kind::Uint, Kind::Double], "a number", text, environment)
    }

    fn giving(kinds: &[Kind], expected: &str, text: &str, environment: &Environment) -> Result<Program, Fault> {
        let syntax = parse(text)?;
        let mut checker = Checker::new(environment);
        let (root, kind) = checker.check(&syntax)?;
        if kind.kind().is_some_and(|kind| !kinds.contains(&kind)) {
            let title = format!("this gives a {kind}, and {expected} is expected here");
            return Err(Fault::new(syntax.at, syntax.len, title));
        }
        Ok(Program { text: text.into(), root: Arc::new(root), regexes: checker.regexes.into(), uses: checker.uses })
    }

    /// The truth that it gives for `subject`.
    pub fn holds(&self, subject: &impl Subject) -> Result<bool, Failure> {
        run(&self.root, &self.regexes, subject, |value| match value? {
            Value::Bool(truth) => Ok(truth),
            _ => Err(Failure::NoOverload),
        })
    }

    /// The number that it gives for `subject`, as near as a double is to it.
    pub fn number(&self, subject: &impl Subject) -> Result<f64, Failure> {
        run(&self.root, &self.regexes, subject, |value| match value? {
            Value::Int(number) => Ok(number as f64),
            Value::Uint(number) => Ok(number as f64),
            Value::Double(number) => Ok(number),
            _ => Err(Failure::NoOverload),
        })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The truth that it has whatever the request is.
    pub fn constant(&self) -> Option<bool> {
        match *self.root {
            Node::Constant(Constant::Bool(truth)) => Some(truth),
            _ => None,
        }
    }

    /// Does it name the route, which is not known before routing, or what depends on it?
    pub fn names_route(&self) -> bool {
        self.names(Attribute::Route) || self.names(Attribute::Plan)
    }

    /// Does it name this?
    pub fn names(&self, attribute: Attribute) -> bool {
        self.uses.has(attribute)
    }

    /// Does it ask who calls?
    pub fn names_consumer(&self) -> bool {
        self.uses.consumer
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Program) -> bool {
        self.text == other.text
    }
}

impl Eq for Program {}
