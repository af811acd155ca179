// SPDX-License-Identifier: Apache-2.0
//! A file of SQLite.

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode};

use crate::control::store::database::value::{Row, Value};
use crate::control::store::fault::StoreFault;

/// Begins a transaction that writes: it waits for another that does.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Statements that are kept ready; more are compiled anew.
const STATEMENTS_KEPT: usize = 64;

/// An open file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Takes an open connection.
    pub(crate) fn new(connection: Connection) -> Sqlite {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Sqlite { connection }
    }

    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreFault> {
        let mut statement = self.prepared(sql, values)?;
        Ok(statement.raw_execute()? as u64)
    }

    pub(super) fn run_script(&self, sql: &str) -> Result<(), StoreFault> {
        Ok(self.connection.execute_batch(sql)?)
    }

    pub(super) fn each(
        &self,
        sql: &str,
        values: &[Value<'_>],
        visit: &mut dyn FnMut(Row<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        let mut statement = self.prepared(sql, values)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            visit(Row::Sqlite(row))?;
        }
        Ok(())
    }

    /// A statement with its parameters. `$2` is the name of a parameter to SQLite and says nothing of its place.
    fn prepared(&self, sql: &str, values: &[Value<'_>]) -> Result<CachedStatement<'_>, StoreFault> {
        let mut statement = self.connection.prepare_cached(sql)?;
        for (at, value) in values.iter().enumerate() {
            let place = statement.parameter_index(&format!("${}", at + 1))?;
            // A parameter that the text does not name would be an error of PostgreSQL.
            let place = place.ok_or(rusqlite::Error::InvalidParameterCount(values.len(), at))?;
            statement.raw_bind_parameter(place, value)?;
        }
        Ok(statement)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl From<rusqlite::Error> for StoreFault {
    fn from(error: rusqlite::Error) -> StoreFault {
        let unique = error.sqlite_error().is_some_and(|error| {
            matches!(
                error.extended_code,
                rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            )
        });
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreFault::Damaged(error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreFault::Busy,
            Some(ErrorCode::ConstraintViolation) if unique => StoreFault::Exists,
            _ => StoreFault::Unavailable(error.to_string()),
        }
    }
}
