//! A request of the gateway's own on behalf of a policy: `GET` without a body to an upstream, its head read, its body
//! dropped.

use std::io::ErrorKind;
use std::time::Duration;

use crate::balance::{Outcome, Tried};
use crate::base::{Buf, Fault, FaultKind, Tick, UpstreamId, limits};
use crate::edge::exchange::context::Context;
use crate::edge::exchange::policies::{self, Asked};
use crate::edge::flow::stream::{Ending, Remote, Sink, Source};
use crate::edge::shard::scratch::Work;
use crate::edge::upstream::carrier::{Carrier, Purpose, Wanted};
use crate::edge::upstream::h1::Trust;
use crate::net::Net;
use crate::policy::{self, AskOutcome, Decision};
use crate::wire::h1::{Caps, Parsed};
use crate::wire::head::{BodyLength, Method, Request, RequestHead, ResponseHead};
use crate::wire::outgoing::{After, HostHeader, OutgoingRequest};

/// A body longer than this is not read to its end; the connection is closed instead.
const BODY_MAX: u64 = 64 * 1024;

/// Sends what the policy left in `effects.subrequest` and gives it the answer.
pub async fn ask<'p, N: Net>(
    context: Context<'p, N>,
    work: &mut Work,
    asked: Asked,
    upstream: UpstreamId,
    timeout: Duration,
) -> Decision<'p> {
    let until = context.shard.thread.net.now().after(timeout);
    let mut head = ResponseHead::default();
    match send(context, work, upstream, &mut head, until).await {
        Ok(bytes) => {
            let outcome = AskOutcome::Subrequest(policy::Response { bytes: bytes.filled(), head: &head });
            let decision = policies::resume(context, work, asked, outcome);
            context.shard.thread.pool.put(bytes);
            decision
        }
        Err(fault) => policies::resume(context, work, asked, AskOutcome::Failed(fault.kind)),
    }
}

/// One exchange with the upstream; a kept connection that turns out closed is replaced once. Returns the bytes of the
/// head.
async fn send<N: Net>(
    context: Context<'_, N>,
    work: &mut Work,
    id: UpstreamId,
    head: &mut ResponseHead,
    until: Tick,
) -> Result<Buf, Fault> {
    let plan = context.bound.plan.upstream(id);
    let upstream = context.bound.upstream(id);
    let shard = context.shard;
    loop {
        let now = shard.thread.net.now();
        let picked = {
            let mut cluster = upstream.load.cluster.borrow_mut();
            cluster.pick(None, None, &Tried::NONE, now, &mut shard.thread.rng.borrow_mut()).map_err(Fault::last)?
        };
        let mut flight = upstream.load.begin(picked, now);
        let wanted = Wanted {
            thread: &shard.thread,
            upstream,
            plan,
            index: picked,
            trust: Trust::NONE,
            purpose: Purpose::Exchange,
        };
        let kept = wanted.kept(now);
        let reused = kept.is_some();
        let carrier = match kept {
            Some(carrier) => carrier,
            None => {
                let opened = wanted.open(context.peer.speaker(), until).await;
                opened.inspect_err(|_| flight.judge(Outcome::ConnectFailed, shard.thread.net.now()))?
            }
        };
        let name = upstream.load.endpoint_name(picked);
        let exchanged = match carrier {
            Carrier::Connection(origin) => {
                let exchanged = exchange(context, work, &origin, name.as_bytes(), head, until).await;
                if let Ok((_, Fate::Keep)) = &exchanged {
                    upstream.keep(origin, plan, shard.thread.net.now());
                }
                exchanged
            }
            Carrier::Stream(stream) => exchange(context, work, &stream, name.as_bytes(), head, until).await,
        };
        let now = shard.thread.net.now();
        match exchanged {
            Ok((bytes, _)) => {
                flight.judge(Outcome::of_status(head.status), now);
                return Ok(bytes);
            }
            Err(fault) if reused && fault.kind == FaultKind::UpstreamClosed => {}
            Err(fault) => {
                let timed_out = fault.kind == FaultKind::FirstByteTimeout;
                flight.judge(if timed_out { Outcome::Timeout } else { Outcome::Reset }, now);
                return Err(fault);
            }
        }
    }
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stands at a message boundary.
    Keep,
    /// It does not.
    Close,
}

/// Head out, head and body back. Returns the bytes of the head.
async fn exchange<N: Net, R: Remote>(
    context: Context<'_, N>,
    work: &mut Work,
    remote: &R,
    host: &[u8],
    head: &mut ResponseHead,
    until: Tick,
) -> Result<(Buf, Fate), Fault> {
    let pool = &context.shard.thread.pool;
    compose(context, work, remote, host)?;
    let mut buf = pool.take(work.out.len().max(limits::BUF_CLASSES[1]));
    if !buf.append(&work.out) {
        // A subrequest repeats the client's fields, which may be more than a buffer: then it takes one of its own.
        buf = Buf::copied(&work.out);
    }
    let (written, mut buf) = remote.upload().write(buf, Ending::BARE, until).await;
    written?;
    buf.reset(0);
    let caps = Caps::default();
    loop {
        if buf.spare() == 0 {
            return Err(Fault::last(FaultKind::UpstreamHeadTooLarge));
        }
        let (read, returned) = remote.read(buf, until).await;
        buf = returned;
        match read.map_err(|error| error.kind()) {
            Ok(0) => return Err(Fault::last(FaultKind::UpstreamClosed)),
            Ok(_) => {}
            Err(ErrorKind::TimedOut) => return Err(Fault::last(FaultKind::FirstByteTimeout)),
            Err(_) => return Err(Fault::last(FaultKind::UpstreamClosed)),
        }
        while !buf.is_empty()
            && let Parsed::Complete = remote.parse(&buf, &caps, Method::Get, head).map_err(Fault::last)?
        {
            if head.status >= 200 {
                let fate = drop_body(context, remote, head, &buf, until).await;
                return Ok((buf, fate));
            }
            buf.consume(head.len);
        }
    }
}

fn compose<N: Net>(context: Context<'_, N>, work: &mut Work, remote: &impl Remote, host: &[u8]) -> Result<(), Fault> {
    let Work { effects, out, .. } = work;
    out.clear();
    let request = RequestHead { method: Method::Get, keep_alive: true, ..RequestHead::default() };
    remote.compose(
        out,
        &OutgoingRequest {
            request: Request { bytes: &[], head: &request },
            method: b"GET",
            target: &effects.subrequest.target,
            host: HostHeader::Is(host),
            patch: &effects.subrequest.fields,
            body: BodyLength::None,
            after: After::KeepAlive,
            via: context.listener_plan().ids.via.map(str::as_bytes),
        },
    )
}

/// Reads the body to its end, so that the connection can be kept, where that is worth it.
async fn drop_body<N: Net>(
    context: Context<'_, N>,
    remote: &impl Remote,
    head: &ResponseHead,
    bytes: &Buf,
    until: Tick,
) -> Fate {
    let mut reader = remote.body(head.body);
    let mut rest = context.shard.thread.pool.take(bytes.len());
    let copied = rest.append(&bytes.filled()[head.len..]);
    if !copied {
        context.shard.thread.pool.put(rest);
        return Fate::Close;
    }
    let mut seen = 0;
    let mut portion = reader.accept(&mut rest, 0);
    loop {
        match portion {
            Ok(portion) if portion.done => break,
            Ok(portion) => seen += portion.content,
            Err(_) => break,
        }
        if seen > BODY_MAX {
            break;
        }
        rest.reset(0);
        let (read, returned) = reader.read(rest, until).await;
        rest = returned;
        portion = read;
    }
    context.shard.thread.pool.put(rest);
    if head.keep_alive && remote.stands(&reader) { Fate::Keep } else { Fate::Close }
}
