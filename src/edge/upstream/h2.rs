// SPDX-License-Identifier: Apache-2.0
//! Hot. HTTP/2 to endpoints: one or few connections of a shard to each, with as many streams as the endpoint allows.
//!
//! A connection takes no new streams after GOAWAY, above its age, or when its endpoint left the configuration; it
//! closes after its last stream. A request that was certainly not processed may be retried (RFC 9113 section 8.7).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::balance::EndpointIndex;
use crate::base::{Buf, FaultKind, Pace, Scheme, Tick, limits};
use crate::config::plan::UpstreamPlan;
use crate::edge::flow::signal::Signal;
use crate::edge::flow::thread::Thread;
use crate::edge::protocol::h2::reader::{Check, Role};
use crate::edge::protocol::h2::session::Session;
use crate::edge::protocol::h2::stream_state::ReceivedHead;
use crate::edge::upstream::load::Open;
use crate::net::tls::Transport;
use crate::net::{Net, Stream as _};
use crate::wire::h2::connection::{self, ConnectionError, Event};
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::malformed::Malformed;
use crate::wire::h2::message::{self, Content};
use crate::wire::h2::stream::Key;
use crate::wire::head::{BodyLength, Method};

/// An endpoint that answers pings and sends nothing else is not pinged more often. Servers of gRPC end connections that
/// ping more often than every five minutes while they send nothing.
const PING_AGAIN: Duration = Duration::from_secs(310);
/// How long an endpoint may take nothing of what is written to it.
const WRITE_WAIT: Duration = Duration::from_secs(60);
/// How often the clock is looked at while streams are open.
const LOOK_MS: u64 = 1_000;
/// Parsed heads whose memory a connection keeps while it has streams; as many heads as usually come at once.
const SPARE_HEADS_MAX: usize = 8;
/// A longer head gives its memory back.
const SPARE_BYTES_MAX: usize = limits::BUF_CLASSES[0];
/// The payload of our PING.
const PING: u64 = u64::from_be_bytes(*b"turnpike");

/// A shard's HTTP/2 connections to the endpoints of one upstream.
pub(crate) struct Sessions<N: Net> {
    list: RefCell<Vec<Rc<Http2Connection<N>>>>,
    /// Endpoints to which a connection is being opened, for those who would otherwise open one more.
    opening: RefCell<Vec<(EndpointIndex, Rc<Signal>)>>,
    /// The last endpoint chose HTTP/1.1 by ALPN.
    declined: Cell<bool>,
    /// How many concurrent streams the SETTINGS of each endpoint allowed last; a new connection keeps to it until its
    /// own SETTINGS have come. At most one entry for each endpoint.
    allowed: RefCell<Vec<(EndpointIndex, u32)>>,
}

/// Streams on a connection whose endpoint has never sent SETTINGS. More could be more than it takes, and some servers
/// close the whole connection for that.
const STREAMS_BEFORE_SETTINGS: u32 = 1;

impl<N: Net> Default for Sessions<N> {
    fn default() -> Sessions<N> {
        Sessions {
            list: RefCell::default(),
            opening: RefCell::default(),
            declined: Cell::new(false),
            allowed: RefCell::default(),
        }
    }
}

/// One connection to an endpoint.
pub(crate) struct Http2Connection<N: Net> {
    pub(super) session: Rc<Session<N>>,
    sessions: Rc<Sessions<N>>,
    open: Open,
    pub(super) scheme: Scheme,
    /// It takes no new streams.
    pub(super) retired: Cell<bool>,
    /// Streams that were opened on it.
    pub(super) streams: Cell<u32>,
    streams_max: u32,
    pub(super) idle_since: Cell<Tick>,
    idle_timeout: Duration,
    retires: Tick,
    ping_after: Option<Duration>,
    ping_wait: Duration,
    /// When it was sent a ping that is not answered yet.
    pinged: Cell<Option<Tick>>,
    /// When the last ping was sent, if no frame of a stream has arrived since.
    asked: Cell<Option<Tick>>,
    /// Heads that were parsed, for the memory that they hold.
    spare_heads: RefCell<VecDeque<Box<ReceivedHead>>>,
    /// Its settings have come, or never will.
    pub(super) settled: Rc<Signal>,
}

/// Signals that opening a connection has succeeded or failed.
pub(crate) struct Opening<'a, N: Net> {
    sessions: &'a Sessions<N>,
    signal: Rc<Signal>,
}

impl<N: Net> Drop for Opening<'_, N> {
    fn drop(&mut self) {
        self.sessions.opening.borrow_mut().retain(|(_, signal)| !Rc::ptr_eq(signal, &self.signal));
        self.signal.raise();
    }
}

impl<N: Net> Sessions<N> {
    /// The connection to `index` with the fewest streams that takes one more.
    pub(crate) fn find(&self, index: EndpointIndex) -> Option<Rc<Http2Connection<N>>> {
        let list = self.list.borrow();
        let able = list.iter().filter(|far| far.open.index == index && far.has_room());
        let far = able.min_by_key(|far| far.session.machine.borrow().held_streams())?;
        Some(far.clone())
    }

    /// The signal of the connection that is being opened to `index`, or of one whose SETTINGS have not come and which
    /// takes no more streams before; `None` where there is none, or where waiting for it is useless.
    pub(crate) fn awaited(&self, index: EndpointIndex) -> Option<Rc<Signal>> {
        if self.declined.get() {
            return None;
        }
        let opening = self.opening.borrow();
        if let Some((_, signal)) = opening.iter().find(|(other, _)| *other == index) {
            return Some(signal.clone());
        }
        let list = self.list.borrow();
        list.iter().find(|far| far.open.index == index && far.awaits_settings()).map(|far| far.settled.clone())
    }

    /// Tells others that a connection to `index` is being opened.
    pub(crate) fn open(&self, index: EndpointIndex) -> Opening<'_, N> {
        let signal = Rc::new(Signal::default());
        self.opening.borrow_mut().push((index, signal.clone()));
        Opening { sessions: self, signal }
    }

    /// How many streams a connection to `index` may have before its SETTINGS have come.
    fn allowed_before_settings(&self, index: EndpointIndex) -> u32 {
        let allowed = self.allowed.borrow();
        allowed.iter().find(|(other, _)| *other == index).map_or(STREAMS_BEFORE_SETTINGS, |(_, streams)| *streams)
    }

    /// Remembers what the SETTINGS of an endpoint allow.
    fn learn(&self, index: EndpointIndex, streams: u32) {
        let mut allowed = self.allowed.borrow_mut();
        match allowed.iter_mut().find(|(other, _)| *other == index) {
            Some((_, last)) => *last = streams,
            None => allowed.push((index, streams)),
        }
    }

    /// What an endpoint said of HTTP/2.
    pub(crate) fn note(&self, speaks: Speaks) {
        self.declined.set(speaks == Speaks::Http1);
    }

    /// A connection was opened.
    pub(crate) fn opened(
        self: &Rc<Self>,
        thread: &Rc<Thread<N>>,
        plan: &UpstreamPlan,
        transport: Transport<N::Stream>,
        open: Open,
    ) -> Rc<Http2Connection<N>> {
        let now = thread.net.now();
        let scheme = if transport.session().is_some() { Scheme::Https } else { Scheme::Http };
        let machine = connection::Connection::client(Rc::new(plan.http2.limits.clone()), now);
        let session = Session::start(thread, Rc::new(transport), machine, Pace::idle(WRITE_WAIT), None);
        let far = Rc::new(Http2Connection {
            session: session.clone(),
            sessions: self.clone(),
            open,
            scheme,
            retired: Cell::new(false),
            streams: Cell::new(0),
            streams_max: plan.requests_per_connection_max,
            idle_since: Cell::new(now),
            idle_timeout: plan.idle_timeout,
            retires: plan.connection_age_max.map_or(Tick::NEVER, |age| now.after(age)),
            ping_after: plan.http2.ping,
            ping_wait: plan.http2.ping_timeout,
            pinged: Cell::new(None),
            asked: Cell::new(None),
            spare_heads: RefCell::default(),
            settled: Rc::default(),
        });
        self.list.borrow_mut().push(far.clone());
        thread.net.spawn(keep(far.clone()));
        far
    }

    /// Connections that are not over.
    pub(crate) fn count(&self) -> usize {
        self.list.borrow().len()
    }

    /// Connections without a stream.
    pub(crate) fn idle_count(&self) -> usize {
        let list = self.list.borrow();
        list.iter().filter(|far| far.session.machine.borrow().held_streams() == 0).count()
    }

    /// Takes connections out of use that are too old or whose endpoint left.
    pub(crate) fn sweep(&self, is_listed: impl Fn(EndpointIndex) -> bool, now: Tick) {
        for far in self.list.borrow().iter() {
            if now >= far.retires || !is_listed(far.open.index) {
                far.retire();
            }
        }
        self.allowed.borrow_mut().retain(|(index, _)| is_listed(*index));
    }

    /// Takes up to `count` connections to an endpoint out of use that have no stream.
    #[cold]
    pub(crate) fn close_idle(&self, index: EndpointIndex, count: usize) {
        let list = self.list.borrow();
        let idle = list.iter().filter(|far| {
            far.open.index == index && !far.retired.get() && far.session.machine.borrow().held_streams() == 0
        });
        idle.take(count).for_each(|far| far.retire());
    }

    /// Takes all connections out of use.
    pub(crate) fn close(&self) {
        self.list.borrow().iter().for_each(|far| far.retire());
    }
}

/// What an endpoint chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1.1, or nothing.
    Http1,
    /// HTTP/2.
    Http2,
}

impl<N: Net> Http2Connection<N> {
    fn has_room(&self) -> bool {
        let used_up = self.streams_max != 0 && self.streams.get() >= self.streams_max;
        let machine = self.session.machine.borrow();
        let usable = !self.retired.get() && !used_up && !self.session.is_over() && !machine.is_going();
        usable && machine.openable() > 0 && (self.settled.is_raised() || self.has_room_before_settings())
    }

    #[cold]
    fn has_room_before_settings(&self) -> bool {
        let held = self.session.machine.borrow().held_streams();
        held < self.sessions.allowed_before_settings(self.open.index) as usize
    }

    /// Will more streams be possible once its SETTINGS have come?
    fn awaits_settings(&self) -> bool {
        !self.settled.is_raised() && !self.retired.get() && !self.session.is_over()
    }

    /// When the endpoint is to be sent a ping, while streams are open.
    fn ping_at(&self) -> Tick {
        let Some(after) = self.ping_after else { return Tick::NEVER };
        let silent = self.session.heard.get().after(after);
        if self.session.spoke.get() {
            self.asked.set(None);
        }
        self.asked.get().map_or(silent, |asked| silent.max(asked.after(PING_AGAIN)))
    }

    /// Keeps the memory of a head that was parsed for the next one.
    pub(super) fn recycle(&self, head: Box<ReceivedHead>) {
        let mut spare = self.spare_heads.borrow_mut();
        if spare.len() < SPARE_HEADS_MAX && head.bytes.capacity() <= SPARE_BYTES_MAX {
            spare.push_back(head);
        }
    }

    fn retire(&self) {
        if !self.retired.replace(true) {
            self.session.interrupt();
        }
    }
}

/// Reads from an endpoint until the connection is over.
async fn keep<N: Net>(far: Rc<Http2Connection<N>>) {
    far.session.read_all(&ClientRole(far.clone()), Buf::empty()).await;
    far.settled.raise();
    far.sessions.list.borrow_mut().retain(|other| !Rc::ptr_eq(other, &far));
}

/// What is done on a connection to an endpoint.
struct ClientRole<N: Net>(Rc<Http2Connection<N>>);

impl<N: Net> ClientRole<N> {
    fn answer(&self, session: &Session<N>, key: Key, content: Content) {
        let mut answer = self.0.spare_heads.borrow_mut().pop_back().unwrap_or_default();
        answer.refused = None;
        let many;
        let understood = {
            let mut machine = session.machine.borrow_mut();
            let section = machine.section();
            let method = session.with(key, |stream| stream.method).unwrap_or_default();
            many = section.fields.list.len() >= limits::FIELDS_MAX;
            let understood = message::response(section, content, method, &mut answer.head);
            std::mem::swap(&mut section.bytes, &mut answer.bytes);
            if method == Method::Connect && answer.head.status == 200 {
                // After an upgrade the bytes belong to the other protocol.
                answer.head.body = BodyLength::Chunked;
            }
            if understood.is_ok() && answer.head.status >= 200 {
                machine.expect(key, answer.head.body);
            }
            understood
        };
        match understood {
            Ok(()) | Err(Malformed::TooLarge) => {
                answer.refused = understood.is_err().then_some(match many {
                    true => FaultKind::UpstreamTooManyFields,
                    false => FaultKind::UpstreamHeadTooLarge,
                });
                session.with(key, |stream| {
                    stream.heads.push_back(answer);
                    stream.wake_reader();
                });
            }
            Err(_) => session.reset(key, ErrorCode::Protocol),
        }
    }
}

impl<N: Net> Role<N> for ClientRole<N> {
    fn on_head(&self, session: &Rc<Session<N>>, key: Key, content: Content) {
        self.answer(session, key, content);
    }

    fn on_interim(&self, session: &Rc<Session<N>>, key: Key) {
        self.answer(session, key, Content::Follows);
    }

    fn on_event(&self, session: &Rc<Session<N>>, event: &Event) {
        match event {
            Event::GoAway { .. } => self.0.retired.set(true),
            Event::PingAck { payload: PING } => self.0.pinged.set(None),
            Event::Settings => {
                let streams = session.machine.borrow().peer().concurrent;
                self.0.sessions.learn(self.0.open.index, streams);
                self.0.open.learn(streams);
                self.0.settled.raise();
            }
            Event::PingAck { .. }
            | Event::SettingsAcked
            | Event::Head { .. }
            | Event::Interim { .. }
            | Event::Trailers { .. }
            | Event::Data { .. }
            | Event::Reset { .. }
            | Event::StreamWindow { .. }
            | Event::AnyWindow => {}
        }
    }

    fn on_overflow(&self) {
        debug_assert!(false, "what endpoints send is bounded by the windows of their streams");
    }

    fn on_error(&self, _: &Session<N>, error: ConnectionError) {
        tracing::debug!(rule = error.rule, "an upstream's HTTP/2 connection was ended");
    }

    fn next_check(&self, session: &Session<N>, now: Tick) -> Tick {
        let far = &self.0;
        if session.machine.borrow().held_streams() == 0 {
            // A stream that is opened meanwhile does not wake the reader.
            let often = far.ping_after.map_or(Tick::NEVER, |after| now.after(after));
            return far.idle_since.get().after(far.idle_timeout).min(often);
        }
        // Nor does the end of the last stream.
        far.pinged.get().map_or_else(|| far.ping_at(), |since| since.after(far.ping_wait)).min(now.after_ms(LOOK_MS))
    }

    fn check(&self, session: &Session<N>, now: Tick) -> Check {
        let far = &self.0;
        let held = session.machine.borrow().held_streams();
        if held == 0 {
            *far.spare_heads.borrow_mut() = VecDeque::new();
            let idle = now >= far.idle_since.get().after(far.idle_timeout);
            if idle || far.retired.get() || session.thread.stopping.is_raised() {
                far.retired.set(true);
                session.machine.borrow_mut().go_away(ErrorCode::NoError);
                return Check::Over;
            }
            return Check::GoOn;
        }
        match far.pinged.get() {
            // The ping may stand behind what is being written, and the pace of that ends a connection that is dead.
            Some(_) if session.writing.get() => far.pinged.set(Some(now)),
            Some(since) if now >= since.after(far.ping_wait) => {
                tracing::debug!("an upstream's HTTP/2 connection gave no sign of life");
                // The peer does not read any more, and a write may be pending.
                session.transport.abort();
                return Check::Over;
            }
            None if now >= far.ping_at() => {
                far.pinged.set(Some(now));
                far.asked.set(Some(now));
                session.spoke.set(false);
                session.machine.borrow_mut().ping(PING);
                session.wake_writer();
            }
            Some(_) | None => {}
        }
        Check::GoOn
    }
}
