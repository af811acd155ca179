// SPDX-License-Identifier: Apache-2.0
//! The cases that others published, as `../shared/data` has them, and what a gateway rightly does otherwise than they
//! ask. The data are not part of the project; where they are absent the tests that read them say so, and `./test`
//! counts them as skipped.
//!
//! The process tests (`loadtest/tests/processes/published`) include this file, so it names nothing of the crate.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// A file of the data, beside the project or one folder further up (for a second worktree).
pub(crate) fn data(name: &str) -> Option<String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    // One folder further for a package that lies within the project.
    let places = package.ancestors().skip(1).take(3).map(|folder| folder.join("shared/data").join(name));
    let text = places.into_iter().find_map(|path| std::fs::read_to_string(path).ok());
    if text.is_none() {
        println!("SKIPPED: ../shared/data/{name} is not there");
    }
    text
}

/// The data write bytes as characters below 256.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).expect("the data hold bytes only")).collect()
}

/// A request of `http11-cases.json`, with the statuses and connection states that pass.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub id: String,
    /// Whether a failure counts.
    pub scored: bool,
    /// What is sent, where it is a single request.
    #[serde(default)]
    pub raw: Option<String>,
    /// Verdicts on the status of the answer, first match, by the connection's state behind it.
    #[serde(default)]
    pub status: BTreeMap<String, Vec<(u16, u16, String)>>,
    /// Verdicts where no answer came, by the connection's state.
    #[serde(default)]
    pub no_response: BTreeMap<String, String>,
    #[serde(default)]
    pub content_dependent: bool,
    /// What is sent, where it is more than one request.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// A part of a sequence of requests.
#[derive(Deserialize)]
#[allow(dead_code, reason = "parsers do not wait, so they read less of it than clients")]
pub(crate) struct Step {
    pub parts: Vec<Part>,
    /// Does what is sent depend on an answer?
    pub dynamic: bool,
}

/// What is sent at once.
#[derive(Deserialize)]
#[allow(dead_code, reason = "parsers do not wait, so they read less of it than clients")]
pub(crate) struct Part {
    pub raw: String,
    /// Before it is sent.
    pub delay_ms: u64,
}

impl Case {
    /// What is sent to this host, where it is a single request.
    pub(crate) fn request(&self, host: &str) -> Vec<u8> {
        sent(self.raw.as_deref().unwrap_or(""), host)
    }

    /// The verdict on an answer with this status that left the connection in this state. What the origin says comes
    /// through as it is, so a verdict that depends on it is `Pass`.
    pub(crate) fn verdict(&self, status: u16, state: &str) -> &str {
        let ranges = &self.status[state];
        match ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&status)) {
            Some((_, _, verdict)) => verdict,
            None if (self.content_dependent || ranges.is_empty()) && status == 200 => "Pass",
            None => "Fail",
        }
    }

    /// Does it end as a warning, and rightly?
    pub(crate) fn rightly_warned_of(&self) -> bool {
        WARNINGS.iter().any(|(id, _)| *id == self.id)
    }

    /// Is it a single request that a gateway can be judged by?
    pub(crate) fn is_single(&self) -> bool {
        self.steps.is_empty() && !OF_THE_ORIGIN.contains(&&*self.id)
    }
}

/// The bytes of a text of the cases, with this for the host.
pub(crate) fn sent(raw: &str, host: &str) -> Vec<u8> {
    bytes(&raw.replace("@@HOST@@", host))
}

/// All requests of `http11-cases.json`.
pub(crate) fn http11_cases() -> Option<Vec<Case>> {
    let cases: Vec<Case> = serde_json::from_str(&data("http11-cases.json")?).expect("cases");
    assert!(cases.len() > 180, "{} cases", cases.len());
    Some(cases)
}

/// Cases of `http11-cases.json` that end as a warning, and why that is right for a gateway.
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
    (
        "SMUG-ABSOLUTE-URI-HOST-MISMATCH",
        "absolute-form names the host, and the Host field is written anew (RFC 9112 section 3.2.2)",
    ),
    ("SMUG-EXPECT-100-CL", "100-continue is supported"),
    ("SMUG-HEAD-CL-BODY", "HEAD may have a body; it is framed anew"),
    ("SMUG-OPTIONS-CL-BODY", "OPTIONS may have a body; it is framed anew"),
    ("MAL-RANGE-OVERLAPPING", "ranges are the origin's business"),
    ("COOK-MULTI-HEADER", "two Cookie lines have one reading (RFC 6265 section 5.4 binds browsers)"),
];

/// Cases that judge a web framework's page about a cookie, which our origin does not have.
const OF_THE_ORIGIN: &[&str] = &["COOK-PARSED-BASIC", "COOK-PARSED-MULTI"];

/// A hostile stream of requests of `smuggling-h1.jsonl`.
#[derive(Deserialize)]
pub(crate) struct Stream {
    pub id: String,
    /// The collection that it is from.
    pub src: String,
    pub raw: String,
    /// `reject`, `accept`, or nothing where both are right.
    pub expect: Option<String>,
}

impl Stream {
    /// Do we refuse it, and rightly, though its collection calls it acceptable?
    pub(crate) fn rightly_refused(&self) -> bool {
        STRICTER.iter().any(|(id, _)| *id == self.id)
    }
}

/// All streams of `smuggling-h1.jsonl`.
pub(crate) fn smuggling_streams() -> Option<Vec<Stream>> {
    let text = data("smuggling-h1.jsonl")?;
    let streams: Vec<Stream> = text.lines().map(|line| serde_json::from_str(line).expect("a stream")).collect();
    assert!(streams.len() > 2_000, "{} streams", streams.len());
    Some(streams)
}

/// Streams that their collection calls acceptable and we refuse, each with the reason.
const STRICTER: &[(&str, &str)] = &[
    ("llhttp-uri-08-request+host", "a fragment in the target"),
    ("llhttp-content-length-01-request+host", "leading zeros in a length"),
    ("llhttp-content-length-02-request+host", "leading zeros in a length"),
    ("llhttp-transfer-encoding-20-request+host", "a transfer coding besides chunked (501)"),
    ("llhttp-transfer-encoding-21-request+host", "a transfer coding besides chunked, on two lines"),
    ("llhttp-pipelining-01-request+host", "no Host in the second request"),
    ("llhttp-sample-10-request", "HTTP/0.9"),
    ("llhttp-method-12-request", "ICE is not HTTP"),
    ("llhttp-method-13-request", "RTSP is not HTTP"),
    ("llhttp-method-14-request", "RTSP is not HTTP"),
    ("desync-more-compliant-tests-05", "a transfer coding besides chunked (501)"),
    ("desync-more-compliant-tests-07", "a transfer coding besides chunked (501)"),
    ("desync-more-compliant-tests-08", "a transfer coding besides chunked, on five lines"),
    ("desync-more-compliant-tests-09", "a parameter of chunked"),
    ("desync-rfc-compliant-08", "a transfer coding besides chunked, on five lines"),
    ("desync-rfc-compliant-09", "a transfer coding besides chunked (501)"),
    ("desync-rfc-compliant-10", "a transfer coding besides chunked, on three lines"),
    ("desync-rfc-compliant-11", "a fragment in the target"),
    ("desync-rfc-compliant-12", "raw UTF-8 in the target"),
    ("desync-rfc-compliant-13", "an empty target"),
    ("desync-uri-specific-test-cases-10", "%09 in a path"),
    ("desync-uri-specific-test-cases-12", "%0D in a path"),
    ("desync-uri-specific-test-cases-13", "%0A in a path"),
];
