// SPDX-License-Identifier: Apache-2.0
//! The pages beside the API: for probes, for Prometheus, and texts for people.

use hyper::StatusCode;

use crate::control::admin::audit::Change;
use crate::control::admin::call::Call;
use crate::control::admin::problem::{Problem, Reason};
use crate::control::admin::request::{AdminRequest, Readiness, StopMode};
use crate::control::admin::response::Reply;
use crate::control::admin::router::Need;
use crate::control::admin::state::AdminState;
use crate::control::exposition;
use crate::control::traces::TraceRequest;

/// All routes, a line each.
pub(crate) fn index(state: &AdminState) -> Reply {
    let width = state.routes.iter().map(|route| route.path.len()).max().unwrap_or(0);
    let mut page = "turnpike admin\n".to_owned();
    let mut section = "";
    for route in &state.routes {
        let own = if route.is_api() { "api" } else { "pages" };
        if own != section {
            page.push('\n');
            section = own;
        }
        let need = match route.need {
            Need::Nothing => "",
            Need::Local => " (from this machine, or with a token)",
            Need::Role(role) => &format!(" (role {})", role.word()),
        };
        page.push_str(&format!("{:<6} {:<width$}  {}{need}\n", route.verb.name(), route.path, route.summary));
    }
    Reply::text(StatusCode::OK, page)
}

/// The process lives.
pub(crate) fn health() -> Reply {
    Reply::text(StatusCode::OK, "ok\n")
}

/// Does it serve?
pub(crate) async fn ready(state: &AdminState) -> Result<Reply, Problem> {
    Ok(match state.ask(AdminRequest::Ready).await? {
        Readiness::Ready => Reply::text(StatusCode::OK, "ready\n"),
        Readiness::Degraded(words) => Reply::text(StatusCode::OK, format!("ready\n{words}\n")),
        Readiness::Not(reason) => Reply::text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    })
}

/// The metrics page.
pub(crate) async fn metrics(state: &AdminState) -> Result<Reply, Problem> {
    let page = state.ask(AdminRequest::Metrics).await?;
    Ok(Reply::bytes(StatusCode::OK, exposition::CONTENT_TYPE, page.into()))
}

/// Reloads, and says what came of it as a text.
pub(crate) async fn reload(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let reloaded = state.ask(AdminRequest::Reload).await?;
    state.record(call, Change::of(if reloaded.is_ok() { "reload" } else { "reload refused" }, "reload")).await;
    Ok(match reloaded {
        Ok(words) => Reply::text(StatusCode::OK, words),
        Err(words) => Reply::text(StatusCode::UNPROCESSABLE_ENTITY, words),
    })
}

/// Stops.
pub(crate) async fn stop(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let mode = if call.raw_query == "now" { StopMode::Now } else { StopMode::Drain };
    state.record(call, Change::of("stop", "stop")).await;
    let words = state.ask(|reply| AdminRequest::Stop(mode, reply)).await?;
    Ok(Reply::text(StatusCode::ACCEPTED, words))
}

/// Shows requests as they pass.
pub(crate) async fn trace(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let begun = match TraceRequest::parse(&call.raw_query) {
        Ok(request) => state.ask(|reply| AdminRequest::Trace(request, reply)).await?,
        Err(words) => Err(words),
    };
    if begun.is_ok() {
        state.record(call, Change { after: call.raw_query.as_str().into(), ..Change::of("trace", "traces") }).await;
    }
    begun.map(Reply::trace).map_err(|words| Problem::new(Reason::Refused, words))
}
