//! One client connection from accept to close: PROXY header, TLS, then exchanges, and long waits at little cost.
//!
//! ```text
//! accept -> establish -> busy <-> parked -> close
//! ```
//! `busy` holds buffers and scratch; its future lives in a box. A connection that is quiet for `PARK_AFTER_MS` gives
//! all of that back and is `parked`: a small future and a poll, nothing else, until bytes arrive.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;

use crate::base::{Address, Buf, Tick};
use crate::config::plan::{ClientTimeouts, contains};
use crate::edge::client::accept::Door;
use crate::edge::client::{h1, h2};
use crate::edge::shard::registry::Place;
use crate::edge::shard::state::Shard;
use crate::edge::upstream::dial::{Offer, Speaker};
use crate::link::Counter;
use crate::net::tls::{self, Session, Transport};
use crate::net::{Net, Stream};
use crate::wire;
use crate::wire::forwarded::{Inbound, Scheme};
use crate::wire::proxy::{self, Header};

/// A connection this long without a byte gives its buffers back.
pub const PARK_AFTER_MS: u64 = 100;
/// How long an ended connection is read from, so that the last answer is not lost to a reset (RFC 9112 section 9.6).
const LINGER_MS: u64 = 2_000;
/// And how much is read from one of HTTP/1.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// An open client connection.
pub struct Connection<N: Net> {
    /// Its shard.
    pub shard: Rc<Shard<N>>,
    /// Where it came in.
    pub door: Rc<Door>,
    /// The bytes.
    pub stream: Rc<Transport<N::Stream>>,
    /// Its place among the shard's connections.
    pub place: Place<N>,
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
    /// When the first byte of a head came whose rest is missing; `NEVER` where none has begun.
    pub head_since: Tick,
}

/// Who is at the other end, as far as the connection itself tells.
pub struct Peer {
    /// The client's or the last proxy's address; loopback for Unix sockets.
    pub ip: IpAddr,
    /// The same as text.
    pub text: Box<[u8]>,
    /// Its port; zero for Unix sockets.
    pub port: u16,
    /// The port it came to.
    pub local_port: u16,
    /// The address it came to; `None` for Unix sockets.
    pub local_ip: Option<IpAddr>,
    /// The same for forwarding fields.
    pub inbound: Inbound,
    /// What TLS told, if there is TLS.
    pub tls: Option<Box<Session>>,
}

/// How a busy stretch ended.
pub enum Next<N: Net> {
    /// Nothing more will come of it.
    Close,
    /// Quiet for now.
    Park(Box<Connection<N>>),
    /// The buffer holds the beginning of a head whose rest comes slowly.
    Slow(Box<Connection<N>>),
    /// The client speaks HTTP/2; what it sent is in the buffer.
    Http2(Box<Connection<N>>),
}

/// Starts the task of one connection.
///
/// While the connection is parked, that task's future is what it costs: so everything large is behind a box, and the
/// pieces that only the beginning needs are in a box that goes when they have done their work.
pub fn start<N: Net>(shard: &Rc<Shard<N>>, door: &Rc<Door>, stream: N::Stream, place: Place<N>) {
    let established = Box::pin(establish(shard.clone(), door.clone(), stream, place));
    shard.net.spawn(live(shard.clone(), established));
}

/// Runs one connection to its end.
async fn live<N: Net, F: Future<Output = Option<Box<Connection<N>>>>>(shard: Rc<Shard<N>>, established: Pin<Box<F>>) {
    let mut next = established.await;
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
                next = Some(connection);
            }
            Next::Park(mut parked) => {
                if wait(&parked).await {
                    parked.idle_since = shard.net.now();
                    next = Some(parked);
                }
            }
        }
    }
    shard.tell_drained();
}

/// Waits without buffers. False where the connection has waited long enough, or the shard drains.
async fn wait<N: Net>(connection: &Connection<N>) -> bool {
    loop {
        let Some(until) = connection.idle_until() else { return false };
        let until = until.min(connection.shard.drain_idle_until());
        connection.place.set_idle();
        match connection.stream.readable(until).await {
            Ok(()) => return true,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

impl<N: Net> Connection<N> {
    /// When the wait for a request ends; `None` where its listener is gone.
    pub fn idle_until(&self) -> Option<Tick> {
        let listener = self.door.listener()?;
        let bound = self.shard.bound();
        Some(self.idle_since.after(bound.plan.listener(listener).timeouts.keep_alive))
    }

    /// When the wait for the rest of a head ends; `None` where its listener is gone.
    pub fn head_until(&self) -> Option<Tick> {
        let listener = self.door.listener()?;
        let bound = self.shard.bound();
        Some(self.head_since.after(bound.plan.listener(listener).timeouts.head))
    }

    /// TLS settled on HTTP/2.
    fn chose_http2(&self) -> bool {
        self.peer.tls.as_ref().is_some_and(|tls| tls.alpn.as_deref() == Some(b"h2"))
    }

    /// When a quiet connection is parked.
    pub fn park_at(&self) -> Tick {
        self.idle_since.after_ms(PARK_AFTER_MS)
    }

    /// Ends it so that what was sent last arrives: our end first, then reading what still comes, then close.
    pub async fn linger(mut self) {
        self.stream.finish();
        hear_last(&self.shard, &self.stream, std::mem::take(&mut self.buf), LINGER_BYTES_MAX).await;
    }
}

/// Reads what still comes on a connection whose last words were said, so that they arrive; at most `bytes_max`.
pub async fn hear_last<N: Net>(shard: &Shard<N>, stream: &Transport<N::Stream>, mut buf: Buf, bytes_max: usize) {
    let until = shard.net.now().after_ms(LINGER_MS);
    if buf.capacity() == 0 {
        buf = shard.pool.take(0);
    }
    let mut seen = 0;
    while seen < bytes_max {
        buf.reset(0);
        let (read, returned) = stream.read(buf, until).await;
        buf = returned;
        match read {
            Ok(count) if count > 0 => seen += count,
            Ok(_) | Err(_) => break,
        }
    }
    shard.pool.put(buf);
}

/// PROXY header and TLS. `None` where the connection did not get that far.
async fn establish<N: Net>(
    shard: Rc<Shard<N>>,
    door: Rc<Door>,
    stream: N::Stream,
    mut place: Place<N>,
) -> Option<Box<Connection<N>>> {
    let bound = shard.bound();
    let listener = bound.plan.listener(door.listener()?);
    let until = shard.net.now().after(listener.timeouts.handshake);
    let mut peer = Peer::of(stream.peer(), stream.local());
    if contains(&listener.proxy_protocol_from, peer.ip) {
        peer = read_proxy(&stream, peer, until).await.ok()?;
    }
    if !place.claim(peer.ip, listener.connections_per_address_max) {
        bound.counters.add(Counter::Refused, 1);
        return None;
    }
    let transport = match &listener.tls {
        None => Transport::Plain(stream),
        Some(tls) => {
            let accepted = tls::accept(stream, tls.config.clone(), shard.pool.clone(), until).await;
            let Ok(accepted) = accepted else {
                bound.counters.add(Counter::HandshakesFailed, 1);
                return None;
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
    let idle_since = shard.net.now();
    let first_read = h1::FIRST_READ;
    let buf = Buf::empty();
    let (requests, head_since) = (0, Tick::NEVER);
    Some(Box::new(Connection { shard, door, stream, place, peer, buf, requests, first_read, idle_since, head_since }))
}

/// Shortest PROXY header of either version: `PROXY UNKNOWN` and CRLF.
const PROXY_BYTES_MIN: usize = 15;
/// Signature, version, family and length of version 2.
const PROXY_V2_FIXED: usize = 16;

/// Reads a PROXY header and nothing behind it: what follows may be the start of TLS. Returns who it says is speaking.
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
            Ok(None) => wanted = proxy_bytes_missing(&header),
            Err(_) => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// Bytes that certainly still belong to an incomplete header, at least one.
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

impl Peer {
    /// A peer without TLS.
    pub fn of(address: &Address, local: &Address) -> Peer {
        let (ip, port) = match address {
            Address::Inet(inet) => (inet.ip().to_canonical(), inet.port()),
            Address::Unix(_) => (IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0),
        };
        let (local_ip, local_port) = match local {
            Address::Inet(inet) => (Some(inet.ip().to_canonical()), inet.port()),
            Address::Unix(_) => (None, 0),
        };
        let mut text = Vec::with_capacity(40);
        wire::ip::push(&mut text, ip);
        let known = matches!(address, Address::Inet(_)).then_some(ip);
        let inbound = Inbound { peer: known, scheme: Scheme::Http, port: local_port };
        Peer { ip, text: text.into(), port, local_port, local_ip, inbound, tls: None }
    }

    /// Who an upstream is told is speaking.
    pub fn speaker(&self) -> Speaker {
        let ends = self.inbound.peer.zip(self.local_ip);
        let ends = ends.map(|(ip, local)| ((ip, self.port).into(), (local, self.local_port).into()));
        Speaker { ends, offer: Offer::Configured }
    }
}

/// The deadline of the next wait for a request: parked first, then closed.
pub fn first_wait(timeouts: &ClientTimeouts, idle_since: Tick, park_at: Tick) -> Tick {
    idle_since.after(timeouts.keep_alive).min(park_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::uring::Uring;

    /// The size of the future that a parked connection is in.
    fn size_of_life<F>(
        _: impl Fn(Rc<Shard<Uring>>, Pin<Box<std::future::Ready<Option<Box<Connection<Uring>>>>>>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_parked_connection_is_small() {
        let (life, connection) = (size_of_life(live), size_of::<Connection<Uring>>());
        assert!(life <= 400 && connection <= 224, "{life} and {connection} bytes");
    }
}
