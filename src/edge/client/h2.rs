// SPDX-License-Identifier: Apache-2.0
//! Hot. HTTP/2 from clients: a connection's streams become exchanges, each a task of its own.
//!
//! A drain announces itself (GOAWAY with the highest identifier, then a PING), so that what a client opened meanwhile
//! is still answered; then the last stream is named, and the connection ends when all are done (RFC 9113 section 6.8).

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use crate::base::limits::H2_UNREAD_BYTES_MAX;
use crate::base::{Buf, Fault, FaultKind, ListenerId, Pace, Side, Tick};
use crate::config::plan::Underscores;
use crate::edge::client::connection::{Connection, hear_last};
use crate::edge::client::notices::Who;
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::switched;
use crate::edge::flow::stream::{BodySink, Client, Ending, Form, Outgoing};
use crate::edge::flow::watch::Watch;
use crate::edge::protocol::h2::body::{Handle, StreamBody, StreamSink};
use crate::edge::protocol::h2::reader::{Check, Role};
use crate::edge::protocol::h2::session::Session;
use crate::edge::protocol::h2::stream_state::ReceiveState;
use crate::edge::serve::path;
use crate::edge::shard::bound::Bound;
use crate::edge::shard::scratch::Scratch;
use crate::link::Counter;
use crate::net::Net;
use crate::wire::field::Known;
use crate::wire::h1::{RawUtf8, framing};
use crate::wire::h2::connection::{self, ConnectionError, Event};
use crate::wire::h2::flood::Flood;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::h2::malformed::Malformed;
use crate::wire::h2::message::{self, Content};
use crate::wire::h2::priority::Priority;
use crate::wire::h2::stream::Key;
use crate::wire::h2::write;
use crate::wire::head::{BodyLength, Method, Request, RequestHead, Version};
use crate::wire::outgoing::{After, OutgoingResponse};

/// How long after the announcement of a drain the last stream is named, where the client does not answer the PING.
const GOING_MS: u64 = 1_000;
/// How long a client that got its answer may go on with a request before its stream is reset.
const HEAR_OUT_MS: u64 = 500;
/// How often the clock is looked at while streams are open.
const LOOK_MS: u64 = 1_000;
/// How long a client may owe the acknowledgement of our settings.
const SETTINGS_MS: u64 = 10_000;
/// The payload of the PING that follows the announcement of a drain.
const GOING_PING: u64 = u64::from_be_bytes(*b"turnpike");

/// One client's connection.
struct ClientConnection<N: Net> {
    connection: Connection<N>,
    /// Since when it has had no stream.
    idle_since: Cell<Tick>,
    /// When it announced that it goes.
    going_since: Cell<Option<Tick>>,
    streams: Cell<u32>,
}

/// Serves a connection to its end. Bytes that were read before are in the connection's buffer.
pub(crate) async fn serve<N: Net>(mut connection: Box<Connection<N>>) {
    let Some(listener) = connection.acceptor.listener() else { return };
    let bound = connection.shard.bound();
    let plan = bound.plan.listener(listener);
    let shard = connection.shard.clone();
    let now = shard.thread.net.now();
    let machine = connection::Connection::server(bound.http2(listener).clone(), now);
    let unread_max = H2_UNREAD_BYTES_MAX / bound.plan.process.shards.max(1);
    let stream = connection.stream.clone();
    let session = Session::start(&shard.thread, stream, machine, plan.timeouts.write, Some(unread_max));
    bound.counters.add(Counter::Http2Connections, 1);
    drop(bound);
    let first = std::mem::take(&mut connection.buf);
    let served = Rc::new(ClientConnection {
        connection: *connection,
        idle_since: Cell::new(now),
        going_since: Cell::new(None),
        streams: Cell::new(0),
    });
    served.connection.place.set_idle(now);
    session.read_all(&ServerRole(served), first).await;
    session.done.wait().await;
    hear_last(&session.thread, &session.transport, Buf::empty()).await;
}

impl<N: Net> ClientConnection<N> {
    /// Tells the operator which rule of HTTP/2 the client broke.
    #[cold]
    fn malformed(&self, listener: ListenerId, rule: &'static str) {
        let Connection { shard, peer, .. } = &self.connection;
        let bound = shard.bound();
        Who { shard, listener: bound.plan.listener(listener), peer }.malformed_http2(rule);
    }
}

/// What is done on a client's connection.
struct ServerRole<N: Net>(Rc<ClientConnection<N>>);

impl<N: Net> Role<N> for ServerRole<N> {
    fn on_head(&self, session: &Rc<Session<N>>, key: Key, content: Content) {
        let served = &self.0;
        let shard = &served.connection.shard;
        let Some(listener) = served.connection.acceptor.listener() else {
            // The listener is gone, so the stream is refused and the client may retry elsewhere (RFC 9113 section 8.7).
            session.reset(key, ErrorCode::RefusedStream);
            session.close_stream(key);
            self.leave(session, shard.thread.net.now());
            return;
        };
        session.open_stream(key);
        let mut scratch = shard.scratch.take();
        let understood = {
            let mut machine = session.machine.borrow_mut();
            let section = machine.section();
            let mut understood = message::request(section, content, &mut scratch.request);
            let encodes = || shard.bound().plan.listener(listener).caps.raw_utf8 == RawUtf8::Encode;
            if understood == Err(Malformed::Path) && encodes() && section.encode_path() {
                understood = message::request(section, content, &mut scratch.request);
            }
            std::mem::swap(&mut section.bytes, &mut scratch.arena);
            machine.expect(key, scratch.request.content());
            understood
        };
        let refused = match understood {
            Ok(()) => accept(&shard.bound(), listener, &mut scratch),
            Err(malformed) => {
                served.malformed(listener, malformed.rule());
                match malformed.answer() {
                    Some(kind) => Some(kind),
                    None => {
                        shard.bound().counters.add(Counter::Rejected, 1);
                        shard.scratch.put(scratch);
                        session.reset(key, ErrorCode::Protocol);
                        return session.close_stream(key);
                    }
                }
            }
        };
        served.connection.place.set_busy();
        served.streams.set(served.streams.get().saturating_add(1));
        self.end_when_used_up(session);
        shard.thread.net.spawn(exchange(served.clone(), session.clone(), key, scratch, refused));
    }

    fn on_interim(&self, _: &Rc<Session<N>>, _: Key) {
        // A client sends none: the machine refuses it.
    }

    fn on_event(&self, session: &Rc<Session<N>>, event: &Event) {
        if let Event::PingAck { payload: GOING_PING } = event
            && self.0.going_since.get().is_some()
        {
            session.machine.borrow_mut().go_away(ErrorCode::NoError);
            session.wake_writer();
        }
    }

    fn on_overflow(&self) {
        self.0.connection.shard.bound().counters.add(Counter::UnreadResets, 1);
    }

    fn on_error(&self, _: &Session<N>, error: ConnectionError) {
        let bound = self.0.connection.shard.bound();
        bound.counters.add(Counter::Rejected, 1);
        if let Some(listener) = self.0.connection.acceptor.listener() {
            self.0.malformed(listener, error.rule);
        }
        if let Some(flood) = error.flood {
            bound.counters.add(counter_of(flood), 1);
        }
    }

    fn next_check(&self, session: &Session<N>, now: Tick) -> Tick {
        let soon = now.after_ms(LOOK_MS);
        let machine = session.machine.borrow();
        let watched = self.0.going_since.get().is_some() || machine.partial_since() != Tick::NEVER;
        if machine.held_streams() > 0 || watched || machine.unacknowledged_since() != Tick::NEVER {
            return soon;
        }
        drop(machine);
        self.idle_until().unwrap_or(now).min(self.0.connection.shard.drain_idle_until())
    }

    fn check(&self, session: &Session<N>, now: Tick) -> Check {
        let served = &self.0;
        let Some(listener) = served.connection.acceptor.listener() else { return self.leave(session, now) };
        let bound = served.connection.shard.bound();
        let timeouts = &bound.plan.listener(listener).timeouts;
        let machine = session.machine.borrow();
        let (partial, owed) = (machine.partial_since(), machine.unacknowledged_since());
        let held = machine.held_streams();
        drop(machine);
        let late = partial != Tick::NEVER && now >= partial.after(timeouts.head);
        let unsettled = owed != Tick::NEVER && now >= owed.after_ms(SETTINGS_MS);
        if late || unsettled {
            bound.counters.add(Counter::TimedOutHeads, u64::from(late));
            let code = if late { ErrorCode::EnhanceYourCalm } else { ErrorCode::SettingsTimeout };
            session.machine.borrow_mut().go_away(code);
            return Check::Over;
        }
        let given_up = served.connection.place.is_evicted() || self.idle_until().is_none_or(|until| now >= until);
        let idle = held == 0 && given_up;
        if idle || served.connection.shard.thread.draining.is_raised() || served.going_since.get().is_some() {
            return self.leave(session, now);
        }
        Check::GoOn
    }
}

/// Applies to a head what the listener says of heads. The fault that the request is refused for, if any.
fn accept<N: Net>(bound: &Bound<N>, listener: ListenerId, scratch: &mut Scratch) -> Option<FaultKind> {
    let plan = bound.plan.listener(listener);
    let refused = plan.caps.exceeded(&scratch.request);
    if plan.underscores == Underscores::Dropped {
        scratch.request.fields.drop_underscored(&scratch.arena);
    }
    refused
}

impl<N: Net> ServerRole<N> {
    fn idle_until(&self) -> Option<Tick> {
        let served = &self.0;
        let listener = served.connection.acceptor.listener()?;
        let bound = served.connection.shard.bound();
        Some(served.idle_since.get().after(bound.plan.listener(listener).timeouts.keep_alive))
    }

    fn end_when_used_up(&self, session: &Session<N>) {
        let served = &self.0;
        let Some(listener) = served.connection.acceptor.listener() else { return };
        let max = served.connection.shard.bound().plan.listener(listener).requests_max;
        if max != 0 && served.streams.get() >= max && served.going_since.get().is_none() {
            announce(session, served, served.connection.shard.thread.net.now());
        }
    }

    /// One step of a drain: announce, name the last stream, end.
    fn leave(&self, session: &Session<N>, now: Tick) -> Check {
        let served = &self.0;
        match served.going_since.get() {
            None => announce(session, served, now),
            Some(since) if now >= since.after_ms(GOING_MS) => {
                session.machine.borrow_mut().go_away(ErrorCode::NoError);
                session.wake_writer();
            }
            Some(_) => {}
        }
        if session.machine.borrow().is_drained() { Check::Over } else { Check::GoOn }
    }
}

fn announce<N: Net>(session: &Session<N>, served: &ClientConnection<N>, now: Tick) {
    served.going_since.set(Some(now));
    let mut machine = session.machine.borrow_mut();
    machine.announce_going();
    machine.ping(GOING_PING);
    drop(machine);
    session.nudge_all();
    session.wake_writer();
}

fn counter_of(flood: Flood) -> Counter {
    match flood {
        Flood::RapidReset => Counter::FloodRapidReset,
        Flood::ErrorReset => Counter::FloodErrorReset,
        Flood::Refused => Counter::FloodRefused,
        Flood::Continuation => Counter::FloodContinuation,
        Flood::Settings => Counter::FloodSettings,
        Flood::Ping => Counter::FloodPing,
        Flood::EmptyData => Counter::FloodEmptyData,
        Flood::TinyData => Counter::FloodTinyData,
        Flood::WindowUpdate => Counter::FloodWindowUpdate,
        Flood::Dribble => Counter::FloodDribble,
        Flood::Priority => Counter::FloodPriority,
        Flood::HeaderList => Counter::FloodHeaderList,
        Flood::Ignored => Counter::FloodIgnored,
        Flood::Output => Counter::FloodOutput,
    }
}

/// One request and its answer.
async fn exchange<N: Net>(
    served: Rc<ClientConnection<N>>,
    session: Rc<Session<N>>,
    key: Key,
    mut scratch: Box<Scratch>,
    refused: Option<FaultKind>,
) {
    let shard = &served.connection.shard;
    let serving = shard.serving();
    let watch = Rc::new(Watch::default());
    let stands = refused.is_some() || stands(&served, &session, key, scratch.request.content()).await;
    let closed = session.with(key, |stream| {
        stream.watch = Some(watch.clone());
        stream.closed
    });
    let gone = closed.unwrap_or(true);
    match served.connection.acceptor.listener() {
        Some(listener) if stands && !gone => {
            let bound = shard.bound();
            scratch.state.record.started = shard.thread.net.now();
            let stream = StreamOf { served: &served, session: &session, key, listener };
            run(stream, bound, &watch, &mut scratch, refused).await;
        }
        Some(_) => {}
        None => session.reset(key, ErrorCode::RefusedStream),
    }
    if !scratch.state.record.aborted {
        session.hear_out(key, shard.thread.net.now().after_ms(HEAR_OUT_MS)).await;
    }
    session.close_stream(key);
    scratch.state.clear();
    scratch.arena.clear();
    shard.scratch.put(scratch);
    drop(serving);
    if session.machine.borrow().held_streams() == 0 {
        let now = shard.thread.net.now();
        served.idle_since.set(now);
        served.connection.place.set_idle(now);
    }
    if session.machine.borrow().is_drained() {
        // The reader waits for bytes that may never come.
        session.interrupt();
    }
}

/// Is the request complete enough to serve? A request without content is complete only when its stream has ended (RFC
/// 9113 section 8.1.1), and must not be served before.
async fn stands<N: Net>(served: &ClientConnection<N>, session: &Session<N>, key: Key, content: BodyLength) -> bool {
    let open = session.with(key, |stream| stream.come == ReceiveState::Open).unwrap_or(false);
    let Some(listener) = served.connection.acceptor.listener() else { return false };
    if content != BodyLength::None || !open {
        return true;
    }
    let shard = &served.connection.shard;
    let wait = shard.bound().plan.listener(listener).timeouts.body_idle;
    let end = session.read(key, &mut Buf::empty(), shard.thread.net.now().after(wait)).await;
    matches!(end, Some(Ok(_)))
}

/// A stream of a client's connection.
struct StreamOf<'a, N: Net> {
    served: &'a ClientConnection<N>,
    session: &'a Rc<Session<N>>,
    key: Key,
    listener: ListenerId,
}

async fn run<N: Net>(
    stream: StreamOf<'_, N>,
    bound: Rc<Bound<N>>,
    watch: &Watch,
    scratch: &mut Scratch,
    refused: Option<FaultKind>,
) {
    let StreamOf { served, session, key, listener } = stream;
    let shard = &served.connection.shard;
    if refused.is_some() {
        // A rejected head may be parsed wrongly, so response and log are made without it.
        bound.counters.add(Counter::Rejected, 1);
        scratch.request = RequestHead { version: Version::H2, ..RequestHead::default() };
        scratch.arena.clear();
    }
    let Scratch { request, arena, state, .. } = scratch;
    let handle = Handle { session: session.clone(), key };
    let mut source = StreamBody::new(handle.clone(), Side::Client, request.body);
    let mut client = H2Client {
        sink: StreamSink {
            handle,
            side: Side::Client,
            ended: false,
            pace: bound.plan.listener(listener).timeouts.write,
        },
        method: request.method,
        headed: false,
        gone: false,
    };
    let peer = &served.connection.peer;
    let request = Request { bytes: arena, head: request };
    let mut switched = OnceCell::new();
    let context = Context { shard, bound: &bound, listener, peer, request, behind: &[], watch, switched: &switched };
    let mut exchange = Exchange { context, source: &mut source, client: &mut client, state };
    match refused {
        None => path::serve(&mut exchange).await,
        Some(kind) => path::refuse(&mut exchange, Fault::last(kind)).await,
    }
    if let Some(tunnel) = switched.take() {
        let kept = switched::keep(shard, &bound, state);
        drop(bound);
        let context = Context { shard, bound: &kept, listener, peer, request, behind: &[], watch, switched: &switched };
        path::tunnel(&mut Exchange { context, source: &mut source, client: &mut client, state }, tunnel).await;
    }
    if state.record.aborted {
        session.reset(key, ErrorCode::Internal);
    }
}

/// The way back on a stream.
struct H2Client<N: Net> {
    sink: StreamSink<N>,
    method: Method,
    /// The final head is queued.
    headed: bool,
    gone: bool,
}

impl<N: Net> BodySink for H2Client<N> {
    async fn write(&mut self, buf: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        self.sink.write(buf, ending, until).await
    }

    fn set_pace(&mut self, pace: Pace) {
        self.sink.set_pace(pace);
    }

    fn finish(&self) {
        self.sink.finish();
    }

    fn abort(&self) {
        self.sink.abort();
    }
}

impl<N: Net> Client for H2Client<N> {
    fn framing(&self, length: BodyLength) -> (BodyLength, Form) {
        (framing::to_client(length, Version::H2), Form::Plain)
    }

    fn takes_interim(&self) -> bool {
        true
    }

    fn close_after(&mut self) {
        // A stream ends by itself, and the connection goes on.
    }

    fn compose(&mut self, outgoing: Outgoing<'_>) {
        let Handle { session, key } = &self.sink.handle;
        let thread = &session.thread;
        let mut dates = thread.dates.borrow_mut();
        let response = OutgoingResponse {
            response: outgoing.response,
            patch: outgoing.patch,
            body: outgoing.length,
            method: self.method,
            client: Version::H2,
            after: if outgoing.upgrades { After::Upgrade } else { After::KeepAlive },
            date: dates.imf(thread.wall_lately()),
            via: None,
        };
        let block = |out: &mut Vec<u8>, encoder: &mut _| write::response(out, encoder, &response);
        let mut machine = session.machine.borrow_mut();
        let interim = outgoing.response.head.status < 200 && !outgoing.upgrades;
        let sent = if interim {
            machine.send_interim(*key, block)
        } else {
            debug_assert!(!self.headed, "one final head");
            let ends = outgoing.length == BodyLength::None && !outgoing.upgrades;
            self.headed = true;
            if outgoing.response.head.fields.names.has(Known::Priority) {
                // The origin may know better than the client what its answer is for.
                let told = machine.priority_of(*key);
                let values = outgoing.response.head.fields.values(outgoing.response.bytes, Known::Priority);
                machine.prioritise(*key, values.fold(told, Priority::updated));
            }
            self.sink.ended = ends;
            machine.send_head(*key, if ends { connection::Ending::Last } else { connection::Ending::More }, block)
        };
        self.gone |= sent.is_err();
        drop(machine);
        session.wake_writer();
    }

    fn begun(&self) -> bool {
        self.headed
    }

    async fn commit(&mut self, first: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        if self.gone {
            return (Err(Fault::last(FaultKind::ClientClosed)), first);
        }
        if !self.headed {
            return (Ok(()), first);
        }
        self.sink.write(first, ending, until).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::protocol::h2::session::Session;
    use crate::net::uring::Uring;

    fn size_of_future<A, F>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// The size of an exchange's task.
    fn size_of_exchange<F>(
        _: impl Fn(Rc<ClientConnection<Uring>>, Rc<Session<Uring>>, Key, Box<Scratch>, Option<FaultKind>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_exchange_is_small() {
        let size = size_of_exchange(exchange);
        assert!(size <= 6 * 1024, "{size} bytes");
    }

    #[test]
    fn an_idle_connection_is_small() {
        let serving = size_of_future(serve::<Uring>);
        let writing = size_of_future(crate::edge::protocol::h2::writer::write_all::<Uring>);
        let session = size_of::<Session<Uring>>();
        assert!(serving <= 1_000 && writing <= 700 && session <= 2_200, "{serving} {writing} {session} bytes");
    }
}
