// SPDX-License-Identifier: Apache-2.0
//! Calls on a route with `grpc`: finds out which protocol the caller uses, and puts a stage on each side of the
//! exchange, so that the upstream sees plain gRPC with messages that are not too large.

use std::rc::Rc;

use crate::base::limits::{FIELDS_MAX, TRANSCODE_BODY_BYTES_MAX};
use crate::base::{Fault, FaultKind, Side, Span, Tick, UpstreamId};
use crate::config::plan::{GrpcPlan, ProxyPlan, RoutePlan, WebCalls};
use crate::edge::adapt::grpc::Caller;
use crate::edge::adapt::grpc::json_request::JsonRequest;
use crate::edge::adapt::grpc::json_response::JsonResponse;
use crate::edge::adapt::grpc::messages::Messages;
use crate::edge::adapt::grpc::web_request::WebRequest;
use crate::edge::adapt::grpc::web_response::WebResponse;
use crate::edge::adapt::stage::Stage;
use crate::edge::adapt::staged::Staged;
use crate::edge::adapt::staged_source::{Received, StagedSource};
use crate::edge::exchange::context::{Context, Exchange};
use crate::edge::exchange::{call_reply, whole};
use crate::edge::flow::hold::Hold;
use crate::edge::flow::stream::{BodySource, Client};
use crate::edge::forward::{attempts, scan};
use crate::edge::shard::scratch::RequestBody;
use crate::net::Net;
use crate::wire::field::Known;
use crate::wire::grpc::json::{Flow, Incoming, Lookup, Refusal, StreamForm, Transcoder};
use crate::wire::grpc::web::Coding;
use crate::wire::grpc::{Code, End, Media};
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
pub(crate) async fn forward<N: Net, S: BodySource, K: Client, H: Hold>(
    exchange: &mut Exchange<'_, N, S, Staged<'_, K, H>>,
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
        (Some(Caller::Json) | None, _) => scan::forward(exchange, call.route, call.proxy, call.upstream).await,
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
async fn messages<N: Net, S: BodySource, K: Client, H: Hold>(
    exchange: &mut Exchange<'_, N, S, Staged<'_, K, H>>,
    call: Call<'_>,
) -> Result<(), Fault> {
    let Exchange { context, source, client, state } = exchange;
    let requests = Stage::Messages(Messages::new(Side::Client, call.plan.request_bytes_max));
    let mut source = StagedSource::new(&mut **source, Received::Inspected(requests));
    client.chain().prepend(Stage::Messages(Messages::new(Side::Upstream, call.plan.response_bytes_max)));
    let mut adapted = Exchange { context: *context, source: &mut source, client: &mut **client, state };
    let outcome = attempts::forward(&mut adapted, call.route, call.proxy, call.upstream).await;
    let requests = source.into_stage();
    let mut said = if let Some(Stage::Messages(requests)) = &requests { requests.end() } else { None };
    if let Some(Stage::Messages(messages)) = client.chain().remove_first() {
        said = said.or(messages.end());
        state.record.grpc = outcome.ok().and(messages.supplied()).map(|end| end.code).or(state.record.grpc);
    }
    state.said = said.or(state.said);
    outcome
}

/// gRPC-Web becomes gRPC, and the response gRPC-Web.
async fn from_web<N: Net, S: BodySource, K: Client, H: Hold>(
    exchange: &mut Exchange<'_, N, S, Staged<'_, K, H>>,
    call: Call<'_>,
    media: Media,
    coding: Coding,
) -> Result<(), Fault> {
    let Exchange { context, source, client, state } = exchange;
    let mut content_type = Vec::new();
    let asked_type = context.request.value(Known::ContentType).unwrap_or_default();
    Media::Grpc.write(asked_type, &mut content_type);
    let patch = &mut state.effects.to_upstream;
    for name in [&b"accept"[..], b"x-grpc-web"] {
        patch.remove(&context.request.head.fields, context.request.bytes, name);
    }
    patch.set(&context.request.head.fields, context.request.bytes, b"content-type", &content_type);
    let requests = Stage::WebRequest(WebRequest::new(coding, call.plan.request_bytes_max));
    let mut source = StagedSource::new(&mut **source, Received::Recoded(requests));
    let responses = WebResponse::new(media, coding, asked_type, call.plan.response_bytes_max);
    client.chain().prepend(Stage::WebResponse(Box::new(responses)));
    let asked = CallHead::of(context.request, BodyLength::Chunked)?;
    let inner = Context { request: asked.request(), ..*context };
    let mut adapted = Exchange { context: inner, source: &mut source, client: &mut **client, state };
    let outcome = attempts::forward(&mut adapted, call.route, call.proxy, call.upstream).await;
    let requests = source.into_stage();
    let said = if let Some(Stage::WebRequest(requests)) = &requests { requests.end() } else { None };
    let Some(Stage::WebResponse(response)) = client.chain().first() else { return outcome };
    state.said = said.or(response.end()).or(state.said);
    let Err(fault) = outcome else {
        state.record.grpc = response.supplied().map(|end| end.code).or(state.record.grpc);
        return Ok(());
    };
    let end = state.said.unwrap_or(End::of_fault(fault.kind));
    if fault.kind == FaultKind::ClientClosed || !response.fail(&end) {
        return Err(fault);
    }
    client.end_with_failure(Tick::NEVER).await.map_err(|_| fault)?;
    state.record.fail(fault);
    state.record.grpc = Some(end.code);
    Ok(())
}

/// JSON becomes gRPC, and the response JSON.
async fn from_json<N: Net, S: BodySource, K: Client, H: Hold>(
    exchange: &mut Exchange<'_, N, S, Staged<'_, K, H>>,
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
        Lookup::OtherMethod => {
            let allowed = transcoder.allowed(path);
            exchange.state.effects.to_client.add(b"Allow", allowed.as_bytes());
            return call_reply::end_json(exchange, 405, Code::Unimplemented, NO_METHOD).await;
        }
        Lookup::None => return call_reply::end_json(exchange, 404, Code::NotFound, NO_METHOD).await,
    };
    if transcoder.takes_body(&route) && is_encoded(request) {
        // RFC 9110 section 15.5.16: the response says which codings are accepted.
        exchange.state.effects.to_client.add(b"Accept-Encoding", b"identity");
        return call_reply::end_json(exchange, 415, Code::InvalidArgument, ENCODED).await;
    }
    let content_type = request.value(Known::ContentType).unwrap_or_default();
    let incoming = Incoming { path, query, content_type };
    let received = match transcoder.call(&route).requests {
        Flow::Many => {
            let requests = JsonRequest::new(transcoder, &route, &incoming);
            Received::Recoded(Stage::JsonRequest(Box::new(requests)))
        }
        Flow::One => {
            let max = call.route.body_bytes_max.min(TRANSCODE_BODY_BYTES_MAX);
            let (body, _) = whole::read(exchange, max as usize, max).await?;
            let state = &mut *exchange.state;
            let made = state.replay.rewrite(|bytes| transcoder.request(&route, &incoming, &body, bytes));
            let made = made.map_err(|_| Fault::last(FaultKind::KeptBodiesFull))?;
            // It stands where bodies are kept for another attempt.
            state.body = RequestBody::Kept;
            let bytes = state.replay.len() as u64;
            if let Err(refusal) = made {
                return refuse(exchange, &refusal).await;
            }
            Received::Kept { bytes }
        }
    };
    let accept = request.named(b"accept").unwrap_or_default();
    let form = StreamForm::accepted(accept, transcoder.stream_form());
    let responses = JsonResponse::new(transcoder, &route, form, request.head.method);
    exchange.state.target.extend_from_slice(transcoder.call(&route).path.as_bytes());
    call_for_json(exchange, call, received, responses).await
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

async fn call_for_json<N: Net, S: BodySource, K: Client, H: Hold>(
    exchange: &mut Exchange<'_, N, S, Staged<'_, K, H>>,
    call: Call<'_>,
    received: Received,
    responses: JsonResponse,
) -> Result<(), Fault> {
    let Exchange { context, source, client, state } = exchange;
    let Request { bytes, head } = context.request;
    let patch = &mut state.effects.to_upstream;
    for name in NOT_FOR_CALLS {
        patch.remove(&head.fields, bytes, name);
    }
    patch.set(&head.fields, bytes, b"content-type", Media::Grpc.name().as_bytes());
    let mut source = StagedSource::new(&mut **source, received);
    client.chain().prepend(Stage::JsonResponse(Box::new(responses)));
    let asked = CallHead::of(context.request, source.length())?;
    let inner = Context { request: asked.request(), ..*context };
    let mut adapted = Exchange { context: inner, source: &mut source, client: &mut **client, state };
    let outcome = attempts::forward(&mut adapted, call.route, call.proxy, call.upstream).await;
    let requests = source.into_stage();
    let refusal = if let Some(Stage::JsonRequest(requests)) = requests { requests.into_refusal() } else { None };
    if let Err(fault) = outcome {
        let end = state.said.unwrap_or(End::of_fault(fault.kind));
        state.record.fail(fault);
        state.record.grpc = Some(end.code);
        if fault.kind == FaultKind::ClientClosed {
            return Err(fault);
        }
        let Some(Stage::JsonResponse(response)) = client.chain().first() else { return Err(fault) };
        if !response.has_begun() {
            // No response of the server arrived, so the error is a local response.
            client.chain().remove_first();
            return match refusal {
                Some(refusal) => refuse(exchange, &refusal).await,
                None => Err(fault),
            };
        }
        response.refusal = refusal.or(response.refusal.take());
        if !response.fail(&end) {
            return Err(fault);
        }
        client.end_with_failure(Tick::NEVER).await.map_err(|_| fault)?;
    }
    let Some(Stage::JsonResponse(response)) = client.chain().first() else { return Ok(()) };
    state.record.status = response.status().ok_or(Fault::last(FaultKind::Internal))?;
    Ok(())
}

/// Answers a request that cannot become messages.
async fn refuse<N: Net, S: BodySource, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    refusal: &Refusal,
) -> Result<(), Fault> {
    if exchange.state.body.is_begun() && !exchange.source.done() {
        exchange.client.close_after();
    }
    call_reply::end_json(exchange, refusal.http_status(), refusal.code, &refusal.what).await
}

/// Is the body of this request in a content coding?
fn is_encoded(request: Request<'_>) -> bool {
    let codings = request.head.fields.values(request.bytes, Known::ContentEncoding);
    let mut codings = codings.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let identity = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    request.head.body != BodyLength::None && codings.any(|coding| !identity(coding))
}

const NO_METHOD: &str = "no method is called like this";
const ENCODED: &str = "the body has a content coding, which is not decoded for this service";

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
