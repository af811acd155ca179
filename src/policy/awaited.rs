// SPDX-License-Identifier: Apache-2.0
//! Questions that one shard has asked the control plane under keys of its own choice, and the answers that came.

use std::collections::{HashMap, VecDeque};

use ahash::RandomState;

use crate::base::Tick;
use crate::policy::question::{Answer, Question};

/// Questions whose answers are awaited, `max` at most.
#[derive(Debug)]
pub(crate) struct Awaited {
    asked: HashMap<u64, Asked, RandomState>,
    outbox: VecDeque<(u64, Question)>,
    max: usize,
}

#[derive(Debug)]
struct Asked {
    /// Nobody waits for it after that.
    until: Tick,
    answer: Option<Answer>,
}

impl Awaited {
    /// Nothing is asked.
    pub(crate) fn new(max: usize) -> Awaited {
        Awaited { asked: HashMap::default(), outbox: VecDeque::new(), max }
    }

    /// Is a question under way, or its answer there?
    pub(crate) fn has(&self, key: u64, now: Tick) -> bool {
        self.asked.get(&key).is_some_and(|asked| now < asked.until)
    }

    /// Asks a question; gives its key, or `None` where too many are under way.
    pub(crate) fn ask(&mut self, key: u64, question: Question, (now, until): (Tick, Tick)) -> Option<u64> {
        if self.asked.len() >= self.max {
            self.asked.retain(|_, asked| now < asked.until);
            if self.asked.len() >= self.max {
                return None;
            }
        }
        self.asked.insert(key, Asked { until, answer: None });
        self.outbox.push_back((key, question));
        Some(key)
    }

    /// The answer, which others may wait for as well.
    pub(crate) fn answer(&self, key: u64, now: Tick) -> Option<&Answer> {
        self.asked.get(&key).filter(|asked| now < asked.until)?.answer.as_ref()
    }

    /// The answer, which only one request waits for.
    pub(crate) fn take(&mut self, key: u64) -> Option<Answer> {
        self.asked.remove(&key)?.answer
    }

    /// The next question that is to be sent.
    pub(crate) fn next_question(&mut self) -> Option<(u64, Question)> {
        self.outbox.pop_front()
    }

    /// Takes an answer. Nobody waits for one that was not asked for.
    pub(crate) fn receive(&mut self, key: u64, answer: Answer) {
        if let Some(asked) = self.asked.get_mut(&key) {
            asked.answer = Some(answer);
        }
    }
}
