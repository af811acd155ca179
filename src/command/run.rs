// SPDX-License-Identifier: Apache-2.0
//! `turnpike run`: reads the configuration, starts the shards, and is the control plane until the end.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::command::announce;
use crate::command::arguments::{LogFormat, RunArguments, Switch, default_file};
use crate::command::logging::{self, Level};
use crate::command::shards::{self, Cores};
use crate::command::stderr::Stderr;
use crate::config::plan::Plan;
use crate::config::{ConfigSource, Environment, Loaded, OneLine, Reports, Texts, load_over};
use crate::control::shards::links;
use crate::control::status::Status;
use crate::control::upgrade::{Predecessor, Program};
use crate::control::{Host, LevelChange, LevelState, Start};
use crate::net::machine::{self, Account};
use crate::net::sockets::{self, Inherited};

/// Longest wait for threads whose shards have ended.
const JOIN_MAX: Duration = Duration::from_secs(2);

/// Runs the gateway until a stop is requested.
pub(super) fn run(arguments: &RunArguments, inherited: io::Result<Vec<Inherited>>) -> ExitCode {
    let stderr = match Stderr::start() {
        Ok(stderr) => stderr,
        Err(error) => {
            eprintln!("error: no thread for messages: {error}");
            return ExitCode::FAILURE;
        }
    };
    let level = logging::start(arguments.log_format, &stderr);
    let host = Arc::new(CommandHost::new(arguments, level, stderr.clone()));
    let code = start(host, inherited).unwrap_or_else(|words| {
        stderr.write(format!("error: {words}\n"));
        1
    });
    stderr.flush();
    ExitCode::from(code)
}

fn start(host: Arc<CommandHost>, inherited: io::Result<Vec<Inherited>>) -> Result<u8, String> {
    let inherited = inherited.map_err(|error| error.to_string())?;
    let loaded = match host.load(None) {
        Ok(loaded) => loaded,
        Err(reports) => {
            host.refused(&reports);
            return Ok(1);
        }
    };
    change_account(&loaded)?;
    if !loaded.warnings.list.is_empty() {
        host.warn(&loaded.warnings);
    }
    host.follow(&loaded.plan);
    let process = &loaded.plan.process;
    let (ends, parts, from_shards) = links(process.shards, sockets::bell).map_err(|error| error.to_string())?;
    let cores = if process.pin { Cores::pinned() } else { Cores::Any };
    let threads = shards::start(parts, &cores, shards::data_plane).map_err(|error| error.to_string())?;
    let program = Program::of_process().map_err(|error| tracing::warn!(%error, "no binary upgrade")).ok();
    let start =
        Start { host, loaded, ends, shards: from_shards, inherited, program, predecessor: Predecessor::of_process() };
    let report = crate::control::run(start).map_err(|error| error.to_string())?;
    join(threads);
    Ok(report.code)
}

/// Changes to the account that the configuration names, before there are sockets, logs or shards.
fn change_account(loaded: &Loaded) -> Result<(), String> {
    let Some(user) = &loaded.plan.process.user else {
        if machine::is_root() {
            tracing::warn!("runs as root; `user` in `[server]` names an account to change to");
        }
        return Ok(());
    };
    let account = Account::parse(user).map_err(|error| format!("`user` in `[server]`: {error}"))?;
    if account.is_own() {
        return Ok(());
    }
    if !machine::is_root() {
        tracing::warn!(user, "`user` in `[server]` is ignored: only root can change to another account");
        return Ok(());
    }
    account.assume().map_err(|error| format!("cannot change to the user `{user}`: {error}"))?;
    for file in loaded.files.all() {
        if let Err(error) = File::open(file) {
            let file = file.display();
            tracing::warn!(%file, user, %error, "this account cannot read the file, so a reload will be refused");
        }
    }
    Ok(())
}

/// Joins the threads that end in time and leaves those that hang.
fn join(threads: Vec<JoinHandle<()>>) {
    let until = Instant::now() + JOIN_MAX;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// What the control plane needs of the command.
struct CommandHost {
    source: ConfigSource,
    environment: Environment,
    control_socket: Option<PathBuf>,
    log_format: LogFormat,
    level: Level,
    stderr: Stderr,
}

impl CommandHost {
    fn new(arguments: &RunArguments, level: Level, stderr: Stderr) -> CommandHost {
        let shards = arguments.shards.map(NonZeroUsize::get);
        let descriptors = sockets::raise_descriptor_limit().inspect_err(|error| {
            tracing::warn!(%error, "the limit on open files could not be raised");
        });
        let descriptors = descriptors.ok();
        CommandHost {
            source: source(arguments, default_file().as_deref()),
            environment: Environment { shards, descriptors, ..Environment::of_process(machine::wall()) },
            control_socket: arguments.control_socket.clone(),
            log_format: arguments.log_format,
            level,
            stderr,
        }
    }

    fn warn(&self, warnings: &Reports) {
        match self.log_format {
            LogFormat::Text => self.stderr.write(warnings.for_stderr()),
            LogFormat::Json => tracing::warn!(reports = warnings.plain(), "the configuration has warnings"),
        }
    }
}

impl Host for CommandHost {
    fn source(&self) -> String {
        match &self.source {
            ConfigSource::File(path) => path.display().to_string(),
            ConfigSource::Quickstart => "built in".to_owned(),
            ConfigSource::Text { name, .. } => name.clone(),
        }
    }

    fn load(&self, kept: Option<&Texts>) -> Result<Loaded, Reports> {
        let environment = Environment { now: machine::wall(), ..self.environment.clone() };
        load_over(&self.source, &environment, kept)
    }

    fn control_socket(&self) -> Option<PathBuf> {
        self.control_socket.clone()
    }

    fn follow(&self, plan: &Plan) {
        self.level.configure(plan.process.log_level);
    }

    fn log_level(&self, change: LevelChange) -> LevelState {
        self.level.change(change)
    }

    fn refused(&self, reports: &Reports) {
        match self.log_format {
            LogFormat::Text => self.stderr.write(reports.for_stderr()),
            LogFormat::Json => tracing::error!(reports = reports.plain(), "invalid configuration"),
        }
    }

    fn serving(&self, status: &Status) {
        match self.log_format {
            LogFormat::Text => self.stderr.write(announce::words(status, &self.source)),
            LogFormat::Json => tracing::info!(status = serde_json::to_string(status).unwrap_or_default(), "started"),
        }
    }

    fn messages_dropped(&self) -> u64 {
        self.stderr.dropped()
    }
}

/// The configuration that the arguments name; without any, the default file where there is one.
fn source(arguments: &RunArguments, default: Option<&Path>) -> ConfigSource {
    if let Some(path) = &arguments.config {
        return ConfigSource::File(path.clone());
    }
    if arguments.to.is_empty() {
        return default.map_or(ConfigSource::Quickstart, |path| ConfigSource::File(path.to_owned()));
    }
    let line = OneLine {
        to: arguments.to.clone(),
        listen: arguments.listen.clone(),
        certificate: arguments.cert.clone().zip(arguments.key.clone()),
        admin: arguments.admin.clone(),
        access_log: arguments.access_log.clone(),
        access_format: arguments.access_format.clone(),
        metrics: arguments.metrics.map(|metrics| metrics == Switch::On),
    };
    line.source()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_a_configuration() {
        let none = RunArguments::default();
        let default = Some(Path::new("/default.toml"));
        assert_eq!(source(&none, None), ConfigSource::Quickstart);
        assert_eq!(source(&none, default), ConfigSource::File("/default.toml".into()));
        let file = RunArguments { config: Some("a.toml".into()), ..RunArguments::default() };
        assert_eq!(source(&file, default), ConfigSource::File("a.toml".into()));
        let line = RunArguments {
            to: vec!["http://127.0.0.1:9000".to_owned()],
            listen: vec!["127.0.0.1:0".to_owned()],
            metrics: Some(Switch::Off),
            ..RunArguments::default()
        };
        let environment = Environment { shards: Some(3), ..Environment::sealed() };
        let plan = load_over(&source(&line, default), &environment, None).expect("compiles").plan;
        assert_eq!((plan.process.shards, plan.metrics, plan.access_log.is_none()), (3, false, true));
    }
}
