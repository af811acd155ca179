// SPDX-License-Identifier: Apache-2.0
//! Gateways with several shards and one database between them: messages that take their time, crashes, outages.

use std::collections::{BTreeMap, VecDeque};

use jiff::tz::TimeZone;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::policy::limit::calendar::Unit;
use crate::policy::limit::{Held, Part, Shards, Taken};

const LIMIT: LimitId = LimitId(7);
const KEYS: usize = 1_000;

fn hours() -> Calendar {
    Calendar { unit: Unit::Hour, zone: TimeZone::UTC }
}

/// What a database does with an order: as `control::quotas` writes it.
fn apply(used: &mut BTreeMap<(u64, u64), u64>, order: &Order) -> Outcome {
    let used = used.entry((order.key, order.window.start)).or_default();
    *used = used.saturating_add_signed(order.owed);
    let count = u64::from(order.want).min(u64::from(order.quota).saturating_sub(*used)) as u32;
    *used += u64::from(count);
    Outcome::Leased { count, used: *used }
}

/// One process.
struct Gateway {
    parts: Vec<Part>,
    parent: Parent,
    to_parent: VecDeque<(ShardId, Message)>,
    to_shards: VecDeque<(ShardId, Message)>,
    orders: VecDeque<Order>,
    /// Key and shard of requests that wait.
    waiting: Vec<(u64, usize)>,
}

impl Gateway {
    fn new(quota: u32, shards: u32, on_outage: OnOutage) -> Gateway {
        let rate = Rate::leased(quota).unwrap();
        let terms = Terms { version: 0, rate };
        let part = |own| Part::new(LIMIT, terms, Shards { own: ShardId(own), count: shards }, KEYS).in_windows(hours());
        Gateway {
            parts: (0..shards).map(part).collect(),
            parent: Parent::new((LIMIT, rate), hours(), on_outage, (shards, KEYS)),
            to_parent: VecDeque::new(),
            to_shards: VecDeque::new(),
            orders: VecDeque::new(),
            waiting: Vec::new(),
        }
    }
}

/// Gateways, their database, and what requests got of each window.
struct World {
    gateways: Vec<Gateway>,
    make: (u32, u32, OnOutage),
    used: BTreeMap<(u64, u64), u64>,
    away: bool,
    /// By window and key.
    admitted: BTreeMap<(u64, u64), u64>,
    now: Tick,
    started: u64,
}

impl World {
    fn new(gateways: usize, quota: u32, shards: u32, on_outage: OnOutage) -> World {
        let make = || Gateway::new(quota, shards, on_outage);
        World {
            gateways: (0..gateways).map(|_| make()).collect(),
            make: (quota, shards, on_outage),
            used: BTreeMap::new(),
            away: false,
            admitted: BTreeMap::new(),
            now: Tick::ZERO.after_ms(1),
            started: 1_800_000_000,
        }
    }

    fn wall(&self) -> Wall {
        Wall(self.started * 1_000_000 + self.now.nanos() / 1_000)
    }

    fn pass_ms(&mut self, millis: u64) {
        self.now = self.now.after_ms(millis);
    }

    /// A request; true where it passed at once.
    fn request(&mut self, gateway: usize, shard: usize, key: u64) -> bool {
        let (now, wall) = (self.now, self.wall());
        let part = &mut self.gateways[gateway].parts[shard];
        part.look(now, || wall);
        match part.take(key, 1, now) {
            Taken::Yes(_) => self.note(key),
            Taken::Wait => self.gateways[gateway].waiting.push((key, shard)),
            Taken::No(_) | Taken::NoRoom => {}
        }
        self.collect(gateway);
        false
    }

    fn note(&mut self, key: u64) {
        let window = hours().window(self.wall()).start;
        *self.admitted.entry((window, key)).or_default() += 1;
    }

    fn collect(&mut self, gateway: usize) {
        let found = &mut self.gateways[gateway];
        for (own, part) in (0..).map(ShardId).zip(&mut found.parts) {
            while let Some((to, message)) = part.next_message() {
                assert_eq!(to, ShardId::PARENT, "shards of a leased limit say nothing to each other");
                found.to_parent.push_back((own, message));
            }
        }
    }

    /// Carries one message, or does one order; false where nothing is under way.
    fn step(&mut self, gateway: usize, choice: usize) -> bool {
        let time = (self.now, self.wall());
        let found = &mut self.gateways[gateway];
        let ready = [!found.to_parent.is_empty(), !found.to_shards.is_empty(), !found.orders.is_empty()];
        let Some(what) = (0..3).map(|step| (choice + step) % 3).find(|what| ready[*what]) else { return false };
        let mut out = Replies::new();
        match what {
            0 => {
                let (from, message) = found.to_parent.pop_front().unwrap();
                found.parent.receive(from, &message, time, &mut out);
            }
            1 => self.deliver(gateway),
            _ => {
                let order = found.orders.pop_front().unwrap();
                let outcome = if self.away { Outcome::Failed } else { apply(&mut self.used, &order) };
                found.parent.settle(&order, outcome, time, &mut out);
            }
        }
        let found = &mut self.gateways[gateway];
        found.to_shards.extend(out);
        found.orders.extend(found.parent.take_orders());
        self.collect(gateway);
        true
    }

    fn deliver(&mut self, gateway: usize) {
        let (now, wall) = (self.now, self.wall());
        let found = &mut self.gateways[gateway];
        let (to, message) = found.to_shards.pop_front().unwrap();
        let shard = to.0 as usize;
        let part = &mut found.parts[shard];
        part.look(now, || wall);
        part.receive(ShardId::PARENT, &message, now);
        if let Some(key) = part.next_woken() {
            let woken = found.waiting.extract_if(.., |(of, at)| (*of, *at) == (key, shard)).count();
            for _ in 0..woken {
                match self.gateways[gateway].parts[shard].retake(key, 1, now) {
                    Taken::Yes(_) => self.note(key),
                    Taken::Wait => self.gateways[gateway].waiting.push((key, shard)),
                    Taken::No(_) | Taken::NoRoom => {}
                }
            }
            assert!(self.gateways[gateway].parts[shard].next_woken().is_none(), "a message is about one key");
        }
    }

    fn run(&mut self) {
        for gateway in 0..self.gateways.len() {
            while self.step(gateway, 0) {}
        }
    }

    fn crash(&mut self, gateway: usize) {
        let (quota, shards, on_outage) = self.make;
        self.gateways[gateway] = Gateway::new(quota, shards, on_outage);
    }

    fn sweep(&mut self, gateway: usize) {
        let (now, wall) = (self.now, self.wall());
        let found = &mut self.gateways[gateway];
        for part in &mut found.parts {
            part.look(now, || wall);
            part.sweep(now);
        }
        found.parent.sweep(100, (now, wall));
        found.orders.extend(found.parent.take_orders());
        self.collect(gateway);
    }

    fn leave(&mut self, gateway: usize) {
        let (now, wall) = (self.now, self.wall());
        self.gateways[gateway].parent.close();
        // What was granted before comes before `Stop`, which ends the shards; what was ordered may come later.
        while !self.gateways[gateway].to_shards.is_empty() {
            self.deliver(gateway);
        }
        self.gateways[gateway].parts.iter_mut().for_each(|part| part.surrender(now));
        self.collect(gateway);
        while !self.gateways[gateway].to_parent.is_empty() {
            self.step(gateway, 0);
        }
        let found = &mut self.gateways[gateway];
        found.parent.surrender(wall);
        found.orders.extend(found.parent.take_orders());
        let orders_only = 2;
        while self.step(gateway, orders_only) {
            let late =
                self.gateways[gateway].to_shards.iter().find(|(_, message)| matches!(message.body, Body::Grant { .. }));
            assert!(late.is_none(), "{late:?} comes too late");
        }
        self.crash(gateway);
    }

    fn in_window(&self, key: u64) -> u64 {
        let window = hours().window(self.wall()).start;
        self.admitted.get(&(window, key)).copied().unwrap_or(0)
    }
}

/// Uses a quota up and says how much of it requests got.
fn use_up(world: &mut World, mut place: impl FnMut(u32) -> (usize, usize)) -> u64 {
    let (quota, ..) = world.make;
    for turn in 0..quota.saturating_mul(2) {
        let (gateway, shard) = place(turn);
        world.request(gateway, shard, 1);
        world.run();
        if turn % 50 == 0 {
            world.pass_ms(1);
        }
    }
    world.in_window(1)
}

#[test]
fn a_quota_is_usable_to_its_last_percent_on_an_uneven_load() {
    for quota in [1, 7, 100, 1_000, 20_000] {
        for (gateways, shards) in [(1, 1), (1, 4), (2, 2)] {
            let mut world = World::new(gateways, quota, shards, OnOutage::Closed);
            let got = use_up(&mut world, |turn| {
                let other = turn % 10 == 0;
                (usize::from(other) % gateways, (turn / 3) as usize % shards as usize)
            });
            assert!(got <= u64::from(quota), "{got} of {quota}");
            let least = u64::from(quota) - u64::from(quota) * gateways as u64 / 100;
            assert!(got >= least, "{got} of {quota} with {gateways} gateways of {shards} shards");
        }
    }
}

#[test]
fn a_crash_loses_at_most_one_percent_and_a_clean_end_nothing() {
    for quota in [50_u32, 1_000, 30_000] {
        for clean in [false, true] {
            let mut world = World::new(1, quota, 2, OnOutage::Closed);
            for turn in 0..quota / 2 {
                world.request(0, turn as usize % 2, 1);
                world.run();
            }
            if clean {
                world.leave(0)
            } else {
                world.crash(0)
            }
            let got = use_up(&mut world, |turn| (0, turn as usize % 2));
            // What lies unused at the very end is of no use to this one either.
            let lost = u64::from(quota / 100) * if clean { 1 } else { 2 };
            assert!(got <= u64::from(quota) && got + lost >= u64::from(quota), "{got} of {quota}, clean: {clean}");
        }
    }
}

#[test]
fn a_shard_asks_before_it_runs_dry_so_that_requests_do_not_wait() {
    let mut world = World::new(1, 100_000, 1, OnOutage::Closed);
    world.request(0, 0, 1);
    world.run();
    for _ in 0..50_000 {
        world.request(0, 0, 1);
        assert!(world.gateways[0].waiting.is_empty());
        world.run();
    }
}

#[test]
fn what_happens_while_the_database_is_away_is_a_choice() {
    for (on_outage, gateways, expected) in
        [(OnOutage::Closed, 1, 0), (OnOutage::LocalShare { gateways: 2 }, 2, 500), (OnOutage::Open, 1, 0)]
    {
        let mut world = World::new(gateways, 500, 2, on_outage);
        world.away = true;
        for turn in 0..2_000_usize {
            world.request(turn % gateways, turn % 2, 1);
            world.run();
            world.pass_ms(1);
        }
        assert_eq!(world.in_window(1), expected, "{on_outage:?}");
        world.away = false;
        world.pass_ms(600);
        (0..gateways).for_each(|gateway| world.sweep(gateway));
        world.run();
        let before = world.in_window(1);
        for turn in 0..2_000_usize {
            world.request(turn % gateways, turn % 2, 1);
            world.run();
            world.pass_ms(1);
        }
        let after = world.in_window(1);
        assert!((495..=500).contains(&after), "{before} and then {after}: no burst follows {on_outage:?}");
    }
}

#[test]
fn a_slot_that_is_held_over_the_end_of_a_window_gives_nothing_in_the_next() {
    let mut world = World::new(1, 3, 1, OnOutage::Closed);
    (0..2).for_each(|_| {
        world.request(0, 0, 1);
        world.run();
    });
    let (now, held) = (world.now, world.gateways[0].parts[0].hold(1, 1, world.now).expect("taken"));
    world.gateways[0].parts[0].release(1, held, 0, now);
    world.request(0, 0, 1);
    assert_eq!(world.in_window(1), 3, "one that does not count comes back in its window");
    let held = world.gateways[0].parts[0].hold(1, 1, world.now).expect("taken");
    world.pass_ms(3_600_000);
    world.request(0, 0, 1);
    world.run();
    let now = world.now;
    world.gateways[0].parts[0].release(1, held, 0, now);
    for _ in 0..5 {
        world.request(0, 0, 1);
        world.run();
        world.pass_ms(600);
    }
    assert_eq!(world.in_window(1), 3);
    let stranger = Held { version: 0, slots: 1 };
    world.gateways[0].parts[0].release(9, stranger, 0, now);
}

#[test]
fn a_key_that_is_reset_has_its_whole_quota_again() {
    let mut world = World::new(1, 1_000, 2, OnOutage::Closed);
    let first = use_up(&mut world, |turn| (0, turn as usize % 2));
    world.used.clear();
    let now = world.now;
    let gateway = &mut world.gateways[0];
    gateway.parent.reset(1, now);
    gateway.parts.iter_mut().for_each(|part| part.reset(1, now));
    let second = use_up(&mut world, |turn| (0, turn as usize % 2));
    assert!((990..=1_000).contains(&first) && (1_980..=2_000).contains(&second), "{first} {second}");
}

#[test]
fn a_full_table_says_so_and_forgets_what_the_database_knows() {
    let mut parent = Parent::new((LIMIT, Rate::leased(9).unwrap()), hours(), OnOutage::Closed, (1, 2));
    let terms = Terms { version: 0, rate: Rate::leased(9).unwrap() };
    let ask = |key| Message { limit: LIMIT, key, terms, body: Body::Ask { need: 1, demand: 1 } };
    let time = (Tick::ZERO.after_ms(1), Wall(1_800_000_000_000_000));
    let mut out = Replies::new();
    (1..=3).for_each(|key| parent.receive(ShardId(0), &ask(key), time, &mut out));
    assert_eq!(out, [(ShardId(0), Message { body: Body::NoRoom, ..ask(3) })]);
    let orders = parent.take_orders();
    out.clear();
    parent.settle(&orders[0], Outcome::Leased { count: 1, used: 1 }, time, &mut out);
    parent.receive(ShardId(0), &ask(3), time, &mut out);
    assert!(matches!(out[..], [(_, Message { key: 1, body: Body::Grant { .. }, .. })]), "{out:?}");
    assert_eq!(parent.take_orders().len(), 1, "there is room for the third key");
    assert_eq!((parent.pool(1), parent.table.len()), (0, 2));
}

#[test]
fn another_quota_is_as_used_up_as_the_old_one_was() {
    let mut world = World::new(1, 1_000, 1, OnOutage::Closed);
    for _ in 0..500 {
        world.request(0, 0, 1);
        world.run();
    }
    let (rate, now) = (Rate::leased(100).unwrap(), world.now);
    let used = world.used.values_mut().next().unwrap();
    *used = scaled_up(*used, 1_000, 100);
    world.gateways[0].parent.follow(rate, OnOutage::Closed);
    world.gateways[0].parts[0].set_terms(Terms { version: 1, rate }, now);
    world.make.0 = 100;
    let got = use_up(&mut world, |_| (0, 0)) - 500;
    assert!((48..=50).contains(&got), "{got} of the 50 that are left of 100");
}

proptest! {
    #[test]
    fn never_above_whatever_crashes_and_however_slow_messages_are(
        (quota, shards, gateways) in (1_u32..2_000, 1_u32..4, 1_usize..3),
        steps in prop::collection::vec((0_u8..24, any::<u8>(), 0_u64..3), 1..600),
    ) {
        let mut world = World::new(gateways, quota, shards, OnOutage::Closed);
        for (what, at, key) in steps {
            let (gateway, shard) = (at as usize % gateways, at as usize % shards as usize);
            match what {
                0..=9 => (0..=at % 40).for_each(|_| { world.request(gateway, shard, key); }),
                10..=18 => (0..=at % 8).for_each(|_| { world.step(gateway, at as usize); }),
                19 => world.pass_ms(at.into()),
                20 => world.sweep(gateway),
                21 => world.crash(gateway),
                22 if at > 200 => world.pass_ms(1_800_000),
                22 => world.leave(gateway),
                _ => world.away = at > 180,
            }
        }
        for ((window, key), count) in &world.admitted {
            prop_assert!(*count <= u64::from(quota), "{count} of {quota}");
            let used = world.used.get(&(*key, *window)).copied().unwrap_or(0);
            prop_assert!(used >= *count && used <= u64::from(quota), "{used} written, {count} used");
        }
    }

    #[test]
    fn a_clean_end_at_any_moment_loses_nothing(
        quota in 1_u32..5_000,
        requests in proptest::collection::vec((0_usize..3, 1_u64..3, 0_usize..3), 1..400),
    ) {
        let mut world = World::new(1, quota, 3, OnOutage::Closed);
        for (shard, key, choice) in requests {
            world.request(0, shard, key);
            world.step(0, choice);
            world.step(0, choice + 1);
        }
        world.leave(0);
        let window = hours().window(world.wall()).start;
        for key in 1..3 {
            prop_assert_eq!(world.used.get(&(key, window)).copied().unwrap_or(0), world.in_window(key));
        }
    }

    #[test]
    fn what_comes_back_is_given_again(quota in 1_u32..5_000, shards in 1_u32..4) {
        let mut world = World::new(1, quota, shards, OnOutage::Closed);
        for shard in 0..shards as usize {
            world.request(0, shard, 1);
            world.run();
        }
        let before = world.in_window(1);
        for _ in 0..20 {
            world.pass_ms(1_000);
            world.sweep(0);
            world.run();
        }
        let window = hours().window(world.wall()).start;
        let used = world.used.get(&(1, window)).copied().unwrap_or(0);
        prop_assert_eq!(used, before, "all that was not used is back");
    }
}

#[test]
fn a_shard_that_missed_a_smaller_quota_is_believed_when_it_is_larger_again() {
    let slot = Rate::leased(1).unwrap();
    let part = |own| {
        let shards = Shards { own: ShardId(own), count: 2 };
        Part::new(LIMIT, Terms { version: 0, rate: slot }, shards, KEYS).in_windows(hours()).by_key()
    };
    let (mut parts, mut used) = ([part(0), part(1)], BTreeMap::new());
    let mut parent = Parent::new((LIMIT, slot), hours(), OnOutage::Closed, (2, KEYS)).based_on(Basis::Key);
    let (now, wall) = (Tick::ZERO.after_ms(1), Wall(1_800_000_000_000_000));
    let mut passes = |shard: usize, version: u64, quota: u32| {
        let terms = Terms { version, rate: slot.with_slots(quota).unwrap() };
        parts[shard].look(now, || wall);
        let mut taken = parts[shard].take_under(1, &terms, 1, now);
        while let Some((_, message)) = parts[shard].next_message() {
            let mut out = Replies::new();
            parent.receive(ShardId(shard as u32), &message, (now, wall), &mut out);
            for order in parent.take_orders() {
                let outcome = apply(&mut used, &order);
                parent.settle(&order, outcome, (now, wall), &mut out);
            }
            out.iter().for_each(|(to, reply)| parts[to.0 as usize].receive(ShardId::PARENT, reply, now));
        }
        if taken == Taken::Wait {
            taken = parts[shard].retake_under(1, &terms, 1, now);
        }
        matches!(taken, Taken::Yes(_))
    };
    assert_eq!([1, 1, 0, 0].map(|shard| passes(shard, 1, 20)), [true; 4]);
    assert!(passes(0, 2, 6) && passes(0, 2, 6) && !passes(0, 2, 6), "of six, four were used");
    // The other shard never heard of the six.
    assert_eq!([1, 0, 1].map(|shard| passes(shard, 3, 20)), [true; 3]);
    assert_eq!((0..20).filter(|_| passes(1, 3, 20)).count(), 11, "of twenty, nine were used");
    assert!(!passes(0, 3, 20));
}
