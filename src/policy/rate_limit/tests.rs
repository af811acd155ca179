// SPDX-License-Identifier: Apache-2.0
//! What a client, the upstream and the control plane see of a rate limit.

use std::net::IpAddr;

use super::*;
use crate::base::ConsumerId;
use crate::base::NetworkSet;
use crate::policy::fixture::{Fixture, NamedValues, ResponseFixture, added};
use crate::policy::identity::Identity;
use crate::policy::limit::calendar::{Calendar, Unit};
use crate::policy::limit::gcra::Meter;
use crate::policy::limit::{Body, Message, ShardId};
use crate::policy::limit_key::{Absent, KeyPart};
use crate::policy::{LocalBody, LocalResponse, Policy, PolicyMemo, PolicyState};
use crate::wire::template::Template;

fn plan(key: Key) -> Plan {
    Plan::new("per-minute", Rate::new(60, Duration::from_secs(60), 3).unwrap(), key)
}

const ONE: Shards = Shards { own: ShardId(0), count: 1 };
const FIRST_OF_TWO: Shards = Shards { own: ShardId(0), count: 2 };

fn by_network(v4_prefix: u8, v6_prefix: u8) -> Key {
    Key::of(KeyPart::Address { v4_prefix, v6_prefix }, "network")
}

fn by_header(name: &str) -> Key {
    Key::of(KeyPart::Header(name.as_bytes().into()), name)
}

fn part(state: &mut PolicyState) -> &mut Part {
    &mut state.parts().unwrap().list()[0]
}

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
    let policy = Policy::RateLimit(plan(Key::address()));
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
    assert!(apart(Key::address(), &one, &other));
    assert!(!apart(by_network(24, 64), &one, &other));
    assert!(!apart(by_network(0, 0), &one, &other));
    assert!(!apart(Key::everything(), &one, &other));
    assert!(apart(by_header("x-team"), &one, &other));
    assert!(apart(by_header("x-none"), &one, &other), "by address, where the field is missing");
    assert!(apart(Key::of(KeyPart::Consumer, "consumer"), &one, &other), "by address, where nobody is known");
    // By their names: a reload may number them anew.
    one.identity = Identity::of(ConsumerId(1), "test");
    other.identity = Identity::of(ConsumerId(2), "test");
    (one.consumer_name, other.consumer_name) = ("c", "c");
    assert!(!apart(Key::of(KeyPart::Consumer, "consumer"), &one, &other));
    one.client = "2001:db8::1".parse().unwrap();
    other.client = "2001:db8::ffff:2".parse().unwrap();
    assert!(!apart(Key::address(), &one, &other), "one /64 is one client");
    one.client = "::ffff:192.0.2.77".parse().unwrap();
    other.client = "192.0.2.77".parse().unwrap();
    assert!(!apart(Key::address(), &one, &other));
    other.route_name = "other";
    let policy = Policy::RateLimit(Plan { scope: Scope::PerRoute, ..plan(Key::everything()) });
    let mut state = policy.state(ONE, 0);
    assert_eq!(passed(&policy, &mut state, &one, 5) + passed(&policy, &mut state, &other, 5), 6);
}

#[test]
fn a_header_with_several_lines_is_no_key() {
    let policy = Policy::RateLimit(plan(by_header("x-team")));
    let mut state = policy.state(ONE, 0);
    let twice = |first: &str| Fixture::get("/").field("X-Team", first).field("x-team", "a");
    let all = (0..5).map(|number| passed(&policy, &mut state, &twice(&number.to_string()), 1)).sum::<usize>();
    assert_eq!(all, 3, "whoever varies one line is counted by his address");
    assert_eq!(passed(&policy, &mut state, &Fixture::get("/").field("X-Team", "a"), 5), 3);
}

#[test]
fn only_requests_with_the_named_statuses_count() {
    let policy = Policy::RateLimit(Plan { counted: Box::new([(401, 401), (500, 599)]), ..plan(Key::address()) });
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
    let counts = part(&mut state).take_counts();
    assert_eq!((counts.admitted, counts.returned, counts.refused), (15, 12, 1));
}

#[test]
fn where_it_only_reports_only_what_counts_is_reported() {
    let reporting = Plan { counted: Box::new([(401, 401)]), mode: Mode::Report, ..plan(Key::address()) };
    let policy = Policy::RateLimit(reporting);
    let fixture = client_with_its_home_elsewhere(&Policy::RateLimit(plan(Key::address())));
    let mut state = policy.state(FIRST_OF_TWO, 0);
    for status in [200, 401] {
        let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
        let decision = policy.decide(&mut state, call(&fixture.facts(), &mut effects, &mut memo));
        assert_eq!((decision, effects.settles), (Decision::Pass, true), "nobody waits for the home");
        policy.settle(&mut state, &mut memo, Outcome::Status(status), now());
    }
    let part = part(&mut state);
    let (_, message) = part.next_message().unwrap();
    // The home has nothing left: only the request that counts would have been refused.
    let none = Message { body: Body::Grant { piece: Meter::EMPTY }, ..message };
    part.receive(ShardId(1), &none, now());
    assert_eq!(part.take_counts().reported, 1);
}

#[test]
fn report_refuses_nobody() {
    let policy = Policy::RateLimit(Plan { mode: Mode::Report, ..plan(Key::address()) });
    let mut state = policy.state(ONE, 0);
    let fixture = Fixture::get("/");
    assert_eq!(passed(&policy, &mut state, &fixture, 5), 5);
    let mut effects = Effects::default();
    decide(&policy, &mut state, &fixture, &mut effects);
    assert_eq!(effects.reported, Some("rate_limited"));
    assert_eq!(part(&mut state).take_counts().reported, 3);
    let mut state = policy.state(FIRST_OF_TWO, 0);
    let waits = client_with_its_home_elsewhere(&Policy::RateLimit(plan(Key::address())));
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
        let policy = Policy::RateLimit(Plan { uncountable, wait: Duration::from_millis(70), ..plan(Key::address()) });
        let mut state = policy.state(FIRST_OF_TWO, 0);
        let fixture = client_with_its_home_elsewhere(&policy);
        let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
        let first = policy.decide(&mut state, call(&fixture.facts(), &mut effects, &mut memo));
        assert!(matches!(first, Decision::Ask(Ask::Peer { until, .. }) if until == now().after_ms(70)));
        let (home, message) = part(&mut state).next_message().unwrap();
        assert_eq!((home, Some(message.limit)), (ShardId(1), policy.limit_id()));
        let mut resume = |state: &mut PolicyState, effects: &mut Effects, outcome| {
            policy.resume(state, call(&fixture.facts(), effects, &mut memo), outcome)
        };
        match resume(&mut state, &mut effects, AskOutcome::Expired) {
            Decision::Respond(response) => assert_eq!(response.status, status),
            Decision::Pass => assert_eq!((status, effects.reported), (0, Some("rate_limit_wait"))),
            Decision::Ask(_) => panic!(),
        }
        assert_eq!(part(&mut state).take_counts().uncounted, 1);
        // A late grant is still good.
        let mut other = policy.state(Shards { own: ShardId(1), count: 2 }, 0);
        let home = part(&mut other);
        home.receive(ShardId(0), &message, now());
        let (_, reply) = home.next_message().unwrap();
        part(&mut state).receive(ShardId(1), &reply, now());
        assert_eq!(part(&mut state).next_woken(), Some(message.key));
        assert_eq!(resume(&mut state, &mut effects, AskOutcome::Woken), Decision::Pass);
        // And whoever waited too long takes what is there.
        assert_eq!(resume(&mut state, &mut effects, AskOutcome::Expired), Decision::Pass);
    }
}

#[test]
fn a_key_whose_home_has_no_room_is_as_configured() {
    let policy = Policy::RateLimit(Plan { uncountable: OnTrouble::Refuse, ..plan(Key::address()) });
    let mut state = policy.state(FIRST_OF_TWO, 0);
    let fixture = client_with_its_home_elsewhere(&policy);
    let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
    let asked = policy.decide(&mut state, call(&fixture.facts(), &mut effects, &mut memo));
    assert!(matches!(asked, Decision::Ask(_)));
    let part = part(&mut state);
    let (_, message) = part.next_message().unwrap();
    part.receive(ShardId(1), &Message { body: Body::NoRoom, ..message }, now());
    let decision = policy.resume(&mut state, call(&fixture.facts(), &mut effects, &mut memo), AskOutcome::Woken);
    assert!(matches!(decision, Decision::Respond(LocalResponse { status: 429, .. })));
    assert_eq!(state.parts().unwrap().take_counts().uncounted, 1);
}

#[test]
fn a_reload_that_changes_only_the_rate_keeps_the_limit() {
    let id = |plan: &Plan| plan.limit_id();
    let plan = plan(Key::address());
    assert_eq!(id(&plan), id(&Plan { detail: "other words".into(), ..plan.clone() }));
    let more = Rate::new(61, Duration::from_secs(60), 3).unwrap();
    assert_eq!(id(&plan), id(&Plan { windows: windows(&[more]), ..plan.clone() }));
    assert_ne!(id(&plan), id(&Plan { windows: windows(&[more, more]), ..plan.clone() }));
    assert_ne!(id(&plan), id(&Plan { name: "x".into(), ..plan.clone() }));
}

fn windows(rates: &[Rate]) -> Box<[Window]> {
    let window = |(at, rate): (usize, &Rate)| {
        let calendar = rate.is_counted().then(|| Calendar { unit: Unit::Day, zone: jiff::tz::TimeZone::UTC });
        Window::new(format!("w{at}").into(), *rate, calendar, None)
    };
    rates.iter().enumerate().map(window).collect()
}

fn rate(count: u32, seconds: u64, burst: u32) -> Rate {
    Rate::new(count, Duration::from_secs(seconds), burst).unwrap()
}

#[test]
fn what_one_window_refuses_the_others_have_not_counted() {
    let both = [rate(1, 1_000, 5), Rate::counted(3).unwrap(), rate(1, 1_000, 4)];
    let policy = Policy::RateLimit(Plan { windows: windows(&both), ..plan(Key::address()) });
    let mut state = policy.state(ONE, 0);
    let fixture = Fixture::get("/");
    assert_eq!(passed(&policy, &mut state, &fixture, 9), 3, "the day allows three");
    let mut next_day = Fixture::get("/");
    next_day.wall.0 += 24 * 3_600 * 1_000_000;
    let later = |state: &mut PolicyState, memo: &mut PolicyMemo, effects: &mut Effects| {
        let facts = next_day.facts();
        let call = Call { facts: &facts, effects, memo, now: now().after_ms(2_000) };
        policy.decide(state, call) == Decision::Pass
    };
    let mut effects = Effects::default();
    assert!(later(&mut state, &mut PolicyMemo::Unused, &mut effects), "one is left of the others");
    assert_eq!(
        added(&effects.to_client),
        [
            ("RateLimit-Policy", "\"w2\";q=4;w=4000, \"w0\";q=5;w=5000, \"w1\";q=3;w=86400"),
            ("RateLimit", "\"w2\";r=0;t=998, \"w0\";r=1;t=998, \"w1\";r=2;t=57600"),
        ],
        "the tightest first"
    );
    effects.clear();
    assert!(!later(&mut state, &mut PolicyMemo::Unused, &mut effects));
    assert_eq!(added(&effects.to_client)[2], ("Retry-After", "998"));
}

#[test]
fn who_changes_tier_within_a_window_goes_on_as_used_up_as_it_was() {
    // Four of the free tier, or eight of the other, in a window of eight slots that fills in 800 seconds.
    let share = |units| -> Box<[Share]> { Box::new([Share { window: 0, units }]) };
    let tiers = Tiers {
        by: Template::compile("{header.X-Plan}", &[]).unwrap(),
        list: Box::new([((*b"<Header(\"X-Plan\")>").into(), share(1))]),
        others: share(2),
    };
    let limited = Plan { windows: windows(&[rate(8, 800, 8)]), tiers: Some(tiers), ..plan(Key::address()) };
    let gold = Policy::RateLimit(limited.clone());
    let mut free = limited;
    free.tiers.as_mut().unwrap().list = Box::default();
    let free = Policy::RateLimit(free);
    let mut state = free.state(ONE, 0);
    let fixture = Fixture::get("/");
    let mut effects = Effects::default();
    assert_eq!(decide(&free, &mut state, &fixture, &mut effects), Decision::Pass);
    assert_eq!(
        added(&effects.to_client),
        [("RateLimit-Policy", "\"w0\";q=4;w=800"), ("RateLimit", "\"w0\";r=3;t=200")]
    );
    assert_eq!(passed(&free, &mut state, &fixture, 1), 1);
    // Half of it is used, and half of the other's is left.
    assert_eq!(passed(&gold, &mut state, &fixture, 9), 4);
    assert_eq!(passed(&free, &mut state, &fixture, 9), 0);
    effects.clear();
    decide(&free, &mut state, &fixture, &mut effects);
    assert_eq!(added(&effects.to_client)[2], ("Retry-After", "200"));
    let mut state = free.state(ONE, 0);
    assert_eq!(passed(&free, &mut state, &fixture, 9), 4);
    let mut state = gold.state(ONE, 0);
    assert_eq!(passed(&gold, &mut state, &fixture, 9), 8);
}

#[test]
fn a_request_counts_what_its_response_says() {
    let cost = Cost { units: 3, response_field: Some((*b"x-cost").into()), max: 10, ..Cost::default() };
    let policy = Policy::RateLimit(Plan { cost, windows: windows(&[rate(1, 1, 10)]), ..plan(Key::address()) });
    for shards in [ONE, FIRST_OF_TWO] {
        let mut state = policy.state(shards, 0);
        let fixture = (0..=255).map(|last| {
            let mut fixture = Fixture::get("/");
            fixture.client = IpAddr::from([192, 0, 2, last]);
            fixture
        });
        let at_home = |fixture: &Fixture| {
            decide(&policy, &mut policy.state(shards, 0), fixture, &mut Effects::default()) == Decision::Pass
        };
        let fixture = fixture.into_iter().find(at_home).unwrap();
        let mut ask = |millis: u64, told: Option<&str>| {
            let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
            let facts = fixture.facts();
            let now = now().after_ms(millis);
            let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now };
            let decision = policy.decide(&mut state, call);
            let response = ResponseFixture::new(200);
            let response = told.into_iter().fold(response, |response, told| response.field("X-Cost", told));
            policy.adapt(Some(&mut memo), response.response(), &NamedValues, &mut effects);
            policy.settle(&mut state, &mut memo, Outcome::Status(200), now);
            decision == Decision::Pass
        };
        assert!(ask(0, Some("0")) && ask(0, Some("0")), "nothing of ten is used");
        assert!(ask(0, Some("1")) && ask(0, None), "six are left");
        assert!(ask(0, Some("10")), "and four are owed");
        assert!(!ask(6_900, Some("0")), "until they are paid, and three are there");
        assert!(ask(7_000, Some("0")));
    }
}

#[test]
fn a_burst_is_delayed_to_the_rate() {
    let delaying = Plan { delay_after: Some(1), windows: windows(&[rate(10, 1, 5)]), ..plan(Key::address()) };
    let policy = Policy::RateLimit(delaying);
    let mut state = policy.state(ONE, 0);
    let facts = Fixture::get("/");
    let mut delays = Vec::new();
    for _ in 0..6 {
        let (mut effects, mut memo) = (Effects::default(), PolicyMemo::Unused);
        delays.push(match policy.decide(&mut state, call(&facts.facts(), &mut effects, &mut memo)) {
            Decision::Pass => Some(0),
            Decision::Ask(Ask::Pause { until }) => {
                let facts = facts.facts();
                let call = call(&facts, &mut effects, &mut memo);
                assert_eq!(policy.resume(&mut state, call, AskOutcome::Woken), Decision::Pass);
                Some(until.since(now()).as_millis())
            }
            Decision::Ask(_) | Decision::Respond(_) => None,
        });
    }
    assert_eq!(delays, [Some(0), Some(0), Some(100), Some(200), Some(300), None]);
}

#[test]
fn who_is_refused_too_often_is_banned_on_all_shards() {
    let rule = BanRule { after: 2, within: Duration::from_secs(10), lasts: Duration::from_secs(60) };
    let banning = Plan { ban: Some(rule), uncountable: OnTrouble::Refuse, ..plan(Key::address()) };
    let policy = Policy::RateLimit(banning);
    let (mut state, mut other) = (policy.state(FIRST_OF_TWO, 0), policy.state(Shards { own: ShardId(1), count: 2 }, 0));
    let fixture = {
        let at_home = |last: &u8| {
            let mut fixture = Fixture::get("/");
            fixture.client = IpAddr::from([192, 0, 2, *last]);
            decide(&policy, &mut policy.state(FIRST_OF_TWO, 0), &fixture, &mut Effects::default()) == Decision::Pass
        };
        let mut fixture = Fixture::get("/");
        fixture.client = IpAddr::from([192, 0, 2, (0..=255).find(at_home).unwrap()]);
        fixture
    };
    let reason = |state: &mut PolicyState, effects: &mut Effects| match decide(&policy, state, &fixture, effects) {
        Decision::Respond(response) => response.reason,
        Decision::Pass => "pass",
        Decision::Ask(_) => "ask",
    };
    let mut effects = Effects::default();
    let mut reasons: Vec<&str> = (0..6).map(|_| reason(&mut state, &mut effects)).collect();
    assert_eq!(reasons.split_off(3), ["rate_limited", "rate_limited", "rate_limit_banned"]);
    while let Some((to, message)) = part(&mut state).next_message() {
        assert_eq!(to, ShardId(1));
        part(&mut other).receive(ShardId(0), &message, now());
    }
    effects.clear();
    assert_eq!(reason(&mut other, &mut effects), "rate_limit_banned");
    assert_eq!(added(&effects.to_client), [("Retry-After", "60")]);
}

#[test]
fn who_is_exempt_is_not_counted() {
    let networks = NetworkSet::new(&["192.0.2.0/24".parse().unwrap()]);
    let exempt = Exempt { networks, consumers: Box::new(["internal".into()]) };
    let policy = Policy::RateLimit(Plan { exempt, ..plan(Key::everything()) });
    let mut state = policy.state(ONE, 0);
    let mut fixture = Fixture::get("/");
    assert_eq!(passed(&policy, &mut state, &fixture, 9), 9);
    fixture.client = "198.51.100.1".parse().unwrap();
    (fixture.identity.consumer, fixture.consumer_name) = (Some(ConsumerId(0)), "internal");
    assert_eq!(passed(&policy, &mut state, &fixture, 9), 9);
    fixture.identity.consumer = None;
    assert_eq!(passed(&policy, &mut state, &fixture, 9), 3, "a name is not enough");
    (fixture.identity.consumer, fixture.consumer_name) = (Some(ConsumerId(1)), "other");
    assert_eq!(passed(&policy, &mut state, &fixture, 9), 0);
}

#[test]
fn who_lacks_the_key_is_refused_where_that_was_chosen() {
    let refusing = Key { absent: Absent::Refuse, ..by_header("x-team") };
    let policy = Policy::RateLimit(plan(refusing));
    let mut state = policy.state(ONE, 0);
    let decision = decide(&policy, &mut state, &Fixture::get("/"), &mut Effects::default());
    let Decision::Respond(response) = decision else { panic!() };
    assert_eq!((response.status, response.reason), (403, "rate_limit_no_key"));
    let skipping = Key { absent: Absent::Skip, ..by_header("x-team") };
    let policy = Policy::RateLimit(plan(skipping));
    assert_eq!(passed(&policy, &mut policy.state(ONE, 0), &Fixture::get("/"), 9), 9);
}

#[test]
fn other_gateways_fields_say_the_same() {
    const CASES: &[(Dialect, &[(&str, &str)])] = &[
        (
            Dialect::XRateLimit,
            &[("X-RateLimit-Limit", "3"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1")],
        ),
        (
            Dialect::Kong,
            &[
                ("RateLimit-Limit", "3"),
                ("RateLimit-Remaining", "0"),
                ("RateLimit-Reset", "1"),
                ("X-RateLimit-Limit-Minute", "3"),
                ("X-RateLimit-Remaining-Minute", "0"),
            ],
        ),
        (Dialect::Traefik, &[]),
        (
            Dialect::Github,
            &[
                ("X-RateLimit-Limit", "3"),
                ("X-RateLimit-Remaining", "0"),
                ("X-RateLimit-Used", "3"),
                ("X-RateLimit-Reset", "1800000001"),
                ("X-RateLimit-Resource", "per-minute"),
            ],
        ),
    ];
    for (dialect, expected) in CASES {
        let mut telling = plan(Key::address());
        telling.told.dialects = Box::new([*dialect]);
        telling.windows[0].unit = Some(Unit::Minute);
        let policy = Policy::RateLimit(telling);
        let mut state = policy.state(ONE, 0);
        passed(&policy, &mut state, &Fixture::get("/"), 3);
        let mut effects = Effects::default();
        decide(&policy, &mut state, &Fixture::get("/"), &mut effects);
        let mut expected = expected.to_vec();
        expected.push(("Retry-After", "1"));
        if *dialect == Dialect::Traefik {
            expected.push(("X-Retry-In", "1.000s"));
        }
        assert_eq!(added(&effects.to_client), expected, "{dialect:?}");
    }
}
