// SPDX-License-Identifier: Apache-2.0
//! What plans contain, and how much of it.

use std::sync::Arc;

use super::*;
use crate::base::{AppId, ConsumerId, PlanId, ProductId};
use crate::policy::directory::{
    Allowance, App, Catalogue, Consumer, Directory, Own, Parts, Profile, Revision, Snapshot, Standing, Subscription,
};
use crate::policy::facts::Effects;
use crate::policy::fixture::{Fixture, added};
use crate::policy::identity::Identity;
use crate::policy::limit::ShardId;
use crate::policy::{Policy, PolicyMemo, PolicyState};

fn enforce() -> Plan {
    Plan {
        name: Arc::from("sold"),
        detail: Box::default(),
        mode: Mode::Enforce,
        told: Told::default(),
        keys_max: 1_000,
        wait: Duration::from_secs(1),
        uncountable: OnTrouble::Unavailable,
        kept: None,
        hash_seed: 0,
    }
}

fn directory() -> Directory {
    let list = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
    let plan = directory::Plan {
        name: "gold".into(),
        routes: list(&["maps", "tiles"]),
        methods: list(&["GET", "HEAD"]),
        paths: list(&["/v1/", "/v2/public/"]),
        ..directory::Plan::default()
    };
    let subscriptions = Box::new([Subscription { product: None, plan: PlanId(0) }]);
    let profile = Arc::new(Profile { subscriptions, ..Profile::default() });
    let consumer = |number, profile| {
        Consumer::new(ConsumerId(number), &format!("c{number}"), Standing::Active, profile, Own::default())
    };
    let consumers = vec![consumer(1, profile), consumer(2, Arc::default())];
    let catalogue = Arc::new(Catalogue { plans: vec![Some(Arc::new(plan))], ..Catalogue::default() });
    Directory::new(Arc::new(Snapshot::new(Revision(1), Parts { consumers, catalogue, ..Parts::default() })))
}

#[test]
fn what_no_plan_contains_is_refused() {
    const CASES: &[(u32, &str, &str, &str, Option<&str>)] = &[
        (1, "maps", "GET", "/v1/a", None),
        (1, "tiles", "HEAD", "/v2/public/", None),
        (1, "search", "GET", "/v1/a", Some("plan_route")),
        (1, "map", "GET", "/v1/a", Some("plan_route")),
        (1, "maps", "POST", "/v1/a", Some("plan_method")),
        (1, "maps", "get", "/v1/a", Some("plan_method")),
        (1, "maps", "GET", "/v2/private", Some("plan_path")),
        (1, "maps", "GET", "/V1/a", Some("plan_path")),
        // Many origins read these as other paths.
        (1, "maps", "GET", "/v1/%2e%2E%2Fadmin", Some("plan_path")),
        (1, "maps", "GET", "/v1/..;/admin", Some("plan_path")),
        (1, "maps", "GET", "/v1//admin", Some("plan_path")),
        (1, "maps", "GET", "/v1/%5cadmin", Some("plan_path")),
        (1, "maps", "GET", "/v1/%252e", Some("plan_path")),
        (2, "maps", "GET", "/v1/a", Some("plan_route")),
        (3, "maps", "GET", "/v1/a", Some("plan_route")),
        (0, "maps", "GET", "/v1/a", Some("plan_route")),
    ];
    for (number, route, method, path, expected) in CASES {
        let mut fixture = Fixture::new(method, path);
        fixture.directory = directory();
        fixture.route_name = route;
        if *number > 0 {
            fixture.identity = Identity::of(ConsumerId(*number), "test");
        }
        let mut effects = Effects::default();
        let policy = Policy::Plan(enforce());
        let refused = send(&policy, &mut policy.state(ONE, 0), &fixture, &mut effects).err();
        assert_eq!(refused, *expected, "{number} {route} {method} {path}");
        let report = Policy::Plan(Plan { mode: Mode::Report, ..enforce() });
        assert!(send(&report, &mut report.state(ONE, 0), &fixture, &mut effects).is_ok());
        assert_eq!(effects.reported, *expected);
    }
}

#[test]
fn nothing_names_another_method_to_the_upstream_than_the_plan_saw() {
    let mut fixture = Fixture::get("/v1/a?x=1&_method=DELETE&%5fMethod[]=PUT&method=a")
        .field("X-HTTP-Method-Override", "DELETE")
        .field("x_original_http_method", "DELETE")
        .field("Accept", "*/*");
    (fixture.directory, fixture.route_name) = (directory(), "maps");
    fixture.identity = Identity::of(ConsumerId(1), "test");
    let mut effects = Effects::default();
    let policy = Policy::Plan(enforce());
    assert!(send(&policy, &mut policy.state(ONE, 0), &fixture, &mut effects).is_ok());
    assert_eq!(fixture.left(&effects.to_upstream), [("Accept".to_owned(), "*/*".to_owned())]);
    let mut query = Vec::new();
    effects.append_query(fixture.request(), &mut query);
    assert_eq!(String::from_utf8(query).expect("text"), "x=1&method=a");
}

/// A directory in which the only consumer has a plan, and the number of its state.
fn sold(revision: u64, limits: &[Allowance], at_once: Option<u32>) -> Directory {
    let plan = directory::Plan {
        name: format!("plan{revision}").into(),
        windows: limits.iter().filter_map(|limit| limit.window("gold")).collect(),
        at_once: at_once.and_then(|most| Rate::in_flight(1)?.with_slots(most)),
        ..directory::Plan::default()
    };
    let subscriptions = Box::new([Subscription { product: None, plan: PlanId(0) }]);
    let profile = Arc::new(Profile { subscriptions, ..Profile::default() });
    let consumers = vec![Consumer::new(ConsumerId(1), "acme", Standing::Active, profile, Own::default())];
    let catalogue = Arc::new(Catalogue { plans: vec![Some(Arc::new(plan))], ..Catalogue::default() });
    Directory::new(Arc::new(Snapshot::new(Revision(revision), Parts { consumers, catalogue, ..Parts::default() })))
}

fn caller(directory: Directory) -> Fixture {
    let mut fixture = Fixture::get("/v1/a");
    (fixture.directory, fixture.route_name) = (directory, "maps");
    (fixture.identity, fixture.consumer_name) = (Identity::of(ConsumerId(1), "test"), "acme");
    fixture
}

/// Sends a request; what remembers it, or the reason for which it was refused.
fn send(
    policy: &Policy,
    state: &mut PolicyState,
    fixture: &Fixture,
    effects: &mut Effects,
) -> Result<PolicyMemo, &'static str> {
    effects.clear();
    let mut memo = PolicyMemo::Unused;
    let now = Tick::ZERO.after_ms(1_000);
    let call = Call { facts: &fixture.facts(), effects, memo: &mut memo, now };
    match policy.decide(state, call) {
        Decision::Pass => Ok(memo),
        Decision::Respond(response) => Err(response.reason),
        Decision::Ask(_) => Err("asks"),
    }
}

const ONE: Shards = Shards { own: ShardId(0), count: 1 };

fn passed(policy: &Policy, state: &mut PolicyState, fixture: &Fixture, tries: usize) -> usize {
    let mut effects = Effects::default();
    (0..tries).filter(|_| send(policy, state, fixture, &mut effects).is_ok()).count()
}

fn allowance(count: u64, per: Period) -> Allowance {
    Allowance { count, per }
}

#[test]
fn all_windows_of_a_plan_hold_and_clients_are_told() {
    let policy = Policy::Plan(enforce());
    let mut state = policy.state(ONE, 0);
    let limits = [
        allowance(5, Period::Calendar(Unit::Month)),
        allowance(3, Period::Rolling(Duration::from_secs(10))),
        allowance(4, Period::Rolling(Duration::from_secs(20))),
    ];
    let fixture = caller(sold(1, &limits, None));
    let mut effects = Effects::default();
    assert!(send(&policy, &mut state, &fixture, &mut effects).is_ok());
    assert_eq!(
        added(&effects.to_client),
        [
            ("RateLimit-Policy", "\"gold-10s\";q=3;w=10, \"gold-20s\";q=4;w=20, \"gold-month\";q=5;w=2592000"),
            ("RateLimit", "\"gold-10s\";r=2;t=4, \"gold-20s\";r=3;t=5, \"gold-month\";r=4;t=1440000"),
        ]
    );
    assert_eq!(passed(&policy, &mut state, &fixture, 9), 2);
    assert_eq!(send(&policy, &mut state, &fixture, &mut effects).unwrap_err(), "plan_limited");
    let counts = state.parts().unwrap().take_counts();
    assert_eq!((counts.admitted, counts.refused), (3, 8), "each request counts once");
    assert_eq!(added(&effects.to_client).last(), Some(&("Retry-After", "4")));
    // Of what the shortest refused, the others counted nothing.
    let fixture = caller(sold(2, &limits[..1], None));
    assert_eq!(passed(&policy, &mut state, &fixture, 9), 2);
    let fixture = caller(sold(3, &limits[2..], None));
    assert_eq!(passed(&policy, &mut state, &fixture, 9), 1);
}

#[test]
fn who_gets_another_plan_goes_on_with_what_was_used() {
    let policy = Policy::Plan(enforce());
    let mut state = policy.state(ONE, 0);
    let of = |revision, count| caller(sold(revision, &[allowance(count, Period::Calendar(Unit::Day))], None));
    assert_eq!(passed(&policy, &mut state, &of(1, 10), 9), 9);
    assert_eq!(passed(&policy, &mut state, &of(2, 30), 6), 6, "an upgrade");
    assert_eq!(passed(&policy, &mut state, &of(3, 10), 9), 0, "a downgrade");
    assert_eq!(passed(&policy, &mut state, &of(4, 30), 99), 15, "and up again");
    let mut next_day = of(5, 10);
    next_day.wall.0 += 24 * 3_600 * 1_000_000;
    let mut effects = Effects::default();
    let mut memo = PolicyMemo::Unused;
    let mut passes = 0;
    for _ in 0..40 {
        let facts = next_day.facts();
        let now = Tick::ZERO.after_ms(4_000);
        let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now };
        passes += usize::from(policy.decide(&mut state, call) == Decision::Pass);
    }
    assert_eq!(passes, 10, "the next day has what its plan says");
}

#[test]
fn a_plan_says_how_many_are_served_at_once() {
    let policy = Policy::Plan(enforce());
    let mut state = policy.state(ONE, 0);
    let day = [allowance(10, Period::Calendar(Unit::Day))];
    let (two, one) = (caller(sold(1, &day, Some(2))), caller(sold(2, &day, Some(1))));
    let mut effects = Effects::default();
    let first = send(&policy, &mut state, &two, &mut effects).unwrap();
    let second = send(&policy, &mut state, &two, &mut effects).unwrap();
    assert_eq!(send(&policy, &mut state, &two, &mut effects).unwrap_err(), "plan_concurrency");
    assert_eq!(added(&effects.to_client), [("Retry-After", "1")]);
    drop(first);
    assert_eq!(send(&policy, &mut state, &one, &mut effects).unwrap_err(), "plan_concurrency");
    drop(second);
    let _third = send(&policy, &mut state, &one, &mut effects).unwrap();
    assert_eq!(send(&policy, &mut state, &one, &mut effects).unwrap_err(), "plan_concurrency");
    let report = Policy::Plan(Plan { mode: Mode::Report, ..enforce() });
    assert!(send(&report, &mut state, &one, &mut effects).is_ok());
    assert_eq!(effects.reported, Some("plan_concurrency"));
    let used = caller(sold(3, &day, None));
    assert_eq!(passed(&policy, &mut state, &used, 99), 7, "who was refused a seat used nothing of the day");
}

#[test]
fn apps_with_plans_and_products_are_counted_apart() {
    let policy = Policy::Plan(enforce());
    let mut state = policy.state(ONE, 0);
    let day = [allowance(2, Period::Calendar(Unit::Day))];
    let fixture = |product: Option<u32>| {
        let directory = sold(1, &day, None);
        let mut catalogue = directory.catalogue().clone();
        catalogue.products = vec![Some(Arc::new(directory::Product {
            number: ProductId(0),
            name: "p".into(),
            routes: Box::new(["maps".into()]),
        }))];
        let subscriptions = Box::new([Subscription { product: product.map(ProductId), plan: PlanId(0) }]);
        let profile = Arc::new(Profile { subscriptions: subscriptions.clone(), ..Profile::default() });
        let app = App {
            number: AppId(4),
            standing: Standing::Active,
            name: "app".into(),
            consumer: ConsumerId(1),
            subscriptions,
            attributes: Box::default(),
        };
        let consumers = vec![Consumer::new(ConsumerId(1), "acme", Standing::Active, profile, Own::default())];
        let parts = Parts { consumers, catalogue: Arc::new(catalogue), apps: vec![Arc::new(app)], ..Parts::default() };
        caller(Directory::new(Arc::new(Snapshot::new(Revision(1), parts))))
    };
    let (general, mut of_app, of_product) = (fixture(None), fixture(None), fixture(Some(0)));
    of_app.identity.app = Some(AppId(4));
    for fixture in [&general, &of_app, &of_product] {
        assert_eq!(passed(&policy, &mut state, fixture, 9), 2);
    }
    assert_eq!(passed(&policy, &mut state, &general, 9), 0);
}
