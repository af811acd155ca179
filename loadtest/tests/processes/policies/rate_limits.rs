// SPDX-License-Identifier: Apache-2.0
//! Rate limits over several threads: never exceeded, almost all of it usable, and nobody below it refused, whatever
//! comes at once and whatever is reloaded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::gateway::WEB;
use crate::harness::{Client, Origin, Setup, wait_for};

const RATE: f64 = 300.0;
const BURST: f64 = 150.0;

/// One request: when it was sent, when its answer was there, and whether it was let through. In seconds.
#[derive(Clone, Copy, Debug)]
struct Asked {
    sent: f64,
    answered: f64,
    admitted: bool,
}

/// Asks without a pause on one connection until `until`.
fn hammer(here: SocketAddr, start: Instant, until: &AtomicBool, asked: &Mutex<Vec<Asked>>) {
    let mut client = Client::to(here);
    while !until.load(Ordering::Relaxed) {
        let sent = start.elapsed().as_secs_f64();
        let status = client.get("/limited").status;
        let answered = start.elapsed().as_secs_f64();
        assert!(matches!(status, 200 | 429), "status {status}");
        let one = Asked { sent, answered, admitted: status == 200 };
        asked.lock().expect("no worker panics with it").push(one);
    }
}

/// So many connections for so long.
fn phase(here: SocketAddr, start: Instant, connections: usize, length: Duration, asked: &Mutex<Vec<Asked>>) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| hammer(here, start, &stop, asked));
        }
        thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
    });
}

fn limited(shards: usize) -> crate::harness::Gateway {
    Setup::new(format!(
        "{WEB}\n[policy.all]\nrate_limit = {{ rate = \"{RATE}/s\", burst = {BURST}, key = \"everything\" }}\n\
         [[route]]\npath = \"/limited\"\nanswer = {{ body = \"in\" }}\npolicies = [\"all\"]\n"
    ))
    .shards(shards)
    .log("")
    .start()
}

/// In every span of time no more than burst and rate allow.
fn assert_never_exceeded(asked: &[Asked]) {
    let admitted: Vec<Asked> = asked.iter().filter(|one| one.admitted).copied().collect();
    let mut by_end = admitted.clone();
    by_end.sort_by(|left, right| left.answered.total_cmp(&right.answered));
    for from in admitted.iter().step_by(7) {
        let mut count = 0.0;
        for one in by_end.iter().filter(|one| one.sent >= from.sent) {
            count += 1.0;
            let allowed = BURST + RATE * (one.answered - from.sent) + 1.0;
            assert!(count <= allowed, "{count} within {} s, where {allowed} are allowed", one.answered - from.sent);
        }
    }
}

/// How many of these requests one bucket lets through that knows all of them, in the order in which they were sent. A
/// machine that is busy sends fewer, and what it did not ask for was not refused.
fn ideal(asked: &[Asked]) -> u32 {
    let mut by_start: Vec<Asked> = asked.to_vec();
    by_start.sort_by(|left, right| left.sent.total_cmp(&right.sent));
    let (mut level, mut at, mut count) = (BURST, 0.0, 0);
    for one in by_start {
        level = BURST.min(level + RATE * (one.sent - at));
        at = one.sent;
        if level >= 1.0 {
            level -= 1.0;
            count += 1;
        }
    }
    count
}

#[test]
fn two_threads_share_a_limit_exactly() {
    let gateway = limited(2);
    let here = gateway.here();
    let asked = Mutex::new(Vec::new());
    let start = Instant::now();
    // All of the load on one thread, then spread, then all on one again: the lease must follow.
    phase(here, start, 1, Duration::from_millis(1_800), &asked);
    phase(here, start, 6, Duration::from_millis(1_800), &asked);
    phase(here, start, 1, Duration::from_millis(1_800), &asked);
    let asked = asked.into_inner().expect("no worker panicked with it");
    assert_never_exceeded(&asked);
    let admitted = asked.iter().filter(|one| one.admitted).count();
    let allowed = ideal(&asked);
    let share = admitted as f64 / f64::from(allowed);
    println!("{admitted} of {allowed} let through, {:.2} %", share * 100.0);
    assert!(admitted < asked.len(), "the limit was never reached");
    assert!(share >= 0.99, "only {:.2} % of the limit could be used", share * 100.0);
}

#[test]
fn many_keys_have_a_limit_each() {
    let gateway = Setup::new(format!(
        "{WEB}\n[policy.each]\nrate_limit = {{ rate = \"5/h\", key = \"header:x-user\" }}\n\
         [[route]]\nanswer = {{ body = \"in\" }}\npolicies = [\"each\"]\n"
    ))
    .shards(2)
    .log("")
    .start();
    let here = gateway.here();
    let counts: Vec<usize> = thread::scope(|scope| {
        let ask_all = |_| {
            scope.spawn(|| {
                let mut client = Client::to(here);
                let mut let_in = vec![0; 20];
                for _ in 0..4 {
                    for (user, count) in let_in.iter_mut().enumerate() {
                        let request = format!("GET / HTTP/1.1\r\nHost: test\r\nX-User: u{user}\r\n\r\n");
                        *count += usize::from(client.ask(request).status == 200);
                    }
                }
                let_in
            })
        };
        let workers: Vec<_> = (0..4).map(ask_all).collect();
        let sums = workers.into_iter().map(|worker| worker.join().expect("workers do not panic"));
        sums.reduce(|left, right| left.iter().zip(&right).map(|(left, right)| left + right).collect())
            .expect("there are workers")
    });
    assert_eq!(counts, vec![5; 20], "five an hour for each of twenty users, on four connections");
}

#[test]
fn a_reload_does_not_refill_a_limit() {
    let gateway = Setup::new(format!(
        "{WEB}\n[policy.few]\nrate_limit = {{ rate = \"3/h\", key = \"everything\" }}\n\
         [[route]]\nanswer = {{ body = \"in\" }}\npolicies = [\"few\"]\n"
    ))
    .shards(2)
    .server("watch = false")
    .start();
    let let_in = |count: usize| (0..count).filter(|_| gateway.get("/").status == 200).count();
    assert_eq!(let_in(2), 2);
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(let_in(6), 1);
}

/// Each user of a range asks once, over so many connections at once; how many got which status.
fn ask_once_each(here: SocketAddr, connections: usize, users: std::ops::Range<usize>) -> BTreeMap<u16, usize> {
    let users: Vec<usize> = users.collect();
    thread::scope(|scope| {
        let workers: Vec<_> = users
            .chunks(users.len().div_ceil(connections))
            .map(|users| scope.spawn(|| users.iter().map(|user| ask_as(&mut Client::to(here), *user)).collect()))
            .collect();
        let statuses = workers.into_iter().flat_map(|worker| -> Vec<u16> { worker.join().expect("no panic") });
        statuses.fold(BTreeMap::new(), |mut counts, status| {
            *counts.entry(status).or_default() += 1;
            counts
        })
    })
}

fn ask_as(client: &mut Client, user: usize) -> u16 {
    client.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nX-User: u{user}\r\n\r\n")).status
}

fn each_user(rate: &str, more: &str) -> String {
    format!(
        "{WEB}\n[policy.each]\nrate_limit = {{ rate = \"{rate}\", key = \"header:x-user\"{more} }}\n\
         [[route]]\nanswer = {{ body = \"in\" }}\npolicies = [\"each\"]\n"
    )
}

#[test]
fn new_clients_that_come_at_once_are_all_served_while_pages_are_rendered_and_plans_reloaded() {
    for shards in [1, 2, 8] {
        let gateway = Setup::new(each_user("5/h", "")).shards(shards).log("").server("watch = false").start();
        let (stop, here) = (AtomicBool::new(false), gateway.here());
        let statuses = thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(gateway.metrics().contains("turnpike_limit_admitted_total"));
                    assert_eq!(gateway.reload().0, 200);
                }
            });
            let statuses = ask_once_each(here, 16, 0..3_000);
            stop.store(true, Ordering::Relaxed);
            statuses
        });
        assert_eq!(statuses, BTreeMap::from([(200, 3_000)]), "with {shards} shards");
    }
}

#[test]
fn newcomers_are_served_and_a_limited_user_stays_limited_while_many_keys_come() {
    for shards in [1, 2] {
        let gateway = Setup::new(each_user("2/h", ", keys_max = 500")).shards(shards).log("").start();
        let victim = |count: usize| (0..count).filter(|_| ask_as(&mut gateway.client(), 0) == 200).count();
        assert_eq!(victim(6), 2);
        assert_eq!(ask_once_each(gateway.here(), 8, 1..4_000), BTreeMap::from([(200, 3_999)]));
        assert_eq!(victim(6), 0);
        let given_up = "turnpike_limit_keys_given_up_total{policy=\"each\"}";
        wait_for("a thousand accounts to be given up", || {
            let metrics = gateway.metrics();
            let count = metrics.lines().find_map(|line| line.strip_prefix(given_up)).expect("the counter is shown");
            (count.trim().parse::<u64>().expect("a number") > 1_000).then_some(())
        });
    }
}

#[test]
fn a_reload_to_another_rate_keeps_how_full_a_limit_is() {
    for shards in [1, 2, 8] {
        let text = |rate: &str| {
            format!(
                "{WEB}\n[policy.few]\nrate_limit = {{ rate = \"{rate}\", key = \"everything\" }}\n\
                 [[route]]\nanswer = {{ body = \"in\" }}\npolicies = [\"few\"]\n"
            )
        };
        let mut gateway = Setup::new(text("10/h")).shards(shards).server("watch = false").start();
        let here = gateway.here();
        let let_in = |count: usize| (0..count).filter(|_| Client::to(here).get("/").status == 200).count();
        assert_eq!(let_in(5), 5);
        gateway.rewrite(text("40/h"));
        assert_eq!(gateway.reload().0, 200);
        // Half of it was left, in one piece or in pieces that are rounded down.
        let count = let_in(60);
        assert!((20 - shards..=20).contains(&count), "{count} with {shards} shards");
    }
}

#[test]
fn a_limit_that_only_reports_says_what_it_would_refuse() {
    let gateway = Setup::new(each_user("2/h", ", report_only = true")).shards(1).start();
    let mut client = gateway.client();
    assert!((0..5).all(|_| ask_as(&mut client, 1) == 200));
    let reported: Vec<bool> = gateway.log(5).iter().map(|line| line["reported"] == "rate_limited").collect();
    assert_eq!(reported, [false, false, true, true, true]);
    let shown = || gateway.metrics().contains("turnpike_limit_reported_total{policy=\"each\"} 3");
    wait_for("the counter", || shown().then_some(()));
}

#[test]
fn failed_logins_are_limited_and_others_are_not() {
    for shards in [1, 2] {
        // The origin's word is in the path.
        let origin = Origin::answering(|request| {
            let status = if request.target == "/bad" { 401 } else { 200 };
            format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into_bytes()
        });
        let gateway = Setup::new(format!(
            "{WEB}\n[policy.logins]\nrate_limit = {{ rate = \"3/h\", count = [\"401\", \"403\"] }}\n\
             [[route]]\nto = \"{}\"\npolicies = [\"logins\"]\n",
            origin.url()
        ))
        .shards(shards)
        .start();
        // Each on a connection of its own, so that all threads are asked.
        let ask = |path: &str| Client::to(gateway.here()).get(path).status;
        assert!((0..20).all(|_| ask("/good") == 200), "what does not count takes nothing");
        assert_eq!([ask("/bad"), ask("/good"), ask("/bad"), ask("/good"), ask("/bad")], [401, 200, 401, 200, 401]);
        assert_eq!([ask("/good"), ask("/bad")], [429, 429], "three failures are the limit");
        let metrics = || {
            let metrics = gateway.metrics();
            metrics.contains("turnpike_limit_returned_total{policy=\"logins\"} 22").then_some(())
        };
        wait_for("the counter", metrics);
        let limit = || Some(gateway.status()["limits"][0].clone()).filter(|limit| limit["refused"] == 2);
        assert_eq!(wait_for("both refusals", limit)["name"], "logins");
    }
}
