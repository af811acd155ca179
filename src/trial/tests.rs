// SPDX-License-Identifier: Apache-2.0
//! Tests of configurations: those of the examples pass, what differs is found, and what is wrong is said.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::source::FileAccess;
use crate::config::{Environment, Reports};

/// A configuration, and tests of it.
fn suite(config: &str, tests: &str) -> Result<Suite, Reports> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), config).unwrap();
    let path = folder.path().join("tests.toml");
    fs::write(&path, format!("config = \"gateway.toml\"\n{tests}")).unwrap();
    let suite = Suite::load(&path, &environment())?;
    // Its tests read the configuration.
    std::mem::forget(folder);
    Ok(suite)
}

fn environment() -> Environment {
    Environment { files: FileAccess::Allowed, ..Environment::sealed() }
}

/// What differs, as `WHAT: EXPECTED / GOT`, or why a test could not be run.
fn differences(config: &str, tests: &str) -> Vec<String> {
    let suite = suite(config, tests).unwrap_or_else(|reports| panic!("{reports}"));
    suite.tests.iter().flat_map(|test| told(&suite.run(test))).collect()
}

fn told(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Passed => Vec::new(),
        Outcome::Broken(reason) => vec![reason.clone()],
        Outcome::Differs(found) => {
            let line = |found: &Difference| {
                format!("{} {}: {} / {}", found.place.request.0, found.what, found.expected, found.got)
            };
            found.iter().map(line).collect()
        }
    }
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn all_pass(path: &Path) -> usize {
    let suite = Suite::load(path, &environment()).unwrap_or_else(|reports| panic!("{reports}"));
    for test in &suite.tests {
        let outcome = suite.run(test);
        assert!(matches!(outcome, Outcome::Passed), "{}: {}: {:#?}", path.display(), test.name, told(&outcome));
    }
    suite.tests.len()
}

#[test]
fn the_tests_of_the_examples_pass() {
    let mut ran = 0;
    for entry in fs::read_dir(project("config/tests")).unwrap() {
        let path = entry.unwrap().path();
        // That one needs certificates: see below.
        if path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("readme.toml") {
            ran += all_pass(&path);
        }
    }
    assert!(ran >= 25, "only {ran} tests ran");
}

/// The configuration of the README with a certificate beside it, and its tests.
#[test]
fn the_tests_of_the_readme_pass() {
    let readme = fs::read_to_string(project("README.md")).unwrap();
    let behind = readme.split("## A real configuration").nth(1).unwrap();
    let config = behind.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["api.example.com".to_owned()]).unwrap();
    let tests = folder.path().join("tests");
    fs::create_dir(&tests).unwrap();
    for (name, text) in [
        ("readme.toml", config.to_owned()),
        ("example.pem", made.cert.pem()),
        ("example.key", made.signing_key.serialize_pem()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let path = tests.join("readme.toml");
    fs::copy(project("config/tests/readme.toml"), &path).unwrap();
    assert!(all_pass(&path) >= 3);
}

const ECHO: &str = r#"
    [[listener]]
    bind = "127.0.0.1:80"
    http2 = { cleartext = true }
    [[route]]
    name = "echo"
    path = "/echo"
    echo = true
    [[route]]
    name = "all"
    to = "there"
    [upstream.there]
    endpoints = "10.0.0.1:80"
"#;

#[test]
fn everything_that_differs_is_found() {
    let found = differences(
        ECHO,
        r#"
        [[test]]
        name = "t"
        request = { url = "/a", headers = { x = ["1", "2"] }, body = "sent" }
        stub = { there = { status = 201, headers = { y = "z" }, body = "{}" } }
        [test.expect]
        route = "echo"
        consumer = "anna"
        method = "jwt"
        claims = { sub = "a" }
        status = "4xx"
        headers = { y = "a", q = { present = true } }
        body = { contains = "b" }
        json = { a = 1 }
        reason = "no_route"
        remaining = { limit = 3 }
        log = { upstream = "here" }
        attempts = 2
        upstream = { endpoint = "e", method = "PUT", target = { regex = "/b+" }, headers = { x = "1" }, body = "" }
        "#,
    );
    let expected = [
        "route: echo / all",
        "consumer: anna / none",
        "method: jwt / none",
        "claim sub: to be \"a\" / not there",
        "status: 4xx / 201",
        "header y: to be \"a\" / \"z\"",
        "header q: to be present / not there",
        "remaining of limit: 3 / not told in `RateLimit`, which is \"\"",
        "body: to contain \"b\" / \"{}\"",
        "body as JSON: {\"a\":1} / {}",
        "reason: no_route / none",
        "log upstream: to be \"here\" / \"there\"",
        "attempts: 2 / 1",
        "upstream endpoint: e / 10.0.0.1:80",
        "upstream method: PUT / GET",
        "upstream target: to match \"/b+\" / \"/a\"",
        "upstream header x: to be \"1\" / \"1, 2\"",
        "upstream body: to be \"\" / \"sent\"",
    ];
    let expected = expected.map(|line| format!("1 {line}"));
    assert_eq!(found, expected);
}

#[test]
fn of_repeated_requests_the_first_that_differs_is_told() {
    let found = differences(
        ECHO,
        r#"
        [[test]]
        name = "t"
        request = { url = "/" }
        times = 3
        stub = { there = [{}, { status = 500 }] }
        expect = { status = 200 }
        [[test.then]]
        expect = { status = 500 }
        "#,
    );
    assert_eq!(found, ["2 status: 200 / 500"]);
}

#[test]
fn each_test_begins_anew_and_each_version_of_http_is_the_same() {
    for protocol in ["http/1.0", "http/1.1", "http/2"] {
        let tests = format!(
            r#"
            [[test]]
            name = "first"
            request = {{ url = "http://a.example/echo?q", method = "POST", body = "b", protocol = "{protocol}" }}
            expect = {{ status = 200, log = {{ protocol = {{ prefix = "HTTP/" }} }}, body = {{ contains = "a.ex" }} }}
            [[test]]
            name = "second"
            request = {{ url = "http://a.example/x", method = "PUT", body = "{}", protocol = "{protocol}" }}
            expect = {{ status = 503, upstream = {{ body = {{ prefix = "xxx" }} }} }}
            stub = {{ there = {{ status = 503, delay = "2s" }} }}
            "#,
            "x".repeat(300_000)
        );
        assert_eq!(differences(ECHO, &tests), Vec::<String>::new(), "{protocol}");
    }
}

#[test]
fn failures_of_endpoints_are_those_that_a_gateway_meets() {
    let cases = [
        ("refused", "502", "refused", 0),
        ("unreachable", "504", "connect_timeout", 0),
        ("silent", "504", "first_byte_timeout", 1),
    ];
    for (failure, status, reason, attempts) in cases {
        let tests = format!(
            r#"
            [[test]]
            name = "t"
            request = {{ url = "/", method = "POST" }}
            stub = {{ there = {{ failure = "{failure}" }} }}
            expect = {{ status = {status}, reason = "{reason}", attempts = {attempts} }}
            "#
        );
        assert_eq!(differences(ECHO, &tests), Vec::<String>::new(), "{failure}");
    }
}

/// What is wrong with a file of tests, and what must be said of it.
const WRONG: &[(&str, &str)] = &[
    ("", "there is no test"),
    ("[[test]]\nrequest = {}", "a test without a name"),
    ("[[test]]\nname = \"a\"", "a test without a request"),
    ("[[test]]\nname = \"a\"\nrequest = {}\n[[test]]\nname = \"a\"\nrequest = {}", "two tests are called `a`"),
    ("[[test]]\nname = \"a\"\nrequest = {}\nexpect = { staus = 200 }", "did you mean `status`?"),
    ("[[test]]\nname = \"a\"\nrequest = {}\nexpect = { route = \"al\" }", "did you mean `all`?"),
    ("[[test]]\nname = \"a\"\nrequest = { listener = \"x\" }", "there is no listener `x`"),
    ("[[test]]\nname = \"a\"\nrequest = { consumer = \"x\" }", "there is no consumer `x`"),
    ("[[test]]\nname = \"a\"\nrequest = { body = \"x\", json = 1 }", "`body` or `json`, not both"),
    ("[[test]]\nname = \"a\"\nrequest = {}\nstub = { ther = {} }", "did you mean `there`?"),
    (
        "[[test]]\nname = \"a\"\nrequest = {}\nstub = { there = [{ failure = \"refused\" }, {}] }",
        "gives no other responses",
    ),
    ("[[test]]\nname = \"a\"\nrequest = {}\nstub = { there = { status = 101 } }", "a stub's status"),
    ("[[test]]\nname = \"a\"\nrequest = {}\nexpect = { body = { regex = \"(\" } }", "not a regular expression"),
    ("[[test]]\nname = \"a\"\nrequest = {}\nexpect = { body = {} }", "a matcher has exactly one key"),
    ("[[test]]\nname = \"a\"\nrequest = {}\ntimes = 0", "a request is sent at least once"),
    ("[[test]]\nname = \"a\"\nrequest = {}\ntimes = 1000000", "a test has at most 100000 requests"),
    ("[[test]]\nname = \"a\"\nrequest = { tls = { cert = \"x\" } }", "`cert` and `key` belong together"),
    ("[keys]\nx = \"y\"\n[[test]]\nname = \"a\"\nrequest = {}", "no policy with keys by URL `x`"),
];

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, words) in WRONG {
        let reports = suite(ECHO, text).expect_err(text).plain();
        assert!(reports.contains(words), "{text}\n{reports}");
        let placed = reports.contains("tests.toml:");
        assert!(placed || text.is_empty(), "{text}\n{reports}");
    }
    let reports = suite("[[listner]]\nbind = 1", "[[test]]\nname = \"a\"\nrequest = {}").expect_err("wrong").plain();
    assert!(reports.contains("gateway.toml:1:3") && reports.contains("did you mean `listener`?"), "{reports}");
}

const BODIES: &str = r#"
    [[listener]]
    bind = "127.0.0.1:80"
    http2 = { cleartext = true }
    limits = { routing_body = "1KiB" }
    [[route]]
    name = "express"
    path = "/orders"
    body = { json = { "/order/type" = "express" } }
    to = "there"
    [[route]]
    name = "form"
    path = "/orders"
    body = { form = { kind = { prefix = "a" } } }
    to = "there"
    [[route]]
    name = "soap"
    path = "/orders"
    body = { xml = { "/Envelope/Body/Get" = { present = true } } }
    to = "there"
    [[route]]
    name = "all"
    to = "there"
    [upstream.there]
    endpoints = "10.0.0.1:80"
"#;

/// Type, body, and the route that takes it, or the reason of the refusal.
const BY_BODY: &[(&str, &str, &str)] = &[
    ("application/json", r#"{"order":{"type":"express"}}"#, "express"),
    ("application/json", r#"{"order":{"type":"slow"}}"#, "all"),
    ("application/json", r#"{"order":{"type":"slow","type":"express"}}"#, "!routing_body_malformed"),
    ("application/json", "{", "!routing_body_malformed"),
    ("text/plain", r#"{"order":{"type":"express"}}"#, "all"),
    ("application/x-www-form-urlencoded", "kind=ab&kind=a", "form"),
    ("application/x-www-form-urlencoded", "kind=ab&kind=b", "all"),
    ("application/x-www-form-urlencoded", "kind=%", "!routing_body_malformed"),
    ("text/xml", "<e:Envelope xmlns:e='x'><e:Body><Get/></e:Body></e:Envelope>", "soap"),
    ("text/xml", "<!DOCTYPE x><Envelope/>", "!routing_body_malformed"),
];

/// A test of one request to `/orders`.
fn posted(name: &str, (headers, body): (&str, &str), protocol: &str, expect: &str) -> String {
    let (url, method) = (if name == "elsewhere" { "/other" } else { "/orders" }, "POST");
    format!(
        "[[test]]\nname = \"{name}\"\nexpect = {{ {expect} }}\n[test.request]\nmethod = \"{method}\"\nurl = \"{url}\"\n\
         protocol = \"{protocol}\"\nheaders = {{ {headers} }}\nbody = {body:?}\n"
    )
}

#[test]
fn a_body_decides_about_the_route_and_goes_on_whole() {
    for protocol in ["http/1.1", "http/2"] {
        for (kind, body, route) in BY_BODY {
            let expect = match route.strip_prefix('!') {
                Some(reason) => {
                    format!("route = \"\", status = 400, reason = \"{reason}\", attempts = 0")
                }
                None => {
                    format!("route = \"{route}\", status = 200, upstream = {{ body = {body:?} }}")
                }
            };
            let tests = posted("t", (&format!("content-type = \"{kind}\""), body), protocol, &expect);
            assert_eq!(differences(BODIES, &tests), Vec::<String>::new(), "{protocol} {kind} {body}");
        }
    }
}

#[test]
fn what_no_route_asks_for_is_not_read_and_what_is_too_long_is_refused() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2_000));
    let json = "content-type = \"application/json\"";
    let express = r#"{"order":{"type":"express"}}"#;
    let passes = format!("route = \"all\", status = 200, upstream = {{ body = {long:?} }}");
    let whole = format!(
        "route = \"express\", upstream = {{ headers = {{ expect = {{ present = false }} }}, body = {express:?} }}"
    );
    let expects = format!("{json}, expect = \"100-continue\"");
    let coded = format!("{json}, content-encoding = \"gzip\"");
    let cases = [
        ("too long", json, &*long, "status = 413, attempts = 0"),
        ("elsewhere", json, &*long, &*passes),
        ("coded", &*coded, "x", "status = 415, reason = \"routing_body_coded\", attempts = 0"),
        (
            "two types",
            "content-type = [\"application/json\", \"text/xml\"]",
            "x",
            "status = 400, reason = \"bad_request\", attempts = 0",
        ),
        ("expect", &*expects, express, &*whole),
        ("none", json, "", "route = \"all\", status = 200"),
    ];
    let tests: String =
        cases.iter().map(|(name, headers, body, expect)| posted(name, (headers, body), "http/1.1", expect)).collect();
    assert_eq!(differences(BODIES, &tests), Vec::<String>::new());
}
