// SPDX-License-Identifier: Apache-2.0
//! The control plane's loop: one event at a time, each handled at once and without waiting.
//!
//! What takes time (compiling, DNS, probes, writing logs) runs elsewhere and comes back as an event.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::Health;
use crate::base::Tick;
use crate::control::admin::job::{ReadJob, WriteOrder};
use crate::control::admin::{AdminRequest, AdminServer, EndpointChange, Readiness, StopMode};
use crate::control::events::{Event, Events, Signal};
use crate::control::overrides::{Override, OverrideFault};
use crate::control::plane::{CERTIFICATES, Plane};
use crate::control::probe::HealthChange;
use crate::control::questions::Answered;
use crate::control::reflect::Reflected;
use crate::control::reloads::Cause;
use crate::control::resolve::Resolution;
use crate::control::sources::Told;
use crate::control::state::State;
use crate::control::upgrade::Successor;
use crate::link::{FromShard, ToShard};
use crate::net::machine;
use crate::policy::{Question, Ticket};

/// The retry interval of full queues to shards.
const FLUSH_AGAIN: Duration = Duration::from_millis(5);
/// Accounts of limits are tidied this often.
const SWEEP: Duration = Duration::from_secs(1);
/// What `/readyz` says while the store fails: the gateway serves what it knows, and refuses writes.
const STORE_DOWN: &str = "the store cannot be read or written";
/// What it says while a database of quotas fails: `on_outage` of each limit says what happens to requests.
const QUOTAS_AWAY: &str = "the database of quotas cannot be reached; the log says why";
/// Most messages from shards that are handled in a row before other events.
const SHARD_MESSAGES_MAX: usize = 1_024;

impl Plane {
    /// Handles events until the process may end; gives its exit code.
    pub(super) async fn run(mut self, events: &mut Events) -> u8 {
        loop {
            self.tick(events);
            if let State::Ended { code } = self.state {
                // What shards sent before they ended: the last lines of the log among it.
                while let Some((shard, message)) = events.shards.next() {
                    self.take_report(shard, message);
                }
                self.close_usage(events).await;
                self.surrender_quotas(events).await;
                self.last_words();
                return code;
            }
            let event = events.next(self.wake_at()).await;
            self.handle(event, events);
        }
    }

    /// Handles one event.
    pub(super) fn handle(&mut self, event: Event, events: &mut Events) {
        match event {
            Event::Signal(signal) => self.signal(signal, events),
            Event::Ask(ask) => self.ask(ask),
            Event::Shards => self.take_reports(events),
            Event::Answer(answer) => self.answer(answer),
            Event::Verdict(verdict) => self.verdict(verdict),
            Event::Reflected(received) => self.reflected(received),
            Event::Stored(event) => self.stored(event),
            Event::Merged(snapshot) => self.merged(&snapshot),
            Event::Usage(event) => self.usage_ended(event),
            Event::Told(told) => self.told(told),
            Event::Answered(answered) => self.answered(answered),
            Event::Settled(settled) => self.settled(settled),
            Event::Loaded(loaded) => self.loaded(*loaded, events),
            Event::FilesChanged(scope) => self.reload("a file changed", Cause::Changed(scope), None),
            Event::Successor(outcome) => self.successor(outcome, events),
            Event::Time => {}
        }
    }

    /// Does what is due.
    fn tick(&mut self, events: &mut Events) {
        let now = machine::now();
        self.timers.flush = if self.shards.flush() { now.after(FLUSH_AGAIN) } else { Tick::NEVER };
        if now >= self.timers.sweep {
            self.retired.sweep(&self.tally);
            self.free_snapshots();
            self.timers.sweep = now.after(SWEEP);
        }
        if now >= self.timers.certificates {
            self.warn_of_certificates();
            self.timers.certificates = now.after(CERTIFICATES);
        }
        if now >= self.timers.traces {
            if self.traces.sweep(now) {
                self.tell_traces();
            }
            self.timers.traces = self.traces.sweep_at(now);
        }
        self.sweep_quotas(now);
        if let Some(pause) = self.supervisor.watchdog()
            && now >= self.timers.alive
        {
            self.supervisor.alive();
            self.timers.alive = now.after(pause);
        }
        self.step_usage(now);
        self.registry.answer(now);
        self.bind_again(now);
        self.step_rollout(events);
        self.step_stop(now);
    }

    fn wake_at(&self) -> Tick {
        let watchdog = if self.supervisor.watchdog().is_some() { self.timers.alive } else { Tick::NEVER };
        let retired = self.retired.count() > 0 || self.registry.holds_retired();
        let sweep = if !retired { Tick::NEVER } else { self.timers.sweep };
        let idle = self.rollout.idle();
        let rollout = if idle { Tick::NEVER } else { self.rollout.wake_at(self.open_questions()) };
        let timers =
            self.timers.flush.min(self.timers.certificates).min(self.timers.traces).min(self.registry.wake_at());
        let timers = timers.min(self.timers.quotas);
        let dues = [timers, self.usage_at(), sweep, watchdog, rollout, self.reloads.bind_at(), self.state.deadline()];
        dues.into_iter().min().unwrap_or(Tick::NEVER)
    }

    fn signal(&mut self, signal: Signal, events: &mut Events) {
        match signal {
            Signal::Reload => self.reload("SIGHUP", Cause::Asked, None),
            Signal::Drain => self.stop(StopMode::Drain),
            Signal::StopNow => self.stop(StopMode::Now),
            Signal::ReopenLogs => {
                if self.log.as_ref().is_some_and(|log| !log.reopen()) {
                    tracing::error!("access log: the writer thread is too far behind to reopen the file");
                }
            }
            Signal::Upgrade => self.upgrade(events),
        }
    }

    fn ask(&mut self, ask: AdminRequest) {
        // The requester may have disconnected; then nobody waits for the response.
        match ask {
            AdminRequest::Ready(reply) => {
                let _ = reply.send(self.readiness());
            }
            AdminRequest::Metrics(reply) => self.send_metrics(reply),
            AdminRequest::Status(reply) => self.send_status(reply),
            AdminRequest::Reload(reply) => self.reload("requested", Cause::Asked, Some(reply)),
            AdminRequest::Trace(request, reply) => {
                let now = machine::now();
                // A trace whose reader has disconnected makes room for the new one.
                self.traces.sweep(now);
                let begun = self.traces.begin(request, now);
                self.tell_traces();
                self.timers.traces = self.traces.sweep_at(now);
                let _ = reply.send(begun);
            }
            AdminRequest::Write(order, reply) => {
                let WriteOrder { write, by, idempotency } = *order;
                self.write(write, by, idempotency, reply);
            }
            AdminRequest::Read(job) => self.read(job),
            AdminRequest::Traces(reply) => {
                let _ = reply.send(self.traces.status(machine::now()));
            }
            AdminRequest::LogLevel(change, reply) => {
                let _ = reply.send(self.setup.host.log_level(change));
            }
            AdminRequest::LimitKey(request, reply) => self.limit_key(request, reply),
            AdminRequest::EndSessions(order, reply) => {
                let _ = reply.send(self.end_sessions_of(&order));
            }
            AdminRequest::Endpoint(change, reply) => {
                let _ = reply.send(self.set_share(&change));
            }
            AdminRequest::Stop(mode, reply) => {
                self.stop(mode);
                let words = match mode {
                    StopMode::Drain => "stopping when running requests ended\n",
                    StopMode::Now => "stopping\n",
                };
                let _ = reply.send(words.to_owned());
            }
        }
    }

    /// Sets the share of an endpoint on all shards.
    fn set_share(&mut self, change: &EndpointChange) -> Result<(), OverrideFault> {
        let EndpointChange { upstream, endpoint, to } = change;
        let Some(listed) = self.discovery.set_share(upstream, endpoint, *to)? else { return Ok(()) };
        match to {
            Some(Override::Drain) => tracing::info!(%upstream, %endpoint, "endpoint is drained by an operator"),
            Some(Override::Weight(weight)) => {
                tracing::info!(%upstream, %endpoint, weight, "endpoint has another weight by an operator");
            }
            None => tracing::info!(%upstream, %endpoint, "endpoint has its configured weight again"),
        }
        self.tell_endpoints(&listed);
        Ok(())
    }

    /// Reads the store, on its thread; without one, what the configuration declares is all that there is.
    fn read(&mut self, job: ReadJob) {
        let declared = Arc::clone(self.registry.declared());
        match self.registry.store() {
            Ok(store) => {
                // The answer goes out of the job itself; where too much waits for the disk, it is dropped with it.
                drop(store.ask(move |connection| job.run(Some(connection), &declared)));
            }
            Err(_) => {
                let _ = job.run(None, &declared);
            }
        }
    }

    fn tell_traces(&mut self) {
        let orders = self.traces.orders();
        self.shards.send_all(|_| ToShard::Trace(Arc::clone(&orders)));
    }

    fn readiness(&self) -> Readiness {
        match self.state {
            State::Starting => Readiness::Not("starting"),
            State::Serving if self.registry.is_up() == Some(false) => Readiness::Degraded(STORE_DOWN),
            State::Serving if self.quotas.is_away() => Readiness::Degraded(QUOTAS_AWAY),
            State::Serving => Readiness::Ready,
            State::Leaving { .. } | State::Draining { .. } | State::Ending { .. } | State::Ended { .. } => {
                Readiness::Not("draining")
            }
        }
    }

    fn take_reports(&mut self, events: &mut Events) {
        for _ in 0..SHARD_MESSAGES_MAX {
            let Some((shard, message)) = events.shards.next() else {
                self.look_after_shards();
                return;
            };
            self.take_report(shard, message);
        }
        // More may wait than one turn takes.
        events.shards.again();
    }

    fn take_report(&mut self, shard: usize, message: FromShard) {
        self.rollout.take_report(shard, &message);
        match message {
            FromShard::Started { driver } => self.driver = driver,
            FromShard::Prepared { .. } | FromShard::Committed { .. } => {}
            FromShard::Applied { revision } => self.applied(shard, revision),
            FromShard::LogLines(lines) => self.write_lines(lines),
            FromShard::Lease(message) => self.lease(shard, &message),
            FromShard::Question(ticket, question) => self.asked(shard, ticket, *question),
            FromShard::Notice(notice) => self.notices.log(*notice, machine::now()),
            FromShard::Trace(trace) => {
                // The log has its own time before the line.
                let words = trace.text.split_once(' ').map_or(&*trace.text, |(_, words)| words);
                tracing::debug!("{}", words.trim_end().replace('\n', " |"));
                self.traces.deliver(&trace);
            }
            FromShard::Upstreams(report) => self.upstreams.receive(shard, report, machine::now()),
            FromShard::Usage(batch) => self.take_usage(shard, *batch),
            FromShard::Drained => self.drained(shard),
            FromShard::Failed { reason } => self.shard_failed(shard, &reason),
        }
    }

    fn answer(&mut self, answer: Resolution) {
        match answer {
            Resolution::Found(question, found) => {
                if self.unresolved.remove(&question).is_some() {
                    tracing::info!(name = %question.name, "DNS name resolves again");
                }
                for listed in self.discovery.learn(question, found) {
                    self.probe(&listed);
                    self.tell_endpoints(&listed);
                }
                self.reflect();
            }
            Resolution::Failed(question, reason) => {
                if !self.unresolved.contains_key(&question) {
                    tracing::warn!(name = %question.name, %reason, "DNS lookup failed; the last addresses stay in use");
                }
                self.unresolved.insert(question, reason);
            }
        }
    }

    fn reflected(&mut self, received: Reflected) {
        let source = received.source;
        for (shard, transcoders) in received.transcoders.into_iter().enumerate() {
            self.shards.send(shard, ToShard::Transcoders { source: Arc::clone(&source), transcoders });
        }
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Keys(keys) => self.shards.send_all(|_| ToShard::Keys(keys.clone())),
            Told::Answer(askers, answer) => {
                for (shard, ticket) in askers {
                    self.shards.send(shard, ToShard::Answer(ticket, answer.clone()));
                }
            }
            Told::Ended(ended) => self.end_sessions(ended),
            Told::Remembered(revoked) => self.revoke(&revoked),
            Told::Session(row) => self.note_session(*row),
        }
    }

    /// Takes a policy's question.
    pub(super) fn asked(&mut self, shard: usize, ticket: Ticket, question: Question) {
        let asker = (shard, ticket);
        let answer = match question {
            Question::Password(_) | Question::Nonce(_) | Question::Address(_) | Question::Sign(_) => {
                self.questions.ask(asker, question, machine::now())
            }
            Question::Keys(_) | Question::Token(_) | Question::Login(..) => self.sources.ask(asker, question),
        };
        if let Some(answer) = answer {
            self.shards.send(shard, ToShard::Answer(ticket, answer));
        }
    }

    fn answered(&mut self, answered: Answered) {
        self.questions.ended(&answered.answer);
        let Answered { asker: (shard, ticket), answer } = answered;
        self.shards.send(shard, ToShard::Answer(ticket, answer));
    }

    fn verdict(&mut self, verdict: HealthChange) {
        let HealthChange { target, up, reason } = verdict;
        // A result for an endpoint that was removed meanwhile is dropped.
        if self.probes.health(&target) == Health::Unknown {
            return;
        }
        let (upstream, endpoint) = (&target.upstream, &target.address);
        if up {
            tracing::info!(%upstream, %endpoint, %reason, "endpoint is up");
        } else {
            tracing::warn!(%upstream, %endpoint, %reason, "endpoint is down");
        }
        self.shards.send_all(|_| ToShard::Health {
            upstream: Arc::clone(&target.upstream),
            address: target.address.clone(),
            up,
        });
    }

    fn upgrade(&mut self, events: &mut Events) {
        let serving = matches!(self.state, State::Serving);
        let Some(program) = self.setup.program.as_ref().filter(|_| serving && self.successor.is_none()) else {
            tracing::warn!("binary upgrade: a new process cannot be started now");
            return;
        };
        let admin = self.admin.as_ref().map(AdminServer::inheritable);
        match Successor::start(program, self.sockets.all().chain(admin)) {
            Ok((successor, outcome)) => {
                let (pid, program) = (successor.pid(), program.path.display());
                tracing::info!(pid, %program, "binary upgrade: the new process starts");
                self.successor = Some(successor);
                events.successor = Some(outcome);
            }
            Err(error) => {
                tracing::error!(%error, "binary upgrade: a new process cannot be started; this one continues")
            }
        }
    }

    fn successor(&mut self, outcome: Result<u32, String>, events: &mut Events) {
        events.successor = None;
        self.successor = None;
        let stops = match self.state {
            State::Starting | State::Serving => None,
            State::Leaving { .. } | State::Draining { .. } => Some(StopMode::Drain),
            State::Ending { .. } | State::Ended { .. } => Some(StopMode::Now),
        };
        match (outcome, stops) {
            // It began to serve just when this process was told to stop.
            (Ok(pid), Some(mode)) => {
                // The process has not been waited for, so no other process can have its number.
                let _ = machine::send_signal(pid, mode.signal());
            }
            (Err(reason), Some(_)) => tracing::info!(%reason, "the new process does not take over"),
            (Ok(pid), None) => {
                tracing::info!(pid, "binary upgrade: the new process serves; this one drains");
                self.supervisor.replaced_by(pid);
                self.shards.send_all(|_| ToShard::StopAccepting);
                self.sockets.hand_over();
                self.replaced();
            }
            (Err(reason), None) => tracing::error!(%reason, "binary upgrade failed; this process continues"),
        }
    }
}
