// SPDX-License-Identifier: Apache-2.0
//! Ends gRPC calls with a local response in the caller's protocol (gRPC, gRPC-Web or JSON).

use crate::base::{Buf, Fault, FaultKind, Tick};
use crate::edge::adapt::grpc::Caller;
use crate::edge::adapt::grpc::web_response::expose;
use crate::edge::exchange::context::Exchange;
use crate::edge::exchange::{policies, response, usage};
use crate::edge::flow::stream::{BodySource, Client, Ending, Outgoing};
use crate::edge::shard::scratch::RequestState;
use crate::edge::shard::usage::Bill;
use crate::net::Net;
use crate::wire::field::Known;
use crate::wire::grpc::{Code, End, Media, json, status};
use crate::wire::head::{BodyLength, Response, Version};
use crate::wire::status::reason;

/// Ends a gRPC call with a trailers-only response: HTTP status 200, the error in `grpc-status`.
pub(crate) async fn end<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    media: Media,
    end: &End<'_>,
) -> Result<(), Fault> {
    let Exchange { context, client, state, .. } = exchange;
    let version = context.request.head.version;
    state.response.begin(200, version, BodyLength::None);
    let asked = context.request.value(Known::ContentType).unwrap_or_default();
    state.effects.to_client.add_with(b"Content-Type", |value| media.write(asked, value));
    for (name, value) in end.fields() {
        state.effects.to_client.add(name.as_bytes(), value);
    }
    policies::adapt(*context, state, b"");
    if media != Media::Grpc {
        expose(&mut state.effects.to_client);
    }
    if state.bill == Bill::Due && !client.bills() {
        Box::pin(usage::bill(*context, state, end.code.http_status(), 0)).await?;
    }
    let RequestState { response, effects, record, .. } = &mut **state;
    (record.status, record.grpc) = (200, Some(end.code));
    let response = Response { bytes: b"", head: response };
    let patch = &mut effects.to_client;
    client.compose(Outgoing { response, patch, length: BodyLength::None, upgrades: false });
    let (sent, _) = client.commit(Buf::empty(), Ending::BARE, Tick::NEVER).await;
    sent
}

/// Sends a refusal with this status to a gRPC caller, in the caller's protocol.
pub(crate) async fn refuse_call<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    caller: Caller,
    status: u16,
    words: &str,
) -> Result<(), Fault> {
    let code = Code::of_answer(status);
    let Caller::Framed(media) = caller else {
        let words = if words.is_empty() { reason(status) } else { words };
        return end_json(exchange, status, code, words).await;
    };
    let mut message = Vec::new();
    status::encode_message(words, &mut message);
    end(exchange, media, &End { code, message: &message, details: b"" }).await
}

/// Ends a JSON call with a `google.rpc.Status`, as an error of the server would.
pub(crate) async fn end_json<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    status: u16,
    code: Code,
    words: &str,
) -> Result<(), Fault> {
    let mut body = std::mem::take(&mut exchange.state.value);
    body.clear();
    json::write_status(code, words, &[], &mut body);
    exchange.state.record.grpc = Some(code);
    let sent = response::send(exchange, status, Some(json::JSON.as_bytes()), &body).await;
    exchange.state.value = body;
    sent
}

/// Tells a caller of gRPC of a fault.
pub(crate) async fn fail_call<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    caller: Caller,
    kind: FaultKind,
) -> Result<(), Fault> {
    let told = exchange.state.said.unwrap_or(End::of_fault(kind));
    let Caller::Framed(media) = caller else {
        // A JSON caller gets the HTTP status for an error in its request, because HTTP has more codes for that than
        // gRPC.
        let (status, code) = match kind.status() {
            status @ 400..500 => (status, Code::of_answer(status)),
            _ => (told.code.http_status(), told.code),
        };
        let mut words = Vec::new();
        status::decode_message(told.message, &mut words);
        return end_json(exchange, status, code, &String::from_utf8_lossy(&words)).await;
    };
    end(exchange, media, &told).await
}

/// Ends a gRPC call after the response head: with a status in trailers. Returns the fault where that is not possible;
/// the caller must then abort the stream.
pub(crate) async fn end_late<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    fault: Fault,
) -> Result<(), Fault> {
    let Exchange { context, client, state, .. } = exchange;
    let begun = context.request.head.version == Version::H2 && !matches!(state.response.body, BodyLength::Exact(_));
    if state.attributes.caller != Some(Caller::Framed(Media::Grpc)) || !begun || fault.kind == FaultKind::ClientClosed {
        return Err(fault);
    }
    let end = state.said.unwrap_or(End::of_fault(fault.kind));
    let mut trailers = Vec::new();
    end.write_lines(&mut trailers);
    let (sent, _) = client.write(Buf::empty(), Ending::Last(&trailers), Tick::NEVER).await;
    state.record.grpc = Some(end.code);
    sent
}
