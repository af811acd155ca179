// SPDX-License-Identifier: Apache-2.0
//! What it costs others that keys are made and revoked, and how long a revoked key is still good: the admin API makes
//! and revokes keys at a rate while clients send requests at another.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::client::{Client, Lifetime, Pace, Plan};
use crate::failure::{Context, Failure};
use crate::histogram::Histogram;
use crate::machine::check_interrupt;
use crate::reload::{Gateway, unused_port};

/// What is done.
#[derive(Args, Clone, Debug)]
pub struct Keys {
    /// The binary of turnpike.
    #[arg(long, default_value = "target/release/turnpike")]
    pub turnpike: PathBuf,
    /// Data-plane threads.
    #[arg(long, default_value_t = 2)]
    pub shards: usize,
    /// Requests a second.
    #[arg(long, default_value_t = 20_000)]
    pub requests: u64,
    /// Keys that are made, and revoked, a second.
    #[arg(long, default_value_t = 1_000)]
    pub keys: u64,
    /// Seconds without changes, and then with them.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The 99th percentile of responses while no key changed.
    pub quiet: Duration,
    /// The same while keys were made and revoked.
    pub busy: Duration,
    /// Keys made and revoked a second.
    pub changed: f64,
    /// From the answer to a revocation to the last response that the key got on any connection.
    pub revoked_after: Duration,
}

impl Keys {
    /// Measures.
    pub fn run(&self) -> Result<Outcome, Failure> {
        let span = Duration::try_from_secs_f64(self.seconds).context("--seconds")?;
        let directory = tempfile::tempdir().context("a directory for the run")?;
        let (listen, admin) = (unused_port()?, unused_port()?);
        let file = directory.path().join("turnpike.toml");
        let place = directory.path().display();
        let text = format!(
            "[server]\nwatch = false\nshards = {}\ncontrol_socket = \"{place}/control.sock\"\n[store]\npath = \
             \"{place}/store.db\"\n[admin]\nbind = \"{admin}\"\ntoken = \"{TOKEN}\"\n[[listener]]\nbind = \
             \"{listen}\"\n[policy.keys]\napi_key = {{ header = \"x-key\" }}\n[[consumer]]\nname = \"acme\"\nkeys = \
             [{{ key = \"{KEY}\" }}]\n[[route]]\npolicies = \"keys\"\nanswer = {{ body = \"hello\" }}\n",
            self.shards,
        );
        fs::write(&file, text).context("writing the configuration")?;
        let mut gateway = Gateway::start(&self.turnpike, &file)?;
        gateway.wait_until_it_listens(listen)?;
        gateway.wait_until_it_listens(admin)?;
        let mut clients = Client::new(Plan {
            target: listen,
            tls: None,
            requests: vec![request(listen, KEY)],
            body_bytes: Some(5),
            connections: CONNECTIONS,
            lifetime: Lifetime::KeepAlive,
        })?;
        let pace = Pace::Open { per_second: self.requests };
        clients.run(pace, span / 4)?.check()?;
        let quiet = clients.run(pace, span)?;
        quiet.check()?;
        check_interrupt()?;
        let (stop, changed) = (AtomicBool::new(false), AtomicU64::new(0));
        let (busy, revoked_after) = thread::scope(|scope| {
            let changing: Vec<_> = (0..CHANGERS).map(|_| scope.spawn(|| self.change(admin, &stop, &changed))).collect();
            let revoking = scope.spawn(|| revoke_one(admin, listen, span / 2));
            let busy = clients.run(pace, span);
            stop.store(true, Ordering::Relaxed);
            for changer in changing {
                changer.join().map_err(|_| Failure::new("a changer panicked"))??;
            }
            let revoked = revoking.join().map_err(|_| Failure::new("the revoker panicked"))?;
            Ok::<_, Failure>((busy?, revoked?))
        })?;
        busy.check()?;
        let percentile = |latency: &Histogram| Duration::from_nanos(latency.quantile(990).unwrap_or_default());
        let seconds = busy.elapsed_ns as f64 / 1e9;
        Ok(Outcome {
            quiet: percentile(&quiet.latency),
            busy: percentile(&busy.latency),
            changed: changed.load(Ordering::Relaxed) as f64 / seconds,
            revoked_after,
        })
    }

    /// Makes and revokes keys until it is stopped: this changer's part of the rate.
    fn change(&self, admin: SocketAddr, stop: &AtomicBool, changed: &AtomicU64) -> Result<(), Failure> {
        let mut api = Api::connect(admin)?;
        let pause = Duration::from_nanos(1_000_000_000 * CHANGERS as u64 / self.keys.max(1));
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let (id, _) = api.make()?;
            api.revoke(&id)?;
            changed.fetch_add(1, Ordering::Relaxed);
            // What cannot be kept up with is not caught up with: the outcome says how many it were.
            due = (due + pause).max(Instant::now());
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        let (quiet, busy) = (us(self.quiet), us(self.busy));
        let ratio = busy / quiet.max(1.0);
        writeln!(out, "p99 without changes {quiet:.0} us, with them {busy:.0} us: {ratio:.2} x")?;
        writeln!(out, "{:.0} keys a second made and revoked", self.changed)?;
        write!(out, "a revoked key was good for {:.1} ms more", us(self.revoked_after) / 1e3)
    }
}

/// Makes a key, uses it on several connections, revokes it after a while, and sees how long it is still good.
fn revoke_one(admin: SocketAddr, listen: SocketAddr, wait: Duration) -> Result<Duration, Failure> {
    let mut api = Api::connect(admin)?;
    let (id, key) = api.make()?;
    let revoked = AtomicBool::new(false);
    thread::scope(|scope| {
        let users: Vec<_> = (0..USERS).map(|_| scope.spawn(|| use_key(listen, &key, &revoked))).collect();
        thread::sleep(wait);
        let answered = api.revoke(&id).map(|()| Instant::now());
        revoked.store(true, Ordering::Relaxed);
        let mut last = Duration::ZERO;
        for user in users {
            let good = user.join().map_err(|_| Failure::new("a user of the key panicked"))??;
            last = last.max(good.saturating_duration_since(*answered.as_ref().map_err(Clone::clone)?));
        }
        Ok(last)
    })
}

/// Sends requests with a key until it is refused; when it was good for the last time.
fn use_key(listen: SocketAddr, key: &str, revoked: &AtomicBool) -> Result<Instant, Failure> {
    let mut connection = Http::connect(listen)?;
    let request = request(listen, key);
    let (mut good, mut refused) = (Instant::now(), 0);
    // A key that is refused stays refused.
    while refused < REFUSALS {
        match connection.ask(&request)?.0 {
            200 if refused == 0 => good = Instant::now(),
            401 if revoked.load(Ordering::Relaxed) || refused > 0 || good.elapsed() < REVOKED_MAX => refused += 1,
            status => return Err(Failure(format!("a key that got {status} after {refused} refusals"))),
        }
        if revoked.load(Ordering::Relaxed) && good.elapsed() > REVOKED_MAX && refused == 0 {
            return Err(Failure::new("a revoked key stays good"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(good)
}

fn request(to: SocketAddr, key: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {to}\r\nX-Key: {key}\r\n\r\n").into_bytes()
}

/// A connection to the admin API.
struct Api(Http);

impl Api {
    fn connect(admin: SocketAddr) -> Result<Api, Failure> {
        Http::connect(admin).map(Api)
    }

    /// Makes a key of the consumer; its number and the key.
    fn make(&mut self) -> Result<(String, String), Failure> {
        let made = self.post("/credentials", "{\"kind\":\"key\",\"consumer\":\"acme\"}")?;
        let text = |name: &str| made.get(name).and_then(Value::as_str).map(str::to_owned);
        text("id").zip(text("key")).context("a key was not made")
    }

    fn revoke(&mut self, id: &str) -> Result<(), Failure> {
        self.post(&format!("/credentials/{id}/revoke"), "").map(drop)
    }

    fn post(&mut self, path: &str, body: &str) -> Result<Value, Failure> {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "POST /api/v1{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n{kind}Content-Length: \
             {}\r\n\r\n{body}",
            self.0.peer,
            body.len(),
        );
        let (status, answer) = self.0.ask(request.as_bytes())?;
        if !(200..300).contains(&status) {
            return Err(Failure(format!("{path}: {status} {}", String::from_utf8_lossy(&answer))));
        }
        serde_json::from_slice(&answer).context("the admin API's answer")
    }
}

/// A kept-alive connection, on which one waits for each response.
struct Http {
    socket: TcpStream,
    peer: SocketAddr,
}

impl Http {
    fn connect(peer: SocketAddr) -> Result<Http, Failure> {
        let socket = TcpStream::connect(peer).context("connecting")?;
        socket.set_nodelay(true).context("TCP_NODELAY")?;
        socket.set_read_timeout(Some(RESPONSE_MAX)).context("setting a timeout")?;
        Ok(Http { socket, peer })
    }

    /// The status and the body.
    fn ask(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>), Failure> {
        self.socket.write_all(request).context("sending")?;
        let (mut response, mut buffer) = (Vec::new(), [0; 4_096]);
        loop {
            let read = self.socket.read(&mut buffer).context("receiving")?;
            response.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let head = memchr::memmem::find(&response, b"\r\n\r\n").map(|at| at + 4);
            let (Some(head), true) = (head, read > 0) else {
                if read == 0 {
                    return Err(Failure::new("closed without a response"));
                }
                continue;
            };
            let text = String::from_utf8_lossy(response.get(..head).unwrap_or_default()).to_ascii_lowercase();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let length: usize = field("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0);
            if response.len() >= head + length {
                let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
                return Ok((status.context("a status")?, response.split_off(head)));
            }
        }
    }
}

/// The admin API's token.
const TOKEN: &str = "loadtest-0123456789";
/// The key of those who are not to notice anything.
const KEY: &str = "a-key-that-nobody-revokes-0123456789";
/// Their connections.
const CONNECTIONS: usize = 64;
/// Connections to the admin API: a change is answered when all threads have it and the disk has.
const CHANGERS: usize = 32;
/// Connections of the key that is revoked, so that all threads see it.
const USERS: usize = 16;
/// Refusals after which nobody expects it to be good again.
const REFUSALS: u32 = 20;
/// A revoked key that is good for so long has not been revoked.
const REVOKED_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a response.
const RESPONSE_MAX: Duration = Duration::from_secs(10);
