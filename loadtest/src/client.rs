// SPDX-License-Identifier: Apache-2.0
//! The load generator: many connections, one thread, one epoll; a closed loop for cost, an open loop for latency.
//!
//! Whatever is not a complete 2xx response of the expected length is an error, and is counted and shown.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::connection::{Connection, Step};
use crate::failure::{Context, Failure};
use crate::histogram::Histogram;
use crate::machine::{interrupted, now_ns};
use crate::schedule::Schedule;
use crate::socket::Poller;

/// What is asked of whom.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to connect.
    pub target: SocketAddr,
    /// How to speak TLS, if at all.
    pub tls: Option<Arc<ClientConfig>>,
    /// The requests, sent in turn.
    pub requests: Vec<Vec<u8>>,
    /// The length every response's body must have, where it is known.
    pub body_bytes: Option<u64>,
    /// How many connections.
    pub connections: usize,
    /// How long a connection lives.
    pub lifetime: Lifetime,
}

/// How long a connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the other side keeps it.
    KeepAlive,
    /// For one request.
    PerRequest,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// On every connection as soon as the response before is complete.
    Closed,
    /// At a fixed rate, whatever the responses do; latencies count from the time a request was due.
    Open {
        /// Requests a second over all connections.
        per_second: u64,
    },
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Complete responses as expected.
    pub completed: u64,
    /// Everything else.
    pub errors: u64,
    /// The first few errors in words.
    pub complaints: Vec<String>,
    /// Bytes of bodies.
    pub body_bytes: u64,
    /// From the start to the last response.
    pub elapsed_ns: u64,
    /// Nanoseconds from when a request was sent (closed loop) or due (open loop) to the end of its response.
    pub latency: Histogram,
}

impl Outcome {
    /// Counts an error.
    pub fn complain(&mut self, failure: &Failure) {
        self.errors += 1;
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(failure.to_string());
        }
    }

    /// A failure where there were errors, or no response at all.
    pub fn check(&self) -> Result<(), Failure> {
        if self.errors > 0 {
            return Err(Failure(format!(
                "{} errors beside {} good responses: {}",
                self.errors,
                self.completed,
                self.complaints.join("; ")
            )));
        }
        if self.completed == 0 { Err(Failure::new("not one response")) } else { Ok(()) }
    }

    /// Responses a second.
    pub fn per_second(&self) -> f64 {
        self.completed as f64 * 1e9 / self.elapsed_ns.max(1) as f64
    }
}

/// A client whose connections outlive its runs, so that a run can follow a warm-up.
#[derive(Debug)]
pub struct Client {
    plan: Plan,
    poller: Poller,
    slots: Vec<Slot>,
    idle: VecDeque<usize>,
    buffer: Vec<u8>,
    next_request: usize,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    request: usize,
    due_ns: u64,
}

/// What a run needs beside the client.
struct Run {
    outcome: Outcome,
    pace: Pace,
    end_ns: u64,
    schedule: Option<Schedule>,
    /// Due times for which no connection was free.
    late: VecDeque<u64>,
    under_way: usize,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(plan: Plan) -> Result<Client, Failure> {
        let connections = plan.connections;
        Ok(Client {
            plan,
            poller: Poller::new()?,
            slots: (0..connections).map(|_| Slot::default()).collect(),
            idle: (0..connections).collect(),
            buffer: vec![0; READ_BYTES],
            next_request: 0,
        })
    }

    /// Sends requests for `duration` and then waits for the responses under way.
    pub fn run(&mut self, pace: Pace, duration: Duration) -> Result<Outcome, Failure> {
        let start = now_ns();
        let schedule = match pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Schedule::new(start, per_second)),
        };
        let end_ns = start + duration.as_nanos() as u64;
        let mut run = Run { outcome: Outcome::default(), pace, end_ns, schedule, late: VecDeque::new(), under_way: 0 };
        if pace == Pace::Closed {
            // Once each: a slot that fails is idle again.
            for slot in std::mem::take(&mut self.idle) {
                self.start(slot, now_ns(), &mut run);
            }
        }
        let mut tokens = Vec::new();
        loop {
            self.start_due(&mut run);
            let now = now_ns();
            let over = now >= end_ns && run.late.is_empty();
            if (over && run.under_way == 0) || run.outcome.errors >= ERRORS_MAX {
                break;
            }
            if interrupted() {
                return Err(Failure::new("interrupted"));
            }
            if now > end_ns + DRAIN_NS_MAX {
                run.outcome.complain(&Failure(format!("{} requests were not answered", run.under_way)));
                break;
            }
            self.poller.wait(timeout(&run, now), &mut tokens)?;
            for &slot in &tokens {
                self.drive(slot, &mut run);
            }
        }
        let outcome = &mut run.outcome;
        if outcome.elapsed_ns == 0 {
            outcome.elapsed_ns = now_ns();
        }
        outcome.elapsed_ns = outcome.elapsed_ns.saturating_sub(start);
        Ok(run.outcome)
    }

    /// Starts what is due in an open loop, on the connections that are free.
    fn start_due(&mut self, run: &mut Run) {
        let now = now_ns().min(run.end_ns.saturating_sub(1));
        while let Some(due) = run.schedule.as_mut().and_then(|schedule| schedule.take(now)) {
            run.late.push_back(due);
        }
        while !run.late.is_empty()
            && let Some(slot) = self.idle.pop_front()
        {
            let due = run.late.pop_front().unwrap_or(now);
            self.start(slot, due, run);
        }
    }

    fn start(&mut self, slot: usize, due_ns: u64, run: &mut Run) {
        run.under_way += 1;
        if let Err(failure) = self.begin(slot, due_ns) {
            self.fail(slot, &failure, run);
            return;
        }
        self.drive(slot, run);
    }

    fn begin(&mut self, slot: usize, due_ns: u64) -> Result<(), Failure> {
        let request = self.next_request;
        self.next_request = (request + 1) % self.plan.requests.len().max(1);
        let place = self.slots.get_mut(slot).context("a slot that is not there")?;
        if place.connection.is_none() {
            let connection = Connection::open(self.plan.target, self.plan.tls.as_ref())?;
            self.poller.watch(connection.socket(), slot)?;
            place.connection = Some(connection);
        }
        place.request = request;
        place.due_ns = due_ns;
        let connection = place.connection.as_mut().context("a slot without a connection")?;
        connection.begin(self.plan.requests.get(request).context("no request to send")?)
    }

    fn drive(&mut self, slot: usize, run: &mut Run) {
        let Some(place) = self.slots.get_mut(slot) else { return };
        let Some(connection) = &mut place.connection else { return };
        let was_busy = connection.is_busy();
        let request = self.plan.requests.get(place.request).map_or(&[][..], Vec::as_slice);
        match connection.drive(request, &mut self.buffer, &mut |_| {}) {
            Ok(Step::Waiting) => {}
            Ok(Step::Closed) => place.connection = None,
            Ok(Step::Done) => match self.judge(slot) {
                Ok(body_bytes) => self.finish(slot, body_bytes, run),
                Err(failure) => self.fail(slot, &failure, run),
            },
            Err(failure) if was_busy => self.fail(slot, &failure, run),
            Err(failure) => {
                run.outcome.complain(&failure);
                place.connection = None;
            }
        }
    }

    /// Whether a complete response is what was expected; returns the length of its body.
    fn judge(&self, slot: usize) -> Result<u64, Failure> {
        let connection = self.slots.get(slot).and_then(|place| place.connection.as_ref());
        let connection = connection.context("a slot without a connection")?;
        let (status, body_bytes) = (connection.reader().head().status, connection.reader().body_bytes());
        if !(200..300).contains(&status) {
            return Err(Failure(format!("status {status}")));
        }
        if let Some(expected) = self.plan.body_bytes
            && expected != body_bytes
        {
            return Err(Failure(format!("a body of {body_bytes} bytes instead of {expected}")));
        }
        if !connection.has_full_handshake() {
            return Err(Failure::new("a TLS session was resumed"));
        }
        Ok(body_bytes)
    }

    fn finish(&mut self, slot: usize, body_bytes: u64, run: &mut Run) {
        let now = now_ns();
        let Some(place) = self.slots.get_mut(slot) else { return };
        run.outcome.completed += 1;
        run.outcome.body_bytes += body_bytes;
        run.outcome.latency.record(now.saturating_sub(place.due_ns));
        run.outcome.elapsed_ns = now;
        run.under_way -= 1;
        let closes = place.connection.as_ref().is_some_and(|connection| connection.reader().head().closes);
        if closes || self.plan.lifetime == Lifetime::PerRequest {
            if let Some(connection) = &mut place.connection {
                connection.say_goodbye();
            }
            place.connection = None;
        }
        self.go_on(slot, now, run);
    }

    fn fail(&mut self, slot: usize, failure: &Failure, run: &mut Run) {
        run.outcome.complain(failure);
        run.under_way -= 1;
        if let Some(place) = self.slots.get_mut(slot) {
            place.connection = None;
        }
        // Not at once: a proxy that refuses everything would make this a loop without end.
        self.idle.push_back(slot);
    }

    /// The next request of a closed loop goes out from here, one level deep: its response cannot be there yet.
    fn go_on(&mut self, slot: usize, now: u64, run: &mut Run) {
        if run.pace != Pace::Closed || now >= run.end_ns {
            self.idle.push_back(slot);
            return;
        }
        run.under_way += 1;
        if let Err(failure) = self.begin(slot, now) {
            self.fail(slot, &failure, run);
            return;
        }
        let Some(place) = self.slots.get_mut(slot) else { return };
        let Some(connection) = &mut place.connection else { return };
        let request = self.plan.requests.get(place.request).map_or(&[][..], Vec::as_slice);
        if let Err(failure) = connection.send(request) {
            self.fail(slot, &failure, run);
        }
    }
}

fn timeout(run: &Run, now: u64) -> u64 {
    let next = run.schedule.as_ref().map_or(u64::MAX, Schedule::next_ns);
    let until = if next < run.end_ns { next } else { run.end_ns };
    // After the end there is nothing to do but to wait for responses.
    if now >= run.end_ns { WAIT_NS_MAX } else { until.saturating_sub(now).min(WAIT_NS_MAX) }
}

/// One read takes a megabyte's worth of loopback segments in a few calls.
const READ_BYTES: usize = 256 << 10;

/// How many errors are told in words.
const COMPLAINTS_MAX: usize = 3;

/// The run stops after this many errors.
const ERRORS_MAX: u64 = 100;

/// How long responses may be missing after a run.
const DRAIN_NS_MAX: u64 = 10_000_000_000;

/// An interrupt is seen after this time at the latest.
const WAIT_NS_MAX: u64 = 100_000_000;
