// SPDX-License-Identifier: Apache-2.0
//! What is written about metrics elsewhere is true: the tables of `docs/operations.md` are made from a page with a
//! sample of every family, and alert rules and dashboard name only what that page has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Facts, ListenerCertificate, render};
use crate::balance::{Algorithm, BreakerPlan, Cluster, ClusterPlan, Endpoint, EwmaPlan, Outcome, Tried};
use crate::base::{Address, Cause, Rng, Tick, Wall};
use crate::config::plan::CertificatePlan;
use crate::control::discovery::EndpointUpdate;
use crate::control::endpoints::UpstreamStates;
use crate::control::exposition::strict;
use crate::control::process::Process;
use crate::control::quotas::counts::{DatabaseShown, QuotaShown};
use crate::control::tally::{CounterSet, Names, Tally};
use crate::control::upstreams::Known;
use crate::link::UpstreamReport;
use crate::wire::grpc::Code;

/// The labels that every scrape adds.
const SCRAPED: [&str; 2] = ["instance", "job"];

/// A page on which every family has a sample.
fn page() -> String {
    let tally = Tally::default();
    let names = Names {
        routes: vec![Arc::from("route")],
        upstreams: vec![Arc::from("pool")],
        limits: vec![Some(Arc::from("limit"))],
        versions: vec![(Arc::from("policy"), Arc::from("v1"))],
    };
    let set = CounterSet::named(1, names, 1);
    tally.begin(set.clone());
    tally.commit(1);
    set.shards().iter().for_each(|shard| shard.add_grpc(0, Code::Ok));
    set.shards().iter().for_each(|shard| shard.add_cause(0, Cause::Refused));
    let address = Address::Inet(([127, 0, 0, 1], 1).into());
    let endpoint = Endpoint { address, name: "one".into(), weight: 1, backup: false };
    let facts = Facts {
        listed: vec![EndpointUpdate { upstream: "pool".into(), endpoints: [endpoint.clone()].into() }],
        certificates: vec![ListenerCertificate {
            listener: "web".to_owned(),
            certificate: CertificatePlan { file: "a.pem".to_owned(), not_after: Wall(1) },
        }],
        store_up: Some(true),
        usage: Some(Default::default()),
        quotas: vec![QuotaShown { policy: "limit".into(), ..QuotaShown::default() }],
        databases: vec![DatabaseShown { name: "store", up: true, outages: 0, batches: 0, took: Duration::ZERO }],
        ..Facts::default()
    };
    let plan = ClusterPlan {
        name: "pool".into(),
        algorithm: Algorithm::PeakEwma(EwmaPlan::default()),
        breaker: Some(BreakerPlan::default()),
        ..ClusterPlan::default()
    };
    let mut cluster = Cluster::new(&plan, &[endpoint]);
    let picked = cluster.pick(None, None, &Tried::NONE, Tick::ZERO, &mut Rng::new(1)).expect("one");
    let flight = cluster.begin(picked, Tick::ZERO);
    cluster.end(flight, Outcome::Ok, Duration::from_millis(1), Tick::ZERO.after_ms(1));
    let report = UpstreamReport { upstreams: vec![cluster.state(Tick::ZERO.after_ms(2), 9)] };
    let states = UpstreamStates::of(&Known { reports: vec![Arc::new(report)], age: Duration::ZERO });
    render(&tally.sums(), &facts, &states, &Process::read())
}

/// Labels of each name that a query may use.
type Labels = BTreeMap<String, BTreeSet<String>>;

fn labels_of(page: &str) -> Labels {
    let parsed = strict::parse(page).expect("well formed");
    let mut labels = Labels::new();
    for key in parsed.samples.keys() {
        let (name, rest) = key.split_once('{').unwrap_or((key, ""));
        let found = rest.split("\",").filter_map(|part| Some(part.split_once('=')?.0.to_owned()));
        labels.entry(name.to_owned()).or_default().extend(found);
    }
    labels
}

/// The table of `docs/operations.md`.
fn table(page: &str) -> String {
    let labels = labels_of(page);
    let mut out = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    let mut help = "";
    for line in page.lines() {
        if let Some((_, text)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help = text;
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let sample = if kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
            let of_one = labels.get(&sample).unwrap_or_else(|| panic!("{name} has no sample"));
            let listed: Vec<String> = of_one.iter().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(out, "| `{name}` | {kind} | {} | {help} |", listed.join(", "));
        }
    }
    out
}

/// One alert rule.
#[derive(Debug, Default)]
struct Rule {
    name: String,
    expression: String,
    after: String,
    severity: String,
    summary: String,
}

/// Reads the rules. They are written in a few forms of YAML, and everything else is a fault.
fn rules(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).peekable();
    assert_eq!(lines.by_ref().take(3).collect::<Vec<_>>(), ["groups:", "  - name: turnpike", "    rules:"]);
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("      - alert: ") {
            rules.push(Rule { name: name.to_owned(), ..Rule::default() });
            continue;
        }
        let rule = rules.last_mut().unwrap_or_else(|| panic!("no rule yet: {line}"));
        if line == "        expr: >-" {
            while let Some(more) = lines.next_if(|line| line.starts_with("          ")) {
                rule.expression.push_str(if rule.expression.is_empty() { "" } else { " " });
                rule.expression.push_str(more.trim());
            }
        } else if let Some(expression) = line.strip_prefix("        expr: ") {
            expression.clone_into(&mut rule.expression);
        } else if let Some(after) = line.strip_prefix("        for: ") {
            after.clone_into(&mut rule.after);
        } else if let Some(severity) = line.strip_prefix("          severity: ") {
            severity.clone_into(&mut rule.severity);
        } else if let Some(summary) = line.strip_prefix("          summary: \"").and_then(|rest| rest.strip_suffix('"'))
        {
            summary.clone_into(&mut rule.summary);
        } else {
            assert!(["        labels:", "        annotations:"].contains(&line), "not understood: {line}");
        }
    }
    rules
}

fn alerts(rules: &[Rule]) -> String {
    let mut out = "| alert | severity | after | expression |\n|---|---|---|---|\n".to_owned();
    for Rule { name, expression, after, severity, .. } in rules {
        let after = if after.is_empty() { "at once" } else { after };
        let _ = writeln!(out, "| {name} | {severity} | {after} | `{expression}` |");
    }
    out
}

/// The words of a query: names of metrics, labels and functions. Texts between quotes are left out.
fn words(query: &str) -> Vec<String> {
    let code: Vec<&str> = query.split('"').step_by(2).collect();
    let split = code.join(" \" ");
    let words = split.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '$');
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// What is wrong with a query: names that are not on the page, and labels that no metric in it has.
fn faults(query: &str, known: &Labels) -> Vec<String> {
    let words = words(query);
    let is_metric = |word: &&String| word.starts_with("turnpike_") || word.starts_with("process_");
    let unknown = words.iter().filter(is_metric).filter(|word| !known.contains_key(*word));
    let mut faults: Vec<String> = unknown.map(|word| format!("no metric {word}")).collect();
    let labels: BTreeSet<&str> =
        words.iter().filter_map(|word| known.get(word)).flatten().map(String::as_str).collect();
    let all: BTreeSet<&str> = known.values().flatten().map(String::as_str).collect();
    // What stands before `=` in braces or in the parentheses of `by` is a label.
    let named = query.split(['{', ',', '(']).filter_map(|part| {
        let end = part.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_')?;
        let (name, rest) = part.split_at(end);
        (rest.starts_with('=') || rest.starts_with("!=")).then_some(name)
    });
    let grouped =
        query.split("by (").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).flat_map(|list| list.split(", "));
    for label in named.chain(grouped).filter(|label| !SCRAPED.contains(label)) {
        if !labels.contains(label) {
            let what = if all.contains(label) { "is of another metric" } else { "is of no metric" };
            faults.push(format!("label {label} {what}"));
        }
    }
    let (open, close) = (query.matches('(').count(), query.matches(')').count());
    if open != close || query.matches('{').count() != query.matches('}').count() {
        faults.push("brackets do not match".to_owned());
    }
    faults
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text with `made` between the comments that begin with these words.
fn with_part(text: &str, start: &str, end: &str, made: &str) -> String {
    let from = text.find(start).and_then(|at| Some(at + text[at..].find('\n')? + 1)).expect(start);
    let to = text.find(end).expect(end);
    format!("{}{made}{}", &text[..from], &text[to..])
}

#[test]
fn the_tables_are_up_to_date() {
    let text = read("docs/operations.md");
    let made = with_part(&text, "<!-- metrics:", "<!-- end of metrics", &table(&page()));
    let rules = rules(&read("config/prometheus/turnpike.rules.yml"));
    let made = with_part(&made, "<!-- alerts:", "<!-- end of alerts", &alerts(&rules));
    if std::env::var("TURNPIKE_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(path("docs/operations.md"), made).expect("written");
    } else {
        assert!(text == made, "docs/operations.md is out of date; run: TURNPIKE_BLESS=1 cargo test metrics::reference");
    }
}

#[test]
fn rules_name_what_there_is() {
    let known = labels_of(&page());
    let rules = rules(&read("config/prometheus/turnpike.rules.yml"));
    assert!(rules.len() > 10);
    let names: BTreeSet<&String> = rules.iter().map(|rule| &rule.name).collect();
    assert_eq!(names.len(), rules.len(), "each name once");
    for rule in &rules {
        assert_eq!(faults(&rule.expression, &known), Vec::<String>::new(), "{rule:?}");
        assert!(["critical", "warning"].contains(&&*rule.severity) && !rule.summary.is_empty(), "{rule:?}");
    }
}

#[test]
fn the_dashboard_names_what_there_is() {
    fn queries(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(entries) => {
                let found = ["expr", "query"].iter().filter_map(|key| entries.get(*key)?.as_str());
                out.extend(found.map(str::to_owned));
                entries.values().for_each(|value| queries(value, out));
            }
            Value::Array(items) => items.iter().for_each(|value| queries(value, out)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let known = labels_of(&page());
    let dashboard: Value = serde_json::from_str(&read("config/grafana/turnpike.json")).expect("JSON");
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    assert!(found.len() > 20);
    for query in found {
        assert_eq!(faults(&query, &known), Vec::<String>::new(), "{query}");
    }
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn a_wrong_query_is_noticed() {
    let known = labels_of(&page());
    for (query, fault) in [
        ("rate(turnpike_request_total[5m])", "no metric"),
        ("turnpike_shards{route=\"a\"}", "is of another metric"),
        ("sum by (class, root) (turnpike_requests_total)", "is of no metric"),
        ("sum(turnpike_shards", "brackets"),
    ] {
        assert!(faults(query, &known).iter().any(|found| found.contains(fault)), "{query}");
    }
    assert!(faults("sum by (le, job) (turnpike_request_duration_seconds_bucket{route!=\"x\"})", &known).is_empty());
}
