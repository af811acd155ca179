// SPDX-License-Identifier: Apache-2.0
//! Shows the beginning and the end of connections to an operator who asked for it (`turnpike trace`). While nobody
//! does, a connection reads one flag.

use crate::base::{Tick, date};
use crate::config::plan::ListenerPlan;
use crate::edge::client::connection::Connection;
use crate::edge::exchange::peer::Peer;
use crate::edge::serve::trace::connection as described;
use crate::edge::shard::state::Shard;
use crate::edge::shard::tracer::Shown;
use crate::link::{FromShard, Trace};
use crate::net::Net;

/// A connection whose beginning was shown.
pub(super) struct Traced {
    orders: Vec<u32>,
    words: String,
    began: Tick,
}

/// Shows that a connection is ready for requests; `began` is when it was accepted. Gives what `closed` needs.
pub(super) fn opened<N: Net>(connection: &Connection<N>, began: Tick) -> Option<Box<Traced>> {
    if !connection.shard.tracer.is_on() {
        return None;
    }
    let shard = &connection.shard;
    let orders = shard.tracer.wanted_by(Shown::Connection(connection.peer.ip));
    if orders.is_empty() {
        return None;
    }
    let bound = shard.bound();
    let listener = connection.acceptor.listener().map(|id| &*bound.plan.listener(id).name);
    let words = described(&connection.peer, listener.unwrap_or("-"));
    let took = shard.thread.net.now().micros_since(began) / 1_000;
    send(shard, &orders, &format!("connection {words}: open after {took} ms"));
    Some(Box::new(Traced { orders, words, began }))
}

/// Shows that a connection was closed whose beginning was shown.
#[cold]
pub(super) fn closed<N: Net>(shard: &Shard<N>, traced: Traced) {
    let took = shard.thread.net.now().micros_since(traced.began) / 1_000;
    send(shard, &traced.orders, &format!("connection {}: closed after {took} ms", traced.words));
}

/// Shows that a connection ended before its first request.
#[cold]
pub(super) fn ended_early<N: Net>(shard: &Shard<N>, listener: &ListenerPlan, peer: &Peer, why: &str) {
    if !shard.tracer.is_on() {
        return;
    }
    let orders = shard.tracer.wanted_by(Shown::Connection(peer.ip));
    if !orders.is_empty() {
        send(shard, &orders, &format!("connection {}: closed: {why}", described(peer, &listener.name)));
    }
}

fn send<N: Net>(shard: &Shard<N>, orders: &[u32], words: &str) {
    let now = shard.thread.net.now();
    let Some(left_out) = shard.tracer.take(now) else { return };
    let time = date::rfc3339(shard.thread.wall_at(now));
    let text = format!("{} {words}\n", String::from_utf8_lossy(&time));
    // A shard that ends has no plan any more, and nobody to show anything to.
    let Some(bound) = shard.bound_already() else { return };
    let text = bound.plan.hidden.conceal(&text).into();
    shard.tell(FromShard::Trace(Box::new(Trace { orders: orders.to_vec(), text, left_out })));
}
