// SPDX-License-Identifier: Apache-2.0
//! Who passes and who does not, and the ways around a rule that must not exist.

use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::{prop, prop_assert, proptest};

use super::*;
use crate::base::{ConsumerId, NetworkSet, TenantId, Tick};
use crate::cel::Environment;
use crate::policy::directory::{
    Catalogue, Consumer, Directory, Own, Parts, Profile, Revision, Snapshot, Standing, Tenant,
};
use crate::policy::fixture::{Fixture, added};
use crate::policy::identity::{Claims, Identity};
use crate::policy::limit::ShardId;
use crate::route::PathPattern;
use crate::wire::target::{self, Normalised, PathRules};

const ONE: Shards = Shards { own: ShardId(0), count: 1 };

fn directory() -> Directory {
    let profile = |groups: &[&str], tenant| Profile {
        tenant,
        groups: groups.iter().map(|group| Arc::from(*group)).collect(),
        ..Profile::default()
    };
    let consumer = |number, name, profile| {
        Consumer::new(ConsumerId(number), name, Standing::Active, Arc::new(profile), Own::default())
    };
    let consumers = vec![
        consumer(0, "anna", profile(&["admin", "staff"], Some(TenantId(0)))),
        consumer(1, "bob", profile(&["staff"], None)),
    ];
    let tenant = Tenant { name: "acme".into(), ..Tenant::default() };
    let tenants = vec![Some(Arc::new(tenant))];
    let catalogue = Arc::new(Catalogue { tenants, ..Catalogue::default() });
    Directory::new(Arc::new(Snapshot::new(Revision(1), Parts { consumers, catalogue, ..Parts::default() })))
}

/// A request by nobody.
fn request(method: &'static str, target: &str) -> Fixture {
    let mut fixture = Fixture::new(method, target);
    fixture.directory = directory();
    fixture
}

fn by(consumer: u32, fixture: Fixture) -> Fixture {
    Fixture { identity: Identity::of(ConsumerId(consumer), "api_key"), ..fixture }
}

fn with_token(claims: &str, fixture: Fixture) -> Fixture {
    let claims = Rc::new(Claims::new(serde_json::from_str(claims).unwrap()));
    Fixture { identity: Identity { claims: Some(claims), method: Some("jwt"), ..Identity::default() }, ..fixture }
}

fn open() -> Plan {
    Plan {
        always: Requirement::default(),
        rules: Box::default(),
        otherwise: Otherwise::Refused,
        deny: Box::default(),
        verbosity: Verbosity::Terse,
    }
}

fn requires(always: Requirement) -> Plan {
    Plan { always, ..open() }
}

/// The reason of a refusal, with what else the client is told; the path is normalised as the edge does it.
fn judged(plan: &Plan, fixture: &Fixture) -> Result<(), (&'static str, String)> {
    let mut effects = Effects::default();
    judged_with(plan, fixture, &mut effects).map_err(|reason| {
        let fields = added(&effects.to_client);
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        (reason, fields.join("\n"))
    })
}

fn judged_with(plan: &Plan, fixture: &Fixture, effects: &mut Effects) -> Result<(), &'static str> {
    let mut path = Vec::new();
    let sent = fixture.request().path();
    match target::normalise(sent, &PathRules::default(), &mut path) {
        Ok(Normalised::Unchanged) => path.extend_from_slice(sent),
        Ok(Normalised::Written) => {}
        Err(_) => return Err("malformed"),
    }
    let facts = Facts { path: &path, ..fixture.facts() };
    let mut own = Expressions::new(plan, ONE, 0);
    let call = Call { facts: &facts, effects, memo: &mut (), now: Tick::ZERO };
    match plan.decide(&mut own, call) {
        Decision::Pass => Ok(()),
        Decision::Respond(response) => {
            assert_eq!(response.status, 403);
            Err(response.reason)
        }
        Decision::Ask(_) => panic!("it never asks"),
    }
}

fn list(texts: &[&str]) -> Box<[Box<str>]> {
    texts.iter().map(|text| Box::from(*text)).collect()
}

fn program(text: &str) -> Program {
    Program::compile(text, &Environment::default()).unwrap()
}

#[test]
fn every_part_of_a_requirement_is_asked() {
    let get = || request("GET", "/x");
    let none = Requirement::default;
    let cases: Vec<(Requirement, Fixture, Fixture, &str)> = vec![
        (Requirement { groups: list(&["admin", "root"]), ..none() }, by(0, get()), by(1, get()), "authorize_group"),
        (Requirement { consumers: list(&["anna"]), ..none() }, by(0, get()), by(1, get()), "authorize_consumer"),
        (Requirement { tenants: list(&["acme"]), ..none() }, by(0, get()), by(1, get()), "authorize_tenant"),
        (
            Requirement { scopes: list(&["read", "write"]), ..Default::default() },
            with_token(r#"{"scope":"write read"}"#, get()),
            with_token(r#"{"scope":"read writes"}"#, get()),
            "authorize_scope",
        ),
        (
            Requirement { scopes_any: list(&["read", "write"]), ..Default::default() },
            with_token(r#"{"scp":["write"]}"#, get()),
            with_token(r#"{"scp":["Read"]}"#, get()),
            "authorize_scope",
        ),
        (
            Requirement { groups: list(&["ops"]), group_claim: Some("roles".into()), ..Default::default() },
            with_token(r#"{"roles":["dev","ops"]}"#, get()),
            with_token(r#"{"roles":"dev ops","groups":["ops"]}"#, get()),
            "authorize_group",
        ),
        (
            Requirement { networks: Some(NetworkSet::new(&["192.0.2.0/25".parse().unwrap()])), ..Default::default() },
            get(),
            Fixture { client: "192.0.2.128".parse().unwrap(), ..get() },
            "authorize_network",
        ),
        (
            Requirement { allow: Box::new([program("request.headers['x-a'] == '1'")]), ..Default::default() },
            get().field("X-A", "1"),
            get(),
            "authorize_expression",
        ),
    ];
    for (requirement, good, bad, reason) in cases {
        let plan = requires(requirement);
        assert_eq!(judged(&plan, &good), Ok(()), "{reason}");
        assert_eq!(judged(&plan, &bad).unwrap_err().0, reason);
        if reason != "authorize_network" && reason != "authorize_expression" {
            assert_eq!(judged(&plan, &get()).unwrap_err().0, reason, "nobody is nobody");
            assert!(plan.needs_consumer());
        }
    }
    assert_eq!(judged(&open(), &get()), Ok(()));
}

#[test]
fn whose_country_is_not_known_comes_from_none() {
    use crate::policy::country::CountryCode;
    let code = |text| CountryCode::parse(text).unwrap();
    assert_eq!(CountryCode::parse("de"), Some(code("DE")));
    assert_eq!((CountryCode::parse("D1"), CountryCode::parse("DEU")), (None, None));
    // The fixture's country is no country.
    let only = requires(Requirement { countries: Box::new([code("DE")]), ..Default::default() });
    assert_eq!(judged(&only, &request("GET", "/")).unwrap_err().0, "authorize_country");
    let not = requires(Requirement { countries_denied: Box::new([code("DE")]), ..Default::default() });
    assert_eq!(judged(&not, &request("GET", "/")), Ok(()));
}

#[test]
fn an_expression_that_fails_refuses() {
    for (text, passes) in [
        ("request.method == 'DELETE'", true),
        ("request.method == 'GET'", false),
        ("request.headers['x-absent'] == '1'", false),
        ("[1].exists(x, 1 / (x - 1) == 1)", false),
    ] {
        let plan = Plan { deny: Box::new([program(text)]), ..open() };
        assert_eq!(judged(&plan, &request("GET", "/")).is_ok(), passes, "{text}");
    }
}

#[test]
fn a_client_with_a_token_is_told_and_the_rest_only_where_verbose() {
    let requirement = Requirement { scopes: list(&["read", "write"]), ..Default::default() };
    let token = with_token(r#"{"scope":"read"}"#, request("GET", "/"));
    let terse = judged(&requires(requirement.clone()), &token).unwrap_err();
    assert_eq!(terse.1, "WWW-Authenticate: Bearer error=\"insufficient_scope\"");
    let verbose = Plan { verbosity: Verbosity::Verbose, ..requires(requirement) };
    let told = judged(&verbose, &token).unwrap_err();
    assert_eq!(told.1, "WWW-Authenticate: Bearer error=\"insufficient_scope\", scope=\"read write\"");
    assert_eq!(judged(&verbose, &by(0, request("GET", "/"))).unwrap_err().1, "", "a key is no token");
}

/// `/admin` and all below it is for admins, everything else for all.
fn admin_rules(case: Case) -> Plan {
    let rule = |methods: &[&str], pattern: Option<PathPattern>, groups: &[&str]| Rule {
        methods: list(methods),
        paths: pattern.into_iter().map(|pattern| PathRule { pattern, case }).collect(),
        requirement: Requirement { groups: list(groups), ..Default::default() },
    };
    let rules = Box::new([
        rule(&[], PathPattern::prefix("/admin").ok(), &["admin"]),
        rule(&["DELETE", "PUT"], None, &["admin"]),
        rule(&[], None, &[]),
    ]);
    Plan { rules, ..open() }
}

/// Ways to reach `/admin` at some origin or other. Nobody without the group may get there.
const AROUND: &[(&str, &str)] = &[
    ("GET", "/admin"),
    ("HEAD", "/admin"),
    ("POST", "/admin/"),
    ("GET", "/admin/users"),
    ("GET", "//admin"),
    ("GET", "/admin//users"),
    ("GET", "/./admin"),
    ("GET", "/x/../admin"),
    ("GET", "/%61dmin"),
    ("GET", "/%61%64%6d%69%6e/users"),
    ("GET", "/x/%2e%2e/admin"),
    ("GET", "/x%2f..%2fadmin"),
    ("GET", "/%2fadmin"),
    ("GET", "/admin%2fusers"),
    ("GET", "/admin%2Fusers"),
    ("GET", "/admin%5cusers"),
    ("GET", "/x/..%5cadmin"),
    ("GET", "/%252fadmin"),
    ("GET", "/x/%252e%252e/admin"),
    ("GET", "/x/..;/admin"),
    ("GET", "/x;/../admin"),
    ("GET", "/admin;x=1/users"),
    ("GET", "/;/admin"),
    ("GET", "/admin%3bx"),
    ("GET", "/admin%00"),
    ("GET", "/x/..%00/admin"),
    ("DELETE", "/x"),
    ("PUT", "/x"),
];

#[test]
fn nobody_gets_around_a_rule() {
    for (method, target) in AROUND {
        for case in [Case::Compared, Case::Ignored] {
            let plan = admin_rules(case);
            let refused = judged(&plan, &by(1, request(method, target)));
            // `//x` is `/x` for the listener and the origin gets one slash less to guess about.
            assert!(refused.is_err(), "{method} {target}");
        }
    }
    for target in ["/", "/adminx", "/x/admin", "/Administrator", "/a%20b", "/100%25", "/caf%C3%A9"] {
        assert_eq!(judged(&admin_rules(Case::Compared), &by(1, request("GET", target))), Ok(()), "{target}");
    }
    assert_eq!(judged(&admin_rules(Case::Compared), &by(0, request("DELETE", "/admin/users"))), Ok(()));
}

#[test]
fn case_is_ignored_where_an_origin_ignores_it() {
    for target in ["/ADMIN", "/Admin/users", "/aDmIn/", "/%41dmin"] {
        let fixture = by(1, request("GET", target));
        assert!(judged(&admin_rules(Case::Compared), &fixture).is_ok(), "{target}");
        assert!(judged(&admin_rules(Case::Ignored), &fixture).is_err(), "{target}");
    }
}

#[test]
fn what_no_rule_takes_is_refused_unless_it_is_said() {
    let only = Rule { methods: list(&["GET"]), paths: Box::default(), requirement: Requirement::default() };
    let plan = Plan { rules: Box::new([only]), ..open() };
    assert!(judged(&plan, &request("GET", "/")).is_ok() && judged(&plan, &request("HEAD", "/")).is_ok());
    assert_eq!(judged(&plan, &request("POST", "/")).unwrap_err().0, "authorize_rule");
    assert_eq!(judged(&plan, &request("get", "/")).unwrap_err().0, "authorize_rule");
    let plan = Plan { otherwise: Otherwise::Passes, ..plan };
    assert!(judged(&plan, &request("POST", "/")).is_ok());
}

#[test]
fn what_changes_the_method_at_an_origin_is_removed() {
    let fixture = by(1, request("POST", "/x?a=1&_method=DELETE&%5Fmethod=PUT&_METHOD[x]=PUT&_methods=1"))
        .field("X-HTTP-Method-Override", "DELETE")
        .field("x-http-method", "DELETE")
        .field("X_Method_Override", "DELETE")
        .field("Accept", "*/*");
    let mut effects = Effects::default();
    assert_eq!(judged_with(&admin_rules(Case::Compared), &fixture, &mut effects), Ok(()));
    assert_eq!(fixture.left(&effects.to_upstream), [("Accept".to_owned(), "*/*".to_owned())]);
    let mut query = Vec::new();
    effects.append_query(fixture.request(), &mut query);
    assert_eq!(String::from_utf8(query).unwrap(), "a=1&_methods=1");
    let mut effects = Effects::default();
    assert_eq!(judged_with(&open(), &fixture, &mut effects), Ok(()));
    assert_eq!(fixture.left(&effects.to_upstream).len(), 4, "nothing is removed where no rule names methods");
}

proptest! {
    /// However `/admin/users` is encoded, it is refused, or is another path after one decoding as well.
    #[test]
    fn no_encoding_gets_around_a_rule(choices in prop::collection::vec(0_u8..5, 12)) {
        let mut target = String::new();
        for (letter, choice) in "/admin/users".chars().zip(choices) {
            match choice {
                0 => target.push_str(&format!("%{:02X}", letter as u8)),
                1 => target.push_str(&format!("%{:02x}", letter as u8)),
                2 if letter == '/' => target.push_str("//"),
                3 if letter == '/' => target.push_str("/./"),
                _ => target.push(letter),
            }
        }
        let target = if target.starts_with('/') { target } else { format!("/{target}") };
        prop_assert!(judged(&admin_rules(Case::Compared), &by(1, request("GET", &target))).is_err(), "{}", target);
    }
}
