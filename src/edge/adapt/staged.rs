// SPDX-License-Identifier: Apache-2.0
//! Hot. A client behind stages: an adaptor that passes a response's head and content through them, sends what comes
//! out, and frames it as the client wants it.
//!
//! The head waits for the first bytes behind it, and leaves with them in one write. What stages hold back is flushed
//! when the source has nothing more ready, so that an event leaves when it came. Stages are finished where the content
//! ended as a whole and nowhere else: what breaks off here breaks off at the client.

use std::borrow::Cow;

use crate::base::limits::{HEADROOM, STAGE_OUT_BYTES};
use crate::base::{Buf, BufPool, Fault, Pace, Tick};
use crate::edge::adapt::chain::{Chain, Made, Round, Then};
use crate::edge::adapt::transform::BROKEN;
use crate::edge::flow::hold::Hold;
use crate::edge::flow::relay::{CHUNK_HEADROOM, encode};
use crate::edge::flow::stream::{BodySink, Client, Ending, Form, Outgoing};
use crate::wire::head::BodyLength;

/// A client, behind stages.
pub(crate) struct Staged<'a, K, H = ()> {
    inner: &'a mut K,
    pool: &'a BufPool,
    chain: Chain<'a>,
    /// How `inner` wants the content.
    form: Form,
    head: Head,
    bodied: bool,
    /// Has a say before the end leaves.
    hold: H,
    /// Bytes of content that the head announces and that have not left; `None` where the end is marked otherwise. With
    /// zero, the client may take what leaves next for the end.
    left: Option<u64>,
    /// Bytes of content that have left.
    passed: u64,
    /// Bytes of content that were sent; `None` where the content is as it came.
    pub sent: Option<u64>,
}

/// Where the head that was composed last is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// It is none of a final response, or stands before another protocol.
    Bare,
    /// A stage keeps it.
    Held,
    /// It is composed and waits for the first bytes of content.
    Waits,
    /// It was sent.
    Sent,
}

impl<'a, K: Client, H: Hold> Staged<'a, K, H> {
    /// To `inner`, with buffers from `pool`, and without a stage yet. `hold` has a say before the end leaves.
    pub(crate) fn new(inner: &'a mut K, pool: &'a BufPool, hold: H) -> Staged<'a, K, H> {
        let (chain, form, head) = (Chain::default(), Form::Plain, Head::Bare);
        Staged { inner, pool, chain, form, head, bodied: false, hold, left: None, passed: 0, sent: None }
    }

    /// Who has a say before the end leaves.
    pub(crate) fn hold(&self) -> &H {
        &self.hold
    }

    /// The stages.
    pub(crate) fn chain(&mut self) -> &mut Chain<'a> {
        &mut self.chain
    }

    /// Ends a response with what the stage in front has made of a failure.
    pub(crate) async fn end_with_failure(&mut self, until: Tick) -> Result<(), Fault> {
        self.run(Round::behind_first(), until).await
    }

    /// Composes the head that came through all stages.
    fn compose_inner(&mut self, outgoing: Outgoing<'_>) {
        self.bodied = outgoing.length != BodyLength::None;
        let (length, form) = self.inner.framing(outgoing.length);
        self.hold.begins(outgoing.response.head.status);
        (self.left, self.passed) = (announced(length), 0);
        self.inner.compose(Outgoing { length, ..outgoing });
        (self.form, self.head) = (form, Head::Waits);
        self.sent = (self.bodied && self.chain.recodes()).then_some(0);
    }

    /// Takes content, and sends what must not wait any longer.
    async fn pass(&mut self, mut buf: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        if self.chain.recodes() {
            let round = match ending {
                Ending::More => Round::more(buf.filled(), Then::Wait),
                Ending::Last(trailers) => Round::last(buf.filled(), trailers),
            };
            return (self.run(round, until).await, buf);
        }
        let mut trailers = match ending {
            Ending::More => None,
            Ending::Last(trailers) => Some(Cow::Borrowed(trailers)),
        };
        if let Err(fault) = self.chain.inspect(buf.filled(), trailers.as_mut()) {
            return (Err(fault), buf);
        }
        let ending = trailers.as_deref().map_or(Ending::More, Ending::Last);
        self.count(buf.len());
        if self.form == Form::Chunked && self.bodied && (ending != Ending::More || !buf.is_empty()) {
            encode(&mut buf, ending, self.pool);
        }
        self.forward(buf, ending, until).await
    }

    /// Passes a round through the stages.
    async fn run(&mut self, mut round: Round<'_>, until: Tick) -> Result<(), Fault> {
        let trailers = round.is_last().then_some(&mut round.trailers);
        self.chain.inspect(round.content, trailers)?;
        loop {
            match self.chain.run(&mut round)? {
                Made::Head(mut held) => self.compose_held(held.outgoing()),
                Made::Full => self.send(Ending::More, until).await?,
                Made::All if round.is_last() => return self.send(Ending::Last(&round.trailers), until).await,
                Made::All => return Ok(()),
            }
        }
    }

    /// Sends what the stages made.
    async fn send(&mut self, ending: Ending<'_>, until: Tick) -> Result<(), Fault> {
        let Some(out) = self.chain.out() else { return Err(BROKEN) };
        let room = HEADROOM + out.len().max(STAGE_OUT_BYTES);
        let mut buf = self.pool.take(room);
        if buf.capacity() < room {
            // Above the largest class there is no pooled buffer; this one is freed after use.
            buf = Buf::with_capacity(room + CHUNK_HEADROOM);
        }
        buf.reset(HEADROOM);
        if self.bodied {
            let copied = buf.append(out);
            debug_assert!(copied, "room was made above");
        }
        out.clear();
        self.sent = self.sent.map(|sent| sent + buf.len() as u64);
        self.count(buf.len());
        if self.form == Form::Chunked && self.bodied {
            encode(&mut buf, ending, self.pool);
        }
        let (sent, buf) = self.forward(buf, ending, until).await;
        self.pool.put(buf);
        sent
    }

    /// To the client, with the head in front where that waits.
    async fn forward(&mut self, buf: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        if self.hold.holds()
            && (ending != Ending::More || self.left == Some(0))
            && self.head != Head::Held
            // tidy(hot): only where a response is billed; no other should be larger for it.
            && let Err(fault) = Box::pin(self.hold.release(self.passed)).await
        {
            return (Err(fault), buf);
        }
        match self.head {
            Head::Held => (Err(BROKEN), buf),
            Head::Waits => {
                self.head = Head::Sent;
                self.inner.commit(buf, ending, until).await
            }
            Head::Bare | Head::Sent => self.inner.write(buf, ending, until).await,
        }
    }

    /// A head after which another protocol is spoken.
    async fn forward_switch(&mut self, first: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        if self.hold.holds()
            // tidy(hot): as in `forward`.
            && let Err(fault) = Box::pin(self.hold.release(0)).await
        {
            return (Err(fault), first);
        }
        self.inner.commit(first, ending, until).await
    }

    /// Counts content that leaves.
    fn count(&mut self, bytes: usize) {
        self.passed += bytes as u64;
        self.left = self.left.map(|left| left.saturating_sub(bytes as u64));
    }

    /// Passes on the head that a stage kept.
    fn compose_held(&mut self, mut outgoing: Outgoing<'_>) {
        if self.chain.head_released(&mut outgoing) {
            self.compose_inner(outgoing);
        }
    }
}

/// Bytes of content that a client waits for before it takes a response for complete; `None` where the end is marked
/// otherwise. What ends with the connection looks complete wherever that breaks off.
fn announced(length: BodyLength) -> Option<u64> {
    match length {
        BodyLength::None | BodyLength::UntilClose => Some(0),
        BodyLength::Exact(bytes) => Some(bytes),
        BodyLength::Chunked => None,
    }
}

impl<K: Client, H: Hold> BodySink for Staged<'_, K, H> {
    const HOLDS_BACK: bool = true;

    async fn write(&mut self, buf: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        match self.head {
            Head::Bare => self.inner.write(buf, ending, until).await,
            Head::Held | Head::Waits | Head::Sent => self.pass(buf, ending, until).await,
        }
    }

    async fn flush(&mut self, until: Tick) -> Result<(), Fault> {
        if !self.chain.recodes() {
            return Ok(());
        }
        self.run(Round::more(b"", Then::Flush), until).await?;
        let makes = self.chain.out().is_some_and(|out| !out.is_empty());
        if makes || self.head == Head::Waits { self.send(Ending::More, until).await } else { Ok(()) }
    }

    fn set_pace(&mut self, pace: Pace) {
        self.inner.set_pace(pace);
    }

    fn finish(&self) {
        self.inner.finish();
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<K: Client, H: Hold> Client for Staged<'_, K, H> {
    fn bills(&self) -> bool {
        self.hold.holds()
    }

    fn note(&mut self, received: u64, upstream_us: u64) {
        self.hold.note(received, upstream_us);
    }

    fn framing(&self, length: BodyLength) -> (BodyLength, Form) {
        (self.inner.framing(length).0, Form::Plain)
    }

    fn takes_interim(&self) -> bool {
        self.inner.takes_interim()
    }

    fn begun(&self) -> bool {
        self.inner.begun()
    }

    fn close_after(&mut self) {
        self.inner.close_after();
    }

    fn compose(&mut self, mut outgoing: Outgoing<'_>) {
        self.sent = None;
        if outgoing.response.head.status < 200 || outgoing.upgrades {
            self.head = Head::Bare;
            self.left = outgoing.upgrades.then_some(0);
            self.hold.begins(outgoing.response.head.status);
            return self.inner.compose(outgoing);
        }
        if self.chain.head(&mut outgoing) {
            self.compose_inner(outgoing);
        } else {
            self.head = Head::Held;
        }
    }

    async fn commit(&mut self, first: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        match self.head {
            // What follows is no HTTP, so there is no end of content to wait before.
            Head::Bare if self.left == Some(0) => self.forward_switch(first, ending, until).await,
            Head::Bare => self.inner.commit(first, ending, until).await,
            Head::Held | Head::Waits | Head::Sent => self.pass(first, ending, until).await,
        }
    }
}

#[cfg(test)]
mod tests;
