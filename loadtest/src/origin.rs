// SPDX-License-Identifier: Apache-2.0
//! The origin of every test: one thread, one epoll, answers made beforehand, so that it never sets the limit.
//!
//! - `…/b/N` answers with N bytes;
//! - `…/count` answers with the decimal length of the body it received, as ten digits;
//! - `…/sse` sends events of [`EVENT_BYTES`] bytes, one chunk each, at a fixed rate over all streams together. Each
//!   event carries the time at which it was due.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::failure::{Context, Failure};
use crate::machine::{now_ns, wake_sharply};
use crate::message::{Progress, Reader, Role};
use crate::schedule::Schedule;
use crate::socket::Poller;

/// Bytes of one event of a stream.
pub const EVENT_BYTES: usize = 100;

/// Where the due time stands in an event: twenty decimal digits of nanoseconds of the monotonic clock.
pub const EVENT_STAMP: std::ops::Range<usize> = 6..26;

/// An origin that runs until it is dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

impl Origin {
    /// Listens on `bind` and answers in a thread of its own, which runs where the caller may run. `events_per_second`
    /// is the rate of all event streams together.
    pub fn start(bind: SocketAddr, events_per_second: u64) -> Result<Origin, Failure> {
        let listener = TcpListener::bind(bind).context(format_args!("binding the origin to {bind}"))?;
        listener.set_nonblocking(true).context("preparing the origin")?;
        let address = listener.local_addr().context("reading the origin's address")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("origin".into()).spawn(move || {
            wake_sharply();
            Server::new(listener, events_per_second)?.serve(&stopped)
        });
        Ok(Origin { address, stop, thread: Some(thread.context("starting the origin")?) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// False once the origin's thread has ended, which only a failure of the machine brings about.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What ended the thread was seen by the clients, who count errors.
            let _ = thread.join();
        }
    }
}

struct Server {
    listener: TcpListener,
    poller: Poller,
    slots: Vec<Option<Conversation>>,
    free: Vec<usize>,
    answers: HashMap<u64, Rc<[u8]>>,
    buffer: Vec<u8>,
    streams: Vec<usize>,
    next_stream: usize,
    events_per_second: u64,
    schedule: Option<Schedule>,
    event: Vec<u8>,
}

struct Conversation {
    socket: TcpStream,
    reader: Reader,
    output: VecDeque<Rc<[u8]>>,
    /// Bytes of the first piece of output that have left.
    sent: usize,
}

/// What a request asks for.
enum Wish {
    Bytes(u64),
    Count,
    Events,
    Unknown,
}

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
enum Fate {
    Open,
    Closed,
}

impl Server {
    fn new(listener: TcpListener, events_per_second: u64) -> Result<Server, Failure> {
        let poller = Poller::new()?;
        poller.watch(&listener, LISTENER)?;
        Ok(Server {
            listener,
            poller,
            slots: Vec::new(),
            free: Vec::new(),
            answers: HashMap::new(),
            buffer: vec![0; READ_BYTES],
            streams: Vec::new(),
            next_stream: 0,
            events_per_second,
            schedule: None,
            event: event_chunk(),
        })
    }

    fn serve(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        let mut tokens = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let timeout =
                self.schedule.as_ref().map_or(IDLE_NS, |due| due.next_ns().saturating_sub(now_ns()).min(IDLE_NS));
            self.poller.wait(timeout, &mut tokens)?;
            for &token in &tokens {
                if token == LISTENER {
                    self.accept()?;
                } else if self.drive(token) == Fate::Closed {
                    self.close(token);
                }
            }
            self.send_due_events();
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<(), Failure> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The peer gave up before it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(Failure(format!("the origin cannot accept: {error}"))),
            };
            socket.set_nonblocking(true).context("preparing a connection of the origin")?;
            socket.set_nodelay(true).context("preparing a connection of the origin")?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            self.poller.watch(&socket, slot)?;
            let reader = Reader::new(Role::Request);
            let conversation = Conversation { socket, reader, output: VecDeque::new(), sent: 0 };
            if let Some(place) = self.slots.get_mut(slot) {
                *place = Some(conversation);
            }
        }
    }

    fn close(&mut self, slot: usize) {
        if self.slots.get_mut(slot).is_some_and(|place| place.take().is_some()) {
            self.free.push(slot);
            self.streams.retain(|stream| *stream != slot);
            if self.streams.is_empty() {
                self.schedule = None;
            }
        }
    }

    fn drive(&mut self, slot: usize) -> Fate {
        let Some(Some(conversation)) = self.slots.get_mut(slot) else { return Fate::Open };
        if conversation.flush() == Fate::Closed {
            return Fate::Closed;
        }
        loop {
            let Some(Some(conversation)) = self.slots.get_mut(slot) else { return Fate::Open };
            let count = match conversation.socket.read(&mut self.buffer) {
                Ok(0) => return Fate::Closed,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Open,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Fate::Closed,
            };
            let buffer = std::mem::take(&mut self.buffer);
            let fate = self.read(slot, buffer.get(..count).unwrap_or_default());
            self.buffer = buffer;
            if fate == Fate::Closed || count < READ_BYTES {
                return fate;
            }
        }
    }

    /// Reads requests out of `input` and answers each as soon as it is complete.
    fn read(&mut self, slot: usize, mut input: &[u8]) -> Fate {
        while !input.is_empty() {
            let Some(Some(conversation)) = self.slots.get_mut(slot) else { return Fate::Closed };
            match conversation.reader.feed(input, &mut |_| {}) {
                Ok(Progress::More) => return Fate::Open,
                Ok(Progress::Done(used)) => input = input.get(used..).unwrap_or_default(),
                Err(_) => return Fate::Closed,
            }
            let received = conversation.reader.body_bytes();
            let wish = wish(&conversation.reader.head().target);
            let answer = self.answer(slot, wish, received);
            let Some(Some(conversation)) = self.slots.get_mut(slot) else { return Fate::Closed };
            conversation.output.push_back(answer);
            if conversation.flush() == Fate::Closed {
                return Fate::Closed;
            }
        }
        Fate::Open
    }

    fn answer(&mut self, slot: usize, wish: Wish, received: u64) -> Rc<[u8]> {
        match wish {
            Wish::Bytes(size) => Rc::clone(self.answers.entry(size).or_insert_with(|| {
                let body: Vec<u8> = (0..size).map(|at| b'a' + (at % 26) as u8).collect();
                response("200 OK", "application/octet-stream", &body)
            })),
            Wish::Count => response("200 OK", "text/plain", format!("{received:010}").as_bytes()),
            Wish::Events => {
                self.streams.push(slot);
                self.schedule.get_or_insert_with(|| Schedule::new(now_ns(), self.events_per_second));
                Rc::from(
                    &b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
                )
            }
            Wish::Unknown => response("404 Not Found", "text/plain", b"the origin knows /b/N, /count and /sse\n"),
        }
    }

    fn send_due_events(&mut self) {
        let now = now_ns();
        while let Some(due) = self.schedule.as_mut().and_then(|schedule| schedule.take(now)) {
            self.next_stream = (self.next_stream + 1) % self.streams.len().max(1);
            let Some(&slot) = self.streams.get(self.next_stream) else { return };
            stamp(&mut self.event, due);
            let Some(Some(conversation)) = self.slots.get_mut(slot) else { continue };
            if conversation.send_event(&self.event) == Fate::Closed {
                self.close(slot);
            }
        }
    }
}

impl Conversation {
    fn flush(&mut self) -> Fate {
        while let Some(piece) = self.output.front() {
            match self.socket.write(piece.get(self.sent..).unwrap_or_default()) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Open,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Fate::Closed,
            }
            if self.sent == piece.len() {
                self.output.pop_front();
                self.sent = 0;
            }
        }
        Fate::Open
    }

    /// Sends an event at once; a stream whose reader has fallen far behind is closed, which the client counts as an
    /// error.
    fn send_event(&mut self, event: &[u8]) -> Fate {
        if self.output.len() > EVENTS_WAITING_MAX {
            return Fate::Closed;
        }
        if !self.output.is_empty() {
            self.output.push_back(Rc::from(event));
            return self.flush();
        }
        let sent = match self.socket.write(event) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return Fate::Closed,
        };
        if sent < event.len() {
            self.output.push_back(Rc::from(event.get(sent..).unwrap_or_default()));
        }
        Fate::Open
    }
}

/// The wish in the last part of a target, so that any prefix of a route may stand before it.
fn wish(target: &[u8]) -> Wish {
    if target.ends_with(b"/count") {
        return Wish::Count;
    }
    if target.ends_with(b"/sse") {
        return Wish::Events;
    }
    let Some(start) = memchr::memmem::rfind(target, b"/b/") else { return Wish::Unknown };
    let digits = std::str::from_utf8(target.get(start + 3..).unwrap_or_default()).unwrap_or_default();
    match digits.parse() {
        Ok(size) if size <= ANSWER_BYTES_MAX => Wish::Bytes(size),
        Ok(_) | Err(_) => Wish::Unknown,
    }
}

fn response(status: &str, kind: &str, body: &[u8]) -> Rc<[u8]> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    Rc::from([head.as_bytes(), body].concat())
}

/// One event as a chunk, with zeros where the stamp goes.
fn event_chunk() -> Vec<u8> {
    let mut event = b"data: 00000000000000000000 ".to_vec();
    event.resize(EVENT_BYTES - 2, b'.');
    event.extend_from_slice(b"\n\n");
    [format!("{EVENT_BYTES:x}\r\n").as_bytes(), &event, b"\r\n"].concat()
}

fn stamp(chunk: &mut [u8], mut nanoseconds: u64) {
    let Some(digits) = chunk.get_mut(EVENT_STAMP.start + 4..EVENT_STAMP.end + 4) else { return };
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (nanoseconds % 10) as u8;
        nanoseconds /= 10;
    }
}

/// The token of the listener; slots never grow to it.
const LISTENER: usize = usize::MAX;

/// Requests are small; this only has to hold a piece of an upload.
const READ_BYTES: usize = 64 << 10;

/// How long the origin sleeps with nothing due, before it looks whether it should stop.
const IDLE_NS: u64 = 50_000_000;

/// Larger answers would only fill memory: they are made once and kept.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Events that may wait for one slow reader.
const EVENTS_WAITING_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    use super::{EVENT_BYTES, EVENT_STAMP, Origin, event_chunk, stamp};
    use crate::machine::now_ns;

    /// Sends `request` byte by byte, since the origin must not depend on where pieces end, and reads until `is_enough`.
    fn ask(request: &[u8], is_enough: impl Fn(&str) -> bool) -> String {
        let origin = Origin::start((Ipv4Addr::LOCALHOST, 0).into(), 1_000).unwrap();
        let mut socket = TcpStream::connect(origin.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for byte in request {
            socket.write_all(&[*byte]).unwrap();
        }
        let mut answer = String::new();
        while !is_enough(&answer) {
            let mut piece = [0; 4096];
            let count = socket.read(&mut piece).unwrap();
            assert!(count > 0, "{answer}");
            answer.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
        answer
    }

    #[test]
    fn sizes_and_counts() {
        let get = b"GET /any/prefix/b/30 HTTP/1.1\r\nHost: x\r\n\r\n";
        let answer = ask(get, |answer| answer.ends_with("\r\n\r\nabcdefghijklmnopqrstuvwxyzabcd"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Content-Length: 30\r\n"), "{answer}");
        let post =
            b"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        ask(post, |answer| answer.ends_with("\r\n\r\n0000000006"));
        ask(b"GET /c HTTP/1.1\r\nHost: x\r\n\r\n", |answer| answer.starts_with("HTTP/1.1 404 Not Found"));
    }

    #[test]
    fn events_carry_their_due_time() {
        let before = now_ns();
        let answer = ask(b"GET /sse HTTP/1.1\r\nHost: x\r\n\r\n", |answer| answer.len() > 300);
        let (_, body) = answer.split_once("\r\n\r\n64\r\n").unwrap();
        let due: u64 = body[EVENT_STAMP].parse().unwrap();
        assert!(due >= before && due <= now_ns());
        assert_eq!(&body[EVENT_BYTES - 2..EVENT_BYTES], "\n\n");
    }

    #[test]
    fn stamps_fill_their_digits() {
        let mut chunk = event_chunk();
        stamp(&mut chunk, 1_234);
        assert!(chunk.starts_with(b"64\r\ndata: 00000000000000001234 ."));
        assert_eq!(chunk.len(), EVENT_BYTES + 6);
    }
}
