// SPDX-License-Identifier: Apache-2.0
//! What the admin server asks of the control plane, one message each.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::config::spec::server::LogLevel;
use crate::control::admin::job::{ReadJob, WriteOrder};
use crate::control::directory::WriteResponder;
use crate::control::overrides::{Override, OverrideFault};
use crate::control::status::Status;
use crate::control::traces::{TraceRequest, TraceStatus};
use crate::net::machine::Signal;

/// Requests that wait for the control plane; more of them wait in their connections.
pub(crate) const ASKS_MAX: usize = 64;

/// What a request wants of the control plane.
#[derive(Debug)]
pub(crate) enum AdminRequest {
    /// Does it serve?
    Ready(oneshot::Sender<Readiness>),
    /// The metrics page.
    Metrics(oneshot::Sender<String>),
    /// The status document.
    Status(oneshot::Sender<Box<Status>>),
    /// Reload; `Ok` says what changed, `Err` what is wrong.
    Reload(oneshot::Sender<Result<String, String>>),
    /// Trace requests. `Err` says why that is refused.
    Trace(TraceRequest, oneshot::Sender<Result<mpsc::Receiver<Bytes>, String>>),
    /// The traces that run.
    Traces(oneshot::Sender<Vec<TraceStatus>>),
    /// Stop.
    Stop(StopMode, oneshot::Sender<String>),
    /// Write to the store.
    Write(Box<WriteOrder>, WriteResponder),
    /// Read the store.
    Read(ReadJob),
    /// What the process log shows; chooses something else first, where that is asked for.
    LogLevel(LevelChange, oneshot::Sender<LevelState>),
    /// A key of a rate limit: where it stands, or its whole limit again.
    LimitKey(LimitKeyRequest, oneshot::Sender<Result<LimitKeyState, LimitKeyFault>>),
    /// The share that an endpoint gets whatever the configuration says.
    Endpoint(EndpointChange, oneshot::Sender<Result<(), OverrideFault>>),
    /// End sessions of browsers; the answer is of how many policies they may be.
    EndSessions(EndSessions, oneshot::Sender<usize>),
}

/// Whose sessions of browsers end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndSessions {
    /// The one of this id.
    Session(String),
    /// Those of a subject, of one policy or of all.
    Subject(String, Option<String>),
    /// Those that belong to a session of the issuer, of one policy or of all.
    Sid(String, Option<String>),
}

/// A key of a rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitKeyRequest {
    /// The name of the policy.
    pub limit: String,
    /// A value for each part of the key.
    pub key: Vec<String>,
    /// The route, where each counts for itself.
    pub route: Option<String>,
    /// What is done.
    pub what: LimitKeyDo,
}

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitKeyDo {
    /// Nothing.
    Show,
    /// It has its whole limit again.
    Reset,
}

/// Where a key of a rate limit stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct LimitKeyState {
    /// The name of the limit.
    pub limit: String,
    /// The key's values.
    pub key: Vec<String>,
    /// Its windows.
    pub windows: Vec<LimitWindowState>,
}

/// Where a key stands in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct LimitWindowState {
    /// The window's name.
    pub name: String,
    /// Where it is counted: `memory`, `store` or `redis`.
    pub counted_in: &'static str,
    /// How many requests of cost 1 it has room for.
    pub quota: u32,
    /// What is used, with what gateways have leased and not used; not known of what is counted in memory.
    pub used: Option<u64>,
}

/// Why nothing is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LimitKeyFault {
    /// There is no such limit.
    NoLimit,
    /// It is not a key of this limit.
    NoKey(String),
    /// The database does not answer.
    Away,
}

/// Does the process serve?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It does.
    Ready,
    /// It does, but for what is said here.
    Degraded(&'static str),
    /// Not for the reason given.
    Not(&'static str),
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopMode {
    /// Running exchanges end first, up to the plan's deadline.
    Drain,
    /// At once.
    Now,
}

impl StopMode {
    /// The signal that asks for the same.
    pub(crate) const fn signal(self) -> Signal {
        match self {
            StopMode::Drain => Signal::Terminate,
            StopMode::Now => Signal::Interrupt,
        }
    }
}

/// What happens to the level of the process log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LevelChange {
    /// Nothing.
    Keep,
    /// From now on this one, whatever the configuration says.
    Choose(LogLevel),
    /// The configuration's again.
    Configured,
}

/// The level of the process log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LevelState {
    /// What the configuration says.
    pub configured: LogLevel,
    /// What was chosen over it.
    pub chosen: Option<LogLevel>,
}

/// What happens to the share of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointChange {
    /// The upstream.
    pub upstream: String,
    /// The endpoint's address, as the status document shows it.
    pub endpoint: String,
    /// What it gets; `None` for what the configuration says.
    pub to: Option<Override>,
}
