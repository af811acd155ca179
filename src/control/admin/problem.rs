// SPDX-License-Identifier: Apache-2.0
//! Refusals of the admin API as problem documents (RFC 9457), with one stable `type` for each reason.
//!
//! The table of `docs/admin-api.md` is made of `Reason::ALL`; a client may rely on a type, not on a title.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

/// What every `type` begins with.
pub(crate) const TYPE: &str = "urn:turnpike:problem:";
/// The media type of a problem document.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";
/// Most faults of a body that one document names; the others are found when these are mended.
const FAULTS_MAX: usize = 32;

/// Declares the reasons: variant, last part of the type, status, title, what it means.
macro_rules! reasons {
    ($($variant:ident $name:literal $status:literal $title:literal: $help:literal,)*) => {
        /// Why a request is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Reason {
            $(#[doc = $help] $variant,)*
        }

        impl Reason {
            /// All of them.
            pub(crate) const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The last part of its type.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// Its status.
            pub(crate) const fn status(self) -> u16 {
                match self { $(Reason::$variant => $status,)* }
            }

            /// Its title.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Reason::$variant => $title,)* }
            }

            /// What it means, for the reference.
            #[cfg(test)]
            pub(crate) const fn help(self) -> &'static str {
                match self { $(Reason::$variant => $help,)* }
            }
        }
    };
}

reasons! {
    BadHost "bad-host" 400 "Bad host": "`Host` is missing, stands twice or is no host.",
    BadQuery "bad-query" 400 "Bad query":
        "A query parameter is unknown, stands twice or has a wrong value; `parameter` names it.",
    BadHeader "bad-header" 400 "Bad header":
        "A request header that the API reads has a wrong value; `header` names it.",
    BadJson "bad-json" 400 "Bad JSON": "The body is not JSON, or a member stands twice in an object.",
    BodyNotExpected "body-not-expected" 400 "No body is expected": "The request has a body where none is taken.",
    Unauthenticated "unauthenticated" 401 "A token is needed":
        "No token was sent, or one that is wrong, expired or revoked.",
    RoleTooLow "role-too-low" 403 "The role does not allow it":
        "The token's role may not do this; `role` names the one that may.",
    CrossOrigin "cross-origin" 403 "Not from a web page":
        "The request came from a web page: it has `Origin` or `Sec-Fetch-Site`.",
    NotFound "not-found" 404 "Not found": "Nothing is at this path.",
    MethodNotAllowed "method-not-allowed" 405 "Method not allowed":
        "The path does not take this method; `Allow` lists those that it takes.",
    TooSlow "too-slow" 408 "The body came too slowly": "The body was not there within ten seconds.",
    AlreadyExists "already-exists" 409 "It exists already": "An object of this name exists.",
    InUse "in-use" 409 "It is in use": "Another object refers to it; `detail` names one.",
    Ended "ended" 409 "It has ended": "The credential is revoked, rotated or expired; `detail` says which.",
    FromFile "from-file" 409 "It is declared in the configuration file":
        "What the file declares is changed in the file.",
    NoSuchReference "no-such-reference" 409 "It refers to something that does not exist":
        "The body names an object that does not exist; `errors` says where.",
    StillRunning "still-running" 409 "The first request still runs":
        "A request with the same `Idempotency-Key` is being served.",
    NoStore "no-store" 409 "There is no store": "What is asked for needs `[store]` in the configuration.",
    Full "full" 409 "There is no room": "A table has as many entries as it may have.",
    Stale "stale" 412 "It was changed meanwhile": "`If-Match` or `If-None-Match` does not hold; read it again.",
    TooLarge "too-large" 413 "The body is too large": "The body has more than 256 KiB.",
    UnsupportedMediaType "unsupported-media-type" 415 "JSON is needed": "The body is not declared as JSON in UTF-8.",
    Misdirected "misdirected" 421 "Not a name of this listener":
        "`Host` is no name or address of the admin listener.",
    Invalid "invalid" 422 "The body is wrong":
        "The body is JSON and means nothing here; `errors` names each fault by JSON pointer.",
    KeyReused "idempotency-key-reused" 422 "The key was used for another request":
        "`Idempotency-Key` was sent before with another path or body.",
    Refused "refused" 422 "It was refused": "The gateway refused what was asked for; `detail` says why.",
    TooManyAttempts "too-many-attempts" 429 "Too many wrong tokens":
        "Too many wrong tokens came from this address; `Retry-After` says how long to wait.",
    StoreFailed "store-failed" 503 "The store failed":
        "The store failed. What was under way is done or not: repeat it with its `Idempotency-Key`.",
    NoAnswer "no-answer" 503 "The control plane does not answer": "The process is busy or about to end.",
}

/// One thing that is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BodyFault {
    /// Where, as a JSON pointer (RFC 6901); the empty one is the whole body.
    pub pointer: String,
    /// What.
    pub detail: String,
}

impl BodyFault {
    /// A fault at a pointer.
    pub(crate) fn at(pointer: impl Into<String>, detail: impl Into<String>) -> BodyFault {
        BodyFault { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A refusal.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// Why.
    pub reason: Reason,
    /// What exactly, for people.
    pub detail: String,
    /// Further members.
    pub members: Box<Map<String, Value>>,
    /// Further fields of the response.
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A refusal with these words.
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Problem {
        Problem { reason, detail: detail.into(), members: Box::default(), fields: Vec::new() }
    }

    /// A body that is wrong in these places.
    pub(crate) fn invalid(reason: Reason, faults: Vec<BodyFault>) -> Problem {
        let detail = match faults.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.pointer, one.detail),
            some => format!("{} faults", some.len()),
        };
        let listed = faults.into_iter().take(FAULTS_MAX);
        let listed = listed.map(|fault| json!({ "pointer": fault.pointer, "detail": fault.detail }));
        Problem::new(reason, detail).with("errors", Value::Array(listed.collect()))
    }

    /// A query parameter that is wrong.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Problem {
        Problem::new(Reason::BadQuery, detail).with("parameter", name.into())
    }

    /// A header that is wrong.
    pub(crate) fn header(name: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(Reason::BadHeader, detail).with("header", name.into())
    }

    /// The control plane is gone or does not answer in time.
    pub(crate) fn no_answer() -> Problem {
        Problem::new(Reason::NoAnswer, "the control plane does not answer")
    }

    /// With one more member.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Problem {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// With one more field of the response.
    pub(crate) fn field(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.fields.push((name, value));
        self
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The document.
    pub(crate) fn document(&self, request_id: &str) -> Value {
        let mut document = json!({
            "type": format!("{TYPE}{}", self.reason.name()),
            "title": self.reason.title(),
            "status": self.reason.status(),
            "detail": self.detail,
            "request_id": request_id,
        });
        if let Value::Object(members) = &mut document {
            members.extend(self.members.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_is_a_refusal_with_a_type_of_its_own() {
        let names: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!((400..600).contains(&reason.status()), "{reason:?}");
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{reason:?}");
            assert!(reason.help().ends_with('.') && !reason.title().ends_with('.'), "{reason:?}");
        }
    }

    #[test]
    fn faults_are_named_by_pointer_and_not_without_end() {
        let faults = (0..100).map(|number| BodyFault::at(format!("/groups/{number}"), "no")).collect();
        let document = Problem::invalid(Reason::Invalid, faults).document("abc");
        assert_eq!(document["errors"].as_array().map(Vec::len), Some(FAULTS_MAX));
        assert_eq!(document["errors"][1]["pointer"], "/groups/1");
        assert_eq!((&document["status"], &document["request_id"]), (&json!(422), &json!("abc")));
        let one = Problem::invalid(Reason::Invalid, vec![BodyFault::at("/name", "is missing")]);
        assert_eq!(one.detail, "/name: is missing");
    }

    /// The table of `docs/admin-api.md`. `TURNPIKE_BLESS=1` writes it.
    #[test]
    fn the_document_lists_every_reason() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/admin-api.md");
        let text = std::fs::read_to_string(path).expect("the document");
        let (before, rest) = text.split_once("<!-- reasons -->\n").expect("the table's begin");
        let (_, behind) = rest.split_once("<!-- end of reasons -->").expect("the table's end");
        let rows = Reason::ALL.iter().map(|reason| {
            let (name, status, help) = (reason.name(), reason.status(), reason.help());
            format!("| `{name}` | {status} | {help} |\n")
        });
        let table: String = rows.collect();
        let table = format!("| type | status | meaning |\n|---|---|---|\n{table}");
        let expected = format!("{before}<!-- reasons -->\n{table}<!-- end of reasons -->{behind}");
        if std::env::var_os("TURNPIKE_BLESS").is_some() {
            std::fs::write(path, &expected).expect("written");
        }
        assert!(text == expected || std::env::var_os("TURNPIKE_BLESS").is_some(), "TURNPIKE_BLESS=1 writes the table");
    }
}
