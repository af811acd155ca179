// SPDX-License-Identifier: Apache-2.0
//! What is left of keys that had to be forgotten, so that none of them can exceed its limit by coming again.
//!
//! Keys are thrown into `BUCKETS` buckets. A bucket is as full as the emptiest of the keys that were forgotten into it,
//! and refills as a key does. A key that is new, or comes again, starts as full as its bucket. So it has never more
//! than it would have had it been remembered, whatever keys come; the price is that keys which have nothing to do with
//! each other share what their bucket has, once so many come that keys are forgotten.

use crate::base::Tick;
use crate::policy::limit::gcra::{Meter, Rate};

/// The buckets of one limit on one shard; none before the first key is forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    buckets: Box<[Meter]>,
}

impl Forgotten {
    /// What a key starts with.
    pub(super) fn start(&self, key: u64, rate: &Rate, now: Tick) -> Meter {
        let full = Meter::full(rate, now);
        self.buckets.get(place(key)).map_or(full, |bucket| emptier(*bucket, full, rate, now))
    }

    /// A key is forgotten with these slots, which are all of its limit.
    pub(super) fn note(&mut self, key: u64, left: Meter, rate: &Rate, now: Tick) {
        if self.buckets.is_empty() {
            // Some 2 MiB, where keys are forgotten at all.
            self.buckets = vec![Meter::full(rate, now); BUCKETS].into();
        }
        let bucket = &mut self.buckets[place(key)];
        *bucket = emptier(*bucket, left, rate, now);
    }

    /// The rate changes; each bucket stays as full as it is.
    pub(super) fn follow(&mut self, before: &Rate, after: &Rate, now: Tick) {
        for bucket in &mut self.buckets {
            *bucket = Meter::filled(after, after.burst(), bucket.fill(before, now), now);
        }
    }
}

/// The one that lacks more.
fn emptier(mut one: Meter, mut other: Meter, rate: &Rate, now: Tick) -> Meter {
    if one.missing(rate, now) > other.missing(rate, now) { one } else { other }
}

fn place(key: u64) -> usize {
    (key >> PLACE_SHIFT) as usize % BUCKETS
}

/// More buckets keep strangers apart for longer.
const BUCKETS: usize = 1 << 16;
/// The bits above are not those that choose homes.
const PLACE_SHIFT: u32 = 4;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::ZERO.after_ms(millis)
    }

    #[test]
    fn a_key_that_comes_again_has_no_more_than_it_had() {
        let rate = Rate::new(10, Duration::from_secs(1), 10).unwrap();
        let mut forgotten = Forgotten::default();
        let mut meter = forgotten.start(7 << PLACE_SHIFT, &rate, at(0));
        assert!(meter.take(&rate, 8, at(0)));
        forgotten.note(7 << PLACE_SHIFT, meter, &rate, at(0));
        let tokens = |forgotten: &Forgotten, key: u64, rate: &Rate, millis| {
            forgotten.start(key << PLACE_SHIFT, rate, at(millis)).tokens(rate, at(millis))
        };
        assert_eq!(tokens(&forgotten, 7, &rate, 0), 2);
        assert_eq!(tokens(&forgotten, 7, &rate, 300), 5, "it refills meanwhile");
        assert_eq!(tokens(&forgotten, 8, &rate, 300), 10, "another bucket has nothing to do with it");
        forgotten.note(7 << PLACE_SHIFT, Meter::full(&rate, at(300)), &rate, at(300));
        assert_eq!(tokens(&forgotten, 7, &rate, 300), 5, "a fuller one of the bucket does not help it");
        let more = Rate::new(20, Duration::from_secs(1), 20).unwrap();
        forgotten.follow(&rate, &more, at(300));
        assert_eq!(tokens(&forgotten, 7, &more, 300), 10);
    }
}
