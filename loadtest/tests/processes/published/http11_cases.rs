//! `http11-cases.json` over real sockets: single requests, with the answers and connection states that pass.
//!
//! Behind the gateway stands an origin that answers 200 with a length, and with the request's content. It is strict:
//! what reaches it in a malformed form is a failure of its own.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::harness::data::data;
use crate::harness::message::bytes_of;
use crate::harness::reader::Trouble;
use crate::harness::{Client, Gateway, Origin};

#[derive(Deserialize)]
struct Case {
    id: String,
    scored: bool,
    #[serde(default)]
    raw: Option<String>,
    #[serde(default)]
    status: BTreeMap<String, Vec<(u16, u16, String)>>,
    #[serde(default)]
    no_response: BTreeMap<String, String>,
    #[serde(default)]
    content_dependent: bool,
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    parts: Vec<Part>,
    dynamic: bool,
}

#[derive(Deserialize)]
struct Part {
    raw: String,
    delay_ms: u64,
}

/// Cases that end as a warning, and why that is right for a gateway.
const WARNINGS: &[(&str, &str)] = &[
    ("COMP-UPGRADE-INVALID-VER", "the WebSocket version is the origin's to refuse with 426"),
    ("COMP-UNKNOWN-METHOD", "extension methods are the origin's business"),
    ("COMP-405-ALLOW", "the origin allows DELETE"),
    ("COMP-NO-CL-IN-204", "the origin answers OPTIONS with 200"),
    ("COMP-OPTIONS-ALLOW", "Allow is the origin's to send"),
    ("COMP-CONTENT-TYPE", "Content-Type is the origin's to send"),
    (
        "SMUG-CL-TRAILING-SPACE",
        "space around a value is allowed (RFC 9112 section 5.1), and the length is written anew",
    ),
    ("SMUG-CL-EXTRA-LEADING-SP", "space around a value is allowed, and the length is written anew"),
    ("MAL-CL-TAB-BEFORE-VALUE", "space around a value is allowed, and the length is written anew"),
    ("COMP-GET-WITH-CL-BODY", "GET may have a body (RFC 9110 section 9.3.1); it is framed anew"),
    ("COMP-HTTP10-NO-HOST", "HTTP/1.0 may leave out Host"),
    ("COMP-HTTP12-VERSION", "a later minor version is read as 1.1 (RFC 9110 section 2.5)"),
    ("COMP-DATE-FORMAT", "the origin's Date goes through as it is"),
    ("COMP-ACCEPT-NONSENSE", "negotiation is the origin's business"),
    ("SMUG-EXPECT-100-CL", "100-continue is supported"),
    ("SMUG-HEAD-CL-BODY", "HEAD may have a body; it is framed anew"),
    ("SMUG-OPTIONS-CL-BODY", "OPTIONS may have a body; it is framed anew"),
    ("MAL-RANGE-OVERLAPPING", "ranges are the origin's business"),
    ("COOK-MULTI-HEADER", "two Cookie lines have one reading (RFC 6265 section 5.4 binds browsers)"),
];

/// Cases that judge a web framework's page about a cookie, which our origin does not have.
const OF_THE_ORIGIN: &[&str] = &["COOK-PARSED-BASIC", "COOK-PARSED-MULTI"];

/// Cases that run at the same time.
const WORKERS: usize = 16;
/// Silence after which a connection counts as open.
const QUIET: Duration = Duration::from_millis(250);
/// Wait for an answer where none may come.
const ANSWER_WAIT: Duration = Duration::from_millis(1_500);

fn cases() -> Option<Vec<Case>> {
    Some(serde_json::from_str(&data("http11-cases.json")?).expect("cases"))
}

#[test]
fn no_scored_case_fails() {
    let Some(cases) = cases() else { return };
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let here = gateway.here();
    let single: Vec<&Case> = cases.iter().filter(|case| case.raw.is_some()).collect();
    assert!(single.len() > 150);
    let verdicts = each(&single, |case| verdict(case, here));
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for (case, (verdict, seen)) in single.iter().zip(&verdicts) {
        if OF_THE_ORIGIN.contains(&&*case.id) {
            continue;
        }
        *counts.entry((case.scored, verdict)).or_default() += 1;
        let listed = WARNINGS.iter().any(|(id, _)| *id == case.id);
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
    WARNINGS.iter().for_each(|(id, reason)| println!("Warn {id}: {reason}"));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_received_well(&origin);
}

#[test]
fn nothing_behind_an_ambiguous_request_is_served() {
    let Some(cases) = cases() else { return };
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let here = gateway.here();
    let sequences: Vec<&Case> = cases.iter().filter(|case| case.scored && !case.steps.is_empty()).collect();
    assert!(sequences.len() > 10);
    let answers = each(&sequences, |case| {
        let mut client = Client::to(here);
        for part in case.steps.iter().flat_map(|step| &step.parts) {
            thread::sleep(Duration::from_millis(part.delay_ms));
            client.send(sent(&part.raw, here));
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
    let Some(cases) = cases() else { return };
    let origin = Origin::echo();
    let gateway = Gateway::before(origin.address);
    let here = gateway.here();
    let fixed = |case: &&Case| !case.scored && !case.steps.is_empty() && !case.steps.iter().any(|step| step.dynamic);
    let sequences: Vec<&Case> = cases.iter().filter(fixed).collect();
    each(&sequences, |case| {
        let mut client = Client::to(here);
        for step in &case.steps {
            for part in &step.parts {
                client.send(sent(&part.raw, here));
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

fn sent(raw: &str, here: SocketAddr) -> Vec<u8> {
    bytes_of(&raw.replace("@@HOST@@", &here.to_string()))
}

/// The verdict of the case's tables, and what was seen.
fn verdict(case: &Case, here: SocketAddr) -> (String, String) {
    let raw = case.raw.as_deref().unwrap_or("");
    let mut client = Client::to(here);
    client.send(sent(raw, here));
    client.patience(ANSWER_WAIT);
    let method = if raw.starts_with("HEAD ") { "HEAD" } else { "GET" };
    let answer = match client.read(method) {
        Ok(answer) => answer,
        Err(Trouble::TimedOut(_)) => return (case.no_response["TimedOut"].clone(), "no answer".to_owned()),
        Err(trouble) => return (case.no_response["Closed"].clone(), trouble.to_string()),
    };
    let wait = if answer.closes() { ANSWER_WAIT } else { QUIET };
    let state = if client.ends_within(wait) { "Closed" } else { "Open" };
    let seen = format!("{} {state}", answer.status);
    let ranges = &case.status[state];
    let matching = ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&answer.status));
    let verdict = match matching {
        Some((_, _, verdict)) => verdict,
        // What is left depends on what the origin answers, and that comes through as it is.
        None if (case.content_dependent || ranges.is_empty()) && answer.status == 200 => "Pass",
        None => "Fail",
    };
    (verdict.to_owned(), seen)
}
