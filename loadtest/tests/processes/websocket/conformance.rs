// SPDX-License-Identifier: Apache-2.0
//! The categories of the Autobahn test suite through every bridge: framing, pings and pongs, reserved bits, opcodes,
//! fragmentation, UTF-8, closing, limits, compression. Clients send them to an echo, and a server sends what it should
//! not.

use serde_json::Value;

use crate::harness::run;
use crate::harness::tool::{python, script};
use crate::websocket::peers::Speaks::{Http1, Http2};
use crate::websocket::peers::{BRIDGES, Server, Speaks, client};

fn conforms(from: Speaks, to: Speaks) {
    let server = Server::start(to);
    let gateway = server.behind("").log("").start();
    let (path, url) = (script("ws_conformance.py"), format!("ws://{}/", gateway.here()));
    let mut arguments = vec![path.to_str().expect("a path"), if from == Http1 { "1" } else { "2" }, &url];
    if to == Http1 {
        // The one server here that knows the extension.
        arguments.push("deflate");
    }
    let out = run(python(), &arguments);
    let said: Value = serde_json::from_str(&out.text()).unwrap_or_else(|error| panic!("{error}: {}", out.all()));
    assert_eq!(said["wrong"], serde_json::json!([]), "{from:?} to {to:?}");
    assert!(said["count"].as_u64() > Some(250), "{}", said["count"]);
}

#[test]
fn http1_to_http1() {
    conforms(Http1, Http1);
}

#[test]
fn http1_to_http2() {
    conforms(Http1, Http2);
}

#[test]
fn http2_to_http1() {
    conforms(Http2, Http1);
}

#[test]
fn http2_to_http2() {
    conforms(Http2, Http2);
}

/// What a server must not send, as bytes.
const SERVERS_FAULTS: &[(&str, &str)] = &[
    ("a mask", "818337fa213d568942"),
    ("a ping in fragments", "0900"),
    ("a ping of 126", "897e007e"),
    ("a continuation of nothing", "800161"),
    ("a message within another", "010161810162"),
    ("a length that is not the shortest", "827e0003616263"),
    ("a length above all", "827f8000000000000000"),
];

/// The server hears that it broke a rule, and the client only that it is over.
#[test]
fn what_a_server_must_not_send_reaches_nobody() {
    for (from, to) in BRIDGES {
        let server = Server::start(to);
        let gateway = server.behind("").start();
        let url = format!("ws://{}/", gateway.here());
        for (what, bytes) in SERVERS_FAULTS {
            assert_eq!(client(from, &url, &["raw", bytes]), "1001 end", "{from:?} to {to:?}: {what}");
            assert_eq!(server.closed(), "1002", "{from:?} to {to:?}: {what}");
        }
        assert_eq!(gateway.reason(SERVERS_FAULTS.len()), "websocket_malformed");
    }
}

#[test]
fn what_a_server_may_send_arrives() {
    for (from, to) in BRIDGES {
        let server = Server::start(to);
        let gateway = server.behind("").start();
        let url = format!("ws://{}/", gateway.here());
        // A pong to nothing; a ping between the fragments of a message, one of them empty.
        assert_eq!(client(from, &url, &["hear", "8a01780101610000890170800162"]), "ab", "{from:?} to {to:?}");
        assert_eq!(server.closed(), "1000");
    }
}
