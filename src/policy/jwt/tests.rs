// SPDX-License-Identifier: Apache-2.0
//! Tokens that pass and tokens that do not, keys that come and go.

use std::sync::Arc;

use proptest::prelude::{any, prop, prop_assert, proptest};
use serde_json::{Value, json};

use super::*;
use crate::base::{AppId, ConsumerId, CredentialId};
use crate::policy::directory::{
    Consumer, Credential, CredentialKind, Directory, Expiry, Own, Parts, Revision, Snapshot, Standing, jwt_lookup,
};
use crate::policy::fixture::{self, Fixture, added};
use crate::policy::identity::Identity;
use crate::policy::question::SourceId;
use crate::policy::tell::ConsumerFields;
use crate::policy::token::{ClaimPath, ConsumerBy, Credential as Treatment, Unknown};
use crate::wire::jose::sample::Signer;
use crate::wire::jose::{Algorithm, KeySet, Secrets};

const ISSUER: &str = "https://issuer.test";
/// The calendar of fixtures, in seconds.
const NOW: u64 = 1_800_000_000;

fn keys(signer: &Signer, id: &str) -> Arc<KeySet> {
    Arc::new(KeySet::read(&signer.set(id), Secrets::Taken).unwrap())
}

fn issuer(name: Option<&str>, keys: KeySource) -> Issuer {
    let audiences = Box::new(["shop".into()]);
    Issuer { name: name.map(Box::from), keys, algorithms: AlgorithmSet::ALL, audiences }
}

fn plan(issuers: Vec<Issuer>) -> Plan {
    Plan {
        locations: Box::new([TokenLocation::Scheme((*b"authorization").into(), (*b"Bearer").into())]),
        issuers: issuers.into(),
        rules: Rules { required: Box::new([ClaimPath::new("exp")]), ..Rules::default() },
        consumer: None,
        to_upstream: ToUpstream {
            credential: Treatment::Kept,
            consumer: ConsumerFields::Sent,
            claims: Box::new([(ClaimPath::new("sub"), (*b"X-User").into())]),
        },
        anonymous: None,
        challenge: Challenge { start: (*b"Bearer realm=\"api\"").into(), scopes: "".into() },
        wait: Duration::from_secs(1),
        cool_down: Duration::from_secs(10),
        tokens_kept: 100,
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": ["shop", "other"], "sub": "anna", "exp": NOW + 60, "iat": NOW - 60})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn bearer(token: &str) -> Fixture {
    Fixture::get("/").field("Authorization", &format!("Bearer {token}"))
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

    fn ask(&mut self, fixture: &Fixture, memo: &mut Memo) -> (Result<Identity, (u16, &'static str)>, Effects) {
        let mut effects = Effects::default();
        fixture::protect(&self.plan, fixture.request(), &mut effects);
        let call = Call { facts: &fixture.facts(), effects: &mut effects, memo, now: self.now };
        let outcome = match self.plan.decide(&mut self.state, call) {
            Decision::Pass => Ok(effects.identified.take().unwrap()),
            Decision::Respond(response) => Err((response.status, response.reason)),
            Decision::Ask(_) => Err((0, "asks")),
        };
        (outcome, effects)
    }

    fn judge(&mut self, fixture: &Fixture) -> Result<Identity, (u16, &'static str)> {
        self.ask(fixture, &mut Memo::Fresh).0
    }

    fn reason(&mut self, token: &str) -> &'static str {
        self.judge(&bearer(token)).map_or_else(|(_, reason)| reason, |_| "passes")
    }
}

#[test]
fn each_issuer_has_audiences_of_its_own() {
    let signers = [Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::EdDsa)];
    let names = [Some(ISSUER), Some("https://other.test"), Some("https://any.test")];
    let mut issuers: Vec<Issuer> = names
        .into_iter()
        .zip(&signers)
        .map(|(name, signer)| issuer(name, KeySource::Known(keys(signer, "k"))))
        .collect();
    (issuers[1].audiences, issuers[2].audiences) = (Box::new(["urn:shop".into(), "b".into()]), Box::default());
    let mut shard = Shard::new(plan(issuers));
    for (at, audience, expected) in [
        (0, json!("shop"), "passes"),
        (0, json!(["x", "shop"]), "passes"),
        (0, json!("urn:shop"), "token_audience"),
        (1, json!("urn:shop"), "passes"),
        (1, json!(["b"]), "passes"),
        (1, json!("shop"), "token_audience"),
        (1, json!(null), "token_audience"),
        (2, json!("whoever"), "passes"),
        (2, json!(null), "passes"),
    ] {
        let mut claims = with("aud", audience.clone());
        claims["iss"] = names[at].into();
        assert_eq!(shard.reason(&signers[at].token("k", &claims)), expected, "{at} {audience}");
    }
}

#[test]
fn what_claims_must_say() {
    let signer = Signer::new(Algorithm::EdDsa);
    let mut plan = plan(vec![issuer(Some(ISSUER), KeySource::Known(keys(&signer, "k")))]);
    plan.rules.leeway = Duration::from_secs(5);
    plan.rules.age_max = Some(Duration::from_secs(600));
    plan.rules.kind = Some("JWT".into());
    let tiers: Box<[Box<str>]> = Box::new(["gold".into(), "silver".into()]);
    plan.rules.equal = Box::new([(ClaimPath::new("/app/tier"), tiers)]);
    plan.rules.scopes = Box::new(["read".into()]);
    let good = || {
        let mut claims = with("app", json!({"tier": ["bronze", "gold"]}));
        claims["scope"] = "write read".into();
        claims
    };
    let cases: Vec<(&str, Option<Value>, &str)> = vec![
        ("exp", Some((NOW - 4).into()), "passes"),
        ("exp", Some((NOW - 5).into()), "token_expired"),
        ("exp", Some((NOW as f64 - 4.5).into()), "passes"),
        ("exp", Some((-1).into()), "token_expired"),
        ("exp", Some(u64::MAX.into()), "passes"),
        ("exp", Some(1e300.into()), "passes"),
        ("exp", Some((-1e300).into()), "token_expired"),
        ("exp", Some("1900000000".into()), "token_malformed"),
        ("exp", Some(Value::Null), "token_malformed"),
        ("exp", Some(json!([NOW + 1])), "token_malformed"),
        ("exp", None, "token_claims"),
        ("nbf", Some((NOW + 5).into()), "passes"),
        ("nbf", Some((NOW + 6).into()), "token_not_yet_valid"),
        ("nbf", Some(true.into()), "token_malformed"),
        ("iat", Some((NOW + 6).into()), "token_not_yet_valid"),
        ("iat", Some((NOW - 604).into()), "passes"),
        ("iat", Some((NOW - 605).into()), "token_expired"),
        ("iat", None, "token_claims"),
        ("aud", Some("shop".into()), "passes"),
        ("aud", Some("Shop".into()), "token_audience"),
        ("aud", Some("shop other".into()), "token_audience"),
        ("aud", Some(json!([["shop"]])), "token_audience"),
        ("aud", Some(json!({"shop": "shop"})), "token_audience"),
        ("aud", None, "token_audience"),
        ("iss", Some("https://issuer.test/".into()), "token_issuer"),
        ("iss", Some("HTTPS://ISSUER.TEST".into()), "token_issuer"),
        ("iss", Some(json!([ISSUER])), "token_issuer"),
        ("iss", None, "token_issuer"),
        ("app", Some(json!({"tier": "silver"})), "passes"),
        ("app", Some(json!({"tier": "golden"})), "token_claims"),
        ("app", Some(json!({"tier": true})), "token_claims"),
        ("app", None, "token_claims"),
        ("scope", Some("reads".into()), "token_scope"),
        ("scope", None, "token_scope"),
        ("scp", Some(json!(["read"])), "passes"),
    ];
    for (name, value, reason) in cases {
        let mut claims = good();
        match value {
            Some(value) => claims[name] = value,
            None => drop(claims.as_object_mut().unwrap().remove(name)),
        }
        let mut shard = Shard::new(plan.clone());
        assert_eq!(shard.reason(&signer.token("k", &claims)), reason, "{claims}");
    }
}

#[test]
fn what_the_header_must_say() {
    let signer = Signer::new(Algorithm::EdDsa);
    let mut plan = plan(vec![issuer(Some(ISSUER), KeySource::Known(keys(&signer, "k")))]);
    plan.rules.kind = Some("JWT".into());
    let claims = claims().to_string();
    for (kind, reason) in [
        (r#","typ":"jwt""#, "passes"),
        (r#","typ":"application/JWT""#, "passes"),
        (r#","typ":"at+jwt""#, "token_claims"),
        ("", "token_claims"),
    ] {
        let token = signer.sign(&format!("{{\"alg\":\"EdDSA\"{kind}}}"), &claims);
        assert_eq!(Shard::new(plan.clone()).reason(&token), reason, "{kind}");
    }
}

#[test]
fn an_issuer_is_believed_for_its_own_tokens_only() {
    let (here, there) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Es256));
    let mut shard = Shard::new(plan(vec![
        issuer(Some(ISSUER), KeySource::Known(keys(&here, "k"))),
        issuer(Some("https://there.test"), KeySource::Known(keys(&there, "k"))),
    ]));
    let theirs = with("iss", "https://there.test".into());
    assert_eq!(shard.reason(&here.token("k", &claims())), "passes");
    assert_eq!(shard.reason(&there.token("k", &theirs)), "passes");
    assert_eq!(shard.reason(&there.token("k", &claims())), "token_signature");
    assert_eq!(shard.reason(&here.token("k", &theirs)), "token_signature");
    assert_eq!(shard.reason(&here.token("k", &with("iss", "https://x.test".into()))), "token_issuer");
    assert_eq!(shard.reason(&here.token("k", &without("iss"))), "token_issuer");
    assert_eq!(shard.reason(&here.token("other", &claims())), "token_signature", "keys of a file never change");
    assert_eq!(shard.reason(&here.token("", &claims())), "passes", "no key is named");
}

#[test]
fn an_algorithm_must_be_allowed() {
    let signer = Signer::new(Algorithm::Rs256);
    let mut only = issuer(Some(ISSUER), KeySource::Known(keys(&signer, "k")));
    only.algorithms = [Algorithm::Ps256].into_iter().collect();
    assert_eq!(Shard::new(plan(vec![only])).reason(&signer.token("k", &claims())), "token_algorithm");
    let mut any = Shard::new(plan(vec![issuer(None, KeySource::Known(keys(&signer, "k")))]));
    for (header, reason) in [
        (r#"{"alg":"none"}"#, "token_algorithm"),
        (r#"{"alg":"HS256"}"#, "token_signature"),
        (r#"{"alg":"PS256"}"#, "token_signature"),
        (r#"{"alg":"RS256","crit":["x"]}"#, "token_malformed"),
        (r#"{"alg":"RS256","alg":"RS256"}"#, "token_malformed"),
    ] {
        assert_eq!(any.reason(&signer.sign(header, &claims().to_string())), reason, "{header}");
    }
    for text in ["", "a", "a.b.c", "....", "eyJhbGciOiJub25lIn0.e30."] {
        assert!(["token_malformed", "token_algorithm"].contains(&any.reason(text)), "{text}");
    }
}

#[test]
fn a_refusal_tells_what_rfc_6750_says() {
    let signer = Signer::new(Algorithm::Hs256);
    let mut shard = Shard::new(plan(vec![issuer(None, KeySource::Known(keys(&signer, "k")))]));
    let twice = bearer(&signer.token("k", &claims())).field("Authorization", "Bearer other");
    for (fixture, outcome, challenge) in [
        (Fixture::get("/"), (401, "token_missing"), "Bearer realm=\"api\""),
        (Fixture::get("/").field("Authorization", "Basic eA=="), (401, "token_missing"), "Bearer realm=\"api\""),
        (
            bearer("x"),
            (401, "token_malformed"),
            "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"The token is malformed.\"",
        ),
        (
            twice,
            (400, "token_ambiguous"),
            "Bearer realm=\"api\", error=\"invalid_request\", error_description=\"More than one token was sent.\"",
        ),
    ] {
        let (judged, effects) = shard.ask(&fixture, &mut Memo::Fresh);
        assert_eq!(judged.map(|_| ()), Err(outcome));
        assert_eq!(added(&effects.to_client), [("WWW-Authenticate", challenge)]);
    }
}

#[test]
fn a_verified_token_is_remembered_until_it_expires() {
    let signer = Signer::new(Algorithm::EdDsa);
    let mut shard = Shard::new(plan(vec![issuer(None, KeySource::Known(keys(&signer, "k")))]));
    let token = signer.token("k", &claims());
    let first = shard.judge(&bearer(&token)).unwrap().claims.unwrap();
    let second = shard.judge(&bearer(&token)).unwrap().claims.unwrap();
    assert!(Rc::ptr_eq(&first, &second), "not verified again");
    let mut later = bearer(&token);
    later.wall = Wall((NOW + 60) * 1_000_000);
    assert_eq!(shard.judge(&later).map(|_| ()), Err((401, "token_expired")));
}

#[test]
fn the_upstream_gets_claims_that_a_client_cannot_send() {
    let signer = Signer::new(Algorithm::EdDsa);
    let mut plan = plan(vec![issuer(None, KeySource::Known(keys(&signer, "k")))]);
    plan.to_upstream.credential = Treatment::Removed;
    let mut shard = Shard::new(plan);
    let ask = |shard: &mut Shard, claims: &Value| {
        let fixture = bearer(&signer.token("k", claims))
            .field("x_user", "root")
            .field("X-USER", "root")
            .field("X-Consumer-Name", "root")
            .field("x_consumer_id", "0");
        let (judged, effects) = shard.ask(&fixture, &mut Memo::Fresh);
        assert!(judged.is_ok() && fixture.left(&effects.to_upstream).is_empty());
        added(&effects.to_upstream).iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
    };
    assert_eq!(ask(&mut shard, &claims()), ["X-User: anna"]);
    assert_eq!(ask(&mut shard, &with("sub", json!(["a", "b"]))), ["X-User: a,b"]);
    assert!(ask(&mut shard, &with("sub", "a\r\nX-Admin: yes".into())).is_empty(), "not one line");
    assert!(ask(&mut shard, &without("sub")).is_empty());
}

fn directory() -> Directory {
    let consumer = |number: u32, name: &str| {
        let own = Own { id: format!("id-{number}").into(), ..Own::default() };
        Consumer::new(ConsumerId(number), name, Standing::Active, Arc::default(), own)
    };
    let credential = |number: u32, issuer: Option<&str>, subject: &str, consumer: u32| {
        let mut lookup = Vec::new();
        jwt_lookup(issuer, subject, &mut lookup);
        Arc::new(Credential {
            number: CredentialId(number),
            kind: CredentialKind::Jwt,
            lookup: lookup.into(),
            secret: Box::default(),
            consumer: ConsumerId(consumer),
            app: Some(AppId(7)),
            expires: Expiry::NEVER,
        })
    };
    let parts = Parts {
        consumers: vec![consumer(0, "anna"), consumer(1, "bob")],
        credentials: vec![credential(5, Some(ISSUER), "u-1", 0), credential(6, None, "u-2", 1)],
        ..Parts::default()
    };
    Directory::new(Arc::new(Snapshot::new(Revision(1), parts)))
}

/// A request on a shard with a directory.
fn known(mut fixture: Fixture) -> Fixture {
    fixture.directory = directory();
    fixture
}

#[test]
fn a_token_leads_to_a_consumer() {
    let signer = Signer::new(Algorithm::EdDsa);
    let rule = |by, unknown| Some(ConsumerRule { claim: ClaimPath::new("sub"), by, unknown });
    let mut plan = plan(vec![issuer(None, KeySource::Known(keys(&signer, "k")))]);
    let who = |plan: &Plan, claims: &Value| {
        let fixture = known(bearer(&signer.token("k", claims)));
        let (judged, effects) = Shard::new(plan.clone()).ask(&fixture, &mut Memo::Fresh);
        let told = added(&effects.to_upstream).iter().any(|(name, _)| *name == "X-Consumer-Id");
        let numbers = judged.map(|found| (found.consumer.map(|number| number.0), found.credential.map(|of| of.0)));
        assert_eq!(told, numbers.is_ok_and(|(consumer, _)| consumer.is_some()));
        numbers
    };
    plan.consumer = rule(ConsumerBy::Credential, Unknown::Refused);
    assert_eq!(who(&plan, &with("sub", "u-1".into())), Ok((Some(0), Some(5))));
    assert_eq!(who(&plan, &with("sub", "u-2".into())), Ok((Some(1), Some(6))));
    let elsewhere = json!({"iss": "https://there.test", "aud": "shop", "sub": "u-1", "exp": NOW + 1});
    assert_eq!(who(&plan, &elsewhere), Err((403, "consumer_unknown")), "another issuer's subject");
    assert_eq!(who(&plan, &with("sub", "anna".into())), Err((403, "consumer_unknown")));
    assert_eq!(who(&plan, &without("sub")), Err((403, "consumer_unknown")));
    plan.consumer = rule(ConsumerBy::Credential, Unknown::Passes);
    assert_eq!(who(&plan, &with("sub", "u-9".into())), Ok((None, None)));
    plan.consumer = rule(ConsumerBy::Name, Unknown::Refused);
    assert_eq!(who(&plan, &with("sub", "bob".into())), Ok((Some(1), None)));
    assert_eq!(who(&plan, &with("sub", "Bob".into())), Err((403, "consumer_unknown")));

    plan.anonymous = Some("bob".into());
    let mut shard = Shard::new(plan);
    let nobody = known(Fixture::get("/"));
    assert_eq!(shard.judge(&nobody).unwrap().consumer, Some(ConsumerId(1)));
    let wrong = known(bearer("x"));
    assert!(shard.judge(&wrong).is_err(), "a wrong token is not no token");
}

const SOURCE: SourceId = SourceId(77);

fn asked(shard: &mut Shard) -> Option<(u64, Question)> {
    ShardState::<Plan>::next_question(&mut shard.state)
}

fn learn(shard: &mut Shard, set: Option<Arc<KeySet>>) {
    ShardState::<Plan>::learn(&mut shard.state, &Keys { source: SOURCE, set });
}

fn receive(shard: &mut Shard, answer: Answer) {
    let now = shard.now;
    ShardState::<Plan>::receive(&mut shard.state, SOURCE.0, answer, now);
}

#[test]
fn keys_are_asked_for_once_and_then_not_for_a_while() {
    let (old, new) = (Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::EdDsa));
    let mut shard = Shard::new(plan(vec![issuer(None, KeySource::Asked(SOURCE))]));
    let (first, second) = (bearer(&old.token("old", &claims())), bearer(&new.token("new", &claims())));
    let mut memo = Memo::Fresh;
    assert_eq!(shard.ask(&first, &mut memo).0.map(|_| ()), Err((0, "asks")));
    assert!(matches!(asked(&mut shard), Some((77, Question::Keys(SOURCE)))));
    assert_eq!(shard.judge(&first).map(|_| ()), Err((0, "asks")), "it waits for the same answer");
    assert!(asked(&mut shard).is_none(), "one question");
    learn(&mut shard, Some(keys(&old, "old")));
    receive(&mut shard, Answer::Keys);
    assert!(shard.ask(&first, &mut memo).0.is_ok());

    // The issuer may have exchanged its key right after the first ones came.
    let mut memo = Memo::Fresh;
    assert_eq!(shard.ask(&second, &mut memo).0.map(|_| ()), Err((0, "asks")), "the first keys begin no pause");
    assert!(asked(&mut shard).is_some());
    assert_eq!(shard.judge(&second).map(|_| ()), Err((0, "asks")), "it waits for the same answer");
    assert!(asked(&mut shard).is_none(), "one question");
    receive(&mut shard, Answer::Keys);
    assert_eq!(shard.ask(&second, &mut memo).0.map(|_| ()), Err((401, "token_key_unknown")));
    assert_eq!(shard.judge(&second).map(|_| ()), Err((401, "token_key_unknown")), "not within the pause");
    shard.now = shard.now.after(Duration::from_secs(10));
    let mut memo = Memo::Fresh;
    assert_eq!(shard.ask(&second, &mut memo).0.map(|_| ()), Err((0, "asks")));
    assert!(asked(&mut shard).is_some());
    receive(&mut shard, Answer::Keys);
    assert_eq!(shard.ask(&second, &mut memo).0.map(|_| ()), Err((401, "token_key_unknown")));

    // The issuer has exchanged its key: what the old one verified is not valid any more.
    assert!(shard.judge(&first).is_ok());
    learn(&mut shard, Some(keys(&new, "new")));
    assert!(shard.judge(&second).is_ok());
    assert_eq!(shard.judge(&first).map(|_| ()), Err((401, "token_key_unknown")));
}

#[test]
fn without_an_issuer_nobody_is_refused_for_good() {
    let signer = Signer::new(Algorithm::EdDsa);
    let mut shard = Shard::new(plan(vec![issuer(None, KeySource::Asked(SOURCE))]));
    let fixture = bearer(&signer.token("k", &claims()));
    for answer in [Answer::Busy, Answer::Unavailable] {
        let mut memo = Memo::Fresh;
        assert_eq!(shard.ask(&fixture, &mut memo).0.map(|_| ()), Err((0, "asks")));
        assert!(asked(&mut shard).is_some());
        receive(&mut shard, answer);
        assert_eq!(shard.ask(&fixture, &mut memo).0.map(|_| ()), Err((503, "identity_unavailable")));
    }
    assert_eq!(shard.judge(&fixture).map(|_| ()), Err((503, "identity_unavailable")), "not asked within the pause");
    // Keys that are known go on to be used, and a token of another key may be valid.
    learn(&mut shard, Some(keys(&signer, "k")));
    assert!(shard.judge(&fixture).is_ok());
    let other = bearer(&signer.token("other", &claims()));
    assert_eq!(shard.judge(&other).map(|_| ()), Err((503, "identity_unavailable")));
    // They are too old.
    learn(&mut shard, None);
    assert_eq!(shard.judge(&fixture).map(|_| ()), Err((503, "identity_unavailable")));
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let signer = Signer::new(Algorithm::EdDsa);
    let mut shard = Shard::new(plan(vec![issuer(None, KeySource::Asked(SOURCE))]));
    let fixture = bearer(&signer.token("k", &claims()));
    let mut memo = Memo::Fresh;
    assert_eq!(shard.ask(&fixture, &mut memo).0.map(|_| ()), Err((0, "asks")));
    assert!(asked(&mut shard).is_some());
    shard.now = shard.now.after(Duration::from_secs(1));
    assert_eq!(shard.ask(&fixture, &mut memo).0.map(|_| ()), Err((503, "identity_unavailable")));
    assert_eq!(shard.judge(&fixture).map(|_| ()), Err((0, "asks")));
    assert!(asked(&mut shard).is_some());
}

#[test]
fn a_token_without_a_key_is_not_tried_with_all() {
    let signers: Vec<Signer> = (0..6).map(|_| Signer::new(Algorithm::EdDsa)).collect();
    let list: Vec<Value> = (0..).zip(&signers).map(|(at, signer)| signer.jwk(&format!("k{at}"))).collect();
    let set = KeySet::read(json!({ "keys": list }).to_string().as_bytes(), Secrets::Ignored).unwrap();
    let mut shard = Shard::new(plan(vec![issuer(None, KeySource::Known(Arc::new(set)))]));
    let reasons = signers.iter().map(|signer| shard.reason(&signer.token("", &claims()))).collect::<Vec<_>>();
    assert_eq!(reasons, ["passes", "passes", "passes", "passes", "token_signature", "token_signature"]);
    assert_eq!(shard.reason(&signers[5].token("k5", &claims())), "passes");
}

#[test]
fn state_is_kept_where_nothing_changed() {
    let signer = Signer::new(Algorithm::EdDsa);
    let before = plan(vec![issuer(None, KeySource::Known(keys(&signer, "k")))]);
    assert!(before.clone().keeps_state_of(&before));
    let mut other = before.clone();
    other.issuers[0].audiences = Box::default();
    assert!(!other.keeps_state_of(&before));
    let rotated = plan(vec![issuer(None, KeySource::Known(keys(&Signer::new(Algorithm::EdDsa), "k")))]);
    assert!(!rotated.keeps_state_of(&before));
}

proptest! {
    #[test]
    fn a_changed_token_never_passes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        thread_local! {
            static KNOWN: (Arc<KeySet>, String) = {
                let signer = Signer::new(Algorithm::Es256);
                (keys(&signer, "k"), signer.token("k", &claims()))
            };
        }
        let (set, token) = KNOWN.with(Clone::clone);
        let mut shard = Shard::new(plan(vec![issuer(None, KeySource::Known(set))]));
        let mut changed = token.clone().into_bytes();
        for (at, letter) in changes {
            let at = at.index(changed.len());
            changed[at] = 0x21 + letter % 0x5e;
        }
        let changed = String::from_utf8(changed).unwrap();
        let passes = shard.reason(&changed) == "passes";
        prop_assert!(passes == (changed == token), "{changed}");
    }
}
