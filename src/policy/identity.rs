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
    /// Did the request show who it is?
    pub proof: Proof,
}

/// Did a request show who it is?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// By its credentials.
    #[default]
    Shown,
    /// It has none, and counts as the consumer that a policy names for this (`anonymous`).
    Assumed,
}

/// The credentials of one request belong to two consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

impl Identity {
    /// A consumer without app, credential and claims.
    pub fn of(consumer: ConsumerId, method: &'static str) -> Identity {
        Identity { consumer: Some(consumer), method: Some(method), ..Identity::default() }
    }

    /// Whom a request without credentials counts as.
    pub fn anonymous(consumer: ConsumerId, method: &'static str) -> Identity {
        Identity { proof: Proof::Assumed, ..Identity::of(consumer, method) }
    }

    /// Is its consumer the one that counts, where `before` is what policies before have found? A consumer that was
    /// found stays, unless it was only assumed and this one is shown.
    pub fn replaces(&self, before: &Identity) -> bool {
        match (before.consumer, self.consumer) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(one), Some(other)) => self.proof == Proof::Shown && (one == other || before.proof == Proof::Assumed),
        }
    }

    /// What is known when a further policy has found this: one consumer, and the claims of the last token.
    pub fn join(mut self, before: &Identity) -> Result<Identity, Conflict> {
        let differ = before.consumer.zip(self.consumer).is_some_and(|(one, other)| one != other);
        if differ && before.proof == Proof::Shown && self.proof == Proof::Shown {
            return Err(Conflict);
        }
        if self.replaces(before) {
            if self.consumer == before.consumer && self.credential.is_none() {
                (self.app, self.credential) = (before.app, before.credential);
            }
            self.claims = self.claims.or_else(|| before.claims.clone());
            return Ok(self);
        }
        let claims = self.claims.or_else(|| before.claims.clone());
        Ok(Identity { claims, ..before.clone() })
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

    #[test]
    fn a_consumer_that_was_found_stays() {
        let shown = |number| Identity {
            app: Some(AppId(number)),
            credential: Some(CredentialId(number)),
            ..Identity::of(ConsumerId(number), "api_key")
        };
        let guest = |number| Identity::anonymous(ConsumerId(number), "basic");
        let token = Identity { claims: Some(Rc::default()), method: Some("jwt"), ..Identity::default() };
        let nobody = Identity::default;
        // What was known, what is found then, and who calls: consumer, app and method.
        for (before, found, joined) in [
            (nobody(), shown(1), Some((Some(1), Some(1), Some("api_key")))),
            (shown(1), nobody(), Some((Some(1), Some(1), Some("api_key")))),
            (shown(1), token.clone(), Some((Some(1), Some(1), Some("api_key")))),
            (token.clone(), shown(1), Some((Some(1), Some(1), Some("api_key")))),
            (token.clone(), nobody(), Some((None, None, None))),
            (shown(1), guest(2), Some((Some(1), Some(1), Some("api_key")))),
            (guest(2), shown(1), Some((Some(1), Some(1), Some("api_key")))),
            (guest(2), guest(3), Some((Some(2), None, Some("basic")))),
            (shown(1), Identity::of(ConsumerId(1), "jwt"), Some((Some(1), Some(1), Some("jwt")))),
            (shown(1), shown(2), None),
        ] {
            let claims = before.claims.is_some() || found.claims.is_some();
            let replaces = found.replaces(&before);
            let said = found.join(&before).ok();
            let who = said
                .as_ref()
                .map(|who| (who.consumer.map(|number| number.0), who.app.map(|number| number.0), who.method));
            assert_eq!(who, joined, "{before:?}");
            assert!(said.is_none_or(|who| who.claims.is_some() == claims), "{before:?}: no claim is lost");
            assert!(joined.is_some() || !replaces, "the upstream is told nothing of a second consumer");
        }
    }

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
