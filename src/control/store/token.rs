// SPDX-License-Identifier: Apache-2.0
//! Admin tokens: a name, a role, and the SHA-256 of what its holder sends.

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use crate::control::store::fault::StoreFault;
use crate::control::store::object::Page;

/// An admin token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its name.
    pub name: String,
    /// The SHA-256 of what its holder sends.
    pub hash: [u8; 32],
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// The last four characters of what its holder sends.
    pub last4: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Not valid from then on, in seconds since 1970.
    pub expires: Option<u64>,
}

/// A token that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewToken {
    /// Its name.
    pub name: String,
    /// The SHA-256 of what its holder sends.
    pub hash: [u8; 32],
    /// Its role.
    pub role: String,
    /// The last four characters of what its holder sends.
    pub last4: String,
    /// Not valid from then on, in seconds since 1970.
    pub expires: Option<u64>,
}

const COLUMNS: &str = "name, hash, role, last4, created, expires";

fn token_of(row: &Row<'_>) -> rusqlite::Result<Token> {
    let (name, hash, role) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(Token { name, hash, role, last4: row.get(3)?, created: row.get(4)?, expires: row.get(5)? })
}

/// The token with this hash, whether it has expired or not.
pub(crate) fn by_hash(connection: &Connection, hash: &[u8; 32]) -> Result<Option<Token>, StoreFault> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tokens WHERE hash = ?"))?;
    Ok(statement.query_row(params![&hash[..]], token_of).optional()?)
}

/// Tokens behind the name `after`, at most `limit`.
pub(crate) fn list(connection: &Connection, after: Option<&str>, limit: usize) -> Result<Page<Token>, StoreFault> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE name > ? ORDER BY name LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after.unwrap_or(""), limit as i64 + 1], token_of)?;
    Ok(Page::of(rows.collect::<Result<_, _>>()?, limit, |token| token.name.clone()))
}

/// Makes a token. To be called within a transaction.
pub(super) fn create(connection: &Connection, new: &NewToken, now: u64) -> Result<Token, StoreFault> {
    let NewToken { name, hash, role, last4, expires } = new.clone();
    let mut statement = connection.prepare_cached("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)")?;
    let written = statement.execute(params![name, &hash[..], role, last4, now, expires]);
    written.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StoreFault::Exists,
        _ => error.into(),
    })?;
    Ok(Token { name, hash, role, last4, created: now, expires })
}

/// Removes a token. To be called within a transaction.
pub(super) fn delete(connection: &Connection, name: &str) -> Result<(), StoreFault> {
    match connection.execute("DELETE FROM tokens WHERE name = ?", params![name])? {
        0 => Err(StoreFault::Missing),
        _ => Ok(()),
    }
}
