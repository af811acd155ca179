// SPDX-License-Identifier: Apache-2.0
//! No circle of files: no file of `src` needs, directly or round about, a file that needs it.
//!
//! A file needs another where its code, outside of tests, names something that lives there. A name is followed
//! through `use` declarations to the file that defines it, so a front page that only hands on the names of its files
//! (`pub use`) needs none of them, and nobody needs it for those names. What a front page defines itself lives in it:
//! where its files use that and it uses them, that is a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::paths::{self, Named, Names};
use super::source::{Finding, Source};

/// Folders that are not yet under this law. A folder in which no circle is left is a finding too: take it out.
pub(crate) const NOT_YET: &[&str] = &[];

/// How many `use` declarations a name is followed through.
const HOPS_MAX: usize = 16;

/// One finding for each knot of files, with a shortest circle of it, and one for each folder of `not_yet` without any.
pub(crate) fn check(sources: &[Source], not_yet: &[&str]) -> Vec<Finding> {
    let tree = Tree::new(sources);
    let needs = tree.needs();
    let mut findings = Vec::new();
    let mut tied = BTreeSet::new();
    for knot in knots(&needs) {
        let first = &sources[knot[0]];
        let folder = first.folder().unwrap_or_default();
        if not_yet.contains(&folder) {
            tied.insert(folder);
            continue;
        }
        findings.push(tell(sources, &needs, &knot));
    }
    for folder in not_yet.iter().filter(|folder| !tied.contains(*folder)) {
        let what = format!("`{folder}` has no circle of files (any more): take it out of `NOT_YET`");
        findings.push(Finding { path: "src/tidy/circles.rs".into(), line: 1, rule: "circles", what });
    }
    findings
}

/// For each file, the files that it needs, each with the line that says so first.
type Needs = Vec<BTreeMap<usize, usize>>;

fn tell(sources: &[Source], needs: &Needs, knot: &[usize]) -> Finding {
    let circle = knot.iter().filter_map(|start| shortest(needs, *start)).min_by_key(Vec::len).expect("a knot has one");
    let steps: Vec<String> = circle
        .iter()
        .zip(circle.iter().cycle().skip(1))
        .map(|(from, to)| format!("{}:{} → {}", sources[*from].path, needs[*from][to], sources[*to].path))
        .collect();
    let what = format!(
        "{} files need each other in a circle, for example {}: move what both need into a file below both",
        knot.len(),
        steps.join(", ")
    );
    sources[circle[0]].finding(needs[circle[0]][&circle[1]], "circles", what)
}

/// The modules of `src`, each with its file and what that file names.
struct Tree {
    files: BTreeMap<Vec<String>, usize>,
    names: Vec<Names>,
}

impl Tree {
    fn new(sources: &[Source]) -> Tree {
        let mut files = BTreeMap::new();
        let mut names = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let module = paths::module(&source.path);
            names.push(module.as_ref().map_or_else(Names::default, |module| paths::names(source, module)));
            files.extend(module.map(|module| (module, index)));
        }
        Tree { files, names }
    }

    fn needs(&self) -> Needs {
        self.names.iter().enumerate().map(|(index, names)| self.needs_of(index, names)).collect()
    }

    fn needs_of(&self, index: usize, names: &Names) -> BTreeMap<usize, usize> {
        let words: BTreeSet<&String> = names.words.iter().collect();
        // A name that is only handed on is not used here.
        let used = names.imports.iter().filter(|import| !import.public || words.contains(&import.name));
        let paths = used.map(|import| &import.path).chain(&names.paths);
        let mut needs = BTreeMap::new();
        for path in paths {
            let found = self.absolute(path, 0).and_then(|words| self.home(&words, 0));
            if let Some(home) = found.filter(|home| *home != index) {
                let line = needs.entry(home).or_insert(path.line);
                *line = path.line.min(*line);
            }
        }
        needs
    }

    /// The path from the crate's root, if `path` is one of this crate.
    fn absolute(&self, path: &Named, hops: usize) -> Option<Vec<String>> {
        let (first, rest) = path.words.split_first()?;
        let mut words = path.module.clone();
        match first.as_str() {
            "crate" => words.clear(),
            "self" => {}
            "super" => {
                words.pop()?;
                let rest = Named { module: words, words: rest.to_vec(), line: path.line };
                return if rest.words.is_empty() { Some(rest.module) } else { self.below(&rest, hops) };
            }
            _ => {
                words.push(first.clone());
                if !self.files.contains_key(&words) {
                    words = self.import(&path.module, first, hops)?;
                }
            }
        }
        words.extend_from_slice(rest);
        Some(words)
    }

    /// A path that goes on from the module in front of it, upwards or downwards.
    fn below(&self, path: &Named, hops: usize) -> Option<Vec<String>> {
        if path.words[0] == "super" {
            return self.absolute(path, hops);
        }
        Some(path.module.iter().chain(&path.words).cloned().collect())
    }

    /// What `name` stands for in `module`, if a `use` declaration brought it in.
    fn import(&self, module: &[String], name: &str, hops: usize) -> Option<Vec<String>> {
        let file = self.file(module)?;
        let import = self.names[file].imports.iter().find(|import| import.name == name)?;
        let own = import.path.words[0] == name && import.path.module == module;
        if own || hops > HOPS_MAX { None } else { self.absolute(&import.path, hops + 1) }
    }

    /// The file of `module`, which may be a module with braces inside a file.
    fn file(&self, module: &[String]) -> Option<usize> {
        (0..=module.len()).rev().find_map(|count| self.files.get(&module[..count]).copied())
    }

    /// The file where the thing with this path lives; none for a module as such, and for what another crate defines.
    fn home(&self, words: &[String], hops: usize) -> Option<usize> {
        let modules = (0..=words.len()).rev().find(|count| self.files.contains_key(&words[..*count]))?;
        let (module, rest) = words.split_at(modules);
        let file = self.files[module];
        let (first, rest) = rest.split_first()?;
        if !self.names[file].imports.iter().any(|import| import.name == *first) {
            return Some(file);
        }
        let mut further = self.import(module, first, hops)?;
        further.extend_from_slice(rest);
        if hops > HOPS_MAX { None } else { self.home(&further, hops + 1) }
    }
}

/// Sets of files of which each needs each other, directly or round about.
fn knots(needs: &Needs) -> Vec<Vec<usize>> {
    let reached: Vec<BTreeSet<usize>> = (0..needs.len()).map(|start| reach(needs, start)).collect();
    let mut done = BTreeSet::new();
    let mut knots = Vec::new();
    for start in 0..needs.len() {
        if !reached[start].contains(&start) || done.contains(&start) {
            continue;
        }
        let knot: Vec<usize> =
            reached[start].iter().copied().filter(|other| reached[*other].contains(&start)).collect();
        done.extend(knot.iter().copied());
        knots.push(knot);
    }
    knots
}

fn reach(needs: &Needs, start: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        open.extend(needs[file].keys().copied().filter(|next| found.insert(*next)));
    }
    found
}

/// A shortest way from `start` back to it: the files on it, in order.
fn shortest(needs: &Needs, start: usize) -> Option<Vec<usize>> {
    let mut from = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(file) = open.pop_front() {
        for next in needs[file].keys().copied() {
            if next == start {
                let mut circle = vec![file];
                while circle[circle.len() - 1] != start {
                    circle.push(from[&circle[circle.len() - 1]]);
                }
                circle.reverse();
                return Some(circle);
            }
            from.entry(next).or_insert_with(|| {
                open.push_back(next);
                file
            });
        }
    }
    None
}

#[cfg(test)]
mod tests;
