// SPDX-License-Identifier: Apache-2.0
//! `http11-cases.json`: single requests with the statuses and connection states that pass.
//!
//! The origin is thought of: it answers 200, without a body, to whatever is forwarded, and echoes bodies. So what a
//! case says about the origin's business ends as a warning or is left out, each with its reason.

use std::collections::BTreeMap;

use super::cases::{Case, http11_cases, sent};
use super::{Message, messages};

#[test]
fn no_single_request_is_judged_wrongly() {
    let Some(cases) = http11_cases() else { return };
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.is_single()) {
        let verdict = verdict(case);
        *counts.entry((case.scored, verdict)).or_default() += 1;
        if verdict == "Fail" || verdict == "Error" || (verdict == "Warn") != case.rightly_warned_of() {
            wrong.push(format!("{verdict}: {} scored {}", case.id, case.scored));
        }
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_behind_an_ambiguous_request_is_read() {
    let Some(cases) = http11_cases() else { return };
    for case in cases.iter().filter(|case| case.scored && !case.steps.is_empty()) {
        let parts = case.steps.iter().flat_map(|step| &step.parts);
        let stream: Vec<u8> = parts.flat_map(|part| sent(&part.raw, HOST)).collect();
        // The first message of each is ambiguous; nothing of what follows it may be taken for a request.
        assert!(matches!(messages(&stream)[..], [Message::Refused(_)]), "{}", case.id);
    }
}

const HOST: &str = "localhost:8080";

/// What the client sees: the status of the first answer, and the connection's state after it.
fn seen(stream: &[u8]) -> (Option<u16>, &'static str) {
    if stream.is_empty() {
        return (None, "TimedOut");
    }
    let messages = messages(stream);
    match &messages[0] {
        Message::Refused(kind) => (Some(kind.status()), "Closed"),
        Message::PartialHead | Message::PartialBody | Message::Unread => (None, "TimedOut"),
        Message::Forwarded { .. } => {
            let closed =
                matches!(messages.last(), Some(Message::Refused(_) | Message::Forwarded { keep_alive: false, .. }));
            (Some(200), if closed { "Closed" } else { "Open" })
        }
    }
}

fn verdict(case: &Case) -> &str {
    match seen(&case.request(HOST)) {
        (Some(status), state) => case.verdict(status, state),
        (None, state) => &case.no_response[state],
    }
}
