// SPDX-License-Identifier: Apache-2.0
//! Bodies of a key that share a rate over several shards, at uneven loads, while plans are reloaded: in no span of time
//! may more of them pass than the rate and what may pass at once allow, and nearly all of the rate must be usable. A
//! key with a rate of its own is not slowed down by them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::base::{Address, Rng, Tick};
use crate::net::sim::{Failure, Latch, Sim};
use crate::net::{Listener, Net};
use crate::policy::throttle::Direction;
use crate::sim::heads::one_listener;
use crate::sim::limit::{LimitWorld, ends, in_world};
use crate::sim::mesh::Delays;
use crate::sim::message_io::{Framing, HttpReader, HttpWriter};

const DELAYS: Delays = Delays { micros: (20, 400), stall_ms_max: 0 };
const PATIENCE: Duration = Duration::from_secs(120);
const ORIGIN: ([u8; 4], u16) = ([10, 0, 2, 1], 9_000);
/// Bytes a second, and at once.
const RATE: u64 = 256 * 1024;
const AT_ONCE: u64 = 64 * 1024;
const SECONDS: u64 = 12;
const CLIENTS: usize = 7;
/// Content of one message.
const BODY: usize = 50_000;
/// What shards may owe at a time, each a buffer that it took a part of; and what the network holds back.
const SLACK: u64 = 16 * 1024;

/// One world.
#[derive(Clone, Copy, Debug)]
struct World {
    seed: u64,
    shards: usize,
    direction: Direction,
}

/// What arrived of the key: when, and how many bytes.
type Arrived = Rc<RefCell<Vec<(Tick, u64)>>>;

fn toml(shards: usize, listen: &Address) -> String {
    let (head, origin) = (one_listener(shards, listen), Address::Inet(ORIGIN.into()));
    format!(
        r#"
        {head}
        [policy.shared.bandwidth]
        download = {RATE}
        download_after = {AT_ONCE}
        upload = {RATE}
        upload_after = {AT_ONCE}
        key = "header:x-key"
        [upstream.o]
        endpoints = "{origin}"
        [[route]]
        path_prefix = "/"
        to = "o"
        policies = ["shared"]
        "#
    )
}

/// Answers every request with a body, or takes one in, and notes what comes of the key `one`.
async fn serve(sim: Sim, direction: Direction, arrived: Arrived) {
    let listener = sim.listen(&Address::Inet(ORIGIN.into()));
    while let Ok(stream) = listener.accept().await {
        let (machine, arrived) = (sim.clone(), arrived.clone());
        sim.spawn(async move {
            let (mut speak, mut hear) = ends(&machine, stream, PATIENCE);
            while let Ok(Some(head)) = hear.head().await {
                let framing = head.framing(Framing::Empty).expect("the gateway frames bodies well");
                let counts = direction == Direction::Upload && head.value("x-key") == Ok(Some("one"));
                let note = &mut |piece: &[u8]| {
                    if counts {
                        arrived.borrow_mut().push((machine.now(), piece.len() as u64));
                    }
                    Ok(())
                };
                if hear.body(framing, note).await.is_err() {
                    break;
                }
                let length = if direction == Direction::Download { BODY } else { 2 };
                let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
                response.resize(response.len() + length, b'x');
                if speak.say(&response).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// One exchange of a key; notes what comes down of it.
async fn exchange(
    (speak, listen): (&mut HttpWriter, &mut HttpReader),
    (sim, direction, key): (&Sim, Direction, &str),
    arrived: Option<&Arrived>,
) -> Result<(), String> {
    let length = if direction == Direction::Upload { BODY } else { 0 };
    let mut request =
        format!("POST / HTTP/1.1\r\nHost: shared.test\r\nX-Key: {key}\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    request.resize(request.len() + length, b'x');
    speak.say(&request).await.map_err(|trouble| format!("{trouble:?} while asking"))?;
    let head = listen.head().await.map_err(|trouble| format!("{trouble:?} while reading"))?;
    let head = head.ok_or("the gateway closed instead of answering")?;
    let framing = head.framing(Framing::Empty).map_err(|trouble| format!("{trouble:?}"))?;
    let note = &mut |piece: &[u8]| {
        if let Some(arrived) = arrived.filter(|_| direction == Direction::Download) {
            arrived.borrow_mut().push((sim.now(), piece.len() as u64));
        }
        Ok(())
    };
    listen.body(framing, note).await.map_err(|trouble| format!("{trouble:?} in a body"))?;
    if head.start.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("refused: {head:?}")) }
}

/// A client that goes on until the time is over, on a new connection now and then.
async fn client(world: World, sim: Sim, to: Address, arrived: Arrived, mut rng: Rng) -> Result<(), String> {
    let end = sim.now().after(Duration::from_secs(SECONDS));
    while sim.now() < end {
        let stream = sim.connect(&to, sim.now().after(PATIENCE)).await.map_err(|_| "a client could not connect")?;
        let (mut speak, mut listen) = ends(&sim, stream, PATIENCE);
        for _ in 0..1 + rng.below(4) {
            exchange((&mut speak, &mut listen), (&sim, world.direction, "one"), Some(&arrived)).await?;
            // Some pause, so that the load goes from shard to shard.
            sim.sleep_until(sim.now().after_ms(if rng.chance(300) { rng.below(800) } else { 0 })).await;
        }
    }
    Ok(())
}

/// In no span of time more arrived than was allowed to pass.
fn check(world: World, arrived: &[(Tick, u64)]) -> Result<(), String> {
    for (at, (start, _)) in arrived.iter().enumerate().step_by(5) {
        let mut sum = 0;
        for (end, bytes) in &arrived[at..] {
            sum += bytes;
            let allowed =
                AT_ONCE + SLACK * world.shards as u64 + RATE * (end.since(*start).as_micros() as u64) / 1_000_000;
            if sum > allowed {
                return Err(format!("{sum} bytes in {:?}, {allowed} are allowed", end.since(*start)));
            }
        }
    }
    Ok(())
}

/// Runs it; the bytes that arrived of the key, and how long an exchange of another key took.
fn run(world: World) -> Result<(u64, Duration), Failure> {
    let (arrived, other) = (Arrived::default(), Rc::new(Cell::new(Duration::ZERO)));
    let (noted, timed) = (arrived.clone(), other.clone());
    let toml = move |_, listen: &Address| toml(world.shards, listen);
    let simulation = in_world((world.seed, world.shards, DELAYS), toml, async move |inside: LimitWorld| {
        let LimitWorld { gateway, common, clients: sim, mut rng } = inside;
        sim.spawn(serve(sim.clone(), world.direction, noted.clone()));
        let (left, latch) = (Rc::new(Cell::new(CLIENTS + 1)), Latch::default());
        let done = |outcome: Result<(), String>, sim: &Sim, left: &Rc<Cell<usize>>, latch: &Latch| {
            if let Err(broken) = outcome {
                sim.fail(broken);
            }
            left.set(left.get() - 1);
            latch.notify();
        };
        for _ in 0..CLIENTS {
            let (left, latch, machine, noted) = (left.clone(), latch.clone(), sim.clone(), noted.clone());
            let asks = client(world, sim.clone(), common.gateway.clone(), noted, Rng::new(rng.next_u64()));
            sim.spawn(async move { done(asks.await, &machine, &left, &latch) });
        }
        let (ended, woken, machine, to) = (left.clone(), latch.clone(), sim.clone(), common.gateway.clone());
        sim.spawn(async move {
            machine.sleep_until(machine.now().after_ms(3_000)).await;
            let Ok(stream) = machine.connect(&to, machine.now().after(PATIENCE)).await else { return };
            let (mut speak, mut listen) = ends(&machine, stream, PATIENCE);
            let began = machine.now();
            let outcome = exchange((&mut speak, &mut listen), (&machine, world.direction, "two"), None).await;
            timed.set(machine.now().since(began));
            done(outcome, &machine, &ended, &woken);
        });
        sim.sleep_until(sim.now().after_ms(5_000)).await;
        gateway.load().await;
        latch.wait(|| (left.get() == 0).then_some(())).await;
        sim.kill();
    })?;
    let arrived = arrived.borrow();
    check(world, &arrived).map_err(|broken| simulation.failure(broken))?;
    let within = arrived.iter().filter(|(at, _)| *at < arrived[0].0.after(Duration::from_secs(SECONDS)));
    Ok((within.map(|(_, bytes)| bytes).sum(), other.get()))
}

#[test]
fn bodies_of_a_key_share_a_rate_over_shards_and_use_nearly_all_of_it() {
    for (seed, shards) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 8)] {
        for direction in [Direction::Download, Direction::Upload] {
            let world = World { seed, shards, direction };
            let (bytes, other) = run(world).unwrap_or_else(|failure| panic!("{world:?}\n{failure}"));
            let share = bytes as f64 / (RATE * SECONDS + AT_ONCE) as f64;
            println!("{world:?}: {:.1} % of the rate; another key {other:?}", share * 100.0);
            assert!(share > 0.9, "{world:?}: only {share}");
            assert!(other < Duration::from_millis(200), "{world:?}: another key took {other:?}");
        }
    }
}
