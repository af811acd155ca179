// SPDX-License-Identifier: Apache-2.0
//! Endpoints of HTTP/2 that break rules: nothing of it reaches a client, and the next request is served.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::http2::{Origin2, ask, script_with, to, web2};
use crate::harness::{Client, End, Gateway};

/// Cases whose head is good: the client has it before the fault comes, and sees an answer that breaks off.
const BEHIND_THE_HEAD: &[&str] = &[
    "content-too-short",
    "content-too-long",
    "pseudo-field-in-trailers",
    "line-feed-in-trailers",
    "trailers-that-do-not-end",
    "content-above-the-window",
    "window-overflow",
    "settings-flood",
    "ping-flood",
    "empty-data-flood",
    "window-flood",
    "unknown-flood",
    "frame-too-large",
];

fn names() -> Vec<String> {
    script_with("h2_bad_origin.py", &["names"], "").text().lines().map(str::to_owned).collect()
}

/// A gateway that asks once: a second try would only do the same again.
fn before(origin: &Origin2) -> Gateway {
    let text = to(origin.address, "2", "outlier = false\n").replace("to = \"o\"", "to = \"o\"\nretry = { tries = 1 }");
    web2(text).start()
}

fn served(gateway: &Gateway) -> bool {
    ask(gateway, json!({ "path": "/" }))["text"] == "here" && gateway.get("/").text() == "here"
}

#[test]
fn broken_answers_reach_no_client_of_http2() {
    let origin = Origin2::program("h2_bad_origin.py");
    let gateway = before(&origin);
    let mut wrong = Vec::new();
    for name in names() {
        let answer = ask(&gateway, json!({ "path": format!("/{name}") }));
        let refused = answer["status"] == 502 && answer["ended"] == true;
        let broken = answer["status"] == 200 && answer["ended"] == false && !answer["reset"].is_null();
        if !(refused || broken && BEHIND_THE_HEAD.contains(&&*name)) {
            wrong.push(format!("{name}: {answer}"));
        }
        if !served(&gateway) {
            wrong.push(format!("{name}: the next request was not served"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn broken_answers_reach_no_client_of_http1() {
    let origin = Origin2::program("h2_bad_origin.py");
    let gateway = before(&origin);
    let mut wrong = Vec::new();
    for name in names() {
        let mut client: Client = gateway.client();
        client.patience(Duration::from_secs(5));
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: test\r\n\r\n"));
        match client.read("GET") {
            Ok(answer) if answer.status == 502 && answer.end == End::Complete => {}
            Ok(answer) if BEHIND_THE_HEAD.contains(&&*name) && matches!(answer.end, End::Aborted(_)) => {}
            came => wrong.push(format!("{name}: {came:?}")),
        }
        if !served(&gateway) {
            wrong.push(format!("{name}: the next request was not served"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Others on the same connection to the endpoint: a fault of one stream is not theirs.
#[test]
fn a_fault_of_one_stream_is_not_that_of_others() {
    let origin = Origin2::program("h2_bad_origin.py");
    let gateway = before(&origin);
    for name in ["upper-case-name", "two-lengths", "content-too-long", "interim-that-ends", "large-head"] {
        let requests: Vec<Value> =
            (0..9).map(|at| json!({ "path": if at == 4 { format!("/{name}") } else { "/".to_owned() } })).collect();
        let came = crate::harness::http2::ask_all(gateway.here(), &json!(requests));
        for (at, answer) in came["answers"].as_array().expect("a list").iter().enumerate() {
            assert!(at == 4 || answer["text"] == "here", "{name}: {answer}");
        }
    }
}
