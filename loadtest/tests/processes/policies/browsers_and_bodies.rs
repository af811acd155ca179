// SPDX-License-Identifier: Apache-2.0
//! What browsers are told, which bodies get through, who is refused for a time, and versions of an API.

use std::thread::sleep;
use std::time::Duration;

use crate::harness::http2::WEB2;
use crate::harness::{Gateway, Origin, Setup, curl, wait_for};

/// An origin that answers every request with this head and a short body.
fn origin_with(fields: &'static str) -> Origin {
    Origin::answering(move |_| format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok").into_bytes())
}

#[test]
fn preflights_are_answered_as_configured() {
    let origin = origin_with("Access-Control-Allow-Origin: https://theirs.example\r\n");
    let gateway = Gateway::web(format!(
        "[policy.a]\ncors = {{ origins = ['~https://.*'], preflight_status = 200, max_age = \"off\" }}\n\
         [policy.b]\ncors = {{ origins = \"https://a.example\", preflight = \"forward\" }}\n\
         [[route]]\npath_prefix = \"/a\"\nmethods = [\"PUT\"]\nto = \"{0}\"\npolicies = \"a\"\n\
         [[route]]\npath_prefix = \"/b\"\nto = \"{0}\"\npolicies = \"b\"\n",
        origin.url()
    ));
    let mut client = gateway.client();
    let mut preflight = |path: &str, from: &str| {
        client.ask(format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: test\r\nOrigin: {from}\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
        ))
    };
    let answer = preflight("/a", "https://x.example");
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (200, "https://x.example"));
    assert!(!answer.fields.has("access-control-max-age") && answer.body.is_empty());
    let answer = preflight("/a", "null");
    assert_eq!((answer.status, answer.fields.has("access-control-allow-origin")), (200, false));
    assert_eq!(answer.field("vary"), "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    assert_eq!(origin.count(), 0);
    let answer = preflight("/b", "https://a.example");
    assert_eq!(answer.field("access-control-allow-origin"), "https://theirs.example", "the origin answered");
    assert_eq!(origin.last().method, "OPTIONS");
    let answer = client.ask("GET /b HTTP/1.1\r\nHost: test\r\nOrigin: https://a.example\r\n\r\n");
    assert_eq!(answer.fields.all("access-control-allow-origin").collect::<Vec<_>>(), ["https://a.example"]);
}

#[test]
fn pages_and_cookies_are_hardened_and_nothing_is_doubled() {
    let origin = origin_with(
        "X-Frame-Options: SAMEORIGIN\r\nX-Powered-By: x\r\nSet-Cookie: a=1\r\n\
         Set-Cookie: b=2; SameSite=None; Secure\r\n",
    );
    let gateway = Setup::new(format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\npolicies = \"harden\"\n\
         trusted_proxies = \"127.0.0.0/8\"\n\
         [policy.harden]\nsecurity_headers = {{}}\n[policy.cookies]\ncookies = {{}}\n\
         [[route]]\npath_prefix = \"/x\"\nto = \"{}\"\npolicies = \"cookies\"\n",
        origin.url()
    ))
    .start();
    let mut client = gateway.client();
    let plain = client.get("/x");
    assert_eq!(plain.fields.all("x-frame-options").collect::<Vec<_>>(), ["SAMEORIGIN"]);
    assert_eq!(plain.field("x-content-type-options"), "nosniff");
    assert!(!plain.fields.has("strict-transport-security") && !plain.fields.has("x-powered-by"));
    let cookies: Vec<&str> = plain.fields.all("set-cookie").collect();
    assert_eq!(cookies, ["a=1; HttpOnly; SameSite=Lax", "b=2; SameSite=None; Secure; HttpOnly"]);
    let tls =
        client.ask("GET /x HTTP/1.1\r\nHost: test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
    assert_eq!(tls.field("strict-transport-security"), "max-age=63072000; includeSubDomains");
    assert!(tls.fields.all("set-cookie").any(|cookie| cookie == "a=1; Secure; HttpOnly; SameSite=Lax"));
    let nowhere = client.get("/nowhere");
    assert_eq!((nowhere.status, nowhere.field("x-frame-options")), (404, "DENY"));
    assert_eq!(nowhere.json()["type"], "urn:turnpike:problem:no_route");
}

#[test]
fn requests_look_as_they_must() {
    let origin = origin_with("");
    let gateway = Gateway::web(format!(
        "[policy.rules]\ncontent_rules = {{ types = \"application/json\", require_length = true, body = \"1KiB\", \
         url = \"64B\", headers = 8 }}\n\
         [policy.small]\ncontent_rules = {{ body = \"1KiB\", method_override = \"refuse\" }}\n\
         [[route]]\npath_prefix = \"/r\"\nto = \"{0}\"\npolicies = \"rules\"\n\
         [[route]]\npath_prefix = \"/s\"\nto = \"{0}\"\npolicies = \"small\"\n",
        origin.url()
    ));
    let ask = |request: &str| gateway.client().ask(request);
    let post = |fields: &str, body: &str| ask(&format!("POST /r HTTP/1.1\r\nHost: t\r\n{fields}\r\n{body}"));
    assert_eq!(post("Content-Type: application/json\r\nContent-Length: 2\r\n", "{}").status, 200);
    let refused = post("Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}");
    assert_eq!((refused.status, refused.field("accept")), (415, "application/json"));
    assert_eq!(refused.json()["type"], "urn:turnpike:problem:content_rules_type");
    let chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(post(chunked, "2\r\n{}\r\n0\r\n\r\n").status, 411);
    assert_eq!(post("Content-Type: application/json\r\nContent-Length: 1025\r\n", "").status, 413);
    assert_eq!(ask(&format!("GET /r/{} HTTP/1.1\r\nHost: t\r\n\r\n", "x".repeat(64))).status, 414);
    let many: String = (0..9).map(|number| format!("X-{number}: 1\r\n")).collect();
    assert_eq!(ask(&format!("GET /r HTTP/1.1\r\nHost: t\r\n{many}\r\n")).status, 431);
    assert_eq!(ask("GET /r HTTP/1.1\r\nHost: t\r\nX-HTTP-Method-Override: DELETE\r\n\r\n").status, 200);
    assert!(!origin.last().fields.has("x-http-method-override"));
    assert_eq!(ask("GET /s HTTP/1.1\r\nHost: t\r\nX_HTTP_Method: DELETE\r\n\r\n").status, 400);
    let long = format!("401\r\n{}\r\n0\r\n\r\n", "x".repeat(1_025));
    let streamed = ask(&format!("POST /s HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{long}"));
    assert_eq!(streamed.status, 413, "also where no length was announced");
}

const BOUNDS: &str = "[policy.bounds]\nbody_bounds = { depth = 4, items = 50_000, text = \"1KiB\", hold = \"8KiB\" }\n";

#[test]
fn a_short_body_is_looked_at_before_the_upstream_gets_any_of_it() {
    let origin = Origin::echo();
    let to = origin.url();
    let gateway = Setup::new(format!("{WEB2}{BOUNDS}[[route]]\nto = \"{to}\"\npolicies = \"bounds\"\n")).start();
    let url = gateway.url("/x");
    let post = |version: &str, content_type: &str, body: &str| {
        let field = format!("Content-Type: {content_type}");
        let arguments = ["-s", "-w", " %{http_code}", version, "-H", &*field, "--data-binary", body, &*url];
        curl(&arguments).text()
    };
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let before = origin.count();
        for (content_type, body, expected) in [
            ("application/json", "{\"a\":[1,2", "body_bounds_malformed"),
            ("application/json", "[[[[[1]]]]]", "body_bounds_exceeded"),
            ("application/problem+json", "{'a':1}", "body_bounds_malformed"),
            ("text/xml", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "body_bounds_entity"),
            ("application/xml", "<a><b></a></b>", "body_bounds_malformed"),
        ] {
            let answer = post(version, content_type, body);
            assert!(answer.contains(expected), "{version} {body}: {answer}");
        }
        assert_eq!(origin.count(), before, "nothing reached the origin");
        for (content_type, body) in
            [("application/json", "{\"a\":[1,2]}"), ("text/plain", "{\"a\""), ("text/xml", "<a/>")]
        {
            assert!(post(version, content_type, body).ends_with(" 200"), "{version} {body}");
            assert_eq!(origin.last().body, body.as_bytes(), "it arrives as it was sent");
        }
    }
}

#[test]
fn a_long_body_that_turns_bad_never_looks_complete() {
    let origin = Origin::echo();
    let gateway = Gateway::web(format!("{BOUNDS}[[route]]\nto = \"{}\"\npolicies = \"bounds\"\n", origin.url()));
    let items = format!("[{}1", "\"0123456789\",".repeat(20_000));
    for (framing, end, expected) in
        [("chunked", "]", 200), ("chunked", "}", 400), ("length", "]", 200), ("length", "", 400)]
    {
        let body = format!("{items}{end}");
        let mut client = gateway.client();
        client.send("POST /x HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n");
        if framing == "chunked" {
            client.send("Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.as_bytes().chunks(7_001) {
                client.send(format!("{:x}\r\n", chunk.len())).send(chunk).send("\r\n");
            }
            client.send("0\r\n\r\n");
        } else {
            client.send(format!("Content-Length: {}\r\n\r\n", body.len())).send(&body);
        }
        let whole = origin.count();
        let answer = client.answer();
        assert_eq!(answer.status, expected, "{framing} {end:?}");
        if expected == 400 {
            assert_eq!(answer.json()["type"], "urn:turnpike:problem:body_bounds_malformed");
            let troubles = || (!origin.seen.troubles.lock().unwrap().is_empty()).then_some(());
            wait_for("the origin to see a request that is cut", troubles);
            origin.seen.troubles.lock().unwrap().clear();
            sleep(Duration::from_millis(100));
            assert!(origin.count() <= whole, "the origin never had it whole");
        } else {
            assert_eq!(origin.last().body, body.as_bytes());
        }
    }
}

#[test]
fn who_springs_a_trap_is_refused_by_all_threads_and_over_a_reload() {
    let origin = origin_with("");
    let gateway = Setup::new(format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\npolicies = \"traps\"\n\
         [policy.traps]\nhoneypot = {{ paths = [\"/.env\", \"*.asp\"], ban = \"1h\" }}\n[[route]]\nto = \"{}\"\n",
        origin.url()
    ))
    .shards(4)
    .start();
    assert_eq!(gateway.client().get("/").status, 200);
    assert_eq!(gateway.client().get("/%2eEnv").status, 403, "the path is the normalised one");
    sleep(Duration::from_millis(50));
    // The kernel spreads connections over the threads.
    let statuses: Vec<u16> = (0..64).map(|_| gateway.client().get("/").status).collect();
    assert!(statuses.iter().all(|status| *status == 403), "{statuses:?}");
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(gateway.client().get("/").status, 403, "a reload forgives nobody");
    let logged = gateway.log(67);
    assert!(logged.iter().any(|line| line["reason"] == "honeypot_trap"));
    assert!(logged.iter().filter(|line| line["reason"] == "honeypot_banned").count() >= 60);
}

#[test]
fn versions_of_an_api_are_told_apart_and_old_ones_say_so() {
    let origin = origin_with("Deprecation: @1\r\n");
    let gateway = Setup::web(format!(
        "[policy.v.api_version]\nfrom = [\"path\", \"header:api-version\"]\ndefault = \"v2\"\ntell = \"x-version\"\n\
         [policy.v.api_version.versions.v0]\nsunset = \"2020-01-01\"\n[policy.v.api_version.versions.v1]\n\
         aliases = \"1\"\ndeprecated = \"2026-01-01\"\nsunset = \"2099-01-01\"\n\
         successor_link = \"https://x.example/v2\"\n\
         [policy.v.api_version.versions.v2]\n\
         [policy.v.api_version.versions.v3]\n\
         brownouts = {{ from = \"2020-01-01\", until = \"2099-01-01\", status = 503 }}\n\
         [[route]]\nto = \"{}\"\npolicies = \"v\"\nrequest_headers = {{ set = {{ x-seen = \"{{version}}\" }} }}\n",
        origin.url()
    ))
    .start();
    let mut client = gateway.client();
    let mut ask = |path: &str, field: &str| client.ask(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{field}\r\n"));
    let old = ask("/v1/orders", "X_Version: v2\r\nX-Version: v2\r\n");
    assert_eq!((old.status, old.field("deprecation")), (200, "@1767225600"));
    assert_eq!(old.field("sunset"), "Thu, 01 Jan 2099 00:00:00 GMT");
    assert_eq!(old.field("link"), "<https://x.example/v2>; rel=\"successor-version\"");
    assert_eq!(old.field("vary"), "api-version");
    let seen = origin.last();
    assert_eq!(seen.fields.all("x-version").collect::<Vec<_>>(), ["v1"]);
    assert_eq!(seen.field("x-seen"), "v1");
    assert_eq!(ask("/orders", "Api-Version: 1\r\n").field("deprecation"), "@1767225600");
    assert_eq!(ask("/orders", "").field("deprecation"), "@1", "the default is not deprecated; the origin's word stays");
    assert_eq!(ask("/v9/orders", "").status, 404);
    assert_eq!(ask("/v1/orders", "Api-Version: v2\r\n").status, 400);
    let off = ask("/v3/orders", "");
    assert_eq!(off.status, 503);
    assert!(off.field("retry-after").parse::<u64>().expect("seconds") > 1_000_000);
    let logged = gateway.log(1);
    assert_eq!(logged[0]["version"], "v1");
}
