// SPDX-License-Identifier: Apache-2.0
//! The command line. The only layer that knows both planes.
//!
//! `arguments` is the one source of help, completions and man pages; `run` starts the gateway, below
//! `init` in a container; `check` and `explain`
//! examine a configuration; `admin_client` sends requests to a running process; `objects`, `limits`
//! and `operate` use its admin API.

pub(crate) mod admin_arguments;
pub(crate) mod arguments;

mod admin_client;
mod announce;
mod api;
mod check;
mod init;
mod limits;
mod logging;
mod manual;
mod members;
mod objects;
mod operate;
mod pages;
mod plural;
mod run;
mod running_arguments;
mod shards;
mod shown;
mod stderr;
mod store;
mod table;
mod trial;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

use crate::net::machine;

/// Runs the command line.
pub fn main() -> ExitCode {
    // A kernel that refuses this has no huge pages to give either.
    let _ = machine::without_huge_pages();
    // Sockets that the process was started with must be taken before any other descriptor is open.
    let inherited = crate::net::sockets::inherited();
    let arguments = Arguments::parse();
    match arguments.command {
        None | Some(Command::Run(_)) if init::is_needed() => init::run(inherited),
        None => run::run(&arguments.run, inherited),
        Some(Command::Run(run)) => run::run(&run.arguments(), inherited),
        Some(Command::Check(check)) => check::check(&check),
        Some(Command::Explain(explain)) => check::explain(&explain),
        Some(Command::Test(test)) => trial::test(&test),
        Some(Command::Reload(running)) => admin_client::reload(&running),
        Some(Command::Stop(stop)) => admin_client::stop(&stop),
        Some(Command::Status(status)) => admin_client::status(&status),
        Some(Command::Trace(trace)) => admin_client::trace(&trace),
        Some(Command::Consumer(command)) => objects::object("consumers", &command),
        Some(Command::Key(command)) => objects::key(&command),
        Some(Command::Plan(command)) => objects::object("plans", &command.into()),
        Some(Command::Product(command)) => objects::object("products", &command.into()),
        Some(Command::Tenant(command)) => objects::object("tenants", &command),
        Some(Command::Group(command)) => objects::object("groups", &command.into()),
        Some(Command::App(command)) => objects::object("apps", &command),
        Some(Command::Usage(arguments)) => usage::usage(&arguments),
        Some(Command::Limit(command)) => limits::limit(&command),
        Some(Command::Upstream(command)) => operate::upstream(&command),
        Some(Command::Audit(arguments)) => operate::audit(&arguments),
        Some(Command::AdminToken(command)) => operate::token(&command),
        Some(Command::LogLevel(arguments)) => operate::log_level(&arguments),
        Some(Command::Store(command)) => store::store(&command),
        Some(Command::Version) => pages::version(),
        Some(Command::Completions(completions)) => pages::completions(completions.shell),
        Some(Command::Man(man)) => pages::man(man.command.as_deref()),
    }
}
