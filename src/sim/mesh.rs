// SPDX-License-Identifier: Apache-2.0
//! Messages between shards that take their time: each ordered pair of shards has a delay, and now and then a shard
//! answers nobody for a while.
//!
//! Shards hold the real ends of real rings, short ones, so that they are often full. In the middle stands a task that
//! takes what a shard sends and passes it on later, in order, and never drops anything.

use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::base::{Rng, Tick};
use crate::link::ToPeer;
use crate::link::mesh::{Incoming, Mesh, Outgoing, ring};
use crate::net::sim::{Sim, SimBellWaiter};
use crate::net::{Bell, BellWaiter, Net};

/// How messages between shards behave.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// Least and most microseconds of one message.
    pub micros: (u64, u64),
    /// Longest time that a shard answers nobody; 0: never.
    pub stall_ms_max: u64,
}

/// One ordered pair of shards.
struct Pair {
    sender: usize,
    receiver: usize,
    from: Incoming<ToPeer>,
    to: Outgoing<ToPeer>,
    under_way: VecDeque<(Tick, ToPeer)>,
}

/// The middle of a simulated mesh.
pub(super) struct Middle {
    sim: Sim,
    ear: SimBellWaiter,
    bell: Bell,
    pairs: Vec<Pair>,
    delays: Delays,
    rng: Rng,
    /// Who answers nobody, and until when.
    stalled: (usize, Tick),
    shards: usize,
}

/// The ends of shards that are woken by `bells`, and the middle, to be run on `sim`.
pub(super) fn mesh(sim: Sim, bells: &[Bell], delays: Delays, rng: Rng) -> (Vec<Mesh<ToPeer>>, Middle) {
    let bell = Bell::silent();
    let count = bells.len();
    let mut ends: Vec<(Vec<_>, Vec<_>)> =
        (0..count).map(|_| ((0..count).map(|_| None).collect(), (0..count).map(|_| None).collect())).collect();
    let mut pairs = Vec::new();
    for sender in 0..count {
        for receiver in (0..count).filter(|receiver| *receiver != sender) {
            let (outgoing, from) = ring(RING_MESSAGES, &bells[sender], &bell);
            let (to, incoming) = ring(RING_MESSAGES, &bell, &bells[receiver]);
            ends[sender].0[receiver] = Some(outgoing);
            ends[receiver].1[sender] = Some(incoming);
            pairs.push(Pair { sender, receiver, from, to, under_way: VecDeque::new() });
        }
    }
    let ear = sim.bell_waiter(&bell).expect("the simulator's bells have no descriptors to run out of");
    let middle = Middle { sim, ear, bell, pairs, delays, rng, stalled: (0, Tick::ZERO), shards: count };
    (ends.into_iter().map(|(to, from)| Mesh::of(to, from)).collect(), middle)
}

impl Middle {
    /// What ends `run`, once `over` says so.
    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Passes messages on until `over`.
    pub(super) async fn run(mut self, over: Rc<dyn Fn() -> bool>) {
        while !over() {
            let next = self.pass_on();
            let mut heard = pin!(self.ear.rung());
            let mut due = pin!(self.sim.sleep_exactly_until(next));
            std::future::poll_fn(|context| {
                let rung = heard.as_mut().poll(context).is_ready();
                if rung || due.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// Takes what is new and sends what is due; returns when the next message is.
    fn pass_on(&mut self) -> Tick {
        let now = self.sim.now();
        if self.delays.stall_ms_max > 0 && now >= self.stalled.1.after(STALL_PAUSE) && self.rng.chance(STALL_CHANCE) {
            let length = self.rng.below(self.delays.stall_ms_max);
            self.stalled = (self.rng.below(self.shards as u64) as usize, now.after_ms(length));
        }
        let (least, most) = self.delays.micros;
        let mut next = Tick::NEVER;
        for pair in &mut self.pairs {
            let (stalled, until) = self.stalled;
            let held = if pair.sender == stalled || pair.receiver == stalled { until } else { now };
            let (rng, under_way) = (&mut self.rng, &mut pair.under_way);
            if under_way.len() < UNDER_WAY_MAX {
                pair.from.receive(|message| {
                    let last = under_way.back().map_or(now, |(at, _)| *at);
                    let at = now.after(Duration::from_micros(least + rng.below(most - least + 1)));
                    under_way.push_back((at.max(last).max(held), message));
                });
            }
            while let Some((at, _)) = under_way.front()
                && *at <= now
                && let Some((_, message)) = under_way.pop_front()
            {
                pair.to.send(message);
            }
            pair.to.flush();
            pair.to.announce();
            next = under_way.front().map_or(next, |(at, _)| next.min(*at));
        }
        next
    }
}

/// Messages that one ring holds here.
const RING_MESSAGES: usize = 4;
/// Messages of one pair under way; above it they stay in the ring, which fills up.
const UNDER_WAY_MAX: usize = 16;
/// In so many of 1 000 looks a shard stalls, at most one at a time and not soon after another: whoever waits for one
/// word after another must not need more than a second.
const STALL_CHANCE: u64 = 5;
const STALL_PAUSE: Duration = Duration::from_secs(1);
