// SPDX-License-Identifier: Apache-2.0
//! Hot. The gateway as an OAuth 2 authorisation server for machines: the client credentials grant (RFC 6749 section
//! 4.4), access tokens as RFC 9068 has them, the keys that verify them (RFC 7517) and metadata (RFC 8414).
//!
//! ```text
//!  Identify  POST token path ─► read the form ─► who is the client? ─► pass, as that consumer
//!                                                 │ a password: a thread of the control plane checks it
//!  Admit     limits on the consumer, and whatever else the route asks
//!  Answer    scope ─► audience ─► claims ─► a thread of the control plane signs ─► the token
//! ```
//!
//! It serves four paths: that of tokens, that of keys and two of metadata. Requests for others it lets pass. A client
//! is a consumer with an API key, or one with a credential of the kind `basic`.

mod client;
mod grant;
mod reply;
mod request;

use std::sync::Arc;
use std::time::Duration;

use crate::base::limits::{PASSWORD_BYTES_MAX, TOKEN_FORM_BYTES_MAX, TOKENS_SIGNED_MAX};
use crate::base::{CredentialId, Tick};
use crate::policy::awaited::Awaited;
use crate::policy::decision::{Ask, AskOutcome, Decision};
use crate::policy::facts::{Effects, Facts};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::password::{Asked, Pair, PasswordHash, Verdict, Verdicts};
use crate::policy::phase::Phase;
use crate::policy::question::{Answer, Question, SignQuestion};
use crate::policy::token_issuer::client::{Client, METHOD};
use crate::policy::token_issuer::reply::Said;
use crate::policy::token_issuer::request::{Credentials, TokenRequest};
use crate::wire::head::Method;
use crate::wire::jose::SigningKey;
use crate::wire::template::Lookup;

pub(crate) use grant::{Grants, GroupScopes};

/// Who gets which tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What `iss` says.
    pub issuer: Box<str>,
    /// The paths that the policy serves itself.
    pub paths: Paths,
    /// What signs.
    pub key: Arc<SigningKey>,
    /// The JWK set of all keys, as it is sent.
    pub published: Box<[u8]>,
    /// The metadata, as they are sent.
    pub metadata: Box<[u8]>,
    /// What clients may ask for.
    pub grants: Grants,
    /// How long tokens are valid, in whole seconds.
    pub lifetime: Duration,
    /// The value of `WWW-Authenticate` in a 401.
    pub challenge: Box<[u8]>,
    /// The hash that the secret of an unknown client is checked against.
    pub nobody: Arc<PasswordHash>,
    /// How long a verdict on a password is remembered.
    pub keep: Duration,
    /// The longest wait for a password to be checked, or a token to be signed.
    pub timeout: Duration,
}

/// The paths that the policy serves itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Where tokens are issued.
    pub token: Box<[u8]>,
    /// Where the keys are.
    pub keys: Box<[u8]>,
    /// Where the metadata are.
    pub metadata: [Box<[u8]>; 2],
}

/// What a shard keeps.
#[derive(Debug)]
pub struct State {
    verdicts: Verdicts,
    signed: Awaited,
    numbered: u64,
    keep: Duration,
}

/// What it remembers of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memo {
    /// It has not asked.
    #[default]
    Fresh,
    /// It has asked for the form.
    Form,
    /// It has asked whether the secret is right.
    Secret,
    /// It has asked for the signature, under this key.
    Signature(u64),
}

impl ShardState<Plan> for State {
    fn new(plan: &Plan, _: Shards, _: u32) -> State {
        State { verdicts: Verdicts::new(), signed: Awaited::new(TOKENS_SIGNED_MAX), numbered: 0, keep: plan.keep }
    }

    fn next_question(&mut self) -> Option<(u64, Question)> {
        self.verdicts.next_question().or_else(|| self.signed.next_question())
    }

    fn receive(&mut self, key: u64, answer: Answer, now: Tick) {
        self.verdicts.receive(key, &answer, self.keep, now);
        self.signed.receive(key, answer);
    }
}

/// What a request is given with besides its facts.
type Given<'a, 'm> = (&'a mut Effects, &'m mut Memo, Tick);

impl Kind for Plan {
    type State = State;
    type Memo = Memo;

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn decide<L: Lookup>(&self, _: &mut State, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, .. } = call;
        let (document, reason) = if *self.paths.keys == *facts.path {
            (&self.published, "token_issuer_keys")
        } else if self.paths.metadata.iter().any(|path| **path == *facts.path) {
            (&self.metadata, "token_issuer_metadata")
        } else if *self.paths.token == *facts.path {
            return match request::check(facts.request) {
                Ok(()) => {
                    *memo = Memo::Form;
                    Decision::Ask(Ask::Body { bytes_max: TOKEN_FORM_BYTES_MAX })
                }
                Err(said) => self.say(said, effects),
            };
        } else {
            return Decision::Pass;
        };
        match facts.request.head.method {
            Method::Get | Method::Head => reply::document((document, reason), effects),
            _ => self.say(reply::GET, effects),
        }
    }

    fn answers(&self) -> bool {
        true
    }

    fn answer<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        if *self.paths.token != *facts.path {
            return Decision::Pass;
        }
        match self.order(facts) {
            Ok((question, _)) => {
                state.numbered += 1;
                let until = now.after(self.timeout);
                let question = Question::Sign(question);
                let Some(key) = state.signed.ask(state.numbered, question, (now, until)) else {
                    return self.say(reply::BUSY, effects);
                };
                *memo = Memo::Signature(key);
                Decision::Ask(Ask::Control { key, until })
            }
            Err(said) => self.say(said, effects),
        }
    }

    fn resume<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>, _: AskOutcome<'_>) -> Decision<'_> {
        // Whether an answer came says the state.
        let Call { facts, effects, memo, now } = call;
        let Memo::Signature(key) = *memo else { return self.identify(state, facts, (effects, memo, now)) };
        match state.signed.take(key) {
            Some(Answer::Signed(Some(token))) => match self.order(facts) {
                Ok((_, granted)) => reply::token((&token, &granted, self.lifetime.as_secs()), effects),
                Err(said) => self.say(said, effects),
            },
            Some(_) | None => self.say(reply::BUSY, effects),
        }
    }

    fn keeps_state_of(&self, before: &Plan) -> bool {
        self.keep == before.keep
    }

    fn reads_body(&self) -> bool {
        true
    }

    fn needs_route(&self) -> Option<&'static str> {
        Some("`token_issuer`")
    }

    fn protects(&self) -> bool {
        false
    }
}

impl Plan {
    /// Finds out who asks for a token.
    fn identify<L>(&self, state: &mut State, facts: &Facts<'_, L>, given: Given<'_, '_>) -> Decision<'_> {
        let (effects, memo, now) = given;
        let read = TokenRequest::read(facts.body).and_then(|form| request::credentials(facts.request, &form));
        let credentials = match read {
            Ok(credentials) => credentials,
            Err(said) => return self.say(said, effects),
        };
        let client = Client::find(&credentials, facts);
        let identity = match &client {
            Client::Keyed(identity) => identity.clone(),
            Client::Named(_) | Client::Nobody => match self.check(state, &client, &credentials, (&mut *memo, now)) {
                Ok(()) => client.identity(),
                Err(decision) => return decision.unwrap_or_else(|said| self.say(said, effects)),
            },
        };
        if identity.consumer.is_none() || facts.directory.is_suspended(&identity) {
            return self.say(reply::CLIENT, effects);
        }
        effects.identified = Some(identity);
        Decision::Pass
    }

    /// Is the password right? Where that is not known yet, the decision says what is to be waited for.
    fn check<'p>(
        &self,
        state: &mut State,
        client: &Client<'_>,
        credentials: &Credentials,
        (memo, now): (&mut Memo, Tick),
    ) -> Result<(), Result<Decision<'p>, Said>> {
        let secret = credentials.secret.as_bytes();
        if secret.len() > PASSWORD_BYTES_MAX {
            return Err(Err(reply::CLIENT));
        }
        let pair = Pair::of(client.stored_hash().unwrap_or(self.nobody.text().as_bytes()), secret);
        match state.verdicts.find(pair, now) {
            Some(Verdict::Fits) => Ok(()),
            Some(Verdict::Differs) => Err(Err(reply::CLIENT)),
            // It was answered that too many wait, or not at all.
            None if *memo == Memo::Secret => Err(Err(reply::BUSY)),
            None => {
                let until = now.after(self.timeout);
                let stored = client.stored_hash().and_then(PasswordHash::of_stored);
                // tidy(hot): only where no verdict is remembered.
                let hash = stored.map_or_else(|| Arc::clone(&self.nobody), Arc::from);
                match state.verdicts.ask(pair, hash, secret, (now, until)) {
                    Asked::Waiting(key) => {
                        *memo = Memo::Secret;
                        Err(Ok(Decision::Ask(Ask::Control { key, until })))
                    }
                    Asked::Full => Err(Err(reply::BUSY)),
                }
            }
        }
    }

    /// What is to be signed for the client that was identified, and the scopes of it.
    fn order<L>(&self, facts: &Facts<'_, L>) -> Result<(SignQuestion, String), Said> {
        let form = TokenRequest::read(facts.body)?;
        let credentials = request::credentials(facts.request, &form)?;
        // It may have been revoked since, or a condition has left the policy out before.
        let credential: Option<CredentialId> = Client::find(&credentials, facts).identity().credential;
        let is_same = facts.identity.method == Some(METHOD) && facts.identity.credential == credential;
        let consumer = facts.identity.consumer.and_then(|number| facts.directory.consumer(number));
        let consumer = consumer.filter(|_| is_same && credential.is_some()).ok_or(reply::CLIENT)?;
        if facts.directory.is_suspended(facts.identity) {
            return Err(reply::CLIENT);
        }
        let granted = self.grants.judge(&form, consumer)?;
        let scope = granted.scope.clone();
        let claims = granted.claims(&self.issuer, (&credentials.id, consumer), facts.wall, self.lifetime);
        // tidy(hot): once a token.
        Ok((SignQuestion { key: Arc::clone(&self.key), kind: "at+jwt", claims }, scope))
    }

    fn say(&self, said: Said, effects: &mut Effects) -> Decision<'_> {
        reply::say(said, &self.challenge, effects)
    }
}

#[cfg(test)]
mod tests;
