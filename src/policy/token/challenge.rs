// SPDX-License-Identifier: Apache-2.0
//! Hot. Refusals of requests whose token does not do, as RFC 6750 section 3 and RFC 9728 section 5.1 say: the challenge
//! names an error only where a token was sent, and nothing of the token.

use std::time::Duration;

use crate::base::ascii::push_decimal;
use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::Effects;

/// What every challenge of a policy begins with, and what it demands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Challenge {
    /// Such as `Bearer realm="api", resource_metadata="https://…"`.
    pub start: Box<[u8]>,
    /// The scopes that a token needs, separated by spaces.
    pub scopes: Box<str>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has no token.
    Missing(&'static str),
    /// It has several tokens.
    Ambiguous(&'static str),
    /// Its token is not valid: the reason for logs, and what the client may know.
    Invalid(&'static str, &'static str),
    /// Its token does not allow this.
    Scope(&'static str),
    /// Its token is valid, and nobody here.
    Forbidden(&'static str, &'static str),
    /// Whether it is valid cannot be found out now.
    Unavailable(Duration),
}

impl Challenge {
    /// Refuses.
    pub(crate) fn refuse(&self, refusal: Refusal, effects: &mut Effects) -> Decision<'static> {
        let (status, title, reason, detail) = match refusal {
            Refusal::Missing(reason) => (401, "Unauthorized", reason, "A token is required."),
            Refusal::Ambiguous(reason) => (400, "Bad Request", reason, "More than one token was sent."),
            Refusal::Invalid(reason, detail) => (401, "Unauthorized", reason, detail),
            Refusal::Scope(reason) => (403, "Forbidden", reason, "The token does not allow this."),
            Refusal::Forbidden(reason, detail) => (403, "Forbidden", reason, detail),
            Refusal::Unavailable(_) => {
                (503, "Service Unavailable", "identity_unavailable", "The token cannot be checked at the moment.")
            }
        };
        match refusal {
            Refusal::Unavailable(pause) => {
                effects.to_client.add_with(b"Retry-After", |out| push_decimal(out, pause.as_secs().max(1)));
            }
            Refusal::Forbidden(..) => {}
            Refusal::Missing(_) | Refusal::Ambiguous(_) | Refusal::Invalid(..) | Refusal::Scope(_) => {
                effects.to_client.add_with(b"WWW-Authenticate", |out| self.append(refusal, detail, out));
            }
        }
        let problem = Problem { kind: "", title, detail, violated_policy: "" };
        Decision::Respond(LocalResponse { status, reason, body: LocalBody::Problem(problem) })
    }

    fn append(&self, refusal: Refusal, detail: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.start);
        let error: &[u8] = match refusal {
            Refusal::Ambiguous(_) => b"invalid_request",
            Refusal::Invalid(..) => b"invalid_token",
            Refusal::Scope(_) => b"insufficient_scope",
            Refusal::Missing(_) | Refusal::Forbidden(..) | Refusal::Unavailable(_) => return,
        };
        // Both texts are our own, without quotes and backslashes.
        let parts: [&[u8]; 5] = [b", error=\"", error, b"\", error_description=\"", detail.as_bytes(), b"\""];
        parts.iter().for_each(|part| out.extend_from_slice(part));
        if let Refusal::Scope(_) = refusal {
            let parts: [&[u8]; 3] = [b", scope=\"", self.scopes.as_bytes(), b"\""];
            parts.iter().for_each(|part| out.extend_from_slice(part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::added;

    #[test]
    fn an_error_is_only_named_where_a_token_was_sent() {
        let challenge = Challenge { start: (*b"Bearer realm=\"api\"").into(), scopes: "read write".into() };
        const CASES: &[(Refusal, u16, &str, &str)] = &[
            (Refusal::Missing("m"), 401, "WWW-Authenticate", "Bearer realm=\"api\""),
            (
                Refusal::Ambiguous("a"),
                400,
                "WWW-Authenticate",
                "Bearer realm=\"api\", error=\"invalid_request\", error_description=\"More than one token was sent.\"",
            ),
            (
                Refusal::Invalid("i", "It expired."),
                401,
                "WWW-Authenticate",
                "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"It expired.\"",
            ),
            (
                Refusal::Scope("s"),
                403,
                "WWW-Authenticate",
                "Bearer realm=\"api\", error=\"insufficient_scope\", \
                 error_description=\"The token does not allow this.\", scope=\"read write\"",
            ),
            (Refusal::Unavailable(Duration::from_millis(1)), 503, "Retry-After", "1"),
        ];
        for (refusal, status, name, value) in CASES {
            let mut effects = Effects::default();
            let Decision::Respond(response) = challenge.refuse(*refusal, &mut effects) else { panic!("refused") };
            assert_eq!(response.status, *status);
            assert_eq!(added(&effects.to_client), [(*name, *value)]);
        }
        let mut effects = Effects::default();
        challenge.refuse(Refusal::Forbidden("f", "Nobody."), &mut effects);
        assert!(added(&effects.to_client).is_empty());
    }
}
