// SPDX-License-Identifier: Apache-2.0
//! Who calls, by an HTTP Message Signature (RFC 9421). The signature must cover what the plan asks for, be young
//! enough, and belong to a key that is known; where a body is to be covered, its `Content-Digest` (RFC 9530) is
//! compared.
//!
//! A nonce is good once, on whichever shard its request arrives: the control plane keeps the nonces of the window.

mod nonces;

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::base::{Tick, Wall};
use crate::policy::api_key::Credential as Hiding;
use crate::policy::basic::Stored;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalResponse};
use crate::policy::directory::{Credential, CredentialKind};
use crate::policy::facts::{Effects, Facts};
use crate::policy::identity::Identity;
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::question::{Answer, Freshness, Question};
use crate::policy::refusal;
use crate::policy::tell::{self, ConsumerFields};
use crate::wire::head::BodyLength;
use crate::wire::signature::digest::{self, Agreement};
use crate::wire::signature::{BaseError, Signed, Verifier, is_covered};
use crate::wire::structured::{self, Bare, InnerList, Item, Member};
use crate::wire::template::Lookup;

use nonces::Nonces;

/// Whose signatures are taken, and what they must cover.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The policy's name: nonces of different policies are different.
    pub name: Box<str>,
    /// Keys of the policy itself, in order of their ids.
    pub keys: Box<[Key]>,
    /// Whether shared secrets of the directory count as well.
    pub stored: Stored,
    /// The label that the signature must have; `None` takes the only one.
    pub label: Option<Box<str>>,
    /// The `tag` that it must have.
    pub tag: Option<Box<str>>,
    /// What it must cover: fields in lower case and derived components, without parameters.
    pub required: Box<[Box<str>]>,
    /// How old it may be.
    pub age_max: Duration,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Whether it needs a nonce.
    pub nonce: NonceRule,
    /// The most bytes of a body whose digest is compared; `None` compares none.
    pub body_bytes_max: Option<u64>,
    /// What the upstream sees of the signature.
    pub credential: Hiding,
    /// Whether the upstream is told which consumer it is.
    pub consumer_fields: ConsumerFields,
    /// The name of who a request without a signature counts as; `None` refuses it.
    pub anonymous: Option<Box<str>>,
    /// The value of `WWW-Authenticate` in a 401.
    pub challenge: Box<[u8]>,
}

/// A key of the policy itself.
#[derive(Clone, Debug)]
pub struct Key {
    /// What clients name it by.
    pub id: Box<str>,
    /// What verifies.
    pub verifier: Verifier,
    /// The consumer's name; `None` where it passes as nobody in particular.
    pub consumer: Option<Box<str>>,
}

/// Whether a signature needs a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceRule {
    /// It does, and each is good once.
    Required,
    /// It does not, and what it has is not looked at.
    Ignored,
}

/// What a shard keeps.
#[derive(Debug, Default)]
pub struct State {
    nonces: Nonces,
}

impl ShardState<Plan> for State {
    fn new(_: &Plan, _: Shards, _: u32) -> State {
        State::default()
    }

    fn next_question(&mut self) -> Option<(u64, Question)> {
        self.nonces.next_question()
    }

    fn receive(&mut self, key: u64, answer: Answer, now: Tick) {
        self.nonces.receive(key, &answer, now);
    }
}

/// What is remembered of a request whose signature is good.
#[derive(Debug, Default)]
pub struct Memo(Option<Box<Verified>>);

#[derive(Debug)]
struct Verified {
    identity: Identity,
    nonce: Option<u128>,
    /// The key under which the freshness of the nonce is awaited.
    asked: Option<u64>,
}

/// Why a signature is refused: a reason and what the client reads.
type Refusal = (&'static str, &'static str);

const MALFORMED: Refusal = ("signature_malformed", "The signature is malformed.");
const AMBIGUOUS: Refusal = ("signature_ambiguous", "There are several signatures, and it is not said which counts.");
const UNKNOWN: Refusal = ("signature_key_unknown", "The key of the signature is not known.");
const WRONG: Refusal = ("signature_wrong", "The signature does not fit the request.");
const ALGORITHM: Refusal = ("signature_algorithm", "The algorithm is not that of the key.");
const EXPIRED: Refusal = ("signature_expired", "The signature is too old, or not valid yet.");
const UNCOVERED: Refusal = ("signature_uncovered", "The signature does not cover all that it must.");
const UNSUPPORTED: Refusal = ("signature_unsupported", "The signature covers something that is not supported here.");
const REPLAYED: Refusal = ("signature_replayed", "The nonce was used before, or is absent.");
const CONTENT: Refusal = ("signature_content", "The content does not have the digest that was signed.");

impl Kind for Plan {
    type State = State;
    type Memo = Memo;

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn admits_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }

    fn needs_route(&self) -> Option<&'static str> {
        self.body_bytes_max.map(|_| "`body`")
    }

    fn reads_body(&self) -> bool {
        self.body_bytes_max.is_some()
    }

    fn keeps_state_of(&self, _: &Plan) -> bool {
        true
    }

    fn protect(&self, names: &mut Protected) {
        tell::protect(names);
    }

    fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    fn decide<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        match self.verify(facts) {
            Ok(Some(verified)) => {
                *memo = Memo(Some(Box::new(verified)));
                match self.body_bytes_max {
                    Some(bytes_max) if facts.request.head.body != BodyLength::None => {
                        return Decision::Ask(Ask::Body { bytes_max });
                    }
                    // A body that was taken away leaves the digest behind.
                    Some(_) if facts.request.named(DIGEST).is_some() && !has_digest(facts, b"") => {
                        return self.refuse(CONTENT, effects);
                    }
                    Some(_) | None => {}
                }
                self.settle_nonce(state, facts, (effects, memo), now)
            }
            Ok(None) => {
                let passes = tell::anonymous(self.anonymous.as_deref(), (self.consumer_fields, METHOD), facts, effects);
                passes.unwrap_or_else(|| self.refuse(("signature_missing", "A signature is required."), effects))
            }
            Err(refusal) => self.refuse(refusal, effects),
        }
    }

    fn resume<L: Lookup>(&self, state: &mut State, call: Call<'_, L, Memo>, outcome: AskOutcome<'_>) -> Decision<'_> {
        let Call { facts, effects, memo, now } = call;
        let Some(verified) = &memo.0 else { return Decision::Respond(LocalResponse::INTERNAL) };
        match (verified.asked, outcome) {
            (None, AskOutcome::Woken) if has_digest(facts, facts.body.unwrap_or_default()) => {
                self.settle_nonce(state, facts, (effects, memo), now)
            }
            (None, AskOutcome::Woken) => self.refuse(CONTENT, effects),
            (Some(key), AskOutcome::Woken) => match state.nonces.take(key) {
                Some(Freshness::Fresh) => self.admit(facts, (effects, memo)),
                Some(Freshness::Seen) => self.refuse(REPLAYED, effects),
                None => busy(effects),
            },
            (_, AskOutcome::Expired | AskOutcome::Failed | AskOutcome::Subrequest(_)) => busy(effects),
        }
    }
}

/// The field with the digests of the content (RFC 9530).
const DIGEST: &[u8] = b"content-digest";

/// Do the digests that the request states fit this content?
fn has_digest<L>(facts: &Facts<'_, L>, content: &[u8]) -> bool {
    match digest::compare(&combined(facts, DIGEST), content) {
        Agreement::Agrees => true,
        Agreement::Differs | Agreement::Unreadable => false,
    }
}

impl Plan {
    /// Verifies the signature of a request; `None` where it has none.
    fn verify<L>(&self, facts: &Facts<'_, L>) -> Result<Option<Verified>, Refusal> {
        let (inputs, signatures) = (combined(facts, b"signature-input"), combined(facts, b"signature"));
        let has = |name: &[u8]| facts.request.head.fields.named(facts.request.bytes, name).next().is_some();
        match (has(b"signature-input"), has(b"signature")) {
            (false, false) => return Ok(None),
            (true, true) => {}
            (_, _) => return Err(MALFORMED),
        }
        let inputs = structured::dictionary(&inputs).ok_or(MALFORMED)?;
        let signatures = structured::dictionary(&signatures).ok_or(MALFORMED)?;
        let (label, covered) = self.choose(&inputs)?;
        let signature = match structured::find(&signatures, label) {
            Some(Member::Item(Item { value: Bare::Bytes(bytes), parameters })) if parameters.is_empty() => bytes,
            Some(_) | None => return Err(MALFORMED),
        };
        let parameter = |name: &str| structured::find(&covered.parameters, name);
        let text = |name: &str| parameter(name).map(|value| value.string().ok_or(MALFORMED)).transpose();
        let key_id = text("keyid")?.ok_or(UNKNOWN)?;
        let (verifier, identity) = self.key(key_id, facts).ok_or(UNKNOWN)?;
        if text("alg")?.is_some_and(|name| name != verifier.algorithm().name()) {
            return Err(ALGORITHM);
        }
        self.check_time(covered, facts.wall)?;
        let digested = self.body_bytes_max.is_some() && facts.request.head.body != BodyLength::None;
        let required = self.required.iter().map(|name| &**name).chain(digested.then_some("content-digest"));
        if !required.into_iter().all(|name| is_covered(covered, name)) {
            return Err(UNCOVERED);
        }
        let nonce = match self.nonce {
            NonceRule::Ignored => None,
            NonceRule::Required => Some(self.nonce_of(key_id, text("nonce")?.ok_or(REPLAYED)?)),
        };
        let mut base = Vec::new();
        let signed = Signed { request: facts.request, scheme: facts.scheme };
        signed.append_base(covered, &mut base).map_err(|error| match error {
            BaseError::Malformed | BaseError::TooMany => MALFORMED,
            BaseError::Unsupported => UNSUPPORTED,
            BaseError::Absent => WRONG,
        })?;
        if !verifier.verifies(&base, signature) {
            return Err(WRONG);
        }
        Ok(Some(Verified { identity, nonce, asked: None }))
    }

    /// The signature that counts: that of the label, of those with the tag the only one.
    fn choose<'i>(&self, inputs: &'i [(String, Member)]) -> Result<(&'i str, &'i InnerList), Refusal> {
        let labelled = |label: &str| self.label.as_ref().is_none_or(|wanted| **wanted == *label);
        let tagged = |list: &InnerList| {
            let tag = structured::find(&list.parameters, "tag").and_then(Bare::string);
            self.tag.as_ref().is_none_or(|wanted| tag == Some(wanted))
        };
        let mut found = None;
        for (label, member) in inputs {
            let Member::Inner(list) = member else { return Err(MALFORMED) };
            if labelled(label) && tagged(list) && found.replace((label.as_str(), list)).is_some() {
                return Err(AMBIGUOUS);
            }
        }
        found.ok_or(MALFORMED)
    }

    /// The key of that id, and who has it.
    fn key<L>(&self, id: &str, facts: &Facts<'_, L>) -> Option<(Verifier, Identity)> {
        if let Ok(at) = self.keys.binary_search_by(|key| (*key.id).cmp(id)) {
            let Key { verifier, consumer, .. } = &self.keys[at];
            let known = consumer.as_ref().map(|name| facts.directory.by_name(name));
            // A key of somebody who is gone is nobody's.
            let consumer = known.map_or(Some(None), |known| known.map(|known| Some(known.number)))?;
            return Some((verifier.clone(), Identity { consumer, ..Identity::default() }));
        }
        let found = match self.stored {
            Stored::Known => facts.directory.credential(CredentialKind::Hmac, id.as_bytes(), facts.wall)?,
            Stored::Ignored => return None,
        };
        let Credential { number, consumer, app, .. } = *found;
        facts.directory.consumer(consumer)?;
        let identity = Identity { consumer: Some(consumer), credential: Some(number), app, ..Identity::default() };
        Some((Verifier::secret(&found.secret), identity))
    }

    /// `created` and `expires` (RFC 9421 section 2.3), in seconds.
    fn check_time(&self, covered: &InnerList, now: Wall) -> Result<(), Refusal> {
        let time = |name: &str| {
            let value = structured::find(&covered.parameters, name);
            value.map(|value| value.integer().and_then(|time| u64::try_from(time).ok()).ok_or(MALFORMED)).transpose()
        };
        let now = now.0 / 1_000_000;
        let (age, leeway) = (self.age_max.as_secs(), self.leeway.as_secs());
        let created = time("created")?.ok_or(EXPIRED)?;
        let expired = time("expires")?.is_some_and(|expires| expires.saturating_add(leeway) <= now);
        let too_old = created.saturating_add(age).saturating_add(leeway) < now;
        if expired || too_old || created > now.saturating_add(leeway) { Err(EXPIRED) } else { Ok(()) }
    }

    /// What a nonce is kept as: half of a SHA-256 of it, its key and the policy.
    fn nonce_of(&self, key_id: &str, nonce: &str) -> u128 {
        let mut digest = Sha256::new();
        for part in [&*self.name, key_id, nonce] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let digest = digest.finalize();
        let (half, _) = digest.split_first_chunk().expect("a SHA-256 has 32 bytes");
        u128::from_le_bytes(*half)
    }

    /// Asks whether the nonce is fresh, where it must be.
    fn settle_nonce<L>(
        &self,
        state: &mut State,
        facts: &Facts<'_, L>,
        (effects, memo): (&mut Effects, &mut Memo),
        now: Tick,
    ) -> Decision<'_> {
        let Some(verified) = &mut memo.0 else { return Decision::Respond(LocalResponse::INTERNAL) };
        let Some(nonce) = verified.nonce else { return self.admit(facts, (effects, memo)) };
        // Longer than any signature with it can be good.
        let keep = self.age_max + 2 * self.leeway + Duration::from_secs(1);
        let until = now.after(TIMEOUT);
        let Some(key) = state.nonces.ask(nonce, keep, (now, until)) else { return busy(effects) };
        verified.asked = Some(key);
        Decision::Ask(Ask::Control { key, until })
    }

    fn admit<L>(&self, facts: &Facts<'_, L>, (effects, memo): (&mut Effects, &mut Memo)) -> Decision<'_> {
        let Some(verified) = memo.0.take() else { return Decision::Respond(LocalResponse::INTERNAL) };
        let request = facts.request;
        if self.credential == Hiding::Removed {
            for name in [&b"Signature"[..], b"Signature-Input"] {
                effects.to_upstream.remove(&request.head.fields, request.bytes, name);
            }
        }
        let consumer = verified.identity.consumer.and_then(|number| facts.directory.consumer(number));
        let identity = Identity { method: Some(METHOD), ..verified.identity };
        tell::consumer(self.consumer_fields, (&identity, consumer), facts, effects);
        effects.identified = Some(identity);
        Decision::Pass
    }

    fn refuse(&self, (reason, detail): Refusal, effects: &mut Effects) -> Decision<'_> {
        refusal::refuse_unidentified(&self.challenge, reason, detail, effects)
    }
}

/// The combined value of a field.
fn combined<L>(facts: &Facts<'_, L>, name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    facts.request.head.fields.append_combined(facts.request.bytes, name, &mut out);
    out
}

/// Nobody could say in time whether the nonce was used.
fn busy<'p>(effects: &mut Effects) -> Decision<'p> {
    refusal::refuse_busy("signature_busy", "Too many signatures are being checked.", effects)
}

/// What `Identity::method` says.
const METHOD: &str = "http_signature";
/// The longest wait for the control plane.
const TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
