// SPDX-License-Identifier: Apache-2.0
//! Caps of upstreams over several shards: clients ask more at once than the caps allow, and origins count how many
//! requests and connections they have at a time. No cap may ever be exceeded, all of each must be usable, and whoever
//! waits gets its turn. The same world shows how many connections are opened, and what happens without descriptors.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Address, Rng, Tick};
use crate::link::{Counter, UpstreamCounter};
use crate::net::sim::Latch;
use crate::net::sim::{Failure, Sim};
use crate::net::{Listener, Net};
use crate::sim::heads::one_listener;
use crate::sim::limit::{LimitWorld, ends, in_world};
use crate::sim::mesh::Delays;
use crate::sim::message_io::{Framing, HttpReader, HttpWriter};

/// One world with caps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capped {
    /// Decides everything else.
    pub seed: u64,
    /// Shards.
    pub shards: usize,
    /// Messages between shards.
    pub delays: Delays,
    /// Origins.
    pub origins: u8,
    /// Keys of the upstream.
    pub upstream: &'static str,
    /// Clients, each with a connection of its own.
    pub clients: u32,
    /// Requests of each.
    pub requests: u32,
    /// Longest time that an origin takes for a request.
    pub work_ms: u64,
    /// Longest pause of a client between two requests.
    pub gap_ms: u64,
    /// Where not zero, clients ask together, once in this time.
    pub wave_ms: u64,
    /// Connections that a shard may have, of clients and upstreams together.
    pub descriptors: usize,
    /// Clients that only connect, before the others come.
    pub silent: u32,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Requests that got their 200.
    pub ok: u32,
    /// Requests that got another status.
    pub refused: u32,
    /// Connections that ended instead of an answer.
    pub closed: u32,
    /// Most requests that all origins had at once.
    pub most: u32,
    /// Most requests that one origin had at once.
    pub most_each: u32,
    /// Most connections that one origin had at once.
    pub connections_each: u32,
    /// Connections that origins accepted.
    pub connects: u32,
    /// Connections of the gateway that could not be opened, failed attempts, and ejections.
    pub failed: u64,
    /// Times that no descriptor was free.
    pub lacking: u64,
    /// Clients that were told to go because of that.
    pub evicted: u64,
}

type Shown = Rc<Cell<Seen>>;

fn note(shown: &Shown, change: impl FnOnce(&mut Seen)) {
    let mut seen = shown.get();
    change(&mut seen);
    shown.set(seen);
}

/// Runs it.
pub(crate) fn run_capped(capped: &Capped) -> Result<Seen, Failure> {
    let shown = Shown::default();
    let (world, shows) = (*capped, shown.clone());
    in_world(
        (capped.seed, capped.shards, capped.delays),
        move |_, listen| world.toml(listen),
        async move |inside| {
            world.live(inside, shows).await;
        },
    )?;
    Ok(shown.get())
}

impl Capped {
    fn toml(&self, listen: &Address) -> String {
        let endpoints: Vec<String> = (1..=self.origins).map(|number| format!("\"{}\"", origin(number))).collect();
        let (endpoints, upstream) = (endpoints.join(", "), self.upstream);
        let head = one_listener(self.shards, listen);
        format!(
            r#"
            {head}
            [upstream.capped]
            endpoints = [{endpoints}]
            {upstream}
            [[route]]
            to = "capped"
            "#
        )
    }

    async fn live(self, world: LimitWorld, shown: Shown) {
        let LimitWorld { gateway, common, clients: sim, mut rng } = world;
        gateway.limit_descriptors(self.descriptors);
        let total = Rc::new(Cell::new(0));
        for number in 1..=self.origins {
            let served = Served::of(self, sim.clone(), shown.clone(), total.clone());
            sim.spawn(served.listen(origin(number), Rng::new(rng.next_u64())));
        }
        let mut silent = Vec::new();
        for _ in 0..self.silent {
            if let Ok(stream) = sim.connect(&common.gateway, sim.now().after(PATIENCE)).await {
                silent.push(stream);
            }
        }
        sim.sleep_until(sim.now().after(Duration::from_secs(2))).await;
        let left = Rc::new(Cell::new(self.clients));
        let latch = Latch::default();
        for _ in 0..self.clients {
            let (client, shown, to) = (sim.clone(), shown.clone(), common.gateway.clone());
            let (left, latch, mut rng) = (left.clone(), latch.clone(), Rng::new(rng.next_u64()));
            sim.spawn(async move {
                for status in self.ask(&client, &to, &mut rng).await {
                    note(&shown, |seen| match status {
                        Some(200) => seen.ok += 1,
                        Some(_) => seen.refused += 1,
                        None => seen.closed += 1,
                    });
                }
                left.set(left.get() - 1);
                latch.notify();
            });
        }
        latch.wait(|| (left.get() == 0).then_some(())).await;
        drop(silent);
        // Housekeeping counts what happened.
        sim.sleep_until(sim.now().after(Duration::from_secs(2))).await;
        note(&shown, |seen| {
            let counters = [UpstreamCounter::ConnectFailures, UpstreamCounter::Failures, UpstreamCounter::Ejected];
            seen.failed = counters.map(|counter| gateway.upstream_sum(0, counter)).iter().sum();
            seen.lacking = gateway.sum(Counter::Descriptors);
            seen.evicted = gateway.sum(Counter::Evicted);
        });
        sim.kill();
    }

    /// One client: its statuses; none where the connection ended instead.
    async fn ask(self, sim: &Sim, to: &Address, rng: &mut Rng) -> Vec<Option<u16>> {
        let mut statuses = Vec::new();
        let Ok(stream) = sim.connect(to, sim.now().after(PATIENCE)).await else { return vec![None] };
        let (mut speak, mut listen) = ends(sim, stream, PATIENCE);
        for _ in 0..self.requests {
            sim.sleep_until(sim.now().after_ms(rng.below(self.gap_ms + 1))).await;
            if self.wave_ms > 0 {
                let wave = self.wave_ms * 1_000_000;
                sim.sleep_until(Tick::from_nanos((sim.now().nanos() / wave + 1) * wave)).await;
            }
            let status = exchange(&mut speak, &mut listen).await;
            statuses.push(status);
            if status.is_none() {
                break;
            }
        }
        statuses
    }
}

fn origin(number: u8) -> Address {
    Address::Inet(([10, 0, 2, number], 9_000).into())
}

/// One request; `None` where no answer came.
async fn exchange(speak: &mut HttpWriter, listen: &mut HttpReader) -> Option<u16> {
    speak.say(b"GET / HTTP/1.1\r\nHost: capped.test\r\n\r\n").await.ok()?;
    let head = listen.head().await.ok()??;
    let framing = head.framing(Framing::Empty).ok()?;
    listen.body(framing, &mut |_| Ok(())).await.ok()?;
    head.start.split(' ').nth(1)?.parse().ok()
}

/// An origin that counts.
#[derive(Clone)]
struct Served {
    sim: Sim,
    shown: Shown,
    work_ms: u64,
    /// Requests at all origins.
    total: Rc<Cell<u32>>,
    /// Requests and connections here.
    here: Rc<Cell<(u32, u32)>>,
}

impl Served {
    fn of(capped: Capped, sim: Sim, shown: Shown, total: Rc<Cell<u32>>) -> Served {
        Served { sim, shown, work_ms: capped.work_ms, total, here: Rc::default() }
    }

    async fn listen(self, address: Address, mut rng: Rng) {
        let listener = self.sim.listen(&address);
        while let Ok(stream) = listener.accept().await {
            let (served, mut rng) = (self.clone(), Rng::new(rng.next_u64()));
            self.sim.spawn(async move {
                let (mut speak, mut hear) = ends(&served.sim, stream, PATIENCE);
                served.change(0, 1);
                note(&served.shown, |seen| seen.connects += 1);
                while let Ok(Some(_)) = hear.head().await {
                    served.change(1, 0);
                    served.sim.sleep_until(served.sim.now().after_ms(rng.below(served.work_ms + 1))).await;
                    served.change(-1, 0);
                    if speak.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                        break;
                    }
                }
                served.change(0, -1);
            });
        }
    }

    fn change(&self, requests: i32, connections: i32) {
        let (had, held) = self.here.get();
        self.here.set((had.saturating_add_signed(requests), held.saturating_add_signed(connections)));
        self.total.set(self.total.get().saturating_add_signed(requests));
        let (has, holds) = self.here.get();
        note(&self.shown, |seen| {
            seen.most = seen.most.max(self.total.get());
            seen.most_each = seen.most_each.max(has);
            seen.connections_each = seen.connections_each.max(holds);
        });
    }
}

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);
