// SPDX-License-Identifier: Apache-2.0
//! Upstreams that fail: the access log, the metrics and one warning say why and what to do.

use crate::harness::gateway::WEB;
use crate::harness::{End, Gateway, Origin, Setup, wait_for};

fn before(upstream: &str) -> Setup {
    Setup::new(format!("{WEB}\n[upstream.o]\n{upstream}\n[[route]]\nto = \"o\"\nretry = {{ tries = 1 }}\n"))
}

/// Reason and detail in the log of a request to an origin that sends these bytes.
fn told(bytes: &'static [u8]) -> (String, String) {
    let origin = Origin::with(move |peer| {
        peer.request()?;
        peer.send(bytes);
        Ok(())
    });
    let gateway = before(&format!("endpoints = \"{}\"", origin.address)).start();
    assert_eq!(gateway.get("/").status, 502);
    let entry = &gateway.log(1)[0];
    let text = |key: &str| entry[key].as_str().unwrap_or("").to_owned();
    (text("reason"), text("detail"))
}

#[test]
fn an_origin_of_another_protocol_is_recognised() {
    let (reason, detail) = told(b"\x15\x03\x03\x00\x02\x02\x46");
    assert_eq!(reason, "not_http");
    assert!(detail.contains("its port speaks TLS"), "{detail}");
    let (reason, detail) = told(b"\0\0\0\x04\0\0\0\0\0");
    assert_eq!((&*reason, &*detail), ("not_http", "the endpoint answers HTTP/1.1 with HTTP/2"));
    let (reason, detail) = told(b"220 mail.example ESMTP\r\n");
    assert_eq!((&*reason, &*detail), ("not_http", "the endpoint answers with bytes that are not HTTP"));
}

#[test]
fn a_failing_endpoint_is_warned_of_once_and_all_its_failures_are_counted() {
    let nobody = crate::harness::tool::reserved();
    let upstream = format!("endpoints = \"{}\"\noutlier = false", nobody.address());
    let gateway = before(&upstream).shards(2).log("{status} {reason} ({detail})").start();
    for _ in 0..40 {
        assert_eq!(gateway.get("/").status, 502);
    }
    let lines = wait_for("the access log", || Some(gateway.log_lines()).filter(|lines| lines.len() >= 40));
    let line = "502 refused (the endpoint refused the connection: nothing listens at its address)";
    assert!(lines.iter().all(|logged| logged == line), "{lines:?}");
    let counted = "turnpike_upstream_failures_by_reason_total{upstream=\"o\",reason=\"refused\"} 40";
    wait_for("the count", || Some(()).filter(|()| gateway.metrics().contains(counted)));
    let said = gateway.said();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("requests to an endpoint fail")).collect();
    let [warning] = warnings[..] else { panic!("{said}") };
    assert!(warning.contains("WARN") && warning.contains(&nobody.address().to_string()), "{warning}");
    assert!(warning.contains("start the server, or correct the endpoint's address"), "{warning}");
}

#[test]
fn a_client_is_not_told_what_is_behind_the_gateway() {
    let nobody = crate::harness::tool::reserved();
    let gateway = before(&format!("endpoints = \"{}\"", nobody.address())).start();
    let text = gateway.get("/").text();
    assert!(!text.contains("refused") && !text.contains("127.0.0.1"), "{text}");
}

#[test]
fn a_name_that_does_not_resolve_is_the_reason() {
    let gateway = before("endpoints = \"nothing.invalid:80\"").start();
    assert_eq!(gateway.get("/").status, 503);
    assert_eq!(gateway.reason(1), "dns");
}

#[test]
fn a_malformed_request_is_logged_with_its_rule_and_a_flood_of_them_is_not() {
    let gateway = Gateway::web("[[route]]\nanswer = { body = \"x\" }\n");
    for _ in 0..200 {
        assert_eq!(gateway.client().ask("GET /\x1b HTTP/1.1\r\nHost: test\r\n\r\n").status, 400);
    }
    let what = "malformed request: the request target holds only visible ASCII";
    let said = wait_for("a line", || Some(gateway.said()).filter(|said| said.contains(what)));
    let line = said.lines().find(|line| line.contains(what)).expect("told");
    assert!(line.contains("INFO") && line.contains("127.0.0.1"), "{line}");
    assert!(line.contains("x1b") && !line.contains('\x1b'), "{line}");
    assert!(said.matches(what).count() < 100, "{}", said.matches(what).count());
    let mut hostless = gateway.client();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(hostless.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    wait_for("the rule", || Some(()).filter(|()| gateway.said().contains("Host is missing")));
}

#[test]
fn a_body_that_the_stop_cuts_off_ends_in_a_reset_and_is_logged() {
    let origin = Origin::with(|peer| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\n\r\nsome of it");
        peer.read_to_end();
        Ok(())
    });
    let mut gateway = before(&format!("endpoints = \"{}\"", origin.address)).start();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    let mut answer = client.head();
    assert_eq!(answer.status, 200);
    let stopped = gateway.admin("POST", "/stop?now").map(|answer| answer.status);
    client.content(&mut answer);
    assert!(matches!(answer.end, End::Aborted(_)), "{stopped:?}: {:?}", answer.end);
    gateway.wait(std::time::Duration::from_secs(10));
    let entry = &gateway.log(1)[0];
    assert_eq!((entry["reason"].as_str(), entry["aborted"].as_bool()), (Some("stopped"), Some(true)));
}
