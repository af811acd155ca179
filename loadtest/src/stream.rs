// SPDX-License-Identifier: Apache-2.0
//! The client of event streams: keeps many of them open, and counts and times the events that arrive.

use std::net::SocketAddr;
use std::time::Duration;

use crate::connection::{Connection, Step};
use crate::failure::Failure;
use crate::histogram::Histogram;
use crate::machine::{check_interrupt, now_ns};
use crate::origin::{EVENT_BYTES, EVENT_STAMP};
use crate::socket::Poller;

/// Open event streams.
#[derive(Debug)]
pub struct Streams {
    request: Vec<u8>,
    poller: Poller,
    streams: Vec<Stream>,
    buffer: Vec<u8>,
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
    /// Opens `count` streams with the same request.
    pub fn open(target: SocketAddr, request: Vec<u8>, count: usize) -> Result<Streams, Failure> {
        let poller = Poller::new()?;
        let mut streams = Vec::with_capacity(count);
        for token in 0..count {
            let mut connection = Connection::open(target, None)?;
            poller.watch(connection.socket(), token)?;
            connection.begin(&request)?;
            connection.send(&request)?;
            streams.push(Stream { connection, partial: Vec::new() });
        }
        Ok(Streams { request, poller, streams, buffer: vec![0; READ_BYTES] })
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
                let Some(stream) = self.streams.get_mut(token) else { continue };
                stream.receive(&self.request, &mut self.buffer, &mut events)?;
            }
        }
    }
}

impl Stream {
    fn receive(&mut self, request: &[u8], buffer: &mut [u8], events: &mut Events) -> Result<(), Failure> {
        let now = now_ns();
        let partial = &mut self.partial;
        let mut pieces = 0;
        let step = self.connection.drive(request, buffer, &mut |piece| {
            pieces = 1;
            partial.extend_from_slice(piece);
            let whole = partial.len() / EVENT_BYTES * EVENT_BYTES;
            for event in partial.chunks_exact(EVENT_BYTES) {
                events.count += 1;
                let digits = event.get(EVENT_STAMP).and_then(|digits| std::str::from_utf8(digits).ok());
                if let Some(due) = digits.and_then(|digits| digits.parse::<u64>().ok()) {
                    events.latency.record(now.saturating_sub(due));
                }
            }
            partial.drain(..whole);
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
