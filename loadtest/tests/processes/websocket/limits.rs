// SPDX-License-Identifier: Apache-2.0
//! What a route lets WebSockets do: origins, sizes, rates, silence, life, and the rules of frames.

use crate::harness::{Gateway, wait_for};
use crate::websocket::peers::Speaks::{Http1, Http2};
use crate::websocket::peers::{BRIDGES, Server, client, held};

fn url(gateway: &Gateway) -> String {
    format!("ws://{}/", gateway.here())
}

#[test]
fn pages_of_other_origins_are_turned_away() {
    let server = Server::start(Http1);
    let route = "websocket = { origins = [\"https://app.example.com\", \"https://*.example.org\"] }";
    let gateway = server.behind(route).start();
    for from in [Http1, Http2] {
        for (origin, what) in [
            ("https://app.example.com", "open"),
            ("https://a.b.example.org", "open"),
            ("https://evil.example", "403"),
            ("https://app.example.com.evil.example", "403"),
            ("null", "403"),
        ] {
            assert_eq!(client(from, &url(&gateway), &["origin", origin]), what, "{from:?} {origin}");
        }
        assert_eq!(client(from, &url(&gateway), &["origin"]), "open", "no page has no origin");
    }
    assert_eq!(gateway.reason(3), "websocket_origin_denied");
    // Beside another protocol, or of another version, it is a WebSocket all the same.
    for offer in ["x, websocket", "WebSocket/13"] {
        let mut raw = gateway.client();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\nConnection: upgrade\r\nUpgrade: {offer}\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        assert_eq!(raw.ask(&head).status, 403, "{offer}");
    }
}

#[test]
fn a_message_that_is_too_large_ends_it() {
    for (from, to) in BRIDGES {
        let server = Server::start(to);
        let gateway = server.behind("websocket = { message = \"10KB\" }").start();
        assert_eq!(client(from, &url(&gateway), &["big", "10001"]), "1009 end", "{from:?} to {to:?}");
        assert_eq!(server.closed(), "1001");
        assert_eq!(client(from, &url(&gateway), &["parts", "10"]), "1009 end");
        assert_eq!(server.closed(), "1001");
        // The other direction: the client hears that it is over, the server that it said too much.
        assert_eq!(client(from, &url(&gateway), &["ask", "20000"]), "1001 end");
        assert_eq!(server.closed(), "1009");
        assert_eq!(gateway.reason(3), "websocket_message_too_large");
        wait_for("the metric", || gateway.metrics().contains("\nturnpike_websockets_ended_total 3\n").then_some(()));
    }
}

#[test]
fn too_many_messages_end_it() {
    for (from, to) in BRIDGES {
        let server = Server::start(to);
        let gateway = server.behind("websocket = { rate = \"20/m\" }").start();
        for what in ["flood", "pings", "crumbs"] {
            assert_eq!(client(from, &url(&gateway), &[what, "30"]), "1008 end", "{from:?} to {to:?}: {what}");
            assert_eq!(server.closed(), "1001");
        }
        assert_eq!(gateway.reason(3), "websocket_rate");
        assert_eq!(client(from, &url(&gateway), &["origin"]), "open", "each has its own measure");
    }
}

#[test]
fn frames_that_break_the_rules_end_it() {
    for (from, to) in BRIDGES {
        let server = Server::start(to);
        let gateway = server.behind("").start();
        for bad in ["unmasked", "long-ping", "fragmented-ping", "orphan", "within", "length", "not-shortest"] {
            assert_eq!(client(from, &url(&gateway), &["bad", bad]), "1002 end", "{from:?} to {to:?}: {bad}");
            assert_eq!(server.closed(), "1001", "{from:?} to {to:?}: {bad}");
        }
        assert_eq!(gateway.reason(7), "websocket_malformed");
    }
}

#[test]
fn silence_and_age_end_it() {
    for (route, reason) in [
        ("timeouts = { tunnel = \"500ms\" }", "websocket_idle"),
        ("timeouts = { tunnel_lifetime = \"700ms\" }", "websocket_lifetime"),
    ] {
        for (from, to) in BRIDGES {
            let server = Server::start(to);
            let gateway = server.behind(route).start();
            let open = held(from, &url(&gateway), "hold");
            assert_eq!(open.line(), "1001 end", "{from:?} to {to:?}: {reason}");
            assert_eq!(server.closed(), "1001");
            assert_eq!(gateway.reason(1), reason);
        }
    }
}

#[test]
fn pings_keep_the_living_and_find_the_dead() {
    for (from, to) in BRIDGES {
        let server = Server::start(to);
        let gateway = server.behind("timeouts = { tunnel = \"1500ms\" }\nwebsocket = { ping = \"250ms\" }").start();
        let living = held(from, &url(&gateway), "hold");
        // The living one is silent for longer than either of these.
        for count in 1..=2 {
            let dead = held(from, &url(&gateway), "mute");
            assert_eq!(dead.line(), "1001 end", "{from:?} to {to:?}");
            assert_eq!(gateway.reason(count), "websocket_silent");
        }
        assert!(living.waits(), "{from:?} to {to:?}");
    }
}

#[test]
fn a_large_message_read_slowly_is_no_silence() {
    let server = Server::start(Http1);
    let gateway = server.behind("websocket = { ping = \"2s\", message = \"64MiB\" }").start();
    for from in [Http1, Http2] {
        // Its pings wait behind the message for longer than an answer may take.
        let said = client(from, &url(&gateway), &["slowly", "33554432"]);
        assert_eq!(said, "good", "{from:?}");
    }
}
