// SPDX-License-Identifier: Apache-2.0
//! Starts the control plane on the calling thread and runs it until the process may end.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::LocalSet;

use crate::config::Loaded;
use crate::control::admin::{self, ASKS_MAX};
use crate::control::directory::Registry;
use crate::control::discovery::Discovery;
use crate::control::events::{Events, Signals};
use crate::control::listen::Sockets;
use crate::control::notices::Notices;
use crate::control::plane::{Host, Plane, Setup, Timers};
use crate::control::probe::Probes;
use crate::control::questions::Questions;
use crate::control::quotas::Quotas;
use crate::control::reflect::Reflections;
use crate::control::reloads::Reloads;
use crate::control::resolve::{Resolver, SystemLookup};
use crate::control::retired::Retired;
use crate::control::rollout::Rollout;
use crate::control::shards::{ControlEnd, FromShards, Shards};
use crate::control::sources::Sources;
use crate::control::state::State;
use crate::control::systemd::Supervisor;
use crate::control::traces::Traces;
use crate::control::upgrade::{Predecessor, Program};
use crate::control::upstreams::UpstreamReports;
use crate::control::usage::Usage;
use crate::net::machine;
use crate::net::sockets::Inherited;

/// Most DNS results and health changes that wait to be handled; the tasks block above it.
const RESULTS_MAX: usize = 256;
/// Longest wait for work on other threads that is still under way at the end.
const SHUT_DOWN: Duration = Duration::from_secs(1);

/// Longest wait at the end for responses of the admin server that are on their way.
const LAST_RESPONSES: Duration = Duration::from_secs(1);
/// How often it is looked whether they are sent.
const LOOK: Duration = Duration::from_millis(1);

/// What the control plane starts with.
pub(crate) struct Start {
    /// Whoever starts it.
    pub host: Arc<dyn Host>,
    /// The configuration's first state, compiled.
    pub loaded: Loaded,
    /// The ends of the links to all shards; their threads run already or will soon.
    pub ends: Vec<ControlEnd>,
    /// Messages from the shards.
    pub shards: FromShards,
    /// Listening sockets that the process was started with.
    pub inherited: Vec<Inherited>,
    /// How to start the same program again; `None` where it must not be.
    pub program: Option<Program>,
    /// The process that this one takes over from.
    pub predecessor: Option<Predecessor>,
}

/// How the control plane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExitReport {
    /// What the process exits with: zero where it was asked to end.
    pub code: u8,
}

/// Runs until the process may end. Fails only where the runtime itself cannot be made.
pub(crate) fn run(start: Start) -> io::Result<ExitReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = LocalSet::new().block_on(&runtime, serve(start));
    runtime.shutdown_timeout(SHUT_DOWN);
    Ok(ExitReport { code: code? })
}

async fn serve(start: Start) -> io::Result<u8> {
    let ((loads_in, loads), (merged_in, merged)) = (mpsc::channel(1), mpsc::channel(1));
    let ((asks_in, asks), (settled_in, settled)) = (mpsc::channel(ASKS_MAX), mpsc::channel(RESULTS_MAX));
    let ((answers_in, answers), (verdicts_in, verdicts)) = (mpsc::channel(RESULTS_MAX), mpsc::channel(RESULTS_MAX));
    let ((reflected_in, reflected), (told_in, told)) = (mpsc::channel(RESULTS_MAX), mpsc::channel(RESULTS_MAX));
    let ((answered_in, answered), (usage_in, usage)) = (mpsc::channel(RESULTS_MAX), mpsc::channel(RESULTS_MAX));
    let events = Events {
        signals: Signals::listen()?,
        asks,
        shards: start.shards,
        answers,
        verdicts,
        reflected,
        told,
        answered,
        settled,
        loads,
        store: None,
        merged,
        usage,
        watch: None,
        successor: None,
    };
    let (count, now, seed) = (start.ends.len(), machine::now(), seed());
    let plane = Plane {
        setup: Setup {
            host: start.host,
            program: start.program,
            predecessor: start.predecessor,
            loads: loads_in,
            merged: merged_in,
            admin: Rc::new(admin::state(asks_in)),
            started_seconds: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            started: now,
        },
        state: State::Starting,
        shards: Shards::new(start.ends),
        rollout: Rollout::new(count),
        reloads: Reloads::default(),
        current: None,
        process: None,
        retired: Retired::default(),
        registry: Registry::new(count),
        usage: Usage::new(process_name(), usage_in, now),
        tally: Arc::default(),
        pages: Rc::new(Semaphore::new(1)),
        upstreams: Rc::new(UpstreamReports::new(count)),
        sockets: Sockets::new(count, start.inherited),
        log: None,
        log_dropped_before: 0,
        discovery: Discovery::new(),
        resolver: Resolver::new(SystemLookup::new(), answers_in, seed),
        unresolved: Default::default(),
        notices: Notices::default(),
        traces: Traces::default(),
        probes: Probes::new(verdicts_in, seed),
        reflections: Reflections::new(reflected_in, count, seed),
        sources: Sources::new(told_in, seed),
        questions: Questions::new(answered_in),
        quotas: Quotas::new(settled_in, count as u32),
        supervisor: Supervisor::of_process(),
        successor: None,
        admin: None,
        control: None,
        driver: "",
        timers: Timers::new(now),
    };
    Ok(live(plane, start.loaded, events).await)
}

/// From the first plan to the end. The requester of a stop still gets the response.
async fn live(mut plane: Plane, loaded: Loaded, mut events: Events) -> u8 {
    let admin = Rc::clone(&plane.setup.admin);
    plane.begin(loaded);
    let code = plane.run(&mut events).await;
    // Whoever has asked and was not answered learns that nobody will.
    drop(events);
    let until = machine::now().after(LAST_RESPONSES);
    // Each connection holds it.
    while Rc::strong_count(&admin) > 1 && machine::now() < until {
        tokio::time::sleep(LOOK).await;
    }
    code
}

/// A name that no other process has: usage that is sent again is known by it.
fn process_name() -> Arc<str> {
    let mut bytes = [0; 8];
    // Without randomness, the time of the start and the process id tell it from others.
    let _ = getrandom::fill(&mut bytes);
    format!("{:016x}-{:x}-{:x}", u64::from_ne_bytes(bytes), machine::wall().0, std::process::id()).into()
}

/// Something that differs from process to process, to spread what many do at the same time. Not a secret.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => u64::from(std::process::id()),
    }
}
