// SPDX-License-Identifier: Apache-2.0
//! Hot. A client behind a stage: an adaptor that passes content through a content coding, and does what HTTP asks of
//! whoever changes content.
//!
//! A stage is pure: it takes bytes and appends bytes. Whatever it holds back is flushed when the source has nothing
//! more ready, so that an event leaves when it came. The stage is finished where the content ended as a whole and
//! nowhere else: what breaks off here breaks off at the client.

use crate::base::limits::{HEADROOM, STAGE_OUT_BYTES};
use crate::base::{Buf, BufPool, Fault, FaultKind, Tick};
use crate::edge::adapt::encoders::{Encoders, Lent};
use crate::edge::flow::relay::encode;
use crate::edge::flow::stream::{BodySink, Client, Ending, Form, Outgoing};
use crate::wire::coding::response::code;
use crate::wire::coding::{EncodeError, Encoding};
use crate::wire::head::BodyLength;

/// A client, behind a stage where the response gets one.
pub(crate) struct Staged<'a, K> {
    inner: &'a mut K,
    pool: &'a BufPool,
    encoders: &'a Encoders,
    /// What codes the content of the response whose head was composed last.
    lent: Option<Lent<'a>>,
    /// How `inner` wants that content.
    form: Form,
    head: Head,
    bodied: bool,
    /// Bytes of coded content that were sent; `None` where the content is as it came.
    pub sent: Option<u64>,
    /// A response is uncoded because too many encoders were lent.
    pub is_refused: bool,
}

/// Where the head that was composed last is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// It is none of a final response, or stands before another protocol.
    Bare,
    /// It waits for the first bytes of content.
    Waits,
    /// It was sent.
    Sent,
}

/// A stage's state is broken.
const BROKEN: Fault = Fault::last(FaultKind::Internal);

/// What ends a response whose stage is broken.
fn broken(_: EncodeError) -> Fault {
    BROKEN
}

impl<'a, K: Client> Staged<'a, K> {
    /// To `inner`. Buffers come from `pool` and encoders from `encoders`.
    pub(crate) fn new(inner: &'a mut K, pool: &'a BufPool, encoders: &'a Encoders) -> Staged<'a, K> {
        Staged {
            inner,
            pool,
            encoders,
            lent: None,
            form: Form::Plain,
            head: Head::Bare,
            bodied: false,
            sent: None,
            is_refused: false,
        }
    }

    /// Composes a head for content that gets a coding. False where there is no encoder for it.
    fn compose_coded(&mut self, encoding: Encoding, outgoing: &Outgoing<'_>) -> bool {
        let Some(mut lent) = self.encoders.lend(encoding) else { return false };
        let patch = &mut lent.coder().patch;
        patch.copy_from(outgoing.patch);
        code(encoding.coding, outgoing.response, patch);
        let mut length = BodyLength::None;
        if self.bodied {
            (length, self.form) = self.inner.framing(BodyLength::Chunked);
        }
        self.inner.compose(Outgoing { patch, length, ..*outgoing });
        if self.bodied {
            self.sent = Some(0);
            self.lent = Some(lent);
        }
        true
    }

    /// Takes content, and sends what must not wait any longer.
    async fn pass(&mut self, content: &[u8], ending: Ending<'_>, until: Tick) -> Result<(), Fault> {
        let mut rest = content;
        while !rest.is_empty() {
            let Some(lent) = &mut self.lent else { return Err(BROKEN) };
            let coder = lent.coder();
            let step = coder.encoder.push(rest, &mut coder.out).map_err(broken)?;
            coder.holds_content = true;
            rest = &rest[step.taken..];
            if step.more {
                self.send(Ending::More, until).await?;
            }
        }
        let Ending::Last(_) = ending else { return Ok(()) };
        loop {
            let Some(lent) = &mut self.lent else { return Err(BROKEN) };
            let coder = lent.coder();
            let step = coder.encoder.finish(&mut coder.out).map_err(broken)?;
            if !step.more {
                return self.send(ending, until).await;
            }
            self.send(Ending::More, until).await?;
        }
    }

    /// Sends what the stage made, with the head in front where that waits.
    async fn send(&mut self, ending: Ending<'_>, until: Tick) -> Result<(), Fault> {
        let Some(lent) = &mut self.lent else { return Err(BROKEN) };
        let coder = lent.coder();
        let mut buf = self.pool.take(HEADROOM + STAGE_OUT_BYTES);
        buf.reset(HEADROOM);
        let copied = buf.append(&coder.out);
        debug_assert!(copied, "a stage makes no more at once");
        coder.out.clear();
        self.sent = self.sent.map(|sent| sent + buf.len() as u64);
        if self.form == Form::Chunked {
            encode(&mut buf, ending, self.pool);
        }
        let (sent, buf) = match std::mem::replace(&mut self.head, Head::Sent) {
            Head::Waits => self.inner.commit(buf, ending, until).await,
            Head::Sent | Head::Bare => self.inner.write(buf, ending, until).await,
        };
        self.pool.put(buf);
        sent
    }
}

impl<K: Client> BodySink for Staged<'_, K> {
    const HOLDS_BACK: bool = true;

    async fn write(&mut self, mut buf: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        if self.lent.is_some() {
            return (self.pass(buf.filled(), ending, until).await, buf);
        }
        if self.form == Form::Chunked && self.bodied {
            encode(&mut buf, ending, self.pool);
        }
        self.inner.write(buf, ending, until).await
    }

    async fn flush(&mut self, until: Tick) -> Result<(), Fault> {
        loop {
            let Some(lent) = &mut self.lent else { return Ok(()) };
            let coder = lent.coder();
            if coder.holds_content {
                coder.holds_content = coder.encoder.flush(&mut coder.out).map_err(broken)?.more;
            }
            let more = coder.holds_content;
            if !coder.out.is_empty() || self.head == Head::Waits {
                self.send(Ending::More, until).await?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn finish(&self) {
        self.inner.finish();
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<K: Client> Client for Staged<'_, K> {
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

    fn compose(&mut self, outgoing: Outgoing<'_>) {
        (self.lent, self.sent) = (None, None);
        if outgoing.response.head.status < 200 || outgoing.upgrades {
            self.head = Head::Bare;
            self.bodied = false;
            return self.inner.compose(outgoing);
        }
        self.head = Head::Waits;
        self.bodied = outgoing.length != BodyLength::None;
        self.form = self.inner.framing(outgoing.length).1;
        if let Some(encoding) = outgoing.encoding {
            if self.compose_coded(encoding, &outgoing) {
                return;
            }
            self.is_refused = true;
        }
        self.inner.compose(outgoing);
    }

    async fn commit(&mut self, mut first: Buf, ending: Ending<'_>, until: Tick) -> (Result<(), Fault>, Buf) {
        if self.lent.is_some() {
            return (self.pass(first.filled(), ending, until).await, first);
        }
        self.head = Head::Sent;
        if self.form == Form::Chunked && self.bodied && (ending != Ending::More || !first.is_empty()) {
            encode(&mut first, ending, self.pool);
        }
        self.inner.commit(first, ending, until).await
    }
}

#[cfg(test)]
mod tests;
