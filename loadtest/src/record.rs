// SPDX-License-Identifier: Apache-2.0
//! The raw figures of a run as lines of JSON: first the facts of the run, then one line for each slice, kept or not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::Outcome;
use crate::failure::{Context, Failure};
use crate::histogram::Histogram;
use crate::machine::Machine;
use crate::peer::Peer;
use crate::probe::{Class, Probe};
use crate::process::Memory;
use crate::workload::Speech;

/// Name of the file in the folder of a run.
pub const RAW_FILE: &str = "raw.jsonl";

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub enum Record {
    /// The facts of the run.
    Run(Facts),
    /// One slice.
    Slice(Slice),
    /// Memory with idle connections.
    Idle(IdleMemory),
    /// Memory at rest.
    Rest(RestMemory),
}

/// What must be known to read the figures later.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// Date in UTC.
    pub date: String,
    /// Commit of the working tree; a `+` says that it had changes.
    pub commit: String,
    /// The machine.
    pub machine: Machine,
    /// What each proxy says about its version.
    pub versions: BTreeMap<Peer, String>,
    /// Rounds of each case.
    pub rounds: usize,
    /// Seconds of each slice.
    pub seconds: f64,
    /// Open descriptors that one process may have.
    pub descriptors: u64,
}

/// How a slice was driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As fast as it goes: the figure is the cost.
    Closed,
    /// At a fixed rate: the figure is the latency.
    Open,
    /// Events at a fixed rate: both.
    Stream,
}

/// One stretch of load on one proxy, between two probes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Slice {
    /// Name of the case.
    pub case: String,
    /// The proxy.
    pub peer: Peer,
    /// The round, from zero.
    pub round: usize,
    /// How it was driven.
    pub mode: Mode,
    /// The probe before.
    pub before: Probe,
    /// The probe after.
    pub after: Probe,
    /// Requests answered or events received.
    pub completed: u64,
    /// Seconds of the load.
    pub seconds: f64,
    /// Requests or events a second.
    pub per_second: f64,
    /// The rate of an open loop.
    pub offered_per_second: Option<u64>,
    /// User and system time of the proxy's processes.
    pub cpu_ns: u64,
    /// Busy time of the proxy's core, whoever used it, in steps of 10 ms.
    pub core_busy_ms: u64,
    /// Busy time of the other core that neither the origin nor the client used.
    pub client_core_foreign_ms: u64,
    /// Latencies.
    pub latency: Quantiles,
    /// Memory of the proxy's processes at the end.
    pub memory: Memory,
    /// Lines in the access log when the proxy was stopped, after all its slices.
    pub log_lines: usize,
    /// Requests that the proxy had been sent by then.
    pub log_requests: u64,
    /// Pieces in which the events of a stream arrived.
    pub pieces: Option<u64>,
}

/// Latencies in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half were not slower.
    pub p50_ns: u64,
    /// 99 of 100 were not slower.
    pub p99_ns: u64,
    /// 999 of 1 000 were not slower.
    pub p999_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

/// Memory of a proxy without and with idle connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdleMemory {
    /// The proxy.
    pub peer: Peer,
    /// What the connections speak.
    #[serde(default)]
    pub speech: Speech,
    /// The round, from zero.
    pub round: usize,
    /// How many connections.
    pub connections: usize,
    /// Memory after the first few requests of a proxy that is set up for few connections.
    pub small: Memory,
    /// Memory after the first few requests of the proxy that will hold them all.
    pub rest: Memory,
    /// Memory while the connections are held.
    pub held: Memory,
}

/// Memory of a proxy that was started and has served nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestMemory {
    /// The proxy.
    pub peer: Peer,
    /// Its threads that serve.
    pub shards: usize,
    /// Its memory.
    pub memory: Memory,
}

impl Slice {
    /// The class of the slice, where it did not change meanwhile.
    pub fn class(&self) -> Option<Class> {
        (self.before.class == self.after.class).then_some(self.before.class)
    }

    /// Microseconds of the proxy's time for each request or event.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.completed.max(1) as f64
    }

    /// The share of the slice in which other work used one of the two cores: the larger of both shares.
    pub fn foreign_share(&self) -> f64 {
        let on_proxy_core = self.core_busy_ms as f64 - self.cpu_ns as f64 / 1e6;
        let foreign_ms = on_proxy_core.max(self.client_core_foreign_ms as f64);
        (foreign_ms / 1e3 / self.seconds.max(1e-3)).max(0.0)
    }
}

impl Quantiles {
    /// The quantiles of a histogram, zeros where it is empty.
    pub fn of(histogram: &Histogram) -> Quantiles {
        let quantile = |per_mille| histogram.quantile(per_mille).unwrap_or(0);
        Quantiles { p50_ns: quantile(500), p99_ns: quantile(990), p999_ns: quantile(999), max_ns: histogram.largest() }
    }
}

impl From<&Outcome> for Quantiles {
    fn from(outcome: &Outcome) -> Quantiles {
        Quantiles::of(&outcome.latency)
    }
}

impl IdleMemory {
    /// Bytes by which the resident memory grew for each connection.
    pub fn bytes_grown(&self) -> f64 {
        (self.held.rss_kib as f64 - self.rest.rss_kib as f64) * 1024.0 / self.connections.max(1) as f64
    }

    /// Bytes of resident memory for each connection, with what is set aside for connections at start.
    pub fn bytes_with_tables(&self) -> f64 {
        (self.held.rss_kib as f64 - self.small.rss_kib as f64) * 1024.0 / self.connections.max(1) as f64
    }
}

/// Writes records as they come, so that an interrupted run keeps what it has.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    folder: PathBuf,
}

impl Recorder {
    /// Makes the folder `name` under `runs`, with a number behind it where it is there already.
    pub fn create(runs: &Path, name: &str) -> Result<Recorder, Failure> {
        fs::create_dir_all(runs).context(format_args!("making {}", runs.display()))?;
        let mut number = 1;
        loop {
            let folder = if number == 1 { runs.join(name) } else { runs.join(format!("{name}-{number}")) };
            match fs::create_dir(&folder) {
                Ok(()) => {
                    let file = File::create(folder.join(RAW_FILE)).context("making the file of raw figures")?;
                    return Ok(Recorder { file, folder });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Failure(format!("making {}: {error}", folder.display()))),
            }
        }
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a line.
    pub fn write(&mut self, record: &Record) -> Result<(), Failure> {
        let mut line = serde_json::to_string(record).context("writing a record")?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).context("writing a record")
    }
}

/// Reads the records of a run from its folder.
pub fn read(folder: &Path) -> Result<Vec<Record>, Failure> {
    let path = folder.join(RAW_FILE);
    let text = fs::read_to_string(&path).context(format_args!("reading {}", path.display()))?;
    let lines = text.lines().enumerate();
    lines
        .map(|(at, line)| serde_json::from_str(line).context(format_args!("{} line {}", path.display(), at + 1)))
        .collect()
}
