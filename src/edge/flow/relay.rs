// SPDX-License-Identifier: Apache-2.0
//! Hot. Relays a body from a source to a sink, portion by portion and without holding anything back. The buffer grows
//! only while reads fill it and writes are quick, and is given back while the source is quiet.

use std::cell::Cell;
use std::time::Duration;

use crate::base::{Buf, BufPool, Fault, FaultKind, Tick, limits};
use crate::edge::flow::pace::SenderTime;
use crate::edge::flow::stream::{BodySink, BodySource, Ending, Portion};
use crate::edge::flow::throttle::Slows;
use crate::net::Net;

/// Room before a portion for its chunk header: CRLF, 16 hex digits, CRLF.
pub(crate) const CHUNK_HEADROOM: usize = 20;
/// Room kept behind a portion for CRLF and the last chunk.
const CHUNK_TAILROOM: usize = 7;

/// Full reads of 64 KiB before the buffer grows to the largest class: with what came before, as much as the kernels
/// take for a peer that does not read. So no buffer of the largest class is kept for such a peer.
const FULL_READS: u32 = 3;
/// A sink that takes longer for a large buffer gets small ones again.
const SLOW_WRITE_MS: u64 = 500;

/// How long after the deadline the last write may end.
pub(crate) const GRACE_MS: u64 = 250;

/// A source that was silent for this long before a portion is waited for without a buffer. For each portion this costs
/// a second wait, which is dear where portions come often.
const QUIET: Duration = Duration::from_millis(100);

/// What carries a body.
pub(crate) struct Transfer<'a, N: Net, W: Slows> {
    /// The machine, for the clock.
    pub net: &'a N,
    /// Where buffers come from.
    pub pool: &'a BufPool,
    /// The sink wants the content in the chunked coding.
    pub encode: bool,
    /// Longest silence of the source.
    pub source_idle: Duration,
    /// End of the whole exchange.
    pub deadline: Tick,
    /// Content bytes carried so far.
    pub content: &'a Cell<u64>,
    /// Content bytes allowed; above it the fault is `BodyTooLarge`.
    pub content_max: u64,
    /// The first portion is probably long in coming.
    pub begins_quiet: bool,
    /// What the source has left, where it must keep a least rate.
    pub least: Option<&'a SenderTime>,
    /// What it is where the deadline passes while the source is waited for.
    pub late: FaultKind,
    /// What keeps the body to a rate, if it has one.
    pub throttle: Option<&'a W>,
    /// The source may send nothing before it gets a `100 Continue`.
    pub continuation: Option<&'a Continuation>,
}

/// A client that asked with `Expect: 100-continue` whether its body is wanted (RFC 9110 section 10.1.1). Until it is
/// told, or sends all the same, its silence is the endpoint's.
pub(crate) struct Continuation {
    /// It got the `100 Continue`, or began to send.
    pub over: Cell<bool>,
    /// How long the endpoint may take for a response of any kind.
    pub wait: Duration,
}

impl<N: Net, W: Slows> Transfer<'_, N, W> {
    /// Relays the rest of the source. Begins with `buf` and returns it or a larger buffer.
    pub(crate) async fn run<K: BodySink>(
        &self,
        source: &mut impl BodySource,
        sink: &mut K,
        mut buf: Buf,
    ) -> (Result<(), Fault>, Buf) {
        let (mut quiet, mut full_reads) = (self.begins_quiet, 0);
        if let Some(throttle) = self.throttle {
            buf = self.fitted(buf, throttle.buffer_bytes());
        }
        loop {
            let began = self.net.now();
            let until = self.source_until(began);
            let waits_from = (!self.asks()).then_some(began);
            if quiet {
                self.pool.put(std::mem::take(&mut buf));
                if let Err(fault) = source.readable(until).await {
                    return (Err(self.source_fault(fault)), buf);
                }
                buf = self.pool.take(0);
            }
            buf.reset(if self.encode { CHUNK_HEADROOM } else { 0 });
            let (read, returned) = source.read(buf, until).await;
            buf = returned;
            let now = self.net.now();
            quiet = now.since(began) >= QUIET;
            let portion = match read {
                Ok(portion) => portion,
                Err(fault) => return (Err(self.source_fault(fault)), buf),
            };
            self.spend(waits_from, now, portion.content);
            if let Err(fault) = self.count(portion) {
                return (Err(fault), buf);
            }
            if let Some(throttle) = self.throttle {
                // What follows fails by itself where the deadline comes first.
                // tidy(hot): only where a body is slowed down; no other relay should be larger for it.
                Box::pin(throttle.pass(portion.content, self.deadline)).await;
            }
            let ending = if portion.done { Ending::Last(source.trailers()) } else { Ending::More };
            if !buf.is_empty() || portion.done {
                if self.encode {
                    encode(&mut buf, ending, self.pool);
                }
                let large = buf.capacity() > limits::BUF_CLASSES[1];
                let (written, returned) = sink.write(buf, ending, self.sink_until()).await;
                buf = returned;
                if large && self.net.now() >= now.after_ms(SLOW_WRITE_MS) {
                    full_reads = 0;
                    buf = self.small(buf);
                }
                if let Err(fault) = written {
                    return (Err(self.sink_fault(fault)), buf);
                }
            }
            if portion.done {
                return (Ok(()), buf);
            }
            if portion.full && self.throttle.is_none() {
                full_reads = if buf.capacity() < limits::BUF_CLASSES[2] { 0 } else { full_reads + 1 };
                if full_reads == 0 || full_reads >= FULL_READS {
                    buf = self.grown(buf);
                }
            } else if K::HOLDS_BACK
                && let Err(fault) = sink.flush(self.sink_until()).await
            {
                return (Err(self.sink_fault(fault)), buf);
            }
        }
    }

    /// The source was waited for since `from`, where the wait was its own doing, and has sent something.
    fn spend(&self, from: Option<Tick>, now: Tick, content: u64) {
        if let (Some(least), Some(from)) = (self.least, from) {
            least.spend(from, now, content);
        }
        if let Some(continuation) = self.continuation {
            continuation.over.set(true);
        }
    }

    /// Counts a portion's content against the cap.
    pub(crate) fn count(&self, portion: Portion) -> Result<(), Fault> {
        let content = self.content.get() + portion.content;
        self.content.set(content);
        if content > self.content_max {
            return Err(Fault::last(FaultKind::BodyTooLarge));
        }
        Ok(())
    }

    /// The pace ends a write to a peer that takes nothing. A last write gets a little time, because one that begins at
    /// its own deadline would break the connection.
    fn sink_until(&self) -> Tick {
        self.deadline.after_ms(GRACE_MS)
    }

    /// Does the source wait for a `100 Continue`?
    fn asks(&self) -> bool {
        self.continuation.is_some_and(|continuation| !continuation.over.get())
    }

    fn source_until(&self, from: Tick) -> Tick {
        let idle = match (self.continuation, self.least) {
            (Some(continuation), _) if !continuation.over.get() => continuation.wait,
            (_, None) => self.source_idle,
            (_, Some(least)) => self.source_idle.min(least.left()),
        };
        from.after(idle).min(self.deadline)
    }

    #[cold]
    fn source_fault(&self, fault: Fault) -> Fault {
        let waited = matches!(fault.kind, FaultKind::IdleTimeout | FaultKind::RequestTimeout);
        match self.least {
            _ if !waited => fault,
            _ if self.net.now() >= self.deadline => Fault::last(self.late),
            _ if self.asks() => Fault::last(FaultKind::FirstByteTimeout),
            Some(least) if least.left() < self.source_idle => Fault::last(FaultKind::ClientTooSlow),
            Some(_) | None => fault,
        }
    }

    /// A timeout at the exchange's deadline is no fault of the peer.
    #[cold]
    fn sink_fault(&self, fault: Fault) -> Fault {
        let waited = matches!(fault.kind, FaultKind::IdleTimeout | FaultKind::ClientTooSlow | FaultKind::ClientClosed);
        if waited && self.net.now() >= self.deadline { Fault::last(FaultKind::TotalTimeout) } else { fault }
    }

    /// A buffer for a sink that takes its time: what waits for it waits with the sender.
    #[cold]
    fn small(&self, buf: Buf) -> Buf {
        self.fitted(buf, limits::BUF_CLASSES[1])
    }

    #[cold]
    fn fitted(&self, buf: Buf, bytes: usize) -> Buf {
        self.pool.put(buf);
        self.pool.take(bytes)
    }

    /// The next larger buffer, while there is one.
    fn grown(&self, buf: Buf) -> Buf {
        let larger = limits::BUF_CLASSES.iter().find(|size| **size > buf.capacity());
        let Some(size) = larger else { return buf };
        let fresh = self.pool.take(*size);
        self.pool.put(buf);
        fresh
    }
}

/// Puts a plain portion into the chunked coding, in place where there is room.
pub(crate) fn encode(buf: &mut Buf, ending: Ending<'_>, pool: &BufPool) {
    let trailers = match ending {
        Ending::More => 0,
        Ending::Last(trailers) => trailers.len(),
    };
    let tailroom = CHUNK_TAILROOM + trailers;
    let mut digits = [0; CHUNK_HEADROOM];
    let header = chunk_header(buf.len(), &mut digits);
    let framed = !buf.is_empty();
    if buf.headroom() < header.len() || buf.spare() < tailroom {
        // Leaves room for what else goes in front of the chunk.
        let headroom = buf.headroom().max(CHUNK_HEADROOM);
        let needed = headroom + buf.len() + tailroom;
        let mut roomy = pool.take(needed);
        if roomy.capacity() < needed {
            // Above the largest class there is no pooled buffer; this one is freed after use.
            roomy = Buf::with_capacity(needed);
        }
        roomy.reset(headroom);
        let copied = roomy.append(buf.filled());
        debug_assert!(copied);
        pool.put(std::mem::replace(buf, roomy));
    }
    let mut fits = true;
    if framed {
        fits = buf.prepend(header) && buf.append(b"\r\n");
    }
    if let Ending::Last(trailers) = ending {
        fits = fits && buf.append(b"0\r\n") && buf.append(trailers) && buf.append(b"\r\n");
    }
    debug_assert!(fits, "room for a chunk's frame was made above");
}

fn chunk_header(len: usize, out: &mut [u8; CHUNK_HEADROOM]) -> &[u8] {
    let mut at = out.len() - 2;
    out[at..].copy_from_slice(b"\r\n");
    let mut rest = len;
    loop {
        at -= 1;
        out[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            return &out[at..];
        }
    }
}

/// The bytes of a full buffer in one of the next class, behind `headroom`; the buffer itself where there is none.
#[cold]
pub(crate) fn enlarged(pool: &BufPool, full: Buf, headroom: usize) -> Result<Buf, Buf> {
    let mut larger = pool.take(full.capacity() + 1);
    larger.reset(headroom);
    if larger.spare() <= full.len() || !larger.append(full.filled()) {
        pool.put(larger);
        return Err(full);
    }
    pool.put(full);
    Ok(larger)
}

/// An empty buffer for the next read: larger than `used` where that was filled, small again where it was not. A silent
/// tunnel then costs two of the smallest.
// tidy(bool): it is what was just seen of the buffer.
pub(crate) fn fitting(pool: &BufPool, used: Buf, full: bool) -> Buf {
    let size = match used.capacity() {
        capacity if full => limits::BUF_CLASSES[..3].iter().copied().find(|size| *size > capacity).unwrap_or(capacity),
        capacity if capacity > limits::BUF_CLASSES[0] => limits::BUF_CLASSES[0],
        capacity => capacity,
    };
    if size == used.capacity() {
        return used;
    }
    pool.put(used);
    pool.take(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_in_place_and_with_a_fresh_buffer() {
        let pool = BufPool::new();
        let mut roomy = pool.take(4096);
        roomy.reset(CHUNK_HEADROOM);
        assert!(roomy.append(b"hello, world, chunk"));
        encode(&mut roomy, Ending::More, &pool);
        assert_eq!(roomy.filled(), b"13\r\nhello, world, chunk\r\n");
        let mut tight = Buf::copied(b"tail");
        encode(&mut tight, Ending::Last(b"Sum: 1\r\n"), &pool);
        assert_eq!(tight.filled(), b"4\r\ntail\r\n0\r\nSum: 1\r\n\r\n");
        let mut full = pool.take(4096);
        full.reset(500);
        assert!(full.append(&vec![b'x'; full.spare()]));
        encode(&mut full, Ending::BARE, &pool);
        assert!(full.prepend(&[b'h'; 480]), "the head's room is still there");
        let mut nothing = Buf::empty();
        encode(&mut nothing, Ending::BARE, &pool);
        assert_eq!(nothing.filled(), b"0\r\n\r\n");
    }
}
