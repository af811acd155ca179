//! Probes over HTTP/2: the same `GET`, or `grpc.health.v1.Health/Check`.

use std::future::Future;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;

use crate::config::plan::HealthPlan;
use crate::control::probe::{BODY_BYTES_MAX, Driver, judge};
use crate::wire::grpc::health::{self, Health};
use crate::wire::grpc::message::{PREFIX_BYTES, Prefix};
use crate::wire::grpc::status::{MESSAGE, STATUS};
use crate::wire::grpc::{Code, status};

/// Who is asked, as a URL begins.
pub struct Server {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host to ask with.
    pub host: String,
}

/// Spawns on the thread of the control plane.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// Asks once. `Ok` and `Err` both carry what was seen.
pub async fn exchange<S>(plan: &HealthPlan, server: &Server, stream: S) -> Result<String, String>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let handshake = http2::Builder::new(Local).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| error.to_string())?;
    let _driver = Driver(spawn_local(async move {
        // What ends the connection shows in the exchange itself.
        let _ = connection.await;
    }));
    let request = match &plan.grpc {
        Some(service) => call(server, service, plan),
        None => get(server, &plan.path),
    };
    let request = request.map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| format!("exchange: {error}"))?;
    if plan.grpc.is_some() { judge_call(answer).await } else { judge(plan, answer).await }
}

const AGENT: &str = concat!("turnpike-health/", env!("CARGO_PKG_VERSION"));

fn get(server: &Server, path: &str) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let url = format!("{}://{}{path}", server.scheme, server.host);
    Request::get(url).header(USER_AGENT, AGENT).header(ACCEPT, "*/*").body(Full::default())
}

fn call(server: &Server, service: &str, plan: &HealthPlan) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut body = Vec::new();
    health::request(service, &mut body);
    let url = format!("{}://{}{}", server.scheme, server.host, health::PATH);
    Request::post(url)
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header("grpc-timeout", format!("{}m", plan.timeout.as_millis().min(99_999_999)))
        .body(Full::new(Bytes::from(body)))
}

async fn judge_call(answer: Response<Incoming>) -> Result<String, String> {
    let http_status = answer.status().as_u16();
    let mut end = code_in(answer.headers());
    let mut body = answer.into_body();
    let mut payload = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("body: {error}"))?;
        if let Some(trailers) = frame.trailers_ref() {
            end = code_in(trailers).or(end);
        }
        let Some(bytes) = frame.data_ref() else { continue };
        payload.extend_from_slice(bytes);
        if payload.len() > BODY_BYTES_MAX {
            return Err("the answer is too long".to_owned());
        }
    }
    let (code, words) = end.unwrap_or((Code::of_upstream(http_status), format!("status {http_status}")));
    if code == Code::Ok && !is_one_message(&payload) {
        return Err("the answer is not one message".to_owned());
    }
    let seen = health::read(code, payload.get(PREFIX_BYTES..).unwrap_or_default());
    match seen {
        Health::Serving => Ok("serving".to_owned()),
        Health::NotServing => Err("not serving".to_owned()),
        Health::Unknown => Err("the server does not know".to_owned()),
        Health::NoSuchService => Err("the server has no such service".to_owned()),
        Health::NotSpoken => Err("the server has no health service".to_owned()),
        Health::Failed => Err(format!("{} {words}", code.name())),
    }
}

/// The code of a call and its message.
fn code_in(fields: &HeaderMap) -> Option<(Code, String)> {
    let code = Code::read(fields.get(STATUS)?.as_bytes());
    let mut words = Vec::new();
    status::decode_message(fields.get(MESSAGE).map_or(b"", |value| value.as_bytes()), &mut words);
    Some((code, String::from_utf8_lossy(&words).into_owned()))
}

/// One message, not compressed, and nothing else.
fn is_one_message(body: &[u8]) -> bool {
    let Some((prefix, payload)) = body.split_first_chunk::<PREFIX_BYTES>() else { return false };
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    *prefix == Prefix { flags: 0, len }.bytes()
}
