// SPDX-License-Identifier: Apache-2.0
//! What the parser makes of a text: a tree in which each part knows where it stands. And what can be wrong with a text.

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first byte of what is wrong.
    pub at: usize,
    /// How many bytes are.
    pub len: usize,
    /// What is wrong.
    pub title: String,
    /// What may help; empty where nothing more is to be said.
    pub help: String,
    /// A name that is not known, and those that are known in its place.
    pub unknown: Option<(String, Vec<&'static str>)>,
}

impl Fault {
    /// A fault of `len` bytes at `at`.
    pub(super) fn new(at: usize, len: usize, title: impl Into<String>) -> Fault {
        Fault { at, len, title: title.into(), help: String::new(), unknown: None }
    }

    /// With something that may help.
    pub(super) fn help(self, help: impl Into<String>) -> Fault {
        Fault { help: help.into(), ..self }
    }

    /// A name that is not among the known ones.
    pub(super) fn unknown(at: usize, title: String, name: &str, known: Vec<&'static str>) -> Fault {
        let unknown = Some((name.to_owned(), known));
        Fault { unknown, ..Fault::new(at, name.len(), title) }
    }
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    /// The first byte of what is characteristic of it: an operator, a name, a literal.
    pub at: usize,
    /// How many bytes that has.
    pub len: usize,
    /// Levels of the tree below it and it.
    pub height: u16,
    /// What it is.
    pub syntax: Syntax,
}

/// What a part of an expression is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Syntax {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Name(String),
    /// `operand.name`, or `operand.?name`.
    Select {
        operand: Box<Expr>,
        name: String,
        optional: Optional,
    },
    /// `operand[key]`, or `operand[?key]`.
    Index {
        operand: Box<Expr>,
        key: Box<Expr>,
        optional: Optional,
    },
    /// `name(arguments)`, or `target.name(arguments)`.
    Call {
        target: Option<Box<Expr>>,
        name: String,
        arguments: Vec<Expr>,
    },
    Not(Box<Expr>),
    Negate(Box<Expr>),
    /// Two or more sides of `&&`.
    All(Vec<Expr>),
    /// Two or more sides of `||`.
    Any(Vec<Expr>),
    Binary(Binary, Box<[Expr; 2]>),
    /// Condition, then, else.
    Conditional(Box<[Expr; 3]>),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
}

/// Does a missing member make the whole absent instead of failing?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Optional {
    Yes,
    No,
}

/// An operator with two sides, `&&` and `||` excepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Binary {
    /// As it is written.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Binary::Less => "<",
            Binary::LessOrEqual => "<=",
            Binary::Greater => ">",
            Binary::GreaterOrEqual => ">=",
            Binary::Equal => "==",
            Binary::NotEqual => "!=",
            Binary::In => "in",
            Binary::Add => "+",
            Binary::Subtract => "-",
            Binary::Multiply => "*",
            Binary::Divide => "/",
            Binary::Remainder => "%",
        }
    }
}
