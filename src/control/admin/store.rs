// SPDX-License-Identifier: Apache-2.0
//! What the admin API and the store have to do with each other: reads, writes, and what a fault of the store is to a
//! client.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::config::directory::Declared;
use crate::control::admin::audit::Change;
use crate::control::admin::call::Call;
use crate::control::admin::job::{ReadJob, WriteOrder};
use crate::control::admin::problem::{BodyFault, Problem, Reason};
use crate::control::admin::request::AdminRequest;
use crate::control::admin::state::AdminState;
use crate::control::directory::WriteOutcome;
use crate::control::store::command::{Actor, Write, note_other};
use crate::control::store::database::Database;
use crate::control::store::fault::StoreFault;
use crate::net::machine;

/// Longest wait for a row of the audit to be on disk.
const NOTE_WAIT: Duration = Duration::from_secs(1);

impl AdminState {
    /// Writes a row of the audit about something that does not stand in the store.
    pub(crate) async fn record(&self, call: &Call, change: Change) {
        let Change { action, object, before, after } = &change;
        let (by, request_id) = (&call.principal.name, &call.request_id);
        tracing::info!(by, action, object, request_id, %before, %after, "audit");
        let (by, noted, now) = (actor(call), change.clone(), machine::wall());
        let stored = self.read(move |connection, _| {
            let Some(connection) = connection else { return Ok(false) };
            let (kind, name) = noted.object.split_once('/').unwrap_or((&noted.object, ""));
            let states = (Some(noted.before).filter(|state| !state.is_null()), Some(noted.after));
            note_other(connection, &by, (noted.action, kind, name), states, now.seconds())?;
            Ok(true)
        });
        // What the store cannot take now is kept as if there were none; the log has it in any case. A stop must not
        // wait for a disk that hangs.
        if !matches!(tokio::time::timeout(NOTE_WAIT, stored).await, Ok(Ok(true))) {
            self.audit.borrow_mut().write(call, change, now);
        }
    }

    /// Writes, for whoever asks.
    pub(crate) async fn write(&self, call: &Call, write: Write) -> Result<WriteOutcome, Problem> {
        let said = said(&write);
        let order = WriteOrder { write, by: actor(call), idempotency: call.idempotency.clone() };
        let outcome = self.ask(|reply| AdminRequest::Write(Box::new(order), reply)).await?;
        outcome.map_err(|fault| match &fault {
            StoreFault::NoReference { name, .. } => {
                let place = pointer_to(name, &said, String::new()).unwrap_or_default();
                Problem::invalid(Reason::NoSuchReference, vec![BodyFault::at(place, fault.to_string())])
            }
            _ => problem(&fault),
        })
    }

    /// Reads, on the store's thread. Without a store there is no connection, and what the configuration declares is all
    /// that there is.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(Option<&mut Database>, &Declared) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let job = ReadJob(Box::new(move |connection, declared| {
            let outcome = read(connection, declared);
            let failed = outcome.as_ref().map(|_| ()).map_err(StoreFault::clone);
            // Whoever asked may have gone.
            let _ = reply.send(outcome);
            failed
        }));
        self.asks.send(AdminRequest::Read(job)).await.map_err(|_| Problem::no_answer())?;
        match answer.await {
            Ok(outcome) => outcome.map_err(|fault| problem(&fault)),
            // The job was dropped.
            Err(_) => {
                Err(Problem::new(Reason::StoreFailed, "the store cannot be read now, or too much waits for its disk"))
            }
        }
    }
}

/// What a write says, as it was sent, for whoever looks for a name in it.
fn said(write: &Write) -> Value {
    match write {
        Write::Put { body, .. } => body.json(),
        Write::Create(new) => json!({ "consumer": new.consumer, "app": new.app }),
        Write::Delete { .. }
        | Write::Rotate { .. }
        | Write::End { .. }
        | Write::CreateToken(_)
        | Write::DeleteToken(_) => Value::Null,
    }
}

/// Where a name stands, as a value or as a member's name that is one.
fn pointer_to(name: &str, within: &Value, at: String) -> Option<String> {
    let below = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match within {
        Value::String(text) => (text == name).then_some(at),
        Value::Array(list) => {
            list.iter().enumerate().find_map(|(place, value)| pointer_to(name, value, below(&place.to_string())))
        }
        Value::Object(members) => members
            .iter()
            .find_map(|(key, value)| pointer_to(name, value, below(key)).or_else(|| (key == name).then(|| below(key)))),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Who asks, as the audit names it.
pub(crate) fn actor(call: &Call) -> Actor {
    let address = call.from.map_or_else(String::new, |from| from.to_string());
    Actor { name: call.principal.name.clone(), address, request: call.request_id.clone() }
}

/// What a fault is to a client. What is wrong with the file is for the log alone.
pub(crate) fn problem(fault: &StoreFault) -> Problem {
    let reason = match fault {
        StoreFault::None => Reason::NoStore,
        StoreFault::Newer { .. } | StoreFault::Foreign | StoreFault::Damaged(_) | StoreFault::Unavailable(_) => {
            tracing::error!(%fault, "admin: the store failed");
            return Problem::new(Reason::StoreFailed, "the store cannot be read or written now");
        }
        StoreFault::Busy => Reason::StoreFailed,
        StoreFault::Missing => Reason::NotFound,
        StoreFault::Exists => Reason::AlreadyExists,
        StoreFault::Changed { .. } => Reason::Stale,
        StoreFault::InUse(_) => Reason::InUse,
        StoreFault::NoReference { .. } => Reason::NoSuchReference,
        StoreFault::Ended(_) => Reason::Ended,
        StoreFault::Declared => Reason::FromFile,
        StoreFault::Invalid(words) => {
            return Problem::invalid(Reason::Invalid, vec![BodyFault::at("", words.clone())]);
        }
        StoreFault::KeyReused => Reason::KeyReused,
    };
    Problem::new(reason, fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_where_it_stands() {
        let body = json!({ "id": "x", "plan": "gold", "groups": ["a", "b/c"], "plans": { "ma/ps": "silver" } });
        for (name, place) in [
            ("gold", Some("/plan")),
            ("b/c", Some("/groups/1")),
            ("silver", Some("/plans/ma~1ps")),
            ("ma/ps", Some("/plans/ma~1ps")),
            ("none", None),
        ] {
            assert_eq!(pointer_to(name, &body, String::new()).as_deref(), place, "{name}");
        }
    }
}
