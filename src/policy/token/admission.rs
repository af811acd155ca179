// SPDX-License-Identifier: Apache-2.0
//! Hot. Whom a policy that knows tokens lets pass: the consumer that a token stands for, its claims alone, or a request
//! without a token, where there is somebody whom that counts as.

use std::rc::Rc;

use crate::policy::decision::Decision;
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::{Claims, Identity};
use crate::policy::token::challenge::{Challenge, Refusal};
use crate::policy::token::consumer::{ConsumerKey, ConsumerRule};
use crate::policy::token::location::TokenLocation;
use crate::policy::token::upstream::{ClaimTexts, ToUpstream};

/// What a policy does with a token that is good, and without one.
pub(crate) struct Admission<'p> {
    /// The policy's name in `Identity::method`.
    pub method: &'static str,
    /// How it refuses.
    pub challenge: &'p Challenge,
    /// Where tokens may stand.
    pub locations: &'p [TokenLocation],
    /// What the upstream learns.
    pub to_upstream: &'p ToUpstream,
    /// The consumer that a request without any token counts as.
    pub anonymous: Option<&'p str>,
    /// How a token leads to a consumer.
    pub consumer: Option<&'p ConsumerRule>,
}

impl<'p> Admission<'p> {
    /// A request has no token.
    pub(crate) fn without<L>(&self, facts: &Facts<'_, L>, effects: &mut Effects) -> Decision<'p> {
        let Some(consumer) = self.anonymous.and_then(|name| facts.directory.by_name(name)) else {
            return self.challenge.refuse(Refusal::Missing("token_missing"), effects);
        };
        let found = Identity::anonymous(consumer.number, self.method);
        self.to_upstream.tell(facts, self.locations, (&[], &found, Some(consumer)), effects);
        effects.identified = Some(found);
        Decision::Pass
    }

    /// Its token is good: these are its claims, what its consumer is looked up by, and what the upstream is told.
    pub(crate) fn admit<L>(
        &self,
        (claims, key, texts): (&Rc<Claims>, &ConsumerKey, &ClaimTexts),
        facts: &Facts<'_, L>,
        effects: &mut Effects,
    ) -> Decision<'p> {
        let mut identity =
            Identity { claims: Some(Rc::clone(claims)), method: Some(self.method), ..Identity::default() };
        if let Some(rule) = self.consumer
            && let Err(refusal) = rule.identify(key, facts.directory, facts.wall, &mut identity)
        {
            return self.challenge.refuse(refusal, effects);
        }
        let consumer = identity.consumer.and_then(|number| facts.directory.consumer(number));
        self.to_upstream.tell(facts, self.locations, (texts, &identity, consumer), effects);
        effects.identified = Some(identity);
        Decision::Pass
    }
}
