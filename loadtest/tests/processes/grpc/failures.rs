// SPDX-License-Identifier: Apache-2.0
//! What callers of gRPC are told when the gateway itself has to answer, and when it ends or repeats a call.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::grpc::calls::{Server, WEB2, before, call};
use crate::grpc::json::{ask, describe};
use crate::harness::http2::Origin2;
use crate::harness::tool::{python, reserved, script};
use crate::harness::{Gateway, Setup, run, wait_for};

/// The log's last entry of so many: reason and code.
fn logged(gateway: &Gateway, count: usize) -> (String, String) {
    let entry = &gateway.log(count)[count - 1];
    let text = |name: &str| entry[name].as_str().unwrap_or("").to_owned();
    (text("reason"), text("grpc_status"))
}

/// Calls that the metrics count with this code.
fn counted(gateway: &Gateway, code: &str) -> u64 {
    let wanted = format!("code=\"{code}\"}}");
    let page = gateway.metrics();
    let mut lines =
        page.lines().filter(|line| line.starts_with("turnpike_grpc_responses_total{") && line.contains(&wanted));
    lines.next().map_or(0, |line| line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count"))
}

#[test]
fn every_call_is_counted_by_its_code() {
    let server = Server::start(&[]);
    let gateway = before(&server, "", "");
    call(&gateway, &["unary_calls"]);
    call(&gateway, &["statuses"]);
    call(&gateway, &["cancellation"]);
    wait_for("the counts", || (counted(&gateway, "CANCELLED") == 2).then_some(()));
    let codes = ["NOT_FOUND", "UNAUTHENTICATED", "ABORTED", "UNIMPLEMENTED"];
    assert_eq!(codes.map(|code| counted(&gateway, code)), [1; 4], "{}", gateway.metrics());
    assert!(counted(&gateway, "OK") >= 6);
    // What is no call is not counted.
    let before = counted(&gateway, "UNKNOWN");
    gateway.get("/test.Calls/Unary");
    assert_eq!(counted(&gateway, "UNKNOWN"), before);
}

#[test]
fn what_is_not_routed_is_unimplemented() {
    let gateway = Setup::new(format!("{WEB2}\n[[route]]\npath = \"/other\"\nanswer = {{ body = \"x\" }}\n")).start();
    call(&gateway, &["one_failure", "UNIMPLEMENTED", "no such method"]);
    assert_eq!(logged(&gateway, 1), ("no_route".to_owned(), "UNIMPLEMENTED".to_owned()));
    // Others than callers of gRPC get what they always got.
    assert_eq!(gateway.get("/").status, 404);
}

#[test]
fn a_dead_upstream_is_unavailable() {
    let nobody = reserved();
    let upstream = format!("[upstream.calls]\nendpoints = \"{}\"\nhttp = \"2\"\n", nobody.address());
    let gateway = Setup::new(format!("{WEB2}\n{upstream}\n[[route]]\nto = \"calls\"\n")).start();
    call(&gateway, &["one_failure", "UNAVAILABLE", "cannot answer"]);
    assert_eq!(logged(&gateway, 1), ("refused".to_owned(), "UNAVAILABLE".to_owned()));
}

#[test]
fn what_policies_refuse_has_the_code_of_their_status() {
    let server = Server::start(&[]);
    let policies = "[policy.key]\napi_key = {}\n[[consumer]]\nname = \"a\"\n\
         keys = { key = \"a-long-enough-key-0123456789\" }\n\
         [policy.net]\nnetwork = { allow = [\"10.9.8.0/24\"] }\n[policy.rate]\nrate_limit = { rate = \"1/h\" }\n";
    let route = |name: &str| {
        let upstream = server.upstream("");
        Setup::new(format!("{WEB2}\n{upstream}\n{policies}\n[[route]]\nto = \"calls\"\npolicies = \"{name}\"\n"))
            .start()
    };
    call(&route("key"), &["one_failure", "UNAUTHENTICATED"]);
    call(&route("net"), &["one_failure", "PERMISSION_DENIED"]);
    let limited = route("rate");
    call(&limited, &["deadline_free_call"]);
    call(&limited, &["one_failure", "RESOURCE_EXHAUSTED"]);
    assert_eq!(logged(&limited, 2).1, "RESOURCE_EXHAUSTED");
}

#[test]
fn fixed_answers_of_failure_have_a_code() {
    let route = "[[route]]\nanswer = { status = 503, body = \"closed for today\" }\n";
    let gateway = Setup::new(format!("{WEB2}\n{route}")).start();
    call(&gateway, &["one_failure", "UNAVAILABLE", "closed for today"]);
}

#[test]
fn resets_have_the_code_that_they_mean() {
    let origin = Origin2::program("h2_bad_origin.py");
    let upstream = format!("[upstream.calls]\nhttp = \"2\"\nendpoints = \"{}\"\noutlier = false\n", origin.address);
    for route in ["", "grpc = true"] {
        let gateway = Setup::new(format!("{WEB2}\n{upstream}\n[[route]]\nto = \"calls\"\n{route}\n")).start();
        call(&gateway, &["resets"]);
        let log = gateway.log(26);
        let seen = |code: &str| log.iter().filter(|entry| entry["grpc_status"] == code).count();
        assert_eq!((seen("CANCELLED"), seen("PERMISSION_DENIED"), seen("UNKNOWN")), (3, 3, 4), "{log:?}");
        assert_eq!((counted(&gateway, "CANCELLED"), counted(&gateway, "UNKNOWN")), (3, 4));
    }
    let again = "retry = { tries = 2, grpc_statuses = [\"RESOURCE_EXHAUSTED\"] }";
    let gateway = Setup::new(format!("{WEB2}\n{upstream}\n[[route]]\nto = \"calls\"\n{again}\n")).start();
    call(&gateway, &["reset_once"]);
    assert_eq!(gateway.log(1)[0]["tries"], 2);
}

#[test]
fn resets_are_told_in_json_too() {
    let origin = Origin2::program("h2_bad_origin.py");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("library.pb");
    describe(&file);
    let gateway = Setup::new(format!(
        "{WEB2}\n[upstream.calls]\nhttp = \"2\"\nendpoints = \"{}\"\noutlier = false\n[[route]]\nto = \"calls\"\n\
         grpc = {{ json = \"{}\" }}\n",
        origin.address,
        file.display()
    ))
    .start();
    for when in ["head", "late"] {
        for (reset, status, code) in [(11, 429, 8), (12, 403, 7), (2, 500, 13), (7, 503, 14)] {
            let field = format!("x-reset: {reset}/{when}");
            let (got, _, body) = ask(&gateway, &["-H", &field], "/v1/shelves/1/books/2");
            assert_eq!((got, &body["code"]), (status, &json!(code)), "{field}: {body}");
        }
    }
}

#[test]
fn a_server_that_dies_within_its_answer_is_unavailable() {
    let mut server = Server::start(&[]);
    let gateway = before(&server, "", "");
    let mut client = Command::new(python());
    client.arg(script("grpc_client.py")).arg(gateway.here().to_string()).args(["stream_failure", "UNAVAILABLE"]);
    let mut client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python runs");
    let mut out = BufReader::new(client.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "first\n");
    server.kill();
    line.clear();
    out.read_to_string(&mut line).expect("text");
    let mut errors = String::new();
    client.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
    let _ = client.wait();
    assert_eq!(line, "good\n", "{errors}");
    assert_eq!(logged(&gateway, 1), ("upstream_truncated".to_owned(), "UNAVAILABLE".to_owned()));
}

#[test]
fn the_gateways_deadline_ends_calls_and_is_told_to_the_server() {
    let server = Server::start(&[]);
    let gateway = before(&server, "", "timeouts = { total = \"800ms\" }");
    call(&gateway, &["own_deadline"]);
    // The server was told, and may be as quick as the gateway.
    for call in [1, 2] {
        let (reason, code) = logged(&gateway, call);
        assert_eq!(code, "DEADLINE_EXCEEDED");
        assert!(reason.is_empty() || reason == "total_timeout", "{reason}");
    }
}

#[test]
fn a_deadline_that_cannot_be_read_is_refused() {
    let server = Server::start(&[]);
    let gateway = before(&server, "", "");
    let url = gateway.url("/test.Calls/Unary");
    let fields = ["-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "grpc-timeout: soon"];
    let first = ["--http2-prior-knowledge", "-s", "-i", "--data-binary", "", &url];
    let out = run("curl", &[&first[..], &fields[..]].concat());
    let text = out.text().to_ascii_lowercase();
    assert!(text.starts_with("http/2 200"), "{text}");
    assert!(text.contains("content-type: application/grpc\r\n") && text.contains("grpc-status: 13\r\n"), "{text}");
    assert!(text.contains("grpc-message: grpc-timeout "), "{text}");
}

#[test]
fn calls_are_repeated_by_their_code() {
    let server = Server::start(&[]);
    let gateway = before(&server, "outlier = false", "retry = { tries = 3, grpc_statuses = [\"UNAVAILABLE\"] }");
    call(&gateway, &["retried"]);
    assert_eq!(gateway.log(1)[0]["tries"], 3);
}

#[test]
fn an_endpoint_that_is_unavailable_gets_a_rest() {
    let (ill, well) = (Server::start(&["ill"]), Server::start(&[]));
    let gateway = Setup::new(format!(
        "{WEB2}\n[upstream.calls]\nhttp = \"2\"\nendpoints = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n\
         outlier = {{ gateway_errors = 2, rest = \"60s\" }}\n[[route]]\nto = \"calls\"\n",
        ill.port, well.port
    ));
    // In turns, every second call would fail.
    call(&gateway.start(), &["failures_among", "20", "2"]);
}
