// SPDX-License-Identifier: Apache-2.0
//! Health checks by `grpc.health.v1`, and checks by `GET` over HTTP/2.

use crate::grpc::calls::{Server, WEB2, call};
use crate::harness::{Gateway, Setup, wait_for};

fn gateway(servers: [&Server; 2], health: &str) -> Gateway {
    let [first, second] = servers.map(|server| server.port);
    Setup::new(format!(
        "{WEB2}\n[upstream.calls]\nhttp = \"2\"\nendpoints = [\"127.0.0.1:{first}\", \"127.0.0.1:{second}\"]\n\
         health = {{ {health}, interval = \"100ms\", rise = 1, fall = 1 }}\n[[route]]\nto = \"calls\"\n"
    ))
    .start()
}

/// What is known of both endpoints, once something is.
fn health(gateway: &Gateway) -> [String; 2] {
    let of = |at: usize| gateway.status()["upstreams"][0]["endpoints"][at]["health"].as_str().unwrap_or("").to_owned();
    wait_for("verdicts", || Some([of(0), of(1)]).filter(|known| !known.contains(&"unknown".to_owned())))
}

#[test]
fn who_is_not_serving_gets_no_calls() {
    let (ill, well) = (Server::start(&["unhealthy"]), Server::start(&[]));
    let gateway = gateway([&ill, &well], "grpc = \"\"");
    assert_eq!(health(&gateway), ["down", "up"]);
    call(&gateway, &["unary_calls"]);
    let entries = gateway.log(1);
    assert!(entries.iter().all(|entry| entry["endpoint"] == format!("127.0.0.1:{}", well.port)), "{entries:?}");
}

#[test]
fn a_service_is_asked_for_by_name() {
    let (one, other) = (Server::start(&["unhealthy"]), Server::start(&[]));
    assert_eq!(health(&gateway([&one, &other], "grpc = \"test.Calls\"")), ["up", "up"]);
    assert_eq!(health(&gateway([&one, &other], "grpc = \"test.None\"")), ["down", "down"]);
}
