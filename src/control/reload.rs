// SPDX-License-Identifier: Apache-2.0
//! Reload: a configuration is read and compiled on another thread, its sockets and files are opened, it is prepared on
//! all shards and then committed. A failure at any step leaves the old plan in use and is reported to the requester.
//!
//! Reloads run one at a time. All requests that arrive meanwhile share the next one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_local;

use crate::balance::Health;
use crate::base::Tick;
use crate::config::plan::{AdminPlan, Plan};
use crate::config::{Files, Loaded, Report, Reports, diff};
use crate::control::admin::{Access, AdminServer};
use crate::control::discovery::EndpointUpdate;
use crate::control::events::Events;
use crate::control::listen::{ByShard, ListenFault};
use crate::control::load::{self, Change, Ready, Running};
use crate::control::log::Log;
use crate::control::plane::{Current, Plane};
use crate::control::probe::Check;
use crate::control::reloads::{Candidate, Cause, ReloadResponder, STOPPING, Unbound};
use crate::control::rollout::{PREPARE_MAX, RolloutStep};
use crate::control::socket::{ControlSocket, TakeOver};
use crate::control::state::State;
use crate::control::tally::CounterSet;
use crate::control::watch::{Scope, Watch, read_settled};
use crate::link::{FROM_SHARD_MAX, FromShard, ToShard};
use crate::net::machine;
use crate::net::sockets::{ListenOptions, ListenSocket, listen};
use crate::wire::grpc::json::Transcoder;

/// Longest wait for a replaced log to be written to its end.
const LOG_CLOSE: Duration = Duration::from_secs(5);
/// How long binding an address that is in use is attempted: the kernel lets go of the sockets of a process that was
/// killed only some time after its end, because its ring held them.
const BIND_MAX: Duration = Duration::from_secs(2);
/// The interval of these attempts.
const BIND_AGAIN: Duration = Duration::from_millis(20);

impl Plane {
    /// Reads the configuration again, for the reason given.
    pub(super) fn reload(&mut self, why: &str, cause: Cause, reply: Option<ReloadResponder>) {
        match self.state {
            State::Starting | State::Serving => {}
            State::Leaving { .. } | State::Draining { .. } | State::Ending { .. } | State::Ended { .. } => {
                if let Some(reply) = reply {
                    let _ = reply.send(Err(STOPPING.to_owned()));
                }
                return;
            }
        }
        tracing::info!(why, "reloading the configuration");
        self.reloads.ask(cause, reply);
        self.load_if_idle();
    }

    /// The first plan, which was compiled before the process had shards.
    pub(super) fn begin(&mut self, loaded: Loaded) {
        self.reloads.ask(Cause::Asked, None);
        self.reloads.begin(SystemTime::now());
        self.load(move || Ok(loaded));
    }

    fn load_if_idle(&mut self) {
        let Some(cause) = self.reloads.begin(SystemTime::now()) else { return };
        self.supervisor.reloading(machine::now());
        let host = Arc::clone(&self.setup.host);
        let texts = self.current.as_ref().map(|current| Arc::clone(&current.texts));
        match cause {
            Cause::Asked => self.load(move || host.load(None)),
            Cause::Changed(Scope::Everything) => self.load(move || read_settled(|| host.load(None), files_of)),
            // Somebody may be editing the configuration while a certificate is renewed.
            Cause::Changed(Scope::Materials) => {
                self.load(move || read_settled(|| host.load(texts.as_deref()), files_of));
            }
        }
    }

    fn load(&self, read: impl FnOnce() -> Result<Loaded, Reports> + Send + 'static) {
        let current = self.current.as_ref();
        let running = Running {
            current: current.map(|current| (Arc::clone(&current.plan), Arc::clone(&current.spec))),
            log: self.log.as_ref().map(|log| log.target().clone()),
            reflected: self.reflections.descriptors(),
            shards: self.shards.count(),
        };
        let loads = self.setup.loads.clone();
        spawn_local(async move {
            let ready = load::load(read, running).await;
            // The receiver is gone only where the process ends.
            let _ = loads.send(Box::new(ready)).await;
        });
    }

    /// A configuration was compiled, or refused.
    pub(super) fn loaded(&mut self, ready: Result<Ready, Reports>, events: &mut Events) {
        self.reloads.loading = false;
        match self.state {
            State::Starting | State::Serving => {}
            State::Leaving { .. } | State::Draining { .. } | State::Ending { .. } | State::Ended { .. } => {
                return self.reloads.give_up();
            }
        }
        let ready = match ready {
            Ok(ready) => ready,
            Err(reports) => {
                // The operator may correct a file that only the refused configuration includes, so such files are
                // watched too.
                let mentioned = reports.files.iter().filter_map(|file| file.path.clone());
                let watches_texts = self.current.as_ref().is_some_and(|current| current.plan.process.watch);
                if let Some(watch) = events.watch.as_mut().filter(|_| watches_texts) {
                    let mut files = watch.files().clone();
                    files.texts.extend(mentioned);
                    *watch = Watch::over(files, self.reloads.since);
                }
                return self.refuse(&reports);
            }
        };
        let now = machine::now();
        self.prepare(Unbound { ready, at: now, until: now.after(BIND_MAX) });
    }

    /// Attempts again to bind addresses that were taken, when it is time.
    pub(super) fn bind_again(&mut self, now: Tick) {
        if let Some(unbound) = self.reloads.unbound.take_if(|unbound| now >= unbound.at) {
            self.prepare(unbound);
        }
    }

    /// Opens sockets that the plan needs and sends the plan to all shards to prepare.
    fn prepare(&mut self, unbound: Unbound) {
        let plan = Arc::clone(&unbound.ready.loaded.plan);
        let admin = self.admin_change(&plan);
        let opened = admin.and_then(|admin| Ok((admin, self.sockets.prepare(&plan)?)));
        match opened {
            Ok((admin, sockets)) => self.send_candidate(unbound.ready, admin, sockets),
            Err(fault) if fault.error.kind() == io::ErrorKind::AddrInUse && unbound.at < unbound.until => {
                self.reloads.unbound = Some(Unbound { at: machine::now().after(BIND_AGAIN), ..unbound });
            }
            Err(fault) => self.refuse(&Reports::of(Report::placeless(fault.to_string()))),
        }
    }

    fn send_candidate(&mut self, ready: Ready, admin: Change<ListenSocket>, sockets: ByShard) {
        let Ready { loaded, changes, transcoders, counters, log, store } = ready;
        let Loaded { plan, spec, files, texts, warnings } = loaded;
        self.discovery.expect(&plan);
        self.resolver.follow(self.discovery.questions());
        self.rollout.begin(plan.generation, machine::now());
        self.send_prepare(&plan, &counters, sockets, transcoders);
        self.tally.begin(counters);
        let warnings = if warnings.list.is_empty() { String::new() } else { warnings.plain() };
        let spec = Arc::new(spec);
        self.reloads.candidate = Some(Candidate { plan, spec, changes, files, texts, warnings, log, store, admin });
        self.reflect();
        self.tell_keys();
        self.tell_revoked();
    }

    fn send_prepare(
        &mut self,
        plan: &Arc<Plan>,
        counters: &CounterSet,
        sockets: ByShard,
        transcoders: Vec<Vec<Option<Transcoder>>>,
    ) {
        let parts = counters.shards().iter().cloned().zip(sockets).zip(transcoders);
        for (shard, ((counters, sockets), transcoders)) in parts.enumerate() {
            let plan = Arc::clone(plan);
            self.shards.send(shard, ToShard::Prepare { plan, counters, sockets, transcoders });
        }
    }

    fn admin_change(&mut self, plan: &Plan) -> Result<Change<ListenSocket>, ListenFault> {
        let current = self.current.as_ref().and_then(|current| current.plan.admin.as_ref());
        match (&plan.admin, current) {
            (None, _) => Ok(Change::Remove),
            (Some(admin), Some(current)) if admin.bind == current.bind => Ok(Change::Keep),
            (Some(AdminPlan { bind, .. }), _) => {
                match self.sockets.inherited_at(bind).map_or_else(|| open_admin(plan), Ok) {
                    Ok(socket) => Ok(Change::Replace(socket)),
                    Err(error) => Err(ListenFault { listener: None, address: bind.clone(), error }),
                }
            }
        }
    }

    /// Takes the next steps of the rollout.
    pub(super) fn step_rollout(&mut self, events: &mut Events) {
        while !self.rollout.idle() {
            match self.rollout.step(self.open_questions(), machine::now()) {
                RolloutStep::Wait => return,
                RolloutStep::Commit => self.commit(events),
                RolloutStep::Done => self.committed(events),
                RolloutStep::Discard => self.discard(),
                RolloutStep::Slow(shards) => {
                    tracing::error!(shards, "shards have not committed the new configuration yet")
                }
            }
        }
    }

    fn commit(&mut self, events: &mut Events) {
        let Some(candidate) = &mut self.reloads.candidate else { return };
        let store = candidate.store.take();
        let plan = Arc::clone(&candidate.plan);
        // Shards take endpoints and health for the prepared plan too, so that it starts with all that is known.
        self.discovery.adopt(&plan);
        let beyond: Vec<EndpointUpdate> = self.discovery.beyond_plan().collect();
        beyond.iter().for_each(|listed| self.tell_endpoints(listed));
        for (target, health) in self.probes.known() {
            self.shards.send_all(|_| ToShard::Health {
                upstream: Arc::clone(&target.upstream),
                address: target.address.clone(),
                up: health != Health::Down,
            });
        }
        if let Some(opened) = store {
            self.begin_store(opened, events);
        }
        self.declare(&plan);
        self.follow_quotas(&plan);
        self.shards.send_all(|_| ToShard::Commit { generation: plan.generation });
    }

    /// The plan is in use on all shards.
    fn committed(&mut self, events: &mut Events) {
        let Some(candidate) = self.reloads.candidate.take() else { return };
        let Candidate { plan, spec, changes, files, texts, warnings, log, admin, store: _ } = candidate;
        self.tally.commit(plan.generation);
        self.sockets.commit(&plan);
        self.replace_log(log, events);
        self.replace_admin(admin, plan.admin.clone());
        let running = self.process.get_or_insert_with(|| plan.process.clone());
        let notes = diff::restart_needed(running, &plan.process);
        let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
        let checks = plan
            .upstreams
            .iter()
            .filter_map(|upstream| Some((Arc::clone(&upstream.name), Rc::new(Check::of(upstream)?))));
        let checks: BTreeMap<_, _> = checks.collect();
        self.setup.host.follow(&plan);
        *self.setup.admin.key_prefix.borrow_mut() = Arc::clone(&plan.key_prefix);
        let before = self.current.replace(Current { plan: Arc::clone(&plan), spec, texts, checks });
        self.retired.add(before.map(|before| (before.plan, before.spec)));
        self.resolver.follow(self.discovery.questions());
        let discovery = &self.discovery;
        self.unresolved.retain(|question, _| discovery.is_asked(question));
        self.probe_all();
        self.reflect();
        let since = self.reloads.since;
        let files = if plan.process.watch { files } else { Files { texts: Vec::new(), ..files } };
        events.watch = Some(Watch::over(files, since));
        self.reloads.done += 1;
        match self.state {
            State::Starting => tracing::info!("serving"),
            State::Serving
            | State::Leaving { .. }
            | State::Draining { .. }
            | State::Ending { .. }
            | State::Ended { .. } => {
                tracing::info!(generation = plan.generation, %changes, "configuration reloaded");
            }
        }
        self.serve();
        self.reloads.reply(&Ok(format!("{changes}\n{notes}{warnings}")));
        self.load_if_idle();
    }

    fn discard(&mut self) {
        let Some(candidate) = self.reloads.candidate.take() else { return };
        let generation = candidate.plan.generation;
        self.shards.send_all(|_| ToShard::Discard { generation });
        self.tally.discard(generation);
        self.retired.add(Some((candidate.plan, candidate.spec)));
        self.sockets.discard();
        self.discovery.expect_nothing();
        self.resolver.follow(self.discovery.questions());
        self.reflect();
        let words = format!("not all shards prepared the configuration within {} seconds", PREPARE_MAX.as_secs());
        self.refuse(&Reports::of(Report::placeless(words)));
    }

    fn refuse(&mut self, reports: &Reports) {
        self.reloads.refused += 1;
        self.setup.host.refused(reports);
        if self.current.is_none() {
            return self.end(1);
        }
        tracing::error!("reload failed; the old configuration stays in use");
        self.supervisor.ready("the last reload failed, the configuration before it stays in use");
        self.reloads.reply(&Err(reports.plain()));
        self.load_if_idle();
    }

    fn replace_log(&mut self, change: Change<Log>, events: &mut Events) {
        let new = match change {
            Change::Keep => return,
            Change::Replace(log) => Some(log),
            Change::Remove => None,
        };
        // Lines that shards wrote under the old plan wait behind their reports. They belong into the old log.
        for _ in 0..FROM_SHARD_MAX {
            let Some((shard, message)) = events.shards.other() else { break };
            match message {
                FromShard::LogLines(lines) => self.write_lines(lines),
                FromShard::Notice(notice) => self.notices.log(*notice, machine::now()),
                FromShard::Question(ticket, question) => self.asked(shard, ticket, *question),
                FromShard::Lease(message) => self.lease(shard, &message),
                // Reports have queues of their own.
                FromShard::Started { .. }
                | FromShard::Prepared { .. }
                | FromShard::Committed { .. }
                | FromShard::Applied { .. }
                | FromShard::Upstreams(_)
                | FromShard::Usage(_)
                | FromShard::Drained
                | FromShard::Trace(_)
                // Whoever waits for it waits for its deadline.
                | FromShard::Failed { .. } => {}
            }
        }
        if let Some(old) = std::mem::replace(&mut self.log, new) {
            self.log_dropped_before += old.dropped();
            tokio::task::spawn_blocking(move || old.close(LOG_CLOSE));
        }
    }

    fn replace_admin(&mut self, change: Change<ListenSocket>, plan: Option<AdminPlan>) {
        let access = plan.map_or(Access::Everything, |plan| Access::Listener(Arc::new(plan)));
        match change {
            Change::Keep => self.admin.iter().for_each(|admin| admin.allow(access.clone())),
            Change::Remove => self.admin = None,
            Change::Replace(socket) => match AdminServer::start(socket, access, Rc::clone(&self.setup.admin)) {
                Ok(server) => self.admin = Some(server),
                Err(error) => tracing::error!(%error, "the admin listener cannot be served"),
            },
        }
    }

    fn probe_all(&mut self) {
        let named: Vec<EndpointUpdate> = self
            .discovery
            .all()
            .map(|(name, endpoints)| EndpointUpdate { upstream: Arc::clone(name), endpoints: Arc::clone(endpoints) })
            .collect();
        named.iter().for_each(|listed| self.probe(listed));
        let discovery = &self.discovery;
        self.probes.keep_upstreams(|upstream| discovery.knows(upstream));
    }

    /// The first plan is in use: opens the control socket and reports that the process serves.
    fn serve(&mut self) {
        self.bind_control();
        let first = matches!(self.state, State::Starting);
        if first {
            self.state = State::Serving;
        }
        let upstreams = self.discovery.all().count();
        let listeners = self.current.as_ref().map_or(0, |current| current.plan.listeners.len());
        self.supervisor.ready(&format!("{listeners} listeners, {upstreams} upstreams"));
        if !first {
            return;
        }
        if let Some(predecessor) = &self.setup.predecessor
            && let Err(error) = predecessor.serves()
        {
            tracing::warn!(%error, "binary upgrade: the old process could not be notified that this one serves");
        }
        self.setup.host.serving(&self.status());
    }

    fn bind_control(&mut self) {
        if self.control.is_some() {
            return;
        }
        let configured = || self.current.as_ref()?.plan.process.control_socket.clone();
        let wanted = self.setup.host.control_socket().or_else(configured);
        let take_over = if self.setup.predecessor.is_some() { TakeOver::Predecessor } else { TakeOver::Refuse };
        let served = ControlSocket::bind(wanted.as_deref(), take_over).and_then(|(socket, listening)| {
            let server = AdminServer::start(listening, Access::Everything, Rc::clone(&self.setup.admin))?;
            Ok((socket, server))
        });
        match served {
            Ok(control) => self.control = Some(control),
            Err(error) => tracing::warn!(%error, "no control socket; signals still work"),
        }
    }
}

/// The files that a configuration was read from, or that its faults are in.
fn files_of(read: &Result<Loaded, Reports>) -> Vec<PathBuf> {
    match read {
        Ok(loaded) => loaded.files.all().map(Path::to_owned).collect(),
        Err(reports) => reports.files.iter().filter_map(|file| file.path.clone()).collect(),
    }
}

fn open_admin(plan: &Plan) -> io::Result<ListenSocket> {
    let bind = plan.admin.as_ref().map(|admin| &admin.bind);
    let bind = bind.ok_or(io::ErrorKind::NotFound)?;
    listen(bind, &ListenOptions { backlog: 128, reuse_port: false, ..ListenOptions::default() })
}
