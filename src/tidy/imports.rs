// SPDX-License-Identifier: Apache-2.0
//! Which folder may import which: the layers of `docs/architecture.md` as a table, and the proof that code keeps it.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Finding, Source};
use super::token::Token;

/// Each folder, and the folders (or single modules of them) that it may import outside of its tests.
pub(crate) const LAW: [(&str, &[&str]); 14] = [
    ("base", &[]),
    ("wire", &["base"]),
    ("cel", &["base"]),
    ("net", &["base", "wire"]),
    ("route", &["base", "wire", "cel"]),
    ("balance", &["base"]),
    ("policy", &["base", "wire", "cel", "route"]),
    // Of the machine, a plan only knows the TLS material that it was compiled to.
    ("config", &["base", "wire", "cel", "net::tls", "route", "balance", "policy"]),
    // The bell is how one plane wakes the other, and what is counted by the codes of gRPC is counted by them.
    ("link", &["base", "wire::grpc", "net::bell", "net::sockets", "balance", "policy", "config"]),
    ("edge", &["base", "wire", "cel", "net", "route", "balance", "policy", "config", "link"]),
    // It opens listening sockets for the shards, rings their bells and names endpoints, and leaves routing to them.
    ("control", &["base", "wire", "net", "balance", "policy", "config", "link"]),
    // It runs a shard in a network of memory, and is its control plane: it has no use for the real one.
    ("trial", &["base", "wire", "net", "route", "balance", "policy", "config", "link", "edge"]),
    ("command", &["base", "wire", "net", "route", "balance", "policy", "config", "link", "edge", "control", "trial"]),
    (
        "sim",
        &["base", "wire", "cel", "net", "route", "balance", "policy", "config", "link", "edge", "control", "command"],
    ),
];

/// The second law: each room of `edge`, and the rooms that it may import.
pub(crate) const ROOMS: [(&str, &[&str]); 10] = [
    ("flow", &[]),
    ("protocol", &["flow"]),
    ("adapt", &["flow"]),
    ("upstream", &["flow", "protocol"]),
    ("shard", &["flow", "adapt", "upstream"]),
    ("exchange", &["flow", "adapt", "upstream", "shard"]),
    ("forward", &["flow", "protocol", "adapt", "upstream", "shard", "exchange"]),
    ("serve", &["flow", "protocol", "adapt", "upstream", "shard", "exchange", "forward"]),
    // It knows connections of clients and nothing of upstreams: what it serves goes through `serve`.
    ("client", &["flow", "protocol", "shard", "exchange", "serve"]),
    ("run", &["flow", "upstream", "shard", "client"]),
];

/// One use of another folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    /// The folder that is imported.
    pub folder: String,
    /// The module inside it that was named, if any.
    pub module: Option<String>,
    /// Where.
    pub line: usize,
}

/// Every `crate::folder` in the code, and every `super::…` chain that climbs to the crate's root.
pub(crate) fn imports(source: &Source) -> Vec<Import> {
    let mut found = Vec::new();
    climbs(source, |level, path| {
        if level == 0 {
            heads(path, &mut found);
        }
    });
    found
}

/// The rooms that a file of `edge` names, and where: by `crate::edge::room`, or by a `super::…` chain that climbs to
/// `edge`.
fn rooms(source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    climbs(source, |level, path| match level {
        0 => {
            let edge = starts(path).into_iter().map(|at| &path[at..]).filter(|path| path[0].is_word("edge"));
            edge.filter(|path| is_joined(path, 1)).for_each(|path| heads(&path[3..], &mut found));
        }
        1 => heads(path, &mut found),
        _ => {}
    });
    found.into_iter().map(|import| (import.folder, import.line)).collect()
}

/// Calls `visit` for every path that starts with `crate` or `super`: with the number of modules between the crate's
/// root and where it climbs to, and with what follows from there.
fn climbs(source: &Source, mut visit: impl FnMut(usize, &[Token])) {
    let code = source.product();
    let depth = module_depth(&source.path);
    let mut at = 0;
    while at < code.len() {
        let (level, after) = climb(code, at, depth);
        if let Some(level) = level {
            visit(level, &code[after.min(code.len())..]);
        }
        at = after.max(at + 1);
    }
}

/// How far below the crate's root does the path that starts at `at` climb to? And where does it go on.
fn climb(code: &[Token], at: usize, depth: usize) -> (Option<usize>, usize) {
    if code[at].is_word("crate") {
        return (is_joined(code, at + 1).then_some(0), at + 3);
    }
    let mut steps = 0;
    let mut next = at;
    while code.get(next).is_some_and(|token| token.is_word("super")) && is_joined(code, next + 1) {
        steps += 1;
        next += 3;
    }
    ((steps > 0).then(|| depth.saturating_sub(steps)), next)
}

/// Does `::` stand at `at`?
fn is_joined(code: &[Token], at: usize) -> bool {
    code.get(at..at + 2).is_some_and(|pair| pair.iter().all(|token| token.is_mark(':')))
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
    found.extend(starts(code).into_iter().filter_map(|at| head(&code[at..])));
}

/// Where the paths of the group that `code` begins with start; the one path where it begins with no group.
fn starts(code: &[Token]) -> Vec<usize> {
    if !code.first().is_some_and(|token| token.is_mark('{')) {
        return if code.is_empty() { Vec::new() } else { vec![0] };
    }
    let mut found = Vec::new();
    let mut depth = 0;
    for (at, token) in code.iter().enumerate() {
        if token.is_mark('{') {
            depth += 1;
        } else if token.is_mark('}') {
            depth -= 1;
        }
        if depth == 0 {
            break;
        }
        let opens = token.is_mark('{') || token.is_mark(',');
        if depth == 1 && opens && at + 1 < code.len() {
            found.push(at + 1);
        }
    }
    found
}

fn head(code: &[Token]) -> Option<Import> {
    let folder = code.first()?.word()?.to_owned();
    let line = code.first()?.line;
    let module = code.get(3).filter(|_| is_joined(code, 1)).and_then(Token::word).map(str::to_owned);
    Some(Import { folder, module, line })
}

/// What breaks the law in one file.
pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let Some(folder) = source.folder() else { return };
    if matches!(folder, "lib" | "main" | "tidy" | "bench") {
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

/// What breaks the second law in one file.
pub(crate) fn check_rooms(source: &Source, findings: &mut Vec<Finding>) {
    let Some(inside) = source.path.strip_prefix("src/edge/") else { return };
    let first = inside.split('/').next().unwrap_or(inside);
    let room = first.strip_suffix(".rs").unwrap_or(first);
    if first == "mod.rs" {
        return;
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        let what =
            format!("`{room}` has no row in the table of rooms: decide what it may import, in src/tidy/imports.rs");
        findings.push(source.finding(1, "rooms", what));
        return;
    };
    for (name, line) in rooms(source) {
        if name != room && !allowed.contains(&name.as_str()) {
            let what = format!("room `{room}` must not import `{name}`; it may import {allowed:?}: move the code down");
            findings.push(source.finding(line, "rooms", what));
        }
    }
}

/// A cycle between folders, if the files make one: the folders on it, in order.
pub(crate) fn cycle(sources: &[Source]) -> Option<Vec<String>> {
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
