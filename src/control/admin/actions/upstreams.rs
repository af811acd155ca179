// SPDX-License-Identifier: Apache-2.0
//! Upstreams and the shares of their endpoints; rate limits.

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::control::admin::audit::Change;
use crate::control::admin::body::decode;
use crate::control::admin::call::Call;
use crate::control::admin::problem::{Problem, Reason};
use crate::control::admin::request::{AdminRequest, EndpointChange};
use crate::control::admin::response::List;
use crate::control::admin::response::Reply;
use crate::control::admin::state::AdminState;
use crate::control::overrides::{Override, OverrideFault};
use crate::control::status::{EndpointStatus, UpstreamStatus};

/// The share of an endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightBody {
    /// The share beside the others of its upstream; zero drains it.
    weight: u16,
}

/// All upstreams.
pub(crate) async fn list(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let part = call.query.part()?;
    let mut upstreams = state.ask(AdminRequest::Status).await?.upstreams;
    upstreams.sort_by(|one, other| one.name.cmp(&other.name));
    let (items, next) = part.of(upstreams.into_iter(), |upstream| upstream.name.clone());
    Ok(Reply::json(StatusCode::OK, &List { items, next }))
}

/// One upstream.
pub(crate) async fn show(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    Ok(Reply::json(StatusCode::OK, &upstream(call, state).await?))
}

/// One endpoint.
pub(crate) async fn endpoint(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    Ok(Reply::json(StatusCode::OK, &endpoint_of(call, state).await?))
}

/// Sends an endpoint no new requests.
pub(crate) async fn drain(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    change(call, state, Some(Override::Drain)).await
}

/// Gives an endpoint its configured share again.
pub(crate) async fn undrain(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    change(call, state, None).await
}

/// Gives an endpoint another share.
pub(crate) async fn weight(mut call: Call, state: &AdminState) -> Result<Reply, Problem> {
    let WeightBody { weight } = decode(call.take_body())?;
    let to = if weight == 0 { Override::Drain } else { Override::Weight(weight) };
    change(&call, state, Some(to)).await
}

async fn change(call: &Call, state: &AdminState, to: Option<Override>) -> Result<Reply, Problem> {
    let before = endpoint_of(call, state).await?;
    let change = EndpointChange { upstream: call.segment(0).to_owned(), endpoint: call.segment(1).to_owned(), to };
    match state.ask(|reply| AdminRequest::Endpoint(change, reply)).await? {
        Ok(()) => {}
        Err(OverrideFault::NoUpstream) => return Err(no_upstream(call)),
        Err(OverrideFault::NoEndpoint) => return Err(no_endpoint(call)),
        Err(OverrideFault::Full) => {
            return Err(Problem::new(Reason::Full, "too many endpoints have shares of their own"));
        }
    }
    let after = endpoint_of(call, state).await?;
    let action = match to {
        Some(Override::Drain) => "drain",
        Some(Override::Weight(_)) => "weight",
        None => "undrain",
    };
    let object = format!("upstreams/{}/endpoints/{}", call.segment(0), call.segment(1));
    let (before, weight) = (before.weight.into(), after.weight.into());
    state.record(call, Change { action, object, before, after: weight }).await;
    Ok(Reply::json(StatusCode::OK, &after))
}

async fn upstream(call: &Call, state: &AdminState) -> Result<UpstreamStatus, Problem> {
    let upstreams = state.ask(AdminRequest::Status).await?.upstreams;
    upstreams.into_iter().find(|upstream| upstream.name == call.segment(0)).ok_or_else(|| no_upstream(call))
}

async fn endpoint_of(call: &Call, state: &AdminState) -> Result<EndpointStatus, Problem> {
    let endpoints = upstream(call, state).await?.endpoints;
    endpoints.into_iter().find(|endpoint| endpoint.address == call.segment(1)).ok_or_else(|| no_endpoint(call))
}

fn no_upstream(call: &Call) -> Problem {
    Problem::new(Reason::NotFound, format!("there is no upstream `{}`", call.segment(0)))
}

fn no_endpoint(call: &Call) -> Problem {
    let [upstream, endpoint] = [call.segment(0), call.segment(1)];
    Problem::new(Reason::NotFound, format!("the upstream `{upstream}` has no endpoint `{endpoint}`"))
}

/// All limits.
pub(crate) async fn limits(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let part = call.query.part()?;
    let mut limits = state.ask(AdminRequest::Status).await?.limits;
    limits.sort_by(|one, other| one.name.cmp(&other.name));
    let (items, next) = part.of(limits.into_iter(), |limit| limit.name.clone());
    Ok(Reply::json(StatusCode::OK, &List { items, next }))
}

/// One limit.
pub(crate) async fn limit(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let limits = state.ask(AdminRequest::Status).await?.limits;
    let limit = limits.into_iter().find(|limit| limit.name == call.segment(0));
    let limit = limit.ok_or_else(|| Problem::new(Reason::NotFound, format!("there is no limit `{}`", call.segment(0))));
    Ok(Reply::json(StatusCode::OK, &limit?))
}
