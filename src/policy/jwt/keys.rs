// SPDX-License-Identifier: Apache-2.0
//! Hot. The keys of one issuer on one shard: ready to verify, and asked for where one is not known.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::base::Tick;
use crate::base::limits::KEYS_TRIED_MAX;
use crate::policy::question::{self, Answer, Keys, SourceId};
use crate::policy::token::{Refusal, rules};
use crate::wire::jose::{Algorithm, Key, KeySet, Token, Verifier};

/// Where the keys of an issuer come from.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// They stand in the configuration, or in a file that it names.
    Known(Arc<KeySet>),
    /// The control plane asks for them.
    Asked(SourceId),
}

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    /// `None` where the keys never change.
    source: Option<SourceId>,
    set: Option<Arc<KeySet>>,
    /// In the order of the set.
    ready: Vec<Ready>,
    cool_down: Duration,
    /// A question is to be sent.
    pending: bool,
    /// A key is missed that a new set may have.
    misses: bool,
    /// An answer is awaited until then; after that it counts as lost.
    asked_until: Tick,
    /// No question before.
    again_at: Tick,
    /// The issuer did not answer the last question.
    unreachable: bool,
}

/// A key with what was made of it, by algorithm.
#[derive(Debug)]
struct Ready {
    /// A hash of the key.
    mark: u64,
    verifiers: Vec<(Algorithm, Verifier)>,
}

/// Which key is lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// All: none is known.
    All,
    /// The one that the token names, or one that verifies it.
    This,
}

/// May the control plane be asked?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// It is asked; the answer comes under this key.
    Asked(u64),
    /// Not now.
    Refused,
}

impl IssuerKeys {
    pub(crate) fn new(keys: &KeySource, cool_down: Duration) -> IssuerKeys {
        let mut fresh = IssuerKeys {
            source: None,
            set: None,
            ready: Vec::new(),
            cool_down,
            pending: false,
            misses: false,
            asked_until: Tick::ZERO,
            again_at: Tick::ZERO,
            unreachable: false,
        };
        match keys {
            KeySource::Known(set) => fresh.take(Some(set)),
            KeySource::Asked(source) => fresh.source = Some(*source),
        }
        fresh
    }

    /// The mark of the key that verified the token; `None` where its signature is wrong.
    pub(crate) fn verify(&mut self, token: &Token<'_>) -> Result<Option<u64>, Lacking> {
        // Keys that never change are always known.
        let Some(set) = &self.set else { return Err(Lacking::All) };
        // Where the token names a key that the set has, no other is tried. Keys without a name may be any.
        let named = |key: &Key| token.key.is_some() && key.id == token.key;
        let is_known = set.keys.iter().any(named);
        let candidate = |key: &Key| if is_known { named(key) } else { token.key.is_none() || key.id.is_none() };
        let mut fitting = 0;
        for (key, ready) in set.keys.iter().zip(&mut self.ready) {
            if !candidate(key) || !key.fits(token.algorithm) {
                continue;
            }
            fitting += 1;
            if fitting > KEYS_TRIED_MAX {
                break;
            }
            if ready.verifies(key, token) {
                return Ok(Some(ready.mark));
            }
        }
        // A key of that name has verified nothing: the signature is wrong. Otherwise there may be a newer key.
        if is_known || self.source.is_none() { Ok(None) } else { Err(Lacking::This) }
    }

    /// Asks for newer keys, if there is somebody to ask and it is time. Whoever asks while an answer is awaited waits
    /// for the same answer.
    pub(crate) fn ask(&mut self, lacking: Lacking, now: Tick, wait: Duration) -> Question {
        let Some(SourceId(source)) = self.source else { return Question::Refused };
        if now < self.asked_until {
            self.misses |= lacking == Lacking::This;
            return Question::Asked(source);
        }
        if now < self.again_at {
            return Question::Refused;
        }
        self.pending = true;
        self.misses = lacking == Lacking::This;
        self.asked_until = now.after(wait);
        Question::Asked(source)
    }

    /// The question that is to be sent.
    pub(crate) fn next_question(&mut self) -> Option<(u64, question::Question)> {
        let source = self.source?;
        std::mem::take(&mut self.pending).then_some((source.0, question::Question::Keys(source)))
    }

    /// Takes the answer to a question.
    pub(crate) fn receive(&mut self, key: u64, answer: &Answer, now: Tick) {
        if self.source != Some(SourceId(key)) {
            return;
        }
        self.asked_until = Tick::ZERO;
        self.unreachable = match answer {
            Answer::Keys => false,
            Answer::Unavailable | Answer::Busy => true,
            Answer::Token(..) | Answer::Password(_) | Answer::Nonce(_) | Answer::Address(_) => true,
            Answer::Login(_) | Answer::Signed(_) => true,
        };
        let again_at = now.after(self.cool_down);
        match answer {
            // A question that never left costs the issuer nothing.
            Answer::Busy => {}
            // The first keys came. One that they lack may be newer than they are.
            Answer::Keys if !self.misses => {}
            Answer::Keys | Answer::Unavailable => self.again_at = again_at,
            Answer::Token(..) | Answer::Password(_) | Answer::Nonce(_) | Answer::Address(_) => self.again_at = again_at,
            Answer::Login(_) | Answer::Signed(_) => self.again_at = again_at,
        }
    }

    /// Takes the issuer's keys. True where they are others than before.
    pub(crate) fn learn(&mut self, keys: &Keys) -> bool {
        if self.source != Some(keys.source) || self.set == keys.set {
            return false;
        }
        self.take(keys.set.as_ref());
        true
    }

    fn take(&mut self, set: Option<&Arc<KeySet>>) {
        let mut before = std::mem::take(&mut self.ready);
        let keys = set.map_or(&[][..], |set| &set.keys);
        self.ready = keys
            .iter()
            .map(|key| {
                let mark = mark_of(key);
                let known = before.iter().position(|ready| ready.mark == mark);
                known.map_or_else(|| Ready { mark, verifiers: Vec::new() }, |at| before.swap_remove(at))
            })
            .collect();
        self.set = set.cloned();
    }

    /// Is there a key of this mark?
    pub(crate) fn has(&self, mark: u64) -> bool {
        self.ready.iter().any(|ready| ready.mark == mark)
    }

    /// What is said of a token whose key is not known.
    pub(crate) fn refusal(&self, lacking: Lacking, pause: Duration) -> Refusal {
        match lacking {
            Lacking::All => Refusal::Unavailable(pause),
            // The key may be new, and only the issuer could tell.
            Lacking::This if self.unreachable || self.asked_until != Tick::ZERO => Refusal::Unavailable(pause),
            Lacking::This => rules::KEY,
        }
    }
}

impl Ready {
    fn verifies(&mut self, key: &Key, token: &Token<'_>) -> bool {
        let known = self.verifiers.iter().position(|(algorithm, _)| *algorithm == token.algorithm);
        let at = match known {
            Some(at) => at,
            None => {
                let Some(verifier) = Verifier::new(key, token.algorithm) else { return false };
                self.verifiers.push((token.algorithm, verifier));
                self.verifiers.len() - 1
            }
        };
        self.verifiers[at].1.verifies(token.signed, &token.signature)
    }
}

/// A hash of a key: what was verified with one that is gone is not valid any more.
fn mark_of(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
