// SPDX-License-Identifier: Apache-2.0
//! One connection of the client: sends a request, reads its response, in plain TCP or TLS, without ever blocking.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use crate::certificate::HOST;
use crate::failure::{Context, Failure};
use crate::message::{Progress, Reader, Role};
use crate::socket::dial;

/// A connection with at most one request under way.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    reader: Reader,
    /// Bytes of the request that have left, of a plain connection.
    sent: usize,
    busy: bool,
}

/// Where a connection stands after it was driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It waits for the socket, or has nothing to do.
    Waiting,
    /// The response is complete.
    Done,
    /// The other side closed between requests.
    Closed,
}

impl Connection {
    /// Connects; a TLS handshake begins with the first request.
    pub fn open(target: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Connection, Failure> {
        let socket = dial(target).context(format_args!("connecting to {target}"))?;
        socket.set_nonblocking(true).context("preparing a connection")?;
        let tls = tls.map(|config| {
            let name = ServerName::try_from(HOST).context("the name of the certificate")?;
            ClientConnection::new(Arc::clone(config), name).map(Box::new).context("preparing TLS")
        });
        Ok(Connection { socket, tls: tls.transpose()?, reader: Reader::new(Role::Response), sent: 0, busy: false })
    }

    /// The socket, to be watched.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// What was read of the response.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// True between a request and the end of its response.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// True where the TLS session was made by a full handshake, or where there is none.
    pub fn has_full_handshake(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| matches!(tls.handshake_kind(), Some(HandshakeKind::Full)))
    }

    /// Begins a request; [`Connection::drive`] sends it.
    pub fn begin(&mut self, request: &[u8]) -> Result<(), Failure> {
        self.busy = true;
        self.sent = 0;
        if let Some(tls) = &mut self.tls {
            tls.set_buffer_limit(None);
            tls.writer().write_all(request).context("encrypting a request")?;
        }
        Ok(())
    }

    /// Sends what the socket takes now, without looking for a response.
    pub fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        loop {
            let result = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut self.socket),
                None if self.busy && self.sent < request.len() => {
                    self.socket.write(request.get(self.sent..).unwrap_or_default()).inspect(|count| self.sent += count)
                }
                Some(_) | None => return Ok(()),
            };
            match result {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure(format!("sending: {error}"))),
            }
        }
    }

    /// Sends and receives as much as the socket allows. `request` is what was begun; `body` sees the response's body.
    pub fn drive(&mut self, request: &[u8], buffer: &mut [u8], body: &mut impl FnMut(&[u8])) -> Result<Step, Failure> {
        self.send(request)?;
        loop {
            let count = match self.socket.read(buffer) {
                Ok(0) => return self.end(),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Waiting),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure(format!("receiving: {error}"))),
            };
            let filled = count == buffer.len();
            let input = buffer.get(..count).unwrap_or_default();
            let step = match &mut self.tls {
                None => feed(&mut self.reader, input, body)?,
                Some(tls) => feed_tls(tls, &mut self.reader, input, body)?,
            };
            // A handshake's next flight, or the request behind it.
            if self.tls.is_some() {
                self.send(request)?;
            }
            if step == Step::Done {
                if !self.busy {
                    return Err(Failure::new("a response without a request"));
                }
                self.busy = false;
                return Ok(Step::Done);
            }
            if !filled {
                return Ok(Step::Waiting);
            }
        }
    }

    /// Ends a TLS session as it should be ended.
    pub fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // The connection is closed next, so an error here does not matter.
            let _ = tls.write_tls(&mut self.socket);
        }
    }

    /// The other side has closed.
    fn end(&mut self) -> Result<Step, Failure> {
        if self.busy && self.reader.ends_with_connection() {
            self.busy = false;
            return Ok(Step::Done);
        }
        if self.busy {
            return Err(Failure::new("the proxy closed a connection with a request under way"));
        }
        Ok(Step::Closed)
    }
}

fn feed(reader: &mut Reader, input: &[u8], body: &mut impl FnMut(&[u8])) -> Result<Step, Failure> {
    match reader.feed(input, body)? {
        Progress::More => Ok(Step::Waiting),
        Progress::Done(used) if used == input.len() => Ok(Step::Done),
        Progress::Done(_) => Err(Failure::new("bytes after the end of a response")),
    }
}

fn feed_tls(
    tls: &mut ClientConnection,
    reader: &mut Reader,
    mut input: &[u8],
    body: &mut impl FnMut(&[u8]),
) -> Result<Step, Failure> {
    let mut step = Step::Waiting;
    while !input.is_empty() {
        tls.read_tls(&mut input).context("receiving TLS")?;
        tls.process_new_packets().context("reading TLS")?;
        let mut plain = tls.reader();
        loop {
            let piece = match plain.fill_buf() {
                Ok([]) => break,
                Ok(piece) => piece,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(Failure(format!("decrypting: {error}"))),
            };
            let used = piece.len();
            if step == Step::Done {
                return Err(Failure::new("bytes after the end of a response"));
            }
            step = feed(reader, piece, body)?;
            plain.consume(used);
        }
    }
    Ok(step)
}
