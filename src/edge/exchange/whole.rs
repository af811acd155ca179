// SPDX-License-Identifier: Apache-2.0
//! Reads a whole request body, for code that needs all of it first.

use std::time::Duration;

use crate::base::{Fault, FaultKind};
use crate::edge::exchange::context::Exchange;
use crate::edge::exchange::response;
use crate::edge::flow::pace::SenderTime;
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::shard::scratch::RequestBody;
use crate::net::Net;
use crate::wire::head::BodyLength;

/// Reads a request's body of at most `bytes_max`. The first `kept_max` bytes of it, and how long it was in all.
pub(crate) async fn read<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    kept_max: usize,
    bytes_max: u64,
) -> Result<(Vec<u8>, u64), Fault> {
    let context = exchange.context;
    let mut kept = Vec::new();
    let mut total = 0;
    if context.request.head.body == BodyLength::None {
        return Ok((kept, total));
    }
    let timeouts = &context.listener_plan().timeouts;
    let least = SenderTime::full(timeouts.upload);
    if context.request.head.expects_continue && context.behind.is_empty() {
        response::go_on(exchange).await?;
    }
    let mut buf = context.shard.thread.pool.take(context.behind.len());
    exchange.state.body = RequestBody::Passed;
    let copied = buf.append(context.behind);
    debug_assert!(copied, "a pooled buffer holds what the connection's buffer held");
    let mut portion = exchange.source.accept(&mut buf, 0)?;
    loop {
        total += portion.content;
        if total > bytes_max {
            return Err(Fault::last(FaultKind::BodyTooLarge));
        }
        let room = kept_max - kept.len();
        kept.extend_from_slice(&buf.filled()[..buf.len().min(room)]);
        if portion.done {
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
    Ok((kept, total))
}
