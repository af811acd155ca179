// SPDX-License-Identifier: Apache-2.0
//! Tells the compiler which commit is built, for `turnpike version`. Asks the local git and nothing else.
//!
//! The commit comes from `TURNPIKE_COMMIT` (a packager sets it), else from git where this folder is the root of a
//! repository, else from `.commit`, into which `git archive` writes it. Without all three the version has no commit.
//! A debug build never has one: otherwise each commit would recompile the crate.

// It runs before there are shards.
#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Digits of a commit that are shown.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TURNPIKE_COMMIT");
    let commit = if env::var("PROFILE").is_ok_and(|profile| profile == "release") { commit() } else { None };
    let shown = commit.map_or_else(String::new, |commit| format!(" ({commit})"));
    println!("cargo::rustc-env=TURNPIKE_BUILD={shown}");
}

fn commit() -> Option<String> {
    let given = env::var("TURNPIKE_COMMIT").ok().as_deref().and_then(short);
    given.or_else(from_git).or_else(from_archive)
}

/// The commit that is checked out, with a mark where files differ from it.
fn from_git() -> Option<String> {
    let root = fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()?;
    // A tarball that was unpacked inside of another repository is not of that repository.
    if root != fs::canonicalize(env::var_os("CARGO_MANIFEST_DIR")?).ok()? {
        return None;
    }
    // Not the index: git writes it whenever it looks at files, and each time the crate would be compiled anew.
    for watched in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", watched])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=src");
    let commit = short(&git(&["rev-parse", "HEAD"])?)?;
    let is_changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if is_changed { format!("{commit}, changed") } else { commit })
}

fn from_archive() -> Option<String> {
    println!("cargo::rerun-if-changed=.commit");
    short(&fs::read_to_string(".commit").ok()?)
}

/// The first digits of a commit; `None` where the text is none, as in a `.commit` that git has not filled in.
fn short(text: &str) -> Option<String> {
    let text = text.trim();
    let is_commit = text.len() >= DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| text[..DIGITS].to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
