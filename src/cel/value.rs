// SPDX-License-Identifier: Apache-2.0
//! Hot. A value while an expression runs: borrowed from the request, the expression or the run's arena, so it is copied
//! at no cost.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::cel::budget::{Budget, Failure};
use crate::cel::time::{Instant, Span};
use crate::cel::types::Kind;

/// A value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'v> {
    /// `null`
    Null,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint`
    Uint(u64),
    /// `double`
    Double(f64),
    /// `string`
    Text(&'v str),
    /// `bytes`
    Bytes(&'v [u8]),
    /// `timestamp`
    Time(Instant),
    /// `duration`
    Span(Span),
    /// `list`
    List(List<'v>),
    /// `map`
    Map(Map<'v>),
    /// A type as a value.
    #[expect(private_interfaces, reason = "types are values inside of an expression only")]
    Type(Kind),
    /// A value that may be missing.
    Optional(Option<&'v Value<'v>>),
}

/// A list.
#[derive(Clone, Copy, Debug)]
pub enum List<'v> {
    /// Of computed values.
    Values(&'v [Value<'v>]),
    /// Of texts, such as the names of groups.
    Texts(&'v [Arc<str>]),
    /// Of a token's claims.
    Json(&'v [Json]),
}

/// A map.
#[derive(Clone, Copy, Debug)]
pub enum Map<'v> {
    /// Of computed values.
    Pairs(&'v [(Value<'v>, Value<'v>)]),
    /// Of a token's claims.
    Json(&'v serde_json::Map<String, Json>),
    /// What the request has under that name; the run's subject knows it.
    Bag(Bag),
}

/// A map of texts that a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bag {
    /// `request.headers`: names in lower case; several lines are combined.
    Headers,
    /// `request.cookies`
    Cookies,
    /// `request.params`: of the query, decoded.
    Params,
    /// `consumer.attributes`
    Attributes,
}

const _: () = assert!(size_of::<Value<'_>>() <= 32);

impl<'v> Value<'v> {
    /// The value of a JSON text. Whole numbers are ints, those above an int uints, all others doubles.
    pub fn of_json(json: &'v Json) -> Value<'v> {
        match json {
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Value::Int(number),
                (None, Some(number)) => Value::Uint(number),
                (None, None) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(List::Json(items)),
            Json::Object(members) => Value::Map(Map::Json(members)),
        }
    }

    pub(super) const fn kind(self) -> Kind {
        match self {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) => Kind::Int,
            Value::Uint(_) => Kind::Uint,
            Value::Double(_) => Kind::Double,
            Value::Text(_) => Kind::Text,
            Value::Bytes(_) => Kind::Bytes,
            Value::Time(_) => Kind::Time,
            Value::Span(_) => Kind::Span,
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
            Value::Type(_) => Kind::Type,
            Value::Optional(_) => Kind::Optional,
        }
    }

    /// Are they equal? Numbers are compared by their value, whatever their types; values of different types are not
    /// equal.
    pub(super) fn equals(self, other: Value<'v>, budget: &Budget) -> Result<bool, Failure> {
        budget.step()?;
        Ok(match (self, other) {
            (Value::Text(one), Value::Text(two)) => one == two,
            (Value::Null, Value::Null) => true,
            (Value::Bool(one), Value::Bool(two)) => one == two,
            (Value::Bytes(one), Value::Bytes(two)) => one == two,
            (Value::Time(one), Value::Time(two)) => one == two,
            (Value::Span(one), Value::Span(two)) => one == two,
            (Value::Type(one), Value::Type(two)) => one == two,
            (Value::List(one), Value::List(two)) => one.equals(two, budget)?,
            (Value::Map(one), Value::Map(two)) => one.equals(two, budget)?,
            (Value::Optional(one), Value::Optional(two)) => match (one, two) {
                (None, None) => true,
                (Some(one), Some(two)) => one.equals(*two, budget)?,
                (Some(_), None) | (None, Some(_)) => false,
            },
            (one, two) if one.kind().is_number() && two.kind().is_number() => {
                one.compare(two) == Ok(Some(Ordering::Equal))
            }
            _ => false,
        })
    }

    /// How they are ordered; `None` where one is not a number (NaN).
    pub(super) fn compare(self, other: Value<'v>) -> Result<Option<Ordering>, Failure> {
        Ok(match (self, other) {
            (Value::Int(one), Value::Int(two)) => Some(one.cmp(&two)),
            (Value::Uint(one), Value::Uint(two)) => Some(one.cmp(&two)),
            (Value::Double(one), Value::Double(two)) => one.partial_cmp(&two),
            (Value::Int(one), Value::Uint(two)) => Some(i128::from(one).cmp(&i128::from(two))),
            (Value::Uint(one), Value::Int(two)) => Some(i128::from(one).cmp(&i128::from(two))),
            (Value::Int(one), Value::Double(two)) => whole_and_double(one.into(), two),
            (Value::Uint(one), Value::Double(two)) => whole_and_double(one.into(), two),
            (Value::Double(one), Value::Int(two)) => whole_and_double(two.into(), one).map(Ordering::reverse),
            (Value::Double(one), Value::Uint(two)) => whole_and_double(two.into(), one).map(Ordering::reverse),
            (Value::Text(one), Value::Text(two)) => Some(one.cmp(two)),
            (Value::Bytes(one), Value::Bytes(two)) => Some(one.cmp(two)),
            (Value::Bool(one), Value::Bool(two)) => Some(one.cmp(&two)),
            (Value::Time(one), Value::Time(two)) => Some(one.cmp(&two)),
            (Value::Span(one), Value::Span(two)) => Some(one.cmp(&two)),
            _ => return Err(Failure::NoOverload),
        })
    }
}

fn whole_and_double(one: i128, two: f64) -> Option<Ordering> {
    if two.is_nan() {
        return None;
    }
    // Beyond this no int or uint can be; `as` keeps the sign of what it cuts off.
    let whole = two.trunc() as i128;
    Some(one.cmp(&whole).then_with(|| 0.0.partial_cmp(&(two - two.trunc())).unwrap_or(Ordering::Equal)))
}

impl<'v> List<'v> {
    pub(super) fn len(self) -> usize {
        match self {
            List::Values(items) => items.len(),
            List::Texts(items) => items.len(),
            List::Json(items) => items.len(),
        }
    }

    pub(super) fn item(self, at: usize) -> Option<Value<'v>> {
        match self {
            List::Values(items) => items.get(at).copied(),
            List::Texts(items) => items.get(at).map(|text| Value::Text(text)),
            List::Json(items) => items.get(at).map(Value::of_json),
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Value<'v>> {
        (0..self.len()).filter_map(move |at| self.item(at))
    }

    pub(super) fn contains(self, wanted: Value<'v>, budget: &Budget) -> Result<bool, Failure> {
        for item in self.iter() {
            if item.equals(wanted, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn equals(self, other: List<'v>, budget: &Budget) -> Result<bool, Failure> {
        if self.len() != other.len() {
            return Ok(false);
        }
        for (one, two) in self.iter().zip(other.iter()) {
            if !one.equals(two, budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<'v> Map<'v> {
    /// How many members it has; `None` where the run's subject knows that.
    pub(super) fn len(self) -> Option<usize> {
        match self {
            Map::Pairs(pairs) => Some(pairs.len()),
            Map::Json(members) => Some(members.len()),
            Map::Bag(_) => None,
        }
    }

    /// The member of that key, of maps that hold their members.
    pub(super) fn held(self, key: Value<'v>, budget: &Budget) -> Result<Option<Value<'v>>, Failure> {
        match self {
            Map::Pairs(pairs) => {
                for (other, value) in pairs {
                    if other.equals(key, budget)? {
                        return Ok(Some(*value));
                    }
                }
                Ok(None)
            }
            Map::Json(members) => Ok(match key {
                Value::Text(name) => members.get(name).map(Value::of_json),
                _ => None,
            }),
            Map::Bag(_) => Err(Failure::NoOverload),
        }
    }

    /// Keys and values, of maps that hold their members.
    pub(super) fn pairs(self) -> impl Iterator<Item = (Value<'v>, Value<'v>)> {
        let (pairs, members) = match self {
            Map::Pairs(pairs) => (pairs, None),
            Map::Json(members) => (&[][..], Some(members)),
            Map::Bag(_) => (&[][..], None),
        };
        let members = members.into_iter().flatten().map(|(name, json)| (Value::Text(name), Value::of_json(json)));
        pairs.iter().copied().chain(members)
    }

    fn equals(self, other: Map<'v>, budget: &Budget) -> Result<bool, Failure> {
        let (Some(one), Some(two)) = (self.len(), other.len()) else { return Err(Failure::NoOverload) };
        if one != two {
            return Ok(false);
        }
        for (key, value) in self.pairs() {
            let Some(found) = other.held(key, budget)? else { return Ok(false) };
            if !value.equals(found, budget)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
