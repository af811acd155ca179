// SPDX-License-Identifier: Apache-2.0
//! One meter against the textbook, and meters whose clock stands still.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

fn at(millis: u64) -> Tick {
    Tick::ZERO.after_ms(millis)
}

#[test]
fn burst_then_rate() {
    let rate = Rate::new(10, Duration::from_secs(1), 3).unwrap();
    let mut meter = Meter::full(&rate, at(0));
    let admitted = |meter: &mut Meter, millis| meter.take(&rate, 1, at(millis));
    assert_eq!((0..5).filter(|_| admitted(&mut meter, 0)).count(), 3);
    assert_eq!(meter.wait(&rate, 1, at(0)), Duration::from_millis(100));
    assert!(!admitted(&mut meter, 99));
    assert!(admitted(&mut meter, 100));
    assert!(!admitted(&mut meter, 199));
    assert_eq!(meter.next_token(&rate, at(199)), (0, Duration::from_millis(1)));
    assert_eq!((0..5).filter(|_| admitted(&mut meter, 10_000)).count(), 3);
    // A clock that steps back gives nothing.
    assert!(!admitted(&mut meter, 0));
    assert!(meter.is_full(&rate, Tick::NEVER));
    assert_eq!(rate.fill_time(), Duration::from_millis(300));
}

#[test]
fn a_counted_rate_refills_when_a_window_begins_and_never_within_one() {
    let mut rate = Rate::counted(3).unwrap();
    let window = |number: u64| Tick::from_nanos(1_800_000_000_000_000_000 + number * WINDOW_NANOS_MIN);
    assert!(rate.turn(window(0)) && !rate.turn(window(0)));
    let mut meter = Meter::full(&rate, at(0));
    assert_eq!((0..9).filter(|millis| meter.take(&rate, 1, at(*millis))).count(), 3);
    assert!(!meter.take(&rate, 1, Tick::NEVER), "time alone gives nothing");
    assert!(rate.turn(window(1)) && !rate.turn(window(0)), "windows only follow each other");
    assert!(meter.is_full(&rate, at(9)));
    assert!(meter.take(&rate, 2, at(9)));
    meter.put_back(&rate, 1, at(9));
    assert_eq!(meter.tokens(&rate, at(9)), 2);
}

#[test]
fn a_slot_gives_one_token_a_window_although_shards_turn_at_different_moments() {
    let window = |number: u64| Tick::from_nanos(1_800_000_000_000_000_000 + number * WINDOW_NANOS_MIN);
    let mut late = Rate::counted(4).unwrap();
    late.turn(window(0));
    let mut early = late;
    early.turn(window(1));
    let mut here = Meter::full(&late, at(0));
    assert!(here.take(&late, 4, at(0)));
    // Two slots go to a shard that is in the next window, are used there, and come back before this shard turns.
    let mut there = here.split(&late, 2, 0, at(0));
    assert!(there.take(&early, 2, at(0)));
    here.merge(&late, there, at(0));
    assert_eq!(here.tokens(&late, at(0)), 2, "the two that were here are in the next window with them");
    assert!(here.take(&late, 2, at(0)));
    late.turn(window(1));
    assert_eq!(here.tokens(&late, at(1)), 0);
    late.turn(window(2));
    assert_eq!(here.tokens(&late, at(1)), 4);
}

#[test]
fn nothing_overflows() {
    let year = Duration::from_nanos(PERIOD_NANOS_MAX);
    for (count, period) in
        [(1, year), (u32::MAX, year), (u32::MAX, Duration::from_nanos(1)), (1, Duration::from_nanos(1))]
    {
        let rate = Rate::new(count, period, u32::MAX).unwrap();
        let mut meter = Meter::full(&rate, Tick::ZERO);
        assert!(meter.take(&rate, u32::MAX, Tick::ZERO));
        assert!(!meter.take(&rate, 1, Tick::ZERO));
        let half = meter.split(&rate, u32::MAX / 2, 0, Tick::from_nanos(u64::MAX / 2));
        meter.merge(&rate, half, Tick::NEVER);
        assert!(meter.slots() == u32::MAX && meter.tokens(&rate, Tick::NEVER) > 0);
        let _ = (meter.wait(&rate, u32::MAX, Tick::ZERO), rate.tokens_in(year));
    }
    assert_eq!(Rate::new(0, year, 1), None);
    assert_eq!(Rate::new(1, year, 0), None);
    assert_eq!(Rate::new(1, year + Duration::from_nanos(1), 1), None);
}

proptest! {
    /// Against the textbook: the theoretical arrival time, in fractions of a nanosecond.
    #[test]
    fn agrees_with_the_textbook(
        count in 1_u32..1_000,
        period in 1_u64..10_000_000,
        burst in 1_u32..50,
        gaps in prop::collection::vec(0_u64..200_000, 1..200),
    ) {
        let rate = Rate::new(count, Duration::from_nanos(period), burst).unwrap();
        let mut meter = Meter::full(&rate, Tick::ZERO);
        // All times multiplied by `count`, so that the interval is the integer `period`.
        let (interval, tolerance) = (u128::from(period), u128::from(period) * u128::from(burst - 1));
        let mut arrival = 0_u128;
        let mut now = 0_u64;
        for gap in gaps {
            now += gap;
            let scaled = u128::from(now) * u128::from(count);
            let conforms = arrival <= scaled + tolerance;
            if conforms {
                arrival = arrival.max(scaled) + interval;
            }
            prop_assert_eq!(meter.take(&rate, 1, Tick::from_nanos(now)), conforms);
        }
    }

    /// Carried over to another rate, a meter is as full as before and never fuller.
    #[test]
    fn a_fill_is_kept_over_a_change_of_rate(
        (old, new) in (1_u32..10_000, 1_u32..10_000),
        period in 1_u64..PERIOD_NANOS_MAX,
        used in 0_u32..10_000,
    ) {
        let before = Rate::new(7, Duration::from_nanos(period), old).unwrap();
        let after = Rate::new(9, Duration::from_millis(13), new).unwrap();
        let mut meter = Meter::full(&before, at(0));
        let used = used.min(old);
        prop_assert!(meter.take(&before, used, at(0)));
        let mut carried = Meter::filled(&after, new, meter.fill(&before, at(0)), at(0));
        let exact = u128::from(old - used) * after.token() * u128::from(new) / u128::from(old);
        prop_assert!(carried.level <= exact);
        let capacity = u128::from(new) * after.token();
        prop_assert!(carried.level + (capacity >> 29) + 1 >= exact);
        prop_assert_eq!(carried.is_full(&after, at(0)), used == 0);
    }

    #[test]
    fn pieces_hold_what_the_whole_held(
        burst in 1_u32..100,
        used in 0_u32..100,
        cuts in prop::collection::vec((any::<u32>(), 0_u32..100), 1..20),
    ) {
        let rate = Rate::new(7, Duration::from_millis(13), burst).unwrap();
        let mut rest = Meter::full(&rate, at(0));
        let _ = rest.take(&rate, used.min(burst), at(0));
        let mut whole = rest;
        let mut cut = |(slots, reserve): &(u32, u32)| rest.split(&rate, slots % (burst + 1), *reserve, at(1));
        let pieces: Vec<Meter> = cuts.iter().map(&mut cut).collect();
        prop_assert!(pieces.iter().all(|piece| piece.level <= piece.capacity(&rate)));
        for piece in pieces {
            rest.merge(&rate, piece, at(1));
        }
        let _ = whole.tokens(&rate, at(1));
        prop_assert_eq!(rest, whole);
    }
}
