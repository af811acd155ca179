// SPDX-License-Identifier: Apache-2.0
//! Hot. A connected stream, TCP or Unix: `net::Stream` over one monoio stream.
//!
//! Reads and writes allocate nothing. Deadlines and interruptions act through the stream's `Flow`, never by dropping an
//! operation that owns bytes.

use std::cell::{OnceCell, UnsafeCell};
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelableAsyncReadRent};
use monoio::net::TcpStream;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::descriptor::descriptor;
use super::driver::Driver;
use super::flow::{End, Flow, Waits};
use super::lent::Lent;
use super::shard::Shard;
use crate::base::{Address, Buf, Pace, Tick};
use crate::net::sockets::address_of;
use crate::net::{Peek, Stream, machine};

/// A connected stream.
pub struct UringStream {
    /// monoio's operations take `&mut`, but only to start: what they start holds its own reference to the descriptor.
    /// So an exclusive reference lives for one call, and a read and a write may be in flight at once.
    socket: UnsafeCell<TcpStream>,
    pub(super) flow: Rc<Flow>,
    peer: Address,
    local: OnceCell<Address>,
}

impl UringStream {
    /// Wraps a connected socket. On epoll, it must not block.
    pub(super) fn new(shard: &Rc<Shard>, socket: Socket, peer: Address) -> io::Result<UringStream> {
        let socket = TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(socket)))?;
        let flow = Rc::new(Flow::new(descriptor(&socket), shard.deadlines.clone()));
        Ok(UringStream { socket: UnsafeCell::new(socket), flow, peer, local: OnceCell::new() })
    }

    /// Waits until the socket can be written, which ends a connection attempt. May be dropped.
    async fn writable(&self, until: Tick) -> io::Result<()> {
        let pending = self.flow.begin_write(Waits::Ready, until);
        // SAFETY: the reference is used until the first poll has started the operation, and no other is made meanwhile.
        let socket = unsafe { &*self.socket.get() };
        let mut ready = pin!(socket.writable(false));
        let result = poll_fn(|context| {
            if self.flow.write.take_late() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.flow.write.remember(context);
            ready.as_mut().poll(context)
        })
        .await;
        pending.done();
        result
    }

    /// What every read gives from now on, where the reading side has ended.
    fn read_ended(&self) -> Option<io::Result<usize>> {
        match self.flow.read.end.get() {
            End::Open => None,
            End::Stopped => Some(Ok(0)),
            End::TimedOut => Some(Err(io::ErrorKind::TimedOut.into())),
            End::Broken => Some(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }
}

impl Stream for UringStream {
    async fn read(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        if buf.spare() == 0 {
            return (Ok(0), buf);
        }
        if let Some(ended) = self.read_ended() {
            return (ended, buf);
        }
        let pending = self.flow.begin_read(Waits::Bytes, until);
        let mut lent = Lent(buf);
        loop {
            // SAFETY: the reference ends with the call, see `socket`.
            let reading = unsafe { &mut *self.socket.get() }.read(lent);
            let (result, back) = reading.await;
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => lent = back,
                // Bytes that arrive together with the deadline are returned.
                Ok(count) if count > 0 => {
                    self.flow.drained.set(back.0.spare() > 0);
                    pending.done();
                    return (Ok(count), back.0);
                }
                Ok(_) | Err(_) => {
                    pending.done();
                    return (self.read_ended().unwrap_or(result), back.0);
                }
            }
        }
    }

    async fn read_idle(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        if buf.spare() == 0 {
            return (Ok(0), buf);
        }
        if let Some(ended) = self.read_ended() {
            return (ended, buf);
        }
        let mut lent = Lent(buf);
        let pending = self.flow.begin_read(Waits::Idle, until);
        loop {
            if let Some(over) = self.flow.take_over() {
                pending.done();
                return (Err(over.into()), lent.0);
            }
            if let Some(ended) = self.read_ended() {
                pending.done();
                return (ended, lent.0);
            }
            let handle = self.flow.cancel_handle();
            // SAFETY: the reference is kept by the future, but not used after its first poll, which comes before
            // anything else can make another, see `socket`.
            let reading = unsafe { &mut *self.socket.get() }.cancelable_read(lent, handle);
            let (result, back) = reading.await;
            lent = back;
            match result {
                Err(error) if is_cancelled(&error) => {}
                Ok(_) | Err(_) => {
                    self.flow.drained.set(lent.0.spare() > 0);
                    pending.done();
                    return (result, lent.0);
                }
            }
        }
    }

    async fn readable(&self, until: Tick) -> io::Result<()> {
        if self.read_ended().is_some() {
            return Ok(());
        }
        // A wait without a buffer is usually long, so the memory that `read_idle` keeps between two calls is freed.
        self.flow.forget_canceller();
        let pending = self.flow.begin_read(Waits::Ready, until);
        // SAFETY: as in `writable`.
        let socket = unsafe { &*self.socket.get() };
        let mut ready = pin!(socket.readable(false));
        let result = poll_fn(|context| {
            if let Some(over) = self.flow.take_over() {
                return Poll::Ready(Err(over.into()));
            }
            self.flow.read.remember(context);
            ready.as_mut().poll(context)
        })
        .await;
        pending.done();
        result
    }

    async fn write(&self, buf: Buf, until: Tick) -> (io::Result<()>, Buf) {
        if buf.is_empty() {
            return (Ok(()), buf);
        }
        match self.flow.write.end.get() {
            End::Open => {}
            End::TimedOut => return (Err(io::ErrorKind::TimedOut.into()), buf),
            End::Stopped | End::Broken => return (Err(io::ErrorKind::ConnectionAborted.into()), buf),
        }
        let pending = self.flow.begin_write(Waits::Bytes, until);
        let mut lent = Lent(buf);
        let mut result = Ok(());
        while result.is_ok() && !lent.0.is_empty() {
            // SAFETY: the reference ends with the call, see `socket`.
            let writing = unsafe { &mut *self.socket.get() }.write(lent);
            let (written, back) = writing.await;
            lent = back;
            match written {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    lent.0.consume(count);
                    self.flow.wrote(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
        }
        pending.done();
        if result.is_err() && self.flow.write.end.get() == End::TimedOut {
            result = Err(io::ErrorKind::TimedOut.into());
        }
        (result, lent.0)
    }

    fn write_now(&self, bytes: &[u8]) -> usize {
        if !self.flow.write_is_free() {
            return 0;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let count = self.flow.socket().send_with_flags(bytes, flags).unwrap_or(0);
        self.flow.wrote(count);
        count
    }

    fn interrupt(&self) {
        self.flow.interrupt();
    }

    fn stop_reading(&self) {
        if self.flow.read.end.get() == End::Open {
            self.flow.read.end.set(End::Stopped);
            self.flow.stop_pending_read();
        }
    }

    fn read_again(&self) {
        if self.flow.read.end.get() == End::Stopped {
            self.flow.read.end.set(End::Open);
        }
    }

    fn finish(&self) {
        self.flow.shut(Shutdown::Write);
    }

    fn abort(&self) {
        // After the disconnection the kernel does not know it any more.
        self.local();
        self.flow.broken();
        let socket = self.flow.socket();
        // The reset is sent at once and without a FIN before it: shutting down first would look like a clean end
        // until the reset overtakes it.
        let reset = match self.peer {
            Address::Inet(_) => machine::disconnect(&socket).is_ok(),
            Address::Unix(_) => false,
        };
        if !reset {
            let _ = socket.set_linger(Some(Duration::ZERO));
            self.flow.shut(Shutdown::Both);
        }
    }

    fn limit_unsent(&self, bytes: u32) {
        // Unix sockets have no such option, and need none.
        let _ = self.flow.socket().set_tcp_notsent_lowat(bytes);
    }

    fn unsent(&self) -> usize {
        // Unix sockets do not know it.
        machine::unsent(&self.flow.socket()).unwrap_or(0)
    }

    fn set_pace(&self, pace: Pace) {
        self.flow.set_pace(pace);
    }

    fn undelivered(&self) -> usize {
        machine::undelivered(&self.flow.socket()) as usize
    }

    fn peek(&self) -> Peek {
        if self.flow.read.end.get() != End::Open {
            return Peek::Closed;
        }
        let mut byte = [MaybeUninit::uninit()];
        match self.flow.socket().recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
            Ok(0) => Peek::Closed,
            Ok(_) => Peek::Readable,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Peek::Quiet,
            Err(_) => Peek::Closed,
        }
    }

    fn drained(&self) -> bool {
        self.flow.drained.get()
    }

    fn peer(&self) -> &Address {
        &self.peer
    }

    fn local(&self) -> &Address {
        self.local.get_or_init(|| match self.flow.socket().local_addr() {
            Ok(address) => address_of(&address),
            Err(_) => Address::Unix(Path::new("").into()),
        })
    }
}

impl Drop for UringStream {
    fn drop(&mut self) {
        self.flow.close();
    }
}

/// Connects to `to`. Closes the socket if it is dropped or the deadline passes.
pub(super) async fn connect(shard: &Rc<Shard>, to: &Address, until: Tick) -> io::Result<UringStream> {
    let (domain, address) = match to {
        Address::Inet(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), None)?;
    if let Address::Inet(_) = to {
        socket.set_tcp_nodelay(true)?;
    }
    let waits = loop {
        match socket.connect(&address) {
            Ok(()) => break false,
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => break true,
            // A Unix socket whose queue is full says so instead of waiting (unix(7)).
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let again = machine::now().after(QUEUE_FULL_WAIT);
                if again > until {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                shard.deadlines.sleep_until(again).await;
            }
            Err(error) => return Err(error),
        }
    };
    let stream = UringStream::new(shard, socket, to.clone())?;
    if waits {
        stream.writable(until).await?;
        if let Some(error) = stream.flow.socket().take_error()? {
            return Err(error);
        }
    }
    unblock_for_ring(shard, &stream.flow.socket())?;
    Ok(stream)
}

/// A ring waits for a socket by itself, but returns EAGAIN on some kernels where the socket is marked as not blocking.
fn unblock_for_ring(shard: &Shard, socket: &SockRef<'_>) -> io::Result<()> {
    match shard.driver {
        Driver::IoUring | Driver::IoUringPlain => socket.set_nonblocking(false),
        Driver::Epoll => Ok(()),
    }
}

/// Two of them and their flows are most of what an idle connection costs.
const _: () = assert!(size_of::<UringStream>() <= 160 && size_of::<Flow>() <= 192);

/// How long to wait before a full Unix socket is tried again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(5);

fn is_cancelled(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECANCELED)
}
