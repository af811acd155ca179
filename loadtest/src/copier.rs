// SPDX-License-Identifier: Apache-2.0
//! The floor: a proxy that only copies bytes. One thread, one epoll, one connection to the origin for each client.
//!
//! It parses no HTTP, logs nothing and counts nothing. Its cost is the cost of the kernel's TCP on this machine, so no
//! proxy on that kernel can cost less.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::failure::{Context, Failure};
use crate::machine::interrupted;
use crate::socket::{Poller, dial};

/// Copies between clients of `listen` and connections to `origin` until it is interrupted.
pub fn run(listen: SocketAddr, origin: SocketAddr) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen).context(format_args!("binding the copier to {listen}"))?;
    listener.set_nonblocking(true).context("preparing the copier")?;
    let mut poller = Poller::new()?;
    poller.watch(&listener, LISTENER)?;
    let mut copier = Copier { origin, ends: Vec::new(), free: Vec::new(), buffer: vec![0; READ_BYTES] };
    let mut tokens = Vec::new();
    while !interrupted() {
        poller.wait(IDLE_NS, &mut tokens)?;
        for &token in &tokens {
            if token == LISTENER {
                copier.accept(&listener, &poller)?;
            } else {
                copier.drive(token);
            }
        }
    }
    Ok(())
}

/// One end of a pair; the other one has the number with the last bit turned.
struct End {
    socket: TcpStream,
    /// Bytes for this end that its socket did not take yet.
    waiting: Vec<u8>,
}

struct Copier {
    origin: SocketAddr,
    ends: Vec<Option<End>>,
    /// First numbers of pairs that are gone.
    free: Vec<usize>,
    buffer: Vec<u8>,
}

/// Whether a pair goes on.
#[derive(PartialEq, Eq)]
enum Fate {
    Open,
    Closed,
}

impl Copier {
    fn accept(&mut self, listener: &TcpListener, poller: &Poller) -> Result<(), Failure> {
        loop {
            let client = match listener.accept() {
                Ok((client, _)) => client,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(Failure(format!("the copier cannot accept: {error}"))),
            };
            let Ok(origin) = dial(self.origin) else { continue };
            client.set_nodelay(true).context("preparing a connection")?;
            let first = self.free.pop().unwrap_or_else(|| {
                self.ends.extend([None, None]);
                self.ends.len() - 2
            });
            for (slot, socket) in [(first, client), (first + 1, origin)] {
                socket.set_nonblocking(true).context("preparing a connection")?;
                poller.watch(&socket, slot)?;
                if let Some(place) = self.ends.get_mut(slot) {
                    *place = Some(End { socket, waiting: Vec::new() });
                }
            }
        }
    }

    /// What an event may have made possible: writing to this end, and with that reading from the other; reading from
    /// this end.
    fn drive(&mut self, slot: usize) {
        let fate = match self.flush(slot) {
            Some(had_waiting) => {
                let other = if had_waiting { self.copy(slot ^ 1) } else { Fate::Open };
                if other == Fate::Closed { other } else { self.copy(slot) }
            }
            None => Fate::Closed,
        };
        if fate == Fate::Closed {
            let pair = [slot & !1, slot | 1];
            let open = pair.iter().filter(|end| self.ends.get_mut(**end).is_some_and(|place| place.take().is_some()));
            if open.count() > 0 {
                self.free.push(slot & !1);
            }
        }
    }

    /// Sends what waits for `slot`: whether there was something and all of it left. `None` where the end is broken.
    fn flush(&mut self, slot: usize) -> Option<bool> {
        let Some(Some(end)) = self.ends.get_mut(slot) else { return Some(false) };
        if end.waiting.is_empty() {
            return Some(false);
        }
        let sent = send(&mut end.socket, &end.waiting)?;
        end.waiting.drain(..sent);
        Some(end.waiting.is_empty())
    }

    /// Copies what `slot` has to the other end, as long as that takes it.
    fn copy(&mut self, slot: usize) -> Fate {
        loop {
            let Some(Some(target)) = self.ends.get(slot ^ 1) else { return Fate::Open };
            if !target.waiting.is_empty() {
                return Fate::Open;
            }
            let Some(Some(source)) = self.ends.get_mut(slot) else { return Fate::Open };
            let count = match source.socket.read(&mut self.buffer) {
                Ok(0) => return Fate::Closed,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Open,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Fate::Closed,
            };
            let bytes = self.buffer.get(..count).unwrap_or_default();
            let Some(Some(target)) = self.ends.get_mut(slot ^ 1) else { return Fate::Closed };
            let Some(sent) = send(&mut target.socket, bytes) else { return Fate::Closed };
            target.waiting.extend_from_slice(bytes.get(sent..).unwrap_or_default());
            if count < READ_BYTES {
                return Fate::Open;
            }
        }
    }
}

/// Writes until the socket takes no more. `None` where it is broken.
fn send(socket: &mut TcpStream, bytes: &[u8]) -> Option<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(bytes.get(sent..)?) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(sent)
}

const LISTENER: usize = usize::MAX;

/// One read takes this much; more is not faster.
const READ_BYTES: usize = 256 * 1024;

/// How often it looks whether it was interrupted.
const IDLE_NS: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn bytes_come_through_both_ways() {
        let origin = TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ends = Vec::new();
        let mut copier =
            Copier { origin: origin.local_addr().unwrap(), ends, free: Vec::new(), buffer: vec![0; READ_BYTES] };
        let poller = Poller::new().unwrap();
        copier.accept(&listener, &poller).unwrap();
        let sent: Vec<u8> = (0..3_000_000u32).map(|at| at as u8).collect();
        let expected = sent.clone();
        let server = thread::spawn(move || {
            let (mut behind, _) = origin.accept().unwrap();
            let mut received = vec![0; 3_000_000];
            behind.read_exact(&mut received).unwrap();
            behind.write_all(b"thanks").unwrap();
            received
        });
        let writer = thread::spawn(move || {
            client.write_all(&sent).unwrap();
            let mut answer = [0; 6];
            client.read_exact(&mut answer).unwrap();
            answer
        });
        while !writer.is_finished() {
            copier.drive(0);
            copier.drive(1);
        }
        assert_eq!(server.join().unwrap(), expected);
        assert_eq!(&writer.join().unwrap(), b"thanks");
    }
}
