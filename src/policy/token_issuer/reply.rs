// SPDX-License-Identifier: Apache-2.0
//! What clients are told: tokens (RFC 6749 section 5.1), errors (section 5.2), keys and metadata.

use crate::base::ascii::push_decimal;
use crate::policy::decision::{Decision, LocalBody, LocalResponse};
use crate::policy::facts::Effects;
use crate::policy::question::SignedToken;
use crate::policy::text::append_json_string;

/// An error: its status, `error`, the reason for logs, and `error_description`.
pub(super) type Said = (u16, &'static str, &'static str, &'static str);

pub(super) const POST: Said = (405, REQUEST, "token_issuer_method", "Tokens are asked for with POST.");
pub(super) const GET: Said = (405, REQUEST, "token_issuer_method", "This is read with GET.");
pub(super) const QUERY: Said = request("Parameters belong into the body, and not into the URL.");
pub(super) const MEDIA_TYPE: Said = request("The body must be application/x-www-form-urlencoded.");
pub(super) const FORM: Said = request("The form is malformed, or has a parameter twice.");
pub(super) const TWO_WAYS: Said = request("The client authenticates in more than one way.");
pub(super) const TWO_CLIENTS: Said = request("Authorization and client_id name different clients.");
pub(super) const NO_GRANT: Said = request("grant_type is missing.");
pub(super) const NO_CLIENT: Said = client("The client must authenticate, with an identifier and a secret.");
pub(super) const ASSERTION: Said = client("Clients authenticate with a secret here, and not with an assertion.");
pub(super) const CLIENT: Said = client("The client is not known, may not have tokens, or its secret is wrong.");
pub(super) const GRANT: Said =
    (400, "unsupported_grant_type", "token_issuer_grant", "The only grant_type here is client_credentials.");
pub(super) const SCOPE: Said = (400, "invalid_scope", "token_issuer_scope", "The client may not have such a scope.");
pub(super) const TARGET: Said = (400, "invalid_target", "token_issuer_target", "Tokens are not issued for this.");
pub(super) const BUSY: Said =
    (503, "temporarily_unavailable", "token_issuer_busy", "Too many tokens are asked for. Please try again.");

const REQUEST: &str = "invalid_request";

const fn request(detail: &'static str) -> Said {
    (400, REQUEST, "token_issuer_request", detail)
}

const fn client(detail: &'static str) -> Said {
    (401, "invalid_client", "token_issuer_client", detail)
}

/// Says it. No cache keeps it.
pub(super) fn say<'p>(said: Said, challenge: &[u8], effects: &mut Effects) -> Decision<'p> {
    let (status, error, reason, detail) = said;
    match said {
        (401, ..) => drop(effects.to_client.add(b"WWW-Authenticate", challenge)),
        (503, ..) => drop(effects.to_client.add(b"Retry-After", b"1")),
        POST => drop(effects.to_client.add(b"Allow", b"POST")),
        GET => drop(effects.to_client.add(b"Allow", b"GET, HEAD")),
        _ => {}
    }
    let body = &mut effects.subrequest.kept;
    body.clear();
    body.extend_from_slice(b"{\"error\":");
    append_json_string(error, body);
    body.extend_from_slice(b",\"error_description\":");
    append_json_string(detail, body);
    body.extend_from_slice(b"}\n");
    unkept(status, reason, effects)
}

/// Gives the client its token, with these scopes and so many seconds.
pub(super) fn token<'p>((token, scope, seconds): (&SignedToken, &str, u64), effects: &mut Effects) -> Decision<'p> {
    let body = &mut effects.subrequest.kept;
    body.clear();
    body.extend_from_slice(b"{\"access_token\":");
    append_json_string(&token.0, body);
    body.extend_from_slice(b",\"token_type\":\"Bearer\",\"expires_in\":");
    push_decimal(body, seconds);
    if !scope.is_empty() {
        body.extend_from_slice(b",\"scope\":");
        append_json_string(scope, body);
    }
    body.extend_from_slice(b"}\n");
    unkept(200, "token_issuer_issued", effects)
}

/// Gives the keys or the metadata, which caches may keep for a while.
pub(super) fn document<'p>((text, reason): (&[u8], &'static str), effects: &mut Effects) -> Decision<'p> {
    effects.to_client.add(b"Cache-Control", b"public, max-age=300");
    effects.subrequest.kept.clear();
    effects.subrequest.kept.extend_from_slice(text);
    json(200, reason, effects)
}

/// RFC 6749 section 5.1.
fn unkept<'p>(status: u16, reason: &'static str, effects: &mut Effects) -> Decision<'p> {
    effects.to_client.add(b"Cache-Control", b"no-store");
    effects.to_client.add(b"Pragma", b"no-cache");
    json(status, reason, effects)
}

fn json<'p>(status: u16, reason: &'static str, effects: &mut Effects) -> Decision<'p> {
    effects.to_client.add(b"Content-Type", b"application/json");
    Decision::Respond(LocalResponse { status, reason, body: LocalBody::Kept })
}
