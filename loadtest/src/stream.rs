// SPDX-License-Identifier: Apache-2.0
//! The client of event streams: keeps many of them open, and counts and times the events that arrive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::connection::{Connection, Step};
use crate::failure::Failure;
use crate::histogram::Histogram;
use crate::machine::{check_interrupt, now_ns};
use crate::multiplexed::Multiplexed;
use crate::origin::{EVENT_BYTES, EVENT_STAMP};
use crate::socket::Poller;

/// Open event streams.
#[derive(Debug)]
pub struct Streams {
    request: Vec<u8>,
    poller: Poller,
    lines: Vec<Line>,
    buffer: Vec<u8>,
}

/// A connection, of either version.
#[derive(Debug)]
enum Line {
    One(Stream),
    Many(Multiplexed),
}

/// What arrived on all streams together.
#[derive(Debug, Default)]
pub struct Events {
    /// Events.
    pub count: u64,
    /// Pieces in which they arrived: as many as events where nothing was held back and joined.
    pub pieces: u64,
    /// Nanoseconds from when an event was due at the origin to its arrival.
    pub latency: Histogram,
}

#[derive(Debug)]
struct Stream {
    connection: Connection,
    /// The start of an event whose end has not arrived.
    partial: Vec<u8>,
}

impl Streams {
    /// Opens `count` streams with the same request, inside TLS where there is a configuration for it.
    pub fn open(
        target: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        request: Vec<u8>,
        count: usize,
    ) -> Result<Streams, Failure> {
        let poller = Poller::new()?;
        let mut lines = Vec::with_capacity(count);
        for token in 0..count {
            let mut connection = Connection::open(target, tls)?;
            poller.watch(connection.socket(), token)?;
            connection.begin(&request)?;
            connection.send(&request)?;
            lines.push(Line::One(Stream { connection, partial: Vec::new() }));
        }
        Ok(Streams { request, poller, lines, buffer: vec![0; READ_BYTES] })
    }

    /// Opens so many streams of `path` on each of so many connections of HTTP/2.
    pub fn open_http2(
        target: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        path: &str,
        connections: usize,
        streams: usize,
    ) -> Result<Streams, Failure> {
        let poller = Poller::new()?;
        let mut lines = Vec::with_capacity(connections);
        for token in 0..connections {
            let connection = Multiplexed::open(target, tls, path, streams)?;
            poller.watch(connection.socket(), token)?;
            lines.push(Line::Many(connection));
        }
        Ok(Streams { request: Vec::new(), poller, lines, buffer: vec![0; READ_BYTES] })
    }

    /// Receives for `duration`. A stream that ends, or that is not an event stream with status 200, is a failure.
    pub fn run(&mut self, duration: Duration) -> Result<Events, Failure> {
        let end = now_ns() + duration.as_nanos() as u64;
        let mut events = Events::default();
        let mut tokens = Vec::new();
        loop {
            let now = now_ns();
            if now >= end {
                return Ok(events);
            }
            check_interrupt()?;
            self.poller.wait((end - now).min(WAIT_NS_MAX), &mut tokens)?;
            for &token in &tokens {
                match self.lines.get_mut(token) {
                    Some(Line::One(stream)) => stream.receive(&self.request, &mut self.buffer, &mut events)?,
                    Some(Line::Many(connection)) => {
                        let now = now_ns();
                        connection.drive(&mut self.buffer, &mut |partial, piece| {
                            events.pieces += 1;
                            events.take(partial, piece, now);
                        })?;
                    }
                    None => {}
                }
            }
        }
    }
}

impl Events {
    /// Counts the events that are whole with `piece`; the rest stays in `partial`.
    fn take(&mut self, partial: &mut Vec<u8>, piece: &[u8], now: u64) {
        partial.extend_from_slice(piece);
        let whole = partial.len() / EVENT_BYTES * EVENT_BYTES;
        for event in partial.chunks_exact(EVENT_BYTES) {
            self.count += 1;
            let digits = event.get(EVENT_STAMP).and_then(|digits| std::str::from_utf8(digits).ok());
            if let Some(due) = digits.and_then(|digits| digits.parse::<u64>().ok()) {
                self.latency.record(now.saturating_sub(due));
            }
        }
        partial.drain(..whole);
    }
}

impl Stream {
    fn receive(&mut self, request: &[u8], buffer: &mut [u8], events: &mut Events) -> Result<(), Failure> {
        let now = now_ns();
        let partial = &mut self.partial;
        let mut pieces = 0;
        let step = self.connection.drive(request, buffer, &mut |piece| {
            pieces = 1;
            events.take(partial, piece, now);
        })?;
        events.pieces += pieces;
        let head = self.connection.reader().head();
        if head.status != 200 && head.status != 0 {
            return Err(Failure(format!("a stream answered with status {}", head.status)));
        }
        match step {
            Step::Waiting => Ok(()),
            Step::Done | Step::Closed => Err(Failure::new("a stream ended")),
        }
    }
}

/// Streams bring little at a time.
const READ_BYTES: usize = 64 << 10;

/// An interrupt is seen after this time at the latest.
const WAIT_NS_MAX: u64 = 100_000_000;
