// SPDX-License-Identifier: Apache-2.0
//! How the process ends, and how another takes its place.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::gateway::{SOON, binary};
use crate::harness::load::{Load, Use};
use crate::harness::tool::reserved;
use crate::harness::{Client, End, Gateway, Origin, Setup, run, wait_for};

fn before(origin: &Origin, server: &str) -> Gateway {
    Setup::web(format!("[[route]]\nname = \"all\"\nto = \"{}\"\n", origin.url())).server(server).start()
}

/// A request that is at the origin and not answered.
fn ask_held(gateway: &Gateway, origin: &Origin) -> Client {
    let mut client = gateway.client();
    let asked = origin.requests().iter().filter(|request| request.target == "/held").count();
    client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request at the origin", || {
        let came = origin.requests().iter().filter(|request| request.target == "/held").count();
        (came > asked).then_some(())
    });
    client
}

fn drains_on(ask: impl FnOnce(&Gateway)) {
    let (origin, release) = Origin::holding();
    let mut gateway = before(&origin, "drain_timeout = \"30s\"");
    let here = gateway.here();
    let mut idle = gateway.client();
    assert!(!idle.get("/").closes());
    let mut running = ask_held(&gateway, &origin);
    ask(&gateway);
    wait_for("new connections to be refused", || Client::try_to(here).is_err().then_some(()));
    release.send(()).expect("the origin waits");
    let answer = running.answer();
    assert_eq!((answer.status, answer.text(), answer.end.clone()), (200, "done".to_owned(), End::Complete));
    assert!(answer.closes(), "{:?}", answer.fields);
    assert!(running.ends_within(SOON) && idle.ends_within(SOON));
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    assert_eq!(gateway.log(2).len(), 2, "the log is written to its end");
    assert!(gateway.said().contains("2 requests") || gateway.said().contains("requests=2"), "{}", gateway.said());
}

#[test]
fn terminate_lets_running_requests_end() {
    drains_on(|gateway| gateway.signal("TERM"));
}

#[test]
fn quit_lets_running_requests_end() {
    drains_on(|gateway| gateway.signal("QUIT"));
}

#[test]
fn the_command_lets_running_requests_end() {
    drains_on(|gateway| {
        let config = gateway.config_path();
        let out = run(binary(), &["stop", "-c", config.to_str().expect("a path")]);
        assert_eq!(out.code, 0, "{}", out.all());
    });
}

#[test]
fn a_drain_has_a_deadline() {
    let origin = Origin::silent();
    let mut gateway = before(&origin, "drain_timeout = \"500ms\"");
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request at the origin", || (origin.count() > 0).then_some(()));
    let asked = Instant::now();
    gateway.signal("TERM");
    gateway.wait(SOON);
    assert!(asked.elapsed() >= Duration::from_millis(450), "{:?}", asked.elapsed());
    assert!(!matches!(client.read("GET"), Ok(answer) if answer.status == 200));
}

#[test]
fn interrupt_stops_at_once() {
    let origin = Origin::silent();
    let mut gateway = before(&origin, "drain_timeout = \"60s\"");
    let mut client = ask_held(&gateway, &origin);
    gateway.signal("INT");
    gateway.wait(SOON);
    assert!(client.read("GET").is_err(), "no answer was made up");
}

/// Ends a gateway with clients and starts another one at once at the same address, again and again.
fn starts_again_after(signal: &str) {
    let reserved = reserved();
    let text = format!("[[listener]]\nbind = \"{}\"\n[[route]]\nanswer = {{ body = \"x\" }}\n", reserved.address());
    let mut gateway = Setup::new(&text).shards(2).start();
    for _ in 0..6 {
        let mut clients: Vec<Client> = (0..4).map(|_| Client::to(reserved.address())).collect();
        assert!(clients.iter_mut().all(|client| client.get("/").status == 200));
        gateway.signal(signal);
        gateway.wait(SOON);
        gateway = Setup::new(&text).shards(2).start();
    }
}

#[test]
fn a_start_right_after_a_kill_succeeds() {
    starts_again_after("KILL");
}

#[test]
fn a_start_right_after_an_interrupt_succeeds() {
    starts_again_after("INT");
}

#[test]
fn load_balancers_have_time_to_look_elsewhere() {
    let origin = Origin::saying("here");
    let mut gateway = before(&origin, "drain_delay = \"1500ms\"");
    let here = gateway.here();
    let asked = Instant::now();
    gateway.signal("TERM");
    wait_for("readiness to fail", || (gateway.admin_get("/readyz")?.status == 503).then_some(()));
    let answer = Client::to(here).get("/");
    if asked.elapsed() < Duration::from_millis(1_300) {
        assert!(answer.status == 200 && !answer.closes(), "{answer:?}");
    }
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_millis(1_500), "{:?}", asked.elapsed());
}

#[test]
fn a_second_wish_ends_a_drain() {
    let origin = Origin::silent();
    let mut gateway = before(&origin, "drain_timeout = \"60s\"");
    let _client = ask_held(&gateway, &origin);
    gateway.signal("TERM");
    wait_for("the drain", || gateway.said().contains("graceful shutdown").then_some(()));
    gateway.signal("INT");
    gateway.wait(SOON);
}

#[test]
fn a_load_that_goes_on_while_it_drains_is_told_to_go() {
    let origin = Origin::saying("here");
    let mut gateway = before(&origin, "drain_timeout = \"30s\"");
    let load = Load::start(gateway.here(), "/", 4, Use::Kept);
    load.wait_more(100);
    gateway.signal("TERM");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    let (good, _, failures) = load.end();
    // Connections that the process had not accepted yet end with its listening socket.
    let unseen = |failure: &&String| failure.starts_with("connect") || failure.contains("behind \" (");
    let broken: Vec<&String> = failures.iter().filter(|failure| !unseen(failure)).collect();
    assert!(good >= 100 && broken.is_empty(), "{broken:?}");
}

/// It has not read its answer while it sends, and a reset could take that from it.
#[test]
fn a_client_that_still_sends_is_heard_out_in_a_drain() {
    let origin = Origin::saying("here");
    let mut gateway = before(&origin, "drain_timeout = \"30s\"");
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000000\r\n\r\n");
    gateway.log(1);
    gateway.signal("TERM");
    wait_for("the drain", || gateway.said().contains("graceful shutdown").then_some(()));
    for _ in 0..5 {
        client.try_send([b'x'; 1_000]).expect("the connection is open");
        sleep(Duration::from_millis(100));
    }
    assert_eq!(client.answer().status, 413);
    let asked = Instant::now();
    while client.try_send([b'x'; 1_000]).is_ok() {
        assert!(asked.elapsed() < SOON, "not for ever");
        sleep(Duration::from_millis(10));
    }
    assert_eq!(gateway.wait(SOON).code(), Some(0));
}

#[test]
fn the_log_is_reopened() {
    let origin = Origin::saying("here");
    let gateway = before(&origin, "");
    gateway.get("/before");
    gateway.log(1);
    let (log, moved) = (gateway.path("access.log"), gateway.path("access.log.1"));
    fs::rename(&log, &moved).expect("renamed");
    gateway.get("/between");
    wait_for("a line in the moved file", || fs::read_to_string(&moved).ok().filter(|text| text.contains("/between")));
    gateway.signal("USR1");
    wait_for("the new file", || log.exists().then_some(()));
    gateway.get("/after");
    assert_eq!(gateway.log(1)[0]["target"], "/after");
    assert!(!fs::read_to_string(&moved).expect("read").contains("/after"));
}

fn upgrades(shards: usize) {
    let (origin, release) = Origin::holding();
    // A port of choice: one that the kernel chose could not be named to the new process.
    let reserved = reserved();
    let listener = format!("[[listener]]\nname = \"web\"\nbind = \"{}\"\n", reserved.address());
    let mut gateway = Setup::new(format!("{listener}\n[[route]]\nname = \"all\"\nto = \"{}\"\n", origin.url()))
        .shards(shards)
        .server("drain_timeout = \"30s\"")
        .start();
    let here = gateway.here();
    let once = Load::start(here, "/", 2, Use::Once);
    let kept = Load::start(here, "/", 2, Use::Kept);
    let mut held = ask_held(&gateway, &origin);
    let mut before = gateway.pid();
    for round in 0..2 {
        once.wait_more(30);
        crate::harness::gateway::signal(before, "USR2");
        let after = wait_for("the successor", || {
            let pid = gateway.admin_get("/status").filter(|answer| answer.status == 200)?.json()["pid"].as_u64()?;
            u32::try_from(pid).ok().filter(|pid| *pid != before)
        });
        gateway.adopt(after);
        once.wait_more(30);
        kept.wait_more(30);
        if round == 0 {
            release.send(()).expect("the origin waits");
            assert_eq!(held.answer().text(), "done", "what ran goes on in the old process");
            assert_eq!(gateway.wait(SOON).code(), Some(0), "the old process ends");
        }
        before = after;
    }
    let (good, _) = once.stop();
    let (kept_good, again) = kept.stop();
    println!("{good} on their own connections, {kept_good} on kept ones, {again} sent again");
    assert_eq!(gateway.here(), here);
}

#[test]
fn a_new_program_takes_over_under_load() {
    upgrades(1);
}

#[test]
fn a_new_program_takes_over_on_two_threads() {
    upgrades(2);
}

#[test]
fn a_successor_that_starts_is_taken_along() {
    let text = "[[listener]]\nbind = \"127.0.0.1:0\"\n[[route]]\nanswer = { body = \"x\" }\n";
    let link = "ln -s \"$1\" {dir}/program; shift; exec {dir}/program \"$@\"";
    for signal in ["TERM", "INT"] {
        let mut gateway = Setup::new(text).shell(link).start();
        fs::remove_file(gateway.path("program")).expect("removed");
        let script = format!("#!/bin/sh\necho $$ > {}\nexec sleep 60\n", gateway.path("successor").display());
        fs::write(gateway.path("program"), script).expect("written");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(gateway.path("program"), executable).expect("set");
        gateway.signal("USR2");
        let read = || fs::read_to_string(gateway.path("successor")).ok()?.trim().parse::<u32>().ok();
        let successor = wait_for("the successor", read);
        gateway.adopt(successor);
        gateway.signal(signal);
        assert_eq!(gateway.wait(SOON).code(), Some(0));
        wait_for("the successor's end", || {
            let stat = fs::read_to_string(format!("/proc/{successor}/stat")).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
    }
}

#[test]
fn a_program_that_cannot_start_takes_nothing_over() {
    let origin = Origin::saying("here");
    let mut gateway = before(&origin, "watch = false");
    let load = Load::start(gateway.here(), "/", 2, Use::Once);
    load.wait_more(20);
    fs::write(gateway.config_path(), "this is = not [ a configuration").expect("written");
    gateway.signal("USR2");
    wait_for("the report", || gateway.said().contains("ended before it served").then_some(()));
    load.wait_more(20);
    load.stop();
    assert!(gateway.runs());
}
