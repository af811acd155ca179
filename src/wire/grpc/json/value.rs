// SPDX-License-Identifier: Apache-2.0
//! A JSON value, in which no name stands twice in an object: readers differ about which one counts.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

/// Takes scalars as they are.
macro_rules! scalars {
    ($($method:ident $kind:ty: $json:expr,)*) => {
        $(fn $method<E: Error>(self, value: $kind) -> Result<Json, E> {
            Ok($json(value))
        })*
    };
}

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    scalars! {
        visit_bool bool: Json::Bool,
        visit_u64 u64: |value| Json::Number(Number::from(value)),
        visit_i64 i64: |value| Json::Number(Number::from(value)),
        visit_str &str: |value: &str| Json::Text(value.to_owned()),
        visit_string String: Json::Text,
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` stands twice in an object")));
            }
            let value = map.next_value()?;
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_serde_json_reads() {
        for text in ["null", "true", "-0.0", "1e5", "18446744073709551615", r#""a\u0000""#, r#"[1,{"a":[],"b":{}}]"#] {
            let read = serde_json::from_str::<Json>(text).unwrap();
            let again = serde_json::to_string(&serde_json::from_str::<serde_json::Value>(text).unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<Json>(&again).unwrap(), read, "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":null}}]"#, "1e999", "NaN", "01", "{} {}", ""] {
            assert!(serde_json::from_str::<Json>(text).is_err(), "{text}");
        }
    }
}
