// SPDX-License-Identifier: Apache-2.0
//! Models of the Gateway API in our configuration.
//!
//! Says everything that our configuration can say, and names what it cannot say yet. It takes no decision of its own:
//! which rule goes first is left to the gateway, which gets the rules in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::{Value, json};

/// The configuration of a model, its rules shuffled by `seed`. An error names what cannot be said yet.
pub fn config(model: &Value, origins: &BTreeMap<String, SocketAddr>, seed: u64) -> Result<String, String> {
    let mut text = String::new();
    // Each on an address of its own, because an address with port 0 is one socket.
    for (host, port) in (1..).zip(ports(model)) {
        let _ = writeln!(text, "[[listener]]\nname = \"{}\"\nbind = \"127.0.0.{host}:0\"", listener(port));
        text.push_str("http2 = { cleartext = true }\n");
        if port == HTTPS {
            text.push_str("tls = { certificates = [{ cert = \"here.pem\", key = \"here.key\" }] }\n");
        }
    }
    for (name, address) in origins {
        let http = if speaks_http2(model, name) { "2" } else { "1.1" };
        let _ = writeln!(text, "[upstream.{name:?}]\nendpoints = \"{address}\"\nhttp = \"{http}\"");
    }
    let rules = list(&model["rules"]).iter().enumerate();
    let mut routes = rules.map(|(number, rule)| route(rule, number)).collect::<Result<Vec<_>, _>>()?;
    shuffle(&mut routes, seed);
    Ok(text + &routes.concat())
}

/// The port whose listener speaks TLS.
pub const HTTPS: u64 = 443;

/// The ports that a model listens on. Each gets a port of the kernel's choice and a name of its own.
pub fn ports(model: &Value) -> BTreeSet<u64> {
    list(&model["listeners"]).iter().filter_map(|listener| listener["port"].as_u64()).collect()
}

/// The name of a port's listener. Listeners that differ only in hostnames are one, because rules come with the hosts
/// that both allow.
pub fn listener(port: u64) -> String {
    format!("port-{port}")
}

/// The backends of a model that exist.
pub fn backends(model: &Value) -> BTreeSet<&str> {
    let all = list(&model["rules"]).iter().flat_map(|rule| list(&rule["backends"]));
    all.filter(|backend| !backend["url"].is_null()).map(|backend| text(&backend["name"])).collect()
}

/// Is a backend spoken to in HTTP/2 without TLS?
pub fn speaks_http2(model: &Value, name: &str) -> bool {
    let mut all = list(&model["rules"]).iter().flat_map(|rule| list(&rule["backends"]));
    all.any(|backend| backend["name"] == name && backend["proto"] == "kubernetes.io/h2c")
}

/// The model that comes without rules, because it needs a listener with TLS: its redirects are made from the names of
/// its paths, and its cases are told the port that they are sent to.
pub fn redirects_by_name(model: &Value) -> Value {
    let mut model = model.clone();
    let (mut rules, mut seen) = (Vec::new(), BTreeSet::new());
    for (number, case) in model["cases"].as_array_mut().into_iter().flatten().enumerate() {
        let port = match number {
            0..6 => 80,
            6..9 => 8080,
            _ => HTTPS,
        };
        case["port"] = port.into();
        let path = text(&case["Request"]["Path"]).to_owned();
        // `/scheme-SCHEME-and-port-PORT`, each of them `nil` where it is not given.
        let words: Vec<&str> = path.split('-').collect();
        let given = |word: &str| if word == "nil" { Value::Null } else { word.into() };
        let redirect = json!({
            "hostname": "example.org", "scheme": given(words[1]), "port": words[4].parse::<u16>().ok(),
        });
        if seen.insert((port, path.clone())) {
            rules.push(json!({
                "port": port, "path": { "type": "PathPrefix", "value": path }, "order": ["", "by-name", path, number],
                "filters": [{ "type": "RequestRedirect", "requestRedirect": redirect }],
            }));
        }
    }
    model["listeners"] = json!([{ "port": 80 }, { "port": 8080 }, { "port": HTTPS }]);
    model["rules"] = rules.into();
    model
}

/// One rule, which is one route, with the policy that it needs.
fn route(rule: &Value, number: usize) -> Result<String, String> {
    let order = list(&rule["order"]);
    // Where nothing else decides, the Gateway API takes the older one, then the smaller name, then the first rule: the
    // names of routes are made so that they say the same.
    let (age, space, name) = (text(&order[0]), text(&order[1]), text(&order[2]));
    let mut lines = format!("[[route]]\nname = \"{age}/{space}/{name}/{:03}/{number:03}\"\n", order[3]);
    let port = rule["port"].as_u64().expect("a rule has a port");
    let _ = writeln!(lines, "listeners = \"{}\"", listener(port));
    if let Some(host) = rule["host"].as_str() {
        let _ = writeln!(lines, "hosts = {host:?}");
    }
    let key = if rule["path"]["type"] == "Exact" { "path_exact" } else { "path_prefix" };
    let _ = writeln!(lines, "{key} = {:?}", text(&rule["path"]["value"]));
    if let Some(method) = rule["method"].as_str() {
        let _ = writeln!(lines, "methods = {method:?}");
    }
    let _ = writeln!(lines, "headers = {}\nquery = {}", named(&rule["headers"]), named(&rule["query"]));
    let filters = filters(rule)?;
    if filters.iter().all(|filter| filter["type"] != "RequestRedirect") {
        lines.push_str(&target(rule)?);
    }
    let mut policies = String::new();
    for filter in &filters {
        apply(filter, rule, number, (&mut lines, &mut policies))?;
    }
    Ok(policies + &lines)
}

/// The filters of a rule and of its backends. Those of a backend alone become the rule's. Those of several backends
/// are one only where they differ in nothing but the backend's name, for which there is a variable.
fn filters(rule: &Value) -> Result<Vec<Value>, String> {
    let own = |backend: &Value| {
        let (filters, name) = (backend["filters"].to_string(), text(&backend["name"]));
        if list(&rule["backends"]).len() > 1 { filters.replace(name, "{upstream}") } else { filters }
    };
    let mut of_backends = list(&rule["backends"]).iter().map(own);
    let first = of_backends.next().unwrap_or_else(|| "[]".to_owned());
    if of_backends.any(|other| other != first) {
        return Err("filters of single backends".to_owned());
    }
    let first: Value = serde_json::from_str(&first).expect("it was JSON");
    Ok([list(&rule["filters"]), list(&first)].concat())
}

/// Where a rule sends requests, and how long it waits. Without a backend that exists the Gateway API wants 500.
fn target(rule: &Value) -> Result<String, String> {
    let backends = list(&rule["backends"]);
    let missing = backends.iter().filter(|backend| backend["url"].is_null()).count();
    if missing == backends.len() {
        return Ok("answer = { status = 500 }\n".to_owned());
    }
    if missing > 0 {
        return Err("a split with a backend that does not exist".to_owned());
    }
    let part = |backend: &Value| {
        let weight = backend["weight"].as_u64().unwrap_or(1);
        format!("{{ upstream = {}, weight = {weight} }}", backend["name"])
    };
    Ok(format!("to = [{}]\n{}", joined(backends.iter().map(part)), timeouts(&rule["timeouts"])))
}

/// A rule's waits; zero is none. Without a `retry` of its own a rule tries once.
fn timeouts(timeouts: &Value) -> String {
    let mut lines = String::new();
    let wait = |key: &str| timeouts[key].as_str();
    if let Some(request) = wait("request") {
        let _ = writeln!(lines, "timeouts = {{ total = {:?} }}", if request == "0s" { "off" } else { request });
    }
    let per_try = wait("backendRequest").filter(|wait| *wait != "0s");
    let per_try = per_try.map_or(String::new(), |wait| format!(", per_try = {wait:?}"));
    let _ = writeln!(lines, "retry = {{ tries = 1{per_try} }}");
    lines
}

/// Writes what a filter does into a route's lines, and into policies where it needs one.
fn apply(filter: &Value, rule: &Value, number: usize, out: (&mut String, &mut String)) -> Result<(), String> {
    let (lines, policies) = out;
    match text(&filter["type"]) {
        "RequestRedirect" => {
            let _ = writeln!(lines, "redirect = {}", redirect(&filter["requestRedirect"], rule));
        }
        "URLRewrite" => {
            let rewrite = &filter["urlRewrite"];
            if let Some(host) = rewrite["hostname"].as_str() {
                let _ = writeln!(lines, "host = {host:?}");
            }
            if let Some(path) = path(&rewrite["path"]) {
                let _ = writeln!(lines, "rewrite = {{ {path} }}");
            }
        }
        "RequestHeaderModifier" => {
            let _ = writeln!(lines, "request_headers = {}", changes(&filter["requestHeaderModifier"]));
        }
        "ResponseHeaderModifier" => {
            let _ = writeln!(lines, "response_headers = {}", changes(&filter["responseHeaderModifier"]));
        }
        "CORS" => {
            let _ = writeln!(policies, "[policy.cors-{number}]\ncors = {}", cors(&filter["cors"]));
            let _ = writeln!(lines, "policies = \"cors-{number}\"");
        }
        "RequestMirror" => return Err("mirroring".to_owned()),
        other => return Err(other.to_owned()),
    }
    Ok(())
}

fn redirect(model: &Value, rule: &Value) -> String {
    let mut parts = vec![format!("status = {}", model["statusCode"].as_u64().unwrap_or(302))];
    parts.extend(model["scheme"].as_str().map(|scheme| format!("scheme = {scheme:?}")));
    parts.extend(model["hostname"].as_str().map(|host| format!("host = {host:?}")));
    parts.extend(model["port"].as_u64().map(|port| format!("port = {port}")));
    parts.extend(path(&model["path"]));
    if parts.len() == 1 {
        // A redirect to where the client is already. We take that for a mistake unless a part is named.
        parts.push(format!("prefix = {}", rule["path"]["value"]));
    }
    format!("{{ {} }}", parts.join(", "))
}

fn path(model: &Value) -> Option<String> {
    let full = model["replaceFullPath"].as_str().map(|path| format!("path = {path:?}"));
    full.or_else(|| model["replacePrefixMatch"].as_str().map(|prefix| format!("prefix = {prefix:?}")))
}

fn changes(model: &Value) -> String {
    let remove = joined(list(&model["remove"]).iter().map(Value::to_string));
    format!("{{ remove = [{remove}], set = {}, add = {} }}", named(&model["set"]), named(&model["add"]))
}

fn cors(model: &Value) -> String {
    let credentials = model["allowCredentials"] == true;
    // With credentials we refuse `"*"`, so that nobody opens everything without meaning it; a pattern says it aloud.
    let origin = |origin: &Value| match text(origin) {
        "*" if credentials => "\"~.*\"".to_owned(),
        origin => format!("{origin:?}"),
    };
    let mut parts = vec![
        format!("credentials = {credentials}"),
        format!("origins = [{}]", joined(list(&model["allowOrigins"]).iter().map(origin))),
    ];
    for (theirs, ours) in [("allowMethods", "methods"), ("allowHeaders", "headers"), ("exposeHeaders", "expose")] {
        // Without a list everything is allowed that is asked for.
        let items = list(&model[theirs]).iter().filter(|item| *item != "*").map(Value::to_string);
        parts.push(format!("{ours} = [{}]", joined(items)));
    }
    parts.extend(model["maxAge"].as_u64().map(|seconds| format!("max_age = \"{seconds}s\"")));
    format!("{{ {} }}", parts.join(", "))
}

/// A table of texts by name, from a list of objects with `name` and `value`.
fn named(model: &Value) -> String {
    let field = |field: &Value| format!("{} = {}", field["name"], field["value"]);
    format!("{{ {} }}", joined(list(model).iter().map(field)))
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// The same order for the same seed (Fisher and Yates, with the numbers of an xorshift).
fn shuffle(routes: &mut [String], seed: u64) {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ seed;
    for end in (1..routes.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        routes.swap(end, usize::try_from(state % (end as u64 + 1)).expect("no more than there are"));
    }
}

/// A text; empty where it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list; empty where it is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
