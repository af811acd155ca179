// SPDX-License-Identifier: Apache-2.0
//! Reads the files of a configuration: the main file, its includes, and the variables and secret files of `${...}`.
//!
//! All outside input (variables, files, the number of cores) comes through `Environment`, so that a test or fuzzer can
//! close it off.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::base::Wall;
use crate::config::files::{Files, Texts};
use crate::config::location::{FILE_BYTES_MAX, FILES_MAX, Location};
use crate::config::report::{Faults, Report, SourceFile};
use crate::config::tickets::TicketKeys;
use crate::config::tree::{self, Node, NodeKind};

/// Largest secret file in bytes.
const SECRET_BYTES_MAX: usize = 1024 * 1024;
/// The configuration that runs when none is named.
const QUICKSTART: &str = include_str!("../../config/quickstart.toml");

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// A file, with what it includes.
    File(PathBuf),
    /// The one that is built in.
    Quickstart,
    /// A text.
    Text {
        /// How reports name it.
        name: String,
        /// The text.
        text: String,
    },
}

/// What a configuration may see of the machine.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// Cores that `shards = "auto"` counts.
    pub cores: usize,
    /// The limit on open files; `None` where it does not matter because nothing is run.
    pub descriptors: Option<u64>,
    /// Data-plane threads by the command line, whatever the configuration says.
    pub shards: Option<usize>,
    /// May files be read?
    pub files: FileAccess,
    /// Keys of TLS session tickets; the same ones for every configuration of a process.
    pub tickets: TicketKeys,
    /// When the configuration is read, for the validity of certificates.
    pub now: Wall,
    /// A secret seed of this process for hashes, so that nobody can construct keys that collide.
    pub seed: u64,
}

/// May a configuration read files (includes, secrets, certificates)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAccess {
    /// Yes.
    Allowed,
    /// No: every attempt is a fault.
    Denied,
}

impl Environment {
    /// This process: its variables, the cores that it may use, all files.
    pub fn of_process(now: Wall) -> Environment {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            // A variable that is not UTF-8 cannot be written into TOML; it counts as not set.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Without randomness hashes can be guessed; the process starts all the same.
        let seed = getrandom::u64().unwrap_or(cores as u64);
        let tickets = TicketKeys::default();
        let variables = variables.collect();
        Environment {
            variables,
            cores,
            descriptors: None,
            shards: None,
            files: FileAccess::Allowed,
            tickets,
            now,
            seed,
        }
    }

    /// Nothing: no variables, no files, one core.
    #[cfg(any(test, feature = "sim", feature = "fuzz"))]
    pub fn sealed() -> Environment {
        let tickets = TicketKeys::default();
        let variables = BTreeMap::new();
        // In June 2025.
        let now = Wall(1_750_000_000_000_000);
        Environment {
            variables,
            cores: 1,
            descriptors: None,
            shards: None,
            files: FileAccess::Denied,
            tickets,
            now,
            seed: 0,
        }
    }

    /// Reads a whole file of at most `bytes_max`.
    pub fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        match self.files {
            FileAccess::Allowed => {}
            FileAccess::Denied => return Err(io::Error::other("files cannot be read here")),
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(io::Error::other(format!("larger than {bytes_max} bytes")));
        }
        Ok(bytes)
    }
}

/// All files of a configuration as one tree.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The merged tree.
    pub root: Node,
    /// The files, by the index that places name.
    pub files: Vec<SourceFile>,
    /// Files and directories whose change changes the configuration.
    pub watched: Files,
    /// The texts of the files.
    pub texts: Texts,
}

/// Reads everything. Texts that are `kept` are not read again; secrets are.
pub(crate) fn gather(
    source: &ConfigSource,
    environment: &Environment,
    kept: Option<&Texts>,
    faults: &mut Faults,
) -> Sources {
    let (watched, texts) = (Files::default(), Texts::default());
    let mut reader = Gatherer { environment, kept, faults, files: Vec::new(), watched, texts, stack: Vec::new() };
    let root = match source {
        ConfigSource::File(path) => reader.file(path, None),
        ConfigSource::Quickstart => reader.text("quickstart.toml".to_owned(), None, QUICKSTART.to_owned()),
        ConfigSource::Text { name, text } => reader.text(name.clone(), None, text.clone()),
    };
    let root = root.unwrap_or_else(Node::empty);
    Sources { root, files: reader.files, watched: reader.watched, texts: reader.texts }
}

/// Where the value of a `${...}` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A variable or a secret file, so it is never shown.
    Outside,
    /// The configuration itself, which has it behind the `:-`.
    File,
}

struct Gatherer<'e> {
    environment: &'e Environment,
    kept: Option<&'e Texts>,
    faults: &'e mut Faults,
    files: Vec<SourceFile>,
    watched: Files,
    texts: Texts,
    stack: Vec<PathBuf>,
}

impl Gatherer<'_> {
    fn file(&mut self, path: &Path, asked_at: Option<Location>) -> Option<Node> {
        let text = match self.text_of(path) {
            Ok(text) => text,
            Err(error) => {
                self.faults.broken |= asked_at.is_none();
                self.faults.push(unreadable(asked_at, path, &error));
                return None;
            }
        };
        self.watched.texts.push(path.to_owned());
        self.texts.files.insert(path.to_owned(), text.clone());
        let location = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.stack.push(location);
        let node = self.text(path.display().to_string(), Some(path.to_owned()), text);
        self.stack.pop();
        node
    }

    fn text_of(&self, path: &Path) -> io::Result<String> {
        if let Some(text) = self.kept.and_then(|kept| kept.files.get(path)) {
            return Ok(text.clone());
        }
        let bytes = self.environment.read(path, FILE_BYTES_MAX)?;
        String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
    }

    fn text(&mut self, name: String, path: Option<PathBuf>, text: String) -> Option<Node> {
        if text.len() > FILE_BYTES_MAX || self.files.len() >= FILES_MAX {
            let title = format!("{name}: a configuration has at most {FILES_MAX} files of {FILE_BYTES_MAX} bytes");
            self.faults.push(Report::placeless(title));
            return None;
        }
        let index = self.files.len() as u16;
        let mut root = tree::parse(index, &text, self.faults);
        let directory = path.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        self.files.push(SourceFile { name, path, text });
        self.substitute(&mut root, &directory);
        for (pattern, location) in self.take_includes(&mut root) {
            for included in self.matches(&directory, &pattern, location) {
                if let Some(node) = self.file(&included, Some(location)) {
                    tree::merge(&mut root, node, self.faults);
                }
            }
        }
        Some(root)
    }

    fn take_includes(&mut self, root: &mut Node) -> Vec<(String, Location)> {
        let NodeKind::Table(entries) = &mut root.kind else { return Vec::new() };
        let Some(at) = entries.iter().position(|(key, _)| key.text == "include") else { return Vec::new() };
        let (_, node) = entries.remove(at);
        let items = if let NodeKind::Array(items) = node.kind { items } else { vec![node] };
        let mut patterns = Vec::new();
        for item in items {
            if let NodeKind::Text(pattern) = item.kind {
                patterns.push((pattern, item.location));
            } else {
                self.faults.push(include_report(&item));
            }
        }
        patterns
    }

    /// The files that a pattern matches, sorted. A file that is already being read is skipped where a wildcard matches
    /// it, and is an error where it is named.
    fn matches(&mut self, directory: &Path, pattern: &str, location: Location) -> Vec<PathBuf> {
        let mut found = vec![directory.to_owned()];
        let mut wild = false;
        for part in Path::new(pattern).components() {
            let part = part.as_os_str().to_string_lossy().into_owned();
            if part.contains(['*', '?']) {
                wild = true;
                found = found.iter().flat_map(|directory| self.listed(directory, &part)).collect();
            } else {
                found.iter_mut().for_each(|path| path.push(&part));
            }
        }
        if wild {
            found.retain(|path| path.is_file());
            let asked = (directory.to_owned(), pattern.to_owned());
            if let Some(kept) = self.kept.and_then(|kept| kept.matches.get(&asked)) {
                found.clone_from(kept);
            }
            self.texts.matches.insert(asked, found.clone());
        }
        found.sort();
        let stack = &self.stack;
        let running =
            |path: &PathBuf| !stack.is_empty() && std::fs::canonicalize(path).is_ok_and(|path| stack.contains(&path));
        let (circular, fresh): (Vec<PathBuf>, Vec<PathBuf>) = found.into_iter().partition(running);
        if !wild && let Some(path) = circular.first() {
            let title = format!("`{}` includes itself", path.display());
            self.faults.push(Report::error(location, title).label("this include makes a loop"));
        }
        fresh
    }

    fn listed(&mut self, directory: &Path, pattern: &str) -> Vec<PathBuf> {
        if self.environment.files == FileAccess::Denied {
            return Vec::new();
        }
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        self.watched.texts.push(directory.to_owned());
        let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let fitting = names.filter(|name| !name.starts_with('.') && wildcard(pattern.as_bytes(), name.as_bytes()));
        fitting.map(|name| directory.join(name)).collect()
    }

    fn substitute(&mut self, node: &mut Node, directory: &Path) {
        match &mut node.kind {
            NodeKind::Text(text) => {
                if let Some(changed) = self.filled(text, node.location, directory) {
                    *text = changed;
                    node.filled = true;
                }
            }
            NodeKind::Array(items) => items.iter_mut().for_each(|item| self.substitute(item, directory)),
            NodeKind::Table(entries) => entries.iter_mut().for_each(|(_, item)| self.substitute(item, directory)),
            NodeKind::Integer(_) | NodeKind::Float(_) | NodeKind::Boolean(_) | NodeKind::Datetime => {}
        }
    }

    /// The text with every `${...}` filled in; `None` where it has none. `$${` becomes `${`, and `${1}` stays, because
    /// replacements of regular expressions use it.
    fn filled(&mut self, text: &str, location: Location, directory: &Path) -> Option<String> {
        if !text.contains("${") {
            return None;
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut outside = false;
        while let Some(at) = rest.find("${") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let Some(end) = after.find('}') else {
                self.faults.push(Report::error(location, "a `${` without `}`").help("`$${` stands for `${` itself"));
                return None;
            };
            let name = &after[..end];
            rest = &after[end + 1..];
            if name.bytes().all(|byte| byte.is_ascii_digit()) {
                out.push_str(&format!("${{{name}}}"));
                continue;
            }
            let (value, origin) = self.looked_up(name, location, directory)?;
            out.push_str(&value);
            if origin == Origin::Outside {
                self.faults.hidden.add(location, &value, &format!("${{{name}}}"));
                outside = true;
            }
        }
        out.push_str(rest);
        if outside {
            self.faults.hidden.add(location, &out, text);
        }
        Some(out)
    }

    fn looked_up(&mut self, name: &str, location: Location, directory: &Path) -> Option<(String, Origin)> {
        if let Some(path) = name.strip_prefix("file:") {
            return Some((self.secret(&directory.join(path), location)?, Origin::Outside));
        }
        let (name, fallback) = match name.split_once(":-") {
            Some((name, fallback)) => (name, Some(fallback)),
            None => (name, None),
        };
        let value = self.environment.variables.get(name).filter(|value| !value.is_empty() || fallback.is_none());
        if let Some(value) = value {
            return Some((value.clone(), Origin::Outside));
        }
        if let Some(fallback) = fallback {
            return Some((fallback.to_owned(), Origin::File));
        }
        let report = Report::error(location, format!("the environment variable `{name}` is not set"));
        self.faults.push(report.help(format!("`${{{name}:-text}}` takes a text where it is not set")));
        None
    }

    /// A secret file's text without the newline that editors put at its end.
    fn secret(&mut self, path: &Path, location: Location) -> Option<String> {
        let read = self.environment.read(path, SECRET_BYTES_MAX);
        match read.and_then(|bytes| String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))) {
            Ok(text) => {
                self.watched.materials.push(path.to_owned());
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            Err(error) => {
                self.faults.push(unreadable(Some(location), path, &error));
                None
            }
        }
    }
}

fn include_report(node: &Node) -> Report {
    let title = format!("`include` is a list of files, this is {}", node.kind_name());
    Report::error(node.location, title).help("for example `include = [\"conf.d/*.toml\"]`")
}

fn unreadable(location: Option<Location>, path: &Path, error: &io::Error) -> Report {
    let title = format!("cannot read `{}`: {error}", path.display());
    match location {
        Some(location) => Report::error(location, title),
        None => Report::placeless(title),
    }
}

/// Does `name` match a pattern with `*` (any bytes) and `?` (one byte)? Takes time in the product of both lengths.
fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    let mut fits = vec![false; name.len() + 1];
    fits[0] = true;
    for wanted in pattern {
        if *wanted == b'*' {
            for at in 1..=name.len() {
                fits[at] |= fits[at - 1];
            }
            continue;
        }
        for at in (1..=name.len()).rev() {
            fits[at] = fits[at - 1] && (*wanted == b'?' || *wanted == name[at - 1]);
        }
        fits[0] = false;
    }
    fits[name.len()]
}

#[cfg(test)]
mod tests;
