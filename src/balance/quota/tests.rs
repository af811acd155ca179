// SPDX-License-Identifier: Apache-2.0
//! Permits between shards: never more than the cap in use, and nobody waits for ever.

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;

const KEY: CapKey = CapKey { capped: Capped::Requests, of: 7 };

/// Shards with their use, and messages under way by ordered pair.
struct World {
    shards: Vec<(Quotas, u32)>,
    under_way: HashMap<(u32, u32), VecDeque<QuotaMessage>>,
    cap: u32,
}

impl World {
    fn new(count: u32, cap: u32) -> World {
        let shards = (0..count).map(|own| (Quotas::new(Part { own, count }), 0)).collect();
        World { shards, under_way: HashMap::new(), cap }
    }

    fn with(&mut self, at: usize, act: impl FnOnce(&mut Quotas, Use)) {
        let (quotas, used) = &mut self.shards[at];
        act(quotas, Use { cap: self.cap, used: *used });
        while let Some((to, message)) = quotas.next_mail() {
            assert_ne!(to, at as u32, "a shard writes to itself");
            self.under_way.entry((at as u32, to)).or_default().push_back(message);
        }
    }

    /// Takes a permit, or asks for one.
    fn take(&mut self, at: usize) -> bool {
        let (quotas, used) = &mut self.shards[at];
        if *used < quotas.allowed(KEY, self.cap) {
            *used += 1;
            return true;
        }
        self.with(at, |quotas, of| quotas.want(KEY, 1, of));
        // The home may have had some for itself.
        false
    }

    fn free(&mut self, at: usize) {
        if self.shards[at].1 > 0 {
            self.shards[at].1 -= 1;
            self.with(at, |quotas, of| quotas.freed(KEY, of));
        }
    }

    fn deliver(&mut self, from: u32, to: u32) -> bool {
        let Some(message) = self.under_way.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { return false };
        self.with(to as usize, |quotas, of| quotas.receive(from, message, of));
        true
    }

    fn settle(&mut self) {
        let count = self.shards.len() as u32;
        loop {
            while (0..count * count).any(|pair| self.deliver(pair / count, pair % count)) {}
            // Whoever waited has taken what came for it, or has left.
            (0..count as usize).for_each(|at| self.with(at, |quotas, of| quotas.freed(KEY, of)));
            if self.under_way.values().all(VecDeque::is_empty) {
                return;
            }
        }
    }

    fn used(&self) -> u32 {
        self.shards.iter().map(|(_, used)| used).sum()
    }

    fn allowed(&self) -> u32 {
        self.shards.iter().map(|(quotas, _)| quotas.allowed(KEY, self.cap)).sum()
    }
}

#[test]
fn shares_add_up_to_the_cap() {
    for count in 1..9 {
        for cap in 0..40 {
            assert_eq!(World::new(count, cap).allowed(), cap);
        }
    }
}

#[test]
fn a_single_permit_serves_every_shard_in_turn() {
    let mut world = World::new(3, 1);
    for round in 0..30 {
        let at = round % 3;
        if !world.take(at) {
            world.settle();
            assert!(world.take(at), "round {round}");
        }
        assert_eq!(world.used(), 1);
        world.free(at);
    }
}

#[test]
fn one_shard_can_use_all_of_a_cap_and_permits_in_use_stay() {
    let mut world = World::new(4, 10);
    let mut taken = 0;
    for _ in 0..40 {
        taken += u32::from(world.take(2));
        world.settle();
    }
    assert_eq!((taken, world.used()), (10, 10));
    assert!(!world.take(0));
    world.settle();
    assert!(!world.take(0), "all are in use");
    world.free(2);
    world.settle();
    assert!(world.take(0), "the first that is free goes to who waits");
}

#[test]
fn what_is_not_used_goes_back_and_is_forgotten() {
    let mut world = World::new(3, 7);
    for at in [0, 1, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0] {
        world.take(at);
        world.settle();
    }
    for at in 0..3 {
        while world.shards[at].1 > 0 {
            world.free(at);
        }
    }
    world.settle();
    for _ in 0..100 {
        for at in 0..3 {
            world.with(at, |quotas, of| quotas.sweep(KEY, Demand::None, of));
        }
        world.settle();
    }
    assert!(world.shards.iter().all(|(quotas, _)| quotas.keys().is_empty()));
    assert_eq!(world.allowed(), 7);
}

#[test]
fn after_a_lower_cap_nobody_begins_what_is_above_it() {
    let mut world = World::new(3, 90);
    for _ in 0..300 {
        world.take(0);
        world.settle();
    }
    assert_eq!(world.used(), 90);
    for _ in 0..85 {
        world.free(0);
    }
    world.cap = 9;
    for at in 0..3 {
        world.with(at, |quotas, of| quotas.cap_changed(KEY, of));
    }
    for at in 0..3 {
        for _ in 0..9 {
            world.take(at);
        }
    }
    world.settle();
    for at in 0..3 {
        for _ in 0..9 {
            world.take(at);
        }
    }
    assert_eq!(world.used(), 9);
}

proptest! {
    #[test]
    fn shards_together_never_use_more_and_nobody_waits_for_ever(
        count in 1_u32..5,
        cap in 1_u32..9,
        steps in prop::collection::vec((0_u32..5, 0_u32..5, 0_u32..9), 1..400),
    ) {
        let mut world = World::new(count, cap);
        for (one, other, what) in steps {
            let (one, other) = (one % count, other % count);
            match what {
                0 | 1 => { world.take(one as usize); }
                2 | 3 => world.free(one as usize),
                4 => world.with(one as usize, |quotas, of| quotas.sweep(KEY, Demand::None, of)),
                5 => world.with(one as usize, |quotas, of| quotas.freed(KEY, of)),
                _ => { world.deliver(one, other); }
            }
            prop_assert!(world.used() <= cap);
            prop_assert!(world.allowed() <= cap);
        }
        // Whatever was asked for before: all can be used by any one shard.
        for at in 0..count as usize {
            while world.shards[at].1 > 0 {
                world.free(at);
            }
        }
        world.settle();
        prop_assert_eq!(world.allowed(), cap);
        for _ in 0..10 * cap {
            world.take(0);
            world.settle();
            world.with(0, |quotas, of| quotas.want(KEY, cap - of.used, of));
            world.settle();
        }
        prop_assert_eq!(world.used(), cap);
    }
}
