// SPDX-License-Identifier: Apache-2.0
//! Hot. A shard's side of the limits that are counted over all shards: carries their messages to and from the other
//! shards, and wakes the requests that wait for them.
//!
//! The state of a limit is found here by the limit's identity, not by a plan's ids: plans change on the shards one
//! after another. A limit that a plan no longer has stays for `RETIRED`, so that requests which began under the old
//! plan get their answer.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};
use std::time::Duration;

use ahash::RandomState;

use crate::base::Tick;
use crate::base::limits::LIMIT_WAIT_MS_MAX;
use crate::edge::shard::waiters::{Subject, Waited, Waiters};
use crate::edge::upstream::pool::Upstream;
use crate::edge::upstream::postbox::{Letter, Postbox};
use crate::link::{Counter, Counters, FromShard, LimitCounter, Mesh, Outbox, Sent, ToPeer, UpstreamKey};
use crate::net::Net;
use crate::policy::PolicyState;
use crate::policy::limit::{self, Body, LimitId, ShardId};
use crate::policy::traps::Traps;

/// The other shards, as this one sees them.
pub(crate) struct Peers<N: Net> {
    mesh: RefCell<Mesh<ToPeer>>,
    /// To the control plane, where the parents of leased limits are.
    outbox: Outbox,
    inbox: RefCell<Vec<(usize, ToPeer)>>,
    limits: RefCell<HashMap<LimitId, Rc<RefCell<PolicyState>>, RandomState>>,
    retired: RefCell<HashMap<LimitId, Tick, RandomState>>,
    /// Policies with bans that hold on all shards, by `Kind::trap`.
    traps: RefCell<HashMap<u64, Weak<RefCell<PolicyState>>, RandomState>>,
    /// Requests that wait for a message.
    waiters: Waiters,
    /// What upstreams have to say of their caps; somebody has sent something: bells are to be rung.
    pub postbox: Rc<Postbox>,
    /// Those of all plans that are in use here.
    upstreams: RefCell<HashMap<UpstreamKey, Weak<Upstream<N>>, RandomState>>,
    kept: Cell<u64>,
    refused: Cell<u64>,
}

impl<N: Net> Peers<N> {
    /// Over this end of the mesh.
    pub(crate) fn new(mesh: Mesh<ToPeer>, outbox: Outbox) -> Peers<N> {
        Peers {
            mesh: RefCell::new(mesh),
            outbox,
            inbox: RefCell::default(),
            limits: RefCell::default(),
            retired: RefCell::default(),
            traps: RefCell::default(),
            waiters: Waiters::default(),
            postbox: Rc::default(),
            upstreams: RefCell::default(),
            kept: Cell::new(0),
            refused: Cell::new(0),
        }
    }

    /// Rings the bells of shards that something was sent to, once for all that tasks send in one turn. Ends with the
    /// task that runs it.
    pub(crate) async fn ring(&self) {
        loop {
            self.postbox.sent.heard().await;
            self.post();
            self.mesh.borrow_mut().ring();
        }
    }

    /// Takes what other shards have sent, and sends what their rings had no room for before.
    pub(crate) fn hear(&self, net: &N) {
        let now = net.now();
        let mut inbox = self.inbox.take();
        {
            let mut mesh = self.mesh.borrow_mut();
            mesh.receive(|sender, message| inbox.push((sender, message)));
            mesh.ring();
        }
        for (sender, message) in inbox.drain(..) {
            match message {
                ToPeer::Limit(message) => self.receive(ShardId(sender as u32), &message, net, now),
                ToPeer::Trapped { trap, key, until } => {
                    let known = self.traps.borrow().get(&trap).and_then(Weak::upgrade);
                    // Where it is gone, nobody is refused for it.
                    if let Some(known) = known
                        && let Some(traps) = known.borrow_mut().traps()
                    {
                        traps.hear(key, until, now);
                    }
                }
                ToPeer::Cap { upstream, message } => {
                    let known = self.upstreams.borrow().get(&upstream).and_then(Weak::upgrade);
                    // Where it is gone, its caps are as well.
                    if let Some(known) = known {
                        known.take_mail(sender as u32, message);
                    }
                }
            }
        }
        self.inbox.replace(inbox);
    }

    /// What the parent of a limit says.
    pub(crate) fn hear_parent(&self, message: &limit::Message, net: &N) {
        self.receive(ShardId::PARENT, message, net, net.now());
    }

    /// A key of the limits of a policy may have all of them again.
    pub(crate) fn reset(&self, limit: LimitId, key: u64, now: Tick) {
        let found = self.limits.borrow().get(&limit).cloned();
        if let Some(state) = found
            && let Some(parts) = state.borrow_mut().parts()
        {
            parts.reset(key, now);
        }
    }

    /// Gives all that was leased back: the shard ends.
    pub(crate) fn surrender(&self, now: Tick) {
        let limits: Vec<_> = self.limits.borrow().values().cloned().collect();
        for state in limits {
            if let Some(parts) = state.borrow_mut().parts() {
                parts.surrender(now);
            }
            self.carry(&state, || now);
        }
    }

    /// An upstream that other shards may write about.
    pub(crate) fn know(&self, upstream: &Rc<Upstream<N>>) {
        let mut upstreams = self.upstreams.borrow_mut();
        if upstreams.len() == upstreams.capacity() {
            upstreams.retain(|_, upstream| upstream.strong_count() > 0);
        }
        upstreams.insert(upstream.load.key, Rc::downgrade(upstream));
    }

    /// Sends what upstreams have to say of their caps.
    fn post(&self) {
        while let Some(Letter { to, upstream, message }) = self.postbox.next() {
            if let Sent::Kept(_) = self.mesh.borrow_mut().send(to as usize, ToPeer::Cap { upstream, message }) {
                self.kept.set(self.kept.get() + 1);
            }
        }
    }

    /// Sends what the state of a limit has to say, and wakes the requests that may go on. The clock is only asked where
    /// rings are full.
    pub(crate) fn carry(&self, state: &RefCell<PolicyState>, now: impl Fn() -> Tick) {
        let mut state = state.borrow_mut();
        let Some(parts) = state.parts().filter(|parts| parts.has_news()) else { return };
        for part in parts.list() {
            while let Some((receiver, message)) = part.next_message() {
                if receiver == ShardId::PARENT {
                    if self.outbox.send(FromShard::Lease(message)).is_err() {
                        part.unsent(&message, now());
                    }
                    continue;
                }
                let waiting = self.send(receiver, message);
                if waiting > 0 {
                    part.kept(receiver, waiting, now());
                }
            }
            let owner = part.limit().0;
            while let Some(key) = part.next_woken() {
                self.waiters.wake(Subject { owner, key });
            }
        }
    }

    /// Tells the other shards of a client that is refused from now on.
    pub(crate) fn spread(&self, trap: u64, state: &RefCell<PolicyState>) {
        let mut state = state.borrow_mut();
        let Some(sprung) = state.traps().and_then(Traps::take_news) else { return };
        self.postbox.sent.raise();
        for shard in sprung.others() {
            let message = ToPeer::Trapped { trap, key: sprung.key, until: sprung.until };
            if let Sent::Kept(_) = self.mesh.borrow_mut().send(shard.0 as usize, message) {
                self.kept.set(self.kept.get() + 1);
            }
        }
    }

    /// The state of a policy with bans, of a coming plan; made with `fresh` where no plan in use has them.
    pub(crate) fn traps(&self, trap: u64, fresh: impl FnOnce() -> PolicyState) -> Rc<RefCell<PolicyState>> {
        let mut traps = self.traps.borrow_mut();
        traps.retain(|_, state| state.strong_count() > 0);
        let known = traps.get(&trap).and_then(Weak::upgrade);
        let state = known.unwrap_or_else(|| Rc::new(RefCell::new(fresh())));
        traps.insert(trap, Rc::downgrade(&state));
        state
    }

    /// Waits until a key of a limit may be tried again. What has arrived by then is looked at before a wait counts as
    /// expired. False where it did.
    pub(crate) async fn wait(&self, net: &N, subject: Subject, until: Tick) -> bool {
        match self.waiters.wait(net, subject, until, || self.hear(net)).await {
            Waited::Woken => true,
            Waited::Expired => false,
            Waited::Refused => {
                self.refused.set(self.refused.get() + 1);
                false
            }
        }
    }

    /// Wakes the requests that wait for a key of something else than a limit.
    pub(crate) fn wake(&self, subject: Subject) {
        self.waiters.wake(subject);
    }

    /// Waits until then, for nothing. False where too many wait already.
    pub(crate) async fn pause(&self, net: &N, until: Tick) -> bool {
        match self.waiters.wait(net, NOBODY, until, || ()).await {
            Waited::Woken | Waited::Expired => true,
            Waited::Refused => {
                self.refused.set(self.refused.get() + 1);
                false
            }
        }
    }

    /// The state of the limits of a policy of a coming plan, made with `fresh` where the plan in use does not have
    /// them.
    pub(crate) fn limits(
        &self,
        ids: impl Iterator<Item = LimitId>,
        known: Option<Rc<RefCell<PolicyState>>>,
        fresh: impl FnOnce() -> PolicyState,
    ) -> Rc<RefCell<PolicyState>> {
        let state = known.unwrap_or_else(|| Rc::new(RefCell::new(fresh())));
        self.limits.borrow_mut().extend(ids.map(|id| (id, state.clone())));
        state
    }

    /// A plan with these limits is in use, or was given up: those that it does not have go, after a while.
    pub(crate) fn retire_others(&self, used: impl Iterator<Item = LimitId>, now: Tick) {
        let used: HashSet<LimitId, RandomState> = used.collect();
        let mut retired = self.retired.borrow_mut();
        retired.retain(|id, _| !used.contains(id));
        for id in self.limits.borrow().keys().filter(|id| !used.contains(id)) {
            retired.entry(*id).or_insert(now.after(RETIRED));
        }
    }

    /// Forgets limits that retired long enough ago. Returns their states, and those of all limits that stay.
    pub(crate) fn take_retired(&self, now: Tick) -> (LimitStates, LimitStates) {
        let mut limits = self.limits.borrow_mut();
        let over = self.retired.borrow_mut().extract_if(|_, until| now >= *until).map(|(id, _)| id).collect::<Vec<_>>();
        let gone = over.iter().filter_map(|id| limits.remove(id)).collect();
        (gone, limits.values().cloned().collect())
    }

    /// The state of the policy that a limit is of, while a plan has it and a while longer.
    pub(crate) fn limit(&self, limit: LimitId) -> Option<Rc<RefCell<PolicyState>>> {
        // tidy(hot): where bodies share a rate, once for each portion.
        self.limits.borrow().get(&limit).cloned()
    }

    /// Gives up what is idle of a limit, a part of it at a time.
    pub(crate) fn sweep(&self, state: &RefCell<PolicyState>, net: &N) {
        let now = net.now();
        if let Some(parts) = state.borrow_mut().parts() {
            parts.sweep(now, net.wall());
        }
        self.carry(state, || now);
    }

    /// Do the counts of every limit agree?
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let limits = self.limits.borrow();
        limits.values().try_for_each(|state| state.borrow_mut().parts().map_or(Ok(()), |parts| parts.check()))
    }

    /// Writes what happened since the last call to the counters.
    pub(crate) fn publish(&self, counters: &Counters) {
        counters.add(Counter::PeerMessagesKept, self.kept.take());
        counters.add(Counter::WaitersRefused, self.refused.take());
        counters.set(Counter::PeerMessagesWaiting, self.mesh.borrow().kept() as u64);
        counters.set(Counter::Waiters, self.waiters.count() as u64);
    }

    fn receive(&self, from: ShardId, message: &limit::Message, net: &N, now: Tick) {
        let found = self.limits.borrow().get(&message.limit).cloned();
        let Some(state) = found else {
            // A limit that went a while ago: who asks learns at once that nobody counts it any more.
            if let Body::Ask { .. } = message.body {
                self.send(from, limit::Message { body: Body::NoRoom, ..*message });
            }
            return;
        };
        if let Some(parts) = state.borrow_mut().parts() {
            parts.receive(from, message, now, || net.wall());
        }
        self.carry(&state, || now);
    }

    /// Sends a message; how many wait for the receiver where its ring is full.
    fn send(&self, receiver: ShardId, message: limit::Message) -> usize {
        self.postbox.sent.raise();
        match self.mesh.borrow_mut().send(receiver.0 as usize, ToPeer::Limit(message)) {
            Sent::Ring | Sent::Dropped => 0,
            Sent::Kept(waiting) => {
                self.kept.set(self.kept.get() + 1);
                waiting
            }
        }
    }
}

/// Writes what a limit did since the last call to the counters of its policy.
pub(crate) fn publish_limit(counters: &Counters, policy: u32, state: &RefCell<PolicyState>) {
    let mut state = state.borrow_mut();
    let Some(parts) = state.parts() else { return };
    let counts = parts.take_counts();
    let sums = [
        (LimitCounter::Admitted, counts.admitted),
        (LimitCounter::Refused, counts.refused),
        (LimitCounter::Reported, counts.reported),
        (LimitCounter::Returned, counts.returned),
        (LimitCounter::Waited, counts.waited),
        (LimitCounter::Uncounted, counts.uncounted),
        (LimitCounter::GivenUp, counts.given_up),
    ];
    sums.into_iter().filter(|(_, count)| *count > 0).for_each(|(counter, count)| {
        counters.add_limit(policy, counter, count);
    });
    counters.set_limit(policy, LimitCounter::Held, counts.held);
    counters.set_limit(policy, LimitCounter::Accounts, counts.accounts);
}

/// What a pause waits for: nobody wakes it.
const NOBODY: Subject = Subject { owner: 0, key: 0 };

/// The states of some limits.
pub(crate) type LimitStates = Vec<Rc<RefCell<PolicyState>>>;

/// How long a limit that no plan has any more answers: longer than anybody waits for it.
const RETIRED: Duration = Duration::from_millis(LIMIT_WAIT_MS_MAX + 1_000);
