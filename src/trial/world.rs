// SPDX-License-Identifier: Apache-2.0
//! The world of one test: a shard in a simulated network, what it needs of the control plane, stubs, and a client.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Map, Value};

use crate::balance::Endpoint;
use crate::base::{ListenerId, Tick, Wall};
use crate::config::Environment;
use crate::config::directory::{Assembly, Numbers};
use crate::config::plan::Plan;
use crate::edge::run::run as run_shard;
use crate::link::{
    Counters, FROM_SHARD_MAX, FromShard, ListeningSocket, Outbox, REPORTS_MAX, Selection, ShardEnd, TO_SHARD_MAX,
    ToShard, TraceOrder, mesh,
};
use crate::net::sim::{Depth, Failure, Faults, Latch, Settings, Sim, SimSocket, Simulation};
use crate::net::{Bell, BellWaiter, Net};
use crate::policy::directory::Revision;
use crate::policy::used_nonces::UsedNonces;
use crate::policy::{Answer, Keys as IssuerKeys, Question, SourceId};
use crate::trial::exchange::{Exchange, Received};
use crate::trial::outgoing::Outgoing;
use crate::trial::plan::{self, Keys, PORT};
use crate::trial::quotas::Quotas;
use crate::trial::spec::{Failure as StubFailure, StubSpec};
use crate::trial::stub::Stub;
use crate::trial::suite::{Suite, Test};
use crate::wire::jose::{KeySet, Members, Secrets};

/// The clock of a test begins so long before its first request.
const BEFORE: Duration = Duration::from_secs(1);
/// After the last request, the shard has so long to write its log lines.
const AFTER: Duration = Duration::from_secs(3);
/// Longest test, by its own clock.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3_600);
/// Largest file with keys.
const KEYS_BYTES_MAX: usize = 1024 * 1024;

/// Is what `turnpike trace` would show kept?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traced {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Runs a test; what came of its requests, in order.
pub(super) fn run(suite: &Suite, test: &Test, traced: Traced) -> Result<Vec<Exchange>, String> {
    let (plan, keys) = plan::plan(suite, test)?;
    let issuers = issuer_keys(suite, &plan)?;
    let mut settings = Settings::new(0);
    settings.faults = Faults { latency_us: (0, 0), ..Faults::none() };
    settings.poll_nanos_max = 0;
    settings.time_max = LONGEST;
    settings.trace = Depth::Last(0);
    settings.start = Wall(test.time.0.saturating_sub(BEFORE.as_micros() as u64));
    let simulation = Simulation::new(settings);
    let stubs = Stubs::new(&simulation, &plan, test);
    let control = Rc::new(Control::new(&simulation, suite, issuers));
    let clients = Clients::new(&simulation, test, &plan, &keys, &suite.environment)?;
    let received = stubs.received.clone();
    let plan = Arc::new(plan);
    let machine = simulation.host("test", [127, 0, 0, 1]);
    let ran = simulation.run(async move {
        control.serve(&plan, &stubs.endpoints).await;
        if traced == Traced::Yes {
            let selection = Selection::Sample(NonZeroU32::MIN);
            control.send(ToShard::Trace([TraceOrder { number: 1, selection }].into()));
        }
        let sent = clients.send_all(&machine, &received).await?;
        machine.sleep_exactly_until(machine.now().after(AFTER)).await;
        Ok::<_, String>((sent, control.lines.take(), control.traces.take()))
    });
    let (mut exchanges, mut lines, traces) = match ran {
        Ok(ran) => ran?,
        Err(Failure { reasons, .. }) => return Err(reasons.join("; ")),
    };
    for (port, exchange) in &mut exchanges {
        exchange.log = lines.get_mut(port).and_then(VecDeque::pop_front).unwrap_or_default();
    }
    for ((_, exchange), trace) in exchanges.iter_mut().zip(traces) {
        exchange.trace = Some(trace);
    }
    Ok(exchanges.into_iter().map(|(_, exchange)| exchange).collect())
}

/// Keys of issuers that a test has files for.
fn issuer_keys(suite: &Suite, plan: &Plan) -> Result<BTreeMap<SourceId, Arc<KeySet>>, String> {
    let mut keys = BTreeMap::new();
    for (policy, path) in &suite.keys {
        let text = suite.environment.read(path, KEYS_BYTES_MAX);
        let text = text.map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let set = KeySet::read(&text, Secrets::Ignored).map_err(|error| format!("{}: {error}", path.display()))?;
        let source = plan.sources.iter().find(|source| *source.policy == **policy);
        keys.extend(source.map(|source| (source.id, Arc::new(set))));
    }
    Ok(keys)
}

/// What stands in the place of all endpoints.
struct Stubs {
    endpoints: Vec<(Arc<str>, Vec<Endpoint>)>,
    received: Rc<RefCell<Vec<Received>>>,
}

impl Stubs {
    fn new(simulation: &Simulation, plan: &Plan, test: &Test) -> Stubs {
        let endpoints = plan::endpoints(plan);
        let received: Rc<RefCell<Vec<Received>>> = Rc::default();
        let sim = simulation.host("stubs", [127, 0, 0, 1]);
        for (upstream, list) in &endpoints {
            let specs = test.stubs.get(&**upstream).map_or(&[][..], Vec::as_slice);
            let shared = Rc::new(Cell::new(0));
            for endpoint in list {
                let (responses, given) = of_endpoint(specs, &endpoint.name, &shared);
                match responses.first().and_then(|response| response.failure) {
                    Some(StubFailure::Refused) => continue,
                    Some(StubFailure::Unreachable) => {
                        simulation.set_faults(&endpoint.address, Faults { unanswered: 1_000, ..Faults::none() });
                    }
                    Some(StubFailure::Closed | StubFailure::Silent | StubFailure::Truncated) | None => {}
                }
                let stub = Stub {
                    upstream: (**upstream).into(),
                    endpoint: (*endpoint.name).into(),
                    address: endpoint.address.clone(),
                    responses,
                    given,
                    received: received.clone(),
                };
                sim.spawn(Rc::new(stub).run(sim.clone()));
            }
        }
        Stubs { endpoints, received }
    }
}

/// What an endpoint responds with: what is said of it by name, else what is said of all; else 200. What is said of all
/// of them is given in turn, whichever is asked.
fn of_endpoint(specs: &[StubSpec], name: &str, shared: &Rc<Cell<usize>>) -> (Vec<StubSpec>, Rc<Cell<usize>>) {
    let said = |endpoint: Option<&str>| -> Vec<StubSpec> {
        let names = |spec: &&StubSpec| spec.endpoint.as_ref().map(|name| name.value.as_str()) == endpoint;
        specs.iter().filter(names).cloned().collect()
    };
    let own = said(Some(name));
    if !own.is_empty() {
        return (own, Rc::default());
    }
    let of_all = said(None);
    (if of_all.is_empty() { vec![StubSpec::default()] } else { of_all }, shared.clone())
}

/// What the shard needs of the control plane.
struct Control {
    sim: Sim,
    to_shard: Sender<ToShard<SimSocket>>,
    bell: Bell,
    from_shard: Receiver<(usize, FromShard)>,
    reports: Receiver<FromShard>,
    heard: Bell,
    /// Told when something was heard.
    news: Latch,
    prepared: Cell<bool>,
    committed: Cell<bool>,
    issuers: BTreeMap<SourceId, Arc<KeySet>>,
    tokens: BTreeMap<String, Arc<Members>>,
    nonces: RefCell<UsedNonces>,
    /// Tokens that were signed.
    signed: Cell<u128>,
    quotas: RefCell<Quotas>,
    /// Lines of the access log in order, by the port of their connection: hosts may have used the same ones.
    lines: RefCell<BTreeMap<u16, VecDeque<Map<String, Value>>>>,
    /// What the shard showed of requests.
    traces: RefCell<Vec<Box<str>>>,
}

impl Control {
    /// Starts a shard, which does nothing yet.
    fn new(simulation: &Simulation, suite: &Suite, issuers: BTreeMap<SourceId, Arc<KeySet>>) -> Control {
        let (bell, heard) = (Bell::silent(), Bell::silent());
        let (to_shard, inbox) = bounded(TO_SHARD_MAX);
        let (queue, from_shard) = bounded(FROM_SHARD_MAX);
        let (reports_in, reports) = bounded(REPORTS_MAX);
        let ringing = heard.clone();
        let outbox = Outbox { queue, reports: reports_in, wake: Arc::new(move || ringing.ring()), shard: 0 };
        let shard = simulation.host("shard", [127, 0, 0, 1]);
        if let (Some(mesh), Ok(waiter)) = (mesh(std::slice::from_ref(&bell)).pop(), shard.bell_waiter(&bell)) {
            let end = ShardEnd { shard: 0, inbox, outbox, mesh };
            shard.spawn(run_shard(shard.clone(), end, waiter, "simulated"));
        }
        let tokens = suite.tokens.iter().map(|(token, claims)| {
            let claims: Members = claims.clone().into_iter().collect();
            (token.clone(), Arc::new(claims))
        });
        Control {
            sim: simulation.host("control", [127, 0, 0, 1]),
            to_shard,
            bell,
            from_shard,
            reports,
            heard,
            news: Latch::default(),
            prepared: Cell::new(false),
            committed: Cell::new(false),
            issuers,
            tokens: tokens.collect(),
            quotas: RefCell::default(),
            nonces: RefCell::default(),
            signed: Cell::new(0),
            lines: RefCell::default(),
            traces: RefCell::default(),
        }
    }

    /// Brings the plan into use and then answers questions.
    async fn serve(self: &Rc<Self>, plan: &Arc<Plan>, endpoints: &[(Arc<str>, Vec<Endpoint>)]) {
        if let Ok(waiter) = self.sim.bell_waiter(&self.heard) {
            self.sim.spawn(self.clone().hear(waiter));
        }
        let counters = Counters::new(plan.routes.len(), plan.upstreams.len(), plan.policies.len());
        let counters = Arc::new(counters.with_versions(plan.versions.len()));
        let sockets = (0..).zip(&plan.listeners).flat_map(|(id, listener)| {
            let socket = |address| SimSocket { address, backlog: 1_024 };
            let bind = listener.bind.iter().cloned();
            bind.map(move |address| ListeningSocket {
                listener: ListenerId(id),
                socket: socket(address.clone()),
                address,
            })
        });
        let transcoders = plan.transcoders.iter().map(|_| None).collect();
        self.quotas.replace(Quotas::of(plan));
        self.send(ToShard::Prepare { plan: plan.clone(), counters, sockets: sockets.collect(), transcoders });
        self.news.wait(|| self.prepared.get().then_some(())).await;
        for (upstream, endpoints) in endpoints {
            let (upstream, endpoints) = (upstream.clone(), endpoints.as_slice().into());
            self.send(ToShard::Endpoints { upstream, endpoints, generation: plan.generation });
        }
        let mut numbers = Numbers::default();
        let mut assembly = Assembly::new(&mut numbers, None);
        assembly.declared(&plan.declared);
        self.send(ToShard::Directory(Arc::new(assembly.finish(Revision::default().next()))));
        for (source, set) in &self.issuers {
            self.send(ToShard::Keys(IssuerKeys { source: *source, set: Some(set.clone()) }));
        }
        self.send(ToShard::Commit { generation: plan.generation });
        self.news.wait(|| self.committed.get().then_some(())).await;
    }

    fn send(&self, message: ToShard<SimSocket>) {
        if self.to_shard.try_send(message).is_err() {
            self.sim.fail("the shard has ended");
        }
        self.bell.ring();
    }

    async fn hear(self: Rc<Self>, waiter: <Sim as Net>::BellWaiter) {
        loop {
            while let Ok((_, message)) = self.from_shard.try_recv() {
                self.take(message);
            }
            while let Ok(message) = self.reports.try_recv() {
                self.take(message);
            }
            self.news.notify();
            waiter.rung().await;
        }
    }

    fn take(&self, message: FromShard) {
        match message {
            FromShard::Prepared { .. } => self.prepared.set(true),
            FromShard::Committed { .. } => self.committed.set(true),
            FromShard::LogLines(lines) => lines.split(|byte| *byte == b'\n').for_each(|line| self.line(line)),
            FromShard::Question(ticket, question) => self.send(ToShard::Answer(ticket, self.answer(*question))),
            // What is shown of a connection has no route, no policies and no outcome.
            FromShard::Trace(trace) if trace.text.contains("\n  outcome") => self.traces.borrow_mut().push(trace.text),
            FromShard::Failed { reason } => self.sim.fail(reason),
            FromShard::Lease(message) => {
                let now = (self.sim.now(), self.sim.wall());
                let replies = self.quotas.borrow_mut().receive(&message, now);
                replies.into_iter().for_each(|(_, message)| self.send(ToShard::Lease(message)));
            }
            // The store has it at once.
            FromShard::Usage(batch) => self.send(ToShard::UsageRecorded { sequence: batch.sequence }),
            FromShard::Started { .. }
            | FromShard::Applied { .. }
            | FromShard::Notice(_)
            | FromShard::Trace(_)
            | FromShard::Upstreams(_)
            | FromShard::Drained => {}
        }
    }

    fn line(&self, line: &[u8]) {
        let Ok(fields) = serde_json::from_slice::<Map<String, Value>>(line) else { return };
        let port = fields.get(PORT).and_then(Value::as_str).and_then(|port| port.parse().ok());
        self.lines.borrow_mut().entry(port.unwrap_or_default()).or_default().push_back(fields);
    }

    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Password(question) => Answer::Password(question.hash.verify(&question.password)),
            Question::Nonce(question) => {
                let noted = self.nonces.borrow_mut().note(question, self.sim.now());
                noted.map_or(Answer::Busy, Answer::Nonce)
            }
            Question::Sign(question) => {
                let number = self.signed.get() + 1;
                self.signed.set(number);
                question.answer(number.to_be_bytes())
            }
            Question::Keys(source) if self.issuers.contains_key(&source) => Answer::Keys,
            Question::Token(question) if !self.tokens.is_empty() => {
                Answer::Token(self.tokens.get(&*question.token).cloned())
            }
            Question::Keys(_) | Question::Token(_) | Question::Address(_) | Question::Login(..) => Answer::Unavailable,
        }
    }
}

/// The requests of a test, with the hosts that they come from.
struct Clients {
    steps: Vec<(Duration, u32, Sim, Outgoing)>,
}

impl Clients {
    fn new(
        simulation: &Simulation,
        test: &Test,
        plan: &Plan,
        keys: &Keys,
        environment: &Environment,
    ) -> Result<Clients, String> {
        let mut hosts: BTreeMap<IpAddr, Sim> = BTreeMap::new();
        let mut steps = Vec::new();
        for step in &test.steps {
            let time = Wall(test.time.0.saturating_add(step.made.as_micros() as u64));
            let outgoing = Outgoing::new(&step.request, plan, keys, (environment, time));
            let outgoing = outgoing.map_err(|reason| format!("line {}: {reason}", step.place.0))?;
            let opener = outgoing.opener();
            let host = hosts.entry(opener).or_insert_with(|| simulation.host("client", opener));
            steps.push((step.after, step.times, host.clone(), outgoing));
        }
        Ok(Clients { steps })
    }

    /// Sends all of them, one after the other. With each exchange, the port that it came from.
    async fn send_all(&self, machine: &Sim, received: &RefCell<Vec<Received>>) -> Result<Vec<(u16, Exchange)>, String> {
        machine.sleep_exactly_until(Tick::ZERO.after(BEFORE)).await;
        let mut exchanges = Vec::new();
        for (after, times, host, outgoing) in &self.steps {
            machine.sleep_exactly_until(machine.now().after(*after)).await;
            for _ in 0..*times {
                let (port, response) = outgoing.send(host).await?;
                let exchange = Exchange { response, upstream: received.take(), ..Exchange::default() };
                exchanges.push((port, exchange));
            }
        }
        Ok(exchanges)
    }
}
