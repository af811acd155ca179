// SPDX-License-Identifier: Apache-2.0
//! Takes connections from one listening socket, under the shard's cap, and starts a task for each.

use std::rc::Rc;

use crate::base::Buf;
use crate::edge::client::acceptor::Acceptor;
use crate::edge::client::live;
use crate::edge::flow::signal::unless;
use crate::edge::shard::state::Shard;
use crate::link::Counter;
use crate::net::{Listener, Net, Stream};

/// After the process ran out of descriptors, wait this long before accepting again: others must close first.
const RETRY_MS: u64 = 100;
/// Timeout of writing the refusal to a client above the cap.
const REFUSAL_MS: u64 = 200;

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// Accepts until the acceptor is closed.
pub(crate) async fn run<N: Net>(shard: Rc<Shard<N>>, acceptor: Rc<Acceptor>, listener: N::Listener) {
    while !acceptor.closed.is_raised() {
        match unless(&acceptor.closed, listener.accept()).await {
            Some(Ok(stream)) => admit(&shard, &acceptor, stream),
            Some(Err(_)) => {
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
    if shard.registry.open() >= bound.plan.process.connections_max {
        bound.counters.add(Counter::Refused, 1);
        let secured = acceptor.listener().is_some_and(|listener| bound.plan.listener(listener).tls.is_some());
        if !secured {
            shard.thread.net.spawn(refuse(shard.clone(), stream));
        }
        return;
    }
    let place = shard.registry.enter();
    live::start(shard, acceptor, stream, place);
}

/// Sends a 503 without waiting for the request. TLS clients get a plain close instead, because a handshake would cost
/// too much.
async fn refuse<N: Net>(shard: Rc<Shard<N>>, stream: N::Stream) {
    let until = shard.thread.net.now().after_ms(REFUSAL_MS);
    let (_, _) = stream.write(Buf::copied(REFUSAL), until).await;
    stream.finish();
    let (_, _) = stream.read(shard.thread.pool.take(0), until).await;
}
