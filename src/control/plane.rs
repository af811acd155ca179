// SPDX-License-Identifier: Apache-2.0
//! What the control plane holds: the state of the process and of everything that it looks after.
//!
//! Only state and what several parts do with it. `dispatch` handles events, `reload` brings plans into use, `stop` ends
//! the process, `pages` shows what is here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::base::Tick;
use crate::config::plan::{Plan, ProcessPlan};
use crate::config::{Loaded, Reports, Spec, Texts};
use crate::control::admin::{AdminServer, AdminState, LevelChange, LevelState};
use crate::control::directory::Registry;
use crate::control::discovery::{Discovery, EndpointUpdate, Question};
use crate::control::listen::Sockets;
use crate::control::load::Ready;
use crate::control::log::Log;
use crate::control::notices::Notices;
use crate::control::probe::{Check, Probes};
use crate::control::questions::Questions;
use crate::control::quotas::Quotas;
use crate::control::reflect::Reflections;
use crate::control::reloads::Reloads;
use crate::control::resolve::{Resolver, SystemLookup};
use crate::control::retired::Retired;
use crate::control::rollout::Rollout;
use crate::control::shards::Shards;
use crate::control::socket::ControlSocket;
use crate::control::sources::Sources;
use crate::control::state::State;
use crate::control::status::Status;
use crate::control::systemd::Supervisor;
use crate::control::tally::Tally;
use crate::control::traces::Traces;
use crate::control::upgrade::{Predecessor, Program, Successor};
use crate::control::upstreams::UpstreamReports;
use crate::control::usage::Usage;
use crate::link::ToShard;
use crate::policy::directory::Snapshot;

/// What the control plane needs of whoever starts it. Apart from `load`, nothing here may block.
pub(crate) trait Host: Send + Sync + 'static {
    /// The name of the configuration's source, for messages.
    fn source(&self) -> String;
    /// Reads and compiles the configuration; its own texts are not read again where they are `kept`. Called on other
    /// threads.
    fn load(&self, kept: Option<&Texts>) -> Result<Loaded, Reports>;
    /// Where the control socket is to be, whatever the configuration says.
    fn control_socket(&self) -> Option<PathBuf>;
    /// Applies the process-wide settings of a plan that is in use, such as the log level.
    fn follow(&self, plan: &Plan);
    /// The level of the process log; changes it first where that is asked for.
    fn log_level(&self, change: LevelChange) -> LevelState;
    /// A configuration is refused: reports why.
    fn refused(&self, reports: &Reports);
    /// The first plan is in use. Called once.
    fn serving(&self, status: &Status);
    /// Lines of the process log that were dropped because standard error did not take them.
    fn messages_dropped(&self) -> u64;
}

/// What does not change while the process lives.
pub(super) struct Setup {
    /// Whoever started the control plane.
    pub host: Arc<dyn Host>,
    /// How to start the same program again.
    pub program: Option<Program>,
    /// The process that this one takes over from.
    pub predecessor: Option<Predecessor>,
    /// Where configurations that were compiled come back.
    pub loads: mpsc::Sender<Box<Result<Ready, Reports>>>,
    /// Where snapshots of the directory come back.
    pub merged: mpsc::Sender<Arc<Snapshot>>,
    /// What the admin servers share.
    pub admin: Rc<AdminState>,
    /// Calendar time of the start, seconds since 1970.
    pub started_seconds: f64,
    /// The start.
    pub started: Tick,
}

/// The control plane.
pub(super) struct Plane {
    pub(super) setup: Setup,
    pub(super) state: State,
    pub(super) shards: Shards,
    pub(super) rollout: Rollout,
    pub(super) reloads: Reloads,
    pub(super) current: Option<Current>,
    /// The process settings of the first plan; some of them stay until the process ends.
    pub(super) process: Option<ProcessPlan>,
    /// Plans that were replaced.
    pub(super) retired: Retired,
    /// Who may call.
    pub(super) registry: Registry,
    /// Who called what, on its way to the store.
    pub(super) usage: Usage,
    pub(super) tally: Arc<Tally>,
    /// Whose turn it is to write a page: one at a time.
    pub(super) pages: Rc<Semaphore>,
    pub(super) upstreams: Rc<UpstreamReports>,
    pub(super) sockets: Sockets,
    pub(super) log: Option<Log>,
    pub(super) log_dropped_before: u64,
    pub(super) notices: Notices,
    pub(super) traces: Traces,
    pub(super) discovery: Discovery,
    pub(super) resolver: Resolver<SystemLookup>,
    pub(super) unresolved: BTreeMap<Question, String>,
    pub(super) probes: Probes,
    pub(super) reflections: Reflections,
    pub(super) sources: Sources,
    pub(super) questions: Questions,
    /// Parents of limits that are counted in a database.
    pub(super) quotas: Quotas,
    pub(super) supervisor: Supervisor,
    /// A successor that was started and does not serve yet.
    pub(super) successor: Option<Successor>,
    pub(super) admin: Option<AdminServer>,
    pub(super) control: Option<(ControlSocket, AdminServer)>,
    pub(super) driver: &'static str,
    pub(super) timers: Timers,
}

/// The plan in use, with what belongs to it.
#[derive(Debug)]
pub(super) struct Current {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What it was compiled from.
    pub spec: Arc<Spec>,
    /// What that was read from.
    pub texts: Arc<Texts>,
    /// How the endpoints of each upstream are probed.
    pub checks: BTreeMap<Arc<str>, Rc<Check>>,
}

/// How often to look at certificates.
pub(super) const CERTIFICATES: Duration = Duration::from_secs(24 * 60 * 60);

/// When what must be done next.
#[derive(Debug)]
pub(super) struct Timers {
    pub(super) flush: Tick,
    pub(super) sweep: Tick,
    /// When to look at certificates.
    pub(super) certificates: Tick,
    pub(super) alive: Tick,
    /// When to look whether traces are over.
    pub(super) traces: Tick,
    /// When to look at the parents of limits.
    pub(super) quotas: Tick,
}

impl Timers {
    /// Nothing is due before `now`.
    pub(super) fn new(now: Tick) -> Timers {
        let certificates = now.after(CERTIFICATES);
        Timers { flush: Tick::NEVER, sweep: now, certificates, alive: now, traces: Tick::NEVER, quotas: Tick::NEVER }
    }
}

impl Plane {
    /// Gives lines to the access log. Drops them where a plan without a log has replaced the one that wrote them.
    pub(super) fn write_lines(&self, lines: Vec<u8>) {
        if let Some(log) = &self.log {
            log.write(lines);
        }
    }

    pub(super) fn tell_endpoints(&mut self, listed: &EndpointUpdate) {
        let generation = self.discovery.generation();
        self.shards.send_all(|_| ToShard::Endpoints {
            upstream: Arc::clone(&listed.upstream),
            endpoints: Arc::clone(&listed.endpoints),
            generation,
        });
    }

    /// Asks servers outside for what the plan in use and the one that is being prepared need.
    pub(super) fn reflect(&mut self) {
        let current = self.current.as_ref().map(|current| &current.plan);
        let plans = current.into_iter().chain(self.reloads.coming());
        self.reflections.follow(plans.clone().map(|plan| &**plan), &self.discovery);
        self.sources.follow(plans.map(|plan| &**plan));
    }

    /// Tells all shards the keys of issuers that are known: a policy that is new, or that changed, knows none.
    pub(super) fn tell_keys(&mut self) {
        for keys in self.sources.known() {
            self.shards.send_all(|_| ToShard::Keys(keys.clone()));
        }
    }

    /// The questions to DNS and servers without any result yet, for which a new plan waits a while.
    pub(super) fn open_questions(&self) -> usize {
        self.discovery.open_questions() + self.reflections.open() + self.sources.open()
    }

    /// Probes the endpoints of one upstream as the plan in use says.
    pub(super) fn probe(&mut self, listed: &EndpointUpdate) {
        let check = self.current.as_ref().and_then(|current| current.checks.get(&listed.upstream));
        self.probes.follow(&listed.upstream, check, &listed.endpoints);
    }
}
