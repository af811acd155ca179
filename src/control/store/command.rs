// SPDX-License-Identifier: Apache-2.0
//! Writes: each is one transaction with its audit row and, where the client gave a key, the response that a repetition
//! of the request gets.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::directory::Declared;
use crate::control::store::changes;
use crate::control::store::credential::{self, Credential, End, NewCredential, Owner};
use crate::control::store::database::{Database, values};
use crate::control::store::effect::Effect;
use crate::control::store::fault::StoreFault;
use crate::control::store::object::{self, Body, Expected, Object, ObjectKind};
use crate::control::store::response::{self, Idempotency};
use crate::control::store::token::{self, NewToken, Token};

/// A write, and who wants it.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// What.
    pub write: Write,
    /// Who.
    pub by: Actor,
    /// The key by which the client repeats a request, if it gave one.
    pub idempotency: Option<Idempotency>,
    /// What the configuration declares.
    pub declared: Arc<Declared>,
    /// Seconds since 1970.
    pub now: u64,
}

/// Who writes, for the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actor {
    /// The name of the admin token, or what takes its place.
    pub name: String,
    /// Where the request came from.
    pub address: String,
    /// The id of the request, as its response has it.
    pub request: String,
}

/// A write.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// Makes an object, or changes one.
    Put {
        /// Its kind.
        kind: ObjectKind,
        /// Its name.
        name: String,
        /// What it says.
        body: Body,
        /// Its revision.
        expected: Expected,
    },
    /// Removes an object. With a consumer its credentials go.
    Delete {
        /// Its kind.
        kind: ObjectKind,
        /// Its name.
        name: String,
        /// Its revision.
        expected: Expected,
    },
    /// Makes a credential.
    Create(NewCredential),
    /// Makes a credential in the place of another, which stays valid for a while.
    Rotate {
        /// The other one.
        id: String,
        /// Its revision.
        expected: Expected,
        /// What takes its place.
        new: NewCredential,
        /// How long the other one stays valid, in seconds.
        overlap: u64,
    },
    /// Ends a credential.
    End {
        /// Which.
        id: String,
        /// Its revision.
        expected: Expected,
        /// How.
        end: End,
    },
    /// Makes an admin token.
    CreateToken(NewToken),
    /// Removes the admin token of that name.
    DeleteToken(String),
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Written {
    /// An object: what it was, and what it is. `None` where there was or is none.
    Object(Option<Box<Object>>, Option<Box<Object>>),
    /// A credential that was made or has ended. Of a rotation, the new one.
    Credential(Box<Credential>),
    /// An admin token that was made.
    Token(Token),
    /// An admin token is gone.
    TokenGone,
    /// The request was served before: what is known of its response.
    Repeated(Value),
}

/// A write that is on disk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Done {
    /// What was written.
    pub written: Written,
    /// What shards have to know.
    pub effects: Vec<Effect>,
}

/// One row of the audit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AuditRow {
    /// Its number.
    pub number: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// Who.
    pub by: Actor,
    /// What was done: `create`, `update`, `delete`, `rotate`, `revoke`.
    pub action: String,
    /// To what: `consumer`, `credential`, `token`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What it said before.
    pub before: Option<Value>,
    /// What it says.
    pub after: Option<Value>,
}

/// What is noted of a write.
struct Noted {
    action: &'static str,
    kind: &'static str,
    name: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Does a write, wholly or not at all. When it returns, the write is on disk.
pub(crate) fn execute(database: &mut Database, command: &Command) -> Result<Done, StoreFault> {
    database.transaction(|database| execute_within(database, command))
}

fn execute_within(database: &mut Database, command: &Command) -> Result<Done, StoreFault> {
    if let Some(response) = repeated(database, command)? {
        return Ok(Done { written: Written::Repeated(response), effects: Vec::new() });
    }
    let (done, noted) = write(database, command)?;
    let Command { by, now, .. } = command;
    note(database, by, &noted, *now)?;
    changes::note(database, &done.effects, *now)?;
    if let Some(idempotency) = &command.idempotency {
        let written = noted.after.clone().unwrap_or_default().to_string();
        response::note(database, &by.name, idempotency, &written, *now)?;
    }
    Ok(done)
}

/// What is known of the first request with this key.
fn repeated(database: &mut Database, command: &Command) -> Result<Option<Value>, StoreFault> {
    let Some(idempotency) = &command.idempotency else { return Ok(None) };
    let written = response::written(database, &command.by.name, idempotency, command.now)?;
    Ok(written.map(|written| serde_json::from_str(&written).unwrap_or_default()))
}

fn write(database: &mut Database, command: &Command) -> Result<(Done, Noted), StoreFault> {
    let Command { declared, now, .. } = command;
    match &command.write {
        Write::Put { kind, name, body, expected } => {
            let (before, after) = object::put(database, (*kind, name), body.clone(), *expected, (declared, *now))?;
            let mut effects = vec![Effect::Put(name.clone(), body.clone())];
            // Those that are left of one of this name which the configuration declared.
            match kind {
                ObjectKind::Consumer if before.is_none() => {
                    effects.extend(credential::effects(database, Some(("consumer", name)))?);
                }
                ObjectKind::App if before.is_none() => {
                    effects.extend(credential::effects(database, Some(("app", name)))?);
                }
                _ => {}
            }
            let noted = Noted {
                action: if before.is_some() { "update" } else { "create" },
                kind: kind.name(),
                name: name.clone(),
                before: before.as_ref().map(|before| before.body.json()),
                after: Some(after.body.json()),
            };
            let written = Written::Object(before.map(Box::new), Some(Box::new(after)));
            Ok((Done { written, effects }, noted))
        }
        Write::Delete { kind, name, expected } => delete(database, command, (*kind, name), *expected),
        Write::Create(new) => {
            let is_declared = |kind: ObjectKind, name: &str| kind.is_declared(declared, name);
            let made = credential::create(database, new, is_declared, *now)?;
            let effects = credential::effects(database, Some(("id", &made.id)))?;
            let noted = of_credential("create", &made.id, None, Some(&made));
            Ok((Done { written: Written::Credential(Box::new(made)), effects }, noted))
        }
        Write::Rotate { id, expected, new, overlap } => rotate(database, command, (id, *expected), new, *overlap),
        Write::End { id, expected, end } => {
            let (before, after) = credential::end(database, id, *expected, end, *now)?;
            let effects = match end {
                End::Revoked => revoked(database, id)?,
                End::At(_) | End::Succeeded { .. } => credential::effects(database, Some(("id", id)))?,
            };
            let action = if *end == End::Revoked { "revoke" } else { "update" };
            let noted = of_credential(action, id, Some(&before), Some(&after));
            Ok((Done { written: Written::Credential(Box::new(after)), effects }, noted))
        }
        Write::CreateToken(new) => {
            let made = token::create(database, new, *now)?;
            let after = Some(json!({ "role": made.role, "expires": made.expires }));
            let noted = Noted { action: "create", kind: "token", name: made.name.clone(), before: None, after };
            Ok((Done { written: Written::Token(made), effects: Vec::new() }, noted))
        }
        Write::DeleteToken(name) => {
            token::delete(database, name)?;
            let noted = Noted { action: "delete", kind: "token", name: name.clone(), before: None, after: None };
            Ok((Done { written: Written::TokenGone, effects: Vec::new() }, noted))
        }
    }
}

fn delete(
    database: &mut Database,
    command: &Command,
    (kind, name): (ObjectKind, &String),
    expected: Expected,
) -> Result<(Done, Noted), StoreFault> {
    let Command { declared, now, .. } = command;
    let before = object::delete(database, (kind, name), expected, declared)?;
    let owner = match kind {
        ObjectKind::Consumer => Some(Owner::Consumer),
        ObjectKind::App => Some(Owner::App),
        ObjectKind::Tenant | ObjectKind::Group | ObjectKind::Plan | ObjectKind::Product => None,
    };
    let mut effects = Vec::new();
    // One of the same name that the file declares has them from now on.
    if let Some(owner) = owner.filter(|_| !kind.is_declared(declared, name)) {
        let (gone, forgotten) = credential::delete_of(database, owner, name)?;
        for credential in &gone {
            let noted = of_credential("delete", &credential.id, Some(credential), None);
            note(database, &command.by, &noted, *now)?;
        }
        effects = forgotten;
    }
    effects.push(Effect::Gone(kind, name.clone()));
    let (kind, name, before_json) = (kind.name(), name.clone(), Some(before.body.json()));
    let noted = Noted { action: "delete", kind, name, before: before_json, after: None };
    Ok((Done { written: Written::Object(Some(Box::new(before)), None), effects }, noted))
}

fn rotate(
    database: &mut Database,
    command: &Command,
    (id, expected): (&str, Expected),
    new: &NewCredential,
    overlap: u64,
) -> Result<(Done, Noted), StoreFault> {
    let Command { declared, now, .. } = command;
    let before = credential::get(database, id)?.ok_or(StoreFault::Missing)?;
    if before.successor.is_some() {
        return Err(StoreFault::Ended("the credential is rotated already"));
    }
    if before.expires.is_some_and(|expires| expires <= *now) {
        return Err(StoreFault::Ended("the credential has expired"));
    }
    let until = now.saturating_add(overlap).min(before.expires.unwrap_or(u64::MAX));
    let end = End::Succeeded { by: new.id.clone(), expires: until };
    credential::end(database, id, expected, &end, *now)?;
    let is_declared = |kind: ObjectKind, name: &str| kind.is_declared(declared, name);
    let made = credential::create(database, new, is_declared, *now)?;
    let mut effects = credential::effects(database, Some(("id", id)))?;
    effects.extend(credential::effects(database, Some(("id", &made.id)))?);
    let noted = of_credential("rotate", id, Some(&before), Some(&made));
    Ok((Done { written: Written::Credential(Box::new(made)), effects }, noted))
}

/// What shards have to forget of a credential that was just revoked.
fn revoked(database: &mut Database, id: &str) -> Result<Vec<Effect>, StoreFault> {
    let mut effects = credential::revoked(database, id)?;
    effects.iter_mut().for_each(Effect::undo);
    Ok(effects)
}

fn of_credential(action: &'static str, id: &str, before: Option<&Credential>, after: Option<&Credential>) -> Noted {
    let shown = |credential: &Credential| {
        json!({
            "id": credential.id, "kind": credential.kind.name(), "consumer": credential.consumer,
            "app": credential.app, "lookup": credential.lookup, "last4": credential.last4,
            "description": credential.description, "revision": credential.revision,
            "created": credential.created, "updated": credential.updated,
            "expires": credential.expires, "revoked": credential.revoked, "successor": credential.successor,
        })
    };
    let (before, after) = (before.map(shown), after.map(shown));
    Noted { action, kind: "credential", name: id.to_owned(), before, after }
}

/// Notes a write that happened elsewhere than in the store, such as a reload.
pub(crate) fn note_other(
    database: &mut Database,
    by: &Actor,
    (action, kind, name): (&str, &str, &str),
    (before, after): (Option<Value>, Option<Value>),
    now: u64,
) -> Result<(), StoreFault> {
    insert(database, by, (action, kind, name), (before, after), now)
}

fn note(database: &mut Database, by: &Actor, noted: &Noted, now: u64) -> Result<(), StoreFault> {
    let texts = (noted.before.clone(), noted.after.clone());
    insert(database, by, (noted.action, noted.kind, &noted.name), texts, now)
}

fn insert(
    database: &mut Database,
    by: &Actor,
    (action, kind, name): (&str, &str, &str),
    (before, after): (Option<Value>, Option<Value>),
    now: u64,
) -> Result<(), StoreFault> {
    let sql = "INSERT INTO audit (at, who, address, action, kind, name, before, after, request) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let text = |value: Option<Value>| value.map(|value| value.to_string());
    let (before, after) = (text(before), text(after));
    let Actor { name: who, address, request } = by;
    let (before, after) = (before.as_deref(), after.as_deref());
    database.execute(sql, values![now, who, address, action, kind, name, before, after, request])?;
    Ok(())
}

/// Rows of the audit before the number `before`, the newest first, at most `limit`.
pub(crate) fn audit(
    database: &mut Database,
    before: Option<u64>,
    limit: usize,
) -> Result<object::Page<AuditRow>, StoreFault> {
    let sql = "SELECT number, at, who, address, action, kind, name, before, after, request FROM audit \
               WHERE number < $1 ORDER BY number DESC LIMIT $2";
    let last = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
    let items = database.query(sql, values![last, limit as i64 + 1], |row| {
        let parsed = |text: Option<&str>| text.and_then(|text| serde_json::from_str(text).ok());
        Ok(AuditRow {
            number: row.get(0)?,
            at: row.get(1)?,
            by: Actor {
                name: row.get(2)?,
                address: row.get(3)?,
                request: row.get::<Option<String>>(9)?.unwrap_or_default(),
            },
            action: row.get(4)?,
            kind: row.get(5)?,
            name: row.get(6)?,
            before: parsed(row.get(7)?),
            after: parsed(row.get(8)?),
        })
    })?;
    Ok(object::Page::of(items, limit, |row| row.number.to_string()))
}
