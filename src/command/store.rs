// SPDX-License-Identifier: Apache-2.0
//! `turnpike store`: examines, copies and shows the file of a store, whether a gateway uses it or not.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::command::arguments::StoreCommand;
use crate::control::store::export::{ExportFault, export};
use crate::control::store::fault::StoreFault;
use crate::control::store::file;

/// Does what is asked for; fails with 1 and a sentence.
pub(super) fn store(command: &StoreCommand) -> ExitCode {
    let (path, outcome) = match command {
        StoreCommand::Check { file } => (file, check(file)),
        StoreCommand::Backup { file, to } => (file, backup(file, to)),
        StoreCommand::Export { file } => (file, show(file)),
    };
    match outcome {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("the store {}: {fault}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn check(path: &Path) -> Result<ExitCode, StoreFault> {
    let faults = file::check(&mut file::open_to_read(path)?)?;
    if faults.is_empty() {
        println!("{} is sound", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    Ok(ExitCode::FAILURE)
}

fn backup(path: &Path, to: &Path) -> Result<ExitCode, StoreFault> {
    file::backup(&mut file::open_to_read(path)?, to)?;
    println!("{} is a copy of {}", to.display(), path.display());
    Ok(ExitCode::SUCCESS)
}

fn show(path: &Path) -> Result<ExitCode, StoreFault> {
    let mut database = file::open_to_read(path)?;
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
