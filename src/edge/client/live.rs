// SPDX-License-Identifier: Apache-2.0
//! One client connection from accept to close: PROXY header, TLS, then exchanges, and long waits at little cost.
//!
//! ```text
//! accept -> establish -> busy <-> parked -> close
//! ```
//! `busy` holds buffers and scratch; its future lives in a box. A connection that is quiet for `PARK_AFTER_MS` gives
//! all of that back and is `parked`: a small future and a poll, nothing else, until bytes arrive.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;

use crate::base::limits::PROXY_READ_BYTES;
use crate::base::{Address, Buf, Scheme, Tick};
use crate::config::plan::contains;
use crate::edge::client::acceptor::Acceptor;
use crate::edge::client::connection::{Connection, FIRST_READ, Next};
use crate::edge::client::notices::Who;
use crate::edge::client::{h1, h2, trace};
use crate::edge::exchange::peer::Peer;
use crate::edge::shard::registry::Registration;
use crate::edge::shard::state::Shard;
use crate::link::Counter;
use crate::net::tls::{self, Failure, Transport};
use crate::net::{Net, Stream};
use crate::wire::proxy::{self, Header};

/// Starts the task of one connection.
///
/// While the connection is parked, that task's future is what it costs: so everything large is behind a box, and the
/// pieces that only the beginning needs are in a box that goes when they have done their work.
pub(crate) fn start<N: Net>(shard: &Rc<Shard<N>>, acceptor: &Rc<Acceptor>, stream: N::Stream, place: Registration<N>) {
    let established = Box::pin(establish(shard.clone(), acceptor.clone(), stream, place));
    shard.thread.net.spawn(live(shard.clone(), established));
}

/// Runs one connection to its end.
async fn live<N: Net, F: Future<Output = Option<Box<Connection<N>>>>>(shard: Rc<Shard<N>>, established: Pin<Box<F>>) {
    let began = shard.thread.net.now();
    let mut next = established.await;
    // `None` unless somebody watches.
    let traced = next.as_ref().and_then(|connection| trace::opened(connection, began));
    while let Some(connection) = next.take() {
        let after = match connection.chose_http2() {
            true => Next::Http2(connection),
            false => Box::pin(h1::busy(connection)).await,
        };
        match after {
            Next::Close => {}
            Next::Http2(connection) => Box::pin(h2::serve(connection)).await,
            Next::Slow(connection) => {
                if let Some(until) = connection.head_until() {
                    // Whatever it is, it is found out again by reading.
                    let _ = connection.stream.readable(until).await;
                }
                next = Some(connection).filter(|connection| !connection.place.is_evicted());
            }
            Next::Park(mut parked) => {
                if wait(&parked).await {
                    parked.idle_since = shard.thread.net.now();
                    next = Some(parked);
                }
            }
        }
    }
    if let Some(traced) = traced {
        trace::closed(&shard, *traced);
    }
    shard.tell_drained();
}

/// Waits without buffers. False after the idle timeout, or where the shard drains.
async fn wait<N: Net>(connection: &Connection<N>) -> bool {
    loop {
        let Some(until) = connection.idle_until() else { return false };
        let until = until.min(connection.shard.drain_idle_until());
        connection.place.set_idle(connection.idle_since);
        match connection.stream.readable(until).await {
            Ok(()) => return true,
            Err(error) if error.kind() == ErrorKind::Interrupted && !connection.place.is_evicted() => {}
            Err(_) => return false,
        }
    }
}

/// Reads the PROXY header and does the TLS handshake. `None` where one of them failed.
async fn establish<N: Net>(
    shard: Rc<Shard<N>>,
    acceptor: Rc<Acceptor>,
    stream: N::Stream,
    mut place: Registration<N>,
) -> Option<Box<Connection<N>>> {
    let bound = shard.bound();
    let listener = bound.plan.listener(acceptor.listener()?);
    let until = shard.thread.net.now().after(listener.timeouts.handshake);
    let mut peer = Peer::of(stream.peer(), stream.local());
    if contains(&listener.proxy_protocol_from, peer.ip) {
        peer = match read_proxy(&stream, peer, until).await {
            Ok(named) => named,
            Err(_) => {
                let sender = Peer::of(stream.peer(), stream.local());
                trace::ended_early(&shard, listener, &sender, "no valid PROXY header came in time");
                return None;
            }
        };
    }
    if !place.claim(peer.ip, listener.connections_per_address_max) {
        bound.counters.add(Counter::Refused, 1);
        trace::ended_early(&shard, listener, &peer, "its address has as many as `connections_per_address` allows");
        return None;
    }
    let transport = match &listener.tls {
        None => Transport::Plain(stream),
        Some(tls) => {
            let accepted = tls::accept(stream, tls.config.clone(), shard.thread.pool.clone(), until, plain_reply).await;
            let now = shard.thread.net.wall();
            let accepted = accepted.and_then(|tls| match tls.session().has_expired(now) {
                true => Err(Failure::expired(tls.session().server_name.clone())),
                false => Ok(tls),
            });
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(failure) => {
                    bound.counters.add(Counter::HandshakesFailed, 1);
                    trace::ended_early(&shard, listener, &peer, &format!("TLS handshake failed: {}", failure.words()));
                    Who { shard: &shard, listener, peer: &peer }.handshake_failed(failure);
                    return None;
                }
            };
            bound.counters.add(Counter::Handshakes, 1);
            bound.counters.add(Counter::HandshakesResumed, u64::from(accepted.session().resumed));
            peer.tls = Some(Box::new(accepted.session().clone()));
            peer.inbound.scheme = Scheme::Https;
            Transport::Tls(Box::new(accepted))
        }
    };
    let stream = Rc::new(transport);
    place.attach(&stream);
    let idle_since = shard.thread.net.now();
    let first_read = FIRST_READ;
    let buf = Buf::empty();
    let (requests, head_since) = (0, Tick::NEVER);
    Some(Box::new(Connection {
        shard,
        acceptor,
        stream,
        place,
        peer,
        buf,
        requests,
        first_read,
        idle_since,
        head_since,
    }))
}

/// What a client gets that speaks HTTP without TLS to a listener with TLS: no record of TLS begins with a letter, and
/// every method does.
fn plain_reply(first: &[u8]) -> Option<&'static [u8]> {
    first.first()?.is_ascii_uppercase().then_some(PLAIN_REPLY)
}

const PLAIN_REPLY: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 50\r\n\
    Connection: close\r\n\r\nThe plain HTTP request was sent to an HTTPS port.\n";

/// Shortest PROXY header of either version: `PROXY UNKNOWN` and CRLF.
const PROXY_BYTES_MIN: usize = 15;
/// Signature, version, family and length of version 2.
const PROXY_V2_FIXED: usize = 16;

/// Reads a PROXY header and nothing after it, because TLS may follow. Returns the peer that the header names.
async fn read_proxy<S: Stream>(stream: &S, peer: Peer, until: Tick) -> io::Result<Peer> {
    let mut header = Vec::new();
    let mut wanted = PROXY_BYTES_MIN;
    loop {
        let buf = Buf::with_capacity(wanted);
        let (read, buf) = stream.read(buf, until).await;
        if read? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        header.extend_from_slice(buf.filled());
        match proxy::parse(&header) {
            Ok(Some((Header::Proxied { source, destination }, _))) => {
                return Ok(Peer::of(&Address::Inet(source), &Address::Inet(destination)));
            }
            Ok(Some((Header::Local | Header::Unknown, _))) => return Ok(peer),
            Ok(None) => wanted = proxy_bytes_missing(&header).min(PROXY_READ_BYTES),
            Err(_) => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// The least number of bytes that are missing of an incomplete header, at least one.
fn proxy_bytes_missing(header: &[u8]) -> usize {
    let binary = header.first() == Some(&b'\r');
    match header.get(14..PROXY_V2_FIXED) {
        Some(&[high, low]) if binary => {
            let whole = PROXY_V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
            whole.saturating_sub(header.len()).max(1)
        }
        Some(_) => 1,
        None if binary => PROXY_V2_FIXED.saturating_sub(header.len()).max(1),
        None => PROXY_BYTES_MIN.saturating_sub(header.len()).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::uring::Uring;

    /// The size of a parked connection's future.
    fn size_of_life<F>(
        _: impl Fn(Rc<Shard<Uring>>, Pin<Box<std::future::Ready<Option<Box<Connection<Uring>>>>>>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    /// The size of the future of a connection with a request.
    fn size_of_busy<F>(_: impl Fn(Box<Connection<Uring>>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_busy_connection_is_small() {
        let size = size_of_busy(h1::busy);
        assert!(size <= 6 * 1024, "{size} bytes");
    }

    #[test]
    fn a_parked_connection_is_small() {
        let (life, connection) = (size_of_life(live), size_of::<Connection<Uring>>());
        assert!(life <= 400 && connection <= 224, "{life} and {connection} bytes");
    }
}
