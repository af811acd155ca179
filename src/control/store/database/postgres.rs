// SPDX-License-Identifier: Apache-2.0
//! A session with a server of PostgreSQL.
//!
//! The client is asynchronous, and here it is waited for: the thread of the store has nothing else to do. Each wait has
//! an end. A session in which a wait ran out is of no use any more, since nobody knows what the server did.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use futures_core::Stream;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{IsNull, ToSql, Type, WrongType, to_sql_checked};
use tokio_postgres::{Client, Config, Error, Socket, Statement};

use crate::control::store::database::value::{Row, Value};
use crate::control::store::fault::StoreFault;

/// Begins a transaction that writes: it waits for another that does, as in a file. The number names the lock among all
/// locks of the database: "TPKS".
pub(super) const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(1414548307)";

/// Longest wait for a connection, for a result, and for one row more of it.
const WAIT: Duration = Duration::from_secs(10);
/// Statements that are kept ready; above it all are forgotten.
const STATEMENTS_MAX: usize = 128;
/// What a session begins with. A lock is given up before our own wait ends, and the server ends a transaction that its
/// client has left. What is acknowledged is on disk, also where the server is set otherwise.
const SETTINGS: &str = "\
SET lock_timeout = '5s'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '10s';
SELECT CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END;";

/// A session.
pub(crate) struct Postgres {
    client: Client,
    statements: HashMap<Box<str>, Statement>,
    /// Something failed, and nobody knows what the server did.
    lost: bool,
    /// Reads and writes the socket while somebody waits. Last, so that it is dropped last.
    runtime: Runtime,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Postgres")
    }
}

impl Postgres {
    /// Opens a session.
    pub(crate) fn connect<T>(config: &Config, tls: T) -> Result<Postgres, StoreFault>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreFault::Unavailable(error.to_string()))?;
        let (client, connection) = runtime.block_on(within(config.connect(tls)))?;
        runtime.spawn(async move {
            // Why it ended is told to whoever waits for a result.
            let _ = connection.await;
        });
        let mut session = Postgres { client, statements: HashMap::new(), lost: false, runtime };
        session.run_script(SETTINGS)?;
        Ok(session)
    }

    pub(super) fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreFault> {
        let statement = self.statement(sql)?;
        let Postgres { client, .. } = self;
        let run = async { client.execute_raw(&statement, values.iter()).await };
        let outcome = self.runtime.block_on(within(run));
        self.watched(outcome)
    }

    pub(super) fn run_script(&mut self, sql: &str) -> Result<(), StoreFault> {
        self.usable()?;
        let outcome = self.runtime.block_on(within(self.client.batch_execute(sql)));
        self.watched(outcome)
    }

    pub(super) fn each(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        visit: &mut dyn FnMut(Row<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        let statement = self.statement(sql)?;
        let Postgres { client, .. } = self;
        let outcome = self.runtime.block_on(async {
            let rows = within(async { client.query_raw(&statement, values.iter()).await }).await?;
            let mut rows = pin!(rows);
            loop {
                let next = poll_fn(|context| rows.as_mut().poll_next(context));
                match within(async { next.await.transpose() }).await? {
                    Some(row) => visit(Row::Postgres(&row))?,
                    None => return Ok(()),
                }
            }
        });
        self.watched(outcome)
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, StoreFault> {
        self.usable()?;
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let prepared = self.runtime.block_on(within(self.client.prepare(sql)));
        let statement = self.watched(prepared)?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    fn usable(&self) -> Result<(), StoreFault> {
        if self.lost { Err(StoreFault::Unavailable("the session was lost".to_owned())) } else { Ok(()) }
    }

    fn watched<T>(&mut self, outcome: Result<T, StoreFault>) -> Result<T, StoreFault> {
        // An error that the server reports leaves the session as it was, but a new one is cheap and surely right.
        self.lost |= matches!(outcome, Err(StoreFault::Unavailable(_)));
        outcome
    }
}

/// Waits for a result, but not for ever.
async fn within<T>(result: impl Future<Output = Result<T, Error>>) -> Result<T, StoreFault> {
    match tokio::time::timeout(WAIT, result).await {
        Ok(result) => result.map_err(StoreFault::from),
        Err(_) => Err(StoreFault::Unavailable(format!("the server did not answer within {} s", WAIT.as_secs()))),
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, kind) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Integer(number), &Type::INT8) => number.to_sql(kind, out),
            (Value::Integer(number), &Type::INT4) => i32::try_from(*number)?.to_sql(kind, out),
            (Value::Text(text), kind) if <&str as ToSql>::accepts(kind) => text.to_sql(kind, out),
            (Value::Blob(bytes), &Type::BYTEA) => bytes.to_sql(kind, out),
            (Value::Integer(_), _) => Err(Box::new(WrongType::new::<i64>(kind.clone()))),
            (Value::Text(_), _) => Err(Box::new(WrongType::new::<&str>(kind.clone()))),
            (Value::Blob(_), _) => Err(Box::new(WrongType::new::<&[u8]>(kind.clone()))),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Which value goes with which type, `to_sql` says.
        true
    }

    to_sql_checked!();
}

impl From<Error> for StoreFault {
    fn from(error: Error) -> StoreFault {
        let Some(reported) = error.as_db_error() else {
            let mut words = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                words = format!("{words}: {error}");
                cause = error.source();
            }
            return StoreFault::Unavailable(words);
        };
        let words = || format!("{} (SQLSTATE {})", reported.message(), reported.code().code());
        match *reported.code() {
            SqlState::UNIQUE_VIOLATION => StoreFault::Exists,
            // Others write.
            SqlState::LOCK_NOT_AVAILABLE | SqlState::T_R_DEADLOCK_DETECTED | SqlState::T_R_SERIALIZATION_FAILURE => {
                StoreFault::Busy
            }
            // The character 0, which a text cannot have there.
            SqlState::CHARACTER_NOT_IN_REPERTOIRE => StoreFault::Invalid(reported.message().to_owned()),
            SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => StoreFault::Damaged(words()),
            _ => StoreFault::Unavailable(words()),
        }
    }
}
