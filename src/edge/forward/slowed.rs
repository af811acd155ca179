// SPDX-License-Identifier: Apache-2.0
//! Hot. Keeps a body to its own rate and to those that it shares with others of its key.
//!
//! A shared rate is a limit over all shards (`policy/limit`): a portion takes its units before it passes, and waits
//! until they are there. Where the key cannot be counted, because there is no room for it, another shard gives no word
//! or a reload took the policy away, each body keeps to the rate by itself.

use std::cell::Cell;
use std::time::Duration;

use crate::base::Tick;
use crate::edge::flow::throttle::{Slows, Throttled};
use crate::edge::shard::state::Shard;
use crate::edge::shard::waiters::Subject;
use crate::net::Net;
use crate::policy::facts::Effects;
use crate::policy::limit::{LimitId, Taken};
use crate::policy::throttle::{Direction, KeyedRate, UNIT_BYTES};

/// What keeps one direction of an exchange to its rates.
pub(crate) struct Slowed<'a, N: Net> {
    shard: &'a Shard<N>,
    own: Option<Throttled>,
    keyed: Vec<Keyed>,
}

/// A rate that others share.
struct Keyed {
    rate: KeyedRate,
    alone: Option<Throttled>,
    /// Bytes that have passed and make no whole unit yet.
    odd: Cell<u64>,
}

/// How a try to pass ended.
enum Tried {
    Passed,
    /// There may be enough after so long.
    Later(Duration),
    /// Another shard is asked about a key of this limit.
    Asked(LimitId),
    Uncountable,
}

/// What may be asked of a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Try {
    First,
    Again,
    /// No word came in time.
    Here,
}

impl<'a, N: Net> Slowed<'a, N> {
    /// What policies decided for this direction; `None` where it is not slowed down.
    #[inline]
    pub(crate) fn new(shard: &'a Shard<N>, effects: &Effects, direction: Direction) -> Option<Box<Slowed<'a, N>>> {
        if effects.slows() { Slowed::decided(shard, effects, direction) } else { None }
    }

    #[inline(never)]
    fn decided(shard: &'a Shard<N>, effects: &Effects, direction: Direction) -> Option<Box<Slowed<'a, N>>> {
        let throttle = match direction {
            Direction::Download => effects.bandwidth.download,
            Direction::Upload => effects.bandwidth.upload,
        };
        let rates = effects.keyed_rates.iter().filter(|rate| rate.direction == direction);
        let alone = |rate: &KeyedRate| Throttled::new(rate.alone);
        // tidy(hot): where nothing is shared, this allocates nothing.
        let keyed: Vec<Keyed> =
            rates.map(|rate| Keyed { rate: *rate, alone: alone(rate), odd: Cell::new(0) }).collect();
        let own = Throttled::new(throttle);
        let slows = own.is_some() || !keyed.is_empty();
        // tidy(hot): once for a body that is slowed down, so that no other exchange is larger for it.
        slows.then(|| Box::new(Slowed { shard, own, keyed }))
    }

    /// Those that others share, for what is no body: a tunnel.
    pub(crate) fn tunnel(shard: &'a Shard<N>, effects: &Effects, direction: Direction) -> Option<Box<Slowed<'a, N>>> {
        let slowed = Slowed::new(shard, effects, direction).filter(|slowed| !slowed.keyed.is_empty())?;
        // tidy(hot): once for a tunnel that is slowed down.
        Some(Box::new(Slowed { own: None, ..*slowed }))
    }

    /// So many bytes pass that come with the head: of its own rate at once, of a shared one when they may.
    pub(crate) async fn begin(&self, bytes: u64, until: Tick) {
        self.note(bytes);
        self.begin_shared(bytes, until).await;
    }

    /// So many bytes pass of its own rate.
    pub(crate) fn note(&self, bytes: u64) {
        if let Some(own) = &self.own {
            own.pass(bytes, self.shard.thread.net.now());
        }
    }

    /// Waits until so many bytes may pass of the rates that it shares.
    pub(crate) async fn begin_shared(&self, bytes: u64, until: Tick) {
        for keyed in &self.keyed {
            self.pass_keyed(keyed, bytes, until).await;
        }
    }

    async fn pass_keyed(&self, keyed: &Keyed, bytes: u64, until: Tick) {
        let net = &self.shard.thread.net;
        let sum = keyed.odd.get().saturating_add(bytes);
        keyed.odd.set(sum % UNIT_BYTES);
        let units = u32::try_from(sum / UNIT_BYTES).unwrap_or(u32::MAX);
        if units == 0 {
            return;
        }
        let mut attempt = Try::First;
        loop {
            let now = net.now();
            if now >= until {
                return;
            }
            match self.attempt(&keyed.rate, attempt, units, now) {
                Tried::Passed => return,
                Tried::Later(wait) => {
                    net.sleep_until(now.after(wait.max(LEAST_WAIT)).min(until)).await;
                    attempt = Try::Again;
                }
                Tried::Asked(limit) => {
                    let subject = Subject { owner: limit.0, key: keyed.rate.key };
                    let word = self.shard.peers.wait(net, subject, now.after(WORD_WAIT).min(until)).await;
                    attempt = if word { Try::Again } else { Try::Here };
                }
                Tried::Uncountable => {
                    if let Some(alone) = &keyed.alone {
                        net.sleep_until(alone.pass(bytes, now).min(until)).await;
                    }
                    return;
                }
            }
        }
    }

    /// Takes the units of a portion, or a part of them; then the rest is owed, and nothing of the key passes until it
    /// is paid.
    fn attempt(&self, rate: &KeyedRate, attempt: Try, units: u32, now: Tick) -> Tried {
        let peers = &self.shard.peers;
        let Some(state) = peers.limit(rate.limit) else { return Tried::Uncountable };
        let tried = {
            let mut state = state.borrow_mut();
            let part = state.parts().and_then(|parts| parts.list().get_mut(rate.part as usize));
            let Some(part) = part.filter(|part| part.limit() == rate.limit) else { return Tried::Uncountable };
            let first = units.min((part.terms().rate.burst() / TAKEN_PARTS).max(1));
            let taken = match attempt {
                Try::First => part.take(rate.key, first, now),
                Try::Again => part.retake(rate.key, first, now),
                Try::Here => part.take_here(rate.key, first, now).map_or(Taken::NoRoom, Taken::Yes),
            };
            match taken {
                Taken::Yes(_) => {
                    if units > first {
                        part.charge(rate.key, units - first, now);
                    }
                    Tried::Passed
                }
                Taken::No(_) => Tried::Later(part.wait(rate.key, first, now)),
                Taken::Wait => Tried::Asked(part.limit()),
                Taken::NoRoom => Tried::Uncountable,
            }
        };
        peers.carry(&state, || now);
        tried
    }
}

impl<N: Net> Slows for Slowed<'_, N> {
    fn buffer_bytes(&self) -> usize {
        let keyed = self.keyed.iter().filter_map(|keyed| keyed.alone.as_ref()).map(Throttled::shared_buffer_bytes);
        let own = self.own.as_ref().map(Throttled::buffer_bytes);
        keyed.chain(own).min().unwrap_or(usize::MAX)
    }

    async fn pass(&self, bytes: u64, until: Tick) {
        let net = &self.shard.thread.net;
        if let Some(own) = &self.own {
            let now = net.now();
            let passes = own.pass(bytes, now).min(until);
            if passes > now {
                net.sleep_until(passes).await;
            }
        }
        for keyed in &self.keyed {
            self.pass_keyed(keyed, bytes, until).await;
        }
    }
}

/// A portion takes at most this part of what a key may have at once, so that several shards can have that much.
const TAKEN_PARTS: u32 = 4;
/// How long another shard may take for its word.
const WORD_WAIT: Duration = Duration::from_secs(1);
/// Shorter waits would only make the shard busy.
const LEAST_WAIT: Duration = Duration::from_millis(2);
