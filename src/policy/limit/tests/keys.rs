// SPDX-License-Identifier: Apache-2.0
//! Keys with a number of slots of their own, which changes while they are used, and which shards learn one after the
//! other.

use std::mem::discriminant;

use super::*;
use crate::policy::limit::Seat;

fn parts(count: usize, slot: Rate) -> Vec<Part> {
    let part = |own| Part::new(LIMIT, terms(0, slot), shards(own as u32, count as u32), 1_000).by_key();
    (0..count).map(part).collect()
}

fn counted() -> Rate {
    let mut rate = Rate::counted(1).unwrap();
    rate.turn(Tick::from_nanos(1_800_000_000_000_000_000));
    rate
}

/// Some shards, what each knows of the key, and messages that take their time.
struct Shop {
    parts: Vec<Part>,
    slot: Rate,
    /// The numbers of slots that the key has had; the place is the version.
    sizes: Vec<u32>,
    known: Vec<usize>,
    queues: Vec<Vec<VecDeque<Message>>>,
    now: Tick,
    passed: u32,
}

impl Shop {
    fn new(count: usize, slot: Rate, size: u32) -> Shop {
        Shop {
            parts: parts(count, slot),
            slot,
            sizes: vec![size],
            known: vec![0; count],
            queues: vec![vec![VecDeque::new(); count]; count],
            now: Tick::ZERO.after_ms(1_000),
            passed: 0,
        }
    }

    fn terms(&self, shard: usize) -> Terms {
        terms(self.known[shard] as u64, self.slot.with_slots(self.sizes[self.known[shard]]).unwrap())
    }

    /// One request, which gives up where it would have to wait.
    fn arrive(&mut self, shard: usize) -> Taken {
        let known = self.terms(shard);
        let taken = self.parts[shard].take_under(KEY, &known, 1, self.now);
        self.passed += u32::from(matches!(taken, Taken::Yes(_)));
        self.post(shard);
        taken
    }

    fn post(&mut self, shard: usize) {
        while let Some((to, message)) = self.parts[shard].next_message() {
            self.queues[shard][to.0 as usize].push_back(message);
        }
        while self.parts[shard].next_woken().is_some() {}
    }

    /// Delivers the next message from one shard to another; false where there is none.
    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(message) = self.queues[from][to].pop_front() else { return false };
        self.parts[to].receive(ShardId(from as u32), &message, self.now);
        self.post(to);
        true
    }

    fn deliver_all(&mut self) {
        let count = self.parts.len();
        while (0..count * count).any(|pair| self.deliver(pair / count, pair % count)) {}
    }

    /// Everybody knows the last number, and asks until nothing is left anywhere.
    fn use_up(&mut self) {
        self.known.fill(self.sizes.len() - 1);
        let mut quiet = 0;
        while quiet < 8 {
            self.deliver_all();
            let before = self.passed;
            for shard in 0..self.parts.len() {
                while discriminant(&self.arrive(shard)) == discriminant(&Taken::Wait) {
                    self.deliver_all();
                }
            }
            self.now = self.now.after_ms(70);
            quiet = if self.passed > before { 0 } else { quiet + 1 };
            self.check();
        }
    }

    fn check(&self) {
        for part in &self.parts {
            assert_eq!(part.check(), Ok(()));
        }
    }
}

proptest! {
    #[test]
    fn what_was_used_stays_used_however_often_the_number_changes(
        count in 1_usize..5,
        first in 1_u32..40,
        steps in prop::collection::vec((0_u8..10, any::<usize>(), any::<usize>(), 1_u32..40), 1..200),
    ) {
        let mut shop = Shop::new(count, counted(), first);
        let mut most = first;
        for (what, one, other, size) in steps {
            let (one, other) = (one % count, other % count);
            match what {
                0 => {
                    shop.sizes.push(size);
                    most = most.max(size);
                }
                1..=2 => shop.known[one] = (shop.known[one] + 1).min(shop.sizes.len() - 1),
                3..=5 => drop(shop.arrive(one)),
                _ => drop(shop.deliver(one, other)),
            }
            prop_assert!(shop.passed <= most, "{} of {}", shop.passed, most);
            shop.now = shop.now.after(Duration::from_micros(300));
        }
        shop.check();
        let before = shop.passed;
        shop.use_up();
        prop_assert_eq!(shop.passed, before.max(*shop.sizes.last().unwrap()), "{} before", before);
    }
}

#[test]
fn seats_that_were_taken_under_a_larger_number_are_not_given_again() {
    for count in [1, 3] {
        let mut shop = Shop::new(count, Rate::in_flight(1).unwrap(), 6);
        let mut seats: Vec<Seat> = Vec::new();
        let sit = |shop: &mut Shop, seats: &mut Vec<Seat>| {
            for _ in 0..40 {
                for shard in 0..count {
                    let taken = shop.arrive(shard);
                    if let Taken::Yes(_) = taken {
                        seats.extend(shop.parts[shard].seat(KEY, shop.now));
                    }
                    shop.deliver_all();
                }
                shop.now = shop.now.after_ms(70);
            }
        };
        sit(&mut shop, &mut seats);
        assert_eq!(seats.len(), 6, "{count} shards");
        shop.sizes.push(2);
        shop.known.fill(1);
        seats.truncate(4);
        sit(&mut shop, &mut seats);
        assert_eq!(seats.len(), 4, "{count} shards");
        seats.truncate(1);
        sit(&mut shop, &mut seats);
        assert_eq!(seats.len(), 2, "{count} shards");
        shop.sizes.push(5);
        shop.known.fill(2);
        sit(&mut shop, &mut seats);
        assert_eq!(seats.len(), 5, "{count} shards");
    }
}

#[test]
fn slots_of_a_span_refill_in_it_whatever_their_number() {
    let mut shop = Shop::new(1, Rate::new(1, Duration::from_secs(10), 1).unwrap(), 5);
    shop.use_up();
    assert_eq!(shop.passed, 5);
    shop.now = shop.now.after_ms(10_000);
    shop.sizes.push(8);
    shop.passed = 0;
    shop.use_up();
    assert_eq!(shop.passed, 8);
    shop.sizes.push(4);
    shop.now = shop.now.after_ms(10_000);
    shop.passed = 0;
    shop.use_up();
    assert_eq!(shop.passed, 4, "the others went as they refilled");
}

#[test]
fn a_key_that_used_something_is_not_forgotten_for_another() {
    let mut part = Part::new(LIMIT, terms(0, counted()), shards(0, 1), 2).by_key();
    let (now, own) = (Tick::ZERO, terms(0, counted().with_slots(3).unwrap()));
    for key in [1 << 40, 2 << 40] {
        assert!(matches!(part.take_under(key, &own, 1, now), Taken::Yes(_)));
    }
    assert_eq!(part.take_under(3 << 40, &own, 1, now), Taken::NoRoom);
    part.give_back(2 << 40, 1, now);
    assert!(matches!(part.take_under(3 << 40, &own, 1, now), Taken::Yes(_)));
}
