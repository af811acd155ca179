// SPDX-License-Identifier: Apache-2.0
//! A database with one text of SQL for two kinds of servers: a file of SQLite, and PostgreSQL.
//!
//! What is portable: parameters are `$1`, `$2` and so on, values are integers of 64 bits, texts, bytes and NULL.
//! `INSERT … ON CONFLICT … DO UPDATE`, `DO NOTHING` and `RETURNING` work in both. A sum is a number of another type in
//! PostgreSQL, so write `CAST(sum(x) AS BIGINT)`. Texts are compared by their bytes.
//!
//! Everything here waits for a disk or a network: it is called on the thread of the store alone.

pub(crate) mod postgres;
pub(crate) mod sqlite;
pub(crate) mod tls;
pub(crate) mod value;

use crate::control::store::database::postgres::Postgres;
use crate::control::store::database::sqlite::Sqlite;
use crate::control::store::database::value::{Row, Value};
use crate::control::store::fault::StoreFault;

/// The parameters of a statement, of whatever becomes a `Value`: `values![name, 17, None::<i64>]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::control::store::database::value::Value::from($value)),*]
    };
}
pub(crate) use values;

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    server: Server,
    /// A transaction has begun and not ended.
    within: bool,
}

#[derive(Debug)]
enum Server {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

/// Which dialect of SQL is spoken, where a text cannot be portable: that of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's.
    Postgres,
}

impl From<Sqlite> for Database {
    fn from(file: Sqlite) -> Database {
        Database { server: Server::Sqlite(file), within: false }
    }
}

impl From<Postgres> for Database {
    fn from(server: Postgres) -> Database {
        Database { server: Server::Postgres(Box::new(server)), within: false }
    }
}

impl Database {
    /// Which dialect it speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        match &self.server {
            Server::Sqlite(_) => Dialect::Sqlite,
            Server::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement. Returns how many rows it changed. A row that breaks a uniqueness is `StoreFault::Exists`.
    pub(crate) fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreFault> {
        match &mut self.server {
            Server::Sqlite(file) => file.execute(sql, values),
            Server::Postgres(server) => server.execute(sql, values),
        }
    }

    /// Runs statements without parameters that stand in one text, such as those that make tables.
    pub(crate) fn run_script(&mut self, sql: &str) -> Result<(), StoreFault> {
        match &mut self.server {
            Server::Sqlite(file) => file.run_script(sql),
            Server::Postgres(server) => server.run_script(sql),
        }
    }

    /// Calls `visit` for each row, as it comes: a million of them take no memory. Ends at the first fault of `visit`.
    pub(crate) fn each(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        mut visit: impl FnMut(Row<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        match &mut self.server {
            Server::Sqlite(file) => file.each(sql, values, &mut visit),
            Server::Postgres(server) => server.each(sql, values, &mut visit),
        }
    }

    /// What `read` makes of each row.
    pub(crate) fn query<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(Row<'_>) -> Result<T, StoreFault>,
    ) -> Result<Vec<T>, StoreFault> {
        let mut found = Vec::new();
        self.each(sql, values, |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// What `read` makes of the first row, where there is one.
    pub(crate) fn first<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(Row<'_>) -> Result<T, StoreFault>,
    ) -> Result<Option<T>, StoreFault> {
        Ok(self.query(sql, values, read)?.into_iter().next())
    }

    /// Runs `run` in a transaction: all that it writes, or nothing where it fails. When this returns without a fault,
    /// it is on disk. Only one transaction runs at a time in a database, whoever writes, so what `run` has read stays
    /// true until it is done. A transaction within another is a part of it.
    pub(crate) fn transaction<T>(
        &mut self,
        run: impl FnOnce(&mut Database) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        if self.within {
            return run(self);
        }
        self.run_script(match self.dialect() {
            Dialect::Sqlite => sqlite::BEGIN,
            Dialect::Postgres => postgres::BEGIN,
        })?;
        self.within = true;
        let outcome = run(self);
        self.within = false;
        let ended = match &outcome {
            Ok(_) => self.run_script("COMMIT"),
            Err(_) => Ok(()),
        };
        if outcome.is_err() || ended.is_err() {
            // Where the connection is broken, the server does it.
            let _ = self.run_script("ROLLBACK");
        }
        ended.and(outcome)
    }
}

#[cfg(test)]
mod tests;
