// SPDX-License-Identifier: Apache-2.0
//! What a gateway would do with one request (`turnpike explain`): it is sent to one, with stubs behind it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::base::Wall;
use crate::config::location::Located;
use crate::config::spec::shape::Many;
use crate::config::{ConfigSource, Environment};
use crate::trial::exchange::{Exchange, combined};
use crate::trial::plan::{GROUPS, METHOD, PLAN, TENANT};
use crate::trial::spec::{ExpectSpec, RequestSpec};
use crate::trial::suite::{Expect, Step, Suite, Test};
use crate::trial::world::{self, Traced};

/// A request with credentials.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    /// Its method.
    pub method: String,
    /// As `explain` takes it.
    pub url: String,
    /// Fields: name, value.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub from: IpAddr,
    /// A key of this consumer.
    pub consumer: Option<String>,
    /// This key, where keys are looked for.
    pub key: Option<String>,
    /// Its body.
    pub body: Option<String>,
    /// When.
    pub time: Wall,
}

/// What came of it: a label and words for each line. What they say of secrets is for the caller to conceal.
pub(crate) type Told = Vec<(&'static str, String)>;

impl Trial {
    /// Sends it to a gateway with this configuration.
    pub(crate) fn told(&self, source: &ConfigSource, environment: &Environment) -> Result<Told, String> {
        let suite = Suite {
            path: PathBuf::new(),
            tests: Vec::new(),
            source: source.clone(),
            environment: Environment { shards: Some(1), ..environment.clone() },
            keys: Vec::new(),
            tokens: BTreeMap::new(),
        };
        let exchanges = world::run(&suite, &self.test(), Traced::Yes)?;
        Ok(exchanges.first().map(lines).unwrap_or_default())
    }

    fn test(&self) -> Test {
        let mut headers: BTreeMap<String, Many<String>> = BTreeMap::new();
        for (name, value) in &self.headers {
            headers.entry(name.clone()).or_default().0.push(value.clone());
        }
        let request = RequestSpec {
            method: self.method.clone(),
            url: Located::nowhere(self.url.clone()),
            headers,
            from: Some(self.from),
            consumer: self.consumer.clone().map(Located::nowhere),
            key: self.key.clone(),
            body: self.body.clone(),
            ..RequestSpec::default()
        };
        let expect = Expect {
            spec: ExpectSpec::default(),
            claims: Vec::new(),
            headers: Vec::new(),
            body: None,
            log: Vec::new(),
            upstream: None,
        };
        let none = std::time::Duration::ZERO;
        let step = Step { after: none, request, made: none, times: 1, expect, place: (1, 1) };
        Test { name: String::new(), place: (1, 1), time: self.time, stubs: BTreeMap::new(), steps: vec![step] }
    }
}

fn lines(exchange: &Exchange) -> Told {
    let mut told = Told::new();
    let log = &exchange.log;
    let who = match (text(log, "consumer"), text(log, METHOD)) {
        ("", "") => "nobody was identified".to_owned(),
        ("", method) => format!("no consumer, by {method}"),
        (consumer, method) => format!("{consumer}, by {method}"),
    };
    told.push(("identity", who));
    for (label, name) in [("groups", GROUPS), ("tenant", TENANT), ("plan", PLAN)] {
        told.extend(Some((label, text(log, name).to_owned())).filter(|(_, words)| !words.is_empty()));
    }
    let traced = exchange.trace.iter().flat_map(|trace| trace.lines());
    let policies = traced.filter_map(|line| line.trim_start().strip_prefix("policy"));
    told.extend(policies.map(|words| ("asked", words.trim().to_owned())));
    let Some(response) = &exchange.response else {
        told.push(("response", "none: the connection is closed".to_owned()));
        return told;
    };
    let limits = combined(&response.fields, "RateLimit").map(|limits| String::from_utf8_lossy(&limits).into_owned());
    told.extend(limits.map(|limits| ("limits", limits)));
    let why = text(log, "reason");
    let why = if why.is_empty() { String::new() } else { format!(", {why}") };
    told.push(("response", format!("{}{why}", response.status)));
    told
}

fn text<'l>(log: &'l Map<String, Value>, name: &str) -> &'l str {
    log.get(name).and_then(Value::as_str).unwrap_or_default()
}
