// SPDX-License-Identifier: Apache-2.0
//! Reports of what is wrong with a configuration, with a caret under the location.
//!
//! `Faults` collects while reading and compiling; nothing stops at the first one. Texts that came from an environment
//! variable or a secret file never appear in a report.

use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::json;

use crate::config::hidden::Hidden;
use crate::config::location::Location;

/// Columns of a line of help.
const LINE_WIDTH: usize = 110;
/// Most reports that are kept; the rest is counted.
pub(crate) const REPORTS_MAX: usize = 200;

/// A file of a configuration as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// How reports name it.
    pub name: String,
    /// Where it is on disk, if it is.
    pub path: Option<PathBuf>,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// Line and column in characters, both from 1.
    pub(crate) fn place(&self, location: Location) -> (usize, usize) {
        let before = &self.text[..range(self, location).start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub title: String,
    /// Where; `None` for what concerns no single place.
    pub location: Option<Location>,
    /// What stands under the caret; may be empty.
    pub label: String,
    /// A second location that belongs to the report, and its label.
    pub other: Option<(Location, String)>,
    /// What is allowed, or what to do.
    pub help: Vec<String>,
}

impl Report {
    /// An error at a place.
    pub fn error(location: Location, title: impl Into<String>) -> Report {
        Report::new(Severity::Error, Some(location), title.into())
    }

    /// A warning at a place.
    pub fn warning(location: Location, title: impl Into<String>) -> Report {
        Report::new(Severity::Warning, Some(location), title.into())
    }

    /// An error that concerns no place in a file.
    pub fn placeless(title: impl Into<String>) -> Report {
        Report::new(Severity::Error, None, title.into())
    }

    fn new(severity: Severity, location: Option<Location>, title: String) -> Report {
        Report { severity, title, location, label: String::new(), other: None, help: Vec::new() }
    }

    /// Puts `label` under the caret.
    pub fn label(mut self, label: impl Into<String>) -> Report {
        self.label = label.into();
        self
    }

    /// Also shows a second location, unless the program made it.
    pub fn other(mut self, location: Location, label: impl Into<String>) -> Report {
        if location != Location::default() {
            self.other = Some((location, label.into()));
        }
        self
    }

    /// Adds a line of help.
    pub fn help(mut self, line: impl Into<String>) -> Report {
        self.help.push(line.into());
        self
    }

    /// Proposes the name among `known` that is closest to `wrong` (as the label), and lists all of them as help.
    pub fn suggest<'a>(self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Report {
        let known: Vec<&str> = known.into_iter().collect();
        let report = match closest(wrong, &known) {
            Some(name) => self.label(format!("{PROPOSAL}`{name}`?")),
            None => self,
        };
        match known.as_slice() {
            [] => report,
            [one] => report.help(format!("{ALLOWED}`{one}`")),
            many => report.help(wrapped(&format!("{ALLOWED}{}", listed(many)))),
        }
    }
}

/// The name among `known` that `wrong` was probably meant to be.
pub(crate) fn closest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let wrong = wrong.to_ascii_lowercase();
    let foreign = FOREIGN.iter().filter(|(theirs, _)| *theirs == wrong).map(|(_, ours)| *ours);
    if let Some(name) = foreign.into_iter().find_map(|ours| known.iter().find(|name| **name == ours)) {
        return Some(name);
    }
    let scored = known.iter().map(|name| (strsim::damerau_levenshtein(&wrong, &name.to_ascii_lowercase()), *name));
    let near = scored.filter(|(distance, name)| *distance <= 1.max(wrong.len().min(name.len()) / 3));
    let begins = |name: &&&str| name.starts_with(wrong.as_str()) || wrong.starts_with(**name);
    let prefix = known.iter().filter(|name| wrong.len().min(name.len()) >= 3).find(begins).copied();
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name).or(prefix)
}

/// Breaks a list at its spaces, so that no line is much longer than a terminal is wide.
fn wrapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut width = 0;
    for word in text.split_inclusive(", ") {
        if width + word.len() > LINE_WIDTH && width > 0 {
            out.truncate(out.trim_end().len());
            out.push('\n');
            width = 0;
        }
        out.push_str(word);
        width += word.len();
    }
    out
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What other proxies call it, and what it is called here.
const FOREIGN: &[(&str, &str)] = &[
    ("access_log", "access"),
    ("add_header", "response_headers"),
    ("address", "bind"),
    ("algorithm", "balance"),
    ("attempts", "tries"),
    ("auth_request", "external_auth"),
    ("auth_request", "policies"),
    ("backend", "to"),
    ("backends", "endpoints"),
    ("circuit_breaker", "breaker"),
    ("client_body_timeout", "body"),
    ("client_body_timeout", "timeouts"),
    ("client_header_timeout", "head"),
    ("client_header_timeout", "timeouts"),
    ("client_max_body_size", "body"),
    ("client_max_body_size", "limits"),
    ("direct_response", "answer"),
    ("domains", "hosts"),
    ("fail_timeout", "outlier"),
    ("fallback", "backup"),
    ("health_check", "health"),
    ("health_checks", "health"),
    ("healthcheck", "health"),
    ("host", "hosts"),
    ("ip_hash", "hash"),
    ("keepalive", "pool"),
    ("keepalive_timeout", "keep_alive"),
    ("keepalive_timeout", "timeouts"),
    ("lb_algorithm", "balance"),
    ("lb_policy", "balance"),
    ("least_conn", "least_requests"),
    ("least_connections", "least_requests"),
    ("leastconn", "least_requests"),
    ("limit_conn", "connections_per_address"),
    ("limit_conn", "limits"),
    ("listen", "bind"),
    ("listen", "listener"),
    ("load_balancing", "balance"),
    ("location", "path_prefix"),
    ("log_format", "access"),
    ("log_format", "format"),
    ("maglev", "hash"),
    ("max_conns", "endpoint_requests"),
    ("max_conns", "limits"),
    ("max_fails", "outlier"),
    ("maxconn", "connections_max"),
    ("maxconn", "endpoint_requests"),
    ("maxconn", "limits"),
    ("middlewares", "policies"),
    ("nbthread", "shards"),
    ("num_retries", "tries"),
    ("outlierDetection", "outlier"),
    ("outlier_detection", "outlier"),
    ("p2c_ewma", "ewma"),
    ("peak_ewma", "ewma"),
    ("plugins", "policies"),
    ("power_of_two", "p2c"),
    ("prefix", "path_prefix"),
    ("proxy_connect_timeout", "connect"),
    ("proxy_connect_timeout", "timeouts"),
    ("proxy_next_upstream", "retry"),
    ("proxy_pass", "to"),
    ("proxy_read_timeout", "first_byte"),
    ("proxy_read_timeout", "timeouts"),
    ("proxy_set_header", "request_headers"),
    ("random", "p2c"),
    ("real_ip_header", "client_from"),
    ("real_ip_header", "forward"),
    ("respond", "answer"),
    ("retries", "retry"),
    ("return", "answer"),
    ("ring_hash", "hash"),
    ("rule", "path"),
    ("send_timeout", "timeouts"),
    ("send_timeout", "write"),
    ("server_name", "hosts"),
    ("server_names", "hosts"),
    ("servers", "endpoints"),
    ("service", "to"),
    ("service", "upstream"),
    ("services", "upstream"),
    ("session_affinity", "sticky"),
    ("set_real_ip_from", "trusted_proxies"),
    ("ssl", "tls"),
    ("ssl_certificate", "cert"),
    ("ssl_certificate_key", "key"),
    ("ssl_client_certificate", "client_auth"),
    ("ssl_protocols", "min_version"),
    ("strip_path", "rewrite"),
    ("targets", "endpoints"),
    ("upstream", "to"),
    ("url", "to"),
    ("vhosts", "hosts"),
    ("virtual_hosts", "hosts"),
    ("worker_connections", "connections_max"),
    ("worker_processes", "shards"),
    ("workers", "shards"),
];

/// Everything that was found wrong, with the files it points into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// The files, by the index that places name.
    pub files: Vec<SourceFile>,
    /// What was found, sorted by place.
    pub list: Vec<Report>,
    /// Reports above `REPORTS_MAX` that were counted but not kept.
    pub dropped: usize,
}

impl Reports {
    /// A single report that concerns no place in a file.
    pub fn of(report: Report) -> Reports {
        Reports { files: Vec::new(), list: vec![report], dropped: 0 }
    }

    /// How many are errors, including those not kept.
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|report| report.severity == Severity::Error).count() + self.dropped
    }

    /// How many are warnings.
    pub fn warnings(&self) -> usize {
        self.list.iter().filter(|report| report.severity == Severity::Warning).count()
    }

    /// All reports as text without colours.
    pub fn plain(&self) -> String {
        self.render(&Renderer::plain().decor_style(DecorStyle::Ascii))
    }

    /// All reports as one JSON document: `ok`, `file`, `errors`, `warnings` and `reports`, each with `severity`,
    /// `title`, `label`, `help`, `at` (`file`, `line` and `column` in characters, from 1; null where it has no
    /// location) and `other` (null, or a second location with its label).
    pub fn json(&self, name: &str) -> String {
        let placed = |location: Option<Location>| {
            let (file, location) = self.file_of(location)?;
            let (line, column) = file.place(location);
            Some(json!({ "file": file.name, "line": line, "column": column }))
        };
        let shown = |report: &Report| {
            let severity = if report.severity == Severity::Error { "error" } else { "warning" };
            let other =
                report.other.as_ref().map(|(location, words)| json!({ "at": placed(Some(*location)), "label": words }));
            json!({
                "severity": severity,
                "title": report.title,
                "label": report.label,
                "help": report.help,
                "at": placed(report.location),
                "other": other,
            })
        };
        let reports: Vec<serde_json::Value> = self.list.iter().map(shown).collect();
        json!({
            "ok": self.errors() == 0,
            "file": name,
            "errors": self.errors(),
            "warnings": self.warnings(),
            "reports": reports,
        })
        .to_string()
    }

    /// All reports for standard error: with colours where that is a terminal.
    pub fn for_stderr(&self) -> String {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        if terminal { self.render(&Renderer::styled().decor_style(DecorStyle::Unicode)) } else { self.plain() }
    }

    fn render(&self, renderer: &Renderer) -> String {
        let mut out = String::new();
        for report in &self.list {
            out.push_str(&renderer.render(&[self.group(report)]));
            out.push_str("\n\n");
        }
        if self.dropped > 0 {
            out.push_str(&format!("and {} more\n\n", self.dropped));
        }
        out
    }

    fn group<'a>(&'a self, report: &'a Report) -> Group<'a> {
        let level = match report.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(report.title.as_str()));
        let label = Some(report.label.as_str()).filter(|label| !label.is_empty());
        let other = report.other.as_ref();
        if let Some((file, location)) = self.file_of(report.location) {
            let same = other.filter(|(other, _)| other.file == location.file);
            let mut snippet =
                snippet(file).annotation(AnnotationKind::Primary.span(range(file, location)).label(label));
            if let Some((location, words)) = same {
                snippet =
                    snippet.annotation(AnnotationKind::Context.span(range(file, *location)).label(words.as_str()));
            }
            group = group.element(snippet);
        }
        let elsewhere = other.filter(|(other, _)| report.location.is_none_or(|location| location.file != other.file));
        if let Some(((file, location), (_, words))) =
            elsewhere.and_then(|other| Some((self.file_of(Some(other.0))?, other)))
        {
            let mark = AnnotationKind::Context.span(range(file, location)).label(words.as_str());
            group = group.element(snippet(file).annotation(mark));
        }
        group.elements(report.help.iter().map(|line| Level::HELP.message(line.as_str())))
    }

    fn file_of(&self, location: Option<Location>) -> Option<(&SourceFile, Location)> {
        let location = location?;
        Some((self.files.get(usize::from(location.file))?, location))
    }
}

fn snippet(file: &SourceFile) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    Snippet::source(file.text.as_str()).path(file.name.as_str())
}

/// The location as a range inside the text, on character boundaries and on one line: carets under a whole table would
/// not show the error.
fn range(file: &SourceFile, location: Location) -> std::ops::Range<usize> {
    let text = file.text.as_str();
    let mut start = (location.start as usize).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
    let mut end = (location.end as usize).clamp(start, line_end);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

impl fmt::Display for Reports {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.plain())
    }
}

impl std::error::Error for Reports {}

/// A collector of reports.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Vec<Report>,
    dropped: usize,
    /// A file is not TOML, or the first file cannot be read: what follows from that is not worth a report.
    pub(super) broken: bool,
    /// Texts that were substituted into the configuration.
    pub(super) hidden: Hidden,
}

impl Faults {
    /// Keeps a report.
    pub(crate) fn push(&mut self, report: Report) {
        if self.list.len() >= REPORTS_MAX {
            self.dropped += usize::from(report.severity == Severity::Error);
            return;
        }
        if !self.list.contains(&report) {
            self.list.push(report);
        }
    }

    /// How many errors there are.
    pub(crate) fn errors(&self) -> usize {
        self.list.iter().filter(|report| report.severity == Severity::Error).count() + self.dropped
    }

    /// Where there are errors.
    pub(crate) fn locations(&self) -> Vec<Location> {
        let errors = self.list.iter().filter(|report| report.severity == Severity::Error);
        errors.filter_map(|report| report.location).collect()
    }

    /// Everything found, in order of place, with the files it points into.
    pub(crate) fn into_reports(mut self, files: Vec<SourceFile>) -> Reports {
        self.hidden.sort();
        self.list.iter_mut().for_each(|report| conceal(report, &self.hidden));
        self.list.sort_by_key(|report| report.location);
        Reports { files, list: self.list, dropped: self.dropped }
    }
}

/// Takes hidden texts out of a report. What is allowed in general stays: it says nothing of the value.
fn conceal(report: &mut Report, hidden: &Hidden) {
    let hidden = hidden.at(report.location);
    let general = |line: &str| line.starts_with(ALLOWED);
    if hidden.is_hidden() {
        report.help.retain(|line| general(line) || !hidden.is_shown_in(line));
        if report.label.starts_with(PROPOSAL) {
            report.label.clear();
        }
    }
    let other = report.other.iter_mut().map(|(_, words)| words);
    let lines = [&mut report.title, &mut report.label].into_iter().chain(report.help.iter_mut()).chain(other);
    for line in lines.filter(|line| !general(line)) {
        *line = hidden.masked(line);
    }
}

/// How a line with all allowed names begins.
const ALLOWED: &str = "allowed here: ";
/// How a label that proposes a name begins.
const PROPOSAL: &str = "did you mean ";
