// SPDX-License-Identifier: Apache-2.0
//! Peers that are slow but move, peers that drip, and clients that read a response only when they have sent everything;
//! over HTTP/1.1, TLS and HTTP/2.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::certificates::Authority;
use crate::harness::http2::{counter, script_with};
use crate::harness::origin::ok;
use crate::harness::reader::Trouble;
use crate::harness::{Gateway, Origin, Setup};

/// What a client in Python came to; see `slow_peer.py`.
fn peer(address: SocketAddr, what: &str, how: &str, rest: &[&str]) -> Value {
    let address = address.to_string();
    let out = script_with("slow_peer.py", &[&[&*address, what, how], rest].concat(), "");
    serde_json::from_str(&out.text()).unwrap_or_else(|error| panic!("{error}: {}", out.all()))
}

/// A gateway with a plain listener (HTTP/1.1 and HTTP/2) and one with TLS; `listener` and `route` are more of theirs.
fn gateway(origin: &Origin, listener: &str, route: &str) -> Gateway {
    let pair = Authority::new("test authority").sign(&["localhost"]);
    Setup::new(format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\nhttp2 = {{ cleartext = true }}\n{listener}\n\
         [[listener]]\nname = \"tls\"\nbind = \"127.0.0.2:0\"\n\
         tls = {{ certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}] }}\n{listener}\n\
         [[route]]\nto = \"{}\"\n{route}\n",
        origin.url()
    ))
    .file("a.pem", pair.certificate)
    .file("a.key", pair.key)
    .start()
}

fn address(gateway: &Gateway, how: &str) -> SocketAddr {
    gateway.address(if how == "tls" { "tls" } else { "web" })
}

const BODY: usize = 8 << 20;

#[test]
fn a_reader_that_moves_is_not_cut_off() {
    let origin = Origin::answering(|_| ok(vec![b'x'; BODY]));
    // One buffer takes such a reader several times as long.
    let gateway = gateway(&origin, "timeouts = { write = \"1500ms\" }", "");
    std::thread::scope(|scope| {
        for how in ["plain", "tls", "h2"] {
            let gateway = &gateway;
            scope.spawn(move || {
                let seen = peer(address(gateway, how), "read", how, &["7", "2000"]);
                assert!(seen["bytes"].as_u64() >= Some(BODY as u64), "{how}: {seen}");
            });
        }
    });
    let fine = |entry: &Value| entry["aborted"] != true && entry["reason"].as_str().unwrap_or("").is_empty();
    assert!(gateway.log(3).iter().all(fine), "{:?}", gateway.log(3));
}

const LEAST: &str = "limits = { min_download_rate = \"30KB\", min_upload_rate = \"30KB\" }\n\
                     timeouts = { rate_grace = \"1s\" }";

#[test]
fn a_reader_that_drips_is_cut_off_and_named() {
    let origin = Origin::answering(|_| ok(vec![b'x'; BODY]));
    let gateway = gateway(&origin, LEAST, "");
    std::thread::scope(|scope| {
        for how in ["plain", "tls", "h2"] {
            let gateway = &gateway;
            scope.spawn(move || {
                let seen = peer(address(gateway, how), "drip_read", how, &["10000"]);
                assert_eq!(seen["cut"], true, "{how}: {seen}");
            });
        }
    });
    for entry in gateway.log(3) {
        let told = (&entry["reason"], &entry["status"], &entry["aborted"]);
        assert_eq!(told, (&json!("client_too_slow"), &json!(200), &json!(true)), "{entry}");
    }
    assert_eq!(counter(&gateway, "turnpike_slow_downloads_total"), 3);
    assert_eq!(counter(&gateway, "turnpike_slow_uploads_total"), 0);
}

#[test]
fn an_upload_that_drips_gets_408_and_is_named() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, LEAST, "limits = { body = \"off\" }");
    for (number, how) in ["plain", "tls", "h2"].into_iter().enumerate() {
        let seen = peer(address(&gateway, how), "drip_upload", how, &["100"]);
        assert_eq!(seen["status"], 408, "{how}: {seen}");
        assert_eq!(gateway.reason(number + 1), "client_too_slow", "{how}");
    }
    assert_eq!(counter(&gateway, "turnpike_slow_uploads_total"), 3);
    assert_eq!(origin.count(), 0, "no request was whole");
}

#[test]
fn an_upload_that_the_origin_holds_up_goes_on() {
    // The origin takes a little of it for longer than anybody may be without progress.
    let origin = Origin::with(|peer| {
        peer.head()?;
        let (mut reads, mut seen) = (0, 0);
        while seen < BODY {
            let some = peer.read_some().map_err(|_| Trouble::Closed)?;
            if some.is_empty() {
                return Err(Trouble::Closed);
            }
            seen += some.len();
            reads += 1;
            if reads <= 40 {
                peer.pause(100);
            }
        }
        peer.send(ok("done"));
        Ok(())
    });
    let gateway = gateway(&origin, LEAST, "limits = { body = \"off\" }\ntimeouts = { idle = \"1500ms\" }");
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {BODY}\r\n\r\n"));
    client.send(vec![b'x'; BODY]);
    let answer = client.answer();
    assert_eq!((answer.status, &*answer.body), (200, &b"done"[..]));
}

#[test]
fn no_refusal_of_a_large_body_is_lost() {
    let origin = Origin::echo();
    let gateway = gateway(&origin, "", "limits = { body = \"64KiB\" }");
    let upload = |how: &str, count: u64, size: u64, framing: &str| {
        let (count_text, size) = (count.to_string(), size.to_string());
        let seen = peer(address(&gateway, how), "uploads", how, &["/", &count_text, &size, framing]);
        assert_eq!(seen, json!({ "413": count }), "{how} {framing} {size}");
    };
    upload("plain", 400, 1_000_000, "length");
    upload("plain", 12, 40_000_000, "length");
    upload("plain", 50, 1_000_000, "expect");
    upload("tls", 150, 1_000_000, "length");
    upload("h2", 100, 1_000_000, "length");
    assert_eq!(origin.count(), 0);
    // What passes the limit only while it streams.
    upload("plain", 200, 1_000_000, "chunked");
    upload("tls", 88, 1_000_000, "chunked");
    assert_eq!(origin.count(), 0, "no request was whole");
}

#[test]
fn an_early_response_reaches_a_client_that_goes_on_sending() {
    let origin = Origin::with(|peer| {
        peer.head()?;
        // Where the whole upload was quicker, the connection would be used again, and this origin answers once.
        peer.send("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnope");
        peer.read_to_end();
        Ok(())
    });
    let gateway = gateway(&origin, "", "limits = { body = \"off\" }");
    for how in ["plain", "tls"] {
        let seen = peer(address(&gateway, how), "uploads", how, &["/", "60", "4000000", "length"]);
        assert_eq!(seen, json!({ "403": 60 }), "{how}");
    }
}

/// A body that a client began and then leaves alone is dropped for a while, and not for ever.
#[test]
fn a_connection_is_not_kept_for_a_body_that_does_not_come() {
    let gateway = Gateway::web("[[route]]\nanswer = { body = \"here\" }\n");
    let mut stream = std::net::TcpStream::connect(gateway.here()).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a positive wait");
    std::io::Write::write_all(&mut stream, b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nx")
        .expect("sent");
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("an end in order");
    assert!(all.starts_with("HTTP/1.1 200") && all.ends_with("here"), "{all}");
}
