// SPDX-License-Identifier: Apache-2.0
//! Takes connections from one listening socket, under the shard's cap, and starts a task for each.

use std::rc::Rc;
use std::time::Duration;

use crate::base::Buf;
use crate::base::limits::REFUSALS_MAX;
use crate::edge::client::acceptor::Acceptor;
use crate::edge::client::live;
use crate::edge::flow::signal::unless;
use crate::edge::shard::registry::Refusal;
use crate::edge::shard::state::Shard;
use crate::link::Counter;
use crate::net::{Listener, Net, Stream, lacks_descriptors};

/// After the process ran out of descriptors, wait this long before accepting again: others must close first.
const RETRY_MS: u64 = 20;
/// At the cap, a new connection takes the place of one that has waited for a request for at least this long. A client
/// that has just connected is about to send, so a burst of connections does not displace itself.
const EVICT_AFTER: Duration = Duration::from_secs(1);
/// Timeout of writing the refusal to a client above the cap, and of waiting until it has closed.
const REFUSAL_MS: u64 = 200;

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// Accepts until the acceptor is closed.
pub(crate) async fn run<N: Net>(shard: Rc<Shard<N>>, acceptor: Rc<Acceptor>, listener: N::Listener) {
    while !acceptor.closed.is_raised() {
        match unless(&acceptor.closed, listener.accept()).await {
            Some(Ok(stream)) => admit(&shard, &acceptor, stream),
            Some(Err(error)) => {
                if lacks_descriptors(&error) {
                    shard.thread.descriptors.lack();
                }
                let at = shard.thread.net.now().after_ms(RETRY_MS);
                unless(&acceptor.closed, shard.thread.net.sleep_until(at)).await;
            }
            None => break,
        }
    }
    drop(listener);
    acceptor.gone.raise();
}

fn admit<N: Net>(shard: &Rc<Shard<N>>, acceptor: &Rc<Acceptor>, stream: N::Stream) {
    let bound = shard.bound();
    bound.counters.add(Counter::Accepted, 1);
    if shard.registry.staying() >= bound.plan.process.connections_max && !make_room(shard) {
        bound.counters.add(Counter::Refused, 1);
        let secured = acceptor.listener().is_some_and(|listener| bound.plan.listener(listener).tls.is_some());
        if !secured && shard.registry.refusals() < REFUSALS_MAX {
            shard.thread.net.spawn(refuse(shard.clone(), stream, shard.registry.refuse()));
        }
        return;
    }
    let place = shard.registry.enter();
    live::start(shard, acceptor, stream, place);
}

/// Closes the client connection that is idle longest, if it is for long enough.
fn make_room<N: Net>(shard: &Shard<N>) -> bool {
    let now = shard.thread.net.now();
    let evicted = shard.registry.evict(EVICT_AFTER, now);
    shard.bound().counters.add(Counter::Evicted, u64::from(evicted));
    evicted
}

/// Sends a 503 without waiting for the request. TLS clients get a plain close instead, because a handshake would cost
/// too much, and so does everybody while `REFUSALS_MAX` others are being refused, because each holds a descriptor.
async fn refuse<N: Net>(shard: Rc<Shard<N>>, stream: N::Stream, _refusal: Refusal<N>) {
    let until = shard.thread.net.now().after_ms(REFUSAL_MS);
    let (_, _) = stream.write(Buf::copied(REFUSAL), until).await;
    stream.finish();
    let (_, buf) = stream.read(shard.thread.pool.take(0), until).await;
    shard.thread.pool.put(buf);
}
