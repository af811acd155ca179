// SPDX-License-Identifier: Apache-2.0
//! `turnpike store`: examines, copies and shows a store, whether a gateway uses it or not.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::command::arguments::StoreCommand;
use crate::config::plan::{StoreServer, StoreTarget};
use crate::config::spec::shape::Secret;
use crate::control::store::database::Database;
use crate::control::store::export::{ExportFault, export};
use crate::control::store::fault::StoreFault;
use crate::control::store::{file, server};

/// Holds the password of a server where the URL has none: others see the arguments of a process.
const PASSWORD: &str = "PGPASSWORD";

/// Does what is asked for; fails with 1 and a sentence.
pub(super) fn store(command: &StoreCommand) -> ExitCode {
    let (StoreCommand::Check { store } | StoreCommand::Backup { store, .. } | StoreCommand::Export { store }) = command;
    let target = match target(store) {
        Ok(target) => target,
        Err(fault) => {
            eprintln!("the URL of the store: {fault}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match command {
        StoreCommand::Check { .. } => check(&target),
        StoreCommand::Backup { to, .. } => backup(&target, to),
        StoreCommand::Export { .. } => show(&target),
    };
    match outcome {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("the store {target}: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// A URL of PostgreSQL, or the path of a file.
fn target(store: &str) -> Result<StoreTarget, String> {
    if !store.contains("://") {
        return Ok(StoreTarget::File(store.into()));
    }
    let mut server = StoreServer::parse(store)?;
    if server.password.is_none() {
        server.password = std::env::var(PASSWORD).ok().map(Secret);
    }
    Ok(StoreTarget::Server(Box::new(server)))
}

fn open(target: &StoreTarget) -> Result<Database, StoreFault> {
    match target {
        StoreTarget::File(path) => file::open_to_read(path),
        StoreTarget::Server(server) => server::open_to_read(server),
    }
}

/// SQLite examines the whole file. In both cases everything is read as a gateway reads it.
fn check(target: &StoreTarget) -> Result<ExitCode, StoreFault> {
    let mut database = open(target)?;
    if let StoreTarget::File(_) = target {
        let faults = file::check(&mut database)?;
        if !faults.is_empty() {
            faults.iter().for_each(|fault| println!("{fault}"));
            return Ok(ExitCode::FAILURE);
        }
    }
    match export(&mut database, &mut io::sink()) {
        Ok(()) => println!("{target} is sound"),
        Err(ExportFault::Store(fault)) => return Err(fault),
        Err(ExportFault::Output(error)) => return Err(StoreFault::Unavailable(error.to_string())),
    }
    Ok(ExitCode::SUCCESS)
}

fn backup(target: &StoreTarget, to: &Path) -> Result<ExitCode, StoreFault> {
    if let StoreTarget::Server(server) = target {
        eprintln!("a database of a server is copied with its own tools: pg_dump --schema=turnpike {server}");
        return Ok(ExitCode::FAILURE);
    }
    file::backup(&mut open(target)?, to)?;
    println!("{} is a copy of {target}", to.display());
    Ok(ExitCode::SUCCESS)
}

fn show(target: &StoreTarget) -> Result<ExitCode, StoreFault> {
    let mut database = open(target)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = export(&mut database, &mut out).and_then(|()| Ok(out.flush()?));
    match written {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(ExportFault::Store(fault)) => Err(fault),
        // Whoever reads it has seen enough.
        Err(ExportFault::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(ExportFault::Output(error)) => {
            eprintln!("the export cannot be written: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
}
