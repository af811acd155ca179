// SPDX-License-Identifier: Apache-2.0
//! JSON objects of tokens and of the documents around them, read strictly: no member stands twice, at any depth, and
//! nothing nests deeper than `JOSE_DEPTH_MAX`. Readers differ about which of two members counts, and what one of them
//! checks must be what the next one uses.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::base::limits::JOSE_DEPTH_MAX;

/// The members of an object.
pub(crate) type Members = Map<String, Value>;

/// The members of the object that `text` is; `None` where it is none, or is not strict.
pub(crate) fn members(text: &[u8]) -> Option<Members> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: JOSE_DEPTH_MAX }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(members) => Some(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

/// Reads a value that may nest so deep.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inside<E: Error>(self) -> Result<Strict, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Strict { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    // tidy(bool): serde's own.
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(inside)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut members = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(inside)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_reading_passes() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        for good in
            ["{}", r#" {"a":1,"b":{"a":2}} "#, r#"{"a":[{"b":1},{"b":2}],"c":-1.5e3}"#, &deep(JOSE_DEPTH_MAX - 1)]
        {
            assert!(members(good.as_bytes()).is_some(), "{good}");
        }
        let twice = [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":[{"b":1,"b":2}]}"#, r#"{"x":{"b":1,"b":1}}"#];
        let other =
            ["", "[]", "1", "null", "\"a\"", "{} {}", "{},", "{\"a\":1e999}", "{\"a\":01}", "{'a':1}", "{\"a\":NaN}"];
        for bad in twice.iter().chain(&other).copied().chain([&*deep(JOSE_DEPTH_MAX), &*deep(50_000)]) {
            assert!(members(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(members(b"{\"a\":\"\xff\"}").is_none(), "not UTF-8");
        assert!(members(b"\xef\xbb\xbf{}").is_none(), "a byte order mark");
        assert!(members(b"{\"a\":\"\\ud800\"}").is_none(), "half of a surrogate pair");
    }
}
