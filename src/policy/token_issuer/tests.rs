// SPDX-License-Identifier: Apache-2.0
//! Clients that ask for tokens, well and badly, and a control plane that answers as it is told.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::base::{ConsumerId, Wall};
use crate::policy::decision::{LocalBody, LocalResponse};
use crate::policy::directory::{
    Consumer, Credential, CredentialKind, Directory, Expiry, KeyEntry, Own, Parts, Profile, Revision, Snapshot,
    Standing,
};
use crate::policy::fixture::{Fixture, added};
use crate::policy::key_format::hash_of;
use crate::wire::jose::{KeySet, Secrets, Token, Verifier, published};

/// Of RFC 8037 appendix A.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";
const FORM: &str = "application/x-www-form-urlencoded";
const GRANT: &str = "grant_type=client_credentials";

fn plan() -> Plan {
    let list = |texts: &[&str]| texts.iter().map(|text| Box::from(*text)).collect();
    let path = |text: &str| text.as_bytes().into();
    let key = SigningKey::of_pem(PEM.as_bytes()).expect("a key");
    Plan {
        issuer: "https://gateway.test".into(),
        paths: Paths {
            token: path("/oauth/token"),
            keys: path("/oauth/jwks"),
            metadata: [path("/.well-known/oauth-authorization-server"), path("/.well-known/openid-configuration")],
        },
        published: published([&key].into_iter()).into(),
        key: Arc::new(key),
        metadata: (*b"{}").into(),
        grants: Grants {
            scopes: list(&["read", "list"]),
            by_group: [GroupScopes { group: "writers".into(), scopes: list(&["write"]) }].into(),
            by_default: list(&["read", "write"]),
            audiences: list(&["https://api.test", "https://other.test"]),
        },
        lifetime: Duration::from_secs(600),
        challenge: (*b"Basic realm=\"oauth\"").into(),
        nobody: Arc::new(PasswordHash::parse("{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("a hash")),
        keep: Duration::from_secs(60),
        timeout: Duration::from_secs(5),
    }
}

/// `anna` has the key `a key` and is a writer; `bob` has the user name `bob:1` with `pass wörd+%`, and one that ended.
fn directory() -> Directory {
    let consumer = |number, name: &str, groups: &[&str], standing| {
        let groups = groups.iter().map(|group| Arc::from(*group)).collect();
        let profile = Profile { groups, ..Profile::default() };
        Consumer::new(ConsumerId(number), name, standing, Arc::new(profile), Own::default())
    };
    let key = |text: &str, consumer, number, expires| {
        let owner = (ConsumerId(consumer), None);
        KeyEntry::new(hash_of(text.as_bytes()), owner, CredentialId(number), Expiry::of(expires))
    };
    let digest = STANDARD.encode(<sha1::Sha1 as sha1::Digest>::digest("pass wörd+%"));
    let user = |name: &str, number, consumer, expires| {
        Arc::new(Credential {
            number: CredentialId(number),
            kind: CredentialKind::Basic,
            lookup: name.as_bytes().into(),
            secret: format!("{{SHA}}{digest}").into_bytes().into(),
            consumer: ConsumerId(consumer),
            app: None,
            expires: Expiry::of(expires),
        })
    };
    let past = Some(Wall(1_700_000_000_000_000));
    let parts = Parts {
        consumers: vec![
            consumer(0, "anna", &["writers"], Standing::Active),
            consumer(1, "bob", &[], Standing::Active),
            consumer(2, "carl", &[], Standing::Suspended),
        ],
        keys: vec![key("a key", 0, 1, None), key("old", 0, 2, past), key("carl's", 2, 3, None)],
        credentials: vec![user("bob:1", 4, 1, None), user("ended", 5, 1, past), user("orphan", 6, 9, None)],
        ..Parts::default()
    };
    Directory::new(Arc::new(Snapshot::new(Revision(1), parts)))
}

fn post(form: &str) -> Fixture {
    let fixture = Fixture::new("POST", "/oauth/token").field("Content-Type", FORM);
    Fixture { body: Some(form.as_bytes().to_vec()), directory: directory(), ..fixture }
}

fn basic(id: &str, secret: &str) -> String {
    let (mut name, mut password) = (String::new(), String::new());
    crate::wire::form::encode(id, &mut name);
    crate::wire::form::encode(secret, &mut password);
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// What came of a request; `None` where it passed.
#[derive(Debug, Default)]
struct Outcome {
    status: Option<u16>,
    reason: &'static str,
    body: Value,
    effects: Effects,
    questions: usize,
}

impl Outcome {
    fn field(&self, name: &str) -> Option<&str> {
        let fields = added(&self.effects.to_client);
        fields.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn error(&self) -> (u16, &str) {
        (self.status.expect("a response"), self.body["error"].as_str().unwrap_or_default())
    }

    /// The claims of the token, which must be signed with the published key.
    fn claims(&self) -> Value {
        assert_eq!((self.status, self.reason), (Some(200), "token_issuer_issued"), "{}", self.body);
        let token = Token::read(self.body["access_token"].as_str().expect("a token").as_bytes()).expect("a token");
        let set = KeySet::read(&plan().published, Secrets::Ignored).expect("a set");
        let verifier = Verifier::new(&set.keys[0], token.algorithm).expect("it fits");
        assert!(verifier.verifies(token.signed, &token.signature));
        assert_eq!(token.kind.as_deref(), Some("at+jwt"));
        Value::Object(token.claims().expect("claims"))
    }
}

/// What a control plane says that has time.
fn prompt(question: Question) -> Option<Answer> {
    match question {
        Question::Password(question) => Some(Answer::Password(question.hash.verify(&question.password))),
        Question::Sign(question) => Some(question.answer([7; 16])),
        other => panic!("{other:?}"),
    }
}

/// Takes a request through both phases, as the edge does.
fn serve(
    plan: &Plan,
    state: &mut State,
    fixture: &mut Fixture,
    mut answer: impl FnMut(Question) -> Option<Answer>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let body = fixture.body.take();
    for phase in [Phase::Identify, Phase::Answer] {
        let mut memo = Memo::default();
        let effects = &mut outcome.effects;
        let facts = fixture.facts();
        let call = Call { facts: &facts, effects, memo: &mut memo, now: Tick::ZERO };
        let mut decision = match phase {
            Phase::Answer => plan.answer(state, call),
            _ => plan.decide(state, call),
        };
        loop {
            let came = match decision {
                Decision::Pass => break,
                Decision::Respond(LocalResponse { status, reason, body }) => {
                    assert_eq!(body, LocalBody::Kept);
                    (outcome.status, outcome.reason) = (Some(status), reason);
                    outcome.body = serde_json::from_slice(&outcome.effects.subrequest.kept).expect("JSON");
                    return outcome;
                }
                Decision::Ask(Ask::Body { .. }) => {
                    fixture.body = body.clone();
                    AskOutcome::Woken
                }
                Decision::Ask(Ask::Control { key, .. }) => {
                    let (asked, question) = state.next_question().expect("a question");
                    assert_eq!(asked, key);
                    outcome.questions += 1;
                    match answer(question) {
                        Some(answer) => {
                            state.receive(key, answer, Tick::ZERO);
                            AskOutcome::Woken
                        }
                        None => AskOutcome::Expired,
                    }
                }
                Decision::Ask(other) => panic!("{other:?}"),
            };
            let facts = fixture.facts();
            let call = Call { facts: &facts, effects: &mut outcome.effects, memo: &mut memo, now: Tick::ZERO };
            decision = plan.resume(state, call, came);
        }
        if let Some(found) = outcome.effects.identified.take() {
            fixture.identity = found;
        }
    }
    outcome
}

fn fresh(plan: &Plan) -> State {
    State::new(plan, Shards { own: Default::default(), count: 1 }, 1)
}

fn ask(mut fixture: Fixture) -> Outcome {
    let plan = plan();
    serve(&plan, &mut fresh(&plan), &mut fixture, prompt)
}

#[test]
fn a_client_gets_a_token_that_says_who_it_is() {
    let outcome = ask(post(GRANT).field("Authorization", &basic("anna", "a key")));
    let seconds = Wall(1_800_000_000_000_000).seconds();
    let expected = json!({
        "iss": "https://gateway.test", "sub": "anna", "client_id": "anna", "aud": "https://api.test",
        "iat": seconds, "exp": seconds + 600, "scope": "read write", "consumer": "anna", "groups": ["writers"],
        "jti": "07070707070707070707070707070707",
    });
    assert_eq!((outcome.claims(), outcome.questions), (expected, 1));
    let body = &outcome.body;
    let said = (&body["token_type"], &body["expires_in"], &body["scope"]);
    assert_eq!(said, (&json!("Bearer"), &json!(600), &json!("read write")));
    assert_eq!((outcome.field("Cache-Control"), outcome.field("Pragma")), (Some("no-store"), Some("no-cache")));
    assert_eq!(outcome.field("Content-Type"), Some("application/json"));
}

#[test]
fn secrets_with_special_characters_come_in_both_ways() {
    let (mut id, mut secret) = (String::new(), String::new());
    crate::wire::form::encode("bob:1", &mut id);
    crate::wire::form::encode("pass wörd+%", &mut secret);
    let in_form = format!("{GRANT}&client_id={id}&client_secret={secret}");
    for fixture in [
        post(GRANT).field("Authorization", &basic("bob:1", "pass wörd+%")),
        post(&format!("{GRANT}&client_id={id}")).field("Authorization", &basic("bob:1", "pass wörd+%")),
        post(&in_form),
    ] {
        let outcome = ask(fixture);
        let claims = outcome.claims();
        assert_eq!((&claims["client_id"], &claims["consumer"]), (&json!("bob:1"), &json!("bob")));
        // Not a writer.
        assert_eq!((&claims["scope"], claims.get("groups")), (&json!("read"), None));
    }
}

#[test]
fn a_client_gets_what_it_may_ask_for_and_nothing_else() {
    let asked = |client: (&str, &str), more: &str| {
        ask(post(&format!("{GRANT}&{more}")).field("Authorization", &basic(client.0, client.1)))
    };
    let (anna, bob) = (("anna", "a key"), ("bob:1", "pass wörd+%"));
    for (client, more, scope, audience) in [
        (anna, "scope=write+list+write", "write list", json!("https://api.test")),
        (bob, "scope=list", "list", json!("https://api.test")),
        (bob, "scope=", "read", json!("https://api.test")),
        (bob, "audience=https://other.test", "read", json!("https://other.test")),
        (
            bob,
            "resource=https://other.test&resource=https://api.test&audience=https://api.test",
            "read",
            json!(["https://other.test", "https://api.test"]),
        ),
    ] {
        let claims = asked(client, more).claims();
        assert_eq!((&claims["scope"], &claims["aud"]), (&json!(scope), &audience), "{more}");
    }
    for (client, more, error) in [
        (bob, "scope=write", "invalid_scope"),
        (anna, "scope=admin", "invalid_scope"),
        (anna, "scope=read++list", "invalid_scope"),
        (anna, "scope=+read", "invalid_scope"),
        (anna, "scope=read%09list", "invalid_scope"),
        (anna, "resource=https://evil.test", "invalid_target"),
        (anna, "resource=https://api.test/&resource=https://api.test", "invalid_target"),
        (anna, "scope=read&scope=list", "invalid_request"),
    ] {
        assert_eq!(asked(client, more).error(), (400, error), "{more}");
    }
}

#[test]
fn whoever_is_no_client_gets_none_and_is_challenged() {
    let with = |id: &str, secret: &str| post(GRANT).field("Authorization", &basic(id, secret));
    for fixture in [
        post(GRANT),
        post(&format!("{GRANT}&client_id=anna")),
        post(&format!("{GRANT}&client_secret=a+key")),
        post(&format!("{GRANT}&client_id=anna&client_secret=a+kez")),
        post(&format!("{GRANT}&client_id=anna&client_assertion=x&client_assertion_type=y")),
        with("anna", "a kez"),
        with("anna", ""),
        with("", "a key"),
        with("bob", "a key"),
        with("anna", "old"),
        with("carl", "carl's"),
        with("bob", "pass wörd+%"),
        with("ended", "pass wörd+%"),
        with("orphan", "pass wörd+%"),
        with("nobody", "x"),
        with("bob:1", &"x".repeat(PASSWORD_BYTES_MAX + 1)),
        post(GRANT).field("Authorization", "Bearer a"),
        post(GRANT).field("Authorization", "Basic !"),
        post(GRANT).field("Authorization", &format!("Basic {}", STANDARD.encode("anna"))),
        post(GRANT).field("Authorization", &format!("Basic {}", STANDARD.encode("anna:%zz"))),
        post(GRANT).field("Authorization", &format!("Basic {}", STANDARD.encode("anna:%ff"))),
    ] {
        let outcome = ask(fixture);
        assert_eq!(outcome.error(), (401, "invalid_client"));
        assert_eq!(outcome.field("WWW-Authenticate"), Some("Basic realm=\"oauth\""));
        assert_eq!(outcome.field("Cache-Control"), Some("no-store"));
    }
}

#[test]
fn what_is_no_request_for_a_token_is_refused_with_its_reason() {
    let anna = || basic("anna", "a key");
    let plain = |kind: &str| {
        let fixture = Fixture::new("POST", "/oauth/token").field("Content-Type", kind);
        Fixture { body: Some(GRANT.as_bytes().to_vec()), directory: directory(), ..fixture }
    };
    let fixtures = [
        post(&format!("{GRANT}&client_id=anna&client_secret=a+key")).field("Authorization", &anna()),
        post(&format!("{GRANT}&client_id=bob")).field("Authorization", &anna()),
        post(GRANT).field("Authorization", &anna()).field("Authorization", &anna()),
        post(&format!("{GRANT}&{GRANT}")).field("Authorization", &anna()),
        post(&format!("{GRANT}&other=1&other=2")).field("Authorization", &anna()),
        post("grant_type=%zz").field("Authorization", &anna()),
        post("").field("Authorization", &anna()),
        post("grant_type=").field("Authorization", &anna()),
        plain("application/json").field("Authorization", &anna()),
        plain("application/x-www-form-urlencoded2").field("Authorization", &anna()),
        plain(FORM).field("Content-Type", FORM).field("Authorization", &anna()),
        Fixture { body: Some(GRANT.as_bytes().to_vec()), ..Fixture::new("POST", "/oauth/token") },
        Fixture { body: None, ..post(GRANT) }.field("Authorization", &anna()),
        Fixture { body: Some(GRANT.into()), ..Fixture::new("POST", "/oauth/token?client_secret=x") },
    ];
    for (at, fixture) in fixtures.into_iter().enumerate() {
        assert_eq!(ask(fixture).error(), (400, "invalid_request"), "{at}");
    }
    let sound = plain("Application/X-WWW-Form-URLEncoded ; charset=utf-8").field("Authorization", &anna());
    assert_eq!(ask(sound).status, Some(200));
    for grant in ["password", "authorization_code", "Client_Credentials", "refresh_token"] {
        let outcome = ask(post(&format!("grant_type={grant}")).field("Authorization", &anna()));
        assert_eq!(outcome.error(), (400, "unsupported_grant_type"));
    }
}

#[test]
fn each_path_takes_its_methods_and_others_pass() {
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"] {
        let outcome = ask(Fixture::new(method, "/oauth/token"));
        assert_eq!((outcome.error(), outcome.field("Allow")), ((405, "invalid_request"), Some("POST")), "{method}");
    }
    for path in ["/oauth/jwks", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        for method in ["GET", "HEAD"] {
            let outcome = ask(Fixture::new(method, path));
            assert_eq!((outcome.status, outcome.questions), (Some(200), 0), "{method} {path}");
            assert_eq!(outcome.field("Cache-Control"), Some("public, max-age=300"));
        }
        let outcome = ask(Fixture::new("POST", path));
        assert_eq!((outcome.error(), outcome.field("Allow")), ((405, "invalid_request"), Some("GET, HEAD")));
    }
    assert!(ask(Fixture::get("/oauth/jwks")).body["keys"][0].get("d").is_none());
    for path in ["/", "/oauth", "/oauth/token/", "/oauth/Token", "/oauth/jwks/x"] {
        assert_eq!(ask(Fixture::new("POST", path)).status, None, "{path}");
    }
}

#[test]
fn a_password_is_checked_once_and_a_busy_plane_is_no_wrong_secret() {
    let (plan, client) = (plan(), basic("bob:1", "pass wörd+%"));
    let mut state = fresh(&plan);
    for (answer, expected) in [(Some(Answer::Busy), 503), (None, 503), (Some(Answer::Unavailable), 503)] {
        let mut fixture = post(GRANT).field("Authorization", &client);
        let mut fresh = fresh(&plan);
        let outcome = serve(&plan, &mut fresh, &mut fixture, |_| answer.clone());
        assert_eq!(outcome.error(), (expected, "temporarily_unavailable"));
        assert_eq!(outcome.field("Retry-After"), Some("1"));
    }
    let questions: Vec<usize> = (0..2)
        .map(|_| serve(&plan, &mut state, &mut post(GRANT).field("Authorization", &client), prompt).questions)
        .collect();
    assert_eq!(questions, [2, 1], "the second needs a signature only");
    for lost in [None, Some(Answer::Busy), Some(Answer::Signed(None))] {
        let mut fixture = post(GRANT).field("Authorization", &client);
        let outcome = serve(&plan, &mut state, &mut fixture, |_| lost.clone());
        assert_eq!(outcome.error(), (503, "temporarily_unavailable"));
    }
}

#[test]
fn who_is_revoked_between_the_phases_or_comes_past_the_first_gets_nothing() {
    let plan = plan();
    let client = basic("anna", "a key");
    // Signed, and revoked in this moment.
    let mut fixture = post(GRANT).field("Authorization", &client);
    let mut state = fresh(&plan);
    let identity =
        Client::find(&Credentials { id: "anna".to_owned(), secret: "a key".to_owned() }, &fixture.facts()).identity();
    fixture.identity = identity;
    for (directory, expected) in [(directory(), None), (Directory::default(), Some((401, "invalid_client")))] {
        fixture.directory = directory;
        let (facts, mut effects, mut memo) = (fixture.facts(), Effects::default(), Memo::default());
        let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
        let said = match plan.answer(&mut state, call) {
            Decision::Ask(Ask::Control { .. }) => None,
            Decision::Respond(response) => Some((response.status, "invalid_client")),
            other => panic!("{other:?}"),
        };
        assert_eq!(said, expected);
    }
    // Identified by something else, as where `when` left the first phase out.
    let mut fixture = post(GRANT).field("Authorization", &client);
    fixture.identity = crate::policy::Identity::of(ConsumerId(0), "api_key");
    let (facts, mut effects, mut memo) = (fixture.facts(), Effects::default(), Memo::default());
    let call = Call { facts: &facts, effects: &mut effects, memo: &mut memo, now: Tick::ZERO };
    assert!(matches!(plan.answer(&mut state, call), Decision::Respond(LocalResponse { status: 401, .. })));
}

#[test]
fn above_the_cap_nobody_waits() {
    let plan = plan();
    let mut state = fresh(&plan);
    for number in 0..TOKENS_SIGNED_MAX as u64 {
        let claims = crate::wire::jose::Members::new();
        let question = Question::Sign(SignQuestion { key: Arc::clone(&plan.key), kind: "at+jwt", claims });
        let times = (Tick::ZERO, Tick::ZERO.after(Duration::from_secs(5)));
        assert!(state.signed.ask(number, question, times).is_some());
    }
    let mut fixture = post(GRANT).field("Authorization", &basic("anna", "a key"));
    let outcome = serve(&plan, &mut state, &mut fixture, |_| panic!("nobody is asked"));
    assert_eq!(outcome.error(), (503, "temporarily_unavailable"));
}
