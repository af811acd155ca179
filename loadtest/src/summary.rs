// SPDX-License-Identifier: Apache-2.0
//! From raw slices to figures: medians over the slices of one class, and ratios to nginx within that class.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::histogram::median;
use crate::peer::Peer;
use crate::probe::Class;
use crate::record::{Facts, IdleMemory, Mode, Record, RestMemory, Slice};
use crate::workload::Speech;

/// The figures of a run.
#[derive(Debug)]
pub struct Summary {
    /// The facts of the run, where its first line was written.
    pub facts: Option<Facts>,
    /// One for each case and proxy, in the order of measuring.
    pub lines: Vec<Line>,
    /// Idle memory of each proxy.
    pub idle: Vec<Idle>,
    /// Memory at rest.
    pub rest: Vec<RestMemory>,
    /// What a reader should be warned of.
    pub warnings: Vec<String>,
}

/// The figures of one case through one proxy.
#[derive(Debug, Clone)]
pub struct Line {
    /// Name of the case.
    pub case: String,
    /// The proxy.
    pub peer: Peer,
    /// Cost, from the closed loop or the stream.
    pub cost: Option<Cost>,
    /// Latency, from the open loop or the stream.
    pub latency: Option<Latency>,
    /// Median of the resident memory in KiB.
    pub rss_kib: f64,
    /// Median of the proportional memory in KiB.
    pub pss_kib: f64,
}

/// What a request or event costs.
#[derive(Debug, Clone)]
pub struct Cost {
    /// The class of the slices.
    pub class: Class,
    /// How many slices of that class there are.
    pub kept: usize,
    /// Of how many.
    pub measured: usize,
    /// Median of the proxy's microseconds for each request or event.
    pub cpu_us: f64,
    /// The same of each slice.
    pub each_us: Vec<f64>,
    /// That median divided by the reference's, within the class.
    pub ratio: Option<f64>,
    /// Median of requests or events a second.
    pub per_second: f64,
}

/// How long requests take at a fixed rate.
#[derive(Debug, Clone)]
pub struct Latency {
    /// The class of the slices.
    pub class: Class,
    /// How many slices of that class there are.
    pub kept: usize,
    /// Of how many.
    pub measured: usize,
    /// The rate.
    pub per_second: u64,
    /// Median of the slices' medians, in microseconds.
    pub p50_us: f64,
    /// Of their 99th percentiles.
    pub p99_us: f64,
    /// Of their 99.9th percentiles.
    pub p999_us: f64,
}

/// Memory of idle connections.
#[derive(Debug, Clone)]
pub struct Idle {
    /// What the connections speak.
    pub speech: Speech,
    /// The proxy.
    pub peer: Peer,
    /// How many connections.
    pub connections: usize,
    /// Bytes by which the resident memory grew for each.
    pub bytes_grown: f64,
    /// Bytes for each with what was set aside for connections at start.
    pub bytes_with_tables: f64,
    /// Resident memory before, in KiB.
    pub rest_kib: f64,
    /// Resident memory with them, in KiB.
    pub held_kib: f64,
}

impl Summary {
    /// The figures of the records of one run.
    pub fn of(records: &[Record]) -> Summary {
        let mut summary = Summary { facts: None, lines: vec![], idle: vec![], rest: vec![], warnings: vec![] };
        let mut slices: Vec<&Slice> = Vec::new();
        let mut idle: BTreeMap<(Speech, Peer), Vec<&IdleMemory>> = BTreeMap::new();
        for record in records {
            match record {
                Record::Run(facts) => summary.facts = Some(facts.clone()),
                Record::Slice(slice) => slices.push(slice),
                Record::Idle(memory) => idle.entry((memory.speech, memory.peer)).or_default().push(memory),
                Record::Rest(memory) => summary.rest.push(memory.clone()),
            }
        }
        let mut cases: Vec<&str> = Vec::new();
        for slice in &slices {
            if !cases.contains(&slice.case.as_str()) {
                cases.push(&slice.case);
            }
        }
        for case in cases {
            let of_case: Vec<&Slice> = slices.iter().copied().filter(|slice| slice.case == case).collect();
            let of_group: Vec<&Slice> =
                slices.iter().copied().filter(|slice| group(&slice.case) == group(case)).collect();
            summary.lines.extend(lines_of(&of_case, &of_group));
        }
        summary.idle = idle.into_iter().map(|((speech, peer), rounds)| idle_of(speech, peer, &rounds)).collect();
        summary.warnings = warnings(&slices, &summary.lines);
        summary
    }

    /// The line of a case and a proxy.
    pub fn line(&self, case: &str, peer: Peer) -> Option<&Line> {
        self.lines.iter().find(|line| line.case == case && line.peer == peer)
    }

    /// The memory of idle connections of a proxy.
    pub fn idle(&self, speech: Speech, peer: Peer) -> Option<&Idle> {
        self.idle.iter().find(|idle| idle.speech == speech && idle.peer == peer)
    }

    /// The tables for a person to read.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(facts) = &self.facts {
            push_facts(&mut text, facts);
        }
        if !self.lines.is_empty() {
            push_lines(&mut text, &self.lines);
        }
        for idle in &self.idle {
            let Idle { speech, peer, connections, bytes_grown, bytes_with_tables, rest_kib, held_kib } = idle;
            let _ = writeln!(
                text,
                "{peer:<9} {speech}, {connections} connections: RSS {rest_kib:.0} -> {held_kib:.0} KiB, \
                 grown by {bytes_grown:.0} B each, {bytes_with_tables:.0} B each with what is set aside for them at \
                 start"
            );
        }
        for RestMemory { peer, shards, memory } in &self.rest {
            let (rss, pss) = (memory.rss_kib, memory.pss_kib);
            let _ = writeln!(text, "{peer:<9} at rest, {shards} serving: RSS {rss} KiB, PSS {pss} KiB");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

/// The cases with routes are compared with each other, too, and so are those of a gateway, so they share a class; every
/// other case stands for itself.
fn group(case: &str) -> &str {
    ["routes-", "gateway-"].into_iter().find(|group| case.starts_with(group)).unwrap_or(case)
}

/// The lines of one case. Cost and latency each take the best class of the case's group.
fn lines_of(slices: &[&Slice], group: &[&Slice]) -> Vec<Line> {
    let mut peers: Vec<Peer> = slices.iter().map(|slice| slice.peer).collect();
    peers.sort();
    peers.dedup();
    let costs: Vec<&Slice> = slices.iter().copied().filter(|slice| slice.mode != Mode::Open).collect();
    let latencies: Vec<&Slice> = slices.iter().copied().filter(|slice| slice.mode != Mode::Closed).collect();
    let cost_class = best_class(group, |slice| slice.mode != Mode::Open);
    let latency_class = best_class(group, |slice| slice.mode != Mode::Closed);
    let reference = cost_class.and_then(|class| cost_of(&costs, Peer::Nginx, class));
    let line = |peer| {
        let own = || slices.iter().filter(|slice| slice.peer == peer);
        let mut cost = cost_class.and_then(|class| cost_of(&costs, peer, class));
        if let (Some(cost), Some(reference)) = (&mut cost, &reference) {
            cost.ratio = Some(cost.cpu_us / reference.cpu_us);
        }
        Line {
            case: slices.first().map_or_else(String::new, |slice| slice.case.clone()),
            peer,
            cost,
            latency: latency_class.and_then(|class| latency_of(&latencies, peer, class)),
            rss_kib: median(own().map(|slice| slice.memory.rss_kib as f64)).unwrap_or(0.0),
            pss_kib: median(own().map(|slice| slice.memory.pss_kib as f64)).unwrap_or(0.0),
        }
    };
    peers.iter().map(|peer| line(*peer)).collect()
}

/// The class that has slices of the most cases and proxies and, of those, the most slices.
fn best_class(slices: &[&Slice], counts: fn(&Slice) -> bool) -> Option<Class> {
    let weight = |class: &Class| {
        let of_class = slices.iter().filter(|slice| counts(slice) && slice.class() == Some(*class));
        let mut series: Vec<(&str, Peer)> = of_class.map(|slice| (slice.case.as_str(), slice.peer)).collect();
        let all = series.len();
        series.sort();
        series.dedup();
        (series.len(), all)
    };
    Class::ALL.into_iter().filter(|class| weight(class).1 > 0).max_by_key(weight)
}

fn cost_of(slices: &[&Slice], peer: Peer, class: Class) -> Option<Cost> {
    let own: Vec<&Slice> = slices.iter().copied().filter(|slice| slice.peer == peer).collect();
    let kept: Vec<&Slice> = own.iter().copied().filter(|slice| slice.class() == Some(class)).collect();
    Some(Cost {
        class,
        kept: kept.len(),
        measured: own.len(),
        cpu_us: median(kept.iter().map(|slice| slice.cpu_us()))?,
        each_us: kept.iter().map(|slice| slice.cpu_us()).collect(),
        ratio: None,
        per_second: median(kept.iter().map(|slice| slice.per_second))?,
    })
}

fn latency_of(slices: &[&Slice], peer: Peer, class: Class) -> Option<Latency> {
    let own: Vec<&Slice> = slices.iter().copied().filter(|slice| slice.peer == peer).collect();
    let kept: Vec<&Slice> = own.iter().copied().filter(|slice| slice.class() == Some(class)).collect();
    let first = kept.first()?;
    Some(Latency {
        class,
        kept: kept.len(),
        measured: own.len(),
        per_second: first.offered_per_second.unwrap_or(first.per_second as u64),
        p50_us: median(kept.iter().map(|slice| slice.latency.p50_ns as f64 / 1e3))?,
        p99_us: median(kept.iter().map(|slice| slice.latency.p99_ns as f64 / 1e3))?,
        p999_us: median(kept.iter().map(|slice| slice.latency.p999_ns as f64 / 1e3))?,
    })
}

fn idle_of(speech: Speech, peer: Peer, rounds: &[&IdleMemory]) -> Idle {
    let of = |figure: fn(&IdleMemory) -> f64| median(rounds.iter().map(|memory| figure(memory))).unwrap_or(0.0);
    Idle {
        speech,
        peer,
        connections: rounds.first().map_or(0, |memory| memory.connections),
        bytes_grown: of(IdleMemory::bytes_grown),
        bytes_with_tables: of(IdleMemory::bytes_with_tables),
        rest_kib: of(|memory| memory.rest.rss_kib as f64),
        held_kib: of(|memory| memory.held.rss_kib as f64),
    }
}

fn warnings(slices: &[&Slice], lines: &[Line]) -> Vec<String> {
    let mut warnings = Vec::new();
    let foreign = median(slices.iter().map(|slice| slice.foreign_share())).unwrap_or(0.0);
    if foreign > FOREIGN_SHARE_MAX {
        warnings.push(format!("other work used {:.0} % of one of the two cores in the median slice", foreign * 100.0));
    }
    for peer in [Peer::Turnpike, Peer::Nginx] {
        let short = slices.iter().filter(|slice| slice.peer == peer && slice.mode != Mode::Stream);
        let (lines, requests) = short
            .fold((0, 0), |(lines, requests), slice| (lines + slice.log_lines as u64, requests + slice.log_requests));
        if lines < requests {
            warnings.push(format!("{peer} logged {lines} of {requests} requests"));
        }
    }
    for line in lines {
        let slow = line.latency.as_ref().filter(|latency| latency.p50_us > LATENCY_US_LIKELY);
        if let Some(latency) = slow {
            let rate = latency.per_second;
            warnings.push(format!("{} through {} could not keep up with {rate} a second", line.case, line.peer));
        }
        let own = slices.iter().filter(|slice| slice.case == line.case && slice.peer == line.peer);
        let shares = own.filter_map(|slice| Some(slice.pieces? as f64 / slice.completed.max(1) as f64));
        if let Some(share) = median(shares).filter(|share| *share < PIECES_SHARE_MIN) {
            let percent = share * 100.0;
            warnings.push(format!(
                "the events through {} came in {percent:.0} % as many pieces: some were joined, and cost less",
                line.peer
            ));
        }
    }
    warnings
}

fn push_facts(text: &mut String, facts: &Facts) {
    let machine = &facts.machine;
    let _ = writeln!(text, "{}, commit {}, {} rounds of {} s", facts.date, facts.commit, facts.rounds, facts.seconds);
    let _ = writeln!(
        text,
        "{}, {} cores, Linux {}, {}, TCP {}",
        machine.processor, machine.cores, machine.kernel, machine.system, machine.congestion_control
    );
    for version in facts.versions.values() {
        let _ = writeln!(text, "{version}");
    }
    text.push('\n');
}

fn push_lines(text: &mut String, lines: &[Line]) {
    let _ = writeln!(
        text,
        "{:<19}{:<10}{:>8}{:>7}{:>10}  {:<18}{:>8}{:>8}{:>8}{:>9}  {:<18}{:>8}{:>8}",
        "case",
        "proxy",
        "CPU us",
        "ratio",
        "per s",
        "class, kept",
        "p50 us",
        "p99",
        "p99.9",
        "at /s",
        "class, kept",
        "RSS KiB",
        "PSS"
    );
    let mut case = "";
    for line in lines {
        if !case.is_empty() && case != line.case {
            text.push('\n');
        }
        case = &line.case;
        let _ = write!(text, "{:<19}{:<10}", line.case, line.peer);
        let _ = match &line.cost {
            Some(cost) => {
                let ratio = cost.ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
                let kept = format!("{}, {}/{}", cost.class, cost.kept, cost.measured);
                write!(text, "{:>8.2}{ratio:>7}{:>10.0}  {kept:<18}", cost.cpu_us, cost.per_second)
            }
            None => write!(text, "{:>8}{:>7}{:>10}  {:<18}", "-", "-", "-", "no slice kept"),
        };
        let _ = match &line.latency {
            Some(latency) => {
                let kept = format!("{}, {}/{}", latency.class, latency.kept, latency.measured);
                let Latency { p50_us, p99_us, p999_us, per_second, .. } = latency;
                write!(text, "{p50_us:>8.0}{p99_us:>8.0}{p999_us:>8.0}{per_second:>9}  {kept:<18}")
            }
            None => write!(text, "{:>8}{:>8}{:>8}{:>9}  {:<18}", "-", "-", "-", "-", "no slice kept"),
        };
        let _ = writeln!(text, "{:>8.0}{:>8.0}", line.rss_kib, line.pss_kib);
    }
    text.push('\n');
}

/// Below this, other work on the proxy's core is noise.
const FOREIGN_SHARE_MAX: f64 = 0.05;

/// Events that are not held up arrive one by one.
const PIECES_SHARE_MIN: f64 = 0.95;

/// A median above this at 30 % load means that requests queued.
const LATENCY_US_LIKELY: f64 = 20_000.0;

#[cfg(test)]
mod tests;
