//! Reads and writes on their way: they wait, time out, and notice when they are dropped half-way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::base::{Buf, Tick};
use crate::net::Stream;
use crate::net::sim::stream::SimStream;
use crate::net::sim::world::Timer;

/// Which of the three kinds of reading.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// `read`
    Bytes,
    /// `read_idle`
    IdleBytes,
    /// `readable`
    Ready,
}

impl Want {
    /// Does `interrupt` end it?
    pub fn interruptible(self) -> bool {
        match self {
            Want::Bytes => false,
            Want::IdleBytes | Want::Ready => true,
        }
    }
}

/// A `read`, `read_idle` or `readable` on its way.
pub struct Reading<'a> {
    stream: &'a SimStream,
    want: Want,
    /// None where only readiness is wanted.
    buf: Option<Buf>,
    until: Tick,
    timer: Timer,
    started: bool,
}

impl<'a> Reading<'a> {
    /// A read that has not started.
    pub fn new(stream: &'a SimStream, want: Want, buf: Option<Buf>, until: Tick) -> Reading<'a> {
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
            Ok(result) => return Poll::Ready(self.end(result)),
            Err(next) => next,
        };
        if stream.world.now.get() >= self.until {
            stream.event("timed out reading", 0);
            stream.read_over.set(self.want == Want::Bytes);
            return Poll::Ready(self.end(Err(io::ErrorKind::TimedOut.into())));
        }
        *stream.incoming.reader.borrow_mut() = Some(context.waker().clone());
        self.timer.set(next.unwrap_or(Tick::NEVER).min(self.until), context);
        Poll::Pending
    }

    fn end(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        self.stream.reading.set(false);
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
            if self.want != Want::Ready {
                self.stream.event("a pending read was dropped", 0);
                self.stream.lost.set(true);
            }
        }
    }
}

/// A `write` on its way.
pub struct Writing<'a> {
    stream: &'a SimStream,
    buf: Buf,
    until: Tick,
    timer: Timer,
    started: bool,
}

impl<'a> Writing<'a> {
    /// A write that has not started.
    pub fn new(stream: &'a SimStream, buf: Buf, until: Tick) -> Writing<'a> {
        Writing { stream, buf, until, timer: Timer::new(stream.world.clone()), started: false }
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
        }
        let next = match stream.try_write(&mut self.buf) {
            Ok(result) => return Poll::Ready(self.end(result)),
            Err(next) => next,
        };
        if stream.world.now.get() >= self.until {
            stream.event("timed out writing", 0);
            // On a real socket the way to end a write is to end the side: the peer sees an end behind what was sent.
            stream.finish();
            return Poll::Ready(self.end(Err(io::ErrorKind::TimedOut.into())));
        }
        *stream.outgoing.writer.borrow_mut() = Some(context.waker().clone());
        self.timer.set(next.unwrap_or(Tick::NEVER).min(self.until), context);
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
