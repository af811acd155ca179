// SPDX-License-Identifier: Apache-2.0
//! Calls functions. What they make of texts lies in the run's arena, and what they look at is paid in steps.

use std::fmt::{self, Write};

use bumpalo::Bump;
use smallvec::SmallVec;

use crate::base::limits::EXPRESSION_MEMORY_MAX;
use crate::cel::budget::{Budget, Failure};
use crate::cel::functions::Function;
use crate::cel::time::{self, Civil, Instant, Span};
use crate::cel::value::{Bag, List, Map, Value};

/// Most arguments of a function, the receiver included.
pub(super) const ARGUMENTS_MAX: usize = 3;

/// Calls `function`. `size_of` tells how many members a map of the request has.
pub(super) fn call<'v>(
    function: Function,
    arguments: &[Value<'v>],
    arena: &'v Bump,
    budget: &Budget,
    size_of: impl FnOnce(Bag) -> Result<usize, Failure>,
) -> Result<Value<'v>, Failure> {
    let Some((first, rest)) = arguments.split_first() else { return Err(Failure::NoOverload) };
    match (function, *first, rest) {
        (Function::Dyn, value, []) => Ok(value),
        (Function::TypeOf, value, []) => Ok(Value::Type(value.kind())),
        (Function::Size, value, []) => size(value, budget, size_of),
        (Function::HasValue, Value::Optional(value), []) => Ok(Value::Bool(value.is_some())),
        (Function::OptionalValue, Value::Optional(value), []) => value.copied().ok_or(Failure::NoMember),
        (Function::OrValue, Value::Optional(value), [other]) => Ok(value.copied().unwrap_or(*other)),
        (Function::Or, Value::Optional(value), [other]) => Ok(if value.is_some() { *first } else { *other }),
        (Function::Join, Value::List(list), separator) => join(list, separator, arena, budget),
        (
            Function::ToInt
            | Function::ToUint
            | Function::ToDouble
            | Function::ToBool
            | Function::ToTime
            | Function::ToSpan,
            value,
            [],
        ) => converted(function, value),
        (Function::ToText, value, []) => to_text(value, arena, budget),
        (Function::ToBytes, Value::Text(text), []) => Ok(Value::Bytes(text.as_bytes())),
        (Function::ToBytes, Value::Bytes(bytes), []) => Ok(Value::Bytes(bytes)),
        (_, Value::Text(text), rest) => of_text(function, text, rest, arena, budget),
        (_, Value::Time(time), rest) => of_time(function, time, rest),
        (_, Value::Span(span), []) => of_span(function, span),
        _ => Err(Failure::NoOverload),
    }
}

fn int(number: usize) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn size<'v>(
    value: Value<'v>,
    budget: &Budget,
    size_of: impl FnOnce(Bag) -> Result<usize, Failure>,
) -> Result<Value<'v>, Failure> {
    Ok(int(match value {
        Value::Text(text) => {
            budget.bytes(text.len())?;
            text.chars().count()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(Map::Bag(bag)) => size_of(bag)?,
        Value::Map(map) => map.len().unwrap_or(0),
        _ => return Err(Failure::NoOverload),
    }))
}

fn of_text<'v>(
    function: Function,
    text: &'v str,
    rest: &[Value<'v>],
    arena: &'v Bump,
    budget: &Budget,
) -> Result<Value<'v>, Failure> {
    budget.bytes(text.len())?;
    Ok(match (function, rest) {
        (Function::Contains, [Value::Text(part)]) => {
            Value::Bool(memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some())
        }
        (Function::StartsWith, [Value::Text(part)]) => Value::Bool(text.starts_with(part)),
        (Function::EndsWith, [Value::Text(part)]) => Value::Bool(text.ends_with(part)),
        (Function::Trim, []) => Value::Text(text.trim()),
        (Function::IndexOf, [Value::Text(part)]) => match text.find(part) {
            Some(at) => int(text[..at].chars().count()),
            None => Value::Int(-1),
        },
        (Function::LowerAscii, []) => {
            let kept = arena.try_alloc_str(text).map_err(|_| Failure::Memory)?;
            kept.make_ascii_lowercase();
            Value::Text(kept)
        }
        (Function::UpperAscii, []) => {
            let kept = arena.try_alloc_str(text).map_err(|_| Failure::Memory)?;
            kept.make_ascii_uppercase();
            Value::Text(kept)
        }
        (Function::Substring, [Value::Int(from)]) => Value::Text(&text[place(text, *from)?..]),
        (Function::Substring, [Value::Int(from), Value::Int(to)]) => {
            let (from, to) = (place(text, *from)?, place(text, *to)?);
            Value::Text(text.get(from..to).ok_or(Failure::NoItem)?)
        }
        (Function::Split, [Value::Text(separator)]) => split(text, separator, arena, budget)?,
        (Function::Replace, [Value::Text(from), Value::Text(to)]) => {
            let mut made = Text::new(budget);
            let mut before = 0;
            for (at, part) in text.match_indices(from) {
                made.push(&text[before..at])?;
                made.push(to)?;
                before = at + part.len();
            }
            made.push(&text[before..])?;
            made.kept(arena)?
        }
        _ => return Err(Failure::NoOverload),
    })
}

/// The byte at which the character of that number begins, or the end.
fn place(text: &str, number: i64) -> Result<usize, Failure> {
    let number = usize::try_from(number).map_err(|_| Failure::NoItem)?;
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.nth(number).ok_or(Failure::NoItem)
}

fn split<'v>(text: &'v str, separator: &str, arena: &'v Bump, budget: &Budget) -> Result<Value<'v>, Failure> {
    let mut parts: SmallVec<[Value<'v>; 8]> = SmallVec::new();
    let mut push = |part: &'v str| {
        budget.step()?;
        parts.push(Value::Text(part));
        Ok(())
    };
    if separator.is_empty() {
        text.char_indices().try_for_each(|(at, letter)| push(&text[at..at + letter.len_utf8()]))?;
    } else {
        text.split(separator).try_for_each(&mut push)?;
    }
    let kept = arena.try_alloc_slice_copy(&parts).map_err(|_| Failure::Memory)?;
    Ok(Value::List(List::Values(kept)))
}

fn join<'v>(list: List<'v>, separator: &[Value<'v>], arena: &'v Bump, budget: &Budget) -> Result<Value<'v>, Failure> {
    let separator = match separator {
        [] => "",
        [Value::Text(separator)] => separator,
        _ => return Err(Failure::NoOverload),
    };
    let mut made = Text::new(budget);
    for (at, item) in list.iter().enumerate() {
        budget.step()?;
        let Value::Text(text) = item else { return Err(Failure::NoOverload) };
        made.push(if at == 0 { "" } else { separator })?;
        made.push(text)?;
    }
    made.kept(arena)
}

fn converted(function: Function, value: Value<'_>) -> Result<Value<'_>, Failure> {
    match (function, value) {
        (Function::ToInt, value) => to_int(value).map(Value::Int),
        (Function::ToUint, value) => to_uint(value).map(Value::Uint),
        (Function::ToDouble, Value::Int(number)) => Ok(Value::Double(number as f64)),
        (Function::ToDouble, Value::Uint(number)) => Ok(Value::Double(number as f64)),
        (Function::ToDouble, Value::Double(number)) => Ok(Value::Double(number)),
        (Function::ToDouble, Value::Text(text)) => text.parse().map(Value::Double).map_err(|_| Failure::Unreadable),
        (Function::ToBool, Value::Bool(truth)) => Ok(Value::Bool(truth)),
        (Function::ToBool, Value::Text("true" | "True" | "TRUE" | "t" | "1")) => Ok(Value::Bool(true)),
        (Function::ToBool, Value::Text("false" | "False" | "FALSE" | "f" | "0")) => Ok(Value::Bool(false)),
        (Function::ToBool, Value::Text(_)) => Err(Failure::Unreadable),
        (Function::ToTime, Value::Time(time)) => Ok(Value::Time(time)),
        (Function::ToTime, Value::Text(text)) => Instant::parse(text).map(Value::Time).ok_or(Failure::Unreadable),
        (Function::ToTime, Value::Int(seconds)) => {
            Instant::from_seconds(seconds).map(Value::Time).ok_or(Failure::Overflow)
        }
        (Function::ToSpan, Value::Span(span)) => Ok(Value::Span(span)),
        (Function::ToSpan, Value::Text(text)) => Span::parse(text).map(Value::Span).ok_or(Failure::Unreadable),
        _ => Err(Failure::NoOverload),
    }
}

fn to_int(value: Value<'_>) -> Result<i64, Failure> {
    match value {
        Value::Int(number) => Ok(number),
        Value::Uint(number) => i64::try_from(number).map_err(|_| Failure::Overflow),
        // The two bounds are powers of two, so doubles hold them exactly. Those next to them are refused as well, as
        // the language definition asks.
        Value::Double(number) if number > -TWO_63 && number < TWO_63 => Ok(number as i64),
        Value::Double(_) => Err(Failure::Overflow),
        Value::Text(text) => text.parse().map_err(|_| Failure::Unreadable),
        Value::Time(time) => Ok(time.seconds()),
        _ => Err(Failure::NoOverload),
    }
}

fn to_uint(value: Value<'_>) -> Result<u64, Failure> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| Failure::Overflow),
        Value::Uint(number) => Ok(number),
        Value::Double(number) if number > -1.0 && number < 2.0 * TWO_63 => Ok(number as u64),
        Value::Double(_) => Err(Failure::Overflow),
        Value::Text(text) => text.parse().map_err(|_| Failure::Unreadable),
        _ => Err(Failure::NoOverload),
    }
}

const TWO_63: f64 = 9_223_372_036_854_775_808.0;

fn to_text<'v>(value: Value<'v>, arena: &'v Bump, budget: &Budget) -> Result<Value<'v>, Failure> {
    let mut made = Text::new(budget);
    let written = match value {
        Value::Text(text) => return Ok(Value::Text(text)),
        Value::Bytes(bytes) => return std::str::from_utf8(bytes).map(Value::Text).map_err(|_| Failure::NotUtf8),
        Value::Bool(truth) => return Ok(Value::Text(if truth { "true" } else { "false" })),
        Value::Int(number) => write!(made, "{number}"),
        Value::Uint(number) => write!(made, "{number}"),
        Value::Double(number) => write!(made, "{number}"),
        Value::Time(time) => time.write(&mut made),
        Value::Span(span) => span.write(&mut made),
        _ => return Err(Failure::NoOverload),
    };
    written.map_err(|_| Failure::Memory)?;
    made.kept(arena)
}

fn of_time<'v>(function: Function, time: Instant, rest: &[Value<'v>]) -> Result<Value<'v>, Failure> {
    let offset = match rest {
        [] => 0,
        [Value::Text(zone)] => time::offset(zone).ok_or(Failure::Unreadable)?,
        _ => return Err(Failure::NoOverload),
    };
    let Civil { year, month, day, day_of_week, day_of_year, hour, minute, second, milli } = time.civil(offset);
    Ok(Value::Int(match function {
        Function::FullYear => year,
        Function::Month => month - 1,
        Function::Date => day,
        Function::DayOfMonth => day - 1,
        Function::DayOfWeek => day_of_week,
        Function::DayOfYear => day_of_year,
        Function::Hours => hour,
        Function::Minutes => minute,
        Function::Seconds => second,
        Function::Milliseconds => milli,
        _ => return Err(Failure::NoOverload),
    }))
}

fn of_span<'v>(function: Function, span: Span) -> Result<Value<'v>, Failure> {
    let nanos = span.nanos();
    let number = match function {
        Function::Hours => nanos / 3_600_000_000_000,
        Function::Minutes => nanos / 60_000_000_000,
        Function::Seconds => nanos / 1_000_000_000,
        Function::Milliseconds => nanos / 1_000_000 % 1_000,
        _ => return Err(Failure::NoOverload),
    };
    i64::try_from(number).map(Value::Int).map_err(|_| Failure::Overflow)
}

/// A text that is being made. It never grows above what a run may hold.
pub(super) struct Text<'b> {
    text: String,
    budget: &'b Budget,
}

impl<'b> Text<'b> {
    pub(super) fn new(budget: &'b Budget) -> Text<'b> {
        Text { text: String::new(), budget }
    }

    pub(super) fn push(&mut self, part: &str) -> Result<(), Failure> {
        self.budget.bytes(part.len())?;
        if self.text.len() + part.len() > EXPRESSION_MEMORY_MAX {
            return Err(Failure::Memory);
        }
        self.text.push_str(part);
        Ok(())
    }

    pub(super) fn kept<'v>(self, arena: &'v Bump) -> Result<Value<'v>, Failure> {
        Ok(Value::Text(arena.try_alloc_str(&self.text).map_err(|_| Failure::Memory)?))
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.push(part).map_err(|_| fmt::Error)
    }
}
