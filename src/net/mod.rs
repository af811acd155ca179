//! The machine, behind one seam: connections, listeners, time and chance as the data plane sees them.
//!
//! The pipeline in `edge` is generic over `Net`. In production that is `uring::Uring` (monoio on io_uring, or its
//! epoll driver); in tests `sim::Sim` (virtual time, seeded faults). Nothing else in the data plane reads a clock or
//! a socket.
//!
//! Rules every implementation keeps:
//! - A buffer given to `read` or `write` always comes back, with whatever arrived in it.
//! - At most one read and one write are in flight on a stream at a time; both sides may be in flight at once.
//! - Futures of `read` and `write` are driven to completion; dropping one early loses the connection, never memory.
//! - Every wait has a deadline (`until`); deadlines are kept to within 20 ms.

pub mod bell;
// The one place where the data plane reads a clock.
#[allow(clippy::disallowed_methods)]
// Reads clocks, sets limits, adopts descriptors: calls that the standard library does not wrap.
#[allow(unsafe_code)]
pub mod machine;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
// The control plane opens listening sockets, also those that are files.
#[allow(clippy::disallowed_methods)]
pub mod sockets;
pub mod tls;
// Lends buffers to the kernel and shares a stream between a reader and a writer; pins tasks in place.
#[allow(unsafe_code)]
pub mod uring;

use std::future::Future;
use std::io;

use crate::base::{Address, Buf, Tick, Wall};

pub use bell::Bell;

/// One shard's machine. Cloning is cheap and stays on the thread.
pub trait Net: Clone + 'static {
    /// A connected byte stream.
    type Stream: Stream;
    /// A listening socket.
    type Listener: Listener<Stream = Self::Stream>;
    /// A socket that the control plane opened and a shard turns into a listener.
    type Socket: Send + 'static;
    /// The hearing end of a bell.
    type Ear: Ear;

    /// Now, monotonic.
    fn now(&self) -> Tick;
    /// Now, by the calendar.
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
    /// Hears `bell` on this shard. A bell has one hearer.
    fn ear(&self, bell: &Bell) -> io::Result<Self::Ear>;
    /// Tasks that ended in a panic so far.
    fn panics(&self) -> u64;
    /// Gives freed memory back to the machine. For a shard that has nothing to serve: it takes a millisecond or so.
    fn give_memory_back(&self);
}

/// The hearing end of a bell.
pub trait Ear: 'static {
    /// Waits until the bell was rung since it was last heard. May be dropped without missing a ring.
    fn hear(&self) -> impl Future<Output = ()>;
}

/// A listening socket.
pub trait Listener: 'static {
    /// What it yields.
    type Stream: Stream;
    /// The next connection. May be dropped without losing a connection. Errors that concern one connection only
    /// (`ECONNABORTED`) are swallowed; those of the process (`EMFILE`) are returned, and the caller waits a little.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;
    /// The address it listens on.
    fn local(&self) -> &Address;
}

/// What is known of a stream's peer without consuming anything.
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

    /// Writes the whole window of `buf` and consumes it. On an error the window holds what is not known to be sent.
    /// After `TimedOut` the writing side is finished.
    fn write(&self, buf: Buf, until: Tick) -> impl Future<Output = (io::Result<()>, Buf)>;

    /// Sends what fits at once and gives its count; zero where nothing fits or a write is in flight. Only for the
    /// last words of a protocol (the TLS close_notify), which nobody waits for.
    fn write_now(&self, bytes: &[u8]) -> usize;

    /// Makes a pending `read_idle` or `readable` (or, if none is pending, the next one) return
    /// `ErrorKind::Interrupted`.
    fn interrupt(&self);

    /// Ends a pending or later `read` with zero, as if the peer had closed. Writing still works.
    fn stop_reading(&self);

    /// Sends the end of our side (FIN); reading still works.
    fn finish(&self);

    /// Makes the coming close a reset (RST), so that the peer cannot take what it got for complete. Everything
    /// pending fails.
    fn abort(&self);

    /// Lets the kernel take little more than `bytes` beyond what it has sent, so that what is written later does not
    /// wait behind megabytes. A wish: where it cannot be had, nothing changes.
    fn limit_unsent(&self, bytes: u32);

    /// Looks, without consuming: has the peer closed while nobody was reading?
    fn peek(&self) -> Peek;

    /// The other end.
    fn peer(&self) -> &Address;

    /// Our end.
    fn local(&self) -> &Address;
}
