// SPDX-License-Identifier: Apache-2.0
//! A shard's side of what policies ask the control plane: sends questions out of the states of policies, and brings the
//! answers back to them. A state is known by its address while an answer may come for it, so that answers find it
//! whatever plan is in use by then.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use ahash::RandomState;

use crate::base::Tick;
use crate::edge::shard::peers::Peers;
use crate::edge::shard::waiters::Subject;
use crate::link::{FromShard, Outbox};
use crate::net::Net;
use crate::policy::{Answer, PolicyState, Ticket};

/// The states that have asked.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// By their addresses. The weak reference keeps an address from being used for another state.
    askers: RefCell<HashMap<u64, Weak<RefCell<PolicyState>>, RandomState>>,
}

/// Did all questions leave?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// They did.
    All,
    /// The queue to the control plane is full. Those that did not leave were answered with `Busy`.
    Refused,
}

/// What a state is known by.
pub(crate) fn owner_of(state: &Rc<RefCell<PolicyState>>) -> u64 {
    Rc::as_ptr(state).addr() as u64
}

impl Questions {
    /// Sends what the state of a policy asks.
    pub(crate) fn send(&self, state: &Rc<RefCell<PolicyState>>, outbox: &Outbox, now: Tick) -> Sending {
        let owner = owner_of(state);
        let mut sending = Sending::All;
        loop {
            // A borrow of its own: whoever is told of a refusal borrows the state again.
            let Some((key, question)) = state.borrow_mut().next_question() else { return sending };
            self.know(owner, state);
            if outbox.send(FromShard::Question(Ticket { owner, key }, Box::new(question))).is_err() {
                state.borrow_mut().receive(key, Answer::Busy, now);
                sending = Sending::Refused;
            }
        }
    }

    /// Takes an answer, and wakes the requests that wait for it. Where the state is gone, so are they.
    pub(crate) fn take<N: Net>(&self, ticket: Ticket, answer: Answer, peers: &Peers<N>, now: Tick) {
        let Ticket { owner, key } = ticket;
        let state = self.askers.borrow().get(&owner).and_then(Weak::upgrade);
        if let Some(state) = state {
            state.borrow_mut().receive(key, answer, now);
            peers.wake(Subject { owner, key });
        }
    }

    fn know(&self, owner: u64, state: &Rc<RefCell<PolicyState>>) {
        let mut askers = self.askers.borrow_mut();
        if askers.len() == askers.capacity() {
            askers.retain(|_, state| state.strong_count() > 0);
        }
        askers.entry(owner).or_insert_with(|| Rc::downgrade(state));
    }
}
