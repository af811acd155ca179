// SPDX-License-Identifier: Apache-2.0
//! gRPC through the gateway, with the client and the server of others.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::harness::gateway::signal;
use crate::harness::tool::{python, script};
use crate::harness::{Gateway, Setup, run};

/// The Python server.
pub struct Server {
    child: Child,
    /// Its port.
    pub port: u16,
}

impl Server {
    /// With these arguments.
    pub fn start(arguments: &[&str]) -> Server {
        let mut command = Command::new(python());
        command.arg(script("grpc_server.py")).args(arguments).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", python().display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a port");
        let port = line.trim().parse().expect("a port; are the packages of gRPC installed?");
        Server { child, port }
    }

    /// It as `[upstream.calls]`, with more lines.
    pub fn upstream(&self, lines: &str) -> String {
        format!("[upstream.calls]\nendpoints = \"127.0.0.1:{}\"\nhttp = \"2\"\n{lines}\n", self.port)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A listener that takes HTTP/2 without TLS.
pub const WEB2: &str = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nhttp2 = { cleartext = true }\n";

/// A gateway with one route to the server and these lines in it.
pub fn before(server: &Server, upstream: &str, route: &str) -> Gateway {
    let upstream = server.upstream(upstream);
    Setup::new(format!("{WEB2}\n{upstream}\n[[route]]\nname = \"calls\"\nto = \"calls\"\n{route}\n")).start()
}

/// Runs a scenario of the Python client.
pub fn call(gateway: &Gateway, scenario: &[&str]) {
    let address = gateway.here().to_string();
    let path = script("grpc_client.py");
    let arguments = [&[path.to_str().expect("a path"), &address], scenario].concat();
    let out = run(python(), &arguments);
    assert!(out.text().ends_with("good\n"), "{scenario:?}: {}\n{}", out.text(), out.stderr);
}

/// What passes through without a word about gRPC in the configuration.
fn passes(scenario: &str) {
    let server = Server::start(&[]);
    let gateway = before(&server, "", "");
    call(&gateway, &[scenario]);
}

#[test]
fn unary_calls_pass() {
    passes("unary_calls");
}

#[test]
fn many_calls_share_a_connection() {
    passes("many_at_once");
}

#[test]
fn streams_of_the_server_pass_as_they_come() {
    passes("server_stream");
}

#[test]
fn streams_in_both_directions_take_turns() {
    passes("both_streams");
}

#[test]
fn a_server_may_end_before_its_client() {
    passes("early_end");
}

#[test]
fn codes_and_messages_pass() {
    passes("statuses");
}

#[test]
fn metadata_pass_also_where_they_are_bytes() {
    passes("metadata");
}

#[test]
fn no_trailer_fails_a_call() {
    passes("trailing_names");
    passes_with("grpc = true", "trailing_names");
}

#[test]
fn heads_that_are_the_whole_answer_pass() {
    passes("trailers_only");
}

#[test]
fn cancelled_calls_end_at_the_server() {
    passes("cancellation");
}

#[test]
fn deadlines_end_calls_and_are_told_to_the_server() {
    passes("deadline");
}

/// What needs messages to be bounded one by one.
fn passes_with(route: &str, scenario: &str) {
    let server = Server::start(&[]);
    let gateway = before(&server, "", route);
    call(&gateway, &[scenario]);
}

#[test]
fn streams_of_the_client_may_be_longer_than_any_body() {
    passes_with("grpc = true", "client_stream");
}

#[test]
fn messages_may_be_large_where_that_is_allowed() {
    passes_with("grpc = { request_message = \"32MiB\", response_message = \"32MiB\" }", "large");
}

#[test]
fn messages_are_bounded_one_by_one() {
    passes_with("grpc = { request_message = 1000, response_message = 2000 }", "sizes");
}

#[test]
fn streams_may_be_silent() {
    let server = Server::start(&[]);
    let web = format!("{WEB2}timeouts = {{ body = \"600ms\" }}\n");
    let route = "[[route]]\nto = \"calls\"\ngrpc = true\ntimeouts = { idle = \"700ms\", tunnel = \"5s\" }\n";
    let gateway = Setup::new(format!("{web}\n{}\n{route}", server.upstream(""))).start();
    call(&gateway, &["silent_stream"]);
}

#[test]
fn a_route_for_calls_passes_all_that_others_pass() {
    let server = Server::start(&[]);
    let gateway = before(&server, "", "grpc = true");
    for scenario in ["unary_calls", "many_at_once", "server_stream", "both_streams", "early_end", "statuses"] {
        call(&gateway, &[scenario]);
    }
    for scenario in ["metadata", "trailers_only", "cancellation", "deadline"] {
        call(&gateway, &[scenario]);
    }
}
