// SPDX-License-Identifier: Apache-2.0
//! Exact rate limits over several shards: clients send more than the limit allows, at uneven rates. The limit must
//! never be exceeded, and nearly all of it must be usable.
//!
//! The whole path is taken: connection, route, policy, messages between shards. No control plane has a part in it but
//! for reloads, which change the rate.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Address, Rng, Tick};
use crate::net::Net;
use crate::net::sim::Latch;
use crate::net::sim::{Depth, Failure, Faults, Settings, Sim, Simulation};
use crate::sim::common::Common;
use crate::sim::gateway::Gateway;
use crate::sim::heads::one_listener;
use crate::sim::mesh::Delays;
use crate::sim::message_io::{Framing, Head, HttpReader, HttpWriter, Pace};
use crate::sim::mood::FaultLevel;
use crate::sim::scenario::Scenario;

/// One limited world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limited {
    /// Decides everything but the limit.
    pub seed: u64,
    /// Shards.
    pub shards: usize,
    /// Requests per second.
    pub rate: u64,
    /// Requests at once.
    pub burst: u64,
    /// How much of the rate is asked for, in per cent.
    pub load_per_cent: u64,
    /// Reloads, each to another rate: a hundredth more and back.
    pub reloads: u64,
    /// Messages between shards.
    pub delays: Delays,
    /// Which requests count.
    pub counted: Counted,
    /// How long clients ask.
    pub seconds: u64,
}

/// Which requests count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// All of them.
    All,
    /// Those that are answered with 401: one of two.
    Failures,
    /// All of them, in windows of a second.
    Seconds,
}

/// What became of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Let through, and counted.
    pub admitted: u64,
    /// Let through, and not counted.
    pub returned: u64,
    /// Refused with 429.
    pub refused: u64,
    /// As many as the limit allows.
    pub allowed: u64,
}

/// What clients have seen.
#[derive(Debug, Default)]
struct Seen {
    /// When requests were sent and answered, in nanoseconds, of those that were let through.
    admitted: RefCell<Vec<(u64, u64)>>,
    returned: Cell<u64>,
    refused: Cell<u64>,
}

/// A gateway that serves, and one host with clients. To a limit by address all of them are one.
pub(super) struct LimitWorld {
    /// The gateway.
    pub gateway: Rc<Gateway>,
    /// What all share.
    pub common: Rc<Common>,
    /// The clients' host.
    pub clients: Sim,
    /// Chance.
    pub rng: Rng,
}

/// Runs a world without faults of the network to its end: `clients` is what its clients do.
pub(super) fn in_world<F: Future<Output = ()> + 'static>(
    (seed, shards, delays): (u64, usize, Delays),
    toml: impl Fn(u64, &Address) -> String + 'static,
    clients: impl FnOnce(LimitWorld) -> F + 'static,
) -> Result<Simulation, Failure> {
    let mut settings = Settings::new(seed);
    settings.trace = Depth::Last(100);
    settings.faults = Faults { latency_us: (50, 500), ..Faults::none() };
    let simulation = Simulation::new(settings);
    let mut rng = Rng::new(seed);
    let mut scenario = Scenario::of_mood(seed, FaultLevel::Calm, &mut rng);
    scenario.shards = shards;
    scenario.between_shards = delays;
    let listen = Address::Inet(([10, 0, 1, 1], 80).into());
    let common = Rc::new(Common::new(scenario, listen.clone(), listen.clone()));
    let gateway = Gateway::start(&simulation, &common, Rc::new(move |generation| toml(generation, &listen)));
    let host = simulation.host("clients", [10, 0, 3, 1]);
    simulation.run(async move {
        gateway.load().await;
        clients(LimitWorld { gateway: gateway.clone(), common, clients: host, rng }).await;
        gateway.drain().await;
        gateway.stop();
    })?;
    simulation.run_until(simulation.now().after(Duration::from_secs(60)))?;
    simulation.check_nothing_left()?;
    Ok(simulation)
}

/// Runs it. Fails where more were let through than the limit allows, or where anything but 200 and 429 came.
pub(crate) fn run_limited(limited: &Limited) -> Result<Outcome, Failure> {
    let seen = Rc::new(Seen::default());
    let (world, asking, seeing) = (*limited, *limited, seen.clone());
    let toml = move |generation, listen: &Address| world.toml(generation, listen);
    let simulation = in_world((limited.seed, limited.shards, limited.delays), toml, async move |world: LimitWorld| {
        let LimitWorld { gateway, common, clients, mut rng } = world;
        clients.spawn(reload(asking, gateway, clients.clone(), Rng::new(rng.next_u64())));
        ask(asking, common, clients, seeing, rng).await;
    })?;
    let admitted = seen.admitted.borrow();
    limited.check(&admitted).map_err(|broken| simulation.failure(broken))?;
    let allowed = limited.burst + limited.rate * limited.seconds;
    Ok(Outcome { admitted: admitted.len() as u64, returned: seen.returned.get(), refused: seen.refused.get(), allowed })
}

impl Limited {
    fn toml(&self, generation: u64, listen: &Address) -> String {
        let (rate, burst) = if generation.is_multiple_of(2) { (self.rate, self.burst) } else { self.more() };
        let limit = match self.counted {
            Counted::All => format!(r#"rate = "{rate}/s", burst = {burst}"#),
            Counted::Failures => format!(r#"rate = "{rate}/s", burst = {burst}, count = [401]"#),
            // The second one is never reached, and what the first refuses is given back to it.
            Counted::Seconds => format!(r#"windows = ["{rate}/second", "1000000/day"]"#),
        };
        let head = one_listener(self.shards, listen);
        format!(
            r#"
            {head}
            [policy.limit]
            rate_limit = {{ {limit} }}
            [[route]]
            path_prefix = "/"
            answer = {{ body = "in" }}
            policies = ["limit"]
            [[route]]
            path = "/failing"
            answer = {{ status = 401, body = "out" }}
            policies = ["limit"]
            "#
        )
    }

    /// The larger of the two rates that reloads change between, and its burst.
    fn more(&self) -> (u64, u64) {
        (self.rate + self.rate / 100, self.burst + self.burst / 100)
    }

    /// In no span of time were more let through than the limit allows: a request that was sent after the span's start
    /// and answered before its end was let through within it.
    fn check(&self, admitted: &[(u64, u64)]) -> Result<(), String> {
        if self.counted == Counted::Seconds {
            return self.check_seconds(admitted);
        }
        let mut by_answer: Vec<(u64, u64)> = admitted.to_vec();
        by_answer.sort_by_key(|(_, answered)| *answered);
        let (rate, burst) = if self.reloads > 0 { self.more() } else { (self.rate, self.burst) };
        for (start, _) in admitted {
            let mut count = 0;
            for (_, end) in by_answer.iter().filter(|(sent, _)| sent >= start) {
                count += 1;
                let allowed = u128::from(burst) + u128::from(end - start) * u128::from(rate) / 1_000_000_000;
                if count > allowed {
                    return Err(format!("{count} requests within {} ns, {allowed} are allowed", end - start));
                }
            }
        }
        Ok(())
    }

    /// In no second of the calendar were more let through that were sent and answered within it.
    fn check_seconds(&self, admitted: &[(u64, u64)]) -> Result<(), String> {
        let most = if self.reloads > 0 { self.more().0 } else { self.rate };
        let mut counts = BTreeMap::<u64, u64>::new();
        for (sent, answered) in admitted {
            if sent / SECOND == answered / SECOND {
                *counts.entry(sent / SECOND).or_default() += 1;
            }
        }
        match counts.iter().find(|(_, count)| **count > most) {
            Some((second, count)) => Err(format!("{count} requests in the second {second}, {most} are allowed")),
            None => Ok(()),
        }
    }
}

/// The simulated calendar begins at a full second.
const SECOND: u64 = 1_000_000_000;

/// Reloads at any time.
async fn reload(limited: Limited, gateway: Rc<Gateway>, sim: Sim, mut rng: Rng) {
    let end = sim.now().after(Duration::from_secs(limited.seconds));
    for _ in 0..limited.reloads {
        sim.sleep_until(sim.now().after_ms(rng.below(2_000 * limited.seconds / limited.reloads))).await;
        if sim.now() >= end {
            break;
        }
        gateway.load().await;
    }
}

/// Clients that ask at very different paces, each on its own connections.
async fn ask(limited: Limited, common: Rc<Common>, sim: Sim, seen: Rc<Seen>, mut rng: Rng) {
    let weights: Vec<u64> = (0..12).map(|_| 1 << rng.below(6)).collect();
    let sum: u64 = weights.iter().sum();
    let left = Rc::new(Cell::new(weights.len()));
    let latch = Latch::default();
    let end = sim.now().after(Duration::from_secs(limited.seconds));
    for weight in weights {
        let per_second = (limited.load_per_cent * limited.rate * weight) / (100 * sum);
        let gap = 1_000_000_000 / per_second.max(1);
        let counted = limited.counted;
        let client = One { common: common.clone(), sim: sim.clone(), gap, end, counted, seen: seen.clone() };
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
    counted: Counted,
    seen: Rc<Seen>,
}

impl One {
    async fn run(self, mut rng: Rng) {
        let patience = Duration::from_secs(60);
        while self.sim.now() < self.end {
            let until = self.sim.now().after(patience);
            let Ok(stream) = self.sim.connect(&self.common.gateway, until).await else {
                return self.sim.fail("a client could not connect");
            };
            let (mut speak, mut listen) = ends(&self.sim, stream, patience);
            // A new connection at random times; another shard may accept it.
            let requests = 1 + rng.below(400);
            let mut next = self.sim.now();
            for _ in 0..requests {
                if self.sim.now() >= self.end {
                    break;
                }
                let sent = self.sim.now();
                let path = if self.counted == Counted::Failures && rng.below(2) == 0 { "/failing" } else { "/limited" };
                let status = exchange(path, &mut speak, &mut listen, "one").await;
                if let Err(broken) = status.map(|status| self.count(status, sent)) {
                    return self.sim.fail(broken);
                }
                next = Tick::from_nanos(next.nanos() + self.gap);
                self.sim.sleep_until(next).await;
            }
        }
    }

    fn count(&self, status: u16, sent: Tick) {
        match status {
            200 if self.counted == Counted::Failures => self.seen.returned.set(self.seen.returned.get() + 1),
            200 | 401 => self.seen.admitted.borrow_mut().push((sent.nanos(), self.sim.now().nanos())),
            _ => self.seen.refused.set(self.seen.refused.get() + 1),
        }
    }
}

/// The two directions of a client's connection.
pub(super) fn ends(sim: &Sim, stream: <Sim as Net>::Stream, patience: Duration) -> (HttpWriter, HttpReader) {
    let stream = Rc::new(stream);
    let pace = Pace { rng: Rng::new(1), pauses: 0, pause_ms_max: 0, pauses_left: 0, piece_max: 4_096 };
    let writer = HttpWriter::new(sim, stream.clone(), pace.clone(), patience);
    (writer, HttpReader::new(sim, stream, pace, patience))
}

/// One request to a path with a key; its status, where that lets it through or refuses it for what it is.
pub(super) async fn exchange(
    path: &str,
    speak: &mut HttpWriter,
    listen: &mut HttpReader,
    key: &str,
) -> Result<u16, String> {
    match response(path, speak, listen, key).await? {
        (503, head) => Err(format!("neither let through nor refused: {head:?}")),
        (status, _) => Ok(status),
    }
}

/// The same, where 503 with `Retry-After` is an answer too.
pub(super) async fn response(
    path: &str,
    speak: &mut HttpWriter,
    listen: &mut HttpReader,
    key: &str,
) -> Result<(u16, Head), String> {
    let head = ask_head(path, speak, listen, key).await?;
    match status_of(&head)? {
        status @ (200 | 401) => Ok((status, head)),
        status @ (429 | 503) if head.value("retry-after") != Ok(None) => Ok((status, head)),
        _ => Err(format!("neither let through nor refused: {head:?}")),
    }
}

/// The same, with any status.
pub(super) async fn ask_status(
    path: &str,
    speak: &mut HttpWriter,
    listen: &mut HttpReader,
    key: &str,
) -> Result<u16, String> {
    status_of(&ask_head(path, speak, listen, key).await?)
}

fn status_of(head: &Head) -> Result<u16, String> {
    let status = head.start.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| format!("no status: {head:?}"))
}

async fn ask_head(path: &str, speak: &mut HttpWriter, listen: &mut HttpReader, key: &str) -> Result<Head, String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: limited.test\r\nX-Key: {key}\r\n\r\n");
    let asked = speak.say(request.as_bytes()).await;
    asked.map_err(|trouble| format!("{trouble:?} while asking"))?;
    let head = listen.head().await.map_err(|trouble| format!("{trouble:?} while reading"))?;
    let head = head.ok_or("the gateway closed instead of answering")?;
    let framing = head.framing(Framing::Empty).map_err(|trouble| format!("{trouble:?}"))?;
    listen.body(framing, &mut |_| Ok(())).await.map_err(|trouble| format!("{trouble:?} in a body"))?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_too_many_in_a_span_is_found() {
        let delays = Delays { micros: (0, 0), stall_ms_max: 0 };
        let limited = Limited {
            seed: 0,
            shards: 1,
            rate: 10,
            burst: 2,
            load_per_cent: 100,
            reloads: 0,
            delays,
            counted: Counted::All,
            seconds: 10,
        };
        let second = 1_000_000_000;
        assert!(limited.check(&[(0, 5), (1, 6), (second / 5, second / 5)]).is_ok());
        assert!(limited.check(&[(0, 5), (1, 6), (2, 7)]).is_err());
        // A request that was sent before the interval may have been admitted before it.
        assert!(limited.check(&[(0, second), (second - 2, second), (second - 1, second)]).is_ok());
    }
}
