// SPDX-License-Identifier: Apache-2.0
//! Connections of HTTP/2 from their beginning to their end: reloads, drains, successors, idleness, limits.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::gateway::SOON;
use crate::harness::http2::{Lines, Load2, Origin2, WEB2, ask_all, to, web2};
use crate::harness::tool::reserved;
use crate::harness::{Client, Gateway, Origin, Setup, run, wait_for};

/// A plan that says its number in each answer.
fn plan(listener: &str, origin: &Origin, number: usize) -> String {
    format!(
        "{listener}\n[upstream.o]\nendpoints = \"{}\"\n[[route]]\nname = \"all\"\nto = \"o\"\n\
         response_headers = {{ set = {{ x-plan = \"{number}\" }} }}\n",
        origin.address
    )
}

#[test]
fn reloads_under_load_close_nothing() {
    let origin = Origin::saying("here");
    let mut gateway = Setup::new(plan(WEB2, &origin, 0)).shards(2).server("watch = false").start();
    let load = Load2::start(gateway.here(), "/", 3, 8);
    for number in 1..=4 {
        gateway.rewrite(plan(WEB2, &origin, number));
        assert_eq!(gateway.reload().0, 200);
        wait_for("the new plan", || (gateway.get("/").field("x-plan") == number.to_string()).then_some(()));
    }
    let tally = load.stop();
    assert_eq!((&tally["connections"], &tally["goaways"]), (&json!(3), &json!(0)), "{tally}");
}

/// What comes on a listener that is gone may be sent elsewhere; what was taken before is answered.
#[test]
fn a_listener_that_goes_takes_no_request_with_it() {
    let (origin, release) = Origin::holding();
    let other = "[[listener]]\nname = \"other\"\nbind = \"127.0.0.2:0\"\nhttp2 = { cleartext = true }\n";
    let text = to(origin.address, "1.1", "");
    let mut gateway = Setup::new(format!("{WEB2}{other}{text}")).server("watch = false").start();
    let there = gateway.address("other");
    let mut slow = Lines::start("h2_leaver.py", &[&there.to_string(), "/held"]);
    assert_eq!(slow.hear(), "asked");
    let mut load = Load2::start(there, "/", 3, 8);
    gateway.rewrite(format!("{WEB2}{text}"));
    assert_eq!(gateway.reload().0, 200);
    wait_for("the address to be free", || Client::try_to(there).is_err().then_some(()));
    load.wait("goaways", 3);
    release.send(()).expect("the origin waits");
    let tally = load.end();
    let failures: Vec<&str> =
        tally["failures"].as_array().expect("a list").iter().filter_map(|failure| failure.as_str()).collect();
    assert!(failures.iter().all(|failure| failure.starts_with("connect")), "{failures:?}");
    assert_eq!(tally["goaways"], 3, "{tally}");
    assert_eq!(slow.say(&json!("answer")), json!(200));
}

/// What was sent before the client knew is answered, and what it sends later it sends elsewhere.
#[test]
fn a_drain_says_goaway_and_loses_nothing() {
    let (origin, release) = Origin::holding();
    let gateway = web2(to(origin.address, "1.1", "")).server("drain_timeout = \"30s\"");
    let mut gateway = gateway.start();
    let here = gateway.here();
    let mut slow = Lines::start("h2_leaver.py", &[&here.to_string(), "/held"]);
    assert_eq!(slow.hear(), "asked");
    let mut load = Load2::start(here, "/", 3, 8);
    gateway.signal("TERM");
    load.wait("goaways", 3);
    release.send(()).expect("the origin waits");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    let tally = load.end();
    let failures: Vec<&str> =
        tally["failures"].as_array().expect("a list").iter().filter_map(|failure| failure.as_str()).collect();
    // New connections are refused; what ran was answered.
    assert!(failures.iter().all(|failure| failure.starts_with("connect")), "{failures:?}");
    assert_eq!(tally["goaways"], 3, "{tally}");
    assert_eq!(slow.say(&json!("answer")), json!(200));
    assert!(Client::try_to(here).is_err());
}

/// h2load takes any request that is not answered for a failure.
#[test]
fn h2load_through_a_drain_sees_no_request_break_off() {
    let origin = Origin::saying("here");
    let mut gateway = web2(to(origin.address, "1.1", "")).server("drain_timeout = \"30s\"").start();
    let url = gateway.url("/");
    let load = std::thread::spawn(move || run("h2load", &["-D", "3", "-c", "4", "-m", "10", &url]));
    wait_for("the load", || (origin.count() > 300).then_some(()));
    gateway.signal("TERM");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
    let text = load.join().expect("it ends").text();
    let line = text.lines().find(|line| line.starts_with("status codes:")).expect("a summary");
    assert!(line.contains(" 0 3xx, 0 4xx, 0 5xx"), "{text}");
}

#[test]
fn a_new_program_takes_over_under_load() {
    let origin = Origin::saying("here");
    // A port of choice: one that the kernel chose could not be named to the new process.
    let reserved = reserved();
    let listener = format!("[[listener]]\nname = \"web\"\nbind = \"{}\"\nhttp2.cleartext = true\n", reserved.address());
    let text = format!("{listener}\n{}", to(origin.address, "1.1", ""));
    let mut gateway = Setup::new(text).server("drain_timeout = \"30s\"").start();
    let mut load = Load2::start(gateway.here(), "/", 3, 8);
    let before = gateway.pid();
    gateway.signal("USR2");
    let after = wait_for("the successor", || {
        let pid = gateway.admin_get("/status").filter(|answer| answer.status == 200)?.json()["pid"].as_u64()?;
        u32::try_from(pid).ok().filter(|pid| *pid != before)
    });
    gateway.adopt(after);
    assert_eq!(gateway.wait(SOON).code(), Some(0), "the old process ends");
    load.wait("connections", 6);
    let tally = load.stop();
    assert_eq!((&tally["connections"], &tally["goaways"]), (&json!(6), &json!(3)), "{tally}");
}

/// How a connection without streams ends: its frames and its end, as a client sees them.
fn idle(gateway: &Gateway, path: &str) -> serde_json::Value {
    let mut client = Lines::start("h2_leaver.py", &[&gateway.here().to_string(), path]);
    assert_eq!(client.hear(), "asked");
    assert_eq!(client.say(&json!("answer")), json!(200));
    client.say(&json!("end"))
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let origin = Origin::saying("here");
    let timeouts = "timeouts = { keep_alive = \"700ms\" }\n";
    let gateway = Setup::new(format!("{WEB2}{timeouts}\n{}", to(origin.address, "1.1", ""))).start();
    let started = Instant::now();
    let end = idle(&gateway, "/");
    assert_eq!((&end["goaway"][1], &end["closed"]), (&json!("NO_ERROR"), &json!("end")), "{end}");
    assert_eq!(end["goaway"][0], 1, "the last GOAWAY names the last stream: {end}");
    assert!(started.elapsed() > Duration::from_millis(600), "{:?}", started.elapsed());
}

#[test]
fn requests_of_a_connection_are_limited() {
    let origin = Origin::saying("here");
    let limits = "limits = { requests_per_connection = 20 }\n";
    let gateway = Setup::new(format!("{WEB2}{limits}\n{}", to(origin.address, "1.1", ""))).start();
    let mut load = Load2::start(gateway.here(), "/", 2, 4);
    load.wait("connections", 8);
    let tally = load.stop();
    let (good, connections) =
        (tally["good"].as_u64().expect("a count"), tally["connections"].as_u64().expect("a count"));
    assert!(connections > 3 && good / connections < 60, "{tally}");
    let came = ask_all(gateway.here(), &json!((0..20).map(|_| json!({ "path": "/" })).collect::<Vec<_>>()));
    assert!(came["answers"].as_array().expect("a list").iter().all(|answer| answer["status"] == 200), "{came}");
    assert_eq!(came["goaway"][1], "NO_ERROR", "{came}");
}

#[test]
fn connections_to_an_endpoint_have_a_limit_and_an_age() {
    let origin = Origin2::start();
    let gateway =
        web2(to(origin.address, "2", "pool = { requests_per_connection = 10, idle_timeout = \"400ms\" }")).start();
    for _ in 0..3 {
        let came = ask_all(gateway.here(), &json!((0..10).map(|_| json!({ "path": "/here" })).collect::<Vec<_>>()));
        assert!(came["answers"].as_array().expect("a list").iter().all(|answer| answer["status"] == 200), "{came}");
    }
    assert_eq!(origin.events("opened").len(), 3);
    // What is used up or idle ends with GOAWAY, not by surprise.
    origin.wait("closed", 3);
    assert_eq!(origin.events("goaway").len(), 3);
}
