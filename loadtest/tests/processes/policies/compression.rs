// SPDX-License-Identifier: Apache-2.0
//! Compressed responses as clients meet them: curl and Python decode them, gzip judges their ends.

use serde_json::json;

use crate::harness::http2::{Lines, Origin2, ask, field, to, web2};
use crate::harness::origin::ok;
use crate::harness::tool::{Output, run_with};
use crate::harness::{Client, Gateway, Origin, Response, curl, noise};

/// Everything of text is compressed from 100 bytes on, whatever route it comes by.
const GZIP: &str = "[defaults]\npolicies = \"gzip\"\n[policy.gzip]\n\
    compression = { types = [\"text/*\", \"application/json\"], min_length = 100 }\n";

fn page() -> String {
    (0..4_000).map(|number| format!("<p>line {number} of a page</p>\n")).collect()
}

/// 200 with this content and these fields.
fn saying(fields: &str, content: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{content}", content.len()).into_bytes()
}

fn html() -> Origin {
    Origin::answering(|_| saying("Content-Type: text/html\r\nETag: \"v1\"\r\nAccept-Ranges: bytes\r\n", &page()))
}

fn before(origin: &Origin) -> Gateway {
    web2(format!("{GZIP}[[route]]\nto = \"{}\"\n", origin.url())).start()
}

/// Asks for `target` with `Accept-Encoding: gzip` and these fields.
fn accepting(client: &mut Client, method: &str, target: &str, fields: &str) -> Response {
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n{fields}\r\n"));
    client.read(method).expect("a response")
}

fn gunzip(bytes: &[u8]) -> Output {
    run_with("gzip", &["-dc"], bytes)
}

#[test]
fn curl_reads_the_same_page_over_every_pair_of_versions() {
    let (one, two) = (html(), Origin2::start());
    let bytes: Vec<u8> = (0..60_000).map(|at: usize| (at % 251) as u8).collect();
    // What the origin of HTTP/2 does not say of its content, the route does.
    let says = "response_headers = { default = { content-type = \"text/plain\" } }\n";
    let behind_one = before(&one);
    let behind_two = web2(format!("{GZIP}{}{says}", to(two.address, "2", ""))).start();
    for (gateway, target, content) in [(&behind_one, "/", page().as_bytes()), (&behind_two, "/bytes/60000", &bytes)] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let url = gateway.url(target);
            let read = curl(&[version, "--compressed", &url]);
            assert!(read.code == 0 && read.stdout == content, "{version} {target}: {}", read.stderr);
            let measured = ["--output", "-", "--write-out", "%{stderr}%{size_download}"];
            let size = curl(&[&[version, "--compressed", &url], &measured[..]].concat());
            let size: usize = size.stderr.parse().expect("a number");
            assert!(size > 0 && size < content.len() / 4, "{version} {target}: {size} bytes");
            let plain = curl(&[version, &url]);
            assert!(plain.code == 0 && plain.stdout == content, "{version} {target}: {}", plain.stderr);
        }
    }
}

#[test]
fn head_tells_what_get_would() {
    let origin = html();
    let gateway = before(&origin);
    let mut client = gateway.client();
    let [get, head] = ["GET", "HEAD"].map(|method| accepting(&mut client, method, "/", ""));
    assert_eq!((get.status, head.status), (200, 200));
    let fields_of = |response: &Response| {
        let apart = |name: &str| !["date", "transfer-encoding"].contains(&name);
        let fields = response.fields.0.iter().filter(|(name, _)| apart(&name.to_ascii_lowercase()));
        fields.cloned().collect::<Vec<_>>()
    };
    assert_eq!(fields_of(&get), fields_of(&head));
    for (name, value) in [("content-encoding", "gzip"), ("vary", "Accept-Encoding"), ("etag", "W/\"v1\"")] {
        assert_eq!(head.field(name), value);
    }
    assert!(!head.fields.has("content-length") && !head.fields.has("accept-ranges"), "{head:?}");
    let two = ask(&gateway, json!({ "path": "/", "method": "HEAD", "fields": [["accept-encoding", "gzip"]] }));
    let named = |name| field(&two["fields"], name);
    assert_eq!((named("content-encoding"), named("content-length")), (Some("gzip"), None));
}

#[test]
fn an_event_is_compressed_and_arrives_when_it_came() {
    let (origin, seen) = Origin::events();
    let gateway = before(&origin);
    let mut reader = Lines::start("gzip_events.py", &[&gateway.here().to_string(), "/"]);
    assert_eq!(reader.hear(), json!({ "coding": "gzip" }));
    for number in 0..3 {
        assert_eq!(reader.say(&json!({})), json!({ "text": format!("data: {number}\n\n") }));
        seen.send(()).expect("the origin waits");
    }
    assert_eq!(reader.say(&json!({})), json!({ "end": true, "behind": 0 }));
}

#[test]
fn a_body_that_breaks_off_never_ends_as_a_whole_one() {
    let half = |framing: &str| format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{framing}\r\n\r\n");
    let page = page();
    let chunked = format!("{}{:x}\r\n{page}\r\n", half("Transfer-Encoding: chunked"), page.len());
    let counted = format!("{}{page}", half(&format!("Content-Length: {}", page.len() + 1)));
    for broken in [chunked, counted] {
        let origin = Origin::once(broken);
        let gateway = before(&origin);
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let read = curl(&[version, "--header", "Accept-Encoding: gzip", "--output", "-", &gateway.url("/")]);
            assert_ne!(read.code, 0, "{version}: curl took it for whole");
            let decoded = gunzip(&read.stdout);
            // A reset stream may take what was sent with it.
            assert!(read.stdout.is_empty() || decoded.code != 0, "{version}: gzip took it for whole");
        }
        assert_eq!(gateway.log(2)[0]["status"], 200);
    }
}

#[test]
fn what_must_not_be_compressed_is_left_alone() {
    let origin = Origin::answering(|request| {
        let long = page();
        match &*request.target {
            "/part" => {
                let part = saying("Content-Type: text/html\r\nContent-Range: bytes 0-9/99\r\n", &long);
                [b"HTTP/1.1 206 Part", &part["HTTP/1.1 200 OK".len()..]].concat()
            }
            "/same" => b"HTTP/1.1 304 Same\r\nETag: \"v1\"\r\n\r\n".to_vec(),
            "/sealed" => saying("Content-Type: text/html\r\nCache-Control: max-age=9, no-transform\r\n", &long),
            "/signed" => saying("Content-Type: text/html\r\nContent-Digest: sha-256=:AA==:\r\n", &long),
            "/coded" => saying("Content-Type: text/html\r\nContent-Encoding: br\r\n", &long),
            "/image" => saying("Content-Type: image/png\r\n", &long),
            "/short" => saying("Content-Type: text/html\r\n", &long[..99]),
            _ => ok(long),
        }
    });
    let gateway = before(&origin);
    let mut client = gateway.client();
    for target in ["/part", "/same", "/sealed", "/signed", "/coded", "/image", "/short", "/untyped"] {
        let response = accepting(&mut client, "GET", target, "");
        let coding = if target == "/coded" { "br" } else { "" };
        assert_eq!((response.field("content-encoding"), response.field("vary")), (coding, ""), "{target}");
        let length = if target == "/same" {
            0
        } else if target == "/short" {
            99
        } else {
            page().len()
        };
        assert_eq!(response.body.len(), length, "{target}");
        assert!(target != "/same" || response.field("etag") == "\"v1\"");
    }
}

#[test]
fn a_client_that_does_not_want_it_gets_the_page_as_it_is() {
    let origin = html();
    let gateway = before(&origin);
    for fields in ["", "Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: identity, gzip;q=0.5\r\n"] {
        let response = gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
        let seen = (response.field("content-encoding"), response.field("vary"), response.field("etag"));
        assert_eq!(seen, ("", "Accept-Encoding", "\"v1\""), "{fields}");
        assert_eq!(response.text(), page());
    }
    let mut client = gateway.client();
    let response = accepting(&mut client, "GET", "/", "Cache-Control: no-transform\r\n");
    assert_eq!((response.field("content-encoding"), response.text()), ("", page()));
    client.send("GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n");
    let response = client.answer();
    assert_eq!((response.field("content-encoding"), response.text()), ("", page()), "HTTP/1.0");
}

#[test]
fn noise_and_trailers_come_through() {
    let content = noise(300_000);
    let sent = content.clone();
    let origin = Origin::answering(move |_| {
        let mut response =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in sent.chunks(7_777) {
            response.extend(format!("{:x}\r\n", piece.len()).into_bytes());
            response.extend_from_slice(piece);
            response.extend_from_slice(b"\r\n");
        }
        response.extend_from_slice(b"0\r\nX-Sum: 7\r\n\r\n");
        response
    });
    let gateway = before(&origin);
    let response = accepting(&mut gateway.client(), "GET", "/", "TE: trailers\r\n");
    assert_eq!((response.field("content-encoding"), response.trailers.value("x-sum")), ("gzip", Some("7")));
    assert!(gunzip(&response.body).stdout == content);
    let logged = gateway.log(1)[0]["bytes_sent"].as_u64().expect("a number");
    assert_eq!(logged, response.body.len() as u64, "what was sent counts, not what it was made of");
}

#[test]
fn the_gateways_own_responses_are_compressed_and_a_route_may_say_otherwise() {
    let text = "all work and no play ".repeat(20);
    let gateway = Gateway::web(format!(
        "{GZIP}[policy.off]\ncompression = {{ types = [] }}\n\
         [[route]]\npath = \"/text\"\nanswer = {{ body = \"{text}\" }}\n\
         [[route]]\npath = \"/off\"\npolicies = \"off\"\nanswer = {{ body = \"{text}\" }}\n\
         [[route]]\npath = \"/echo\"\necho = true\n"
    ));
    let mut client = gateway.client();
    let response = accepting(&mut client, "GET", "/text", "");
    assert_eq!((response.field("content-encoding"), gunzip(&response.body).text()), ("gzip", text.clone()));
    let response = accepting(&mut client, "GET", "/off", "");
    assert_eq!((response.field("content-encoding"), response.text()), ("", text));
    let response = accepting(&mut client, "GET", "/echo", "");
    let described: serde_json::Value = serde_json::from_slice(&gunzip(&response.body).stdout).expect("JSON");
    assert_eq!(described["path"], "/echo");
}
