// SPDX-License-Identifier: Apache-2.0
//! Clients by what they say of themselves, and good bots by who has their address.

use super::*;
use crate::base::Tick;
use crate::policy::facts::Effects;
use crate::policy::fixture::Fixture;

fn plan(allow: &[&str], deny: &[&str]) -> Plan {
    let patterns = allow.iter().chain(deny).map(|text| pattern(text));
    Plan {
        patterns: RegexSet::new(patterns).unwrap(),
        allowed: allow.len(),
        empty: Empty::Denied,
        status: 403,
        good: None,
    }
}

fn refused(plan: &Plan, request: &Fixture) -> Option<&'static str> {
    let facts = request.facts();
    let call = Call { facts: &facts, effects: &mut Effects::default(), memo: &mut (), now: Tick::ZERO };
    match plan.decide(&mut Agents { patterns: plan.patterns.clone(), good: None }, call) {
        Decision::Pass => None,
        Decision::Respond(response) => Some(response.reason),
        Decision::Ask(_) => panic!("it never asks"),
    }
}

fn agent(text: &str) -> Fixture {
    Fixture::get("/").field("User-Agent", text)
}

#[test]
fn what_is_named_is_refused_and_exceptions_pass() {
    let plan = plan(&["goodbot", "~^curl/8\\."], &["bot", "~curl/\\d", "a.b"]);
    for passes in ["Mozilla/5.0", "GoodBot/1.0 (a bot)", "curl/8.5.0", "axb"] {
        assert_eq!(refused(&plan, &agent(passes)), None, "{passes}");
    }
    for denied in ["EvilBot", "BOT", "x curl/8.5.0", "curl/7.1", "A.B", "Mozilla é bot"] {
        assert_eq!(refused(&plan, &agent(denied)), Some("bots_denied"), "{denied}");
    }
    let two = agent("Mozilla/5.0").field("user-agent", "Mozilla/5.0");
    assert_eq!(refused(&plan, &two), Some("bots_denied"), "who says two things is not believed");
}

#[test]
fn who_says_nothing_is_refused_or_not() {
    let plan = plan(&[], &["bot"]);
    for nothing in [Fixture::get("/"), agent(""), agent(" \t")] {
        assert_eq!(refused(&plan, &nothing), Some("bots_empty"));
        assert_eq!(refused(&Plan { empty: Empty::Allowed, ..plan.clone() }, &nothing), None);
    }
    let hidden = agent("").field("User-Agent", "EvilBot");
    assert!(refused(&Plan { empty: Empty::Allowed, ..plan }, &hidden).is_some());
}

#[test]
fn lists_are_in_lower_case_in_order_and_hit_no_browser() {
    let browsers = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    ];
    for list in [SCANNERS, AI_CRAWLERS, SCRIPTS] {
        assert!(list.is_sorted() && list.iter().all(|name| *name == name.to_ascii_lowercase()));
        let plan = plan(&[], list);
        assert!(browsers.iter().all(|browser| refused(&plan, &agent(browser)).is_none()));
    }
    let denied = |list: &[&str], text: &str| refused(&plan(&[], list), &agent(text)).is_some();
    assert!(denied(SCANNERS, "sqlmap/1.8#stable (https://sqlmap.org)"));
    assert!(denied(AI_CRAWLERS, "Mozilla/5.0 AppleWebKit/537.36; compatible; GPTBot/1.2"));
}

fn verifying(unknown: Unknown) -> Plan {
    let good = Good {
        agents: RegexSet::new([pattern("goodbot")]).unwrap(),
        domains: Box::new([[Box::from("good.test")].into()]),
        wait: Duration::from_secs(3),
        unknown,
    };
    Plan { good: Some(good), ..plan(&[], &["bot"]) }
}

/// What becomes of a request from an address: the reason of a refusal, `asks`, or nothing.
fn judged(plan: &Plan, agents: &mut Agents, address: &str, now: Tick, turn: Turn) -> Option<&'static str> {
    let mut request = agent("GoodBot/1.0");
    request.client = address.parse().unwrap();
    let facts = request.facts();
    let mut effects = Effects::default();
    let call = Call { facts: &facts, effects: &mut effects, memo: &mut (), now };
    let decision = match turn {
        Turn::First => plan.decide(agents, call),
        Turn::Last => plan.resume(agents, call, AskOutcome::Woken),
    };
    match decision {
        Decision::Pass => None,
        Decision::Respond(response) => Some(response.reason),
        Decision::Ask(_) => Some("asks"),
    }
}

fn state(plan: &Plan) -> Agents {
    Agents::new(plan, Shards { own: Default::default(), count: 1 }, 1)
}

fn asked(agents: &mut Agents) -> u64 {
    let (key, question) = ShardState::<Plan>::next_question(agents).expect("a question");
    assert!(matches!(question, Question::Address(question) if *question.domains[0] == *"good.test"));
    key
}

#[test]
fn a_good_bot_passes_where_its_owner_has_the_address_and_an_impostor_does_not() {
    let (plan, now) = (verifying(Unknown::Refused), Tick::ZERO);
    let mut agents = state(&plan);
    for (address, answer, outcome, kept) in
        [("10.0.0.1", Belonging::Confirmed, None, 3_599), ("10.0.0.2", Belonging::Denied, Some("bots_impostor"), 599)]
    {
        assert_eq!(judged(&plan, &mut agents, address, now, Turn::First), Some("asks"));
        assert_eq!(judged(&plan, &mut agents, address, now, Turn::First), Some("asks"));
        let key = asked(&mut agents);
        assert!(ShardState::<Plan>::next_question(&mut agents).is_none(), "one question for both");
        ShardState::<Plan>::receive(&mut agents, key, Answer::Address(answer), now);
        assert_eq!(judged(&plan, &mut agents, address, now, Turn::Last), outcome);
        let late = now.after(Duration::from_secs(kept));
        assert_eq!(judged(&plan, &mut agents, address, late, Turn::First), outcome, "it is remembered");
        let later = late.after(Duration::from_secs(1));
        assert_eq!(judged(&plan, &mut agents, address, later, Turn::First), Some("asks"));
        asked(&mut agents);
    }
}

#[test]
fn whom_nobody_knows_is_refused_or_judged_as_any_other() {
    for (unknown, outcome) in [(Unknown::Refused, "bots_unverified"), (Unknown::Judged, "bots_denied")] {
        let (plan, now) = (verifying(unknown), Tick::ZERO);
        let mut agents = state(&plan);
        assert_eq!(judged(&plan, &mut agents, "10.0.0.1", now, Turn::First), Some("asks"));
        let key = asked(&mut agents);
        ShardState::<Plan>::receive(&mut agents, key, Answer::Unavailable, now);
        assert_eq!(judged(&plan, &mut agents, "10.0.0.1", now, Turn::Last), Some(outcome));
        // The table of open questions has an end.
        for number in 0..crate::base::limits::ADDRESS_QUESTIONS_MAX {
            let address = format!("10.1.{}.{}", number / 256, number % 256);
            assert_eq!(judged(&plan, &mut agents, &address, now, Turn::First), Some("asks"));
        }
        assert_eq!(judged(&plan, &mut agents, "10.2.0.1", now, Turn::First), Some(outcome));
        let later = now.after(Duration::from_secs(3));
        assert_eq!(judged(&plan, &mut agents, "10.2.0.1", later, Turn::First), Some("asks"));
    }
}

#[test]
fn known_bots_are_in_order_and_in_lower_case() {
    assert!(KNOWN_BOTS.is_sorted_by_key(|bot| bot.name));
    let texts = KNOWN_BOTS.iter().flat_map(|bot| bot.agents.iter().chain(bot.domains));
    assert!(
        texts.into_iter().all(|text| *text == text.to_ascii_lowercase() && text.contains(|c: char| c.is_alphabetic()))
    );
}
