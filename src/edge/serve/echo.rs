// SPDX-License-Identifier: Apache-2.0
//! The `echo` action: responds with a description of the request, so that one can try the gateway without a server.

use serde_json::{Map, Value, json};

use crate::base::{Fault, FaultKind};
use crate::edge::exchange::context::Exchange;
use crate::edge::exchange::{response, whole};
use crate::edge::flow::stream::{BodySource, Client};
use crate::net::Net;
use crate::wire::field::Known;

/// Most body bytes in the description; the rest of a longer body is only counted.
const BODY_TOLD_MAX: usize = 64 * 1024;

/// Answers with what was received.
pub(crate) async fn answer<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
) -> Result<(), Fault> {
    let max = exchange
        .state
        .attributes
        .route
        .map_or(u64::MAX, |route| exchange.context.bound.plan.route(route).body_bytes_max);
    let (told, total) = whole::read(exchange, BODY_TOLD_MAX, max).await?;
    let context = exchange.context;
    let request = context.request;
    let state = &exchange.state;
    let fields = request.head.fields.list.iter().filter(|field| field.known != Known::Underscored).map(|field| {
        let name = text(field.name.of(request.bytes));
        (name, text(field.value.of(request.bytes)))
    });
    let fields: Vec<Value> = fields.map(|(name, value)| json!([name, value])).collect();
    let mut params = Map::new();
    if let Some(route) = state.attributes.route {
        for (name, span) in context.bound.plan.route(route).params.iter().zip(state.attributes.params.spans()) {
            params.insert(name.to_string(), text(span.of(&state.attributes.path)));
        }
    }
    let described = json!({
        "method": text(request.method_text()),
        "host": text(request.authority()),
        "path": text(&state.attributes.path),
        "query": text(request.query()),
        "params": params,
        "client": text(&state.attributes.client_text),
        "scheme": if state.attributes.https() { "https" } else { "http" },
        "route": state.attributes.route.map(|route| context.bound.plan.route(route).name.to_string()),
        "request_id": text(&state.attributes.request_id),
        "headers": fields,
        "body": text(&told),
        "body_bytes": total,
    });
    let mut body = serde_json::to_vec_pretty(&described).map_err(|_| Fault::last(FaultKind::Internal))?;
    body.push(b'\n');
    response::send(exchange, 200, Some(b"application/json"), &body).await
}

fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}
