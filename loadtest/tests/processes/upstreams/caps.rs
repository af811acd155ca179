// SPDX-License-Identifier: Apache-2.0
//! Caps that count for the whole process, and a process at its limit of file descriptors.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::harness::load::{Load, Use};
use crate::harness::origin::ok;
use crate::harness::{Client, Gateway, Origin, Setup, wait_for};

/// An origin that takes a moment for each request, and the most requests that it had at once.
fn counting() -> (Origin, Arc<AtomicUsize>) {
    let (now, most) = (AtomicUsize::new(0), Arc::<AtomicUsize>::default());
    let seen = most.clone();
    let origin = Origin::answering(move |_| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(2));
        now.fetch_sub(1, Ordering::SeqCst);
        ok("done")
    });
    (origin, most)
}

#[test]
fn a_cap_of_the_process_holds_over_two_shards_under_load() {
    for (limit, cap) in [("requests = 1", 1), ("endpoint_requests = 1", 1), ("connections = 1", 1), ("requests = 3", 3)]
    {
        let (origin, most) = counting();
        let gateway = Setup::web(format!(
            "[upstream.o]\nendpoints = \"{}\"\nlimits = {{ {limit} }}\ntimeouts = {{ queue = \"60s\" }}\n\
             [[route]]\nto = \"o\"\n",
            origin.address
        ))
        .shards(2)
        .start();
        // New connections come to both shards.
        let load = Load::start(gateway.here(), "/", 12, Use::Once);
        load.wait_more(400);
        load.stop();
        assert_eq!(most.load(Ordering::SeqCst), cap, "{limit}");
    }
}

fn descriptors(gateway: &Gateway) -> usize {
    fs::read_dir(format!("/proc/{}/fd", gateway.pid())).expect("it runs").count()
}

#[test]
fn without_descriptors_idle_clients_go_first_and_no_endpoint_is_blamed() {
    let origin = Origin::saying("here");
    let gateway = Setup::web(format!(
        "[upstream.o]\nendpoints = \"{}\"\nbreaker = {{ failures = 1, open = \"30s\" }}\n[[route]]\nto = \"o\"\n",
        origin.address
    ))
    .shards(2)
    .start();
    // So many that each shard has more of them than newcomers, however the kernel spreads both.
    let mut idle: Vec<Client> = (0..80).map(|_| gateway.client()).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    let limit = descriptors(&gateway) as u64 + 4;
    let pid = Pid::from_raw(gateway.pid() as i32).expect("a process");
    let full = getrlimit(Resource::Nofile);
    let low = Rlimit { current: Some(limit), maximum: full.maximum };
    let before = prlimit(Some(pid), Resource::Nofile, low).expect("a lower limit");
    let mut more: Vec<Client> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut more {
        assert_eq!(client.get("/").status, 200);
    }
    // The admin listener needs descriptors, too.
    prlimit(Some(pid), Resource::Nofile, before).expect("the limit of before");
    let metric = |name: &str| {
        let metrics = gateway.metrics();
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0)
    };
    wait_for("the counters", || {
        let counted = metric("turnpike_descriptors_lacking_total") > 0.0;
        (counted && metric("turnpike_connections_evicted_total") > 0.0).then_some(())
    });
    for name in ["turnpike_upstream_ejections_total", "turnpike_upstream_failures_total"] {
        assert!(metric(name) == 0.0, "{name}");
    }
    wait_for("a message", || gateway.said().contains("no file descriptor is free").then_some(()));
    let said = gateway.said().matches("no file descriptor is free").count();
    assert!(said <= 2, "once for each shard in ten seconds, not {said} times");
}

/// The limit on open files under which exactly one more can be opened.
fn one_left(gateway: &Gateway) -> u64 {
    let fds = fs::read_dir(format!("/proc/{}/fd", gateway.pid())).expect("it runs");
    let taken: Vec<u64> = fds.filter_map(|fd| fd.ok()?.file_name().to_str()?.parse().ok()).collect();
    (0..).find(|number| !taken.contains(number)).expect("a free number") + 1
}

/// With the last descriptor taken, no client may be closed but the one that has just sent its request.
#[test]
fn a_client_that_has_sent_a_request_is_not_looked_at_for_ever() {
    let gateway = Setup::web("[[route]]\nanswer = { body = \"here\" }\n").shards(1).start();
    assert_eq!(gateway.client().get("/").status, 200);
    let pid = Pid::from_raw(gateway.pid() as i32).expect("a process");
    let full = getrlimit(Resource::Nofile);
    let mut answered = 0;
    for _ in 0..20 {
        let low = Rlimit { current: Some(one_left(&gateway)), maximum: full.maximum };
        prlimit(Some(pid), Resource::Nofile, low).expect("a lower limit");
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        // Closed, where the request came after it was looked at.
        answered += usize::from(client.read("GET").is_ok_and(|answer| answer.status == 200));
        prlimit(Some(pid), Resource::Nofile, full).expect("the limit of before");
    }
    assert!(answered > 0);
    assert_eq!(gateway.client().get("/").status, 200);
}

#[test]
fn connections_follow_the_limit_on_open_files() {
    let origin = Origin::saying("here");
    let text = format!("[[route]]\nto = \"{}\"\n", origin.url());
    let few = |server: &str| Setup::web(&text).shards(2).server(server).shell("ulimit -n 200; exec \"$@\"").start();
    let gateway = few("connections_max = 5000");
    assert!(
        gateway.said().contains("`connections_max` is 5000, but the limit on open files is 200"),
        "{}",
        gateway.said()
    );
    let gateway = few("");
    assert!(!gateway.said().contains("connections_max"), "{}", gateway.said());
    let mut clients: Vec<Client> = (0..150).map(|_| gateway.client()).collect();
    let asked: Vec<bool> = clients
        .iter_mut()
        .map(|client| {
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            client.read("GET").is_ok_and(|answer| answer.status == 200)
        })
        .collect();
    let served = asked.iter().filter(|served| **served).count();
    assert!((40..=90).contains(&served), "{served} clients were served");
    assert!(descriptors(&gateway) < 200, "there is a reserve");
    // The longest idle ones make room for new ones.
    wait_for("room", || {
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        client.read("GET").ok().filter(|answer| answer.status == 200)
    });
    assert!(gateway.admin_get("/readyz").is_some_and(|answer| answer.status == 200));
}

/// Half-sent bodies are counted together. Whose body does not fit is refused; where it is only kept for a retry, it is
/// sent on.
#[test]
fn bodies_that_are_kept_have_a_bound_in_all() {
    let origin = Origin::echo();
    let gateway = Setup::web(format!(
        "[policy.hooks.webhook]\nform = \"github\"\nsecrets = \"It's a Secret to Everybody\"\nbody = \"100KB\"\n\
         [[route]]\npath_prefix = \"/hooks\"\nto = \"{0}\"\npolicies = [\"hooks\"]\n[[route]]\nto = \"{0}\"\n",
        origin.url()
    ))
    .server("kept_bodies_max = \"500KB\"")
    .start();
    let begin = |method: &str, target: &str| {
        let mut client = gateway.client();
        let signature = format!("X-Hub-Signature-256: sha256={}", "0".repeat(64));
        client
            .send(format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{signature}\r\nContent-Length: 90001\r\n\r\n"));
        client.send([b'x'; 90_000]);
        client
    };
    let kept = || {
        let metrics = gateway.metrics();
        let value = |name: &str| {
            let line = metrics.lines().find(|line| line.split(' ').next() == Some(name)).expect("a metric");
            line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
        };
        (value("turnpike_kept_body_bytes"), value("turnpike_kept_bodies_lacking_total"))
    };
    let half: Vec<Client> = (0..5).map(|_| begin("POST", "/hooks/a")).collect();
    wait_for("the bodies", || (kept() == (450_000, 0)).then_some(()));
    let refused = begin("POST", "/hooks/b").answer();
    assert_eq!((refused.status, &gateway.log(1)[0]["reason"]), (503, &"kept_bodies_full".into()));
    // This one would be kept for another attempt, as far as it fits.
    let mut put = begin("PUT", "/");
    assert_eq!(put.send("y").answer().status, 200);
    wait_for("both to be counted", || (kept() == (450_000, 2)).then_some(()));
    drop(half);
    wait_for("nothing to be kept", || (kept().0 == 0).then_some(()));
    assert_eq!(
        begin("POST", "/hooks/b").send("y").answer().status,
        403,
        "it is read whole, and its signature is missing"
    );
}
