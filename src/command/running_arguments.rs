// SPDX-License-Identifier: Apache-2.0
//! The command-line arguments that name a running process.

use std::path::PathBuf;

use clap::Args;

/// Which process.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunningArguments {
    /// The control socket of the process; without it, the only one of this user
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub control_socket: Option<PathBuf>,
    /// The configuration file of the process
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
