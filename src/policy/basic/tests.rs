// SPDX-License-Identifier: Apache-2.0
//! Tests of `basic`, with hashes that cost nothing.

use proptest::prelude::{prop, prop_assert, proptest};

use super::*;
use crate::base::{ConsumerId, CredentialId};
use crate::policy::directory::{Directory, Expiry, Own, Parts, Revision, Snapshot, Standing};
use crate::policy::fixture::{self, Fixture, added};

fn user(name: &str, password: &str) -> User {
    let digest = STANDARD.encode(<sha1::Sha1 as sha1::Digest>::digest(password));
    let hash = Arc::new(PasswordHash::parse(&format!("{{SHA}}{digest}")).unwrap());
    User { name: name.into(), hash }
}

fn plan() -> Plan {
    Plan {
        users: Users::new(vec![user("bob", "pass:word"), user("anna", "geheim"), user("jürgen", "pässwörd")]),
        stored: Stored::Ignored,
        consumers: None,
        charset: Charset::Utf8,
        credential: Hiding::Removed,
        consumer_fields: ConsumerFields::Sent,
        user_field: Some((*b"X-Forwarded-User").into()),
        anonymous: None,
        challenge: (*b"Basic realm=\"api\", charset=\"UTF-8\"").into(),
        keep: Duration::from_secs(60),
        timeout: Duration::from_secs(5),
    }
}

/// Consumers, one of them with a stored credential.
fn directory() -> Directory {
    let consumer = |number, name: &str, id: &str| {
        let own = Own { id: id.into(), attributes: Box::default() };
        Consumer::new(ConsumerId(number), name, Standing::Active, Arc::default(), own)
    };
    let stored = |lookup: &[u8], secret: &str, consumer| {
        Arc::new(Credential {
            number: CredentialId(9),
            kind: CredentialKind::Basic,
            lookup: lookup.into(),
            secret: secret.as_bytes().into(),
            consumer: ConsumerId(consumer),
            app: None,
            expires: Expiry::of(None),
        })
    };
    let parts = Parts {
        consumers: vec![consumer(0, "anna", "17"), consumer(1, "jürgen", "")],
        // The password of the first is `password`.
        credentials: vec![
            stored(b"anna-tool", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", 0),
            stored(b"orphan", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", 7),
            stored(b"broken", "password", 0),
            stored(b"bob", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", 0),
        ],
        ..Parts::default()
    };
    Directory::new(Arc::new(Snapshot::new(Revision(1), parts)))
}

fn get(target: &str) -> Fixture {
    Fixture { directory: directory(), ..Fixture::get(target) }
}

/// What came of a request: the user that the upstream is told of, or why it was refused. Questions are answered.
fn who(plan: &Plan, state: &mut State, fixture: &Fixture, effects: &mut Effects) -> Result<String, &'static str> {
    let (facts, mut memo) = (fixture.facts(), Memo::default());
    fixture::protect(plan, facts.request, effects);
    let mut decision = plan.decide(state, Call { facts: &facts, effects, memo: &mut memo, now: Tick::ZERO });
    if let Decision::Ask(Ask::Control { key, .. }) = decision {
        let Some((asked, Question::Password(question))) = state.next_question() else { panic!("it asks") };
        assert_eq!(asked, key);
        state.receive(key, Answer::Password(question.hash.verify(&question.password)), Tick::ZERO);
        let call = Call { facts: &facts, effects, memo: &mut memo, now: Tick::ZERO };
        decision = plan.resume(state, call, AskOutcome::Woken);
    }
    match decision {
        Decision::Pass => {
            let told = added(&effects.to_upstream);
            let user = told.iter().find(|(name, _)| *name == "X-Forwarded-User");
            Ok(user.map_or(String::new(), |(_, name)| (*name).to_owned()))
        }
        Decision::Respond(response) => {
            let challenged = added(&effects.to_client).iter().any(|(name, _)| *name == "WWW-Authenticate");
            assert_eq!(challenged, response.status == 401);
            Err(response.reason)
        }
        Decision::Ask(_) => panic!("it asks once"),
    }
}

fn fresh(plan: &Plan) -> State {
    State { verdicts: Verdicts::new(), keep: plan.keep }
}

fn sent(text: &[u8]) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

/// What a client sends in `Authorization`, and what comes of it.
const CASES: &[(&str, &[&str], Result<&str, &str>)] = &[
    ("the right password", &["Basic YW5uYTpnZWhlaW0="], Ok("anna")),
    ("the scheme in any case", &["bAsIc   YW5uYTpnZWhlaW0="], Ok("anna")),
    ("colons belong to the password", &["Basic Ym9iOnBhc3M6d29yZA=="], Ok("bob")),
    ("nothing", &[], Err("basic_missing")),
    ("another scheme", &["Bearer YW5uYTpnZWhlaW0="], Err("basic_missing")),
    ("a scheme that begins like it", &["Basics YW5uYTpnZWhlaW0="], Err("basic_missing")),
    ("a tab for the space", &["Basic\tYW5uYTpnZWhlaW0="], Err("basic_missing")),
    ("no credentials", &["Basic"], Err("basic_malformed")),
    ("no colon", &["Basic YW5uYQ=="], Err("basic_malformed")),
    ("an empty name", &["Basic OmdlaGVpbQ=="], Err("basic_malformed")),
    ("an empty password", &["Basic YW5uYTo="], Err("basic_wrong")),
    ("not base64", &["Basic YW5uYTpnZWhlaW0!"], Err("basic_malformed")),
    ("base64 without padding", &["Basic YW5uYTpnZWhlaW0"], Err("basic_malformed")),
    ("base64 with more behind it", &["Basic YW5uYTpnZWhlaW0= x"], Err("basic_malformed")),
    ("base64 with bits behind the last byte", &["Basic YW5uYTpnZWhlaW1="], Err("basic_malformed")),
    ("base64url", &["Basic _-5uYTpnZWhlaW0="], Err("basic_malformed")),
    ("a list of two", &["Basic YW5uYTpnZWhlaW0=, Basic YW5uYTpnZWhlaW0="], Err("basic_malformed")),
    ("two fields", &["Basic YW5uYTpnZWhlaW0=", "Basic YW5uYTpnZWhlaW0="], Err("basic_ambiguous")),
    ("two fields with different schemes", &["Bearer x", "Basic YW5uYTpnZWhlaW0="], Err("basic_ambiguous")),
    ("another case of the name", &["Basic QW5uYTpnZWhlaW0="], Err("basic_wrong")),
    ("another case of the password", &["Basic YW5uYTpHZWhlaW0="], Err("basic_wrong")),
    ("a zero byte in the password", &["Basic YW5uYTpnZWhlaW0A"], Err("basic_malformed")),
    ("a line break in the name", &["Basic YW5uCmE6Z2VoZWlt"], Err("basic_malformed")),
    ("bytes that are no UTF-8", &["Basic auRubmE6Z2VoZWlt"], Err("basic_malformed")),
    ("nobody's name", &["Basic bm9ib2R5OmdlaGVpbQ=="], Err("basic_wrong")),
    ("another's password", &["Basic YW5uYTpwYXNzOndvcmQ="], Err("basic_wrong")),
];

#[test]
fn only_the_right_credentials_pass() {
    let plan = plan();
    let mut state = fresh(&plan);
    // The second round finds the verdicts of the first.
    for (what, values, expected) in CASES.iter().chain(CASES) {
        let fixture = values.iter().fold(get("/"), |made, value| made.field("Authorization", value));
        let found = who(&plan, &mut state, &fixture, &mut Effects::default());
        assert_eq!(found.as_deref().map_err(|reason| *reason), *expected, "{what}");
    }
    let umlauts = get("/").field("Authorization", &sent("jürgen:pässwörd".as_bytes()));
    assert_eq!(who(&plan, &mut state, &umlauts, &mut Effects::default()), Ok("jürgen".to_owned()));
    let long = get("/").field("Authorization", &sent(&[b"anna:".to_vec(), vec![b'x'; 2_000]].concat()));
    assert_eq!(who(&plan, &mut state, &long, &mut Effects::default()), Err("basic_wrong"));
}

#[test]
fn an_unknown_name_is_checked_like_a_known_one() {
    let plan = plan();
    for (name, expected) in [("anna", "basic_wrong"), ("nobody", "basic_wrong"), ("somebody", "basic_wrong")] {
        let fixture = get("/").field("Authorization", &sent(format!("{name}:x").as_bytes()));
        let (facts, mut effects, mut memo) = (fixture.facts(), Effects::default(), Memo::default());
        let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
        let mut state = fresh(&plan);
        let asks = matches!(plan.decide(&mut state, call), Decision::Ask(Ask::Control { .. }));
        assert!(asks && state.next_question().is_some(), "{name}");
        assert_eq!(who(&plan, &mut fresh(&plan), &fixture, &mut Effects::default()), Err(expected));
    }
    // Not even the password of the one whose hash stands in.
    let mut state = fresh(&plan);
    let list = [("anna", "geheim"), ("bob", "pass:word"), ("jürgen", "pässwörd")];
    for (_, password) in list {
        for nobody in ["nobody", "somebody", "x", "y", "z"] {
            let fixture = get("/").field("Authorization", &sent(format!("{nobody}:{password}").as_bytes()));
            assert_eq!(who(&plan, &mut state, &fixture, &mut Effects::default()), Err("basic_wrong"));
        }
    }
    assert!(Users::new(Vec::new()).find(b"x").is_none());
}

#[test]
fn without_a_verdict_nobody_passes() {
    let plan = plan();
    let fixture = get("/").field("Authorization", "Basic YW5uYTpnZWhlaW0=");
    for outcome in [AskOutcome::Expired, AskOutcome::Failed, AskOutcome::Woken] {
        let mut state = fresh(&plan);
        let (facts, mut effects, mut memo) = (fixture.facts(), Effects::default(), Memo::default());
        let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
        plan.decide(&mut state, call);
        if let AskOutcome::Woken = outcome {
            let (key, _) = state.next_question().expect("it asks");
            state.receive(key, Answer::Busy, Tick::ZERO);
        }
        let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
        let Decision::Respond(response) = plan.resume(&mut state, call, outcome) else { panic!("{outcome:?}") };
        assert_eq!((response.status, response.reason), (503, "basic_busy"));
    }
}

#[test]
fn the_upstream_sees_who_it_is_and_no_password() {
    let plan = plan();
    let fixture = get("/")
        .field("Accept", "*/*")
        .field("Authorization", "Basic YW5uYTpnZWhlaW0=")
        .field("X-Consumer-Name", "root")
        .field("x_consumer_id", "0")
        .field("X_Forwarded_User", "root")
        .field("X-Forwarded-User", "root");
    let mut effects = Effects::default();
    assert_eq!(who(&plan, &mut fresh(&plan), &fixture, &mut effects), Ok("anna".to_owned()));
    assert_eq!(fixture.left(&effects.to_upstream), [("Accept".to_owned(), "*/*".to_owned())]);
    let expected = [("X-Forwarded-User", "anna"), ("X-Consumer-Name", "anna"), ("X-Consumer-Id", "17")];
    assert_eq!(added(&effects.to_upstream), expected);

    let kept = Plan { credential: Hiding::Kept, consumer_fields: ConsumerFields::Omitted, ..plan.clone() };
    let mut effects = Effects::default();
    assert!(who(&kept, &mut fresh(&kept), &fixture, &mut effects).is_ok());
    assert_eq!(fixture.left(&effects.to_upstream).len(), 2, "what is forged is removed");

    let open = Plan { anonymous: Some("jürgen".into()), ..plan };
    let mut effects = Effects::default();
    let nobody = get("/").field("X-Forwarded-User", "root");
    assert_eq!(who(&open, &mut fresh(&open), &nobody, &mut effects), Ok(String::new()));
    let found = effects.identified.as_ref().and_then(|identity| identity.consumer);
    assert_eq!((found, nobody.left(&effects.to_upstream).len()), (Some(ConsumerId(1)), 0));
    let wrong = get("/").field("Authorization", "Basic YW5uYTp4");
    assert_eq!(who(&open, &mut fresh(&open), &wrong, &mut Effects::default()), Err("basic_wrong"));
}

#[test]
fn credentials_of_consumers_count_where_that_is_said() {
    let plan = Plan { stored: Stored::Known, ..plan() };
    let ask = |plan: &Plan, text: &str| {
        let fixture = get("/").field("Authorization", &sent(text.as_bytes()));
        let mut effects = Effects::default();
        let found = who(plan, &mut fresh(plan), &fixture, &mut effects);
        (found, effects.identified.and_then(|identity| identity.consumer))
    };
    assert_eq!(ask(&plan, "anna-tool:password"), (Ok("anna-tool".to_owned()), Some(ConsumerId(0))));
    assert_eq!(ask(&plan, "anna-tool:other").0, Err("basic_wrong"));
    assert_eq!(ask(&plan, "orphan:password").0, Err("basic_wrong"), "its consumer is gone");
    assert_eq!(ask(&plan, "broken:password").0, Err("basic_wrong"), "a text is no hash");
    assert_eq!(ask(&plan, "bob:password").0, Err("basic_wrong"), "the policy's own user counts");
    assert_eq!(ask(&plan, "bob:pass:word"), (Ok("bob".to_owned()), None));
    let named = Plan { consumers: Some(Box::new(["anna".into()])), ..plan };
    assert_eq!(ask(&named, "anna-tool:password").1, Some(ConsumerId(0)));
    assert_eq!(ask(&named, "anna:geheim").1, Some(ConsumerId(0)));
    assert_eq!(ask(&named, "jürgen:pässwörd").0, Err("basic_wrong"));
    assert_eq!(ask(&named, "bob:pass:word").0, Err("basic_wrong"));
    let ignored = Plan { stored: Stored::Ignored, ..named };
    assert_eq!(ask(&ignored, "anna-tool:password").0, Err("basic_wrong"));
}

#[test]
fn other_encodings_are_taken_where_that_is_said() {
    let plan = Plan { charset: Charset::Any, users: Users::new(vec![user("anna", "geheim")]), ..plan() };
    let bytes = get("/").field("Authorization", &sent(b"j\xfcrgen:p\xe4ss"));
    assert_eq!(who(&plan, &mut fresh(&plan), &bytes, &mut Effects::default()), Err("basic_wrong"));
    let control = get("/").field("Authorization", &sent(b"j\xfcrgen:p\x07ss"));
    assert_eq!(who(&plan, &mut fresh(&plan), &control, &mut Effects::default()), Err("basic_malformed"));
}

proptest! {
    #[test]
    fn nothing_but_a_users_own_password_passes(
        name in "anna|bob|jürgen|an|annab|[a-c:]{0,3}",
        password in "geheim|pass:word|pässwörd|gehei|geheimx|[a-c:]{0,3}",
        times in 1_usize..3,
    ) {
        let plan = plan();
        let mut state = fresh(&plan);
        let text = format!("{name}:{password}");
        let right = ["anna:geheim", "bob:pass:word", "jürgen:pässwörd"].contains(&text.as_str());
        let fixture = get("/").field("Authorization", &sent(text.as_bytes()));
        for _ in 0..times {
            let found = who(&plan, &mut state, &fixture, &mut Effects::default());
            prop_assert!(found.is_ok() == right, "{text}: {found:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic(values in prop::collection::vec(".{0,40}|Basic [A-Za-z0-9+/]{0,24}={0,3}", 0..3)) {
        let plan = plan();
        let fixture = values.iter().fold(get("/"), |made, value| made.field("Authorization", value));
        prop_assert!(who(&plan, &mut fresh(&plan), &fixture, &mut Effects::default()).is_err());
    }
}
