// SPDX-License-Identifier: Apache-2.0
//! The embedded origin: answers with a description of the request, so that a first try needs no server of its own.

use serde_json::{Map, Value, json};

use crate::base::{Fault, FaultKind};
use crate::edge::exchange::context::Exchange;
use crate::edge::exchange::{response, whole};
use crate::edge::flow::stream::{Client, Source};
use crate::net::Net;

/// Body bytes that are told back; of a longer body the rest is counted only.
const BODY_TOLD_MAX: usize = 64 * 1024;

/// Answers with what was received.
pub(crate) async fn answer<N: Net, S: Source, K: Client>(exchange: &mut Exchange<'_, N, S, K>) -> Result<(), Fault> {
    let max = exchange
        .work
        .attributes
        .route
        .map_or(u64::MAX, |route| exchange.context.bound.plan.route(route).body_bytes_max);
    let (told, total) = whole::read(exchange, BODY_TOLD_MAX, max).await?;
    let context = exchange.context;
    let request = context.request;
    let work = &exchange.work;
    let fields = request.head.fields.list.iter().map(|field| {
        let name = text(field.name.of(request.bytes));
        (name, text(field.value.of(request.bytes)))
    });
    let fields: Vec<Value> = fields.map(|(name, value)| json!([name, value])).collect();
    let mut params = Map::new();
    if let Some(route) = work.attributes.route {
        for (name, span) in context.bound.plan.route(route).params.iter().zip(work.attributes.params.spans()) {
            params.insert(name.to_string(), text(span.of(&work.attributes.path)));
        }
    }
    let described = json!({
        "method": text(request.method_text()),
        "host": text(request.authority()),
        "path": text(&work.attributes.path),
        "query": text(request.query()),
        "params": params,
        "client": text(&work.attributes.client_text),
        "scheme": if work.attributes.https() { "https" } else { "http" },
        "route": work.attributes.route.map(|route| context.bound.plan.route(route).name.to_string()),
        "request_id": text(&work.attributes.request_id),
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
