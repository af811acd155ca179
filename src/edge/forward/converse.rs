// SPDX-License-Identifier: Apache-2.0
//! Hot. One attempt: sends the request to an endpoint and relays the response. A long body is sent while the response
//! is read.
//!
//! The response may end before the request was sent; then the rest of the request is dropped, and neither connection is
//! reused.

use std::cell::Cell;
use std::time::Duration;

use crate::base::{Buf, Fault, FaultKind, Pace, Retry, Side, Tick, limits};
use crate::config::plan::HttpVersions;
use crate::edge::adapt::grpc::call;
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::vars::Vars;
use crate::edge::flow::duplex::duplex;
use crate::edge::flow::pace::SenderTime;
use crate::edge::flow::relay::{CHUNK_HEADROOM, Continuation, Transfer, encode};
use crate::edge::flow::stream::{BodySink, BodySource, Client, Ending, Form, Portion, Remote, Stop};
use crate::edge::forward::destination::Destination;
use crate::edge::forward::respond::{Answering, Progress, Received};
use crate::edge::forward::retry::Attempt;
use crate::edge::forward::slowed::Slowed;
use crate::edge::forward::upgrade;
use crate::edge::shard::kept::KeptBody;
use crate::edge::shard::scratch::{RequestBody, RequestState};
use crate::edge::upstream::acquire::OriginUse;
use crate::net::Net;
use crate::policy::protected::Protected;
use crate::policy::throttle::Direction;
use crate::route::rewrite::HostRewrite;
use crate::wire::h2::frame::ErrorCode;
use crate::wire::head::{BodyLength, Method};
use crate::wire::outgoing::{After, HostHeader, OutgoingRequest};
use crate::wire::upgrade::Protocol;

/// How a conversation ended, where it ended in an answer.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The connection stands at a message boundary and may carry another request.
    pub reusable: bool,
    /// The answer was not sent to the client: its status asks for another attempt.
    pub again: bool,
    /// Both ends speak this now; what the endpoint sent behind its response.
    pub upgraded: Option<(Protocol, Buf)>,
}

/// Sends the request to the endpoint and the answer to the client.
pub(crate) async fn converse<N: Net, S: BodySource, K: Client, R: Remote>(
    exchange: &mut Exchange<'_, N, S, K>,
    destination: &Destination<'_, N>,
    attempt: Attempt<'_, R>,
) -> Result<Ended, Fault> {
    let context = exchange.context;
    let Attempt { remote, origin_use, .. } = attempt;
    let began = attempt.flight.began();
    // What an earlier attempt took in is not taken in again.
    let before = exchange.state.record.received.get();
    let received = Cell::new(before);
    let encode = remote.form(context.request.head.body) == Form::Chunked;
    let least = SenderTime::full(destination.upload);
    let asks = context.request.head.expects_continue && context.behind.is_empty() && !exchange.state.body.is_begun();
    // The wait for the response, which runs at the same time, ends first.
    let wait = destination.proxy.first_byte.saturating_add(Duration::from_secs(1));
    let continuation = asks.then(|| Continuation { over: Cell::new(false), wait });
    let rates = Slowed::new(context.shard, &exchange.state.effects, Direction::Upload);
    let of_listener = &context.listener_plan().protected;
    let protected = match exchange.state.attributes.route {
        Some(route) => [of_listener, &context.bound.plan.route(route).protected],
        None => [of_listener; 2],
    };
    let (slowed, received) = (rates.as_deref(), &received);
    let upload = Upload { context, destination, remote, received, encode, least, continuation, protected, slowed };
    let buf = upload.compose(exchange)?;
    if let Some(slowed) = slowed {
        // Of the rates that it shares, what came with the head has passed before the first attempt (`attempts`).
        slowed.note(received.get() - before);
    }
    context.watch.begin(remote.abort_handle(), began);
    let streams = !exchange.source.done() && context.request.head.body != BodyLength::None;
    let Exchange { source, client, state, .. } = exchange;
    let ended = if streams {
        let answering = Answering::new(context, destination, attempt, *client, state);
        // Few exchanges are an upload and a response at once, and no other should be as large as one.
        Box::pin(at_once(&upload, *source, answering, buf)).await
    } else {
        let upgrades = upgrade::asked(context, destination, R::VERSION).is_some();
        let ending = if upgrades { Ending::More } else { Ending::Last(source.trailers()) };
        let (written, mut buf) = upload.writer().write(buf, ending, destination.deadline).await;
        // An endpoint that responds before it has the whole request may end the stream with NO_ERROR, because it wants
        // no more of it (RFC 9113 section 8.1). Its response is there then.
        if let Err(fault) = written
            && remote.reset_code() != Some(ErrorCode::NoError)
        {
            context.shard.thread.pool.put(buf);
            Err(match origin_use {
                OriginUse::First => fault,
                OriginUse::Reused => fault.on_reused(),
            })
        } else {
            buf.reset(0);
            state.record.received.set(received.get());
            let mut answering = Answering::new(context, destination, attempt, *client, state);
            answering.reused = origin_use == OriginUse::Reused;
            answering.run(buf).await
        }
    };
    state.record.received.set(received.get());
    let ended = ended?;
    let upgraded = ended.upgraded.map(|protocol| (protocol, ended.behind));
    Ok(Ended { reusable: ended.reusable && exchange.source.done(), again: ended.again, upgraded })
}

/// Upload and answer side by side.
async fn at_once<N: Net, S: BodySource, K: Client, R: Remote>(
    upload: &Upload<'_, N, R>,
    source: &mut S,
    mut answering: Answering<'_, N, K, R>,
    buf: Buf,
) -> Result<Received, Fault> {
    let (shard, remote) = (upload.context.shard, upload.remote);
    let mut replay = answering.state.replay.take();
    let (whole, sent_at) = (Cell::new(answering.state.body.is_kept()), Cell::new(None));
    let (complete, answered_first) = (Cell::new(false), Cell::new(false));
    let (paused, reading, client_is_late) = (Cell::new(false), Cell::new(false), Cell::new(false));
    answering.upload = Some(Progress {
        sent_at: &sent_at,
        complete: &complete,
        received: upload.received,
        whole: &whole,
        continuation: upload.continuation.as_ref(),
    });
    // A response that comes first ends a pending read, and the client's connection can be read on: it is closed when
    // the client has stopped sending.
    source.end_reads_on_nudge();
    let stopper = source.stopper();
    let (sent, answered) = duplex(
        async {
            let mut kept = Kept { replay: &mut replay, whole: &whole, paused: &paused, reading: &reading };
            let sent = upload.run(source, buf, &mut kept).await;
            complete.set(sent.is_ok());
            sent_at.set(Some(shard.thread.net.now()));
            sent
        },
        answering.run(shard.thread.pool.take(limits::BUF_CLASSES[1])),
        |sent: &Result<(), Fault>| {
            // The client broke the protocol or disconnected, so there is no response.
            if sent.is_err_and(|fault| fault.kind.side() == Side::Client) {
                // An abort: behind a shutdown, a body that lasts until the connection closes would look complete.
                remote.abort();
            }
        },
        |answered| {
            // The response is complete or has failed before the request was sent: do not wait for the rest.
            answered_first.set(true);
            client_is_late.set(reading.get());
            if answered.as_ref().is_err_and(|fault| fault.retry == Retry::Refused) && whole.get() {
                // Another attempt will want it.
                paused.set(true);
                stopper.nudge();
            } else {
                upload.context.watch.stop_looking();
                stopper.stop();
            }
            remote.abort();
        },
    )
    .await;
    answering.state.replay = replay;
    answering.state.body = body_after(sent, whole.get());
    match (sent, answered) {
        (Err(fault), _) if fault.kind.side() == Side::Client && !answered_first.get() => Err(fault),
        (Ok(()), answered) => answered,
        (Err(_), Ok(received)) => {
            answering.client.close_after();
            Ok(Received { reusable: false, ..received })
        }
        // The deadline passed while the client was waited for.
        (Err(_), Err(fault)) if fault.kind == FaultKind::TotalTimeout && client_is_late.get() => {
            Err(Fault::last(upload.destination.late))
        }
        (Err(_), Err(fault)) => Err(fault),
    }
}

/// What of the body is there for another attempt.
// tidy(bool): it is whether all that was sent is kept.
fn body_after(sent: Result<(), Fault>, whole: bool) -> RequestBody {
    match whole {
        // Whether it was paused or hit upon the refusal itself: what it had read is kept, and the rest was left alone.
        true if sent.is_err_and(|fault| fault.retry == Retry::Refused) => RequestBody::Waiting,
        true => RequestBody::Kept,
        false => RequestBody::Passed,
    }
}

/// The request's way out.
struct Upload<'a, N: Net, R> {
    context: Context<'a, N>,
    destination: &'a Destination<'a, N>,
    remote: &'a R,
    received: &'a Cell<u64>,
    encode: bool,
    /// What the client has left.
    least: Option<SenderTime>,
    /// The client waits for `100 Continue`.
    continuation: Option<Continuation>,
    /// What no client may say, on the listener and on the route.
    protected: [&'a Protected; 2],
    /// What keeps the body to its rates, if it has any.
    slowed: Option<&'a Slowed<'a, N>>,
}

impl<'a, N: Net, R: Remote> Upload<'a, N, R> {
    /// Where it goes. Every byte that the endpoint takes is progress.
    fn writer(&self) -> R::Upload {
        let mut writer = self.remote.upload();
        writer.set_pace(Pace::idle(self.destination.idle));
        writer
    }

    /// The head and the body bytes that were already read, in one buffer.
    fn compose<S: BodySource, K>(&self, exchange: &mut Exchange<'_, N, S, K>) -> Result<Buf, Fault> {
        let context = self.context;
        let pool = &context.shard.thread.pool;
        write_head(exchange, self.destination, self.remote)?;
        let RequestState { out, replay, body, .. } = &mut *exchange.state;
        let here: &[u8] = match context.request.head.body {
            BodyLength::None => &[],
            _ if body.is_begun() => replay,
            _ => context.behind,
        };
        let headroom = out.len() + CHUNK_HEADROOM;
        let mut buf = pool.take((headroom + here.len() + CHUNK_HEADROOM).max(limits::BUF_CLASSES[1]));
        if buf.capacity() < headroom + here.len() {
            // Above the largest class there is no pooled buffer; this one is freed after use.
            buf = Buf::with_capacity(headroom + here.len());
        }
        buf.reset(headroom);
        let copied = buf.append(here);
        debug_assert!(copied, "room was made above");
        if !body.is_begun() && context.request.head.body != BodyLength::None {
            *body = RequestBody::Passed;
            let portion = exchange.source.accept(&mut buf, 0)?;
            self.transfer().count(portion)?;
            // Where there is no room it can still be sent, once.
            if self.keeps() && exchange.state.replay.extend(buf.filled()).is_ok() {
                exchange.state.body = RequestBody::Kept;
            }
        }
        self.protect(exchange.source);
        if self.encode {
            let ending = if exchange.source.done() { Ending::Last(exchange.source.trailers()) } else { Ending::More };
            encode(&mut buf, ending, pool);
        }
        let put = buf.prepend(&exchange.state.out);
        debug_assert!(put, "headroom was made above");
        Ok(buf)
    }

    /// Sends head and body.
    async fn run<S: BodySource>(&self, source: &mut S, buf: Buf, kept: &mut Kept<'_>) -> Result<(), Fault> {
        let mut writer = self.writer();
        let (written, buf) = writer.write(buf, Ending::More, self.destination.deadline).await;
        match written {
            Err(fault) => {
                self.context.shard.thread.pool.put(buf);
                Err(fault)
            }
            Ok(()) => {
                let max = if self.keeps() { self.destination.proxy.retry.body_bytes_max } else { 0 };
                let mut source = Keeping { upload: self, source, kept, max };
                let (outcome, buf) = self.transfer().run(&mut source, &mut writer, buf).await;
                self.context.shard.thread.pool.put(buf);
                outcome
            }
        }
    }

    /// Takes out of a complete body's trailers what only policies may say.
    fn protect<S: BodySource>(&self, source: &mut S) {
        if source.done() {
            for protected in self.protected.into_iter().filter(|protected| !protected.is_empty()) {
                source.change_trailers(|trailers| protected.remove_lines(trailers));
            }
        }
    }

    /// Is the body kept for a retry? Only where a retry could be allowed; an HTTP/2 endpoint may refuse any request.
    fn keeps(&self) -> bool {
        let retry = &self.destination.proxy.retry;
        let method = self.context.request.head.method;
        let by_code = !retry.grpc_statuses.is_empty() && method == Method::Post;
        let repeats = method.idempotent() || retry.non_idempotent || by_code;
        (retry.tries > 1 && repeats) || self.destination.plan.http != HttpVersions::Http1
    }

    fn transfer(&self) -> Transfer<'_, N, Slowed<'a, N>> {
        Transfer {
            net: &self.context.shard.thread.net,
            pool: &self.context.shard.thread.pool,
            encode: self.encode,
            source_idle: self.destination.client_idle,
            deadline: self.destination.deadline,
            content: self.received,
            content_max: self.destination.body_bytes_max,
            begins_quiet: false,
            least: self.least.as_ref(),
            late: self.destination.late,
            continuation: self.continuation.as_ref(),
            throttle: self.slowed,
        }
    }
}

/// Yields a body and keeps its content up to a cap; above it the body cannot be sent again.
struct Keeping<'a, 'b, N: Net, R, S> {
    upload: &'a Upload<'a, N, R>,
    source: &'a mut S,
    kept: &'a mut Kept<'b>,
    max: usize,
}

/// What is kept of a body.
struct Kept<'a> {
    replay: &'a mut KeptBody,
    whole: &'a Cell<bool>,
    /// The rest is for another attempt.
    paused: &'a Cell<bool>,
    /// The client is waited for.
    reading: &'a Cell<bool>,
}

/// Ends an upload that goes on in another attempt.
const PAUSED: Fault = Fault::refused(FaultKind::UpstreamClosed);

impl<N: Net, R: Remote, S: BodySource> BodySource for Keeping<'_, '_, N, R, S> {
    type Stopper = S::Stopper;

    fn length(&self) -> BodyLength {
        self.source.length()
    }

    fn end_reads_on_nudge(&mut self) {
        self.source.end_reads_on_nudge();
    }

    fn done(&self) -> bool {
        self.source.done()
    }

    fn accept(&mut self, buf: &mut Buf, from: usize) -> Result<Portion, Fault> {
        self.source.accept(buf, from)
    }

    async fn read(&mut self, buf: Buf, until: Tick) -> (Result<Portion, Fault>, Buf) {
        let from = buf.len();
        if self.kept.paused.get() {
            return (Err(PAUSED), buf);
        }
        self.kept.reading.set(true);
        let (result, buf) = self.source.read(buf, until).await;
        self.kept.reading.set(false);
        self.upload.protect(self.source);
        let fresh = buf.filled().get(from..).unwrap_or_default();
        if self.kept.whole.get() {
            let Kept { replay, whole, .. } = &mut self.kept;
            whole.set(replay.len() + fresh.len() <= self.max && replay.extend(fresh).is_ok());
            if !whole.get() {
                // A part of it is of no use.
                replay.clear_to(0);
            }
        }
        (if self.kept.paused.get() { result.and(Err(PAUSED)) } else { result }, buf)
    }

    async fn readable(&mut self, until: Tick) -> Result<(), Fault> {
        if self.kept.paused.get() { Err(PAUSED) } else { self.source.readable(until).await }
    }

    async fn read_open(&mut self, buf: Buf, until: Tick) -> (std::io::Result<usize>, Buf) {
        self.source.read_open(buf, until).await
    }

    fn trailers(&self) -> &[u8] {
        self.source.trailers()
    }

    fn change_trailers(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.source.change_trailers(change);
    }

    fn stopper(&self) -> S::Stopper {
        self.source.stopper()
    }
}

/// Serialises the request's head for this endpoint into `state.out`.
fn write_head<N: Net, S, K, R: Remote>(
    exchange: &mut Exchange<'_, N, S, K>,
    destination: &Destination<'_, N>,
    remote: &R,
) -> Result<(), Fault> {
    let context = exchange.context;
    let RequestState { attributes, record, effects, out, target, value: host, .. } = &mut *exchange.state;
    host.clear();
    // An HTTP/1.0 request may have no host, but the request that we send must have one.
    let keeps = matches!(destination.proxy.host, HostRewrite::Keep) && !context.request.authority().is_empty();
    let rewrite = if matches!(destination.proxy.host, HostRewrite::Keep) {
        &HostRewrite::Upstream
    } else {
        &destination.proxy.host
    };
    let written = match rewrite {
        HostRewrite::Keep => true,
        _ if keeps => true,
        HostRewrite::Upstream | HostRewrite::Template(_) => {
            let cluster = destination.upstream.load.cluster.borrow();
            let endpoint = record.endpoint.and_then(|index| cluster.endpoint(index));
            let own = endpoint.map_or(&b""[..], |endpoint| endpoint.name.as_bytes());
            rewrite.write(context.request.authority(), own, &Vars::new(context, attributes, record), host)
        }
    };
    out.clear();
    if attributes.caller.is_some() {
        call::tell_deadline(
            context.request,
            &mut effects.to_upstream,
            destination.deadline,
            context.shard.thread.net.now(),
        );
    }
    let upgrades = upgrade::asked(context, destination, R::VERSION).is_some();
    let composed = remote.compose(
        out,
        &OutgoingRequest {
            request: context.request,
            method: context.request.method_text(),
            target,
            host: if keeps { HostHeader::Received } else { HostHeader::Is(host) },
            patch: &effects.to_upstream,
            body: context.request.head.body,
            after: if upgrades { After::Upgrade } else { After::KeepAlive },
            via: context.listener_plan().ids.via.map(str::as_bytes),
        },
    );
    if written { composed } else { Err(Fault::last(FaultKind::BadRequest)) }
}
