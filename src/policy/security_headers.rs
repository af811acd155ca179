// SPDX-License-Identifier: Apache-2.0
//! Hot. Response headers by which browsers protect a page and its users: HSTS (RFC 6797), Content Security Policy,
//! framing, referrers, permissions, isolation from other origins.
//!
//! A header that the origin has set stays, unless the plan replaces it; there are never two. HSTS goes out only where
//! the client came over TLS, because a browser ignores it elsewhere (RFC 6797 section 7.2).

use crate::policy::decision::Decision;
use crate::policy::facts::{Effects, Response};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::change::{self, Change, Received};
use crate::wire::template::{Lookup, Variable};

/// Which headers, as changes whose values are plain texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For every response.
    pub always: Box<[Change]>,
    /// For responses to clients that came over TLS.
    pub over_tls: Box<[Change]>,
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    /// Behind all other changes, so that what they set counts as set.
    fn phase(&self) -> Phase {
        Phase::Adapt
    }

    fn protects(&self) -> bool {
        false
    }

    fn is_sole(&self) -> bool {
        true
    }

    fn decide<L: Lookup>(&self, (): &mut (), _: Call<'_, L, ()>) -> Decision<'_> {
        Decision::Pass
    }

    fn adapt<L: Lookup>(&self, (): &mut (), response: Response<'_>, words: &L, effects: &mut Effects) {
        let Effects { to_client, scratch, .. } = effects;
        let received = Received { fields: &response.head.fields, bytes: response.bytes };
        change::apply(&self.always, received, words, to_client, scratch);
        if self.over_tls.is_empty() {
            return;
        }
        scratch.clear();
        words.append(&Variable::Scheme, scratch);
        if scratch == b"https" {
            change::apply(&self.over_tls, received, words, to_client, scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{ResponseFixture, added};
    use crate::wire::template::Template;

    /// Answers with a scheme, and with nothing else.
    struct Scheme(&'static str);

    impl Lookup for Scheme {
        fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
            if *variable == Variable::Scheme {
                out.extend_from_slice(self.0.as_bytes());
            }
        }
    }

    type MakeChange = fn(Box<str>, Template) -> Change;

    fn plan(change: MakeChange) -> Plan {
        let changed = |name: &str, value: &str| change(name.into(), Template::compile(value, &[]).unwrap());
        Plan {
            always: Box::new([Change::Remove("x-powered-by".into()), changed("X-Frame-Options", "DENY")]),
            over_tls: Box::new([changed("Strict-Transport-Security", "max-age=1")]),
        }
    }

    /// What is left of the origin's headers, and what is added.
    fn adapted(plan: &Plan, scheme: &'static str, reply: &ResponseFixture) -> (Vec<String>, Vec<String>) {
        let mut effects = Effects::default();
        plan.adapt(&mut (), reply.response(), &Scheme(scheme), &mut effects);
        let left = reply.left(&effects.to_client).into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let added = added(&effects.to_client).into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        (left, added)
    }

    #[test]
    fn hsts_is_for_tls_only() {
        let plan = plan(Change::Default);
        let (_, plain) = adapted(&plan, "http", &ResponseFixture::new(200));
        assert_eq!(plain, ["X-Frame-Options: DENY"]);
        let (_, tls) = adapted(&plan, "https", &ResponseFixture::new(200));
        assert_eq!(tls, ["X-Frame-Options: DENY", "Strict-Transport-Security: max-age=1"]);
    }

    #[test]
    fn what_the_origin_set_is_never_doubled() {
        let reply = ResponseFixture::new(200).field("x-frame-options", "SAMEORIGIN").field("X-Powered-By", "x");
        let (left, added) = adapted(&plan(Change::Default), "http", &reply);
        assert_eq!((left, added), (vec!["x-frame-options: SAMEORIGIN".to_owned()], vec![]));
        let (left, added) = adapted(&plan(Change::Set), "http", &reply);
        assert_eq!((left, added), (vec![], vec!["X-Frame-Options: DENY".to_owned()]));
    }

    #[test]
    fn what_another_policy_set_counts_as_set() {
        let mut effects = Effects::default();
        effects.to_client.add(b"x-frame-options", b"SAMEORIGIN");
        plan(Change::Default).adapt(&mut (), ResponseFixture::new(200).response(), &Scheme("http"), &mut effects);
        assert_eq!(added(&effects.to_client), [("x-frame-options", "SAMEORIGIN")]);
    }
}
