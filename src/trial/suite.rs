// SPDX-License-Identifier: Apache-2.0
//! A file of tests that was read and checked, with the configuration that it is about.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::base::Wall;
use crate::config::document::{Document, read_document};
use crate::config::location::{Located, Location};
use crate::config::matching::{Misfit, value_match};
use crate::config::plan::Plan;
use crate::config::report::{Faults, SourceFile};
use crate::config::spec::shape::{Many, Named};
use crate::config::{ConfigSource, Environment, Report, Reports, load};
use crate::route::ValueMatch;
use crate::trial::spec::{Asked, ExpectSpec, RequestSpec, StubSpec, SuiteSpec, TestSpec, UpstreamExpectSpec};

/// The time of tests that name none: 2026-01-01T00:00:00Z.
const TIME: Wall = Wall(1_767_225_600_000_000);
/// Most requests of one test; more are refused.
const REQUESTS_MAX: u64 = 100_000;

/// A file of tests.
#[derive(Debug)]
pub(crate) struct Suite {
    /// The file.
    pub path: PathBuf,
    /// The tests, in order.
    pub tests: Vec<Test>,
    pub(super) source: ConfigSource,
    pub(super) environment: Environment,
    pub(super) keys: Vec<(String, PathBuf)>,
    pub(super) tokens: BTreeMap<String, BTreeMap<String, Value>>,
}

/// A test.
#[derive(Debug)]
pub(crate) struct Test {
    /// Its name.
    pub name: String,
    /// Line and column in the file.
    pub place: (usize, usize),
    /// The time at its first request.
    pub(super) time: Wall,
    /// Stubs by upstream.
    pub(super) stubs: BTreeMap<String, Vec<StubSpec>>,
    /// Its requests.
    pub(super) steps: Vec<Step>,
}

/// A request of a test.
#[derive(Debug)]
pub(super) struct Step {
    /// How long after the response before.
    pub after: Duration,
    /// What is sent.
    pub request: RequestSpec,
    /// How long after the first request it was made: one that is sent again is the same, with the same token.
    pub made: Duration,
    /// How often.
    pub times: u32,
    /// What is expected, each time.
    pub expect: Expect,
    /// Where it stands.
    pub place: (usize, usize),
}

/// What is expected of an exchange.
#[derive(Debug)]
pub(super) struct Expect {
    /// As it was written; what is compiled stands beside it.
    pub spec: ExpectSpec,
    /// Claims.
    pub claims: Matches,
    /// Headers of the response.
    pub headers: Matches,
    /// Its body.
    pub body: Option<ValueMatch>,
    /// Fields of the log line.
    pub log: Matches,
    /// What is expected of the request to the upstream.
    pub upstream: Option<ExpectUpstream>,
}

/// What is expected of a request to an upstream.
#[derive(Debug)]
pub(super) struct ExpectUpstream {
    /// As it was written.
    pub spec: UpstreamExpectSpec,
    /// Path and query.
    pub target: Option<ValueMatch>,
    /// Headers.
    pub headers: Matches,
    /// The body.
    pub body: Option<ValueMatch>,
}

/// What named values must be.
pub(super) type Matches = Vec<(String, ValueMatch)>;

impl Suite {
    /// Reads the file at `path` and the configuration that it names. The error has all that is wrong with either.
    pub(crate) fn load(path: &Path, environment: &Environment) -> Result<Suite, Reports> {
        let Document { content, files, mut faults } = read_document::<SuiteSpec>(path, environment);
        if faults.errors() > 0 {
            return Err(faults.into_reports(files));
        }
        let Some(config) = &content.config else {
            let missing = Report::placeless(format!("{}: `config` is missing", path.display()));
            faults.push(missing.help("it names the configuration, relative to this file"));
            return Err(faults.into_reports(files));
        };
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut environment = Environment { shards: Some(1), ..environment.clone() };
        environment.variables.extend(content.variables.clone());
        let source = ConfigSource::File(directory.join(&config.value));
        let plan = load(&source, &environment)?.plan;
        let mut checker = Checker { plan, directory, file: files.first(), faults: &mut faults };
        let tests = checker.tests(&content);
        let keys = checker.keys(&content.keys);
        if faults.errors() > 0 {
            return Err(faults.into_reports(files));
        }
        Ok(Suite { path: path.to_owned(), tests, source, environment, keys, tokens: content.tokens })
    }
}

struct Checker<'c> {
    plan: Arc<Plan>,
    directory: PathBuf,
    file: Option<&'c SourceFile>,
    faults: &'c mut Faults,
}

impl Checker<'_> {
    fn tests(&mut self, spec: &SuiteSpec) -> Vec<Test> {
        let shared = self.stubs(&spec.stub);
        let mut names = HashSet::new();
        let mut tests = Vec::new();
        for test in &spec.test {
            let TestSpec { name, time, stub, .. } = &test.value;
            let Some(name) = name.as_ref().filter(|name| !name.value.is_empty()) else {
                self.faults.push(Report::error(test.location, "a test without a name").label("needs `name`"));
                continue;
            };
            if !names.insert(name.value.clone()) {
                self.faults.push(Report::error(name.location, format!("two tests are called `{}`", name.value)));
            }
            let time = time.as_ref().or(spec.time.as_ref()).map_or(TIME, |time| time.0);
            let mut stubs = shared.clone();
            stubs.extend(self.stubs(stub));
            let steps = self.steps(test);
            tests.push(Test { name: name.value.clone(), place: self.place(name.location), time, stubs, steps });
        }
        if spec.test.is_empty() {
            self.faults.push(Report::placeless("there is no test: `[[test]]` is one"));
        }
        tests
    }

    fn steps(&mut self, test: &Located<TestSpec>) -> Vec<Step> {
        let TestSpec { request, times, expect, then, .. } = &test.value;
        let Some(first) = request else {
            self.faults.push(Report::error(test.location, "a test without a request").label("needs `request`"));
            return Vec::new();
        };
        let mut steps = Vec::new();
        let (mut request, mut elapsed, mut made) = (first, Duration::ZERO, Duration::ZERO);
        let later = then.iter().map(|step| {
            let after = step.value.after.as_ref().map_or(Duration::ZERO, |after| after.0);
            (after, step.value.request.as_ref(), &step.value.times, &step.value.expect, step.location)
        });
        for (after, next, times, expect, location) in
            std::iter::once((Duration::ZERO, Some(first), times, expect, test.location)).chain(later)
        {
            elapsed = elapsed.saturating_add(after);
            if let Some(next) = next {
                self.request(next);
                (request, made) = (next, elapsed);
            }
            if times.value == 0 {
                self.faults.push(Report::error(times.location, "a request is sent at least once"));
            }
            let expect = self.expect(expect);
            let place = self.place(location);
            steps.push(Step { after, request: request.value.clone(), made, times: times.value, expect, place });
        }
        if steps.iter().map(|step| u64::from(step.times)).sum::<u64>() > REQUESTS_MAX {
            let title = format!("a test has at most {REQUESTS_MAX} requests");
            self.faults.push(Report::error(test.location, title));
        }
        for step in &mut steps {
            self.resolve(&mut step.request);
        }
        steps
    }

    /// Checks what can be checked of a request before it is sent.
    fn request(&mut self, request: &Located<RequestSpec>) {
        let RequestSpec { listener, consumer, body, json, jwt, basic, tls, .. } = &request.value;
        self.known(listener.as_ref(), "listener", |plan| {
            plan.listeners.iter().map(|listener| listener.name.to_string()).collect()
        });
        self.known(consumer.as_ref(), "consumer", |plan| {
            plan.declared.consumers.keys().map(|name| name.to_string()).collect()
        });
        if body.is_some() && json.is_some() {
            self.faults.push(Report::error(request.location, "a request has `body` or `json`, not both"));
        }
        if jwt.is_some() && basic.is_some() && jwt.as_ref().is_some_and(|jwt| jwt.value.header.is_none()) {
            let title = "`jwt` and `basic` both set `Authorization`";
            self.faults.push(Report::error(request.location, title).help("`jwt.header` names another header"));
        }
        if let Some(tls) = tls.as_ref().filter(|tls| tls.value.cert.is_some() != tls.value.key.is_some()) {
            self.faults.push(Report::error(tls.location, "`cert` and `key` belong together"));
        }
    }

    /// Paths of files, relative to this process.
    fn resolve(&self, request: &mut RequestSpec) {
        if let Some(tls) = &mut request.tls {
            for file in [&mut tls.value.cert, &mut tls.value.key].into_iter().flatten() {
                file.value = self.directory.join(&file.value).display().to_string();
            }
        }
    }

    fn stubs(&mut self, spec: &Named<Many<Located<StubSpec>>>) -> BTreeMap<String, Vec<StubSpec>> {
        let mut stubs = BTreeMap::new();
        for (name, list) in spec.iter() {
            self.known(Some(name), "upstream", |plan| {
                plan.upstreams.iter().map(|upstream| upstream.name.to_string()).collect()
            });
            for stub in list.iter() {
                self.stub(stub, list);
            }
            stubs.insert(name.value.clone(), list.iter().map(|stub| stub.value.clone()).collect());
        }
        stubs
    }

    fn stub(&mut self, stub: &Located<StubSpec>, list: &Many<Located<StubSpec>>) {
        if !(100..=599).contains(&stub.value.status) || stub.value.status == 101 {
            self.faults.push(Report::error(stub.location, "a stub's status is 100 to 599, and not 101"));
        }
        let endpoint = |stub: &StubSpec| stub.endpoint.as_ref().map(|name| name.value.clone());
        let same = list.iter().filter(|other| endpoint(&other.value) == endpoint(&stub.value)).count();
        if stub.value.failure.is_some_and(|failure| failure.is_of_connecting()) && same > 1 {
            let report =
                Report::error(stub.location, "an endpoint that cannot be connected to gives no other responses");
            self.faults.push(report.help("`endpoint` says which one of an upstream it is"));
        }
    }

    fn expect(&mut self, spec: &ExpectSpec) -> Expect {
        if let Some(route) = spec.route.as_ref().filter(|route| !route.value.is_empty()) {
            self.known(Some(route), "route", |plan| plan.routes.iter().map(|route| route.name.to_string()).collect());
        }
        let upstream = spec.upstream.as_ref().map(|upstream| {
            self.known(upstream.name.as_ref(), "upstream", |plan| {
                plan.upstreams.iter().map(|upstream| upstream.name.to_string()).collect()
            });
            ExpectUpstream {
                target: upstream.target.as_ref().and_then(|asked| self.asked(asked)),
                headers: self.named(&upstream.headers),
                body: upstream.body.as_ref().and_then(|asked| self.asked(asked)),
                spec: upstream.clone(),
            }
        });
        Expect {
            claims: self.named(&spec.claims),
            headers: self.named(&spec.headers),
            body: spec.body.as_ref().and_then(|asked| self.asked(asked)),
            log: self.named(&spec.log),
            upstream,
            spec: spec.clone(),
        }
    }

    fn named(&mut self, list: &Named<Asked>) -> Matches {
        list.iter().filter_map(|(name, asked)| Some((name.value.clone(), self.asked(asked)?))).collect()
    }

    fn asked(&mut self, asked: &Asked) -> Option<ValueMatch> {
        let spec = Located { value: asked.value.0.clone(), location: asked.location };
        value_match(&spec)
            .map_err(|misfit| {
                let (Misfit::Regex(report) | Misfit::Keys(report)) = *misfit;
                self.faults.push(report);
            })
            .ok()
    }

    /// Files with keys, by the policy that needs them.
    fn keys(&mut self, spec: &Named<Located<String>>) -> Vec<(String, PathBuf)> {
        for (name, _) in spec.iter() {
            self.known(Some(name), "policy with keys by URL", |plan| {
                plan.sources.iter().map(|source| source.policy.to_string()).collect()
            });
        }
        spec.iter().map(|(name, path)| (name.value.clone(), self.directory.join(&path.value))).collect()
    }

    fn known(&mut self, name: Option<&Located<String>>, what: &str, all: impl Fn(&Plan) -> Vec<String>) {
        let Some(name) = name else { return };
        let known = all(&self.plan);
        if !known.contains(&name.value) {
            let report = Report::error(name.location, format!("there is no {what} `{}`", name.value));
            self.faults.push(report.suggest(&name.value, known.iter().map(String::as_str)));
        }
    }

    fn place(&self, location: Location) -> (usize, usize) {
        self.file.map_or((1, 1), |file| file.place(location))
    }
}
