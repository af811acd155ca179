// SPDX-License-Identifier: Apache-2.0
//! Keys that come and go while clients use them, over several shards: changes reach each shard at a time of its own,
//! and reloads and new snapshots come in between. From the moment at which all shards have applied a revocation, no
//! request with that key passes; and a key that all shards know passes everywhere.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Address, CredentialId, Rng};
use crate::net::Net;
use crate::net::sim::Latch;
use crate::net::sim::Sim;
use crate::policy::directory::{Expiry, Item, KeyEntry};
use crate::policy::key_format::hash_of;
use crate::sim::common::Common;
use crate::sim::gateway::Gateway;
use crate::sim::heads::one_listener;
use crate::sim::limit::{LimitWorld, ends, exchange, in_world};
use crate::sim::mesh::Delays;

const DELAYS: Delays = Delays { micros: (20, 400), stall_ms_max: 0 };
const KEYS: usize = 6;
const CHANGES: u64 = 60;
const CLIENTS: usize = 6;

fn toml(shards: usize, listen: &Address) -> String {
    let head = one_listener(shards, listen);
    format!(
        r#"
        {head}
        [[consumer]]
        name = "acme"
        keys = {{ key = "declared-and-always-valid" }}
        [policy.keys]
        api_key = {{ header = "x-key" }}
        [[route]]
        path_prefix = "/"
        answer = {{ body = "in" }}
        policies = ["keys"]
        "#
    )
}

/// What is promised of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// Every shard knows it.
    Valid,
    /// Every shard has forgotten it, or it never was.
    Invalid,
    /// Some shards may know it.
    Either,
}

/// What is promised, and how often that changed.
#[derive(Debug)]
struct Promises {
    keys: RefCell<[(Promise, u64); KEYS]>,
    over: Cell<bool>,
    passed: Cell<u64>,
    refused: Cell<u64>,
}

impl Promises {
    fn set(&self, key: usize, promise: Promise) {
        let (held, version) = &mut self.keys.borrow_mut()[key];
        *held = promise;
        *version += 1;
    }

    fn of(&self, key: usize) -> (Promise, u64) {
        self.keys.borrow()[key]
    }
}

fn name(key: usize) -> String {
    format!("key-that-comes-and-goes-{key}")
}

/// Gives out and revokes keys, until all changes are made.
async fn change(gateway: Rc<Gateway>, promises: Rc<Promises>, mut rng: Rng) {
    let consumer = gateway.consumer("acme");
    for _ in 0..CHANGES {
        let key = rng.below(KEYS as u64) as usize;
        let hash = hash_of(name(key).as_bytes());
        let (before, _) = promises.of(key);
        let (item, after) = match before {
            Promise::Valid => (Item::KeyGone(hash), Promise::Invalid),
            Promise::Invalid | Promise::Either => {
                let entry = KeyEntry::new(hash, (consumer, None), CredentialId(key as u32), Expiry::NEVER);
                (Item::Key(entry), Promise::Valid)
            }
        };
        promises.set(key, Promise::Either);
        gateway.change(vec![item], &mut rng).await;
        promises.set(key, after);
    }
    promises.over.set(true);
}

/// A client that uses all keys, on many connections.
async fn ask(common: Rc<Common>, sim: Sim, promises: Rc<Promises>, mut rng: Rng) -> Result<(), String> {
    let patience = Duration::from_secs(60);
    while !promises.over.get() {
        let until = sim.now().after(patience);
        let stream = sim.connect(&common.gateway, until).await.map_err(|_| "a client could not connect")?;
        let (mut speak, mut listen) = ends(&sim, stream, patience);
        for _ in 0..1 + rng.below(5) {
            let key = rng.below(KEYS as u64 + 1) as usize;
            let (text, before) = match key {
                KEYS => ("declared-and-always-valid".to_owned(), (Promise::Valid, 0)),
                key => (name(key), promises.of(key)),
            };
            let status = exchange("/", &mut speak, &mut listen, &text).await?;
            let after = if key == KEYS { before } else { promises.of(key) };
            let broken = match before {
                _ if before != after => false,
                (Promise::Valid, _) => status != 200,
                (Promise::Invalid, _) => status == 200,
                (Promise::Either, _) => false,
            };
            if broken {
                return Err(format!("{text} is {:?} on all shards, and the status is {status}", before.0));
            }
            let count = if status == 200 { &promises.passed } else { &promises.refused };
            count.set(count.get() + 1);
            sim.sleep_until(sim.now().after_ms(rng.below(4))).await;
        }
    }
    Ok(())
}

#[test]
fn a_revoked_key_is_refused_by_every_shard_that_said_so() {
    for (seed, shards) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8)] {
        let promises = Rc::new(Promises {
            keys: RefCell::new([(Promise::Invalid, 0); KEYS]),
            over: Cell::new(false),
            passed: Cell::new(0),
            refused: Cell::new(0),
        });
        let seen = promises.clone();
        let toml = move |_, listen: &Address| toml(shards, listen);
        let ran = in_world((seed, shards, DELAYS), toml, async move |world: LimitWorld| {
            let LimitWorld { gateway, common, clients, mut rng } = world;
            clients.spawn(change(gateway.clone(), promises.clone(), Rng::new(rng.next_u64())));
            let (reloading, over, machine) = (gateway.clone(), promises.clone(), clients.clone());
            let mut pauses = Rng::new(rng.next_u64());
            clients.spawn(async move {
                while !over.over.get() {
                    machine.sleep_until(machine.now().after_ms(pauses.below(200))).await;
                    reloading.load().await;
                }
            });
            let (left, latch) = (Rc::new(Cell::new(CLIENTS)), Latch::default());
            for _ in 0..CLIENTS {
                let (common, sim, promises) = (common.clone(), clients.clone(), promises.clone());
                let (left, latch, rng) = (left.clone(), latch.clone(), Rng::new(rng.next_u64()));
                clients.spawn(async move {
                    if let Err(broken) = ask(common, sim.clone(), promises, rng).await {
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
        assert!(seen.passed.get() > 100 && seen.refused.get() > 100, "seed {seed} is too quiet: {seen:?}");
    }
}
