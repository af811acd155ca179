// SPDX-License-Identifier: Apache-2.0
//! What was changed in the store, in order, so that several gateways on one store know of each other's writes. A write
//! notes its changes in its own transaction; the others ask for those behind the last that they have seen.
//!
//! Writers come one after the other (`Database::transaction`), so whoever sees a number has seen all below it. Only the
//! last change of an object is kept, for `KEPT_SECONDS`: the table holds no more rows than there are objects.

use std::collections::BTreeMap;

use crate::control::store::credential::{self, Kind};
use crate::control::store::database::value::Row;
use crate::control::store::database::{Database, values};
use crate::control::store::effect::Effect;
use crate::control::store::fault::StoreFault;
use crate::control::store::load::{self, KINDS};
use crate::control::store::object::{self, ObjectKind};

/// How long a change is kept. A gateway that could not reach the store for longer reads all of it.
const KEPT_SECONDS: u64 = 30 * 24 * 60 * 60;
/// Old changes are looked for once in so many.
const SWEEP: u64 = 1_024;
/// In the table, kinds of credentials stand behind those of objects.
const CREDENTIALS: i64 = 100;

/// Notes what a write changed. To be called within its transaction.
pub(super) fn note(database: &mut Database, effects: &[Effect], now: u64) -> Result<(), StoreFault> {
    if effects.is_empty() {
        return Ok(());
    }
    let count = effects.len() as u64;
    let sql = "UPDATE counters SET value = value + $1 WHERE name = 'changes'";
    database.execute(sql, values![count])?;
    let first = last(database)?.saturating_sub(count) + 1;
    let sql = "INSERT INTO changes (kind, name, lookup, number, at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (kind, name, lookup) DO UPDATE SET number = excluded.number, at = excluded.at";
    for (number, effect) in (first..).zip(effects) {
        let credential = |kind: Kind| CREDENTIALS + kind.number();
        let (kind, name, lookup): (i64, &str, &[u8]) = match effect {
            Effect::Put(name, body) => (body.kind() as i64, name, b""),
            Effect::Gone(kind, name) => (*kind as i64, name, b""),
            Effect::Key(key, _) => (credential(Kind::Key), "", &key.hash),
            Effect::KeyGone(hash) => (credential(Kind::Key), "", hash),
            Effect::Credential(held, _) => (credential(Kind::Named(held.kind)), "", &held.lookup),
            Effect::CredentialGone(kind, lookup) => (credential(Kind::Named(*kind)), "", lookup),
        };
        database.execute(sql, values![kind, name, lookup, number, now])?;
    }
    if first / SWEEP != (first + count) / SWEEP {
        sweep(database, now.saturating_sub(KEPT_SECONDS))?;
    }
    Ok(())
}

/// Forgets changes that are older than `since`.
fn sweep(database: &mut Database, since: u64) -> Result<(), StoreFault> {
    let sql = "SELECT max(number) FROM changes WHERE at < $1";
    let Some(Some(upto)) = database.first(sql, values![since], |row| row.get::<Option<u64>>(0))? else { return Ok(()) };
    database.execute("DELETE FROM changes WHERE number <= $1", values![upto])?;
    database.execute("UPDATE counters SET value = $1 WHERE name = 'forgotten'", values![upto])?;
    Ok(())
}

/// Writes something that changes nothing: can it be written?
pub(super) fn probe(database: &mut Database) -> Result<(), StoreFault> {
    let sql = "UPDATE counters SET value = value WHERE name = 'changes'";
    database.transaction(|database| database.execute(sql, &[]).map(|_| ()))
}

/// The number of the last change.
pub(super) fn last(database: &mut Database) -> Result<u64, StoreFault> {
    counter(database, "changes")
}

fn counter(database: &mut Database, name: &str) -> Result<u64, StoreFault> {
    let found = database.first("SELECT value FROM counters WHERE name = $1", values![name], |row| row.get(0))?;
    found.ok_or_else(|| StoreFault::Damaged(format!("the counter `{name}` is missing")))
}

/// What was changed behind a number.
#[derive(Debug, PartialEq)]
pub(super) enum Changed {
    /// This, up to that number.
    Effects(Vec<Effect>, u64),
    /// Nobody knows: the store holds all of this, at that number. What is gone is not named.
    Everything(Vec<Effect>, u64),
}

/// What was changed behind the number `seen`.
pub(super) fn since(database: &mut Database, seen: u64) -> Result<Changed, StoreFault> {
    let last = last(database)?;
    if last == seen {
        return Ok(Changed::Effects(Vec::new(), seen));
    }
    // Below what was seen is another database in the place of the one that was read.
    if last < seen || seen < counter(database, "forgotten")? {
        return Ok(Changed::Everything(load::effects(database)?, last));
    }
    let sql = "SELECT kind, name, lookup FROM changes WHERE number > $1 AND number <= $2";
    let read = |row: Row<'_>| Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<Vec<u8>>(2)?));
    let rows = database.query(sql, values![seen, last], read)?;
    // What others name comes first, whichever of them was changed last.
    let mut effects: BTreeMap<usize, Vec<Effect>> = BTreeMap::new();
    for (kind, name, lookup) in rows {
        let known = Kind::ALL.into_iter().find(|known| CREDENTIALS + known.number() == kind);
        let (order, effect) = match (known, ObjectKind::ALL.into_iter().find(|known| *known as i64 == kind)) {
            (Some(kind), _) => (KINDS.len(), credential::effect_at(database, kind, &lookup)?),
            (None, Some(kind)) => match object::get(database, kind, &name)? {
                Some(object) => {
                    let order = KINDS.iter().position(|known| *known == kind);
                    (order.unwrap_or(KINDS.len()), Effect::Put(object.name, object.body))
                }
                None => (KINDS.len() + 1, Effect::Gone(kind, name)),
            },
            // A newer version knows more kinds.
            (None, None) => continue,
        };
        effects.entry(order).or_default().push(effect);
    }
    Ok(Changed::Effects(effects.into_values().flatten().collect(), last))
}
