// SPDX-License-Identifier: Apache-2.0
//! gRPC-Web, binary and text, from a client by hand and from the package of npm, over HTTP/1.1 to a server of gRPC.

use crate::grpc::calls::{Server, WEB2, before};
use crate::harness::tool::{node, python, reserved, script};
use crate::harness::{Gateway, Setup, run};

fn call(gateway: &Gateway, scenario: &str) {
    let (path, address) = (script("grpc_web.py"), gateway.here().to_string());
    let out = run(python(), &[path.to_str().expect("a path"), &address, scenario]);
    assert_eq!(out.text(), "good\n", "{scenario}: {}", out.stderr);
}

#[test]
fn calls_of_browsers_become_calls_of_grpc() {
    let server = Server::start(&[]);
    let gateway = before(&server, "", "grpc = { web = true }");
    call(&gateway, "calls");
    assert_eq!(gateway.log(1)[0]["grpc_status"], "OK");
    // The same route takes gRPC itself.
    crate::grpc::calls::call(&gateway, &["statuses"]);
}

#[test]
fn no_trailer_fails_a_call() {
    let server = Server::start(&[]);
    call(&before(&server, "", "grpc = { web = true }"), "trailing_names");
}

#[test]
fn the_client_of_npm_is_served() {
    let server = Server::start(&[]);
    let gateway = before(&server, "", "grpc = { web = true }");
    let out = node("grpc_web.js", &[&gateway.here().to_string()]);
    assert_eq!(out.text(), "good\n", "are grpc-web and xhr2 installed? {}", out.stderr);
}

#[test]
fn pages_of_other_origins_may_call_where_a_policy_lets_them() {
    let server = Server::start(&[]);
    let cors = "[policy.pages]\ncors = { origins = [\"https://app.example\"], expose = [\"x-own\"] }\n";
    let gateway = before(&server, cors, "policies = \"pages\"\ngrpc = { web = true, request_message = 1000 }");
    call(&gateway, "pages");
}

#[test]
fn what_is_no_row_of_messages_is_refused() {
    let server = Server::start(&[]);
    let caps = "grpc = { web = true, request_message = 100000, response_message = 200000 }";
    call(&before(&server, "", caps), "broken");
}

#[test]
fn deadlines_are_told_behind_messages() {
    let server = Server::start(&[]);
    call(&before(&server, "", "grpc = { web = true }\ntimeouts = { total = \"600ms\" }"), "late");
}

#[test]
fn a_dead_upstream_is_unavailable() {
    let nobody = reserved();
    let upstream = format!("[upstream.calls]\nendpoints = \"{}\"\nhttp = \"2\"\n", nobody.address());
    let route = "[[route]]\nto = \"calls\"\ngrpc = { web = true }\n";
    call(&Setup::new(format!("{WEB2}\n{upstream}\n{route}")).start(), "dead");
}
