// SPDX-License-Identifier: Apache-2.0
//! Compiles the action of a route: `to` with `rewrite` and `host`, `redirect`, `answer`, `echo`.
//!
//! A plan with errors is never used, so the compiler reports an error and goes on wherever that finds more errors.

use std::sync::Arc;

use crate::base::{Scheme, UpstreamId};
use crate::config::compile::Compiler;
use crate::config::location::{Located, Location};
use crate::config::plan::{Action, FixedAnswer, ProxyPlan, RetryPlan};
use crate::config::report::Report;
use crate::config::spec::route::{AnswerSpec, HeadersSpec, RedirectSpec, RetrySpec, RewriteSpec, RouteSpec};
use crate::config::spec::server::Timeouts;
use crate::config::spec::shape::Many;
use crate::route::redirect::{Parts, Port, Redirect, Target};
use crate::route::rewrite::{HostRewrite, PathRewrite, PrefixRewrite, RegexRewrite, RewriteError};
use crate::route::split::{Split, Stick, stable_hash};
use crate::wire::grpc::{Code, CodeSet};

impl Compiler<'_> {
    /// Compiles the one action of a route. `params` are the names of its path's parameters; `name` keeps its split
    /// apart from those of other routes.
    pub(super) fn action(&mut self, spec: &Located<RouteSpec>, name: &str, params: &[&str]) -> Option<Action> {
        let route = &spec.value;
        let given = [
            ("to", route.to.as_ref().map(|to| to.location)),
            ("redirect", route.redirect.as_ref().map(|redirect| redirect.location)),
            ("answer", route.answer.as_ref().map(|answer| answer.location)),
            ("echo", Some(route.echo.location).filter(|_| route.echo.value)),
        ];
        let given: Vec<(&str, Location)> =
            given.into_iter().filter_map(|(key, location)| Some((key, location?))).collect();
        match given.as_slice() {
            [] => {
                let report = Report::error(spec.location, "the route has no action").label("needs one of these keys");
                self.absent(spec.location, report.help("`to`, `redirect`, `answer` or `echo = true`"));
            }
            [_] => {}
            [(first, first_place), (second, location), ..] => {
                let report =
                    Report::error(*location, format!("a route has one action, here are `{first}` and `{second}`"));
                self.faults.push(report.other(*first_place, "the first one"));
            }
        }
        // Each action is compiled, though only one is allowed, so that the faults of all are reported.
        let redirect = route.redirect.as_ref().map(|redirect| self.redirect(redirect, route, params));
        let answer = route.answer.as_ref().map(|answer| self.answer(&answer.value, route, params));
        if route.to.is_some() {
            return self.proxy(spec, name, params).map(|proxy| Action::Proxy(Box::new(proxy)));
        }
        self.idle_keys(spec);
        match (redirect, answer) {
            (Some(redirect), _) => redirect.map(Action::Redirect),
            (None, Some(answer)) => answer.map(Action::Answer),
            (None, None) => Some(Action::Echo),
        }
    }

    /// Warns of forwarding keys on a route that forwards nothing.
    fn idle_keys(&mut self, spec: &Located<RouteSpec>) {
        let route = &spec.value;
        let usual = RouteSpec::default();
        let idle = [
            ("rewrite", route.rewrite != usual.rewrite),
            ("stick", route.stick != usual.stick),
            ("host", route.host != usual.host),
            ("request_headers", route.request_headers != usual.request_headers),
            ("retry", route.retry != usual.retry),
            ("timeouts", route.timeouts != usual.timeouts),
            ("upgrade", route.upgrade != usual.upgrade),
            ("grpc", route.grpc != usual.grpc),
            ("websocket", route.websocket != usual.websocket),
        ];
        for (key, _) in idle.into_iter().filter(|(_, given)| *given) {
            let report = Report::warning(spec.location, format!("`{key}` does nothing here"));
            self.faults.push(report.label("a route without `to`"));
        }
    }

    fn proxy(&mut self, spec: &Located<RouteSpec>, name: &str, params: &[&str]) -> Option<ProxyPlan> {
        let route = &spec.value;
        let targets = self.targets(route);
        let stick = route.stick.as_ref().map(|stick| self.stick(stick));
        let rewrite = match &route.rewrite {
            Some(rewrite) => self.rewrite(rewrite, route, params).map(Some),
            None => Some(None),
        };
        let host = self.host_rule(&route.host, params);
        let retry = self.retry(&route.retry);
        let timeouts: Timeouts = route.timeouts.over(&self.timeouts);
        let websocket = self.websocket(route, spec.location);
        let (upstreams, split) = targets?;
        let grpc = route.grpc.as_ref().map(|grpc| self.grpc(grpc, name, route, &upstreams));
        Some(ProxyPlan {
            grpc,
            upstreams,
            split,
            stick: stick.map_or(Some(None), |stick| stick.map(Some))?,
            stick_salt: stable_hash(name.as_bytes(), 0),
            rewrite: rewrite?,
            host: host?,
            total: timeouts.total.some().map(|time| time.0),
            first_byte: timeouts.first_byte.0,
            idle: timeouts.idle.0,
            retry,
            upgrade: route.upgrade,
            tunnel_idle: timeouts.tunnel.0,
            tunnel_lifetime: timeouts.tunnel_lifetime.some().map(|time| time.0),
            websocket: websocket?,
        })
    }

    fn targets(&mut self, route: &RouteSpec) -> Option<(Vec<UpstreamId>, Split)> {
        let to = route.to.as_ref()?;
        if to.value.is_empty() {
            self.absent(to.location, Report::error(to.location, "the list of upstreams is empty"));
            return None;
        }
        let mut upstreams: Vec<Option<UpstreamId>> = Vec::new();
        for target in to.value.iter() {
            let name = &target.value.0.upstream;
            let location = if name.location == Location::default() { target.location } else { name.location };
            if name.value.is_empty() {
                self.absent(target.location, Report::error(location, "`upstream` is missing"));
                upstreams.push(None);
                continue;
            }
            upstreams.push(self.upstream_of(&Located { value: name.value.clone(), location }));
        }
        let split = Split::new(to.value.iter().map(|target| target.value.0.weight));
        if split.is_empty() {
            self.error(to.location, "all weights are 0: nothing would get the requests");
            return None;
        }
        Some((upstreams.into_iter().collect::<Option<Vec<UpstreamId>>>()?, split))
    }

    fn stick(&mut self, text: &Located<String>) -> Option<Stick> {
        let (kind, name) = text.value.split_once(':').unwrap_or((&text.value, ""));
        let named = Located { value: name.trim().to_owned(), location: text.location };
        match kind {
            "source" if name.is_empty() => Some(Stick::Source),
            "header" => self.token(&named, "field").then(|| Stick::Header(named.value.as_str().into())),
            "cookie" => self.token(&named, "cookie").then(|| Stick::Cookie(named.value.as_str().into())),
            _ => {
                let report = Report::error(text.location, format!("`{}` is not a key for sticky sessions", text.value));
                self.faults.push(report.suggest(kind, ["source", "header:NAME", "cookie:NAME"]));
                None
            }
        }
    }

    fn rewrite(&mut self, spec: &Located<RewriteSpec>, route: &RouteSpec, params: &[&str]) -> Option<PathRewrite> {
        let RewriteSpec { path, prefix, strip_prefix, regex, replace } = &spec.value;
        match (path, prefix, strip_prefix, regex) {
            (Some(path), None, None, None) => self.path_template(path, params),
            (None, Some(prefix), None, None) => self.prefix(prefix, route),
            (None, None, Some(strip), None) => {
                self.absolute(strip).then(|| PathRewrite::Prefix(PrefixRewrite::new(&strip.value, "/")))
            }
            (None, None, None, Some(regex)) => {
                let Some(replace) = replace else {
                    let report = Report::error(spec.location, "`replace` is missing: the replacement for `regex`");
                    self.absent(spec.location, report);
                    return None;
                };
                self.regex_rewrite(regex, replace)
            }
            _ => {
                let report = Report::error(spec.location, "a rewrite has exactly one of these keys");
                self.absent(spec.location, report.help("`path`, `prefix`, `strip_prefix` or `regex` with `replace`"));
                None
            }
        }
    }

    fn regex_rewrite(&mut self, regex: &Located<String>, replace: &Located<String>) -> Option<PathRewrite> {
        let report = match RegexRewrite::new(&regex.value, &replace.value) {
            Ok(rewrite) => return Some(PathRewrite::Regex(rewrite)),
            Err(RewriteError::Regex(fault)) => {
                Report::error(regex.location, "not a regular expression").help(fault.to_string())
            }
            Err(RewriteError::Capture(name)) => {
                Report::error(replace.location, format!("the expression has no group `{name}`"))
            }
            Err(RewriteError::Dollar(at)) => {
                Report::error(self.inside(replace, at, 1), "a `$` without a group").help("`$$` is the sign itself")
            }
        };
        self.faults.push(report);
        None
    }

    /// A text that replaces the route's `path_prefix`; it is put before every path where the route matches all paths.
    fn prefix(&mut self, prefix: &Located<String>, route: &RouteSpec) -> Option<PathRewrite> {
        let from = route.path_prefix.as_ref().map_or("", |prefix| prefix.value.as_str());
        let other = [&route.path, &route.path_exact, &route.path_regex].into_iter().flatten().next();
        if let (Some(other), true) = (other, from.is_empty()) {
            let report = Report::error(prefix.location, "`prefix` needs a route with `path_prefix`");
            self.faults.push(report.other(other.location, "this route asks something else of the path"));
            return None;
        }
        self.absolute(prefix).then(|| PathRewrite::Prefix(PrefixRewrite::new(from, &prefix.value)))
    }

    fn path_template(&mut self, path: &Located<String>, params: &[&str]) -> Option<PathRewrite> {
        if !path.value.starts_with('{') && !self.absolute(path) {
            return None;
        }
        self.field_value(path, params).map(PathRewrite::Template)
    }

    fn absolute(&mut self, path: &Located<String>) -> bool {
        if path.value.starts_with('/') {
            return true;
        }
        self.error(path.location, "a path begins with `/`");
        false
    }

    fn host_rule(&mut self, host: &Located<String>, params: &[&str]) -> Option<HostRewrite> {
        match host.value.as_str() {
            "keep" => Some(HostRewrite::Keep),
            "endpoint" => Some(HostRewrite::Upstream),
            "" => {
                self.faults.push(
                    Report::error(host.location, "the host is empty").suggest("", ["keep", "endpoint", "a host"]),
                );
                None
            }
            _ => self.field_value(host, params).map(HostRewrite::Template),
        }
    }

    fn retry(&mut self, spec: &RetrySpec) -> RetryPlan {
        if !(1..=TRIES_MAX).contains(&spec.tries.value) {
            self.error(spec.tries.location, format!("`tries` is 1 (no retry) to {TRIES_MAX}"));
        }
        for status in spec.statuses.iter().filter(|status| !(400..=599).contains(&status.value)) {
            self.error(status.location, "only statuses from 400 to 599 can be repeated");
        }
        RetryPlan {
            tries: spec.tries.value,
            per_try: spec.per_try.as_ref().map(|time| time.0),
            statuses: spec.statuses.iter().map(|status| status.value).collect(),
            grpc_statuses: self.codes(&spec.grpc_statuses),
            non_idempotent: spec.non_idempotent,
            body_bytes_max: spec.body.0.min(REPLAY_BYTES_MAX) as usize,
        }
    }

    /// gRPC status codes by name. `OK` is refused: a call that succeeded is not retried.
    fn codes(&mut self, names: &Many<Located<String>>) -> CodeSet {
        let mut set = CodeSet::default();
        for name in names.iter() {
            match Code::named(&name.value).filter(|code| *code != Code::Ok) {
                Some(code) => set.insert(code),
                None => {
                    let report = Report::error(name.location, format!("`{}` is not a gRPC error code", name.value));
                    self.faults.push(report.suggest(&name.value, Code::ALL.into_iter().skip(1).map(Code::name)));
                }
            }
        }
        set
    }

    fn redirect(&mut self, spec: &Located<RedirectSpec>, route: &RouteSpec, params: &[&str]) -> Option<Redirect> {
        let redirect = &spec.value;
        let status = redirect.status.value;
        if !Redirect::is_status(status) {
            self.error(redirect.status.location, "a redirect's status is 301, 302, 303, 307 or 308");
        }
        let parts = redirect.scheme.is_some()
            || redirect.host.is_some()
            || redirect.port.is_some()
            || redirect.path.is_some()
            || redirect.prefix.is_some();
        if let (Some(prefix), Some(path)) = (&redirect.prefix, &redirect.path) {
            let report = Report::error(prefix.location, "`path` and `prefix` exclude each other");
            self.faults.push(report.other(path.location, "the other one"));
        }
        if let Some(to) = &redirect.to {
            if parts {
                self.error(to.location, "`to` is the whole location; the other keys are its parts");
            }
            return Some(Redirect { status, to: Target::Url(self.field_value(to, params)?) });
        }
        if !parts {
            let report = Report::error(spec.location, "the redirect would loop");
            self.absent(spec.location, report.help("give `to`, or some of `scheme`, `host`, `port`, `path`, `prefix`"));
        }
        let path = redirect.path.as_ref().and_then(|path| self.path_template(path, params));
        let prefix = redirect.prefix.as_ref().and_then(|prefix| self.prefix(prefix, route));
        let scheme = redirect.scheme.as_ref().and_then(|scheme| self.scheme(scheme));
        let host = redirect.host.as_ref().and_then(|host| self.field_value(host, params));
        let port = redirect.port.as_ref().map_or(Port::Sent, |port| port.0.map_or(Port::Listener, Port::Fixed));
        Some(Redirect { status, to: Target::Parts(Parts { scheme, host, port, path: path.or(prefix) }) })
    }

    fn scheme(&mut self, scheme: &Located<String>) -> Option<Scheme> {
        match scheme.value.as_str() {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            other => {
                let report = Report::error(scheme.location, format!("`{other}` is not a scheme to redirect to"));
                self.faults.push(report.suggest(other, ["http", "https"]));
                None
            }
        }
    }

    fn answer(&mut self, spec: &AnswerSpec, route: &RouteSpec, params: &[&str]) -> Option<FixedAnswer> {
        let status = spec.status.value;
        if !(200..=599).contains(&status) {
            self.error(spec.status.location, "a response's status is 200 to 599");
        }
        let bare = matches!(status, 204 | 205 | 304 | 444);
        if bare && !spec.body.value.is_empty() {
            self.error(spec.body.location, format!("an answer with status {status} has no body"));
        }
        let content_type: Option<Arc<str>> = match &spec.content_type {
            Some(kind) => {
                if self.field_value(kind, &[]).is_some_and(|template| template.literal().is_none()) {
                    self.error(kind.location, "a type has no variables");
                }
                Some(kind.value.as_str().into())
            }
            None => (!spec.body.value.is_empty()).then(|| "text/plain; charset=utf-8".into()),
        };
        let body = self.template(&spec.body, params)?;
        let HeadersSpec { set, add, default, .. } = &route.response_headers;
        let changes = set.iter().chain(add.iter()).chain(default.iter());
        let changed = changes.filter(|(name, _)| name.value.eq_ignore_ascii_case("content-type"));
        let mut types = content_type.as_deref().into_iter().chain(changed.map(|(_, value)| value.value.as_str()));
        let body = if types.any(is_markup) { body.escaped() } else { body };
        Some(FixedAnswer { status, content_type, body })
    }
}

/// Do browsers read this type as HTML or XML, which may hold scripts? A type with variables may become one.
fn is_markup(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "text/html" || essence.ends_with("/xml") || essence.ends_with("+xml") || essence.contains('{')
}

/// More attempts would only add load where everything fails.
const TRIES_MAX: u32 = 10;
/// A body that is kept for a retry is in memory; a larger one is sent once.
const REPLAY_BYTES_MAX: u64 = 16 * 1024 * 1024;
