//! The control plane itself: one event at a time, each handled at once and without waiting.
//!
//! What takes time (compiling, DNS, probes, writing logs) runs elsewhere and comes back as an event. How a plan gets
//! into use is in `reload`, how the process ends in `stop`, what people and machines may look at in `pages`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::balance::Health;
use crate::base::Tick;
use crate::config::plan::{Plan, ProcessPlan};
use crate::config::{Loaded, Reports};
use crate::control::admin::{AdminServer, Ask, Readiness, StopMode};
use crate::control::ears::{Ears, Event, Signal};
use crate::control::lease::Leases;
use crate::control::listen::Sockets;
use crate::control::log::Log;
use crate::control::names::{Book, Listed, Question};
use crate::control::probe::{Check, Probes, Verdict};
use crate::control::reflect::{Reflected, Reflections};
use crate::control::reload::Reloads;
use crate::control::resolve::{Answer, Resolver, SystemLookup};
use crate::control::rollout::Rollout;
use crate::control::shards::Shards;
use crate::control::socket::ControlSocket;
use crate::control::status::Status;
use crate::control::stop::State;
use crate::control::systemd::Supervisor;
use crate::control::tally::Tally;
use crate::control::transcode::Ready;
use crate::control::upgrade::{Predecessor, Program, Successor};
use crate::link::{FromShard, ToShard};
use crate::net::machine;

/// Full queues towards shards are tried again after this.
const FLUSH_AGAIN: Duration = Duration::from_millis(5);
/// Accounts of limits are tidied this often.
const SWEEP: Duration = Duration::from_secs(1);
/// Messages from shards that are handled before anything else gets its turn.
const SHARD_MESSAGES_MAX: usize = 1_024;

/// What the control plane needs of whoever starts it.
pub trait Host: Send + Sync + 'static {
    /// Where the configuration comes from, for people.
    fn source(&self) -> String;
    /// Reads and compiles the configuration. Called on other threads.
    fn load(&self) -> Result<Loaded, Reports>;
    /// Where the control socket is to be, whatever the configuration says.
    fn control_socket(&self) -> Option<PathBuf>;
    /// A plan is in use: takes from it what concerns the host, such as the level of its own log.
    fn follow(&self, plan: &Plan);
    /// A configuration is refused: tells people why.
    fn refused(&self, reports: &Reports);
    /// The first plan is in use. Called once.
    fn serving(&self, status: &Status);
}

/// What does not change while the process lives.
pub struct Setup {
    /// Whoever started the control plane.
    pub host: Arc<dyn Host>,
    /// How to start the same program again.
    pub program: Option<Program>,
    /// The process that this one takes over from.
    pub predecessor: Option<Predecessor>,
    /// Where configurations that were compiled come back.
    pub loads: mpsc::Sender<Box<Result<Ready, Reports>>>,
    /// Where admin servers ask.
    pub asks: mpsc::Sender<Ask>,
    /// Calendar time of the start, seconds since 1970.
    pub started_seconds: f64,
    /// The start.
    pub started: Tick,
}

/// The control plane.
pub struct Plane {
    pub(super) setup: Setup,
    pub(super) state: State,
    pub(super) shards: Shards,
    pub(super) rollout: Rollout,
    pub(super) reloads: Reloads,
    pub(super) current: Option<Current>,
    /// As the first plan had it: some of it stays so until the process ends.
    pub(super) process: Option<ProcessPlan>,
    pub(super) tally: Tally,
    pub(super) sockets: Sockets,
    pub(super) log: Option<Log>,
    pub(super) log_dropped_before: u64,
    pub(super) book: Book,
    pub(super) resolver: Resolver<SystemLookup>,
    pub(super) unresolved: BTreeMap<Question, String>,
    pub(super) probes: Probes,
    pub(super) reflections: Reflections,
    pub(super) leases: Leases,
    pub(super) supervisor: Supervisor,
    pub(super) admin: Option<AdminServer>,
    pub(super) control: Option<(ControlSocket, AdminServer)>,
    pub(super) driver: &'static str,
    pub(super) timers: Timers,
}

/// The plan in use, with what belongs to it.
#[derive(Debug)]
pub struct Current {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What it was compiled from.
    pub spec: crate::config::Spec,
    /// How the endpoints of each upstream are probed.
    pub checks: BTreeMap<Arc<str>, Rc<Check>>,
}

/// When what must be done next.
#[derive(Debug)]
pub struct Timers {
    flush: Tick,
    sweep: Tick,
    alive: Tick,
}

impl Timers {
    /// Nothing is due before `now`.
    pub fn new(now: Tick) -> Timers {
        Timers { flush: Tick::NEVER, sweep: now, alive: now }
    }
}

impl Plane {
    /// Handles events until the process may end; gives its exit code.
    pub async fn run(mut self, ears: &mut Ears) -> u8 {
        loop {
            self.tick(ears);
            if let State::Ended { code } = self.state {
                // What shards sent before they ended: the last lines of the log among it.
                while let Some((shard, message)) = ears.shards.next() {
                    self.hear(shard, message);
                }
                self.last_words();
                return code;
            }
            let event = ears.next(self.wake_at()).await;
            self.handle(event, ears);
        }
    }

    /// Handles one event.
    pub fn handle(&mut self, event: Event, ears: &mut Ears) {
        match event {
            Event::Signal(signal) => self.signal(signal, ears),
            Event::Ask(ask) => self.ask(ask),
            Event::Shards => self.hear_shards(ears),
            Event::Answer(answer) => self.answer(answer),
            Event::Verdict(verdict) => self.verdict(verdict),
            Event::Reflected(told) => self.reflected(told),
            Event::Loaded(loaded) => self.loaded(*loaded, ears),
            Event::FilesChanged => self.reload("a file changed", None),
            Event::Successor(outcome) => self.successor(outcome, ears),
            Event::Time => {}
        }
    }

    /// Does what is due.
    fn tick(&mut self, ears: &mut Ears) {
        let now = machine::now();
        self.timers.flush = if self.shards.flush() { now.after(FLUSH_AGAIN) } else { Tick::NEVER };
        if now >= self.timers.sweep {
            self.leases.sweep(now);
            self.timers.sweep = now.after(SWEEP);
        }
        if let Some(pause) = self.supervisor.watchdog()
            && now >= self.timers.alive
        {
            self.supervisor.alive();
            self.timers.alive = now.after(pause);
        }
        self.step_rollout(ears);
        self.step_stop(now);
    }

    fn wake_at(&self) -> Tick {
        let watchdog = if self.supervisor.watchdog().is_some() { self.timers.alive } else { Tick::NEVER };
        let sweep = if self.leases.is_empty() { Tick::NEVER } else { self.timers.sweep };
        let rollout = self.rollout.wake_at(self.open_questions());
        [self.timers.flush, sweep, watchdog, rollout, self.state.deadline()].into_iter().min().unwrap_or(Tick::NEVER)
    }

    fn signal(&mut self, signal: Signal, ears: &mut Ears) {
        match signal {
            Signal::Reload => self.reload("SIGHUP", None),
            Signal::Drain => self.stop(StopMode::Drain),
            Signal::StopNow => self.stop(StopMode::Now),
            Signal::ReopenLogs => {
                if self.log.as_ref().is_some_and(|log| !log.reopen()) {
                    tracing::error!("the access log's writer is too far behind to reopen its file");
                }
            }
            Signal::Upgrade => self.upgrade(ears),
        }
    }

    fn ask(&mut self, ask: Ask) {
        // Whoever asked may be gone; then nobody misses the answer.
        match ask {
            Ask::Ready(reply) => {
                let _ = reply.send(self.readiness());
            }
            Ask::Metrics(reply) => {
                let _ = reply.send(self.metrics());
            }
            Ask::Status(reply) => {
                let _ = reply.send(Box::new(self.status()));
            }
            Ask::Reload(reply) => self.reload("asked to", Some(reply)),
            Ask::Stop(mode, reply) => {
                self.stop(mode);
                let words = match mode {
                    StopMode::Drain => "stopping when running requests ended\n",
                    StopMode::Now => "stopping\n",
                };
                let _ = reply.send(words.to_owned());
            }
        }
    }

    fn readiness(&self) -> Readiness {
        match self.state {
            State::Starting => Readiness::Not("starting"),
            State::Serving => Readiness::Ready,
            State::Draining { .. } | State::Ending { .. } | State::Ended { .. } => Readiness::Not("draining"),
        }
    }

    fn hear_shards(&mut self, ears: &mut Ears) {
        for _ in 0..SHARD_MESSAGES_MAX {
            let Some((shard, message)) = ears.shards.next() else {
                self.look_after_shards();
                return;
            };
            self.hear(shard, message);
        }
        // More may wait than one turn takes.
        ears.shards.again();
    }

    fn hear(&mut self, shard: usize, message: FromShard) {
        self.rollout.hear(shard, &message);
        match message {
            FromShard::Started { driver } => self.driver = driver,
            FromShard::Prepared { .. } | FromShard::Committed { .. } => {}
            FromShard::LogLines(lines) => {
                // Without a log, the plan that wrote them was replaced by one that has none.
                if let Some(log) = &self.log {
                    log.write(lines);
                }
            }
            FromShard::Lease(request) => {
                let replies = self.leases.receive(request, machine::now());
                for (shard, message) in replies {
                    self.shards.send(shard, message);
                }
            }
            FromShard::Drained => self.drained(shard),
            FromShard::Failed { reason } => self.shard_failed(shard, &reason),
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Found(question, found) => {
                if self.unresolved.remove(&question).is_some() {
                    tracing::info!(name = %question.name, "resolves again");
                }
                for listed in self.book.learn(question, found) {
                    self.probe(&listed);
                    self.tell_endpoints(&listed);
                }
                self.reflect();
            }
            Answer::Failed(question, reason) => {
                if !self.unresolved.contains_key(&question) {
                    tracing::warn!(name = %question.name, %reason, "does not resolve; known addresses stay in use");
                }
                self.unresolved.insert(question, reason);
            }
        }
    }

    pub(super) fn tell_endpoints(&mut self, listed: &Listed) {
        self.shards.send_all(|_| ToShard::Endpoints {
            upstream: Arc::clone(&listed.upstream),
            endpoints: Arc::clone(&listed.endpoints),
        });
    }

    /// Asks for descriptors as the plan in use and the one that is being prepared say.
    pub(super) fn reflect(&mut self) {
        let current = self.current.as_ref().map(|current| &current.plan);
        let plans = current.into_iter().chain(self.reloads.coming());
        self.reflections.follow(plans.map(|plan| &**plan), &self.book);
    }

    /// What was never answered and a new plan waits for, for a while.
    pub(super) fn open_questions(&self) -> usize {
        self.book.open_questions() + self.reflections.open()
    }

    fn reflected(&mut self, told: Reflected) {
        let source = told.source;
        for (shard, transcoders) in told.transcoders.into_iter().enumerate() {
            self.shards.send(shard, ToShard::Transcoders { source: Arc::clone(&source), transcoders });
        }
    }

    /// Probes the endpoints of one upstream as the plan in use says.
    pub(super) fn probe(&mut self, listed: &Listed) {
        let check = self.current.as_ref().and_then(|current| current.checks.get(&listed.upstream));
        self.probes.follow(&listed.upstream, check, &listed.endpoints);
    }

    fn verdict(&mut self, verdict: Verdict) {
        let Verdict { target, up, reason } = verdict;
        // One that was on its way when its endpoint went is of no use to anybody.
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

    fn upgrade(&mut self, ears: &mut Ears) {
        let serving = matches!(self.state, State::Serving);
        let Some(program) = self.setup.program.as_ref().filter(|_| serving && ears.successor.is_none()) else {
            tracing::warn!("a new process cannot be started now");
            return;
        };
        let admin = self.admin.as_ref().map(AdminServer::inheritable);
        match Successor::start(program, self.sockets.all().chain(admin)) {
            Ok(successor) => {
                tracing::info!(pid = successor.pid(), program = %program.path.display(), "a new process starts");
                ears.successor = Some(successor);
            }
            Err(error) => tracing::error!(%error, "a new process cannot be started; this one goes on"),
        }
    }

    fn successor(&mut self, outcome: Result<u32, String>, ears: &mut Ears) {
        ears.successor = None;
        match outcome {
            Ok(pid) => {
                tracing::info!(pid, "the new process serves; this one finishes what runs");
                self.supervisor.replaced_by(pid);
                self.shards.send_all(|_| ToShard::StopAccepting);
                self.sockets.hand_over();
                self.replaced();
            }
            Err(reason) => tracing::error!(%reason, "the upgrade failed; this process goes on"),
        }
    }
}
