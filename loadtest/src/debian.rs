// SPDX-License-Identifier: Apache-2.0
//! Installs Debian packages.

use std::process::{Command, Stdio};

use crate::failure::{Context, Failure};

/// Installs `packages`, and starts none of their daemons.
pub fn install(packages: &[&str]) -> Result<(), Failure> {
    if packages.is_empty() {
        return Ok(());
    }
    eprintln!("installing {packages:?} from Debian");
    let update = ["update", "-q"];
    let install = ["install", "-y", "-q", "--no-install-recommends"];
    for arguments in [update.to_vec(), [&install[..], packages].concat()] {
        let mut command = Command::new("apt-get");
        command.args(&arguments).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        let status = command.stdout(Stdio::null()).status().context("running apt-get")?;
        if !status.success() {
            return Err(Failure(format!("apt-get {} failed", arguments.join(" "))));
        }
    }
    Ok(())
}
