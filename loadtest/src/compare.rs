// SPDX-License-Identifier: Apache-2.0
//! The comparison: every case, through every proxy, in interleaved rounds (A B C A B C), so that a change of the
//! machine hits all alike.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::failure::{Context, Failure};
use crate::h2;
use crate::machine::{CLIENT_CORE, Machine, check_interrupt, commit, pin, raise_descriptors, today, wake_sharply};
use crate::origin::Origin;
use crate::peer::{Peer, Programs};
use crate::record::{Facts, Mode, Record, Recorder, Slice};
use crate::report;
use crate::slice::{Bench, Visit};
use crate::summary::Summary;
use crate::workload::{Case, EVENTS_PER_SECOND, Kind, Speech, Workload};

/// What a comparison is made of.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The proxies, in the order of measuring.
    pub peers: Vec<Peer>,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// Rounds of each case.
    pub rounds: usize,
    /// Length of a slice.
    pub slice: Duration,
    /// Where the proxies' programs are.
    pub programs: Programs,
    /// Where runs are kept.
    pub runs: PathBuf,
    /// What is added to the name of the run's folder.
    pub suffix: String,
}

impl Comparison {
    /// Measures everything, keeps it, and returns the folder and the figures.
    pub fn run(&self) -> Result<(PathBuf, Summary), Failure> {
        let started = Instant::now();
        let machine = Machine::read();
        if machine.cores < 2 {
            return Err(Failure::new("a comparison needs two cores: one for the proxy, one for origin and client"));
        }
        self.programs.install(&self.peers)?;
        if self.workloads.iter().any(|workload| matches!(workload, Workload::H2Get100 | Workload::GrpcEcho)) {
            h2::install()?;
        }
        let descriptors = raise_descriptors();
        pin(CLIENT_CORE)?;
        wake_sharply();
        let files = tempfile::Builder::new().prefix("loadtest-").tempdir().context("making a temporary directory")?;
        let certificate = Certificate::make(files.path())?;
        let bench = Bench {
            programs: self.programs.clone(),
            origin: Origin::start((Ipv4Addr::LOCALHOST, 0).into(), EVENTS_PER_SECOND)?,
            tls: certificate.client()?,
            certificate,
            directory: files.path().to_path_buf(),
            slice: self.slice,
            warm_up: (self.slice / 2).clamp(WARM_UP_MIN, WARM_UP_MAX),
        };
        let name = format!("{}-{}{}", today(), machine.class, self.suffix);
        let mut recorder = Recorder::create(&self.runs, &name)?;
        recorder.write(&Record::Run(self.facts(machine, descriptors)?))?;
        let measured = self.measure_all(&bench, &mut recorder);
        let folder = recorder.folder().to_path_buf();
        // The tables are also made of what was measured before a failure or an interrupt.
        let summary = report::write(&folder)?;
        measured.context(format_args!("stopped early, see {}", folder.display()))?;
        eprintln!("measured in {:.0} s", started.elapsed().as_secs_f64());
        Ok((folder, summary))
    }

    fn facts(&self, machine: Machine, descriptors: u64) -> Result<Facts, Failure> {
        let mut versions = BTreeMap::new();
        for peer in &self.peers {
            versions.insert(*peer, self.programs.version(*peer)?);
        }
        let seconds = self.slice.as_secs_f64();
        Ok(Facts { date: today(), commit: commit(), machine, versions, rounds: self.rounds, seconds, descriptors })
    }

    fn measure_all(&self, bench: &Bench, recorder: &mut Recorder) -> Result<(), Failure> {
        for workload in &self.workloads {
            match workload {
                Workload::Idle => {
                    self.measure_rest(bench, recorder)?;
                    self.measure_idle(bench, Speech::Http1, recorder)?;
                }
                Workload::H2Idle => self.measure_idle(bench, Speech::Http2Tls, recorder)?,
                Workload::Get100
                | Workload::Get10k
                | Workload::Get1m
                | Workload::Post4k
                | Workload::Https100
                | Workload::TlsHandshake
                | Workload::Routes1000
                | Workload::H2Get100
                | Workload::Gateway
                | Workload::GrpcEcho
                | Workload::Sse => self.measure(bench, &workload.cases(), recorder)?,
            }
        }
        Ok(())
    }

    /// The rounds of one workload: each measures all cases through all proxies.
    fn measure(&self, bench: &Bench, cases: &[Case], recorder: &mut Recorder) -> Result<(), Failure> {
        let mut rates = Vec::new();
        for case in cases {
            rates.push(self.rate(bench, case)?);
        }
        for round in 0..self.rounds {
            for &peer in &self.peers {
                for (case, per_second) in cases.iter().zip(&rates).filter(|(case, _)| peer.can(case)) {
                    check_interrupt()?;
                    let slices = bench.visit(Visit { case: *case, peer, round, per_second: *per_second })?;
                    for slice in slices {
                        tell(&slice);
                        recorder.write(&Record::Slice(slice))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The rate of the open loop: 30 % of what nginx can do, or else the first proxy, the same for all.
    fn rate(&self, bench: &Bench, case: &Case) -> Result<u64, Failure> {
        let reference = self.peers.iter().find(|peer| **peer == Peer::Nginx).or(self.peers.first());
        let reference = *reference.context("there is no proxy to measure")?;
        match case.kind {
            Kind::Exchanges(exchanges) => {
                bench.calibrate(reference, exchanges).context(format_args!("finding the rate of {}", case.name))
            }
            Kind::Calls(_) | Kind::Streams | Kind::Idle(_) => Ok(EVENTS_PER_SECOND),
        }
    }

    /// The proxies whose memory is measured: all but the copier, which has almost no state.
    fn proxies(&self) -> impl Iterator<Item = Peer> {
        self.peers.iter().copied().filter(|peer| *peer != Peer::Copier)
    }

    fn measure_rest(&self, bench: &Bench, recorder: &mut Recorder) -> Result<(), Failure> {
        for peer in self.proxies() {
            for shards in [1, 2] {
                check_interrupt()?;
                recorder.write(&Record::Rest(bench.rest(peer, shards)?))?;
            }
        }
        Ok(())
    }

    fn measure_idle(&self, bench: &Bench, speech: Speech, recorder: &mut Recorder) -> Result<(), Failure> {
        // Memory hardly differs from round to round.
        for round in 0..(self.rounds / ROUNDS_PER_IDLE_ROUND).max(1) {
            for peer in self.proxies() {
                check_interrupt()?;
                let memory = bench.idle(peer, speech, round)?;
                eprintln!("{speech:<19}{peer:<9} {:.0} B for each connection", memory.bytes_with_tables());
                recorder.write(&Record::Idle(memory))?;
            }
        }
        Ok(())
    }
}

/// A line for the person who waits.
fn tell(slice: &Slice) {
    let class = slice.class().map_or_else(|| "moved".to_owned(), |class| class.to_string());
    let figure = match slice.mode {
        Mode::Closed => format!("{:8.2} us CPU {:9.0} /s", slice.cpu_us(), slice.per_second),
        Mode::Open => format!(
            "p50 {:6.0} us  p99 {:6.0} us",
            slice.latency.p50_ns as f64 / 1e3,
            slice.latency.p99_ns as f64 / 1e3
        ),
        Mode::Stream => format!("{:8.2} us CPU, p99 {:6.0} us", slice.cpu_us(), slice.latency.p99_ns as f64 / 1e3),
    };
    eprintln!("{:<19}{:<9} round {:<3}{figure}  ({class})", slice.case, slice.peer, slice.round);
}

/// A proxy's first requests fill its caches and open its connections.
const WARM_UP_MIN: Duration = Duration::from_millis(100);

/// More changes nothing.
const WARM_UP_MAX: Duration = Duration::from_millis(250);

/// The idle workload has one round for so many of the others.
const ROUNDS_PER_IDLE_ROUND: usize = 3;
