// SPDX-License-Identifier: Apache-2.0
//! Servers outside that policies need: issuers' keys, and what authorisation servers say of tokens.
//!
//! One task for each source, whichever policies use it, as long as a plan names it; so neither a reload nor a server
//! that is away makes shards forget keys. A task takes its questions from a queue of `QUESTIONS_MAX`; above it the
//! answer is at once that the source is not available.

mod client;
mod keys;
mod login;
mod task;
mod tokens;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_local};

use crate::base::Rng;
use crate::base::limits::QUESTIONS_MAX;
use crate::config::plan::{AskedFor, Plan, SourcePlan};
use crate::control::resolve::SystemLookup;
use crate::control::sources::task::{Asked, Run, Slot};
use crate::policy::login::Revoked;
use crate::policy::{Answer, Keys, Question, SourceId};

pub(super) use task::{Asker, Ended, Told};

/// All sources.
#[derive(Debug)]
pub(super) struct Sources {
    running: BTreeMap<SourceId, Running>,
    /// Sessions of browsers that ended before their time.
    pub(super) revoked: Revoked,
    told: mpsc::Sender<Told>,
    lookup: Rc<SystemLookup>,
    seed: u64,
}

#[derive(Debug)]
struct Running {
    task: AbortHandle,
    slot: Rc<Slot>,
    questions: mpsc::Sender<(Asker, Asked)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sources {
    /// Reports to `told`; `seed` spreads the requests.
    pub(super) fn new(told: mpsc::Sender<Told>, seed: u64) -> Sources {
        Sources {
            running: BTreeMap::new(),
            revoked: Revoked::default(),
            told,
            lookup: Rc::new(SystemLookup::new()),
            seed,
        }
    }

    /// From now on asks exactly the sources of these plans. Where two plans have the same source, the settings of the
    /// last plan apply.
    pub(super) fn follow<'p>(&mut self, plans: impl Iterator<Item = &'p Plan>) {
        let wanted: BTreeMap<SourceId, &SourcePlan> =
            plans.flat_map(|plan| &plan.sources).map(|source| (source.id, source)).collect();
        self.running.retain(|id, _| wanted.contains_key(id));
        for (id, plan) in wanted {
            match self.running.get(&id) {
                // The new certificates of authorities count from the next connection on.
                Some(running) => drop(running.slot.terms.replace(plan.clone())),
                None => self.start(id, plan),
            }
        }
    }

    fn start(&mut self, id: SourceId, plan: &SourcePlan) {
        self.seed = self.seed.wrapping_add(1);
        let (questions, taken) = mpsc::channel(QUESTIONS_MAX);
        let asks_alone = matches!(plan.asked_for, AskedFor::Keys(_));
        let slot = Rc::new(Slot {
            terms: RefCell::new(plan.clone()),
            asked: Cell::new(!asks_alone),
            known: RefCell::default(),
        });
        let run = Run {
            slot: Rc::clone(&slot),
            lookup: Rc::clone(&self.lookup),
            questions: taken,
            told: self.told.clone(),
            rng: Rng::new(self.seed),
        };
        let task = match &plan.asked_for {
            AskedFor::Keys(keys) => spawn_local(keys::follow(run, keys.clone())),
            AskedFor::Tokens(_) => spawn_local(tokens::follow(run)),
            AskedFor::Logins(login) => spawn_local(login::follow(run, Arc::clone(login))),
        };
        self.running.insert(id, Running { task: task.abort_handle(), slot, questions });
    }

    /// Where something is told that tasks of others found out.
    pub(super) fn told(&self) -> mpsc::Sender<Told> {
        self.told.clone()
    }

    /// Issuers that were not asked yet.
    pub(super) fn open(&self) -> usize {
        self.running.values().filter(|running| !running.slot.asked.get()).count()
    }

    /// The keys that are known.
    pub(super) fn known(&self) -> impl Iterator<Item = Keys> {
        self.running.iter().filter_map(|(id, running)| {
            let set = running.slot.known.borrow().clone()?;
            Some(Keys { source: *id, set: Some(set) })
        })
    }

    /// Takes a question; the answer comes as an event. Where it cannot be taken, this is the answer.
    pub(super) fn ask(&self, asker: Asker, question: Question) -> Option<Answer> {
        let (source, asked) = match question {
            Question::Keys(source) => (source, Asked::Keys),
            Question::Token(question) => (question.source, Asked::Token(question.token)),
            Question::Login(source, step) => (source, Asked::Login(step)),
            // `questions` answers these.
            Question::Password(_) | Question::Nonce(_) | Question::Address(_) | Question::Sign(_) => {
                return Some(Answer::Unavailable);
            }
        };
        // A plan that is not in use any more may have had it.
        let Some(running) = self.running.get(&source) else { return Some(Answer::Unavailable) };
        running.questions.try_send((asker, asked)).err().map(|_| Answer::Unavailable)
    }
}

#[cfg(test)]
mod tests;
