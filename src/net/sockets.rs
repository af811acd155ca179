// SPDX-License-Identifier: Apache-2.0
//! Listening sockets. The control plane opens them, inherits them and hands them over, as plain descriptors; shards
//! make listeners of them. Nothing here waits, and no request calls it.
//!
//! Every descriptor is close-on-exec. A successor process inherits a duplicate that is made for it (`HandOver`).

use std::env;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::base::Address;
use crate::net::{Bell, UNSENT_MAX, machine};

#[cfg(test)]
mod tests;

pub use crate::net::machine::raise_descriptor_limit;

/// How to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Connections that may wait to be accepted. The kernel caps it at `net.core.somaxconn`; above it, it drops the
    /// client's last handshake packet, and the client tries again.
    pub backlog: i32,
    /// One of several sockets on the same port, one for each shard (TCP only).
    pub reuse_port: bool,
    /// An IPv6 socket does not also take IPv4 (TCP only).
    pub v6_only: bool,
    /// May listen on addresses that are not the machine's own (TCP only; needs CAP_NET_ADMIN).
    pub transparent: bool,
    /// Permissions of the path (Unix only).
    pub mode: u32,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions { backlog: 4096, reuse_port: true, v6_only: true, transparent: false, mode: 0o660 }
    }
}

/// A listening socket and where it listens.
#[derive(Debug)]
pub struct ListenSocket {
    /// The socket: listening, not blocking.
    pub fd: OwnedFd,
    /// Its address, with the port that the kernel chose where port 0 was asked for.
    pub address: Address,
}

impl ListenSocket {
    /// Another descriptor of the same socket, for another shard (Unix sockets have no SO_REUSEPORT).
    pub fn duplicate(&self) -> io::Result<ListenSocket> {
        Ok(ListenSocket { fd: self.fd.try_clone()?, address: self.address.clone() })
    }

    /// Takes a descriptor that somebody else opened. It must be a listening stream socket.
    fn adopted(fd: OwnedFd) -> io::Result<ListenSocket> {
        let socket = Socket::from(fd);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(invalid("the inherited descriptor is not a listening stream socket"));
        }
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        let address = address_of(&socket.local_addr()?);
        if let Address::Inet(_) = address {
            socket.set_tcp_nodelay(true)?;
            // Accepted connections inherit both.
            socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
        }
        Ok(ListenSocket { fd: socket.into(), address })
    }
}

/// Opens a listening socket at `address`. For a Unix path, a socket file that nobody listens on any more is replaced;
/// one that is in use is `ErrorKind::AddrInUse`.
pub fn listen(address: &Address, options: &ListenOptions) -> io::Result<ListenSocket> {
    match address {
        Address::Inet(address) => listen_tcp(*address, options),
        Address::Unix(path) => listen_unix(path, options),
    }
}

/// A bell for one shard.
pub fn bell() -> io::Result<Bell> {
    Ok(Bell::over(machine::event()?))
}

/// A listening socket that the process was started with.
#[derive(Debug)]
pub struct Inherited {
    /// The name that systemd gives it (`FileDescriptorName=`), where it came that way.
    pub name: Option<String>,
    /// The socket.
    pub socket: ListenSocket,
}

/// Takes the listening sockets that the process was started with: from a predecessor of ours (`HandOver`), or from
/// systemd (`LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`). To be called once, first thing, before any other
/// descriptor is open. A descriptor that is not what it should be is an error: running without it would lose
/// connections silently.
pub fn inherited() -> io::Result<Vec<Inherited>> {
    let variable = |name| env::var(name).unwrap_or_default();
    let handed = variable(HAND_OVER);
    if !handed.is_empty() {
        return descriptors_handed(&handed)?.into_iter().map(|(fd, name)| adopt(fd, name)).collect();
    }
    let names = variable("LISTEN_FDNAMES");
    let pid = std::process::id();
    descriptors_activated(pid, &variable("LISTEN_PID"), &variable("LISTEN_FDS"), &names)?
        .into_iter()
        .map(|(fd, name)| adopt(fd, name))
        .collect()
}

/// Duplicates of listening sockets that the next program to be started inherits, and the variable that tells it of
/// them. Keep it until the program was started; dropping it closes the duplicates on our side.
#[derive(Debug)]
pub struct HandOver {
    duplicates: Vec<OwnedFd>,
    value: String,
}

impl HandOver {
    /// Prepares `sockets` to be inherited. Their accept queues go along: no connection is lost.
    pub fn of<'a>(sockets: impl IntoIterator<Item = &'a ListenSocket>) -> io::Result<HandOver> {
        let mut hand_over = HandOver { duplicates: Vec::new(), value: String::new() };
        for socket in sockets {
            hand_over.add(socket, None)?;
        }
        Ok(hand_over)
    }

    /// Prepares sockets that this process inherited itself, with their names.
    pub fn of_inherited(sockets: &[Inherited]) -> io::Result<HandOver> {
        let mut hand_over = HandOver { duplicates: Vec::new(), value: String::new() };
        for inherited in sockets {
            hand_over.add(&inherited.socket, inherited.name.as_deref())?;
        }
        Ok(hand_over)
    }

    fn add(&mut self, socket: &ListenSocket, name: Option<&str>) -> io::Result<()> {
        let duplicate = Socket::from(socket.fd.try_clone()?);
        duplicate.set_cloexec(false)?;
        let name = name.map_or_else(String::new, |name| format!("\t{name}"));
        self.value.push_str(&format!("{}={}{name}\n", duplicate.as_raw_fd(), socket.address));
        self.duplicates.push(duplicate.into());
        Ok(())
    }

    /// The environment variable to start the program with: name and value.
    pub fn variable(&self) -> (&'static str, &str) {
        (HAND_OVER, &self.value)
    }
}

/// Tells a program of its sockets: a line `descriptor=address` for each, with a tab and the name behind it where the
/// socket has one.
const HAND_OVER: &str = "TURNPIKE_SOCKETS";
/// The first descriptor that systemd passes.
const ACTIVATED_FIRST: RawFd = 3;
/// Most sockets that a process inherits; above it, the variable is wrong.
const INHERITED_MAX: usize = 4096;

fn listen_tcp(address: SocketAddr, options: &ListenOptions) -> io::Result<ListenSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    // Allows a restart while connections of the last run are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(options.reuse_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(options.v6_only)?;
    }
    if options.transparent {
        match address {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            SocketAddr::V6(_) => return Err(invalid("transparent listening is possible on IPv4 only")),
        }
    }
    // Accepted connections inherit it, which saves a call for each.
    socket.set_tcp_nodelay(true)?;
    // Accepted connections inherit both.
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog)?;
    let address = address_of(&socket.local_addr()?);
    Ok(ListenSocket { fd: socket.into(), address })
}

fn listen_unix(path: &Arc<Path>, options: &ListenOptions) -> io::Result<ListenSocket> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    // The path appears with the socket's own permissions: with none, so that nobody connects before `mode` is set.
    let file = File::from(OwnedFd::from(socket));
    file.set_permissions(Permissions::from_mode(0o0))?;
    let socket = Socket::from(OwnedFd::from(file));
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(options.backlog)?;
    fs::set_permissions(path, Permissions::from_mode(options.mode))?;
    Ok(ListenSocket { fd: socket.into(), address: Address::Unix(path.clone()) })
}

/// Removes a socket file that nobody listens on. Leaves everything else alone: binding then fails and says why.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Somebody listens, or we may not know: `bind` will refuse.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn adopt(fd: RawFd, name: Option<String>) -> io::Result<Inherited> {
    let socket = machine::adopt(fd).and_then(ListenSocket::adopted);
    let socket = socket.map_err(|error| io::Error::new(error.kind(), format!("inherited descriptor {fd}: {error}")))?;
    Ok(Inherited { name, socket })
}

/// The descriptors in a predecessor's list, with their names. The addresses are for people; the sockets themselves know
/// better.
fn descriptors_handed(list: &str) -> io::Result<Vec<(RawFd, Option<String>)>> {
    let descriptor = |line: &str| {
        let (fd, rest) = line.split_once('=')?;
        Some((fd.parse().ok()?, rest.split_once('\t').map(|(_, name)| name.to_owned())))
    };
    let descriptors: Option<Vec<(RawFd, Option<String>)>> = list.lines().take(INHERITED_MAX).map(descriptor).collect();
    descriptors.ok_or_else(|| invalid("TURNPIKE_SOCKETS is not a list of lines `descriptor=address`"))
}

/// The descriptors that systemd passed, with their names: none where the variables are meant for another process.
fn descriptors_activated(
    pid: u32,
    for_pid: &str,
    count: &str,
    names: &str,
) -> io::Result<Vec<(RawFd, Option<String>)>> {
    if count.is_empty() || for_pid.parse() != Ok(pid) {
        return Ok(Vec::new());
    }
    let count = count.parse().ok().filter(|count: &usize| *count <= INHERITED_MAX);
    let count = count.ok_or_else(|| invalid("LISTEN_FDS is not a count of sockets"))?;
    let mut names = names.split(':').filter(|name| !name.is_empty() && *name != "unknown").map(String::from);
    Ok((0..count).map(|index| (ACTIVATED_FIRST + index as RawFd, names.next())).collect())
}

/// An address as the kernel gives it. A Unix socket without a name has the empty path.
pub(super) fn address_of(address: &SockAddr) -> Address {
    match address.as_socket() {
        Some(address) => Address::Inet(address),
        None => Address::Unix(address.as_pathname().unwrap_or(Path::new("")).into()),
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
