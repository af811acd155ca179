// SPDX-License-Identifier: Apache-2.0
//! Keys of an issuer that shards ask the control plane for, while the answer is slow, late or lost, the issuer is away,
//! keys are exchanged under traffic, and tokens name keys that nobody has.
//!
//! A valid token is never refused with 401 for keys that are late: it passes, or gets 503. Only within the cool-down
//! after its key was published may it be unknown. No shard asks twice while it waits, or within the cool-down after the
//! answer to a question for a key that it missed, and no request waits longer than it may.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::base::{Address, Rng, Tick};
use crate::link::ToShard;
use crate::net::Net;
use crate::net::sim::{Latch, Sim};
use crate::policy::{Answer, Keys, Question, Ticket};
use crate::sim::common::Common;
use crate::sim::gateway::Gateway;
use crate::sim::heads::one_listener;
use crate::sim::limit::{LimitWorld, ends, in_world, response};
use crate::sim::mesh::Delays;
use crate::wire::jose::sample::Signer;
use crate::wire::jose::{Algorithm, KeySet, Secrets};

const DELAYS: Delays = Delays { micros: (20, 400), stall_ms_max: 0 };
const ISSUER: &str = "https://issuer.test";
const WAIT: Duration = Duration::from_millis(300);
const COOL_DOWN: Duration = Duration::from_millis(1_000);
/// What messages and threads need.
const SLACK: Duration = Duration::from_millis(20);
const ROTATIONS: usize = 8;
const CLIENTS: usize = 8;

fn toml(shards: usize, listen: &Address) -> String {
    format!(
        r#"{}
        [policy.tokens.jwt]
        audience = "shop"
        wait = "300ms"
        cool_down = "1s"
        issuer = {{ name = "{ISSUER}" }}
        from = {{ header = "x-key", scheme = "" }}
        [[route]]
        path_prefix = "/"
        answer = {{ body = "in" }}
        policies = ["tokens"]
        "#,
        one_listener(shards, listen)
    )
}

/// The issuer and what has become of its keys. The one that signs and the one before are published.
struct Issuer {
    signers: Vec<Signer>,
    stranger: Signer,
    /// When each was published.
    published: RefCell<Vec<Tick>>,
    over: Cell<bool>,
    counts: RefCell<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    passed: u64,
    unknown: u64,
    unavailable: u64,
    questions: u64,
    lost: u64,
    late: u64,
}

impl Counts {
    fn note(&mut self, status: u16) {
        match status {
            200 => self.passed += 1,
            401 => self.unknown += 1,
            _ => self.unavailable += 1,
        }
    }
}

/// A shard's questions, as the control plane sees them.
#[derive(Clone, Copy, Debug, Default)]
struct Asking {
    since: Option<Tick>,
    /// The last answer that begins a pause: not that with the first keys.
    answered: Option<Tick>,
    /// It has keys.
    knows: bool,
}

impl Issuer {
    fn newest(&self) -> usize {
        self.published.borrow().len() - 1
    }

    fn set(&self) -> Arc<KeySet> {
        let newest = self.newest();
        let keys: Vec<_> =
            (newest.saturating_sub(1)..=newest).map(|key| self.signers[key].jwk(&key.to_string())).collect();
        Arc::new(KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), Secrets::Ignored).expect("a set"))
    }

    /// A token with one of its keys, or of somebody else where that is `None`. No two are equal.
    fn token(&self, key: Option<usize>, number: u64) -> String {
        let claims = json!({"iss": ISSUER, "aud": "shop", "exp": 9_000_000_000_u64, "jti": number});
        match key {
            Some(key) => self.signers[key].token(&key.to_string(), &claims),
            None => self.stranger.token(&format!("nobody's-{number}"), &claims),
        }
    }
}

/// The control plane: what it answers, when, and whether it was asked too often.
fn control(gateway: &Rc<Gateway>, issuer: &Rc<Issuer>, shards: usize, sim: &Sim, rng: Rng) {
    let asking = Rc::new(RefCell::new(vec![Asking::default(); shards]));
    let (issuer, sim, rng) = (issuer.clone(), sim.clone(), RefCell::new(rng));
    let weak = Rc::downgrade(gateway);
    gateway.answer_with(Rc::new(move |shard: usize, ticket: Ticket, question: Question| {
        let (Some(gateway), Question::Keys(source)) = (weak.upgrade(), question) else {
            return sim.fail("keys are asked for and nothing else".to_owned());
        };
        let (now, before) = (sim.now(), asking.borrow()[shard]);
        let early = |since: Option<Tick>, pause: Duration| {
            since.is_some_and(|since| now.after(SLACK) < since.after(pause) && since.after(SLACK) < now)
        };
        if early(before.since, WAIT) || early(before.answered, COOL_DOWN) {
            sim.fail(format!("shard {shard} asks too soon: {before:?}, and it is {now:?}"));
        }
        asking.borrow_mut()[shard].since = Some(now);
        issuer.counts.borrow_mut().questions += 1;
        let mut rng = rng.borrow_mut();
        if rng.below(8) == 0 {
            issuer.counts.borrow_mut().lost += 1;
            return;
        }
        let (is_late, is_away) = (rng.below(4) == 0, rng.below(6) == 0);
        issuer.counts.borrow_mut().late += u64::from(is_late);
        let delay = if is_late { 300 + rng.below(500) } else { rng.below(100) };
        let (machine, asking, issuer) = (sim.clone(), asking.clone(), issuer.clone());
        sim.spawn(async move {
            machine.sleep_until(machine.now().after_ms(delay)).await;
            let keys = Keys { source, set: Some(issuer.set()) };
            if !is_away {
                (0..shards).for_each(|shard| gateway.send(shard, ToShard::Keys(keys.clone())));
                asking.borrow_mut().iter_mut().for_each(|asking| asking.knows = true);
            }
            let answered = if before.knows || is_away { Some(machine.now()) } else { before.answered };
            let asked = &mut asking.borrow_mut()[shard];
            (asked.since, asked.answered) = (None, answered);
            let answer = if is_away { Answer::Unavailable } else { Answer::Keys };
            gateway.send(shard, ToShard::Answer(ticket, answer));
        });
    }));
}

/// A client with tokens of the newest key, of the one before, and of nobody.
async fn ask(common: Rc<Common>, sim: Sim, issuer: Rc<Issuer>, mut rng: Rng) -> Result<(), String> {
    let patience = Duration::from_secs(60);
    while !issuer.over.get() {
        let until = sim.now().after(patience);
        let stream = sim.connect(&common.gateway, until).await.map_err(|_| "a client could not connect")?;
        let (mut speak, mut listen) = ends(&sim, stream, patience);
        for _ in 0..1 + rng.below(5) {
            let newest = issuer.newest();
            let key = match rng.below(4) {
                0 => None,
                1 => Some(newest.saturating_sub(1)),
                _ => Some(newest),
            };
            let (token, sent) = (issuer.token(key, rng.next_u64()), sim.now());
            let (status, _) = response("/", &mut speak, &mut listen, &token).await?;
            let took = sim.now().since(sent);
            if took > WAIT + SLACK {
                return Err(format!("a request waited for {took:?}"));
            }
            let is_new = key.is_some_and(|key| sent < issuer.published.borrow()[key].after(COOL_DOWN + SLACK));
            // A key that was withdrawn meanwhile is one of nobody.
            let is_gone = key.is_some_and(|key| key + 1 < issuer.newest());
            let is_right = match (status, key) {
                (200, Some(_)) | (401, None) | (503, _) => true,
                (401, Some(_)) => is_new || is_gone,
                _ => false,
            };
            if !is_right {
                return Err(format!("{status} for a token of {key:?} at {sent:?}, newest {newest}"));
            }
            issuer.counts.borrow_mut().note(status);
            sim.sleep_until(sim.now().after_ms(rng.below(60))).await;
        }
    }
    Ok(())
}

#[test]
fn keys_that_are_late_refuse_no_valid_token_and_are_asked_for_once() {
    for (seed, shards) in [(1, 1), (2, 2), (3, 4), (4, 4)] {
        let issuer = Rc::new(Issuer {
            signers: (0..=ROTATIONS).map(|_| Signer::new(Algorithm::EdDsa)).collect(),
            stranger: Signer::new(Algorithm::EdDsa),
            published: RefCell::new(vec![Tick::ZERO]),
            over: Cell::new(false),
            counts: RefCell::default(),
        });
        let seen = issuer.clone();
        let toml = move |_, listen: &Address| toml(shards, listen);
        let ran = in_world((seed, shards, DELAYS), toml, async move |world: LimitWorld| {
            let LimitWorld { gateway, common, clients, mut rng } = world;
            control(&gateway, &issuer, shards, &clients, Rng::new(rng.next_u64()));
            let (left, latch) = (Rc::new(Cell::new(CLIENTS)), Latch::default());
            for _ in 0..CLIENTS {
                let (common, sim, issuer) = (common.clone(), clients.clone(), issuer.clone());
                let (left, latch, rng) = (left.clone(), latch.clone(), Rng::new(rng.next_u64()));
                clients.spawn(async move {
                    if let Err(broken) = ask(common, sim.clone(), issuer, rng).await {
                        sim.fail(broken);
                    }
                    left.set(left.get() - 1);
                    latch.notify();
                });
            }
            for _ in 0..ROTATIONS {
                clients.sleep_until(clients.now().after_ms(1_000 + rng.below(3_000))).await;
                issuer.published.borrow_mut().push(clients.now());
            }
            clients.sleep_until(clients.now().after_ms(2_000)).await;
            issuer.over.set(true);
            latch.wait(|| (left.get() == 0).then_some(())).await;
            // The last answers, which nobody waits for.
            clients.sleep_until(clients.now().after_ms(2_000)).await;
        });
        if let Err(failure) = ran {
            panic!("seed {seed}: {failure}");
        }
        let counts = *seen.counts.borrow();
        let Counts { passed, unknown, unavailable, questions, lost, late } = counts;
        let is_lively = passed > 200 && unknown > 20 && unavailable > 5 && questions > 10 && lost > 0 && late > 0;
        assert!(is_lively, "seed {seed} is too quiet: {counts:?}");
    }
}
