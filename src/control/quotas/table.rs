// SPDX-License-Identifier: Apache-2.0
//! Quotas in the store: what was leased of each key, in a row for each window.

use crate::control::quotas::job::Job;
use crate::control::store::database::{Database, values};
use crate::control::store::fault::StoreFault;
use crate::policy::limit::parent::{Order, Outcome, scaled_up};

/// Rows that are dropped at a time.
const EXPIRED_MAX: u32 = 5_000;
/// How long rows stay after their window, for those who want to look at them, in seconds.
const KEPT: u64 = 24 * 60 * 60;

/// Does all of them in one transaction; when it returns, they are on disk.
pub(super) fn apply(database: &mut Database, jobs: &[Job]) -> Result<Vec<Outcome>, StoreFault> {
    database.transaction(|database| jobs.iter().map(|job| apply_one(database, &job.quota, &job.order)).collect())
}

fn apply_one(database: &mut Database, quota: &str, order: &Order) -> Result<Outcome, StoreFault> {
    let before = leased(database, quota, (order.key, order.window.start), order.units)?;
    let used = before.saturating_add_signed(order.owed);
    let left = u64::from(order.quota).saturating_sub(used);
    let count = u64::from(order.want).min(left);
    let used = used + count;
    if used != before {
        let sql = "INSERT INTO quotas (quota, key, start, ends, quota_units, leased) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (quota, key, start) DO UPDATE SET quota_units = excluded.quota_units, \
                   leased = excluded.leased";
        let (start, ends) = (order.window.start, order.window.end);
        database.execute(sql, values![quota, order.key as i64, start, ends, order.units, used])?;
    }
    // At most `want`, which has 32 bits.
    Ok(Outcome::Leased { count: count as u32, used })
}

/// What was leased of a key, in parts of `units`.
pub(in crate::control) fn leased(
    database: &mut Database,
    quota: &str,
    (key, start): (u64, u64),
    units: u32,
) -> Result<u64, StoreFault> {
    let sql = "SELECT leased, quota_units FROM quotas WHERE quota = $1 AND key = $2 AND start = $3";
    let found =
        database.first(sql, values![quota, key as i64, start], |row| Ok((row.get::<u64>(0)?, row.get::<u32>(1)?)))?;
    Ok(found.map_or(0, |(leased, of)| if of == units { leased } else { scaled_up(leased, of, units) }))
}

/// Forgets what was used of a key in a window.
pub(in crate::control) fn reset(database: &mut Database, quota: &str, key: u64, start: u64) -> Result<(), StoreFault> {
    let sql = "DELETE FROM quotas WHERE quota = $1 AND key = $2 AND start = $3";
    database.execute(sql, values![quota, key as i64, start])?;
    Ok(())
}

/// Drops rows of windows that are over for long.
pub(super) fn expire(database: &mut Database, now: u64) -> Result<(), StoreFault> {
    let sql = "DELETE FROM quotas WHERE (quota, key, start) IN \
               (SELECT quota, key, start FROM quotas WHERE ends < $1 LIMIT $2)";
    database.execute(sql, values![now.saturating_sub(KEPT), EXPIRED_MAX])?;
    Ok(())
}
