//! Memory: at rest, and with many idle connections.

use std::thread;
use std::time::Duration;

use crate::failure::{Context, Failure};
use crate::hold::Held;
use crate::peer::{Peer, Routes, Setup, Traffic};
use crate::record::{IdleMemory, RestMemory};
use crate::slice::Bench;
use crate::workload::{IDLE_CONNECTIONS, get};

impl Bench {
    /// Memory of `peer` with idle connections, each after one request.
    pub fn idle(&self, peer: Peer, round: usize) -> Result<IdleMemory, Failure> {
        let running = self.programs.start(peer, &self.setup(1), &self.directory)?;
        let request = get("/b/100");
        // The first requests allocate what all later ones share, such as the connections to the origin.
        let first =
            Held::open(running.address(), &request, FIRST_CONNECTIONS).context(format_args!("idle through {peer}"))?;
        thread::sleep(REST);
        let rest = running.tree().memory();
        let held =
            Held::open(running.address(), &request, IDLE_CONNECTIONS).context(format_args!("idle through {peer}"))?;
        thread::sleep(REST);
        let memory = running.tree().memory();
        let closed = held.closed() + first.closed();
        if closed > 0 {
            return Err(Failure(format!("{peer} closed {closed} idle connections")));
        }
        Ok(IdleMemory { peer, round, connections: IDLE_CONNECTIONS, rest, held: memory })
    }

    /// Memory of `peer` with `shards` threads that serve, before its first request.
    pub fn rest(&self, peer: Peer, shards: usize) -> Result<RestMemory, Failure> {
        let running = self.programs.start(peer, &self.setup(shards), &self.directory)?;
        thread::sleep(REST);
        Ok(RestMemory { peer, shards, memory: running.tree().memory() })
    }

    fn setup(&self, shards: usize) -> Setup {
        let origin = self.origin.address();
        Setup { origin, certificate: None, routes: Routes::One, traffic: Traffic::Messages, shards }
    }
}

/// Connections before the first reading.
const FIRST_CONNECTIONS: usize = 16;

/// How long a proxy may take to give memory back.
const REST: Duration = Duration::from_millis(1_000);
