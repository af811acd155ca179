// SPDX-License-Identifier: Apache-2.0
//! After an upgrade: relays bytes in both directions until both have ended or an idle timeout fires.
//!
//! `websocket` relays WebSockets, because it knows where frames end. Any other protocol is relayed untouched, and is
//! cut at a timeout or drain.

use std::cell::Cell;
use std::io::ErrorKind;
use std::time::Duration;

use crate::base::{Buf, BufPool, Fault, FaultKind, Pace, Tick};
use crate::edge::exchange::context::Exchange;
use crate::edge::exchange::switched::{Switched, TunnelLimits};
use crate::edge::flow::duplex::duplex;
use crate::edge::flow::relay::fitting;
use crate::edge::flow::stream::{BodySink, BodySource, Client, Ending, Remote, Stop};
use crate::edge::flow::throttle::Slows;
use crate::edge::forward::slowed::Slowed;
use crate::edge::forward::websocket::{Rates, WebSocketRelay};
use crate::edge::upstream::carrier::UpstreamStream;
use crate::link::Counter;
use crate::net::Net;
use crate::policy::throttle::Direction;
use crate::wire::head::BodyLength;
use crate::wire::upgrade::Protocol;
use crate::wire::ws::frame::Sender;

/// Relays bytes until both directions have ended.
pub(crate) async fn run<N: Net, S: BodySource, K: Client>(exchange: &mut Exchange<'_, N, S, K>, switched: Switched<N>) {
    let Switched { carrier, flight, behind, protocol, limits } = switched;
    match carrier {
        UpstreamStream::Connection(connection) => relay(exchange, &connection, behind, (protocol, &limits)).await,
        UpstreamStream::Stream(stream) => relay(exchange, &stream, behind, (protocol, &limits)).await,
    }
    drop(flight);
}

/// `behind` are the upstream's bytes after its 101.
async fn relay<N: Net, S: BodySource, K: Client, R: Remote>(
    exchange: &mut Exchange<'_, N, S, K>,
    remote: &R,
    behind: Buf,
    (protocol, limits): (Protocol, &TunnelLimits),
) {
    let Exchange { context, source, client, state } = exchange;
    let shard = context.shard;
    shard.tunnels.set(shard.tunnels.get() + 1);
    let mut up = remote.upload();
    let [to_client, to_upstream] = match protocol {
        Protocol::WebSocket => limits.write,
        // Nobody knows what it is: either end may pause for as long as both may be silent.
        Protocol::Other => [Pace::idle(limits.idle); 2],
    };
    client.set_pace(to_client);
    up.set_pace(to_upstream);
    let mut down = remote.body(BodyLength::UntilClose);
    let (received, sent) = (Cell::new(0), Cell::new(0));
    let failed = Cell::new(false);
    let (near, far) = (source.stopper(), down.stopper());
    let first_up = Buf::copied(context.behind);
    let break_off = |outcome: &Result<(), Fault>| {
        if outcome.is_err() {
            failed.set(true);
            near.stop();
            remote.abort();
        }
    };
    let rates: Rates<'_, N> =
        [Direction::Upload, Direction::Download].map(|direction| Slowed::tunnel(shard, &state.effects, direction));
    let (up_end, down_end) = match protocol {
        Protocol::WebSocket => {
            let talk = WebSocketRelay::new(*context, (limits, state.extensions), (&near, &far), &failed, rates);
            let ends = duplex(
                talk.carry(Sender::Client, *source, &mut up, first_up, &received),
                talk.carry(Sender::Server, &mut down, *client, behind, &sent),
                break_off,
                break_off,
            )
            .await;
            if let Some(reason) = talk.reason() {
                state.record.refused = Some(reason);
                shard.bound().counters.add(Counter::WebSocketsEnded, 1);
            }
            ends
        }
        Protocol::Other => {
            let pipe = Pipe::new(&shard.thread.net, &shard.thread.pool, limits, &failed);
            duplex(
                pipe.carry((*source, &mut up), first_up, &received, rates[0].as_deref()),
                pipe.carry((&mut down, *client), behind, &sent, rates[1].as_deref()),
                break_off,
                break_off,
            )
            .await
        }
    };
    shard.tunnels.set(shard.tunnels.get().saturating_sub(1));
    state.record.received.set(received.get());
    state.record.sent.set(sent.get());
    if let Some(fault) = up_end.err().or(down_end.err()) {
        state.record.fail(shard.thread.or_stopped(fault));
        state.record.aborted = true;
        client.abort();
    }
}

/// Carries what nobody here understands.
struct Pipe<'a, N: Net> {
    net: &'a N,
    pool: &'a BufPool,
    idle: Duration,
    last: Cell<Tick>,
    over: Tick,
    failed: &'a Cell<bool>,
}

impl<'a, N: Net> Pipe<'a, N> {
    fn new(net: &'a N, pool: &'a BufPool, limits: &TunnelLimits, failed: &'a Cell<bool>) -> Pipe<'a, N> {
        let now = net.now();
        let over = limits.lifetime.map_or(Tick::NEVER, |lifetime| now.after(lifetime));
        Pipe { net, pool, idle: limits.idle, last: Cell::new(now), over, failed }
    }

    /// Relays one direction to its end, then shuts down the writing side of the other end.
    async fn carry(
        &self,
        (source, sink): (&mut impl BodySource, &mut impl BodySink),
        first: Buf,
        count: &Cell<u64>,
        slowed: Option<&Slowed<'_, N>>,
    ) -> Result<(), Fault> {
        if !first.is_empty() {
            count.set(first.len() as u64);
            if let Some(slowed) = slowed {
                slowed.pass(first.len() as u64, self.over).await;
            }
            let (written, _) = sink.write(first, Ending::More, self.until()).await;
            written?;
        }
        let mut buf = self.pool.take(0);
        loop {
            buf.reset(0);
            let (read, returned) = source.read_open(buf, self.until()).await;
            buf = returned;
            let here = match read {
                Ok(0) if self.failed.get() => return Err(Fault::last(FaultKind::ClientClosed)),
                Ok(0) => {
                    sink.finish();
                    self.pool.put(buf);
                    return Ok(());
                }
                Ok(bytes) => bytes,
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                    self.in_time()?;
                    continue;
                }
                Err(_) => return Err(Fault::last(FaultKind::ClientClosed)),
            };
            count.set(count.get() + here as u64);
            let mut full = buf.spare() == 0;
            if let Some(slowed) = slowed {
                full &= buf.capacity() < slowed.buffer_bytes();
                // Only where a key shares a rate; no other tunnel should be larger for it.
                Box::pin(slowed.pass(here as u64, self.over)).await;
            }
            self.last.set(self.net.now());
            let (written, returned) = sink.write(buf, Ending::More, self.until()).await;
            buf = fitting(self.pool, returned, full);
            written?;
        }
    }

    fn in_time(&self) -> Result<(), Fault> {
        let now = self.net.now();
        match now {
            now if now >= self.over => Err(Fault::last(FaultKind::TotalTimeout)),
            now if now >= self.until() => Err(Fault::last(FaultKind::IdleTimeout)),
            _ => Ok(()),
        }
    }

    /// Silence in both directions counts, not in one.
    fn until(&self) -> Tick {
        self.last.get().after(self.idle).min(self.over)
    }
}
