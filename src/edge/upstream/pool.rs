// SPDX-License-Identifier: Apache-2.0
//! Hot. One shard's state of one upstream: its load and its connection pool.
//!
//! It outlives plans: a reload keeps it by name. Connections are pooled by endpoint, newest first, and are reused only
//! after a check that the peer has neither closed them nor sent anything.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::balance::{Cluster, EndpointIndex, Part, QuotaMessage, hash_key};
use crate::base::canary::{self, Flaw};
use crate::base::{Rng, Tick};
use crate::config::plan::UpstreamPlan;
use crate::edge::upstream::h1::{Http1Connection, Trust};
use crate::edge::upstream::h2::Sessions;
use crate::edge::upstream::load::Load;
use crate::edge::upstream::postbox::Postbox;
use crate::link::UpstreamKey;
use crate::net::Net;
use crate::net::tls::with_own_sessions;

/// One shard's side of one upstream.
pub(crate) struct Upstream<N: Net> {
    /// Who gets the next request, and how many there are.
    pub load: Rc<Load>,
    /// Connections of HTTP/2.
    pub sessions: Rc<Sessions<N>>,
    tls: RefCell<Option<OwnTls>>,
    idle: RefCell<Vec<Vec<Http1Connection<N>>>>,
    idle_count: Cell<usize>,
}

/// TLS of a plan, with a table of sessions that only this shard uses.
struct OwnTls {
    plan: Arc<ClientConfig>,
    own: Arc<ClientConfig>,
}

/// What an upstream's state knows of the shards beside its own.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Which shard this is.
    pub part: Part,
    /// The plan that introduces it.
    pub generation: u64,
    /// Where messages for the others are left.
    pub postbox: Rc<Postbox>,
}

impl<N: Net> Upstream<N> {
    /// The state of a new upstream.
    pub(crate) fn new(plan: &UpstreamPlan, home: &Shared, rng: &mut Rng, now: Tick) -> Rc<Upstream<N>> {
        let mut cluster = Cluster::shared(&plan.cluster, &plan.fixed, home.part);
        cluster.desynchronise(rng, now);
        let key = UpstreamKey { name: hash_key(0, plan.cluster.name.as_bytes()), since: home.generation };
        Rc::new(Upstream {
            load: Load::new(cluster, key, home.postbox.clone()),
            sessions: Rc::default(),
            tls: RefCell::default(),
            idle: RefCell::default(),
            idle_count: Cell::new(0),
        })
    }

    /// What TLS handshakes with endpoints use under this plan; `None` where it has no TLS. Made when a connection is
    /// opened, so that a reload does not pay for upstreams without traffic.
    pub(crate) fn tls(&self, plan: &UpstreamPlan) -> Option<Arc<ClientConfig>> {
        let wanted = &plan.tls.as_ref()?.config;
        let mut held = self.tls.borrow_mut();
        if let Some(held) = held.as_ref().filter(|held| Arc::ptr_eq(&held.plan, wanted)) {
            // tidy(hot): once per connection to an endpoint, for its handshake.
            return Some(Arc::clone(&held.own));
        }
        let own = with_own_sessions(wanted);
        // tidy(hot): once per reload and upstream.
        *held = Some(OwnTls { plan: Arc::clone(wanted), own: Arc::clone(&own) });
        Some(own)
    }

    /// Connections without a request.
    pub(crate) fn idle_count(&self) -> usize {
        self.idle_count.get() + self.sessions.idle_count()
    }

    /// A keep-alive connection to `index` that can be reused, if there is one. Skips the check for a close where
    /// `trust` covers the connection, because the check is a system call.
    pub(crate) fn take_idle(
        &self,
        index: EndpointIndex,
        plan: &UpstreamPlan,
        trust: Trust,
        now: Tick,
    ) -> Option<Http1Connection<N>> {
        if !trust.in_kept() {
            return None;
        }
        loop {
            let mut origin = self.idle.borrow_mut().get_mut(index.slot())?.pop()?;
            self.idle_count.set(self.idle_count.get() - usize::from(!canary::has(Flaw::IdleCount)));
            let same = origin.index() == index;
            let quiet = trust.covers(&origin, now) || origin.is_quiet();
            if same && quiet && !origin.is_worn(plan, now) {
                return Some(origin);
            }
        }
    }

    /// Puts a connection into the pool, or closes it where it must not be reused.
    pub(crate) fn keep(&self, mut origin: Http1Connection<N>, plan: &UpstreamPlan, now: Tick) {
        let full = self.idle_count.get() >= plan.idle_max.unwrap_or_else(|| self.load.used_lately());
        if full || !self.load.may_keep(origin.index()) {
            return;
        }
        origin.idle_since = now;
        if origin.is_worn(plan, now) {
            return;
        }
        let slot = origin.index().slot();
        let mut idle = self.idle.borrow_mut();
        if idle.len() <= slot {
            idle.resize_with(slot + 1, Vec::new);
        }
        idle[slot].push(origin);
        self.idle_count.set(self.idle_count.get() + 1);
    }

    /// Do the counts agree?
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let idle = self.idle.borrow();
        let kept = idle.iter().map(Vec::len).sum::<usize>();
        if kept != self.idle_count.get() {
            return Err("a pool has other idle connections than it counts");
        }
        let misplaced =
            |(slot, kept): (usize, &Vec<Http1Connection<N>>)| kept.iter().any(|origin| origin.index().slot() != slot);
        if idle.iter().enumerate().any(misplaced) {
            return Err("a pool keeps a connection under another endpoint");
        }
        self.load.check(kept + self.sessions.count())
    }

    /// Closes kept connections that are too old, that the peer has closed, or whose endpoint left. Called about once
    /// a second.
    pub(crate) fn sweep(&self, plan: &UpstreamPlan, now: Tick) {
        let mut stale = Vec::new();
        let mut kept_count = 0;
        for slot in self.idle.borrow_mut().iter_mut() {
            let cluster = self.load.cluster.borrow();
            let fit = |origin: &mut Http1Connection<N>| {
                !origin.is_worn(plan, now) && cluster.is_listed(origin.index()) && origin.is_quiet()
            };
            stale.extend(slot.extract_if(.., |origin| !fit(origin)));
            kept_count += slot.len();
        }
        self.idle_count.set(kept_count);
        drop(stale);
        {
            let cluster = self.load.cluster.borrow();
            self.sessions.sweep(|index| cluster.is_listed(index), now);
        }
        self.load.sweep(plan.idle_timeout, now);
        let owed = self.load.cluster.borrow().owed();
        owed.into_iter().for_each(|owed| self.close_idle_to(owed.index, owed.connections as usize));
    }

    /// Takes a message of another shard about a cap. Connections that it wants to have are closed where they are idle.
    #[cold]
    pub(crate) fn take_mail(&self, from: u32, message: QuotaMessage) {
        if let Some(owed) = self.load.take_mail(from, message) {
            self.close_idle_to(owed.index, owed.connections as usize);
        }
    }

    /// Makes room for a connection to `index` that is to be opened: where this shard may have no more of them, an idle
    /// one that cannot be used is closed.
    pub(crate) fn make_room(&self, index: EndpointIndex) {
        let full = !self.load.cluster.borrow().may_connect(index);
        if full {
            self.close_idle_to(index, 1);
        }
    }

    /// Closes up to `count` idle connections to an endpoint, those that were idle longest first.
    #[cold]
    fn close_idle_to(&self, index: EndpointIndex, count: usize) {
        let mut closed = Vec::new();
        if let Some(slot) = self.idle.borrow_mut().get_mut(index.slot()) {
            closed.extend(slot.drain(..slot.len().min(count)));
        }
        self.idle_count.set(self.idle_count.get() - closed.len());
        self.sessions.close_idle(index, count - closed.len());
    }

    /// Closes up to `count` kept connections of HTTP/1, of each endpoint the longest idle ones. How many it closed.
    #[cold]
    pub(crate) fn close_longest_idle(&self, count: usize) -> usize {
        let mut closed = Vec::new();
        for slot in self.idle.borrow_mut().iter_mut() {
            closed.extend(slot.drain(..slot.len().min(count - closed.len())));
        }
        self.idle_count.set(self.idle_count.get() - closed.len());
        closed.len()
    }

    /// Closes all kept connections: the upstream left the configuration, or the shard ends.
    pub(crate) fn close_idle(&self) {
        let all = std::mem::take(&mut *self.idle.borrow_mut());
        self.idle_count.set(0);
        drop(all);
        self.sessions.close();
    }
}
