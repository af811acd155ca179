// SPDX-License-Identifier: Apache-2.0
//! The admin server: health, metrics, status, reload, stop and trace over HTTP, on the admin listener and the control
//! socket.
//!
//! It has no state: each request becomes an `AdminRequest` to the control plane. `access` says who may ask what.

mod access;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, spawn_local};

use crate::base::{Address, Tick};
pub(crate) use crate::control::admin::access::Access;
use crate::control::admin::access::{Received, Refusal};
use crate::control::exposition;
use crate::control::status::Status;
use crate::control::traces::TraceRequest;
use crate::net::machine::{self, Signal};
use crate::net::sockets::ListenSocket;

/// Most connections at a time; above it an old one is closed for the new one.
const CONNECTIONS_MAX: usize = 128;
/// Longest wait for a request's head.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest wait for the control plane's response; a reload with many certificates takes several seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(90);
/// Requests that wait for the control plane; more of them wait in their connections.
pub(crate) const ASKS_MAX: usize = 64;

/// What a request wants of the control plane.
#[derive(Debug)]
pub(crate) enum AdminRequest {
    /// Does it serve?
    Ready(oneshot::Sender<Readiness>),
    /// The metrics page.
    Metrics(oneshot::Sender<String>),
    /// The status document.
    Status(oneshot::Sender<Box<Status>>),
    /// Reload; `Ok` says what changed, `Err` what is wrong.
    Reload(oneshot::Sender<Result<String, String>>),
    /// Trace requests. `Err` says why that is refused.
    Trace(TraceRequest, oneshot::Sender<Result<mpsc::Receiver<Bytes>, String>>),
    /// Stop.
    Stop(StopMode, oneshot::Sender<String>),
}

/// Does the process serve?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It does.
    Ready,
    /// It does, but for what is said here.
    Degraded(&'static str),
    /// Not for the reason given.
    Not(&'static str),
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopMode {
    /// Running exchanges end first, up to the plan's deadline.
    Drain,
    /// At once.
    Now,
}

impl StopMode {
    /// The signal that asks for the same.
    pub(crate) const fn signal(self) -> Signal {
        match self {
            StopMode::Drain => Signal::Terminate,
            StopMode::Now => Signal::Interrupt,
        }
    }
}

/// A running server on one socket; dropping it stops accepting and ends its connections.
#[derive(Debug)]
pub(crate) struct AdminServer {
    /// A duplicate, for a successor.
    inheritable: ListenSocket,
    access: Rc<RefCell<Access>>,
    task: AbortHandle,
}

impl AdminServer {
    /// Serves on this listening socket.
    pub(crate) fn start(
        socket: ListenSocket,
        access: Access,
        asks: mpsc::Sender<AdminRequest>,
    ) -> io::Result<AdminServer> {
        let inheritable = socket.duplicate()?;
        let acceptor = Acceptor::of(socket.fd, &socket.address)?;
        let access = Rc::new(RefCell::new(access));
        let task = spawn_local(accept(acceptor, Server { access: Rc::clone(&access), asks })).abort_handle();
        Ok(AdminServer { inheritable, access, task })
    }

    /// Replaces the rules of access from the next request on.
    pub(crate) fn allow(&self, access: Access) {
        *self.access.borrow_mut() = access;
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Address {
        &self.inheritable.address
    }

    /// Its socket, for a successor.
    pub(crate) fn inheritable(&self) -> &ListenSocket {
        &self.inheritable
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn of(fd: OwnedFd, address: &Address) -> io::Result<Acceptor> {
        match address {
            Address::Inet(_) => TcpListener::from_std(fd.into()).map(Acceptor::Tcp),
            Address::Unix(_) => UnixListener::from_std(fd.into()).map(Acceptor::Unix),
        }
    }
}

/// The connections of a server, the oldest first. A full server closes one for each that comes: the oldest that waits
/// for a request, or the oldest of all where none does. So nobody can hold up `/healthz` with connections that are
/// silent or slow.
#[derive(Default)]
struct Connections {
    /// Ends with its owner: a set of tasks aborts them when it is dropped.
    tasks: tokio::task::JoinSet<()>,
    held: VecDeque<Held>,
}

struct Held {
    task: AbortHandle,
    /// The server is making a response for it.
    answering: Rc<Cell<bool>>,
}

impl Connections {
    fn add(&mut self, serve: impl FnOnce(Rc<Cell<bool>>) -> LocalTask) {
        while self.tasks.try_join_next().is_some() {}
        self.held.retain(|held| !held.task.is_finished());
        if self.held.len() >= CONNECTIONS_MAX {
            let victim = self.held.iter().position(|held| !held.answering.get()).unwrap_or(0);
            self.held.remove(victim).into_iter().for_each(|held| held.task.abort());
        }
        let answering = Rc::new(Cell::new(false));
        let task = self.tasks.spawn_local(serve(Rc::clone(&answering)));
        self.held.push_back(Held { task, answering });
    }
}

/// The task of one connection.
type LocalTask = Pin<Box<dyn Future<Output = ()>>>;

/// What a connection knows of its server.
#[derive(Clone)]
struct Server {
    access: Rc<RefCell<Access>>,
    asks: mpsc::Sender<AdminRequest>,
}

/// While it cannot accept, it says so once in this time.
const WARN_AGAIN: Duration = Duration::from_secs(10);

async fn accept(acceptor: Acceptor, server: Server) {
    let mut connections = Connections::default();
    let mut warn_at = Tick::ZERO;
    loop {
        let accepted = match &acceptor {
            Acceptor::Tcp(listener) => listener.accept().await.and_then(|(stream, _)| {
                let received = Received::At(stream.local_addr()?.ip());
                let server = server.clone();
                connections.add(move |answering| Box::pin(serve(stream, received, server, answering)));
                Ok(())
            }),
            Acceptor::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                let server = server.clone();
                connections.add(move |answering| Box::pin(serve(stream, Received::Unix, server, answering)));
            }),
        };
        if let Err(error) = accepted {
            let now = machine::now();
            if now >= warn_at {
                warn_at = now.after(WARN_AGAIN);
                tracing::warn!(%error, "the admin listener cannot accept");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    received: Received,
    server: Server,
    answering: Rc<Cell<bool>>,
) {
    let service = service_fn(move |request| {
        let (server, answering) = (server.clone(), Rc::clone(&answering));
        async move {
            answering.set(true);
            let answer = answer(request, received, &server).await;
            answering.set(false);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

/// What a path offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Index,
    Health,
    Ready,
    Metrics,
    Status,
    Reload,
    Stop,
    Trace,
}

impl Page {
    fn of(path: &str) -> Option<Page> {
        match path {
            "/" => Some(Page::Index),
            "/healthz" => Some(Page::Health),
            "/readyz" => Some(Page::Ready),
            "/metrics" => Some(Page::Metrics),
            "/status" => Some(Page::Status),
            "/reload" => Some(Page::Reload),
            "/stop" => Some(Page::Stop),
            "/trace" => Some(Page::Trace),
            _ => None,
        }
    }

    /// Does it change the process, and so needs POST? A trace does, for its time, and it shows what clients send.
    const fn changes(self) -> bool {
        match self {
            Page::Reload | Page::Stop | Page::Trace => true,
            Page::Index | Page::Health | Page::Ready | Page::Metrics | Page::Status => false,
        }
    }
}

const INDEX: &str = "turnpike admin\n\n\
    GET  /healthz   200 while the process lives\n\
    GET  /readyz    200 while it serves and does not drain\n\
    GET  /metrics   Prometheus text format\n\
    GET  /status    listeners, upstreams, health, as JSON\n\
    POST /reload    read the configuration again (needs the token)\n\
    POST /stop      stop when running requests ended; /stop?now at once (needs the token)\n\
    POST /trace     show requests: ?client=IP, ?request_id=ID or ?sample=N, and &for=60s (needs the token)\n";

const PLAIN: &str = "text/plain; charset=utf-8";

type AdminResponse = Response<Content>;

/// The content of a response.
enum Content {
    /// All of it.
    Whole(Full<Bytes>),
    /// What a trace shows, as it comes.
    Trace(mpsc::Receiver<Bytes>),
}

impl Content {
    fn whole(text: String) -> Content {
        Content::Whole(Full::new(Bytes::from(text)))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Content::Whole(whole) => Pin::new(whole).poll_frame(context),
            Content::Trace(lines) => lines.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(whole) => whole.size_hint(),
            Content::Trace(_) => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Content::Whole(whole) => whole.is_end_stream(),
            Content::Trace(_) => false,
        }
    }
}

async fn answer(request: Request<Incoming>, received: Received, server: &Server) -> AdminResponse {
    let access = server.access.borrow().clone();
    let page = Page::of(request.uri().path());
    let changes = page.is_some_and(Page::changes) && request.method() == Method::POST;
    let allowed = if changes { access.changes(request.headers()) } else { Ok(()) };
    let seen = || access.sees(received, request.version(), request.headers());
    if let Err(refusal) = allowed.and_then(|()| seen()) {
        return refused(refusal);
    }
    let Some(page) = page else {
        return text(StatusCode::NOT_FOUND, "nothing is here; GET / lists what is\n".into());
    };
    let allowed: &[Method] = if page.changes() { &[Method::POST] } else { &[Method::GET, Method::HEAD] };
    if !allowed.contains(request.method()) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "not with this method\n".into());
        let names = if page.changes() { "POST" } else { "GET, HEAD" };
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(names));
        return refusal;
    }
    let query = request.uri().query().unwrap_or("");
    let answered = tokio::time::timeout(ANSWER_WAIT, page_of(page, query, &server.asks)).await;
    answered
        .ok()
        .flatten()
        .unwrap_or_else(|| text(StatusCode::SERVICE_UNAVAILABLE, "the control plane does not answer\n".into()))
}

/// The page, or `None` where the control plane is gone.
async fn page_of(page: Page, query: &str, asks: &mpsc::Sender<AdminRequest>) -> Option<AdminResponse> {
    Some(match page {
        Page::Index => text(StatusCode::OK, INDEX.into()),
        Page::Health => text(StatusCode::OK, "ok\n".into()),
        Page::Ready => match ask(asks, AdminRequest::Ready).await? {
            Readiness::Ready => text(StatusCode::OK, "ready\n".into()),
            Readiness::Degraded(words) => text(StatusCode::OK, format!("ready\n{words}\n")),
            Readiness::Not(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        Page::Metrics => {
            let page = ask(asks, AdminRequest::Metrics).await?;
            typed(StatusCode::OK, exposition::CONTENT_TYPE, Content::whole(page))
        }
        Page::Status => {
            let status = ask(asks, AdminRequest::Status).await?;
            let mut json = serde_json::to_string_pretty(&status).unwrap_or_default();
            json.push('\n');
            typed(StatusCode::OK, "application/json", Content::whole(json))
        }
        Page::Reload => match ask(asks, AdminRequest::Reload).await? {
            Ok(words) => text(StatusCode::OK, words),
            Err(words) => text(StatusCode::UNPROCESSABLE_ENTITY, words),
        },
        Page::Stop => {
            let mode = if query == "now" { StopMode::Now } else { StopMode::Drain };
            text(StatusCode::ACCEPTED, ask(asks, |reply| AdminRequest::Stop(mode, reply)).await?)
        }
        Page::Trace => {
            let begun = match TraceRequest::parse(query) {
                Ok(request) => ask(asks, |reply| AdminRequest::Trace(request, reply)).await?,
                Err(words) => Err(words),
            };
            match begun {
                Ok(lines) => typed(StatusCode::OK, PLAIN, Content::Trace(lines)),
                Err(words) => text(StatusCode::UNPROCESSABLE_ENTITY, format!("{words}\n")),
            }
        }
    })
}

async fn ask<T>(
    asks: &mpsc::Sender<AdminRequest>,
    question: impl FnOnce(oneshot::Sender<T>) -> AdminRequest,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    asks.send(question(reply)).await.ok()?;
    answer.await.ok()
}

fn refused(refusal: Refusal) -> AdminResponse {
    let mut answer = text(refusal.status, refusal.words.into());
    if refusal.status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn text(status: StatusCode, words: String) -> AdminResponse {
    typed(status, PLAIN, Content::whole(words))
}

fn typed(status: StatusCode, content_type: &'static str, body: Content) -> AdminResponse {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests;
