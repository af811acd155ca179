// SPDX-License-Identifier: Apache-2.0
//! The bars that turnpike must meet, and whether a finished run meets them.
//!
//! A figure that was not measured is a miss: a gate that passes on an empty run would guard nothing.

use std::fmt::Write;

use crate::peer::Peer;
use crate::record::RestMemory;
use crate::summary::{Latency, Summary};
use crate::workload::Speech;

/// One bar and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What is asked.
    pub what: String,
    /// The most that is allowed.
    pub bar: f64,
    /// What was measured.
    pub measured: Option<f64>,
}

impl Verdict {
    /// True where it was measured and meets the bar.
    pub fn passes(&self) -> bool {
        self.measured.is_some_and(|measured| measured <= self.bar)
    }
}

/// Holds a run against all bars.
pub fn judge(summary: &Summary) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (case, bar) in COST_BARS {
        let cost = summary.line(case, Peer::Turnpike).and_then(|line| line.cost.as_ref());
        let measured = cost.and_then(|cost| cost.ratio);
        verdicts.push(Verdict { what: format!("{case}: CPU, ratio to nginx"), bar, measured });
    }
    for case in ["routes-1000-last", "routes-1000-random"] {
        let what = format!("{case}: CPU, ratio to our single route");
        verdicts.push(Verdict { what, bar: ROUTES_BAR, measured: ratio_to_single_route(summary, case) });
    }
    for case in LATENCY_CASES {
        let (ours, theirs) = (latency(summary, case, Peer::Turnpike), latency(summary, case, Peer::Nginx));
        let pair = ours.zip(theirs);
        let p50 = pair.map(|(ours, theirs)| ours.p50_us / theirs.p50_us);
        let p99 = pair.map(|(ours, theirs)| ours.p99_us / theirs.p99_us);
        for (name, measured) in [("p50", p50), ("p99", p99)] {
            let what = format!("{case}: {name} at 30 % load, ratio to nginx");
            verdicts.push(Verdict { what, bar: 1.0, measured });
        }
    }
    let idle = |peer| summary.idle(Speech::Http1, peer);
    let pair = idle(Peer::Turnpike).zip(idle(Peer::Nginx));
    let grown = pair.map(|(ours, theirs)| ours.bytes_grown / theirs.bytes_grown);
    let with_tables = pair.map(|(ours, theirs)| ours.bytes_with_tables / theirs.bytes_with_tables);
    for (name, measured) in [("growth", grown), ("with tables", with_tables)] {
        let what = format!("idle: RSS per connection, {name}, ratio to nginx");
        verdicts.push(Verdict { what, bar: IDLE_BAR, measured });
    }
    let measured = summary.idle(Speech::Http2Tls, Peer::Turnpike).map(|idle| idle.bytes_grown / 1024.0);
    verdicts.push(Verdict { what: "h2-idle: RSS per connection, KiB".into(), bar: H2_IDLE_KIB_BAR, measured });
    let two_shards = |rest: &&RestMemory| rest.peer == Peer::Turnpike && rest.shards == 2;
    let measured = summary.rest.iter().find(two_shards).map(|rest| rest.memory.rss_kib as f64 / 1024.0);
    verdicts.push(Verdict { what: "rest: RSS with two shards, MiB".into(), bar: REST_MIB_BAR, measured });
    verdicts
}

/// The verdicts as a table.
pub fn table(verdicts: &[Verdict]) -> String {
    let mut text = format!("{:<52}{:>8}{:>10}  pass\n", "", "bar", "measured");
    for verdict in verdicts {
        let measured = verdict.measured.map_or_else(|| "-".into(), |measured| format!("{measured:.3}"));
        let pass = if verdict.passes() { "yes" } else { "NO" };
        let _ = writeln!(text, "{:<52}{:>8.2}{measured:>10}  {pass}", verdict.what, verdict.bar);
    }
    let missed = verdicts.iter().filter(|verdict| !verdict.passes()).count();
    let _ = writeln!(text, "{} of {} bars met", verdicts.len() - missed, verdicts.len());
    text
}

fn latency<'a>(summary: &'a Summary, case: &str, peer: Peer) -> Option<&'a Latency> {
    summary.line(case, peer)?.latency.as_ref()
}

/// Against the single route in the same class, or there is nothing to compare.
fn ratio_to_single_route(summary: &Summary, case: &str) -> Option<f64> {
    let many = summary.line(case, Peer::Turnpike)?.cost.as_ref()?;
    let single = summary.line("routes-1", Peer::Turnpike)?.cost.as_ref()?;
    (many.class == single.class).then(|| many.cpu_us / single.cpu_us)
}

/// CPU for each request or event as a ratio to nginx's.
const COST_BARS: [(&str, f64); 9] = [
    ("get-100", 0.65),
    ("get-10k", 0.72),
    ("get-1m", 0.40),
    ("post-4k", 0.75),
    ("https-100", 0.72),
    ("tls-handshake", 0.55),
    ("sse", 0.88),
    ("h2-100", 0.60),
    ("grpc-echo", 0.70),
];

/// 1 000 routes against our own single route.
const ROUTES_BAR: f64 = 1.03;

/// The cases whose latencies are held against nginx's.
const LATENCY_CASES: [&str; 6] = ["get-100", "get-10k", "get-1m", "post-4k", "https-100", "tls-handshake"];

/// Resident memory for each idle connection, as a ratio to nginx's.
const IDLE_BAR: f64 = 1.25;

/// Resident memory for each idle connection of HTTP/2 over TLS.
const H2_IDLE_KIB_BAR: f64 = 16.0;

/// Resident memory of the whole process at rest with two shards.
const REST_MIB_BAR: f64 = 15.0;

#[cfg(test)]
mod tests {
    use super::{Verdict, judge, table};
    use crate::summary::Summary;

    #[test]
    fn an_empty_run_misses_every_bar() {
        let verdicts = judge(&Summary::of(&[]));
        assert!(verdicts.len() > 20 && verdicts.iter().all(|verdict| !verdict.passes()));
        assert!(table(&verdicts).ends_with(&format!("0 of {} bars met\n", verdicts.len())));
    }

    #[test]
    fn a_bar_is_met_when_it_is_reached_exactly() {
        let verdict = |measured| Verdict { what: String::new(), bar: 0.65, measured };
        assert!(verdict(Some(0.65)).passes());
        assert!(!verdict(Some(0.651)).passes());
        assert!(!verdict(None).passes());
    }
}
