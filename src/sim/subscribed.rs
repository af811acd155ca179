// SPDX-License-Identifier: Apache-2.0
//! Somebody whose plan changes while the limit of it is used, over several shards: changes reach each shard at a time
//! of its own, and reloads come in between. What was used stays used: never more pass than the largest of the plans
//! allows, and in the end exactly as many as the last one does.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Address, Rng};
use crate::net::Net;
use crate::net::sim::Latch;
use crate::net::sim::Sim;
use crate::policy::directory::Item;
use crate::sim::common::Common;
use crate::sim::gateway::Gateway;
use crate::sim::heads::one_listener;
use crate::sim::limit::{LimitWorld, ends, exchange, in_world};
use crate::sim::mesh::Delays;

const DELAYS: Delays = Delays { micros: (20, 400), stall_ms_max: 0 };
const CHANGES: u64 = 24;
const CLIENTS: usize = 6;
const LARGE: u64 = 400;
/// In a row; then nothing is left anywhere.
const REFUSALS: u32 = 40;

fn toml(shards: usize, listen: &Address) -> String {
    let head = one_listener(shards, listen);
    format!(
        r#"
        {head}
        [plan.small]
        limits = [{{ count = 150, per = "month" }}]
        [plan.large]
        limits = [{{ count = {LARGE}, per = "month" }}]
        [[consumer]]
        name = "acme"
        plan = "small"
        keys = {{ key = "declared-and-always-valid" }}
        [[consumer]]
        name = "other"
        plan = "large"
        [policy.keys]
        api_key = {{ header = "x-key" }}
        [policy.sold.plan]
        [[route]]
        path_prefix = "/"
        answer = {{ body = "in" }}
        policies = ["keys", "sold"]
        "#
    )
}

#[derive(Debug, Default)]
struct Seen {
    over: Cell<bool>,
    passed: Cell<u64>,
    refused: Cell<u64>,
}

/// Gives one plan and the other, and at last the large one.
async fn change(gateway: Rc<Gateway>, sim: Sim, seen: Rc<Seen>, mut rng: Rng) {
    let (small, large) = (gateway.consumer_of("acme"), gateway.consumer_of("other"));
    for turn in 0..CHANGES {
        sim.sleep_until(sim.now().after_ms(rng.below(60))).await;
        let mut acme = small.clone();
        acme.profile = if turn % 2 == 0 { large.profile.clone() } else { small.profile.clone() };
        gateway.change(vec![Item::Consumer(Arc::new(acme))], &mut rng).await;
    }
    let mut last = small;
    last.profile = large.profile;
    gateway.change(vec![Item::Consumer(Arc::new(last))], &mut rng).await;
    seen.over.set(true);
}

/// A client that asks on many connections until nothing is left.
async fn ask(common: Rc<Common>, sim: Sim, seen: Rc<Seen>, mut rng: Rng) -> Result<(), String> {
    let (patience, mut refusals) = (Duration::from_secs(60), 0);
    while refusals < REFUSALS {
        let until = sim.now().after(patience);
        let stream = sim.connect(&common.gateway, until).await.map_err(|_| "a client could not connect")?;
        let (mut speak, mut listen) = ends(&sim, stream, patience);
        for _ in 0..1 + rng.below(5) {
            let over = seen.over.get();
            match exchange("/", &mut speak, &mut listen, "declared-and-always-valid").await? {
                200 => {
                    seen.passed.set(seen.passed.get() + 1);
                    refusals = 0;
                }
                429 => {
                    seen.refused.set(seen.refused.get() + 1);
                    refusals += u32::from(over);
                }
                status => return Err(format!("the status is {status}")),
            }
            if seen.passed.get() > LARGE {
                return Err("more passed than any plan allows".to_owned());
            }
            sim.sleep_until(sim.now().after_ms(rng.below(if over { 100 } else { 20 }))).await;
        }
    }
    Ok(())
}

#[test]
fn what_was_used_of_a_plan_stays_used_over_all_shards_and_changes() {
    for (seed, shards) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8)] {
        let seen = Rc::new(Seen::default());
        let counted = seen.clone();
        let toml = move |_, listen: &Address| toml(shards, listen);
        let ran = in_world((seed, shards, DELAYS), toml, async move |world: LimitWorld| {
            let LimitWorld { gateway, common, clients, mut rng } = world;
            clients.spawn(change(gateway.clone(), clients.clone(), seen.clone(), Rng::new(rng.next_u64())));
            let (reloading, over, machine) = (gateway.clone(), seen.clone(), clients.clone());
            let mut pauses = Rng::new(rng.next_u64());
            clients.spawn(async move {
                while !over.over.get() {
                    machine.sleep_until(machine.now().after_ms(pauses.below(200))).await;
                    reloading.load().await;
                }
            });
            let (left, latch) = (Rc::new(Cell::new(CLIENTS)), Latch::default());
            for _ in 0..CLIENTS {
                let (common, sim, seen) = (common.clone(), clients.clone(), seen.clone());
                let (left, latch, rng) = (left.clone(), latch.clone(), Rng::new(rng.next_u64()));
                clients.spawn(async move {
                    if let Err(broken) = ask(common, sim.clone(), seen, rng).await {
                        sim.fail(broken);
                    }
                    left.set(left.get() - 1);
                    latch.notify();
                });
            }
            latch.wait(|| (left.get() == 0).then_some(())).await;
            // The last reload.
            clients.sleep_until(clients.now().after_ms(2_000)).await;
        });
        if let Err(failure) = ran {
            panic!("seed {seed}: {failure}");
        }
        assert_eq!(counted.passed.get(), LARGE, "seed {seed}: {counted:?}");
        assert!(counted.refused.get() > 100, "seed {seed} is too quiet: {counted:?}");
    }
}
