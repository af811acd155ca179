// SPDX-License-Identifier: Apache-2.0
//! Responses that the gateway makes itself: faults, refusals of policies, fixed ones.

use crate::base::{Fault, FaultKind};
use crate::config::plan::FixedAnswer;
use crate::edge::exchange::context::{Exchange, Filtered};
use crate::edge::exchange::vars::Vars;
use crate::edge::exchange::{call_reply, response};
use crate::edge::flow::stream::{Client, Source};
use crate::link::{Counter, RouteCounter};
use crate::net::Net;
use crate::policy::{LocalBody, LocalResponse, Problem};
use crate::wire::problem;

/// Closes the connection without an answer, as nginx does.
pub(crate) const CLOSE_WITHOUT_ANSWER: u16 = 444;

/// Sends a problem document (RFC 9457) for a fault; to a caller of gRPC, what that understands. Faults of the
/// connection's reading end also close it.
pub(crate) async fn fault<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    fault: Fault,
) -> Result<(), Fault> {
    exchange.work.record.fault = Some(fault.kind);
    if fault.kind == FaultKind::ClientClosed {
        exchange.work.record.status = fault.kind.status();
        exchange.work.record.aborted = true;
        return Ok(());
    }
    let unread = exchange.work.body_begun && !exchange.source.done();
    if unread || ends_connection(fault.kind) {
        exchange.client.close_after();
    }
    // Nothing that policies wanted to say about a success belongs on a failure, except what CORS and limits say.
    if fault.kind.status() == 503 {
        exchange.work.effects.to_client.add(b"Retry-After", b"1");
    }
    if let Some(caller) = exchange.work.attributes.caller {
        return call_reply::fail_call(exchange, caller, fault.kind).await;
    }
    response::send(exchange, fault.kind.status(), Some(problem::CONTENT_TYPE), problem::body(fault.kind).as_bytes())
        .await
}

/// After these the connection's next bytes are not known to be a request.
fn ends_connection(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::BadRequest
            | FaultKind::RequestTimeout
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
pub(crate) async fn refuse<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    local: LocalResponse<'_>,
) -> Result<Filtered, Fault> {
    exchange.work.record.refused = Some(local.reason);
    let counters = &exchange.context.bound.counters;
    match (local.status, exchange.work.attributes.route) {
        (..400, _) => {}
        (429, Some(route)) => counters.add_route(route.0, RouteCounter::Limited, 1),
        (_, Some(route)) => counters.add_route(route.0, RouteCounter::Denied, 1),
        (429, None) => counters.add(Counter::Limited, 1),
        (_, None) => counters.add(Counter::Denied, 1),
    }
    if let Some(caller) = exchange.work.attributes.caller
        && local.status >= 400
    {
        let words = match local.body {
            LocalBody::Problem(Problem { detail: "", title, .. }) => title,
            LocalBody::Problem(Problem { detail, .. }) => detail,
            LocalBody::Empty => "",
        };
        call_reply::refuse_call(exchange, caller, local.status, words).await?;
        return Ok(Filtered::Responded);
    }
    match local.body {
        LocalBody::Empty => response::send(exchange, local.status, None, b"").await?,
        LocalBody::Problem(problem) => {
            let mut body = std::mem::take(&mut exchange.work.value);
            body.clear();
            problem.append_json(local.status, &mut body);
            let sent = response::send(exchange, local.status, Some(problem::CONTENT_TYPE), &body).await;
            exchange.work.value = body;
            sent?;
        }
    }
    Ok(Filtered::Responded)
}

/// Sends a route's fixed answer.
pub(crate) async fn fixed<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    answer: &FixedAnswer,
) -> Result<(), Fault> {
    if answer.status == CLOSE_WITHOUT_ANSWER {
        exchange.work.record.status = CLOSE_WITHOUT_ANSWER;
        exchange.work.record.aborted = true;
        return Ok(());
    }
    let mut body = std::mem::take(&mut exchange.work.value);
    body.clear();
    answer.body.render(&Vars::new(exchange.context, &exchange.work.attributes, &exchange.work.record), &mut body);
    let content_type = answer.content_type.as_deref().map(str::as_bytes);
    let sent = match exchange.work.attributes.caller {
        Some(caller) if answer.status >= 400 => {
            call_reply::refuse_call(exchange, caller, answer.status, &String::from_utf8_lossy(&body)).await
        }
        Some(_) | None => response::send(exchange, answer.status, content_type, &body).await,
    };
    exchange.work.value = body;
    sent
}
