// SPDX-License-Identifier: Apache-2.0
//! The command-line arguments of what uses the admin API. The comments here are the help texts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::command::running_arguments::RunningArguments;

/// Which gateway is asked, and how what it says is written.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Target {
    /// Which process.
    #[command(flatten)]
    pub running: RunningArguments,
    /// The admin listener of a gateway, http://HOST:PORT or https://HOST:PORT, instead of the control socket
    #[arg(long, value_name = "URL", conflicts_with_all = ["control_socket", "config"])]
    pub server: Option<String>,
    /// The file with the token for --server
    #[arg(long, value_name = "FILE", requires = "server")]
    pub token_file: Option<PathBuf>,
    /// How it is written: a table for people, JSON as the API gives it, or CSV
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// How what a gateway says is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
}

/// Which usage to show.
#[derive(Clone, Debug, Args)]
pub(crate) struct UsageArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// What it is grouped by, with commas between: consumer, app, tenant, plan, product, route, version, status
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', default_value = "consumer")]
    pub by: Vec<String>,
    /// From then on: how long ago, such as 7d, or a moment such as 2027-01-31
    #[arg(long, value_name = "TIME", default_value = "1d")]
    pub since: String,
    /// Before then; now without it
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Each minute, hour or day instead of the sum of all
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// So many rows of the table at most
    #[arg(long, value_name = "ROWS", default_value_t = 50)]
    pub top: usize,
    /// Only what has this value, such as route=maps or status=4xx; repeatable
    #[arg(value_name = "NAME=VALUE", value_parser = filter)]
    pub filters: Vec<(String, String)>,
}

/// What to do with objects of one kind.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ObjectCommand {
    /// List them
    List(ListArguments),
    /// Show one
    Show(NameArguments),
    /// Create one
    Create(CreateArguments),
    /// Change members of one
    Set(SetArguments),
    /// Suspend one: its requests are refused until it is resumed
    Suspend(NameArguments),
    /// End the suspension of one
    Resume(NameArguments),
    /// Delete one
    Delete(DeleteArguments),
}

/// What to do with groups, plans and products, which nobody suspends.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ThingCommand {
    /// List them
    List(ListArguments),
    /// Show one
    Show(NameArguments),
    /// Create one
    Create(CreateArguments),
    /// Change members of one
    Set(SetArguments),
    /// Delete one
    Delete(DeleteArguments),
}

impl From<ThingCommand> for ObjectCommand {
    fn from(command: ThingCommand) -> ObjectCommand {
        match command {
            ThingCommand::List(arguments) => ObjectCommand::List(arguments),
            ThingCommand::Show(arguments) => ObjectCommand::Show(arguments),
            ThingCommand::Create(arguments) => ObjectCommand::Create(arguments),
            ThingCommand::Set(arguments) => ObjectCommand::Set(arguments),
            ThingCommand::Delete(arguments) => ObjectCommand::Delete(arguments),
        }
    }
}

/// Which ones to list.
#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Only those with this value, such as tenant=acme; repeatable
    #[arg(value_name = "NAME=VALUE", value_parser = filter)]
    pub filters: Vec<(String, String)>,
}

/// Which one.
#[derive(Clone, Debug, Args)]
pub(crate) struct NameArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Its name
    pub name: String,
}

/// What to create.
#[derive(Clone, Debug, Args)]
pub(crate) struct CreateArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Its name
    pub name: String,
    /// A member, such as tenant=acme, groups=gold,beta, attributes.region=eu or limits=100/minute; with := the value is
    /// JSON
    #[arg(value_name = "MEMBER=VALUE")]
    pub members: Vec<String>,
    /// A file with the members as one JSON object; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
}

/// What to change.
#[derive(Clone, Debug, Args)]
pub(crate) struct SetArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Its name
    pub name: String,
    /// A member and its new value, as with create; := null removes it
    #[arg(value_name = "MEMBER=VALUE", required = true)]
    pub members: Vec<String>,
    /// Only where its revision is still this one, as shown in the table
    #[arg(long, value_name = "REVISION")]
    pub if_revision: Option<u64>,
}

/// What to delete.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeleteArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Its name
    pub name: String,
    /// Only where its revision is still this one
    #[arg(long, value_name = "REVISION")]
    pub if_revision: Option<u64>,
}

/// What to do with keys.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys of all consumers, or of one
    List(KeyListArguments),
    /// Show a key; of the key itself only its last four characters are known
    Show(KeyArguments),
    /// Create a key and show it, this once
    Create(KeyCreateArguments),
    /// Create another key in its place and show it, this once; the old one stays valid for an overlap
    Rotate(KeyRotateArguments),
    /// Revoke a key; every thread refuses it within a second
    Revoke(KeyArguments),
}

/// Which keys.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyListArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Only those of this consumer
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
}

/// Which key.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Its id, such as cred_…
    pub id: String,
}

/// Whose key.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyCreateArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// The consumer
    #[arg(long, value_name = "NAME")]
    pub consumer: String,
    /// The app of the consumer
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
    /// How long it is valid, such as 90d; without it for ever
    #[arg(long, value_name = "DURATION")]
    pub expires: Option<String>,
}

/// Which key to rotate.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyRotateArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Its id, such as cred_…
    pub id: String,
    /// How long the old key stays valid
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub overlap: String,
}

/// What to do with upstreams.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum UpstreamCommand {
    /// List upstreams and their endpoints
    List(UpstreamListArguments),
    /// Send an endpoint no new requests, but those with its sticky cookie
    Drain(EndpointArguments),
    /// Give an endpoint the share of its configuration again
    Undrain(EndpointArguments),
    /// Give an endpoint another share
    Weight(WeightArguments),
}

/// Which gateway.
#[derive(Clone, Debug, Args)]
pub(crate) struct UpstreamListArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
}

/// Which endpoint.
#[derive(Clone, Debug, Args)]
pub(crate) struct EndpointArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// The upstream
    pub upstream: String,
    /// The endpoint's address, as `turnpike status` shows it
    pub endpoint: String,
}

/// Which share.
#[derive(Clone, Debug, Args)]
pub(crate) struct WeightArguments {
    /// Which endpoint.
    #[command(flatten)]
    pub endpoint: EndpointArguments,
    /// Its share beside the others of its upstream; 0 drains it
    pub weight: u16,
}

/// What to do with rate limits.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum LimitCommand {
    /// List rate limits and what they counted since the start
    List(UpstreamListArguments),
    /// Show where a key stands in the windows of a limit; what is counted in memory is not known here
    Show(LimitKeyArguments),
    /// Give a key its whole limit again, in all windows and on all threads, and lift its ban
    Reset(LimitKeyArguments),
}

/// Which key of which limit.
#[derive(Clone, Debug, Args)]
pub(crate) struct LimitKeyArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// The limit: the name of its policy
    pub limit: String,
    /// A value for each part of the limit's key, such as acme of key = "consumer"; none where nothing is counted apart
    #[arg(value_name = "VALUE")]
    pub key: Vec<String>,
    /// The route, where each route counts for itself
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
}

/// Which rows of the audit.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Only changes of this object, such as consumers/acme
    #[arg(long, value_name = "KIND/NAME")]
    pub object: Option<String>,
    /// Only changes by the token of this name
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// The last so many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub last: u16,
}

/// What to do with tokens of the admin API.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and show it, this once
    Create(TokenCreateArguments),
    /// List tokens
    List(UpstreamListArguments),
    /// Revoke a token
    Revoke(TokenArguments),
}

/// Whose token.
#[derive(Clone, Debug, Args)]
pub(crate) struct TokenCreateArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Whose it is, for the audit; no other token has this name
    pub name: String,
    /// What it may do: viewer reads, operator also changes objects and runs the gateway, admin may do
    /// everything
    #[arg(long, value_enum)]
    pub role: RoleWord,
    /// How long it is valid, such as 90d; without it for ever
    #[arg(long, value_name = "DURATION")]
    pub expires: Option<String>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleWord {
    /// Reads.
    Viewer,
    /// Also changes objects and runs the gateway.
    Operator,
    /// May do everything.
    Admin,
}

/// Which token.
#[derive(Clone, Debug, Args)]
pub(crate) struct TokenArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// Its name
    pub name: String,
}

/// What to do with the level of the process log.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogLevelArguments {
    /// Which gateway.
    #[command(flatten)]
    pub target: Target,
    /// The level from now on, until it is reset or the process ends; without it the level is shown
    #[arg(value_enum)]
    pub level: Option<LevelWord>,
}

/// A level of the process log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelWord {
    /// Only what failed.
    Error,
    /// Also what somebody should look at.
    Warn,
    /// Also starts, reloads, changes of health.
    Info,
    /// Also what helps to find a fault.
    Debug,
    /// Everything.
    Trace,
    /// What the configuration says.
    Reset,
}

fn filter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a filter is written NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
