// SPDX-License-Identifier: Apache-2.0
//! Hot. What a request may look like before anybody reads it: the type and the length of its body, the length of its
//! target, the number of its headers, and no second method beside the one in its first line.
//!
//! The gateway routes and admits by the method of the request line. A header that names another one would make an
//! upstream do what no rule has seen, so such headers are removed or refused, whatever they say.

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::Effects;
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::policy::readings;
use crate::wire::coding::MediaRanges;
use crate::wire::field::Known;
use crate::wire::head::{BodyLength, Request};
use crate::wire::status::reason;
use crate::wire::template::Lookup;

/// The rules.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Media types of bodies; `None` allows any, and none at all.
    pub types: Option<Types>,
    /// Whether a body must be announced with its length.
    pub length: Length,
    /// The largest body in bytes; `u64::MAX` is no cap.
    pub body_bytes_max: u64,
    /// The longest path and query in bytes.
    pub target_bytes_max: usize,
    /// The most headers.
    pub headers_max: usize,
    /// The longest header in bytes, name and value.
    pub header_bytes_max: usize,
    /// What becomes of headers that name another method.
    pub method_override: MethodOverride,
}

/// Media types of bodies.
#[derive(Clone, Debug)]
pub struct Types {
    /// These.
    pub allowed: MediaRanges,
    /// The same as a client reads them, in `Accept` (RFC 9110 section 15.5.16).
    pub told: Box<[u8]>,
}

/// Whether a body must be announced with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// By `Content-Length`.
    Required,
    /// It need not be.
    Optional,
}

/// What becomes of headers that name another method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodOverride {
    /// The upstream does not see them.
    Removed,
    /// The request is refused.
    Refused,
    /// The upstream sees them.
    Kept,
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    /// Behind preflights, and before anybody is asked who calls.
    fn phase(&self) -> Phase {
        Phase::Screen
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let request = facts.request;
        let fields = &request.head.fields;
        if request.path().len() + request.query().len() > self.target_bytes_max {
            return refuse(414, "content_rules_target", "The URL is longer than allowed.");
        }
        let long = |bytes: &usize| *bytes > self.header_bytes_max;
        let mut lengths =
            fields.list.iter().map(|field| field.name.of(request.bytes).len() + field.value.of(request.bytes).len());
        if fields.list.len() > self.headers_max || lengths.any(|bytes| long(&bytes)) {
            return refuse(431, "content_rules_headers", "The headers are longer or more than allowed.");
        }
        if self.overrides(request, effects) {
            return refuse(400, "content_rules_method", "The method of a request stands in its first line only.");
        }
        if request.head.body == BodyLength::None {
            return Decision::Pass;
        }
        if self.length == Length::Required && !matches!(request.head.body, BodyLength::Exact(_)) {
            return refuse(411, "content_rules_length", "The body must be announced with its length.");
        }
        match &self.types {
            Some(types) if !is_of(&types.allowed, request) => {
                effects.to_client.add(b"Accept", &types.told);
                refuse(415, "content_rules_type", "The body is of a type that is not accepted here.")
            }
            Some(_) | None => Decision::Pass,
        }
    }

    fn needs_route(&self) -> Option<&'static str> {
        (self.body_bytes_max < u64::MAX).then_some("`body`")
    }

    fn body_bytes_max(&self) -> u64 {
        self.body_bytes_max
    }
}

impl Plan {
    /// Does the request name another method, so that it is refused? Removes what names one.
    fn overrides(&self, request: Request<'_>, effects: &mut Effects) -> bool {
        if self.method_override == MethodOverride::Kept {
            return false;
        }
        readings::remove_override_fields(request, effects) && self.method_override == MethodOverride::Refused
    }
}

/// Is the body of one of these types? Of several types in one request, a reader may take any, so it is of none.
fn is_of(allowed: &MediaRanges, request: Request<'_>) -> bool {
    let mut types = request.head.fields.values(request.bytes, Known::ContentType);
    let first = types.next();
    types.next().is_none() && first.is_some_and(|content_type| allowed.hold(content_type))
}

fn refuse<'p>(status: u16, word: &'static str, detail: &'static str) -> Decision<'p> {
    let problem = Problem { kind: "", title: reason(status), detail, violated_policy: "" };
    Decision::Respond(LocalResponse { status, reason: word, body: LocalBody::Problem(problem) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{Fixture, added, decide};
    use crate::wire::coding::MediaRange;

    fn plan() -> Plan {
        let json = MediaRanges::new(vec![MediaRange::parse("application/json").unwrap()]);
        Plan {
            types: Some(Types { allowed: json, told: (*b"application/json").into() }),
            length: Length::Required,
            body_bytes_max: u64::MAX,
            target_bytes_max: 20,
            headers_max: 3,
            header_bytes_max: 60,
            method_override: MethodOverride::Removed,
        }
    }

    fn post(body: BodyLength) -> Fixture {
        let mut fixture = Fixture::new("POST", "/");
        fixture.head.body = body;
        fixture
    }

    /// Status and reason of a refusal.
    fn refused(plan: &Plan, request: &Fixture) -> Option<(u16, &'static str)> {
        match decide(plan, &request.facts(), &mut Effects::default()) {
            Decision::Pass => None,
            Decision::Respond(response) => Some((response.status, response.reason)),
            Decision::Ask(_) => panic!("it never asks"),
        }
    }

    #[test]
    fn a_body_is_of_one_allowed_type_and_has_a_length() {
        let typed = |content_type: &str| post(BodyLength::Exact(2)).field("Content-Type", content_type);
        for allowed in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(refused(&plan(), &typed(allowed)), None, "{allowed}");
        }
        let denied = Some((415, "content_rules_type"));
        for other in ["text/plain", "application/json, text/plain", "application/jsonp", "", "json"] {
            assert_eq!(refused(&plan(), &typed(other)), denied, "{other}");
        }
        assert_eq!(refused(&plan(), &post(BodyLength::Exact(2))), denied, "no type is no allowed one");
        let two = typed("application/json").field("content-type", "application/json");
        assert_eq!(refused(&plan(), &two), denied);
        assert_eq!(refused(&plan(), &post(BodyLength::Chunked)), Some((411, "content_rules_length")));
        assert_eq!(refused(&plan(), &Fixture::get("/")), None, "without a body nothing of it is asked");
        let mut effects = Effects::default();
        decide(&plan(), &typed("text/plain").facts(), &mut effects);
        assert_eq!(added(&effects.to_client), [("Accept", "application/json")]);
    }

    #[test]
    fn heads_have_bounds() {
        assert_eq!(refused(&plan(), &Fixture::get(&format!("/{}", "a".repeat(19)))), None);
        let long = Some((414, "content_rules_target"));
        assert_eq!(refused(&plan(), &Fixture::get(&format!("/{}", "a".repeat(20)))), long);
        assert_eq!(refused(&plan(), &Fixture::get(&format!("/a?{}", "a".repeat(19)))), long);
        let three = || Fixture::get("/").field("a", "1").field("b", "2").field("c", "3");
        assert_eq!(refused(&plan(), &three()), None);
        let headers = Some((431, "content_rules_headers"));
        assert_eq!(refused(&plan(), &three().field("d", "4")), headers);
        assert_eq!(refused(&plan(), &Fixture::get("/").field("a", &"b".repeat(59))), None);
        assert_eq!(refused(&plan(), &Fixture::get("/").field("a", &"b".repeat(60))), headers);
    }

    #[test]
    fn no_header_names_another_method() {
        for name in ["X-HTTP-Method-Override", "x_http_method_override", "X-Http-Method", "X-METHOD_Override"] {
            let request = Fixture::get("/").field(name, "DELETE").field("Accept", "*/*");
            let mut effects = Effects::default();
            assert_eq!(decide(&plan(), &request.facts(), &mut effects), Decision::Pass);
            assert_eq!(request.left(&effects.to_upstream), [("Accept".to_owned(), "*/*".to_owned())], "{name}");
            let strict = Plan { method_override: MethodOverride::Refused, ..plan() };
            assert_eq!(refused(&strict, &request), Some((400, "content_rules_method")), "{name}");
            let kept = Plan { method_override: MethodOverride::Kept, ..plan() };
            let mut effects = Effects::default();
            decide(&kept, &request.facts(), &mut effects);
            assert_eq!(request.left(&effects.to_upstream).len(), 2);
        }
        assert_eq!(refused(&plan(), &Fixture::get("/").field("X-Method", "DELETE")), None);
    }
}
