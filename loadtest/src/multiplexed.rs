// SPDX-License-Identifier: Apache-2.0
//! One HTTP/2 connection of the client with many event streams on it, in plain TCP or TLS, without ever blocking.
//!
//! Windows are as large as the protocol allows and are never given back, so a connection receives two GiB at most.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::certificate::HOST;
use crate::failure::{Context, Failure};
use crate::hold::{ACK, END_HEADERS, END_STREAM, FrameKind, Scheme, frame, head_block};
use crate::socket::dial;

/// The connection.
#[derive(Debug)]
pub struct Multiplexed {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// The start of a frame whose end has not arrived.
    input: Vec<u8>,
    /// What the socket did not take yet.
    output: Vec<u8>,
    /// For each stream, the start of an event whose end has not arrived.
    pub partial: HashMap<u32, Vec<u8>>,
}

impl Multiplexed {
    /// Connects and opens `count` streams with a GET for `path`.
    pub fn open(
        target: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        path: &str,
        count: usize,
    ) -> Result<Multiplexed, Failure> {
        let socket = dial(target).context(format_args!("connecting to {target}"))?;
        socket.set_nonblocking(true).context("preparing a connection")?;
        let tls = tls.map(|config| {
            let mut config = ClientConfig::clone(config);
            config.alpn_protocols = vec![b"h2".to_vec()];
            let name = ServerName::try_from(HOST).context("the name of the certificate")?;
            ClientConnection::new(Arc::new(config), name).map(Box::new).context("preparing TLS")
        });
        let tls = tls.transpose()?;
        let mut output = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // SETTINGS_INITIAL_WINDOW_SIZE.
        let window = [&[0, 4][..], &WINDOW_MAX.to_be_bytes()].concat();
        output.extend(frame(FrameKind::Settings, 0, 0, &window));
        let increment = (WINDOW_MAX - WINDOW_AT_FIRST).to_be_bytes();
        output.extend(frame(FrameKind::WindowUpdate, 0, 0, &increment));
        let block = head_block(path, if tls.is_some() { Scheme::Https } else { Scheme::Http });
        for stream in 0..count as u32 {
            output.extend(frame(FrameKind::Headers, END_STREAM | END_HEADERS, 2 * stream + 1, &block));
        }
        let mut connection = Multiplexed { socket, tls, input: Vec::new(), output, partial: HashMap::new() };
        connection.send()?;
        Ok(connection)
    }

    /// The socket, to be watched.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sends and receives as much as the socket allows; `body` sees the content of a stream, with the start of the
    /// event that it continues.
    pub fn drive(&mut self, buffer: &mut [u8], body: &mut impl FnMut(&mut Vec<u8>, &[u8])) -> Result<(), Failure> {
        self.send()?;
        loop {
            let count = match self.socket.read(buffer) {
                Ok(0) => return Err(Failure::new("the proxy closed a connection with streams")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure(format!("receiving: {error}"))),
            };
            self.receive(buffer.get(..count).unwrap_or_default())?;
            self.read_frames(body)?;
            self.send()?;
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        let Some(tls) = &mut self.tls else {
            self.input.extend_from_slice(bytes);
            return Ok(());
        };
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).context("receiving TLS")?;
            tls.process_new_packets().context("reading TLS")?;
            match tls.reader().read_to_end(&mut self.input) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(Failure(format!("decrypting: {error}"))),
            }
        }
        Ok(())
    }

    fn read_frames(&mut self, body: &mut impl FnMut(&mut Vec<u8>, &[u8])) -> Result<(), Failure> {
        let mut at = 0;
        while let Some(&[high, middle, low, kind, flags, a, b, c, d]) = self.input.get(at..at + 9) {
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            let Some(payload) = self.input.get(at + 9..at + 9 + length) else { break };
            let stream = u32::from_be_bytes([a, b, c, d]);
            match kind {
                kind if kind == FrameKind::Data as u8 => body(self.partial.entry(stream).or_default(), payload),
                kind if kind == FrameKind::Settings as u8 && flags & ACK == 0 => {
                    self.output.extend(frame(FrameKind::Settings, ACK, 0, &[]));
                }
                kind if kind == FrameKind::Ping as u8 && flags & ACK == 0 => {
                    self.output.extend(frame(FrameKind::Ping, ACK, 0, payload));
                }
                kind if kind == FrameKind::Reset as u8 || kind == FrameKind::GoAway as u8 => {
                    return Err(Failure(format!("frame {kind} instead of events")));
                }
                _ => {}
            }
            let carries = kind == FrameKind::Data as u8 || kind == FrameKind::Headers as u8;
            if carries && flags & END_STREAM != 0 {
                return Err(Failure::new("a stream ended"));
            }
            at += 9 + length;
        }
        self.input.drain(..at);
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failure> {
        if let Some(tls) = &mut self.tls {
            tls.set_buffer_limit(None);
            tls.writer().write_all(&self.output).context("encrypting")?;
            self.output.clear();
        }
        loop {
            let result = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut self.socket).map(drop),
                None if !self.output.is_empty() => {
                    self.socket.write(&self.output).map(|count| drop(self.output.drain(..count)))
                }
                Some(_) | None => return Ok(()),
            };
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure(format!("sending: {error}"))),
            }
        }
    }
}

/// The largest window (RFC 9113 section 6.9.1).
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// The window of a new connection.
const WINDOW_AT_FIRST: u32 = 65_535;
