// SPDX-License-Identifier: Apache-2.0
//! WebSockets between the versions of HTTP: RFC 6455 and RFC 8441 on either side, in all four combinations.

use std::time::Duration;

use crate::harness::certificates::Authority;
use crate::harness::tool::{python, script};
use crate::harness::{Gateway, Origin, run};
use crate::websocket::peers::Speaks::{Http1, Http2};
use crate::websocket::peers::{BRIDGES, Server, Speaks, client, held};

fn url(gateway: &Gateway, path: &str) -> String {
    format!("ws://{}{path}", gateway.here())
}

/// Text, bytes, fragments, pings, farewells, broken text, large messages: all that a client can say.
fn cases(from: Speaks, to: Speaks) {
    let server = Server::start(to);
    let gateway = server.behind("").start();
    assert_eq!(client(from, &url(&gateway, "/chat"), &["cases"]), "good");
    for entry in gateway.log(8) {
        assert_eq!((&entry["status"], &entry["method"]), (&101.into(), &"GET".into()), "{entry}");
        assert_eq!(entry["protocol"], if from == Http1 { "HTTP/1.1" } else { "HTTP/2.0" }, "{entry}");
    }
}

#[test]
fn http1_to_http1() {
    cases(Http1, Http1);
}

#[test]
fn http1_to_http2() {
    cases(Http1, Http2);
}

#[test]
fn http2_to_http1() {
    cases(Http2, Http1);
}

#[test]
fn http2_to_http2() {
    cases(Http2, Http2);
}

#[test]
fn a_client_of_others_speaks_to_an_upstream_of_http2() {
    let server = Server::start(Http2);
    let gateway = server.behind("").start();
    let out = run(python(), &[script("echo_client.py").to_str().expect("a path"), &url(&gateway, "/chat")]);
    assert_eq!(out.text().trim(), "good", "{}", out.stderr);
}

#[test]
fn many_share_one_connection() {
    for to in [Http1, Http2] {
        let server = Server::start(to);
        let gateway = server.behind("").start();
        assert_eq!(client(Http2, &url(&gateway, "/"), &["many", "40"]), "good");
        let entries = gateway.log(40);
        assert!(entries.iter().all(|entry| entry["status"] == 101));
    }
}

#[test]
fn the_request_is_made_for_the_version_that_it_goes_to() {
    let server = Server::start(Http2);
    let gateway = server.behind("").start();
    for from in [Http1, Http2] {
        let head: serde_json::Value =
            serde_json::from_str(&client(from, &url(&gateway, "/head"), &["first"])).expect("JSON");
        assert_eq!((&head[":method"], &head[":protocol"]), (&"CONNECT".into(), &"websocket".into()), "{head}");
        assert_eq!((&head[":scheme"], &head[":path"]), (&"http".into(), &"/head".into()), "{head}");
        assert_eq!(head["sec-websocket-version"], "13");
        for absent in ["sec-websocket-key", "upgrade", "connection", "content-length"] {
            assert!(head[absent].is_null(), "{absent}: {head}");
        }
    }
}

/// An origin that answers every request with this.
fn origin(answer: &'static str) -> (Origin, Gateway) {
    let origin = Origin::with(move |peer| {
        peer.request()?;
        peer.send(answer);
        peer.finish();
        Ok(())
    });
    let listener = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nhttp2 = { cleartext = true }\n";
    let setup = crate::harness::Setup::new(format!("{listener}[[route]]\nto = \"{}\"\n", origin.url()));
    (origin, setup.start())
}

#[test]
fn an_upstream_of_http1_gets_a_key_and_must_prove_that_it_read_it() {
    let wrong = "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let (origin, gateway) = origin(wrong);
    assert_eq!(client(Http2, &url(&gateway, "/"), &["origin"]), "502");
    let head = origin.last();
    assert_eq!((head.field("upgrade"), head.field("sec-websocket-version")), ("websocket", "13"));
    assert_eq!(head.field("sec-websocket-key").len(), 24);
    assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/"));
}

#[test]
fn an_answer_that_is_no_switch_is_never_taken_for_one() {
    let (_origin, gateway) = origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client(Http2, &url(&gateway, "/"), &["origin"]), "502");
    for (answer, status) in [
        ("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", "403"),
        ("HTTP/1.1 426 x\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nContent-Length: 0\r\n\r\n", "426"),
    ] {
        let (_origin, gateway) = self::origin(answer);
        for from in [Http1, Http2] {
            assert_eq!(client(from, &url(&gateway, "/"), &["origin"]), status);
        }
    }
    let server = Server::start(Http2);
    let gateway = server.behind("").start();
    for from in [Http1, Http2] {
        assert_eq!(client(from, &url(&gateway, "/no"), &["origin"]), "403");
    }
}

#[test]
fn a_route_without_upgrades_refuses_what_it_cannot_ignore() {
    let server = Server::start(Http1);
    let gateway = server.behind("upgrade = false").start();
    assert_eq!(client(Http2, &url(&gateway, "/"), &["origin"]), "501");
    let listener = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nhttp2 = { cleartext = true }\n";
    let routes = "[[route]]\npath = \"/a\"\nanswer = { body = \"x\" }\n[[route]]\npath = \"/b\"\necho = true\n\
        [[route]]\npath = \"/c\"\nanswer = { status = 418 }\n[[route]]\npath = \"/d\"\nredirect = { path = \"/\" }\n";
    let gateway = crate::harness::Setup::new(format!("{listener}{routes}")).start();
    for (path, status) in [("/a", "501"), ("/b", "501"), ("/c", "418"), ("/d", "308")] {
        assert_eq!(client(Http2, &url(&gateway, path), &["origin"]), status, "{path}");
    }
}

#[test]
fn an_upstream_that_takes_no_extended_connect_gets_none() {
    let server = Server::of("ws_h2_server.py", &["deaf"], Http2);
    let gateway = server.behind("").start();
    for from in [Http1, Http2, Http1] {
        assert_eq!(client(from, &url(&gateway, "/"), &["origin"]), "501");
    }
    assert_eq!(gateway.get("/").field("x-method"), "GET", "requests still go there");
}

#[test]
fn with_both_versions_the_endpoint_decides_how() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("test");
    authority.sign(&["origin.test"]).write(folder.path(), "origin");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (pem, key) = (path("origin.pem"), path("origin.key"));
    for (deaf, spoken) in [("", "h2"), ("deaf", "h1")] {
        let arguments: Vec<&str> =
            [deaf, "tls", &pem, &key].into_iter().filter(|argument| !argument.is_empty()).collect();
        let server = Server::of("ws_h2_server.py", &arguments, Http2);
        let listener = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nhttp2 = { cleartext = true }\n";
        let upstream = format!(
            "[upstream.ws]\nendpoints = [\"127.0.0.1:{}\"]\nhttp = \"auto\"\n\
             tls = {{ ca = \"{{dir}}/ca.pem\", server_name = \"origin.test\" }}\n[[route]]\nto = \"ws\"\n",
            server.port
        );
        let setup = crate::harness::Setup::new(format!("{listener}{upstream}"));
        let gateway = setup.file("ca.pem", &authority.pem).start();
        for from in [Http1, Http2, Http1, Http2] {
            assert_eq!(client(from, &url(&gateway, "/"), &["origin"]), "open", "{from:?} to {spoken}");
        }
        let mut raw = gateway.client();
        raw.send(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let head = raw.head();
        assert_eq!((head.status, head.field("x-spoken")), (101, spoken));
        assert_eq!(head.field("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(gateway.get("/").field("x-method"), "GET", "requests go on as they did");
    }
}

#[test]
fn an_end_that_vanishes_is_told_to_the_other() {
    for (from, to) in BRIDGES {
        let server = Server::start(to);
        let gateway = server.behind("").start();
        drop(held(from, &url(&gateway, "/chat"), "hold"));
        assert_eq!(server.closed(), "1006", "{from:?} to {to:?}");
        let open = held(from, &url(&gateway, "/chat"), "hold");
        drop(server);
        let said = open.line();
        assert!(said.starts_with("none"), "{from:?} to {to:?}: {said}");
        gateway.log(2);
    }
}

#[test]
fn over_tls_alpn_chooses() {
    let pair = Authority::new("test").sign(&["localhost"]);
    let server = Server::start(Http2);
    let listener = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
        [listener.tls]\ncertificates = { cert = \"{dir}/web.pem\", key = \"{dir}/web.key\" }\n";
    let upstream = format!("[upstream.ws]\nendpoints = [\"127.0.0.1:{}\"]\nhttp = \"2\"\n", server.port);
    let setup = crate::harness::Setup::new(format!("{listener}{upstream}[[route]]\nto = \"ws\"\n"));
    let gateway = setup.file("web.pem", &pair.certificate).file("web.key", &pair.key).start();
    for from in [Http1, Http2] {
        let url = format!("wss://{}/chat", gateway.here());
        assert_eq!(client(from, &url, &["cases"]), "good", "{from:?}");
    }
}

#[test]
fn they_live_on_over_reloads() {
    for (from, to) in BRIDGES {
        let server = Server::start(to);
        let mut gateway = server.behind("").start();
        let mut waiting = held(from, &url(&gateway, "/chat"), "wait");
        let listener = "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nhttp2 = { cleartext = true }\n";
        gateway.rewrite(format!("{listener}\n[[route]]\nanswer = {{ body = \"new\" }}\n"));
        assert_eq!(gateway.reload().0, 200);
        assert_eq!(gateway.get("/chat").text(), "new");
        waiting.go_on();
        assert_eq!(waiting.line(), "good", "{from:?} to {to:?}");
    }
}

#[test]
fn a_drain_closes_them_in_order() {
    for (from, to) in BRIDGES {
        let server = Server::start(to);
        let mut gateway = server.behind("").start();
        let open = held(from, &url(&gateway, "/chat"), "hold");
        assert!(open.waits());
        gateway.signal("TERM");
        assert_eq!(open.line(), "1001 end", "{from:?} to {to:?}");
        assert_eq!(server.closed(), "1001", "{from:?} to {to:?}");
        assert_eq!(gateway.wait(Duration::from_secs(4)).code(), Some(0));
        assert_eq!(gateway.reason(1), "websocket_drained");
    }
}

#[test]
fn a_drain_does_not_wait_for_ever_within_a_frame() {
    for from in [Http1, Http2] {
        let server = Server::start(Http1);
        let mut gateway = server.behind("").start();
        let open = held(from, &url(&gateway, "/chat"), "half");
        gateway.signal("TERM");
        assert_eq!(open.line(), "1001 end", "{from:?}");
        assert_eq!(gateway.wait(Duration::from_secs(8)).code(), Some(0));
    }
}
