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

use crate::balance::{Admission, Cluster, EndpointIndex, Flight, Left, Outcome, Owed, QuotaMessage};
use crate::base::canary::{self, Flaw};
use crate::base::limits::FAILURE_NOTICE_MS;
use crate::base::{Fault, FaultKind, Tick};
use crate::edge::upstream::postbox::{Letter, Postbox};
use crate::link::UpstreamKey;
use crate::net::Net;

/// The load of one upstream on one shard.
pub(crate) struct Load {
    /// Who gets the next request.
    pub cluster: RefCell<Cluster>,
    /// Which upstream it is to other shards.
    pub key: UpstreamKey,
    postbox: Rc<Postbox>,
    open: Cell<usize>,
    /// Most requests in flight at once in the current interval and in the one before.
    peaks: Cell<[u32; 2]>,
    /// When the current interval began.
    peaks_since: Cell<Tick>,
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

/// Where in the queue a request begins to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Behind all others.
    Back,
    /// Before all others: its turn had come, and no endpoint had room.
    Front,
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
        self.load.post();
    }
}

impl Open {
    /// The endpoint has said how many requests a connection carries at a time.
    pub(crate) fn learn(&self, carries: u32) {
        self.load.cluster.borrow_mut().learn(self.index, carries);
        self.load.admit_waiting();
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

    /// Was a long wait for the response to be expected when it began?
    pub(crate) fn is_long(&self) -> bool {
        self.flight.long
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
        self.load.post();
        self.load.admit_waiting();
    }
}

impl Load {
    /// The load of an upstream that has none yet.
    pub(crate) fn new(cluster: Cluster, key: UpstreamKey, postbox: Rc<Postbox>) -> Rc<Load> {
        Rc::new(Load {
            cluster: RefCell::new(cluster),
            key,
            postbox,
            open: Cell::new(0),
            peaks: Cell::new([0; 2]),
            peaks_since: Cell::new(Tick::ZERO),
            waiting: RefCell::default(),
            failures: RefCell::default(),
        })
    }

    /// Most requests that were in flight at once lately.
    pub(crate) fn used_lately(&self) -> usize {
        let [current, before] = self.peaks.get();
        current.max(before) as usize
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

    /// Waits in the queue for room under the caps, in order of arrival, no longer than `wait` and until `deadline`.
    pub(crate) async fn admit<N: Net>(&self, net: &N, wait: Duration, deadline: Tick) -> Result<(), Fault> {
        let admission = self.cluster.borrow().admission();
        match admission {
            Admission::Go => Ok(()),
            Admission::Refuse(kind) => Err(Fault::unsent(kind)),
            Admission::Wait => Box::pin(self.queue(net, End::Back, net.now().after(wait).min(deadline))).await,
        }
    }

    /// May a connection to `index` wait for its next request?
    pub(crate) fn may_keep(&self, index: EndpointIndex) -> bool {
        let cluster = self.cluster.borrow();
        cluster.is_listed(index) && !cluster.owes_connection(index)
    }

    /// Is there room in the queue?
    pub(crate) fn may_queue(&self) -> bool {
        self.cluster.borrow().may_queue()
    }

    /// Waits in the queue until a request may go on. `end`: where in the queue it begins.
    #[cold]
    pub(crate) async fn queue<N: Net>(&self, net: &N, end: End, until: Tick) -> Result<(), Fault> {
        let waiter = Rc::new(Waiter::default());
        {
            let mut waiting = self.waiting.borrow_mut();
            match end {
                End::Back => waiting.push_back(waiter.clone()),
                End::Front => waiting.push_front(waiter.clone()),
            }
        }
        self.cluster.borrow_mut().queue_enter();
        self.ask_for_room();
        let admitted = admitted(&waiter, net, until).await;
        self.cluster.borrow_mut().queue_leave(if admitted { Left::Admitted } else { Left::Late });
        if admitted {
            return Ok(());
        }
        self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiter));
        Err(Fault::unsent(FaultKind::QueueTimeout))
    }

    /// An admitted request begins no attempt: the next in the queue gets its room.
    pub(crate) fn pass_on(&self) {
        if !canary::has(Flaw::UnusedRoom) {
            self.admit_waiting();
        }
    }

    /// Admits the requests that have waited longest, as far as there is room.
    pub(crate) fn admit_waiting(&self) {
        while !self.waiting.borrow().is_empty() {
            if !self.cluster.borrow().may_admit() {
                return self.ask_for_room();
            }
            let Some(next) = self.waiting.borrow_mut().pop_front() else { return };
            self.cluster.borrow_mut().reserve();
            next.admitted.set(true);
            if let Some(waker) = next.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Asks other shards for room for the requests that wait.
    #[cold]
    fn ask_for_room(&self) {
        let waiting = self.waiting.borrow().len() as u32;
        self.cluster.borrow_mut().ask_for_room(waiting);
        self.post();
    }

    /// Takes one retry from the budget.
    pub(crate) fn may_retry(&self, now: Tick) -> bool {
        let granted = self.cluster.borrow_mut().may_retry(now);
        self.post();
        granted
    }

    /// Takes a message of another shard about a cap. Idle connections that it says should be closed.
    pub(crate) fn take_mail(&self, from: u32, message: QuotaMessage) -> Option<Owed> {
        let owed = self.cluster.borrow_mut().take_mail(from, message);
        self.admit_waiting();
        self.cluster.borrow_mut().settle(message.key);
        self.post();
        owed
    }

    /// Housekeeping: permits that nobody uses go back to other shards, and requests that wait are looked at.
    /// `interval`: after once to twice this time, a number of requests that were in flight at once counts no more.
    pub(crate) fn sweep(&self, interval: Duration, now: Tick) {
        if now.since(self.peaks_since.get()) >= interval {
            self.peaks_since.set(now);
            let [current, _] = self.peaks.get();
            self.peaks.set([self.cluster.borrow().in_flight(), current]);
        }
        let waiting = self.waiting.borrow().len() as u32;
        self.cluster.borrow_mut().sweep_caps(waiting, now);
        self.post();
        self.admit_waiting();
    }

    /// Leaves messages for other shards to be sent.
    fn post(&self) {
        if !self.cluster.borrow().has_mail() {
            return;
        }
        let mut cluster = self.cluster.borrow_mut();
        while let Some((to, message)) = cluster.next_mail() {
            self.postbox.post(Letter { to, upstream: self.key, message });
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
        let mut cluster = self.cluster.borrow_mut();
        let flight = cluster.begin(index, now);
        let (in_flight, [current, before]) = (cluster.in_flight(), self.peaks.get());
        if in_flight > current {
            self.peaks.set([in_flight, before]);
        }
        if cluster.is_pressed() {
            cluster.settle_all();
            drop(cluster);
            self.post();
        }
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
