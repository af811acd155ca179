// SPDX-License-Identifier: Apache-2.0
//! What is expected of the exchanges of a test, and what came of them.

use std::fmt::{self, Display};

use serde_json::Value;

use crate::config::spec::scalar::Scalar;
use crate::route::ValueMatch;
use crate::trial::exchange::{End, Exchange, Received, Response, combined};
use crate::trial::plan::{METHOD, claim_field};
use crate::trial::suite::{Expect, ExpectUpstream, Matches, Test};

/// Bytes of a value that are shown.
const SHOWN_BYTES_MAX: usize = 400;

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
    /// What was expected of it.
    pub expected: String,
    /// What it is.
    pub got: String,
}

/// A request of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which one, from 1, and of how many.
    pub request: (usize, usize),
    /// Line and column of what is expected of it.
    pub at: (usize, usize),
}

/// Everything in which the exchanges of a test differ from what is expected. Of a request that is repeated, the first
/// one that differs.
pub(super) fn compare(test: &Test, exchanges: &[Exchange]) -> Vec<Difference> {
    let (mut found, mut next) = (Vec::new(), 0);
    for step in &test.steps {
        let first = next;
        next += step.times as usize;
        for (number, exchange) in (first..next).zip(&exchanges[first..]) {
            let place = Place { request: (number + 1, exchanges.len()), at: step.place };
            let mut comparison = Comparison { place, found: Vec::new() };
            comparison.exchange(&step.expect, exchange);
            if !comparison.found.is_empty() {
                found.extend(comparison.found);
                break;
            }
        }
    }
    found
}

struct Comparison {
    place: Place,
    found: Vec<Difference>,
}

impl Comparison {
    fn exchange(&mut self, expect: &Expect, exchange: &Exchange) {
        let spec = &expect.spec;
        let logged = |name: &str| exchange.log.get(name).map_or_else(String::new, text_of);
        let same = |wanted: &Option<String>| wanted.clone();
        self.equal("route", spec.route.as_ref().map(|route| route.value.clone()), &logged("route"));
        self.equal("consumer", same(&spec.consumer), &logged("consumer"));
        self.equal("method", same(&spec.method), &logged(METHOD));
        for (name, wanted) in &expect.claims {
            let claim = Some(logged(&claim_field(name))).filter(|claim| !claim.is_empty());
            self.matches(&format!("claim {name}"), wanted, claim.as_ref().map(String::as_bytes));
        }
        self.response(expect, exchange.response.as_ref());
        self.equal("reason", same(&spec.reason), &logged("reason"));
        for (name, wanted) in &expect.log {
            let value = exchange.log.get(name).filter(|value| !value.is_null()).map(text_of);
            self.matches(&format!("log {name}"), wanted, value.as_ref().map(String::as_bytes));
        }
        self.equal("attempts", spec.attempts.map(|count| count.to_string()), &exchange.upstream.len().to_string());
        if let Some(upstream) = &expect.upstream {
            self.upstream(upstream, exchange.upstream.last());
        }
    }

    fn response(&mut self, expect: &Expect, response: Option<&Response>) {
        let spec = &expect.spec;
        let Some(response) = response else {
            let asks = spec.status.is_some() || spec.json.is_some() || expect.body.is_some();
            if asks || !expect.headers.is_empty() || !spec.remaining.is_empty() {
                self.differs("response", "one", "none: the connection was closed");
            }
            return;
        };
        if let Some(wanted) = &spec.status
            && !(wanted.0.0..=wanted.0.1).contains(&response.status)
        {
            self.differs("status", wanted.show(), response.status);
        }
        self.fields("header", &expect.headers, response.fields.as_slice());
        let limits = combined(&response.fields, "RateLimit").unwrap_or_default();
        for (name, wanted) in &spec.remaining {
            let untold = || format!("not told in `RateLimit`, which is {}", shown(&limits));
            let left = remaining(&limits, name).map_or_else(untold, |left| left.to_string());
            self.equal(&format!("remaining of {name}"), Some(wanted.to_string()), &left);
        }
        if let Some(wanted) = &expect.body {
            self.matches("body", wanted, Some(&response.body));
        }
        if let Some(wanted) = &spec.json {
            match serde_json::from_slice::<Value>(&response.body) {
                Ok(json) if json == *wanted => {}
                Ok(json) => self.differs("body as JSON", wanted, json),
                Err(_) => self.differs("body as JSON", wanted, shown(&response.body)),
            }
        }
        if response.end == End::Cut && (expect.body.is_some() || spec.json.is_some()) {
            self.differs("end of the body", "whole", "broken off");
        }
    }

    fn upstream(&mut self, expect: &ExpectUpstream, received: Option<&Received>) {
        let Some(received) = received else {
            return self.differs("upstream", "a request", "none");
        };
        let spec = &expect.spec;
        self.equal("upstream", spec.name.as_ref().map(|name| name.value.clone()), &received.upstream);
        self.equal("upstream endpoint", spec.endpoint.clone(), &received.endpoint);
        self.equal("upstream method", spec.method.clone(), &String::from_utf8_lossy(&received.method));
        if let Some(wanted) = &expect.target {
            self.matches("upstream target", wanted, Some(&received.target));
        }
        self.fields("upstream header", &expect.headers, &received.fields);
        if let Some(wanted) = &expect.body {
            self.matches("upstream body", wanted, Some(&received.body));
        }
    }

    fn fields(&mut self, what: &str, wanted: &Matches, fields: &[crate::trial::exchange::Line]) {
        for (name, wanted) in wanted {
            self.matches(&format!("{what} {name}"), wanted, combined(fields, name).as_deref());
        }
    }

    fn equal(&mut self, what: &str, wanted: Option<String>, got: &str) {
        if let Some(wanted) = wanted.filter(|wanted| wanted != got) {
            self.differs(what, quoted(&wanted), quoted(got));
        }
    }

    fn matches(&mut self, what: &str, wanted: &ValueMatch, got: Option<&[u8]>) {
        if !wanted.takes(got) {
            self.differs(what, wanted, got.map_or_else(|| "not there".to_owned(), shown));
        }
    }

    fn differs(&mut self, what: impl Display, expected: impl Display, got: impl Display) {
        let (what, expected, got) = (what.to_string(), expected.to_string(), got.to_string());
        self.found.push(Difference { place: self.place, what, expected, got });
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

/// A value of a log line as text.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Text that may be long, and may have any bytes.
fn shown(bytes: &[u8]) -> String {
    let text = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let more = if text.len() < bytes.len() { "…" } else { "" };
    match std::str::from_utf8(text) {
        Ok(text) => format!("{text:?}{more}"),
        Err(_) => format!("\"{}\"{more}", text.escape_ascii()),
    }
}

/// What `RateLimit: "NAME";r=LEFT;t=…` says of one policy.
fn remaining(field: &[u8], name: &str) -> Option<u64> {
    let field = std::str::from_utf8(field).ok()?;
    let quoted = format!("\"{name}\"");
    field.split(", ").filter_map(|item| item.strip_prefix(&quoted)).find_map(|params| {
        let left = params.split(';').find_map(|param| param.trim().strip_prefix("r="))?;
        left.parse().ok()
    })
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            (_, 1) => out.write_str("the request"),
            (number, of) => write!(out, "request {number} of {of}"),
        }
    }
}
