// SPDX-License-Identifier: Apache-2.0
//! The process log: on standard error, as text or JSON, at a level that a reload may change.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use crate::command::arguments::LogFormat;
use crate::command::stderr::Stderr;
use crate::config::spec::server::LogLevel;

/// The level of the process' own messages.
#[derive(Clone, Debug)]
pub(super) struct Level(Handle<Targets, Registry>);

impl Level {
    /// Sets it.
    pub(super) fn set(&self, level: LogLevel) {
        // Fails only where the subscriber is gone; then the level does not matter.
        let _ = self.0.reload(targets(level));
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
    Level(handle)
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
