// SPDX-License-Identifier: Apache-2.0
//! What came of tests, as one JSON document.

use serde_json::{Value, json};

use crate::command::trial::ran::Ran;
use crate::trial::{Difference, Outcome};

/// The document: `ok`, `passed`, `failed`, `filtered_out` and `tests`.
pub(super) fn document(ran: &[Ran<'_>]) -> Value {
    let tests = ran.iter().flat_map(|ran| ran.tests.iter().map(move |test| (ran, test)));
    let tests: Vec<Value> = tests
        .map(|(ran, (test, outcome, took))| {
            let (word, differences, reason) = match outcome {
                Outcome::Passed => ("passed", Vec::new(), None),
                Outcome::Differs(found) => ("failed", found.iter().map(difference).collect(), None),
                Outcome::Broken(reason) => ("broken", Vec::new(), Some(reason)),
            };
            json!({
                "file": ran.path.display().to_string(),
                "line": test.place.0,
                "column": test.place.1,
                "name": test.name,
                "outcome": word,
                "seconds": took.as_secs_f64(),
                "differences": differences,
                "reason": reason,
            })
        })
        .collect();
    let failed: usize = ran.iter().map(Ran::failed).sum();
    json!({
        "ok": failed == 0,
        "passed": tests.len() - failed,
        "failed": failed,
        "filtered_out": ran.iter().map(|ran| ran.left_out).sum::<usize>(),
        "tests": tests,
    })
}

fn difference(found: &Difference) -> Value {
    json!({
        "request": found.place.request.0,
        "requests": found.place.request.1,
        "line": found.place.at.0,
        "column": found.place.at.1,
        "what": found.what,
        "expected": found.expected,
        "got": found.got,
    })
}
