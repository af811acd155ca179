// SPDX-License-Identifier: Apache-2.0
//! Usage of billed routes on its way from several shards into a real store, while what records it fails: the store is
//! away, the writer ends before or after a commit whose outcome nobody learns, acknowledgements come late or never.
//!
//! Whenever a client has seen a response, its request is in the store: the process may end in any moment. In the end
//! each request was counted once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::base::{Address, Rng, Tick};
use crate::control::store::database::Database;
use crate::control::store::file;
use crate::control::store::usage::{Column, Counts, Exported, Order, Query, Recorded, Shown, query, record};
use crate::control::usage::{Batches, Usage};
use crate::net::Net;
use crate::net::sim::{Latch, Sim};
use crate::sim::common::Common;
use crate::sim::gateway::Gateway;
use crate::sim::limit::{LimitWorld, ends, in_world};
use crate::sim::mesh::Delays;
use crate::sim::message_io::Framing;

const DELAYS: Delays = Delays { micros: (20, 400), stall_ms_max: 0 };
const CLIENTS: u64 = 6;
const REQUESTS: u64 = 120;

fn toml(shards: usize, wait_ms: u64, listen: &Address) -> String {
    format!(
        r#"
        [server]
        shards = {shards}
        pin = false
        watch = false
        [store]
        path = "never-opened.db"
        [usage]
        wait = "{wait_ms}ms"
        [[listener]]
        bind = "{listen}"
        [[route]]
        path_prefix = "/"
        answer = {{ body = "in" }}
        usage = "billed"
        "#
    )
}

/// What clients have sent and seen.
#[derive(Debug, Default)]
struct Seen {
    sent: Cell<u64>,
    answered: Cell<u64>,
    unavailable: Cell<u64>,
}

/// What may happen to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is recorded, and its shards are told after a while.
    Recorded,
    /// The writer ends before the commit.
    EndsBefore,
    /// The writer ends after the commit: the outcome is not known.
    EndsAfter,
    /// It is recorded, and the shards are never told; what they wait for is sent again by the next writer.
    Untold,
}

/// What records usage: the control plane's account of it, over a store in a file.
struct Writer {
    gateway: Rc<Gateway>,
    sim: Sim,
    usage: RefCell<Usage>,
    database: RefCell<Database>,
    /// Something has come.
    latch: Latch,
    /// The store is away until then.
    away: Cell<Tick>,
    /// Requests that are recorded with a response of 200, and with any other.
    recorded: Cell<(u64, u64)>,
    failures: Cell<u64>,
    over: Cell<bool>,
}

impl Writer {
    async fn run(self: Rc<Self>, mut rng: Rng) {
        loop {
            let (now, wake) = (self.sim.now(), self.usage.borrow().wake_at());
            let order = self.usage.borrow_mut().next_order(now);
            match order {
                Some(order) => self.work(&order, &mut rng).await,
                None if self.over.get() && self.usage.borrow().is_idle() => return,
                None => {
                    let until = wake.min(now.after_ms(50)).max(now.after_ms(1));
                    self.latch.wait_until(&self.sim, until, || (!self.usage.borrow().is_idle()).then_some(())).await;
                    // A retry is due later.
                    self.sim.sleep_until(until).await;
                }
            }
        }
    }

    async fn work(&self, order: &Batches, rng: &mut Rng) {
        let fate = match rng.below(if self.over.get() { 1 } else { 8 }) {
            0..=4 => Fate::Recorded,
            5 => Fate::EndsBefore,
            6 => Fate::EndsAfter,
            _ => Fate::Untold,
        };
        self.sim.sleep_until(self.sim.now().after_ms(rng.below(4))).await;
        let away = self.sim.now() < self.away.get();
        if away || fate == Fate::EndsBefore {
            return self.fail();
        }
        let recorded = self.record(order);
        self.sim.sleep_until(self.sim.now().after_ms(rng.below(30))).await;
        if fate != Fate::Recorded {
            return self.fail();
        }
        let told = self.usage.borrow_mut().recorded(recorded, self.sim.now());
        for (shard, batch) in told.iter().flat_map(|told| told.iter()) {
            self.gateway.usage_recorded(*shard, batch.sequence);
        }
        self.usage.borrow_mut().has_recovered();
    }

    fn fail(&self) {
        self.failures.set(self.failures.get() + 1);
        self.usage.borrow_mut().failed(self.sim.now());
    }

    fn record(&self, batches: &Batches) -> Recorded {
        let database = &mut *self.database.borrow_mut();
        let process = Arc::clone(&self.usage.borrow().process);
        let (batches, now) = (Arc::clone(batches), self.sim.wall().seconds());
        let order = Order { process, batches, series_max: 1_000, exported: Exported::No, now };
        let recorded = record(database, &order, Counts::new()).expect("the file can be written");
        let all = Query {
            period: 86_400,
            shown: Shown::Sum,
            since: 0,
            until: u64::MAX,
            by: vec![Column::Status],
            only: Vec::new(),
            after: None,
            limit: 10,
        };
        let rows = query(database, &all).expect("the file can be read");
        let of = |ok: bool| rows.iter().filter(|row| (row.group == ["2"]) == ok).map(|row| row.measures.requests).sum();
        self.recorded.set((of(true), of(false)));
        recorded
    }

    /// Takes the store away now and then, each time for so many milliseconds at most.
    async fn interrupt(self: Rc<Self>, ms_max: u64, mut rng: Rng) {
        while !self.over.get() {
            self.sim.sleep_until(self.sim.now().after_ms(rng.below(3_000))).await;
            self.away.set(self.sim.now().after_ms(rng.below(ms_max)));
        }
    }
}

/// A client that asks on many connections. What it sees is in the store by then.
async fn ask(common: Rc<Common>, sim: Sim, (writer, seen): (Rc<Writer>, Rc<Seen>), mut rng: Rng) -> Result<(), String> {
    let patience = Duration::from_secs(60);
    let (mut left, add) = (REQUESTS, |cell: &Cell<u64>| cell.set(cell.get() + 1));
    while left > 0 {
        let until = sim.now().after(patience);
        let stream = sim.connect(&common.gateway, until).await.map_err(|_| "a client could not connect")?;
        let (mut speak, mut listen) = ends(&sim, stream, patience);
        for _ in 0..left.min(1 + rng.below(20)) {
            left -= 1;
            add(&seen.sent);
            let asked = speak.say(b"GET / HTTP/1.1\r\nHost: billed.test\r\n\r\n").await;
            asked.map_err(|trouble| format!("{trouble:?} while asking"))?;
            let head = listen.head().await.map_err(|trouble| format!("{trouble:?} while reading"))?;
            let head = head.ok_or("the gateway closed instead of answering")?;
            let framing = head.framing(Framing::Empty).map_err(|trouble| format!("{trouble:?}"))?;
            listen.body(framing, &mut |_| Ok(())).await.map_err(|trouble| format!("{trouble:?} in a body"))?;
            match head.start.split(' ').nth(1) {
                Some("200") => add(&seen.answered),
                Some("503") => add(&seen.unavailable),
                _ => return Err(format!("neither served nor refused: {head:?}")),
            }
            let (answered, (recorded, _)) = (seen.answered.get(), writer.recorded.get());
            if answered > recorded {
                return Err(format!("{answered} were answered, and the store has {recorded}"));
            }
            let pause_ms_max = if head.start.contains(" 503 ") { 400 } else { 20 };
            sim.sleep_until(sim.now().after_ms(rng.below(pause_ms_max))).await;
        }
    }
    Ok(())
}

/// Lets clients ask through `shards` while the store is away for so long at most and responses wait to be recorded for
/// so long (`usage.wait`). Returns what clients have seen, what is recorded (responses of 200 and others), and how many
/// orders failed.
fn run_billed(
    (seed, shards): (u64, usize),
    (away_ms_max, wait_ms): (u64, u64),
    folder: &TempDir,
) -> (Rc<Seen>, (u64, u64), u64) {
    let seen = Rc::new(Seen::default());
    let (shown, outcome) = (seen.clone(), Rc::new(Cell::default()));
    let (set, path) = (outcome.clone(), folder.path().join(format!("{seed}.db")));
    let toml = move |_, listen: &Address| toml(shards, wait_ms, listen);
    let ran = in_world((seed, shards, DELAYS), toml, async move |world: LimitWorld| {
        let LimitWorld { gateway, common, clients, mut rng } = world;
        let writer = Rc::new(Writer {
            gateway: gateway.clone(),
            sim: clients.clone(),
            usage: RefCell::new(Usage::unheard("simulated".into(), clients.now())),
            database: RefCell::new(file::open(&path).expect("a store")),
            latch: Latch::default(),
            away: Cell::new(Tick::ZERO),
            recorded: Cell::default(),
            failures: Cell::default(),
            over: Cell::default(),
        });
        let taking = writer.clone();
        gateway.usage_to(move |shard, batch| {
            taking.usage.borrow_mut().take(shard, batch, taking.sim.now());
            taking.latch.notify();
        });
        let (left, latch) = (Rc::new(Cell::new(CLIENTS + 1)), Latch::default());
        let ended = |left: &Cell<u64>, latch: &Latch| {
            left.set(left.get() - 1);
            latch.notify();
        };
        clients.spawn(writer.clone().interrupt(away_ms_max, Rng::new(rng.next_u64())));
        let (writing, over, told, chance) = (writer.clone(), left.clone(), latch.clone(), Rng::new(rng.next_u64()));
        clients.spawn(async move {
            writing.run(chance).await;
            ended(&over, &told);
        });
        for _ in 0..CLIENTS {
            let (common, sim, with) = (common.clone(), clients.clone(), (writer.clone(), seen.clone()));
            let (left, latch, rng) = (left.clone(), latch.clone(), Rng::new(rng.next_u64()));
            clients.spawn(async move {
                if let Err(broken) = ask(common, sim.clone(), with, rng).await {
                    sim.fail(broken);
                }
                ended(&left, &latch);
            });
        }
        latch.wait(|| (left.get() == 1).then_some(())).await;
        // What could not be recorded in time comes now.
        clients.sleep_until(clients.now().after_ms(5_000)).await;
        writer.over.set(true);
        latch.wait(|| (left.get() == 0).then_some(())).await;
        set.set((writer.recorded.get(), writer.failures.get()));
    });
    if let Err(failure) = ran {
        panic!("seed {seed}: {failure}");
    }
    let (recorded, failures) = outcome.get();
    (shown, recorded, failures)
}

#[test]
fn while_the_store_returns_in_time_each_request_is_served_and_counted_once() {
    let folder = tempfile::tempdir().expect("a folder");
    for (seed, shards) in [(1, 1), (2, 2), (3, 4)] {
        let (seen, recorded, failures) = run_billed((seed, shards), (1_000, 30_000), &folder);
        let sent = seen.sent.get();
        assert_eq!(sent, CLIENTS * REQUESTS);
        assert_eq!((seen.answered.get(), recorded), (sent, (sent, 0)), "seed {seed}: {seen:?}");
        assert!(failures > 20, "seed {seed} is too quiet: {failures}");
    }
}

#[test]
fn a_store_that_is_away_for_long_counts_nothing_twice_and_nothing_less_than_clients_saw() {
    let folder = tempfile::tempdir().expect("a folder");
    for (seed, shards) in [(11, 1), (12, 2), (13, 4)] {
        let (seen, (ok, others), failures) = run_billed((seed, shards), (4_000, 1_000), &folder);
        let (sent, answered, unavailable) = (seen.sent.get(), seen.answered.get(), seen.unavailable.get());
        assert!(ok >= answered && ok + others <= sent, "seed {seed}: {ok} and {others} are recorded; {seen:?}");
        assert!(unavailable > 20 && answered > 20 && failures > 20, "seed {seed} is too quiet: {failures}, {seen:?}");
    }
}
