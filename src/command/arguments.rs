// SPDX-License-Identifier: Apache-2.0
//! The command-line arguments. The comments here are the help texts.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::base::Wall;
use crate::command::admin_arguments::{
    AuditArguments, KeyCommand, LimitCommand, LogLevelArguments, ObjectCommand, ThingCommand, TokenCommand,
    UpstreamCommand, UsageArguments,
};
use crate::command::running_arguments::RunningArguments;
use crate::config::spec::scalar::{Moment, Scalar};

/// The version; in a release build that knows its commit, as `0.1.0 (0123456789ab)`.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("TURNPIKE_BUILD"));

/// Edge proxy and API gateway: routing, load balancing, health checks, rate limits, gRPC and WebSocket in one binary.
///
/// Without a command it runs: with a file (`-c`), as a proxy for one origin (`--to`), or without either with
/// /etc/turnpike/turnpike.toml where that exists, else with a built-in example configuration.
#[derive(Debug, Parser)]
#[command(name = "turnpike", version = VERSION, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to run.
    #[command(flatten)]
    pub run: RunArguments,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway (what happens without a command too)
    Run(RunFile),
    /// Check a configuration file and say what is wrong with it, without running it
    Check(CheckArguments),
    /// Explain what would happen to a request, and why
    Explain(ExplainArguments),
    /// Run tests of a configuration: requests, stubs in the place of upstreams, and what is expected
    Test(TestArguments),
    /// Reload the configuration of a running process
    Reload(RunningArguments),
    /// Stop a running process
    Stop(StopArguments),
    /// Show the state of a running process
    Status(StatusArguments),
    /// Show requests as they pass a running process: route and why, policies, endpoints, attempts, times
    Trace(TraceArguments),
    /// Show or change consumers of a running process
    #[command(subcommand)]
    Consumer(ObjectCommand),
    /// Show, create, rotate or revoke API keys of consumers
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show or change plans
    #[command(subcommand)]
    Plan(ThingCommand),
    /// Show or change products: sets of routes that are sold together
    #[command(subcommand)]
    Product(ThingCommand),
    /// Show or change tenants
    #[command(subcommand)]
    Tenant(ObjectCommand),
    /// Show or change groups of consumers
    #[command(subcommand)]
    Group(ThingCommand),
    /// Show or change apps of consumers
    #[command(subcommand)]
    App(ObjectCommand),
    /// Show who called what: requests, bytes and times by consumer, route, plan and so on
    Usage(UsageArguments),
    /// Show rate limits and their keys, give a key its whole limit again
    #[command(subcommand)]
    Limit(LimitCommand),
    /// Show upstreams, drain their endpoints, change their shares
    #[command(subcommand)]
    Upstream(UpstreamCommand),
    /// Show who changed what over the admin API
    Audit(AuditArguments),
    /// Create, list or revoke tokens of the admin API
    #[command(subcommand)]
    AdminToken(TokenCommand),
    /// Show or change the level of the process log
    LogLevel(LogLevelArguments),
    /// Examine, copy or show the file of a store
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print the version
    Version,
    /// Print completions for a shell
    Completions(CompletionsArguments),
    /// Print the man page, of the whole or of one command
    Man(ManArguments),
}

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Check the store and say what is wrong with it
    Check {
        /// The file of the store, or the URL of a database (postgres://…; PGPASSWORD holds the password)
        #[arg(value_name = "STORE")]
        store: String,
    },
    /// Copy the file of a store as it is at one moment, while a gateway may use it
    Backup {
        /// The file of the store; a database of PostgreSQL is copied with pg_dump
        #[arg(value_name = "STORE")]
        store: String,
        /// The file to make, which must not exist
        #[arg(value_name = "TO")]
        to: PathBuf,
    },
    /// Print all objects, credentials and tokens, one JSON object a line and without secrets
    Export {
        /// The file of the store, or the URL of a database (postgres://…; PGPASSWORD holds the password)
        #[arg(value_name = "STORE")]
        store: String,
    },
}

/// A file to run, or flags.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunFile {
    /// Configuration file, as with -c
    #[arg(value_name = "FILE", conflicts_with_all = ["config", "to"])]
    pub file: Option<PathBuf>,
    /// What to run.
    #[command(flatten)]
    pub run: RunArguments,
}

impl RunFile {
    /// The same with the file as `-c` names it.
    pub(crate) fn arguments(self) -> RunArguments {
        RunArguments { config: self.file.or(self.run.config), ..self.run }
    }
}

/// What to run.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunArguments {
    /// Configuration file [default: /etc/turnpike/turnpike.toml where it exists and --to is not given]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Reverse proxy: forward every request to this origin, http://HOST:PORT or https://HOST:PORT; several are
    /// load-balanced
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub to: Vec<String>,
    /// Where to listen: ADDRESS:PORT, unix:PATH, or https://ADDRESS:PORT with --cert and --key [default:
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", requires = "to", conflicts_with = "config")]
    pub listen: Vec<String>,
    /// Certificate (PEM, with its chain) for https:// listeners
    #[arg(long, value_name = "FILE", requires_all = ["key", "to"], conflicts_with = "config")]
    pub cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE", requires_all = ["cert", "to"], conflicts_with = "config")]
    pub key: Option<PathBuf>,
    /// Data-plane threads, instead of `shards` in the configuration [default: one for each core]
    #[arg(long, value_name = "COUNT")]
    pub shards: Option<NonZeroUsize>,
    /// Admin listener: health, metrics and status
    #[arg(long, value_name = "ADDRESS", requires = "to", conflicts_with = "config")]
    pub admin: Option<String>,
    /// Access log: a file, stdout or off [default: off]
    #[arg(long, value_name = "PATH", requires = "to", conflicts_with = "config")]
    pub access_log: Option<String>,
    /// Format of the access log: json, combined or a text with variables
    #[arg(long, value_name = "FORMAT", requires = "access_log", conflicts_with = "config")]
    pub access_format: Option<String>,
    /// Collect metrics [default: on]
    #[arg(long, value_name = "on|off", requires = "to", conflicts_with = "config", value_enum)]
    pub metrics: Option<Switch>,
    /// Control socket for `turnpike reload`, `stop`, `status` and `trace`, instead of the default path
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
    /// Format of the process log on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// The configuration that is used where none is named, where it exists.
pub(crate) const DEFAULT_FILE: &str = "/etc/turnpike/turnpike.toml";

/// The default configuration file, where it exists.
pub(crate) fn default_file() -> Option<PathBuf> {
    Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()).map(Path::to_owned)
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Format of the process log on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Configuration file; `-` is standard input [default: /etc/turnpike/turnpike.toml where it exists]
    #[arg(conflicts_with = "config")]
    pub file: Option<PathBuf>,
    /// Configuration file, as without -c
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write the result to standard output as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// What to explain.
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// Configuration file [default: /etc/turnpike/turnpike.toml where it exists, else the built-in example]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Method, such as GET
    pub method: String,
    /// URL, such as http://a.example:8080/users/7, or a path alone
    pub url: String,
    /// A request header, "Name: value"; repeatable
    #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = field)]
    pub headers: Vec<(String, String)>,
    /// The request's body, for routes that ask for values in it
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// The client's IP address
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub from: IpAddr,
    /// Call as this consumer of the configuration, with a key that it has for this purpose only
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    pub consumer: Option<String>,
    /// Send this API key where the configuration looks for keys; `-` reads it from standard input
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// When, such as 2027-01-31T12:00:00Z, for tokens, plans and rules that depend on it [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub time: Option<Wall>,
}

/// Which tests to run.
#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Files of tests (docs/config-tests.md)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Run only tests whose names contain this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// What is written to standard output
    #[arg(long, value_enum, value_name = "FORM", default_value_t = TestOutput::Text)]
    pub output: TestOutput,
}

/// How the outcome of tests is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestOutput {
    /// For people: what differs, and a summary
    Text,
    /// One JSON document
    Json,
    /// XML for build servers (JUnit)
    Junit,
}

/// How to stop, and which process.
#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    /// Which process.
    #[command(flatten)]
    pub running: RunningArguments,
    /// Stop at once, without waiting for running requests
    #[arg(long)]
    pub now: bool,
    /// Return when the process has ended
    #[arg(long)]
    pub wait: bool,
}

/// What to show, and of which process.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Which process.
    #[command(flatten)]
    pub running: RunningArguments,
    /// Print the whole document
    #[arg(long)]
    pub json: bool,
}

/// Which requests to show, and of which process.
#[derive(Debug, Args)]
#[group(id = "selection", required = true, multiple = false, args = ["client", "request_id", "sample"])]
pub(crate) struct TraceArguments {
    /// Which process.
    #[command(flatten)]
    pub running: RunningArguments,
    /// Requests and connections of a client: an IP address or a network such as 10.0.0.0/8
    #[arg(long, value_name = "ADDRESS")]
    pub client: Option<String>,
    /// The request with this id
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// One of N requests, and of N connections, counted by each thread
    #[arg(long, value_name = "N")]
    pub sample: Option<u32>,
    /// How long, such as 30s or 5m; at most an hour
    #[arg(long = "for", value_name = "DURATION", default_value = "60s")]
    pub length: String,
}

/// For which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Of which command.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The command; without it the page of the whole
    pub command: Option<String>,
}

fn moment(text: &str) -> Result<Wall, String> {
    Moment::parse(text).map(|moment| moment.0).map_err(|reason| format!("expected {}: {reason}", Moment::EXPECTED))
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a field is written `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("turnpike").chain(line.split_whitespace()))
    }

    #[test]
    fn the_table_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn nothing_and_flags_alone_run() {
        assert!(parse("").expect("runs").command.is_none());
        let flags = "--to http://127.0.0.1:9000 --listen 127.0.0.1:80 --listen https://0.0.0.0:443 --cert c --key k \
                     --shards 2 --admin 127.0.0.1:1 --access-log off --metrics off";
        for line in [flags.to_owned(), format!("run {flags}")] {
            let arguments = parse(&line).expect("runs");
            let run = if let Some(Command::Run(run)) = arguments.command { run.arguments() } else { arguments.run };
            assert_eq!(
                (run.listen.len(), run.shards.map(NonZeroUsize::get), run.metrics),
                (2, Some(2), Some(Switch::Off))
            );
        }
    }

    #[test]
    fn a_flag_beside_a_file_counts_or_is_refused() {
        for flag in ["--listen 1:1", "--cert c --key k", "--admin 1:1", "--access-log off", "--metrics off"] {
            assert!(parse(&format!("run -c f {flag}")).is_err(), "{flag}");
        }
        assert!(parse("run -c f --access-log off --access-format json").is_err());
        assert!(parse("run -c f --shards 0").is_err());
        let Some(Command::Run(run)) = parse("run -c f --shards 3").expect("runs").command else { panic!("run") };
        let run = run.arguments();
        assert_eq!(run.shards.map(NonZeroUsize::get), Some(3));
    }

    #[test]
    fn a_file_may_stand_alone_or_behind_its_flag() {
        for line in ["run f --shards 3", "run -c f --shards 3"] {
            let Some(Command::Run(run)) = parse(line).expect("runs").command else { panic!("run") };
            assert_eq!(run.arguments().config.as_deref(), Some(Path::new("f")));
        }
        for line in ["check f", "check -c f", "check --json -c f"] {
            let Some(Command::Check(check)) = parse(line).expect("checks").command else { panic!("check") };
            assert_eq!(check.file.or(check.config).as_deref(), Some(Path::new("f")));
        }
        for line in ["run f -c g", "run f --to http://a", "check f -c g", "chek f"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for line in ["run -c f --to http://a", "--listen 1:1", "--to http://a --cert c", "explain GET"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_question_has_fields_and_an_origin() {
        let arguments = parse("explain GET http://a/b -H X-A:1 -H host:b --from 10.0.0.1").expect("explains");
        let Some(Command::Explain(explain)) = arguments.command else { panic!("explain") };
        assert_eq!(explain.headers[0], ("X-A".to_owned(), "1".to_owned()));
        assert_eq!(explain.from, IpAddr::from([10, 0, 0, 1]));
        assert!(parse("explain GET /b -H nothing").is_err());
    }
}
