// SPDX-License-Identifier: Apache-2.0
//! A store as text: one JSON object a line, for people and for other programs. Keys are shown as the SHA-256 that a
//! configuration takes; passwords' hashes, shared secrets and tokens are not shown.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::control::store::credential::{self, Filter, Kind};
use crate::control::store::database::Database;
use crate::control::store::fault::StoreFault;
use crate::control::store::object::{self, ObjectKind};
use crate::control::store::token;

/// Lines that are read at once.
const PAGE: usize = 1_000;

/// Why an export ended early.
#[derive(Debug)]
pub(crate) enum ExportFault {
    /// The store could not be read.
    Store(StoreFault),
    /// The text could not be written.
    Output(io::Error),
}

impl From<StoreFault> for ExportFault {
    fn from(fault: StoreFault) -> ExportFault {
        ExportFault::Store(fault)
    }
}

impl From<io::Error> for ExportFault {
    fn from(error: io::Error) -> ExportFault {
        ExportFault::Output(error)
    }
}

/// Writes all objects, credentials and tokens.
pub(crate) fn export(database: &mut Database, out: &mut impl Write) -> Result<(), ExportFault> {
    for kind in ObjectKind::ALL {
        let mut after = None;
        loop {
            let page = object::list(database, kind, after.as_deref(), PAGE)?;
            for object in page.items {
                let mut line = json!({ "kind": kind.name(), "name": object.name, "revision": object.revision,
                    "created": object.created, "updated": object.updated });
                merge(&mut line, object.body.json());
                writeln!(out, "{line}")?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    credentials(database, out)?;
    tokens(database, out)
}

fn credentials(database: &mut Database, out: &mut impl Write) -> Result<(), ExportFault> {
    let mut after = None;
    loop {
        let page = credential::list(database, &Filter::default(), after.as_deref(), PAGE)?;
        for held in page.items {
            let mut line = json!({ "kind": "credential", "id": held.id, "of": held.kind.name(),
                "consumer": held.consumer, "app": held.app, "description": held.description,
                "created": held.created, "expires": held.expires, "revoked": held.revoked,
                "successor": held.successor });
            let found_by = match held.kind {
                Kind::Key => json!({ "sha256": credential::hash_text(database, &held.id)?, "last4": held.last4 }),
                Kind::Named(_) => json!({ "lookup": held.lookup }),
            };
            merge(&mut line, found_by);
            writeln!(out, "{line}")?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn tokens(database: &mut Database, out: &mut impl Write) -> Result<(), ExportFault> {
    let mut after = None;
    loop {
        let page = token::list(database, after.as_deref(), PAGE)?;
        for held in page.items {
            let line = json!({ "kind": "token", "name": held.name, "role": held.role, "created": held.created,
                "expires": held.expires });
            writeln!(out, "{line}")?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Adds the members of one object to another.
fn merge(line: &mut Value, more: Value) {
    if let (Value::Object(line), Value::Object(more)) = (line, more) {
        line.extend(more);
    }
}
