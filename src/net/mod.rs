// SPDX-License-Identifier: Apache-2.0
//! The interface of the data plane to the machine: connections, listeners, time and random numbers.
//!
//! The pipeline in `edge` is generic over `Net`. In production that is `uring::Uring` (monoio on io_uring, or its
//! epoll driver); in tests `sim::Sim` (virtual time, seeded faults). No other code of the data plane reads a clock
//! or uses a socket.
//!
//! Every implementation keeps these rules:
//! - A buffer given to `read` or `write` always comes back, with whatever arrived in it.
//! - At most one read and one write are in flight on a stream at a time; both sides may be in flight at once.
//! - Callers drive futures of `read` and `write` to completion. Dropping one early breaks the connection, but is safe.
//! - Every wait has a deadline (`until`), or of a write a pace (`set_pace`); deadlines are kept to within 20 ms.

pub(crate) mod bell;
// The one place where the data plane reads a clock.
#[allow(clippy::disallowed_methods)]
// Reads clocks, sets limits, adopts descriptors: calls that the standard library does not wrap.
#[allow(unsafe_code)]
pub(crate) mod machine;
pub mod sim;
// The control plane opens listening sockets, also those that are files.
#[allow(clippy::disallowed_methods)]
pub mod sockets;
pub(crate) mod tls;
// Lends buffers to the kernel and shares a stream between a reader and a writer; pins tasks in place.
#[allow(unsafe_code)]
pub mod uring;

use std::future::Future;
use std::io;

use crate::base::{Address, Buf, Pace, Tick, Wall};

/// Unsent bytes that the kernel may hold for one client (`TCP_NOTSENT_LOWAT`). With the default of megabytes an urgent
/// frame waits behind everything that a fast origin sent to a slow client, and clients that do not read take the
/// memory that the kernel has for TCP. Two writes keep the line busy.
pub(crate) const UNSENT_MAX: u32 = 128 * 1024;

pub use bell::Bell;

/// One shard's machine. Cloning is cheap and stays on the thread.
pub trait Net: Clone + 'static {
    /// A connected byte stream.
    type Stream: Stream;
    /// A listening socket.
    type Listener: Listener<Stream = Self::Stream>;
    /// A socket that the control plane opened and a shard turns into a listener.
    type Socket: Send + 'static;
    /// The receiving end of a bell.
    type BellWaiter: BellWaiter;

    /// The current monotonic time.
    fn now(&self) -> Tick;
    /// The current calendar time.
    fn wall(&self) -> Wall;
    /// 64 random bits, not for secrets.
    fn random(&self) -> u64;
    /// Runs `task` on this shard. A panic in it ends the task, is counted, and leaves the shard running.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
    /// Waits until `at`. May be dropped.
    fn sleep_until(&self, at: Tick) -> impl Future<Output = ()>;
    /// Connects, with `TCP_NODELAY`. `ErrorKind::TimedOut` at the deadline. May be dropped.
    fn connect(&self, to: &Address, until: Tick) -> impl Future<Output = io::Result<Self::Stream>>;
    /// Starts to listen on `socket`.
    fn listener(&self, socket: Self::Socket) -> io::Result<Self::Listener>;
    /// The receiving end of `bell` on this shard. A bell has one receiver.
    fn bell_waiter(&self, bell: &Bell) -> io::Result<Self::BellWaiter>;
    /// Tasks that ended in a panic so far.
    fn panics(&self) -> u64;
    /// Returns freed memory to the kernel. It takes about a millisecond, so a shard calls it while it is idle.
    fn give_memory_back(&self);
    /// Fails the run where `holds` names a broken invariant of the shard. Only the simulator calls it.
    fn check(&self, holds: impl FnOnce() -> Result<(), &'static str>) {
        let _ = holds;
    }
}

/// Did this fail because the process or the machine has no free file descriptor?
pub(crate) fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The receiving end of a bell.
pub trait BellWaiter: 'static {
    /// Waits for a ring since the last call returned. May be dropped without missing a ring.
    fn rung(&self) -> impl Future<Output = ()>;
}

/// A listening socket.
pub trait Listener: 'static {
    /// The type of accepted connections.
    type Stream: Stream;
    /// The next connection. May be dropped without losing a connection. Errors that concern one connection only
    /// (`ECONNABORTED`) are skipped. Errors of the process (`EMFILE`) are returned; the caller should wait a little
    /// before it calls again.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;
    /// The address it listens on.
    #[cfg(test)]
    fn local(&self) -> &Address;
}

/// The state of a stream's reading side, found out without consuming bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// Open, nothing to read.
    Quiet,
    /// Open, bytes wait.
    Readable,
    /// Closed or broken.
    Closed,
}

/// A connected byte stream. Methods take `&self`, so that one task can read and write at once.
pub trait Stream: 'static {
    /// Reads once into `buf`'s spare memory and returns the count; zero is the peer's end (or a `buf` without spare
    /// room). After `ErrorKind::TimedOut` the reading side is finished, the writing side still works.
    fn read(&self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<usize>, Buf)>;

    /// As `read`, for the wait between requests: after `TimedOut` or `Interrupted` (see `interrupt`) nothing is lost
    /// and the stream can be read again.
    fn read_idle(&self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<usize>, Buf)>;

    /// Waits until something (bytes, an end, an error) can be read; holds no buffer. `TimedOut` and `Interrupted` as in
    /// `read_idle`. May be dropped.
    fn readable(&self, until: Tick) -> impl Future<Output = io::Result<()>>;

    /// Writes the whole window of `buf` and consumes it. After an error, the window holds the bytes that may not have
    /// been sent. After `TimedOut` the writing side is finished: `until` has passed, or the peer was too slow.
    fn write(&self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<()>, Buf)>;

    /// Sends as many bytes as fit at once and returns the count; zero where none fits or a write is in flight. Only
    /// for the last message of a protocol (the TLS close_notify), whose delivery is not waited for.
    fn write_now(&self, bytes: &[u8]) -> usize;

    /// Makes a pending `read_idle` or `readable` (or, if none is pending, the next one) return
    /// `ErrorKind::Interrupted`.
    fn interrupt(&self);

    /// Ends a pending or later `read` with zero, as if the peer had closed, until `read_again`. Writing still works.
    fn stop_reading(&self);

    /// Takes a `stop_reading` back. After a `read_idle` nothing is lost; where a `read` was pending, the reading side
    /// has ended.
    fn read_again(&self);

    /// Sends the end of our side (FIN); reading still works.
    fn finish(&self);

    /// Makes the coming close a reset (RST), so that the peer cannot take an incomplete message for complete. Pending
    /// operations fail.
    fn abort(&self);

    /// Limits the unsent bytes in the kernel's buffer to about `bytes`, so that a later, more urgent write does not
    /// wait behind megabytes. Does nothing on a machine without such a limit.
    fn limit_unsent(&self, bytes: u32);

    /// How many bytes the kernel took and has not sent yet. Zero where the machine does not know. A system call.
    fn unsent(&self) -> usize;

    /// Demands a pace of the peer in this and later writes. Progress is what reached the peer, also of what earlier
    /// writes left in the kernel's buffer. The time without progress is kept to within a quarter of it.
    fn set_pace(&self, pace: Pace);

    /// Bytes that were written and have not reached the peer, more or less.
    fn undelivered(&self) -> usize;

    /// Whether bytes or a close have arrived. Consumes nothing.
    fn peek(&self) -> Peek;

    /// True where the last read left room in its buffer: when it returned, nothing more had arrived. Costs no system
    /// call, unlike `peek`.
    fn drained(&self) -> bool;

    /// The other end.
    fn peer(&self) -> &Address;

    /// Our end.
    fn local(&self) -> &Address;
}
