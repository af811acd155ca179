// SPDX-License-Identifier: Apache-2.0
//! The gateway of the exchange benches: what is written of it, the shard that runs, and what a control plane would tell
//! that shard.

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use turnpike::bench::base::{Address, ListenerId};
use turnpike::bench::config::{ConfigSource, Environment, FileAccess, directory, load};
use turnpike::bench::control::Leases;
use turnpike::bench::edge::run;
use turnpike::bench::link::{
    Counters, FROM_SHARD_MAX, FromShard, ListeningSocket, Outbox, REPORTS_MAX, ShardEnd, TO_SHARD_MAX, ToShard, mesh,
};
use turnpike::bench::net::sim::{Sim, SimSocket, Simulation};
use turnpike::bench::net::{Bell, Net};

use crate::ends::tls;
use crate::guard::Guard;

/// What an end speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http1Tls,
    Http2,
}

/// What the client and what the origin speaks.
pub(crate) type Protocols = [Protocol; 2];

/// What a route uses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    Nothing,
    /// A policy that looks at who calls, and what belongs to it.
    Guard(Guard),
    /// A quota that is counted in the store.
    Quota,
    /// An expression of the usual length.
    Expression,
}

impl Rules {
    /// What the route has of them.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Rules::Nothing => "",
            Rules::Guard(guard) => guard.route(),
            Rules::Quota => "policies = \"quota\"\n",
            Rules::Expression => "policies = \"may\"\n",
        }
    }

    /// Policies and objects.
    pub(crate) fn tables(self) -> String {
        match self {
            Rules::Nothing => String::new(),
            Rules::Guard(guard) => guard.tables(Path::new("unused")),
            Rules::Quota => QUOTA.to_owned(),
            Rules::Expression => EXPRESSION.to_owned(),
        }
    }
}

/// The first request waits in vain, because nobody answers while a bench runs.
const QUOTA: &str = r#"
[store]
path = "unused"

[policy.quota.rate_limit]
windows = { quota = 4_000_000_000, per = "month" }
counted_in = "store"
uncountable = "admit"
"#;

const EXPRESSION: &str = r#"
[policy.may.authorize]
allow = """
request.method in ["GET", "HEAD"] && request.path.startsWith("/shop/") && !request.headers[?"x-debug"].hasValue()
"""
"#;

/// Proxies all to `origin`, with an access log.
pub(crate) fn configuration(
    [client, upstream]: Protocols,
    keys: Option<&tls::Keys>,
    listen: &Address,
    origin: &Address,
) -> String {
    let listener = match (client, keys) {
        (Protocol::Http2, _) => "http2 = { cleartext = true }\n".to_owned(),
        (Protocol::Http1Tls, Some(keys)) => {
            let path = keys.directory.path().display();
            format!(
                "[listener.tls]\n[[listener.tls.certificates]]\ncert = \"{path}/cert.pem\"\nkey = \"{path}/key.pem\"\n"
            )
        }
        _ => String::new(),
    };
    let options = match upstream {
        Protocol::Http1 => "",
        Protocol::Http1Tls => "tls = { verify = false }\n",
        Protocol::Http2 => "http = \"2\"\n",
    };
    format!(
        "[server]\nshards = 1\n[log.access]\npath = \"unused.log\"\nformat = \"json\"\n\
         [[listener]]\nbind = \"{listen}\"\n{listener}\
         [upstream.origin]\nendpoints = \"{origin}\"\n{options}\
         [[route]]\nname = \"all\"\npath_prefix = \"/\"\nto = \"origin\"\n"
    )
}

/// What a control plane is to a shard: it reads what the shard says, and answers where an answer is needed.
pub(crate) struct Plane {
    host: Sim,
    to_shard: Sender<ToShard<SimSocket>>,
    said: Receiver<(usize, FromShard)>,
    reported: Receiver<FromShard>,
    bell: Bell,
    leases: Leases,
}

impl Plane {
    /// Starts a shard with this configuration.
    pub(crate) fn start(simulation: &Simulation, listen: &Address, text: String) -> Plane {
        let environment = Environment { files: FileAccess::Allowed, ..Environment::sealed() };
        let source = ConfigSource::Text { name: "bench".to_owned(), text };
        let plan = load(&source, &environment).unwrap_or_else(|reports| panic!("{reports:?}")).plan;
        let leases = Leases::of(&plan);
        let (to_shard, inbox) = bounded(TO_SHARD_MAX);
        let (queue, said) = bounded(FROM_SHARD_MAX);
        let (reports, reported) = bounded(REPORTS_MAX);
        let outbox = Outbox { queue, reports, wake: Arc::new(|| ()), shard: 0 };
        let counters = Counters::new(plan.routes.len(), plan.upstreams.len(), plan.policies.len());
        let counters = Arc::new(counters.with_versions(plan.versions.len()));
        let socket = SimSocket { address: listen.clone(), backlog: 64 };
        let sockets = vec![ListeningSocket { listener: ListenerId(0), address: listen.clone(), socket }];
        let generation = plan.generation;
        let directory = directory(&plan);
        to_shard.send(ToShard::Prepare { plan, counters, sockets, transcoders: Vec::new() }).expect("an empty queue");
        to_shard.send(directory).expect("room for it");
        to_shard.send(ToShard::Commit { generation }).expect("room for it");
        let host = simulation.host("shard", [10, 0, 1, 1]);
        let bell = Bell::silent();
        let mesh = mesh(std::slice::from_ref(&bell)).remove(0);
        bell.ring();
        let ear = host.bell_waiter(&bell).expect("the simulator's bells have no descriptors to run out of");
        host.spawn(run(host.clone(), ShardEnd { shard: 0, inbox, outbox, mesh }, ear, "simulated"));
        // It listens before anybody connects.
        simulation.run_until(simulation.now().after_ms(1)).expect("a run without faults");
        Plane { host, to_shard, said, reported, bell, leases }
    }

    /// Reads what the shard has said: grants what it wants to lease, and drops the rest.
    pub(crate) fn answer(&mut self) {
        let now = (self.host.now(), self.host.wall());
        let said = self.said.try_iter().map(|(_, message)| message).chain(self.reported.try_iter());
        for answer in said.flat_map(|message| self.leases.answers(&message, now)) {
            self.to_shard.send(answer).expect("the shard reads");
            self.bell.ring();
        }
    }
}
