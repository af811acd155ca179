// SPDX-License-Identifier: Apache-2.0
//! Answers what policies on shards ask (`policy::question`). Passwords are checked and tokens signed away from the
//! control plane's thread, on blocking threads, a few at a time; `COMPUTATIONS_WAITING_MAX` wait for one, in order, and
//! above it a question is answered with `Busy` at once. Names of addresses are asked of DNS, `ADDRESSES_MAX` at a time;
//! above it the answer is `Busy` as well.

use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::mpsc;
use tokio::task::{spawn_blocking, spawn_local};

use crate::base::Tick;
use crate::base::limits::{ADDRESSES_MAX, COMPUTATIONS_WAITING_MAX, COMPUTE_MAX};
use crate::control::names;
use crate::control::random::random;
use crate::control::resolve::SystemLookup;
use crate::net::machine;
use crate::policy::question::{PasswordQuestion, SignQuestion};
use crate::policy::used_nonces::UsedNonces;
use crate::policy::{Answer, Question, Ticket};

/// A shard, and what it knows a question by.
pub(super) type Asker = (usize, Ticket);

/// An answer on its way to the shard that asked.
#[derive(Debug)]
pub(super) struct Answered {
    /// Who asked.
    pub asker: Asker,
    /// The answer.
    pub answer: Answer,
}

/// Questions that are being answered.
#[derive(Debug)]
pub(super) struct Questions {
    answers: mpsc::Sender<Answered>,
    threads: usize,
    running: usize,
    waiting: VecDeque<(Asker, Computation)>,
    nonces: UsedNonces,
    lookup: Rc<SystemLookup>,
    /// Addresses whose names are being asked for.
    addresses: usize,
}

/// What takes long.
#[derive(Debug)]
enum Computation {
    Check(PasswordQuestion),
    Sign(SignQuestion),
}

impl Computation {
    fn run(self) -> Answer {
        match self {
            Computation::Check(question) => Answer::Password(question.hash.verify(&question.password)),
            Computation::Sign(question) => random().map_or(Answer::Signed(None), |id| question.answer(id)),
        }
    }
}

impl Questions {
    /// Answers go to `answers`.
    pub(super) fn new(answers: mpsc::Sender<Answered>) -> Questions {
        let threads = (machine::cores().len() / 2).clamp(1, COMPUTE_MAX);
        let (waiting, nonces, lookup) = (VecDeque::new(), UsedNonces::default(), Rc::new(SystemLookup::new()));
        Questions { answers, threads, running: 0, waiting, nonces, lookup, addresses: 0 }
    }

    /// Takes a question; the answer comes as an event. Where it cannot be taken, this is the answer.
    pub(super) fn ask(&mut self, asker: Asker, question: Question, now: Tick) -> Option<Answer> {
        match question {
            Question::Password(question) => self.compute(asker, Computation::Check(question)),
            Question::Sign(question) => self.compute(asker, Computation::Sign(question)),
            // `sources` answers these.
            Question::Keys(_) | Question::Token(_) | Question::Login(..) => Some(Answer::Unavailable),
            Question::Address(_) if self.addresses >= ADDRESSES_MAX => Some(Answer::Busy),
            Question::Address(question) => {
                self.addresses += 1;
                let (answers, lookup) = (self.answers.clone(), Rc::clone(&self.lookup));
                spawn_local(async move {
                    let answer = names::belonging(&*lookup, &question).await;
                    // The control plane is gone where nobody takes it.
                    let _ = answers.send(Answered { asker, answer }).await;
                });
                None
            }
            Question::Nonce(question) => Some(match self.nonces.note(question, now) {
                Some(freshness) => Answer::Nonce(freshness),
                None => Answer::Busy,
            }),
        }
    }

    fn compute(&mut self, asker: Asker, computation: Computation) -> Option<Answer> {
        if self.waiting.len() >= COMPUTATIONS_WAITING_MAX {
            return Some(Answer::Busy);
        }
        self.waiting.push_back((asker, computation));
        self.begin();
        None
    }

    /// An answer was taken. Of a computation: the next one's turn.
    pub(super) fn ended(&mut self, answer: &Answer) {
        match answer {
            Answer::Password(_) | Answer::Signed(_) => {
                self.running -= 1;
                self.begin();
            }
            // Only names are asked of somebody outside.
            Answer::Address(_) | Answer::Unavailable => self.addresses -= 1,
            Answer::Keys | Answer::Token(_) | Answer::Login(_) | Answer::Nonce(_) | Answer::Busy => {}
        }
    }

    fn begin(&mut self) {
        while self.running < self.threads
            && let Some((asker, computation)) = self.waiting.pop_front()
        {
            self.running += 1;
            let answers = self.answers.clone();
            spawn_blocking(move || {
                let answer = computation.run();
                // The control plane is gone where nobody takes it.
                let _ = answers.blocking_send(Answered { asker, answer });
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::password::{PasswordHash, Verdict};

    fn question(password: &str) -> Question {
        let hash = PasswordHash::parse("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=").expect("well formed");
        Question::Password(PasswordQuestion { hash: Arc::new(hash), password: password.as_bytes().into() })
    }

    #[tokio::test]
    async fn all_are_answered_and_what_is_too_much_is_busy() {
        let (answers, mut answered) = mpsc::channel(4);
        let mut questions = Questions::new(answers);
        let room = questions.threads + COMPUTATIONS_WAITING_MAX;
        let mut busy = 0;
        for key in 0..room as u64 + 3 {
            let password = if key % 2 == 0 { "password" } else { "other" };
            let asker = (1, Ticket { owner: 7, key });
            busy += usize::from(questions.ask(asker, question(password), Tick::ZERO) == Some(Answer::Busy));
        }
        assert_eq!(busy, 3);
        let mut seen = vec![false; room];
        for _ in 0..room {
            let Answered { asker: (shard, Ticket { owner, key }), answer } = answered.recv().await.expect("an answer");
            questions.ended(&answer);
            let expected = if key % 2 == 0 { Verdict::Fits } else { Verdict::Differs };
            assert_eq!((shard, owner, answer), (1, 7, Answer::Password(expected)));
            assert!(!std::mem::replace(&mut seen[key as usize], true), "once each");
        }
        assert_eq!((questions.running, questions.waiting.len()), (0, 0));
    }
}
