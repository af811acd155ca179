// SPDX-License-Identifier: Apache-2.0
//! Hot. Compression of responses: decides which content coding a response gets, from what the client accepts, what
//! HTTP allows and what the plan names. It touches no byte of the content; the edge codes it as a stage.
//!
//! It looks at the head after every other change to it, so that a `Content-Type` or `Cache-Control` that a rule sets
//! counts. Where the coding of a response depends on the request, `Vary` says so, also to those who get it uncoded.

use crate::policy::decision::Decision;
use crate::policy::facts::{Effects, Response};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::coding::response::{Eligible, vary, wants_no_transform};
use crate::wire::coding::{ContentCoding, Encoding, preferred};
use crate::wire::field::Known;
use crate::wire::head::{self, Method, Request, Version};
use crate::wire::template::Lookup;

/// Which responses are compressed, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which responses.
    pub eligible: Eligible,
    /// Codings on offer, the best first.
    pub codings: Box<[ContentCoding]>,
    /// From 1 (fast) to 9 (small).
    pub level: u8,
    /// Whether `Vary` says that the response depends on what the client accepts.
    pub vary: Vary,
}

/// Whether `Vary` names `Accept-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vary {
    /// It does.
    Sent,
    /// It does not: for a cache behind us that must not know.
    Omitted,
}

/// What the response depends on in the request.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    method: Method,
    /// The coding that the client prefers, where it accepts one at all.
    coding: Option<ContentCoding>,
}

impl Kind for Plan {
    type State = ();
    type Memo = Option<Wanted>;

    fn phase(&self) -> Phase {
        Phase::Adapt
    }

    fn needs_route(&self) -> Option<&'static str> {
        Some("`compression`")
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, Option<Wanted>>) -> Decision<'_> {
        *call.memo = Some(self.wanted(call.facts.request));
        Decision::Pass
    }

    fn adapt<L: Lookup>(&self, memo: &mut Option<Wanted>, response: Response<'_>, _: &L, effects: &mut Effects) {
        let Effects { to_client, scratch, encoding, .. } = effects;
        *encoding = None;
        let Some(Wanted { method, coding }) = *memo else { return };
        let response = head::Response { bytes: response.bytes, head: response.head };
        if !self.eligible.includes(method, response, to_client) {
            return;
        }
        if self.vary == Vary::Sent {
            vary(response, to_client, scratch);
        }
        *encoding = coding.map(|coding| Encoding { coding, level: self.level });
    }

    fn codes_content(&self) -> bool {
        true
    }
}

impl Plan {
    fn wanted(&self, request: Request<'_>) -> Wanted {
        let head = request.head;
        // To HTTP/1.0 coded content, whose length is not known beforehand, could end only with the connection.
        let none = head.version == Version::H10 || wants_no_transform(request);
        let accepted = head.fields.values(request.bytes, Known::AcceptEncoding);
        let coding = if none { None } else { preferred(accepted, self.codings.iter().copied()) };
        Wanted { method: head.method, coding }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tick;
    use crate::policy::fixture::{Fixture, NamedValues, ResponseFixture, added};
    use crate::wire::coding::{MediaRange, MediaRanges};
    use crate::wire::head::BodyLength;

    const GZIP: Option<Encoding> = Some(Encoding { coding: ContentCoding::Gzip, level: 5 });

    fn plan() -> Plan {
        let types = MediaRanges::new(vec![MediaRange::parse("text/*").unwrap()]);
        let eligible = Eligible { types, bytes_min: 100 };
        Plan { eligible, codings: ContentCoding::ALL.into(), level: 5, vary: Vary::Sent }
    }

    fn html(length: u64) -> ResponseFixture {
        let mut reply = ResponseFixture::new(200).field("Content-Type", "text/html");
        reply.head.body = BodyLength::Exact(length);
        reply
    }

    fn accepting() -> Fixture {
        let mut request = Fixture::get("/").field("Accept-Encoding", "br, gzip;q=0.5");
        request.head.version = Version::H11;
        request
    }

    fn adapted(plan: &Plan, request: &Fixture, reply: &ResponseFixture) -> Effects {
        // What was chosen for a response before this one counts no more.
        let mut effects = Effects { encoding: GZIP, ..Effects::default() };
        let mut memo = None;
        let call = Call { facts: &request.facts(), effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
        assert_eq!(plan.decide(&mut (), call), Decision::Pass);
        plan.adapt(&mut memo, reply.response(), &NamedValues, &mut effects);
        effects
    }

    #[test]
    fn a_client_that_accepts_it_gets_it_and_caches_are_told() {
        let effects = adapted(&plan(), &accepting(), &html(100));
        assert_eq!(effects.encoding, GZIP);
        assert_eq!(added(&effects.to_client), [("Vary", "Accept-Encoding")]);
    }

    #[test]
    fn caches_are_told_as_well_where_this_client_does_not_get_it() {
        let mut old = accepting();
        old.head.version = Version::H10;
        for request in [Fixture::get("/"), old, accepting().field("Cache-Control", "no-transform")] {
            let effects = adapted(&plan(), &request, &html(100));
            assert_eq!(effects.encoding, None);
            assert_eq!(added(&effects.to_client), [("Vary", "Accept-Encoding")]);
        }
    }

    #[test]
    fn what_is_not_compressed_for_anybody_does_not_vary() {
        for reply in [html(99), ResponseFixture::new(200), html(100).field("Cache-Control", "no-transform")] {
            let effects = adapted(&plan(), &accepting(), &reply);
            assert_eq!(effects.encoding, None);
            assert_eq!(added(&effects.to_client), []);
        }
    }

    #[test]
    fn a_refusal_before_it_was_asked_is_left_alone() {
        let mut effects = Effects::default();
        plan().adapt(&mut None, html(100).response(), &NamedValues, &mut effects);
        assert_eq!((effects.encoding, added(&effects.to_client).len()), (None, 0));
    }

    #[test]
    fn vary_can_be_left_out() {
        let effects = adapted(&Plan { vary: Vary::Omitted, ..plan() }, &accepting(), &html(100));
        assert_eq!(effects.encoding, GZIP);
        assert_eq!(added(&effects.to_client), []);
    }
}
