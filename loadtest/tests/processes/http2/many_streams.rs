// SPDX-License-Identifier: Apache-2.0
//! Numbers: many streams, many connections, and what they cost while they are idle.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::gateway::binary;
use crate::harness::http2::{Lines, Origin2, counter, to, web2};
use crate::harness::origin::ok;
use crate::harness::tool::{Output, run};
use crate::harness::{Gateway, Origin, wait_for};

fn h2load(gateway: &Gateway, arguments: &[&str], target: &str) -> Output {
    let url = gateway.url(target);
    let out = run("h2load", &[arguments, &[&url]].concat());
    assert_eq!(out.code, 0, "{}", out.all());
    out
}

/// `requests: 10000 total, 10000 started, 10000 done, 10000 succeeded, 0 failed, 0 errored, 0 timeout`
fn all_succeed(out: &Output, count: usize) {
    let text = out.text();
    let expected = format!("{count} succeeded, 0 failed, 0 errored, 0 timeout");
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains(&format!("status codes: {count} 2xx")), "{text}");
}

#[test]
fn ten_thousand_streams_over_a_hundred_connections() {
    let origin = Origin::answering(|_| ok("x".repeat(100)));
    // All ten thousand are there at once: the origin gets them in portions.
    let more = "limits = { requests = 64, queue = 20000 }\ntimeouts = { queue = \"30s\" }\n";
    let gateway = web2(to(origin.address, "1.1", more)).log("").start();
    all_succeed(&h2load(&gateway, &["-n", "10000", "-c", "100", "-m", "100"], "/"), 10_000);
    assert!(counter(&gateway, "turnpike_http2_connections_total") >= 100);
}

#[test]
fn ten_thousand_streams_are_made_by_the_gateway_itself() {
    let gateway = web2("[[route]]\nanswer = { body = \"here\" }\n").log("").start();
    all_succeed(&h2load(&gateway, &["-n", "10000", "-c", "100", "-m", "100"], "/"), 10_000);
}

#[test]
fn streams_to_an_origin_of_http2() {
    let origin = Origin2::start();
    let gateway = web2(to(origin.address, "2", "")).log("").start();
    all_succeed(&h2load(&gateway, &["-n", "1000", "-c", "10", "-m", "10"], "/here"), 1_000);
    assert!(origin.events("opened").len() <= 4, "{}", origin.events("opened").len());
}

#[test]
fn uploads_of_many_streams() {
    let origin = Origin::echo();
    let gateway = web2(to(origin.address, "1.1", "")).log("").start();
    let file = gateway.path("content");
    fs::write(&file, crate::harness::noise(100_000)).expect("written");
    let out = h2load(&gateway, &["-n", "500", "-c", "10", "-m", "10", "-d", file.to_str().expect("a path")], "/");
    all_succeed(&out, 500);
}

/// Bytes of memory that belong to a process alone.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let lines = status.lines().filter(|line| line.starts_with("Private_"));
    let kib = lines.filter_map(|line| line.split_whitespace().nth(1)).filter_map(|kib| kib.parse::<u64>().ok());
    kib.sum::<u64>() * 1024
}

/// The same, when it has not become less for a while: connections give their buffers back when they have rested, and on
/// a machine that is busy with other tests that takes as long as it takes.
fn memory_at_rest(pid: u32) -> u64 {
    let mut least = memory(pid);
    let mut steady = 0;
    while steady < 5 {
        std::thread::sleep(Duration::from_millis(120));
        let now = memory(pid);
        steady = if now < least { 0 } else { steady + 1 };
        least = least.min(now);
    }
    least
}

/// Each connection served a request, and is idle since. What a task holds is several times as much without optimising.
#[test]
fn an_idle_connection_costs_little() {
    let gateway = web2("[[route]]\nanswer = { body = \"here\" }\n").log("").start();
    let here = gateway.here().to_string();
    let mut warm = Lines::start("h2_holder.py", &[&here, "100"]);
    assert_eq!(warm.hear(), json!(100));
    let settled = |count: u64| {
        wait_for("connections to rest", || (gateway.status()["connections"] == count).then_some(()));
        memory_at_rest(gateway.pid())
    };
    let before = settled(100);
    let mut more = Lines::start("h2_holder.py", &[&here, "1500"]);
    assert_eq!(more.hear(), json!(1500));
    let after = settled(1600);
    let each = |after: u64| after.saturating_sub(before) / 1500;
    println!("{} bytes for each idle connection", each(after));
    let most = if binary().components().any(|part| part.as_os_str() == "debug") { 96 } else { 16 };
    // What looked like rest may have been a machine without time for us: it has some more.
    wait_for("memory to be given back", || (each(memory(gateway.pid())) < most * 1024).then_some(()));
}
