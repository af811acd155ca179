// SPDX-License-Identifier: Apache-2.0
//! Who may, as curl sees it: groups, sets of addresses that change, conditions of policies, and ways around a rule.

use std::time::{Duration, Instant};

use crate::harness::tool::run;
use crate::harness::{Gateway, Origin, Setup, wait_for};

const CALLERS: &str = r#"
[[consumer]]
name = "anna"
groups = ["admin"]
keys = [{ key = "anna-demo-key-0001" }]
[[consumer]]
name = "bob"
groups = ["staff"]
keys = [{ key = "bob-demo-key-00001" }]
[policy.keys]
api_key = { anonymous = "guest" }
[[consumer]]
name = "guest"
[policy.may.authorize]
verbose = true
deny = 'request.headers[?"x-debug"].hasValue()'
rules = [
  { path_prefix = "/admin", groups = "admin" },
  { methods = ["GET", "POST"] },
]
"#;

/// The status that curl gets, with the path as it is written.
fn status(gateway: &Gateway, key: &str, target: &str, more: &[&str]) -> String {
    let (field, url) = (format!("X-API-Key: {key}"), gateway.url(target));
    let fixed = ["-s", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", "-H", &field];
    run("curl", &[&fixed[..], more, &[&url]].concat()).text()
}

#[test]
fn curl_passes_where_it_may_and_nowhere_else() {
    let origin = Origin::echo();
    let to = origin.url();
    let gateway = Gateway::web(format!("{CALLERS}\n[[route]]\nto = \"{to}\"\npolicies = [\"keys\", \"may\"]\n"));
    let (anna, bob) = ("anna-demo-key-0001", "bob-demo-key-00001");
    for (key, target, more, expected) in [
        (anna, "/admin/users", &[][..], "200"),
        (anna, "/x", &[], "200"),
        (bob, "/x", &[], "200"),
        (bob, "/x", &["-d", "a"], "200"),
        (bob, "/x", &["-X", "DELETE"], "403"),
        (bob, "/x", &["-H", "X-Debug: 1"], "403"),
        (bob, "/admin", &[], "403"),
        (bob, "/admin/users", &[], "403"),
        (bob, "//admin/users", &[], "403"),
        (bob, "/x/../admin/users", &[], "403"),
        (bob, "/%61dmin/users", &[], "403"),
        // The listener refuses dot segments behind an encoded slash before anybody is asked.
        (bob, "/x%2f..%2fadmin/users", &[], "400"),
        (bob, "/admin%2fusers", &[], "403"),
        (bob, "/;/admin/users", &[], "403"),
        (bob, "/x?_method=DELETE", &[], "200"),
    ] {
        assert_eq!(status(&gateway, key, target, more), expected, "{key} {target} {more:?}");
    }
    assert_eq!(origin.last().target, "/x", "what changes the method is removed");
    let answer = gateway.client().ask(format!("GET /admin HTTP/1.1\r\nHost: test\r\nX-API-Key: {bob}\r\n\r\n"));
    assert_eq!((answer.status, answer.field("content-type")), (403, "application/problem+json"));
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(body.contains("One of these groups is required: admin."), "{body}");
    wait_for("the reason", || gateway.log_lines().iter().find(|line| line.contains("authorize_group")).map(drop));
}

#[test]
fn a_set_of_addresses_is_read_again_when_its_file_changes() {
    let origin = Origin::echo();
    let to = origin.url();
    let text = format!(
        "[ip_set.office]\nfiles = \"office.txt\"\n[policy.inside.authorize]\nip_sets = \"office\"\n\
         [[route]]\nto = \"{to}\"\npolicies = \"inside\"\n"
    );
    let gateway = Setup::web(text).file("office.txt", "# nobody\n192.0.2.0/24\n").start();
    assert_eq!(gateway.get("/").status, 403);
    std::fs::write(gateway.path("office.txt"), "192.0.2.0/24\n127.0.0.0/8 # here\n").unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while gateway.get("/").status != 200 {
        assert!(Instant::now() < until, "{}", gateway.said());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_policy_is_asked_only_where_its_condition_holds() {
    let origin = Origin::echo();
    let to = origin.url();
    let gateway = Gateway::web(format!(
        "[policy.keys]\nwhen = 'request.method == \"POST\" || request.headers[\"x-mode\"] == \"strict\"'\n\
         api_key = {{}}\n\
         [policy.never]\nwhen = \"1 == 2\"\nnetwork = {{ deny = \"0.0.0.0/0\" }}\n\
         [policy.marked]\nwhen = 'request.path == \"/marked\"'\n\
         headers = {{ response = {{ set = {{ x-marked = \"yes\" }} }} }}\n\
         [[route]]\nto = \"{to}\"\npolicies = [\"keys\", \"never\", \"marked\"]\n"
    ));
    let ask = |method: &str, target: &str, field: &str| {
        gateway.client().ask(format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{field}\r\n"))
    };
    assert_eq!(ask("GET", "/x", "X-Mode: free\r\n").status, 200);
    assert_eq!(ask("GET", "/x", "X-Mode: strict\r\n").status, 401);
    assert_eq!(ask("POST", "/x", "X-Mode: free\r\nContent-Length: 0\r\n").status, 401);
    assert!(ask("GET", "/marked", "X-Mode: free\r\n").fields.has("x-marked"));
    assert!(!ask("GET", "/x", "X-Mode: free\r\n").fields.has("x-marked"));
    // The header is missing, so the condition has no value, and the policy is asked.
    assert_eq!(ask("GET", "/x", "").status, 401);
    let until = Instant::now() + Duration::from_secs(10);
    while !gateway.metrics().contains("turnpike_condition_failures_total 1") {
        assert!(Instant::now() < until, "{}", gateway.metrics());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_database_says_where_an_address_is() {
    let origin = Origin::echo();
    let to = origin.url();
    let text = format!(
        "[geoip]\ncountry = \"countries.mmdb\"\n[policy.here.authorize]\ncountries = [\"DE\"]\n\
         [policy.elsewhere.authorize]\ndeny = 'source.country == \"DE\"'\n\
         [[route]]\npath = \"/here\"\nto = \"{to}\"\npolicies = \"here\"\n\
         request_headers = {{ set = {{ x-country = \"{{country}}\" }} }}\n\
         [[route]]\npath = \"/elsewhere\"\nto = \"{to}\"\npolicies = \"elsewhere\"\n"
    );
    let gateway = Setup::web(text).file("countries.mmdb", database(b"DE")).start();
    assert_eq!((gateway.get("/here").status, gateway.get("/elsewhere").status), (200, 403));
    assert_eq!(origin.last().field("x-country"), "DE");
    let wrong = Setup::web("[geoip]\ncountry = \"countries.mmdb\"\n").file("countries.mmdb", "no database");
    let mut wrong = wrong.start_unready();
    assert!(!wrong.wait(Duration::from_secs(20)).success());
}

/// A database in MaxMind's format (version 2.0) in which every address is in one country: a tree of one node, both of
/// whose records point to the only entry of the data section.
fn database(country: &[u8; 2]) -> Vec<u8> {
    fn text(text: &str, out: &mut Vec<u8>) {
        out.push(2 << 5 | text.len() as u8);
        out.extend_from_slice(text.as_bytes());
    }
    fn number(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
        // Types above seven stand in a second byte.
        if kind > 7 {
            out.extend_from_slice(&[bytes.len() as u8, kind - 7])
        } else {
            out.push(kind << 5 | bytes.len() as u8)
        }
        out.extend_from_slice(bytes);
    }
    let mut out = Vec::new();
    // One node of two records with 24 bits: beyond the node count of 1 and the separator of 16 bytes.
    for _ in 0..2 {
        out.extend_from_slice(&[0, 0, 17]);
    }
    out.extend_from_slice(&[0; 16]);
    out.push(7 << 5 | 1);
    text("country", &mut out);
    out.push(7 << 5 | 1);
    text("iso_code", &mut out);
    text(std::str::from_utf8(country).unwrap(), &mut out);
    out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    out.push(7 << 5 | 9);
    text("binary_format_major_version", &mut out);
    number(5, &[2], &mut out);
    text("binary_format_minor_version", &mut out);
    number(5, &[], &mut out);
    text("build_epoch", &mut out);
    number(9, &[1], &mut out);
    text("database_type", &mut out);
    text("Test-Country", &mut out);
    text("description", &mut out);
    out.push(7 << 5);
    text("ip_version", &mut out);
    number(5, &[6], &mut out);
    text("languages", &mut out);
    out.extend_from_slice(&[0, 4]);
    text("node_count", &mut out);
    number(6, &[1], &mut out);
    text("record_size", &mut out);
    number(5, &[24], &mut out);
    out
}
