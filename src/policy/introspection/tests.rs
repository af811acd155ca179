// SPDX-License-Identifier: Apache-2.0
//! Answers that come, that are remembered, and that do not come.

use serde_json::{Value, json};

use super::*;
use crate::policy::fixture::Fixture;
use crate::policy::tell::ConsumerFields;
use crate::policy::token::{ClaimPath, Credential};

/// The calendar of fixtures, in seconds.
const NOW: u64 = 1_800_000_000;

fn plan() -> Plan {
    Plan {
        locations: Box::new([TokenLocation::Scheme((*b"authorization").into(), (*b"Bearer").into())]),
        source: SourceId(1),
        wait: Duration::from_secs(1),
        fresh: Duration::from_secs(60),
        fresh_inactive: Duration::from_secs(10),
        stale: Duration::ZERO,
        tokens_kept: 100,
        rules: Rules::default(),
        consumer: None,
        to_upstream: ToUpstream {
            credential: Credential::Kept,
            consumer: ConsumerFields::Sent,
            claims: Box::new([(ClaimPath::new("sub"), (*b"X-User").into())]),
        },
        anonymous: None,
        challenge: Challenge { start: (*b"Bearer realm=\"api\"").into(), scopes: "".into() },
    }
}

struct Shard {
    plan: Plan,
    state: State,
    now: Tick,
}

impl Shard {
    fn new(plan: Plan) -> Shard {
        Shard { state: State::new(&plan, Shards { own: Default::default(), count: 1 }, 1), plan, now: Tick::ZERO }
    }

    fn judge(&mut self, token: &str, memo: &mut Memo) -> Result<Option<String>, (u16, &'static str)> {
        let mut fixture = Fixture::get("/").field("Authorization", &format!("Bearer {token}"));
        fixture.wall = Wall(NOW * 1_000_000 + self.now.nanos() / 1_000);
        let mut effects = Effects::default();
        let call = Call { facts: &fixture.facts(), effects: &mut effects, memo, now: self.now };
        match self.plan.decide(&mut self.state, call) {
            Decision::Pass => Ok(effects.identified.unwrap().claims.unwrap().subject.as_deref().map(str::to_owned)),
            Decision::Respond(response) => Err((response.status, response.reason)),
            Decision::Ask(_) => Err((0, "asks")),
        }
    }

    fn question(&mut self) -> Option<(u64, Box<str>)> {
        match ShardState::<Plan>::next_question(&mut self.state)? {
            (key, Question::Token(question)) => Some((key, question.token)),
            (
                _,
                Question::Keys(_)
                | Question::Password(_)
                | Question::Nonce(_)
                | Question::Address(_)
                | Question::Login(..)
                | Question::Sign(_),
            ) => {
                panic!("about a token")
            }
        }
    }

    fn answer(&mut self, key: u64, answer: Answer) {
        ShardState::<Plan>::receive(&mut self.state, key, answer, self.now);
    }

    /// Asks, answers, and gives what became of the request.
    fn exchange(&mut self, token: &str, answer: Answer) -> Result<Option<String>, (u16, &'static str)> {
        let mut memo = Memo::Fresh;
        assert_eq!(self.judge(token, &mut memo), Err((0, "asks")));
        let (key, asked) = self.question().unwrap();
        assert_eq!(&*asked, token);
        self.answer(key, answer);
        self.judge(token, &mut memo)
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }
}

fn active(more: Value) -> Answer {
    let mut said = json!({"active": true, "sub": "anna"});
    more.as_object().unwrap().iter().for_each(|(name, value)| said[name] = value.clone());
    Answer::Token(Some(Arc::new(said.as_object().unwrap().clone())))
}

fn anna() -> Result<Option<String>, (u16, &'static str)> {
    Ok(Some("anna".to_owned()))
}

#[test]
fn an_answer_holds_for_a_while_and_never_beyond_the_tokens_end() {
    let mut shard = Shard::new(plan());
    assert_eq!(shard.exchange("t", active(json!({}))), anna());
    shard.pass(59);
    assert_eq!(shard.judge("t", &mut Memo::Fresh), anna());
    shard.pass(1);
    assert_eq!(shard.exchange("t", active(json!({"exp": NOW + 65}))), anna());
    shard.pass(4);
    assert_eq!(shard.judge("t", &mut Memo::Fresh), anna());
    shard.pass(1);
    assert_eq!(shard.exchange("t", Answer::Token(None)), Err((401, "token_inactive")));
    shard.pass(9);
    assert_eq!(shard.judge("t", &mut Memo::Fresh), Err((401, "token_inactive")));
    shard.pass(1);
    assert_eq!(shard.exchange("t", active(json!({}))), anna());
}

#[test]
fn what_the_server_says_is_judged() {
    let mut plan = plan();
    plan.rules.audiences = Box::new(["shop".into()]);
    plan.rules.scopes = Box::new(["read".into()]);
    for (more, outcome) in [
        (json!({"aud": "shop", "scope": "read"}), anna()),
        (json!({"aud": "other", "scope": "read"}), Err((401, "token_audience"))),
        (json!({"aud": ["shop"], "scope": "write"}), Err((403, "token_scope"))),
        (json!({"aud": "shop", "scope": "read", "exp": NOW}), Err((401, "token_expired"))),
        (json!({"aud": "shop", "scope": "read", "nbf": NOW + 1}), Err((401, "token_not_yet_valid"))),
        (json!({"aud": "shop", "scope": "read", "exp": "soon"}), Err((401, "token_malformed"))),
    ] {
        let mut shard = Shard::new(plan.clone());
        assert_eq!(shard.exchange("t", active(more.clone())), outcome, "{more}");
        assert_eq!(shard.judge("t", &mut Memo::Fresh), outcome, "remembered");
    }
}

#[test]
fn one_question_for_all_that_ask_about_a_token() {
    let mut shard = Shard::new(plan());
    let (mut first, mut second) = (Memo::Fresh, Memo::Fresh);
    assert_eq!(shard.judge("t", &mut first), Err((0, "asks")));
    let (key, _) = shard.question().unwrap();
    assert_eq!(shard.judge("t", &mut second), Err((0, "asks")));
    assert!(shard.question().is_none());
    shard.answer(key, active(json!({})));
    assert_eq!(shard.judge("t", &mut first), anna());
    assert_eq!(shard.judge("t", &mut second), anna());
}

#[test]
fn while_the_server_is_down_requests_get_503_or_what_was_known() {
    let mut shard = Shard::new(plan());
    assert_eq!(shard.exchange("t", Answer::Unavailable), Err((503, "identity_unavailable")));
    assert_eq!(shard.exchange("t", Answer::Busy), Err((503, "identity_unavailable")));
    assert_eq!(shard.exchange("t", active(json!({}))), anna());
    shard.pass(60);
    assert_eq!(shard.exchange("t", Answer::Unavailable), Err((503, "identity_unavailable")), "too old");

    let mut shard = Shard::new(Plan { stale: Duration::from_secs(100), ..plan() });
    assert_eq!(shard.exchange("t", active(json!({}))), anna());
    shard.pass(159);
    assert_eq!(shard.exchange("t", Answer::Unavailable), anna());
    shard.pass(1);
    assert_eq!(shard.exchange("t", Answer::Unavailable), Err((503, "identity_unavailable")));

    // An answer that never comes.
    let mut memo = Memo::Fresh;
    assert_eq!(shard.judge("u", &mut memo), Err((0, "asks")));
    shard.question();
    shard.pass(1);
    assert_eq!(shard.judge("u", &mut memo), Err((503, "identity_unavailable")));
    assert_eq!(shard.exchange("u", active(json!({}))), anna());
}

#[test]
fn above_the_cap_nothing_is_asked() {
    let mut shard = Shard::new(plan());
    for number in 0..QUESTIONS_MAX {
        assert_eq!(shard.judge(&format!("t{number}"), &mut Memo::Fresh), Err((0, "asks")));
        shard.question();
    }
    assert_eq!(shard.judge("one more", &mut Memo::Fresh), Err((401, "token_malformed")));
    assert_eq!(shard.judge("onemore", &mut Memo::Fresh), Err((503, "identity_unavailable")));
    shard.pass(1);
    assert_eq!(shard.exchange("onemore", active(json!({}))), anna());
}

#[test]
fn what_no_token_can_be_is_not_sent() {
    let mut shard = Shard::new(plan());
    for token in ["", "é", "a b", "a\u{1}", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
        assert_eq!(shard.judge(token, &mut Memo::Fresh), Err((401, "token_malformed")), "{token:?}");
        assert!(shard.question().is_none());
    }
}
