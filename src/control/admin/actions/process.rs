// SPDX-License-Identifier: Apache-2.0
//! The process itself: status, reload, stop, log level, listeners, traces.

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::spec::server::{AdminRole, LogLevel};
use crate::control::admin::audit::Change;
use crate::control::admin::body::{decode, encode};
use crate::control::admin::call::Call;
use crate::control::admin::openapi;
use crate::control::admin::problem::{Problem, Reason};
use crate::control::admin::request::{AdminRequest, LevelChange, LevelState, StopMode};
use crate::control::admin::response::List;
use crate::control::admin::response::Reply;
use crate::control::admin::state::AdminState;

/// What the API has.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Index {
    /// The version that runs.
    version: String,
    /// The OpenAPI document.
    openapi: String,
    /// Metrics for Prometheus.
    metrics: String,
    /// The paths of lists and documents.
    resources: Vec<String>,
}

/// Links to everything.
pub(crate) fn index(state: &AdminState) -> Reply {
    let fixed = state.routes.iter().filter(|route| route.is_api() && !route.writes() && route.segments().count() == 0);
    let index = Index {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        openapi: "/api/v1/openapi.json".to_owned(),
        metrics: "/metrics".to_owned(),
        resources: fixed.map(|route| route.path.clone()).collect(),
    };
    Reply::json(StatusCode::OK, &index)
}

/// The OpenAPI document.
pub(crate) fn openapi(state: &AdminState) -> Reply {
    Reply::json(StatusCode::OK, &openapi::document(&state.routes))
}

/// Whose token it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct WhoAmI {
    /// The name of the token; `control socket` or `anonymous`.
    name: String,
    /// What it may do; `null` without a token.
    role: Option<AdminRole>,
}

/// Says who asks.
pub(crate) fn who_am_i(call: &Call) -> Reply {
    let who = call.principal.clone();
    Reply::json(StatusCode::OK, &WhoAmI { name: who.name, role: who.role })
}

/// The status document.
pub(crate) async fn status(state: &AdminState) -> Result<Reply, Problem> {
    Ok(Reply::json(StatusCode::OK, &state.ask(AdminRequest::Status).await?))
}

/// What came of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ReloadDocument {
    /// What was done, in words.
    outcome: String,
}

/// Reloads.
pub(crate) async fn reload(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let reloaded = state.ask(AdminRequest::Reload).await?;
    state.record(call, Change::of(if reloaded.is_ok() { "reload" } else { "reload refused" }, "reload")).await;
    match reloaded {
        Ok(outcome) => Ok(Reply::json(StatusCode::OK, &ReloadDocument { outcome: outcome.trim_end().to_owned() })),
        Err(words) => Err(Problem::new(Reason::Refused, words)),
    }
}

/// How to stop.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopBody {
    /// Whether running requests end first.
    #[serde(default)]
    mode: StopWord,
}

/// Whether running requests end first.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum StopWord {
    /// They do.
    #[default]
    Drain,
    /// They are cut.
    Now,
}

/// Stops.
pub(crate) async fn stop(mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let body: StopBody = decode(call.take_body())?;
    let mode = match body.mode {
        StopWord::Drain => StopMode::Drain,
        StopWord::Now => StopMode::Now,
    };
    state.record(&call, Change::of("stop", "stop")).await;
    let words = state.ask(|reply| AdminRequest::Stop(mode, reply)).await?;
    Ok(Reply::json(StatusCode::ACCEPTED, &ReloadDocument { outcome: words.trim_end().to_owned() }))
}

/// A level of the process log.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogLevelDocument {
    /// The level.
    level: LogLevel,
}

/// The level of the process log, and why it is that.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LogLevelState {
    /// What is logged now.
    level: LogLevel,
    /// What the configuration says.
    configured: LogLevel,
    /// What was chosen over it; `null` where nothing was.
    chosen: Option<LogLevel>,
}

impl From<LevelState> for LogLevelState {
    fn from(LevelState { configured, chosen }: LevelState) -> LogLevelState {
        LogLevelState { level: chosen.unwrap_or(configured), configured, chosen }
    }
}

/// Shows the level.
pub(crate) async fn show_log_level(state: &AdminState) -> Result<Reply, Problem> {
    Ok(Reply::json(StatusCode::OK, &level(LevelChange::Keep, state).await?))
}

/// Chooses a level.
pub(crate) async fn choose_log_level(mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let body: LogLevelDocument = decode(call.take_body())?;
    change_level("choose", LevelChange::Choose(body.level), &call, state).await
}

/// Goes back to the configuration's level.
pub(crate) async fn reset_log_level(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    change_level("reset", LevelChange::Configured, call, state).await
}

async fn change_level(
    action: &'static str,
    change: LevelChange,
    call: &Call,
    state: &AdminState,
) -> Result<Reply, Problem> {
    let before = level(LevelChange::Keep, state).await?;
    let after = level(change, state).await?;
    let (before, shown) = (encode(&before.level), encode(&after.level));
    state.record(call, Change { before, after: shown, ..Change::of(action, "log-level") }).await;
    Ok(Reply::json(StatusCode::OK, &after))
}

async fn level(change: LevelChange, state: &AdminState) -> Result<LogLevelState, Problem> {
    Ok(state.ask(|reply| AdminRequest::LogLevel(change, reply)).await?.into())
}

/// Listeners.
pub(crate) async fn listeners(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let part = call.query.part()?;
    let mut listeners = state.ask(AdminRequest::Status).await?.listeners;
    listeners.sort_by(|one, other| one.name.cmp(&other.name));
    let (items, next) = part.of(listeners.into_iter(), |listener| listener.name.clone());
    Ok(Reply::json(StatusCode::OK, &List { items, next }))
}

/// Traces that run.
pub(crate) async fn traces(state: &AdminState) -> Result<Reply, Problem> {
    let items = state.ask(AdminRequest::Traces).await?;
    Ok(Reply::json(StatusCode::OK, &json!({ "items": items, "next": null })))
}
