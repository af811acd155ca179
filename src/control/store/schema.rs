// SPDX-License-Identifier: Apache-2.0
//! The tables of the store, and how a database of an older version is brought to this one.
//!
//! The version of a database is the number of its last migration. A migration is never changed once it was released; a
//! change of the tables is a further one. Its text is written for SQLite, and `for_postgres` makes PostgreSQL's of it,
//! so it uses the types `INTEGER`, `TEXT` and `BLOB` alone.

use crate::control::store::database::{Database, Dialect, values};
use crate::control::store::fault::StoreFault;

/// Marks a file as a store of this program (`PRAGMA application_id`): "TPKS".
pub(super) const APPLICATION: i64 = 0x5450_4B53;

/// A change of the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    /// Its number: greater than that of the one before.
    pub number: i64,
    /// What it does to the tables.
    pub sql: &'static str,
}

/// The migrations from an empty database to the tables of this version.
pub(super) const MIGRATIONS: &[Migration] = &[
    // Consumers, credentials, tokens, the audit.
    Migration { number: 1, sql: include_str!("migrations/1_base.sql") },
    // What other gateways have to know; responses to requests that may be repeated.
    Migration { number: 2, sql: include_str!("migrations/2_changes.sql") },
    // Leases of quotas.
    Migration { number: 3, sql: include_str!("migrations/3_quota.sql") },
    // Usage: batches, exports.
    Migration { number: 4, sql: include_str!("migrations/4_usage.sql") },
    // Sessions of browsers.
    Migration { number: 5, sql: include_str!("migrations/5_sessions.sql") },
];

/// The version that `migrations` end in.
pub(super) fn last(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |migration| migration.number)
}

/// Brings a database to the version that `migrations` end in: one that is empty, one of this version, or an older one.
/// Nobody else sees half of it, nor does the same at the same time.
pub(super) fn migrate(database: &mut Database, migrations: &[Migration]) -> Result<(), StoreFault> {
    database.transaction(|database| {
        let found = match database.dialect() {
            Dialect::Sqlite => version_of_file(database)?,
            Dialect::Postgres => version_of_server(database)?,
        };
        let known = last(migrations);
        if found > known {
            return Err(StoreFault::Newer { found, known });
        }
        for migration in migrations.iter().filter(|migration| migration.number > found) {
            match database.dialect() {
                Dialect::Sqlite => database.run_script(migration.sql)?,
                Dialect::Postgres => database.run_script(&for_postgres(migration.sql))?,
            }
        }
        if found == known {
            return Ok(());
        }
        match database.dialect() {
            Dialect::Sqlite => {
                database.run_script(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {known};"))
            }
            Dialect::Postgres => database.execute("UPDATE store_version SET version = $1", values![known]).map(|_| ()),
        }
    })
}

/// Refuses a database that this program must not read: another's, or one of a newer version.
pub(super) fn check(database: &mut Database) -> Result<(), StoreFault> {
    let found = match database.dialect() {
        Dialect::Sqlite if pragma(database, "application_id")? != APPLICATION => return Err(StoreFault::Foreign),
        Dialect::Sqlite => pragma(database, "user_version")?,
        Dialect::Postgres => version_of_server(database)?,
    };
    let known = last(MIGRATIONS);
    if found > known { Err(StoreFault::Newer { found, known }) } else { Ok(()) }
}

fn version_of_file(database: &mut Database) -> Result<i64, StoreFault> {
    let application = pragma(database, "application_id")?;
    let tables: Option<i64> = database.first("SELECT count(*) FROM sqlite_schema", &[], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || tables > Some(0)) {
        return Err(StoreFault::Foreign);
    }
    pragma(database, "user_version")
}

fn pragma(database: &mut Database, name: &str) -> Result<i64, StoreFault> {
    Ok(database.first(&format!("PRAGMA {name}"), &[], |row| row.get(0))?.unwrap_or(0))
}

/// The tables stand in a schema of their own, with one that holds the version. All sessions look there alone.
fn version_of_server(database: &mut Database) -> Result<i64, StoreFault> {
    let tables = "SELECT CAST(c.relname AS TEXT) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = current_schema() AND c.relkind = 'r'";
    let tables: Vec<String> = database.query(tables, &[], |row| row.get(0))?;
    if tables.iter().any(|table| table == "store_version") {
        let version = database.first("SELECT version FROM store_version", &[], |row| row.get(0))?;
        return version.ok_or_else(|| StoreFault::Damaged("the table `store_version` is empty".to_owned()));
    }
    if !tables.is_empty() {
        return Err(StoreFault::Foreign);
    }
    database
        .run_script("CREATE TABLE store_version (version BIGINT NOT NULL); INSERT INTO store_version VALUES (0);")?;
    Ok(0)
}

/// The text of a migration in PostgreSQL's words.
fn for_postgres(sql: &str) -> String {
    sql.replace("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
        .replace(" WITHOUT ROWID", "")
        .replace(" INTEGER", " BIGINT")
        .replace(" BLOB", " BYTEA")
        // By its bytes, as SQLite compares, whatever language the server speaks.
        .replace(" TEXT", " TEXT COLLATE \"C\"")
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::control::store::database::sqlite::Sqlite;

    fn memory() -> Database {
        Sqlite::new(Connection::open_in_memory().expect("memory")).into()
    }

    fn version(database: &mut Database) -> i64 {
        pragma(database, "user_version").expect("a number")
    }

    const BASE: Migration = MIGRATIONS[0];

    #[test]
    fn numbers_of_migrations_go_up() {
        assert!(MIGRATIONS.is_sorted_by(|one, next| one.number < next.number));
    }

    #[test]
    fn an_older_file_is_brought_to_this_version_and_keeps_what_it_holds() {
        let mut database = memory();
        migrate(&mut database, &[BASE]).expect("a new file");
        database.run_script("INSERT INTO tokens VALUES ('a', x'00', 'admin', 'abcd', 0, NULL)").expect("a row");
        let later = Migration { number: 7, sql: "ALTER TABLE tokens ADD COLUMN note TEXT" };
        migrate(&mut database, &[BASE, later]).expect("an older file");
        migrate(&mut database, &[BASE, later]).expect("a file of this version");
        let name: Option<String> = database.first("SELECT name FROM tokens", &[], |row| row.get(0)).expect("read");
        assert_eq!((version(&mut database), name.as_deref()), (7, Some("a")));
    }

    #[test]
    fn a_newer_file_and_one_of_another_program_are_refused_untouched() {
        let mut database = memory();
        migrate(&mut database, &[BASE, Migration { number: 99, sql: "CREATE TABLE later (x)" }]).expect("newer");
        let fault = migrate(&mut database, MIGRATIONS).expect_err("it is newer");
        assert!(matches!(fault, StoreFault::Newer { found: 99, .. }), "{fault}");
        assert_eq!(version(&mut database), 99);

        let mut foreign = memory();
        foreign.run_script("CREATE TABLE bookmarks (x)").expect("a table");
        assert!(matches!(migrate(&mut foreign, MIGRATIONS), Err(StoreFault::Foreign)));
        assert_eq!(version(&mut foreign), 0);
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let mut database = memory();
        migrate(&mut database, &[BASE]).expect("a new file");
        let broken = Migration { number: 2, sql: "CREATE TABLE half (x); CREATE TABLE half (x);" };
        assert!(migrate(&mut database, &[BASE, broken]).is_err());
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'half'";
        let half: Option<i64> = database.first(tables, &[], |row| row.get(0)).expect("a number");
        assert_eq!((version(&mut database), half), (1, Some(0)));
    }
}
