// SPDX-License-Identifier: Apache-2.0
//! Preflights, origins and what browsers are told.

use super::*;
use crate::base::Tick;
use crate::policy::facts::Facts;
use crate::policy::fixture::{Fixture, NamedValues, ResponseFixture, added};
use crate::policy::limit::ShardId;

fn plan(origins: &[&str]) -> Plan {
    Plan {
        origins: Origins::Listed(origins.iter().map(|origin| OriginRule::parse(origin).unwrap()).collect()),
        methods: (*b"GET, PUT").into(),
        headers: Box::default(),
        expose: (*b"X-Total").into(),
        credentials: Credentials::Allowed,
        max_age: Some(Duration::from_secs(600)),
        private_network: PrivateNetwork::Allowed,
        preflights: Preflights::Answered(204),
    }
}

fn rules(plan: &Plan) -> Rules {
    ShardState::new(plan, Shards { own: ShardId(0), count: 1 }, 1)
}

fn decide<'p>(plan: &'p Plan, facts: &Facts<'_, NamedValues>, effects: &mut Effects) -> Decision<'p> {
    let call = Call { facts, effects, memo: &mut Memo::default(), now: Tick::ZERO };
    plan.decide(&mut rules(plan), call)
}

fn preflight(origin: &str) -> Fixture {
    Fixture::new("OPTIONS", "/")
        .field("Origin", origin)
        .field("Access-Control-Request-Method", "PUT")
        .field("Access-Control-Request-Headers", "x-a, x-b")
        .field("Access-Control-Request-Private-Network", "true")
}

const ASKED: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network";

#[test]
fn a_preflight_is_answered() {
    let plan = plan(&["https://app.example.com"]);
    let mut effects = Effects::default();
    let decision = decide(&plan, &preflight("https://app.example.com").facts(), &mut effects);
    assert!(matches!(decision, Decision::Respond(LocalResponse { status: 204, body: LocalBody::Empty, .. })));
    let expected = [
        ("Vary", ASKED),
        ("Access-Control-Allow-Origin", "https://app.example.com"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "X-Total"),
        ("Access-Control-Allow-Methods", "GET, PUT"),
        ("Access-Control-Allow-Headers", "x-a, x-b"),
        ("Access-Control-Max-Age", "600"),
        ("Access-Control-Allow-Private-Network", "true"),
    ];
    assert_eq!(added(&effects.to_client), expected);
    effects.clear();
    let decision = decide(&plan, &preflight("https://evil.com").facts(), &mut effects);
    assert!(matches!(decision, Decision::Respond(LocalResponse { reason: "cors_origin_denied", .. })));
    assert_eq!(added(&effects.to_client), [("Vary", ASKED)], "no permission, and no cache mixes the two up");
}

#[test]
fn only_a_preflight_asks_for_a_method() {
    let asked = |fixture: &Fixture| asked_method(fixture.request()).map(|span| span.of(&fixture.bytes).to_vec());
    assert_eq!(asked(&preflight("https://a.com")), Some(b"PUT".to_vec()));
    let (origin, method) = (("Origin", "https://a.com"), ("Access-Control-Request-Method", "PUT"));
    let with = |verb: &str, fields: &[(&str, &str)]| {
        fields.iter().fold(Fixture::new(verb, "/"), |request, (name, value)| request.field(name, value))
    };
    for other in [with("GET", &[origin, method]), with("OPTIONS", &[origin]), with("OPTIONS", &[method])] {
        assert_eq!(asked(&other), None);
    }
}

#[test]
fn an_actual_request_passes_and_the_upstream_has_no_say() {
    let plan = plan(&["https://app.example.com"]);
    let mut effects = Effects::default();
    let fixture = Fixture::get("/").field("Origin", "https://app.example.com");
    assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
    let reply = ResponseFixture::new(200).field("access-control-allow-origin", "*").field("X-Total", "3");
    plan.adapt(&mut Memo::Ours, reply.response(), &NamedValues, &mut effects);
    assert_eq!(reply.left(&effects.to_client), [("X-Total".to_owned(), "3".to_owned())]);
    let expected = [
        ("Vary", "Origin"),
        ("Access-Control-Allow-Origin", "https://app.example.com"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "X-Total"),
    ];
    assert_eq!(added(&effects.to_client), expected);

    for fixture in [
        Fixture::get("/"),
        Fixture::get("/").field("Origin", "https://evil.com"),
        Fixture::get("/").field("Origin", "https://app.example.com").field("Origin", "https://evil.com"),
        Fixture::new("OPTIONS", "/"),
    ] {
        effects.clear();
        assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
        assert_eq!(added(&effects.to_client), [("Vary", "Origin")]);
    }
}

#[test]
fn any_origin_never_gets_credentials() {
    let plan = Plan { origins: Origins::Any, ..plan(&[]) };
    let mut effects = Effects::default();
    decide(&plan, &Fixture::get("/").field("Origin", "https://evil.com").facts(), &mut effects);
    assert_eq!(
        added(&effects.to_client),
        [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "X-Total")]
    );
}

#[test]
fn rules_fit_whole_origins_only() {
    let plan = plan(&["https://a.com", "https://*.example.com", "http://*.dev.local:3000", "null"]);
    let allows = |origin: &str| plan.allows(&rules(&plan), origin.as_bytes());
    assert!(allows("https://a.com") && allows("HTTPS://A.com") && allows("null"));
    assert!(allows("https://x.example.com") && allows("https://x.y.example.com") && allows("http://x.dev.local:3000"));
    for origin in [
        "http://a.com",
        "https://a.com.evil.com",
        "https://a.com:8443",
        "https://example.com",
        "https://.example.com.evil.com",
        "https://evil.com/.example.com",
        "https://evil.com#.example.com",
        "https://evil.com:1.example.com",
        "https://user@x.example.com",
        "http://x.example.com",
        "http://x.dev.local",
        "",
    ] {
        assert!(!allows(origin), "{origin}");
    }
    assert!(
        ["*", "https://*", "https://a.*.com", "*.example.com", "https://*.*.com", "https://x*.com"]
            .iter()
            .all(|text| OriginRule::parse(text).is_none())
    );
    let regex = OriginRule::regex(r"https://pr-\d+\.preview\.dev|https://b\.com").unwrap();
    assert!(regex.fits(b"https://pr-12.preview.dev") && regex.fits(b"https://b.com"));
    assert!(!regex.fits(b"https://pr-12.preview.dev.evil.com") && !regex.fits(b"xhttps://b.com"));
    assert!(OriginRule::regex("a)|(b").is_err());
}

#[test]
fn preflights_are_answered_with_the_status_of_choice_or_by_the_upstream() {
    for status in [200, 204] {
        let plan = Plan { preflights: Preflights::Answered(status), ..plan(&["https://a.com"]) };
        for origin in ["https://a.com", "https://evil.com"] {
            let decision = decide(&plan, &preflight(origin).facts(), &mut Effects::default());
            assert!(matches!(decision, Decision::Respond(response) if response.status == status), "{origin}");
        }
    }
    let plan = Plan { preflights: Preflights::Forwarded, ..plan(&["https://a.com"]) };
    let mut effects = Effects::default();
    let mut memo = Memo::default();
    let preflight = preflight("https://a.com");
    let call = Call { facts: &preflight.facts(), effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
    assert_eq!(plan.decide(&mut rules(&plan), call), Decision::Pass);
    let reply = ResponseFixture::new(200).field("Access-Control-Allow-Origin", "https://a.com");
    plan.adapt(&mut memo, reply.response(), &NamedValues, &mut effects);
    assert_eq!(reply.left(&effects.to_client).len(), 1, "the upstream's answer is not touched");
    assert!(added(&effects.to_client).is_empty());
    // Of any other request the gateway decides.
    let mut effects = Effects::default();
    decide(&plan, &Fixture::get("/").field("Origin", "https://a.com").facts(), &mut effects);
    assert!(added(&effects.to_client).contains(&("Access-Control-Allow-Origin", "https://a.com")));
}

fn allows(plan: &Plan, origin: &str) -> bool {
    plan.allows(&rules(plan), origin.as_bytes())
}

#[test]
fn null_is_an_origin_only_where_it_is_named() {
    let all = Plan { origins: Origins::Listed(Box::new([OriginRule::regex(".*").unwrap()])), ..plan(&[]) };
    assert!(allows(&all, "https://a.com") && !allows(&all, "null"));
    assert!(allows(&plan(&["null"]), "null") && !allows(&plan(&["https://*.null"]), "null"));
}

#[test]
fn caches_are_told_what_a_preflight_asked() {
    for (private_network, asked) in [
        (PrivateNetwork::Allowed, ASKED),
        (PrivateNetwork::Denied, "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ] {
        let plan = Plan { private_network, ..plan(&["https://a.com"]) };
        let mut effects = Effects::default();
        decide(&plan, &preflight("https://a.com").facts(), &mut effects);
        let told = added(&effects.to_client);
        assert!(told.contains(&("Vary", asked)));
        let private = told.contains(&("Access-Control-Allow-Private-Network", "true"));
        assert_eq!(private, private_network == PrivateNetwork::Allowed);
    }
}
