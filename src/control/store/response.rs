// SPDX-License-Identifier: Apache-2.0
//! What is known of requests that have an idempotency key: what was written, noted with the write itself, and the whole
//! response, which is kept as soon as it was made. Both for a day, and `IDEMPOTENCY_ROWS_MAX` at most; above it the
//! oldest is forgotten, and its request is done again if it comes again.

use crate::base::limits::{IDEMPOTENCY_BYTES_MAX, IDEMPOTENCY_ROWS_MAX};
use crate::control::store::database::value::Row;
use crate::control::store::database::{Database, values};
use crate::control::store::fault::StoreFault;

/// How long a request with an idempotency key is answered as the first one was.
pub(crate) const IDEMPOTENCY_SECONDS: u64 = 24 * 60 * 60;

/// How a client marks the repetition of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Idempotency {
    /// What the client gave.
    pub key: String,
    /// A hash of the request: method, path, body.
    pub digest: [u8; 32],
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredResponse {
    /// Its status.
    pub status: u16,
    /// Its media type; empty where it has no content.
    pub media_type: String,
    /// Its fields.
    pub fields: Vec<(String, String)>,
    /// Its content.
    pub body: Vec<u8>,
}

/// What was written under a key, as it was noted; `None` where nothing was. Another request under the same key is a
/// fault.
pub(super) fn written(
    database: &mut Database,
    who: &str,
    idempotency: &Idempotency,
    now: u64,
) -> Result<Option<String>, StoreFault> {
    let read = |row: Row<'_>| Ok((row.get::<[u8; 32]>(0)?, row.get::<String>(1)?));
    let sql = "SELECT digest, response FROM idempotency WHERE who = $1 AND key = $2 AND at >= $3";
    let since = now.saturating_sub(IDEMPOTENCY_SECONDS);
    match database.first(sql, values![who, &idempotency.key, since], read)? {
        Some((digest, _)) if digest != idempotency.digest => Err(StoreFault::KeyReused),
        found => Ok(found.map(|(_, written)| written)),
    }
}

/// Notes what was written under a key. To be called within the transaction that writes it.
pub(super) fn note(
    database: &mut Database,
    who: &str,
    Idempotency { key, digest }: &Idempotency,
    written: &str,
    now: u64,
) -> Result<(), StoreFault> {
    make_room(database, now)?;
    let sql = "INSERT INTO idempotency (who, key, digest, response, at) VALUES ($1, $2, $3, $4, $5)";
    database.execute(sql, values![who, key, digest, written, now]).map(|_| ())
}

/// The response to the first request with a key, where one was kept.
pub(crate) fn find(
    database: &mut Database,
    who: &str,
    idempotency: &Idempotency,
    now: u64,
) -> Result<Option<StoredResponse>, StoreFault> {
    if written(database, who, idempotency, now)?.is_none() {
        return Ok(None);
    }
    let read = |row: Row<'_>| {
        let fields: Option<&str> = row.get(2)?;
        Ok(StoredResponse {
            status: row.get::<u32>(0)?.try_into().unwrap_or(0),
            media_type: row.get(1)?,
            fields: serde_json::from_str(fields.unwrap_or("[]")).unwrap_or_default(),
            body: row.get(3)?,
        })
    };
    let sql = "SELECT status, media_type, fields, body FROM idempotency \
               WHERE who = $1 AND key = $2 AND status IS NOT NULL";
    database.first(sql, values![who, &idempotency.key], read)
}

/// Keeps a response. One that is too large is not kept: what was written is known all the same.
pub(crate) fn keep(
    database: &mut Database,
    who: &str,
    Idempotency { key, digest }: &Idempotency,
    response: &StoredResponse,
    now: u64,
) -> Result<(), StoreFault> {
    if response.body.len() > IDEMPOTENCY_BYTES_MAX {
        return Ok(());
    }
    let fields = serde_json::to_string(&response.fields).unwrap_or_default();
    let sql = "INSERT INTO idempotency (who, key, digest, response, at, status, media_type, fields, body) \
               VALUES ($1, $2, $3, '{}', $4, $5, $6, $7, $8) ON CONFLICT (who, key) DO UPDATE SET \
               status = excluded.status, media_type = excluded.media_type, fields = excluded.fields, \
               body = excluded.body WHERE idempotency.digest = excluded.digest";
    database.transaction(|database| {
        make_room(database, now)?;
        let status = u32::from(response.status);
        let values = values![who, key, digest, now, status, &response.media_type, &fields, &response.body];
        database.execute(sql, values).map(|_| ())
    })
}

fn make_room(database: &mut Database, now: u64) -> Result<(), StoreFault> {
    let old = now.saturating_sub(IDEMPOTENCY_SECONDS);
    database.execute("DELETE FROM idempotency WHERE at < $1", values![old])?;
    let count: Option<u64> = database.first("SELECT count(*) FROM idempotency", &[], |row| row.get(0))?;
    let above = (count.unwrap_or(0) + 1).saturating_sub(IDEMPOTENCY_ROWS_MAX);
    if above > 0 {
        let sql = "DELETE FROM idempotency WHERE (who, key) IN \
                   (SELECT who, key FROM idempotency ORDER BY at, who, key LIMIT $1)";
        database.execute(sql, values![above])?;
    }
    Ok(())
}
