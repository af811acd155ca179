// SPDX-License-Identifier: Apache-2.0
//! Memory: at rest, and with many idle connections.
//!
//! A proxy may set memory aside for connections at start (nginx does, by `worker_connections`), so growth alone
//! flatters it. The same proxy set up for few connections shows how much that is.

use std::thread;
use std::time::Duration;

use crate::failure::{Context, Failure};
use crate::hold::{Held, Target};
use crate::peer::{Peer, Setup};
use crate::record::{IdleMemory, RestMemory};
use crate::slice::Bench;
use crate::workload::{IDLE_CONNECTIONS, Speech, get};

impl Bench {
    /// Memory of `peer` with idle connections, each after one request.
    pub fn idle(&self, peer: Peer, speech: Speech, round: usize) -> Result<IdleMemory, Failure> {
        self.measure_idle(peer, speech, round).context(format_args!("{speech} through {peer}"))
    }

    /// Memory of `peer` with `shards` threads that serve, before its first request.
    pub fn rest(&self, peer: Peer, shards: usize) -> Result<RestMemory, Failure> {
        let setup = Setup { shards, ..Setup::plain(self.origin.address()) };
        let running = self.programs.start(peer, &setup, &self.directory)?;
        thread::sleep(REST);
        Ok(RestMemory { peer, shards, memory: running.tree().memory() })
    }

    fn measure_idle(&self, peer: Peer, speech: Speech, round: usize) -> Result<IdleMemory, Failure> {
        let (path, bytes) = ("/b/100", 100);
        let certificate = (speech == Speech::Http2Tls).then(|| self.certificate.clone());
        let full = Setup { certificate, ..Setup::plain(self.origin.address()) };
        let open = |address, count| match speech {
            Speech::Http1 => Held::open(&Target::Http1 { address, request: get(path) }, count),
            Speech::Http2Tls => Held::open(&Target::Http2Tls { address, path, bytes, tls: &self.tls }, count),
        };
        let few = Setup { connections_max: CONNECTIONS_FEW, ..full.clone() };
        let running = self.programs.start(peer, &few, &self.directory)?;
        // The first requests allocate what all later ones share, such as the connections to the origin.
        let first = open(running.address(), CONNECTIONS_FIRST)?;
        thread::sleep(REST);
        let small = running.tree().memory();
        drop(first);
        running.stop();

        let running = self.programs.start(peer, &full, &self.directory)?;
        let first = open(running.address(), CONNECTIONS_FIRST)?;
        thread::sleep(REST);
        let rest = running.tree().memory();
        let held = open(running.address(), IDLE_CONNECTIONS)?;
        thread::sleep(REST);
        let memory = running.tree().memory();
        let closed = held.closed() + first.closed();
        if closed > 0 {
            return Err(Failure(format!("{closed} idle connections were closed")));
        }
        Ok(IdleMemory { peer, speech, round, connections: IDLE_CONNECTIONS, small, rest, held: memory })
    }
}

/// Connections before the first reading.
const CONNECTIONS_FIRST: usize = 16;

/// What a proxy that serves few clients is set up for; nginx's own default.
const CONNECTIONS_FEW: usize = 512;

/// How long a proxy may take to give memory back.
const REST: Duration = Duration::from_secs(1);
