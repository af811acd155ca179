// SPDX-License-Identifier: Apache-2.0
//! The Kubernetes Gateway API's own routing cases. The rules of each model are shuffled. The Gateway API knows no 405:
//! a wrong method is a 404 there.

use std::collections::HashMap;

use serde_json::Value;

use super::{Sample, pattern, shuffle};
use crate::base::{Rng, RouteId, Scheme};
use crate::route::redirect::{Parts, Port, Redirect, RedirectRequest, Target};
use crate::route::rewrite::{HostRewrite, Original, PathRewrite, PrefixRewrite};
use crate::route::rule::FieldMatch;
use crate::route::split::Split;
use crate::route::{HostPattern, Params, RouteMatch, Rule, Table, ValueMatch};
use crate::wire::published::cases::data;
use crate::wire::template::{Lookup, Template, Variable};

/// Models of which more than routing, rewrites and redirects is asked: routing is checked here, the rest is the
/// matter of what is named.
const MORE_ELSEWHERE: [(&str, &str); 11] = [
    ("HTTPRouteBackendProtocolH2C", "h2c to the upstream"),
    ("HTTPRouteCORS", "the CORS policy's response fields and preflights"),
    ("HTTPRouteRequestHeaderModifierBackendWeights", "request fields"),
    ("HTTPRouteRequestHeaderModifier", "request fields"),
    ("HTTPRouteRequestMirror", "the mirrored copy"),
    ("HTTPRouteRequestMultipleMirrors", "the mirrored copies"),
    ("HTTPRouteResponseHeaderModifier", "response fields"),
    ("HTTPRouteRewriteHost", "request fields of one case"),
    ("HTTPRouteRewritePath", "request fields of two cases"),
    ("HTTPRouteTimeoutBackendRequest", "the 504 of one case"),
    ("HTTPRouteTimeoutRequest", "the 504 of one case"),
];
/// This model comes without rules, because it needs HTTPS listeners; its redirects are made from the names of its
/// paths.
const BY_NAME: &str = "HTTPRouteRedirectPortAndScheme";

/// One row of a model.
struct Row {
    rule: Rule,
    filters: Vec<Value>,
    backends: Vec<Value>,
}

struct Nothing;
impl Lookup for Nothing {
    fn append(&self, _: &Variable, _: &mut Vec<u8>) {}
}

#[test]
fn gateway_api_cases_pass() {
    let Some(file) = data("gateway-api-routes.json") else { return };
    let models: Vec<Value> = serde_json::from_str(&file).expect("the file is JSON");
    let (mut cases, mut failures) = (0, Vec::new());
    for model in &models {
        let name = text(&model["name"]);
        for seed in 0..8 {
            for (number, case) in list(&model["cases"]).iter().enumerate() {
                let checked = if name == BY_NAME { by_name(number, case) } else { check(model, case, seed) };
                cases += u32::from(seed == 0);
                failures.extend(checked.err().map(|why| format!("{name} {number} (seed {seed}): {why}")));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(cases, 218);
    let known = |name: &str| models.iter().any(|model| model["name"] == name);
    assert!(MORE_ELSEWHERE.iter().all(|(name, _)| known(name)));
}

fn check(model: &Value, case: &Value, seed: u64) -> Result<(), String> {
    let request = &case["Request"];
    let authority = request["Host"].as_str().unwrap_or("gateway.test");
    let (host, sent_port) = authority.split_once(':').unwrap_or((authority, ""));
    let ports: Vec<u64> = list(&model["listeners"]).iter().filter_map(|listener| listener["port"].as_u64()).collect();
    let port = sent_port.parse().ok().filter(|port| ports.contains(port)).unwrap_or(ports[0]);
    let mut rows: Vec<Row> = list(&model["rules"]).iter().filter(|rule| rule["port"] == port).map(row).collect();
    shuffle(&mut rows, &mut Rng::new(seed));
    for (row, number) in rows.iter_mut().zip(0..) {
        row.rule.route = RouteId(number);
    }
    let table = Table::build(rows.iter().map(|row| row.rule.clone()).collect()).table;

    let target = text(&request["Path"]);
    let mut sample = Sample::new(request["Method"].as_str().unwrap_or("GET"), host, target);
    for (name, value) in request["Headers"].as_object().into_iter().flatten() {
        sample = sample.header(name, text(value));
    }
    let row = match table.find(&sample.wanted(), &mut Params::default()) {
        RouteMatch::Route(route) => Some(&rows[route.0 as usize]),
        RouteMatch::MethodNotAllowed(_) | RouteMatch::None => None,
    };
    judge(row, case, authority, target, port as u16)
}

/// Compares what the row does with what the case wants.
fn judge(row: Option<&Row>, case: &Value, authority: &str, target: &str, port: u16) -> Result<(), String> {
    let status = case["Response"]["StatusCode"].as_u64().unwrap_or(200);
    let Some(row) = row else {
        return if status == 404 { Ok(()) } else { Err("no route".to_owned()) };
    };
    let split = Split::new(row.backends.iter().map(weight));
    let backend = |draw: u64| split.target(draw).map(|target| &row.backends[target]);
    let chosen = backend(0);
    let filter = |kind: &str| {
        let own = chosen.map_or(&[][..], |backend| list(&backend["filters"]));
        row.filters.iter().chain(own).find(|filter| filter["type"] == kind)
    };
    let original = original(target);
    if let Some(redirect) = filter("RequestRedirect") {
        let redirect = redirect_of(&redirect["requestRedirect"], &row.rule);
        let asked =
            RedirectRequest { scheme: Scheme::Http, authority: authority.as_bytes(), listener_port: port, original };
        return compare(&redirect, &asked, case);
    }
    match status {
        404 => return Err(format!("{} took it", row.rule.name)),
        500 => return if chosen.is_none() { Ok(()) } else { Err("has a backend".to_owned()) },
        _ => {}
    }
    if let Some(name) = case["Backend"].as_str()
        && chosen.is_none_or(|chosen| chosen["name"] != name)
    {
        return Err(format!("{} took it", row.rule.name));
    }
    weights_hold(row, &split)?;
    let rewrite = filter("URLRewrite").map(|filter| &filter["urlRewrite"]);
    let expected = &case["ExpectedRequest"]["Request"];
    if let Some(path) = expected["Path"].as_str().filter(|path| !path.is_empty()) {
        let mut out = Vec::new();
        match rewrite.and_then(|rewrite| path_rewrite(&rewrite["path"], &row.rule)) {
            Some(rewrite) if !rewrite.write(original, &Nothing, &mut out) => return Err("refused".to_owned()),
            Some(_) => {}
            None => out.extend_from_slice(target.as_bytes()),
        }
        same("path", &String::from_utf8_lossy(&out), path)?;
    }
    if let Some(host) = expected["Host"].as_str().filter(|host| !host.is_empty()) {
        let to = rewrite.and_then(|rewrite| rewrite["hostname"].as_str());
        let to = to.map_or(HostRewrite::Keep, |host| HostRewrite::Template(Template::compile(host, &[]).unwrap()));
        let mut out = Vec::new();
        assert!(to.write(authority.as_bytes(), b"", &Nothing, &mut out));
        same("host", &String::from_utf8_lossy(&out), host)?;
    }
    Ok(())
}

/// The redirects of the model without rules: scheme and port of a redirect stand in its path, listeners follow each
/// other.
fn by_name(number: usize, case: &Value) -> Result<(), String> {
    let (listener, listener_port) = match number {
        0..6 => (Scheme::Http, 80),
        6..9 => (Scheme::Http, 8080),
        _ => (Scheme::Https, 443),
    };
    let path = text(&case["Request"]["Path"]);
    let words: Vec<&str> = path.split('-').collect();
    let scheme = scheme(words[1]);
    let port = words[4].parse().map_or(Port::Listener, Port::Fixed);
    let host = Some(Template::compile("example.org", &[]).unwrap());
    let redirect = Redirect { status: 302, to: Target::Parts(Parts { scheme, host, port, path: None }) };
    let asked =
        RedirectRequest { scheme: listener, authority: b"gateway.test", listener_port, original: original(path) };
    compare(&redirect, &asked, case)
}

/// Compares a redirect with a case; what the case does not say stays as it was asked.
fn compare(redirect: &Redirect, asked: &RedirectRequest<'_>, case: &Value) -> Result<(), String> {
    let mut out = Vec::new();
    assert!(redirect.location(asked, &Nothing, &mut out));
    let location = String::from_utf8(out).unwrap();
    let wanted = &case["RedirectRequest"];
    let scheme = wanted["Scheme"].as_str().unwrap_or("http");
    let sent = std::str::from_utf8(asked.authority).unwrap();
    let host = wanted["Host"].as_str().unwrap_or(sent);
    let port = wanted["Port"].as_str().map_or(String::new(), |port| format!(":{port}"));
    let path = wanted["Path"].as_str().unwrap_or(std::str::from_utf8(asked.original.path).unwrap());
    same("location", &location, &format!("{scheme}://{host}{port}{path}"))?;
    same("status", &redirect.status.to_string(), &case["Response"]["StatusCode"].to_string())
}

/// Draws follow the weights, and what has none is never drawn.
fn weights_hold(row: &Row, split: &Split) -> Result<(), String> {
    let total: u32 = row.backends.iter().map(weight).sum();
    let (mut rng, mut counts) = (Rng::new(9), HashMap::new());
    for _ in 0..500 {
        *counts.entry(split.target(rng.next_u64())).or_insert(0_u32) += 1;
    }
    for (number, backend) in row.backends.iter().enumerate() {
        let (drawn, due) = (counts.get(&Some(number)).copied().unwrap_or(0), 500 * weight(backend) / total);
        if drawn.abs_diff(due) > 25 * u32::from(due > 0) {
            return Err(format!("target {number} was drawn {drawn} times of 500, not {due}"));
        }
    }
    Ok(())
}

fn row(model: &Value) -> Row {
    let path = text(&model["path"]["value"]);
    let path = if model["path"]["type"] == "Exact" { pattern(&format!("= {path}")) } else { pattern(path) };
    let order = list(&model["order"]);
    let name = format!("{}/{}/{:03}", text(&order[1]), text(&order[2]), order[3].as_u64().unwrap());
    let mut rule = Rule::new(&name, RouteId(0), path);
    rule.hosts = model["host"].as_str().map(|host| HostPattern::parse(host).unwrap()).into_iter().collect();
    rule.methods = model["method"].as_str().map(Into::into).into_iter().collect();
    rule.headers = fields(&model["headers"]);
    rule.query = fields(&model["query"]);
    Row { rule, filters: list(&model["filters"]).to_vec(), backends: list(&model["backends"]).to_vec() }
}

fn fields(model: &Value) -> Vec<FieldMatch> {
    let field = |field: &Value| FieldMatch {
        name: text(&field["name"]).into(),
        value: ValueMatch::Exact(text(&field["value"]).into()),
    };
    list(model).iter().map(field).collect()
}

/// A backend that cannot be resolved takes nothing, whatever its weight.
fn weight(backend: &Value) -> u32 {
    if backend["url"].is_null() { 0 } else { backend["weight"].as_u64().map_or(1, |weight| weight as u32) }
}

fn path_rewrite(model: &Value, rule: &Rule) -> Option<PathRewrite> {
    match model["type"].as_str()? {
        "ReplaceFullPath" => {
            Some(PathRewrite::Template(Template::compile(text(&model["replaceFullPath"]), &[]).unwrap()))
        }
        "ReplacePrefixMatch" => {
            let with = text(&model["replacePrefixMatch"]);
            Some(PathRewrite::Prefix(PrefixRewrite::new(&rule.path.to_string(), with)))
        }
        other => panic!("no such rewrite: {other}"),
    }
}

fn redirect_of(model: &Value, rule: &Rule) -> Redirect {
    let parts = Parts {
        scheme: model["scheme"].as_str().and_then(scheme),
        host: model["hostname"].as_str().map(|host| Template::compile(host, &[]).unwrap()),
        port: model["port"].as_u64().map_or(Port::Listener, |port| Port::Fixed(port as u16)),
        path: path_rewrite(&model["path"], rule),
    };
    let status = model["statusCode"].as_u64().unwrap_or(302) as u16;
    assert!(Redirect::is_status(status));
    Redirect { status, to: Target::Parts(parts) }
}

fn scheme(text: &str) -> Option<Scheme> {
    match text {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        _ => None,
    }
}

fn original(target: &str) -> Original<'_> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Original { path: path.as_bytes(), query: query.map(str::as_bytes) }
}

fn same(what: &str, ours: &str, theirs: &str) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what} is {ours}, not {theirs}")) }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
