// SPDX-License-Identifier: Apache-2.0
//! Usage in the store: batches are recorded once and added up by minute, hour and day; it is read by time and group,
//! and forgotten when it is old.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::control::store::database::value::{Row, Value};
use crate::control::store::database::{Database, values};
use crate::control::store::fault::StoreFault;
use crate::control::store::usage_export::{self, MEASURES, SERIES};
use crate::link::{Measures, Series, UsageBatch};

/// The lengths of minutes, hours and days, in seconds.
pub(crate) const PERIODS: [u64; 3] = [60, 3_600, 86_400];
/// How long it is known of a process that has ended which of its batches are recorded, in seconds.
const BATCHES_KEPT: u64 = 7 * 86_400;
/// Periods of which it is remembered how many series they have.
const COUNTS_MAX: usize = 256;

/// What is to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// A name of the process that no other has.
    pub process: Arc<str>,
    /// Batches and the shards that they are of; those of one shard in order.
    pub batches: Arc<Vec<(usize, UsageBatch)>>,
    /// Most series in one period.
    pub series_max: u64,
    /// Is it exported, too?
    pub exported: Exported,
    /// Seconds since 1970.
    pub now: u64,
}

/// Is usage exported?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exported {
    /// It is.
    Yes,
    /// It is only recorded.
    No,
}

/// What came of recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// How many series the last periods have, for the next time.
    pub counts: Counts,
    /// Requests that were counted as `(other)` because a minute has too many series.
    pub together: u64,
}

/// How many rows periods have, by their length and beginning, and exports, by their numbers.
pub(crate) type Counts = HashMap<(u64, u64), u64>;

/// Records batches, wholly or not at all. One that is recorded already is left out. When it returns, they are on disk.
pub(crate) fn record(database: &mut Database, order: &Order, counts: Counts) -> Result<Recorded, StoreFault> {
    database.transaction(|database| {
        let mut sums: BTreeMap<(u64, &Series), Measures> = BTreeMap::new();
        for (shard, batch) in order.batches.iter() {
            if is_new(database, &order.process, *shard, batch.sequence, order.now)? {
                for (series, measures) in &batch.rows {
                    sums.entry((batch.at.seconds() / 60 * 60, &**series)).or_default().add(measures);
                }
            }
        }
        let exporting = match order.exported {
            Exported::Yes => Some(usage_export::collecting(database)?),
            Exported::No => None,
        };
        let mut recorder = Recorder { database, series_max: order.series_max, counts, together: 0 };
        for ((at, series), measures) in &sums {
            for period in PERIODS {
                recorder.add(period, at / period * period, series, measures)?;
            }
            if let Some(number) = exporting {
                recorder.export(number, *at, series, measures)?;
            }
        }
        let Recorder { mut counts, together, .. } = recorder;
        if counts.len() > COUNTS_MAX {
            counts.clear();
        }
        Ok(Recorded { counts, together })
    })
}

/// Is a batch not recorded yet? It is from now on.
fn is_new(database: &mut Database, process: &str, shard: usize, sequence: u64, now: u64) -> Result<bool, StoreFault> {
    let sql = "INSERT INTO usage_batches (process, shard, sequence, updated) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (process, shard) DO UPDATE SET sequence = excluded.sequence, updated = excluded.updated \
               WHERE usage_batches.sequence < excluded.sequence";
    Ok(database.execute(sql, values![process, shard as u64, sequence, now])? > 0)
}

struct Recorder<'d> {
    database: &'d mut Database,
    series_max: u64,
    counts: Counts,
    together: u64,
}

/// Which roll-ups something is added to: a table, the name of the column that its key begins with, and the value there.
#[derive(Clone, Copy)]
struct Place {
    table: &'static str,
    column: &'static str,
    number: u64,
    start: u64,
}

/// What stands for the length of periods in the counts of exports.
const EXPORT: u64 = 0;

impl Recorder<'_> {
    /// Adds to a period; under `(other)` where that has too many series.
    fn add(&mut self, period: u64, start: u64, series: &Series, measures: &Measures) -> Result<(), StoreFault> {
        let place = Place { table: "usage", column: "period", number: period, start };
        if change(self.database, place, series, measures)? {
            return Ok(());
        }
        let sql = "SELECT count(*) FROM usage WHERE period = $1 AND start = $2";
        let count = match self.counts.get(&(period, start)) {
            Some(count) => *count,
            None => self.database.first(sql, values![period, start], |row| row.get(0))?.unwrap_or(0),
        };
        if count < self.series_max {
            self.counts.insert((period, start), count + 1);
            return insert(self.database, place, series, measures);
        }
        self.counts.insert((period, start), count);
        if period == PERIODS[0] {
            self.together += measures.requests;
        }
        // One for each route and class of status, so that they need no cap of their own.
        insert(self.database, place, &series.other(), measures)
    }

    /// Adds to the export that collects. While much waits in it, days are added up instead of minutes, so that it is
    /// bounded by the series of a day.
    fn export(&mut self, number: u64, at: u64, series: &Series, measures: &Measures) -> Result<(), StoreFault> {
        let sql = "SELECT count(*) FROM usage_exports WHERE export = $1";
        let count = match self.counts.get(&(EXPORT, number)) {
            Some(count) => *count,
            None => self.database.first(sql, values![number], |row| row.get(0))?.unwrap_or(0),
        };
        let start = if count < self.series_max { at } else { at / PERIODS[2] * PERIODS[2] };
        let place = Place { table: "usage_exports", column: "export", number, start };
        let known = change(self.database, place, series, measures)?;
        self.counts.insert((EXPORT, number), count + u64::from(!known));
        if known { Ok(()) } else { insert(self.database, place, series, measures) }
    }
}

/// Adds to a row, if it is there.
fn change(database: &mut Database, place: Place, series: &Series, measures: &Measures) -> Result<bool, StoreFault> {
    let Place { table, column, number, start } = place;
    let sql = format!(
        "UPDATE {table} SET requests = requests + $1, bytes_received = bytes_received + $2, \
         bytes_sent = bytes_sent + $3, latency_us = latency_us + $4, upstream_us = upstream_us + $5, \
         limited = limited + $6 WHERE {column} = $7 AND start = $8 AND consumer = $9 AND app = $10 AND tenant = $11 \
         AND plan = $12 AND product = $13 AND route = $14 AND version = $15 AND status = $16"
    );
    Ok(database.execute(&sql, &in_order(number, start, series, measures))? > 0)
}

/// Adds to a row that is not there, or, where another process has just made it, adds to that.
fn insert(database: &mut Database, place: Place, series: &Series, measures: &Measures) -> Result<(), StoreFault> {
    let Place { table, column, number, start } = place;
    let sum = |measure: &str| format!("{measure} = {table}.{measure} + excluded.{measure}");
    let sums: Vec<String> = MEASURES.split(", ").map(sum).collect();
    let sql = format!(
        "INSERT INTO {table} ({MEASURES}, {column}, start, {SERIES}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         ON CONFLICT ({column}, start, {SERIES}) DO UPDATE SET {}",
        sums.join(", ")
    );
    database.execute(&sql, &in_order(number, start, series, measures)).map(|_| ())
}

/// The values of both statements.
fn in_order<'v>(number: u64, start: u64, series: &'v Series, measures: &Measures) -> [Value<'v>; 16] {
    let [requests, received, sent, latency, upstream, limited] = measures.values().map(Value::from);
    let Series { consumer, app, tenant, plan, product, route, version, class } = series;
    let [consumer, app, tenant, plan, product, route, version] =
        [consumer, app, tenant, plan, product, route, version].map(|name| Value::from(&**name));
    let (number, start, class) = (Value::from(number), Value::from(start), Value::from(u32::from(*class)));
    [
        requests, received, sent, latency, upstream, limited, number, start, consumer, app, tenant, plan, product,
        route, version, class,
    ]
}

/// Forgets what is older than minutes, hours and days are kept, and batches of processes that have ended long ago.
pub(crate) fn forget(database: &mut Database, keep: [u64; 3], now: u64) -> Result<u64, StoreFault> {
    database.transaction(|database| {
        let mut gone = 0;
        for (period, kept) in PERIODS.into_iter().zip(keep) {
            let before = now.saturating_sub(kept) / period * period;
            gone += database.execute("DELETE FROM usage WHERE period = $1 AND start < $2", values![period, before])?;
        }
        let old = now.saturating_sub(BATCHES_KEPT);
        database.execute("DELETE FROM usage_batches WHERE updated < $1", values![old])?;
        Ok(gone)
    })
}

/// What usage is grouped and chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    /// Who called.
    Consumer,
    /// With which app.
    App,
    /// Whom the consumer belongs to.
    Tenant,
    /// Which plan held.
    Plan,
    /// As a part of which product.
    Product,
    /// Which route.
    Route,
    /// Which version of an API.
    Version,
    /// The class of the status.
    Status,
}

impl Column {
    /// All of them.
    pub(crate) const ALL: [Column; 8] = [
        Column::Consumer,
        Column::App,
        Column::Tenant,
        Column::Plan,
        Column::Product,
        Column::Route,
        Column::Version,
        Column::Status,
    ];

    /// Its name, in the API and in the store.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Column::Consumer => "consumer",
            Column::App => "app",
            Column::Tenant => "tenant",
            Column::Plan => "plan",
            Column::Product => "product",
            Column::Route => "route",
            Column::Version => "version",
            Column::Status => "status",
        }
    }

    /// The column of this name.
    pub(crate) fn named(name: &str) -> Option<Column> {
        Column::ALL.into_iter().find(|column| column.name() == name)
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Of which roll-ups.
    pub period: u64,
    /// Whether each of them is shown, or their sum.
    pub shown: Shown,
    /// From this second since 1970 on.
    pub since: u64,
    /// Before this one.
    pub until: u64,
    /// What it is grouped by.
    pub by: Vec<Column>,
    /// Only what has these values.
    pub only: Vec<(Column, String)>,
    /// Behind the row with this beginning and these values.
    pub after: Option<(u64, Vec<String>)>,
    /// So many rows at most.
    pub limit: usize,
}

/// Whether periods are shown one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// They are.
    Each,
    /// Their sum is.
    Sum,
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsageSum {
    /// When the period began; zero of a sum.
    pub start: u64,
    /// The values of the columns that it is grouped by; of a status, a digit.
    pub group: Vec<String>,
    /// What was counted.
    pub measures: Measures,
}

/// Usage, in the order of time and of the columns that it is grouped by.
pub(crate) fn query(database: &mut Database, query: &Query) -> Result<Vec<UsageSum>, StoreFault> {
    let columns: Vec<&str> = query.by.iter().map(|column| column.name()).collect();
    let start = if query.shown == Shown::Each { Some("start") } else { None };
    let keys: Vec<&str> = start.into_iter().chain(columns.iter().copied()).collect();
    let mut values: Vec<Value<'_>> = values![query.period, query.since, query.until].to_vec();
    let mut sql = String::from("SELECT ");
    keys.iter().for_each(|key| sql.push_str(&format!("{key}, ")));
    let sums = MEASURES.split(", ").map(|measure| format!("CAST(coalesce(sum({measure}), 0) AS BIGINT)"));
    sql.push_str(&sums.collect::<Vec<_>>().join(", "));
    sql.push_str(" FROM usage WHERE period = $1 AND start >= $2 AND start < $3");
    for (column, value) in &query.only {
        values.push(value_of(*column, value));
        sql.push_str(&format!(" AND {} = ${}", column.name(), values.len()));
    }
    if let Some((after, group)) = &query.after
        && !keys.is_empty()
    {
        let first = values.len() + 1;
        values.extend(start.map(|_| Value::from(*after)));
        values.extend(query.by.iter().zip(group).map(|(column, value)| value_of(*column, value)));
        let places: Vec<String> = (first..=values.len()).map(|place| format!("${place}")).collect();
        sql.push_str(&format!(" AND ({}) > ({})", keys.join(", "), places.join(", ")));
    }
    if !keys.is_empty() {
        values.push(Value::from(query.limit as u64));
        let keys = keys.join(", ");
        sql.push_str(&format!(" GROUP BY {keys} ORDER BY {keys} LIMIT ${}", values.len()));
    }
    database.query(&sql, &values, |row| sum_of(row, query))
}

fn value_of(column: Column, value: &str) -> Value<'_> {
    match column {
        Column::Status => Value::from(value.parse::<u64>().unwrap_or(u64::from(u8::MAX))),
        _ => Value::from(value),
    }
}

fn sum_of(row: Row<'_>, query: &Query) -> Result<UsageSum, StoreFault> {
    let mut at = 0;
    let mut next = || {
        at += 1;
        at - 1
    };
    let start = if query.shown == Shown::Each { row.get(next())? } else { 0 };
    let mut group = Vec::with_capacity(query.by.len());
    for column in &query.by {
        group.push(match column {
            Column::Status => row.get::<u64>(next())?.to_string(),
            _ => row.get::<String>(next())?,
        });
    }
    let mut measures = [0; 6];
    for measure in &mut measures {
        *measure = row.get(next())?;
    }
    Ok(UsageSum { start, group, measures: Measures::of(measures) })
}

#[cfg(test)]
mod tests;
