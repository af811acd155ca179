// SPDX-License-Identifier: Apache-2.0
//! Which slices are compared with which, and what is said of them.

use super::Summary;
use crate::peer::Peer;
use crate::probe::{Class, Probe};
use crate::process::Memory;
use crate::record::{Mode, Quantiles, Record, Slice};

const NEAR: f64 = 45.0;
const FAR: f64 = 400.0;

fn slice(peer: Peer, cpu_us: u64, before: f64, after: f64) -> Slice {
    let probe = |round_trip_ns| Probe { round_trip_ns, class: Class::of(round_trip_ns) };
    Slice {
        case: "get-100".into(),
        peer,
        round: 0,
        mode: Mode::Closed,
        before: probe(before),
        after: probe(after),
        completed: 1_000,
        seconds: 1.0,
        per_second: 1_000.0,
        offered_per_second: None,
        cpu_ns: cpu_us * 1_000_000,
        core_busy_ms: cpu_us,
        client_core_foreign_ms: 0,
        latency: Quantiles::default(),
        memory: Memory::default(),
        log_lines: 0,
        log_requests: 0,
        pieces: None,
    }
}

fn summary(slices: &[Slice]) -> Summary {
    Summary::of(&slices.iter().cloned().map(Record::Slice).collect::<Vec<_>>())
}

#[test]
fn only_slices_of_one_class_are_compared() {
    let summary = summary(&[
        slice(Peer::Nginx, 20, FAR, FAR),
        slice(Peer::Turnpike, 10, FAR, FAR),
        slice(Peer::Nginx, 40, NEAR, NEAR),
        slice(Peer::Turnpike, 11, FAR, FAR),
        slice(Peer::Nginx, 22, FAR, FAR),
        // The cores moved during this one, so it counts nowhere.
        slice(Peer::Turnpike, 99, FAR, NEAR),
        slice(Peer::Turnpike, 12, FAR, FAR),
    ]);
    let ours = summary.line("get-100", Peer::Turnpike).unwrap().cost.as_ref().unwrap();
    assert_eq!((ours.class, ours.kept, ours.measured), (Class::Apart, 3, 4));
    assert_eq!(ours.cpu_us, 11.0);
    assert_eq!(ours.ratio, Some(11.0 / 21.0));
    assert!(summary.text().contains("apart, 3/4"));
}

#[test]
fn a_class_that_all_proxies_share_wins_over_one_with_more_slices() {
    let summary = summary(&[
        slice(Peer::Nginx, 20, FAR, FAR),
        slice(Peer::Nginx, 20, FAR, FAR),
        slice(Peer::Nginx, 40, NEAR, NEAR),
        slice(Peer::Turnpike, 30, NEAR, NEAR),
    ]);
    let ours = summary.line("get-100", Peer::Turnpike).unwrap().cost.as_ref().unwrap();
    assert_eq!((ours.class, ours.ratio), (Class::SharedCore, Some(0.75)));
}

#[test]
fn cases_with_routes_share_their_class() {
    let routes = |case: &str, near: f64| Slice { case: case.into(), ..slice(Peer::Turnpike, 10, near, near) };
    let summary = summary(&[
        routes("routes-1", NEAR),
        routes("routes-1", NEAR),
        routes("routes-1", FAR),
        routes("routes-1000-last", FAR),
    ]);
    for case in ["routes-1", "routes-1000-last"] {
        let cost = summary.line(case, Peer::Turnpike).unwrap().cost.as_ref().unwrap();
        assert_eq!((cost.class, cost.kept), (Class::Apart, 1));
    }
}

#[test]
fn joined_events_are_told() {
    let joined = Slice { mode: Mode::Stream, pieces: Some(600), ..slice(Peer::Haproxy, 10, FAR, FAR) };
    assert!(summary(&[joined]).warnings.iter().any(|warning| warning.contains("60 % as many pieces")));
}

#[test]
fn without_any_kept_slice_there_is_no_figure() {
    let summary = summary(&[slice(Peer::Nginx, 20, FAR, NEAR)]);
    assert!(summary.line("get-100", Peer::Nginx).unwrap().cost.is_none());
    assert!(summary.text().contains("no slice kept"));
}

#[test]
fn missing_log_lines_are_told() {
    let mut short = slice(Peer::Turnpike, 10, FAR, FAR);
    (short.log_lines, short.log_requests) = (900, 1_000);
    assert_eq!(summary(&[short]).warnings, ["turnpike logged 900 of 1000 requests"]);
}

#[test]
fn records_survive_json() {
    let record = Record::Slice(slice(Peer::Haproxy, 10, NEAR, FAR));
    let line = serde_json::to_string(&record).unwrap();
    assert!(line.starts_with("{\"record\":\"slice\",\"case\":\"get-100\",\"peer\":\"haproxy\""), "{line}");
    let back: Record = serde_json::from_str(&line).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), line);
}
