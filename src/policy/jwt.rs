// SPDX-License-Identifier: Apache-2.0
//! Hot. Callers by a signed token (JWT, RFC 7519), as RFC 8725 advises.
//!
//! ```text
//!  find ─► known already? ─────────────────────────────────────────────────► identify ─► tell the upstream
//!            │ no                                                              ▲
//!            └► read ─► issuer ─► key ─► signature ─► claims ─► remember ──────┘
//!                                  │ not known: ask the control plane once, then go on or refuse
//! ```
//!
//! Which key may verify a token is decided by the issuer and the type of the key, never by the token. Verified tokens
//! are remembered until they expire; then and when their key is withdrawn they are forgotten. Consumers are looked up
//! for every request.

mod keys;

use std::rc::Rc;
use std::time::Duration;

use crate::base::{Tick, Wall};
use crate::policy::decision::{Ask, AskOutcome, Decision};
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Claims;
use crate::policy::jwt::keys::Question as KeyQuestion;
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::question::{Answer, Keys, Question};
use crate::policy::token::{
    self, Admission, Cache, Challenge, ClaimTexts, ConsumerKey, ConsumerRule, Found, Refusal, Rules, ToUpstream,
    TokenLocation, rules,
};
use crate::wire::jose::{AlgorithmSet, Token, TokenError};
use crate::wire::template::Lookup;

pub(crate) use keys::{IssuerKeys, KeySource, Lacking};

/// Which tokens pass, and whom they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where a token may stand; at least one.
    pub locations: Box<[TokenLocation]>,
    /// Whose tokens; at least one, no two of the same name.
    pub issuers: Box<[Issuer]>,
    /// What their claims must say, whoever the issuer is; whom they must be for says each issuer.
    pub rules: Rules,
    /// How a token leads to a consumer; `None` where its claims are enough.
    pub consumer: Option<ConsumerRule>,
    /// What the upstream is told.
    pub to_upstream: ToUpstream,
    /// The consumer that a request without any token counts as; `None` refuses it. A wrong token is refused in any
    /// case.
    pub anonymous: Option<Box<str>>,
    /// How a refusal is said.
    pub challenge: Challenge,
    /// How long a request waits for keys that are not known yet.
    pub wait: Duration,
    /// The pause between two questions about keys that are not known.
    pub cool_down: Duration,
    /// Verified tokens that a shard remembers, at least one.
    pub tokens_kept: usize,
}

/// Somebody whose tokens pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// What `iss` says; `None` for whatever it says, where no other issuer is named so.
    pub name: Option<Box<str>>,
    /// Its keys.
    pub keys: KeySource,
    /// The algorithms that it may use, of those that fit its keys.
    pub algorithms: AlgorithmSet,
    /// Whom its tokens must be for, one of these; where there is none, `aud` is not looked at.
    pub audiences: Box<[Box<str>]>,
}

/// What a shard knows of a policy.
#[derive(Debug)]
pub struct State {
    issuers: Box<[IssuerKeys]>,
    tokens: Cache<Verified>,
}

/// A token that was verified.
#[derive(Debug)]
struct Verified {
    claims: Rc<Claims>,
    consumer: ConsumerKey,
    texts: ClaimTexts,
    issuer: usize,
    /// A hash of the key that verified it.
    key: u64,
}

/// What it remembers of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memo {
    /// It has not asked.
    #[default]
    Fresh,
    /// It has asked for keys.
    Asked,
}

/// Why a token could not be verified.
enum Failure {
    Refused(Refusal),
    /// A key of this issuer is not known.
    Lacks(usize, Lacking),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl Kind for Plan {
    type State = State;
    type Memo = Memo;

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn protect(&self, names: &mut Protected) {
        self.to_upstream.protect(names);
    }

    fn challenge(&self) -> &[u8] {
        &self.challenge.start
    }

    fn decide<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let token = match token::location::find(&self.locations, facts.request) {
            Found::One(token) => token,
            Found::Several => return self.challenge.refuse(Refusal::Ambiguous("token_ambiguous"), effects),
            Found::Nothing => return self.admission().without(facts, effects),
        };
        if let Some(known) = state.tokens.get(token, facts.wall) {
            return self.admit(known, facts, effects);
        }
        match self.verify(state, token, facts.wall) {
            Ok(()) => match state.tokens.get(token, facts.wall) {
                Some(known) => self.admit(known, facts, effects),
                None => self.challenge.refuse(rules::EXPIRED, effects),
            },
            Err(Failure::Refused(refusal)) => self.challenge.refuse(refusal, effects),
            Err(Failure::Lacks(issuer, lacking)) => {
                let keys = &mut state.issuers[issuer];
                if *memo == Memo::Fresh
                    && let KeyQuestion::Asked(key) = keys.ask(lacking, now, self.wait)
                {
                    *memo = Memo::Asked;
                    return Decision::Ask(Ask::Control { key, until: now.after(self.wait) });
                }
                let refusal = keys.refusal(lacking, self.cool_down);
                self.challenge.refuse(refusal, effects)
            }
        }
    }

    fn resume<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>, _: AskOutcome<'_>) -> Decision<'_> {
        // Whether keys came says the state.
        self.decide(state, call)
    }

    fn keeps_state_of(&self, before: &Plan) -> bool {
        self == before
    }
}

impl Plan {
    fn admission(&self) -> Admission<'_> {
        Admission {
            method: METHOD,
            challenge: &self.challenge,
            locations: &self.locations,
            to_upstream: &self.to_upstream,
            anonymous: self.anonymous.as_deref(),
            consumer: self.consumer.as_ref(),
        }
    }

    fn admit<L>(&self, known: &Verified, facts: &Facts<'_, L>, effects: &mut Effects) -> Decision<'_> {
        self.admission().admit((&known.claims, &known.consumer, &known.texts), facts, effects)
    }

    /// Verifies a token and remembers it.
    fn verify(&self, state: &mut State, token: &[u8], wall: Wall) -> Result<(), Failure> {
        let read = Token::read(token).map_err(malformed)?;
        let claims = read.claims().map_err(malformed)?;
        let issuer = self.issuer_of(claims.get("iss").and_then(serde_json::Value::as_str)).ok_or(rules::ISSUER)?;
        if !self.issuers[issuer].algorithms.has(read.algorithm) {
            return Err(rules::ALGORITHM.into());
        }
        let key = match state.issuers[issuer].verify(&read) {
            Ok(key) => key.ok_or(rules::SIGNATURE)?,
            Err(lacking) => return Err(Failure::Lacks(issuer, lacking)),
        };
        let until = self.rules.judge(read.kind.as_deref(), &claims, wall)?;
        rules::judge_audience(&self.issuers[issuer].audiences, &claims)?;
        let claims = Claims::new(claims);
        self.rules.judge_scopes(&claims)?;
        let verified = Verified {
            consumer: self.consumer.as_ref().map(|rule| rule.key(&claims.json)).unwrap_or_default(),
            texts: self.to_upstream.texts(&claims.json),
            claims: Rc::new(claims),
            issuer,
            key,
        };
        state.tokens.insert(token, verified, until, token.len());
        Ok(())
    }

    /// The issuer of that name, or the one that takes every name.
    fn issuer_of(&self, name: Option<&str>) -> Option<usize> {
        let named = self.issuers.iter().position(|issuer| issuer.name.is_some() && issuer.name.as_deref() == name);
        named.or_else(|| self.issuers.iter().position(|issuer| issuer.name.is_none()))
    }
}

impl ShardState<Plan> for State {
    fn new(plan: &Plan, _: Shards, _: u32) -> State {
        State {
            issuers: plan.issuers.iter().map(|issuer| IssuerKeys::new(&issuer.keys, plan.cool_down)).collect(),
            tokens: Cache::new(plan.tokens_kept),
        }
    }

    fn next_question(&mut self) -> Option<(u64, Question)> {
        self.issuers.iter_mut().find_map(IssuerKeys::next_question)
    }

    fn receive(&mut self, key: u64, answer: Answer, now: Tick) {
        self.issuers.iter_mut().for_each(|issuer| issuer.receive(key, &answer, now));
    }

    fn learn(&mut self, keys: &Keys) {
        for (at, issuer) in self.issuers.iter_mut().enumerate() {
            if issuer.learn(keys) {
                // What a withdrawn key has verified is not valid any more.
                self.tokens.retain(|token| token.issuer != at || issuer.has(token.key));
            }
        }
    }
}

fn malformed(error: TokenError) -> Refusal {
    match error {
        TokenError::Algorithm => rules::ALGORITHM,
        TokenError::Long
        | TokenError::Parts
        | TokenError::Base64
        | TokenError::Json
        | TokenError::Critical
        | TokenError::Header => rules::MALFORMED,
    }
}

/// The name of the kind in an identity.
const METHOD: &str = "jwt";

#[cfg(test)]
mod tests;
