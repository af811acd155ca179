// SPDX-License-Identifier: Apache-2.0
//! The server over real sockets, with a control plane that answers by rote.

use std::future::Future;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::LocalSet;

use super::*;
use crate::net::sockets::{ListenOptions, listen};

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bounded = async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, bounded);
}

fn start(address: &Address) -> AdminServer {
    let socket = listen(address, &ListenOptions { reuse_port: false, ..ListenOptions::default() }).expect("listens");
    let (asks, mut inbox) = mpsc::channel(ASKS_MAX);
    spawn_local(async move {
        while let Some(ask) = inbox.recv().await {
            by_rote(ask);
        }
    });
    AdminServer::start(socket, asks).expect("starts")
}

fn by_rote(ask: AdminRequest) {
    let _ = match ask {
        AdminRequest::Ready(reply) => reply.send(Readiness::Not("draining")).is_ok(),
        AdminRequest::Metrics(reply) => reply.send("a_metric 1\n".into()).is_ok(),
        AdminRequest::Status(reply) => reply.send(Box::new(Status { pid: 7, ..Status::default() })).is_ok(),
        AdminRequest::Reload(reply) => reply.send(Err("line 3: no\n".into())).is_ok(),
        AdminRequest::Stop(mode, reply) => reply.send(format!("{mode:?}\n")).is_ok(),
    };
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, line: &str, fields: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

fn loopback() -> Address {
    Address::Inet("127.0.0.1:0".parse().expect("an address"))
}

async fn over_tcp(server: &AdminServer, line: &str, fields: &str) -> String {
    let Address::Inet(address) = server.address() else { panic!("TCP") };
    exchange(TcpStream::connect(address).await.expect("connected"), line, fields).await
}

#[test]
fn every_page_answers() {
    run(async {
        let server = start(&loopback());
        for (line, status, body) in [
            ("GET /", "200", "GET  /metrics"),
            ("GET /healthz", "200", "ok\n"),
            ("GET /readyz", "503", "draining\n"),
            ("GET /metrics", "200", "a_metric 1\n"),
            ("GET /status?x", "200", "\"pid\": 7"),
            ("POST /reload", "422", "line 3: no\n"),
            ("POST /stop", "202", "Drain\n"),
            ("POST /stop?now", "202", "Now\n"),
            ("GET /reload", "405", "allow: POST"),
            ("DELETE /metrics", "405", "allow: GET, HEAD"),
            ("GET /nothing", "404", "GET /"),
        ] {
            let answer = over_tcp(&server, line, "").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(body), "{line}: {answer}");
        }
        let answer = over_tcp(&server, "GET /metrics", "").await;
        assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
        assert!(!over_tcp(&server, "HEAD /healthz", "").await.ends_with("ok\n"));
    });
}

#[test]
fn a_page_in_a_browser_changes_nothing() {
    run(async {
        let server = start(&loopback());
        let answer = over_tcp(&server, "POST /stop", "Origin: http://evil.test\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    });
}

#[test]
fn the_control_socket_speaks_the_same() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let server = start(&Address::Unix(path.clone().into()));
        let stream = UnixStream::connect(&path).await.expect("connected");
        assert!(exchange(stream, "POST /stop", "").await.starts_with("HTTP/1.1 202 "));
        drop(server);
        tokio::task::yield_now().await;
        let ended = UnixStream::connect(&path).await;
        assert!(ended.is_err());
    });
}

#[test]
fn a_control_plane_that_is_gone_is_said() {
    run(async {
        let socket = listen(&loopback(), &ListenOptions::default()).expect("listens");
        let (asks, inbox) = mpsc::channel(1);
        drop(inbox);
        let server = AdminServer::start(socket, asks).expect("starts");
        assert!(over_tcp(&server, "GET /readyz", "").await.starts_with("HTTP/1.1 503 "));
        assert!(over_tcp(&server, "GET /healthz", "").await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn peers_elsewhere_may_look_only() {
    run(async {
        let (asks, _inbox) = mpsc::channel(1);
        let (ours, theirs) = tokio::io::duplex(4096);
        let room = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("room");
        spawn_local(serve(theirs, Peer::Elsewhere, asks, room));
        assert!(exchange(ours, "POST /reload", "").await.starts_with("HTTP/1.1 403 "));
    });
}
