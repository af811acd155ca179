// SPDX-License-Identifier: Apache-2.0
//! The tables of the store, and how a file of an older version is brought to this one. A step is never changed once it
//! was released; a change of the tables is a further step.

use rusqlite::{Connection, TransactionBehavior};

use crate::control::store::fault::StoreFault;

/// Marks a file as a store of this program (`PRAGMA application_id`): "TPKS".
pub(super) const APPLICATION: i64 = 0x5450_4B53;

/// The steps from an empty file to the tables of this version. The version of a file is the number of its steps.
pub(super) const STEPS: &[&str] = &["
CREATE TABLE objects (
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
-- Who names whom, so that nothing is removed that something names.
CREATE TABLE links (
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    target_kind INTEGER NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (kind, name, target_kind, target)
) WITHOUT ROWID;
CREATE INDEX links_by_target ON links (target_kind, target);
CREATE TABLE credentials (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    consumer TEXT NOT NULL,
    app TEXT,
    -- What it is found by; of a key its SHA-256.
    lookup BLOB NOT NULL,
    secret BLOB,
    last4 TEXT,
    description TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    -- The credential that it was rotated to.
    successor TEXT
);
CREATE UNIQUE INDEX credentials_by_lookup ON credentials (kind, lookup) WHERE revoked IS NULL;
CREATE INDEX credentials_by_consumer ON credentials (consumer);
CREATE TABLE tokens (
    name TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL,
    last4 TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER
) WITHOUT ROWID;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    before TEXT,
    after TEXT
);
CREATE TABLE idempotency (
    who TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    response TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (who, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_time ON idempotency (at);
-- Roll-ups: `period` is the length in seconds (60, 3600, 86400), `start` its first second since 1970.
CREATE TABLE usage (
    period INTEGER NOT NULL,
    start INTEGER NOT NULL,
    consumer TEXT NOT NULL,
    app TEXT NOT NULL,
    tenant TEXT NOT NULL,
    plan TEXT NOT NULL,
    product TEXT NOT NULL,
    route TEXT NOT NULL,
    version TEXT NOT NULL,
    status INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    bytes_sent INTEGER NOT NULL,
    latency_us INTEGER NOT NULL,
    upstream_us INTEGER NOT NULL,
    limited INTEGER NOT NULL,
    PRIMARY KEY (period, start, consumer, app, tenant, plan, product, route, version, status)
) WITHOUT ROWID;
-- What was leased of a quota for the window that begins at `start`: spent, as far as anybody may know after a crash.
CREATE TABLE quotas (
    quota TEXT NOT NULL,
    key BLOB NOT NULL,
    start INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (quota, key, start)
) WITHOUT ROWID;
"];

/// Makes a file ready: one that is new, one of this version, or one of an older version.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreFault> {
    // What is acknowledged is on disk: a commit waits until the log is written through.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    migrate(connection, STEPS)
}

/// Brings a file to the version that `steps` end in.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), StoreFault> {
    // Nobody else may see half of it, nor do the same at the same time.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || tables > 0) {
        return Err(StoreFault::Foreign);
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > steps.len() {
        return Err(StoreFault::Newer { found: version, known: steps.len() });
    }
    for step in &steps[done..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", steps.len() as i64)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number")
    }

    #[test]
    fn an_older_file_is_brought_to_this_version_and_keeps_what_it_holds() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection, &STEPS[..1]).expect("a new file");
        connection.execute("INSERT INTO tokens VALUES ('a', x'00', 'admin', 'abcd', 0, NULL)", []).expect("a row");
        let steps = [STEPS[0], "ALTER TABLE tokens ADD COLUMN note TEXT"];
        migrate(&mut connection, &steps).expect("an older file");
        migrate(&mut connection, &steps).expect("a file of this version");
        let name: String = connection.query_row("SELECT name FROM tokens", [], |row| row.get(0)).expect("the row");
        assert_eq!((version(&connection), name.as_str()), (2, "a"));
    }

    #[test]
    fn a_newer_file_and_one_of_another_program_are_refused_untouched() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection, &[STEPS[0], "CREATE TABLE later (x)"]).expect("a newer program");
        let fault = migrate(&mut connection, STEPS).expect_err("it is newer");
        assert!(matches!(fault, StoreFault::Newer { found: 2, known: 1 }), "{fault}");
        assert_eq!(version(&connection), 2);

        let mut foreign = Connection::open_in_memory().expect("memory");
        foreign.execute_batch("CREATE TABLE bookmarks (x)").expect("a table");
        assert!(matches!(migrate(&mut foreign, STEPS), Err(StoreFault::Foreign)));
        assert_eq!(version(&foreign), 0);
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection, STEPS).expect("a new file");
        let broken = [STEPS[0], "CREATE TABLE half (x); CREATE TABLE half (x);"];
        assert!(migrate(&mut connection, &broken).is_err());
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'half'";
        let half: i64 = connection.query_row(tables, [], |row| row.get(0)).expect("a number");
        assert_eq!((version(&connection), half), (1, 0));
    }
}
