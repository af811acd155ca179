// SPDX-License-Identifier: Apache-2.0
//! What a browser or another client is told: pages for people, problems for everybody else, and redirects.

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::Effects;
use crate::policy::login::LoginFault;

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A person, in a browser.
    Person,
    /// A program.
    Program,
}

/// A response that is no redirect: status, title, reason, detail.
pub(super) type Said = (u16, &'static str, &'static str, &'static str);

/// Nobody has signed in.
pub(super) const MISSING: Said = (401, "Sign-in required", "oidc_missing", "Nobody has signed in.");
/// The browser comes back without its session again and again.
pub(super) const LOOP: Said = (
    400,
    "Sign-in does not work",
    "oidc_loop",
    "You signed in several times, and the browser did not keep it. Please allow cookies for this site.",
);
/// A page of another site wants to sign the person out.
pub(super) const CROSS_SITE: Said =
    (403, "Not signed out", "oidc_cross_site", "Another site asked for it. Please sign out on a page of this site.");
/// The person may not.
pub(super) const CLAIMS: Said = (403, "No access", "oidc_claims", "Your account may not use this site.");
/// No consumer belongs to the account.
pub(super) const CONSUMER: Said = (403, "No access", "consumer_unknown", "Your account is not known on this site.");
/// The control plane or the issuer cannot be asked.
pub(super) const UNAVAILABLE: Said =
    (503, "Sign-in is not available", "identity_unavailable", "Please try again in a moment.");
/// The person has signed out.
pub(super) const SIGNED_OUT: Said = (200, "Signed out", "oidc_signed_out", "You can close this page.");
/// The issuer's notice was heeded.
pub(super) const NOTICED: Said = (200, "Signed out", "oidc_noticed", "The sessions have ended.");
/// A logout token does not do.
pub(super) const NOTICE: Said =
    (400, "Bad Request", "oidc_logout_token", "A form with one valid logout token is required.");
/// Another method than the path takes.
pub(super) const METHOD: Said = (405, "Method Not Allowed", "oidc_method", "This path takes another method.");

/// What a client is told where a login does not end well.
pub(super) const fn said_of(fault: LoginFault) -> Said {
    match fault {
        LoginFault::Denied => (403, "Not signed in", "oidc_denied", "The sign-in service did not let you in."),
        LoginFault::Issuer => (502, "Not signed in", "oidc_issuer", "The sign-in service reports an error."),
        LoginFault::Malformed => {
            (400, "Not signed in", "oidc_response", "This is no valid response of the sign-in service.")
        }
        LoginFault::Unknown => (
            400,
            "Not signed in",
            "oidc_state",
            "This browser began no such sign-in, or too long ago. Please try again.",
        ),
        LoginFault::Replayed => {
            (400, "Not signed in", "oidc_replayed", "This sign-in was used before. Please try again.")
        }
        LoginFault::Mixed => (400, "Not signed in", "oidc_mixed", "The response is of another sign-in service."),
        LoginFault::Token => {
            (502, "Not signed in", "oidc_token", "The sign-in service sent tokens that are not valid.")
        }
        LoginFault::Large => (502, "Not signed in", "oidc_large", "The account has more data than cookies can hold."),
    }
}

/// Says it. No cache keeps it.
pub(super) fn say<'p>(said: Said, reader: Reader, challenge: &[u8], effects: &mut Effects) -> Decision<'p> {
    let (status, title, reason, detail) = said;
    effects.to_client.add(b"Cache-Control", b"no-store");
    match status {
        401 => drop(effects.to_client.add(b"WWW-Authenticate", challenge)),
        503 => drop(effects.to_client.add(b"Retry-After", b"1")),
        _ => {}
    }
    let problem = Problem { kind: "", title, detail, violated_policy: "" };
    let body = match reader {
        Reader::Program => LocalBody::Problem(problem),
        Reader::Person => {
            effects.to_client.add(b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'");
            effects.to_client.add(b"X-Content-Type-Options", b"nosniff");
            LocalBody::Page(problem)
        }
    };
    Decision::Respond(LocalResponse { status, reason, body })
}

/// Sends the browser somewhere else, with a GET. No cache keeps it, and the other side does not learn the URL.
pub(super) fn redirect<'p>(location: &str, effects: &mut Effects) -> Decision<'p> {
    effects.to_client.add(b"Cache-Control", b"no-store");
    effects.to_client.add(b"Referrer-Policy", b"no-referrer");
    if !effects.to_client.add(b"Location", location.as_bytes()) {
        // Longer than a head: the issuer's metadata is odd.
        return Decision::Respond(LocalResponse::INTERNAL);
    }
    Decision::Respond(LocalResponse { status: 303, reason: "oidc_redirect", body: LocalBody::Empty })
}
