//! What the control plane shows of itself: the status document and the metrics page.
//!
//! Its thread only copies what it knows (`Snapshot`); counters are summed and pages are written on another thread, one
//! page at a time.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{spawn_blocking, spawn_local};

use crate::balance::Health;
use crate::base::Address;
use crate::control::discovery::Listed;
use crate::control::metrics::{Facts, render};
use crate::control::plane::Plane;
use crate::control::process::Process;
use crate::control::status::{EndpointStatus, ListenerStatus, Status, UpstreamStatus};
use crate::control::tally::Sums;
use crate::link::{Counter, RouteCounter};
use crate::net::machine;

/// What the control plane knows at a moment.
struct Snapshot {
    facts: Facts,
    /// The status document without what is counted and without upstreams.
    status: Status,
    /// Upstreams with names that do not resolve, and why.
    unresolved: HashMap<Arc<str>, Vec<String>>,
}

impl Plane {
    /// Sends the metrics page.
    pub fn send_metrics(&self, reply: oneshot::Sender<String>) {
        self.write_page(reply, |snapshot, sums| render(&sums, &snapshot.facts, &Process::read()));
    }

    /// Sends the status document.
    pub fn send_status(&self, reply: oneshot::Sender<Box<Status>>) {
        self.write_page(reply, |snapshot, sums| Box::new(snapshot.status(&sums)));
    }

    /// The status document as far as it is known without counters.
    pub fn status(&self) -> Status {
        self.snapshot().status(&Sums::default())
    }

    fn write_page<T: Send + 'static>(&self, reply: oneshot::Sender<T>, write: fn(Snapshot, Sums) -> T) {
        let (snapshot, tally, turns) = (self.snapshot(), Arc::clone(&self.tally), Rc::clone(&self.pages));
        spawn_local(async move {
            // Closed never, so this only waits for its turn. Whoever asked may have gone meanwhile.
            let _turn = turns.acquire().await;
            if reply.is_closed() {
                return;
            }
            let written = spawn_blocking(move || write(snapshot, tally.sums())).await;
            if let Ok(page) = written {
                let _ = reply.send(page);
            }
        });
    }

    fn snapshot(&self) -> Snapshot {
        let generation = self.current.as_ref().map_or(0, |current| current.plan.generation);
        let coming = usize::from(self.reloads.coming().is_some());
        let listed = self.discovery.all();
        let listed = listed.map(|(name, endpoints)| Listed { upstream: name.clone(), endpoints: endpoints.clone() });
        let facts = Facts {
            started_seconds: self.setup.started_seconds,
            generation,
            shards: self.shards.count(),
            plans: usize::from(self.current.is_some()) + coming + self.retired.count(),
            reloads_done: self.reloads.done,
            reloads_refused: self.reloads.refused,
            log_dropped: self.log_dropped(),
            messages_dropped: self.setup.host.messages_dropped(),
            listed: listed.collect(),
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
        Snapshot { facts, status, unresolved }
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
    fn status(self, sums: &Sums) -> Status {
        Status {
            connections: sums.value(Counter::Connections),
            requests_active: sums.value(Counter::Active),
            requests: RouteCounter::STATUSES.into_iter().map(|class| sums.since_start(class)).sum(),
            log_lines_dropped: sums.value(Counter::LogLinesDropped) + self.facts.log_dropped,
            upstreams: self.facts.listed.iter().map(|listed| self.upstream(listed)).collect(),
            ..self.status
        }
    }

    fn upstream(&self, Listed { upstream, endpoints }: &Listed) -> UpstreamStatus {
        let endpoints = endpoints.iter().map(|endpoint| EndpointStatus {
            address: endpoint.address.to_string(),
            name: endpoint.name.to_string(),
            weight: endpoint.weight,
            backup: endpoint.backup,
            health: health_word(self.facts.health(upstream, &endpoint.address)).to_owned(),
        });
        let unresolved = self.unresolved.get(upstream).cloned().unwrap_or_default();
        UpstreamStatus { name: upstream.to_string(), endpoints: endpoints.collect(), unresolved }
    }
}

const fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Down => "down",
    }
}
