// SPDX-License-Identifier: Apache-2.0
//! A small HTTP/2 and gRPC client of the control plane, for health checks and reflection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

use crate::control::dial::Connected;
use crate::wire::grpc::message::{PREFIX_BYTES, Prefix};
use crate::wire::grpc::status::{MESSAGE, STATUS};
use crate::wire::grpc::timeout::{self, TIMEOUT};
use crate::wire::grpc::{Code, status};

/// Why an endpoint that speaks HTTP/1.1 cannot be called.
pub(super) const NO_GRPC: &str = "the endpoint chose HTTP/1.1, which has no gRPC";

/// A task that moves a connection's bytes; it ends with this.
pub(super) struct Driver(JoinHandle<()>);

impl Driver {
    /// Moves the bytes of `connection`.
    pub(super) fn of(connection: impl Future<Output = hyper::Result<()>> + 'static) -> Driver {
        Driver(spawn_local(async move {
            // An error of the connection also ends the exchange, which reports it.
            let _ = connection.await;
        }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Spawns on the thread of the control plane.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// A request's body: the messages that are sent during the call.
struct RequestBody(mpsc::UnboundedReceiver<Bytes>);

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|said| said.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

/// One connection of HTTP/2.
pub(super) struct Session {
    sender: SendRequest<RequestBody>,
    origin: String,
    agent: &'static str,
    _driver: Driver,
}

impl Session {
    /// Begins HTTP/2 on a connection. `host` is who is asked, `agent` who asks.
    pub(super) async fn open(connected: Connected, host: &str, agent: &'static str) -> Result<Session, String> {
        let handshake = http2::Builder::new(Local).handshake(TokioIo::new(connected.stream));
        let (sender, connection) = handshake.await.map_err(|error| error.to_string())?;
        let origin = format!("{}://{host}", connected.scheme);
        Ok(Session { sender, origin, agent, _driver: Driver::of(connection) })
    }

    /// Asks for a path.
    pub(super) async fn get(&mut self, path: &str) -> Result<Response<Incoming>, String> {
        let (_, nothing) = mpsc::unbounded_channel();
        let request = self.request(Request::get(format!("{}{path}", self.origin)).header(ACCEPT, "*/*"), nothing)?;
        self.sender.send_request(request).await.map_err(|error| format!("exchange: {error}"))
    }

    /// Begins a call that may last for `timeout`.
    pub(super) fn call(&mut self, path: &str, timeout: Duration) -> Result<Call, String> {
        let (questions, said) = mpsc::unbounded_channel();
        let mut lasts = Vec::new();
        timeout::write(timeout, &mut lasts);
        let head = Request::post(format!("{}{path}", self.origin))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(TIMEOUT, lasts);
        let answer = self.sender.send_request(self.request(head, said)?);
        Ok(Call {
            questions: Some(questions),
            answer: CallResponse::Awaited(Box::pin(answer)),
            read: Vec::new(),
            end: None,
        })
    }

    fn request(&self, head: Builder, said: mpsc::UnboundedReceiver<Bytes>) -> Result<Request<RequestBody>, String> {
        head.header(USER_AGENT, self.agent).body(RequestBody(said)).map_err(|error| error.to_string())
    }
}

/// One call.
pub(super) struct Call {
    questions: Option<mpsc::UnboundedSender<Bytes>>,
    answer: CallResponse,
    read: Vec<u8>,
    end: Option<(Code, String)>,
}

enum CallResponse {
    Awaited(Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>>>>),
    Body(Incoming),
    /// The response is not gRPC.
    Foreign,
}

impl Call {
    /// Sends one message with its prefix.
    pub(super) fn say(&self, message: Vec<u8>) {
        // Where the server does not read any more, its response says why.
        let _ = self.questions.as_ref().map(|questions| questions.send(Bytes::from(message)));
    }

    /// Ends the request: no more messages follow.
    pub(super) fn finish(&mut self) {
        self.questions = None;
    }

    /// The payload of the next message, of `bytes_max` bytes at most; `None` when the call is over.
    pub(super) async fn next(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(payload) = self.take(bytes_max)? {
                return Ok(Some(payload));
            }
            let body = match &mut self.answer {
                CallResponse::Body(body) => body,
                CallResponse::Foreign => return Ok(None),
                CallResponse::Awaited(answer) => {
                    let (head, body) = answer.await.map_err(|error| format!("exchange: {error}"))?.into_parts();
                    let status = head.status.as_u16();
                    let missing = || (Code::of_upstream(status), format!("status {status}"));
                    self.end = Some(code_in(&head.headers).unwrap_or_else(missing));
                    self.answer = if status == 200 { CallResponse::Body(body) } else { CallResponse::Foreign };
                    continue;
                }
            };
            let Some(frame) = body.frame().await else { break };
            let frame = frame.map_err(|error| format!("body: {error}"))?;
            if let Some(trailers) = frame.trailers_ref() {
                self.end = code_in(trailers).or(self.end.take());
            }
            self.read.extend_from_slice(frame.data_ref().map_or(&[], |bytes| bytes));
        }
        if self.read.is_empty() { Ok(None) } else { Err("the response ends inside a message".to_owned()) }
    }

    /// How it ended: the code and its message. Before that, what the response's head said.
    pub(super) fn end(self) -> (Code, String) {
        self.end.unwrap_or((Code::Unknown, "no answer".to_owned()))
    }

    /// A whole message, where one has come.
    fn take(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
        let Some((prefix, rest)) = self.read.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let prefix = Prefix::read(*prefix);
        if prefix.flags != 0 {
            return Err("the response is compressed although that was not requested".to_owned());
        }
        let len = prefix.len as usize;
        if len > bytes_max {
            return Err("the response is too large".to_owned());
        }
        if rest.len() < len {
            return Ok(None);
        }
        let behind = self.read.split_off(PREFIX_BYTES + len);
        let mut message = std::mem::replace(&mut self.read, behind);
        message.drain(..PREFIX_BYTES);
        Ok(Some(message))
    }
}

/// The code of a call and its message.
fn code_in(fields: &HeaderMap) -> Option<(Code, String)> {
    let code = Code::read(fields.get(STATUS)?.as_bytes());
    let mut words = Vec::new();
    status::decode_message(fields.get(MESSAGE).map_or(b"", |value| value.as_bytes()), &mut words);
    Some((code, String::from_utf8_lossy(&words).into_owned()))
}
