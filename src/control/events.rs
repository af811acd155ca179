// SPDX-License-Identifier: Apache-2.0
//! The events that the control plane waits for, one at a time: signals, shards, requests to it, responses to its own,
//! files, time.

use std::sync::Arc;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::mpsc;

use crate::base::Tick;
use crate::config::Reports;
use crate::control::admin::AdminRequest;
use crate::control::load::Ready;
use crate::control::probe::HealthChange;
use crate::control::questions::Answered;
use crate::control::quotas::Settled;
use crate::control::reflect::Reflected;
use crate::control::resolve::Resolution;
use crate::control::shards::FromShards;
use crate::control::sources::Told;
use crate::control::store::{StoreEvent, StoreEvents};
use crate::control::upgrade::SuccessorOutcome;
use crate::control::usage::UsageEvent;
use crate::control::watch::{Scope, Watch};
use crate::net::machine;
use crate::policy::directory::Snapshot;

/// One thing that happened.
#[derive(Debug)]
pub(super) enum Event {
    /// Somebody sent a signal.
    Signal(Signal),
    /// The admin server asks.
    Ask(AdminRequest),
    /// Shards sent a message, or one ended.
    Shards,
    /// DNS answered.
    Answer(Resolution),
    /// An endpoint went up or down.
    Verdict(HealthChange),
    /// Servers were asked for their descriptors.
    Reflected(Reflected),
    /// The store did something.
    Stored(StoreEvent),
    /// A snapshot of the directory was made.
    Merged(Arc<Snapshot>),
    /// A step of usage on its way has ended.
    Usage(UsageEvent),
    /// A server outside has said something that shards asked for.
    Told(Told),
    /// A question of a shard is answered.
    Answered(Answered),
    /// Orders of quotas were done, or failed.
    Settled(Settled),
    /// A configuration was read and compiled, or refused.
    Loaded(Box<Result<Ready, Reports>>),
    /// A file of the configuration changed.
    FilesChanged(Scope),
    /// A successor serves, or never will.
    Successor(Result<u32, String>),
    /// The time that was asked for has come.
    Time,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGHUP.
    Reload,
    /// SIGTERM, SIGQUIT.
    Drain,
    /// SIGINT.
    StopNow,
    /// SIGUSR1.
    ReopenLogs,
    /// SIGUSR2.
    Upgrade,
}

/// Everything that events come from.
#[derive(Debug)]
pub(super) struct Events {
    /// Signals.
    pub signals: Signals,
    /// From the admin servers.
    pub asks: mpsc::Receiver<AdminRequest>,
    /// From the shards.
    pub shards: FromShards,
    /// From DNS.
    pub answers: mpsc::Receiver<Resolution>,
    /// From the health checks.
    pub verdicts: mpsc::Receiver<HealthChange>,
    /// From reflection.
    pub reflected: mpsc::Receiver<Reflected>,
    /// From the servers outside that policies need.
    pub told: mpsc::Receiver<Told>,
    /// From what answers questions of shards.
    pub answered: mpsc::Receiver<Answered>,
    /// From the databases of quotas.
    pub settled: mpsc::Receiver<Settled>,
    /// From the compiler.
    pub loads: mpsc::Receiver<Box<Result<Ready, Reports>>>,
    /// From the store, where there is one.
    pub store: Option<StoreEvents>,
    /// From the thread that makes snapshots of the directory.
    pub merged: mpsc::Receiver<Arc<Snapshot>>,
    /// From what records and exports usage.
    pub usage: mpsc::Receiver<UsageEvent>,
    /// The files of the plan in use, where they are watched.
    pub watch: Option<Watch>,
    /// The news of the successor that was started: it serves, or it has failed.
    pub successor: Option<SuccessorOutcome>,
}

impl Events {
    /// The next event; `Time` at `until`. Cancel-safe.
    pub(super) async fn next(&mut self, until: Tick) -> Event {
        let Events {
            signals,
            asks,
            shards,
            answers,
            verdicts,
            reflected,
            told,
            answered,
            settled,
            loads,
            store,
            merged,
            usage,
            watch,
            successor,
        } = self;
        // A sender of each channel lives as long as the control plane, so `None` does not come.
        tokio::select! {
            signal = signals.next() => Event::Signal(signal),
            () = shards.woken() => Event::Shards,
            Some(ask) = asks.recv() => Event::Ask(ask),
            Some(answer) = answers.recv() => Event::Answer(answer),
            Some(verdict) = verdicts.recv() => Event::Verdict(verdict),
            Some(received) = reflected.recv() => Event::Reflected(received),
            Some(told) = told.recv() => Event::Told(told),
            Some(answered) = answered.recv() => Event::Answered(answered),
            Some(settled) = settled.recv() => Event::Settled(settled),
            Some(snapshot) = merged.recv() => Event::Merged(snapshot),
            Some(event) = usage.recv() => Event::Usage(event),
            event = stored(store) => Event::Stored(event),
            Some(loaded) = loads.recv() => Event::Loaded(loaded),
            scope = changed(watch) => Event::FilesChanged(scope),
            outcome = outcome(successor) => Event::Successor(outcome),
            () = sleep_until(until) => Event::Time,
        }
    }
}

async fn changed(watch: &mut Option<Watch>) -> Scope {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn stored(store: &mut Option<StoreEvents>) -> StoreEvent {
    if let Some(events) = store
        && let Some(event) = events.next().await
    {
        return event;
    }
    // There is none, or its thread has ended.
    std::future::pending().await
}

async fn outcome(successor: &mut Option<SuccessorOutcome>) -> Result<u32, String> {
    match successor {
        Some(successor) => successor.wait().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(until: Tick) {
    if until == Tick::NEVER {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(until.since(machine::now())).await;
}

/// The signals that mean something here.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Stream,
    terminate: Stream,
    quit: Stream,
    interrupt: Stream,
    user_1: Stream,
    user_2: Stream,
}

impl Signals {
    /// From now on signals come here instead of ending the process.
    pub(super) fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.terminate.recv() => Signal::Drain,
            _ = self.quit.recv() => Signal::Drain,
            _ = self.interrupt.recv() => Signal::StopNow,
            _ = self.user_1.recv() => Signal::ReopenLogs,
            _ = self.user_2.recv() => Signal::Upgrade,
        }
    }
}
