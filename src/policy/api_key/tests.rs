// SPDX-License-Identifier: Apache-2.0
//! Keys in every place, and what is refused.

use super::*;
use crate::base::{ConsumerId, CredentialId, Wall};
use crate::policy::directory::{Directory, Expiry, Own, Parts, Revision, Snapshot, Standing};
use crate::policy::fixture::{Fixture, added, decide};
use crate::policy::key_format::{RANDOM_BYTES, make};

fn plan() -> Plan {
    Plan {
        sources: Box::new([
            KeyLocation::Header((*b"x-api-key").into()),
            KeyLocation::Bearer,
            KeyLocation::BasicUser,
            KeyLocation::Cookie((*b"key").into()),
            KeyLocation::Query((*b"apikey").into()),
        ]),
        consumers: None,
        credential: Credential::Removed,
        consumer_fields: ConsumerFields::Sent,
        anonymous: None,
        challenge: (*b"Bearer realm=\"api\"").into(),
        prefix: "tpk".into(),
    }
}

/// What the gateway itself makes.
fn own_key() -> String {
    make("tpk", [3; RANDOM_BYTES])
}

fn directory() -> Directory {
    let entry = |key: &[u8], consumer, expires| {
        KeyEntry::new(hash_of(key), (ConsumerId(consumer), None), CredentialId(0), Expiry::of(expires))
    };
    let keys = vec![
        entry(b"alpha", 0, None),
        entry(b"beta", 1, None),
        entry(b"old", 1, Some(Wall(1_700_000_000_000_000))),
        entry(own_key().as_bytes(), 1, None),
        entry(b"orphan", 2, None),
    ];
    let consumer = |number, name: &str, id: &str| {
        let own = Own { id: id.into(), attributes: Box::default() };
        Consumer::new(ConsumerId(number), name, Standing::Active, Arc::default(), own)
    };
    let consumers = vec![consumer(0, "anna", "17"), consumer(1, "bob", "")];
    Directory::new(Arc::new(Snapshot::new(Revision(1), Parts { consumers, keys, ..Parts::default() })))
}

fn get(target: &str) -> Fixture {
    let mut fixture = Fixture::get(target);
    fixture.directory = directory();
    fixture
}

fn who(plan: &Plan, fixture: &Fixture) -> Result<u32, &'static str> {
    let mut effects = Effects::default();
    match decide(plan, &fixture.facts(), &mut effects) {
        Decision::Pass => Ok(effects.identified.unwrap().consumer.unwrap().0),
        Decision::Respond(response) => {
            assert_eq!(response.status, 401);
            assert_eq!(added(&effects.to_client), [("WWW-Authenticate", "Bearer realm=\"api\"")]);
            Err(response.reason)
        }
        Decision::Ask(_) => panic!("it never asks"),
    }
}

#[test]
fn every_source_is_read() {
    let plan = plan();
    assert_eq!(who(&plan, &get("/").field("X-API-Key", "alpha")), Ok(0));
    assert_eq!(who(&plan, &get("/").field("Authorization", "bEARER  beta")), Ok(1));
    assert_eq!(who(&plan, &get("/?a=1&apikey=beta")), Ok(1));
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", "alpha").field("Authorization", "Digest beta")), Ok(0));
    // `beta:anything` in base64.
    assert_eq!(who(&plan, &get("/").field("Authorization", "Basic YmV0YTphbnl0aGluZw==")), Ok(1));
    assert_eq!(who(&plan, &get("/").field("Cookie", "a=1; key=beta ;b=2")), Ok(1));
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", &own_key())), Ok(1));
}

#[test]
fn everything_else_is_refused() {
    let plan = plan();
    assert_eq!(who(&plan, &get("/")), Err("api_key_missing"));
    assert_eq!(who(&plan, &get("/").field("Authorization", "Basic alpha")), Err("api_key_unknown"));
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", "orphan")), Err("api_key_unknown"), "its consumer is gone");
    let mut broken = own_key();
    broken.replace_range(10..11, if &broken[10..11] == "a" { "b" } else { "a" });
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", &broken)), Err("api_key_unknown"));
    for cookies in ["key=alpha; key=beta", "key=alpha;key=alpha"] {
        assert_eq!(who(&plan, &get("/").field("Cookie", cookies)), Err("api_key_ambiguous"), "{cookies}");
    }
    assert_eq!(who(&plan, &get("/").field("Cookie", "Key=alpha; xkey=alpha; key")), Err("api_key_missing"));
    assert_eq!(who(&plan, &get("/").field("Authorization", "Bearer")), Err("api_key_missing"));
    assert_eq!(who(&plan, &get("/").field("Authorization", "Bearer ")), Err("api_key_unknown"));
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", "Alpha")), Err("api_key_unknown"));
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", "old")), Err("api_key_unknown"));
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", &"a".repeat(2_000))), Err("api_key_unknown"));
    let twice = get("/").field("X-Api-Key", "alpha").field("x-api-key", "beta");
    assert_eq!(who(&plan, &twice), Err("api_key_ambiguous"));
    for query in ["apikey=alpha&apikey=beta", "apikey=alpha&%61pikey=beta", "apikey=alpha&apikey"] {
        assert_eq!(who(&plan, &get(&format!("/?{query}"))), Err("api_key_ambiguous"), "{query}");
    }
    let hexadecimal: String = hash_of(b"alpha").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        who(&plan, &get("/").field("X-Api-Key", &hexadecimal)),
        Err("api_key_unknown"),
        "a leaked hash is no key"
    );
}

#[test]
fn anonymous_is_only_for_those_without_a_key() {
    let plan = Plan { anonymous: Some("bob".into()), ..plan() };
    assert_eq!(who(&plan, &get("/")), Ok(1));
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", "wrong")), Err("api_key_unknown"));
}

#[test]
fn the_upstream_sees_the_consumer_and_no_key() {
    let fixture = get("/?a=1&%61pikey=al%70ha&b=2")
        .field("Accept", "*/*")
        .field("X-Api-Key", "alpha")
        .field("X-Consumer-Name", "root")
        .field("x-consumer-id", "0")
        .field("Authorization", "Bearer alpha");
    let mut effects = Effects::default();
    assert_eq!(decide(&plan(), &fixture.facts(), &mut effects), Decision::Pass);
    assert_eq!(fixture.left(&effects.to_upstream), [("Accept".to_owned(), "*/*".to_owned())]);
    assert_eq!(added(&effects.to_upstream), [("X-Consumer-Name", "anna"), ("X-Consumer-Id", "17")]);
    let mut query = Vec::new();
    effects.append_query(fixture.request(), &mut query);
    assert_eq!(query, b"a=1&b=2");

    let kept = Plan { credential: Credential::Kept, consumer_fields: ConsumerFields::Omitted, ..plan() };
    let mut effects = Effects::default();
    assert_eq!(decide(&kept, &fixture.facts(), &mut effects), Decision::Pass);
    assert_eq!(fixture.left(&effects.to_upstream).len(), 3, "only the forged consumer is removed");
    assert!(added(&effects.to_upstream).is_empty() && effects.query_removed.is_empty());
}

#[test]
fn only_those_who_are_named_pass() {
    let plan = Plan { consumers: Some(Box::new(["anna".into()])), ..plan() };
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", "alpha")), Ok(0));
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", "beta")), Err("api_key_unknown"));
}

#[test]
fn other_cookies_go_on() {
    let plan = plan();
    let fixture = get("/").field("Cookie", "a=1; key=beta; b=\"2\"").field("Cookie", "c=3");
    let mut effects = Effects::default();
    assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
    assert_eq!(fixture.left(&effects.to_upstream), [("Cookie".to_owned(), "c=3".to_owned())]);
    assert_eq!(added(&effects.to_upstream), [("X-Consumer-Name", "bob"), ("Cookie", "a=1; b=\"2\"")]);
    let alone = get("/").field("Cookie", "key=beta");
    let mut effects = Effects::default();
    assert_eq!(decide(&plan, &alone.facts(), &mut effects), Decision::Pass);
    assert_eq!(added(&effects.to_upstream), [("X-Consumer-Name", "bob")]);
}

#[test]
fn keys_in_several_places_pass_where_they_are_the_same() {
    let plan = plan();
    // `alpha:` and `beta:` in base64.
    let (alpha, beta) = ("Basic YWxwaGE6", "Basic YmV0YTo=");
    const PLACES: [&str; 5] = ["header", "bearer", "basic", "cookie", "query"];
    let with = |(place, key): (&str, &str), (other, second): (&str, &str)| {
        let of = |wanted: &str| match (place == wanted, other == wanted) {
            (true, _) => Some(key),
            (_, true) => Some(second),
            (false, false) => None,
        };
        let mut fixture = get(&of("query").map_or("/".to_owned(), |key| format!("/?apikey={key}")));
        for (wanted, name, start) in
            [("header", "X-Api-Key", ""), ("bearer", "Authorization", "Bearer "), ("cookie", "Cookie", "key=")]
        {
            if let Some(key) = of(wanted) {
                fixture = fixture.field(name, &format!("{start}{key}"));
            }
        }
        match of("basic") {
            Some(key) => fixture.field("Authorization", if key == "alpha" { alpha } else { beta }),
            None => fixture,
        }
    };
    for one in PLACES {
        for other in PLACES.into_iter().filter(|other| *other != one) {
            let same = with((one, "alpha"), (other, "alpha"));
            assert_eq!(who(&plan, &same), Ok(0), "{one} {other}");
            let mut effects = Effects::default();
            decide(&plan, &same.facts(), &mut effects);
            assert!(same.left(&effects.to_upstream).is_empty(), "{one} {other}: it is hidden in both places");
            assert!(!effects.append_query(same.request(), &mut Vec::new()) || one != "query" && other != "query");
            for (first, second) in [("alpha", "beta"), ("alpha", "wrong"), ("wrong", "alpha")] {
                let differ = with((one, first), (other, second));
                assert_eq!(who(&plan, &differ), Err("api_key_ambiguous"), "{one} {first} {other} {second}");
            }
        }
    }
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", "alpha").field("X-Api-Key", "alpha")), Err("api_key_ambiguous"));
    assert_eq!(who(&plan, &get("/").field("X-Api-Key", "alpha").field("X_Api_Key", "beta")), Err("api_key_ambiguous"));
    assert_eq!(
        who(&plan, &get("/").field("X-Api-Key", "alpha").field("Authorization", "Basic ?")),
        Err("api_key_ambiguous"),
        "what we cannot read, the upstream may"
    );
}

#[test]
fn what_is_meant_for_the_upstream_reaches_it() {
    let sources = Box::new([KeyLocation::Header((*b"x-api-key").into())]);
    let plan = Plan { sources, ..plan() };
    let fixture =
        get("/?apikey=own").field("X-Api-Key", "alpha").field("Authorization", "Bearer own").field("Cookie", "key=own");
    let mut effects = Effects::default();
    assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
    let left: Vec<String> = fixture.left(&effects.to_upstream).into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["Authorization", "Cookie"]);
    assert!(effects.query_removed.is_empty());
}
