// SPDX-License-Identifier: Apache-2.0
//! An open client connection: what it is made of, when its waits end, and how it ends.

use std::rc::Rc;

use crate::base::limits::{BUF_CLASSES, FIRST_BUF};
use crate::base::{Buf, Tick};
use crate::config::plan::ClientTimeouts;
use crate::edge::client::acceptor::Acceptor;
use crate::edge::exchange::peer::Peer;
use crate::edge::flow::thread::Thread;
use crate::edge::shard::registry::Registration;
use crate::edge::shard::state::Shard;
use crate::net::tls::Transport;
use crate::net::{Net, Stream};

/// A connection that is idle for this long gives its buffers back.
pub(crate) const PARK_AFTER_MS: u64 = 100;
/// Size of the first buffer of a connection: all that a client costs that has not sent a whole head.
pub(crate) const FIRST_READ: u32 = FIRST_BUF as u32;
/// How long an ended connection is read from while its client goes on sending, so that the last response is not lost to
/// a reset (RFC 9112 section 9.6). Many clients read a response only when they have sent all of a request.
const LINGER_MS: u64 = 30_000;
/// How long while nothing comes.
const LINGER_IDLE_MS: u64 = 2_000;
/// How long where the thread drains: a client that has not read the end yet still gets it.
const LINGER_DRAINING_MS: u64 = 2_000;
/// And how much is read of one.
const LINGER_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// An open client connection.
pub(crate) struct Connection<N: Net> {
    /// Its shard.
    pub shard: Rc<Shard<N>>,
    /// Where it came in.
    pub acceptor: Rc<Acceptor>,
    /// The bytes.
    pub stream: Rc<Transport<N::Stream>>,
    /// Its place among the shard's connections.
    pub place: Registration<N>,
    /// Who is at the other end.
    pub peer: Peer,
    /// Bytes read and not used yet; no memory while parked.
    pub buf: Buf,
    /// Requests so far.
    pub requests: u32,
    /// Size of the buffer to read a head into: grows for clients that send more at once.
    pub first_read: u32,
    /// Since when it waits for a request.
    pub idle_since: Tick,
    /// When the first byte of an incomplete head arrived; `NEVER` where none has begun.
    pub head_since: Tick,
}

/// How a busy stretch ended.
pub(crate) enum Next<N: Net> {
    /// Nothing more will come of it.
    Close,
    /// Quiet for now.
    Park(Box<Connection<N>>),
    /// The buffer holds the beginning of a head that arrives slowly.
    Slow(Box<Connection<N>>),
    /// The client speaks HTTP/2; what it sent is in the buffer.
    Http2(Box<Connection<N>>),
}

impl<N: Net> Connection<N> {
    /// When the wait for a request ends; `None` where its listener is gone.
    pub(crate) fn idle_until(&self) -> Option<Tick> {
        let listener = self.acceptor.listener()?;
        let bound = self.shard.bound();
        Some(self.idle_since.after(bound.plan.listener(listener).timeouts.keep_alive))
    }

    /// When the wait for the rest of a head ends; `None` where its listener is gone.
    pub(crate) fn head_until(&self) -> Option<Tick> {
        let listener = self.acceptor.listener()?;
        let bound = self.shard.bound();
        Some(self.head_since.after(bound.plan.listener(listener).timeouts.head))
    }

    /// TLS settled on HTTP/2.
    pub(crate) fn chose_http2(&self) -> bool {
        self.peer.tls.as_ref().is_some_and(|tls| tls.alpn.as_deref() == Some(b"h2"))
    }

    /// A client that fills a buffer of that size with its first bytes sends large heads or bodies, so it gets a larger
    /// one from the next request on.
    pub(crate) fn enlarge_first_read(&mut self, filled: usize) {
        self.first_read = BUF_CLASSES[usize::from(filled > FIRST_BUF)] as u32;
    }

    /// When a quiet connection is parked.
    pub(crate) fn park_at(&self) -> Tick {
        self.idle_since.after_ms(PARK_AFTER_MS)
    }

    /// Lingering close: shuts our side down, reads what still arrives, then closes, so that the last bytes reach the
    /// client.
    pub(crate) async fn linger(mut self) {
        self.stream.finish();
        hear_last(&self.shard.thread, &self.stream, std::mem::take(&mut self.buf)).await;
    }
}

/// Lingering close: reads and drops what still comes, so that the last bytes sent reach the client. Above the bounds,
/// which are narrow on a thread that drains, the connection is closed though the client goes on.
pub(crate) async fn hear_last<N: Net>(thread: &Thread<N>, stream: &Transport<N::Stream>, mut buf: Buf) {
    stream.read_again();
    let mut until = thread.net.now().after_ms(LINGER_MS);
    let mut drains = false;
    if buf.capacity() == 0 {
        buf = thread.pool.take(0);
    }
    let mut seen = 0;
    while seen < LINGER_BYTES_MAX {
        buf.reset(0);
        let now = thread.net.now();
        if !drains && thread.draining.is_raised() {
            drains = true;
            until = until.min(now.after_ms(LINGER_DRAINING_MS));
        }
        let silent = now.after_ms(LINGER_IDLE_MS);
        let (read, returned) = stream.read(buf, silent.min(until)).await;
        buf = returned;
        match read {
            Ok(count) if count > 0 => seen += count as u64,
            Ok(_) | Err(_) => break,
        }
        if buf.spare() == 0 && buf.capacity() < DROP_READ {
            thread.pool.put(buf);
            buf = thread.pool.take(DROP_READ);
        }
    }
    thread.pool.put(buf);
}

/// Size of the buffer for what is dropped, where much comes.
const DROP_READ: usize = BUF_CLASSES[2];

/// The deadline of the next wait for a request: parked first, then closed.
pub(crate) fn first_wait(timeouts: &ClientTimeouts, idle_since: Tick, park_at: Tick) -> Tick {
    idle_since.after(timeouts.keep_alive).min(park_at)
}
