// SPDX-License-Identifier: Apache-2.0
//! Hot. The client's side of HTTP/1: one request after another on one connection, each served by `serve`.

use std::cell::OnceCell;
use std::io::ErrorKind;
use std::rc::Rc;

use crate::base::{Buf, Fault, FaultKind, ListenerId, Pace, Side, Tick};
use crate::config::plan::{ListenerPlan, Underscores};
use crate::edge::client::connection::{Connection, Next, PARK_AFTER_MS, first_wait};
use crate::edge::client::notices::Who;
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::switched::{self, Switched};
use crate::edge::flow::stream::{BodySink, BodySource, Client, Ending, Form, Outgoing};
use crate::edge::protocol::h1::{BodyReader, write_fault};
use crate::edge::serve::path;
use crate::edge::shard::bound::Bound;
use crate::edge::shard::scratch::Scratch;
use crate::edge::shard::state::Shard;
use crate::link::Counter;
use crate::net::tls::Transport;
use crate::net::{Net, Stream};
use crate::wire::h1::write::{self, After, OutgoingResponse};
use crate::wire::h1::{Parsed, framing, request};
use crate::wire::head::{BodyLength, Method, Request, RequestHead, Version};

/// Most body bytes that are read and dropped after an early response, to keep the connection alive, and for how long.
const DISCARD_MAX: u64 = 64 * 1024;
const DISCARD_MS: u64 = 2_000;

/// What a wait for a head came to.
enum Arrival {
    Head,
    Quiet,
    /// Part of the head has arrived, and nothing more for a while.
    Slow,
    Gone,
    /// The client sends the HTTP/2 preface, which this listener accepts.
    Http2,
    /// Answer this and close.
    Refused(FaultKind),
}

/// Serves requests until the connection ends or falls quiet.
pub(crate) async fn busy<N: Net>(mut connection: Box<Connection<N>>) -> Next<N> {
    let shard = connection.shard.clone();
    let mut scratch = shard.scratch.take();
    let next = loop {
        match arrival(&mut connection, &mut scratch).await {
            Arrival::Quiet => break Next::Park(connection),
            Arrival::Slow => break Next::Slow(connection),
            Arrival::Gone => break Next::Close,
            Arrival::Http2 => break Next::Http2(connection),
            Arrival::Refused(kind) => {
                refuse(&mut connection, &mut scratch, kind).await;
                connection.linger().await;
                break Next::Close;
            }
            Arrival::Head => {}
        }
        connection.place.set_busy();
        connection.requests = connection.requests.saturating_add(1);
        let serving = shard.serving();
        let after = exchange(&mut connection, &mut scratch).await;
        drop(serving);
        let ended = scratch.state.record.ended;
        scratch.state.clear();
        match after {
            Fate::Keep => connection.idle_since = ended.unwrap_or_else(|| shard.thread.net.now()),
            Fate::Close => {
                connection.stream.finish();
                break Next::Close;
            }
            Fate::Linger => {
                connection.linger().await;
                break Next::Close;
            }
            Fate::Abort => {
                connection.stream.abort();
                break Next::Close;
            }
        }
    };
    shard.scratch.put(scratch);
    next
}

/// Waits for the next head and parses it.
async fn arrival<N: Net>(connection: &mut Connection<N>, scratch: &mut Scratch) -> Arrival {
    let bound = connection.shard.bound();
    let Some(listener) = connection.acceptor.listener() else { return Arrival::Gone };
    let listener = bound.plan.listener(listener);
    scratch.scan.reset();
    if connection.buf.is_empty() {
        match first_bytes(connection, listener).await {
            Ok(true) => {}
            Ok(false) => return Arrival::Gone,
            Err(ErrorKind::TimedOut) => return Arrival::Quiet,
            Err(_) => return Arrival::Gone,
        }
    }
    let now = connection.shard.thread.net.now();
    if connection.head_since == Tick::NEVER {
        connection.head_since = now;
    }
    let started = connection.head_since;
    scratch.state.record.started = started;
    let until = started.after(listener.timeouts.head);
    let patience = now.after_ms(PARK_AFTER_MS).min(until);
    loop {
        let bytes = connection.buf.filled();
        if bytes.starts_with(b"PRI ") && connection.requests == 0 && listener.http2.cleartext {
            return Arrival::Http2;
        }
        if scratch.scan.ready(bytes, &listener.caps) {
            match request::parse(bytes, &listener.caps, &mut scratch.request) {
                Ok(Parsed::Complete) => {
                    let head = &mut scratch.request;
                    if listener.underscores == Underscores::Dropped {
                        head.fields.drop_underscored(&bytes[..head.len]);
                    }
                    connection.head_since = Tick::NEVER;
                    return Arrival::Head;
                }
                Ok(Parsed::Partial) => {}
                // tidy(hot): only for a target with bytes above ASCII, which clients should not send.
                Err(FaultKind::BadRequest) if let Some(encoded) = request::encode_target(bytes, &listener.caps) => {
                    let raw = std::mem::replace(&mut connection.buf, Buf::copied(&encoded));
                    connection.shard.thread.pool.put(raw);
                    scratch.scan.reset();
                    continue;
                }
                Err(kind) => return Arrival::Refused(kind),
            }
        }
        if !more_room(connection, listener) {
            return Arrival::Refused(FaultKind::HeadTooLarge);
        }
        let buf = std::mem::take(&mut connection.buf);
        let (read, buf) = connection.stream.read_idle(buf, patience).await;
        connection.buf = buf;
        match read {
            Ok(0) => return Arrival::Gone,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted && !connection.place.is_evicted() => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                if connection.shard.thread.net.now() < until {
                    return Arrival::Slow;
                }
                bound.counters.add(Counter::TimedOutHeads, 1);
                return Arrival::Refused(FaultKind::RequestTimeout);
            }
            Err(_) => return Arrival::Gone,
        }
    }
}

/// Waits for the first byte with a small buffer. `Ok(false)` is the end; `TimedOut` means that the connection is idle.
async fn first_bytes<N: Net>(connection: &mut Connection<N>, listener: &ListenerPlan) -> Result<bool, ErrorKind> {
    let shard = connection.shard.clone();
    connection.place.set_idle(connection.idle_since);
    let until = first_wait(&listener.timeouts, connection.idle_since, connection.park_at());
    loop {
        let until = until.min(shard.drain_idle_until());
        let mut buf = std::mem::take(&mut connection.buf);
        if buf.capacity() < connection.first_read as usize {
            buf = shard.thread.pool.take_first(connection.first_read as usize);
        }
        buf.reset(0);
        let (read, buf) = connection.stream.read_idle(buf, until).await;
        match read {
            Ok(count) => {
                if buf.spare() == 0 {
                    connection.enlarge_first_read(buf.capacity());
                }
                connection.buf = buf;
                return Ok(count > 0);
            }
            Err(error) => {
                shard.thread.pool.put(buf);
                if error.kind() != ErrorKind::Interrupted || connection.place.is_evicted() {
                    return Err(error.kind());
                }
            }
        }
    }
}

/// Makes room for more of a head: moves it to the front of the buffer, then takes a larger buffer, up to the listener's
/// cap.
fn more_room<N: Net>(connection: &mut Connection<N>, listener: &ListenerPlan) -> bool {
    let buf = &mut connection.buf;
    if buf.spare() > 0 {
        return true;
    }
    if buf.headroom() > 0 {
        buf.shift_to(0);
        return true;
    }
    if buf.len() > listener.caps.head_bytes {
        return false;
    }
    let mut larger = connection.shard.thread.pool.take(buf.capacity() + 1);
    let copied = larger.append(buf.filled());
    debug_assert!(copied, "a larger class holds what a smaller one held");
    connection.shard.thread.pool.put(std::mem::replace(buf, larger));
    true
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The next request comes on it.
    Keep,
    /// Everything was read and sent.
    Close,
    /// The client may still be sending: a plain close would be a reset, and could take our answer with it.
    Linger,
    /// What was sent must not be taken for complete.
    Abort,
}

/// One request and its answer.
async fn exchange<N: Net>(connection: &mut Connection<N>, scratch: &mut Scratch) -> Fate {
    let Some(listener) = connection.acceptor.listener() else { return Fate::Close };
    let bound = connection.shard.bound();
    let Scratch { request, out, state, .. } = scratch;
    let mut source = BodyReader::new(connection.stream.clone(), Side::Client, request.body);
    let mut client = H1Client::new(connection, request, out, &bound, listener);
    let mut switched = OnceCell::new();
    let context = context_of(connection, &bound, listener, request, &switched);
    path::serve(&mut Exchange { context, source: &mut source, client: &mut client, state }).await;
    if let Some(tunnel) = switched.take() {
        let kept = switched::keep(&connection.shard, &bound, state);
        drop(bound);
        let context = context_of(connection, &kept, listener, request, &switched);
        path::tunnel(&mut Exchange { context, source: &mut source, client: &mut client, state }, tunnel).await;
    }
    if state.record.aborted {
        return Fate::Abort;
    }
    let persistence = if client.close { Persistence::Close } else { Persistence::Keep };
    let taken = if state.body.is_begun() { Taken::Begun } else { Taken::Nothing };
    if !finish_body(connection, request.len, &mut source, taken, persistence).await {
        return Fate::Linger;
    }
    match persistence {
        Persistence::Keep => Fate::Keep,
        Persistence::Close if connection.buf.is_empty() => Fate::Close,
        Persistence::Close => Fate::Linger,
    }
}

/// The context of a request whose head is at the front of the connection's buffer.
fn context_of<'a, N: Net>(
    connection: &'a Connection<N>,
    bound: &'a Rc<Bound<N>>,
    listener: ListenerId,
    head: &'a RequestHead,
    switched: &'a OnceCell<Box<Switched<N>>>,
) -> Context<'a, N> {
    let (bytes, behind) = connection.buf.filled().split_at(head.len);
    Context {
        shard: &connection.shard,
        bound,
        listener,
        peer: &connection.peer,
        request: Request { bytes, head },
        behind,
        watch: &connection.place.watch,
        switched,
    }
}

/// Whether the response allows the connection to be reused (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Persistence {
    /// More requests may come.
    Keep,
    /// This was the last.
    Close,
}

/// How much of the request's body the exchange took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Bytes that arrived with the head are still in the connection's buffer.
    Nothing,
    /// What came with the head, at least.
    Begun,
}

/// Skips the rest of the body, up to the next request. False where it is too long to skip.
async fn finish_body<N: Net>(
    connection: &mut Connection<N>,
    head_len: usize,
    source: &mut BodyReader<N::Stream>,
    taken: Taken,
    persistence: Persistence,
) -> bool {
    connection.buf.consume(head_len);
    if source.length() == BodyLength::None {
        return true;
    }
    match (taken, persistence) {
        (Taken::Begun, Persistence::Close) => return source.done(),
        (Taken::Begun, Persistence::Keep) => connection.buf.reset(0),
        (Taken::Nothing, Persistence::Keep | Persistence::Close) => {
            let mut buf = std::mem::take(&mut connection.buf);
            let accepted = source.accept(&mut buf, 0);
            connection.shard.thread.pool.put(buf);
            if accepted.is_err() {
                return false;
            }
        }
    }
    if !source.done() && (persistence == Persistence::Close || !discard(connection, source).await) {
        return false;
    }
    let leftover = source.take_leftover();
    if !leftover.is_empty() {
        let mut buf = connection.shard.thread.pool.take(leftover.len());
        connection.buf = if buf.append(leftover.filled()) { buf } else { leftover };
    }
    true
}

/// Reads and drops a body, if it is short.
async fn discard<N: Net>(connection: &Connection<N>, source: &mut BodyReader<N::Stream>) -> bool {
    let shard = &connection.shard;
    let until = shard.thread.net.now().after_ms(DISCARD_MS);
    if let BodyLength::Exact(length) = source.length()
        && length > DISCARD_MAX
    {
        return false;
    }
    let mut buf = shard.thread.pool.take(0);
    let mut seen = 0;
    let done = loop {
        buf.reset(0);
        let (read, returned) = source.read(buf, until).await;
        buf = returned;
        match read {
            Ok(portion) if portion.done => break true,
            Ok(portion) => seen += portion.content,
            Err(_) => break false,
        }
        if seen > DISCARD_MAX {
            break false;
        }
    };
    shard.thread.pool.put(buf);
    done
}

/// Answers a head that is not valid HTTP, or that came too slowly.
async fn refuse<N: Net>(connection: &mut Connection<N>, scratch: &mut Scratch, kind: FaultKind) {
    let Some(listener) = connection.acceptor.listener() else { return };
    let bound = connection.shard.bound();
    bound.counters.add(Counter::Rejected, 1);
    if kind != FaultKind::RequestTimeout {
        let plan = bound.plan.listener(listener);
        let who = Who { shard: &connection.shard, listener: plan, peer: &connection.peer };
        who.malformed_http1(connection.buf.filled(), &plan.caps);
    }
    // A rejected head may be parsed wrongly, so response and log are made without it.
    scratch.request = RequestHead::default();
    let Scratch { request, out, state, .. } = scratch;
    let mut source = BodyReader::new(connection.stream.clone(), Side::Client, BodyLength::None);
    let mut client = H1Client::new(connection, request, out, &bound, listener);
    client.close_after();
    let switched = OnceCell::new();
    let context = Context {
        shard: &connection.shard,
        bound: &bound,
        listener,
        peer: &connection.peer,
        request: Request { bytes: &[], head: request },
        behind: &[],
        watch: &connection.place.watch,
        switched: &switched,
    };
    let mut exchange = Exchange { context, source: &mut source, client: &mut client, state };
    path::refuse(&mut exchange, Fault::last(kind)).await;
    state.clear();
}

/// The way back on an HTTP/1 connection.
pub(crate) struct H1Client<'a, N: Net> {
    stream: Rc<Transport<N::Stream>>,
    shard: &'a Shard<N>,
    out: &'a mut Vec<u8>,
    version: Version,
    method: Method,
    /// The connection ends after this exchange.
    close: bool,
    /// The final head was composed.
    begun: bool,
}

impl<'a, N: Net> H1Client<'a, N> {
    fn new(
        connection: &'a Connection<N>,
        request: &RequestHead,
        out: &'a mut Vec<u8>,
        bound: &Bound<N>,
        listener: ListenerId,
    ) -> H1Client<'a, N> {
        let plan = bound.plan.listener(listener);
        connection.stream.set_pace(plan.timeouts.write);
        let used_up = plan.requests_max != 0 && connection.requests >= plan.requests_max;
        H1Client {
            stream: connection.stream.clone(),
            shard: &connection.shard,
            out,
            version: request.version,
            method: request.method,
            close: used_up || !request.keep_alive || connection.shard.thread.draining.is_raised(),
            begun: false,
        }
    }
}

impl<N: Net> BodySink for H1Client<'_, N> {
    async fn write(&mut self, buf: Buf, _: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        let (result, buf) = self.stream.write(buf, until).await;
        (result.map_err(|error| write_fault(Side::Client, error.kind())), buf)
    }

    fn set_pace(&mut self, pace: Pace) {
        self.stream.set_pace(pace);
    }

    fn finish(&self) {
        self.stream.finish();
    }

    fn abort(&self) {
        self.stream.abort();
    }
}

impl<N: Net> Client for H1Client<'_, N> {
    fn framing(&self, length: BodyLength) -> (BodyLength, Form) {
        let framed = framing::to_client(length, self.version);
        (framed, Form::of(framed))
    }

    fn takes_interim(&self) -> bool {
        self.version != Version::H10
    }

    fn close_after(&mut self) {
        self.close = true;
    }

    fn compose(&mut self, outgoing: Outgoing<'_>) {
        // A drain may have begun since the request arrived, and `Connection: close` in this head is the last chance to
        // announce it.
        self.close |= outgoing.length == BodyLength::UntilClose || self.shard.thread.draining.is_raised();
        self.begun |= outgoing.upgrades || outgoing.response.head.status >= 200;
        self.out.clear();
        let mut dates = self.shard.thread.dates.borrow_mut();
        let after = match self.close {
            _ if outgoing.upgrades => After::Upgrade,
            true => After::Close,
            false => After::KeepAlive,
        };
        write::response(
            self.out,
            &OutgoingResponse {
                response: outgoing.response,
                patch: outgoing.patch,
                body: outgoing.length,
                method: self.method,
                client: self.version,
                after,
                date: dates.imf(self.shard.thread.wall_lately()),
                via: None,
            },
        );
    }

    fn begun(&self) -> bool {
        self.begun
    }

    fn shed(&mut self) {
        *self.out = Vec::new();
    }

    async fn commit(&mut self, mut first: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        if !first.prepend(self.out) {
            let (sent, _) = self.write(Buf::copied(self.out), Ending::More, until).await;
            if sent.is_err() || first.is_empty() {
                return (sent, first);
            }
        }
        self.write(first, ending, until).await
    }
}
