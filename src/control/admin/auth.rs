// SPDX-License-Identifier: Apache-2.0
//! Who asks, and whether it may: tokens and roles.
//!
//! Whoever connects to the control socket is the process' own user, and so an admin. On the admin listener a token says
//! who asks. Without one, only requests from this machine may read what is not secret, and nothing may be changed.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER};
use subtle::ConstantTimeEq;

use crate::base::{Tick, Wall};
use crate::config::spec::server::AdminRole;
use crate::control::admin::access::{Access, Received};
use crate::control::admin::attempts::{ATTEMPTS_MAX, Attempts};
use crate::control::admin::principal::{PREFIX, Principal, role_of, unauthenticated};
use crate::control::admin::problem::{Problem, Reason};
use crate::control::store::token::Token;
use crate::policy::directory::KeyHash;
use crate::policy::key_format::{KeyForm, form_of, hash_of};

/// Fields that proxies add: a request with one of them came from elsewhere.
const FORWARDING: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// What the fields of a request say of who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// This one.
    Known(Principal),
    /// Whose token this is, which the configuration does not know. The store may.
    Token(KeyHash),
}

/// Who sent a request with these fields, as far as the configuration knows.
pub(crate) fn sender(
    access: &Access,
    received: Received,
    fields: &HeaderMap,
    attempts: &mut Attempts,
    (now, wall): (Tick, Wall),
) -> Result<Sender, Problem> {
    let Access::Listener(plan) = access else {
        let owner = Principal::new("control socket", AdminRole::Admin);
        return Ok(Sender::Known(Principal { local: true, ..owner }));
    };
    let mut sent = fields.get_all(AUTHORIZATION).iter();
    let Some(value) = sent.next() else {
        let local = received.is_local() && !FORWARDING.iter().any(|name| fields.contains_key(*name));
        return Ok(Sender::Known(Principal { name: "anonymous".into(), role: None, local }));
    };
    let peer = received.peer();
    if let Some(wait) = peer.and_then(|peer| attempts.wait(peer, now)) {
        let seconds = HeaderValue::from(wait.as_secs() + 1);
        let detail = "too many wrong tokens came from this address; the control socket still answers";
        return Err(Problem::new(Reason::TooManyAttempts, detail).field(RETRY_AFTER, seconds));
    }
    let token = sent.next().is_none().then(|| bearer(value.as_bytes())).flatten();
    let Some(token) = token else { return Err(failed(peer, attempts, now)) };
    let hash = hash_of(token);
    // Each is compared whole, so the time that this takes tells nothing but how many there are.
    let same = plan.tokens.iter().fold(None, |found, token| match bool::from(token.hash.ct_eq(&hash)) {
        true => Some(token),
        false => found,
    });
    match same {
        Some(token) if token.expires.is_none_or(|expires| wall.0 < expires.0) => {
            Ok(Sender::Known(Principal::new(&token.name, token.role)))
        }
        // What was never made by this gateway is not looked for in the store.
        None if form_of(PREFIX.as_bytes(), token) == KeyForm::Sound => Ok(Sender::Token(hash)),
        Some(_) | None => Err(failed(peer, attempts, now)),
    }
}

/// Who has a token of the store; refused where it has none, or one that has expired.
pub(crate) fn holder(
    found: Option<&Token>,
    hash: &KeyHash,
    received: Received,
    attempts: &mut Attempts,
    (now, wall): (Tick, Wall),
) -> Result<Principal, Problem> {
    let same = found.filter(|token| bool::from(token.hash.ct_eq(hash)));
    let valid = same.filter(|token| token.expires.is_none_or(|expires| wall.seconds() < expires));
    let known = valid.and_then(|token| Some(Principal::new(&token.name, role_of(&token.role)?)));
    known.ok_or_else(|| failed(received.peer(), attempts, now))
}

/// Refuses a wrong token and logs it. An address that goes on is not looked at any more, so it cannot fill the log.
fn failed(peer: Option<IpAddr>, attempts: &mut Attempts, now: Tick) -> Problem {
    match peer.map(|peer| (peer, attempts.failed(peer, now))) {
        None => tracing::warn!("admin: a wrong token came over the admin listener's socket"),
        Some((peer, count)) if count >= ATTEMPTS_MAX => {
            tracing::warn!(%peer, count, "admin: too many wrong tokens; the address is not listened to for a minute");
        }
        Some((peer, count)) => tracing::warn!(%peer, count, "admin: a wrong token"),
    }
    unauthenticated("the token is not known, has expired or was revoked".to_owned())
}

/// A web page may not change anything, even where it knows the token: browsers tell by these fields that it is one.
pub(crate) fn not_a_page(fields: &HeaderMap) -> Result<(), Problem> {
    let from_page =
        fields.contains_key(ORIGIN) || fields.get("sec-fetch-site").is_some_and(|site| site.as_bytes() != b"none");
    match from_page {
        true => Err(Problem::new(Reason::CrossOrigin, "not from a browser's page")),
        false => Ok(()),
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 section 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Address;
    use crate::config::plan::{AdminPlan, AdminTokenPlan};
    use crate::control::admin::router::Need;

    fn listener() -> Access {
        let bind = Address::Inet("0.0.0.0:9180".parse().unwrap());
        let roles = [("open sesame", AdminRole::Admin), ("viewer", AdminRole::Viewer), ("old", AdminRole::Admin)];
        let tokens = roles.map(|(text, role)| AdminTokenPlan {
            name: text.into(),
            role,
            hash: hash_of(text.as_bytes()),
            expires: (text == "old").then_some(Wall(5)),
        });
        Access::Listener(Arc::new(AdminPlan { bind, names: Vec::new(), tokens: tokens.into() }))
    }

    fn from(peer: [u8; 4], list: &[(&'static str, &str)], attempts: &mut Attempts) -> Result<Principal, Problem> {
        let now = (Tick::ZERO, Wall(5));
        let fields = list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let received = Received::At { local: [127, 0, 0, 1].into(), peer: peer.into() };
        match sender(&listener(), received, &fields, attempts, now)? {
            Sender::Known(principal) => Ok(principal),
            Sender::Token(hash) => holder(None, &hash, received, attempts, now),
        }
    }

    #[test]
    fn a_token_says_who_asks() {
        let ask = |list: &[(&'static str, &str)]| from([10, 0, 0, 1], list, &mut Attempts::default());
        for (sent, expected) in [
            (&[("authorization", "Bearer open sesame")][..], Ok(("open sesame", Some(AdminRole::Admin)))),
            (&[("authorization", "bearer viewer")], Ok(("viewer", Some(AdminRole::Viewer)))),
            (&[("authorization", "Bearer old")], Err(401)),
            (&[], Ok(("anonymous", None))),
            (&[("authorization", "Bearer open sesam")], Err(401)),
            (&[("authorization", "Bearer ")], Err(401)),
            (&[("authorization", "Basic viewer")], Err(401)),
            (&[("authorization", "B")], Err(401)),
            (&[("authorization", "Bearer viewer"), ("authorization", "Bearer viewer")], Err(401)),
        ] {
            let found = ask(sent);
            let found =
                found.as_ref().map(|one| (one.name.as_str(), one.role)).map_err(|problem| problem.reason.status());
            assert_eq!(found, expected, "{sent:?}");
        }
    }

    #[test]
    fn only_requests_of_this_machine_read_without_a_token() {
        let mut attempts = Attempts::default();
        let mut may = |peer, list: &[(&'static str, &str)], need| {
            from(peer, list, &mut attempts).expect("somebody").may(need).map_err(|problem| problem.reason.status())
        };
        assert_eq!(may([127, 0, 0, 1], &[], Need::Local), Ok(()));
        assert_eq!(may([127, 0, 0, 1], &[("x-forwarded-for", "10.0.0.9")], Need::Local), Err(401));
        assert_eq!(may([10, 0, 0, 1], &[], Need::Local), Err(401));
        assert_eq!(may([10, 0, 0, 1], &[], Need::Nothing), Ok(()));
        assert_eq!(may([127, 0, 0, 1], &[], Need::Role(AdminRole::Viewer)), Err(401));
        let viewer = [("authorization", "Bearer viewer")];
        assert_eq!(may([10, 0, 0, 1], &viewer, Need::Local), Ok(()));
        assert_eq!(may([10, 0, 0, 1], &viewer, Need::Role(AdminRole::Viewer)), Ok(()));
        assert_eq!(may([10, 0, 0, 1], &viewer, Need::Role(AdminRole::Operator)), Err(403));
    }

    #[test]
    fn after_ten_wrong_tokens_even_the_right_one_has_to_wait() {
        let mut attempts = Attempts::default();
        for _ in 0..ATTEMPTS_MAX {
            let wrong = from([10, 0, 0, 1], &[("authorization", "Bearer wrong")], &mut attempts);
            assert_eq!(wrong.expect_err("wrong").reason, Reason::Unauthenticated);
        }
        let right = [("authorization", "Bearer viewer")];
        let refused = from([10, 0, 0, 1], &right, &mut attempts).expect_err("waits");
        assert_eq!((refused.reason, refused.fields[0].1.as_bytes()), (Reason::TooManyAttempts, &b"61"[..]));
        assert!(from([10, 0, 0, 2], &right, &mut attempts).is_ok());
        assert!(from([10, 0, 0, 1], &[], &mut attempts).is_ok(), "without a token nothing is guessed");
    }

    #[test]
    fn pages_are_recognised() {
        let from = |name: &'static str, value: &str| {
            not_a_page(&[(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect())
        };
        assert!(from("origin", "null").is_err() && from("origin", "http://localhost").is_err());
        assert!(from("sec-fetch-site", "same-origin").is_err() && from("sec-fetch-site", "cross-site").is_err());
        assert!(from("sec-fetch-site", "none").is_ok() && from("accept", "*/*").is_ok());
    }
}
