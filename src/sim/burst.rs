// SPDX-License-Identifier: Apache-2.0
//! Many clients whose keys no shard knows, all at once: the first request of each must pass, whichever shard takes it
//! and wherever its key has its home.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::base::Address;
use crate::net::Net;
use crate::net::sim::Latch;
use crate::net::sim::{Failure, Sim};
use crate::sim::common::Common;
use crate::sim::heads::one_listener;
use crate::sim::limit::{LimitWorld, ends, exchange, in_world};
use crate::sim::mesh::Delays;

/// One burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// Decides everything else.
    pub seed: u64,
    /// Shards.
    pub shards: usize,
    /// Connections.
    pub connections: u64,
    /// Requests on each, one after another, each with a key of its own.
    pub requests: u64,
    /// Messages between shards.
    pub delays: Delays,
}

/// Runs it; how many requests passed. Fails where anything but 200 and 429 came.
pub(crate) fn run_burst(burst: &Burst) -> Result<u64, Failure> {
    let passed = Rc::new(Cell::new(0));
    let (shards, counted, Burst { connections, requests, .. }) = (burst.shards, passed.clone(), *burst);
    let toml = move |_, listen: &Address| toml(shards, listen);
    in_world((burst.seed, shards, burst.delays), toml, async move |world: LimitWorld| {
        let (left, latch) = (Rc::new(Cell::new(connections)), Latch::default());
        for number in 0..connections {
            let (common, sim) = (world.common.clone(), world.clients.clone());
            let (left, latch, counted) = (left.clone(), latch.clone(), counted.clone());
            world.clients.spawn(async move {
                let all = (0..requests).map(|at| format!("key-{number}-{at}"));
                let passed = client(&common, &sim, all).await;
                counted.set(counted.get() + passed);
                left.set(left.get() - 1);
                latch.notify();
            });
        }
        latch.wait(|| (left.get() == 0).then_some(())).await;
    })?;
    Ok(passed.get())
}

fn toml(shards: usize, listen: &Address) -> String {
    let head = one_listener(shards, listen);
    format!(
        r#"
        {head}
        [policy.limit]
        rate_limit = {{ rate = "10/s", burst = 10, key = "header:x-key" }}
        [[route]]
        path_prefix = "/"
        answer = {{ body = "in" }}
        policies = ["limit"]
        "#
    )
}

/// One connection; how many of its requests passed.
async fn client(common: &Common, sim: &Sim, keys: impl Iterator<Item = String>) -> u64 {
    let patience = Duration::from_secs(60);
    let Ok(stream) = sim.connect(&common.gateway, sim.now().after(patience)).await else {
        sim.fail("a client could not connect");
        return 0;
    };
    let (mut speak, mut listen) = ends(sim, stream, patience);
    let mut passed = 0;
    for key in keys {
        match exchange("/limited", &mut speak, &mut listen, &key).await {
            Ok(status) => passed += u64::from(status == 200),
            Err(broken) => sim.fail(broken),
        }
    }
    passed
}
