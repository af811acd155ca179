// SPDX-License-Identifier: Apache-2.0
//! What a shard knows of passwords that were checked: verdicts, and questions that are on their way.
//!
//! A verdict is remembered under a SHA-256 of the stored hash and the password. The stored hash holds a random salt and
//! is known to nobody outside, so it is the key of that digest: what lies here is no easier to guess from than what the
//! file holds. A hash that changes makes its old verdicts unreachable, so a new password acts at once.
//!
//! Verdicts that fit and those that do not are remembered apart, so that guessing displaces no right password.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use sha2::{Digest, Sha256};

use crate::base::Tick;
use crate::base::limits::{PASSWORD_QUESTIONS_MAX, VERDICTS_MAX};
use crate::policy::password::{PasswordHash, Verdict};
use crate::policy::question::{Answer, PasswordQuestion, Question};

/// What one shard knows of passwords.
#[derive(Debug)]
pub(crate) struct Verdicts {
    fitting: Remembered,
    differing: Remembered,
    /// By the waiting key: what is asked, and when nobody waits for it any more.
    pending: HashMap<u64, (u128, Tick), RandomState>,
    outbox: VecDeque<(u64, Question)>,
}

/// A password and a hash, as they are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair(u128);

impl Pair {
    /// Of a stored hash, as text, and what a client sent.
    pub(crate) fn of(hash: &[u8], password: &[u8]) -> Pair {
        let digest = Sha256::new()
            .chain_update((hash.len() as u64).to_le_bytes())
            .chain_update(hash)
            .chain_update(password)
            .finalize();
        let (half, _) = digest.split_first_chunk().expect("a SHA-256 has 32 bytes");
        Pair(u128::from_le_bytes(*half))
    }

    /// What requests wait for. Two pairs with the same half wake each other, and look for their own verdict then.
    fn key(self) -> u64 {
        self.0 as u64
    }
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The verdict will come under this key.
    Waiting(u64),
    /// Too many questions are on their way from this shard.
    Full,
}

impl Verdicts {
    /// Nothing is known.
    pub(crate) fn new() -> Verdicts {
        Verdicts {
            fitting: Remembered::default(),
            differing: Remembered::default(),
            pending: HashMap::default(),
            outbox: VecDeque::new(),
        }
    }

    /// The verdict, where it is remembered.
    pub(crate) fn find(&mut self, pair: Pair, now: Tick) -> Option<Verdict> {
        if self.fitting.has(pair, now) {
            return Some(Verdict::Fits);
        }
        self.differing.has(pair, now).then_some(Verdict::Differs)
    }

    /// Asks for the verdict, unless another request has. The answer is awaited until then.
    pub(crate) fn ask(
        &mut self,
        pair: Pair,
        hash: Arc<PasswordHash>,
        password: &[u8],
        (now, until): (Tick, Tick),
    ) -> Asked {
        let key = pair.key();
        if self.pending.get(&key).is_some_and(|(_, until)| now < *until) {
            return Asked::Waiting(key);
        }
        if self.pending.len() >= PASSWORD_QUESTIONS_MAX {
            self.pending.retain(|_, (_, until)| now < *until);
            if self.pending.len() >= PASSWORD_QUESTIONS_MAX {
                return Asked::Full;
            }
        }
        self.pending.insert(key, (pair.0, until));
        let question = PasswordQuestion { hash, password: password.into() };
        self.outbox.push_back((key, Question::Password(question)));
        Asked::Waiting(key)
    }

    /// The next question that is to be sent, with its key.
    pub(crate) fn next_question(&mut self) -> Option<(u64, Question)> {
        self.outbox.pop_front()
    }

    /// Takes an answer. A verdict is remembered so long.
    pub(crate) fn receive(&mut self, key: u64, answer: &Answer, keep: Duration, now: Tick) {
        // One that comes after its time counts as well, and one that nobody asked for does not.
        let Some((pair, _)) = self.pending.remove(&key) else { return };
        match answer {
            Answer::Password(Verdict::Fits) => self.fitting.insert(Pair(pair), now.after(keep)),
            Answer::Password(Verdict::Differs) => self.differing.insert(Pair(pair), now.after(keep)),
            Answer::Keys | Answer::Token(_) | Answer::Nonce(_) | Answer::Address(_) | Answer::Login(_) => {}
            Answer::Signed(_) | Answer::Unavailable | Answer::Busy => {}
        }
    }
}

/// Pairs with the time until which they count, `VERDICTS_MAX` at most: where the younger half is full, the older half
/// is forgotten and the younger takes its place. What is in use moves to the younger.
#[derive(Debug, Default)]
struct Remembered {
    young: HashMap<u128, Tick, RandomState>,
    old: HashMap<u128, Tick, RandomState>,
}

impl Remembered {
    fn has(&mut self, pair: Pair, now: Tick) -> bool {
        if let Some(until) = self.young.get(&pair.0) {
            return now < *until;
        }
        let Some(until) = self.old.remove(&pair.0) else { return false };
        if now >= until {
            return false;
        }
        self.insert(pair, until);
        true
    }

    fn insert(&mut self, pair: Pair, until: Tick) {
        if self.young.len() >= VERDICTS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(pair.0, until);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const KEEP: Duration = Duration::from_secs(60);

    fn hash() -> Arc<PasswordHash> {
        Arc::new(PasswordHash::parse("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").expect("well formed"))
    }

    #[test]
    fn many_with_the_same_credentials_ask_once() {
        let (mut verdicts, hash, now) = (Verdicts::new(), hash(), Tick::ZERO);
        let (pair, until) = (Pair::of(hash.text().as_bytes(), b"password"), now.after(KEEP));
        let asked = verdicts.ask(pair, hash.clone(), b"password", (now, until));
        assert_eq!(verdicts.ask(pair, hash.clone(), b"password", (now, until)), asked);
        let (key, _) = verdicts.next_question().expect("the first asks");
        assert!(verdicts.next_question().is_none() && asked == Asked::Waiting(key));
        verdicts.receive(key, &Answer::Password(Verdict::Fits), KEEP, now);
        assert_eq!(verdicts.find(pair, now), Some(Verdict::Fits));
        assert_eq!(verdicts.find(pair, now.after(KEEP)), None, "a verdict ends");
        assert_eq!(verdicts.find(Pair::of(hash.text().as_bytes(), b"Password"), now), None);
    }

    #[test]
    fn a_busy_plane_leaves_no_verdict_and_the_next_asks_again() {
        let (mut verdicts, hash, now) = (Verdicts::new(), hash(), Tick::ZERO);
        let (pair, times) = (Pair::of(hash.text().as_bytes(), b"x"), (now, now.after(KEEP)));
        verdicts.ask(pair, hash.clone(), b"x", times);
        let (key, _) = verdicts.next_question().expect("asked");
        verdicts.receive(key, &Answer::Busy, KEEP, now);
        assert_eq!(verdicts.find(pair, now), None);
        verdicts.ask(pair, hash.clone(), b"x", times);
        assert!(verdicts.next_question().is_some());
    }

    #[test]
    fn a_lost_answer_is_asked_for_again_once_nobody_waits_for_it() {
        let (mut verdicts, hash, now) = (Verdicts::new(), hash(), Tick::ZERO);
        let pair = Pair::of(hash.text().as_bytes(), b"x");
        verdicts.ask(pair, hash.clone(), b"x", (now, now.after(KEEP)));
        verdicts.next_question();
        verdicts.ask(pair, hash.clone(), b"x", (now.after(KEEP), now.after(2 * KEEP)));
        assert!(verdicts.next_question().is_some());
    }

    #[test]
    fn above_the_cap_nobody_asks() {
        let (mut verdicts, hash, now) = (Verdicts::new(), hash(), Tick::ZERO);
        let times = (now, now.after(KEEP));
        for number in 0..PASSWORD_QUESTIONS_MAX {
            let password = number.to_string();
            let pair = Pair::of(hash.text().as_bytes(), password.as_bytes());
            assert!(matches!(verdicts.ask(pair, hash.clone(), password.as_bytes(), times), Asked::Waiting(_)));
        }
        assert_eq!(verdicts.ask(Pair::of(hash.text().as_bytes(), b"x"), hash.clone(), b"x", times), Asked::Full);
        let later = (now.after(KEEP), now.after(2 * KEEP));
        assert!(matches!(
            verdicts.ask(Pair::of(hash.text().as_bytes(), b"x"), hash.clone(), b"x", later),
            Asked::Waiting(_)
        ));
    }

    #[test]
    fn guessing_displaces_no_right_password_and_memory_is_bounded() {
        let (mut verdicts, hash, now) = (Verdicts::new(), hash(), Tick::ZERO);
        let right = Pair::of(hash.text().as_bytes(), b"password");
        verdicts.fitting.insert(right, now.after(KEEP));
        for number in 0..3 * VERDICTS_MAX as u128 {
            verdicts.differing.insert(Pair(number), now.after(KEEP));
        }
        assert_eq!(verdicts.find(right, now), Some(Verdict::Fits));
        assert!(verdicts.differing.young.len() + verdicts.differing.old.len() <= VERDICTS_MAX);
    }

    proptest! {
        #[test]
        fn only_what_was_found_to_fit_fits(
            steps in prop::collection::vec((0_u8..6, any::<bool>(), 0_u64..90), 1..60),
        ) {
            let (mut verdicts, hash, mut now) = (Verdicts::new(), hash(), Tick::ZERO);
            let mut known: HashMap<u8, (Verdict, Tick)> = HashMap::new();
            for (password, fits, seconds) in steps {
                now = now.after(Duration::from_secs(seconds));
                let pair = Pair::of(hash.text().as_bytes(), &[password]);
                let found = verdicts.find(pair, now);
                let expected = known.get(&password).filter(|(_, until)| now < *until).map(|(verdict, _)| *verdict);
                prop_assert_eq!(found, expected);
                if found.is_none() {
                    verdicts.ask(pair, hash.clone(), &[password], (now, now.after(KEEP)));
                    let Some((key, _)) = verdicts.next_question() else { continue };
                    let verdict = if fits { Verdict::Fits } else { Verdict::Differs };
                    verdicts.receive(key, &Answer::Password(verdict), KEEP, now);
                    known.insert(password, (verdict, now.after(KEEP)));
                }
                prop_assert!(verdicts.pending.len() <= 1);
            }
        }
    }
}
