// SPDX-License-Identifier: Apache-2.0
//! Where versions are found, what becomes of unknown ones, and what clients are told.

use super::*;
use crate::base::Tick;
use crate::policy::fixture::{self, Fixture, NamedValues, ResponseFixture, added};

fn version(name: &str, aliases: &[&str]) -> Version {
    Version {
        name: name.into(),
        aliases: aliases.iter().map(|alias| (*alias).into()).collect(),
        fields: Box::default(),
        links: Box::default(),
        gone: None,
        brownouts: Box::default(),
    }
}

fn plan(places: &[Place]) -> Plan {
    Plan {
        places: places.into(),
        versions: Box::new([version("v1", &["1"]), version("v2", &["2", "2024-10-01"])]),
        first: VersionId(7),
        default: None,
        unknown: 404,
        told: Some((*b"X-Api-Version").into()),
        vary: Box::default(),
    }
}

/// The version, or status and reason of a refusal.
fn found(plan: &Plan, request: &Fixture) -> Result<u32, (u16, &'static str)> {
    let (facts, mut effects) = (request.facts(), Effects::default());
    let call = Call { facts: &facts, effects: &mut effects, memo: &mut None, now: Tick::ZERO };
    match plan.decide(&mut (), call) {
        Decision::Pass => Ok(effects.version.unwrap().0),
        Decision::Respond(response) => Err((response.status, response.reason)),
        Decision::Ask(_) => panic!("it never asks"),
    }
}

fn header(name: &str) -> Place {
    Place::Header(name.as_bytes().into())
}

const UNKNOWN: Result<u32, (u16, &str)> = Err((404, "api_version_unknown"));
const MISSING: Result<u32, (u16, &str)> = Err((400, "api_version_missing"));
const AMBIGUOUS: Result<u32, (u16, &str)> = Err((400, "api_version_ambiguous"));

#[test]
fn a_segment_of_the_path_names_a_version_where_it_looks_like_one() {
    let first = plan(&[Place::Segment(0)]);
    for (path, expected) in [
        ("/v1/orders", Ok(7)),
        ("/V2", Ok(8)),
        ("/2024-10-01/x", Ok(8)),
        ("/v3/orders", UNKNOWN),
        ("/v1.1/orders", UNKNOWN),
        ("/2023-01-01", UNKNOWN),
        ("/orders/v1", MISSING),
        ("/17/v1", MISSING),
        ("/vault", MISSING),
        ("/", MISSING),
    ] {
        assert_eq!(found(&first, &Fixture::get(path)), expected, "{path}");
    }
    assert_eq!(found(&plan(&[Place::Segment(1)]), &Fixture::get("/api/v2/x")), Ok(8));
}

#[test]
fn a_header_names_one_version() {
    let plan = plan(&[header("api-version")]);
    let get = |value: &str| Fixture::get("/").field("Api-Version", value);
    assert_eq!(found(&plan, &get("2")), Ok(8));
    assert_eq!(found(&plan, &get("V1")), Ok(7));
    assert_eq!(found(&plan, &get("")), MISSING);
    for unknown in ["3", "1, 2", "v1 ", "0", "v1;v2", "\u{ff11}"] {
        assert_eq!(found(&plan, &get(unknown)), UNKNOWN, "{unknown:?}");
    }
    assert_eq!(found(&plan, &get("1").field("api-version", "1")), AMBIGUOUS, "two lines are not one");
    let with_default = Plan { default: Some(0), ..plan.clone() };
    assert_eq!(found(&with_default, &Fixture::get("/")), Ok(7));
    assert_eq!(found(&with_default, &get("3")), UNKNOWN, "what is unknown is not the default");
    assert_eq!(found(&Plan { unknown: 406, ..plan }, &get("3")), Err((406, "api_version_unknown")));
}

#[test]
fn a_query_names_one_version() {
    let plan = plan(&[Place::Query((*b"api-version").into())]);
    for (target, expected) in [
        ("/?api-version=2", Ok(8)),
        ("/?a=1&api-version=v1&b", Ok(7)),
        ("/?api-version", MISSING),
        ("/?api-version=", MISSING),
        ("/?api-versions=1", MISSING),
        ("/?api-version=%31", Ok(7)),
        ("/?api%2Dversion=1", Ok(7)),
        ("/?api-version=1&%61pi-version=2", AMBIGUOUS),
        ("/?api-version=1&api-version=2", AMBIGUOUS),
        ("/?api-version=1&api-version", AMBIGUOUS),
    ] {
        assert_eq!(found(&plan, &Fixture::get(target)), expected, "{target}");
    }
}

#[test]
fn a_media_type_names_versions_in_order_of_preference() {
    let parameter = plan(&[Place::Parameter((*b"v").into())]);
    let vendor = plan(&[Place::Vendor((*b"application/vnd.acme.").into())]);
    for (plan, accept, expected) in [
        (&parameter, "application/json; v=2", Ok(8)),
        (&parameter, "text/html, application/json;q=0.5;V=\"1\"", Ok(7)),
        (&parameter, "application/json; v=9, application/json; v=1", Ok(7)),
        (&parameter, "application/json; v=9", UNKNOWN),
        (&parameter, "application/json", MISSING),
        (&vendor, "application/vnd.acme.v2+json", Ok(8)),
        (&vendor, "Application/VND.ACME.V1", Ok(7)),
        (&vendor, "application/vnd.acme.v2+json; q=1, */*", Ok(8)),
        (&vendor, "application/vnd.acme.v3+json", UNKNOWN),
        (&vendor, "application/vnd.acme.+json", MISSING),
        (&vendor, "application/vnd.other.v1+json", MISSING),
    ] {
        assert_eq!(found(plan, &Fixture::get("/").field("Accept", accept)), expected, "{accept}");
    }
    let sent = Fixture::get("/").field("Content-Type", "application/vnd.acme.v1+json");
    assert_eq!(found(&vendor, &sent), Ok(7));
}

#[test]
fn places_must_agree() {
    let plan = plan(&[Place::Segment(0), header("api-version")]);
    let get = |path: &str, value: &str| Fixture::get(path).field("Api-Version", value);
    assert_eq!(found(&plan, &get("/v1", "1")), Ok(7));
    assert_eq!(found(&plan, &get("/orders", "2")), Ok(8));
    assert_eq!(found(&plan, &get("/v1", "2")), AMBIGUOUS);
    assert_eq!(found(&plan, &get("/v1", "3")), UNKNOWN);
}

#[test]
fn the_upstream_learns_the_version_from_us_alone() {
    let request = Fixture::get("/v2/x").field("x_api_version", "v1").field("X-API-Version", "v1");
    let (facts, mut effects) = (request.facts(), Effects::default());
    let plan = plan(&[Place::Segment(0)]);
    fixture::protect(&plan, facts.request, &mut effects);
    let call = Call { facts: &facts, effects: &mut effects, memo: &mut None, now: Tick::ZERO };
    assert_eq!(plan.decide(&mut (), call), Decision::Pass);
    assert!(request.left(&effects.to_upstream).is_empty());
    assert_eq!(added(&effects.to_upstream), [("X-Api-Version", "v2")]);
}

#[test]
fn clients_of_an_old_version_are_told() {
    let mut plan = Plan { vary: (*b"Api-Version").into(), ..plan(&[Place::Segment(0)]) };
    plan.versions[0].fields = Box::new([("Deprecation", "@1767225600".into())]);
    plan.versions[0].links = Box::new(["<https://example.com/v1>; rel=\"deprecation\"".into()]);
    let reply = ResponseFixture::new(200).field("deprecation", "@1").field("Link", "</next>; rel=\"next\"");
    let mut effects = Effects::default();
    plan.adapt(&mut Some(0), reply.response(), &NamedValues, &mut effects);
    let told = [
        ("Vary", "Api-Version"),
        ("Deprecation", "@1767225600"),
        ("Link", "<https://example.com/v1>; rel=\"deprecation\""),
    ];
    assert_eq!(added(&effects.to_client), told);
    assert_eq!(reply.left(&effects.to_client).len(), 1, "the upstream's links stay, its deprecation does not");
    let mut effects = Effects::default();
    plan.adapt(&mut Some(1), reply.response(), &NamedValues, &mut effects);
    assert_eq!(added(&effects.to_client), [("Vary", "Api-Version")]);
}

/// The moment so many seconds after the beginning of a day.
fn at(day: u64, second: u64) -> Wall {
    Wall((day * DAY + second) * 1_000_000)
}

#[test]
fn a_brownout_is_on_in_its_hours_only() {
    let whole = Brownout { from: at(10, 100), until: at(12, 0), daily: None, status: 503 };
    assert_eq!(whole.left(at(10, 99)), None);
    assert_eq!(whole.left(at(10, 100)), Some(2 * DAY - 100));
    assert_eq!((whole.left(at(11, 86_399)), whole.left(at(12, 0))), (Some(1), None));
    let noon = Brownout { daily: Some((43_200, 45_000)), ..whole };
    assert_eq!((noon.left(at(11, 43_199)), noon.left(at(11, 43_200))), (None, Some(1_800)));
    assert_eq!((noon.left(at(11, 44_999)), noon.left(at(11, 45_000))), (Some(1), None));
    let night = Brownout { daily: Some((82_800, 3_600)), ..whole };
    assert_eq!(night.left(at(11, 82_800)), Some(3_600), "it ends with the last day");
    assert_eq!((night.left(at(10, 82_800)), night.left(at(11, 0))), (Some(7_200), Some(3_600)));
    assert_eq!((night.left(at(11, 3_600)), night.left(at(11, 82_799))), (None, None));
}

#[test]
fn an_old_version_is_off_at_times_and_gone_at_last() {
    let mut plan = plan(&[Place::Segment(0)]);
    plan.told = None;
    plan.versions[0].gone = Some(at(30, 0));
    plan.versions[0].brownouts = Box::new([Brownout { from: at(10, 0), until: at(11, 0), daily: None, status: 503 }]);
    let ask = |path: &str, wall: Wall| {
        let mut request = Fixture::get(path);
        request.wall = wall;
        found(&plan, &request)
    };
    assert_eq!(ask("/v1", at(9, 0)), Ok(7));
    assert_eq!(ask("/v1", at(10, 5)), Err((503, "api_version_brownout")));
    assert_eq!(ask("/v2", at(10, 5)), Ok(8), "others go on");
    assert_eq!(ask("/v1", at(30, 0)), Err((410, "api_version_gone")));
    assert_eq!(ask("/v1", at(29, 86_399)), Ok(7));
}
