// SPDX-License-Identifier: Apache-2.0
//! The admin server: health, metrics, status and the admin API over HTTP, on the admin listener and the control
//! socket.
//!
//! This file accepts connections. `serve` is the way of one request, `routes` the list of all that is served, `actions`
//! what serves it; what needs the control plane becomes an `AdminRequest`.

mod access;
mod action;
mod actions;
mod attempts;
mod audit;
mod auth;
mod body;
mod call;
mod idempotency;
pub(crate) mod job;
mod merge;
mod openapi;
mod precondition;
mod principal;
pub(crate) mod problem;
mod query;
mod request;
mod response;
mod router;
mod routes;
mod serve;
mod state;
mod store;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet, spawn_local};

use crate::base::{Address, Tick};
pub(crate) use crate::control::admin::access::Access;
use crate::control::admin::access::Received;
pub(crate) use crate::control::admin::body::moment;
pub(crate) use crate::control::admin::request::{
    ASKS_MAX, AdminRequest, EndSessions, EndpointChange, LevelChange, LevelState, LimitKeyDo, LimitKeyFault,
    LimitKeyRequest, LimitKeyState, LimitWindowState, Readiness, StopMode,
};
pub(crate) use crate::control::admin::state::AdminState;
use crate::net::machine;
use crate::net::sockets::ListenSocket;

/// Most connections at a time; above it an old one is closed for the new one.
const CONNECTIONS_MAX: usize = 128;
/// Longest wait for a request's head.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What all admin servers of a process share, with all that is served.
pub(crate) fn state(asks: mpsc::Sender<AdminRequest>) -> AdminState {
    AdminState::new(asks, routes::all())
}

/// A running server on one socket; dropping it stops accepting, and its connections end.
#[derive(Debug)]
pub(crate) struct AdminServer {
    /// A duplicate, for a successor.
    inheritable: ListenSocket,
    access: Rc<RefCell<Access>>,
    task: AbortHandle,
}

impl AdminServer {
    /// Serves on this listening socket.
    pub(crate) fn start(socket: ListenSocket, access: Access, state: Rc<AdminState>) -> io::Result<AdminServer> {
        let inheritable = socket.duplicate()?;
        let acceptor = Acceptor::of(socket.fd, &socket.address)?;
        let access = Rc::new(RefCell::new(access));
        let task = spawn_local(accept(acceptor, Server { access: Rc::clone(&access), state })).abort_handle();
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
/// silent or slow. When it is dropped, each ends as soon as it has sent the response that it is making.
struct Connections {
    tasks: JoinSet<()>,
    held: VecDeque<Held>,
    /// Connections learn by it that it is gone.
    alive: watch::Sender<()>,
}

impl Drop for Connections {
    fn drop(&mut self) {
        // A set of tasks would abort them.
        self.tasks.detach_all();
    }
}

struct Held {
    task: AbortHandle,
    /// The server is making a response for it.
    answering: Rc<Cell<bool>>,
}

impl Connections {
    fn new() -> Connections {
        Connections { tasks: JoinSet::new(), held: VecDeque::new(), alive: watch::Sender::new(()) }
    }

    fn add(&mut self, serve: impl FnOnce(Rc<Cell<bool>>, watch::Receiver<()>) -> LocalTask) {
        while self.tasks.try_join_next().is_some() {}
        self.held.retain(|held| !held.task.is_finished());
        if self.held.len() >= CONNECTIONS_MAX {
            let victim = self.held.iter().position(|held| !held.answering.get()).unwrap_or(0);
            self.held.remove(victim).into_iter().for_each(|held| held.task.abort());
        }
        let answering = Rc::new(Cell::new(false));
        let task = self.tasks.spawn_local(serve(Rc::clone(&answering), self.alive.subscribe()));
        self.held.push_back(Held { task, answering });
    }
}

/// The task of one connection.
type LocalTask = Pin<Box<dyn Future<Output = ()>>>;

/// What a connection knows of its server.
#[derive(Clone)]
struct Server {
    access: Rc<RefCell<Access>>,
    state: Rc<AdminState>,
}

/// While it cannot accept, it says so once in this time.
const WARN_AGAIN: Duration = Duration::from_secs(10);

async fn accept(acceptor: Acceptor, server: Server) {
    let mut connections = Connections::new();
    let mut warn_at = Tick::ZERO;
    loop {
        let accepted = match &acceptor {
            Acceptor::Tcp(listener) => listener.accept().await.and_then(|(stream, peer)| {
                let received = Received::At { local: stream.local_addr()?.ip(), peer: peer.ip() };
                let server = server.clone();
                connections.add(move |answering, alive| Box::pin(serve(stream, received, server, (answering, alive))));
                Ok(())
            }),
            Acceptor::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                let server = server.clone();
                connections
                    .add(move |answering, alive| Box::pin(serve(stream, Received::Unix, server, (answering, alive))));
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
    (answering, mut alive): (Rc<Cell<bool>>, watch::Receiver<()>),
) {
    let service = service_fn(move |request| {
        let (server, answering) = (server.clone(), Rc::clone(&answering));
        async move {
            answering.set(true);
            let access = server.access.borrow().clone();
            let answer = serve::answer(request, received, access, server.state).await;
            answering.set(false);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = alive.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

#[cfg(test)]
mod tests;
