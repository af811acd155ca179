//! Hot. One shard's side of one upstream: its balancing state, its kept connections, its queue.
//!
//! It outlives plans: a reload carries it over by name. Connections are kept by endpoint, newest first, and are given
//! out again only after a look whether the peer has closed them or said something unasked.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use rustls::ClientConfig;

use crate::balance::{Admission, Cluster, EndpointIndex, Flight, Outcome};
use crate::base::{Buf, Fault, FaultKind, Rng, Side, Tick};
use crate::config::plan::UpstreamPlan;
use crate::edge::flow::stream::{Form, Remote, Source};
use crate::edge::protocol::h1::{BodyReader, BodyWriter};
use crate::edge::shard::registry::Link;
use crate::edge::upstream::h2::Sessions;
use crate::net::tls::{Transport, with_own_sessions};
use crate::net::{Net, Peek, Stream};
use crate::wire::h1::{Caps, Parsed, response, write};
use crate::wire::h2::frame::ErrorCode;
use crate::wire::head::{BodyLength, Method, ResponseHead, Version};
use crate::wire::outgoing::OutgoingRequest;

/// One shard's side of one upstream.
pub struct Upstream<N: Net> {
    /// Who gets the next request.
    pub cluster: RefCell<Cluster>,
    /// Connections of HTTP/2.
    pub sessions: Sessions<N>,
    /// What TLS handshakes with endpoints use: this shard's own.
    tls: RefCell<Option<Arc<ClientConfig>>>,
    idle: RefCell<Vec<Vec<Origin<N>>>>,
    idle_count: Cell<usize>,
    open_count: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

/// Which kept connections are taken to be open without a look.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    /// Those that rested for less than this,
    pub rested_max: Duration,
    /// and that carried at least so many requests.
    pub requests_min: u32,
}

impl Trust {
    /// None.
    pub const NONE: Trust = Trust { rested_max: Duration::ZERO, requests_min: 0 };

    fn covers<N: Net>(self, origin: &Origin<N>, now: Tick) -> bool {
        origin.requests >= self.requests_min && now.since(origin.idle_since) < self.rested_max
    }
}

/// A connection to an endpoint. Dropping it closes it and tells the cluster.
pub struct Origin<N: Net> {
    upstream: Rc<Upstream<N>>,
    /// The connection.
    pub stream: Rc<Transport<N::Stream>>,
    /// Which endpoint it leads to.
    pub index: EndpointIndex,
    /// When it was opened.
    pub opened: Tick,
    /// Since when it is idle.
    pub idle_since: Tick,
    /// Requests it has carried.
    pub requests: u32,
}

impl<N: Net> Drop for Origin<N> {
    fn drop(&mut self) {
        self.upstream.connection_closed(self.index);
    }
}

#[derive(Default)]
struct Waiter {
    admitted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A request in flight; ends with its drop at the latest.
pub struct InFlight<N: Net> {
    upstream: Rc<Upstream<N>>,
    flight: Flight,
    began: Tick,
    judged: bool,
}

impl<N: Net> InFlight<N> {
    /// Which endpoint.
    pub fn index(&self) -> EndpointIndex {
        self.flight.index
    }

    /// When this try began.
    pub fn began(&self) -> Tick {
        self.began
    }

    /// Says how it went; only the first word counts.
    pub fn judge(&mut self, outcome: Outcome, now: Tick) {
        if !self.judged {
            self.judged = true;
            self.upstream.cluster.borrow_mut().observe(self.flight, outcome, now.since(self.began), now);
        }
    }
}

impl<N: Net> Drop for InFlight<N> {
    fn drop(&mut self) {
        let mut cluster = self.upstream.cluster.borrow_mut();
        if !self.judged {
            cluster.observe(self.flight, Outcome::Cancelled, Duration::ZERO, self.began);
        }
        cluster.finish(self.flight);
        let room = cluster.has_room();
        drop(cluster);
        if room {
            self.upstream.admit_next();
        }
    }
}

fn own_tls(plan: &UpstreamPlan) -> Option<Arc<ClientConfig>> {
    plan.tls.as_ref().map(|tls| with_own_sessions(&tls.config))
}

impl<N: Net> Upstream<N> {
    /// The state of a new upstream.
    pub fn new(plan: &UpstreamPlan, rng: &mut Rng, now: Tick) -> Rc<Upstream<N>> {
        let mut cluster = Cluster::new(&plan.cluster, &plan.fixed);
        cluster.desynchronise(rng, now);
        Rc::new(Upstream {
            cluster: RefCell::new(cluster),
            sessions: Sessions::default(),
            tls: RefCell::new(own_tls(plan)),
            idle: RefCell::default(),
            idle_count: Cell::new(0),
            open_count: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// Uses what a new plan says of TLS for connections from now on.
    pub fn follow_tls(&self, plan: &UpstreamPlan) {
        *self.tls.borrow_mut() = own_tls(plan);
    }

    /// What TLS handshakes with endpoints use.
    pub fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.borrow().clone()
    }

    /// Connections without a request.
    pub fn idle_count(&self) -> usize {
        self.idle_count.get() + self.sessions.idle_count()
    }

    /// Open connections, idle ones included.
    pub fn open_count(&self) -> usize {
        self.open_count.get()
    }

    /// Requests that wait for room.
    pub fn queued(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Waits for room under the upstream's caps, in order of arrival, no longer than `wait` and until `deadline`.
    pub async fn admit(&self, net: &N, wait: Duration, deadline: Tick) -> Result<(), Fault> {
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
        let admitted = self.wait(&waiter, net, until).await;
        self.cluster.borrow_mut().queue_leave();
        if admitted {
            return Ok(());
        }
        self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiter));
        Err(Fault::unsent(FaultKind::QueueTimeout))
    }

    async fn wait(&self, waiter: &Waiter, net: &N, until: Tick) -> bool {
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

    fn admit_next(&self) {
        let Some(next) = self.waiting.borrow_mut().pop_front() else { return };
        next.admitted.set(true);
        if let Some(waker) = next.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Counts a try to `index` as begun.
    pub fn begin(self: &Rc<Self>, index: EndpointIndex, now: Tick) -> InFlight<N> {
        let flight = self.cluster.borrow_mut().begin(index, now);
        InFlight { upstream: self.clone(), flight, began: now, judged: false }
    }

    /// The endpoint's name, for a Host field of our own.
    pub fn endpoint_name(&self, index: EndpointIndex) -> Arc<str> {
        let cluster = self.cluster.borrow();
        cluster.endpoint(index).map_or_else(|| Arc::from("upstream"), |endpoint| endpoint.name.clone())
    }

    /// A kept connection to `index` that is fit to use, if there is one. One that `trust` covers is not looked at: the
    /// look is a system call.
    pub fn take_idle(&self, index: EndpointIndex, plan: &UpstreamPlan, trust: Trust, now: Tick) -> Option<Origin<N>> {
        loop {
            let origin = self.idle.borrow_mut().get_mut(index.slot())?.pop()?;
            self.idle_count.set(self.idle_count.get() - 1);
            let same = origin.index == index;
            let quiet = trust.covers(&origin, now) || origin.stream.peek() == Peek::Quiet;
            if same && quiet && !origin.is_worn(plan, now) {
                return Some(origin);
            }
        }
    }

    /// Keeps a connection for later, or closes it where it may not be kept.
    pub fn keep(&self, mut origin: Origin<N>, plan: &UpstreamPlan, now: Tick) {
        let full = self.idle_count.get() >= plan.idle_max;
        if full || !self.cluster.borrow().is_listed(origin.index) {
            return;
        }
        origin.idle_since = now;
        if origin.is_worn(plan, now) {
            return;
        }
        let slot = origin.index.slot();
        let mut idle = self.idle.borrow_mut();
        if idle.len() <= slot {
            idle.resize_with(slot + 1, Vec::new);
        }
        idle[slot].push(origin);
        self.idle_count.set(self.idle_count.get() + 1);
    }

    /// A connection that was just opened. `connection_opening` must have been called before.
    pub fn opened(self: &Rc<Self>, index: EndpointIndex, stream: Transport<N::Stream>, now: Tick) -> Origin<N> {
        Origin { upstream: self.clone(), stream: Rc::new(stream), index, opened: now, idle_since: now, requests: 0 }
    }

    /// Counts a connection as being opened; refused at the endpoint's cap.
    pub fn connection_opening(&self, index: EndpointIndex) -> Result<(), Fault> {
        let mut cluster = self.cluster.borrow_mut();
        if !cluster.may_connect(index) {
            return Err(Fault::unsent(FaultKind::Overloaded));
        }
        cluster.connection_opened(index);
        self.open_count.set(self.open_count.get() + 1);
        Ok(())
    }

    /// Counts a connection as gone (or as never opened).
    pub fn connection_closed(&self, index: EndpointIndex) {
        self.cluster.borrow_mut().connection_closed(index);
        self.open_count.set(self.open_count.get().saturating_sub(1));
    }

    /// Closes kept connections that are too old, that the peer has closed, or whose endpoint left. Called about once
    /// a second.
    pub fn sweep(&self, plan: &UpstreamPlan, now: Tick) {
        let mut stale = Vec::new();
        let mut kept_count = 0;
        for slot in self.idle.borrow_mut().iter_mut() {
            let cluster = self.cluster.borrow();
            let fit = |origin: &mut Origin<N>| {
                !origin.is_worn(plan, now) && cluster.is_listed(origin.index) && origin.stream.peek() == Peek::Quiet
            };
            stale.extend(slot.extract_if(.., |origin| !fit(origin)));
            kept_count += slot.len();
        }
        self.idle_count.set(kept_count);
        let cluster = self.cluster.borrow();
        self.sessions.sweep(|index| cluster.is_listed(index), now);
    }

    /// Closes all kept connections: the upstream left the configuration, or the shard ends.
    pub fn close_idle(&self) {
        let all = std::mem::take(&mut *self.idle.borrow_mut());
        self.idle_count.set(0);
        drop(all);
        self.sessions.close();
    }
}

/// HTTP/1: a conversation has the whole connection.
impl<N: Net> Remote<N> for Origin<N> {
    type Body = BodyReader<N::Stream>;
    type Upload = BodyWriter<N::Stream>;

    const VERSION: Version = Version::H11;

    fn form(&self, length: BodyLength) -> Form {
        Form::of(length)
    }

    fn compose(&self, out: &mut Vec<u8>, outgoing: &OutgoingRequest<'_>) -> Result<(), Fault> {
        write::request(out, outgoing);
        Ok(())
    }

    fn link(&self) -> Link<N> {
        Link::Connection(self.stream.clone())
    }

    fn upload(&self) -> BodyWriter<N::Stream> {
        BodyWriter { stream: self.stream.clone(), side: Side::Upstream }
    }

    async fn read(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.stream.read(buf, until).await
    }

    async fn read_idle(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.stream.read_idle(buf, until).await
    }

    fn parse(&self, buf: &Buf, caps: &Caps, method: Method, head: &mut ResponseHead) -> Result<Parsed, FaultKind> {
        response::parse(buf.filled(), caps, method, head)
    }

    fn body(&self, length: BodyLength) -> BodyReader<N::Stream> {
        BodyReader::new(self.stream.clone(), Side::Upstream, length)
    }

    fn stands(&self, body: &BodyReader<N::Stream>) -> bool {
        body.done() && !body.has_leftover()
    }

    fn abort(&self) {
        self.stream.abort();
    }

    fn reset_code(&self) -> Option<ErrorCode> {
        None
    }
}

impl<N: Net> Origin<N> {
    /// Old, idle too long, or used up.
    fn is_worn(&self, plan: &UpstreamPlan, now: Tick) -> bool {
        let used_up = plan.requests_per_connection_max != 0 && self.requests >= plan.requests_per_connection_max;
        let too_old = plan.connection_age_max.is_some_and(|age| now.since(self.opened) >= age);
        used_up || too_old || now.since(self.idle_since) >= plan.idle_timeout
    }
}
