// SPDX-License-Identifier: Apache-2.0
//! Sends responses that the gateway makes itself, whatever they say.

use crate::base::ascii::push_decimal;
use crate::base::{Buf, Fault, Span, Tick, limits};
use crate::edge::exchange::context::Exchange;
use crate::edge::exchange::{policies, usage};
use crate::edge::flow::stream::{BodySource, Client, Ending, Outgoing};
use crate::edge::shard::scratch::RequestState;
use crate::edge::shard::usage::Bill;
use crate::net::Net;
use crate::wire::field::Known;
use crate::wire::head::{BodyLength, Field, Method, Response, ResponseHead, Version};
use crate::wire::patch::Patch;

/// Sends a local response with this body and the fields of `state.effects.to_client`.
pub(crate) async fn send<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    status: u16,
    content_type: Option<&[u8]>,
    body: &[u8],
) -> Result<(), Fault> {
    let Exchange { context, client, state, .. } = exchange;
    let head_only = context.request.head.method == Method::Head;
    let bodiless = status < 200 || status == 204 || status == 304;
    let length = match body.len() as u64 {
        0 => BodyLength::None,
        _ if bodiless || head_only => BodyLength::None,
        bytes => BodyLength::Exact(bytes),
    };
    state.response.begin(status, Version::H11, length);
    if let Some(content_type) = content_type
        && !bodiless
    {
        state.effects.to_client.add(b"Content-Type", content_type);
    }
    // In a response to HEAD, the length is that of the body of a GET (RFC 9110 section 9.3.2).
    let mut told = Vec::new();
    if head_only && !bodiless {
        told.extend_from_slice(b"Content-Length: ");
        let value_start = told.len();
        push_decimal(&mut told, body.len() as u64);
        let value = Span::new(value_start, told.len());
        let name = Span::new(0, value_start - b": ".len());
        state.response.fields.push(Field { name, value, known: Known::ContentLength });
        told.extend_from_slice(b"\r\n");
        state.response.len = told.len() + b"\r\n".len();
    }
    policies::adapt(*context, state, &told);
    if state.bill == Bill::Due && !client.bills() {
        let sent = if length == BodyLength::None { 0 } else { body.len() as u64 };
        // tidy(hot): only where a response is billed; no other should be larger for it.
        Box::pin(usage::bill(*context, state, status, sent)).await?;
    }
    let RequestState { response, effects, record, .. } = &mut **state;
    record.status = status;
    let response = Response { bytes: &told, head: response };
    client.compose(Outgoing { response, patch: &mut effects.to_client, length, upgrades: false });
    let pool = &context.shard.thread.pool;
    let mut buf = pool.take(limits::HEADROOM + body.len());
    if buf.capacity() < limits::HEADROOM + body.len() {
        // Above the largest class there is no pooled buffer; this one is freed after use.
        buf = Buf::with_capacity(limits::HEADROOM + body.len());
    }
    buf.reset(limits::HEADROOM);
    if length != BodyLength::None {
        let copied = buf.append(body);
        debug_assert!(copied, "room was made above");
        record.sent.set(body.len() as u64);
    }
    let (sent, buf) = client.commit(buf, Ending::BARE, Tick::NEVER).await;
    pool.put(buf);
    sent
}

/// Sends `100 Continue`: the body is wanted (RFC 9110 section 15.2.1).
pub(crate) async fn go_on<N: Net, S: BodySource, K: Client>(exchange: &mut Exchange<'_, N, S, K>) -> Result<(), Fault> {
    let client = &mut exchange.client;
    let head = ResponseHead { status: 100, keep_alive: true, ..ResponseHead::default() };
    let mut patch = Patch::default();
    let response = Response { bytes: &[], head: &head };
    client.compose(Outgoing { response, patch: &mut patch, length: BodyLength::None, upgrades: false });
    let (sent, _) = client.commit(Buf::empty(), Ending::More, Tick::NEVER).await;
    sent
}
