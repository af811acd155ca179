// SPDX-License-Identifier: Apache-2.0
//! The audit: who changed what over the admin server, when, and what it was before and after.
//!
//! Rows stand in the store, where there is one; one of an object is written with it, in one transaction. Without a
//! store the last rows are kept in memory and end with the process. What is changed outside of the store is a line of
//! the process log as well, at the level `info`.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::base::Wall;
use crate::control::admin::body::moment;
use crate::control::admin::call::Call;

/// Rows that are kept; above it the oldest goes.
const ROWS_MAX: usize = 10_000;
/// Larger states of objects are not kept with a row: one takes no more memory than this.
const STATE_BYTES_MAX: usize = 4 * 1024;

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct AuditRow {
    /// Counts up.
    pub id: u64,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// The name of the token; `control socket` where none is needed.
    pub by: String,
    /// Where the request came from; `null` on a Unix socket.
    pub from: Option<String>,
    /// The `X-Request-Id` of its response; `null` in rows of older versions.
    pub request_id: Option<String>,
    /// What was done.
    pub action: String,
    /// The path of what was changed, behind `/api/v1/`.
    pub object: String,
    /// Its state before, where it has one.
    pub before: Value,
    /// Its state after, where it has one.
    pub after: Value,
}

/// What was changed.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// What was done.
    pub action: &'static str,
    /// The path of what was changed, behind `/api/v1/`.
    pub object: String,
    /// Its state before.
    pub before: Value,
    /// Its state after.
    pub after: Value,
}

impl Change {
    /// Something that has no state to show.
    pub(crate) fn of(action: &'static str, object: impl Into<String>) -> Change {
        Change { action, object: object.into(), before: Value::Null, after: Value::Null }
    }
}

/// All rows that are kept.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    rows: VecDeque<AuditRow>,
    written: u64,
}

impl Audit {
    /// Keeps a row.
    pub(crate) fn write(&mut self, call: &Call, change: Change, now: Wall) {
        let Change { action, object, before, after } = change;
        let by = &call.principal.name;
        self.written += 1;
        self.rows.push_back(AuditRow {
            id: self.written,
            at: moment(Some(now.seconds())).as_str().unwrap_or_default().to_owned(),
            by: by.clone(),
            from: call.from.map(|from| from.to_string()),
            request_id: Some(call.request_id.clone()),
            action: action.to_owned(),
            object,
            before: bounded(before),
            after: bounded(after),
        });
        if self.rows.len() > ROWS_MAX {
            self.rows.pop_front();
        }
    }

    /// The rows, the oldest first.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &AuditRow> {
        self.rows.iter()
    }
}

/// The state, or that it is too large to be kept.
fn bounded(state: Value) -> Value {
    match state.to_string().len() {
        length if length > STATE_BYTES_MAX => Value::String(format!("{length} bytes of JSON, not kept")),
        _ => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::server::AdminRole;
    use crate::control::admin::precondition::Precondition;
    use crate::control::admin::principal::Principal;
    use crate::control::admin::query::Query;

    fn call() -> Call {
        let principal = Principal { name: "ann".into(), role: Some(AdminRole::Operator), local: false };
        let from = Some([10, 0, 0, 1].into());
        let (segments, query, raw_query) = (Vec::new(), Query::default(), String::new());
        let (request_id, precondition) = ("0011".into(), Precondition::default());
        Call {
            request_id,
            principal,
            precondition,
            idempotency: None,
            from,
            segments,
            query,
            raw_query,
            accept: String::new(),
            body: None,
        }
    }

    #[test]
    fn rows_say_who_and_what_and_the_oldest_go() {
        let mut audit = Audit::default();
        for number in 0..ROWS_MAX as u64 + 5 {
            let change = Change { after: number.into(), ..Change::of("weight", "upstreams/pool") };
            audit.write(&call(), change, Wall(0));
        }
        let (first, last) = (audit.rows().next().expect("one"), audit.rows().next_back().expect("one"));
        assert_eq!((audit.rows().count(), first.id, last.id), (ROWS_MAX, 6, ROWS_MAX as u64 + 5));
        assert_eq!((last.by.as_str(), last.from.as_deref()), ("ann", Some("10.0.0.1")));
        assert_eq!(last.request_id.as_deref(), Some("0011"));
        assert_eq!((last.at.as_str(), &last.after), ("1970-01-01T00:00:00Z", &Value::from(ROWS_MAX + 4)));
    }

    #[test]
    fn a_large_state_is_not_kept() {
        let mut audit = Audit::default();
        let after = Value::from("x".repeat(STATE_BYTES_MAX));
        audit.write(&call(), Change { after, ..Change::of("put", "plans/large") }, Wall(0));
        let row = audit.rows().next().expect("one");
        assert_eq!((&row.before, &row.after), (&Value::Null, &Value::from("4098 bytes of JSON, not kept")));
    }
}
