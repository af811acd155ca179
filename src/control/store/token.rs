// SPDX-License-Identifier: Apache-2.0
//! Admin tokens: a name, a role, and the SHA-256 of what its holder sends.

use crate::control::store::database::value::Row;
use crate::control::store::database::{Database, values};
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

fn token_of(row: Row<'_>) -> Result<Token, StoreFault> {
    let (name, hash, role) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(Token { name, hash, role, last4: row.get(3)?, created: row.get(4)?, expires: row.get(5)? })
}

/// The token with this hash, whether it has expired or not.
pub(crate) fn by_hash(database: &mut Database, hash: &[u8; 32]) -> Result<Option<Token>, StoreFault> {
    database.first(&format!("SELECT {COLUMNS} FROM tokens WHERE hash = $1"), values![hash], token_of)
}

/// Tokens behind the name `after`, at most `limit`.
pub(crate) fn list(database: &mut Database, after: Option<&str>, limit: usize) -> Result<Page<Token>, StoreFault> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE name > $1 ORDER BY name LIMIT $2");
    let tokens = database.query(&sql, values![after.unwrap_or(""), limit as i64 + 1], token_of)?;
    Ok(Page::of(tokens, limit, |token| token.name.clone()))
}

/// Makes a token. To be called within a transaction.
pub(super) fn create(database: &mut Database, new: &NewToken, now: u64) -> Result<Token, StoreFault> {
    let NewToken { name, hash, role, last4, expires } = new.clone();
    let sql = format!("INSERT INTO tokens ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)");
    database.execute(&sql, values![&name, &hash, &role, &last4, now, expires])?;
    Ok(Token { name, hash, role, last4, created: now, expires })
}

/// Removes a token. To be called within a transaction.
pub(super) fn delete(database: &mut Database, name: &str) -> Result<(), StoreFault> {
    match database.execute("DELETE FROM tokens WHERE name = $1", values![name])? {
        0 => Err(StoreFault::Missing),
        _ => Ok(()),
    }
}
