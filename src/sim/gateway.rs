// SPDX-License-Identifier: Apache-2.0
//! The gateway in a simulated world: real shards, and a small control plane that sends them what the real one sends.
//!
//! It compiles the scenario's configuration, hands plans to the shards in two steps, reloads, drains and stops.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::balance::Endpoint;
#[cfg(test)]
use crate::base::ConsumerId;
use crate::base::{Address, ListenerId, Rng};
use crate::config::directory::{Assembly, Declared, Numbers};
use crate::config::{self, ConfigSource, Environment};
use crate::edge::run::run;
use crate::link::{
    Counter, Counters, FROM_SHARD_MAX, FromShard, ListeningSocket, Outbox, REPORTS_MAX, Selection, ShardEnd,
    TO_SHARD_MAX, ToShard, Trace, TraceOrder, UpstreamCounter, UsageBatch,
};
use crate::net::sim::Latch;
use crate::net::sim::{Sim, SimSocket, Simulation};
use crate::net::{Bell, BellWaiter, Net};
#[cfg(test)]
use crate::policy::directory::{Change, Consumer, Item};
use crate::policy::directory::{Directory, Revision};
use crate::policy::limit;
use crate::policy::{Answer, Question, Ticket};
use crate::sim::common::Common;
use crate::sim::grpc;
use crate::sim::mesh;
use crate::sim::spoken::HttpVersion;
use crate::sim::websocket;

/// The control plane of a simulated gateway.
pub(super) struct Gateway {
    common: Rc<Common>,
    /// The configuration of each generation.
    configuration: Rc<dyn Fn(u64) -> String>,
    sim: Sim,
    shards: Vec<Shard>,
    heard: Receiver<(usize, FromShard)>,
    bell: Bell,
    latch: Latch,
    /// Plans made so far.
    generation: Cell<u64>,
    /// Upstreams of the plan in use.
    upstreams: Cell<u32>,
    /// Who may call.
    directory: RefCell<(Numbers, Directory)>,
    /// Wakes what passes messages between shards.
    middle: Bell,
    stopped: Cell<bool>,
    /// Who leases tokens of limits that are counted in a database.
    parent: RefCell<Option<Rc<Leaser>>>,
    /// Records usage and says when it has; without it usage counts as recorded when it comes.
    usage: OnceCell<Box<dyn Fn(usize, UsageBatch)>>,
    /// What answers questions, where a scenario has something to say about them.
    answers: RefCell<Option<Rc<Answers>>>,
}

/// Hears what a shard says to the parent of a limit.
type Leaser = dyn Fn(usize, &limit::Message);

/// Takes a question of a shard; the answer comes when it wants.
type Answers = dyn Fn(usize, Ticket, Question);

struct Shard {
    sim: Sim,
    queue: Sender<ToShard<SimSocket>>,
    reports: Receiver<FromShard>,
    bell: Bell,
    counters: RefCell<Option<Arc<Counters>>>,
    prepared: Cell<u64>,
    committed: Cell<u64>,
    applied: Cell<Revision>,
    drained: Cell<bool>,
}

impl Gateway {
    /// Starts the shards. They do nothing until the first plan arrives.
    pub(super) fn start(
        simulation: &Simulation,
        common: &Rc<Common>,
        configuration: Rc<dyn Fn(u64) -> String>,
    ) -> Rc<Gateway> {
        let (outbox, heard) = bounded(FROM_SHARD_MAX);
        let bell = Bell::silent();
        let control = simulation.host("control", [10, 0, 1, 200]);
        let bells: Vec<Bell> = (0..common.scenario.shards).map(|_| Bell::silent()).collect();
        let rng = Rng::new(common.scenario.seed ^ 0x3E5);
        let (meshes, middle) = mesh::mesh(control.clone(), &bells, common.scenario.between_shards, rng);
        let shards = meshes.into_iter().zip(bells).enumerate().map(|(number, (mesh, hears))| {
            let sim = simulation.host(&format!("shard{number}"), [10, 0, 1, number as u8 + 1]);
            let (queue, inbox) = bounded(TO_SHARD_MAX);
            let ringing = bell.clone();
            let (reports_in, reports) = bounded(REPORTS_MAX);
            let wake = Arc::new(move || ringing.ring());
            let outbox = Outbox { queue: outbox.clone(), reports: reports_in, wake, shard: number };
            let end = ShardEnd { shard: number, inbox, outbox, mesh };
            let ear = sim.bell_waiter(&hears).expect("the simulator's bells have no descriptors to run out of");
            sim.spawn(run(sim.clone(), end, ear, "simulated"));
            let (counters, never) = (RefCell::default(), Cell::new(u64::MAX));
            let (prepared, committed, drained) = (never.clone(), never, Cell::new(false));
            let applied = Cell::default();
            Shard { sim, queue, reports, bell: hears, counters, prepared, committed, applied, drained }
        });
        let gateway = Rc::new(Gateway {
            common: common.clone(),
            configuration,
            shards: shards.collect(),
            sim: control,
            heard,
            bell,
            latch: Latch::default(),
            generation: Cell::new(0),
            upstreams: Cell::new(0),
            directory: RefCell::default(),
            middle: middle.bell(),
            stopped: Cell::new(false),
            parent: RefCell::default(),
            usage: OnceCell::new(),
            answers: RefCell::default(),
        });
        let over = gateway.clone();
        gateway.sim.spawn(middle.run(Rc::new(move || over.stopped.get())));
        let ear =
            gateway.sim.bell_waiter(&gateway.bell).expect("the simulator's bells have no descriptors to run out of");
        gateway.sim.spawn(gateway.clone().hear(ear));
        gateway.trace();
        gateway
    }

    /// In some runs an operator watches: each of so many requests and connections is shown.
    fn trace(&self) {
        let seed = self.common.scenario.seed;
        if !seed.is_multiple_of(3) {
            return;
        }
        let one_of = 1 + (seed % 4) as u32;
        let selection = Selection::Sample(one_of.try_into().expect("it is at least 1"));
        let orders: Arc<[TraceOrder]> = [TraceOrder { number: 7, selection }].into();
        (0..self.shards.len()).for_each(|number| self.send(number, ToShard::Trace(orders.clone())));
    }

    /// What is shown is for the one who asked, and is text.
    fn check_trace(&self, Trace { orders, text, .. }: &Trace) {
        let is_text = |letter: char| letter == '\n' || letter == ' ' || letter.is_ascii_graphic();
        if orders != &[7] || !text.ends_with('\n') || !text.chars().all(is_text) {
            self.sim.fail(format!("a trace for {orders:?} is no text: {text:?}"));
        }
    }

    async fn hear(self: Rc<Self>, ear: <Sim as Net>::BellWaiter) {
        while !self.stopped.get() {
            self.take_all();
            self.latch.notify();
            ear.rung().await;
        }
        // A stop may come between the two steps of a reload, which then waits for nobody.
        self.latch.notify();
    }

    fn take(&self, number: usize, message: FromShard) {
        let shard = &self.shards[number];
        match message {
            FromShard::Prepared { generation } => shard.prepared.set(generation),
            FromShard::Committed { generation } => shard.committed.set(generation),
            FromShard::Drained => shard.drained.set(true),
            FromShard::Failed { reason } => self.sim.fail(format!("shard {number} failed: {reason}")),
            FromShard::LogLines(lines) => lines.split(|byte| *byte == b'\n').for_each(|line| self.log(line)),
            FromShard::Trace(trace) => self.check_trace(&trace),
            FromShard::Applied { revision } => shard.applied.set(revision),
            FromShard::Question(ticket, question) => {
                let answers = self.answers.borrow().clone();
                match answers {
                    Some(answers) => answers(number, ticket, *question),
                    None => self.send(number, ToShard::Answer(ticket, answer(*question))),
                }
            }
            FromShard::Lease(message) => match self.parent.borrow().clone() {
                Some(hear) => hear(number, &message),
                None => self.sim.fail("no plan here counts in a database".to_owned()),
            },
            FromShard::Usage(batch) => match self.usage.get() {
                Some(record) => record(number, *batch),
                None => self.usage_recorded(number, batch.sequence),
            },
            FromShard::Upstreams(_) | FromShard::Started { .. } | FromShard::Notice(_) => {}
        }
    }

    /// From now on usage is given to this.
    #[cfg(test)]
    pub(super) fn usage_to(&self, record: impl Fn(usize, UsageBatch) + 'static) {
        assert!(self.usage.set(Box::new(record)).is_ok(), "one records usage");
    }

    /// A shard's batch of usage is recorded.
    pub(super) fn usage_recorded(&self, shard: usize, sequence: u64) {
        self.send(shard, ToShard::UsageRecorded { sequence });
    }

    /// One line of the access log. Empty after the last one.
    fn log(&self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let shown = String::from_utf8_lossy(line);
        let Ok(fields) = serde_json::from_slice::<serde_json::Value>(line) else {
            return self.sim.fail(format!("the access log has a line that is no JSON: {shown}"));
        };
        let target = fields["target"].as_str();
        let exchange = target.and_then(HttpVersion::exchange_of);
        let status = fields["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        if let (Some(talk), Some(status)) = (target.and_then(websocket::exchange_of), status)
            && let Err(broken) =
                self.common.talks.borrow_mut().logged(talk, status.into(), self.sim.now(), self.common.drained.get())
        {
            self.sim.fail(format!("{broken}: {shown}"));
        }
        if let Some(call) = target.and_then(grpc::exchange_of)
            && let Err(broken) = self.log_call(call, &fields)
        {
            self.sim.fail(format!("{broken}: {shown}"));
        }
        if let (Some(exchange), Some(status)) = (exchange, status)
            && let Err(broken) = self.common.ledger.borrow_mut().logged(exchange, status)
        {
            self.sim.fail(format!("{broken}: {shown}"));
        }
    }

    fn log_call(&self, call: u64, fields: &serde_json::Value) -> Result<(), String> {
        let took_ms = fields["duration_ms"].as_f64().unwrap_or(f64::MAX);
        self.common.calls.borrow_mut().logged(call, fields["grpc_status"].as_str(), took_ms)
    }

    /// Takes in what shards have said.
    pub(super) fn take_all(&self) {
        while let Ok((shard, message)) = self.heard.try_recv() {
            self.take(shard, message);
        }
        for (number, shard) in self.shards.iter().enumerate() {
            while let Ok(message) = shard.reports.try_recv() {
                self.take(number, message);
            }
        }
    }

    /// From now on, this answers what shards ask.
    #[cfg(test)]
    pub(super) fn answer_with(&self, answers: Rc<Answers>) {
        *self.answers.borrow_mut() = Some(answers);
    }

    pub(super) fn send(&self, number: usize, message: ToShard<SimSocket>) {
        let shard = &self.shards[number];
        if shard.queue.try_send(message).is_err() && !self.stopped.get() {
            self.sim.fail(format!("the queue to shard {number} is full or gone"));
        }
        shard.bell.ring();
    }

    /// Compiles the next generation of the configuration and brings it to all shards: prepared everywhere, then used.
    pub(super) async fn load(&self) {
        let generation = self.generation.replace(self.generation.get() + 1);
        let text = (self.configuration)(generation);
        let source = ConfigSource::Text { name: "simulated.toml".to_owned(), text: text.clone() };
        let plan = match config::load(&source, &Environment::sealed()) {
            Ok(loaded) => loaded.plan,
            Err(reports) => return self.sim.fail(format!("the configuration is wrong:\n{}\n{text}", reports.plain())),
        };
        self.sim.note(format!("generation {generation} of the plan"));
        self.upstreams.set(plan.upstreams.len() as u32);
        for (number, shard) in self.shards.iter().enumerate() {
            let counters = Arc::new(
                Counters::new(plan.routes.len(), plan.upstreams.len(), plan.policies.len())
                    .with_versions(plan.versions.len()),
            );
            *shard.counters.borrow_mut() = Some(counters.clone());
            let socket = SimSocket { address: self.common.gateway.clone(), backlog: 64 };
            let sockets = match generation {
                0 => vec![ListeningSocket { listener: ListenerId(0), address: self.common.gateway.clone(), socket }],
                _ => Vec::new(),
            };
            self.send(number, ToShard::Prepare { plan: plan.clone(), counters, sockets, transcoders: Vec::new() });
        }
        let made = plan.generation;
        self.all(|shard| shard.prepared.get() == made).await;
        self.declare(&plan.declared);
        for number in 0..self.shards.len() {
            self.send(number, ToShard::Commit { generation: made });
        }
        self.all(|shard| shard.committed.get() == made).await;
    }

    /// Brings what the first configuration declares of the directory to all shards; with later ones a new snapshot.
    fn declare(&self, declared: &Declared) {
        let (numbers, directory) = &mut *self.directory.borrow_mut();
        let snapshot = if directory.revision() == Revision::default() {
            let mut assembly = Assembly::new(numbers, None);
            assembly.declared(declared);
            Arc::new(assembly.finish(directory.revision().next()))
        } else {
            Arc::new(directory.copied().merged())
        };
        directory.rebase(snapshot.clone());
        (0..self.shards.len()).for_each(|number| self.send(number, ToShard::Directory(snapshot.clone())));
    }

    /// The number of a consumer.
    #[cfg(test)]
    pub(super) fn consumer(&self, name: &str) -> ConsumerId {
        self.directory.borrow().1.by_name(name).expect("the configuration declares it").number
    }

    /// A consumer as the configuration declares it.
    #[cfg(test)]
    pub(super) fn consumer_of(&self, name: &str) -> Consumer {
        self.directory.borrow().1.by_name(name).expect("the configuration declares it").clone()
    }

    /// Changes the directory: each shard learns that at a time of its own. Returns when all have applied it.
    #[cfg(test)]
    pub(super) async fn change(&self, items: Vec<Item>, rng: &mut Rng) {
        let revision = self.directory.borrow().1.revision().next();
        let change = Arc::new(Change { revision, items, catalogue: None });
        self.directory.borrow_mut().1.apply(&change);
        let first = rng.below(self.shards.len() as u64) as usize;
        for step in 0..self.shards.len() {
            self.sim.sleep_until(self.sim.now().after_ms(rng.below(10))).await;
            self.send((first + step) % self.shards.len(), ToShard::Change(change.clone()));
        }
        self.all(|shard| shard.applied.get() >= revision).await;
    }

    /// From now on this is the parent of limits that are counted in a database.
    #[cfg(test)]
    pub(super) fn lease_from(&self, parent: Rc<Leaser>) {
        *self.parent.borrow_mut() = Some(parent);
    }

    /// The parent of a limit says something to a shard.
    #[cfg(test)]
    pub(super) fn grant(&self, shard: usize, message: limit::Message) {
        self.send(shard, ToShard::Lease(message));
    }

    /// From now on each shard has at most so many connections.
    #[cfg(test)]
    pub(super) fn limit_descriptors(&self, count: usize) {
        self.shards.iter().for_each(|shard| shard.sim.limit_descriptors(count));
    }

    /// The sum of a counter of an upstream over the shards.
    #[cfg(test)]
    pub(super) fn upstream_sum(&self, upstream: u32, counter: UpstreamCounter) -> u64 {
        let counters = self.shards.iter().map(|shard| shard.counters.borrow());
        counters.flat_map(|counters| Some(counters.as_ref()?.upstream_value(upstream, counter))).sum()
    }

    /// The sum of a counter over the shards.
    #[cfg(test)]
    pub(super) fn sum(&self, counter: Counter) -> u64 {
        let counters = self.shards.iter().map(|shard| shard.counters.borrow());
        counters.flat_map(|counters| Some(counters.as_ref()?.value(counter))).sum()
    }

    /// Waits until all shards have reached this step. Fails after an hour of virtual time.
    async fn all(&self, condition: impl Fn(&Shard) -> bool) {
        let until = self.sim.now().after(self.common.scenario.patience());
        let done = || (self.stopped.get() || self.shards.iter().all(&condition)).then_some(());
        if self.latch.wait_until(&self.sim, until, done).await.is_none() {
            let open: Vec<usize> = self.shards.iter().map(|shard| shard.sim.open_streams()).collect();
            self.sim.fail(format!("a shard does not do what it was told; open streams: {open:?}"));
        }
    }

    /// Loads new plans at random times, as often as the scenario says.
    pub(super) async fn reload_now_and_then(self: Rc<Self>, mut rng: Rng) {
        for _ in 0..self.common.scenario.reloads {
            self.sim.sleep_until(self.sim.now().after_ms(rng.below(3_000))).await;
            if self.stopped.get() {
                break;
            }
            self.load().await;
        }
    }

    /// Changes the endpoints at random times: removes some, reorders them, marks them down and up, and finally restores
    /// all.
    pub(super) async fn meddle_now_and_then(self: Rc<Self>, spoken: HttpVersion, origins: Vec<Address>, mut rng: Rng) {
        let count = self.common.scenario.meddles;
        for number in 1..=count {
            self.sim.sleep_until(self.sim.now().after_ms(rng.below(2_000))).await;
            if self.stopped.get() {
                break;
            }
            let chosen = &origins[rng.below(origins.len() as u64) as usize];
            let upstream: Arc<str> = spoken.upstream().into();
            let health = !self.common.demands.all_answered && rng.chance(500);
            let mut endpoints: Vec<Endpoint> = origins.iter().map(endpoint).collect();
            endpoints.rotate_left(rng.below(origins.len() as u64) as usize);
            if number < count && rng.chance(500) {
                endpoints.truncate(1 + rng.below(origins.len() as u64) as usize);
            }
            let endpoints: Arc<[Endpoint]> = endpoints.into();
            let up = number == count || rng.chance(500);
            for shard in 0..self.shards.len() {
                let upstream = upstream.clone();
                self.send(
                    shard,
                    match health {
                        true => ToShard::Health { upstream, address: chosen.clone(), up },
                        false => ToShard::Endpoints { upstream, endpoints: endpoints.clone(), generation: 0 },
                    },
                );
            }
        }
    }

    /// Drains all shards and waits until they have no connections.
    pub(super) async fn drain(&self) {
        self.sim.note("the gateway drains");
        for number in 0..self.shards.len() {
            if self.common.scenario.seed.is_multiple_of(2) {
                self.send(number, ToShard::StopAccepting);
            }
            self.send(number, ToShard::Drain);
        }
        self.all(|shard| shard.drained.get()).await;
        self.check_levels();
    }

    /// What all shards counted.
    #[cfg(test)]
    pub(super) fn counted(&self, counter: Counter) -> u64 {
        let of = |shard: &Shard| shard.counters.borrow().as_ref().map_or(0, |counters| counters.value(counter));
        self.shards.iter().map(of).sum()
    }

    /// Ends the shards, then itself.
    pub(super) fn stop(&self) {
        for number in 0..self.shards.len() {
            self.send(number, ToShard::Stop);
        }
        self.stopped.set(true);
        self.bell.ring();
        self.middle.ring();
    }

    /// A drained shard holds nothing but idle connections to origins.
    fn check_levels(&self) {
        for (number, shard) in self.shards.iter().enumerate() {
            let counters = shard.counters.borrow();
            let Some(counters) = &*counters else { continue };
            for level in [Counter::Connections, Counter::IdleConnections, Counter::Active, Counter::Tunnels] {
                let value = counters.value(level);
                if value != 0 {
                    self.sim.fail(format!("shard {number} has drained, but {level:?} is {value}"));
                }
            }
            let sum = |level| (0..self.upstreams.get()).map(|id| counters.upstream_value(id, level)).sum::<u64>();
            let open = sum(UpstreamCounter::Open);
            let idle = sum(UpstreamCounter::Idle);
            let queued = sum(UpstreamCounter::Queued);
            if open != idle || queued != 0 || shard.sim.panics() != 0 {
                self.sim.fail(format!("shard {number} has drained with {open} open, {idle} idle, {queued} queued"));
            }
        }
    }
}

fn endpoint(address: &Address) -> Endpoint {
    Endpoint { address: address.clone(), name: address.to_string().into(), weight: 1, backup: false }
}

/// What the control plane would say.
fn answer(question: Question) -> Answer {
    match question {
        Question::Password(question) => Answer::Password(question.hash.verify(&question.password)),
        Question::Nonce(_) => Answer::Busy,
        Question::Sign(question) => question.answer([0; 16]),
        // Nobody outside can be asked here.
        Question::Keys(_) | Question::Token(_) | Question::Address(_) | Question::Login(..) => Answer::Unavailable,
    }
}
