// SPDX-License-Identifier: Apache-2.0
//! Hot. The load of one upstream: endpoint selection, the queue, open connections and requests in flight.
//!
//! Guards (`Open`, `InFlight`) count connections and requests, so that each is counted out however it ends.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::balance::{Admission, Cluster, EndpointIndex, Flight, Outcome};
use crate::base::canary::{self, Flaw};
use crate::base::limits::FAILURE_NOTICE_MS;
use crate::base::{Fault, FaultKind, Tick};
use crate::net::Net;

/// The load of one upstream on one shard.
pub(crate) struct Load {
    /// Who gets the next request.
    pub cluster: RefCell<Cluster>,
    open: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    /// By slot: what the operator was told of failures.
    failures: RefCell<Vec<Failures>>,
}

/// Failures of one endpoint of which the operator is told at intervals.
#[derive(Clone, Copy)]
struct Failures {
    of: EndpointIndex,
    /// Since the last notice.
    count: u64,
    /// When the next notice may leave.
    due: Tick,
}

#[derive(Default)]
struct Waiter {
    admitted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Counts a connection to an endpoint, from before it is opened until it is dropped.
pub(crate) struct Open {
    load: Rc<Load>,
    /// Which endpoint it leads to.
    pub index: EndpointIndex,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.load.cluster.borrow_mut().connection_closed(self.index);
        self.load.open.set(self.load.open.get().saturating_sub(1));
    }
}

/// A request in flight. Its drop ends it.
pub(crate) struct InFlight {
    load: Rc<Load>,
    flight: Flight,
    began: Tick,
    judged: bool,
}

impl InFlight {
    /// Which endpoint.
    pub(crate) fn index(&self) -> EndpointIndex {
        self.flight.index
    }

    /// When this attempt began.
    pub(crate) fn began(&self) -> Tick {
        self.began
    }

    /// Says how it went; only the first word counts.
    pub(crate) fn judge(&mut self, outcome: Outcome, now: Tick) {
        if !self.judged {
            self.judged = true;
            self.load.cluster.borrow_mut().observe(self.flight, outcome, now.since(self.began), now);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut cluster = self.load.cluster.borrow_mut();
        if !self.judged {
            cluster.observe(self.flight, Outcome::Cancelled, Duration::ZERO, self.began);
        }
        cluster.finish(self.flight);
        drop(cluster);
        self.load.admit_next();
    }
}

impl Load {
    /// The load of an upstream that has none yet.
    pub(crate) fn new(cluster: Cluster) -> Rc<Load> {
        Rc::new(Load {
            cluster: RefCell::new(cluster),
            open: Cell::new(0),
            waiting: RefCell::default(),
            failures: RefCell::default(),
        })
    }

    /// Open connections, idle ones included.
    pub(crate) fn open_count(&self) -> usize {
        self.open.get()
    }

    /// Is no request in flight to any endpoint, and none waiting?
    pub(crate) fn is_unused(&self) -> bool {
        self.cluster.borrow().is_unused()
    }

    /// Requests that wait for room.
    pub(crate) fn queued(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Waits in the queue for a connection slot, in order of arrival, no longer than `wait` and until `deadline`.
    pub(crate) async fn admit<N: Net>(&self, net: &N, wait: Duration, deadline: Tick) -> Result<(), Fault> {
        let admission = self.cluster.borrow().admission();
        match admission {
            Admission::Go => return Ok(()),
            Admission::Refuse(kind) => return Err(Fault::unsent(kind)),
            Admission::Wait => {}
        }
        let until = net.now().after(wait).min(deadline);
        let waiter = Rc::new(Waiter::default());
        self.waiting.borrow_mut().push_back(waiter.clone());
        self.cluster.borrow_mut().queue_enter();
        let admitted = admitted(&waiter, net, until).await;
        self.cluster.borrow_mut().queue_leave();
        if admitted {
            return Ok(());
        }
        self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiter));
        Err(Fault::unsent(FaultKind::QueueTimeout))
    }

    /// An admitted request begins no attempt: the next in the queue gets its room.
    pub(crate) fn pass_on(&self) {
        if !canary::has(Flaw::UnusedRoom) {
            self.admit_next();
        }
    }

    /// Admits the request that has waited longest, where there is room.
    fn admit_next(&self) {
        if !self.cluster.borrow().has_room() {
            return;
        }
        let Some(next) = self.waiting.borrow_mut().pop_front() else { return };
        next.admitted.set(true);
        if let Some(waker) = next.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Counts a failure of an endpoint. Where the operator is to be told: how many there were since the last notice.
    #[cold]
    pub(crate) fn failed(&self, index: EndpointIndex, now: Tick) -> Option<u64> {
        let mut failures = self.failures.borrow_mut();
        let first = Failures { of: index, count: 0, due: now };
        if failures.len() <= index.slot() {
            // Slots are fewer than `ENDPOINTS_MAX` and those that requests still hold.
            failures.resize(index.slot() + 1, first);
        }
        let entry = &mut failures[index.slot()];
        if entry.of != index {
            *entry = first;
        }
        entry.count += 1;
        if now < entry.due {
            return None;
        }
        entry.due = now.after_ms(FAILURE_NOTICE_MS);
        Some(std::mem::take(&mut entry.count))
    }

    /// Would `pick` name an endpoint for another attempt? Where the last one still is in flight, its endpoint is
    /// `leaving`; then nobody may wait for its place either, so that the next attempt begins at once.
    pub(crate) fn may_pick_again(&self, leaving: Option<EndpointIndex>, now: Tick) -> bool {
        (leaving.is_none() || self.queued() == 0) && self.cluster.borrow_mut().may_pick_again(leaving, now)
    }

    /// Counts an attempt to `index` as begun.
    pub(crate) fn begin(self: &Rc<Self>, index: EndpointIndex, now: Tick) -> InFlight {
        let flight = self.cluster.borrow_mut().begin(index, now);
        InFlight { load: self.clone(), flight, began: now, judged: false }
    }

    /// Counts a connection to `index`, which is to be opened.
    ///
    /// # Errors
    /// The endpoint has as many as it may have.
    pub(crate) fn open(self: &Rc<Self>, index: EndpointIndex) -> Result<Open, Fault> {
        let mut cluster = self.cluster.borrow_mut();
        if !cluster.may_connect(index) {
            return Err(Fault::unsent(FaultKind::Overloaded));
        }
        cluster.connection_opened(index);
        self.open.set(self.open.get() + 1);
        Ok(Open { load: self.clone(), index })
    }

    /// Do the counts agree? `kept`: connections that the pool and the HTTP/2 sessions have.
    pub(crate) fn check(&self, kept: usize) -> Result<(), &'static str> {
        if kept > self.open.get() {
            return Err("an upstream keeps more connections than are open");
        }
        self.cluster.borrow().check(self.open.get(), self.queued())
    }

    /// The endpoint's name, for a Host field of our own.
    pub(crate) fn endpoint_name(&self, index: EndpointIndex) -> Arc<str> {
        let cluster = self.cluster.borrow();
        cluster.endpoint(index).map_or_else(|| Arc::from("upstream"), |endpoint| endpoint.name.clone())
    }
}

/// Waits until the waiter is admitted. False where it was not until `until`.
async fn admitted<N: Net>(waiter: &Waiter, net: &N, until: Tick) -> bool {
    let mut timeout = std::pin::pin!(net.sleep_until(until));
    std::future::poll_fn(|context| {
        if waiter.admitted.get() {
            return Poll::Ready(true);
        }
        *waiter.waker.borrow_mut() = Some(context.waker().clone());
        std::future::Future::poll(timeout.as_mut(), context).map(|()| waiter.admitted.get())
    })
    .await
}
