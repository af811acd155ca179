// SPDX-License-Identifier: Apache-2.0
//! Idle connections: opens many, makes one request on each, and holds them.
//!
//! One after another and blocking: nothing here is timed.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::certificate::HOST;
use crate::failure::{Context, Failure};
use crate::machine::check_interrupt;
use crate::message::{Progress, Reader, Role};
use crate::socket::dial;

/// Where connections lead, and what is asked on each.
#[derive(Debug)]
pub enum Target<'a> {
    /// Plain TCP, one request of HTTP/1.1.
    Http1 {
        /// Where to.
        address: SocketAddr,
        /// The whole request.
        request: Vec<u8>,
    },
    /// TLS, one GET of HTTP/2.
    Http2Tls {
        /// Where to.
        address: SocketAddr,
        /// The path.
        path: &'a str,
        /// The length of the body that is to come.
        bytes: usize,
        /// Whom to trust.
        tls: &'a ClientConfig,
    },
}

/// Connections that each had one answer and are kept open.
#[derive(Debug)]
pub struct Held {
    lines: Vec<Line>,
}

/// A connection, in the state that its other end may still count on.
#[derive(Debug)]
struct Line {
    socket: TcpStream,
    _tls: Option<Box<ClientConnection>>,
}

impl Held {
    /// Opens `count` connections to `target` and waits for the answer on each.
    pub fn open(target: &Target<'_>, count: usize) -> Result<Held, Failure> {
        let mut lines = Vec::with_capacity(count);
        let tls = match target {
            Target::Http1 { .. } => None,
            Target::Http2Tls { tls, .. } => {
                let mut tls = (*tls).clone();
                tls.alpn_protocols = vec![b"h2".to_vec()];
                Some(Arc::new(tls))
            }
        };
        for at in 0..count {
            check_interrupt()?;
            let line = target.open(tls.as_ref()).context(format_args!("connection {at}"))?;
            lines.push(line);
        }
        Ok(Held { lines })
    }

    /// How many of the connections the other side has closed by now.
    pub fn closed(&self) -> usize {
        self.lines.iter().filter(|line| is_closed(&line.socket)).count()
    }
}

impl Target<'_> {
    fn open(&self, tls: Option<&Arc<ClientConfig>>) -> Result<Line, Failure> {
        let (Target::Http1 { address, .. } | Target::Http2Tls { address, .. }) = self;
        let mut socket = dial(*address).context("opening")?;
        socket.set_read_timeout(Some(ANSWER_TIME_MAX)).context("setting a timeout")?;
        let tls = match (self, tls) {
            (Target::Http2Tls { path, bytes, .. }, Some(config)) => {
                let name = ServerName::try_from(HOST).context("the name of the certificate")?;
                let mut tls = Box::new(ClientConnection::new(Arc::clone(config), name).context("preparing TLS")?);
                ask_http2(&mut rustls::Stream::new(tls.as_mut(), &mut socket), path, *bytes)?;
                Some(tls)
            }
            (Target::Http1 { request, .. }, _) => {
                ask_http1(&mut socket, request)?;
                None
            }
            (Target::Http2Tls { .. }, None) => return Err(Failure::new("no TLS")),
        };
        Ok(Line { socket, _tls: tls })
    }
}

fn ask_http1(socket: &mut TcpStream, request: &[u8]) -> Result<(), Failure> {
    socket.write_all(request).context("sending")?;
    let mut reader = Reader::new(Role::Response);
    let mut buffer = [0; 4096];
    loop {
        let count = socket.read(&mut buffer).context("receiving")?;
        if count == 0 {
            return Err(Failure::new("closed without an answer"));
        }
        if let Progress::Done(_) = reader.feed(buffer.get(..count).unwrap_or_default(), &mut |_| {})? {
            break;
        }
    }
    match reader.head().status {
        200..300 => Ok(()),
        status => Err(Failure(format!("status {status}"))),
    }
}

/// The least that RFC 9113 asks of a client: preface, SETTINGS, one HEADERS; then frames until the stream ends.
fn ask_http2(line: &mut (impl Read + Write), path: &str, bytes: usize) -> Result<(), Failure> {
    let block = head_block(path, Scheme::Https);
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend(frame(FrameKind::Settings, 0, 0, &[]));
    request.extend(frame(FrameKind::Headers, END_STREAM | END_HEADERS, 1, &block));
    line.write_all(&request).context("sending")?;
    let (mut payload, mut came) = (Vec::new(), 0);
    loop {
        let mut header = [0; 9];
        line.read_exact(&mut header).context("receiving a frame")?;
        let [high, middle, low, kind, flags, ..] = header;
        payload.resize(u32::from_be_bytes([0, high, middle, low]) as usize, 0);
        line.read_exact(&mut payload).context("receiving a payload")?;
        match kind {
            kind if kind == FrameKind::Settings as u8 && flags & ACK == 0 => {
                line.write_all(&frame(FrameKind::Settings, ACK, 0, &[])).context("acknowledging")?;
            }
            kind if kind == FrameKind::Data as u8 => {
                came += payload.len();
                if flags & END_STREAM != 0 {
                    let whole = Failure(format!("a body of {came} bytes instead of {bytes}"));
                    return if came == bytes { Ok(()) } else { Err(whole) };
                }
            }
            kind if kind == FrameKind::Reset as u8 || kind == FrameKind::GoAway as u8 => {
                return Err(Failure(format!("frame {kind} instead of an answer")));
            }
            // Heads, windows and the like; that it is the right answer shows the length of its body.
            _ => {}
        }
    }
}

/// The static table's fields `:scheme` (RFC 7541).
#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    Http = 0x86,
    Https = 0x87,
}

/// The head of a GET for a short path: the static table's `:method: GET` and `:scheme`, then literals that are not
/// indexed (RFC 7541).
pub(crate) fn head_block(path: &str, scheme: Scheme) -> Vec<u8> {
    let mut block = vec![0x82, scheme as u8];
    for (name, value) in [(0x04, path), (0x01, HOST)] {
        block.extend([name, value.len() as u8]);
        block.extend(value.bytes());
    }
    block
}

/// Types of frames (RFC 9113 section 6).
#[derive(Clone, Copy)]
pub(crate) enum FrameKind {
    Data = 0,
    Headers = 1,
    Reset = 3,
    Settings = 4,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
}

/// A whole frame.
pub(crate) fn frame(kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u32;
    let header = [&len.to_be_bytes()[1..], &[kind as u8, flags], &stream.to_be_bytes()].concat();
    [&header, payload].concat()
}

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Bytes that still come (an update of a window, a ticket) do not close a connection.
fn is_closed(mut socket: &TcpStream) -> bool {
    if socket.set_nonblocking(true).is_err() {
        return true;
    }
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// A proxy that needs longer for one small answer is stuck.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
