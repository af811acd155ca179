// SPDX-License-Identifier: Apache-2.0
//! A stream that delivers in small pieces and has little room for what does not wait.

use super::*;

pub(super) struct Chopped<S> {
    pub(super) inner: S,
    /// Most bytes of one read.
    pub(super) step: usize,
    /// Most bytes that `write_now` takes.
    pub(super) room: usize,
}

impl<S: Stream> Chopped<S> {
    async fn read_some(&self, mut buf: Buf, until: Tick, wait: Wait) -> (io::Result<usize>, Buf) {
        let piece = Buf::with_capacity(self.step.min(buf.spare()));
        let (result, piece) = match wait {
            Wait::Idle => self.inner.read_idle(piece, until).await,
            Wait::Read => self.inner.read(piece, until).await,
        };
        assert!(buf.append(piece.filled()));
        (result, buf)
    }
}

impl<S: Stream> Stream for Chopped<S> {
    async fn read(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.read_some(buf, until, Wait::Read).await
    }

    async fn read_idle(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.read_some(buf, until, Wait::Idle).await
    }

    async fn readable(&self, until: Tick) -> io::Result<()> {
        self.inner.readable(until).await
    }

    async fn write(&self, buf: Buf, until: Tick) -> (io::Result<()>, Buf) {
        self.inner.write(buf, until).await
    }

    fn write_now(&self, bytes: &[u8]) -> usize {
        self.inner.write_now(&bytes[..bytes.len().min(self.room)])
    }

    fn interrupt(&self) {
        self.inner.interrupt();
    }

    fn stop_reading(&self) {
        self.inner.stop_reading();
    }

    fn read_again(&self) {
        self.inner.read_again();
    }

    fn finish(&self) {
        self.inner.finish();
    }

    fn abort(&self) {
        self.inner.abort();
    }

    fn limit_unsent(&self, bytes: u32) {
        self.inner.limit_unsent(bytes);
    }

    fn unsent(&self) -> usize {
        self.inner.unsent()
    }

    fn set_pace(&self, pace: Pace) {
        self.inner.set_pace(pace);
    }

    fn undelivered(&self) -> usize {
        self.inner.undelivered()
    }

    fn peek(&self) -> Peek {
        self.inner.peek()
    }

    fn drained(&self) -> bool {
        self.inner.drained()
    }

    fn peer(&self) -> &Address {
        self.inner.peer()
    }

    fn local(&self) -> &Address {
        self.inner.local()
    }
}
