// SPDX-License-Identifier: Apache-2.0
//! Why policies refuse: a row for each reason, with the `type` of its problem (RFC 9457) and what a client can do.
//!
//! A reason is the word that logs and metrics have (`LocalResponse::reason`). Its `type` is `urn:turnpike:problem:` and
//! the same word, or the word of `Shown::As` where the reason says more than a client should know. `docs/problems.md`
//! is generated from these rows, and a test finds a reason in the code that has none. Types and reasons never change
//! their meaning: clients and dashboards compare them.

use crate::policy::text::append_json_string;
use crate::wire::problem::TYPE;

/// One reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason {
    /// The word.
    pub word: &'static str,
    /// What clients see of it.
    shown: Shown,
    /// The status; a range where the configuration chooses it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference"))]
    pub status: &'static str,
    /// When it happens.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference"))]
    pub when: &'static str,
    /// What the client can do about it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference"))]
    pub remedy: &'static str,
}

/// What a client sees of a reason.
#[derive(Clone, Copy, Debug)]
enum Shown {
    /// The reason itself, as a `type` of ours.
    Itself,
    /// A `type` of ours with this word.
    As(&'static str),
    /// A registered `type`, which the policy gives as `Problem::kind`.
    Registered(&'static str),
    /// No problem: the response says it all.
    Nothing,
}

/// Appends the `type` for `reason` as a JSON string.
pub(super) fn append_type(reason: &'static str, out: &mut Vec<u8>) {
    let word = match find(reason).map_or(Shown::Itself, |row| row.shown) {
        Shown::Registered(uri) => return append_json_string(uri, out),
        Shown::As(word) => word,
        Shown::Itself | Shown::Nothing => reason,
    };
    out.push(b'"');
    out.extend_from_slice(TYPE.as_bytes());
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

/// The row of that word.
pub(crate) fn find(word: &str) -> Option<&'static Reason> {
    REASONS.binary_search_by(|row| row.word.cmp(word)).ok().map(|at| &REASONS[at])
}

const fn row(word: &'static str, status: &'static str, when: &'static str, remedy: &'static str) -> Reason {
    Reason { word, shown: Shown::Itself, status, when, remedy }
}

impl Reason {
    /// The `type` of its problem; `None` where it has none.
    #[cfg(test)]
    pub(crate) fn kind(&self) -> Option<String> {
        match self.shown {
            Shown::Itself => Some(format!("{TYPE}{}", self.word)),
            Shown::As(word) => Some(format!("{TYPE}{word}")),
            Shown::Registered(uri) => Some(uri.to_owned()),
            Shown::Nothing => None,
        }
    }

    const fn shown(self, shown: Shown) -> Reason {
        Reason { shown, ..self }
    }
}

/// The registered type for a limit that is used up.
pub(super) const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// The registered type for requests that cannot be served for a while.
pub(super) const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
/// Clients do not learn how an authentication server fails.
const UNCHECKED: Shown = Shown::As("authorization_unavailable");

/// All reasons, in the order of their words. A new one is a row here.
#[rustfmt::skip]
pub(crate) const REASONS: &[Reason] = &[
    row("api_key_ambiguous", "401", "The request has more than one key.", "Send one key, in one place."),
    row("api_key_missing", "401", "The request has no key.", "Send the key as the service documents it."),
    row("api_key_unknown", "401", "The key is not known, or has expired.", "Ask the service's owner for a valid key."),
    row("api_version_ambiguous", "400", "The request names more than one version of the API.",
        "Name one, in one place."),
    row("api_version_brownout", "410, 503", "The version is switched off for a time on purpose, because it will end.",
        "Move to the version that `Link` names with `successor-version`."),
    row("api_version_gone", "410", "The version has ended.", "Move to another version."),
    row("api_version_missing", "400", "The request does not say which version of the API it is for.",
        "Name a version."),
    row("api_version_unknown", "400, 404, 406", "There is no such version of the API.", "Name one that there is."),
    row("body_bounds_coding", "415", "The JSON or XML of the body is compressed, so nobody could look into it.",
        "Send it without `Content-Encoding`."),
    row("body_bounds_entity", "400", "The XML of the body declares a document type, or names an entity of one.",
        "Send it without `<!DOCTYPE`."),
    row("body_bounds_exceeded", "413", "The JSON or XML of the body is deeper, longer or more than allowed.",
        "Send less at once; `detail` says what is too much."),
    row("body_bounds_malformed", "400", "The body is no valid JSON or XML.", "Correct it."),
    row("body_bounds_type", "415", "The request names several types for its body.", "Send one `Content-Type`."),
    row("bots_denied", "400 to 599", "The client's `User-Agent` is not welcome, or there are several.",
        "Ask the service's owner."),
    row("bots_empty", "400 to 599", "The request has no `User-Agent`.",
        "Send one that says who you are.").shown(Shown::As("bots_denied")),
    row("concurrency_limited", "400 to 599", "As many requests as are allowed are being served.",
        "Try again after `Retry-After`, or when one of yours is over."),
    row("concurrency_no_key", "403", "What the request would be counted by is missing.",
        "Send what the service documents."),
    row("concurrency_no_room", "503", "The request cannot be counted: too many keys are in use.",
        "Try again after `Retry-After`."),
    row("concurrency_wait", "503", "The request cannot be counted in time.", "Try again after `Retry-After`."),
    row(
        "consumer_suspended",
        "403",
        "The caller is known and suspended, or its tenant or app is.",
        "Ask the service's owner.",
    ),
    row("content_rules_headers", "431", "The headers are longer or more than the route allows.",
        "Send fewer and shorter ones."),
    row("content_rules_length", "411", "The body comes without its length.", "Send `Content-Length`."),
    row("content_rules_method", "400", "A header names another method than the first line.", "Send the method itself."),
    row("content_rules_target", "414", "Path and query are longer than the route allows.",
        "Shorten the query, or send it as a body."),
    row("content_rules_type", "415", "The body's media type is not allowed, or there are none or several.",
        "Send one of the types in `Accept`."),
    row("cors_origin_denied", "200 to 299", "A preflight of a page whose origin is not allowed: the browser refuses.",
        "Add the origin to `origins`.").shown(Shown::Nothing),
    row("cors_preflight", "200 to 299", "A preflight that was answered here; no refusal.", "").shown(Shown::Nothing),
    row("external_auth_denied", "401, 403", "The authentication server refuses the request.",
        "Sign in, or ask for access."),
    row("external_auth_failed", "500, 503", "The authentication server gave no answer.",
        "Try again later.").shown(UNCHECKED),
    row("external_auth_redirect", "3xx", "The authentication server sends the client to sign in.",
        "Follow `Location`.").shown(Shown::Nothing),
    row("external_auth_status", "500, 503", "The authentication server answered with another status than it may.",
        "Try again later.").shown(UNCHECKED),
    row("external_auth_target", "500, 503", "The path for the authentication server is not valid for this request.",
        "Try again later.").shown(UNCHECKED),
    row("header_required", "400 to 599", "A header that the service requires is missing or has a wrong value.",
        "Send the header that `detail` names."),
    row("honeypot_banned", "400 to 599", "The client asked for a path that is a trap, and is refused for a time.",
        "Wait, or ask the service's owner.").shown(Shown::As("denied")),
    row("honeypot_trap", "400 to 599", "The path is a trap.", "Do not ask for it.").shown(Shown::As("denied")),
    row("internal", "500", "A bug of the gateway: it refuses rather than lets pass.",
        "Tell the operator, with the time and `X-Request-Id`.").shown(Shown::Nothing),
    row("network_denied", "403", "The client's network is not allowed.", "Come from a network that is."),
    row("no_descriptors", "503", "The methods of a gRPC service that is called in JSON are not known yet.",
        "Try again after `Retry-After`.").shown(Shown::Nothing),
    row(
        "plan_method",
        "403",
        "The caller's plan does not contain the method.",
        "Use a method of the plan, or take another plan.",
    ),
    row("plan_path", "403", "The caller's plan does not contain the path.", "Take a plan that contains it."),
    row("plan_route", "403", "No plan of the caller contains the route.", "Subscribe to a plan that contains it."),
    row("rate_limit_banned", "400 to 599", "The limit was exceeded too often, so everything is refused for a while.",
        "Try again after `Retry-After`.").shown(Shown::Registered(QUOTA_EXCEEDED)),
    row("rate_limit_no_key", "403", "What the request would be counted by is missing.",
        "Send what the service documents."),
    row("rate_limit_no_room", "503", "The request cannot be counted: too many keys are in use.",
        "Try again after `Retry-After`.").shown(Shown::Registered(REDUCED_CAPACITY)),
    row("rate_limit_wait", "503", "The request cannot be counted in time.",
        "Try again after `Retry-After`.").shown(Shown::Registered(REDUCED_CAPACITY)),
    row("rate_limited", "429", "The limit is used up.",
        "Try again after `Retry-After`; `RateLimit` tells how much is left.").shown(Shown::Registered(QUOTA_EXCEEDED)),
    row("websocket_origin_denied", "403", "A page of this origin may not open a WebSocket here.",
        "Add the origin to `websocket.origins` of the route."),
];

#[cfg(test)]
mod tests;
