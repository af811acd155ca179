//! A request of the gateway's own on behalf of a policy: `GET` without a body to an upstream, its head read, its body
//! dropped.

use std::time::Duration;

use crate::balance::{Outcome, Tried};
use crate::base::{Buf, Fault, FaultKind, Side, Tick, limits};
use crate::config::plan::{PolicyId, UpstreamId};
use crate::edge::body::BodyReader;
use crate::edge::dial::{self, Speaker};
use crate::edge::exchange::Scene;
use crate::edge::gate;
use crate::edge::scratch::Work;
use crate::edge::stream::Source;
use crate::edge::upstream::{Origin, Trust};
use crate::net::{Net, Stream};
use crate::policy::{self, Decision, Reply};
use crate::wire::h1::write::{self, After, HostHeader, OutgoingRequest};
use crate::wire::h1::{Caps, Parsed, response};
use crate::wire::head::{BodyLength, Method, Request, RequestHead, ResponseHead};

/// A body longer than this is not read to its end; the connection is closed instead.
const BODY_MAX: u64 = 64 * 1024;

/// Sends what the policy left in `effects.subrequest` and gives it the answer.
pub async fn ask<'p, N: Net>(
    scene: Scene<'p, N>,
    work: &mut Work,
    id: PolicyId,
    upstream: policy::UpstreamId,
    timeout: Duration,
) -> Decision<'p> {
    let until = scene.shard.net.now().after(timeout);
    let mut head = ResponseHead::default();
    match send(scene, work, UpstreamId(upstream.0), &mut head, until).await {
        Ok(bytes) => {
            let reply = Reply::Subrequest(policy::Response { bytes: bytes.filled(), head: &head });
            let decision = gate::resume(scene, work, id, reply);
            scene.shard.pool.put(bytes);
            decision
        }
        Err(fault) => gate::resume(scene, work, id, Reply::Failed(fault.kind)),
    }
}

/// One exchange with the upstream; a kept connection that turns out closed is replaced once. Returns the bytes of the
/// head.
async fn send<N: Net>(
    scene: Scene<'_, N>,
    work: &mut Work,
    id: UpstreamId,
    head: &mut ResponseHead,
    until: Tick,
) -> Result<Buf, Fault> {
    let plan = scene.bound.plan.upstream(id);
    let upstream = scene.bound.upstream(id);
    let shard = scene.shard;
    loop {
        let now = shard.net.now();
        let picked = {
            let mut cluster = upstream.cluster.borrow_mut();
            cluster.pick(None, None, &Tried::NONE, now, &mut shard.rng.borrow_mut()).map_err(Fault::last)?
        };
        let mut flight = upstream.begin(picked, now);
        let kept = upstream.take_idle(picked, plan, Trust::NONE, now);
        let reused = kept.is_some();
        let speaker = Speaker { client: &scene.peer.address, local: &scene.peer.local };
        let origin = match kept {
            Some(origin) => origin,
            None => {
                let dialled = dial::dial(shard, upstream, plan, picked, speaker, until).await;
                dialled.inspect_err(|_| flight.judge(Outcome::ConnectFailed, shard.net.now()))?
            }
        };
        let mut buf = shard.pool.take(limits::BUF_CLASSES[1]);
        compose(scene, work, upstream.endpoint_name(picked).as_bytes(), &mut buf);
        let exchanged = exchange(scene, &origin, buf, head, until).await;
        let now = shard.net.now();
        match exchanged {
            Ok((bytes, reusable)) => {
                flight.judge(Outcome::of_status(head.status), now);
                if reusable {
                    upstream.keep(origin, plan, now);
                }
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

fn compose<N: Net>(scene: Scene<'_, N>, work: &mut Work, host: &[u8], buf: &mut Buf) {
    let Work { effects, out, .. } = work;
    out.clear();
    let request = RequestHead { method: Method::Get, keep_alive: true, ..RequestHead::default() };
    write::request(
        out,
        &OutgoingRequest {
            request: Request { bytes: &[], head: &request },
            method: b"GET",
            target: &effects.subrequest.target,
            host: HostHeader::Is(host),
            patch: &effects.subrequest.fields,
            body: BodyLength::None,
            after: After::KeepAlive,
            via: scene.listener_plan().ids.via.map(str::as_bytes),
        },
    );
    if !buf.append(out) {
        // A subrequest repeats the client's fields, which may be more than a buffer: then it takes one of its own.
        *buf = Buf::copied(out);
    }
}

async fn exchange<N: Net>(
    scene: Scene<'_, N>,
    origin: &Origin<N>,
    buf: Buf,
    head: &mut ResponseHead,
    until: Tick,
) -> Result<(Buf, bool), Fault> {
    let closed = Fault::last(FaultKind::UpstreamClosed);
    let late = Fault::last(FaultKind::FirstByteTimeout);
    let fault_of = |error: std::io::Error| if error.kind() == std::io::ErrorKind::TimedOut { late } else { closed };
    let (written, mut buf) = origin.stream.write(buf, until).await;
    written.map_err(fault_of)?;
    buf.reset(0);
    let caps = Caps::default();
    loop {
        if buf.spare() == 0 {
            return Err(Fault::last(FaultKind::UpstreamHeadTooLarge));
        }
        let (read, returned) = origin.stream.read(buf, until).await;
        buf = returned;
        if read.map_err(fault_of)? == 0 {
            return Err(closed);
        }
        while let Parsed::Complete = response::parse(buf.filled(), &caps, Method::Get, head).map_err(Fault::last)? {
            if head.status >= 200 {
                let reusable = drop_body(scene, origin, head, &buf, until).await;
                return Ok((buf, reusable));
            }
            buf.consume(head.len);
        }
    }
}

/// Reads the body to its end, so that the connection can be kept. False where that is not worth it.
async fn drop_body<N: Net>(
    scene: Scene<'_, N>,
    origin: &Origin<N>,
    head: &ResponseHead,
    bytes: &Buf,
    until: Tick,
) -> bool {
    let mut reader = BodyReader::new(origin.stream.clone(), Side::Upstream, head.body);
    let mut rest = scene.shard.pool.take(bytes.len());
    let copied = rest.append(&bytes.filled()[head.len..]);
    if !copied {
        scene.shard.pool.put(rest);
        return false;
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
    scene.shard.pool.put(rest);
    head.keep_alive && reader.done() && !reader.has_leftover()
}
