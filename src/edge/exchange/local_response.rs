// SPDX-License-Identifier: Apache-2.0
//! Responses that the gateway makes itself: faults, refusals of policies, fixed ones.

use crate::base::{Fault, FaultKind};
use crate::config::plan::FixedAnswer;
use crate::edge::adapt::grpc::Caller;
use crate::edge::exchange::context::{Context, Exchange, Filtered};
use crate::edge::exchange::vars::Vars;
use crate::edge::exchange::{call_reply, response};
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::shard::attributes::Attributes;
use crate::link::{Counter, RouteCounter};
use crate::net::Net;
use crate::policy::{LocalBody, LocalResponse};
use crate::route::{BodyView, RouteMatch, RouteQuery};
use crate::wire::problem;

/// Closes the connection without an answer, as nginx does.
pub(crate) const CLOSE_WITHOUT_ANSWER: u16 = 444;

/// The type of a page for a person.
const HTML: &[u8] = b"text/html; charset=utf-8";

/// Sends a problem document (RFC 9457) for a fault, or a gRPC status to a gRPC caller. A fault in reading the request
/// also closes the connection.
pub(crate) async fn fault<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    fault: Fault,
) -> Result<(), Fault> {
    exchange.state.record.fail(fault);
    if fault.kind == FaultKind::ClientClosed {
        exchange.state.record.status = fault.kind.status();
        exchange.state.record.aborted = true;
        return Ok(());
    }
    let unread = exchange.state.body.is_begun() && !exchange.source.done();
    if unread || ends_connection(fault.kind) {
        exchange.client.close_after();
    }
    // Header changes that policies made for a success are dropped on a failure, except those of CORS and limits.
    if fault.kind.status() == 503 {
        exchange.state.effects.to_client.add(b"Retry-After", b"1");
    }
    if let Some(caller) = exchange.state.attributes.caller {
        return call_reply::fail_call(exchange, caller, fault.kind).await;
    }
    response::send(exchange, fault.kind.status(), Some(problem::CONTENT_TYPE), problem::body(fault.kind).as_bytes())
        .await
}

/// After these faults the next bytes on the connection may not be the start of a request.
fn ends_connection(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::BadRequest
            | FaultKind::RequestTimeout
            | FaultKind::ClientTooSlow
            | FaultKind::BodyTooLarge
            | FaultKind::TargetTooLong
            | FaultKind::HeadTooLarge
            | FaultKind::NotImplemented
            | FaultKind::VersionNotSupported
            | FaultKind::ExpectationFailed
            | FaultKind::Internal
    )
}

/// Sends the response that a policy made.
pub(crate) async fn refuse<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    local: LocalResponse<'_>,
) -> Result<Filtered, Fault> {
    exchange.state.record.refused = Some(local.reason);
    let counters = &exchange.context.bound.counters;
    match (local.status, exchange.state.attributes.route) {
        (..400, _) => {}
        (429, Some(route)) => counters.add_route(route.0, RouteCounter::Limited, 1),
        (_, Some(route)) => counters.add_route(route.0, RouteCounter::Denied, 1),
        (429, None) => counters.add(Counter::Limited, 1),
        (_, None) => counters.add(Counter::Denied, 1),
    }
    if exchange.state.attributes.route.is_none() && local.status >= 400 {
        note_json(exchange.context, &mut exchange.state.attributes);
    }
    if let Some(caller) = exchange.state.attributes.caller
        && local.status >= 400
    {
        let words = match local.body {
            LocalBody::Problem(problem) | LocalBody::Page(problem) if problem.detail.is_empty() => problem.title,
            LocalBody::Problem(problem) | LocalBody::Page(problem) => problem.detail,
            LocalBody::Empty | LocalBody::Kept => "",
        };
        call_reply::refuse_call(exchange, caller, local.status, words).await?;
        return Ok(Filtered::Responded);
    }
    match local.body {
        LocalBody::Empty => response::send(exchange, local.status, None, b"").await?,
        LocalBody::Kept => {
            let body = std::mem::take(&mut exchange.state.effects.subrequest.kept);
            response::send(exchange, local.status, None, &body).await?;
        }
        LocalBody::Problem(problem) | LocalBody::Page(problem) => {
            let mut body = std::mem::take(&mut exchange.state.value);
            body.clear();
            let content_type = match local.body {
                LocalBody::Page(_) => {
                    problem.append_page(&mut body);
                    HTML
                }
                LocalBody::Problem(_) | LocalBody::Empty | LocalBody::Kept => {
                    problem.append_json(local.status, local.reason, &mut body);
                    problem::CONTENT_TYPE
                }
            };
            let sent = response::send(exchange, local.status, Some(content_type), &body).await;
            exchange.state.value = body;
            sent?;
        }
    }
    Ok(Filtered::Responded)
}

/// A listener's policy refuses the request before it has a route: notes that the client reads errors as
/// `google.rpc.Status`, where the request is for a route that transcodes JSON. The policies of that route refuse in
/// the same form.
fn note_json<N: Net>(context: Context<'_, N>, attributes: &mut Attributes) {
    let Context { bound, listener, request, peer, .. } = context;
    // A request for the server itself (`*`) has no path and takes no route.
    if attributes.caller.is_some() || attributes.path.is_empty() || !bound.transcoders.are_any() {
        return;
    }
    let Attributes { host, path, params, client, .. } = attributes;
    let source = client.address.unwrap_or(peer.ip);
    let found = bound.table(listener).find(&RouteQuery { request, host, path, source, body: BodyView::Unread }, params);
    if let RouteMatch::Route(id) = found
        && bound.plan.route(id).takes_json()
    {
        attributes.caller = Some(Caller::Json);
    }
}

/// Sends a route's fixed response.
pub(crate) async fn fixed<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    answer: &FixedAnswer,
) -> Result<(), Fault> {
    if answer.status == CLOSE_WITHOUT_ANSWER {
        exchange.state.record.status = CLOSE_WITHOUT_ANSWER;
        exchange.state.record.aborted = true;
        return Ok(());
    }
    let mut body = std::mem::take(&mut exchange.state.value);
    body.clear();
    answer.body.render(&Vars::new(exchange.context, &exchange.state.attributes, &exchange.state.record), &mut body);
    let content_type = answer.content_type.as_deref().map(str::as_bytes);
    let sent = match exchange.state.attributes.caller {
        Some(caller) if answer.status >= 400 => {
            call_reply::refuse_call(exchange, caller, answer.status, &String::from_utf8_lossy(&body)).await
        }
        Some(_) | None => response::send(exchange, answer.status, content_type, &body).await,
    };
    exchange.state.value = body;
    sent
}
