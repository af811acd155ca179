//! Exact rate limits over several shards: clients send more than the limit allows, at uneven rates. The limit must
//! never be exceeded, and nearly all of it must be usable.
//!
//! The test runs the whole path: connection, route, policy, and lease messages to the accounts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Address, Rng, Tick};
use crate::net::Net;
use crate::net::sim::{Depth, Failure, Faults, Settings, Sim, Simulation};
use crate::sim::common::Common;
use crate::sim::gateway::Gateway;
use crate::sim::latch::Latch;
use crate::sim::mood::Mood;
use crate::sim::scenario::Scenario;
use crate::sim::talk::{Framing, Listen, Pace, Speak};

/// How long clients ask.
const LASTS: Duration = Duration::from_secs(10);

/// One limited world.
#[derive(Clone, Copy, Debug)]
pub struct Limited {
    /// Decides everything but the limit.
    pub seed: u64,
    /// Shards.
    pub shards: usize,
    /// Requests per second.
    pub rate: u64,
    /// Requests at once.
    pub burst: u64,
    /// Requests sent, as a multiple of the rate.
    pub load: u64,
}

/// When each admitted request was sent and answered, in nanoseconds.
type Admitted = Rc<RefCell<Vec<(u64, u64)>>>;

/// Runs the scenario. Returns the admitted requests in per cent of what the limit allows.
pub fn run_limited(limited: &Limited) -> Result<f64, Failure> {
    let mut settings = Settings::new(limited.seed);
    settings.trace = Depth::Last(100);
    settings.faults = Faults { latency_us: (50, 500), ..Faults::none() };
    let simulation = Simulation::new(settings);
    let mut rng = Rng::new(limited.seed);
    let mut scenario = Scenario::of_mood(limited.seed, Mood::Calm, &mut rng);
    scenario.shards = limited.shards;
    let listen = Address::Inet(([10, 0, 1, 1], 80).into());
    let common = Rc::new(Common::new(scenario, listen.clone(), listen.clone()));
    let text = limited.toml(&listen);
    let gateway = Gateway::start(&simulation, &common, Rc::new(move |_| text.clone()));
    // One host: all requests count against the same address.
    let clients = simulation.host("clients", [10, 0, 3, 1]);
    let admitted = Admitted::default();
    let seen = admitted.clone();
    let asking = *limited;
    simulation.run(async move {
        gateway.load().await;
        ask(asking, common, clients, seen, rng).await;
        gateway.drain().await;
        gateway.stop();
    })?;
    simulation.run_until(simulation.now().after(Duration::from_secs(60)))?;
    simulation.check_nothing_left()?;
    let admitted = admitted.borrow();
    limited.check(&admitted).map_err(|broken| simulation.failure(broken))?;
    let allowed = limited.burst + limited.rate * LASTS.as_secs();
    Ok(admitted.len() as f64 * 100.0 / allowed as f64)
}

impl Limited {
    fn toml(&self, listen: &Address) -> String {
        let Limited { shards, rate, burst, .. } = self;
        format!(
            r#"
            [server]
            shards = {shards}
            pin = false
            watch = false
            [[listener]]
            bind = "{listen}"
            [policy.limit]
            rate_limit = {{ rate = "{rate}/s", burst = {burst} }}
            [[route]]
            path_prefix = "/"
            answer = {{ body = "in" }}
            policies = ["limit"]
            "#
        )
    }

    /// Checks that the limit held in every interval: a request that was sent after the interval's start and answered
    /// before its end was admitted within it.
    fn check(&self, admitted: &[(u64, u64)]) -> Result<(), String> {
        let mut by_answer: Vec<(u64, u64)> = admitted.to_vec();
        by_answer.sort_by_key(|(_, answered)| *answered);
        for (start, _) in admitted {
            let mut count = 0;
            for (_, end) in by_answer.iter().filter(|(sent, _)| sent >= start) {
                count += 1;
                let allowed = self.burst as u128 + u128::from(end - start) * u128::from(self.rate) / 1_000_000_000;
                if count > allowed {
                    return Err(format!("{count} requests within {} ns, {allowed} are allowed", end - start));
                }
            }
        }
        Ok(())
    }
}

/// Clients with very different request rates, each on its own connections.
async fn ask(limited: Limited, common: Rc<Common>, sim: Sim, admitted: Admitted, mut rng: Rng) {
    let weights: Vec<u64> = (0..12).map(|_| 1 << rng.below(6)).collect();
    let sum: u64 = weights.iter().sum();
    let left = Rc::new(Cell::new(weights.len()));
    let latch = Latch::default();
    let end = sim.now().after(LASTS);
    for weight in weights {
        let per_second = (limited.load * limited.rate * weight).div_ceil(sum).max(1);
        let gap = 1_000_000_000 / per_second;
        let client = One { common: common.clone(), sim: sim.clone(), gap, end, admitted: admitted.clone() };
        let (left, latch, rng) = (left.clone(), latch.clone(), Rng::new(rng.next_u64()));
        sim.spawn(async move {
            client.run(rng).await;
            left.set(left.get() - 1);
            latch.notify();
        });
    }
    latch.wait(|| (left.get() == 0).then_some(())).await;
}

struct One {
    common: Rc<Common>,
    sim: Sim,
    /// Nanoseconds from one request to the next.
    gap: u64,
    end: Tick,
    admitted: Admitted,
}

impl One {
    async fn run(self, mut rng: Rng) {
        let patience = Duration::from_secs(60);
        while self.sim.now() < self.end {
            let until = self.sim.now().after(patience);
            let Ok(stream) = self.sim.connect(&self.common.gateway, until).await else {
                return self.sim.fail("a client could not connect");
            };
            let stream = Rc::new(stream);
            let pace = Pace { rng: Rng::new(1), pauses: 0, pause_ms_max: 0, pauses_left: 0, piece_max: 4_096 };
            let mut speak = Speak::new(&self.sim, stream.clone(), pace.clone(), patience);
            let mut listen = Listen::new(&self.sim, stream, pace, patience);
            // A new connection at random times; another shard may accept it.
            let requests = 1 + rng.below(400);
            let mut next = self.sim.now();
            for _ in 0..requests {
                if self.sim.now() >= self.end {
                    break;
                }
                let sent = self.sim.now();
                if let Err(broken) = exchange(&mut speak, &mut listen).await.map(|status| self.count(status, sent)) {
                    return self.sim.fail(broken);
                }
                next = Tick::from_nanos(next.nanos() + self.gap);
                self.sim.sleep_until(next).await;
            }
        }
    }

    fn count(&self, status: u16, sent: Tick) {
        if status == 200 {
            self.admitted.borrow_mut().push((sent.nanos(), self.sim.now().nanos()));
        }
    }
}

/// One request; its status.
async fn exchange(speak: &mut Speak, listen: &mut Listen) -> Result<u16, String> {
    let asked = speak.say(b"GET /limited HTTP/1.1\r\nHost: limited.test\r\n\r\n").await;
    asked.map_err(|trouble| format!("{trouble:?} while asking"))?;
    let head = listen.head().await.map_err(|trouble| format!("{trouble:?} while reading"))?;
    let head = head.ok_or("the gateway closed instead of answering")?;
    let framing = head.framing(Framing::Empty).map_err(|trouble| format!("{trouble:?}"))?;
    listen.body(framing, &mut |_| Ok(())).await.map_err(|trouble| format!("{trouble:?} in a body"))?;
    match head.start.split(' ').nth(1) {
        Some("200") => Ok(200),
        Some("429") if head.value("retry-after") != Ok(None) => Ok(429),
        _ => Err(format!("neither let through nor refused: {head:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_too_many_in_a_span_is_found() {
        let limited = Limited { seed: 0, shards: 1, rate: 10, burst: 2, load: 1 };
        let second = 1_000_000_000;
        assert!(limited.check(&[(0, 5), (1, 6), (second / 5, second / 5)]).is_ok());
        assert!(limited.check(&[(0, 5), (1, 6), (2, 7)]).is_err());
        // A request that was sent before the interval may have been admitted before it.
        assert!(limited.check(&[(0, second), (second - 2, second), (second - 1, second)]).is_ok());
    }
}
