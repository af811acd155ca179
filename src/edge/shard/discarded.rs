// SPDX-License-Identifier: Apache-2.0
//! What a replaced plan had on this shard, until it is freed. The last request that holds a plan ends at any time, so
//! it only puts everything here; a task of its own frees it in slices.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::edge::flow::notice::Notice;
use crate::edge::shard::slices::{SLICE, Slices};
use crate::edge::upstream::pool::Upstream;
use crate::net::Net;
use crate::policy::PolicyState;

/// The states of one plan.
pub(crate) struct States<N: Net> {
    /// Of its policies.
    pub policies: Vec<Rc<RefCell<PolicyState>>>,
    /// Of its upstreams.
    pub upstreams: Vec<Rc<Upstream<N>>>,
}

impl<N: Net> Default for States<N> {
    fn default() -> States<N> {
        States { policies: Vec::new(), upstreams: Vec::new() }
    }
}

/// The states of plans that nobody holds any more.
pub(crate) struct Discarded<N: Net> {
    waiting: RefCell<Vec<States<N>>>,
    added: Notice,
    /// Nobody frees anything any more: the thread ends, and tasks that hold plans are dropped with it.
    closed: Cell<bool>,
}

impl<N: Net> Default for Discarded<N> {
    fn default() -> Discarded<N> {
        Discarded { waiting: RefCell::default(), added: Notice::default(), closed: Cell::new(false) }
    }
}

impl<N: Net> Discarded<N> {
    /// Nobody holds these any more. Few are freed at once.
    pub(crate) fn add(&self, states: States<N>) {
        if !self.closed.get() && states.policies.len() + states.upstreams.len() > SLICE {
            self.waiting.borrow_mut().push(states);
            self.added.raise();
        }
    }

    /// The thread ends: from now on everything is freed at once.
    pub(crate) fn close(&self) {
        self.closed.set(true);
    }

    /// Frees what was added, and what will be. Ends with the task that runs it.
    pub(crate) async fn free(&self, slices: &mut Slices<'_, N>) {
        loop {
            self.added.heard().await;
            while let Some(states) = self.next() {
                for policy in states.policies {
                    drop(policy);
                    slices.step(1).await;
                }
                for upstream in states.upstreams {
                    drop(upstream);
                    slices.step(1).await;
                }
            }
        }
    }

    fn next(&self) -> Option<States<N>> {
        self.waiting.borrow_mut().pop()
    }
}
