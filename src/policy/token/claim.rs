// SPDX-License-Identifier: Apache-2.0
//! Names of claims as a configuration writes them: the name itself, or a JSON pointer (RFC 6901) to something deeper.

use std::io::Write;

use serde_json::{Map, Value};

/// Which claim is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClaimPath {
    /// The member of this name. Names may hold dots and slashes, as `https://example.com/roles` does.
    Name(Box<str>),
    /// Where these names lead, one after the other; in a list a name is a position.
    Pointer(Box<[Box<str>]>),
}

impl ClaimPath {
    /// A text that begins with `/` is a pointer.
    pub(crate) fn new(text: &str) -> ClaimPath {
        match text.strip_prefix('/') {
            None => ClaimPath::Name(text.into()),
            Some(rest) => {
                let names = rest.split('/').map(|name| name.replace("~1", "/").replace("~0", "~").into());
                ClaimPath::Pointer(names.collect())
            }
        }
    }

    /// The claim, where the token has it.
    pub(crate) fn of<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        match self {
            ClaimPath::Name(name) => claims.get(&**name),
            ClaimPath::Pointer(names) => {
                let (first, rest) = names.split_first()?;
                rest.iter().try_fold(claims.get(&**first)?, |value, name| match value {
                    Value::Object(members) => members.get(&**name),
                    Value::Array(items) => items.get(name.parse::<usize>().ok()?),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
                })
            }
        }
    }
}

/// A claim as the text that a field or a directory of consumers holds: a list has commas between its members, anything
/// deeper is JSON. `None` for `null`.
pub(crate) fn text_of(value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match value {
        Value::Null => return None,
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.extend_from_slice(if at > 0 { b"," } else { b"" });
                append(item, &mut out);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => append(value, &mut out),
    }
    Some(out)
}

fn append(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::String(text) => out.extend_from_slice(text.as_bytes()),
        // Writing to a `Vec` cannot fail.
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => drop(write!(out, "{value}")),
    }
}

/// Is it this text, or a list with it?
pub(crate) fn holds(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_found_and_written() {
        let claims = r#"{"sub":"anna","n":17,"a/b":true,"r":{"roles":["x","y",1],"~":{"":null}},"e":[],"o":{"k":[1]}}"#;
        let claims: Map<String, Value> = serde_json::from_str(claims).unwrap();
        for (path, text) in [
            ("sub", Some("anna")),
            ("n", Some("17")),
            ("a/b", Some("true")),
            ("/a~1b", Some("true")),
            ("/r/roles", Some("x,y,1")),
            ("/r/roles/1", Some("y")),
            ("/r/~0", Some(r#"{"":null}"#)),
            ("/r/~0/", None),
            ("e", Some("")),
            ("o", Some(r#"{"k":[1]}"#)),
            ("/sub/x", None),
            ("/r/roles/7", None),
            ("r.roles", None),
            ("", None),
            ("/", None),
        ] {
            let found = ClaimPath::new(path).of(&claims).and_then(text_of);
            assert_eq!(found.as_deref(), text.map(str::as_bytes), "{path}");
        }
    }
}
