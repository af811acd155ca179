// SPDX-License-Identifier: Apache-2.0
//! Hot. Finds the route of a request. Where routes ask for values in the body, and one that does is the first that may
//! take the request, the body is read first and then goes to the upstream from memory.

use crate::base::{Fault, FaultKind, RouteId};
use crate::cel::{Nobody, Subject};
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::vars::Vars;
use crate::edge::exchange::{local_response, policies as asking, whole};
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::shard::attributes::Attributes;
use crate::edge::shard::scratch::{RequestBody, RequestState};
use crate::link::Counter;
use crate::net::Net;
use crate::policy::{Facts, LocalBody, LocalResponse, Problem, cors};
use crate::route::{BodyView, Params, RouteMatch, RouteQuery};
use crate::wire::content::{BodyType, Content};
use crate::wire::field::Known;
use crate::wire::head::BodyLength;

/// The route of a request on a listener some of whose routes ask for values in the body; `None` where a response was
/// sent.
pub(super) async fn by_body<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
) -> Result<Option<RouteId>, Fault> {
    let context = exchange.context;
    let request = context.request;
    if request.head.body == BodyLength::None {
        return find(context, exchange.state, BodyView::Other).map(Some);
    }
    let table = context.bound.table(context.listener);
    let needs = with_query(context, exchange.state, BodyView::Unread, |wanted, facts, params| {
        table.needs_body(wanted, facts, params)
    });
    if !needs {
        return find(context, exchange.state, BodyView::Unread).map(Some);
    }
    // There is one at most: a head with two types is refused.
    let kind = BodyType::of(request.value(Known::ContentType).unwrap_or_default());
    let Some(kind) = kind else { return find(context, exchange.state, BodyView::Other).map(Some) };
    if request.value(Known::ContentEncoding).is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return refuse(exchange, CODED).await;
    }
    whole::keep(exchange, context.listener_plan().routing_body_max).await?;
    // The client was told to go on, if it asked.
    exchange.state.effects.to_upstream.remove_known(&request.head.fields, Known::Expect);
    let Ok(content) = Content::read(kind, &exchange.state.replay) else { return refuse(exchange, MALFORMED).await };
    let id = find(context, exchange.state, BodyView::Read(&content))?;
    let length = exchange.state.replay.len() as u64;
    if exchange.state.body == RequestBody::Kept && length > context.bound.plan.route(id).body_bytes_max {
        return Err(Fault::last(FaultKind::BodyTooLarge));
    }
    Ok(Some(id))
}

/// Status, reason, title and detail of a refusal.
type Refusal = (u16, &'static str, &'static str, &'static str);

const CODED: Refusal =
    (415, "routing_body_coded", "Unsupported Media Type", "The body must be sent without a content coding.");
const MALFORMED: Refusal = (400, "routing_body_malformed", "Bad Request", "The body is not what its type says.");

async fn refuse<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    (status, reason, title, detail): Refusal,
) -> Result<Option<RouteId>, Fault> {
    if !exchange.source.done() {
        exchange.client.close_after();
    }
    let problem = Problem { kind: "", title, detail, violated_policy: "" };
    let response = LocalResponse { status, reason, body: LocalBody::Problem(problem) };
    local_response::refuse(exchange, response).await.map(|_| None)
}

/// The route of a request, of whose body so much is known.
pub(super) fn find<N: Net>(
    context: Context<'_, N>,
    state: &mut RequestState,
    body: BodyView<'_>,
) -> Result<RouteId, Fault> {
    let table = context.bound.table(context.listener);
    let found = if table.asks_subject() {
        find_by_caller(context, state, body)
    } else {
        let Attributes { host, path, params, client, .. } = &mut state.attributes;
        let source = client.address.unwrap_or(context.peer.ip);
        look_up(context, &RouteQuery { request: context.request, host, path, source, body }, &Nobody, params)
    };
    let kind = match found {
        RouteMatch::Route(id) => {
            state.attributes.route = Some(id);
            return Ok(id);
        }
        RouteMatch::MethodNotAllowed(methods) => {
            state.value.clear();
            for name in table.method_names(methods) {
                let separator: &[u8] = if state.value.is_empty() { b"" } else { b", " };
                state.value.extend_from_slice(separator);
                state.value.extend_from_slice(name.as_bytes());
            }
            state.effects.to_client.add(b"Allow", &state.value);
            FaultKind::MethodNotAllowed
        }
        RouteMatch::None => FaultKind::NoRoute,
    };
    context.bound.counters.add(Counter::Unrouted, 1);
    Err(Fault::last(kind))
}

/// Finds the route where conditions ask who calls.
#[cold]
fn find_by_caller<N: Net>(context: Context<'_, N>, state: &mut RequestState, body: BodyView<'_>) -> RouteMatch {
    with_query(context, state, body, |wanted, facts, params| look_up(context, wanted, facts, params))
}

/// Shows what decides about the route where conditions ask who calls.
fn with_query<N: Net, T>(
    context: Context<'_, N>,
    state: &mut RequestState,
    body: BodyView<'_>,
    look: impl FnOnce(&RouteQuery<'_>, &Facts<'_, Vars<'_, N>>, &mut Params) -> T,
) -> T {
    // What is known of the request is borrowed while it is looked up.
    let mut params = std::mem::take(&mut state.attributes.params);
    let RequestState { attributes, record, .. } = state;
    let Attributes { host, path, client, .. } = &*attributes;
    let source = client.address.unwrap_or(context.peer.ip);
    let wanted = RouteQuery { request: context.request, host, path, source, body };
    let found = asking::with_facts(context, attributes, record, |facts| look(&wanted, facts, &mut params));
    attributes.params = params;
    found
}

/// The route of a request. A preflight goes to that of the method that it asks for, where that one answers preflights.
fn look_up<N: Net>(
    context: Context<'_, N>,
    wanted: &RouteQuery<'_>,
    subject: &impl Subject,
    params: &mut Params,
) -> RouteMatch {
    let table = context.bound.table(context.listener);
    if let Some(asked) = cors::asked_method(context.request)
        && let RouteMatch::Route(id) = table.find_for(asked.of(context.request.bytes), wanted, subject, params)
        && context.bound.plan.route(id).answers_preflights
    {
        return RouteMatch::Route(id);
    }
    table.find_as(wanted, subject, params)
}
