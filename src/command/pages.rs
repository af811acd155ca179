// SPDX-License-Identifier: Apache-2.0
//! `turnpike version`, `completions` and `man`: output that needs no configuration and no running process.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::command::arguments::{Arguments, VERSION};
use crate::command::manual;

/// Prints the version.
pub(super) fn version() -> ExitCode {
    println!("turnpike {VERSION}");
    ExitCode::SUCCESS
}

/// Prints completions for a shell.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "turnpike", &mut text);
    print(&text)
}

/// Prints the man page of the whole, or of one command.
pub(super) fn man(command: Option<&str>) -> ExitCode {
    match page(command) {
        Some(text) => print(&text),
        None => {
            eprintln!("error: there is no command of that name");
            ExitCode::FAILURE
        }
    }
}

fn page(command: Option<&str>) -> Option<Vec<u8>> {
    let mut whole = Arguments::command();
    whole.build();
    let page = match command {
        None => clap_mangen::Man::new(whole),
        Some(name) => {
            let found = whole.find_subcommand(name)?.clone().display_name(format!("turnpike-{name}"));
            clap_mangen::Man::new(found)
        }
    };
    let mut text = Vec::new();
    page.render(&mut text).ok()?;
    if command.is_none() {
        text.extend_from_slice(manual::sections().as_bytes());
    }
    Some(text)
}

/// The reader of the pipe may close it before the end.
fn print(text: &[u8]) -> ExitCode {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_names_a_commit_or_none() {
        let (number, build) = VERSION.split_once(' ').unwrap_or((VERSION, ""));
        assert_eq!(number, env!("CARGO_PKG_VERSION"));
        let commit = build.trim_matches(['(', ')']).trim_end_matches(", changed");
        assert!(commit.is_empty() || commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn the_debian_package_has_the_page_of_each_command() {
        let script = include_str!("../../config/debian/package");
        let line = script.lines().find_map(|line| line.strip_prefix("for command in ")).expect("a loop");
        let named: Vec<&str> = line.trim_end_matches("; do").split(' ').collect();
        let whole = Arguments::command();
        let commands: Vec<&str> = whole.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(named, commands);
    }

    #[test]
    fn every_command_has_a_page() {
        let whole = String::from_utf8(page(None).expect("a page")).expect("text");
        assert!(whole.contains("turnpike") && whole.contains("\\-\\-to") && whole.contains(".SH SIGNALS"));
        for command in Arguments::command().get_subcommands() {
            assert!(page(Some(command.get_name())).is_some_and(|text| text.len() > 100), "{}", command.get_name());
        }
        assert!(page(Some("nothing")).is_none());
    }
}
