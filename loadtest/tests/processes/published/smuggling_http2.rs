// SPDX-License-Identifier: Apache-2.0
//! `smuggling-h2.jsonl` through the gateway to an HTTP/1.1 origin that records every byte.
//!
//! What must be rejected is rejected before the origin sees a byte; what arrives is well formed, and two parsers read
//! it alike.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::http2::Lines;
use crate::harness::recording::{recorders, taken};
use crate::harness::{Origin, wait_for};
use crate::published::cases::data;
use crate::published::readings;

/// Streams that are driven at the same time, each with an origin of its own.
const WORKERS: usize = 8;

/// Silence after which nothing of a case comes to the origin any more.
const QUIET: Duration = Duration::from_millis(30);

#[test]
fn nothing_is_smuggled_into_http1() {
    drive("whole");
}

/// The head is forwarded before its content comes; what turns out to be wrong is then never a whole request.
#[test]
fn nothing_is_smuggled_behind_a_head() {
    drive("pieces");
}

/// Is every connection of the origin over, or behind whole requests?
fn all_whole(origin: &Origin) -> bool {
    let streams = origin.seen.streams.lock().expect("no worker panics with it");
    streams.iter().all(|stream| {
        let bytes = stream.lock().expect("no worker panics with it");
        // What is not well formed will not become so, and is judged later.
        let whole = readings::ours(&bytes).map_or(true, |all| !all.is_empty() && all.iter().all(|one| !one.cut));
        // The other holder is the thread that serves the connection.
        Arc::strong_count(stream) == 1 || bytes.is_empty() || whole
    })
}

fn drive(how: &str) {
    let Some(text) = data("smuggling-h2.jsonl") else { return };
    let cases: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a case")).collect();
    assert!(cases.len() > 100);
    let (origins, gateway) = recorders(WORKERS, "http2 = { cleartext = true }");
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (worker, origin) in origins.iter().enumerate() {
            let (here, next, outcomes, cases) = (gateway.address(&format!("l{worker}")), &next, &outcomes, &cases);
            scope.spawn(move || {
                let mut client = Lines::start("h2_smuggle.py", &[&here.to_string(), how]);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = client.say(case);
                    wait_for("requests to come whole, or their end", || all_whole(origin).then_some(()));
                    thread::sleep(QUIET);
                    let received = taken(origin);
                    outcomes.lock().expect("no worker panics with it").push((case, answer, received));
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("no worker panicked with it");
    judge(&outcomes, if how == "whole" { Refused::Unseen } else { Refused::NeverWhole });
}

/// What an origin may see of a request that must be rejected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// Not a byte: all of it came at once.
    Unseen,
    /// Its beginning.
    NeverWhole,
}

fn judge(outcomes: &[(&Value, Value, Vec<Vec<u8>>)], refused: Refused) {
    let mut wrong = Vec::new();
    let (mut forwarded, mut rejected) = (0, 0);
    for (case, answer, received) in outcomes {
        let shown: Vec<_> = received.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        let shown = format!("{}: {answer} and at the origin {shown:?}", case["id"]);
        let readings: Vec<_> = received.iter().map(|bytes| (readings::ours(bytes), readings::theirs(bytes))).collect();
        let whole = |reading: &readings::Reading| !reading.cut;
        let arrived =
            readings.iter().filter_map(|(ours, _)| ours.as_ref().ok()).flatten().filter(|one| whole(one)).count();
        let seen = if refused == Refused::Unseen { received.len() } else { arrived };
        match case["expect"].as_str() {
            Some("reject") if answer["marked"] == true || seen > 0 => wrong.push(format!("accepted {shown}")),
            Some("reject") => rejected += 1,
            Some("accept") if answer["marked"] != true || arrived != 1 => wrong.push(format!("refused {shown}")),
            _ => {}
        }
        for reading in readings {
            match reading {
                (Ok(ours), Ok(theirs)) if ours.len() == 1 && (ours == theirs || ours[0].cut) => {}
                (ours, theirs) => wrong.push(format!("{shown}: read as {ours:?} and as {theirs:?}")),
            }
        }
        forwarded += arrived;
    }
    println!("{rejected} rejected, {forwarded} forwarded");
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), outcomes.len());
    assert!(rejected > 100 && forwarded >= 6, "{rejected} {forwarded}");
}
