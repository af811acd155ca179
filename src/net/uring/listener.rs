// SPDX-License-Identifier: Apache-2.0
//! Hot. A listening socket on a shard.
//!
//! `accept` waits for readiness, which may be cancelled at any time, and then calls accept(2) without waiting. An
//! accept operation in the ring would lose the connection and its descriptor if it were cancelled just as it completes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::TcpStream as StdStream;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use monoio::net::TcpStream;
use socket2::{SockAddr, SockRef, Socket};

use super::descriptor::descriptor;
use super::driver::Driver;
use super::shard::Shard;
use super::stream::UringStream;
use crate::base::limits;
use crate::net::Listener;
use crate::net::sockets::{ListenSocket, address_of};

/// A listening socket.
pub struct UringListener {
    /// Not a stream; only ever asked for readiness.
    socket: TcpStream,
    /// The same socket, for calls that do not wait.
    fd: BorrowedFd<'static>,
    shard: Rc<Shard>,
    #[cfg(test)]
    address: crate::base::Address,
    /// Accepted by the kernel and not yet asked for.
    queue: RefCell<VecDeque<(Socket, SockAddr)>>,
}

impl UringListener {
    pub(super) fn new(shard: &Rc<Shard>, socket: ListenSocket) -> io::Result<UringListener> {
        SockRef::from(&socket.fd).set_nonblocking(true)?;
        let listener = TcpStream::from_std(StdStream::from(socket.fd))?;
        Ok(UringListener {
            fd: descriptor(&listener),
            socket: listener,
            shard: shard.clone(),
            #[cfg(test)]
            address: socket.address,
            queue: RefCell::new(VecDeque::with_capacity(limits::ACCEPT_BATCH)),
        })
    }

    /// Accepts waiting connections, up to a batch. True where the queue then holds any.
    fn fill(&self) -> io::Result<bool> {
        let mut queue = self.queue.borrow_mut();
        let listener = SockRef::from(&self.fd);
        for _ in 0..limits::ACCEPT_BATCH {
            match listener.accept() {
                Ok(accepted) => queue.push_back(accepted),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if concerns_one_connection(&error) => {}
                // Connections that are already in the queue go first. A lasting error will return.
                Err(_) if !queue.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(!queue.is_empty())
    }

    fn stream(&self, socket: Socket, peer: &SockAddr) -> io::Result<UringStream> {
        if self.shard.driver == Driver::Epoll {
            socket.set_nonblocking(true)?;
        }
        let peer = match peer.is_unnamed() {
            true => self.shard.unnamed.clone(),
            false => address_of(peer),
        };
        UringStream::new(&self.shard, socket, peer)
    }
}

impl Listener for UringListener {
    type Stream = UringStream;

    async fn accept(&self) -> io::Result<UringStream> {
        loop {
            let next = self.queue.borrow_mut().pop_front();
            if let Some((socket, peer)) = next {
                return self.stream(socket, &peer);
            }
            if !self.fill()? {
                self.socket.readable(false).await?;
            }
        }
    }

    #[cfg(test)]
    fn local(&self) -> &crate::base::Address {
        &self.address
    }
}

/// Errors of a connection that died in the queue, as accept(2) lists them. The next one may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    const OF_ONE: [i32; 11] = [
        libc::ECONNABORTED,
        libc::EINTR,
        libc::EPROTO,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
        libc::EPERM,
    ];
    error.raw_os_error().is_some_and(|code| OF_ONE.contains(&code))
}
