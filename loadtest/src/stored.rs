// SPDX-License-Identifier: Apache-2.0
//! What a store with many keys costs: how long the gateway takes to start with it, its memory for each key, and what
//! a look-up costs beside one among a few keys.
//!
//! The gateway makes the tables of a new store. The rows are then written by SQL, because a million writes by the
//! admin API would take longer than all that is measured.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::client::{Client, Lifetime, Pace, Plan};
use crate::failure::{Context, Failure};
use crate::machine::check_interrupt;
use crate::process::Tree;
use crate::reload::{Gateway, unused_port};

/// What is done.
#[derive(Args, Clone, Debug)]
pub struct Stored {
    /// The binary of turnpike.
    #[arg(long, default_value = "target/release/turnpike")]
    turnpike: PathBuf,
    /// Data-plane threads.
    #[arg(long, default_value_t = 2)]
    shards: usize,
    /// Keys in the store.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u32,
    /// Keys of each consumer.
    #[arg(long, default_value_t = 1)]
    keys_of_each: u32,
    /// Keys in the store that a look-up is compared with.
    #[arg(long, default_value_t = 1_000)]
    few: u32,
    /// Starts of which the median counts, and rounds of look-ups.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of look-ups in each round, for each store.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    keys: u32,
    few: u32,
    /// From the start of the process to the first request with a key that was served.
    start: Duration,
    /// The same without keys.
    start_empty: Duration,
    rss_kib: u64,
    rss_kib_empty: u64,
    /// Processor time of a request whose key is one of all.
    request_ns: f64,
    /// Of one whose key is one of a few.
    request_ns_few: f64,
}

impl Stored {
    /// Measures.
    pub fn run(&self) -> Result<Outcome, Failure> {
        let [empty, few, all] = [0, self.few, self.keys].map(|keys| Site::new(self, keys));
        let (empty, few, all) = (empty?, few?, all?);
        let (start_empty, rss_kib_empty) = self.starts(&empty)?;
        let (start, rss_kib) = self.starts(&all)?;
        let (request_ns_few, request_ns) = self.look_ups(&few, &all)?;
        let (keys, few) = (self.keys, self.few);
        Ok(Outcome { keys, few, start, start_empty, rss_kib, rss_kib_empty, request_ns, request_ns_few })
    }

    /// Medians of the time to the first request that was served, and of the memory after a rest.
    fn starts(&self, site: &Site) -> Result<(Duration, u64), Failure> {
        let (mut times, mut sizes) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds.max(1) {
            check_interrupt()?;
            let began = Instant::now();
            let (gateway, _) = site.start(&self.turnpike)?;
            times.push(began.elapsed());
            thread::sleep(REST);
            sizes.push(Tree::of(gateway.id()).memory().rss_kib);
        }
        Ok((median(times), median(sizes)))
    }

    /// Medians of the processor time of a request, with the one store and with the other, in turn.
    fn look_ups(&self, few: &Site, all: &Site) -> Result<(f64, f64), Failure> {
        let span = Duration::try_from_secs_f64(self.seconds).context("--seconds")?;
        let mut gateways = Vec::new();
        for site in [few, all] {
            let (gateway, listen) = site.start(&self.turnpike)?;
            let mut client = Client::new(Plan {
                target: listen,
                tls: None,
                requests: site.requests(listen),
                body_bytes: Some(5),
                connections: CONNECTIONS,
                lifetime: Lifetime::KeepAlive,
            })?;
            client.run(Pace::Closed, span / 2)?.check()?;
            gateways.push((Tree::of(gateway.id()), client, Vec::new(), gateway));
        }
        for _ in 0..self.rounds.max(1) {
            for (tree, client, times, _) in &mut gateways {
                check_interrupt()?;
                let before = tree.cpu_ns()?;
                let outcome = client.run(Pace::Closed, span)?;
                outcome.check()?;
                times.push(tree.cpu_ns()?.saturating_sub(before) / outcome.completed.max(1));
            }
        }
        let mut medians = gateways.into_iter().map(|(_, _, times, _)| median(times) as f64);
        Ok((medians.next().unwrap_or_default(), medians.next().unwrap_or_default()))
    }
}

/// A folder with a store that holds so many keys.
struct Site {
    directory: TempDir,
    shards: usize,
    keys: u32,
}

impl Site {
    fn new(of: &Stored, keys: u32) -> Result<Site, Failure> {
        let directory = tempfile::tempdir().context("a directory for the run")?;
        let site = Site { directory, shards: of.shards, keys };
        // The tables are made when it starts.
        drop(site.await_response(&of.turnpike, open_request)?);
        fill(&site.directory.path().join("store.db"), keys, of.keys_of_each.max(1))?;
        Ok(site)
    }

    /// Writes the configuration. Each start has a port of its own: the kernel closes the sockets of a killed process
    /// some time after its end, and resets what was connected to them.
    fn configure(&self) -> Result<(PathBuf, SocketAddr), Failure> {
        let (file, listen) = (self.directory.path().join("turnpike.toml"), unused_port()?);
        let (place, shards) = (self.directory.path().display(), self.shards);
        let text = format!(
            "[server]\nwatch = false\nshards = {shards}\ncontrol_socket = \"{place}/control.sock\"\n[store]\npath = \
             \"{place}/store.db\"\n[[listener]]\nbind = \"{listen}\"\n[policy.keys]\napi_key = {{ header = \"x-key\" \
             }}\n[[route]]\nname = \"open\"\npath_exact = \"/open\"\nanswer = {{ body = \"hello\" }}\n[[route]]\nname \
             = \"keyed\"\npolicies = \"keys\"\nanswer = {{ body = \"hello\" }}\n",
        );
        fs::write(&file, text).context("writing the configuration")?;
        Ok((file, listen))
    }

    /// Starts the gateway, and returns when it has served a request with the last of the keys.
    fn start(&self, turnpike: &Path) -> Result<(Gateway, SocketAddr), Failure> {
        match self.keys.checked_sub(1) {
            Some(last) => self.await_response(turnpike, |to| request(to, last)),
            None => self.await_response(turnpike, open_request),
        }
    }

    fn await_response(
        &self,
        turnpike: &Path,
        request: impl Fn(SocketAddr) -> Vec<u8>,
    ) -> Result<(Gateway, SocketAddr), Failure> {
        let (file, listen) = self.configure()?;
        let mut gateway = Gateway::start(turnpike, &file)?;
        gateway.wait_until_it_listens(listen)?;
        let mut socket = TcpStream::connect(listen).context("connecting")?;
        socket.set_read_timeout(Some(RESPONSE_MAX)).context("setting a timeout")?;
        socket.write_all(&request(listen)).context("sending")?;
        let mut status = [0; 12];
        socket.read_exact(&mut status).context("receiving")?;
        match &status {
            b"HTTP/1.1 200" => Ok((gateway, listen)),
            other => Err(Failure(format!("the first response is `{}`", String::from_utf8_lossy(other)))),
        }
    }

    /// Requests with keys from all over the store.
    fn requests(&self, to: SocketAddr) -> Vec<Vec<u8>> {
        let count = REQUESTS.min(self.keys);
        let step = f64::from(self.keys) / f64::from(count.max(1));
        (0..count).map(|at| request(to, (f64::from(at) * step) as u32)).collect()
    }
}

/// Writes keys into a store without any, as the admin API would: a plan, its subscribers, and their keys.
fn fill(store: &Path, keys: u32, keys_of_each: u32) -> Result<(), Failure> {
    let mut connection = Connection::open(store).context("opening the store")?;
    let rows = connection.transaction().context("a transaction")?;
    let object = "INSERT INTO objects (kind, name, revision, created, updated, body) VALUES (?1, ?2, 1, 0, 0, ?3)";
    let (mut object, mut link, mut credential) = (
        rows.prepare(object).context("objects")?,
        rows.prepare("INSERT INTO links VALUES (3, ?1, 4, 'gold')").context("links")?,
        rows.prepare(
            "INSERT INTO credentials (id, kind, consumer, lookup, last4, description, revision, created, updated) \
             VALUES (?1, 1, ?2, ?3, ?4, '', 1, 0, 0)",
        )
        .context("credentials")?,
    );
    object.execute(params![4, "gold", "{\"limits\":[{\"count\":1000000,\"per\":\"day\"}]}"]).context("a plan")?;
    for at in 0..keys {
        let consumer = format!("consumer-{:07}", at / keys_of_each);
        if at.is_multiple_of(keys_of_each) {
            object.execute(params![3, consumer, "{\"plan\":\"gold\"}"]).context("a consumer")?;
            link.execute(params![consumer]).context("a link")?;
        }
        let key = key(at);
        let (id, last4) = (format!("cred_{at:020}"), key.get(key.len() - 4..));
        let hash = Sha256::digest(&key);
        credential.execute(params![id, consumer, hash.as_slice(), last4]).context("a key")?;
    }
    drop((object, link, credential));
    rows.commit().context("writing the store")
}

fn key(at: u32) -> String {
    format!("a-key-of-the-store-{at:010}")
}

fn request(to: SocketAddr, at: u32) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {to}\r\nX-Key: {}\r\n\r\n", key(at)).into_bytes()
}

fn open_request(to: SocketAddr) -> Vec<u8> {
    format!("GET /open HTTP/1.1\r\nHost: {to}\r\n\r\n").into_bytes()
}

fn median<T: Copy + Default + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let each = (self.rss_kib as f64 - self.rss_kib_empty as f64) * 1024.0 / f64::from(self.keys.max(1));
        writeln!(
            out,
            "start to the first response {:.0} ms, without keys {:.0} ms",
            ms(self.start),
            ms(self.start_empty)
        )?;
        writeln!(out, "RSS {} KiB, without keys {} KiB: {each:.0} B for each key", self.rss_kib, self.rss_kib_empty)?;
        let (all, few) = (self.request_ns, self.request_ns_few);
        let ratio = all / few.max(1.0);
        write!(out, "CPU of a request {all:.0} ns, with {} keys {few:.0} ns: {ratio:.2} x", self.few)
    }
}

/// Connections that look keys up.
const CONNECTIONS: usize = 64;
/// Requests that are sent in turn: so many that what they look up does not stay in a cache of the first levels.
const REQUESTS: u32 = 100_000;
/// From the first response to the look at the memory: freed memory is given back by then.
const REST: Duration = Duration::from_secs(3);
/// Longest wait for a response.
const RESPONSE_MAX: Duration = Duration::from_secs(10);
