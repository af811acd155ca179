// SPDX-License-Identifier: Apache-2.0
//! Clients and origins that take their time, and clients that are too many.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::gateway::WEB;
use crate::harness::load::{Load, Use};
use crate::harness::origin::ok;
use crate::harness::{Client, End, Gateway, Origin, Setup};

const SHORT: &str = "timeouts = { head = \"400ms\", body = \"400ms\", keep_alive = \"600ms\", write = \"500ms\" }\n";

fn short(origin: &Origin) -> Gateway {
    Setup::new(format!("{WEB}{SHORT}\n[[route]]\nlimits = {{ body = \"off\" }}\nto = \"{}\"\n", origin.url())).start()
}

/// Runs `act`, which must take between these times.
fn takes<T>(from_ms: u64, to_ms: u64, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let outcome = act();
    let took = start.elapsed();
    let range = Duration::from_millis(from_ms)..Duration::from_millis(to_ms);
    assert!(range.contains(&took), "it took {took:?}");
    outcome
}

#[test]
fn a_slow_head_is_cut_off() {
    let origin = Origin::echo();
    let gateway = short(&origin);
    let mut client = gateway.client();
    let answer = takes(300, 8_000, || client.send("GET / HTTP/1.1\r\nHost: te").answer());
    assert_eq!((answer.status, answer.closes()), (408, true));
    // A byte now and then does not help.
    let mut client = gateway.client();
    takes(300, 8_000, || {
        for _ in 0..100 {
            if client.try_send("X").is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
            client.patience(Duration::from_millis(1));
            if client.ends_within(Duration::from_millis(1)) {
                break;
            }
        }
    });
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_slow_body_is_cut_off() {
    let origin = Origin::echo();
    let gateway = short(&origin);
    let mut client = gateway.client();
    let request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello";
    let answer = takes(300, 8_000, || client.send(request).answer());
    assert_eq!((answer.status, answer.closes()), (408, true));
    assert_eq!(gateway.reason(1), "request_timeout");
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::echo();
    let gateway = short(&origin);
    let mut client = gateway.client();
    let (bytes, end) = takes(400, 8_000, || {
        client.get("/");
        client.rest()
    });
    assert!(bytes.is_empty() && end.is_ok(), "{:?}", String::from_utf8_lossy(&bytes));
    let (bytes, _) = takes(100, 8_000, || gateway.client().rest());
    assert!(bytes.is_empty(), "{:?}", String::from_utf8_lossy(&bytes));
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let origin = Origin::answering(|_| ok(vec![b'x'; 24 << 20]));
    let gateway = short(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let entry = &gateway.log(1)[0];
    assert_eq!(entry["aborted"], true, "{entry}");
    assert!(matches!(client.read("GET"), Ok(answer) if answer.end != End::Complete));
}

#[test]
fn whole_exchanges_have_a_deadline() {
    let origin = Origin::with(|peer| {
        let request = peer.request()?;
        if request.target == "/never" {
            peer.pause(3_000);
            return Ok(());
        }
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..60 {
            peer.send("1\r\nx\r\n");
            peer.pause(50);
        }
        peer.send("0\r\n\r\n");
        Ok(())
    });
    let gateway = Gateway::web(format!(
        "[[route]]\nto = \"{}\"\ntimeouts = {{ total = \"500ms\" }}\nretry = {{ tries = 1 }}\n",
        origin.url()
    ));
    let answer = takes(400, 8_000, || gateway.get("/drip"));
    assert!(matches!(answer.end, End::Aborted(_)), "{:?}", answer.end);
    let answer = takes(400, 8_000, || gateway.get("/never"));
    assert_eq!(answer.status, 504);
    let reasons: Vec<String> = gateway.log(2).iter().map(|entry| entry["reason"].to_string()).collect();
    assert_eq!(reasons, ["\"total_timeout\"", "\"total_timeout\""]);
}

#[test]
fn a_connect_that_goes_nowhere_has_a_deadline() {
    // A listener whose queue is full drops what else comes.
    let full = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    rustix::net::listen(&full, 0).expect("a shorter queue");
    let address = full.local_addr().expect("an address");
    let _held: Vec<TcpStream> =
        (0..4).filter_map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()).collect();
    let gateway = Gateway::web(format!(
        "[upstream.o]\nendpoints = \"{address}\"\ntimeouts = {{ connect = \"300ms\" }}\n\
         [[route]]\nto = \"o\"\nretry = {{ tries = 1 }}\n"
    ));
    let answer = takes(200, 8_000, || gateway.get("/"));
    assert_eq!((answer.status, &*gateway.reason(1)), (504, "connect_timeout"));
}

#[test]
fn connections_above_the_cap_are_refused_and_counted() {
    let origin = Origin::saying("here");
    let gateway = Setup::web(format!("[[route]]\nto = \"{}\"\n", origin.url())).server("connections_max = 10").start();
    let mut held: Vec<Client> = (0..10).map(|_| gateway.client()).collect();
    assert!(held.iter_mut().all(|client| client.get("/").status == 200));
    for _ in 0..3 {
        let mut more = gateway.client();
        more.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        // A clear refusal, or a closed connection; never a wait.
        let answer = takes(0, 8_000, || more.read("GET"));
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 503));
    }
    assert!(gateway.metrics().contains("turnpike_connections_refused_total 3"));
    assert!(held.iter_mut().all(|client| client.get("/").status == 200));
    held.truncate(5);
    crate::harness::wait_for("room", || {
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        client.read("GET").ok().filter(|answer| answer.status == 200)
    });
}

#[test]
fn one_address_cannot_take_all_connections() {
    let origin = Origin::saying("here");
    let gateway = Setup::new(format!(
        "{WEB}limits = {{ connections_per_address = 4, requests_per_connection = 3 }}\n\n[[route]]\nto = \"{}\"\n",
        origin.url()
    ))
    .start();
    let mut held: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
    assert!(held.iter_mut().all(|client| client.get("/").status == 200));
    let mut fifth = gateway.client();
    fifth.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(!matches!(fifth.read("GET"), Ok(answer) if answer.status == 200));
    assert!(!held[0].get("/").closes());
    assert!(held[0].get("/").closes(), "the third request is the last");
}

/// Memory of a process in KiB.
fn resident_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn five_thousand_slow_clients_disturb_nobody() {
    const CLIENTS: usize = 5_000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("a higher limit");
    let origin = Origin::saying("here");
    let gateway = Setup::new(format!(
        "{WEB}timeouts = {{ head = \"4s\" }}\nbacklog = 8192\n\n[[route]]\nto = \"{}\"\n",
        origin.url()
    ))
    .log("")
    .start();
    let here = gateway.here();
    let load = Load::start(here, "/", 1, Use::Kept);
    load.wait_more(20);
    let before = resident_kib(gateway.pid());
    let mut slow: Vec<TcpStream> = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(here).expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: slow").expect("a part of a head");
        slow.push(stream);
    }
    load.wait_more(100);
    let each = (resident_kib(gateway.pid()) - before) * 1024 / CLIENTS as u64;
    println!("{each} bytes for each slow client");
    // A small buffer and a task, which is larger where nothing is optimised.
    assert!(each < 24 * 1024, "{each} bytes for each slow client");
    assert_eq!(gateway.get("/").status, 200);
    // All are cut off, and the gateway is as before.
    crate::harness::wait_for("the slow ones to be cut off", || {
        let metrics = gateway.metrics();
        let open = metrics.lines().find_map(|line| line.strip_prefix("turnpike_connections "))?.parse::<u64>().ok()?;
        (open < 20).then_some(())
    });
    let mut last = slow.pop().expect("many");
    let mut answer = String::new();
    let _ = std::io::Read::read_to_string(&mut last, &mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    load.wait_more(50);
    load.stop();
}
