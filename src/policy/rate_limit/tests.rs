//! What a client, the upstream and the control plane see of a rate limit.

use super::*;
use crate::base::ConsumerId;
use crate::policy::fixture::{Fixture, Words, added};
use crate::policy::{Policy, PolicyMemo, PolicyState};

fn plan(key: Key) -> Plan {
    Plan::new("per-minute", Rate::new(60, Duration::from_secs(60), 3).unwrap(), key)
}

const ADDRESS: Key = Key::Address { v4_prefix: 32, v6_prefix: 64 };

fn now() -> Tick {
    Tick::ZERO.after_ms(1)
}

fn call<'a>(
    facts: &'a Facts<'a, Words>,
    effects: &'a mut Effects,
    memo: &'a mut PolicyMemo,
) -> Call<'a, Words, PolicyMemo> {
    Call { facts, effects, memo, now: now() }
}

fn decide<'p>(policy: &'p Policy, state: &mut PolicyState, fixture: &Fixture, effects: &mut Effects) -> Decision<'p> {
    policy.decide(state, call(&fixture.facts(), effects, &mut PolicyMemo::Unused))
}

/// How many of `count` requests pass on a single shard.
fn passed(policy: &Policy, state: &mut PolicyState, fixture: &Fixture, count: usize) -> usize {
    let mut effects = Effects::default();
    (0..count).filter(|_| decide(policy, state, fixture, &mut effects) == Decision::Pass).count()
}

#[test]
fn a_refusal_says_when_and_why() {
    let policy = Policy::RateLimit(plan(ADDRESS));
    let mut state = policy.state(ShardId(0), 1);
    let fixture = Fixture::get("/");
    let mut effects = Effects::default();
    assert_eq!(decide(&policy, &mut state, &fixture, &mut effects), Decision::Pass);
    assert_eq!(
        added(&effects.to_client),
        [("RateLimit-Policy", "\"per-minute\";q=3;w=3"), ("RateLimit", "\"per-minute\";r=2;t=1")]
    );
    assert_eq!(passed(&policy, &mut state, &fixture, 5), 2);
    effects.clear();
    let Decision::Respond(response) = decide(&policy, &mut state, &fixture, &mut effects) else { panic!() };
    assert_eq!((response.status, response.reason), (429, "rate_limited"));
    assert_eq!(added(&effects.to_client)[1..], [("RateLimit", "\"per-minute\";r=0;t=1"), ("Retry-After", "1")]);
    let LocalBody::Problem(problem) = response.body else { panic!() };
    assert_eq!(problem.violated_policy, "per-minute");
}

#[test]
fn keys_are_counted_apart() {
    let mut one = Fixture::get("/").field("X-Team", "a");
    let mut other = Fixture::get("/").field("X-Team", "b");
    other.client = "192.0.2.77".parse().unwrap();
    let apart = |key: Key, one: &Fixture, other: &Fixture| {
        let policy = Policy::RateLimit(plan(key));
        let mut state = policy.state(ShardId(0), 1);
        assert_eq!(passed(&policy, &mut state, one, 5), 3);
        passed(&policy, &mut state, other, 5) == 3
    };
    assert!(apart(ADDRESS, &one, &other));
    assert!(!apart(Key::Address { v4_prefix: 24, v6_prefix: 64 }, &one, &other));
    assert!(!apart(Key::Address { v4_prefix: 0, v6_prefix: 0 }, &one, &other));
    assert!(!apart(Key::Everything, &one, &other));
    assert!(apart(Key::Header((*b"x-team").into()), &one, &other));
    assert!(apart(Key::Header((*b"x-none").into()), &one, &other), "by address, where the field is missing");
    assert!(apart(Key::Consumer, &one, &other), "by address, where nobody is known");
    (one.consumer, other.consumer) = (Some(ConsumerId(1)), Some(ConsumerId(1)));
    assert!(!apart(Key::Consumer, &one, &other));
    one.client = "2001:db8::1".parse().unwrap();
    other.client = "2001:db8::ffff:2".parse().unwrap();
    assert!(!apart(ADDRESS, &one, &other), "one /64 is one client");
    one.client = "::ffff:192.0.2.77".parse().unwrap();
    other.client = "192.0.2.77".parse().unwrap();
    assert!(!apart(ADDRESS, &one, &other));
    other.route = Some(RouteId(9));
    let policy = Policy::RateLimit(Plan { scope: Scope::PerRoute, ..plan(Key::Everything) });
    let mut state = policy.state(ShardId(0), 1);
    assert_eq!(passed(&policy, &mut state, &one, 5) + passed(&policy, &mut state, &other, 5), 6);
}

#[test]
fn report_refuses_nobody() {
    let policy = Policy::RateLimit(Plan { mode: Mode::Report, ..plan(ADDRESS) });
    let mut state = policy.state(ShardId(0), 1);
    let fixture = Fixture::get("/");
    assert_eq!(passed(&policy, &mut state, &fixture, 5), 5);
    let mut effects = Effects::default();
    decide(&policy, &mut state, &fixture, &mut effects);
    assert_eq!(effects.reported, Some("rate_limited"));
    let mut state = policy.state(ShardId(0), 2);
    assert_eq!(passed(&policy, &mut state, &fixture, 1), 1, "and makes nobody wait");
}

#[test]
fn two_shards_ask_and_a_missing_grant_is_as_configured() {
    for (lease_missing, status) in [(OnTrouble::Unavailable, 503), (OnTrouble::Refuse, 429), (OnTrouble::Admit, 0)] {
        let policy = Policy::RateLimit(Plan { lease_missing, ..plan(ADDRESS) });
        let mut state = policy.state(ShardId(0), 2);
        let fixture = Fixture::get("/");
        let mut effects = Effects::default();
        let mut memo = PolicyMemo::Unused;
        let first = policy.decide(&mut state, call(&fixture.facts(), &mut effects, &mut memo));
        assert!(matches!(first, Decision::Ask(Ask::Lease { until, .. }) if until == now().after_ms(50)));
        let message = state.message().unwrap();
        assert_eq!(Some(message.limit), policy.limit_id());
        state.sent();
        match policy.resume(&mut state, call(&fixture.facts(), &mut effects, &mut memo), AskOutcome::Expired) {
            Decision::Respond(response) => assert_eq!(response.status, status),
            Decision::Pass => assert_eq!((status, effects.reported), (0, Some("lease_missing"))),
            Decision::Ask(_) => panic!(),
        }
        // A late grant is still good.
        let mut accounts = crate::policy::limit::Accounts::new(10);
        accounts.set_limits([(message.limit, plan(ADDRESS).rate)]);
        let mut replies = Vec::new();
        accounts.receive(message, now(), &mut replies);
        assert_eq!(state.receive(replies[0].1, now()), Some(message.key));
        assert_eq!(
            policy.resume(&mut state, call(&fixture.facts(), &mut effects, &mut memo), AskOutcome::Granted),
            Decision::Pass
        );
    }
}

#[test]
fn a_full_table_is_as_configured() {
    for (table_full, expected) in [(OnTrouble::Unavailable, 503), (OnTrouble::Refuse, 429)] {
        let policy = Policy::RateLimit(Plan { keys_max: 1, table_full, ..plan(ADDRESS) });
        let mut state = policy.state(ShardId(0), 1);
        assert_eq!(passed(&policy, &mut state, &Fixture::get("/"), 1), 1);
        let mut other = Fixture::get("/");
        other.client = "203.0.113.1".parse().unwrap();
        let mut effects = Effects::default();
        let decision = decide(&policy, &mut state, &other, &mut effects);
        assert!(matches!(decision, Decision::Respond(LocalResponse { status, .. }) if status == expected));
    }
}

#[test]
fn a_reload_that_changes_nothing_keeps_the_limit() {
    let id = |plan: &Plan| plan.limit_id();
    let plan = plan(ADDRESS);
    assert_eq!(id(&plan), id(&Plan { detail: "other words".into(), ..plan.clone() }));
    assert_ne!(id(&plan), id(&Plan { rate: Rate::new(61, Duration::from_secs(60), 3).unwrap(), ..plan.clone() }));
    assert_ne!(id(&plan), id(&Plan { name: "x".into(), ..plan.clone() }));
}
