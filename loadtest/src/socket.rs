// SPDX-License-Identifier: Apache-2.0
//! Sockets and readiness: an edge-triggered epoll, loopback connections from several source addresses, ports that are
//! kept for a server.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, socket_with, sockopt};

use crate::failure::{Context, Failure};

/// Tells which sockets can go on. Each socket is registered once, for both directions, edge-triggered.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    /// A poller without sockets.
    pub fn new() -> Result<Poller, Failure> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll")?;
        Ok(Poller { epoll, events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Watches `socket`; its events carry `token`. Closing the socket ends it.
    pub fn watch(&self, socket: &impl AsFd, token: usize) -> Result<(), Failure> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token as u64), flags).context("watching a socket")
    }

    /// Waits until something happens or `timeout_ns` have passed, and writes the tokens of what happened to `tokens`.
    pub fn wait(&mut self, timeout_ns: u64, tokens: &mut Vec<usize>) -> Result<(), Failure> {
        tokens.clear();
        self.events.clear();
        let timeout =
            Timespec { tv_sec: (timeout_ns / 1_000_000_000) as i64, tv_nsec: (timeout_ns % 1_000_000_000) as i64 };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) => tokens.extend(self.events.iter().map(|event| event.data.u64() as usize)),
            // A signal; whoever asked looks at the flag it set.
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure(format!("waiting for sockets: {error}"))),
        }
        Ok(())
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

/// Connects to `target`. Where the ports of the usual source address are used up and the target is on IPv4 loopback,
/// the connection comes from another address of 127.0.0.0/8.
///
/// The kernel completes a loopback connection before this returns, whether or not the other side has accepted it.
/// The socket is blocking; small segments leave at once.
pub fn dial(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = match TcpStream::connect(target) {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => dial_from_elsewhere(target, error)?,
        result => result?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn dial_from_elsewhere(target: SocketAddr, mut last: io::Error) -> io::Result<TcpStream> {
    if !matches!(target.ip(), IpAddr::V4(address) if address.is_loopback()) {
        return Err(last);
    }
    for source in 2..=SOURCES_MAX {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let bound = bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), 0)));
        match bound.and_then(|()| connect(&socket, &target)) {
            Ok(()) => return Ok(TcpStream::from(socket)),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// A loopback address that the kernel gives to nobody else for as long as this lives: a socket that never listens is
/// bound to it.
///
/// Connections to it are refused until a server listens there. Any server that sets `SO_REUSEADDR` can do that: Linux
/// lets sockets share an address where all of them set it and no other one listens.
#[derive(Debug)]
pub struct Reserved {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl Reserved {
    /// A port that the kernel chooses.
    pub fn new() -> Result<Reserved, Failure> {
        let reserve = || {
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            Ok((SocketAddr::try_from(getsockname(&socket)?)?, socket))
        };
        let reserved: rustix::io::Result<_> = reserve();
        let (address, socket) = reserved.context("reserving a port")?;
        Ok(Reserved { address, _socket: socket })
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Twenty addresses have half a million ports.
const SOURCES_MAX: u8 = 21;

/// Events of one wait.
const EVENTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_reserved_port_is_for_one_server() {
        let reserved = Reserved::new().unwrap();
        let address = reserved.address();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // `TcpListener` sets SO_REUSEADDR, as servers do.
        let server = TcpListener::bind(address).unwrap();
        TcpStream::connect(address).unwrap();
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(server);
        TcpListener::bind(address).unwrap();
    }
}
