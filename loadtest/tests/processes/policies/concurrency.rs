// SPDX-License-Identifier: Apache-2.0
//! Requests at once, over several threads: as many as are allowed run, and a place is free however a request ends.

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

/// Begins a request that is not answered yet.
fn begin(gateway: &Gateway, user: &str) -> Client {
    let mut client = Client::to(gateway.here());
    client.send(format!("GET /held HTTP/1.1\r\nHost: test\r\nX-User: {user}\r\n\r\n"));
    client
}

#[test]
fn as_many_run_at_once_as_are_allowed_on_any_number_of_threads() {
    for shards in [1, 2, 4] {
        let (origin, release) = Origin::holding();
        let gateway = limited(&origin, shards);
        let mut running: Vec<Client> = (0..3).map(|_| begin(&gateway, "a")).collect();
        wait_for("three to run", || (ask(&gateway, "/", "a") == 429).then_some(()));
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
        let running: Vec<Client> = (0..3).map(|_| begin(&gateway, "a")).collect();
        wait_for("three to run", || (ask(&gateway, "/", "a") == 429).then_some(()));
        drop(running);
        wait_for("their places to be free", || (ask(&gateway, "/", "a") == 200).then_some(()));
    }
}
