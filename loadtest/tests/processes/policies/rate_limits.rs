//! A rate limit over two threads with uneven load: never exceeded, and almost all of it usable.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::gateway::WEB;
use crate::harness::{Client, Setup};

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
