// SPDX-License-Identifier: Apache-2.0
//! Requested reloads: who waits for their results, and the plan that is to be taken into use.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::base::Tick;
use crate::config::plan::Plan;
use crate::config::{Files, Spec, Texts};
use crate::control::load::{Change, Ready};
use crate::control::log::Log;
use crate::control::store::Opened;
use crate::control::watch::Scope;
use crate::net::sockets::ListenSocket;

/// Gets the result of a requested reload.
pub(super) type ReloadResponder = oneshot::Sender<Result<String, String>>;

/// Reloads on their way, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    /// The compiler runs.
    pub loading: bool,
    /// When it began: files that changed since are not in what it made.
    pub since: Option<SystemTime>,
    /// Another reload was requested while one runs; it follows.
    again: Option<Cause>,
    asked: Vec<ReloadResponder>,
    asked_again: Vec<ReloadResponder>,
    /// A plan whose addresses are still taken.
    pub unbound: Option<Unbound>,
    /// The plan on its way into use.
    pub candidate: Option<Candidate>,
    /// Plans taken into use.
    pub done: u64,
    /// Configurations refused.
    pub refused: u64,
}

/// Why a configuration is read. The greater of two causes covers both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Files changed.
    Changed(Scope),
    /// Somebody asked for it.
    Asked,
}

/// A plan whose addresses are still taken: binding them is attempted again.
#[derive(Debug)]
pub(super) struct Unbound {
    /// The plan, with what belongs to it.
    pub ready: Ready,
    /// The next attempt.
    pub at: Tick,
    /// The last one.
    pub until: Tick,
}

/// A plan on its way into use.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What it was compiled from.
    pub spec: Arc<Spec>,
    /// What it changes, in one line.
    pub changes: String,
    /// Files and directories whose change changes the configuration.
    pub files: Files,
    /// The texts that it was compiled from.
    pub texts: Arc<Texts>,
    /// Warnings of the compiler.
    pub warnings: String,
    /// What becomes of the access log.
    pub log: Change<Log>,
    /// The store, which is opened with the first plan.
    pub store: Option<Opened>,
    /// What becomes of the admin listener.
    pub admin: Change<ListenSocket>,
}

impl Reloads {
    /// The plan on its way into use.
    pub(super) fn coming(&self) -> Option<&Arc<Plan>> {
        self.candidate.as_ref().map(|candidate| &candidate.plan)
    }

    /// Requests a reload; `reply` gets its result.
    pub(super) fn ask(&mut self, cause: Cause, reply: Option<ReloadResponder>) {
        self.again = self.again.max(Some(cause));
        self.asked_again.extend(reply);
    }

    /// Begins the requested reload at `now`. `None` where none is requested or one is still running.
    pub(super) fn begin(&mut self, now: SystemTime) -> Option<Cause> {
        if self.loading || self.unbound.is_some() || self.candidate.is_some() {
            return None;
        }
        let cause = self.again.take()?;
        self.loading = true;
        self.since = Some(now);
        self.asked = std::mem::take(&mut self.asked_again);
        Some(cause)
    }

    /// When the plan whose addresses are taken is attempted again.
    pub(super) fn bind_at(&self) -> Tick {
        self.unbound.as_ref().map_or(Tick::NEVER, |unbound| unbound.at)
    }

    /// Sends the result to all who asked for the running reload.
    pub(super) fn reply(&mut self, outcome: &Result<String, String>) {
        for reply in self.asked.drain(..) {
            // The requester may be gone.
            let _ = reply.send(outcome.clone());
        }
    }

    /// The process ends: nobody waits for a plan any more.
    pub(super) fn give_up(&mut self) {
        let asked_again = std::mem::take(&mut self.asked_again);
        self.asked.extend(asked_again);
        self.again = None;
        self.unbound = None;
        self.reply(&Err(STOPPING.to_owned()));
    }
}

/// The result of a reload that is requested while the process ends.
pub(super) const STOPPING: &str = "the process is stopping\n";
