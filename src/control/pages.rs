//! What the control plane shows of itself: the status document and the metrics page.

use crate::balance::Health;
use crate::base::Address;
use crate::control::metrics::{EndpointFact, Facts, render};
use crate::control::plane::Plane;
use crate::control::probe::Target;
use crate::control::process::Process;
use crate::control::status::{EndpointStatus, ListenerStatus, Status, UpstreamStatus};
use crate::link::{Counter, RouteCounter};
use crate::net::machine;

impl Plane {
    /// The status document.
    pub fn status(&mut self) -> Status {
        let sums = self.tally.sums();
        let answered = [
            RouteCounter::Status1xx,
            RouteCounter::Status2xx,
            RouteCounter::Status3xx,
            RouteCounter::Status4xx,
            RouteCounter::Status5xx,
        ];
        let requests = answered.into_iter().map(|class| self.tally.since_start(&sums, class)).sum();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: self.state.name().to_owned(),
            uptime_seconds: machine::now().since(self.setup.started).as_secs(),
            config: self.setup.host.source(),
            generation: self.current.as_ref().map_or(0, |current| current.plan.generation),
            reloads_done: self.reloads.done,
            reloads_refused: self.reloads.refused,
            shards: self.shards.count(),
            driver: self.driver.to_owned(),
            connections: sums.value(Counter::Connections),
            requests_active: sums.value(Counter::Active),
            requests,
            log_lines_dropped: sums.value(Counter::LogLinesDropped) + self.log_dropped(),
            admin: self.admin.as_ref().map(|admin| admin.address().to_string()),
            control_socket: self.control.as_ref().map(|(socket, _)| socket.path().display().to_string()),
            listeners: self.listeners(),
            upstreams: self.upstreams(),
        }
    }

    /// The metrics page.
    pub fn metrics(&mut self) -> String {
        let endpoints = self.upstreams().into_iter().flat_map(|upstream| {
            let name = upstream.name;
            upstream.endpoints.into_iter().map(move |endpoint| EndpointFact {
                upstream: name.clone(),
                address: endpoint.address,
                up: endpoint.health != DOWN,
                weight: endpoint.weight,
            })
        });
        let facts = Facts {
            started_seconds: self.setup.started_seconds,
            generation: self.current.as_ref().map_or(0, |current| current.plan.generation),
            shards: self.shards.count(),
            reloads_done: self.reloads.done,
            reloads_refused: self.reloads.refused,
            log_dropped: self.log_dropped(),
            endpoints: endpoints.collect(),
        };
        render(&self.tally.sums(), &facts, &Process::read())
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

    fn upstreams(&self) -> Vec<UpstreamStatus> {
        let status = self.discovery.all().map(|(name, endpoints)| {
            let endpoints = endpoints.iter().map(|endpoint| {
                let target = Target { upstream: name.clone(), address: endpoint.address.clone() };
                EndpointStatus {
                    address: endpoint.address.to_string(),
                    name: endpoint.name.to_string(),
                    weight: endpoint.weight,
                    backup: endpoint.backup,
                    health: health_word(self.probes.health(&target)).to_owned(),
                }
            });
            let asked = self.discovery.questions_of(name);
            let unresolved = asked.filter_map(|question| {
                let reason = self.unresolved.get(&question)?;
                Some(format!("{}: {reason}", question.name))
            });
            UpstreamStatus { name: name.to_string(), endpoints: endpoints.collect(), unresolved: unresolved.collect() }
        });
        status.collect()
    }
}

const DOWN: &str = "down";

const fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Down => DOWN,
    }
}
