// SPDX-License-Identifier: Apache-2.0
//! Nonces that a shard asks the control plane about. Each request asks for itself: of two with the same nonce one is
//! told that it is fresh.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ahash::RandomState;

use crate::base::Tick;
use crate::base::limits::NONCE_QUESTIONS_MAX;
use crate::policy::question::{Answer, Freshness, NonceQuestion, Question};

/// Questions about nonces and their answers.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    last: u64,
    /// By key: when nobody waits any more, and the answer once it is there.
    open: HashMap<u64, (Tick, Option<Freshness>), RandomState>,
    outbox: VecDeque<(u64, Question)>,
}

impl Nonces {
    /// Asks whether a nonce is fresh; it is kept so long. `None` where too many questions are open.
    pub(super) fn ask(&mut self, nonce: u128, keep: Duration, (now, until): (Tick, Tick)) -> Option<u64> {
        if self.open.len() >= NONCE_QUESTIONS_MAX {
            self.open.retain(|_, (until, _)| now < *until);
            if self.open.len() >= NONCE_QUESTIONS_MAX {
                return None;
            }
        }
        self.last += 1;
        self.open.insert(self.last, (until, None));
        self.outbox.push_back((self.last, Question::Nonce(NonceQuestion { nonce, keep })));
        Some(self.last)
    }

    pub(super) fn next_question(&mut self) -> Option<(u64, Question)> {
        self.outbox.pop_front()
    }

    pub(super) fn receive(&mut self, key: u64, answer: &Answer, now: Tick) {
        match (answer, self.open.get_mut(&key)) {
            (Answer::Nonce(freshness), Some((until, found))) if now < *until => *found = Some(*freshness),
            (_, _) => {
                self.open.remove(&key);
            }
        }
    }

    /// The answer; `None` where there is none, because too many waited.
    pub(super) fn take(&mut self, key: u64) -> Option<Freshness> {
        self.open.remove(&key)?.1
    }
}
