// SPDX-License-Identifier: Apache-2.0
//! Requests without a pause from several threads, while a test does something to the gateway.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::Client;
use super::message::End;
use super::reader::Trouble;
use super::wait_for;

/// How connections are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// One for each request.
    Once,
    /// Kept for as long as the gateway lets us. Where it closes one between two requests, the request is sent again
    /// on a new one, as every client does (RFC 9110 section 9.2.2).
    Kept,
}

/// What came of it so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answers with 200 and a whole body.
    pub good: AtomicU64,
    /// Requests that were sent again, because the connection was closed before.
    pub again: AtomicU64,
    /// Everything else, in words.
    pub failures: Mutex<Vec<String>>,
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    pub tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// `GET` of a target from so many threads.
    pub fn start(address: SocketAddr, target: &str, threads: usize, kind: Use) -> Load {
        let (tally, stop) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
        let threads = (0..threads).map(|_| {
            let request = format!("GET {target} HTTP/1.1\r\nHost: load\r\n\r\n");
            let (tally, stop) = (tally.clone(), stop.clone());
            thread::spawn(move || Worker { address, request, kind, connection: None, tally }.work(&stop))
        });
        Load { threads: threads.collect(), tally, stop }
    }

    /// Waits until so many more requests were answered.
    pub fn wait_more(&self, count: u64) {
        let from = self.tally.good.load(Ordering::Relaxed);
        wait_for("more answers", || {
            let failed = !self.tally.failures.lock().expect("no worker panics with it").is_empty();
            (failed || self.tally.good.load(Ordering::Relaxed) >= from + count).then_some(())
        });
    }

    /// Stops, and gives the counts of good answers and of requests that were sent again. Panics where a request failed.
    pub fn stop(self) -> (u64, u64) {
        let (good, again, failures) = self.end();
        assert!(failures.is_empty(), "{} of {} failed: {:?}", failures.len(), good, &failures[..failures.len().min(5)]);
        (good, again)
    }

    /// Stops, and gives all counts.
    pub fn end(self) -> (u64, u64, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().expect("workers do not panic"));
        let failures = std::mem::take(&mut *self.tally.failures.lock().expect("no worker panics with it"));
        (self.tally.good.load(Ordering::SeqCst), self.tally.again.load(Ordering::SeqCst), failures)
    }
}

struct Worker {
    address: SocketAddr,
    request: String,
    kind: Use,
    connection: Option<Client>,
    tally: Arc<Tally>,
}

impl Worker {
    fn work(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            match self.once() {
                Ok(()) => drop(self.tally.good.fetch_add(1, Ordering::Relaxed)),
                Err(failure) => {
                    self.tally.failures.lock().expect("no worker panics with it").push(failure);
                    // A gateway that is gone would otherwise fill the list.
                    thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    fn once(&mut self) -> Result<(), String> {
        let kept = self.connection.take();
        let reused = kept.is_some();
        let mut client = match kept {
            Some(client) => client,
            None => Client::try_to(self.address).map_err(|error: io::Error| format!("connect: {error}"))?,
        };
        client.send(&self.request);
        let answer = match client.read("GET") {
            Ok(answer) => answer,
            Err(trouble) if reused && closed_before(&trouble) => {
                self.tally.again.fetch_add(1, Ordering::Relaxed);
                return self.once();
            }
            Err(trouble) => return Err(trouble.to_string()),
        };
        if answer.status != 200 || answer.end != End::Complete {
            return Err(format!("{} {:?} {:?}", answer.status, answer.end, answer.text()));
        }
        if self.kind == Use::Kept && !answer.closes() {
            self.connection = Some(client);
        }
        Ok(())
    }
}

/// Nothing came of the answer.
fn closed_before(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Closed => true,
        Trouble::Cut(had) => had.starts_with(" ("),
        Trouble::TimedOut(_) | Trouble::Malformed(_) => false,
    }
}
