// SPDX-License-Identifier: Apache-2.0
//! What a client, the upstream and the control plane see of a rate limit.

use super::*;
use crate::base::ConsumerId;
use crate::policy::identity::Identity;
use crate::policy::fixture::{Fixture, NamedValues, added};
use crate::policy::limit::gcra::Meter;
use crate::policy::limit::{Body, Message, ShardId};
use crate::policy::{Policy, PolicyMemo, PolicyState};

fn plan(key: Key) -> Plan {
    Plan::new("per-minute", Rate::new(60, Duration::from_secs(60), 3).unwrap(), key)
}

const ONE: Shards = Shards { own: ShardId(0), count: 1 };
const FIRST_OF_TWO: Shards = Shards { own: ShardId(0), count: 2 };
const ADDRESS: Key = Key::Address { v4_prefix: 32, v6_prefix: 64 };

fn now() -> Tick {
    Tick::ZERO.after_ms(1)
}

fn call<'a>(
    facts: &'a Facts<'a, NamedValues>,
    effects: &'a mut Effects,
    memo: &'a mut PolicyMemo,
) -> Call<'a, NamedValues, PolicyMemo> {
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
    let mut state = policy.state(ONE, 0);
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
        let mut state = policy.state(ONE, 0);
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
    // By their names: a reload may number them anew.
    one.identity = Identity::of(ConsumerId(1), "test");
    other.identity = Identity::of(ConsumerId(2), "test");
    (one.consumer_name, other.consumer_name) = ("c", "c");
    assert!(!apart(Key::Consumer, &one, &other));
    one.client = "2001:db8::1".parse().unwrap();
    other.client = "2001:db8::ffff:2".parse().unwrap();
    assert!(!apart(ADDRESS, &one, &other), "one /64 is one client");
    one.client = "::ffff:192.0.2.77".parse().unwrap();
    other.client = "192.0.2.77".parse().unwrap();
    assert!(!apart(ADDRESS, &one, &other));
    other.route_name = "other";
    let policy = Policy::RateLimit(Plan { scope: Scope::PerRoute, ..plan(Key::Everything) });
    let mut state = policy.state(ONE, 0);
    assert_eq!(passed(&policy, &mut state, &one, 5) + passed(&policy, &mut state, &other, 5), 6);
}

#[test]
fn a_header_with_several_lines_is_no_key() {
    let policy = Policy::RateLimit(plan(Key::Header((*b"x-team").into())));
    let mut state = policy.state(ONE, 0);
    let twice = |first: &str| Fixture::get("/").field("X-Team", first).field("x-team", "a");
    let all = (0..5).map(|number| passed(&policy, &mut state, &twice(&number.to_string()), 1)).sum::<usize>();
    assert_eq!(all, 3, "whoever varies one line is counted by his address");
    assert_eq!(passed(&policy, &mut state, &Fixture::get("/").field("X-Team", "a"), 5), 3);
}

#[test]
fn only_requests_with_the_named_statuses_count() {
    let policy = Policy::RateLimit(Plan { counted: Box::new([(401, 401), (500, 599)]), ..plan(ADDRESS) });
    let mut state = policy.state(ONE, 0);
    let fixture = Fixture::get("/");
    let mut ask = |outcome: Outcome| {
        let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
        let decision = policy.decide(&mut state, call(&fixture.facts(), &mut effects, &mut memo));
        assert_eq!(effects.settles, decision == Decision::Pass);
        policy.settle(&mut state, &mut memo, outcome, now());
        policy.settle(&mut state, &mut memo, Outcome::Status(200), now());
        decision == Decision::Pass
    };
    for status in [200, 403, 499, 600].repeat(3) {
        assert!(ask(Outcome::Status(status)), "{status} does not count");
    }
    for outcome in [Outcome::Status(401), Outcome::NoResponse, Outcome::Status(599)] {
        assert!(ask(outcome), "{outcome:?}");
    }
    assert!(!ask(Outcome::Status(200)), "three counted");
    let counts = state.part().unwrap().take_counts();
    assert_eq!((counts.admitted, counts.returned, counts.refused), (15, 12, 1));
}

#[test]
fn where_it_only_reports_only_what_counts_is_reported() {
    let reporting = Plan { counted: Box::new([(401, 401)]), mode: Mode::Report, ..plan(ADDRESS) };
    let policy = Policy::RateLimit(reporting);
    let fixture = client_with_its_home_elsewhere(&Policy::RateLimit(plan(ADDRESS)));
    let mut state = policy.state(FIRST_OF_TWO, 0);
    for status in [200, 401] {
        let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
        let decision = policy.decide(&mut state, call(&fixture.facts(), &mut effects, &mut memo));
        assert_eq!((decision, effects.settles), (Decision::Pass, true), "nobody waits for the home");
        policy.settle(&mut state, &mut memo, Outcome::Status(status), now());
    }
    let part = state.part().unwrap();
    let (_, message) = part.next_message().unwrap();
    // The home has nothing left: only the request that counts would have been refused.
    let none = Message { body: Body::Grant { piece: Meter::EMPTY }, ..message };
    part.receive(ShardId(1), &none, now());
    assert_eq!(part.take_counts().reported, 1);
}

#[test]
fn report_refuses_nobody() {
    let policy = Policy::RateLimit(Plan { mode: Mode::Report, ..plan(ADDRESS) });
    let mut state = policy.state(ONE, 0);
    let fixture = Fixture::get("/");
    assert_eq!(passed(&policy, &mut state, &fixture, 5), 5);
    let mut effects = Effects::default();
    decide(&policy, &mut state, &fixture, &mut effects);
    assert_eq!(effects.reported, Some("rate_limited"));
    assert_eq!(state.part().unwrap().take_counts().reported, 3);
    let mut state = policy.state(FIRST_OF_TWO, 0);
    let waits = client_with_its_home_elsewhere(&Policy::RateLimit(plan(ADDRESS)));
    assert_eq!(passed(&policy, &mut state, &waits, 1), 1, "and makes nobody wait");
}

/// A client whose key has its home on the other of two shards.
fn client_with_its_home_elsewhere(policy: &Policy) -> Fixture {
    for last in 0..=255 {
        let mut fixture = Fixture::get("/");
        fixture.client = IpAddr::from([192, 0, 2, last]);
        let mut state = policy.state(FIRST_OF_TWO, 0);
        if matches!(decide(policy, &mut state, &fixture, &mut Effects::default()), Decision::Ask(_)) {
            return fixture;
        }
    }
    panic!("all keys have one home")
}

#[test]
fn two_shards_ask_and_what_waits_in_vain_is_as_configured() {
    for (uncountable, status) in [(OnTrouble::Unavailable, 503), (OnTrouble::Refuse, 429), (OnTrouble::Admit, 0)] {
        let policy = Policy::RateLimit(Plan { uncountable, wait: Duration::from_millis(70), ..plan(ADDRESS) });
        let mut state = policy.state(FIRST_OF_TWO, 0);
        let fixture = client_with_its_home_elsewhere(&policy);
        let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
        let first = policy.decide(&mut state, call(&fixture.facts(), &mut effects, &mut memo));
        assert!(matches!(first, Decision::Ask(Ask::Peer { until, .. }) if until == now().after_ms(70)));
        let (home, message) = state.part().unwrap().next_message().unwrap();
        assert_eq!((home, Some(message.limit)), (ShardId(1), policy.limit().map(|(id, _)| id)));
        let mut resume = |state: &mut PolicyState, effects: &mut Effects, outcome| {
            policy.resume(state, call(&fixture.facts(), effects, &mut memo), outcome)
        };
        match resume(&mut state, &mut effects, AskOutcome::Expired) {
            Decision::Respond(response) => assert_eq!(response.status, status),
            Decision::Pass => assert_eq!((status, effects.reported), (0, Some("rate_limit_wait"))),
            Decision::Ask(_) => panic!(),
        }
        assert_eq!(state.part().unwrap().take_counts().uncounted, 1);
        // A late grant is still good.
        let mut other = policy.state(Shards { own: ShardId(1), count: 2 }, 0);
        let home = other.part().unwrap();
        home.receive(ShardId(0), &message, now());
        let (_, reply) = home.next_message().unwrap();
        state.part().unwrap().receive(ShardId(1), &reply, now());
        assert_eq!(state.part().unwrap().next_woken(), Some(message.key));
        assert_eq!(resume(&mut state, &mut effects, AskOutcome::Woken), Decision::Pass);
        // And whoever waited too long takes what is there.
        assert_eq!(resume(&mut state, &mut effects, AskOutcome::Expired), Decision::Pass);
    }
}

#[test]
fn a_key_whose_home_has_no_room_is_as_configured() {
    let policy = Policy::RateLimit(Plan { uncountable: OnTrouble::Refuse, ..plan(ADDRESS) });
    let mut state = policy.state(FIRST_OF_TWO, 0);
    let fixture = client_with_its_home_elsewhere(&policy);
    let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
    let asked = policy.decide(&mut state, call(&fixture.facts(), &mut effects, &mut memo));
    assert!(matches!(asked, Decision::Ask(_)));
    let part = state.part().unwrap();
    let (_, message) = part.next_message().unwrap();
    part.receive(ShardId(1), &Message { body: Body::NoRoom, ..message }, now());
    let decision = policy.resume(&mut state, call(&fixture.facts(), &mut effects, &mut memo), AskOutcome::Woken);
    assert!(matches!(decision, Decision::Respond(LocalResponse { status: 429, .. })));
    assert_eq!(state.part().unwrap().take_counts().uncounted, 1);
}

#[test]
fn a_reload_that_changes_only_the_rate_keeps_the_limit() {
    let id = |plan: &Plan| plan.limit_id();
    let plan = plan(ADDRESS);
    assert_eq!(id(&plan), id(&Plan { detail: "other words".into(), ..plan.clone() }));
    assert_eq!(id(&plan), id(&Plan { rate: Rate::new(61, Duration::from_secs(60), 3).unwrap(), ..plan.clone() }));
    assert_ne!(id(&plan), id(&Plan { name: "x".into(), ..plan.clone() }));
}
