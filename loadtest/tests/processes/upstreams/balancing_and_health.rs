// SPDX-License-Identifier: Apache-2.0
//! Groups of origins: which one is asked, what happens when one is ill, dead, slow or not to be found.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::gateway::{binary, signal};
use crate::harness::load::{Load, Use};
use crate::harness::origin::{ok, wait_idle};
use crate::harness::tool::{Nginx, python, reserved, script};
use crate::harness::{Client, Gateway, Origin, PATIENCE, Setup, curl, noise, run, wait_for};

/// A gateway before these origins; `lines` belong to the upstream.
fn group(origins: &[&Origin], lines: &str) -> Gateway {
    let addresses: Vec<String> = origins.iter().map(|origin| format!("\"{}\"", origin.address)).collect();
    Gateway::web(format!(
        "[upstream.o]\nendpoints = [{}]\n{lines}\n[[route]]\nname = \"all\"\nto = \"o\"\n",
        addresses.join(", ")
    ))
}

fn counts(gateway: &Gateway, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut client = gateway.client();
    for _ in 0..requests {
        *counts.entry(client.get("/").text()).or_default() += 1;
    }
    counts
}

#[test]
fn turns_are_taken_by_weight() {
    let (a, b, c) = (Origin::saying("a"), Origin::saying("b"), Origin::saying("c"));
    let even = counts(&group(&[&a, &b, &c], ""), 30);
    assert_eq!(even.into_values().collect::<Vec<_>>(), [10, 10, 10]);
    let weighted = Gateway::web(format!(
        "[upstream.o]\nendpoints = [{{ address = \"{}\", weight = 5 }}, {{ address = \"{}\", weight = 1 }}, \
         {{ address = \"{}\", weight = 0 }}]\n[[route]]\nto = \"o\"\n",
        a.address, b.address, c.address
    ));
    let weighted = counts(&weighted, 60);
    assert_eq!((weighted["a"], weighted["b"], weighted.get("c")), (50, 10, None));
}

#[test]
fn the_same_key_goes_the_same_way() {
    let origins: Vec<Origin> = ["a", "b", "c", "d"].map(Origin::saying).into_iter().collect();
    let all: Vec<&Origin> = origins.iter().collect();
    let ask = |gateway: &Gateway, user: usize| {
        let mut client = gateway.client();
        client.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nX-User: user-{user}\r\n\r\n")).text()
    };
    let lines = "balance = \"hash\"\nhash = \"header:x-user\"";
    let gateway = group(&all, lines);
    let first: Vec<String> = (0..60).map(|user| ask(&gateway, user)).collect();
    assert_eq!(first, (0..60).map(|user| ask(&gateway, user)).collect::<Vec<_>>());
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    // Without one of them, only its keys move.
    let fewer = group(&all[..3], lines);
    for (user, before) in first.iter().enumerate() {
        let after = ask(&fewer, user);
        assert!(after == *before || before == "d", "user {user} moved from {before} to {after}");
    }
}

#[test]
fn the_less_busy_are_asked() {
    // One answer of the slow one takes as long as six of the fast one, or a second where nobody asks that.
    let answered = Arc::<AtomicUsize>::default();
    let counted = answered.clone();
    let fast = Origin::answering(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        ok("fast")
    });
    let slow = Origin::answering(move |_| {
        let (from, until) = (answered.load(Ordering::SeqCst), Instant::now() + Duration::from_secs(1));
        while answered.load(Ordering::SeqCst) < from + 6 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        ok("slow")
    });
    for balance in ["least_requests", "p2c", "ewma"] {
        let gateway = group(&[&slow, &fast], &format!("balance = \"{balance}\""));
        let here = gateway.here();
        let ask = move || (0..15).filter(|_| Client::to(here).get("/").text() == "fast").count();
        let workers: Vec<_> = (0..4).map(|_| std::thread::spawn(ask)).collect();
        let fast: usize = workers.into_iter().map(|worker| worker.join().expect("no panic")).sum();
        assert!(fast > 35, "{balance}: {fast} of 60 to the fast one");
    }
}

/// A process of its own that answers everything with 200.
struct Victim {
    child: Child,
    port: u16,
}

impl Victim {
    fn start() -> Victim {
        let mut command = Command::new(python());
        let mut child = command.arg(script("plain_server.py")).stdout(Stdio::piped()).spawn().expect("python runs");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a port");
        Victim { child, port: line.trim().parse().expect("a port") }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}

#[test]
fn one_of_two_origins_is_killed_and_no_request_fails() {
    let (victim, other) = (Victim::start(), Victim::start());
    let gateway = Setup::web(format!(
        "[upstream.o]\nendpoints = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n[[route]]\nto = \"o\"\n",
        victim.port, other.port
    ))
    .shards(2)
    .start();
    let kept = Load::start(gateway.here(), "/", 3, Use::Kept);
    let once = Load::start(gateway.here(), "/", 1, Use::Once);
    kept.wait_more(200);
    signal(victim.child.id(), "KILL");
    kept.wait_more(300);
    once.wait_more(100);
    let (_, again) = kept.stop();
    assert_eq!(again, 0);
    once.stop();
}

#[test]
fn failed_tries_are_repeated_elsewhere() {
    let bad = Origin::with(|peer| {
        peer.request()?;
        peer.reset();
        Ok(())
    });
    let good = Origin::answering(|request| ok(&request.body));
    let gateway = group(&[&bad, &good], "outlier = false\nretry_budget = { share = \"100%\", per_second_min = 100 }");
    let mut client = gateway.client();
    for _ in 0..10 {
        assert_eq!(client.get("/").status, 200);
        let put = client.ask("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nagain");
        assert_eq!((put.status, put.text()), (200, "again".to_owned()), "an idempotent request with its body");
    }
    // What may have been acted upon is not sent twice.
    let statuses: Vec<u16> =
        (0..10).map(|_| client.ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 5, "{statuses:?}");
    let posts = |origin: &Origin| origin.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!(posts(&bad) + posts(&good), 10);
}

#[test]
fn statuses_can_be_repeated() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let origin = Origin::answering(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy".to_vec(),
        _ => ok("done"),
    });
    let gateway = Gateway::web(format!(
        "[upstream.o]\nendpoints = \"{}\"\noutlier = false\n\
         [[route]]\nto = \"o\"\nretry = {{ tries = 3, statuses = [503] }}\n",
        origin.address
    ));
    assert_eq!(gateway.get("/").text(), "done");
    assert_eq!((calls.load(Ordering::SeqCst), gateway.log(1)[0]["tries"].as_u64()), (3, Some(3)));
}

#[test]
fn the_last_response_is_passed_on_where_no_further_attempt_may_follow() {
    let busy = || {
        Origin::answering(|_| {
            b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nX-From: origin\r\nContent-Length: 9\r\n\r\nnot today".to_vec()
        })
    };
    // The attempts are used up; the budget allows none; the breaker opened, so that no endpoint may be asked.
    for (lines, attempts) in [
        ("retry_budget = { share = \"100%\", per_second_min = 100 }", 3),
        ("retry_budget = { share = \"0%\", per_second_min = 0 }", 1),
        ("breaker = { failures = 1 }", 1),
    ] {
        let origin = busy();
        let gateway = Gateway::web(format!(
            "[upstream.o]\nendpoints = \"{}\"\noutlier = false\n{lines}\n\
             [[route]]\nto = \"o\"\nretry = {{ tries = 3, statuses = [503] }}\n",
            origin.address
        ));
        let answer = gateway.get("/");
        let seen = (answer.status, answer.field("retry-after"), answer.field("x-from"), answer.text());
        assert_eq!(seen, (503, "7", "origin", "not today".to_owned()), "{lines}");
        let entry = &gateway.log(1)[0];
        assert_eq!((entry["status"].as_u64(), entry["tries"].as_u64()), (Some(503), Some(attempts)), "{entry}");
        assert_eq!(entry["endpoint"], origin.address.to_string(), "{entry}");
        assert!(entry["reason"].is_null(), "no fault: {entry}");
        assert_eq!(origin.count() as u64, attempts, "{lines}");
    }
}

#[test]
fn a_dead_group_is_not_hammered() {
    let bad = Origin::with(|peer| {
        peer.request()?;
        Ok(())
    });
    let gateway = group(&[&bad], "outlier = false\nretry_budget = { share = \"10%\", per_second_min = 1 }");
    let mut client = gateway.client();
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 502);
    }
    assert!(bad.count() <= 100 + 10 + 15, "{} tries for 100 requests", bad.count());
}

#[test]
fn connections_that_the_origin_closed_are_not_used() {
    let origin = Origin::with(|peer| {
        for _ in 0..2 {
            peer.request()?;
            peer.send(ok("kept"));
        }
        Ok(())
    });
    let gateway = group(&[&origin], "");
    let mut client = gateway.client();
    for number in 0..40 {
        let body = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{number:02}");
        let answer = client.ask(body);
        // Not even a POST fails: the end of the connection was there before the request.
        assert_eq!(answer.status, 200, "request {number}");
        if number % 2 == 1 {
            assert!(wait_idle(&origin.seen), "the origin closes behind every second answer");
        }
    }
    assert_eq!(origin.count(), 40);
}

#[test]
fn health_checks_take_an_origin_out_and_in() {
    let well = Arc::new(AtomicBool::new(true));
    let asked = well.clone();
    let a = Origin::answering(move |request| match (&*request.target, asked.load(Ordering::SeqCst)) {
        ("/health", false) => b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ("/health", true) => ok("all is well"),
        _ => ok("a"),
    });
    let b = Origin::answering(|request| if request.target == "/health" { ok("all is well") } else { ok("b") });
    let gateway = group(
        &[&a, &b],
        "health = { path = \"/health\", interval = \"100ms\", rise = 2, fall = 2, body_contains = \"well\" }",
    );
    let both = |count: usize| {
        wait_for("both or one", || (counts(&gateway, 6).len() == count).then_some(()));
    };
    both(2);
    well.store(false, Ordering::SeqCst);
    both(1);
    assert_eq!(counts(&gateway, 10).keys().collect::<Vec<_>>(), ["b"]);
    let down = format!("turnpike_upstream_endpoint_up{{upstream=\"o\",endpoint=\"{}\"}} 0", a.address);
    assert!(gateway.metrics().contains(&down));
    well.store(true, Ordering::SeqCst);
    both(2);
}

#[test]
fn an_origin_that_fails_gets_a_rest() {
    let ill = Arc::new(AtomicBool::new(true));
    let asked = ill.clone();
    let a = Origin::answering(move |_| match asked.load(Ordering::SeqCst) {
        true => b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false => ok("a"),
    });
    let b = Origin::saying("b");
    let gateway = group(&[&a, &b], "outlier = { gateway_errors = 3, rest = \"4s\" }");
    let mut client = gateway.client();
    let failed = (0..20).filter(|_| client.get("/").status == 502).count();
    assert_eq!(failed, 3, "after three failures in a row it rests");
    ill.store(false, Ordering::SeqCst);
    wait_for("its return", || (client.get("/").text() == "a").then_some(()));
}

#[test]
fn backups_serve_when_nobody_else_does() {
    let (a, b) = (Origin::saying("main"), Origin::saying("backup"));
    let config = |main: &str| {
        format!(
            "[upstream.o]\nendpoints = [\"{main}\", {{ address = \"{}\", backup = true }}]\n\
             outlier = {{ connect_failures = 1 }}\n[[route]]\nto = \"o\"\n",
            b.address
        )
    };
    assert_eq!(counts(&Gateway::web(config(&a.address.to_string())), 10).len(), 1);
    let nobody = reserved();
    let dead = Gateway::web(config(&nobody.address().to_string()));
    assert_eq!(counts(&dead, 10).keys().collect::<Vec<_>>(), ["backup"]);
}

#[test]
fn full_upstreams_queue_and_refuse() {
    let (origin, release) = Origin::holding();
    let gateway = group(&[&origin], "limits = { requests = 1, queue = 1 }\ntimeouts = { queue = \"30s\" }");
    let here = gateway.here();
    let (done, statuses) = std::sync::mpsc::channel();
    for _ in 0..4 {
        let done = done.clone();
        std::thread::spawn(move || done.send(Client::to(here).get("/held").status));
    }
    let next = || statuses.recv_timeout(PATIENCE).expect("an answer");
    // One is at the origin and one waits for it, so those that are answered are the others.
    assert_eq!([next(), next()], [503, 503]);
    release.send(()).expect("the origin waits");
    release.send(()).expect("the origin waits");
    assert_eq!([next(), next()], [200, 200]);
    let reasons: Vec<String> =
        gateway.log(4).iter().filter_map(|entry| entry["reason"].as_str().map(str::to_owned)).collect();
    assert_eq!(reasons, ["overloaded", "overloaded"]);
}

#[test]
fn an_open_breaker_answers_at_once() {
    let bad = Origin::answering(|_| b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n".to_vec());
    let gateway = group(&[&bad], "outlier = false\nbreaker = { failures = 5, open = \"30s\" }");
    let statuses: Vec<u16> = (0..12).map(|_| gateway.get("/").status).collect();
    assert_eq!(statuses[..5], [500; 5]);
    assert!(statuses[6..].iter().all(|status| *status == 503), "{statuses:?}");
    assert!(bad.count() <= 6);
    assert_eq!(gateway.reason(12), "breaker_open");
}

#[test]
fn an_ejected_endpoint_is_shown() {
    let bad = Origin::answering(|_| b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n".to_vec());
    let good = Origin::saying("good");
    let gateway = group(&[&bad, &good], "outlier = { gateway_errors = 3, rest = \"30s\" }");
    let mut client = gateway.client();
    (0..20).for_each(|_| drop(client.get("/")));
    let upstream = wait_for("fresh reports", || {
        let upstream = gateway.status()["upstreams"][0].clone();
        (upstream["endpoints"][1]["requests"] == 17).then_some(upstream)
    });
    let (ejected, other) = (&upstream["endpoints"][0], &upstream["endpoints"][1]);
    assert_eq!((&ejected["ejected_shards"], &ejected["serving_shards"]), (&json!(1), &json!(0)), "{upstream}");
    assert_eq!((&ejected["requests"], &ejected["outcomes"]["gateway_error"]), (&json!(3), &json!(3)), "{upstream}");
    let seconds = ejected["ejected_seconds"].as_f64().expect("a number");
    assert!(0.0 < seconds && seconds <= 30.0, "{upstream}");
    assert_eq!((&other["ejected_shards"], &other["outcomes"]["ok"]), (&json!(0), &json!(17)), "{upstream}");
    assert_eq!((&upstream["ejections"], &upstream["breaker"]), (&json!(1), &Value::Null), "{upstream}");
    let metrics = gateway.metrics();
    for (endpoint, value) in [(bad.address, 1), (good.address, 0)] {
        let labels = format!("{{upstream=\"o\",endpoint=\"{endpoint}\"}}");
        assert!(metrics.contains(&format!("turnpike_upstream_endpoint_ejected{labels} {value}\n")), "{metrics}");
    }
    assert!(metrics.contains("turnpike_upstream_ejections_total{upstream=\"o\"} 1\n"), "{metrics}");
    let socket = gateway.path("control.sock").display().to_string();
    let words = run(binary(), &["status", "--control-socket", &socket]).text();
    assert!(words.contains("ejected on 1 shards for"), "{words}");
}

#[test]
fn an_open_breaker_is_shown() {
    let bad = Origin::answering(|_| b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n".to_vec());
    let gateway = group(&[&bad], "outlier = false\nbreaker = { failures = 5, open = \"30s\" }");
    let breaker = |gateway: &Gateway| gateway.status()["upstreams"][0]["breaker"].clone();
    assert_eq!((&breaker(&gateway)["open_shards"], &breaker(&gateway)["opened"]), (&json!(0), &json!(0)));
    (0..5).for_each(|_| drop(gateway.get("/")));
    let open = wait_for("fresh reports", || Some(breaker(&gateway)).filter(|breaker| breaker["open_shards"] == 1));
    assert_eq!((&open["half_open_shards"], &open["opened"]), (&json!(0), &json!(1)));
    let metrics = gateway.metrics();
    assert!(metrics.contains("turnpike_upstream_breaker_open{upstream=\"o\"} 1\n"), "{metrics}");
    assert!(metrics.contains("turnpike_upstream_breaker_opened_total{upstream=\"o\"} 1\n"), "{metrics}");
}

#[test]
fn a_name_that_does_not_resolve_does_not_stop_the_start() {
    let origin = Origin::saying("here");
    let gateway = Gateway::web(format!(
        "[upstream.gone]\nendpoints = \"nowhere.invalid:80\"\n[upstream.local]\nendpoints = \"localhost:{}\"\n\
         [[route]]\npath_prefix = \"/gone\"\nto = \"gone\"\n[[route]]\npath_prefix = \"/local\"\nto = \"local\"\n",
        origin.address.port()
    ));
    let answer = gateway.get("/gone");
    assert_eq!((answer.status, &*gateway.reason(1)), (503, "dns"));
    wait_for("the name to be resolved", || (gateway.get("/local").text() == "here").then_some(()));
    let upstreams = gateway.status()["upstreams"].to_string();
    assert!(upstreams.contains("nowhere.invalid"), "{upstreams}");
}

#[test]
fn nginx_behind_the_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let content = noise(3 << 20);
    std::fs::write(folder.path().join("file.bin"), &content).expect("written");
    // nginx's worker may be another user.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("our folder");
    let nginx = Nginx::start(&format!(
        "root {}; keepalive_requests 5; location /drop {{ return 444; }} location /text {{ return 200 \"text\"; }}",
        folder.path().display()
    ));
    let gateway = Gateway::before(nginx.address);
    let mut client = gateway.client();
    for _ in 0..30 {
        assert_eq!(client.get("/text").text(), "text");
    }
    let file = client.get("/file.bin");
    assert!(file.body == content && file.fields.has("etag"));
    let part = client.ask("GET /file.bin HTTP/1.1\r\nHost: test\r\nRange: bytes=100-199\r\n\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &content[100..200]));
    let etag = file.field("etag").to_owned();
    let same = client.ask(format!("GET /file.bin HTTP/1.1\r\nHost: test\r\nIf-None-Match: {etag}\r\n\r\n"));
    assert_eq!(same.status, 304);
    assert_eq!(client.get("/drop").status, 502);
    let out = curl(&["--compressed", "-H", "Connection: close", &gateway.url("/text")]);
    assert_eq!(out.text(), "text");
}
