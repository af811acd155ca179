// SPDX-License-Identifier: Apache-2.0
//! The admin API: roles, hostile requests, shares of endpoints over reloads, the audit, what the command line makes of
//! it, and whether it is as its OpenAPI document says.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use loadtest::keys::Keys;
use serde_json::{Value, json};

use crate::harness::gateway::{WEB, binary};
use crate::harness::tool::{Output, python, script};
use crate::harness::{Client, Gateway, Origin, Setup, curl, run, wait_for};

/// Longest run of schemathesis.
const SCHEMATHESIS_MAX: Duration = Duration::from_secs(240);

/// A token of each role.
pub(super) const TOKENS: &str = "[[admin.tokens]]\nname = \"vic\"\nrole = \"viewer\"\ntoken = \"viewer-0123456789\"\n\
                      [[admin.tokens]]\nname = \"ott\"\nrole = \"operator\"\ntoken = \"operator-0123456789\"\n\
                      [[admin.tokens]]\nname = \"ada\"\nrole = \"admin\"\ntoken = \"admin-0123456789\"\n";

/// A gateway before these origins, whose weights are given.
fn config(origins: &[(&Origin, u16)]) -> String {
    let endpoints = origins.iter().map(|(origin, weight)| {
        let address = origin.address;
        format!("{{ address = \"{address}\", weight = {weight} }}")
    });
    let endpoints = endpoints.collect::<Vec<_>>().join(", ");
    format!("{TOKENS}{WEB}[upstream.pool]\nendpoints = [{endpoints}]\n[[route]]\nto = \"pool\"\n")
}

fn start(origins: &[(&Origin, u16)], shards: usize) -> Gateway {
    Setup::new(config(origins)).log("").shards(shards).server("watch = false").start()
}

pub(super) fn admin(gateway: &Gateway) -> String {
    gateway.status()["admin"].as_str().expect("an address").to_owned()
}

/// The status and the document that curl gets with a token, or without one.
pub(super) fn ask(gateway: &Gateway, token: &str, arguments: &[&str], path: &str) -> (u16, Value) {
    let url = format!("http://{}/api/v1{path}", admin(gateway));
    let bearer = format!("Authorization: Bearer {token}-0123456789");
    let mut all = vec!["-w", "\n%{http_code}"];
    if !token.is_empty() {
        all.extend(["-H", &bearer]);
    }
    all.extend(arguments);
    all.push(&url);
    let text = curl(&all).text();
    let (document, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(document).unwrap_or_default())
}

/// How many of so many requests went where.
fn counts(gateway: &Gateway, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut client = gateway.client();
    for _ in 0..requests {
        *counts.entry(client.get("/").text()).or_default() += 1;
    }
    counts
}

pub(super) fn turnpike(gateway: &Gateway, arguments: &[&str]) -> Output {
    let config = gateway.config_path().display().to_string();
    run(binary(), &[arguments, &["-c", &config]].concat())
}

fn endpoint_path(origin: &Origin) -> String {
    format!("/upstreams/pool/endpoints/{}", origin.address)
}

#[test]
fn roles_and_this_machine() {
    let origin = Origin::saying("a");
    let gateway = start(&[(&origin, 1)], 1);
    let drain = format!("{}/drain", endpoint_path(&origin));
    assert_eq!(ask(&gateway, "", &[], "/upstreams").0, 200);
    assert_eq!(ask(&gateway, "", &["-H", "X-Forwarded-For: 10.0.0.1"], "/upstreams").0, 401);
    for (token, read, change, audit) in
        [("", 200, 401, 401), ("viewer", 200, 403, 403), ("operator", 200, 200, 403), ("admin", 200, 200, 200)]
    {
        assert_eq!(ask(&gateway, token, &[], "/status").0, read, "{token}");
        assert_eq!(ask(&gateway, token, &["-X", "POST"], &drain).0, change, "{token}");
        assert_eq!(ask(&gateway, token, &[], "/audit").0, audit, "{token}");
    }
    let (_, who) = ask(&gateway, "operator", &[], "/whoami");
    assert_eq!(who, json!({ "name": "ott", "role": "operator" }));
    let (_, audit) = ask(&gateway, "admin", &[], "/audit");
    let by: Vec<&str> = audit["items"].as_array().expect("rows").iter().filter_map(|row| row["by"].as_str()).collect();
    assert_eq!(by, ["ada", "ott"]);
    assert!(gateway.said().contains("audit"), "each change is a line of the log: {}", gateway.said());
}

#[test]
fn an_address_that_guesses_tokens_has_to_wait() {
    let origin = Origin::saying("a");
    let gateway = start(&[(&origin, 1)], 1);
    for _ in 0..10 {
        assert_eq!(ask(&gateway, "guess", &[], "/status").0, 401);
    }
    let (status, problem) = ask(&gateway, "viewer", &[], "/status");
    assert_eq!((status, &problem["type"]), (429, &json!("urn:turnpike:problem:too-many-attempts")));
    // Probes, and those who come over the control socket, do not wait.
    assert_eq!(
        curl(&["-o", "/dev/null", "-w", "%{http_code}", &format!("http://{}/readyz", admin(&gateway))]).text(),
        "200"
    );
    assert_eq!(turnpike(&gateway, &["upstream", "list"]).code, 0);
    assert_eq!(gateway.said().matches("a wrong token").count(), 9, "{}", gateway.said());
    assert!(gateway.said().contains("too many wrong tokens"), "{}", gateway.said());
}

#[test]
fn hostile_requests_get_their_exact_status() {
    let origin = Origin::saying("a");
    let gateway = start(&[(&origin, 1)], 1);
    let admin = admin(&gateway);
    let (host, port) = admin.rsplit_once(':').expect("a port");
    let script = script("admin_api.py").display().to_string();
    let out = run(python(), &[&*script, host, port, "operator-0123456789"]);
    assert_eq!(out.code, 0, "{}", out.all());
}

#[test]
fn a_drained_endpoint_gets_nothing_over_reloads_that_change_everything_else() {
    let (a, b, c) = (Origin::saying("a"), Origin::saying("b"), Origin::saying("c"));
    let mut gateway = start(&[(&a, 1), (&b, 1)], 2);
    assert_eq!(counts(&gateway, 20).len(), 2);
    let (status, endpoint) = ask(&gateway, "operator", &["-X", "POST"], &format!("{}/drain", endpoint_path(&a)));
    let shown = (&endpoint["weight"], &endpoint["configured_weight"], &endpoint["draining"]);
    assert_eq!((status, shown), (200, (&json!(0), &json!(1), &json!(true))));
    wait_for("both threads to know", || (!counts(&gateway, 20).contains_key("a")).then_some(()));
    let before = a.count();
    // Requests go on while weights, order and endpoints change under them.
    for round in 0..20_u16 {
        let all: &[(&Origin, u16)] = match round % 3 {
            0 => &[(&b, 3), (&a, 5)],
            1 => &[(&a, 1 + round), (&c, 1), (&b, 1)],
            _ => &[(&c, 2), (&a, 9)],
        };
        gateway.rewrite(config(all));
        let load = thread::scope(|scope| {
            let load = scope.spawn(|| counts(&gateway, 200));
            let (status, words) = gateway.reload();
            assert_eq!(status, 200, "{words}");
            load.join().expect("requests")
        });
        assert_eq!(load.get("a"), None, "round {round}");
    }
    assert_eq!(a.count(), before, "not one request slipped through");
    let shown = turnpike(&gateway, &["status"]).text();
    assert!(shown.contains("drained by an operator") && shown.contains("configured weight 20"), "{shown}");
    let out = turnpike(&gateway, &["upstream", "undrain", "pool", &a.address.to_string()]);
    assert_eq!(out.code, 0, "{}", out.all());
    wait_for("it to serve again", || counts(&gateway, 22).get("a").copied());
    // Without the upstream, what was set for it is forgotten.
    assert_eq!(turnpike(&gateway, &["upstream", "drain", "pool", &a.address.to_string()]).code, 0);
    gateway.rewrite(format!("{TOKENS}{WEB}[[route]]\nanswer = {{ body = \"none\" }}\n"));
    assert_eq!(gateway.reload().0, 200);
    gateway.rewrite(config(&[(&a, 1)]));
    assert_eq!(gateway.reload().0, 200);
    assert_eq!(counts(&gateway, 4), [("a".to_owned(), 4)].into());
}

#[test]
fn a_share_is_what_was_set() {
    let (a, b) = (Origin::saying("a"), Origin::saying("b"));
    let gateway = start(&[(&a, 1), (&b, 1)], 1);
    let path = format!("{}/weight", endpoint_path(&a));
    let set = |weight: &str| {
        let body = format!("{{\"weight\":{weight}}}");
        ask(&gateway, "operator", &["-X", "PUT", "-H", "Content-Type: application/json", "-d", &body], &path)
    };
    assert_eq!(set("3").0, 200);
    wait_for("the shard to know", || {
        (counts(&gateway, 40) == [("a".to_owned(), 30), ("b".to_owned(), 10)].into()).then_some(())
    });
    let (status, problem) = set("70000");
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/weight")));
    let out = turnpike(&gateway, &["upstream", "weight", "pool", &b.address.to_string(), "0", "--output", "json"]);
    let shown: Value = serde_json::from_str(&out.text()).expect("JSON");
    assert_eq!((out.code, &shown[0]["draining"], &shown[0]["upstream"]), (0, &json!(true), &json!("pool")));
    wait_for("the shard to know", || (counts(&gateway, 8) == [("a".to_owned(), 8)].into()).then_some(()));
}

#[test]
fn the_command_line_says_what_came_of_it_by_its_exit_status() {
    let origin = Origin::saying("a");
    let gateway = start(&[(&origin, 1)], 1);
    let own = origin.address.to_string();
    let table = turnpike(&gateway, &["upstream", "list"]).text();
    assert!(table.starts_with("UPSTREAM") && table.contains(&own), "{table}");
    assert_eq!(turnpike(&gateway, &["upstream", "drain", "none", &own]).code, 3);
    assert_eq!(turnpike(&gateway, &["upstream", "drain", "pool"]).code, 2);
    assert!(turnpike(&gateway, &["log-level", "error"]).text().contains("chosen      error"));
    assert_eq!(turnpike(&gateway, &["upstream", "drain", "pool", &own]).code, 0);
    assert!(turnpike(&gateway, &["log-level", "reset"]).text().contains("level       info"));
    assert_eq!(turnpike(&gateway, &["upstream", "undrain", "pool", &own]).code, 0);
    wait_for("a line", || gateway.said().contains("has its configured weight again").then_some(()));
    assert!(!gateway.said().contains("endpoint is drained"), "{}", gateway.said());
    let audit = turnpike(&gateway, &["audit"]).text();
    assert!(audit.contains("control socket") && audit.contains("log-level"), "{audit}");
    // Over the network, with a token.
    std::fs::write(gateway.path("viewer"), "viewer-0123456789\n").expect("written");
    std::fs::write(gateway.path("wrong"), "wrong\n").expect("written");
    let url = format!("http://{}", admin(&gateway));
    let file = |name: &str| gateway.path(name).display().to_string();
    let over = |token: &str, arguments: &[&str]| {
        run(binary(), &[arguments, &["--server", &url, "--token-file", &file(token)]].concat())
    };
    assert_eq!(over("viewer", &["upstream", "list"]).code, 0);
    assert_eq!(over("viewer", &["upstream", "drain", "pool", &own]).code, 4);
    assert_eq!(over("wrong", &["upstream", "list"]).code, 4);
    assert_eq!(run(binary(), &["audit", "--server", "http://127.0.0.1:1"]).code, 1);
}

#[test]
fn a_write_goes_on_when_its_client_has_gone() {
    let origin = Origin::saying("a");
    let gateway = start(&[(&origin, 1)], 1);
    let admin: std::net::SocketAddr = admin(&gateway).parse().expect("an address");
    for number in 0..20 {
        let mut client = Client::to(admin);
        client.send(format!(
            "POST /api/v1/reload HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer operator-0123456789\r\n\
             Idempotency-Key: reload-{number}\r\nContent-Length: 0\r\n\r\n"
        ));
        drop(client);
    }
    // A key whose first request was left alone is not taken for ever.
    let key = ["-X", "POST", "-H", "Idempotency-Key: reload-3"];
    wait_for("the first one to end", || (ask(&gateway, "operator", &key, "/reload").0 == 200).then_some(()));
}

#[test]
fn it_is_as_its_openapi_document_says() {
    let gateway = with_store(1);
    let url = format!("http://{}/api/v1/openapi.json", admin(&gateway));
    // What would end the process, or take seconds each time, is left out; so are wrong tokens, since their address
    // would have to wait, and bodies that name what does not exist.
    let skipped = "ignored_auth,positive_data_acceptance";
    let mut command = Command::new(python());
    command.current_dir(gateway.path("."));
    command.args(["-m", "schemathesis.cli", "run", &url, "--header", "Authorization: Bearer admin-0123456789"]);
    command.args(["--exclude-path", "/api/v1/stop", "--exclude-path", "/api/v1/reload", "--exclude-checks", skipped]);
    command.args(["--max-examples", "10", "--seed", "1", "--phases", "examples,coverage,fuzzing", "--no-color"]);
    command.stdout(File::create(gateway.path("schemathesis")).expect("a file"));
    let mut child = command.spawn().expect("schemathesis");
    let until = Instant::now() + SCHEMATHESIS_MAX;
    let status = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        if Instant::now() > until {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(100));
    };
    let said = std::fs::read_to_string(gateway.path("schemathesis")).unwrap_or_default();
    assert_eq!(status.code(), Some(0), "{said}");
    assert_eq!(gateway.admin_get("/readyz").expect("it lives").status, 200);
}

/// A gateway with a store, and a route that takes keys.
fn with_store(shards: usize) -> Gateway {
    let store = "[store]\npath = \"{dir}/turnpike.db\"\n[plan.basic]\nlimits = [{ count = 5, per = \"day\" }]\n\
                 [[consumer]]\nname = \"filed\"\nplan = \"basic\"\n[policy.keys]\napi_key = {}\n[[route]]\n\
                 policies = \"keys\"\nanswer = { body = \"in\" }\n";
    Setup::new(format!("{TOKENS}{WEB}{store}")).log("").shards(shards).server("watch = false").start()
}

const JSON: [&str; 2] = ["-H", "Content-Type: application/json"];

fn send(gateway: &Gateway, method: &str, path: &str, body: &Value, more: &[&str]) -> (u16, Value) {
    let body = body.to_string();
    ask(gateway, "operator", &[&["-X", method, "-d", &body], &JSON[..], more].concat(), path)
}

/// The status that a request with a key gets.
fn with_key(gateway: &Gateway, key: &str) -> u16 {
    gateway.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n")).status
}

#[test]
fn objects_are_made_changed_and_deleted() {
    let gateway = with_store(2);
    let limits = json!({ "limits": [{ "count": 1000, "per": "day" }] });
    let (status, plan) = send(&gateway, "PUT", "/plans/gold", &limits, &[]);
    assert_eq!((status, &plan["revision"], &plan["source"]), (201, &json!(1), &json!("store")), "{plan}");
    let acme = json!({ "plan": "gold", "groups": ["beta"], "attributes": { "region": "eu" } });
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &acme, &["-H", "If-None-Match: *"]).0, 201);
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &acme, &["-H", "If-None-Match: *"]).0, 412);
    let (status, read) = ask(&gateway, "", &[], "/consumers/acme");
    assert_eq!((status, &read["attributes"]["region"]), (200, &json!("eu")));
    // What was read may be sent back.
    let first = read["revision"].as_u64().expect("a number");
    let matching = format!("If-Match: \"{first}\"");
    let (status, same) = send(&gateway, "PUT", "/consumers/acme", &read, &["-H", &matching]);
    assert_eq!((status, &same["revision"]), (200, &json!(first + 1)), "{same}");
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &read, &["-H", &matching]).0, 412);
    let patch = json!({ "groups": null, "attributes": { "region": null, "tier": "1" } });
    let (status, patched) = send(&gateway, "PATCH", "/consumers/acme", &patch, &[]);
    assert_eq!((status, &patched["groups"], &patched["attributes"]), (200, &json!([]), &json!({ "tier": "1" })));
    let known = format!("If-None-Match: \"{}\"", first + 2);
    assert_eq!(ask(&gateway, "", &["-H", &known], "/consumers/acme").0, 304);
    // Wrong ones, each named.
    let (status, problem) = send(&gateway, "PUT", "/consumers/b", &json!({ "group": [] }), &[]);
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/group")));
    let (status, problem) = send(&gateway, "PUT", "/plans/b", &json!({ "limits": [{ "count": "x" }] }), &[]);
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/limits/0/count")));
    let (status, problem) = send(&gateway, "PUT", "/consumers/b", &json!({ "plans": { "maps": "none" } }), &[]);
    assert_eq!((status, &problem["type"]), (409, &json!("urn:turnpike:problem:no-such-reference")), "{problem}");
    assert_eq!(problem["errors"][0]["pointer"], json!("/plans/maps"), "{problem}");
    assert_eq!(send(&gateway, "PUT", "/consumers/a%2Fb", &json!({}), &[]).0, 422);
    assert_eq!(send(&gateway, "PUT", "/consumers/b", &json!({ "name": "c" }), &[]).0, 422);
    assert_eq!(ask(&gateway, "operator", &["-X", "DELETE"], "/plans/gold").0, 409);
    // What the file declares is changed there.
    let (status, problem) = send(&gateway, "PATCH", "/consumers/filed", &json!({ "suspended": true }), &[]);
    assert_eq!((status, &problem["type"]), (409, &json!("urn:turnpike:problem:from-file")));
    let (_, list) = ask(&gateway, "", &[], "/consumers");
    let names = |list: &Value| -> Vec<String> {
        list["items"]
            .as_array()
            .expect("items")
            .iter()
            .filter_map(|one| Some(one["name"].as_str()?.to_owned()))
            .collect()
    };
    assert_eq!(names(&list), ["acme", "filed"]);
    assert_eq!(names(&ask(&gateway, "", &[], "/consumers?plan=basic").1), ["filed"]);
    assert_eq!(ask(&gateway, "operator", &["-X", "DELETE"], "/consumers/acme").0, 204);
    assert_eq!(ask(&gateway, "operator", &["-X", "DELETE"], "/consumers/acme").0, 404);
    let (_, audit) = ask(&gateway, "admin", &[], "/audit?object=consumers/acme");
    let actions: Vec<&str> =
        audit["items"].as_array().expect("rows").iter().filter_map(|row| row["action"].as_str()).collect();
    assert_eq!(actions, ["delete", "update", "update", "create"]);
}

#[test]
fn a_key_works_at_once_everywhere_and_not_after_its_end() {
    let gateway = with_store(2);
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({}), &[]).0, 201);
    let (status, made) = send(&gateway, "POST", "/credentials", &json!({ "kind": "key", "consumer": "acme" }), &[]);
    assert_eq!(status, 201, "{made}");
    let key = made["key"].as_str().expect("shown").to_owned();
    // Each connection may be another thread's.
    let all = |gateway: &Gateway, key: &str| -> Vec<u16> { (0..16).map(|_| with_key(gateway, key)).collect() };
    assert_eq!(all(&gateway, &key), [200; 16]);
    let id = made["id"].as_str().expect("an id");
    let (_, shown) = ask(&gateway, "", &[], &format!("/credentials/{id}"));
    assert!(shown["key"].is_null() && shown["state"] == "active", "{shown}");
    let path = format!("/credentials/{id}/rotate");
    let (status, next) = send(&gateway, "POST", &path, &json!({ "overlap": "2s" }), &["-H", "Idempotency-Key: r1"]);
    assert_eq!(status, 201, "{next}");
    assert_eq!(send(&gateway, "POST", &path, &json!({ "overlap": "2s" }), &["-H", "Idempotency-Key: r1"]).1, next);
    let second = next["key"].as_str().expect("shown").to_owned();
    assert_eq!((with_key(&gateway, &key), with_key(&gateway, &second)), (200, 200));
    wait_for("the old key to end", || (with_key(&gateway, &key) == 401).then_some(()));
    let revoke = format!("/credentials/{}/revoke", next["id"].as_str().expect("an id"));
    assert_eq!(ask(&gateway, "operator", &["-X", "POST"], &revoke).0, 200);
    assert_eq!(all(&gateway, &second), [401; 16]);
    let (_, list) = ask(&gateway, "", &[], "/credentials?consumer=acme&state=revoked");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_plan_that_changes_holds_at_once_and_what_was_used_stays_used() {
    let store = "[store]\npath = \"{dir}/turnpike.db\"\n[[consumer]]\nname = \"filed\"\n[policy.keys]\napi_key = \
                 {}\n[policy.sold.plan]\n[[route]]\npolicies = [\"keys\", \"sold\"]\nanswer = { body = \"in\" }\n";
    let gateway = Setup::new(format!("{TOKENS}{WEB}{store}")).log("").shards(2).server("watch = false").start();
    let plan = |name: &str, count: u32| {
        let limits = json!({ "limits": [{ "count": count, "per": "month" }] });
        let (status, made) = send(&gateway, "PUT", &format!("/plans/{name}"), &limits, &[]);
        assert!(status < 300, "{made}");
    };
    plan("free", 6);
    plan("gold", 20);
    assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({}), &[]).0, 201);
    let (_, made) = send(&gateway, "POST", "/credentials", &json!({ "kind": "key", "consumer": "acme" }), &[]);
    let key = made["key"].as_str().expect("shown").to_owned();
    // Each connection may be another thread's.
    let ask = |times: usize| -> Vec<u16> { (0..times).map(|_| with_key(&gateway, &key)).collect() };
    let passed = |times: usize| ask(times).iter().filter(|status| **status == 200).count();
    assert_eq!(ask(4), [403; 4], "no plan contains the route");
    let subscribe = |plan: &str| {
        assert_eq!(send(&gateway, "PUT", "/consumers/acme", &json!({ "plan": plan }), &[]).0, 200);
    };
    subscribe("free");
    assert_eq!(passed(12), 6);
    assert_eq!(ask(4), [429; 4]);
    subscribe("gold");
    assert_eq!(passed(8), 8, "the upgrade holds for the next request");
    subscribe("free");
    assert_eq!(ask(4), [429; 4]);
    subscribe("gold");
    assert_eq!(passed(20), 6, "of twenty, six and eight were used");
    plan("gold", 25);
    assert_eq!(passed(20), 5, "and a plan that changes changes for its subscribers");
}

#[test]
fn a_revoked_key_is_refused_by_all_threads_while_many_requests_come() {
    let keys = Keys { turnpike: binary(), shards: 2, requests: 500, keys: 20, seconds: 2.0 };
    let outcome = keys.run().expect("a run");
    assert!(outcome.revoked_after < Duration::from_secs(1), "{outcome:?}");
    assert!(outcome.changed > 1.0, "{outcome:?}");
}

#[test]
fn of_many_who_change_one_revision_one_wins() {
    let gateway = with_store(1);
    assert_eq!(send(&gateway, "PUT", "/tenants/t", &json!({}), &[]).0, 201);
    let won: Vec<u16> = thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|number| {
                let gateway = &gateway;
                scope.spawn(move || {
                    let body = json!({ "description": number.to_string() });
                    send(gateway, "PUT", "/tenants/t", &body, &["-H", "If-Match: \"1\""]).0
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().expect("asked")).collect()
    });
    assert_eq!(won.iter().filter(|status| **status == 200).count(), 1, "{won:?}");
    assert!(won.iter().all(|status| [200, 412].contains(status)), "{won:?}");
    // Patches without a condition are all applied.
    thread::scope(|scope| {
        for number in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                let body = json!({ "attributes": { format!("a{number}"): "x" } });
                assert_eq!(send(gateway, "PATCH", "/tenants/t", &body, &[]).0, 200);
            });
        }
    });
    let (_, read) = ask(&gateway, "", &[], "/tenants/t");
    assert_eq!(read["attributes"].as_object().map(serde_json::Map::len), Some(8), "{read}");
}

#[test]
fn a_walk_over_a_list_that_changes_sees_all_that_stay() {
    let gateway = with_store(1);
    for number in 0..30 {
        assert_eq!(send(&gateway, "PUT", &format!("/groups/g{number:02}"), &json!({}), &[]).0, 201);
    }
    let (mut seen, mut path) = (Vec::new(), "/groups?limit=4".to_owned());
    loop {
        let (_, part) = ask(&gateway, "", &[], &path);
        seen.extend(
            part["items"].as_array().expect("items").iter().filter_map(|one| Some(one["name"].as_str()?.to_owned())),
        );
        let Some(next) = part["next"].as_str() else { break };
        path = format!("/groups?limit=4&cursor={next}");
        let gone = format!("/groups/g{:02}", seen.len() - 1);
        assert_eq!(ask(&gateway, "operator", &["-X", "DELETE"], &gone).0, 204);
        assert_eq!(send(&gateway, "PUT", &format!("/groups/a{}", seen.len()), &json!({}), &[]).0, 201);
    }
    let expected: Vec<String> = (0..30).map(|number| format!("g{number:02}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn tokens_made_at_run_time_are_shown_once_and_end() {
    let gateway = with_store(1);
    let made = turnpike(&gateway, &["admin-token", "create", "ci", "--role", "operator", "--output", "json"]);
    assert_eq!(made.code, 0, "{}", made.all());
    let made: Value = serde_json::from_str(&made.text()).expect("JSON");
    let token = made["token"].as_str().expect("shown");
    assert!(token.starts_with("tpa_") && token.len() == 37, "{token}");
    let url = format!("http://{}/api/v1/whoami", admin(&gateway));
    let who = || curl(&["-H", &format!("Authorization: Bearer {token}"), &url]).text();
    assert!(who().contains("\"name\": \"ci\""), "{}", who());
    let listed = turnpike(&gateway, &["admin-token", "list"]).text();
    assert!(listed.contains("ci") && !listed.contains(token), "{listed}");
    assert_eq!(turnpike(&gateway, &["admin-token", "create", "ci", "--role", "viewer"]).code, 5);
    assert_eq!(turnpike(&gateway, &["admin-token", "revoke", "ci"]).code, 0);
    assert!(who().contains("unauthenticated"), "{}", who());
    let file = std::fs::read(gateway.path("turnpike.db")).expect("the store");
    assert!(!file.windows(token.len()).any(|part| part == token.as_bytes()), "only its hash is kept");
}

#[test]
fn the_command_line_makes_objects_and_keys() {
    let gateway = with_store(1);
    let done = |arguments: &[&str]| {
        let out = turnpike(&gateway, arguments);
        assert_eq!(out.code, 0, "{arguments:?}: {}", out.all());
        out.text()
    };
    done(&["plan", "create", "gold", "limits=1000/day"]);
    done(&["consumer", "create", "acme", "plan=gold", "groups=beta,new", "attributes.region=eu"]);
    assert_eq!(turnpike(&gateway, &["consumer", "create", "acme"]).code, 5);
    let table = done(&["consumer", "list", "group=beta"]);
    assert!(table.starts_with("NAME") && table.contains("acme") && table.contains("beta,new"), "{table}");
    let key = done(&["key", "create", "--consumer", "acme", "--expires", "90d", "--output", "json"]);
    let key: Value = serde_json::from_str(&key).expect("JSON");
    let text = key["key"].as_str().expect("shown");
    assert_eq!(with_key(&gateway, text), 200);
    done(&["consumer", "suspend", "acme"]);
    assert_eq!(with_key(&gateway, text), 403);
    done(&["consumer", "resume", "acme"]);
    done(&["key", "revoke", key["id"].as_str().expect("an id")]);
    assert_eq!(with_key(&gateway, text), 401);
    assert_eq!(turnpike(&gateway, &["consumer", "set", "acme", "plan=none"]).code, 5);
    assert_eq!(turnpike(&gateway, &["consumer", "set", "acme", "plan:=null", "--if-revision", "1"]).code, 5);
    assert_eq!(turnpike(&gateway, &["consumer", "show", "none"]).code, 3);
    done(&["consumer", "delete", "acme"]);
    let audit = done(&["audit"]);
    assert!(audit.contains("consumers/acme") && audit.contains("revoke"), "{audit}");
}
