//! Answers that the gateway makes itself: fixed ones, redirects, refusals, faults.

use crate::base::ascii::push_decimal;
use crate::base::{Buf, Fault, FaultKind, Span, limits};
use crate::config::plan::FixedAnswer;
use crate::edge::adapt::grpc::Caller;
use crate::edge::adapt::grpc::web_answer::expose;
use crate::edge::exchange::context::Exchange;
use crate::edge::exchange::vars::Vars;
use crate::edge::flow::stream::{Client, Ending, Outgoing, Source};
use crate::edge::serve::policies;
use crate::edge::shard::scratch::Work;
use crate::net::Net;
use crate::wire::field::Known;
use crate::wire::grpc::{Code, End, Media, json, status};
use crate::wire::head::{BodyLength, Field, Method, Response, ResponseHead, Version};
use crate::wire::patch::Patch;
use crate::wire::problem;
use crate::wire::status::reason;

/// Closes the connection without an answer, as nginx does.
pub const CLOSE_WITHOUT_ANSWER: u16 = 444;

/// Sends an answer with this body and whatever `work.effects.to_client` adds.
pub async fn send<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    status: u16,
    content_type: Option<&[u8]>,
    body: &[u8],
) -> Result<(), Fault> {
    let Exchange { scene, client, work, .. } = exchange;
    let head_only = scene.request.head.method == Method::Head;
    let bodiless = status < 200 || status == 204 || status == 304;
    let length = match body.len() as u64 {
        0 => BodyLength::None,
        _ if bodiless || head_only => BodyLength::None,
        bytes => BodyLength::Exact(bytes),
    };
    work.response = ResponseHead { status, body: length, keep_alive: true, ..ResponseHead::default() };
    if let Some(content_type) = content_type
        && !bodiless
    {
        work.effects.to_client.add(b"Content-Type", content_type);
    }
    // To HEAD, the length is that of the body which is not sent (RFC 9110 section 9.3.2).
    let mut told = Vec::new();
    if head_only && !bodiless {
        told.extend_from_slice(b"Content-Length: ");
        let value_start = told.len();
        push_decimal(&mut told, body.len() as u64);
        let value = Span::new(value_start, told.len());
        let name = Span::new(0, value_start - b": ".len());
        work.response.fields.push(Field { name, value, known: Known::ContentLength });
        told.extend_from_slice(b"\r\n");
        work.response.len = told.len() + b"\r\n".len();
    }
    policies::adapt(*scene, work, &told);
    let Work { response, effects, record, .. } = &mut **work;
    record.status = status;
    let response = Response { bytes: &told, head: response };
    let outgoing = Outgoing { response, patch: &effects.to_client, length, upgrades: false };
    client.compose(outgoing);
    record.committed = true;
    let pool = &scene.shard.pool;
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
    let until = scene.shard.net.now().after(scene.listener_plan().timeouts.write);
    let (sent, buf) = client.commit(buf, Ending::BARE, until).await;
    pool.put(buf);
    sent
}

/// Ends a call of gRPC with a head that is the whole answer: whatever went wrong, HTTP itself went well.
pub async fn end<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    media: Media,
    end: &End<'_>,
) -> Result<(), Fault> {
    let Exchange { scene, client, work, .. } = exchange;
    let version = scene.request.head.version;
    work.response = ResponseHead { status: 200, version, keep_alive: true, ..ResponseHead::default() };
    let asked = scene.request.value(Known::ContentType).unwrap_or_default();
    work.effects.to_client.add_with(b"Content-Type", |value| media.write(asked, value));
    for (name, value) in end.fields() {
        work.effects.to_client.add(name.as_bytes(), value);
    }
    policies::adapt(*scene, work, b"");
    if media != Media::Grpc {
        expose(&mut work.effects.to_client);
    }
    let Work { response, effects, record, .. } = &mut **work;
    (record.status, record.grpc) = (200, Some(end.code));
    let response = Response { bytes: b"", head: response };
    client.compose(Outgoing { response, patch: &effects.to_client, length: BodyLength::None, upgrades: false });
    record.committed = true;
    let until = scene.shard.net.now().after(scene.listener_plan().timeouts.write);
    let (sent, _) = client.commit(Buf::empty(), Ending::BARE, until).await;
    sent
}

/// Tells a caller of gRPC, in whatever words it speaks, of a refusal with this status.
pub async fn refuse_call<N: Net, S: Source, K: Client>(
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

/// Ends a call in JSON with a `google.rpc.Status`, as an error of the server itself would end it.
pub async fn end_json<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    status: u16,
    code: Code,
    words: &str,
) -> Result<(), Fault> {
    let mut body = std::mem::take(&mut exchange.work.value);
    body.clear();
    json::write_status(code, words, &[], &mut body);
    exchange.work.record.grpc = Some(code);
    let sent = send(exchange, status, Some(json::JSON.as_bytes()), &body).await;
    exchange.work.value = body;
    sent
}

/// Tells a caller of gRPC of a fault.
async fn fail_call<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    caller: Caller,
    kind: FaultKind,
) -> Result<(), Fault> {
    let told = exchange.work.said.unwrap_or(End::of_fault(kind));
    let Caller::Framed(media) = caller else {
        // What the caller of JSON did wrong was wrong with its HTTP, which has more words for that.
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

/// Ends a call of gRPC whose answer has begun: with trailers that tell of the fault. Where that cannot be, the fault
/// comes back, and the stream must be broken.
pub async fn end_late<N: Net, S: Source, K: Client>(
    exchange: &mut Exchange<'_, N, S, K>,
    fault: Fault,
) -> Result<(), Fault> {
    let Exchange { scene, client, work, .. } = exchange;
    let begun = scene.request.head.version == Version::H2 && !matches!(work.response.body, BodyLength::Exact(_));
    if work.caller != Some(Caller::Framed(Media::Grpc)) || !begun || fault.kind == FaultKind::ClientClosed {
        return Err(fault);
    }
    let end = work.said.unwrap_or(End::of_fault(fault.kind));
    let mut trailers = Vec::new();
    end.write_lines(&mut trailers);
    let until = scene.shard.net.now().after(scene.listener_plan().timeouts.write);
    let (sent, _) = client.write(Buf::empty(), Ending::Last(&trailers), until).await;
    work.record.grpc = Some(end.code);
    sent
}

/// Sends a problem document (RFC 9457) for a fault; to a caller of gRPC, what that understands. Faults of the
/// connection's reading end also close it.
pub async fn fault<N: Net, S: Source, K: Client>(
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
    if let Some(caller) = exchange.work.caller {
        return fail_call(exchange, caller, fault.kind).await;
    }
    send(exchange, fault.kind.status(), Some(problem::CONTENT_TYPE), problem::body(fault.kind).as_bytes()).await
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

/// Sends `100 Continue`: the body is wanted (RFC 9110 section 15.2.1).
pub async fn go_on<N: Net, S: Source, K: Client>(exchange: &mut Exchange<'_, N, S, K>) -> Result<(), Fault> {
    let Exchange { scene, client, .. } = exchange;
    let head = ResponseHead { status: 100, keep_alive: true, ..ResponseHead::default() };
    let patch = Patch::default();
    let response = Response { bytes: &[], head: &head };
    client.compose(Outgoing { response, patch: &patch, length: BodyLength::None, upgrades: false });
    let until = scene.shard.net.now().after(scene.listener_plan().timeouts.write);
    let (sent, _) = client.commit(Buf::empty(), Ending::More, until).await;
    sent
}

/// Sends a route's fixed answer.
pub async fn fixed<N: Net, S: Source, K: Client>(
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
    answer.body.render(&Vars::new(exchange.scene, exchange.work), &mut body);
    let content_type = answer.content_type.as_deref().map(str::as_bytes);
    let sent = match exchange.work.caller {
        Some(caller) if answer.status >= 400 => {
            refuse_call(exchange, caller, answer.status, &String::from_utf8_lossy(&body)).await
        }
        Some(_) | None => send(exchange, answer.status, content_type, &body).await,
    };
    exchange.work.value = body;
    sent
}
