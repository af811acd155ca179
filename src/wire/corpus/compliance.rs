//! `http11-cases.json`: single requests with the statuses and connection states that pass.
//!
//! The origin is thought of: it answers 200, without a body, to whatever is forwarded, and echoes bodies. So what a
//! case says about the origin's business ends as a warning or is left out, each with its reason.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Message, bytes, data, messages};

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
}

#[derive(Deserialize)]
struct Part {
    raw: String,
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
        "whitespace around a value is allowed (RFC 9112 section 5.1), and the length is written anew",
    ),
    ("SMUG-CL-EXTRA-LEADING-SP", "whitespace around a value is allowed, and the length is written anew"),
    ("MAL-CL-TAB-BEFORE-VALUE", "whitespace around a value is allowed, and the length is written anew"),
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

#[test]
fn single_requests() {
    let Some(text) = data("http11-cases.json") else { return };
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    let single = cases.iter().filter(|case| case.steps.is_empty() && !OF_THE_ORIGIN.contains(&&*case.id));
    for case in single {
        let verdict = verdict(case);
        *counts.entry((case.scored, verdict)).or_default() += 1;
        let listed = WARNINGS.iter().any(|(id, _)| *id == case.id);
        if verdict == "Fail" || verdict == "Error" || (verdict == "Warn") != listed {
            wrong.push(format!("{verdict}: {} scored {}", case.id, case.scored));
        }
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn poisoned_connections() {
    let Some(text) = data("http11-cases.json") else { return };
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    for case in cases.iter().filter(|case| case.scored && !case.steps.is_empty()) {
        let parts = case.steps.iter().flat_map(|step| &step.parts);
        let stream: Vec<u8> = parts.flat_map(|part| sent(&part.raw)).collect();
        // The first message of each is ambiguous; nothing of what follows it may be taken for a request.
        assert!(matches!(messages(&stream)[..], [Message::Refused(_)]), "{}", case.id);
    }
}

fn sent(raw: &str) -> Vec<u8> {
    bytes(&raw.replace("@@HOST@@", "localhost:8080"))
}

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
    let stream = sent(case.raw.as_deref().unwrap_or(""));
    let (status, state) = seen(&stream);
    let Some(status) = status else { return &case.no_response[state] };
    let ranges = &case.status[state];
    let matching = ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&status));
    match matching {
        Some((_, _, verdict)) => verdict,
        // What is left depends on what the origin answers, and that comes through as it is.
        None if (case.content_dependent || ranges.is_empty()) && status == 200 => "Pass",
        None => "Fail",
    }
}
