// SPDX-License-Identifier: Apache-2.0
//! Who a request comes from. Policies of the phase `identify` make an `Identity`; everything behind them reads it.

use std::io::Write;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::base::{AppId, ConsumerId, CredentialId};

/// Who a request comes from.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// An entry of the shard's directory. It may have been removed since.
    pub consumer: Option<ConsumerId>,
    /// Which of the consumer's apps, where the credential belongs to one.
    pub app: Option<AppId>,
    /// Which of its credentials.
    pub credential: Option<CredentialId>,
    /// What a verified token says, shared with the shard's cache of verified tokens.
    pub claims: Option<Rc<Claims>>,
    /// The kind of the policy that identified it: `api_key`, `jwt`; `None` where nobody did.
    pub method: Option<&'static str>,
}

impl Identity {
    /// A consumer without app, credential and claims.
    pub fn of(consumer: ConsumerId, method: &'static str) -> Identity {
        Identity { consumer: Some(consumer), method: Some(method), ..Identity::default() }
    }

    /// The value of a claim of the verified token.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.as_ref()?.json.get(name)
    }
}

/// Claims of a verified token: the JSON object, parsed once, and what is looked up often.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// All of them.
    pub json: Map<String, Value>,
    /// What the token allows, of `scope` (separated by spaces) or `scp` (a text or a list).
    pub scopes: Box<[Box<str>]>,
    /// `sub`.
    pub subject: Option<Box<str>>,
}

impl Claims {
    /// Of a JSON object.
    pub fn new(json: Map<String, Value>) -> Claims {
        let scopes = ["scope", "scp"].iter().find_map(|name| json.get(*name)).map(scopes).unwrap_or_default();
        let subject = json.get("sub").and_then(Value::as_str).map(Box::from);
        Claims { json, scopes, subject }
    }

    /// Does the token allow this?
    pub fn allows(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| **held == *scope)
    }

    /// Appends a claim as text: lists with commas between their members, objects as JSON, `null` as nothing.
    pub fn append(&self, name: &str, out: &mut Vec<u8>) {
        let Some(value) = self.json.get(name) else { return };
        let Value::Array(members) = value else { return append_text(value, out) };
        for (at, member) in members.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            append_text(member, out);
        }
    }
}

fn scopes(value: &Value) -> Box<[Box<str>]> {
    match value {
        Value::String(text) => text.split(' ').filter(|scope| !scope.is_empty()).map(Box::from).collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(Box::from).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Box::default(),
    }
}

fn append_text(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::String(text) => out.extend_from_slice(text.as_bytes()),
        // Writing to a `Vec` cannot fail.
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => drop(write!(out, "{value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::new(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn claims_become_text() {
        let claims = claims(r#"{"sub":"anna","n":17,"b":true,"l":["a",1,null],"o":{"x":[1]},"z":null}"#);
        let text = |name: &str| {
            let mut out = Vec::new();
            claims.append(name, &mut out);
            String::from_utf8(out).unwrap()
        };
        let cases = [("sub", "anna"), ("n", "17"), ("b", "true"), ("l", "a,1,"), ("o", r#"{"x":[1]}"#), ("z", "")];
        for (name, expected) in cases {
            assert_eq!(text(name), expected, "{name}");
        }
        assert_eq!((text("absent"), claims.subject.as_deref()), (String::new(), Some("anna")));
    }

    #[test]
    fn scopes_come_in_three_shapes() {
        const CASES: &[(&str, &[&str])] = &[
            (r#"{"scope":"read  write"}"#, &["read", "write"]),
            (r#"{"scp":"read"}"#, &["read"]),
            (r#"{"scp":["read","write",3]}"#, &["read", "write"]),
            (r#"{"scope":7}"#, &[]),
            ("{}", &[]),
        ];
        for (json, expected) in CASES {
            let claims = claims(json);
            assert!(claims.scopes.iter().map(|scope| &**scope).eq(expected.iter().copied()), "{json}");
            assert!(!claims.allows("rea") && claims.allows("read") == expected.contains(&"read"));
        }
    }
}
