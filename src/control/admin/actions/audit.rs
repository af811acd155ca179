// SPDX-License-Identifier: Apache-2.0
//! The audit as a list, the newest first: that of the store, where there is one, else that of this process.

use hyper::StatusCode;

use crate::control::admin::audit::AuditRow;
use crate::control::admin::body::moment;
use crate::control::admin::call::Call;
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Part;
use crate::control::admin::response::List;
use crate::control::admin::response::Reply;
use crate::control::admin::state::AdminState;
use crate::control::store::command;
use crate::control::store::object::ObjectKind;

/// Rows that are read from the store at a time while a list is filtered.
const READ_COUNT: usize = 500;

/// Which rows are wanted.
#[derive(Clone, Debug)]
struct Wanted {
    object: Option<String>,
    by: Option<String>,
}

impl Wanted {
    fn takes(&self, row: &AuditRow) -> bool {
        self.object.as_ref().is_none_or(|object| row.object == *object)
            && self.by.as_ref().is_none_or(|by| row.by == *by)
    }
}

/// Rows, the newest first.
pub(crate) async fn list(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let part = call.query.part()?;
    let text = |name: &str| call.query.value(name).map(str::to_owned);
    let wanted = Wanted { object: text("object"), by: text("by") };
    // Keys are the numbers of rows.
    let after = part.after.as_deref().map(str::parse::<u64>).transpose();
    let after = after.map_err(|_| Problem::parameter("cursor", "`cursor` is not one that a list gave"))?;
    let (limit, filter) = (part.limit, wanted.clone());
    let stored = state.read(move |connection, _| {
        let Some(connection) = connection else { return Ok(None) };
        let (mut rows, mut before) = (Vec::new(), Some(after));
        while let Some(below) = before
            && rows.len() <= limit
        {
            let page = command::audit(connection, below, READ_COUNT)?;
            rows.extend(page.items.into_iter().map(of_store).filter(|row| filter.takes(row)));
            before = page.next.and_then(|next| next.parse().ok()).map(Some);
        }
        Ok(Some(rows))
    });
    let rows = match stored.await? {
        Some(rows) => rows,
        None => {
            let audit = state.audit.borrow();
            let below = audit.rows().rev().filter(|row| after.is_none_or(|after| row.id < after));
            below.filter(|row| wanted.takes(row)).take(limit + 1).cloned().collect()
        }
    };
    let more = rows.len() > limit;
    let items: Vec<AuditRow> = rows.into_iter().take(limit).collect();
    let next = items.last().filter(|_| more).map(|last| Part::cursor(&last.id.to_string()));
    Ok(Reply::json(StatusCode::OK, &List { items, next }))
}

fn of_store(row: command::AuditRow) -> AuditRow {
    let kind = ObjectKind::ALL.into_iter().find(|kind| kind.name() == row.kind).map(ObjectKind::plural);
    let kind = kind.unwrap_or(match row.kind.as_str() {
        "credential" => "credentials",
        "token" => "admin-tokens",
        other => other,
    });
    let object = if row.name.is_empty() { kind.to_owned() } else { format!("{kind}/{}", row.name) };
    AuditRow {
        id: row.number,
        at: moment(Some(row.at)).as_str().unwrap_or_default().to_owned(),
        by: row.by.name,
        from: Some(row.by.address).filter(|address| !address.is_empty()),
        request_id: Some(row.by.request).filter(|id| !id.is_empty()),
        action: row.action,
        object,
        before: row.before.unwrap_or_default(),
        after: row.after.unwrap_or_default(),
    }
}
