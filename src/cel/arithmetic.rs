// SPDX-License-Identifier: Apache-2.0
//! Hot. Sums, differences, products, quotients and remainders. What is beyond a type fails instead of wrapping around.

use bumpalo::Bump;

use crate::cel::budget::{Budget, Failure};
use crate::cel::calls::Text;
use crate::cel::syntax::Binary;
use crate::cel::time::Span;
use crate::cel::value::{List, Value};

pub(super) fn negated(value: Value<'_>) -> Result<Value<'_>, Failure> {
    match value {
        Value::Int(number) => number.checked_neg().map(Value::Int).ok_or(Failure::Overflow),
        Value::Double(number) => Ok(Value::Double(-number)),
        _ => Err(Failure::NoOverload),
    }
}

/// One of the five arithmetic operators.
pub(super) fn computed<'v>(
    binary: Binary,
    one: Value<'v>,
    two: Value<'v>,
    arena: &'v Bump,
    budget: &Budget,
) -> Result<Value<'v>, Failure> {
    match (one, two) {
        (Value::Int(one), Value::Int(two)) => int(binary, one, two).map(Value::Int),
        (Value::Uint(one), Value::Uint(two)) => uint(binary, one, two).map(Value::Uint),
        (Value::Double(one), Value::Double(two)) => double(binary, one, two).map(Value::Double),
        (Value::Time(_) | Value::Span(_), _) => times(binary, one, two),
        (_, _) if binary != Binary::Add => Err(Failure::NoOverload),
        (Value::Text(one), Value::Text(two)) => {
            let mut text = Text::new(budget);
            text.push(one)?;
            text.push(two)?;
            text.kept(arena)
        }
        (Value::Bytes(one), Value::Bytes(two)) => {
            budget.bytes(one.len() + two.len())?;
            let mut bytes = one.iter().chain(two).copied();
            let len = one.len() + two.len();
            let kept =
                arena.try_alloc_slice_fill_with(len, |_| bytes.next().unwrap_or(0)).map_err(|_| Failure::Memory)?;
            Ok(Value::Bytes(kept))
        }
        (Value::List(one), Value::List(two)) => {
            let len = one.len() + two.len();
            budget.bytes(len * size_of::<Value<'_>>())?;
            let mut items = one.iter().chain(two.iter());
            let next = |_| items.next().unwrap_or(Value::Null);
            let kept = arena.try_alloc_slice_fill_with(len, next).map_err(|_| Failure::Memory)?;
            Ok(Value::List(List::Values(kept)))
        }
        _ => Err(Failure::NoOverload),
    }
}

/// Arithmetic of whole numbers of a type.
macro_rules! whole_numbers {
    ($name:ident, $Number:ty) => {
        fn $name(binary: Binary, one: $Number, two: $Number) -> Result<$Number, Failure> {
            let made = match binary {
                Binary::Add => one.checked_add(two),
                Binary::Subtract => one.checked_sub(two),
                Binary::Multiply => one.checked_mul(two),
                Binary::Divide | Binary::Remainder if two == 0 => return Err(Failure::ZeroDivision),
                Binary::Divide => one.checked_div(two),
                Binary::Remainder => one.checked_rem(two),
                _ => return Err(Failure::NoOverload),
            };
            made.ok_or(Failure::Overflow)
        }
    };
}
whole_numbers!(int, i64);
whole_numbers!(uint, u64);

fn double(binary: Binary, one: f64, two: f64) -> Result<f64, Failure> {
    match binary {
        Binary::Add => Ok(one + two),
        Binary::Subtract => Ok(one - two),
        Binary::Multiply => Ok(one * two),
        Binary::Divide => Ok(one / two),
        _ => Err(Failure::NoOverload),
    }
}

fn times<'v>(binary: Binary, one: Value<'v>, two: Value<'v>) -> Result<Value<'v>, Failure> {
    let span = |nanos: i128| Span::from_nanos(nanos).map(Value::Span);
    let made = match (binary, one, two) {
        (Binary::Add, Value::Time(time), Value::Span(span)) | (Binary::Add, Value::Span(span), Value::Time(time)) => {
            time.plus(span).map(Value::Time)
        }
        (Binary::Subtract, Value::Time(time), Value::Span(span)) => time.minus(span).map(Value::Time),
        (Binary::Subtract, Value::Time(one), Value::Time(two)) => one.since(two).map(Value::Span),
        (Binary::Add, Value::Span(one), Value::Span(two)) => span(one.nanos() + two.nanos()),
        (Binary::Subtract, Value::Span(one), Value::Span(two)) => span(one.nanos() - two.nanos()),
        _ => return Err(Failure::NoOverload),
    };
    made.ok_or(Failure::Overflow)
}
