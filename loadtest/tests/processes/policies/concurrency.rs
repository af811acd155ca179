// SPDX-License-Identifier: Apache-2.0
//! Requests at once, over several threads: as many as are allowed run, and a place is free however a request ends.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::gateway::WEB;
use crate::harness::{Client, Gateway, Origin, Setup, wait_for};

fn limited(origin: &Origin, shards: usize) -> Gateway {
    Setup::new(format!(
        "{WEB}\n[policy.few]\nconcurrency = {{ max = 3, key = \"header:x-user\" }}\n\
         [[route]]\nto = \"http://{}\"\npolicies = [\"few\"]\n",
        origin.address
    ))
    .shards(shards)
    .log("")
    .start()
}

fn ask(gateway: &Gateway, target: &str, user: &str) -> u16 {
    let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\nX-User: {user}\r\n\r\n");
    Client::to(gateway.here()).ask(request).status
}

/// Requests being served.
fn active(gateway: &Gateway) -> u64 {
    let metrics = gateway.metrics();
    let line = metrics.lines().find(|line| line.starts_with("turnpike_requests_active "));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("the gauge")
}

/// Begins three requests that are not answered yet, once nothing of those before is left: their places are free only
/// when the gateway has seen that their clients left.
fn three(gateway: &Gateway, user: &str) -> Vec<Client> {
    let begin = || {
        let mut client = Client::to(gateway.here());
        client.send(format!("GET /held HTTP/1.1\r\nHost: test\r\nX-User: {user}\r\n\r\n"));
        client
    };
    wait_for("three to run", || {
        if active(gateway) > 0 {
            return None;
        }
        let running: Vec<Client> = (0..3).map(|_| begin()).collect();
        let until = Instant::now() + Duration::from_secs(2);
        while active(gateway) < 3 && Instant::now() < until {
            sleep(Duration::from_millis(15));
        }
        (active(gateway) == 3).then_some(running)
    })
}

#[test]
fn as_many_run_at_once_as_are_allowed_on_any_number_of_threads() {
    for shards in [1, 2, 4] {
        let (origin, release) = Origin::holding();
        let gateway = limited(&origin, shards);
        let mut running = three(&gateway, "a");
        assert_eq!(ask(&gateway, "/", "a"), 429);
        assert_eq!(ask(&gateway, "/", "b"), 200, "another key has its own");
        drop(release);
        for client in &mut running {
            assert_eq!(client.answer().status, 200);
        }
        wait_for("their places to be free", || (ask(&gateway, "/", "a") == 200).then_some(()));
    }
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    let (origin, _release) = Origin::holding();
    let gateway = limited(&origin, 2);
    for _ in 0..3 {
        let running = three(&gateway, "a");
        assert_eq!(ask(&gateway, "/", "a"), 429);
        drop(running);
        wait_for("their places to be free", || (ask(&gateway, "/", "a") == 200).then_some(()));
    }
}
