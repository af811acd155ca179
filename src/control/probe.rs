// SPDX-License-Identifier: Apache-2.0
//! Active health checks: asks every endpoint of an upstream with a check, and reports when one goes up or down.
//!
//! One task an endpoint; when to probe and what a result means is decided by the state machine in `balance::health`.
//! What is known of an endpoint stays over a reload, by upstream and address, also where the check itself changed.

mod http2;
mod judge;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{AbortHandle, spawn_local};

use crate::balance::{Endpoint, Health, Probe, ProbePlan, ProbeResult};
use crate::base::{Address, Tick};
use crate::config::plan::{HealthPlan, UpstreamPlan};
use crate::control::call::{Driver, NO_GRPC};
use crate::control::dial::{self, Dial, Speaks, Wire};
use crate::control::probe::judge::{AGENT, judge};
use crate::net::machine;

/// Probes that run at once; more of them wait for their turn.
const RUNNING_MAX: usize = 256;
/// Largest head of a response, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Intervals vary by this much, so that many gateways do not probe at the same time.
const JITTER_PER_CENT: u8 = 10;

/// One checked endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The endpoint.
    pub address: Address,
}

/// An endpoint went up or down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HealthChange {
    /// Which.
    pub target: Target,
    /// Up or down.
    pub up: bool,
    /// The result of the last probe, as text.
    pub reason: String,
}

/// How the endpoints of one upstream are asked.
#[derive(Clone, Debug)]
pub(super) struct Check {
    health: HealthPlan,
    dial: Dial,
}

impl Check {
    /// The check of an upstream, if it has one.
    pub(super) fn of(upstream: &UpstreamPlan) -> Option<Check> {
        Some(Check { health: upstream.health.clone()?, dial: Dial::of(upstream) })
    }

    fn pace(&self) -> ProbePlan {
        ProbePlan {
            interval: self.health.interval,
            interval_down: self.health.interval,
            jitter_per_cent: JITTER_PER_CENT,
            rise: self.health.rise.max(1),
            fall: self.health.fall.max(1),
        }
    }
}

/// One running check; dropping it ends it.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    slot: Rc<Slot>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All running checks; dropping them ends them.
#[derive(Debug)]
pub(super) struct Probes {
    /// By upstream and address.
    running: HashMap<Arc<str>, HashMap<Address, Running>>,
    verdicts: mpsc::Sender<HealthChange>,
    turns: Rc<Semaphore>,
    seed: u64,
}

impl Probes {
    /// Reports to `verdicts`; `seed` spreads the probes.
    pub(super) fn new(verdicts: mpsc::Sender<HealthChange>, seed: u64) -> Probes {
        let turns = Rc::new(Semaphore::new(RUNNING_MAX));
        Probes { running: HashMap::new(), verdicts, turns, seed }
    }

    /// From now on checks exactly these endpoints of this upstream.
    pub(super) fn follow(&mut self, upstream: &Arc<str>, check: Option<&Rc<Check>>, endpoints: &[Endpoint]) {
        let Some(check) = check else {
            self.running.remove(upstream);
            return;
        };
        let mut before = self.running.remove(upstream).unwrap_or_default();
        let mut running = HashMap::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let known = before.remove(&endpoint.address);
            if let Some(known) = &known {
                known.slot.change(check, endpoint, machine::now());
            }
            let target = || Target { upstream: Arc::clone(upstream), address: endpoint.address.clone() };
            let run = known.unwrap_or_else(|| self.start(target(), check, endpoint));
            running.insert(endpoint.address.clone(), run);
        }
        self.running.insert(Arc::clone(upstream), running);
    }

    /// Ends the checks of all upstreams that are not wanted.
    pub(super) fn keep_upstreams(&mut self, wanted: impl Fn(&Arc<str>) -> bool) {
        self.running.retain(|upstream, _| wanted(upstream));
    }

    /// What is known of an endpoint; `Unknown` where it is not checked.
    pub(super) fn health(&self, target: &Target) -> Health {
        let running = self.running.get(&target.upstream).and_then(|running| running.get(&target.address));
        running.map_or(Health::Unknown, |running| running.slot.probe.borrow().health())
    }

    /// Every endpoint of which something is known.
    pub(super) fn known(&self) -> impl Iterator<Item = (Target, Health)> {
        self.running.iter().flat_map(|(upstream, running)| {
            running.iter().filter_map(|(address, running)| {
                let health = running.slot.probe.borrow().health();
                let target = || Target { upstream: Arc::clone(upstream), address: address.clone() };
                (health != Health::Unknown).then(|| (target(), health))
            })
        })
    }

    fn start(&mut self, target: Target, check: &Rc<Check>, endpoint: &Endpoint) -> Running {
        self.seed = self.seed.wrapping_add(1);
        let slot = Rc::new(Slot {
            check: RefCell::new(Rc::clone(check)),
            name: RefCell::new(Arc::clone(&endpoint.name)),
            probe: RefCell::new(Probe::new(&check.pace(), machine::now(), self.seed)),
            seed: self.seed,
            changed: Notify::new(),
        });
        let (verdicts, turns) = (self.verdicts.clone(), Rc::clone(&self.turns));
        let run = Run { target, slot: Rc::clone(&slot), verdicts, turns };
        Running { task: spawn_local(run.follow()).abort_handle(), slot }
    }
}

/// What a task and the list of tasks share of one endpoint.
#[derive(Debug)]
struct Slot {
    check: RefCell<Rc<Check>>,
    name: RefCell<Arc<str>>,
    probe: RefCell<Probe>,
    seed: u64,
    changed: Notify,
}

impl Slot {
    /// Takes another check, keeping the verdict.
    fn change(&self, check: &Rc<Check>, endpoint: &Endpoint, now: Tick) {
        *self.name.borrow_mut() = Arc::clone(&endpoint.name);
        let old = self.check.replace(Rc::clone(check));
        if old.pace() != check.pace() {
            let verdict = self.probe.borrow().health();
            self.probe.replace(with_verdict(&check.pace(), verdict, now, self.seed));
            self.changed.notify_one();
        }
    }
}

/// A fresh state machine that already knows a verdict.
fn with_verdict(pace: &ProbePlan, verdict: Health, now: Tick, seed: u64) -> Probe {
    let mut probe = Probe::new(pace, now, seed);
    match verdict {
        Health::Unknown => {}
        Health::Up => {
            probe.observe(ProbeResult::Pass, now);
        }
        Health::Down => {
            for _ in 0..pace.fall {
                probe.observe(ProbeResult::Fail, now);
            }
        }
    }
    probe
}

/// One task.
struct Run {
    target: Target,
    slot: Rc<Slot>,
    verdicts: mpsc::Sender<HealthChange>,
    turns: Rc<Semaphore>,
}

impl Run {
    async fn follow(self) {
        loop {
            let due = self.slot.probe.borrow().next_due();
            tokio::select! {
                () = tokio::time::sleep(due.since(machine::now())) => {}
                () = self.slot.changed.notified() => continue,
            }
            let Ok(turn) = self.turns.acquire().await else { return };
            self.slot.probe.borrow_mut().start(machine::now());
            let check = Rc::clone(&self.slot.check.borrow());
            let name = Arc::clone(&self.slot.name.borrow());
            let asked = ask(&check, &self.target.address, &name);
            let answer = tokio::time::timeout(check.health.timeout, asked).await;
            drop(turn);
            let (result, reason) = match answer {
                Ok(Ok(reason)) => (ProbeResult::Pass, reason),
                // The failure says nothing about the endpoint; the next probe decides.
                Ok(Err(reason)) if reason == dial::NO_DESCRIPTOR => continue,
                Ok(Err(reason)) => (ProbeResult::Fail, reason),
                Err(_) => (ProbeResult::Fail, "no response in time".to_owned()),
            };
            let change = self.slot.probe.borrow_mut().observe(result, machine::now());
            if let Some(change) = change {
                let verdict = HealthChange { target: self.target.clone(), up: change.to != Health::Down, reason };
                if self.verdicts.send(verdict).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Probes once. `Ok` and `Err` both describe what was observed.
async fn ask(check: &Check, address: &Address, name: &str) -> Result<String, String> {
    let connected = check.dial.connect(address, name).await?;
    let host = match &check.health.host {
        Some(host) => host.to_string(),
        None => dial::host(address, name),
    };
    match connected.speaks {
        Speaks::Http1 => exchange(check, &host, connected.stream).await,
        Speaks::Http2 => http2::exchange(&check.health, connected, host).await,
    }
}

async fn exchange(check: &Check, host: &str, stream: Box<dyn Wire>) -> Result<String, String> {
    if check.health.grpc.is_some() {
        return Err(NO_GRPC.to_owned());
    }
    let builder = { http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).to_owned() };
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let _driver = Driver::of(connection);
    let request = Request::get(&*check.health.path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| format!("exchange: {error}"))?;
    judge(&check.health, answer).await
}

#[cfg(test)]
mod tests;
