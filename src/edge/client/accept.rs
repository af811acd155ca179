//! Takes connections from one listening socket, under the shard's cap, and starts a task for each.

use std::cell::Cell;
use std::rc::Rc;

use crate::base::{Address, Buf};
use crate::config::plan::ListenerId;
use crate::edge::client::connection;
use crate::edge::flow::signal::{Signal, unless};
use crate::edge::shard::state::Shard;
use crate::link::Counter;
use crate::net::{Listener, Net, Stream};

/// After the process ran out of descriptors, wait this long before accepting again: others must close first.
const RETRY_MS: u64 = 100;
/// Time to get the refusal out to a client above the cap.
const REFUSAL_MS: u64 = 200;

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// One listening socket as its connections see it: which listener of the plan it is now.
#[derive(Debug)]
pub struct Door {
    /// Its address.
    pub address: Address,
    listener: Cell<Option<ListenerId>>,
    closed: Signal,
}

impl Door {
    /// An open door.
    pub fn new(address: Address, listener: ListenerId) -> Door {
        Door { address, listener: Cell::new(Some(listener)), closed: Signal::default() }
    }

    /// Which listener of the plan in use it is; `None` where the plan has none any more.
    pub fn listener(&self) -> Option<ListenerId> {
        self.listener.get()
    }

    /// A new plan names it anew, or not at all: then it closes.
    pub fn set_listener(&self, listener: Option<ListenerId>) {
        self.listener.set(listener);
        if listener.is_none() {
            self.close();
        }
    }

    /// Takes no more connections. Those that are open go on.
    pub fn close(&self) {
        self.closed.raise();
    }
}

/// Accepts until the door closes.
pub async fn run<N: Net>(shard: Rc<Shard<N>>, door: Rc<Door>, listener: N::Listener) {
    while !door.closed.is_raised() {
        match unless(&door.closed, listener.accept()).await {
            Some(Ok(stream)) => admit(&shard, &door, stream),
            Some(Err(_)) => {
                let at = shard.net.now().after_ms(RETRY_MS);
                unless(&door.closed, shard.net.sleep_until(at)).await;
            }
            None => break,
        }
    }
}

fn admit<N: Net>(shard: &Rc<Shard<N>>, door: &Rc<Door>, stream: N::Stream) {
    let bound = shard.bound();
    bound.counters.add(Counter::Accepted, 1);
    if shard.registry.open() >= bound.plan.process.connections_max {
        bound.counters.add(Counter::Refused, 1);
        let secured = door.listener().is_some_and(|listener| bound.plan.listener(listener).tls.is_some());
        if !secured {
            shard.net.spawn(refuse(shard.clone(), stream));
        }
        return;
    }
    let place = shard.registry.enter();
    connection::start(shard, door, stream, place);
}

/// Says why, without waiting for the request. TLS clients get a plain close instead: a handshake costs more than the
/// cap allows.
async fn refuse<N: Net>(shard: Rc<Shard<N>>, stream: N::Stream) {
    let until = shard.net.now().after_ms(REFUSAL_MS);
    let (_, _) = stream.write(Buf::copied(REFUSAL), until).await;
    stream.finish();
    let (_, _) = stream.read(shard.pool.take(0), until).await;
}
