// SPDX-License-Identifier: Apache-2.0
//! Hot. The clients that sprang a trap, as one shard remembers them.
//!
//! A table of fixed size: a client can be in one of eight places only. Where all eight are taken, the ban that ends
//! first makes room, so a flood of addresses shortens bans and takes no memory. It is made with the first ban.

use crate::base::Tick;
use crate::policy::limit::{ShardId, Shards};

/// The clients that are refused for a time.
#[derive(Debug)]
pub struct Traps {
    shards: Shards,
    /// By key; several places behind each other are a group.
    places: Box<[Place]>,
    groups: usize,
    /// A ban that the other shards do not know yet.
    news: Option<Sprung>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    key: u64,
    until: Tick,
}

/// A client has sprung a trap.
#[derive(Clone, Copy, Debug)]
pub struct Sprung {
    /// The client.
    pub key: u64,
    /// Until when it is refused.
    pub until: Tick,
    shards: Shards,
}

impl Sprung {
    /// The shards that are to be told.
    pub fn others(self) -> impl Iterator<Item = ShardId> {
        let Shards { own, count } = self.shards;
        (0..count).map(ShardId).filter(move |shard| *shard != own)
    }
}

impl Traps {
    /// Nobody yet; so many clients have room.
    pub fn new(clients_max: usize, shards: Shards) -> Traps {
        Traps { shards, places: Box::default(), groups: clients_max.div_ceil(GROUP).max(1), news: None }
    }

    /// Was nobody ever refused here?
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Is this client refused?
    pub fn holds(&self, key: u64, now: Tick) -> bool {
        self.group(key).is_some_and(|group| group.iter().any(|place| place.key == key && now < place.until))
    }

    /// A client sprang a trap here.
    pub fn spring(&mut self, key: u64, until: Tick, now: Tick) {
        self.hear(key, until, now);
        if !self.shards.alone() {
            self.news = Some(Sprung { key, until, shards: self.shards });
        }
    }

    /// A client sprang a trap on another shard.
    pub fn hear(&mut self, key: u64, until: Tick, now: Tick) {
        if self.places.is_empty() {
            // tidy(hot): once for a shard, with the first ban.
            self.places = vec![Place { key: 0, until: Tick::ZERO }; self.groups * GROUP].into();
        }
        let start = self.start(key);
        let group = &mut self.places[start..start + GROUP];
        let first_to_end =
            |place: &&mut Place| (place.key != key, if now < place.until { place.until } else { Tick::ZERO });
        if let Some(place) = group.iter_mut().min_by_key(first_to_end) {
            *place = Place { key, until };
        }
    }

    /// What the other shards are to be told.
    pub fn take_news(&mut self) -> Option<Sprung> {
        self.news.take()
    }

    fn group(&self, key: u64) -> Option<&[Place]> {
        let start = self.start(key);
        self.places.get(start..start + GROUP)
    }

    fn start(&self, key: u64) -> usize {
        // The upper half of the product spreads keys over any number of groups.
        ((u128::from(key) * self.groups as u128) >> 64) as usize * GROUP
    }
}

/// Places that a client can have: as many as lie in two cache lines.
const GROUP: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_takes_no_more_places_and_displaces_what_ends_first() {
        let alone = Shards { own: ShardId(0), count: 1 };
        let mut traps = Traps::new(8, alone);
        let at = Tick::from_nanos;
        for key in 0..8 {
            traps.spring(key, at(100 + key), at(0));
        }
        traps.spring(9, at(200), at(0));
        assert!(!traps.holds(0, at(1)) && traps.holds(1, at(1)) && traps.holds(9, at(1)));
        traps.spring(1, at(300), at(0));
        assert!(traps.holds(2, at(1)) && traps.holds(1, at(299)), "a client has one place");
        (100..10_000).for_each(|key| traps.spring(key, at(400), at(0)));
        assert_eq!(traps.places.len(), 8);
        assert!(traps.take_news().is_none(), "nobody is there to be told");
    }

    #[test]
    fn what_is_over_makes_room_before_what_holds() {
        let mut traps = Traps::new(1, Shards { own: ShardId(0), count: 1 });
        let at = Tick::from_nanos;
        (0..8).for_each(|key| traps.spring(key, at(if key == 5 { 10 } else { 50 }), at(0)));
        traps.spring(20, at(500), at(20));
        assert!((0..8).all(|key| traps.holds(key, at(21)) == (key != 5)));
    }
}
