// SPDX-License-Identifier: Apache-2.0
//! Hot. Which consumer of the directory a token stands for. What to look for is written once, when the token is
//! verified; the directory is asked for every request, so that a consumer that is removed is so at once.

use serde_json::{Map, Value};

use crate::base::Wall;
use crate::policy::directory::{CredentialKind, Directory, jwt_lookup};
use crate::policy::identity::Identity;
use crate::policy::token::challenge::Refusal;
use crate::policy::token::claim::ClaimPath;

/// How a token leads to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRule {
    /// The claim that names the consumer.
    pub claim: ClaimPath,
    /// What it names.
    pub by: ConsumerBy,
    /// What becomes of a token that stands for no consumer.
    pub unknown: Unknown,
}

/// What a claim names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerBy {
    /// A credential of the kind `jwt`: of this issuer, or of any.
    Credential,
    /// The consumer's name.
    Name,
}

/// What becomes of a valid token that stands for no consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is refused.
    Refused,
    /// It passes with its claims alone.
    Passes,
}

/// What a token is looked up by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerKey {
    /// What the claim says; empty where the token lacks it.
    text: Box<str>,
    /// The issuer with it.
    of_issuer: Box<[u8]>,
}

impl ConsumerRule {
    /// What to look for, of these claims.
    pub(crate) fn key(&self, claims: &Map<String, Value>) -> ConsumerKey {
        let text = match self.claim.of(claims) {
            Some(Value::String(text)) => text.as_str().into(),
            Some(Value::Number(number)) => number.to_string().into(), // tidy(hot): once a token
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => Box::default(),
        };
        let mut of_issuer = Vec::new();
        if let Some(issuer) = claims.get("iss").and_then(Value::as_str) {
            jwt_lookup(Some(issuer), &text, &mut of_issuer);
        }
        ConsumerKey { text, of_issuer: of_issuer.into() }
    }

    /// Says in `identity` which consumer it is.
    pub(crate) fn identify(
        &self,
        key: &ConsumerKey,
        directory: &Directory,
        wall: Wall,
        identity: &mut Identity,
    ) -> Result<(), Refusal> {
        if key.text.is_empty() {
            return self.unknown();
        }
        match self.by {
            ConsumerBy::Name => {
                let Some(consumer) = directory.by_name(&key.text) else { return self.unknown() };
                identity.consumer = Some(consumer.number);
            }
            ConsumerBy::Credential => {
                let find = |lookup: &[u8]| directory.credential(CredentialKind::Jwt, lookup, wall);
                let of_issuer =
                    Some(&key.of_issuer).filter(|lookup| !lookup.is_empty()).and_then(|lookup| find(lookup));
                let Some(found) = of_issuer.or_else(|| find(key.text.as_bytes())) else { return self.unknown() };
                (identity.consumer, identity.app) = (Some(found.consumer), found.app);
                identity.credential = Some(found.number);
            }
        }
        Ok(())
    }

    fn unknown(&self) -> Result<(), Refusal> {
        match self.unknown {
            Unknown::Passes => Ok(()),
            Unknown::Refused => Err(Refusal::Forbidden("consumer_unknown", "The token stands for no consumer.")),
        }
    }
}
