// SPDX-License-Identifier: Apache-2.0
//! The functions that expressions may call: one table. What is not in it is an error when an expression is compiled.

use crate::cel::types::{Kind, Kinds, Type};

/// A function. Which of its overloads runs depends on the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    UpperAscii,
    Trim,
    Split,
    Join,
    Replace,
    Substring,
    IndexOf,
    ToInt,
    ToUint,
    ToDouble,
    ToBool,
    ToText,
    ToBytes,
    ToTime,
    ToSpan,
    TypeOf,
    Dyn,
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
    HasValue,
    OptionalValue,
    OrValue,
    Or,
}

/// How it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Method,
}

/// What it gives.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gives {
    Kind(Kind),
    /// A list of texts.
    Texts,
    /// What its optional argument holds.
    Held,
    /// The type of its first argument.
    Same,
    Dyn,
}

/// A way to call a function.
pub(super) struct Signature {
    pub name: &'static str,
    pub style: Style,
    /// The receiver is the first.
    pub arguments: &'static [Kinds],
    pub gives: Gives,
    pub function: Function,
}

impl Signature {
    /// The type of what it gives for arguments of these types.
    pub(super) fn type_of(&self, arguments: &[Type]) -> Type {
        match (self.gives, arguments.first()) {
            (Gives::Kind(kind), _) => Type::Plain(kind),
            (Gives::Texts, _) => Type::List(Box::new(Type::TEXT)),
            (Gives::Held, Some(Type::Optional(inner))) => (**inner).clone(),
            (Gives::Same, Some(same)) => same.clone(),
            (Gives::Held | Gives::Same | Gives::Dyn, _) => Type::Dyn,
        }
    }
}

const TEXT: Kinds = Kinds::of(&[Kind::Text]);
const INT: Kinds = Kinds::of(&[Kind::Int]);
const LIST: Kinds = Kinds::of(&[Kind::List]);
const TIME: Kinds = Kinds::of(&[Kind::Time]);
const TIME_OR_SPAN: Kinds = Kinds::of(&[Kind::Time, Kind::Span]);
const OPTIONAL: Kinds = Kinds::of(&[Kind::Optional]);
const SIZED: Kinds = Kinds::of(&[Kind::Text, Kind::Bytes, Kind::List, Kind::Map]);
const NUMBER_LIKE: Kinds = Kinds::of(&[Kind::Int, Kind::Uint, Kind::Double, Kind::Text]);
const INT_LIKE: Kinds = Kinds::of(&[Kind::Int, Kind::Uint, Kind::Double, Kind::Text, Kind::Time]);
const TEXT_LIKE: Kinds =
    Kinds::of(&[Kind::Int, Kind::Uint, Kind::Double, Kind::Bool, Kind::Text, Kind::Bytes, Kind::Time, Kind::Span]);

const fn global(name: &'static str, arguments: &'static [Kinds], gives: Gives, function: Function) -> Signature {
    Signature { name, style: Style::Global, arguments, gives, function }
}

const fn method(name: &'static str, arguments: &'static [Kinds], gives: Gives, function: Function) -> Signature {
    Signature { name, style: Style::Method, arguments, gives, function }
}

const GIVES_INT: Gives = Gives::Kind(Kind::Int);
const GIVES_BOOL: Gives = Gives::Kind(Kind::Bool);
const GIVES_TEXT: Gives = Gives::Kind(Kind::Text);

/// Every function but `matches`, `inNetwork` and `inSet`, whose second argument is compiled, and the macros.
pub(super) const SIGNATURES: &[Signature] = &[
    global("size", &[SIZED], GIVES_INT, Function::Size),
    method("size", &[SIZED], GIVES_INT, Function::Size),
    method("contains", &[TEXT, TEXT], GIVES_BOOL, Function::Contains),
    method("startsWith", &[TEXT, TEXT], GIVES_BOOL, Function::StartsWith),
    method("endsWith", &[TEXT, TEXT], GIVES_BOOL, Function::EndsWith),
    method("lowerAscii", &[TEXT], GIVES_TEXT, Function::LowerAscii),
    method("upperAscii", &[TEXT], GIVES_TEXT, Function::UpperAscii),
    method("trim", &[TEXT], GIVES_TEXT, Function::Trim),
    method("split", &[TEXT, TEXT], Gives::Texts, Function::Split),
    method("join", &[LIST], GIVES_TEXT, Function::Join),
    method("join", &[LIST, TEXT], GIVES_TEXT, Function::Join),
    method("replace", &[TEXT, TEXT, TEXT], GIVES_TEXT, Function::Replace),
    method("substring", &[TEXT, INT], GIVES_TEXT, Function::Substring),
    method("substring", &[TEXT, INT, INT], GIVES_TEXT, Function::Substring),
    method("indexOf", &[TEXT, TEXT], GIVES_INT, Function::IndexOf),
    global("int", &[INT_LIKE], GIVES_INT, Function::ToInt),
    global("uint", &[NUMBER_LIKE], Gives::Kind(Kind::Uint), Function::ToUint),
    global("double", &[NUMBER_LIKE], Gives::Kind(Kind::Double), Function::ToDouble),
    global("bool", &[Kinds::of(&[Kind::Bool, Kind::Text])], GIVES_BOOL, Function::ToBool),
    global("string", &[TEXT_LIKE], GIVES_TEXT, Function::ToText),
    global("bytes", &[Kinds::of(&[Kind::Bytes, Kind::Text])], Gives::Kind(Kind::Bytes), Function::ToBytes),
    global("timestamp", &[Kinds::of(&[Kind::Time, Kind::Text, Kind::Int])], Gives::Kind(Kind::Time), Function::ToTime),
    global("duration", &[Kinds::of(&[Kind::Span, Kind::Text])], Gives::Kind(Kind::Span), Function::ToSpan),
    global("type", &[Kinds::ANY], Gives::Kind(Kind::Type), Function::TypeOf),
    global("dyn", &[Kinds::ANY], Gives::Dyn, Function::Dyn),
    method("getFullYear", &[TIME], GIVES_INT, Function::FullYear),
    method("getFullYear", &[TIME, TEXT], GIVES_INT, Function::FullYear),
    method("getMonth", &[TIME], GIVES_INT, Function::Month),
    method("getMonth", &[TIME, TEXT], GIVES_INT, Function::Month),
    method("getDate", &[TIME], GIVES_INT, Function::Date),
    method("getDate", &[TIME, TEXT], GIVES_INT, Function::Date),
    method("getDayOfMonth", &[TIME], GIVES_INT, Function::DayOfMonth),
    method("getDayOfMonth", &[TIME, TEXT], GIVES_INT, Function::DayOfMonth),
    method("getDayOfWeek", &[TIME], GIVES_INT, Function::DayOfWeek),
    method("getDayOfWeek", &[TIME, TEXT], GIVES_INT, Function::DayOfWeek),
    method("getDayOfYear", &[TIME], GIVES_INT, Function::DayOfYear),
    method("getDayOfYear", &[TIME, TEXT], GIVES_INT, Function::DayOfYear),
    method("getHours", &[TIME_OR_SPAN], GIVES_INT, Function::Hours),
    method("getHours", &[TIME, TEXT], GIVES_INT, Function::Hours),
    method("getMinutes", &[TIME_OR_SPAN], GIVES_INT, Function::Minutes),
    method("getMinutes", &[TIME, TEXT], GIVES_INT, Function::Minutes),
    method("getSeconds", &[TIME_OR_SPAN], GIVES_INT, Function::Seconds),
    method("getSeconds", &[TIME, TEXT], GIVES_INT, Function::Seconds),
    method("getMilliseconds", &[TIME_OR_SPAN], GIVES_INT, Function::Milliseconds),
    method("getMilliseconds", &[TIME, TEXT], GIVES_INT, Function::Milliseconds),
    method("hasValue", &[OPTIONAL], GIVES_BOOL, Function::HasValue),
    method("value", &[OPTIONAL], Gives::Held, Function::OptionalValue),
    method("orValue", &[OPTIONAL, Kinds::ANY], Gives::Held, Function::OrValue),
    method("or", &[OPTIONAL, OPTIONAL], Gives::Same, Function::Or),
];

/// Functions that are compiled in a way of their own, with what they are called with.
pub(super) const SPECIAL: [(&str, &str); 9] = [
    ("matches", "TEXT.matches(\"PATTERN\")"),
    ("inNetwork", "inNetwork(ADDRESS, \"10.0.0.0/8\")"),
    ("inSet", "inSet(ADDRESS, \"NAME\")"),
    ("has", "has(VALUE.NAME)"),
    ("all", "LIST.all(NAME, CONDITION)"),
    ("exists", "LIST.exists(NAME, CONDITION)"),
    ("exists_one", "LIST.exists_one(NAME, CONDITION)"),
    ("map", "LIST.map(NAME, VALUE)"),
    ("filter", "LIST.filter(NAME, CONDITION)"),
];
