// SPDX-License-Identifier: Apache-2.0
//! What clients may ask for, and what their tokens say (RFC 9068 section 2.2).

use std::time::Duration;

use serde_json::{Value, json};

use crate::base::Wall;
use crate::policy::directory::Consumer;
use crate::policy::token_issuer::reply::{self, Said};
use crate::policy::token_issuer::request::TokenRequest;
use crate::wire::jose::Members;

/// What clients may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The scopes that every client may have.
    pub scopes: Box<[Box<str>]>,
    /// Groups, and the scopes that their members may have besides.
    pub by_group: Box<[GroupScopes]>,
    /// The scopes of a token for which none are asked; of these, those that the client may have.
    pub by_default: Box<[Box<str>]>,
    /// Whom tokens may be for; at least one. The first is meant where the client does not say.
    pub audiences: Box<[Box<str>]>,
}

/// The scopes that members of a group may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupScopes {
    /// The group's name.
    pub group: Box<str>,
    /// Its scopes.
    pub scopes: Box<[Box<str>]>,
}

/// What one client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    /// Scopes, with spaces between them.
    pub scope: String,
    audiences: Vec<Box<str>>,
}

impl Grants {
    /// What the client gets of what it asks for.
    pub(super) fn judge(&self, form: &TokenRequest, client: &Consumer) -> Result<Granted, Said> {
        match form.get("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Err(reply::GRANT),
            None => return Err(reply::NO_GRANT),
        }
        let mut scopes: Vec<&str> = Vec::new();
        match form.get("scope") {
            Some(text) => {
                for scope in text.split(' ') {
                    if !self.allows(scope, client) {
                        return Err(reply::SCOPE);
                    }
                    if !scopes.contains(&scope) {
                        scopes.push(scope);
                    }
                }
            }
            None => {
                let held = self.by_default.iter().filter(|scope| self.allows(scope, client));
                scopes.extend(held.map(|scope| &**scope));
            }
        }
        let mut audiences: Vec<Box<str>> = Vec::new();
        for target in form.targets() {
            let known = self.audiences.iter().find(|audience| ***audience == *target).ok_or(reply::TARGET)?;
            if !audiences.contains(known) {
                audiences.push(known.clone());
            }
        }
        if audiences.is_empty() {
            audiences.extend(self.audiences.first().cloned());
        }
        Ok(Granted { scope: scopes.join(" "), audiences })
    }

    /// May a client have a scope? A scope is no empty text.
    fn allows(&self, scope: &str, client: &Consumer) -> bool {
        let has = |list: &[Box<str>]| list.iter().any(|known| **known == *scope);
        has(&self.scopes) || self.by_group.iter().any(|held| has(&held.scopes) && client.is_member(&held.group))
    }
}

impl Granted {
    /// The claims of the token, without `jti`.
    pub(super) fn claims(
        self,
        issuer: &str,
        (id, consumer): (&str, &Consumer),
        wall: Wall,
        lifetime: Duration,
    ) -> Members {
        let audience = match &*self.audiences {
            [one] => Value::from(&**one),
            several => several.iter().map(|audience| Value::from(&**audience)).collect(),
        };
        let mut claims = Members::new();
        let mut claim = |name: &str, value: Value| drop(claims.insert(name.into(), value));
        claim("iss", issuer.into());
        claim("sub", id.into());
        claim("client_id", id.into());
        claim("aud", audience);
        claim("iat", wall.seconds().into());
        claim("exp", wall.seconds().saturating_add(lifetime.as_secs()).into());
        if !self.scope.is_empty() {
            claim("scope", self.scope.into());
        }
        claim("consumer", (*consumer.name).into());
        let groups: Vec<&str> = consumer.profile.groups.iter().map(|group| &**group).collect();
        if !groups.is_empty() {
            claim("groups", json!(groups));
        }
        claims
    }
}
