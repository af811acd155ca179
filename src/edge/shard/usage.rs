// SPDX-License-Identifier: Apache-2.0
//! Hot. A shard's table of usage: who called what, counted between two batches for the control plane.
//!
//! One batch is on its way at a time. What is counted meanwhile is in the next one, so nothing is lost while nobody can
//! record it, and what waits to be recorded takes no more memory than the table.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use crate::base::limits::USAGE_SERIES_MAX;
use crate::base::{Tick, Wall};
use crate::link::{Measures, Series, UsageBatch};
use crate::policy::directory::Revision;

/// What a series is found by, in dense numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SeriesKey {
    /// The plan that the route and the version are numbers of.
    pub generation: u64,
    /// The route; `u32::MAX` for none.
    pub route: u32,
    /// The version; `u32::MAX` for none.
    pub version: u32,
    /// The consumer; `u32::MAX` for none.
    pub consumer: u32,
    /// The app; `u32::MAX` for none.
    pub app: u32,
    /// The class of the status.
    pub class: u8,
}

/// The consumer's number where callers are counted as one; consumers get theirs from zero on.
const OTHERS: u32 = u32::MAX - 1;
/// What billed responses wait for is a batch of the meter. The states of policies are known by their addresses, of
/// which this is none.
pub(crate) const METER: u64 = u64::MAX;
/// The least time between two batches that nobody waits for.
const PAUSE_MS: u64 = 1_000;
/// No number.
pub(crate) const NONE: u32 = u32::MAX;

/// The names of a series, as the directory and the plan have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names<'a> {
    /// Who called.
    pub consumer: &'a str,
    /// With which app.
    pub app: &'a str,
    /// Whom the consumer belongs to.
    pub tenant: &'a str,
    /// The plan that holds.
    pub plan: &'a str,
    /// The product that the route is a part of.
    pub product: &'a str,
    /// The route.
    pub route: &'a str,
    /// The version.
    pub version: &'a str,
}

impl<'a> Names<'a> {
    /// Those of a series.
    pub(crate) fn of(series: &'a Series) -> Names<'a> {
        let Series { consumer, app, tenant, plan, product, route, version, class: _ } = series;
        Names { consumer, app, tenant, plan, product, route, version }
    }

    fn are_of(&self, series: &Series) -> bool {
        let Series { consumer, app, tenant, plan, product, route, version, class: _ } = series;
        let own = [self.consumer, self.app, self.tenant, self.plan, self.product, self.route, self.version];
        own == [&**consumer, &**app, &**tenant, &**plan, &**product, &**route, &**version]
    }

    #[cold]
    fn series(&self, class: u8) -> Series {
        Series {
            consumer: self.consumer.into(),
            app: self.app.into(),
            tenant: self.tenant.into(),
            plan: self.plan.into(),
            product: self.product.into(),
            route: self.route.into(),
            version: self.version.into(),
            class,
        }
    }
}

/// Where something was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// In a series of its own.
    Apart,
    /// With others, because there are too many series.
    Together,
}

/// Where the record of a billed request stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bill {
    /// It is not billed.
    #[default]
    None,
    /// It is to be recorded before the end of its response leaves.
    Due,
    /// It was counted, in this series and with these measures. What comes later is added without a further request.
    Counted(SeriesKey, Measures),
}

/// A shard's usage since its last batch.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    table: RefCell<Table>,
}

#[derive(Debug, Default)]
struct Table {
    rows: Vec<Row>,
    /// The row of a series. One whose names have changed has another row from then on.
    places: HashMap<SeriesKey, u32, RandomState>,
    /// Rows that something was counted in since the last batch.
    touched: Vec<u32>,
    /// Room was made since the last batch, or there was none to make.
    tidied: bool,
    /// The number of the last batch.
    sequence: u64,
    /// Since when a batch is on its way.
    sent: Option<Tick>,
    /// When the next batch is due, if nobody waits for it.
    due: Tick,
    /// Somebody waits for the next batch.
    urgent: bool,
}

#[derive(Debug)]
struct Row {
    key: SeriesKey,
    series: Arc<Series>,
    /// The state of the directory that the names are of.
    revision: Revision,
    measures: Measures,
    touched: bool,
}

impl Meter {
    /// Counts, under the names that `names` finds. They are only asked for where the directory has changed.
    pub(crate) fn count<'n>(
        &self,
        key: SeriesKey,
        revision: Revision,
        measures: &Measures,
        names: impl FnOnce() -> Names<'n>,
    ) -> Counted {
        let table = &mut *self.table.borrow_mut();
        let known = table.places.get(&key).copied();
        if let Some(at) = known
            && table.rows[at as usize].revision == revision
        {
            table.add(at, measures);
            return Counted::Apart;
        }
        let names = names();
        if let Some(at) = known
            && names.are_of(&table.rows[at as usize].series)
        {
            table.rows[at as usize].revision = revision;
            table.add(at, measures);
            return Counted::Apart;
        }
        table.count_new(key, revision, measures, &names)
    }

    /// The number of the batch that will have what was counted last.
    pub(crate) fn coming(&self) -> u64 {
        self.table.borrow().sequence + 1
    }

    /// Since when the batch that is on its way is not recorded.
    pub(crate) fn sent(&self) -> Option<Tick> {
        self.table.borrow().sent
    }

    /// Is a batch due, whether or not somebody waits for it?
    pub(crate) fn is_due(&self, now: Tick) -> bool {
        now >= self.table.borrow().due
    }

    /// Does somebody wait for the next batch?
    pub(crate) fn is_urgent(&self) -> bool {
        self.table.borrow().urgent
    }

    /// Somebody waits for the next batch.
    pub(crate) fn hurry(&self) {
        self.table.borrow_mut().urgent = true;
    }

    /// The names of a series, to be counted in later; whatever becomes of the directory meanwhile.
    pub(crate) fn series_of<'n>(
        &self,
        key: SeriesKey,
        revision: Revision,
        names: impl FnOnce() -> Names<'n>,
    ) -> Arc<Series> {
        let table = &mut *self.table.borrow_mut();
        let known = table.places.get(&key).map(|at| &table.rows[*at as usize]);
        if let Some(row) = known.filter(|row| row.revision == revision) {
            // tidy(hot): only for a billed request, whose response waits for a disk.
            return Arc::clone(&row.series);
        }
        let at = if table.rows.len() < USAGE_SERIES_MAX {
            table.insert(key, names().series(key.class), revision)
        } else {
            // tidy(hot): once for a billed request, where there is no room for its series.
            return Arc::new(names().series(key.class));
        };
        // tidy(hot): once for a billed request, whose response waits for a disk.
        Arc::clone(&table.rows[at as usize].series)
    }

    /// Makes the next batch, unless one is on its way or nothing was counted.
    pub(crate) fn batch(&self, now: Tick, wall: Wall) -> Option<UsageBatch> {
        let idle = self.table.borrow().sent.is_none();
        idle.then(|| self.last_batch(now, wall)).flatten()
    }

    /// Makes the last batch of a shard that ends, whether one is on its way or not.
    pub(crate) fn last_batch(&self, now: Tick, wall: Wall) -> Option<UsageBatch> {
        let mut table = self.table.borrow_mut();
        if table.touched.is_empty() {
            return None;
        }
        table.sequence += 1;
        (table.sent, table.tidied, table.urgent) = (Some(now), false, false);
        table.due = now.after_ms(PAUSE_MS);
        let rows = table.drain();
        Some(UsageBatch { sequence: table.sequence, at: wall, rows })
    }

    /// The batch of this number is recorded.
    pub(crate) fn recorded(&self, sequence: u64) {
        let mut table = self.table.borrow_mut();
        if sequence == table.sequence {
            table.sent = None;
        }
    }

    /// Series that are held.
    pub(crate) fn series(&self) -> usize {
        self.table.borrow().rows.len()
    }
}

impl Table {
    fn add(&mut self, at: u32, measures: &Measures) {
        let row = &mut self.rows[at as usize];
        row.measures.add(measures);
        if !row.touched {
            row.touched = true;
            self.touched.push(at);
        }
    }

    #[cold]
    fn count_new(&mut self, key: SeriesKey, revision: Revision, measures: &Measures, names: &Names<'_>) -> Counted {
        if self.rows.len() >= USAGE_SERIES_MAX && !self.tidied {
            self.tidy();
        }
        let series = names.series(key.class);
        if self.rows.len() < USAGE_SERIES_MAX {
            let at = self.insert(key, series, revision);
            self.add(at, measures);
            return Counted::Apart;
        }
        // As many of these as there are routes and classes, so they need no cap of their own.
        let others = SeriesKey { version: NONE, consumer: OTHERS, app: NONE, ..key };
        let known = self.places.get(&others).copied();
        let at = known.unwrap_or_else(|| self.insert(others, series.other(), revision));
        self.add(at, measures);
        Counted::Together
    }

    fn insert(&mut self, key: SeriesKey, series: Series, revision: Revision) -> u32 {
        let at = self.rows.len() as u32;
        // tidy(hot): once for a series.
        let series = Arc::new(series);
        self.rows.push(Row { key, series, revision, measures: Measures::default(), touched: false });
        self.places.insert(key, at);
        at
    }

    /// Forgets what counted nothing since the last batch.
    fn tidy(&mut self) {
        self.tidied = true;
        self.rows.retain(|row| row.touched);
        self.places.clear();
        self.touched.clear();
        for (at, row) in (0..).zip(&self.rows) {
            // Of two rows of one series, the one with the newer names is behind.
            self.places.insert(row.key, at);
            self.touched.push(at);
        }
    }

    fn drain(&mut self) -> Vec<(Arc<Series>, Measures)> {
        let mut drained = Vec::with_capacity(self.touched.len());
        for at in self.touched.drain(..) {
            let row = &mut self.rows[at as usize];
            row.touched = false;
            // tidy(hot): once for a series and batch.
            drained.push((Arc::clone(&row.series), std::mem::take(&mut row.measures)));
        }
        drained
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;
    use crate::link::usage::OTHER;

    fn key(consumer: u32) -> SeriesKey {
        SeriesKey { generation: 1, route: 0, version: NONE, consumer, app: NONE, class: 2 }
    }

    fn one() -> Measures {
        Measures { requests: 1, bytes_sent: 10, ..Measures::default() }
    }

    fn requests(batch: &UsageBatch) -> u64 {
        batch.rows.iter().map(|(_, measures)| measures.requests).sum()
    }

    #[test]
    fn one_batch_is_on_its_way_and_what_is_counted_meanwhile_is_in_the_next() {
        let meter = Meter::default();
        let count = || meter.count(key(1), Revision(1), &one(), || Names { consumer: "a", ..Names::default() });
        assert!(meter.batch(Tick::ZERO, Wall(0)).is_none());
        count();
        assert_eq!(meter.coming(), 1);
        let first = meter.batch(Tick::ZERO, Wall(0)).expect("something was counted");
        count();
        count();
        assert!(meter.batch(Tick::ZERO, Wall(0)).is_none() && meter.coming() == 2);
        meter.recorded(1);
        let second = meter.batch(Tick::ZERO, Wall(0)).expect("the first is recorded");
        assert_eq!((first.sequence, requests(&first), second.sequence, requests(&second)), (1, 1, 2, 2));
        meter.recorded(1);
        count();
        assert!(meter.batch(Tick::ZERO, Wall(0)).is_none(), "the first is not the second");
        let last = meter.last_batch(Tick::ZERO, Wall(0)).expect("the shard ends");
        assert_eq!((last.sequence, requests(&last)), (3, 1));
    }

    #[test]
    fn names_are_those_of_the_directory_when_it_was_counted() {
        let meter = Meter::default();
        let count = |revision, plan| {
            meter.count(key(1), Revision(revision), &one(), || Names { consumer: "a", plan, ..Names::default() })
        };
        count(1, "free");
        meter.count(key(1), Revision(1), &one(), || panic!("the directory has not changed"));
        count(2, "free");
        count(3, "gold");
        count(3, "gold");
        let batch = meter.batch(Tick::ZERO, Wall(0)).expect("something was counted");
        let by_plan: Vec<(&str, u64)> =
            batch.rows.iter().map(|(series, measures)| (&*series.plan, measures.requests)).collect();
        assert_eq!(by_plan, [("free", 3), ("gold", 2)]);
    }

    #[test]
    fn a_full_table_forgets_the_idle_first_and_then_counts_callers_as_one() {
        let meter = Meter::default();
        let count = |consumer: u32| {
            let name = consumer.to_string();
            meter.count(key(consumer), Revision(1), &one(), || Names {
                consumer: &name,
                route: "r",
                ..Names::default()
            })
        };
        let full = USAGE_SERIES_MAX as u32;
        (0..full).for_each(|consumer| assert_eq!(count(consumer), Counted::Apart));
        assert_eq!((count(full), count(full + 1), count(3)), (Counted::Together, Counted::Together, Counted::Apart));
        let batch = meter.batch(Tick::ZERO, Wall(0)).expect("something was counted");
        let others = batch.rows.iter().find(|(series, _)| &*series.consumer == OTHER).expect("others");
        assert_eq!((others.1.requests, &*others.0.route), (2, "r"));
        assert_eq!(requests(&batch), u64::from(full) + 3);
        count(5);
        assert_eq!(count(full), Counted::Apart, "only one of them has called since");
        assert_eq!(meter.series(), 2);
    }

    proptest! {
        #[test]
        fn no_count_is_lost_or_doubled(
            steps in prop::collection::vec((0_u8..5, 0_u32..40, 0_u64..3, any::<u16>()), 1..400),
        ) {
            let meter = Meter::default();
            let (mut given, mut taken, mut sent) = (Measures::default(), Measures::default(), 0);
            let mut take = |batch: Option<UsageBatch>| {
                if let Some(batch) = batch {
                    assert_eq!(batch.sequence, sent + 1);
                    sent = batch.sequence;
                    batch.rows.iter().for_each(|(_, measures)| taken.add(measures));
                }
            };
            let mut revision = 1;
            for (what, consumer, later, bytes) in steps {
                match what {
                    0 => take(meter.batch(Tick::ZERO, Wall(0))),
                    1 => meter.recorded(meter.coming() - 1),
                    _ => {
                        revision += later / 2;
                        let measures = Measures { requests: 1, bytes_received: bytes.into(), ..Measures::default() };
                        given.add(&measures);
                        let plan = if revision % 2 == 0 { "even" } else { "odd" };
                        let names = || Names { plan, ..Names::default() };
                        meter.count(key(consumer), Revision(revision), &measures, names);
                    }
                }
            }
            take(meter.last_batch(Tick::ZERO, Wall(0)));
            prop_assert_eq!(given, taken);
        }
    }
}
