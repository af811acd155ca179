// SPDX-License-Identifier: Apache-2.0
//! One visit to one proxy: start it, warm it, measure its cost and its latency, stop it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;

use crate::certificate::Certificate;
use crate::client::{Client, Outcome, Pace, Plan};
use crate::failure::{Context, Failure};
use crate::h2::{Calls, EchoOrigin};
use crate::machine::{CLIENT_CORE, PROXY_CORE, core_busy_ms, now_ns};
use crate::origin::Origin;
use crate::peer::{Peer, Programs, Running, Setup, Traffic};
use crate::probe::{Probe, probe};
use crate::process::Tree;
use crate::record::{Mode, Quantiles, Slice};
use crate::stream::Streams;
use crate::workload::{Case, Exchanges, Kind, STREAMS, Security, get};

/// What all visits of a run share.
#[derive(Debug)]
pub struct Bench {
    /// The proxies' programs.
    pub programs: Programs,
    /// The origin behind them.
    pub origin: Origin,
    /// Their certificate.
    pub certificate: Certificate,
    /// How the client speaks TLS.
    pub tls: Arc<ClientConfig>,
    /// Where their files go.
    pub directory: PathBuf,
    /// Length of a slice.
    pub slice: Duration,
    /// Length of the load before the first slice.
    pub warm_up: Duration,
}

/// One visit: which case, which proxy, when.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    /// What is measured.
    pub case: Case,
    /// Of whom.
    pub peer: Peer,
    /// The round.
    pub round: usize,
    /// The rate of the open loop.
    pub per_second: u64,
}

/// What the machine says of a stretch of time.
struct Reading {
    before: Probe,
    after: Probe,
    cpu_ns: u64,
    core_busy_ms: u64,
    client_core_foreign_ms: u64,
}

/// Reads the machine before a stretch of load.
struct Meter {
    tree: Tree,
    before: Probe,
    start: Clocks,
}

/// What the machine's clocks show at one moment.
struct Clocks {
    proxy_ns: u64,
    proxy_core_ms: u64,
    own_ns: u64,
    client_core_ms: u64,
}

impl Clocks {
    fn read(tree: Tree) -> Result<Clocks, Failure> {
        Ok(Clocks {
            proxy_ns: tree.cpu_ns()?,
            proxy_core_ms: core_busy_ms(PROXY_CORE),
            own_ns: Tree::of(std::process::id()).cpu_ns_of_root()?,
            client_core_ms: core_busy_ms(CLIENT_CORE),
        })
    }
}

impl Meter {
    fn start(tree: Tree) -> Result<Meter, Failure> {
        Ok(Meter { tree, before: probe()?, start: Clocks::read(tree)? })
    }

    /// Counts from now on; the probe stays.
    fn restart(&mut self) -> Result<(), Failure> {
        self.start = Clocks::read(self.tree)?;
        Ok(())
    }

    fn stop(self) -> Result<Reading, Failure> {
        let (start, end) = (self.start, Clocks::read(self.tree)?);
        let spent = end.proxy_ns.checked_sub(start.proxy_ns);
        let own_ms = end.own_ns.saturating_sub(start.own_ns) / 1_000_000;
        Ok(Reading {
            before: self.before,
            after: probe()?,
            cpu_ns: spent.context("a thread of the proxy ended during a slice, and its time is lost")?,
            core_busy_ms: end.proxy_core_ms.saturating_sub(start.proxy_core_ms),
            client_core_foreign_ms: end.client_core_ms.saturating_sub(start.client_core_ms).saturating_sub(own_ms),
        })
    }
}

impl Bench {
    /// Makes a visit and returns its slices; any error of any request is a failure of the visit.
    pub fn visit(&self, visit: Visit) -> Result<Vec<Slice>, Failure> {
        let slices = match visit.case.kind {
            Kind::Exchanges(exchanges) => self.visit_exchanges(visit, exchanges),
            Kind::Calls(calls) => self.visit_calls(visit, calls),
            Kind::Streams => self.visit_streams(visit),
            Kind::Idle(_) => Err(Failure::new("the idle case has no slices")),
        };
        slices.context(format_args!("{} through {}", visit.case.name, visit.peer))
    }

    /// Requests a second at 30 % of what the proxy's core can do, from a short closed loop through `peer`.
    pub fn calibrate(&self, peer: Peer, exchanges: Exchanges) -> Result<u64, Failure> {
        let running = self.start(peer, exchanges)?;
        let mut client = self.client(&running, exchanges)?;
        client.run(Pace::Closed, self.warm_up)?.check()?;
        let tree = running.tree();
        let before = tree.cpu_ns()?;
        let outcome = client.run(Pace::Closed, CALIBRATION)?;
        outcome.check()?;
        settle();
        let cpu_ns = (tree.cpu_ns()? - before) as f64 / outcome.completed as f64;
        // The client's own core must not be what limits the rate.
        let rate = (LOAD_SHARE * 1e9 / cpu_ns.max(1.0)).min(CLIENT_SHARE_MAX * outcome.per_second());
        Ok((rate as u64).max(1))
    }

    /// Starts a proxy for exchanges.
    pub fn start(&self, peer: Peer, exchanges: Exchanges) -> Result<Running, Failure> {
        let certificate = match exchanges.security {
            Security::Plain => None,
            Security::Tls => Some(self.certificate.clone()),
        };
        let (routes, guard) = (exchanges.routes(), exchanges.guard);
        let setup = Setup { certificate, routes, guard, ..Setup::plain(self.origin.address()) };
        self.programs.start(peer, &setup, &self.directory)
    }

    fn client(&self, running: &Running, exchanges: Exchanges) -> Result<Client, Failure> {
        Client::new(Plan {
            target: running.address(),
            tls: (exchanges.security == Security::Tls).then(|| Arc::clone(&self.tls)),
            requests: exchanges.requests(),
            body_bytes: Some(exchanges.answer_bytes()),
            connections: exchanges.connections,
            lifetime: exchanges.lifetime,
        })
    }

    fn visit_exchanges(&self, visit: Visit, exchanges: Exchanges) -> Result<Vec<Slice>, Failure> {
        let running = self.start(visit.peer, exchanges)?;
        check_strays(&running)?;
        let mut client = self.client(&running, exchanges)?;
        let warm_up = client.run(Pace::Closed, self.warm_up)?;
        warm_up.check()?;
        settle();
        let mut slices = Vec::new();
        let mut requests = warm_up.completed;
        let open = Pace::Open { per_second: visit.per_second };
        for (mode, pace) in [(Mode::Closed, Pace::Closed), (Mode::Open, open)] {
            let meter = Meter::start(running.tree())?;
            let outcome = client.run(pace, self.slice)?;
            outcome.check()?;
            settle();
            let mut slice = visit.slice(mode, &meter.stop()?, &outcome);
            slice.memory = running.tree().memory();
            requests += slice.completed;
            slices.push(slice);
        }
        drop(client);
        let lines = running.stop();
        slices.iter_mut().for_each(|slice| (slice.log_lines, slice.log_requests) = (lines, requests));
        Ok(slices)
    }

    fn visit_calls(&self, visit: Visit, calls: Calls) -> Result<Vec<Slice>, Failure> {
        let echo = match calls {
            Calls::Get100 => None,
            Calls::Echo => Some(EchoOrigin::start(&self.directory)?),
        };
        let mut setup = Setup::plain(echo.as_ref().map_or(self.origin.address(), EchoOrigin::address));
        match calls {
            Calls::Get100 => setup.certificate = Some(self.certificate.clone()),
            Calls::Echo => setup.traffic = Traffic::Calls,
        }
        let running = self.programs.start(visit.peer, &setup, &self.directory)?;
        check_strays(&running)?;
        let warm_up = calls.run(running.address(), &self.directory, self.warm_up)?;
        settle();
        let meter = Meter::start(running.tree())?;
        let count = (warm_up.per_second() * self.slice.as_secs_f64()) as u64;
        let outcome = calls.load(running.address(), &self.directory, count.max(1))?;
        settle();
        let mut slice = visit.slice(Mode::Closed, &meter.stop()?, &outcome);
        slice.memory = running.tree().memory();
        Ok(vec![slice])
    }

    fn visit_streams(&self, visit: Visit) -> Result<Vec<Slice>, Failure> {
        let setup = Setup { traffic: Traffic::Streams, ..Setup::plain(self.origin.address()) };
        let running = self.programs.start(visit.peer, &setup, &self.directory)?;
        check_strays(&running)?;
        let mut streams = Streams::open(running.address(), None, get("/events/sse"), STREAMS)?;
        streams.run(self.warm_up)?;
        let mut meter = Meter::start(running.tree())?;
        // The probe held up the origin; what it sends late is not part of the slice.
        streams.run(CATCH_UP)?;
        meter.restart()?;
        let started = now_ns();
        let events = streams.run(self.slice)?;
        let elapsed_ns = now_ns() - started;
        let reading = meter.stop()?;
        if events.count == 0 {
            return Err(Failure::new("no event arrived"));
        }
        let outcome = Outcome { completed: events.count, elapsed_ns, latency: events.latency, ..Outcome::default() };
        let mut slice = visit.slice(Mode::Stream, &reading, &outcome);
        slice.pieces = Some(events.pieces);
        slice.memory = running.tree().memory();
        Ok(vec![slice])
    }
}

impl Visit {
    fn slice(&self, mode: Mode, reading: &Reading, outcome: &Outcome) -> Slice {
        Slice {
            case: self.case.name.to_owned(),
            peer: self.peer,
            round: self.round,
            mode,
            before: reading.before,
            after: reading.after,
            completed: outcome.completed,
            seconds: outcome.elapsed_ns as f64 / 1e9,
            per_second: outcome.per_second(),
            offered_per_second: (mode == Mode::Open).then_some(self.per_second),
            cpu_ns: reading.cpu_ns,
            core_busy_ms: reading.core_busy_ms,
            client_core_foreign_ms: reading.client_core_foreign_ms,
            latency: Quantiles::from(outcome),
            memory: Default::default(),
            log_lines: 0,
            log_requests: 0,
            pieces: None,
        }
    }
}

/// A proxy with a thread on the client's core would be measured under other conditions than the rest.
fn check_strays(running: &Running) -> Result<(), Failure> {
    match running.strays() {
        [] => Ok(()),
        strays => Err(Failure(format!("threads of the proxy left its core: {}", strays.join(", ")))),
    }
}

/// Lets the proxy finish what follows a response, such as its access log, before its time is read.
fn settle() {
    thread::sleep(SETTLE);
}

/// The load of the open loop.
const LOAD_SHARE: f64 = 0.30;

/// And what it may be at most of what the client reached in a closed loop.
const CLIENT_SHARE_MAX: f64 = 0.60;

/// Length of the closed loop that finds the rate.
const CALIBRATION: Duration = Duration::from_millis(300);

/// Longer than a proxy waits to write its log's last lines costs more than they do.
const SETTLE: Duration = Duration::from_millis(20);

/// How long event streams run after a probe before they are measured.
const CATCH_UP: Duration = Duration::from_millis(50);
