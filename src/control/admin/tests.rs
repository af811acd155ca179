// SPDX-License-Identifier: Apache-2.0
//! The server over real sockets, with a control plane that answers by rote.

use std::future::Future;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::LocalSet;

use super::*;
use crate::config::directory::Declared;
use crate::config::plan::{AdminPlan, AdminTokenPlan};
use crate::config::spec::server::{AdminRole, LogLevel};
use crate::control::overrides::OverrideFault;
use crate::control::status::{EndpointStatus, Status, UpstreamStatus};
use crate::control::store::fault::StoreFault;
use crate::net::sockets::{ListenOptions, listen};
use crate::policy::key_format::hash_of;

const TOKEN: &str = "Authorization: Bearer token\r\n";

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bounded = async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, bounded);
}

/// The rules of an admin listener with a token of each role, which is its role's word; `token` is an admin's.
fn access() -> Access {
    let words = ["viewer", "operator", "admin", "token"];
    let roles = [AdminRole::Viewer, AdminRole::Operator, AdminRole::Admin, AdminRole::Admin];
    let tokens = words.into_iter().zip(roles).map(|(word, role)| AdminTokenPlan {
        name: word.into(),
        role,
        hash: hash_of(word.as_bytes()),
        expires: None,
    });
    let tokens = tokens.collect();
    Access::Listener(Arc::new(AdminPlan { bind: loopback(), names: vec!["admin".into()], tokens }))
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
    AdminServer::start(socket, access, Rc::new(state(asks))).expect("starts")
}

fn by_rote(ask: AdminRequest) {
    let _ = match ask {
        AdminRequest::Ready(reply) => reply.send(Readiness::Not("draining")).is_ok(),
        AdminRequest::Metrics(reply) => reply.send("a_metric 1\n".into()).is_ok(),
        AdminRequest::Status(reply) => reply.send(Box::new(status())).is_ok(),
        AdminRequest::Traces(reply) => reply.send(Vec::new()).is_ok(),
        AdminRequest::Write(_, reply) => reply.send(Err(StoreFault::None)).is_ok(),
        AdminRequest::Read(job) => job.run(None, &Declared::default()).is_ok(),
        AdminRequest::LogLevel(change, reply) => {
            let chosen = if let LevelChange::Choose(level) = change { Some(level) } else { None };
            reply.send(LevelState { configured: LogLevel::Info, chosen }).is_ok()
        }
        AdminRequest::Endpoint(change, reply) => {
            let known = change.upstream == "pool" && change.endpoint == "[::1]:80";
            reply.send(if known { Ok(()) } else { Err(OverrideFault::NoEndpoint) }).is_ok()
        }
        AdminRequest::LimitKey(_, reply) => reply.send(Err(LimitKeyFault::NoLimit)).is_ok(),
        AdminRequest::EndSessions(_, reply) => reply.send(1).is_ok(),
        AdminRequest::Reload(reply) => reply.send(Err("line 3: no\n".into())).is_ok(),
        AdminRequest::Trace(request, reply) => {
            let (reader, lines) = mpsc::channel(2);
            let said = reader.try_send(format!("{}\n", request.selection).into()).is_ok();
            said && reader.try_send("  and more\n".into()).is_ok() && reply.send(Ok(lines)).is_ok()
        }
        AdminRequest::Stop(mode, reply) => reply.send(format!("{mode:?}\n")).is_ok(),
    };
}

fn status() -> Status {
    let endpoint = EndpointStatus { address: "[::1]:80".into(), weight: 3, ..EndpointStatus::default() };
    let pool = |name: &str| UpstreamStatus {
        name: name.into(),
        endpoints: vec![endpoint.clone()],
        ..UpstreamStatus::default()
    };
    Status { pid: 7, upstreams: vec![pool("pool"), pool("other"), pool("third")], ..Status::default() }
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
            ("GET /", "200", "/metrics"),
            ("GET /healthz", "200", "ok\n"),
            ("GET /readyz", "503", "draining\n"),
            ("GET /metrics", "200", "a_metric 1\n"),
            ("GET /status?x", "200", "\"pid\": 7"),
            ("POST /reload", "422", "line 3: no\n"),
            ("POST /stop", "202", "Drain\n"),
            ("POST /stop?now", "202", "Now\n"),
            ("GET /reload", "405", "allow: POST"),
            ("DELETE /metrics", "405", "allow: GET, HEAD"),
            ("GET /nothing", "404", "GET / lists"),
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
        let server = AdminServer::start(socket, access(), Rc::new(state(asks))).expect("starts");
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
        let plan = AdminPlan { bind: loopback(), names: vec!["admin".into()], tokens: Vec::new() };
        server.allow(Access::Listener(Arc::new(plan.clone())));
        let answer = over_tcp(&server, "POST /reload", "").await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("control socket"), "{answer}");
        server.allow(Access::Listener(Arc::new(AdminPlan { names: Vec::new(), ..plan })));
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
        let server = AdminServer::start(socket, access(), Rc::new(state(asks))).expect("starts");
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

/// The status and the document of a response.
async fn api(server: &AdminServer, line: &str, fields: &str, body: &str) -> (u16, Value) {
    let Address::Inet(address) = server.address() else { panic!("TCP") };
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}");
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head[9..12].parse().expect("a status"), serde_json::from_str(body).unwrap_or_default())
}

const JSON: &str = "Content-Type: application/json\r\n";

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn each_role_may_do_what_its_routes_say_and_no_more() {
    run(async {
        let server = start(&loopback());
        let roles = [("", None), ("viewer", Some(AdminRole::Viewer)), ("operator", Some(AdminRole::Operator))];
        let roles = roles.into_iter().chain([("admin", Some(AdminRole::Admin))]);
        for (word, role) in roles {
            for route in routes::all() {
                let fields = if word.is_empty() { String::new() } else { bearer(word) };
                let path = route
                    .path
                    .replace("{upstream}", "pool")
                    .replace("{name}", "n")
                    .replace("{id}", "i")
                    .replace("{endpoint}", "[::1]:80");
                let line = format!("{} {}", route.verb.name(), path.replace("{limit}", "few"));
                let (status, _) = api(&server, &line, &fields, "").await;
                let expected = match (route.need, role) {
                    (router::Need::Role(_), None) => Some(401),
                    (router::Need::Role(least), Some(role)) if role < least => Some(403),
                    (router::Need::Nothing | router::Need::Local | router::Need::Role(_), _) => None,
                };
                match expected {
                    Some(expected) => assert_eq!(status, expected, "{line} as {word}"),
                    None => assert!(![401, 403, 405].contains(&status), "{line} as {word}: {status}"),
                }
            }
        }
    });
}

#[test]
fn endpoints_are_drained_and_the_audit_says_by_whom() {
    run(async {
        let server = start(&loopback());
        let operator = bearer("operator");
        let path = "/api/v1/upstreams/pool/endpoints/%5B::1%5D:80";
        assert_eq!(api(&server, &format!("POST {path}/drain"), &operator, "").await.0, 200);
        let weight = |body| api(&server, "PUT /api/v1/upstreams/pool/endpoints/[::1]:80/weight", &operator, body);
        assert_eq!(weight(r#"{"weight":4}"#).await.0, 415);
        let json = format!("{operator}{JSON}");
        let weight = async |body| {
            let line = format!("PUT {path}/weight");
            let (status, document) = api(&server, &line, &json, body).await;
            (status, document["errors"][0]["pointer"].as_str().unwrap_or("-").to_owned())
        };
        assert_eq!(weight(r#"{"weight":4}"#).await, (200, "-".to_owned()));
        assert_eq!(weight(r#"{"weight":65536}"#).await, (422, "/weight".to_owned()));
        assert_eq!(weight(r#"{"weight":1,"wait":2}"#).await, (422, "/wait".to_owned()));
        assert_eq!(weight(r#"{"weight":1,"weight":2}"#).await, (400, "-".to_owned()));
        let missing = api(&server, "POST /api/v1/upstreams/none/endpoints/a/drain", &operator, "").await;
        assert_eq!((missing.0, &missing.1["type"]), (404, &Value::from("urn:turnpike:problem:not-found")));
        let (status, rows) = api(&server, "GET /api/v1/audit", &bearer("admin"), "").await;
        let row = |at: usize| (rows["items"][at]["action"].clone(), rows["items"][at]["by"].clone());
        assert_eq!(
            (status, row(0), row(1)),
            (200, ("weight".into(), "operator".into()), ("drain".into(), "operator".into()))
        );
        assert_eq!(rows["items"][0]["object"], "upstreams/pool/endpoints/[::1]:80");
        assert_eq!(rows["items"].as_array().map(Vec::len), Some(2), "what was refused is no change");
    });
}

#[test]
fn a_write_that_is_sent_again_is_done_once() {
    run(async {
        let server = start(&loopback());
        let fields = format!("{}{JSON}Idempotency-Key: k1\r\n", bearer("operator"));
        let first = api(&server, "PUT /api/v1/log-level", &fields, r#"{"level":"debug"}"#).await;
        let again = api(&server, "PUT /api/v1/log-level", &fields, r#"{"level":"debug"}"#).await;
        assert_eq!((first.0, &first), (200, &again));
        assert_eq!(first.1["chosen"], "debug");
        assert_eq!(api(&server, "PUT /api/v1/log-level", &fields, r#"{"level":"warn"}"#).await.0, 422);
        // Another principal's key is another key.
        let other = fields.replace("operator", "admin");
        assert_eq!(api(&server, "PUT /api/v1/log-level", &other, r#"{"level":"warn"}"#).await.0, 200);
        let (_, rows) = api(&server, "GET /api/v1/audit", &bearer("admin"), "").await;
        assert_eq!(rows["items"].as_array().map(Vec::len), Some(2));
    });
}

#[test]
fn lists_are_walked_and_wrong_queries_are_named() {
    run(async {
        let server = start(&loopback());
        let mut names = Vec::new();
        let mut line = "GET /api/v1/upstreams?limit=1".to_owned();
        loop {
            let (status, part) = api(&server, &line, "", "").await;
            assert_eq!(status, 200);
            names.push(part["items"][0]["name"].as_str().expect("a name").to_owned());
            let Some(next) = part["next"].as_str() else { break };
            line = format!("GET /api/v1/upstreams?limit=1&cursor={next}");
        }
        assert_eq!(names, ["other", "pool", "third"]);
        let (status, problem) = api(&server, "GET /api/v1/upstreams?limits=1", "", "").await;
        assert_eq!((status, &problem["parameter"]), (400, &Value::from("limits")));
        let (status, _) = api(&server, "GET /api/v1/upstreams", "", "body").await;
        assert_eq!(status, 400);
    });
}

#[test]
fn the_openapi_document_has_every_route_of_the_api() {
    run(async {
        let server = start(&loopback());
        let (status, document) = api(&server, "GET /api/v1/openapi.json", "", "").await;
        assert_eq!((status, &document["openapi"]), (200, &Value::from("3.1.0")));
        let mut ids = std::collections::HashSet::new();
        for route in routes::all().iter().filter(|route| route.is_api()) {
            let operation = &document["paths"][&route.path][route.verb.name().to_ascii_lowercase()];
            assert!(ids.insert(operation["operationId"].as_str().expect("an id").to_owned()), "{}", route.path);
            let described = operation["responses"].as_object().expect("responses");
            assert!(route.statuses.iter().all(|status| described.contains_key(&status.to_string())), "{}", route.path);
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("a name");
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    });
}
