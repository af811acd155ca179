// SPDX-License-Identifier: Apache-2.0
//! Keys of rate limits: where one stands, and its whole limit again.

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control::admin::audit::Change;
use crate::control::admin::body::decode;
use crate::control::admin::call::Call;
use crate::control::admin::problem::{BodyFault, Problem, Reason};
use crate::control::admin::request::{AdminRequest, LimitKeyDo, LimitKeyFault, LimitKeyRequest, LimitKeyState};
use crate::control::admin::response::Reply;
use crate::control::admin::state::AdminState;

/// Whose limit is reset.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetBody {
    /// A value for each part of the limit's key: `["acme"]` of `key = "consumer"`. Empty where nothing is counted
    /// apart.
    key: Vec<String>,
    /// The route, where each route counts for itself.
    route: Option<String>,
}

/// Where a key stands.
pub(crate) async fn show(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let key = match call.query.value("key") {
        None => Vec::new(),
        // A list as JSON, or the only value as it is.
        Some(list) if list.starts_with('[') => serde_json::from_str(list)
            .map_err(|_| Problem::parameter("key", "`key` is a value, or a JSON list of texts".to_owned()))?,
        Some(value) => vec![value.to_owned()],
    };
    let route = call.query.value("route").map(str::to_owned);
    let found = ask(call, state, (key, route), LimitKeyDo::Show).await?;
    found.map(|found| Reply::json(StatusCode::OK, &found)).map_err(|fault| match fault {
        LimitKeyFault::NoKey(words) => Problem::parameter("key", words),
        LimitKeyFault::NoLimit | LimitKeyFault::Away => other(call, &fault),
    })
}

/// Gives a key its whole limit again.
pub(crate) async fn reset(mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let ResetBody { key, route } = decode(call.take_body())?;
    let shown = json!({ "key": key, "route": route });
    let found = ask(&call, state, (key, route), LimitKeyDo::Reset).await?;
    let found = found.map_err(|fault| match fault {
        LimitKeyFault::NoKey(words) => Problem::invalid(Reason::Invalid, vec![BodyFault::at("/key", words)]),
        LimitKeyFault::NoLimit | LimitKeyFault::Away => other(&call, &fault),
    })?;
    let object = format!("limits/{}", call.segment(0));
    state.record(&call, Change { action: "reset", object, before: Value::Null, after: shown }).await;
    Ok(Reply::json(StatusCode::OK, &found))
}

async fn ask(
    call: &Call,
    state: &AdminState,
    (key, route): (Vec<String>, Option<String>),
    what: LimitKeyDo,
) -> Result<Result<LimitKeyState, LimitKeyFault>, Problem> {
    let request = LimitKeyRequest { limit: call.segment(0).to_owned(), key, route, what };
    state.ask(|reply| AdminRequest::LimitKey(request, reply)).await
}

fn other(call: &Call, fault: &LimitKeyFault) -> Problem {
    match fault {
        LimitKeyFault::Away => Problem::new(Reason::StoreFailed, "where the limit is counted does not answer now"),
        LimitKeyFault::NoLimit | LimitKeyFault::NoKey(_) => {
            Problem::new(Reason::NotFound, format!("there is no rate limit `{}`", call.segment(0)))
        }
    }
}
