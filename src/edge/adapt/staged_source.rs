// SPDX-License-Identifier: Apache-2.0
//! Hot. A request's body behind a stage: each portion that comes passes through it at once, so that nothing waits here
//! between two reads.

use std::borrow::Cow;
use std::io;

use crate::base::{Buf, Fault, Tick};
use crate::edge::adapt::stage::Stage;
use crate::edge::adapt::transform::{BROKEN, Transform};
use crate::edge::flow::stream::{BodySource, Portion};
use crate::wire::head::BodyLength;

/// What comes of a request's body.
pub(crate) enum Received {
    /// It passes through a stage that leaves it as it is.
    Inspected(Stage<'static>),
    /// A stage makes other content of it. It takes each portion whole.
    Recoded(Stage<'static>),
    /// Nothing more is read, because all of the body is kept for the first attempt already.
    Kept {
        /// Its length.
        bytes: u64,
    },
}

/// A request's body behind a stage.
pub(crate) struct StagedSource<'a, S> {
    inner: &'a mut S,
    received: Received,
    length: BodyLength,
}

impl<'a, S: BodySource> StagedSource<'a, S> {
    /// The rest of `inner`.
    pub(crate) fn new(inner: &'a mut S, received: Received) -> StagedSource<'a, S> {
        let length = match received {
            Received::Inspected(_) => inner.length(),
            Received::Recoded(_) => BodyLength::Chunked,
            Received::Kept { bytes } => BodyLength::Exact(bytes),
        };
        StagedSource { inner, received, length }
    }

    /// The stage.
    pub(crate) fn into_stage(self) -> Option<Stage<'static>> {
        match self.received {
            Received::Inspected(stage) | Received::Recoded(stage) => Some(stage),
            Received::Kept { .. } => None,
        }
    }

    /// Passes the bytes behind `from` through the stage.
    fn recode(&mut self, buf: &mut Buf, from: usize, portion: Portion) -> Result<Portion, Fault> {
        let (stage, recodes) = match &mut self.received {
            Received::Inspected(stage) => (stage, false),
            Received::Recoded(stage) => (stage, true),
            Received::Kept { .. } => {
                buf.truncate(from);
                return Ok(Portion { content: 0, ..portion });
            }
        };
        let fresh = &buf.filled()[from..];
        let taken = stage.push(fresh)?.taken;
        if taken < fresh.len() || (portion.done && stage.finish(&mut Cow::Borrowed(b""))?.more) {
            return Err(BROKEN);
        }
        if !recodes {
            return Ok(portion);
        }
        let out = stage.out();
        buf.truncate(from);
        if !buf.append(out) {
            // Above the largest class there is no pooled buffer; this one is freed after use.
            let mut roomy = Buf::with_capacity(buf.headroom() + from + out.len());
            roomy.reset(buf.headroom());
            let copied = roomy.append(buf.filled()) && roomy.append(out);
            debug_assert!(copied, "room was made above");
            *buf = roomy;
        }
        let content = out.len() as u64;
        out.clear();
        Ok(Portion { content, ..portion })
    }
}

impl<S: BodySource> BodySource for StagedSource<'_, S> {
    type Stopper = S::Stopper;

    fn length(&self) -> BodyLength {
        self.length
    }

    fn end_reads_on_nudge(&mut self) {
        self.inner.end_reads_on_nudge();
    }

    fn done(&self) -> bool {
        matches!(self.received, Received::Kept { .. }) || self.inner.done()
    }

    fn accept(&mut self, buf: &mut Buf, from: usize) -> Result<Portion, Fault> {
        let portion = self.inner.accept(buf, from)?;
        self.recode(buf, from, portion)
    }

    async fn read(&mut self, buf: Buf, until: Tick) -> (Result<Portion, Fault>, Buf) {
        let from = buf.len();
        let (read, mut buf) = self.inner.read(buf, until).await;
        match read {
            Ok(portion) => (self.recode(&mut buf, from, portion), buf),
            Err(fault) => (Err(fault), buf),
        }
    }

    async fn readable(&mut self, until: Tick) -> Result<(), Fault> {
        self.inner.readable(until).await
    }

    async fn read_open(&mut self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.inner.read_open(buf, until).await
    }

    fn trailers(&self) -> &[u8] {
        match self.received {
            // A body that is only scanned stays as it is, with all that belongs to it.
            Received::Inspected(Stage::Scan(_)) => self.inner.trailers(),
            Received::Inspected(_) | Received::Recoded(_) | Received::Kept { .. } => b"",
        }
    }

    fn change_trailers(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.inner.change_trailers(change);
    }

    fn stopper(&self) -> S::Stopper {
        self.inner.stopper()
    }
}
