// SPDX-License-Identifier: Apache-2.0
//! The server over real sockets, with a control plane that answers by rote.

use std::future::Future;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::LocalSet;

use super::*;
use crate::config::plan::AdminPlan;
use crate::net::sockets::{ListenOptions, listen};
use crate::policy::key_format::hash_of;

const TOKEN: &str = "Authorization: Bearer token\r\n";

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bounded = async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, bounded);
}

/// The rules of an admin listener whose token is `token`.
fn access() -> Access {
    let token = Some(hash_of(b"token"));
    Access::Listener(Arc::new(AdminPlan { bind: loopback(), names: vec!["admin".into()], token }))
}

fn start(address: &Address) -> AdminServer {
    start_with(address, access())
}

fn start_with(address: &Address, access: Access) -> AdminServer {
    let socket = listen(address, &ListenOptions { reuse_port: false, ..ListenOptions::default() }).expect("listens");
    let (asks, mut inbox) = mpsc::channel(ASKS_MAX);
    spawn_local(async move {
        while let Some(ask) = inbox.recv().await {
            by_rote(ask);
        }
    });
    AdminServer::start(socket, access, asks).expect("starts")
}

fn by_rote(ask: AdminRequest) {
    let _ = match ask {
        AdminRequest::Ready(reply) => reply.send(Readiness::Not("draining")).is_ok(),
        AdminRequest::Metrics(reply) => reply.send("a_metric 1\n".into()).is_ok(),
        AdminRequest::Status(reply) => reply.send(Box::new(Status { pid: 7, ..Status::default() })).is_ok(),
        AdminRequest::Reload(reply) => reply.send(Err("line 3: no\n".into())).is_ok(),
        AdminRequest::Trace(request, reply) => {
            let (reader, lines) = mpsc::channel(2);
            let said = reader.try_send(format!("{}\n", request.selection).into()).is_ok();
            said && reader.try_send("  and more\n".into()).is_ok() && reply.send(Ok(lines)).is_ok()
        }
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
            let answer = over_tcp(&server, line, TOKEN).await;
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
        let answer = over_tcp(&server, "POST /stop", &format!("Origin: http://evil.test\r\n{TOKEN}")).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    });
}

#[test]
fn the_control_socket_speaks_the_same() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let server = start_with(&Address::Unix(path.clone().into()), Access::Everything);
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
        let server = AdminServer::start(socket, access(), asks).expect("starts");
        assert!(over_tcp(&server, "GET /readyz", "").await.starts_with("HTTP/1.1 503 "));
        assert!(over_tcp(&server, "GET /healthz", "").await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn nobody_changes_the_process_without_the_token() {
    run(async {
        let server = start(&loopback());
        let answer = over_tcp(&server, "POST /reload", "").await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
        server.allow(Access::Listener(Arc::new(AdminPlan { bind: loopback(), names: Vec::new(), token: None })));
        let answer = over_tcp(&server, "POST /reload", TOKEN).await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("over the control socket"), "{answer}");
        let answer = over_tcp(&server, "GET /status", "").await;
        assert!(
            answer.starts_with("HTTP/1.1 421 ") && answer.contains("not a name of this admin listener"),
            "{answer}"
        );
    });
}

#[test]
fn silent_and_slow_connections_hold_up_nobody() {
    run(async {
        let server = start(&loopback());
        let Address::Inet(address) = server.address() else { panic!("TCP") };
        let mut open = Vec::new();
        for number in 0..3 * CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            match number % 3 {
                0 => {}
                1 => stream.write_all(b"GET /hea").await.expect("sent"),
                _ => stream.write_all(b"GET /status HTTP/1.1\r\nHost: admin\r\n\r\n").await.expect("sent"),
            }
            open.push(stream);
        }
        let asked = over_tcp(&server, "GET /healthz", "");
        let answer = tokio::time::timeout(HEAD_WAIT / 4, asked).await.expect("before silent connections time out");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let mut gone = String::new();
        assert!(matches!(open[0].read_to_string(&mut gone).await, Ok(0) | Err(_)), "the oldest was closed");
    });
}

#[test]
fn a_request_that_waits_for_the_control_plane_is_not_closed_for_silent_ones() {
    run(async {
        let socket = listen(&loopback(), &ListenOptions::default()).expect("listens");
        let (asks, mut inbox) = mpsc::channel(1);
        let server = AdminServer::start(socket, access(), asks).expect("starts");
        let Address::Inet(address) = server.address() else { panic!("TCP") };
        let (waits, silent) = (over_tcp(&server, "GET /readyz", ""), async {
            let asked = inbox.recv().await.expect("asked");
            let mut open = Vec::new();
            for _ in 0..2 * CONNECTIONS_MAX {
                open.push(TcpStream::connect(address).await.expect("connected"));
            }
            // This one is accepted after the silent ones.
            assert!(over_tcp(&server, "GET /healthz", "").await.starts_with("HTTP/1.1 200 "));
            by_rote(asked);
            open
        });
        let (answer, _open) = tokio::join!(waits, silent);
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("draining\n"), "{answer}");
    });
}
