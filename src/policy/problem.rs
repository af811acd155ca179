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
    row("authorize_consumer", "403", "The caller is none of the consumers that may.",
        "Ask the service's owner for the right.").shown(Shown::As("authorize_denied")),
    row("authorize_country", "403", "The client's country is not allowed.",
        "Ask the service's owner for the right.").shown(Shown::As("authorize_denied")),
    row("authorize_denied", "403", "The caller may not do this.", "Ask the service's owner for the right."),
    row("authorize_expression", "403", "An expression of the configuration does not allow it.",
        "Ask the service's owner for the right.").shown(Shown::As("authorize_denied")),
    row("authorize_group", "403", "The caller is not in a group that may.",
        "Ask the service's owner for the right.").shown(Shown::As("authorize_denied")),
    row("authorize_network", "403", "The client's network is not allowed.",
        "Ask the service's owner for the right.").shown(Shown::As("authorize_denied")),
    row("authorize_path", "403", "No rule allows the path.",
        "Ask the service's owner for the right.").shown(Shown::As("authorize_denied")),
    row("authorize_rule", "403", "A rule does not allow the method or the path for this caller.",
        "Ask the service's owner for the right.").shown(Shown::As("authorize_denied")),
    row("authorize_scope", "403", "The token does not allow it.",
        "Ask the service's owner for the right.").shown(Shown::As("authorize_denied")),
    row("authorize_tenant", "403", "The caller's tenant is none that may.",
        "Ask the service's owner for the right.").shown(Shown::As("authorize_denied")),
    row("bandwidth_no_key", "403", "What shares a rate with the request's bodies is missing.",
        "Send what the service documents."),
    row("basic_ambiguous", "401", "The request has more than one `Authorization` header.", "Send one."),
    row("basic_busy", "503", "Too many passwords are being checked.",
        "Try again after `Retry-After`.").shown(UNCHECKED),
    row("basic_malformed", "401", "The credentials are not written as RFC 7617 says.", "Correct them."),
    row("basic_missing", "401", "The request has no user name and password.", "Send them."),
    row("basic_wrong", "401", "The user is not known, or the password is wrong.", "Check both."),
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
    row("bots_impostor", "400 to 599", "The client calls itself a bot whose owner does not have its address.",
        "Say who you are.").shown(Shown::As("bots_denied")),
    row("bots_unverified", "503", "Whether the client is the bot that it says it is cannot be verified now.",
        "Try again after `Retry-After`."),
    row("certificate_missing", "401", "The client showed no certificate.", "Connect with a certificate."),
    row("certificate_unknown", "403", "No consumer has the client's certificate.",
        "Ask the service's owner to enter it."),
    row("concurrency_limited", "400 to 599", "As many requests as are allowed are being served.",
        "Try again after `Retry-After`, or when one of yours is over."),
    row("concurrency_no_key", "403", "What the request would be counted by is missing.",
        "Send what the service documents."),
    row("concurrency_no_room", "503", "The request cannot be counted: too many keys are in use.",
        "Try again after `Retry-After`."),
    row("concurrency_wait", "503", "The request cannot be counted in time.", "Try again after `Retry-After`."),
    row("consumer_conflict", "401", "The credentials of the request belong to different consumers.",
        "Send those of one."),
    row(
        "consumer_suspended",
        "403",
        "The caller is known and suspended, or its tenant or app is.",
        "Ask the service's owner.",
    ),
    row("consumer_unknown", "403", "The token is valid, and nobody here has its subject.",
        "Ask the service's owner to enter it."),
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
    row("credentials_missing", "401", "The request has no credentials of any kind that would do.",
        "Send some of a kind that `WWW-Authenticate` names."),
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
    row("hmac_algorithm", "401", "The signature's algorithm is not allowed.", "Use one that the service documents."),
    row("hmac_ambiguous", "401", "The request has more than one signature.", "Send one."),
    row("hmac_content", "401", "The body does not fit its digest.", "Send the digest of the body."),
    row("hmac_date", "401", "`Date` is missing, or too far from now.", "Check the clock."),
    row("hmac_malformed", "401", "The signature is not written as it must be.", "Correct it."),
    row("hmac_missing", "401", "The request is not signed.", "Sign it."),
    row("hmac_uncovered", "401", "The signature does not cover all that it must.", "Sign what the service documents."),
    row("hmac_wrong", "401", "The key is not known, or the signature does not fit.",
        "Check the key and what is signed."),
    row("honeypot_banned", "400 to 599", "The client asked for a path that is a trap, and is refused for a time.",
        "Wait, or ask the service's owner.").shown(Shown::As("denied")),
    row("honeypot_trap", "400 to 599", "The path is a trap.", "Do not ask for it.").shown(Shown::As("denied")),
    row("identity_unavailable", "503", "What is needed to judge the token cannot be had now.",
        "Try again after `Retry-After`.").shown(UNCHECKED),
    row("internal", "500", "A bug of the gateway: it refuses rather than lets pass.",
        "Tell the operator, with the time and `X-Request-Id`.").shown(Shown::Nothing),
    row("network_denied", "403", "The client's network is not allowed.", "Come from a network that is."),
    row("no_descriptors", "503", "The methods of a gRPC service that is called in JSON are not known yet.",
        "Try again after `Retry-After`.").shown(Shown::Nothing),
    row("oidc_claims", "403", "The account has not the claims that are required.",
        "Ask the service's owner for access."),
    row("oidc_cross_site", "403", "A page of another site wants to sign the person out.",
        "Sign out on a page of the site itself."),
    row("oidc_denied", "403", "The issuer did not let the person in.", "Sign in with another account."),
    row("oidc_issuer", "502", "The issuer reports an error.", "Try again later; the log of the gateway says more."),
    row("oidc_large", "502", "Claims and tokens of the account are more than cookies can hold.",
        "Have the issuer send fewer claims."),
    row("oidc_logout_token", "400", "The issuer's notice has no valid logout token.",
        "Send one that was made for this client."),
    row("oidc_loop", "400", "The browser signs in again and again, and comes back without its session.",
        "Allow cookies for the site."),
    row("oidc_method", "405", "A path of the sign-in takes another method.", "Use `GET`, or `POST` for notices."),
    row("oidc_missing", "401", "Nobody has signed in, and the request is not that of a page.",
        "Open a page of the site to sign in."),
    row("oidc_mixed", "400", "The response is of another issuer than the one that was asked.", "Sign in again."),
    row("oidc_noticed", "200", "The issuer's notice was heeded; no refusal.", ""),
    row("oidc_redirect", "303", "The browser is sent to sign in, back to its page, or away; no refusal.",
        "Follow `Location`.").shown(Shown::Nothing),
    row("oidc_replayed", "400", "The login was ended before with the same response.", "Sign in again."),
    row("oidc_response", "400", "What the browser brings is no response of an issuer.", "Sign in again."),
    row("oidc_signed_out", "200", "The person has signed out; no refusal.", ""),
    row("oidc_state", "400", "This browser began no such login, or too long ago.", "Sign in again."),
    row("oidc_token", "502", "The issuer's tokens are not valid.",
        "Try again later; the log of the gateway says more."),
    row("plan_concurrency", "429", "The caller's plan allows no more requests at once.",
        "Wait until others are over, or take another plan.").shown(Shown::Registered(QUOTA_EXCEEDED)),
    row("plan_limited", "429", "The caller's plan allows no more requests for now.",
        "Wait for `Retry-After`, or take another plan.").shown(Shown::Registered(QUOTA_EXCEEDED)),
    row(
        "plan_method",
        "403",
        "The caller's plan does not contain the method.",
        "Use a method of the plan, or take another plan.",
    ),
    row("plan_no_room", "503", "The request cannot be counted: too many subscribers are in use.",
        "Try again after `Retry-After`.").shown(Shown::Registered(REDUCED_CAPACITY)),
    row("plan_outage", "503", "The request cannot be counted: the database of the plan's quota is away.",
        "Try again after `Retry-After`.").shown(Shown::Registered(REDUCED_CAPACITY)),
    row("plan_path", "403", "The caller's plan does not contain the path.", "Take a plan that contains it."),
    row("plan_route", "403", "No plan of the caller contains the route.", "Subscribe to a plan that contains it."),
    row("plan_wait", "503", "The request cannot be counted in time: another thread is overloaded.",
        "Try again after `Retry-After`.").shown(Shown::Registered(REDUCED_CAPACITY)),
    row("rate_limit_banned", "400 to 599", "The limit was exceeded too often, so everything is refused for a while.",
        "Try again after `Retry-After`.").shown(Shown::Registered(QUOTA_EXCEEDED)),
    row("rate_limit_no_key", "403", "What the request would be counted by is missing.",
        "Send what the service documents."),
    row("rate_limit_no_room", "503", "The request cannot be counted: too many keys are in use.",
        "Try again after `Retry-After`.").shown(Shown::Registered(REDUCED_CAPACITY)),
    row("rate_limit_outage", "503", "The request cannot be counted: the database of the quota is away.",
        "Try again after `Retry-After`.").shown(Shown::Registered(REDUCED_CAPACITY)),
    row("rate_limit_wait", "503", "The request cannot be counted in time.",
        "Try again after `Retry-After`.").shown(Shown::Registered(REDUCED_CAPACITY)),
    row("rate_limited", "429", "The limit is used up.",
        "Try again after `Retry-After`; `RateLimit` tells how much is left.").shown(Shown::Registered(QUOTA_EXCEEDED)),
    row("routing_body_coded", "415", "The body has a content coding, and it decides about the route.",
        "Send it without `Content-Encoding`."),
    row("routing_body_malformed", "400", "The body decides about the route, and is not what its type says.",
        "Correct it."),
    row("signature_algorithm", "401", "The signature's algorithm does not fit the key.", "Use the key's algorithm."),
    row("signature_ambiguous", "401", "Several signatures could be meant.", "Send one."),
    row("signature_busy", "503", "The nonce of the signature cannot be checked in time.",
        "Try again after `Retry-After`.").shown(UNCHECKED),
    row("signature_content", "401", "The body does not fit its digest.", "Send the digest of the body."),
    row("signature_expired", "401", "The signature is too old, from the future, or has expired.",
        "Sign anew; check the clock."),
    row("signature_key_unknown", "401", "The signature's key is not known.", "Use a key that the service knows."),
    row("signature_malformed", "401", "The signature's fields are not written as RFC 9421 says.", "Correct them."),
    row("signature_missing", "401", "The request is not signed.", "Sign it."),
    row("signature_replayed", "401", "The signature was used before.", "Sign each request anew."),
    row("signature_uncovered", "401", "The signature does not cover all that it must.",
        "Sign what the service documents."),
    row("signature_unsupported", "401", "The signature covers what the gateway cannot compute.",
        "Sign other components."),
    row("signature_wrong", "401", "The signature does not fit.", "Check the key and what is signed."),
    row("token_algorithm", "401", "The token's algorithm is not allowed.", "Ask the issuer for another token."),
    row("token_ambiguous", "400", "The request has more than one token.", "Send one, in one place."),
    row("token_audience", "401", "The token is for another service.", "Ask the issuer for one for this service."),
    row("token_claims", "401", "A claim that is required is missing or wrong.", "Ask the issuer for a token with it."),
    row("token_expired", "401", "The token has expired.", "Ask the issuer for a new one."),
    row("token_inactive", "401", "The authorisation server does not know the token, or has ended it.",
        "Ask it for a new one."),
    row("token_issuer", "401", "The token is of an issuer that is not trusted here.",
        "Use a token of a trusted issuer."),
    row("token_issuer_busy", "503", "Too many secrets are being checked and tokens signed.",
        "Try again after `Retry-After`.").shown(Shown::Nothing),
    row("token_issuer_client", "401",
        "The client of a token request is not known or is suspended, or its secret is wrong.",
        "Send the identifier and the secret that the service's owner gave.").shown(Shown::Nothing),
    row("token_issuer_grant", "400", "The token request is of another grant than `client_credentials`.",
        "Send `grant_type=client_credentials`.").shown(Shown::Nothing),
    row("token_issuer_issued", "200", "A token was issued; no refusal.", "").shown(Shown::Nothing),
    row("token_issuer_keys", "200", "The keys that verify tokens were sent; no refusal.", "").shown(Shown::Nothing),
    row("token_issuer_metadata", "200", "The issuer's metadata were sent; no refusal.", "").shown(Shown::Nothing),
    row("token_issuer_method", "405", "A path of the issuer takes another method.", "See `Allow`.")
        .shown(Shown::Nothing),
    row("token_issuer_request", "400", "The token request is no form with what is needed, each once.",
        "Correct it; `error_description` says what is wrong.").shown(Shown::Nothing),
    row("token_issuer_scope", "400", "The client may not have a scope that it asks for.",
        "Ask for fewer scopes, or the service's owner for the right.").shown(Shown::Nothing),
    row("token_issuer_target", "400", "Tokens are not issued for the `resource` or `audience`.",
        "Name one that the service documents.").shown(Shown::Nothing),
    row("token_key_unknown", "401", "No key of the issuer fits the token.", "Ask the issuer for a new one."),
    row("token_malformed", "401", "The token cannot be read.", "Send the token as the issuer gave it."),
    row("token_missing", "401", "The request has no token.", "Send one."),
    row("token_not_yet_valid", "401", "The token is not valid yet.", "Wait, or check the clocks."),
    row("token_scope", "403", "The token does not allow this.", "Ask the issuer for the scope."),
    row("token_signature", "401", "The token's signature is wrong.", "Send the token as the issuer gave it."),
    row("webhook_expired", "403", "The time of the signature is too far from now.", "Sign anew; check the clock."),
    row("webhook_malformed", "403", "The signature is not written as it must be.", "Correct it."),
    row("webhook_missing", "403", "The request is not signed.", "Sign it."),
    row("webhook_wrong", "403", "The signature does not fit.", "Check the secret."),
    row("websocket_origin_denied", "403", "A page of this origin may not open a WebSocket here.",
        "Add the origin to `websocket.origins` of the route."),
];

#[cfg(test)]
mod tests;
