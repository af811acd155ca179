// SPDX-License-Identifier: Apache-2.0
//! The Kubernetes Gateway API's own routing cases, as requests to a process: each model becomes a configuration with
//! shuffled rules, each case a request, and an origin for each backend tells what it received.
//!
//! What our configuration cannot say yet stands in `LEFT_OUT`, and nothing else is left out.

mod adapter;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use self::adapter::{HTTPS, backends, list, listener, ports, text};
use crate::harness::certificates::Authority;
use crate::harness::http2::Origin2;
use crate::harness::message::{Fields, Request};
use crate::harness::strict;
use crate::harness::{Client, Gateway, Origin, Setup, curl};
use crate::published::cases::data;

/// Models that need what comes later: their names, how many cases they have, and the reason.
const LEFT_OUT: [(&str, usize, &str); 2] =
    [("HTTPRouteRequestMirror", 2, "mirroring"), ("HTTPRouteRequestMultipleMirrors", 2, "mirroring")];
/// All cases of the file.
const CASES: usize = 218;
/// Orders of the rules.
const SEEDS: u64 = 3;
/// The model without rules.
const BY_NAME: &str = "HTTPRouteRedirectPortAndScheme";
/// Whom a case asks that names nobody.
const ANYBODY: &str = "gateway.test";
/// Models that run at the same time.
const THREADS: usize = 4;
/// Requests over which a split is counted.
const DRAWS: u32 = 500;

/// What came of a model.
struct Outcome {
    name: String,
    passed: usize,
    left_out: Option<(usize, String)>,
    failures: Vec<String>,
}

/// What a client got.
struct Got {
    status: u16,
    fields: Fields,
}

#[test]
fn gateway_api_cases_pass() {
    let Some(text) = data("gateway-api-routes.json") else { return };
    let models: Vec<Value> = serde_json::from_str(&text).expect("the file is JSON");
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(model) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run(model);
                    outcomes.lock().expect("nobody panics with it").push(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("nobody panicked with it");
    let failures: Vec<String> = outcomes.iter().flat_map(|outcome| outcome.failures.clone()).collect();
    let mut left_out: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.left_out.as_ref().map(|(cases, why)| (&*outcome.name, *cases, &**why)))
        .collect();
    left_out.sort_unstable();
    let passed: usize = outcomes.iter().map(|outcome| outcome.passed).sum();
    println!("{passed} of {CASES} cases passed in {SEEDS} orders each; left out: {left_out:?}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(left_out, LEFT_OUT);
    assert_eq!(passed, CASES - LEFT_OUT.iter().map(|(_, cases, _)| cases).sum::<usize>());
}

/// Runs the cases of a model in each order of its rules. A case passes where it passes in all of them.
fn run(model: &Value) -> Outcome {
    let name = text(&model["name"]).to_owned();
    let made = (name == BY_NAME).then(|| adapter::redirects_by_name(model));
    let model = made.as_ref().unwrap_or(model);
    let named = |name: &str| (name.to_owned(), Backend::start(model, name));
    let origins: BTreeMap<String, Backend> = backends(model).into_iter().map(named).collect();
    let addresses = origins.iter().map(|(name, origin)| (name.clone(), origin.address())).collect();
    let cases = list(&model["cases"]);
    let mut passes = vec![true; cases.len()];
    let mut failures = Vec::new();
    for seed in 0..SEEDS {
        let config = match adapter::config(model, &addresses, seed) {
            Ok(config) => config,
            Err(why) => return Outcome { name, passed: 0, left_out: Some((cases.len(), why)), failures },
        };
        let gateway = start(config);
        let world = World { gateway, model, origins: &origins };
        for (number, case) in cases.iter().enumerate() {
            if let Err(why) = world.check(case) {
                passes[number] = false;
                failures.push(format!("{name} {number} (seed {seed}): {why}"));
            }
        }
        failures.extend(world.weights().err().map(|why| format!("{name} (seed {seed}): {why}")));
    }
    Outcome { name, passed: passes.iter().filter(|pass| **pass).count(), left_out: None, failures }
}

fn start(config: String) -> Gateway {
    let pair = Authority::new("test authority").sign(&["example.org"]);
    Setup::new(config).file("here.pem", &pair.certificate).file("here.key", &pair.key).start()
}

/// An origin that says its name, waits as the query's `delay` says, and sets the fields that `x-echo-set` names.
fn origin(name: &str) -> Origin {
    let name = name.to_owned();
    Origin::with(move |peer| {
        loop {
            let request = peer.request()?;
            if request.target.ends_with("?delay=1s") {
                peer.pause(1000);
            }
            let mut head = format!("HTTP/1.1 200 OK\r\nX-Origin: {name}\r\nContent-Length: 0\r\n");
            for field in request.fields.all("x-echo-set") {
                let _ = write!(head, "{field}\r\n");
            }
            peer.send(head + "\r\n");
        }
    })
}

/// What stands behind the gateway.
enum Backend {
    /// Says its name.
    Http1(Origin),
    /// By prior knowledge, and nothing else.
    Http2(Origin2),
}

impl Backend {
    fn start(model: &Value, name: &str) -> Backend {
        match adapter::speaks_http2(model, name) {
            true => Backend::Http2(Origin2::start()),
            false => Backend::Http1(origin(name)),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Backend::Http1(origin) => origin.address,
            Backend::Http2(origin) => origin.address,
        }
    }

    /// The requests that came over HTTP/1.1.
    fn requests(&self) -> Vec<Request> {
        match self {
            Backend::Http1(origin) => origin.requests(),
            Backend::Http2(_) => Vec::new(),
        }
    }
}

/// A gateway with a model's rules, and what stands behind it.
struct World<'a> {
    gateway: Gateway,
    model: &'a Value,
    origins: &'a BTreeMap<String, Backend>,
}

impl World<'_> {
    /// Sends a case and compares what comes of it.
    fn check(&self, case: &Value) -> Result<(), String> {
        let got = self.ask(case);
        status_fits(&got, case)?;
        fields_fit(&got.fields, &case["Response"])?;
        match got.fields.value("x-origin") {
            Some(origin) => self.origin_fits(origin, case)?,
            None if self.came_over_http2(case) => {}
            None if case["Backend"].is_string() || got.status == 200 => return Err("no backend answered".to_owned()),
            None => {}
        }
        if case["RedirectRequest"].is_object() {
            same("location", got.fields.value("location").unwrap_or(""), &self.location(case))?;
        }
        Ok(())
    }

    /// The port that a case is sent to, by its number in the model.
    fn port(&self, case: &Value) -> u64 {
        let ports = ports(self.model);
        let sent = text(&case["Request"]["Host"]).rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let sent = sent.filter(|port| ports.contains(port)).or(case["port"].as_u64());
        sent.unwrap_or_else(|| *ports.first().expect("a model listens somewhere"))
    }

    /// The Host of a case. A port that does not go without saying is said, as clients do.
    fn host(&self, case: &Value) -> String {
        match (case["Request"]["Host"].as_str(), self.port(case)) {
            (Some(host), _) => host.to_owned(),
            (None, 80 | HTTPS) => ANYBODY.to_owned(),
            (None, port) => format!("{ANYBODY}:{port}"),
        }
    }

    fn ask(&self, case: &Value) -> Got {
        let port = self.port(case);
        let address = self.gateway.address(&listener(port));
        let (target, host) = (text(&case["Request"]["Path"]), self.host(case));
        let speech = match (port, text(&case["Request"]["Protocol"])) {
            (HTTPS, _) => Some(("https", "--insecure")),
            (_, "H2C_PRIOR_KNOWLEDGE") => Some(("http", "--http2-prior-knowledge")),
            _ => None,
        };
        if let Some((scheme, option)) = speech {
            let (header, url) = (format!("Host: {host}"), format!("{scheme}://{address}{target}"));
            let out = curl(&[option, "--include", "--header", &header, &url]);
            let end = strict::end_of_head(&out.stdout).unwrap_or_else(|| panic!("no head: {}", out.all()));
            let (first, fields) = strict::head(&out.stdout[..end]).expect("a head");
            let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            return Got { status, fields };
        }
        let mut request = format!("{} {target} HTTP/1.1\r\nHost: {host}\r\n", method(case));
        for (name, value) in pairs(&case["Request"]["Headers"]) {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        for (name, value) in pairs(&case["BackendSetResponseHeaders"]) {
            let _ = write!(request, "X-Echo-Set: {name}: {value}\r\n");
        }
        let answer = Client::to(address).ask(request + "\r\n");
        Got { status: answer.status, fields: answer.fields }
    }

    /// Did the case's backend, which speaks HTTP/2 alone, get a request for the case's path?
    fn came_over_http2(&self, case: &Value) -> bool {
        let Some(Backend::Http2(origin)) = self.origins.get(text(&case["Backend"])) else { return false };
        let fields = &origin.last()["fields"];
        list(fields).contains(&json!([":path", case["Request"]["Path"]]))
    }

    /// The right origin got the request, and as it should be. What a case does not say stays as it was sent.
    fn origin_fits(&self, origin: &str, case: &Value) -> Result<(), String> {
        same("backend", origin, case["Backend"].as_str().unwrap_or(origin))?;
        let received = self.origins[origin].requests().pop().ok_or("no request came")?;
        let (sent, expected) = (&case["Request"], &case["ExpectedRequest"]);
        let wanted = &expected["Request"];
        let said =
            |wanted: &Value, sent: &str| wanted.as_str().filter(|text| !text.is_empty()).unwrap_or(sent).to_owned();
        same("method", &received.method, &said(&wanted["Method"], method(case)))?;
        same("path", &received.target, &said(&wanted["Path"], text(&sent["Path"])))?;
        same("host", received.field("host"), &said(&wanted["Host"], &self.host(case)))?;
        let fields = if expected.is_object() { &wanted["Headers"] } else { &sent["Headers"] };
        for (name, value) in pairs(fields) {
            same(name, &all(&received.fields, name), value)?;
        }
        absent(&received.fields, &expected["AbsentHeaders"])
    }

    fn location(&self, case: &Value) -> String {
        let wanted = &case["RedirectRequest"];
        let host = self.host(case);
        let host = host.split(':').next().unwrap_or("");
        let scheme = if self.port(case) == HTTPS { "https" } else { "http" };
        let port = wanted["Port"].as_str().map_or(String::new(), |port| format!(":{port}"));
        let path = wanted["Path"].as_str().unwrap_or(text(&case["Request"]["Path"]));
        let (scheme, host) = (wanted["Scheme"].as_str().unwrap_or(scheme), wanted["Host"].as_str().unwrap_or(host));
        format!("{scheme}://{host}{port}{path}")
    }

    /// Where a model splits requests, each backend gets its share, and knows itself by the `Backend` field where the
    /// rule sets that.
    fn weights(&self) -> Result<(), String> {
        let split = list(&self.model["rules"]).iter().find(|rule| list(&rule["backends"]).len() > 1);
        let Some(rule) = split else { return Ok(()) };
        let before: BTreeMap<&str, usize> =
            self.origins.iter().map(|(name, origin)| (&**name, origin.requests().len())).collect();
        let mut client = Client::to(self.gateway.address(&listener(80)));
        let request = format!("GET {} HTTP/1.1\r\nHost: {ANYBODY}\r\n\r\n", text(&rule["path"]["value"]));
        for _ in 0..DRAWS {
            assert_eq!(client.ask(&request).status, 200);
        }
        let total: u64 = list(&rule["backends"]).iter().filter_map(|backend| backend["weight"].as_u64()).sum();
        for backend in list(&rule["backends"]) {
            let name = text(&backend["name"]);
            let requests = self.origins[name].requests();
            let requests = &requests[before[name]..];
            let share = backend["weight"].as_u64().unwrap_or(1) as f64 / total as f64;
            let (got, due) = (requests.len() as f64, share * f64::from(DRAWS));
            // Six standard deviations of what chance does; a share of none is exactly none.
            if (got - due).abs() > 6.0 * (due * (1.0 - share)).sqrt() {
                return Err(format!("{name} got {got} of {DRAWS} requests, not about {due}"));
            }
            let told = |request: &Request| request.field("backend") == name;
            if !list(&backend["filters"]).is_empty() && !requests.iter().all(told) {
                return Err(format!("a request to {name} names another backend"));
            }
        }
        Ok(())
    }
}

/// The status is one of those that the case allows. Where the method alone is wrong the Gateway API knows only 404; we
/// say 405 with `Allow`, as RFC 9110 section 15.5.6 has it. There HEAD is a method like any other; here it goes where
/// GET goes (section 9.3.2).
fn status_fits(got: &Got, case: &Value) -> Result<(), String> {
    let response = &case["Response"];
    let several = list(&response["StatusCodes"]).iter().filter_map(Value::as_u64);
    let mut allowed: Vec<u64> = several.chain(response["StatusCode"].as_u64()).collect();
    if allowed.is_empty() {
        allowed.push(200);
    }
    let refused = |method: &str| got.fields.value("allow").is_some_and(|all| all.split(", ").all(|one| one != method));
    if got.status == 405 && allowed == [404] && refused(method(case)) {
        return Ok(());
    }
    if got.status == 200 && allowed == [404] && method(case) == "HEAD" {
        return Ok(());
    }
    let fits = allowed.contains(&got.status.into());
    if fits { Ok(()) } else { Err(format!("status {}, not {allowed:?}", got.status)) }
}

/// The fields of an answer are as the case wants them.
fn fields_fit(fields: &Fields, response: &Value) -> Result<(), String> {
    for (name, value) in pairs(&response["Headers"]) {
        same(name, &all(fields, name), value)?;
    }
    let squeezed = |text: &str| match response["IgnoreWhitespace"].as_bool() {
        Some(true) => text.replace(' ', ""),
        Some(false) | None => text.to_owned(),
    };
    for (name, values) in response["ValidHeaderValues"].as_object().into_iter().flatten() {
        let got = squeezed(&all(fields, name));
        if list(values).iter().all(|value| squeezed(text(value)) != got) {
            return Err(format!("{name} is {got:?}, not one of {values}"));
        }
    }
    absent(fields, &response["AbsentHeaders"])
}

fn absent(fields: &Fields, names: &Value) -> Result<(), String> {
    let there = list(names).iter().find(|name| fields.has(text(name)));
    there.map_or(Ok(()), |name| Err(format!("{name} is there")))
}

/// All values of a field as one.
fn all(fields: &Fields, name: &str) -> String {
    fields.all(name).collect::<Vec<_>>().join(",")
}

fn method(case: &Value) -> &str {
    case["Request"]["Method"].as_str().unwrap_or("GET")
}

fn pairs(table: &Value) -> impl Iterator<Item = (&str, &str)> {
    table.as_object().into_iter().flatten().map(|(name, value)| (&**name, text(value)))
}

fn same(what: &str, ours: &str, theirs: &str) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what} is {ours:?}, not {theirs:?}")) }
}
