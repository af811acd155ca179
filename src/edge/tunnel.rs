//! After an upgrade: bytes both ways, untouched, until both ends have ended or neither has said anything for too long.

use std::cell::Cell;
use std::io::ErrorKind;

use crate::base::{Buf, Fault, FaultKind, Tick, limits};
use crate::edge::duplex::duplex;
use crate::edge::exchange::Exchange;
use crate::edge::forward::Way;
use crate::edge::stream::{Client, Ending, Remote, Sink, Source, Stop};
use crate::net::Net;
use crate::wire::head::BodyLength;

/// Carries bytes until both directions have ended. `behind` are those that the upstream sent behind its 101.
pub async fn run<N: Net, S: Source, K: Client, R: Remote>(
    exchange: &mut Exchange<'_, N, S, K>,
    way: &Way<'_, N>,
    remote: &R,
    behind: Buf,
) {
    let Exchange { scene, source, client, work } = exchange;
    let shard = scene.shard;
    // In a tunnel an end from the client is half an end, and the other half goes on.
    scene.watch.end();
    shard.tunnels.set(shard.tunnels.get() + 1);
    let last = Cell::new(shard.net.now());
    let side = Pipe { net: &shard.net, way, last: &last, failed: &Cell::new(false) };
    let mut up = remote.upload();
    let mut down = remote.body(BodyLength::UntilClose);
    let (received, sent) = (Cell::new(0), Cell::new(0));
    let stopper = source.stopper();
    let first_up = Buf::copied(scene.behind);
    let break_off = |outcome: &Result<(), Fault>| {
        if outcome.is_err() {
            side.failed.set(true);
            stopper.stop();
            remote.abort();
        }
    };
    let (up_end, down_end) = duplex(
        side.carry(*source, &mut up, first_up, shard.pool.take(limits::BUF_CLASSES[1]), &received),
        side.carry(&mut down, *client, behind, shard.pool.take(limits::BUF_CLASSES[1]), &sent),
        break_off,
        break_off,
    )
    .await;
    shard.tunnels.set(shard.tunnels.get().saturating_sub(1));
    work.record.received.set(received.get());
    work.record.sent.set(sent.get());
    if let Some(fault) = up_end.err().or(down_end.err()) {
        work.record.fault = Some(fault.kind);
        work.record.aborted = true;
        client.abort();
    }
}

struct Pipe<'a, N: Net> {
    net: &'a N,
    way: &'a Way<'a, N>,
    last: &'a Cell<Tick>,
    failed: &'a Cell<bool>,
}

impl<N: Net> Pipe<'_, N> {
    /// One direction, to its end; then the other end is told that no more comes.
    async fn carry(
        &self,
        source: &mut impl Source,
        sink: &mut impl Sink,
        first: Buf,
        mut buf: Buf,
        count: &Cell<u64>,
    ) -> Result<(), Fault> {
        if !first.is_empty() {
            count.set(first.len() as u64);
            let (written, _) = sink.write(first, Ending::More, self.until()).await;
            written?;
        }
        loop {
            buf.reset(0);
            let (read, returned) = source.read_open(buf, self.until()).await;
            buf = returned;
            match read {
                Ok(0) if self.failed.get() => return Err(Fault::last(FaultKind::ClientClosed)),
                Ok(0) => {
                    sink.finish();
                    return Ok(());
                }
                Ok(bytes) => count.set(count.get() + bytes as u64),
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    if self.net.now() >= self.until() {
                        return Err(Fault::last(FaultKind::IdleTimeout));
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(Fault::last(FaultKind::ClientClosed)),
            }
            self.last.set(self.net.now());
            let (written, returned) = sink.write(buf, Ending::More, self.until()).await;
            buf = returned;
            written?;
        }
    }

    /// Silence in both directions counts, not in one.
    fn until(&self) -> Tick {
        self.last.get().after(self.way.proxy.tunnel_idle)
    }
}
