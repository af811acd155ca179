// SPDX-License-Identifier: Apache-2.0
//! What the control plane shows of itself: the status document and the metrics page.
//!
//! Its thread only copies what it knows (`Snapshot`) and asks the shards for the state of their upstreams; counters are
//! summed and pages are written on another thread, one page at a time.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{spawn_blocking, spawn_local};

use crate::balance::Health;
use crate::base::Address;
use crate::config::Hidden;
use crate::config::plan::Plan;
use crate::control::certificates;
use crate::control::discovery::{EndpointUpdate, Overridden};
use crate::control::endpoints::{EndpointSums, UpstreamStates};
use crate::control::metrics::{Facts, render};
use crate::control::overrides::Override;
use crate::control::plane::Plane;
use crate::control::process::Process;
use crate::control::quotas::counts::QuotaShown;
use crate::control::status::{BreakerStatus, EndpointStatus, LimitStatus, ListenerStatus, Status, UpstreamStatus};
use crate::control::tally::{LimitSums, Sums, UpstreamSums};
use crate::link::{Counter, LimitCounter, RouteCounter, ToShard, UpstreamCounter};
use crate::net::machine;

/// What the control plane knows at a moment.
struct Snapshot {
    facts: Facts,
    /// The status document without what is counted and without upstreams.
    status: Status,
    /// Upstreams with names that do not resolve, and why.
    unresolved: HashMap<Arc<str>, Vec<String>>,
    /// Shares that operators have set.
    overridden: BTreeMap<(Arc<str>, Address), Overridden>,
    /// The plan in use, which knows what is never shown.
    plan: Option<Arc<Plan>>,
}

impl Plane {
    /// Sends the metrics page.
    pub(super) fn send_metrics(&mut self, reply: oneshot::Sender<String>) {
        self.write_page(reply, |snapshot, sums, states| render(&sums, &snapshot.facts, &states, &Process::read()));
    }

    /// Sends the status document.
    pub(super) fn send_status(&mut self, reply: oneshot::Sender<Box<Status>>) {
        self.write_page(reply, |snapshot, sums, states| Box::new(snapshot.status(&sums, &states)));
    }

    /// The status document as far as it is known without counters.
    pub(super) fn status(&self) -> Status {
        self.snapshot().status(&Sums::default(), &UpstreamStates::default())
    }

    fn write_page<T: Send + 'static>(
        &mut self,
        reply: oneshot::Sender<T>,
        write: fn(Snapshot, Sums, UpstreamStates) -> T,
    ) {
        for shard in self.upstreams.begin(machine::now()) {
            self.shards.send(shard, ToShard::ReportUpstreams);
        }
        let (snapshot, tally, turns) = (self.snapshot(), Arc::clone(&self.tally), Rc::clone(&self.pages));
        let upstreams = Rc::clone(&self.upstreams);
        spawn_local(async move {
            // The semaphore is never closed, so this only waits. The requester may have disconnected meanwhile.
            let _turn = turns.acquire().await;
            if reply.is_closed() {
                return;
            }
            upstreams.settle().await;
            let known = upstreams.known(machine::now());
            let written = spawn_blocking(move || write(snapshot, tally.sums(), UpstreamStates::of(&known))).await;
            if let Ok(page) = written {
                let _ = reply.send(page);
            }
        });
    }

    fn snapshot(&self) -> Snapshot {
        let generation = self.current.as_ref().map_or(0, |current| current.plan.generation);
        let coming = usize::from(self.reloads.coming().is_some());
        let listed = self.discovery.all();
        let listed =
            listed.map(|(name, endpoints)| EndpointUpdate { upstream: name.clone(), endpoints: endpoints.clone() });
        let (quotas, databases) = self.quotas.shown();
        let facts = Facts {
            quotas,
            databases,
            started_seconds: self.setup.started_seconds,
            generation,
            shards: self.shards.count(),
            plans: usize::from(self.current.is_some()) + coming + self.retired.count(),
            store_up: self.registry.is_up(),
            usage: self
                .current
                .as_ref()
                .and_then(|current| current.plan.usage.as_ref())
                .map(|_| self.usage.shown(machine::now())),
            reloads_done: self.reloads.done,
            reloads_refused: self.reloads.refused,
            log_dropped: self.log_dropped(),
            messages_dropped: self.setup.host.messages_dropped(),
            listed: listed.collect(),
            certificates: self.current.as_ref().map_or_else(Vec::new, |current| certificates::of_plan(&current.plan)),
            health: self.probes.known().map(|(target, health)| (target.clone(), health)).collect(),
        };
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: self.state.name().to_owned(),
            uptime_seconds: machine::now().since(self.setup.started).as_secs(),
            config: self.setup.host.source(),
            generation,
            reloads_done: self.reloads.done,
            reloads_refused: self.reloads.refused,
            shards: self.shards.count(),
            driver: self.driver.to_owned(),
            consumers: self.registry.directory().consumer_count() as u64,
            keys: self.registry.directory().key_count() as u64,
            directory_revision: self.registry.reached().0,
            store: self.registry.is_up().map(|_| self.registry.fault().map_or("up".to_owned(), ToString::to_string)),
            admin: self.admin.as_ref().map(|admin| admin.address().to_string()),
            control_socket: self.control.as_ref().map(|(socket, _)| socket.path().display().to_string()),
            listeners: self.listeners(),
            ..Status::default()
        };
        let mut unresolved: HashMap<Arc<str>, Vec<String>> = HashMap::new();
        for (question, reason) in &self.unresolved {
            for upstream in self.discovery.users(question) {
                let reasons = unresolved.entry(Arc::clone(upstream)).or_default();
                reasons.push(format!("{}: {reason}", question.name));
            }
        }
        let plan = self.current.as_ref().map(|current| Arc::clone(&current.plan));
        Snapshot { facts, status, unresolved, overridden: self.discovery.overridden(), plan }
    }

    fn listeners(&self) -> Vec<ListenerStatus> {
        let Some(current) = &self.current else { return Vec::new() };
        let actual = |address: &Address| self.sockets.actual(address).unwrap_or(address).to_string();
        let status = current.plan.listeners.iter().map(|listener| ListenerStatus {
            name: listener.name.to_string(),
            addresses: listener.bind.iter().map(actual).collect(),
            tls: listener.tls.is_some(),
        });
        status.collect()
    }
}

impl Snapshot {
    fn status(self, sums: &Sums, states: &UpstreamStates) -> Status {
        let counted: HashMap<&str, &UpstreamSums> = sums.upstreams().collect();
        let upstreams = self.facts.listed.iter().map(|listed| {
            let sums = counted.get(&*listed.upstream).copied();
            self.upstream(listed, sums.unwrap_or(&UpstreamSums::default()), states)
        });
        let mut status = Status {
            upstreams: upstreams.collect(),
            limits: sums.limits().map(|(name, sums)| limit_status(name, sums, &self.facts.quotas)).collect(),
            reports_age_seconds: states.age.as_secs_f64(),
            shards_reported: states.shards,
            connections: sums.value(Counter::Connections),
            requests_active: sums.value(Counter::Active),
            requests: RouteCounter::STATUSES.into_iter().map(|class| sums.since_start(class)).sum(),
            log_lines_dropped: sums.value(Counter::LogLinesDropped) + self.facts.log_dropped,
            ..self.status
        };
        if let Some(plan) = &self.plan {
            conceal(&mut status, &plan.hidden);
        }
        status
    }

    fn upstream(&self, listed: &EndpointUpdate, sums: &UpstreamSums, states: &UpstreamStates) -> UpstreamStatus {
        let EndpointUpdate { upstream, endpoints } = listed;
        let state = states.upstream(upstream);
        let mut rest: BTreeMap<&str, &EndpointSums> = state
            .map(|state| state.endpoints.iter().map(|(address, sums)| (&**address, sums)).collect())
            .unwrap_or_default();
        let mut shown: Vec<EndpointStatus> = Vec::with_capacity(endpoints.len());
        for endpoint in &**endpoints {
            let address = endpoint.address.to_string();
            let health = health_word(self.facts.health(upstream, &endpoint.address)).to_owned();
            let of_shards = rest.remove(&*address).map_or_else(EndpointStatus::default, endpoint_status);
            let (name, weight, backup) = (endpoint.name.to_string(), endpoint.weight, endpoint.backup);
            let share = self.overridden.get(&(Arc::clone(upstream), endpoint.address.clone()));
            let configured_weight = share.map(|share| share.configured);
            let draining = share.is_some_and(|share| share.by == Override::Drain);
            let shares = EndpointStatus { weight, configured_weight, draining, backup, ..of_shards };
            shown.push(EndpointStatus { address, name, health, listed: true, ..shares });
        }
        // Those that left but still have requests or connections.
        let left = rest.into_iter().map(|(address, sums)| EndpointStatus {
            address: address.to_owned(),
            name: sums.name.to_string(),
            weight: sums.weight,
            backup: sums.backup,
            health: health_word(Health::Unknown).to_owned(),
            ..endpoint_status(sums)
        });
        shown.extend(left);
        UpstreamStatus {
            name: upstream.to_string(),
            requests_active: state.map_or(0, |state| state.requests),
            requests_queued: state.map_or(0, |state| state.pending),
            panic_shards: state.map_or(0, |state| state.panicking),
            breaker: state.and_then(|state| state.breaker).map(|breaker| BreakerStatus {
                open_shards: breaker.open,
                half_open_shards: breaker.half_open,
                open_seconds: breaker.open_for.as_secs_f64(),
                opened: sums.value(UpstreamCounter::BreakerOpened),
            }),
            ejections: sums.value(UpstreamCounter::Ejected),
            retries: sums.value(UpstreamCounter::Retries),
            retries_denied: sums.value(UpstreamCounter::RetriesDenied),
            endpoints: shown,
            unresolved: self.unresolved.get(upstream).cloned().unwrap_or_default(),
        }
    }
}

/// Names that came from variables or secret files are shown as the configuration has them; addresses are those that
/// sockets really have.
fn conceal(status: &mut Status, hidden: &Hidden) {
    let upstreams = status.upstreams.iter_mut().flat_map(|upstream| {
        let endpoints = upstream.endpoints.iter_mut().map(|endpoint| &mut endpoint.name);
        endpoints.chain([&mut upstream.name]).chain(&mut upstream.unresolved)
    });
    let listeners = status.listeners.iter_mut().map(|listener| &mut listener.name);
    let limits = status.limits.iter_mut().map(|limit| &mut limit.name);
    for name in upstreams.chain(listeners).chain(limits) {
        *name = hidden.conceal(name);
    }
}

fn limit_status(name: &str, sums: &LimitSums, quotas: &[QuotaShown]) -> LimitStatus {
    let leases = quotas.iter().filter(|quota| *quota.policy == *name).map(|quota| quota.leases.clone());
    LimitStatus {
        name: name.to_owned(),
        keys_held: sums.value(LimitCounter::Held),
        accounts: sums.value(LimitCounter::Accounts),
        admitted: sums.value(LimitCounter::Admitted),
        returned: sums.value(LimitCounter::Returned),
        refused: sums.value(LimitCounter::Refused),
        reported: sums.value(LimitCounter::Reported),
        waited: sums.value(LimitCounter::Waited),
        uncounted: sums.value(LimitCounter::Uncounted),
        keys_given_up: sums.value(LimitCounter::GivenUp),
        leases: leases.collect(),
    }
}

/// What shards say of an endpoint.
fn endpoint_status(sums: &EndpointSums) -> EndpointStatus {
    EndpointStatus {
        listed: sums.listed,
        serving_shards: sums.serving,
        ejected_shards: sums.ejected,
        ejected_seconds: sums.ejected_for.as_secs_f64(),
        slow_start_per_mille: sums.ramp_per_mille,
        requests_active: sums.requests,
        connections: sums.connections,
        latency_seconds: sums.latency.map(|latency| latency.as_secs_f64()),
        requests: sums.totals.requests,
        ejections: sums.totals.ejections,
        outcomes: sums.totals.outcomes().map(|(outcome, count)| (outcome.to_owned(), count)).into(),
        ..EndpointStatus::default()
    }
}

const fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Down => "down",
    }
}
