// SPDX-License-Identifier: Apache-2.0
//! What the tasks that ask servers outside have in common: what they are told, and what they have to say.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::base::Rng;
use crate::config::plan::SourcePlan;
use crate::control::fetch::Client;
use crate::control::resolve::SystemLookup;
use crate::control::store::session::SessionRow;
use crate::policy::login::{LoginStep, Revocation};
use crate::policy::{Answer, Keys, Ticket};
use crate::wire::jose::KeySet;

/// A shard, and what it knows a question by.
pub(in crate::control) type Asker = (usize, Ticket);

/// What a task has to say to shards.
#[derive(Debug)]
pub(in crate::control) enum Told {
    /// To all shards: the keys of an issuer.
    Keys(Keys),
    /// To those that asked.
    Answer(Vec<Asker>, Answer),
    /// To all shards: sessions that ended before their time; then to those that asked.
    Ended(Ended),
    /// To all shards: the same, from the store.
    Remembered(Vec<Revocation>),
    /// To the store: somebody has signed in, or goes on.
    Session(Box<SessionRow>),
}

/// Sessions that ended, and who has asked for it.
#[derive(Debug)]
pub(in crate::control) struct Ended {
    /// The sessions.
    pub revoked: Vec<Revocation>,
    /// Who has asked.
    pub askers: Vec<Asker>,
    /// What they are told when all shards know it.
    pub answer: Answer,
}

/// A question on its way to its task.
pub(super) enum Asked {
    /// For newer keys.
    Keys,
    /// About a token.
    Token(Box<str>),
    /// A step of a login.
    Login(Box<LoginStep>),
}

/// What a task and the list of tasks share of one source.
#[derive(Debug)]
pub(super) struct Slot {
    pub terms: RefCell<SourcePlan>,
    /// The server was asked for keys at least once, with whatever outcome; always true where it is asked about tokens.
    pub asked: Cell<bool>,
    /// The keys in use.
    pub known: RefCell<Option<Arc<KeySet>>>,
}

/// One task.
pub(super) struct Run {
    pub slot: Rc<Slot>,
    pub lookup: Rc<SystemLookup>,
    pub questions: mpsc::Receiver<(Asker, Asked)>,
    pub told: mpsc::Sender<Told>,
    pub rng: Rng,
}

impl Run {
    /// How its server is reached.
    pub(super) fn client(&self) -> Client {
        Client { lookup: Rc::clone(&self.lookup), tls: self.slot.terms.borrow().tls.clone() }
    }
}
