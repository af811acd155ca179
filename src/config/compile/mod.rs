// SPDX-License-Identifier: Apache-2.0
//! Compiles a `Spec` into a `Plan`: names become ids, texts become templates, files become certificates. Reports
//! everything that cannot work.
//!
//! An error of the reader is not reported a second time as something missing: a name is known even where its table is
//! wrong, and missing parts are only reported where everything was read.

mod action;
mod admin;
mod bypass;
mod certificates;
mod consumer;
mod descriptors;
mod directory;
mod expression;
mod fields;
mod grpc;
mod listener;
mod log;
mod matcher;
mod policy;
mod redis;
mod route;
mod secret;
mod source;
mod text;
mod tls;
mod upstream;
mod usage;
mod websocket;

#[cfg(test)]
pub(super) use log::LOG_ONLY;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::{PolicyId, UpstreamId};
use crate::cel;
use crate::config::draft::Draft;
use crate::config::location::{Located, Location};
use crate::config::plan::{
    Index, Plan, PolicyPlan, ProcessPlan, RoutePlan, SourcePlan, TranscoderPlan, UpstreamPlan, VersionPlan,
};
use crate::config::report::{Faults, Report};
use crate::config::source::Environment;
use crate::config::spec::server::{Limits, Timeouts};
use crate::config::tree::{Node, NodeKind};

/// Compiles a draft. The plan may only be used where `faults` holds no error. Adds the files that it names to
/// `watched`.
pub(super) fn compile(
    draft: &Draft,
    environment: &Environment,
    faults: &mut Faults,
    watched: &mut Vec<PathBuf>,
) -> Plan {
    let spec = &draft.spec;
    let shards = environment.shards.or(spec.server.shards.0).unwrap_or(environment.cores).max(1);
    let faults_before = faults.locations();
    let mut compiler = Compiler {
        draft,
        environment,
        faults,
        watched,
        shards,
        timeouts: spec.defaults.timeouts.over(&Timeouts::default()),
        limits: spec.defaults.limits.over(&Limits::default()),
        names: Names::found(draft),
        unread: faults_before,
        upstreams: Vec::new(),
        transcoders: Vec::new(),
        sources: Vec::new(),
        ids: HashMap::new(),
        policy_ids: HashMap::new(),
        versions: Vec::new(),
        used: BTreeSet::new(),
        expressions: cel::Environment::default(),
    };
    compiler.plan()
}

/// What all parts of the compiler share.
struct Compiler<'d> {
    draft: &'d Draft,
    environment: &'d Environment,
    faults: &'d mut Faults,
    watched: &'d mut Vec<PathBuf>,
    shards: usize,
    timeouts: Timeouts,
    limits: Limits,
    names: Names,
    /// Where the reader found errors.
    unread: Vec<Location>,
    /// Those of `[upstream.NAME]` first, then those that routes name by address.
    upstreams: Vec<UpstreamPlan>,
    /// In the order of the routes.
    transcoders: Vec<TranscoderPlan>,
    /// In the order of the policies.
    sources: Vec<SourcePlan>,
    /// Of the upstreams, by name.
    ids: HashMap<String, UpstreamId>,
    /// Of the policies that could be compiled, by name.
    policy_ids: HashMap<Arc<str>, PolicyId>,
    /// Versions of APIs, in the order of their policies.
    versions: Vec<VersionPlan>,
    /// Places of the names of upstreams and policies that something uses.
    used: BTreeSet<Location>,
    /// What expressions may name beside the request.
    expressions: cel::Environment,
}

/// Names that may be referred to, also where the table behind them is wrong.
struct Names {
    upstreams: Known,
    policies: Known,
    listeners: Known,
    consumers: Known,
    tenants: Known,
    plans: Known,
    products: Known,
    apps: Known,
}

/// The names of one section, each once, in order.
struct Known {
    list: Vec<String>,
    all: HashSet<String>,
}

impl Known {
    fn of(names: impl Iterator<Item = String>) -> Known {
        let mut all = HashSet::new();
        let list = names.filter(|name| all.insert(name.clone())).collect();
        Known { list, all }
    }
}

/// A section whose tables are referred to by name.
#[derive(Clone, Copy)]
enum Section {
    Upstream,
    Policy,
    Listener,
    Consumer,
    Tenant,
    Plan,
    Product,
    App,
}

impl Section {
    fn word(self) -> &'static str {
        match self {
            Section::Upstream => "upstream",
            Section::Policy => "policy",
            Section::Listener => "listener",
            Section::Consumer => "consumer",
            Section::Tenant => "tenant",
            Section::Plan => "plan",
            Section::Product => "product",
            Section::App => "app",
        }
    }
}

impl Names {
    fn of(&self, section: Section) -> &Known {
        match section {
            Section::Upstream => &self.upstreams,
            Section::Policy => &self.policies,
            Section::Listener => &self.listeners,
            Section::Consumer => &self.consumers,
            Section::Tenant => &self.tenants,
            Section::Plan => &self.plans,
            Section::Product => &self.products,
            Section::App => &self.apps,
        }
    }

    fn found(draft: &Draft) -> Names {
        let root = &draft.root;
        let keys = |section: &str| -> Known {
            let entries = root.child(section).map(Node::entries).unwrap_or_default();
            Known::of(entries.iter().map(|(key, _)| key.text.clone()))
        };
        let named = |section: &str| -> Vec<String> {
            let Some(Node { kind: NodeKind::Array(items), .. }) = root.child(section) else { return Vec::new() };
            let names = items.iter().filter_map(|item| item.child("name"));
            let texts = names.filter_map(|name| if let NodeKind::Text(text) = &name.kind { Some(text) } else { None });
            texts.cloned().collect()
        };
        let shown = draft.spec.listener.iter().map(|listener| listener.value.shown_name());
        let listeners = Known::of(named("listener").into_iter().chain(shown));
        let consumers = Known::of(named("consumer").into_iter());
        Names {
            upstreams: keys("upstream"),
            policies: keys("policy"),
            listeners,
            consumers,
            tenants: keys("tenant"),
            plans: keys("plan"),
            products: keys("product"),
            apps: keys("app"),
        }
    }
}

/// A cap of the whole process, which shards share among themselves while they run.
fn whole(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

impl Compiler<'_> {
    fn plan(&mut self) -> Plan {
        self.named_upstreams();
        self.expressions = self.expression_environment();
        let countries = self.countries();
        let declared = self.declared();
        let policies = self.policies();
        let ids = (0..).map(PolicyId).zip(&policies);
        self.policy_ids = ids.map(|(id, policy)| (Arc::clone(&policy.plan.name), id)).collect();
        let routes = self.routes(&policies);
        let listeners = self.listeners(&routes, &policies);
        self.report_unused();
        let upstreams = std::mem::take(&mut self.upstreams);
        let policies: Vec<PolicyPlan> = policies.into_iter().map(|policy| policy.plan).collect();
        let connections_max = self.connections_max();
        let server = &self.draft.spec.server;
        let process = ProcessPlan {
            shards: self.shards,
            pin: server.pin,
            drain: server.drain_timeout.0,
            drain_delay: server.drain_delay.0,
            user: server.user.clone(),
            connections_max: self.share(connections_max) as usize,
            kept_bodies_max: usize::try_from(server.kept_bodies_max.0 / self.shards as u64).unwrap_or(usize::MAX),
            watch: server.watch,
            control_socket: server.control_socket.clone(),
            store: self.store(),
            log_level: self.draft.spec.log.level,
        };
        let routes: Vec<RoutePlan> = routes.into_iter().map(|route| route.plan).collect();
        Plan {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            process,
            key_prefix: self.key_prefix(),
            admin: self.admin(),
            access_log: self.access_log(),
            metrics: self.draft.spec.metrics.enabled,
            usage: self.usage(),
            listeners,
            index: Index::over(
                routes.iter().map(|route| &route.name),
                upstreams.iter().map(|upstream| &upstream.name),
                policies.iter().map(|policy| policy.policy.limit_id()),
            ),
            routes,
            upstreams,
            transcoders: std::mem::take(&mut self.transcoders),
            sources: std::mem::take(&mut self.sources),
            policies,
            declared: Arc::new(declared),
            versions: std::mem::take(&mut self.versions),
            countries,
            redis: self.redis(),
            hidden: self.faults.hidden.clone(),
        }
    }

    /// One shard's share of a number for the whole process: rounded down, so that the sum does not exceed it, but at
    /// least one.
    fn share(&self, whole: u64) -> u32 {
        u32::try_from(whole / self.shards as u64).unwrap_or(u32::MAX).max(1)
    }

    /// As `share`, but rounded up: for pools, which are no limits.
    fn share_up(&self, whole: u64) -> u32 {
        u32::try_from(whole.div_ceil(self.shards as u64)).unwrap_or(u32::MAX)
    }

    /// Reports that something within `place` is missing, unless the reader found an error there: then it may be there
    /// and not have been read.
    fn absent(&mut self, location: Location, report: Report) {
        if !self.unread.iter().any(|fault| location.covers(*fault)) {
            self.faults.push(report);
        }
    }

    fn error(&mut self, location: Location, title: impl Into<String>) {
        self.faults.push(Report::error(location, title));
    }

    /// Reports the second use of a name within one section.
    fn unique(&mut self, section: &str, names: &[Located<String>]) {
        let mut seen: HashMap<&str, Location> = HashMap::new();
        for name in names {
            if let Some(first) = seen.get(name.value.as_str()) {
                let report = Report::error(name.location, format!("a second {section} is named `{}`", name.value));
                self.faults.push(report.other(*first, "the first one is here"));
            } else {
                seen.insert(&name.value, name.location);
            }
        }
    }

    fn report_unused(&mut self) {
        let spec = &self.draft.spec;
        let upstreams = spec.upstream.iter().map(|(name, _)| (name, "upstream", "no route or policy"));
        let policies = spec.policy.iter().map(|(name, _)| (name, "policy", "no route or listener"));
        let mut reports = Vec::new();
        for (name, what, by) in upstreams.chain(policies) {
            if !self.used.contains(&name.location) {
                let title = format!("{what} `{}` is not used by anything", name.value);
                reports.push(Report::warning(name.location, title).label(format!("{by} names it")));
            }
        }
        // After other errors this may be wrong: the part that uses the name may not have been read.
        if self.faults.errors() == 0 {
            reports.into_iter().for_each(|report| self.faults.push(report));
        }
    }
}

/// The next plan's generation. It only counts up, so each plan of a process has its own.
static GENERATION: AtomicU64 = AtomicU64::new(1);
