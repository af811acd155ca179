// SPDX-License-Identifier: Apache-2.0
//! Upgraded connections: WebSocket with a client and a server of others, and the bytes of a tunnel themselves.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::gateway::signal;
use crate::harness::origin::wait_idle;
use crate::harness::tool::{python, script};
use crate::harness::{Client, Gateway, Origin, PATIENCE, Setup, noise, run, wait_for};

/// The Python echo server.
struct EchoServer {
    child: Child,
    port: u16,
}

impl EchoServer {
    fn start() -> EchoServer {
        let mut command = Command::new(python());
        command.arg(script("echo_server.py")).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", python().display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        let port = line.trim().parse().expect("a port; is the package websockets installed?");
        EchoServer { child, port }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}

fn before(server: &EchoServer) -> Gateway {
    Setup::web(format!("[[route]]\nname = \"ws\"\nto = \"http://127.0.0.1:{}\"\n", server.port))
        .server("watch = false\ndrain_timeout = \"30s\"")
        .start()
}

#[test]
fn messages_come_back_as_they_were_sent() {
    let server = EchoServer::start();
    let gateway = before(&server);
    let url = format!("ws://{}/chat", gateway.here());
    let out = run(python(), &[script("echo_client.py").to_str().expect("a path"), &url]);
    assert_eq!(out.text().trim(), "good", "{}", out.stderr);
    let entry = &gateway.log(1)[0];
    assert_eq!(entry["status"], 101, "{entry}");
}

/// A client that waits within its connection.
fn held(gateway: &Gateway) -> Child {
    let mut command = Command::new(python());
    command.arg(script("echo_client.py")).arg(format!("ws://{}/chat", gateway.here())).arg("hold");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("python runs")
}

fn go_on(mut child: Child, reader: &mut impl BufRead) {
    child.stdin.take().expect("piped").write_all(b"\n").expect("it waits");
    let mut line = String::new();
    reader.read_line(&mut line).expect("a word");
    let _ = child.wait();
    assert_eq!(line.trim(), "good");
}

#[test]
fn a_tunnel_lives_on_over_reloads() {
    let server = EchoServer::start();
    let mut gateway = before(&server);
    let mut child = held(&gateway);
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a word");
    assert_eq!(line.trim(), "open");
    let web = crate::harness::gateway::WEB;
    gateway.rewrite(format!("{web}\n[[route]]\nanswer = {{ body = \"new\" }}\n"));
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(gateway.get("/chat").text(), "new");
    go_on(child, &mut reader);
}

#[test]
fn a_tunnel_does_not_keep_the_plan_it_began_under() {
    let server = EchoServer::start();
    let route = format!("[[route]]\nname = \"ws\"\nto = \"http://127.0.0.1:{}\"\n", server.port);
    let mut gateway = before(&server);
    let mut child = held(&gateway);
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a word");
    assert_eq!(line.trim(), "open");
    for turn in 0..3 {
        let web = crate::harness::gateway::WEB;
        gateway.rewrite(format!("{web}\n{route}[[route]]\npath = \"/new\"\nanswer = {{ body = \"{turn}\" }}\n"));
        assert_eq!(gateway.reload().0, 200);
    }
    wait_for("the old plans to go", || gateway.metrics().contains("\nturnpike_plans 1\n").then_some(()));
    go_on(child, &mut reader);
    let entry = &gateway.log(1)[0];
    assert_eq!((&entry["status"], &entry["route"]), (&101.into(), &"ws".into()));
    let counted = |line: &str| line.contains("route=\"ws\"") && line.contains("1xx") && line.ends_with(" 1");
    wait_for("the tunnel to be counted", || gateway.metrics().lines().any(counted).then_some(()));
}

const UPGRADE: &str = "GET /t HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: tunnel\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n";

/// An origin that upgrades, and sends back all that comes until the end.
fn tunnel() -> Origin {
    Origin::with(|peer| {
        peer.request()?;
        peer.send(format!("{SWITCH}early"));
        let all = peer.read_to_end();
        peer.send(all);
        peer.finish();
        Ok(())
    })
}

fn open(gateway: &Gateway) -> Client {
    let mut client = gateway.client();
    client.send(UPGRADE);
    let head = client.head();
    assert_eq!((head.status, head.field("upgrade")), (101, "tunnel"));
    assert!(head.fields.all("connection").any(|value| value.to_ascii_lowercase().contains("upgrade")));
    client
}

#[test]
fn a_drain_waits_for_a_tunnel() {
    let origin = tunnel();
    let mut gateway = Setup::web(format!("[[route]]\nto = \"{}\"\n", origin.url()))
        .server("watch = false\ndrain_timeout = \"30s\"")
        .start();
    let mut client = open(&gateway);
    client.exactly(5);
    gateway.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(gateway.runs());
    client.send("still here");
    client.finish();
    assert_eq!(String::from_utf8_lossy(&client.rest().0), "still here");
    assert_eq!(gateway.wait(PATIENCE).code(), Some(0));
}

#[test]
fn silent_or_old_tunnels_are_cut() {
    let origin = tunnel();
    for timeouts in ["tunnel = \"400ms\"", "tunnel_lifetime = \"400ms\""] {
        let gateway = Gateway::web(format!("[[route]]\nto = \"{}\"\ntimeouts = {{ {timeouts} }}\n", origin.url()));
        let mut client = open(&gateway);
        client.exactly(5);
        assert!(client.ends_within(PATIENCE), "{timeouts}");
        assert!(wait_idle(&origin.seen), "the origin's side ends, too");
    }
}

#[test]
fn one_direction_may_end_before_the_other() {
    let origin = tunnel();
    let gateway = Gateway::before(origin.address);
    let mut client = open(&gateway);
    assert_eq!(client.exactly(5), b"early", "bytes right behind the head");
    let sent = noise(2 << 20);
    client.send(&sent);
    // The origin answers only when it sees our end.
    client.finish();
    let (back, end) = client.rest();
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
    assert!(end.is_ok(), "{end:?}");
    assert!(wait_idle(&origin.seen));
}

#[test]
fn bytes_sent_with_the_request_reach_the_origin() {
    let origin = tunnel();
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    client.send(format!("{UPGRADE}impatient"));
    assert_eq!(client.head().status, 101);
    client.finish();
    let (all, _) = client.rest();
    assert_eq!(String::from_utf8_lossy(&all), "earlyimpatient");
}

#[test]
fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let origin = Origin::saying("no, thanks");
    let gateway = Gateway::before(origin.address);
    let mut client = gateway.client();
    assert_eq!(client.ask(UPGRADE).text(), "no, thanks");
    assert_eq!(origin.last().field("upgrade"), "tunnel");
    assert_eq!(client.get("/next").text(), "no, thanks");
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_a_failure() {
    let origin = Origin::once(SWITCH);
    let gateway = Gateway::before(origin.address);
    assert_eq!(gateway.get("/").status, 502);
    let other = Origin::once("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    let gateway = Gateway::before(other.address);
    assert_eq!(gateway.client().ask(UPGRADE).status, 502);
}

#[test]
fn routes_can_forbid_upgrades() {
    let origin = Origin::saying("plain");
    let gateway = Gateway::web(format!("[[route]]\nupgrade = false\nto = \"{}\"\n", origin.url()));
    let answer = gateway.client().ask(UPGRADE);
    assert_eq!((answer.status, origin.last().fields.has("upgrade")), (200, false));
}
