// SPDX-License-Identifier: Apache-2.0
//! Usage in a store: what is recorded, read, forgotten and exported.

use std::collections::BTreeSet;

use proptest::prelude::{ProptestConfig, prop, prop_assert_eq, proptest};

use super::*;
use crate::base::Wall;
use crate::control::store::file;
use crate::control::store::usage_export::{arrived, next_part};

const NOON: u64 = 1_800_014_400 / 86_400 * 86_400 + 43_200;

fn store() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().expect("a folder");
    let database = file::open(&folder.path().join("turnpike.db")).expect("a store");
    (folder, database)
}

fn series(consumer: &str, route: &str, class: u8) -> Arc<Series> {
    Arc::new(Series { consumer: consumer.into(), route: route.into(), class, ..Series::default() })
}

fn requests(count: u64) -> Measures {
    Measures { requests: count, bytes_sent: 10 * count, ..Measures::default() }
}

fn batch(sequence: u64, at: u64, rows: Vec<(Arc<Series>, Measures)>) -> UsageBatch {
    UsageBatch { sequence, at: Wall(at * 1_000_000), rows }
}

fn order(batches: Vec<(usize, UsageBatch)>) -> Order {
    let (process, batches) = (Arc::from("p"), Arc::new(batches));
    Order { process, batches, series_max: 1_000, exported: Exported::Yes, now: NOON }
}

fn all(period: u64, by: &[Column]) -> Query {
    let (shown, by, only) = (Shown::Each, by.to_vec(), Vec::new());
    Query { period, shown, since: 0, until: u64::MAX, by, only, after: None, limit: 1_000 }
}

fn total(database: &mut Database, period: u64) -> Measures {
    let sum = Query { shown: Shown::Sum, ..all(period, &[]) };
    query(database, &sum).expect("read").pop().expect("one row").measures
}

#[test]
fn a_batch_is_recorded_once_however_often_it_comes() {
    let (_folder, mut database) = store();
    let first = order(vec![(0, batch(1, NOON, vec![(series("a", "r", 2), requests(3))]))]);
    let counts = record(&mut database, &first, Counts::new()).expect("recorded").counts;
    let both = order(vec![
        (0, batch(1, NOON, vec![(series("a", "r", 2), requests(3))])),
        (0, batch(2, NOON + 60, vec![(series("a", "r", 2), requests(4))])),
        (1, batch(1, NOON, vec![(series("b", "r", 4), requests(1))])),
    ]);
    for _ in 0..3 {
        record(&mut database, &both, counts.clone()).expect("recorded");
    }
    PERIODS.into_iter().for_each(|period| assert_eq!(total(&mut database, period), requests(8), "{period}"));
    let other = Order { process: Arc::from("q"), ..first };
    record(&mut database, &other, counts).expect("recorded");
    assert_eq!(total(&mut database, 60), requests(11), "another process has batches of its own");
}

#[test]
fn too_many_series_are_counted_together_and_none_is_lost() {
    let (_folder, mut database) = store();
    let rows =
        |from: u32, to: u32| (from..to).map(|name| (series(&format!("c{name:04}"), "r", 2), requests(1))).collect();
    let capped =
        |sequence, from, to| Order { series_max: 10, ..order(vec![(0, batch(sequence, NOON, rows(from, to)))]) };
    let first = record(&mut database, &capped(1, 0, 8), Counts::new()).expect("recorded");
    assert_eq!(first.together, 0);
    let second = record(&mut database, &capped(2, 5, 20), first.counts).expect("recorded");
    assert_eq!(second.together, 10);
    // What is known of a full minute is asked of the store where it was forgotten.
    assert_eq!(record(&mut database, &capped(3, 30, 33), Counts::new()).expect("recorded").together, 3);
    let by = query(&mut database, &all(60, &[Column::Consumer])).expect("read");
    let other = by.iter().find(|row| row.group == [crate::link::usage::OTHER]).expect("others");
    assert_eq!((by.len(), other.measures.requests, total(&mut database, 60).requests), (11, 13, 26));
}

#[test]
fn a_walk_in_pages_sees_what_one_page_has() {
    let (_folder, mut database) = store();
    let mut rows = Vec::new();
    for name in 0..7 {
        for class in [2, 4] {
            rows.push((series(&format!("c{name}"), if name % 2 == 0 { "x" } else { "y" }, class), requests(name + 1)));
        }
    }
    let batches = (0..3).map(|at| (at as usize, batch(1, NOON + at * 3_600, rows.clone()))).collect();
    record(&mut database, &order(batches), Counts::new()).expect("recorded");
    for by in [&[Column::Consumer][..], &[Column::Route, Column::Status], &[], &[Column::Status, Column::Consumer]] {
        for shown in [Shown::Each, Shown::Sum] {
            let whole = Query { shown, ..all(3_600, by) };
            let expected = query(&mut database, &whole).expect("read");
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = query(&mut database, &Query { after, limit: 4, ..whole.clone() }).expect("read");
                let full = page.len() == 4;
                seen.extend(page);
                let Some(last) = seen.last().filter(|_| full) else { break };
                after = Some((last.start, last.group.clone()));
            }
            assert_eq!(seen, expected, "{by:?} {shown:?}");
        }
    }
    let only = Query { only: vec![(Column::Status, "4".to_owned())], ..all(86_400, &[Column::Route]) };
    let routes = query(&mut database, &only).expect("read");
    assert_eq!(routes.iter().map(|row| row.measures.requests).sum::<u64>(), 3 * 28);
}

#[test]
fn what_is_old_is_forgotten_and_longer_periods_stay() {
    let (_folder, mut database) = store();
    let old = order(vec![(0, batch(1, NOON - 10_000, vec![(series("a", "r", 2), requests(1))]))]);
    record(&mut database, &old, Counts::new()).expect("recorded");
    forget(&mut database, [7_200, 86_400, 864_000], NOON).expect("forgotten");
    assert_eq!(PERIODS.map(|period| total(&mut database, period).requests), [0, 1, 1]);
}

#[test]
fn parts_of_exports_are_the_same_until_they_have_arrived() {
    let (_folder, mut database) = store();
    let rows = |from: u32| (from..from + 5).map(|name| (series(&format!("c{name}"), "r", 2), requests(1))).collect();
    record(&mut database, &order(vec![(0, batch(1, NOON, rows(0)))]), Counts::new()).expect("recorded");
    let first = next_part(&mut database, 3, 7).expect("read").expect("a part");
    // What comes later belongs to the next export.
    record(&mut database, &order(vec![(0, batch(2, NOON, rows(3)))]), Counts::new()).expect("recorded");
    assert_eq!(next_part(&mut database, 3, 8).expect("read"), Some(first.clone()), "the same, with the same id");
    let (mut ids, mut sum, mut part) = (BTreeSet::new(), 0, Some(first));
    while let Some(sent) = part {
        assert!(ids.insert(sent.id()), "{}", sent.id());
        sum += sent.rows.iter().map(|(_, _, measures)| measures.requests).sum::<u64>();
        arrived(&mut database, &sent).expect("noted");
        arrived(&mut database, &sent).expect("noted once");
        part = next_part(&mut database, 3, 9).expect("read");
    }
    assert_eq!((ids.len(), sum), (4, 10));
}

proptest! {
    // Each case writes a file through, many times.
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn roll_ups_and_exports_have_the_sum_of_all_batches_whatever_is_sent_again(
        steps in prop::collection::vec((0_u64..3, 0_u64..200_000, 0_u32..6, 1_u64..50, 0_usize..3), 1..25),
        cap in 1_u64..8,
    ) {
        let (_folder, mut database) = store();
        let (mut sequences, mut counts, mut expected, mut exported) = ([0; 3], Counts::new(), 0, 0);
        for (shard, later, name, count, again) in steps {
            sequences[shard as usize] += 1;
            let rows = vec![(series(&format!("c{name}"), "r", 2), requests(count))];
            let step = batch(sequences[shard as usize], NOON + later, rows);
            let step = Order { series_max: cap, ..order(vec![(shard as usize, step)]) };
            for _ in 0..=again {
                counts = record(&mut database, &step, counts).expect("recorded").counts;
            }
            expected += count;
            if again == 0 && let Some(part) = next_part(&mut database, 2, 1).expect("read") {
                exported += part.rows.iter().map(|(_, _, measures)| measures.requests).sum::<u64>();
                arrived(&mut database, &part).expect("noted");
            }
        }
        while let Some(part) = next_part(&mut database, 2, 1).expect("read") {
            exported += part.rows.iter().map(|(_, _, measures)| measures.requests).sum::<u64>();
            arrived(&mut database, &part).expect("noted");
        }
        prop_assert_eq!(PERIODS.map(|period| total(&mut database, period).requests), [expected; 3]);
        prop_assert_eq!(exported, expected);
    }
}
