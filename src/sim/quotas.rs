// SPDX-License-Identifier: Apache-2.0
//! A quota that is counted in a database, over the whole path: clients, shards, the parent on the control plane, and a
//! database that is far away, loses messages and is away for a time. Processes crash at any moment and others take
//! their place. Never more than the quota passes, almost all of it is usable, and nobody gets a burst when the database
//! is back.
//!
//! Each life of a process is a run of its own; only the database outlives it. A crash is the moment from which on
//! nothing that the process says is heard, by its clients and by the database.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Address, Rng};
use crate::config::{self, ConfigSource, Environment};
use crate::net::Net;
use crate::net::sim::{Latch, Sim};
use crate::policy::limit::parent::{Order, Outcome, Parent, Replies};
use crate::policy::limit::{Message, ShardId};
use crate::policy::rate_limit::Quota;
use crate::sim::common::Common;
use crate::sim::gateway::Gateway;
use crate::sim::heads::one_listener;
use crate::sim::limit::{LimitWorld, ask_status, ends, in_world};
use crate::sim::mesh::Delays;

const DELAYS: Delays = Delays { micros: (20, 400), stall_ms_max: 0 };
const QUOTA: u64 = 3_000;
const CLIENTS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);
/// Refusals of a client in a row; then nothing is left anywhere.
const REFUSALS: u32 = 12;
/// When the database is back, everybody has asked it again after so long.
const RECOVERY_MS: u64 = 1_000;
/// How long an order or its answer takes at most.
const LATENCY_MS: u64 = 6;

/// What the database knows, whatever becomes of processes.
#[derive(Debug, Default)]
struct Database {
    used: RefCell<BTreeMap<(u64, u64), u64>>,
    away: Cell<bool>,
    /// Of so many of a thousand orders the order or its answer is lost.
    lossy: Cell<u64>,
    /// It came back a moment ago: shards and the parent may not have asked again.
    recovers: Cell<bool>,
    lost: Cell<u64>,
}

impl Database {
    /// What `control::quotas` has a database do with an order.
    fn apply(&self, order: &Order) -> Outcome {
        let mut used = self.used.borrow_mut();
        let used = used.entry((order.key, order.window.start)).or_default();
        *used = used.saturating_add_signed(order.owed);
        let count = u64::from(order.want).min(u64::from(order.quota).saturating_sub(*used)) as u32;
        *used += u64::from(count);
        Outcome::Leased { count, used: *used }
    }

    /// Another gateway takes so much of every key that is known.
    fn taken_by_another(&self, count: u64) -> u64 {
        let mut taken = 0;
        for used in self.used.borrow_mut().values_mut() {
            let more = count.min(QUOTA.saturating_sub(*used));
            *used += more;
            taken += more;
        }
        taken
    }

    fn used(&self) -> u64 {
        self.used.borrow().values().copied().max().unwrap_or(0)
    }
}

/// The control plane's part of one process.
struct Plane {
    sim: Sim,
    gateway: Rc<Gateway>,
    database: Rc<Database>,
    parent: RefCell<Parent>,
    rng: RefCell<Rng>,
    /// Nothing of it is heard any more.
    crashed: Rc<Cell<bool>>,
}

impl Plane {
    fn time(&self) -> (crate::base::Tick, crate::base::Wall) {
        (self.sim.now(), self.sim.wall())
    }

    fn hear(self: &Rc<Self>, shard: usize, message: &Message) {
        let mut out = Replies::new();
        self.parent.borrow_mut().receive(ShardId(shard as u32), message, self.time(), &mut out);
        self.go_on(out);
    }

    /// Sends what is to be said, and does what was ordered.
    fn go_on(self: &Rc<Self>, out: Replies) {
        for (shard, message) in out {
            self.gateway.grant(shard.0 as usize, message);
        }
        for order in self.parent.borrow_mut().take_orders() {
            self.sim.spawn(self.clone().order(order));
        }
    }

    async fn order(self: Rc<Self>, order: Order) {
        let (latencies, loss) = {
            let mut rng = self.rng.borrow_mut();
            (
                [rng.below(LATENCY_MS), rng.below(LATENCY_MS)],
                rng.chance(self.database.lossy.get()).then(|| rng.chance(500)),
            )
        };
        self.sim.sleep_until(self.sim.now().after_ms(latencies[0])).await;
        if self.crashed.get() {
            return;
        }
        let arrives = loss != Some(true) && !self.database.away.get();
        let outcome = if arrives { self.database.apply(&order) } else { Outcome::Failed };
        self.database.lost.set(self.database.lost.get() + u64::from(loss.is_some()));
        self.sim.sleep_until(self.sim.now().after_ms(latencies[1])).await;
        let outcome = if loss.is_some() { Outcome::Failed } else { outcome };
        let mut out = Replies::new();
        self.parent.borrow_mut().settle(&order, outcome, self.time(), &mut out);
        self.go_on(out);
    }

    async fn sweep(self: Rc<Self>) {
        while !self.crashed.get() {
            self.sim.sleep_until(self.sim.now().after_ms(500)).await;
            self.parent.borrow_mut().sweep(100, self.time());
            self.go_on(Replies::new());
        }
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It crashes after so many milliseconds.
    Crash(u64),
    /// When nothing is left of the quota.
    UsedUp,
}

/// What has the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// A rate limit.
    Limit,
    /// A plan.
    Plan,
}

/// One life of a process.
#[derive(Clone, Copy, Debug)]
struct Life {
    of: Of,
    seed: u64,
    shards: usize,
    on_outage: &'static str,
    /// From when and until when the database is away, in milliseconds.
    outage: Option<(u64, u64)>,
    end: End,
}

/// What clients saw.
#[derive(Debug, Default)]
struct Seen {
    /// Let through while the database was there, and while it was away.
    passed: Cell<u64>,
    passed_away: Cell<u64>,
    /// And in the moment after it came back.
    passed_then: Cell<u64>,
    refused: Cell<u64>,
    /// 503.
    failed: Cell<u64>,
}

fn toml(life: Life, listen: &Address) -> String {
    let (head, on_outage) = (one_listener(life.shards, listen), life.on_outage);
    let (limit, policies) = match life.of {
        Of::Limit => {
            let windows = format!("windows = [\"{QUOTA}/month\"]\nkey = \"header:x-key\"");
            (format!("[policy.limit.rate_limit]\n{windows}\n"), "[\"limit\"]")
        }
        Of::Plan => {
            let plan = format!("[plan.sold]\nlimits = [{{ count = {QUOTA}, per = \"month\" }}]\n");
            let keys = "[policy.keys.api_key]\nheader = \"x-key\"\n";
            let consumer =
                format!("[[consumer]]\nname = \"one\"\nplan = \"sold\"\nkeys = [{{ sha256 = \"{HASH_OF_ONE}\" }}]\n");
            (format!("{plan}{keys}{consumer}[policy.limit.plan]\n"), "[\"keys\", \"limit\"]")
        }
    };
    format!(
        r#"
        {head}
        [redis]
        url = "redis://10.0.9.9:6379"
        {limit}
        counted_in = "redis"
        {on_outage}
        [[route]]
        path_prefix = "/"
        answer = {{ body = "in" }}
        policies = {policies}
        "#
    )
}

/// The SHA-256 of `one`, the key that clients send.
const HASH_OF_ONE: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";

/// The quota as the plan of that configuration has it.
fn quota(life: Life) -> Quota {
    let text = toml(life, &Address::Inet(([10, 0, 1, 1], 80).into()));
    let source = ConfigSource::Text { name: "simulated.toml".to_owned(), text };
    let loaded = config::load(&source, &Environment::sealed()).unwrap_or_else(|reports| panic!("{}", reports.plain()));
    let mut quotas = loaded.plan.policies.iter().flat_map(|policy| policy.policy.quotas());
    let found = quotas.find(|quota| quota.window == "month");
    found.expect("the configuration has a quota")
}

/// A client that asks until the life ends.
async fn ask(
    (common, sim): (Rc<Common>, Sim),
    (database, crashed): (Rc<Database>, Rc<Cell<bool>>),
    seen: Rc<Seen>,
    mut rng: Rng,
) -> Result<(), String> {
    let mut refusals = 0;
    while refusals < REFUSALS && !crashed.get() {
        let until = sim.now().after(PATIENCE);
        let stream = sim.connect(&common.gateway, until).await.map_err(|_| "a client could not connect")?;
        let (mut speak, mut listen) = ends(&sim, stream, PATIENCE);
        for _ in 0..1 + rng.below(100) {
            let status = ask_status("/", &mut speak, &mut listen, "one").await?;
            if crashed.get() {
                return Ok(());
            }
            let count = match status {
                200 if database.away.get() => &seen.passed_away,
                200 if database.recovers.get() => &seen.passed_then,
                200 => &seen.passed,
                429 => &seen.refused,
                503 => &seen.failed,
                _ => return Err(format!("the status is {status}")),
            };
            count.set(count.get() + 1);
            refusals = if status == 429 { refusals + 1 } else { 0 };
            let pause = if status == 200 { 1 + rng.below(4) } else { 100 + rng.below(400) };
            sim.sleep_until(sim.now().after_ms(pause)).await;
            if refusals >= REFUSALS {
                break;
            }
        }
    }
    Ok(())
}

/// Runs one life on the database.
fn live(life: Life, database: &Rc<Database>) -> Rc<Seen> {
    let seen = Rc::new(Seen::default());
    let (counted, database) = (seen.clone(), database.clone());
    let configuration = move |_, listen: &Address| toml(life, listen);
    let ran = in_world((life.seed, life.shards, DELAYS), configuration, async move |world: LimitWorld| {
        let LimitWorld { gateway, common, clients: sim, mut rng } = world;
        let Quota { limit, rate, basis, calendar, kept, keys_max, .. } = quota(life);
        let parent = Parent::new((limit, rate), calendar, kept.on_outage, (life.shards as u32, keys_max));
        let parent = parent.based_on(basis);
        let crashed = Rc::new(Cell::new(false));
        let plane = Rc::new(Plane {
            sim: sim.clone(),
            gateway: gateway.clone(),
            database: database.clone(),
            parent: RefCell::new(parent),
            rng: RefCell::new(Rng::new(rng.next_u64())),
            crashed: crashed.clone(),
        });
        let hears = plane.clone();
        gateway.lease_from(Rc::new(move |shard, message| hears.hear(shard, message)));
        sim.spawn(plane.sweep());
        if let Some((from, until)) = life.outage {
            let (machine, database) = (sim.clone(), database.clone());
            sim.spawn(async move {
                machine.sleep_until(machine.now().after_ms(from)).await;
                database.away.set(true);
                machine.sleep_until(machine.now().after_ms(until - from)).await;
                database.away.set(false);
                database.recovers.set(true);
                machine.sleep_until(machine.now().after_ms(RECOVERY_MS)).await;
                database.recovers.set(false);
            });
        }
        if let End::Crash(after) = life.end {
            let (machine, crashed) = (sim.clone(), crashed.clone());
            sim.spawn(async move {
                machine.sleep_until(machine.now().after_ms(after)).await;
                crashed.set(true);
            });
        }
        let (left, latch) = (Rc::new(Cell::new(CLIENTS)), Latch::default());
        for _ in 0..CLIENTS {
            let (machine, left, latch) = (sim.clone(), left.clone(), latch.clone());
            let (shared, state) = ((common.clone(), sim.clone()), (database.clone(), crashed.clone()));
            let asks = ask(shared, state, seen.clone(), Rng::new(rng.next_u64()));
            sim.spawn(async move {
                if let Err(broken) = asks.await {
                    machine.fail(broken);
                }
                left.set(left.get() - 1);
                latch.notify();
            });
        }
        latch.wait(|| (left.get() == 0).then_some(())).await;
        crashed.set(true);
        gateway.lease_from(Rc::new(|_, _| ()));
        // What is under way ends, and so does what sweeps.
        sim.sleep_until(sim.now().after_ms(2_000)).await;
    });
    if let Err(failure) = ran {
        panic!("{life:?}\n{failure}");
    }
    counted
}

#[test]
fn no_crash_and_no_lost_message_lets_more_pass_than_the_quota_or_wastes_much_of_it() {
    [Of::Limit, Of::Plan].into_iter().for_each(outlives_crashes);
}

fn outlives_crashes(of: Of) {
    for (seed, shards, crashes, lossy) in
        [(1, 1, 0, 0), (2, 2, 0, 0), (3, 2, 1, 0), (4, 4, 3, 0), (5, 2, 4, 0), (6, 2, 2, 60), (7, 3, 0, 120)]
    {
        let (database, mut rng) = (Rc::new(Database::default()), Rng::new(seed));
        database.lossy.set(lossy);
        let (mut passed, mut taken) = (0, 0);
        let life = Life { of, seed, shards, on_outage: "", outage: None, end: End::UsedUp };
        for crash in 0..crashes {
            let end = End::Crash(150 + rng.below(250));
            passed += live(Life { seed: seed * 100 + crash, end, ..life }, &database).passed.get();
            // The load of gateways is uneven: another one takes a little, now and then.
            taken += database.taken_by_another(rng.below(QUOTA / 20));
            assert!(passed + taken <= database.used(), "what passes is written before: {database:?}");
        }
        let last = live(life, &database);
        passed += last.passed.get();
        let (all, lost) = (passed + taken, database.lost.get());
        println!("seed {seed}: {passed} passed and {taken} taken of {QUOTA}, {crashes} crashes, {lost} messages lost");
        assert!(all <= QUOTA && database.used() <= QUOTA, "seed {seed}: {all} of {QUOTA}");
        assert!(last.refused.get() > 0, "seed {seed}: the quota was never used up");
        // A hundredth for each crash, one that lies on shards at the end, and the portion of each answer that was lost.
        let portion = QUOTA / 100;
        let least = (QUOTA * 99 / 100).saturating_sub(crashes * QUOTA / 100 + lost * portion);
        assert!(all >= least, "seed {seed}: {all} of {QUOTA}, of which {least} should be usable");
        if crashes == 0 && lossy == 0 {
            assert!(all * 100 >= QUOTA * 97, "seed {seed}: {all} of {QUOTA}");
        }
    }
}

#[test]
fn an_outage_is_what_on_outage_says_and_no_burst_follows_it() {
    [Of::Limit, Of::Plan].into_iter().for_each(outlives_an_outage);
}

fn outlives_an_outage(of: Of) {
    let (closed, open) = ("on_outage = \"closed\"", "on_outage = \"open\"");
    let share = "on_outage = \"local_share\"\ngateways = 3";
    for (seed, on_outage) in [(11, closed), (12, open), (13, share), (14, closed), (15, open), (16, share)] {
        let database = Rc::new(Database::default());
        let outage = Some((200, 4_000));
        let life = Life { of, seed, shards: 2, on_outage, outage, end: End::UsedUp };
        let seen = live(life, &database);
        let (passed, away, then) = (seen.passed.get(), seen.passed_away.get(), seen.passed_then.get());
        let all = passed + away + then;
        println!("seed {seed}, {on_outage:?}: {passed} passed, {away} while it was away: {seen:?}");
        // What was leased before is used in the outage, and a client may see its response as it begins.
        let leased = QUOTA / 50;
        match on_outage {
            // What passed uncounted is no part of the quota; what was counted never exceeds it.
            _ if on_outage == open => {
                assert!(away > QUOTA / 2, "{seen:?}");
                assert!(passed <= QUOTA && passed + then + leased >= QUOTA * 97 / 100, "{seen:?}");
            }
            _ if on_outage == closed => {
                assert!(seen.failed.get() > 0 && away <= leased, "{seen:?}");
                assert!((QUOTA * 97 / 100..=QUOTA).contains(&all), "{seen:?}");
            }
            _ => {
                assert!(away <= QUOTA / 3 + leased && away >= QUOTA / 5, "{seen:?}");
                assert!((QUOTA * 97 / 100..=QUOTA).contains(&all), "{seen:?}");
            }
        }
        assert!(database.used() <= QUOTA, "{database:?}");
        assert!(seen.refused.get() > 0, "the quota was never used up");
    }
}
