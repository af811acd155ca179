// SPDX-License-Identifier: Apache-2.0
//! Rates that are counted in windows of the calendar, here seconds; and debts.

use jiff::tz::TimeZone;

use super::*;
use crate::policy::limit::calendar::{Calendar, Unit};

fn seconds() -> Calendar {
    Calendar { unit: Unit::Second, zone: TimeZone::UTC }
}

fn world(count: u32, shards: usize, delay_micros: (u64, u64), seed: u64) -> World {
    let rate = Rate::counted(count).unwrap();
    let mut world = World::new(rate, shards, delay_micros, seed);
    world.parts = std::mem::take(&mut world.parts).into_iter().map(|part| part.in_windows(seconds())).collect();
    world.seconds = Some(BTreeMap::new());
    world
}

impl World {
    /// No window had more than the limit allows. How many passed and how many could have passed in windows that were
    /// whole.
    fn check_windows(&self, count: u64) -> (u64, u64) {
        let seconds = self.seconds.as_ref().unwrap();
        assert!(seconds.values().all(|(_, passed)| *passed <= count), "a window had more than {count}: {seconds:?}");
        let whole = seconds.values().skip(1);
        whole.fold((0, 0), |(passed, most), (came, here)| (passed + here, most + (*came).min(count)))
    }
}

#[test]
fn no_window_has_more_and_nearly_all_of_each_is_usable() {
    for (count, per_second) in [(100, 60), (100, 100), (100, 400), (1_000, 2_000), (20, 200), (1, 50)] {
        for (name, place) in PLACEMENTS {
            let mut world = world(count, 4, (20, 400), 3);
            world.run(traffic(per_second, 12, 9, place));
            let (passed, most) = world.check_windows(u64::from(count));
            assert!(passed * 100 >= most * 99, "{passed} of {most} with {count} for {per_second} a second, {name}");
        }
    }
}

#[test]
fn one_shard_alone_counts_windows_exactly() {
    let mut world = world(50, 1, (20, 400), 3);
    world.run(traffic(200, 10, 9, |_, _, _| 0));
    let (passed, most) = world.check_windows(50);
    assert_eq!(passed, most);
}

proptest! {
    #[test]
    fn no_load_and_no_delay_lets_a_window_have_more(
        count in 1_u32..60,
        shards in 1_usize..7,
        delay in (0_u64..500, 0_u64..900_000),
        seed in any::<u64>(),
        stall in prop::option::of((any::<usize>(), 0_u64..2_000, 0_u64..3_000)),
        arrivals in prop::collection::vec((0_u64..5_000_000, any::<usize>(), 1_u64..20), 1..150),
    ) {
        let mut world = world(count, shards, (delay.0, delay.0 + delay.1), seed);
        if let Some((shard, from, length)) = stall {
            let from = world.now.after_ms(from);
            world.stalled = Some((shard % shards, from, from.after_ms(length)));
        }
        let one = |(micros, shard, times): &(u64, usize, u64)| vec![(*micros, shard % shards); *times as usize];
        let all: Vec<(u64, usize)> = arrivals.iter().flat_map(one).collect();
        world.run(all);
        world.check_windows(u64::from(count));
        prop_assert!(world.waiting.iter().all(Vec::is_empty));
    }
}

#[test]
fn a_clock_that_is_set_back_gives_nothing_and_one_that_is_set_forward_begins_a_window() {
    let rate = Rate::counted(2).unwrap();
    let mut part = Part::new(LIMIT, terms(0, rate), shards(0, 1), 10).in_windows(seconds());
    let mut passed = |millis: u64, wall: u64| {
        let now = Tick::ZERO.after_ms(millis);
        part.look(now, || Wall(wall * 1_000_000));
        (0..5).filter(|_| matches!(part.take(KEY, 1, now), Taken::Yes(_))).count()
    };
    assert_eq!(passed(1_000, 500), 2);
    assert_eq!(passed(2_000, 400), 0, "set back by two minutes");
    assert_eq!(passed(3_000, 401), 0);
    assert_eq!(passed(4_000, 501), 2);
    assert_eq!(passed(5_000, 900), 2, "set forward");
    assert_eq!(passed(5_100, 900), 0);
}

#[test]
fn a_window_tells_when_it_ends() {
    let hours = Calendar { unit: Unit::Hour, zone: TimeZone::UTC };
    let mut part = Part::new(LIMIT, terms(0, Rate::counted(9).unwrap()), shards(0, 1), 10).in_windows(hours);
    let now = Tick::ZERO.after_ms(5);
    part.look(now, || Wall(3_600_000_000 * 1_000 + 600_000_000));
    let Taken::Yes(standing) = part.take(KEY, 2, now) else { panic!() };
    assert_eq!((standing.left, standing.next), (7, Duration::from_secs(3_000)));
}

#[test]
fn what_is_owed_is_paid_before_anybody_passes_on_any_number_of_shards() {
    for count in [1, 2, 5] {
        let limit = rate(10, 1_000, 10);
        let mut parts: Vec<Part> =
            (0..count).map(|own| Part::new(LIMIT, terms(0, limit), shards(own, count), 100)).collect();
        let now = Tick::ZERO.after_ms(5);
        assert!(admitted(&mut parts, 0, KEY, now));
        parts[0].charge(KEY, 19, now);
        carry(&mut parts, now);
        // Ten were there; the other ten come in a second, and the next request's own 100 ms later.
        for millis in [0, 500, 900, 1_050] {
            assert!(!admitted(&mut parts, 0, KEY, now.after_ms(millis)), "{millis} ms on {count}");
        }
        assert!(admitted(&mut parts, 0, KEY, now.after_ms(1_400)), "on {count}");
    }
}

#[test]
fn slots_of_several_are_held_and_come_back_as_what_they_cost() {
    for count in [1, 3] {
        let limit = rate(10, 1_000_000, 10);
        let mut parts: Vec<Part> =
            (0..count).map(|own| Part::new(LIMIT, terms(0, limit), shards(own, count), 100)).collect();
        let now = Tick::ZERO.after_ms(5);
        assert!(admitted(&mut parts, 0, KEY, now));
        let passed = matches!(parts[0].take(KEY, 6, now), Taken::Yes(_));
        assert!(passed, "one shard has all that are free");
        let held = parts[0].hold(KEY, 6, now).unwrap();
        assert_eq!(held, Held { version: 0, slots: 6 });
        parts[0].release(KEY, held, 2, now);
        carry(&mut parts, now);
        let rest = (0..10).filter(|_| admitted(&mut parts, 0, KEY, now)).count();
        assert_eq!(rest, 7, "of ten, one and two are used, on {count}");
    }
}
