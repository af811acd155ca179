// SPDX-License-Identifier: Apache-2.0
//! Hot. HTTP/2 to endpoints: one or few connections of a shard to each, with as many streams as the endpoint allows.
//!
//! A connection takes no new streams after GOAWAY, above its age, or when its endpoint left the configuration; it
//! closes after its last stream. A request that was certainly not processed may be retried (RFC 9113 section 8.7).

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use crate::balance::EndpointIndex;
use crate::base::{Buf, Fault, FaultKind, Scheme, Side, Tick};
use crate::config::plan::UpstreamPlan;
use crate::edge::flow::signal::{Signal, unless};
use crate::edge::flow::stream::{BodySource, Form, Remote};
use crate::edge::flow::thread::Thread;
use crate::edge::flow::watch::Link;
use crate::edge::protocol::h2::body::{Handle, StreamBody, StreamSink};
use crate::edge::protocol::h2::reader::{Check, Role};
use crate::edge::protocol::h2::session::{Session, StreamClosed};
use crate::edge::protocol::h2::stream_state::{ReceiveState, ReceivedHead};
use crate::edge::upstream::load::Open;
use crate::net::tls::Transport;
use crate::net::{Net, Stream as _};
use crate::wire::h1::{Caps, Parsed};
use crate::wire::h2::connection::{self, ConnectionError, Ending, Event};
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::message::{self, Content};
use crate::wire::h2::stream::Key;
use crate::wire::h2::write;
use crate::wire::head::{BodyLength, Method, ResponseHead, Version};
use crate::wire::outgoing::{After, OutgoingRequest};

/// An endpoint that answers pings and sends nothing else is not pinged more often. Servers of gRPC end connections that
/// ping more often than every five minutes while they send nothing.
const PING_AGAIN: Duration = Duration::from_secs(310);
/// How long a write to an endpoint may take.
const WRITE_WAIT: Duration = Duration::from_secs(60);
/// How often the clock is looked at while streams are open.
const LOOK_MS: u64 = 1_000;
/// The payload of our PING.
const PING: u64 = u64::from_be_bytes(*b"turnpike");

/// A shard's HTTP/2 connections to the endpoints of one upstream.
pub(crate) struct Sessions<N: Net> {
    list: RefCell<Vec<Rc<Http2Connection<N>>>>,
    /// Endpoints to which a connection is being opened, for those who would otherwise open one more.
    opening: RefCell<Vec<(EndpointIndex, Rc<Signal>)>>,
    /// The last endpoint chose HTTP/1.1 by ALPN.
    declined: Cell<bool>,
}

impl<N: Net> Default for Sessions<N> {
    fn default() -> Sessions<N> {
        Sessions { list: RefCell::default(), opening: RefCell::default(), declined: Cell::new(false) }
    }
}

/// One connection to an endpoint.
pub(crate) struct Http2Connection<N: Net> {
    session: Rc<Session<N>>,
    sessions: Rc<Sessions<N>>,
    open: Open,
    scheme: Scheme,
    /// It takes no new streams.
    retired: Cell<bool>,
    streams: Cell<u32>,
    streams_max: u32,
    idle_since: Cell<Tick>,
    idle_timeout: Duration,
    retires: Tick,
    ping_after: Option<Duration>,
    ping_wait: Duration,
    /// When it was sent a ping that is not answered yet.
    pinged: Cell<Option<Tick>>,
    /// When the last ping was sent, if no frame of a stream has arrived since.
    asked: Cell<Option<Tick>>,
    /// Its settings have come, or never will.
    settled: Signal,
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
    /// A new stream to `index`, on the connection with the fewest streams.
    pub(crate) fn find(&self, index: EndpointIndex) -> Option<Stream<N>> {
        let list = self.list.borrow();
        let able = list.iter().filter(|far| far.open.index == index && far.has_room());
        let far = able.min_by_key(|far| far.session.machine.borrow().held_streams())?;
        Some(Stream::on(far.clone()))
    }

    /// The signal of the connection that is being opened to `index`; `None` where none is, or where waiting for it is
    /// useless.
    pub(crate) fn awaited(&self, index: EndpointIndex) -> Option<Rc<Signal>> {
        if self.declined.get() {
            return None;
        }
        let opening = self.opening.borrow();
        opening.iter().find(|(other, _)| *other == index).map(|(_, signal)| signal.clone())
    }

    /// Tells others that a connection to `index` is being opened.
    pub(crate) fn open(&self, index: EndpointIndex) -> Opening<'_, N> {
        let signal = Rc::new(Signal::default());
        self.opening.borrow_mut().push((index, signal.clone()));
        Opening { sessions: self, signal }
    }

    /// What an endpoint said of HTTP/2.
    pub(crate) fn note(&self, speaks: Speaks) {
        self.declined.set(speaks == Speaks::Http1);
    }

    /// A connection was opened: the first stream of it.
    pub(crate) fn opened(
        self: &Rc<Self>,
        thread: &Rc<Thread<N>>,
        plan: &UpstreamPlan,
        transport: Transport<N::Stream>,
        open: Open,
    ) -> Stream<N> {
        let now = thread.net.now();
        let scheme = if transport.session().is_some() { Scheme::Https } else { Scheme::Http };
        let machine = connection::Connection::client(Rc::new(plan.http2.limits.clone()), now);
        let session = Session::start(thread, Rc::new(transport), machine, WRITE_WAIT);
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
            settled: Signal::default(),
        });
        self.list.borrow_mut().push(far.clone());
        thread.net.spawn(keep(far.clone()));
        Stream::on(far)
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
        !self.retired.get() && !used_up && !self.session.is_over() && !machine.is_going() && machine.openable() > 0
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
        let mut answer = ReceivedHead::default();
        let understood = {
            let mut machine = session.machine.borrow_mut();
            let section = machine.section();
            let method = session.with(key, |stream| stream.method).unwrap_or_default();
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
            Ok(()) => {
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

    fn on_event(&self, _: &Rc<Session<N>>, event: &Event) {
        match event {
            Event::GoAway { .. } => self.0.retired.set(true),
            Event::PingAck { payload: PING } => self.0.pinged.set(None),
            Event::Settings => self.0.settled.raise(),
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
            let idle = now >= far.idle_since.get().after(far.idle_timeout);
            if idle || far.retired.get() || session.thread.stopping.is_raised() {
                far.retired.set(true);
                session.machine.borrow_mut().go_away(ErrorCode::NoError);
                return Check::Over;
            }
            return Check::GoOn;
        }
        match far.pinged.get() {
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

/// One exchange: a stream that is opened when the request's head is composed.
pub(crate) struct Stream<N: Net> {
    far: Rc<Http2Connection<N>>,
    key: Cell<Option<Key>>,
    /// The request ended with its head.
    ended: Cell<bool>,
}

impl<N: Net> Stream<N> {
    fn on(far: Rc<Http2Connection<N>>) -> Stream<N> {
        Stream { far, key: Cell::new(None), ended: Cell::new(false) }
    }

    /// Does the endpoint take an extended CONNECT (RFC 8441 section 3)? `None` where it has not said.
    pub(crate) fn takes_upgrades(&self) -> Option<bool> {
        let told = self.far.settled.is_raised();
        told.then(|| self.far.session.machine.borrow().peer().connect_protocol)
    }

    /// As `takes_upgrades`; `until` the endpoint may take its time. Before its settings have come, nothing may be asked
    /// for.
    ///
    /// # Errors
    /// The settings did not arrive in time, or the connection ended before.
    pub(crate) async fn settled(&self, until: Tick) -> Result<bool, Fault> {
        let session = &self.far.session;
        unless(&self.far.settled, session.thread.net.sleep_until(until)).await;
        match self.takes_upgrades() {
            _ if session.is_over() => Err(Fault::unsent(FaultKind::UpstreamClosed)),
            Some(taken) => Ok(taken),
            None => Err(Fault::unsent(FaultKind::ConnectTimeout)),
        }
    }

    fn handle(&self) -> Option<Handle<N>> {
        let session = self.far.session.clone();
        self.key.get().map(|key| Handle { session, key })
    }

    /// The handle of an open stream. Only `compose` comes before it is open.
    fn opened(&self) -> Handle<N> {
        self.handle().expect("a conversation begins with its request's head")
    }
}

impl<N: Net> Drop for Stream<N> {
    fn drop(&mut self) {
        if let Some(Handle { session, key }) = self.handle() {
            session.close_stream(key);
            self.far.idle_since.set(session.thread.net.now());
            let retired = self.far.retired.get() && session.machine.borrow().held_streams() == 0;
            if retired {
                session.interrupt();
            }
        }
    }
}

impl<N: Net> Remote for Stream<N> {
    type Body = StreamBody<N>;
    type Upload = StreamSink<N>;

    const VERSION: Version = Version::H2;

    fn form(&self, _: BodyLength) -> Form {
        Form::Plain
    }

    fn compose(&self, out: &mut Vec<u8>, outgoing: &OutgoingRequest<'_>) -> Result<(), Fault> {
        out.clear();
        let Http2Connection { session, scheme, streams, .. } = &*self.far;
        let ends = outgoing.body == BodyLength::None && outgoing.after != After::Upgrade;
        let ending = if ends { Ending::Last } else { Ending::More };
        let block = |out: &mut Vec<u8>, encoder: &mut _| write::request(out, encoder, *scheme, outgoing);
        let opened = session.machine.borrow_mut().open(ending, block);
        let key = opened.map_err(|_| Fault::unsent(FaultKind::UpstreamClosed))?;
        session.open_stream(key);
        let method = match outgoing.after {
            After::Upgrade => Method::Connect,
            After::KeepAlive | After::Close => outgoing.request.head.method,
        };
        session.with(key, |stream| stream.method = method);
        self.key.set(Some(key));
        self.ended.set(ends);
        streams.set(streams.get().saturating_add(1));
        session.wake_writer();
        Ok(())
    }

    fn abort_handle(&self) -> Link {
        let Handle { session, key } = self.opened();
        Link { connection: session, stream: Some(key) }
    }

    fn upload(&self) -> StreamSink<N> {
        StreamSink { handle: self.opened(), side: Side::Upstream, ended: self.ended.get() }
    }

    async fn read(&self, mut buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        let Handle { session, key } = self.opened();
        match session.headed(key, until).await {
            None => return (Err(ErrorKind::TimedOut.into()), buf),
            Some(Err(cut)) => return (Err(error_of(cut).into()), buf),
            Some(Ok(())) => {}
        }
        // The head itself waits until it is parsed.
        let bytes =
            session.with(key, |stream| stream.heads.front_mut().map(|answer| std::mem::take(&mut answer.bytes)));
        let Some(bytes) = bytes.flatten() else { return (Err(ErrorKind::ConnectionReset.into()), buf) };
        debug_assert!(buf.is_empty(), "heads come one by one");
        if buf.spare() < bytes.len() {
            session.thread.pool.put(buf);
            buf = session.thread.pool.take(bytes.len());
        }
        let copied = buf.append(&bytes);
        debug_assert!(copied, "room was made above");
        (Ok(bytes.len()), buf)
    }

    async fn read_idle(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.read(buf, until).await
    }

    fn parse(&self, _: &Buf, _: &Caps, _: Method, head: &mut ResponseHead) -> Result<Parsed, FaultKind> {
        let Handle { session, key } = self.opened();
        match session.with(key, |stream| stream.heads.pop_front()).flatten() {
            Some(mut answer) => {
                std::mem::swap(head, &mut answer.head);
                Ok(Parsed::Complete)
            }
            None => Ok(Parsed::Partial),
        }
    }

    fn body(&self, length: BodyLength) -> StreamBody<N> {
        StreamBody::new(self.opened(), Side::Upstream, length)
    }

    fn stands(&self, body: &StreamBody<N>) -> bool {
        body.done()
    }

    fn abort(&self) {
        if let Some(handle) = self.handle() {
            handle.abort();
        }
    }

    fn reset_code(&self) -> Option<ErrorCode> {
        let Handle { session, key } = self.handle()?;
        session.with(key, |stream| stream.peer_reset).flatten()
    }
}

/// The error of reading a closed stream; `Answering` turns it into a fault.
fn error_of(cut: StreamClosed) -> ErrorKind {
    match cut.0 {
        ReceiveState::Reset(ErrorCode::RefusedStream) => ErrorKind::ConnectionRefused,
        ReceiveState::Reset(ErrorCode::Protocol) => ErrorKind::InvalidData,
        ReceiveState::Open | ReceiveState::All | ReceiveState::Reset(_) | ReceiveState::Lost => {
            ErrorKind::ConnectionReset
        }
    }
}
