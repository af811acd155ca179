// SPDX-License-Identifier: Apache-2.0
//! Exports of usage in the store. One collects; the one before is sent in parts, and a part is forgotten when it has
//! arrived. A part that may not have arrived is sent again with the same id and the same content.

use crate::control::store::database::{Database, values};
use crate::control::store::fault::StoreFault;
use crate::link::{Measures, Series};

/// The columns of a series, and of what is counted in it.
pub(super) const SERIES: &str = "consumer, app, tenant, plan, product, route, version, status";
pub(super) const MEASURES: &str = "requests, bytes_received, bytes_sent, latency_us, upstream_us, limited";

/// A part of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// A number of the store's, so that exports of different gateways have different ids.
    pub store: u64,
    /// Which export.
    pub export: u64,
    /// Which part of it, from zero.
    pub part: u64,
    /// When a minute or a day began, who called in it, and what was counted.
    pub rows: Vec<(u64, Series, Measures)>,
}

impl Part {
    /// Its id.
    pub(crate) fn id(&self) -> String {
        format!("usage-{:x}-{}-{}", self.store, self.export, self.part)
    }
}

/// The number of the export that collects.
pub(super) fn collecting(database: &mut Database) -> Result<u64, StoreFault> {
    Ok(state(database, "export")?.unwrap_or(1))
}

/// The next part that is to be sent, of so many rows at most. Where nothing is left of the export before, the one that
/// collects is closed. `seed` names a store that has no number yet.
pub(crate) fn next_part(database: &mut Database, rows_max: usize, seed: u64) -> Result<Option<Part>, StoreFault> {
    database.transaction(|database| {
        let number = collecting(database)?;
        let sql = "INSERT INTO usage_state (name, number) VALUES ('store', $1) ON CONFLICT (name) DO NOTHING";
        database.execute(sql, values![seed >> 1])?;
        let oldest = "SELECT export FROM usage_exports ORDER BY export LIMIT 1";
        let Some(export) = database.first(oldest, &[], |row| row.get::<u64>(0))? else { return Ok(None) };
        if export == number {
            set_state(database, "export", number + 1)?;
            set_state(database, "part", 0)?;
        }
        let sql = format!(
            "SELECT start, {SERIES}, {MEASURES} FROM usage_exports WHERE export = $1 ORDER BY start, {SERIES} LIMIT $2"
        );
        let rows = database.query(&sql, values![export, rows_max as u64], |row| {
            let name = |at: usize| row.get::<String>(at).map(String::into_boxed_str);
            let series = Series {
                consumer: name(1)?,
                app: name(2)?,
                tenant: name(3)?,
                plan: name(4)?,
                product: name(5)?,
                route: name(6)?,
                version: name(7)?,
                class: row.get::<u64>(8)?.try_into().unwrap_or(u8::MAX),
            };
            let mut measures = [0; 6];
            for (at, measure) in measures.iter_mut().enumerate() {
                *measure = row.get(9 + at)?;
            }
            Ok((row.get(0)?, series, Measures::of(measures)))
        })?;
        let (store, part) = (state(database, "store")?.unwrap_or(0), state(database, "part")?.unwrap_or(0));
        Ok(Some(Part { store, export, part, rows }))
    })
}

/// A part has arrived: it is forgotten, unless another process has done that.
pub(crate) fn arrived(database: &mut Database, part: &Part) -> Result<(), StoreFault> {
    database.transaction(|database| {
        let Some((start, series, _)) = part.rows.last() else { return Ok(()) };
        if state(database, "part")? != Some(part.part) || collecting(database)? != part.export + 1 {
            return Ok(());
        }
        let Series { consumer, app, tenant, plan, product, route, version, class } = series;
        let sql = format!(
            "DELETE FROM usage_exports WHERE export = $1 \
             AND (start, {SERIES}) <= ($2, $3, $4, $5, $6, $7, $8, $9, $10)"
        );
        let values = values![
            part.export,
            *start,
            &**consumer,
            &**app,
            &**tenant,
            &**plan,
            &**product,
            &**route,
            &**version,
            u32::from(*class)
        ];
        database.execute(&sql, values)?;
        set_state(database, "part", part.part + 1)
    })
}

fn state(database: &mut Database, name: &str) -> Result<Option<u64>, StoreFault> {
    database.first("SELECT number FROM usage_state WHERE name = $1", values![name], |row| row.get(0))
}

fn set_state(database: &mut Database, name: &str, number: u64) -> Result<(), StoreFault> {
    database.execute("UPDATE usage_state SET number = $2 WHERE name = $1", values![name, number]).map(|_| ())
}
