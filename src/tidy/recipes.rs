// SPDX-License-Identifier: Apache-2.0
//! `CONTRIBUTING.md` tells how things are added, and names files and items for that. Names that are gone are findings.
//!
//! A numbered line (with its further lines) names a file first, in backticks; every other name in backticks that could
//! be Rust must occur in that file. A step that names no file first is not checked.

use std::fs;
use std::path::Path;

use super::source::Finding;
use super::token::tokens;

/// Lines of one recipe at most: what takes more steps needs a better seam, not a longer recipe.
const RECIPE_LINES_MAX: usize = 25;

/// What is wrong with the recipes of `text`, which is the file `path` below `root`.
pub(crate) fn check(root: &Path, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line: usize, what: String| {
        findings.push(Finding { path: path.into(), line, rule: "recipe", what });
    };
    for (start, lines) in recipes(text) {
        if lines.len() > RECIPE_LINES_MAX {
            find(start, format!("{} lines, {RECIPE_LINES_MAX} are allowed", lines.len()));
        }
        for (line, step) in steps(start, &lines) {
            let mut names = step.split('`').skip(1).step_by(2);
            let Some(file) = names.next().filter(|name| is_path(name) && step.starts_with(&format!("`{name}`"))) else {
                continue;
            };
            let Ok(content) = fs::read_to_string(root.join(file)) else {
                find(line, format!("`{file}` does not exist"));
                continue;
            };
            let words = tokens(&content);
            for name in names.filter(|name| is_item(name)) {
                if !words.iter().any(|token| token.is_word(name)) && !content.contains(&format!("\"{name}\"")) {
                    find(line, format!("`{name}` does not occur in `{file}`"));
                }
            }
        }
    }
    findings
}

/// The sections below `## Recipes`, each from its heading on, with the number of their first line.
fn recipes(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut found: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut within = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("## ") {
            within = line == "## Recipes";
        } else if within && line.starts_with("### ") {
            found.push((number + 1, vec![line]));
        } else if within && let Some((_, lines)) = found.last_mut().filter(|_| !line.is_empty()) {
            lines.push(line);
        }
    }
    found
}

/// The numbered steps of a recipe without their numbers, each as one line.
fn steps(start: usize, lines: &[&str]) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (offset, line) in lines.iter().enumerate() {
        let numbered = line.split_once(". ").filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some((_, step)) = numbered {
            found.push((start + offset, step.to_owned()));
        } else if let Some((_, step)) = found.last_mut().filter(|_| line.starts_with("   ")) {
            step.push(' ');
            step.push_str(line.trim_start());
        }
    }
    found
}

fn is_path(name: &str) -> bool {
    name.contains('/') && name.contains('.') && !name.contains(' ')
}

/// A type, constant or macro, or a function: one word that is longer than a mark of prose.
fn is_item(name: &str) -> bool {
    name.len() > 2 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.starts_with('_')
}
