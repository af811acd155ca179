//! Which folder may import which: the layers of `docs/architecture.md` as a table, and the proof that code keeps it.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Finding, Source};
use super::token::Token;

/// Each folder, and the folders (or single modules of them) that it may import outside of its tests.
pub const LAW: [(&str, &[&str]); 13] = [
    ("base", &[]),
    ("wire", &["base"]),
    ("net", &["base", "wire"]),
    ("route", &["base", "wire"]),
    ("balance", &["base"]),
    ("ai", &["base", "wire"]),
    ("policy", &["base", "wire", "ai"]),
    // Of the machine, a plan only knows the TLS material that it was compiled to.
    ("config", &["base", "wire", "net::tls", "route", "balance", "ai", "policy"]),
    // The bell is how one plane wakes the other, and what is counted by the codes of gRPC is counted by them.
    ("link", &["base", "wire::grpc", "net::sockets", "balance", "ai", "policy", "config"]),
    ("edge", &["base", "wire", "net", "route", "balance", "ai", "policy", "config", "link"]),
    // It opens listening sockets for the shards, rings their bells and names endpoints, and leaves routing to them.
    ("control", &["base", "wire", "net", "balance", "ai", "policy", "config", "link"]),
    ("command", &["base", "wire", "net", "route", "balance", "ai", "policy", "config", "link", "edge", "control"]),
    (
        "sim",
        &["base", "wire", "net", "route", "balance", "ai", "policy", "config", "link", "edge", "control", "command"],
    ),
];

/// One use of another folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The folder that is imported.
    pub folder: String,
    /// The module inside it that was named, if any.
    pub module: Option<String>,
    /// Where.
    pub line: usize,
}

/// Every `crate::folder` in the code, and every `super::…` chain that climbs to the crate's root.
pub fn imports(source: &Source) -> Vec<Import> {
    let code = source.product();
    let depth = module_depth(&source.path);
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let (climbed, after) = climb(code, at, depth);
        if climbed {
            heads(&code[after..], &mut found);
        }
        at = after.max(at + 1);
    }
    found
}

/// Does a path that starts at `at` reach the crate's root? And where does it go on.
fn climb(code: &[Token], at: usize, depth: usize) -> (bool, usize) {
    let colons = |at: usize| code.get(at..at + 2).is_some_and(|pair| pair.iter().all(|token| token.is_mark(':')));
    if code[at].is_word("crate") {
        return (colons(at + 1), at + 3);
    }
    let mut steps = 0;
    let mut next = at;
    while code.get(next).is_some_and(|token| token.is_word("super")) && colons(next + 1) {
        steps += 1;
        next += 3;
    }
    (steps >= depth && steps > 0, next)
}

/// How many modules a file lies below the crate's root.
fn module_depth(path: &str) -> usize {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let file = inside.rsplit('/').next().unwrap_or(inside);
    let folders = inside.split('/').count() - 1;
    if matches!(file, "mod.rs" | "lib.rs" | "main.rs") { folders } else { folders + 1 }
}

/// The first names of the path or of the group that follows `crate::`.
fn heads(code: &[Token], found: &mut Vec<Import>) {
    if !code.first().is_some_and(|token| token.is_mark('{')) {
        found.extend(head(code));
        return;
    }
    let mut depth = 0;
    for (at, token) in code.iter().enumerate() {
        if token.is_mark('{') {
            depth += 1;
        } else if token.is_mark('}') {
            depth -= 1;
        }
        if depth == 0 {
            return;
        }
        let opens = token.is_mark('{') || token.is_mark(',');
        if depth == 1 && opens {
            found.extend(head(&code[at + 1..]));
        }
    }
}

fn head(code: &[Token]) -> Option<Import> {
    let folder = code.first()?.word()?.to_owned();
    let line = code.first()?.line;
    let colons = code.get(1..3).is_some_and(|pair| pair.iter().all(|token| token.is_mark(':')));
    let module = code.get(3).filter(|_| colons).and_then(Token::word).map(str::to_owned);
    Some(Import { folder, module, line })
}

/// What breaks the law in one file.
pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    let Some(folder) = source.folder() else { return };
    if matches!(folder, "lib" | "main" | "tidy") {
        return;
    }
    let Some((_, allowed)) = LAW.iter().find(|(name, _)| *name == folder) else {
        let what =
            format!("`{folder}` has no row in the table of layers: decide what it may import, in src/tidy/imports.rs");
        findings.push(source.finding(1, "imports", what));
        return;
    };
    for import in imports(source) {
        let name = import.folder.as_str();
        let path = import.module.as_ref().map(|module| format!("{name}::{module}"));
        let own = name == folder;
        if own || allowed.contains(&name) || path.is_some_and(|path| allowed.contains(&path.as_str())) {
            continue;
        }
        // A macro of the crate or an item of lib.rs is not a folder.
        let what =
            format!("`{folder}` must not import `{name}`; it may import {allowed:?}: move the code or the type down");
        findings.push(source.finding(import.line, "imports", what));
    }
}

/// A cycle between folders, if the files make one: the folders on it, in order.
pub fn cycle(sources: &[Source]) -> Option<Vec<String>> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let Some(folder) = source.folder() else { continue };
        let targets = edges.entry(folder.to_owned()).or_default();
        targets.extend(imports(source).into_iter().map(|import| import.folder).filter(|target| target != folder));
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|start| walk(start, &edges, &mut Vec::new(), &mut done))
}

fn walk(
    folder: &str,
    edges: &BTreeMap<String, BTreeSet<String>>,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(place) = path.iter().position(|earlier| earlier == folder) {
        return Some(path[place..].to_vec());
    }
    if done.contains(folder) {
        return None;
    }
    path.push(folder.to_owned());
    let found = edges.get(folder).and_then(|targets| targets.iter().find_map(|target| walk(target, edges, path, done)));
    path.pop();
    done.insert(folder.to_owned());
    found
}
