// SPDX-License-Identifier: Apache-2.0
//! `net::Stream` for a simulated end. Reads and writes are futures here: they wait, time out, and notice when they are
//! dropped half-way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::base::{Address, Buf, Pace, Tick, Verdict};
use crate::net::sim::pipe::{Put, Take};
use crate::net::sim::stream::{ReadKind, SimStream};
use crate::net::sim::world::Timer;
use crate::net::{Peek, Stream};

impl Stream for SimStream {
    fn read(&self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<usize>, Buf)> {
        Reading::new(self, ReadKind::Bytes, Some(buf), until)
    }

    fn read_idle(&self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<usize>, Buf)> {
        Reading::new(self, ReadKind::IdleBytes, Some(buf), until)
    }

    async fn readable(&self, until: Tick) -> io::Result<()> {
        Reading::new(self, ReadKind::Ready, None, until).await.0.map(|_| ())
    }

    fn write(&self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<()>, Buf)> {
        Writing::new(self, buf, until)
    }

    fn write_now(&self, bytes: &[u8]) -> usize {
        if self.writing.get() || self.aborted.get() || self.write_over.get() || bytes.is_empty() {
            return 0;
        }
        let put = self.outgoing.pipe.borrow_mut().put(self.world.now.get(), bytes);
        let (Put::Took(count) | Put::Unwanted(count) | Put::Cut(count)) = put else { return 0 };
        self.event("wrote now", count);
        self.after_put(put);
        count
    }

    fn interrupt(&self) {
        self.interrupted.set(true);
        self.incoming.wake_both();
    }

    fn stop_reading(&self) {
        self.event("stopped reading", 0);
        self.stopped.set(true);
        self.incoming.wake_both();
    }

    fn read_again(&self) {
        self.stopped.set(false);
    }

    fn finish(&self) {
        if !self.write_over.replace(true) {
            self.event("ended its side", 0);
        }
        self.outgoing.pipe.borrow_mut().finish(self.world.now.get());
        self.outgoing.wake_both();
    }

    fn abort(&self) {
        if self.aborted.replace(true) {
            return;
        }
        self.event("aborted", 0);
        self.break_peer(self.world.now.get());
        self.incoming.pipe.borrow_mut().lose_reader();
    }

    fn limit_unsent(&self, _: u32) {
        // Pipes are small.
    }

    fn unsent(&self) -> usize {
        // Everything is on its way at once.
        0
    }

    fn set_pace(&self, pace: Pace) {
        self.pace.set(pace);
    }

    fn undelivered(&self) -> usize {
        self.outgoing.pipe.borrow().inside()
    }

    fn peek(&self) -> Peek {
        if self.read_ended().is_some() || self.lost.get() {
            return Peek::Closed;
        }
        match self.incoming.pipe.borrow_mut().look(self.world.now.get()) {
            Take::Took(_) => Peek::Readable,
            Take::Nothing(_) => Peek::Quiet,
            Take::End | Take::Broken => Peek::Closed,
        }
    }

    fn drained(&self) -> bool {
        self.drained.get()
    }

    fn peer(&self) -> &Address {
        &self.peer
    }

    fn local(&self) -> &Address {
        &self.local
    }
}

/// A `read`, `read_idle` or `readable` on its way.
pub(crate) struct Reading<'a> {
    stream: &'a SimStream,
    want: ReadKind,
    /// None where only readiness is wanted.
    buf: Option<Buf>,
    until: Tick,
    timer: Timer,
    started: bool,
}

impl<'a> Reading<'a> {
    /// A read that has not started.
    pub(crate) fn new(stream: &'a SimStream, want: ReadKind, buf: Option<Buf>, until: Tick) -> Reading<'a> {
        Reading { stream, want, buf, until, timer: Timer::new(stream.world.clone()), started: false }
    }

    fn step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = self.stream;
        stream.operation();
        if !self.started {
            if let Err(misuse) = stream.start_read() {
                return Poll::Ready(Err(misuse));
            }
            self.started = true;
            self.until = stream.world.late(self.until);
            stream.reading.set(true);
        }
        let next = match stream.try_read(self.want, self.buf.as_mut()) {
            Ok(result) => {
                stream.drained.set(self.buf.as_ref().is_none_or(|buf| buf.spare() > 0));
                return Poll::Ready(self.end(result));
            }
            Err(next) => next,
        };
        if stream.world.now.get() >= self.until {
            stream.event("timed out reading", 0);
            stream.read_over.set(self.want == ReadKind::Bytes);
            return Poll::Ready(self.end(Err(io::ErrorKind::TimedOut.into())));
        }
        *stream.incoming.reader.borrow_mut() = Some(context.waker().clone());
        self.timer.set(next.unwrap_or(Tick::NEVER).min(self.until), context);
        Poll::Pending
    }

    fn end(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        self.stream.reading.set(false);
        // Nobody waits any more.
        self.stream.incoming.reader.take();
        self.started = false;
        result
    }
}

impl Future for Reading<'_> {
    type Output = (io::Result<usize>, Buf);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.step(context);
        polled.map(|result| (result, self.buf.take().unwrap_or_default()))
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if self.started {
            self.stream.reading.set(false);
            if self.want != ReadKind::Ready {
                self.stream.event("a pending read was dropped", 0);
                self.stream.lost.set(true);
            }
        }
    }
}

/// A `write` on its way.
pub(crate) struct Writing<'a> {
    stream: &'a SimStream,
    buf: Buf,
    until: Tick,
    /// When the next look at the peer's pace is due.
    look_at: Tick,
    timer: Timer,
    started: bool,
}

impl<'a> Writing<'a> {
    /// A write that has not started.
    pub(crate) fn new(stream: &'a SimStream, buf: Buf, until: Tick) -> Writing<'a> {
        Writing { stream, buf, until, look_at: Tick::NEVER, timer: Timer::new(stream.world.clone()), started: false }
    }

    fn step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.stream;
        stream.operation();
        if !self.started {
            if let Err(misuse) = stream.start_write() {
                return Poll::Ready(Err(misuse));
            }
            self.started = true;
            self.until = stream.world.late(self.until);
            stream.writing.set(true);
            stream.judge.begin();
            self.look_at = stream.world.now.get();
        }
        let next = match stream.try_write(&mut self.buf) {
            Ok(result) => return Poll::Ready(self.end(result)),
            Err(next) => next,
        };
        let now = stream.world.now.get();
        let mut late = now >= self.until;
        if now >= self.look_at && stream.pace.get().is_any() {
            late |= stream.look() == Verdict::TooSlow;
            self.look_at = stream.world.late(now.after(stream.pace.get().interval()));
        }
        if late {
            stream.event("timed out writing", 0);
            // On a real socket the way to end a write is to end the side: the peer sees an end behind what was sent.
            stream.finish();
            return Poll::Ready(self.end(Err(io::ErrorKind::TimedOut.into())));
        }
        *stream.outgoing.writer.borrow_mut() = Some(context.waker().clone());
        let look_at = if stream.pace.get().is_any() { self.look_at } else { Tick::NEVER };
        self.timer.set(next.unwrap_or(Tick::NEVER).min(self.until).min(look_at), context);
        Poll::Pending
    }

    fn end(&mut self, result: io::Result<()>) -> io::Result<()> {
        self.stream.writing.set(false);
        self.started = false;
        result
    }
}

impl Future for Writing<'_> {
    type Output = (io::Result<()>, Buf);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.step(context);
        polled.map(|result| (result, std::mem::take(&mut self.buf)))
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.started {
            self.stream.writing.set(false);
            self.stream.event("a pending write was dropped", 0);
            self.stream.lost.set(true);
        }
    }
}
