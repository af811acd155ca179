// SPDX-License-Identifier: Apache-2.0
//! The process log: on standard error, as text or JSON, at a level that a reload may change.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use crate::command::arguments::LogFormat;
use crate::command::stderr::Stderr;
use crate::config::spec::server::LogLevel;
use crate::control::{LevelChange, LevelState};

/// The level of the process' own messages: what the configuration says, or what was chosen over it at run time.
#[derive(Debug)]
pub(super) struct Level {
    handle: Handle<Targets, Registry>,
    /// Held for an assignment only; messages do not look at it.
    state: Mutex<LevelState>,
}

impl Level {
    /// The configuration says this. What was chosen over it stays.
    pub(super) fn configure(&self, level: LogLevel) {
        self.update(|state| state.configured = level);
    }

    /// Chooses another level, or the configuration's again.
    pub(super) fn change(&self, change: LevelChange) -> LevelState {
        self.update(|state| match change {
            LevelChange::Keep => {}
            LevelChange::Choose(level) => state.chosen = Some(level),
            LevelChange::Configured => state.chosen = None,
        })
    }

    fn update(&self, change: impl FnOnce(&mut LevelState)) -> LevelState {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        // Fails only where the subscriber is gone; then the level does not matter.
        let _ = self.handle.reload(targets(state.chosen.unwrap_or(state.configured)));
        *state
    }
}

/// From now on messages are written to `stderr`, those of panics among them. To be called once.
pub(super) fn start(format: LogFormat, stderr: &Stderr) -> Level {
    let panics = stderr.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        let trace = Backtrace::capture();
        let trace = if trace.status() == BacktraceStatus::Captured { format!("{trace}") } else { String::new() };
        panics.write(format!("thread '{name}' {panic}\n{trace}"));
    }));
    let (filter, handle) = reload::Layer::new(targets(LogLevel::Info));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr.clone()).with_target(false);
    // Fails only on a second call; the first subscriber stays.
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_ansi(colours())).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    let state = LevelState { configured: LogLevel::Info, chosen: None };
    Level { handle, state: Mutex::new(state) }
}

fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Our own messages at `level`; those of libraries only where something is wrong.
fn targets(level: LogLevel) -> Targets {
    let (ours, others) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::ERROR),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::ERROR),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    Targets::new().with_default(others).with_target("turnpike", ours)
}
