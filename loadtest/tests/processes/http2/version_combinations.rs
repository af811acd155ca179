// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 and HTTP/2 on either side, in all combinations: what a user sends arrives, and comes back.

use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::certificates::Authority;
use crate::harness::http2::{Lines, Origin2, ask, ask_all, field, to, web2};
use crate::harness::message::Request;
use crate::harness::origin::ok;
use crate::harness::tool::{Nginx, Output, run};
use crate::harness::{Client, Gateway, Origin, Setup, curl, noise};

/// The answers of `h2_origin.py`, as HTTP/1.1.
fn origin1() -> Origin {
    Origin::with(|peer| {
        loop {
            let mut request = peer.head()?;
            if request.target == "/continue" {
                peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            peer.body(&mut request)?;
            peer.send(answer1(&request));
        }
    })
}

fn answer1(request: &Request) -> Vec<u8> {
    let (kind, rest) = request.target[1..].split_once('/').unwrap_or((&request.target[1..], ""));
    match (&*request.method, kind) {
        ("HEAD", _) => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".to_vec(),
        (_, "status") => format!("HTTP/1.1 {rest} Here\r\nETag: \"x\"\r\n\r\n").into(),
        (_, "hints") => {
            let hint = |number| format!("HTTP/1.1 103 Early Hints\r\nLink: </{number}.css>\r\n\r\n");
            [hint(1).as_bytes(), hint(2).as_bytes(), &ok("here")].concat()
        }
        (_, "echo" | "continue") => chunked(request),
        (_, "bytes") => {
            let count = rest.parse().expect("a number");
            ok((0..count).map(|at: usize| (at % 251) as u8).collect::<Vec<u8>>())
        }
        _ => ok("here"),
    }
}

fn chunked(request: &Request) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in request.body.chunks(9_999) {
        answer.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n");
    for (name, value) in &request.trailers.0 {
        answer.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    answer.extend_from_slice(b"\r\n");
    answer
}

/// Does something with a gateway before an origin of each version.
fn before_each(act: impl Fn(&Gateway, &str)) {
    let one = origin1();
    act(&web2(to(one.address, "1.1", "")).start(), "1.1");
    assert!(one.troubles().is_empty(), "{:?}", one.troubles());
    let two = Origin2::start();
    act(&web2(to(two.address, "2", "")).start(), "2");
    assert!(two.events("protocol").is_empty(), "{:?}", two.events("protocol"));
    assert_eq!(two.events("opened").len(), 1, "one connection carries everything");
}

/// How curl speaks, and what it then says of the version.
const SPOKEN: &[(&str, &str)] = &[("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")];

fn shown(gateway: &Gateway, more: &[&str], target: &str) -> Output {
    let url = gateway.url(target);
    let out = curl(&[&["-w", "\n%{http_version} %{http_code}", &url], more].concat());
    assert_eq!(out.code, 0, "{target}: {}", out.stderr);
    out
}

#[test]
fn curl_gets_head_and_post_in_all_four_combinations() {
    before_each(|gateway, origin| {
        for (flag, version) in SPOKEN {
            let at = format!("{version} to {origin}");
            assert_eq!(shown(gateway, &[flag], "/here").text(), format!("here\n{version} 200"), "{at}");
            let head = shown(gateway, &[flag, "-I"], "/here").text().to_lowercase();
            assert!(head.contains("content-length: 4"), "{at}: {head}");
            assert!(head.ends_with(&format!("{version} 200")), "{at}: {head}");
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let out = shown(gateway, &[flag, "-X", method, "-d", "a=1"], "/echo");
                assert_eq!(out.text(), format!("a=1\n{version} 200"), "{at}");
            }
            for status in ["204", "304"] {
                let out = shown(gateway, &[flag, "-i"], &format!("/status/{status}"));
                let text = out.text();
                assert!(text.ends_with(&format!("{version} {status}")), "{at}: {text}");
                assert!(text.to_lowercase().contains("etag: \"x\""), "{at}: {text}");
            }
        }
    });
}

#[test]
fn large_bodies_go_through_both_ways() {
    before_each(|gateway, origin| {
        let (from, to) = (gateway.path("from"), gateway.path("to"));
        let sent = noise(20 << 20);
        fs::write(&from, &sent).expect("written");
        let (from, to_name) = (from.to_str().expect("a path"), to.to_str().expect("a path"));
        for (flag, version) in SPOKEN {
            for how in [&["-T", from][..], &["-H", "Transfer-Encoding: chunked", "-T", from]] {
                if *version == "2" && how.len() > 2 {
                    continue;
                }
                let out = curl(&[&[flag, "-o", to_name, &gateway.url("/echo")], how].concat());
                assert_eq!(out.code, 0, "{version} to {origin}: {}", out.stderr);
                assert!(fs::read(&to).expect("read") == sent, "{version} to {origin}: the content was changed");
            }
            let out = curl(&[flag, "-o", to_name, &gateway.url("/bytes/20000000")]);
            assert_eq!(out.code, 0, "{version} to {origin}: {}", out.stderr);
            let came = fs::read(&to).expect("read");
            assert!(
                came.len() == 20_000_000 && came.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251)
            );
        }
    });
}

#[test]
fn trailers_go_through_in_all_four_combinations() {
    before_each(|gateway, origin| {
        let answer = ask(
            gateway,
            json!({ "path": "/echo", "method": "POST", "body": "hello", "trailers": [["x-sum", "7"], ["x-more", "y"]],
                    "fields": [["te", "trailers"]] }),
        );
        assert_eq!((&answer["text"], &answer["ended"]), (&json!("hello"), &json!(true)), "2 to {origin}: {answer}");
        assert_eq!(answer["trailers"], json!([["x-sum", "7"], ["x-more", "y"]]), "2 to {origin}");
        let mut client = gateway.client();
        let answer = client.ask(
            "POST /echo HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n",
        );
        assert_eq!((answer.text(), answer.trailers.value("x-sum")), ("hello".to_owned(), Some("7")), "1.1 to {origin}");
        assert_eq!(client.get("/here").text(), "here", "the connection stands at a boundary");
    });
}

#[test]
fn what_only_policies_may_say_is_dropped_from_trailers_in_all_four_combinations() {
    let policies = "policies = \"key\"\n[policy.key.api_key]\nanonymous = \"guest\"\nconsumer_fields = false\n\
         [[consumer]]\nname = \"guest\"\n";
    let (one, two) = (origin1(), Origin2::start());
    for (address, version) in [(one.address, "1.1"), (two.address, "2")] {
        let gateway = web2(to(address, version, "") + policies).start();
        // What came with the head, and what is read while it is sent.
        for body in ["hello".to_owned(), "x".repeat(300_000)] {
            let trailers = [["x-sum", "7"], ["x-consumer-name", "root"], ["x-consumer-id", "0"], ["x-more", "y"]];
            let answer = ask(
                &gateway,
                json!({ "path": "/echo", "method": "POST", "body": body, "trailers": trailers,
                        "fields": [["te", "trailers"]] }),
            );
            assert_eq!((&answer["length"], &answer["ended"]), (&json!(body.len()), &json!(true)), "2 to {version}");
            assert_eq!(answer["trailers"], json!([["x-sum", "7"], ["x-more", "y"]]), "2 to {version}");
            let mut client = gateway.client();
            let answer = client.ask(format!(
                "POST /echo HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
                 {:x}\r\n{body}\r\n0\r\nX-CONSUMER-name: root\r\nX-Sum: 7\r\nX_Consumer_Id: 0\r\n\r\n",
                body.len()
            ));
            assert_eq!((answer.status, answer.body.len()), (200, body.len()), "1.1 to {version}");
            assert_eq!(answer.trailers.0.len(), 1, "1.1 to {version}: {:?}", answer.trailers);
            assert_eq!(answer.trailers.value("x-sum"), Some("7"), "1.1 to {version}");
            assert_eq!(client.get("/here").text(), "here", "the connection stands at a boundary");
        }
    }
}

#[test]
fn trailers_are_dropped_where_nobody_asked_for_them() {
    before_each(|gateway, origin| {
        let mut client = gateway.client();
        let answer = client.ask(
            "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n",
        );
        assert_eq!(answer.text(), "hello", "1.1 to {origin}");
        let answer =
            ask(gateway, json!({ "path": "/echo", "method": "POST", "body": "hello", "trailers": [["x-sum", "7"]] }));
        assert_eq!((&answer["text"], &answer["ended"]), (&json!("hello"), &json!(true)), "2 to {origin}: {answer}");
    });
}

#[test]
fn interim_answers_go_through() {
    before_each(|gateway, origin| {
        let answer = ask(gateway, json!({ "path": "/hints" }));
        let interim = answer["interim"].as_array().expect("a list");
        assert_eq!((interim.len(), &answer["text"]), (2, &json!("here")), "2 to {origin}: {answer}");
        assert_eq!((&interim[0][0], field(&interim[1][1], "link")), (&json!(103), Some("</2.css>")), "2 to {origin}");
        let answer = gateway.get("/hints");
        assert_eq!((answer.interim.len(), answer.text()), (2, "here".to_owned()), "1.1 to {origin}");
        assert_eq!(answer.interim[1].1.value("link"), Some("</2.css>"));
    });
}

#[test]
fn expect_100_continue_asks_the_origin() {
    before_each(|gateway, origin| {
        let answer = ask(
            gateway,
            json!({ "path": "/continue", "method": "POST", "body": "hello", "wait": true,
                    "fields": [["expect", "100-continue"]] }),
        );
        assert_eq!(
            (&answer["interim"][0][0], &answer["text"]),
            (&json!(100), &json!("hello")),
            "2 to {origin}: {answer}"
        );
        let mut client = gateway.client();
        client.send("POST /continue HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        assert_eq!(client.head().status, 100, "1.1 to {origin}");
        client.send("body");
        assert_eq!(client.answer().text(), "body", "1.1 to {origin}");
    });
}

#[test]
fn a_body_without_content_is_waited_for() {
    before_each(|gateway, origin| {
        // END_STREAM comes in an empty DATA frame, behind a head that says that nothing will follow.
        let answer = ask(
            gateway,
            json!({ "path": "/echo", "method": "POST", "trailers": [["x-sum", "7"]],
                    "fields": [["content-length", "0"], ["te", "trailers"]] }),
        );
        assert_eq!((&answer["status"], &answer["length"]), (&json!(200), &json!(0)), "2 to {origin}: {answer}");
    });
}

#[test]
fn crumbs_of_cookies_arrive_as_one() {
    let origin = origin1();
    let gateway = web2(to(origin.address, "1.1", "")).start();
    let crumbs = [["cookie", "a=1"], ["x-between", "y"], ["cookie", "b=2"], ["cookie", "c=3"]];
    let answer = ask(&gateway, json!({ "path": "/", "fields": crumbs }));
    assert_eq!(answer["status"], 200);
    let fields = origin.last().fields;
    assert_eq!(fields.all("cookie").collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    let two = Origin2::start();
    let gateway = web2(to(two.address, "2", "")).start();
    assert_eq!(ask(&gateway, json!({ "path": "/", "fields": crumbs }))["status"], 200);
    let last = two.last();
    let pairs = last["fields"].as_array().expect("a list").iter().filter(|pair| pair[0] == "cookie");
    let whole: Vec<&str> = pairs.filter_map(|pair| pair[1].as_str()).collect();
    assert_eq!(whole.join("; "), "a=1; b=2; c=3");
}

#[test]
fn many_fields_go_through_and_more_are_refused() {
    before_each(|gateway, origin| {
        let fields = |count: usize| -> Vec<[String; 2]> {
            (0..count).map(|at| [format!("x-field-{at}"), format!("value {at} {}", "v".repeat(at + 1))]).collect()
        };
        for round in 0..3 {
            let answer = ask(gateway, json!({ "path": "/here", "fields": fields(80) }));
            assert_eq!(answer["status"], 200, "2 to {origin}, round {round}: {answer}");
        }
        for refused in [json!(fields(140)), json!([["x-long", "v".repeat(40_000)]])] {
            // The next request on the same connection shows that compression is still in step.
            let came = ask_all(
                gateway.here(),
                &json!([{ "path": "/here", "fields": refused }, { "path": "/here",
                "fields": fields(20) }]),
            );
            let statuses = [&came["answers"][0]["status"], &came["answers"][1]["status"]];
            assert_eq!(statuses, [&json!(431), &json!(200)], "2 to {origin}: {}", came["closed"]);
        }
    });
}

#[test]
fn fields_are_lower_case_and_nothing_of_a_connection_is_left() {
    let two = Origin2::start();
    let gateway = web2(to(two.address, "2", "")).start();
    let answer = gateway.client().ask(
        "GET /fields HTTP/1.1\r\nHost: a.example\r\nX-Upper: Yes\r\nConnection: keep-alive, X-Drop\r\nX-Drop: 1\r\n\
         Keep-Alive: timeout=5\r\nTE: trailers, deflate\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let fields = &two.last()["fields"];
    assert_eq!((field(fields, ":authority"), field(fields, "x-upper")), (Some("a.example"), Some("Yes")));
    for gone in ["connection", "keep-alive", "upgrade", "http2-settings", "x-drop", "host", "transfer-encoding"] {
        assert_eq!(field(fields, gone), None, "{gone}: {fields}");
    }
    assert_eq!(field(fields, ":method"), Some("GET"));
}

#[test]
fn upgrading_from_cleartext_is_never_taken() {
    let origin = origin1();
    let gateway = web2(to(origin.address, "1.1", "")).start();
    let out = shown(&gateway, &["--http2", "-i"], "/here");
    assert!(out.text().ends_with("1.1 200") && !out.text().contains("101"), "{}", out.text());
    let request = origin.last();
    for gone in ["upgrade", "http2-settings"] {
        assert!(!request.fields.has(gone), "{:?}", request.fields);
    }
    // Without leave, a preface is no request either.
    let plain = Gateway::before(origin.address);
    let mut client = Client::to(plain.here());
    let answer = client.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!((400..=505).contains(&answer.status), "{}", answer.status);
}

/// A gateway with TLS in front of `to`, whose folder holds the authority as `ca.pem`.
fn secure(listener: &str, text: &str, authority: &Authority) -> Gateway {
    let pair = authority.sign(&["localhost"]);
    Setup::new(format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n[listener.tls]\n{listener}\n\
         certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}]\n{text}"
    ))
    .file("ca.pem", &authority.pem)
    .file("a.pem", &pair.certificate)
    .file("a.key", &pair.key)
    .start()
}

fn get_tls(gateway: &Gateway, more: &[&str], target: &str) -> Output {
    let port = gateway.here().port();
    let (ca, resolve) = (gateway.path("ca.pem"), format!("localhost:{port}:127.0.0.1"));
    let url = format!("https://localhost:{port}{target}");
    let fixed = ["--cacert", ca.to_str().expect("a path"), "--resolve", &resolve, "-w", "\n%{http_version}", &url];
    curl(&[&fixed, more].concat())
}

#[test]
fn alpn_picks_the_version() {
    let authority = Authority::new("test authority");
    let origin = origin1();
    let text = to(origin.address, "1.1", "");
    let both = secure("", &text, &authority);
    for (flags, version) in [(&["--http2"][..], "2"), (&["--http1.1"], "1.1"), (&["--no-alpn"], "1.1")] {
        let out = get_tls(&both, flags, "/here");
        assert_eq!(out.text(), format!("here\n{version}"), "{flags:?}: {}", out.stderr);
    }
    let old = secure("alpn = [\"http/1.1\"]", &text, &authority);
    assert_eq!(get_tls(&old, &["--http2"], "/here").text(), "here\n1.1");
    let new = secure("alpn = [\"h2\"]", &text, &authority);
    assert_eq!(get_tls(&new, &["--http2"], "/here").text(), "here\n2");
    let refused = get_tls(&new, &["--http1.1"], "/here");
    assert_ne!(refused.code, 0, "{}", refused.text());
}

#[test]
fn tls_on_both_sides_in_all_four_combinations() {
    let authority = Authority::new("test authority");
    let folder = tempfile::tempdir().expect("a folder");
    authority.sign(&["localhost"]).write(folder.path(), "o");
    let file = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let two = Origin2::tls(&file("o.pem"), &file("o.key"));
    let server = format!(
        "ssl_certificate {}; ssl_certificate_key {}; location / {{ return 200 here; }}",
        file("o.pem"),
        file("o.key")
    );
    let nginx1 = Nginx::start_tls(&server);
    let nginx2 = Nginx::start_http2(&server);
    let cases: [(SocketAddr, &str); 6] = [
        (two.address, "2"),
        (two.address, "auto"),
        (nginx2.address, "2"),
        (nginx2.address, "auto"),
        (nginx1.address, "auto"),
        (nginx1.address, "1.1"),
    ];
    for (address, http) in cases {
        let more = "tls = { server_name = \"localhost\", ca = \"ca.pem\" }\n";
        let gateway = secure("", &to(address, http, more), &authority);
        for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
            for _ in 0..2 {
                let out = get_tls(&gateway, &[flag], "/here");
                assert_eq!(out.text(), format!("here\n{version}"), "{version} to {http}: {}", out.stderr);
            }
        }
    }
    assert_eq!(two.events("opened").len(), 2, "one connection of each gateway");
}

#[test]
fn pieces_of_an_answer_leave_when_they_come() {
    let (origin, seen) = Origin::events();
    let gateway = web2(to(origin.address, "1.1", "")).start();
    let mut client = Lines::start("h2_leaver.py", &[&gateway.here().to_string(), "/events"]);
    assert_eq!(client.hear(), "asked");
    let mut expected = String::new();
    for number in 0..3 {
        expected += &format!("data: {number}\n\n");
        assert_eq!(client.say(&json!("come")), json!(expected));
        seen.send(()).expect("the origin waits");
    }
    assert_eq!(client.say(&json!("answer")), json!(200));
}

#[test]
fn nghttp_is_served() {
    before_each(|gateway, origin| {
        let url = gateway.url("/bytes/100000");
        let out = run("nghttp", &["-nv", "-m", "5", "-w", "16", &url]);
        assert_eq!(out.code, 0, "{}", out.all());
        let text = out.text();
        assert!(text.matches(":status: 200").count() == 5, "to {origin}: {text}");
        assert!(!text.contains("RST_STREAM"), "to {origin}: {text}");
    });
}

#[test]
fn a_log_entry_tells_the_version() {
    before_each(|gateway, _| {
        ask(gateway, json!({ "path": "/here" }));
        let entry: &Value = &gateway.log(1)[0];
        assert_eq!((&entry["protocol"], &entry["status"]), (&json!("HTTP/2.0"), &json!(200)), "{entry}");
        assert_eq!((&entry["host"], &entry["target"]), (&json!("test"), &json!("/here")), "{entry}");
    });
}
