// SPDX-License-Identifier: Apache-2.0
//! `turnpike explain`: describes what a plan would do with a request (listener, client, route, policies in order,
//! upstream) and why the nearest other routes do not match. Sends nothing.
//!
//! The request is serialised and then read by the same parser, normaliser and table as real ones.

mod grpc;
mod line;
mod subject;

use std::net::IpAddr;

use crate::balance::Algorithm;
use crate::base::{Address, PolicyId, RouteId, Scheme};
use crate::cel::Subject;
use crate::config::explain::grpc::Called;
use crate::config::explain::line::line;
use crate::config::explain::subject::Unrouted;
use crate::config::plan::{
    Action, Alternatives, Condition, FixedAnswer, ListenerPlan, Plan, ProxyPlan, RoutePlan, Underscores, UpstreamPlan,
};
use crate::policy::{Phase, cors};
use crate::route::redirect::{Redirect, RedirectRequest};
use crate::route::rewrite::{HostRewrite, Original};
use crate::route::{BodyView, Explanation, RouteMatch, RouteQuery};
use crate::wire::change::{self, Change};
use crate::wire::content::{BodyType, Content};
use crate::wire::field::Known;
use crate::wire::forwarded::Inbound;
use crate::wire::h1::Parsed;
use crate::wire::h1::request;
use crate::wire::head::{Method, Request, RequestHead};
use crate::wire::query;
use crate::wire::target::{self, Normalised};
use crate::wire::template::{self, Lookup, Variable};

/// The request that is asked about.
#[derive(Clone, Debug)]
pub(crate) struct ExplainRequest {
    /// Its method.
    pub method: String,
    /// `http://HOST[:PORT]/PATH`, `https://…`, or `/PATH`.
    pub url: String,
    /// Fields: name, value. A `Host` here goes before that of the URL.
    pub headers: Vec<(String, String)>,
    /// Where the connection comes from.
    pub source: IpAddr,
    /// Its body.
    pub body: Option<String>,
}

/// The question, taken apart.
struct Case {
    scheme: Scheme,
    port: u16,
    bytes: Vec<u8>,
    head: RequestHead,
    host: Vec<u8>,
    path: Vec<u8>,
    client: IpAddr,
}

/// Describes what `plan` would do with a request. The error says why it would be refused before routing. What came from
/// a variable or a secret file is shown as the file has it.
pub(crate) fn explain(plan: &Plan, question: &ExplainRequest) -> Result<String, String> {
    let shown = described(plan, question);
    shown.map(|words| plan.hidden.conceal(&words)).map_err(|words| plan.hidden.conceal(&words))
}

fn described(plan: &Plan, question: &ExplainRequest) -> Result<String, String> {
    let (scheme, authority, target) = taken_apart(&question.url)?;
    let port = port_of(scheme, &authority);
    let (listener, note) = listener(plan, scheme, port)?;
    let mut out = format!("{} {} from {}\n\n", question.method, question.url, question.source);
    line(&mut out, "listener", &listener_words(listener));
    note.iter().for_each(|note| line(&mut out, "", note));
    let case = case(listener, question, (scheme, port), &authority, &target)?;
    if case.client != question.source {
        line(&mut out, "client", &format!("{}, as a trusted proxy says", case.client));
    }
    let sent = case.request().path();
    let shown = String::from_utf8_lossy(&case.path);
    match case.path == sent {
        true => line(&mut out, "path", &shown),
        false => line(&mut out, "path", &format!("{shown}, from {}", String::from_utf8_lossy(sent))),
    }
    policies(&mut out, plan, (&listener.policies, listener.alternatives), "before");
    let content = content(question, case.request())?;
    let body = match (&question.body, &content) {
        (None, _) => BodyView::Unread,
        (Some(_), None) => BodyView::Other,
        (Some(_), Some(content)) => BodyView::Read(content),
    };
    let (host, path) = (&case.host[..], &case.path[..]);
    let wanted = RouteQuery { request: case.request(), host, path, source: case.client, body };
    let unrouted = Unrouted {
        request: case.request(),
        host: &case.host,
        path: &case.path,
        client: case.client,
        scheme: case.scheme,
        countries: plan.countries.as_deref(),
    };
    let explanation = unrouted.with_facts(|facts| {
        preflight(plan, listener, &wanted, facts).unwrap_or_else(|| listener.table.explain(&wanted, facts))
    });
    if question.body.is_none() && listener.table.asks_body() && case.head.method != Method::Get {
        line(&mut out, "body", "some routes ask for values in it; they are taken to be there (--body says what it is)");
    }
    match explanation.found {
        RouteMatch::Route(id) => chosen(&mut out, plan, &case, &explanation, id),
        RouteMatch::MethodNotAllowed(methods) => {
            let names: Vec<&str> = listener.table.method_names(methods).collect();
            line(&mut out, "route", &format!("none: 405, with `Allow: {}`", names.join(", ")));
        }
        RouteMatch::None => line(&mut out, "route", "none: 404"),
    }
    for (index, other) in explanation.others.iter().enumerate() {
        let reasons: Vec<String> = other.reasons.iter().map(ToString::to_string).collect();
        let words = format!("{} ({}): {}", other.name, other.path, reasons.join("; "));
        line(&mut out, if index == 0 { "not" } else { "" }, &words);
    }
    Ok(out)
}

/// What the body says, where it is of a type that routes may ask about.
fn content(question: &ExplainRequest, request: Request<'_>) -> Result<Option<Content>, String> {
    let kind = BodyType::of(request.value(Known::ContentType).unwrap_or_default());
    let Some((body, kind)) = question.body.as_ref().zip(kind) else { return Ok(None) };
    let read = Content::read(kind, body.as_bytes());
    read.map(Some).map_err(|_| "refused where a route asks for the body: 400 (routing_body_malformed)".to_owned())
}

/// Where a CORS preflight goes: to the route of the method that it asks for, where that one answers preflights.
fn preflight(
    plan: &Plan,
    listener: &ListenerPlan,
    wanted: &RouteQuery<'_>,
    subject: &impl Subject,
) -> Option<Explanation> {
    let bytes = wanted.request.bytes;
    let asked = cors::asked_method(wanted.request)?;
    let mut head = wanted.request.head.clone();
    (head.method, head.method_text) = (Method::of(asked.of(bytes)), asked);
    let explanation =
        listener.table.explain(&RouteQuery { request: Request { bytes, head: &head }, ..*wanted }, subject);
    let RouteMatch::Route(id) = explanation.found else { return None };
    plan.route(id).answers_preflights.then_some(explanation)
}

/// Scheme, authority (empty for a bare path) and target of a URL.
pub(crate) fn taken_apart(url: &str) -> Result<(Scheme, String, String), String> {
    if url.starts_with('/') {
        return Ok((Scheme::Http, String::new(), url.to_owned()));
    }
    let (scheme, rest) = url.split_once("://").ok_or("a URL begins with http://, https:// or /")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Scheme::Http,
        "https" | "wss" => Scheme::Https,
        other => return Err(format!("unknown scheme `{other}`: use http:// or https://")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let target = target.split('#').next().unwrap_or("");
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((scheme, authority.to_owned(), format!("{slash}{target}")))
}

/// The port of an authority; the scheme's own where it names none.
pub(crate) fn port_of(scheme: Scheme, authority: &str) -> u16 {
    authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(scheme.default_port())
}

/// The listener on that port, or the first with that scheme, with a note on what was assumed.
pub(crate) fn listener(plan: &Plan, scheme: Scheme, port: u16) -> Result<(&ListenerPlan, Option<String>), String> {
    let speaks = |listener: &&ListenerPlan| listener.tls.is_some() == (scheme == Scheme::Https);
    let on_port = |listener: &&ListenerPlan| {
        listener.bind.iter().any(|bind| matches!(bind, Address::Inet(address) if address.port() == port))
    };
    if let Some(exact) = plan.listeners.iter().find(|listener| on_port(listener) && speaks(listener)) {
        return Ok((exact, None));
    }
    let scheme = scheme.name();
    let first = plan.listeners.iter().find(speaks).or(plan.listeners.first()).ok_or("the plan has no listener")?;
    Ok((first, Some(format!("(none speaks {scheme} on port {port}; this one is assumed)"))))
}

fn listener_words(listener: &ListenerPlan) -> String {
    let binds: Vec<String> = listener.bind.iter().map(ToString::to_string).collect();
    let tls = if listener.tls.is_some() { "TLS" } else { "plain HTTP" };
    format!("{} ({}, {tls})", listener.name, binds.join(", "))
}

fn case(
    listener: &ListenerPlan,
    question: &ExplainRequest,
    (scheme, port): (Scheme, u16),
    authority: &str,
    target: &str,
) -> Result<Case, String> {
    let mut bytes = format!("{} {target} HTTP/1.1\r\n", question.method).into_bytes();
    if !question.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        let host = if authority.is_empty() { "localhost" } else { authority };
        bytes.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
    }
    for (name, value) in &question.headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    if let Some(encoded) = request::encode_target(&bytes, &listener.caps) {
        bytes = encoded;
    }
    let mut head = RequestHead::default();
    match request::parse(&bytes, &listener.caps, &mut head) {
        Ok(Parsed::Complete) => {}
        Ok(Parsed::Partial) => {
            return Err("the request is not complete: a line break in the method or a field?".to_owned());
        }
        Err(fault) => return Err(format!("refused before it is routed: {} ({})", fault.status(), fault.name())),
    }
    if listener.underscores == Underscores::Dropped {
        head.fields.drop_underscored(&bytes);
    }
    let request = Request { bytes: &bytes, head: &head };
    let mut path = Vec::new();
    match target::normalise(request.path(), &listener.path_rules, &mut path) {
        Ok(Normalised::Unchanged) => path = request.path().to_vec(),
        Ok(Normalised::Written) => {}
        Err(fault) => return Err(format!("refused before it is routed: {} ({})", fault.status(), fault.name())),
    }
    let inbound = Inbound { peer: Some(question.source), scheme, port };
    let client = listener.forwarded.client(&inbound, request).address.unwrap_or(question.source);
    let host = host_of(request.authority());
    Ok(Case { scheme, port, host, path, client, bytes, head })
}

/// The host of an authority in lower case, without its port.
fn host_of(authority: &[u8]) -> Vec<u8> {
    let bracket = authority.iter().rposition(|byte| *byte == b']');
    let colon = authority.iter().rposition(|byte| *byte == b':').filter(|at| bracket.is_none_or(|end| *at > end));
    authority[..colon.unwrap_or(authority.len())].to_ascii_lowercase()
}

impl Case {
    fn request(&self) -> Request<'_> {
        Request { bytes: &self.bytes, head: &self.head }
    }
}

fn chosen(out: &mut String, plan: &Plan, case: &Case, explanation: &Explanation, id: RouteId) {
    let route = plan.route(id);
    line(out, "route", &route.name);
    let mut params = Vec::new();
    if let Some(chosen) = &explanation.chosen {
        line(out, "", &format!("host {}, path {}", chosen.host, chosen.path));
        for (name, value) in &chosen.params {
            line(out, "", &format!("{{{name}}} = {value}"));
            params.push(value.clone());
        }
    }
    let words = RequestValues { case, route, params: &params };
    policies(out, plan, (&route.policies, route.alternatives), "policies");
    if route.body_bytes_max != u64::MAX {
        line(out, "body", &format!("at most {} bytes", route.body_bytes_max));
    }
    match &route.action {
        Action::Proxy(proxy) => forward(out, plan, proxy, &words),
        Action::Redirect(redirect) => redirected(out, redirect, &words),
        Action::Answer(answer) => answered(out, answer, &words),
        Action::Echo => line(out, "answer", "200, a description of the request itself"),
    }
    field_changes(out, "response", &route.response_fields, &words);
}

fn policies(out: &mut String, plan: &Plan, (policies, alternatives): (&[(Phase, PolicyId)], Alternatives), what: &str) {
    let mut before = "";
    for (index, (phase, policy)) in policies.iter().enumerate() {
        let policy = plan.policy(*policy);
        let phase = format!("{phase:?}").to_lowercase();
        let when = match &policy.condition {
            Condition::When(program) => format!(", when {}", program.text()),
            Condition::Always | Condition::Never => String::new(),
        };
        let choice = match (alternatives.contains(index), before) {
            (true, "") => "one of: ",
            (true, _) => "or ",
            (false, _) => "",
        };
        before = choice;
        let words = format!("{choice}{} ({}, in the phase `{phase}`{when})", policy.name, policy.policy.kind());
        line(out, if index == 0 { what } else { "" }, &words);
    }
}

fn forward(out: &mut String, plan: &Plan, proxy: &ProxyPlan, words: &RequestValues<'_>) {
    for (index, id) in proxy.upstreams.iter().enumerate() {
        upstream(out, plan.upstream(*id), if index == 0 { "upstream" } else { "or" });
    }
    let request = words.case.request();
    let mut target = Vec::new();
    let original = Original { path: &words.case.path, query: request.head.query.map(|query| query.of(request.bytes)) };
    match &proxy.rewrite {
        Some(rewrite) if !rewrite.write(original, words, &mut target) => {
            return line(out, "sends", "nothing: the rewritten target is no path, so 400");
        }
        Some(_) => {}
        None => {
            target.extend_from_slice(original.path);
            if let Some(query) = original.query {
                target.push(b'?');
                target.extend_from_slice(query);
            }
        }
    }
    let host = match &proxy.host {
        HostRewrite::Keep => String::from_utf8_lossy(request.authority()).into_owned(),
        HostRewrite::Upstream => "(the endpoint's)".to_owned(),
        HostRewrite::Template(template) => words.render(template),
    };
    let called = proxy.grpc.as_ref().map_or(Called::None, |grpc| grpc::explain(out, plan, grpc, (request, &target)));
    let sent = match called {
        Called::Nothing => return,
        Called::Method(path) => format!("POST {path}"),
        Called::None => {
            let method = String::from_utf8_lossy(request.method_text());
            format!("{method} {}", String::from_utf8_lossy(&target))
        }
    };
    line(out, "sends", &format!("{sent} with Host: {host}"));
    field_changes(out, "request", &words.route.request_fields, words);
    let total = proxy.total.map_or_else(String::new, |total| format!(", {total:?} in all"));
    line(
        out,
        "timeouts",
        &format!("{:?} until the response's headers, {:?} between its parts{total}", proxy.first_byte, proxy.idle),
    );
    line(out, "attempts", &proxy.retry.tries.to_string());
}

fn upstream(out: &mut String, upstream: &UpstreamPlan, what: &str) {
    let balance = match upstream.cluster.algorithm {
        Algorithm::RoundRobin => "round robin",
        Algorithm::LeastRequests => "least requests",
        Algorithm::TwoChoices => "power of two choices",
        Algorithm::PeakEwma(_) => "peak EWMA",
        Algorithm::Hash(_) => "by hash",
    };
    let tls = if upstream.tls.is_some() { ", TLS" } else { "" };
    line(out, what, &format!("{} ({balance}{tls})", upstream.name));
    let fixed = upstream.fixed.iter().map(|endpoint| endpoint.address.to_string());
    let names = upstream.names.iter().map(|name| match name.srv {
        true => format!("srv:{}, to be resolved", name.name),
        false => format!("{}:{}, to be resolved", name.name, name.port),
    });
    let all: Vec<String> = fixed.chain(names).collect();
    for endpoint in all.iter().take(ENDPOINTS_SHOWN) {
        line(out, "", endpoint);
    }
    if all.len() > ENDPOINTS_SHOWN {
        line(out, "", &format!("and {} more", all.len() - ENDPOINTS_SHOWN));
    }
}

fn redirected(out: &mut String, redirect: &Redirect, words: &RequestValues<'_>) {
    let request = words.case.request();
    let asked = RedirectRequest {
        scheme: words.case.scheme,
        authority: request.authority(),
        listener_port: words.case.port,
        original: Original { path: &words.case.path, query: request.head.query.map(|query| query.of(request.bytes)) },
    };
    let mut location = Vec::new();
    match redirect.location(&asked, words, &mut location) {
        true => line(out, "answer", &format!("{}, Location: {}", redirect.status, String::from_utf8_lossy(&location))),
        false => line(out, "answer", "400: the redirect's parts make no URL"),
    }
}

fn answered(out: &mut String, answer: &FixedAnswer, words: &RequestValues<'_>) {
    if answer.status == 444 {
        return line(out, "answer", "none: the connection is closed");
    }
    let kind = answer.content_type.as_deref().unwrap_or("no body");
    line(out, "answer", &format!("{}, {kind}", answer.status));
    for text in words.render(&answer.body).lines().take(ENDPOINTS_SHOWN) {
        line(out, "", text);
    }
}

fn field_changes(out: &mut String, whose: &str, changes: &[Change], words: &RequestValues<'_>) {
    for (index, change) in changes.iter().enumerate() {
        let change = match change {
            Change::Remove(name) => format!("without {name}"),
            Change::Rename(from, to) => format!("with {from} renamed to {to}"),
            Change::Set(name, template) => match words.field_value(template) {
                Some(value) => format!("with {name}: {value}"),
                None => format!("without {name}: its value is empty or has control characters"),
            },
            Change::Add(name, template) => match words.field_value(template) {
                Some(value) => format!("with one more {name}: {value}"),
                None => format!("without one more {name}: its value is empty or has control characters"),
            },
            Change::Default(name, template) => match words.field_value(template) {
                Some(value) => format!("with {name}: {value}, where there is none"),
                None => format!("without a default for {name}: its value is empty or has control characters"),
            },
        };
        line(out, if index == 0 { whose } else { "" }, &change);
    }
}

/// The values of variables before anything is sent.
struct RequestValues<'c> {
    case: &'c Case,
    route: &'c RoutePlan,
    params: &'c [String],
}

impl RequestValues<'_> {
    fn render(&self, template: &template::Template) -> String {
        let mut out = Vec::new();
        template.render(self, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The value that a header gets; `None` where it is not sent.
    fn field_value(&self, template: &template::Template) -> Option<String> {
        let mut scratch = Vec::new();
        change::value(template, self, &mut scratch).map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

impl Lookup for RequestValues<'_> {
    fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
        let case = self.case;
        let request = case.request();
        let text: &[u8] = match variable {
            Variable::ClientIp => return out.extend_from_slice(case.client.to_string().as_bytes()),
            Variable::Host => &case.host,
            Variable::Authority => request.authority(),
            Variable::Method => request.method_text(),
            Variable::Scheme => case.scheme.name().as_bytes(),
            Variable::Path => &case.path,
            Variable::PathRaw => request.path(),
            Variable::Query => request.query(),
            Variable::Target => request.head.target.of(request.bytes),
            Variable::ListenerPort => return out.extend_from_slice(case.port.to_string().as_bytes()),
            Variable::Route => self.route.name.as_bytes(),
            Variable::Param(position) => self.params.get(usize::from(*position)).map_or(b"", |value| value.as_bytes()),
            // Only keys of limits have it, and none is shown here.
            Variable::NamedParam(_) => b"{param}",
            Variable::Header(name) => {
                return request.head.fields.append_combined(request.bytes, name.as_bytes(), out);
            }
            Variable::Cookie(name) => request.cookie(name.as_bytes()).unwrap_or(b""),
            Variable::QueryValue(name) => query::raw_value(request, name.as_bytes()).unwrap_or(b""),
            Variable::ClientPort => b"{client.port}",
            Variable::RequestId => b"{request.id}",
            Variable::Consumer(_) => b"{consumer}",
            Variable::Claim(_) => b"{claim}",
            Variable::Version => b"{version}",
            Variable::Country => b"{country}",
            Variable::Tls(_) => b"{tls}",
            Variable::Status => b"{status}",
            Variable::ResponseHeader(_) => b"{response.header}",
            Variable::Upstream => b"{upstream}",
            Variable::UpstreamAddress => b"{upstream.address}",
        };
        out.extend_from_slice(text);
    }
}

/// Lines of a list; the rest is counted.
const ENDPOINTS_SHOWN: usize = 10;

#[cfg(test)]
mod tests;
