// SPDX-License-Identifier: Apache-2.0
//! Hot. What the upstream is told of whoever has a token: claims and the consumer, in fields that a client cannot send.

use crate::policy::directory::Consumer;
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::policy::protected::Protected;
use crate::policy::tell::{self, ConsumerFields};
use crate::policy::token::claim::{self, ClaimPath};
use crate::policy::token::location::{self, TokenLocation};
use serde_json::{Map, Value};

/// What the upstream is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToUpstream {
    /// What it sees of the token.
    pub credential: Credential,
    /// Whether it is told the consumer.
    pub consumer: ConsumerFields,
    /// Claims and the fields that hold them.
    pub claims: Box<[(ClaimPath, Box<[u8]>)]>,
}

/// What the upstream sees of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    Removed,
    /// Everything.
    Kept,
}

/// The value of a field for a claim; `None` where the token lacks the claim.
type ClaimText = Option<Box<[u8]>>;

/// The values of the fields for claims, in the order of the plan.
pub(crate) type ClaimTexts = Box<[ClaimText]>;

impl ToUpstream {
    /// What the fields of these claims hold.
    pub(crate) fn texts(&self, claims: &Map<String, Value>) -> ClaimTexts {
        let text = |path: &ClaimPath| path.of(claims).and_then(claim::text_of).map(Vec::into_boxed_slice);
        self.claims.iter().map(|(path, _)| text(path)).collect()
    }

    /// The fields that a client may not send.
    pub(crate) fn protect(&self, names: &mut Protected) {
        tell::protect(names);
        for (_, name) in &self.claims {
            names.add(name);
        }
    }

    /// Tells it whom a policy has found. A claim that is no text of one line gets no field.
    pub(crate) fn tell<L>(
        &self,
        facts: &Facts<'_, L>,
        locations: &[TokenLocation],
        (texts, found, consumer): (&[ClaimText], &Identity, Option<&Consumer>),
        effects: &mut Effects,
    ) {
        if self.credential == Credential::Removed {
            location::remove(locations, facts.request, effects);
        }
        for ((_, name), text) in self.claims.iter().zip(texts) {
            if let Some(text) = text {
                effects.to_upstream.remove_added(name);
                effects.to_upstream.add(name, text);
            }
        }
        tell::consumer(self.consumer, (found, consumer), facts, effects);
    }
}
