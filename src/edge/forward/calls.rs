// SPDX-License-Identifier: Apache-2.0
//! Calls on a route with `grpc`: decides in which words the caller speaks, and puts the two adaptors around the
//! exchange, so that the upstream sees plain gRPC with messages that are not too large.

use std::rc::Rc;

use crate::base::limits::{FIELDS_MAX, TRANSCODE_BODY_BYTES_MAX};
use crate::base::{Fault, FaultKind, Span, UpstreamId};
use crate::config::plan::{GrpcPlan, ProxyPlan, RoutePlan, WebCalls};
use crate::edge::adapt::grpc::Caller;
use crate::edge::adapt::grpc::from_caller::{self, FromCaller, JsonStream, Wrong};
use crate::edge::adapt::grpc::json_response::JsonAnswer;
use crate::edge::adapt::grpc::to_caller::{self, ToCaller};
use crate::edge::adapt::grpc::web_response::WebAnswer;
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::{call_reply, whole};
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::forward::attempts;
use crate::net::Net;
use crate::wire::field::Known;
use crate::wire::grpc::json::{Flow, Incoming, Lookup, Refusal, Requests, StreamForm, Transcoder};
use crate::wire::grpc::message::Dialect;
use crate::wire::grpc::web::{self, Coding, TrailersFrame};
use crate::wire::grpc::{Code, End, Media, Scanner};
use crate::wire::head::{BodyLength, Field, Method, Request, RequestHead};

/// Where a request goes.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The route.
    pub route: &'a RoutePlan,
    /// Its proxy action.
    pub proxy: &'a ProxyPlan,
    /// What is done for calls.
    pub plan: &'a GrpcPlan,
    /// The chosen upstream.
    pub upstream: UpstreamId,
}

/// Sends a prepared request to its upstream.
pub(crate) async fn forward<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    call: Call<'_>,
) -> Result<(), Fault> {
    let bound = exchange.context.bound;
    let plan = call.plan;
    match (exchange.state.attributes.caller, plan.json) {
        (Some(Caller::Framed(media)), _) => match Coding::of(media) {
            None => messages(exchange, call).await,
            Some(coding) if plan.web == WebCalls::Taken => from_web(exchange, call, media, coding).await,
            Some(_) => attempts::forward(exchange, call.route, call.proxy, call.upstream).await,
        },
        (Some(Caller::Json), Some(id)) => match bound.transcoders.of(id) {
            Some(transcoder) => from_json(exchange, call, &transcoder).await,
            None => untold(exchange).await,
        },
        (Some(Caller::Json) | None, _) => attempts::forward(exchange, call.route, call.proxy, call.upstream).await,
    }
}

/// Answers a request whose service is not known: no server has told its descriptors yet.
async fn untold<N: Net, S: BodySource, K: Client>(exchange: &mut Exchange<'_, N, S, K>) -> Result<(), Fault> {
    let what = "the methods of this service are not known: no server has told them by reflection yet";
    exchange.state.record.refused = Some("no_descriptors");
    exchange.state.effects.to_client.add(b"Retry-After", b"1");
    call_reply::refuse_call(exchange, Caller::Json, 503, what).await
}

/// Messages pass as they are.
async fn messages<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    call: Call<'_>,
) -> Result<(), Fault> {
    let wrong = Wrong::default();
    let Exchange { context, source, client, state } = exchange;
    let from = from_caller::RequestCodec::Checked(Scanner::new(Dialect::Grpc, call.plan.request_bytes_max));
    let to = to_caller::ResponseCodec::Checked(Scanner::new(Dialect::Grpc, call.plan.response_bytes_max));
    let mut source = FromCaller::new(&mut **source, from, &wrong);
    let mut client = ToCaller::new(&mut **client, to, &context.shard.thread.pool, &wrong);
    let mut adapted = Exchange { context: *context, source: &mut source, client: &mut client, state };
    let outcome = attempts::forward(&mut adapted, call.route, call.proxy, call.upstream).await;
    if let (Ok(()), Some(end)) = (outcome, client.supplied()) {
        state.record.grpc = Some(end.code);
    }
    state.said = wrong.end().or(state.said);
    outcome
}

/// gRPC-Web becomes gRPC, and the answer gRPC-Web.
async fn from_web<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    call: Call<'_>,
    media: Media,
    coding: Coding,
) -> Result<(), Fault> {
    let wrong = Wrong::default();
    let Exchange { context, source, client, state } = exchange;
    let mut content_type = Vec::new();
    let asked_type = context.request.value(Known::ContentType).unwrap_or_default();
    Media::Grpc.write(asked_type, &mut content_type);
    let patch = &mut state.effects.to_upstream;
    for name in [&b"accept"[..], b"x-grpc-web"] {
        patch.remove(&context.request.head.fields, context.request.bytes, name);
    }
    patch.set(&context.request.head.fields, context.request.bytes, b"content-type", &content_type);
    let decoder = web::Decoder::new(coding, TrailersFrame::Refused, call.plan.request_bytes_max);
    let mut source = FromCaller::new(&mut **source, from_caller::RequestCodec::Web(decoder), &wrong);
    let answer = WebAnswer::new(media, coding, asked_type, call.plan.response_bytes_max);
    let to = to_caller::ResponseCodec::Web(Box::new(answer));
    let mut client = ToCaller::new(&mut **client, to, &context.shard.thread.pool, &wrong);
    let asked = CallHead::of(context.request, BodyLength::Chunked)?;
    let context = Context { request: asked.request(), ..*context };
    let mut adapted = Exchange { context, source: &mut source, client: &mut client, state };
    let outcome = attempts::forward(&mut adapted, call.route, call.proxy, call.upstream).await;
    state.said = wrong.end().or(state.said);
    let Err(fault) = outcome else {
        state.record.grpc = client.supplied().map(|end| end.code).or(state.record.grpc);
        return Ok(());
    };
    if !client.begun() || fault.kind == FaultKind::ClientClosed {
        return Err(fault);
    }
    let end = state.said.unwrap_or(End::of_fault(fault.kind));
    let until = context.shard.thread.net.now().after(context.listener_plan().timeouts.write);
    if client.fail(&end, until).await.is_err() {
        return Err(fault);
    }
    (state.record.fault, state.record.grpc) = (Some(fault.kind), Some(end.code));
    Ok(())
}

/// JSON becomes gRPC, and the answer JSON.
async fn from_json<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    call: Call<'_>,
    transcoder: &Rc<Transcoder>,
) -> Result<(), Fault> {
    let request = exchange.context.request;
    let target = std::mem::take(&mut exchange.state.target);
    let (path, query) = match memchr::memchr(b'?', &target) {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (&target[..], &b""[..]),
    };
    let route = match transcoder.find(request.method_text(), path) {
        Lookup::Found(route) => route,
        Lookup::OtherMethod => return call_reply::end_json(exchange, 405, Code::Unimplemented, NO_METHOD).await,
        Lookup::None => return call_reply::end_json(exchange, 404, Code::NotFound, NO_METHOD).await,
    };
    let content_type = request.value(Known::ContentType).unwrap_or_default();
    let incoming = Incoming { path, query, content_type };
    let words = match transcoder.call(&route).requests {
        Flow::Many => {
            let requests = Requests::new(transcoder, &route, &incoming);
            from_caller::RequestCodec::Json(Box::new(JsonStream { requests, transcoder: transcoder.clone() }))
        }
        Flow::One => {
            let max = call.route.body_bytes_max.min(TRANSCODE_BODY_BYTES_MAX);
            let (body, _) = whole::read(exchange, max as usize, max).await?;
            let mut message = std::mem::take(&mut exchange.state.replay);
            message.clear();
            let made = transcoder.request(&route, &incoming, &body, &mut message);
            let bytes = message.len() as u64;
            // It stands where bodies are kept for another attempt.
            let state = &mut *exchange.state;
            (state.replay, state.replay_whole, state.body_begun) = (message, true, true);
            if let Err(refusal) = made {
                return refuse(exchange, &refusal).await;
            }
            from_caller::RequestCodec::Given { bytes }
        }
    };
    let accept = request.named(b"accept").unwrap_or_default();
    let form = StreamForm::accepted(accept, transcoder.stream_form());
    let answer = JsonAnswer::new(transcoder, &route, form, request.head.method);
    exchange.state.target.extend_from_slice(transcoder.call(&route).path.as_bytes());
    call_for_json(exchange, call, words, answer).await
}

/// Fields of a request in JSON that the server would misunderstand.
const NOT_FOR_CALLS: [&[u8]; 7] = [
    b"accept",
    b"accept-encoding",
    b"content-encoding",
    b"content-length",
    b"grpc-accept-encoding",
    b"grpc-encoding",
    b"expect",
];

async fn call_for_json<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    call: Call<'_>,
    words: from_caller::RequestCodec,
    answer: JsonAnswer,
) -> Result<(), Fault> {
    let wrong = Wrong::default();
    let Exchange { context, source, client, state } = exchange;
    let Request { bytes, head } = context.request;
    let patch = &mut state.effects.to_upstream;
    for name in NOT_FOR_CALLS {
        patch.remove(&head.fields, bytes, name);
    }
    patch.set(&head.fields, bytes, b"content-type", Media::Grpc.name().as_bytes());
    let mut source = FromCaller::new(&mut **source, words, &wrong);
    let to = to_caller::ResponseCodec::Json(Box::new(answer));
    let mut to_client = ToCaller::new(&mut **client, to, &context.shard.thread.pool, &wrong);
    let asked = CallHead::of(context.request, source.told_length())?;
    let inner = Context { request: asked.request(), ..*context };
    let mut adapted = Exchange { context: inner, source: &mut source, client: &mut to_client, state };
    let outcome = attempts::forward(&mut adapted, call.route, call.proxy, call.upstream).await;
    if let Err(fault) = outcome {
        let end = state.said.unwrap_or(End::of_fault(fault.kind));
        (state.record.fault, state.record.grpc) = (Some(fault.kind), Some(end.code));
        if fault.kind == FaultKind::ClientClosed {
            return Err(fault);
        }
        if !to_client.has_head() {
            // No response of the server arrived, so the error is a local response.
            return match wrong.refusal.take() {
                Some(refusal) => refuse(exchange, &refusal).await,
                None => Err(fault),
            };
        }
        let until = context.shard.thread.net.now().after(context.listener_plan().timeouts.write);
        to_client.fail(&end, until).await.map_err(|_| fault)?;
    }
    match to_client.sent_status() {
        Some(status) => exchange.state.record.status = status,
        None => return Err(Fault::last(FaultKind::Internal)),
    }
    Ok(())
}

/// Answers a request that cannot become messages.
async fn refuse<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    refusal: &Refusal,
) -> Result<(), Fault> {
    if exchange.state.body_begun && !exchange.source.done() {
        exchange.client.close_after();
    }
    call_reply::end_json(exchange, refusal.http_status(), refusal.code, &refusal.what).await
}

const NO_METHOD: &str = "no method is called like this";

/// A request's head as the head of a call: `POST`, with trailers welcome. Fields keep their places, because patches
/// know them by these.
struct CallHead {
    bytes: Vec<u8>,
    head: RequestHead,
}

impl CallHead {
    fn of(request: Request<'_>, body: BodyLength) -> Result<CallHead, Fault> {
        let mut bytes = request.bytes.to_vec();
        let mut head = request.head.clone();
        let words = b"POSTtetrailers";
        let at = bytes.len();
        if at + words.len() > usize::from(u16::MAX) || head.fields.list.len() >= FIELDS_MAX {
            return Err(Fault::last(FaultKind::HeadTooLarge));
        }
        bytes.extend_from_slice(words);
        head.method = Method::Post;
        head.method_text = Span::new(at, at + 4);
        let (name, value) = (Span::new(at + 4, at + 6), Span::new(at + 6, at + words.len()));
        head.fields.push(Field { name, value, known: Known::Te });
        head.accepts_trailers = true;
        head.expects_continue = false;
        head.upgrade = false;
        head.body = body;
        Ok(CallHead { bytes, head })
    }

    fn request(&self) -> Request<'_> {
        Request { bytes: &self.bytes, head: &self.head }
    }
}
