// SPDX-License-Identifier: Apache-2.0
//! Reads a request's body, or the beginning of it, for code that needs that first.

use std::time::Duration;

use crate::base::{Fault, FaultKind};
use crate::edge::exchange::context::Exchange;
use crate::edge::exchange::response;
use crate::edge::flow::pace::SenderTime;
use crate::edge::flow::stream::{BodySource, Client, Portion};
use crate::edge::shard::kept::KeptBody;
use crate::edge::shard::scratch::RequestBody;
use crate::net::Net;
use crate::wire::head::BodyLength;

/// Reads a request's body of at most `bytes_max` and keeps it, for policies that look at it and for the upstream.
pub(crate) async fn keep<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    bytes_max: u64,
) -> Result<(), Fault> {
    let length = exchange.context.request.head.body;
    let known = match length {
        BodyLength::None => return Ok(()),
        BodyLength::Exact(length) => Some(length),
        BodyLength::Chunked | BodyLength::UntilClose => None,
    };
    let known = if exchange.state.body == RequestBody::Kept { Some(exchange.state.replay.len() as u64) } else { known };
    if known.is_some_and(|length| length > bytes_max) {
        // Before the client is asked to send it.
        return Err(Fault::last(FaultKind::BodyTooLarge));
    }
    if exchange.state.body != RequestBody::Kept {
        let (body, _) = read(exchange, bytes_max as usize, bytes_max).await?;
        exchange.state.replay = body;
        exchange.state.body = RequestBody::Kept;
    }
    Ok(())
}

/// Reads a request's body of at most `bytes_max`. The first `kept_max` bytes of it, and how long it was in all.
pub(crate) async fn read<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    kept_max: usize,
    bytes_max: u64,
) -> Result<(KeptBody, u64), Fault> {
    let mut kept = KeptBody::new(&exchange.context.shard.scratch.kept);
    if exchange.context.request.head.body == BodyLength::None {
        return Ok((kept, 0));
    }
    if exchange.state.body == RequestBody::Kept {
        // A policy has read it.
        let body = &exchange.state.replay;
        if body.len() as u64 > bytes_max {
            return Err(Fault::last(FaultKind::BodyTooLarge));
        }
        kept.extend(&body[..body.len().min(kept_max)]).map_err(|_| NO_ROOM)?;
        return Ok((kept, body.len() as u64));
    }
    // What is here of a body whose beginning was looked at.
    let begun = exchange.state.body == RequestBody::Waiting;
    let held = begun.then(|| exchange.state.replay.take());
    exchange.state.body = RequestBody::Passed;
    let total = portions(exchange, bytes_max, held, |portion| {
        let room = kept_max - kept.len();
        kept.extend(&portion[..portion.len().min(room)]).map_err(|_| NO_ROOM)?;
        Ok(Then::ReadOn)
    })
    .await?;
    Ok((kept, total))
}

/// Reads a request's body of at most `bytes_max` until `held_min` bytes of it are there, or all. It then stands in
/// `RequestState::replay`, from where it is sent in front of the rest. Nothing is read where that was done before.
pub(crate) async fn begin<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    held_min: usize,
    bytes_max: u64,
) -> Result<(), Fault> {
    if exchange.context.request.head.body == BodyLength::None || exchange.state.body.is_begun() {
        return Ok(());
    }
    let mut held = KeptBody::new(&exchange.context.shard.scratch.kept);
    exchange.state.body = RequestBody::Passed;
    let read = portions(exchange, bytes_max, None, |portion| {
        held.extend(portion).map_err(|_| NO_ROOM)?;
        Ok(if held.len() >= held_min { Then::Stop } else { Then::ReadOn })
    })
    .await;
    exchange.state.replay = held;
    exchange.state.body = if exchange.source.done() { RequestBody::Kept } else { RequestBody::Waiting };
    read.map(|_| ())
}

/// The shard keeps as many bytes of bodies as it may.
const NO_ROOM: Fault = Fault::last(FaultKind::KeptBodiesFull);

/// What follows a portion.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    ReadOn,
    Stop,
}

/// Gives each portion of a request's body of at most `bytes_max` to `take`; how long they were together. Where its
/// beginning was read before, that is `held`.
async fn portions<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    bytes_max: u64,
    held: Option<KeptBody>,
    mut take: impl FnMut(&[u8]) -> Result<Then, Fault>,
) -> Result<u64, Fault> {
    let context = exchange.context;
    let mut total = 0;
    let timeouts = &context.listener_plan().timeouts;
    let least = SenderTime::full(timeouts.upload);
    let mut buf = context.shard.thread.pool.take(context.behind.len());
    let mut portion = Portion::NOTHING;
    if let Some(held) = held {
        total = held.len() as u64;
        take(&held)?;
    } else {
        if context.request.head.expects_continue && context.behind.is_empty() {
            response::go_on(exchange).await?;
        }
        let copied = buf.append(context.behind);
        debug_assert!(copied, "a pooled buffer holds what the connection's buffer held");
        portion = exchange.source.accept(&mut buf, 0)?;
    }
    loop {
        total += portion.content;
        if total > bytes_max {
            return Err(Fault::last(FaultKind::BodyTooLarge));
        }
        if take(buf.filled())? == Then::Stop || portion.done {
            break;
        }
        buf.reset(0);
        let from = context.shard.thread.net.now();
        let left = least.as_ref().map_or(Duration::MAX, SenderTime::left);
        let (read, returned) = exchange.source.read(buf, from.after(timeouts.body_idle.min(left))).await;
        buf = returned;
        portion = read.map_err(|fault| match fault.kind {
            FaultKind::RequestTimeout if left < timeouts.body_idle => Fault::last(FaultKind::ClientTooSlow),
            _ => fault,
        })?;
        if let Some(least) = &least {
            least.spend(from, context.shard.thread.net.now(), portion.content);
        }
    }
    context.shard.thread.pool.put(buf);
    exchange.state.record.received.set(total);
    Ok(total)
}
