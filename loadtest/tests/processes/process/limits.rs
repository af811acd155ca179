// SPDX-License-Identifier: Apache-2.0
//! Rate limits over the admin API and on the command line: who may look at a key and reset it, what is refused, and
//! that a reset holds for the next request on every thread.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::gateway::{WEB, binary};
use crate::harness::{Client, Gateway, Setup, run, wait_for};
use crate::process::admin_api::{TOKENS, admin, ask, turnpike};

/// Keys are a header, or a header and a variable; one limit counts each route for itself; one bans.
const LIMITS: &str = r#"
[policy.daily]
rate_limit = { windows = ["40/day"], key = "header:X-Key" }
[policy.regions]
rate_limit = { windows = ["5/day"], key = ["header:X-Key", "param:region"] }
[policy.routes]
rate_limit = { windows = ["5/day"], key = "everything", per_route = true }
[policy.banning]
rate_limit = { rate = "1/h", burst = 2, key = "header:X-Key", ban = { after = 3, within = "10m", for = "5m" } }
[[route]]
path = "/daily"
answer = { body = "in" }
policies = ["daily"]
[[route]]
path = "/regions/{region}"
answer = { body = "in" }
policies = ["regions"]
[[route]]
name = "one"
path = "/one"
answer = { body = "in" }
policies = ["routes"]
[[route]]
name = "two"
path = "/two"
answer = { body = "in" }
policies = ["routes"]
[[route]]
path = "/banning"
answer = { body = "in" }
policies = ["banning"]
"#;

/// What the store counts.
const QUOTA: usize = 60;

fn start() -> Gateway {
    Setup::new(format!("{TOKENS}{WEB}{LIMITS}")).log("").shards(2).server("watch = false").start()
}

fn in_store(folder: &Path) -> Gateway {
    let store = folder.join("turnpike.db");
    let config = format!(
        "{TOKENS}{WEB}[store]\npath = \"{}\"\n[policy.monthly]\nrate_limit = {{ windows = [\"100000/s\", \
         \"{QUOTA}/month\"], key = \"header:X-Key\", counted_in = \"store\" }}\n[[route]]\npath = \"/monthly\"\n\
         answer = {{ body = \"in\" }}\npolicies = [\"monthly\"]\n",
        store.display()
    );
    Setup::new(config).log("").shards(2).server("watch = false").start()
}

/// The statuses of so many requests, each on a connection of its own, which may be any thread's.
fn statuses(gateway: &Gateway, target: &str, key: &str, times: usize) -> Vec<u16> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n");
    (0..times).map(|_| Client::to(gateway.here()).ask(&request).status).collect()
}

/// How many of so many requests got which status.
fn counts(gateway: &Gateway, target: &str, key: &str, times: usize) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    statuses(gateway, target, key, times).into_iter().for_each(|status| *counts.entry(status).or_default() += 1);
    counts
}

fn reset(gateway: &Gateway, token: &str, limit: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let arguments = ["-X", "POST", "-H", "Content-Type: application/json", "-d", &body];
    ask(gateway, token, &arguments, &format!("/limits/{limit}/reset"))
}

#[test]
fn a_reset_is_for_operators_and_each_is_a_row_of_the_audit() {
    let gateway = start();
    let key = json!({ "key": ["acme"] });
    for (token, listed, shown, changed) in
        [("", 200, 401, 401), ("viewer", 200, 200, 403), ("operator", 200, 200, 200), ("admin", 200, 200, 200)]
    {
        assert_eq!(ask(&gateway, token, &[], "/limits").0, listed, "{token}");
        assert_eq!(ask(&gateway, token, &[], "/limits/daily/key?key=acme").0, shown, "{token}");
        assert_eq!(reset(&gateway, token, "daily", &key).0, changed, "{token}");
    }
    // What is refused is no row.
    assert_eq!(reset(&gateway, "operator", "none", &key).0, 404);
    assert_eq!(reset(&gateway, "operator", "regions", &key).0, 422);
    let (_, audit) = ask(&gateway, "admin", &[], "/audit");
    let rows: Vec<[&Value; 4]> = audit["items"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| [&row["by"], &row["action"], &row["object"], &row["after"]["key"]])
        .collect();
    let row = |by: &str| [json!(by), json!("reset"), json!("limits/daily"), json!(["acme"])];
    assert_eq!(rows, [row("ada").each_ref(), row("ott").each_ref()]);
    let (_, limits) = ask(&gateway, "", &[], "/limits");
    let names: Vec<&str> =
        limits["items"].as_array().expect("limits").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["banning", "daily", "regions", "routes"]);
}

#[test]
fn what_names_no_key_of_a_limit_is_refused_with_its_place() {
    let gateway = start();
    for path in ["/limits/none", "/limits/none/key?key=a"] {
        let (status, problem) = ask(&gateway, "operator", &[], path);
        assert_eq!((status, &problem["type"]), (404, &json!("urn:turnpike:problem:not-found")), "{path}");
    }
    let wrong = [
        ("daily", json!([]), Value::Null, "header"),
        ("daily", json!(["a", "b"]), Value::Null, "fewer values"),
        ("regions", json!(["a"]), Value::Null, "missing"),
        ("routes", json!([]), Value::Null, "`route` is missing"),
        ("daily", json!(["a"]), json!("one"), "`route` means nothing here"),
    ];
    for (limit, key, route, words) in wrong {
        let (status, problem) = reset(&gateway, "operator", limit, &json!({ "key": key, "route": route }));
        let fault = &problem["errors"][0];
        assert_eq!((status, &fault["pointer"]), (422, &json!("/key")), "{limit} {key}: {problem}");
        assert!(fault["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{limit} {key}: {problem}");
        let route = route.as_str().map(|route| format!("&route={route}")).unwrap_or_default();
        let list = key.to_string().replace('[', "%5B").replace(']', "%5D").replace('"', "%22");
        let (status, problem) = ask(&gateway, "operator", &[], &format!("/limits/{limit}/key?key={list}{route}"));
        assert_eq!((status, &problem["parameter"]), (400, &json!("key")), "{limit} {key}: {problem}");
    }
    for (body, pointer) in [(json!({}), ""), (json!({ "key": "a" }), "/key"), (json!({ "key": [], "kez": 1 }), "/kez")]
    {
        let (status, problem) = reset(&gateway, "operator", "daily", &body);
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}: {problem}");
    }
}

#[test]
fn a_reset_holds_for_the_next_request_on_every_thread_and_for_one_key_alone() {
    let gateway = start();
    for key in ["acme", "other"] {
        assert_eq!(counts(&gateway, "/daily", key, 60), [(200, 40), (429, 20)].into(), "{key}");
    }
    for round in 0..10 {
        let (status, state) = reset(&gateway, "operator", "daily", &json!({ "key": ["acme"] }));
        let windows = json!([{ "name": "daily", "counted_in": "memory", "quota": 40, "used": null }]);
        assert_eq!((status, &state["windows"]), (200, &windows), "{state}");
        let seen = statuses(&gateway, "/daily", "acme", 60);
        assert_eq!(seen[..40], [200; 40], "round {round}");
        assert_eq!(seen[40..], [429; 20], "round {round}");
    }
    assert_eq!(counts(&gateway, "/daily", "other", 8), [(429, 8)].into());
    // Each combination of parts is a key.
    for region in ["eu", "us"] {
        assert_eq!(counts(&gateway, &format!("/regions/{region}"), "acme", 8), [(200, 5), (429, 3)].into());
    }
    assert_eq!(reset(&gateway, "operator", "regions", &json!({ "key": ["acme", "eu"] })).0, 200);
    assert_eq!(counts(&gateway, "/regions/us", "acme", 4), [(429, 4)].into());
    assert_eq!(counts(&gateway, "/regions/eu", "acme", 8), [(200, 5), (429, 3)].into());
    // Each route counts for itself.
    for target in ["/one", "/two"] {
        assert_eq!(counts(&gateway, target, "", 8), [(200, 5), (429, 3)].into());
    }
    assert_eq!(reset(&gateway, "operator", "routes", &json!({ "key": [], "route": "one" })).0, 200);
    assert_eq!(counts(&gateway, "/two", "", 4), [(429, 4)].into());
    assert_eq!(counts(&gateway, "/one", "", 8), [(200, 5), (429, 3)].into());
}

#[test]
fn a_reset_lifts_a_ban() {
    let gateway = start();
    let request = "GET /banning HTTP/1.1\r\nHost: a\r\nX-Key: acme\r\n\r\n";
    // A ban is over long before there is room under the limit.
    let is_banned = || {
        let response = Client::to(gateway.here()).ask(request);
        let wait = response.field("retry-after").parse::<u32>();
        wait.is_ok_and(|seconds| seconds <= 300)
    };
    wait_for("a ban", || is_banned().then_some(()));
    assert_eq!(counts(&gateway, "/banning", "acme", 8), [(429, 8)].into());
    assert_eq!(reset(&gateway, "operator", "banning", &json!({ "key": ["acme"] })).0, 200);
    assert_eq!(statuses(&gateway, "/banning", "acme", 3), [200, 200, 429]);
}

#[test]
fn a_reset_of_a_quota_in_the_store_outlives_the_process() {
    let folder = TempDir::new().expect("a folder");
    let mut gateway = in_store(folder.path());
    let used = |gateway: &Gateway| {
        let (status, state) = ask(gateway, "viewer", &[], "/limits/monthly/key?key=acme");
        assert_eq!((status, &state["windows"][0]["counted_in"]), (200, &json!("memory")), "{state}");
        assert_eq!(state["windows"][1]["quota"], json!(QUOTA), "{state}");
        state["windows"][1]["used"].as_u64()
    };
    assert_eq!(used(&gateway), Some(0));
    assert_eq!(counts(&gateway, "/monthly", "acme", QUOTA + 20), [(200, QUOTA), (429, 20)].into());
    assert_eq!(used(&gateway), Some(QUOTA as u64));
    let (status, state) = reset(&gateway, "operator", "monthly", &json!({ "key": ["acme"] }));
    assert_eq!((status, &state["windows"][1]["used"]), (200, &json!(0)), "{state}");
    assert_eq!(used(&gateway), Some(0));
    assert_eq!(counts(&gateway, "/monthly", "acme", 30), [(200, 30)].into());
    gateway.signal("KILL");
    gateway.wait(Duration::from_secs(5));
    let gateway = in_store(folder.path());
    assert_eq!(used(&gateway), Some(30));
    assert_eq!(counts(&gateway, "/monthly", "acme", QUOTA), [(200, 30), (429, 30)].into());
}

#[test]
fn the_command_line_shows_limits_and_resets_keys() {
    let folder = TempDir::new().expect("a folder");
    let gateway = in_store(folder.path());
    assert_eq!(counts(&gateway, "/monthly", "acme", QUOTA + 5), [(200, QUOTA), (429, 5)].into());
    let done = |arguments: &[&str]| {
        let out = turnpike(&gateway, arguments);
        assert_eq!(out.code, 0, "{arguments:?}: {}", out.all());
        out.text()
    };
    let cells = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    // Shards report what they counted from time to time.
    wait_for("the counts", || {
        let listed: Value = serde_json::from_str(&done(&["limit", "list", "--output", "json"])).expect("JSON");
        let limit = &listed[0];
        let shown = (limit["name"].as_str()?, limit["admitted"].as_u64()?, limit["refused"].as_u64()?);
        (shown == ("monthly", QUOTA as u64, 5)).then_some(())
    });
    let list = cells(&done(&["limit", "list"]));
    assert_eq!((&list[0][0], &list[1][0], &list[1][2]), (&"LIMIT".into(), &"monthly".into(), &QUOTA.to_string()));
    let shown = cells(&done(&["limit", "show", "monthly", "acme"]));
    assert_eq!(shown[0], ["WINDOW", "COUNTED", "IN", "QUOTA", "USED", "LEFT"]);
    assert_eq!(shown[2][1..], ["store", "60", "60", "0"]);
    let json: Value =
        serde_json::from_str(&done(&["limit", "reset", "monthly", "acme", "--output", "json"])).expect("JSON");
    assert_eq!(
        (&json["limit"], &json["key"], &json["windows"][1]["used"]),
        (&json!("monthly"), &json!(["acme"]), &json!(0))
    );
    assert_eq!(cells(&done(&["limit", "show", "monthly", "acme"]))[2][1..], ["store", "60", "0", "60"]);
    assert_eq!(statuses(&gateway, "/monthly", "acme", 4), [200; 4]);
    assert!(done(&["audit"]).contains("limits/monthly"));
    let failed = |arguments: &[&str], code: i32, words: &str| {
        let out = turnpike(&gateway, arguments);
        assert!(out.code == code && out.all().contains(words), "{arguments:?}: {} {}", out.code, out.all());
    };
    failed(&["limit", "show", "none", "acme"], 3, "there is no rate limit `none`");
    failed(&["limit", "show", "monthly"], 6, "missing");
    failed(&["limit", "reset", "monthly", "a", "b"], 6, "fewer values");
    failed(&["limit", "reset", "monthly", "acme", "--route", "x"], 6, "means nothing here");
    std::fs::write(gateway.path("viewer"), "viewer-0123456789\n").expect("written");
    let url = format!("http://{}", admin(&gateway));
    let file = gateway.path("viewer").display().to_string();
    for (what, code) in [("show", 0), ("reset", 4)] {
        let out = run(binary(), &["limit", what, "monthly", "acme", "--server", &url, "--token-file", &file]);
        assert_eq!(out.code, code, "{}", out.all());
    }
}

/// Consumers of a plan, one of them with an app that has a plan of its own, and a plan for a product.
const PLANS: &str = r#"
[product.maps]
routes = ["maps"]
[plan.small]
limits = [{ count = 30, per = "month" }, { count = 1000, per = "1h" }]
[plan.large]
limits = [{ count = 50, per = "month" }]
[[consumer]]
name = "acme"
plan = "small"
plans = { maps = "large" }
keys = [{ sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" }]
[policy.keys.api_key]
header = "x-key"
[policy.sold.plan]
[[route]]
name = "all"
path = "/all"
answer = { body = "in" }
policies = ["keys", "sold"]
[[route]]
name = "maps"
path = "/maps"
answer = { body = "in" }
policies = ["keys", "sold"]
"#;

#[test]
fn the_windows_of_a_plan_are_shown_and_reset_for_each_product() {
    let folder = TempDir::new().expect("a folder");
    let store = folder.path().join("turnpike.db");
    let config = format!("{TOKENS}{WEB}[store]\npath = \"{}\"\n{PLANS}", store.display());
    let gateway = Setup::new(config).log("").shards(2).server("watch = false").start();
    assert_eq!(counts(&gateway, "/all", "abc", 40), [(200, 30), (429, 10)].into());
    assert_eq!(counts(&gateway, "/maps", "abc", 60), [(200, 50), (429, 10)].into());
    let windows = |path: &str| {
        let (status, state) = ask(&gateway, "viewer", &[], &format!("/limits/sold/key?key=acme{path}"));
        assert_eq!(status, 200, "{state}");
        state["windows"].clone()
    };
    let month = |used: u32, quota: u32, plan: &str| {
        let name = format!("{plan}-month");
        json!({ "name": name, "counted_in": "store", "quota": quota, "used": used })
    };
    let span = json!({ "name": "small-3600s", "counted_in": "memory", "quota": 1000, "used": null });
    assert_eq!(windows("&route=all"), json!([month(30, 30, "small"), span]));
    assert_eq!(windows(""), windows("&route=all"));
    assert_eq!(windows("&route=maps"), json!([month(50, 50, "large")]));
    let (status, _) = reset(&gateway, "operator", "sold", &json!({ "key": ["acme"], "route": "maps" }));
    assert_eq!(status, 200);
    assert_eq!(windows("&route=maps"), json!([month(0, 50, "large")]));
    assert_eq!(counts(&gateway, "/all", "abc", 5), [(429, 5)].into());
    assert_eq!(counts(&gateway, "/maps", "abc", 60), [(200, 50), (429, 10)].into());
    let wrong = [
        (json!(["nobody"]), "no consumer `nobody`"),
        (json!(["acme", "app"]), "no app `app`"),
        (json!([]), "a consumer"),
    ];
    for (key, words) in wrong {
        let (status, problem) = reset(&gateway, "operator", "sold", &json!({ "key": key }));
        let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
        assert!(status == 422 && detail.contains(words), "{key}: {problem}");
    }
}
