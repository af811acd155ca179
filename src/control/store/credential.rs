// SPDX-License-Identifier: Apache-2.0
//! Credentials of consumers. Keys are kept as SHA-256; what else a credential must keep secret never leaves the store
//! but for the shards.

use crate::base::{CredentialId, Wall};
use crate::config::directory::{CredentialObject, KeyObject};
use crate::control::store::database::value::{Row, Value};
use crate::control::store::database::{Database, values};
use crate::control::store::effect::Effect;
use crate::control::store::fault::StoreFault;
use crate::control::store::object::{Expected, ObjectKind, Page, exists};
use crate::policy::directory::{CredentialKind, Expiry};

/// A kind of credentials. The numbers stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An API key.
    Key,
    /// One that is found by a name.
    Named(CredentialKind),
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 5] = [
        Kind::Key,
        Kind::Named(CredentialKind::Basic),
        Kind::Named(CredentialKind::Hmac),
        Kind::Named(CredentialKind::Jwt),
        Kind::Named(CredentialKind::Certificate),
    ];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Key => "key",
            Kind::Named(kind) => kind.name(),
        }
    }

    /// Its number in the store.
    pub(super) const fn number(self) -> i64 {
        match self {
            Kind::Key => 1,
            Kind::Named(kind) => kind as i64 + 2,
        }
    }
}

/// A credential, without what it keeps secret.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Credential {
    /// Its number, for the directory.
    pub number: CredentialId,
    /// `cred_…`
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Whose.
    pub consumer: String,
    /// The app that it belongs to.
    pub app: Option<String>,
    /// What it is found by, where that is no secret: not of keys.
    pub lookup: Option<String>,
    /// The last four characters of a key.
    pub last4: Option<String>,
    /// For people.
    pub description: String,
    /// Counts its changes, from 1.
    pub revision: u64,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970.
    pub updated: u64,
    /// Not valid from then on, in seconds since 1970.
    pub expires: Option<u64>,
    /// When it was revoked, in seconds since 1970.
    pub revoked: Option<u64>,
    /// The credential that it was rotated to.
    pub successor: Option<String>,
}

/// Where a credential is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialState {
    /// It is valid.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

impl CredentialState {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            CredentialState::Active => "active",
            CredentialState::Expired => "expired",
            CredentialState::Revoked => "revoked",
        }
    }
}

impl Credential {
    /// Where it is in its life.
    pub(crate) fn state(&self, now: u64) -> CredentialState {
        match (self.revoked, self.expires) {
            (Some(_), _) => CredentialState::Revoked,
            (None, Some(expires)) if expires <= now => CredentialState::Expired,
            (None, _) => CredentialState::Active,
        }
    }
}

/// A credential that is to be made.
#[derive(Clone)]
pub(crate) struct NewCredential {
    /// `cred_…`, from `new_id`.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// Whose.
    pub consumer: String,
    /// The app that it belongs to.
    pub app: Option<String>,
    /// What it is found by; of a key its SHA-256.
    pub lookup: Vec<u8>,
    /// What it keeps secret: see `policy::directory::Credential::secret`.
    pub secret: Vec<u8>,
    /// The last four characters of a key.
    pub last4: Option<String>,
    /// For people.
    pub description: String,
    /// Not valid from then on, in seconds since 1970.
    pub expires: Option<u64>,
}

impl std::fmt::Debug for NewCredential {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NewCredential { id, kind, consumer, .. } = self;
        let mut shown = out.debug_struct("NewCredential");
        shown.field("id", id).field("kind", kind).field("consumer", consumer).finish_non_exhaustive()
    }
}

/// Which credentials are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Only of this consumer.
    pub consumer: Option<String>,
    /// Only of this app.
    pub app: Option<String>,
}

impl Filter {
    /// Is this one listed?
    pub(crate) fn takes(&self, credential: &Credential) -> bool {
        self.consumer.as_ref().is_none_or(|consumer| credential.consumer == *consumer)
            && self.app.as_ref().is_none_or(|app| credential.app.as_ref() == Some(app))
    }
}

const COLUMNS: &str = "number, id, kind, consumer, app, lookup, last4, description, revision, created, updated, \
                       expires, revoked, successor";

fn credential_of(row: Row<'_>) -> Result<Credential, StoreFault> {
    let kind = kind_of(row.get(2)?)?;
    let lookup: Vec<u8> = row.get(5)?;
    Ok(Credential {
        number: CredentialId(row.get(0)?),
        id: row.get(1)?,
        kind,
        consumer: row.get(3)?,
        app: row.get(4)?,
        lookup: (kind != Kind::Key).then(|| shown_lookup(&lookup)),
        last4: row.get(6)?,
        description: row.get(7)?,
        revision: row.get(8)?,
        created: row.get(9)?,
        updated: row.get(10)?,
        expires: row.get(11)?,
        revoked: row.get(12)?,
        successor: row.get(13)?,
    })
}

/// What a credential is found by, for people: parts stand behind a byte 0.
pub(crate) fn shown_lookup(lookup: &[u8]) -> String {
    String::from_utf8_lossy(lookup).replace('\0', " ")
}

fn kind_of(number: i64) -> Result<Kind, StoreFault> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.number() == number);
    kind.ok_or_else(|| StoreFault::Damaged(format!("a credential has the kind {number}")))
}

/// The credential of that id.
pub(crate) fn get(database: &mut Database, id: &str) -> Result<Option<Credential>, StoreFault> {
    database.first(&format!("SELECT {COLUMNS} FROM credentials WHERE id = $1"), values![id], credential_of)
}

/// Credentials behind the number `after`, at most `limit`, in the order in which they were made.
pub(crate) fn list(
    database: &mut Database,
    filter: &Filter,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Credential>, StoreFault> {
    let after: i64 = match after {
        Some(text) => text.parse().map_err(|_| StoreFault::Invalid("the cursor is wrong".to_owned()))?,
        None => 0,
    };
    let mut sql = format!("SELECT {COLUMNS} FROM credentials WHERE number > $1");
    let mut values = vec![Value::from(after)];
    for (column, wanted) in [("consumer", &filter.consumer), ("app", &filter.app)] {
        if let Some(wanted) = wanted {
            values.push(Value::from(wanted));
            sql.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    }
    values.push(Value::from(limit as i64 + 1));
    sql.push_str(&format!(" ORDER BY number LIMIT ${}", values.len()));
    let items = database.query(&sql, &values, credential_of)?;
    Ok(Page::of(items, limit, |credential| credential.number.0.to_string()))
}

/// Makes a credential. To be called within a transaction. `is_declared` knows the consumers and apps of the
/// configuration.
pub(super) fn create(
    database: &mut Database,
    new: &NewCredential,
    is_declared: impl Fn(ObjectKind, &str) -> bool,
    now: u64,
) -> Result<Credential, StoreFault> {
    let owners = [(ObjectKind::Consumer, Some(&new.consumer)), (ObjectKind::App, new.app.as_ref())];
    for (kind, name) in owners {
        if let Some(name) = name
            && !is_declared(kind, name)
            && !exists(database, kind, name)?
        {
            return Err(StoreFault::NoReference { kind: kind.name(), name: name.to_owned() });
        }
    }
    let sql = "INSERT INTO credentials (id, kind, consumer, app, lookup, secret, last4, description, revision, \
               created, updated, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9, $10)";
    let NewCredential { id, kind, consumer, app, lookup, secret, last4, description, expires } = new;
    let (app, last4) = (app.as_deref(), last4.as_deref());
    let values = values![id, kind.number(), consumer, app, lookup, secret, last4, description, now, *expires];
    database.execute(sql, values)?;
    get(database, id)?.ok_or(StoreFault::Missing)
}

/// Changes when a credential ends: `revoked` at once, or `expires` at some time. To be called within a transaction.
/// Returns what was there and what is.
pub(super) fn end(
    database: &mut Database,
    id: &str,
    expected: Expected,
    end: &End,
    now: u64,
) -> Result<(Credential, Credential), StoreFault> {
    let before = get(database, id)?.ok_or(StoreFault::Missing)?;
    expected.check(Some(before.revision))?;
    if before.revoked.is_some() {
        return Err(StoreFault::Ended("the credential is revoked"));
    }
    match end {
        End::Revoked => {
            let sql = "UPDATE credentials SET revoked = $1, updated = $1, revision = revision + 1 WHERE id = $2";
            database.execute(sql, values![now, id])?;
        }
        End::At(expires) => {
            let sql = "UPDATE credentials SET expires = $1, updated = $2, revision = revision + 1 WHERE id = $3";
            database.execute(sql, values![*expires, now, id])?;
        }
        End::Succeeded { by, expires } => {
            let sql = "UPDATE credentials SET expires = $1, successor = $2, updated = $3, revision = revision + 1 \
                       WHERE id = $4";
            database.execute(sql, values![*expires, by, now, id])?;
        }
    }
    let after = get(database, id)?.ok_or(StoreFault::Missing)?;
    Ok((before, after))
}

/// How a credential ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At once and for ever.
    Revoked,
    /// At this time, in seconds since 1970; never where there is none.
    At(Option<u64>),
    /// It was rotated: another takes its place, and it ends at this time.
    Succeeded {
        /// The other one.
        by: String,
        /// Seconds since 1970.
        expires: u64,
    },
}

/// Removes the credentials of a consumer or of an app that is removed. Returns them, and what shards have to forget.
pub(super) fn delete_of(
    database: &mut Database,
    owner: Owner,
    name: &str,
) -> Result<(Vec<Credential>, Vec<Effect>), StoreFault> {
    let column = match owner {
        Owner::Consumer => "consumer",
        Owner::App => "app",
    };
    let sql = format!("SELECT {COLUMNS} FROM credentials WHERE {column} = $1 ORDER BY number");
    let credentials = database.query(&sql, values![name], credential_of)?;
    let mut gone = effects(database, Some((column, name)))?;
    gone.iter_mut().for_each(Effect::undo);
    database.execute(&format!("DELETE FROM credentials WHERE {column} = $1"), values![name])?;
    Ok((credentials, gone))
}

/// Whose credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A consumer's, those of its apps included.
    Consumer,
    /// An app's.
    App,
}

/// What shards hold of the credentials in use: of all, or of one consumer, or the one with an id.
pub(super) fn effects(database: &mut Database, of: Option<(&str, &str)>) -> Result<Vec<Effect>, StoreFault> {
    let mut found = Vec::new();
    each(database, of, |effect| found.push(effect))?;
    Ok(found)
}

/// What shards hold of what is found by `lookup`, or that there is no such thing.
pub(super) fn effect_at(database: &mut Database, kind: Kind, lookup: &[u8]) -> Result<Effect, StoreFault> {
    let sql = "SELECT number, kind, consumer, app, lookup, secret, expires FROM credentials \
               WHERE revoked IS NULL AND kind = $1 AND lookup = $2";
    if let Some(effect) = database.first(sql, values![kind.number(), lookup], effect_of)? {
        return Ok(effect);
    }
    match kind {
        Kind::Key => {
            let hash = lookup.try_into().map_err(|_| StoreFault::Damaged("a key's hash is no SHA-256".to_owned()))?;
            Ok(Effect::KeyGone(hash))
        }
        Kind::Named(kind) => Ok(Effect::CredentialGone(kind, lookup.into())),
    }
}

/// The SHA-256 of a key, as a configuration takes it.
pub(super) fn hash_text(database: &mut Database, id: &str) -> Result<Option<String>, StoreFault> {
    let sql = "SELECT lookup FROM credentials WHERE id = $1";
    database.first(sql, values![id], |row| {
        let hash: &[u8] = row.get(0)?;
        Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    })
}

/// What shards hold of a credential that was revoked.
pub(super) fn revoked(database: &mut Database, id: &str) -> Result<Vec<Effect>, StoreFault> {
    let sql = "SELECT number, kind, consumer, app, lookup, secret, expires FROM credentials WHERE id = $1";
    database.query(sql, values![id], effect_of)
}

/// Calls `visit` for every credential in use that has this value in this column.
pub(super) fn each(
    database: &mut Database,
    of: Option<(&str, &str)>,
    mut visit: impl FnMut(Effect),
) -> Result<(), StoreFault> {
    let mut sql =
        "SELECT number, kind, consumer, app, lookup, secret, expires FROM credentials WHERE revoked IS NULL".to_owned();
    let mut wanted = Vec::new();
    if let Some((column, value)) = of {
        sql.push_str(&format!(" AND {column} = $1"));
        wanted.push(Value::from(value));
    }
    // In the order of the table. SQLite would take them by the index of what is not revoked, and look each one up.
    sql.push_str(" ORDER BY number");
    database.each(&sql, &wanted, |row| {
        visit(effect_of(row)?);
        Ok(())
    })
}

fn effect_of(row: Row<'_>) -> Result<Effect, StoreFault> {
    let number = CredentialId(row.get(0)?);
    let consumer: Box<str> = row.get::<&str>(2)?.into();
    let app: Option<Box<str>> = row.get::<Option<&str>>(3)?.map(Box::from);
    let lookup: &[u8] = row.get(4)?;
    let expires: Option<u64> = row.get(6)?;
    let expires = Expiry::of(expires.map(|seconds| Wall(seconds.saturating_mul(1_000_000))));
    Ok(match kind_of(row.get(1)?)? {
        Kind::Key => {
            let hash = lookup.try_into().map_err(|_| StoreFault::Damaged("a key's hash is no SHA-256".to_owned()))?;
            Effect::Key(KeyObject { hash, consumer, app, expires }, number)
        }
        Kind::Named(kind) => {
            let secret: Option<&[u8]> = row.get(5)?;
            let (lookup, secret) = (lookup.into(), secret.unwrap_or_default().into());
            Effect::Credential(CredentialObject { kind, lookup, secret, consumer, app, expires }, number)
        }
    })
}
