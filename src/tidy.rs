// SPDX-License-Identifier: Apache-2.0
//! The house's rules, proven on every run: layers, lengths, and which words may stand where.
//!
//! It reads the tree itself, so a new file is under the rules at once. A finding names file, line, rule and what to
//! do. Where a rule must be broken, the line (or the comment right above it) says `tidy(rule): reason`; a file that is
//! too long has no excuse.

mod circles;
mod imports;
mod paths;
mod recipes;
mod shape;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use source::{Finding, Source};

/// Folders (and, in a worktree, the file `.git`) that are not the project's text.
const NOT_OURS: [&str; 8] = [".git", "target", "corpus", "artifacts", "node_modules", ".venv", "__pycache__", "runs"];

/// What can be said about one Rust file.
fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    imports::check(source, &mut findings);
    imports::check_rooms(source, &mut findings);
    shape::check(source, &mut findings);
    words::check(source, &mut findings);
    findings.retain(|finding| finding.rule == "file-length" || !source.excuses(finding));
    findings
}

/// Every file of the repository that may be committed, with its path relative to the root.
fn files() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(root, root, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(folder).expect("the tree can be read");
    for entry in entries.map(|entry| entry.expect("the tree can be read")) {
        let path = entry.path();
        let name = entry.file_name();
        let kind = entry.file_type().expect("the tree can be read");
        if NOT_OURS.iter().any(|other| name == *other) {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, found);
        } else if kind.is_file() {
            let relative = path.strip_prefix(root).expect("it lies below the root");
            found.push((relative.to_string_lossy().replace('\\', "/"), path));
        }
    }
}

fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    rust.map(|(path, place)| Source::new(&path, &fs::read_to_string(place).expect("Rust is UTF-8"))).collect()
}

fn report(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}\n", lines.len(), lines.join("\n"));
}
