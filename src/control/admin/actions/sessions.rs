// SPDX-License-Identifier: Apache-2.0
//! Sessions of browsers. They lie in the browsers; what is listed is what the store has noted of them, and ending one
//! needs no store.

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::control::admin::audit::Change;
use crate::control::admin::body::{decode, moment};
use crate::control::admin::call::Call;
use crate::control::admin::problem::{BodyFault, Problem, Reason};
use crate::control::admin::query::Part;
use crate::control::admin::request::{AdminRequest, EndSessions};
use crate::control::admin::response::{List, Reply};
use crate::control::admin::state::AdminState;
use crate::control::store::session::{self, Filter, SessionRow};
use crate::net::machine;

/// A session as it is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct SessionDocument {
    /// What it is known by.
    id: String,
    /// The policy that signed the person in.
    policy: String,
    /// The issuer.
    issuer: String,
    /// Whom the issuer means.
    subject: String,
    /// A name or an address of the person, where the issuer says one.
    label: String,
    /// When it began.
    begun: Value,
    /// When it was renewed last.
    renewed: Value,
    /// When it ends unless it is renewed.
    ends: Value,
}

/// Whose sessions are to end: exactly one of `subject` and `sid`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndSessionsBody {
    /// All sessions of this subject.
    #[serde(default)]
    subject: Option<String>,
    /// All sessions that belong to this session of the issuer.
    #[serde(default)]
    sid: Option<String>,
    /// Only those of this policy.
    #[serde(default)]
    policy: Option<String>,
}

/// What was ended.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct EndedDocument {
    /// The policies whose sessions of that person have ended.
    policies: usize,
}

impl SessionDocument {
    fn of(row: SessionRow) -> SessionDocument {
        let SessionRow { id, policy, issuer, subject, label, begun, renewed, ends, marks: _ } = row;
        let [begun, renewed, ends] = [begun, renewed, ends].map(|seconds| moment(Some(seconds)));
        SessionDocument { id, policy, issuer, subject, label, begun, renewed, ends }
    }
}

/// Sessions that the store knows.
pub(crate) async fn list(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let Part { limit, after } = call.query.part()?;
    let text = |name: &str| call.query.value(name).map(str::to_owned);
    let (filter, now) = (Filter { subject: text("subject"), policy: text("policy") }, machine::wall().seconds());
    let page = state.read(move |database, _| match database {
        Some(database) => session::list(database, &filter, (after.as_deref(), limit), now).map(Some),
        None => Ok(None),
    });
    let page = page.await?;
    let (items, next) = page.map_or((Vec::new(), None), |page| (page.items, page.next));
    let items: Vec<SessionDocument> = items.into_iter().map(SessionDocument::of).collect();
    Ok(Reply::json(StatusCode::OK, &List { items, next: next.map(|next| Part::cursor(&next)) }))
}

/// Ends one. It may be one that the store does not know.
pub(crate) async fn end(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let id = call.segment(0).to_owned();
    let change = Change { after: json!({"ended": true}), ..Change::of("revoke", format!("session/{id}")) };
    let ended = state.ask(|reply| AdminRequest::EndSessions(EndSessions::Session(id), reply)).await?;
    if ended == 0 {
        return Err(none());
    }
    state.record(call, change).await;
    Ok(Reply::nothing())
}

/// Ends all of somebody.
pub(crate) async fn end_all(mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let body: EndSessionsBody = decode(call.take_body())?;
    let (order, named) = match (body.subject, body.sid) {
        (Some(subject), None) if !subject.is_empty() => {
            (EndSessions::Subject(subject.clone(), body.policy), json!({"subject": subject}))
        }
        (None, Some(sid)) if !sid.is_empty() => (EndSessions::Sid(sid.clone(), body.policy), json!({"sid": sid})),
        _ => {
            let detail = "says whose sessions end, by exactly one of `subject` and `sid`";
            return Err(Problem::invalid(Reason::Invalid, vec![BodyFault::at("", detail)]));
        }
    };
    let policies = state.ask(|reply| AdminRequest::EndSessions(order, reply)).await?;
    if policies == 0 {
        return Err(none());
    }
    state.record(&call, Change { after: named, ..Change::of("revoke", "sessions") }).await;
    Ok(Reply::json(StatusCode::OK, &EndedDocument { policies }))
}

fn none() -> Problem {
    Problem::new(Reason::NotFound, "no policy of that name has people sign in")
}
