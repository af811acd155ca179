// SPDX-License-Identifier: Apache-2.0
//! Forwards a request whose body a policy wants to be looked at (`Kind::scanner`).
//!
//! A body of up to `RoutePlan::scanned` bytes is read and looked at before the upstream gets any of it. Of a longer
//! one, each part is looked at before it goes on. Where a later part is refused, the request to the upstream is broken
//! off like one whose client has disconnected: it never looks complete. The client gets the refusal unless the
//! response has begun.

use std::borrow::Cow;

use crate::base::{Fault, UpstreamId};
use crate::config::plan::{ProxyPlan, RoutePlan};
use crate::edge::adapt::scan::Scan;
use crate::edge::adapt::stage::Stage;
use crate::edge::adapt::staged_source::{Received, StagedSource};
use crate::edge::adapt::transform::Transform;
use crate::edge::exchange::context::Exchange;
use crate::edge::exchange::{local_response, policies, whole};
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::forward::attempts;
use crate::net::Net;
use crate::policy::{LocalBody, LocalResponse, Problem};
use crate::wire::field::Known;
use crate::wire::inspect::{Bound, Offence};
use crate::wire::status;

/// Forwards the request to the upstream that `choose` returned, and sends the response back.
pub(crate) async fn forward<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    route: &RoutePlan,
    proxy: &ProxyPlan,
    upstream: UpstreamId,
) -> Result<(), Fault> {
    let scanner = route.scanned.and_then(|_| policies::scanner(exchange.context, &exchange.state.memos, route));
    match scanner {
        None => attempts::forward(exchange, route, proxy, upstream).await,
        // Few exchanges are looked at, and no other should be as large as one.
        Some(scanner) => {
            let scan = Box::new(Scan::new(scanner));
            Box::pin(scanned(exchange, (route, proxy, upstream), scan)).await
        }
    }
}

async fn scanned<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    (route, proxy, upstream): (&RoutePlan, &ProxyPlan, UpstreamId),
    mut scan: Box<Scan>,
) -> Result<(), Fault> {
    whole::begin(exchange, route.scanned.unwrap_or_default(), route.body_bytes_max).await?;
    let request = exchange.context.request;
    // The client was told to go on, if it asked.
    exchange.state.effects.to_upstream.remove_known(&request.head.fields, Known::Expect);
    let done = exchange.source.done();
    if done && exchange.state.replay.is_empty() {
        // A body that turns out to be none.
        return attempts::forward(exchange, route, proxy, upstream).await;
    }
    let mut looked = scan.push(&exchange.state.replay).map(|_| ());
    if done {
        looked = looked.and_then(|()| scan.finish(&mut Cow::Borrowed(b"")).map(|_| ()));
    }
    if let (Err(_), Some(offence)) = (looked, scan.offence()) {
        return refuse(exchange, offence).await;
    }
    if done {
        return attempts::forward(exchange, route, proxy, upstream).await;
    }
    let Exchange { context, source, client, state } = exchange;
    let mut source = StagedSource::new(&mut **source, Received::Inspected(Stage::Scan(scan)));
    let mut adapted = Exchange { context: *context, source: &mut source, client: &mut **client, state };
    let outcome = attempts::forward(&mut adapted, route, proxy, upstream).await;
    let offence = if let Some(Stage::Scan(scan)) = source.into_stage() { scan.offence() } else { None };
    match (outcome, offence) {
        (Err(_), Some(offence)) if !exchange.client.begun() => refuse(exchange, offence).await,
        (outcome, _) => outcome,
    }
}

async fn refuse<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    offence: Offence,
) -> Result<(), Fault> {
    if !exchange.source.done() {
        exchange.client.close_after();
    }
    let (status, reason, detail) = told(offence);
    let problem = Problem { kind: "", title: status::reason(status), detail, violated_policy: "" };
    let response = LocalResponse { status, reason, body: LocalBody::Problem(problem) };
    local_response::refuse(exchange, response).await.map(|_| ())
}

/// Status, reason and detail of a refusal.
fn told(offence: Offence) -> (u16, &'static str, &'static str) {
    let bound = match offence {
        Offence::Json => return (400, "body_bounds_malformed", "The body is not valid JSON."),
        Offence::Xml => return (400, "body_bounds_malformed", "The body is not well-formed XML."),
        Offence::Entity => return (400, "body_bounds_entity", "The body may not declare a document type or entities."),
        Offence::Bound(bound) => bound,
    };
    let detail = match bound {
        Bound::Depth => "The body is nested deeper than allowed.",
        Bound::Members => "An object or element in the body has more members than allowed.",
        Bound::Items => "An array or element in the body has more items than allowed.",
        Bound::Values => "The body has more values than allowed.",
        Bound::Name => "A name in the body is longer than allowed.",
        Bound::Text => "A text in the body is longer than allowed.",
        Bound::Number => "A number in the body is longer than allowed.",
    };
    (413, "body_bounds_exceeded", detail)
}
