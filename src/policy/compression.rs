// SPDX-License-Identifier: Apache-2.0
//! Hot. Compression of responses: reads what the client accepts, and offers the coding that it prefers. It touches no
//! byte of the content.
//!
//! The edge judges the offer (`wire/coding/offer`) and codes the content in a stage. It judges after every other change
//! to the head, so it sees the `Content-Type` and `Cache-Control` that rules and other stages set.

use crate::policy::decision::Decision;
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::coding::response::{Eligible, wants_no_transform};
use crate::wire::coding::{ContentCoding, Offer, Vary, Wanted, preferred};
use crate::wire::field::Known;
use crate::wire::head::{Request, Version};
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

impl Kind for Plan {
    type State = ();
    type Memo = Option<Wanted>;

    fn phase(&self) -> Phase {
        Phase::Adapt
    }

    fn protects(&self) -> bool {
        false
    }

    fn needs_route(&self) -> Option<&'static str> {
        Some("`compression`")
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, Option<Wanted>>) -> Decision<'_> {
        *call.memo = Some(self.wanted(call.facts.request));
        Decision::Pass
    }

    fn codes_content(&self) -> bool {
        true
    }

    fn coding(&self, wanted: &Option<Wanted>) -> Option<Offer<'_>> {
        let Plan { eligible, level, vary, .. } = self;
        wanted.map(|wanted| Offer { wanted, eligible, level: *level, vary: *vary })
    }
}

impl Plan {
    fn wanted(&self, request: Request<'_>) -> Wanted {
        let head = request.head;
        // The length of coded content is not known beforehand, so an HTTP/1.0 client could not tell its end from a cut.
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
    use crate::policy::facts::Effects;
    use crate::policy::fixture::{Fixture, ResponseFixture, added};
    use crate::wire::coding::{Encoding, MediaRange, MediaRanges};
    use crate::wire::head::{self, BodyLength};
    use crate::wire::patch::Patch;

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

    /// The coding that the response gets, and what is added to its head.
    fn judged(plan: &Plan, request: &Fixture, reply: &ResponseFixture) -> (Option<Encoding>, Vec<(String, String)>) {
        let mut effects = Effects::default();
        let mut memo = None;
        let call = Call { facts: &request.facts(), effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
        assert_eq!(plan.decide(&mut (), call), Decision::Pass);
        let response = reply.response();
        let response = head::Response { bytes: response.bytes, head: response.head };
        let mut patch = Patch::default();
        let encoding = plan.coding(&memo).expect("it decided").judge(response, &mut patch);
        (encoding, added(&patch).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A `Vary` line.
    fn varies() -> Vec<(String, String)> {
        vec![("Vary".to_owned(), "Accept-Encoding".to_owned())]
    }

    #[test]
    fn a_client_that_accepts_it_gets_it_and_caches_are_told() {
        assert_eq!(judged(&plan(), &accepting(), &html(100)), (GZIP, varies()));
    }

    #[test]
    fn caches_are_told_as_well_where_this_client_does_not_get_it() {
        let mut old = accepting();
        old.head.version = Version::H10;
        for request in [Fixture::get("/"), old, accepting().field("Cache-Control", "no-transform")] {
            assert_eq!(judged(&plan(), &request, &html(100)), (None, varies()));
        }
    }

    #[test]
    fn what_is_not_compressed_for_anybody_does_not_vary() {
        for reply in [html(99), ResponseFixture::new(200), html(100).field("Cache-Control", "no-transform")] {
            assert_eq!(judged(&plan(), &accepting(), &reply), (None, vec![]));
        }
    }

    #[test]
    fn nothing_is_offered_for_a_refusal_before_it_was_asked() {
        assert!(plan().coding(&None).is_none());
    }

    #[test]
    fn vary_can_be_left_out() {
        assert_eq!(judged(&Plan { vary: Vary::Omitted, ..plan() }, &accepting(), &html(100)), (GZIP, vec![]));
    }
}
