// SPDX-License-Identifier: Apache-2.0
//! Hot. Callers by a token that an authorisation server knows (OAuth 2 introspection, RFC 7662).
//!
//! The control plane asks the server; several requests with the same token wait for one answer. What it said is
//! remembered by the token's hash for a while, also that a token is not valid. So a token that the server revokes
//! passes for as long as that at most.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;

use crate::base::limits::{QUESTIONS_MAX, TOKEN_BYTES_MAX};
use crate::base::{Tick, Wall};
use crate::policy::decision::{Ask, AskOutcome, Decision};
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Claims;
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::question::{Answer, Question, SourceId, TokenQuestion};
use crate::policy::token::{
    self, Admission, Cache, Challenge, ClaimTexts, ConsumerKey, ConsumerRule, Found, Refusal, Rules, ToUpstream,
    TokenHash, TokenLocation, rules,
};
use crate::wire::jose::Members;
use crate::wire::template::Lookup;

/// Which tokens pass, and whom they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where a token may stand; at least one.
    pub locations: Box<[TokenLocation]>,
    /// Who is asked.
    pub source: SourceId,
    /// How long a request waits for the answer.
    pub wait: Duration,
    /// How long an answer holds; a token that expires before is asked for no more.
    pub fresh: Duration,
    /// How long it holds that a token is not valid.
    pub fresh_inactive: Duration,
    /// How long beyond that an answer holds while the server cannot be asked.
    pub stale: Duration,
    /// Answers that a shard remembers.
    pub tokens_kept: usize,
    /// What the answer must say.
    pub rules: Rules,
    /// How a token leads to a consumer; `None` where its claims are enough.
    pub consumer: Option<ConsumerRule>,
    /// What the upstream is told.
    pub to_upstream: ToUpstream,
    /// The consumer that a request without any token counts as; `None` refuses it.
    pub anonymous: Option<Box<str>>,
    /// How a refusal is said.
    pub challenge: Challenge,
}

/// What a shard knows of a policy.
#[derive(Debug)]
pub struct State {
    tokens: Cache<Known>,
    /// Tokens that were asked for, by the key under which the answer comes; at most `QUESTIONS_MAX`.
    asked: HashMap<u64, Asked, RandomState>,
    /// The question that is to be sent.
    pending: Option<(u64, Question)>,
}

/// A token that was asked for.
#[derive(Debug)]
struct Asked {
    hash: TokenHash,
    /// After that the answer counts as lost.
    until: Tick,
    /// What came, and when; the first request that goes on takes it.
    heard: Option<(Heard, Tick)>,
}

/// What came of a question.
#[derive(Clone, Debug)]
enum Heard {
    Active(Arc<Members>),
    Inactive,
    Failed,
}

/// What is known of a token.
#[derive(Debug)]
struct Known {
    fresh_until: Tick,
    says: Says,
}

/// What the server said of a token.
#[derive(Debug)]
enum Says {
    Active {
        claims: Rc<Claims>,
        consumer: ConsumerKey,
        texts: ClaimTexts,
    },
    /// It is refused, and why.
    Refused(Refusal),
}

impl Says {
    /// What it counts as in the cap on memory: the text that the server sent, or nearly so.
    fn bytes(&self) -> usize {
        match self {
            Says::Refused(_) => 0,
            Says::Active { claims, .. } => serde_json::to_vec(&claims.json).map_or(0, |text| text.len()),
        }
    }
}

/// What it remembers of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memo {
    /// It has not asked.
    #[default]
    Fresh,
    /// It has asked.
    Asked,
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
        let hash = token::hash_of(token);
        self.digest(state, &hash, facts.wall);
        match state.tokens.get(&hash, facts.wall) {
            Some(known) if now < known.fresh_until => return self.admit(known, facts, effects),
            Some(_) | None => {}
        }
        if *memo == Memo::Fresh {
            let Some(token) = sendable(token) else { return self.challenge.refuse(rules::MALFORMED, effects) };
            if let Some(key) = state.ask(self, token, hash, now) {
                *memo = Memo::Asked;
                return Decision::Ask(Ask::Control { key, until: now.after(self.wait) });
            }
        }
        match state.tokens.get(&hash, facts.wall) {
            Some(known) if now < known.fresh_until.after(self.stale) => self.admit(known, facts, effects),
            Some(_) | None => self.challenge.refuse(Refusal::Unavailable(RETRY), effects),
        }
    }

    fn resume<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>, _: AskOutcome<'_>) -> Decision<'_> {
        // Whether an answer came says the state.
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

    fn admit<L>(&self, known: &Known, facts: &Facts<'_, L>, effects: &mut Effects) -> Decision<'_> {
        match &known.says {
            Says::Active { claims, consumer, texts } => {
                self.admission().admit((claims, consumer, texts), facts, effects)
            }
            Says::Refused(refusal) => self.challenge.refuse(*refusal, effects),
        }
    }

    /// Remembers an answer that has come for a token. A failure leaves what was known before.
    fn digest(&self, state: &mut State, hash: &TokenHash, wall: Wall) {
        let Entry::Occupied(entry) = state.asked.entry(key_of(hash)) else { return };
        if entry.get().hash != *hash || entry.get().heard.is_none() {
            return;
        }
        let mut bytes = size_of::<Known>();
        let (says, until, at, fresh) = match entry.remove().heard {
            None | Some((Heard::Failed, _)) => return,
            Some((Heard::Inactive, at)) => (Says::Refused(rules::INACTIVE), Wall(u64::MAX), at, self.fresh_inactive),
            Some((Heard::Active(members), at)) => match self.judge(members, wall) {
                Ok((says, until)) => {
                    bytes += says.bytes();
                    (says, until, at, self.fresh)
                }
                Err(refusal) => (Says::Refused(refusal), Wall(u64::MAX), at, self.fresh_inactive),
            },
        };
        state.tokens.insert(hash, Known { fresh_until: at.after(fresh), says }, until, bytes);
    }

    fn judge(&self, members: Arc<Members>, wall: Wall) -> Result<(Says, Wall), Refusal> {
        let until = self.rules.judge(None, &members, wall)?;
        let claims = Claims::new(Arc::unwrap_or_clone(members));
        self.rules.judge_scopes(&claims)?;
        let consumer = self.consumer.as_ref().map(|rule| rule.key(&claims.json)).unwrap_or_default();
        let texts = self.to_upstream.texts(&claims.json);
        Ok((Says::Active { claims: Rc::new(claims), consumer, texts }, until))
    }
}

impl State {
    /// Asks for a token; whoever asks while an answer is awaited waits for the same. `None` where too many are asked
    /// for.
    fn ask(&mut self, plan: &Plan, token: &str, hash: TokenHash, now: Tick) -> Option<u64> {
        let key = key_of(&hash);
        if let Some(asked) = self.asked.get(&key)
            && now < asked.until
        {
            return (asked.hash == hash).then_some(key);
        }
        if self.asked.len() >= QUESTIONS_MAX {
            self.asked.retain(|_, asked| now < asked.until);
            if self.asked.len() >= QUESTIONS_MAX {
                return None;
            }
        }
        self.asked.insert(key, Asked { hash, until: now.after(plan.wait), heard: None });
        self.pending = Some((key, Question::Token(TokenQuestion { source: plan.source, token: token.into() })));
        Some(key)
    }
}

impl ShardState<Plan> for State {
    fn new(plan: &Plan, _: Shards, _: u32) -> State {
        State { tokens: Cache::new(plan.tokens_kept), asked: HashMap::default(), pending: None }
    }

    fn next_question(&mut self) -> Option<(u64, Question)> {
        self.pending.take()
    }

    fn receive(&mut self, key: u64, answer: Answer, now: Tick) {
        let Some(asked) = self.asked.get_mut(&key) else { return };
        let heard = match answer {
            Answer::Token(Some(members)) => Heard::Active(members),
            Answer::Token(None) => Heard::Inactive,
            Answer::Keys
            | Answer::Password(_)
            | Answer::Nonce(_)
            | Answer::Address(_)
            | Answer::Login(_)
            | Answer::Signed(_) => Heard::Failed,
            Answer::Unavailable | Answer::Busy => Heard::Failed,
        };
        asked.heard = Some((heard, now));
    }
}

/// The key under which the answer for a token comes.
fn key_of(hash: &TokenHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// A token that may be sent: visible ASCII (RFC 6749 appendix A.12), and not too long.
fn sendable(token: &[u8]) -> Option<&str> {
    let visible = !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(token).ok().filter(|_| visible)
}

/// The name of the kind in an identity.
const METHOD: &str = "introspection";
/// When it may be worth trying again.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
