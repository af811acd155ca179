// SPDX-License-Identifier: Apache-2.0
//! `http11-cases.json` over real sockets: single requests, with the answers and connection states that pass.
//!
//! Behind the gateway stands an origin that answers 200 with a length, and with the request's content. It is strict:
//! what reaches it in a malformed form is a failure of its own.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::harness::reader::Trouble;
use crate::harness::{Client, Gateway, Origin, PATIENCE};
use crate::published::cases::{Case, http11_cases, sent};

/// Cases that run at the same time.
const WORKERS: usize = 16;
/// Silence after which a connection counts as open.
const QUIET: Duration = Duration::from_millis(250);
/// Wait for an answer where none may come.
const ANSWER_WAIT: Duration = Duration::from_secs(4);

#[test]
fn no_scored_case_fails() {
    let Some(cases) = http11_cases() else { return };
    let origin = Origin::echo();
    // The cases want UTF-8 in a target to be refused, as a strict listener does. One says a length of a gigabyte and
    // sends nothing, to see whether that is waited for: a limit would answer 413 at once.
    let strict = "paths = { raw_utf8 = \"reject\" }";
    let route = format!("[[route]]\nto = \"http://{}\"\nlimits = {{ body = \"off\" }}\n", origin.address);
    let gateway = Gateway::web(format!("{strict}\n{route}"));
    let here = gateway.here();
    let single: Vec<&Case> = cases.iter().filter(|case| case.is_single()).collect();
    assert!(single.len() > 150);
    let verdicts = each(&single, |case| verdict(case, here));
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for (case, (verdict, seen)) in single.iter().zip(&verdicts) {
        *counts.entry((case.scored, verdict)).or_default() += 1;
        let listed = case.rightly_warned_of();
        let bad = match &**verdict {
            "Pass" => listed,
            "Warn" => !listed,
            _ => case.scored,
        };
        if bad {
            wrong.push(format!("{verdict}: {}, seen {seen}", case.id));
        }
    }
    println!("verdicts by (scored, verdict): {counts:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_received_well(&origin);
}

#[test]
fn nothing_behind_an_ambiguous_request_is_served() {
    let Some(cases) = http11_cases() else { return };
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let here = gateway.here();
    let sequences: Vec<&Case> = cases.iter().filter(|case| case.scored && !case.steps.is_empty()).collect();
    assert!(sequences.len() > 10);
    let answers = each(&sequences, |case| {
        let mut client = Client::to(here);
        for part in case.steps.iter().flat_map(|step| &step.parts) {
            thread::sleep(Duration::from_millis(part.delay_ms));
            client.send(sent(&part.raw, &here.to_string()));
        }
        let first = client.read("GET").map(|answer| answer.status);
        (first, client.read("GET").map(|answer| answer.status))
    });
    for (case, (first, second)) in sequences.iter().zip(&answers) {
        assert!(matches!(first, Ok(400..=499 | 501)), "{}: {first:?}", case.id);
        assert!(second.is_err(), "{}: a second answer, {second:?}", case.id);
    }
    assert_eq!(origin.count(), 0, "{:?}", origin.requests());
}

#[test]
fn odd_sequences_reach_the_origin_as_they_were_meant() {
    let Some(cases) = http11_cases() else { return };
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let here = gateway.here();
    let fixed = |case: &&Case| !case.scored && !case.steps.is_empty() && !case.steps.iter().any(|step| step.dynamic);
    let sequences: Vec<&Case> = cases.iter().filter(fixed).collect();
    each(&sequences, |case| {
        let mut client = Client::to(here);
        for step in &case.steps {
            for part in &step.parts {
                client.send(sent(&part.raw, &here.to_string()));
            }
            client.patience(QUIET);
            while client.read("GET").is_ok() {}
        }
    });
    assert!(origin.count() > 0);
    assert_received_well(&origin);
}

/// What an origin saw was HTTP; only connections on which a client gave up may end early.
fn assert_received_well(origin: &Origin) {
    let bad = |trouble: &Trouble| matches!(trouble, Trouble::Malformed(_));
    let troubles: Vec<Trouble> = origin.troubles().into_iter().filter(bad).collect();
    assert!(troubles.is_empty(), "the origin received {troubles:?}");
}

/// Runs `judge` over all cases, several at a time, and gives its results in their order.
fn each<T: Send>(cases: &[&Case], judge: impl Fn(&Case) -> T + Sync) -> Vec<T> {
    let left = Mutex::new(cases.iter().enumerate().collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((number, case)) = pop(&left) {
                    let result = judge(case);
                    done.lock().expect("no worker panics with it").push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no worker panicked with it");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

fn pop<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().expect("no worker panics with it").pop_front()
}

/// The verdict of the case's tables, and what was seen.
fn verdict(case: &Case, here: SocketAddr) -> (String, String) {
    let raw = case.raw.as_deref().unwrap_or("");
    let mut client = Client::to(here);
    client.send(case.request(&here.to_string()));
    client.patience(ANSWER_WAIT);
    let method = if raw.starts_with("HEAD ") { "HEAD" } else { "GET" };
    let answer = match client.read(method) {
        Ok(answer) => answer,
        Err(Trouble::TimedOut(_)) => return (case.no_response["TimedOut"].clone(), "no answer".to_owned()),
        Err(trouble) => return (case.no_response["Closed"].clone(), trouble.to_string()),
    };
    let wait = if answer.closes() { PATIENCE } else { QUIET };
    let state = if client.ends_within(wait) { "Closed" } else { "Open" };
    let seen = format!("{} {state}", answer.status);
    (case.verdict(answer.status, state).to_owned(), seen)
}
